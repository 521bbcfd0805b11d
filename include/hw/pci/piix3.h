/*
 * PIIX3, the ISA bridge: bus "isa.0", interrupt router, reset control.
 *
 * The router drives its share of the ISA lines, as does any other function of
 * the chip with isa_bus_irq(); the board sends the lines on (IsaBus.irqs).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_PIIX3_H
#define HW_PCI_PIIX3_H

#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

extern const DeviceType piix3_type;

/* After realize. */
IsaBus *piix3_isa_bus(Device *piix3);
/* The I/O APIC's mapped region, which register APICBASE moves; optional. */
void piix3_set_ioapic(Device *piix3, Region *ioapic);

#endif
