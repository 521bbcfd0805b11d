/*
 * See devtest.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "devtest.h"

void dev_test_init(int *argc, char ***argv)
{
    g_test_init(argc, argv, NULL);
    machine_lock();
    clock_test_manual();
    /* Far from zero, where times before the start would show. */
    clock_test_advance(10 * NS_PER_SEC);
}

static void probe_set(void *opaque, int n, int level)
{
    IrqProbe *probe = opaque;

    probe->n_rising += level && !probe->level;
    probe->n_falling += !level && probe->level;
    probe->level = level != 0;
}

Irq irq_probe_in(IrqProbe *probe)
{
    return (Irq) { .set = probe_set, .opaque = probe };
}

DevTest *dev_test_bare(void)
{
    DevTest *t = g_new0(DevTest, 1);

    isa_bus_init(&t->bus, NULL, "isa.0");
    for (int i = 0; i < ISA_N_IRQS; i++) {
        t->bus.irqs[i] = irq_probe_in(&t->lines[i]);
    }
    t->others = g_ptr_array_new();
    t->probes = g_ptr_array_new_with_free_func(g_free);
    return t;
}

static void set_props(Device *dev, const char *props)
{
    g_auto(GStrv) pairs = g_strsplit(props ? props : "", ",", -1);
    g_autoptr(GError) err = NULL;

    for (char **pair = pairs; *pair; pair++) {
        char *eq = strchr(*pair, '=');

        *eq = '\0';
        prop_set(&dev->obj, *pair, eq + 1, &err);
        g_assert_no_error(err);
    }
}

Device *dev_test_add(DevTest *t, const char *type, const char *props,
                     const char *id)
{
    g_autoptr(GError) err = NULL;
    const Type *found = type_find(type);

    g_assert_nonnull(found);
    Device *dev = device_new(found);

    set_props(dev, props);
    if (id) {
        object_add_child(object_root(), &dev->obj, id);
    }
    device_realize(dev, found->bus || type_is(found, &isa_device_type)
                        ? &t->bus.bus : NULL, &err);
    g_assert_no_error(err);
    device_reset(dev);
    if (t->dev) {
        g_ptr_array_add(t->others, t->dev);
    }
    t->dev = dev;
    return dev;
}

DevTest *dev_test_new(const char *type, const char *props)
{
    DevTest *t = dev_test_bare();

    dev_test_add(t, type, props, NULL);
    return t;
}

void dev_test_free(DevTest *t)
{
    if (t->dev) {
        device_delete(t->dev);
    }
    while (t->others->len) {
        device_delete(g_ptr_array_steal_index(t->others, t->others->len - 1));
    }
    bus_destroy(&t->bus.bus);
    g_ptr_array_unref(t->others);
    g_ptr_array_unref(t->probes);
    g_free(t);
}

IrqProbe *dev_test_probe_n(DevTest *t, const char *name, unsigned n)
{
    IrqProbe *probe = g_new0(IrqProbe, 1);

    g_ptr_array_add(t->probes, probe);
    device_connect(t->dev, name, n, irq_probe_in(probe));
    return probe;
}

IrqProbe *dev_test_probe(DevTest *t, const char *name)
{
    return dev_test_probe_n(t, name, 0);
}

void dev_test_line(DevTest *t, int n, int level)
{
    Irq in = device_in(t->dev, n);

    irq_set(&in, level);
}

static uint32_t port_in(uint16_t port, unsigned size)
{
    uint64_t val;

    as_load(&as_io, port, size, &val);
    return val;
}

uint8_t dev_inb(DevTest *t, uint16_t port)
{
    return port_in(port, 1);
}

uint16_t dev_inw(DevTest *t, uint16_t port)
{
    return port_in(port, 2);
}

uint32_t dev_inl(DevTest *t, uint16_t port)
{
    return port_in(port, 4);
}

void dev_outb(DevTest *t, uint16_t port, uint8_t val)
{
    as_store(&as_io, port, 1, val);
}

void dev_outw(DevTest *t, uint16_t port, uint16_t val)
{
    as_store(&as_io, port, 2, val);
}

void dev_outl(DevTest *t, uint16_t port, uint32_t val)
{
    as_store(&as_io, port, 4, val);
}

uint64_t dev_mmio_read(DevTest *t, unsigned i, hwaddr at, unsigned size)
{
    uint64_t val = 0;

    region_io_read(device_region(t->dev, i), at, size, &val);
    return val;
}

void dev_mmio_write(DevTest *t, unsigned i, hwaddr at, uint64_t val,
                    unsigned size)
{
    region_io_write(device_region(t->dev, i), at, size, val);
}

void dev_test_reload(DevTest *t)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    device_save(t->dev, saved);
    device_reset(t->dev);

    const uint8_t *at = saved->data;
    size_t left = saved->len;

    device_load(t->dev, &at, &left, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(left, ==, 0);
    device_update(t->dev);
    device_save(t->dev, again);
    g_assert_cmpmem(saved->data, saved->len, again->data, again->len);
}
