/*
 * Back ends over a path: "file", "pipe" and "serial" (a host's serial port).
 *
 * What open() gives here is ours alone, /proc/self/fd/N included, so that
 * O_NONBLOCK harms nobody.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

typedef struct CharFile {
    Chardev chr;
    CharFd fd;
} CharFile;

static CharFile *file_of(Chardev *chr)
{
    return container_of(chr, CharFile, chr);
}

static int open_path(Chardev *chr, const char *path, int flags, GError **err)
{
    int fd;

    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        chr_error(err, "chardev '%s': could not open '%s': %s", chr->id, path,
                  g_strerror(errno));
    }
    return fd;
}

static bool need_path(Chardev *chr, const char *path, GError **err)
{
    return path || chr_error(err, "chardev '%s' (%s) needs path=", chr->id,
                             chr->ops->name);
}

static void start(CharFile *s, int in, int out, const char *path)
{
    char_fd_init(&s->fd, &s->chr, in, out, false);
    s->chr.where = g_strdup_printf("%s:%s", s->chr.ops->name, path);
}

static bool file_open(Chardev *chr, Opt *dict, GError **err)
{
    const char *path = NULL, *input_path = NULL;
    bool append = false;
    int in = -1, out;

    if (!opt_get_string(dict, "path", &path, err)
        || !opt_get_string(dict, "input-path", &input_path, err)
        || !opt_get_bool(dict, "append", &append, err)
        || !need_path(chr, path, err)) {
        return false;
    }
    if (input_path) {
        in = open_path(chr, input_path, O_RDONLY | O_NONBLOCK, err);
        if (in < 0) {
            return false;
        }
    }
    /* A FIFO without a reader waits for one, as a shell's ">" does. */
    out = open_path(chr, path, O_WRONLY | O_CREAT
                    | (append ? O_APPEND : O_TRUNC), err);
    if (out < 0) {
        if (in >= 0) {
            close(in);
        }
        return false;
    }
    start(file_of(chr), in, out, path);
    return true;
}

static void file_close(Chardev *chr)
{
    char_fd_close(&file_of(chr)->fd);
}

static size_t file_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return char_fd_write(&file_of(chr)->fd, buf, len);
}

static void file_want_writable(Chardev *chr)
{
    char_fd_want_writable(&file_of(chr)->fd);
}

static bool file_wait(Chardev *chr, int ms)
{
    return char_fd_wait(&file_of(chr)->fd, ms);
}

static void file_accept_input(Chardev *chr)
{
    char_fd_accept_input(&file_of(chr)->fd);
}

#define FILE_OPS                                                        \
    .size = sizeof(CharFile), .close = file_close, .write = file_write, \
    .want_writable = file_want_writable, .wait = file_wait,             \
    .accept_input = file_accept_input

static const char *const file_keys[] = {
    "path", "input-path", "append", NULL
};

const CharBackend chr_file = {
    .name = "file", .keys = file_keys, .open = file_open, FILE_OPS,
};

/* --- pipe: FIFOs path.in and path.out, or one file for both -------------- */

static int open_fifo(const char *path, const char *suffix)
{
    g_autofree char *name = g_strconcat(path, suffix, NULL);

    /* For both directions, so that it opens without a peer and never ends. */
    return open(name, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static bool pipe_open(Chardev *chr, Opt *dict, GError **err)
{
    const char *path = NULL;
    int in, out;

    if (!opt_get_string(dict, "path", &path, err)
        || !need_path(chr, path, err)) {
        return false;
    }
    in = open_fifo(path, ".in");
    out = open_fifo(path, ".out");
    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = open_path(chr, path, O_RDWR | O_NONBLOCK, err);
        if (in < 0) {
            return false;
        }
    }
    start(file_of(chr), in, out, path);
    return true;
}

static const char *const path_keys[] = { "path", NULL };

const CharBackend chr_pipe = {
    .name = "pipe", .keys = path_keys, .open = pipe_open, FILE_OPS,
};

/* --- serial: a tty of the host, with its line parameters ----------------- */

static void tty_hangup(Chardev *chr)
{
    chr_set_opened(chr, false);
}

static bool tty_open(Chardev *chr, Opt *dict, GError **err)
{
    const char *path = NULL;
    struct termios t;
    int fd;

    if (!opt_get_string(dict, "path", &path, err)
        || !need_path(chr, path, err)) {
        return false;
    }
    fd = open_path(chr, path, O_RDWR | O_NONBLOCK, err);
    if (fd < 0) {
        return false;
    }
    if (tcgetattr(fd, &t) == 0) {
        cfmakeraw(&t);
        t.c_cflag |= CREAD | CLOCAL;
        tcsetattr(fd, TCSANOW, &t);
    }
    start(file_of(chr), fd, fd, path);
    file_of(chr)->fd.hangup = tty_hangup;
    return true;
}

static speed_t speed_of(unsigned baud)
{
    static const struct {
        unsigned baud;
        speed_t speed;
    } speeds[] = {
        { 50, B50 }, { 75, B75 }, { 110, B110 }, { 134, B134 }, { 150, B150 },
        { 200, B200 }, { 300, B300 }, { 600, B600 }, { 1200, B1200 },
        { 1800, B1800 }, { 2400, B2400 }, { 4800, B4800 }, { 9600, B9600 },
        { 19200, B19200 }, { 38400, B38400 }, { 57600, B57600 },
        { 115200, B115200 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(speeds); i++) {
        /* A divisor seldom hits the rate exactly: take the next above. */
        if (baud <= speeds[i].baud + speeds[i].baud / 20) {
            return speeds[i].speed;
        }
    }
    return B115200;
}

static tcflag_t character_size(unsigned data_bits)
{
    switch (data_bits) {
    case 5:
        return CS5;
    case 6:
        return CS6;
    case 7:
        return CS7;
    default:
        return CS8;
    }
}

static void tty_set_params(Chardev *chr, unsigned baud, char parity,
                           unsigned data_bits, unsigned stop_bits)
{
    int fd = file_of(chr)->fd.out;
    struct termios t;

    if (tcgetattr(fd, &t) < 0) {
        return;
    }
    cfsetspeed(&t, speed_of(baud));
    t.c_cflag &= ~(CSIZE | CSTOPB | PARENB | PARODD);
    t.c_cflag |= character_size(data_bits) | (stop_bits == 2 ? CSTOPB : 0)
               | (parity == 'E' ? PARENB : 0)
               | (parity == 'O' ? PARENB | PARODD : 0);
    tcsetattr(fd, TCSANOW, &t);
}

static void tty_set_break(Chardev *chr, bool on)
{
    if (on) {
        tcsendbreak(file_of(chr)->fd.out, 0);
    }
}

const CharBackend chr_tty = {
    .name = "serial", .keys = path_keys, .open = tty_open, FILE_OPS,
    .set_params = tty_set_params, .set_break = tty_set_break,
};
