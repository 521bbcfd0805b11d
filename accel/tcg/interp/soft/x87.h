/*
 * Between x87.c and transcendental.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_SOFT_X87_H
#define TCG_INTERP_SOFT_X87_H

#include "accel/tcg/interp/soft/float.h"
#include "accel/tcg/interp/soft/soft.h"
#include "accel/tcg/interp/x87.h"

FpCtx soft_begin(uint16_t fcw);
/* The status word; and with it the result, unless an exception stopped it. */
unsigned soft_status(const FpCtx *c);
unsigned soft_finish(const FpCtx *c, X86Fp *r, FpNum v);
/* FYL2X, FYL2XP1, FPATAN: of ST(0) = a and ST(1) = b. */
FpNum soft_transcendental2(FpCtx *c, SoftX87 op, FpNum a, FpNum b);

#endif
