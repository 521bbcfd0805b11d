/*
 * The guest's TSC: threads that ask, and threads that compute it from copies of
 * its line, see one rising clock that is CLK_VIRTUAL's, over stops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fake-accel.h"

#include "cpu/tsc.h"
#include "loop/timer.h"

enum { N_THREADS = 3, ROUNDS = 3, RUN_NS = 20000000, SLACK_NS = 100000 };

static Machine *m;
static GMutex lock;
static uint64_t last;           /* under `lock` */

static X86Cpu *cpu(void)
{
    return g_ptr_array_index(m->cpus, 0);
}

#ifdef __x86_64__
#include <x86intrin.h>

/* As compiled code does it. */
static uint64_t computed(TscPiece *p)
{
    uint64_t delta;

    _mm_lfence();
    delta = __rdtsc() - p->base;
    if (delta < p->span) {
        return p->ticks + (delta * p->mult >> 32) + cpu()->state->tsc_offset;
    }
    *p = cpu_tsc_piece();
    return cpu_read_tsc(cpu());
}
#else
static uint64_t computed(TscPiece *p)
{
    return cpu_read_tsc(cpu());
}
#endif

static void *read_it(void *asks)
{
    int64_t end = clock_ns(CLK_VIRTUAL) + RUN_NS, now, late;
    TscPiece p = { 0 };
    uint64_t v;

    do {
        g_mutex_lock(&lock);
        now = clock_ns(CLK_VIRTUAL);
        v = asks ? cpu_read_tsc(cpu()) : computed(&p);
        late = clock_ns(CLK_VIRTUAL);
        g_assert_cmpuint(v, >=, last);
        last = v;
        g_mutex_unlock(&lock);
        v -= cpu()->state->tsc_offset;
        g_assert_cmpint(v, >=, now - SLACK_NS);
        g_assert_cmpint(v, <=, late + SLACK_NS);
    } while (now < end);
    return NULL;
}

static void test_rising(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        GThread *thread[N_THREADS];
        uint64_t v;

        clock_start();
        for (unsigned i = 0; i < N_THREADS; i++) {
            thread[i] = g_thread_new("reader", read_it,
                                     GINT_TO_POINTER(i == 0));
        }
        for (unsigned i = 0; i < N_THREADS; i++) {
            g_thread_join(thread[i]);
        }
        clock_stop();
        v = cpu_read_tsc(cpu());
        g_assert_cmpuint(v, >=, last);
        g_assert_cmpuint(v, ==, clock_ns(CLK_VIRTUAL)
                                + cpu()->state->tsc_offset);
        g_assert_cmpuint(cpu_tsc_piece().span, ==, 0);
        g_assert_cmpuint(clock_epoch(), ==, 0);
    }
}

static void test_written(void)
{
    uint64_t v;

    clock_start();
    cpu_write_tsc(cpu(), UINT64_C(1) << 40);
    v = cpu_read_tsc(cpu());
    g_assert_cmpuint(v, >=, UINT64_C(1) << 40);
    g_assert_cmpuint(v, <, (UINT64_C(1) << 40) + 60 * NS_PER_SEC);
    clock_stop();
    cpu_write_tsc(cpu(), 5);
    g_assert_cmpuint(cpu_read_tsc(cpu()), ==, 5);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    m = fake_machine_new(1);
    g_test_add_func("/cpu/tsc/rising", test_rising);
    g_test_add_func("/cpu/tsc/written", test_written);
    status = g_test_run();
    machine_unlock();
    cpus_destroy(m);
    return status;
}
