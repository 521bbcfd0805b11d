/*
 * Back end "socket": a unix or TCP stream, as server or as client.
 *
 *     server:  LISTENING --accept--> CONNECTED --hangup--> LISTENING
 *     client:  CONNECTED --hangup--> gone, or, with reconnect=,
 *              WAITING --timer--> CONNECTING --ready--> CONNECTED
 *
 * One peer at a time: others wait in the listen queue.  Without a peer, output
 * vanishes.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char-fd.h"
#include "socket-addr.h"
#include "telnet.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

typedef struct CharSocket {
    Chardev chr;
    CharFd fd;                  /* the peer */
    SocketAddr addr;
    bool server, nodelay, telnet;       /* (C) options */
    int64_t reconnect_ns;       /* (C) 0: never */

    int listen_fd;              /* -1 for a client */
    GSource *listen_watch;
    int connecting_fd;          /* -1 when not */
    GSource *connect_watch;
    Timer retry;
    Telnet telnet_state;
} CharSocket;

static CharSocket *socket_of(Chardev *chr)
{
    return container_of(chr, CharSocket, chr);
}

static void unwatch(GSource **watch)
{
    loop_unwatch(*watch);
    *watch = NULL;
}

/* --- connected ----------------------------------------------------------- */

static size_t filter_telnet(Chardev *chr, uint8_t *buf, size_t n)
{
    bool got_break = false;

    n = telnet_filter(&socket_of(chr)->telnet_state, buf, n, &got_break);
    if (got_break) {
        chr_event(chr, CHR_BREAK);
    }
    return n;
}

static void accept_ready(int fd, GIOCondition events, void *opaque);

static void listen_again(CharSocket *s)
{
    if (s->listen_fd >= 0 && !s->listen_watch) {
        s->listen_watch = loop_watch(loop_main(), s->listen_fd, G_IO_IN,
                                     accept_ready, s);
    }
}

static void retry_later(CharSocket *s)
{
    if (s->reconnect_ns) {
        timer_mod(&s->retry, clock_ns(CLK_HOST) + s->reconnect_ns);
    }
}

static void peer_left(Chardev *chr)
{
    CharSocket *s = socket_of(chr);

    trace("chr-socket-closed", "id %s", chr->id);
    char_fd_close(&s->fd);
    chr_set_opened(chr, false);
    listen_again(s);
    retry_later(s);
}

static void peer_came(CharSocket *s, int fd)
{
    int one = 1;

    trace("chr-socket-opened", "id %s fd %d", s->chr.id, fd);
    unwatch(&s->listen_watch);
    if (s->nodelay || s->telnet) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    /* Sockets are used with MSG_DONTWAIT: an inherited one stays as it is. */
    char_fd_init(&s->fd, &s->chr, fd, fd, true);
    s->fd.hangup = peer_left;
    if (s->telnet) {
        size_t len;
        const uint8_t *greeting = telnet_greeting(&len);

        s->telnet_state = (Telnet){ TELNET_DATA };
        s->fd.filter = filter_telnet;
        char_fd_write(&s->fd, greeting, len);
    }
    chr_set_opened(&s->chr, true);
    char_fd_accept_input(&s->fd);
}

/* --- server -------------------------------------------------------------- */

static int accept_one(CharSocket *s)
{
    return accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void accept_ready(int fd, GIOCondition events, void *opaque)
{
    CharSocket *s = opaque;
    int peer = accept_one(s);

    if (peer >= 0) {
        peer_came(s, peer);
    }
}

/* wait=on: no VM before somebody is there to see it. */
static bool wait_for_peer(CharSocket *s, GError **err)
{
    struct pollfd p = { .fd = s->listen_fd, .events = POLLIN };
    int peer = -1;

    info("QEMU waiting for connection on: disconnected:%s", s->chr.where);
    while (peer < 0) {
        if (poll(&p, 1, -1) < 0 && errno == EINTR && loop_main_quitting()) {
            return chr_error(err, "chardev '%s': interrupted while waiting "
                             "for a connection", s->chr.id);
        }
        peer = accept_one(s);
        if (peer < 0 && errno != EAGAIN && errno != EINTR
            && errno != ECONNABORTED) {
            return chr_error(err, "chardev '%s': could not accept a "
                             "connection: %s", s->chr.id, g_strerror(errno));
        }
    }
    peer_came(s, peer);
    return true;
}

static bool start_server(CharSocket *s, bool wait, GError **err)
{
    g_autofree char *text = NULL;

    s->listen_fd = socket_addr_listen(&s->addr, err);
    if (s->listen_fd < 0) {
        g_prefix_error(err, "chardev '%s': ", s->chr.id);
        return false;
    }
    text = socket_addr_text(&s->addr);
    s->chr.where = g_strdup_printf("%s%s,server=on", s->telnet ? "telnet:" : "",
                                   text);
    if (wait) {
        return wait_for_peer(s, err);
    }
    listen_again(s);
    return true;
}

/* --- client -------------------------------------------------------------- */

static void connect_ready(int fd, GIOCondition events, void *opaque)
{
    CharSocket *s = opaque;
    int code = 0;
    socklen_t len = sizeof(code);

    unwatch(&s->connect_watch);
    s->connecting_fd = -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) == 0 && code == 0) {
        peer_came(s, fd);
    } else {
        close(fd);
        retry_later(s);
    }
}

static void try_connect(void *opaque)
{
    CharSocket *s = opaque;
    g_autoptr(GError) err = NULL;
    bool in_progress;
    int fd = socket_addr_connect(&s->addr, false, &in_progress, &err);

    if (fd < 0) {
        trace("chr-socket-retry", "id %s: %s", s->chr.id, err->message);
        retry_later(s);
    } else if (in_progress) {
        s->connecting_fd = fd;
        s->connect_watch = loop_watch(loop_main(), fd, G_IO_OUT,
                                      connect_ready, s);
    } else {
        peer_came(s, fd);
    }
}

static bool start_client(CharSocket *s, GError **err)
{
    bool in_progress;
    int fd;

    s->chr.where = socket_addr_text(&s->addr);
    if (s->reconnect_ns) {
        try_connect(s);
        return true;
    }
    fd = socket_addr_connect(&s->addr, true, &in_progress, err);
    if (fd < 0) {
        g_prefix_error(err, "chardev '%s': ", s->chr.id);
        return false;
    }
    peer_came(s, fd);
    return true;
}

/* --- back end ------------------------------------------------------------ */

/* Closing with unread input would reset the connection, and the peer could
 * lose what we wrote last. */
static void say_goodbye(int fd)
{
    char buf[CHR_CHUNK];

    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16; i++) {
        if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0) {
            break;
        }
    }
}

static void socket_close(Chardev *chr)
{
    CharSocket *s = socket_of(chr);

    timer_del(&s->retry);
    unwatch(&s->listen_watch);
    unwatch(&s->connect_watch);
    if (s->fd.in >= 0) {
        say_goodbye(s->fd.in);
    }
    char_fd_close(&s->fd);
    if (s->connecting_fd >= 0) {
        close(s->connecting_fd);
    }
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
        if (s->addr.path && !s->addr.abstract) {
            unlink(s->addr.path);
        }
    }
    socket_addr_clear(&s->addr);
}

static bool read_reconnect(CharSocket *s, Opt *dict, GError **err)
{
    uint64_t seconds = 0, ms = 0;

    if (!opt_get_uint(dict, "reconnect", &seconds, INT32_MAX, err)
        || !opt_get_uint(dict, "reconnect-ms", &ms, INT32_MAX, err)) {
        return false;
    }
    s->reconnect_ns = seconds * NS_PER_SEC + ms * NS_PER_MS;
    if (s->reconnect_ns && (s->server || s->addr.fd >= 0)) {
        return chr_error(err, "chardev '%s': reconnect= is for clients with "
                         "an address", s->chr.id);
    }
    return true;
}

static bool read_options(CharSocket *s, Opt *dict, bool *wait, GError **err)
{
    bool delay = true, websocket = false;

    if (!opt_get_bool(dict, "server", &s->server, err)
        || !opt_get_bool(dict, "nodelay", &s->nodelay, err)
        || !opt_get_bool(dict, "delay", &delay, err)
        || !opt_get_bool(dict, "telnet", &s->telnet, err)
        || !opt_get_bool(dict, "websocket", &websocket, err)) {
        return false;
    }
    *wait = s->server;
    if (!opt_get_bool(dict, "wait", wait, err)) {
        return false;
    }
    s->nodelay |= !delay;
    if (*wait && !s->server) {
        return chr_error(err, "chardev '%s': wait= is for server=on",
                         s->chr.id);
    }
    if (websocket) {
        return chr_error(err, "chardev '%s': websocket=on is not supported",
                         s->chr.id);
    }
    return true;
}

static bool socket_open(Chardev *chr, Opt *dict, GError **err)
{
    CharSocket *s = socket_of(chr);
    bool wait, ok;

    s->listen_fd = s->connecting_fd = s->fd.in = s->fd.out = -1;
    timer_init(&s->retry, loop_main(), CLK_HOST, try_connect, s);
    chr->opened = false;
    if (!read_options(s, dict, &wait, err)) {
        return false;
    }
    if (!socket_addr_from_opts(&s->addr, dict, err)) {
        g_prefix_error(err, "chardev '%s': ", chr->id);
        return false;
    }
    ok = read_reconnect(s, dict, err)
         && (s->server ? start_server(s, wait, err) : start_client(s, err));
    if (!ok) {
        socket_close(chr);
    }
    return ok;
}

static size_t socket_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return chr->opened ? char_fd_write(&socket_of(chr)->fd, buf, len) : len;
}

static void socket_want_writable(Chardev *chr)
{
    char_fd_want_writable(&socket_of(chr)->fd);
}

static bool socket_wait(Chardev *chr, int ms)
{
    return chr->opened && char_fd_wait(&socket_of(chr)->fd, ms);
}

static void socket_accept_input(Chardev *chr)
{
    if (chr->opened) {
        char_fd_accept_input(&socket_of(chr)->fd);
    }
}

static const char *const socket_keys[] = {
    "path", "host", "port", "fd", "server", "wait", "reconnect",
    "reconnect-ms", "nodelay", "delay", "telnet", "websocket", "to", "ipv4",
    "ipv6", "abstract", "tight", NULL
};

const CharBackend chr_socket = {
    .name = "socket", .keys = socket_keys, .size = sizeof(CharSocket),
    .open = socket_open, .close = socket_close, .write = socket_write,
    .want_writable = socket_want_writable, .wait = socket_wait,
    .accept_input = socket_accept_input,
};
