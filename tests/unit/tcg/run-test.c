/*
 * The run loop: modes, chaining, self-modifying code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include <glib/gstdio.h>

#include "base/log.h"

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

/* --- debug exceptions: SDM volume 3B chapter 18 ---------------------------------- */

/* Logs DR6 and RIP of each #DB at R15 and on, clears DR6, sets RF if R14. */
GUEST_CODE(db_handler, "64",
    "push %rax\n mov %dr6, %rax\n mov %rax, (%r15)\n xor %eax, %eax\n"
    "mov %rax, %dr6\n mov 8(%rsp), %rax\n mov %rax, 8(%r15)\n"
    "add $16, %r15\n test %r14, %r14\n jz 1f\n"
    "orl $0x10000, 24(%rsp)\n 1: pop %rax\n iretq\n");

enum { GDT = 0x30000, IDT = 0x31000, LOG = 0x40000, HANDLER = 0x11000 };

typedef struct { uint64_t dr6, rip; } DbLog;

static unsigned run_debug(const uint8_t *code, const uint8_t *end,
                          bool resume, const DbLog **log)
{
    X86State *s = guest_cpu(0)->state;

    guest_load(CODE, code, end);
    GUEST_LOAD(HANDLER, db_handler);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    guest_gate(IDT, EXC_DB, HANDLER);
    s->gpr[R_R15] = LOG;
    s->gpr[R_R14] = resume;
    guest_run(1);
    *log = (const DbLog *)(guest_ram + LOG);
    return (s->gpr[R_R15] - LOG) / sizeof(DbLog);
}

/* Single step: from after the instruction after POPF to that after the POPF
 * that ends it. */
GUEST_CODE(step, "64",
    "pushf\n orl $0x100, (%rsp)\n popf\n"            /* 0 1 8 */
    "nop\n mov %ss, %eax\n mov %eax, %ss\n nop\n"    /* 9 10 12 14 */
    "pushf\n andl $~0x100, (%rsp)\n popf\n nop\n"    /* 15 16 23 24 */
    GUEST_EXIT);

static void test_single_step(void)
{
    static const uint8_t rips[] = { 10, 12, 15, 16, 23, 24 };
    const DbLog *log;
    unsigned n;

    guest_reset();
    n = run_debug(step, step_end, false, &log);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(log[i].dr6 & 0xe00f, ==, 0x4000);
        g_assert_cmphex(log[i].rip - CODE, ==, rips[i]);
    }
    g_assert_cmpuint(n, ==, G_N_ELEMENTS(rips));
}

/* DR0 at the second NOP: a fault before it, resumed by RF. */
GUEST_CODE(code_bp, "64",
    "lea 1f(%rip), %rax\n mov %rax, %dr0\n mov $2, %eax\n mov %rax, %dr7\n"
    "mov $3, %ecx\n"
    "2: nop\n 1: nop\n inc %ebx\n dec %ecx\n jnz 2b\n" GUEST_EXIT);

static void test_code_breakpoint(void)
{
    const DbLog *log;

    guest_reset();
    g_assert_cmpuint(run_debug(code_bp, code_bp_end, true, &log), ==, 3);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(log[i].dr6 & 0xe00f, ==, 1);
        g_assert_cmphex(*(guest_ram + log[i].rip), ==, 0x90);
    }
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_RBX], ==, 3);
}

/* DR1 watches writes of a dword, DR2 accesses of a word. */
GUEST_CODE(data_bp, "64",
    "mov $0x200004, %eax\n mov %rax, %dr1\n mov $0x200010, %eax\n"
    "mov %rax, %dr2\n mov $0x07d00028, %eax\n mov %rax, %dr7\n"
    "mov 0x200004, %eax\n"             /* a read of DR1's: none */
    "mov %al, 0x200003\n"              /* just before */
    "mov %al, 0x200008\n"              /* just after */
    "mov %rax, 0x200000\n 1: nop\n"   /* over it */
    "mov %al, 0x200007\n 2: nop\n"
    "mov 0x200011, %al\n 3: nop\n"
    "incl 0x20000f\n 4: nop\n"
    "mov $0x200000, %edi\n mov $4, %ecx\n rep stosl\n"
    "nop\n xor %eax, %eax\n mov %rax, %dr7\n"
    "mov %rax, 0x200000\n" GUEST_EXIT);

static void test_data_breakpoint(void)
{
    static const uint8_t dr6[] = { 2, 2, 4, 4 };
    const DbLog *log;
    unsigned n;

    guest_reset();
    n = run_debug(data_bp, data_bp_end, false, &log);
    g_assert_cmpuint(n, ==, 5);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(log[i].dr6 & 0xe00f, ==, dr6[i]);
        g_assert_cmphex(*(guest_ram + log[i].rip), ==, 0x90);
    }
    /* In the midst of REP STOS: RIP is still there. */
    g_assert_cmphex(log[4].dr6 & 0xe00f, ==, 2);
    g_assert_cmphex(*(guest_ram + log[4].rip), ==, 0xf3);
}

/* What -d in_asm,op say about a block. */
static void test_log(void)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-run-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "log", NULL), *text = NULL;
    uint32_t before = log_mask;
    bool helped;

    guest_reset();
    GUEST_LOAD(CODE, sum64);
    guest_long(0, CODE, TABLES);
    g_assert_true(log_set_file(path, NULL));
    g_assert_true(log_set_items("in_asm,op", &helped, NULL));
    guest_run(1);
    g_assert_true(log_set_file("/dev/stderr", NULL));
    log_mask = before;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_true(g_regex_match_simple(
        "IN: 0x0*10000 [^O]*OP: 0x0*10000 ", text, 0, 0));
    g_assert_true(g_regex_match_simple(
        "(?m)^ [0-9a-f]{3} JCC_I +size 8 .* reads z$", text, 0, 0));
    g_unlink(path);
    g_rmdir(dir);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(2);
    g_test_add_func("/tcg/run/real", test_real);
    g_test_add_func("/tcg/run/protected", test_protected);
    g_test_add_func("/tcg/run/long", test_long);
    g_test_add_func("/tcg/run/single-step", test_single_step);
    g_test_add_func("/tcg/run/code-breakpoint", test_code_breakpoint);
    g_test_add_func("/tcg/run/data-breakpoint", test_data_breakpoint);
    g_test_add_func("/tcg/run/log", test_log);
    status = g_test_run();
    guest_free();
    return status;
}
