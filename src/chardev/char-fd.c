/*
 * Reading and writing descriptors for chardevs, without blocking.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* After POLLOUT a pipe takes this much at once, and a terminal that takes
 * less blocks only as long as it drains. */
#define BLOCKING_CHUNK 256

int char_fd_private(int fd, int open_flags)
{
    char path[32];
    struct stat st;

    if (fstat(fd, &st) < 0 || !(S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        return -1;
    }
    g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, open_flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Would reading or writing wait?  Not a socket (MSG_DONTWAIT), not a file. */
static bool may_block(int fd)
{
    struct stat st;
    int flags;

    if (fd < 0 || fstat(fd, &st) < 0
        || S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode)) {
        return false;
    }
    flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !(flags & O_NONBLOCK);
}

static void set_nonblock(int fd)
{
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

    if (flags >= 0) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
}

void char_fd_init(CharFd *f, Chardev *chr, int in, int out, bool shared)
{
    f->chr = chr;
    f->in = in;
    f->out = out;
    f->paused = true;
    f->ended = f->datagrams = false;
    if (!shared) {
        set_nonblock(in);
        set_nonblock(out);
    }
    f->in_socket = in >= 0 && is_socket(in);
    f->out_socket = out >= 0 && is_socket(out);
    f->in_blocks = may_block(in);
    f->out_blocks = may_block(out);
}

static void unwatch(GSource **watch)
{
    loop_unwatch(*watch);
    *watch = NULL;
}

void char_fd_stop_input(CharFd *f)
{
    unwatch(&f->in_watch);
    f->paused = true;
}

void char_fd_close(CharFd *f)
{
    char_fd_stop_input(f);
    unwatch(&f->out_watch);
    if (f->in >= 0) {
        close(f->in);
    }
    if (f->out >= 0 && f->out != f->in) {
        close(f->out);
    }
    f->in = f->out = -1;
}

/* --- input --------------------------------------------------------------- */

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

/* As read(), with EAGAIN in place of waiting. */
static ssize_t read_some(CharFd *f, uint8_t *buf, size_t len)
{
    if (f->in_socket) {
        return recv(f->in, buf, len, MSG_DONTWAIT);
    }
    if (f->in_blocks && !readable(f->in)) {
        errno = EAGAIN;
        return -1;
    }
    return read(f->in, buf, len);
}

/* Read once, at most `max` bytes; false when input has ended. */
static bool read_once(CharFd *f, size_t max)
{
    uint8_t buf[CHR_CHUNK];
    ssize_t n = read_some(f, buf, f->datagrams ? sizeof(buf)
                                               : MIN(max, sizeof(buf)));

    if (n < 0) {                /* ECONNREFUSED: nobody listens there yet */
        return errno == EAGAIN || errno == EINTR || f->datagrams;
    }
    if (n > 0) {
        size_t left = f->filter ? f->filter(f->chr, buf, n) : (size_t)n;

        chr_input(f->chr, buf, left);
    }
    return n > 0 || f->datagrams;
}

static void ended(CharFd *f)
{
    char_fd_stop_input(f);
    f->ended = true;
    if (f->hangup) {
        f->hangup(f->chr);
    }
}

/* The peer left while the front end was busy: save its last words. */
static void read_rest(CharFd *f)
{
    for (unsigned i = 0; i < CHR_PENDING_MAX / CHR_CHUNK; i++) {
        if (!read_once(f, CHR_CHUNK)) {
            break;
        }
    }
    ended(f);
}

static void in_ready(int fd, GIOCondition events, void *opaque);

static void watch_input(CharFd *f, bool paused)
{
    unwatch(&f->in_watch);
    f->paused = paused;
    if (!paused || !f->datagrams) {     /* a stream may end meanwhile */
        f->in_watch = loop_watch(loop_main(), f->in, paused ? 0 : G_IO_IN,
                                 in_ready, f);
    }
}

static void in_ready(int fd, GIOCondition events, void *opaque)
{
    CharFd *f = opaque;
    size_t room = chr_can_input(f->chr);

    if (f->may_read && !f->may_read(f->chr)) {
        char_fd_stop_input(f);
        return;
    }
    if (room == 0 && (events & (G_IO_HUP | G_IO_ERR)) && !f->datagrams) {
        read_rest(f);
    } else if (room == 0) {
        watch_input(f, true);
    } else if (!read_once(f, room)) {
        ended(f);
    }
}

void char_fd_accept_input(CharFd *f)
{
    if (f->in >= 0 && f->paused && !f->ended && chr_can_input(f->chr)) {
        watch_input(f, false);
    }
}

/* --- output -------------------------------------------------------------- */

static bool writable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int n;

    do {
        n = poll(&p, 1, ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static ssize_t write_some(CharFd *f, const uint8_t *buf, size_t len)
{
    if (f->out_socket) {
        return send(f->out, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (f->out_blocks) {
        if (!writable(f->out, 0)) {
            errno = EAGAIN;
            return -1;
        }
        len = MIN(len, BLOCKING_CHUNK);
    }
    return write(f->out, buf, len);
}

size_t char_fd_write(CharFd *f, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    if (f->out < 0) {
        return len;
    }
    while (done < len) {
        ssize_t n = write_some(f, buf + done, len - done);

        if (n > 0) {
            done += n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            break;
        } else {
            return len;         /* the peer is gone, or the disk is full */
        }
    }
    return done;
}

static void out_ready(int fd, GIOCondition events, void *opaque)
{
    CharFd *f = opaque;

    unwatch(&f->out_watch);
    chr_writable(f->chr);
}

void char_fd_want_writable(CharFd *f)
{
    if (f->out < 0) {
        timer_mod(&f->chr->kick, 0);
    } else if (!f->out_watch) {
        f->out_watch = loop_watch(loop_main(), f->out, G_IO_OUT, out_ready, f);
    }
}

bool char_fd_wait(CharFd *f, int ms)
{
    return f->out >= 0 && writable(f->out, ms);
}
