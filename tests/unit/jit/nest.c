/*
 * Loops with short loops inside, for turns-test.c.
 *
 * How often those turn is a constant, or what two registers differ by, which
 * is another from time to time; they walk with pointers of their own or with
 * indices.  Accesses, side exits, flags that are looked at, unmasked exceptions
 * and pages that are missing come anywhere.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "turns.h"

/*
 * RCX counts outer turns, R13 those around them.  RBP is an index that begins
 * at 0, R12 a pointer that begins as RSI and ends as R9, R10 counts, from R8 or
 * from a constant.
 */
static const uint8_t bases[] = { R_RSI, R_RDI, R_RBX };
static const uint8_t values[] = { R_RAX, R_RDX, R_R11, R_R14 };

static void put(Case *k, uint64_t v, unsigned n)
{
    turns_put(k, v, n);
}

/* REX, opcode of rm and (in ModRM) reg, both registers. */
static void put_rr(Case *k, unsigned opc, unsigned reg, unsigned rm)
{
    put(k, 0x48 | (reg & 8) >> 1 | rm >> 3, 1);
    put(k, opc, 1);
    put(k, 0xc0 | (reg & 7) << 3 | (rm & 7), 1);
}

/* ADD, SUB, CMP (ext 0, 5, 7) of a register and a constant. */
static void put_ri(Case *k, unsigned ext, unsigned reg, int imm)
{
    put(k, 0x48 | reg >> 3, 1);
    put(k, 0x81, 1);
    put(k, 0xc0 | ext << 3 | (reg & 7), 1);
    put(k, imm, 4);
}

/* The kinds of inner loops. */
typedef enum { INDEX, POINTER, COUNT, COUNT_R8, N_KINDS } Kind;

/* op reg, memory: a base, or what the inner loop moves. */
static void put_mem(Case *k, unsigned prefix, unsigned opc, bool wide,
                    unsigned reg, Kind kind)
{
    unsigned base = ANY(bases), index = R_RSP, at;

    if (kind == INDEX && below(2)) {
        index = R_RBP;
    } else if (kind == POINTER && below(2)) {
        base = R_R12;
    }
    if (prefix) {
        put(k, prefix, 1);
    }
    at = k->n;
    put(k, 0x40 | (wide ? 8 : 0) | (reg & 8) >> 1 | base >> 3, 1);
    if (opc > 0xff) {
        put(k, opc >> 8, 1);
    }
    put(k, opc & 0xff, 1);
    put(k, 0x80 | (reg & 7) << 3 | 4, 1);
    put(k, (index == R_RSP ? 0 : below(3)) << 6 | index << 3 | (base & 7), 1);
    put(k, 16 * below(8) + (below(2) ? 0 : below(16)), 4);
    g_assert(k->code[at] >= 0x40);
}

static void put_insn(Case *k, Kind kind)
{
    static const uint8_t alu[] = { 0x01, 0x03, 0x13, 0x2b, 0x39, 0x3b, 0x89,
                                   0x8b };
    static const uint32_t sse[] = { 0xf20010, 0xf20011, 0xf20058, 0xf20059,
                                    0xf2005c, 0xf2005e, 0x660028, 0xf3006f,
                                    0xf3007f, 0x6600fe };
    unsigned v = ANY(values);
    uint32_t op;

    switch (below(8)) {
    case 0: case 1: case 2:
        put_mem(k, 0, ANY(alu), below(2), v, kind);
        break;
    case 3:
        put_rr(k, ANY(alu), v, ANY(values));
        break;
    case 4:                                 /* setcc, cmovcc */
        put(k, 0x48 | (v & 8) >> 1 | v >> 3, 1);
        put(k, below(2) ? 0x900f | below(16) << 8 : 0x400f | below(16) << 8,
            2);
        put(k, 0xc0 | (v & 7) << 3 | (v & 7), 1);
        break;
    default:
        op = ANY(sse);
        put_mem(k, op >> 16, 0xf00 | (op & 0xff), false, below(4), kind);
        break;
    }
}

static void put_jcc(Case *k, unsigned cond, unsigned to)
{
    put(k, 0x800f | cond << 8, 2);
    put(k, to - (k->n + 4), 4);
}

typedef struct Exits {
    unsigned at[4], n;
} Exits;

static void put_some(Case *k, Kind kind, unsigned n, Exits *x)
{
    while (n--) {
        put_insn(k, kind);
        if (x->n < G_N_ELEMENTS(x->at) && !below(24)) {
            put(k, 0x800f | below(16) << 8, 2);
            x->at[x->n++] = k->n;
            put(k, 0, 4);
        }
    }
}

static void put_inner(Case *k, Exits *x)
{
    Kind kind = below(N_KINDS);
    unsigned top, step = 8 << below(2);

    switch (kind) {
    case INDEX: put(k, 0xed31, 2); break;           /* xor ebp, ebp */
    case POINTER: put_rr(k, 0x89, R_RSI, R_R12); break;
    case COUNT:
        put(k, 0xba41, 2);                          /* mov r10d, imm32 */
        put(k, 1 + below(4), 4);
        break;
    default: put_rr(k, 0x89, R_R8, R_R10); break;
    }
    top = k->n;
    put_some(k, kind, 1 + below(4), x);
    switch (kind) {
    case INDEX:
        put_ri(k, 0, R_RBP, step);
        put_some(k, kind, below(2), x);
        if (below(4)) {
            put_ri(k, 7, R_RBP, step * (1 + below(4)));
        } else {                                    /* cmp ebp, imm8 */
            put(k, 0xfd83, 2);
            put(k, step * (1 + below(3)), 1);
        }
        break;
    case POINTER:
        put_ri(k, 0, R_R12, 8);
        put_rr(k, 0x39, R_R12, R_R9);
        break;
    default:
        if (below(2)) {
            put_ri(k, 5, R_R10, 1);
        } else {
            put(k, 0xcaff49, 3);                    /* dec r10 */
        }
        break;
    }
    put_jcc(k, 5, top);
    if (!below(3)) {                                /* setcc al */
        put(k, 0x900f | below(16) << 8, 2);
        put(k, 0xc0, 1);
    }
}

void nest_case(Case *k)
{
    static const int16_t steps[] = { 8, 16, 24, 56, 256, -8, -64 };
    unsigned outer, top, moves;
    Exits x = { .n = 0 };

    k->n = 0;
    outer = k->n;
    put(k, 0xb9, 1);                        /* mov ecx, turns */
    put(k, 1 + below(below(4) ? 200 : 12), 4);
    put(k, 0xee0c8d4e, 4);                  /* lea r9, [rsi + r13 * 8] */
    if (below(2)) {
        put_rr(k, 0x89, R_R13, R_R8);
    }
    top = k->n;
    put_some(k, N_KINDS, below(3), &x);
    for (unsigned i = 1 + below(2); i--; ) {
        put_inner(k, &x);
        put_some(k, N_KINDS, below(3), &x);
    }
    moves = below(4);
    if (moves == 1) {                       /* what it was compared with, too */
        int by = ANY(steps);

        put_ri(k, 0, R_RSI, by);
        put_ri(k, 0, R_R9, by);
    }
    if (moves) {
        put_ri(k, 0, below(2) ? R_RDI : R_RBX, ANY(steps));
    }
    put(k, 0xc9ff, 2);                      /* dec ecx */
    put_jcc(k, 5, top);
    while (x.n--) {
        uint32_t to = below(2) ? k->n : FAR - CODE;
        uint32_t rel = to - (x.at[x.n] + 4);

        memcpy(k->code + x.at[x.n], &rel, 4);
    }
    put(k, 0x9c, 1);                        /* pushf; pop rax; and al, ~AF */
    put(k, 0xef2458, 3);
    put(k, 0x50, 1);                        /* push rax; lea rsp, [rsp + 8] */
    put(k, 0x0824648d48, 5);
    put(k, 0xcdff41, 3);                    /* dec r13d */
    put_jcc(k, 5, outer);
    put(k, 0xfeebf4e6, 4);                  /* out %al, $0xf4; jmp . */

    for (unsigned i = 0; i < 16; i++) {
        k->gpr[i] = rnd();
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bases); i++) {
        k->gpr[bases[i]] = MIDDLE + (below(2) ? 16 * below(4096)
                                              : 8 * below(8192));
    }
    k->gpr[R_R8] = 1 + below(4);
    k->gpr[R_R13] = 1 + below(5);
    k->mxcsr = below(3) ? 0x1f80 : 0x1f80 & ~(1 << (7 + below(6)));
    turns_pages(k);
}
