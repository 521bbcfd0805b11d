/*
 * What fw_cfg holds: the machine's sizes, its tables, and the kernel that
 * firmware may start.
 *
 * Spec:  QEMU, docs/specs/fw_cfg.rst; SeaBIOS, docs/Runtime_config.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "cpu/cpu.h"
#include "hw/acpi/acpi.h"
#include "hw/acpi/smbios.h"
#include "hw/nvram/fw_cfg.h"

static void add_sizes(FwCfg *s, Machine *m)
{
    fw_cfg_add_u64(s, FW_CFG_RAM_SIZE, m->ram_bytes);
    fw_cfg_add_u16(s, FW_CFG_NOGRAPHIC, !m->graphics);
    fw_cfg_add_u16(s, FW_CFG_NB_CPUS, m->topo.cpus);
    /* Firmware takes it for the highest APIC id plus one. */
    fw_cfg_add_u16(s, FW_CFG_MAX_CPUS,
                   cpu_topology_apic_id(&m->topo, m->topo.maxcpus - 1) + 1);
    fw_cfg_add_u16(s, FW_CFG_BOOT_MENU, m->boot_menu);
    fw_cfg_add_u32(s, FW_CFG_IRQ0_OVERRIDE, 1);
    fw_cfg_add_bytes(s, FW_CFG_UUID, m->uuid, 16);
    fw_cfg_add_u64(s, FW_CFG_NUMA, 0);
}

static bool add_e820(FwCfg *s, Machine *m, GError **err)
{
    g_autoptr(GArray) ram = e820_from_map(m);
    g_autoptr(GArray) whole = g_array_new(FALSE, FALSE, sizeof(E820Entry));

    /* Firmware makes its own holes: it gets RAM as the chip set sees it. */
    for (unsigned i = 0; i < ram->len; i++) {
        E820Entry e = g_array_index(ram, E820Entry, i);

        if (!e.start) {
            continue;
        }
        if (e.start == MiB) {
            e.start = 0;
            e.len += MiB;
        }
        g_array_append_val(whole, e);
    }
    return fw_cfg_add_file(s, "etc/e820", whole->data,
                           whole->len * sizeof(E820Entry), err);
}

static bool add_tables(FwCfg *s, Machine *m, GError **err)
{
    g_autoptr(BiosLoader) acpi = acpi_build(m);
    g_autoptr(Smbios) smbios = smbios_build(m, true, err);

    for (unsigned i = 0; acpi && i < acpi->files->len; i++) {
        BiosFile *f = g_ptr_array_index(acpi->files, i);

        if (!fw_cfg_add_file(s, f->name, f->data->data, f->data->len, err)) {
            return false;
        }
    }
    return smbios
           && (!acpi
               || fw_cfg_add_file(s, ACPI_LOADER_FILE, acpi->script->data,
                                  acpi->script->len, err))
           && fw_cfg_add_file(s, SMBIOS_TABLES_FILE, smbios->tables->data,
                              smbios->tables->len, err)
           && fw_cfg_add_file(s, SMBIOS_ANCHOR_FILE, smbios->anchor->data,
                              smbios->anchor->len, err);
}

static void find_pm(Device *dev, void *opaque)
{
    if (dev->obj.type == &piix4_pm_type) {
        *(Device **)opaque = dev;
    }
}

/* S0 to S5: bit 7 says that there is such a state, the rest what to write for
 * it. */
static bool add_sleep_states(FwCfg *s, GError **err)
{
    uint8_t states[6] = { 0x80, 0, 0, 0, 0, 0x80 };
    Device *dev = NULL;
    Piix4PmInfo pm;

    device_foreach(NULL, find_pm, &dev);
    if (!dev) {
        return true;
    }
    piix4_pm_info(dev, &pm);
    states[3] = pm.s3 ? 0x81 : 0;
    states[4] = pm.s4 ? 0x80 | pm.s4_val : 0;
    return fw_cfg_add_file(s, "etc/system-states", states, sizeof(states),
                           err);
}

bool boot_fill_fw_cfg(Machine *m, GError **err)
{
    FwCfg *s = fw_cfg_find();

    if (!s) {
        return true;
    }
    add_sizes(s, m);
    return add_e820(s, m, err) && add_tables(s, m, err)
           && add_sleep_states(s, err) && boot_fill_option_roms(s, err)
           && boot_fill_order(m, s, err);
}
