/*
 * qcow2: reference counts, and clusters taken and given back by them.
 *
 * Spec:   the format's description, "Host cluster management".
 * Locks:  `lock` is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

/* --- counts in blocks: 1 to 64 bits wide ---------------------------------- */

uint64_t qcow2_load_count(const uint8_t *block, unsigned order, uint64_t i)
{
    switch (order) {
    case 3:
        return block[i];
    case 4:
        return load_be16(block + 2 * i);
    case 5:
        return load_be32(block + 4 * i);
    case 6:
        return load_be64(block + 8 * i);
    default:
        return block[(i << order) / 8] >> ((i << order) % 8)
               & (BIT(1 << order) - 1);
    }
}

void qcow2_store_count(uint8_t *block, unsigned order, uint64_t i,
                       uint64_t count)
{
    switch (order) {
    case 3:
        block[i] = count;
        return;
    case 4:
        store_be16(block + 2 * i, count);
        return;
    case 5:
        store_be32(block + 4 * i, count);
        return;
    case 6:
        store_be64(block + 8 * i, count);
        return;
    default: {
        unsigned shift = (i << order) % 8, mask = BIT(1 << order) - 1;
        uint8_t *byte = &block[(i << order) / 8];

        *byte = (*byte & ~(mask << shift)) | count << shift;
    }
    }
}

uint64_t qcow2_max_refcount(const Qcow2 *s)
{
    return ~UINT64_C(0) >> (64 - (1 << s->refcount_order));
}

/* log2 of counts in a block. */
static unsigned block_bits(const Qcow2 *s)
{
    return s->cluster_bits + 3 - s->refcount_order;
}

/* The block that counts `cluster`; *t is NULL when there is none. */
static int get_block(Qcow2 *s, uint64_t cluster, Table **t)
{
    uint64_t i = cluster >> block_bits(s), at;

    *t = NULL;
    if (i >= s->reftable_size) {
        return 0;
    }
    at = s->reftable[i] & REFTABLE_OFFSET;
    if (!at) {
        return 0;
    }
    if (qcow2_in_cluster(s, at) || at > INT64_MAX) {
        return qcow2_corrupt(s, "entry %" PRIu64 " of the refcount table "
                             "(%#" PRIx64 ") is not the place of a cluster",
                             i, s->reftable[i]);
    }
    return qcow2_table(s, &s->blocks, at, false, t);
}

int qcow2_get_refcount(Qcow2 *s, uint64_t cluster, uint64_t *count)
{
    Table *t;
    int ret = get_block(s, cluster, &t);

    *count = ret < 0 || !t ? 0
             : qcow2_load_count(t->data, s->refcount_order,
                                cluster & (BIT64(block_bits(s)) - 1));
    return ret;
}

static void store_in(Qcow2 *s, Table *t, uint64_t cluster, uint64_t count)
{
    uint64_t i = cluster & (BIT64(block_bits(s)) - 1);

    qcow2_store_count(t->data, s->refcount_order, i, count);
    qcow2_dirty(&s->blocks, t, (i << s->refcount_order) / 8,
                MAX(1u << s->refcount_order, 8u) / 8);
}

/* --- metadata's places ---------------------------------------------------- */

void qcow2_add_metadata(Qcow2 *s, uint64_t at, TableKind kind)
{
    gpointer cluster = GSIZE_TO_POINTER(at >> s->cluster_bits);
    gsize was = GPOINTER_TO_SIZE(g_hash_table_lookup(s->metadata, cluster));

    g_hash_table_insert(s->metadata, cluster, GSIZE_TO_POINTER(was | kind));
}

void qcow2_remove_metadata(Qcow2 *s, uint64_t at)
{
    g_hash_table_remove(s->metadata, GSIZE_TO_POINTER(at >> s->cluster_bits));
}

static bool meets(uint64_t at, uint64_t bytes, uint64_t other, uint64_t len)
{
    return len && at < other + len && other < at + bytes;
}

/* Header, L1 tables, refcount table, table of snapshots. */
static bool is_fixed(const Qcow2 *s, uint64_t at, uint64_t bytes)
{
    if (meets(at, bytes, 0, s->cluster)
        || meets(at, bytes, s->l1_offset, (uint64_t)s->l1_size * 8)
        || meets(at, bytes, s->reftable_offset,
                 (uint64_t)s->reftable_clusters << s->cluster_bits)
        || meets(at, bytes, s->snapshots_offset, s->snapshots_bytes)) {
        return true;
    }
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        if (meets(at, bytes, s->snapshots[i].l1_offset,
                  (uint64_t)s->snapshots[i].l1_size * 8)) {
            return true;
        }
    }
    return false;
}

bool qcow2_is_metadata(Qcow2 *s, uint64_t at, uint64_t bytes)
{
    if (is_fixed(s, at, bytes)) {
        return true;
    }
    for (uint64_t c = at >> s->cluster_bits;
         c <= (at + bytes - 1) >> s->cluster_bits; c++) {
        if (g_hash_table_contains(s->metadata, GSIZE_TO_POINTER(c))) {
            return true;
        }
    }
    return false;
}

int qcow2_check_table(Qcow2 *s, uint64_t at, TableKind kind)
{
    gpointer cluster = GSIZE_TO_POINTER(at >> s->cluster_bits);
    gsize kinds = GPOINTER_TO_SIZE(g_hash_table_lookup(s->metadata, cluster));

    if (!is_fixed(s, at, s->cluster) && !(kinds & ~(gsize)kind)) {
        return 0;
    }
    return qcow2_corrupt(s, "the %s at %#" PRIx64 " lies on other tables",
                         kind == TABLE_L2 ? "L2 table" : "refcount block",
                         at);
}

/* --- looking for room ----------------------------------------------------- */

/* The first free clusters in a row from `from` on, at most `want`; stops at a
 * block's end, so that the caller need not look at two. */
static int find_free(Qcow2 *s, uint64_t from, uint64_t want, uint64_t *first,
                     uint64_t *n)
{
    uint64_t per_block = BIT64(block_bits(s));

    for (uint64_t c = from; ; ) {
        uint64_t end = ALIGN_DOWN(c, per_block) + per_block;
        Table *t;
        int ret = get_block(s, c, &t);

        if (ret < 0) {
            return ret;
        }
        while (t && c < end
               && qcow2_load_count(t->data, s->refcount_order,
                                   c & (per_block - 1))) {
            c++;
        }
        if (c < end) {
            *first = c;
            for (*n = 1; *n < want && c + *n < end; (*n)++) {
                if (t && qcow2_load_count(t->data, s->refcount_order,
                                          (c + *n) & (per_block - 1))) {
                    break;
                }
            }
            return 0;
        }
        if (c > (uint64_t)INT64_MAX >> s->cluster_bits) {
            return -EFBIG;
        }
    }
}

/* The free cluster `free` becomes the block of entry i. */
static int put_block(Qcow2 *s, uint64_t i, uint64_t free)
{
    uint64_t at = free << s->cluster_bits;
    bool counts_itself = free >> block_bits(s) == i;
    Table *t;
    int ret;

    if (!s->checking && qcow2_is_metadata(s, at, s->cluster)) {
        return qcow2_corrupt(s, "the cluster at %#" PRIx64 " holds tables "
                             "and is counted as free", at);
    }
    if (!counts_itself) {
        ret = get_block(s, free, &t);
        if (ret < 0) {
            return ret;
        }
        store_in(s, t, free, 1);
    }
    ret = qcow2_table(s, &s->blocks, at, true, &t);
    if (ret < 0) {
        return ret;
    }
    qcow2_dirty(&s->blocks, t, 0, s->cluster);
    if (counts_itself) {
        store_in(s, t, free, 1);
    }
    s->free_hint = MAX(s->free_hint, free + 1);
    s->high_water = MAX(s->high_water, at + s->cluster);
    s->reftable[i] = at;
    if (s->ref_dirty_from == s->ref_dirty_to) {
        s->ref_dirty_from = i;
        s->ref_dirty_to = i + 1;
    }
    s->ref_dirty_from = MIN(s->ref_dirty_from, i);
    s->ref_dirty_to = MAX(s->ref_dirty_to, i + 1);
    qcow2_add_metadata(s, at, TABLE_BLOCK);
    return 0;
}

/* More entries in memory; move_reftable() gives them a place. */
static int enlarge_reftable(Qcow2 *s, uint64_t entries)
{
    uint64_t per_cluster = s->cluster / 8;
    uint64_t *table;

    entries = MAX(entries, s->reftable_size + s->reftable_size / 2);
    entries = ALIGN_UP(entries, per_cluster);
    if (entries * 8 > QCOW2_MAX_REFTABLE_BYTES) {
        return -EFBIG;
    }
    table = g_try_renew(uint64_t, s->reftable, entries);
    if (!table) {
        return -ENOMEM;
    }
    memset(table + s->reftable_size, 0,
           (entries - s->reftable_size) * sizeof(*table));
    s->reftable = table;
    s->reftable_size = entries;
    return 0;
}

static bool has_block(const Qcow2 *s, uint64_t i)
{
    return i < s->reftable_size && s->reftable[i] & REFTABLE_OFFSET;
}

/* See to a block for `cluster`.  The first free cluster becomes one: for the
 * clusters around itself when those have none, else for `cluster`. */
static int need_block(Qcow2 *s, uint64_t cluster)
{
    uint64_t i = cluster >> block_bits(s);

    while (!has_block(s, i)) {
        uint64_t free, n, own, last;
        int ret = find_free(s, s->free_hint, 1, &free, &n);

        if (ret < 0) {
            return ret;
        }
        own = free >> block_bits(s);
        last = MAX(own, i);
        if (last >= s->reftable_size) {
            ret = enlarge_reftable(s, last + 1);
            if (!ret && !s->reftable_moving) {
                ret = qcow2_move_reftable(s);
            }
        } else {
            ret = put_block(s, has_block(s, own) ? i : own, free);
        }
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

int qcow2_set_refcount(Qcow2 *s, uint64_t cluster, uint64_t count)
{
    Table *t;
    int ret = count ? need_block(s, cluster) : 0;

    if (!ret) {
        ret = get_block(s, cluster, &t);
    }
    if (ret < 0) {
        return ret;
    }
    if (t) {
        ret = qcow2_check_table(s, t->offset, TABLE_BLOCK);
        if (ret < 0) {
            return ret;
        }
        store_in(s, t, cluster, count);
    }
    if (!count) {
        s->free_hint = MIN(s->free_hint, cluster);
    }
    return 0;
}

int qcow2_change_refcounts(Qcow2 *s, uint64_t at, uint64_t bytes, int by)
{
    uint64_t first = at >> s->cluster_bits;
    uint64_t last = (at + bytes - 1) >> s->cluster_bits;

    for (uint64_t c = first; bytes && c <= last; c++) {
        uint64_t count;
        int ret = qcow2_get_refcount(s, c, &count);

        if (ret < 0) {
            return ret;
        }
        if (!count) {
            return qcow2_corrupt(s, "the cluster at %#" PRIx64 " is in use "
                                 "and counted as free",
                                 c << s->cluster_bits);
        }
        if (by > 0 && count == qcow2_max_refcount(s)) {
            return -ERANGE;
        }
        ret = qcow2_set_refcount(s, c, count + by);
        if (ret < 0) {
            return ret;
        }
        if (!(count + by)) {
            /* Whoever gets it next may not find what it was. */
            qcow2_forget(&s->l2, c << s->cluster_bits);
            qcow2_forget(&s->blocks, c << s->cluster_bits);
            qcow2_remove_metadata(s, c << s->cluster_bits);
            if (s->tail >> s->cluster_bits == c) {
                s->tail = 0;
            }
        }
    }
    return 0;
}

/* --- taking --------------------------------------------------------------- */

static int take(Qcow2 *s, uint64_t first, uint64_t n)
{
    uint64_t at = first << s->cluster_bits;
    int ret;

    /* What counts say to be free and is not: the image is damaged. */
    if (!s->checking && qcow2_is_metadata(s, at, n << s->cluster_bits)) {
        return qcow2_corrupt(s, "the cluster at %#" PRIx64 " holds tables "
                             "and is counted as free", at);
    }
    for (uint64_t i = 0; i < n; i++) {
        ret = qcow2_set_refcount(s, first + i, 1);
        if (ret < 0) {
            while (i-- > 0) {
                qcow2_set_refcount(s, first + i, 0);
            }
            return ret;
        }
    }
    s->high_water = MAX(s->high_water, at + (n << s->cluster_bits));
    return 0;
}

int qcow2_alloc(Qcow2 *s, uint64_t want, uint64_t *at, uint64_t *got)
{
    uint64_t first;
    int ret;

    for (;;) {
        ret = find_free(s, s->free_hint, want, &first, got);
        if (ret < 0) {
            return ret;
        }
        s->free_hint = first;
        if (first >> block_bits(s) < s->reftable_size
            && s->reftable[first >> block_bits(s)] & REFTABLE_OFFSET) {
            break;
        }
        ret = need_block(s, first);     /* which may take just that one */
        if (ret < 0) {
            return ret;
        }
    }
    if ((first + *got) << s->cluster_bits > ENTRY_OFFSET) {
        return -EFBIG;
    }
    ret = take(s, first, *got);
    if (!ret) {
        s->free_hint = first + *got;
        *at = first << s->cluster_bits;
    }
    return ret;
}

int qcow2_alloc_run(Qcow2 *s, uint64_t want, uint64_t *at)
{
    uint64_t from = s->free_hint, first = 0, have = 0, hint;

    while (have < want) {
        uint64_t c, n;
        int ret = find_free(s, from, want - have, &c, &n);

        if (ret < 0) {
            return ret;
        }
        ret = need_block(s, c);
        if (ret < 0) {
            return ret;
        }
        ret = find_free(s, from, want - have, &c, &n);
        if (ret < 0) {
            return ret;
        }
        if (!have || c != first + have) {
            first = c;
            have = 0;
        }
        have += n;
        from = c + n;
    }
    /* A block made on the way may have gone into the run. */
    for (uint64_t i = 0; i < want; i++) {
        uint64_t count;
        int ret = qcow2_get_refcount(s, first + i, &count);

        if (ret < 0) {
            return ret;
        }
        if (count) {
            return qcow2_alloc_run(s, want, at);
        }
    }
    if ((first + want) << s->cluster_bits > ENTRY_OFFSET) {
        return -EFBIG;
    }
    hint = s->free_hint;
    *at = first << s->cluster_bits;
    if (first == hint) {
        s->free_hint = first + want;
    }
    return take(s, first, want);
}

int qcow2_alloc_packed(Qcow2 *s, uint64_t bytes, uint64_t *at)
{
    uint64_t count, room = 0, fresh;
    int ret;

    if (s->tail) {
        ret = qcow2_get_refcount(s, s->tail >> s->cluster_bits, &count);
        if (ret < 0) {
            return ret;
        }
        if (count < qcow2_max_refcount(s)) {
            room = s->cluster - qcow2_in_cluster(s, s->tail);
        }
    }
    if (room < bytes) {
        ret = qcow2_alloc_run(s, 1, &fresh);
        if (ret < 0) {
            return ret;
        }
        if (!room || fresh != s->tail + room) {
            s->tail = fresh;    /* counted by the allocation */
            room = 0;
        }
    }
    if (room) {
        ret = qcow2_change_refcounts(s, s->tail, 1, 1);
        if (ret < 0) {
            return ret;
        }
    }
    *at = s->tail;
    s->tail += bytes;
    if (!qcow2_in_cluster(s, s->tail)) {
        s->tail = 0;
    }
    return 0;
}

/* --- a longer table ------------------------------------------------------- */

/* Place for all entries in memory; making blocks for it may add entries. */
static int place_reftable(Qcow2 *s, uint64_t *at, uint64_t *n)
{
    *n = 0;
    while (*n != s->reftable_size * 8 >> s->cluster_bits) {
        int ret = *n ? qcow2_change_refcounts(s, *at, *n << s->cluster_bits,
                                              -1) : 0;

        if (ret < 0) {
            return ret;
        }
        *n = s->reftable_size * 8 >> s->cluster_bits;
        ret = qcow2_alloc_run(s, *n, at);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* The header comes to point to the longer table when that is on the disk with
 * all its blocks. */
int qcow2_move_reftable(Qcow2 *s)
{
    uint64_t old = s->reftable_offset, at, n;
    uint32_t old_clusters = s->reftable_clusters;
    int ret;

    s->reftable_moving = true;
    ret = place_reftable(s, &at, &n);
    if (!ret) {
        ret = qcow2_write_blocks(s);
    }
    s->reftable_moving = false;
    if (ret < 0) {
        return ret;
    }
    s->reftable_offset = at;
    s->reftable_clusters = n;
    s->ref_dirty_from = 0;
    s->ref_dirty_to = s->reftable_size;
    ret = qcow2_write_blocks(s);
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (!ret) {
        ret = qcow2_write_header(s);
    }
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (ret < 0) {              /* tried again with the next write of blocks */
        s->reftable_offset = old;
        s->reftable_clusters = old_clusters;
        return ret;
    }
    return qcow2_change_refcounts(s, old, (uint64_t)old_clusters
                                  << s->cluster_bits, -1);
}

/* --- giving back ---------------------------------------------------------- */

void qcow2_free_later(Qcow2 *s, uint64_t at, uint64_t bytes, bool discard)
{
    FreeRange r = { at, bytes, discard };
    FreeRange *last = s->frees->len
                      ? &g_array_index(s->frees, FreeRange,
                                       s->frees->len - 1) : NULL;

    s->freed_bytes += bytes;
    if (last && last->discard == discard && last->at + last->bytes == at
        && !qcow2_in_cluster(s, at | bytes | last->at)) {
        last->bytes += bytes;
        return;
    }
    g_array_append_val(s->frees, r);
}

/* Those of the range that nothing refers to any more. */
static void pass_discard(Qcow2 *s, const FreeRange *r)
{
    uint64_t end = MIN(r->at + r->bytes, s->n->file->length);
    uint64_t run = 0, count;

    for (uint64_t at = r->at; at < end; at += s->cluster) {
        bool free = !qcow2_get_refcount(s, at >> s->cluster_bits, &count)
                    && !count;

        run += free ? MIN(s->cluster, end - at) : 0;
        if (run && (!free || at + s->cluster >= end)) {
            uint64_t last = free ? MIN(at + s->cluster, end) : at;

            node_discard(s->n->file, last - run, run);
            run = 0;
        }
    }
}

/* Called when what pointed to them is gone from stable storage. */
int qcow2_apply_frees(Qcow2 *s)
{
    int ret = 0;

    while (s->n_in_place) {     /* they may be at work in those clusters */
        co_queue_wait(&s->in_place_done);
    }
    s->z_entry = 0;
    for (unsigned i = 0; !ret && i < s->frees->len; i++) {
        FreeRange *r = &g_array_index(s->frees, FreeRange, i);

        ret = qcow2_change_refcounts(s, r->at, r->bytes, -1);
        if (!ret && r->discard && s->pass_discards) {
            pass_discard(s, r);
        }
    }
    g_array_set_size(s->frees, 0);
    s->freed_bytes = 0;
    return ret;
}
