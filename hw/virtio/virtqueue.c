/*
 * What both kinds of rings share: mapping guest memory, elements.
 *
 * Rings stay mapped while the memory map stays as it is: a listener counts its
 * changes, and a queue that was mapped under another count maps again.
 *
 * Spec:  virtio 1.2, section 2.6.
 * Locks: the device's loop; see hw/virtio/virtqueue.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtqueue.h"

#include "hw/virtio/virtio.h"

static unsigned map_generation = 1;     /* (A) */

static void on_commit(MemListener *l)
{
    if (!__atomic_add_fetch(&map_generation, 1, __ATOMIC_ACQ_REL)) {
        __atomic_store_n(&map_generation, 1, __ATOMIC_RELEASE);
    }
}

static void follow_map(void)
{
    static MemListener listener = { .commit = on_commit };
    static bool following;

    if (!following) {
        following = true;
        as_add_listener(&as_memory, &listener);
    }
}

/* --- memory ------------------------------------------------------------------- */

bool vq_map(VirtQueue *vq, VqMap *m, uint64_t gpa, uint64_t bytes,
            unsigned align, const char *what)
{
    uint64_t got = bytes;
    void *hva;

    if (gpa & (align - 1)) {
        virtio_broken(vq->v, "queue %u: %s at 0x%" PRIx64 " is not aligned",
                      vq->index, what, gpa);
        return false;
    }
    hva = as_map(&as_memory, gpa, &got, true);
    if (hva && got < bytes) {
        as_unmap(&as_memory, hva, got, true, 0);
        hva = NULL;
    }
    if (!hva) {
        virtio_broken(vq->v, "queue %u: %s at 0x%" PRIx64 " is not in RAM",
                      vq->index, what, gpa);
        return false;
    }
    m->hva = hva;
    m->bytes = bytes;
    m->ram = ram_from_host(hva, &m->offset);
    return true;
}

void vq_map_dirty(const VqMap *m, uint64_t at, uint64_t bytes)
{
    ram_mark_dirty(m->ram, m->offset + at, bytes);
}

static void unmap_one(VqMap *m)
{
    if (m->hva) {
        as_unmap(&as_memory, m->hva, m->bytes, true, 0);
        *m = (VqMap) { 0 };
    }
}

void vq_unmap(VirtQueue *vq)
{
    unmap_one(&vq->desc);
    unmap_one(&vq->avail);
    unmap_one(&vq->used);
    vq->map_generation = 0;
}

static bool map_rings(VirtQueue *vq)
{
    unsigned now = __atomic_load_n(&map_generation, __ATOMIC_ACQUIRE);

    if (likely(vq->map_generation == now)) {
        return true;
    }
    follow_map();
    now = __atomic_load_n(&map_generation, __ATOMIC_ACQUIRE);
    vq_unmap(vq);
    if (!vq->v->ring->map(vq)) {
        vq_unmap(vq);
        return false;
    }
    vq->map_generation = now;
    return true;
}

bool vq_is_ready(VirtQueue *vq)
{
    Virtio *v = vq->v;

    return __atomic_load_n(&vq->enabled, __ATOMIC_ACQUIRE) && !v->broken
           && (!v->bus->may_dma || v->bus->may_dma(v)) && map_rings(vq);
}

/* --- elements ------------------------------------------------------------------ */

/* The guest may be writing there: read once, wherever a table lies. */
static uint64_t load_once(const uint8_t *at)
{
    uint64_t val;

    memcpy(&val, at, sizeof(val));
    __asm__ volatile("" : "+r"(val));
    return val;
}

VqDesc vq_desc_split(const uint8_t *at)
{
    uint64_t gpa = load_once(at), rest = load_once(at + 8);

    return (VqDesc) { gpa, rest, rest >> 32, rest >> 48 };
}

VqDesc vq_desc_packed(const uint8_t *at)
{
    uint64_t gpa = load_once(at), rest = load_once(at + 8);

    return (VqDesc) { gpa, rest, rest >> 48, rest >> 32 };
}

/* End `n` mappings; of those the device writes, `written` bytes are new. */
static void unmap_pieces(const struct iovec *v, unsigned n, bool write,
                         uint64_t written)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t here = MIN(written, v[i].iov_len);

        as_unmap(&as_memory, v[i].iov_base, v[i].iov_len, write, here);
        written -= here;
    }
}

static void unmap_elem(VqElem *e, uint64_t written)
{
    unmap_pieces(e->iov, e->n_out, false, 0);
    unmap_pieces(e->iov + e->n_out, e->n_in, true, written);
}

bool vq_add_buffer(VirtQueue *vq, VqElem *e, const VqDesc *d)
{
    Virtio *v = vq->v;
    bool write = d->flags & VQ_DESC_WRITE;
    uint32_t *total = write ? &e->in_bytes : &e->out_bytes;
    uint64_t left = d->bytes, gpa = d->gpa;

    if (!left) {
        virtio_broken(v, "queue %u: a buffer without a byte", vq->index);
        return false;
    }
    if (!write && e->n_in) {
        virtio_broken(v, "queue %u: a buffer to read behind one to write",
                      vq->index);
        return false;
    }
    if (left > UINT32_MAX - *total) {
        virtio_broken(v, "queue %u: an element of 4 GiB", vq->index);
        return false;
    }
    *total += left;
    while (left) {
        uint64_t here = left;
        void *hva;

        if (e->n_out + e->n_in == VQ_MAX_DESCS) {
            virtio_broken(v, "queue %u: an element of more than %d pieces",
                          vq->index, VQ_MAX_DESCS);
            return false;
        }
        hva = as_map(&as_memory, gpa, &here, write);
        if (!hva) {
            virtio_broken(v, "queue %u: a buffer at 0x%" PRIx64 " is not in "
                          "RAM", vq->index, gpa);
            return false;
        }
        v->scratch[e->n_out + e->n_in] = (struct iovec) { hva, here };
        if (write) {
            e->n_in++;
        } else {
            e->n_out++;
        }
        left -= here;
        gpa += here;
    }
    return true;
}

uint8_t *vq_map_table(VirtQueue *vq, const VqDesc *d)
{
    uint64_t got = d->bytes;
    uint8_t *table;

    if (!virtio_has(vq->v, VIRTIO_RING_F_INDIRECT_DESC)) {
        virtio_broken(vq->v, "queue %u: an indirect table, which was not "
                      "negotiated", vq->index);
        return NULL;
    }
    if (!d->bytes || d->bytes % 16) {
        virtio_broken(vq->v, "queue %u: an indirect table of %u bytes",
                      vq->index, d->bytes);
        return NULL;
    }
    table = as_map(&as_memory, d->gpa, &got, false);
    if (table && got < d->bytes) {
        vq_unmap_table(table);
        table = NULL;
    }
    if (!table) {
        virtio_broken(vq->v, "queue %u: an indirect table at 0x%" PRIx64
                      " is not in RAM", vq->index, d->gpa);
    }
    return table;
}

void vq_unmap_table(uint8_t *table)
{
    as_unmap(&as_memory, table, 0, false, 0);
}

/* What was collected in the scratch list, in memory of its own. */
static void *finish(VirtQueue *vq, const VqElem *found, bool ok, size_t size)
{
    unsigned n = found->n_out + found->n_in;
    VqElem *e;

    if (!ok) {
        unmap_pieces(vq->v->scratch, n, false, 0);
        return NULL;
    }
    size = ALIGN_UP(size, 16);
    e = g_malloc(size + n * sizeof(struct iovec));
    memset(e, 0, size);
    *e = *found;
    e->iov = (struct iovec *)((char *)e + size);
    memcpy(e->iov, vq->v->scratch, n * sizeof(struct iovec));
    vq->in_use++;
    return e;
}

void *vq_pop(VirtQueue *vq, size_t size)
{
    VqElem e = { .vq = vq };

    if (!vq_is_ready(vq)) {
        return NULL;
    }
    if (vq->in_use >= vq->size && !vq->v->ring->is_empty(vq)) {
        virtio_broken(vq->v, "queue %u: more elements than entries",
                      vq->index);
        return NULL;
    }
    return finish(vq, &e, vq->v->ring->pop(vq, &e), size);
}

void *vq_pop_again(VirtQueue *vq, uint32_t token, size_t size)
{
    VqElem e = { .vq = vq };

    if (!vq_is_ready(vq) || vq->in_use >= vq->size) {
        return NULL;
    }
    return finish(vq, &e, vq->v->ring->pop_again(vq, token, &e), size);
}

void vq_push(VqElem *e, uint32_t bytes)
{
    VirtQueue *vq = e->vq;

    unmap_elem(e, bytes);
    vq->in_use--;
    if (vq_is_ready(vq)) {
        vq->v->ring->push(vq, e, bytes);
    }
    g_free(e);
}

void vq_drop(VqElem *e)
{
    unmap_elem(e, 0);
    e->vq->in_use--;
    g_free(e);
}

void vq_unpop(VqElem *e)
{
    e->vq->v->ring->unpop(e->vq, e);
    vq_drop(e);
}

/* --- both ways of telling ---------------------------------------------------------- */

void vq_notify(VirtQueue *vq)
{
    Virtio *v = vq->v;

    if (vq_is_ready(vq) && v->ring->should_notify(vq)) {
        v->bus->notify(v, vq);
    }
}

bool vq_is_empty(VirtQueue *vq)
{
    return !vq_is_ready(vq) || vq->v->ring->is_empty(vq);
}

/* Would a kick be served now, without mapping anything?  Rings that are not
 * mapped come first: then state may be loaded meanwhile, not by this loop. */
static bool is_served(VirtQueue *vq)
{
    Virtio *v = vq->v;

    return vq->map_generation == __atomic_load_n(&map_generation,
                                                 __ATOMIC_ACQUIRE)
           && v->started && !v->paused && !v->broken
           && __atomic_load_n(&vq->enabled, __ATOMIC_ACQUIRE)
           && (!v->bus->may_dma || v->bus->may_dma(v));
}

bool vq_has_work(VirtQueue *vq)
{
    return is_served(vq) && !vq->v->ring->is_empty(vq);
}

void vq_polled(VirtQueue *vq, bool on)
{
    if (is_served(vq)) {
        vq_want_kicks(vq, !on);
    }
}

bool vq_want_kicks(VirtQueue *vq, bool on)
{
    if (!vq_is_ready(vq)) {
        return false;
    }
    vq->wants_kicks = on;
    vq->v->ring->want_kicks(vq, on);
    /* The driver looks at our word after its store, we look at its after
     * ours: one of us sees the other's. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return on && !vq->v->ring->is_empty(vq);
}

void vq_reset(VirtQueue *vq)
{
    vq_unmap(vq);
    __atomic_store_n(&vq->enabled, false, __ATOMIC_RELEASE);
    vq->size = vq->max_size;
    vq->desc_gpa = vq->avail_gpa = vq->used_gpa = 0;
    __atomic_store_n(&vq->vector, VQ_NO_VECTOR, __ATOMIC_RELAXED);
    vq->last_avail = vq->shadow_avail = 0;
    vq->used_idx = vq->signalled_used = 0;
    vq->avail_wrap = vq->used_wrap = true;
    vq->signalled_valid = false;
    vq->wants_kicks = true;
    vq->again = false;
}
