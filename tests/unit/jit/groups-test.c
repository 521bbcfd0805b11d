/*
 * Groups of accesses that go on at the same time, tables, and homes of guest
 * registers that hold their addends meanwhile: an interpreter of random
 * handlers, translated and interpreted, must agree in all registers, flags,
 * memory and faults.
 *
 * Handlers access memory through a few bases that move by constants and at
 * constant addresses, push and pop, leave in the middle for code that looks at
 * all registers, fault, trap, touch addresses that are not canonical, and cross
 * pages, which lie in random order.  They follow one another in patterns, so
 * that blocks go through many.  RHEA_TEST_ROUNDS multiplies the number of
 * cases, RHEA_TEST_SEED changes them, RHEA_TEST_ACCEL adds options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../tcg/guest.h"

#include <stdlib.h>

#include "accel/tcg/jit/jit.h"
#include "tests/common/rnd.h"

enum {
    CODE = 0x10000, TABLES = 0x100000, PT = 0x180000, GDT = 0x4000,
    IDT = 0x5000, TSS = 0x6004, HANDLER = 0x8000, FAULT_STACK = 0x2f000,
    HANDLERS = 8, LATE = HANDLERS - 2, LAST = HANDLERS - 1,
    HANDLER_TABLE = 0x1f000, MXCSR = HANDLER_TABLE + 0x100, PROGRAM = 0x20000,
    PROGRAM_BYTES = 3000, DATA = 0x600000, DATA_BYTES = 0x200000,
    DATA_PAGES = DATA_BYTES / 4096, USED_PAGES = 64,
};

/* --- a case ------------------------------------------------------------ */

typedef struct Case {
    uint8_t code[4096], program[PROGRAM_BYTES];
    unsigned n, n_named;
    bool lookups;               /* mostly */
    uint64_t handler[HANDLERS];
    uint64_t gpr[16], pt[DATA_PAGES];
} Case;

static void put(Case *k, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        k->code[k->n++] = v >> (8 * i);
    }
}

#define ANY(list) list[below(G_N_ELEMENTS(list))]

/* RSI reads the program, R9 and R8 are tables of handlers and of data. */
static const uint8_t bases[] = { R_RDI, R_RDX, R_R10, R_RSP };
static const uint8_t values[] = { R_RAX, R_RCX, R_R11 };
/* What the code beside looks at, and handlers name few of. */
static const uint8_t others[] = { R_R15, R_RBX, R_RBP, R_R12, R_R13 };

/* An opcode with `reg` and [base + disp8]. */
static void put_mem(Case *k, unsigned prefix, uint32_t opc, bool wide,
                    unsigned reg, unsigned base)
{
    if (prefix) {
        put(k, prefix, 1);
    }
    put(k, 0x40 | (wide ? 8 : 0) | (reg & 8) >> 1 | base >> 3, 1);
    if (opc > 0xff) {
        put(k, opc >> 8, 1);
    }
    put(k, opc & 0xff, 1);
    put(k, 0x40 | (reg & 7) << 3 | (base & 7), 1);
    if ((base & 7) == R_RSP) {
        put(k, 0x24, 1);
    }
    put(k, below(3) ? 8 * below(8) : below(256), 1);
}

static void put_regs(Case *k, uint32_t opc, unsigned reg, unsigned rm)
{
    put(k, 0x48 | (reg & 8) >> 1 | rm >> 3, 1);
    put(k, opc, 1);
    put(k, 0xc0 | (reg & 7) << 3 | (rm & 7), 1);
}

static void put_move(Case *k)
{
    static const int8_t steps[] = { 8, -8, 16, -16, 4, -4, 1, 64, -64 };
    unsigned base = ANY(bases);
    unsigned rex = 0x48 | base >> 3;

    if (below(2)) {
        put(k, rex, 1);                     /* add, sub base, imm8 */
        put(k, 0x83, 1);
        put(k, (below(2) ? 0xc0 : 0xe8) | (base & 7), 1);
    } else {
        put(k, rex | (base & 8) >> 1, 1);   /* lea */
        put(k, 0x8d, 1);
        put(k, 0x40 | (base & 7) << 3 | (base & 7), 1);
        if (base == R_RSP) {
            put(k, 0x24, 1);
        }
    }
    put(k, ANY(steps), 1);
}

/* Jcc to what is emitted behind the handlers. */
typedef struct Sides {
    unsigned n, from[64], back[64];
} Sides;

static void put_side(Case *k, Sides *s)
{
    if (s->n < G_N_ELEMENTS(s->from)) {
        put(k, 0x800f | below(16) << 8, 2);
        put(k, 0, 4);
        s->from[s->n] = s->back[s->n] = k->n;
        s->n++;
    }
}

/* At a constant address, often around a page's end: absolute or from RIP. */
static void put_constant(Case *k)
{
    static const uint16_t ops[] = { 0x8b, 0x89, 0x03, 0x01, 0x3b, 0x88,
                                    0x0fb7 };
    unsigned reg = ANY(values);
    uint32_t opc = ANY(ops), at;

    at = DATA + DATA_BYTES / 2 + (below(2) ? 0 : PAGE_BYTES * below(12))
         + (below(2) ? below(PAGE_BYTES) : PAGE_BYTES - below(10));
    put(k, 0x40 | (below(2) ? 8 : 0) | (reg & 8) >> 1, 1);
    if (opc > 0xff) {
        put(k, opc >> 8, 1);
    }
    put(k, opc & 0xff, 1);
    if (below(2)) {
        put(k, (reg & 7) << 3 | 4, 1);
        put(k, 0x25, 1);
        put(k, at, 4);
    } else {
        put(k, (reg & 7) << 3 | 5, 1);
        put(k, at - (CODE + k->n + 4), 4);
    }
}

/* From the table of data. */
static void put_lookup(Case *k)
{
    static const uint16_t ops[] = { 0x8b, 0x8b, 0x03, 0x3b, 0x2a, 0x0fb6,
                                    0x0fbf };
    unsigned reg = ANY(values), index = ANY(values);
    uint32_t opc = ANY(ops);

    put_mem(k, 0, 0xfb6, false, index, ANY(bases));
    put(k, 0x41 | (below(2) ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2, 1);
    if (opc > 0xff) {
        put(k, opc >> 8, 1);
    }
    put(k, opc & 0xff, 1);
    put(k, 0x44 | (reg & 7) << 3, 1);       /* [r8 + index * s + disp8] */
    put(k, below(4) << 6 | (index & 7) << 3, 1);
    put(k, below(2) ? 8 : below(256), 1);
    if (one_in(12)) {
        put(k, 0x08c08349, 4);              /* add r8, 8 */
    }
}

static void put_insn(Case *k, Sides *s)
{
    static const uint8_t alu[] = { 0x01, 0x03, 0x11, 0x13, 0x29, 0x2b, 0x39,
                                   0x3b, 0x89, 0x8b, 0x88, 0x8a };
    static const uint16_t ext[] = { 0xfb6, 0xfb7, 0xfbe, 0xfbf };
    static const uint32_t sse[] = { 0xf3006f, 0xf3007f, 0x000010, 0x000011,
                                    0xf30058, 0xf2005e, 0x66006f, 0x660029 };
    unsigned reg = ANY(values);

    switch (k->lookups && below(3) ? 16 : below(19)) {
    default:
        put_mem(k, below(8) ? 0 : 0x66, ANY(alu), below(3), reg, ANY(bases));
        break;
    case 8: case 9:
        put_move(k);
        break;
    case 10:                                /* push, pop */
        if (reg > 7) {
            put(k, 0x41, 1);
        }
        put(k, (below(2) ? 0x50 : 0x58) | (reg & 7), 1);
        break;
    case 11:
        put_mem(k, 0, ANY(ext), below(2), reg, ANY(bases));
        break;
    case 12: {
        uint32_t op = ANY(sse);

        put_mem(k, op >> 16, 0xf00 | (op & 0xff), false, below(4),
                ANY(bases));
        break;
    }
    case 13:
        put_side(k, s);
        break;
    case 16: case 17:
        put_lookup(k);
        break;
    case 18:
        put_constant(k);
        break;
    case 14:
        put_regs(k, ANY(alu) | 1, below(2) ? others[below(k->n_named)] : reg,
                 reg);
        break;
    case 15:
        if (below(3)) {                     /* cmp qword [base], imm8 */
            put_mem(k, 0, 0x83, true, 7, ANY(bases));
            put(k, below(3), 1);
        } else if (below(2)) {              /* movsxd ax, [base]: no template */
            put_mem(k, 0x66, 0x63, false, R_RAX, ANY(bases));
        } else {                            /* lock */
            put(k, 0xf0, 1);
            put_mem(k, 0, 0x01, true, reg, ANY(bases));
        }
        break;
    }
}

/* To the handler of the next byte, with flags or without. */
static void put_dispatch(Case *k)
{
    bool in_reg = below(2);

    put(k, 0x06b60f, 3);                    /* movzx eax, byte [rsi] */
    if (below(2)) {
        put(k, 0x01768d48, 4);              /* lea rsi, [rsi + 1] */
    } else {
        put(k, 0xc6ff48, 3);                /* inc rsi */
    }
    if (below(4)) {                         /* mov rax, or jmp [r9 + rax * 8] */
        put(k, in_reg ? 0xc1048b49 : 0xc124ff41, 4);
    } else {
        put(k, in_reg ? 0xc5048b48 : 0xc524ff, in_reg ? 4 : 3);
        put(k, HANDLER_TABLE, 4);           /* [rax * 8 + disp32] */
    }
    if (in_reg) {
        put(k, 0xe0ff, 2);                  /* jmp rax */
    }
}

/* Flags that a compare of a register sets again, over accesses. */
static void put_compare(Case *k, Sides *s)
{
    put_regs(k, 0x39, R_RAX, R_RBP);
    for (unsigned n = 4 + below(6); n--; ) {
        put_mem(k, 0, below(2) ? 0x8b : 0x89, true, ANY(values), ANY(bases));
    }
    put_side(k, s);
    put_dispatch(k);
}

/* What happens once, late: an exception is unmasked, or a base becomes an
 * address that is not canonical, to which empty slots point. */
static void put_late(Case *k)
{
    unsigned r = below(3) ? bases[below(3)] : R_R8;

    if (below(2)) {
        put(k, 0x2514ae0f, 4);              /* ldmxcsr */
        put(k, MXCSR, 4);
    } else {
        put(k, 0x48 | r >> 3, 1);           /* mov r, imm64 */
        put(k, 0xb8 | (r & 7), 1);
        put(k, UINT64_C(0x8000000000000100), 8);
    }
    put_dispatch(k);
}

static void put_handlers(Case *k)
{
    Sides sides = { 0 };

    k->n = 0;
    put_dispatch(k);
    k->handler[0] = CODE + k->n;
    put_compare(k, &sides);
    k->handler[LATE] = CODE + k->n;
    put_late(k);
    for (unsigned h = 1; h < LATE; h++) {
        k->handler[h] = CODE + k->n;
        for (unsigned n = 1 + below(below(2) ? 3 : 8); n--; ) {
            put_insn(k, &sides);
        }
        put_dispatch(k);
    }
    k->handler[LAST] = CODE + k->n;
    put(k, 0xc0900f9f, 4);                  /* lahf; seto %al */
    put(k, 0xfeebf4e6, 4);                  /* out %al, $0xf4; jmp . */
    for (unsigned i = 0; i < sides.n; i++) {
        uint32_t rel = k->n - sides.from[i];

        memcpy(k->code + sides.from[i] - 4, &rel, 4);
        put(k, 0x9c, 1);                    /* pushf */
        for (unsigned n = 2; n--; ) {       /* lea other, [other + rbx + 1] */
            unsigned r = ANY(others);

            put(k, 0x48 | (r & 8) >> 1 | r >> 3, 1);
            put(k, 0x8d, 1);
            put(k, 0x44 | (r & 7) << 3, 1);
            put(k, R_RBX << 3 | (r & 7), 1);
            put(k, 1, 1);
        }
        put(k, 0x9d, 1);                    /* popf */
        put(k, 0xe9, 1);
        put(k, sides.back[i] - (k->n + 4), 4);
    }
    g_assert_cmpuint(k->n, <, sizeof(k->code));
}

static void make_case(Case *k)
{
    unsigned period = 2 + below(below(2) ? 4 : 10), odd = below(3) ? 40 : 8;

    k->n_named = 1 + (below(2) ? 0 : below(G_N_ELEMENTS(others)));
    k->lookups = one_in(3);
    put_handlers(k);
    for (unsigned i = 0; i < PROGRAM_BYTES; i++) {
        k->program[i] = i < period || !below(odd)
                        ? below(LATE) : k->program[i - period];
    }
    if (below(2)) {
        k->program[PROGRAM_BYTES / 2] = LATE;
    }
    k->program[PROGRAM_BYTES - 1] = LAST;
    for (unsigned i = 0; i < 16; i++) {
        k->gpr[i] = rnd();
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bases); i++) {
        k->gpr[bases[i]] = DATA + DATA_BYTES / 2
                           + (below(2) ? 16 * below(4096) : below(65536));
    }
    k->gpr[R_R8] = DATA + DATA_BYTES / 2 + PAGE_BYTES * below(16)
                   + 8 * below(PAGE_BYTES / 8) + below(below(4) ? 1 : 8);
    k->gpr[R_R9] = HANDLER_TABLE;
    k->gpr[R_RSI] = PROGRAM;
    for (unsigned i = 0; i < DATA_PAGES; i++) {
        k->pt[i] = DATA + i * PAGE_BYTES;
    }
    for (unsigned i = 0; i < 400; i++) {
        unsigned a = below(DATA_PAGES), b = below(DATA_PAGES);
        uint64_t page = k->pt[a];

        k->pt[a] = k->pt[b];
        k->pt[b] = page;
    }
    for (unsigned i = 0; i < DATA_PAGES; i++) {
        k->pt[i] |= 3;
    }
    if (one_in(3)) {                        /* of constant addresses */
        k->pt[DATA_PAGES / 2] &= ~UINT64_C(2);
    }
    for (unsigned i = below(6); i--; ) {
        k->pt[DATA_PAGES / 2 + below(USED_PAGES) - USED_PAGES / 4]
            &= ~UINT64_C(3) | below(2);
    }
}

/* --- a run --------------------------------------------------------------- */

typedef struct Outcome {
    uint64_t gpr[16], cr2, frame[6];
    uint32_t mxcsr;
    uint8_t exit, xmm[4][16], data[DATA_BYTES];
} Outcome;

GUEST_CODE(groups_fault, "64", "mov $99, %al\n" GUEST_EXIT);

static uint8_t first_data[DATA_BYTES];

static void run(const Case *k, uint32_t threshold, Outcome *o)
{
    X86State *s = guest_cpu(0)->state;
    uint64_t *pd;

    jit_options.threshold = threshold;
    memset(guest_ram + FAULT_STACK - sizeof(o->frame), 0, sizeof(o->frame));
    memcpy(guest_ram + DATA, first_data, DATA_BYTES);
    guest_load(CODE, k->code, k->code + k->n);
    guest_load(PROGRAM, k->program, k->program + PROGRAM_BYTES);
    memcpy(guest_ram + HANDLER_TABLE, k->handler, sizeof(k->handler));
    GUEST_LOAD(HANDLER, groups_fault);
    guest_long(0, CODE, TABLES);
    memcpy(guest_ram + PT, k->pt, sizeof(k->pt));
    pd = (uint64_t *)(guest_ram + TABLES + 0x2000);
    memset(pd + 1, 0, 511 * sizeof(*pd));       /* nothing else in reach */
    pd[DATA / (2 * MiB)] = PT | 3;
    guest_tables(0, GDT, IDT);
    for (unsigned i = 0; i < 32; i++) {
        guest_gate(IDT, i, HANDLER);
        guest_ram[IDT + 16 * i + 4] = 1;        /* IST1 */
    }
    s->tr = (X86Seg) { .selector = 0x38, .base = TSS, .limit = 0x67,
                       .attr = SEGA_P | 11 };
    *(uint64_t *)(guest_ram + TSS + 36) = FAULT_STACK;
    memcpy(s->gpr, k->gpr, sizeof(k->gpr));
    *(uint32_t *)(guest_ram + MXCSR) = 0x0f80;      /* inexact */
    guest_vectors(0, 0x1f80, first_data);
    o->exit = guest_run(1);
    memcpy(o->gpr, s->gpr, sizeof(o->gpr));
    o->cr2 = s->cr2;
    o->mxcsr = s->mxcsr;
    for (unsigned i = 0; i < 4; i++) {
        memcpy(o->xmm[i], &s->vec[i], 16);
    }
    memcpy(o->frame, guest_ram + FAULT_STACK - sizeof(o->frame),
           sizeof(o->frame));
    memcpy(o->data, guest_ram + DATA, DATA_BYTES);
}

static void tell(const Case *k, const Outcome *want, const Outcome *got)
{
    GString *hex = g_string_new(NULL);

    for (unsigned i = 0; i < k->n; i++) {
        g_string_append_printf(hex, "%02x", k->code[i]);
    }
    g_test_message("code: %s", hex->str);
    for (unsigned i = 0; i < 16; i++) {
        g_test_message("gpr %u: at first %" PRIx64 ", %" PRIx64
                       ", translated %" PRIx64, i, k->gpr[i], want->gpr[i],
                       got->gpr[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(want->frame); i++) {
        g_test_message("frame %u: %" PRIx64 ", translated %" PRIx64, i,
                       want->frame[i], got->frame[i]);
    }
    g_test_message("exit %u %u, CR2 %" PRIx64 " %" PRIx64 ", MXCSR %x %x",
                   want->exit, got->exit, want->cr2, got->cr2, want->mxcsr,
                   got->mxcsr);
    for (unsigned i = 0, n = 0; i < DATA_BYTES && n < 8; i++) {
        if (want->data[i] != got->data[i]) {
            g_test_message("data +%x: %02x, translated %02x", i,
                           want->data[i], got->data[i]);
            n++;
        }
    }
    g_test_fail();
    g_string_free(hex, true);
}

static void test_random(void)
{
    static Outcome want, got;
    static Case k;
    const char *rounds = g_getenv("RHEA_TEST_ROUNDS");
    const char *seed = g_getenv("RHEA_TEST_SEED");
    unsigned n = 400 * (rounds ? atoi(rounds) : 1), n_bad = 0, n_ends = 0;

    rnd_seed(seed ? strtoull(seed, NULL, 0) : 0);
    for (unsigned i = 0; i < sizeof(first_data); i++) {
        first_data[i] = rnd() >> 40;
    }
    guest_reset();
    for (unsigned i = 0; i < n && n_bad < 3; i++) {
        make_case(&k);
        run(&k, UINT32_MAX, &want);
        run(&k, below(4) ? 40 : 0, &got);
        n_ends += want.gpr[R_RSI] == PROGRAM + PROGRAM_BYTES;
        if (memcmp(&want, &got, sizeof(want))) {
            tell(&k, &want, &got);
            n_bad++;
        }
    }
    g_test_message("%u of %u cases ran to their end", n_ends, n);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    if (guest_init_jit(1)) {
        g_test_add_func("/jit/groups/random", test_random);
    }
    status = g_test_run();
    guest_free();
    return status;
}
