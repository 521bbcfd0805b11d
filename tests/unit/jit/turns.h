/*
 * Loops that are translated and interpreted: a case, and what came of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TURNS_H
#define TURNS_H

#include "../tcg/guest.h"

#include "accel/tcg/decode/info.h"
#include "accel/tcg/jit/jit.h"
#include "tests/common/rnd.h"

enum {
    CODE = 0x10000, TABLES = 0x100000, PT = 0x180000, GDT = 0x4000,
    IDT = 0x5000, HANDLER = 0x8000, STACK = 0x2f000, STACK_BYTES = 128,
    FAR = 0x13000, DATA = 0x600000, DATA_BYTES = 0x200000,
    MIDDLE = DATA + DATA_BYTES / 2,
};

typedef struct Case {
    uint8_t code[2048];
    unsigned n;
    uint64_t gpr[16];
    uint32_t mxcsr;
    uint64_t pt[512];
} Case;

typedef struct Outcome {
    uint64_t gpr[16], cr2;
    uint32_t mxcsr;
    uint8_t xmm[4][16], stack[STACK_BYTES], exit;
    uint8_t data[DATA_BYTES];
} Outcome;

#define ANY(list) list[below(G_N_ELEMENTS(list))]

/* `n` bytes of code. */
void turns_put(Case *k, uint64_t v, unsigned n);
/* The pages of DATA in random order, some of them missing or read-only. */
void turns_pages(Case *k);
/* What they hold at first. */
void turns_data(void);
void turns_run(const Case *k, uint32_t threshold, Outcome *o);
void turns_tell(const Case *k, const Outcome *want, const Outcome *got);
/* Make `n` cases and run them both ways, one in `soon` translated at once;
 * environment as in turns-test.c. */
void turns_random(void (*make)(Case *k), unsigned n, unsigned soon);
/* nest.c */
void nest_case(Case *k);

#endif
