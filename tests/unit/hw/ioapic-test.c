/*
 * The I/O APIC; the bus behind it is replaced by a record of messages
 * (linked with --wrap=apic_bus_deliver).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/irqchip.h"
#include "cpu/lapic.h"
#include "devtest.h"

static struct {
    unsigned n;
    uint32_t dest;
    bool logical, level;
    unsigned mode;
    uint8_t vector;
    bool refuse;
} bus;

bool __wrap_apic_bus_deliver(uint32_t dest, bool logical, unsigned mode,
                             uint8_t vector, bool level_triggered);
bool __wrap_apic_bus_deliver(uint32_t dest, bool logical, unsigned mode,
                             uint8_t vector, bool level_triggered)
{
    bus.n++;
    bus.dest = dest;
    bus.logical = logical;
    bus.mode = mode;
    bus.vector = vector;
    bus.level = level_triggered;
    return !bus.refuse;
}

static uint32_t reg_read(DevTest *t, unsigned reg)
{
    dev_mmio_write(t, 0, 0x00, reg, 4);
    return dev_mmio_read(t, 0, 0x10, 4);
}

static void reg_write(DevTest *t, unsigned reg, uint32_t val)
{
    dev_mmio_write(t, 0, 0x00, reg, 4);
    dev_mmio_write(t, 0, 0x10, val, 4);
}

static void set_pin(DevTest *t, unsigned pin, uint64_t entry)
{
    reg_write(t, 0x11 + 2 * pin, entry >> 32);
    reg_write(t, 0x10 + 2 * pin, entry);
}

static uint64_t get_pin(DevTest *t, unsigned pin)
{
    return reg_read(t, 0x10 + 2 * pin)
           | (uint64_t)reg_read(t, 0x11 + 2 * pin) << 32;
}

static DevTest *new_ioapic(void)
{
    DevTest *t = dev_test_new("ioapic", NULL);

    memset(&bus, 0, sizeof(bus));
    return t;
}

enum { LEVEL = 1 << 15, MASKED = 1 << 16, REMOTE_IRR = 1 << 14 };

static void test_registers(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    reg_write(t, 0, 0xffffffff);
    g_assert_cmphex(reg_read(t, 0), ==, 0x0f000000);
    g_assert_cmphex(reg_read(t, 2), ==, 0x0f000000);
    g_assert_cmphex(reg_read(t, 1), ==, 0x00170020);
    reg_write(t, 1, 0);
    reg_write(t, 2, 0);
    g_assert_cmphex(reg_read(t, 1), ==, 0x00170020);
    g_assert_cmphex(reg_read(t, 2), ==, 0x0f000000);
    g_assert_cmphex(reg_read(t, 3), ==, 0);
    g_assert_cmphex(reg_read(t, 0x40), ==, 0);
    dev_mmio_write(t, 0, 0x00, 0x123, 4);
    g_assert_cmphex(dev_mmio_read(t, 0, 0x00, 4), ==, 0x23);
    g_assert_cmphex(dev_mmio_read(t, 0, 0x20, 4), ==, 0);
}

static void test_version_11(void)
{
    g_autoptr(DevTest) t = dev_test_new("ioapic", "version=0x11");

    memset(&bus, 0, sizeof(bus));
    g_assert_cmphex(reg_read(t, 1), ==, 0x00170011);
    set_pin(t, 5, LEVEL | 0x55);
    dev_test_line(t, 5, 1);
    dev_mmio_write(t, 0, 0x40, 0x55, 4);        /* no EOI register */
    g_assert_cmpuint(bus.n, ==, 1);
    g_assert_cmphex(get_pin(t, 5), ==, LEVEL | REMOTE_IRR | 0x55);
}

static void test_redirection_bits(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    for (unsigned pin = 0; pin < 24; pin++) {
        g_assert_cmphex(get_pin(t, pin), ==, MASKED);
        set_pin(t, pin, UINT64_MAX);
        /* Delivery status and remote IRR are read-only. */
        g_assert_cmphex(get_pin(t, pin), ==, 0xff0000000001afff);
        for (int bit = 0; bit < 64; bit++) {
            uint64_t e = UINT64_C(1) << bit & 0xff0000000001afff;

            set_pin(t, pin, UINT64_C(1) << bit | MASKED);
            g_assert_cmphex(get_pin(t, pin), ==, e | MASKED);
        }
    }
}

static void test_edge(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 4, UINT64_C(3) << 56 | 0x31);
    dev_test_line(t, 4, 1);
    g_assert_cmpuint(bus.n, ==, 1);
    g_assert_cmphex(bus.vector, ==, 0x31);
    g_assert_cmphex(bus.dest, ==, 3);
    g_assert_cmpuint(bus.mode, ==, APIC_DM_FIXED);
    g_assert_false(bus.logical);
    g_assert_false(bus.level);
    dev_test_line(t, 4, 1);
    g_assert_cmpuint(bus.n, ==, 1);
    dev_test_line(t, 4, 0);
    dev_test_line(t, 4, 1);
    g_assert_cmpuint(bus.n, ==, 2);
    g_assert_cmphex(get_pin(t, 4) & REMOTE_IRR, ==, 0);
    /* Every delivery mode, and logical destinations. */
    for (unsigned mode = 0; mode < 8; mode++) {
        dev_test_line(t, 4, 0);
        set_pin(t, 4, UINT64_C(0xf0) << 56 | 0x800 | mode << 8 | 0x41);
        dev_test_line(t, 4, 1);
        g_assert_cmpuint(bus.mode, ==, mode);
        g_assert_true(bus.logical);
        g_assert_cmphex(bus.dest, ==, 0xf0);
    }
}

/* Edges at a masked pin are lost, also when it is unmasked later. */
static void test_edge_masked(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 4, MASKED | 0x31);
    dev_test_line(t, 4, 1);
    set_pin(t, 4, 0x31);
    g_assert_cmpuint(bus.n, ==, 0);
}

static void test_level(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 11, LEVEL | 1 << 8 | 0x61);
    dev_test_line(t, 11, 1);
    g_assert_cmpuint(bus.n, ==, 1);
    g_assert_true(bus.level);
    g_assert_cmphex(get_pin(t, 11), ==, LEVEL | REMOTE_IRR | 0x161);
    dev_test_line(t, 11, 0);
    dev_test_line(t, 11, 1);
    g_assert_cmpuint(bus.n, ==, 1);
    apic_bus_eoi(0x60);                         /* another's */
    g_assert_cmpuint(bus.n, ==, 1);
    apic_bus_eoi(0x61);                         /* still asserted: again */
    g_assert_cmpuint(bus.n, ==, 2);
    dev_test_line(t, 11, 0);
    apic_bus_eoi(0x61);
    g_assert_cmpuint(bus.n, ==, 2);
    g_assert_cmphex(get_pin(t, 11), ==, LEVEL | 0x161);
}

static void test_level_masked(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 11, LEVEL | MASKED | 0x61);
    dev_test_line(t, 11, 1);
    g_assert_cmpuint(bus.n, ==, 0);
    set_pin(t, 11, LEVEL | 0x61);               /* asserted: goes out now */
    g_assert_cmpuint(bus.n, ==, 1);
    set_pin(t, 11, LEVEL | MASKED | 0x61);
    apic_bus_eoi(0x61);                         /* acknowledged, but masked */
    g_assert_cmpuint(bus.n, ==, 1);
    g_assert_cmphex(get_pin(t, 11), ==, LEVEL | MASKED | 0x61);
}

/* Nobody took it: it stays pending and is tried again. */
static void test_refused(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 11, LEVEL | 0x61);
    bus.refuse = true;
    dev_test_line(t, 11, 1);
    g_assert_cmphex(get_pin(t, 11) & REMOTE_IRR, ==, 0);
    bus.refuse = false;
    reg_write(t, 0x10 + 2 * 11, LEVEL | 0x62);
    g_assert_cmphex(bus.vector, ==, 0x62);
    g_assert_cmphex(get_pin(t, 11) & REMOTE_IRR, !=, 0);
}

/* NMI, SMI and INIT are never acknowledged by an EOI. */
static void test_level_nmi(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 3, LEVEL | APIC_DM_NMI << 8);
    dev_test_line(t, 3, 1);
    g_assert_cmpuint(bus.n, ==, 1);
    g_assert_cmphex(get_pin(t, 3) & REMOTE_IRR, ==, 0);
}

static void test_eoi_register(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 11, LEVEL | 0x61);
    dev_test_line(t, 11, 1);
    dev_mmio_write(t, 0, 0x40, 0x61, 4);
    g_assert_cmpuint(bus.n, ==, 2);
}

/* Writing "edge" clears remote IRR. */
static void test_edge_clears_remote_irr(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 11, LEVEL | 0x61);
    dev_test_line(t, 11, 1);
    dev_test_line(t, 11, 0);
    set_pin(t, 11, MASKED | 0x61);
    g_assert_cmphex(get_pin(t, 11), ==, MASKED | 0x61);
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_ioapic();

    set_pin(t, 11, UINT64_C(9) << 56 | LEVEL | 0x61);
    dev_test_line(t, 11, 1);
    dev_test_reload(t);
    g_assert_cmphex(get_pin(t, 11), ==, UINT64_C(9) << 56 | LEVEL | REMOTE_IRR
                                        | 0x61);
    apic_bus_eoi(0x61);
    g_assert_cmpuint(bus.n, ==, 2);
}

static void test_print(void)
{
    g_autoptr(DevTest) t = new_ioapic();
    g_autoptr(GString) out = g_string_new(NULL);

    set_pin(t, 2, UINT64_C(1) << 56 | 0x830);
    irqchip_print(out);
    g_assert_nonnull(strstr(out->str, "pin 2  0x0100000000000830 dest=0x01 "
                                      "vec=48  fixed  logical  edge"));
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/ioapic/registers", test_registers);
    g_test_add_func("/ioapic/version-11", test_version_11);
    g_test_add_func("/ioapic/redirection-bits", test_redirection_bits);
    g_test_add_func("/ioapic/edge", test_edge);
    g_test_add_func("/ioapic/edge-masked", test_edge_masked);
    g_test_add_func("/ioapic/level", test_level);
    g_test_add_func("/ioapic/level-masked", test_level_masked);
    g_test_add_func("/ioapic/refused", test_refused);
    g_test_add_func("/ioapic/level-nmi", test_level_nmi);
    g_test_add_func("/ioapic/eoi-register", test_eoi_register);
    g_test_add_func("/ioapic/edge-clears-remote-irr",
                    test_edge_clears_remote_irr);
    g_test_add_func("/ioapic/save-load", test_save_load);
    g_test_add_func("/ioapic/print", test_print);
    return g_test_run();
}
