/*
 * Local APIC of one vCPU: priorities and registers.  The bus, LINT pins and the
 * timer have files of their own: lapic-private.h.
 *
 * Spec:   Intel SDM volume 3A, chapter 11 (xAPIC, x2APIC).
 * Models: version 0x14 with 6 LVT entries plus CMCI absent, EOI-broadcast
 *         suppression, logical flat and cluster modes, lowest priority.
 * Locks:  IRR and TMR are written by anyone, atomically; TMR before IRR, so
 *         whoever takes a vector sees its trigger mode.  ISR, TPR and the rest
 *         belong to the vCPU's thread (others read them as hints for lowest
 *         priority).  The timer's registers have `timer_mutex`, because its
 *         callback runs in the timers' own thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lapic-private.h"

#include "base/trace.h"
#include "cpu/features.h"

void (*apic_bus_eoi)(uint8_t vector);

static void sync_from_accel(Lapic *a)
{
    if (in_kernel()) {
        a->cpu->accel->apic_load(a->cpu);
    }
}

static void sync_to_accel(Lapic *a)
{
    if (in_kernel()) {
        a->cpu->accel->apic_store(a->cpu);
    }
}

/* --- modes ---------------------------------------------------------------- */

bool lapic_enabled(const Lapic *a)
{
    return apic_base(a) & BASE_ENABLE;
}

uint64_t lapic_base_gpa(const Lapic *a)
{
    uint64_t base = apic_base(a);

    if (!(base & BASE_ENABLE) || (base & BASE_X2)) {
        return UINT64_MAX;
    }
    return base & ~UINT64_C(0xfff);
}

uint32_t lapic_x2_ldr(const Lapic *a)
{
    uint32_t id = a->cpu->apic_id;

    return (id & ~0xfu) << 12 | BIT(id & 0xf);
}

/* --- priorities ----------------------------------------------------------- */

uint8_t lapic_ppr(const Lapic *a)
{
    int isrv = bits_highest(a->isr);
    uint8_t tpr = __atomic_load_n(&a->tpr, __ATOMIC_RELAXED);
    uint8_t isr_class = isrv < 0 ? 0 : isrv & 0xf0;

    return (tpr & 0xf0) >= isr_class ? tpr : isr_class;
}

int lapic_pending_vector(Lapic *a)
{
    int vector = bits_highest(a->irr);

    if (vector < 0 || !sw_enabled(a)
        || (vector & 0xf0) <= (lapic_ppr(a) & 0xf0)) {
        return -1;
    }
    return vector;
}

int lapic_ack(Lapic *a)
{
    int vector = lapic_pending_vector(a);

    if (vector < 0) {
        return -1;
    }
    bits_atomic_clear(a->irr, vector);
    a->isr[vector / 32] |= BIT(vector % 32);
    trace("apic-ack", "cpu %u vector 0x%02x", a->cpu->index, vector);
    return vector;
}

/* A lower PPR or a new request may let something through. */
static void look_again(Lapic *a)
{
    if (!in_kernel() && lapic_pending_vector(a) >= 0) {
        cpu_interrupt(a->cpu, CPU_PEND_APIC);
    }
}

static void eoi(Lapic *a)
{
    int vector = bits_highest(a->isr);

    if (vector < 0) {
        return;
    }
    a->isr[vector / 32] &= ~BIT(vector % 32);
    trace("apic-eoi", "cpu %u vector 0x%02x", a->cpu->index, vector);
    if (bits_test(a->tmr, vector) && apic_bus_eoi
        && !(a->svr & SVR_NO_EOI_BROADCAST)) {
        apic_bus_eoi(vector);
    }
    look_again(a);
}

uint8_t lapic_get_tpr(const Lapic *a)
{
    return a->tpr;
}

void lapic_set_tpr(Lapic *a, uint8_t tpr)
{
    __atomic_store_n(&a->tpr, tpr, __ATOMIC_RELAXED);
    look_again(a);
}

/* --- registers ------------------------------------------------------------ */

static int lvt_entry(unsigned reg)
{
    return reg >= APIC_LVT_TIMER && reg <= APIC_LVT_ERROR
           ? (int)(reg - APIC_LVT_TIMER) / 0x10 : -1;
}

static const uint32_t lvt_writable[N_LVT] = {
    [LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
    [LVT_THERMAL] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
    [LVT_PERF] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
    [LVT_LINT0] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL
                  | LVT_MASKED,
    [LVT_LINT1] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL
                  | LVT_MASKED,
    [LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

uint32_t lapic_reg_read(Lapic *a, unsigned reg)
{
    if (lvt_entry(reg) >= 0) {
        return a->lvt[lvt_entry(reg)];
    }
    switch (reg) {
    case APIC_ID:
        return is_x2apic(a) ? a->cpu->apic_id : a->id;
    case APIC_VERSION:
        return VERSION;
    case APIC_TPR:
        return a->tpr;
    case APIC_APR:
    case APIC_PPR:
        return lapic_ppr(a);
    case APIC_LDR:
        return is_x2apic(a) ? lapic_x2_ldr(a) : a->ldr;
    case APIC_DFR:
        return a->dfr;
    case APIC_SVR:
        return a->svr;
    case APIC_ISR ... APIC_ISR + 0x70:
        return a->isr[(reg - APIC_ISR) / 0x10];
    case APIC_TMR ... APIC_TMR + 0x70:
        return __atomic_load_n(&a->tmr[(reg - APIC_TMR) / 0x10],
                               __ATOMIC_RELAXED);
    case APIC_IRR ... APIC_IRR + 0x70:
        return __atomic_load_n(&a->irr[(reg - APIC_IRR) / 0x10],
                               __ATOMIC_RELAXED);
    case APIC_ESR:
        return a->esr;
    case APIC_ICR_LOW:
        return a->icr;
    case APIC_ICR_HIGH:
        return a->icr >> 32;
    case APIC_TIMER_INITIAL:
        return a->timer_initial;
    case APIC_TIMER_CURRENT:
        return lapic_timer_current(a);
    case APIC_TIMER_DIVIDE:
        return a->timer_divide;
    case APIC_EOI:
    case APIC_RRD:
        return 0;
    }
    lapic_raise_error(a, ESR_ILLEGAL_REGISTER);
    return 0;
}

static void write_lvt(Lapic *a, unsigned entry, uint32_t val)
{
    val &= lvt_writable[entry];
    if (!(a->svr & SVR_ENABLE)) {
        val |= LVT_MASKED;
    }
    if (entry == LVT_TIMER) {
        lapic_timer_write_lvt(a, val);
        return;
    }
    __atomic_store_n(&a->lvt[entry], val, __ATOMIC_RELAXED);
    if (entry == LVT_LINT0) {
        lapic_update_extint(a);
    }
}

static void write_svr(Lapic *a, uint32_t val)
{
    __atomic_store_n(&a->svr, val & (0x1ff | SVR_NO_EOI_BROADCAST),
                     __ATOMIC_RELAXED);
    if (!(val & SVR_ENABLE)) {
        for (unsigned i = 0; i < N_LVT; i++) {
            write_lvt(a, i, a->lvt[i] | LVT_MASKED);
        }
    }
    look_again(a);
}

/* False: no such register, or a reserved bit in x2APIC mode. */
static bool reg_write(Lapic *a, unsigned reg, uint32_t val)
{
    if (lvt_entry(reg) >= 0) {
        write_lvt(a, lvt_entry(reg), val);
        return true;
    }
    switch (reg) {
    case APIC_ID:
        a->id = val & 0xff000000;
        return true;
    case APIC_TPR:
        lapic_set_tpr(a, val);
        return true;
    case APIC_EOI:
        eoi(a);
        return true;
    case APIC_LDR:
        __atomic_store_n(&a->ldr, val & 0xff000000, __ATOMIC_RELAXED);
        return true;
    case APIC_DFR:
        __atomic_store_n(&a->dfr, val | 0x0fffffff, __ATOMIC_RELAXED);
        return true;
    case APIC_SVR:
        write_svr(a, val);
        return true;
    case APIC_ESR:
        a->esr = __atomic_exchange_n(&a->esr_pending, 0, __ATOMIC_ACQ_REL);
        return true;
    case APIC_ICR_LOW:
        a->icr = (a->icr & ~UINT64_C(0xffffffff)) | (val & 0xccfff);
        lapic_send_ipi(a, a->icr);
        return true;
    case APIC_ICR_HIGH:
        a->icr = (uint32_t)a->icr | (uint64_t)(val & 0xff000000) << 32;
        return true;
    case APIC_TIMER_INITIAL:
        lapic_timer_write_initial(a, val);
        return true;
    case APIC_TIMER_DIVIDE:
        lapic_timer_write_divide(a, val);
        return true;
    case APIC_RRD: case APIC_VERSION: case APIC_PPR: case APIC_APR:
    case APIC_TIMER_CURRENT:
        return true;            /* read-only */
    }
    if ((reg >= APIC_ISR && reg < APIC_ESR)) {
        return true;
    }
    lapic_raise_error(a, ESR_ILLEGAL_REGISTER);
    return false;
}

uint32_t lapic_mmio_read(Lapic *a, unsigned offset)
{
    uint32_t val;

    sync_from_accel(a);
    val = lapic_reg_read(a, offset & 0xff0);

    trace("apic-read", "cpu %u reg 0x%03x val 0x%08x", a->cpu->index, offset,
          val);
    return offset & 0xf ? 0 : val;
}

void lapic_mmio_write(Lapic *a, unsigned offset, uint32_t val)
{
    trace("apic-write", "cpu %u reg 0x%03x val 0x%08x", a->cpu->index, offset,
          val);
    if (!(offset & 0xf)) {
        sync_from_accel(a);
        reg_write(a, offset & 0xff0, val);
        sync_to_accel(a);
    }
}

/* --- MSRs ----------------------------------------------------------------- */

static bool write_base(Lapic *a, uint64_t val)
{
    uint64_t old = apic_base(a);
    bool was_x2 = old & BASE_X2, x2 = val & BASE_X2;
    bool was_on = old & BASE_ENABLE, on = val & BASE_ENABLE;

    /* SDM 11.12.1, figure 11-27: the transitions that exist. */
    if ((val & 0xfff & ~(BASE_BSP | BASE_X2 | BASE_ENABLE))
        || val >> cpu_phys_bits(a->cpu)
        || (x2 && !on) || (was_x2 && on && !x2) || (!was_on && x2)
        || (x2 && !cpu_has(a->cpu, FEAT_X2APIC))) {
        return false;
    }
    __atomic_store_n(&a->base, val, __ATOMIC_RELEASE);
    if (was_on && !on) {
        /* As after a power-up, the id included: SDM 11.4.3, 11.12.5.1. */
        lapic_reset(a, true);
        a->id = a->cpu->apic_id << 24;
        __atomic_store_n(&a->base, val, __ATOMIC_RELEASE);
    }
    lapic_update_extint(a);
    return true;
}

static bool x2_rdmsr(Lapic *a, unsigned reg, uint64_t *val)
{
    if (reg == APIC_DFR || reg == APIC_ICR_HIGH || reg == APIC_EOI
        || reg == APIC_SELF_IPI || reg == APIC_APR || reg == APIC_RRD
        || (reg > APIC_ESR && reg < APIC_ICR_LOW)
        || reg > APIC_TIMER_DIVIDE
        || (reg > APIC_TIMER_CURRENT && reg < APIC_TIMER_DIVIDE)
        || reg < APIC_ID || (reg > APIC_VERSION && reg < APIC_TPR)) {
        return false;
    }
    *val = reg == APIC_ICR_LOW ? a->icr : lapic_reg_read(a, reg);
    return true;
}

static bool x2_wrmsr(Lapic *a, unsigned reg, uint64_t val)
{
    if (reg == APIC_ICR_LOW) {
        if (val & 0xfff32000) {
            return false;
        }
        a->icr = val;
        lapic_send_ipi(a, val);
        return true;
    }
    if (val >> 32) {
        return false;
    }
    if (reg == APIC_SELF_IPI) {
        if (val >> 8) {
            return false;
        }
        lapic_accept(a, APIC_DM_FIXED, val, false);
        return true;
    }
    if (lvt_entry(reg) >= 0) {
        if (val & ~(uint64_t)(lvt_writable[lvt_entry(reg)] | LVT_PENDING
                              | LVT_REMOTE_IRR)) {
            return false;
        }
        return reg_write(a, reg, val);
    }
    switch (reg) {
    case APIC_EOI:
    case APIC_ESR:
        return val == 0 && reg_write(a, reg, val);
    case APIC_TPR:
        return val < 256 && reg_write(a, reg, val);
    case APIC_SVR:
    case APIC_TIMER_INITIAL:
    case APIC_TIMER_DIVIDE:
        return reg_write(a, reg, val);
    }
    return false;
}

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };

bool lapic_rdmsr(Lapic *a, uint32_t msr, uint64_t *val)
{
    sync_from_accel(a);
    if (msr == MSR_APIC_BASE) {
        *val = apic_base(a);
        return true;
    }
    if (msr == MSR_TSC_DEADLINE) {
        *val = lapic_timer_read_deadline(a);
        return true;
    }
    return is_x2apic(a) && x2_rdmsr(a, (msr - MSR_X2APIC) << 4, val);
}

static bool wrmsr(Lapic *a, uint32_t msr, uint64_t val)
{
    if (msr == MSR_APIC_BASE) {
        return write_base(a, val);
    }
    if (msr == MSR_TSC_DEADLINE) {
        lapic_timer_write_deadline(a, val);
        return true;
    }
    return is_x2apic(a) && x2_wrmsr(a, (msr - MSR_X2APIC) << 4, val);
}

bool lapic_wrmsr(Lapic *a, uint32_t msr, uint64_t val)
{
    bool ok;

    sync_from_accel(a);
    ok = wrmsr(a, msr, val);
    sync_to_accel(a);
    return ok;
}

uint64_t lapic_tsc_deadline(Lapic *a)
{
    return a->tsc_deadline;
}

uint64_t lapic_base_msr(const Lapic *a)
{
    return apic_base(a);
}

/* --- life ----------------------------------------------------------------- */

void lapic_reset(Lapic *a, bool init_only)
{
    if (!init_only) {
        __atomic_store_n(&a->base, APIC_BASE_GPA | BASE_ENABLE
                         | (a->cpu->is_bsp ? BASE_BSP : 0), __ATOMIC_RELEASE);
        a->id = a->cpu->apic_id << 24;
        a->lint_levels = 0;
    }
    a->tpr = 0;
    a->ldr = 0;
    a->dfr = 0xffffffff;
    a->svr = 0xff;
    for (unsigned i = 0; i < 8; i++) {
        a->isr[i] = 0;
        __atomic_store_n(&a->tmr[i], 0, __ATOMIC_RELAXED);
        __atomic_store_n(&a->irr[i], 0, __ATOMIC_RELAXED);
    }
    a->esr = a->esr_pending = 0;
    a->icr = 0;
    for (unsigned i = 0; i < N_LVT; i++) {
        a->lvt[i] = LVT_MASKED;
    }
    if (a->cpu->is_bsp && !init_only) {
        /* Firmware's virtual wire mode, which a kernel entered without any
         * firmware expects: LINT0 passes the 8259's interrupts, LINT1 is
         * NMI. */
        a->lvt[LVT_LINT0] = APIC_DM_EXTINT << LVT_MODE_SHIFT;
        a->lvt[LVT_LINT1] = APIC_DM_NMI << LVT_MODE_SHIFT;
    }
    lapic_timer_reset(a);
}

Lapic *lapic_new(X86Cpu *cpu)
{
    static bool first = true;
    Lapic *a = g_new0(Lapic, 1);

    if (first) {
        first = false;
        lapic_bus_init();
    }
    a->cpu = cpu;
    lapic_timer_init(a);
    lapic_reset(a, false);
    return a;
}

void lapic_free(Lapic *a)
{
    lapic_timer_free(a);
    g_free(a);
}

/* --- state ---------------------------------------------------------------- */

const State lapic_state = {
    .name = "apic", .version = 1,
    .fields = (const StateField[]) {
        STATE_U64(Lapic, base), STATE_U32(Lapic, id), STATE_U32(Lapic, tpr),
        STATE_U32(Lapic, ldr), STATE_U32(Lapic, dfr), STATE_U32(Lapic, svr),
        STATE_U32_ARRAY(Lapic, isr), STATE_U32_ARRAY(Lapic, tmr),
        STATE_U32_ARRAY(Lapic, irr), STATE_U32(Lapic, esr),
        STATE_U32(Lapic, esr_pending), STATE_U64(Lapic, icr),
        STATE_U32_ARRAY(Lapic, lvt), STATE_U32(Lapic, timer_initial),
        STATE_U32(Lapic, timer_divide), STATE_I64(Lapic, timer_start_ns),
        STATE_U64(Lapic, tsc_deadline), STATE_U8(Lapic, lint_levels), {}
    },
};

void lapic_update(Lapic *a)
{
    lapic_timer_update(a);
    lapic_update_extint(a);
    look_again(a);
}
