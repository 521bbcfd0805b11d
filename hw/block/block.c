/*
 * What disks have in common.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/block/block.h"

#include "base/opts.h"

const char *const block_on_off_auto_names[] = { "auto", "on", "off", NULL };

const char *const block_translation_names[] = {
    "auto", "none", "lba", "large", "rechs", NULL
};

__attribute__((constructor)) static void set_hooks(void)
{
    prop_get_drive = blk_for_device;
    prop_drive_id = (const char *(*)(BlockBackend *))blk_label;
    prop_put_drive = blk_unref;
}

/* --- properties ------------------------------------------------------------------ */

static bool check_size(const char *name, uint32_t bytes, GError **err)
{
    if (bytes < 512 || bytes > 32768 || bytes & (bytes - 1)) {
        return opt_fail(err,
                        "property '%s' cannot be %u: a power of two from 512 "
                        "to 32768 is wanted", name, bytes);
    }
    return true;
}

static bool check_geometry(const BlockConf *c, GError **err)
{
    if (!c->cyls && !c->heads && !c->secs) {
        return true;
    }
    if (!c->cyls || c->cyls > 65535 || !c->heads || c->heads > 255
        || !c->secs || c->secs > 255) {
        return opt_fail(err, "cyls=%u,heads=%u,secs=%u is not a geometry: 1 to "
                        "65535, 1 to 255 and 1 to 255, all three, are wanted",
                        c->cyls, c->heads, c->secs);
    }
    return true;
}

bool block_conf_realize(BlockConf *c, const BlkDevOps *ops, void *dev,
                        bool cdrom, GError **err)
{
    if (!c->blk) {
        if (!cdrom) {
            return opt_fail(err,
                            "drive property not set: it needs drive=, the id "
                            "of a -drive or -blockdev");
        }
        c->blk = blk_new(NULL, loop_main());
    }
    if (!check_size("logical_block_size", c->logical_bytes, err)
        || !check_size("physical_block_size", c->physical_bytes, err)
        || !check_geometry(c, err)) {
        return false;
    }
    if (c->logical_bytes > c->physical_bytes) {
        return opt_fail(err, "logical_block_size cannot be more than "
                        "physical_block_size");
    }
    if (!cdrom && !blk_is_inserted(c->blk)) {
        return opt_fail(err, "drive '%s' is empty, and a disk needs an image: "
                        "write -drive file=", blk_label(c->blk));
    }
    if (c->on_read_error == BLK_ON_ERROR_ENOSPC) {
        return opt_fail(err, "rerror=enospc: a read cannot run out of space; "
                        "accepted: auto, report, ignore, stop");
    }
    if (!blk_attach(c->blk, ops, dev,
                    !cdrom && !(c->may_be_read_only
                                && blk_is_read_only(c->blk)),
                    c->share_rw, err)) {
        return false;
    }
    if (c->on_read_error || c->on_write_error) {
        blk_set_on_error(c->blk, c->on_read_error, c->on_write_error);
    }
    if (c->write_cache) {
        blk_set_write_cache(c->blk, c->write_cache == 1);
    }
    return true;
}

void block_conf_unrealize(BlockConf *c)
{
    if (c->blk) {
        blk_detach(c->blk);
    }
}

/* --- geometry ---------------------------------------------------------------------- */

enum { PARTITIONS = 0x1be, N_PARTITIONS = 4, SIGNATURE = 0x1fe };
enum { ATA_HEADS = 16, MAX_SECS = 63, MAX_CYLS = 16383, BIOS_CYLS = 1024 };
enum { LARGE_TRACKS = 131072 };     /* all that 1024 cylinders can have */

/* What the first used partition's end tells of heads and sectors. */
static bool geometry_of_mbr(BlockConf *c, uint64_t n_sectors)
{
    uint8_t mbr[512];

    if (blk_read_buf(c->blk, 0, mbr, sizeof(mbr)) < 0
        || mbr[SIGNATURE] != 0x55 || mbr[SIGNATURE + 1] != 0xaa) {
        return false;
    }
    for (unsigned i = 0; i < N_PARTITIONS; i++) {
        const uint8_t *p = mbr + PARTITIONS + 16 * i;
        unsigned heads = p[5] + 1, secs = p[6] & 63;

        if (load_le32(p + 12) && p[5] && secs) {
            uint64_t cyls = n_sectors / (heads * secs);

            if (cyls < 1 || cyls > MAX_CYLS) {
                continue;
            }
            c->heads = heads;
            c->secs = secs;
            c->cyls = cyls;
            return true;
        }
    }
    return false;
}

/* Geometries that the user or a partition table gave need none while a BIOS
 * can show them as they are. */
static BlockTranslation usual_translation(const BlockConf *c)
{
    return c->cyls <= BIOS_CYLS && c->heads <= ATA_HEADS && c->secs <= MAX_SECS
           ? BLOCK_TRANS_NONE : BLOCK_TRANS_LBA;
}

void block_conf_geometry(BlockConf *c, uint64_t n_sectors)
{
    BlockTranslation translation;

    if (c->cyls) {
        translation = usual_translation(c);
    } else if (geometry_of_mbr(c, n_sectors) && c->heads <= ATA_HEADS) {
        translation = BLOCK_TRANS_NONE;
    } else {
        bool translated = c->heads;     /* by who wrote the partition table */

        /* What disks above 504 MiB say of themselves. */
        c->heads = ATA_HEADS;
        c->secs = MAX_SECS;
        c->cyls = CLAMP(n_sectors / (ATA_HEADS * MAX_SECS), 2, MAX_CYLS);
        translation = !translated ? usual_translation(c)
                      : c->cyls * c->heads <= LARGE_TRACKS
                        ? BLOCK_TRANS_LARGE : BLOCK_TRANS_LBA;
    }
    if (!c->translation) {
        c->translation = translation;
    }
}
