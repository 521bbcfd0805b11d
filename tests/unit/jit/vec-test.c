/*
 * Random x87, MMX, SSE and AVX instructions, translated and interpreted: all
 * registers, status, pointers and memory must agree.
 *
 * A case is a loop of some twenty instructions of all encodings that decode, with
 * a few integer ones in between, run a few times.  Half of the cases have all
 * floating-point exceptions masked and operands aligned, and run to the end; in
 * the others anything may fault, and what the handler finds is compared: which
 * exception, where, and the state then.  RHEA_TEST_ROUNDS multiplies the number
 * of cases, RHEA_TEST_SEED changes them, RHEA_TEST_OP takes only operations
 * whose names begin so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../interp/native.h"
#include "../interp/operands.h"
#include "../tcg/guest.h"

#include <stdlib.h>

#include "accel/tcg/decode/info.h"
#include "accel/tcg/interp/x87.h"
#include "accel/tcg/jit/jit.h"
#include "cpu/features.h"

enum {
    CODE = 0x10000, HANDLER = 0x18000, IDT = 0x20000, GDT = 0x22000,
    TABLES = 0x100000, STACK = 0x2e0000, COUNT = 0x2f0000, DATA = 0x300000,
    DATA_BYTES = 0x2000, N_LOOPS = 3, N_INSNS = 20,
};

static const char *only_op;
static unsigned n_of_op[N_OPS];

/* --- code ------------------------------------------------------------------- */

typedef struct Code {
    uint8_t b[2048];
    unsigned n;
    uint16_t op[2 * N_INSNS];   /* for the statistics */
    unsigned n_ops;
    int base;                   /* a register that points to data, or -1 */
} Code;

static void put(Code *c, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        c->b[c->n++] = v >> (8 * i);
    }
}

static bool is_fp(const InsnInfo *info)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        unsigned k = info->opnd[i] & OPD_KIND;

        if (k == OPD_XREG || k == OPD_XRM || k == OPD_XV || k == OPD_PREG
            || k == OPD_PRM || k == OPD_ST0 || k == OPD_ST) {
            return true;
        }
    }
    return false;
}

/* What may stand in a case; `wild`: it may change what is masked. */
static bool acceptable(const Insn *n, bool wild)
{
    const InsnInfo *info = insn_info(n->op);
    bool x87 = n->op >= OP_FADD_ST0_M32 && n->op <= OP_FRSTOR_M;
    bool gpr_reg = false, gpr_rm = false;

    if (only_op && !g_str_has_prefix(insn_op_name(n->op), only_op)) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        gpr_reg |= (info->opnd[i] & OPD_KIND) == OPD_REG;
        gpr_rm |= (info->opnd[i] & OPD_KIND) == OPD_RM;
    }
    if ((gpr_reg && n->reg == R_RSP)
        || (gpr_rm && !(n->flags & INSN_MEM) && n->rm == R_RSP)) {
        return false;
    }
    switch (n->op) {
    case OP_FLDCW_M: case OP_FLDENV_M: case OP_FRSTOR_M: case OP_LDMXCSR_M:
    case OP_FNINIT: case OP_VLDMXCSR_M:
        return wild;
    case OP_STMXCSR_M: case OP_VSTMXCSR_M: case OP_VZEROUPPER:
    case OP_VZEROALL: case OP_EMMS:
        return true;
    }
    if (n->index != R_ZERO || info->implicit) {
        return false;           /* gathers, MASKMOVQ */
    }
    return x87 || is_fp(info);
}

/* Does it write the base? */
static bool writes(const Insn *n, int base)
{
    const InsnInfo *info = insn_info(n->op);

    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        unsigned k = info->opnd[i] & OPD_KIND;

        if ((k == OPD_REG && n->reg == base)
            || (k == OPD_RM && !(n->flags & INSN_MEM) && n->rm == base)) {
            return true;
        }
    }
    return false;
}

/* One encoding, or none. */
static unsigned encode(uint8_t *code, unsigned base, int disp)
{
    static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };
    uint8_t *p = code, modrm = below(8) << 3;
    bool mem = one_in(2);
    unsigned rex_b = base >> 3;

    modrm |= mem ? 0x40 | (base & 7) : 0xc0 | below(8);
    switch (below(3)) {
    case 0: {
        unsigned pp = below(4), map = below(5);

        if (pp) {
            *p++ = prefix[pp];
        }
        if (one_in(2) || (mem && rex_b)) {
            *p++ = 0x40 | (mem ? (rnd() & 12) | rex_b : rnd() & 13);
        }
        *p++ = 0x0f;
        if (map >= 3) {
            *p++ = map == 3 ? 0x38 : 0x3a;
        }
        *p++ = rnd();
        break;
    }
    case 1:
        if (!native_has_avx()) {
            return 0;
        }
        *p++ = 0xc4;
        *p++ = (rnd() & 0x80) | 0x40
               | (mem ? !rex_b : one_in(2)) << 5 | (1 + below(3));
        *p++ = one_in(2) << 7 | (one_in(3) ? 15 : below(16)) << 3
               | (rnd() & 7);
        *p++ = rnd();
        break;
    default:
        if (mem && rex_b) {
            *p++ = 0x41;
        }
        *p++ = 0xd8 + below(8);
        if (!mem) {
            modrm = rnd() | 0xc0;
        }
        break;
    }
    *p++ = modrm;
    if (mem) {
        *p++ = disp;
    }
    *p++ = rnd();
    return p - code;
}

/* An integer instruction, for flags to be in different places. */
static void add_integer(Code *c)
{
    switch (below(6)) {
    case 0:
        put(c, 0xc801, 2);              /* add %ecx, %eax */
        break;
    case 1:
        put(c, 0xd011, 2);              /* adc %edx, %eax */
        break;
    case 2:
        put(c, 0xfc, 1);                /* cld: the interpreter's */
        break;
    case 3:
        put(c, 0x04250489, 4);          /* mov %eax, DATA + 4 */
        c->n--;
        put(c, DATA + 4, 4);
        break;
    case 4:
        put(c, 0x02eb, 2);              /* jmp over two */
        put(c, 0x0b0f, 2);
        break;
    default:
        put(c, 0x027a, 2);              /* jp over two */
        put(c, 0xc889, 2);              /* mov %ecx, %eax */
        break;
    }
}

static void add_insn(Code *c, bool wild)
{
    static const uint32_t *feat;
    static uint32_t words[N_FEATURE_WORDS];

    if (!feat) {
        tcg_features(words);
        feat = words;
    }
    for (;;) {
        static const uint8_t bases[] = { R_RBX, R_RSI, R_RDI, R_RBP, R_R8,
                                         R_R9, R_R10, R_R14, R_R15 };
        unsigned base = bases[below(G_N_ELEMENTS(bases))], start = c->n;
        bool same = c->base >= 0 && one_in(2);
        int disp = wild && one_in(3) ? (int)below(200) - 100
                                     : (int)below(8) * 32 - 128;
        unsigned at, n;
        Insn insn = {};

        base = same ? (unsigned)c->base : base;
        put(c, base >= 8 ? 0x41 : 0x40, 1);
        put(c, 0xb8 | (base & 7), 1);
        at = DATA + 256 + (one_in(3) ? 0xd00 + below(256) : below(0x1d00));
        put(c, at & (wild && one_in(4) ? ~0u : ~63u), 4);
        c->n = same ? start : c->n;
        at = c->n;
        n = encode(c->b + at, base, disp);
        if (!n || insn_decode(&insn, c->b + at, n, DM_CODE64 | DM_FLAT
                              | DM_SS32, feat) != DECODE_OK
            || !acceptable(&insn, wild)) {
            c->n = start;
            continue;
        }
        if (!(insn.flags & INSN_MEM)) {         /* no base */
            memmove(c->b + start, c->b + at, insn.len);
            at = start;
        }
        if (insn.flags & INSN_MEM) {
            c->base = base;
        }
        if (c->base >= 0 && writes(&insn, c->base)) {
            c->base = -1;
        }
        c->n = at + insn.len;
        c->op[c->n_ops++] = insn.op;
        return;
    }
}

static void make(Code *c, bool wild)
{
    c->n = c->n_ops = 0;
    c->base = -1;
    for (unsigned i = 0; i < N_INSNS; i++) {
        if (one_in(4)) {
            add_integer(c);
        }
        add_insn(c, wild);
    }
    put(c, 0x9b, 1);                    /* fwait: what is waiting shows */
    put(c, 0x252c83, 3);                /* subl $1, COUNT */
    put(c, COUNT, 4);
    put(c, 1, 1);
    put(c, 0x850f, 2);                  /* jnz to the start */
    put(c, -(c->n + 4), 4);
    put(c, 0xfeebf4e6, 4);              /* out %al, $0xf4; jmp . */
}

/* --- a run ------------------------------------------------------------------- */

typedef struct Outcome {
    X86State s;
    uint8_t exit;
    uint8_t data[DATA_BYTES];
    uint8_t stack[64];
} Outcome;

static void run(const Code *c, uint32_t threshold, const X86State *state,
                const uint8_t *data, Outcome *o)
{
    X86State *s = guest_cpu(0)->state;
    uint32_t count = N_LOOPS;

    jit_options.threshold = threshold;
    guest_load(CODE, c->b, c->b + c->n);
    memcpy(guest_ram + DATA, data, DATA_BYTES);
    memcpy(guest_ram + COUNT, &count, 4);
    memset(guest_ram + STACK - 64, 0, 64);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    for (unsigned v = 0; v < 32; v++) {
        uint8_t code[] = { 0xb0, v + 1, 0xe6, 0xf4, 0xeb, 0xfe };

        guest_load(HANDLER + 16 * v, code, code + sizeof(code));
        guest_gate(IDT, v, HANDLER + 16 * v);
    }
    memcpy(s->gpr, state->gpr, sizeof(uint64_t) * 16);
    s->gpr[R_RAX] &= ~UINT64_C(0xff);
    s->gpr[R_RSP] = STACK;
    s->rflags = state->rflags;
    memcpy(s->vec, state->vec, sizeof(s->vec));
    memcpy(s->fpr, state->fpr, sizeof(s->fpr));
    s->fcw = state->fcw;
    s->fsw = state->fsw;
    s->ftw = state->ftw;
    s->fop = s->fcs = s->fds = 0;
    s->fip = s->fdp = 0;
    s->mxcsr = state->mxcsr;
    s->cr0 = state->cr0 | CR0_WP;
    s->cr4 = state->cr4 | CR4_PAE;
    s->xcr0 = state->xcr0;
    guest_cpu(0)->accel->put_state(guest_cpu(0));
    o->exit = guest_run(1);
    o->s = *s;
    o->s.rip = 0;
    memcpy(o->data, guest_ram + DATA, sizeof(o->data));
    memcpy(o->stack, guest_ram + STACK - 64, sizeof(o->stack));
}

static bool same(const Outcome *want, const Outcome *got, GString *diff)
{
    native_diff(&want->s, &got->s, want->exit ? 0 : FL_ARITH, diff);
    if (want->exit != got->exit) {
        g_string_append_printf(diff, "exception %d, translated %d\n",
                               want->exit - 1, got->exit - 1);
    }
    if (want->s.fip != got->s.fip || want->s.fop != got->s.fop
        || want->s.fdp != got->s.fdp) {
        g_string_append_printf(diff, "FIP %" PRIx64 " FOP %x FDP %" PRIx64
                               ", translated %" PRIx64 " %x %" PRIx64 "\n",
                               want->s.fip, want->s.fop, want->s.fdp,
                               got->s.fip, got->s.fop, got->s.fdp);
    }
    for (unsigned i = 0; i < DATA_BYTES; i++) {
        if (want->data[i] != got->data[i]) {
            g_string_append_printf(diff, "data +%x: %02x, translated %02x\n",
                                   i, want->data[i], got->data[i]);
        }
    }
    for (unsigned i = 0; i < sizeof(want->stack); i += 8) {
        uint64_t a, b;

        memcpy(&a, want->stack + i, 8);
        memcpy(&b, got->stack + i, 8);
        if (a != b) {
            g_string_append_printf(diff, "stack -%x: %" PRIx64
                                   ", translated %" PRIx64 "\n", 64 - i, a,
                                   b);
        }
    }
    return !diff->len;
}

static void fail(const Code *c, const X86State *before, const char *diff)
{
    g_autoptr(GString) text = g_string_new(NULL);
    unsigned at = 0;
    Insn insn;

    while (at < c->n && insn_decode(&insn, c->b + at, c->n - at, DM_CODE64
                                    | DM_FLAT | DM_SS32, NULL) == DECODE_OK) {
        g_string_append_printf(text, "%x  ", CODE + at);
        insn_print(&insn, text);
        g_string_append_c(text, '\n');
        at += insn.len;
    }
    g_print("# cr0 %" PRIx64 " cr4 %" PRIx64 " xcr0 %" PRIx64
            " mxcsr %x fcw %x fsw %x ftw %x\n%s%s", before->cr0, before->cr4,
            before->xcr0, before->mxcsr, before->fcw, before->fsw,
            before->ftw, text->str, diff);
    g_test_fail();
}

static void some_case(bool wild, X86State *s, uint8_t *data)
{
    some_state(s);
    if (!wild) {
        s->mxcsr |= MX_MASKS;
        s->fcw |= FCW_MASKS;
        s->fsw &= ~(FSW_ES | FSW_B);
    } else if (one_in(4)) {             /* not to be used at all */
        switch (below(5)) {
        case 0: s->cr0 |= CR0_TS; break;
        case 1: s->cr0 |= CR0_EM; break;
        case 2: s->cr4 &= ~(uint64_t)CR4_OSFXSR; break;
        case 3: s->cr4 &= ~(uint64_t)CR4_OSXSAVE; break;
        default: s->xcr0 &= ~(uint64_t)XCR0_AVX; break;
        }
    }
    for (unsigned i = 0; i < DATA_BYTES; i += 32) {
        if (one_in(6)) {
            some_f80((X86Fp *)(data + i));
            some_f80((X86Fp *)(data + i + 16));
        } else {
            some_bytes(data + i, 32);
        }
    }
}

static void test_random(gconstpointer kind)
{
    static Outcome want, got;
    static uint8_t data[DATA_BYTES];
    const char *rounds = g_getenv("RHEA_TEST_ROUNDS");
    unsigned n = 1500 * (rounds ? atoi(rounds) : 1), n_bad = 0;
    bool wild = kind;

    guest_reset();
    for (unsigned k = 0; k < n && n_bad < 3; k++) {
        g_autoptr(GString) diff = g_string_new(NULL);
        X86State state;
        Code c;

        some_case(wild, &state, data);
        make(&c, wild);
        run(&c, UINT32_MAX, &state, data, &want);
        run(&c, 0, &state, data, &got);
        if (!same(&want, &got, diff)) {
            fail(&c, &state, diff->str);
            n_bad++;
        }
        for (unsigned i = 0; i < c.n_ops; i++) {
            n_of_op[c.op[i]]++;
        }
    }
}

/* Chance has chosen everything that can be chosen; without AVX2 that is half of
 * it. */
static void test_coverage(void)
{
    uint32_t words[N_FEATURE_WORDS] = {};
    unsigned n = 0, n_run = 0, tenths;

    tcg_features(words);
    tenths = words[FEAT_AVX2 / 32] >> FEAT_AVX2 % 32 & 1 ? 9 : 5;

    for (unsigned op = 0; op < N_OPS; op++) {
        const InsnInfo *info = insn_info(op);

        if (is_fp(info) && !info->implicit && info->emit == EMIT_COPY) {
            n++;
            n_run += n_of_op[op] > 0;
            if (!n_of_op[op] && g_test_verbose()) {
                g_print("# never run: %s\n", insn_op_name(op));
            }
        }
    }
    g_test_message("%u of %u operations", n_run, n);
    if (!only_op) {
        g_assert_cmpuint(n_run * 10, >, n * tenths);
    }
}

int main(int argc, char **argv)
{
    const char *seed = g_getenv("RHEA_TEST_SEED");
    int status;

    g_test_init(&argc, &argv, NULL);
    only_op = g_getenv("RHEA_TEST_OP");
    if (seed) {
        rnd_seed(strtoull(seed, NULL, 0));
    }
    native_init();              /* tells whether there is AVX */
    if (guest_init_jit(1)) {
        g_test_add_data_func("/jit/vec/masked", NULL, test_random);
        g_test_add_data_func("/jit/vec/any", "", test_random);
        g_test_add_func("/jit/vec/coverage", test_coverage);
    }
    status = g_test_run();
    guest_free();
    return status;
}
