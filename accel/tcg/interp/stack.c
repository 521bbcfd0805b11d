/*
 * PUSH, POP, PUSHA, POPA, ENTER, LEAVE, PUSHF, POPF.
 *
 * Spec: Intel SDM volume 2; volume 3B 21.31 for POP to ESP and PUSH of ESP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/stack.h"

/* Linear address of a slot, into env->ea. */
static bool stack_linear(Env *env, uint64_t sp, unsigned size, bool write)
{
    sp &= stack_mask(env);
    if (!in_code64(env)) {
        return seg_linear(env, SEG_SS, sp, size, write, &env->ea);
    }
    if (!mem_canonical(env, sp)) {
        return exc_set(env, EXC_SS, true, 0);
    }
    env->ea = sp;
    return true;
}

const void *stack_read(Env *env, uint64_t sp, unsigned size)
{
    return stack_linear(env, sp, size, false) ? mem_read(env, env->ea, size)
                                              : NULL;
}

void *stack_write(Env *env, uint64_t sp, unsigned size)
{
    return stack_linear(env, sp, size, true) ? mem_write(env, env->ea, size)
                                             : NULL;
}

bool stack_check_write(Env *env, uint64_t sp, unsigned size)
{
    return stack_linear(env, sp, size, true)
           && mem_probe_write(env, env->ea, size);
}

/* --- PUSH ----------------------------------------------------------------- */

TEMPLATE const Insn *push(Env *env, const Insn *insn, unsigned bits,
                          bool imm, InsnFn *slow)
{
    void *p = push_slot(env, bits, !slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, imm ? (uint64_t)insn->imm : env->s.gpr[insn->rm]);
    stored(env, p, slow);
    stack_move(env, bits, -(int)(bits / 8));
    NEXT(env, insn);
}
DEFINE_MEM_WIDE(push_r, push, false)
DEFINE_MEM_WIDE(push_i, push, true)

TEMPLATE const Insn *push_mem(Env *env, const Insn *insn, unsigned bits,
                              int unused)
{
    const void *from = op_read(env, insn, bits / 8);
    uint64_t v;
    void *p;

    if (!from) {
        return insn_fault(env, insn);
    }
    v = load(from, bits);
    p = push_slot(env, bits, true);
    if (!p) {
        return insn_fault(env, insn);
    }
    store(p, bits, v);
    mem_written(env, p);
    stack_move(env, bits, -(int)(bits / 8));
    NEXT(env, insn);
}
DEFINE_REG_WIDE(push_m, push_mem, 0)

/* AMD's write the slot whole, Intel's only the selector's two bytes of one of
 * four. */
TEMPLATE const Insn *push_seg(Env *env, const Insn *insn, unsigned bits,
                              int unused)
{
    unsigned width = bits == 32 && !host_is_amd() ? 16 : bits;
    void *p = width == bits
              ? push_slot(env, bits, true)
              : stack_write(env, env->s.gpr[R_RSP] - bits / 8, width / 8);

    if (!p) {
        return insn_fault(env, insn);
    }
    store(p, width, env->s.seg[insn->reg].selector);
    mem_written(env, p);
    stack_move(env, bits, -(int)(bits / 8));
    NEXT(env, insn);
}
DEFINE_REG_WIDE(push_seg, push_seg, 0)

/* --- POP ------------------------------------------------------------------ */

TEMPLATE const Insn *pop(Env *env, const Insn *insn, unsigned bits, int unused,
                         InsnFn *slow)
{
    const void *p = pop_slot(env, bits, !slow);
    uint64_t v;

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    v = load(p, bits);
    stack_move(env, bits, bits / 8);
    reg_set(env, insn->rm, bits, v);    /* last: POP ESP takes the value */
    NEXT(env, insn);
}
DEFINE_MEM_WIDE(pop_r, pop, 0)

/* The address is computed with the stack pointer already moved. */
TEMPLATE const Insn *pop_mem(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    const void *from = pop_slot(env, bits, true);
    uint64_t old = env->s.gpr[R_RSP], v;
    void *p;

    if (!from) {
        return insn_fault(env, insn);
    }
    v = load(from, bits);
    stack_move(env, bits, bits / 8);
    p = op_write(env, insn, bits / 8);
    if (!p) {
        env->s.gpr[R_RSP] = old;
        return insn_fault(env, insn);
    }
    store(p, bits, v);
    mem_written(env, p);
    NEXT(env, insn);
}
DEFINE_REG_WIDE(pop_m, pop_mem, 0)

/* --- PUSHA, POPA ---------------------------------------------------------- */

/* All slots are checked before anything is written. */
TEMPLATE const Insn *pusha(Env *env, const Insn *insn, unsigned bits,
                           int unused)
{
    unsigned n = bits / 8;
    uint64_t sp = env->s.gpr[R_RSP];

    for (unsigned i = 1; i <= 8; i++) {
        if (!stack_check_write(env, sp - i * n, n)) {
            return insn_fault(env, insn);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        void *p = stack_write(env, sp - (i + 1) * n, n);

        if (!p) {               /* cannot be: it was just checked */
            return insn_fault(env, insn);
        }
        store(p, bits, env->s.gpr[i]);
        mem_written(env, p);
    }
    stack_set(env, sp - 8 * n);
    NEXT(env, insn);
}

TEMPLATE const Insn *popa(Env *env, const Insn *insn, unsigned bits,
                          int unused)
{
    unsigned n = bits / 8;
    uint64_t sp = env->s.gpr[R_RSP];
    uint32_t v[8];

    for (unsigned i = 0; i < 8; i++) {
        const void *p = stack_read(env, sp + i * n, n);

        if (!p) {
            return insn_fault(env, insn);
        }
        v[7 - i] = load(p, bits);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i != R_RSP) {
            reg_set(env, i, bits, v[i]);
        }
    }
    stack_set(env, sp + 8 * n);
    NEXT(env, insn);
}

DEFINE_REG(pusha_16, pusha, 16, 0)
DEFINE_REG(pusha_32, pusha, 32, 0)
DEFINE_REG(popa_16, popa, 16, 0)
DEFINE_REG(popa_32, popa, 32, 0)

/* --- ENTER, LEAVE --------------------------------------------------------- */

TEMPLATE const Insn *enter(Env *env, const Insn *insn, unsigned bits,
                           int unused)
{
    unsigned n = bits / 8;
    uint16_t frame = insn->imm;
    unsigned level = insn->imm >> 16 & 31;
    uint64_t sp = env->s.gpr[R_RSP], bp = env->s.gpr[R_RBP], frame_ptr;
    unsigned n_slots = 1 + level;

    /* AMD: every slot, the frame's end and every pointer read, before writing.
     * Intel: one after the other, what was pushed stays.  SDM: the new top must be writable too, which finds a short stack. */
    for (unsigned i = 1; i <= n_slots && host_is_amd(); i++) {
        if (!stack_check_write(env, sp - i * n, n)) {
            return insn_fault(env, insn);
        }
    }
    for (unsigned i = 1; i < level && host_is_amd(); i++) {
        if (!stack_read(env, bp - i * n, n)) {
            return insn_fault(env, insn);
        }
    }
    if (host_is_amd()
        && !stack_check_write(env, sp - n_slots * n - frame, n)) {
        return insn_fault(env, insn);
    }

    void *p = stack_write(env, sp -= n, n);

    if (!p) {
        return insn_fault(env, insn);
    }
    store(p, bits, bp);
    mem_written(env, p);
    frame_ptr = sp;
    for (unsigned i = 1; i < level; i++) {
        const void *from = stack_read(env, bp - i * n, n);
        uint64_t v = from ? load(from, bits) : 0;

        if (!from) {
            return insn_fault(env, insn);
        }
        p = stack_write(env, sp -= n, n);
        if (!p) {
            return insn_fault(env, insn);
        }
        store(p, bits, v);
        mem_written(env, p);
    }
    if (level) {
        p = stack_write(env, sp -= n, n);
        if (!p) {
            return insn_fault(env, insn);
        }
        store(p, bits, frame_ptr);
        mem_written(env, p);
    }
    if (!host_is_amd() && !stack_write(env, sp - frame, n)) {
        return insn_fault(env, insn);
    }
    /* BP by the operand size, SP by the stack's. */
    reg_set(env, R_RBP, bits, frame_ptr);
    stack_set(env, sp - frame);
    NEXT(env, insn);
}
DEFINE_REG_WIDE(enter, enter, 0)

TEMPLATE const Insn *leave(Env *env, const Insn *insn, unsigned bits,
                           int unused)
{
    uint64_t sp = env->s.gpr[R_RBP], v;
    const void *p;

    if (bits == 64) {
        p = mem_read(env, sp, 8);
        if (!p && !mem_canonical(env, sp)) {
            exc_set(env, EXC_SS, true, 0);
        }
    } else {
        p = stack_read(env, sp, bits / 8);
    }
    if (!p) {
        return insn_fault(env, insn);
    }
    v = load(p, bits);
    stack_set(env, sp + bits / 8);
    reg_set(env, R_RBP, bits, v);
    NEXT(env, insn);
}
DEFINE_REG_WIDE(leave, leave, 0)

/* --- PUSHF, POPF ---------------------------------------------------------- */

/* In virtual-8086 mode with IOPL below 3: 1 with VME (16 bits, IF is VIF), else
 * #GP(0): SDM 3B 21.3.2. */
TEMPLATE bool vm86_no_iopl(const Env *env)
{
    return (env->mode & DM_VM86) && (env->s.rflags & FL_IOPL) != FL_IOPL;
}

TEMPLATE const Insn *pushf(Env *env, const Insn *insn, unsigned bits,
                           int unused)
{
    uint64_t fl = env_get_rflags(env) & ~(uint64_t)(FL_RF | FL_VM);
    void *p;

    if (unlikely(vm86_no_iopl(env))) {
        if (bits != 16 || !(env->s.cr4 & CR4_VME)) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        fl = (fl & ~(uint64_t)FL_IF) | FL_IOPL
             | (fl & FL_VIF ? FL_IF : 0);
    }
    p = push_slot(env, bits, true);
    if (!p) {
        return insn_fault(env, insn);
    }
    store(p, bits, fl);
    mem_written(env, p);
    stack_move(env, bits, -(int)(bits / 8));
    NEXT(env, insn);
}
DEFINE_REG_WIDE(pushf, pushf, 0)

TEMPLATE const Insn *popf(Env *env, const Insn *insn, unsigned bits,
                          int unused)
{
    uint64_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT, old, fl;
    const void *p = pop_slot(env, bits, true);
    bool virtual_if = false;

    if (!p) {
        return insn_fault(env, insn);
    }
    fl = load(p, bits);
    if (bits != 16) {
        mask |= FL_AC | FL_ID;
    }
    if (unlikely(vm86_no_iopl(env))) {
        if (bits != 16 || !(env->s.cr4 & CR4_VME) || (fl & FL_TF)
            || ((fl & FL_IF) && (env->s.rflags & FL_VIP))) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        virtual_if = true;
    } else {
        unsigned iopl = (env->s.rflags & FL_IOPL) >> 12;

        if (env->cpl == 0) {
            mask |= FL_IOPL | FL_IF;
        } else if (env->cpl <= iopl) {
            mask |= FL_IF;
        }
    }
    old = env_get_rflags(env);
    if (virtual_if) {
        old &= ~(uint64_t)FL_VIF;
        old |= fl & FL_IF ? FL_VIF : 0;
    }
    /* RF is cleared when the image reaches it; VM, VIF and VIP stay. */
    if (bits != 16) {
        old &= ~(uint64_t)FL_RF;
    }
    fl = (old & ~mask) | (fl & mask);
    old = env->s.rflags;
    stack_move(env, bits, bits / 8);
    env_set_rflags(env, fl);
    if (unlikely((old ^ fl) & (FL_IF | FL_TF | FL_AC | FL_IOPL | FL_RF))) {
        env_update_mode(env);
        return insn_exit(env, insn);
    }
    NEXT(env, insn);
}
DEFINE_REG_WIDE(popf, popf, 0)

const HandlerRow interp_stack[] = {
    { OP_PUSH_RM, WIDE(push_r), WIDE(push_m), {} },
    { OP_PUSH_I, WIDE(push_i), {}, {} },
    { OP_PUSH_SEG, WIDE(push_seg), {}, {} },
    { OP_POP_RM, WIDE(pop_r), WIDE(pop_m), {} },
    { OP_PUSHA, { NULL, pusha_16, pusha_32, NULL }, {}, {} },
    { OP_POPA, { NULL, popa_16, popa_32, NULL }, {}, {} },
    { OP_ENTER, WIDE(enter), {}, {} },
    { OP_LEAVE, WIDE(leave), {}, {} },
    { OP_PUSHF, WIDE(pushf), {}, {} },
    { OP_POPF, WIDE(popf), {}, {} },
    {}
};
