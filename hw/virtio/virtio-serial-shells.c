/*
 * Where a virtio console device goes: PCI functions, virtio-mmio.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-mmio.h"
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

typedef struct VirtioSerialChild {
    VirtioChild shell;
    VirtioSerial serial;
} VirtioSerialChild;

static const Property serial_child_props[] = {
    VIRTIO_SERIAL_PROPS(VirtioSerialChild, serial), {}
};

static const State serial_child_state = {
    .name = "virtio-serial-device", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioSerialChild, serial, &virtio_serial_state), {}
    },
};

VIRTIO_CHILD_TYPE(virtio_serial, VirtioSerialChild, serial, "virtio-serial",
                  "virtio console device", &virtio_serial_ops,
                  serial_child_props, &serial_child_state)
