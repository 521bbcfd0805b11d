/*
 * Firmware: a ROM that ends at 4 GiB, where the reset vector is.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "config.h"
#include "hw/block/pflash.h"

enum { ROM_UNIT_BYTES = 64 * 1024, ISA_BIOS_BYTES = 128 * 1024 };
#define ROM_MAX_BYTES (16 * MiB)

static Region rom, isa_bios;

static GPtrArray *own_folders;  /* of char *: -L */

void boot_add_data_folder(const char *path)
{
    if (!own_folders) {
        own_folders = g_ptr_array_new();
    }
    g_ptr_array_add(own_folders, g_strdup(path));
}

char *boot_find_data(const char *name)
{
    static const char *const folders[] = {
        RHEA_PREFIX "/share/qemu", RHEA_DATADIR "/rhea", "/usr/share/seabios",
        "/usr/share/qemu", "/usr/share/ovmf", "/usr/share/OVMF",
    };

    if (g_file_test(name, G_FILE_TEST_IS_REGULAR)) {
        return g_strdup(name);
    }
    for (unsigned i = 0; own_folders && i < own_folders->len; i++) {
        g_autofree char *path =
            g_build_filename(own_folders->pdata[i], name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
            return g_steal_pointer(&path);
        }
    }
    for (unsigned i = 0; !strchr(name, '/') && i < G_N_ELEMENTS(folders);
         i++) {
        g_autofree char *path = g_build_filename(folders[i], name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
            return g_steal_pointer(&path);
        }
    }
    return NULL;
}

static bool check_size(const char *name, uint64_t size, GError **err)
{
    if (!size || size % ROM_UNIT_BYTES || size > ROM_MAX_BYTES) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "could not load firmware '%s': it has %" PRIu64 " bytes; a "
                    "multiple of 64K, up to 16M, is wanted", name, size);
        return false;
    }
    return true;
}

bool boot_load_firmware(Machine *m, Region *memory, const char *name,
                        GError **err)
{
    g_autofree char *path = boot_find_data(name);
    g_autoptr(BootFile) f = boot_file_open(path ? path : name, err);
    uint64_t isa_bytes;

    if (!f) {
        g_prefix_error(err, "could not open firmware '%s': ", name);
        return false;
    }
    if (!check_size(name, f->size_bytes, err)
        || !region_init_rom(&rom, &m->obj, "pc.bios", f->size_bytes, err)) {
        return false;
    }
    if (!boot_file_read(f, 0, rom.ram->host, f->size_bytes)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_OPEN,
                    "could not load firmware '%s': it cannot be read", name);
        region_destroy(&rom);
        return false;
    }
    isa_bytes = MIN(f->size_bytes, ISA_BIOS_BYTES);
    region_init_alias(&isa_bios, &m->obj, "isa-bios", &rom,
                      f->size_bytes - isa_bytes, isa_bytes);
    mem_begin();
    region_map(memory, 4 * GiB - f->size_bytes, &rom, 0);
    region_map(memory, MiB - isa_bytes, &isa_bios, 0);
    mem_commit();
    return true;
}

/* A copy, so that commands to the chip go to its own address only. */
bool boot_shadow_flash(Machine *m, Region *memory, Device *flash, GError **err)
{
    uint64_t bytes, isa_bytes;
    const uint8_t *from = pflash_bytes(flash, &bytes);

    isa_bytes = MIN(bytes, ISA_BIOS_BYTES);
    if (!region_init_rom(&isa_bios, &m->obj, "isa-bios", isa_bytes, err)) {
        return false;
    }
    memcpy(isa_bios.ram->host, from + bytes - isa_bytes, isa_bytes);
    region_map(memory, MiB - isa_bytes, &isa_bios, 0);
    return true;
}
