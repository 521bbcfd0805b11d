/*
 * What the chapters of the manual need of a guest: descriptor tables, a stub
 * for each vector, and ways into each mode.
 *
 * Each case is a piece of guest code that ends in an interrupt or exception.
 * Its handler only reports the vector; the test then looks at the frame on the
 * stack, at the registers and at memory.
 *
 *     SNIPPET(ud, "32", "ud2\n");
 *
 *     start32();
 *     g_assert_cmpint(GO(ud), ==, 6);
 *     g_assert_cmphex(top(0), ==, CODE);
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHAPTER_H
#define CHAPTER_H

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

#define FLAT (SEGA_P | SEGA_S | SEGA_DB | SEGA_G)
#define CODE_A (SEGA_CODE | SEGA_R)

/* A snippet that ends in an interrupt. */
#define SNIPPET(name, bits, text)                                           \
    GUEST_ASM(name, ".globl " #name "\n" #name ":\n .code" bits "\n 0:\n"   \
                    text "\n.globl " #name "_end\n" #name "_end:\n"         \
                    " .byte 0\n .code64\n");                               \
    extern const uint8_t name[], name##_end[]

/* Of CPU 0, as start32() and the others leave it and go() finds it. */
extern X86State *s;

/* --- guest memory ----------------------------------------------------------- */

void put16(uint32_t at, uint16_t v);
void put32(uint32_t at, uint32_t v);
void put64(uint32_t at, uint64_t v);
uint16_t get16(uint32_t at);
uint32_t get32(uint32_t at);
uint64_t get64(uint32_t at);

/* attr: bits 40 to 55 without the limit's. */
uint64_t desc(uint32_t base, uint32_t limit, uint16_t attr);
uint64_t gate(uint16_t sel, uint32_t off, unsigned type, unsigned dpl,
              unsigned count);
void set_gdt(unsigned selector, uint64_t d);
void set_idt(unsigned vector, uint64_t d);
void set_idt64(unsigned v, uint64_t off, unsigned type, unsigned dpl,
               unsigned ist);
void make_tables(void);
/* Code that reports vector `v`: its address. */
uint32_t stub(unsigned v);
/* A segment register as if the GDT's descriptor had been loaded. */
void hidden(X86Seg *seg, uint16_t selector);

/* --- modes -------------------------------------------------------------------- */

void start_real(void);          /* vectors to the stubs */
void start32(void);             /* level 0, no paging */
void user32(void);              /* then: level 3 */
void start_vm86(unsigned iopl, uint64_t cr4);
void start64(void);
void user64(void);

/* Run the code at CODE; the vector that ended it. */
uint8_t go(const uint8_t *code, const uint8_t *end);
#define GO(name) go(name, name##_end)
/* `s` was changed otherwise. */
void put_state(void);
/* The `i`th item from the top of the stack. */
uint32_t top(unsigned i);
uint64_t top64(unsigned i);

/* --- chapters ------------------------------------------------------------------ */

void fault_tests(void);
void gate_tests(void);
void vm86_tests(void);
void task_tests(void);
void debug_tests(void);
void real_tests(void);
void long_tests(void);
void fpu_tests(void);
void machine_tests(void);

#endif
