/*
 * Messages to the user (warn, info) and the debug log of -d and -D.
 *
 * Every message is one line on stderr, prefixed with the program's name and
 * ended by a newline that the caller does not write.
 *
 * Locks: callable from any thread, with any lock held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Set the name that starts every message; `argv0` is cut to its last part. */
void log_set_program(const char *argv0);
const char *log_program(void);

/* -msg: the time, and the guest's name (copied), before each message. */
extern bool log_timestamps;
void log_set_guest_name(const char *name);

void warn(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* Print `program: message`; for whoever handles a GError, once. */
void report_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* The items of -d; `log_items` in src/base/log.c names and explains each. */
enum {
    LOG_GUEST_ERROR = 1 << 0,   /* what a guest did that hardware ignores */
    LOG_UNIMP       = 1 << 1,   /* what Rhea does not model */
    LOG_IN_ASM      = 1 << 2,   /* guest code as it is decoded */
    LOG_INT         = 1 << 3,   /* exceptions and interrupts as delivered */
    LOG_EXEC        = 1 << 4,   /* each block before it runs */
    LOG_CPU         = 1 << 5,   /* registers before each block */
    LOG_MMU         = 1 << 6,   /* page walks that fault */
    LOG_PAGE        = 1 << 7,   /* reserved for user-mode names: accepted */
    LOG_CPU_RESET   = 1 << 8,   /* registers at reset and triple fault */
    LOG_STRACE      = 1 << 9,
    LOG_OP          = 1 << 10,
    LOG_OUT_ASM     = 1 << 11,
    LOG_NOCHAIN     = 1 << 12,  /* not a log: blocks are never chained */
};

extern uint32_t log_mask;       /* (A) changes by -d and the monitor */

static inline bool log_on(uint32_t items)
{
    return G_UNLIKELY(__atomic_load_n(&log_mask, __ATOMIC_RELAXED) & items);
}

/* Write to the debug log (stderr, or the file of -D) if `item` is on. */
#define log_debug(item, ...) \
    do { if (log_on(item)) { log_write(__VA_ARGS__); } } while (0)
/* A newline is added unless the text ends with one. */
void log_write(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void log_line(const char *text);

/*
 * Turn on the comma-separated items of -d and no others ("int,guest_errors";
 * "none"; "trace:GLOB" for trace events; "help" and "?" print the list to
 * stdout and set *helped).  False with `err` set when an item is unknown.
 */
bool log_set_items(const char *items, bool *helped, GError **err);
/* The list that "help" prints; g_free(). */
char *log_items_help(void);
/* Send the debug log to `path`; "%d" in it becomes the process id. */
bool log_set_file(const char *path, GError **err);

/*
 * The guest did what real hardware ignores or answers with an error: note it
 * under LOG_GUEST_ERROR, at most a few times a second for each call site.
 * `who` is the device's or the chip's name.
 */
#define guest_error(who, ...)                                           \
    do {                                                                \
        static int64_t window_us_, count_;                              \
        if (log_on(LOG_GUEST_ERROR)                                     \
            && log_ratelimit(&window_us_, &count_)) {                   \
            log_guest_error(who, __VA_ARGS__);                          \
        }                                                               \
    } while (0)
bool log_ratelimit(int64_t *window_us, int64_t *count);
void log_guest_error(const char *who, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

#endif
