/*
 * Event loops: a GMainContext, perhaps with a thread of its own, ns timers.
 *
 * There is one main loop; it holds the machine lock while it dispatches and
 * drops it while it polls.  Other loops (iothreads, the local APICs' timers)
 * hold no lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Loop Loop;

/* The process's main loop; made at first use. */
Loop *loop_main(void);

/* A loop with a thread named `name` (at most 15 characters), running; NULL
 * with errno when the host has no descriptors or threads left. */
Loop *loop_new_thread(const char *name);
/* Stop the thread, join it, free the loop.  Not from its own thread. */
void loop_free(Loop *loop);

GMainContext *loop_context(Loop *loop);
/* Is the calling thread the one that dispatches `loop`? */
bool loop_is_current(Loop *loop);

/* Run the main loop until loop_main_quit(); the caller holds no lock. */
void loop_main_run(void);
/* Under the machine lock: is that all it takes to do the main loop's work?  So
 * it is while loop_main_run() runs; before and after, and in tools and tests,
 * the initial thread works without the lock. */
bool loop_main_running(void);
/* Any thread, and signal handlers. */
void loop_main_quit(void);
/* Has it been asked to, and not yet done so? */
bool loop_main_quitting(void);
/* Dispatch what is ready; wait for something when `block`.  Tests use this. */
bool loop_iterate(Loop *loop, bool block);

/* Run fn(opaque) once in `loop`'s thread, soon.  Any thread, any lock. */
void loop_call(Loop *loop, void (*fn)(void *opaque), void *opaque);

/*
 * Watch `fd`: call fn(fd, condition, opaque) in `loop`'s thread while any of
 * `events` (G_IO_IN | G_IO_OUT | ...; HUP and ERR always) holds.  Returns a
 * source that loop_unwatch() removes; NULL is ignored there.
 */
typedef void LoopFdFn(int fd, GIOCondition events, void *opaque);
GSource *loop_watch(Loop *loop, int fd, GIOCondition events, LoopFdFn *fn,
                    void *opaque);
void loop_unwatch(GSource *source);

/*
 * What a loop that polls looks at before it sleeps (an iothread's, when
 * loop_set_polling() gave it time).  All in the loop's thread; ready() is asked
 * often and changes nothing.
 */
typedef struct LoopPollOps {
    bool (*ready)(void *opaque);
    void (*run)(void *opaque);              /* it was */
    /* Off while it is being looked at: who brings work need not wake us. */
    void (*want_kicks)(void *opaque, bool on);
} LoopPollOps;
GSource *loop_add_poller(Loop *loop, const LoopPollOps *ops, void *opaque);
void loop_remove_poller(GSource *source);
/* Spin for up to max_ns, 0: never.  `grow` 0: twice as long each time;
 * `shrink` 0: at once to nothing. */
void loop_set_polling(Loop *loop, int64_t max_ns, int64_t grow,
                      int64_t shrink);

/*
 * The machine lock: device state, the object tree, the memory map and the
 * lines.  Not recursive.  vCPU threads take it for a device callback; the
 * main loop holds it while it dispatches.
 */
void machine_lock(void);
bool machine_trylock(void);
void machine_unlock(void);
bool machine_lock_held(void);

#endif
