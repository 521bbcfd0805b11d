/*
 * The 8254 and port 61h.  Time is told in ticks of the input clock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/irqchip.h"
#include "devtest.h"

enum { CH0 = 0x40, CH1 = 0x41, CH2 = 0x42, CTL = 0x43, P61 = 0x61 };

static DevTest *new_pit(IrqProbe **irq0)
{
    DevTest *t = dev_test_bare();

    dev_test_add(t, "isa-pit", NULL, "pit");
    *irq0 = dev_test_probe(t, "irq");
    dev_test_add(t, "isa-pcspk", "pit=pit", NULL);
    return t;
}

/* Move to the start of the n-th tick from here. */
static void ticks(int64_t n)
{
    int64_t now = clock_ns(CLK_VIRTUAL);
    int64_t at = (__int128)now * PIT_HZ / NS_PER_SEC + n;

    clock_test_advance(((__int128)at * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ
                       - now);
}

static void set_count(DevTest *t, uint16_t port, uint16_t count)
{
    dev_outb(t, port, count);
    dev_outb(t, port, count >> 8);
}

static uint16_t latched(DevTest *t, int ch)
{
    uint8_t lsb;

    dev_outb(t, CTL, ch << 6);
    lsb = dev_inb(t, CH0 + ch);
    return lsb | dev_inb(t, CH0 + ch) << 8;
}

static uint8_t status(DevTest *t, int ch)
{
    dev_outb(t, CTL, 0xe0 | 2 << ch);
    return dev_inb(t, CH0 + ch);
}

static bool out(DevTest *t, int ch)
{
    return status(t, ch) & 0x80;
}

static void test_reset(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    g_assert_cmphex(status(t, 0), ==, 0xb6);
    g_assert_cmphex(status(t, 2) & 0x3f, ==, 0x36);
    ticks(65536 * 4);
    g_assert_cmpuint(irq0->n_rising, >=, 3);
    g_assert_cmphex(dev_inb(t, CTL), ==, 0xff);
}

static void test_mode_0(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x30);
    g_assert_cmpint(irq0->level, ==, 0);
    g_assert_cmphex(status(t, 0), ==, 0x70);    /* OUT low, null count */
    set_count(t, CH0, 100);
    g_assert_cmphex(status(t, 0), ==, 0x70);
    ticks(1);
    g_assert_cmphex(status(t, 0), ==, 0x30);
    g_assert_cmpuint(latched(t, 0), ==, 100);
    unsigned before = irq0->n_rising;
    ticks(99);
    g_assert_cmpuint(latched(t, 0), ==, 1);
    g_assert_cmpint(irq0->level, ==, 0);
    ticks(1);                                   /* N + 1 after the write */
    g_assert_cmpint(irq0->level, ==, 1);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    g_assert_cmpuint(latched(t, 0), ==, 0);
    ticks(1);
    g_assert_cmphex(latched(t, 0), ==, 0xffff); /* it counts on */
    ticks(200000);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);

    /* A new count: its first byte stops counting, the second starts. */
    dev_outb(t, CH0, 50);
    g_assert_cmpint(irq0->level, ==, 0);
    uint16_t frozen = latched(t, 0);
    ticks(1000);
    g_assert_cmphex(latched(t, 0), ==, frozen);
    dev_outb(t, CH0, 0);
    ticks(51);
    g_assert_cmpint(irq0->level, ==, 1);
    /* Single bytes: low, then high. */
    dev_outb(t, CTL, 0x10);
    dev_outb(t, CH0, 7);
    ticks(8);
    g_assert_cmpint(irq0->level, ==, 1);
    dev_outb(t, CTL, 0x20);
    dev_outb(t, CH0, 1);
    ticks(256);
    g_assert_cmpint(irq0->level, ==, 0);
    g_assert_cmphex(dev_inb(t, CH0), ==, 0);
    ticks(1);
    g_assert_cmpint(irq0->level, ==, 1);
}

static void test_mode_0_gate(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, P61, 0x01);
    dev_outb(t, CTL, 0xb0);
    set_count(t, CH2, 1000);
    ticks(1 + 400);
    g_assert_cmpuint(latched(t, 2), ==, 600);
    dev_outb(t, P61, 0x00);
    ticks(5000);
    g_assert_cmpuint(latched(t, 2), ==, 600);
    g_assert_cmphex(dev_inb(t, P61) & 0x20, ==, 0);
    dev_outb(t, P61, 0x01);
    ticks(599);
    g_assert_cmphex(dev_inb(t, P61) & 0x20, ==, 0);
    ticks(1);
    g_assert_cmphex(dev_inb(t, P61) & 0x20, ==, 0x20);
    /* A count written while the gate is low is loaded, and waits. */
    dev_outb(t, P61, 0x00);
    set_count(t, CH2, 10);
    ticks(100);
    g_assert_cmpuint(latched(t, 2), ==, 10);
    dev_outb(t, P61, 0x01);
    ticks(10);
    g_assert_true(out(t, 2));
}

static void test_mode_1(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0xb2);
    set_count(t, CH2, 100);
    ticks(500);
    g_assert_true(out(t, 2));
    g_assert_cmphex(status(t, 2), ==, 0xf2);    /* null: waits for a trigger */
    dev_outb(t, P61, 1);
    g_assert_true(out(t, 2));
    ticks(1);
    g_assert_cmphex(status(t, 2), ==, 0x32);
    g_assert_cmpuint(latched(t, 2), ==, 100);
    ticks(99);
    g_assert_false(out(t, 2));
    ticks(1);
    g_assert_true(out(t, 2));
    /* The gate falling does nothing, rising starts anew. */
    dev_outb(t, P61, 0);
    dev_outb(t, P61, 1);
    ticks(50);
    dev_outb(t, P61, 0);
    ticks(10);
    dev_outb(t, P61, 1);                        /* retrigger: no glitch */
    g_assert_false(out(t, 2));
    set_count(t, CH2, 10);                      /* for the next trigger */
    ticks(90);
    g_assert_false(out(t, 2));
    ticks(11);
    g_assert_true(out(t, 2));
    dev_outb(t, P61, 0);
    dev_outb(t, P61, 1);
    ticks(10);
    g_assert_false(out(t, 2));
    ticks(1);
    g_assert_true(out(t, 2));
}

static void test_mode_2(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x34);
    set_count(t, CH0, 1000);
    ticks(1);
    unsigned before = irq0->n_rising;

    g_assert_cmpuint(latched(t, 0), ==, 1000);
    ticks(998);
    g_assert_true(out(t, 0));
    ticks(1);
    g_assert_false(out(t, 0));                  /* low for one tick, at 1 */
    g_assert_cmpuint(latched(t, 0), ==, 1);
    ticks(1);
    g_assert_true(out(t, 0));
    g_assert_cmpuint(latched(t, 0), ==, 1000);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    ticks(1000 * 1000);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1001);
    /* A new count waits for the end of the cycle. */
    ticks(100);
    set_count(t, CH0, 50);
    g_assert_cmphex(status(t, 0) & 0x40, ==, 0x40);
    g_assert_cmpuint(latched(t, 0), ==, 900);
    ticks(900);
    g_assert_cmphex(status(t, 0) & 0x40, ==, 0);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1002);
    g_assert_cmpuint(latched(t, 0), ==, 50);
    ticks(100);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1004);
    /* 0 is the longest: 65536. */
    set_count(t, CH0, 0);
    ticks(50);
    g_assert_cmpuint(latched(t, 0), ==, 0);
    ticks(65536);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1006);
}

static void test_mode_2_gate(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, P61, 1);
    dev_outb(t, CTL, 0xb4);
    set_count(t, CH2, 100);
    ticks(1 + 99);
    g_assert_false(out(t, 2));
    dev_outb(t, P61, 0);                        /* OUT goes high at once */
    g_assert_true(out(t, 2));
    ticks(1000);
    g_assert_cmpuint(latched(t, 2), ==, 1);
    dev_outb(t, P61, 1);                        /* and the count is reloaded */
    ticks(1);
    g_assert_cmpuint(latched(t, 2), ==, 100);
    ticks(99);
    g_assert_false(out(t, 2));
    /* A count written before the gate ever rose. */
    dev_outb(t, P61, 0);
    dev_outb(t, CTL, 0xb4);
    dev_outb(t, P61, 1);
    set_count(t, CH2, 30);
    ticks(1 + 29);
    g_assert_false(out(t, 2));
}

static void test_mode_3(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x36);
    set_count(t, CH0, 100);
    ticks(1);
    unsigned before = irq0->n_rising;

    for (int i = 0; i < 3; i++) {
        for (int half = 0; half < 2; half++) {
            for (int n = 0; n < 50; n++) {
                g_assert_cmpint(out(t, 0), ==, !half);
                g_assert_cmpint(irq0->level, ==, !half);
                g_assert_cmpuint(latched(t, 0), ==, 100 - 2 * n);
                ticks(1);
            }
        }
    }
    g_assert_cmpuint(irq0->n_rising, ==, before + 3);
    /* Odd: the high half is a tick longer; both count even numbers. */
    dev_outb(t, CTL, 0x36);
    set_count(t, CH0, 7);
    ticks(1);
    for (int n = 0; n < 7; n++) {
        static const uint8_t value[] = { 6, 4, 2, 0, 6, 4, 2 };

        g_assert_cmpint(out(t, 0), ==, n < 4);
        g_assert_cmpuint(latched(t, 0), ==, value[n]);
        ticks(1);
    }
    g_assert_true(out(t, 0));
}

/* A new count takes over at the end of the half-cycle. */
static void test_mode_3_new_count(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x36);
    set_count(t, CH0, 100);
    ticks(1 + 10);
    set_count(t, CH0, 40);
    ticks(39);
    g_assert_true(out(t, 0));
    ticks(1);
    g_assert_false(out(t, 0));
    ticks(19);
    g_assert_false(out(t, 0));
    ticks(1);
    g_assert_true(out(t, 0));
    ticks(20 + 5);
    set_count(t, CH0, 60);                      /* in a low half */
    ticks(14);
    g_assert_false(out(t, 0));
    ticks(1);
    g_assert_true(out(t, 0));
    ticks(29);
    g_assert_true(out(t, 0));
    ticks(1);
    g_assert_false(out(t, 0));
}

static void test_mode_3_gate(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, P61, 1);
    dev_outb(t, CTL, 0xb6);
    set_count(t, CH2, 100);
    ticks(1 + 60);
    g_assert_false(out(t, 2));
    dev_outb(t, P61, 0);
    g_assert_true(out(t, 2));
    ticks(77);
    set_count(t, CH2, 20);
    g_assert_true(out(t, 2));
    dev_outb(t, P61, 1);
    ticks(1 + 9);
    g_assert_true(out(t, 2));
    ticks(1);
    g_assert_false(out(t, 2));
}

static void test_mode_4(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x38);
    g_assert_cmpint(irq0->level, ==, 1);
    unsigned before = irq0->n_rising;

    set_count(t, CH0, 100);
    ticks(100);
    g_assert_true(out(t, 0));
    ticks(1);
    g_assert_false(out(t, 0));                  /* the strobe, N + 1 later */
    g_assert_cmpuint(latched(t, 0), ==, 0);
    ticks(1);
    g_assert_true(out(t, 0));
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    g_assert_cmphex(latched(t, 0), ==, 0xffff);
    ticks(200000);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    /* A new count retriggers it. */
    set_count(t, CH0, 100);
    ticks(50);
    set_count(t, CH0, 100);
    ticks(101);
    g_assert_false(out(t, 0));
}

static void test_mode_5(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0xba);
    set_count(t, CH2, 20);
    ticks(100);
    g_assert_true(out(t, 2));
    dev_outb(t, P61, 1);
    dev_outb(t, P61, 0);                        /* a level does not matter */
    ticks(20);
    g_assert_true(out(t, 2));
    ticks(1);
    g_assert_false(out(t, 2));
    ticks(1);
    g_assert_true(out(t, 2));
}

static void test_mode_aliases(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0xbc);                     /* 110: mode 2 */
    g_assert_cmphex(status(t, 2) & 0x0e, ==, 0x04);
    dev_outb(t, CTL, 0xbe);                     /* 111: mode 3 */
    g_assert_cmphex(status(t, 2) & 0x0e, ==, 0x06);
}

static void test_bcd(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x35);
    set_count(t, CH0, 0x1000);
    ticks(1);
    unsigned before = irq0->n_rising;

    g_assert_cmphex(latched(t, 0), ==, 0x1000);
    ticks(1);
    g_assert_cmphex(latched(t, 0), ==, 0x0999);
    ticks(999);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    g_assert_cmphex(status(t, 0) & 1, ==, 1);
    /* 0 is 10000, and below zero comes 9999. */
    dev_outb(t, CTL, 0x31);
    set_count(t, CH0, 0);
    ticks(1 + 10000);
    g_assert_true(out(t, 0));
    ticks(1);
    g_assert_cmphex(latched(t, 0), ==, 0x9999);
}

static void test_latch(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x34);
    set_count(t, CH0, 0x1234);
    ticks(1);
    dev_outb(t, CTL, 0x00);
    ticks(500);
    dev_outb(t, CTL, 0x00);                     /* ignored: one is held */
    g_assert_cmphex(dev_inb(t, CH0), ==, 0x34);
    g_assert_cmphex(dev_inb(t, CH0), ==, 0x12);
    /* Without a latch the bytes alternate. */
    g_assert_cmphex(dev_inb(t, CH0), ==, (0x1234 - 500) & 0xff);
    g_assert_cmphex(dev_inb(t, CH0), ==, (0x1234 - 500) >> 8);
    dev_outb(t, CTL, 0x14);                     /* LSB only */
    dev_outb(t, CH0, 200);
    ticks(1);
    dev_outb(t, CTL, 0x00);
    g_assert_cmpuint(dev_inb(t, CH0), ==, 200);
    g_assert_cmpuint(dev_inb(t, CH0), ==, 200);
}

static void test_read_back(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    for (int ch = 0; ch < 3; ch++) {
        dev_outb(t, CTL, ch << 6 | 0x34);
        set_count(t, CH0 + ch, 0x2000 + ch);
    }
    ticks(1);
    dev_outb(t, CTL, 0xce);                     /* status and count, of all */
    ticks(300);
    for (int ch = 0; ch < 3; ch++) {
        g_assert_cmphex(dev_inb(t, CH0 + ch), ==, 0xb4);
        g_assert_cmphex(dev_inb(t, CH0 + ch), ==, ch);
        g_assert_cmphex(dev_inb(t, CH0 + ch), ==, 0x20);
    }
    dev_outb(t, CTL, 0xd4);                     /* count of 1 alone */
    uint16_t val = dev_inb(t, CH1);

    val |= dev_inb(t, CH1) << 8;
    g_assert_cmphex(val, ==, 0x2001 - 300);
}

/* Interrupts fall on the ticks they belong to, however long it runs. */
static void test_no_drift(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x34);
    set_count(t, CH0, 1193);
    ticks(1);
    int64_t start = clock_ns(CLK_VIRTUAL);
    unsigned before = irq0->n_rising;

    clock_test_advance(3600 * NS_PER_SEC);
    int64_t n = (clock_ns(CLK_VIRTUAL) - start) * (__int128)PIT_HZ
                / NS_PER_SEC / 1193;
    g_assert_cmpint(ABS((int64_t)(irq0->n_rising - before) - n), <=, 1);
    ticks(1193 - (clock_ns(CLK_VIRTUAL) - start) * (__int128)PIT_HZ
                 / NS_PER_SEC % 1193);
    g_assert_cmpuint(latched(t, 0), ==, 1193);
}

/* A guest cannot keep the host busy with ever shorter periods. */
static void test_shortest_period(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    dev_outb(t, CTL, 0x14);
    for (int count = 1; count < 5; count++) {
        unsigned before = irq0->n_rising;

        dev_outb(t, CH0, count);
        clock_test_advance(NS_PER_SEC / 10);
        g_assert_cmpuint(irq0->n_rising - before, >, 1000);
        g_assert_cmpuint(irq0->n_rising - before, <, 6000);
    }
}

static void test_port_61(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);
    unsigned toggles = 0;
    uint8_t last;

    for (unsigned v = 0; v < 16; v++) {
        dev_outb(t, P61, 0xf0 | v);
        g_assert_cmphex(dev_inb(t, P61) & 0xcf, ==, v);
    }
    dev_outb(t, P61, 0);
    last = dev_inb(t, P61) & 0x10;
    for (int i = 0; i < 1800; i++) {
        ticks(1);
        if ((dev_inb(t, P61) & 0x10) != last) {
            last ^= 0x10;
            toggles++;
        }
    }
    g_assert_cmpuint(toggles, ==, 100);         /* every 18 ticks */
}

static unsigned n_nmi;

static void count_nmi(void)
{
    n_nmi++;
}

static void test_nmi_status(void)
{
    IrqProbe *irq0;
    g_autoptr(DevTest) t = new_pit(&irq0);

    machine_raise_nmi = count_nmi;
    n_nmi = 0;
    dev_outb(t, P61, 0x00);
    dev_test_line(t, 0, 1);                     /* IOCHK# */
    g_assert_cmphex(dev_inb(t, P61) & 0xc0, ==, 0x40);
    g_assert_cmpuint(n_nmi, ==, 1);
    dev_test_line(t, 1, 1);                     /* SERR# */
    g_assert_cmphex(dev_inb(t, P61) & 0xc0, ==, 0xc0);
    g_assert_cmpuint(n_nmi, ==, 2);
    dev_outb(t, P61, 0x08);
    g_assert_cmphex(dev_inb(t, P61) & 0xc0, ==, 0x80);
    dev_outb(t, P61, 0x0c);
    g_assert_cmphex(dev_inb(t, P61) & 0xc0, ==, 0x00);
    dev_test_line(t, 1, 1);                     /* switched off */
    g_assert_cmphex(dev_inb(t, P61) & 0xc0, ==, 0x00);
    g_assert_cmpuint(n_nmi, ==, 2);
    dev_outb(t, P61, 0x00);
    nmi_masked = true;
    dev_test_line(t, 1, 1);
    g_assert_cmphex(dev_inb(t, P61) & 0xc0, ==, 0x80);
    g_assert_cmpuint(n_nmi, ==, 2);
    nmi_masked = false;
    machine_raise_nmi = NULL;
}

/* The HPET has taken over IRQ 0: no edges, but channel 0 counts on. */
static void test_unheard(void)
{
    g_autoptr(DevTest) t = dev_test_new("isa-pit", NULL);
    IrqProbe *irq0 = dev_test_probe(t, "irq");

    dev_outb(t, CTL, 0x34);
    set_count(t, CH0, 1000);
    ticks(1);
    dev_test_line(t, 0, 1);
    unsigned before = irq0->n_rising;

    ticks(10300);
    g_assert_cmpuint(irq0->n_rising, ==, before);
    g_assert_cmpuint(latched(t, 0), ==, 700);
    dev_test_line(t, 0, 0);
    before = irq0->n_rising;
    ticks(700);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
}

/* The host looks again when a one-shot is long over. */
static void test_late_host(void)
{
    static const uint8_t controls[] = { 0x30, 0x34, 0x36, 0x38 };
    g_autoptr(DevTest) t = dev_test_new("isa-pit", NULL);
    IrqProbe *irq0 = dev_test_probe(t, "irq");

    for (unsigned i = 0; i < G_N_ELEMENTS(controls); i++) {
        dev_outb(t, CTL, controls[i]);
        dev_test_line(t, 0, 1);                 /* as if it did not come */
        unsigned before = irq0->n_rising;

        set_count(t, CH0, 15);
        ticks(100);
        latched(t, 0);
        dev_test_line(t, 0, 0);
        g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    }
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = dev_test_new("isa-pit", NULL);
    IrqProbe *irq0 = dev_test_probe(t, "irq");

    dev_outb(t, CTL, 0x34);
    set_count(t, CH0, 1000);
    ticks(1 + 300);
    dev_outb(t, CTL, 0x00);
    dev_inb(t, CH0);
    set_count(t, CH0, 500);
    dev_test_reload(t);
    unsigned before = irq0->n_rising;

    g_assert_cmphex(dev_inb(t, CH0), ==, 700 >> 8);
    ticks(699);
    g_assert_cmpuint(irq0->n_rising, ==, before);
    ticks(1);
    g_assert_cmpuint(irq0->n_rising, ==, before + 1);
    ticks(500);
    g_assert_cmpuint(irq0->n_rising, ==, before + 2);
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/i8254/reset", test_reset);
    g_test_add_func("/i8254/mode-0", test_mode_0);
    g_test_add_func("/i8254/mode-0-gate", test_mode_0_gate);
    g_test_add_func("/i8254/mode-1", test_mode_1);
    g_test_add_func("/i8254/mode-2", test_mode_2);
    g_test_add_func("/i8254/mode-2-gate", test_mode_2_gate);
    g_test_add_func("/i8254/mode-3", test_mode_3);
    g_test_add_func("/i8254/mode-3-new-count", test_mode_3_new_count);
    g_test_add_func("/i8254/mode-3-gate", test_mode_3_gate);
    g_test_add_func("/i8254/mode-4", test_mode_4);
    g_test_add_func("/i8254/mode-5", test_mode_5);
    g_test_add_func("/i8254/mode-aliases", test_mode_aliases);
    g_test_add_func("/i8254/bcd", test_bcd);
    g_test_add_func("/i8254/latch", test_latch);
    g_test_add_func("/i8254/read-back", test_read_back);
    g_test_add_func("/i8254/no-drift", test_no_drift);
    g_test_add_func("/i8254/shortest-period", test_shortest_period);
    g_test_add_func("/i8254/port-61", test_port_61);
    g_test_add_func("/i8254/nmi-status", test_nmi_status);
    g_test_add_func("/i8254/unheard", test_unheard);
    g_test_add_func("/i8254/late-host", test_late_host);
    g_test_add_func("/i8254/save-load", test_save_load);
    return g_test_run();
}
