/*
 * Random instructions, translated and interpreted: registers, memory and every
 * flag that is defined must agree.
 *
 * A case is a loop of some thirty instructions, with jumps over single ones,
 * run a few times: so that blocks are entered from the dispatcher, from one
 * another, and through their own end.  RHEA_TEST_ROUNDS multiplies the number
 * of cases, RHEA_TEST_SEED changes them, RHEA_TEST_ACCEL adds options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../tcg/guest.h"

#include <stdlib.h>

#include "accel/tcg/decode/info.h"
#include "accel/tcg/jit/jit.h"
#include "tests/common/rnd.h"

enum {
    CODE = 0x10000, TABLES = 0x100000, COUNT = 0x2f0000, DATA = 0x300000,
    DATA_BYTES = 0x2000, FLAGS = DATA + DATA_BYTES, STACK = 0x2e0000,
    N_INSNS = 30, N_LOOPS = 4,
};

static bool code32;             /* 32-bit code, no paging ... */
static bool swapped;            /* ... but here, and DATA's two pages the other
                                 * way round */
static bool tight;              /* few instructions in one block */

/* --- code ------------------------------------------------------------------- */

typedef struct Code {
    uint8_t b[2048];
    unsigned n;
    unsigned undef;             /* IF_* that mean nothing now */
} Code;

static void put(Code *c, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        c->b[c->n++] = v >> (8 * i);
    }
}

/* Opcode; R_MEM etc. tell which ModRM.reg may be there. */
typedef struct Op {
    uint32_t opcode;
    uint8_t bytes;              /* of it */
    uint8_t imm;                /* bytes; 4: by operand size */
    uint8_t ext;                /* mask of ModRM.reg; 0: any, 1 << 0 .. */
    bool no_modrm;
} Op;

static const Op ops[] = {
    { 0x00, 1 }, { 0x01, 1 }, { 0x02, 1 }, { 0x03, 1 }, { 0x08, 1 },
    { 0x09, 1 }, { 0x0b, 1 }, { 0x10, 1 }, { 0x11, 1 }, { 0x13, 1 },
    { 0x19, 1 }, { 0x1a, 1 }, { 0x1b, 1 }, { 0x21, 1 }, { 0x22, 1 },
    { 0x23, 1 }, { 0x28, 1 }, { 0x29, 1 }, { 0x2b, 1 }, { 0x30, 1 },
    { 0x31, 1 }, { 0x33, 1 }, { 0x38, 1 }, { 0x39, 1 }, { 0x3a, 1 },
    { 0x3b, 1 }, { 0x80, 1, 1 }, { 0x81, 1, 4 }, { 0x83, 1, 1 },
    { 0x84, 1 }, { 0x85, 1 }, { 0x86, 1 }, { 0x87, 1 }, { 0x88, 1 },
    { 0x89, 1 }, { 0x8a, 1 }, { 0x8b, 1 }, { 0x8d, 1 }, { 0x63, 1 },
    { 0xc0, 1, 1, 0xb3 }, { 0xc1, 1, 1, 0xb3 }, { 0xd0, 1, 0, 0xb3 },
    { 0xd1, 1, 0, 0xb3 }, { 0xd2, 1, 0, 0xb3 }, { 0xd3, 1, 0, 0xb3 },
    { 0xc6, 1, 1, 1 }, { 0xc7, 1, 4, 1 }, { 0xf6, 1, 1, 1 },
    { 0xf7, 1, 4, 1 }, { 0xf6, 1, 0, 0x3c }, { 0xf7, 1, 0, 0x3c },
    { 0xfe, 1, 0, 3 }, { 0xff, 1, 0, 3 }, { 0x69, 1, 4 }, { 0x6b, 1, 1 },
    { 0x0faf, 2 }, { 0x0fb6, 2 }, { 0x0fb7, 2 }, { 0x0fbe, 2 },
    { 0x0fbf, 2 }, { 0x0fba, 2, 1, 0xf0 }, { 0x0fa3, 2 }, { 0x0fab, 2 },
    { 0x0fb3, 2 }, { 0x0fbb, 2 }, { 0x0fb0, 2 }, { 0x0fb1, 2 },
    { 0x0fc0, 2 }, { 0x0fc1, 2 }, { 0x0fa4, 2, 1 }, { 0x0fac, 2, 1 },
    { 0x0fc8, 2, 0, 0, true }, { 0x0fcf, 2, 0, 0, true },
    { 0xf30fb8, 3 }, { 0xf30fbc, 3 }, { 0xf30fbd, 3 },
    { 0x98, 1, 0, 0, true }, { 0x99, 1, 0, 0, true },
    { 0xf8, 1, 0, 0, true }, { 0xf9, 1, 0, 0, true },
    { 0xf5, 1, 0, 0, true }, { 0x9e, 1, 0, 0, true },
    { 0x0f40, 2 }, { 0x0f90, 2 }, { 0x50, 1, 0, 0, true },
    { 0xb8, 1, 4, 0, true },
};

static void put_modrm(Code *c, const Op *op, unsigned base)
{
    unsigned reg = below(8);

    while (op->ext && !(op->ext >> reg & 1)) {
        reg = below(8);
    }
    switch (below(3)) {
    case 0:                     /* absolute */
        put(c, reg << 3 | 4, 1);
        put(c, 0x25, 1);
        put(c, DATA + 64 + below(DATA_BYTES - 128), 4);
        break;
    case 1:                     /* the base that was set up */
        put(c, 0x40 | reg << 3 | base, 1);
        put(c, below(128) - 64, 1);
        break;
    default:
        put(c, 0xc0 | reg << 3 | below(8), 1);
        break;
    }
}

/* No stack pointer, nothing of undefined effect. */
static bool acceptable(const Insn *n, unsigned undef)
{
    InsnFlags f = insn_flags(n);

    if (f.read & undef || (n->op == OP_BSWAP_RM && n->size == 2)) {
        return false;
    }
    if (n->op == OP_SHLD_RM_R_I || n->op == OP_SHRD_RM_R_I) {
        if (n->size == 2) {
            return false;
        }
    }
    if (n->op == OP_BT_RM_R || n->op == OP_BTS_RM_R || n->op == OP_BTR_RM_R
        || n->op == OP_BTC_RM_R) {
        if (n->flags & INSN_MEM) {
            return false;       /* the bit may be anywhere */
        }
    }
    if (n->op == OP_PUSH_RM) {
        return n->rm != R_RSP;
    }
    if (n->size == 1 ? n->reg == 32 : n->reg == R_RSP) {
        return false;
    }
    return n->flags & INSN_MEM
           || (n->size == 1 ? n->rm != 32 : n->rm != R_RSP && n->rm != 32);
}

static void add_insn(Code *c)
{
    for (;;) {
        const Op *op = &ops[below(G_N_ELEMENTS(ops))];
        unsigned rex = below(2) ? 0x40 | below(16) : 0, base, start = c->n;
        uint32_t opcode = op->opcode;
        bool word = !below(6);
        Insn insn = {};

        do {
            base = below(8);
        } while (base == 4 || base == 5);
        if (!op->no_modrm) {    /* the base may be an extended one */
            unsigned wide = rex & 1;

            put(c, 0x40 | wide, 1);
            put(c, 0xb8 | base, 1);
            put(c, DATA + 0x80 + below(8) * 0x300 + below(64), 4);
        }
        rex &= ~2u;
        unsigned at = c->n;

        if (word) {
            put(c, 0x66, 1);
        }
        if (op->bytes == 3) {
            put(c, opcode >> 16, 1);
        }
        if (rex) {
            put(c, rex, 1);
        }
        if (opcode == 0x0f40 || opcode == 0x0f90) {
            opcode |= below(16);
        } else if (opcode == 0x50 || opcode == 0xb8) {
            opcode |= below(8);
        }
        if (op->bytes >= 2) {
            put(c, opcode >> 8 & 0xff, 1);
        }
        put(c, opcode & 0xff, 1);
        if (!op->no_modrm) {
            put_modrm(c, op, base);
        }
        if (op->imm == 4) {
            put(c, rnd(), (opcode & 0xf8) == 0xb8 && rex & 8 ? 8
                          : word && !(rex & 8) ? 2 : 4);
        } else if (op->imm) {
            put(c, rnd(), 1);
        }
        if (insn_decode(&insn, c->b + at, c->n - at, DM_FLAT | DM_SS32
                        | (code32 ? DM_CODE32 : DM_CODE64 | DM_CPL3), NULL)
                != DECODE_OK
            || insn.len != c->n - at || !acceptable(&insn, c->undef)) {
            c->n = start;
            continue;
        }
        InsnFlags f = insn_flags(&insn);

        c->undef = (c->undef & ~f.set) | f.undef;
        if (insn.op == OP_PUSH_RM) {            /* and pop what it was */
            put(c, 0x8f, 1);
            put(c, 0x04, 1);
            put(c, 0x25, 1);
            put(c, DATA + 64 + below(DATA_BYTES - 128), 4);
            if (word) {
                c->n = start;
                continue;
            }
        }
        return;
    }
}

/* Jcc over the next instruction; false when no condition is defined. */
static void maybe_jump(Code *c)
{
    unsigned at, undef = c->undef;

    if (undef || below(4)) {
        return;
    }
    put(c, 0x70 | below(16), 1);
    at = c->n;
    put(c, 0, 1);
    add_insn(c);
    c->b[at] = c->n - at - 1;
    c->undef |= undef;
}

static void make(Code *c)
{
    /* Conditions that show one flag: O, C, Z, S, P. */
    static const uint8_t cc[] = { 0, 2, 4, 8, 10 };
    static const uint8_t of[] = { IF_OF, IF_CF, IF_ZF, IF_SF, IF_PF };

    c->n = c->undef = 0;
    for (unsigned i = tight ? below(4) + N_INSNS - 6 : 0; i < N_INSNS; i++) {
        if (!tight) {
            maybe_jump(c);
        }
        add_insn(c);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cc); i++) {
        if (!(c->undef & of[i])) {              /* setcc FLAGS + i */
            put(c, 0x04900f | cc[i] << 8, 3);
            put(c, 0x25, 1);
            put(c, FLAGS + i, 4);
        }
    }
    put(c, 0x252c83, 3);                        /* subl $1, COUNT */
    put(c, COUNT, 4);
    put(c, 1, 1);
    if (tight) {
        put(c, 0x252c8b, 3);                    /* mov COUNT, %ebp */
        put(c, COUNT, 4);
        switch (below(4)) {
        case 0: put(c, 0x00fd83, 3); break;     /* cmp $0, %ebp */
        case 1: put(c, 0xed85, 2); break;       /* test %ebp, %ebp */
        case 2: put(c, 0xed09, 2); break;       /* or %ebp, %ebp */
        default:                                /* sub, add: -1, 1 */
            put(c, 0x01ed83, 3);
            put(c, 0x01c583, 3);
            break;
        }
    }
    put(c, 0x850f, 2);                          /* jnz to the start */
    put(c, -(c->n + 4), 4);
    put(c, 0xfeebf4e6, 4);                      /* out %al, $0xf4; jmp . */
}

/* --- a run ------------------------------------------------------------------- */

typedef struct Outcome {
    uint64_t gpr[16];
    uint8_t data[DATA_BYTES + 16];
} Outcome;

static uint32_t n_loops = N_LOOPS;
static uint64_t stack_top = STACK;

/* DATA's pages in each other's place, the rest where it is. */
static void swap_pages(X86State *s)
{
    const uint32_t at = DATA - DATA % (2 * MiB), pages[] = {
        DATA / PAGE_BYTES, DATA / PAGE_BYTES + 1,
    };
    uint32_t *pd = (uint32_t *)(guest_ram + TABLES);
    uint32_t *pt32 = (uint32_t *)(guest_ram + TABLES + 0x5000);
    uint64_t *pt64 = (uint64_t *)(guest_ram + TABLES + 0x5000);
    uint64_t *pd64 = (uint64_t *)(guest_ram + TABLES + 0x2000);

    if (code32) {
        for (unsigned i = 0; i < 1024; i++) {
            pd[i] = i << 22 | 0x87;
            pt32[i] = i << 12 | 7;
        }
        pd[0] = (TABLES + 0x5000) | 7;
        pt32[pages[0]] = pages[1] << 12 | 7;
        pt32[pages[1]] = pages[0] << 12 | 7;
        s->cr3 = TABLES;
        s->cr4 |= CR4_PSE;
        s->cr0 |= CR0_PG;
        return;
    }
    for (unsigned i = 0; i < 512; i++) {
        pt64[i] = (at + i * PAGE_BYTES) | 7;
    }
    pd64[at / (2 * MiB)] = (TABLES + 0x5000) | 7;
    pt64[pages[0] % 512] = (uint64_t)pages[1] << 12 | 7;
    pt64[pages[1] % 512] = (uint64_t)pages[0] << 12 | 7;
}

static void run(const Code *c, uint32_t threshold, const uint64_t *gpr,
                const uint8_t *data, Outcome *o)
{
    X86State *s = guest_cpu(0)->state;
    uint32_t count = n_loops;

    jit_options.threshold = threshold;
    guest_load(CODE, c->b, c->b + c->n);
    memcpy(guest_ram + DATA, data, DATA_BYTES + 16);
    memcpy(guest_ram + COUNT, &count, 4);
    memcpy(s->gpr, gpr, sizeof(o->gpr));
    s->rflags = 2;
    if (code32) {
        guest_protected(0, CODE);
        for (unsigned i = 0; i < 16; i++) {
            s->gpr[i] = (uint32_t)s->gpr[i];
        }
    } else {
        guest_long(0, CODE, TABLES);
    }
    if (swapped) {
        swap_pages(s);
    }
    s->gpr[R_RSP] = stack_top;
    guest_cpu(0)->accel->put_state(guest_cpu(0));
    guest_run(1);
    memcpy(o->gpr, s->gpr, sizeof(o->gpr));
    memcpy(o->data, guest_ram + DATA, sizeof(o->data));
}

static void fail(const Code *c, const Outcome *want, const Outcome *got)
{
    GString *hex = g_string_new(NULL);

    for (unsigned i = 0; i < c->n; i++) {
        g_string_append_printf(hex, "%02x", c->b[i]);
    }
    g_test_message("code: %s", hex->str);
    for (unsigned i = 0; i < 16; i++) {
        if (want->gpr[i] != got->gpr[i]) {
            g_test_message("gpr %u: %" PRIx64 ", translated %" PRIx64, i,
                           want->gpr[i], got->gpr[i]);
        }
    }
    for (unsigned i = 0; i < sizeof(want->data); i++) {
        if (want->data[i] != got->data[i]) {
            g_test_message("data +%x: %02x, translated %02x", i,
                           want->data[i], got->data[i]);
        }
    }
    g_test_fail();
}

/* --- the stack ----------------------------------------------------------- */

/*
 * Pushes, pops, operands at [RSP + n], loads at [RDI + n], calls and returns, with
 * RSP moving down by eight bytes each time round: each group of accesses comes
 * to straddle the end of a page, and the calls nest.  Some loads, and what some
 * pushes read, are further up than one check may span.
 */
enum { N_FUNCTIONS = 4, STACK_LOOPS = 60, STACK_TOP = DATA + 0x1000 + 40 * 8,
       FAR_WORDS = 0x2c0 / 4 };

static void put_stack_insn(Code *c, unsigned base, int disp, bool may_store)
{
    /* Those that do not store first, for what is not ours. */
    static const uint8_t opcodes[] = { 0x8b, 0x03, 0x3b, 0x23, 0x89, 0x01,
                                       0x29, 0x31 };
    static const uint8_t regs[] = { 0, 1, 2, 3, 5, 6 };
    unsigned reg = regs[below(G_N_ELEMENTS(regs))];

    unsigned rex = (below(2) ? 0x48 : 0x40) | (below(4) ? 0 : 4);

    if (!code32) {
        put(c, rex, 1);
    }
    put(c, opcodes[below(may_store ? 8 : 4)], 1);
    put(c, 0x80 | reg << 3 | base, 1);
    if (base == 4) {
        put(c, 0x24, 1);
    }
    put(c, disp, 4);
}

static void put_rex(Code *c)
{
    if (!code32) {
        put(c, 0x48, 1);
    }
}

/* A body that leaves RSP as it was; `calls`: it may call these. */
static void put_stack_body(Code *c, const unsigned *calls, unsigned n_calls)
{
    unsigned depth = 0;

    for (unsigned i = 2 + below(14); i--;) {
        switch (below(10)) {
        case 0: case 1:
            if (below(4)) {
                put(c, 0x50 | below(4), 1);
            } else {
                put(c, 0x68, 1);
                put(c, rnd(), 4);
            }
            depth++;
            break;
        case 8:                                 /* push [rsp + disp32] */
            put(c, 0x24b4ff, 3);
            put(c, 4 * below(FAR_WORDS), 4);
            depth++;
            break;
        case 9:
            put_stack_insn(c, 4, 4 * below(FAR_WORDS), false);
            break;
        case 2:
            if (depth) {
                put(c, 0x58 | below(4), 1);
                depth--;
            }
            break;
        case 3:
            put_rex(c);                         /* lea rsp, [rsp - 16] */
            put(c, 0x24648d, 3);
            put(c, -16, 1);
            depth += code32 ? 4 : 2;
            break;
        case 4:
            if (n_calls) {
                put(c, 0xe8, 1);
                put(c, calls[below(n_calls)] - (c->n + 4), 4);
            }
            break;
        case 5:
            put_stack_insn(c, 7, below(32) * 4, false);
            break;
        case 6:                                 /* of registers; RSP is read */
            put(c, "\x88\x89\x01\x31\x39\x85"[below(6)], 1);
            put(c, 0xc0 | below(code32 ? 4 : 5) << 3 | below(4), 1);
            break;
        default:
            if (depth) {                        /* not the return address */
                put_stack_insn(c, 4, below(depth) * (code32 ? 4 : 8), true);
            }
            break;
        }
    }
    if (depth) {
        put_rex(c);                             /* add rsp, imm32 */
        put(c, 0xc481, 2);
        put(c, depth * (code32 ? 4 : 8), 4);
    }
}

static void make_stack(Code *c)
{
    unsigned f[N_FUNCTIONS];

    c->n = c->undef = 0;
    put(c, 0xe9, 1);                            /* over the functions */
    put(c, 0, 4);
    for (unsigned i = 0; i < N_FUNCTIONS; i++) {
        f[i] = c->n;
        put_stack_body(c, f, i);
        if (below(2)) {
            put(c, 0xc3, 1);
        } else {                                /* and a jump there */
            put(c, 0x04247c83, 4);              /* cmp dword [rsp+4], 0 */
            put(c, 0, 1);
            put(c, 0xc3, 1);
        }
    }
    unsigned start = c->n;

    memcpy(c->b + 1, &(uint32_t){ start - 5 }, 4);
    put_stack_body(c, f, N_FUNCTIONS);
    put(c, 0x9c, 1);                            /* pushf */
    put_rex(c);                                 /* and qword [rsp], ~AF */
    put(c, 0x242481, 3);
    put(c, ~0x10u, 4);
    put(c, 0x58, 1);                            /* pop rax */
    put_rex(c);                                 /* lea rsp, [rsp - 8] */
    put(c, 0x24648d, 3);
    put(c, -8, 1);
    put(c, 0x252c83, 3);                        /* subl $1, COUNT */
    put(c, COUNT, 4);
    put(c, 1, 1);
    put(c, 0x850f, 2);
    put(c, start - (c->n + 4), 4);
    put(c, 0xfeebf4e6, 4);
}

static void test_stack_in(bool swap)
{
    static Outcome want, got;
    static uint8_t data[DATA_BYTES + 16];
    const char *rounds = g_getenv("RHEA_TEST_ROUNDS");
    unsigned n = 100 * (rounds ? atoi(rounds) : 1), n_bad = 0;

    guest_reset();
    for (unsigned k = 0; k < n && n_bad < 3; k++) {
        uint64_t gpr[16];
        Code c;

        for (unsigned i = 0; i < 16; i++) {
            gpr[i] = rnd();
        }
        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = rnd();
        }
        gpr[R_RDI] = DATA + 0x1000 - below(256);
        make_stack(&c);
        n_loops = STACK_LOOPS;
        stack_top = STACK_TOP;
        swapped = swap;
        run(&c, UINT32_MAX, gpr, data, &want);
        run(&c, 0, gpr, data, &got);
        if (memcmp(&want, &got, sizeof(want))) {
            fail(&c, &want, &got);
            n_bad++;
        }
    }
    n_loops = N_LOOPS;
    stack_top = STACK;
    swapped = false;
}

static void test_stack(void)
{
    test_stack_in(false);
    test_stack_in(true);
}

static void test_random(void)
{
    static Outcome want, got;
    static uint8_t data[DATA_BYTES + 16];
    const char *rounds = g_getenv("RHEA_TEST_ROUNDS");
    const char *seed = g_getenv("RHEA_TEST_SEED");
    unsigned n = 300 * (rounds ? atoi(rounds) : 1), n_bad = 0;

    rnd_seed(seed ? strtoull(seed, NULL, 0) : 0);
    guest_reset();
    for (unsigned k = 0; k < n && n_bad < 3; k++) {
        uint64_t gpr[16];
        Code c;

        for (unsigned i = 0; i < 16; i++) {
            gpr[i] = below(3) ? rnd() : rnd() >> below(64);
        }
        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = rnd();
        }
        make(&c);
        run(&c, UINT32_MAX, gpr, data, &want);
        run(&c, 0, gpr, data, &got);
        if (memcmp(&want, &got, sizeof(want))) {
            fail(&c, &want, &got);
            n_bad++;
        }
    }
}

static void test_random_32(void)
{
    JitStats before, after;

    jit_stats(&before);
    code32 = true;
    test_random();
    code32 = false;
    jit_stats(&after);
    g_assert_cmpuint(after.n_compiled, >, before.n_compiled);
}

/* A base that moves by constants while a group is open, over page ends. */
GUEST_CODE(moving, "64",
    "mov $0x300ff0, %edi\n xor %eax, %eax\n mov $1000, %ecx\n"
    "1: add (%rdi), %rax\n add $24, %rdi\n mov %rax, -8(%rdi)\n"
    "lea -8(%rdi), %rdi\n adc 4(%rdi), %eax\n sub $12, %rdi\n"
    "addl $3, -4(%rdi)\n movzwl (%rdi), %edx\n add %rdx, %rax\n"
    "sub $1, %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_moving(void)
{
    static uint8_t want[0x3000];
    uint64_t rax = 0;

    for (unsigned k = 0; k < 2; k++) {
        guest_reset();
        GUEST_LOAD(CODE, moving);
        for (unsigned i = 0; i < sizeof(want); i++) {
            guest_ram[DATA + i] = i * 7 ^ i >> 5;
        }
        guest_long(0, CODE, TABLES);
        jit_options.threshold = k ? 0 : UINT32_MAX;
        guest_run(1);
        if (k == 0) {
            memcpy(want, guest_ram + DATA, sizeof(want));
            rax = guest_env(0)->s.gpr[R_RAX];
        }
    }
    g_assert_cmphex(guest_env(0)->s.gpr[R_RAX], ==, rax);
    g_assert_cmpmem(guest_ram + DATA, sizeof(want), want, sizeof(want));
}

/* Blocks that jump to their own start. */
static void test_tight(void)
{
    tight = true;
    n_loops = 3 * N_LOOPS;
    test_random();
    code32 = true;
    test_random();
    code32 = tight = false;
    n_loops = N_LOOPS;
}

static void test_stack_32(void)
{
    code32 = true;
    test_stack();
    code32 = false;
}

/*
 * Accesses to the page that empty slots name: each is a #GP at its place, with
 * registers and flags as they were.  RCX counts faults, R8 what went wrong.
 */
GUEST_CODE(slot_main, "64",
    "mov %cr4, %rax\n or $0x600, %eax\n mov %rax, %cr4\n"
    "movabs $0x8000000000000800, %rbx\n lea 0x100(%rbx), %rsi\n"
    "lea -0x800(%rbx), %rdi\n xor %ecx, %ecx\n xor %r8d, %r8d\n"
    "mov $40, %ebp\n"
    "1: mov %cr3, %rax\n mov %rax, %cr3\n"
    "mov $5, %edx\n mov $7, %eax\n cmp $6, %edx\n"       /* CF */
    "mov 8(%rbx), %rdx\n mov %rdx, 8(%rsi)\n"
    "movups 16(%rdi), %xmm0\n mov 16(%rbx), %rax\n"
    "adc %ecx, -4(%rdi)\n .byte 0x90\n adc $0, %r9d\n"
    "cmp $5, %edx\n setne %r10b\n add %r10b, %r8b\n"
    "cmp $7, %eax\n setne %r10b\n add %r10b, %r8b\n"
    "dec %ebp\n jnz 1b\n"
    "sub %ecx, %r9d\n mov %r9d, %eax\n or %r8d, %eax\n" GUEST_EXIT);
GUEST_CODE(slot_gp, "64",
    "inc %ecx\n addq $4, 8(%rsp)\n add $8, %rsp\n iretq\n");

static void test_empty_slot(void)
{
    enum { GDT = 0x4000, IDT = 0x5000, HANDLER = 0x8000 };

    guest_reset();
    GUEST_LOAD(CODE, slot_main);
    GUEST_LOAD(HANDLER, slot_gp);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    guest_gate(IDT, EXC_GP, HANDLER);
    guest_env(0)->s.gpr[R_RSP] = STACK;
    guest_env(0)->s.gpr[R_R9] = 200 - 40;
    jit_options.threshold = 0;
    g_assert_cmphex(guest_run(1), ==, 0);
    g_assert_cmpuint(guest_env(0)->s.gpr[R_RCX], ==, 200);
}

/* A check after it may spoil flags that TEST of the register would give again:
 * not when CRC32 of a byte has changed that register. */
GUEST_CODE(replay_main, "64",
    "mov $200, %r9d\n"
    "xor %r10d, %r10d\n"
    "mov $0x6000, %esi\n"
    "1: xor %edx, %edx\n"
    "mov $0x57, %al\n"
    "xor %dl, %dl\n"
    "crc32b %al, %edx\n"
    "movdqu (%rsi), %xmm1\n"
    "jz 2f\n"
    "inc %r10d\n"
    "2: dec %r9d\n"
    "jnz 1b\n"
    "mov %r10d, %eax\n"
    GUEST_EXIT);

static void test_replay(void)
{
    guest_reset();
    GUEST_LOAD(CODE, replay_main);
    guest_long(0, CODE, TABLES);
    guest_env(0)->s.gpr[R_RSP] = STACK;
    guest_env(0)->s.cr4 |= CR4_OSFXSR;
    jit_options.threshold = 0;
    g_assert_cmphex(guest_run(1), ==, 0);
    g_assert_cmpuint(guest_env(0)->s.gpr[R_R10], ==, 0);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    if (guest_init_jit(1)) {
        g_test_add_func("/jit/random", test_random);
        g_test_add_func("/jit/stack", test_stack);
        g_test_add_func("/jit/random32", test_random_32);
        g_test_add_func("/jit/stack32", test_stack_32);
        g_test_add_func("/jit/tight", test_tight);
        g_test_add_func("/jit/moving", test_moving);
        g_test_add_func("/jit/empty_slot", test_empty_slot);
        g_test_add_func("/jit/replay", test_replay);
    }
    status = g_test_run();
    guest_free();
    return status;
}
