/*
 * See pctest.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "pctest.h"

static Region low_ram, high_ram;
static PcTest the_test;
static unsigned n_resets;

static bool board_init(Machine *m, GError **err)
{
    uint64_t low = MIN(m->ram_bytes, 0xe0000000);

    region_init_alias(&low_ram, &m->obj, "ram-low", &m->ram, 0, low);
    region_map(mem_root(), 0, &low_ram, 0);
    if (m->ram_bytes > low) {
        region_init_alias(&high_ram, &m->obj, "ram-high", &m->ram, low,
                          m->ram_bytes - low);
        region_map(mem_root(), 4 * GiB, &high_ram, 0);
    }
    return true;
}

static const MachineType test_machine = {
    .name = "pctest", .doc = "for tests", .max_cpus = 255,
    .size = sizeof(Machine), .init = board_init,
};

static void set_level(void *opaque, int n, int level)
{
    ((PcTest *)opaque)->isa_level[n] = level;
}

static void count_reset(void *opaque)
{
    n_resets++;
}

static Device *must_realize(Device *dev, Bus *bus)
{
    GError *err = NULL;

    device_realize(dev, bus, &err);
    g_assert_no_error(err);
    return dev;
}

PcTest *pc_test_init(int *argc, char ***argv, uint64_t ram_bytes)
{
    PcTest *t = &the_test;
    GError *err = NULL;

    g_test_init(argc, argv, NULL);
    clock_test_manual();
    machine_lock();
    t->m = machine_new(&test_machine);
    t->m->ram_bytes = ram_bytes;
    machine_init(t->m, &err);
    g_assert_no_error(err);

    t->host = must_realize(device_new(&i440fx_host_type), NULL);
    t->pci = i440fx_bus(t->host);
    t->piix3 = pc_add_pci(t, "PIIX3", "01.0", NULL);
    t->isa = piix3_isa_bus(t->piix3);
    for (int i = 0; i < 16; i++) {
        t->isa->irqs[i] = (Irq) { set_level, t, i };
    }
    machine_add_reset(count_reset, NULL);
    return t;
}

Device *pc_add_pci(PcTest *t, const char *type, const char *addr,
                   const char *props)
{
    const Type *ty = type_find(type);
    g_auto(GStrv) list = g_strsplit(props ? props : "", ",", -1);
    GError *err = NULL;
    Device *dev;

    g_assert_nonnull(ty);
    dev = device_new(ty);
    if (addr) {
        prop_set(&dev->obj, "addr", addr, &err);
    }
    g_assert_no_error(err);
    for (unsigned i = 0; list[i]; i++) {
        char *eq = strchr(list[i], '=');

        *eq = '\0';
        prop_set(&dev->obj, list[i], eq + 1, &err);
        g_assert_no_error(err);
    }
    must_realize(dev, &t->pci->bus);
    device_reset(dev);
    return dev;
}

uint64_t pc_in(uint16_t port, unsigned size)
{
    uint64_t val = 0;

    as_load(&as_io, port, size, &val);
    return val;
}

void pc_out(uint16_t port, unsigned size, uint64_t val)
{
    as_store(&as_io, port, size, val);
}

uint64_t pc_load(uint64_t gpa, unsigned size)
{
    uint64_t val = 0;

    as_load(&as_memory, gpa, size, &val);
    return val;
}

void pc_store(uint64_t gpa, unsigned size, uint64_t val)
{
    as_store(&as_memory, gpa, size, val);
}

uint32_t pc_conf_read(PcTest *t, unsigned devfn, unsigned at, unsigned size)
{
    pc_out(0xcf8, 4, 0x80000000 | devfn << 8 | (at & ~3u));
    return pc_in(0xcfc + (at & 3), size);
}

void pc_conf_write(PcTest *t, unsigned devfn, unsigned at, uint32_t val,
                   unsigned size)
{
    pc_out(0xcf8, 4, 0x80000000 | devfn << 8 | (at & ~3u));
    pc_out(0xcfc + (at & 3), size, val);
}

static void run_loop(void)
{
    machine_unlock();
    while (loop_iterate(loop_main(), false)) {
    }
    machine_lock();
}

bool pc_was_reset(PcTest *t)
{
    n_resets = 0;
    run_loop();
    return n_resets != 0;
}

bool pc_was_shut_down(PcTest *t)
{
    bool was;

    machine_set_state(t->m, RUN_STATE_PRELAUNCH);
    run_loop();
    was = t->m->state == RUN_STATE_SHUTDOWN;
    machine_set_state(t->m, RUN_STATE_PRELAUNCH);
    return was;
}

void pc_reload(Device *dev)
{
    g_autoptr(GByteArray) before = g_byte_array_new();
    g_autoptr(GByteArray) after = g_byte_array_new();
    const uint8_t *at;
    GError *err = NULL;
    size_t left;

    device_save(dev, before);
    at = before->data;
    left = before->len;
    device_reset(dev);
    device_load(dev, &at, &left, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(left, ==, 0);
    device_update(dev);
    device_save(dev, after);
    g_assert_cmpmem(before->data, before->len, after->data, after->len);
}
