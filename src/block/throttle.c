/*
 * "throttle": the bytes of its file, no faster than a group's limits allow.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/throttle.h"

#include "node.h"

typedef struct Throttle {
    ThrottleMember *member;
} Throttle;

static void wait(BlockNode *n, bool write, uint64_t bytes)
{
    throttle_wait(((Throttle *)n->state)->member, write, bytes);
}

static int throttle_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                         unsigned flags)
{
    wait(n, false, bytes);
    return node_read(n->file, at, bytes, v, flags);
}

static int throttle_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                          unsigned flags)
{
    wait(n, true, bytes);
    return node_write(n->file, at, bytes, v, flags);
}

static int throttle_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                                 unsigned flags)
{
    wait(n, true, bytes);
    return node_write_zeroes(n->file, at, bytes, flags);
}

static int throttle_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    wait(n, true, bytes);
    return node_discard(n->file, at, bytes);
}

static void throttle_drain_begin(BlockNode *n)
{
    throttle_release_begin(((Throttle *)n->state)->member);
}

static void throttle_drain_end(BlockNode *n)
{
    throttle_release_end(((Throttle *)n->state)->member);
}

static void throttle_attach_ctx(BlockNode *n)
{
    throttle_member_move(((Throttle *)n->state)->member, n->ctx);
}

static bool throttle_open(BlockNode *n, Opt *opts, GError **err)
{
    Throttle *s = n->state;
    const char *name = NULL;
    ThrottleGroup *g;

    if (!opt_get_string(opts, "throttle-group", &name, err)) {
        return false;
    }
    if (!name) {
        return block_fail(err, "parameter 'throttle-group' is missing: it "
                          "names an -object throttle-group");
    }
    g = throttle_group_find(name);
    if (!g) {
        return block_fail(err, "there is no -object throttle-group,id=%s",
                          name);
    }
    if (!node_open_child(n, opts, "file", false, err)) {
        return false;
    }
    n->length = n->file->length;
    n->alignment = n->file->alignment;
    n->memory_alignment = n->file->memory_alignment;
    s->member = throttle_member_new(g, n->ctx);
    return true;
}

static void throttle_close(BlockNode *n)
{
    Throttle *s = n->state;

    /* The drain before closing is never ended. */
    g_clear_pointer(&s->member, throttle_member_free);
}

const BlockDriver block_driver_throttle = {
    .name = "throttle", .doc = "no faster than a throttle-group allows",
    .state_bytes = sizeof(Throttle), .filter = true, .fua = true,
    .open = throttle_open, .close = throttle_close, .read = throttle_read,
    .write = throttle_write, .write_zeroes = throttle_write_zeroes,
    .discard = throttle_discard, .attach_ctx = throttle_attach_ctx,
    .drain_begin = throttle_drain_begin, .drain_end = throttle_drain_end,
};
