/*
 * Random numbers for tests: the same in each run, unless a seed changes them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_COMMON_RND_H
#define TESTS_COMMON_RND_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t rnd_state;      /* never 0 */

void rnd_seed(uint64_t seed);   /* 0: as it begins */
uint64_t rnd(void);
unsigned below(unsigned n);
bool one_in(unsigned n);

#endif
