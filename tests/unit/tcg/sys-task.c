/*
 * Hardware tasks of 16 and 32 bits.
 *
 * Spec: Intel SDM volume 3A chapter 8.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

/* --- tasks --------------------------------------------------------------------------------------- */

static void make_task_b(uint32_t eip)
{
    put32(TSS_B + 0x20, eip);
    put32(TSS_B + 0x24, 2 | FL_CF);
    for (unsigned i = 0; i < 8; i++) {
        put32(TSS_B + 0x28 + 4 * i, 0xb0000000 + i);
    }
    put32(TSS_B + 0x38, 0x9000);
    for (unsigned seg = 0; seg < 6; seg++) {
        put16(TSS_B + 0x48 + 4 * seg, seg == SEG_CS ? CS0 : DS0);
    }
    put16(TSS_B + 0x60, SEL_LDT);
}

SNIPPET(call_task, "32", "mov $0x1234, %ecx\n lcall $0x48, $0\n"
                         "mov %esp, %ebp\n pushf\n pop %esi\n int $0x80\n");
SNIPPET(task_b, "32", "smsw %ax\n str %dx\n pushf\n pop %ebx\n iret\n"
                      "int $0x81\n");

static void test_task_call(void)
{
    start32();
    make_task_b(TASK_B);
    guest_load(TASK_B, task_b, task_b_end);
    s->rflags |= FL_OF;
    g_assert_cmphex(GO(call_task), ==, 0x80);
    /* Back in A, with B's state saved after IRET. */
    g_assert_cmphex(s->tr.selector, ==, SEL_TSS_A);
    g_assert_cmphex((uint32_t)s->gpr[R_RCX], ==, 0x1234);
    g_assert_cmphex(s->gpr[R_RSI] & (FL_OF | FL_NT | FL_CF), ==, FL_OF);
    g_assert_cmphex(s->gpr[R_RBP], ==, STACK0 - 0x100);
    g_assert_cmphex(s->cr0 & CR0_TS, ==, CR0_TS);
    g_assert_cmphex(get16(TSS_B), ==, SEL_TSS_A);
    g_assert_cmphex(get32(TSS_B + 0x34) & (FL_NT | FL_CF), ==, FL_NT | FL_CF);
    g_assert_cmphex(get32(TSS_B + 0x28 + 8), ==, 0xb0000000 + SEL_TSS_B);
    g_assert_cmphex(get32(TSS_B + 0x24) & FL_NT, ==, 0);
    g_assert_cmphex(get32(TSS_B + 0x20), ==, TASK_B + (task_b_end - task_b)
                                              - 2);
    g_assert_cmphex(get64(GDT + SEL_TSS_A) >> 40 & 15, ==, 11);
    g_assert_cmphex(get64(GDT + SEL_TSS_B) >> 40 & 15, ==, 9);
}

SNIPPET(jmp_task, "32", "ljmp $0x48, $0\n int $0x80\n");
SNIPPET(task_report, "32", "pushf\n pop %ebx\n sldt %dx\n int $0x81\n");

static void test_task_jmp(void)
{
    start32();
    make_task_b(TASK_B);
    guest_load(TASK_B, task_report, task_report_end);
    g_assert_cmphex(GO(jmp_task), ==, 0x81);
    g_assert_cmphex(s->tr.selector, ==, SEL_TSS_B);
    g_assert_cmphex(s->gpr[R_RBX] & FL_NT, ==, 0);
    g_assert_cmphex(s->gpr[R_RDX] & 0xffff, ==, SEL_LDT);
    g_assert_cmphex(s->gpr[R_RDI], ==, 0xb0000007);
    g_assert_cmphex(get64(GDT + SEL_TSS_A) >> 40 & 15, ==, 9);
    g_assert_cmphex(get64(GDT + SEL_TSS_B) >> 40 & 15, ==, 11);
    g_assert_cmphex(get32(TSS_A + 0x20), ==, CODE + 7);
    g_assert_cmphex(get16(TSS_A + 0x4c), ==, CS0);
}

static void test_task_faults(void)
{
    static const struct {
        unsigned at;            /* in the TSS */
        uint16_t sel;
        uint8_t vector;
        uint16_t error;
    } cases[] = {
        { 0x60, DS0, 10, DS0 },                         /* LDT */
        { 0x60, 0x1f8, 10, 0x1f8 },
        { 0x4c, 0, 10, 0 },                             /* CS */
        { 0x4c, DS0, 10, DS0 },
        { 0x4c, CS3, 10, DS0 },                         /* SS of level 0 */
        { 0x4c, CODE_ABSENT, 11, CODE_ABSENT },
        { 0x50, 0, 10, 0 },                             /* SS */
        { 0x50, READ_ONLY, 10, READ_ONLY },
        { 0x50, DATA_ABSENT, 12, DATA_ABSENT },
        { 0x54, EXEC_ONLY, 10, EXEC_ONLY },             /* DS */
        { 0x54, DATA_ABSENT, 11, DATA_ABSENT },
        { 0x5c, 0x1f8, 10, 0x1f8 },                     /* GS */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        start32();
        make_task_b(TASK_B);
        /* The fault comes in the new task: a task gate takes it. */
        for (unsigned v = 10; v <= 13; v++) {
            set_gdt(SEL_TSS_16, desc(TSS_16, 0x67, SEGA_P | 9));
            set_idt(v, gate(SEL_TSS_16, 0, 5, 0, 0));
        }
        put32(TSS_16 + 0x20, STUBS + 0x800);
        memcpy(guest_ram + STUBS + 0x800, "\xb0\xee\xe6\xf4\xeb\xfe", 6);
        put32(TSS_16 + 0x38, 0x6800);
        for (unsigned seg = 0; seg < 6; seg++) {
            put16(TSS_16 + 0x48 + 4 * seg, seg == SEG_CS ? CS0 : DS0);
        }
        put16(TSS_B + cases[i].at, cases[i].sel);
        g_assert_cmphex(GO(jmp_task), ==, 0xee);
        g_assert_cmphex(top(0), ==, cases[i].error);
        g_assert_cmphex(get16(TSS_16), ==, SEL_TSS_B);
        g_assert_cmphex(get32(TSS_B + 0x20), ==, TASK_B);
    }
}

SNIPPET(gate_task, "32", "int $0x82\n");
SNIPPET(user_gate, "32", "lcall $0x8b, $0\n");

static void test_task_gates(void)
{
    start32();
    make_task_b(TASK_B);
    guest_load(TASK_B, task_report, task_report_end);
    set_idt(0x82, gate(SEL_TSS_B, 0, 5, 3, 0));
    s->rflags |= FL_IF;
    g_assert_cmphex(GO(gate_task), ==, 0x81);
    g_assert_cmphex(s->gpr[R_RBX] & (FL_NT | FL_IF), ==, FL_NT);
    g_assert_cmphex(get32(TSS_A + 0x20), ==, CODE + 2);

    /* From level 3, through a gate of level 3 to a TSS of level 0. */
    start32();
    user32();
    make_task_b(TASK_B);
    guest_load(TASK_B, task_report, task_report_end);
    g_assert_cmphex(GO(user_gate), ==, 0x81);
    g_assert_cmphex(get16(TSS_A + 0x4c), ==, CS3);
    g_assert_cmphex(get32(TSS_A + 0x38), ==, STACK3);
}

SNIPPET(call_task16, "32", "mov $0x11112222, %eax\n lcall $0x50, $0\n int $0x80\n");
SNIPPET(task16, "16", "mov $0x5678, %cx\n mov %fs, %dx\n iret\n");

static void test_task16(void)
{
    start32();
    put16(TSS_16 + 0x0e, 0x4000);
    put16(TSS_16 + 0x10, 2);
    put16(TSS_16 + 0x1a, 0x9000);
    put16(TSS_16 + 0x22, DS0);
    put16(TSS_16 + 0x24, CS16);
    put16(TSS_16 + 0x26, DS16);
    put16(TSS_16 + 0x28, DS0);
    guest_load(CODE + 0x4000, task16, task16_end);
    g_assert_cmphex(GO(call_task16), ==, 0x80);
    g_assert_cmphex(s->tr.selector, ==, SEL_TSS_A);
    g_assert_cmphex((uint32_t)s->gpr[R_RAX] & ~0xff, ==, 0x11112200);
    g_assert_cmphex(get16(TSS_16 + 0x14), ==, 0x5678);
    g_assert_cmphex(get16(TSS_16 + 0x16), ==, 0);
    g_assert_cmphex(get16(TSS_16), ==, SEL_TSS_A);
    g_assert_cmphex(get64(GDT + SEL_TSS_16) >> 40 & 15, ==, 1);
}

static void test_task_trap(void)
{
    start32();
    make_task_b(TASK_B);
    put16(TSS_B + 0x64, 1);
    g_assert_cmphex(GO(jmp_task), ==, 1);
    g_assert_cmphex(s->dr[6] & 0xe000, ==, 0x8000);
    g_assert_cmphex(top(0), ==, TASK_B);
}

void task_tests(void)
{
    g_test_add_func("/task/call", test_task_call);
    g_test_add_func("/task/jmp", test_task_jmp);
    g_test_add_func("/task/faults", test_task_faults);
    g_test_add_func("/task/gates", test_task_gates);
    g_test_add_func("/task/16", test_task16);
    g_test_add_func("/task/trap", test_task_trap);
}
