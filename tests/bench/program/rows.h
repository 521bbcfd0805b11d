/*
 * The benchmark program: what its files share.
 *
 * A row does the same work `n` times and returns a checksum, which must be the
 * same wherever the program runs; so nothing here may depend on time, addresses
 * or the processor's model, and nothing that is measured on libc's choice of
 * code for this processor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t RowFn(uint64_t n);

enum { NEED_AVX2 = 1, NEED_FMA = 2, NEED_AES = 4, NEED_SHA = 8 };

typedef struct Row {
    const char *name;
    RowFn *run;
    unsigned needs;             /* NEED_*: without, the row is not there */
} Row;

/* Each ends with a row without a name. */
extern const Row rows_integer[], rows_vector[], rows_system[];

/* Ends the program with a line that says so. */
void die(const char *what) __attribute__((noreturn));

/* The paths of this program and of the 32-bit one, for rows that run them. */
extern const char *self_path, *code32_path;

uint64_t row_crc(uint64_t n);

#endif
