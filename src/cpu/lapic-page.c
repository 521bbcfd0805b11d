/*
 * Local APIC: its registers as accelerators exchange them, and as people read
 * them.
 *
 * Spec:   Intel SDM volume 3A, table 11-1.
 * Locks:  the vCPU is stopped, or the caller is its thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lapic-private.h"

static void page_put(uint8_t *page, unsigned reg, uint32_t val)
{
    store_le32(page + reg, val);
}

void lapic_get_page(Lapic *a, uint8_t page[LAPIC_PAGE_BYTES])
{
    static const uint16_t plain[] = {
        APIC_ID, APIC_VERSION, APIC_TPR, APIC_PPR, APIC_LDR, APIC_DFR,
        APIC_SVR, APIC_ESR, APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_PERF,
        APIC_LVT_LINT0, APIC_LVT_LINT1, APIC_LVT_ERROR, APIC_TIMER_INITIAL,
        APIC_TIMER_CURRENT, APIC_TIMER_DIVIDE,
    };

    memset(page, 0, LAPIC_PAGE_BYTES);
    for (unsigned i = 0; i < G_N_ELEMENTS(plain); i++) {
        page_put(page, plain[i], lapic_reg_read(a, plain[i]));
    }
    for (unsigned i = 0; i < 8; i++) {
        page_put(page, APIC_ISR + i * 0x10, a->isr[i]);
        page_put(page, APIC_TMR + i * 0x10, a->tmr[i]);
        page_put(page, APIC_IRR + i * 0x10, a->irr[i]);
    }
    page_put(page, APIC_ICR_LOW, a->icr);
    page_put(page, APIC_ICR_HIGH, a->icr >> 32);
}

void lapic_set_page(Lapic *a, const uint8_t page[LAPIC_PAGE_BYTES],
                    uint64_t base, uint64_t tsc_deadline)
{
    __atomic_store_n(&a->base, base, __ATOMIC_RELEASE);
    if (!is_x2apic(a)) {
        a->id = load_le32(page + APIC_ID);
        a->ldr = load_le32(page + APIC_LDR);
    }
    a->tpr = load_le32(page + APIC_TPR);
    a->dfr = load_le32(page + APIC_DFR);
    a->svr = load_le32(page + APIC_SVR);
    a->esr = load_le32(page + APIC_ESR);
    for (unsigned i = 0; i < 8; i++) {
        a->isr[i] = load_le32(page + APIC_ISR + i * 0x10);
        a->tmr[i] = load_le32(page + APIC_TMR + i * 0x10);
        a->irr[i] = load_le32(page + APIC_IRR + i * 0x10);
    }
    a->icr = load_le32(page + APIC_ICR_LOW)
             | (uint64_t)load_le32(page + APIC_ICR_HIGH) << 32;
    for (unsigned i = 0; i < N_LVT; i++) {
        a->lvt[i] = load_le32(page + APIC_LVT_TIMER + i * 0x10);
    }
    lapic_timer_load(a, load_le32(page + APIC_TIMER_INITIAL),
                     load_le32(page + APIC_TIMER_CURRENT),
                     load_le32(page + APIC_TIMER_DIVIDE), tsc_deadline);
}

/* --- `info lapic` --------------------------------------------------------- */

static void print_bits(const char *name, const uint32_t *v, GString *out)
{
    g_string_append_printf(out, "%s\t", name);
    for (unsigned i = 0; i < 256; i++) {
        if (bits_test(v, i)) {
            g_string_append_printf(out, " %u", i);
        }
    }
    g_string_append_c(out, '\n');
}

void lapic_print(Lapic *a, GString *out)
{
    static const char *const names[N_LVT] = {
        "LVTT", "LVTTHMR", "LVTPC", "LVT0", "LVT1", "LVTERR",
    };

    g_string_append_printf(out, "dumping local APIC state for CPU %u\n\n",
                           a->cpu->index);
    for (unsigned i = 0; i < N_LVT; i++) {
        g_string_append_printf(out, "%s\t 0x%08x\n", names[i], a->lvt[i]);
    }
    g_string_append_printf(out, "TIMER\t DCR=0x%x initial 0x%x current 0x%x\n"
                           "SPIV\t 0x%08x\nICR\t 0x%016" PRIx64 "\n"
                           "ESR\t 0x%08x\nBASE\t 0x%016" PRIx64 "\n",
                           a->timer_divide, a->timer_initial,
                           lapic_timer_current(a), a->svr, a->icr, a->esr,
                           apic_base(a));
    print_bits("ISR", a->isr, out);
    print_bits("IRR", a->irr, out);
    g_string_append_printf(out, "\nAPR 0x%02x TPR 0x%02x DFR 0x%x LDR 0x%08x "
                           "PPR 0x%02x\n", lapic_ppr(a), a->tpr, a->dfr >> 28,
                           a->ldr, lapic_ppr(a));
}
