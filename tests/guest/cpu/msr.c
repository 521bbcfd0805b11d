/*
 * Model-specific and control registers: what they keep, what they refuse, and
 * that a refused write changes nothing.
 *
 * Spec: Intel SDM volume 4; volume 3A 2.5, 12.11 (MTRRs), 12.12 (PAT),
 *       18.17.3 (TSC_ADJUST), 16.3 (machine check).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

#define BIT(n) (UINT64_C(1) << (n))
#define NOT_CANONICAL UINT64_C(0xaaaaaaaaaaaaaaaa)
#define ANY UINT64_MAX          /* in `bad`: nothing is refused */
enum { GP = 13, FINE = 0xff };
enum { TSC = 0x10, TSC_ADJUST = 0x3b };
#define EFER 0xc0000080

static bool has_la57;

typedef struct Row {
    const char *name;
    uint32_t msr;
    uint64_t good, bad;
} Row;

static const Row rows[] = {
    { "SYSENTER_CS", 0x174, 0x1234, ANY },
    { "SYSENTER_ESP", 0x175, 0x123456789abc, NOT_CANONICAL },
    { "SYSENTER_EIP", 0x176, 0x123456789abc, NOT_CANONICAL },
    { "STAR", 0xc0000081, 0x123456789abcdef0, ANY },
    { "LSTAR", 0xc0000082, 0xffff800000000000, NOT_CANONICAL },
    { "CSTAR", 0xc0000083, 0x123456789abc, NOT_CANONICAL },
    { "SFMASK", 0xc0000084, 0xffffffff, ANY },
    { "FS_BASE", 0xc0000100, 0x123456789abc, NOT_CANONICAL },
    { "GS_BASE", 0xc0000101, 0xffffffff81234567, NOT_CANONICAL },
    { "KERNEL_GS_BASE", 0xc0000102, 0x123456789abc, NOT_CANONICAL },
    { "TSC_AUX", 0xc0000103, 0x12345678, BIT(32) },
    { "PAT", 0x277, 0x0007040600070406, 0x0302 },
    { "PAT, high byte", 0x277, 0x0706050401000006, BIT(59) },
    { "MTRR_DEF_TYPE", 0x2ff, 0xc06, 0x02 },
    { "MTRR_DEF_TYPE, reserved", 0x2ff, 0x800, 0x100 },
    { "MTRR_PHYSBASE0", 0x200, 0xc0000000, 0x02 },
    { "MTRR_PHYSMASK0", 0x201, 0xfc0000800, 0x01 },
    { "MTRR_FIX64K", 0x250, 0x0606060606060606, 0x07 },
    { "MTRR_FIX4K_F8000", 0x26f, 0x0505050504040404, 0x0300 },
};

static void plain(void)
{
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const Row *r = &rows[i];
        uint64_t old, now;
        uint8_t refused;

        if (try_rdmsr(r->msr) == GP) {
            skip(r->name, "not in this model");
            continue;
        }
        old = rdmsr(r->msr);
        wrmsr(r->msr, r->good);
        now = rdmsr(r->msr);
        refused = r->bad == ANY ? GP : try_wrmsr(r->msr, r->bad);
        check(now == r->good && refused == GP && rdmsr(r->msr) == now,
              "%s keeps 0x%lx and refuses 0x%lx", r->name, r->good, r->bad);
        wrmsr(r->msr, old);
    }
}

static void wide_addresses(void)
{
    uint64_t base57 = BIT(55), old = rdmsr(0xc0000100);
    uint8_t want = has_la57 ? FINE : GP;

    check(try_wrmsr(0xc0000100, base57) == want,
          "a base of 57 bits is good where CPUID shows LA57");
    wrmsr(0xc0000100, old);
}

static void refused(void)
{
    static const uint32_t unknown[] = { 0x0c, 0x12345678, 0xc0000fff,
                                        0xc0011111, 0xffffffff };
    unsigned n = 0;
    uint64_t efer = rdmsr(EFER);

    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        n += try_rdmsr(unknown[i]) != GP;
        n += try_wrmsr(unknown[i], 0) != GP;
    }
    check(n == 0, "MSRs that do not exist");
    check(try_wrmsr(0xfe, 0) == GP, "MTRRCAP is read-only");
    check(try_wrmsr(EFER, efer | BIT(63)) == GP, "EFER's reserved bits");
    check(try_wrmsr(EFER, efer & ~BIT(8)) == GP,
          "EFER.LME stays while there is paging");
    check(rdmsr(EFER) == efer, "EFER is what it was");
    wrmsr(EFER, efer & ~BIT(10));
    check(rdmsr(EFER) & BIT(10), "EFER.LMA cannot be written");
    check(try_rdmsr(0x49) == GP, "PRED_CMD cannot be read");
    check(try_wrmsr(0x49, 2) == GP, "PRED_CMD has one bit");
}

static void machine_check(void)
{
    unsigned n = rdmsr(0x179) & 0xff, bad = 0;

    for (unsigned i = 0; i < 32; i++) {
        uint32_t ctl = 0x400 + 4 * i;

        if (i >= n) {
            for (unsigned reg = 0; reg < 4; reg++) {
                bad += try_rdmsr(ctl + reg) != GP;
                bad += try_wrmsr(ctl + reg, 0) != GP;
            }
            continue;
        }
        wrmsr(ctl, ~UINT64_C(0));
        bad += rdmsr(ctl) != ~UINT64_C(0);
        wrmsr(ctl, 0);
        bad += rdmsr(ctl) != 0;
        bad += try_wrmsr(ctl, NOT_CANONICAL) != GP;
        wrmsr(ctl + 1, 0);
        bad += try_wrmsr(ctl + 1, 1) != GP;
        for (unsigned reg = 2; reg < 4; reg++) {
            wrmsr(ctl + reg, NOT_CANONICAL);
            bad += rdmsr(ctl + reg) != NOT_CANONICAL;
            wrmsr(ctl + reg, 0);
        }
    }
    check(n > 0 && bad == 0, "%u machine-check banks, and no more", n);
}

static void time(void)
{
    const uint64_t jump = UINT64_C(100000000000);
    uint64_t t1, t2, adjust;
    uint32_t r[4];

    t1 = rdtsc();
    t2 = rdtsc();
    check(t2 > t1, "RDTSC goes on");
    cpuid(7, 0, r);
    if (!(r[1] >> 1 & 1)) {
        skip("TSC_ADJUST", "not in CPUID");
        return;
    }
    check(rdmsr(TSC_ADJUST) == 0, "TSC_ADJUST is 0 at reset");
    t1 = rdtsc();
    wrmsr(TSC_ADJUST, jump);
    t2 = rdtsc();
    check(rdmsr(TSC_ADJUST) == jump && t2 - t1 >= jump,
          "a write of TSC_ADJUST moves the TSC");
    wrmsr(TSC_ADJUST, 0);
    t1 = rdtsc();
    wrmsr(TSC, jump);
    t2 = rdtsc();
    adjust = rdmsr(TSC_ADJUST);
    check(t2 >= jump && jump - adjust >= t1,
          "a write of the TSC moves TSC_ADJUST");
    wrmsr(TSC_ADJUST, 0);
    cpuid(0x80000001, 0, r);
    if (!(r[3] >> 27 & 1)) {
        skip("RDTSCP", "not in CPUID");
        return;
    }
    asm volatile("mov $0xc0000103, %%ecx\n mov $77, %%eax\n xor %%edx, %%edx\n"
                 "wrmsr\n rdtscp" : "=c"(r[0]) : : "rax", "rdx", "memory");
    check(r[0] == 77, "RDTSCP gives TSC_AUX");
}

/* --- the paravirtual clock --------------------------------------------------------- */

static volatile struct {
    uint32_t version, pad;
    uint64_t tsc, ns;
    uint32_t mul;
    int8_t shift;
    uint8_t flags, pad2[2];
} clock __attribute__((aligned(64)));

static volatile struct {
    uint32_t version, sec, nsec;
} wall;

static uint64_t clock_ns(void)
{
    uint64_t ticks = rdtsc() - clock.tsc;

    ticks = clock.shift < 0 ? ticks >> -clock.shift : ticks << clock.shift;
    return clock.ns + (uint64_t)((unsigned __int128)ticks * clock.mul >> 32);
}

static void kvmclock(void)
{
    uint64_t before, after;
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] >> 31)) {
        check(try_wrmsr(0x4b564d01, 0) == GP, "no hypervisor, no kvmclock");
        return;
    }
    wrmsr(0x4b564d00, (uint64_t)&wall);
    check(!(wall.version & 1) && wall.version && wall.nsec < 1000000000
          && wall.sec > 1600000000, "the wall clock: %u", wall.sec);
    wrmsr(0x4b564d01, (uint64_t)&clock | 1);
    check(rdmsr(0x12) == ((uint64_t)&clock | 1), "MSRs of two places");
    check(!(clock.version & 1) && clock.version && clock.mul,
          "the clock's structure");
    before = clock_ns();
    wrmsr(TSC, rdtsc() + UINT64_C(5000000000));
    after = clock_ns();
    check(after > before && after - before < 1000000000,
          "a write of the TSC does not move the clock");
    if (try_wrmsr(TSC_ADJUST, 0) == FINE) {
        check(clock_ns() > after && clock_ns() - after < 1000000000,
              "nor does one of TSC_ADJUST");
    }
    wrmsr(0x4b564d01, 0);
}

/* --- control registers --------------------------------------------------------------- */

/* TRY() of a MOV to a control register. */
#define TRY_CR(n, v) TRY("mov %[val], %%cr" #n, [val] "r"((uint64_t)(v)))

static void control(void)
{
    uint64_t cr0 = READ_CR(0), cr3 = READ_CR(3), cr4 = READ_CR(4);

    check(TRY_CR(0, cr0 | BIT(32)) == GP, "CR0 has 32 bits");
    check(TRY_CR(0, (cr0 | BIT(29)) & ~BIT(30)) == GP, "NW without CD");
    check(TRY_CR(0, cr0 & ~BIT(31)) == GP, "paging off in 64-bit mode");
    check(TRY_CR(0, cr0 & ~BIT(0)) == GP, "PG without PE");
    check(TRY_CR(3, cr3 | BIT(60)) == GP, "CR3's reserved bits");
    check(TRY_CR(4, cr4 & ~BIT(5)) == GP, "PAE off in long mode");
    check(TRY_CR(4, cr4 | BIT(63)) == GP, "CR4's reserved bits");
    check(TRY_CR(4, cr4 ^ BIT(12)) == GP, "LA57 in long mode");
    check(TRY_CR(4, cr4 | BIT(13)) == GP, "VMXE where there is no VMX");
    check(TRY_CR(8, 16) == GP, "CR8 has 4 bits");
    check(TRY("mov %%cr1, %%rax", "a"(0)) == 6, "there is no CR1");
    check(TRY("mov %[v], %%cr5", [v] "r"(0l)) == 6, "nor a CR5");
    check(READ_CR(0) == cr0 && READ_CR(3) == cr3 && READ_CR(4) == cr4,
          "refused writes change nothing");
    WRITE_CR(0, cr0 & ~BIT(4));
    check(READ_CR(0) & BIT(4), "CR0.ET is always set");
    WRITE_CR(0, cr0);
    check(TRY("mov %[v], %%dr7", [v] "r"(BIT(32))) == GP, "DR7 has 32 bits");
    check(TRY("mov %[v], %%dr6", [v] "r"(BIT(32))) == GP, "DR6 too");
    WRITE_CR(4, cr4 | BIT(3));
    check(TRY("mov %%dr4, %%rax", "a"(0)) == 6, "DR4 with CR4.DE");
    WRITE_CR(4, cr4);
}

static void pcid(void)
{
    uint64_t cr3 = READ_CR(3), cr4 = READ_CR(4);
    struct {
        uint64_t pcid, gva;
    } d = { 1, 0 };
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] >> 17 & 1)) {
        check(TRY_CR(4, cr4 | BIT(17)) == GP, "CR4.PCIDE without PCID");
        return;
    }
    check(TRY("invpcid (%[d]), %[type]", [d] "r"(&d), [type] "r"(1l)) == GP,
          "INVPCID of a PCID while they are off");
    WRITE_CR(3, cr3 | 8);
    check(TRY_CR(4, cr4 | BIT(17)) == GP, "CR4.PCIDE with a PCID in CR3");
    WRITE_CR(3, cr3);
    check(TRY_CR(4, cr4 | BIT(17)) == FINE, "CR4.PCIDE");
    check(TRY_CR(0, READ_CR(0) & ~BIT(31)) == GP, "paging off with PCIDE");
    check(TRY_CR(3, cr3 | 5 | BIT(63)) == FINE && READ_CR(3) == (cr3 | 5),
          "CR3 bit 63 is not kept");
    d.gva = NOT_CANONICAL;
    check(TRY("invpcid (%[d]), %[type]", [d] "r"(&d), [type] "r"(0l)) == GP,
          "INVPCID of an address that is not canonical");
    check(TRY("invpcid (%[d]), %[type]", [d] "r"(&d), [type] "r"(4l)) == GP,
          "INVPCID has types 0 to 3");
    check(TRY("invpcid (%[d]), %[type]", [d] "r"(&d), [type] "r"(2l)) == FINE,
          "INVPCID of everything");
    d.pcid = BIT(12);
    check(TRY("invpcid (%[d]), %[type]", [d] "r"(&d), [type] "r"(1l)) == GP,
          "INVPCID's reserved bits");
    WRITE_CR(3, cr3);
    WRITE_CR(4, cr4);
}

int main(void)
{
    uint32_t r[4];

    cpuid(7, 0, r);
    has_la57 = r[2] >> 16 & 1;
    plain();
    wide_addresses();
    refused();
    machine_check();
    time();
    kvmclock();
    control();
    pcid();
    return 0;
}
