/*
 * The HPET: 100 MHz, so a tick is 10 ns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "devtest.h"

enum { ID = 0x00, CONF = 0x10, STA = 0x20, CNT = 0xf0 };
enum { LEVEL = 0x02, ENB = 0x04, PERIODIC = 0x08, VAL_SET = 0x40,
       MODE32 = 0x100, FSB_EN = 0x4000 };

#define TCONF(n) (0x100 + 0x20 * (n))
#define TCOMP(n) (0x108 + 0x20 * (n))
#define TFSB(n)  (0x110 + 0x20 * (n))
#define ROUTE(r) ((r) << 9)

static uint64_t rd(DevTest *t, hwaddr reg)
{
    return dev_mmio_read(t, 0, reg, 8);
}

static uint32_t rd4(DevTest *t, hwaddr reg)
{
    return dev_mmio_read(t, 0, reg, 4);
}

static void wr(DevTest *t, hwaddr reg, uint64_t val)
{
    dev_mmio_write(t, 0, reg, val, 8);
}

static void wr4(DevTest *t, hwaddr reg, uint32_t val)
{
    dev_mmio_write(t, 0, reg, val, 4);
}

static void ticks(int64_t n)
{
    dev_advance(n * 10);
}

static DevTest *new_hpet(void)
{
    return dev_test_new("hpet", "hpet-intcap=0xff0104");
}

static void test_id(void)
{
    g_autoptr(DevTest) t = new_hpet();
    g_autoptr(DevTest) most = dev_test_new("hpet", "timers=32,msi=on");

    g_assert_cmphex(rd(t, ID), ==, 0x009896808086a201);
    g_assert_cmphex(rd4(t, ID), ==, 0x8086a201);
    g_assert_cmphex(rd4(t, ID + 4), ==, 0x00989680);
    wr(t, ID, UINT64_MAX);
    g_assert_cmphex(rd(t, ID), ==, 0x009896808086a201);
    g_assert_cmphex(rd(most, ID), ==, 0x009896808086bf01);
    wr(most, TCOMP(31), 0x1234);
    g_assert_cmphex(rd(most, TCOMP(31)), ==, 0x1234);
    g_assert_cmphex(rd(t, 0x08), ==, 0);
    g_assert_cmphex(rd(t, TCONF(3)), ==, 0);
    g_assert_cmphex(rd(t, 0x3f8), ==, 0);
}

static void test_counter(void)
{
    g_autoptr(DevTest) t = new_hpet();

    ticks(100);
    g_assert_cmphex(rd(t, CNT), ==, 0);
    wr(t, CNT, 0xfffffff0);
    g_assert_cmphex(rd(t, CNT), ==, 0xfffffff0);
    wr(t, CONF, 1);
    g_assert_cmphex(rd(t, CONF), ==, 1);
    ticks(0x20);
    g_assert_cmphex(rd(t, CNT), ==, 0x100000010);
    g_assert_cmphex(rd4(t, CNT), ==, 0x10);
    g_assert_cmphex(rd4(t, CNT + 4), ==, 1);
    dev_advance(9);
    g_assert_cmphex(rd(t, CNT), ==, 0x100000010);
    dev_advance(1);
    g_assert_cmphex(rd(t, CNT), ==, 0x100000011);
    wr4(t, CNT + 4, 7);
    g_assert_cmphex(rd(t, CNT), ==, 0x700000011);
    wr(t, CONF, 0);
    ticks(100);
    g_assert_cmphex(rd(t, CNT), ==, 0x700000011);
    wr(t, CONF, 0xfc);
    g_assert_cmphex(rd(t, CONF), ==, 0);
}

static void test_timer_config(void)
{
    g_autoptr(DevTest) t = new_hpet();

    for (int n = 0; n < 3; n++) {
        g_assert_cmphex(rd(t, TCONF(n)), ==, 0x00ff010400000030);
        g_assert_cmphex(rd(t, TCOMP(n)), ==, UINT64_MAX);
        wr(t, TCONF(n), (UINT64_MAX & ~ROUTE(31)) | ROUTE(2));
        g_assert_cmphex(rd(t, TCONF(n)), ==, 0x00ff01040000057e);
        for (int r = 0; r < 32; r++) {
            /* A route that is not offered does not stick. */
            wr(t, TCONF(n), ROUTE(2));
            wr(t, TCONF(n), ROUTE(r));
            g_assert_cmphex(rd4(t, TCONF(n)) >> 9 & 31, ==,
                            0xff0104 >> r & 1 ? r : 2);
        }
        wr(t, TFSB(n), 0xfee0100000000041);
        g_assert_cmphex(rd(t, TFSB(n)), ==, 0xfee0100000000041);
        wr4(t, TFSB(n) + 4, 0xfee02000);
        g_assert_cmphex(rd(t, TFSB(n)), ==, 0xfee0200000000041);
    }
}

static void test_one_shot(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq = dev_test_probe_n(t, "irq", 16);

    wr(t, TCONF(1), ENB | ROUTE(16));
    wr(t, TCOMP(1), 1000);
    wr(t, CONF, 1);
    ticks(999);
    g_assert_cmpuint(irq->n_rising, ==, 0);
    ticks(1);
    g_assert_cmpuint(irq->n_rising, ==, 1);
    g_assert_cmpint(irq->level, ==, 0);
    g_assert_cmphex(rd(t, STA), ==, 0);         /* edges leave no status */
    ticks(1000000);
    g_assert_cmpuint(irq->n_rising, ==, 1);
    g_assert_cmphex(rd(t, TCOMP(1)), ==, 1000);
    wr(t, TCOMP(1), rd(t, CNT) + 5);
    ticks(5);
    g_assert_cmpuint(irq->n_rising, ==, 2);
    wr(t, TCOMP(1), rd(t, CNT));                /* this very tick */
    g_assert_cmpuint(irq->n_rising, ==, 3);
    /* Written for the past: it waits for the counter to come round. */
    wr(t, TCOMP(1), rd(t, CNT) - 1);
    ticks(1000000);
    g_assert_cmpuint(irq->n_rising, ==, 3);
    /* Without INT_ENB nothing happens. */
    wr(t, TCONF(1), ROUTE(16));
    wr(t, TCOMP(1), rd(t, CNT) + 5);
    ticks(10);
    wr(t, TCONF(1), ENB | ROUTE(16));
    ticks(10);
    g_assert_cmpuint(irq->n_rising, ==, 3);
    /* The counter halted: nor then. */
    wr(t, TCOMP(1), rd(t, CNT) + 5);
    wr(t, CONF, 0);
    ticks(100);
    g_assert_cmpuint(irq->n_rising, ==, 3);
    wr(t, CONF, 1);
    ticks(5);
    g_assert_cmpuint(irq->n_rising, ==, 4);
}

/* 32-bit mode: the low half counts, and comes round every 43 s. */
static void test_32_bit(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq = dev_test_probe_n(t, "irq", 8);

    wr(t, TCOMP(0), 0x123456789);
    wr(t, TCONF(0), ENB | MODE32 | ROUTE(8));
    g_assert_cmphex(rd(t, TCOMP(0)), ==, 0x23456789);
    wr(t, CNT, 0x5fffffff0);
    wr(t, TCOMP(0), 0xabcdef0000000010);
    g_assert_cmphex(rd(t, TCOMP(0)), ==, 0x10);
    wr(t, CONF, 1);
    ticks(0x1f);
    g_assert_cmpuint(irq->n_rising, ==, 0);
    ticks(1);
    g_assert_cmpuint(irq->n_rising, ==, 1);
    ticks((INT64_C(1) << 32) - 1);
    g_assert_cmpuint(irq->n_rising, ==, 1);
    ticks(1);
    g_assert_cmpuint(irq->n_rising, ==, 2);
}

/* Periodic as Linux does it: VAL_SET, the first match, then the period. */
static void test_periodic(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq = dev_test_probe_n(t, "irq", 2);

    wr(t, CONF, 1);
    ticks(500);
    wr4(t, TCONF(0), ENB | PERIODIC | VAL_SET | MODE32 | ROUTE(2));
    g_assert_cmphex(rd4(t, TCONF(0)) & VAL_SET, ==, VAL_SET);
    wr4(t, TCOMP(0), 10500);
    g_assert_cmphex(rd4(t, TCONF(0)) & VAL_SET, ==, 0);
    wr4(t, TCOMP(0), 5000);
    g_assert_cmphex(rd4(t, TCOMP(0)), ==, 10500);
    ticks(9999);
    g_assert_cmpuint(irq->n_rising, ==, 0);
    ticks(1);
    g_assert_cmpuint(irq->n_rising, ==, 1);
    g_assert_cmphex(rd4(t, TCOMP(0)), ==, 15500);
    ticks(5000 * 100);
    g_assert_cmpuint(irq->n_rising, ==, 101);
    g_assert_cmphex(rd4(t, TCOMP(0)), ==, 15500 + 5000 * 100);
    /* One write with VAL_SET sets both. */
    wr4(t, TCONF(0), ENB | PERIODIC | VAL_SET | MODE32 | ROUTE(2));
    wr4(t, TCOMP(0), rd4(t, CNT) + 3000);
    unsigned before = irq->n_rising;

    ticks(3000);
    g_assert_cmpuint(irq->n_rising, ==, before + 1);
    /* Not listened to, it goes on all the same. */
    wr(t, TCONF(1), PERIODIC | VAL_SET);
    wr(t, TCOMP(1), rd(t, CNT) + 100);
    uint64_t first = rd(t, TCOMP(1));

    wr(t, TCOMP(1), 1000);
    ticks(100 + 2500);
    g_assert_cmphex(rd(t, TCOMP(1)), ==, first + 3000);
}

static void test_shortest_period(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq = dev_test_probe_n(t, "irq", 2);

    wr(t, CONF, 1);
    for (int period = 0; period < 4; period++) {
        unsigned before = irq->n_rising;

        wr(t, TCONF(0), ENB | PERIODIC | VAL_SET | ROUTE(2));
        wr(t, TCOMP(0), rd(t, CNT) + 10);
        wr(t, TCOMP(0), period);
        dev_advance(NS_PER_SEC / 10);
        g_assert_cmpuint(irq->n_rising - before, <=, 5001);
        g_assert_cmpuint(irq->n_rising - before, >=, period ? 4000 : 1);
    }
}

static void test_level(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq16 = dev_test_probe_n(t, "irq", 16);
    IrqProbe *irq17 = dev_test_probe_n(t, "irq", 17);

    wr(t, CONF, 1);
    wr(t, TCONF(2), ENB | LEVEL | PERIODIC | VAL_SET | ROUTE(16));
    wr(t, TCOMP(2), rd(t, CNT) + 100);
    wr(t, TCOMP(2), 10000);
    ticks(100);
    g_assert_cmpint(irq16->level, ==, 1);
    g_assert_cmphex(rd(t, STA), ==, 4);
    wr(t, STA, 3);
    g_assert_cmphex(rd(t, STA), ==, 4);
    wr(t, STA, 4);
    g_assert_cmphex(rd(t, STA), ==, 0);
    g_assert_cmpint(irq16->level, ==, 0);
    ticks(10000);
    g_assert_cmpint(irq16->level, ==, 1);
    wr(t, TCONF(2), ENB | LEVEL | PERIODIC | ROUTE(17));        /* moves */
    g_assert_cmpint(irq16->level, ==, 0);
    g_assert_cmpint(irq17->level, ==, 1);
    wr(t, TCONF(2), LEVEL | PERIODIC | ROUTE(17));
    g_assert_cmpint(irq17->level, ==, 0);
    g_assert_cmphex(rd(t, STA), ==, 4);
    wr(t, STA, 4);
    ticks(20000);                               /* status without interrupt */
    g_assert_cmphex(rd(t, STA), ==, 4);
    wr(t, TCONF(2), ENB | LEVEL | PERIODIC | ROUTE(17));
    g_assert_cmpint(irq17->level, ==, 1);
    wr(t, TCONF(2), ENB | PERIODIC | ROUTE(17));
    g_assert_cmpint(irq17->level, ==, 0);
    /* Two share a line. */
    wr(t, TCONF(2), 0);
    for (int n = 0; n < 2; n++) {
        wr(t, TCONF(n), ENB | LEVEL | ROUTE(17));
        wr(t, TCOMP(n), rd(t, CNT) + 10);
    }
    ticks(20);
    g_assert_cmphex(rd(t, STA), ==, 3);
    wr(t, STA, 1);
    g_assert_cmpint(irq17->level, ==, 1);
    wr(t, STA, 2);
    g_assert_cmpint(irq17->level, ==, 0);
}

static void test_legacy(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq0 = dev_test_probe_n(t, "irq", 0);
    IrqProbe *irq8 = dev_test_probe_n(t, "irq", 8);
    IrqProbe *pit_off = dev_test_probe(t, "pit-off");

    /* PIT and RTC pass through ... */
    dev_test_line(t, 0, 1);
    g_assert_cmpint(irq0->level, ==, 1);
    dev_test_line(t, 1, 1);
    g_assert_cmpint(irq8->level, ==, 1);
    dev_test_line(t, 1, 0);
    g_assert_cmpint(irq8->level, ==, 0);
    /* ... until comparators 0 and 1 take their places. */
    g_assert_cmpint(pit_off->level, ==, 0);
    wr(t, CONF, 3);
    g_assert_cmpint(pit_off->level, ==, 1);
    g_assert_cmpint(irq0->level, ==, 0);
    dev_test_line(t, 0, 0);
    dev_test_line(t, 0, 1);
    dev_test_line(t, 1, 1);
    g_assert_cmpint(irq0->level, ==, 0);
    g_assert_cmpint(irq8->level, ==, 0);
    unsigned n0 = irq0->n_rising, n8 = irq8->n_rising;

    wr(t, TCONF(0), ENB | ROUTE(16));
    wr(t, TCONF(1), ENB | ROUTE(16));
    wr(t, TCOMP(0), rd(t, CNT) + 10);
    wr(t, TCOMP(1), rd(t, CNT) + 20);
    ticks(10);
    g_assert_cmpuint(irq0->n_rising, ==, n0 + 1);
    g_assert_cmpuint(irq8->n_rising, ==, n8);
    ticks(10);
    g_assert_cmpuint(irq8->n_rising, ==, n8 + 1);
    wr(t, CONF, 1);
    g_assert_cmpint(pit_off->level, ==, 0);
    g_assert_cmpint(irq0->level, ==, 1);
    g_assert_cmpint(irq8->level, ==, 1);
}

static uint64_t msi_addr;
static uint32_t msi_data;
static unsigned n_msi;

static void on_msi(uint64_t addr, uint32_t data)
{
    msi_addr = addr;
    msi_data = data;
    n_msi++;
}

static void test_fsb(void)
{
    g_autoptr(DevTest) t = dev_test_new("hpet", "msi=on,hpet-intcap=4");
    g_autoptr(DevTest) without = new_hpet();

    msi_set_receiver(on_msi);
    g_assert_cmphex(rd4(t, TCONF(0)), ==, 0x8030);
    wr(t, TCONF(0), ENB | FSB_EN | ROUTE(2));
    g_assert_cmphex(rd4(t, TCONF(0)), ==, 0xc434);
    wr4(t, TFSB(0), 0x4041);
    wr4(t, TFSB(0) + 4, 0xfee01000);
    wr(t, TCOMP(0), 100);
    wr(t, CONF, 1);
    ticks(100);
    g_assert_cmpuint(n_msi, ==, 1);
    g_assert_cmphex(msi_addr, ==, 0xfee01000);
    g_assert_cmphex(msi_data, ==, 0x4041);
    wr(without, TCONF(0), FSB_EN);
    g_assert_cmphex(rd4(without, TCONF(0)), ==, 0x30);
    msi_set_receiver(NULL);
}

/* 64-bit comparators written by halves. */
static void test_halves(void)
{
    g_autoptr(DevTest) t = new_hpet();

    wr4(t, TCOMP(0), 0x55667788);
    wr4(t, TCOMP(0) + 4, 0x11223344);
    g_assert_cmphex(rd(t, TCOMP(0)), ==, 0x1122334455667788);
    wr4(t, TCONF(0) + 4, 0);                    /* capabilities: read-only */
    g_assert_cmphex(rd4(t, TCONF(0) + 4), ==, 0x00ff0104);
    wr4(t, STA + 4, 0xffffffff);
    g_assert_cmphex(rd(t, STA), ==, 0);
}

static void test_bad_timers(void)
{
    g_autoptr(GError) err = NULL;
    Device *dev = device_new(type_find("hpet"));

    prop_set(&dev->obj, "timers", "2", &err);
    g_assert_no_error(err);
    g_assert_false(device_realize(dev, NULL, &err));
    g_assert_cmpstr(err->message, ==, "hpet: timers=2 is not 3 to 32");
    object_unref(&dev->obj);
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_hpet();
    IrqProbe *irq2 = dev_test_probe_n(t, "irq", 2);
    IrqProbe *irq16 = dev_test_probe_n(t, "irq", 16);

    wr(t, CONF, 1);
    wr(t, TCONF(0), ENB | PERIODIC | VAL_SET | ROUTE(2));
    wr(t, TCOMP(0), rd(t, CNT) + 10000);
    wr(t, TCONF(1), ENB | LEVEL | ROUTE(16));
    wr(t, TCOMP(1), rd(t, CNT) + 50);
    ticks(5000);
    g_assert_cmpint(irq16->level, ==, 1);
    dev_test_reload(t);
    g_assert_cmpint(irq16->level, ==, 1);
    ticks(4999);
    g_assert_cmpuint(irq2->n_rising, ==, 0);
    ticks(1);
    g_assert_cmpuint(irq2->n_rising, ==, 1);
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/hpet/id", test_id);
    g_test_add_func("/hpet/counter", test_counter);
    g_test_add_func("/hpet/timer-config", test_timer_config);
    g_test_add_func("/hpet/one-shot", test_one_shot);
    g_test_add_func("/hpet/32-bit", test_32_bit);
    g_test_add_func("/hpet/periodic", test_periodic);
    g_test_add_func("/hpet/shortest-period", test_shortest_period);
    g_test_add_func("/hpet/level", test_level);
    g_test_add_func("/hpet/legacy", test_legacy);
    g_test_add_func("/hpet/fsb", test_fsb);
    g_test_add_func("/hpet/halves", test_halves);
    g_test_add_func("/hpet/bad-timers", test_bad_timers);
    g_test_add_func("/hpet/save-load", test_save_load);
    return g_test_run();
}
