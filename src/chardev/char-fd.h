/*
 * A pair of file descriptors as a chardev's way to the host.
 *
 * Descriptors that other processes may share (stdio, inherited ones) never
 * get O_NONBLOCK: that is a property of the open file, and would break a shell
 * or a pipeline that has it too.  See char_fd_private().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHARDEV_CHAR_FD_H
#define CHARDEV_CHAR_FD_H

#include "chardev-private.h"

typedef struct CharFd {
    Chardev *chr;
    int in, out;                /* -1 for none; may be the same */
    bool in_blocks, out_blocks; /* poll first, write little */
    bool in_socket, out_socket;
    bool datagrams;             /* read whole; errors are no end */
    bool paused;                /* the front end has no room */
    bool ended;                 /* nothing more will come */
    GSource *in_watch, *out_watch;
    /* Input ended or failed (`in` is not watched any more).  May be NULL:
     * output goes on. */
    void (*hangup)(Chardev *chr);
    /* May change the `n` bytes read; how many are left.  May be NULL. */
    size_t (*filter)(Chardev *chr, uint8_t *buf, size_t n);
    /* May the descriptor be read now?  May be NULL. */
    bool (*may_read)(Chardev *chr);
} CharFd;

/*
 * A descriptor for the same file as `fd` that can be used without blocking
 * and without anybody noticing; -1 when there is none but `fd` itself: a
 * regular file or a socket (which need none), or a terminal or pipe that may
 * not be opened again.
 */
int char_fd_private(int fd, int open_flags);

/* Take `in` and `out` (-1 for none), which are closed in the end.  `shared`:
 * others may have them too, so that O_NONBLOCK is not set. */
void char_fd_init(CharFd *f, Chardev *chr, int in, int out, bool shared);
void char_fd_close(CharFd *f);
/* Start or resume input. */
void char_fd_accept_input(CharFd *f);
void char_fd_stop_input(CharFd *f);
size_t char_fd_write(CharFd *f, const uint8_t *buf, size_t len);
void char_fd_want_writable(CharFd *f);
bool char_fd_wait(CharFd *f, int ms);

#endif
