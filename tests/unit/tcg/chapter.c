/*
 * Tables and modes for the chapters' tests: see chapter.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chapter.h"

X86State *s;

/* --- tables -------------------------------------------------------------------- */

void put16(uint32_t at, uint16_t v)
{
    store_le16(guest_ram + at, v);
}

void put32(uint32_t at, uint32_t v)
{
    store_le32(guest_ram + at, v);
}

void put64(uint32_t at, uint64_t v)
{
    store_le64(guest_ram + at, v);
}

uint16_t get16(uint32_t at)
{
    return load_le16(guest_ram + at);
}

uint32_t get32(uint32_t at)
{
    return load_le32(guest_ram + at);
}

uint64_t get64(uint32_t at)
{
    return load_le64(guest_ram + at);
}

uint64_t desc(uint32_t base, uint32_t limit, uint16_t attr)
{
    uint32_t raw = attr & SEGA_G ? limit >> 12 : limit;

    return (raw & 0xffff) | (uint64_t)(base & 0xffffff) << 16
           | (uint64_t)attr << 40 | (uint64_t)(raw >> 16 & 15) << 48
           | (uint64_t)(base >> 24) << 56;
}

uint64_t gate(uint16_t sel, uint32_t off, unsigned type, unsigned dpl,
                     unsigned count)
{
    return (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)count << 32
           | (uint64_t)(type | dpl << 5 | 0x80) << 40
           | (uint64_t)(off >> 16) << 48;
}

void set_gdt(unsigned selector, uint64_t d)
{
    put64(GDT + (selector & ~7), d);
}

void set_idt(unsigned vector, uint64_t d)
{
    put64(IDT + vector * 8, d);
}

uint32_t stub(unsigned v)
{
    uint8_t *p = guest_ram + STUBS + v * 8;

    memcpy(p, "\xb0\0\xe6\xf4\xeb\xfe", 6);
    p[1] = v;
    return STUBS + v * 8;
}

void hidden(X86Seg *seg, uint16_t selector)
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

void make_tables(void)
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

void start32(void)
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

void put_state(void)
{
    guest_cpu(0)->accel->put_state(guest_cpu(0));
}

void user32(void)
{
    hidden(&s->seg[SEG_CS], CS3);
    hidden(&s->seg[SEG_SS], DS3);
    hidden(&s->seg[SEG_DS], DS3);
    hidden(&s->seg[SEG_ES], DS3);
    hidden(&s->seg[SEG_FS], DS3);
    hidden(&s->seg[SEG_GS], DS3);
    s->gpr[R_RSP] = STACK3;
}

uint8_t go(const uint8_t *code, const uint8_t *end)
{
    guest_load(CODE, code, end);
    put_state();
    return guest_run(1);
}

uint32_t top(unsigned i)
{
    return get32((uint32_t)s->gpr[R_RSP] + (uint32_t)s->seg[SEG_SS].base
                 + 4 * i);
}

/* --- other modes ------------------------------------------------------------ */

void start_vm86(unsigned iopl, uint64_t cr4)
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

void start_real(void)
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

void set_idt64(unsigned v, uint64_t off, unsigned type, unsigned dpl,
                      unsigned ist)
{
    put64(IDT + v * 16, gate(CS64, off, type, dpl, ist));
    put64(IDT + v * 16 + 8, off >> 32);
}

void start64(void)
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

void user64(void)
{
    hidden(&s->seg[SEG_CS], CS64_3);
    hidden(&s->seg[SEG_SS], DS64_3);
    s->gpr[R_RSP] = STACK3;
}

uint64_t top64(unsigned i)
{
    return get64((uint32_t)s->gpr[R_RSP] + 8 * i);
}
