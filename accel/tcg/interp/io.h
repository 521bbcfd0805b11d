/*
 * Permission for port I/O, and I/O breakpoints.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_IO_H
#define TCG_INTERP_IO_H

#include "accel/tcg/interp/int.h"

/* False with #GP(0), or what reading the TSS raised, recorded. */
bool io_allowed(Env *env, uint16_t port, unsigned size);

/*
 * After an access to the port in DX, or to `port`: with a matching breakpoint,
 * record the #DB trap and return true.  The instruction is complete: RIP must
 * be moved on by leaving with insn_exit(), or stay for a REP with more to do.
 */
bool io_breakpoint_at(Env *env, uint16_t port, unsigned size);
static inline bool io_breakpoint(Env *env, unsigned size)
{
    return unlikely(env->s.cr4 & CR4_DE) && (env->s.dr[7] & 0xff)
           && io_breakpoint_at(env, env->s.gpr[R_RDX], size);
}

#endif
