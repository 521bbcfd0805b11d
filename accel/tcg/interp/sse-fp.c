/*
 * SSE and AVX floating point with an immediate, with flags, or with a general
 * register: CMP, ROUND, DP, COMI, conversions from and to integers.
 *
 * Spec:   Intel SDM volume 2.
 * Models: for each instruction the legacy form (bits above 127 stay) and the
 *         VEX form (they become zero).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/interp/soft/soft.h"

/* asm cannot take the immediate from a register: one statement for each. */
#define CASES_8(M, ...)                                             \
    M(0, __VA_ARGS__) M(1, __VA_ARGS__) M(2, __VA_ARGS__)           \
    M(3, __VA_ARGS__) M(4, __VA_ARGS__) M(5, __VA_ARGS__)           \
    M(6, __VA_ARGS__) M(7, __VA_ARGS__)
#define CASES_16(M, ...)                                            \
    CASES_8(M, __VA_ARGS__)                                         \
    M(8, __VA_ARGS__) M(9, __VA_ARGS__) M(10, __VA_ARGS__)          \
    M(11, __VA_ARGS__) M(12, __VA_ARGS__) M(13, __VA_ARGS__)        \
    M(14, __VA_ARGS__) M(15, __VA_ARGS__)
#define CASES_32(M, ...)                                            \
    CASES_16(M, __VA_ARGS__)                                        \
    M(16, __VA_ARGS__) M(17, __VA_ARGS__) M(18, __VA_ARGS__)        \
    M(19, __VA_ARGS__) M(20, __VA_ARGS__) M(21, __VA_ARGS__)        \
    M(22, __VA_ARGS__) M(23, __VA_ARGS__) M(24, __VA_ARGS__)        \
    M(25, __VA_ARGS__) M(26, __VA_ARGS__) M(27, __VA_ARGS__)        \
    M(28, __VA_ARGS__) M(29, __VA_ARGS__) M(30, __VA_ARGS__)        \
    M(31, __VA_ARGS__)

#if HOST_UNITS
#define FP_CASE(i, pre, mnem, post)                                         \
    case i:                                                                 \
        asm volatile(FP_ASM(pre, mnem(i), post)                             \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)             \
                     : [d] "r"(d), [a] "r"(a), [s] "r"(s)                   \
                     : "xmm0", "xmm1", "memory");                           \
        break;
#define RUN_IMM(vex, n, soft, bytes, pre, mnem, post, pick, cases)          \
    switch (pick) {                                                         \
    cases(FP_CASE, pre, mnem, post)                                         \
    }
#else
/* A scalar when no more than its bytes are read. */
#define RUN_IMM(vex, n, soft, bytes, pre, mnem, post, pick, cases)          \
    do {                                                                    \
        unsigned width = MAX(n, 16);                                        \
        X86Vec b = vec_of(s, n);                                            \
                                                                            \
        bad = !soft(&env->s.mxcsr, d, a, &b, pick, width, bytes,            \
                    (n) == (bytes) ? 1 : width / (bytes));                  \
        if (!bad && (vex) && width == 16) {                                 \
            vec_zero_upper(d);                                              \
        }                                                                   \
    } while (0)
#endif

/*
 * d = op(a, s, imm).  `n` bytes of s are read; `pick` is how the
 * immediate chooses among the statements of `cases`; without them `soft` does
 * it, on elements of `bytes`.
 */
#define FP_IMM(NAME, vex, two, n, soft, bytes, pre, mnem, post, pick, cases) \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        const X86Vec *a = vex && two ? &env->s.vec[insn_vvvv(insn)] : d;    \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        s = xm_rd(env, insn, n, !vex && n == 16, slow);                     \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_IMM(vex, n, soft, bytes, pre, mnem, post, pick, cases);         \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define PRE_4    "movdqa (%[a]), %%xmm0\n\tmovd (%[s]), %%xmm1\n\t"
#define PRE_8    "movdqa (%[a]), %%xmm0\n\tmovq (%[s]), %%xmm1\n\t"
#define PRE_16   "movdqa (%[a]), %%xmm0\n\tmovdqu (%[s]), %%xmm1\n\t"
#define PRE_32   "vmovdqa (%[a]), %%ymm0\n\tvmovdqu (%[s]), %%ymm1\n\t"
#define POST_16  "movdqa %%xmm0, (%[d])\n\t"
/* A VEX instruction on XMM0 has cleared the rest of YMM0. */
#define POST_VEX "vmovdqa %%ymm0, (%[d])\n\tvzeroupper\n\t"

/* --- comparison, rounding, dot product ------------------------------------ */

#define M_CMPPS(i)   "cmpps $" #i ", %%xmm1, %%xmm0"
#define M_CMPPD(i)   "cmppd $" #i ", %%xmm1, %%xmm0"
#define M_CMPSS(i)   "cmpss $" #i ", %%xmm1, %%xmm0"
#define M_CMPSD(i)   "cmpsd $" #i ", %%xmm1, %%xmm0"
#define M_VCMPPS(i)  "vcmpps $" #i ", %%xmm1, %%xmm0, %%xmm0"
#define M_VCMPPD(i)  "vcmppd $" #i ", %%xmm1, %%xmm0, %%xmm0"
#define M_VCMPSS(i)  "vcmpss $" #i ", %%xmm1, %%xmm0, %%xmm0"
#define M_VCMPSD(i)  "vcmpsd $" #i ", %%xmm1, %%xmm0, %%xmm0"
#define M_VCMPPS_256(i) "vcmpps $" #i ", %%ymm1, %%ymm0, %%ymm0"
#define M_VCMPPD_256(i) "vcmppd $" #i ", %%ymm1, %%ymm0, %%ymm0"
#define M_ROUNDPS(i) "roundps $" #i ", %%xmm1, %%xmm0"
#define M_ROUNDPD(i) "roundpd $" #i ", %%xmm1, %%xmm0"
#define M_ROUNDSS(i) "roundss $" #i ", %%xmm1, %%xmm0"
#define M_ROUNDSD(i) "roundsd $" #i ", %%xmm1, %%xmm0"
#define M_VROUNDPS(i) "vroundps $" #i ", %%xmm1, %%xmm0"
#define M_VROUNDPD(i) "vroundpd $" #i ", %%xmm1, %%xmm0"
#define M_VROUNDSS(i) "vroundss $" #i ", %%xmm1, %%xmm0, %%xmm0"
#define M_VROUNDSD(i) "vroundsd $" #i ", %%xmm1, %%xmm0, %%xmm0"
#define M_VROUNDPS_256(i) "vroundps $" #i ", %%ymm1, %%ymm0"
#define M_VROUNDPD_256(i) "vroundpd $" #i ", %%ymm1, %%ymm0"

#define IMM3 insn->imm & 7
#define IMM4 insn->imm & 15
#define IMM5 insn->imm & 31

FP_IMM(CMPPS, false, true, 16, soft_cmp, 4,
       PRE_16, M_CMPPS, POST_16, IMM3, CASES_8)
FP_IMM(CMPPD, false, true, 16, soft_cmp, 8,
       PRE_16, M_CMPPD, POST_16, IMM3, CASES_8)
FP_IMM(CMPSS, false, true, 4, soft_cmp, 4,
       PRE_4, M_CMPSS, POST_16, IMM3, CASES_8)
FP_IMM(CMPSD, false, true, 8, soft_cmp, 8,
       PRE_8, M_CMPSD, POST_16, IMM3, CASES_8)
FP_IMM(VCMPPS, true, true, 16, soft_cmp, 4,
       PRE_16, M_VCMPPS, POST_VEX, IMM5, CASES_32)
FP_IMM(VCMPPD, true, true, 16, soft_cmp, 8,
       PRE_16, M_VCMPPD, POST_VEX, IMM5, CASES_32)
FP_IMM(VCMPSS, true, true, 4, soft_cmp, 4,
       PRE_4, M_VCMPSS, POST_VEX, IMM5, CASES_32)
FP_IMM(VCMPSD, true, true, 8, soft_cmp, 8,
       PRE_8, M_VCMPSD, POST_VEX, IMM5, CASES_32)
FP_IMM(VCMPPS_256, true, true, 32, soft_cmp, 4,
       PRE_32, M_VCMPPS_256, POST_VEX, IMM5, CASES_32)
FP_IMM(VCMPPD_256, true, true, 32, soft_cmp, 8,
       PRE_32, M_VCMPPD_256, POST_VEX, IMM5, CASES_32)
FP_IMM(ROUNDPS, false, false, 16, soft_round, 4,
       PRE_16, M_ROUNDPS, POST_16, IMM4, CASES_16)
FP_IMM(ROUNDPD, false, false, 16, soft_round, 8,
       PRE_16, M_ROUNDPD, POST_16, IMM4, CASES_16)
FP_IMM(ROUNDSS, false, true, 4, soft_round, 4,
       PRE_4, M_ROUNDSS, POST_16, IMM4, CASES_16)
FP_IMM(ROUNDSD, false, true, 8, soft_round, 8,
       PRE_8, M_ROUNDSD, POST_16, IMM4, CASES_16)
FP_IMM(VROUNDPS, true, false, 16, soft_round, 4,
       PRE_16, M_VROUNDPS, POST_VEX, IMM4, CASES_16)
FP_IMM(VROUNDPD, true, false, 16, soft_round, 8,
       PRE_16, M_VROUNDPD, POST_VEX, IMM4, CASES_16)
FP_IMM(VROUNDSS, true, true, 4, soft_round, 4,
       PRE_4, M_VROUNDSS, POST_VEX, IMM4, CASES_16)
FP_IMM(VROUNDSD, true, true, 8, soft_round, 8,
       PRE_8, M_VROUNDSD, POST_VEX, IMM4, CASES_16)
FP_IMM(VROUNDPS_256, true, false, 32, soft_round, 4,
       PRE_32, M_VROUNDPS_256, POST_VEX, IMM4, CASES_16)
FP_IMM(VROUNDPD_256, true, false, 32, soft_round, 8,
       PRE_32, M_VROUNDPD_256, POST_VEX, IMM4, CASES_16)

#if HOST_UNITS
/*
 * DPPS, DPPD: the high half of the immediate chooses what is multiplied and has
 * a statement each, which sends the sum everywhere; the low half then chooses
 * where it stays.  The mask is in memory so that the asm can apply it.
 */
static const uint32_t dp_keep[16][4] __attribute__((aligned(16))) = {
#define B(i, n) ((i) >> (n) & 1 ? ~0u : 0)
#define K(i, x) [i] = { B(i, 0), B(i, 1), B(i, 2), B(i, 3) },
    CASES_16(K, 0)
#undef K
#undef B
};
static const uint64_t dp_keep_pd[4][2] __attribute__((aligned(16))) = {
    { 0, 0 }, { ~UINT64_C(0), 0 }, { 0, ~UINT64_C(0) },
    { ~UINT64_C(0), ~UINT64_C(0) },
};

#define DP_CASE(i, pre, mnem, post)                                         \
    case i:                                                                 \
        asm volatile(FP_ASM(pre, mnem(i), post)                             \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)             \
                     : [d] "r"(d), [a] "r"(a), [s] "r"(s), [k] "r"(keep)    \
                     : "xmm0", "xmm1", "memory");                           \
        break;
#define RUN_DP(vex, n, bytes, pre, mnem, post, table, pick, cases)          \
    do {                                                                    \
        const void *keep = table[insn->imm & (G_N_ELEMENTS(table) - 1)];    \
                                                                            \
        switch (pick) {                                                     \
        cases(DP_CASE, pre, mnem, post)                                     \
        }                                                                   \
    } while (0)
#else
#define RUN_DP(vex, n, bytes, pre, mnem, post, table, pick, cases)          \
    do {                                                                    \
        X86Vec b = vec_of(s, n);                                            \
                                                                            \
        bad = !soft_dp(&env->s.mxcsr, d, a, &b, insn->imm, n, bytes);       \
        if (!bad && (vex) && (n) == 16) {                                   \
            vec_zero_upper(d);                                              \
        }                                                                   \
    } while (0)
#endif

#define FP_DP(NAME, vex, n, bytes, pre, mnem, post, table, pick, cases)     \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        const X86Vec *a = vex ? &env->s.vec[insn_vvvv(insn)] : d;           \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        s = xm_rd(env, insn, n, !vex, slow);                                \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_DP(vex, n, bytes, pre, mnem, post, table, pick, cases);         \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define CASES_4(M, ...)                                             \
    M(0, __VA_ARGS__) M(1, __VA_ARGS__) M(2, __VA_ARGS__)           \
    M(3, __VA_ARGS__)
#define M_DPPS(i)  "dpps $(" #i " << 4 | 15), %%xmm1, %%xmm0"
#define M_DPPD(i)  "dppd $(" #i " << 4 | 3), %%xmm1, %%xmm0"
#define M_VDPPS(i) "vdpps $(" #i " << 4 | 15), %%xmm1, %%xmm0, %%xmm0"
#define M_VDPPD(i) "vdppd $(" #i " << 4 | 3), %%xmm1, %%xmm0, %%xmm0"
#define M_VDPPS_256(i) "vdpps $(" #i " << 4 | 15), %%ymm1, %%ymm0, %%ymm0"
#define DP_POST     "andps (%[k]), %%xmm0\n\t" POST_16
#define DP_POST_VEX "vandps (%[k]), %%xmm0, %%xmm0\n\t" POST_VEX
#define DP_POST_256 "vbroadcastf128 (%[k]), %%ymm1\n\t"             \
                    "vandps %%ymm1, %%ymm0, %%ymm0\n\t" POST_VEX
#define HIGH4 insn->imm >> 4 & 15
#define HIGH2 insn->imm >> 4 & 3

FP_DP(DPPS, false, 16, 4, PRE_16, M_DPPS, DP_POST, dp_keep, HIGH4, CASES_16)
FP_DP(DPPD, false, 16, 8, PRE_16, M_DPPD, DP_POST, dp_keep_pd, HIGH2, CASES_4)
FP_DP(VDPPS, true, 16, 4, PRE_16, M_VDPPS, DP_POST_VEX, dp_keep, HIGH4, CASES_16)
FP_DP(VDPPD, true, 16, 8, PRE_16, M_VDPPD, DP_POST_VEX, dp_keep_pd, HIGH2,
      CASES_4)
FP_DP(VDPPS_256, true, 32, 4, PRE_32, M_VDPPS_256, DP_POST_256, dp_keep, HIGH4,
      CASES_16)

/* --- comparison to flags -------------------------------------------------- */

/* ZF, PF and CF in their places. */
#if HOST_UNITS
#define RUN_COMI(mnem, n, signals)                                          \
    do {                                                                    \
        asm volatile(FP_ASM(PRE_##n, mnem " %%xmm1, %%xmm0", "lahf\n\t")    \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr), "+a"(fl)   \
                     : [a] "r"(&env->s.vec[insn->reg]), [s] "r"(s)          \
                     : "xmm0", "xmm1", "memory", "cc");                     \
        fl = fl >> 8 & (FL_ZF | FL_PF | FL_CF);                             \
    } while (0)
#else
#define RUN_COMI(mnem, n, signals)                                          \
    do {                                                                    \
        X86Vec b = vec_of(s, n);                                            \
                                                                            \
        bad = !soft_comi(&env->s.mxcsr, &fl, &env->s.vec[insn->reg], &b, n, \
                         signals);                                          \
    } while (0)
#endif

#define COMI(NAME, vex, mnem, n, signals)                                   \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned bad = 1, odd, fl = 0;                                      \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        s = xm_rd(env, insn, n, false, slow);                               \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_COMI(mnem, n, signals);                                         \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        cc_set(env, fl);                                                    \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

COMI(COMISS, false, "comiss", 4, true)
COMI(COMISD, false, "comisd", 8, true)
COMI(UCOMISS, false, "ucomiss", 4, false)
COMI(UCOMISD, false, "ucomisd", 8, false)
COMI(VCOMISS, true, "comiss", 4, true)
COMI(VCOMISD, true, "comisd", 8, true)
COMI(VUCOMISS, true, "ucomiss", 4, false)
COMI(VUCOMISD, true, "ucomisd", 8, false)

/* --- from and to general registers ---------------------------------------- */

#if HOST_UNITS
#define RUN_FROM_GPR(mnem, to, bits)                                        \
    asm volatile(FP_ASM("movdqa (%[a]), %%xmm0\n\t",                        \
                        mnem " (%[s]), %%xmm0", POST_16)                    \
                 : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)                 \
                 : [d] "r"(d), [a] "r"(a), [s] "r"(s) : "xmm0", "memory")
#define RUN_TO_GPR(mnem, n, q)                                              \
    asm volatile(FP_ASM(LD_##n, mnem " %%xmm1, %" q "[r]", "")              \
                 : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr), [r] "+r"(r)    \
                 : [s] "r"(s) : "xmm1")
#else
#define RUN_FROM_GPR(mnem, to, bits)                                        \
    (bad = !soft_from_gpr(&env->s.mxcsr, d, a, load(s, bits), to, (bits) / 8))
#define RUN_TO_GPR(mnem, n, q)                                              \
    (bad = !soft_to_gpr(&env->s.mxcsr, &r, load(s, (n) * 8),                \
                        *(q) == 'k' ? 4 : 8, n, (mnem)[3] == 't'))
#endif

/* To a float of `to` bytes. */
#define FROM_GPR(NAME, vex, mnem, to, bits)                                 \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        const X86Vec *a = vex ? &env->s.vec[insn_vvvv(insn)] : d;           \
        const void *s = &env->s.gpr[insn->rm];                              \
        unsigned bad = 1, odd;                                              \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        if (insn->flags & INSN_MEM) {                                       \
            s = mem_rd(env, insn, bits / 8, false, slow);                   \
            if (unlikely(!s)) {                                             \
                MISS(env, insn, slow);                                      \
            }                                                               \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_FROM_GPR(mnem, to, bits);                                       \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        if (vex) {                                                          \
            vec_zero_upper(d);                                              \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

FROM_GPR(CVTSI2SS_32, false, "cvtsi2ssl", 4, 32)
FROM_GPR(CVTSI2SS_64, false, "cvtsi2ssq", 4, 64)
FROM_GPR(CVTSI2SD_32, false, "cvtsi2sdl", 8, 32)
FROM_GPR(CVTSI2SD_64, false, "cvtsi2sdq", 8, 64)
FROM_GPR(VCVTSI2SS_32, true, "cvtsi2ssl", 4, 32)
FROM_GPR(VCVTSI2SS_64, true, "cvtsi2ssq", 4, 64)
FROM_GPR(VCVTSI2SD_32, true, "cvtsi2sdl", 8, 32)
FROM_GPR(VCVTSI2SD_64, true, "cvtsi2sdq", 8, 64)

/* `q`: "k" or "q", the width of the register operand. */
#define TO_GPR(NAME, vex, mnem, n, q)                                       \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
        uint64_t r = 0;                                                     \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        s = xm_rd(env, insn, n, false, slow);                               \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_TO_GPR(mnem, n, q);                                             \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        env->s.gpr[insn->reg] = r;                                          \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define TO_GPR_ALL(NAME, mnem, n)               \
    TO_GPR(NAME##_32, false, mnem, n, "k")      \
    TO_GPR(NAME##_64, false, mnem, n, "q")      \
    TO_GPR(V##NAME##_32, true, mnem, n, "k")    \
    TO_GPR(V##NAME##_64, true, mnem, n, "q")
TO_GPR_ALL(CVTSS2SI, "cvtss2si", 4)
TO_GPR_ALL(CVTSD2SI, "cvtsd2si", 8)
TO_GPR_ALL(CVTTSS2SI, "cvttss2si", 4)
TO_GPR_ALL(CVTTSD2SI, "cvttsd2si", 8)

#define ROW_GPR(op, name) \
    { OP_##op, WIDTHS(name##_32, name##_64), WIDTHS(name##_32, name##_64), {} },
#define ROW_VEC(op, name) \
    { OP_##op, VECS(name, name##_256), VECS(name, name##_256), {} },

const HandlerRow fpu_sse_fp[] = {
    ROW(CMPPS_X_XM_I, CMPPS)
    ROW(CMPPD_X_XM_I, CMPPD)
    ROW(CMPSS_X_XM_I, CMPSS)
    ROW(CMPSD_X_XM_I, CMPSD)
    ROW_VEC(VCMPPS_X_X_XM_I, VCMPPS)
    ROW_VEC(VCMPPD_X_X_XM_I, VCMPPD)
    ROW(VCMPSS_X_X_XM_I, VCMPSS)
    ROW(VCMPSD_X_X_XM_I, VCMPSD)
    ROW(ROUNDPS_X_XM_I, ROUNDPS)
    ROW(ROUNDPD_X_XM_I, ROUNDPD)
    ROW(ROUNDSS_X_XM_I, ROUNDSS)
    ROW(ROUNDSD_X_XM_I, ROUNDSD)
    ROW_VEC(VROUNDPS_X_XM_I, VROUNDPS)
    ROW_VEC(VROUNDPD_X_XM_I, VROUNDPD)
    ROW(VROUNDSS_X_X_XM_I, VROUNDSS)
    ROW(VROUNDSD_X_X_XM_I, VROUNDSD)
    ROW(DPPS_X_XM_I, DPPS)
    ROW(DPPD_X_XM_I, DPPD)
    ROW_VEC(VDPPS_X_X_XM_I, VDPPS)
    ROW(VDPPD_X_X_XM_I, VDPPD)
    ROW(COMISS_X_XM, COMISS)
    ROW(COMISD_X_XM, COMISD)
    ROW(UCOMISS_X_XM, UCOMISS)
    ROW(UCOMISD_X_XM, UCOMISD)
    ROW(VCOMISS_X_XM, VCOMISS)
    ROW(VCOMISD_X_XM, VCOMISD)
    ROW(VUCOMISS_X_XM, VUCOMISS)
    ROW(VUCOMISD_X_XM, VUCOMISD)
    ROW_GPR(CVTSI2SS_X_RM, CVTSI2SS)
    ROW_GPR(CVTSI2SD_X_RM, CVTSI2SD)
    ROW_GPR(VCVTSI2SS_X_X_RM, VCVTSI2SS)
    ROW_GPR(VCVTSI2SD_X_X_RM, VCVTSI2SD)
    ROW_GPR(CVTSS2SI_R_XM, CVTSS2SI)
    ROW_GPR(CVTSD2SI_R_XM, CVTSD2SI)
    ROW_GPR(CVTTSS2SI_R_XM, CVTTSS2SI)
    ROW_GPR(CVTTSD2SI_R_XM, CVTTSD2SI)
    ROW_GPR(VCVTSS2SI_R_XM, VCVTSS2SI)
    ROW_GPR(VCVTSD2SI_R_XM, VCVTSD2SI)
    ROW_GPR(VCVTTSS2SI_R_XM, VCVTTSS2SI)
    ROW_GPR(VCVTTSD2SI_R_XM, VCVTTSD2SI)
    {}
};
