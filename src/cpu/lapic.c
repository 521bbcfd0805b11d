/*
 * Local APIC of one vCPU, and delivery among them.
 *
 * Spec:   Intel SDM volume 3A, chapter 11 (xAPIC, x2APIC, TSC deadline).
 * Models: version 0x14 with 6 LVT entries plus CMCI absent, EOI-broadcast
 *         suppression, logical flat and cluster modes, lowest priority,
 *         one-shot, periodic and TSC-deadline timer.  The bus clock is 1 GHz,
 *         one tick a nanosecond.
 * Locks:  IRR and TMR are written by anyone, atomically; TMR before IRR, so
 *         whoever takes a vector sees its trigger mode.  ISR, TPR and the rest
 *         belong to the vCPU's thread (others read them as hints for lowest
 *         priority).  The timer's registers have `timer_mutex`, because its
 *         callback runs in the timers' own thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/lapic.h"

#include "base/log.h"
#include "base/trace.h"
#include "cpu/features.h"
#include "loop/timer.h"

#define APIC_BASE_GPA 0xfee00000
/* A guest that asks for less gets this: the timer thread must not starve the
 * others.  Linux never programs less than a microsecond. */
#define MIN_PERIOD_NS 1000
/* timer_start_ns of a one-shot count that has reached 0: it stays there even
 * if the timer becomes periodic. */
#define STOPPED INT64_MIN

enum {                          /* IA32_APIC_BASE */
    BASE_BSP = 1 << 8, BASE_X2 = 1 << 10, BASE_ENABLE = 1 << 11,
};

enum {                          /* register offsets, SDM table 11-1 */
    APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90,
    APIC_PPR = 0xa0, APIC_EOI = 0xb0, APIC_RRD = 0xc0, APIC_LDR = 0xd0,
    APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
    APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_LVT_CMCI = 0x2f0,
    APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330, APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370, APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
    APIC_SELF_IPI = 0x3f0,      /* x2APIC only */
};

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR,
       N_LVT };

enum {                          /* LVT and ICR fields */
    LVT_VECTOR = 0xff, LVT_MODE = 7 << 8, LVT_MODE_SHIFT = 8,
    LVT_PENDING = 1 << 12, LVT_POLARITY = 1 << 13, LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15, LVT_MASKED = 1 << 16,
    LVT_TIMER_MODE = 3 << 17, LVT_PERIODIC = 1 << 17, LVT_DEADLINE = 2 << 17,
    ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15,
    ICR_SHORTHAND_SHIFT = 18,
    SVR_ENABLE = 1 << 8, SVR_NO_EOI_BROADCAST = 1 << 12,
    VERSION = 0x14 | (N_LVT - 1) << 16 | 1 << 24,
    ESR_SEND_ILLEGAL = 1 << 5, ESR_RECV_ILLEGAL = 1 << 6,
    ESR_ILLEGAL_REGISTER = 1 << 7,
};

struct Lapic {
    X86Cpu *cpu;
    Timer timer;
    GMutex timer_mutex;

    uint64_t base;              /* (A) IA32_APIC_BASE */
    uint32_t id;                /* xAPIC id, bits 31-24 of the register */
    uint32_t tpr;
    uint32_t ldr, dfr, svr;     /* (A) read by senders */
    uint32_t isr[8];
    uint32_t tmr[8];            /* (A) */
    uint32_t irr[8];            /* (A) */
    uint32_t esr, esr_pending;  /* (A) latched by a write of ESR */
    uint64_t icr;
    uint32_t lvt[N_LVT];        /* (A) read by deliverers of local sources */
    uint32_t timer_initial, timer_divide;
    int64_t timer_start_ns;     /* when the count was written */
    uint64_t tsc_deadline;
    uint8_t lint_levels;        /* (A) */
};

void (*apic_bus_eoi)(uint8_t vector);

static Loop *timer_loop;        /* shared by all local APICs */

/* --- 256-bit vectors -------------------------------------------------------------- */

static void bits_atomic_set(uint32_t *v, uint8_t n)
{
    __atomic_or_fetch(&v[n / 32], BIT(n % 32), __ATOMIC_SEQ_CST);
}

static void bits_atomic_clear(uint32_t *v, uint8_t n)
{
    __atomic_and_fetch(&v[n / 32], ~BIT(n % 32), __ATOMIC_SEQ_CST);
}

static bool bits_test(const uint32_t *v, uint8_t n)
{
    return __atomic_load_n(&v[n / 32], __ATOMIC_ACQUIRE) & BIT(n % 32);
}

static int bits_highest(const uint32_t *v)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t word = __atomic_load_n(&v[i], __ATOMIC_ACQUIRE);

        if (word) {
            return i * 32 + 31 - __builtin_clz(word);
        }
    }
    return -1;
}

/* Is what we hold a copy of the accelerator's? */
static bool in_kernel(void)
{
    return accel() && accel()->apic_in_kernel;
}

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

/* --- modes -------------------------------------------------------------------------- */

static uint64_t apic_base(const Lapic *a)
{
    return __atomic_load_n(&a->base, __ATOMIC_ACQUIRE);
}

static bool is_x2apic(const Lapic *a)
{
    return (apic_base(a) & (BASE_X2 | BASE_ENABLE)) == (BASE_X2 | BASE_ENABLE);
}

bool lapic_enabled(const Lapic *a)
{
    return apic_base(a) & BASE_ENABLE;
}

static bool sw_enabled(const Lapic *a)
{
    return lapic_enabled(a)
           && (__atomic_load_n(&a->svr, __ATOMIC_RELAXED) & SVR_ENABLE);
}

uint64_t lapic_base_gpa(const Lapic *a)
{
    uint64_t base = apic_base(a);

    if (!(base & BASE_ENABLE) || (base & BASE_X2)) {
        return UINT64_MAX;
    }
    return base & ~UINT64_C(0xfff);
}

static uint32_t x2apic_ldr(const Lapic *a)
{
    uint32_t id = a->cpu->apic_id;

    return (id & ~0xfu) << 12 | BIT(id & 0xf);
}

/* --- priorities ---------------------------------------------------------------------- */

static uint8_t ppr(const Lapic *a)
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
        || (vector & 0xf0) <= (ppr(a) & 0xf0)) {
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

/* --- taking an interrupt --------------------------------------------------------------- */

static void raise_error(Lapic *a, uint32_t bit);

static void accept(Lapic *a, unsigned mode, uint8_t vector, bool level)
{
    X86Cpu *cpu = a->cpu;

    switch (mode) {
    case APIC_DM_FIXED:
    case APIC_DM_LOWEST:
        if (vector < 16) {
            raise_error(a, ESR_RECV_ILLEGAL);
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

static void raise_error(Lapic *a, uint32_t bit)
{
    uint32_t lvt = __atomic_load_n(&a->lvt[LVT_ERROR], __ATOMIC_RELAXED);
    uint32_t old = __atomic_fetch_or(&a->esr_pending, bit, __ATOMIC_ACQ_REL);

    /* A bad vector in the error entry itself must not recurse. */
    if (!(old & bit) && !(lvt & LVT_MASKED) && (lvt & LVT_VECTOR) >= 16) {
        accept(a, APIC_DM_FIXED, lvt & LVT_VECTOR, false);
    }
}

static void local_source(Lapic *a, unsigned entry)
{
    uint32_t lvt = __atomic_load_n(&a->lvt[entry], __ATOMIC_RELAXED);

    if (!(lvt & LVT_MASKED)) {
        accept(a, (lvt & LVT_MODE) >> LVT_MODE_SHIFT, lvt & LVT_VECTOR,
               false);
    }
}

/* --- LINT pins ----------------------------------------------------------------------------- */

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
static void update_extint(Lapic *a)
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
        update_extint(a);
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

/* --- the bus --------------------------------------------------------------------------------- */

static bool matches_logical(const Lapic *a, uint32_t dest)
{
    uint32_t ldr, dfr;

    if (is_x2apic(a)) {
        ldr = x2apic_ldr(a);
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
            if (sw_enabled(a) && (!lowest || ppr(a) < ppr(lowest))) {
                lowest = a;
            }
            continue;
        }
        accept(a, mode, vector, level_triggered);
        taken = true;
    }
    if (lowest) {
        accept(lowest, APIC_DM_LOWEST, vector, level_triggered);
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
        accept(a, mode, vector, false);
    }
}

static void send_ipi(Lapic *a, uint64_t icr)
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
        raise_error(a, ESR_SEND_ILLEGAL);
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

/* --- timer --------------------------------------------------------------------------------------- */

static unsigned timer_mode(const Lapic *a)
{
    return __atomic_load_n(&a->lvt[LVT_TIMER], __ATOMIC_RELAXED)
           & LVT_TIMER_MODE;
}

/* Divide configuration: bits 0, 1 and 3; 111 divides by 1. */
static unsigned divisor(const Lapic *a)
{
    unsigned v = (a->timer_divide & 3) | (a->timer_divide >> 1 & 4);

    return v == 7 ? 1 : 2u << v;
}

static int64_t period_ns(const Lapic *a)
{
    return MAX((int64_t)a->timer_initial * divisor(a), MIN_PERIOD_NS);
}

/* The TSC is CLK_VIRTUAL scaled: the time at which it reaches `tsc`. */
static int64_t tsc_to_ns(Lapic *a, uint64_t tsc)
{
    int64_t delta = (int64_t)(tsc - cpu_read_tsc(a->cpu));
    __int128 ns = (__int128)delta * NS_PER_SEC / (int64_t)cpu_tsc_hz();

    return clock_ns(CLK_VIRTUAL) + (int64_t)MIN(ns, INT64_MAX / 4);
}

/* With timer_mutex. */
static void timer_arm(Lapic *a)
{
    if (in_kernel()) {
        return;                 /* theirs runs */
    }
    if (timer_mode(a) == LVT_DEADLINE) {
        if (a->tsc_deadline) {
            timer_mod(&a->timer, tsc_to_ns(a, a->tsc_deadline));
        } else {
            timer_del(&a->timer);
        }
    } else if (a->timer_initial && a->timer_start_ns != STOPPED) {
        timer_mod(&a->timer, a->timer_start_ns + period_ns(a));
    } else {
        timer_del(&a->timer);
    }
}

/* With timer_mutex: has a count run out?  Then the next one begins. */
static bool timer_expire(Lapic *a)
{
    int64_t gone = clock_ns(CLK_VIRTUAL) - a->timer_start_ns;

    if (!a->timer_initial || a->timer_start_ns == STOPPED
        || gone < period_ns(a)) {
        return false;
    }
    if (timer_mode(a) == LVT_PERIODIC) {
        a->timer_start_ns += gone / period_ns(a) * period_ns(a);
    } else {
        a->timer_start_ns = STOPPED;
    }
    return true;
}

static void timer_interrupt(Lapic *a)
{
    uint32_t lvt = __atomic_load_n(&a->lvt[LVT_TIMER], __ATOMIC_RELAXED);

    if (!(lvt & LVT_MASKED)) {
        accept(a, APIC_DM_FIXED, lvt & LVT_VECTOR, false);
    }
}

static void timer_fired(void *opaque)
{
    Lapic *a = opaque;
    bool fire;

    g_mutex_lock(&a->timer_mutex);
    if (timer_mode(a) == LVT_DEADLINE) {
        fire = a->tsc_deadline && a->tsc_deadline <= cpu_read_tsc(a->cpu);
        if (fire) {
            a->tsc_deadline = 0;
        }
    } else {
        fire = timer_expire(a);
    }
    timer_arm(a);               /* the next period, or rewritten since */
    g_mutex_unlock(&a->timer_mutex);
    if (fire) {
        timer_interrupt(a);
    }
}

static uint32_t timer_current(Lapic *a)
{
    int64_t gone, period;

    if (timer_mode(a) == LVT_DEADLINE || !a->timer_initial
        || a->timer_start_ns == STOPPED) {
        return 0;
    }
    gone = clock_ns(CLK_VIRTUAL) - a->timer_start_ns;
    period = (int64_t)a->timer_initial * divisor(a);
    if (gone >= period) {
        if (timer_mode(a) != LVT_PERIODIC) {
            return 0;
        }
        gone %= period;
    }
    return a->timer_initial - gone / divisor(a);
}

static void timer_write_initial(Lapic *a, uint32_t val)
{
    g_mutex_lock(&a->timer_mutex);
    if (timer_mode(a) != LVT_DEADLINE) {
        a->timer_initial = val;
        a->timer_start_ns = clock_ns(CLK_VIRTUAL);
        timer_arm(a);
    }
    g_mutex_unlock(&a->timer_mutex);
}

static void timer_write_divide(Lapic *a, uint32_t val)
{
    g_mutex_lock(&a->timer_mutex);
    a->timer_divide = val & 0xb;
    timer_arm(a);
    g_mutex_unlock(&a->timer_mutex);
}

static void timer_write_lvt(Lapic *a, uint32_t val)
{
    g_mutex_lock(&a->timer_mutex);
    /* What the old mode owes, should the timer's thread be late. */
    if (timer_mode(a) != LVT_DEADLINE && timer_expire(a)) {
        timer_interrupt(a);
    }
    if ((val ^ a->lvt[LVT_TIMER]) & LVT_DEADLINE) {
        /* Changing to or from deadline mode disarms: SDM 11.5.4.1. */
        a->timer_initial = 0;
        a->tsc_deadline = 0;
    }
    __atomic_store_n(&a->lvt[LVT_TIMER], val, __ATOMIC_RELAXED);
    timer_arm(a);
    g_mutex_unlock(&a->timer_mutex);
}

/* --- registers -------------------------------------------------------------------------------------- */

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

static uint32_t reg_read(Lapic *a, unsigned reg)
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
        return ppr(a);
    case APIC_LDR:
        return is_x2apic(a) ? x2apic_ldr(a) : a->ldr;
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
        return timer_current(a);
    case APIC_TIMER_DIVIDE:
        return a->timer_divide;
    case APIC_EOI:
    case APIC_RRD:
        return 0;
    }
    raise_error(a, ESR_ILLEGAL_REGISTER);
    return 0;
}

static void write_lvt(Lapic *a, unsigned entry, uint32_t val)
{
    val &= lvt_writable[entry];
    if (!(a->svr & SVR_ENABLE)) {
        val |= LVT_MASKED;
    }
    if (entry == LVT_TIMER) {
        timer_write_lvt(a, val);
        return;
    }
    __atomic_store_n(&a->lvt[entry], val, __ATOMIC_RELAXED);
    if (entry == LVT_LINT0) {
        update_extint(a);
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
        send_ipi(a, a->icr);
        return true;
    case APIC_ICR_HIGH:
        a->icr = (uint32_t)a->icr | (uint64_t)(val & 0xff000000) << 32;
        return true;
    case APIC_TIMER_INITIAL:
        timer_write_initial(a, val);
        return true;
    case APIC_TIMER_DIVIDE:
        timer_write_divide(a, val);
        return true;
    case APIC_RRD: case APIC_VERSION: case APIC_PPR: case APIC_APR:
    case APIC_TIMER_CURRENT:
        return true;            /* read-only */
    }
    if ((reg >= APIC_ISR && reg < APIC_ESR)) {
        return true;
    }
    raise_error(a, ESR_ILLEGAL_REGISTER);
    return false;
}

uint32_t lapic_mmio_read(Lapic *a, unsigned offset)
{
    uint32_t val;

    sync_from_accel(a);
    val = reg_read(a, offset & 0xff0);

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

/* --- MSRs --------------------------------------------------------------------------------------------- */

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
    update_extint(a);
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
    *val = reg == APIC_ICR_LOW ? a->icr : reg_read(a, reg);
    return true;
}

static bool x2_wrmsr(Lapic *a, unsigned reg, uint64_t val)
{
    if (reg == APIC_ICR_LOW) {
        if (val & 0xfff32000) {
            return false;
        }
        a->icr = val;
        send_ipi(a, val);
        return true;
    }
    if (val >> 32) {
        return false;
    }
    if (reg == APIC_SELF_IPI) {
        if (val >> 8) {
            return false;
        }
        accept(a, APIC_DM_FIXED, val, false);
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
        g_mutex_lock(&a->timer_mutex);
        *val = a->tsc_deadline;
        g_mutex_unlock(&a->timer_mutex);
        return true;
    }
    return is_x2apic(a) && x2_rdmsr(a, (msr - MSR_X2APIC) << 4, val);
}

static bool wrmsr(Lapic *a, uint32_t msr, uint64_t val)
{
    bool fire = false;

    if (msr == MSR_APIC_BASE) {
        return write_base(a, val);
    }
    if (msr == MSR_TSC_DEADLINE) {
        g_mutex_lock(&a->timer_mutex);
        if (timer_mode(a) == LVT_DEADLINE) {
            fire = val && !in_kernel() && val <= cpu_read_tsc(a->cpu);
            a->tsc_deadline = fire ? 0 : val;
            timer_arm(a);
        }
        g_mutex_unlock(&a->timer_mutex);
        if (fire) {
            timer_interrupt(a); /* now, not when another thread wakes up */
        }
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

/* --- life ------------------------------------------------------------------------------------------------ */

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
    g_mutex_lock(&a->timer_mutex);
    a->timer_initial = a->timer_divide = 0;
    a->tsc_deadline = 0;
    timer_del(&a->timer);
    g_mutex_unlock(&a->timer_mutex);
}

Lapic *lapic_new(X86Cpu *cpu)
{
    Lapic *a = g_new0(Lapic, 1);

    if (!timer_loop) {
        timer_loop = loop_new_thread("apic-timers");
        if (!in_kernel()) {
            msi_set_receiver(receive_msi);
        }
    }
    a->cpu = cpu;
    g_mutex_init(&a->timer_mutex);
    timer_init(&a->timer, timer_loop, CLK_VIRTUAL, timer_fired, a);
    lapic_reset(a, false);
    return a;
}

void lapic_free(Lapic *a)
{
    timer_del(&a->timer);
    g_mutex_clear(&a->timer_mutex);
    g_free(a);
}

/* --- state ------------------------------------------------------------------------------------------------- */

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
    g_mutex_lock(&a->timer_mutex);
    timer_arm(a);
    g_mutex_unlock(&a->timer_mutex);
    update_extint(a);
    look_again(a);
}

/* --- the register page, as accelerators exchange it ----------------------------------------------- */

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
        page_put(page, plain[i], reg_read(a, plain[i]));
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
    uint32_t current = load_le32(page + APIC_TIMER_CURRENT);

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
    a->timer_initial = load_le32(page + APIC_TIMER_INITIAL);
    a->timer_divide = load_le32(page + APIC_TIMER_DIVIDE);
    a->timer_start_ns = clock_ns(CLK_VIRTUAL)
                        - (int64_t)(a->timer_initial - current) * divisor(a);
    if (current == 0 && timer_mode(a) != LVT_PERIODIC) {
        a->timer_start_ns = STOPPED;
    }
    a->tsc_deadline = tsc_deadline;
}

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
                           timer_current(a), a->svr, a->icr, a->esr,
                           apic_base(a));
    print_bits("ISR", a->isr, out);
    print_bits("IRR", a->irr, out);
    g_string_append_printf(out, "\nAPR 0x%02x TPR 0x%02x DFR 0x%x LDR 0x%08x "
                           "PPR 0x%02x\n", ppr(a), a->tpr, a->dfr >> 28,
                           a->ldr, ppr(a));
}
