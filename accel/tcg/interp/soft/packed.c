/*
 * SSE's and AVX's floating point on the arithmetic of float.h.
 *
 * Spec: Intel SDM volume 1, 11.5; volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/float.h"
#include "accel/tcg/interp/soft/soft.h"

enum { PRE = MX_IE | MX_DE | MX_ZE };   /* found before computing */

/* An instruction under way: how it computes, and the flags of all elements. */
typedef struct Run {
    FpCtx c;
    uint8_t all;
    uint32_t *mxcsr;
} Run;

static Run begin(uint32_t *mxcsr)
{
    uint32_t m = *mxcsr;

    return (Run) {
        .c = { .masks = m >> 7 & MX_FLAGS, .rc = m >> 13 & 3,
               .daz = m & MX_DAZ, .fz = m & MX_FZ },
        .mxcsr = mxcsr,
    };
}

/* After each element; one that would not have been computed has none of the
 * flags of its result. */
static void element(Run *run)
{
    uint8_t f = run->c.flags;

    run->all |= f & ~run->c.masks & PRE ? f & PRE : f;
    run->c.flags = 0;
}

/* After each step: false when an exception is unmasked. */
static bool step(Run *run)
{
    uint8_t f = run->all;

    if (f & ~run->c.masks & PRE) {
        f &= PRE;
    }
    *run->mxcsr |= f;
    run->all = 0;
    return !(f & ~run->c.masks);
}

/* --- lanes ---------------------------------------------------------------- */

static uint64_t get(const X86Vec *v, unsigned bytes, unsigned i)
{
    return bytes == 2 ? v->w[i] : bytes == 4 ? v->d[i] : v->q[i];
}

static void put(X86Vec *v, unsigned bytes, unsigned i, uint64_t val)
{
    if (bytes == 2) {
        v->w[i] = val;
    } else if (bytes == 4) {
        v->d[i] = val;
    } else {
        v->q[i] = val;
    }
}

static const FpFormat *format(unsigned bytes)
{
    return bytes == 2 ? &fp_half : bytes == 4 ? &fp_single : &fp_double;
}

typedef uint64_t Lane(FpCtx *c, const FpFormat *f, uint64_t a, uint64_t b);

#define LANE(name, fn)                                                      \
    static uint64_t name(FpCtx *c, const FpFormat *f, uint64_t a, uint64_t b) \
    {                                                                       \
        return fp_put(c, f, fn(c, f, fp_get(c, f, a), fp_get(c, f, b)));    \
    }
LANE(lane_add, fp_add)
LANE(lane_sub, fp_sub)
LANE(lane_mul, fp_mul)
LANE(lane_div, fp_div)

static uint64_t lane_sqrt(FpCtx *c, const FpFormat *f, uint64_t a, uint64_t b)
{
    return fp_put(c, f, fp_sqrt(c, f, fp_get(c, f, b)));
}

/* Of NaNs and of two zeroes the second operand, as it is. */
static uint64_t lane_choose(FpCtx *c, const FpFormat *f, uint64_t a,
                            uint64_t b, int first)
{
    FpNum x = fp_get(c, f, a), y = fp_get(c, f, b);

    if (fp_compare(c, x, y, true) == first) {
        return fp_put(c, f, x);
    }
    return fp_is_nan(y) ? b : fp_put(c, f, y);
}

static uint64_t lane_min(FpCtx *c, const FpFormat *f, uint64_t a, uint64_t b)
{
    return lane_choose(c, f, a, b, FP_LT);
}

static uint64_t lane_max(FpCtx *c, const FpFormat *f, uint64_t a, uint64_t b)
{
    return lane_choose(c, f, a, b, FP_GT);
}

/* `count` elements; the rest of `n` bytes is the first source's. */
static bool binary(uint32_t *mxcsr, X86Vec *d, const X86Vec *a,
                   const X86Vec *b, unsigned n, unsigned bytes,
                   unsigned count, Lane *even, Lane *odd)
{
    Run run = begin(mxcsr);
    X86Vec r = *a;

    for (unsigned i = 0; i < count; i++) {
        put(&r, bytes, i, (i & 1 ? odd : even)(&run.c, format(bytes),
                                               get(a, bytes, i),
                                               get(b, bytes, i)));
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    memcpy(d, &r, n);
    return true;
}

#define SOFT_FP(NAME) \
    bool soft_##NAME(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, \
                     const X86Vec *b, unsigned n)
#define BINARY_ONE(NAME, bytes, count, even, odd)                           \
    SOFT_FP(NAME)                                                           \
    {                                                                       \
        return binary(mxcsr, d, a, b, n, bytes, count, even, odd);          \
    }
#define BINARY(NAME, fn)                        \
    BINARY_ONE(NAME##PS, 4, n / 4, fn, fn)      \
    BINARY_ONE(NAME##PD, 8, n / 8, fn, fn)      \
    BINARY_ONE(NAME##SS, 4, 1, fn, fn)          \
    BINARY_ONE(NAME##SD, 8, 1, fn, fn)
BINARY(ADD, lane_add)
BINARY(SUB, lane_sub)
BINARY(MUL, lane_mul)
BINARY(DIV, lane_div)
BINARY(MIN, lane_min)
BINARY(MAX, lane_max)
BINARY(SQRT, lane_sqrt)
BINARY_ONE(ADDSUBPS, 4, n / 4, lane_sub, lane_add)
BINARY_ONE(ADDSUBPD, 8, n / 8, lane_sub, lane_add)

/* Neighbours: the first source's fill the low half of each 128 bits. */
static bool horizontal(uint32_t *mxcsr, X86Vec *d, const X86Vec *a,
                       const X86Vec *b, unsigned n, unsigned bytes, Lane *fn)
{
    X86Vec x = *a, y = *a;
    unsigned per = 16 / bytes;

    for (unsigned i = 0; i < n / bytes; i++) {
        const X86Vec *s = i % per < per / 2 ? a : b;
        unsigned from = i / per * per + i % (per / 2) * 2;

        put(&x, bytes, i, get(s, bytes, from));
        put(&y, bytes, i, get(s, bytes, from + 1));
    }
    return binary(mxcsr, d, &x, &y, n, bytes, n / bytes, fn, fn);
}
#define HORIZONTAL(NAME, bytes, fn)                                         \
    SOFT_FP(NAME)                                                           \
    {                                                                       \
        return horizontal(mxcsr, d, a, b, n, bytes, fn);                    \
    }
HORIZONTAL(HADDPS, 4, lane_add)
HORIZONTAL(HADDPD, 8, lane_add)
HORIZONTAL(HSUBPS, 4, lane_sub)
HORIZONTAL(HSUBPD, 8, lane_sub)

/* --- conversions ---------------------------------------------------------- */

enum { TO_FLOAT, FROM_INT, TO_INT, TRUNCATE };

static uint64_t convert(FpCtx *c, int how, unsigned to, unsigned from,
                        uint64_t v)
{
    FpCtx exact = *c;
    int64_t r;

    switch (how) {
    case TO_FLOAT:
        return fp_put(c, format(to), fp_convert(c, format(to),
                                                fp_get(c, format(from), v)));
    case FROM_INT:
        return fp_put(c, format(to),
                      fp_from_int(c, format(to),
                                  from == 4 ? (int32_t)v : (int64_t)v));
    default:
        exact.rc = how == TRUNCATE ? FP_TRUNCATE : c->rc;
        r = fp_to_int(&exact, fp_get(c, format(from), v), to * 8);
        c->flags = exact.flags;
        return r;
    }
}

/* `count` elements; zero: what is above them, up to 32 bytes or to n. */
static bool conversion(uint32_t *mxcsr, X86Vec *d, X86Vec r, const X86Vec *b,
                       unsigned n, int how, unsigned to, unsigned from,
                       unsigned count)
{
    Run run = begin(mxcsr);

    for (unsigned i = 0; i < count; i++) {
        put(&r, to, i, convert(&run.c, how, to, from, get(b, from, i)));
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    memcpy(d, &r, n);
    return true;
}

#define CONVERSION(NAME, rest, how, to, from, count)                        \
    SOFT_FP(NAME)                                                           \
    {                                                                       \
        return conversion(mxcsr, d, rest, b, n, how, to, from, count);      \
    }
#define ZERO (X86Vec) { 0 }
CONVERSION(CVTSS2SD, *a, TO_FLOAT, 8, 4, 1)
CONVERSION(CVTSD2SS, *a, TO_FLOAT, 4, 8, 1)
CONVERSION(CVTPS2PD, ZERO, TO_FLOAT, 8, 4, n / 8)
CONVERSION(CVTPD2PS, ZERO, TO_FLOAT, 4, 8, n / 8)
CONVERSION(CVTDQ2PS, ZERO, FROM_INT, 4, 4, n / 4)
CONVERSION(CVTPS2DQ, ZERO, TO_INT, 4, 4, n / 4)
CONVERSION(CVTTPS2DQ, ZERO, TRUNCATE, 4, 4, n / 4)
CONVERSION(CVTDQ2PD, ZERO, FROM_INT, 8, 4, n / 8)
CONVERSION(CVTPD2DQ, ZERO, TO_INT, 4, 8, n / 8)
CONVERSION(CVTTPD2DQ, ZERO, TRUNCATE, 4, 8, n / 8)
/* MMX: n is what the destination has. */
CONVERSION(CVTPI2PS, *a, FROM_INT, 4, 4, 2)
CONVERSION(CVTPI2PD, ZERO, FROM_INT, 8, 4, 2)
CONVERSION(CVTPS2PI, ZERO, TO_INT, 4, 4, 2)
CONVERSION(CVTTPS2PI, ZERO, TRUNCATE, 4, 4, 2)
CONVERSION(CVTPD2PI, ZERO, TO_INT, 4, 8, 2)
CONVERSION(CVTTPD2PI, ZERO, TRUNCATE, 4, 8, 2)

bool soft_from_gpr(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, uint64_t v,
                   unsigned to, unsigned from)
{
    X86Vec b = { .q = { v } };

    return conversion(mxcsr, d, *a, &b, 16, FROM_INT, to, from, 1);
}

bool soft_to_gpr(uint32_t *mxcsr, uint64_t *r, uint64_t v, unsigned to,
                 unsigned from, bool truncate)
{
    Run run = begin(mxcsr);
    uint64_t val = convert(&run.c, truncate ? TRUNCATE : TO_INT, to, from, v);

    element(&run);
    if (!step(&run)) {
        return false;
    }
    *r = to == 4 ? (uint32_t)val : val;
    return true;
}

/* Half precision minds neither DAZ nor FZ, and its denormals are normal. */
bool soft_VCVTPH2PS(uint32_t *mxcsr, X86Vec *d, const X86Vec *a,
                    const X86Vec *b, unsigned n)
{
    Run run = begin(mxcsr);
    X86Vec r = { 0 };

    run.c.daz = false;
    for (unsigned i = 0; i < n / 4; i++) {
        FpNum v = fp_get(&run.c, &fp_half, b->w[i]);

        v.denormal = false;
        r.d[i] = fp_put(&run.c, &fp_single,
                        fp_convert(&run.c, &fp_single, v));
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    memcpy(d, &r, n);
    return true;
}

bool soft_cvtps2ph(uint32_t *mxcsr, X86Vec *d, const X86Vec *s, unsigned imm,
                   unsigned n)
{
    Run run = begin(mxcsr);
    X86Vec r = { 0 };

    run.c.rc = imm & 4 ? run.c.rc : imm & 3;
    run.c.fz = false;
    for (unsigned i = 0; i < n / 4; i++) {
        r.w[i] = convert(&run.c, TO_FLOAT, 2, 4, s->d[i]);
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    *d = r;
    return true;
}

/* --- approximations ------------------------------------------------------- */

/*
 * 1/x and 1/sqrt(x), which no processor promises to more than 1.5 * 2^-12:
 * here they are the nearest values.  No exceptions, denormals are zero.
 */
static uint32_t approximate(uint32_t bits, bool root)
{
    FpCtx c = { .masks = MX_FLAGS, .daz = true, .fz = true };
    FpNum v = fp_get(&c, &fp_single, bits);
    FpNum one = { .cls = NUM_FINITE, .mant = UINT64_C(1) << 63 };

    if (root && v.cls != NUM_ZERO) {
        v = fp_sqrt(&c, &fp_double, v);
    }
    return fp_put(&c, &fp_single, fp_is_nan(v) ? fp_convert(&c, &fp_single, v)
                                  : fp_div(&c, &fp_single, one, v));
}

#define SOFT_APPROX(NAME, root, count)                                      \
    void soft_##NAME(X86Vec *d, const X86Vec *a, const X86Vec *b,           \
                     unsigned n)                                            \
    {                                                                       \
        X86Vec r = *a;                                                      \
                                                                            \
        for (unsigned i = 0; i < (count); i++) {                            \
            r.d[i] = approximate(b->d[i], root);                            \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
SOFT_APPROX(RCPPS, false, n / 4)
SOFT_APPROX(RCPSS, false, 1)
SOFT_APPROX(RSQRTPS, true, n / 4)
SOFT_APPROX(RSQRTSS, true, 1)

/* --- with an immediate ---------------------------------------------------- */

/* The relations that make a predicate of VCMP true. */
static const uint8_t predicates[16] = {
    FP_EQ, FP_LT, FP_LT | FP_EQ, FP_UNORDERED,
    FP_LT | FP_GT | FP_UNORDERED, FP_EQ | FP_GT | FP_UNORDERED,
    FP_GT | FP_UNORDERED, FP_LT | FP_EQ | FP_GT,
    FP_EQ | FP_UNORDERED, FP_LT | FP_UNORDERED,
    FP_LT | FP_EQ | FP_UNORDERED, 0,
    FP_LT | FP_GT, FP_EQ | FP_GT, FP_GT,
    FP_LT | FP_EQ | FP_GT | FP_UNORDERED,
};

bool soft_cmp(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, const X86Vec *b,
              unsigned imm, unsigned n, unsigned bytes, unsigned count)
{
    /* Of the second sixteen the other half is quiet. */
    bool signals = (0x6666 >> (imm & 15) & 1) ^ (imm >> 4 & 1);
    Run run = begin(mxcsr);
    X86Vec r = *a;

    for (unsigned i = 0; i < count; i++) {
        FpNum x = fp_get(&run.c, format(bytes), get(a, bytes, i));
        FpNum y = fp_get(&run.c, format(bytes), get(b, bytes, i));
        int how = fp_compare(&run.c, x, y, signals);

        put(&r, bytes, i, predicates[imm & 15] & how ? ~UINT64_C(0) : 0);
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    memcpy(d, &r, n);
    return true;
}

bool soft_round(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, const X86Vec *b,
                unsigned imm, unsigned n, unsigned bytes, unsigned count)
{
    Run run = begin(mxcsr);
    X86Vec r = *a;

    run.c.rc = imm & 4 ? run.c.rc : imm & 3;
    for (unsigned i = 0; i < count; i++) {
        FpNum x = fp_get(&run.c, format(bytes), get(b, bytes, i));

        put(&r, bytes, i, fp_put(&run.c, format(bytes),
                                 fp_to_integral(&run.c, x)));
        run.c.flags &= imm & 8 ? ~MX_PE : ~0;
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    memcpy(d, &r, n);
    return true;
}

/* Products, then sums of neighbours, then of those: each step may trap. */
bool soft_dp(uint32_t *mxcsr, X86Vec *d, const X86Vec *a, const X86Vec *b,
             unsigned imm, unsigned n, unsigned bytes)
{
    unsigned per = 16 / bytes;
    X86Vec x = *a, y = *b, r;

    for (unsigned i = 0; i < n / bytes; i++) {
        if (!(imm >> (4 + i % per) & 1)) {
            put(&x, bytes, i, 0);
            put(&y, bytes, i, 0);
        }
    }
    if (!binary(mxcsr, &x, &x, &y, n, bytes, n / bytes, lane_mul, lane_mul)) {
        return false;
    }
    for (unsigned stride = 1; stride < per; stride *= 2) {
        y = x;
        for (unsigned i = 0; i < n / bytes; i++) {
            put(&y, bytes, i, get(&x, bytes, i ^ stride));
            /* Of four the neighbour first, then one's own pair; of two the
             * lower: it matters for NaNs. */
        }
        r = x;
        for (unsigned i = 0; i < n / bytes; i++) {
            if (bytes == 4 ? stride == 1 : i & stride) {
                put(&r, bytes, i, get(&y, bytes, i));
                put(&y, bytes, i, get(&x, bytes, i));
            }
        }
        if (!binary(mxcsr, &x, &r, &y, n, bytes, n / bytes, lane_add,
                    lane_add)) {
            return false;
        }
    }
    for (unsigned i = 0; i < n / bytes; i++) {
        if (!(imm >> i % per & 1)) {
            put(&x, bytes, i, 0);
        }
    }
    memcpy(d, &x, n);
    return true;
}

bool soft_comi(uint32_t *mxcsr, uint32_t *fl, const X86Vec *a, const X86Vec *b,
               unsigned bytes, bool signals)
{
    Run run = begin(mxcsr);
    FpNum x = fp_get(&run.c, format(bytes), get(a, bytes, 0));
    FpNum y = fp_get(&run.c, format(bytes), get(b, bytes, 0));
    int how = fp_compare(&run.c, x, y, signals);

    element(&run);
    if (!step(&run)) {
        return false;
    }
    *fl = how == FP_UNORDERED ? FL_ZF | FL_PF | FL_CF
          : how == FP_LT ? FL_CF : how == FP_EQ ? FL_ZF : 0;
    return true;
}

/* --- FMA ------------------------------------------------------------------ */

/* d = ±x * y ± z for `count` elements; `odd` adds where `even` subtracts. */
bool soft_fma(uint32_t *mxcsr, X86Vec *d, const X86Vec *x, const X86Vec *y,
              const X86Vec *z, unsigned n, unsigned bytes, unsigned count,
              bool negate, bool minus_even, bool minus_odd)
{
    const FpFormat *f = format(bytes);
    Run run = begin(mxcsr);
    X86Vec r = *d;

    for (unsigned i = 0; i < count; i++) {
        FpNum p = fp_get(&run.c, f, get(x, bytes, i));
        FpNum q = fp_get(&run.c, f, get(y, bytes, i));
        FpNum s = fp_get(&run.c, f, get(z, bytes, i));

        p.sign ^= negate && !fp_is_nan(p);
        s.sign ^= (i & 1 ? minus_odd : minus_even) && !fp_is_nan(s);
        put(&r, bytes, i, fp_put(&run.c, f, fp_fma(&run.c, f, p, q, s)));
        element(&run);
    }
    if (!step(&run)) {
        return false;
    }
    memcpy(d, &r, n);
    return true;
}
