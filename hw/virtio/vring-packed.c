/*
 * Packed virtqueues: one ring, where driver and device write in turn.
 *
 *   desc   16 bytes each: address, length, id, flags
 *   avail  what the driver wants to be told: { off_wrap, flags }
 *   used   what we do
 *
 * An entry is available when its AVAIL bit is the driver's wrap counter and
 * its USED bit is not; it is used when both are ours.
 *
 * Spec:   virtio 1.2, section 2.8.
 * Locks:  the device's loop.  Against the driver: flags are read with acquire
 *         before the rest of a chain, and written with release after it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio.h"

enum { DESC_BYTES = 16, DESC_FLAGS = 14, EVENT_BYTES = 4 };
enum { AVAIL = 1 << 7, USED = 1 << 15 };
enum { EVENT_OFF_WRAP = 0, EVENT_FLAGS = 2 };
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };
enum { TOKEN_WRAP = 1 << 16 };

static bool packed_map(VirtQueue *vq)
{
    return vq_map(vq, &vq->desc, vq->desc_gpa, DESC_BYTES * vq->size, 16,
                  "descriptor ring")
           && vq_map(vq, &vq->avail, vq->avail_gpa, EVENT_BYTES, 4,
                     "driver's event area")
           && vq_map(vq, &vq->used, vq->used_gpa, EVENT_BYTES, 4,
                     "device's event area");
}

static bool is_avail(VirtQueue *vq, unsigned at, bool wrap)
{
    uint16_t flags = vq_load16(&vq->desc, DESC_BYTES * at + DESC_FLAGS);

    return !!(flags & AVAIL) == wrap && !!(flags & USED) != wrap;
}

static bool packed_is_empty(VirtQueue *vq)
{
    return !is_avail(vq, vq->last_avail, vq->avail_wrap);
}

static bool walk_table(VirtQueue *vq, VqElem *e, const VqDesc *head)
{
    uint8_t *table = vq_map_table(vq, head);
    unsigned n = head->bytes / DESC_BYTES;
    bool ok = table;

    for (unsigned i = 0; ok && i < n; i++) {
        VqDesc d = vq_desc_packed(table + DESC_BYTES * i);

        ok = vq_add_buffer(vq, e, &d);
    }
    if (table) {
        vq_unmap_table(table);
    }
    return ok;
}

static bool walk(VirtQueue *vq, VqElem *e, unsigned at)
{
    for (unsigned n = 1; n <= vq->size; n++) {
        VqDesc d = vq_desc_packed(vq->desc.hva + DESC_BYTES * at);

        if (d.flags & VQ_DESC_INDIRECT) {
            if (n > 1 || d.flags & VQ_DESC_NEXT) {
                virtio_broken(vq->v, "queue %u: an indirect table in a chain",
                              vq->index);
                return false;
            }
            e->id = d.next_or_id;
            e->n_descs = 1;
            return walk_table(vq, e, &d);
        }
        if (!vq_add_buffer(vq, e, &d)) {
            return false;
        }
        if (!(d.flags & VQ_DESC_NEXT)) {
            e->id = d.next_or_id;
            e->n_descs = n;
            return true;
        }
        at = at + 1 == vq->size ? 0 : at + 1;
    }
    virtio_broken(vq->v, "queue %u: a chain that does not end", vq->index);
    return false;
}

static bool packed_pop(VirtQueue *vq, VqElem *e)
{
    if (packed_is_empty(vq)) {
        return false;
    }
    e->token = vq->last_avail | (vq->avail_wrap ? TOKEN_WRAP : 0);
    if (!walk(vq, e, vq->last_avail)) {
        return false;
    }
    vq->last_avail += e->n_descs;
    if (vq->last_avail >= vq->size) {
        vq->last_avail -= vq->size;
        vq->avail_wrap = !vq->avail_wrap;
    }
    return true;
}

static bool packed_pop_again(VirtQueue *vq, uint32_t token, VqElem *e)
{
    unsigned at = token & 0xffff;

    e->token = token;
    return at < vq->size && walk(vq, e, at);
}

static void packed_unpop(VirtQueue *vq, const VqElem *e)
{
    vq->last_avail = e->token;
    vq->avail_wrap = e->token & TOKEN_WRAP;
}

static void packed_push(VirtQueue *vq, const VqElem *e, uint32_t bytes)
{
    uint64_t at = DESC_BYTES * vq->used_idx;
    uint16_t flags = (vq->used_wrap ? AVAIL | USED : 0)
                     | (bytes ? VQ_DESC_WRITE : 0);

    store_le32(vq->desc.hva + at + 8, bytes);
    store_le16(vq->desc.hva + at + 12, e->id);
    vq_map_dirty(&vq->desc, at, DESC_BYTES);
    vq_store16(&vq->desc, at + DESC_FLAGS, flags);
    vq->used_idx += e->n_descs;
    if (vq->used_idx >= vq->size) {
        vq->used_idx -= vq->size;
        vq->used_wrap = !vq->used_wrap;
        vq->signalled_valid = false;
    }
}

static bool packed_should_notify(VirtQueue *vq)
{
    uint16_t old = vq->signalled_used, off_wrap, off;
    bool valid = vq->signalled_valid;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);    /* flags before we look */
    vq->signalled_used = vq->used_idx;
    vq->signalled_valid = true;
    switch (vq_load16(&vq->avail, EVENT_FLAGS) & 3) {
    case EVENT_DISABLE:
        return false;
    case EVENT_DESC:
        if (!virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX)) {
            return true;
        }
        break;
    default:
        return true;
    }
    off_wrap = vq_load16(&vq->avail, EVENT_OFF_WRAP);
    off = off_wrap & 0x7fff;
    if (off_wrap >> 15 != vq->used_wrap) {
        off -= vq->size;
    }
    return !valid || vring_need_event(off, vq->used_idx, old);
}

static void packed_want_kicks(VirtQueue *vq, bool on)
{
    uint16_t flags = on ? EVENT_ENABLE : EVENT_DISABLE;

    if (on && virtio_has(vq->v, VIRTIO_RING_F_EVENT_IDX)) {
        vq_store16(&vq->used, EVENT_OFF_WRAP,
                   vq->last_avail | vq->avail_wrap << 15);
        flags = EVENT_DESC;
    }
    vq_store16(&vq->used, EVENT_FLAGS, flags);
}

const VringOps vring_packed = {
    .map = packed_map, .is_empty = packed_is_empty, .pop = packed_pop,
    .pop_again = packed_pop_again, .unpop = packed_unpop,
    .push = packed_push, .should_notify = packed_should_notify,
    .want_kicks = packed_want_kicks,
};
