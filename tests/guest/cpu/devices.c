/*
 * Devices that tests of processors drive: pci-testdev's counted writes, and
 * VMware's port, whose protocol is in registers.
 *
 * Spec: QEMU, docs/specs/pci-testdev.rst; Kato, "VMware Backdoor I/O Port".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

enum { CONF_ADDR = 0xcf8, CONF_DATA = 0xcfc, TESTDEV_ID = 0x00051b36 };
enum { TEST = 0, WIDTH = 1, OFFSET = 4, DATA = 8, COUNT = 12, NAME = 16 };
enum { VMPORT = 0x5658, MAGIC = 0x564d5868, N_WRITES = 16 };

static uint32_t conf(unsigned slot, unsigned at)
{
    outl(CONF_ADDR, 1u << 31 | slot << 11 | at);
    return inl(CONF_DATA);
}

/* Header and targets by ports or in memory, as BAR `bar` says. */
static uint8_t get8(uint32_t bar, unsigned at)
{
    return bar & 1 ? inb((bar & ~3u) + at)
                   : *(volatile uint8_t *)(uintptr_t)((bar & ~15u) + at);
}

static uint32_t get32(uint32_t bar, unsigned at)
{
    return bar & 1 ? inl((bar & ~3u) + at)
                   : *(volatile uint32_t *)(uintptr_t)((bar & ~15u) + at);
}

static void put8(uint32_t bar, unsigned at, uint8_t val)
{
    if (bar & 1) {
        outb((bar & ~3u) + at, val);
    } else {
        *(volatile uint8_t *)(uintptr_t)((bar & ~15u) + at) = val;
    }
}

static void walk_tests(const char *name, uint32_t bar)
{
    static const char *const names[] = {
        "no-eventfd", "wildcard-eventfd", "datamatch-eventfd"
    };
    unsigned n = 0, len = bar & 1 ? 7 : 5;      /* "portio-", "mmio-" */

    for (;; n++) {
        uint32_t at, data;

        put8(bar, TEST, n);
        if (get8(bar, WIDTH) != 1) {
            break;
        }
        at = get32(bar, OFFSET);
        data = get32(bar, DATA);
        check(get32(bar, COUNT) == 0, "%s %u: starts at 0", name, n);
        for (unsigned i = 0; i < N_WRITES; i++) {
            put8(bar, at, data);
        }
        check(get32(bar, COUNT) == N_WRITES, "%s %u: %u writes, not %u", name,
              n, N_WRITES, get32(bar, COUNT));
        put8(bar, at, data + 1);
        check(get32(bar, COUNT) == N_WRITES + (n < 2), "%s %u: another value",
              name, n);
        for (unsigned i = 0; n < 3 && names[n][i]; i++) {
            if (get8(bar, NAME + len + i) != names[n][i]) {
                check(false, "%s %u: name", name, n);
                break;
            }
        }
    }
    check(n == 3, "%s: %u tests", name, n);
}

static void pci_testdev(void)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        if (conf(slot, 0) == TESTDEV_ID) {
            check(!(conf(slot, 0x10) & 1) && conf(slot, 0x14) & 1,
                  "BAR 0 is memory, BAR 1 ports");
            walk_tests("mmio", conf(slot, 0x10));
            walk_tests("portio", conf(slot, 0x14));
            return;
        }
    }
    check(false, "no pci-testdev");
}

/* --- VMware's port --------------------------------------------------------- */

typedef struct Regs {
    uint64_t a, b, c, d;
} Regs;

static Regs backdoor(uint64_t magic, uint64_t command)
{
    Regs r = { magic, 0xdeadbeef, command, 0x123400005658 };

    asm volatile("inl %%dx, %%eax"
                 : "+a"(r.a), "+b"(r.b), "+c"(r.c), "+d"(r.d) : : "memory");
    return r;
}

static void vmport(void)
{
    Regs r = backdoor(MAGIC, 0x0a);

    check(r.a == 6 && r.b == MAGIC && r.c == 2, "version: %lx %lx %lx", r.a,
          r.b, r.c);
    r = backdoor(MAGIC, 0xfff);
    check(r.a == 0xffffffff && r.b == 0xdeadbeef && r.c == 0xfff
          && r.d == 0x123400005658, "no such command: %lx %lx", r.a, r.b);
    r = backdoor(MAGIC + 1, 0x0a);
    check(r.a == 0xffffffff && r.b == 0xdeadbeef, "no magic: %lx", r.a);
    r = backdoor(MAGIC, 0x14);
    check(r.a == 128, "memory: %u MiB", (unsigned)r.a);
    r = backdoor(MAGIC, 0x2d);
    check((r.a | r.b << 32) >= 1000000 && r.c == 1000000000, "rate of the TSC");
    uint64_t before = backdoor(MAGIC, 0x17).a;

    r = backdoor(MAGIC, 0x2e);
    check(r.a == MAGIC && r.d - before <= 60 && r.b < 1000000, "time");
    /* Thrice the same, so that hot code has it too. */
    uint64_t sum = 0;

    for (unsigned i = 0; i < 3000; i++) {
        sum += backdoor(MAGIC, 0x0a).b == MAGIC;
    }
    check(sum == 3000, "in a loop");
    check(inl(0x5659) == 0xffffffff && inb(VMPORT) == 0xff, "other widths");
}

int main(void)
{
    pci_testdev();
    vmport();
    return 0;
}
