/*
 * SYSCALL and SYSRET between 64-bit code at level 3 and level 0, and STAC and
 * CLAC, without leaving compiled code: what their handlers do, and of
 * env_update_mode() what can have changed.  Anything else is the handlers'.
 *
 * Built without vector registers and sanitizers: the guest's vectors stay live.
 *
 * Spec: Intel SDM volume 2, SYSCALL, SYSRET, STAC, CLAC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/level.h"

enum {
    ATTR = SEGA_G | SEGA_P | SEGA_S | SEGA_A,
    CODE = ATTR | SEGA_CODE | SEGA_R | SEGA_L,
    DATA = ATTR | SEGA_DB | SEGA_W,
    SYSRET_FLAGS = 0x3c7fd7,
};

static void set_segment(X86Seg *seg, uint16_t selector, uint32_t attr,
                        unsigned cpl)
{
    *seg = (X86Seg) {
        .selector = selector, .limit = UINT32_MAX,
        .attr = attr | cpl << SEGA_DPL_SHIFT,
    };
}

static void set_level(Env *env, uint16_t cs, uint16_t ss, unsigned cpl)
{
    set_segment(&env->s.seg[SEG_CS], cs, CODE, cpl);
    set_segment(&env->s.seg[SEG_SS], ss, DATA, cpl);
    level_set(env, cpl);
}

static bool enter(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint16_t cs = s->star >> 32 & 0xfffc;

    s->gpr[R_RCX] = insn_next_rip(env, insn);
    s->gpr[R_R11] = level_flags_get(env);
    level_flags_set(env, s->gpr[R_R11] & ~s->sfmask);
    set_level(env, cs, cs + 8, 0);
    s->rip = s->lstar;
    return true;
}

static bool leave(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint64_t fl = s->gpr[R_R11] & SYSRET_FLAGS;
    uint16_t cs = s->star >> 48;

    if (insn->size != 8 || env->cpl || fl & (FL_TF | FL_AC)
        || !mem_canonical(env, s->gpr[R_RCX])) {
        return false;
    }
    level_flags_set(env, fl);
    set_level(env, (cs + 16) | 3, (cs + 8) | 3, 3);
    s->rip = s->gpr[R_RCX];
    return true;
}

static bool access_check(Env *env, const Insn *insn, bool off)
{
    if (env->cpl) {
        return false;
    }
    env->s.rflags = (env->s.rflags & ~(uint64_t)FL_AC) | (off ? FL_AC : 0);
    level_set(env, 0);
    env->s.rip = insn_next_rip(env, insn);
    return true;
}

bool jit_syscall(Env *env, const Insn *insn)
{
    bool may = env->s.efer & EFER_SCE;

    if ((env->mode & DM_CODE_MASK) != DM_CODE64) {
        return false;
    }
    switch (insn->op) {
    case OP_SYSCALL: return may && enter(env, insn);
    case OP_SYSRET: return may && leave(env, insn);
    case OP_STAC: return access_check(env, insn, true);
    case OP_CLAC: return access_check(env, insn, false);
    case OP_IRET: return jit_iret(env, insn);
    }
    return false;
}
