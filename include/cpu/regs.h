/*
 * The general registers of a vCPU that is in the middle of a port access, for
 * the few ports whose protocol is in registers.
 *
 *     X86Cpu *cpu = cpu_regs_here();
 *
 *     if (cpu) {
 *         cpu->state->gpr[R_RBX] = magic;
 *         cpu_regs_changed(cpu);
 *     }
 *
 * Whoever changes them puts what an IN returns into RAX as well: under KVM its
 * own writing of RAX may come first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_REGS_H
#define CPU_REGS_H

#include "cpu/cpu.h"

/* Set by an accelerator whose registers are not in cpu->state meanwhile. */
extern void (*cpu_regs_load)(X86Cpu *cpu), (*cpu_regs_store)(X86Cpu *cpu);

/* The vCPU whose access this is; NULL when it is nobody's. */
static inline X86Cpu *cpu_regs_here(void)
{
    X86Cpu *cpu = cpu_current();

    if (cpu && cpu_regs_load) {
        cpu_regs_load(cpu);
    }
    return cpu;
}

static inline void cpu_regs_changed(X86Cpu *cpu)
{
    if (cpu_regs_store) {
        cpu_regs_store(cpu);
    }
}

#endif
