/*
 * Virtual-8086 mode and its extensions.
 *
 * Spec: Intel SDM volume 3B chapter 21.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

/* --- virtual-8086 mode ---------------------------------------------------------------------- */

SNIPPET(vm_int, "16", "int $0x21\n");
SNIPPET(vm_gp, "16", "hlt\n");

static void check_vm_frame(unsigned i, uint32_t ip)
{
    g_assert_cmphex(top(i), ==, ip);
    g_assert_cmphex(top(i + 1), ==, CODE >> 4);
    g_assert_cmphex(top(i + 2) & FL_VM, ==, FL_VM);
    g_assert_cmphex(top(i + 3), ==, 0x800);
    g_assert_cmphex(top(i + 4), ==, 0x1000 + SEG_SS);
    g_assert_cmphex(top(i + 5), ==, 0x1000 + SEG_ES);
    g_assert_cmphex(top(i + 6), ==, 0x1000 + SEG_DS);
    g_assert_cmphex(top(i + 7), ==, 0x1000 + SEG_FS);
    g_assert_cmphex(top(i + 8), ==, 0x1000 + SEG_GS);
    g_assert_cmphex((uint32_t)s->gpr[R_RSP] + 4 * (i + 9), ==, STACK0);
    g_assert_cmphex(s->rflags & FL_VM, ==, 0);
    g_assert_cmphex(s->seg[SEG_DS].selector, ==, 0);
    g_assert_true(s->seg[SEG_GS].attr & SEGA_NULL);
}

static void test_vm86_exceptions(void)
{
    start_vm86(0, 0);
    g_assert_cmphex(GO(vm_gp), ==, 13);
    g_assert_cmphex(top(0), ==, 0);
    check_vm_frame(1, 0);

    start_vm86(0, 0);           /* INT n needs IOPL 3 */
    g_assert_cmphex(GO(vm_int), ==, 13);
    g_assert_cmphex(top(0), ==, 0);
    check_vm_frame(1, 0);

    start_vm86(3, 0);
    set_idt(0x21, gate(CS0, stub(0x21), 14, 3, 0));
    g_assert_cmphex(GO(vm_int), ==, 0x21);
    check_vm_frame(0, 2);

    start_vm86(3, 0);           /* the handler must be of level 0 */
    set_idt(0x21, gate(CONFORMING, stub(0x21), 14, 3, 0));
    g_assert_cmphex(GO(vm_int), ==, 13);
    g_assert_cmphex(top(0), ==, CONFORMING);
}

SNIPPET(vm_handler, "16", "mov %sp, %bx\n pushf\n pop %dx\n hlt\n");

static void test_vme(void)
{
    /* Redirected to the program's own vector table, at level 3. */
    start_vm86(0, CR4_VME);
    s->rflags |= FL_VIF;
    guest_ram[TSS_A + 0x68 + 0x21 / 8] = 0xff & ~(1 << (0x21 & 7));
    put16(0x21 * 4, 0x100);
    put16(0x21 * 4 + 2, CODE >> 4);
    guest_load(CODE + 0x100, vm_handler, vm_handler_end);
    g_assert_cmphex(GO(vm_int), ==, 13);
    g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 0x800 - 6);
    /* The image has VIF in IF's place and IOPL 3. */
    g_assert_cmphex(get16(0x10000 + 16 * SEG_SS + 0x800 - 2) & 0x3200, ==,
                    0x3200);
    g_assert_cmphex(get16(0x10000 + 16 * SEG_SS + 0x800 - 6), ==, 2);
    g_assert_cmphex(s->gpr[R_RDX] & 0x3200, ==, 0x3000);
    g_assert_cmphex(top(3) & (FL_VIF | FL_IF), ==, FL_IF);

    /* The bit set: #GP. */
    start_vm86(0, CR4_VME);
    guest_ram[TSS_A + 0x68 + 0x21 / 8] = 0xff;
    g_assert_cmphex(GO(vm_int), ==, 13);
}

/* IRET in virtual-8086 mode: IOPL cannot change; IOPL below 3 needs VME. */
SNIPPET(vm_iret, "16",
    "push $0x0ad5\n push %cs\n push $1f - 0b\n iretw\n hlt\n"
    "1: mov %sp, %bx\n pushf\n pop %cx\n hlt\n");
SNIPPET(vm_iret32, "16",
    "pushl $0x00020ad5\n pushl %cs\n pushl $1f - 0b\n iretl\n hlt\n"
    "1: mov %sp, %bx\n pushf\n pop %cx\n hlt\n");
SNIPPET(vm_iret_tf, "16", "push $0x0103\n push %cs\n push $0\n iretw\n");

/* #GP(0) of the IRET at `ip`, its three words still on the stack. */
static void check_vm_iret(uint32_t ip)
{
    g_assert_cmphex(top(0), ==, 0);
    g_assert_cmphex(top(1), ==, ip);
    g_assert_cmphex(top(4), ==, 0x800 - 6);
}

static void test_iret_in_vm86(void)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        start_vm86(3, 0);
        g_assert_cmphex(wide ? GO(vm_iret32) : GO(vm_iret), ==, 13);
        g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 0x800);
        g_assert_cmphex(s->gpr[R_RCX] & 0xffff, ==, 0x3ad7);
        g_assert_cmphex(top(3) & FL_VM, ==, FL_VM);
    }
    start_vm86(0, 0);
    g_assert_cmphex(GO(vm_iret), ==, 13);
    check_vm_iret(7);

    /* With VME the image's IF goes to VIF; IF and IOPL stay. */
    start_vm86(0, CR4_VME);
    s->rflags &= ~(uint64_t)(FL_VIF | FL_IF);
    g_assert_cmphex(GO(vm_iret), ==, 13);
    g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 0x800);
    g_assert_cmphex(top(3) & (FL_VIF | FL_IF | FL_IOPL), ==, FL_VIF);
    g_assert_cmphex(top(3) & 0xcd5, ==, 0x8d5);
    start_vm86(0, CR4_VME);     /* but not by 32 bits, */
    g_assert_cmphex(GO(vm_iret32), ==, 13);
    g_assert_cmphex(top(0), ==, 0);
    g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 0);
    start_vm86(0, CR4_VME);     /* nor with TF, */
    g_assert_cmphex(GO(vm_iret_tf), ==, 13);
    check_vm_iret(6);
    start_vm86(0, CR4_VME);     /* nor with IF while one is pending */
    s->rflags |= FL_VIP;
    g_assert_cmphex(GO(vm_iret), ==, 13);
    check_vm_iret(7);
}

SNIPPET(to_vm86, "32",
    "push $4\n push $3\n push $2\n push $1\n push $0x2000\n push $0x800\n"
    "push $0x23202\n push $0x1001\n push $0x10\n iret\n");
SNIPPET(in_vm86, "16", "mov %cs, %ax\n mov %ds, %bx\n mov %es, %cx\n"
                       "mov %gs, %dx\n pushf\n pop %si\n int $0x21\n");

static void test_iret_to_vm86(void)
{
    start32();
    set_idt(0x21, gate(CS0, stub(0x21), 14, 3, 0));
    guest_load(0x10020, in_vm86, in_vm86_end);
    g_assert_cmphex(GO(to_vm86), ==, 0x21);
    g_assert_cmphex(s->gpr[R_RBX] & 0xffff, ==, 2);
    g_assert_cmphex(s->gpr[R_RCX] & 0xffff, ==, 1);
    g_assert_cmphex(s->gpr[R_RDX] & 0xffff, ==, 4);
    g_assert_cmphex(s->gpr[R_RSI] & 0xffff, ==, 0x3202);
    g_assert_cmphex(top(1), ==, 0x1001);
    g_assert_cmphex(top(4), ==, 0x2000);
}

void vm86_tests(void)
{
    g_test_add_func("/vm86/exceptions", test_vm86_exceptions);
    g_test_add_func("/vm86/vme", test_vme);
    g_test_add_func("/vm86/iret", test_iret_to_vm86);
    g_test_add_func("/vm86/iret-inside", test_iret_in_vm86);
}
