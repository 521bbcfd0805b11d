/*
 * SSE and AVX instructions that move elements about by an immediate, shifts by
 * an immediate, and what sets flags or general registers from integer vectors.
 *
 * Most in C, on one or two 128-bit lanes: the host could not take the immediate from
 * a register anyway.
 *
 * Spec:   Intel SDM volume 2.
 * Models: for each instruction the legacy form (bits above 127 stay) and the
 *         VEX form (they become zero).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/interp/soft/soft.h"

/* --- what they do: a is the first source, b the second; `n` bytes --------- */

#define LANES(n) for (unsigned l = 0; l < (n) / 16; l++)

TEMPLATE X86Vec do_pshufd(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    LANES(n) {
        for (unsigned i = 0; i < 4; i++) {
            a.d[4 * l + i] = b.d[4 * l + (imm >> 2 * i & 3)];
        }
    }
    return a;
}

TEMPLATE X86Vec do_pshuflw(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    LANES(n) {
        for (unsigned i = 0; i < 4; i++) {
            a.w[8 * l + i] = b.w[8 * l + (imm >> 2 * i & 3)];
        }
        a.q[2 * l + 1] = b.q[2 * l + 1];
    }
    return a;
}

TEMPLATE X86Vec do_pshufhw(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    LANES(n) {
        for (unsigned i = 0; i < 4; i++) {
            a.w[8 * l + 4 + i] = b.w[8 * l + 4 + (imm >> 2 * i & 3)];
        }
        a.q[2 * l] = b.q[2 * l];
    }
    return a;
}

TEMPLATE X86Vec do_shufps(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    X86Vec r = a;

    LANES(n) {
        for (unsigned i = 0; i < 4; i++) {
            r.d[4 * l + i] = (i < 2 ? &a : &b)->d[4 * l + (imm >> 2 * i & 3)];
        }
    }
    return r;
}

TEMPLATE X86Vec do_shufpd(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    LANES(n) {
        a.q[2 * l] = a.q[2 * l + (imm >> 2 * l & 1)];
        a.q[2 * l + 1] = b.q[2 * l + (imm >> (2 * l + 1) & 1)];
    }
    return a;
}

TEMPLATE X86Vec do_blendps(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    for (unsigned i = 0; i < n / 4; i++) {
        a.d[i] = imm >> i & 1 ? b.d[i] : a.d[i];
    }
    return a;
}

TEMPLATE X86Vec do_blendpd(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    for (unsigned i = 0; i < n / 8; i++) {
        a.q[i] = imm >> i & 1 ? b.q[i] : a.q[i];
    }
    return a;
}

TEMPLATE X86Vec do_pblendw(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    for (unsigned i = 0; i < n / 2; i++) {
        a.w[i] = imm >> (i & 7) & 1 ? b.w[i] : a.w[i];
    }
    return a;
}

TEMPLATE X86Vec do_palignr(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    X86Vec r = a;

    LANES(n) {
        for (unsigned i = 0; i < 16; i++) {
            unsigned k = i + imm;

            r.b[16 * l + i] = k < 16 ? b.b[16 * l + k]
                              : k < 32 ? a.b[16 * l + k - 16] : 0;
        }
    }
    return r;
}

TEMPLATE X86Vec do_pslldq(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    LANES(n) {
        for (unsigned i = 0; i < 16; i++) {
            a.b[16 * l + i] = i >= imm ? b.b[16 * l + i - imm] : 0;
        }
    }
    return a;
}

TEMPLATE X86Vec do_psrldq(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    LANES(n) {
        for (unsigned i = 0; i < 16; i++) {
            a.b[16 * l + i] = i + imm < 16 ? b.b[16 * l + i + imm] : 0;
        }
    }
    return a;
}

/* Sums of absolute differences of four bytes of b with eleven of a. */
TEMPLATE X86Vec do_mpsadbw(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    X86Vec r = a;

    LANES(n) {
        const uint8_t *x = a.b + 16 * l + (imm >> (3 * l + 2) & 1) * 4;
        const uint8_t *y = b.b + 16 * l + (imm >> 3 * l & 3) * 4;

        for (unsigned i = 0; i < 8; i++) {
            unsigned sum = 0;

            for (unsigned k = 0; k < 4; k++) {
                sum += ABS(x[i + k] - y[k]);
            }
            r.w[8 * l + i] = sum;
        }
    }
    return r;
}

/* Only the multiplicands depend on the immediate. */
TEMPLATE X86Vec do_pclmulqdq(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    uint64_t x = a.q[imm & 1], y = b.q[imm >> 4 & 1];

#if HOST_UNITS
    asm("movq %1, %%xmm0\n\tmovq %2, %%xmm1\n\t"
        "pclmulqdq $0, %%xmm1, %%xmm0\n\tmovdqa %%xmm0, %0"
        : "=m"(*(unsigned __int128 *)&a) : "r"(x), "r"(y) : "xmm0", "xmm1");
#else
    soft_pclmul(&a, x, y);
#endif
    return a;
}

/* The round constant is only added at the end. */
TEMPLATE X86Vec do_aeskeygenassist(X86Vec a, X86Vec b, unsigned imm,
                                   unsigned n)
{
#if HOST_UNITS
    asm("movdqa %1, %%xmm0\n\taeskeygenassist $0, %%xmm0, %%xmm0\n\t"
        "movdqa %%xmm0, %0"
        : "=m"(*(unsigned __int128 *)&a) : "m"(*(unsigned __int128 *)&b)
        : "xmm0");
#else
    soft_aeskeygenassist(&a, &b);
#endif
    a.d[1] ^= imm;
    a.d[3] ^= imm;
    return a;
}

TEMPLATE X86Vec do_sha1rnds4(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
#if HOST_UNITS
#define ROUNDS(i)                                                           \
    case i:                                                                 \
        asm("movdqa %0, %%xmm0\n\tmovdqa %1, %%xmm1\n\t"                    \
            "sha1rnds4 $" #i ", %%xmm1, %%xmm0\n\tmovdqa %%xmm0, %0"        \
            : "+m"(*(unsigned __int128 *)&a)                                \
            : "m"(*(unsigned __int128 *)&b) : "xmm0", "xmm1");              \
        break;
    switch (imm & 3) {
    ROUNDS(0)
    ROUNDS(1)
    ROUNDS(2)
    ROUNDS(3)
    }
#undef ROUNDS
#else
    soft_sha1rnds4(&a, &b, imm & 3);
#endif
    return a;
}

/* AVX and AVX2 only. */

TEMPLATE X86Vec do_vpermilps(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    return do_pshufd(a, b, imm, n);
}

TEMPLATE X86Vec do_vpermilpd(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    for (unsigned i = 0; i < n / 8; i++) {
        a.q[i] = b.q[(i & 2) + (imm >> i & 1)];
    }
    return a;
}

TEMPLATE X86Vec do_vpermq(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    for (unsigned i = 0; i < 4; i++) {
        a.q[i] = b.q[imm >> 2 * i & 3];
    }
    return a;
}

TEMPLATE X86Vec do_vperm2f128(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    X86Vec r;

    for (unsigned l = 0; l < 2; l++, imm >>= 4) {
        const X86Vec *s = imm & 2 ? &b : &a;

        for (unsigned i = 0; i < 2; i++) {
            r.q[2 * l + i] = imm & 8 ? 0 : s->q[(imm & 1) * 2 + i];
        }
    }
    return r;
}

TEMPLATE X86Vec do_vinsertf128(X86Vec a, X86Vec b, unsigned imm, unsigned n)
{
    a.q[(imm & 1) * 2] = b.q[0];
    a.q[(imm & 1) * 2 + 1] = b.q[1];
    return a;
}

/* --- handlers ------------------------------------------------------------- */

/*
 * reg = fn(a, rm, imm), on `n` bytes, of which `bytes` are read of memory.
 * `two`: the VEX form has a first source in vvvv.
 */
#define SHUFFLE(NAME, fn, vex, two, n, bytes)                               \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg], b, r;                           \
        const X86Vec *a = (vex) && (two) ? &env->s.vec[insn_vvvv(insn)] : d; \
        const void *s;                                                      \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        s = xm_rd(env, insn, bytes, !(vex) && (bytes) == 16, slow);         \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        memcpy(&b, s, bytes);                                               \
        r = fn(*a, b, (uint8_t)insn->imm, n);                               \
        memcpy(d, &r, n);                                                   \
        if ((vex) && (n) == 16) {                                           \
            vec_zero_upper(d);                                              \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

/* op, function, a first source in vvvv? */
#define BOTH(X)                                                             \
    X(PSHUFD, do_pshufd, false)                                             \
    X(PSHUFLW, do_pshuflw, false)                                           \
    X(PSHUFHW, do_pshufhw, false)                                           \
    X(SHUFPS, do_shufps, true)                                              \
    X(SHUFPD, do_shufpd, true)                                              \
    X(BLENDPS, do_blendps, true)                                            \
    X(BLENDPD, do_blendpd, true)                                            \
    X(PBLENDW, do_pblendw, true)                                            \
    X(PALIGNR, do_palignr, true)                                            \
    X(MPSADBW, do_mpsadbw, true)

#define BOTH_128(X)                                                         \
    X(PCLMULQDQ, do_pclmulqdq, true)                                        \
    X(AESKEYGENASSIST, do_aeskeygenassist, false)

#define VEX_ONLY(X)                                                         \
    X(VPERMILPS, do_vpermilps, false)                                       \
    X(VPERMILPD, do_vpermilpd, false)                                       \
    X(VPBLENDD, do_blendps, true)

#define VEX_256(X)                                                          \
    X(VPERMQ, do_vpermq, false, 32)                                         \
    X(VPERMPD, do_vpermq, false, 32)                                        \
    X(VPERM2F128, do_vperm2f128, true, 32)                                  \
    X(VPERM2I128, do_vperm2f128, true, 32)                                  \
    X(VINSERTF128, do_vinsertf128, true, 16)                                \
    X(VINSERTI128, do_vinsertf128, true, 16)

#define X(NAME, fn, two)                            \
    SHUFFLE(NAME, fn, false, two, 16, 16)           \
    SHUFFLE(V##NAME, fn, true, two, 16, 16)         \
    SHUFFLE(V##NAME##_256, fn, true, two, 32, 32)
BOTH(X)
#undef X
#define X(NAME, fn, two)                            \
    SHUFFLE(NAME, fn, false, two, 16, 16)           \
    SHUFFLE(V##NAME, fn, true, two, 16, 16)
BOTH_128(X)
#undef X
#define X(NAME, fn, two)                            \
    SHUFFLE(NAME, fn, true, two, 16, 16)            \
    SHUFFLE(NAME##_256, fn, true, two, 32, 32)
VEX_ONLY(X)
#undef X
#define X(NAME, fn, two, bytes) SHUFFLE(NAME, fn, true, two, 32, bytes)
VEX_256(X)
#undef X
SHUFFLE(SHA1RNDS4, do_sha1rnds4, false, true, 16, 16)

/* Byte shifts: the legacy form has its only register in rm. */
#define BYTE_SHIFT(NAME, fn)                                                \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->rm], r;                               \
                                                                            \
        NEED_SSE(env, insn);                                                \
        r = fn(*d, *d, (uint8_t)insn->imm, 16);                             \
        memcpy(d, &r, 16);                                                  \
        NEXT(env, insn);                                                    \
    }                                                                       \
    SHUFFLE(V##NAME, fn, true, false, 16, 16)                               \
    SHUFFLE(V##NAME##_256, fn, true, false, 32, 32)
BYTE_SHIFT(PSLLDQ, do_pslldq)
BYTE_SHIFT(PSRLDQ, do_psrldq)

/* --- shifts of elements by an immediate ----------------------------------- */

#define SHIFTS(X)                                                           \
    X(PSLLW, "psllw") X(PSLLD, "pslld") X(PSLLQ, "psllq")                   \
    X(PSRLW, "psrlw") X(PSRLD, "psrld") X(PSRLQ, "psrlq")                   \
    X(PSRAW, "psraw") X(PSRAD, "psrad")

/* d = a shifted by the immediate: 16 bytes, or 32. */
#if HOST_UNITS
#define RUN_SHIFT(NAME, mnem, d, a)                                         \
    asm volatile("movd %2, %%xmm1\n\tmovdqa (%1), %%xmm0\n\t"               \
                 mnem " %%xmm1, %%xmm0\n\tmovdqa %%xmm0, (%0)"              \
                 : : "r"(d), "r"(a), "r"((uint32_t)(uint8_t)insn->imm)      \
                 : "xmm0", "xmm1", "memory")
#define RUN_SHIFT_256(NAME, mnem, d, a)                                     \
    asm volatile("vmovd %2, %%xmm1\n\tvmovdqa (%1), %%ymm0\n\t"             \
                 "v" mnem " %%xmm1, %%ymm0, %%ymm0\n\t"                     \
                 "vmovdqa %%ymm0, (%0)\n\tvzeroupper"                       \
                 : : "r"(d), "r"(a), "r"((uint32_t)(uint8_t)insn->imm)      \
                 : "xmm0", "xmm1", "memory")
#else
#define SOFT_SHIFT(NAME, d, a, n)                                           \
    do {                                                                    \
        X86Vec count = { .q = { (uint8_t)insn->imm } };                     \
                                                                            \
        soft_##NAME(d, a, &count, n);                                       \
    } while (0)
#define RUN_SHIFT(NAME, mnem, d, a)     SOFT_SHIFT(NAME, d, a, 16)
#define RUN_SHIFT_256(NAME, mnem, d, a) SOFT_SHIFT(NAME, d, a, 32)
#endif

#define X(NAME, mnem)                                                       \
    static const Insn *NAME##_I(Env *env, const Insn *insn)                 \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->rm];                                  \
                                                                            \
        NEED_SSE(env, insn);                                                \
        RUN_SHIFT(NAME, mnem, d, d);                                        \
        NEXT(env, insn);                                                    \
    }                                                                       \
    static const Insn *V##NAME##_I(Env *env, const Insn *insn)              \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
                                                                            \
        NEED_AVX(env, insn);                                                \
        RUN_SHIFT(NAME, mnem, d, &env->s.vec[insn->rm]);                    \
        vec_zero_upper(d);                                                  \
        NEXT(env, insn);                                                    \
    }                                                                       \
    static const Insn *V##NAME##_I_256(Env *env, const Insn *insn)          \
    {                                                                       \
        NEED_AVX(env, insn);                                                \
        RUN_SHIFT_256(NAME, mnem, &env->s.vec[insn->reg],                   \
                      &env->s.vec[insn->rm]);                               \
        NEXT(env, insn);                                                    \
    }
SHIFTS(X)
#undef X

/* --- one element in and out ----------------------------------------------- */

/* `r`: the field of the element, `m`: of the index. */
#define INSERT(NAME, vex, r, bits, m)                                       \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        uint64_t val = env->s.gpr[insn->rm];                                \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        if (insn->flags & INSN_MEM) {                                       \
            const void *s = mem_rd(env, insn, bits / 8, false, slow);       \
                                                                            \
            if (unlikely(!s)) {                                             \
                MISS(env, insn, slow);                                      \
            }                                                               \
            val = load(s, bits);                                            \
        }                                                                   \
        if (vex) {                                                          \
            memcpy(d, &env->s.vec[insn_vvvv(insn)], 16);                    \
            vec_zero_upper(d);                                              \
        }                                                                   \
        d->r[insn->imm & (m)] = val;                                        \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define EXTRACT(NAME, vex, r, bits, m)                                      \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        uint64_t val = env->s.vec[insn->reg].r[insn->imm & (m)];            \
        void *p;                                                            \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        if (!(insn->flags & INSN_MEM)) {                                    \
            env->s.gpr[insn->rm] = val;                                     \
            NEXT(env, insn);                                                \
        }                                                                   \
        p = mem_wr(env, insn, bits / 8, false, slow);                       \
        if (unlikely(!p)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        store(p, bits, val);                                                \
        stored(env, p, slow);                                               \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

INSERT(PINSRB, false, b, 8, 15)
INSERT(PINSRW, false, w, 16, 7)
INSERT(PINSRD, false, d, 32, 3)
INSERT(PINSRQ, false, q, 64, 1)
INSERT(VPINSRB, true, b, 8, 15)
INSERT(VPINSRW, true, w, 16, 7)
INSERT(VPINSRD, true, d, 32, 3)
INSERT(VPINSRQ, true, q, 64, 1)
EXTRACT(PEXTRB, false, b, 8, 15)
EXTRACT(PEXTRW, false, w, 16, 7)
EXTRACT(PEXTRD, false, d, 32, 3)
EXTRACT(PEXTRQ, false, q, 64, 1)
EXTRACT(VPEXTRB, true, b, 8, 15)
EXTRACT(VPEXTRW, true, w, 16, 7)
EXTRACT(VPEXTRD, true, d, 32, 3)
EXTRACT(VPEXTRQ, true, q, 64, 1)

/* The old PEXTRW: from rm, to reg. */
#define EXTRACT_RM(NAME, need)                                              \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        need(env, insn);                                                    \
        env->s.gpr[insn->reg] = env->s.vec[insn->rm].w[insn->imm & 7];      \
        NEXT(env, insn);                                                    \
    }
EXTRACT_RM(PEXTRW_R, NEED_SSE)
EXTRACT_RM(VPEXTRW_R, NEED_AVX)

/* INSERTPS: from one element of a register or 4 bytes of memory; then zeroes. */
#define INSERTPS_BODY(NAME, vex)                                            \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        X86Vec *d = &env->s.vec[insn->reg];                                 \
        uint32_t val = env->s.vec[insn->rm].d[insn->imm >> 6 & 3];          \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        if (insn->flags & INSN_MEM) {                                       \
            const void *s = mem_rd(env, insn, 4, false, slow);              \
                                                                            \
            if (unlikely(!s)) {                                             \
                MISS(env, insn, slow);                                      \
            }                                                               \
            val = load(s, 32);                                              \
        }                                                                   \
        if (vex) {                                                          \
            memcpy(d, &env->s.vec[insn_vvvv(insn)], 16);                    \
            vec_zero_upper(d);                                              \
        }                                                                   \
        d->d[insn->imm >> 4 & 3] = val;                                     \
        for (unsigned i = 0; i < 4; i++) {                                  \
            if (insn->imm >> i & 1) {                                       \
                d->d[i] = 0;                                                \
            }                                                               \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
INSERTPS_BODY(INSERTPS, false)
INSERTPS_BODY(VINSERTPS, true)

/* --- PTEST and masked byte stores ----------------------------------------- */

/* ZF: no bit of `sign` in both; CF: none in the second that is not in the
 * first. */
#define TEST(NAME, vex, n, sign)                                            \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const X86Vec *a = &env->s.vec[insn->reg];                           \
        const uint64_t *s;                                                  \
        uint64_t both = 0, only = 0;                                        \
                                                                            \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        s = xm_rd(env, insn, n, !(vex), slow);                              \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        for (unsigned i = 0; i < (n) / 8; i++) {                            \
            uint64_t b = load(&s[i], 64) & (sign);                          \
                                                                            \
            both |= b & a->q[i];                                            \
            only |= b & ~a->q[i];                                           \
        }                                                                   \
        cc_set(env, (both ? 0 : FL_ZF) | (only ? 0 : FL_CF));               \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
#define SIGNS_PS UINT64_C(0x8000000080000000)
#define SIGNS_PD UINT64_C(0x8000000000000000)
TEST(PTEST, false, 16, ~UINT64_C(0))
TEST(VPTEST, true, 16, ~UINT64_C(0))
TEST(VPTEST_256, true, 32, ~UINT64_C(0))
TEST(VTESTPS, true, 16, SIGNS_PS)
TEST(VTESTPS_256, true, 32, SIGNS_PS)
TEST(VTESTPD, true, 16, SIGNS_PD)
TEST(VTESTPD_256, true, 32, SIGNS_PD)

#if HOST_UNITS
#define RUN_SIGNS(mask, v)                                                  \
    asm("movdqa %1, %%xmm0\n\tpmovmskb %%xmm0, %0"                          \
        : "=r"(mask) : "m"(v) : "xmm0")
#else
#define RUN_SIGNS(mask, v) ((mask) = soft_signs(&(v), 16, 1))
#endif

#define MASKMOV(NAME, need)                                                 \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        const X86Vec *v = &env->s.vec[insn->reg];                           \
        unsigned mask;                                                      \
                                                                            \
        need(env, insn);                                                    \
        RUN_SIGNS(mask, env->s.vec[insn->rm]);                              \
        if (!mask_store(env, insn, v->q[0], v->q[1], mask, 16)) {           \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
MASKMOV(MASKMOVDQU, NEED_SSE)
MASKMOV(VMASKMOVDQU, NEED_AVX)

#define ROW_VEC(op, name) \
    { OP_##op, VECS(name, name##_256), VECS(name, name##_256), {} },
#define ROW_GPR(op, a, b) { OP_##op, WIDTHS(a, b), WIDTHS(a, b), {} },

const HandlerRow fpu_shuffle[] = {
#define X(NAME, fn, two)                                \
    ROW(NAME##_X_XM_I, NAME)                            \
    ROW_VEC_##two(V##NAME)
#define ROW_VEC_true(name)  ROW_VEC(name##_X_X_XM_I, name)
#define ROW_VEC_false(name) ROW_VEC(name##_X_XM_I, name)
#define ROW_ONE_true(name)  ROW(name##_X_X_XM_I, name)
#define ROW_ONE_false(name) ROW(name##_X_XM_I, name)
    BOTH(X)
#undef X
#define X(NAME, fn, two) ROW(NAME##_X_XM_I, NAME) ROW_ONE_##two(V##NAME)
    BOTH_128(X)
#undef X
#define X(NAME, fn, two) ROW_VEC_##two(NAME)
    VEX_ONLY(X)
#undef X
#define X(NAME, fn, two, bytes) ROW_ONE_##two(NAME)
    VEX_256(X)
#undef X
    ROW(SHA1RNDS4_X_XM_I, SHA1RNDS4)
    ROW(PSLLDQ_X_I, PSLLDQ)
    ROW(PSRLDQ_X_I, PSRLDQ)
    ROW_VEC(VPSLLDQ_X_X_I, VPSLLDQ)
    ROW_VEC(VPSRLDQ_X_X_I, VPSRLDQ)
#define X(NAME, mnem)                                   \
    ROW(NAME##_X_I, NAME##_I)                           \
    { OP_V##NAME##_X_X_I, VECS(V##NAME##_I, V##NAME##_I_256), {}, {} },
    SHIFTS(X)
#undef X
    ROW(PINSRB_X_RM_I, PINSRB)
    ROW(PINSRW_X_RM_I, PINSRW)
    ROW_GPR(PINSRD_X_RM_I, PINSRD, PINSRQ)
    ROW(VPINSRB_X_X_RM_I, VPINSRB)
    ROW(VPINSRW_X_X_RM_I, VPINSRW)
    ROW_GPR(VPINSRD_X_X_RM_I, VPINSRD, VPINSRQ)
    ROW(PEXTRB_RM_X_I, PEXTRB)
    ROW(PEXTRW_RM_X_I, PEXTRW)
    ROW_GPR(PEXTRD_RM_X_I, PEXTRD, PEXTRQ)
    ROW(EXTRACTPS_RM_X_I, PEXTRD)
    ROW(VPEXTRB_RM_X_I, VPEXTRB)
    ROW(VPEXTRW_RM_X_I, VPEXTRW)
    ROW_GPR(VPEXTRD_RM_X_I, VPEXTRD, VPEXTRQ)
    ROW(VEXTRACTPS_RM_X_I, VPEXTRD)
    ROW(PEXTRW_R_X_I, PEXTRW_R)
    ROW(VPEXTRW_R_X_I, VPEXTRW_R)
    ROW(INSERTPS_X_XM_I, INSERTPS)
    ROW(VINSERTPS_X_X_XM_I, VINSERTPS)
    ROW(PTEST_X_XM, PTEST)
    ROW_VEC(VPTEST_X_XM, VPTEST)
    ROW_VEC(VTESTPS_X_XM, VTESTPS)
    ROW_VEC(VTESTPD_X_XM, VTESTPD)
    ROW(MASKMOVDQU_X_X, MASKMOVDQU)
    ROW(VMASKMOVDQU_X_X, VMASKMOVDQU)
    {}
};
