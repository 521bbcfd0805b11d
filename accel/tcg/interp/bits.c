/*
 * Bits: BT, BTS, BTR, BTC, scans, counts, BMI1 and BMI2, BSWAP, MOVBE, CRC32.
 *
 * Spec:   Intel SDM volume 2.
 * Models: undefined flags as those of the host's family: docs/undefined-flags.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/int.h"

/* --- BT and its family ---------------------------------------------------- */

enum { BT_TEST, BT_SET, BT_RESET, BT_COMPLEMENT };

TEMPLATE uint64_t bt_apply(int op, uint64_t v, uint64_t mask)
{
    return op == BT_SET ? v | mask : op == BT_RESET ? v & ~mask
           : op == BT_COMPLEMENT ? v ^ mask : v;
}

TEMPLATE unsigned bt_index(const Env *env, const Insn *insn, unsigned bits,
                           bool imm)
{
    return (imm ? (unsigned)insn->imm : (unsigned)env->s.gpr[insn->reg])
           & (bits - 1);
}

TEMPLATE const Insn *bt_r(Env *env, const Insn *insn, unsigned bits, int op,
                          bool imm)
{
    unsigned n = bt_index(env, insn, bits, imm);
    uint64_t v = reg_get(env, insn->rm, bits);

    if (op != BT_TEST) {
        reg_set(env, insn->rm, bits, bt_apply(op, v, UINT64_C(1) << n));
    }
    cc_put_cf(env, v >> n & 1);
    NEXT(env, insn);
}

/*
 * The linear address of the word that a bit index in a register selects.  The
 * index is signed and reaches beyond the operand; the offset wraps at the
 * address size.  False with a fault recorded.
 */
TEMPLATE bool bt_address(Env *env, const Insn *insn, unsigned bits, bool write,
                         uint64_t *gva)
{
    int64_t index = (int64_t)sext(env->s.gpr[insn->reg], bits);
    uint64_t off = insn_offset(env, insn)
                   + (uint64_t)((index >> (bits == 16 ? 4 : bits == 32 ? 5 : 6))
                                * (int64_t)(bits / 8));

    if (insn->ea & EA_A32) {
        off = (uint32_t)off;
    } else if (insn->ea & EA_A16) {
        off = (uint16_t)off;
    }
    if (insn->ea & EA_SEG) {
        return seg_linear(env, insn->seg, off, bits / 8, write, gva);
    }
    *gva = off;
    return true;
}

TEMPLATE const Insn *bt_m(Env *env, const Insn *insn, unsigned bits, int op,
                          bool imm)
{
    unsigned n = bt_index(env, insn, bits, imm);
    uint64_t v;

    if (!imm && !bt_address(env, insn, bits, op != BT_TEST, &env->ea)) {
        return insn_fault(env, insn);
    }
    if (op == BT_TEST) {
        const void *p = imm ? op_read(env, insn, bits / 8)
                            : mem_read(env, env->ea, bits / 8);

        if (!p) {
            return insn_fault(env, insn);
        }
        v = load(p, bits);
    } else {
        void *p = imm ? op_rmw(env, insn, bits / 8)
                      : mem_rmw(env, env->ea, bits / 8);

        if (!p) {
            return insn_fault(env, insn);
        }
        v = load(p, bits);
        store(p, bits, bt_apply(op, v, UINT64_C(1) << n));
        mem_written(env, p);
    }
    cc_put_cf(env, v >> n & 1);
    NEXT(env, insn);
}

TEMPLATE const Insn *bt_lock(Env *env, const Insn *insn, unsigned bits, int op,
                             bool imm)
{
    unsigned n = bt_index(env, insn, bits, imm);
    uint64_t mask = UINT64_C(1) << n, v;
    void *p;

    if (imm) {
        p = op_lock(env, insn, bits / 8);
    } else if (bt_address(env, insn, bits, true, &env->ea)) {
        p = mem_lock(env, env->ea, bits / 8);
    } else {
        p = NULL;
    }
    if (!p) {
        return insn_fault(env, insn);
    }
#define BT_ATOMIC(type)                                                     \
    v = op == BT_SET                                                        \
            ? __atomic_fetch_or((type *)p, (type)mask, __ATOMIC_SEQ_CST)    \
        : op == BT_RESET                                                    \
            ? __atomic_fetch_and((type *)p, (type)~mask, __ATOMIC_SEQ_CST)  \
            : __atomic_fetch_xor((type *)p, (type)mask, __ATOMIC_SEQ_CST)
#ifndef __x86_64__
    if ((uintptr_t)p & (bits / 8 - 1)) {  /* others stand still: vcpus.c */
        v = load(p, bits);
        store(p, bits, op == BT_SET ? v | mask
                       : op == BT_RESET ? v & ~mask : v ^ mask);
    } else
#endif
    if (bits == 16) {
        BT_ATOMIC(uint16_t);
    } else if (bits == 32) {
        BT_ATOMIC(uint32_t);
    } else {
        BT_ATOMIC(uint64_t);
    }
    mem_locked_done(env, p);
    cc_put_cf(env, v >> n & 1);
    NEXT(env, insn);
}

#define DEFINE_BT(name, op)                                                 \
    DEFINE_REG_WIDE(name##_r_r, bt_r, op, false)                            \
    DEFINE_REG_WIDE(name##_r_i, bt_r, op, true)                             \
    DEFINE_REG_WIDE(name##_m_r, bt_m, op, false)                            \
    DEFINE_REG_WIDE(name##_m_i, bt_m, op, true)
#define DEFINE_BT_LOCK(name, op)                                            \
    DEFINE_REG_WIDE(name##_l_r, bt_lock, op, false)                         \
    DEFINE_REG_WIDE(name##_l_i, bt_lock, op, true)
DEFINE_BT(bt, BT_TEST)
DEFINE_BT(bts, BT_SET)
DEFINE_BT(btr, BT_RESET)
DEFINE_BT(btc, BT_COMPLEMENT)
DEFINE_BT_LOCK(bts, BT_SET)
DEFINE_BT_LOCK(btr, BT_RESET)
DEFINE_BT_LOCK(btc, BT_COMPLEMENT)

/* --- one source, one destination ------------------------------------------ */

enum { BIT_BSF, BIT_BSR, BIT_TZCNT, BIT_LZCNT, BIT_POPCNT, BIT_BLSI,
       BIT_BLSMSK, BIT_BLSR };

TEMPLATE unsigned popcount(uint64_t v)
{
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333))
        + (v >> 2 & UINT64_C(0x3333333333333333));
    v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return v * UINT64_C(0x0101010101010101) >> 56;
}

/* TZCNT, LZCNT: CF and ZF; the others are cleared, but OF stays on AMD's. */
TEMPLATE void cc_count(Env *env, uint64_t r, bool cf)
{
    unsigned of = host_is_amd() ? cc_of(env) : 0;

    env->cc_res = r ? 1 : 0;
    env->cc_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62
                  | (r ? 0 : 2);
}

/* BMI1 and BMI2 leave PF by the result on AMD's, clear on Intel's. */
TEMPLATE void cc_bmi_pf(Env *env)
{
    if (!host_is_amd()) {
        env->cc_aux |= cc_pf(env) ? 2 : 0;
    }
}

TEMPLATE void bit1(Env *env, const Insn *insn, unsigned bits, int op,
                   uint64_t v)
{
    uint64_t r;

    switch (op) {
    case BIT_BSF:
    case BIT_BSR:
        if (v == 0) {
            /* The destination stays, even its upper half. */
            cc_result(env, bits, 0, 0, 0);
            return;
        }
        r = op == BIT_BSF ? (unsigned)__builtin_ctzll(v)
                          : 63 - (unsigned)__builtin_clzll(v);
        /* PF follows the result, ZF the source. */
        env->cc_res = r | 0x100;
        env->cc_aux = 0;
        break;
    case BIT_TZCNT:
        r = v ? (unsigned)__builtin_ctzll(v) : bits;
        cc_count(env, r, v == 0);
        break;
    case BIT_LZCNT:
        r = v ? bits - 64 + (unsigned)__builtin_clzll(v) : bits;
        cc_count(env, r, v == 0);
        break;
    case BIT_POPCNT:
        r = popcount(v);
        env->cc_res = v ? 1 : 0;        /* only ZF; PF clear */
        env->cc_aux = v ? 0 : 2;
        break;
    case BIT_BLSI:
        r = -v & v;
        cc_result(env, bits, r, v != 0, 0);
        cc_bmi_pf(env);
        break;
    case BIT_BLSMSK:
        r = (v - 1) ^ v;
        cc_result(env, bits, r, v == 0, 0);
        cc_bmi_pf(env);
        break;
    default:
        r = (v - 1) & v;
        cc_result(env, bits, r, v == 0, 0);
        cc_bmi_pf(env);
        break;
    }
    reg_set(env, insn->reg, bits, r);
}

TEMPLATE const Insn *bit1_r(Env *env, const Insn *insn, unsigned bits, int op)
{
    bit1(env, insn, bits, op, reg_get(env, insn->rm, bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *bit1_m(Env *env, const Insn *insn, unsigned bits, int op,
                            InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    bit1(env, insn, bits, op, load(p, bits));
    NEXT(env, insn);
}

#define DEFINE_BIT1(name, op)                                               \
    DEFINE_REG_WIDE(name##_r, bit1_r, op)                                   \
    DEFINE_MEM_WIDE(name##_m, bit1_m, op)
DEFINE_BIT1(bsf, BIT_BSF)
DEFINE_BIT1(bsr, BIT_BSR)
DEFINE_BIT1(tzcnt, BIT_TZCNT)
DEFINE_BIT1(lzcnt, BIT_LZCNT)
DEFINE_BIT1(popcnt, BIT_POPCNT)
DEFINE_BIT1(blsi, BIT_BLSI)
DEFINE_BIT1(blsmsk, BIT_BLSMSK)
DEFINE_BIT1(blsr, BIT_BLSR)

/* --- three operands ------------------------------------------------------- */

enum { BIT_ANDN, BIT_BEXTR, BIT_BZHI, BIT_PDEP, BIT_PEXT };

TEMPLATE uint64_t pdep(uint64_t src, uint64_t mask)
{
    uint64_t r = 0;

    for (; mask; mask &= mask - 1, src >>= 1) {
        r |= -(src & 1) & mask & -mask;
    }
    return r;
}

TEMPLATE uint64_t pext(uint64_t src, uint64_t mask)
{
    uint64_t r = 0;

    for (unsigned n = 0; mask; mask &= mask - 1, n++) {
        r |= (uint64_t)((src & mask & -mask) != 0) << n;
    }
    return r;
}

/* `v`: register operand VEX.vvvv; `b`: r/m. */
TEMPLATE void bit2(Env *env, const Insn *insn, unsigned bits, int op,
                   uint64_t v, uint64_t b)
{
    unsigned start, len;
    uint64_t r;

    switch (op) {
    case BIT_ANDN:
        r = ~v & b;
        cc_logic(env, bits, r);
        cc_bmi_pf(env);
        break;
    case BIT_BEXTR:
        start = (uint8_t)v;
        len = (uint8_t)(v >> 8);
        r = start < bits ? b >> start : 0;
        if (len < bits) {
            r &= (UINT64_C(1) << len) - 1;
        }
        cc_logic(env, bits, r);
        env->cc_aux = env->cc_res >> 63;        /* never SF */
        if (host_is_amd()) {
            env->cc_aux |= 8;                   /* AF */
        }
        cc_bmi_pf(env);
        break;
    case BIT_BZHI:
        len = (uint8_t)v;
        r = len < bits ? b & ((UINT64_C(1) << len) - 1) : b;
        cc_result(env, bits, r, len >= bits, 0);
        cc_bmi_pf(env);
        break;
    case BIT_PDEP:
        r = pdep(v, b);
        break;
    default:
        r = pext(v, b);
        break;
    }
    reg_set(env, insn->reg, bits, r);
}

TEMPLATE const Insn *bit2_r(Env *env, const Insn *insn, unsigned bits, int op)
{
    bit2(env, insn, bits, op, reg_get(env, insn_vvvv(insn), bits),
         reg_get(env, insn->rm, bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *bit2_m(Env *env, const Insn *insn, unsigned bits, int op,
                            InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    bit2(env, insn, bits, op, reg_get(env, insn_vvvv(insn), bits),
         load(p, bits));
    NEXT(env, insn);
}

#define DEFINE_BIT2(name, op)                                               \
    DEFINE_REG(name##_r_32, bit2_r, 32, op)                                 \
    DEFINE_REG(name##_r_64, bit2_r, 64, op)                                 \
    DEFINE_MEM(name##_m_32, bit2_m, 32, op)                                 \
    DEFINE_MEM(name##_m_64, bit2_m, 64, op)
DEFINE_BIT2(andn, BIT_ANDN)
DEFINE_BIT2(bextr, BIT_BEXTR)
DEFINE_BIT2(bzhi, BIT_BZHI)
DEFINE_BIT2(pdep, BIT_PDEP)
DEFINE_BIT2(pext, BIT_PEXT)

/* --- byte order ----------------------------------------------------------- */

TEMPLATE uint64_t swap(uint64_t v, unsigned bits)
{
    return bits == 16 ? __builtin_bswap16(v) : bits == 32
           ? __builtin_bswap32(v) : __builtin_bswap64(v);
}

/* BSWAP of 16 bits is undefined: processors give zero. */
static const Insn *bswap_16(Env *env, const Insn *insn)
{
    reg_set(env, insn->rm, 16, 0);
    NEXT(env, insn);
}
static const Insn *bswap_32(Env *env, const Insn *insn)
{
    reg_set(env, insn->rm, 32, swap(env->s.gpr[insn->rm], 32));
    NEXT(env, insn);
}
static const Insn *bswap_64(Env *env, const Insn *insn)
{
    reg_set(env, insn->rm, 64, swap(env->s.gpr[insn->rm], 64));
    NEXT(env, insn);
}

TEMPLATE const Insn *movbe_load(Env *env, const Insn *insn, unsigned bits,
                                int unused, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    reg_set(env, insn->reg, bits, swap(load(p, bits), bits));
    NEXT(env, insn);
}

TEMPLATE const Insn *movbe_store(Env *env, const Insn *insn, unsigned bits,
                                 int unused, InsnFn *slow)
{
    void *p = wr(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, swap(env->s.gpr[insn->reg], bits));
    stored(env, p, slow);
    NEXT(env, insn);
}

DEFINE_MEM_WIDE(movbe_r_m, movbe_load, 0)
DEFINE_MEM_WIDE(movbe_m_r, movbe_store, 0)

/* --- CRC32C --------------------------------------------------------------- */

/* Four bits at a time of the reflected polynomial 0x82f63b78. */
static const uint32_t crc32c_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
    0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

TEMPLATE uint32_t crc32c(uint32_t crc, uint64_t v, unsigned bits)
{
    for (unsigned i = 0; i < bits; i += 8) {
        crc ^= (uint8_t)(v >> i);
        crc = crc >> 4 ^ crc32c_nibble[crc & 15];
        crc = crc >> 4 ^ crc32c_nibble[crc & 15];
    }
    return crc;
}

/* The destination is 32 bits whatever the source; its upper half is cleared. */
TEMPLATE const Insn *crc32_r(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    env->s.gpr[insn->reg] = crc32c(env->s.gpr[insn->reg],
                                   reg_get(env, insn->rm, bits), bits);
    NEXT(env, insn);
}

TEMPLATE const Insn *crc32_m(Env *env, const Insn *insn, unsigned bits,
                             int unused, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    env->s.gpr[insn->reg] = crc32c(env->s.gpr[insn->reg], load(p, bits), bits);
    NEXT(env, insn);
}

DEFINE_REG_SIZES(crc32_r, crc32_r, 0)
DEFINE_MEM_SIZES(crc32_m, crc32_m, 0)

#define ROW_BT(OP, name)                                                    \
    { OP_##OP##_RM_R, WIDE(name##_r_r), WIDE(name##_m_r),                   \
      WIDE(name##_l_r) },                                                   \
    { OP_##OP##_RM_I, WIDE(name##_r_i), WIDE(name##_m_i),                   \
      WIDE(name##_l_i) },
#define ROW_BIT1(OP, name) { OP_##OP##_R_RM, WIDE(name##_r), WIDE(name##_m), {} },
#define ROW_BIT2(op, name)                                                  \
    { op, { NULL, NULL, name##_r_32, name##_r_64 },                         \
      { NULL, NULL, name##_m_32, name##_m_64 }, {} },

const HandlerRow interp_bits[] = {
    { OP_BT_RM_R, WIDE(bt_r_r), WIDE(bt_m_r), {} },
    { OP_BT_RM_I, WIDE(bt_r_i), WIDE(bt_m_i), {} },
    ROW_BT(BTS, bts)
    ROW_BT(BTR, btr)
    ROW_BT(BTC, btc)
    ROW_BIT1(BSF, bsf)
    ROW_BIT1(BSR, bsr)
    ROW_BIT1(TZCNT, tzcnt)
    ROW_BIT1(LZCNT, lzcnt)
    ROW_BIT1(POPCNT, popcnt)
    ROW_BIT1(BLSI, blsi)
    ROW_BIT1(BLSMSK, blsmsk)
    ROW_BIT1(BLSR, blsr)
    ROW_BIT2(OP_ANDN_R_R_RM, andn)
    ROW_BIT2(OP_BEXTR_R_RM_R, bextr)
    ROW_BIT2(OP_BZHI_R_RM_R, bzhi)
    ROW_BIT2(OP_PDEP_R_R_RM, pdep)
    ROW_BIT2(OP_PEXT_R_R_RM, pext)
    { OP_BSWAP_RM, { NULL, bswap_16, bswap_32, bswap_64 }, {}, {} },
    { OP_MOVBE_R_M, {}, WIDE(movbe_r_m), {} },
    { OP_MOVBE_M_R, {}, WIDE(movbe_m_r), {} },
    { OP_CRC32_R_RM, SIZES(crc32_r), SIZES(crc32_m), {} },
    {}
};
