/*
 * The parallel port, with a printer that is played by hand (linked with
 * --wrap for the chr_* functions).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev/chardev.h"
#include "devtest.h"

enum { DATA = 0x378, STATUS, CONTROL };

static GString *printed;
static bool out_of_room;
static void (*writable)(void *opaque);
static void *writable_opaque;

bool __wrap_chr_attach(CharFrontend *fe, Chardev *chr, GError **err);
bool __wrap_chr_attach(CharFrontend *fe, Chardev *chr, GError **err)
{
    return true;
}

void __wrap_chr_detach(CharFrontend *fe);
void __wrap_chr_detach(CharFrontend *fe)
{
}

size_t __wrap_chr_write(CharFrontend *fe, const uint8_t *buf, size_t len);
size_t __wrap_chr_write(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    if (out_of_room) {
        return 0;
    }
    g_string_append_len(printed, (const char *)buf, len);
    return len;
}

void __wrap_chr_wait_writable(CharFrontend *fe, void (*fn)(void *), void *op);
void __wrap_chr_wait_writable(CharFrontend *fe, void (*fn)(void *), void *op)
{
    writable = fn;
    writable_opaque = op;
}

static void have_room(void)
{
    out_of_room = false;
    writable(writable_opaque);
}

static DevTest *new_lpt(void)
{
    out_of_room = false;
    g_string_truncate(printed, 0);
    return dev_test_new("isa-parallel", "chardev=paper");
}

static void print(DevTest *t, char c, uint8_t control)
{
    dev_outb(t, DATA, c);
    dev_outb(t, CONTROL, control | 0x01);
    dev_outb(t, CONTROL, control);
}

static void test_registers(void)
{
    g_autoptr(DevTest) t = new_lpt();

    g_assert_cmphex(dev_inb(t, DATA), ==, 0xff);
    g_assert_cmphex(dev_inb(t, STATUS), ==, 0xdf);
    g_assert_cmphex(dev_inb(t, CONTROL), ==, 0xcc);
    for (unsigned v = 0; v < 256; v++) {
        dev_outb(t, DATA, v);
        dev_outb(t, CONTROL, v & ~0x25);
        g_assert_cmphex(dev_inb(t, DATA), ==, v);
        g_assert_cmphex(dev_inb(t, CONTROL), ==, 0xc0 | (v & 0x1a));
    }
    dev_outb(t, CONTROL, 0x24);                 /* reverse direction */
    g_assert_cmphex(dev_inb(t, CONTROL), ==, 0xe4);
    g_assert_cmphex(dev_inb(t, DATA), ==, 0xff);
    dev_outb(t, STATUS, 0x00);
    g_assert_cmphex(dev_inb(t, STATUS), ==, 0xdf);
}

static void test_print(void)
{
    g_autoptr(DevTest) t = new_lpt();

    print(t, 'h', 0x0c);
    g_assert_cmpuint(t->lines[7].n_rising, ==, 0);
    print(t, 'i', 0x1c);
    g_assert_cmpuint(t->lines[7].n_rising, ==, 1);
    dev_outb(t, CONTROL, 0x1c);                 /* no edge of the strobe */
    g_assert_cmpstr(printed->str, ==, "hi");
}

static void test_busy(void)
{
    g_autoptr(DevTest) t = new_lpt();

    out_of_room = true;
    print(t, 'a', 0x1c);
    g_assert_cmphex(dev_inb(t, STATUS), ==, 0x5f);
    print(t, 'b', 0x1c);                        /* not looked at */
    dev_test_reload(t);
    g_assert_cmphex(dev_inb(t, STATUS), ==, 0x5f);
    g_assert_cmpuint(t->lines[7].n_rising, ==, 0);
    have_room();
    g_assert_cmphex(dev_inb(t, STATUS), ==, 0xdf);
    g_assert_cmpuint(t->lines[7].n_rising, ==, 1);
    g_assert_cmpstr(printed->str, ==, "a");
    out_of_room = true;
    print(t, 'c', 0x0c);
    dev_outb(t, CONTROL, 0x08);                 /* INIT# */
    g_assert_cmphex(dev_inb(t, STATUS), ==, 0xdf);
    have_room();
    g_assert_cmpstr(printed->str, ==, "a");
}

static void test_ports(void)
{
    g_autoptr(DevTest) t = new_lpt();

    dev_test_add(t, "isa-parallel", "chardev=paper", NULL);
    dev_test_add(t, "isa-parallel", "chardev=paper,irq=5", NULL);
    dev_outb(t, 0x378, 1);
    dev_outb(t, 0x278, 2);
    dev_outb(t, 0x3bc, 3);
    g_assert_cmphex(dev_inb(t, 0x378), ==, 1);
    g_assert_cmphex(dev_inb(t, 0x278), ==, 2);
    g_assert_cmphex(dev_inb(t, 0x3bc), ==, 3);
    dev_outb(t, 0x3be, 0x1d);
    g_assert_cmpuint(t->lines[5].n_rising, ==, 1);

    g_autoptr(GError) err = NULL;
    Device *fourth = device_new(type_find("isa-parallel"));

    g_assert_false(device_realize(fourth, &t->bus.bus, &err));
    g_assert_nonnull(strstr(err->message, "chardev"));
    g_clear_error(&err);
    prop_set(&fourth->obj, "chardev", "paper", &err);
    g_assert_no_error(err);
    g_assert_false(device_realize(fourth, &t->bus.bus, &err));
    g_assert_nonnull(strstr(err->message, "index 3 is not 0 to 2"));
    object_unref(&fourth->obj);
}

int main(int argc, char **argv)
{
    g_autoptr(Opt) dict = opt_new_dict();

    dev_test_init(&argc, &argv);
    printed = g_string_new(NULL);
    opt_put(dict, "backend", opt_new_string("null"));
    opt_put(dict, "id", opt_new_string("paper"));
    g_assert_nonnull(chr_new(dict, NULL));
    g_test_add_func("/parallel/registers", test_registers);
    g_test_add_func("/parallel/print", test_print);
    g_test_add_func("/parallel/busy", test_busy);
    g_test_add_func("/parallel/ports", test_ports);
    return g_test_run();
}
