/*
 * Where a virtio entropy device goes: PCI functions, virtio-mmio.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-mmio.h"
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

typedef struct VirtioRngChild {
    VirtioChild shell;
    VirtioRng rng;
} VirtioRngChild;

static const Property rng_child_props[] = {
    VIRTIO_RNG_PROPS(VirtioRngChild, rng), {}
};

static const State rng_child_state = {
    .name = "virtio-rng-device", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioRngChild, rng, &virtio_rng_state), {}
    },
};

VIRTIO_CHILD_TYPE(virtio_rng, VirtioRngChild, rng, "virtio-rng",
                  "virtio entropy device", &virtio_rng_ops,
                  rng_child_props, &rng_child_state)
