/*
 * Configuration mechanism 1: ports CF8h (address) and CFCh (data) of a host
 * bridge.  Shared by all chip sets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_PCI_HOST_H
#define HW_PCI_PCI_HOST_H

#include "hw/pci/pci.h"

typedef struct PciConf1 {
    PciBus *bus;
    Region addr_io, data_io;
    uint32_t addr;              /* CONFADD */
} PciConf1;

/* Map the two ports over what else is in `io`. */
void pci_conf1_init(PciConf1 *c, Device *owner, PciBus *bus, Region *io);
void pci_conf1_destroy(PciConf1 *c);

#endif
