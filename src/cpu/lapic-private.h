/*
 * The local APIC's inside: what its files share.
 *
 *      lapic.c         modes, priorities, registers and MSRs, reset and state
 *      lapic-bus.c     taking interrupts, LINT pins, delivery and IPIs
 *      lapic-timer.c   one-shot, periodic, TSC deadline
 *      lapic-page.c    the register page of accelerators, `info lapic`
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_LAPIC_PRIVATE_H
#define CPU_LAPIC_PRIVATE_H

#include "cpu/lapic.h"
#include "loop/timer.h"

#define APIC_BASE_GPA 0xfee00000

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

/* timer_start_ns of a one-shot count that has reached 0: it stays there even
 * if the timer becomes periodic. */
#define LAPIC_STOPPED INT64_MIN

/* --- 256-bit vectors ------------------------------------------------------------- */

static inline void bits_atomic_set(uint32_t *v, uint8_t n)
{
    __atomic_or_fetch(&v[n / 32], BIT(n % 32), __ATOMIC_SEQ_CST);
}

static inline void bits_atomic_clear(uint32_t *v, uint8_t n)
{
    __atomic_and_fetch(&v[n / 32], ~BIT(n % 32), __ATOMIC_SEQ_CST);
}

static inline bool bits_test(const uint32_t *v, uint8_t n)
{
    return __atomic_load_n(&v[n / 32], __ATOMIC_ACQUIRE) & BIT(n % 32);
}

static inline int bits_highest(const uint32_t *v)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t word = __atomic_load_n(&v[i], __ATOMIC_ACQUIRE);

        if (word) {
            return i * 32 + 31 - __builtin_clz(word);
        }
    }
    return -1;
}

/* --- modes ------------------------------------------------------------------------ */

/* Is what we hold a copy of the accelerator's? */
static inline bool in_kernel(void)
{
    return accel() && accel()->apic_in_kernel;
}

static inline uint64_t apic_base(const Lapic *a)
{
    return __atomic_load_n(&a->base, __ATOMIC_ACQUIRE);
}

static inline bool is_x2apic(const Lapic *a)
{
    return (apic_base(a) & (BASE_X2 | BASE_ENABLE)) == (BASE_X2 | BASE_ENABLE);
}

static inline bool sw_enabled(const Lapic *a)
{
    return lapic_enabled(a)
           && (__atomic_load_n(&a->svr, __ATOMIC_RELAXED) & SVR_ENABLE);
}

/* --- lapic.c ---------------------------------------------------------------------- */

uint8_t lapic_ppr(const Lapic *a);
/* The logical destination register of x2APIC mode. */
uint32_t lapic_x2_ldr(const Lapic *a);
uint32_t lapic_reg_read(Lapic *a, unsigned reg);

/* --- lapic-bus.c ------------------------------------------------------------------- */

/* Any thread. */
void lapic_accept(Lapic *a, unsigned mode, uint8_t vector, bool level);
/* A bit of the ESR, and the error interrupt.  Any thread. */
void lapic_raise_error(Lapic *a, uint32_t bit);
/* LINT0's entry changed. */
void lapic_update_extint(Lapic *a);
void lapic_send_ipi(Lapic *a, uint64_t icr);
/* Once, when the first one is made. */
void lapic_bus_init(void);

/* --- lapic-timer.c ------------------------------------------------------------------ */

void lapic_timer_init(Lapic *a);
void lapic_timer_free(Lapic *a);
void lapic_timer_reset(Lapic *a);
/* Its registers were loaded. */
void lapic_timer_update(Lapic *a);
/* They are what an accelerator's are, with `current` left of the count. */
void lapic_timer_load(Lapic *a, uint32_t initial, uint32_t current,
                      uint32_t divide, uint64_t tsc_deadline);
uint32_t lapic_timer_current(Lapic *a);
void lapic_timer_write_initial(Lapic *a, uint32_t val);
void lapic_timer_write_divide(Lapic *a, uint32_t val);
void lapic_timer_write_lvt(Lapic *a, uint32_t val);
uint64_t lapic_timer_read_deadline(Lapic *a);
void lapic_timer_write_deadline(Lapic *a, uint64_t tsc);

#endif
