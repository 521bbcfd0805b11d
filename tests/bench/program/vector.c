/*
 * Rows of floating point, vectors and strings.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rows.h"

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bits(double x)
{
    uint64_t b;

    memcpy(&b, &x, 8);
    return b;
}

/* Five bodies under gravity, one scalar double at a time. */
static uint64_t row_nbody(uint64_t n)
{
    enum { BODIES = 5 };
    typedef struct { double x[3], v[3], m; } Body;
    Body b[BODIES];
    double check = 0;

    for (unsigned i = 0; i < BODIES; i++) {
        for (unsigned k = 0; k < 3; k++) {
            b[i].x[k] = i * 1.25 - k * 0.5 + 1;
            b[i].v[k] = 0.01 * (i * 3 + k) - 0.05;
        }
        b[i].m = 1.0 / (i + 1);
    }
    for (n *= 1000; n--;) {
        for (unsigned i = 0; i < BODIES; i++) {
            for (unsigned j = i + 1; j < BODIES; j++) {
                double d[3], r2 = 0.01, mag;

                for (unsigned k = 0; k < 3; k++) {
                    d[k] = b[i].x[k] - b[j].x[k];
                    r2 += d[k] * d[k];
                }
                mag = 0.001 / (r2 * __builtin_sqrt(r2));
                for (unsigned k = 0; k < 3; k++) {
                    b[i].v[k] -= d[k] * b[j].m * mag;
                    b[j].v[k] += d[k] * b[i].m * mag;
                }
            }
        }
        for (unsigned i = 0; i < BODIES; i++) {
            for (unsigned k = 0; k < 3; k++) {
                b[i].x[k] += 0.001 * b[i].v[k];
            }
        }
    }
    for (unsigned i = 0; i < BODIES; i++) {
        check += b[i].x[0] + b[i].v[1];
    }
    return bits(check);
}

enum { FLOATS = 4096 };

static void fill(float *x, unsigned step)
{
    for (unsigned i = 0; i < FLOATS; i++) {
        x[i] = (float)(i * step % 257) * 0.01f - 1;
    }
}

static uint64_t sum_floats(const float *x)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < FLOATS; i++) {
        uint32_t b;

        memcpy(&b, &x[i], 4);
        sum = sum * 31 + b;
    }
    return sum;
}

/* y = a x + y over 16 KiB, SSE. */
static uint64_t row_saxpy(uint64_t n)
{
    static float x[FLOATS] __attribute__((aligned(64)));
    static float y[FLOATS] __attribute__((aligned(64)));
    __m128 a = _mm_set1_ps(0.125f);

    fill(x, 7);
    fill(y, 11);
    for (n *= 10; n--;) {
        for (unsigned i = 0; i < FLOATS; i += 4) {
            _mm_store_ps(&y[i], _mm_add_ps(_mm_mul_ps(a, _mm_load_ps(&x[i])),
                                           _mm_load_ps(&y[i])));
        }
        a = _mm_mul_ps(a, _mm_set1_ps(-1));
    }
    return sum_floats(y);
}

/* 1/k - 1/k^3 in extended precision. */
static uint64_t row_x87(uint64_t n)
{
    long double sum = 0, mantissa;
    uint64_t out;

    while (n--) {
        for (unsigned k = 1; k <= 10000; k++) {
            long double r = 1.0L / k;

            sum += r - r * r * r;
        }
        sum *= 0.5L;
    }
    mantissa = sum * 1e15L;
    out = (uint64_t)mantissa;
    return out;
}

static uint8_t *blocks(void)
{
    uint8_t *p = aligned_alloc(4096, 2 << 20);

    if (!p) {
        die("memory");
    }
    for (unsigned i = 0; i < 2 << 20; i++) {
        p[i] = i * 13 >> 3;
    }
    return p;
}

static uint64_t sum_bytes(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i += 61) {
        sum = sum * 31 + p[i];
    }
    return sum;
}

/* As memcpy() of a processor with SSE2 does it. */
static uint64_t row_memcpy(uint64_t n)
{
    enum { SIZE = 1 << 20 };
    uint8_t *from = blocks(), *to = from + SIZE;
    uint64_t sum;

    while (n--) {
        for (unsigned i = 0; i < SIZE; i += 64) {
            __m128i a = _mm_loadu_si128((void *)(from + i));
            __m128i b = _mm_loadu_si128((void *)(from + i + 16));
            __m128i c = _mm_loadu_si128((void *)(from + i + 32));
            __m128i d = _mm_loadu_si128((void *)(from + i + 48));

            _mm_storeu_si128((void *)(to + i), a);
            _mm_storeu_si128((void *)(to + i + 16), b);
            _mm_storeu_si128((void *)(to + i + 32), c);
            _mm_storeu_si128((void *)(to + i + 48), d);
        }
        __asm__ volatile("" ::: "memory");
        from[n & 0xfffff]++;
    }
    sum = sum_bytes(to, SIZE);
    free(from);
    return sum;
}

static uint64_t row_movsb(uint64_t n)
{
    enum { SIZE = 64 << 10 };
    uint8_t *from = blocks(), *to = from + SIZE;
    uint64_t sum;

    for (n *= 10; n--;) {
        void *s = from, *d = to;
        size_t c = SIZE;

        __asm__ volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(c) :: "memory");
        from[n & 0xffff]++;
    }
    sum = sum_bytes(to, SIZE);
    free(from);
    return sum;
}

/* A hash of 16 KiB in eight lanes. */
__attribute__((target("avx2"))) static uint64_t row_avx2(uint64_t n)
{
    static uint32_t data[4096] __attribute__((aligned(64)));
    __m256i h = _mm256_set1_epi32(0x811c9dc5);
    __m256i prime = _mm256_set1_epi32(0x01000193);
    uint32_t lane[8];
    uint64_t sum = 0;

    for (unsigned i = 0; i < 4096; i++) {
        data[i] = i * 2654435761u;
    }
    for (n *= 10; n--;) {
        for (unsigned i = 0; i < 4096; i += 8) {
            __m256i x = _mm256_load_si256((void *)(data + i));

            h = _mm256_mullo_epi32(_mm256_xor_si256(h, x), prime);
            h = _mm256_add_epi32(h, _mm256_srli_epi32(x, 5));
        }
        h = _mm256_shuffle_epi32(h, 0x39);
    }
    _mm256_storeu_si256((void *)lane, h);
    for (unsigned i = 0; i < 8; i++) {
        sum = sum * 31 + lane[i];
    }
    return sum;
}

/* y = a x + y over 16 KiB, eight at a time, fused. */
__attribute__((target("avx2,fma"))) static uint64_t row_fma(uint64_t n)
{
    static float x[FLOATS] __attribute__((aligned(64)));
    static float y[FLOATS] __attribute__((aligned(64)));
    __m256 a = _mm256_set1_ps(0.125f);

    fill(x, 7);
    fill(y, 11);
    for (n *= 10; n--;) {
        for (unsigned i = 0; i < FLOATS; i += 8) {
            _mm256_store_ps(&y[i], _mm256_fmadd_ps(a, _mm256_load_ps(&x[i]),
                                                   _mm256_load_ps(&y[i])));
        }
        a = _mm256_mul_ps(a, _mm256_set1_ps(-1));
    }
    return sum_floats(y);
}

/* Ten rounds on each block of 16 KiB, chained. */
__attribute__((target("aes"))) static uint64_t row_aes(uint64_t n)
{
    static __m128i data[1024];
    __m128i key = _mm_set1_epi32(0x2b7e1516), x = key;

    for (unsigned i = 0; i < 1024; i++) {
        data[i] = _mm_set1_epi32(i * 2654435761u);
    }
    while (n--) {
        for (unsigned i = 0; i < 1024; i++) {
            x = _mm_xor_si128(x, data[i]);
            for (unsigned r = 0; r < 9; r++) {
                x = _mm_aesenc_si128(x, key);
            }
            x = _mm_aesenclast_si128(x, key);
        }
    }
    return _mm_cvtsi128_si64(x);
}

/* Rounds and schedule of SHA-256 over 16 KiB. */
__attribute__((target("sha,sse4.1"))) static uint64_t row_sha(uint64_t n)
{
    static __m128i data[1024];
    __m128i a = _mm_set1_epi32(0x6a09e667), b = _mm_set1_epi32(0xbb67ae85);
    __m128i k = _mm_set1_epi32(0x428a2f98);

    for (unsigned i = 0; i < 1024; i++) {
        data[i] = _mm_set1_epi32(i * 2654435761u);
    }
    while (n--) {
        for (unsigned i = 0; i < 1024; i += 4) {
            __m128i m = _mm_sha256msg1_epu32(data[i], data[i + 1]);

            for (unsigned j = 0; j < 16; j += 2) {
                __m128i w = _mm_add_epi32(m, k);

                b = _mm_sha256rnds2_epu32(b, a, w);
                a = _mm_sha256rnds2_epu32(a, b, _mm_shuffle_epi32(w, 14));
                m = _mm_sha256msg2_epu32(m, data[i + 2 + (j & 1)]);
            }
        }
    }
    return _mm_cvtsi128_si64(_mm_xor_si128(a, b));
}

const Row rows_vector[] = {
    { "nbody", row_nbody },
    { "saxpy", row_saxpy },
    { "x87", row_x87 },
    { "memcpy", row_memcpy },
    { "movsb", row_movsb },
    { "avx2", row_avx2, NEED_AVX2 },
    { "fma", row_fma, NEED_AVX2 | NEED_FMA },
    { "aes", row_aes, NEED_AES },
    { "sha", row_sha, NEED_SHA },
    { NULL },
};
