/*
 * `commit`: what an image holds goes into its backing node.
 *
 * Locks: in the node's loop, drained.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "block/backend.h"
#include "block/image.h"
#include "node.h"

#define CHUNK_BYTES MiB

static int copy_run(BlockNode *top, uint64_t at, uint64_t bytes, uint8_t *buf)
{
    while (bytes) {
        uint64_t len = MIN(bytes, CHUNK_BYTES);
        int ret = node_read_buf(top, at, buf, len);

        ret = ret ? ret : node_write_buf(top->backing, at, buf, len);
        if (ret) {
            return ret;
        }
        at += len;
        bytes -= len;
    }
    return 0;
}

static int copy_all(BlockNode *top)
{
    uint8_t *buf = block_alloc(CHUNK_BYTES);
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t at = 0; !ret && at < top->length; ) {
        BlockStatus st;

        ret = node_status(top, at, top->length - at, &st);
        if (!ret && st.flags & BLOCK_ALLOCATED) {
            ret = st.flags & BLOCK_ZERO
                  ? node_write_zeroes(top->backing, at, st.bytes,
                                      BLOCK_MAY_UNMAP)
                  : copy_run(top, at, st.bytes, buf);
        }
        at += st.bytes;
    }
    block_free(buf);
    return ret ? ret : node_flush(top->backing);
}

static BlockUse *use_of_backing(BlockNode *top)
{
    for (unsigned i = 0; i < top->children->len; i++) {
        BlockUse *u = g_ptr_array_index(top->children, i);

        if (u->node == top->backing) {
            return u;
        }
    }
    return NULL;
}

/* The backing node can be written to. */
static bool commit_into(BlockNode *top, GError **err)
{
    int ret = 0;

    if (top->length > top->backing->length
        && !node_truncate(top->backing, top->length, PREALLOC_OFF, err)) {
        return false;
    }
    ret = copy_all(top);
    if (ret < 0) {
        return block_fail_errno(err, -ret, "cannot write into '%s'",
                                node_filename(top->backing));
    }
    if (node_can_empty(top)) {
        ret = node_make_empty(top);
    }
    return !ret || block_fail_errno(err, -ret, "cannot empty '%s'",
                                    node_filename(top));
}

bool blk_commit(BlockBackend *blk, GError **err)
{
    BlockNode *top = blk_node(blk), *backing;
    unsigned perm, shared;
    BlockUse *u;
    bool was_read_only, ok;

    while (top && !top->backing && top->drv->filter) {
        top = top->file;
    }
    if (!top || !top->backing) {
        return block_fail(err, "there is no backing file to commit to");
    }
    backing = top->backing;
    u = use_of_backing(top);
    perm = u->perm;
    shared = u->shared;
    was_read_only = backing->read_only;
    node_drain_begin(top);
    ok = !was_read_only || node_reopen(backing, false, err);
    if (ok) {
        /* Nobody else may rely on what changes now. */
        ok = node_use_change(u, perm | BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE,
                             BLOCK_PERM_READ, err)
             && commit_into(top, err);
        node_use_change(u, perm, shared, NULL);
        if (was_read_only) {
            ok = node_reopen(backing, true, ok ? err : NULL) && ok;
        }
    }
    node_drain_end(top);
    return ok;
}
