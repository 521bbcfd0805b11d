/*
 * SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD; SHLX, SHRX, SARX, RORX.
 *
 * Spec:   Intel SDM volume 2.
 * Models: OF for counts above 1, AF, and SHLD/SHRD of 16 bits by more than 16,
 *         all undefined in the manual, are those of the host's family:
 *         AMD's take OF from the result, Intel's from the operand, as if the
 *         count were 1; docs/undefined-flags.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/int.h"

enum { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAR };

/* SZP of the result, CF and OF given. */
TEMPLATE void cc_shift(Env *env, unsigned bits, uint64_t r, unsigned cf,
                       unsigned of)
{
    env->cc_res = sext(r, bits);
    env->cc_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62
                  | (host_is_amd() ? 8 : 0);
}

/* Of the two highest bits: 1 if they differ. */
TEMPLATE unsigned top_differs(uint64_t v, unsigned bits)
{
    return (v ^ v << 1) >> (bits - 1) & 1;
}

/* `a` shifted by `count`, masked and not 0; sets the flags.  `keep_of`: where
 * Intel's ROL and ROR by more than 1 leave OF alone. */
TEMPLATE uint64_t shift(Env *env, int op, unsigned bits, uint64_t a,
                        unsigned count, bool keep_of)
{
    unsigned n, cf, of;
    uint64_t r, c;
    bool amd = host_is_amd();

    switch (op) {
    case SH_SHL:
        if (bits >= 32) {
            r = zext(a << count, bits);
            cf = a >> (bits - count) & 1;
        } else {
            c = a << count;             /* at most 16 + 31 bits */
            r = zext(c, bits);
            cf = c >> bits & 1;
        }
        of = amd ? cf ^ (r >> (bits - 1)) : top_differs(a, bits);
        cc_shift(env, bits, r, cf, of);
        return r;
    case SH_SHR:
        r = a >> count;
        cf = a >> (count - 1) & 1;
        of = amd ? top_differs(r, bits) : a >> (bits - 1);
        cc_shift(env, bits, r, cf, of);
        return r;
    case SH_SAR:
        r = (uint64_t)((int64_t)sext(a, bits) >> count);
        cf = (uint64_t)((int64_t)sext(a, bits) >> (count - 1)) & 1;
        cc_shift(env, bits, r, cf, 0);
        return r;
    case SH_ROL:
        n = count & (bits - 1);
        r = zext(a << n | a >> ((bits - n) & (bits - 1)), bits);
        cf = r & 1;
        of = amd ? cf ^ (r >> (bits - 1))
             : !keep_of || count == 1 ? top_differs(a, bits) : cc_of(env);
        break;
    case SH_ROR:
        n = count & (bits - 1);
        r = zext(a >> n | a << ((bits - n) & (bits - 1)), bits);
        cf = r >> (bits - 1) & 1;
        of = amd ? cf ^ (r >> (bits - 2) & 1)
             : !keep_of || count == 1 ? (a >> (bits - 1)) ^ (a & 1) : cc_of(env);
        break;
    case SH_RCL:
        n = bits == 8 ? count % 9 : bits == 16 ? count % 17 : count;
        cf = cc_cf(env);
        r = a;
        if (n) {
            r = (n == 64 ? 0 : a << n) | (uint64_t)cf << (n - 1);
            if (n > 1) {
                r |= a >> (bits + 1 - n);
            }
            cf = a >> (bits - n) & 1;
            r = zext(r, bits);
        }
        of = amd ? cf ^ (r >> (bits - 1)) : n ? top_differs(a, bits)
             : cc_of(env);
        break;
    default:
        n = bits == 8 ? count % 9 : bits == 16 ? count % 17 : count;
        cf = cc_cf(env);
        of = n ? cf ^ (a >> (bits - 1)) : cc_of(env);
        r = a;
        if (n) {
            r = a >> n | (uint64_t)cf << (bits - n);
            if (n > 1) {
                r |= a << (bits + 1 - n);
            }
            cf = a >> (n - 1) & 1;
            r = zext(r, bits);
        }
        of = amd ? top_differs(r, bits) : of;
        break;
    }
    /* Rotations: only CF and OF. */
    cc_put_cf_of(env, cf, of & 1);
    return r;
}

TEMPLATE unsigned count_of(const Env *env, const Insn *insn, unsigned bits,
                           bool by_cl)
{
    unsigned n = by_cl ? (unsigned)env->s.gpr[R_RCX] : (unsigned)insn->imm;

    return n & (bits == 64 ? 63 : 31);
}

TEMPLATE const Insn *shift_r(Env *env, const Insn *insn, unsigned bits, int op,
                             bool by_cl)
{
    unsigned n = count_of(env, insn, bits, by_cl);

    if (likely(n)) {
        reg_set(env, insn->rm, bits,
                shift(env, op, bits, reg_get(env, insn->rm, bits), n,
                      !by_cl));
    } else if (bits == 32) {
        reg_set(env, insn->rm, bits, reg_get(env, insn->rm, bits));
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *shift_m(Env *env, const Insn *insn, unsigned bits, int op,
                             bool by_cl, InsnFn *slow)
{
    unsigned n = count_of(env, insn, bits, by_cl);
    void *p = rmw(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    if (likely(n)) {
        store(p, bits, shift(env, op, bits, load(p, bits), n, false));
    } else {
        store(p, bits, load(p, bits));
    }
    stored(env, p, slow);
    NEXT(env, insn);
}

#define DEFINE_SHIFT(name, op)                                              \
    DEFINE_REG_SIZES(name##_r_i, shift_r, op, false)                        \
    DEFINE_REG_SIZES(name##_r_cl, shift_r, op, true)                        \
    DEFINE_MEM_SIZES(name##_m_i, shift_m, op, false)                        \
    DEFINE_MEM_SIZES(name##_m_cl, shift_m, op, true)
DEFINE_SHIFT(rol, SH_ROL)
DEFINE_SHIFT(ror, SH_ROR)
DEFINE_SHIFT(rcl, SH_RCL)
DEFINE_SHIFT(rcr, SH_RCR)
DEFINE_SHIFT(shl, SH_SHL)
DEFINE_SHIFT(shr, SH_SHR)
DEFINE_SHIFT(sar, SH_SAR)

/* --- double shifts -------------------------------------------------------- */

/* Count masked, not 0. */
TEMPLATE uint64_t shift2(Env *env, bool left, unsigned bits, uint64_t a,
                         uint64_t b, unsigned count)
{
    unsigned cf, of;
    uint64_t r;
    bool amd = host_is_amd(), beyond = bits == 16 && count > 16;
    unsigned of_first = left ? top_differs(a, bits)
                             : (a >> (bits - 1) ^ b) & 1;

    if (beyond) {
        uint64_t first = a;

        /* AMD: on from `b` into `b` again; CF, and with it OF, get lost.
         * Intel: from `b` into `a`, as in a ring. */
        count -= 16;
        a = b;
        if (!amd) {
            b = first;
            beyond = false;
        }
    }
    if (left) {
        cf = beyond ? 0 : a >> (bits - count) & 1;
        r = count == bits ? b : zext(a << count | b >> (bits - count), bits);
        /* Of what was shifted, not of what came in. */
        of = cf ^ (count < bits ? a << count >> (bits - 1) & !beyond : 0);
    } else {
        cf = beyond ? 0 : a >> (count - 1) & 1;
        r = count == bits ? b : zext(a >> count | b << (bits - count), bits);
        of = top_differs(r, bits);
    }
    of = amd ? of : of_first;
    cc_shift(env, bits, r, cf, of);
    return r;
}

TEMPLATE const Insn *shift2_r(Env *env, const Insn *insn, unsigned bits,
                              bool left, bool by_cl)
{
    unsigned n = count_of(env, insn, bits, by_cl);
    uint64_t a = reg_get(env, insn->rm, bits);

    if (likely(n)) {
        a = shift2(env, left, bits, a, reg_get(env, insn->reg, bits), n);
    }
    reg_set(env, insn->rm, bits, a);
    NEXT(env, insn);
}

TEMPLATE const Insn *shift2_m(Env *env, const Insn *insn, unsigned bits,
                              bool left, bool by_cl, InsnFn *slow)
{
    unsigned n = count_of(env, insn, bits, by_cl);
    void *p = rmw(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }

    uint64_t a = load(p, bits);

    if (likely(n)) {
        a = shift2(env, left, bits, a, reg_get(env, insn->reg, bits), n);
    }
    store(p, bits, a);
    stored(env, p, slow);
    NEXT(env, insn);
}

DEFINE_REG_WIDE(shld_r_i, shift2_r, true, false)
DEFINE_REG_WIDE(shld_r_cl, shift2_r, true, true)
DEFINE_REG_WIDE(shrd_r_i, shift2_r, false, false)
DEFINE_REG_WIDE(shrd_r_cl, shift2_r, false, true)
DEFINE_MEM_WIDE(shld_m_i, shift2_m, true, false)
DEFINE_MEM_WIDE(shld_m_cl, shift2_m, true, true)
DEFINE_MEM_WIDE(shrd_m_i, shift2_m, false, false)
DEFINE_MEM_WIDE(shrd_m_cl, shift2_m, false, true)

/* --- BMI2: no flags ------------------------------------------------------- */

enum { BMI_SHLX, BMI_SHRX, BMI_SARX, BMI_RORX };

TEMPLATE uint64_t shiftx(const Env *env, const Insn *insn, unsigned bits,
                         int op, uint64_t a)
{
    unsigned n = op == BMI_RORX ? (unsigned)insn->imm
                                : (unsigned)env->s.gpr[insn_vvvv(insn)];

    n &= bits - 1;
    switch (op) {
    case BMI_SHLX:
        return a << n;
    case BMI_SHRX:
        return a >> n;
    case BMI_SARX:
        return (uint64_t)((int64_t)sext(a, bits) >> n);
    default:
        return a >> n | a << ((bits - n) & (bits - 1));
    }
}

TEMPLATE const Insn *shiftx_r(Env *env, const Insn *insn, unsigned bits,
                              int op)
{
    reg_set(env, insn->reg, bits,
            shiftx(env, insn, bits, op, reg_get(env, insn->rm, bits)));
    NEXT(env, insn);
}

TEMPLATE const Insn *shiftx_m(Env *env, const Insn *insn, unsigned bits,
                              int op, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    reg_set(env, insn->reg, bits,
            shiftx(env, insn, bits, op, load(p, bits)));
    NEXT(env, insn);
}

#define DEFINE_SHIFTX(name, op)                                             \
    DEFINE_REG(name##_r_32, shiftx_r, 32, op)                               \
    DEFINE_REG(name##_r_64, shiftx_r, 64, op)                               \
    DEFINE_MEM(name##_m_32, shiftx_m, 32, op)                               \
    DEFINE_MEM(name##_m_64, shiftx_m, 64, op)
DEFINE_SHIFTX(shlx, BMI_SHLX)
DEFINE_SHIFTX(shrx, BMI_SHRX)
DEFINE_SHIFTX(sarx, BMI_SARX)
DEFINE_SHIFTX(rorx, BMI_RORX)

#define ROW_SHIFT(OP, name)                                                 \
    { OP_##OP##_RM_I, SIZES(name##_r_i), SIZES(name##_m_i), {} },           \
    { OP_##OP##_RM_CL, SIZES(name##_r_cl), SIZES(name##_m_cl), {} },
#define ROW_SHIFT2(OP, name)                                                \
    { OP_##OP##_RM_R_I, WIDE(name##_r_i), WIDE(name##_m_i), {} },           \
    { OP_##OP##_RM_R_CL, WIDE(name##_r_cl), WIDE(name##_m_cl), {} },
#define ROW_SHIFTX(op, name)                                                \
    { op, { NULL, NULL, name##_r_32, name##_r_64 },                         \
      { NULL, NULL, name##_m_32, name##_m_64 }, {} },

const HandlerRow interp_shift[] = {
    ROW_SHIFT(ROL, rol)
    ROW_SHIFT(ROR, ror)
    ROW_SHIFT(RCL, rcl)
    ROW_SHIFT(RCR, rcr)
    ROW_SHIFT(SHL, shl)
    ROW_SHIFT(SHR, shr)
    ROW_SHIFT(SAR, sar)
    ROW_SHIFT2(SHLD, shld)
    ROW_SHIFT2(SHRD, shrd)
    ROW_SHIFTX(OP_SHLX_R_RM_R, shlx)
    ROW_SHIFTX(OP_SHRX_R_RM_R, shrx)
    ROW_SHIFTX(OP_SARX_R_RM_R, sarx)
    ROW_SHIFTX(OP_RORX_R_RM_I, rorx)
    {}
};
