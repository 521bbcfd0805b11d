/*
 * qcow2: counting all references anew, and what differs.
 *
 * What is found is told in the words of qemu-img, which scripts look for.
 * Repairs: counts too high are lowered, counts too low are raised; where the
 * blocks or their table are not sound, all of it is made anew behind the end of
 * the file.  Entries that cannot be right become zero clusters.
 *
 * Locks:  `lock` is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

#define MAX_CLUSTERS (UINT64_C(1) << 30)

typedef struct Check {
    Qcow2 *s;
    BlockCheck *out;
    unsigned fix;
    uint32_t *refs;             /* by cluster of the file */
    uint64_t n;                 /* clusters */
    bool broken;                /* blocks or table: make them anew */
    uint64_t next;              /* where a file without gaps goes on */
} Check;

static void G_GNUC_PRINTF(2, 3) tell(Check *c, const char *fmt, ...)
{
    va_list ap;

    if (!c->out->log) {
        return;
    }
    va_start(ap, fmt);
    g_string_append_vprintf(c->out->log, fmt, ap);
    va_end(ap);
    g_string_append_c(c->out->log, '\n');
}

static void add_refs(Check *c, uint64_t at, uint64_t bytes)
{
    Qcow2 *s = c->s;
    uint64_t length = s->n->file->length;

    if (!bytes) {
        return;
    }
    if (at + bytes >= length + s->cluster) {
        tell(c, "ERROR: counting reference for region exceeding the end of "
             "the file by one cluster or more: offset 0x%" PRIx64 " size "
             "0x%" PRIx64, at, bytes);
        c->out->corruptions++;
        return;
    }
    for (uint64_t i = at >> s->cluster_bits;
         i <= (at + bytes - 1) >> s->cluster_bits && i < c->n; i++) {
        if (c->refs[i] == UINT32_MAX) {
            tell(c, "ERROR: overflow cluster offset=0x%" PRIx64,
                 i << s->cluster_bits);
            c->out->corruptions++;
            continue;
        }
        c->refs[i]++;
    }
}

/* --- what refers ---------------------------------------------------------- */

static void fix_entry(Check *c, Table *t, uint64_t i)
{
    Qcow2 *s = c->s;

    if (!(c->fix & BLOCK_FIX_ERRORS)) {
        return;
    }
    store_be64(t->data + i * 8, s->version >= 3 ? ENTRY_ZERO : 0);
    qcow2_dirty(&s->l2, t, i * 8, 8);
    c->out->corruptions_fixed++;
}

static void count_placed(Check *c, uint64_t at)
{
    c->out->allocated_clusters++;
    if (c->next && at != c->next) {
        c->out->fragmented_clusters++;
    }
    c->next = at + c->s->cluster;
}

static void check_entry(Check *c, Table *t, uint64_t i, bool active)
{
    Qcow2 *s = c->s;
    uint64_t entry = qcow2_l2_entry(t, i), at = entry & ENTRY_OFFSET;

    if (entry & ENTRY_COMPRESSED) {
        uint64_t bytes = qcow2_packed_range(s, entry, &at);

        if (entry & ENTRY_COPIED) {
            tell(c, "ERROR: coffset=0x%" PRIx64 ": copied flag must never be "
                 "set for compressed clusters", at);
            c->out->corruptions++;
        }
        add_refs(c, at, bytes);
        if (active) {
            /* They are never where the one before ended. */
            c->out->allocated_clusters++;
            c->out->compressed_clusters++;
            c->out->fragmented_clusters++;
        }
        return;
    }
    if (!at) {
        return;
    }
    if (qcow2_in_cluster(s, at)) {
        c->out->corruptions++;
        tell(c, "%s offset=%" PRIx64 ": Cluster is not properly aligned; L2 "
             "entry corrupted.", c->fix & BLOCK_FIX_ERRORS ? "Repairing"
             : "ERROR", at);
        fix_entry(c, t, i);
        return;
    }
    add_refs(c, at, s->cluster);
    if (active) {
        count_placed(c, at);
    }
}

static int check_l2(Check *c, uint64_t at, bool active)
{
    Qcow2 *s = c->s;
    Table *t;
    int ret = qcow2_table(s, &s->l2, at, false, &t);

    if (ret < 0) {
        tell(c, "ERROR: I/O error in check_refcounts_l2");
        c->out->check_errors++;
        return 0;
    }
    for (uint64_t i = 0; i < BIT64(s->l2_bits); i++) {
        check_entry(c, t, i, active);
    }
    return 0;
}

static int check_l1(Check *c, const uint64_t *l1, uint64_t at, uint32_t size,
                    bool active)
{
    Qcow2 *s = c->s;

    add_refs(c, at, (uint64_t)size * 8);
    for (uint32_t i = 0; i < size; i++) {
        uint64_t l2 = l1[i] & ENTRY_OFFSET;
        int ret;

        if (!l2) {
            continue;
        }
        if (qcow2_in_cluster(s, l2)) {
            tell(c, "ERROR l2_offset=%" PRIx64 ": Table is not cluster "
                 "aligned; L1 entry corrupted", l2);
            c->out->corruptions++;
            continue;
        }
        add_refs(c, l2, s->cluster);
        ret = check_l2(c, l2, active);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static int check_snapshot_l1(Check *c, const Snapshot *snap)
{
    Qcow2 *s = c->s;
    uint64_t *l1;
    int ret;

    if (!snap->l1_size) {
        return 0;
    }
    l1 = g_try_new(uint64_t, snap->l1_size);
    if (!l1) {
        return -ENOMEM;
    }
    ret = node_read_buf(s->n->file, snap->l1_offset, l1,
                        (size_t)snap->l1_size * 8);
    for (uint32_t i = 0; i < snap->l1_size; i++) {
        l1[i] = GUINT64_FROM_BE(l1[i]);
    }
    if (!ret) {
        ret = check_l1(c, l1, snap->l1_offset, snap->l1_size, false);
    }
    g_free(l1);
    return ret;
}

/* The clusters of one bitmap: its table, and what that points to. */
static int check_bitmap(Check *c, uint64_t at, uint32_t entries)
{
    Qcow2 *s = c->s;
    uint64_t *table;
    int ret;

    if (!entries) {
        return 0;
    }
    if (entries > 8 * MiB || qcow2_in_cluster(s, at)
        || at >= s->n->file->length) {
        tell(c, "ERROR: a bitmap's table is not possible: offset=0x%" PRIx64,
             at);
        c->out->corruptions++;
        return 0;
    }
    table = g_try_new(uint64_t, entries);
    if (!table) {
        return -ENOMEM;
    }
    add_refs(c, at, (uint64_t)entries * 8);
    ret = node_read_buf(s->n->file, at, table, (size_t)entries * 8);
    for (uint32_t i = 0; !ret && i < entries; i++) {
        uint64_t place = GUINT64_FROM_BE(table[i]) & ENTRY_OFFSET;

        if (place) {
            add_refs(c, place, s->cluster);
        }
    }
    g_free(table);
    return ret;
}

static int check_bitmaps(Check *c)
{
    Qcow2 *s = c->s;
    uint8_t *dir;
    uint64_t at = 0;
    int ret;

    if (!s->n_bitmaps) {
        return 0;
    }
    dir = block_alloc(s->bitmaps_bytes);
    if (!dir) {
        return -ENOMEM;
    }
    add_refs(c, s->bitmaps_at, s->bitmaps_bytes);
    ret = node_read_buf(s->n->file, s->bitmaps_at, dir, s->bitmaps_bytes);
    for (uint32_t i = 0; !ret && i < s->n_bitmaps
         && s->bitmaps_bytes - at >= 24; i++) {
        uint64_t len = 24 + (uint64_t)load_be16(dir + at + 18)
                       + load_be32(dir + at + 20);

        ret = check_bitmap(c, load_be64(dir + at), load_be32(dir + at + 8));
        at += ALIGN_UP(len, 8);
        if (at > s->bitmaps_bytes) {
            break;
        }
    }
    block_free(dir);
    return ret;
}

/* --- the counts ----------------------------------------------------------- */

static void check_blocks(Check *c)
{
    Qcow2 *s = c->s;

    add_refs(c, s->reftable_offset,
             (uint64_t)s->reftable_clusters << s->cluster_bits);
    for (uint64_t i = 0; i < s->reftable_size; i++) {
        uint64_t at = s->reftable[i] & REFTABLE_OFFSET;

        if (!at) {
            continue;
        }
        if (qcow2_in_cluster(s, at) || at > INT64_MAX) {
            tell(c, "ERROR refcount block %" PRIu64 " is not cluster aligned; "
                 "refcount table entry corrupted", i);
        } else if (at >= s->n->file->length) {
            tell(c, "ERROR refcount block %" PRIu64 " is outside image", i);
        } else {
            add_refs(c, at, s->cluster);
            if (c->refs[at >> s->cluster_bits] == 1) {
                continue;
            }
            tell(c, "ERROR refcount block %" PRIu64 " refcount=%u", i,
                 c->refs[at >> s->cluster_bits]);
        }
        c->out->corruptions++;
        c->broken = true;
    }
}

static uint64_t stored_count(Check *c, uint64_t cluster)
{
    uint64_t count;

    if (qcow2_get_refcount(c->s, cluster, &count) < 0) {
        c->broken = true;
        return 0;
    }
    return count;
}

static bool has_block(const Qcow2 *s, uint64_t cluster)
{
    uint64_t i = cluster >> (s->cluster_bits + 3 - s->refcount_order);

    return i < s->reftable_size && s->reftable[i] & REFTABLE_OFFSET;
}

static int compare_one(Check *c, uint64_t i)
{
    uint64_t stored = stored_count(c, i), refs = c->refs[i];
    bool leak = stored > refs;
    bool fix = c->fix & (leak ? BLOCK_FIX_LEAKS : BLOCK_FIX_ERRORS);

    if (refs) {
        c->out->image_end = (i + 1) << c->s->cluster_bits;
    } else if (stored && !fix) {
        c->out->image_end = (i + 1) << c->s->cluster_bits;
    }
    if (stored == refs) {
        return 0;
    }
    *(leak ? &c->out->leaks : &c->out->corruptions) += 1;
    tell(c, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
         fix ? "Repairing" : leak ? "Leaked" : "ERROR", i, stored, refs);
    if (!fix) {
        return 0;
    }
    if (c->broken || !has_block(c->s, i)) {
        c->broken = true;       /* fixed with all the others */
    } else {
        int ret = qcow2_set_refcount(c->s, i, refs);

        if (ret < 0) {
            c->out->check_errors++;
            return ret;
        }
    }
    *(leak ? &c->out->leaks_fixed : &c->out->corruptions_fixed) += 1;
    return 0;
}

/* --- all anew ------------------------------------------------------------- */

/* Blocks and table behind the end of the file, which count themselves. */
static int rebuild(Check *c)
{
    Qcow2 *s = c->s;
    uint64_t per_block = BIT64(s->cluster_bits + 3 - s->refcount_order);
    uint64_t first = qcow2_clusters(s, s->n->file->length);
    uint64_t n_blocks = 0, n_table = 0, total = first, *table;
    uint64_t max = qcow2_max_refcount(s);
    uint8_t *block;
    int ret = 0;

    for (;;) {
        uint64_t blocks = (total + per_block - 1) / per_block;
        uint64_t entries = qcow2_clusters(s, blocks * 8);

        if (blocks == n_blocks && entries == n_table) {
            break;
        }
        n_blocks = blocks;
        n_table = entries;
        total = first + n_blocks + n_table;
    }
    if (n_table << s->cluster_bits > QCOW2_MAX_REFTABLE_BYTES) {
        return -EFBIG;
    }
    /* The old ones are free from now on. */
    for (uint64_t i = 0; i < s->reftable_size; i++) {
        uint64_t at = s->reftable[i] & REFTABLE_OFFSET;

        if (at && !qcow2_in_cluster(s, at) && at >> s->cluster_bits < c->n
            && c->refs[at >> s->cluster_bits]) {
            c->refs[at >> s->cluster_bits]--;
        }
        qcow2_remove_metadata(s, at);
    }
    for (uint32_t i = 0; i < s->reftable_clusters; i++) {
        uint64_t at = (s->reftable_offset >> s->cluster_bits) + i;

        if (at < c->n && c->refs[at]) {
            c->refs[at]--;
        }
    }
    table = g_try_new0(uint64_t, n_table << s->cluster_bits >> 3);
    block = block_alloc(s->cluster);
    if (!table || !block) {
        g_free(table);
        block_free(block);
        return -ENOMEM;
    }
    for (uint64_t b = 0; !ret && b < n_blocks; b++) {
        uint64_t at = (first + b) << s->cluster_bits;

        memset(block, 0, s->cluster);
        for (uint64_t i = 0; i < per_block; i++) {
            uint64_t cluster = b * per_block + i;
            uint64_t count = cluster < c->n ? c->refs[cluster]
                             : cluster >= first && cluster < total;

            qcow2_store_count(block, s->refcount_order, i, MIN(count, max));
        }
        table[b] = at;
        ret = node_write_buf(s->n->file, at, block, s->cluster);
    }
    block_free(block);
    qcow2_cache_free(&s->blocks);
    qcow2_cache_init(&s->blocks, 64);
    g_free(s->reftable);
    s->reftable = table;
    s->reftable_size = n_table << s->cluster_bits >> 3;
    s->reftable_offset = (first + n_blocks) << s->cluster_bits;
    s->reftable_clusters = n_table;
    s->ref_dirty_from = 0;
    s->ref_dirty_to = s->reftable_size;
    s->free_hint = 0;
    s->high_water = MAX(s->high_water, total << s->cluster_bits);
    for (uint64_t b = 0; b < n_blocks; b++) {
        qcow2_add_metadata(s, table[b], TABLE_BLOCK);
    }
    if (!ret) {
        ret = qcow2_write_blocks(s);
    }
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (!ret) {
        ret = qcow2_write_header(s);
    }
    c->out->image_end = total << s->cluster_bits;
    return ret ? ret : node_flush(s->n->file);
}

/* --- flags ---------------------------------------------------------------- */

static void check_copied_l2(Check *c, Table *t)
{
    Qcow2 *s = c->s;
    bool fix = c->fix & BLOCK_FIX_ERRORS;

    for (uint64_t i = 0; i < BIT64(s->l2_bits); i++) {
        uint64_t entry = qcow2_l2_entry(t, i), at = entry & ENTRY_OFFSET;
        uint64_t count;

        if (entry & ENTRY_COMPRESSED || !at || qcow2_in_cluster(s, at)) {
            continue;
        }
        count = stored_count(c, at >> s->cluster_bits);
        if ((count == 1) == !!(entry & ENTRY_COPIED)) {
            continue;
        }
        c->out->corruptions++;
        tell(c, "%s OFLAG_COPIED data cluster: l2_entry=%" PRIx64
             " refcount=%" PRIu64, fix ? "Repairing" : "ERROR", entry, count);
        if (fix) {
            entry = count == 1 ? entry | ENTRY_COPIED : entry & ~ENTRY_COPIED;
            store_be64(t->data + i * 8, entry);
            qcow2_dirty(&s->l2, t, i * 8, 8);
            c->out->corruptions_fixed++;
        }
    }
}

static void check_copied(Check *c)
{
    Qcow2 *s = c->s;
    bool fix = c->fix & BLOCK_FIX_ERRORS;

    for (uint32_t i = 0; i < s->l1_size; i++) {
        uint64_t at = s->l1[i] & ENTRY_OFFSET, count;
        Table *t;

        if (!at || qcow2_in_cluster(s, at)) {
            continue;
        }
        count = stored_count(c, at >> s->cluster_bits);
        if ((count == 1) != !!(s->l1[i] & ENTRY_COPIED)) {
            c->out->corruptions++;
            tell(c, "%s OFLAG_COPIED L2 cluster: l1_index=%u l1_entry=%"
                 PRIx64 " refcount=%" PRIu64, fix ? "Repairing" : "ERROR", i,
                 s->l1[i], count);
            if (fix) {
                s->l1[i] = count == 1 ? s->l1[i] | ENTRY_COPIED
                           : s->l1[i] & ~ENTRY_COPIED;
                s->l1_dirty_from = 0;
                s->l1_dirty_to = s->l1_size;
                c->out->corruptions_fixed++;
            }
        }
        if (!qcow2_table(s, &s->l2, at, false, &t)) {
            check_copied_l2(c, t);
        }
    }
}

/* --- all of it ------------------------------------------------------------ */

static int count_all(Check *c)
{
    Qcow2 *s = c->s;
    int ret;

    add_refs(c, 0, s->cluster);
    ret = check_l1(c, s->l1, s->l1_offset, s->l1_size, true);
    for (uint32_t i = 0; !ret && i < s->n_snapshots; i++) {
        ret = check_snapshot_l1(c, &s->snapshots[i]);
    }
    add_refs(c, s->snapshots_offset, s->snapshots_bytes);
    if (!ret) {
        ret = check_bitmaps(c);
    }
    if (!ret) {
        check_blocks(c);
    }
    return ret;
}

static int run_check(Check *c)
{
    Qcow2 *s = c->s;
    int ret = count_all(c);

    c->out->total_clusters = qcow2_clusters(s, s->n->length);
    for (uint64_t i = 0; !ret && i < c->n; i++) {
        ret = compare_one(c, i);
    }
    if (!ret && c->broken && c->fix & BLOCK_FIX_ERRORS) {
        tell(c, "Rebuilding refcount structure");
        ret = rebuild(c);
        if (!ret) {             /* whatever it was */
            c->out->corruptions_fixed = c->out->corruptions;
            c->out->leaks_fixed = c->out->leaks;
        }
    }
    if (!ret) {
        check_copied(c);
    }
    if (!ret && c->fix && !c->out->check_errors) {
        ret = qcow2_write_blocks(s);
        if (!ret) {
            ret = qcow2_sync(s);
        }
    }
    return ret;
}

int qcow2_check(BlockNode *n, unsigned fix, BlockCheck *out)
{
    Qcow2 *s = qcow2_of(n);
    bool checking = s->checking;
    Check c = { .s = s, .out = out, .fix = fix };
    int ret = 0;

    c.n = qcow2_clusters(s, n->file->length);
    if (c.n > MAX_CLUSTERS) {
        return -EFBIG;
    }
    c.refs = g_try_new0(uint32_t, c.n);
    if (!c.refs) {
        return -ENOMEM;
    }
    co_mutex_lock(&s->lock);
    s->checking = true;
    if (!n->read_only) {
        ret = qcow2_sync(s);
    }
    if (!ret) {
        ret = run_check(&c);
    }
    if (!ret && fix && out->corruptions == out->corruptions_fixed
        && !out->check_errors
        && s->incompatible & (INCOMPAT_DIRTY | INCOMPAT_CORRUPT)) {
        /* It is sound now, or is when the counts are. */
        if (fix & BLOCK_FIX_ERRORS) {
            s->incompatible &= ~(INCOMPAT_DIRTY | INCOMPAT_CORRUPT);
            s->corrupt_told = s->began = false;
            ret = qcow2_write_header(s);
        }
    }
    s->checking = checking;
    co_mutex_unlock(&s->lock);
    g_free(c.refs);
    return ret;
}
