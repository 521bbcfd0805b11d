/*
 * The i440FX host bridge: "i440FX-pcihost" with its function "i440FX".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "hw/pci/pci.h"

extern const DeviceType i440fx_host_type;

/* Before realize: the guest's RAM from address 0, which PAM and SMRAM show or
 * hide between A0000h and FFFFFh.  Without it: machine()->ram. */
void i440fx_set_ram(Device *host, Region *ram);
/* The root bus, "pci.0"; after realize. */
PciBus *i440fx_bus(Device *host);
/* What lies behind the RAM: firmware is mapped here. */
Region *i440fx_pci_memory(Device *host);
/* Property "pci-hole64-size". */
uint64_t i440fx_hole64_bytes(Device *host);

#endif
