/*
 * SMBIOS tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_SMBIOS_H
#define HW_ACPI_SMBIOS_H

#include "core/machine.h"

#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"
#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"

/* Texts for -smbios; NULL: the default, or none. */
typedef struct SmbiosConfig {
    struct { const char *vendor, *version, *date; } bios;
    struct {
        const char *manufacturer, *product, *version, *serial, *sku, *family;
    } system;
    struct { const char *manufacturer, *version, *serial, *asset, *sku; }
        chassis;
    struct { const char *socket, *manufacturer, *version; } processor;
    struct { const char *locator, *bank, *manufacturer; } memory;
} SmbiosConfig;
extern SmbiosConfig smbios_config;

typedef struct Smbios {
    GByteArray *tables;
    GByteArray *anchor;         /* entry point 2.8, or 3.0 when it must be */
} Smbios;

Smbios *smbios_build(Machine *m);
void smbios_free(Smbios *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Smbios, smbios_free)
/* Put the tables' address into the anchor and make its checksums. */
void smbios_locate(Smbios *s, uint64_t tables_gpa);

#endif
