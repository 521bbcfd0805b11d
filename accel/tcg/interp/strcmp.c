/*
 * SSE4.2 string comparison: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.
 *
 * Spec: Intel SDM volume 1, 12.8.2; volume 2B, 4.1 (imm8).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"

enum {                          /* imm8 */
    STR_WORDS = 1 << 0, STR_SIGNED = 1 << 1, STR_HOW = 3 << 2,
    STR_ANY = 0 << 2, STR_RANGES = 1 << 2, STR_EACH = 2 << 2,
    STR_ORDERED = 3 << 2,
    STR_NEGATE = 1 << 4, STR_ONLY_VALID = 1 << 5,
    STR_LAST = 1 << 6,          /* index: of the last; mask: of elements */
};

static int element(const X86Vec *v, unsigned i, unsigned imm)
{
    switch (imm & (STR_WORDS | STR_SIGNED)) {
    case STR_WORDS | STR_SIGNED: return (int16_t)v->w[i];
    case STR_WORDS:              return v->w[i];
    case STR_SIGNED:             return (int8_t)v->b[i];
    default:                     return v->b[i];
    }
}

static unsigned implicit_length(const X86Vec *v, unsigned n, unsigned imm)
{
    unsigned i = 0;

    while (i < n && element(v, i, imm)) {
        i++;
    }
    return i;
}

static unsigned explicit_length(int64_t len, unsigned n)
{
    return len > (int64_t)n || len < -(int64_t)n ? n : (unsigned)ABS(len);
}

/* The comparisons, one bit for each element of b: IntRes1. */
static unsigned compare(const X86Vec *a, unsigned la, const X86Vec *b,
                        unsigned lb, unsigned n, unsigned imm)
{
    unsigned res = 0;

    for (unsigned j = 0; j < n; j++) {
        int x = element(b, j, imm);
        bool hit = false;

        switch (imm & STR_HOW) {
        case STR_ANY:
            for (unsigned i = 0; i < la && j < lb; i++) {
                hit |= element(a, i, imm) == x;
            }
            break;
        case STR_RANGES:
            for (unsigned i = 0; i + 1 < la && j < lb; i += 2) {
                hit |= element(a, i, imm) <= x && x <= element(a, i + 1, imm);
            }
            break;
        case STR_EACH:
            hit = j < la && j < lb ? element(a, j, imm) == x
                                   : j >= la && j >= lb;
            break;
        case STR_ORDERED:
            hit = true;
            for (unsigned i = 0; i < la && i + j < n; i++) {
                hit &= i + j < lb
                       && element(a, i, imm) == element(b, i + j, imm);
            }
            break;
        }
        res |= (unsigned)hit << j;
    }
    return res;
}

/* IntRes2, with the flags set. */
static unsigned string_compare(Env *env, const X86Vec *a, unsigned la,
                               const X86Vec *b, unsigned lb, unsigned n,
                               unsigned imm)
{
    unsigned res = compare(a, la, b, lb, n, imm);

    if (imm & STR_NEGATE) {
        res ^= imm & STR_ONLY_VALID ? (1u << lb) - 1 : (1u << n) - 1;
    }
    cc_set(env, (res ? FL_CF : 0) | (lb < n ? FL_ZF : 0)
                | (la < n ? FL_SF : 0) | (res & 1 ? FL_OF : 0));
    return res;
}

static unsigned as_index(unsigned res, unsigned n, unsigned imm)
{
    return !res ? n : imm & STR_LAST ? 31u - (unsigned)__builtin_clz(res)
                    : (unsigned)__builtin_ctz(res);
}

static void as_mask(X86Vec *d, unsigned res, unsigned n, unsigned imm)
{
    d->q[0] = d->q[1] = 0;
    if (!(imm & STR_LAST)) {
        d->w[0] = res;
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!(res >> i & 1)) {
            continue;
        }
        if (imm & STR_WORDS) {
            d->w[i] = 0xffff;
        } else {
            d->b[i] = 0xff;
        }
    }
}

/* REX.W (VEX.W) makes the explicit lengths 64 bits. */
static bool wide(const Insn *insn, bool vex)
{
    return vex ? insn->aux & 1 : insn->size == 8;
}

/* False: the operand cannot be read. */
static bool pcmpstr(Env *env, const Insn *insn, bool vex, bool lengths,
                    bool index)
{
    const X86Vec *a = &env->s.vec[insn->reg];
    unsigned imm = (uint8_t)insn->imm, n = imm & STR_WORDS ? 8 : 16, res;
    uint64_t rax = env->s.gpr[R_RAX], rdx = env->s.gpr[R_RDX];
    const void *s = xm_rd(env, insn, 16, false, NULL);
    X86Vec b;

    if (!s) {
        return false;
    }
    memcpy(&b, s, 16);
    if (!lengths) {
        res = string_compare(env, a, implicit_length(a, n, imm), &b,
                             implicit_length(&b, n, imm), n, imm);
    } else if (wide(insn, vex)) {
        res = string_compare(env, a, explicit_length(rax, n), &b,
                             explicit_length(rdx, n), n, imm);
    } else {
        res = string_compare(env, a, explicit_length((int32_t)rax, n), &b,
                             explicit_length((int32_t)rdx, n), n, imm);
    }
    if (index) {
        env->s.gpr[R_RCX] = as_index(res, n, imm);
    } else {
        as_mask(&env->s.vec[0], res, n, imm);
        if (vex) {
            vec_zero_upper(&env->s.vec[0]);
        }
    }
    return true;
}

#define PCMPSTR(NAME, vex, lengths, index)                                  \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        if (vex) {                                                          \
            NEED_AVX(env, insn);                                            \
        } else {                                                            \
            NEED_SSE(env, insn);                                            \
        }                                                                   \
        if (!pcmpstr(env, insn, vex, lengths, index)) {                     \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
PCMPSTR(PCMPESTRM, false, true, false)
PCMPSTR(PCMPESTRI, false, true, true)
PCMPSTR(PCMPISTRM, false, false, false)
PCMPSTR(PCMPISTRI, false, false, true)
PCMPSTR(VPCMPESTRM, true, true, false)
PCMPSTR(VPCMPESTRI, true, true, true)
PCMPSTR(VPCMPISTRM, true, false, false)
PCMPSTR(VPCMPISTRI, true, false, true)

const HandlerRow fpu_strcmp[] = {
    ROW(PCMPESTRM_X_XM_I, PCMPESTRM)
    ROW(PCMPESTRI_X_XM_I, PCMPESTRI)
    ROW(PCMPISTRM_X_XM_I, PCMPISTRM)
    ROW(PCMPISTRI_X_XM_I, PCMPISTRI)
    ROW(VPCMPESTRM_X_XM_I, VPCMPESTRM)
    ROW(VPCMPESTRI_X_XM_I, VPCMPESTRI)
    ROW(VPCMPISTRM_X_XM_I, VPCMPISTRM)
    ROW(VPCMPISTRI_X_XM_I, VPCMPISTRI)
    {}
};
