/*
 * Between the files of hw/pci.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_PCI_PRIVATE_H
#define HW_PCI_PCI_PRIVATE_H

#include "hw/pci/pci.h"

/* Take the place that pci->addr asks for, or the first free slot. */
bool pci_bus_plug(PciDevice *pci, GError **err);
void pci_bus_unplug(PciDevice *pci);
/* The function's (one) INTx pin changed. */
void pci_bus_intx(PciDevice *pci, bool level);

#endif
