/*
 * Where a virtio block device goes: PCI functions, virtio-mmio.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/block/iothread.h"
#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"

typedef struct VirtioBlkPci {
    VirtioPci shell;
    VirtioBlk blk;
} VirtioBlkPci;

static const Property blk_props[] = { 
    VIRTIO_BLK_PROPS(VirtioBlkPci, blk), {}
};

static const State blk_state = {
    .name = "virtio-blk-pci", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioBlkPci, blk, &virtio_blk_state), {}
    },
};

VIRTIO_PCI_TYPES(virtio_blk, VirtioBlkPci, blk, "virtio-blk",
                 "virtio block device", &virtio_blk_ops, blk_props, &blk_state)

typedef struct VirtioBlkChild {
    VirtioChild shell;
    VirtioBlk blk;
} VirtioBlkChild;

static const Property blk_child_props[] = {
    VIRTIO_BLK_PROPS(VirtioBlkChild, blk), {}
};

static const State blk_child_state = {
    .name = "virtio-blk-device", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VirtioBlkChild, blk, &virtio_blk_state), {}
    },
};

VIRTIO_CHILD_TYPE(virtio_blk, VirtioBlkChild, blk, "virtio-blk",
                  "virtio block device", &virtio_blk_ops,
                  blk_child_props, &blk_child_state)
