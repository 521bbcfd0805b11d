/*
 * What the two interfaces of virtio over PCI share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VIRTIO_PCI_PARTS_H
#define VIRTIO_PCI_PARTS_H

#include "hw/virtio/virtio-pci.h"

/* Reading it takes the interrupt away. */
uint8_t virtio_pci_read_isr(VirtioPci *s);
/* A vector that is not there reads back as none. */
void virtio_pci_set_vector(VirtioPci *s, uint16_t *vector, uint16_t val);
void virtio_pci_set_status(VirtioPci *s, uint8_t val);

/* The queues' kicks in `r`, from `at` on, each `step` bytes behind the last; 0:
 * what is written at `at` says which. */
void virtio_pci_add_doorbells(VirtioPci *s, Region *r, unsigned at,
                              unsigned step);
uint64_t virtio_pci_bar_bytes(uint64_t at_least);
/* BARs, capabilities and the window. */
void virtio_pci_add_modern(VirtioPci *s);

#endif
