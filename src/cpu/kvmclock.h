/*
 * The paravirtual clock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KVMCLOCK_H
#define KVMCLOCK_H

#include "cpu/cpu.h"

/* Is `msr` one of its registers, on a processor that shows a hypervisor? */
bool kvmclock_has(X86Cpu *cpu, uint32_t msr);
/* False: #GP.  In the vCPU's thread. */
uint64_t kvmclock_rdmsr(X86Cpu *cpu, uint32_t msr);
bool kvmclock_wrmsr(X86Cpu *cpu, uint32_t msr, uint64_t val);
/* The TSC was written: what the guest computes from it must stay right. */
void kvmclock_tsc_changed(X86Cpu *cpu);

#endif
