/*
 * Back ends without a peer process: null, ringbuf, file, pipe, pty, log files,
 * short forms, messages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chr-harness.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static char *dir;

static char *in_dir(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

static char *slurp(const char *path)
{
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static void test_null(void)
{
    Front f, unconnected;
    Chardev *chr = new_chr("null,id=n");

    g_assert_true(chr_find("n") == chr);
    g_assert_cmpstr(chr_id(chr), ==, "n");
    front_init(&f, chr);
    g_assert_cmpint(f.n_opened, ==, 1);
    g_assert_true(chr_connected(&f.fe));
    g_assert_cmpuint(put(&f, "gone"), ==, 4);
    chr_wait_writable(&f.fe, front_writable, &f);
    RUN_UNTIL(f.n_writable == 1);
    chr_wait_writable(&f.fe, front_writable, &f);
    chr_wait_writable(&f.fe, NULL, NULL);
    run_pending();
    g_assert_cmpint(f.n_writable, ==, 1);

    front_init(&unconnected, NULL);
    g_assert_cmpuint(put(&unconnected, "gone"), ==, 4);
    g_assert_false(chr_connected(&unconnected.fe));
    chr_accept_input(&unconnected.fe);
    front_free(&unconnected);
    front_free(&f);
    chr_free(chr);
    g_assert_null(chr_find("n"));
}

static void test_messages(void)
{
    Chardev *chr = new_chr("null,id=n");
    Front f;
    CharFrontend second = f.fe;
    g_autoptr(GError) err = NULL;

    new_fails("nul,id=x", "did you mean 'null'");
    new_fails("null,id=n", "'n'");
    new_fails("null,id=x,sise=4", "sise");
    new_fails("ringbuf,id=x,size=5", "power of two");
    new_fails("file,id=x", "path=");
    new_fails("file,id=x,path=/nonexistent/y", "/nonexistent/y");
    new_fails("file,id=x,path=/dev/null,append=maybe", "maybe");
    new_fails("null,id=x,logfile=/nonexistent/l", "/nonexistent/l");
    new_fails("socket,id=x", "path=");
    new_fails("socket,id=x,path=/a,host=b,port=1", "one of");
    new_fails("socket,id=x,path=/a,wait=on", "server=on");
    new_fails("socket,id=x,path=/nonexistent/s", "/nonexistent/s");
    new_fails("socket,id=x,fd=77", "77");
    new_fails("socket,id=x,path=/a,server=on,wait=off,reconnect=1",
              "reconnect");

    front_init(&f, chr);
    g_assert_false(chr_attach(&second, chr, &err));
    g_assert_nonnull(strstr(err->message, "mux=on"));
    front_free(&f);
    chr_free(chr);
}

static void test_ringbuf(void)
{
    Chardev *chr = new_chr("ringbuf,id=r,size=8");
    g_autoptr(GByteArray) bytes = NULL;
    Front f;

    front_init(&f, chr);
    put(&f, "0123456789");
    bytes = chr_ringbuf_take(chr, 3);
    g_assert_cmpmem(bytes->data, bytes->len, "234", 3);
    g_byte_array_unref(bytes);
    bytes = chr_ringbuf_take(chr, 100);
    g_assert_cmpmem(bytes->data, bytes->len, "56789", 5);
    g_byte_array_unref(bytes);
    bytes = chr_ringbuf_take(chr, 100);
    g_assert_cmpuint(bytes->len, ==, 0);
    front_free(&f);
    chr_free(chr);
}

static void test_file(void)
{
    g_autofree char *path = in_dir("out"), *log = in_dir("log");
    g_autofree char *input = in_dir("in");
    g_autofree char *opts = g_strdup_printf(
        "file,id=f,path=%s,append=on,input-path=%s,logfile=%s", path, input,
        log);
    g_autofree char *text = NULL, *logged = NULL;
    Chardev *chr;
    Front f;

    g_file_set_contents(path, "before\n", -1, NULL);
    g_file_set_contents(log, "old", -1, NULL);
    g_file_set_contents(input, "typed", -1, NULL);
    chr = new_chr(opts);
    front_init(&f, chr);
    f.room = 2;
    run_pending();
    g_assert_cmpstr(f.got->str, ==, "ty");
    f.room = 100;
    chr_accept_input(&f.fe);
    run_pending();
    g_assert_cmpstr(f.got->str, ==, "typed");
    g_assert_cmpint(f.n_closed, ==, 0);         /* output goes on */
    g_assert_cmpuint(put(&f, "after\n"), ==, 6);
    chr_write_all(&f.fe, (const uint8_t *)"all\n", 4);
    front_free(&f);
    chr_free(chr);
    text = slurp(path);
    logged = slurp(log);
    g_assert_cmpstr(text, ==, "before\nafter\nall\n");
    g_assert_cmpstr(logged, ==, "after\nall\n");
    g_unlink(path);
    g_unlink(log);
    g_unlink(input);
}

/* The FIFOs of "pipe": both ways, and a host that is slow to read. */
static void test_pipe(void)
{
    g_autofree char *base = in_dir("p"), *in = in_dir("p.in");
    g_autofree char *out = in_dir("p.out");
    g_autofree char *opts = g_strdup_printf("pipe,id=p,path=%s", base);
    g_autofree char *big = g_strnfill(MiB, 'x');
    char buf[4096];
    size_t taken, read_back = 0;
    Chardev *chr;
    Front f;
    int wr, rd;

    g_assert_cmpint(mkfifo(in, 0600), ==, 0);
    g_assert_cmpint(mkfifo(out, 0600), ==, 0);
    chr = new_chr(opts);
    front_init(&f, chr);
    wr = open(in, O_WRONLY);
    rd = open(out, O_RDONLY | O_NONBLOCK);
    g_assert_cmpint(write(wr, "hello", 5), ==, 5);
    RUN_UNTIL(f.got->len == 5);

    taken = put(&f, big);
    g_assert_cmpuint(taken, <, MiB);        /* a pipe holds 64 KiB or so */
    chr_wait_writable(&f.fe, front_writable, &f);
    run_pending();
    g_assert_cmpint(f.n_writable, ==, 0);
    while (read_back < taken) {
        ssize_t n = read(rd, buf, sizeof(buf));

        g_assert_cmpint(n, >, 0);
        read_back += n;
    }
    RUN_UNTIL(f.n_writable == 1);
    g_assert_cmpuint(put(&f, "more"), ==, 4);
    close(wr);
    close(rd);
    front_free(&f);
    chr_free(chr);
    g_unlink(in);
    g_unlink(out);
}

/* Makes it without its line on our standard output, which is for TAP. */
static Chardev *new_pty(const char *opts)
{
    int saved = dup(1), null = open("/dev/null", O_WRONLY);
    Chardev *chr;

    fflush(stdout);
    dup2(null, 1);
    chr = new_chr(opts);
    dup2(saved, 1);
    close(saved);
    close(null);
    return chr;
}

static void test_pty(void)
{
    g_autofree char *link = in_dir("pty");
    g_autofree char *opts = g_strdup_printf("pty,id=t,path=%s", link);
    g_autoptr(GString) list = g_string_new(NULL);
    struct termios t;
    char buf[16];
    Chardev *chr;
    Front f;
    int fd;

    chr = new_pty(opts);
    front_init(&f, chr);
    g_assert_false(chr_connected(&f.fe));
    g_assert_cmpuint(put(&f, "nobody"), ==, 6);
    chr_print(list);
    g_assert_nonnull(strstr(list->str, "t: filename=disconnected:pty:/dev/"));

    for (int i = 1; i <= 2; i++) {      /* a peer, and another one later */
        fd = open(link, O_RDWR | O_NOCTTY);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(tcgetattr(fd, &t), ==, 0);
        g_assert_false(t.c_lflag & (ECHO | ICANON));
        RUN_UNTIL(f.n_opened == i);
        g_assert_cmpint(write(fd, "in", 2), ==, 2);
        RUN_UNTIL(f.got->len == 2 * (size_t)i);
        g_assert_cmpuint(put(&f, "out\n"), ==, 4);
        g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 4);
        g_assert_cmpmem(buf, 4, "out\n", 4);
        close(fd);
        RUN_UNTIL(f.n_closed == i);
    }
    front_free(&f);
    chr_free(chr);
    g_assert_cmpint(access(link, F_OK), <, 0);
}

/* What is accepted, and the back end it makes. */
static void test_short(void)
{
    g_autofree char *path = in_dir("a,b"), *file = NULL, *unix_ = NULL;
    struct {
        const char *text, *where;
    } good[] = {
        { "null", "null" },
        { "vc:80Cx24C", "null" },
        { "ringbuf", "ringbuf" },
        { "tcp:127.0.0.1:0,server,nowait", "tcp:127.0.0.1:" },
        { "telnet::0,server=on,wait=off", "telnet:tcp:" },
        { NULL, "file:" },
        { NULL, "unix:" },
    };
    static const char *const bad[] = {
        "nul", "chardev:none", "udp:", "udp:1@", "udp:a:1@b", "tcp:host", "stdio,sgnal=on", "file:", "",
        "unix:/x,sever",
    };
    Chardev *chr;
    g_autoptr(GError) err = NULL;

    good[5].text = file = g_strconcat("file:", path, NULL);
    good[6].text = unix_ = g_strconcat("unix:", dir, "/s,server,nowait", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GString) list = g_string_new(NULL);

        g_assert_true(chr_new_from_short(good[i].text, "serial0", &chr, &err));
        g_assert_no_error(err);
        chr_print(list);
        g_assert_nonnull(strstr(list->str, good[i].where));
        g_assert_true(chr_find("serial0") == chr);
        chr_free(chr);
    }
    g_assert_cmpint(g_unlink(path), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(chr_new_from_short(bad[i], "serial0", &chr, &err));
        g_assert_nonnull(err);
        g_clear_error(&err);
    }
    g_assert_true(chr_new_from_short("none", "serial0", &chr, &err));
    g_assert_null(chr);
    chr = new_chr("null,id=x");
    {
        Chardev *same;

        g_assert_true(chr_new_from_short("chardev:x", "serial0", &same, NULL));
        g_assert_true(same == chr);
    }
    chr_free(chr);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("rhea-chr-XXXXXX", NULL);
    g_test_add_func("/chardev/null", test_null);
    g_test_add_func("/chardev/messages", test_messages);
    g_test_add_func("/chardev/ringbuf", test_ringbuf);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/pipe", test_pipe);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/short", test_short);
    rc = g_test_run();
    chr_shutdown();
    g_rmdir(dir);
    g_free(dir);
    return rc;
}
