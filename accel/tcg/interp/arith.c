/*
 * ADD, ADC, SUB, SBB, CMP, AND, OR, XOR, TEST, INC, DEC, NEG, NOT; ADCX and
 * ADOX; decimal adjustments.
 *
 * Spec:   Intel SDM volume 2.
 * Models: everything but the LOCKed forms (locked.c) and multiplication and
 *         division (mul.c).  Undefined flags: docs/undefined-flags.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/alu.h"

/* --- two operands --------------------------------------------------------- */

TEMPLATE const Insn *rm_r(Env *env, const Insn *insn, unsigned bits, int op)
{
    uint64_t r = alu2(env, op, bits, reg_get(env, insn->rm, bits),
                      reg_get(env, insn->reg, bits));

    if (op != ALU_CMP && op != ALU_TEST) {
        reg_set(env, insn->rm, bits, r);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *r_rm(Env *env, const Insn *insn, unsigned bits, int op)
{
    uint64_t r = alu2(env, op, bits, reg_get(env, insn->reg, bits),
                      reg_get(env, insn->rm, bits));

    if (op != ALU_CMP) {
        reg_set(env, insn->reg, bits, r);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *rm_i(Env *env, const Insn *insn, unsigned bits, int op)
{
    uint64_t r = alu2(env, op, bits, reg_get(env, insn->rm, bits),
                      zext(insn->imm, bits));

    if (op != ALU_CMP && op != ALU_TEST) {
        reg_set(env, insn->rm, bits, r);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *m_r(Env *env, const Insn *insn, unsigned bits, int op,
                         InsnFn *slow)
{
    if (op == ALU_CMP || op == ALU_TEST) {
        const void *p = rd(env, insn, bits, slow);

        if (unlikely(!p)) {
            MISS(env, insn, slow);
        }
        alu2(env, op, bits, load(p, bits), reg_get(env, insn->reg, bits));
    } else {
        void *p = rmw(env, insn, bits, slow);

        if (unlikely(!p)) {
            MISS(env, insn, slow);
        }
        store(p, bits, alu2(env, op, bits, load(p, bits),
                            reg_get(env, insn->reg, bits)));
        stored(env, p, slow);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *r_m(Env *env, const Insn *insn, unsigned bits, int op,
                         InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }

    uint64_t r = alu2(env, op, bits, reg_get(env, insn->reg, bits),
                      load(p, bits));

    if (op != ALU_CMP) {
        reg_set(env, insn->reg, bits, r);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *m_i(Env *env, const Insn *insn, unsigned bits, int op,
                         InsnFn *slow)
{
    if (op == ALU_CMP || op == ALU_TEST) {
        const void *p = rd(env, insn, bits, slow);

        if (unlikely(!p)) {
            MISS(env, insn, slow);
        }
        alu2(env, op, bits, load(p, bits), zext(insn->imm, bits));
    } else {
        void *p = rmw(env, insn, bits, slow);

        if (unlikely(!p)) {
            MISS(env, insn, slow);
        }
        store(p, bits, alu2(env, op, bits, load(p, bits),
                            zext(insn->imm, bits)));
        stored(env, p, slow);
    }
    NEXT(env, insn);
}

#define DEFINE_ALU(name, op)                                                \
    DEFINE_REG_SIZES(name##_rm_r, rm_r, op)                                 \
    DEFINE_REG_SIZES(name##_r_rm, r_rm, op)                                 \
    DEFINE_REG_SIZES(name##_rm_i, rm_i, op)                                 \
    DEFINE_MEM_SIZES(name##_m_r, m_r, op)                                   \
    DEFINE_MEM_SIZES(name##_r_m, r_m, op)                                   \
    DEFINE_MEM_SIZES(name##_m_i, m_i, op)
DEFINE_ALU(add, ALU_ADD)
DEFINE_ALU(or, ALU_OR)
DEFINE_ALU(adc, ALU_ADC)
DEFINE_ALU(sbb, ALU_SBB)
DEFINE_ALU(and, ALU_AND)
DEFINE_ALU(sub, ALU_SUB)
DEFINE_ALU(xor, ALU_XOR)
DEFINE_ALU(cmp, ALU_CMP)

DEFINE_REG_SIZES(test_rm_r, rm_r, ALU_TEST)
DEFINE_REG_SIZES(test_rm_i, rm_i, ALU_TEST)
DEFINE_MEM_SIZES(test_m_r, m_r, ALU_TEST)
DEFINE_MEM_SIZES(test_m_i, m_i, ALU_TEST)

/* --- one operand ---------------------------------------------------------- */

TEMPLATE const Insn *one_rm(Env *env, const Insn *insn, unsigned bits, int op)
{
    reg_set(env, insn->rm, bits,
            alu1(env, op, bits, reg_get(env, insn->rm, bits)));
    NEXT(env, insn);
}

TEMPLATE const Insn *one_m(Env *env, const Insn *insn, unsigned bits, int op,
                           InsnFn *slow)
{
    void *p = rmw(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, alu1(env, op, bits, load(p, bits)));
    stored(env, p, slow);
    NEXT(env, insn);
}

#define DEFINE_ONE(name, op)                                                \
    DEFINE_REG_SIZES(name##_rm, one_rm, op)                                 \
    DEFINE_MEM_SIZES(name##_m, one_m, op)
DEFINE_ONE(inc, ALU_INC)
DEFINE_ONE(dec, ALU_DEC)
DEFINE_ONE(neg, ALU_NEG)
DEFINE_ONE(not, ALU_NOT)

/* --- ADCX, ADOX ----------------------------------------------------------- */

/* The sum, and its carry into the one flag concerned. */
TEMPLATE uint64_t adx(Env *env, unsigned bits, bool overflow, uint64_t a,
                      uint64_t b)
{
    unsigned cf = cc_cf(env), of = cc_of(env);
    uint64_t r = a + b + (overflow ? of : cf);
    unsigned carry = ((a & b) | ((a | b) & ~r)) >> (bits - 1) & 1;

    if (overflow) {
        cc_put_cf_of(env, cf, carry);
    } else {
        cc_put_cf_of(env, carry, of);
    }
    return r;
}

TEMPLATE const Insn *adx_r_r(Env *env, const Insn *insn, unsigned bits,
                             bool overflow)
{
    reg_set(env, insn->reg, bits,
            adx(env, bits, overflow, reg_get(env, insn->reg, bits),
                reg_get(env, insn->rm, bits)));
    NEXT(env, insn);
}

TEMPLATE const Insn *adx_r_m(Env *env, const Insn *insn, unsigned bits,
                             bool overflow, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    reg_set(env, insn->reg, bits,
            adx(env, bits, overflow, reg_get(env, insn->reg, bits),
                load(p, bits)));
    NEXT(env, insn);
}

DEFINE_REG(adcx_r_r_32, adx_r_r, 32, false)
DEFINE_REG(adcx_r_r_64, adx_r_r, 64, false)
DEFINE_MEM(adcx_r_m_32, adx_r_m, 32, false)
DEFINE_MEM(adcx_r_m_64, adx_r_m, 64, false)
DEFINE_REG(adox_r_r_32, adx_r_r, 32, true)
DEFINE_REG(adox_r_r_64, adx_r_r, 64, true)
DEFINE_MEM(adox_r_m_32, adx_r_m, 32, true)
DEFINE_MEM(adox_r_m_64, adx_r_m, 64, true)

/* --- decimal -------------------------------------------------------------- */

TEMPLATE void set_al(Env *env, uint8_t v)
{
    reg_set(env, BYTE_REG(R_RAX), 8, v);
}

/* SZP from the result, with CF, AF and (AMD; Intel: 0) OF as given. */
TEMPLATE void decimal_flags(Env *env, unsigned bits, unsigned r, bool cf,
                            bool af, bool of)
{
    cc_result(env, bits, r, cf, of && host_is_amd());
    env->cc_aux |= af ? 8 : 0;
}

/* SF, ZF and PF follow AX before the upper half of AL is cleared; on Intel's
 * AL thereafter. */
TEMPLATE void ascii_flags(Env *env, unsigned ax, bool adjust, bool of)
{
    if (host_is_amd()) {
        decimal_flags(env, 16, ax, adjust, adjust, of);
    } else {
        decimal_flags(env, 8, ax & 0xf, adjust, adjust, false);
    }
}

static const Insn *aaa(Env *env, const Insn *insn)
{
    unsigned old = (uint16_t)env->s.gpr[R_RAX], ax = old;
    bool adjust = (ax & 0xf) > 9 || cc_af(env);

    if (adjust) {
        ax += 0x106;
    }
    ascii_flags(env, ax, adjust, ~old & ax & 0x8000);
    reg_set(env, R_RAX, 16, ax & 0xff0f);
    NEXT(env, insn);
}

static const Insn *aas(Env *env, const Insn *insn)
{
    unsigned old = (uint16_t)env->s.gpr[R_RAX], ax = old;
    bool adjust = (ax & 0xf) > 9 || cc_af(env);

    if (adjust) {
        ax -= 0x106;
    }
    ascii_flags(env, ax, adjust, old & ~ax & 0x8000);
    reg_set(env, R_RAX, 16, ax & 0xff0f);
    NEXT(env, insn);
}

static const Insn *daa(Env *env, const Insn *insn)
{
    uint8_t old = env->s.gpr[R_RAX], al = old;
    bool cf = cc_cf(env), af = (old & 0xf) > 9 || cc_af(env);

    if (af) {
        al += 6;
    }
    if (old > 0x99 || cf) {
        al += 0x60;
        cf = true;
    }
    decimal_flags(env, 8, al, cf, af, ~old & al & 0x80);
    set_al(env, al);
    NEXT(env, insn);
}

static const Insn *das(Env *env, const Insn *insn)
{
    uint8_t old = env->s.gpr[R_RAX], al = old;
    bool old_cf = cc_cf(env), cf = false;
    bool af = (old & 0xf) > 9 || cc_af(env);

    if (af) {
        cf = old_cf || old < 6;
        al -= 6;
    }
    if (old > 0x99 || old_cf) {
        al -= 0x60;
        cf = true;
    }
    decimal_flags(env, 8, al, cf, af, old & ~al & 0x80);
    set_al(env, al);
    NEXT(env, insn);
}

static const Insn *aam(Env *env, const Insn *insn)
{
    uint8_t base = insn->imm, al = env->s.gpr[R_RAX];

    if (base == 0) {
        return insn_raise(env, insn, EXC_DE);
    }
    reg_set(env, R_RAX, 16, (al / base) << 8 | al % base);
    cc_logic(env, 8, al % base);
    NEXT(env, insn);
}

static const Insn *aad(Env *env, const Insn *insn)
{
    uint8_t al = env->s.gpr[R_RAX], ah = env->s.gpr[R_RAX] >> 8;
    uint8_t b = ah * (uint8_t)insn->imm, r = al + b;

    /* The flags are those of the addition. */
    cc_arith(env, 8, r, (al & b) | ((al | b) & ~r));
    reg_set(env, R_RAX, 16, r);
    NEXT(env, insn);
}

#define ROW_ALU(OP, name)                                                   \
    { OP_##OP##_RM_R, SIZES(name##_rm_r), SIZES(name##_m_r), {} },          \
    { OP_##OP##_R_RM, SIZES(name##_r_rm), SIZES(name##_r_m), {} },          \
    { OP_##OP##_RM_I, SIZES(name##_rm_i), SIZES(name##_m_i), {} },

const HandlerRow interp_arith[] = {
    ROW_ALU(ADD, add)
    ROW_ALU(OR, or)
    ROW_ALU(ADC, adc)
    ROW_ALU(SBB, sbb)
    ROW_ALU(AND, and)
    ROW_ALU(SUB, sub)
    ROW_ALU(XOR, xor)
    ROW_ALU(CMP, cmp)
    { OP_TEST_RM_R, SIZES(test_rm_r), SIZES(test_m_r), {} },
    { OP_TEST_RM_I, SIZES(test_rm_i), SIZES(test_m_i), {} },
    { OP_INC_RM, SIZES(inc_rm), SIZES(inc_m), {} },
    { OP_DEC_RM, SIZES(dec_rm), SIZES(dec_m), {} },
    { OP_NEG_RM, SIZES(neg_rm), SIZES(neg_m), {} },
    { OP_NOT_RM, SIZES(not_rm), SIZES(not_m), {} },
    { OP_ADCX_R_RM, { NULL, NULL, adcx_r_r_32, adcx_r_r_64 },
      { NULL, NULL, adcx_r_m_32, adcx_r_m_64 }, {} },
    { OP_ADOX_R_RM, { NULL, NULL, adox_r_r_32, adox_r_r_64 },
      { NULL, NULL, adox_r_m_32, adox_r_m_64 }, {} },
    { OP_AAA, ALL(aaa), {}, {} },
    { OP_AAS, ALL(aas), {}, {} },
    { OP_DAA, ALL(daa), {}, {} },
    { OP_DAS, ALL(das), {}, {} },
    { OP_AAM_I, ALL(aam), {}, {} },
    { OP_AAD_I, ALL(aad), {}, {} },
    {}
};
