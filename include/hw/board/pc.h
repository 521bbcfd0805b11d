/*
 * The PC board, as the generators of its tables see it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_BOARD_PC_H
#define HW_BOARD_PC_H

#include "core/machine.h"
#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

typedef struct PcMachine {
    Machine m;
    int smbios_entry;           /* properties */
    int kernel_boot;
    int vmport;
    bool i8042, floppy_check;
    char *flash_drive[2];

    Region ram_low, ram_high;
    Device *host, *piix3, *ide, *pm;
    Device *flash[2];           /* NULL: none */
    Device *pic, *ioapic, *pit, *rtc, *hpet;
    PciBus *pci;
    IsaBus *isa;
    Irq pic_in[ISA_N_IRQS], ioapic_in[ISA_N_IRQS];
} PcMachine;

#endif
