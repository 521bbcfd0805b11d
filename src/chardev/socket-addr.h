/*
 * Where a socket chardev listens or connects: unix path, TCP host and port, or
 * an inherited descriptor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHARDEV_SOCKET_ADDR_H
#define CHARDEV_SOCKET_ADDR_H

#include "base/opts.h"

#include <netdb.h>
#include <sys/socket.h>

typedef struct SocketAddr {
    char *path;                 /* unix; else NULL */
    bool abstract, tight;
    char *host, *port;          /* TCP; else NULL */
    unsigned port_to;           /* last port to try listening on, or 0 */
    int family;                 /* AF_UNSPEC, AF_INET, AF_INET6 */
    int fd;                     /* inherited; else -1 */
    struct addrinfo *found;     /* the host's addresses, once looked up */
} SocketAddr;

/* Read path=, host=, port=, fd= and their companions. */
bool socket_addr_from_opts(SocketAddr *a, Opt *dict, GError **err);
void socket_addr_clear(SocketAddr *a);
/* "unix:/tmp/x", "tcp:localhost:1234", "fd:5"; g_free(). */
char *socket_addr_text(const SocketAddr *a);

/* A listening socket that does not block; with a changed a->port when the
 * system chose it.  -1 with `err`. */
int socket_addr_listen(SocketAddr *a, GError **err);
/*
 * A connected socket; without `block` perhaps one that is still connecting
 * (*in_progress): it becomes writable and SO_ERROR tells how it went.
 */
int socket_addr_connect(SocketAddr *a, bool block, bool *in_progress,
                        GError **err);

#endif
