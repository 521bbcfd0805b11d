/*
 * Level and flags of 64-bit code, with flags as compiled code has them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_LEVEL_H
#define TCG_JIT_LEVEL_H

#include "accel/tcg/jit/jit.h"

/* 64-bit code at the level, with flags that need no look at each access but at
 * level 0, where AC may lift SMAP. */
static inline void level_set(Env *env, unsigned cpl)
{
    const X86State *s = &env->s;
    TcgCpu *t = env->tcg;

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
static inline uint64_t level_flags_get(const Env *env)
{
    return (env->s.rflags & ~(uint64_t)(FL_ARITH | FL_DF | FL_RF))
           | (env->cc_raw >> 8 & 0xd5) | (env->cc_raw & 1 ? FL_OF : 0) | 2
           | (env->df < 0 ? FL_DF : 0);
}

static inline void level_flags_set(Env *env, uint64_t fl)
{
    env->s.rflags = fl | 2;
    env->df = fl & FL_DF ? -1 : 1;
    env->cc_raw = jit_raw_flags(fl);
}

#endif
