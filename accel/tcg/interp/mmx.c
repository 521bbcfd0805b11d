/*
 * MMX, and what SSE and SSSE3 added on its registers.
 *
 * The host's MMX unit does the work, and EMMS gives it back at once; where
 * there is none, soft/ does, as if on the low half of a vector.
 *
 * Spec:   Intel SDM volume 1, chapter 9; volume 2.
 * Models: an MMX instruction makes TOP 0 and all tags valid; a register written
 *         has ones above bit 63.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/soft.h"
#include "accel/tcg/interp/x87.h"

/* From x87 to MMX. */
static inline void mmx_enter(Env *env)
{
    env->s.fsw &= ~FSW_TOP;
    env->s.ftw = 0xff;
}

static inline uint64_t mmx_get(const Env *env, unsigned i)
{
    return env->s.fpr[i & 7].mant;
}

static inline void mmx_set(Env *env, unsigned i, uint64_t val)
{
    env->s.fpr[i & 7].mant = val;
    env->s.fpr[i & 7].exp_sign = 0xffff;
}

/* The PM operand: a register, or `n` bytes of memory. */
TEMPLATE const void *pm_rd(Env *env, const Insn *insn, unsigned n,
                           InsnFn *slow)
{
    return insn->flags & INSN_MEM ? mem_rd(env, insn, n, false, slow)
                                  : &env->s.fpr[insn->rm & 7];
}

/* --- one host instruction ------------------------------------------------- */

#define BINARY(X)                                                           \
    X(PUNPCKLBW, "punpcklbw", 4) X(PUNPCKLWD, "punpcklwd", 4)               \
    X(PUNPCKLDQ, "punpckldq", 4) X(PUNPCKHBW, "punpckhbw", 8)               \
    X(PUNPCKHWD, "punpckhwd", 8) X(PUNPCKHDQ, "punpckhdq", 8)               \
    X(PACKSSWB, "packsswb", 8) X(PACKSSDW, "packssdw", 8)                   \
    X(PACKUSWB, "packuswb", 8)                                              \
    X(PCMPGTB, "pcmpgtb", 8) X(PCMPGTW, "pcmpgtw", 8)                       \
    X(PCMPGTD, "pcmpgtd", 8) X(PCMPEQB, "pcmpeqb", 8)                       \
    X(PCMPEQW, "pcmpeqw", 8) X(PCMPEQD, "pcmpeqd", 8)                       \
    X(PADDB, "paddb", 8) X(PADDW, "paddw", 8) X(PADDD, "paddd", 8)          \
    X(PADDQ, "paddq", 8) X(PADDSB, "paddsb", 8) X(PADDSW, "paddsw", 8)      \
    X(PADDUSB, "paddusb", 8) X(PADDUSW, "paddusw", 8)                       \
    X(PSUBB, "psubb", 8) X(PSUBW, "psubw", 8) X(PSUBD, "psubd", 8)          \
    X(PSUBQ, "psubq", 8) X(PSUBSB, "psubsb", 8) X(PSUBSW, "psubsw", 8)      \
    X(PSUBUSB, "psubusb", 8) X(PSUBUSW, "psubusw", 8)                       \
    X(PMULLW, "pmullw", 8) X(PMULHW, "pmulhw", 8)                           \
    X(PMULHUW, "pmulhuw", 8) X(PMULUDQ, "pmuludq", 8)                       \
    X(PMADDWD, "pmaddwd", 8) X(PSADBW, "psadbw", 8)                         \
    X(PAVGB, "pavgb", 8) X(PAVGW, "pavgw", 8)                               \
    X(PMINUB, "pminub", 8) X(PMINSW, "pminsw", 8)                           \
    X(PMAXUB, "pmaxub", 8) X(PMAXSW, "pmaxsw", 8)                           \
    X(PAND, "pand", 8) X(PANDN, "pandn", 8) X(POR, "por", 8)                \
    X(PXOR, "pxor", 8)                                                      \
    X(PSLLW, "psllw", 8) X(PSLLD, "pslld", 8) X(PSLLQ, "psllq", 8)          \
    X(PSRLW, "psrlw", 8) X(PSRLD, "psrld", 8) X(PSRLQ, "psrlq", 8)          \
    X(PSRAW, "psraw", 8) X(PSRAD, "psrad", 8)                               \
    X(PSHUFB, "pshufb", 8) X(PHADDW, "phaddw", 8) X(PHADDD, "phaddd", 8)    \
    X(PHADDSW, "phaddsw", 8) X(PHSUBW, "phsubw", 8)                         \
    X(PHSUBD, "phsubd", 8) X(PHSUBSW, "phsubsw", 8)                         \
    X(PMADDUBSW, "pmaddubsw", 8) X(PMULHRSW, "pmulhrsw", 8)                 \
    X(PSIGNB, "psignb", 8) X(PSIGNW, "psignw", 8) X(PSIGND, "psignd", 8)    \
    X(PABSB, "pabsb", 8) X(PABSW, "pabsw", 8) X(PABSD, "pabsd", 8)

#define LOAD_4 "movd (%1), %%mm1\n\t"
#define LOAD_8 "movq (%1), %%mm1\n\t"

#if HOST_UNITS
#define RUN_MMX(NAME, mnem, n)                                              \
    asm volatile(LOAD_##n "movq (%0), %%mm0\n\t" mnem " %%mm1, %%mm0\n\t"   \
                 "movq %%mm0, (%0)\n\temms"                                 \
                 : : "r"(d), "r"(s) : "mm0", "mm1", "memory")
#define RUN_SHIFT(NAME, mnem)                                               \
    asm volatile("movd %1, %%mm1\n\tmovq (%0), %%mm0\n\t"                   \
                 mnem " %%mm1, %%mm0\n\tmovq %%mm0, (%0)\n\temms"           \
                 : : "r"(d), "r"((uint32_t)(uint8_t)insn->imm)              \
                 : "mm0", "mm1", "memory")
#define RUN_FROM_MMX(NAME, mnem)                                            \
    do {                                                                    \
        asm volatile(FP_ASM("movdqa (%[d]), %%xmm0\n\tmovq (%[s]), %%mm1\n\t", \
                            mnem " %%mm1, %%xmm0",                          \
                            "movdqa %%xmm0, (%[d])\n\t")                    \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)             \
                     : [d] "r"(&env->s.vec[insn->reg]), [s] "r"(s)          \
                     : "xmm0", "mm1", "memory");                            \
        asm volatile("emms");                                               \
    } while (0)
#define RUN_TO_MMX(NAME, mnem, n)                                           \
    do {                                                                    \
        asm volatile(FP_ASM(LD_##n, mnem " %%xmm1, %%mm0",                  \
                            "movq %%mm0, (%[d])\n\t")                       \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)             \
                     : [d] "r"(d), [s] "r"(s)                               \
                     : "xmm1", "mm0", "memory");                            \
        asm volatile("emms");                                               \
    } while (0)
#else
#define SOFT_MMX(NAME, b)                                                   \
    do {                                                                    \
        X86Vec a_ = { .q = { d->mant } }, b_ = b;                           \
                                                                            \
        soft_##NAME(&a_, &a_, &b_, 8);                                      \
        d->mant = a_.q[0];                                                  \
    } while (0)
#define RUN_MMX(NAME, mnem, n) SOFT_MMX(NAME, vec_of(s, n))
#define RUN_SHIFT(NAME, mnem) \
    SOFT_MMX(NAME, ((X86Vec) { .q = { (uint8_t)insn->imm } }))
#define RUN_FROM_MMX(NAME, mnem)                                            \
    do {                                                                    \
        X86Vec b = vec_of(s, 8), *d = &env->s.vec[insn->reg];               \
                                                                            \
        bad = !soft_##NAME(&env->s.mxcsr, d, d, &b, 16);                    \
    } while (0)
#define RUN_TO_MMX(NAME, mnem, n)                                           \
    do {                                                                    \
        X86Vec b = vec_of(s, n), r = { 0 };                                 \
                                                                            \
        bad = !soft_##NAME(&env->s.mxcsr, &r, &r, &b, 8);                   \
        if (!bad) {                                                         \
            d->mant = r.q[0];                                               \
        }                                                                   \
    } while (0)
#endif

#define X(NAME, mnem, n)                                                    \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Fp *d = &env->s.fpr[insn->reg & 7];                              \
        const void *s;                                                      \
                                                                            \
        NEED_MMX(env, insn);                                                \
        s = pm_rd(env, insn, n, slow);                                      \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        RUN_MMX(NAME, mnem, n);                                             \
        d->exp_sign = 0xffff;                                               \
        mmx_enter(env);                                                     \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
BINARY(X)
#undef X

#define SHIFTS(X)                                                           \
    X(PSLLW, "psllw") X(PSLLD, "pslld") X(PSLLQ, "psllq")                   \
    X(PSRLW, "psrlw") X(PSRLD, "psrld") X(PSRLQ, "psrlq")                   \
    X(PSRAW, "psraw") X(PSRAD, "psrad")

#define X(NAME, mnem)                                                       \
    static const Insn *NAME##_I(Env *env, const Insn *insn)                 \
    {                                                                       \
        X86Fp *d = &env->s.fpr[insn->rm & 7];                               \
                                                                            \
        NEED_MMX(env, insn);                                                \
        RUN_SHIFT(NAME, mnem);                                              \
        d->exp_sign = 0xffff;                                               \
        mmx_enter(env);                                                     \
        NEXT(env, insn);                                                    \
    }
SHIFTS(X)
#undef X

/* --- conversions ---------------------------------------------------------- */

/* To vectors.  With a memory operand no MMX register is involved, and x87
 * stays as it is. */
#define FROM_MMX(X)                                                         \
    X(CVTPI2PS, "cvtpi2ps")                                                 \
    X(CVTPI2PD, "cvtpi2pd")

#define X(NAME, mnem)                                                       \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        NEED_SSE(env, insn);                                                \
        if (!(insn->flags & INSN_MEM)) {                                    \
            NEED_MMX(env, insn);                                            \
        }                                                                   \
        s = pm_rd(env, insn, 8, slow);                                      \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_FROM_MMX(NAME, mnem);                                           \
        fp_leave(odd);                                                      \
        if (!(insn->flags & INSN_MEM)) {                                    \
            mmx_enter(env);                                                 \
        }                                                                   \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
FROM_MMX(X)
#undef X

#define TO_MMX(X)                                                           \
    X(CVTPS2PI, "cvtps2pi", 8) X(CVTTPS2PI, "cvttps2pi", 8)                 \
    X(CVTPD2PI, "cvtpd2pi", 16) X(CVTTPD2PI, "cvttpd2pi", 16)

#define X(NAME, mnem, n)                                                    \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Fp *d = &env->s.fpr[insn->reg & 7];                              \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        NEED_SSE(env, insn);                                                \
        NEED_MMX(env, insn);                                                \
        s = xm_rd(env, insn, n, n == 16, slow);                             \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_TO_MMX(NAME, mnem, n);                                          \
        fp_leave(odd);                                                      \
        mmx_enter(env);                                                     \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        d->exp_sign = 0xffff;                                               \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
TO_MMX(X)
#undef X

/* --- moves ---------------------------------------------------------------- */

TEMPLATE const Insn *load_mmx(Env *env, const Insn *insn, unsigned bits,
                              InsnFn *slow)
{
    const void *s;

    NEED_MMX(env, insn);
    s = mem_rd(env, insn, bits / 8, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    mmx_set(env, insn->reg, load(s, bits));
    mmx_enter(env);
    NEXT(env, insn);
}
DEFINE_MEM(load_mmx_32, load_mmx, 32)
DEFINE_MEM(load_mmx_64, load_mmx, 64)

TEMPLATE const Insn *store_mmx(Env *env, const Insn *insn, unsigned bits,
                               InsnFn *slow)
{
    void *p;

    NEED_MMX(env, insn);
    p = mem_wr(env, insn, bits / 8, false, slow);
    if (unlikely(!p)) {
        if (!slow && !host_is_amd()) {
            env->s.fsw &= ~FSW_TOP;     /* Intel's: before the fault */
        }
        MISS(env, insn, slow);
    }
    store(p, bits, mmx_get(env, insn->reg));
    stored(env, p, slow);
    mmx_enter(env);
    NEXT(env, insn);
}
DEFINE_MEM(store_mmx_32, store_mmx, 32)
DEFINE_MEM(store_mmx_64, store_mmx, 64)

#define MOVE(name, what)                                                    \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        NEED_MMX(env, insn);                                                \
        what;                                                               \
        mmx_enter(env);                                                     \
        NEXT(env, insn);                                                    \
    }
MOVE(movq, mmx_set(env, insn->reg, mmx_get(env, insn->rm)))
MOVE(movq_back, mmx_set(env, insn->rm, mmx_get(env, insn->reg)))
MOVE(from_gpr_32, mmx_set(env, insn->reg, (uint32_t)env->s.gpr[insn->rm]))
MOVE(from_gpr_64, mmx_set(env, insn->reg, env->s.gpr[insn->rm]))
MOVE(to_gpr_32, reg_set(env, insn->rm, 32, mmx_get(env, insn->reg)))
MOVE(to_gpr_64, env->s.gpr[insn->rm] = mmx_get(env, insn->reg))

#define MOVE_SSE(name, what)                                                \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        NEED_SSE(env, insn);                                                \
        NEED_MMX(env, insn);                                                \
        what;                                                               \
        mmx_enter(env);                                                     \
        NEXT(env, insn);                                                    \
    }
MOVE_SSE(movdq2q, mmx_set(env, insn->reg, env->s.vec[insn->rm].q[0]))
MOVE_SSE(movq2dq, env->s.vec[insn->reg].q[0] = mmx_get(env, insn->rm);
                  env->s.vec[insn->reg].q[1] = 0)

static uint64_t sign_bits(uint64_t v)
{
    uint64_t r = 0;

    for (unsigned i = 0; i < 8; i++) {
        r |= (v >> (8 * i + 7) & 1) << i;
    }
    return r;
}
MOVE(pmovmskb, env->s.gpr[insn->reg] = sign_bits(mmx_get(env, insn->rm)))
MOVE(pextrw, env->s.gpr[insn->reg] =
                 (uint16_t)(mmx_get(env, insn->rm) >> (insn->imm & 3) * 16))

static uint64_t insert_word(uint64_t v, unsigned i, uint16_t w)
{
    return bits_set(v, i * 16, 16, w);
}
MOVE(pinsrw_reg, mmx_set(env, insn->reg,
                         insert_word(mmx_get(env, insn->reg), insn->imm & 3,
                                     env->s.gpr[insn->rm])))

TEMPLATE const Insn *pinsrw_mem_body(Env *env, const Insn *insn, InsnFn *slow)
{
    const void *s;

    NEED_MMX(env, insn);
    s = mem_rd(env, insn, 2, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    mmx_set(env, insn->reg, insert_word(mmx_get(env, insn->reg), insn->imm & 3,
                                        load(s, 16)));
    mmx_enter(env);
    NEXT(env, insn);
}
TWINS(pinsrw_mem)

/* --- shuffles ------------------------------------------------------------- */

static inline uint64_t do_pshufw(uint64_t d, uint64_t s, uint8_t imm)
{
    uint64_t r = 0;

    for (unsigned i = 0; i < 4; i++) {
        r |= (uint64_t)(uint16_t)(s >> (imm >> 2 * i & 3) * 16) << 16 * i;
    }
    return r;
}

static inline uint64_t do_palignr(uint64_t d, uint64_t s, uint8_t imm)
{
    unsigned n = imm * 8;

    return imm == 0 ? s : imm < 8 ? s >> n | d << (64 - n)
           : imm < 16 ? d >> (n - 64) : 0;
}

#define SHUFFLE(NAME, fn)                                                   \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
                                                                            \
        NEED_MMX(env, insn);                                                \
        s = pm_rd(env, insn, 8, slow);                                      \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        mmx_set(env, insn->reg, fn(mmx_get(env, insn->reg), load(s, 64),    \
                                   insn->imm));                             \
        mmx_enter(env);                                                     \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
SHUFFLE(PSHUFW, do_pshufw)
SHUFFLE(PALIGNR, do_palignr)

static const Insn *MASKMOVQ(Env *env, const Insn *insn)
{
    NEED_MMX(env, insn);
    mmx_enter(env);             /* even if it faults */
    if (!mask_store(env, insn, mmx_get(env, insn->reg), 0,
                    sign_bits(mmx_get(env, insn->rm)), 8)) {
        return insn_fault(env, insn);
    }
    NEXT(env, insn);
}

static const Insn *EMMS(Env *env, const Insn *insn)
{
    NEED_MMX(env, insn);
    env->s.ftw = 0;
    env->s.fsw &= ~FSW_TOP;
    NEXT(env, insn);
}

const HandlerRow fpu_mmx[] = {
#define X(NAME, ...) ROW(NAME##_P_PM, NAME)
    BINARY(X)
#undef X
#define X(NAME, ...) ROW(NAME##_P_I, NAME##_I)
    SHIFTS(X)
#undef X
#define X(NAME, ...) ROW(NAME##_X_PM, NAME)
    FROM_MMX(X)
#undef X
#define X(NAME, ...) ROW(NAME##_P_XM, NAME)
    TO_MMX(X)
#undef X
    { OP_MOVD_P_RM, WIDTHS(from_gpr_32, from_gpr_64),
      WIDTHS(load_mmx_32, load_mmx_64), {} },
    { OP_MOVD_RM_P, WIDTHS(to_gpr_32, to_gpr_64),
      WIDTHS(store_mmx_32, store_mmx_64), {} },
    { OP_MOVQ_P_PM, { movq }, { load_mmx_64 }, {} },
    { OP_MOVQ_PM_P, { movq_back }, { store_mmx_64 }, {} },
    { OP_PINSRW_P_RM_I, { pinsrw_reg }, { pinsrw_mem }, {} },
    ROW(MOVNTQ_M_P, store_mmx_64)
    ROW(MOVDQ2Q_P_X, movdq2q)
    ROW(MOVQ2DQ_X_P, movq2dq)
    ROW(PMOVMSKB_R_P, pmovmskb)
    ROW(PEXTRW_R_P_I, pextrw)
    ROW(PSHUFW_P_PM_I, PSHUFW)
    ROW(PALIGNR_P_PM_I, PALIGNR)
    ROW(MASKMOVQ_P_P, MASKMOVQ)
    ROW(EMMS, EMMS)
    {}
};
