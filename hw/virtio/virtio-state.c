/*
 * Virtio devices: what is saved of them, and which states are possible.
 *
 * Queues are packed by their loop, drained: elements that a device keeps are
 * its own to save.
 *
 * Locks:  machine lock; the queues in the device's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio.h"

#include "base/iov.h"
#include "base/opts.h"

static void save_queue(const VirtQueue *vq, uint8_t *to)
{
    store_le64(to, vq->desc_gpa);
    store_le64(to + 8, vq->avail_gpa);
    store_le64(to + 16, vq->used_gpa);
    store_le16(to + 24, vq->size);
    store_le16(to + 26, vq->vector);
    store_le16(to + 28, vq->last_avail);
    store_le16(to + 30, vq->used_idx);
    store_le16(to + 32, vq->signalled_used);
    to[34] = vq->enabled;
    to[35] = vq->avail_wrap;
    to[36] = vq->used_wrap;
    to[37] = vq->signalled_valid;
    to[38] = vq->wants_kicks;
    memset(to + 39, 0, VIRTIO_QUEUE_IMAGE_BYTES - 39);
}

static bool load_queue(VirtQueue *vq, const uint8_t *from, bool packed)
{
    vq_reset(vq);
    vq->desc_gpa = load_le64(from);
    vq->avail_gpa = load_le64(from + 8);
    vq->used_gpa = load_le64(from + 16);
    vq->size = load_le16(from + 24);
    vq->vector = load_le16(from + 26);
    vq->last_avail = vq->shadow_avail = load_le16(from + 28);
    vq->used_idx = load_le16(from + 30);
    vq->signalled_used = load_le16(from + 32);
    vq->avail_wrap = from[35] & 1;
    vq->used_wrap = from[36] & 1;
    vq->signalled_valid = from[37] & 1;
    vq->wants_kicks = from[38] & 1;
    if (from[34] > 1 || from[35] > 1 || from[36] > 1 || from[37] > 1
        || from[38] > 1 || !mem_is_zero(from + 39,
                                        VIRTIO_QUEUE_IMAGE_BYTES - 39)
        || !vq->size || vq->size > vq->max_size
        || (!packed && vq->size & (vq->size - 1))
        || (packed && (vq->last_avail >= vq->size
                       || vq->used_idx >= vq->size))) {
        return false;
    }
    vq->enabled = from[34];
    return true;
}

static void drain_to_save(void *opaque)
{
    Virtio *v = opaque;

    virtio_drain(v);
    for (unsigned i = 0; i < v->n_queues; i++) {
        save_queue(v->vqs[i], v->queue_image + i * VIRTIO_QUEUE_IMAGE_BYTES);
    }
}

static void pre_save(void *opaque)
{
    virtio_in_loop(opaque, drain_to_save, opaque);
}

typedef struct {
    Virtio *v;
    bool ok;
} LoadCall;

static void load_in_loop(void *opaque)
{
    LoadCall *c = opaque;
    Virtio *v = c->v;
    bool packed = virtio_has(v, VIRTIO_F_RING_PACKED);

    v->ring = packed ? &vring_packed : &vring_split;
    for (unsigned i = 0; c->ok && i < v->n_queues; i++) {
        c->ok = load_queue(v->vqs[i],
                           v->queue_image + i * VIRTIO_QUEUE_IMAGE_BYTES,
                           packed);
    }
}

static bool post_load(void *opaque, int version, GError **err)
{
    Virtio *v = opaque;
    LoadCall c = { v, true };

    virtio_in_loop(v, load_in_loop, &c);
    if (!c.ok || (v->started && v->features & ~v->offered)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "%s: not a state that this device can be in",
                    v->ops->name);
        return false;
    }
    return true;
}

const State virtio_state = {
    .name = "virtio", .version = 1, .pre_save = pre_save,
    .post_load = post_load,
    .fields = (const StateField[]) {
        STATE_U8(Virtio, status), STATE_U8(Virtio, isr),
        STATE_U8(Virtio, generation), STATE_U64(Virtio, features),
        STATE_U16(Virtio, config_vector), STATE_U16(Virtio, queue_sel),
        STATE_U32(Virtio, offered_sel), STATE_U32(Virtio, features_sel),
        STATE_BOOL(Virtio, started), STATE_BOOL(Virtio, broken),
        { .name = "queues", .kind = STATE_KIND_BLOCK,
          .offset = offsetof(Virtio, queue_image),
          .count_offset = offsetof(Virtio, queue_image_bytes) },
        {}
    },
};
