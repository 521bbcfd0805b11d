/*
 * Loops: calls, watches, threads, and the machine lock while polling.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "loop/loop.h"
#include "loop/timer.h"
#include "base/bits.h"

#include <pthread.h>
#include <unistd.h>

static int n_calls;

static void count_call(void *opaque)
{
    g_assert_true(machine_lock_held());
    g_assert_true(loop_is_current(loop_main()));
    __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED);
}

static void count_call_and_quit(void *opaque)
{
    count_call(NULL);
    loop_main_quit();
}

static gpointer caller(gpointer data)
{
    g_assert_false(loop_is_current(loop_main()));
    for (int i = 0; i < 100; i++) {
        loop_call(loop_main(), count_call, NULL);
    }
    return NULL;
}

static void test_calls(void)
{
    GThread *t;

    n_calls = 0;
    t = g_thread_new("caller", caller, NULL);
    g_thread_join(t);
    loop_call(loop_main(), count_call_and_quit, NULL);
    g_assert_false(machine_lock_held());
    loop_main_run();
    g_assert_false(machine_lock_held());
    g_assert_cmpint(n_calls, ==, 101);
}

/* A thread gets the lock although the main loop does nothing but run. */
static gpointer lock_taker(gpointer data)
{
    for (int i = 0; i < 20; i++) {
        machine_lock();
        n_calls++;              /* the lock guards it */
        machine_unlock();
    }
    loop_main_quit();
    return NULL;
}

static void test_lock_released(void)
{
    GThread *t;

    n_calls = 0;
    t = g_thread_new("taker", lock_taker, NULL);
    loop_main_run();
    g_thread_join(t);
    g_assert_cmpint(n_calls, ==, 20);
}

static void read_byte(int fd, GIOCondition events, void *opaque)
{
    char c;

    g_assert_true(events & G_IO_IN);
    g_assert_cmpint(read(fd, &c, 1), ==, 1);
    g_assert_cmpint(c, ==, 'x');
    ++*(int *)opaque;
}

static void test_watch(void)
{
    int fds[2], n = 0;
    GSource *source;

    g_assert_cmpint(pipe(fds), ==, 0);
    source = loop_watch(loop_main(), fds[0], G_IO_IN, read_byte, &n);
    while (loop_iterate(loop_main(), false)) {
    }
    g_assert_cmpint(n, ==, 0);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    while (n == 0) {
        loop_iterate(loop_main(), true);
    }
    loop_unwatch(source);
    loop_unwatch(NULL);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    while (loop_iterate(loop_main(), false)) {
    }
    g_assert_cmpint(n, ==, 1);
    close(fds[0]);
    close(fds[1]);
}

/* In a thread of its own: calls, a watch and a timer, without the lock. */
typedef struct Worker {
    Loop *loop;
    Timer timer;
    int n_calls, n_reads, n_ticks;      /* (A) */
} Worker;

static void worker_call(void *opaque)
{
    Worker *w = opaque;

    g_assert_false(machine_lock_held());
    g_assert_true(loop_is_current(w->loop));
    __atomic_add_fetch(&w->n_calls, 1, __ATOMIC_RELEASE);
}

static void worker_read(int fd, GIOCondition events, void *opaque)
{
    char c;

    if (read(fd, &c, 1) == 1) {
        __atomic_add_fetch(&((Worker *)opaque)->n_reads, 1, __ATOMIC_RELEASE);
    }
}

static void worker_tick(void *opaque)
{
    Worker *w = opaque;

    if (__atomic_add_fetch(&w->n_ticks, 1, __ATOMIC_RELEASE) < 10) {
        timer_mod(&w->timer, clock_ns(CLK_HOST) + 100 * NS_PER_US);
    }
}

static void wait_for(int *n, int value)
{
    while (__atomic_load_n(n, __ATOMIC_ACQUIRE) < value) {
        g_usleep(200);
    }
}

static void test_thread(void)
{
    Worker w = { .loop = loop_new_thread("worker") };
    GSource *source;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    timer_init(&w.timer, w.loop, CLK_HOST, worker_tick, &w);
    timer_mod(&w.timer, clock_ns(CLK_HOST) + NS_PER_MS);
    source = loop_watch(w.loop, fds[0], G_IO_IN, worker_read, &w);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    loop_call(w.loop, worker_call, &w);
    wait_for(&w.n_calls, 1);
    wait_for(&w.n_reads, 1);
    wait_for(&w.n_ticks, 10);
    loop_unwatch(source);
    loop_call(w.loop, worker_call, &w);
    loop_free(w.loop);                  /* runs what was called before */
    g_assert_cmpint(w.n_calls, ==, 2);
    close(fds[0]);
    close(fds[1]);
}

/* --- polling ------------------------------------------------------------- */

typedef struct Polled {
    Loop *loop;
    GSource *source;
    int work, done, kicks;      /* (A) */
} Polled;

static bool polled_ready(void *opaque)
{
    return __atomic_load_n(&((Polled *)opaque)->work, __ATOMIC_ACQUIRE);
}

static void polled_run(void *opaque)
{
    Polled *p = opaque;

    if (__atomic_exchange_n(&p->work, 0, __ATOMIC_ACQ_REL)) {
        __atomic_add_fetch(&p->done, 1, __ATOMIC_RELEASE);
    }
}

static void polled_want_kicks(void *opaque, bool on)
{
    __atomic_store_n(&((Polled *)opaque)->kicks, on, __ATOMIC_RELEASE);
}

static const LoopPollOps polled_ops = {
    .ready = polled_ready, .run = polled_run,
    .want_kicks = polled_want_kicks,
};

static void polled_start(void *opaque)
{
    Polled *p = opaque;

    p->source = loop_add_poller(p->loop, &polled_ops, p);
    loop_set_polling(p->loop, NS_PER_SEC, 10, 0);
    polled_want_kicks(p, true);
}

static void polled_stop(void *opaque)
{
    loop_remove_poller(((Polled *)opaque)->source);
}

static void nothing(void *opaque)
{
}

/* A loop that had to wait for less than max_ns spins longer and longer, until
 * it notices what nobody tells it. */
static void test_polling(void)
{
    Polled p = { .loop = loop_new_thread("poller") };
    int64_t end_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    loop_call(p.loop, polled_start, &p);
    while (!__atomic_load_n(&p.done, __ATOMIC_ACQUIRE)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
        if (__atomic_load_n(&p.kicks, __ATOMIC_ACQUIRE)) {
            loop_call(p.loop, nothing, NULL);       /* asleep, or about to */
        } else {
            __atomic_store_n(&p.work, 1, __ATOMIC_RELEASE);
        }
    }
    loop_call(p.loop, polled_stop, &p);
    loop_free(p.loop);
    g_assert_true(p.kicks);                         /* as before the spin */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    loop_main();
    g_test_add_func("/loop/calls", test_calls);
    g_test_add_func("/loop/lock-released", test_lock_released);
    g_test_add_func("/loop/watch", test_watch);
    g_test_add_func("/loop/thread", test_thread);
    g_test_add_func("/loop/polling", test_polling);
    return g_test_run();
}
