/*
 * Clocks and timers, in nanoseconds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include "loop/loop.h"

/*
 * CLK_HOST     host CLOCK_MONOTONIC: never stops.
 * CLK_VIRTUAL  guest time: starts at 0, stands still while the VM is stopped.
 *              Devices' timers use it.
 * CLK_RTC      wall-clock time since 1970 as the guest's RTC sees it (-rtc).
 */
typedef enum { CLK_HOST, CLK_VIRTUAL, CLK_RTC, CLK_N } ClockId;

/* Now, in ns, on that clock.  Any thread; no lock; monotonic but for CLK_RTC. */
int64_t clock_ns(ClockId clk);

/*
 * Stop and start CLK_VIRTUAL (and CLK_RTC with clock=vm); it is stopped at
 * first.  Timers of a stopped clock do not run.  Machine lock.
 */
void clock_stop(void);
void clock_start(void);
bool clock_running(void);
/* Another number each time CLK_VIRTUAL is started; 0: it stands still.  Any
 * thread; no lock. */
uint32_t clock_epoch(void);

/*
 * CLK_VIRTUAL advances by one nanosecond in `n` of the host's (1 at first): a
 * guest that runs a hundred times slower than its clock does nothing but
 * serve timer interrupts.  While it is stopped only.
 */
void clock_set_slowdown(unsigned n);
unsigned clock_slowdown(void);

/* -rtc: CLK_RTC shows `now_ns` now and moves on as `source` does (host, rt,
 * vm).  It is the host's UTC at first. */
typedef enum {
    RTC_FROM_HOST, RTC_FROM_MONOTONIC, RTC_FROM_VIRTUAL
} RtcSource;
void clock_set_rtc(RtcSource source, int64_t now_ns);

/*
 * For tests: from now on CLK_VIRTUAL and CLK_RTC move only by
 * clock_test_advance(), which runs the timers of the main loop that fall due,
 * each at its own time, in order, in the caller.
 */
void clock_test_manual(void);
void clock_test_advance(int64_t ns);

typedef struct Timer Timer;
typedef void TimerFn(void *opaque);

/* Embedded in its owner; fields are private to src/loop. */
struct Timer {
    Loop *loop;                 /* (C) its callback runs in this loop */
    ClockId clock;              /* (C) */
    TimerFn *fn;                /* (C) */
    void *opaque;               /* (C) */
    int64_t expire_ns;          /* INT64_MAX when not pending */
    unsigned heap_index;        /* place in the loop's heap, 0 when not in it */
};

/*
 * Prepare `t`: fn(opaque) will run in `loop`'s thread (on the main loop with
 * the machine lock held) when `clock` reaches the time set.
 */
void timer_init(Timer *t, Loop *loop, ClockId clock, TimerFn *fn,
                void *opaque);
/* (Re)arm for the absolute time `expire_ns`; the past fires at once. */
void timer_mod(Timer *t, int64_t expire_ns);
/* Disarm.  Afterwards fn does not start; from the timer's own loop, or with
 * the machine lock for the main loop's timers, it is not running either. */
void timer_del(Timer *t);
bool timer_pending(const Timer *t);
/* When it fires, or INT64_MAX. */
int64_t timer_expire_ns(const Timer *t);

#endif
