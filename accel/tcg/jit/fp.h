/*
 * Guest x87 and vector state in the host's registers.
 *
 * While compiled code runs, XMM/YMM 0-15 with MXCSR, and the x87 (and MMX)
 * registers with their words, may be the guest's: "live".  Code loads them when
 * an instruction needs them and finds them not live; whoever is called from
 * compiled code and may touch them, or look at them in Env, says
 * jit_fp_sync() first, which puts them back.  Only objects compiled without
 * vector registers run in between; scripts/no-vectors checks those.
 *
 * Live implies usable: what CR0, CR4 and XCR0 forbid is never loaded, and
 * whoever changes those does so after a jit_fp_sync().  So no block needs to
 * know them, and #NM and #UD come from the interpreter's handlers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_FP_H
#define TCG_JIT_FP_H

#include "accel/tcg/env.h"

/* What must be live: bit i goes with env->fp_off[i]. */
enum { FP_SSE = 1 << 0, FP_AVX = 1 << 1, FP_X87 = 1 << 2, FP_KINDS = 3,
       FP_BASED = 1 << 3 };     /* in the translator: env->x87_base is right */

/* env->x87_note: the last x87 instruction; 0: env->s.fip and so on have it. */
enum {
    X87_NOTE_OFF_BITS = 12, X87_NOTE_FOP_SHIFT = 12,
    X87_NOTE_VALID = 1 << 23,
};

/* Which of FP_* this host can keep live. */
unsigned jit_fp_host(void);
/* Make `need` live; false: not usable now. */
bool jit_fp_load(Env *env, unsigned need);
void jit_fp_save(Env *env);

static inline void jit_fp_sync(Env *env)
{
    if (unlikely(env->fp_live)) {
        jit_fp_save(env);
    }
}

#endif
