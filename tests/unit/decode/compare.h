/*
 * One instruction through our decoder and through Zydis.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DECODE_COMPARE_H
#define DECODE_COMPARE_H

#include "accel/tcg/decode/tables.h"

typedef enum { MODE_64, MODE_32, MODE_16, MODE_REAL, N_MODES } TestMode;

void compare_init(void);

/* Decode the `n` bytes at `p`.  NULL when both agree (or differ in a way that
 * docs/decoder.md explains), else what they differ in; valid to the next call.
 * Marks the row as hit. */
const char *compare(const uint8_t *p, unsigned n, TestMode mode);

/* Zydis, too, knows no such instruction in 64-bit mode. */
bool compare_is_invalid(const uint8_t *p, unsigned n);

/* What one mode is as DM_* bits. */
static inline unsigned test_dm(TestMode mode)
{
    static const unsigned dm[N_MODES] = {
        [MODE_64] = DM_CODE64 | DM_SS32 | DM_FLAT,
        [MODE_32] = DM_CODE32 | DM_SS32,
        [MODE_16] = DM_CODE16,
        [MODE_REAL] = DM_CODE16 | DM_REAL,
    };

    return dm[mode];
}

/* Rows that compare() came to. */
extern bool compare_row_hit[4096];

#endif
