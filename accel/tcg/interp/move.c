/*
 * Moves: MOV, MOVZX, MOVSX, CMOVcc, SETcc, LEA, XLAT, BSWAP's neighbours CBW
 * and CWD, LAHF, SAHF, the flag instructions, NOP and its kin.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/int.h"

/* --- MOV ------------------------------------------------------------------ */

TEMPLATE const Insn *mov_rr(Env *env, const Insn *insn, unsigned bits,
                            bool to_rm)
{
    if (to_rm) {
        reg_set(env, insn->rm, bits, reg_get(env, insn->reg, bits));
    } else {
        reg_set(env, insn->reg, bits, reg_get(env, insn->rm, bits));
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *mov_ri(Env *env, const Insn *insn, unsigned bits,
                            int unused)
{
    reg_set(env, insn->rm, bits, (uint64_t)insn->imm);
    NEXT(env, insn);
}

TEMPLATE const Insn *mov_load(Env *env, const Insn *insn, unsigned bits,
                              int unused, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    reg_set(env, insn->reg, bits, load(p, bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *mov_store(Env *env, const Insn *insn, unsigned bits,
                               int unused, InsnFn *slow)
{
    void *p = wr(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, reg_get(env, insn->reg, bits));
    stored(env, p, slow);
    NEXT(env, insn);
}

TEMPLATE const Insn *mov_store_i(Env *env, const Insn *insn, unsigned bits,
                                 int unused, InsnFn *slow)
{
    void *p = wr(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, (uint64_t)insn->imm);
    stored(env, p, slow);
    NEXT(env, insn);
}

DEFINE_REG_SIZES(mov_rm_r, mov_rr, true)
DEFINE_REG_SIZES(mov_r_rm, mov_rr, false)
DEFINE_REG_SIZES(mov_rm_i, mov_ri, 0)
DEFINE_MEM_SIZES(mov_m_r, mov_store, 0)
DEFINE_MEM_SIZES(mov_r_m, mov_load, 0)
DEFINE_MEM_SIZES(mov_m_i, mov_store_i, 0)

/* The accumulator and an absolute offset, as wide as the address size. */
TEMPLATE const Insn *mov_moffs(Env *env, const Insn *insn, unsigned bits,
                               bool is_store)
{
    uint64_t gva = (uint64_t)insn->imm;

    if (insn->ea & EA_SEG) {
        if (!seg_linear(env, insn->seg, gva, bits / 8, is_store, &env->ea)) {
            return insn_fault(env, insn);
        }
        gva = env->ea;
    }
    if (is_store) {
        void *p = mem_write(env, gva, bits / 8);

        if (!p) {
            return insn_fault(env, insn);
        }
        store(p, bits, acc_get(env, R_RAX, bits));
        mem_written(env, p);
    } else {
        const void *p = mem_read(env, gva, bits / 8);

        if (!p) {
            return insn_fault(env, insn);
        }
        acc_set(env, R_RAX, bits, load(p, bits));
    }
    NEXT(env, insn);
}

DEFINE_REG_SIZES(mov_a_moffs, mov_moffs, false)
DEFINE_REG_SIZES(mov_moffs_a, mov_moffs, true)

/* --- MOVZX, MOVSX, MOVSXD ------------------------------------------------- */

/* `from` is the source's width in bits, negative for a sign. */
TEMPLATE const Insn *movx_r(Env *env, const Insn *insn, unsigned bits,
                            int from)
{
    unsigned n = from < 0 ? -from : from;
    uint64_t v = reg_get(env, insn->rm, n);

    reg_set(env, insn->reg, bits, from < 0 ? sext(v, n) : v);
    NEXT(env, insn);
}

TEMPLATE const Insn *movx_m(Env *env, const Insn *insn, unsigned bits,
                            int from, InsnFn *slow)
{
    unsigned n = from < 0 ? -from : from;
    const void *p = rd(env, insn, n, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }

    uint64_t v = load(p, n);

    reg_set(env, insn->reg, bits, from < 0 ? sext(v, n) : v);
    NEXT(env, insn);
}

#define DEFINE_MOVX(name, from)                                             \
    DEFINE_REG_WIDE(name##_r, movx_r, from)                                 \
    DEFINE_MEM_WIDE(name##_m, movx_m, from)
DEFINE_MOVX(movzx8, 8)
DEFINE_MOVX(movzx16, 16)
DEFINE_MOVX(movsx8, -8)
DEFINE_MOVX(movsx16, -16)
DEFINE_MOVX(movsx32, -32)

/* MOVSXD of 16 bits reads as much on Intel's, 32 bits on AMD's. */
static const Insn *movsxd_m_16(Env *env, const Insn *insn)
{
    return host_is_amd() ? movsx32_m_16(env, insn) : mov_r_m_16(env, insn);
}

/* --- conditions ----------------------------------------------------------- */

TEMPLATE const Insn *cmov_r(Env *env, const Insn *insn, unsigned bits,
                            unsigned cond)
{
    /* A false condition of 32 bits still clears the upper half. */
    if (cc_cond(env, cond)) {
        reg_set(env, insn->reg, bits, reg_get(env, insn->rm, bits));
    } else if (bits == 32) {
        reg_set(env, insn->reg, bits, reg_get(env, insn->reg, bits));
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *cmov_any(Env *env, const Insn *insn, unsigned bits,
                              int unused)
{
    return cmov_r(env, insn, bits, insn->aux);
}

/* The operand is read, and may fault, whatever the condition. */
TEMPLATE const Insn *cmov_load(Env *env, const Insn *insn, unsigned bits,
                               int unused, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }

    uint64_t v = load(p, bits);

    if (!cc_cond(env, insn->aux)) {
        v = reg_get(env, insn->reg, bits);
    }
    reg_set(env, insn->reg, bits, v);
    NEXT(env, insn);
}

#define CMOV(c, bits)                                                       \
    static const Insn *cmov_##bits##_##c(Env *env, const Insn *insn)        \
    {                                                                       \
        return cmov_r(env, insn, bits, 0x##c);                              \
    }
FOR_CONDITIONS(CMOV, 32)
FOR_CONDITIONS(CMOV, 64)
DEFINE_REG_WIDE(cmov, cmov_any, 0)
DEFINE_MEM_WIDE(cmov_m, cmov_load, 0)
static InsnFn *const cmov_32_by_cond[16] = CONDITION_NAMES(cmov_32);
static InsnFn *const cmov_64_by_cond[16] = CONDITION_NAMES(cmov_64);

#define SET(c, unused)                                                      \
    static const Insn *set_##c(Env *env, const Insn *insn)                  \
    {                                                                       \
        reg_set(env, insn->rm, 8, cc_cond(env, 0x##c));                     \
        NEXT(env, insn);                                                    \
    }
FOR_CONDITIONS(SET, 0)
static InsnFn *const set_by_cond[16] = CONDITION_NAMES(set);

static const Insn *set_any(Env *env, const Insn *insn)
{
    reg_set(env, insn->rm, 8, cc_cond(env, insn->aux));
    NEXT(env, insn);
}

TEMPLATE const Insn *set_store(Env *env, const Insn *insn, unsigned bits,
                               InsnFn *slow)
{
    void *p = wr(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, cc_cond(env, insn->aux));
    stored(env, p, slow);
    NEXT(env, insn);
}
SLOW const Insn *set_m_slow(Env *env, const Insn *insn)
{
    return set_store(env, insn, 8, NULL);
}
static const Insn *set_m(Env *env, const Insn *insn)
{
    return set_store(env, insn, 8, set_m_slow);
}

/* --- LEA, XLAT ------------------------------------------------------------ */

TEMPLATE const Insn *lea(Env *env, const Insn *insn, unsigned bits, int unused)
{
    reg_set(env, insn->reg, bits, insn_offset(env, insn));
    NEXT(env, insn);
}
DEFINE_REG_WIDE(lea_r_m, lea, 0)

static const Insn *xlat(Env *env, const Insn *insn)
{
    uint64_t off = env->s.gpr[R_RBX] + (uint8_t)env->s.gpr[R_RAX];
    const void *p;

    if (insn->flags & INSN_A32) {
        off = (uint32_t)off;
    } else if (insn->flags & INSN_A16) {
        off = (uint16_t)off;
    }
    if (insn->ea & EA_SEG) {
        if (!seg_linear(env, insn->seg, off, 1, false, &env->ea)) {
            return insn_fault(env, insn);
        }
        off = env->ea;
    }
    p = mem_read(env, off, 1);
    if (!p) {
        return insn_fault(env, insn);
    }
    acc_set(env, R_RAX, 8, load(p, 8));
    NEXT(env, insn);
}

/* --- widening of the accumulator ------------------------------------------ */

TEMPLATE const Insn *cbw(Env *env, const Insn *insn, unsigned bits, int unused)
{
    reg_set(env, R_RAX, bits, sext(env->s.gpr[R_RAX], bits / 2));
    NEXT(env, insn);
}
TEMPLATE const Insn *cwd(Env *env, const Insn *insn, unsigned bits, int unused)
{
    reg_set(env, R_RDX, bits,
            (uint64_t)((int64_t)sext(env->s.gpr[R_RAX], bits) >> 63));
    NEXT(env, insn);
}
DEFINE_REG_WIDE(cbw, cbw, 0)
DEFINE_REG_WIDE(cwd, cwd, 0)

/* --- flags ---------------------------------------------------------------- */

static const Insn *lahf(Env *env, const Insn *insn)
{
    reg_set(env, BYTE_REG(R_RAX) + 1, 8, (cc_get(env) & 0xd5) | 2);
    NEXT(env, insn);
}

static const Insn *sahf(Env *env, const Insn *insn)
{
    cc_set(env, (cc_of(env) ? FL_OF : 0)
                | (reg_get(env, BYTE_REG(R_RAX) + 1, 8) & 0xd5));
    NEXT(env, insn);
}

static const Insn *clc(Env *env, const Insn *insn)
{
    cc_put_cf(env, 0);
    NEXT(env, insn);
}
static const Insn *stc(Env *env, const Insn *insn)
{
    cc_put_cf(env, 1);
    NEXT(env, insn);
}
static const Insn *cmc(Env *env, const Insn *insn)
{
    cc_put_cf(env, !cc_cf(env));
    NEXT(env, insn);
}
static const Insn *salc(Env *env, const Insn *insn)
{
    acc_set(env, R_RAX, 8, cc_cf(env) ? 0xff : 0);
    NEXT(env, insn);
}
static const Insn *cld(Env *env, const Insn *insn)
{
    env->df = 1;
    NEXT(env, insn);
}
static const Insn *std(Env *env, const Insn *insn)
{
    env->df = -1;
    NEXT(env, insn);
}

static const Insn *nop(Env *env, const Insn *insn)
{
    NEXT(env, insn);
}

const HandlerRow interp_move[] = {
    { OP_MOV_RM_R, SIZES(mov_rm_r), SIZES(mov_m_r), {} },
    { OP_MOV_R_RM, SIZES(mov_r_rm), SIZES(mov_r_m), {} },
    { OP_MOV_RM_I, SIZES(mov_rm_i), SIZES(mov_m_i), {} },
    { OP_MOV_R_MOFFS, SIZES(mov_a_moffs), SIZES(mov_a_moffs), {} },
    { OP_MOV_MOFFS_R, SIZES(mov_moffs_a), SIZES(mov_moffs_a), {} },
    { OP_MOVNTI_M_R, {}, SIZES(mov_m_r), {} },
    { OP_MOVDIRI_M_R, {}, SIZES(mov_m_r), {} },
    { OP_MOVZX8_R_RM, WIDE(movzx8_r), WIDE(movzx8_m), {} },
    { OP_MOVZX16_R_RM, WIDE(movzx16_r), WIDE(movzx16_m), {} },
    { OP_MOVSX8_R_RM, WIDE(movsx8_r), WIDE(movsx8_m), {} },
    { OP_MOVSX16_R_RM, WIDE(movsx16_r), WIDE(movsx16_m), {} },
    { OP_MOVSX32_R_RM, WIDE(movsx32_r),
      { NULL, movsxd_m_16, movsx32_m_32, movsx32_m_64 }, {} },
    { OP_CMOVCC_R_RM, WIDE(cmov), WIDE(cmov_m), {},
      { NULL, NULL, cmov_32_by_cond, cmov_64_by_cond } },
    { OP_SETCC_RM, ALL(set_any), ALL(set_m), {},
      { set_by_cond, set_by_cond, set_by_cond, set_by_cond } },
    { OP_LEA_R_M, {}, WIDE(lea_r_m), {} },
    { OP_XLAT, ALL(xlat), ALL(xlat), {} },
    { OP_CBW, WIDE(cbw), {}, {} },
    { OP_CWD, WIDE(cwd), {}, {} },
    { OP_LAHF, ALL(lahf), {}, {} },
    { OP_SAHF, ALL(sahf), {}, {} },
    { OP_CLC, ALL(clc), {}, {} },
    { OP_STC, ALL(stc), {}, {} },
    { OP_CMC, ALL(cmc), {}, {} },
    { OP_SALC, ALL(salc), {}, {} },
    { OP_CLD, ALL(cld), {}, {} },
    { OP_STD, ALL(std), {}, {} },
    { OP_NOP, ALL(nop), ALL(nop), {} },
    {}
};
