/*
 * Running instructions natively: what the tests of the handlers compare with.
 *
 * The code and the data that it may touch live at addresses of this process
 * that an interpreted guest uses as linear addresses too, so that one state
 * serves both.  A fault is caught by its signal and reported as its vector.
 *
 * Not reentrant; one thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_NATIVE_H
#define TESTS_NATIVE_H

#include "cpu/state.h"

enum { NATIVE_PAGE = 4096, NATIVE_DATA_PAGES = 4 };

/* Two pages of code; and the data pages, with nothing for 32 MiB around.  All lie
 * below 4 GiB. */
enum { NATIVE_GUARD = 32 * 1024 * 1024 };
extern uint8_t *native_code, *native_data;

typedef struct NativeResult {
    int vector;                 /* -1: ran to the end */
    uint64_t error;             /* #PF: error code as the kernel tells it */
    uint64_t cr2;
} NativeResult;

/* Once, before anything else.  False: not possible on this host. */
bool native_init(void);
bool native_has_avx(void);

/*
 * Copy `len` bytes of code to native_code + `off` and run them with the general
 * registers, arithmetic flags and DF, x87, MXCSR and vector registers of `s`,
 * which are replaced by what they were at the end or at the fault; s->rip too.
 * Code that leaves the copied bytes other than at their end is not supported.
 */
NativeResult native_run(X86State *s, const void *code, unsigned len,
                        unsigned off);

/*
 * The same outside 64-bit mode, in the segments given: `rip` is the offset of
 * the code in CS.  The general registers are 32 bits, R8 to R15 stay.
 */
typedef struct NativeSegs {
    uint16_t cs, ss, ds, es;
    uint32_t rip;               /* native_code in CS */
} NativeSegs;
NativeResult native_run_segs(X86State *s, const void *code, unsigned len,
                             const NativeSegs *segs, bool code16);

/* Flat 32-bit segments of this process. */
enum { NATIVE_CS32 = 0x23, NATIVE_DS32 = 0x2b };
/* Make entry `n` of the LDT; attr as in a descriptor's bits 40 to 55 without
 * its limit.  Returns its selector, 0 where the kernel refuses. */
uint16_t native_ldt(unsigned n, uint32_t base, uint32_t limit, uint16_t attr);

/* What differs between two states, one item a line; false when nothing does.
 * `rflags_mask`: the flags that count. */
bool native_diff(const X86State *want, const X86State *got,
                 uint64_t rflags_mask, GString *out);

#endif
