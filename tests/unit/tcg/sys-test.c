/*
 * Segmentation, gates, exceptions and their error codes, privilege changes,
 * virtual-8086 mode and tasks, against what the manual says.
 *
 * Each case is a piece of guest code that ends in an interrupt or exception.
 * Its handler only reports the vector; the test then looks at the frame on the
 * stack and at the registers.
 *
 * Spec: Intel SDM volume 3A chapters 5, 6, 8; volume 3B chapter 21.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/features.h"
#include "guest.h"

enum {                          /* guest memory */
    GDT = 0x1000, IDT = 0x2000, TSS_A = 0x3000, TSS_B = 0x3400,
    TSS_16 = 0x3800, LDT = 0x4000, STUBS = 0x5000, STACK0 = 0x8000,
    STACK1 = 0x9000, STACK3 = 0xa000, CODE = 0x10000, CALLEE = 0x14000,
    TASK_B = 0x15000, TABLES = 0x100000,
};

enum {                          /* selectors */
    CS0 = 0x08, DS0 = 0x10, CS3 = 0x1b, DS3 = 0x23, CS16 = 0x28, DS16 = 0x30,
    CONFORMING = 0x38, SEL_TSS_A = 0x40, SEL_TSS_B = 0x48, SEL_TSS_16 = 0x50,
    SEL_LDT = 0x58, CS1 = 0x61, DS1 = 0x69, GATE32 = 0x70, GATE16 = 0x78,
    GATE_CONF = 0x80, TASK_GATE = 0x88, DATA_ABSENT = 0x90, CODE_ABSENT = 0x98,
    DATA_SMALL = 0xa0, DATA_DOWN = 0xa8, EXEC_ONLY = 0xb0, READ_ONLY = 0xb8,
    TSS_BUSY = 0xc0, TSS_ABSENT = 0xc8, TSS_SHORT = 0xd0, GATE_ABSENT = 0xd8,
    CS64 = 0xe0, CS64_3 = 0xeb, DS64_3 = 0xf3, GATE_SAME = 0xf8,
    SEL_TSS_64 = 0x100, GATE64 = 0x110, GDT_LIMIT = 0x11f,
};

static X86State *s;

/* --- tables -------------------------------------------------------------------- */

static void put16(uint32_t at, uint16_t v)
{
    store_le16(guest_ram + at, v);
}

static void put32(uint32_t at, uint32_t v)
{
    store_le32(guest_ram + at, v);
}

static void put64(uint32_t at, uint64_t v)
{
    store_le64(guest_ram + at, v);
}

static uint16_t get16(uint32_t at)
{
    return load_le16(guest_ram + at);
}

static uint32_t get32(uint32_t at)
{
    return load_le32(guest_ram + at);
}

static uint64_t get64(uint32_t at)
{
    return load_le64(guest_ram + at);
}

/* attr: bits 40 to 55 without the limit's. */
static uint64_t desc(uint32_t base, uint32_t limit, uint16_t attr)
{
    uint32_t raw = attr & SEGA_G ? limit >> 12 : limit;

    return (raw & 0xffff) | (uint64_t)(base & 0xffffff) << 16
           | (uint64_t)attr << 40 | (uint64_t)(raw >> 16 & 15) << 48
           | (uint64_t)(base >> 24) << 56;
}

static uint64_t gate(uint16_t sel, uint32_t off, unsigned type, unsigned dpl,
                     unsigned count)
{
    return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)count << 32
           | (uint64_t)(type | dpl << 5 | 0x80) << 40
           | (uint64_t)(off >> 16) << 48;
}

#define FLAT (SEGA_P | SEGA_S | SEGA_DB | SEGA_G)
#define CODE_A (SEGA_CODE | SEGA_R)

static void set_gdt(unsigned selector, uint64_t d)
{
    put64(GDT + (selector & ~7), d);
}

static void set_idt(unsigned vector, uint64_t d)
{
    put64(IDT + vector * 8, d);
}

/* Vector `v` reports its number. */
static uint32_t stub(unsigned v)
{
    uint8_t *p = guest_ram + STUBS + v * 8;

    memcpy(p, "\xb0\0\xe6\xf4\xeb\xfe", 6);
    p[1] = v;
    return STUBS + v * 8;
}

static void hidden(X86Seg *seg, uint16_t selector)
{
    uint64_t d = get64(GDT + (selector & ~7));

    *seg = (X86Seg) {
        .selector = selector, .attr = d >> 40 & 0xf0ff,
        .base = (d >> 16 & 0xffffff) | (d >> 56) << 24,
        .limit = (d & 0xffff) | (d >> 32 & 0xf0000),
    };
    if (seg->attr & SEGA_G) {
        seg->limit = seg->limit << 12 | 0xfff;
    }
}

static void make_tables(void)
{
    set_gdt(CS0, desc(0, UINT32_MAX, FLAT | CODE_A));
    set_gdt(DS0, desc(0, UINT32_MAX, FLAT | SEGA_W));
    set_gdt(CS3, desc(0, UINT32_MAX, FLAT | CODE_A | SEGA_DPL));
    set_gdt(DS3, desc(0, UINT32_MAX, FLAT | SEGA_W | SEGA_DPL));
    set_gdt(CS16, desc(CODE, 0xffff, SEGA_P | SEGA_S | CODE_A));
    set_gdt(DS16, desc(0, 0xffff, SEGA_P | SEGA_S | SEGA_W));
    set_gdt(CONFORMING, desc(0, UINT32_MAX, FLAT | CODE_A | SEGA_C));
    set_gdt(SEL_TSS_A, desc(TSS_A, 0x200, SEGA_P | 11));
    set_gdt(SEL_TSS_B, desc(TSS_B, 0x67, SEGA_P | 9));
    set_gdt(SEL_TSS_16, desc(TSS_16, 0x2b, SEGA_P | 1));
    set_gdt(SEL_LDT, desc(LDT, 0xff, SEGA_P | 2));
    set_gdt(CS1, desc(0, UINT32_MAX, FLAT | CODE_A | 1 << SEGA_DPL_SHIFT));
    set_gdt(DS1, desc(0, UINT32_MAX, FLAT | SEGA_W | 1 << SEGA_DPL_SHIFT));
    set_gdt(GATE32, gate(CS0, CALLEE, 12, 3, 2));
    set_gdt(GATE16, gate(CS0, CALLEE & 0xffff, 4, 3, 2));
    set_gdt(GATE_CONF, gate(CONFORMING, CALLEE, 12, 3, 2));
    set_gdt(TASK_GATE, gate(SEL_TSS_B, 0, 5, 3, 0));
    set_gdt(DATA_ABSENT, desc(0, UINT32_MAX, (FLAT & ~SEGA_P) | SEGA_W));
    set_gdt(CODE_ABSENT, desc(0, UINT32_MAX, (FLAT & ~SEGA_P) | CODE_A));
    set_gdt(DATA_SMALL, desc(0x20000, 0xfff, SEGA_P | SEGA_S | SEGA_W));
    set_gdt(DATA_DOWN, desc(0x20000, 0xfff,
                            SEGA_P | SEGA_S | SEGA_W | SEGA_E));
    set_gdt(EXEC_ONLY, desc(0, UINT32_MAX, FLAT | SEGA_CODE));
    set_gdt(READ_ONLY, desc(0, UINT32_MAX, FLAT));
    set_gdt(TSS_BUSY, desc(TSS_B, 0x67, SEGA_P | 11));
    set_gdt(TSS_ABSENT, desc(TSS_B, 0x67, 9));
    set_gdt(TSS_SHORT, desc(TSS_B, 0x66, SEGA_P | 9));
    set_gdt(GATE_ABSENT, gate(CS0, CALLEE, 12, 3, 0) & ~(UINT64_C(1) << 47));
    set_gdt(GATE_SAME, gate(CS0, CALLEE, 12, 0, 2));
    set_gdt(CS64, desc(0, UINT32_MAX,
                       SEGA_P | SEGA_S | SEGA_G | SEGA_L | CODE_A));
    set_gdt(CS64_3, desc(0, UINT32_MAX, SEGA_P | SEGA_S | SEGA_G | SEGA_L
                                        | CODE_A | SEGA_DPL));
    set_gdt(DS64_3, desc(0, UINT32_MAX, FLAT | SEGA_W | SEGA_DPL));
    put32(TSS_A + 4, STACK0);
    put32(TSS_A + 8, DS0);
    put32(TSS_A + 12, STACK1);
    put32(TSS_A + 16, DS1);
    put16(TSS_A + 0x66, 0x88);          /* I/O bitmap after the redirection */
    memset(guest_ram + TSS_A + 0x88, 0xff, 0x100);
}

static void start32(void)
{
    guest_reset();
    make_tables();
    for (unsigned v = 0; v < 256; v++) {
        set_idt(v, gate(CS0, stub(v), 14, v == 3 || v == 4 || v >= 0x80
                                              ? 3 : 0, 0));
    }
    guest_protected(0, CODE);
    s = guest_cpu(0)->state;
    hidden(&s->seg[SEG_CS], CS0);
    hidden(&s->seg[SEG_SS], DS0);
    hidden(&s->seg[SEG_DS], DS0);
    hidden(&s->seg[SEG_ES], DS0);
    hidden(&s->seg[SEG_FS], DS0);
    hidden(&s->seg[SEG_GS], DS0);
    hidden(&s->tr, SEL_TSS_A);
    s->ldtr = (X86Seg) { .attr = SEGA_NULL };
    s->gdtr = (X86Table) { GDT, GDT_LIMIT };
    s->idtr = (X86Table) { IDT, 0x7ff };
    s->gpr[R_RSP] = STACK0 - 0x100;
    s->rflags = 2;
}

static void put_state(void)
{
    guest_cpu(0)->accel->put_state(guest_cpu(0));
}

/* At level 3. */
static void user32(void)
{
    hidden(&s->seg[SEG_CS], CS3);
    hidden(&s->seg[SEG_SS], DS3);
    hidden(&s->seg[SEG_DS], DS3);
    hidden(&s->seg[SEG_ES], DS3);
    hidden(&s->seg[SEG_FS], DS3);
    hidden(&s->seg[SEG_GS], DS3);
    s->gpr[R_RSP] = STACK3;
}

/* Run the code at CODE; the vector that ended it. */
static uint8_t go(const uint8_t *code, const uint8_t *end)
{
    guest_load(CODE, code, end);
    put_state();
    return guest_run(1);
}
#define GO(name) go(name, name##_end)

/* The `i`th double word from the top of the stack. */
static uint32_t top(unsigned i)
{
    return get32((uint32_t)s->gpr[R_RSP] + (uint32_t)s->seg[SEG_SS].base
                 + 4 * i);
}

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
    asm(".pushsection .rodata\n"                                            \
        ".globl " #name "\n" #name ":\n .code32\n 0:\n" text               \
        "\n.globl " #name "_f\n .set " #name "_f, 77b\n"                    \
        ".globl " #name "_end\n" #name "_end:\n"                            \
        " .byte 0\n .code64\n .popsection");                                \
    extern const uint8_t name[], name##_end[], name##_f[];
FAULTS(CODE_OF)

typedef struct Fault {
    const char *name;
    unsigned level;
    int vector, error;
    const uint8_t *code, *end, *at;
} Fault;

static const Fault faults[] = {
#define ROW_OF(name, level, vector, error, text) \
    { #name, level, vector, error, name, name##_end, name##_f },
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

/* --- privilege ------------------------------------------------------------------- */

/* A snippet that ends in an interrupt. */
#define SNIPPET(name, bits, text)                                           \
    asm(".pushsection .rodata\n"                                            \
        ".globl " #name "\n" #name ":\n .code" bits "\n 0:\n" text          \
        "\n.globl " #name "_end\n" #name "_end:\n"                          \
        " .byte 0\n .code64\n .popsection");                                \
    extern const uint8_t name[], name##_end[]

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
    "int $0x80\n");

static void test_iret_outer(void)
{
    start32();
    hidden(&s->seg[SEG_ES], DS3);
    hidden(&s->seg[SEG_FS], CONFORMING);
    g_assert_cmphex(GO(to_user), ==, 0x80);
    /* DS of level 0 is taken away, ES of level 3 and conforming code stay. */
    g_assert_cmphex(s->gpr[R_RBX], ==, 0);
    g_assert_cmphex(s->gpr[R_RCX], ==, DS3);
    g_assert_cmphex(s->gpr[R_RDX], ==, CONFORMING);
    g_assert_cmphex(s->gpr[R_RSI], ==, CS3);
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

/* --- virtual-8086 mode ---------------------------------------------------------------------- */

static void start_vm86(unsigned iopl, uint64_t cr4)
{
    start32();
    s->rflags = 2 | FL_VM | iopl << 12 | FL_IF;
    s->cr4 = cr4;
    for (unsigned i = 0; i < N_SEG; i++) {
        s->seg[i] = (X86Seg) {
            .selector = 0x1000 + i, .base = 0x10000 + 16 * i, .limit = 0xffff,
            .attr = 0xf3,
        };
    }
    s->seg[SEG_CS].selector = CODE >> 4;
    s->seg[SEG_CS].base = CODE;
    s->gpr[R_RSP] = 0x800;
    s->rip = 0;
}

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

/* --- single step, shadows ------------------------------------------------------------------------- */

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

/* --- real mode -------------------------------------------------------------------------------------- */

static void start_real(void)
{
    guest_reset();
    for (unsigned v = 0; v < 256; v++) {
        stub(v);
        put16(v * 4, v * 8);
        put16(v * 4 + 2, STUBS >> 4);
    }
    guest_real(0, CODE >> 4, 0);
    s = guest_cpu(0)->state;
    s->gpr[R_RSP] = 0x7000;
    s->rflags = 2;
}

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

/* --- long mode --------------------------------------------------------------------------------------- */

static void set_idt64(unsigned v, uint64_t off, unsigned type, unsigned dpl,
                      unsigned ist)
{
    put64(IDT + v * 16, gate(CS64, off, type, dpl, ist));
    put64(IDT + v * 16 + 8, off >> 32);
}

static void start64(void)
{
    guest_reset();
    make_tables();
    /* The tables are larger here: the IDT ends at 3000h. */
    memset(guest_ram + TSS_A, 0, 0x68);
    put64(TSS_A + 4, STACK0);
    put64(TSS_A + 0x24, 0x9800);        /* IST1 */
    put16(TSS_A + 0x66, 0x68);
    put64(GDT + SEL_TSS_64, desc(TSS_A, 0x67, SEGA_P | 11));
    put64(GDT + SEL_TSS_64 + 8, 0);
    put64(GDT + GATE64, gate(CS64, CALLEE, 12, 3, 0));
    put64(GDT + GATE64 + 8, 0);
    for (unsigned v = 0; v < 256; v++) {
        set_idt64(v, stub(v), 14, v == 3 || v == 4 || v >= 0x80 ? 3 : 0, 0);
    }
    guest_long(0, CODE, TABLES);
    s = guest_cpu(0)->state;
    hidden(&s->seg[SEG_CS], CS64);
    hidden(&s->seg[SEG_SS], DS0);
    hidden(&s->tr, SEL_TSS_64);
    s->ldtr = (X86Seg) { .attr = SEGA_NULL };
    s->gdtr = (X86Table) { GDT, GDT_LIMIT };
    s->idtr = (X86Table) { IDT, 0xfff };
    s->gpr[R_RSP] = STACK0 - 0x108;
    s->rflags = 2;
}

static void user64(void)
{
    hidden(&s->seg[SEG_CS], CS64_3);
    hidden(&s->seg[SEG_SS], DS64_3);
    s->gpr[R_RSP] = STACK3;
}

static uint64_t top64(unsigned i)
{
    return get64((uint32_t)s->gpr[R_RSP] + 8 * i);
}

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

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    guest_init(1);
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autofree char *name = g_strdup_printf("/tcg/sys/fault/%s",
                                                faults[i].name);

        g_test_add_data_func(name, &faults[i], test_fault);
    }
    g_test_add_func("/tcg/sys/handlers", test_handlers);
    g_test_add_func("/tcg/sys/int/user", test_int_from_user);
    g_test_add_func("/tcg/sys/int/gates", test_gate_kinds);
    g_test_add_func("/tcg/sys/int/tss-stack", test_tss_stack_faults);
    g_test_add_func("/tcg/sys/int/double-fault", test_double_fault);
    g_test_add_func("/tcg/sys/far/iret-outer", test_iret_outer);
    g_test_add_func("/tcg/sys/far/call-gate", test_call_gate);
    g_test_add_func("/tcg/sys/far/call-gate16", test_call_gate16);
    g_test_add_func("/tcg/sys/far/conforming", test_conforming);
    g_test_add_func("/tcg/sys/far/accessed", test_accessed);
    g_test_add_func("/tcg/sys/io/bitmap", test_io_bitmap);
    g_test_add_func("/tcg/sys/vm86/exceptions", test_vm86_exceptions);
    g_test_add_func("/tcg/sys/vm86/vme", test_vme);
    g_test_add_func("/tcg/sys/vm86/iret", test_iret_to_vm86);
    g_test_add_func("/tcg/sys/task/call", test_task_call);
    g_test_add_func("/tcg/sys/task/jmp", test_task_jmp);
    g_test_add_func("/tcg/sys/task/faults", test_task_faults);
    g_test_add_func("/tcg/sys/task/gates", test_task_gates);
    g_test_add_func("/tcg/sys/task/16", test_task16);
    g_test_add_func("/tcg/sys/task/trap", test_task_trap);
    g_test_add_func("/tcg/sys/step", test_single_step);
    g_test_add_func("/tcg/sys/real/int", test_real_int);
    g_test_add_func("/tcg/sys/real/unreal", test_unreal);
    g_test_add_func("/tcg/sys/long/exceptions", test_long_exceptions);
    g_test_add_func("/tcg/sys/long/syscall", test_syscall);
    g_test_add_func("/tcg/sys/long/compat", test_compat);
    g_test_add_func("/tcg/sys/long/call-gate", test_call_gate64);
    g_test_add_func("/tcg/sys/long/misc", test_long_misc);
    status = g_test_run();
    guest_free();
    return status;
}
