/*
 * Clocks and timers: order, stopping, many threads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop/timer.h"
#include "base/bits.h"

#define N_TIMERS 200

typedef struct Probe {
    Timer timer;
    int64_t due_ns;
    int n_fired;
} Probe;

static int64_t last_due_ns;

static void probe_fired(void *opaque)
{
    Probe *p = opaque;

    g_assert_true(machine_lock_held());
    g_assert_false(timer_pending(&p->timer));
    g_assert_cmpint(clock_ns(p->timer.clock), >=, p->due_ns);
    g_assert_cmpint(p->due_ns, >=, last_due_ns);
    last_due_ns = p->due_ns;
    p->n_fired++;
}

static void probe_init(Probe *p, ClockId clk)
{
    timer_init(&p->timer, loop_main(), clk, probe_fired, p);
    p->n_fired = 0;
}

static void probe_arm(Probe *p, int64_t due_ns)
{
    p->due_ns = due_ns;
    timer_mod(&p->timer, due_ns);
}

static void test_order(void)
{
    static Probe p[N_TIMERS];
    int64_t start = clock_ns(CLK_HOST) + NS_PER_MS;
    unsigned seed = 1;
    int n = 0;

    last_due_ns = 0;
    for (int i = 0; i < N_TIMERS; i++) {
        probe_init(&p[i], CLK_HOST);
    }
    for (int i = 0; i < 5 * N_TIMERS; i++) {    /* armed again and again */
        seed = seed * 1103515245 + 12345;
        probe_arm(&p[seed / 65536 % N_TIMERS],
                  start + seed / 256 % 65536 * NS_PER_US / 16);
        if (i % 7 == 0) {
            timer_del(&p[(seed >> 20) % N_TIMERS].timer);
        }
    }
    for (int i = 0; i < N_TIMERS; i++) {
        n += timer_pending(&p[i].timer);
    }
    g_assert_cmpint(n, >, N_TIMERS / 2);
    while (n > 0) {
        loop_iterate(loop_main(), true);
        n = 0;
        for (int i = 0; i < N_TIMERS; i++) {
            n += timer_pending(&p[i].timer);
            g_assert_cmpint(p[i].n_fired, <=, 1);
        }
    }
}

static void test_past_and_precision(void)
{
    Probe p;
    int64_t best = INT64_MAX;

    probe_init(&p, CLK_HOST);
    last_due_ns = INT64_MIN;
    probe_arm(&p, -5);
    loop_iterate(loop_main(), true);
    g_assert_cmpint(p.n_fired, ==, 1);

    /* Well below poll()'s millisecond, on any but a stalled machine. */
    last_due_ns = 0;
    for (int i = 0; i < 20; i++) {
        probe_arm(&p, clock_ns(CLK_HOST) + 200 * NS_PER_US);
        while (timer_pending(&p.timer)) {
            loop_iterate(loop_main(), true);
        }
        best = MIN(best, clock_ns(CLK_HOST) - p.due_ns);
    }
    g_assert_cmpint(best, <, NS_PER_MS);
}

static void test_stopped(void)
{
    Probe p;
    int64_t t;

    last_due_ns = 0;
    g_assert_false(clock_running());
    g_assert_cmpint(clock_ns(CLK_VIRTUAL), ==, 0);
    probe_init(&p, CLK_VIRTUAL);
    probe_arm(&p, 2 * NS_PER_MS);
    g_usleep(4000);
    while (loop_iterate(loop_main(), false)) {
    }
    g_assert_cmpint(p.n_fired, ==, 0);

    clock_start();
    while (!p.n_fired) {
        loop_iterate(loop_main(), true);
    }
    clock_stop();
    t = clock_ns(CLK_VIRTUAL);
    g_assert_cmpint(t, >=, 2 * NS_PER_MS);
    g_usleep(2000);
    g_assert_cmpint(clock_ns(CLK_VIRTUAL), ==, t);
    clock_start();
    g_assert_cmpint(clock_ns(CLK_VIRTUAL), <, t + NS_PER_SEC);
    clock_stop();
}

static void test_slowdown(void)
{
    int64_t host, guest;

    g_assert_false(clock_running());
    clock_set_slowdown(50);
    g_assert_cmpuint(clock_slowdown(), ==, 50);
    guest = clock_ns(CLK_VIRTUAL);
    host = clock_ns(CLK_HOST);
    clock_start();
    clock_set_slowdown(1);              /* not while it runs */
    g_assert_cmpuint(clock_slowdown(), ==, 50);
    g_usleep(5000);
    guest = clock_ns(CLK_VIRTUAL) - guest;
    host = clock_ns(CLK_HOST) - host;
    g_assert_cmpint(guest, >=, 5 * NS_PER_MS / 50);
    g_assert_cmpint(guest, <=, host / 50);

    /* A timer of it is due that much later by the host's clock. */
    {
        Probe p;

        last_due_ns = 0;
        probe_init(&p, CLK_VIRTUAL);
        host = clock_ns(CLK_HOST);
        probe_arm(&p, clock_ns(CLK_VIRTUAL) + 100 * NS_PER_US);
        while (!p.n_fired) {
            loop_iterate(loop_main(), true);
        }
        g_assert_cmpint(clock_ns(CLK_HOST) - host, >=,
                        100 * NS_PER_US * 50);
    }
    clock_stop();
    clock_set_slowdown(1);
}

/* A timer that always rearms for the past must not hold up the loop. */
static Timer greedy;
static bool called;

static void greedy_fired(void *opaque)
{
    timer_mod(&greedy, 0);
}

static void set_called(void *opaque)
{
    called = true;
}

static void test_greedy(void)
{
    timer_init(&greedy, loop_main(), CLK_HOST, greedy_fired, NULL);
    timer_mod(&greedy, 0);
    loop_call(loop_main(), set_called, NULL);
    while (!called) {
        loop_iterate(loop_main(), true);
    }
    timer_del(&greedy);
}

/* Two threads arm the timers of a third's loop. */
static Timer shared[4];
static int n_shared;

static void shared_fired(void *opaque)
{
    __atomic_add_fetch(&n_shared, 1, __ATOMIC_RELAXED);
}

static gpointer armer(gpointer data)
{
    for (int i = 0; i < 500; i++) {
        timer_mod(&shared[i % 4], clock_ns(CLK_HOST) + i % 50 * NS_PER_US);
        if (i % 5 == 0) {
            timer_del(&shared[(i + 1) % 4]);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    Loop *loop = loop_new_thread("timers");
    GThread *t[2];

    for (int i = 0; i < 4; i++) {
        timer_init(&shared[i], loop, CLK_HOST, shared_fired, NULL);
    }
    for (int i = 0; i < 2; i++) {
        t[i] = g_thread_new("armer", armer, NULL);
    }
    for (int i = 0; i < 2; i++) {
        g_thread_join(t[i]);
    }
    for (int i = 0; i < 4; i++) {
        timer_mod(&shared[i], 0);
    }
    for (int i = 0; i < 4; i++) {
        while (timer_pending(&shared[i])) {
            g_usleep(100);
        }
    }
    loop_free(loop);
    g_assert_cmpint(n_shared, >=, 4);
}

/* Last: there is no way back from manual time. */
static Timer periodic;
static int n_periods;

static void period(void *opaque)
{
    g_assert_cmpint(clock_ns(CLK_VIRTUAL), ==, 1000 * ++n_periods);
    timer_mod(&periodic, clock_ns(CLK_VIRTUAL) + 1000);
}

static void test_manual(void)
{
    Probe a, b;
    int64_t rtc;

    clock_test_manual();
    clock_test_advance(-clock_ns(CLK_VIRTUAL));
    last_due_ns = 0;
    probe_init(&a, CLK_VIRTUAL);
    probe_init(&b, CLK_VIRTUAL);
    probe_arm(&a, 2500);
    probe_arm(&b, 1500);
    timer_init(&periodic, loop_main(), CLK_VIRTUAL, period, NULL);
    timer_mod(&periodic, 1000);
    clock_test_advance(999);
    g_assert_cmpint(n_periods, ==, 0);
    clock_test_advance(1);
    g_assert_cmpint(n_periods, ==, 1);
    clock_test_advance(9000);
    g_assert_cmpint(n_periods, ==, 10);
    g_assert_cmpint(a.n_fired + b.n_fired, ==, 2);
    g_assert_cmpint(clock_ns(CLK_VIRTUAL), ==, 10000);
    timer_del(&periodic);

    clock_set_rtc(RTC_FROM_HOST, 1000 * NS_PER_SEC);
    rtc = clock_ns(CLK_RTC);
    g_assert_cmpint(rtc, ==, 1000 * NS_PER_SEC);
    probe_init(&a, CLK_RTC);
    probe_arm(&a, rtc + NS_PER_SEC);
    clock_test_advance(NS_PER_SEC - 1);
    g_assert_cmpint(a.n_fired, ==, 0);
    clock_test_advance(1);
    g_assert_cmpint(a.n_fired, ==, 1);
    g_assert_cmpint(clock_ns(CLK_RTC), ==, rtc + NS_PER_SEC);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/timer/order", test_order);
    g_test_add_func("/timer/past-and-precision", test_past_and_precision);
    g_test_add_func("/timer/stopped", test_stopped);
    g_test_add_func("/timer/slowdown", test_slowdown);
    g_test_add_func("/timer/greedy", test_greedy);
    g_test_add_func("/timer/threads", test_threads);
    g_test_add_func("/timer/manual", test_manual);
    return g_test_run();
}
