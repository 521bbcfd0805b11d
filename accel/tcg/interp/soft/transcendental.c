/*
 * x87's functions of one and two numbers.
 *
 * The transcendental ones are computed by the C library with 113 bits and
 * rounded once, so they are within one unit of the last place, as processors'
 * are, but not bit for bit what a given processor delivers.
 *
 * Spec: Intel SDM volume 1, 8.3.6 to 8.3.10; volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/x87.h"

#include <math.h>

typedef _Float128 Quad;

enum { TINY = -128 };           /* exponent below which f(x) is a multiple of x */

static Quad quad_of(FpNum v)
{
    Quad q = v.cls == NUM_ZERO ? 0 : scalbnf128((Quad)v.mant, v.exp - 63);

    return v.sign ? -q : q;
}

/* Inexact whatever its bits say: the sticky bit is set.  `below`: the bits are a
 * little too large, else too small if anything.  The value is q * 2^exp. */
static FpNum round_near(FpCtx *c, Quad q, int exp, bool below)
{
    SoftU128 bits;
    FpWide w;

    memcpy(&bits, &q, sizeof(bits));
    w.sign = bits >> 127;
    w.exp = (int)(bits >> 112 & 0x7fff) - 16383;
    w.mant = bits << 16 >> 1 | (SoftU128)1 << 127;
    if (w.exp == -16383) {      /* a denormal of the quad's */
        w.exp++;
        w.mant &= ~((SoftU128)1 << 127);
    }
    w = fp_normal(w);
    w.exp += exp;
    w.mant = (w.mant | 1) - (below ? 2 : 0);
    c->prec = 64;
    return fp_round(c, &fp_extended, w);
}

static FpNum round_quad(FpCtx *c, Quad q)
{
    return round_near(c, q, 0, false);
}

/* The value without its exponent. */
static Quad significand_of(FpNum v)
{
    v.exp = 0;
    return quad_of(v);
}

static FpNum invalid(FpCtx *c)
{
    c->flags |= MX_IE;
    return fp_indefinite;
}

static FpNum one(void)
{
    return (FpNum) { .cls = NUM_FINITE, .mant = UINT64_C(1) << 63 };
}

/* --- of angles ------------------------------------------------------------ */

/* Half of pi with 67 bits, as processors have it: high 64 and low bits. */
static const uint64_t half_pi_high = UINT64_C(0xc90fdaa22168c234);
static const unsigned half_pi_low = 0xc, half_pi_low_bits = 4;

/*
 * What is left of |v| beyond a multiple of half a pi, rounded to the nearest,
 * and that multiple: v = *q * pi/2 + result.
 */
static Quad reduce(FpNum v, unsigned *q)
{
    SoftU128 d = (SoftU128)half_pi_high << half_pi_low_bits | half_pi_low;
    SoftU128 rest = (SoftU128)v.mant << half_pi_low_bits;
    int exp = v.exp;
    bool minus = false;
    Quad r;

    *q = 0;
    if (v.exp < -1) {
        return quad_of((FpNum) { .cls = v.cls, .mant = v.mant, .exp = v.exp });
    }
    /* Half a pi has the exponent 0; start with v's bits at the top. */
    if (exp < 0) {
        d <<= 1;                /* -1: in units of half of v's */
    } else {
        for (int i = exp; i >= 0; i--) {
            *q <<= 1;
            if (rest >= d) {
                rest -= d;
                *q |= 1;
            }
            if (i > 0) {
                rest <<= 1;
            }
        }
        exp = 0;
    }
    if (rest << 1 > d) {
        rest = d - rest;
        minus = true;
        ++*q;
    }
    r = scalbnf128((Quad)rest, exp - 63 - (int)half_pi_low_bits);
    return minus ? -r : r;
}

enum { SINE, COSINE, TANGENT };

static FpNum angle(FpCtx *c, FpNum a, int what)
{
    unsigned q;
    Quad r, s;

    if (a.cls == NUM_ZERO) {
        return what == COSINE ? one() : a;
    }
    r = reduce(a, &q);
    if (what == TANGENT) {
        s = q & 1 ? -1 / tanf128(r) : tanf128(r);
        return round_quad(c, a.sign ? -s : s);
    }
    if (what == COSINE) {
        q++;
    } else if (a.sign) {
        q += 2;
    }
    s = q & 1 ? cosf128(r) : sinf128(r);
    /* Of small angles 113 bits do not show it. */
    return round_near(c, q & 2 ? -s : s, 0, s == (q & 1 ? 1 : r));
}

/* Reports what stops all of them; C2: out of range. */
static bool angle_ready(FpCtx *c, FpNum a, FpNum *v, unsigned *sw)
{
    *sw = 0;
    c->up = false;
    if (fp_is_nan(a)) {
        *v = fp_nan2(c, a, a);
        return false;
    }
    if (a.cls == NUM_INF) {
        *v = invalid(c);
        return false;
    }
    if (a.cls == NUM_FINITE && a.exp >= 63) {
        *sw = FSW_C2;
        *v = a;
        return false;
    }
    fp_note(c, a);
    return true;
}

/* --- of one number -------------------------------------------------------- */

static FpNum exp2_minus_one(FpCtx *c, FpNum a)
{
    if (fp_is_nan(a)) {
        return fp_nan2(c, a, a);
    }
    fp_note(c, a);
    if (a.cls == NUM_ZERO || (a.cls == NUM_INF && !a.sign)) {
        return a;
    }
    if (a.cls == NUM_INF || (a.sign && a.exp == 0 && !(a.mant << 1))) {
        FpNum r = one();        /* -1, and half of it below zero */

        r.sign = true;
        r.exp = a.cls == NUM_INF ? 0 : -1;
        c->flags |= a.cls == NUM_INF ? 0 : MX_PE;
        return r;
    }
    if (a.exp > 0 || (a.exp == 0 && a.mant << 1)) {
        c->flags |= MX_PE;      /* out of range: as Intel's do */
        return a;
    }
    if (a.exp == 0) {
        c->flags |= MX_PE;
        return a;
    }
    if (a.exp < TINY) {         /* nothing of it may get lost */
        return round_near(c, significand_of(a) * M_LN2f128, a.exp, false);
    }
    return round_quad(c, expm1f128(quad_of(a) * M_LN2f128));
}

unsigned soft_x87_unary(uint16_t fcw, SoftX87 op, X86Fp *r, const X86Fp *x)
{
    FpCtx c = soft_begin(fcw);
    FpNum a = fp_get_extended(x), v;
    unsigned sw = 0;

    switch (op) {
    case SOFT_FSQRT:
        v = fp_sqrt(&c, &fp_extended, a);
        break;
    case SOFT_FRNDINT:
        if (!fp_is_nan(a)) {
            fp_note(&c, a);
        }
        v = fp_to_integral(&c, a);
        break;
    case SOFT_F2XM1:
        v = exp2_minus_one(&c, a);
        break;
    default:
        if (angle_ready(&c, a, &v, &sw)) {
            v = angle(&c, a, op == SOFT_FSIN ? SINE : COSINE);
        } else if (sw) {
            return sw;          /* ST(0) stays as it is */
        }
        break;
    }
    return soft_finish(&c, r, v) | sw;
}

/* --- with two results ----------------------------------------------------- */

static void extract(FpCtx *c, FpNum a, FpNum *exponent, FpNum *significand)
{
    FpCtx exact = { .masks = FCW_MASKS, .prec = 64 };

    c->up = false;
    *significand = a;
    switch (a.cls) {
    case NUM_ZERO:
        c->flags |= MX_ZE;
        *exponent = fp_signed(NUM_INF, true);
        break;
    case NUM_INF:
        *exponent = fp_signed(NUM_INF, false);
        break;
    case NUM_FINITE:
        fp_note(c, a);
        *exponent = fp_from_int(&exact, &fp_extended, a.exp);
        significand->exp = 0;
        break;
    default:
        *exponent = *significand = fp_nan2(c, a, a);
        break;
    }
}

unsigned soft_x87_two(uint16_t fcw, SoftX87 op, X86Fp *r, X86Fp *second,
                      const X86Fp *x)
{
    FpCtx c = soft_begin(fcw);
    FpNum a = fp_get_extended(x), v, w;
    unsigned sw = 0;

    if (op == SOFT_FXTRACT) {
        extract(&c, a, &v, &w);
    } else if (!angle_ready(&c, a, &v, &sw)) {
        if (sw) {
            return sw | SOFT_STOPPED;
        }
        w = v;
    } else if (op == SOFT_FSINCOS) {
        w = angle(&c, a, COSINE);
        v = angle(&c, a, SINE);
    } else {
        v = angle(&c, a, TANGENT);
        w = one();
    }
    sw = soft_finish(&c, r, v);
    if (!(sw & SOFT_STOPPED)) {
        fp_put_extended(second, w);
    }
    return sw;
}

/* --- of two numbers ------------------------------------------------------- */

/* b * log2(a), a > 0 */
static FpNum log_times(FpCtx *c, FpNum a, FpNum b)
{
    bool is_one = a.cls == NUM_FINITE && a.exp == 0 && !(a.mant << 1);
    bool below_one = a.cls == NUM_ZERO || (a.cls == NUM_FINITE && a.exp < 0);
    bool sign = b.sign ^ below_one;

    if (a.sign && a.cls != NUM_ZERO) {
        return invalid(c);
    }
    if ((b.cls == NUM_ZERO && (a.cls == NUM_ZERO || a.cls == NUM_INF))
        || (b.cls == NUM_INF && is_one)) {
        return invalid(c);
    }
    if (a.cls == NUM_ZERO && b.cls == NUM_FINITE) {
        c->flags |= MX_ZE;
        return fp_signed(NUM_INF, sign);
    }
    fp_note(c, a);
    fp_note(c, b);
    if (b.cls == NUM_INF || a.cls == NUM_INF || a.cls == NUM_ZERO) {
        return fp_signed(NUM_INF, sign);
    }
    if (is_one || b.cls == NUM_ZERO) {
        return fp_signed(NUM_ZERO, sign);
    }
    if (!(a.mant << 1)) {       /* a power of two: exact but for rounding */
        FpCtx exact = { .masks = FCW_MASKS, .prec = 64 };

        c->prec = 64;
        c->flags |= MX_PE;      /* all the same */
        return fp_mul(c, &fp_extended,
                      fp_from_int(&exact, &fp_extended, a.exp), b);
    }
    return round_near(c, log2f128(quad_of(a)) * significand_of(b), b.exp,
                      false);
}

/* b * log2(a + 1), small a */
static FpNum log_plus_one(FpCtx *c, FpNum a, FpNum b)
{
    bool sign = a.sign ^ b.sign;

    if ((a.cls == NUM_ZERO && b.cls == NUM_INF)
        || (a.cls == NUM_INF && (a.sign || b.cls == NUM_ZERO))) {
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
    if (a.sign && a.exp >= 0) {
        c->flags |= MX_PE;
        return a;               /* undefined: no logarithm */
    }
    if (a.exp < TINY) {
        return round_near(c, significand_of(a) * M_LOG2Ef128
                             * significand_of(b), a.exp + b.exp, false);
    }
    return round_near(c, log1pf128(quad_of(a)) * M_LOG2Ef128
                         * significand_of(b), b.exp, false);
}

/* The angle of (a, b). */
static FpNum arctangent(FpCtx *c, FpNum a, FpNum b)
{
    Quad x, y;

    fp_note(c, a);
    fp_note(c, b);
    if ((b.cls == NUM_ZERO && !a.sign)
        || (b.cls == NUM_FINITE && a.cls == NUM_INF && !a.sign)) {
        return fp_signed(NUM_ZERO, b.sign);
    }
    if (a.cls == NUM_FINITE && b.cls == NUM_FINITE && !a.sign
        && b.exp - a.exp < TINY) {
        return round_near(c, significand_of(b) / significand_of(a),
                          b.exp - a.exp, true);
    }
    x = a.cls == NUM_INF ? (a.sign ? -HUGE_VAL_F128 : HUGE_VAL_F128)
                        : quad_of(a);
    y = b.cls == NUM_INF ? (b.sign ? -HUGE_VAL_F128 : HUGE_VAL_F128)
                        : quad_of(b);
    return round_quad(c, atan2f128(y, x));
}

FpNum soft_transcendental2(FpCtx *c, SoftX87 op, FpNum a, FpNum b)
{
    c->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_nan2(c, a, b);
    }
    return op == SOFT_FYL2X ? log_times(c, a, b)
           : op == SOFT_FYL2XP1 ? log_plus_one(c, a, b)
           : arctangent(c, a, b);
}

/* --- constants ------------------------------------------------------------ */

/* With 66 bits, of which the last two say how the 64 are rounded. */
void soft_x87_constant(uint16_t fcw, SoftConstant which, X86Fp *r)
{
    static const struct {
        int exp;
        uint64_t mant;
        uint8_t more;           /* the next eight bits */
    } constants[] = {
        [SOFT_FLD1] = { 0, UINT64_C(0x8000000000000000), 0 },
        [SOFT_FLDL2T] = { 1, UINT64_C(0xd49a784bcd1b8afe), 0x49 },
        [SOFT_FLDL2E] = { 0, UINT64_C(0xb8aa3b295c17f0bb), 0xbe },
        [SOFT_FLDPI] = { 1, UINT64_C(0xc90fdaa22168c234), 0xc4 },
        [SOFT_FLDLG2] = { -2, UINT64_C(0x9a209a84fbcff798), 0x8f },
        [SOFT_FLDLN2] = { -1, UINT64_C(0xb17217f7d1cf79ab), 0xc9 },
    };
    FpCtx c = soft_begin(fcw);

    c.prec = 64;
    if (which == SOFT_FLDZ) {
        fp_put_extended(r, fp_signed(NUM_ZERO, false));
        return;
    }
    fp_put_extended(r, fp_round(&c, &fp_extended, (FpWide) {
        false, constants[which].exp,
        (SoftU128)constants[which].mant << 64
        | (SoftU128)constants[which].more << 56,
    }));
}
