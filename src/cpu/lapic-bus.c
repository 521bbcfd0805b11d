/*
 * Local APICs: taking interrupts, the LINT pins, delivery among them.
 *
 * Spec:   Intel SDM volume 3A, 11.5.1 (LVT), 11.6 (IPIs), 11.11 (MSIs), 11.12.
 * Locks:  see lapic.c; delivery comes from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lapic-private.h"

#include "base/trace.h"

/* --- taking an interrupt -------------------------------------------------- */

void lapic_accept(Lapic *a, unsigned mode, uint8_t vector, bool level)
{
    X86Cpu *cpu = a->cpu;

    switch (mode) {
    case APIC_DM_FIXED:
    case APIC_DM_LOWEST:
        if (vector < 16) {
            lapic_raise_error(a, ESR_RECV_ILLEGAL);
            return;
        }
        if (!sw_enabled(a)) {
            return;
        }
        if (level) {
            bits_atomic_set(a->tmr, vector);
        } else {
            bits_atomic_clear(a->tmr, vector);
        }
        bits_atomic_set(a->irr, vector);
        cpu_interrupt(cpu, CPU_PEND_APIC);
        break;
    case APIC_DM_SMI:
        cpu_interrupt(cpu, CPU_PEND_SMI);
        break;
    case APIC_DM_NMI:
        cpu_nmi(cpu);
        break;
    case APIC_DM_INIT:
        cpu_interrupt(cpu, CPU_PEND_INIT);
        break;
    case APIC_DM_SIPI:
        __atomic_store_n(&cpu->sipi_vector, vector, __ATOMIC_RELEASE);
        cpu_interrupt(cpu, CPU_PEND_SIPI);
        break;
    case APIC_DM_EXTINT:
        cpu_interrupt(cpu, CPU_PEND_EXTINT);
        break;
    }
}

void lapic_raise_error(Lapic *a, uint32_t bit)
{
    uint32_t lvt = __atomic_load_n(&a->lvt[LVT_ERROR], __ATOMIC_RELAXED);
    uint32_t old = __atomic_fetch_or(&a->esr_pending, bit, __ATOMIC_ACQ_REL);

    /* A bad vector in the error entry itself must not recurse. */
    if (!(old & bit) && !(lvt & LVT_MASKED) && (lvt & LVT_VECTOR) >= 16) {
        lapic_accept(a, APIC_DM_FIXED, lvt & LVT_VECTOR, false);
    }
}

static void local_source(Lapic *a, unsigned entry)
{
    uint32_t lvt = __atomic_load_n(&a->lvt[entry], __ATOMIC_RELAXED);

    if (!(lvt & LVT_MASKED)) {
        lapic_accept(a, (lvt & LVT_MODE) >> LVT_MODE_SHIFT, lvt & LVT_VECTOR,
               false);
    }
}

/* --- LINT pins ------------------------------------------------------------ */

bool lapic_accepts_extint(Lapic *a)
{
    if (in_kernel()) {
        return true;            /* see lapic_set_lint() */
    }

    uint32_t lvt = __atomic_load_n(&a->lvt[LVT_LINT0], __ATOMIC_RELAXED);

    /* Disabled, its pins are the processor's own INTR and NMI. */
    return !lapic_enabled(a)
           || (!(lvt & LVT_MASKED)
               && (lvt & LVT_MODE) >> LVT_MODE_SHIFT == APIC_DM_EXTINT);
}

static bool extint_high(Lapic *a)
{
    return (__atomic_load_n(&a->lint_levels, __ATOMIC_SEQ_CST) & 1)
           && lapic_accepts_extint(a);
}

/* The INTR line is looked at again whenever LINT0's entry changes.  The line
 * moves in one thread and the entry in another: the last to look is right. */
void lapic_update_extint(Lapic *a)
{
    bool high;

    if (in_kernel()) {
        return;
    }
    do {
        high = extint_high(a);
        if (high) {
            cpu_interrupt(a->cpu, CPU_PEND_EXTINT);
        } else {
            cpu_clear_pending(a->cpu, CPU_PEND_EXTINT);
        }
    } while (high != extint_high(a));
}

/* The level that pin `lint` had before. */
static bool drive_lint(Lapic *a, int lint, int level)
{
    uint8_t bit = 1 << lint;

    return (level ? __atomic_fetch_or(&a->lint_levels, bit, __ATOMIC_SEQ_CST)
                  : __atomic_fetch_and(&a->lint_levels, (uint8_t)~bit,
                                       __ATOMIC_SEQ_CST)) & bit;
}

void lapic_set_lint(Lapic *a, int lint, int level)
{
    bool was_high = drive_lint(a, lint, level);
    uint32_t lvt = __atomic_load_n(&a->lvt[LVT_LINT0 + lint],
                                   __ATOMIC_RELAXED);

    if (in_kernel()) {
        /* Whether LINT0's entry lets it through, the accelerator knows. */
        if (lint == 1 || level) {
            if (lint == 1) {
                drive_lint(a, lint, 0);     /* NMI sources pulse */
            }
            cpu_interrupt(a->cpu, lint ? CPU_PEND_NMI : CPU_PEND_EXTINT);
        } else {
            cpu_clear_pending(a->cpu, CPU_PEND_EXTINT);
        }
        return;
    }
    if (lint == 0 && (!lapic_enabled(a)
                      || (lvt & LVT_MODE) >> LVT_MODE_SHIFT
                         == APIC_DM_EXTINT)) {
        lapic_update_extint(a);
        return;
    }
    if (!level || was_high) {
        return;
    }
    if (!lapic_enabled(a)) {
        cpu_nmi(a->cpu);
    } else {
        local_source(a, LVT_LINT0 + lint);
    }
    if (lint == 1) {
        drive_lint(a, lint, 0);     /* NMI sources pulse */
    }
}

/* --- the bus -------------------------------------------------------------- */

static bool matches_logical(const Lapic *a, uint32_t dest)
{
    uint32_t ldr, dfr;

    if (is_x2apic(a)) {
        ldr = lapic_x2_ldr(a);
        return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    }
    ldr = __atomic_load_n(&a->ldr, __ATOMIC_RELAXED) >> 24;
    dfr = __atomic_load_n(&a->dfr, __ATOMIC_RELAXED) >> 28;
    if (dest > 0xff) {
        return dest == UINT32_MAX;
    }
    if (dfr == 0xf) {
        return ldr & dest;
    }
    return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool matches(const Lapic *a, uint32_t dest, bool logical)
{
    if (dest == UINT32_MAX || (dest == 0xff && !is_x2apic(a))) {
        return true;
    }
    if (logical) {
        return matches_logical(a, dest);
    }
    return dest == (is_x2apic(a) ? a->cpu->apic_id : a->id >> 24);
}

/* Local APICs of the accelerator take messages only. */
static bool send_as_msi(uint32_t dest, bool logical, unsigned mode,
                        uint8_t vector, bool level_triggered)
{
    msi_send(APIC_BASE_GPA | (dest & 0xff) << 12 | (dest >> 8 & 0x7f) << 5
             | (logical ? 4 : 0),
             vector | mode << LVT_MODE_SHIFT
             | (level_triggered ? ICR_LEVEL | ICR_ASSERT : 0));
    return true;
}

bool apic_bus_deliver(uint32_t dest, bool logical, unsigned mode,
                      uint8_t vector, bool level_triggered)
{
    GPtrArray *cpus = machine()->cpus;
    Lapic *lowest = NULL;
    bool taken = false;

    if (in_kernel()) {
        return send_as_msi(dest, logical, mode, vector, level_triggered);
    }
    trace("apic-deliver", "dest 0x%x logical %d mode %u vector 0x%02x", dest,
          logical, mode, vector);
    for (unsigned i = 0; i < cpus->len; i++) {
        Lapic *a = ((X86Cpu *)g_ptr_array_index(cpus, i))->apic;

        if (!a || !matches(a, dest, logical)
            || (!lapic_enabled(a) && mode < APIC_DM_INIT)) {
            continue;
        }
        if (mode == APIC_DM_LOWEST) {
            if (sw_enabled(a) && (!lowest || lapic_ppr(a) < lapic_ppr(lowest))) {
                lowest = a;
            }
            continue;
        }
        lapic_accept(a, mode, vector, level_triggered);
        taken = true;
    }
    if (lowest) {
        lapic_accept(lowest, APIC_DM_LOWEST, vector, level_triggered);
    }
    return taken || lowest;
}

/* SDM 3A 11.11: address bits 19-12 destination, bit 2 logical; the 15-bit
 * extension in bits 11-5, as hypervisors define it. */
static void receive_msi(uint64_t addr, uint32_t data)
{
    uint32_t dest = (addr >> 12 & 0xff) | (addr >> 5 & 0x7f) << 8;

    apic_bus_deliver(dest, addr & 4, data >> 8 & 7, data, data & ICR_LEVEL);
}

static void send_to(Lapic *a, unsigned mode, uint8_t vector)
{
    if (in_kernel()) {
        send_as_msi(a->cpu->apic_id, false, mode, vector, false);
    } else {
        lapic_accept(a, mode, vector, false);
    }
}

void lapic_send_ipi(Lapic *a, uint64_t icr)
{
    GPtrArray *cpus = machine()->cpus;
    unsigned mode = icr >> 8 & 7;
    uint8_t vector = icr;
    bool level = (icr & ICR_LEVEL) != 0;

    trace("apic-ipi", "cpu %u icr 0x%016" PRIx64, a->cpu->index, icr);
    if (mode == APIC_DM_INIT && level && !(icr & ICR_ASSERT)) {
        return;                 /* INIT level de-assert: no effect since P4 */
    }
    if (mode <= APIC_DM_LOWEST && vector < 16) {
        lapic_raise_error(a, ESR_SEND_ILLEGAL);
        return;
    }
    switch (icr >> ICR_SHORTHAND_SHIFT & 3) {
    case 0:
        apic_bus_deliver(is_x2apic(a) ? icr >> 32 : icr >> 56,
                         icr & ICR_LOGICAL, mode, vector, false);
        break;
    case 1:
        send_to(a, APIC_DM_FIXED, vector);
        break;
    default:
        for (unsigned i = 0; i < cpus->len; i++) {
            X86Cpu *cpu = g_ptr_array_index(cpus, i);

            if (cpu != a->cpu || (icr >> ICR_SHORTHAND_SHIFT & 1) == 0) {
                send_to(cpu->apic, mode == APIC_DM_LOWEST ? APIC_DM_FIXED
                                                          : mode, vector);
            }
        }
    }
}

void lapic_bus_init(void)
{
    if (!in_kernel()) {
        msi_set_receiver(receive_msi);
    }
}
