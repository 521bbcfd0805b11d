/*
 * Local APICs and the bus between them.
 *
 * Spec:  Intel SDM volume 3A chapter 11 (APIC), xAPIC and x2APIC modes.
 * Locks: none needed: IRR, ISR and TMR are atomic bit arrays, ICR, EOI and the
 *        timer belong to the vCPU's thread; delivery comes from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_LAPIC_H
#define CPU_LAPIC_H

#include "core/state.h"
#include "cpu/cpu.h"

Lapic *lapic_new(X86Cpu *cpu);
void lapic_free(Lapic *apic);
/* Power-up reset, or INIT (which keeps the APIC id and base). */
void lapic_reset(Lapic *apic, bool init_only);
extern const State lapic_state;
/* After lapic_state was loaded. */
void lapic_update(Lapic *apic);

/* The 4 KiB page at IA32_APIC_BASE, by the owner's thread; aligned 32-bit
 * accesses are the defined ones. */
uint32_t lapic_mmio_read(Lapic *apic, unsigned offset);
void lapic_mmio_write(Lapic *apic, unsigned offset, uint32_t val);
/* IA32_APIC_BASE, x2APIC registers 0x800-0x8ff, IA32_TSC_DEADLINE.
 * False: #GP. */
bool lapic_rdmsr(Lapic *apic, uint32_t msr, uint64_t *val);
bool lapic_wrmsr(Lapic *apic, uint32_t msr, uint64_t val);
/* CR8 */
uint8_t lapic_get_tpr(const Lapic *apic);
void lapic_set_tpr(Lapic *apic, uint8_t tpr);
/* Guest physical page that it answers, or UINT64_MAX (off or x2APIC). */
uint64_t lapic_base_gpa(const Lapic *apic);
bool lapic_enabled(const Lapic *apic);

/* The 4 KiB register page up to its last register, little-endian, for
 * accelerators that have local APICs of their own; the vCPU is stopped or the
 * caller is its thread. */
#define LAPIC_PAGE_BYTES 0x400
void lapic_get_page(Lapic *apic, uint8_t page[LAPIC_PAGE_BYTES]);
void lapic_set_page(Lapic *apic, const uint8_t page[LAPIC_PAGE_BYTES],
                    uint64_t base, uint64_t tsc_deadline);
uint64_t lapic_tsc_deadline(Lapic *apic);
uint64_t lapic_base_msr(const Lapic *apic);

/* `info lapic` */
void lapic_print(Lapic *apic, GString *out);

/* Highest pending vector above the PPR, or -1. */
int lapic_pending_vector(Lapic *apic);
/* Move it from IRR to ISR: the vector, or -1 when there is none any more. */
int lapic_ack(Lapic *apic);

/* LINT0 (8259 INTR of the boot CPU) and LINT1 (NMI).  Machine lock. */
void lapic_set_lint(Lapic *apic, int lint, int level);
/* Does LINT0 pass ExtINT to the core now? */
bool lapic_accepts_extint(Lapic *apic);

/* Delivery by the bus, from IOAPIC, MSI or ICR.  `dest` is 8 bits, or 32 in
 * x2APIC form; modes as in the ICR.  True if some APIC took it. */
enum {
    APIC_DM_FIXED = 0, APIC_DM_LOWEST = 1, APIC_DM_SMI = 2, APIC_DM_NMI = 4,
    APIC_DM_INIT = 5, APIC_DM_SIPI = 6, APIC_DM_EXTINT = 7,
};
bool apic_bus_deliver(uint32_t dest, bool logical, unsigned mode,
                      uint8_t vector, bool level_triggered);
/* EOI broadcast of a level interrupt, to the IOAPIC; set by it.  Called by
 * the vCPU's thread without the machine lock. */
extern void (*apic_bus_eoi)(uint8_t vector);

#endif
