/*
 * The interpreter for others: one instruction on a state that is not its own.
 *
 * Another accelerator whose hardware or kernel cannot execute an instruction
 * has it done here.  Nothing is remembered from one instruction to the next:
 * no translation, no decoded code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_SINGLE_H
#define TCG_SINGLE_H

#include "accel/tcg/env.h"

typedef struct TcgSingle TcgSingle;

typedef enum {
    SINGLE_DONE,                /* executed; or an exception was delivered */
    SINGLE_FETCH,               /* there is no RAM where RIP points */
    SINGLE_TRIPLE_FAULT,
} SingleResult;

/* For `cpu`, with its accelerator's data left alone.  NULL: no memory. */
TcgSingle *tcg_single_new(X86Cpu *cpu);
void tcg_single_free(TcgSingle *t);
/* The state it works on: cpu->state must be this while it does. */
X86State *tcg_single_state(TcgSingle *t);
/* Decode the instruction at RIP.  With an exception pending instead (a page
 * fault at the fetch) *insn is NULL.  SINGLE_DONE or SINGLE_FETCH. */
SingleResult tcg_single_decode(TcgSingle *t, const Insn **insn);
/* Where its memory operand is; false when it has none, or none that can be
 * read.  *hva is NULL where there is no RAM. */
bool tcg_single_operand(TcgSingle *t, hwaddr *gpa, uint8_t **hva);
/* Where `gva` is, with the state as it was at the last decode; likewise. */
bool tcg_single_look(TcgSingle *t, uint64_t gva, hwaddr *gpa, uint8_t **hva);
/* Execute what was decoded. */
SingleResult tcg_single_execute(TcgSingle *t);

#endif
