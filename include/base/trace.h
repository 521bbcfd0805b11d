/*
 * Trace events, declared where they happen:
 *
 *     trace("pic-set-irq", "irq %d level %d", irq, level);
 *
 * declares, names and type-checks the event in one line.  Off, it costs one
 * load and a predicted branch; `-trace 'pic-*'` matches the name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>

typedef struct TraceEvent {
    const char *name;
    const char *fmt;
    bool on;                    /* (A) */
} TraceEvent;

/* Events live in their own section, so that `-trace help` can list them. */
#define trace(ev_name, ev_fmt, ...)                                         \
    do {                                                                    \
        static TraceEvent trace_event_ = { ev_name, ev_fmt, false };        \
        static TraceEvent *const trace_ptr_                                 \
            __attribute__((used, section("rhea_trace"))) = &trace_event_;   \
        (void)trace_ptr_;                                                   \
        if (G_UNLIKELY(__atomic_load_n(&trace_event_.on,                    \
                                       __ATOMIC_RELAXED))) {            \
            trace_write(&trace_event_, "%s " ev_fmt, ev_name,               \
                        ##__VA_ARGS__);                                     \
        }                                                                   \
    } while (0)

void trace_write(const TraceEvent *ev, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* Switch the events that match the glob ("_" and "-" are the same); false
 * when none does. */
bool trace_enable(const char *glob, bool on);
/* The same for each line of a file: a glob, or "-glob" for off; "#" starts a
 * comment. */
bool trace_enable_from_file(const char *path, GError **err);
/* Every event (TraceEvent *), once, by name; free the array. */
GPtrArray *trace_events(void);
/* Print every event's name to stdout. */
void trace_list(void);
/* Send trace output to `path` in place of the debug log. */
bool trace_set_file(const char *path, GError **err);

#endif
