/*
 * qcow2: tables of the file in memory, written back in an order that a crash
 * cannot spoil.
 *
 *      data, counts of references
 *   ---- flush ----
 *      L2 tables
 *   ---- flush ----                        only when an L1 entry changed
 *      L1 table
 *   ---- flush ----                        only when clusters became free
 *      counts go down, in memory
 *
 * A refcount block may be written at any time: counts only rise before that
 * last step.  Its entry in the refcount table follows it by a flush.
 *
 * Locks:  `lock` is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

/* --- the caches ----------------------------------------------------------- */

static void free_table(gpointer opaque)
{
    Table *t = opaque;

    block_free(t->data);
    g_free(t);
}

void qcow2_cache_init(TableCache *c, unsigned max)
{
    c->by_offset = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                         free_table);
    c->max = MAX(max, 4);
}

void qcow2_cache_free(TableCache *c)
{
    g_clear_pointer(&c->by_offset, g_hash_table_unref);
    *c = (TableCache) { 0 };
}

static void unlink_table(TableCache *c, Table *t)
{
    *(t->prev ? &t->prev->next : &c->first) = t->next;
    *(t->next ? &t->next->prev : &c->last) = t->prev;
    t->prev = t->next = NULL;
}

static void push_front(TableCache *c, Table *t)
{
    t->prev = NULL;
    t->next = c->first;
    *(c->first ? &c->first->prev : &c->last) = t;
    c->first = t;
}

static void drop_table(TableCache *c, Table *t)
{
    c->n_dirty -= t->dirty_from != t->dirty_to;
    c->n--;
    unlink_table(c, t);
    g_hash_table_remove(c->by_offset, &t->offset);
}

void qcow2_forget(TableCache *c, uint64_t offset)
{
    Table *t = g_hash_table_lookup(c->by_offset, &offset);

    if (t) {
        drop_table(c, t);
    }
}

void qcow2_dirty(TableCache *c, Table *t, uint32_t from, uint32_t bytes)
{
    if (t->dirty_from == t->dirty_to) {
        c->n_dirty++;
        t->dirty_from = from;
        t->dirty_to = from + bytes;
        return;
    }
    t->dirty_from = MIN(t->dirty_from, from);
    t->dirty_to = MAX(t->dirty_to, from + bytes);
}

/* The sectors that have changed. */
static int write_table(Qcow2 *s, TableCache *c, Table *t)
{
    uint32_t from = ALIGN_DOWN(t->dirty_from, 512u);
    uint32_t to = ALIGN_UP(t->dirty_to, 512u);
    int ret = node_write_buf(s->n->file, t->offset + from, t->data + from,
                             to - from);

    if (!ret) {
        t->dirty_from = t->dirty_to = 0;
        c->n_dirty--;
    }
    return ret;
}

static int write_cache(Qcow2 *s, TableCache *c)
{
    for (Table *t = c->first; t && c->n_dirty; t = t->next) {
        int ret = t->dirty_from != t->dirty_to ? write_table(s, c, t) : 0;

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static int make_room(Qcow2 *s, TableCache *c)
{
    while (c->n >= c->max) {
        Table *t = c->last;
        int ret = 0;

        if (t->dirty_from != t->dirty_to) {
            ret = c == &s->l2 ? qcow2_write_tables(s)
                  : write_table(s, c, t);
        }
        if (ret < 0) {
            return ret;
        }
        drop_table(c, t);
    }
    return 0;
}

int qcow2_table(Qcow2 *s, TableCache *c, uint64_t offset, bool fresh,
                Table **out)
{
    Table *t = g_hash_table_lookup(c->by_offset, &offset);
    int ret;

    if (t) {
        unlink_table(c, t);
        push_front(c, t);
        if (fresh) {
            memset(t->data, 0, s->cluster);
        }
        *out = t;
        return 0;
    }
    if (!fresh && offset >= s->n->file->length) {
        return qcow2_corrupt(s, "a table at %#" PRIx64 " is behind the end "
                             "of the file", offset);
    }
    ret = make_room(s, c);
    if (ret < 0) {
        return ret;
    }
    t = g_new0(Table, 1);
    t->offset = offset;
    t->data = block_alloc(s->cluster);
    if (!t->data) {
        g_free(t);
        return -ENOMEM;
    }
    if (fresh) {
        memset(t->data, 0, s->cluster);
    } else {
        ret = node_read_buf(s->n->file, offset, t->data, s->cluster);
        if (ret < 0) {
            free_table(t);
            return ret;
        }
    }
    g_hash_table_insert(c->by_offset, &t->offset, t);
    push_front(c, t);
    c->n++;
    *out = t;
    return 0;
}

/* --- in order ------------------------------------------------------------- */

/* Entries [from, to) of a table that is in memory as a whole. */
static int write_entries(Qcow2 *s, const uint64_t *table, uint64_t size,
                         uint64_t offset, uint64_t from, uint64_t to)
{
    uint64_t per_sector = 512 / sizeof(uint64_t);
    uint8_t *buf;
    int ret;

    from = ALIGN_DOWN(from, per_sector);
    to = MIN(ALIGN_UP(to, per_sector), size);
    buf = block_alloc((to - from) * sizeof(uint64_t));
    if (!buf) {
        return -ENOMEM;
    }
    for (uint64_t i = from; i < to; i++) {
        store_be64(buf + (i - from) * 8, table[i]);
    }
    ret = node_write_buf(s->n->file, offset + from * 8, buf, (to - from) * 8);
    block_free(buf);
    return ret;
}

int qcow2_write_blocks(Qcow2 *s)
{
    int ret;

    if (s->blocks.n_dirty) {
        s->barrier = true;
        ret = write_cache(s, &s->blocks);
        if (ret < 0) {
            return ret;
        }
    }
    if (s->ref_dirty_from == s->ref_dirty_to || s->reftable_moving) {
        return 0;
    }
    if (s->reftable_size * 8 > (uint64_t)s->reftable_clusters
        << s->cluster_bits) {
        return qcow2_move_reftable(s);
    }
    ret = node_flush(s->n->file);
    if (!ret) {
        ret = write_entries(s, s->reftable, s->reftable_size,
                            s->reftable_offset, s->ref_dirty_from,
                            s->ref_dirty_to);
    }
    if (!ret) {
        s->barrier = true;
        s->ref_dirty_from = s->ref_dirty_to = 0;
    }
    return ret;
}

/* Nobody trusts the counts of an image with the dirty bit. */
static bool counts_matter(const Qcow2 *s)
{
    return !(s->incompatible & INCOMPAT_DIRTY);
}

int qcow2_write_tables(Qcow2 *s)
{
    int ret = 0;

    if (!s->l2.n_dirty) {
        return 0;
    }
    if (counts_matter(s)) {
        ret = qcow2_write_blocks(s);
    }
    if (!ret && s->barrier) {
        ret = node_flush(s->n->file);
        s->barrier = ret != 0;
    }
    return ret ? ret : write_cache(s, &s->l2);
}

static int write_l1(Qcow2 *s)
{
    int ret;

    if (s->l1_dirty_from == s->l1_dirty_to) {
        return 0;
    }
    ret = node_flush(s->n->file);
    if (!ret) {
        ret = write_entries(s, s->l1, s->l1_size, s->l1_offset,
                            s->l1_dirty_from, s->l1_dirty_to);
    }
    if (!ret) {
        s->l1_dirty_from = s->l1_dirty_to = 0;
    }
    return ret;
}

int qcow2_sync(Qcow2 *s)
{
    int ret = qcow2_write_tables(s);

    if (!ret) {
        ret = write_l1(s);
    }
    if (!ret && s->frees->len) {
        ret = node_flush(s->n->file);
        if (!ret) {
            ret = qcow2_apply_frees(s);
        }
    }
    if (!ret && counts_matter(s)) {
        ret = qcow2_write_blocks(s);
    }
    return ret ? ret : node_flush(s->n->file);
}
