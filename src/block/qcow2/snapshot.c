/*
 * qcow2: snapshots within the image.
 *
 * A snapshot is a copy of the L1 table; what both tables reach is counted
 * twice and so copied when it is written.
 *
 * Spec:   the format's description, "Snapshots".
 * Locks:  `lock` is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

enum { ENTRY_BYTES = 40, EXTRA_KNOWN = 24 };    /* vm state, disk, icount */

void qcow2_free_snapshots(Qcow2 *s)
{
    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        g_free(s->snapshots[i].id);
        g_free(s->snapshots[i].name);
        g_free(s->snapshots[i].extra);
    }
    g_clear_pointer(&s->snapshots, g_free);
    s->n_snapshots = 0;
}

/* One entry at `p`; how long it is, or 0 when it is not within `len`. */
static uint64_t parse_entry(Qcow2 *s, const uint8_t *p, uint64_t len,
                            Snapshot *snap)
{
    uint32_t id_bytes, name_bytes, extra;
    uint64_t bytes;

    if (len < ENTRY_BYTES) {
        return 0;
    }
    id_bytes = load_be16(p + 12);
    name_bytes = load_be16(p + 14);
    extra = load_be32(p + 36);
    bytes = ENTRY_BYTES + (uint64_t)extra + id_bytes + name_bytes;
    if (extra > QCOW2_MAX_SNAPSHOT_EXTRA || bytes > len) {
        return 0;
    }
    *snap = (Snapshot) {
        .l1_offset = load_be64(p), .l1_size = load_be32(p + 8),
        .date_s = load_be32(p + 16), .date_ns = load_be32(p + 20),
        .vm_clock_ns = load_be64(p + 24), .vm_state_bytes = load_be32(p + 32),
        .disk_bytes = s->n->length, .icount = UINT64_MAX,
    };
    p += ENTRY_BYTES;
    if (extra >= 8) {
        snap->vm_state_bytes = load_be64(p);
    }
    if (extra >= 16) {
        snap->disk_bytes = load_be64(p + 8);
    }
    if (extra >= 24) {
        snap->icount = load_be64(p + 16);
    }
    if (extra > EXTRA_KNOWN) {
        snap->extra_bytes = extra - EXTRA_KNOWN;
        snap->extra = g_memdup2(p + EXTRA_KNOWN, snap->extra_bytes);
    }
    snap->id = g_strndup((const char *)p + extra, id_bytes);
    snap->name = g_strndup((const char *)p + extra + id_bytes, name_bytes);
    return bytes;
}

static bool parse_table(Qcow2 *s, const uint8_t *table, uint64_t len,
                        uint32_t n, GError **err)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < n; i++) {
        Snapshot *snap = &s->snapshots[i];
        uint64_t bytes = parse_entry(s, table + at, len - at, snap);

        if (!bytes) {
            return block_fail(err, "the table of snapshots is damaged at "
                              "entry %u", i);
        }
        s->n_snapshots++;
        if (qcow2_in_cluster(s, snap->l1_offset)
            || (uint64_t)snap->l1_size * 8 > QCOW2_MAX_L1_BYTES
            || snap->l1_offset > INT64_MAX) {
            return block_fail(err, "the L1 table of snapshot '%s' is not "
                              "possible", snap->name);
        }
        s->snapshots_bytes = at + bytes;
        at = ALIGN_UP(at + bytes, 8);
        if (at > len && i + 1 < n) {
            return block_fail(err, "the table of snapshots ends in entry %u",
                              i);
        }
    }
    return true;
}

bool qcow2_read_snapshots(Qcow2 *s, uint32_t n, GError **err)
{
    uint64_t length = s->n->file->length, len;
    uint8_t *table;
    bool ok;
    int ret;

    if (!n) {
        s->snapshots_offset = 0;
        return true;
    }
    if (n > QCOW2_MAX_SNAPSHOTS) {
        return block_fail(err, "Snapshot table too large");
    }
    if (!s->snapshots_offset || qcow2_in_cluster(s, s->snapshots_offset)
        || s->snapshots_offset >= length) {
        return block_fail(err, "Snapshot table offset invalid");
    }
    /* Its length is known when it has been read. */
    len = MIN(length - s->snapshots_offset,
              MIN((uint64_t)n * (ENTRY_BYTES + QCOW2_MAX_SNAPSHOT_EXTRA
                                 + 2 * 65535 + 8), QCOW2_MAX_SNAPSHOT_BYTES));
    table = block_alloc(len);
    s->snapshots = g_try_new0(Snapshot, n);
    if (!table || !s->snapshots) {
        block_free(table);
        return block_fail(err, "no memory for the table of snapshots");
    }
    ret = node_read_buf(s->n->file, s->snapshots_offset, table, len);
    ok = ret < 0 ? block_fail_errno(err, -ret, "Could not read snapshots")
         : parse_table(s, table, len, n, err);
    block_free(table);
    return ok;
}

/* --- the table of snapshots on the disk ----------------------------------- */

static void put_snapshot(GByteArray *out, const Snapshot *snap)
{
    uint8_t head[ENTRY_BYTES + EXTRA_KNOWN] = { 0 };
    static const uint8_t zeroes[8];

    store_be64(head, snap->l1_offset);
    store_be32(head + 8, snap->l1_size);
    store_be16(head + 12, strlen(snap->id));
    store_be16(head + 14, strlen(snap->name));
    store_be32(head + 16, snap->date_s);
    store_be32(head + 20, snap->date_ns);
    store_be64(head + 24, snap->vm_clock_ns);
    store_be32(head + 32, snap->vm_state_bytes > UINT32_MAX
               ? 0 : snap->vm_state_bytes);
    store_be32(head + 36, EXTRA_KNOWN + snap->extra_bytes);
    store_be64(head + 40, snap->vm_state_bytes);
    store_be64(head + 48, snap->disk_bytes);
    store_be64(head + 56, snap->icount);
    g_byte_array_append(out, head, sizeof(head));
    if (snap->extra_bytes) {
        g_byte_array_append(out, snap->extra, snap->extra_bytes);
    }
    g_byte_array_append(out, (const uint8_t *)snap->id, strlen(snap->id));
    g_byte_array_append(out, (const uint8_t *)snap->name, strlen(snap->name));
    g_byte_array_append(out, zeroes, -out->len & 7);
}

/* A new table, then a header that points to it, then the old one is free. */
static int write_snapshots(Qcow2 *s)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint64_t old = s->snapshots_offset, old_bytes = s->snapshots_bytes;
    uint64_t at = 0;
    int ret = 0;

    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        put_snapshot(out, &s->snapshots[i]);
    }
    if (out->len > QCOW2_MAX_SNAPSHOT_BYTES) {
        return -EFBIG;
    }
    if (out->len) {
        ret = qcow2_alloc_run(s, qcow2_clusters(s, out->len), &at);
        if (!ret) {
            ret = node_write_buf(s->n->file, at, out->data, out->len);
        }
    }
    if (!ret) {
        ret = qcow2_write_blocks(s);
    }
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (ret < 0) {
        return ret;
    }
    s->snapshots_offset = at;
    s->snapshots_bytes = out->len;
    ret = qcow2_write_header(s);
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (ret < 0) {
        s->snapshots_offset = old;
        s->snapshots_bytes = old_bytes;
        return ret;
    }
    return old_bytes ? qcow2_change_refcounts(s, old, old_bytes, -1) : 0;
}

/* --- counting what a table reaches ---------------------------------------- */

static int change_entry(Qcow2 *s, uint64_t entry, int by)
{
    uint64_t at = entry & ENTRY_OFFSET, bytes = s->cluster;

    if (entry & ENTRY_COMPRESSED) {
        bytes = qcow2_packed_range(s, entry, &at);
    }
    return at ? qcow2_change_refcounts(s, at, bytes, by) : 0;
}

/* At most *steps changes; how many were made is left there. */
static int change_tree(Qcow2 *s, const uint64_t *l1, uint32_t size, int by,
                       uint64_t *steps)
{
    uint64_t most = *steps, done = 0;
    uint8_t *copy = block_alloc(s->cluster);
    int ret = copy ? 0 : -ENOMEM;

    for (uint32_t i = 0; !ret && i < size && done < most; i++) {
        uint64_t at = l1[i] & ENTRY_OFFSET;
        Table *t;

        if (!at) {
            continue;
        }
        ret = qcow2_in_cluster(s, at)
              ? qcow2_corrupt(s, "L1 entry %#" PRIx64 " is not the place of "
                              "a cluster", l1[i])
              : qcow2_table(s, &s->l2, at, false, &t);
        if (!ret) {
            memcpy(copy, t->data, s->cluster);
        }
        for (uint64_t j = 0; !ret && j < BIT64(s->l2_bits) && done < most;
             j++) {
            ret = change_entry(s, load_be64(copy + j * 8), by);
            done += !ret;
        }
        if (!ret && done < most) {
            ret = qcow2_change_refcounts(s, at, s->cluster, by);
            done += !ret;
        }
    }
    block_free(copy);
    *steps = done;
    return ret;
}

/* Up for all, or for none. */
static int share_tree(Qcow2 *s, const uint64_t *l1, uint32_t size)
{
    uint64_t steps = UINT64_MAX;
    int ret = change_tree(s, l1, size, 1, &steps);

    if (ret < 0) {
        change_tree(s, l1, size, -1, &steps);
    }
    return ret;
}

static int drop_tree(Qcow2 *s, const uint64_t *l1, uint32_t size)
{
    uint64_t steps = UINT64_MAX;

    return change_tree(s, l1, size, -1, &steps);
}

/* --- COPIED --------------------------------------------------------------- */

static int is_single(Qcow2 *s, uint64_t at, bool shared, bool *single)
{
    uint64_t count = 0;
    int ret = shared ? 0 : qcow2_get_refcount(s, at >> s->cluster_bits,
                                              &count);

    *single = count == 1;
    return ret;
}

static int mark_table(Qcow2 *s, Table *t, bool shared)
{
    for (uint64_t i = 0; i < BIT64(s->l2_bits); i++) {
        uint64_t entry = qcow2_l2_entry(t, i), now;
        bool single;
        int ret;

        if (entry & ENTRY_COMPRESSED || !(entry & ENTRY_OFFSET)) {
            continue;
        }
        ret = is_single(s, entry & ENTRY_OFFSET, shared, &single);
        if (ret < 0) {
            return ret;
        }
        now = (entry & ~ENTRY_COPIED) | (single ? ENTRY_COPIED : 0);
        if (now != entry) {
            store_be64(t->data + i * 8, now);
            qcow2_dirty(&s->l2, t, i * 8, 8);
        }
    }
    return 0;
}

/* As the counts have it; `shared`: all that there is, is about to be. */
static int mark_copied(Qcow2 *s, bool shared)
{
    int ret = 0;

    for (uint32_t i = 0; !ret && i < s->l1_size; i++) {
        uint64_t at = s->l1[i] & ENTRY_OFFSET;
        bool single = false;
        Table *t;

        if (!at) {
            continue;
        }
        ret = qcow2_table(s, &s->l2, at, false, &t);
        if (!ret) {
            ret = mark_table(s, t, shared);
        }
        if (!ret) {
            ret = is_single(s, at, shared, &single);
        }
        s->l1[i] = at | (single && !ret ? ENTRY_COPIED : 0);
    }
    s->l1_dirty_from = 0;
    s->l1_dirty_to = s->l1_size;
    return ret;
}

/* --- operations ----------------------------------------------------------- */

static int read_l1(Qcow2 *s, const Snapshot *snap, uint64_t **l1)
{
    int ret;

    *l1 = g_try_new0(uint64_t, MAX(snap->l1_size, 1));
    if (!*l1) {
        return -ENOMEM;
    }
    ret = node_read_buf(s->n->file, snap->l1_offset, *l1,
                        (size_t)snap->l1_size * 8);
    for (uint32_t i = 0; i < snap->l1_size; i++) {
        (*l1)[i] = GUINT64_FROM_BE((*l1)[i]);
    }
    if (ret < 0) {
        g_clear_pointer(l1, g_free);
    }
    return ret;
}

static char *new_id(const Qcow2 *s)
{
    uint64_t max = 0;

    for (uint32_t i = 0; i < s->n_snapshots; i++) {
        max = MAX(max, g_ascii_strtoull(s->snapshots[i].id, NULL, 10));
    }
    return g_strdup_printf("%" PRIu64, max + 1);
}

/* The active L1 table, copied to a place of its own. */
static int copy_l1(Qcow2 *s, uint64_t *at)
{
    size_t bytes = (size_t)s->l1_size * 8;
    uint64_t *copy;
    int ret;

    if (!bytes) {
        *at = 0;
        return 0;
    }
    ret = qcow2_alloc_run(s, qcow2_clusters(s, bytes), at);
    if (ret < 0) {
        return ret;
    }
    copy = g_try_new(uint64_t, s->l1_size);
    if (!copy) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < s->l1_size; i++) {
        copy[i] = GUINT64_TO_BE(s->l1[i] & ENTRY_OFFSET);
    }
    ret = node_write_buf(s->n->file, *at, copy, bytes);
    g_free(copy);
    return ret;
}

static int add_snapshot(Qcow2 *s, const char *name, uint64_t l1_offset)
{
    int64_t now_us = g_get_real_time();
    Snapshot *list = g_try_renew(Snapshot, s->snapshots, s->n_snapshots + 1);
    Snapshot *snap;
    int ret;

    if (!list) {
        return -ENOMEM;
    }
    s->snapshots = list;
    snap = &list[s->n_snapshots];
    *snap = (Snapshot) {
        .l1_offset = l1_offset, .l1_size = s->l1_size, .id = new_id(s),
        .name = g_strdup(name), .date_s = now_us / G_USEC_PER_SEC,
        .date_ns = now_us % G_USEC_PER_SEC * 1000,
        .disk_bytes = s->n->length,
    };
    s->n_snapshots++;
    ret = write_snapshots(s);
    if (ret < 0) {
        s->n_snapshots--;
        g_free(snap->id);
        g_free(snap->name);
    }
    return ret;
}

static int do_create(Qcow2 *s, const char *name)
{
    uint64_t at;
    int ret;

    if (strlen(name) > 65535) {
        return -EINVAL;
    }
    if (s->n_snapshots >= QCOW2_MAX_SNAPSHOTS) {
        return -EFBIG;
    }
    /* First nothing may be written in place any more, then it is shared. */
    ret = mark_copied(s, true);
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret) {
        ret = share_tree(s, s->l1, s->l1_size);
    }
    if (!ret) {
        ret = copy_l1(s, &at);
        if (!ret) {
            ret = add_snapshot(s, name, at);
        }
        if (ret < 0) {
            drop_tree(s, s->l1, s->l1_size);
        }
    }
    if (ret < 0) {
        mark_copied(s, false);
    }
    return ret;
}

/* The snapshot's table becomes the active one. */
static int take_over(Qcow2 *s, uint64_t *l1, const Snapshot *snap)
{
    int ret = qcow2_grow_l1(s, MAX(snap->l1_size,
                                   qcow2_l1_needed(s, snap->disk_bytes)));

    if (ret < 0) {
        return ret;
    }
    for (uint32_t i = 0; i < s->l1_size; i++) {
        s->l1[i] = i < snap->l1_size ? l1[i] & ENTRY_OFFSET : 0;
        if (s->l1[i]) {
            qcow2_add_metadata(s, s->l1[i], TABLE_L2);
        }
    }
    s->l1_dirty_from = 0;
    s->l1_dirty_to = s->l1_size;
    ret = qcow2_write_blocks(s);        /* what it reaches is counted */
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret && s->n->length != snap->disk_bytes) {
        s->n->length = snap->disk_bytes;
        ret = qcow2_write_header(s);
    }
    return ret;
}

static int do_apply(Qcow2 *s, unsigned i)
{
    const Snapshot *snap = &s->snapshots[i];
    g_autofree uint64_t *l1 = NULL, *old = NULL;
    uint32_t old_size = s->l1_size;
    int ret;

    if (snap->disk_bytes > BLOCK_MAX_LENGTH
        || (s->version < 3 && snap->disk_bytes != s->n->length)) {
        return -ENOTSUP;
    }
    ret = read_l1(s, snap, &l1);
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret) {
        ret = share_tree(s, l1, snap->l1_size);
    }
    if (ret < 0) {
        return ret;
    }
    old = g_memdup2(s->l1, (size_t)old_size * 8);
    ret = take_over(s, l1, snap);
    if (!ret) {
        ret = drop_tree(s, old, old_size);
    }
    if (!ret) {
        ret = mark_copied(s, false);
    }
    return ret;
}

static int do_remove(Qcow2 *s, unsigned i)
{
    Snapshot snap = s->snapshots[i];
    g_autofree uint64_t *l1 = NULL;
    int ret = read_l1(s, &snap, &l1);

    if (ret < 0) {
        return ret;
    }
    s->n_snapshots--;
    memmove(&s->snapshots[i], &s->snapshots[i + 1],
            (s->n_snapshots - i) * sizeof(snap));
    ret = write_snapshots(s);
    if (ret < 0) {
        memmove(&s->snapshots[i + 1], &s->snapshots[i],
                (s->n_snapshots - i) * sizeof(snap));
        s->snapshots[i] = snap;
        s->n_snapshots++;
        return ret;
    }
    ret = drop_tree(s, l1, snap.l1_size);
    if (!ret && snap.l1_size) {
        ret = qcow2_change_refcounts(s, snap.l1_offset,
                                     (uint64_t)snap.l1_size * 8, -1);
    }
    g_free(snap.id);
    g_free(snap.name);
    g_free(snap.extra);
    return ret ? ret : mark_copied(s, false);
}

/* Read-only: other entries, another length, until the node is closed. */
static int do_load(Qcow2 *s, unsigned i)
{
    const Snapshot *snap = &s->snapshots[i];
    uint64_t *l1;
    int ret;

    if (!s->n->read_only) {
        return -EINVAL;
    }
    if (snap->disk_bytes > BLOCK_MAX_LENGTH
        || snap->l1_size < qcow2_l1_needed(s, snap->disk_bytes)) {
        return -EIO;
    }
    ret = read_l1(s, snap, &l1);
    if (!ret) {
        g_free(s->l1);
        s->l1 = l1;
        s->l1_size = snap->l1_size;
        s->n->length = snap->disk_bytes;
    }
    return ret;
}

/* --- for tools ------------------------------------------------------------ */

static unsigned snapshot_count(BlockNode *n)
{
    return qcow2_of(n)->n_snapshots;
}

static void snapshot_get(BlockNode *n, unsigned i, BlockSnapshot *out)
{
    const Snapshot *snap = &qcow2_of(n)->snapshots[i];

    *out = (BlockSnapshot) {
        .id = snap->id, .name = snap->name,
        .vm_state_bytes = snap->vm_state_bytes,
        .vm_clock_ns = snap->vm_clock_ns, .disk_bytes = snap->disk_bytes,
        .icount = snap->icount, .date_s = snap->date_s,
        .date_ns = snap->date_ns,
    };
}

/* Everything is on the disk before and after. */
static int change(BlockNode *n, int (*fn)(Qcow2 *s, unsigned i), unsigned i,
                  const char *name)
{
    Qcow2 *s = qcow2_of(n);
    int ret;

    if (!name && i >= s->n_snapshots) {
        return -ENOENT;
    }
    co_mutex_lock(&s->lock);
    ret = qcow2_begin_writing(s);
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret) {
        ret = name ? do_create(s, name) : fn(s, i);
    }
    if (!ret) {
        ret = qcow2_sync(s);
    }
    co_mutex_unlock(&s->lock);
    return ret;
}

static int snapshot_create(BlockNode *n, const char *name)
{
    return change(n, NULL, 0, name);
}

static int snapshot_apply(BlockNode *n, unsigned i)
{
    return change(n, do_apply, i, NULL);
}

static int snapshot_remove(BlockNode *n, unsigned i)
{
    return change(n, do_remove, i, NULL);
}

static int snapshot_load(BlockNode *n, unsigned i)
{
    Qcow2 *s = qcow2_of(n);

    return i < s->n_snapshots ? do_load(s, i) : -ENOENT;
}

const BlockSnapshotOps qcow2_snapshot_ops = {
    .count = snapshot_count, .get = snapshot_get, .create = snapshot_create,
    .apply = snapshot_apply, .remove = snapshot_remove, .load = snapshot_load,
};
