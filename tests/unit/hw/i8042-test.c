/*
 * The 8042 with its keyboard and mouse.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "devtest.h"
#include "hw/input/i8042.h"

enum { DATA = 0x60, CMD = 0x64 };
enum { OBF = 0x01, SYS = 0x04, CMD_BIT = 0x08, AUX = 0x20 };

static bool a20;
static void set_a20(bool on)
{
    a20 = on;
}

static unsigned n_resets;

/* Reset requests reach the machine through its loop: count them here. */
void __wrap_machine_request_reset(ShutdownCause why);
void __wrap_machine_request_reset(ShutdownCause why)
{
    n_resets++;
}

static DevTest *new_kbc(void)
{
    machine_set_a20 = set_a20;
    n_resets = 0;
    return dev_test_new("i8042", NULL);
}

static void cmd(DevTest *t, uint8_t c)
{
    dev_outb(t, CMD, c);
}

static void cmd2(DevTest *t, uint8_t c, uint8_t param)
{
    dev_outb(t, CMD, c);
    dev_outb(t, DATA, param);
}

/* The next byte, which must be there and come from where it should. */
static uint8_t get(DevTest *t)
{
    g_assert_cmphex(dev_inb(t, CMD) & (OBF | AUX), ==, OBF);
    return dev_inb(t, DATA);
}

static uint8_t get_aux(DevTest *t)
{
    g_assert_cmphex(dev_inb(t, CMD) & (OBF | AUX), ==, OBF | AUX);
    return dev_inb(t, DATA);
}

static void none(DevTest *t)
{
    g_assert_cmphex(dev_inb(t, CMD) & OBF, ==, 0);
}

static void expect(DevTest *t, const char *hex)
{
    g_auto(GStrv) bytes = g_strsplit(hex, " ", -1);

    for (char **b = bytes; *b && **b; b++) {
        g_assert_cmphex(get(t), ==, strtoul(*b, NULL, 16));
        dev_advance(NS_PER_MS);
    }
    none(t);
}

static void expect_aux(DevTest *t, const char *hex)
{
    g_auto(GStrv) bytes = g_strsplit(hex, " ", -1);

    for (char **b = bytes; *b && **b; b++) {
        g_assert_cmphex(get_aux(t), ==, strtoul(*b, NULL, 16));
        dev_advance(NS_PER_MS);
    }
}

static void kbd(DevTest *t, uint8_t byte, const char *answer)
{
    dev_outb(t, DATA, byte);
    expect(t, answer);
}

static void mouse(DevTest *t, uint8_t byte, const char *answer)
{
    cmd2(t, 0xd4, byte);
    expect_aux(t, answer);
}

/* --- controller --------------------------------------------------------------- */

static void test_reset(void)
{
    g_autoptr(DevTest) t = new_kbc();

    g_assert_cmphex(dev_inb(t, CMD), ==, 0x18);
    cmd(t, 0x20);
    g_assert_cmphex(get(t), ==, 0x43);
    g_assert_true(a20);
}

static void test_status(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd(t, 0xaa);
    g_assert_cmphex(dev_inb(t, CMD), ==, 0x1d);     /* CMD, SYS, OBF */
    g_assert_cmphex(dev_inb(t, DATA), ==, 0x55);
    g_assert_cmphex(dev_inb(t, CMD), ==, 0x1c);
    g_assert_cmphex(dev_inb(t, DATA), ==, 0x55);    /* stays in the buffer */
    dev_outb(t, DATA, 0xee);
    g_assert_cmphex(dev_inb(t, CMD), ==, 0x15);
    g_assert_cmphex(dev_inb(t, DATA), ==, 0xee);
    cmd2(t, 0xd3, 0x5a);
    g_assert_cmphex(dev_inb(t, CMD), ==, 0x35);
    g_assert_cmphex(get_aux(t), ==, 0x5a);
    cmd2(t, 0x60, 0x43);
    g_assert_cmphex(dev_inb(t, CMD) & SYS, ==, 0);
    cmd2(t, 0x60, 0x47);
    g_assert_cmphex(dev_inb(t, CMD) & SYS, ==, SYS);
}

static void test_ram(void)
{
    g_autoptr(DevTest) t = new_kbc();

    for (unsigned i = 0; i < 32; i++) {
        cmd2(t, 0x60 + i, 0x80 | i);
    }
    for (unsigned i = 1; i < 32; i++) {
        cmd(t, 0x20 + i);
        g_assert_cmphex(get(t), ==, 0x80 | i);
    }
    for (unsigned v = 0; v < 256; v++) {
        cmd2(t, 0x60, v);
        cmd(t, 0x20);
        g_assert_cmphex(get(t), ==, v);
    }
}

static void test_simple_commands(void)
{
    static const struct { uint8_t cmd, answer; } rows[] = {
        { 0xa4, 0xf1 }, { 0xa9, 0x00 }, { 0xaa, 0x55 }, { 0xab, 0x00 },
        { 0xaf, 0x00 }, { 0xc0, 0x80 }, { 0xe0, 0x03 },
    };
    g_autoptr(DevTest) t = new_kbc();

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        cmd(t, rows[i].cmd);
        g_assert_cmphex(get(t), ==, rows[i].answer);
    }
    cmd(t, 0xa5);                               /* a password, ended by 0 */
    dev_outb(t, DATA, 0x1e);
    dev_outb(t, DATA, 0x1f);
    dev_outb(t, DATA, 0x00);
    kbd(t, 0xee, "ee");
    cmd(t, 0xbb);                               /* unknown */
    none(t);
}

static void test_disable_bits(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd(t, 0xad);
    cmd(t, 0x20);
    g_assert_cmphex(get(t), ==, 0x53);
    ps2_kbd_key(t->dev, 0x1e, true);
    none(t);
    cmd(t, 0xae);
    expect(t, "1e");
    cmd(t, 0xa7);
    cmd(t, 0x20);
    g_assert_cmphex(get(t), ==, 0x63);
    cmd(t, 0xa8);
    cmd(t, 0x20);
    g_assert_cmphex(get(t), ==, 0x43);
    /* Writing to a device switches it on. */
    cmd(t, 0xad);
    kbd(t, 0xee, "ee");
    cmd(t, 0xa7);
    mouse(t, 0xe6, "fa");
    cmd(t, 0x20);
    g_assert_cmphex(get(t), ==, 0x43);
}

static void test_output_port(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd(t, 0xd0);
    g_assert_cmphex(get(t), ==, 0xcf);
    cmd2(t, 0xd1, 0xcd);
    g_assert_false(a20);
    cmd(t, 0xd0);
    g_assert_cmphex(get(t), ==, 0xcd);
    cmd(t, 0xdf);
    g_assert_true(a20);
    cmd(t, 0xdd);
    g_assert_false(a20);
    cmd2(t, 0xd1, 0xdf);
    g_assert_true(a20);
    g_assert_cmpuint(n_resets, ==, 0);
    cmd2(t, 0xd1, 0xde);
    g_assert_cmpuint(n_resets, ==, 1);
    /* OBF bits */
    cmd2(t, 0xd2, 0x11);
    cmd(t, 0xd0);
    get(t);
    g_assert_cmphex(get(t), ==, 0xdf);
}

static void test_pulse(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd(t, 0xff);
    cmd(t, 0xf1);
    g_assert_cmpuint(n_resets, ==, 0);
    cmd(t, 0xfe);
    g_assert_cmpuint(n_resets, ==, 1);
    cmd(t, 0xf0);
    g_assert_cmpuint(n_resets, ==, 2);
}

static void test_interrupts(void)
{
    g_autoptr(DevTest) t = new_kbc();
    IrqProbe *irq1 = &t->lines[1], *irq12 = &t->lines[12];

    cmd2(t, 0xd2, 0x11);
    g_assert_cmpint(irq1->level, ==, 1);
    g_assert_cmpint(irq12->level, ==, 0);
    get(t);
    g_assert_cmpint(irq1->level, ==, 0);
    cmd2(t, 0xd3, 0x11);
    g_assert_cmpint(irq1->level, ==, 0);
    g_assert_cmpint(irq12->level, ==, 1);
    get_aux(t);
    g_assert_cmpint(irq12->level, ==, 0);
    cmd2(t, 0x60, 0x00);
    cmd2(t, 0xd2, 0x11);
    g_assert_cmpint(irq1->level, ==, 0);
    cmd2(t, 0x60, 0x01);                        /* enabled while it is full */
    g_assert_cmpint(irq1->level, ==, 1);
    get(t);
    cmd2(t, 0xd3, 0x11);
    g_assert_cmpint(irq12->level, ==, 0);
    cmd2(t, 0x60, 0x02);
    g_assert_cmpint(irq12->level, ==, 1);
    get_aux(t);
    /* An edge for each byte of an answer. */
    cmd2(t, 0x60, 0x01);
    unsigned edges = irq1->n_rising;

    kbd(t, 0xf2, "fa ab 83");
    g_assert_cmpuint(irq1->n_rising, ==, edges + 3);
}

static void test_throttle(void)
{
    g_autoptr(DevTest) t = new_kbc();

    ps2_kbd_key(t->dev, 0x1e, true);
    ps2_kbd_key(t->dev, 0x1e, false);
    g_assert_cmphex(get(t), ==, 0x1e);
    none(t);
    g_assert_cmphex(dev_inb(t, DATA), ==, 0x1e);        /* read twice */
    dev_advance(499 * NS_PER_US);
    none(t);
    dev_outb(t, DATA, 0xee);                    /* an answer does not wait */
    g_assert_cmphex(get(t), ==, 0xee);
    dev_advance(NS_PER_US);
    g_assert_cmphex(get(t), ==, 0x9e);

    g_autoptr(DevTest) fast = dev_test_new("i8042", "kbd-throttle=off");

    g_assert_nonnull(fast);
}

/* --- keyboard ------------------------------------------------------------------ */

static void press(DevTest *t, uint8_t key)
{
    ps2_kbd_key(t->dev, key, true);
    ps2_kbd_key(t->dev, key, false);
}

static void test_translated(void)
{
    g_autoptr(DevTest) t = new_kbc();

    for (unsigned key = 1; key <= 0x58; key++) {
        if (key == 0x55) {
            continue;
        }
        press(t, key);
        g_assert_cmphex(get(t), ==, key);
        dev_advance(NS_PER_MS);
        g_assert_cmphex(get(t), ==, key | 0x80);
        dev_advance(NS_PER_MS);
        none(t);
    }
    press(t, 0xc8);
    expect(t, "e0 48 e0 c8");
    press(t, 0x9d);
    expect(t, "e0 1d e0 9d");
    press(t, PS2_KEY_PAUSE);
    expect(t, "e1 1d 45 e1 9d c5");
    press(t, PS2_KEY_PRINT);
    expect(t, "e0 2a e0 37 e0 b7 e0 aa");
}

static void test_set_2(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd2(t, 0x60, 0x03);
    press(t, 0x1e);
    expect(t, "1c f0 1c");
    press(t, 0x41);
    expect(t, "83 f0 83");
    press(t, 0x01);
    expect(t, "76 f0 76");
    press(t, 0xc8);
    expect(t, "e0 75 e0 f0 75");
    press(t, PS2_KEY_PAUSE);
    expect(t, "e1 14 77 e1 f0 14 f0 77");
    press(t, PS2_KEY_PRINT);
    expect(t, "e0 12 e0 7c e0 f0 7c e0 f0 12");
    ps2_kbd_key(t->dev, 0x38, true);            /* Alt: SysRq */
    press(t, PS2_KEY_PRINT);
    ps2_kbd_key(t->dev, 0x38, false);
    expect(t, "11 84 f0 84 f0 11");
    ps2_kbd_key(t->dev, 0x1d, true);            /* Ctrl: Break */
    press(t, PS2_KEY_PAUSE);
    ps2_kbd_key(t->dev, 0x1d, false);
    expect(t, "14 e0 7e e0 f0 7e f0 14");
    ps2_kbd_key(t->dev, 0x2a, true);
    press(t, PS2_KEY_PRINT);
    ps2_kbd_key(t->dev, 0x2a, false);
    expect(t, "12 e0 7c e0 f0 7c f0 12");
}

static void test_set_1(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd2(t, 0x60, 0x03);
    kbd(t, 0xf0, "fa");
    kbd(t, 0x01, "fa");
    kbd(t, 0xf0, "fa");
    kbd(t, 0x00, "fa 01");
    press(t, 0x1e);
    expect(t, "1e 9e");
    press(t, 0xc8);
    expect(t, "e0 48 e0 c8");
    press(t, PS2_KEY_PAUSE);
    expect(t, "e1 1d 45 e1 9d c5");
    press(t, PS2_KEY_PRINT);
    expect(t, "e0 2a e0 37 e0 b7 e0 aa");
}

static void test_set_3(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd2(t, 0x60, 0x03);
    kbd(t, 0xf0, "fa");
    kbd(t, 0x03, "fa");
    press(t, 0x1e);                             /* typematic: make alone */
    expect(t, "1c");
    press(t, 0x2a);                             /* shift: make and break */
    expect(t, "12 f0 12");
    press(t, 0xc8);
    expect(t, "63");
    press(t, PS2_KEY_PAUSE);
    expect(t, "62");
    press(t, PS2_KEY_PRINT);
    expect(t, "57");
    kbd(t, 0xfa, "fa");                         /* all: typematic, both */
    press(t, 0x1e);
    expect(t, "1c f0 1c");
    kbd(t, 0xf9, "fa");                         /* all: make */
    press(t, 0x2a);
    expect(t, "12");
    kbd(t, 0xf8, "fa");                         /* all: make and break */
    press(t, 0x1e);
    expect(t, "1c f0 1c");
    ps2_kbd_key(t->dev, 0x1e, true);
    expect(t, "1c");
    dev_advance(NS_PER_SEC);
    none(t);
    ps2_kbd_key(t->dev, 0x1e, false);
    expect(t, "f0 1c");
    kbd(t, 0xf7, "fa");                         /* all: typematic */
    press(t, 0x2a);
    expect(t, "12");
    kbd(t, 0xfc, "fa");                         /* these: make and break */
    kbd(t, 0x1c, "fa");
    kbd(t, 0x8b, "fa");
    kbd(t, 0xfd, "fa");                         /* these: make */
    kbd(t, 0x1b, "fa");
    kbd(t, 0xfb, "fa");                         /* these: typematic */
    kbd(t, 0x23, "fa");
    kbd(t, 0xf4, "fa");
    press(t, 0x1e);
    expect(t, "1c f0 1c");
    press(t, 0xdb);
    expect(t, "8b f0 8b");
    press(t, 0x1f);
    expect(t, "1b");
}

static void test_kbd_commands(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd2(t, 0x60, 0x03);
    kbd(t, 0xff, "fa aa");
    kbd(t, 0xf2, "fa ab 83");
    kbd(t, 0xee, "ee");
    kbd(t, 0xfe, "ee");
    kbd(t, 0xed, "fa");
    kbd(t, 0x07, "fa");
    g_assert_cmphex(ps2_kbd_leds(t->dev), ==, 7);
    kbd(t, 0xed, "fa");
    kbd(t, 0xf2, "fa ab 83");                   /* in place of a parameter */
    g_assert_cmphex(ps2_kbd_leds(t->dev), ==, 7);
    kbd(t, 0xef, "fe");
    kbd(t, 0xf1, "fe");
    kbd(t, 0x12, "fe");
    kbd(t, 0xf0, "fa");
    kbd(t, 0x04, "fe");
    kbd(t, 0xf0, "fa");
    kbd(t, 0x00, "fa 02");
    /* Scanning off and on; default settings. */
    kbd(t, 0xf5, "fa");
    press(t, 0x1e);
    none(t);
    kbd(t, 0xf4, "fa");
    press(t, 0x1e);
    expect(t, "1c f0 1c");
    kbd(t, 0xf0, "fa");
    kbd(t, 0x01, "fa");
    kbd(t, 0xf6, "fa");
    kbd(t, 0xf0, "fa");
    kbd(t, 0x00, "fa 02");
    kbd(t, 0xff, "fa aa");
    g_assert_cmphex(ps2_kbd_leds(t->dev), ==, 0);
    /* The id, as translation has it: what Linux looks for. */
    cmd2(t, 0x60, 0x43);
    kbd(t, 0xf2, "fa ab 41");
}

static unsigned repeats_in(DevTest *t, int64_t ns)
{
    unsigned n = 0;

    for (int64_t i = 0; i < ns / NS_PER_MS; i++) {
        dev_advance(NS_PER_MS);
        if (dev_inb(t, CMD) & OBF) {
            g_assert_cmphex(dev_inb(t, DATA), ==, 0x1e);
            n++;
        }
    }
    return n;
}

static void test_typematic(void)
{
    g_autoptr(DevTest) t = new_kbc();

    ps2_kbd_key(t->dev, 0x1e, true);
    ps2_kbd_key(t->dev, 0x1e, true);            /* the host's own repeat */
    g_assert_cmphex(get(t), ==, 0x1e);
    g_assert_cmpuint(repeats_in(t, 499 * NS_PER_MS), ==, 0);
    g_assert_cmpuint(repeats_in(t, 1001 * NS_PER_MS), ==, 11);
    ps2_kbd_key(t->dev, 0x1e, false);
    dev_advance(NS_PER_MS);
    expect(t, "9e");
    kbd(t, 0xf3, "fa");
    kbd(t, 0x60, "fa");                         /* 30 a second after 1 s */
    ps2_kbd_key(t->dev, 0x1e, true);
    g_assert_cmpuint(repeats_in(t, 999 * NS_PER_MS), ==, 1);
    g_assert_cmpuint(repeats_in(t, 1000 * NS_PER_MS), ==, 30);
    ps2_kbd_key(t->dev, 0x1f, true);            /* another takes over */
    expect(t, "1f");
    ps2_kbd_key(t->dev, 0x1e, false);
    expect(t, "9e");
    dev_advance(NS_PER_SEC);
    g_assert_cmphex(get(t), ==, 0x1f);
}

/* Sixteen bytes are kept; then a code says that keys were lost. */
static void test_kbd_overrun(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd2(t, 0x60, 0x03);
    for (int i = 0; i < 40; i++) {
        ps2_kbd_key(t->dev, 0x1e, !(i & 1));
    }
    unsigned n = 0;
    uint8_t last = 0xff;

    while (dev_inb(t, CMD) & OBF) {
        last = dev_inb(t, DATA);
        dev_advance(NS_PER_MS);
        n++;
    }
    g_assert_cmpuint(n, <=, 17);
    g_assert_cmphex(last, ==, 0x00);
}

/* --- mouse ---------------------------------------------------------------------- */

static void test_mouse_commands(void)
{
    g_autoptr(DevTest) t = new_kbc();

    mouse(t, 0xff, "fa aa 00");
    mouse(t, 0xf2, "fa 00");
    mouse(t, 0xe9, "fa 00 02 64");
    mouse(t, 0xe8, "fa");
    mouse(t, 0x03, "fa");
    mouse(t, 0xe8, "fa");
    mouse(t, 0x04, "fe");
    mouse(t, 0xf3, "fa");
    mouse(t, 0x28, "fa");
    mouse(t, 0xf3, "fa");
    mouse(t, 0x29, "fe");
    mouse(t, 0xe7, "fa");
    mouse(t, 0xf4, "fa");
    mouse(t, 0xe9, "fa 30 03 28");
    mouse(t, 0xe6, "fa");
    mouse(t, 0xf5, "fa");
    mouse(t, 0xf0, "fa");
    mouse(t, 0xe9, "fa 40 03 28");
    mouse(t, 0xea, "fa");
    mouse(t, 0xe9, "fa 00 03 28");
    mouse(t, 0xfe, "28");
    mouse(t, 0xf6, "fa");
    mouse(t, 0xe9, "fa 00 02 64");
    mouse(t, 0xe1, "fe");
    ps2_mouse_event(t->dev, 0, 0, 0, PS2_BUTTON_LEFT | PS2_BUTTON_RIGHT);
    mouse(t, 0xe9, "fa 05 02 64");
    ps2_mouse_event(t->dev, 0, 0, 0, PS2_BUTTON_MIDDLE);
    mouse(t, 0xe9, "fa 02 02 64");
}

static void test_mouse_wrap(void)
{
    g_autoptr(DevTest) t = new_kbc();

    mouse(t, 0xee, "fa");
    mouse(t, 0x55, "55");
    mouse(t, 0xf2, "f2");
    mouse(t, 0xfe, "fe");
    mouse(t, 0xec, "fa");
    mouse(t, 0xf2, "fa 00");
    mouse(t, 0xee, "fa");
    mouse(t, 0xff, "fa aa 00");
}

static void test_mouse_stream(void)
{
    g_autoptr(DevTest) t = new_kbc();

    ps2_mouse_event(t->dev, 9, 9, 0, 0);        /* not reporting: ignored */
    mouse(t, 0xf4, "fa");
    none(t);
    ps2_mouse_event(t->dev, 5, -3, 0, PS2_BUTTON_LEFT);
    expect_aux(t, "29 05 fd");
    none(t);
    ps2_mouse_event(t->dev, -1, 0, 0, PS2_BUTTON_LEFT | PS2_BUTTON_RIGHT);
    ps2_mouse_event(t->dev, -2, 1, 0, PS2_BUTTON_RIGHT);
    none(t);                                    /* until the sample is over */
    dev_advance(10 * NS_PER_MS);
    expect_aux(t, "1a fd 01");
    dev_advance(10 * NS_PER_MS);
    ps2_mouse_event(t->dev, 300, -600, 0, 0);
    expect_aux(t, "28 ff 01");                  /* the rest comes later */
    dev_advance(10 * NS_PER_MS);
    expect_aux(t, "28 2d 01");
    dev_advance(10 * NS_PER_MS);
    expect_aux(t, "28 00 a6");
    mouse(t, 0xf5, "fa");
    ps2_mouse_event(t->dev, 1, 1, 0, 0);
    dev_advance(NS_PER_SEC);
    none(t);
}

static void test_mouse_remote(void)
{
    g_autoptr(DevTest) t = new_kbc();

    mouse(t, 0xf0, "fa");
    ps2_mouse_event(t->dev, 3, 4, 0, 0);
    none(t);
    mouse(t, 0xeb, "fa 08 03 04");
    mouse(t, 0xeb, "fa 08 00 00");
}

static void test_mouse_scaling(void)
{
    static const struct { int in, out; } rows[] = {
        { 1, 1 }, { 2, 1 }, { 3, 3 }, { 4, 6 }, { 5, 9 }, { 6, 12 },
        { -4, -6 },
    };
    g_autoptr(DevTest) t = new_kbc();

    mouse(t, 0xe7, "fa");
    mouse(t, 0xf4, "fa");
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        dev_advance(10 * NS_PER_MS);
        ps2_mouse_event(t->dev, rows[i].in, 0, 0, 0);
        get_aux(t);
        dev_advance(NS_PER_MS);
        g_assert_cmpint((int8_t)get_aux(t), ==, rows[i].out);
        dev_advance(NS_PER_MS);
        get_aux(t);
    }
}

static void knock(DevTest *t, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[] = { a, b, c };

    for (int i = 0; i < 3; i++) {
        mouse(t, 0xf3, "fa");
        mouse(t, rates[i], "fa");
    }
}

static void test_mouse_wheel(void)
{
    g_autoptr(DevTest) t = new_kbc();

    knock(t, 200, 100, 80);
    mouse(t, 0xf2, "fa 03");
    mouse(t, 0xf4, "fa");
    ps2_mouse_event(t->dev, 1, 2, -1, 0);
    expect_aux(t, "08 01 02 ff");
    dev_advance(20 * NS_PER_MS);
    ps2_mouse_event(t->dev, 0, 0, 9, 0);
    expect_aux(t, "08 00 00 07");
    dev_advance(20 * NS_PER_MS);
    expect_aux(t, "08 00 00 02");
    mouse(t, 0xff, "fa aa 00");
    mouse(t, 0xf2, "fa 00");
}

static void test_mouse_explorer(void)
{
    g_autoptr(DevTest) t = new_kbc();

    knock(t, 200, 100, 80);
    knock(t, 200, 200, 80);
    mouse(t, 0xf2, "fa 04");
    mouse(t, 0xf4, "fa");
    ps2_mouse_event(t->dev, 0, 0, -1, PS2_BUTTON_SIDE);
    expect_aux(t, "08 00 00 1f");
    dev_advance(20 * NS_PER_MS);
    ps2_mouse_event(t->dev, 0, 0, 0, PS2_BUTTON_EXTRA);
    expect_aux(t, "08 00 00 20");
}

static void test_both_devices(void)
{
    g_autoptr(DevTest) t = new_kbc();

    mouse(t, 0xf4, "fa");
    ps2_mouse_event(t->dev, 1, 0, 0, 0);
    ps2_kbd_key(t->dev, 0x1e, true);
    /* The output buffer holds what came first; then keys before movement. */
    g_assert_cmphex(get_aux(t), ==, 0x08);
    dev_advance(NS_PER_MS);
    g_assert_cmphex(get(t), ==, 0x1e);
    dev_advance(NS_PER_MS);
    expect_aux(t, "01 00");
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_kbc();

    cmd(t, 0xdd);
    mouse(t, 0xf4, "fa");
    ps2_kbd_key(t->dev, 0xc8, true);
    ps2_mouse_event(t->dev, 1, 2, 0, 0);
    dev_outb(t, CMD, 0x60);                     /* waits for its parameter */
    dev_test_reload(t);
    g_assert_cmpint(t->lines[1].level, ==, 1);
    dev_outb(t, DATA, 0x43);
    g_assert_cmphex(get(t), ==, 0xe0);
    dev_advance(NS_PER_MS);
    g_assert_cmphex(get(t), ==, 0x48);
    dev_advance(NS_PER_MS);
    expect_aux(t, "08 01 02");
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/i8042/reset", test_reset);
    g_test_add_func("/i8042/status", test_status);
    g_test_add_func("/i8042/ram", test_ram);
    g_test_add_func("/i8042/simple-commands", test_simple_commands);
    g_test_add_func("/i8042/disable-bits", test_disable_bits);
    g_test_add_func("/i8042/output-port", test_output_port);
    g_test_add_func("/i8042/pulse", test_pulse);
    g_test_add_func("/i8042/interrupts", test_interrupts);
    g_test_add_func("/i8042/throttle", test_throttle);
    g_test_add_func("/i8042/kbd/translated", test_translated);
    g_test_add_func("/i8042/kbd/set-2", test_set_2);
    g_test_add_func("/i8042/kbd/set-1", test_set_1);
    g_test_add_func("/i8042/kbd/set-3", test_set_3);
    g_test_add_func("/i8042/kbd/commands", test_kbd_commands);
    g_test_add_func("/i8042/kbd/typematic", test_typematic);
    g_test_add_func("/i8042/kbd/overrun", test_kbd_overrun);
    g_test_add_func("/i8042/mouse/commands", test_mouse_commands);
    g_test_add_func("/i8042/mouse/wrap", test_mouse_wrap);
    g_test_add_func("/i8042/mouse/stream", test_mouse_stream);
    g_test_add_func("/i8042/mouse/remote", test_mouse_remote);
    g_test_add_func("/i8042/mouse/scaling", test_mouse_scaling);
    g_test_add_func("/i8042/mouse/wheel", test_mouse_wheel);
    g_test_add_func("/i8042/mouse/explorer", test_mouse_explorer);
    g_test_add_func("/i8042/both-devices", test_both_devices);
    g_test_add_func("/i8042/save-load", test_save_load);
    return g_test_run();
}
