/*
 * Virtio block device.
 *
 * Spec:   virtio 1.2, section 5.2; legacy: virtio 0.9.5, appendix D.
 * Models: reads, writes, flush, discard, write zeroes, serial number, topology,
 *         write cache, several queues.  Not: SCSI passthrough (answered
 *         UNSUPP), secure erase, zones.
 * Locks:  requests and queues in the device's loop, registers under the
 *         machine lock: hw/virtio/virtio.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-blk.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "base/iov.h"
#include "base/opts.h"
#include "base/trace.h"
#include "core/machine.h"
#include "hw/block/iothread.h"

enum {
    SECTOR_BYTES = 512, HEADER_BYTES = 16, RANGE_BYTES = 16, ID_BYTES = 20,
    CONFIG_BYTES = 60, MAX_MERGED = 32, STOPPED_BYTES = 8,
    MAX_A_TURN = 64,            /* requests: each may copy 128 KiB at once */
    MAX_STOPPED_BYTES = 256 * 1024,
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

static VirtioBlk *blk_of(Virtio *v)
{
    return v->dev;
}

/* --- completion ------------------------------------------------------------------- */

static void complete(VirtioBlkReq *r, uint8_t status)
{
    VirtQueue *vq = r->elem.vq;
    uint32_t written = r->elem.in_bytes;

    trace("virtio-blk-done", "queue %u type %u sector %" PRIu64 " status %u",
          vq->index, r->type, r->sector, status);
    *r->status = status;
    for (unsigned i = 0; i < G_N_ELEMENTS(r->cut); i++) {
        if (r->cut[i].at) {
            *r->cut[i].at = r->cut[i].was;
        }
    }
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

static uint64_t capacity(const VirtioBlk *s)
{
    return __atomic_load_n(&s->n_sectors, __ATOMIC_RELAXED);
}

static bool in_range(const VirtioBlk *s, uint64_t sector, uint64_t bytes)
{
    uint64_t n = capacity(s);

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
    if (bytes / SECTOR_BYTES > max || sector > capacity(s)
        || bytes / SECTOR_BYTES > capacity(s) - sector
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

static void kick(Virtio *v, VirtQueue *vq)
{
    VirtioBlk *s = blk_of(v);
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

/* --- life in the loop -------------------------------------------------------------------------- */

static void drain(Virtio *v)
{
    VirtioBlk *s = blk_of(v);

    start_merged(s);
    blk_drain(s->conf.blk);
}

static void set_write_cache(VirtioBlk *s, bool on)
{
    s->write_cache = on;
    blk_set_write_cache(s->conf.blk, on);
}

/* A driver that cannot flush expects what was written to stay. */
static void start(Virtio *v)
{
    VirtioBlk *s = blk_of(v);

    if (!virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE)) {
        set_write_cache(s, s->host_write_cache
                           && virtio_has(v, VIRTIO_BLK_F_FLUSH));
    }
}

static void reset(Virtio *v, VirtQueue *vq)
{
    VirtioBlk *s = blk_of(v);
    VirtioBlkReq **at = &s->stopped, *r;

    while ((r = *at)) {
        if (vq && r->elem.vq != vq) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        for (unsigned i = 0; i < G_N_ELEMENTS(r->cut); i++) {
            if (r->cut[i].at) {
                *r->cut[i].at = r->cut[i].was;
            }
        }
        vq_drop(&r->elem);
    }
    s->stopped_bytes = 0;
    if (!vq) {
        set_write_cache(s, s->host_write_cache);
    }
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

static void resume(Virtio *v)
{
    VirtioBlk *s = blk_of(v);
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

/* --- configuration -------------------------------------------------------------------------------- */

static uint32_t discard_alignment(const VirtioBlk *s)
{
    uint32_t bytes = s->conf.discard_bytes;

    if (bytes == UINT32_MAX || !bytes || !s->report_discard_granularity) {
        bytes = s->conf.logical_bytes;
    }
    return MAX(bytes / SECTOR_BYTES, 1);
}

static void get_config(Virtio *v, uint8_t *c)
{
    VirtioBlk *s = blk_of(v);
    uint32_t logical = s->conf.logical_bytes;

    memset(c, 0, CONFIG_BYTES);
#define REG(field) (c + offsetof(struct virtio_blk_config, field))
    store_le64(REG(capacity), capacity(s));
    store_le32(REG(seg_max), s->seg_max_adjust ? s->queue_size - 2 : 126);
    store_le16(REG(geometry.cylinders), s->conf.cyls);
    *REG(geometry.heads) = s->conf.heads;
    *REG(geometry.sectors) = s->conf.secs;
    store_le32(REG(blk_size), logical);
    *REG(physical_block_exp) = __builtin_ctz(s->conf.physical_bytes / logical);
    store_le16(REG(min_io_size), s->conf.min_io_bytes / logical);
    store_le32(REG(opt_io_size), s->conf.opt_io_bytes / logical);
    *REG(wce) = s->write_cache;
    store_le16(REG(num_queues), s->n_queues);
    if (s->discard) {
        store_le32(REG(max_discard_sectors), s->max_discard_sectors);
        store_le32(REG(max_discard_seg), 1);
        store_le32(REG(discard_sector_alignment), discard_alignment(s));
    }
    if (s->write_zeroes) {
        store_le32(REG(max_write_zeroes_sectors),
                   s->max_write_zeroes_sectors);
        store_le32(REG(max_write_zeroes_seg), 1);
        *REG(write_zeroes_may_unmap) = 1;
    }
}

typedef struct {
    VirtioBlk *s;
    bool on;
} CacheCall;

static void change_cache(void *opaque)
{
    CacheCall *c = opaque;

    set_write_cache(c->s, c->on);
}

static void set_config(Virtio *v, const uint8_t *c, unsigned at,
                       unsigned size)
{
    unsigned wce = offsetof(struct virtio_blk_config, wce);
    CacheCall call = { blk_of(v), c[wce] & 1 };

    if (at <= wce && wce < at + size
        && virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE)) {
        virtio_in_loop(v, change_cache, &call);
    }
}

static uint64_t features(const VirtioBlk *s)
{
    uint64_t bits = BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_GEOMETRY)
                    | BIT64(VIRTIO_BLK_F_BLK_SIZE)
                    | BIT64(VIRTIO_BLK_F_TOPOLOGY);

    if (s->config_wce) {
        bits |= BIT64(VIRTIO_BLK_F_CONFIG_WCE);
    }
    if (s->config_wce || s->host_write_cache) {
        bits |= BIT64(VIRTIO_BLK_F_FLUSH);
    }
    if (s->n_queues > 1) {
        bits |= BIT64(VIRTIO_BLK_F_MQ);
    }
    if (blk_is_read_only(s->conf.blk)) {
        bits |= BIT64(VIRTIO_BLK_F_RO);
    } else {
        bits |= (s->discard ? BIT64(VIRTIO_BLK_F_DISCARD) : 0)
                | (s->write_zeroes ? BIT64(VIRTIO_BLK_F_WRITE_ZEROES) : 0);
    }
    return bits;
}

/* --- life -------------------------------------------------------------------------------------------- */

static void read_length(VirtioBlk *s)
{
    __atomic_store_n(&s->n_sectors, blk_length(s->conf.blk) / SECTOR_BYTES,
                     __ATOMIC_RELAXED);
}

static void resized(void *dev)
{
    VirtioBlk *s = dev;

    read_length(s);
    virtio_config_changed(s->v);
}

static const BlkDevOps dev_ops = { .name = "virtio-blk", .resized = resized };

static bool fail(GError **err, const char *name, unsigned val,
                 const char *wanted)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "property '%s' cannot be %u: %s is wanted", name, val,
                wanted);
    return false;
}

static bool check(VirtioBlk *s, GError **err)
{
    if (s->n_queues == UINT16_MAX) {
        s->n_queues = CLAMP(machine() ? machine()->topo.cpus : 1, 1,
                            VIRTIO_MAX_QUEUES - 1);
    }
    if (!s->n_queues || s->n_queues > VIRTIO_MAX_QUEUES) {
        return fail(err, "num-queues", s->n_queues, "1 to 1024");
    }
    if (s->queue_size <= 2 || s->queue_size > VQ_MAX_SIZE
        || s->queue_size & (s->queue_size - 1)) {
        return fail(err, "queue-size", s->queue_size,
                    "a power of two from 4 to 1024");
    }
    if (s->discard && (!s->max_discard_sectors
                       || s->max_discard_sectors > 4194303)) {
        return fail(err, "max-discard-sectors", s->max_discard_sectors,
                    "1 to 4194303");
    }
    if (s->write_zeroes && (!s->max_write_zeroes_sectors
                            || s->max_write_zeroes_sectors > 4194303)) {
        return fail(err, "max-write-zeroes-sectors",
                    s->max_write_zeroes_sectors, "1 to 4194303");
    }
    if (s->scsi) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'scsi' cannot be on: SCSI commands are not "
                    "passed through");
        return false;
    }
    return true;
}

static bool realize(Virtio *v, GError **err)
{
    VirtioBlk *s = blk_of(v);

    s->v = v;
    s->conf.may_be_read_only = true;
    if (!check(s, err)
        || !block_conf_realize(&s->conf, &dev_ops, s, false, err)) {
        return false;
    }
    read_length(s);
    block_conf_geometry(&s->conf, capacity(s));
    s->host_write_cache = blk_write_cache(s->conf.blk);
    if (s->iothread) {
        v->loop = iothread_loop(s->iothread);
        if (!blk_set_loop(s->conf.blk, v->loop, err)) {
            block_conf_unrealize(&s->conf);
            return false;
        }
    }
    v->offered |= features(s);
    for (unsigned i = 0; i < s->n_queues; i++) {
        virtio_add_queue(v, s->queue_size);
    }
    s->write_cache = s->host_write_cache;
    s->stopped_image = g_malloc0(MAX_STOPPED_BYTES);
    return true;
}

static void unrealize(Virtio *v)
{
    VirtioBlk *s = blk_of(v);

    blk_set_loop(s->conf.blk, loop_main(), NULL);
    block_conf_unrealize(&s->conf);
    g_clear_pointer(&s->stopped_image, g_free);
}

const VirtioOps virtio_blk_ops = {
    .name = "virtio-blk", .id = VIRTIO_ID_BLOCK, .pci_id = 0x1001,
    .pci_class = 0x010000, .config_bytes = CONFIG_BYTES,
    .realize = realize, .unrealize = unrealize, .get_config = get_config,
    .set_config = set_config, .start = start, .kick = kick, .drain = drain,
    .reset = reset, .resume = resume,
};

/* --- state -------------------------------------------------------------------------------------------- */

static void save_stopped(void *opaque)
{
    VirtioBlk *s = opaque;
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

static void pre_save(void *opaque)
{
    VirtioBlk *s = opaque;

    virtio_in_loop(s->v, save_stopped, s);
}

static void load_cache(void *opaque)
{
    VirtioBlk *s = opaque;

    set_write_cache(s, s->write_cache);
}

static bool post_load(void *opaque, int version, GError **err)
{
    VirtioBlk *s = opaque;

    if (s->stopped_bytes % STOPPED_BYTES) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "virtio-blk: half a request that waits");
        return false;
    }
    virtio_in_loop(s->v, load_cache, s);
    return true;
}

const State virtio_blk_state = {
    .name = "virtio-blk", .version = 1, .pre_save = pre_save,
    .post_load = post_load,
    .fields = (const StateField[]) {
        STATE_BOOL(VirtioBlk, write_cache),
        { .name = "stopped", .kind = STATE_KIND_BUFFER,
          .offset = offsetof(VirtioBlk, stopped_image),
          .count_offset = offsetof(VirtioBlk, stopped_bytes),
          .max = MAX_STOPPED_BYTES },
        {}
    },
};
