/*
 * Virtio over memory-mapped registers: "virtio-mmio", which has a bus for one
 * device of a "...-device" type.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTIO_MMIO_H
#define HW_VIRTIO_VIRTIO_MMIO_H

#include "hw/virtio/virtio.h"

enum { VIRTIO_MMIO_BYTES = 0x200 };

typedef struct VirtioMmio {
    Device dev;
    Irq irq;                    /* out */
    bool force_legacy;          /* property */
    Region io;                  /* device_region(0): for the board to map */
    Bus bus;                    /* "virtio-bus" */
    Virtio *v;                  /* what is plugged in, or NULL */

    uint32_t page_bytes, align; /* legacy: of the rings */
    Timer raise;                /* an iothread's interrupt, on its way */
} VirtioMmio;

/* A device on such a bus: the leaf types put a VirtioBlk or so behind it. */
typedef struct VirtioChild {
    Device dev;
    Virtio v;
} VirtioChild;

extern const BusType virtio_bus_type;
extern const DeviceType virtio_child_type;      /* abstract */

/* In the leaf type's init(): what it is. */
void virtio_child_setup(Object *obj, const VirtioOps *ops, void *dev);

/* The type NAME-device of structure `t`, as VIRTIO_PCI_TYPES(). */
#define VIRTIO_CHILD_TYPE(id, t, field, nm, docstr, ops, prps, st)          \
    static void id##_child_init(Object *obj)                                \
    {                                                                       \
        virtio_child_setup(obj, (ops),                                      \
                           &container_of(obj, t, shell.dev.obj)->field);    \
    }                                                                       \
    static const DeviceType id##_child_type = {                             \
        .name = nm "-device", .doc = docstr " for virtio-mmio",             \
        .parent = &virtio_child_type, .size = sizeof(t),                    \
        .init = id##_child_init, .props = (prps), .state = (st),            \
    };                                                                      \
    DEVICE_TYPE(id##_child_type)

#endif
