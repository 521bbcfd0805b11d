/*
 * Firmware tables in the memory of a direct boot.
 *
 * ACPI's go in by the script that firmware would run.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "hw/acpi/acpi.h"
#include "hw/acpi/smbios.h"

static uint64_t place(void *opaque, const char *name, uint64_t bytes,
                      uint32_t align, BiosZone zone)
{
    return boot_place_table(opaque, bytes, align, zone == BIOS_ZONE_FSEG);
}

bool boot_add_acpi(BootImage *img, GError **err)
{
    g_autoptr(BiosLoader) l = acpi_build(img->m);

    if (!l) {
        return true;
    }
    if (!bios_loader_run(l, l->script->data, l->script->len, place, img,
                         err)) {
        return false;
    }
    for (unsigned i = 0; i < l->files->len; i++) {
        BiosFile *f = g_ptr_array_index(l->files, i);

        boot_add_table(img, f->gpa, f->data->data, f->data->len);
    }
    img->rsdp_gpa = bios_loader_file(l, ACPI_RSDP_FILE)->gpa;
    img->facs_gpa = bios_loader_file(l, ACPI_TABLES_FILE)->gpa
                    + ACPI_FACS_AT;
    return true;
}

bool boot_add_smbios(BootImage *img, GError **err)
{
    g_autoptr(Smbios) s = smbios_build(img->m, false, err);
    uint64_t tables, anchor;

    if (!s) {
        return false;
    }
    tables = boot_place_table(img, s->tables->len, 16, false);
    anchor = boot_place_table(img, s->anchor->len, 16, true);
    if (!tables || !anchor) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                    "no room for the SMBIOS tables");
        return false;
    }
    smbios_locate(s, tables);
    boot_add_table(img, tables, s->tables->data, s->tables->len);
    boot_add_table(img, anchor, s->anchor->data, s->anchor->len);
    return true;
}
