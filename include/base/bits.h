/*
 * Bits and bytes: containers, fields, unaligned little- and big-endian access.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)

#define NS_PER_SEC  INT64_C(1000000000)
#define NS_PER_MS   INT64_C(1000000)
#define NS_PER_US   INT64_C(1000)

#define BIT(n)      (UINT32_C(1) << (n))
#define BIT64(n)    (UINT64_C(1) << (n))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The structure of type `type` whose field `member` is at `ptr`. */
#define container_of(ptr, type, member) \
    ((type *)((char *)(1 ? (ptr) : &((type *)0)->member) \
              - offsetof(type, member)))

/* `v` rounded down or up to a multiple of `to`, a power of two. */
#define ALIGN_DOWN(v, to) ((v) & ~((__typeof__(v))(to) - 1))
#define ALIGN_UP(v, to)   ALIGN_DOWN((v) + ((__typeof__(v))(to) - 1), to)

/* `len` bits of `v` from bit `at` (0 < len <= 64, at + len <= 64). */
static inline uint64_t bits_get(uint64_t v, unsigned at, unsigned len)
{
    return (v >> at) & (~UINT64_C(0) >> (64 - len));
}

/* `v` with its `len` bits from bit `at` replaced by the low bits of `with`. */
static inline uint64_t bits_set(uint64_t v, unsigned at, unsigned len,
                                uint64_t with)
{
    uint64_t mask = (~UINT64_C(0) >> (64 - len)) << at;

    return (v & ~mask) | ((with << at) & mask);
}

/* The largest value of `size` bytes (1 to 8). */
static inline uint64_t size_mask(unsigned size_bytes)
{
    return ~UINT64_C(0) >> (64 - 8 * size_bytes);
}

/* Unaligned access in a stated byte order; the host is little-endian. */
#define DEFINE_LOAD_STORE(bits)                                             \
    static inline uint##bits##_t load_le##bits(const void *p)               \
    {                                                                       \
        uint##bits##_t v;                                                   \
        memcpy(&v, p, sizeof(v));                                           \
        return GUINT##bits##_FROM_LE(v);                                    \
    }                                                                       \
    static inline uint##bits##_t load_be##bits(const void *p)               \
    {                                                                       \
        uint##bits##_t v;                                                   \
        memcpy(&v, p, sizeof(v));                                           \
        return GUINT##bits##_FROM_BE(v);                                    \
    }                                                                       \
    static inline void store_le##bits(void *p, uint##bits##_t v)            \
    {                                                                       \
        v = GUINT##bits##_TO_LE(v);                                         \
        memcpy(p, &v, sizeof(v));                                           \
    }                                                                       \
    static inline void store_be##bits(void *p, uint##bits##_t v)            \
    {                                                                       \
        v = GUINT##bits##_TO_BE(v);                                         \
        memcpy(p, &v, sizeof(v));                                           \
    }
DEFINE_LOAD_STORE(16)
DEFINE_LOAD_STORE(32)
DEFINE_LOAD_STORE(64)
#undef DEFINE_LOAD_STORE

/* The low `size` bytes (1, 2, 4, 8) at `p`, little-endian. */
static inline uint64_t load_le(const void *p, unsigned size_bytes)
{
    uint64_t v = 0;

    memcpy(&v, p, size_bytes);
    return GUINT64_FROM_LE(v);
}

/* Store the low `size` bytes (1 to 8) of `v` at `p`, little-endian. */
static inline void store_le(void *p, unsigned size_bytes, uint64_t v)
{
    v = GUINT64_TO_LE(v);
    memcpy(p, &v, size_bytes);
}

#endif
