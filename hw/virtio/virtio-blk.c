/*
 * Virtio block device: configuration, features, life, state.
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
#include "virtio-blk-parts.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "base/opts.h"
#include "core/machine.h"
#include "hw/block/iothread.h"

enum { CONFIG_BYTES = 60 };

static VirtioBlk *blk_of(Virtio *v)
{
    return v->dev;
}

/* --- life in the loop -------------------------------------------------------------------------- */

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

    virtio_blk_drop_stopped(s, vq);
    if (!vq) {
        set_write_cache(s, s->host_write_cache);
    }
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
    store_le64(REG(capacity), virtio_blk_capacity(s));
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
    block_conf_geometry(&s->conf, virtio_blk_capacity(s));
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
    .set_config = set_config, .start = start, .kick = virtio_blk_kick,
    .drain = virtio_blk_drain, .reset = reset, .resume = virtio_blk_resume,
};

/* --- state -------------------------------------------------------------------------------------------- */

static void pre_save(void *opaque)
{
    VirtioBlk *s = opaque;

    virtio_in_loop(s->v, virtio_blk_save_stopped, s);
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
