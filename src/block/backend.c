/*
 * What devices hold; see block/backend.h.
 *
 * Locks: in the node's loop; the list of backends by the machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend-parts.h"

#include <assert.h>
#include <errno.h>

static GPtrArray *backends;     /* of BlockBackend * */

void (*blk_stop_machine)(BlockBackend *blk, bool is_read, int error);
void (*blk_error_event)(BlockBackend *blk, bool is_read, int error,
                        BlkAction action);

const char *const blk_on_error_names[] = {
    "auto", "report", "ignore", "enospc", "stop", NULL
};

/* --- making and finding --------------------------------------------------------------- */

BlockBackend *blk_new(const char *name, Loop *loop)
{
    BlockBackend *blk = g_new0(BlockBackend, 1);

    blk->name = g_strdup(name ? name : "");
    blk->refs = 1;
    blk->ctx = block_ctx(loop);
    blk->last = &blk->first;
    blk->write_cache = true;
    if (!backends) {
        backends = g_ptr_array_new();
    }
    g_ptr_array_add(backends, blk);
    return blk;
}

BlockBackend *blk_ref(BlockBackend *blk)
{
    blk->refs++;
    return blk;
}

void blk_unref(BlockBackend *blk)
{
    if (!blk || --blk->refs) {
        return;
    }
    blk->refs = 1;
    blk_eject(blk);
    throttle_member_free(blk->throttle);
    g_ptr_array_remove(backends, blk);
    g_free(blk->name);
    g_free(blk);
}

BlockBackend *blk_find(const char *name)
{
    for (unsigned i = 0; backends && i < backends->len && *name; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        if (!strcmp(blk->name, name)) {
            return blk;
        }
    }
    return NULL;
}

void blk_foreach(void (*fn)(BlockBackend *, void *), void *opaque)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        fn(g_ptr_array_index(backends, i), opaque);
    }
}

BlockBackend *blk_for_device(const char *name, GError **err)
{
    BlockBackend *blk = blk_find(name);
    BlockNode *n;

    if (blk) {
        return blk_ref(blk);
    }
    n = node_find(name);
    if (!n) {
        block_fail(err, "there is no drive '%s': neither a -drive of that id "
                   "nor a -blockdev of that node-name", name);
        return NULL;
    }
    blk = blk_new(NULL, block_ctx_loop(n->ctx));
    if (!blk_insert(blk, n, err)) {
        blk_unref(blk);
        return NULL;
    }
    return blk;
}

const char *blk_name(const BlockBackend *blk)
{
    return blk->name;
}

const char *blk_label(const BlockBackend *blk)
{
    return *blk->name ? blk->name : blk->node ? node_name(blk->node)
           : "drive";
}

BlkDriveInfo *blk_drive_info(BlockBackend *blk)
{
    return &blk->info;
}

const BlkStats *blk_stats(const BlockBackend *blk)
{
    return &blk->stats;
}

/* --- the medium ------------------------------------------------------------------------------ */

static void get_perms(const BlockBackend *blk, unsigned *perm,
                      unsigned *shared)
{
    *perm = 0;
    *shared = BLOCK_PERM_ALL;
    if (blk->ops) {
        *perm = BLOCK_PERM_READ | (blk->write ? BLOCK_PERM_WRITE : 0);
        *shared = BLOCK_PERM_READ | BLOCK_PERM_WRITE_SAME
                  | BLOCK_PERM_RESIZE
                  | (blk->share_write ? BLOCK_PERM_WRITE : 0);
    }
}

static char *user_name(const BlockBackend *blk)
{
    return blk->ops ? g_strdup_printf("device '%s'", blk->ops->name)
           : g_strdup_printf("drive '%s'", blk_label(blk));
}

bool blk_insert(BlockBackend *blk, BlockNode *n, GError **err)
{
    g_autofree char *who = user_name(blk);
    BlockUse like = {
        .who = who, .drain_begin = blk_quiesce, .drain_end = blk_unquiesce,
        .busy = blk_is_busy, .opaque = blk,
    };

    assert(!blk->node);
    if (n->ctx != blk->ctx) {
        return block_fail(err, "node '%s' runs in another iothread",
                          n->name);
    }
    get_perms(blk, &like.perm, &like.shared);
    blk->use = node_use_full(n, &like, err);
    if (!blk->use) {
        return false;
    }
    blk->node = node_ref(n);
    if (blk->ops && blk->ops->medium_changed) {
        blk->ops->medium_changed(blk->dev, true);
    }
    return true;
}

void blk_eject(BlockBackend *blk)
{
    BlockNode *n = blk->node;

    if (!n) {
        return;
    }
    blk_drain_begin(blk);
    /* Requests that come from here on find no medium. */
    blk->node = NULL;
    node_unuse(g_steal_pointer(&blk->use));     /* ends this one's drain */
    node_drain_end(n);
    node_unref(n);
    if (blk->ops && blk->ops->medium_changed) {
        blk->ops->medium_changed(blk->dev, false);
    }
}

BlockNode *blk_node(const BlockBackend *blk)
{
    return blk->node;
}

bool blk_is_inserted(const BlockBackend *blk)
{
    return blk->node;
}

bool blk_is_read_only(const BlockBackend *blk)
{
    return blk->node && blk->node->read_only;
}

uint64_t blk_length(const BlockBackend *blk)
{
    return blk->node ? blk->node->length : 0;
}

uint32_t blk_alignment(const BlockBackend *blk)
{
    return blk->node ? blk->node->alignment : 1;
}

bool blk_resize(BlockBackend *blk, uint64_t bytes, GError **err)
{
    bool ok;

    if (!blk->node) {
        return block_fail(err, "drive '%s' has no medium", blk_label(blk));
    }
    blk_drain_begin(blk);
    ok = node_truncate(blk->node, bytes, PREALLOC_OFF, err);
    if (ok && blk->ops && blk->ops->resized) {
        blk->ops->resized(blk->dev);
    }
    blk_drain_end(blk);
    return ok;
}

void blk_forget_name(BlockBackend *blk)
{
    *blk->name = '\0';
}

/* --- the device --------------------------------------------------------------------------------- */

bool blk_attach(BlockBackend *blk, const BlkDevOps *ops, void *dev,
                bool write, bool share_write, GError **err)
{
    unsigned perm, shared;

    if (blk->ops) {
        return block_fail(err, "drive '%s' is already in use by device '%s'",
                          blk_label(blk), blk->ops->name);
    }
    if (write && blk_is_read_only(blk)) {
        return block_fail(err, "'%s' is read-only, and the device writes",
                          node_filename(blk->node));
    }
    blk->ops = ops;
    blk->dev = dev;
    blk->write = write;
    blk->share_write = share_write;
    get_perms(blk, &perm, &shared);
    if (blk->use) {
        g_free(blk->use->who);
        blk->use->who = user_name(blk);
        if (!node_use_change(blk->use, perm, shared, err)) {
            blk->ops = NULL;
            return false;
        }
    }
    blk->info.claimed = true;
    return true;
}

void blk_detach(BlockBackend *blk)
{
    if (!blk->ops) {
        return;
    }
    blk_drain(blk);
    blk->ops = NULL;
    blk->dev = NULL;
    if (blk->use) {
        node_use_change(blk->use, 0, BLOCK_PERM_ALL, NULL);
        g_free(blk->use->who);
        blk->use->who = user_name(blk);
    }
}

bool blk_is_attached(const BlockBackend *blk)
{
    return blk->ops;
}

bool blk_has_tray(const BlockBackend *blk)
{
    return blk->ops && blk->ops->is_tray_open;
}

bool blk_is_tray_open(const BlockBackend *blk)
{
    return blk_has_tray(blk) && blk->ops->is_tray_open(blk->dev);
}

bool blk_is_tray_locked(const BlockBackend *blk)
{
    return blk->ops && blk->ops->is_tray_locked
           && blk->ops->is_tray_locked(blk->dev);
}

void blk_request_eject(BlockBackend *blk, bool force)
{
    if (blk->ops && blk->ops->eject_request) {
        blk->ops->eject_request(blk->dev, force);
    }
}

Loop *blk_loop(const BlockBackend *blk)
{
    return block_ctx_loop(blk->ctx);
}

/* Is anybody else in the tree, who stays behind? */
static bool only_user(const BlockNode *n, GError **err)
{
    if (n->users->len > 1) {
        return block_fail(err, "node '%s' has several users: it cannot go to "
                          "an iothread", n->name);
    }
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);

        if (!only_user(u->node, err)) {
            return false;
        }
    }
    return true;
}

bool blk_set_loop(BlockBackend *blk, Loop *loop, GError **err)
{
    BlockCtx *ctx = block_ctx(loop);

    if (ctx == blk->ctx) {
        return true;
    }
    if (blk->node && !only_user(blk->node, err)) {
        return false;
    }
    blk_drain_begin(blk);
    if (blk->node) {
        node_set_ctx(blk->node, ctx);
    }
    if (blk->throttle) {
        throttle_member_move(blk->throttle, ctx);
    }
    blk->ctx = ctx;
    blk_drain_end(blk);
    return true;
}

/* --- policy ------------------------------------------------------------------------------------------ */

void blk_set_on_error(BlockBackend *blk, BlkOnError read, BlkOnError write)
{
    blk->on_read_error = read;
    blk->on_write_error = write;
}

BlkOnError blk_on_error(const BlockBackend *blk, bool is_read)
{
    return is_read ? blk->on_read_error : blk->on_write_error;
}

BlkAction blk_error(BlockBackend *blk, bool is_read, int error)
{
    BlkOnError on = blk_on_error(blk, is_read);
    BlkAction action = BLK_REPORT;

    if (on == BLK_ON_ERROR_AUTO) {
        on = is_read ? BLK_ON_ERROR_REPORT : BLK_ON_ERROR_ENOSPC;
    }
    if (on == BLK_ON_ERROR_IGNORE) {
        action = BLK_IGNORE;
    } else if ((on == BLK_ON_ERROR_STOP
                || (on == BLK_ON_ERROR_ENOSPC && error == ENOSPC))
               && error != ENOMEDIUM && blk_stop_machine) {
        action = BLK_STOP;
    }
    if (blk_error_event) {
        blk_error_event(blk, is_read, error, action);
    }
    if (action == BLK_STOP) {
        blk_stop_machine(blk, is_read, error);
    }
    return action;
}

bool blk_write_cache(const BlockBackend *blk)
{
    return blk->write_cache;
}

void blk_set_write_cache(BlockBackend *blk, bool on)
{
    blk->write_cache = on;
}
