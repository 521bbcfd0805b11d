/*
 * Single step, breakpoints, and what MOV SS holds back.
 *
 * Spec: Intel SDM volume 3B chapter 17; volume 3A 6.8.3.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

enum {                          /* DR6 */
    B0 = 1, B1 = 2, BD = 1 << 13, BS = 1 << 14, DR6_BITS = 0xe00f,
};
enum {                          /* DR7: breakpoint 0, global */
    G0 = 2, GD = 1 << 13, ON_WRITE = 1 << 16, ON_IO = 2 << 16,
    ON_ACCESS = 3 << 16, LEN4 = 3 << 18,
};

/* --- single step ------------------------------------------------------------ */

SNIPPET(step, "32", "pushf\n orl $0x100, (%esp)\n popf\n nop\n nop\n");
SNIPPET(step_ss, "32", "mov $0x10, %eax\n pushf\n orl $0x100, (%esp)\n popf\n"
                       "mov %eax, %ss\n nop\n nop\n");
SNIPPET(step_rep, "32", "mov $0x20000, %edi\n mov $4, %ecx\n pushf\n"
                        "orl $0x100, (%esp)\n popf\n rep stosb\n nop\n");

static void test_single_step(void)
{
    start32();
    g_assert_cmphex(GO(step), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + (step_end - step) - 1);
    g_assert_cmphex(top(2) & FL_TF, ==, FL_TF);
    g_assert_cmphex(s->dr[6] & 0xe00f, ==, 0x4000);
    g_assert_cmphex(s->rflags & FL_TF, ==, 0);

    /* No trap between a load of SS and the next instruction. */
    start32();
    g_assert_cmphex(GO(step_ss), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + (step_ss_end - step_ss) - 1);

    start32();
    g_assert_cmphex(GO(step_rep), ==, 1);
    g_assert_cmphex((uint32_t)s->gpr[R_RCX], ==, 3);
    g_assert_cmphex(top(0), ==, CODE + (step_rep_end - step_rep) - 3);
}

SNIPPET(step_popf, "32", "pushf\n pushf\n orl $0x100, (%esp)\n popf\n"
                         "popf\n nop\n");
SNIPPET(step_int, "32", "pushf\n orl $0x100, (%esp)\n popf\n int $0x80\n");
SNIPPET(step_icebp, "32", "mov %ss, %eax\n pushf\n orl $0x100, (%esp)\n popf\n"
                          "mov %eax, %ss\n .byte 0xf1\n nop\n");

static void test_step_flags(void)
{
    /* The instruction that clears TF is the last to trap. */
    start32();
    g_assert_cmphex(GO(step_popf), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + (step_popf_end - step_popf) - 1);
    g_assert_cmphex(top(2) & FL_TF, ==, 0);

    /* INT clears it before there is a trap. */
    start32();
    g_assert_cmphex(GO(step_int), ==, 0x80);
    g_assert_cmphex(top(2) & FL_TF, ==, FL_TF);
    g_assert_cmphex(s->rflags & FL_TF, ==, 0);

    /* INT1 is no step: BS stays clear. */
    start32();
    g_assert_cmphex(GO(step_icebp), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + (step_icebp_end - step_icebp) - 1);
    g_assert_cmphex(s->dr[6] & DR6_BITS, ==, 0);
}

SNIPPET(step_syscall, "64", "syscall\n nop\n int $0x80\n");
SNIPPET(syscall_step, "64", "syscall\n pushfq\n orl $0x100, (%rsp)\n popfq\n"
                            "nop\n nop\n nop\n");

static void start_syscall(uint64_t rflags, uint64_t sfmask)
{
    start64();
    s->star = (uint64_t)CS64 << 32;
    s->lstar = CODE + 2;
    s->sfmask = sfmask;
    s->rflags |= rflags;
    put_state();
}

static void test_step_syscall(void)
{
    /* TF counts as SYSCALL leaves it: cleared, there is no trap ... */
    start_syscall(FL_TF, FL_TF);
    g_assert_cmphex(GO(step_syscall), ==, 0x80);
    g_assert_cmphex(s->gpr[R_R11] & FL_TF, ==, FL_TF);
    start_syscall(FL_TF, 0);
    g_assert_cmphex(GO(step_syscall), ==, 1);
    g_assert_cmphex(top64(0), ==, CODE + 2);

    /* ... and that is all: later steps are not held back. */
    start_syscall(0, FL_TF);
    g_assert_cmphex(GO(syscall_step), ==, 1);
    g_assert_cmphex(top64(0), ==, CODE + (syscall_step_end - syscall_step) - 2);
    start_syscall(FL_TF, FL_TF);
    g_assert_cmphex(GO(syscall_step), ==, 1);
    g_assert_cmphex(top64(0), ==, CODE + (syscall_step_end - syscall_step) - 2);
}

/* --- breakpoints ------------------------------------------------------------- */

SNIPPET(access_gd, "32", "nop\n mov %eax, %dr6\n");
SNIPPET(code_at, "32", "nop\n nop\n int $0x80\n");
SNIPPET(iret_rf, "32", "pushf\n orl $0x10000, (%esp)\n push %cs\n"
                       "push $(1f - 0b + 0x10000)\n iret\n"
                       "1: nop\n int $0x80\n");
SNIPPET(write_at, "32", "movb $1, 0x20003\n nop\n");
SNIPPET(out_at, "32", "mov $0x80, %dx\n out %al, %dx\n nop\n");

static void test_breakpoints(void)
{
    /* General detect: a fault, with RF, that clears GD. */
    start32();
    s->dr[7] = GD;
    s->dr[6] = BS | B1;
    g_assert_cmphex(GO(access_gd), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + 1);
    g_assert_cmphex(top(2) & FL_RF, ==, FL_RF);
    g_assert_cmphex(s->dr[6] & DR6_BITS, ==, BD | BS);
    g_assert_cmphex(s->dr[7] & GD, ==, 0);

    /* Code: before the instruction; BS was set by software and stays, B1 was
     * and goes; RF is left to the handler. */
    start32();
    s->dr[0] = CODE + 1;
    s->dr[7] = G0;
    s->dr[6] = BS | B1;
    g_assert_cmphex(GO(code_at), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + 1);
    g_assert_cmphex(top(2) & FL_RF, ==, 0);
    g_assert_cmphex(s->dr[6] & DR6_BITS, ==, BS | B0);

    /* RF passes over one instruction. */
    start32();
    s->dr[0] = CODE + (iret_rf_end - iret_rf) - 3;
    s->dr[7] = G0;
    g_assert_cmphex(GO(iret_rf), ==, 0x80);
    g_assert_cmphex(top(2) & FL_RF, ==, 0);

    /* Data: after it. */
    start32();
    s->dr[0] = 0x20000;
    s->dr[7] = G0 | ON_WRITE | LEN4;
    g_assert_cmphex(GO(write_at), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + (write_at_end - write_at) - 1);
    g_assert_cmphex(s->dr[6] & DR6_BITS, ==, B0);

    /* I/O: after it, and only with CR4.DE. */
    start32();
    s->cr4 = CR4_DE;
    s->dr[0] = 0x80;
    s->dr[7] = G0 | ON_IO;
    g_assert_cmphex(GO(out_at), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + (out_at_end - out_at) - 1);
    g_assert_cmphex(s->dr[6] & DR6_BITS, ==, B0);
}

/* --- MOV SS -------------------------------------------------------------------- */

SNIPPET(ss_nop, "32", "mov 0x20000, %ss\n nop\n nop\n");
SNIPPET(ss_code, "32", "mov 0x20000, %ss\n nop\n int $0x80\n");
SNIPPET(ss_int1, "32", "mov 0x20000, %ss\n .byte 0xf1\n nop\n");
SNIPPET(ss_int, "32", "mov 0x20000, %ss\n int $0x80\n");
SNIPPET(ss_int3, "32", "mov 0x20000, %ss\n int3\n");

static void start_watch_ss(void)
{
    start32();
    put16(0x20000, DS0);
    s->dr[0] = 0x20000;
    s->dr[7] = G0 | ON_ACCESS;
}

static void test_mov_ss(void)
{
    uint32_t mov_bytes = 6;

    /* The data breakpoint comes after the next instruction. */
    start_watch_ss();
    g_assert_cmphex(GO(ss_nop), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + mov_bytes + 1);
    g_assert_cmphex(s->dr[6] & DR6_BITS, ==, B0);

    /* Together with INT1's. */
    start_watch_ss();
    g_assert_cmphex(GO(ss_int1), ==, 1);
    g_assert_cmphex(top(0), ==, CODE + mov_bytes + 1);
    g_assert_cmphex((uint32_t)s->gpr[R_RSP], ==, STACK0 - 0x100 - 12);

    /* After INT's: at its handler, with its frame below. */
    start_watch_ss();
    g_assert_cmphex(GO(ss_int), ==, 1);
    g_assert_cmphex(top(0), ==, stub(0x80));
    g_assert_cmphex(top(3), ==, CODE + mov_bytes + 2);
    start_watch_ss();
    g_assert_cmphex(GO(ss_int3), ==, 1);
    g_assert_cmphex(top(0), ==, stub(3));
    g_assert_cmphex(top(3), ==, CODE + mov_bytes + 1);

    /* A code breakpoint on the next instruction is passed over (Intel). */
    start_watch_ss();
    s->dr[0] = CODE + mov_bytes;
    s->dr[7] = G0;
    g_assert_cmphex(GO(ss_code), ==, 0x80);
}

void debug_tests(void)
{
    g_test_add_func("/debug/flags", test_step_flags);
    g_test_add_func("/debug/syscall", test_step_syscall);
    g_test_add_func("/debug/breakpoints", test_breakpoints);
    g_test_add_func("/debug/mov-ss", test_mov_ss);
    g_test_add_func("/debug/step", test_single_step);
}
