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

/* Would the vector's message be sent now?  Then, which. */
bool msix_may_send(PciDevice *pci, unsigned vector, uint64_t *addr,
                   uint32_t *data);
/* What may be sent, or what is, changed for vectors `first` to first + n - 1:
 * who reads their eventfds? */
void msix_fds_update(PciDevice *pci, unsigned first, unsigned n);
/* Any thread: send by the eventfd; false: it does not lead to the guest. */
bool msix_fd_send(Msix *m, unsigned vector);
void msix_fds_free(Msix *m);

#endif
