/*
 * SSE to SSE4.2, AES and SHA: the instructions that are one host instruction on
 * registers.  Bits above 127 of the destination stay.
 *
 * Spec:   Intel SDM volume 2.
 * Models: the table is vec.def, and what AVX has not at the end of this file;
 *         moves are in sse-mov.c, shuffles in shuffle.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/interp/soft/soft.h"

enum { BYTES_2 = 2, BYTES_4 = 4, BYTES_8 = 8, BYTES_16 = 16,
       BYTES_V = 16, BYTES_H = 8, BYTES_Q = 4, BYTES_E = 2 };

#define LD_V LD_16
#define LD_H LD_8
#define LD_Q LD_4
#define LD_E LD_2

/* d = d op s; with exceptions; with XMM0. */
#if HOST_UNITS
#define RUN_INT(NAME, mnem, size)                                           \
    asm volatile("movdqa (%[d]), %%xmm0\n\t"                                \
                 LD_##size                                                  \
                 mnem " %%xmm1, %%xmm0\n\t"                                 \
                 "movdqa %%xmm0, (%[d])"                                    \
                 : : [d] "r"(d), [s] "r"(s) : "xmm0", "xmm1", "memory")
#define RUN_FP(NAME, mnem, size)                                            \
    asm volatile(FP_ASM("movdqa (%[d]), %%xmm0\n\t" LD_##size,              \
                        mnem " %%xmm1, %%xmm0",                             \
                        "movdqa %%xmm0, (%[d])\n\t")                        \
                 : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)                 \
                 : [d] "r"(d), [s] "r"(s) : "xmm0", "xmm1", "memory")
#define RUN_XMM0(NAME, mnem)                                                \
    asm volatile("movdqa (%[x]), %%xmm0\n\t"                                \
                 "movdqu (%[s]), %%xmm1\n\t"                                \
                 "movdqa (%[d]), %%xmm2\n\t"                                \
                 mnem " %%xmm0, %%xmm1, %%xmm2\n\t"                         \
                 "movdqa %%xmm2, (%[d])"                                    \
                 : : [d] "r"(d), [s] "r"(s), [x] "r"(&env->s.vec[0])        \
                 : "xmm0", "xmm1", "xmm2", "memory")
#else
#define RUN_INT(NAME, mnem, size)                                           \
    do {                                                                    \
        X86Vec b = vec_of(s, BYTES_##size);                                 \
                                                                            \
        soft_##NAME(d, d, &b, 16);                                          \
    } while (0)
#define RUN_FP(NAME, mnem, size)                                            \
    do {                                                                    \
        X86Vec b = vec_of(s, BYTES_##size);                                 \
                                                                            \
        bad = !soft_##NAME(&env->s.mxcsr, d, d, &b, 16);                    \
    } while (0)
#define RUN_XMM0(NAME, mnem)                                                \
    do {                                                                    \
        X86Vec b = vec_of(s, 16), x = env->s.vec[0];                        \
                                                                            \
        soft_##NAME(d, d, &b, &x, 16);                                      \
    } while (0)
#endif

#define SSE_INT(NAME, mnem, size)                                           \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        const void *s;                                                      \
                                                                            \
        NEED_SSE(env, insn);                                                \
        s = xm_rd(env, insn, BYTES_##size, BYTES_##size == 16, slow);       \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        RUN_INT(NAME, mnem, size);                                          \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define SSE_FP(NAME, mnem, size)                                            \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        NEED_SSE(env, insn);                                                \
        s = xm_rd(env, insn, BYTES_##size, BYTES_##size == 16, slow);       \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_FP(NAME, mnem, size);                                           \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define INT(NAME, mnem, size)   SSE_INT(NAME, mnem, size)
#define INT1(NAME, mnem, size)  SSE_INT(NAME, mnem, size)
#define INT_128(NAME, mnem)     SSE_INT(NAME, mnem, 16)
#define INT1_128(NAME, mnem)    SSE_INT(NAME, mnem, 16)
#define FP(NAME, mnem, size)    SSE_FP(NAME, mnem, size)
#define FP1(NAME, mnem, size)   SSE_FP(NAME, mnem, size)
#define FPN(NAME, mnem, size)   SSE_FP(NAME, mnem, size)
#include "accel/tcg/interp/vec.def"
#undef INT
#undef INT1
#undef INT_128
#undef INT1_128
#undef FP
#undef FP1
#undef FPN

/* --- without a counterpart in vec.def ------------------------------------- */

#define SSE_ONLY(X)                             \
    X(SHA1NEXTE, "sha1nexte")                   \
    X(SHA1MSG1, "sha1msg1")                     \
    X(SHA1MSG2, "sha1msg2")                     \
    X(SHA256MSG1, "sha256msg1")                 \
    X(SHA256MSG2, "sha256msg2")

#define X(NAME, mnem) SSE_INT(NAME, mnem, 16)
SSE_ONLY(X)
#undef X

/* XMM0 is a third operand. */
#define SSE_XMM0(X)                             \
    X(SHA256RNDS2, "sha256rnds2")               \
    X(BLENDVPS, "blendvps")                     \
    X(BLENDVPD, "blendvpd")                     \
    X(PBLENDVB, "pblendvb")

#define X(NAME, mnem)                                                       \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        const void *s;                                                      \
                                                                            \
        NEED_SSE(env, insn);                                                \
        s = xm_rd(env, insn, 16, true, slow);                               \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        RUN_XMM0(NAME, mnem);                                               \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
SSE_XMM0(X)
#undef X

const HandlerRow fpu_sse[] = {
#define INT(NAME, mnem, size)   ROW(NAME##_X_XM, NAME)
#define INT1(NAME, mnem, size)  ROW(NAME##_X_XM, NAME)
#define INT_128(NAME, mnem)     ROW(NAME##_X_XM, NAME)
#define INT1_128(NAME, mnem)    ROW(NAME##_X_XM, NAME)
#define FP(NAME, mnem, size)    ROW(NAME##_X_XM, NAME)
#define FP1(NAME, mnem, size)   ROW(NAME##_X_XM, NAME)
#define FPN(NAME, mnem, size)   ROW(NAME##_X_XM, NAME)
#include "accel/tcg/interp/vec.def"
#define X(NAME, mnem)           ROW(NAME##_X_XM, NAME)
    SSE_ONLY(X)
    SSE_XMM0(X)
#undef X
    {}
};
