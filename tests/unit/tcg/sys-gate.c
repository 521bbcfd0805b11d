/*
 * Gates, changes of level, the I/O bitmap, double faults.
 *
 * Spec: Intel SDM volume 3A chapters 5 and 6; volume 1 chapter 19.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

/* --- privilege ------------------------------------------------------------------- */

SNIPPET(int80, "32", "mov $0x1234, %ebx\n int $0x80\n");

static void test_int_from_user(void)
{
    start32();
    user32();
    s->rflags |= FL_IF | FL_CF | FL_NT;
    s->tr.attr |= 2;
    g_assert_cmphex(GO(int80), ==, 0x80);
    g_assert_cmphex(s->seg[SEG_CS].selector, ==, CS0);
    g_assert_cmphex(s->seg[SEG_SS].selector, ==, DS0);
    g_assert_cmphex((uint32_t)s->gpr[R_RSP], ==, STACK0 - 20);
    g_assert_cmphex(top(0), ==, CODE + 7);
    g_assert_cmphex(top(1), ==, CS3);
    g_assert_cmphex(top(2), ==, FL_IF | FL_CF | FL_NT | 2);
    g_assert_cmphex(top(3), ==, STACK3);
    g_assert_cmphex(top(4), ==, DS3);
    g_assert_cmphex(s->rflags & (FL_IF | FL_NT | FL_CF), ==, FL_CF);
    /* Segments of the program stay. */
    g_assert_cmphex(s->seg[SEG_DS].selector, ==, DS3);
}

SNIPPET(trap_gate, "32", "int $0x81\n");

static void test_gate_kinds(void)
{
    /* A trap gate leaves IF; a 16-bit gate pushes words and ignores the high
     * half of its offset. */
    start32();
    set_idt(0x81, gate(CS0, stub(0x81), 15, 3, 0));
    s->rflags |= FL_IF;
    g_assert_cmphex(GO(trap_gate), ==, 0x81);
    g_assert_cmphex(s->rflags & FL_IF, ==, FL_IF);

    start32();
    set_idt(0x81, gate(CS0, 0xabcd0000 | stub(0x81), 6, 3, 0));
    user32();
    s->rflags |= FL_IF;
    g_assert_cmphex(GO(trap_gate), ==, 0x81);
    g_assert_cmphex((uint32_t)s->gpr[R_RSP], ==, STACK0 - 10);
    g_assert_cmphex(get16(STACK0 - 10), ==, 2);
    g_assert_cmphex(get16(STACK0 - 8), ==, CS3);
    g_assert_cmphex(get16(STACK0 - 2), ==, DS3);
    g_assert_cmphex(s->rflags & FL_IF, ==, 0);
}

SNIPPET(bad_stack, "32", "int $0x80\n");

static void test_tss_stack_faults(void)
{
    /* The stack of level 0: beyond the TSS, null, of another level, not
     * present, too small. */
    static const struct {
        uint32_t limit, sp;
        uint16_t ss;
        uint8_t vector;
        uint16_t error;
    } cases[] = {
        { 0x0a, STACK0, DS0, 10, SEL_TSS_A },
        { 0x67, STACK0, 0, 10, 0 },
        { 0x67, STACK0, DS3, 10, DS3 & ~3 },
        { 0x67, STACK0, READ_ONLY, 10, READ_ONLY },
        { 0x67, STACK0, 0x1f8, 10, 0x1f8 },
        { 0x67, STACK0, DATA_ABSENT, 12, DATA_ABSENT },
        { 0x67, 0x08, DATA_SMALL, 12, DATA_SMALL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        start32();
        user32();
        /* The exception goes to a task of its own: the stack is no good. */
        set_idt(10, gate(SEL_TSS_B, 0, 5, 0, 0));
        set_idt(12, gate(SEL_TSS_B, 0, 5, 0, 0));
        put32(TSS_B + 0x20, stub(0xee));
        put32(TSS_B + 0x38, 0x9000);
        for (unsigned seg = 0; seg < 6; seg++) {
            put16(TSS_B + 0x48 + 4 * seg, seg == SEG_CS ? CS0 : DS0);
        }
        s->tr.limit = cases[i].limit;
        s->rflags |= FL_IOPL;
        put32(TSS_A + 4, cases[i].sp);
        put16(TSS_A + 8, cases[i].ss);
        if (cases[i].limit == 0x0a) {
            /* A task switch would fail as well. */
            set_idt(10, gate(CS3, stub(0xee), 14, 0, 0));
        }
        g_assert_cmphex(GO(bad_stack), ==, 0xee);
        g_assert_cmphex(top(0), ==, cases[i].error);
        if (cases[i].limit != 0x0a) {
            g_assert_cmphex(s->tr.selector, ==, SEL_TSS_B);
            g_assert_cmphex(get16(TSS_B), ==, SEL_TSS_A);
            g_assert_cmphex(get32(TSS_A + 0x20), ==, CODE);
        }
    }
}

SNIPPET(to_user, "32",
    "push $0x23\n push $0xa000\n pushf\n push $0x1b\n push $(1f - 0b + 0x10000)\n"
    "iret\n 1: mov %ds, %ebx\n mov %es, %ecx\n mov %fs, %edx\n mov %cs, %esi\n"
    "mov %gs, %edi\n int $0x80\n");

static void test_iret_outer(void)
{
    start32();
    hidden(&s->seg[SEG_ES], DS3);
    hidden(&s->seg[SEG_FS], CONFORMING);
    s->seg[SEG_GS] = (X86Seg) { .selector = 3, .attr = SEGA_NULL };
    g_assert_cmphex(GO(to_user), ==, 0x80);
    /* DS of level 0 is taken away, ES of level 3 and conforming code stay; a
     * null selector is 0 then. */
    g_assert_cmphex(s->gpr[R_RBX], ==, 0);
    g_assert_cmphex(s->gpr[R_RCX], ==, DS3);
    g_assert_cmphex(s->gpr[R_RDX], ==, CONFORMING);
    g_assert_cmphex(s->gpr[R_RSI], ==, CS3);
    g_assert_cmphex(s->gpr[R_RDI], ==, 0);
    g_assert_cmphex(top(3), ==, 0xa000);
}

SNIPPET(call_gate, "32", "push $0x22222222\n push $0x11111111\n lcall $0x73, $0\n"
                         "mov %esp, %ebx\n int $0x80\n");
SNIPPET(callee, "32", "mov 16(%esp), %ebp\n mov 12(%esp), %ecx\n mov %cs, %edx\n"
                      "mov %ss, %esi\n mov %esp, %edi\n lret $8\n");

static void test_call_gate(void)
{
    start32();
    user32();
    guest_load(CALLEE, callee, callee_end);
    g_assert_cmphex(GO(call_gate), ==, 0x80);
    g_assert_cmphex((uint32_t)s->gpr[R_RCX], ==, 0x22222222);
    g_assert_cmphex(s->gpr[R_RBP], ==, STACK3 - 8);
    g_assert_cmphex(s->gpr[R_RDX], ==, CS0);
    g_assert_cmphex(s->gpr[R_RSI], ==, DS0);
    g_assert_cmphex(s->gpr[R_RDI], ==, STACK0 - 24);
    g_assert_cmphex(s->gpr[R_RBX], ==, STACK3);
    g_assert_cmphex(s->seg[SEG_DS].selector, ==, DS3);
}

SNIPPET(call_gate16, "32", "pushw $0x2222\n pushw $0x1111\n lcall $0x7b, $0\n"
                           "mov %esp, %ebx\n int $0x80\n");
SNIPPET(callee16, "32", "mov 4(%esp), %eax\n mov %esp, %edi\n"
                        "int $0x82\n .byte 0x66\n lret $4\n");

static void test_call_gate16(void)
{
    start32();
    user32();
    set_gdt(GATE16, gate(CS0, 0x8000, 4, 3, 2));
    guest_load(0x8000, callee16, callee16_end);
    put32(TSS_A + 4, 0x7000);
    g_assert_cmphex(GO(call_gate16), ==, 0x82);
    g_assert_cmphex(s->gpr[R_RDI], ==, 0x7000 - 12);
    g_assert_cmphex(get16(0x7000 - 12), ==, 15);
    g_assert_cmphex(get16(0x7000 - 10), ==, CS3);
    g_assert_cmphex(get32(0x7000 - 8), ==, 0x22221111);
    g_assert_cmphex(get16(0x7000 - 2), ==, DS3);
}

SNIPPET(conforming, "32", "lcall $0x83, $0\n int $0x80\n");
SNIPPET(conf_callee, "32", "mov %cs, %edx\n lret\n");

static void test_conforming(void)
{
    start32();
    user32();
    guest_load(CALLEE, conf_callee, conf_callee_end);
    g_assert_cmphex(GO(conforming), ==, 0x80);
    g_assert_cmphex(s->gpr[R_RDX], ==, CONFORMING | 3);
    g_assert_cmphex(top(3), ==, STACK3);
}

SNIPPET(accessed, "32", "mov $0x10, %eax\n mov %eax, %fs\n mov $0x20, %eax\n"
                        "mov %eax, %gs\n ljmp $8, $(1f - 0b + 0x10000)\n"
                        "1: int $0x80\n");

static void test_accessed(void)
{
    start32();
    g_assert_cmphex(get64(GDT + DS0) >> 40 & 1, ==, 0);
    g_assert_cmphex(GO(accessed), ==, 0x80);
    g_assert_cmphex(get64(GDT + DS0) >> 40 & 1, ==, 1);
    g_assert_cmphex(get64(GDT + (DS3 & ~3)) >> 40 & 1, ==, 1);
    g_assert_cmphex(get64(GDT + CS0) >> 40 & 1, ==, 1);
    g_assert_cmphex(get64(GDT + DATA_DOWN) >> 40 & 1, ==, 0);
}

/* --- double and triple faults --------------------------------------------------------- */

SNIPPET(gp, "32", "mov $0x1f8, %eax\n mov %eax, %ds\n");

static void test_double_fault(void)
{
    /* #GP whose gate is not present: contributory twice. */
    start32();
    set_idt(13, get64(IDT + 13 * 8) & ~(UINT64_C(1) << 47));
    g_assert_cmphex(GO(gp), ==, 8);
    g_assert_cmphex(top(0), ==, 0);
    g_assert_cmphex(top(1), ==, CODE + 5);

    /* #UD whose gate is not present: benign first, so #NP. */
    start32();
    set_idt(6, get64(IDT + 6 * 8) & ~(UINT64_C(1) << 47));
    g_assert_cmphex(go((const uint8_t *)"\x0f\x0b", (const uint8_t *)
                       "\x0f\x0b" + 2), ==, 11);
    g_assert_cmphex(top(0), ==, 6 * 8 + 3);
}

/* --- I/O ------------------------------------------------------------------------------------ */

SNIPPET(io_ok, "32", "mov $0x80, %dx\n in %dx, %al\n int $0x80\n");

static void test_io_bitmap(void)
{
    start32();
    user32();
    g_assert_cmphex(GO(io_ok), ==, 13);
    start32();
    user32();
    guest_ram[TSS_A + 0x88 + 16] = 0xfe;
    g_assert_cmphex(GO(io_ok), ==, 0x80);
    /* The byte after the last one is needed too. */
    start32();
    user32();
    guest_ram[TSS_A + 0x88 + 16] = 0xfe;
    s->tr.limit = 0x88 + 16;
    g_assert_cmphex(GO(io_ok), ==, 13);
    start32();
    user32();
    s->rflags |= FL_IOPL;
    g_assert_cmphex(GO(io_ok), ==, 0x80);
}

void gate_tests(void)
{
    g_test_add_func("/gate/user", test_int_from_user);
    g_test_add_func("/gate/gates", test_gate_kinds);
    g_test_add_func("/gate/tss-stack", test_tss_stack_faults);
    g_test_add_func("/gate/double-fault", test_double_fault);
    g_test_add_func("/gate/iret-outer", test_iret_outer);
    g_test_add_func("/gate/call-gate", test_call_gate);
    g_test_add_func("/gate/call-gate16", test_call_gate16);
    g_test_add_func("/gate/conforming", test_conforming);
    g_test_add_func("/gate/accessed", test_accessed);
    g_test_add_func("/gate/bitmap", test_io_bitmap);
}
