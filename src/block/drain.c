/*
 * Drains: nothing is in flight below or above a node, and nothing starts.
 *
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "node.h"

#include <assert.h>

#include "ctx.h"

/* Above and below: whoever holds requests back lets go of them. */
static void tell_driver(BlockNode *n, bool begin)
{
    void (*tell)(BlockNode *) = begin ? n->drv->drain_begin
                                      : n->drv->drain_end;

    if (tell) {
        tell(n);
    }
}

static void tell_children(BlockNode *n, bool begin)
{
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);

        tell_driver(u->node, begin);
        tell_children(u->node, begin);
    }
}

static void quiesce(BlockNode *n)
{
    n->quiesced++;
    tell_driver(n, true);
    for (unsigned i = 0; i < n->users->len; i++) {
        BlockUse *u = g_ptr_array_index(n->users, i);

        if (u->parent) {
            quiesce(u->parent);
        } else if (u->drain_begin) {
            u->drain_begin(u->opaque);
        }
    }
}

static void unquiesce(BlockNode *n)
{
    assert(n->quiesced);
    n->quiesced--;
    tell_driver(n, false);
    for (unsigned i = 0; i < n->users->len; i++) {
        BlockUse *u = g_ptr_array_index(n->users, i);

        if (u->parent) {
            unquiesce(u->parent);
        } else if (u->drain_end) {
            u->drain_end(u->opaque);
        }
    }
}

static bool is_busy(const BlockNode *n)
{
    if (n->in_flight) {
        return true;
    }
    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUse *u = g_ptr_array_index(n->users, i);

        if (u->parent ? is_busy(u->parent) : u->busy && u->busy(u->opaque)) {
            return true;
        }
    }
    return false;
}

static void drain_begin(void *opaque)
{
    BlockNode *n = opaque;

    quiesce(n);
    tell_children(n, true);
    while (is_busy(n)) {
        block_ctx_poll(n->ctx);
    }
}

static void drain_end(void *opaque)
{
    tell_children(opaque, false);
    unquiesce(opaque);
}

void node_drain_begin(BlockNode *n)
{
    assert(!co_self());
    block_ctx_call_wait(n->ctx, drain_begin, n);
}

void node_drain_end(BlockNode *n)
{
    block_ctx_call_wait(n->ctx, drain_end, n);
}

static void begin_one(BlockNode *n, void *opaque)
{
    node_drain_begin(n);
}

static void end_one(BlockNode *n, void *opaque)
{
    node_drain_end(n);
}

void block_drain_all_begin(void)
{
    node_foreach(begin_one, NULL);
}

void block_drain_all_end(void)
{
    node_foreach(end_one, NULL);
}

static void flush_one(BlockNode *n, void *opaque)
{
    int ret = node_flush(n), *first = opaque;

    *first = *first ? *first : ret;
}

int block_flush_all(void)
{
    int ret = 0;

    node_foreach(flush_one, &ret);
    return ret;
}

/* Drained: nothing of it is under way in either loop. */
void node_set_ctx(BlockNode *n, BlockCtx *ctx)
{
    if (n->ctx == ctx) {
        return;
    }
    if (n->drv->detach_ctx) {
        n->drv->detach_ctx(n);
    }
    n->ctx = ctx;
    if (n->drv->attach_ctx) {
        n->drv->attach_ctx(n);
    }
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);

        node_set_ctx(u->node, ctx);
    }
}
