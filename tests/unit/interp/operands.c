/*
 * Random operands for the tests of x87 and vector instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "operands.h"

#include "accel/tcg/interp/x87.h"
#include "native.h"

/* --- random values ----------------------------------------------------------- */

static uint32_t some_f32(void)
{
    static const uint32_t special[] = {
        0, 0x3f800000, 0x3f800001, 0x00000001, 0x007fffff, 0x00800000,
        0x7f7fffff, 0x7f800000, 0x7fc00000, 0x7fa00000, 0x7f800001, 0x7fffffff,
        0x4effffff, 0x4f000000, 0x4f000001, 0x5effffff, 0x5f000000, 0x3f000000,
        0x3fc00000, 0x40200000, 0x4b000000, 0x33800000, 0x00400000, 0x1f800000,
        0x7effffff, 0x46ffffff, 0x477fe000, 0x38800000, 0x33000000, 0x477ff000,
    };
    uint32_t v = one_in(2) ? special[below(G_N_ELEMENTS(special))]
                 : one_in(2) ? (uint32_t)rnd()
                 : 0x3f800000 + ((uint32_t)rnd() & 0x07ffffff) - 0x02000000;

    return v ^ (uint32_t)(rnd() & 0x80000000);
}

static uint64_t some_f64(void)
{
    static const uint64_t special[] = {
        0, 0x3ff0000000000000, 0x3ff0000000000001, 1, 0x000fffffffffffff,
        0x0010000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
        0x7ff8000000000000, 0x7ff4000000000000, 0x7ff0000000000001,
        0x41dfffffffc00000, 0x41e0000000000000, 0x41dfffffffe00000,
        0x43e0000000000000, 0x43dfffffffffffff, 0x3fe0000000000000,
        0x3ff8000000000000, 0x4004000000000000, 0x4330000000000000,
        0x47efffffe0000000, 0x47effffff0000000, 0x380fffffffffffff,
        0x36a0000000000000, 0x3810000000000000, 0x3690000000000000,
    };
    uint64_t v = one_in(2) ? special[below(G_N_ELEMENTS(special))]
                 : one_in(2) ? rnd()
                 : 0x3ff0000000000000 + (rnd() & 0x07ffffffffffffff)
                   - 0x0200000000000000;

    return v ^ (rnd() & UINT64_C(1) << 63);
}

void some_f80(X86Fp *r)
{
    static const X86Fp special[] = {
        { .mant = 0, .exp_sign = 0 },
        { .mant = 0x8000000000000000, .exp_sign = 0x3fff },     /* 1 */
        { .mant = 0x8000000000000001, .exp_sign = 0x3fff },
        { .mant = 0xc000000000000000, .exp_sign = 0x4000 },     /* 3 */
        { .mant = 1, .exp_sign = 0 },                           /* denormals */
        { .mant = 0x7fffffffffffffff, .exp_sign = 0 },
        { .mant = 0x8000000000000000, .exp_sign = 0 },
        { .mant = 0x8000000000000000, .exp_sign = 1 },
        { .mant = 0xffffffffffffffff, .exp_sign = 0x7ffe },
        { .mant = 0x8000000000000000, .exp_sign = 0x7fff },     /* infinity */
        { .mant = 0xc000000000000000, .exp_sign = 0x7fff },     /* NaNs */
        { .mant = 0xa000000000000000, .exp_sign = 0x7fff },
        { .mant = 0x8000000000000001, .exp_sign = 0x7fff },
        { .mant = 0x4000000000000000, .exp_sign = 0x7fff },     /* pseudo */
        { .mant = 0, .exp_sign = 0x7fff },
        { .mant = 0x4000000000000000, .exp_sign = 0x3fff },     /* unnormal */
        { .mant = 0x8000000000000000, .exp_sign = 0x3ffe },     /* .5 */
        { .mant = 0xc90fdaa22168c235, .exp_sign = 0x3fff },     /* pi / 2 */
        { .mant = 0x8000000000000000, .exp_sign = 0x403e },     /* 2^63 */
        { .mant = 0xffffffffffffffff, .exp_sign = 0x403d },
        { .mant = 0xde0b6b3a763ffff0, .exp_sign = 0x403a },     /* 10^18 - 1 */
        { .mant = 0xde0b6b3a76400000, .exp_sign = 0x403a },
        { .mant = 0xfffe000000000000, .exp_sign = 0x400d },     /* 32767 */
        { .mant = 0xffff000000000000, .exp_sign = 0x400d },     /* 32767.5 */
        { .mant = 0xffffffff00000000, .exp_sign = 0x401d },
        { .mant = 0xffffffffffffffff, .exp_sign = 0x407e },     /* > float */
        { .mant = 0x8000000000000000, .exp_sign = 0x3f81 },
        { .mant = 0x8000000000000000, .exp_sign = 0x3f69 },
        { .mant = 0xffffffffffffffff, .exp_sign = 0x43fe },     /* > double */
        { .mant = 0x8000000000000000, .exp_sign = 0x3bcd },
    };

    memset(r, 0, sizeof(*r));
    if (one_in(2)) {
        *r = special[below(G_N_ELEMENTS(special))];
    } else {
        r->mant = rnd() | UINT64_C(1) << 63;
        r->exp_sign = one_in(4) ? rnd() & 0x7fff
                      : 0x3fff - 70 + below(140);
    }
    r->exp_sign ^= rnd() & 0x8000;
}

/* `n` bytes (a multiple of 8) as operands may be. */
void some_bytes(void *buf, unsigned n)
{
    uint8_t *b = buf;
    unsigned kind = below(5);

    for (unsigned i = 0; i < n; i += 8) {
        uint64_t v = kind == 0 ? rnd()
                     : kind == 1 ? some_f32() | (uint64_t)some_f32() << 32
                     : kind == 2 ? some_f64()
                     : kind == 3 ? rnd() & rnd() & UINT64_C(0x0f07030100010203)
                     : (rnd() & 1) ? 0 : ~UINT64_C(0);

        memcpy(b + i, &v, 8);
    }
}

/* --- a state --------------------------------------------------------------- */

void some_state(X86State *s)
{
    memset(s, 0, sizeof(*s));
    s->cr0 = CR0_PE | CR0_MP | CR0_NE | CR0_ET | CR0_PG;
    s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s->rflags = (rnd() & FL_ARITH) | 2;
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = one_in(2) ? rnd() : rnd() >> below(64);
        some_bytes(&s->vec[i], native_has_avx() ? 32 : 16);
    }
    s->mxcsr = (rnd() & (MX_FLAGS | MX_RC | MX_FZ | MX_DAZ)) | MX_MASKS;
    if (one_in(2)) {
        s->mxcsr &= ~(MX_RC | MX_FZ | MX_DAZ);
    }
    if (one_in(3)) {
        s->mxcsr &= ~(rnd() & MX_MASKS);
    }
    s->fcw = 0x40 | (rnd() & 0xf00) | FCW_MASKS;
    if (one_in(2)) {
        s->fcw = FCW_DEFAULT;
    }
    if (one_in(3)) {
        s->fcw &= ~(rnd() & FCW_MASKS);
    }
    s->fsw = rnd() & (FSW_CC | FSW_TOP);
    if (one_in(2)) {
        s->fsw |= rnd() & (one_in(8) ? FCW_MASKS | FSW_SF
                                     : s->fcw & FCW_MASKS);
    }
    if (s->fsw & ~s->fcw & FCW_MASKS) {
        s->fsw |= FSW_ES | FSW_B;
    }
    s->ftw = one_in(3) ? rnd() : one_in(2) ? 0xff : 0xff & ~(1 << below(8));
    if (one_in(3)) {
        s->ftw = ((1 << 4) - 1) << (s->fsw >> 11 & 7);  /* ST(0) to ST(3) */
        s->ftw |= 15 >> (8 - (s->fsw >> 11 & 7));
    }
    for (unsigned i = 0; i < 8; i++) {
        some_f80(&s->fpr[i]);
    }
}
