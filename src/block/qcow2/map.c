/*
 * qcow2: from guest offsets to the file's, and how that changes.
 *
 * Spec:   the format's description, "Cluster mapping".
 * Locks:  `lock` is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

uint64_t qcow2_l2_entry(const Table *t, uint64_t index)
{
    return load_be64(t->data + index * 8);
}

uint64_t qcow2_packed_range(const Qcow2 *s, uint64_t entry, uint64_t *at)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = (entry & (ENTRY_COMPRESSED - 1)) >> x;

    *at = entry & (BIT64(x) - 1) & (BIT64(56) - 1);
    return (sectors + 1) * 512 - (*at & 511);
}

/* Sets all but m->bytes; -EIO when it cannot be. */
static int classify(Qcow2 *s, uint64_t entry, uint64_t guest, Mapping *m)
{
    m->entry = entry;
    m->writable = false;
    m->at = entry & ENTRY_OFFSET;
    if (entry & ENTRY_COMPRESSED) {
        m->kind = MAP_PACKED;
        return 0;
    }
    if (qcow2_in_cluster(s, m->at)) {
        return qcow2_corrupt(s, "the guest's cluster at %#" PRIx64 " is said "
                             "to be at %#" PRIx64 ", which is no cluster's "
                             "place", guest, m->at);
    }
    if (entry & ENTRY_ZERO) {
        if (s->version < 3) {
            return qcow2_corrupt(s, "a zero cluster in an image of version "
                                 "2, at %#" PRIx64, guest);
        }
        m->kind = MAP_ZERO;
    } else if (m->at) {
        m->kind = MAP_DATA;
        m->writable = entry & ENTRY_COPIED;
    } else {
        m->kind = MAP_NONE;
    }
    return 0;
}

/* Where the L2 table for `at` is; 0: there is none. */
static int l2_offset(Qcow2 *s, uint64_t at, uint64_t *offset)
{
    uint64_t i = at >> (s->cluster_bits + s->l2_bits);

    *offset = i < s->l1_size ? s->l1[i] & ENTRY_OFFSET : 0;
    if (qcow2_in_cluster(s, *offset)) {
        return qcow2_corrupt(s, "L1 entry %" PRIu64 " (%#" PRIx64 ") is not "
                             "the place of a cluster", i, s->l1[i]);
    }
    return 0;
}

static bool goes_on(const Qcow2 *s, const Mapping *m, const Mapping *next,
                    uint64_t n)
{
    return next->kind == m->kind && m->kind != MAP_PACKED
           && next->writable == m->writable
           && (m->kind != MAP_DATA
               || next->at == m->at + (n << s->cluster_bits));
}

int qcow2_lookup(Qcow2 *s, uint64_t at, uint64_t bytes, Mapping *m)
{
    uint64_t in_cluster = qcow2_in_cluster(s, at), offset, index, n = 1;
    uint64_t covered = BIT64(s->cluster_bits + s->l2_bits);
    Table *t;
    int ret;

    bytes = MIN(bytes, covered - (at & (covered - 1)));
    ret = l2_offset(s, at, &offset);
    if (ret < 0 || !offset) {
        *m = (Mapping) { .kind = MAP_NONE, .bytes = bytes };
        return ret;
    }
    ret = qcow2_table(s, &s->l2, offset, false, &t);
    if (ret < 0) {
        return ret;
    }
    index = (at >> s->cluster_bits) & (BIT64(s->l2_bits) - 1);
    ret = classify(s, qcow2_l2_entry(t, index), at - in_cluster, m);
    if (ret < 0) {
        return ret;
    }
    while (n < qcow2_clusters(s, in_cluster + bytes)) {
        Mapping next;

        ret = classify(s, qcow2_l2_entry(t, index + n),
                       at - in_cluster + (n << s->cluster_bits), &next);
        if (ret < 0 || !goes_on(s, m, &next, n)) {
            break;              /* what is wrong there is told when used */
        }
        n++;
    }
    m->bytes = MIN(bytes, (n << s->cluster_bits) - in_cluster);
    if (m->kind == MAP_DATA) {
        if (m->at >= s->n->file->length) {
            return qcow2_corrupt(s, "the guest's cluster at %#" PRIx64 " is "
                                 "said to be at %#" PRIx64 ", behind the end "
                                 "of the file", at - in_cluster, m->at);
        }
        m->at += in_cluster;
    }
    return 0;
}

/* --- changing ------------------------------------------------------------- */

static void set_l1(Qcow2 *s, uint64_t i, uint64_t entry)
{
    s->l1[i] = entry;
    if (s->l1_dirty_from == s->l1_dirty_to) {
        s->l1_dirty_from = i;
        s->l1_dirty_to = i + 1;
    }
    s->l1_dirty_from = MIN(s->l1_dirty_from, i);
    s->l1_dirty_to = MAX(s->l1_dirty_to, i + 1);
}

int qcow2_l2_for_write(Qcow2 *s, uint64_t at, Table **t, uint64_t *index)
{
    uint64_t i = at >> (s->cluster_bits + s->l2_bits), old, fresh;
    Table *from = NULL;
    int ret = i < s->l1_size ? l2_offset(s, at, &old) : -EIO;

    if (ret < 0) {
        return ret;
    }
    *index = (at >> s->cluster_bits) & (BIT64(s->l2_bits) - 1);
    if (old && s->l1[i] & ENTRY_COPIED) {
        ret = qcow2_check_table(s, old, TABLE_L2);
        return ret ? ret : qcow2_table(s, &s->l2, old, false, t);
    }
    ret = qcow2_alloc_run(s, 1, &fresh);
    if (!ret && old) {
        ret = qcow2_table(s, &s->l2, old, false, &from);
    }
    if (!ret) {
        /* The one used last is not the one that has to go. */
        ret = qcow2_table(s, &s->l2, fresh, true, t);
    }
    if (ret < 0) {
        return ret;
    }
    if (from) {
        memcpy((*t)->data, from->data, s->cluster);
        qcow2_free_later(s, old, s->cluster, false);
    }
    qcow2_dirty(&s->l2, *t, 0, s->cluster);
    qcow2_add_metadata(s, fresh, TABLE_L2);
    set_l1(s, i, fresh | ENTRY_COPIED);
    return 0;
}

/* `entry` is overwritten by `now`. */
static void let_go(Qcow2 *s, uint64_t entry, uint64_t now, bool discard)
{
    uint64_t at = entry & ENTRY_OFFSET;

    if (entry & ENTRY_COMPRESSED) {
        uint64_t bytes = qcow2_packed_range(s, entry, &at);

        qcow2_free_later(s, at, bytes, false);
    } else if (at && (now & ENTRY_COMPRESSED || at != (now & ENTRY_OFFSET))) {
        qcow2_free_later(s, at, s->cluster, discard);
    }
}

int qcow2_set_entries(Qcow2 *s, Table *t, uint64_t index, uint64_t n,
                      uint64_t first, uint64_t step, bool discard)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t entry = first + i * step;

        let_go(s, qcow2_l2_entry(t, index + i), entry, discard);
        store_be64(t->data + (index + i) * 8, entry);
    }
    qcow2_dirty(&s->l2, t, index * 8, n * 8);
    return 0;
}

/* --- a longer L1 table ---------------------------------------------------- */

int qcow2_grow_l1(Qcow2 *s, uint64_t entries)
{
    uint64_t old = s->l1_offset, old_bytes = (uint64_t)s->l1_size * 8, at;
    uint32_t old_size = s->l1_size;
    uint64_t *table;
    int ret;

    if (entries <= s->l1_size) {
        return 0;
    }
    if (entries * 8 > QCOW2_MAX_L1_BYTES) {
        return -EFBIG;
    }
    ret = qcow2_sync(s);        /* so that what is copied is on the disk */
    if (!ret) {
        ret = qcow2_alloc_run(s, qcow2_clusters(s, entries * 8), &at);
    }
    if (ret < 0) {
        return ret;
    }
    table = g_try_renew(uint64_t, s->l1, entries);
    if (!table) {
        return -ENOMEM;
    }
    memset(table + old_size, 0, (entries - old_size) * sizeof(*table));
    s->l1 = table;
    s->l1_size = entries;
    s->l1_offset = at;
    s->l1_dirty_from = 0;
    s->l1_dirty_to = entries;
    ret = qcow2_write_blocks(s);
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret) {
        ret = qcow2_write_header(s);
    }
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (ret < 0) {
        s->l1_offset = old;
        s->l1_size = old_size;
        s->l1_dirty_from = s->l1_dirty_to = 0;
        return ret;
    }
    return old_bytes ? qcow2_change_refcounts(s, old, old_bytes, -1) : 0;
}
