/*
 * AVX, AVX2 and FMA: the instructions that are one host instruction on
 * registers.
 *
 * Reached only on hosts that have the instructions: features.c offers no others.
 *
 * Spec:   Intel SDM volume 2.
 * Models: bits above the operand size of a destination become zero.  Shared
 *         with SSE: vec.def; the others are listed here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/interp/soft/soft.h"

/*
 * Of a source size in vec.def and a width of 128 (X) or 256 (Y): how many bytes
 * are read, the statement that does it, and the register that then holds them.
 */
enum { X_BYTES_V = 16, X_BYTES_H = 8, X_BYTES_Q = 4, X_BYTES_E = 2,
       X_BYTES_16 = 16, X_BYTES_8 = 8, X_BYTES_4 = 4,
       X_BYTES_2 = 2, X_BYTES_1 = 1,
       Y_BYTES_V = 32, Y_BYTES_H = 16, Y_BYTES_Q = 8, Y_BYTES_E = 4,
       Y_BYTES_16 = 16, Y_BYTES_8 = 8, Y_BYTES_4 = 4,
       Y_BYTES_2 = 2, Y_BYTES_1 = 1 };

#define VLD_32  "vmovdqu (%[s]), %%ymm1\n\t"
#define VLD_16  "vmovdqu (%[s]), %%xmm1\n\t"
#define VLD_8   "vmovq (%[s]), %%xmm1\n\t"
#define VLD_4   "vmovd (%[s]), %%xmm1\n\t"
#define VLD_2   "vpxor %%xmm1, %%xmm1, %%xmm1\n\t"          \
                "vpinsrw $0, (%[s]), %%xmm1, %%xmm1\n\t"
#define VLD_1   "vpxor %%xmm1, %%xmm1, %%xmm1\n\t"          \
                "vpinsrb $0, (%[s]), %%xmm1, %%xmm1\n\t"
#define X_LD_V   VLD_16
#define X_LD_H   VLD_8
#define X_LD_Q   VLD_4
#define X_LD_E   VLD_2
#define X_LD_16  VLD_16
#define X_LD_8   VLD_8
#define X_LD_4   VLD_4
#define X_LD_2   VLD_2
#define X_LD_1   VLD_1
#define Y_LD_V   VLD_32
#define Y_LD_H   VLD_16
#define Y_LD_Q   VLD_8
#define Y_LD_E   VLD_4
#define Y_LD_16  VLD_16
#define Y_LD_8   VLD_8
#define Y_LD_4   VLD_4
#define Y_LD_2   VLD_2
#define Y_LD_1   VLD_1
#define X_S_V    "%%xmm1"
#define X_S_H    "%%xmm1"
#define X_S_Q    "%%xmm1"
#define X_S_E    "%%xmm1"
#define X_S_16   "%%xmm1"
#define X_S_8    "%%xmm1"
#define X_S_4    "%%xmm1"
#define X_S_2    "%%xmm1"
#define X_S_1    "%%xmm1"
#define Y_S_V    "%%ymm1"
#define Y_S_H    "%%xmm1"
#define Y_S_Q    "%%xmm1"
#define Y_S_E    "%%xmm1"
#define Y_S_16   "%%xmm1"
#define Y_S_8    "%%xmm1"
#define Y_S_4    "%%xmm1"
#define Y_S_2    "%%xmm1"
#define Y_S_1    "%%xmm1"
#define X_D      "%%xmm0"
#define Y_D      "%%ymm0"
#define X_A      "%%xmm2"
#define Y_A      "%%ymm2"

/* `first`: the first source, loaded into register 0 of width w. */
#define FIRST(w)        "vmovdqa (%[a]), " w##_D "\n\t"
#define TEXT2(w, mnem, size) "v" mnem " " w##_S_##size ", " w##_D ", " w##_D
#define TEXT1(w, mnem, size) "v" mnem " " w##_S_##size ", " w##_D
#define TEXTN(w, mnem, size) "v" mnem " " w##_S_##size ", %%xmm0"
/* The whole of YMM0: the instruction has cleared what it did not write. */
#define STORE           "vmovdqa %%ymm0, (%[d])\n\tvzeroupper\n\t"

#define OPERANDS(env, insn) \
    [d] "r"(&(env)->s.vec[(insn)->reg]), \
    [a] "r"(&(env)->s.vec[insn_vvvv(insn)]), [s] "r"(s)

/* d = a op s; with exceptions; with a mask; d, a and s multiplied and added. */
#if HOST_UNITS
#define RUN_INT(NAME, w, size, text)                                        \
    asm volatile(FIRST(w) w##_LD_##size text "\n\t" STORE                   \
                 : : OPERANDS(env, insn) : "xmm0", "xmm1", "memory")
#define RUN_FP(NAME, w, size, text)                                         \
    do {                                                                    \
        asm volatile(FP_ASM(FIRST(w) w##_LD_##size, text, STORE)            \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)             \
                     : OPERANDS(env, insn) : "xmm0", "xmm1", "memory");     \
        if (unlikely(bad)) {                                                \
            asm volatile("vzeroupper");                                     \
        }                                                                   \
    } while (0)
#define RUN_BLENDV(NAME, w, mnem)                                           \
    asm volatile(FIRST(w) w##_LD_V "vmovdqa (%[m]), " w##_A "\n\t"          \
                 mnem " " w##_A ", " w##_S_V ", " w##_D ", " w##_D          \
                 "\n\t" STORE                                               \
                 : : OPERANDS(env, insn),                                   \
                     [m] "r"(&env->s.vec[insn->imm & 15])                   \
                 : "xmm0", "xmm1", "xmm2", "memory")
/* The destination in register 0, vvvv in register 2. */
#define RUN_FMA(w, size, kind, order, bytes, count, mnem)                   \
    do {                                                                    \
        asm volatile(FP_ASM("vmovdqa (%[d]), " w##_D "\n\t"                 \
                            "vmovdqa (%[a]), " w##_A "\n\t" w##_LD_##size,  \
                            mnem " " w##_S_##size ", " w##_A ", " w##_D,    \
                            STORE)                                          \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr)             \
                     : OPERANDS(env, insn)                                  \
                     : "xmm0", "xmm1", "xmm2", "memory");                   \
        if (unlikely(bad)) {                                                \
            asm volatile("vzeroupper");                                     \
        }                                                                   \
    } while (0)
#else
enum { X_BYTES = 16, Y_BYTES = 32 };

#define SOFT_OPERANDS(w, size)                                              \
    X86Vec *d = &env->s.vec[insn->reg];                                     \
    X86Vec a = env->s.vec[insn_vvvv(insn)];                                 \
    X86Vec b = vec_of(s, w##_BYTES_##size)
#define SOFT_UPPER(w)                           \
    do {                                        \
        if (w##_BYTES == 16) {                  \
            vec_zero_upper(d);                  \
        }                                       \
    } while (0)
#define RUN_INT(NAME, w, size, text)                                        \
    do {                                                                    \
        SOFT_OPERANDS(w, size);                                             \
                                                                            \
        soft_##NAME(d, &a, &b, w##_BYTES);                                  \
        SOFT_UPPER(w);                                                      \
    } while (0)
#define RUN_FP(NAME, w, size, text)                                         \
    do {                                                                    \
        SOFT_OPERANDS(w, size);                                             \
                                                                            \
        bad = !soft_##NAME(&env->s.mxcsr, d, &a, &b, w##_BYTES);            \
        if (!bad) {                                                         \
            SOFT_UPPER(w);                                                  \
        }                                                                   \
    } while (0)
#define RUN_BLENDV(NAME, w, mnem)                                           \
    do {                                                                    \
        SOFT_OPERANDS(w, V);                                                \
        X86Vec mask = env->s.vec[insn->imm & 15];                           \
                                                                            \
        soft_##NAME(d, &a, &b, &mask, w##_BYTES);                           \
        SOFT_UPPER(w);                                                      \
    } while (0)
/* What multiplies what, by the digits of the name: 1 is the destination. */
#define SOFT_132 d, &b, &a
#define SOFT_213 &a, d, &b
#define SOFT_231 &a, &b, d
/* negate, minus for even, minus for odd elements */
#define SOFT_VFMADD    false, false, false
#define SOFT_VFMSUB    false, true, true
#define SOFT_VFNMADD   true, false, false
#define SOFT_VFNMSUB   true, true, true
#define SOFT_VFMADDSUB false, true, false
#define SOFT_VFMSUBADD false, false, true
#define RUN_FMA(w, size, kind, order, bytes, count, mnem)                   \
    do {                                                                    \
        SOFT_OPERANDS(w, size);                                             \
                                                                            \
        bad = !soft_fma(&env->s.mxcsr, d, SOFT_##order, w##_BYTES, bytes,   \
                        count, SOFT_##kind);                                \
        if (!bad) {                                                         \
            SOFT_UPPER(w);                                                  \
        }                                                                   \
    } while (0)
#endif

/* `op`: the instruction's name without V, `NAME` its handler. */
#define VEX_INT(NAME, op, w, size, text)                                    \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
                                                                            \
        NEED_AVX(env, insn);                                                \
        s = xm_rd(env, insn, w##_BYTES_##size, false, slow);                \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        RUN_INT(op, w, size, text);                                         \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define VEX_FP(NAME, op, w, size, text)                                     \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        NEED_AVX(env, insn);                                                \
        s = xm_rd(env, insn, w##_BYTES_##size, false, slow);                \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_FP(op, w, size, text);                                          \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

/* --- in common with SSE --------------------------------------------------- */

/* Both widths, or one for what has only one. */
#define WIDE_V(M)  M
#define WIDE_H(M)  M
#define WIDE_Q(M)  M
#define WIDE_E(M)  M
#define WIDE_16(M) M
#define WIDE_8(M)
#define WIDE_4(M)
#define EACH(DEFINE, NAME, mnem, size, text)                                \
    DEFINE(V##NAME, NAME, X, size, text(X, mnem, size))                     \
    WIDE_##size(DEFINE(V##NAME##_256, NAME, Y, size, text(Y, mnem, size)))

#define INT(NAME, mnem, size)   EACH(VEX_INT, NAME, mnem, size, TEXT2)
#define INT1(NAME, mnem, size)  EACH(VEX_INT, NAME, mnem, size, TEXT1)
#define INT_128(NAME, mnem)     VEX_INT(V##NAME, NAME, X, V, TEXT2(X, mnem, V))
#define INT1_128(NAME, mnem)    VEX_INT(V##NAME, NAME, X, V, TEXT1(X, mnem, V))
#define FP(NAME, mnem, size)    EACH(VEX_FP, NAME, mnem, size, TEXT2)
#define FP1(NAME, mnem, size)   EACH(VEX_FP, NAME, mnem, size, TEXT1)
#define FPN(NAME, mnem, size)   EACH(VEX_FP, NAME, mnem, size, TEXTN)
#include "accel/tcg/interp/vec.def"
#undef INT
#undef INT1
#undef INT_128
#undef INT1_128
#undef FP
#undef FP1
#undef FPN

/* --- AVX and AVX2 only ---------------------------------------------------- */

/* Two sources; X and Y, or Y only. */
#define ONLY2(X)                                \
    X(PERMILPS, "permilps", V)                  \
    X(PERMILPD, "permilpd", V)                  \
    X(PSLLVD, "psllvd", V)                      \
    X(PSLLVQ, "psllvq", V)                      \
    X(PSRLVD, "psrlvd", V)                      \
    X(PSRLVQ, "psrlvq", V)                      \
    X(PSRAVD, "psravd", V)

/* One source. */
#define ONLY1(X)                                \
    X(BROADCASTSS, "broadcastss", 4)            \
    X(BROADCASTSD, "broadcastsd", 8)            \
    X(PBROADCASTB, "pbroadcastb", 1)            \
    X(PBROADCASTW, "pbroadcastw", 2)            \
    X(PBROADCASTD, "pbroadcastd", 4)            \
    X(PBROADCASTQ, "pbroadcastq", 8)

#define X(NAME, mnem, size)                                                 \
    VEX_INT(V##NAME, NAME, X, size, TEXT2(X, mnem, size))                   \
    VEX_INT(V##NAME##_256, NAME, Y, size, TEXT2(Y, mnem, size))
ONLY2(X)
#undef X

/* VBROADCASTSD has no 128-bit form: its handler is the other's. */
#define V128_BROADCASTSD(NAME, mnem, size)
#define V128_BROADCASTSS VEX_INT_1
#define V128_PBROADCASTB VEX_INT_1
#define V128_PBROADCASTW VEX_INT_1
#define V128_PBROADCASTD VEX_INT_1
#define V128_PBROADCASTQ VEX_INT_1
#define VEX_INT_1(NAME, mnem, size) \
    VEX_INT(V##NAME, NAME, X, size, TEXT1(X, mnem, size))
#define X(NAME, mnem, size)                                                 \
    V128_##NAME(NAME, mnem, size)                                           \
    VEX_INT(V##NAME##_256, NAME, Y, size, TEXT1(Y, mnem, size))
ONLY1(X)
#undef X
#define VBROADCASTSD VBROADCASTSD_256

VEX_INT(VPERMD, VPERMD, Y, V, "vpermd %%ymm1, %%ymm0, %%ymm0")
VEX_INT(VPERMPS, VPERMPS, Y, V, "vpermps %%ymm1, %%ymm0, %%ymm0")
VEX_INT(VBROADCASTF128, VBROADCASTF128, Y, 16,
        "vinsertf128 $1, %%xmm1, %%ymm1, %%ymm0")

VEX_FP(VCVTPH2PS, VCVTPH2PS, X, H, "vcvtph2ps %%xmm1, %%xmm0")
VEX_FP(VCVTPH2PS_256, VCVTPH2PS, Y, H, "vcvtph2ps %%xmm1, %%ymm0")

/* The fourth operand, the mask, goes into register 2. */
#define BLENDV(X)                               \
    X(VBLENDVPS, BLENDVPS, "vblendvps")         \
    X(VBLENDVPD, BLENDVPD, "vblendvpd")         \
    X(VPBLENDVB, PBLENDVB, "vpblendvb")
#define VEX_BLENDV(NAME, op, w, mnem)                                           \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
                                                                            \
        NEED_AVX(env, insn);                                                \
        s = xm_rd(env, insn, w##_BYTES_V, false, slow);                     \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        RUN_BLENDV(op, w, mnem);                                            \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
#define X(NAME, op, mnem)                       \
    VEX_BLENDV(NAME, op, X, mnem)               \
    VEX_BLENDV(NAME##_256, op, Y, mnem)
BLENDV(X)
#undef X

/* --- FMA ------------------------------------------------------------------ */

#define FMA_ORDERS(X, NAME, mnem)                                           \
    X(NAME, 132, mnem "132") X(NAME, 213, mnem "213") X(NAME, 231, mnem "231")
#define FMA_ALL(X)                                                          \
    FMA_ORDERS(X, VFMADD, "vfmadd") FMA_ORDERS(X, VFMSUB, "vfmsub")         \
    FMA_ORDERS(X, VFNMADD, "vfnmadd") FMA_ORDERS(X, VFNMSUB, "vfnmsub")
#define FMA_PACKED(X)                                                       \
    FMA_ORDERS(X, VFMADDSUB, "vfmaddsub") FMA_ORDERS(X, VFMSUBADD, "vfmsubadd")

/* The destination is a source too. */
#define VEX_FMA(NAME, w, size, kind, order, bytes, count, mnem)             \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned bad = 1, odd;                                              \
                                                                            \
        NEED_AVX(env, insn);                                                \
        s = xm_rd(env, insn, w##_BYTES_##size, false, slow);                \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_FMA(w, size, kind, order, bytes, count, mnem);                  \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define X(NAME, order, mnem)                                                \
    VEX_FMA(NAME##order##PS, X, V, NAME, order, 4, 4, mnem "ps")            \
    VEX_FMA(NAME##order##PS_256, Y, V, NAME, order, 4, 8, mnem "ps")        \
    VEX_FMA(NAME##order##PD, X, V, NAME, order, 8, 2, mnem "pd")            \
    VEX_FMA(NAME##order##PD_256, Y, V, NAME, order, 8, 4, mnem "pd")
FMA_ALL(X)
FMA_PACKED(X)
#undef X
#define X(NAME, order, mnem)                                                \
    VEX_FMA(NAME##order##SS, X, 4, NAME, order, 4, 1, mnem "ss")            \
    VEX_FMA(NAME##order##SD, X, 8, NAME, order, 8, 1, mnem "sd")
FMA_ALL(X)
#undef X

/* --- rows ----------------------------------------------------------------- */

#define ROW_VEC(op, name) \
    { OP_##op, VECS(name, name##_256), VECS(name, name##_256), {} },
#define ROW_V(op, name)  ROW_VEC(op, name)
#define ROW_H(op, name)  ROW_VEC(op, name)
#define ROW_Q(op, name)  ROW_VEC(op, name)
#define ROW_E(op, name)  ROW_VEC(op, name)
#define ROW_16(op, name) ROW_VEC(op, name)
#define ROW_8(op, name)  ROW(op, name)
#define ROW_4(op, name)  ROW(op, name)

const HandlerRow fpu_avx[] = {
#define INT(NAME, mnem, size)   ROW_##size(V##NAME##_X_X_XM, V##NAME)
#define INT1(NAME, mnem, size)  ROW_##size(V##NAME##_X_XM, V##NAME)
#define INT_128(NAME, mnem)     ROW(V##NAME##_X_X_XM, V##NAME)
#define INT1_128(NAME, mnem)    ROW(V##NAME##_X_XM, V##NAME)
#define FP(NAME, mnem, size)    ROW_##size(V##NAME##_X_X_XM, V##NAME)
#define FP1(NAME, mnem, size)   ROW_##size(V##NAME##_X_XM, V##NAME)
#define FPN(NAME, mnem, size)   ROW_##size(V##NAME##_X_XM, V##NAME)
#include "accel/tcg/interp/vec.def"
#define X(NAME, mnem, size) ROW_VEC(V##NAME##_X_X_XM, V##NAME)
    ONLY2(X)
#undef X
#define X(NAME, mnem, size) \
    { OP_V##NAME##_X_XM, VECS(V##NAME, V##NAME##_256), \
      VECS(V##NAME, V##NAME##_256), {} },
    ONLY1(X)
#undef X
#define X(NAME, op, mnem) ROW_VEC(NAME##_X_X_XM_X, NAME)
    BLENDV(X)
#undef X
    ROW(VPERMD_X_X_XM, VPERMD)
    ROW(VPERMPS_X_X_XM, VPERMPS)
    ROW(VBROADCASTF128_X_M, VBROADCASTF128)
    ROW(VBROADCASTI128_X_M, VBROADCASTF128)
    ROW_VEC(VCVTPH2PS_X_XM, VCVTPH2PS)
#define X(NAME, order, mnem)                                                \
    ROW_VEC(NAME##order##PS_X_X_XM, NAME##order##PS)                        \
    ROW_VEC(NAME##order##PD_X_X_XM, NAME##order##PD)
    FMA_ALL(X)
    FMA_PACKED(X)
#undef X
#define X(NAME, order, mnem)                                                \
    ROW(NAME##order##SS_X_X_XM, NAME##order##SS)                            \
    ROW(NAME##order##SD_X_X_XM, NAME##order##SD)
    FMA_ALL(X)
#undef X
    {}
};
