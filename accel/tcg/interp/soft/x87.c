/*
 * x87's arithmetic, loads and stores on that of float.h.
 *
 * Spec: Intel SDM volume 1, chapter 8; volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/x87.h"

FpCtx soft_begin(uint16_t fcw)
{
    static const uint8_t precisions[4] = { 24, 64, 53, 64 };

    return (FpCtx) {
        .masks = fcw & FCW_MASKS, .rc = fcw >> 10 & 3,
        .prec = precisions[fcw >> 8 & 3],
    };
}

unsigned soft_status(const FpCtx *c)
{
    unsigned unmasked = c->flags & ~c->masks & FCW_MASKS;

    if (unmasked & FSW_PRE) {   /* before the result: there is none */
        return (c->flags & FSW_PRE) | FSW_ES | FSW_B | SOFT_STOPPED;
    }
    return c->flags | (unmasked ? FSW_ES | FSW_B : 0) | (c->up ? FSW_C1 : 0);
}

unsigned soft_finish(const FpCtx *c, X86Fp *r, FpNum v)
{
    unsigned sw = soft_status(c);

    if (!(sw & SOFT_STOPPED)) {
        fp_put_extended(r, v);
    }
    return sw;
}

/* What memory holds, as a value of any format. */
static FpNum operand(FpCtx *c, SoftKind kind, const void *s)
{
    FpCtx exact = { .masks = FCW_MASKS, .prec = 64 };
    X86Fp r = { 0 };

    switch (kind) {
    case SOFT_F32:
        return fp_get(c, &fp_single, load(s, 32));
    case SOFT_F64:
        return fp_get(c, &fp_double, load(s, 64));
    case SOFT_F80:
        memcpy(&r, s, 10);
        return fp_get_extended(&r);
    case SOFT_I16:
        return fp_from_int(&exact, &fp_extended, (int16_t)load(s, 16));
    case SOFT_I32:
        return fp_from_int(&exact, &fp_extended, (int32_t)load(s, 32));
    default:
        return fp_from_int(&exact, &fp_extended, (int64_t)load(s, 64));
    }
}

/* --- arithmetic ----------------------------------------------------------- */

/* a * 2^trunc(b) */
static FpNum scale(FpCtx *c, FpNum a, FpNum b)
{
    FpCtx truncate = { .rc = FP_TRUNCATE };
    FpWide w;

    c->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_nan2(c, a, b);
    }
    if (b.cls == NUM_INF) {
        if (a.cls == (b.sign ? NUM_INF : NUM_ZERO)) {
            c->flags |= MX_IE;
            return fp_indefinite;
        }
        fp_note(c, a);
        return fp_signed(b.sign ? NUM_ZERO : NUM_INF, a.sign);
    }
    fp_note(c, a);
    fp_note(c, b);
    if (a.cls != NUM_FINITE) {
        return a;
    }
    w = fp_widen(a);
    /* Further than the exponent reaches, twice over. */
    w.exp += b.exp > 16 ? (b.sign ? -0x20000 : 0x20000)
                        : fp_to_int(&truncate, b, 32);
    c->prec = 64;
    return fp_round(c, &fp_extended, w);
}

/*
 * The remainder.  Of more than 63 bits of quotient some are taken, C2 is set,
 * and the guest goes on.
 */
static FpNum remainder_of(FpCtx *c, FpNum a, FpNum b, bool nearest,
                          unsigned *cc)
{
    SoftU128 rest, d;
    uint64_t q = 0;
    int diff, steps;
    FpWide w;

    *cc = 0;
    c->up = false;
    if (fp_is_nan(a) || fp_is_nan(b)) {
        return fp_nan2(c, a, b);
    }
    if (a.cls == NUM_INF || b.cls == NUM_ZERO) {
        c->flags |= MX_IE;
        return fp_indefinite;
    }
    fp_note(c, a);
    fp_note(c, b);
    c->prec = 64;
    if (a.cls == NUM_ZERO) {
        return a;
    }
    if (b.cls == NUM_INF) {
        return fp_round(c, &fp_extended, fp_widen(a));
    }
    diff = a.exp - b.exp;
    steps = diff < 64 ? MAX(diff, 0) : (diff & 31) | 32;
    if (diff >= 64) {
        *cc = FSW_C2;
    }
    w = (FpWide) { a.sign, a.exp - steps, 0 };
    rest = a.mant;
    d = b.mant;
    if (diff < 0) {
        d = diff < -1 ? 0 : d << 1;     /* in units of a's */
    } else {
        for (int i = 0; i <= steps; i++) {
            rest <<= i > 0;
            q <<= 1;
            if (rest >= d) {
                rest -= d;
                q |= 1;
            }
        }
    }
    if (nearest && diff < 64 && d
        && (rest << 1 > d || (rest << 1 == d && q & 1))) {
        rest = d - rest;
        w.sign = !w.sign;
        q++;
    }
    if (!*cc) {
        *cc = (q & 4 ? FSW_C0 : 0) | (q & 2 ? FSW_C3 : 0)
              | (q & 1 ? FSW_C1 : 0);
    }
    if (!rest) {
        return fp_signed(NUM_ZERO, a.sign);
    }
    w.mant = rest << 63;        /* at most 65 bits */
    w.exp++;
    return fp_round(c, &fp_extended, w);
}

static unsigned binary(uint16_t fcw, SoftX87 op, X86Fp *r, FpNum a, FpNum b,
                       FpCtx *c)
{
    const FpFormat *f = &fp_extended;
    unsigned cc = 0, sw;
    FpNum v;

    switch (op) {
    case SOFT_FADD:
        v = fp_add(c, f, a, b);
        break;
    case SOFT_FMUL:
        v = fp_mul(c, f, a, b);
        break;
    case SOFT_FSUB:
        v = fp_sub(c, f, a, b);
        break;
    case SOFT_FSUBR:
        v = fp_sub(c, f, b, a);
        break;
    case SOFT_FDIV:
        v = fp_div(c, f, a, b);
        break;
    case SOFT_FDIVR:
        v = fp_div(c, f, b, a);
        break;
    case SOFT_FSCALE:
        v = scale(c, a, b);
        break;
    case SOFT_FPREM:
    case SOFT_FPREM1:
        v = remainder_of(c, a, b, op == SOFT_FPREM1, &cc);
        break;
    default:
        v = soft_transcendental2(c, op, a, b);
        break;
    }
    sw = soft_finish(c, r, v);
    return sw & SOFT_STOPPED ? sw : sw | cc;
}

unsigned soft_x87_binary(uint16_t fcw, SoftX87 op, X86Fp *r, const X86Fp *a,
                         const X86Fp *b)
{
    FpCtx c = soft_begin(fcw);

    return binary(fcw, op, r, fp_get_extended(a), fp_get_extended(b), &c);
}

unsigned soft_x87_binary_mem(uint16_t fcw, SoftX87 op, X86Fp *r,
                             const X86Fp *a, SoftKind kind, const void *s)
{
    FpCtx c = soft_begin(fcw);

    return binary(fcw, op, r, fp_get_extended(a), operand(&c, kind, s), &c);
}

/* --- comparison ----------------------------------------------------------- */

static unsigned compare(FpCtx *c, FpNum a, FpNum b, bool signals)
{
    int how = fp_compare(c, a, b, signals);

    return soft_status(c)
           | (how == FP_UNORDERED ? FSW_C0 | FSW_C2 | FSW_C3
              : how == FP_LT ? FSW_C0 : how == FP_EQ ? FSW_C3 : 0);
}

unsigned soft_x87_compare(uint16_t fcw, const X86Fp *a, const X86Fp *b,
                          bool signals)
{
    FpCtx c = soft_begin(fcw);

    return compare(&c, fp_get_extended(a), fp_get_extended(b), signals);
}

unsigned soft_x87_compare_mem(uint16_t fcw, const X86Fp *a, SoftKind kind,
                              const void *s)
{
    FpCtx c = soft_begin(fcw);

    return compare(&c, fp_get_extended(a), operand(&c, kind, s), true);
}

/* --- loads and stores ----------------------------------------------------- */

static const uint64_t BCD_LIMIT = UINT64_C(1000000000000000000);

static void load_bcd(X86Fp *r, const uint8_t *s)
{
    FpCtx exact = { .masks = FCW_MASKS, .prec = 64 };
    uint64_t v = 0;
    FpNum n;

    for (int i = 8; i >= 0; i--) {
        v = v * 100 + (s[i] >> 4) * 10 + (s[i] & 15);
    }
    n = fp_from_int(&exact, &fp_extended, v);
    n.sign = s[9] >> 7;
    fp_put_extended(r, n);
}

unsigned soft_x87_load(uint16_t fcw, X86Fp *r, SoftKind kind, const void *s)
{
    FpCtx c = soft_begin(fcw);
    unsigned sw;
    FpNum v;

    c.prec = 64;
    if (kind == SOFT_F80) {
        memcpy(r, s, 10);
        return 0;
    }
    if (kind == SOFT_BCD) {
        load_bcd(r, s);
        return 0;
    }
    v = fp_convert(&c, &fp_extended, operand(&c, kind, s));
    sw = soft_status(&c);
    if (!(c.flags & ~c.masks & MX_IE)) {
        sw &= ~(unsigned)SOFT_STOPPED;      /* a denormal is loaded */
        fp_put_extended(r, v);
    }
    return sw;
}

/* Ten bytes.  False: too many digits, or none. */
static bool store_bcd(FpCtx *c, uint8_t *to, FpNum v)
{
    FpNum n = v.cls == NUM_FINITE ? fp_to_integral(c, v) : v;
    uint64_t m;

    if (fp_is_nan(n) || n.cls == NUM_INF || n.exp >= 63) {
        return false;
    }
    m = n.cls == NUM_ZERO ? 0 : n.mant >> (63 - n.exp);
    if (m >= BCD_LIMIT) {
        return false;
    }
    for (unsigned i = 0; i < 9; i++, m /= 100) {
        to[i] = m % 10 | m / 10 % 10 << 4;
    }
    to[9] = n.sign ? 0x80 : 0;
    return true;
}

unsigned soft_x87_store(uint16_t fcw, void *to, const X86Fp *a, SoftKind kind,
                        bool truncate)
{
    static const uint8_t no_bcd[10] = { [7] = 0xc0, 0xff, 0xff };
    static const uint8_t bytes[] = {
        [SOFT_F32] = 4, [SOFT_F64] = 8, [SOFT_F80] = 10, [SOFT_I16] = 2,
        [SOFT_I32] = 4, [SOFT_I64] = 8, [SOFT_BCD] = 10,
    };
    FpCtx c = soft_begin(fcw);
    FpNum v = fp_get_extended(a);
    uint8_t out[16];
    unsigned sw;

    if (truncate) {
        c.rc = FP_TRUNCATE;
    }
    v.denormal = false;         /* no store minds that */
    switch (kind) {
    case SOFT_F32:
    case SOFT_F64: {
        const FpFormat *f = kind == SOFT_F32 ? &fp_single : &fp_double;

        store(out, 64, fp_put(&c, f, fp_convert(&c, f, v)));
        break;
    }
    case SOFT_F80:
        memcpy(out, a, 10);
        break;
    case SOFT_BCD:
        if (!store_bcd(&c, out, v)) {
            c.flags = MX_IE;
            c.up = false;
            memcpy(out, no_bcd, 10);
        }
        break;
    default:
        store(out, 64, fp_to_int(&c, v, bytes[kind] * 8));
        break;
    }
    sw = soft_status(&c);
    /* Nothing is stored for an unmasked exception of the value either. */
    if (c.flags & ~c.masks & (MX_IE | MX_OE | MX_UE)) {
        sw = (sw | SOFT_STOPPED) & ~(unsigned)(FSW_C1 | MX_PE);
        sw = c.flags & ~c.masks & MX_IE ? sw : sw;
    }
    if (!(sw & SOFT_STOPPED)) {
        memcpy(to, out, bytes[kind]);
    }
    return sw;
}
