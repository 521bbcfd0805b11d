/*
 * Random numbers for tests: xorshift64*, for which any state but 0 will do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/common/rnd.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

uint64_t rnd_state = GOLDEN;

void rnd_seed(uint64_t seed)
{
    rnd_state = GOLDEN ^ seed * 0x9e3779b9;
    rnd_state = rnd_state ? rnd_state : 1;
}

uint64_t rnd(void)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return rnd_state * UINT64_C(0x2545f4914f6cdd1d);
}

unsigned below(unsigned n)
{
    return (rnd() >> 33) % n;
}

bool one_in(unsigned n)
{
    return below(n) == 0;
}
