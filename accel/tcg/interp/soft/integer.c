/*
 * Packed integers of MMX, SSE and AVX in C: n is 8, 16 or 32 bytes.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/soft.h"

#define LANE_BYTES(n) MIN(n, 16u)

X86Vec vec_of(const void *s, unsigned n)
{
    X86Vec v = { 0 };

    memcpy(&v, s, n);
    return v;
}

/* --- element by element: x and y are the operands' ------------------------ */

#define EACH(NAME, type, field, expr)                                       \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / sizeof(type); i++) {                   \
            type x = a->field[i], y = b->field[i];                          \
                                                                            \
            r.field[i] = expr;                                              \
            (void)x;                                                        \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
#define EACH_B(NAME, expr) EACH(NAME, uint8_t, b, expr)
#define EACH_W(NAME, expr) EACH(NAME, uint16_t, w, expr)
#define EACH_D(NAME, expr) EACH(NAME, uint32_t, d, expr)
#define EACH_Q(NAME, expr) EACH(NAME, uint64_t, q, expr)
#define EACH_SB(NAME, expr) EACH(NAME, int8_t, b, expr)
#define EACH_SW(NAME, expr) EACH(NAME, int16_t, w, expr)
#define EACH_SD(NAME, expr) EACH(NAME, int32_t, d, expr)

#define SAT8(v)   CLAMP(v, INT8_MIN, INT8_MAX)
#define SAT16(v)  CLAMP(v, INT16_MIN, INT16_MAX)
#define SATU8(v)  CLAMP(v, 0, UINT8_MAX)
#define SATU16(v) CLAMP(v, 0, UINT16_MAX)

#define LOGIC(NAME, expr)                                                   \
    EACH_Q(P##NAME, expr) EACH_Q(NAME##PS, expr) EACH_Q(NAME##PD, expr)
LOGIC(AND, x & y)
LOGIC(ANDN, ~x & y)
LOGIC(OR, x | y)
LOGIC(XOR, x ^ y)

EACH_B(PADDB, x + y)
EACH_W(PADDW, x + y)
EACH_D(PADDD, x + y)
EACH_Q(PADDQ, x + y)
EACH_B(PSUBB, x - y)
EACH_W(PSUBW, x - y)
EACH_D(PSUBD, x - y)
EACH_Q(PSUBQ, x - y)
EACH_SB(PADDSB, SAT8(x + y))
EACH_SW(PADDSW, SAT16(x + y))
EACH_B(PADDUSB, SATU8(x + y))
EACH_W(PADDUSW, SATU16(x + y))
EACH_SB(PSUBSB, SAT8(x - y))
EACH_SW(PSUBSW, SAT16(x - y))
EACH_B(PSUBUSB, SATU8(x - y))
EACH_W(PSUBUSW, SATU16(x - y))
EACH_B(PAVGB, (x + y + 1) >> 1)
EACH_W(PAVGW, (x + y + 1) >> 1)
EACH_B(PMINUB, MIN(x, y))
EACH_W(PMINUW, MIN(x, y))
EACH_D(PMINUD, MIN(x, y))
EACH_SB(PMINSB, MIN(x, y))
EACH_SW(PMINSW, MIN(x, y))
EACH_SD(PMINSD, MIN(x, y))
EACH_B(PMAXUB, MAX(x, y))
EACH_W(PMAXUW, MAX(x, y))
EACH_D(PMAXUD, MAX(x, y))
EACH_SB(PMAXSB, MAX(x, y))
EACH_SW(PMAXSW, MAX(x, y))
EACH_SD(PMAXSD, MAX(x, y))
EACH_B(PCMPEQB, x == y ? UINT8_MAX : 0)
EACH_W(PCMPEQW, x == y ? UINT16_MAX : 0)
EACH_D(PCMPEQD, x == y ? UINT32_MAX : 0)
EACH_Q(PCMPEQQ, x == y ? UINT64_MAX : 0)
EACH_SB(PCMPGTB, x > y ? -1 : 0)
EACH_SW(PCMPGTW, x > y ? -1 : 0)
EACH_SD(PCMPGTD, x > y ? -1 : 0)
EACH(PCMPGTQ, int64_t, q, x > y ? UINT64_MAX : 0)
EACH_SW(PMULLW, (uint16_t)((uint32_t)x * (uint32_t)y))
EACH_SW(PMULHW, (x * y) >> 16)
EACH_W(PMULHUW, ((uint32_t)x * y) >> 16)
EACH_SW(PMULHRSW, ((x * y >> 14) + 1) >> 1)
EACH_D(PMULLD, x * y)
EACH_Q(PMULUDQ, (uint64_t)(uint32_t)x * (uint32_t)y)
EACH_Q(PMULDQ, (uint64_t)((int64_t)(int32_t)x * (int32_t)y))
EACH_SB(PSIGNB, y < 0 ? (uint8_t)-x : y ? x : 0)
EACH_SW(PSIGNW, y < 0 ? (uint16_t)-x : y ? x : 0)
EACH_D(PSIGND, (int32_t)y < 0 ? -x : y ? x : 0)
EACH_SB(PABSB, y < 0 ? -y : y)
EACH_SW(PABSW, y < 0 ? -y : y)
EACH_D(PABSD, (int32_t)y < 0 ? -y : y)

/* --- pairs ---------------------------------------------------------------- */

SOFT_INT(PMADDWD)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 4; i++) {
        r.d[i] = (uint32_t)((int16_t)a->w[2 * i] * (int16_t)b->w[2 * i])
                 + (uint32_t)((int16_t)a->w[2 * i + 1]
                              * (int16_t)b->w[2 * i + 1]);
    }
    memcpy(d, &r, n);
}

SOFT_INT(PMADDUBSW)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 2; i++) {
        int sum = a->b[2 * i] * (int8_t)b->b[2 * i]
                  + a->b[2 * i + 1] * (int8_t)b->b[2 * i + 1];

        r.w[i] = SAT16(sum);
    }
    memcpy(d, &r, n);
}

SOFT_INT(PSADBW)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 8; i++) {
        r.q[i] = 0;
        for (unsigned k = 8 * i; k < 8 * i + 8; k++) {
            r.q[i] += (unsigned)ABS(a->b[k] - b->b[k]);
        }
    }
    memcpy(d, &r, n);
}

/* Neighbours: the first operand's fill the low half of each lane. */
#define HORIZONTAL(NAME, type, field, expr)                                 \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        unsigned per = LANE_BYTES(n) / sizeof(type);                        \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / sizeof(type); i++) {                   \
            const X86Vec *s = i % per < per / 2 ? a : b;                    \
            unsigned at = i / per * per + i % (per / 2) * 2;                \
            type x = s->field[at], y = s->field[at + 1];                    \
                                                                            \
            r.field[i] = expr;                                              \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
HORIZONTAL(PHADDW, uint16_t, w, x + y)
HORIZONTAL(PHADDD, uint32_t, d, x + y)
HORIZONTAL(PHADDSW, int16_t, w, SAT16(x + y))
HORIZONTAL(PHSUBW, uint16_t, w, x - y)
HORIZONTAL(PHSUBD, uint32_t, d, x - y)
HORIZONTAL(PHSUBSW, int16_t, w, SAT16(x - y))

/* --- moving elements ------------------------------------------------------ */

/* Elements of the low or high halves of each lane, in turn. */
#define UNPACK(NAME, field, size, high)                                     \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        unsigned per = LANE_BYTES(n) / (size);                              \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / (size); i++) {                         \
            unsigned at = i / per * per + i % per / 2                       \
                          + ((high) ? per / 2 : 0);                         \
                                                                            \
            r.field[i] = (i & 1 ? b : a)->field[at];                        \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
UNPACK(PUNPCKLBW, b, 1, false)
UNPACK(PUNPCKLWD, w, 2, false)
UNPACK(PUNPCKLDQ, d, 4, false)
UNPACK(PUNPCKLQDQ, q, 8, false)
UNPACK(PUNPCKHBW, b, 1, true)
UNPACK(PUNPCKHWD, w, 2, true)
UNPACK(PUNPCKHDQ, d, 4, true)
UNPACK(PUNPCKHQDQ, q, 8, true)
UNPACK(UNPCKLPS, d, 4, false)
UNPACK(UNPCKLPD, q, 8, false)
UNPACK(UNPCKHPS, d, 4, true)
UNPACK(UNPCKHPD, q, 8, true)

#define PACK(NAME, to, from, type, size, saturate)                          \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        unsigned per = LANE_BYTES(n) / (size);                              \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / (size); i++) {                         \
            unsigned at = i / per * (per / 2) + i % (per / 2);              \
            type v = (i % per < per / 2 ? a : b)->from[at];                 \
                                                                            \
            r.to[i] = saturate(v);                                          \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
PACK(PACKSSWB, b, w, int16_t, 1, SAT8)
PACK(PACKSSDW, w, d, int32_t, 2, SAT16)
PACK(PACKUSWB, b, w, int16_t, 1, SATU8)
PACK(PACKUSDW, w, d, int32_t, 2, SATU16)

SOFT_INT(PSHUFB)
{
    unsigned lane = LANE_BYTES(n);
    X86Vec r;

    for (unsigned i = 0; i < n; i++) {
        uint8_t sel = b->b[i];

        r.b[i] = sel & 0x80 ? 0 : a->b[i / lane * lane + sel % lane];
    }
    memcpy(d, &r, n);
}

SOFT_INT(MOVSLDUP)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 4; i++) {
        r.d[i] = b->d[i & ~1u];
    }
    memcpy(d, &r, n);
}

SOFT_INT(MOVSHDUP)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 4; i++) {
        r.d[i] = b->d[i | 1];
    }
    memcpy(d, &r, n);
}

#define EXTEND(NAME, to, size, from, type)                                  \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / (size); i++) {                         \
            r.to[i] = (type)b->from[i];                                     \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
EXTEND(PMOVSXBW, w, 2, b, int8_t)
EXTEND(PMOVSXBD, d, 4, b, int8_t)
EXTEND(PMOVSXBQ, q, 8, b, int8_t)
EXTEND(PMOVSXWD, d, 4, w, int16_t)
EXTEND(PMOVSXWQ, q, 8, w, int16_t)
EXTEND(PMOVSXDQ, q, 8, d, int32_t)
EXTEND(PMOVZXBW, w, 2, b, uint8_t)
EXTEND(PMOVZXBD, d, 4, b, uint8_t)
EXTEND(PMOVZXBQ, q, 8, b, uint8_t)
EXTEND(PMOVZXWD, d, 4, w, uint16_t)
EXTEND(PMOVZXWQ, q, 8, w, uint16_t)
EXTEND(PMOVZXDQ, q, 8, d, uint32_t)

/* The mask's signs choose the second source. */
#define BLEND(NAME, field, size)                                            \
    void soft_##NAME(X86Vec *d, const X86Vec *a, const X86Vec *b,           \
                     const X86Vec *mask, unsigned n)                        \
    {                                                                       \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / (size); i++) {                         \
            r.field[i] = (mask->field[i] >> ((size) * 8 - 1) ? b            \
                                                             : a)->field[i];\
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
BLEND(BLENDVPS, d, 4)
BLEND(BLENDVPD, q, 8)
BLEND(PBLENDVB, b, 1)

uint32_t soft_signs(const X86Vec *v, unsigned n, unsigned size)
{
    uint32_t r = 0;

    for (unsigned i = 0; i < n / size; i++) {
        r |= (uint32_t)(v->b[i * size + size - 1] >> 7) << i;
    }
    return r;
}

SOFT_INT(PHMINPOSUW)
{
    unsigned least = 0;

    for (unsigned i = 1; i < 8; i++) {
        least = b->w[i] < b->w[least] ? i : least;
    }
    X86Vec r = { .w = { b->w[least], least } };

    memcpy(d, &r, n);
}

/* --- shifts --------------------------------------------------------------- */

/* By one count, the low half of the second operand. */
#define SHIFT(NAME, type, field, expr, beyond)                              \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        const unsigned bits = sizeof(type) * 8;                             \
        uint64_t count = b->q[0];                                           \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / sizeof(type); i++) {                   \
            type x = a->field[i];                                           \
                                                                            \
            r.field[i] = count < bits ? (expr) : (beyond);                  \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
SHIFT(PSLLW, uint16_t, w, (uint32_t)x << count, 0)
SHIFT(PSLLD, uint32_t, d, x << count, 0)
SHIFT(PSLLQ, uint64_t, q, x << count, 0)
SHIFT(PSRLW, uint16_t, w, x >> count, 0)
SHIFT(PSRLD, uint32_t, d, x >> count, 0)
SHIFT(PSRLQ, uint64_t, q, x >> count, 0)
SHIFT(PSRAW, int16_t, w, x >> count, x >> (bits - 1))
SHIFT(PSRAD, int32_t, d, x >> count, x >> (bits - 1))

/* Each by its own. */
EACH_D(PSLLVD, y < 32 ? x << y : 0)
EACH_Q(PSLLVQ, y < 64 ? x << y : 0)
EACH_D(PSRLVD, y < 32 ? x >> y : 0)
EACH_Q(PSRLVQ, y < 64 ? x >> y : 0)
EACH_D(PSRAVD, (uint32_t)((int32_t)x >> MIN(y, 31)))

/* --- AVX only ------------------------------------------------------------- */

SOFT_INT(PERMILPS)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 4; i++) {
        r.d[i] = a->d[(i & ~3u) | (b->d[i] & 3)];
    }
    memcpy(d, &r, n);
}

SOFT_INT(PERMILPD)
{
    X86Vec r;

    for (unsigned i = 0; i < n / 8; i++) {
        r.q[i] = a->q[(i & ~1u) | (b->q[i] >> 1 & 1)];
    }
    memcpy(d, &r, n);
}

/* Indices are the first source. */
SOFT_INT(VPERMD)
{
    X86Vec r;

    for (unsigned i = 0; i < 8; i++) {
        r.d[i] = b->d[a->d[i] & 7];
    }
    memcpy(d, &r, n);
}

#define BROADCAST(NAME, field, size)                                        \
    SOFT_INT(NAME)                                                          \
    {                                                                       \
        X86Vec r;                                                           \
                                                                            \
        for (unsigned i = 0; i < n / (size); i++) {                         \
            r.field[i] = b->field[0];                                       \
        }                                                                   \
        memcpy(d, &r, n);                                                   \
    }
BROADCAST(PBROADCASTB, b, 1)
BROADCAST(PBROADCASTW, w, 2)
BROADCAST(PBROADCASTD, d, 4)
BROADCAST(PBROADCASTQ, q, 8)

SOFT_INT(VBROADCASTF128)
{
    X86Vec r = { .q = { b->q[0], b->q[1], b->q[0], b->q[1] } };

    memcpy(d, &r, n);
}
