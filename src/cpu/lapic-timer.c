/*
 * Local APIC: its timer.
 *
 * Spec:   Intel SDM volume 3A, 11.5.4.
 * Models: one-shot, periodic and TSC-deadline mode.  The bus clock is 1 GHz,
 *         one tick a nanosecond.
 * Locks:  `timer_mutex` for its registers: the callback runs in a thread that
 *         all local APICs share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lapic-private.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"

/* A guest that asks for less gets this: the timer thread must not starve the
 * others.  Linux never programs less than a microsecond. */
#define MIN_PERIOD_NS 1000

static Loop *timer_loop;        /* shared by all local APICs */

static unsigned mode(const Lapic *a)
{
    return __atomic_load_n(&a->lvt[LVT_TIMER], __ATOMIC_RELAXED)
           & LVT_TIMER_MODE;
}

/* Divide configuration: bits 0, 1 and 3; 111 divides by 1. */
static unsigned divisor(const Lapic *a)
{
    unsigned v = (a->timer_divide & 3) | (a->timer_divide >> 1 & 4);

    return v == 7 ? 1 : 2u << v;
}

static int64_t period_ns(const Lapic *a)
{
    return MAX((int64_t)a->timer_initial * divisor(a), MIN_PERIOD_NS);
}

/* The TSC is CLK_VIRTUAL scaled: the time at which it reaches `tsc`. */
static int64_t tsc_to_ns(Lapic *a, uint64_t tsc)
{
    int64_t delta = (int64_t)(tsc - cpu_read_tsc(a->cpu));
    __int128 ns = (__int128)delta * NS_PER_SEC / (int64_t)cpu_tsc_hz();

    return clock_ns(CLK_VIRTUAL) + (int64_t)MIN(ns, INT64_MAX / 4);
}

/* With timer_mutex. */
static void arm(Lapic *a)
{
    if (in_kernel()) {
        return;                 /* theirs runs */
    }
    if (mode(a) == LVT_DEADLINE) {
        if (a->tsc_deadline) {
            timer_mod(&a->timer, tsc_to_ns(a, a->tsc_deadline));
        } else {
            timer_del(&a->timer);
        }
    } else if (a->timer_initial && a->timer_start_ns != LAPIC_STOPPED) {
        timer_mod(&a->timer, a->timer_start_ns + period_ns(a));
    } else {
        timer_del(&a->timer);
    }
}

/* With timer_mutex: has a count run out?  Then the next one begins. */
static bool expire(Lapic *a)
{
    int64_t gone = clock_ns(CLK_VIRTUAL) - a->timer_start_ns;

    if (!a->timer_initial || a->timer_start_ns == LAPIC_STOPPED
        || gone < period_ns(a)) {
        return false;
    }
    if (mode(a) == LVT_PERIODIC) {
        a->timer_start_ns += gone / period_ns(a) * period_ns(a);
    } else {
        a->timer_start_ns = LAPIC_STOPPED;
    }
    return true;
}

static void interrupt(Lapic *a)
{
    uint32_t lvt = __atomic_load_n(&a->lvt[LVT_TIMER], __ATOMIC_RELAXED);

    if (!(lvt & LVT_MASKED)) {
        lapic_accept(a, APIC_DM_FIXED, lvt & LVT_VECTOR, false);
    }
}

static void fired(void *opaque)
{
    Lapic *a = opaque;
    bool fire;

    g_mutex_lock(&a->timer_mutex);
    if (mode(a) == LVT_DEADLINE) {
        fire = a->tsc_deadline && a->tsc_deadline <= cpu_read_tsc(a->cpu);
        if (fire) {
            a->tsc_deadline = 0;
        }
    } else {
        fire = expire(a);
    }
    arm(a);               /* the next period, or rewritten since */
    g_mutex_unlock(&a->timer_mutex);
    if (fire) {
        interrupt(a);
    }
}

uint32_t lapic_timer_current(Lapic *a)
{
    int64_t gone, period;

    if (mode(a) == LVT_DEADLINE || !a->timer_initial
        || a->timer_start_ns == LAPIC_STOPPED) {
        return 0;
    }
    gone = clock_ns(CLK_VIRTUAL) - a->timer_start_ns;
    period = (int64_t)a->timer_initial * divisor(a);
    if (gone >= period) {
        if (mode(a) != LVT_PERIODIC) {
            return 0;
        }
        gone %= period;
    }
    return a->timer_initial - gone / divisor(a);
}

void lapic_timer_write_initial(Lapic *a, uint32_t val)
{
    g_mutex_lock(&a->timer_mutex);
    if (mode(a) != LVT_DEADLINE) {
        a->timer_initial = val;
        a->timer_start_ns = clock_ns(CLK_VIRTUAL);
        arm(a);
    }
    g_mutex_unlock(&a->timer_mutex);
}

void lapic_timer_write_divide(Lapic *a, uint32_t val)
{
    g_mutex_lock(&a->timer_mutex);
    a->timer_divide = val & 0xb;
    arm(a);
    g_mutex_unlock(&a->timer_mutex);
}

void lapic_timer_write_lvt(Lapic *a, uint32_t val)
{
    g_mutex_lock(&a->timer_mutex);
    /* What the old mode owes, should the timer's thread be late. */
    if (mode(a) != LVT_DEADLINE && expire(a)) {
        interrupt(a);
    }
    if ((val ^ a->lvt[LVT_TIMER]) & LVT_DEADLINE) {
        /* Changing to or from deadline mode disarms: SDM 11.5.4.1. */
        a->timer_initial = 0;
        a->tsc_deadline = 0;
    }
    __atomic_store_n(&a->lvt[LVT_TIMER], val, __ATOMIC_RELAXED);
    arm(a);
    g_mutex_unlock(&a->timer_mutex);
}

uint64_t lapic_timer_read_deadline(Lapic *a)
{
    uint64_t tsc;

    g_mutex_lock(&a->timer_mutex);
    tsc = a->tsc_deadline;
    g_mutex_unlock(&a->timer_mutex);
    return tsc;
}

void lapic_timer_write_deadline(Lapic *a, uint64_t tsc)
{
    bool fire = false;

    g_mutex_lock(&a->timer_mutex);
    if (mode(a) == LVT_DEADLINE) {
        fire = tsc && !in_kernel() && tsc <= cpu_read_tsc(a->cpu);
        a->tsc_deadline = fire ? 0 : tsc;
        arm(a);
    }
    g_mutex_unlock(&a->timer_mutex);
    if (fire) {
        interrupt(a);           /* now, not when another thread wakes up */
    }
}

void lapic_timer_load(Lapic *a, uint32_t initial, uint32_t current,
                      uint32_t divide, uint64_t tsc_deadline)
{
    a->timer_initial = initial;
    a->timer_divide = divide;
    a->timer_start_ns = clock_ns(CLK_VIRTUAL)
                        - (int64_t)(initial - current) * divisor(a);
    if (current == 0 && mode(a) != LVT_PERIODIC) {
        a->timer_start_ns = LAPIC_STOPPED;
    }
    a->tsc_deadline = tsc_deadline;
}

void lapic_timer_update(Lapic *a)
{
    g_mutex_lock(&a->timer_mutex);
    arm(a);
    g_mutex_unlock(&a->timer_mutex);
}

void lapic_timer_reset(Lapic *a)
{
    g_mutex_lock(&a->timer_mutex);
    a->timer_initial = a->timer_divide = 0;
    a->tsc_deadline = 0;
    timer_del(&a->timer);
    g_mutex_unlock(&a->timer_mutex);
}

void lapic_timer_init(Lapic *a)
{
    if (!timer_loop) {
        timer_loop = loop_new_thread("apic-timers");
    }
    if (!timer_loop) {          /* the machine is being made: none runs */
        report_error("the local APICs' timers get no thread: %s",
                     g_strerror(errno));
        exit(EXIT_FAILURE);
    }
    g_mutex_init(&a->timer_mutex);
    timer_init(&a->timer, timer_loop, CLK_VIRTUAL, fired, a);
}

void lapic_timer_free(Lapic *a)
{
    timer_del(&a->timer);
    g_mutex_clear(&a->timer_mutex);
}
