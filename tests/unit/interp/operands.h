/*
 * Random operands, with the values that floating point treats specially.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_OPERANDS_H
#define TESTS_OPERANDS_H

#include "cpu/state.h"
#include "tests/common/rnd.h"

/* A random x87 register; `n` bytes (a multiple of 8) as operands may be; a
 * whole state. */
void some_f80(X86Fp *r);
void some_bytes(void *buf, unsigned n);
void some_state(X86State *s);

#endif
