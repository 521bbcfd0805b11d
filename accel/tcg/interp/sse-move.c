/*
 * SSE moves between registers, memory and general registers.
 *
 * Spec:   Intel SDM volume 2.
 * Models: non-temporal stores are ordinary ones (a stronger order is allowed).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/interp/soft/soft.h"

#define D(env, insn) (&(env)->s.vec[(insn)->reg])
#define S(env, insn) (&(env)->s.vec[(insn)->rm])

/* --- whole registers ------------------------------------------------------ */

TEMPLATE void copy16(void *to, const void *from)
{
#if HOST_UNITS
    asm volatile("movdqu (%[s]), %%xmm0\n\tmovdqu %%xmm0, (%[d])"
                 : : [d] "r"(to), [s] "r"(from) : "xmm0", "memory");
#else
    memmove(to, from, 16);
#endif
}

TEMPLATE const Insn *load16(Env *env, const Insn *insn, bool aligned,
                            InsnFn *slow)
{
    const void *s;

    NEED_SSE(env, insn);
    s = xm_rd(env, insn, 16, aligned, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    copy16(D(env, insn), s);
    NEXT(env, insn);
}

TEMPLATE const Insn *store16(Env *env, const Insn *insn, bool aligned,
                             InsnFn *slow)
{
    void *p;

    NEED_SSE(env, insn);
    if (!(insn->flags & INSN_MEM)) {
        copy16(S(env, insn), D(env, insn));
        NEXT(env, insn);
    }
    p = mem_wr(env, insn, 16, aligned, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    copy16(p, D(env, insn));
    stored(env, p, slow);
    NEXT(env, insn);
}

DEFINE_MEM(load_aligned, load16, true)
DEFINE_MEM(load_unaligned, load16, false)
DEFINE_MEM(store_aligned, store16, true)
DEFINE_MEM(store_unaligned, store16, false)

/* --- parts: `bytes` are 4 or 8, moved from element `from` to element `to` - */

TEMPLATE uint64_t part(const X86Vec *v, unsigned bytes, unsigned i)
{
    return bytes == 4 ? v->d[i] : v->q[i];
}

TEMPLATE void set_part(X86Vec *v, unsigned bytes, unsigned i, uint64_t val)
{
    if (bytes == 4) {
        v->d[i] = val;
    } else {
        v->q[i] = val;
    }
}

/* Between registers; the rest of the destination stays. */
TEMPLATE const Insn *reg_part(Env *env, const Insn *insn, unsigned bytes,
                              unsigned to, unsigned from)
{
    NEED_SSE(env, insn);
    set_part(D(env, insn), bytes, to, part(S(env, insn), bytes, from));
    NEXT(env, insn);
}

/* The reverse: MOVSS_XM_X's register is its destination. */
TEMPLATE const Insn *reg_part_back(Env *env, const Insn *insn, unsigned bytes)
{
    NEED_SSE(env, insn);
    set_part(S(env, insn), bytes, 0, part(D(env, insn), bytes, 0));
    NEXT(env, insn);
}

TEMPLATE const Insn *load_part(Env *env, const Insn *insn, unsigned bytes,
                               unsigned to, bool zero, InsnFn *slow)
{
    const void *s;

    NEED_SSE(env, insn);
    s = mem_rd(env, insn, bytes, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    uint64_t val = load(s, bytes * 8);

    if (zero) {
        D(env, insn)->q[0] = val;
        D(env, insn)->q[1] = 0;
    } else {
        set_part(D(env, insn), bytes, to, val);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *store_part(Env *env, const Insn *insn, unsigned bytes,
                                unsigned from, InsnFn *slow)
{
    void *p;

    NEED_SSE(env, insn);
    p = mem_wr(env, insn, bytes, false, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bytes * 8, part(D(env, insn), bytes, from));
    stored(env, p, slow);
    NEXT(env, insn);
}

DEFINE_REG(movss_reg, reg_part, 4, 0, 0)
DEFINE_REG(movsd_reg, reg_part, 8, 0, 0)
DEFINE_REG(movhlps, reg_part, 8, 0, 1)
DEFINE_REG(movlhps, reg_part, 8, 1, 0)
DEFINE_REG(movss_reg_back, reg_part_back, 4)
DEFINE_REG(movsd_reg_back, reg_part_back, 8)
DEFINE_MEM(load4_zero, load_part, 4, 0, true)
DEFINE_MEM(load8_zero, load_part, 8, 0, true)
DEFINE_MEM(load_low, load_part, 8, 0, false)
DEFINE_MEM(load_high, load_part, 8, 1, false)
DEFINE_MEM(store4, store_part, 4, 0)
DEFINE_MEM(store8, store_part, 8, 0)
DEFINE_MEM(store_high, store_part, 8, 1)

/* MOVQ and MOVD clear the rest in every form. */
TEMPLATE const Insn *movq(Env *env, const Insn *insn, bool back)
{
    X86Vec *d = back ? S(env, insn) : D(env, insn);
    const X86Vec *s = back ? D(env, insn) : S(env, insn);

    NEED_SSE(env, insn);
    d->q[0] = s->q[0];
    d->q[1] = 0;
    NEXT(env, insn);
}
DEFINE_REG(movq_reg, movq, false)
DEFINE_REG(movq_reg_back, movq, true)

TEMPLATE const Insn *from_gpr(Env *env, const Insn *insn, unsigned bits)
{
    NEED_SSE(env, insn);
    D(env, insn)->q[0] = reg_get(env, insn->rm, bits);
    D(env, insn)->q[1] = 0;
    NEXT(env, insn);
}
DEFINE_REG(from_gpr_32, from_gpr, 32)
DEFINE_REG(from_gpr_64, from_gpr, 64)

TEMPLATE const Insn *to_gpr(Env *env, const Insn *insn, unsigned bits)
{
    NEED_SSE(env, insn);
    reg_set(env, insn->rm, bits, D(env, insn)->q[0]);
    NEXT(env, insn);
}
DEFINE_REG(to_gpr_32, to_gpr, 32)
DEFINE_REG(to_gpr_64, to_gpr, 64)

TEMPLATE const Insn *movddup_body(Env *env, const Insn *insn, InsnFn *slow)
{
    const void *s;

    NEED_SSE(env, insn);
    s = xm_rd(env, insn, 8, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    D(env, insn)->q[0] = D(env, insn)->q[1] = load(s, 64);
    NEXT(env, insn);
}
TWINS(movddup)

/* --- sign bits to a general register -------------------------------------- */

#if HOST_UNITS
#define SIGNS(r, s, mnem, size)                                             \
    asm("movdqa %1, %%xmm0\n\t" mnem " %%xmm0, %0"                          \
        : "=r"(r) : "m"(*(s)) : "xmm0")
#else
#define SIGNS(r, s, mnem, size) ((r) = soft_signs(s, 16, size))
#endif

#define MASK(name, mnem, size)                                              \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        uint32_t r;                                                         \
                                                                            \
        NEED_SSE(env, insn);                                                \
        SIGNS(r, S(env, insn), mnem, size);                                 \
        env->s.gpr[insn->reg] = r;                                          \
        NEXT(env, insn);                                                    \
    }
MASK(movmskps, "movmskps", 4)
MASK(movmskpd, "movmskpd", 8)
MASK(pmovmskb, "pmovmskb", 1)

const HandlerRow fpu_sse_move[] = {
    ROW(MOVUPS_X_XM, load_unaligned)
    ROW(MOVUPS_XM_X, store_unaligned)
    ROW(MOVUPD_X_XM, load_unaligned)
    ROW(MOVUPD_XM_X, store_unaligned)
    ROW(MOVDQU_X_XM, load_unaligned)
    ROW(MOVDQU_XM_X, store_unaligned)
    ROW(LDDQU_X_M, load_unaligned)
    ROW(MOVAPS_X_XM, load_aligned)
    ROW(MOVAPS_XM_X, store_aligned)
    ROW(MOVAPD_X_XM, load_aligned)
    ROW(MOVAPD_XM_X, store_aligned)
    ROW(MOVDQA_X_XM, load_aligned)
    ROW(MOVDQA_XM_X, store_aligned)
    ROW(MOVNTDQA_X_M, load_aligned)
    ROW(MOVNTPS_M_X, store_aligned)
    ROW(MOVNTPD_M_X, store_aligned)
    ROW(MOVNTDQ_M_X, store_aligned)
    { OP_MOVSS_X_XM, { movss_reg }, { load4_zero }, {} },
    { OP_MOVSS_XM_X, { movss_reg_back }, { store4 }, {} },
    { OP_MOVSD_X_XM, { movsd_reg }, { load8_zero }, {} },
    { OP_MOVSD_XM_X, { movsd_reg_back }, { store8 }, {} },
    { OP_MOVQ_X_XM, { movq_reg }, { load8_zero }, {} },
    { OP_MOVQ_XM_X, { movq_reg_back }, { store8 }, {} },
    { OP_MOVD_X_RM, WIDTHS(from_gpr_32, from_gpr_64),
      WIDTHS(load4_zero, load8_zero), {} },
    { OP_MOVD_RM_X, WIDTHS(to_gpr_32, to_gpr_64), WIDTHS(store4, store8),
      {} },
    ROW(MOVLPS_X_M, load_low)
    ROW(MOVLPS_M_X, store8)
    ROW(MOVLPD_X_M, load_low)
    ROW(MOVLPD_M_X, store8)
    ROW(MOVHPS_X_M, load_high)
    ROW(MOVHPS_M_X, store_high)
    ROW(MOVHPD_X_M, load_high)
    ROW(MOVHPD_M_X, store_high)
    ROW(MOVHLPS_X_X, movhlps)
    ROW(MOVLHPS_X_X, movlhps)
    ROW(MOVDDUP_X_XM, movddup)
    ROW(MOVMSKPS_R_X, movmskps)
    ROW(MOVMSKPD_R_X, movmskpd)
    ROW(PMOVMSKB_R_X, pmovmskb)
    {}
};
