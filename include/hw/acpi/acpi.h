/*
 * ACPI tables of the machine as it was realized.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_ACPI_H
#define HW_ACPI_ACPI_H

#include "core/machine.h"
#include "hw/acpi/aml.h"
#include "hw/acpi/bios-loader.h"
#include "hw/acpi/piix4-pm.h"
#include "hw/pci/pci.h"

#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE   "etc/acpi/rsdp"
#define ACPI_FACS_AT     0      /* in the tables' file */
#define ACPI_LOADER_FILE "etc/table-loader"

/* Fixed ports kept free for hot plug. */
enum {
    ACPI_PCI_HOTPLUG_PORT = 0xae00, ACPI_PCI_HOTPLUG_BYTES = 0x18,
    ACPI_CPU_HOTPLUG_PORT = 0xaf00, ACPI_CPU_HOTPLUG_BYTES = 0x0c,
};

/* What the tables describe. */
typedef struct AcpiMachine {
    Machine *m;
    Device *pm, *hpet, *ioapic, *fw_cfg, *pvpanic, *rtc, *i8042;
    GPtrArray *isa;             /* of Device *: serial and parallel ports */
    PciBus *pci;
    uint64_t hole32_start;      /* PCI windows, to FEC00000h; */
    uint64_t hole64_start, hole64_bytes;        /* 0 bytes: none */
} AcpiMachine;

/* NULL when the machine has no ACPI hardware, or acpi=off. */
BiosLoader *acpi_build(Machine *m);

/* The DSDT's terms.  hw/acpi/dsdt.c */
Aml *acpi_dsdt(const AcpiMachine *a);

#endif
