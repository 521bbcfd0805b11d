/*
 * Transfers of control between segments, privilege levels and tasks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_FAR_H
#define TCG_INTERP_FAR_H

#include "accel/tcg/interp/segment.h"

TEMPLATE bool long_mode(const Env *env)
{
    return env->s.efer & EFER_LMA;
}

TEMPLATE bool real_or_vm86(const Env *env)
{
    return env->mode & (DM_REAL | DM_VM86);
}

/* A new CS with its privilege, all checks done: CS.RPL becomes the CPL. */
static inline void cs_set(Env *env, uint16_t selector, uint64_t desc,
                          unsigned cpl)
{
    seg_from_desc(&env->s.seg[SEG_CS], (selector & ~3) | cpl, desc);
}

/*
 * Stack of an inner level under construction: pushed to with the rights of
 * that level, registers not touched.
 */
typedef struct NewStack {
    uint64_t sp, base;
    uint32_t limit;
    uint16_t attr;
    bool is64;
    bool present;               /* accesses with the rights of the present CPL */
    uint32_t error;             /* of the #SS of an overflow */
} NewStack;

/* False with the exception recorded. */
bool new_stack_push(Env *env, NewStack *st, uint64_t v, unsigned size);

/* SS:SP of a level from the TSS of legacy modes; #TS. */
bool tss_stack(Env *env, unsigned cpl, unsigned ext, uint16_t *ss,
               uint32_t *sp);
/* RSPn (0 to 2) or, with `ist` not 0, ISTn of a 64-bit TSS; #TS, #SS. */
bool tss_stack64(Env *env, unsigned cpl, unsigned ist, unsigned ext,
                 uint64_t *rsp);

/* --- tasks: task.c -------------------------------------------------------- */

typedef enum { TASK_JMP, TASK_CALL, TASK_IRET, TASK_INT } TaskReason;

/*
 * To the task of `selector`, which is that of a TSS in the GDT; all checks of
 * the descriptor are here (legacy modes only).  The old task goes on at `rip`.
 * An error code is pushed in the new one if `error` is not NULL.  False with
 * an exception recorded, either in the old task's context or the new one's.
 */
bool task_switch(Env *env, uint16_t selector, TaskReason why, unsigned ext,
                 uint64_t rip, const uint32_t *error);
/* Through a task gate. */
bool task_gate(Env *env, uint64_t gate, TaskReason why, unsigned ext,
               uint64_t rip, const uint32_t *error);

#endif
