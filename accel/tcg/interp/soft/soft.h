/*
 * Vector and x87 instructions in C, for hosts whose units are not x86's.  On
 * x86-64 they are built for the tests, which compare them with the host.
 *
 * `d` and the sources may be the same; n is the vector's bytes, and what is
 * above them stays.  Those with exceptions return false for an unmasked one,
 * with the flags in MXCSR and nothing written.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_SOFT_H
#define TCG_INTERP_SOFT_H

#include "accel/tcg/interp/fpu.h"

#define SOFT_INT(NAME) \
    void soft_##NAME(X86Vec *d, const X86Vec *a, const X86Vec *b, unsigned n)
#define SOFT_FP(NAME) \
    bool soft_##NAME(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, \
                     const X86Vec *b, unsigned n)

#define INT(NAME, mnem, size)   SOFT_INT(NAME);
#define INT1(NAME, mnem, size)  SOFT_INT(NAME);
#define INT_128(NAME, mnem)     SOFT_INT(NAME);
#define INT1_128(NAME, mnem)    SOFT_INT(NAME);
#define FP(NAME, mnem, size)    SOFT_FP(NAME);
#define FP1(NAME, mnem, size)   SOFT_FP(NAME);
#define FPN(NAME, mnem, size)   SOFT_FP(NAME);
#include "accel/tcg/interp/vec.def"
#undef INT
#undef INT1
#undef INT_128
#undef INT1_128
#undef FP
#undef FP1
#undef FPN

/* --- without a row in vec.def --- */
SOFT_INT(SHA1NEXTE);
SOFT_INT(SHA1MSG1);
SOFT_INT(SHA1MSG2);
SOFT_INT(SHA256MSG1);
SOFT_INT(SHA256MSG2);
SOFT_INT(PERMILPS);
SOFT_INT(PERMILPD);
SOFT_INT(PSLLVD);
SOFT_INT(PSLLVQ);
SOFT_INT(PSRLVD);
SOFT_INT(PSRLVQ);
SOFT_INT(PSRAVD);
SOFT_INT(VPERMD);
SOFT_INT(PBROADCASTB);
SOFT_INT(PBROADCASTW);
SOFT_INT(PBROADCASTD);
SOFT_INT(PBROADCASTQ);
SOFT_INT(VBROADCASTF128);
#define soft_BROADCASTSS soft_PBROADCASTD
#define soft_BROADCASTSD soft_PBROADCASTQ
#define soft_VPERMPS     soft_VPERMD

/* A third source: the mask, or XMM0. */
#define SOFT_INT3(NAME) \
    void soft_##NAME(X86Vec *d, const X86Vec *a, const X86Vec *b, \
                     const X86Vec *x, unsigned n)
SOFT_INT3(SHA256RNDS2);
SOFT_INT3(BLENDVPS);
SOFT_INT3(BLENDVPD);
SOFT_INT3(PBLENDVB);

void soft_pclmul(X86Vec *d, uint64_t x, uint64_t y);
void soft_aeskeygenassist(X86Vec *d, const X86Vec *b);
void soft_sha1rnds4(X86Vec *d, const X86Vec *b, unsigned which);
/* A source of `n` bytes as a vector whose other bytes are 0. */
X86Vec vec_of(const void *s, unsigned n);
/* The signs of elements of `size` bytes. */
uint32_t soft_signs(const X86Vec *v, unsigned n, unsigned size);

/* --- floating point; `count` elements of `bytes` --- */
SOFT_FP(CVTPI2PS);
SOFT_FP(CVTPI2PD);
SOFT_FP(CVTPS2PI);
SOFT_FP(CVTTPS2PI);
SOFT_FP(CVTPD2PI);
SOFT_FP(CVTTPD2PI);
SOFT_FP(VCVTPH2PS);
bool soft_cvtps2ph(uint32_t *mxcsr, X86Vec *d, const X86Vec *s, unsigned imm,
                   unsigned n);
bool soft_cmp(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, const X86Vec *b,
              unsigned imm, unsigned n, unsigned bytes, unsigned count);
bool soft_round(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, const X86Vec *b,
                unsigned imm, unsigned n, unsigned bytes, unsigned count);
bool soft_dp(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, const X86Vec *b,
             unsigned imm, unsigned n, unsigned bytes);
bool soft_comi(uint32_t *mxcsr, uint32_t *fl, const X86Vec *a, const X86Vec *b,
               unsigned bytes, bool signals);
/* Integers of `from` bytes to floats of `to` bytes, and back. */
bool soft_from_gpr(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, uint64_t v,
                   unsigned to, unsigned from);
bool soft_to_gpr(uint32_t *mxcsr, uint64_t *r, uint64_t v, unsigned to,
                 unsigned from, bool truncate);
bool soft_fma(uint32_t *mxcsr, X86Vec *d, const X86Vec *x, const X86Vec *y,
              const X86Vec *z, unsigned n, unsigned bytes, unsigned count,
              bool negate, bool minus_even, bool minus_odd);

/* --- x87: the status word that the instruction would leave --------------------
 *
 * That is exceptions, ES if one is unmasked, C0 to C3.  SOFT_STOPPED besides:
 * an exception came before the result, and nothing was delivered.
 */
enum { SOFT_STOPPED = 1 << 16 };
typedef enum SoftX87 {
    SOFT_FADD, SOFT_FMUL, SOFT_FSUB, SOFT_FSUBR, SOFT_FDIV, SOFT_FDIVR,
    SOFT_FSCALE, SOFT_FPREM, SOFT_FPREM1, SOFT_FYL2X, SOFT_FYL2XP1,
    SOFT_FPATAN, SOFT_FSQRT, SOFT_FRNDINT, SOFT_F2XM1, SOFT_FSIN, SOFT_FCOS,
    SOFT_FPTAN, SOFT_FSINCOS, SOFT_FXTRACT,
} SoftX87;
/* What memory holds. */
typedef enum SoftKind {
    SOFT_F32, SOFT_F64, SOFT_F80, SOFT_I16, SOFT_I32, SOFT_I64, SOFT_BCD,
} SoftKind;

/* r = a op b; a op b of a denormal, too. */
unsigned soft_x87_binary(uint16_t fcw, SoftX87 op, X86Fp *r, const X86Fp *a,
                         const X86Fp *b);
unsigned soft_x87_binary_mem(uint16_t fcw, SoftX87 op, X86Fp *r,
                             const X86Fp *a, SoftKind kind, const void *s);
/* C0, C2 and C3 from the comparison. */
unsigned soft_x87_compare(uint16_t fcw, const X86Fp *a, const X86Fp *b,
                          bool signals);
unsigned soft_x87_compare_mem(uint16_t fcw, const X86Fp *a, SoftKind kind,
                              const void *s);
unsigned soft_x87_load(uint16_t fcw, X86Fp *r, SoftKind kind, const void *s);
unsigned soft_x87_store(uint16_t fcw, void *to, const X86Fp *a, SoftKind kind,
                        bool truncate);
/* Functions of ST(0); of ST(0) = a and ST(1) = b.  FPTAN, FSINCOS and FXTRACT
 * have two results, of which `second` is pushed. */
unsigned soft_x87_unary(uint16_t fcw, SoftX87 op, X86Fp *r, const X86Fp *a);
unsigned soft_x87_two(uint16_t fcw, SoftX87 op, X86Fp *r, X86Fp *second,
                      const X86Fp *a);
typedef enum SoftConstant { SOFT_FLD1, SOFT_FLDL2T, SOFT_FLDL2E, SOFT_FLDPI,
                            SOFT_FLDLG2, SOFT_FLDLN2, SOFT_FLDZ } SoftConstant;
void soft_x87_constant(uint16_t fcw, SoftConstant which, X86Fp *r);

#endif
