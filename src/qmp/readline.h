/*
 * Editing one line on a terminal, with history and completion.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QMP_READLINE_H
#define QMP_READLINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LINE_MAX_BYTES  4095
#define HISTORY_MAX     64

typedef struct Readline Readline;

typedef struct ReadlineOps {
    void (*print)(void *opaque, const char *text);
    void (*line)(void *opaque, const char *line);       /* return was hit */
    /* Names that may stand where the last word of `before` does. */
    GPtrArray *(*complete)(void *opaque, const char *before);
} ReadlineOps;

Readline *readline_new(const char *prompt, const ReadlineOps *ops,
                       void *opaque);
void readline_free(Readline *rl);
/* Show the prompt and what has been typed of the line. */
void readline_show(Readline *rl);
/* A byte from the terminal. */
void readline_key(Readline *rl, uint8_t c);
/* Oldest first; of char *. */
const GPtrArray *readline_history(const Readline *rl);

#endif
