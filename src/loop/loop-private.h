/*
 * What the loop, its timers and the clocks share among themselves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LOOP_PRIVATE_H
#define LOOP_PRIVATE_H

#include "base/bits.h"
#include "loop/timer.h"

#include <pthread.h>

/* A binary heap of timers of one clock; at[1] is the earliest. */
typedef struct TimerHeap {
    Timer **at;
    unsigned n;
    unsigned n_alloc;
} TimerHeap;

typedef struct LoopTimers {
    pthread_mutex_t lock;       /* everything below, and the timers' state */
    TimerHeap heap[CLK_N];
    int fd;                     /* (C) timerfd on CLOCK_MONOTONIC */
    int64_t armed_ns;           /* when fd fires; INT64_MAX: it does not */
    bool dispatching;           /* fd is armed afterwards */
    GSource *source;            /* (C) */
} LoopTimers;

typedef struct LoopPolling {    /* in the loop's thread */
    GPtrArray *sources;
    int64_t max_ns, grow, shrink;
    int64_t now_ns;             /* how long it spins */
} LoopPolling;

typedef struct LoopCall LoopCall;

struct Loop {
    GMainContext *context;      /* (C) */
    GThread *thread;            /* (C) NULL for the main loop */
    int quit;                   /* (A) */

    LoopTimers timers;

    pthread_mutex_t call_lock;  /* the list of calls */
    LoopCall *calls, **calls_tail;
    int call_fd;                /* (C) eventfd: calls or quit to look at */
    GSource *call_source;       /* (C) */

    LoopPolling polling;

    Loop *next;                 /* list of all, under its lock */
};

/* Call fn for each loop there is. */
void loop_foreach(void (*fn)(Loop *loop));

/* False with errno: no descriptor is left. */
bool loop_timers_init(Loop *loop);
void loop_timers_free(Loop *loop);
/* A clock jumped, stopped or started: when is the next timer due? */
void loop_timers_rearm(Loop *loop);

/* Before the loop sleeps: is there anything, maybe after a while? */
bool loop_poll(Loop *loop, GPollFD *fds, unsigned n_fds, int timeout_ms);
/* It had to wait so long. */
void loop_polling_adapt(Loop *loop, int64_t waited_ns);
void loop_polling_free(Loop *loop);

/*
 * The CLOCK_MONOTONIC time at which `clk` shows `ns`; INT64_MAX when it does
 * not move by itself.
 */
int64_t clock_to_host_ns(ClockId clk, int64_t ns);
/* Move the manual clock to `ns`. */
void clock_test_set(int64_t virtual_ns);
bool clock_is_manual(void);

#endif
