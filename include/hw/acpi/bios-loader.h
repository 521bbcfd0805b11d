/*
 * The script by which firmware puts tables into guest memory: allocate files,
 * add their addresses to pointers, compute checksums.
 *
 * Firmware reads it as "etc/table-loader" from fw_cfg; a direct boot runs the
 * same bytes here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_BIOS_LOADER_H
#define HW_ACPI_BIOS_LOADER_H

#include "base/bits.h"

#define BIOS_FILE_NAME_BYTES 56

typedef enum { BIOS_ZONE_HIGH = 1, BIOS_ZONE_FSEG = 2 } BiosZone;

typedef struct BiosFile {
    char *name;
    GByteArray *data;           /* as built: pointers hold offsets */
    uint64_t gpa;               /* after bios_loader_run() */
} BiosFile;

typedef struct BiosLoader {
    GByteArray *script;         /* commands of 128 bytes */
    GPtrArray *files;           /* of BiosFile * */
} BiosLoader;

BiosLoader *bios_loader_new(void);
void bios_loader_free(BiosLoader *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BiosLoader, bios_loader_free)
BiosFile *bios_loader_file(const BiosLoader *l, const char *name);

/* Takes `data` over. */
void bios_loader_allocate(BiosLoader *l, const char *name, GByteArray *data,
                          uint32_t align, BiosZone zone);
/* Add the address of `src` to the `size` bytes at `at` of `dest`, which hold
 * an offset in it. */
void bios_loader_pointer(BiosLoader *l, const char *dest, uint32_t at,
                         unsigned size, const char *src);
/* Make the bytes [start, start + len) of `name` sum up to 0 by the one at
 * `at`, which is 0 now. */
void bios_loader_checksum(BiosLoader *l, const char *name, uint32_t at,
                          uint32_t start, uint32_t len);

/*
 * Execute `script`, `len` bytes, on the loader's files: place() gives each its
 * address (0: no room).  Foreign scripts are refused, never trusted.
 */
bool bios_loader_run(BiosLoader *l, const uint8_t *script, size_t len,
                     uint64_t (*place)(void *opaque, const char *name,
                                       uint64_t bytes, uint32_t align,
                                       BiosZone zone),
                     void *opaque, GError **err);

#endif
