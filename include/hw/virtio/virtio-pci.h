/*
 * Virtio over PCI: the function that a virtio device is seen as.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_H
#define HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

typedef struct VirtioPci {
    PciDevice pci;
    Virtio v;
    uint32_t n_vectors;         /* property; UINT32_MAX: one for each queue
                                 * and one for the configuration */
    int disable_legacy;         /* property: auto, on, off */
    bool disable_modern;        /* property */
    bool page_per_vq;           /* property */
    bool modern_pio_notify;     /* property */
    bool ioeventfd;             /* property */

    uint8_t cfg_cap;            /* (C) the window in configuration space */
    Region legacy;
    Region modern, common, isr, config, notify, notify_pio;
    Timer intx;                 /* an iothread's interrupt, on its way */
} VirtioPci;

extern const DeviceType virtio_pci_type;        /* abstract */

/* In the leaf type's init(): what it is. */
void virtio_pci_setup(Object *obj, const VirtioOps *ops, void *dev);

/* The types NAME, NAME-transitional and NAME-non-transitional of structure
 * `t`, whose device `field` is described by the `ops`. */
#define VIRTIO_PCI_TYPES(id, t, field, nm, docstr, ops, prps, st)           \
    static void id##_pci_init(Object *obj)                                  \
    {                                                                       \
        virtio_pci_setup(obj, (ops),                                        \
                         &container_of(obj, t, shell.pci.dev.obj)->field);  \
    }                                                                       \
    static const DeviceType id##_pci_type = {                               \
        .name = nm "-pci", .alias = nm, .doc = docstr,                      \
        .parent = &virtio_pci_type, .size = sizeof(t),                      \
        .init = id##_pci_init, .props = (prps), .state = (st),              \
    };                                                                      \
    DEVICE_TYPE(id##_pci_type)                                              \
    static const DeviceType id##_pci_old_type = {                           \
        .name = nm "-pci-transitional",                                     \
        .doc = docstr ", legacy and modern", .parent = &virtio_pci_type,    \
        .size = sizeof(t), .init = id##_pci_init, .props = (prps),          \
        .state = (st),                                                      \
    };                                                                      \
    DEVICE_TYPE(id##_pci_old_type)                                          \
    static const DeviceType id##_pci_new_type = {                           \
        .name = nm "-pci-non-transitional",                                 \
        .doc = docstr ", modern only", .parent = &virtio_pci_type,          \
        .size = sizeof(t), .init = id##_pci_init, .props = (prps),          \
        .state = (st),                                                      \
    };                                                                      \
    DEVICE_TYPE(id##_pci_new_type)

#endif
