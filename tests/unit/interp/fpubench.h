/*
 * What the tests of the FPU's handlers share: operands, and an environment in
 * which one handler runs on the memory that native code uses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_FPUBENCH_H
#define TESTS_FPUBENCH_H

#include "accel/tcg/decode/info.h"
#include "accel/tcg/interp/x87.h"
#include "native.h"
#include "operands.h"

/* A flat 64-bit user program; cpl and mode may be changed. */
extern Env bench_env;
/* Handlers get the bounce buffer from memory functions. */
extern bool bench_bounce;
/* RHEA_TEST_ROUNDS: multiplies the number of trials. */
extern unsigned bench_rounds;
/* How often each operation was run. */
extern unsigned bench_runs[N_OPS];

/* Once.  False after skipping: the host cannot run code natively. */
bool bench_init(void);
/* Is [gva, gva + n) in native_data? */
bool bench_mapped(uint64_t gva, unsigned n);
/* Put native_data into the TLB, or take it out so that each access is slow. */
void bench_map(bool on);
const HandlerRow *bench_row(unsigned op);
InsnFn *bench_handler(const Insn *insn);
/* Run it at native_code; the exception's vector or -1. */
int bench_run(X86State *s, const Insn *insn);
/* Report a failure of `code`, decoded as `insn`, on `before`. */
void bench_fail(const Insn *insn, const uint8_t *code, const X86State *before,
                const char *what);

#endif
