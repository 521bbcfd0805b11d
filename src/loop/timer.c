/*
 * Timers: per loop and clock a heap, per loop one timerfd.
 *
 * The timerfd is armed for the earliest of all heaps.  It is never moved to a
 * later time: a timer that was put off costs one wake-up for nothing, and
 * guests put timers off far more often than they let them expire.
 *
 * Locks: LoopTimers.lock, a leaf; callbacks run without it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop-private.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A round runs what is pending and this many more: a callback that rearms
 * itself for the past must not keep the loop from its other work. */
#define ROUND_EXTRA 16

/* --- heap ---------------------------------------------------------------- */

static void heap_put(TimerHeap *h, unsigned i, Timer *t)
{
    h->at[i] = t;
    t->heap_index = i;
}

static void heap_up(TimerHeap *h, unsigned i, Timer *t)
{
    while (i > 1 && t->expire_ns < h->at[i / 2]->expire_ns) {
        heap_put(h, i, h->at[i / 2]);
        i /= 2;
    }
    heap_put(h, i, t);
}

static void heap_down(TimerHeap *h, unsigned i, Timer *t)
{
    for (unsigned child; (child = 2 * i) <= h->n; i = child) {
        if (child < h->n
            && h->at[child + 1]->expire_ns < h->at[child]->expire_ns) {
            child++;
        }
        if (t->expire_ns <= h->at[child]->expire_ns) {
            break;
        }
        heap_put(h, i, h->at[child]);
    }
    heap_put(h, i, t);
}

static void heap_remove(TimerHeap *h, Timer *t)
{
    unsigned i = t->heap_index;
    Timer *last = h->at[h->n--];

    t->heap_index = 0;
    if (last == t) {
        return;
    }
    if (i > 1 && last->expire_ns < h->at[i / 2]->expire_ns) {
        heap_up(h, i, last);
    } else {
        heap_down(h, i, last);
    }
}

static void heap_insert(TimerHeap *h, Timer *t)
{
    if (h->n + 2 > h->n_alloc) {
        h->n_alloc = MAX(16, 2 * h->n_alloc);
        h->at = g_renew(Timer *, h->at, h->n_alloc);
    }
    h->n++;
    heap_up(h, h->n, t);
}

/* --- arming -------------------------------------------------------------- */

static void set_expire(Timer *t, int64_t ns)
{
    __atomic_store_n(&t->expire_ns, ns, __ATOMIC_RELAXED);
}

/* The next timer that comes due and, in *at, when by CLOCK_MONOTONIC. */
static Timer *earliest(LoopTimers *lt, int64_t *at)
{
    Timer *first = NULL;

    *at = INT64_MAX;
    for (ClockId clk = 0; clk < CLK_N; clk++) {
        if (lt->heap[clk].n) {
            Timer *t = lt->heap[clk].at[1];
            int64_t host = clock_to_host_ns(clk, t->expire_ns);

            if (host < *at) {
                *at = host;
                first = t;
            }
        }
    }
    return first;
}

/* `at` INT64_MAX disarms.  Either way fd is not readable any more. */
static void set_fd(LoopTimers *lt, int64_t at)
{
    int64_t when = at == INT64_MAX ? 0 : MAX(at, 1);    /* zero disarms */
    struct itimerspec ts = {
        .it_value = { when / NS_PER_SEC, when % NS_PER_SEC },
    };

    timerfd_settime(lt->fd, TFD_TIMER_ABSTIME, &ts, NULL);
    lt->armed_ns = at;
}

/* Under the lock. */
static void arm(LoopTimers *lt)
{
    int64_t at;

    if (!lt->dispatching && earliest(lt, &at) && at < lt->armed_ns) {
        set_fd(lt, at);
    }
}

void loop_timers_rearm(Loop *loop)
{
    LoopTimers *lt = &loop->timers;

    pthread_mutex_lock(&lt->lock);
    arm(lt);
    pthread_mutex_unlock(&lt->lock);
}

/* --- running ------------------------------------------------------------- */

/* Take the first timer out if it is due at `now`. */
static Timer *pop_due(LoopTimers *lt, int64_t now)
{
    int64_t at;
    Timer *t = earliest(lt, &at);

    if (!t || at > now) {
        return NULL;
    }
    heap_remove(&lt->heap[t->clock], t);
    set_expire(t, INT64_MAX);
    return t;
}

static unsigned n_pending(const LoopTimers *lt)
{
    unsigned n = 0;

    for (ClockId clk = 0; clk < CLK_N; clk++) {
        n += lt->heap[clk].n;
    }
    return n;
}

static void run_due(LoopTimers *lt)
{
    int64_t now, at;
    unsigned budget;
    Timer *t;

    pthread_mutex_lock(&lt->lock);
    lt->dispatching = true;
    now = clock_ns(CLK_HOST);
    budget = n_pending(lt) + ROUND_EXTRA;
    while (budget-- && (t = pop_due(lt, now))) {
        TimerFn *fn = t->fn;
        void *opaque = t->opaque;

        /* Once unlocked, `t` is its owner's again, who may free it. */
        pthread_mutex_unlock(&lt->lock);
        fn(opaque);
        pthread_mutex_lock(&lt->lock);
    }
    lt->dispatching = false;
    earliest(lt, &at);
    set_fd(lt, at);             /* and so needs no read() */
    pthread_mutex_unlock(&lt->lock);
}

typedef struct TimerSource {
    GSource source;
    Loop *loop;
    gpointer tag;
} TimerSource;

static gboolean source_ready(GSource *source)
{
    TimerSource *ts = (TimerSource *)source;

    return g_source_query_unix_fd(source, ts->tag) & G_IO_IN;
}

static gboolean source_dispatch(GSource *source, GSourceFunc fn, gpointer data)
{
    run_due(&((TimerSource *)source)->loop->timers);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_source_funcs = {
    .check = source_ready, .dispatch = source_dispatch,
};

bool loop_timers_init(Loop *loop)
{
    LoopTimers *lt = &loop->timers;
    TimerSource *ts;

    lt->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (lt->fd < 0) {
        return false;
    }
    pthread_mutex_init(&lt->lock, NULL);
    lt->armed_ns = INT64_MAX;
    lt->source = g_source_new(&timer_source_funcs, sizeof(TimerSource));
    ts = (TimerSource *)lt->source;
    ts->loop = loop;
    ts->tag = g_source_add_unix_fd(lt->source, lt->fd, G_IO_IN);
    g_source_attach(lt->source, loop->context);
    return true;
}

void loop_timers_free(Loop *loop)
{
    LoopTimers *lt = &loop->timers;

    g_source_destroy(lt->source);
    g_source_unref(lt->source);
    close(lt->fd);
    for (ClockId clk = 0; clk < CLK_N; clk++) {
        for (unsigned i = 1; i <= lt->heap[clk].n; i++) {
            lt->heap[clk].at[i]->heap_index = 0;
        }
        g_free(lt->heap[clk].at);
    }
    pthread_mutex_destroy(&lt->lock);
}

/* --- what others call ---------------------------------------------------- */

void timer_init(Timer *t, Loop *loop, ClockId clock, TimerFn *fn,
                void *opaque)
{
    assert(loop && clock < CLK_N && fn);
    *t = (Timer){
        .loop = loop, .clock = clock, .fn = fn, .opaque = opaque,
        .expire_ns = INT64_MAX,
    };
}

void timer_mod(Timer *t, int64_t expire_ns)
{
    LoopTimers *lt;
    TimerHeap *h;

    if (expire_ns == INT64_MAX) {
        timer_del(t);
        return;
    }
    lt = &t->loop->timers;
    h = &lt->heap[t->clock];
    pthread_mutex_lock(&lt->lock);
    if (t->heap_index) {
        heap_remove(h, t);
    }
    set_expire(t, expire_ns);
    heap_insert(h, t);
    if (t->heap_index == 1) {
        arm(lt);
    }
    pthread_mutex_unlock(&lt->lock);
}

void timer_del(Timer *t)
{
    LoopTimers *lt;

    if (!t->loop) {             /* never initialized: nothing to disarm */
        return;
    }
    lt = &t->loop->timers;
    pthread_mutex_lock(&lt->lock);
    if (t->heap_index) {
        heap_remove(&lt->heap[t->clock], t);
    }
    set_expire(t, INT64_MAX);
    pthread_mutex_unlock(&lt->lock);
}

bool timer_pending(const Timer *t)
{
    return timer_expire_ns(t) != INT64_MAX;
}

int64_t timer_expire_ns(const Timer *t)
{
    return t->loop ? __atomic_load_n(&t->expire_ns, __ATOMIC_RELAXED)
                   : INT64_MAX;
}

/* --- time by hand -------------------------------------------------------- */

/* When CLK_VIRTUAL will show that `t` is due: CLK_RTC follows it. */
static int64_t due_virtual_ns(const Timer *t)
{
    return t->expire_ns - clock_ns(t->clock) + clock_ns(CLK_VIRTUAL);
}

/* Take out the next timer of a manual clock due by `end`; when, in *at. */
static Timer *pop_manual(LoopTimers *lt, int64_t end, int64_t *at)
{
    Timer *first = NULL;

    *at = end;
    pthread_mutex_lock(&lt->lock);
    for (ClockId clk = CLK_VIRTUAL; clk <= CLK_RTC; clk++) {
        if (lt->heap[clk].n) {
            Timer *t = lt->heap[clk].at[1];
            int64_t due = due_virtual_ns(t);

            if (due <= *at && (!first || due < *at)) {
                *at = due;
                first = t;
            }
        }
    }
    if (first) {
        heap_remove(&lt->heap[first->clock], first);
        set_expire(first, INT64_MAX);
    }
    pthread_mutex_unlock(&lt->lock);
    return first;
}

void clock_test_advance(int64_t ns)
{
    int64_t end = clock_ns(CLK_VIRTUAL) + ns, at;
    bool take_lock = !machine_lock_held();
    Timer *t;

    assert(clock_is_manual());
    if (take_lock) {
        machine_lock();
    }
    while ((t = pop_manual(&loop_main()->timers, end, &at))) {
        clock_test_set(MAX(at, clock_ns(CLK_VIRTUAL)));
        t->fn(t->opaque);
    }
    clock_test_set(end);
    if (take_lock) {
        machine_unlock();
    }
}
