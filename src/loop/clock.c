/*
 * The three clocks.
 *
 * CLK_VIRTUAL is CLOCK_MONOTONIC less the time it has been stopped, divided
 * by how much slower than that it is to go.  Readers
 * take no lock: the few words they need change under a sequence count.
 *
 * Locks: writers hold write_lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop-private.h"

#include <time.h>

typedef struct ClockState {
    int64_t virtual_offset_ns;  /* running: monotonic when virtual was 0 */
    int64_t virtual_slowdown;   /* monotonic ns for one of virtual */
    int64_t virtual_frozen_ns;  /* not running: what it shows */
    int64_t rtc_offset_ns;      /* CLK_RTC - its source */
    int virtual_runs;
    int rtc_source;
    int manual;
} ClockState;

static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned sequence;       /* (A) odd while being written */
static ClockState state = { .virtual_slowdown = 1 };   /* (A) each word */
static uint32_t epoch;          /* (A) written under write_lock */
static bool started;            /* under write_lock: clock_start() was last */

static int64_t host_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);     /* vDSO: no system call */
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

#define LOAD(field)     __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, v) __atomic_store_n(&(field), v, __ATOMIC_RELEASE)

static ClockState read_state(void)
{
    ClockState s;
    unsigned seq;

    do {
        seq = LOAD(sequence);
        s.virtual_offset_ns = LOAD(state.virtual_offset_ns);
        s.virtual_slowdown = LOAD(state.virtual_slowdown);
        s.virtual_frozen_ns = LOAD(state.virtual_frozen_ns);
        s.rtc_offset_ns = LOAD(state.rtc_offset_ns);
        s.virtual_runs = LOAD(state.virtual_runs);
        s.rtc_source = LOAD(state.rtc_source);
        s.manual = LOAD(state.manual);
    } while ((seq & 1) || LOAD(sequence) != seq);
    return s;
}

/* Under write_lock. */
static void write_state(const ClockState *s)
{
    STORE(sequence, sequence + 1);
    STORE(state.virtual_offset_ns, s->virtual_offset_ns);
    STORE(state.virtual_slowdown, s->virtual_slowdown);
    STORE(state.virtual_frozen_ns, s->virtual_frozen_ns);
    STORE(state.rtc_offset_ns, s->rtc_offset_ns);
    STORE(state.virtual_runs, s->virtual_runs);
    STORE(state.rtc_source, s->rtc_source);
    STORE(state.manual, s->manual);
    STORE(sequence, sequence + 1);
}

static int64_t virtual_ns(const ClockState *s)
{
    int64_t ns;

    if (!s->virtual_runs) {
        return s->virtual_frozen_ns;
    }
    ns = host_ns(CLOCK_MONOTONIC) - s->virtual_offset_ns;
    return s->virtual_slowdown == 1 ? ns : ns / s->virtual_slowdown;
}

static int64_t rtc_source_ns(const ClockState *s)
{
    switch (s->rtc_source) {
    case RTC_FROM_VIRTUAL:
        return virtual_ns(s);
    case RTC_FROM_MONOTONIC:
        return host_ns(CLOCK_MONOTONIC);
    default:
        return host_ns(CLOCK_REALTIME);
    }
}

int64_t clock_ns(ClockId clk)
{
    ClockState s;

    if (clk == CLK_HOST) {
        return host_ns(CLOCK_MONOTONIC);
    }
    s = read_state();
    return clk == CLK_VIRTUAL ? virtual_ns(&s)
                              : rtc_source_ns(&s) + s.rtc_offset_ns;
}

uint32_t clock_epoch(void)
{
    return LOAD(epoch);
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX)
                                              : sum;
}

static int64_t virtual_to_host(const ClockState *s, int64_t ns)
{
    if (!s->virtual_runs
        || __builtin_mul_overflow(ns, s->virtual_slowdown, &ns)) {
        return INT64_MAX;
    }
    return add_saturating(ns, s->virtual_offset_ns);
}

int64_t clock_to_host_ns(ClockId clk, int64_t ns)
{
    ClockState s;

    if (clk == CLK_HOST) {
        return ns;
    }
    s = read_state();
    if (clk == CLK_VIRTUAL) {
        return virtual_to_host(&s, ns);
    }
    ns = add_saturating(ns, -s.rtc_offset_ns);
    switch (s.rtc_source) {
    case RTC_FROM_VIRTUAL:
        return virtual_to_host(&s, ns);
    case RTC_FROM_MONOTONIC:
        return ns;
    default:                    /* as long as nobody sets the host's clock */
        return add_saturating(ns, host_ns(CLOCK_MONOTONIC)
                                  - host_ns(CLOCK_REALTIME));
    }
}

void clock_stop(void)
{
    ClockState s;

    pthread_mutex_lock(&write_lock);
    started = false;
    s = read_state();
    if (s.virtual_runs) {
        s.virtual_frozen_ns = virtual_ns(&s);
        s.virtual_runs = false;
        STORE(epoch, 0);
        write_state(&s);
    }
    pthread_mutex_unlock(&write_lock);
}

void clock_start(void)
{
    static uint32_t n_starts;
    ClockState s;

    pthread_mutex_lock(&write_lock);
    started = true;
    s = read_state();
    if (!s.virtual_runs && !s.manual) {
        s.virtual_offset_ns = host_ns(CLOCK_MONOTONIC)
                              - s.virtual_frozen_ns * s.virtual_slowdown;
        s.virtual_runs = true;
        write_state(&s);
        STORE(epoch, ++n_starts << 1 | 1);
    }
    pthread_mutex_unlock(&write_lock);
    loop_foreach(loop_timers_rearm);
}

void clock_set_slowdown(unsigned n)
{
    ClockState s;

    pthread_mutex_lock(&write_lock);
    s = read_state();
    if (!s.virtual_runs) {
        s.virtual_slowdown = MAX(n, 1);
        write_state(&s);
    }
    pthread_mutex_unlock(&write_lock);
}

unsigned clock_slowdown(void)
{
    return LOAD(state.virtual_slowdown);
}

bool clock_running(void)
{
    bool is_started;

    pthread_mutex_lock(&write_lock);
    is_started = started;
    pthread_mutex_unlock(&write_lock);
    return is_started;
}

void clock_set_rtc(RtcSource source, int64_t now_ns)
{
    ClockState s;

    pthread_mutex_lock(&write_lock);
    s = read_state();
    s.rtc_source = s.manual ? RTC_FROM_VIRTUAL : source;
    s.rtc_offset_ns = now_ns - rtc_source_ns(&s);
    write_state(&s);
    pthread_mutex_unlock(&write_lock);
    loop_foreach(loop_timers_rearm);
}

void clock_test_manual(void)
{
    int64_t rtc_ns = clock_ns(CLK_RTC);
    ClockState s;

    clock_stop();
    pthread_mutex_lock(&write_lock);
    started = true;
    s = read_state();
    s.manual = true;
    write_state(&s);
    pthread_mutex_unlock(&write_lock);
    clock_set_rtc(RTC_FROM_VIRTUAL, rtc_ns);
}

bool clock_is_manual(void)
{
    return LOAD(state.manual);
}

void clock_test_set(int64_t ns)
{
    ClockState s;

    pthread_mutex_lock(&write_lock);
    s = read_state();
    s.virtual_frozen_ns = ns;
    write_state(&s);
    pthread_mutex_unlock(&write_lock);
}
