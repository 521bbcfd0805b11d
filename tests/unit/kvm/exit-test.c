/*
 * KVM: every reason to leave KVM_RUN, as if KVM had given it: each is served or
 * reported.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

typedef struct {
    unsigned reason;
    uint64_t words[4];          /* of its part of kvm_run */
    CpuRun want;
} Row;

static const Row rows[] = {
    /* Reasons to look at requests, or nothing. */
    { KVM_EXIT_IRQ_WINDOW_OPEN, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_INTR, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_NMI, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_SET_TPR, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_TPR_ACCESS, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_X86_BUS_LOCK, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_DIRTY_RING_FULL, { 0 }, CPU_RUN_EXIT },
    { KVM_EXIT_IOAPIC_EOI, { 0x31 }, CPU_RUN_EXIT },
    { 37 /* notify */, { 0 }, CPU_RUN_EXIT },
    /* What the guest did. */
    { KVM_EXIT_HLT, { 0 }, CPU_RUN_HALT },
    { KVM_EXIT_SHUTDOWN, { 0 }, CPU_RUN_TRIPLE_FAULT },
    { KVM_EXIT_SYSTEM_EVENT, { KVM_SYSTEM_EVENT_SUSPEND }, CPU_RUN_ERROR },
    /* What went wrong. */
    { KVM_EXIT_UNKNOWN, { 0x80000021 }, CPU_RUN_ERROR },
    { KVM_EXIT_EXCEPTION, { 6 }, CPU_RUN_ERROR },
    { KVM_EXIT_FAIL_ENTRY, { 0x80000021 }, CPU_RUN_ERROR },
    { KVM_EXIT_INTERNAL_ERROR, { KVM_INTERNAL_ERROR_SIMUL_EX },
      CPU_RUN_ERROR },
    { KVM_EXIT_INTERNAL_ERROR, { KVM_INTERNAL_ERROR_DELIVERY_EV },
      CPU_RUN_ERROR },
    { KVM_EXIT_INTERNAL_ERROR, { KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON },
      CPU_RUN_ERROR },
    { KVM_EXIT_INTERNAL_ERROR, { 77 }, CPU_RUN_ERROR },
    { 37, { 1 /* KVM_NOTIFY_CONTEXT_INVALID */ }, CPU_RUN_ERROR },
    { 39 /* memory fault */, { 8, 0x1234000, 0x1000 }, CPU_RUN_ERROR },
    /* Other architectures', such as nobody asked for, such as nobody knows. */
    { KVM_EXIT_S390_SIEIC, { 0 }, CPU_RUN_ERROR },
    { KVM_EXIT_HYPERV, { 0 }, CPU_RUN_ERROR },
    { KVM_EXIT_XEN, { 0 }, CPU_RUN_ERROR },
    { KVM_EXIT_AP_RESET_HOLD, { 0 }, CPU_RUN_ERROR },
    { 46, { 0 }, CPU_RUN_ERROR },
    { 47, { 0 }, CPU_RUN_ERROR },
    { 0xffffffff, { 0 }, CPU_RUN_ERROR },
};

static KvmCpu *ready(void)
{
    guest_reset();
    GUEST_LOAD(0x1000, code_mmio);
    guest_protected(0, 0x1000);
    g_assert_true(kvm_put(kvm_cpu(guest_cpu(0)), PART_ALL));
    return kvm_cpu(guest_cpu(0));
}

static void test_table(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Row *r = &rows[i];
        KvmCpu *k = ready();
        unsigned n = MIN(r->reason, N_EXIT_REASONS - 1);
        uint64_t before = k->n_exits[n];

        k->run->exit_reason = r->reason;
        k->n_shutdowns = 2;     /* the third is believed */
        memcpy(&k->run->hw, r->words, sizeof(r->words));
        g_test_message("exit %u (%s)", r->reason, kvm_exit_name(r->reason));
        g_assert_cmpint(kvm_handle_exit(k), ==, r->want);
        g_assert_cmpuint(k->n_exits[n], ==, before + 1);
        g_assert_false(k->io_pending);
        g_assert_nonnull(kvm_exit_name(r->reason));
    }
    ready();
    run_mmio();                 /* nothing of it stayed */
}

/* Those that are answered in kvm_run. */
static void test_answers(void)
{
    KvmCpu *k = ready();
    struct kvm_run *run = k->run;

    run->exit_reason = KVM_EXIT_HYPERCALL;
    run->hypercall.ret = 0;
    g_assert_cmpint(kvm_handle_exit(k), ==, CPU_RUN_EXIT);
    g_assert_cmpint((int64_t)run->hypercall.ret, ==, -1000);

    run->exit_reason = KVM_EXIT_X86_RDMSR;
    run->msr.index = 0x1b0;     /* IA32_ENERGY_PERF_BIAS: the model's */
    run->msr.data = 5;
    run->msr.error = 1;
    g_assert_cmpint(kvm_handle_exit(k), ==, CPU_RUN_EXIT);
    g_assert_cmpuint(run->msr.error, ==, 0);
    g_assert_cmphex(run->msr.data, ==, 0);
    run->exit_reason = KVM_EXIT_X86_WRMSR;
    g_assert_cmpint(kvm_handle_exit(k), ==, CPU_RUN_EXIT);
    g_assert_cmpuint(run->msr.error, ==, 0);
    run->msr.index = 0x12345;   /* nobody's */
    g_assert_cmpint(kvm_handle_exit(k), ==, CPU_RUN_EXIT);
    g_assert_cmpuint(run->msr.error, ==, 1);

    /* Two registers by one access. */
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = GUEST_IO + 0x10;
    run->mmio.len = 8;
    run->mmio.is_write = 1;
    store_le64(run->mmio.data, UINT64_C(0x1122334455667788));
    g_assert_cmpint(kvm_handle_exit(k), ==, CPU_RUN_EXIT);
    g_assert_cmphex(guest_io_reg[4], ==, 0x55667788);
    g_assert_cmphex(guest_io_reg[5], ==, 0x11223344);
    run->mmio.is_write = 0;
    memset(run->mmio.data, 0, 8);
    g_assert_cmpint(kvm_handle_exit(k), ==, CPU_RUN_EXIT);
    g_assert_cmphex(load_le64(run->mmio.data), ==,
                    UINT64_C(0x1122334455667788));
    k->io_pending = false;      /* KVM knows of none of them */
}

void add_exit_tests(void)
{
    g_test_add_func("/kvm/exits/table", test_table);
    g_test_add_func("/kvm/exits/answers", test_answers);
}
