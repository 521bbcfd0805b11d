/*
 * Turns without checks: between ahead.c, path.c, enter.c and turns.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_AHEAD_H
#define TCG_JIT_AHEAD_H

#include "accel/tcg/jit/template.h"

/* ANY: nothing is known.  MOVED: `reg` at the start of the turn, and `add`;
 * `low`: 32 bits of that; R_ZERO: just `add`.  SMALL: 0 to `max`. */
typedef struct Value {
    enum { ANY, MOVED, SMALL } what;
    uint8_t reg;
    bool low;
    int64_t add;
    uint32_t max;
} Value;

enum { N_VALUES = R_ZERO + 1 };

/* v[]: N_VALUES of them, at the start of a turn; then with each instruction. */
void value_start(Value *v);
void value_step(const Insn *n, Value *v);

/*
 * t->path: the instructions of a turn that begins at t->first, up to the jump
 * back, t->last.  False: there is no such loop.
 */
bool path_find(Ctx *c, Turns *t);

/* --- enter.c: each check's ways to fail become stubs that jump, to where the
 * caller says.  They use RCX and RDX, and RFLAGS. ------------------------- */

/* How often loops inside turn is as it was guessed. */
void turns_check_guesses(Ctx *c, const Turns *t);
/*
 * All accesses of the group, in this many turns, hit its slot.  The address is
 * then [a->ea] + a->disp.
 */
void turns_check_group(Ctx *c, const TurnGroup *g, unsigned turns, Access *a);
/* As many turns as the group stays in its page, if fewer than so far. */
void turns_bound(Ctx *c, const TurnGroup *g, const Access *a);
/* Addends, and what does not move with them.  No flags. */
void turns_load(Ctx *c, const Turns *t);
void turns_give_back(Ctx *c, const Turns *t);

#endif
