/*
 * Every opcode of every map, with chosen prefixes and ModRM bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DECODE_ENCODINGS_H
#define DECODE_ENCODINGS_H

#include "compare.h"

typedef void EncodingFn(const uint8_t *p, unsigned n, TestMode mode);

void encodings_legacy(TestMode mode, EncodingFn *fn);
void encodings_vex(TestMode mode, EncodingFn *fn);

#endif
