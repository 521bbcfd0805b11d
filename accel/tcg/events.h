/*
 * What comes between instructions: for the run loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_EVENTS_H
#define TCG_EVENTS_H

#include "accel/tcg/tcg.h"

typedef enum {
    EVENT_GO_ON,
    EVENT_AGAIN,                /* RIP or the exception changed */
    EVENT_LEAVE,
} EventStep;

/* Deliver the exception in env->exc_*.  False: triple fault. */
bool event_deliver(Env *env);
/* Act on cpu->pending before the instruction at RIP.  EVENT_LEAVE: with *run. */
EventStep event_pending(Env *env, CpuRun *run);
/* The traps due after an instruction that did not fault, with RFLAGS as they
 * were before it. */
void event_traps(Env *env, uint64_t rflags);
/* Is there an instruction breakpoint at RIP?  Then #DB is recorded. */
bool event_breakpoint(Env *env);

#endif
