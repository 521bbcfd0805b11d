/*
 * Every x87, MMX, SSE and AVX handler against the host.
 *
 * All encodings that decode to an operation of the FPU's tables are run with
 * random and special operands, natively and by the handler: registers, flags,
 * status, memory and faults must agree.  RHEA_TEST_ROUNDS multiplies the number
 * of trials, RHEA_TEST_SEED changes them, RHEA_TEST_OP runs one operation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/info.h"
#include "accel/tcg/interp/x87.h"
#include "cpu/features.h"
#include "native.h"

/* --- random values ----------------------------------------------------------- */

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned below(unsigned n)
{
    return (rnd() >> 33) % n;
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

static uint32_t some_f32(void)
{
    static const uint32_t special[] = {
        0, 0x3f800000, 0x3f800001, 0x00000001, 0x007fffff, 0x00800000,
        0x7f7fffff, 0x7f800000, 0x7fc00000, 0x7fa00000, 0x7f800001, 0x7fffffff,
        0x4effffff, 0x4f000000, 0x4f000001, 0x5effffff, 0x5f000000, 0x3f000000,
        0x3fc00000, 0x40200000, 0x4b000000, 0x33800000, 0x00400000, 0x1f800000,
        0x7effffff, 0x46ffffff, 0x477fe000, 0x38800000, 0x33000000, 0x477ff000,
    };
    uint32_t v = one_in(2) ? special[below(G_N_ELEMENTS(special))]
                 : one_in(2) ? (uint32_t)rnd()
                 : 0x3f800000 + ((uint32_t)rnd() & 0x07ffffff) - 0x02000000;

    return v ^ (uint32_t)(rnd() & 0x80000000);
}

static uint64_t some_f64(void)
{
    static const uint64_t special[] = {
        0, 0x3ff0000000000000, 0x3ff0000000000001, 1, 0x000fffffffffffff,
        0x0010000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
        0x7ff8000000000000, 0x7ff4000000000000, 0x7ff0000000000001,
        0x41dfffffffc00000, 0x41e0000000000000, 0x41dfffffffe00000,
        0x43e0000000000000, 0x43dfffffffffffff, 0x3fe0000000000000,
        0x3ff8000000000000, 0x4004000000000000, 0x4330000000000000,
        0x47efffffe0000000, 0x47effffff0000000, 0x380fffffffffffff,
        0x36a0000000000000, 0x3810000000000000, 0x3690000000000000,
    };
    uint64_t v = one_in(2) ? special[below(G_N_ELEMENTS(special))]
                 : one_in(2) ? rnd()
                 : 0x3ff0000000000000 + (rnd() & 0x07ffffffffffffff)
                   - 0x0200000000000000;

    return v ^ (rnd() & UINT64_C(1) << 63);
}

static void some_f80(X86Fp *r)
{
    static const X86Fp special[] = {
        { .mant = 0, .exp_sign = 0 },
        { .mant = 0x8000000000000000, .exp_sign = 0x3fff },     /* 1 */
        { .mant = 0x8000000000000001, .exp_sign = 0x3fff },
        { .mant = 0xc000000000000000, .exp_sign = 0x4000 },     /* 3 */
        { .mant = 1, .exp_sign = 0 },                           /* denormals */
        { .mant = 0x7fffffffffffffff, .exp_sign = 0 },
        { .mant = 0x8000000000000000, .exp_sign = 0 },
        { .mant = 0x8000000000000000, .exp_sign = 1 },
        { .mant = 0xffffffffffffffff, .exp_sign = 0x7ffe },
        { .mant = 0x8000000000000000, .exp_sign = 0x7fff },     /* infinity */
        { .mant = 0xc000000000000000, .exp_sign = 0x7fff },     /* NaNs */
        { .mant = 0xa000000000000000, .exp_sign = 0x7fff },
        { .mant = 0x8000000000000001, .exp_sign = 0x7fff },
        { .mant = 0x4000000000000000, .exp_sign = 0x7fff },     /* pseudo */
        { .mant = 0, .exp_sign = 0x7fff },
        { .mant = 0x4000000000000000, .exp_sign = 0x3fff },     /* unnormal */
        { .mant = 0x8000000000000000, .exp_sign = 0x3ffe },     /* .5 */
        { .mant = 0xc90fdaa22168c235, .exp_sign = 0x3fff },     /* pi / 2 */
        { .mant = 0x8000000000000000, .exp_sign = 0x403e },     /* 2^63 */
        { .mant = 0xffffffffffffffff, .exp_sign = 0x403d },
        { .mant = 0xde0b6b3a763ffff0, .exp_sign = 0x403a },     /* 10^18 - 1 */
        { .mant = 0xde0b6b3a76400000, .exp_sign = 0x403a },
        { .mant = 0xfffe000000000000, .exp_sign = 0x400d },     /* 32767 */
        { .mant = 0xffff000000000000, .exp_sign = 0x400d },     /* 32767.5 */
        { .mant = 0xffffffff00000000, .exp_sign = 0x401d },
        { .mant = 0xffffffffffffffff, .exp_sign = 0x407e },     /* > float */
        { .mant = 0x8000000000000000, .exp_sign = 0x3f81 },
        { .mant = 0x8000000000000000, .exp_sign = 0x3f69 },
        { .mant = 0xffffffffffffffff, .exp_sign = 0x43fe },     /* > double */
        { .mant = 0x8000000000000000, .exp_sign = 0x3bcd },
    };

    memset(r, 0, sizeof(*r));
    if (one_in(2)) {
        *r = special[below(G_N_ELEMENTS(special))];
    } else {
        r->mant = rnd() | UINT64_C(1) << 63;
        r->exp_sign = one_in(4) ? rnd() & 0x7fff
                      : 0x3fff - 70 + below(140);
    }
    r->exp_sign ^= rnd() & 0x8000;
}

/* `n` bytes (a multiple of 8) as operands may be. */
static void some_bytes(void *buf, unsigned n)
{
    uint8_t *b = buf;
    unsigned kind = below(5);

    for (unsigned i = 0; i < n; i += 8) {
        uint64_t v = kind == 0 ? rnd()
                     : kind == 1 ? some_f32() | (uint64_t)some_f32() << 32
                     : kind == 2 ? some_f64()
                     : kind == 3 ? rnd() & rnd() & UINT64_C(0x0f07030100010203)
                     : (rnd() & 1) ? 0 : ~UINT64_C(0);

        memcpy(b + i, &v, 8);
    }
}

/* --- the environment of a handler ------------------------------------------- */

static Env test_env;
static TlbEntry test_tlb[TLB_SIZE];
static bool use_bounce;

static bool mapped(uint64_t gva, unsigned n)
{
    uint64_t base = (uintptr_t)native_data;

    return gva - base <= NATIVE_DATA_PAGES * NATIVE_PAGE - n;
}

static bool page_fault(Env *env, uint64_t gva, unsigned n, bool write)
{
    uint64_t page = ALIGN_DOWN(gva + n - 1, NATIVE_PAGE);

    env->exc_cr2 = mapped(gva, 1) ? page : gva;
    return exc_set(env, EXC_PF, true, write ? 6 : 4);
}

const void *mem_read_slow(Env *env, uint64_t gva, unsigned size)
{
    if (!mapped(gva, size)) {
        page_fault(env, gva, size, false);
        return NULL;
    }
    if (!use_bounce) {
        return (const void *)gva;
    }
    return memcpy(env->bounce, (const void *)gva, size);
}

void *mem_write_slow(Env *env, uint64_t gva, unsigned size)
{
    if (!mapped(gva, size)) {
        page_fault(env, gva, size, true);
        return NULL;
    }
    if (!use_bounce) {
        return (void *)gva;
    }
    memset(env->bounce, 0xcc, sizeof(env->bounce));
    env->bounce_gva = gva;
    env->bounce_size = size;
    return env->bounce;
}

void *mem_rmw_slow(Env *env, uint64_t gva, unsigned size)
{
    void *p = mem_write_slow(env, gva, size);

    return p == env->bounce ? memcpy(p, (void *)gva, size) : p;
}

void mem_written_slow(Env *env)
{
    memcpy((void *)env->bounce_gva, env->bounce, env->bounce_size);
}

bool mem_probe_write(Env *env, uint64_t gva, unsigned len)
{
    return mapped(gva, len) || page_fault(env, gva, len, true);
}

/* Segments are flat here; FS and GS have a base of 0. */
const void *op_read_seg(Env *env, const Insn *insn, unsigned size)
{
    return mem_read_slow(env, insn_offset(env, insn), size);
}

void *op_write_seg(Env *env, const Insn *insn, unsigned size)
{
    return mem_write_slow(env, insn_offset(env, insn), size);
}

bool seg_linear(Env *env, unsigned seg, uint64_t off, unsigned size,
                bool write, uint64_t *gva)
{
    *gva = off;
    return true;
}

bool cpu_has_interrupt(X86Cpu *cpu)
{
    return false;
}

bool cpu_has(const X86Cpu *cpu, unsigned feature)
{
    return true;
}

void tlb_flush(Env *env, bool global)
{
}

static const HandlerRow *row_of[N_OPS];
static unsigned n_runs[N_OPS];

static void find_rows(void)
{
    for (unsigned i = 0; fpu_tables[i]; i++) {
        for (const HandlerRow *r = fpu_tables[i]; r->op; r++) {
            if (row_of[r->op]) {
                g_error("%s has two handlers", insn_op_name(r->op));
            }
            row_of[r->op] = r;
        }
    }
}

static InsnFn *handler(const Insn *insn)
{
    static const uint8_t column[33] = { [2] = 1, [4] = 2, [8] = 3, [32] = 1 };
    const HandlerRow *r = row_of[insn->op];
    InsnFn *const *fns = insn->flags & INSN_MEM ? r->mem : r->reg;
    InsnFn *fn = fns[column[insn->size]];

    return fn ? fn : fns[0];
}

static const Insn *stop(Env *env, const Insn *insn)
{
    env->s.rip = insn_rip(env, insn);
    return NULL;
}

static void map_data(bool on)
{
    for (unsigned i = 0; i < NATIVE_DATA_PAGES; i++) {
        uint64_t gva = (uintptr_t)native_data + i * NATIVE_PAGE;
        uint64_t tag = on ? -gva : -(gva ^ 2 * NATIVE_PAGE);

        test_tlb[(gva >> 12) & (TLB_SIZE - 1)] = (TlbEntry) {
            .nrpage = tag, .nwpage = tag,
        };
    }
}

static int run_handler(X86State *s, const Insn *decoded, unsigned off)
{
    Env *env = &test_env;
    Insn code[2] = { *decoded, { .fn = stop } };
    const Insn *at = code;

    code[0].fn = handler(decoded);
    code[0].off = off;
    code[1].off = off + decoded->len;
    if (!code[0].fn) {
        g_error("no handler for %s, size %u", insn_op_name(decoded->op),
                decoded->size);
    }
    env->s = *s;
    env->s.gpr[R_ZERO] = 0;
    env_set_rflags(env, s->rflags);
    env->rip_base = (uintptr_t)native_code;
    env->exc_vector = -1;
    while (at) {
        at = at->fn(env, at);
    }
    *s = env->s;
    s->rflags = env_get_rflags(env);
    return env->exc_vector;
}

static void env_setup(void)
{
    Env *env = &test_env;

    env->tlb = test_tlb;
    env->mode = DM_CODE64 | DM_SS32 | DM_FLAT | DM_CPL3;
    env->cpl = 3;
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        test_tlb[i].nrpage = test_tlb[i].nwpage = -(uint64_t)(i ^ 2) << 12;
    }
}

/* --- one trial ---------------------------------------------------------------- */

static const char *only_op;
static unsigned rounds = 1;

static void some_state(X86State *s)
{
    memset(s, 0, sizeof(*s));
    s->cr0 = CR0_PE | CR0_MP | CR0_NE | CR0_ET | CR0_PG;
    s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s->rflags = (rnd() & FL_ARITH) | 2;
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = one_in(2) ? rnd() : rnd() >> below(64);
        some_bytes(&s->vec[i], native_has_avx() ? 32 : 16);
    }
    s->mxcsr = (rnd() & (MX_FLAGS | MX_RC | MX_FZ | MX_DAZ)) | MX_MASKS;
    if (one_in(2)) {
        s->mxcsr &= ~(MX_RC | MX_FZ | MX_DAZ);
    }
    if (one_in(3)) {
        s->mxcsr &= ~(rnd() & MX_MASKS);
    }
    s->fcw = 0x40 | (rnd() & 0xf00) | FCW_MASKS;
    if (one_in(2)) {
        s->fcw = FCW_DEFAULT;
    }
    if (one_in(3)) {
        s->fcw &= ~(rnd() & FCW_MASKS);
    }
    s->fsw = rnd() & (FSW_CC | FSW_TOP);
    if (one_in(2)) {
        s->fsw |= rnd() & (one_in(8) ? FCW_MASKS | FSW_SF
                                     : s->fcw & FCW_MASKS);
    }
    if (s->fsw & ~s->fcw & FCW_MASKS) {
        s->fsw |= FSW_ES | FSW_B;
    }
    s->ftw = one_in(3) ? rnd() : one_in(2) ? 0xff : 0xff & ~(1 << below(8));
    if (one_in(3)) {
        s->ftw = ((1 << 4) - 1) << (s->fsw >> 11 & 7);  /* ST(0) to ST(3) */
        s->ftw |= 15 >> (8 - (s->fsw >> 11 & 7));
    }
    for (unsigned i = 0; i < 8; i++) {
        some_f80(&s->fpr[i]);
    }
}

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

static void fail(const Insn *insn, const uint8_t *code, const X86State *before,
                 const char *what)
{
    g_autoptr(GString) s = g_string_new(NULL);

    insn_print(insn, s);
    g_string_append_printf(s, "  [%s]\n  bytes", insn_op_name(insn->op));
    for (unsigned i = 0; i < insn->len; i++) {
        g_string_append_printf(s, " %02x", code[i]);
    }
    g_string_append_printf(s, "\n  before: mxcsr %04x fcw %04x fsw %04x ftw "
                           "%02x\n", before->mxcsr, before->fcw, before->fsw,
                           before->ftw);
    for (unsigned i = 0; i < 8; i++) {
        g_string_append_printf(s, "  fpr%u %04x.%016" PRIx64 "\n", i,
                               before->fpr[i].exp_sign, before->fpr[i].mant);
    }
    for (unsigned i = 0; i < 16; i++) {
        if (i == insn->reg || i == insn->rm || i == insn_vvvv(insn)) {
            g_string_append_printf(s, "  ymm%u", i);
            for (int q = 3; q >= 0; q--) {
                g_string_append_printf(s, " %016" PRIx64, before->vec[i].q[q]);
            }
            g_string_append_c(s, '\n');
        }
    }
    if (insn->flags & INSN_MEM) {
        uint64_t a = before->gpr[insn->base] + before->gpr[insn->index];

        g_string_append_printf(s, "  memory at %" PRIx64, a);
        for (unsigned i = 0; i < 32 && mapped(a, 32); i++) {
            g_string_append_printf(s, " %02x", ((uint8_t *)a)[i]);
        }
        g_string_append_c(s, '\n');
    }
    g_print("# %s\n%s\n", s->str, what);
    g_test_fail();
}

/* Not to be compared: what the processor leaves open, or we do differently. */
static void forgive(const Insn *insn, const X86State *before, X86State *native,
                    X86State *ours, uint8_t *native_mem, uint8_t *our_mem)
{
    uint64_t at = before->gpr[insn->base];

    if (insn->op == OP_MASKMOVQ_P_P && ours->rip == (uintptr_t)native_code) {
        /* AMD leaves x87 before it faults. */
        native->fsw = ours->fsw;
        native->ftw = ours->ftw;
    }
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

static bool is_gather(const Insn *insn)
{
    return insn->op >= OP_VPGATHERDD_X_M_X && insn->op <= OP_VGATHERQPD_X_M_X;
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
    if (info->implicit) {                       /* MASKMOVDQU, MASKMOVQ */
        before.gpr[R_RDI] = some_address(16, 1);
    }
    n_runs[insn->op]++;

    spans_set(mem);
    native = before;
    nr = native_run(&native, code, insn->len, 0);
    spans_get(native_mem);

    spans_set(mem);
    ours = before;
    use_bounce = one_in(4);
    map_data(one_in(2));
    vector = run_handler(&ours, insn, 0);
    spans_get(our_mem);

    if (nr.vector != EXC_GP && vector == EXC_GP && insn->flags & INSN_MEM
        && insn->op >= OP_SHA1NEXTE_X_XM && insn->op <= OP_SHA256MSG2_X_XM) {
        return;         /* AMD: no alignment; SDM: exceptions of type 4 */
    }
    if (nr.vector < 0 && vector == EXC_GP && native.mxcsr & 1 << 17) {
        return;         /* AMD: misaligned-exception mask */
    }
    forgive(insn, &before, &native, &ours, native_mem, our_mem);
    diff = g_string_new(NULL);
    if (vector != nr.vector) {
        g_string_append_printf(diff, "exception: native %d, ours %d\n",
                               nr.vector, vector);
    } else if (vector == EXC_PF && nr.cr2 != test_env.exc_cr2
               && (size <= 16 || (nr.cr2 ^ test_env.exc_cr2) >> 12)) {
        g_string_append_printf(diff, "CR2: native %" PRIx64 ", ours %" PRIx64
                               "\n", nr.cr2, test_env.exc_cr2);
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
            fail(insn, code, &before, diff->str);
        }
    }
}

/* Try the encoding if it is one of ours; `n` trials.  False: not ours. */
static bool encoding(const uint8_t *code, unsigned len, unsigned n)
{
    Insn insn;

    if (insn_decode(&insn, code, len, test_env.mode, NULL) != DECODE_OK
        || !row_of[insn.op] || !handler(&insn)
        || (insn.op >= OP_XSAVE_M && insn.op <= OP_XRSTORS_M)
        || (only_op && !g_str_has_prefix(insn_op_name(insn.op), only_op))) {
        return false;
    }
    for (unsigned i = 0; i < n * rounds; i++) {
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

enum { ENCODINGS = 32, TRIALS = 6 };

static void test_legacy(void)
{
    static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };

    for (unsigned slot = 0; slot < 4 * 3 * 256; slot++) {
        unsigned pp = slot >> 8 & 3, map = slot >> 10;

        for (unsigned i = 0; i < ENCODINGS; i++) {
            uint8_t code[16], *p = code;

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
            uint8_t code[8] = {
                0xc4, (rnd() & 0xe0) | (1 + (slot >> 12)),
                (slot >> 11 & 1) << 7 | below(16) << 3 | (slot >> 8 & 7),
                slot, some_modrm(i), rnd(),
            };

            if (slot >> 12 == 1 && (slot & 0xfc) == 0x90) {     /* gathers */
                code[4] = (code[4] & 0x38) | 4;
                code[5] = below(4) << 6 | below(8) << 3 | 3;
            }
            if (!encoding(code, 6, TRIALS)) {
                code[2] |= 0x78;        /* perhaps it has no vvvv */
                encoding(code, 6, TRIALS);
            }
        }
    }
}

static void test_x87(void)
{
    for (unsigned slot = 0; slot < 8 * 256; slot++) {
        uint8_t code[3] = { 0xd8 + (slot >> 8), slot };

        if ((slot & 0xc7) == 3 || (slot & 0xc0) == 0xc0) {
            encoding(code, 2, 400);
        }
    }
    encoding((const uint8_t[]) { 0x9b }, 1, 400);
}

/* --- XSAVE ----------------------------------------------------------------------- */

enum { XS_BYTES = 1024 };

/*
 * What an area says, whatever the optimisations: components that it does not
 * hold are in their initial state, and pointers are left out.
 */
static void canonical_area(uint8_t *b)
{
    static const uint8_t init[24] = { 0x7f, 0x03 };
    uint64_t bv = load_le64(b + 512), xcomp = load_le64(b + 520);
    bool compact = xcomp >> 63;

    memset(b + 5, 0, 19);
    memset(b + 28, 0, 4);
    for (unsigned i = 0; i < 8; i++) {
        memset(b + 32 + 16 * i + 10, 0, 6);
    }
    if (!(bv & XCR0_X87)) {
        memcpy(b, init, 24);
        memset(b + 32, 0, 128);
    }
    if (!(bv & XCR0_SSE)) {
        memset(b + 160, 0, 256);
    }
    if (compact && !(bv & XCR0_SSE)) {
        store_le32(b + 24, 0x1f80);
    }
    if (!(bv & XCR0_AVX) || (compact && !(xcomp & XCR0_AVX))) {
        memset(b + 576, 0, 256);
    }
    memset(b + 512, 0, 8);
}

static void init_components(X86State *s)
{
    if (one_in(3)) {
        s->fcw = FCW_DEFAULT;
        s->fsw = s->ftw = 0;
        memset(s->fpr, 0, sizeof(s->fpr));
    }
    for (unsigned i = 0, sse = one_in(3), avx = one_in(3); i < 16; i++) {
        memset(&s->vec[i].q[0], 0, sse ? 16 : 0);
        memset(&s->vec[i].q[2], 0, avx ? 16 : 0);
    }
    s->mxcsr = one_in(3) ? MX_DEFAULT : s->mxcsr;
}

static void xsave_trial(const uint8_t *code, unsigned len)
{
    static X86State before, native, ours;
    static uint8_t mem[XS_BYTES], native_mem[XS_BYTES], our_mem[XS_BYTES];
    uint8_t *area = native_data + (one_in(8) ? 16 : 0)
                    + below(2) * NATIVE_PAGE;
    g_autoptr(GString) diff = g_string_new(NULL);
    NativeResult nr;
    bool restore;
    Insn insn;
    int vector;

    g_assert_cmpint(insn_decode(&insn, code, len, test_env.mode, NULL), ==,
                    DECODE_OK);
    restore = insn.op == OP_XRSTOR_M;
    n_runs[insn.op]++;
    some_state(&before);
    init_components(&before);
    before.gpr[R_RAX] = rnd() & 7;
    before.gpr[R_RDX] = 0;
    before.gpr[R_RDI] = (uintptr_t)area;

    /* An area as XSAVE leaves them, then bent. */
    some_bytes(mem, XS_BYTES);
    memset(mem + 512, 0, 64);
    for (unsigned i = 0; i < 8; i++) {
        X86Fp r;

        some_f80(&r);
        memcpy(mem + 32 + 16 * i, &r, 16);
    }
    store_le16(mem, (rnd() & 0xf3f) | 0x40);
    store_le16(mem + 2, rnd() & 0x7fff);
    store_le32(mem + 24, rnd() & 0xffff);
    store_le64(mem + 512, rnd() & 7);
    if (restore && one_in(2)) {
        store_le64(mem + 520, BIT64(63) | (rnd() & 7));
    }
    if (one_in(6)) {
        static const uint16_t at[] = { 26, 514, 516, 523, 530, 540, 575 };

        mem[at[below(G_N_ELEMENTS(at))]] |= 1 << (4 + below(4));
    }

    memcpy(area, mem, XS_BYTES);
    native = before;
    nr = native_run(&native, code, len, 0);
    memcpy(native_mem, area, XS_BYTES);

    memcpy(area, mem, XS_BYTES);
    ours = before;
    use_bounce = one_in(4);
    map_data(one_in(2));
    vector = run_handler(&ours, &insn, 0);
    memcpy(our_mem, area, XS_BYTES);
    if (nr.vector < 0 && vector == EXC_GP && native.mxcsr & 1 << 17) {
        return;
    }

    if (vector != nr.vector) {
        g_string_append_printf(diff, "exception: native %d, ours %d\n",
                               nr.vector, vector);
    }
    /* A component in its initial state: the host may see it otherwise. */
    native_diff(&native, &ours, FL_ARITH | FL_DF, diff);
    if (!restore && vector < 0) {
        canonical_area(native_mem);
        canonical_area(our_mem);
    }
    for (unsigned i = 0; i < XS_BYTES; i++) {
        if (native_mem[i] != our_mem[i]) {
            g_string_append_printf(diff, "area %u: native %02x, ours %02x\n",
                                   i, native_mem[i], our_mem[i]);
        }
    }
    if (diff->len && n_op_failed[insn.op]++ < 2) {
        memcpy(area, mem, XS_BYTES);
        g_print("# eax %x, XSTATE_BV %" PRIx64 ", XCOMP_BV %" PRIx64 "\n",
                (unsigned)before.gpr[R_RAX], load_le64(mem + 512),
                load_le64(mem + 520));
        fail(&insn, code, &before, diff->str);
    }
}

static void test_xsave(void)
{
    static const uint8_t codes[][4] = {
        { 0x48, 0x0f, 0xae, 0x27 },             /* xsave64 [rdi] */
        { 0x48, 0x0f, 0xae, 0x37 },             /* xsaveopt64 */
        { 0x48, 0x0f, 0xc7, 0x27 },             /* xsavec64 */
        { 0x48, 0x0f, 0xae, 0x2f },             /* xrstor64 */
    };

    if (!native_has_avx() || !__builtin_cpu_supports("avx2")) {
        g_test_skip("no XSAVE here");
        return;
    }
    for (unsigned i = 0; i < 2000 * rounds; i++) {
        xsave_trial(codes[i % G_N_ELEMENTS(codes)], 4);
    }
}

/* XSAVES and XRSTORS are privileged: against each other, and their checks. */
static void test_xsaves(void)
{
    static const uint8_t save[] = { 0x48, 0x0f, 0xc7, 0x2f },
                         restore[] = { 0x48, 0x0f, 0xc7, 0x1f };
    static X86State before, after;
    Insn xsaves, xrstors;

    insn_decode(&xsaves, save, 4, test_env.mode, NULL);
    insn_decode(&xrstors, restore, 4, test_env.mode, NULL);
    g_assert_cmpuint(xsaves.op, ==, OP_XSAVES_M);
    g_assert_cmpuint(xrstors.op, ==, OP_XRSTORS_M);
    n_runs[OP_XSAVES_M]++;
    n_runs[OP_XRSTORS_M]++;
    map_data(true);
    for (unsigned i = 0; i < 200; i++) {
        g_autoptr(GString) diff = g_string_new(NULL);

        some_state(&before);
        init_components(&before);
        before.rip = (uintptr_t)native_code + 4;
        before.pkru = one_in(2) ? 0 : 0x55;
        before.xcr0 |= XCR0_PKRU;
        before.gpr[R_RAX] = before.xcr0;
        before.gpr[R_RDX] = 0;
        before.gpr[R_RDI] = (uintptr_t)native_data;
        memset(native_data, 0xa5, XS_BYTES);

        after = before;
        test_env.cpl = 3;
        g_assert_cmpint(run_handler(&after, &xsaves, 0), ==, EXC_GP);
        test_env.cpl = 0;
        after = before;
        g_assert_cmpint(run_handler(&after, &xsaves, 0), ==, -1);
        g_assert_cmphex(load_le64(native_data + 520), ==,
                        BIT64(63) | before.xcr0);

        some_state(&after);
        memset(native_data + 528, 0, 48);
        memcpy(after.gpr, before.gpr, sizeof(after.gpr));
        after.xcr0 = before.xcr0;
        after.rflags = before.rflags;
        g_assert_cmpint(run_handler(&after, &xrstors, 0), ==, -1);
        native_diff(&before, &after, FL_ARITH, diff);
        g_assert_cmpstr(diff->str, ==, "");
        g_assert_cmphex(after.pkru, ==, before.pkru);

        native_data[527] = 0;                   /* not compacted */
        g_assert_cmpint(run_handler(&after, &xrstors, 0), ==, EXC_GP);
        test_env.cpl = 3;
    }
}

/* Every handler has been run. */
static void test_coverage(void)
{
    for (unsigned op = 0; op < N_OPS; op++) {
        if (n_op_failed[op]) {
            g_print("# %s: %u of %u failed\n", insn_op_name(op),
                    n_op_failed[op], n_runs[op]);
        }
    }
    if (only_op) {
        return;
    }
    for (unsigned op = 0; op < N_OPS; op++) {
        if (row_of[op] && !n_runs[op]) {
            g_print("# never run: %s\n", insn_op_name(op));
            g_test_fail();
        }
    }
}

int main(int argc, char **argv)
{
    const char *env;

    g_test_init(&argc, &argv, NULL);
    if (!native_init()) {
        g_test_skip("cannot run code natively here");
        return g_test_run();
    }
    only_op = g_getenv("RHEA_TEST_OP");
    env = g_getenv("RHEA_TEST_ROUNDS");
    rounds = env ? MAX(atoi(env), 1) : 1;
    env = g_getenv("RHEA_TEST_SEED");
    if (env) {
        rng ^= strtoull(env, NULL, 0) * 0x9e3779b9;
    }
    find_rows();
    env_setup();
    g_test_add_func("/fpu/x87", test_x87);
    g_test_add_func("/fpu/legacy", test_legacy);
    g_test_add_func("/fpu/vex", test_vex);
    g_test_add_func("/fpu/xsave", test_xsave);
    g_test_add_func("/fpu/xsaves", test_xsaves);
    g_test_add_func("/fpu/coverage", test_coverage);
    return g_test_run();
}
