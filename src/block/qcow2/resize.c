/*
 * qcow2: another length, preallocation, an empty image, another backing file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

/* --- preallocation -------------------------------------------------------- */

/* The lock is held.  Places for at most `bytes` from `at`; *done is how far. */
static int place_some(Qcow2 *s, uint64_t at, uint64_t bytes, uint64_t *done)
{
    uint64_t water = s->high_water, host, got, index;
    Mapping m;
    Table *t;
    int ret = qcow2_lookup(s, at, bytes, &m);

    if (ret < 0) {
        return ret;
    }
    *done = m.bytes;
    if (m.kind == MAP_DATA || m.kind == MAP_PACKED
        || (m.kind == MAP_ZERO && m.at)) {
        return 0;
    }
    ret = qcow2_alloc(s, MIN(qcow2_clusters(s, m.bytes), 1 << 16), &host,
                      &got);
    if (!ret && host < water) {         /* what was there before is not zero */
        ret = node_write_zeroes(s->n->file, host, got << s->cluster_bits, 0);
    }
    if (!ret) {
        ret = qcow2_l2_for_write(s, at, &t, &index);
    }
    if (ret < 0) {
        return ret;
    }
    s->barrier = true;
    *done = MIN(*done, got << s->cluster_bits);
    return qcow2_set_entries(s, t, index, got, host | ENTRY_COPIED,
                             s->cluster, false);
}

int qcow2_preallocate(Qcow2 *s, uint64_t from, uint64_t to)
{
    uint64_t done = 0;

    from = ALIGN_DOWN(from, s->cluster);
    for (uint64_t at = from; at < to; at += done) {
        int ret;

        co_mutex_lock(&s->lock);
        ret = qcow2_begin_writing(s);
        if (!ret) {
            ret = place_some(s, at, to - at, &done);
        }
        co_mutex_unlock(&s->lock);
        if (ret < 0) {
            return ret;
        }
    }
    /* Entries point into the file, not behind its end. */
    if (s->n->file->length < s->high_water
        && !node_truncate(s->n->file, s->high_water, PREALLOC_OFF, NULL)) {
        return -EIO;
    }
    return 0;
}

typedef struct All {
    BlockNode *n;
    int ret;
} All;

static void preallocate_co(void *opaque)
{
    All *a = opaque;

    a->ret = qcow2_preallocate(qcow2_of(a->n), 0, a->n->length);
}

int qcow2_preallocate_all(BlockNode *n)
{
    All a = { n, 0 };
    int ret = block_ctx_run(n->ctx, preallocate_co, &a);

    return ret < 0 ? ret : a.ret;
}

/* --- shorter -------------------------------------------------------------- */

/* The lock is held.  Entries from guest cluster `first` on point nowhere. */
static int drop_from(Qcow2 *s, uint64_t first)
{
    for (uint32_t i = first >> s->l2_bits; i < s->l1_size; i++) {
        uint64_t start = (uint64_t)i << s->l2_bits, index;
        uint64_t skip = first > start ? first - start : 0;
        uint64_t at = s->l1[i] & ENTRY_OFFSET;
        Table *t;
        int ret;

        if (!at) {
            continue;
        }
        ret = qcow2_l2_for_write(s, start << s->cluster_bits, &t, &index);
        if (!ret) {
            ret = qcow2_set_entries(s, t, skip, BIT64(s->l2_bits) - skip, 0, 0,
                                    true);
        }
        if (ret < 0) {
            return ret;
        }
        if (!skip) {
            qcow2_free_later(s, s->l1[i] & ENTRY_OFFSET, s->cluster, false);
            s->l1[i] = 0;
            s->l1_dirty_from = s->l1_dirty_from == s->l1_dirty_to
                               ? i : MIN(s->l1_dirty_from, i);
            s->l1_dirty_to = MAX(s->l1_dirty_to, i + 1);
        }
        if (s->frees->len > 4096) {
            ret = qcow2_sync(s);
            if (ret < 0) {
                return ret;
            }
        }
    }
    return qcow2_sync(s);
}

/* The lock is held.  What nobody uses at the file's end. */
static void cut_tail(Qcow2 *s)
{
    uint64_t clusters = qcow2_clusters(s, s->n->file->length), count;

    while (clusters && !qcow2_get_refcount(s, clusters - 1, &count)
           && !count) {
        clusters--;
    }
    if (clusters << s->cluster_bits < s->n->file->length
        && node_truncate(s->n->file, clusters << s->cluster_bits,
                         PREALLOC_OFF, NULL)) {
        s->tail = 0;
    }
}

static int shrink(Qcow2 *s, uint64_t bytes)
{
    uint64_t old = s->n->length;
    int ret;

    co_mutex_lock(&s->lock);
    ret = qcow2_begin_writing(s);
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret) {                 /* first the length, then what is behind it */
        s->n->length = bytes;
        ret = qcow2_write_header(s);
        if (!ret) {
            ret = node_flush(s->n->file);
        }
        if (ret < 0) {
            s->n->length = old;
        }
    }
    if (!ret) {
        ret = drop_from(s, qcow2_clusters(s, bytes));
    }
    if (!ret) {
        cut_tail(s);
    }
    co_mutex_unlock(&s->lock);
    return ret;
}

/* --- longer --------------------------------------------------------------- */

static int grow(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc)
{
    Qcow2 *s = qcow2_of(n);
    uint64_t old = n->length, end;
    int ret;

    co_mutex_lock(&s->lock);
    ret = qcow2_begin_writing(s);
    if (!ret) {
        ret = qcow2_grow_l1(s, qcow2_l1_needed(s, bytes));
    }
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        return ret;
    }
    n->length = bytes;
    /* The rest of the last cluster, and what a longer backing file has. */
    end = MIN(bytes, ALIGN_UP(old, s->cluster));
    if (n->backing && n->backing->length > old) {
        end = MAX(end, MIN(bytes, ALIGN_UP(n->backing->length, s->cluster)));
    }
    ret = end > old ? qcow2_write_zeroes(n, old, end - old, BLOCK_MAY_UNMAP)
          : 0;
    if (!ret && prealloc) {
        ret = qcow2_preallocate(s, old, bytes);
        if (!ret && prealloc >= PREALLOC_FALLOC) {
            ret = qcow2_fill(n, old, bytes, prealloc);
        }
    }
    co_mutex_lock(&s->lock);
    if (!ret) {
        ret = qcow2_sync(s);
    }
    if (!ret) {
        ret = qcow2_write_header(s);
    }
    if (!ret) {
        ret = node_flush(n->file);
    }
    if (ret < 0) {
        n->length = old;
    }
    co_mutex_unlock(&s->lock);
    return ret;
}

/* Room in the host's file system as well: zeroes written. */
int qcow2_fill(BlockNode *n, uint64_t from, uint64_t to, BlockPrealloc how)
{
    Qcow2 *s = qcow2_of(n);

    while (from < to) {
        Mapping m;
        int ret;

        co_mutex_lock(&s->lock);
        ret = qcow2_lookup(s, from, to - from, &m);
        co_mutex_unlock(&s->lock);
        if (!ret && m.kind == MAP_DATA) {
            ret = node_write_zeroes(n->file, m.at, m.bytes, 0);
        }
        if (ret < 0) {
            return ret;
        }
        from += m.bytes;
    }
    return 0;
}

int qcow2_truncate(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                   GError **err)
{
    Qcow2 *s = qcow2_of(n);

    if (bytes % 512) {
        block_fail(err, "The new size must be a multiple of 512");
        return -EINVAL;
    }
    if (s->n_snapshots && (s->version < 3 || bytes < n->length)) {
        block_fail(err, bytes < n->length
                   ? "Can't shrink an image which has snapshots"
                   : "Can't resize a v2 image which has snapshots");
        return -ENOTSUP;
    }
    if (qcow2_l1_needed(s, bytes) > QCOW2_MAX_L1_BYTES / 8) {
        block_fail(err, "The image size is too large for file format 'qcow2' "
                   "(try using a larger cluster size)");
        return -EFBIG;
    }
    if (bytes < n->length && prealloc) {
        block_fail(err, "Preallocation can't be used for shrinking an image");
        return -EINVAL;
    }
    return bytes < n->length ? shrink(s, bytes)
           : bytes > n->length ? grow(n, bytes, prealloc) : 0;
}

/* --- empty ---------------------------------------------------------------- */

int qcow2_make_empty(BlockNode *n)
{
    Qcow2 *s = qcow2_of(n);
    int ret;

    co_mutex_lock(&s->lock);
    ret = qcow2_begin_writing(s);
    if (!ret) {
        ret = drop_from(s, 0);
    }
    if (!ret) {
        cut_tail(s);
    }
    co_mutex_unlock(&s->lock);
    return ret;
}

/* --- the header's names --------------------------------------------------- */

typedef struct Names {
    Qcow2 *s;
    int ret;
} Names;

static void write_names(void *opaque)
{
    Names *names = opaque;
    Qcow2 *s = names->s;

    co_mutex_lock(&s->lock);
    names->ret = qcow2_begin_writing(s);
    if (!names->ret) {
        names->ret = qcow2_write_header_cluster(s);
    }
    if (!names->ret) {
        names->ret = node_flush(s->n->file);
    }
    co_mutex_unlock(&s->lock);
}

bool qcow2_change_backing(BlockNode *n, const char *file, const char *format,
                          GError **err)
{
    Qcow2 *s = qcow2_of(n);
    g_autofree char *old_file = s->backing_file;
    g_autofree char *old_format = s->backing_format;
    uint64_t old_offset = s->backing_offset;
    Names names = { s, 0 };

    s->backing_file = g_strdup(file);
    s->backing_format = file ? g_strdup(format) : NULL;
    if (file && strlen(file) > QCOW2_MAX_BACKING_BYTES) {
        names.ret = -ENOSPC;
    } else {
        int ret = block_ctx_run(n->ctx, write_names, &names);

        names.ret = ret < 0 ? ret : names.ret;
    }
    if (!names.ret) {
        return true;
    }
    g_free(s->backing_file);
    g_free(s->backing_format);
    s->backing_file = g_steal_pointer(&old_file);
    s->backing_format = g_steal_pointer(&old_format);
    s->backing_offset = old_offset;
    return names.ret == -ENOSPC
           ? block_fail(err, "Could not change the backing file to '%s': "
                        "backing format must be specified or the name is too "
                        "long for the header", file)
           : block_fail_errno(err, -names.ret, "Could not change the backing "
                              "file to '%s'", file ? file : "");
}
