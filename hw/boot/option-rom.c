/*
 * -option-rom: files of fw_cfg below "genroms/", which SeaBIOS runs.
 *
 * Spec:  SeaBIOS, docs/Runtime_config; bootindex= puts one into the order.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "base/opts.h"
#include "hw/nvram/fw_cfg.h"

enum { ROM_UNIT_BYTES = 512, ROM_MAX_UNITS = 255, ROM_UNITS_AT = 2 };

static GPtrArray *roms;         /* of BootOptionRom * */

static bool fail(GError **err, const char *path, const char *why)
{
    g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT, "option ROM '%s': %s",
                path, why);
    return false;
}

static bool check(const BootOptionRom *rom, const char *path, GError **err)
{
    const uint8_t *p = (const uint8_t *)rom->data;

    if (rom->len < ROM_UNIT_BYTES
        || rom->len > ROM_MAX_UNITS * ROM_UNIT_BYTES) {
        return fail(err, path, "its size is not from 512 bytes to 127.5K");
    }
    if (p[0] != 0x55 || p[1] != 0xaa) {
        return fail(err, path, "it does not begin with 55h AAh");
    }
    return (size_t)p[ROM_UNITS_AT] * ROM_UNIT_BYTES <= rom->len
           || fail(err, path, "it is shorter than its header says");
}

bool boot_add_option_rom(Opt *dict, GError **err)
{
    g_autofree BootOptionRom *rom = g_new0(BootOptionRom, 1);
    g_autofree char *path = NULL;
    const char *name = NULL;

    rom->bootindex = -1;
    if (!opt_get_string(dict, "romfile", &name, err)
        || !opt_get_int(dict, "bootindex", &rom->bootindex, err)
        || !opt_all_read(dict, "-option-rom", NULL, err)) {
        return false;
    }
    if (!name || !*name) {
        return fail(err, "", "a file is wanted");
    }
    path = boot_find_data(name);
    if (!g_file_get_contents(path ? path : name, &rom->data, &rom->len, err)) {
        return false;
    }
    if (!check(rom, name, err)) {
        g_free(rom->data);
        return false;
    }
    g_autofree char *base = g_path_get_basename(name);

    rom->file = g_strconcat("genroms/", base, NULL);
    if (!roms) {
        roms = g_ptr_array_new();
    }
    g_ptr_array_add(roms, g_steal_pointer(&rom));
    return true;
}

const GPtrArray *boot_option_roms(void)
{
    return roms;
}

bool boot_fill_option_roms(FwCfg *s, GError **err)
{
    for (unsigned i = 0; roms && i < roms->len; i++) {
        const BootOptionRom *rom = g_ptr_array_index(roms, i);

        if (!fw_cfg_add_file(s, rom->file, rom->data, rom->len, err)) {
            return false;
        }
    }
    return true;
}
