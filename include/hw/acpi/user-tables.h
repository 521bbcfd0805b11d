/*
 * ACPI tables of the user's: -acpitable.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_USER_TABLES_H
#define HW_ACPI_USER_TABLES_H

#include "base/opts.h"

enum { ACPI_OEM_IDS_BYTES = 14 };       /* OEM id and OEM table id */

/* One -acpitable, before the machine is done. */
bool acpi_user_table_add(Opt *dict, GError **err);
/* Of GByteArray, header first, its length and checksum not yet right; NULL when
 * there are none. */
const GPtrArray *acpi_user_tables(void);
/* With a SLIC among them: the ids of OEM and table that it wants to see in
 * RSDT, XSDT and FADT as well; else NULL. */
const uint8_t *acpi_user_oem_ids(void);

#endif
