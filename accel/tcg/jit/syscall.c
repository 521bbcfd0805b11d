/*
 * SYSCALL and SYSRET between 64-bit code at level 3 and level 0, without leaving
 * compiled code: what their handlers do, and of env_update_mode() what can have
 * changed.  Anything else is the handlers'.
 *
 * Built without vector registers and sanitizers: the guest's vectors stay live.
 *
 * Spec: Intel SDM volume 2, SYSCALL, SYSRET.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

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

/* 64-bit code at the level, with flags that need no look at each access but at
 * level 0, where AC may lift SMAP. */
static void set_level(Env *env, uint16_t cs, uint16_t ss, unsigned cpl)
{
    X86State *s = &env->s;
    TcgCpu *t = env->tcg;

    set_segment(&s->seg[SEG_CS], cs, CODE, cpl);
    set_segment(&s->seg[SEG_SS], ss, DATA, cpl);
    env->cpl = cpl;
    env->mode = DM_CODE64 | DM_FLAT | DM_SS32 | (cpl ? DM_CPL3 : 0);
    t->who = cpl ? MMU_USER : MMU_SUPER;
    if (!cpl && s->rflags & FL_AC && s->cr4 & CR4_SMAP) {
        env->mode |= DM_AC;
        t->who = MMU_SUPER_AC;
    }
    t->check_alignment = false;
    env->tlb = t->tlb[t->who]->e;
    env->jump_tag = (uint64_t)t->fetch[cpl == 3].jump_gen << 32 | env->mode;
}

/* RFLAGS from s.rflags, cc_raw and df, and back. */
static uint64_t flags_get(const Env *env)
{
    return (env->s.rflags & ~(uint64_t)(FL_ARITH | FL_DF | FL_RF))
           | (env->cc_raw >> 8 & 0xd5) | (env->cc_raw & 1 ? FL_OF : 0) | 2
           | (env->df < 0 ? FL_DF : 0);
}

static void flags_set(Env *env, uint64_t fl)
{
    env->s.rflags = fl | 2;
    env->df = fl & FL_DF ? -1 : 1;
    env->cc_raw = jit_raw_flags(fl);
}

static bool enter(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint16_t cs = s->star >> 32 & 0xfffc;

    s->gpr[R_RCX] = insn_next_rip(env, insn);
    s->gpr[R_R11] = flags_get(env);
    flags_set(env, s->gpr[R_R11] & ~s->sfmask);
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
    flags_set(env, fl);
    set_level(env, (cs + 16) | 3, (cs + 8) | 3, 3);
    s->rip = s->gpr[R_RCX];
    return true;
}

bool jit_syscall(Env *env, const Insn *insn)
{
    const uint64_t need = EFER_SCE | EFER_LMA;

    if ((env->s.efer & need) != need
        || (env->mode & DM_CODE_MASK) != DM_CODE64) {
        return false;
    }
    return insn->op == OP_SYSCALL ? enter(env, insn)
           : insn->op == OP_SYSRET ? leave(env, insn) : false;
}
