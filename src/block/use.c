/*
 * Who uses a node, and what for: what one does may not be what another
 * excludes.  A driver takes locks on its image accordingly, and what it needs
 * itself goes on to the nodes below it.
 *
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "node.h"

static const char *perm_name(unsigned perm)
{
    return perm & BLOCK_PERM_WRITE ? "write"
           : perm & BLOCK_PERM_RESIZE ? "resize"
           : perm & BLOCK_PERM_READ ? "read" : "write-unchanged";
}

static char *user_text(const BlockUse *u)
{
    return u->parent ? g_strdup_printf("node '%s' (as '%s')", u->parent->name,
                                       u->who) : g_strdup(u->who);
}

/* Does any other user mind what `u` is going to do? */
static bool check_use(const BlockNode *n, const BlockUse *u, unsigned perm,
                      unsigned shared, GError **err)
{
    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUse *o = g_ptr_array_index(n->users, i);
        unsigned clash = perm & ~o->shared;

        if (o == u) {
            continue;
        }
        clash = clash ? clash : o->perm & ~shared;
        if (clash) {
            g_autofree char *other = user_text(o);

            return block_fail(err, "'%s' is in use by %s, which excludes "
                              "another user's access (%s)",
                              node_filename(n), other, perm_name(clash));
        }
    }
    return true;
}

void node_child_perms(const BlockNode *parent, bool backing,
                      unsigned *perm, unsigned *shared)
{
    if (parent->drv->filter && !backing) {
        *perm = parent->perm;
        *shared = parent->shared;
        return;
    }
    *perm = BLOCK_PERM_READ;
    *shared = BLOCK_PERM_READ | BLOCK_PERM_WRITE_SAME;
    if (!backing && !parent->read_only) {
        *perm |= BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE;
    }
    if (parent->read_only) {
        *shared |= BLOCK_PERM_RESIZE;
    }
    if (parent->force_share) {
        *shared = BLOCK_PERM_ALL;
    }
}

static bool refresh_perms(BlockNode *n, GError **err);

static bool set_child_perms(BlockNode *n, GError **err)
{
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);
        unsigned perm, shared;

        node_child_perms(n, u->node == n->backing, &perm, &shared);
        if (!node_use_change(u, perm, shared, err)) {
            return false;
        }
    }
    return true;
}

/* The users changed: tell the driver and the children. */
static bool refresh_perms(BlockNode *n, GError **err)
{
    unsigned perm = 0, shared = BLOCK_PERM_ALL;

    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUse *u = g_ptr_array_index(n->users, i);

        perm |= u->perm;
        shared &= u->shared;
    }
    if (n->force_share) {
        shared = BLOCK_PERM_ALL;
    }
    if (n->drv->set_perm && !n->drv->set_perm(n, perm, shared, err)) {
        return false;
    }
    n->perm = perm;
    n->shared = shared;
    return set_child_perms(n, err);
}

bool node_use_change(BlockUse *u, unsigned perm, unsigned shared,
                     GError **err)
{
    unsigned old_perm = u->perm, old_shared = u->shared;

    if (perm & (BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE)
        && u->node->read_only) {
        return block_fail(err, "'%s' is read-only",
                          node_filename(u->node));
    }
    if (!check_use(u->node, u, perm, shared, err)) {
        return false;
    }
    u->perm = perm;
    u->shared = shared;
    if (!refresh_perms(u->node, err)) {
        u->perm = old_perm;
        u->shared = old_shared;
        refresh_perms(u->node, NULL);   /* only ever lets go of something */
        return false;
    }
    return true;
}

BlockUse *node_use_full(BlockNode *n, const BlockUse *like, GError **err)
{
    BlockUse *u = g_new(BlockUse, 1);

    *u = *like;
    u->node = n;
    u->who = g_strdup(like->who);
    u->perm = 0;
    u->shared = BLOCK_PERM_ALL;
    g_ptr_array_add(n->users, u);
    for (unsigned i = 0; i < n->quiesced && u->drain_begin; i++) {
        u->drain_begin(u->opaque);
    }
    if (!node_use_change(u, like->perm, like->shared, err)) {
        node_unuse(u);
        return NULL;
    }
    return u;
}

BlockUse *node_use(BlockNode *n, const char *who, unsigned perm,
                   unsigned shared, GError **err)
{
    BlockUse like = { .who = (char *)who, .perm = perm, .shared = shared };

    return node_use_full(n, &like, err);
}

void node_unuse(BlockUse *u)
{
    BlockNode *n = u->node;

    for (unsigned i = 0; i < n->quiesced && u->drain_end; i++) {
        u->drain_end(u->opaque);
    }
    g_ptr_array_remove(n->users, u);
    refresh_perms(n, NULL);
    g_free(u->who);
    g_free(u);
}
