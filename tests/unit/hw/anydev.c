/*
 * See anydev.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "anydev.h"

#include "block/drive.h"
#include "chardev/chardev.h"
#include "hw/ide/piix-ide.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtio-serial.h"
#include "pctest.h"

/* Types that are not tried, and why. */
static const char *const left_out[][2] = {
    { "i440FX-pcihost", "the skeleton has one, and there is room for one" },
    { "i440FX", "made by its host bridge" },
    { "PIIX3", "the skeleton has one" },
};

/* What a type needs to be realized: another device, a property. */
static const struct {
    const char *type;
    const char *other, *other_id;       /* made first, under that id */
    const char *prop, *val;
} needs[] = {
    { "isa-pcspk", "isa-pit", "any-pit", "pit", "any-pit" },
    { "ide-hd", NULL, NULL, "drive", "any-drive" },
    { "ide-cd", NULL, NULL, "drive", "any-drive" },
    { "cfi.pflash01", NULL, NULL, "num-blocks", "16" },
    { "virtio-blk-device", NULL, NULL, "drive", "any-drive" },
    { "virtio-blk-pci", NULL, NULL, "drive", "any-drive" },
    { "virtio-blk-pci-transitional", NULL, NULL, "drive", "any-drive" },
    { "virtio-blk-pci-non-transitional", NULL, NULL, "drive", "any-drive" },
    { "virtconsole", NULL, NULL, "chardev", "any-chr" },
    { "virtserialport", NULL, NULL, "chardev", "any-chr" },
    { "isa-debugcon", NULL, NULL, "chardev", "any-chr" },
    { "isa-serial", NULL, NULL, "chardev", "any-chr" },
    { "isa-parallel", NULL, NULL, "chardev", "any-chr" },
};

static PcTest *pc;
static Device *ide;             /* an adapter for drives, decoding its ports */
static VirtioSerial *serial;    /* a console device for ports */
static VirtioMmio *slot;        /* for virtio devices without PCI */
static Device *other;           /* of the device at hand */

/* 64 MiB that forget what is written, for every disk in turn. */
static void add_drive(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval("if=none,id=any-drive,"
                                           "driver=null-co,size=64M", NULL,
                                           NULL, &err);

    drive_new(dict, BLOCK_IF_IDE, false, &err);
    g_assert_no_error(err);
}

static void add_slot(void)
{
    Device *dev = device_new(type_find("virtio-mmio"));
    g_autoptr(GError) err = NULL;

    device_realize(dev, NULL, &err);
    g_assert_no_error(err);
    device_reset(dev);
    slot = container_of(dev, VirtioMmio, dev);
}

void any_init(int *argc, char ***argv)
{
    g_autoptr(Opt) dict = opt_new_dict();
    g_autoptr(GError) err = NULL;

    pc = pc_test_init(argc, argv, 16 * MiB);
    clock_test_advance(NS_PER_SEC);
    opt_put(dict, "backend", opt_new_string("null"));
    opt_put(dict, "id", opt_new_string("any-chr"));
    chr_new(dict, &err);
    g_assert_no_error(err);
    add_drive();
    serial = container_of(pc_add_pci(pc, "virtio-serial-pci", NULL, NULL),
                          VirtioPci, pci.dev)->v.dev;
    add_slot();
    ide = pc_add_pci(pc, "piix3-ide", "1.1", NULL);
    pci_config_write(pci_device_of(ide), PCI_COMMAND, PCI_COMMAND_IO, 2);
    pci_config_write(pci_device_of(ide), 0x40, 0x80008000, 4);
}

static bool is_left_out(const Type *t)
{
    if (t->state == NULL && type_is(t, type_find("x86_64-cpu"))) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(left_out); i++) {
        if (!strcmp(t->name, left_out[i][0])) {
            return true;
        }
    }
    return g_str_has_suffix(t->name, "-cpu");   /* need an accelerator */
}

GPtrArray *any_types(void)
{
    GPtrArray *types = type_list(&device_type);

    for (unsigned i = types->len; i-- > 0; ) {
        if (is_left_out(types->pdata[i])) {
            g_ptr_array_remove_index(types, i);
        }
    }
    return types;
}

static Bus *bus_of(const Type *t)
{
    return type_is(t, &isa_device_type) ? &pc->isa->bus
           : type_is(t, &pci_device_type) ? &pc->pci->bus
           : type_is(t, &ide_drive_type) ? &piix_ide_channel(ide, 0)->bus
           : type_is(t, &vser_port_type) ? &serial->bus
           : type_is(t, &virtio_child_type) ? &slot->bus
           : NULL;
}

static Device *make(const Type *t, const char *id, const char *prop,
                    const char *val)
{
    g_autoptr(GError) err = NULL;
    Device *dev = device_new(t);

    if (prop) {
        prop_set(&dev->obj, prop, val, &err);
        g_assert_no_error(err);
    }
    if (id) {
        object_add_child(object_root(), &dev->obj, id);
    }
    device_realize(dev, bus_of(t), &err);
    g_assert_no_error(err);
    device_reset(dev);
    return dev;
}

Device *any_make(const Type *t)
{
    g_assert_null(other);
    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++) {
        if (!strcmp(needs[i].type, t->name)) {
            if (needs[i].other) {
                other = make(type_find(needs[i].other), needs[i].other_id,
                             NULL, NULL);
            }
            return make(t, NULL, needs[i].prop, needs[i].val);
        }
    }
    return make(t, NULL, NULL, NULL);
}

void any_delete(Device *dev)
{
    device_delete(dev);
    if (other) {
        device_delete(g_steal_pointer(&other));
    }
}

/* --- playing ---------------------------------------------------------------- */

static void add_region(GPtrArray *regions, Region *r)
{
    if (r && r->kind == REGION_IO && !g_ptr_array_find(regions, r, NULL)) {
        g_ptr_array_add(regions, r);
    }
}

static void add_mapped(GPtrArray *regions, AddressSpace *as, Device *dev)
{
    const FlatView *view = as_view(as);

    for (unsigned i = 0; i < view->n_ranges; i++) {
        if (view->ranges[i].region->owner == &dev->obj) {
            add_region(regions, view->ranges[i].region);
        }
    }
}

static GPtrArray *regions_of(Device *dev)
{
    GPtrArray *regions = g_ptr_array_new();

    add_mapped(regions, &as_io, dev);
    add_mapped(regions, &as_memory, dev);
    if (type_is(dev->obj.type, &ide_drive_type)) {
        add_mapped(regions, &as_io, ide);       /* its registers are there */
    }
    if (type_is(dev->obj.type, &virtio_child_type)) {
        add_region(regions, &slot->io);
    }
    for (unsigned i = 0; dev->regions && i < dev->regions->len; i++) {
        add_region(regions, g_ptr_array_index(dev->regions, i));
    }
    if (type_is(dev->obj.type, &pci_device_type)) {
        PciDevice *pci = container_of(dev, PciDevice, dev);

        for (unsigned i = 0; i < PCI_N_BARS; i++) {
            add_region(regions, pci->bars[i].region);
        }
    }
    return regions;
}

typedef struct {
    const uint8_t *at;
    size_t left;
} Feed;

static uint64_t take(Feed *f, unsigned n)
{
    uint64_t val = 0;

    for (unsigned i = 0; i < n && f->left; i++, f->left--) {
        val |= (uint64_t)*f->at++ << (8 * i);
    }
    return val;
}

static void access_region(GPtrArray *regions, Feed *f, bool write)
{
    uint8_t how = take(f, 1);
    unsigned size = 1 << (how & 3);
    uint64_t at = take(f, 2), val;

    if (!regions->len) {
        return;
    }
    Region *r = regions->pdata[(how >> 2) % regions->len];

    at %= r->size_bytes;
    size = MIN(size, r->size_bytes - at);
    size = size == 3 ? 2 : size > 4 && size < 8 ? 4 : size;
    if (write) {
        region_io_write(r, at, size, take(f, size));
    } else {
        region_io_read(r, at, size, &val);
    }
}

static void access_config(Device *dev, Feed *f, bool write)
{
    unsigned size = 1 << take(f, 1) % 3;
    unsigned at = ALIGN_DOWN((unsigned)take(f, 1), size);

    if (!type_is(dev->obj.type, &pci_device_type)) {
        return;
    }
    PciDevice *pci = container_of(dev, PciDevice, dev);

    if (write) {
        pci_config_write(pci, at, take(f, size), size);
    } else {
        pci_config_read(pci, at, size);
    }
}

static unsigned n_inputs(const Device *dev)
{
    const Type *t = dev->obj.type;

    while (t && !t->input) {
        t = t->parent;
    }
    return t ? t->n_inputs : 0;
}

static void set_input(Device *dev, unsigned n, bool level)
{
    Irq in = device_in(dev, n);

    irq_set(&in, level);
}

static void reload(Device *dev)
{
    g_autoptr(GByteArray) state = any_save(dev);

    device_reset(dev);
    if (!any_load(dev, state)) {
        g_error("%s refuses what it has saved", dev->obj.type->name);
    }
}

static void live(Device *dev, Feed *f)
{
    switch (take(f, 1) % 16) {
    case 0:
        device_reset(dev);
        break;
    case 1:
        reload(dev);
        break;
    default:
        clock_test_advance(1 << take(f, 1) % 24);       /* up to 8 ms */
        break;
    }
}

void any_play(Device *dev, const uint8_t *bytes, size_t n, bool lives)
{
    g_autoptr(GPtrArray) regions = regions_of(dev);
    unsigned inputs = n_inputs(dev);
    Feed f = { bytes, n };

    while (f.left) {
        uint8_t op = take(&f, 1);

        switch (op & 15) {
        case 0 ... 6:
            access_region(regions, &f, true);
            break;
        case 7 ... 9:
            access_region(regions, &f, false);
            break;
        case 10:
            access_config(dev, &f, op & 16);
            break;
        case 11:
        case 12:
            if (inputs) {
                set_input(dev, take(&f, 1) % inputs, op & 16);
            }
            break;
        default:
            if (lives) {
                live(dev, &f);
            }
            break;
        }
    }
    for (unsigned i = 0; i < inputs; i++) {
        set_input(dev, i, false);
    }
}

GByteArray *any_save(Device *dev)
{
    GByteArray *out = g_byte_array_new();

    device_save(dev, out);
    return out;
}

bool any_load(Device *dev, const GByteArray *state)
{
    g_autoptr(GError) err = NULL;
    const uint8_t *at = state->data;
    size_t left = state->len;

    if (!device_load(dev, &at, &left, &err)) {
        g_assert_nonnull(err);
        device_reset(dev);
        return false;
    }
    device_update(dev);
    return true;
}
