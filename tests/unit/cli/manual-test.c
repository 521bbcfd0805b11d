/*
 * docs/command-line.md says what the table says.  RHEA_UPDATE=1 writes it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

static const char *path;

static void test_manual(void)
{
    g_autoptr(GString) now = g_string_new(NULL);
    g_autofree char *written = NULL;

    help_print_manual(now);
    if (g_getenv("RHEA_UPDATE")) {
        g_assert_true(g_file_set_contents(path, now->str, now->len, NULL));
    }
    g_assert_true(g_file_get_contents(path, &written, NULL, NULL));
    if (g_strcmp0(written, now->str) != 0) {
        g_test_message("%s is not what the option table says; RHEA_UPDATE=1 "
                       "meson test -C build cli-manual writes it", path);
        g_test_fail();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 2);
    path = argv[1];
    g_test_add_func("/manual/command-line", test_manual);
    return g_test_run();
}
