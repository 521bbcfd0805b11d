/*
 * Back end "pty": a pseudo-terminal for another program to open.
 *
 * While nobody has the other side open, poll() says HUP without end; so input
 * is not watched then, but looked for now and again.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define LOOK_NS (200 * NS_PER_MS)

typedef struct Pty {
    Chardev chr;
    CharFd fd;
    Timer look;
    char *link;                 /* path=: a symbolic link to the pty */
} Pty;

static Pty *pty_of(Chardev *chr)
{
    return container_of(chr, Pty, chr);
}

static bool peer_is_there(Pty *s)
{
    struct pollfd p = { .fd = s->fd.in, .events = POLLIN | POLLOUT };

    return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

static void look(void *opaque)
{
    Pty *s = opaque;

    if (s->chr.opened) {
        return;
    }
    if (peer_is_there(s)) {
        chr_set_opened(&s->chr, true);
        char_fd_accept_input(&s->fd);
    } else {
        timer_mod(&s->look, clock_ns(CLK_HOST) + LOOK_NS);
    }
}

static void pty_hangup(Chardev *chr)
{
    pty_of(chr)->fd.ended = false;      /* another may come */
    chr_set_opened(chr, false);
    timer_mod(&pty_of(chr)->look, clock_ns(CLK_HOST) + LOOK_NS);
}

/* Open both ends, raw; the name of the slave.  -1 with errno. */
static int open_master(char *name, size_t size)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
    struct termios t;

    if (fd < 0) {
        return -1;
    }
    if (grantpt(fd) == 0 && unlockpt(fd) == 0
        && ptsname_r(fd, name, size) == 0) {
        slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave >= 0) {
            if (tcgetattr(slave, &t) == 0) {
                cfmakeraw(&t);
                tcsetattr(slave, TCSANOW, &t);
            }
            close(slave);       /* from here on HUP tells that none is open */
            return fd;
        }
    }
    close(fd);
    return -1;
}

static bool pty_open(Chardev *chr, Opt *dict, GError **err)
{
    Pty *s = pty_of(chr);
    const char *path = NULL;
    char name[64];
    int fd;

    if (!opt_get_string(dict, "path", &path, err)) {
        return false;
    }
    fd = open_master(name, sizeof(name));
    if (fd < 0) {
        return chr_error(err, "chardev '%s': could not make a pty: %s",
                         chr->id, g_strerror(errno));
    }
    if (path && symlink(name, path) < 0) {
        close(fd);
        return chr_error(err, "chardev '%s': could not make the link '%s': %s",
                         chr->id, path, g_strerror(errno));
    }
    s->link = g_strdup(path);
    char_fd_init(&s->fd, chr, fd, fd, false);
    s->fd.hangup = pty_hangup;
    chr->where = g_strdup_printf("pty:%s", name);
    chr->opened = false;
    timer_init(&s->look, loop_main(), CLK_HOST, look, s);
    timer_mod(&s->look, 0);
    printf("char device redirected to %s (label %s)\n", name, chr->id);
    fflush(stdout);
    return true;
}

static void pty_close(Chardev *chr)
{
    Pty *s = pty_of(chr);

    timer_del(&s->look);
    char_fd_close(&s->fd);
    if (s->link) {
        unlink(s->link);
        g_free(s->link);
    }
}

static size_t pty_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    Pty *s = pty_of(chr);

    if (!chr->opened) {
        look(s);                /* a fresh peer misses nothing */
        if (!chr->opened) {
            return len;
        }
    }
    return char_fd_write(&s->fd, buf, len);
}

static void pty_want_writable(Chardev *chr)
{
    char_fd_want_writable(&pty_of(chr)->fd);
}

static bool pty_wait(Chardev *chr, int ms)
{
    return char_fd_wait(&pty_of(chr)->fd, ms);
}

static void pty_accept_input(Chardev *chr)
{
    if (chr->opened) {
        char_fd_accept_input(&pty_of(chr)->fd);
    }
}

static const char *const pty_keys[] = { "path", NULL };

const CharBackend chr_pty = {
    .name = "pty", .keys = pty_keys, .size = sizeof(Pty),
    .open = pty_open, .close = pty_close, .write = pty_write,
    .want_writable = pty_want_writable, .wait = pty_wait,
    .accept_input = pty_accept_input,
};
