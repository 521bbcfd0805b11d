/*
 * Socket chardevs: server, client, waiting, reconnecting, telnet, descriptors.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chr-harness.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *dir, *path;

static struct sockaddr_un address(void)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    g_strlcpy(un.sun_path, path, sizeof(un.sun_path));
    return un;
}

static int client(void)
{
    struct sockaddr_un un = address();
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_assert_cmpint(connect(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    return fd;
}

static int server(void)
{
    struct sockaddr_un un = address();
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_unlink(path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static void expect(int fd, const char *text)
{
    char buf[64];
    ssize_t n = read(fd, buf, strlen(text));

    g_assert_cmpint(n, ==, strlen(text));
    g_assert_cmpmem(buf, n, text, strlen(text));
}

static Chardev *new_unix(const char *rest)
{
    g_autofree char *opts = g_strdup_printf("socket,id=s,path=%s%s", path,
                                            rest);

    return new_chr(opts);
}

static void test_server(void)
{
    Chardev *chr = new_unix(",server,nowait");
    Front f;
    int fd;

    front_init(&f, chr);
    g_assert_cmpuint(put(&f, "nobody"), ==, 6);
    for (int i = 1; i <= 3; i++) {
        fd = client();
        RUN_UNTIL(f.n_opened == i);
        g_assert_cmpuint(put(&f, "out"), ==, 3);
        expect(fd, "out");
        g_assert_cmpint(write(fd, "in", 2), ==, 2);
        RUN_UNTIL(f.got->len == 2 * (size_t)i);
        close(fd);
        RUN_UNTIL(f.n_closed == i);
    }
    front_free(&f);
    chr_free(chr);
    g_assert_cmpint(access(path, F_OK), <, 0);
}

/* A front end that does not read: the peer's last words are kept for it, and
 * the next peer is let in. */
static void test_busy_front(void)
{
    Chardev *chr = new_unix(",server=on,wait=off");
    Front f;
    int fd;

    front_init(&f, chr);
    f.room = 1;
    fd = client();
    g_assert_cmpint(write(fd, "last words", 10), ==, 10);
    RUN_UNTIL(f.got->len == 1);
    run_pending();
    close(fd);
    RUN_UNTIL(f.n_closed == 1);
    fd = client();
    RUN_UNTIL(f.n_opened == 2);
    g_assert_cmpint(write(fd, ", new ones", 10), ==, 10);
    f.room = 100;
    chr_accept_input(&f.fe);
    RUN_UNTIL(f.got->len == 20);
    g_assert_cmpstr(f.got->str, ==, "last words, new ones");
    close(fd);
    front_free(&f);
    chr_free(chr);
}

static void test_slow_peer(void)
{
    Chardev *chr = new_unix(",server=on,wait=off");
    g_autofree char *big = g_strnfill(8 * MiB, 'x');
    size_t taken;
    Front f;
    int fd;

    front_init(&f, chr);
    fd = client();
    RUN_UNTIL(f.n_opened);
    taken = put(&f, big);
    g_assert_cmpuint(taken, >, 0);
    g_assert_cmpuint(taken, <, 8 * MiB);
    chr_wait_writable(&f.fe, front_writable, &f);
    run_pending();
    g_assert_cmpint(f.n_writable, ==, 0);
    close(fd);                  /* who waits is told that it is pointless */
    RUN_UNTIL(f.n_writable == 1 && f.n_closed == 1);
    g_assert_cmpuint(put(&f, "gone"), ==, 4);
    front_free(&f);
    chr_free(chr);
}

static gpointer connect_later(gpointer data)
{
    int fd;

    while (access(path, F_OK) < 0) {
        g_usleep(1000);
    }
    g_usleep(5000);
    fd = client();
    g_assert_cmpint(write(fd, "first", 5), ==, 5);
    return GINT_TO_POINTER(fd);
}

static void test_wait(void)
{
    GThread *t;
    Chardev *chr;
    Front f;

    g_unlink(path);
    t = g_thread_new("client", connect_later, NULL);
    chr = new_unix(",server=on");       /* returns with a peer */
    front_init(&f, chr);
    g_assert_true(chr_connected(&f.fe));
    RUN_UNTIL(f.got->len == 5);
    close(GPOINTER_TO_INT(g_thread_join(t)));
    front_free(&f);
    chr_free(chr);
}

static void test_reconnect(void)
{
    Chardev *chr;
    int listener, fd;
    Front f;

    g_unlink(path);
    chr = new_unix(",reconnect-ms=20");
    front_init(&f, chr);
    g_assert_false(chr_connected(&f.fe));
    listener = server();
    for (int i = 1; i <= 2; i++) {
        RUN_UNTIL(f.n_opened == i);
        fd = accept(listener, NULL, NULL);
        put(&f, "hello");
        expect(fd, "hello");
        close(fd);
        RUN_UNTIL(f.n_closed == i);
    }
    close(listener);
    front_free(&f);
    chr_free(chr);
    g_unlink(path);
}

static void test_fd(void)
{
    g_autofree char *opts = NULL;
    int fds[2];
    Chardev *chr;
    Front f;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    opts = g_strdup_printf("socket,id=s,fd=%d", fds[0]);
    chr = new_chr(opts);
    front_init(&f, chr);
    g_assert_cmpint(fcntl(fds[0], F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_cmpint(write(fds[1], "in", 2), ==, 2);
    RUN_UNTIL(f.got->len == 2);
    put(&f, "out");
    expect(fds[1], "out");
    close(fds[1]);
    RUN_UNTIL(f.n_closed == 1);
    front_free(&f);
    chr_free(chr);
}

static unsigned port_of(const char *id)
{
    g_autoptr(GString) list = g_string_new(NULL);

    chr_print(list);
    return strtoul(strstr(list->str, "127.0.0.1:") + 10, NULL, 10);
}

static int tcp_client(unsigned port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port),
        .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    g_assert_cmpint(connect(fd, (struct sockaddr *)&in, sizeof(in)), ==, 0);
    return fd;
}

static void test_telnet(void)
{
    static const char typed[] = "\xff\xfd\x01" "l" "\xff\xfa\x18\x00xterm"
        "\xff\xf0s\r\n\xff\xff\xff\xf3" "a\r";
    Chardev *chr;
    Front f;
    int fd;

    g_assert_true(chr_new_from_short(
        "telnet:127.0.0.1:0,server=on,wait=off,nodelay", "s", &chr, NULL));
    front_init(&f, chr);
    fd = tcp_client(port_of("s"));
    RUN_UNTIL(f.n_opened);
    expect(fd, "\xff\xfb\x01\xff\xfb\x03\xff\xfb");
    for (size_t i = 0; i < sizeof(typed); i++) {        /* with the NUL */
        g_assert_cmpint(write(fd, &typed[i], 1), ==, 1);
        run_pending();
    }
    RUN_UNTIL(f.got->len >= 6);
    g_assert_cmpstr(f.got->str, ==, "ls\r\xff" "a\r");
    g_assert_cmpint(f.n_breaks, ==, 1);
    close(fd);
    front_free(&f);
    chr_free(chr);
}

static void test_udp(void)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) },
    };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    g_autofree char *text = NULL;
    char buf[64];
    Chardev *chr;
    Front f;

    g_assert_cmpint(bind(fd, (struct sockaddr *)&in, len), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&in, &len), ==, 0);
    text = g_strdup_printf("udp:127.0.0.1:%u@127.0.0.1:0",
                           ntohs(in.sin_port));
    g_assert_true(chr_new_from_short(text, "u", &chr, NULL));
    front_init(&f, chr);
    g_assert_cmpuint(put(&f, "one"), ==, 3);
    g_assert_cmpint(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&in,
                             &len), ==, 3);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&in, len), ==, 0);
    f.room = 2;                         /* a datagram is read whole */
    g_assert_cmpint(write(fd, "answer", 6), ==, 6);
    RUN_UNTIL(f.got->len == 2);
    run_pending();
    f.room = 100;
    chr_accept_input(&f.fe);
    g_assert_cmpstr(f.got->str, ==, "answer");
    close(fd);
    for (int i = 0; i < 3; i++) {       /* refused: still not the end */
        g_assert_cmpuint(put(&f, "two"), ==, 3);
        run_pending();
    }
    g_assert_true(chr_connected(&f.fe));
    front_free(&f);
    chr_free(chr);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("rhea-sock-XXXXXX", NULL);
    path = g_build_filename(dir, "s", NULL);
    g_test_add_func("/socket/server", test_server);
    g_test_add_func("/socket/busy-front", test_busy_front);
    g_test_add_func("/socket/slow-peer", test_slow_peer);
    g_test_add_func("/socket/wait", test_wait);
    g_test_add_func("/socket/reconnect", test_reconnect);
    g_test_add_func("/socket/fd", test_fd);
    g_test_add_func("/socket/telnet", test_telnet);
    g_test_add_func("/socket/udp", test_udp);
    rc = g_test_run();
    chr_shutdown();
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
    return rc;
}
