/*
 * Faults of one instruction: vector, error code, frame, RF.
 *
 * Spec: Intel SDM volume 3A chapter 6; volume 2 for each instruction.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

/* --- faults of one instruction --------------------------------------------------- */

/*
 * X(name, level, vector, error, code): the frame's EIP is label 77.  Error -1:
 * none, and the frame shows RF (a fault); -2: none and RF clear (a trap); else
 * the code.  Label 0 is the start, at 10000h.
 */
#define FAULTS(X)                                                           \
    X(div0, 0, 0, -1, "xor %ecx, %ecx\n 77: div %ecx\n")                    \
    X(int3, 0, 3, -2, "int3\n 77: nop\n")                                   \
    X(into, 0, 4, -2, "mov $0x7f, %al\n add $1, %al\n into\n 77: nop\n")    \
    X(bound, 0, 5, -1, "movl $1, 0x20000\n movl $2, 0x20004\n"              \
      "mov $3, %eax\n 77: bound %eax, 0x20000\n")                           \
    X(ud2, 0, 6, -1, "77: ud2\n")                                           \
    X(lock_reg, 0, 6, -1, "77: .byte 0xf0, 1, 0xc0\n")                      \
    X(mov_cs, 0, 6, -1, "77: mov %eax, %cs\n")                              \
    X(nm, 0, 7, -1, "mov %cr0, %eax\n or $8, %eax\n mov %eax, %cr0\n"       \
      "77: fnop\n")                                                         \
    X(null_ds, 0, 13, 0, "xor %eax, %eax\n mov %eax, %ds\n"                 \
      "77: mov 0x20000, %eax\n")                                            \
    X(null_ss, 0, 13, 0, "xor %eax, %eax\n 77: mov %eax, %ss\n")            \
    X(ds_beyond, 0, 13, 0x1f8, "mov $0x1fb, %eax\n 77: mov %eax, %ds\n")    \
    X(ds_ldt, 0, 13, 0xc, "mov $0xc, %eax\n 77: mov %eax, %ds\n")           \
    X(ds_system, 0, 13, 0x40, "mov $0x40, %eax\n 77: mov %eax, %ds\n")      \
    X(ds_exec, 0, 13, 0xb0, "mov $0xb0, %eax\n 77: mov %eax, %ds\n")        \
    X(ds_absent, 0, 11, 0x90, "mov $0x90, %eax\n 77: mov %eax, %ds\n")      \
    X(ds_inner, 3, 13, 0x10, "mov $0x13, %eax\n 77: mov %eax, %ds\n")       \
    X(ds_rpl, 0, 13, 0x10, "mov $0x13, %eax\n 77: mov %eax, %ds\n")         \
    X(ss_rpl, 0, 13, 0x10, "mov $0x13, %eax\n 77: mov %eax, %ss\n")         \
    X(ss_dpl, 0, 13, 0x20, "mov $0x20, %eax\n 77: mov %eax, %ss\n")         \
    X(ss_ro, 0, 13, 0xb8, "mov $0xb8, %eax\n 77: mov %eax, %ss\n")          \
    X(ss_code, 0, 13, 8, "mov $8, %eax\n 77: mov %eax, %ss\n")              \
    X(ss_absent, 0, 12, 0x90, "mov $0x90, %eax\n 77: mov %eax, %ss\n")      \
    X(limit, 0, 13, 0, "mov $0xa0, %eax\n mov %eax, %ds\n"                  \
      "mov 0xffc, %ebx\n 77: mov 0xffd, %ebx\n")                            \
    X(limit_byte, 0, 13, 0, "mov $0xa0, %eax\n mov %eax, %ds\n"             \
      "mov 0xfff, %bl\n 77: mov 0x1000, %bl\n")                             \
    X(limit_ss, 0, 12, 0, "mov $0xa0, %eax\n mov $0xff0, %ebx\n"            \
      "mov $0x1000, %ebp\n mov %eax, %ss\n mov %ebx, %esp\n"               \
      "77: mov (%ebp), %al\n")                                             \
    X(down_low, 0, 13, 0, "mov $0xa8, %eax\n mov %eax, %ds\n"               \
      "mov 0x1000, %ebx\n 77: mov 0xfff, %ebx\n")                           \
    X(down_high, 0, 13, 0, "mov $0xa8, %eax\n mov %eax, %ds\n"              \
      "mov 0xfffc, %ebx\n 77: mov 0xfffd, %ebx\n")                          \
    X(write_ro, 0, 13, 0, "mov $0xb8, %eax\n mov %eax, %ds\n"               \
      "mov 0x20000, %ebx\n 77: mov %ebx, 0x20000\n")                        \
    X(write_cs, 0, 13, 0, "77: mov %ebx, %cs:0x20000\n")                    \
    X(read_exec, 0, 13, 0, "ljmp $0xb0, $(1f - 0b + 0x10000)\n"             \
      "1: 77: mov %cs:0x20000, %eax\n")                                     \
    X(jmp_null, 0, 13, 0, "77: ljmp $0, $0\n")                              \
    X(jmp_data, 0, 13, 0x10, "77: ljmp $0x10, $0\n")                        \
    X(jmp_outer, 0, 13, 0x18, "77: ljmp $0x1b, $0\n")                       \
    X(jmp_inner, 3, 13, 8, "77: ljmp $8, $0\n")                             \
    X(jmp_absent, 0, 11, 0x98, "77: ljmp $0x98, $0\n")                      \
    X(jmp_limit, 0, 13, 0, "77: ljmp $0x28, $0x10000\n")                    \
    X(jmp_gate_inner, 3, 13, 8, "77: ljmp $0x70, $0\n")                     \
    X(call_gate_dpl, 3, 13, 0xf8, "77: lcall $0xf8, $0\n")                  \
    X(call_gate_absent, 0, 11, 0xd8, "77: lcall $0xd8, $0\n")               \
    X(call_ldt, 0, 13, 0x58, "77: lcall $0x58, $0\n")                       \
    X(retf_inner, 3, 13, 8, "push $8\n push $0\n 77: lret\n")               \
    X(retf_null, 0, 13, 0, "push $0\n push $0\n 77: lret\n")                \
    X(iret_inner, 3, 13, 8, "pushf\n push $8\n push $0\n 77: iret\n")       \
    X(iret_ss, 0, 13, 0x10, "push $0x10\n push $0x9000\n pushf\n"           \
      "push $0x1b\n push $0\n 77: iret\n")                                  \
    X(int_dpl, 3, 13, 0x10 * 8 + 2, "77: int $0x10\n")                      \
    X(int_absent, 0, 11, 0x20 * 8 + 2, "77: int $0x20\n")                   \
    X(int_type, 0, 13, 0x21 * 8 + 2, "77: int $0x21\n")                     \
    X(cli3, 3, 13, 0, "77: cli\n")                                          \
    X(sti3, 3, 13, 0, "77: sti\n")                                          \
    X(hlt3, 3, 13, 0, "77: hlt\n")                                          \
    X(out3, 3, 13, 0, "77: out %al, $0x80\n")                               \
    X(mov_cr3_3, 3, 13, 0, "77: mov %cr3, %eax\n")                          \
    X(mov_dr_3, 3, 13, 0, "77: mov %dr7, %eax\n")                           \
    X(lgdt3, 3, 13, 0, "77: lgdt 0x20000\n")                                \
    X(lldt3, 3, 13, 0, "77: lldt %ax\n")                                    \
    X(lldt_bad, 0, 13, 0x10, "mov $0x10, %ax\n 77: lldt %ax\n")             \
    X(ltr_busy, 0, 13, 0x40, "mov $0x40, %ax\n 77: ltr %ax\n")              \
    X(ltr_null, 0, 13, 0, "xor %eax, %eax\n 77: ltr %ax\n")                 \
    X(ltr_absent, 0, 11, 0xc8, "mov $0xc8, %ax\n 77: ltr %ax\n")            \
    X(clts3, 3, 13, 0, "77: clts\n")                                        \
    X(wrmsr3, 3, 13, 0, "77: wrmsr\n")                                      \
    X(wrmsr_bad, 0, 13, 0, "mov $0x12345678, %ecx\n 77: wrmsr\n")           \
    X(cr0_pg, 0, 13, 0, "mov $0x80000000, %eax\n 77: mov %eax, %cr0\n")     \
    X(cr0_nw, 0, 13, 0, "mov $0x20000001, %eax\n 77: mov %eax, %cr0\n")     \
    X(pdpte_bad, 0, 13, 0, "mov $0x7, %eax\n mov %eax, 0x20000\n"            \
      "mov %cr4, %eax\n or $0x20, %eax\n mov %eax, %cr4\n"                 \
      "mov $0x20000, %eax\n mov %eax, %cr3\n mov %cr0, %eax\n"             \
      "bts $31, %eax\n 77: mov %eax, %cr0\n")                              \
    X(cr4_bad, 0, 13, 0, "mov $0x80000000, %eax\n 77: mov %eax, %cr4\n")    \
    X(task_busy, 0, 13, 0xc0, "77: lcall $0xc0, $0\n")                      \
    X(task_absent, 0, 11, 0xc8, "77: lcall $0xc8, $0\n")                    \
    X(task_short, 0, 10, 0xd0, "77: lcall $0xd0, $0\n")                     \
    X(task_dpl, 3, 13, 0x48, "77: lcall $0x48, $0\n")                       \
    X(dr_gd, 0, 1, -1, "mov $0x2400, %eax\n mov %eax, %dr7\n"               \
      "77: mov %dr0, %eax\n")                                               \
    X(dr4_de, 0, 6, -1, "mov %cr4, %eax\n or $8, %eax\n mov %eax, %cr4\n"   \
      "77: mov %dr4, %eax\n")                                               \
    X(icebp, 0, 1, -2, ".byte 0xf1\n 77: nop\n")                            \
    X(near_limit, 0, 13, 0, "ljmp $0x28, $(1f - 0b)\n .code16\n"            \
      "1: 77: .byte 0x66, 0xe9\n .long 0x10000\n")

#define CODE_OF(name, level, vector, error, text)                           \
    GUEST_ASM(fault_##name,                                                 \
              "fault_" #name ":\n .code32\n 0:\n" text                      \
              "\n .set fault_" #name "_f, 77b\n"                            \
              "fault_" #name "_end:\n .byte 0\n .code64\n");                \
    extern const uint8_t fault_##name[], fault_##name##_end[],              \
        fault_##name##_f[];
FAULTS(CODE_OF)

typedef struct Fault {
    const char *name;
    unsigned level;
    int vector, error;
    const uint8_t *code, *end, *at;
} Fault;

static const Fault faults[] = {
#define ROW_OF(name, level, vector, error, text) \
    { #name, level, vector, error, fault_##name, fault_##name##_end,        \
      fault_##name##_f },
    FAULTS(ROW_OF)
};

static void test_fault(const void *opaque)
{
    const Fault *f = opaque;
    bool has_error = f->error >= 0;
    unsigned i = has_error;
    uint32_t flags;

    start32();
    set_idt(0x20, get64(IDT + 0x20 * 8) & ~(UINT64_C(1) << 47));
    set_idt(0x21, desc(0, 0, SEGA_P | 9));
    if (f->level == 3) {
        user32();
    }
    g_assert_cmpint(go(f->code, f->end), ==, f->vector);
    g_assert_cmphex(s->seg[SEG_CS].selector, ==, CS0);
    if (has_error) {
        g_assert_cmphex(top(0), ==, f->error);
    }
    if (strcmp(f->name, "read_exec") != 0 && strcmp(f->name, "near_limit")) {
        g_assert_cmphex(top(i), ==, CODE + (f->at - f->code));
        g_assert_cmphex(top(i + 1) & 0xffff, ==, f->level == 3 ? CS3 : CS0);
    }
    flags = top(i + 2);
    if (f->vector != 1) {
        g_assert_cmphex(flags & FL_RF, ==, f->error == -2 ? 0 : FL_RF);
    }
    if (f->level == 3) {
        g_assert_cmphex(top(i + 4) & 0xffff, ==, DS3);
        g_assert_cmphex(s->seg[SEG_SS].selector, ==, DS0);
        g_assert_cmphex((uint32_t)s->gpr[R_RSP] + 4 * (i + 5), ==, STACK0);
    }
}
/* --- the table of handlers --------------------------------------------------------- */

static void test_handlers(void)
{
    Insn none = { .op = OP_UD };
    InsnFn *undefined = interp_handler(&none);

    for (unsigned op = 1; op < N_OPS; op++) {
        bool any = false;

        if (op == OP_RSM) {
            continue;           /* #UD is what they do */
        }
        for (unsigned i = 0; i < 12; i++) {
            Insn insn = {
                .op = op, .size = 1 << (i & 3),
                .flags = (i >> 2 & 1 ? INSN_MEM : 0)
                         | (i >> 3 ? INSN_MEM | INSN_LOCK : 0),
            };

            any |= interp_handler(&insn) != undefined;
        }
        if (!any) {
            g_test_message("no handler: %s", insn_op_name(op));
            g_test_fail();
        }
    }
}

void fault_tests(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autofree char *name = g_strdup_printf("/fault/%s", faults[i].name);

        g_test_add_data_func(name, &faults[i], test_fault);
    }
    g_test_add_func("/fault/handlers", test_handlers);
}
