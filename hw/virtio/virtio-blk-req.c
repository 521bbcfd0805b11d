/*
 * Virtio block device: requests, from the ring to the image and back.
 *
 * Spec:   virtio 1.2, section 5.2.6; legacy: virtio 0.9.5, appendix D.
 * Locks:  in the device's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "virtio-blk-parts.h"

#include <linux/virtio_blk.h>

#include "base/iov.h"
#include "base/trace.h"

enum {
    HEADER_BYTES = 16, RANGE_BYTES = 16, ID_BYTES = 20, MAX_MERGED = 32,
    MAX_A_TURN = 64,            /* requests: each may copy 128 KiB at once */
};
#define T_BARRIER BIT(31)       /* legacy */
#define UNMAP BIT(0)            /* of a range's flags */

struct VirtioBlkReq {
    VqElem elem;                /* first */
    VirtioBlk *s;
    uint32_t type;
    uint64_t sector;
    struct iovec *data;         /* in elem.iov, without header and status */
    unsigned n_data;
    uint64_t bytes;
    uint8_t *status;
    struct { struct iovec *at, was; } cut[2];   /* pieces made shorter */
    struct iovec *merged;       /* of the first of several */
    VirtioBlkReq *next;
};

/* --- completion ------------------------------------------------------------------- */

/* Pieces are unmapped as they were mapped. */
static void uncut(VirtioBlkReq *r)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(r->cut); i++) {
        if (r->cut[i].at) {
            *r->cut[i].at = r->cut[i].was;
        }
    }
}

static void complete(VirtioBlkReq *r, uint8_t status)
{
    VirtQueue *vq = r->elem.vq;
    uint32_t written = r->elem.in_bytes;

    trace("virtio-blk-done", "queue %u type %u sector %" PRIu64 " status %u",
          vq->index, r->type, r->sector, status);
    *r->status = status;
    uncut(r);
    g_free(r->merged);
    vq_push(&r->elem, written);
    vq_notify(vq);
}

static bool is_read(const VirtioBlkReq *r)
{
    return r->type == VIRTIO_BLK_T_IN;
}

/* One request's end; it may be kept for later. */
static void finish(VirtioBlkReq *r, int ret)
{
    VirtioBlk *s = r->s;

    if (ret < 0) {
        switch (blk_error(s->conf.blk, is_read(r), -ret)) {
        case BLK_STOP:
            r->next = s->stopped;
            s->stopped = r;
            return;
        case BLK_IGNORE:
            ret = 0;
            break;
        case BLK_REPORT:
            break;
        }
    }
    complete(r, ret < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

static void on_done(void *opaque, int ret)
{
    VirtioBlkReq *r = opaque;

    g_clear_pointer(&r->merged, g_free);
    while (r) {
        VirtioBlkReq *next = r->next;

        r->next = NULL;
        finish(r, ret);
        r = next;
    }
}

/* --- reads and writes --------------------------------------------------------------- */

static void submit(VirtioBlkReq *r, const struct iovec *iov, unsigned n,
                   uint64_t bytes)
{
    BlockBackend *blk = r->s->conf.blk;
    uint64_t at = r->sector * SECTOR_BYTES;

    if (is_read(r)) {
        blk_read(blk, at, bytes, iov, n, on_done, r);
    } else {
        blk_write(blk, at, bytes, iov, n, 0, on_done, r);
    }
}

/* Start the requests that were collected, as one. */
static void start_merged(VirtioBlk *s)
{
    VirtioBlkReq *first = s->first;
    unsigned n = 0;

    if (!first) {
        return;
    }
    s->first = s->last = NULL;
    if (!first->next) {
        submit(first, first->data, first->n_data, first->bytes);
        return;
    }
    first->merged = g_new(struct iovec, s->merged_pieces);
    for (VirtioBlkReq *r = first; r; r = r->next) {
        memcpy(first->merged + n, r->data, r->n_data * sizeof(*r->data));
        n += r->n_data;
    }
    submit(first, first->merged, n, s->merged_bytes);
}

static bool follows(const VirtioBlk *s, const VirtioBlkReq *r)
{
    const VirtioBlkReq *last = s->last;

    return last && s->request_merging && last->type == r->type
           && last->sector + last->bytes / SECTOR_BYTES == r->sector
           && s->n_merged < MAX_MERGED
           && s->merged_pieces + r->n_data <= VQ_MAX_DESCS
           && s->merged_bytes + r->bytes <= BLOCK_MAX_REQUEST;
}

static void add_rw(VirtioBlk *s, VirtioBlkReq *r)
{
    if (follows(s, r)) {
        s->last->next = r;
        s->last = r;
    } else {
        start_merged(s);
        s->first = s->last = r;
        s->n_merged = s->merged_pieces = 0;
        s->merged_bytes = 0;
    }
    s->n_merged++;
    s->merged_pieces += r->n_data;
    s->merged_bytes += r->bytes;
}

static bool in_range(const VirtioBlk *s, uint64_t sector, uint64_t bytes)
{
    uint64_t n = virtio_blk_capacity(s);

    return bytes % s->conf.logical_bytes == 0
           && sector % (s->conf.logical_bytes / SECTOR_BYTES) == 0
           && sector <= n && bytes / SECTOR_BYTES <= n - sector
           && bytes <= BLOCK_MAX_REQUEST;
}

static void read_or_write(VirtioBlk *s, VirtioBlkReq *r)
{
    if (!in_range(s, r->sector, r->bytes)) {
        complete(r, VIRTIO_BLK_S_IOERR);
    } else if (!r->bytes) {
        complete(r, VIRTIO_BLK_S_OK);
    } else {
        add_rw(s, r);
    }
}

/* --- everything else -------------------------------------------------------------------- */

static void erase(VirtioBlk *s, VirtioBlkReq *r, bool discard)
{
    uint32_t max = discard ? s->max_discard_sectors
                           : s->max_write_zeroes_sectors;
    uint8_t range[RANGE_BYTES];
    uint32_t flags;
    uint64_t sector, bytes;

    if (!(discard ? s->discard : s->write_zeroes)
        || r->bytes != sizeof(range)) {
        complete(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    iov_get(iov_all(r->data, r->n_data), range, sizeof(range));
    sector = load_le64(range);
    bytes = (uint64_t)load_le32(range + 8) * SECTOR_BYTES;
    flags = load_le32(range + 12);
    if (flags & ~UNMAP || (discard && flags)) {
        complete(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    /* in_range() has the limit of reads and writes: not for these. */
    if (bytes / SECTOR_BYTES > max || sector > virtio_blk_capacity(s)
        || bytes / SECTOR_BYTES > virtio_blk_capacity(s) - sector
        || (sector * SECTOR_BYTES | bytes) % s->conf.logical_bytes) {
        complete(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    r->sector = sector;
    if (discard) {
        blk_discard(s->conf.blk, sector * SECTOR_BYTES, bytes, on_done, r);
    } else {
        blk_write_zeroes(s->conf.blk, sector * SECTOR_BYTES, bytes,
                         flags & UNMAP ? BLOCK_MAY_UNMAP : 0, on_done, r);
    }
}

static void get_id(VirtioBlk *s, VirtioBlkReq *r)
{
    char id[ID_BYTES] = "";

    if (s->conf.serial) {
        memcpy(id, s->conf.serial, MIN(strlen(s->conf.serial), sizeof(id)));
    }
    iov_put(iov_all(r->data, r->n_data), id, MIN(r->bytes, sizeof(id)));
    complete(r, VIRTIO_BLK_S_OK);
}

static void handle(VirtioBlk *s, VirtioBlkReq *r)
{
    bool writes = r->type == VIRTIO_BLK_T_OUT
                  || r->type == VIRTIO_BLK_T_DISCARD
                  || r->type == VIRTIO_BLK_T_WRITE_ZEROES;

    if (writes && blk_is_read_only(s->conf.blk)) {
        complete(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    switch (r->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        read_or_write(s, r);
        break;
    case VIRTIO_BLK_T_FLUSH:
        start_merged(s);        /* in the order of the ring */
        blk_flush(s->conf.blk, on_done, r);
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        start_merged(s);
        erase(s, r, r->type == VIRTIO_BLK_T_DISCARD);
        break;
    case VIRTIO_BLK_T_GET_ID:
        get_id(s, r);
        break;
    default:
        complete(r, VIRTIO_BLK_S_UNSUPP);
        break;
    }
}

/* --- taking requests apart ------------------------------------------------------------------ */

static void cut(VirtioBlkReq *r, unsigned i, struct iovec *at, size_t front,
                size_t back)
{
    r->cut[i].at = at;
    r->cut[i].was = *at;
    at->iov_base = (char *)at->iov_base + front;
    at->iov_len -= front + back;
}

/* The bytes between header and status, wherever the driver cut them. */
static void set_data(VirtioBlkReq *r)
{
    VqElem *e = &r->elem;
    struct iovec *v = e->iov + e->n_out, *last = v + e->n_in - 1;
    unsigned n = e->n_in;
    size_t skip = HEADER_BYTES;

    r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    if (r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID) {
        r->bytes = e->in_bytes - 1;
        if (last->iov_len == 1) {
            n--;
        } else {
            cut(r, 0, last, 0, 1);
        }
        r->data = v;
        r->n_data = n;
        return;
    }
    r->bytes = e->out_bytes - HEADER_BYTES;
    v = e->iov;
    n = e->n_out;
    while (n && skip >= v->iov_len) {
        skip -= v->iov_len;
        v++;
        n--;
    }
    if (skip) {
        cut(r, 1, v, skip, 0);
    }
    r->data = v;
    r->n_data = n;
}

/* False: not a request at all, and the device is broken. */
static bool parse(VirtioBlk *s, VirtioBlkReq *r)
{
    VqElem *e = &r->elem;
    uint8_t header[HEADER_BYTES];

    r->s = s;
    if (e->out_bytes < sizeof(header) || !e->in_bytes) {
        virtio_broken(s->v, "queue %u: a request of %u bytes with room for %u",
                      e->vq->index, e->out_bytes, e->in_bytes);
        vq_drop(e);
        return false;
    }
    iov_get(iov_all(e->iov, e->n_out), header, sizeof(header));
    r->type = load_le32(header);
    if (!virtio_is_modern(s->v)) {
        r->type &= ~T_BARRIER;
    }
    r->sector = load_le64(header + 8);
    set_data(r);
    return true;
}

void virtio_blk_kick(Virtio *v, VirtQueue *vq)
{
    VirtioBlk *s = v->dev;
    unsigned left = MAX_A_TURN;
    VirtioBlkReq *r;

    do {
        BlockCtx *outer = blk_batch_begin(s->conf.blk);

        vq_want_kicks(vq, false);
        while (left && (r = vq_pop(vq, sizeof(*r)))) {
            left--;
            if (!parse(s, r)) {
                break;
            }
            handle(s, r);
        }
        start_merged(s);
        blk_batch_end(s->conf.blk, outer);
        if (!left) {
            vq->again = true;   /* let others run */
            virtio_run_again(v);
            return;
        }
    } while (vq_want_kicks(vq, true));
}

/* --- what waits, and what ends --------------------------------------------------------------- */

void virtio_blk_drain(Virtio *v)
{
    VirtioBlk *s = v->dev;

    start_merged(s);
    blk_drain(s->conf.blk);
}

void virtio_blk_drop_stopped(VirtioBlk *s, VirtQueue *vq)
{
    VirtioBlkReq **at = &s->stopped, *r;

    while ((r = *at)) {
        if (vq && r->elem.vq != vq) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        uncut(r);
        vq_drop(&r->elem);
    }
    s->stopped_bytes = 0;
}

/* What the stream brought: its requests are in the rings still. */
static void pop_stopped(VirtioBlk *s)
{
    uint32_t n = s->stopped_bytes / STOPPED_BYTES;

    s->stopped_bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *from = s->stopped_image + i * STOPPED_BYTES;
        VirtQueue *vq = virtio_queue(s->v, load_le32(from));
        VirtioBlkReq *r = vq ? vq_pop_again(vq, load_le32(from + 4),
                                            sizeof(*r)) : NULL;

        if (r && parse(s, r)) {
            handle(s, r);
        }
    }
}

void virtio_blk_resume(Virtio *v)
{
    VirtioBlk *s = v->dev;
    VirtioBlkReq *list = g_steal_pointer(&s->stopped);

    if (!list) {
        pop_stopped(s);
    }
    s->stopped_bytes = 0;
    while (list) {
        VirtioBlkReq *r = list;

        list = r->next;
        r->next = NULL;
        handle(s, r);
    }
    start_merged(s);
}

void virtio_blk_save_stopped(void *blk)
{
    VirtioBlk *s = blk;
    uint32_t n = 0;

    if (!s->stopped) {
        return;                 /* what was loaded and never resumed stays */
    }
    for (VirtioBlkReq *r = s->stopped;
         r && n < MAX_STOPPED_BYTES / STOPPED_BYTES; r = r->next) {
        store_le32(s->stopped_image + n * STOPPED_BYTES, r->elem.vq->index);
        store_le32(s->stopped_image + n * STOPPED_BYTES + 4, r->elem.token);
        n++;
    }
    s->stopped_bytes = n * STOPPED_BYTES;
}
