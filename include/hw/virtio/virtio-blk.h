/*
 * The virtio block device, without a bus.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTIO_BLK_H
#define HW_VIRTIO_VIRTIO_BLK_H

#include "hw/block/block.h"
#include "hw/virtio/virtio.h"

typedef struct VirtioBlkReq VirtioBlkReq;

typedef struct VirtioBlk {
    Virtio *v;                  /* (C) */
    BlockConf conf;             /* properties, to max_write_zeroes_sectors */
    Object *iothread;
    uint16_t n_queues, queue_size;
    bool config_wce, scsi, seg_max_adjust, request_merging;
    bool discard, write_zeroes, report_discard_granularity;
    uint32_t max_discard_sectors, max_write_zeroes_sectors;

    uint64_t n_sectors;         /* (A) */
    bool host_write_cache;      /* (C) as the user set it */
    bool write_cache;           /* as the guest has it; saved */

    /* In the loop: */
    VirtioBlkReq *stopped;      /* failed, to be tried again by `cont` */
    VirtioBlkReq *first, *last; /* being merged */
    unsigned n_merged, merged_pieces;
    uint64_t merged_bytes;

    /* `stopped` in the stream: 8 bytes each, queue and token. */
    uint8_t *stopped_image;
    uint32_t stopped_bytes;
} VirtioBlk;

extern const VirtioOps virtio_blk_ops;
extern const State virtio_blk_state;            /* of a VirtioBlk */

#define VIRTIO_BLK_PROPS(t, f)                                              \
    BLOCK_PROPS(t, f.conf), BLOCK_LCHS_PROPS(t, f.conf),                    \
    PROP_LINK(t, f.iothread, "iothread", &iothread_type_ptr,                \
              "the thread that serves it; the main loop by default"),       \
    PROP_U16(t, f.n_queues, "num-queues", UINT16_MAX,                       \
             "queues; by default one for each processor"),                  \
    PROP_U16(t, f.queue_size, "queue-size", 256, "entries of a queue"),     \
    PROP_BOOL(t, f.seg_max_adjust, "seg-max-adjust", true,                  \
              "let requests fill a queue"),                                 \
    PROP_BOOL(t, f.config_wce, "config-wce", true,                          \
              "the guest may switch the write cache"),                      \
    PROP_BOOL(t, f.request_merging, "request-merging", true,                \
              "make one of requests that follow each other"),               \
    PROP_BOOL(t, f.discard, "discard", true, "offer discard"),              \
    PROP_BOOL(t, f.write_zeroes, "write-zeroes", true,                      \
              "offer writing zeroes"),                                      \
    PROP_BOOL(t, f.report_discard_granularity,                              \
              "report-discard-granularity", true,                           \
              "tell the guest what can be discarded at once"),              \
    PROP_U32(t, f.max_discard_sectors, "max-discard-sectors", 4194303,      \
             "most sectors of a discard"),                                  \
    PROP_U32(t, f.max_write_zeroes_sectors, "max-write-zeroes-sectors",     \
             4194303, "most sectors of zeroes"),                            \
    PROP_BOOL(t, f.scsi, "scsi", false,                                     \
              "pass SCSI commands through: refused")

#endif
