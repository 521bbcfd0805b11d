/*
 * Split virtqueues: a table of descriptors, a ring of what is available and
 * one of what was used.
 *
 *   desc   16 bytes each: address, length, flags, next
 *   avail  flags, idx, ring[size], used_event
 *   used   flags, idx, { id, len }[size], avail_event
 *
 * Spec:   virtio 1.2, section 2.7; legacy: virtio 0.9.5, section 2.3.
 * Locks:  the device's loop.  Against the driver, which runs meanwhile: an
 *         index is read with acquire before the entries below it, and written
 *         with release after them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio.h"

enum { FLAGS = 0, IDX = 2, RING = 4 };

static uint64_t used_event_at(const VirtQueue *vq)
{
    return RING + 2 * vq->size;
}

static uint64_t avail_event_at(const VirtQueue *vq)
{
    return RING + 8 * vq->size;
}

static bool split_map(VirtQueue *vq)
{
    /* Without the feature the last word is not there: the ring may end where
     * memory does. */
    unsigned event = virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0;

    return vq_map(vq, &vq->desc, vq->desc_gpa, 16 * vq->size, 16,
                  "descriptor table")
           && vq_map(vq, &vq->avail, vq->avail_gpa,
                     used_event_at(vq) + event, 2, "available ring")
           && vq_map(vq, &vq->used, vq->used_gpa,
                     avail_event_at(vq) + event, 4, "used ring");
}

static bool split_is_empty(VirtQueue *vq)
{
    if (vq->shadow_avail != vq->last_avail) {
        return false;
    }
    vq->shadow_avail = vq_load16(&vq->avail, IDX);
    return vq->shadow_avail == vq->last_avail;
}

/* `table` has `n` entries; each may be used once. */
static bool walk(VirtQueue *vq, VqElem *e, const uint8_t *table, unsigned n,
                 unsigned at)
{
    for (unsigned left = MIN(n, VQ_MAX_DESCS); left; left--) {
        VqDesc d = vq_desc_split(table + 16 * at);

        if (d.flags & VQ_DESC_INDIRECT) {
            virtio_broken(vq->v, "queue %u: an indirect table in a chain",
                          vq->index);
            return false;
        }
        if (!vq_add_buffer(vq, e, &d)) {
            return false;
        }
        if (!(d.flags & VQ_DESC_NEXT)) {
            return true;
        }
        at = d.next_or_id;
        if (at >= n) {
            virtio_broken(vq->v, "queue %u: descriptor %u of %u", vq->index,
                          at, n);
            return false;
        }
    }
    virtio_broken(vq->v, "queue %u: a chain that does not end", vq->index);
    return false;
}

static bool take_chain(VirtQueue *vq, VqElem *e, unsigned head)
{
    VqDesc d;
    uint8_t *table;
    bool ok;

    if (head >= vq->size) {
        virtio_broken(vq->v, "queue %u: descriptor %u of %u", vq->index, head,
                      vq->size);
        return false;
    }
    e->token = e->id = head;
    d = vq_desc_split(vq->desc.hva + 16 * head);
    if (!(d.flags & VQ_DESC_INDIRECT)) {
        return walk(vq, e, vq->desc.hva, vq->size, head);
    }
    if (d.flags & VQ_DESC_NEXT) {
        virtio_broken(vq->v, "queue %u: an indirect table in a chain",
                      vq->index);
        return false;
    }
    table = vq_map_table(vq, &d);
    ok = table && walk(vq, e, table, d.bytes / 16, 0);
    if (table) {
        vq_unmap_table(table);
    }
    return ok;
}

static bool split_pop(VirtQueue *vq, VqElem *e)
{
    uint16_t head;

    if (split_is_empty(vq)) {
        return false;
    }
    if ((uint16_t)(vq->shadow_avail - vq->last_avail) > vq->size) {
        virtio_broken(vq->v, "queue %u: available index went from %u to %u",
                      vq->index, vq->last_avail, vq->shadow_avail);
        return false;
    }
    head = vq_load16(&vq->avail, RING + 2 * (vq->last_avail % vq->size));
    vq->last_avail++;
    if (virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX) && vq->wants_kicks) {
        vq_store16(&vq->used, avail_event_at(vq), vq->last_avail);
    }
    return take_chain(vq, e, head);
}

static bool split_pop_again(VirtQueue *vq, uint32_t token, VqElem *e)
{
    return take_chain(vq, e, token);
}

static void split_unpop(VirtQueue *vq, const VqElem *e)
{
    vq->last_avail--;
}

static void split_push(VirtQueue *vq, const VqElem *e, uint32_t bytes)
{
    uint64_t at = RING + 8 * (vq->used_idx % vq->size);

    store_le32(vq->used.hva + at, e->id);
    store_le32(vq->used.hva + at + 4, bytes);
    vq_map_dirty(&vq->used, at, 8);
    vq->used_idx++;
    vq_store16(&vq->used, IDX, vq->used_idx);
    /* 65536 further on the old mark would look new again. */
    if (vq->used_idx == vq->signalled_used) {
        vq->signalled_valid = false;
    }
}

static bool split_should_notify(VirtQueue *vq)
{
    uint16_t old = vq->signalled_used;
    bool valid = vq->signalled_valid;
    uint16_t event;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);    /* used.idx before we look */
    if (virtio_has(vq->v, VIRTIO_F_NOTIFY_ON_EMPTY) && !vq->in_use
        && split_is_empty(vq)) {
        return true;
    }
    if (!virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX)) {
        return !(vq_load16(&vq->avail, FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
    }
    vq->signalled_used = vq->used_idx;
    vq->signalled_valid = true;
    event = vq_load16(&vq->avail, used_event_at(vq));
    return !valid || vring_need_event(event, vq->used_idx, old);
}

static void split_want_kicks(VirtQueue *vq, bool on)
{
    if (!virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX)) {
        vq_store16(&vq->used, FLAGS, on ? 0 : VRING_USED_F_NO_NOTIFY);
    } else if (on) {
        vq_store16(&vq->used, avail_event_at(vq), vq->last_avail);
    }
}

const VringOps vring_split = {
    .map = split_map, .is_empty = split_is_empty, .pop = split_pop,
    .pop_again = split_pop_again, .unpop = split_unpop, .push = split_push,
    .should_notify = split_should_notify, .want_kicks = split_want_kicks,
};
