/*
 * Local APICs: modes and their transitions, x2APIC's registers, IPIs, NMIs and
 * what blocks them, INIT, timers.
 *
 * Spec: Intel SDM volume 3A chapter 11; 6.7 (NMI), 9.4 (INIT).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

enum { BASE_MSR = 0x1b, DEADLINE_MSR = 0x6e0, GP = 13 };
enum { X2 = 0x400, ENABLE = 0x800 };
#define ALL_ONES 0xffffffffu
#define LIMIT_TSC UINT64_C(20000000000)

static volatile uint32_t *const page = (volatile uint32_t *)0xfee00000;

static bool has_apic_bit(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    return r[3] >> 9 & 1;
}

static bool has_x2apic(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    return r[2] >> 21 & 1;
}

static void xapic(void)
{
    uint64_t base = rdmsr(BASE_MSR) & ~(uint64_t)(X2 | ENABLE);

    wrmsr(BASE_MSR, base);
    wrmsr(BASE_MSR, base | ENABLE);
    apic_write(APIC_SVR, 0x1ff);
}

static void transitions(void)
{
    uint64_t base = rdmsr(BASE_MSR) & ~(uint64_t)(X2 | ENABLE);
    uint32_t r[4];

    cpuid(0x80000008, 0, r);
    check(base & 0x100, "the boot processor is marked");
    check(try_wrmsr(BASE_MSR, base | ENABLE | 1) == GP, "reserved bit 0");
    check(try_wrmsr(BASE_MSR, base | ENABLE | UINT64_C(1) << (r[0] & 0xff))
              == GP, "an address wider than the processor's");
    check(try_wrmsr(BASE_MSR, base | X2) == GP, "enabled to invalid");
    wrmsr(BASE_MSR, base);
    check(!has_apic_bit(), "disabled, CPUID does not show it");
    check(page[0x30 / 4] == ALL_ONES, "nor is there a page");
    WRITE_CR(8, 5);
    check(READ_CR(8) == 5, "CR8 works all the same");
    WRITE_CR(8, 0);
    check(try_wrmsr(BASE_MSR, base | X2 | ENABLE) == GP,
          "disabled to x2APIC");
    wrmsr(BASE_MSR, base | ENABLE);
    check(has_apic_bit() && (page[0x30 / 4] & 0xff) == 0x14, "enabled again");
    check(page[APIC_SVR / 4] == 0xff, "it has been reset");
    page[APIC_ID / 4] = 0x07000000;
    if (has_x2apic()) {
        wrmsr(BASE_MSR, base | ENABLE | X2);
        check(rdmsr(0x802) == 0, "the x2APIC id is the processor's own");
        check(page[0x30 / 4] == ALL_ONES, "x2APIC mode has no page");
        check(try_wrmsr(BASE_MSR, base | ENABLE) == GP, "x2APIC to xAPIC");
        check(try_wrmsr(BASE_MSR, base | X2) == GP, "x2APIC to invalid");
    } else {
        check(try_wrmsr(BASE_MSR, base | ENABLE | X2) == GP,
              "there is no x2APIC mode");
    }
    xapic();
    check(apic_read(APIC_ID) == 0, "an id that was written is forgotten");
    wrmsr(BASE_MSR, (base & 0xfff) | ENABLE | 0xfed40000);
    check((*(volatile uint32_t *)0xfed40030 & 0xff) == 0x14, "moved");
    wrmsr(BASE_MSR, base | ENABLE);
    apic_write(APIC_SVR, 0x1ff);
}

/* Which of the 256 MSRs may be read and written in x2APIC mode. */
static void x2apic_registers(void)
{
    static const struct {
        uint16_t first, last;
        bool read, write;
    } rows[] = {
        { 0x02, 0x03, true, false }, { 0x08, 0x08, true, true },
        { 0x0a, 0x0a, true, false }, { 0x0b, 0x0b, false, true },
        { 0x0d, 0x0d, true, false }, { 0x0f, 0x0f, true, true },
        { 0x10, 0x27, true, false }, { 0x28, 0x28, true, true },
        { 0x30, 0x30, true, true }, { 0x32, 0x38, true, true },
        { 0x39, 0x39, true, false }, { 0x3e, 0x3e, true, true },
    };
    unsigned bad = 0;

    for (unsigned n = 0; n < 0x100; n++) {
        bad += try_rdmsr(0x800 + n) != GP || try_wrmsr(0x800 + n, 0) != GP;
    }
    check(bad == 0, "x2APIC's MSRs are not there in xAPIC mode");
    if (!has_x2apic()) {
        skip("x2APIC's registers", "not in CPUID");
        return;
    }
    wrmsr(BASE_MSR, rdmsr(BASE_MSR) | X2);
    for (unsigned n = 0; n < 0x100; n++) {
        bool read = false, write = false;
        uint64_t v = 0;

        if (n == 0x30 || n == 0x3f) {
            continue;           /* they send */
        }
        for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (n >= rows[i].first && n <= rows[i].last) {
                read = rows[i].read;
                write = rows[i].write;
            }
        }
        if (read) {
            v = rdmsr(0x800 + n);
        }
        if ((try_rdmsr(0x800 + n) == GP) == read
            || (try_wrmsr(0x800 + n, v) == GP) == write
            || try_wrmsr(0x800 + n, ~UINT64_C(0)) != GP) {
            print("# MSR 0x%x\n", 0x800 + n);
            bad++;
        }
    }
    check(bad == 0, "x2APIC's MSRs: who may be read and written");
    check(try_wrmsr(0x83f, 0x100) == GP, "SELF IPI has 8 bits");
    check(try_wrmsr(0x80b, 1) == GP, "EOI takes 0");
    asm volatile("sti");
    wrmsr(0x83f, 0x90);
    asm volatile("nop\n cli");
    check(n_taken[0x90] == 1, "SELF IPI is taken at once");
    check(rdmsr(0x80d) == 1, "the logical id follows from the id");
    xapic();
}

static void errors(void)
{
    apic_write(APIC_ESR, 0);
    send_ipi(0, ICR_FIXED | ICR_ASSERT | 0x0f);
    check(apic_read(APIC_ESR) == 0, "ESR is latched");
    apic_write(APIC_ESR, 0);
    check(apic_read(APIC_ESR) & 0x20, "by a write: illegal vector sent");
    apic_write(APIC_ESR, 0);
    check(apic_read(APIC_ESR) == 0, "and cleared by the next");
    page[0x50 / 4] = 0;
    apic_write(APIC_ESR, 0);
    check(apic_read(APIC_ESR) & 0x80, "illegal register");
    apic_write(APIC_ESR, 0);
}

static void self_ipi(void)
{
    send_ipi(0, ICR_FIXED | ICR_SELF | 0x91);
    check(apic_read(APIC_IRR + 0x40) == 1 << 17, "it waits in IRR");
    sti_nop_cli();
    check(n_taken[0x91] == 1, "self IPI");
    send_ipi(0, ICR_FIXED | ICR_ASSERT | 0x92);
    sti_nop_cli();
    check(n_taken[0x92] == 1, "physical destination");
    apic_write(APIC_LDR, 1 << 24);
    send_ipi(1, ICR_FIXED | ICR_ASSERT | ICR_LOGICAL | 0x93);
    sti_nop_cli();
    check(n_taken[0x93] == 1, "logical destination");
}

/* --- NMI -------------------------------------------------------------------------- */

static volatile uint64_t nmi_rip;
static volatile bool nmi_inside, nmi_nested;

static void nmi_self(void)
{
    send_ipi(0, ICR_NMI | ICR_ASSERT);
    outb(0x80, 0);              /* a write to memory may be posted */
}

static void on_nmi(Frame *f)
{
    nmi_nested |= nmi_inside;
    nmi_inside = true;
    if (n_taken[2] == 1) {
        for (unsigned i = 0; i < 5; i++) {
            nmi_self();
        }
    }
    nmi_rip = f->rip;
    nmi_inside = false;
}

static void ud_returns(Frame *f)
{
    f->rip += 2;
}

static void on_nmi_with_ud(Frame *f)
{
    if (n_taken[2] == 1) {
        handlers[6] = ud_returns;
        nmi_self();
        nmi_inside = true;
        asm volatile("ud2");    /* whose IRET lets NMIs in */
        nmi_inside = false;
        handlers[6] = NULL;
    } else {
        nmi_nested = nmi_inside;
    }
}

static void nmis(void)
{
    extern uint8_t stub_iret[];

    handlers[2] = on_nmi;
    nmi_self();
    check(n_taken[2] == 2 && !nmi_nested,
          "of five NMIs in an NMI's handler one is latched: %u", n_taken[2]);
    check(nmi_rip != (uint64_t)stub_iret, "it comes after IRET");
    handlers[2] = on_nmi_with_ud;
    n_taken[2] = 0;
    nmi_nested = nmi_inside = false;
    nmi_self();
    check(n_taken[2] == 2 && nmi_nested,
          "any IRET lets NMIs in, an exception's too");
    handlers[2] = NULL;
}

/* Two processors that wait for each other cost a busy host a time slice each
 * turn: so neither waits where it need not, and there are as many turns as a
 * second allows, MANY_TURNS at most. */
enum { FEW_TURNS = 50, MANY_TURNS = 2000 };
#define SECOND_TSC (LIMIT_TSC / 10)

static bool enough(unsigned turns, uint64_t start)
{
    return turns >= MANY_TURNS
           || (turns >= FEW_TURNS && rdtsc() - start > SECOND_TSC);
}

static volatile bool stop, started;
static volatile unsigned n_bad_nmis;

static void sti_loop(void *arg)
{
    started = true;
    while (!stop) {
        asm volatile("sti\n .globl after_sti_at\n after_sti_at: nop\n cli");
    }
}

static void check_shadow(Frame *f)
{
    extern uint8_t after_sti_at[];

    n_bad_nmis += f->rip == (uint64_t)after_sti_at;
}

/* They arrive anywhere in the loop; which are merged does not matter. */
static void nmis_to_sti(void)
{
    uint64_t start;

    handlers[2] = check_shadow;
    n_taken[2] = 0;
    on_cpu_async(1, sti_loop, NULL);
    while (!started) {
        pause();
    }
    start = rdtsc();
    for (unsigned i = 0; !enough(n_taken[2], start); i++) {
        send_ipi(1, ICR_NMI | ICR_ASSERT);
        for (unsigned wait = i % 64; wait; wait--) {
            pause();
        }
    }
    stop = true;
    wait_cpu(1);
    check(n_bad_nmis == 0, "no NMI in the shadow of STI: %u of %u",
          n_bad_nmis, n_taken[2]);
}

static volatile unsigned nmis_seen, nmis_of_1;
static volatile bool done_1;

static void count_nmi(Frame *f)
{
    nmis_seen += cpu_number() == 0;     /* not one that comes late to 1 */
}

/* The fixed interrupt is taken after the NMI. */
static void nmis_to_0(void *arg)
{
    uint64_t start = rdtsc();
    unsigned n = 0;

    while (!enough(n, start)) {
        send_ipi(0, ICR_NMI | ICR_ASSERT);
        send_ipi(0, ICR_FIXED | ICR_ASSERT | 0x95);
        n++;
        while (n_taken[0x95] < n) {
            pause();
        }
    }
    nmis_of_1 = n;
    done_1 = true;
}

/* One NMI from each processor may wait at a time, and two do not merge. */
static void nmis_from_two(void)
{
    unsigned n = 0;

    handlers[2] = count_nmi;
    on_cpu_async(1, nmis_to_0, NULL);
    asm volatile("sti");
    while (!done_1) {
        nmi_self();
        n++;
    }
    asm volatile("cli");
    wait_cpu(1);
    check(nmis_seen == n + nmis_of_1,
          "of two NMIs at a time none is lost: %u seen, %u and %u sent",
          nmis_seen, n, nmis_of_1);
    handlers[2] = NULL;
}

static volatile unsigned n_on[MAX_CPUS];

static void count_cpu(Frame *f)
{
    n_on[cpu_number()]++;
    apic_write(APIC_EOI, 0);
}

static void broadcasts(void)
{
    static const struct {
        uint32_t dest, icr;
        const char *name;
        bool me;
    } rows[] = {
        { 0xff, ICR_FIXED | ICR_ASSERT | 0x96, "broadcast id", true },
        { 0, ICR_FIXED | ICR_ASSERT | ICR_ALL | 0x96, "all", true },
        { 0, ICR_FIXED | ICR_ASSERT | ICR_OTHERS | 0x96, "all but self",
          false },
    };

    handlers[0x96] = count_cpu;
    for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        uint64_t start = rdtsc();
        unsigned right;

        for (unsigned i = 0; i < n_cpus; i++) {
            n_on[i] = 0;
        }
        asm volatile("sti");
        send_ipi(rows[r].dest, rows[r].icr);
        do {
            right = 0;
            for (unsigned i = 0; i < n_cpus; i++) {
                right += n_on[i] == (i > 0 || rows[r].me);
            }
        } while (right < n_cpus && rdtsc() - start < LIMIT_TSC);
        asm volatile("cli");
        check(right == n_cpus, "%s", rows[r].name);
    }
}

/* --- timers ------------------------------------------------------------------------ */

static void timers(void)
{
    uint32_t r[4], left;
    uint64_t start;

    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVTT, 0xa0);
    asm volatile("sti");
    start = rdtsc();
    apic_write(APIC_INITIAL, 100000);
    while (!n_taken[0xa0] && rdtsc() - start < LIMIT_TSC) {
        pause();
    }
    check(n_taken[0xa0] == 1, "one-shot");
    check(apic_read(APIC_CURRENT) == 0, "its count ends at 0");
    apic_write(APIC_LVTT, 1 << 17 | 0xa0);
    check(apic_read(APIC_CURRENT) == 0, "and stays there in periodic mode");
    apic_write(APIC_LVTT, 1 << 16 | 0xa1);
    apic_write(APIC_INITIAL, 2000000000);
    left = apic_read(APIC_CURRENT);
    apic_write(APIC_LVTT, 1 << 17 | 1 << 16 | 0xa1);
    check(apic_read(APIC_CURRENT) <= left && apic_read(APIC_CURRENT),
          "a change of mode does not restart it");
    apic_write(APIC_LVTT, 1 << 17 | 0xa1);
    apic_write(APIC_INITIAL, 200000);
    start = rdtsc();
    while (n_taken[0xa1] < 3 && rdtsc() - start < LIMIT_TSC) {
        pause();
    }
    check(n_taken[0xa1] >= 3, "periodic");
    apic_write(APIC_INITIAL, 0);
    asm volatile("cli");
    cpuid(1, 0, r);
    if (!(r[2] >> 24 & 1)) {
        skip("TSC deadline", "not in CPUID");
        return;
    }
    apic_write(APIC_LVTT, 2 << 17 | 0xa2);
    check(apic_read(APIC_INITIAL) == 0, "deadline mode has no count");
    asm volatile("sti");
    wrmsr(DEADLINE_MSR, rdtsc());
    asm volatile("nop\n cli");
    check(n_taken[0xa2] == 1, "a deadline that has passed fires at once");
    check(rdmsr(DEADLINE_MSR) == 0, "and is cleared");
    wrmsr(DEADLINE_MSR, rdtsc() + 10000000);
    check(rdmsr(DEADLINE_MSR) != 0, "armed");
    start = rdtsc();
    while (rdmsr(DEADLINE_MSR) && rdtsc() - start < LIMIT_TSC) {
        pause();
    }
    sti_nop_cli();
    check(n_taken[0xa2] == 2, "deadline");
    wrmsr(DEADLINE_MSR, rdtsc() + LIMIT_TSC);
    apic_write(APIC_LVTT, 0xa2);
    check(rdmsr(DEADLINE_MSR) == 0, "leaving deadline mode disarms it");
    apic_write(APIC_LVTT, 1 << 16);
}

int main(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    transitions();
    x2apic_registers();
    errors();
    self_ipi();
    nmis();
    timers();
    start_cpus();
    if (n_cpus > 1) {
        nmis_to_sti();
        nmis_from_two();
        broadcasts();
    } else {
        skip("NMIs and broadcasts", "one processor");
    }
    return 0;
}
