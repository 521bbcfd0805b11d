/*
 * Near transfers of control: JMP, Jcc, CALL, RET, LOOP, JCXZ.
 *
 * Spec:   Intel SDM volume 2.
 * Models: targets are checked before anything is committed: against the limit
 *         of CS, in 64-bit mode for canonical form; #GP(0) at the branch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/stack.h"

/* May execution go on at `rip`, truncated to the operand size already? */
TEMPLATE bool target_ok(const Env *env, unsigned bits, uint64_t rip)
{
    if (bits == 64) {
        return likely((rip + (UINT64_C(1) << 47)) >> 48 == 0)
               || mem_canonical(env, rip);
    }
    return (env->mode & DM_FLAT) || rip <= env->s.seg[SEG_CS].limit;
}

TEMPLATE uint64_t rel_target(const Env *env, const Insn *insn, unsigned bits)
{
    return zext(insn_next_rip(env, insn) + (uint64_t)insn->imm, bits);
}

TEMPLATE const Insn *jump(Env *env, const Insn *insn, unsigned bits,
                          uint64_t rip)
{
    if (unlikely(!target_ok(env, bits, rip))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    return insn_jump(env, insn, rip);
}

/* --- JMP ------------------------------------------------------------------ */

TEMPLATE const Insn *jmp_rel(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    return jump(env, insn, bits, rel_target(env, insn, bits));
}

TEMPLATE const Insn *jmp_reg(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    return jump(env, insn, bits, reg_get(env, insn->rm, bits));
}

TEMPLATE const Insn *jmp_mem(Env *env, const Insn *insn, unsigned bits,
                             int unused, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    return jump(env, insn, bits, load(p, bits));
}

DEFINE_REG_WIDE(jmp_i, jmp_rel, 0)
DEFINE_REG_WIDE(jmp_r, jmp_reg, 0)
DEFINE_MEM_WIDE(jmp_m, jmp_mem, 0)

/* --- Jcc ------------------------------------------------------------------ */

TEMPLATE const Insn *jcc(Env *env, const Insn *insn, unsigned bits,
                         unsigned cond)
{
    if (cc_cond(env, cond)) {
        return jump(env, insn, bits, rel_target(env, insn, bits));
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *jcc_any(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    return jcc(env, insn, bits, insn->aux);
}

#define JCC(c, bits)                                                        \
    static const Insn *jcc_##bits##_##c(Env *env, const Insn *insn)         \
    {                                                                       \
        return jcc(env, insn, bits, 0x##c);                                 \
    }
FOR_CONDITIONS(JCC, 32)
FOR_CONDITIONS(JCC, 64)
static InsnFn *const jcc_32_by_cond[16] = CONDITION_NAMES(jcc_32);
static InsnFn *const jcc_64_by_cond[16] = CONDITION_NAMES(jcc_64);
DEFINE_REG_WIDE(jcc, jcc_any, 0)

/* --- LOOP, JCXZ: the counter is as wide as the address size --------------- */

TEMPLATE unsigned counter_bits(const Insn *insn)
{
    return insn->flags & INSN_A16 ? 16 : insn->flags & INSN_A32 ? 32 : 64;
}

/* `zf`: 1 LOOPE, 0 LOOPNE, -1 LOOP. */
TEMPLATE const Insn *loop(Env *env, const Insn *insn, unsigned bits, int zf)
{
    uint64_t n = env->s.gpr[R_RCX] - 1, rip;
    bool taken;

    switch (counter_bits(insn)) {
    case 16:
        taken = (uint16_t)n != 0;
        break;
    case 32:
        taken = (uint32_t)n != 0;
        break;
    default:
        taken = n != 0;
        break;
    }
    if (zf >= 0) {
        taken &= cc_zf(env) == zf;
    }
    rip = rel_target(env, insn, bits);
    if (taken && unlikely(!target_ok(env, bits, rip))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    switch (counter_bits(insn)) {
    case 16:
        reg_set(env, R_RCX, 16, n);
        break;
    case 32:
        reg_set(env, R_RCX, 32, n);
        break;
    default:
        env->s.gpr[R_RCX] = n;
        break;
    }
    if (taken) {
        return insn_jump(env, insn, rip);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *jcxz_i(Env *env, const Insn *insn, unsigned bits,
                            int unused)
{
    uint64_t n = env->s.gpr[R_RCX];

    if (insn->flags & INSN_A16) {
        n = (uint16_t)n;
    } else if (insn->flags & INSN_A32) {
        n = (uint32_t)n;
    }
    if (n == 0) {
        return jump(env, insn, bits, rel_target(env, insn, bits));
    }
    NEXT(env, insn);
}

DEFINE_REG_WIDE(loop_i, loop, -1)
DEFINE_REG_WIDE(loope_i, loop, 1)
DEFINE_REG_WIDE(loopne_i, loop, 0)
DEFINE_REG_WIDE(jcxz, jcxz_i, 0)

/* --- CALL ----------------------------------------------------------------- */

TEMPLATE const Insn *call_to(Env *env, const Insn *insn, unsigned bits,
                             uint64_t rip, InsnFn *slow)
{
    void *p;

    p = push_slot(env, bits, !slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    if (unlikely(!target_ok(env, bits, rip))) {
        if (!host_is_amd()) {   /* Intel's have written by then */
            store(p, bits, insn_next_rip(env, insn));
            mem_written(env, p);
        }
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    store(p, bits, insn_next_rip(env, insn));
    stored(env, p, slow);
    stack_move(env, bits, -(int)(bits / 8));
    return insn_jump(env, insn, rip);
}

TEMPLATE const Insn *call_rel(Env *env, const Insn *insn, unsigned bits,
                              int unused, InsnFn *slow)
{
    return call_to(env, insn, bits, rel_target(env, insn, bits), slow);
}

TEMPLATE const Insn *call_reg(Env *env, const Insn *insn, unsigned bits,
                              int unused, InsnFn *slow)
{
    return call_to(env, insn, bits, reg_get(env, insn->rm, bits), slow);
}

TEMPLATE const Insn *call_mem(Env *env, const Insn *insn, unsigned bits,
                              int unused, InsnFn *slow)
{
    const void *p = rd(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    return call_to(env, insn, bits, load(p, bits), slow);
}

DEFINE_MEM_WIDE(call_i, call_rel, 0)
DEFINE_MEM_WIDE(call_r, call_reg, 0)
DEFINE_MEM_WIDE(call_m, call_mem, 0)

/* --- RET ------------------------------------------------------------------ */

TEMPLATE const Insn *ret_near(Env *env, const Insn *insn, unsigned bits,
                              bool imm, InsnFn *slow)
{
    const void *p = pop_slot(env, bits, !slow);
    uint64_t rip;

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    rip = load(p, bits);
    if (unlikely(!target_ok(env, bits, rip))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    stack_move(env, bits, bits / 8 + (imm ? (uint16_t)insn->imm : 0));
    return insn_jump(env, insn, rip);
}

DEFINE_MEM_WIDE(ret, ret_near, false)
DEFINE_MEM_WIDE(ret_i, ret_near, true)

const HandlerRow interp_branch[] = {
    { OP_JMP_I, WIDE(jmp_i), {}, {} },
    { OP_JMP_RM, WIDE(jmp_r), WIDE(jmp_m), {} },
    { OP_JCC_I, WIDE(jcc), {}, {},
      { NULL, NULL, jcc_32_by_cond, jcc_64_by_cond } },
    { OP_LOOP_I, WIDE(loop_i), {}, {} },
    { OP_LOOPE_I, WIDE(loope_i), {}, {} },
    { OP_LOOPNE_I, WIDE(loopne_i), {}, {} },
    { OP_JCXZ_I, WIDE(jcxz), {}, {} },
    { OP_CALL_I, WIDE(call_i), {}, {} },
    { OP_CALL_RM, WIDE(call_r), WIDE(call_m), {} },
    { OP_RET, WIDE(ret), {}, {} },
    { OP_RET_I, WIDE(ret_i), {}, {} },
    {}
};
