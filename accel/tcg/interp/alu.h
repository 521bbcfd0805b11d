/*
 * The arithmetic and logic operations, for the plain and the LOCKed handlers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_ALU_H
#define TCG_INTERP_ALU_H

#include "accel/tcg/interp/int.h"

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP,
       ALU_TEST, ALU_INC, ALU_DEC, ALU_NEG, ALU_NOT };

/* The result of `a op b`, both zero-extended; sets the flags. */
TEMPLATE uint64_t alu2(Env *env, int op, unsigned bits, uint64_t a, uint64_t b)
{
    uint64_t r;

    switch (op) {
    case ALU_ADD:
        r = a + b;
        cc_arith(env, bits, r, (a & b) | ((a | b) & ~r));
        return r;
    case ALU_ADC:
        r = a + b + cc_cf(env);
        cc_arith(env, bits, r, (a & b) | ((a | b) & ~r));
        return r;
    case ALU_SUB:
    case ALU_CMP:
        r = a - b;
        cc_arith(env, bits, r, (~a & b) | (~(a ^ b) & r));
        return r;
    case ALU_SBB:
        r = a - b - cc_cf(env);
        cc_arith(env, bits, r, (~a & b) | (~(a ^ b) & r));
        return r;
    case ALU_OR:
        r = a | b;
        break;
    case ALU_XOR:
        r = a ^ b;
        break;
    default:                    /* AND, TEST */
        r = a & b;
        break;
    }
    cc_logic(env, bits, r);
    return r;
}

/* INC, DEC, NEG, NOT. */
TEMPLATE uint64_t alu1(Env *env, int op, unsigned bits, uint64_t a)
{
    uint64_t r, cf;

    switch (op) {
    case ALU_INC:
    case ALU_DEC:
        /* CF stays; OF and AF come from the new carries. */
        r = op == ALU_INC ? a + 1 : a - 1;
        cf = env->cc_aux & CC_CF;
        cc_arith(env, bits, r, op == ALU_INC ? a & ~r : ~a & r);
        env->cc_aux ^= (env->cc_aux & CC_CF) | (env->cc_aux & CC_CF) >> 1;
        env->cc_aux ^= cf | cf >> 1;
        return r;
    case ALU_NEG:
        r = -a;
        cc_arith(env, bits, r, a | r);
        return r;
    default:
        return ~a;
    }
}

#endif
