/*
 * The stack as instructions see it: width of the stack pointer, limit, pushes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_STACK_H
#define TCG_INTERP_STACK_H

#include "accel/tcg/interp/int.h"

TEMPLATE bool in_code64(const Env *env)
{
    return (env->mode & DM_CODE_MASK) == DM_CODE64;
}

/* ESP, flat: no segment to check. */
TEMPLATE bool stack_flat32(const Env *env)
{
    return (env->mode & (DM_FLAT | DM_SS32)) == (DM_FLAT | DM_SS32);
}

TEMPLATE uint64_t stack_mask(const Env *env)
{
    return in_code64(env) ? ~UINT64_C(0)
           : env->mode & DM_SS32 ? UINT64_C(0xffffffff) : UINT64_C(0xffff);
}

TEMPLATE uint64_t stack_pointer(const Env *env)
{
    return env->s.gpr[R_RSP] & stack_mask(env);
}

/* Write SP, ESP or RSP; `sp` need not be wrapped yet. */
TEMPLATE void stack_set(Env *env, uint64_t sp)
{
    if (in_code64(env)) {
        env->s.gpr[R_RSP] = sp;
    } else if (env->mode & DM_SS32) {
        env->s.gpr[R_RSP] = (uint32_t)sp;
    } else {
        store(&env->s.gpr[R_RSP], 16, sp);
    }
}

/* A stack slot at offset `sp` (wrapped here); NULL with #SS, #PF recorded. */
const void *stack_read(Env *env, uint64_t sp, unsigned size);
void *stack_write(Env *env, uint64_t sp, unsigned size);
/* Could the slot be written?  False with the exception recorded. */
bool stack_check_write(Env *env, uint64_t sp, unsigned size);

/*
 * Push for the common forms: the host pointer of the new top, not committed.
 * `bits` is the operand's: 64 only in 64-bit mode, 32 never there.
 */
TEMPLATE void *push_slot(Env *env, unsigned bits, bool slow)
{
    uint64_t gva;

    if (bits == 64) {
        gva = env->s.gpr[R_RSP] - 8;
    } else if (bits == 32 && likely(stack_flat32(env))) {
        gva = (uint32_t)(env->s.gpr[R_RSP] - 4);
    } else {
        return slow ? stack_write(env, env->s.gpr[R_RSP] - bits / 8, bits / 8)
                    : NULL;
    }

    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nwpage + (bits / 8 - 1) <= 4095)) {
        return (void *)(gva + e->addend);
    }
    return slow ? stack_write(env, gva, bits / 8) : NULL;
}

TEMPLATE const void *pop_slot(Env *env, unsigned bits, bool slow)
{
    uint64_t gva = env->s.gpr[R_RSP];

    if (bits == 64) {
        /* RSP as it is */
    } else if (bits == 32 && likely(stack_flat32(env))) {
        gva = (uint32_t)gva;
    } else {
        return slow ? stack_read(env, gva, bits / 8) : NULL;
    }

    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nrpage + (bits / 8 - 1) <= 4095)) {
        return (const void *)(gva + e->addend);
    }
    return slow ? stack_read(env, gva, bits / 8) : NULL;
}

/* After the store: move the stack pointer by `by` bytes, negative for pushes. */
TEMPLATE void stack_move(Env *env, unsigned bits, int by)
{
    uint64_t sp = env->s.gpr[R_RSP] + (uint64_t)(int64_t)by;

    if (bits == 64) {
        env->s.gpr[R_RSP] = sp;
    } else {
        stack_set(env, sp);
    }
}

#endif
