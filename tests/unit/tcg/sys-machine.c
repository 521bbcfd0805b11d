/*
 * Machine checks, MONITOR and MWAIT, counters, MSRs that do not exist, and page
 * tables as the monitor shows them.
 *
 * Spec: Intel SDM volume 3B chapter 16; volume 3A 9.10.5; volume 2, MONITOR.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

enum { LINE = 0x20000, COUNT = 0x20100, UD = 6, GP = 13, MC = 18, DONE = 0x80 };

#define VAL BIT64(63)
#define OVER BIT64(62)
#define UC BIT64(61)

/* --- machine checks ---------------------------------------------------------------- */

SNIPPET(spins, "64", "1: pause\n jmp 1b");

static CpuMceResult inject(uint64_t bank, uint64_t status, uint64_t mcg_status)
{
    CpuMce e = { .bank = bank, .status = status, .mcg_status = mcg_status,
                 .addr = 0x1234, .misc = 0x55 };

    return cpu_inject_mce(guest_cpu(0), &e);
}

static void test_machine_check(void)
{
    start64();
    s->cr4 |= CR4_MCE;
    put_state();
    g_assert_cmpint(inject(3, VAL | UC | BIT64(58), 1), ==, CPU_MCE_RAISED);
    g_assert_cmpuint(GO(spins), ==, MC);
    g_assert_cmphex(s->mcg_status, ==, 5);          /* RIPV, MCIP */
    g_assert_cmphex(s->mce_bank[3][1], ==, VAL | UC | BIT64(58));
    g_assert_cmphex(s->mce_bank[3][2], ==, 0x1234);
    g_assert_cmphex(s->mce_bank[3][3], ==, 0);      /* MISCV was clear */
    /* Another before the first was dealt with. */
    g_assert_cmpint(inject(3, VAL | UC, 1), ==, CPU_MCE_RAISED);
    g_assert_cmphex(s->mce_bank[3][1], ==, VAL | UC | OVER);
    g_assert_cmpint(tcg_run(guest_cpu(0)), ==, CPU_RUN_TRIPLE_FAULT);
}

static void test_machine_check_off(void)
{
    start64();
    g_assert_cmpint(inject(0, VAL | UC, 0), ==, CPU_MCE_RAISED);
    g_assert_cmpint(tcg_run(guest_cpu(0)), ==, CPU_RUN_TRIPLE_FAULT);
}

static void test_machine_check_banks(void)
{
    start64();
    g_assert_cmpint(inject(MCE_N_BANKS, VAL, 0), ==, CPU_MCE_NO_BANK);
    g_assert_cmpint(inject(1, UC, 0), ==, CPU_MCE_INVALID);
    g_assert_cmpint(inject(1, VAL | 1, 0), ==, CPU_MCE_SILENT);
    g_assert_cmphex(s->mce_bank[1][1], ==, VAL | 1);
    g_assert_cmpint(inject(1, VAL | 2, 0), ==, CPU_MCE_SILENT);
    g_assert_cmphex(s->mce_bank[1][1], ==, VAL | OVER | 2);
    /* A bank that is off logs an uncorrected error, and no more. */
    s->mce_bank[2][0] = 0;
    g_assert_cmpint(inject(2, VAL | UC | 7, 0), ==, CPU_MCE_SILENT);
    g_assert_cmphex(s->mce_bank[2][1], ==, VAL | UC | 7);
    g_assert_cmpint(inject(2, VAL | 1, 0), ==, CPU_MCE_SILENT);
    g_assert_cmphex(s->mce_bank[2][1], ==, VAL | UC | OVER | 7);
    g_assert_cmphex(cpu_pending(guest_cpu(0)) & CPU_PEND_MCE, ==, 0);
}

/* --- MONITOR, MWAIT ------------------------------------------------------------------ */

#define MONITOR                                                             \
    "mov $0x20000, %eax\n xor %ecx, %ecx\n xor %edx, %edx\n monitor\n"

SNIPPET(monitor_alone, "64", MONITOR "int $0x80");
SNIPPET(waits, "64",
    "1: " MONITOR "cmpl $0, 0x20000\n jne 2f\n lock incl 0x20100\n"
    "xor %eax, %eax\n mwait\n jmp 1b\n 2: int $0x80");
SNIPPET(monitor_bad, "64", "mov $1, %ecx\n xor %edx, %edx\n monitor\n int $0x80");
SNIPPET(mwait_bad, "64", "mov $2, %ecx\n xor %eax, %eax\n mwait\n int $0x80");

/* Stores to the line once the guest has been seen to wait. */
static gpointer writer(gpointer opaque)
{
    uint32_t *count = (uint32_t *)(guest_ram + COUNT);

    while (!__atomic_load_n(count, __ATOMIC_ACQUIRE)) {
        g_thread_yield();
    }
    __atomic_store_n((uint32_t *)(guest_ram + LINE), 1, __ATOMIC_RELEASE);
    return NULL;
}

static void test_monitor(void)
{
    X86Cpu *cpu = guest_cpu(0);
    CpuModel *without = cpu->model;
    GThread *thread;

    start64();
    g_assert_cmpuint(GO(monitor_alone), ==, UD);
    cpu->model = cpu_model_new("max,+monitor", cpu->accel, NULL);
    start64();
    g_assert_cmpuint(GO(monitor_alone), ==, DONE);
    start64();
    g_assert_cmpuint(GO(monitor_bad), ==, GP);
    start64();
    g_assert_cmpuint(GO(mwait_bad), ==, GP);
    start64();
    user64();
    g_assert_cmpuint(GO(monitor_alone), ==, UD);
    start64();
    thread = g_thread_new("writer", writer, NULL);
    g_assert_cmpuint(GO(waits), ==, DONE);
    g_thread_join(thread);
    g_assert_cmpuint(get32(COUNT), >=, 1);
    cpu_model_free(cpu->model);
    cpu->model = without;
}

/* --- counters and MSRs ----------------------------------------------------------------- */

SNIPPET(rdpmc_0, "64", "xor %ecx, %ecx\n rdpmc\n int $0x80");
SNIPPET(rdmsr_none, "64", "mov $0x12345, %ecx\n rdmsr\n int $0x80");
SNIPPET(wrmsr_none, "64",
    "mov $0x12345, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n int $0x80");
SNIPPET(wrmsr_wrong, "64",
    "mov $0x277, %ecx\n mov $2, %eax\n xor %edx, %edx\n wrmsr\n int $0x80");

static void test_counters(void)
{
    X86Cpu *cpu = guest_cpu(0);
    CpuModel *was = cpu->model;

    cpu->model = cpu_model_new("max,vendor=GenuineIntel", cpu->accel, NULL);
    start64();
    g_assert_cmpuint(GO(rdpmc_0), ==, GP);
    cpu_model_free(cpu->model);
    cpu->model = cpu_model_new("max,vendor=AuthenticAMD", cpu->accel, NULL);
    start64();
    s->gpr[R_RAX] = s->gpr[R_RDX] = 1;
    g_assert_cmpuint(GO(rdpmc_0), ==, DONE);
    g_assert_cmphex(s->gpr[R_RDX], ==, 0);
    cpu_model_free(cpu->model);
    cpu->model = was;
}

static void test_unknown_msr(void)
{
    start64();
    g_assert_cmpuint(GO(rdmsr_none), ==, GP);
    start64();
    g_assert_cmpuint(GO(wrmsr_none), ==, GP);
    cpu_ignore_msrs = true;
    start64();
    g_assert_cmpuint(GO(rdmsr_none), ==, DONE);
    start64();
    g_assert_cmpuint(GO(wrmsr_none), ==, DONE);
    start64();
    g_assert_cmpuint(GO(wrmsr_wrong), ==, GP);
    cpu_ignore_msrs = false;
}

/* --- page tables, printed ---------------------------------------------------------------- */

static void test_print_tables(void)
{
    g_autoptr(GString) mem = g_string_new(NULL), tlb = g_string_new(NULL);
    uint64_t *pd;

    guest_reset();
    cpu_print_mem(guest_cpu(0), mem);
    g_assert_cmpstr(mem->str, ==, "PG disabled\n");
    g_string_truncate(mem, 0);
    guest_long(0, CODE, 0x100000);
    pd = (uint64_t *)(guest_ram + 0x102000);
    pd[1] = 0;                                      /* a hole */
    pd[2] = UINT64_C(0x8000000000400185);           /* read-only, G, NX */
    cpu_print_mem(guest_cpu(0), mem);
    g_assert_true(g_str_has_prefix(mem->str,
        "0000000000000000-0000000000200000 0000000000200000 urw\n"
        "0000000000400000-0000000000600000 0000000000200000 ur-\n"
        "0000000000600000-0000000080000000 000000007fa00000 urw\n"
        "0000007f80000000-0000007f80200000 0000000000200000 urw\n"));
    g_assert_true(g_str_has_suffix(mem->str,
        "ffffffff80600000-ffffffffc0000000 000000003fa00000 urw\n"));
    cpu_print_tlb(guest_cpu(0), tlb);
    g_assert_true(g_str_has_prefix(tlb->str,
        "0000000000000000: 0000000000000000 --P----UW\n"
        "0000000000400000: 0000000000400000 XGP----U-\n"));
    /* A circle ends. */
    store_le64(guest_ram + 0x100000, 0x100007);
    for (unsigned i = 0; i < 512; i++) {
        store_le64(guest_ram + 0x100000 + 8 * i, 0x100007);
    }
    g_string_truncate(mem, 0);
    cpu_print_mem(guest_cpu(0), mem);
    g_assert_true(g_str_has_suffix(mem->str, "looked at)\n"));
}

void machine_tests(void)
{
    g_test_add_func("/tcg/sys/machine-check", test_machine_check);
    g_test_add_func("/tcg/sys/machine-check-off", test_machine_check_off);
    g_test_add_func("/tcg/sys/machine-check-banks", test_machine_check_banks);
    g_test_add_func("/tcg/sys/monitor", test_monitor);
    g_test_add_func("/tcg/sys/counters", test_counters);
    g_test_add_func("/tcg/sys/unknown-msr", test_unknown_msr);
    g_test_add_func("/tcg/sys/print-tables", test_print_tables);
}
