/*
 * Binary floating point in integers; see float.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/float.h"

typedef SoftU128 U128;

const FpFormat fp_half = { 11, 5, false };
const FpFormat fp_single = { 24, 8, false };
const FpFormat fp_double = { 53, 11, false };
const FpFormat fp_extended = { 64, 15, true };

const FpNum fp_indefinite = { .cls = NUM_QNAN, .sign = true,
                              .mant = UINT64_C(3) << 62 };

#define TOP ((U128)1 << 127)
#define QUIET (UINT64_C(1) << 62)

static int bias(const FpFormat *f)
{
    return (1 << (f->exp_bits - 1)) - 1;
}

FpNum fp_signed(NumClass cls, bool sign)
{
    return (FpNum) { .cls = cls, .sign = sign };
}

/* --- formats -------------------------------------------------------------- */

FpNum fp_get(const FpCtx *c, const FpFormat *f, uint64_t bits)
{
    unsigned frac_bits = f->prec - 1, ones = (1u << f->exp_bits) - 1;
    unsigned e = bits >> frac_bits & ones;
    uint64_t frac = bits & ((UINT64_C(1) << frac_bits) - 1);
    FpNum v = { .sign = bits >> (frac_bits + f->exp_bits) & 1 };

    v.mant = frac << (63 - frac_bits);
    if (e == ones) {
        v.cls = !frac ? NUM_INF : v.mant & QUIET ? NUM_QNAN : NUM_SNAN;
        v.mant |= UINT64_C(1) << 63;
    } else if (e) {
        v.cls = NUM_FINITE;
        v.exp = (int)e - bias(f);
        v.mant |= UINT64_C(1) << 63;
    } else if (!frac || c->daz) {
        v.cls = NUM_ZERO;
    } else {
        unsigned n = __builtin_clzll(v.mant);

        v.cls = NUM_FINITE;
        v.denormal = true;
        v.exp = 1 - bias(f) - (int)n;
        v.mant <<= n;
    }
    return v;
}

FpNum fp_get_extended(const X86Fp *r)
{
    unsigned e = r->exp_sign & 0x7fff, n;
    FpNum v = { .sign = r->exp_sign >> 15, .mant = r->mant };

    if (e && !(r->mant >> 63)) {
        v.cls = NUM_BAD;
    } else if (e == 0x7fff) {
        v.cls = !(r->mant << 1) ? NUM_INF : r->mant & QUIET ? NUM_QNAN : NUM_SNAN;
    } else if (e) {
        v.cls = NUM_FINITE;
        v.exp = (int)e - 16383;
    } else if (!r->mant) {
        v.cls = NUM_ZERO;
    } else {
        n = __builtin_clzll(r->mant);
        v.cls = NUM_FINITE;
        v.denormal = true;
        v.exp = 1 - 16383 - (int)n;
        v.mant <<= n;
    }
    return v;
}

/* The biased exponent, and the significand with its first bit at 63. */
static unsigned fields(const FpFormat *f, FpNum v, uint64_t *mant)
{
    int e;

    *mant = v.mant;
    switch (v.cls) {
    case NUM_ZERO:
        *mant = 0;
        return 0;
    case NUM_FINITE:
        e = v.exp + bias(f);
        if (e <= 0) {
            *mant = 1 - e < 64 ? v.mant >> (1 - e) : 0;
            return 0;
        }
        return e;
    case NUM_INF:
        *mant = UINT64_C(1) << 63;
        return (1u << f->exp_bits) - 1;
    default:
        *mant |= UINT64_C(3) << 62;     /* results are quiet */
        return (1u << f->exp_bits) - 1;
    }
}

uint64_t fp_put(FpCtx *c, const FpFormat *f, FpNum v)
{
    uint64_t mant, e = fields(f, v, &mant);

    return (uint64_t)v.sign << (f->prec - 1 + f->exp_bits)
           | e << (f->prec - 1) | mant << 1 >> (65 - f->prec);
}

void fp_put_extended(X86Fp *out, FpNum v)
{
    uint64_t mant;
    unsigned e = fields(&fp_extended, v, &mant);

    out->mant = mant;
    out->exp_sign = e | (unsigned)v.sign << 15;
}

/* --- rounding ------------------------------------------------------------- */

FpWide fp_widen(FpNum v)
{
    return (FpWide) { v.sign, v.exp, v.cls == NUM_ZERO ? 0 : (U128)v.mant << 64 };
}

static U128 shift_right(U128 m, unsigned n)
{
    if (n == 0) {
        return m;
    }
    return n > 127 ? m != 0 : m >> n | ((m << (128 - n)) != 0);
}

FpWide fp_normal(FpWide v)
{
    uint64_t hi = v.mant >> 64;
    unsigned n;

    if (!v.mant) {
        return v;
    }
    n = hi ? __builtin_clzll(hi) : 64 + __builtin_clzll((uint64_t)v.mant);
    v.mant <<= n;
    v.exp -= n;
    return v;
}

/* The first `n` bits of m, rounded: up to 2^n. */
static U128 round_bits(const FpCtx *c, bool sign, U128 m, unsigned n,
                       bool *inexact, bool *up)
{
    U128 q = m >> (128 - n), rest = m << n;

    *inexact = rest != 0;
    switch (c->rc) {
    case FP_NEAREST:
        *up = rest > TOP || (rest == TOP && q & 1);
        break;
    case FP_DOWN:
        *up = rest && sign;
        break;
    case FP_UP:
        *up = rest && !sign;
        break;
    default:
        *up = false;
        break;
    }
    return q + *up;
}

static FpNum overflow(FpCtx *c, const FpFormat *f, bool sign, unsigned prec)
{
    FpNum r = { .cls = NUM_INF, .sign = sign };

    c->flags |= MX_OE | MX_PE;
    c->up = true;
    if (c->rc == FP_TRUNCATE || c->rc == (sign ? FP_UP : FP_DOWN)) {
        c->up = false;
        r.cls = NUM_FINITE;
        r.exp = bias(f);
        r.mant = ~UINT64_C(0) << (64 - prec);
    }
    return r;
}

FpNum fp_round(FpCtx *c, const FpFormat *f, FpWide v)
{
    enum { WRAP = 3 << 13 };    /* x87: the exponent of an unmasked result */
    unsigned prec = f == &fp_extended && c->prec ? c->prec : f->prec;
    FpNum r = { .cls = NUM_FINITE, .sign = v.sign };
    int min = 1 - bias(f);
    bool inexact, up;
    U128 q;

    c->up = false;
    if (!v.mant) {
        r.cls = NUM_ZERO;
        return r;
    }
    v = fp_normal(v);
    q = round_bits(c, v.sign, v.mant, prec, &inexact, &up);
    r.exp = v.exp;
    if (q >> prec) {
        q >>= 1;
        r.exp++;
    }
    if (r.exp < min) {
        if (c->masks & MX_UE) {
            if (c->fz) {
                c->flags |= MX_UE | MX_PE;
                r.cls = NUM_ZERO;
                return r;
            }
            v.mant = shift_right(v.mant, min - v.exp);
            q = round_bits(c, v.sign, v.mant, prec, &inexact, &up);
            c->flags |= inexact ? MX_UE | MX_PE : 0;
            c->up = up;
            if (!q) {
                r.cls = NUM_ZERO;
                return r;
            }
            r.denormal = !(q >> (prec - 1));
            v = fp_normal((FpWide) { v.sign, min, q << (128 - prec) });
            r.exp = v.exp;
            r.mant = v.mant >> 64;
            return r;
        }
        c->flags |= MX_UE;
        r.exp += f == &fp_extended ? WRAP : 0;
        if (f == &fp_extended && r.exp < min) {     /* FSCALE can do that */
            c->flags |= MX_PE;
            r.cls = NUM_ZERO;
            return r;
        }
    } else if (r.exp > bias(f)) {
        if (c->masks & MX_OE) {
            return overflow(c, f, v.sign, prec);
        }
        c->flags |= MX_OE;
        r.exp -= f == &fp_extended ? WRAP : 0;
        if (f == &fp_extended && r.exp > bias(f)) {
            return overflow(c, f, v.sign, prec);
        }
    }
    c->flags |= inexact ? MX_PE : 0;
    c->up = up;
    r.mant = (uint64_t)q << (64 - prec);
    return r;
}

/* --- NaNs ----------------------------------------------------------------- */

static FpNum invalid(FpCtx *c)
{
    c->flags |= MX_IE;
    return fp_indefinite;
}

/* SSE takes the first; x87 a quiet one, the larger significand, the positive. */
FpNum fp_nan2(FpCtx *c, FpNum a, FpNum b)
{
    FpNum r;

    if (a.cls == NUM_BAD || b.cls == NUM_BAD) {
        return invalid(c);
    }
    if (a.cls == NUM_SNAN || b.cls == NUM_SNAN) {
        c->flags |= MX_IE;
    }
    if (!fp_is_nan(a) || !fp_is_nan(b)) {
        r = fp_is_nan(a) ? a : b;
    } else if (!c->prec) {
        r = a;
    } else if (a.cls != b.cls) {
        r = a.cls == NUM_QNAN ? a : b;
    } else if (a.mant != b.mant) {
        r = a.mant > b.mant ? a : b;
    } else {
        r = a.sign ? b : a;
    }
    r.cls = NUM_QNAN;
    r.mant |= QUIET;
    return r;
}

/* --- arithmetic ----------------------------------------------------------- */

/* The sum of two values that are not both zero; exact zero has the sign of the
 * rounding mode. */
static FpWide add_wide(const FpCtx *c, FpWide a, FpWide b)
{
    FpWide r;
    unsigned d;

    if (!a.mant || !b.mant) {
        return a.mant ? a : b;
    }
    if (a.exp < b.exp || (a.exp == b.exp && a.mant < b.mant)) {
        r = a;
        a = b;
        b = r;
    }
    r = a;
    d = a.exp - b.exp;
    if (a.sign == b.sign) {
        /* One bit of room for the carry. */
        r.mant = shift_right(a.mant, 1) + shift_right(b.mant, MIN(d, 128) + 1);
        r.exp++;
    } else {
        r.mant = a.mant - shift_right(b.mant, MIN(d, 200));
        if (!r.mant) {
            r.sign = c->rc == FP_DOWN;
        }
    }
    return fp_normal(r);
}

FpNum fp_add(FpCtx *c, const FpFormat *f, FpNum a, FpNum b)
{
    c->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_nan2(c, a, b);
    }
    if (a.cls == NUM_INF && b.cls == NUM_INF && a.sign != b.sign) {
        return invalid(c);
    }
    fp_note(c, a);
    fp_note(c, b);
    if (a.cls == NUM_INF || b.cls == NUM_INF) {
        return a.cls == NUM_INF ? a : b;
    }
    if (a.cls == NUM_ZERO && b.cls == NUM_ZERO) {
        return a.sign == b.sign ? a : fp_signed(NUM_ZERO, c->rc == FP_DOWN);
    }
    return fp_round(c, f, add_wide(c, fp_widen(a), fp_widen(b)));
}

FpNum fp_sub(FpCtx *c, const FpFormat *f, FpNum a, FpNum b)
{
    if (!fp_is_nan(b)) {
        b.sign = !b.sign;
    }
    return fp_add(c, f, a, b);
}

FpNum fp_mul(FpCtx *c, const FpFormat *f, FpNum a, FpNum b)
{
    bool sign = a.sign ^ b.sign;

    c->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_nan2(c, a, b);
    }
    if ((a.cls == NUM_INF && b.cls == NUM_ZERO)
        || (a.cls == NUM_ZERO && b.cls == NUM_INF)) {
        return invalid(c);
    }
    fp_note(c, a);
    fp_note(c, b);
    if (a.cls == NUM_INF || b.cls == NUM_INF) {
        return fp_signed(NUM_INF, sign);
    }
    if (a.cls == NUM_ZERO || b.cls == NUM_ZERO) {
        return fp_signed(NUM_ZERO, sign);
    }
    return fp_round(c, f, (FpWide) { sign, a.exp + b.exp + 1,
                                     (U128)a.mant * b.mant });
}

FpNum fp_div(FpCtx *c, const FpFormat *f, FpNum a, FpNum b)
{
    bool sign = a.sign ^ b.sign;
    U128 q, rest;

    c->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_nan2(c, a, b);
    }
    if ((a.cls == NUM_INF && b.cls == NUM_INF)
        || (a.cls == NUM_ZERO && b.cls == NUM_ZERO)) {
        return invalid(c);
    }
    if (b.cls == NUM_ZERO && a.cls == NUM_FINITE) {
        c->flags |= MX_ZE;
        return fp_signed(NUM_INF, sign);
    }
    fp_note(c, a);
    fp_note(c, b);
    if (a.cls == NUM_INF || b.cls == NUM_ZERO) {
        return fp_signed(NUM_INF, sign);
    }
    if (a.cls == NUM_ZERO || b.cls == NUM_INF) {
        return fp_signed(NUM_ZERO, sign);
    }
    /* 64 or 65 bits of quotient, then 62 or 63 more of the remainder. */
    q = ((U128)a.mant << 63) / b.mant;
    rest = ((U128)a.mant << 63) % b.mant;
    q = q << 63 | (rest << 63) / b.mant;
    q |= (rest << 63) % b.mant != 0;
    return fp_round(c, f, (FpWide) { sign, a.exp - b.exp + 1, q });
}

FpNum fp_sqrt(FpCtx *c, const FpFormat *f, FpNum a)
{
    U128 rest = 0, root = 0, m;
    int e;

    c->up = false;
    if (fp_is_nan(a)) {
        return fp_nan2(c, a, a);
    }
    if (a.sign && a.cls != NUM_ZERO) {
        return invalid(c);
    }
    fp_note(c, a);
    if (a.cls != NUM_FINITE) {
        return a;
    }
    /* The value is m / 2^126 * 2^e with an even e; 66 bits of root. */
    e = a.exp & ~1;
    m = (U128)a.mant << (63 + (a.exp & 1));
    for (int i = 126; i >= -4; i -= 2) {
        U128 next = root << 2 | 1;

        rest = rest << 2 | (i >= 0 ? m >> i & 3 : 0);
        root <<= 1;
        if (rest >= next) {
            rest -= next;
            root |= 1;
        }
    }
    /* 66 bits, the first at 65. */
    return fp_round(c, f, (FpWide) { false, e / 2,
                                     root << 62 | (rest != 0) });
}

FpNum fp_fma(FpCtx *c, const FpFormat *f, FpNum a, FpNum b, FpNum addend)
{
    bool sign = a.sign ^ b.sign;
    bool bad = (a.cls == NUM_INF && b.cls == NUM_ZERO)
               || (a.cls == NUM_ZERO && b.cls == NUM_INF);
    FpWide p;

    if (fp_is_nan(a) || fp_is_nan(b)) {
        c->flags |= addend.cls == NUM_SNAN ? MX_IE : 0;
        return fp_nan2(c, a, b);
    }
    if (fp_is_nan(addend)) {
        return fp_nan2(c, addend, addend);
    }
    if (bad) {
        return invalid(c);
    }
    if ((a.cls == NUM_INF || b.cls == NUM_INF) && addend.cls == NUM_INF
        && sign != addend.sign) {
        return invalid(c);
    }
    fp_note(c, a);
    fp_note(c, b);
    fp_note(c, addend);
    if (a.cls == NUM_INF || b.cls == NUM_INF) {
        return fp_signed(NUM_INF, sign);
    }
    if (addend.cls == NUM_INF) {
        return addend;
    }
    if (a.cls == NUM_ZERO || b.cls == NUM_ZERO) {
        if (addend.cls == NUM_ZERO) {
            return sign == addend.sign ? addend
                   : fp_signed(NUM_ZERO, c->rc == FP_DOWN);
        }
        return fp_round(c, f, fp_widen(addend));
    }
    p = fp_normal((FpWide) { sign, a.exp + b.exp + 1, (U128)a.mant * b.mant });
    return fp_round(c, f, add_wide(c, p, fp_widen(addend)));
}

FpNum fp_convert(FpCtx *c, const FpFormat *f, FpNum a)
{
    c->up = false;
    if (fp_is_nan(a)) {
        a = fp_nan2(c, a, a);
        /* What the format has no bits for is cut off. */
        a.mant &= ~UINT64_C(0) << (64 - f->prec);
        return a;
    }
    fp_note(c, a);
    return a.cls == NUM_FINITE ? fp_round(c, f, fp_widen(a)) : a;
}

FpNum fp_from_int(FpCtx *c, const FpFormat *f, int64_t v)
{
    uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;

    return fp_round(c, f, fp_normal((FpWide) { v < 0, 63, (U128)m << 64 }));
}

/* The magnitude of a finite value as an integer below 2^64. */
static uint64_t integral(FpCtx *c, FpNum a)
{
    bool inexact, up;
    U128 m;

    if (a.exp < -64) {
        a.exp = -64;            /* as small as any */
        a.mant = (UINT64_C(1) << 63) | 1;
    }
    m = round_bits(c, a.sign, shift_right((U128)a.mant << 64, 63 - a.exp), 64,
                   &inexact, &up);
    c->flags |= inexact ? MX_PE : 0;
    c->up = up;
    return (uint64_t)m;
}

FpNum fp_to_integral(FpCtx *c, FpNum a)
{
    uint64_t m;

    c->up = false;
    if (fp_is_nan(a)) {
        return fp_nan2(c, a, a);
    }
    if (a.cls != NUM_FINITE || a.exp >= 63) {
        return a;
    }
    m = integral(c, a);
    if (!m) {
        return fp_signed(NUM_ZERO, a.sign);
    }
    a.exp = 63 - (int)__builtin_clzll(m);
    a.mant = m << (63 - a.exp);
    a.denormal = false;
    return a;
}

int64_t fp_to_int(FpCtx *c, FpNum a, unsigned bits)
{
    uint64_t limit = UINT64_C(1) << (bits - 1), m = 0;
    uint8_t flags = c->flags;

    c->up = false;
    if (a.cls == NUM_ZERO) {
        return 0;
    }
    if (a.cls == NUM_FINITE && a.exp < 64) {
        m = integral(c, a);
        if (m < limit || (a.sign && m == limit)) {
            return a.sign ? (int64_t)-m : (int64_t)m;
        }
    }
    c->flags = flags | MX_IE;
    c->up = false;
    return -(int64_t)(limit - 1) - 1;
}

int fp_compare(FpCtx *c, FpNum a, FpNum b, bool signals)
{
    int r;

    if (fp_is_nan(a) || fp_is_nan(b)) {
        if (signals || a.cls >= NUM_SNAN || b.cls >= NUM_SNAN) {
            c->flags |= MX_IE;
        }
        return FP_UNORDERED;
    }
    fp_note(c, a);
    fp_note(c, b);
    if (a.cls == NUM_ZERO && b.cls == NUM_ZERO) {
        return FP_EQ;
    }
    if (a.cls == NUM_ZERO || b.cls == NUM_ZERO || a.sign != b.sign) {
        return (a.cls == NUM_ZERO ? !b.sign : a.sign) ? FP_LT : FP_GT;
    }
    if (a.cls == NUM_INF || b.cls == NUM_INF) {
        r = a.cls == b.cls ? 0 : a.cls == NUM_INF ? 1 : -1;
    } else if (a.exp != b.exp) {
        r = a.exp < b.exp ? -1 : 1;
    } else {
        r = a.mant < b.mant ? -1 : a.mant > b.mant;
    }
    r = a.sign ? -r : r;
    return r < 0 ? FP_LT : r > 0 ? FP_GT : FP_EQ;
}
