/*
 * 64-bit and compatibility mode.
 *
 * Spec: Intel SDM volume 3A chapters 5, 6; volume 2, SYSCALL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/features.h"
#include "chapter.h"

/* --- long mode --------------------------------------------------------------------------------------- */

SNIPPET(int64, "64", "int $0x80\n");
SNIPPET(noncanon, "64", "mov $0x800000000000, %rax\n mov (%rax), %bl\n");
SNIPPET(noncanon_ss, "64", "mov $0x800000000000, %rbp\n mov (%rbp), %bl\n");
SNIPPET(noncanon_jmp, "64", "mov $0x800000000000, %rax\n jmp *%rax\n");
SNIPPET(ss_null3, "64", "xor %eax, %eax\n mov %eax, %ss\n");
SNIPPET(ss_null0, "64", "xor %eax, %eax\n mov %eax, %ss\n int $0x81\n");

static void test_long_exceptions(void)
{
    start64();
    user64();
    g_assert_cmphex(GO(int64), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RSP], ==, STACK0 - 40);
    g_assert_cmphex(top64(0), ==, CODE + 2);
    g_assert_cmphex(top64(1), ==, CS64_3);
    g_assert_cmphex(top64(3), ==, STACK3);
    g_assert_cmphex(top64(4), ==, DS64_3);
    g_assert_cmphex(s->seg[SEG_SS].selector, ==, 0);
    g_assert_cmphex(x86_cpl(s), ==, 0);

    start64();                  /* same level: the stack is aligned first */
    g_assert_cmphex(GO(int64), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RSP], ==, STACK0 - 0x110 - 40);
    g_assert_cmphex(top64(3), ==, STACK0 - 0x108);
    g_assert_cmphex(top64(4), ==, DS0);

    start64();
    set_idt64(0x80, stub(0x80), 14, 3, 1);
    g_assert_cmphex(GO(int64), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RSP], ==, 0x9800 - 40);

    start64();
    g_assert_cmphex(GO(noncanon), ==, 13);
    g_assert_cmphex(top64(0), ==, 0);
    g_assert_cmphex(top64(1), ==, CODE + 10);
    start64();
    g_assert_cmphex(GO(noncanon_ss), ==, 12);
    start64();
    g_assert_cmphex(GO(noncanon_jmp), ==, 13);
    g_assert_cmphex(top64(1), ==, CODE + 10);
    start64();
    user64();
    g_assert_cmphex(GO(ss_null3), ==, 13);
    start64();
    g_assert_cmphex(GO(ss_null0), ==, 0x81);
    g_assert_cmphex(top64(4), ==, 0);

    start64();                  /* a gate to 32-bit code */
    put64(IDT + 0x80 * 16, gate(CS0, stub(0x80), 14, 3, 0));
    g_assert_cmphex(GO(int64), ==, 13);
    g_assert_cmphex(top64(0), ==, CS0);
}

SNIPPET(do_syscall, "64", "syscall\n mov %rsp, %rbx\n int $0x80\n");
SNIPPET(sysret_back, "64", "mov %r11, %r8\n pushf\n pop %r9\n mov %rsp, %r10\n"
                           "mov %cs, %edi\n mov %ss, %esi\n sysretq\n");

static void test_syscall(void)
{
    start64();
    user64();
    s->star = (uint64_t)CS64 << 32 | (uint64_t)(CS64 - 0x08 + 3) << 48;
    s->star = (uint64_t)CS64 << 32 | (uint64_t)(0xdb) << 48;
    s->lstar = CALLEE;
    s->sfmask = FL_IF | FL_CF;
    s->rflags |= FL_IF | FL_CF | FL_OF;
    guest_load(CALLEE, sysret_back, sysret_back_end);
    g_assert_cmphex(GO(do_syscall), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RCX], ==, CODE + 2);
    g_assert_cmphex(s->gpr[R_R8], ==, FL_IF | FL_CF | FL_OF | 2);
    g_assert_cmphex(s->gpr[R_R9], ==, FL_OF | 2);
    g_assert_cmphex(s->gpr[R_R10], ==, STACK3);
    g_assert_cmphex(s->gpr[R_RDI], ==, CS64);
    g_assert_cmphex(s->gpr[R_RSI], ==, CS64 + 8);
    g_assert_cmphex(top64(1), ==, 0xdb + 16);
    g_assert_cmphex(top64(4), ==, 0xdb + 8);
    g_assert_cmphex(top64(2), ==, FL_IF | FL_CF | FL_OF | 2);
}

SNIPPET(to_compat, "64",
    "push $0x23\n push $0xa000\n pushf\n push $0x1b\n"
    "lea 1f(%rip), %rax\n push %rax\n iretq\n"
    ".code32\n 1: mov %cs, %ebx\n mov $-1, %ecx\n inc %ecx\n push $5\n"
    "mov %esp, %edx\n int $0x80\n");

static void test_compat(void)
{
    start64();
    s->gpr[R_RCX] = UINT64_MAX;
    g_assert_cmphex(GO(to_compat), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RBX], ==, CS3);
    g_assert_cmphex(s->gpr[R_RCX], ==, 0);
    g_assert_cmphex(s->gpr[R_RDX], ==, 0x9ffc);
    g_assert_cmphex(top64(1), ==, CS3);
    g_assert_cmphex(top64(3), ==, 0x9ffc);
    g_assert_cmphex(s->seg[SEG_CS].selector, ==, CS64);
}

SNIPPET(call_gate_64, "64", "lcall *2f(%rip)\n mov %rsp, %rbx\n int $0x80\n"
                            "2: .long 0\n .word 0x113\n");
SNIPPET(callee64, "64", "mov %rsp, %rdi\n mov %ss, %esi\n mov 8(%rsp), %rdx\n"
                         "mov 16(%rsp), %rbp\n lretq\n");

static void test_call_gate64(void)
{
    start64();
    user64();
    guest_load(CALLEE, callee64, callee64_end);
    g_assert_cmphex(GO(call_gate_64), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RDI], ==, STACK0 - 32);
    g_assert_cmphex(s->gpr[R_RSI], ==, 0);
    g_assert_cmphex(s->gpr[R_RBX], ==, STACK3);
    g_assert_cmphex(s->gpr[R_RBP], ==, STACK3);
    g_assert_cmphex(s->gpr[R_RDX], ==, CS64_3);
}

SNIPPET(nt_iret, "64", "pushf\n orl $0x4000, (%rsp)\n popf\n iretq\n");
SNIPPET(swapgs3, "64", "swapgs\n");
SNIPPET(swapgs0, "64", "swapgs\n mov %gs:0, %rax\n int $0x80\n");
SNIPPET(wrfsbase, "64", "mov $0x800000000000, %rbx\n wrfsbase %rbx\n");

static void test_long_misc(void)
{
    start64();
    g_assert_cmphex(GO(nt_iret), ==, 13);
    start64();
    user64();
    g_assert_cmphex(GO(swapgs3), ==, 13);
    start64();
    s->kernel_gs_base = 0x20000;
    s->seg[SEG_GS].base = 0x1234;
    g_assert_cmphex(GO(swapgs0), ==, 0x80);
    g_assert_cmphex(s->kernel_gs_base, ==, 0x1234);
    g_assert_cmphex(s->seg[SEG_GS].base, ==, 0x20000);
    start64();
    g_assert_cmphex(GO(wrfsbase), ==, 6);
    start64();
    s->cr4 |= CR4_FSGSBASE;
    g_assert_cmphex(GO(wrfsbase), ==,
                    cpu_has(guest_cpu(0), FEAT_FSGSBASE) ? 13 : 6);
}

void long_tests(void)
{
    g_test_add_func("/long/exceptions", test_long_exceptions);
    g_test_add_func("/long/syscall", test_syscall);
    g_test_add_func("/long/compat", test_compat);
    g_test_add_func("/long/call-gate", test_call_gate64);
    g_test_add_func("/long/misc", test_long_misc);
}
