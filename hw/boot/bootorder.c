/*
 * From what to boot: -boot and bootindex=, as SeaBIOS reads them.
 *
 * Spec:  SeaBIOS, docs/Runtime_config: "bootorder" holds a path a line, as Open
 *        Firmware names devices, and "HALT" to try nothing else;
 *        "bios-geometry" a path with cylinders, heads and sectors a line.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "hw/ide/ide.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/pci/pci.h"

BootOptions boot_options = { .splash_ms = -1, .reboot_ms = -1 };

typedef struct {
    int64_t index;
    char *path;
} Entry;

static void clear_entry(void *entry)
{
    g_free(((Entry *)entry)->path);
}

static int by_index(gconstpointer a, gconstpointer b)
{
    int64_t x = ((const Entry *)a)->index, y = ((const Entry *)b)->index;

    return x < y ? -1 : x > y;
}

static char *pci_path(Device *dev)
{
    g_autofree char *node = dev->bus->type->fw_path(dev->bus, dev);

    return g_strdup_printf("/pci@i0cf8/%s", node);
}

/* What stands behind a function: its only disk, or its line. */
static const char *unit_of(Device *dev)
{
    switch (pci_get16(pci_device_of(dev), PCI_CLASS_DEVICE) >> 8) {
    case 0x01:
        return "/disk@0,0";
    case 0x02:
        return "/ethernet-phy@0";
    default:
        return "";
    }
}

static char *device_path(Device *dev)
{
    if (type_is(dev->obj.type, &ide_drive_type)) {
        IdeDrive *s = ide_drive_of(dev);
        g_autofree char *adapter = pci_path(s->ch->bus.owner);

        return g_strdup_printf("%s/drive@%x/disk@%x", adapter, s->ch->index,
                               s->unit);
    }
    if (type_is(dev->obj.type, &pci_device_type)) {
        g_autofree char *function = pci_path(dev);

        return g_strconcat(function, unit_of(dev), NULL);
    }
    return NULL;
}

static void add_device(Device *dev, void *opaque)
{
    g_autofree char *text = NULL;
    Entry e;

    if (!prop_find(dev->obj.type, "bootindex")) {
        return;
    }
    text = prop_get(&dev->obj, "bootindex");
    if (!parse_int(text, &e.index) || e.index < 0) {
        return;
    }
    e.path = device_path(dev);
    if (e.path) {
        g_array_append_val((GArray *)opaque, e);
    }
}

static uint32_t number_of(Device *dev, const char *name)
{
    g_autofree char *text = prop_get(&dev->obj, name);

    return g_ascii_strtoull(text, NULL, 10);
}

/* The geometry that INT 13h is to show, where lcyls= and the rest say one. */
static void add_geometry(Device *dev, void *opaque)
{
    g_autofree char *path = NULL;
    uint32_t chs[3];

    if (!prop_find(dev->obj.type, "lcyls")) {
        return;
    }
    chs[0] = number_of(dev, "lcyls");
    chs[1] = number_of(dev, "lheads");
    chs[2] = number_of(dev, "lsecs");
    path = device_path(dev);
    if (path && (chs[0] || chs[1] || chs[2])) {
        g_string_append_printf(opaque, "%s %u %u %u\n", path, chs[0], chs[1],
                               chs[2]);
    }
}

static void add_option_roms(GArray *entries)
{
    const GPtrArray *roms = boot_option_roms();

    for (unsigned i = 0; roms && i < roms->len; i++) {
        const BootOptionRom *rom = g_ptr_array_index(roms, i);
        Entry e = { rom->bootindex, NULL };

        if (rom->bootindex >= 0) {
            e.path = g_strconcat("/rom@", rom->file, NULL);
            g_array_append_val(entries, e);
        }
    }
}

static bool check_unique(const GArray *entries, GError **err)
{
    for (unsigned i = 1; i < entries->len; i++) {
        const Entry *a = &g_array_index(entries, Entry, i - 1), *b = a + 1;

        if (a->index == b->index) {
            g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                        "the bootindex %" PRIi64 " is given to two devices: "
                        "%s and %s", a->index, a->path, b->path);
            return false;
        }
    }
    return true;
}

static bool add_number(FwCfg *s, const char *name, int64_t val, unsigned bytes,
                       GError **err)
{
    uint8_t le[8];

    store_le64(le, val);
    return fw_cfg_add_file(s, name, le, bytes, err);
}

/* -boot once=: from the second reset on the usual order. */
static void after_first_boot(void *opaque)
{
    static unsigned n_resets;
    Machine *m = opaque;

    if (!machine_waking() && n_resets++ == 1) {
        g_clear_pointer(&boot_options.once, g_free);
        boot_fill_cmos(m);
    }
}

bool boot_fill_order(Machine *m, FwCfg *s, GError **err)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GString) geometry = g_string_new(NULL);

    g_array_set_clear_func(entries, clear_entry);
    device_foreach(NULL, add_device, entries);
    add_option_roms(entries);
    g_array_sort(entries, by_index);
    if (!check_unique(entries, err)) {
        return false;
    }
    if (boot_options.kernel_first) {
        g_string_append(text, "/rom@genroms/" BOOT_LINUX_ROM);
    }
    for (unsigned i = 0; i < entries->len; i++) {
        g_string_append_printf(text, "%s%s", text->len ? "\n" : "",
                               g_array_index(entries, Entry, i).path);
    }
    if (boot_options.strict) {
        g_string_append_printf(text, "%sHALT", text->len ? "\n" : "");
    }
    if (boot_options.once) {
        machine_add_reset(after_first_boot, m);
    }
    device_foreach(NULL, add_geometry, geometry);
    return (!text->len || fw_cfg_add_file(s, "bootorder", text->str,
                                          text->len + 1, err))
           && (!geometry->len
               || fw_cfg_add_file(s, "bios-geometry", geometry->str,
                                  geometry->len + 1, err))
           && (boot_options.splash_ms < 0
               || add_number(s, "etc/boot-menu-wait", boot_options.splash_ms,
                             2, err))
           /* All ones: stay, where SeaBIOS by itself tries again. */
           && add_number(s, "etc/boot-fail-wait", boot_options.reboot_ms, 4,
                         err);
}
