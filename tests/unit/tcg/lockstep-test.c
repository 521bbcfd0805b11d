/*
 * lockstep=on: what agrees is let through, what differs stops the machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include "accel/tcg/lockstep.h"

enum { CODE = 0x10000, TABLES = 0x100000, DATA = 0x200000 };

GUEST_CODE(sums, "64",
    "mov $1000, %ecx\n mov $0x200000, %edi\n xor %eax, %eax\n"
    "1: add %rcx, %rax\n mov %rax, (%rdi)\n adc $7, %eax\n"
    "push %rax\n pop %rdx\n xadd %rdx, 8(%rdi)\n rol $3, %rdx\n"
    "mov $16, %esi\n xchg %ecx, %esi\n lea 64(%rdi), %rdi\n"
    "push %rsi\n lea -64(%rdi), %rsi\n push %rdi\n rep movsb\n"
    "pop %rdi\n pop %rcx\n mov $0x200000, %edi\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_agrees(void)
{
    LockstepStats before, after;

    guest_reset();
    GUEST_LOAD(CODE, sums);
    guest_long(0, CODE, TABLES);
    lockstep_stats(&before);
    guest_run(1);
    lockstep_stats(&after);
    g_assert_cmpuint(after.n_compared - before.n_compared, >=, 900);
    g_assert_cmpuint(after.n_different, ==, 0);
    g_assert_cmphex(*(uint32_t *)(guest_ram + DATA), !=, 0);
}

/* RAM that changes by itself makes the two runs differ sooner or later. */
GUEST_CODE(reads, "64", "1: mov 0x200000, %eax\n pause\n mov 0x200000, %ebx\n"
                        "add %eax, %ebx\n jmp 1b\n");

static gpointer change(gpointer stop)
{
    uint32_t *word = (uint32_t *)(guest_ram + DATA);

    while (!g_atomic_int_get((int *)stop)) {
        __atomic_add_fetch(word, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_differs(void)
{
    int64_t deadline = g_get_monotonic_time() + 50 * G_TIME_SPAN_SECOND;
    LockstepStats stats;
    int stop = 0;
    GThread *thread;

    guest_reset();
    GUEST_LOAD(CODE, reads);
    guest_long(0, CODE, TABLES);
    thread = g_thread_new("change", change, &stop);
    machine_lock();
    machine_start(guest_machine);
    machine_unlock();
    while (guest_machine->state != RUN_STATE_INTERNAL_ERROR
           && g_get_monotonic_time() < deadline) {
        g_main_context_iteration(NULL, false);
    }
    g_atomic_int_set(&stop, 1);
    g_thread_join(thread);
    g_assert_cmpint(guest_machine->state, ==, RUN_STATE_INTERNAL_ERROR);
    lockstep_stats(&stats);
    g_assert_cmpuint(stats.n_different, ==, 1);
}

int main(int argc, char **argv)
{
    int status;

    g_setenv("RHEA_TEST_ACCEL", "lockstep=on,x-threshold=0", true);
    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    g_test_add_func("/tcg/lockstep/agrees", test_agrees);
    g_test_add_func("/tcg/lockstep/differs", test_differs);
    status = g_test_run();
    guest_free();
    return status;
}
