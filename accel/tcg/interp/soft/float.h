/*
 * Binary floating point in integers: what SSE's, AVX's and x87's arithmetic is
 * made from on hosts whose own units are not x86's.
 *
 * A value is unpacked from its format, computed exactly or with a sticky bit,
 * and rounded once into the format of the result; exceptions, NaNs and tininess
 * (after rounding) are x86's.
 *
 * Spec: Intel SDM volume 1, 4.8, 4.9, 8.5, 11.5.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_SOFT_FLOAT_H
#define TCG_INTERP_SOFT_FLOAT_H

#include "accel/tcg/interp/fpu.h"

typedef unsigned __int128 SoftU128;

enum { FP_NEAREST, FP_DOWN, FP_UP, FP_TRUNCATE };   /* as in MXCSR and FCW */

typedef struct FpFormat {
    uint8_t prec;               /* bits of the significand, with the first */
    uint8_t exp_bits;
    bool explicit_one;          /* the first bit is stored */
} FpFormat;

extern const FpFormat fp_half, fp_single, fp_double, fp_extended;

/* How an instruction computes, and what it has found. */
typedef struct FpCtx {
    uint8_t flags;              /* out: MX_IE to MX_PE */
    uint8_t masks;              /* the same bits: masked */
    uint8_t rc;
    uint8_t prec;               /* x87: precision control in bits; else 0 */
    bool daz, fz;
    bool up;                    /* out: the result was rounded away from 0 */
} FpCtx;

typedef enum NumClass {
    NUM_ZERO, NUM_FINITE, NUM_INF, NUM_QNAN, NUM_SNAN, NUM_BAD,
} NumClass;

/* A value, mant / 2^63 * 2^exp; of a NaN the significand from bit 63 down.
 * NUM_BAD: an encoding of x87's that is none. */
typedef struct FpNum {
    NumClass cls;
    bool sign, denormal;
    int32_t exp;
    uint64_t mant;
} FpNum;

/* The same with more bits, mant / 2^127 * 2^exp, the last sticky; 0 is 0. */
typedef struct FpWide {
    bool sign;
    int32_t exp;
    SoftU128 mant;
} FpWide;

/* Formats of up to 64 bits as integers; extended as X86Fp. */
FpNum fp_get(const FpCtx *c, const FpFormat *f, uint64_t bits);
FpNum fp_get_extended(const X86Fp *v);
uint64_t fp_put(FpCtx *c, const FpFormat *f, FpNum v);      /* exact */
void fp_put_extended(X86Fp *out, FpNum v);
/* Rounds; `v` is finite. */
FpNum fp_round(FpCtx *c, const FpFormat *f, FpWide v);

static inline bool fp_is_nan(FpNum v)
{
    return v.cls >= NUM_QNAN;
}
extern const FpNum fp_indefinite;
FpNum fp_signed(NumClass cls, bool sign);    /* zero or infinity */
FpWide fp_widen(FpNum v);
FpWide fp_normal(FpWide v);                 /* shifts the first bit to the top */

/* Results are of format `f`; the operands of any. */
FpNum fp_add(FpCtx *c, const FpFormat *f, FpNum a, FpNum b);
FpNum fp_sub(FpCtx *c, const FpFormat *f, FpNum a, FpNum b);
FpNum fp_mul(FpCtx *c, const FpFormat *f, FpNum a, FpNum b);
FpNum fp_div(FpCtx *c, const FpFormat *f, FpNum a, FpNum b);
FpNum fp_sqrt(FpCtx *c, const FpFormat *f, FpNum a);
FpNum fp_fma(FpCtx *c, const FpFormat *f, FpNum a, FpNum b, FpNum addend);
FpNum fp_convert(FpCtx *c, const FpFormat *f, FpNum a);
FpNum fp_from_int(FpCtx *c, const FpFormat *f, int64_t v);
FpNum fp_to_integral(FpCtx *c, FpNum a);
/* Out of range: MX_IE and the most negative number. */
int64_t fp_to_int(FpCtx *c, FpNum a, unsigned bits);

enum { FP_LT = 1, FP_EQ = 2, FP_GT = 4, FP_UNORDERED = 8 };
/* `signals`: a quiet NaN is invalid too. */
int fp_compare(FpCtx *c, FpNum a, FpNum b, bool signals);

/* The result of an operation with a NaN among its operands. */
FpNum fp_nan2(FpCtx *c, FpNum a, FpNum b);
/* Denormal operands are noted. */
static inline void fp_note(FpCtx *c, FpNum a)
{
    if (a.denormal) {
        c->flags |= MX_DE;
    }
}

#endif
