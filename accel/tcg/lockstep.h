/*
 * Interpreter and translator compared block by block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_LOCKSTEP_H
#define TCG_LOCKSTEP_H

#include "accel/tcg/tcg.h"

typedef struct LockstepStats {
    uint64_t n_compared, n_interpreted, n_different;
} LockstepStats;

extern bool tcg_lockstep;

void lockstep_init(void);
/* Run a block, with RIP at its start, in the place of the run loop. */
void lockstep_run(Env *env, const Block *b);
void lockstep_stats(LockstepStats *out);

#endif
