/*
 * AES, SHA and carry-less multiplication in C.
 *
 * Spec: FIPS 197 (AES), FIPS 180-4 (SHA); Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/soft/soft.h"

/* --- AES: the state is 16 bytes, column by column ------------------------- */

static uint8_t sbox[256], inverse_sbox[256];

/* In GF(2^8) with AES' polynomial. */
static uint8_t times(uint8_t a, uint8_t b)
{
    uint8_t r = 0;

    for (; b; b >>= 1) {
        r ^= b & 1 ? a : 0;
        a = a << 1 ^ (a & 0x80 ? 0x1b : 0);
    }
    return r;
}

static uint8_t rotate8(uint8_t v, unsigned n)
{
    return v << n | v >> (8 - n);
}

/* The inverse in the field, then an affine map: FIPS 197, 5.1.1.  Walks all
 * powers of 3 and of its inverse, F6, side by side. */
static gpointer make_sboxes(gpointer unused)
{
    uint8_t p = 1, q = 1;

    do {
        p = times(p, 3);
        q = times(q, 0xf6);
        sbox[p] = q ^ rotate8(q, 1) ^ rotate8(q, 2) ^ rotate8(q, 3)
                  ^ rotate8(q, 4) ^ 0x63;
    } while (p != 1);
    sbox[0] = 0x63;
    for (unsigned i = 0; i < 256; i++) {
        inverse_sbox[sbox[i]] = i;
    }
    return NULL;
}

static void need_sboxes(void)
{
    static GOnce once = G_ONCE_INIT;

    g_once(&once, make_sboxes, NULL);
}

/* ShiftRows and SubBytes, or their inverses. */
static X86Vec shift_and_substitute(const X86Vec *v, bool inverse)
{
    X86Vec r = { 0 };

    need_sboxes();
    for (unsigned i = 0; i < 16; i++) {
        unsigned row = i % 4, from = (inverse ? i - 4 * row : i + 4 * row) % 16;

        r.b[i] = (inverse ? inverse_sbox : sbox)[v->b[from]];
    }
    return r;
}

/* Each column times the polynomial of these four. */
static X86Vec mix_columns(const X86Vec *v, const uint8_t by[4])
{
    X86Vec r = { 0 };

    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 4; k++) {
            r.b[i] ^= times(v->b[i / 4 * 4 + (i + k) % 4], by[k]);
        }
    }
    return r;
}

static const uint8_t mix[4] = { 2, 3, 1, 1 }, unmix[4] = { 14, 11, 13, 9 };

static void aes_round(X86Vec *d, const X86Vec *a, const X86Vec *key,
                      bool inverse, bool last)
{
    X86Vec v = shift_and_substitute(a, inverse);

    if (!last) {
        v = mix_columns(&v, inverse ? unmix : mix);
    }
    d->q[0] = v.q[0] ^ key->q[0];
    d->q[1] = v.q[1] ^ key->q[1];
}

SOFT_INT(AESENC)
{
    aes_round(d, a, b, false, false);
}

SOFT_INT(AESENCLAST)
{
    aes_round(d, a, b, false, true);
}

SOFT_INT(AESDEC)
{
    aes_round(d, a, b, true, false);
}

SOFT_INT(AESDECLAST)
{
    aes_round(d, a, b, true, true);
}

SOFT_INT(AESIMC)
{
    X86Vec v = mix_columns(b, unmix);

    memcpy(d, &v, 16);
}

static uint32_t substitute_word(uint32_t w)
{
    need_sboxes();
    return sbox[w & 255] | sbox[w >> 8 & 255] << 8
           | sbox[w >> 16 & 255] << 16 | (uint32_t)sbox[w >> 24] << 24;
}

static uint32_t rotate(uint32_t v, unsigned right)
{
    return v >> right | v << (32 - right);
}

/* Without the round constant. */
void soft_aeskeygenassist(X86Vec *d, const X86Vec *b)
{
    uint32_t x1 = substitute_word(b->d[1]), x3 = substitute_word(b->d[3]);

    d->d[0] = x1;
    d->d[1] = rotate(x1, 8);
    d->d[2] = x3;
    d->d[3] = rotate(x3, 8);
}

/* --- SHA-1: words from the highest down ----------------------------------- */

static uint32_t sha1_f(unsigned which, uint32_t b, uint32_t c, uint32_t d)
{
    switch (which) {
    case 0:
        return (b & c) ^ (~b & d);
    case 2:
        return (b & c) ^ (b & d) ^ (c & d);
    default:
        return b ^ c ^ d;
    }
}

/* Four rounds; E of the first is in the words already. */
void soft_sha1rnds4(X86Vec *d, const X86Vec *b, unsigned which)
{
    static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc,
                                   0xca62c1d6 };
    uint32_t v[5] = { d->d[3], d->d[2], d->d[1], d->d[0], 0 };

    for (unsigned i = 0; i < 4; i++) {
        uint32_t next = sha1_f(which, v[1], v[2], v[3]) + rotate(v[0], 27)
                        + b->d[3 - i] + v[4] + k[which];

        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate(v[1], 2);
        v[1] = v[0];
        v[0] = next;
    }
    for (unsigned i = 0; i < 4; i++) {
        d->d[3 - i] = v[i];
    }
}

SOFT_INT(SHA1NEXTE)
{
    uint32_t e = rotate(a->d[3], 2);

    memcpy(d, b, 16);
    d->d[3] += e;
}

SOFT_INT(SHA1MSG1)
{
    X86Vec r = { .d = { a->d[0] ^ b->d[2], a->d[1] ^ b->d[3],
                        a->d[2] ^ a->d[0], a->d[3] ^ a->d[1] } };

    memcpy(d, &r, 16);
}

SOFT_INT(SHA1MSG2)
{
    X86Vec r;

    r.d[3] = rotate(a->d[3] ^ b->d[2], 31);
    r.d[2] = rotate(a->d[2] ^ b->d[1], 31);
    r.d[1] = rotate(a->d[1] ^ b->d[0], 31);
    r.d[0] = rotate(a->d[0] ^ r.d[3], 31);
    memcpy(d, &r, 16);
}

/* --- SHA-256 -------------------------------------------------------------- */

/* Two rounds: a and b have the state's CDGH and ABEF, x the words with their
 * constants. */
void soft_SHA256RNDS2(X86Vec *d, const X86Vec *a, const X86Vec *b,
                      const X86Vec *x, unsigned n)
{
    uint32_t v[8] = { b->d[3], b->d[2], a->d[3], a->d[2],
                      b->d[1], b->d[0], a->d[1], a->d[0] };

    for (unsigned i = 0; i < 2; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t t = ((v[4] & v[5]) ^ (~v[4] & v[6])) + s1 + x->d[i] + v[7];
        uint32_t u = t + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2])) + s0;

        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += t;
        v[0] = u;
    }
    d->d[3] = v[0];
    d->d[2] = v[1];
    d->d[1] = v[4];
    d->d[0] = v[5];
}

SOFT_INT(SHA256MSG1)
{
    X86Vec r;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t w = i < 3 ? a->d[i + 1] : b->d[0];

        r.d[i] = a->d[i] + (rotate(w, 7) ^ rotate(w, 18) ^ w >> 3);
    }
    memcpy(d, &r, 16);
}

SOFT_INT(SHA256MSG2)
{
    X86Vec r;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t w = i < 2 ? b->d[i + 2] : r.d[i - 2];

        r.d[i] = a->d[i] + (rotate(w, 17) ^ rotate(w, 19) ^ w >> 10);
    }
    memcpy(d, &r, 16);
}

/* --- PCLMULQDQ ------------------------------------------------------------ */

void soft_pclmul(X86Vec *d, uint64_t x, uint64_t y)
{
    unsigned __int128 r = 0;

    for (unsigned i = 0; i < 64; i++) {
        r ^= y >> i & 1 ? (unsigned __int128)x << i : 0;
    }
    d->q[0] = (uint64_t)r;
    d->q[1] = (uint64_t)(r >> 64);
}
