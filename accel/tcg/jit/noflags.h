/*
 * Checks of addresses that leave RFLAGS alone.  noflags.c
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_NOFLAGS_H
#define TCG_JIT_NOFLAGS_H

#include "accel/tcg/jit/template.h"

/* Before anything is compiled.  Says in a line if PEXT is slow. */
void t_noflags_init(void);
/* RCX, changed, is an offset in a page and a multiple of `align`, or the slow
 * path is taken.  Uses RAX if that is free. */
void t_in_page(Ctx *c, unsigned align, bool rax_free);
/* RCX is 0, or the slow path is taken. */
void t_jrcxz_or_slow(Ctx *c);
/* RCX is a tag: the same of the access's first byte, and of `last` behind it.
 * Uses RAX. */
void t_both_in_page(Ctx *c, const Access *a, unsigned align, unsigned last);
/* RAX: 8 times the index of an address's entry in the TLB.  Uses RCX. */
void t_tlb_index(Ctx *c, unsigned ea);

#endif
