/*
 * The paravirtual clock of KVM guests, for emulated processors: a structure in
 * the guest's memory from which it computes nanoseconds out of the TSC.
 *
 * Spec:   Linux, Documentation/virt/kvm/x86/msr.rst: MSR_KVM_WALL_CLOCK,
 *         MSR_KVM_SYSTEM_TIME and their NEW places.
 * Models: both, stable: all processors' structures agree to the nanosecond,
 *         for TSC and clock are one (tsc.c) and the factor is exact.  CPUID does
 *         not offer it, its signature not being KVM's: a kernel has the TSC
 *         itself.
 * Locks:  the vCPU's own thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvmclock.h"

#include "loop/timer.h"

enum { MSR_WALL_CLOCK_OLD = 0x11, MSR_SYSTEM_TIME_OLD = 0x12,
       MSR_WALL_CLOCK = 0x4b564d00, MSR_SYSTEM_TIME = 0x4b564d01 };
enum { ENABLE = 1 << 0, RESERVED = 1 << 1 };    /* of MSR_SYSTEM_TIME */
enum { FLAG_TSC_STABLE = 1 << 0 };

typedef struct {                /* little endian in the guest's memory */
    uint32_t version;           /* odd: being written */
    uint32_t pad;
    uint64_t tsc_timestamp;
    uint64_t system_time_ns;
    uint32_t tsc_to_system_mul; /* of ticks << shift, 32 bits of fraction */
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad2[2];
} VcpuTime;

typedef struct {
    uint32_t version, sec, nsec;
} WallClock;

G_STATIC_ASSERT(sizeof(VcpuTime) == 32);

bool kvmclock_has(X86Cpu *cpu, uint32_t msr)
{
    uint32_t r[4];

    if (msr != MSR_WALL_CLOCK && msr != MSR_SYSTEM_TIME
        && msr != MSR_WALL_CLOCK_OLD && msr != MSR_SYSTEM_TIME_OLD) {
        return false;
    }
    cpu_cpuid(cpu, 1, 0, r);
    return r[2] >> 31;          /* the hypervisor bit */
}

/* ns = (ticks << shift) * mul / 2^32, for ticks of `hz` a second: the largest
 * factor that fits. */
static void scale(uint64_t hz, uint32_t *mul, int8_t *shift)
{
    unsigned __int128 f = ((unsigned __int128)NS_PER_SEC << 32) / hz;

    *shift = 0;
    while (f >> 32) {
        f >>= 1;
        ++*shift;
    }
    while (!(f >> 31)) {
        f <<= 1;
        --*shift;
    }
    *mul = f;
}

/* The TSC is guest time times its rate plus the offset: the moment of guest
 * time 0 serves all processors. */
static void write_vcpu_time(X86Cpu *cpu)
{
    hwaddr gpa = cpu->state->kvm_system_time & ~(uint64_t)3;
    VcpuTime t = { 0 };

    as_read(&as_memory, gpa, &t.version, sizeof(t.version));
    t = (VcpuTime) {
        .version = (t.version | 1) + 1, .flags = FLAG_TSC_STABLE,
        .tsc_timestamp = cpu->state->tsc_offset,
    };
    scale(cpu_tsc_hz(), &t.tsc_to_system_mul, &t.tsc_shift);
    as_write(&as_memory, gpa, &t, sizeof(t));
}

/* The wall clock's time at guest time 0. */
static void write_wall_clock(X86Cpu *cpu)
{
    hwaddr gpa = cpu->state->kvm_wall_clock & ~(uint64_t)3;
    int64_t ns = clock_ns(CLK_RTC) - clock_ns(CLK_VIRTUAL);
    WallClock w = { 0 };

    as_read(&as_memory, gpa, &w.version, sizeof(w.version));
    w = (WallClock) {
        .version = (w.version | 1) + 1, .sec = ns / NS_PER_SEC,
        .nsec = ns % NS_PER_SEC,
    };
    as_write(&as_memory, gpa, &w, sizeof(w));
}

uint64_t kvmclock_rdmsr(X86Cpu *cpu, uint32_t msr)
{
    return msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_OLD
               ? cpu->state->kvm_wall_clock : cpu->state->kvm_system_time;
}

bool kvmclock_wrmsr(X86Cpu *cpu, uint32_t msr, uint64_t val)
{
    if (msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_OLD) {
        cpu->state->kvm_wall_clock = val;
        if (val) {
            write_wall_clock(cpu);
        }
        return true;
    }
    if (val & RESERVED) {
        return false;
    }
    cpu->state->kvm_system_time = val;
    kvmclock_tsc_changed(cpu);
    return true;
}

void kvmclock_tsc_changed(X86Cpu *cpu)
{
    if (cpu->state->kvm_system_time & ENABLE) {
        write_vcpu_time(cpu);
    }
}
