/*
 * The PCI functions that hold a virtio console device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtio-serial.h"

typedef struct VirtioSerialPci {
    VirtioPci shell;
    VirtioSerial serial;
} VirtioSerialPci;

static const Property serial_props[] = {
    VIRTIO_SERIAL_PROPS(VirtioSerialPci, serial), {}
};

static const State serial_state = {
    .name = "virtio-serial-pci", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioSerialPci, serial, &virtio_serial_state), {}
    },
};

VIRTIO_PCI_TYPES(virtio_serial, VirtioSerialPci, serial, "virtio-serial",
                 "virtio console device", &virtio_serial_ops, serial_props,
                 &serial_state)
