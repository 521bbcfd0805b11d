/*
 * SMBIOS tables, and what -smbios says about them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_SMBIOS_H
#define HW_ACPI_SMBIOS_H

#include "base/opts.h"
#include "core/machine.h"

#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"
#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"

typedef enum {
    SMBIOS_ENTRY_AUTO, SMBIOS_ENTRY_32, SMBIOS_ENTRY_64
} SmbiosEntry;
extern const char *const smbios_entry_names[];  /* NULL-terminated */

typedef struct SmbiosPort {
    char *internal, *external;
    uint64_t connector, port;
} SmbiosPort;

typedef struct SmbiosSlot {
    char *designation, *pci_id;
    uint64_t type, width, usage, length, id, characteristics[2];
} SmbiosSlot;

typedef struct SmbiosOnboard {
    char *designation, *pci_id;
    int kind;
    uint64_t instance;
} SmbiosOnboard;

/* -smbios and -machine smbios-entry-point-type=.  Texts are owned; NULL: the
 * default, or none. */
typedef struct SmbiosConfig {
    SmbiosEntry entry;
    uint64_t given[2];          /* a bit a type: described by fields */
    uint64_t loaded[2];         /* by a file */
    GByteArray *files;          /* their structures */
    unsigned n_files, max_file_bytes;

    struct {
        char *vendor, *version, *date, *release;
        uint8_t major, minor;   /* of `release` */
        bool uefi;
    } bios;
    struct {
        char *manufacturer, *product, *version, *serial, *uuid, *sku, *family;
        uint8_t id[16];         /* of `uuid` */
    } system;
    struct {
        char *manufacturer, *product, *version, *serial, *asset, *location;
    } board;
    struct { char *manufacturer, *version, *serial, *asset, *sku; } chassis;
    struct {
        char *socket, *manufacturer, *version, *serial, *asset, *part;
        uint64_t max_mhz, now_mhz, family, id;
    } processor;
    struct {
        char *locator, *bank, *manufacturer, *serial, *asset, *part;
        uint64_t speed_mhz;
    } memory;
    GArray *ports;              /* of SmbiosPort, type 8; NULL: none */
    GArray *slots;              /* of SmbiosSlot, type 9 */
    GPtrArray *oem_strings;     /* type 11 */
    GArray *onboard;            /* of SmbiosOnboard, type 41 */
} SmbiosConfig;
extern SmbiosConfig smbios_config;

/* One -smbios: "type" and its fields, or "file". */
bool smbios_add_option(Opt *dict, GError **err);
bool smbios_is_given(unsigned type);
/* Forget all of it: for tests. */
void smbios_config_reset(void);

typedef struct Smbios {
    GByteArray *tables;
    GByteArray *anchor;         /* entry point 2.8 or 3.0 */
} Smbios;

/* Below a firmware, which then describes itself, there is a type 0 only when
 * the user asked for one. */
Smbios *smbios_build(Machine *m, bool firmware, GError **err);
void smbios_free(Smbios *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Smbios, smbios_free)
/* Put the tables' address into the anchor and make its checksums. */
void smbios_locate(Smbios *s, uint64_t tables_gpa);

#endif
