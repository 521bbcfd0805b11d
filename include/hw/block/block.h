/*
 * What disks have in common, whatever their bus: properties, geometry, taking
 * the drive, requests that wait for `cont`.
 *
 *     static const Property my_props[] = {
 *         BLOCK_PROPS(MyDisk, conf), {}
 *     };
 *     realize:   block_conf_realize(&s->conf, &my_ops, s, cdrom, err)
 *     unrealize: block_conf_unrealize(&s->conf)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_BLOCK_BLOCK_H
#define HW_BLOCK_BLOCK_H

#include "block/backend.h"
#include "core/device.h"

typedef struct BlockConf {
    BlockBackend *blk;          /* properties, in this order */
    char *serial;
    uint16_t logical_bytes, physical_bytes;
    uint32_t min_io_bytes, opt_io_bytes, discard_bytes;
    uint32_t cyls, heads, secs;
    uint32_t lcyls, lheads, lsecs;      /* for the firmware; 0: its choice */
    int translation;                    /* BlockTranslation */
    int32_t bootindex;
    bool share_rw;
    int write_cache;            /* auto, on, off */
    int on_read_error, on_write_error;

    bool may_be_read_only;      /* set by a device that can tell its guest */
} BlockConf;

/* How a BIOS of the 1990s fits a disk into 1024 cylinders; but for the first,
 * what CMOS 39h holds and 1 more. */
typedef enum {
    BLOCK_TRANS_AUTO, BLOCK_TRANS_NONE, BLOCK_TRANS_LBA, BLOCK_TRANS_LARGE,
    BLOCK_TRANS_RECHS,
} BlockTranslation;

extern const char *const block_on_off_auto_names[];
extern const char *const block_translation_names[];

#define BLOCK_PROPS(t, f)                                                   \
    PROP_DRIVE(t, f.blk, "drive", "the disk: a -drive or -blockdev"),       \
    PROP_STRING(t, f.serial, "serial", NULL, "its serial number"),          \
    PROP_U16(t, f.logical_bytes, "logical_block_size", 512,                 \
             "bytes that are addressed"),                                   \
    PROP_U16(t, f.physical_bytes, "physical_block_size", 512,               \
             "bytes that are best written at once"),                        \
    PROP_U32(t, f.min_io_bytes, "min_io_size", 0,                           \
             "smallest transfer that is not slow; 0: not told"),            \
    PROP_U32(t, f.opt_io_bytes, "opt_io_size", 0,                           \
             "best transfer; 0: not told"),                                 \
    PROP_U32(t, f.discard_bytes, "discard_granularity", UINT32_MAX,         \
             "bytes that can be discarded at once; 0: cannot"),             \
    PROP_U32(t, f.cyls, "cyls", 0, "cylinders; 0: worked out"),             \
    PROP_U32(t, f.heads, "heads", 0, "heads; 0: worked out"),               \
    PROP_U32(t, f.secs, "secs", 0, "sectors a track; 0: worked out"),       \
    PROP_I32(t, f.bootindex, "bootindex", -1,                               \
             "its place in the order of booting; -1: none"),                \
    PROP_BOOL(t, f.share_rw, "share-rw", false,                             \
              "others may write to the image as well"),                     \
    PROP_ENUM(t, f.write_cache, "write-cache", 0, block_on_off_auto_names,  \
              "the write cache as the guest finds it"),                     \
    PROP_ENUM(t, f.on_read_error, "rerror", 0, blk_on_error_names,          \
              "what to do when reading fails"),                             \
    PROP_ENUM(t, f.on_write_error, "werror", 0, blk_on_error_names,         \
              "what to do when writing fails")

/* Disks that a BIOS boots from. */
#define BLOCK_LCHS_PROPS(t, f)                                              \
    PROP_U32(t, f.lcyls, "lcyls", 0, "cylinders that the firmware shows"),  \
    PROP_U32(t, f.lheads, "lheads", 0, "heads that it shows"),              \
    PROP_U32(t, f.lsecs, "lsecs", 0, "sectors a track that it shows")
#define BLOCK_TRANS_PROP(t, f)                                              \
    PROP_ENUM(t, f.translation, "bios-chs-trans", 0,                        \
              block_translation_names, "how the firmware translates CHS")

/* Check the properties, take the drive.  A CD-ROM drive (`cdrom`) may be
 * without a drive or a medium and never writes. */
bool block_conf_realize(BlockConf *c, const BlkDevOps *ops, void *dev,
                        bool cdrom, GError **err);
void block_conf_unrealize(BlockConf *c);
/* Cylinders, heads, sectors and their translation as a BIOS of the time would
 * have them: from the properties, the partition table, or the size. */
void block_conf_geometry(BlockConf *c, uint64_t n_sectors);

#endif
