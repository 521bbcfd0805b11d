/*
 * The debug log: items, file names, rate limit; trace events by name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/log-filter.h"
#include "base/log.h"
#include "base/trace.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static void test_items(void)
{
    g_autoptr(GError) err = NULL;
    bool helped;

    g_assert_true(log_set_items("int,guest_errors", &helped, &err));
    g_assert_no_error(err);
    g_assert_false(helped);
    g_assert_cmphex(log_mask, ==, LOG_INT | LOG_GUEST_ERROR);

    g_assert_true(log_set_items("page,strace,nochain,op,out_asm", &helped,
                                NULL));
    g_assert_true(log_set_items("none", &helped, NULL));
    g_assert_cmphex(log_mask, ==, 0);

    g_assert_false(log_set_items("int,bogus", &helped, &err));
    g_assert_nonnull(strstr(err->message, "'bogus'"));
    g_assert_cmphex(log_mask, ==, 0);
}

static char *log_path(const char *dir)
{
    g_autofree char *name = g_strdup_printf("log.%d", (int)getpid());

    return g_build_filename(dir, name, NULL);
}

static void test_file(void)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-log-XXXXXX", NULL);
    g_autofree char *template = g_build_filename(dir, "log.%d", NULL);
    g_autofree char *path = log_path(dir), *text = NULL;
    g_autoptr(GError) err = NULL;
    bool helped;

    g_assert_true(log_set_file(template, &err));
    g_assert_true(log_set_items("int,guest_errors", &helped, NULL));
    log_debug(LOG_INT, "vector %d", 14);
    log_debug(LOG_CPU, "not this");
    log_debug(LOG_INT, "own newline\n");
    for (int i = 0; i < 100; i++) {
        guest_error("i8259", "bad ICW %d", i);
    }
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_true(g_str_has_prefix(text, "vector 14\nown newline\n"
                                         "i8259: guest error: bad ICW 0\n"));
    g_assert_nonnull(strstr(text, "bad ICW 4\n"));
    g_assert_null(strstr(text, "bad ICW 99\n"));
    g_unlink(path);
    g_rmdir(dir);

    g_assert_false(log_set_file("/tmp/%s", &err));
    g_assert_nonnull(strstr(err->message, "%d"));
    g_clear_error(&err);
    g_assert_false(log_set_file("/nonexistent/x", &err));
    g_assert_nonnull(strstr(err->message, "/nonexistent/x"));
    log_set_items("none", &helped, NULL);
}

static void fire(int n)
{
    trace("test-event-one", "n %d", n);
    trace("test-event-two", "no arguments");
}

static void test_trace(void)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-trace-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "out", NULL), *text = NULL;
    g_autofree char *list = g_build_filename(dir, "events", NULL);
    g_autoptr(GPtrArray) events = trace_events();

    g_assert_cmpuint(events->len, ==, 2);
    g_assert_true(trace_set_file(path, NULL));
    fire(1);
    g_assert_true(trace_enable("test_event_o*", true));
    fire(2);
    g_assert_true(g_file_set_contents(list, "# all but one\n*\n-*-one\n", -1,
                                      NULL));
    g_assert_true(trace_enable_from_file(list, NULL));
    fire(3);
    g_assert_false(trace_enable("nothing-*", true));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==,
                    "test-event-one n 2\ntest-event-two no arguments\n");
    g_unlink(path);
    g_unlink(list);
    g_rmdir(dir);
}

static void test_program(void)
{
    log_set_program("/usr/bin/qemu-system-x86_64");
    g_assert_cmpstr(log_program(), ==, "qemu-system-x86_64");
}

static void test_filter(void)
{
    static const char *const bad[] = {
        "x", "5", "0x10+", "0x10+0", "2-4", "0x20..0x10", "1+1,", "1.2",
        "+1", "-1+2", "1+-1", "0xffffffffffffffff+2",
        "0x1ffffffffffffffff+1",
    };
    g_autoptr(GError) none = NULL;

    g_assert_true(log_filter_has(0));
    g_assert_true(log_filter_set("0x1000+0x10,0x30-2,64..0x50", &none));
    g_assert_true(log_filter_has(0x1000));
    g_assert_true(log_filter_has(0x100f));
    g_assert_false(log_filter_has(0x1010));
    g_assert_false(log_filter_has(0x2e));
    g_assert_true(log_filter_has(0x2f));
    g_assert_true(log_filter_has(0x30));
    g_assert_false(log_filter_has(0x31));
    g_assert_true(log_filter_has(0x50));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(log_filter_set(bad[i], &err));
        g_assert_nonnull(strstr(err->message, "-dfilter: '"));
        g_assert_true(log_filter_has(0x1000));  /* as before */
    }
    g_assert_true(log_filter_set("0..0xffffffffffffffff", &none));
    g_assert_true(log_filter_has(UINT64_MAX));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/log/filter", test_filter);
    g_test_add_func("/log/items", test_items);
    g_test_add_func("/log/file", test_file);
    g_test_add_func("/log/trace", test_trace);
    g_test_add_func("/log/program", test_program);
    return g_test_run();
}
