/*
 * Real mode.
 *
 * Spec: Intel SDM volume 3B 21.1.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

/* --- real mode -------------------------------------------------------------------------------------- */

SNIPPET(real_int, "16", "stc\n sti\n nop\n int $0x33\n");
SNIPPET(real_div, "16", "xor %cx, %cx\n div %cx\n");
SNIPPET(real_wrap, "16", "mov 0xffff, %ax\n");
SNIPPET(real_stack, "16", "mov $1, %sp\n push %ax\n");

static void test_real_int(void)
{
    start_real();
    g_assert_cmphex(GO(real_int), ==, 0x33);
    g_assert_cmphex((uint16_t)s->gpr[R_RSP], ==, 0x7000 - 6);
    g_assert_cmphex(get16(0x7000 - 6), ==, 5);
    g_assert_cmphex(get16(0x7000 - 4), ==, CODE >> 4);
    g_assert_cmphex(get16(0x7000 - 2), ==, FL_IF | FL_CF | 2);
    g_assert_cmphex(s->rflags & (FL_IF | FL_CF), ==, FL_CF);

    start_real();
    g_assert_cmphex(GO(real_div), ==, 0);
    g_assert_cmphex(get16(0x7000 - 6), ==, 2);

    start_real();               /* a word over the end of the segment */
    g_assert_cmphex(GO(real_wrap), ==, 13);
    g_assert_cmphex(get16(0x7000 - 6), ==, 0);
}

SNIPPET(unreal, "16",
    "cli\n lgdtl %cs:(1f - 0b)\n mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
    "mov $0x10, %bx\n mov %bx, %ds\n and $0xfe, %al\n mov %eax, %cr0\n"
    "xor %bx, %bx\n mov %bx, %ds\n mov $0x200000, %ebx\n"
    "movl $0x12345678, (%ebx)\n mov (%ebx), %ecx\n int $0x20\n"
    "1: .word 0x11f\n .long 0x1000\n");

static void test_unreal(void)
{
    start_real();
    make_tables();
    g_assert_cmphex(GO(unreal), ==, 0x20);
    g_assert_cmphex((uint32_t)s->gpr[R_RCX], ==, 0x12345678);
    g_assert_cmphex(s->seg[SEG_DS].limit, ==, UINT32_MAX);
    g_assert_cmphex(s->seg[SEG_DS].selector, ==, 0);
}

/* By 16 bits the upper half of EFLAGS stays, by 32 bits VM, VIF and VIP do. */
SNIPPET(real_iret16, "16",
    "push $0x0ad5\n push %cs\n push $1f - 0b\n iretw\n hlt\n"
    "1: mov %sp, %bx\n pushfl\n pop %ecx\n cld\n cli\n int $0x20\n");
SNIPPET(real_iret32, "16",
    "pushl $0x003a08d5\n pushl $0x1000\n pushl $1f - 0b\n iretl\n hlt\n"
    "1: mov %sp, %bx\n pushfl\n pop %ecx\n cld\n cli\n int $0x20\n");
SNIPPET(real_iret_far, "16",
    "pushl $2\n pushl $0x1000\n pushl $0x10000\n iretl\n");

static void test_real_iret(void)
{
    start_real();
    s->rflags |= FL_ID;
    g_assert_cmphex(GO(real_iret16), ==, 0x20);
    g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 0x7000);
    g_assert_cmphex((uint32_t)s->gpr[R_RCX], ==, FL_ID | 0xad7);

    start_real();
    g_assert_cmphex(GO(real_iret32), ==, 0x20);
    g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 0x7000);
    g_assert_cmphex((uint32_t)s->gpr[R_RCX], ==, FL_ID | 0x8d7);

    start_real();               /* beyond the limit of 64 KiB */
    g_assert_cmphex(GO(real_iret_far), ==, 13);
}

void real_tests(void)
{
    g_test_add_func("/real/iret", test_real_iret);
    g_test_add_func("/real/int", test_real_int);
    g_test_add_func("/real/unreal", test_unreal);
}
