/*
 * A backend, for the files that it is made of.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_BACKEND_PARTS_H
#define BLOCK_BACKEND_PARTS_H

#include "block/backend.h"
#include "block/throttle.h"
#include "ctx.h"
#include "node.h"

typedef struct BlkReq BlkReq;

struct BlockBackend {
    char *name;
    unsigned refs;
    BlockCtx *ctx;
    BlockNode *node;
    BlockUse *use;

    const BlkDevOps *ops;       /* of the device, or NULL */
    void *dev;
    bool write, share_write;    /* as it was attached */

    ThrottleMember *throttle;   /* or NULL */
    unsigned in_flight, quiesced;
    BlkReq *first, **last;      /* waiting for the end of a drain */

    BlkOnError on_read_error, on_write_error;
    bool write_cache;
    BlkDriveInfo info;
    BlkStats stats;
};

/* As its node sees it: hold requests back, let go of them; is one at work? */
void blk_quiesce(void *blk);
void blk_unquiesce(void *blk);
bool blk_is_busy(void *blk);

#endif
