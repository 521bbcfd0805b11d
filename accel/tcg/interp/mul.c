/*
 * MUL, IMUL, DIV, IDIV, MULX.
 *
 * Spec:   Intel SDM volume 2.
 * Models: the flags that the manual leaves undefined are those of the host's
 *         family: docs/undefined-flags.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/int.h"

typedef unsigned __int128 U128;
typedef __int128 S128;

/* --- multiplication ------------------------------------------------------- */

/* CF and OF; of the others AMD's keep all, Intel's set SF and PF by the lower
 * half and clear ZF and AF. */
TEMPLATE void cc_mul(Env *env, unsigned bits, uint64_t lo, bool over)
{
    if (host_is_amd()) {
        cc_put_cf_of(env, over, over);
    } else {
        env->cc_res = sext(lo, bits) | 0x100;
        env->cc_aux = (uint64_t)over << 63;
    }
}

/* AX, DX:AX, EDX:EAX or RDX:RAX = accumulator * b. */
TEMPLATE void mul_acc(Env *env, unsigned bits, bool is_signed, uint64_t b)
{
    uint64_t a = acc_get(env, R_RAX, bits), lo, hi;
    bool over;

    if (bits == 64) {
        U128 p = is_signed ? (U128)((S128)(int64_t)a * (int64_t)b)
                           : (U128)a * b;

        lo = (uint64_t)p;
        hi = (uint64_t)(p >> 64);
    } else {
        uint64_t p = is_signed ? sext(a, bits) * sext(b, bits) : a * b;

        lo = zext(p, bits);
        hi = zext(p >> (bits & 63), bits);
    }
    over = is_signed ? hi != zext((uint64_t)((int64_t)sext(lo, bits) >> 63),
                                  bits)
                     : hi != 0;
    if (bits == 8) {
        reg_set(env, R_RAX, 16, hi << 8 | lo);
    } else {
        reg_set(env, R_RAX, bits, lo);
        reg_set(env, R_RDX, bits, hi);
    }
    cc_mul(env, bits, lo, over);
}

TEMPLATE const Insn *mul_r(Env *env, const Insn *insn, unsigned bits,
                           bool is_signed)
{
    mul_acc(env, bits, is_signed, reg_get(env, insn->rm, bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *mul_m(Env *env, const Insn *insn, unsigned bits,
                           bool is_signed, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    mul_acc(env, bits, is_signed, load(p, bits));
    NEXT(env, insn);
}

DEFINE_REG_SIZES(mul_rm, mul_r, false)
DEFINE_REG_SIZES(imul_rm, mul_r, true)
DEFINE_MEM_SIZES(mul_m, mul_m, false)
DEFINE_MEM_SIZES(imul_m, mul_m, true)

/* IMUL with two or three operands. */
TEMPLATE void imul_reg(Env *env, const Insn *insn, unsigned bits, uint64_t a,
                       uint64_t b)
{
    int64_t p;
    bool over;

    if (bits == 64) {
        over = __builtin_mul_overflow((int64_t)a, (int64_t)b, &p);
    } else {
        p = (int64_t)(sext(a, bits) * sext(b, bits));
        over = sext((uint64_t)p, bits) != (uint64_t)p;
    }
    reg_set(env, insn->reg, bits, (uint64_t)p);
    cc_mul(env, bits, (uint64_t)p, over);
}

TEMPLATE const Insn *imul_rr(Env *env, const Insn *insn, unsigned bits,
                             bool imm)
{
    imul_reg(env, insn, bits, reg_get(env, insn->rm, bits),
             imm ? (uint64_t)insn->imm : reg_get(env, insn->reg, bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *imul_rm(Env *env, const Insn *insn, unsigned bits,
                             bool imm, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    imul_reg(env, insn, bits, load(p, bits),
             imm ? (uint64_t)insn->imm : reg_get(env, insn->reg, bits));
    NEXT(env, insn);
}

DEFINE_REG_WIDE(imul_r_r, imul_rr, false)
DEFINE_REG_WIDE(imul_r_r_i, imul_rr, true)
DEFINE_MEM_WIDE(imul_r_m, imul_rm, false)
DEFINE_MEM_WIDE(imul_r_m_i, imul_rm, true)

/* MULX: no flags; the high half is written last, to `reg`. */
TEMPLATE void mulx(Env *env, const Insn *insn, unsigned bits, uint64_t b)
{
    uint64_t a = reg_get(env, R_RDX, bits);
    U128 p = (U128)a * b;

    reg_set(env, insn_vvvv(insn), bits, (uint64_t)p);
    reg_set(env, insn->reg, bits, (uint64_t)(p >> bits));
}

TEMPLATE const Insn *mulx_rr(Env *env, const Insn *insn, unsigned bits)
{
    mulx(env, insn, bits, reg_get(env, insn->rm, bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *mulx_rm(Env *env, const Insn *insn, unsigned bits,
                             InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    mulx(env, insn, bits, load(p, bits));
    NEXT(env, insn);
}

static const Insn *mulx_r_32(Env *env, const Insn *insn)
{
    return mulx_rr(env, insn, 32);
}
static const Insn *mulx_r_64(Env *env, const Insn *insn)
{
    return mulx_rr(env, insn, 64);
}
SLOW const Insn *mulx_m_32_slow(Env *env, const Insn *insn)
{
    return mulx_rm(env, insn, 32, NULL);
}
static const Insn *mulx_m_32(Env *env, const Insn *insn)
{
    return mulx_rm(env, insn, 32, mulx_m_32_slow);
}
SLOW const Insn *mulx_m_64_slow(Env *env, const Insn *insn)
{
    return mulx_rm(env, insn, 64, NULL);
}
static const Insn *mulx_m_64(Env *env, const Insn *insn)
{
    return mulx_rm(env, insn, 64, mulx_m_64_slow);
}

/* --- division ------------------------------------------------------------- */

/*
 * RDX:RAX by `d`; the quotient is known to fit.  The host's instruction where
 * there is one: libgcc's division of 128 bits by 128 is several times slower.
 */
TEMPLATE void div128(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *q,
                     uint64_t *r)
{
#ifdef __x86_64__
    __asm__("divq %4" : "=a"(*q), "=d"(*r) : "0"(lo), "1"(hi), "rm"(d) : "cc");
#else
    U128 n = (U128)hi << 64 | lo;

    *q = (uint64_t)(n / d);
    *r = (uint64_t)(n % d);
#endif
}

/* False: #DE. */
TEMPLATE bool div_acc(Env *env, unsigned bits, bool is_signed, uint64_t d)
{
    uint64_t lo, hi, q, r;

    if (d == 0) {
        return false;
    }
    if (bits == 8) {
        lo = (uint16_t)env->s.gpr[R_RAX];
        hi = 0;
    } else {
        lo = reg_get(env, R_RAX, bits);
        hi = reg_get(env, R_RDX, bits);
    }
    if (bits == 64) {
        if (!is_signed) {
            if (hi >= d) {
                return false;
            }
            div128(hi, lo, d, &q, &r);
        } else {
            bool neg_n = hi >> 63, neg_d = d >> 63;

            /* By magnitudes, so that nothing overflows on the way. */
            if (neg_n) {
                hi = ~hi + !lo;
                lo = -lo;
            }
            d = neg_d ? -d : d;
            if (hi >= d) {
                return false;
            }
            div128(hi, lo, d, &q, &r);
            if (neg_n != neg_d) {
                if (q > UINT64_C(1) << 63) {
                    return false;
                }
                q = -q;
            } else if (q >> 63) {
                return false;
            }
            r = neg_n ? -r : r;
        }
    } else {
        uint64_t n = bits == 8 ? lo : hi << (bits & 63) | lo;

        if (!is_signed) {
            q = n / d;
            r = n % d;
            if (q >> (bits & 63)) {
                return false;
            }
        } else {
            int64_t sn = (int64_t)sext(n, bits * 2 & 127 ? bits * 2 : 64);
            int64_t sd = (int64_t)sext(d, bits);
            int64_t sq;

            if (sd == -1 && sn == INT64_MIN) {
                return false;
            }
            sq = sn / sd;
            if ((uint64_t)sq != sext((uint64_t)sq, bits)) {
                return false;
            }
            q = (uint64_t)sq;
            r = (uint64_t)(sn % sd);
        }
    }
    if (bits == 8) {
        reg_set(env, R_RAX, 16, zext(r, 8) << 8 | zext(q, 8));
    } else {
        reg_set(env, R_RAX, bits, q);
        reg_set(env, R_RDX, bits, r);
    }
    if (host_is_amd()) {
        /* CF and OF stay; AF is set, ZF, SF and PF are cleared.  Intel's keep
         * all. */
        env->cc_res = 1;
        env->cc_aux = (env->cc_aux & (UINT64_C(3) << 62)) | 8;
    }
    return true;
}

TEMPLATE const Insn *div_r(Env *env, const Insn *insn, unsigned bits,
                           bool is_signed)
{
    if (unlikely(!div_acc(env, bits, is_signed,
                          reg_get(env, insn->rm, bits)))) {
        return insn_raise(env, insn, EXC_DE);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *div_m(Env *env, const Insn *insn, unsigned bits,
                           bool is_signed, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    if (unlikely(!div_acc(env, bits, is_signed, load(p, bits)))) {
        return insn_raise(env, insn, EXC_DE);
    }
    NEXT(env, insn);
}

DEFINE_REG_SIZES(div_rm, div_r, false)
DEFINE_REG_SIZES(idiv_rm, div_r, true)
DEFINE_MEM_SIZES(div_m, div_m, false)
DEFINE_MEM_SIZES(idiv_m, div_m, true)

const HandlerRow interp_mul[] = {
    { OP_MUL_RM, SIZES(mul_rm), SIZES(mul_m), {} },
    { OP_IMUL_RM, SIZES(imul_rm), SIZES(imul_m), {} },
    { OP_IMUL_R_RM, WIDE(imul_r_r), WIDE(imul_r_m), {} },
    { OP_IMUL_R_RM_I, WIDE(imul_r_r_i), WIDE(imul_r_m_i), {} },
    { OP_MULX_R_R_RM, { NULL, NULL, mulx_r_32, mulx_r_64 },
      { NULL, NULL, mulx_m_32, mulx_m_64 }, {} },
    { OP_DIV_RM, SIZES(div_rm), SIZES(div_m), {} },
    { OP_IDIV_RM, SIZES(idiv_rm), SIZES(idiv_m), {} },
    {}
};
