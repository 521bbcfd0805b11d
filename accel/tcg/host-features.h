/*
 * What the host lends to guests, and hosts that have less of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_HOST_FEATURES_H
#define TCG_HOST_FEATURES_H

#include <stdbool.h>

/* For tests, before tcg_features_begin(): as on a host with less. */
typedef struct TcgHost {
    bool no_avx;                /* nor what came with it or after */
    bool no_avx2;               /* nor FMA, F16C */
    bool slow_pext;             /* its PEXT is microcode */
} TcgHost;

/* What is pretended. */
extern TcgHost tcg_host;

/* Says in a line if guests cannot have AVX2. */
void tcg_features_begin(TcgHost host);

#endif
