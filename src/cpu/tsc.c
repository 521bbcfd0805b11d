/*
 * The guest's time-stamp counter.
 *
 * It is CLK_VIRTUAL scaled: 1 GHz under an emulating accelerator, one tick a
 * nanosecond, so that TSC, local APIC and HPET never drift apart; the host's
 * rate where the guest reads the host's counter.  It stands still while the
 * machine is stopped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include "loop/timer.h"

uint64_t cpu_tsc_hz(void)
{
    const AccelOps *a = accel();

    return a && a->tsc_hz ? a->tsc_hz() : NS_PER_SEC;
}

static uint64_t ticks_now(void)
{
    uint64_t hz = cpu_tsc_hz(), ns = clock_ns(CLK_VIRTUAL);

    return hz == NS_PER_SEC ? ns : (unsigned __int128)ns * hz / NS_PER_SEC;
}

uint64_t cpu_read_tsc(X86Cpu *cpu)
{
    return ticks_now() + cpu->state->tsc_offset;
}

void cpu_write_tsc(X86Cpu *cpu, uint64_t val)
{
    cpu->state->tsc_offset = val - ticks_now();
}
