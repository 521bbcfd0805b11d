/*
 * "PIIX4_PM": ACPI registers, power button, SMBus host, APM ports.
 *
 * Outputs: "sci", for ISA line 9; "smi".  Input 0: the RTC's alarm.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_PIIX4_PM_H
#define HW_ACPI_PIIX4_PM_H

#include "hw/pci/pci.h"

extern const DeviceType piix4_pm_type;

enum {                          /* fixed ports, named by the ACPI tables */
    PIIX4_PM_BASE = 0x600,      /* where firmware puts the block (PMBA) */
    PIIX4_SMB_BASE = 0x700,
    PIIX4_GPE_BASE = 0xafe0, PIIX4_GPE_BYTES = 4,
    PIIX4_APM_PORT = 0xb2,
    PIIX4_ACPI_ENABLE = 0xf1, PIIX4_ACPI_DISABLE = 0xf0,
};

typedef struct Piix4PmInfo {    /* for the ACPI tables */
    bool s3, s4;
    uint8_t s4_val;
} Piix4PmInfo;
void piix4_pm_info(Device *dev, Piix4PmInfo *info);

/* Raise general-purpose event `n` (0 to 15): hot plug. */
void piix4_pm_gpe(Device *dev, unsigned n);

#endif
