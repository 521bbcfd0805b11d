/*
 * The small ones: port 92h, isa-debug-exit, isa-debugcon, pvpanic, pc-testdev,
 * vmport, the bus.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev/chardev.h"
#include "cpu/cpu.h"
#include "devtest.h"

static int n_resets, n_exits, exit_status;
static ShutdownCause shut_down;

void __wrap_machine_request_reset(ShutdownCause why);
void __wrap_machine_request_reset(ShutdownCause why)
{
    n_resets++;
}

void __wrap_machine_request_shutdown(ShutdownCause why);
void __wrap_machine_request_shutdown(ShutdownCause why)
{
    shut_down = why;
}

void __wrap_machine_request_exit(int status);
void __wrap_machine_request_exit(int status)
{
    n_exits++;
    exit_status = status;
}

static bool a20;
static void set_a20(bool on)
{
    a20 = on;
}

static void test_port92(void)
{
    g_autoptr(DevTest) t = dev_test_new("port92", NULL);

    machine_set_a20 = set_a20;
    device_reset(t->dev);
    g_assert_true(a20);
    g_assert_cmphex(dev_inb(t, 0x92), ==, 0x02);
    for (unsigned v = 0; v < 256; v += 2) {
        dev_outb(t, 0x92, v);
        g_assert_cmphex(dev_inb(t, 0x92), ==, v);
        g_assert_cmpint(a20, ==, v >> 1 & 1);
    }
    n_resets = 0;
    dev_outb(t, 0x92, 0x03);
    g_assert_cmpint(n_resets, ==, 1);
    dev_outb(t, 0x92, 0x03);                    /* it must rise */
    g_assert_cmpint(n_resets, ==, 1);
    dev_outb(t, 0x92, 0x02);
    dev_outb(t, 0x92, 0x01);
    g_assert_cmpint(n_resets, ==, 2);
    g_assert_false(a20);
    dev_test_reload(t);
    g_assert_false(a20);
}

/* The 8042 turns the same gate: each shows what the other did. */
static void test_one_gate(void)
{
    g_autoptr(DevTest) t = dev_test_new("i8042", NULL);

    dev_test_add(t, "port92", NULL, NULL);
    dev_outb(t, 0x64, 0xdd);
    g_assert_cmphex(dev_inb(t, 0x92), ==, 0x00);
    dev_outb(t, 0x92, 0x02);
    dev_outb(t, 0x64, 0xd0);
    g_assert_cmphex(dev_inb(t, 0x60) & 0x02, ==, 0x02);
}

static void test_debug_exit(void)
{
    g_autoptr(DevTest) t = dev_test_new("isa-debug-exit", NULL);

    g_assert_cmphex(dev_inb(t, 0x501), ==, 0);
    dev_outb(t, 0x501, 0x10);
    g_assert_cmpint(exit_status, ==, 0x21);
    dev_outb(t, 0x502, 0x00);
    g_assert_cmpint(exit_status, ==, 0x01);
    dev_outw(t, 0x501, 0x31);
    g_assert_cmpint(exit_status, ==, 0x63);
    n_exits = 0;
    dev_outb(t, 0x503, 1);
    g_assert_cmpint(n_exits, ==, 0);

    g_autoptr(DevTest) other = dev_test_new("isa-debug-exit",
                                            "iobase=0xf4,iosize=4");

    dev_outl(other, 0xf4, 0x7f);
    g_assert_cmpint(exit_status, ==, 0xff);
    g_assert_cmpint(n_exits, ==, 1);
}

static void test_testdev(void)
{
    g_autoptr(DevTest) t = dev_test_new("pc-testdev", NULL);
    AddressSpace *as = &as_memory;
    uint64_t v = 0;

    /* A latch of any width, and the same of bytes. */
    dev_outl(t, 0xe0, 0x44332211);
    dev_outb(t, 0xe1, 0xaa);
    dev_outw(t, 0xe2, 0xbbcc);
    g_assert_cmphex(dev_inl(t, 0xe0), ==, 0xbbccaa11);
    g_assert_cmphex(dev_inl(t, 0xe8), ==, 0xbbccaa11);
    dev_outw(t, 0xea, 0x8866);
    g_assert_cmphex(dev_inl(t, 0xe0), ==, 0x8866aa11);
    g_assert_cmphex(dev_inw(t, 0xe8), ==, 0xaa11);
    dev_outl(t, 0xe8, 0xbbccaa11);
    g_assert_cmphex(dev_inw(t, 0xe2), ==, 0xbbcc);
    dev_outb(t, 0xe9, 0x5a);
    g_assert_cmphex(dev_inb(t, 0xe1), ==, 0x5a);
    dev_outb(t, 0xe1, 0xaa);
    dev_outl(t, 0xe4, 0x1000);

    for (unsigned line = 0; line < ISA_N_IRQS; line++) {
        dev_outb(t, 0x2000 + line, 1);
        g_assert_cmpint(t->lines[line].level, ==, 1);
        g_assert_cmphex(dev_inb(t, 0x2000 + line), ==, 1);
    }
    dev_outb(t, 0x200e, 0);
    g_assert_cmpint(t->lines[14].level, ==, 0);
    g_assert_cmpint(t->lines[15].level, ==, 1);

    as_store(as, 0xff000ffd, 8, UINT64_C(0x1122334455667788));
    as_load(as, 0xff000ffe, 2, &v);
    g_assert_cmphex(v, ==, 0x6677);
    as_store(as, 0xff00ffff, 1, 0x7e);

    dev_test_reload(t);
    g_assert_cmpint(t->lines[15].level, ==, 1);
    g_assert_cmphex(dev_inl(t, 0xe0), ==, 0xbbccaa11);
    as_load(as, 0xff00ffff, 1, &v);
    g_assert_cmphex(v, ==, 0x7e);
    device_reset(t->dev);
    g_assert_cmpint(t->lines[15].level, ==, 0);
    as_load(as, 0xff00ffff, 1, &v);
    g_assert_cmphex(v, ==, 0);
}

static X86Cpu *running;

X86Cpu *__wrap_cpu_current(void);
X86Cpu *__wrap_cpu_current(void)
{
    return running;
}

static void test_vmport(void)
{
    g_autoptr(DevTest) t = dev_test_new("vmport", NULL);
    X86State state = { .gpr = { [R_RAX] = 0x564d5868, [R_RBX] = 0xdeadbeef,
                                [R_RCX] = 0xabcd000a } };
    X86Cpu cpu = { .state = &state };

    g_assert_cmphex(dev_inl(t, 0x5658), ==, 0xffffffff);    /* nobody's */
    running = &cpu;
    g_assert_cmphex(dev_inw(t, 0x5658), ==, 0xffff);
    g_assert_cmphex(dev_inl(t, 0x5658), ==, 6);
    g_assert_cmphex(state.gpr[R_RAX], ==, 6);
    g_assert_cmphex(state.gpr[R_RBX], ==, 0x564d5868);
    g_assert_cmphex(state.gpr[R_RCX], ==, 2);
    g_assert_cmphex(dev_inl(t, 0x5658), ==, 0xffffffff);    /* no magic */
    state.gpr[R_RAX] = 0x564d5868;
    state.gpr[R_RCX] = 0xfff;
    g_assert_cmphex(dev_inl(t, 0x5658), ==, 0xffffffff);
    g_assert_cmphex(state.gpr[R_RBX], ==, 0x564d5868);
    dev_outl(t, 0x5658, 0);
    running = NULL;
}

static void test_pvpanic(void)
{
    g_autoptr(DevTest) t = dev_test_new("pvpanic", NULL);
    g_autoptr(DevTest) other = dev_test_new("pvpanic",
                                            "ioport=0x600,events=1");

    g_assert_cmphex(dev_inb(t, 0x505), ==, 0x07);
    g_assert_cmphex(dev_inb(other, 0x600), ==, 0x01);
    dev_outb(t, 0x505, 0x02);
    dev_outb(t, 0x505, 0x80);
    g_assert_cmpint(shut_down, ==, SHUTDOWN_NONE);
    dev_outb(t, 0x505, 0x01);
    g_assert_cmpint(shut_down, ==, SHUTDOWN_GUEST_PANIC);
    dev_outb(t, 0x505, 0x04);
    g_assert_cmpint(shut_down, ==, SHUTDOWN_GUEST_SHUTDOWN);
}

static Chardev *new_chr(const char *id)
{
    g_autoptr(Opt) dict = opt_new_dict();
    g_autoptr(GError) err = NULL;

    opt_put(dict, "backend", opt_new_string("null"));
    opt_put(dict, "id", opt_new_string(id));
    Chardev *chr = chr_new(dict, &err);

    g_assert_no_error(err);
    return chr;
}

static GString *sent;

void __wrap_chr_write_all(CharFrontend *fe, const uint8_t *buf, size_t len);
void __wrap_chr_write_all(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    g_string_append_len(sent, (const char *)buf, len);
}

static void test_debugcon(void)
{
    Chardev *chr = new_chr("con");
    g_autoptr(DevTest) t = dev_test_new("isa-debugcon", "chardev=con");
    g_autoptr(GError) err = NULL;
    Device *second = device_new(type_find("isa-debugcon"));

    sent = g_string_new(NULL);
    g_assert_cmphex(dev_inb(t, 0xe9), ==, 0xe9);
    dev_outb(t, 0xe9, 'h');
    dev_outb(t, 0xe9, 'i');
    g_assert_cmpstr(sent->str, ==, "hi");
    /* Without a chardev, or with one that is taken. */
    g_assert_false(device_realize(second, &t->bus.bus, &err));
    g_assert_cmpstr(err->message, ==,
                    "isa-debugcon: property 'chardev' is missing");
    g_clear_error(&err);
    prop_set(&second->obj, "chardev", "con", &err);
    g_assert_no_error(err);
    prop_set(&second->obj, "iobase", "0x402", &err);
    g_assert_no_error(err);
    g_assert_false(device_realize(second, &t->bus.bus, &err));
    g_assert_nonnull(err);
    object_unref(&second->obj);
    dev_test_free(g_steal_pointer(&t));
    chr_free(chr);

    new_chr("con2");
    t = dev_test_new("isa-debugcon", "chardev=con2,iobase=0x402,readback=0");
    g_assert_cmphex(dev_inb(t, 0x402), ==, 0);
    g_string_free(sent, true);
}

/* Lines are shared: high while any driver is. */
static void test_shared_lines(void)
{
    g_autoptr(DevTest) t = dev_test_bare();
    Irq a = isa_bus_irq(&t->bus, 5), b = isa_bus_irq(&t->bus, 5);
    Irq none = isa_bus_irq(&t->bus, 16);

    irq_raise(&a);
    irq_raise(&b);
    irq_lower(&a);
    g_assert_cmpint(t->lines[5].level, ==, 1);
    irq_lower(&b);
    g_assert_cmpint(t->lines[5].level, ==, 0);
    irq_raise(&none);
    /* There are 32 drivers to a line; the 33rd does nothing. */
    for (int i = 2; i < 32; i++) {
        g_assert_nonnull(isa_bus_irq(&t->bus, 5).set);
    }
    g_assert_null(isa_bus_irq(&t->bus, 5).set);
}

int main(int argc, char **argv)
{
    dev_test_init(&argc, &argv);
    g_test_add_func("/misc/port92", test_port92);
    g_test_add_func("/misc/one-gate", test_one_gate);
    g_test_add_func("/misc/debug-exit", test_debug_exit);
    g_test_add_func("/misc/testdev", test_testdev);
    g_test_add_func("/misc/vmport", test_vmport);
    g_test_add_func("/misc/pvpanic", test_pvpanic);
    g_test_add_func("/misc/debugcon", test_debugcon);
    g_test_add_func("/misc/shared-lines", test_shared_lines);
    return g_test_run();
}
