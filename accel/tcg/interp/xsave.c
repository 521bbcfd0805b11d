/*
 * FXSAVE and XSAVE: the whole x87 and vector state in memory; MXCSR.
 *
 * Spec:   Intel SDM volume 1, 10.5 (FXSAVE) and 13 (XSAVE); volume 2.
 * Models: components x87, SSE, AVX and PKRU, standard and compacted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/x87.h"

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

/* --- the legacy area --------------------------------------------------------- */

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

/* --- FXSAVE, FXRSTOR --------------------------------------------------------- */

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

/* --- LDMXCSR, STMXCSR --------------------------------------------------------- */

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
    ROW(FXSAVE_M, FXSAVE_M)
    ROW(FXRSTOR_M, FXRSTOR_M)
    ROW(LDMXCSR_M, LDMXCSR_M)
    ROW(VLDMXCSR_M, VLDMXCSR_M)
    ROW(STMXCSR_M, STMXCSR_M)
    ROW(VSTMXCSR_M, VSTMXCSR_M)
    {}
};
