/*
 * Listening and connecting for socket chardevs.
 *
 * Locks: none; each address belongs to its chardev.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "socket-addr.h"

#include "chardev-private.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool read_fd(SocketAddr *a, const char *text, GError **err)
{
    uint64_t n;

    if (!parse_uint(text, &n) || n > INT32_MAX
        || fcntl(n, F_GETFD) < 0) {
        return chr_error(err, "fd=%s: not the number of an open file "
                         "descriptor", text);
    }
    a->fd = n;
    return true;
}

static bool read_family(SocketAddr *a, Opt *dict, GError **err)
{
    bool v4 = true, v6 = true;

    if (!opt_get_bool(dict, "ipv4", &v4, err)
        || !opt_get_bool(dict, "ipv6", &v6, err)) {
        return false;
    }
    if (opt_has(dict, "ipv4") && v4 && !opt_has(dict, "ipv6")) {
        v6 = false;             /* "ipv4=on" alone asks for only that */
    } else if (opt_has(dict, "ipv6") && v6 && !opt_has(dict, "ipv4")) {
        v4 = false;
    }
    if (!v4 && !v6) {
        return chr_error(err, "ipv4=off and ipv6=off leave no way to connect");
    }
    a->family = v4 && v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6;
    return true;
}

bool socket_addr_from_opts(SocketAddr *a, Opt *dict, GError **err)
{
    const char *path = NULL, *host = NULL, *port = NULL, *fd = NULL;
    uint64_t to = 0;

    *a = (SocketAddr){ .fd = -1, .tight = true };
    if (!opt_get_string(dict, "path", &path, err)
        || !opt_get_string(dict, "host", &host, err)
        || !opt_get_string(dict, "port", &port, err)
        || !opt_get_string(dict, "fd", &fd, err)
        || !opt_get_bool(dict, "abstract", &a->abstract, err)
        || !opt_get_bool(dict, "tight", &a->tight, err)
        || !opt_get_uint(dict, "to", &to, 65535, err)
        || !read_family(a, dict, err)) {
        return false;
    }
    if (!!path + !!(host || port) + !!fd != 1) {
        return chr_error(err, "a socket needs one of path=, host= with port=, "
                         "and fd=");
    }
    if (fd) {
        return read_fd(a, fd, err);
    }
    if (path && strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return chr_error(err, "path=%s: a socket's path has at most %zu bytes",
                         path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    }
    if (host && !port) {
        return chr_error(err, "host=%s needs port=", host);
    }
    a->path = g_strdup(path);
    a->host = path ? NULL : g_strdup(host ? host : "");
    a->port = g_strdup(port);
    a->port_to = to;
    return true;
}

void socket_addr_clear(SocketAddr *a)
{
    g_clear_pointer(&a->path, g_free);
    g_clear_pointer(&a->host, g_free);
    g_clear_pointer(&a->port, g_free);
    g_clear_pointer(&a->found, freeaddrinfo);
}

char *socket_addr_text(const SocketAddr *a)
{
    if (a->path) {
        return g_strdup_printf("unix:%s%s", a->path,
                               a->abstract ? ",abstract=on" : "");
    }
    if (a->host) {
        bool v6 = strchr(a->host, ':');

        return g_strdup_printf("tcp:%s%s%s:%s", v6 ? "[" : "", a->host,
                               v6 ? "]" : "", a->port);
    }
    return g_strdup_printf("fd:%d", a->fd);
}

static int fail(const SocketAddr *a, const char *verb, int code, GError **err)
{
    g_autofree char *text = socket_addr_text(a);

    chr_error(err, "could not %s %s: %s", verb, text, g_strerror(code));
    return -1;
}

/* --- unix ---------------------------------------------------------------- */

static socklen_t unix_address(const SocketAddr *a, struct sockaddr_un *un)
{
    size_t len = strlen(a->path);

    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (!a->abstract) {
        memcpy(un->sun_path, a->path, len);
        return sizeof(*un);
    }
    len = MIN(len, sizeof(un->sun_path) - 1);
    memcpy(un->sun_path + 1, a->path, len);
    return a->tight ? offsetof(struct sockaddr_un, sun_path) + 1 + len
                    : sizeof(*un);
}

static void remove_stale_socket(const SocketAddr *a)
{
    struct stat st;

    if (!a->abstract && stat(a->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(a->path);
    }
}

static int unix_listen(SocketAddr *a, GError **err)
{
    struct sockaddr_un un;
    socklen_t len = unix_address(a, &un);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code;

    remove_stale_socket(a);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&un, len) == 0
        && listen(fd, 1) == 0) {
        return fd;
    }
    code = errno;
    if (fd >= 0) {
        close(fd);
    }
    return fail(a, "listen on", code, err);
}

/* --- TCP ----------------------------------------------------------------- */

static bool look_up(SocketAddr *a, bool listening, GError **err)
{
    struct addrinfo hints = {
        .ai_family = a->family, .ai_socktype = SOCK_STREAM,
        .ai_flags = listening ? AI_PASSIVE : 0,
    };
    int rc;

    if (a->found) {
        return true;
    }
    rc = getaddrinfo(*a->host ? a->host : NULL, a->port, &hints, &a->found);
    if (rc != 0) {
        g_autofree char *text = socket_addr_text(a);

        a->found = NULL;
        return chr_error(err, "could not look up %s: %s", text,
                         rc == EAI_SYSTEM ? g_strerror(errno)
                                          : gai_strerror(rc));
    }
    return true;
}

static void set_port(struct sockaddr *sa, unsigned port)
{
    if (sa->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)sa)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)sa)->sin_port = htons(port);
    }
}

static unsigned get_port(const struct sockaddr *sa)
{
    return ntohs(sa->sa_family == AF_INET6
                 ? ((const struct sockaddr_in6 *)sa)->sin6_port
                 : ((const struct sockaddr_in *)sa)->sin_port);
}

/* Listen on one address and port; -1 with errno. */
static int tcp_listen_at(const struct addrinfo *ai)
{
    int fd, one = 1, code;

    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, 1) == 0) {
        return fd;
    }
    code = errno;
    close(fd);
    errno = code;
    return -1;
}

/* Note the port that bind() chose. */
static void remember_port(SocketAddr *a, int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0) {
        g_free(a->port);
        a->port = g_strdup_printf("%u", get_port((struct sockaddr *)&ss));
    }
}

static int tcp_listen(SocketAddr *a, GError **err)
{
    int fd = -1, code = EADDRNOTAVAIL;

    if (!look_up(a, true, err)) {
        return -1;
    }
    for (struct addrinfo *ai = a->found; ai && fd < 0; ai = ai->ai_next) {
        unsigned port = get_port(ai->ai_addr);
        unsigned last = MAX(port, a->port_to);

        for (; port <= last && fd < 0; port++) {
            set_port(ai->ai_addr, port);
            fd = tcp_listen_at(ai);
            code = errno;
        }
    }
    if (fd < 0) {
        return fail(a, "listen on", code, err);
    }
    remember_port(a, fd);
    return fd;
}

/* --- both ---------------------------------------------------------------- */

int socket_addr_listen(SocketAddr *a, GError **err)
{
    if (a->path) {
        return unix_listen(a, err);
    }
    return a->host ? tcp_listen(a, err) : a->fd;
}

/* -1 with errno; EINPROGRESS is success. */
static int connect_to(int family, const void *address, socklen_t len,
                      bool block, bool *in_progress)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC
                    | (block ? 0 : SOCK_NONBLOCK), 0);
    int rc, code;

    if (fd < 0) {
        return -1;
    }
    do {
        rc = connect(fd, address, len);
    } while (rc < 0 && errno == EINTR && !loop_main_quitting());
    *in_progress = rc < 0 && errno == EINPROGRESS;
    if (rc == 0 || *in_progress) {
        return fd;
    }
    code = errno;
    close(fd);
    errno = code;
    return -1;
}

int socket_addr_connect(SocketAddr *a, bool block, bool *in_progress,
                        GError **err)
{
    int fd = -1;

    *in_progress = false;
    if (a->path) {
        struct sockaddr_un un;
        socklen_t len = unix_address(a, &un);

        fd = connect_to(AF_UNIX, &un, len, block, in_progress);
    } else if (a->host) {
        if (!look_up(a, false, err)) {
            return -1;
        }
        for (struct addrinfo *ai = a->found; ai && fd < 0; ai = ai->ai_next) {
            fd = connect_to(ai->ai_family, ai->ai_addr, ai->ai_addrlen, block,
                            in_progress);
        }
    } else {
        return a->fd;
    }
    return fd < 0 ? fail(a, "connect to", errno, err) : fd;
}
