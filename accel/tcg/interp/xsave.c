/*
 * FXSAVE and XSAVE: the whole x87 and vector state in memory; MXCSR.
 *
 * Spec:   Intel SDM volume 1, 10.5 (FXSAVE) and 13 (XSAVE); volume 2.
 * Models: components x87, SSE, AVX, AVX-512 (for guests of KVM) and PKRU,
 *         standard and compacted.  A component is in use exactly when it is not in its initial state; the
 *         modified optimisation, which is optional, is never applied.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/x87.h"

#include "cpu/features.h"

/* The legacy area. */
enum { FX_BYTES = 512, FX_ST = 32, FX_XMM = 160, FX_MXCSR = 24,
       FX_USED_32 = FX_XMM + 8 * 16, FX_USED_64 = FX_XMM + 16 * 16 };

static bool long_mode(const Env *env)
{
    return (env->mode & DM_CODE_MASK) == DM_CODE64;
}

static unsigned n_xmm(const Env *env)
{
    return long_mode(env) ? 16 : 8;
}

/* --- the legacy area ------------------------------------------------------ */

/* `wide`: REX.W, 64-bit instruction and data pointers without selectors. */
static void pack_x87(Env *env, uint8_t *b, bool wide)
{
    X86State *s = &env->s;

    store_le16(b + 0, s->fcw);
    store_le16(b + 2, s->fsw);
    b[4] = s->ftw;
    b[5] = 0;
    store_le16(b + 6, s->fop);
    store_le64(b + 8, wide ? s->fip
                           : (uint32_t)s->fip | (uint64_t)s->fcs << 32);
    store_le64(b + 16, wide ? s->fdp
                            : (uint32_t)s->fdp | (uint64_t)s->fds << 32);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(b + FX_ST + 16 * i, x87_st(env, i), 10);
        memset(b + FX_ST + 16 * i + 10, 0, 6);
    }
}

static void unpack_x87(Env *env, const uint8_t *b, bool wide)
{
    X86State *s = &env->s;

    x87_set_fcw(env, load_le16(b));
    x87_set_fsw(env, load_le16(b + 2));
    s->ftw = b[4];
    s->fop = load_le16(b + 6) & 0x7ff;
    s->fip = load_le64(b + 8);
    s->fdp = load_le64(b + 16);
    if (!wide) {
        s->fcs = s->fip >> 32;
        s->fip = (uint32_t)s->fip;
        s->fds = s->fdp >> 32;
        s->fdp = (uint32_t)s->fdp;
    }
    for (unsigned i = 0; i < 8; i++) {
        memcpy(x87_st(env, i), b + FX_ST + 16 * i, 10);
    }
}

static void pack_mxcsr(const Env *env, uint8_t *b)
{
    store_le32(b + FX_MXCSR, env->s.mxcsr);
    store_le32(b + FX_MXCSR + 4, MX_VALID);
}

static void pack_xmm(const Env *env, uint8_t *b)
{
    for (unsigned i = 0; i < n_xmm(env); i++) {
        memcpy(b + FX_XMM + 16 * i, &env->s.vec[i], 16);
    }
}

static void unpack_xmm(Env *env, const uint8_t *b)
{
    for (unsigned i = 0; i < n_xmm(env); i++) {
        memcpy(&env->s.vec[i], b + FX_XMM + 16 * i, 16);
    }
}

static bool set_mxcsr(Env *env, uint32_t mxcsr)
{
    if (mxcsr & ~MX_VALID) {
        return exc_set(env, EXC_GP, true, 0);
    }
    env->s.mxcsr = mxcsr;
    return true;
}

/* --- FXSAVE, FXRSTOR ------------------------------------------------------ */

static bool fxsave(Env *env, const Insn *insn)
{
    uint8_t b[FX_USED_64];
    bool sse = env->s.cr4 & CR4_OSFXSR;
    unsigned n = !sse ? FX_MXCSR : long_mode(env) ? FX_USED_64 : FX_USED_32;
    uint64_t gva;

    if (!area_gva(env, insn, FX_BYTES, true, 16, &gva)
        || !mem_probe_write(env, gva, FX_BYTES)) {
        return false;
    }
    pack_x87(env, b, insn->size == 8);
    if (!sse) {
        return area_write(env, gva, b, n)
               && area_write(env, gva + FX_ST, b + FX_ST, 128);
    }
    pack_mxcsr(env, b);
    pack_xmm(env, b);
    return area_write(env, gva, b, n);
}

static bool fxrstor(Env *env, const Insn *insn)
{
    uint8_t b[FX_BYTES];
    uint64_t gva;

    if (!area_gva(env, insn, FX_BYTES, false, 16, &gva)
        || !area_read(env, gva, b, FX_BYTES)) {
        return false;
    }
    if (env->s.cr4 & CR4_OSFXSR) {
        if (!set_mxcsr(env, load_le32(b + FX_MXCSR))) {
            return false;
        }
        unpack_xmm(env, b);
    }
    unpack_x87(env, b, insn->size == 8);
    return true;
}

#define FX(NAME, fn)                                                        \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        if (env->s.cr0 & (CR0_EM | CR0_TS)) {                               \
            return insn_raise(env, insn, EXC_NM);                           \
        }                                                                   \
        if (!fn(env, insn)) {                                               \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
FX(FXSAVE_M, fxsave)
FX(FXRSTOR_M, fxrstor)

/* --- XSAVE ---------------------------------------------------------------- */

enum { XS_HEADER = 512, XS_EXTENDED = 576 };
#define XCOMP_COMPACT BIT64(63)

/* What comes after the header; offsets as src/cpu/cpuid.c tells them. */
static const struct {
    uint16_t bit, offset, bytes;
} xcomponents[] = {
    { 2, 576, 256 },            /* AVX: the upper halves */
    { 5, 1088, 64 },            /* AVX-512 */
    { 6, 1152, 512 },
    { 7, 1664, 1024 },
    { 9, 2688, 8 },             /* PKRU */
};
enum { XS_MAX_BYTES = 1024 };

static bool all_zero(const void *p, size_t n)
{
    const uint8_t *b = p;

    for (size_t i = 0; i < n; i++) {
        if (b[i]) {
            return false;
        }
    }
    return true;
}

/* How much of a component there is in this mode. */
static unsigned component_bytes(const Env *env, unsigned i)
{
    switch (xcomponents[i].bit) {
    case 2:
        return 16 * n_xmm(env);
    case 6:
        return 32 * n_xmm(env);
    case 7:
        return long_mode(env) ? 1024 : 0;
    default:
        return xcomponents[i].bytes;
    }
}

/* AVX-512 is kept as it is stored.  NULL: another component. */
static uint64_t *avx512_part(Env *env, unsigned bit)
{
    return bit == 5 ? env->s.opmask : bit == 6 ? env->s.zmm_hi256
           : bit == 7 ? env->s.hi16_zmm : NULL;
}

static void pack_component(Env *env, unsigned i, uint8_t *b)
{
    unsigned bit = xcomponents[i].bit;
    const uint64_t *avx512 = avx512_part(env, bit);

    if (avx512) {
        memcpy(b, avx512, component_bytes(env, i));
        return;
    }
    if (bit == 2) {
        memset(b, 0, 256);
        for (unsigned v = 0; v < n_xmm(env); v++) {
            memcpy(b + 16 * v, &env->s.vec[v].q[2], 16);
        }
    } else {
        store_le64(b, env->s.pkru);
    }
}

/* NULL: to the initial state. */
static void unpack_component(Env *env, unsigned i, const uint8_t *b)
{
    static const uint8_t init[XS_MAX_BYTES];
    unsigned bit = xcomponents[i].bit;
    uint64_t *avx512 = avx512_part(env, bit);

    b = b ? b : init;
    if (avx512) {
        memcpy(avx512, b, component_bytes(env, i));
        return;
    }
    if (bit == 2) {
        for (unsigned v = 0; v < n_xmm(env); v++) {
            memcpy(&env->s.vec[v].q[2], b + 16 * v, 16);
        }
    } else {
        tlb_new_pkru(env, load_le32(b));
    }
}

static bool x87_in_use(const Env *env)
{
    const X86State *s = &env->s;

    return s->fcw != FCW_DEFAULT || s->fsw || s->ftw || s->fop || s->fip
           || s->fdp || s->fcs || s->fds || !all_zero(s->fpr, sizeof(s->fpr));
}

/* XINUSE of SDM 1, 13.6: bit 1 is about the registers, not MXCSR. */
static uint64_t in_use(Env *env)
{
    uint64_t mask = x87_in_use(env) ? XCR0_X87 : 0;

    for (unsigned i = 0; i < n_xmm(env); i++) {
        mask |= env->s.vec[i].q[0] | env->s.vec[i].q[1] ? XCR0_SSE : 0;
        mask |= env->s.vec[i].q[2] | env->s.vec[i].q[3] ? XCR0_AVX : 0;
    }
    if (env->s.xcr0 & XCR0_AVX512) {
        mask |= all_zero(env->s.opmask, 64) ? 0 : XCR0_OPMASK;
        mask |= all_zero(env->s.zmm_hi256, 32 * n_xmm(env)) ? 0
                                                            : XCR0_ZMM_HI256;
        mask |= !long_mode(env) || all_zero(env->s.hi16_zmm, 1024)
                ? 0 : XCR0_HI16_ZMM;
    }
    return mask | (env->s.pkru ? XCR0_PKRU : 0);
}

uint64_t xsave_in_use(Env *env)
{
    return in_use(env) | (env->s.mxcsr != MX_DEFAULT ? XCR0_SSE : 0);
}

/* Where component `i` lies in the format of `xcomp`. */
static unsigned component_offset(unsigned i, uint64_t xcomp)
{
    unsigned at = XS_EXTENDED;

    if (!(xcomp & XCOMP_COMPACT)) {
        return xcomponents[i].offset;
    }
    for (unsigned k = 0; k < i; k++) {
        at += xcomp >> xcomponents[k].bit & 1 ? xcomponents[k].bytes : 0;
    }
    return at;
}

enum { XF_COMPACT = 1, XF_INIT_OPT = 2, XF_SUPERVISOR = 4 };

/* CR4, CR0, privilege; then the operand's address. */
static bool xsave_begin(Env *env, const Insn *insn, bool write, int flags,
                        uint64_t *gva, uint64_t *rfbm)
{
    uint64_t all = env->s.xcr0;

    if (!(env->s.cr4 & CR4_OSXSAVE)) {
        return exc_set(env, EXC_UD, false, 0);
    }
    if (env->s.cr0 & CR0_TS) {
        return exc_set(env, EXC_NM, false, 0);
    }
    if (flags & XF_SUPERVISOR) {
        if (env->cpl) {
            return exc_set(env, EXC_GP, true, 0);
        }
        all |= env->s.ia32_xss;
    }
    *rfbm = all & ((uint32_t)env->s.gpr[R_RAX] | env->s.gpr[R_RDX] << 32);
    return area_gva(env, insn, XS_EXTENDED, write, 64, gva);
}

static bool xsave(Env *env, const Insn *insn, int flags)
{
    uint8_t b[XS_EXTENDED], part[XS_MAX_BYTES];
    uint64_t gva, rfbm, save, xcomp = 0;
    bool mxcsr;

    if (!xsave_begin(env, insn, true, flags, &gva, &rfbm)
        || !mem_probe_write(env, gva, XS_EXTENDED)) {
        return false;
    }
    save = rfbm & in_use(env);
    if (flags & XF_COMPACT) {
        xcomp = XCOMP_COMPACT | rfbm;
        if (env->s.mxcsr != MX_DEFAULT) {
            save |= rfbm & XCR0_SSE;
        }
        store_le64(b + XS_HEADER, save);
        store_le64(b + XS_HEADER + 8, xcomp);
        mxcsr = save & XCR0_SSE;
    } else {
        uint64_t old;

        if (!area_read(env, gva + XS_HEADER, &old, 8)) {
            return false;
        }
        store_le64(b + XS_HEADER, (GUINT64_FROM_LE(old) & ~rfbm) | save);
        mxcsr = rfbm & (XCR0_SSE | XCR0_AVX);
    }
    if (!(flags & XF_INIT_OPT)) {
        save = rfbm;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
        if (save >> xcomponents[i].bit & 1
            && !mem_probe_write(env, gva + component_offset(i, xcomp),
                                xcomponents[i].bytes)) {
            return false;
        }
    }

    /* Nothing faults from here on. */
    if (save & XCR0_X87) {
        pack_x87(env, b, insn->size == 8);
        if (!area_write(env, gva, b, FX_MXCSR)
            || !area_write(env, gva + FX_ST, b + FX_ST, FX_XMM - FX_ST)) {
            return false;
        }
    }
    if (mxcsr) {
        pack_mxcsr(env, b);
        if (!area_write(env, gva + FX_MXCSR, b + FX_MXCSR, 8)) {
            return false;
        }
    }
    if (save & XCR0_SSE) {
        pack_xmm(env, b);
        if (!area_write(env, gva + FX_XMM, b + FX_XMM, 16 * n_xmm(env))) {
            return false;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
        if (save >> xcomponents[i].bit & 1) {
            pack_component(env, i, part);
            if (!area_write(env, gva + component_offset(i, xcomp), part,
                            component_bytes(env, i))) {
                return false;
            }
        }
    }
    return area_write(env, gva + XS_HEADER, b + XS_HEADER,
                      flags & XF_COMPACT ? 16 : 8);
}

/* The header's rules: SDM 1, 13.8 and 13.12. */
static bool header_ok(const Env *env, const uint8_t *h, int flags)
{
    uint64_t xstate = load_le64(h), xcomp = load_le64(h + 8);
    uint64_t all = env->s.xcr0;

    if (!(xcomp & XCOMP_COMPACT)) {
        return !(flags & XF_SUPERVISOR) && !(xstate & ~all)
               && all_zero(h + 8, 16);
    }
    if (flags & XF_SUPERVISOR) {
        all |= env->s.ia32_xss;
    }
    return cpu_has(env->cpu, FEAT_XSAVEC)
           && !(xcomp & ~XCOMP_COMPACT & ~all) && !(xstate & ~xcomp)
           && all_zero(h + 16, 48);
}

static bool xrstor(Env *env, const Insn *insn, int flags)
{
    uint8_t b[XS_EXTENDED], part[G_N_ELEMENTS(xcomponents)][XS_MAX_BYTES];
    uint64_t gva, rfbm, xstate, xcomp;
    uint32_t mxcsr = env->s.mxcsr;
    bool compact;

    if (!xsave_begin(env, insn, false, flags, &gva, &rfbm)
        || !area_read(env, gva, b, XS_EXTENDED)) {
        return false;
    }
    if (!header_ok(env, b + XS_HEADER, flags)) {
        return exc_set(env, EXC_GP, true, 0);
    }
    xstate = load_le64(b + XS_HEADER);
    xcomp = load_le64(b + XS_HEADER + 8);
    compact = xcomp & XCOMP_COMPACT;
    for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
        if ((rfbm & xstate) >> xcomponents[i].bit & 1
            && !area_read(env, gva + component_offset(i, xcomp), part[i],
                          xcomponents[i].bytes)) {
            return false;
        }
    }
    /* MXCSR goes with the XMM registers, but in the standard format it is
     * always loaded, for AVX too. */
    if (compact) {
        mxcsr = !(rfbm & XCR0_SSE) ? mxcsr
                : xstate & XCR0_SSE ? load_le32(b + FX_MXCSR) : MX_DEFAULT;
    } else if (rfbm & (XCR0_SSE | XCR0_AVX)) {
        mxcsr = load_le32(b + FX_MXCSR);
    }
    if (!set_mxcsr(env, mxcsr)) {
        return false;
    }

    if (rfbm & XCR0_X87) {
        if (xstate & XCR0_X87) {
            unpack_x87(env, b, insn->size == 8);
        } else {
            x87_init(env);
            memset(env->s.fpr, 0, sizeof(env->s.fpr));
        }
    }
    if (rfbm & XCR0_SSE) {
        if (!(xstate & XCR0_SSE)) {
            memset(b + FX_XMM, 0, 16 * 16);
        }
        unpack_xmm(env, b);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
        unsigned bit = xcomponents[i].bit;

        if (rfbm >> bit & 1) {
            unpack_component(env, i, xstate >> bit & 1 ? part[i] : NULL);
        }
    }
    return true;
}

#define XS(NAME, fn, flags)                                                 \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        if (!fn(env, insn, flags)) {                                        \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
XS(XSAVE_M, xsave, 0)
XS(XSAVEOPT_M, xsave, XF_INIT_OPT)
XS(XSAVEC_M, xsave, XF_COMPACT | XF_INIT_OPT)
XS(XSAVES_M, xsave, XF_COMPACT | XF_INIT_OPT | XF_SUPERVISOR)
XS(XRSTOR_M, xrstor, 0)
XS(XRSTORS_M, xrstor, XF_SUPERVISOR)

/* --- LDMXCSR, STMXCSR ----------------------------------------------------- */

TEMPLATE const Insn *ldmxcsr(Env *env, const Insn *insn, bool vex,
                             InsnFn *slow)
{
    const void *s;

    if (vex) {
        NEED_AVX(env, insn);
    } else {
        NEED_SSE(env, insn);
    }
    s = mem_rd(env, insn, 4, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    if (load(s, 32) & ~(uint64_t)MX_VALID) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.mxcsr = load(s, 32);
    NEXT(env, insn);
}
DEFINE_MEM(LDMXCSR_M, ldmxcsr, false)
DEFINE_MEM(VLDMXCSR_M, ldmxcsr, true)

TEMPLATE const Insn *stmxcsr(Env *env, const Insn *insn, bool vex,
                             InsnFn *slow)
{
    void *p;

    if (vex) {
        NEED_AVX(env, insn);
    } else {
        NEED_SSE(env, insn);
    }
    p = mem_wr(env, insn, 4, false, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, 32, env->s.mxcsr);
    stored(env, p, slow);
    NEXT(env, insn);
}
DEFINE_MEM(STMXCSR_M, stmxcsr, false)
DEFINE_MEM(VSTMXCSR_M, stmxcsr, true)

const HandlerRow fpu_xsave[] = {
    ROW(XSAVE_M, XSAVE_M)
    ROW(XSAVEOPT_M, XSAVEOPT_M)
    ROW(XSAVEC_M, XSAVEC_M)
    ROW(XSAVES_M, XSAVES_M)
    ROW(XRSTOR_M, XRSTOR_M)
    ROW(XRSTORS_M, XRSTORS_M)
    ROW(FXSAVE_M, FXSAVE_M)
    ROW(FXRSTOR_M, FXRSTOR_M)
    ROW(LDMXCSR_M, LDMXCSR_M)
    ROW(VLDMXCSR_M, VLDMXCSR_M)
    ROW(STMXCSR_M, STMXCSR_M)
    ROW(VSTMXCSR_M, VSTMXCSR_M)
    {}
};
