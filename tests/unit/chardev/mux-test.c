/*
 * The multiplexer: who has the keyboard, what C-a does, type-ahead, stamps.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chr-harness.h"

#include <sys/socket.h>
#include <unistd.h>

static int peer;                /* the terminal's end */
static Chardev *chr;
static int n_quits, n_saves;

static void count_quit(void)
{
    n_quits++;
}

static void count_save(void)
{
    n_saves++;
}

static void mux_open(void)
{
    g_autofree char *opts = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    opts = g_strdup_printf("socket,id=m,mux=on,fd=%d", fds[0]);
    chr = new_chr(opts);
    g_assert_true(chr_is_mux(chr));
    g_assert_nonnull(chr_find("m-base"));
    peer = fds[1];
}

static void mux_close(void)
{
    chr_free(chr);
    g_assert_null(chr_find("m-base"));
    close(peer);
}

static void type(const char *text, size_t len)
{
    g_assert_cmpint(write(peer, text, len), ==, len);
    run_pending();
}

static char *shown(void)
{
    char buf[4096];
    ssize_t n = recv(peer, buf, sizeof(buf), MSG_DONTWAIT);

    return g_strndup(buf, MAX(n, 0));
}

static void test_focus(void)
{
    Front monitor, serial;
    g_autofree char *text = NULL;

    mux_open();
    front_init(&monitor, chr);
    g_assert_cmpint(monitor.n_in, ==, 1);
    front_init(&serial, chr);
    g_assert_cmpint(monitor.n_out, ==, 1);
    g_assert_cmpint(serial.n_in, ==, 1);
    g_assert_cmpint(serial.n_opened, ==, 1);

    type("ls\r", 3);
    g_assert_cmpstr(serial.got->str, ==, "ls\r");
    type("\x01" "cinfo", 6);
    g_assert_cmpstr(monitor.got->str, ==, "info");
    g_assert_cmpint(serial.n_out, ==, 1);
    type("\x01", 1);                    /* in two pieces */
    type("c\x01\x01", 3);
    g_assert_cmpstr(serial.got->str, ==, "ls\r\x01");
    type("\x01" "b\x01" "b", 4);
    g_assert_cmpint(serial.n_breaks, ==, 2);
    g_assert_cmpint(monitor.n_breaks, ==, 0);

    put(&serial, "both ");              /* output of all is shown */
    put(&monitor, "users");
    text = shown();
    g_assert_cmpstr(text, ==, "both users");

    front_free(&serial);                /* the keyboard goes on */
    g_assert_cmpint(monitor.n_in, ==, 3);
    type("x", 1);
    g_assert_cmpstr(monitor.got->str, ==, "infox");
    front_free(&monitor);
    type("nobody", 6);
    mux_close();
}

static void test_commands(void)
{
    g_autofree char *help = NULL, *bye = NULL;
    Front f;

    mux_open();
    front_init(&f, chr);
    chr_mux_quit = count_quit;
    chr_mux_save = count_save;
    type("\x01h", 2);
    help = shown();
    g_assert_nonnull(strstr(help, "C-a x"));
    g_assert_nonnull(strstr(help, "C-a C-a"));
    type("\x01s\x01q", 4);
    g_assert_cmpint(n_saves, ==, 1);
    f.room = 0;                         /* works while nobody reads */
    type("typed\x01x", 7);
    g_assert_cmpint(n_quits, ==, 1);
    bye = shown();
    g_assert_nonnull(strstr(bye, "Terminated"));
    f.room = 3;
    chr_accept_input(&f.fe);
    g_assert_cmpstr(f.got->str, ==, "typ");
    f.room = 3;
    chr_accept_input(&f.fe);
    g_assert_cmpstr(f.got->str, ==, "typed");
    front_free(&f);
    mux_close();
}

/* A script pipes more than the guest reads: nothing is lost. */
static void test_type_ahead(void)
{
    g_autofree char *text = g_strnfill(10000, 'y');
    Front f;

    mux_open();
    front_init(&f, chr);
    f.room = 0;
    type(text, 10000);
    g_assert_cmpuint(f.got->len, ==, 0);
    while (f.got->len < 10000) {
        size_t before = f.got->len;

        f.room = 16;
        chr_accept_input(&f.fe);
        run_pending();
        g_assert_cmpuint(f.got->len, >, before);
    }
    front_free(&f);
    mux_close();
}

static void test_stamps(void)
{
    g_autofree char *first = NULL, *second = NULL;
    Front f;

    mux_open();
    front_init(&f, chr);
    type("\x01t", 2);
    g_assert_cmpuint(put(&f, "one\ntw"), ==, 6);
    g_assert_cmpuint(put(&f, "o\n"), ==, 2);
    first = shown();
    g_assert_true(g_regex_match_simple(
        "^\\[00:00:0\\d\\.\\d{3}\\] one\n\\[00:00:0\\d\\.\\d{3}\\] two\n$",
        first, 0, 0));
    type("\x01t", 2);
    put(&f, "plain\n");
    second = shown();
    g_assert_cmpstr(second, ==, "plain\n");
    front_free(&f);
    mux_close();
}

static void test_echr(void)
{
    Front f;

    mux_open();
    front_init(&f, chr);
    chr_escape = 0x14;
    n_quits = 0;
    type("\x01x\x14x", 4);
    g_assert_cmpstr(f.got->str, ==, "\x01x");
    g_assert_cmpint(n_quits, ==, 1);
    chr_escape = 0;                     /* -echr 0: no commands at all */
    type("\x14", 1);
    g_assert_cmpstr(f.got->str, ==, "\x01x\x14");
    chr_escape = 1;
    front_free(&f);
    mux_close();
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mux/focus", test_focus);
    g_test_add_func("/mux/commands", test_commands);
    g_test_add_func("/mux/type-ahead", test_type_ahead);
    g_test_add_func("/mux/stamps", test_stamps);
    g_test_add_func("/mux/echr", test_echr);
    rc = g_test_run();
    chr_shutdown();
    return rc;
}
