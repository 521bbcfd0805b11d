/*
 * Back end "udp": each write is a datagram, each datagram is input.
 *
 * Without a connection there is no peer to lose: output that the network does
 * not take is gone, as UDP has it.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char-fd.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX 1472       /* fits an Ethernet frame */

typedef struct Udp {
    Chardev chr;
    CharFd fd;
} Udp;

static Udp *udp_of(Chardev *chr)
{
    return container_of(chr, Udp, chr);
}

static struct addrinfo *look_up(Chardev *chr, const char *host,
                                const char *port, int family, GError **err)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE,
    };
    struct addrinfo *found;
    int rc = getaddrinfo(host && *host ? host : NULL, port, &hints, &found);

    if (rc != 0) {
        chr_error(err, "chardev '%s': could not look up udp:%s:%s: %s",
                  chr->id, host ? host : "", port, gai_strerror(rc));
        return NULL;
    }
    return found;
}

/* Bound to the local and connected to the remote address; -1 with `err`. */
static int open_socket(Chardev *chr, const struct addrinfo *local,
                       const struct addrinfo *remote, GError **err)
{
    int fd = socket(remote->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, local->ai_addr, local->ai_addrlen) == 0
        && connect(fd, remote->ai_addr, remote->ai_addrlen) == 0) {
        return fd;
    }
    chr_error(err, "chardev '%s': could not set up UDP: %s", chr->id,
              g_strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static bool udp_open(Chardev *chr, Opt *dict, GError **err)
{
    Udp *s = udp_of(chr);
    const char *host = NULL, *port = NULL, *localaddr = NULL;
    const char *localport = "0";
    struct addrinfo *local = NULL, *remote;
    bool v4 = true, v6 = true;
    int fd = -1;

    if (!opt_get_string(dict, "host", &host, err)
        || !opt_get_string(dict, "port", &port, err)
        || !opt_get_string(dict, "localaddr", &localaddr, err)
        || !opt_get_string(dict, "localport", &localport, err)
        || !opt_get_bool(dict, "ipv4", &v4, err)
        || !opt_get_bool(dict, "ipv6", &v6, err)) {
        return false;
    }
    if (!port) {
        return chr_error(err, "chardev '%s' (udp) needs port=", chr->id);
    }
    remote = look_up(chr, host && *host ? host : "localhost", port,
                     v6 ? v4 ? AF_UNSPEC : AF_INET6 : AF_INET, err);
    if (remote) {
        local = look_up(chr, localaddr, localport, remote->ai_family, err);
    }
    if (local) {
        fd = open_socket(chr, local, remote, err);
        freeaddrinfo(local);
    }
    if (remote) {
        freeaddrinfo(remote);
    }
    if (fd < 0) {
        return false;
    }
    char_fd_init(&s->fd, chr, fd, fd, false);
    s->fd.datagrams = true;
    chr->where = g_strdup_printf("udp:%s:%s", host ? host : "", port);
    return true;
}

static void udp_close(Chardev *chr)
{
    char_fd_close(&udp_of(chr)->fd);
}

static size_t udp_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    for (size_t done = 0; done < len; done += DATAGRAM_MAX) {
        if (send(udp_of(chr)->fd.out, buf + done,
                 MIN(len - done, DATAGRAM_MAX), MSG_DONTWAIT) < 0) {
            trace("chr-udp-lost", "id %s errno %d", chr->id, errno);
        }
    }
    return len;
}

static void udp_accept_input(Chardev *chr)
{
    char_fd_accept_input(&udp_of(chr)->fd);
}

static const char *const udp_keys[] = {
    "host", "port", "localaddr", "localport", "ipv4", "ipv6", NULL
};

const CharBackend chr_udp = {
    .name = "udp", .keys = udp_keys, .size = sizeof(Udp),
    .open = udp_open, .close = udp_close, .write = udp_write,
    .accept_input = udp_accept_input,
};
