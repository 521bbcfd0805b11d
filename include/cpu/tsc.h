/*
 * The guest's TSC by the host's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_TSC_H
#define CPU_TSC_H

#include <stdint.h>

/*
 * A piece of the line that the guest's TSC follows: `delta` ticks of the host's
 * counter after `base`, no more than `span`, it is
 *     ticks + (delta * mult >> 32)
 * and the vCPU's tsc_offset.  Whoever copies a piece may use it as long as
 * clock_epoch() is `epoch`.
 */
typedef struct TscPiece {
    uint64_t base, span;        /* span 0: there is none */
    uint64_t mult, ticks;
    uint32_t epoch;
} TscPiece;

/* The present one; any thread. */
TscPiece cpu_tsc_piece(void);

#endif
