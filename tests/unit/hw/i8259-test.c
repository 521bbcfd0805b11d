/*
 * The 8259A pair, register by register.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/irqchip.h"
#include "devtest.h"

enum { M0 = 0x20, M1 = 0x21, S0 = 0xa0, S1 = 0xa1 };

/* As every BIOS does: vectors 08h and 70h, nothing masked. */
static void init_pair(DevTest *t, uint8_t icw1, uint8_t icw4_m, uint8_t icw4_s)
{
    dev_outb(t, M0, icw1);
    dev_outb(t, M1, 0x08);
    dev_outb(t, M1, 0x04);
    dev_outb(t, M1, icw4_m);
    dev_outb(t, S0, icw1);
    dev_outb(t, S1, 0x70);
    dev_outb(t, S1, 0x02);
    dev_outb(t, S1, icw4_s);
}

static DevTest *new_pair(void)
{
    DevTest *t = dev_test_new("isa-i8259", NULL);

    init_pair(t, 0x11, 0x01, 0x01);
    return t;
}

static void pulse(DevTest *t, int irq)
{
    dev_test_line(t, irq, 1);
    dev_test_line(t, irq, 0);
}

static uint8_t read_irr(DevTest *t, uint16_t port)
{
    dev_outb(t, port, 0x0a);
    return dev_inb(t, port);
}

static uint8_t read_isr(DevTest *t, uint16_t port)
{
    dev_outb(t, port, 0x0b);
    return dev_inb(t, port);
}

/* ICW1 to ICW4 and what they leave behind. */
static void test_init(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    dev_outb(t, M1, 0xff);
    dev_outb(t, M0, 0x68);              /* special mask mode */
    dev_test_line(t, 3, 1);
    g_assert_cmphex(read_irr(t, M0), ==, 0x08);
    dev_outb(t, M0, 0x0b);

    /* ICW1 clears the mask and the latched edge, selects IRR. */
    dev_outb(t, M0, 0x11);
    g_assert_cmphex(dev_inb(t, M1), ==, 0);
    g_assert_cmphex(dev_inb(t, M0), ==, 0);
    dev_outb(t, M1, 0x27);              /* ICW2: low bits are not stored */
    dev_outb(t, M1, 0x04);
    dev_outb(t, M1, 0x01);
    g_assert_cmphex(dev_inb(t, M1), ==, 0);
    /* The line must fall and rise again. */
    g_assert_cmpint(intr->level, ==, 0);
    dev_test_line(t, 3, 1);
    g_assert_cmpint(intr->level, ==, 0);
    dev_test_line(t, 3, 0);
    dev_test_line(t, 3, 1);
    g_assert_cmpint(intr->level, ==, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x23);
    g_assert_cmpint(intr->level, ==, 0);
    g_assert_cmphex(read_isr(t, M0), ==, 0x08);
}

/* ICW1.IC4 clear: no ICW4 is waited for and its functions are off. */
static void test_icw1_without_icw4(void)
{
    g_autoptr(DevTest) t = new_pair();

    dev_outb(t, M0, 0x10);
    dev_outb(t, M1, 0x08);
    dev_outb(t, M1, 0x04);
    dev_outb(t, M1, 0x5a);              /* already OCW1 */
    g_assert_cmphex(dev_inb(t, M1), ==, 0x5a);
}

/* ICW1.SNGL: no ICW3, and input 2 is an input like others. */
static void test_icw1_single(void)
{
    g_autoptr(DevTest) t = new_pair();

    dev_outb(t, M0, 0x13);
    dev_outb(t, M1, 0x08);
    dev_outb(t, M1, 0x01);
    dev_outb(t, M1, 0xf0);
    g_assert_cmphex(dev_inb(t, M1), ==, 0xf0);
    pulse(t, 9);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0a);
}

/* ICW1.LTIM: every input is level-triggered. */
static void test_icw1_ltim(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    dev_test_line(t, 1, 1);
    init_pair(t, 0x19, 0x01, 0x01);
    g_assert_cmpint(intr->level, ==, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x09);
    dev_outb(t, M0, 0x20);
    g_assert_cmpint(intr->level, ==, 1);
    dev_test_line(t, 1, 0);
    g_assert_cmpint(intr->level, ==, 0);
    g_assert_cmphex(read_irr(t, M0), ==, 0);
}

/* ICW3: a slave that the master does not name never drives the bus. */
static void test_icw3(void)
{
    g_autoptr(DevTest) t = new_pair();

    dev_outb(t, M0, 0x11);
    dev_outb(t, M1, 0x08);
    dev_outb(t, M1, 0x00);
    dev_outb(t, M1, 0x01);
    pulse(t, 8);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0a);
    g_assert_cmphex(read_isr(t, S0), ==, 0);
}

/* ICW4.AEOI, with and without rotation (OCW2 100 and 000). */
static void test_auto_eoi(void)
{
    g_autoptr(DevTest) t = new_pair();

    init_pair(t, 0x11, 0x03, 0x01);
    pulse(t, 4);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0c);
    g_assert_cmphex(read_isr(t, M0), ==, 0);
    dev_outb(t, M0, 0x80);              /* rotate in AEOI mode: set */
    pulse(t, 4);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0c);
    pulse(t, 4);
    pulse(t, 5);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0d);
    dev_outb(t, M0, 0x00);              /* clear: 5 stays the lowest */
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0c);
    pulse(t, 5);
    pulse(t, 6);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0e);
}

/* ICW4.SFNM: a slave in service may interrupt with a higher input. */
static void test_special_fully_nested(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    pulse(t, 12);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x74);
    pulse(t, 8);
    g_assert_cmpint(intr->level, ==, 0);

    init_pair(t, 0x11, 0x11, 0x01);
    pulse(t, 12);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x74);
    pulse(t, 13);
    g_assert_cmpint(intr->level, ==, 0);
    pulse(t, 8);
    g_assert_cmpint(intr->level, ==, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x70);
}

/* OCW1 masks, and reads back. */
static void test_mask(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    for (int i = 0; i < 8; i++) {
        dev_outb(t, M1, 1 << i);
        g_assert_cmphex(dev_inb(t, M1), ==, 1 << i);
        dev_outb(t, S1, 0x80 >> i);
        g_assert_cmphex(dev_inb(t, S1), ==, 0x80 >> i);
    }
    dev_outb(t, M1, 0x08);
    pulse(t, 3);
    g_assert_cmpint(intr->level, ==, 0);
    g_assert_cmphex(read_irr(t, M0), ==, 0x08);
    dev_outb(t, M1, 0x00);
    g_assert_cmpint(intr->level, ==, 1);
}

/* The fully nested order: IR0 over IR1 over slave over IR3. */
static void test_priority(void)
{
    static const int order[] = { 0, 1, 8, 9, 10, 11, 12, 13, 14, 15,
                                 3, 4, 5, 6, 7 };
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    for (int i = G_N_ELEMENTS(order) - 1; i >= 0; i--) {
        pulse(t, order[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        int irq = order[i];

        g_assert_cmphex(irqchip_pic_inta(), ==,
                        irq < 8 ? 8 + irq : 0x70 + irq - 8);
        g_assert_cmpint(intr->level, ==, 0);
        dev_outb(t, irq < 8 ? M0 : S0, 0x20);
        if (irq >= 8) {
            dev_outb(t, M0, 0x20);
        }
    }
    g_assert_cmpint(intr->level, ==, 0);
}

/* A higher input interrupts one in service, a lower waits for the EOI. */
static void test_nesting(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    pulse(t, 4);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0c);
    pulse(t, 4);
    pulse(t, 6);
    g_assert_cmpint(intr->level, ==, 0);
    pulse(t, 1);
    g_assert_cmpint(intr->level, ==, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x09);
    g_assert_cmphex(read_isr(t, M0), ==, 0x12);
    dev_outb(t, M0, 0x20);              /* the highest: 1 */
    g_assert_cmphex(read_isr(t, M0), ==, 0x10);
    g_assert_cmpint(intr->level, ==, 0);
    dev_outb(t, M0, 0x64);              /* specific: 4 */
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0c);
}

/* OCW2: rotate on non-specific and specific EOI, set priority, no-op. */
static void test_rotation(void)
{
    g_autoptr(DevTest) t = new_pair();

    pulse(t, 3);
    irqchip_pic_inta();
    dev_outb(t, M0, 0xa0);              /* 3 is now the lowest */
    pulse(t, 3);
    pulse(t, 4);
    pulse(t, 0);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0c);
    dev_outb(t, M0, 0x20);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x08);
    dev_outb(t, M0, 0xe0);              /* rotate on specific EOI of 0 */
    g_assert_cmphex(read_isr(t, M0), ==, 0);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0b);
    dev_outb(t, M0, 0x20);

    dev_outb(t, M0, 0xc5);              /* set priority: 5 lowest, 6 highest */
    dev_outb(t, M0, 0x47);              /* no operation */
    pulse(t, 0);
    pulse(t, 6);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0e);
    dev_outb(t, M0, 0x40);
    g_assert_cmphex(read_isr(t, M0), ==, 0x40);
}

/* OCW3.ESMM and SMM: a masked input in service holds nothing back, and a
 * plain EOI leaves it in service. */
static void test_special_mask(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    pulse(t, 1);
    irqchip_pic_inta();
    dev_outb(t, M1, 0x02);
    pulse(t, 5);
    g_assert_cmpint(intr->level, ==, 0);
    dev_outb(t, M0, 0x28);              /* SMM without ESMM: ignored */
    g_assert_cmpint(intr->level, ==, 0);
    dev_outb(t, M0, 0x68);
    g_assert_cmpint(intr->level, ==, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0d);
    dev_outb(t, M0, 0x20);
    g_assert_cmphex(read_isr(t, M0), ==, 0x02);
    dev_outb(t, M0, 0x20);
    g_assert_cmphex(read_isr(t, M0), ==, 0x02);
    dev_outb(t, M0, 0x48);
    dev_outb(t, M0, 0x20);
    g_assert_cmphex(read_isr(t, M0), ==, 0);
}

/* OCW3.P: a read is an acknowledge of this chip. */
static void test_poll(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    dev_outb(t, M0, 0x0c);
    g_assert_cmphex(dev_inb(t, M0), ==, 0);
    pulse(t, 6);
    dev_outb(t, M0, 0x0c);
    g_assert_cmphex(dev_inb(t, M1), ==, 0x86);
    g_assert_cmpint(intr->level, ==, 0);
    g_assert_cmphex(read_isr(t, M0), ==, 0x40);
    g_assert_cmphex(dev_inb(t, M1), ==, 0);     /* a poll lasts one read */
    pulse(t, 10);
    dev_outb(t, S0, 0x0c);
    g_assert_cmphex(dev_inb(t, S0), ==, 0x82);
    g_assert_cmphex(read_isr(t, S0), ==, 0x04);
}

/* OCW3.RR and RIS. */
static void test_read_select(void)
{
    g_autoptr(DevTest) t = new_pair();

    pulse(t, 5);
    irqchip_pic_inta();
    pulse(t, 6);
    g_assert_cmphex(read_irr(t, M0), ==, 0x40);
    g_assert_cmphex(read_isr(t, M0), ==, 0x20);
    dev_outb(t, M0, 0x08);                      /* RR clear: kept */
    g_assert_cmphex(dev_inb(t, M0), ==, 0x20);
}

/* A request that goes away before INTA: IR7 without an ISR bit. */
static void test_spurious(void)
{
    g_autoptr(DevTest) t = new_pair();

    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0f);
    g_assert_cmphex(read_isr(t, M0), ==, 0);
    dev_outb(t, 0x4d1, 0x02);                   /* 9 is level-triggered */
    dev_test_line(t, 9, 1);
    dev_outb(t, M1, 0xff);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x0f);
}

/* The slave's request goes: the master asks no more either. */
static void test_slave_withdrawn(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    pulse(t, 14);
    g_assert_cmpint(intr->level, ==, 1);
    dev_outb(t, S1, 0x40);
    g_assert_cmpint(intr->level, ==, 0);
    dev_outb(t, S1, 0x00);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x76);
    g_assert_cmphex(read_isr(t, M0), ==, 0x04);
    g_assert_cmphex(read_isr(t, S0), ==, 0x40);
    /* Higher in the slave, but the master waits for its own EOI. */
    pulse(t, 8);
    g_assert_cmpint(intr->level, ==, 0);
    dev_outb(t, M0, 0x20);
    g_assert_cmpint(intr->level, ==, 1);
}

/* 4D0h, 4D1h: which bits are writable, what they do. */
static void test_elcr(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    dev_outb(t, 0x4d0, 0xff);
    dev_outb(t, 0x4d1, 0xff);
    g_assert_cmphex(dev_inb(t, 0x4d0), ==, 0xf8);
    g_assert_cmphex(dev_inb(t, 0x4d1), ==, 0xde);
    dev_outw(t, 0x4d0, 0x0c20);
    g_assert_cmphex(dev_inw(t, 0x4d0), ==, 0x0c20);

    dev_test_line(t, 11, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x73);
    dev_outb(t, S0, 0x20);
    dev_outb(t, M0, 0x20);
    g_assert_cmpint(intr->level, ==, 1);        /* the line is still high */
    dev_test_line(t, 11, 0);
    g_assert_cmpint(intr->level, ==, 0);
    dev_test_line(t, 3, 1);                     /* edge */
    irqchip_pic_inta();
    dev_outb(t, M0, 0x20);
    g_assert_cmpint(intr->level, ==, 0);
}

/* Input 2 belongs to the slave. */
static void test_input_2_is_cascade(void)
{
    g_autoptr(DevTest) t = new_pair();

    pulse(t, 2);
    g_assert_cmphex(read_irr(t, M0), ==, 0);
}

static void test_save_load(void)
{
    g_autoptr(DevTest) t = new_pair();
    IrqProbe *intr = dev_test_probe(t, "intr");

    pulse(t, 12);
    irqchip_pic_inta();
    dev_outb(t, S0, 0xc3);
    dev_outb(t, M1, 0x40);
    pulse(t, 1);
    dev_outb(t, M0, 0x11);                      /* half way through init */
    dev_outb(t, M1, 0x40);
    dev_test_reload(t);
    dev_outb(t, M1, 0x04);
    dev_outb(t, M1, 0x01);
    pulse(t, 1);
    g_assert_cmpint(intr->level, ==, 1);
    g_assert_cmphex(irqchip_pic_inta(), ==, 0x41);
    g_assert_cmphex(read_isr(t, S0), ==, 0x10);
}

static void test_print(void)
{
    g_autoptr(DevTest) t = new_pair();
    g_autoptr(GString) out = g_string_new(NULL);

    dev_outb(t, M1, 0xfb);
    irqchip_print(out);
    g_assert_nonnull(strstr(out->str, "pic0: irr=00 imr=fb isr=00 hprio=0 "
                                      "irq_base=08"));
    g_assert_nonnull(strstr(out->str, "pic1: "));
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/i8259/init", test_init);
    g_test_add_func("/i8259/icw1-without-icw4", test_icw1_without_icw4);
    g_test_add_func("/i8259/icw1-single", test_icw1_single);
    g_test_add_func("/i8259/icw1-ltim", test_icw1_ltim);
    g_test_add_func("/i8259/icw3", test_icw3);
    g_test_add_func("/i8259/auto-eoi", test_auto_eoi);
    g_test_add_func("/i8259/sfnm", test_special_fully_nested);
    g_test_add_func("/i8259/mask", test_mask);
    g_test_add_func("/i8259/priority", test_priority);
    g_test_add_func("/i8259/nesting", test_nesting);
    g_test_add_func("/i8259/rotation", test_rotation);
    g_test_add_func("/i8259/special-mask", test_special_mask);
    g_test_add_func("/i8259/poll", test_poll);
    g_test_add_func("/i8259/read-select", test_read_select);
    g_test_add_func("/i8259/spurious", test_spurious);
    g_test_add_func("/i8259/slave-withdrawn", test_slave_withdrawn);
    g_test_add_func("/i8259/elcr", test_elcr);
    g_test_add_func("/i8259/input-2-is-cascade", test_input_2_is_cascade);
    g_test_add_func("/i8259/save-load", test_save_load);
    g_test_add_func("/i8259/print", test_print);
    return g_test_run();
}
