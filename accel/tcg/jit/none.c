/*
 * No translator: the host is not x86-64.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include "base/log.h"

JitOptions jit_options;
bool jit_enabled;

bool jit_init(const JitOptions *o)
{
    warn("accelerator 'tcg': this host's processor is not x86-64: code is "
         "interpreted");
    return false;
}

void jit_stats(JitStats *out)
{
    *out = (JitStats) { 0 };
}

void jit_print_calls(GString *out)
{
}

void jit_cpu_init(Env *env)
{
}

void jit_cpu_free(Env *env)
{
}

void jit_block_new(Block *b)
{
}

void jit_block_killed(Block *b)
{
}

void jit_clock_check(Env *env)
{
}

void jit_slots_clear(Env *env)
{
}

bool jit_again_soon(const Block *b)
{
    return false;
}

uint32_t jit_slots_seen(const Block *b, unsigned i, unsigned taken)
{
    return 0;
}
