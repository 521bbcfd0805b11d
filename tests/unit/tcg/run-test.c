/*
 * The run loop: modes, chaining, self-modifying code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { CODE = 0x10000, TABLES = 0x100000 };

GUEST_CODE(sum16, "16",
    "xor %ax, %ax\n mov $1000, %cx\n"
    "1: add %cx, %ax\n dec %cx\n jnz 1b\n"
    "mov %ax, %bx\n" GUEST_EXIT);

static void test_real(void)
{
    guest_reset();
    GUEST_LOAD(CODE, sum16);
    guest_real(0, CODE >> 4, 0);
    guest_run(1);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RBX], ==,
                    (uint16_t)(1000 * 1001 / 2));
}

GUEST_CODE(sum32, "32",
    "xor %eax, %eax\n mov $100000, %ecx\n"
    "1: add %ecx, %eax\n dec %ecx\n jnz 1b\n"
    "mov %eax, 0x2000\n mov 0x2000, %ebx\n" GUEST_EXIT);

static void test_protected(void)
{
    guest_reset();
    GUEST_LOAD(CODE, sum32);
    guest_protected(0, CODE);
    guest_run(1);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RBX], ==,
                    (uint32_t)(UINT64_C(100000) * 100001 / 2));
}

GUEST_CODE(sum64, "64",
    "xor %eax, %eax\n mov $100000, %ecx\n"
    "1: add %rcx, %rax\n dec %rcx\n jnz 1b\n"
    "push %rax\n call 2f\n pop %rbx\n mov $7, %al\n" GUEST_EXIT
    "2: ret\n");

static void test_long(void)
{
    guest_reset();
    GUEST_LOAD(CODE, sum64);
    guest_long(0, CODE, TABLES);
    g_assert_cmpuint(guest_run(1), ==, 7);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RBX], ==,
                    UINT64_C(100000) * 100001 / 2);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RSP], ==, 0x7000);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(2);
    g_test_add_func("/tcg/run/real", test_real);
    g_test_add_func("/tcg/run/protected", test_protected);
    g_test_add_func("/tcg/run/long", test_long);
    status = g_test_run();
    guest_free();
    return status;
}
