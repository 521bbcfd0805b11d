/*
 * KVM: long string instructions of a kernel, which software KVMs interpret.
 * Whoever executes them, memory and registers end up the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

/* Fill two pages and a bit, not from a page's start, with RBX, copy half of it
 * downwards, add up what was wrong; RBX times. */
GUEST_CODE(code_strings, "64",
           "xor %r8d, %r8d\n"
           "0: mov $0x200003, %edi\n"
           "mov $8200, %ecx\n"
           "mov %ebx, %eax\n"
           "rep stosb\n"
           "sub $0x20200b, %rdi\n"
           "add %rdi, %r8\n"
           "add %rcx, %r8\n"
           "std\n"
           "mov $0x201fff, %esi\n"
           "mov $0x301ffc, %edi\n"
           "mov $4200, %ecx\n"
           "rep movsb\n"
           "cld\n"
           "sub $0x200f97, %rsi\n"
           "add %rsi, %r8\n"
           "cmp %bl, 0x301000\n"
           "je 1f\n"
           "inc %r8\n"
           "1: dec %ebx\n"
           "jnz 0b\n"
           "mov %r8d, %eax\n"
           GUEST_EXIT);

/* Two page directories take turns at 400000h; RDX counts wrong translations. */
GUEST_CODE(code_tables, "64",
           "xor %edx, %edx\n"
           "mov $0xc0000000, %r9d\n"
           "0: mov %ebx, %esi\n"
           "and $1, %esi\n"
           "mov %esi, %ebp\n"
           "shl $12, %esi\n"
           "add $0x401000, %esi\n"
           "mov $0x400000, %edi\n"
           "mov $4096, %ecx\n"
           "rep movsb\n"
           "invlpg (%r9)\n"
           "cmp %ebp, (%r9)\n"
           "je 1f\n"
           "inc %edx\n"
           "1: dec %ebx\n"
           "jnz 0b\n"
           "mov %edx, %eax\n"
           GUEST_EXIT);

/* A vCPU is looked at when it is kicked: timers do it to a guest with a kernel. */
static void *kicks(void *opaque)
{
    X86Cpu *cpu = guest_cpu(0);
    int *end = opaque;

    while (!__atomic_load_n(end, __ATOMIC_ACQUIRE)) {
        cpu->accel->kick(cpu);
        g_usleep(500);
    }
    return NULL;
}

static void run_kicked(unsigned rounds)
{
    KvmCpu *k = kvm_cpu(guest_cpu(0));
    uint64_t n = k->strings.n_run;
    int end = 0;
    GThread *thread;

    guest_cpu(0)->state->gpr[R_RBX] = rounds;
    thread = g_thread_new("kicks", kicks, &end);
    g_assert_cmphex(guest_run(1), ==, 0);
    __atomic_store_n(&end, 1, __ATOMIC_RELEASE);
    g_thread_join(thread);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_RBX], ==, 0);
    if (kvm.software) {
        g_assert_cmpuint(k->strings.n_run, >, n);
    } else {
        g_assert_cmpuint(k->strings.n_run, ==, 0);
    }
}

static void test_strings(void)
{
    guest_reset();
    start_long(code_strings, code_strings_end);
    run_kicked(400);
    for (unsigned i = 0; i < 0x3000; i++) {
        g_assert_cmpuint(guest_ram[0x200000 + i], ==, i >= 3 && i < 8203);
        g_assert_cmpuint(guest_ram[0x300000 + i], ==,
                         i > 0x1ffc - 4200 && i <= 0x1ffc);
    }
}

static void test_page_tables(void)
{
    guest_reset();
    start_long(code_tables, code_tables_end);
    for (unsigned n = 0; n < 2; n++) {
        uint64_t *pd = (uint64_t *)(guest_ram + 0x401000 + n * 0x1000);
        uint64_t *pt = (uint64_t *)(guest_ram + 0x403000 + n * 0x1000);

        pd[0] = (0x403000 + n * 0x1000) | 7;
        pt[0] = (0x500000 + n * 0x1000) | 7;
        guest_ram[0x500000 + n * 0x1000] = n;
    }
    /* The fourth entry of the PDPT of start_long(). */
    store_le64(guest_ram + 0x101000 + 3 * 8, 0x400007);
    run_kicked(400);
}

void add_string_tests(void)
{
    g_test_add_func("/kvm/strings/rounds", test_strings);
    g_test_add_func("/kvm/strings/page-tables", test_page_tables);
}
