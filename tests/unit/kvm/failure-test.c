/*
 * KVM: requests that fail.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

#include <errno.h>

static int (*real_ioctl)(int, unsigned long, void *);
static unsigned long bad_request;
static int bad_errno;
static int n_bad;               /* (A) how often still */

enum { SHUT_DOWN = -1 };        /* no error: a run that ends in a triple fault */

/* Two vCPUs may ask at once.  Shutting down is CPU 0's. */
static bool is_bad(int fd, unsigned long request)
{
    int n = __atomic_load_n(&n_bad, __ATOMIC_RELAXED);

    if (request != bad_request
        || (bad_errno == SHUT_DOWN && fd != kvm_cpu(guest_cpu(0))->fd)) {
        return false;
    }
    while (n > 0
           && !__atomic_compare_exchange_n(&n_bad, &n, n - 1, false,
                                           __ATOMIC_RELAXED,
                                           __ATOMIC_RELAXED)) {
    }
    return n > 0;
}

static int bad_ioctl(int fd, unsigned long request, void *arg)
{
    if (is_bad(fd, request)) {
        if (bad_errno == SHUT_DOWN) {
            kvm_cpu(guest_cpu(0))->run->exit_reason = KVM_EXIT_SHUTDOWN;
            return 0;
        }
        errno = bad_errno;
        return -1;
    }
    return real_ioctl(fd, request, arg);
}

void fail_next(unsigned long request, int error, int n)
{
    real_ioctl = real_ioctl ? real_ioctl : kvm_ioctl;
    kvm_ioctl = bad_ioctl;
    bad_request = request;
    bad_errno = error;
    n_bad = n;
}

static void test_transient_failures(void)
{
    fail_next(KVM_RUN, EINTR, 5);
    run_mmio();
    g_assert_cmpint(n_bad, ==, 0);
    fail_next(KVM_RUN, EAGAIN, 5);
    run_mmio();
    fail_next(KVM_SET_MSRS, EAGAIN, 3);
    run_mmio();
    g_assert_cmpint(n_bad, ==, 0);
}

/* Those of software KVMs are believed when they come again. */
static void test_false_triple_faults(void)
{
    if (!kvm.software) {
        g_test_skip("this KVM leaves events to the processor");
        return;
    }
    fail_next(KVM_RUN, SHUT_DOWN, 2);
    run_mmio();
    g_assert_cmpint(n_bad, ==, 0);
    g_assert_cmpuint(kvm_cpu(guest_cpu(0))->n_shutdowns, ==, 0);
}

void run_to_state(RunState want)
{
    machine_lock();
    machine_start(guest_machine);
    machine_unlock();
    for (unsigned i = 0; i < 10000 && guest_machine->state != want; i++) {
        while (loop_iterate(loop_main(), false)) {
        }
        g_usleep(500);
    }
    g_assert_cmpint(guest_machine->state, ==, want);
}

/* Said, and the machine stops: no hang, no crash. */
static void run_to_error(void)
{
    guest_reset();
    GUEST_LOAD(0x1000, code_mmio);
    guest_protected(0, 0x1000);
    run_to_state(RUN_STATE_INTERNAL_ERROR);
}

static void test_lasting_failures(void)
{
    static const struct {
        unsigned long request;
        int error;
    } rows[] = {
        { KVM_RUN, EBADF }, { KVM_RUN, ENOMEM }, { KVM_RUN, EFAULT },
        { KVM_SET_MSRS, ENOMEM }, { KVM_SET_SREGS, EINVAL },
        { KVM_SET_XSAVE, EBADF },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        fail_next(rows[i].request, rows[i].error, 1);
        run_to_error();
        g_assert_cmpint(n_bad, ==, 0);
    }
    fail_next(KVM_RUN, EAGAIN, 0);
    run_mmio();                /* all is well again */
}

void add_failure_tests(void)
{
    g_test_add_func("/kvm/failures/false-triple-faults",
                    test_false_triple_faults);
    g_test_add_func("/kvm/failures/transient", test_transient_failures);
    g_test_add_func("/kvm/failures/lasting", test_lasting_failures);
}
