/*
 * The real-time clock and its RAM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/irqchip.h"
#include "devtest.h"
#include "hw/rtc/mc146818.h"

enum { SEC, SEC_ALARM, MIN_, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, MDAY, MONTH,
       YEAR, A, B, C, D, CENTURY = 0x32 };

static uint8_t get(DevTest *t, uint8_t reg)
{
    dev_outb(t, 0x70, reg);
    return dev_inb(t, 0x71);
}

static void set(DevTest *t, uint8_t reg, uint8_t val)
{
    dev_outb(t, 0x70, reg);
    dev_outb(t, 0x71, val);
}

/* A clock that stands 500 ms before its next second (as datasheet says of one
 * whose divider was just started) at the BCD time given, 24 hours. */
static DevTest *new_rtc(const char *props, uint8_t hour, uint8_t min,
                        uint8_t sec)
{
    DevTest *t = dev_test_new("mc146818rtc", props ? props
                                                   : "base_year=2000");

    set(t, B, 0x82);
    set(t, A, 0x70);
    set(t, HOUR, hour);
    set(t, MIN_, min);
    set(t, SEC, sec);
    set(t, WDAY, 0x05);
    set(t, MDAY, 0x29);
    set(t, MONTH, 0x02);
    set(t, YEAR, 0x24);
    set(t, CENTURY, 0x20);
    set(t, A, 0x26);
    set(t, B, 0x02);
    get(t, C);
    return t;
}

static void expect_time(DevTest *t, unsigned h, unsigned m, unsigned s)
{
    g_assert_cmphex(get(t, HOUR), ==, h);
    g_assert_cmphex(get(t, MIN_), ==, m);
    g_assert_cmphex(get(t, SEC), ==, s);
}

static uint8_t bcd(unsigned v)
{
    return v / 10 << 4 | v % 10;
}

static void test_host_time(void)
{
    g_autoptr(DevTest) t = dev_test_new("mc146818rtc", "base_year=2000");
    g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc(
        clock_ns(CLK_RTC) / NS_PER_SEC);

    g_assert_cmphex(get(t, B), ==, 0x02);
    g_assert_cmphex(get(t, SEC), ==, bcd(g_date_time_get_second(now)));
    g_assert_cmphex(get(t, MIN_), ==, bcd(g_date_time_get_minute(now)));
    g_assert_cmphex(get(t, HOUR), ==, bcd(g_date_time_get_hour(now)));
    g_assert_cmphex(get(t, MDAY), ==, bcd(g_date_time_get_day_of_month(now)));
    g_assert_cmphex(get(t, MONTH), ==, bcd(g_date_time_get_month(now)));
    g_assert_cmphex(get(t, YEAR), ==, bcd(g_date_time_get_year(now) % 100));
    g_assert_cmphex(get(t, CENTURY), ==, bcd(g_date_time_get_year(now) / 100));
    g_assert_cmphex(get(t, WDAY), ==, g_date_time_get_day_of_week(now) % 7 + 1);
    g_assert_cmpint(get(t, D), ==, 0x80);
}

static void test_counting(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x23, 0x59, 0x58);

    expect_time(t, 0x23, 0x59, 0x58);
    dev_advance(NS_PER_SEC / 2 - 1);
    expect_time(t, 0x23, 0x59, 0x58);
    dev_advance(1);
    expect_time(t, 0x23, 0x59, 0x59);
    g_assert_cmphex(get(t, WDAY), ==, 0x05);
    dev_advance(NS_PER_SEC);
    expect_time(t, 0x00, 0x00, 0x00);
    /* A leap day has passed. */
    g_assert_cmphex(get(t, WDAY), ==, 0x06);
    g_assert_cmphex(get(t, MDAY), ==, 0x01);
    g_assert_cmphex(get(t, MONTH), ==, 0x03);
    g_assert_cmphex(get(t, YEAR), ==, 0x24);
    g_assert_cmphex(get(t, CENTURY), ==, 0x20);
    g_assert_cmphex(get(t, 0x37), ==, 0x20);    /* the PS/2 place */
}

static void test_century(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x23, 0x59, 0x59);

    set(t, B, 0x82);
    set(t, MONTH, 0x12);
    set(t, MDAY, 0x31);
    set(t, YEAR, 0x99);
    set(t, 0x37, 0x19);
    set(t, B, 0x02);
    dev_advance(NS_PER_SEC);
    g_assert_cmphex(get(t, YEAR), ==, 0x00);
    g_assert_cmphex(get(t, CENTURY), ==, 0x20);
    g_assert_cmphex(get(t, MONTH), ==, 0x01);
}

/* base_year=1980: the year register counts from there. */
static void test_base_year(void)
{
    g_autoptr(DevTest) t = new_rtc("base_year=1980", 0x23, 0x59, 0x59);

    set(t, B, 0x82);
    set(t, MONTH, 0x12);
    set(t, MDAY, 0x31);
    set(t, YEAR, 0x19);                 /* 1999 */
    set(t, CENTURY, 0x19);
    set(t, B, 0x02);
    dev_advance(NS_PER_SEC);
    g_assert_cmphex(get(t, YEAR), ==, 0x20);
    g_assert_cmphex(get(t, CENTURY), ==, 0x20);
}

static void test_binary_and_12_hours(void)
{
    static const struct { uint8_t b, in, out; } rows[] = {
        { 0x02, 0x23, 0x00 }, { 0x06, 23, 0 },
        { 0x00, 0x91, 0x12 }, { 0x04, 0x8b, 12 },       /* 11 PM: 12 AM */
        { 0x00, 0x11, 0x92 }, { 0x04, 11, 0x8c },       /* 11 AM: 12 PM */
        { 0x00, 0x12, 0x01 }, { 0x04, 12, 1 },          /* 12 AM: 1 AM */
        { 0x00, 0x92, 0x81 }, { 0x04, 0x8c, 0x81 },     /* 12 PM: 1 PM */
        { 0x02, 0x09, 0x10 }, { 0x06, 9, 10 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(DevTest) t = new_rtc(NULL, 0, 0, 0);
        bool is_bcd = !(rows[i].b & 4);

        set(t, B, rows[i].b | 0x80);
        set(t, HOUR, rows[i].in);
        set(t, MIN_, is_bcd ? 0x59 : 59);
        set(t, SEC, is_bcd ? 0x59 : 59);
        set(t, MDAY, 1);
        set(t, WDAY, 1);
        set(t, MONTH, is_bcd ? 0x10 : 10);
        set(t, YEAR, is_bcd ? 0x30 : 30);
        set(t, CENTURY, is_bcd ? 0x20 : 20);
        set(t, B, rows[i].b);
        g_assert_cmphex(get(t, B), ==, rows[i].b);
        dev_advance(NS_PER_SEC);
        expect_time(t, rows[i].out, 0, 0);
        g_assert_cmphex(get(t, MONTH), ==, is_bcd ? 0x10 : 10);
        g_assert_cmphex(get(t, YEAR), ==, is_bcd ? 0x30 : 30);
    }
}

static void test_set_stops(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x00, 0x00);

    set(t, B, 0x92);
    g_assert_cmphex(get(t, B), ==, 0x82);       /* SET clears UIE */
    dev_advance(10 * NS_PER_SEC);
    expect_time(t, 0x12, 0x00, 0x00);
    g_assert_cmphex(get(t, C), ==, 0x40);       /* PF: that counts on */
    set(t, B, 0x02);
    dev_advance(NS_PER_SEC);
    expect_time(t, 0x12, 0x00, 0x01);
    /* A divider in reset stops it too, and starts with half a second. */
    set(t, A, 0x66);
    dev_advance(10 * NS_PER_SEC);
    expect_time(t, 0x12, 0x00, 0x01);
    g_assert_cmphex(get(t, A), ==, 0x66);
    set(t, A, 0x26);
    dev_advance(NS_PER_SEC / 2);
    expect_time(t, 0x12, 0x00, 0x02);
}

static void test_write_while_running(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x00, 0x00);

    /* One at a time, through a date that does not exist. */
    set(t, MDAY, 0x31);
    set(t, MONTH, 0x05);
    g_assert_cmphex(get(t, MDAY), ==, 0x31);
    dev_advance(NS_PER_SEC);
    g_assert_cmphex(get(t, MDAY), ==, 0x31);
    g_assert_cmphex(get(t, MONTH), ==, 0x05);
    expect_time(t, 0x12, 0x00, 0x01);
}

static void test_uip(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x00, 0x00);

    g_assert_cmphex(get(t, A), ==, 0x26);
    dev_advance(NS_PER_SEC / 2 - 244 * NS_PER_US - 1);
    g_assert_cmphex(get(t, A), ==, 0x26);
    dev_advance(1);
    g_assert_cmphex(get(t, A), ==, 0xa6);
    g_assert_cmphex(get(t, SEC), ==, 0x00);
    dev_advance(244 * NS_PER_US - 1);
    g_assert_cmphex(get(t, A), ==, 0xa6);
    dev_advance(1);
    g_assert_cmphex(get(t, A), ==, 0x26);
    g_assert_cmphex(get(t, SEC), ==, 0x01);
    set(t, A, 0xa6);                            /* UIP is read-only */
    g_assert_cmphex(get(t, A), ==, 0x26);
    dev_advance(NS_PER_SEC - NS_PER_US);
    set(t, B, 0x82);                            /* none while SET */
    g_assert_cmphex(get(t, A), ==, 0x26);
}

static void test_update_interrupt(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x00, 0x00);
    IrqProbe *irq = dev_test_probe(t, "irq");

    /* The flag comes without the interrupt ... */
    dev_advance(NS_PER_SEC);
    g_assert_cmphex(get(t, C) & 0x90, ==, 0x10);
    g_assert_cmphex(get(t, C) & 0x90, ==, 0x00);
    g_assert_cmpint(irq->level, ==, 0);
    set(t, A, 0x20);
    get(t, C);
    set(t, B, 0x12);
    dev_advance(NS_PER_SEC / 2);
    g_assert_cmpint(irq->level, ==, 1);
    g_assert_cmphex(get(t, C), ==, 0x90);
    g_assert_cmpint(irq->level, ==, 0);
    for (int i = 0; i < 5; i++) {
        dev_advance(NS_PER_SEC);
        g_assert_cmphex(get(t, C), ==, 0x90);
    }
    g_assert_cmpuint(irq->n_rising, ==, 6);
    /* ... and enabling it afterwards raises it at once. */
    set(t, B, 0x02);
    dev_advance(NS_PER_SEC);
    g_assert_cmpint(irq->level, ==, 0);
    set(t, B, 0x12);
    g_assert_cmpint(irq->level, ==, 1);
}

static void alarm_at(uint8_t h, uint8_t m, uint8_t s, unsigned after_sec)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x34, 0x56);
    IrqProbe *irq = dev_test_probe(t, "irq");

    set(t, HOUR_ALARM, h);
    set(t, MIN_ALARM, m);
    set(t, SEC_ALARM, s);
    set(t, A, 0x20);
    set(t, B, 0x22);
    get(t, C);
    dev_advance(NS_PER_SEC / 2 + (after_sec - 1) * NS_PER_SEC - 1);
    g_assert_cmpint(irq->level, ==, 0);
    dev_advance(1);
    g_assert_cmpint(irq->level, ==, 1);
    g_assert_cmphex(get(t, C) & 0xe0, ==, 0xa0);
    g_assert_cmpint(irq->level, ==, 0);
}

static void test_alarm(void)
{
    alarm_at(0x12, 0x34, 0x57, 1);
    alarm_at(0x12, 0x35, 0x00, 4);
    alarm_at(0x13, 0x00, 0x00, 25 * 60 + 4);
    alarm_at(0x12, 0x34, 0x56, 86400);
    alarm_at(0x00, 0x00, 0x00, 11 * 3600 + 25 * 60 + 4);
    alarm_at(0xff, 0xff, 0xff, 1);              /* every second */
    alarm_at(0xff, 0xff, 0x00, 4);              /* each minute */
    alarm_at(0xff, 0x00, 0x00, 25 * 60 + 4);    /* each hour */
    alarm_at(0xc0, 0x33, 0xff, 58 * 60 + 4);
}

static void test_alarm_never(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x34, 0x56);
    IrqProbe *irq = dev_test_probe(t, "irq");

    set(t, HOUR_ALARM, 0x25);
    set(t, MIN_ALARM, 0xff);
    set(t, SEC_ALARM, 0xff);
    set(t, B, 0x22);
    dev_advance(3 * 86400 * NS_PER_SEC);
    g_assert_cmpint(irq->level, ==, 0);
    set(t, HOUR_ALARM, 0xff);                   /* polled, without AIE */
    set(t, B, 0x02);
    get(t, C);
    dev_advance(2 * NS_PER_SEC);
    g_assert_cmphex(get(t, C) & 0x20, ==, 0x20);
}

static void test_periodic(void)
{
    /* Interrupts in a second, by rate selection. */
    static const unsigned rates[] = { 0, 256, 128, 8192, 4096, 2048, 1024,
                                      512, 256, 128, 64, 32, 16, 8, 4, 2 };
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x00, 0x00);
    IrqProbe *irq = dev_test_probe(t, "irq");

    for (unsigned rs = 0; rs < 16; rs++) {
        unsigned got = 0;

        set(t, A, 0x20 | rs);
        set(t, B, 0x42);
        get(t, C);
        for (int i = 0; i < 16384; i++) {
            dev_advance(NS_PER_SEC / 16384 + (i % 2));
            if (irq->level) {
                g_assert_cmphex(get(t, C) & 0xc0, ==, 0xc0);
                got++;
            }
        }
        g_assert_cmpuint(got, >=, rates[rs] - !!rates[rs]);
        g_assert_cmpuint(got, <=, rates[rs] + !!rates[rs]);
        set(t, B, 0x02);
        g_assert_cmpint(irq->level, ==, 0);
    }
    /* Not read: one edge, no matter how many periods. */
    set(t, A, 0x26);
    set(t, B, 0x42);
    unsigned edges = irq->n_rising;

    dev_advance(NS_PER_SEC);
    g_assert_cmpuint(irq->n_rising, <=, edges + 1);
    get(t, C);
    edges = irq->n_rising;
    dev_advance(NS_PER_SEC);
    g_assert_cmpuint(irq->n_rising, ==, edges + 1);
}

/* lost_tick_policy=slew: a guest that was away gets its ticks later. */
static void test_slew(void)
{
    g_autoptr(DevTest) t = new_rtc("lost_tick_policy=slew", 0x12, 0, 0);
    IrqProbe *irq = dev_test_probe(t, "irq");
    unsigned got = 0;

    set(t, A, 0x2a);                            /* 64 Hz */
    set(t, B, 0x42);
    get(t, C);
    dev_advance(NS_PER_SEC);                    /* not looking */
    for (int i = 0; i < 1000; i++) {
        dev_advance(NS_PER_MS);
        if (irq->level) {
            get(t, C);
            got++;
        }
    }
    g_assert_cmpuint(got, >=, 127);
    g_assert_cmpuint(got, <=, 129);
}

static void test_ram_and_ports(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0, 0, 0);

    for (unsigned i = 0x0e; i < 0x80; i++) {
        if (i != CENTURY && i != 0x37) {
            set(t, i, i ^ 0x5a);
        }
    }
    for (unsigned i = 0x0e; i < 0x80; i++) {
        if (i != CENTURY && i != 0x37) {
            g_assert_cmphex(get(t, i), ==, i ^ 0x5a);
        }
    }
    rtc_cmos_set(t->dev, 0x34, 0x80);
    g_assert_cmphex(get(t, 0x34), ==, 0x80);
    g_assert_cmphex(rtc_cmos_get(t->dev, 0x35), ==, 0x35 ^ 0x5a);
    g_assert_cmphex(dev_inb(t, 0x70), ==, 0xff);
    set(t, C, 0xff);                            /* read-only */
    set(t, D, 0x00);
    g_assert_cmphex(get(t, C) & 0x8f, ==, 0);
    g_assert_cmphex(get(t, D), ==, 0x80);
}

static void test_nmi_mask(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0, 0, 0);

    dev_outb(t, 0x70, 0x8f);
    g_assert_true(nmi_masked);
    dev_outb(t, 0x70, 0x0f);
    g_assert_false(nmi_masked);
    g_assert_cmphex(get(t, 0x80 | D), ==, 0x80);
    device_reset(t->dev);
    g_assert_false(nmi_masked);
}

static void test_reset_keeps_time(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x34, 0x56);

    set(t, 0x40, 0x99);
    set(t, B, 0x7e);
    device_reset(t->dev);
    g_assert_cmphex(get(t, B), ==, 0x06);       /* DM and 24/12 stay */
    g_assert_cmphex(get(t, C), ==, 0x00);
    g_assert_cmphex(get(t, 0x40), ==, 0x99);
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_rtc(NULL, 0x12, 0x34, 0x56);
    IrqProbe *irq = dev_test_probe(t, "irq");

    set(t, A, 0x20);
    set(t, B, 0x12);
    get(t, C);
    dev_advance(NS_PER_MS);
    dev_test_reload(t);
    dev_advance(NS_PER_SEC / 2 - NS_PER_MS - 1);
    g_assert_cmpint(irq->level, ==, 0);
    dev_advance(1);
    g_assert_cmpint(irq->level, ==, 1);
    expect_time(t, 0x12, 0x34, 0x57);
    dev_test_reload(t);
    g_assert_cmpint(irq->level, ==, 1);
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/mc146818/host-time", test_host_time);
    g_test_add_func("/mc146818/counting", test_counting);
    g_test_add_func("/mc146818/century", test_century);
    g_test_add_func("/mc146818/base-year", test_base_year);
    g_test_add_func("/mc146818/binary-and-12-hours", test_binary_and_12_hours);
    g_test_add_func("/mc146818/set-stops", test_set_stops);
    g_test_add_func("/mc146818/write-while-running", test_write_while_running);
    g_test_add_func("/mc146818/uip", test_uip);
    g_test_add_func("/mc146818/update-interrupt", test_update_interrupt);
    g_test_add_func("/mc146818/alarm", test_alarm);
    g_test_add_func("/mc146818/alarm-never", test_alarm_never);
    g_test_add_func("/mc146818/periodic", test_periodic);
    g_test_add_func("/mc146818/slew", test_slew);
    g_test_add_func("/mc146818/ram-and-ports", test_ram_and_ports);
    g_test_add_func("/mc146818/nmi-mask", test_nmi_mask);
    g_test_add_func("/mc146818/reset-keeps-time", test_reset_keeps_time);
    g_test_add_func("/mc146818/save-load", test_save_load);
    return g_test_run();
}
