/*
 * The user's terminal in raw mode, and back, whatever happens.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHARDEV_TERMINAL_H
#define CHARDEV_TERMINAL_H

#include <stdbool.h>

/*
 * Put the terminal `fd` into raw mode, now or as soon as we are in its
 * foreground; with `signals`, C-c and C-z keep their meaning.  Nothing happens
 * when `fd` is no terminal.  `resumed` is called, in a signal handler, when
 * the shell has continued us.
 */
void terminal_enter_raw(int fd, bool signals, void (*resumed)(void));
/* Are we in the foreground of `fd`?  True when it is no terminal. */
bool terminal_is_ours(int fd);

#endif
