/*
 * Back end "stdio": our standard input and output.
 *
 * Both may be shared with a shell or a pipeline, so each is opened again for
 * our own use where that is possible, and polled before use where it is not.
 * The end of standard input is not the end of the user: output goes on.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char-fd.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct Stdio {
    Chardev chr;
    CharFd fd;
    GSource *resume_watch;
} Stdio;

static Stdio *in_use;           /* there is one standard input */
static int resume_fd = -1;      /* eventfd: the shell continued us */

static Stdio *stdio_of(Chardev *chr)
{
    return container_of(chr, Stdio, chr);
}

/* In a signal handler. */
static void resumed(void)
{
    uint64_t one = 1;

    if (write(resume_fd, &one, sizeof(one)) < 0) {
        /* Full: it is readable already. */
    }
}

static void resume_input(int fd, GIOCondition events, void *opaque)
{
    uint64_t n;

    if (read(fd, &n, sizeof(n)) == sizeof(n)) {
        char_fd_accept_input(&((Stdio *)opaque)->fd);
    }
}

/* In the background a read would stop us: wait for SIGCONT. */
static bool stdio_may_read(Chardev *chr)
{
    return terminal_is_ours(STDIN_FILENO);
}

/* Our own descriptor for a standard one. */
static int take(int fd, int flags, bool *shared)
{
    int own = char_fd_private(fd, flags);

    *shared = own < 0;
    return own < 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : own;
}

static bool stdio_open(Chardev *chr, Opt *dict, GError **err)
{
    Stdio *s = stdio_of(chr);
    bool signals = true, in_shared, out_shared;
    int in, out;

    if (!opt_get_bool(dict, "signal", &signals, err)) {
        return false;
    }
    if (in_use) {
        return chr_error(err, "chardev '%s': stdio is already in use by "
                         "chardev '%s'", chr->id, in_use->chr.id);
    }
    in = take(STDIN_FILENO, O_RDONLY, &in_shared);
    out = take(STDOUT_FILENO, O_WRONLY, &out_shared);
    char_fd_init(&s->fd, chr, in, out, true);
    s->fd.may_read = stdio_may_read;
    chr->where = g_strdup("stdio");
    in_use = s;
    if (resume_fd < 0) {
        resume_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    s->resume_watch = loop_watch(loop_main(), resume_fd, G_IO_IN,
                                 resume_input, s);
    terminal_enter_raw(STDIN_FILENO, signals, resumed);
    return true;
}

static void stdio_close(Chardev *chr)
{
    Stdio *s = stdio_of(chr);

    loop_unwatch(s->resume_watch);
    char_fd_close(&s->fd);
    in_use = NULL;
    chr_restore_terminal();
}

static size_t stdio_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return char_fd_write(&stdio_of(chr)->fd, buf, len);
}

static void stdio_want_writable(Chardev *chr)
{
    char_fd_want_writable(&stdio_of(chr)->fd);
}

static bool stdio_wait(Chardev *chr, int ms)
{
    return char_fd_wait(&stdio_of(chr)->fd, ms);
}

static void stdio_accept_input(Chardev *chr)
{
    char_fd_accept_input(&stdio_of(chr)->fd);
}

static const char *const stdio_keys[] = { "signal", NULL };

const CharBackend chr_stdio = {
    .name = "stdio", .keys = stdio_keys, .size = sizeof(Stdio),
    .open = stdio_open, .close = stdio_close, .write = stdio_write,
    .want_writable = stdio_want_writable, .wait = stdio_wait,
    .accept_input = stdio_accept_input,
};
