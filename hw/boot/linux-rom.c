/*
 * pc-bios/linux-rom.S for SeaBIOS: a file of fw_cfg below "genroms/", with its
 * checksums.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "hw/nvram/fw_cfg.h"

enum { ROM_PNP_HEADER = 0x1a, PNP_UNITS = 5, PNP_CHECKSUM = 9 };

extern const uint8_t linux_rom[], linux_rom_end[];

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t n = 0;

    while (len--) {
        n += *p++;
    }
    return n;
}

bool boot_add_linux_rom(FwCfg *s, GError **err)
{
    size_t len = linux_rom_end - linux_rom;
    g_autofree uint8_t *rom = g_memdup2(linux_rom, len);
    uint8_t *pnp = rom + load_le16(rom + ROM_PNP_HEADER);

    pnp[PNP_CHECKSUM] = -sum(pnp, 16 * pnp[PNP_UNITS]);
    rom[len - 1] = -sum(rom, len);
    return fw_cfg_add_file(s, "genroms/" BOOT_LINUX_ROM, rom, len, err);
}
