/*
 * The PCI functions that hold a virtio entropy device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtio-rng.h"

typedef struct VirtioRngPci {
    VirtioPci shell;
    VirtioRng rng;
} VirtioRngPci;

static const Property rng_props[] = {
    VIRTIO_RNG_PROPS(VirtioRngPci, rng), {}
};

static const State rng_state = {
    .name = "virtio-rng-pci", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioRngPci, rng, &virtio_rng_state), {}
    },
};

VIRTIO_PCI_TYPES(virtio_rng, VirtioRngPci, rng, "virtio-rng",
                 "virtio entropy device", &virtio_rng_ops, rng_props,
                 &rng_state)
