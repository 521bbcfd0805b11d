/*
 * The guest's time-stamp counter.
 *
 * It runs at 1 GHz under an emulating accelerator: one tick is one nanosecond
 * of CLK_VIRTUAL, so that TSC, local APIC and HPET never drift apart and the
 * counter stands still while the machine is stopped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include "loop/timer.h"

uint64_t cpu_tsc_hz(void)
{
    return NS_PER_SEC;
}

uint64_t cpu_read_tsc(X86Cpu *cpu)
{
    return clock_ns(CLK_VIRTUAL) + cpu->state->tsc_offset;
}

void cpu_write_tsc(X86Cpu *cpu, uint64_t val)
{
    cpu->state->tsc_offset = val - clock_ns(CLK_VIRTUAL);
}
