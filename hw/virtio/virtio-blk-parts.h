/*
 * Between the virtio block device and its requests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VIRTIO_BLK_PARTS_H
#define VIRTIO_BLK_PARTS_H

#include "hw/virtio/virtio-blk.h"

enum {
    SECTOR_BYTES = 512,
    STOPPED_BYTES = 8,          /* of a request in the stream */
    MAX_STOPPED_BYTES = 256 * 1024,
};

/* In sectors; any thread. */
static inline uint64_t virtio_blk_capacity(const VirtioBlk *s)
{
    return __atomic_load_n(&s->n_sectors, __ATOMIC_RELAXED);
}

/* VirtioOps. */
void virtio_blk_kick(Virtio *v, VirtQueue *vq);
void virtio_blk_drain(Virtio *v);
void virtio_blk_resume(Virtio *v);
/* What waits for `cont` and came by `vq`, or by any queue. */
void virtio_blk_drop_stopped(VirtioBlk *s, VirtQueue *vq);
/* What waits, into the VirtioBlk's stopped_image.  In the loop. */
void virtio_blk_save_stopped(void *blk);

#endif
