/*
 * Every x87, MMX, SSE and AVX handler against the host.
 *
 * All encodings that decode to an operation of the FPU's tables are run with
 * random and special operands, natively and by the handler: registers, flags,
 * status, memory and faults must agree.  RHEA_TEST_ROUNDS multiplies the number
 * of trials, RHEA_TEST_SEED changes them, RHEA_TEST_OP runs the operations whose
 * names begin so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fpubench.h"

static const char *only_op;

/* The bytes that operands lie in: the middle, over a page boundary, and the
 * end, before a page that is not there. */
enum { SPAN = 256, SPANS = 2 * SPAN };
static uint8_t *span(unsigned i)
{
    return native_data + (i == 0 ? 2 * NATIVE_PAGE - SPAN / 2
                                 : NATIVE_DATA_PAGES * NATIVE_PAGE - SPAN);
}

static void spans_get(uint8_t *to)
{
    memcpy(to, span(0), SPAN);
    memcpy(to + SPAN, span(1), SPAN);
}

static void spans_set(const uint8_t *from)
{
    memcpy(span(0), from, SPAN);
    memcpy(span(1), from + SPAN, SPAN);
}

static void some_memory(uint8_t *to)
{
    for (unsigned i = 0; i < SPANS; i += 32) {
        if (one_in(6)) {
            X86Fp r;

            some_f80(&r);
            memcpy(to + i, &r, 16);
            memcpy(to + i + 16, &r, 16);
        } else {
            some_bytes(to + i, 32);
        }
        if (one_in(8)) {
            for (unsigned k = 0; k < 10; k++) {
                to[i + k] = below(10) | below(10) << 4;     /* BCD */
            }
        }
    }
}

/* An address for an operand of `n` bytes. */
static uint64_t some_address(unsigned n, unsigned align)
{
    uint8_t *p;

    n = MAX(n, 1);
    if (one_in(16)) {
        p = span(1) + SPAN - below(n + 8);
    } else {
        p = span(below(2)) + below(SPAN - MIN(n, SPAN - 64) + 1);
    }
    return (uintptr_t)p & (one_in(12) ? ~UINT64_C(0)
                                      : -(uint64_t)MAX(align, 1));
}

/* Not to be compared: what the processor leaves open, or we do differently. */
static void forgive(const Insn *insn, const X86State *before, X86State *native,
                    X86State *ours, uint8_t *native_mem, uint8_t *our_mem)
{
    uint64_t at = before->gpr[insn->base];

    at = insn->ea & EA_A32 ? (uint32_t)at : at;
    if (insn->op == OP_FXSAVE_M && ours->rip != (uintptr_t)native_code) {
        /* Pointers, and which bits MXCSR has (AMD: one more). */
        for (unsigned i = 0; i < SPANS; i++) {
            uint64_t off = (uintptr_t)span(i / SPAN) + i % SPAN - at;

            if ((off >= 6 && off < 24) || (off >= 28 && off < 32)) {
                our_mem[i] = native_mem[i];
            }
        }
    }
}

#ifdef TCG_SOFT_UNITS
/* Apart by less than 2^-n of themselves. */
static bool near_f32(uint32_t a, uint32_t b, unsigned n)
{
    int32_t d = (int32_t)(a - b);

    if (!(a << 1)) {            /* zero, and the least that is none */
        return d >= 0 ? d <= 1 : -d <= 0x800000;
    }
    return a == b || ((a & 0x7f800000) != 0x7f800000
                      && ABS(d) <= 1 << (23 - n));
}

/* By a few units of the last place. */
static bool near_f80(const X86Fp *a, const X86Fp *b)
{
    __int128 x = (__int128)(a->exp_sign & 0x7fff) << 63;
    __int128 y = (__int128)(b->exp_sign & 0x7fff) << 63;

    x += a->mant & INT64_MAX;
    y += b->mant & INT64_MAX;
    return !((a->exp_sign ^ b->exp_sign) & 0x8000) && x - y <= 8 && y - x <= 8;
}

/*
 * Approximations, and x87's transcendental functions, which differ between
 * processors in the last place, in whether they say that they have rounded up,
 * and at the edge of underflow.  FYL2XP1 is left open but for small operands.
 */
static void forgive_soft(const Insn *insn, const X86State *before,
                         X86State *native, const X86State *ours)
{
    unsigned may = FSW_C1 | (before->fcw & MX_UE);
    unsigned top = before->fsw >> 11 & 7;

    switch (insn->op) {
    case OP_RCPPS_X_XM:
    case OP_RCPSS_X_XM:
    case OP_RSQRTPS_X_XM:
    case OP_RSQRTSS_X_XM:
    case OP_VRCPPS_X_XM:
    case OP_VRCPSS_X_X_XM:
    case OP_VRSQRTPS_X_XM:
    case OP_VRSQRTSS_X_X_XM:
        for (unsigned i = 0; i < 8; i++) {
            uint32_t *d = &native->vec[insn->reg].d[i];

            if (near_f32(*d, ours->vec[insn->reg].d[i], 10)) {
                *d = ours->vec[insn->reg].d[i];
            }
        }
        break;
    case OP_FYL2XP1:
        if ((before->fpr[top].exp_sign & 0x7fff) >= 0x3ffd) {
            native->fpr[(top + 1) & 7] = ours->fpr[(top + 1) & 7];
            native->fsw = ours->fsw;
            native->ftw = ours->ftw;
        }
        G_GNUC_FALLTHROUGH;
    case OP_F2XM1:
    case OP_FYL2X:
    case OP_FPTAN:
    case OP_FPATAN:
    case OP_FSIN:
    case OP_FCOS:
    case OP_FSINCOS:
        native->fsw = (native->fsw & ~may) | (ours->fsw & may);
        for (unsigned i = 0; i < 8; i++) {
            if (near_f80(&native->fpr[i], &ours->fpr[i])) {
                native->fpr[i] = ours->fpr[i];
            }
        }
        break;
    default:
        break;
    }
}
#endif

static bool is_gather(const Insn *insn)
{
    return insn->op >= OP_VPGATHERDD_X_M_X && insn->op <= OP_VGATHERQPD_X_M_X;
}

/* Where in the page CR2 points follows no rule for these. */
static bool is_masked_store(const Insn *insn)
{
    return (insn->op >= OP_VMASKMOVPS_X_X_M && insn->op <= OP_VMASKMOVPD_M_X_X)
           || insn->op == OP_VPMASKMOVD_M_X_X
           || insn->op == OP_VPMASKMOVQ_M_X_X
           || insn->op == OP_MASKMOVDQU_X_X || insn->op == OP_VMASKMOVDQU_X_X;
}

static unsigned n_failed, n_op_failed[N_OPS];

static void trial(const uint8_t *code, const Insn *insn)
{
    static X86State before, native, ours;
    static uint8_t mem[SPANS], native_mem[SPANS], our_mem[SPANS];
    const InsnInfo *info = insn_info(insn->op);
    g_autoptr(GString) diff = NULL;
    unsigned size = insn_mem_size(insn);
    unsigned align = info->align == AL_SIZE ? size : info->align;
    NativeResult nr;
    int vector;

    some_state(&before);
    some_memory(mem);
    if (is_gather(insn)) {
        before.gpr[insn->base] = some_address(size, align) - insn->disp;
        for (unsigned i = 0; i < 4; i++) {
            int32_t off = below(24) - 12, far = one_in(40) ? 1 << 20 : 0;

            before.vec[insn->index].q[i] =
                insn->op == OP_VPGATHERDD_X_M_X
                || insn->op == OP_VPGATHERDQ_X_M_X
                || insn->op == OP_VGATHERDPS_X_M_X
                || insn->op == OP_VGATHERDPD_X_M_X
                ? (uint32_t)off | (uint64_t)(below(24) + far) << 32
                : (uint64_t)(int64_t)(off - far);
        }
    }
    if (one_in(2)) {                            /* PCMPESTRI: lengths */
        before.gpr[R_RAX] = (int64_t)below(41) - 20;
        before.gpr[R_RDX] = (int64_t)below(41) - 20;
    }
    if (insn->flags & INSN_MEM && insn->base < N_GPR && !is_gather(insn)) {
        before.gpr[insn->base] = some_address(size, align);
    }
    if (insn->flags & INSN_MEM && insn->ea & EA_A32) {
        before.gpr[insn->base] |= rnd() << 32;
    }
    if (info->implicit) {                       /* MASKMOVDQU, MASKMOVQ */
        before.gpr[R_RDI] = some_address(16, 1);
    }
    bench_runs[insn->op]++;

    spans_set(mem);
    native = before;
    nr = native_run(&native, code, insn->len, 0);
    spans_get(native_mem);

    spans_set(mem);
    ours = before;
    bench_bounce = one_in(4);
    bench_map(one_in(2));
    vector = bench_run(&ours, insn);
    spans_get(our_mem);

    if (nr.vector != EXC_GP && vector == EXC_GP && insn->flags & INSN_MEM
        && insn->op >= OP_SHA1NEXTE_X_XM && insn->op <= OP_SHA256MSG2_X_XM) {
        return;         /* AMD: no alignment; SDM: exceptions of type 4 */
    }
    if (nr.vector < 0 && vector == EXC_GP && native.mxcsr & 1 << 17) {
        return;         /* AMD: misaligned-exception mask */
    }
    forgive(insn, &before, &native, &ours, native_mem, our_mem);
#ifdef TCG_SOFT_UNITS
    forgive_soft(insn, &before, &native, &ours);
#endif
    diff = g_string_new(NULL);
    if (vector != nr.vector) {
        g_string_append_printf(diff, "exception: native %d, ours %d\n",
                               nr.vector, vector);
    } else if (vector == EXC_PF && nr.cr2 != bench_env.exc_cr2
               && ((size <= 16 && !is_masked_store(insn))
                   || (nr.cr2 ^ bench_env.exc_cr2) >> 12)) {
        g_string_append_printf(diff, "CR2: native %" PRIx64 ", ours %" PRIx64
                               "\n", nr.cr2, bench_env.exc_cr2);
    }
    native_diff(&native, &ours, FL_ARITH | FL_DF, diff);
    for (unsigned i = 0; i < SPANS; i++) {
        if (native_mem[i] != our_mem[i]) {
            g_string_append_printf(diff, "memory %p: native %02x, ours %02x\n",
                                   span(i / SPAN) + i % SPAN, native_mem[i],
                                   our_mem[i]);
        }
    }
    if (diff->len) {
        n_failed++;
        if (n_op_failed[insn->op]++ < 2) {
            spans_set(mem);
            bench_fail(insn, code, &before, diff->str);
        }
    }
}

/* Try the encoding if it is one of ours; `n` trials.  False: not ours. */
static bool encoding(const uint8_t *code, unsigned len, unsigned n)
{
    Insn insn;

    if (insn_decode(&insn, code, len, bench_env.mode, NULL) != DECODE_OK
        || !bench_row(insn.op) || !bench_handler(&insn)
        || (insn.op >= OP_XSAVE_M && insn.op <= OP_XRSTORS_M)   /* state */
        || (only_op && !g_str_has_prefix(insn_op_name(insn.op), only_op))) {
        return false;
    }
    for (unsigned i = 0; i < n * bench_rounds; i++) {
        trial(code, &insn);
    }
    return true;
}

/* The `i`th ModRM: registers and memory in turn, and every reg. */
static uint8_t some_modrm(unsigned i)
{
    unsigned rm = below(8), reg = (i >> 1 & 7) << 3;

    return i & 1 ? reg | rm | 0xc0 : reg | (rm == 4 || rm == 5 ? 3 : rm);
}

/* Now and then GS (base 0 here, but handled as a segment) and address size. */
static uint8_t *some_prefixes(uint8_t *p)
{
    if (one_in(8)) {
        *p++ = 0x65;
    }
    if (one_in(8)) {
        *p++ = 0x67;
    }
    return p;
}

enum { ENCODINGS = 32, TRIALS = 6 };

static void test_legacy(void)
{
    static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };

    for (unsigned slot = 0; slot < 4 * 3 * 256; slot++) {
        unsigned pp = slot >> 8 & 3, map = slot >> 10;

        for (unsigned i = 0; i < ENCODINGS; i++) {
            uint8_t code[16], *p = some_prefixes(code);

            if (pp) {
                *p++ = prefix[pp];
            }
            if (one_in(2)) {
                *p++ = 0x40 | (rnd() & 15);
            }
            *p++ = 0x0f;
            if (map) {
                *p++ = map == 1 ? 0x38 : 0x3a;
            }
            *p++ = slot;
            *p++ = some_modrm(i);
            *p++ = rnd();
            encoding(code, p - code, TRIALS);
        }
    }
}

static void test_vex(void)
{
    if (!native_has_avx()) {
        g_test_skip("no AVX here");
        return;
    }
    for (unsigned slot = 0; slot < 4 * 4 * 3 * 256; slot++) {
        for (unsigned i = 0; i < ENCODINGS; i++) {
            uint8_t code[8], *p = some_prefixes(code);

            p[0] = 0xc4;
            p[1] = (rnd() & 0xe0) | (1 + (slot >> 12));
            p[2] = (slot >> 11 & 1) << 7 | below(16) << 3 | (slot >> 8 & 7);
            p[3] = slot;
            p[4] = some_modrm(i);
            p[5] = rnd();
            if (slot >> 12 == 1 && (slot & 0xfc) == 0x90) {     /* gathers */
                p[4] = (p[4] & 0x38) | 4;
                p[5] = below(4) << 6 | below(8) << 3 | 3;
            }
            if (!encoding(code, p - code + 6, TRIALS)) {
                p[2] |= 0x78;           /* perhaps it has no vvvv */
                encoding(code, p - code + 6, TRIALS);
            }
        }
    }
}

static void test_x87(void)
{
    for (unsigned slot = 0; slot < 8 * 256; slot++) {
        if ((slot & 0xc7) != 3 && (slot & 0xc0) != 0xc0) {
            continue;
        }
        for (unsigned i = 0; i < 16; i++) {
            uint8_t code[4], *p = some_prefixes(code);

            *p++ = 0xd8 + (slot >> 8);
            *p++ = slot;
            encoding(code, p - code, 25);
        }
    }
    encoding((const uint8_t[]) { 0x9b }, 1, 400);
}

/* Every handler has been run. */
static void test_coverage(void)
{
    for (unsigned op = 0; op < N_OPS; op++) {
        if (n_op_failed[op]) {
            g_print("# %s: %u of %u failed\n", insn_op_name(op),
                    n_op_failed[op], bench_runs[op]);
        }
    }
    if (only_op) {
        return;
    }
    for (unsigned op = 0; op < N_OPS; op++) {
        if (bench_row(op) && !bench_runs[op]
            && (op < OP_XSAVE_M || op > OP_XRSTORS_M)) {
            g_print("# never run: %s\n", insn_op_name(op));
            g_test_fail();
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!bench_init()) {
        return g_test_run();
    }
    only_op = g_getenv("RHEA_TEST_OP");
    g_test_add_func("/fpu/x87", test_x87);
    g_test_add_func("/fpu/legacy", test_legacy);
    g_test_add_func("/fpu/vex", test_vex);
    g_test_add_func("/fpu/coverage", test_coverage);
    return g_test_run();
}
