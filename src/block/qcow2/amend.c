/*
 * qcow2: options of creation, changed afterwards.
 *
 * Models: version, lazy refcounts, size, backing file.  An image becomes one
 *         of version 2 when nothing is in it that those have not: its zero
 *         clusters are made plain ones.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

typedef struct Amend {
    BlockNode *n;
    unsigned version;
    bool lazy;
    int ret;
} Amend;

/* Zero clusters: places nowhere where that is zero as well, else zeroes. */
static int write_out_zeroes(BlockNode *n)
{
    Qcow2 *s = qcow2_of(n);

    for (uint64_t at = 0; at < n->length; ) {
        Mapping m;
        int ret;

        co_mutex_lock(&s->lock);
        ret = qcow2_lookup(s, at, MIN(n->length - at, MiB), &m);
        if (!ret && m.kind == MAP_ZERO && !n->backing) {
            Table *t;
            uint64_t index;

            ret = qcow2_l2_for_write(s, at, &t, &index);
            if (!ret) {
                ret = qcow2_set_entries(s, t, index,
                                        qcow2_clusters(s, m.bytes), 0, 0,
                                        true);
            }
        }
        co_mutex_unlock(&s->lock);
        if (!ret && m.kind == MAP_ZERO && n->backing) {
            uint8_t *zeroes = block_alloc(m.bytes);
            struct iovec v = { zeroes, m.bytes };

            ret = zeroes ? 0 : -ENOMEM;
            if (zeroes) {
                memset(zeroes, 0, m.bytes);
                ret = qcow2_write(n, at, m.bytes, iov_all(&v, 1), 0);
            }
            block_free(zeroes);
        }
        if (ret < 0) {
            return ret;
        }
        at += m.bytes;
    }
    return 0;
}

/* The header is written when all that it says is so. */
static void amend_co(void *opaque)
{
    Amend *a = opaque;
    Qcow2 *s = qcow2_of(a->n);

    co_mutex_lock(&s->lock);
    a->ret = qcow2_begin_writing(s);
    co_mutex_unlock(&s->lock);
    if (!a->ret && a->version < s->version) {
        a->ret = write_out_zeroes(a->n);
    }
    co_mutex_lock(&s->lock);
    if (!a->ret) {
        a->ret = qcow2_sync(s);
    }
    if (!a->ret) {
        s->compatible = (s->compatible & ~COMPAT_LAZY_REFCOUNTS)
                        | (a->lazy ? COMPAT_LAZY_REFCOUNTS : 0);
        if (!a->lazy && s->incompatible & INCOMPAT_DIRTY) {
            s->incompatible &= ~INCOMPAT_DIRTY;         /* counts matter now */
            a->ret = qcow2_write_blocks(s);
        }
    }
    if (!a->ret) {
        a->ret = node_flush(a->n->file);
    }
    if (!a->ret) {
        s->version = a->version;
        s->header_bytes = a->version < 3 ? QCOW2_V2_HEADER_BYTES
                          : MAX(s->header_bytes, QCOW2_HEADER_BYTES);
        s->began = false;       /* a lazy image is dirty from its next write */
        a->ret = qcow2_write_header_cluster(s);
    }
    if (!a->ret) {
        a->ret = node_flush(a->n->file);
    }
    co_mutex_unlock(&s->lock);
}

static bool check_downgrade(const Qcow2 *s, GError **err)
{
    if (s->refcount_order != 4) {
        return block_fail(err, "compat=0.10 requires refcount_bits=16");
    }
    if (s->incompatible & INCOMPAT_COMPRESSION) {
        return block_fail(err, "compat=0.10 requires compression_type=zlib");
    }
    return !s->n_snapshots
           || block_fail(err, "compat=0.10: the image has snapshots");
}

/* What cannot be changed may be named when it is what it is. */
static bool check_same(const Qcow2 *s, Opt *opts, GError **err)
{
    static const char *const compressions[] = { "zlib", "zstd", NULL };
    uint64_t cluster = s->cluster, bits = 1 << s->refcount_order;
    int compression = s->compression;

    if (!opt_get_size(opts, "cluster_size", &cluster, 1, err)
        || !opt_get_uint(opts, "refcount_bits", &bits, 64, err)
        || !opt_get_enum(opts, "compression_type", compressions,
                         &compression, err)) {
        return false;
    }
    if (cluster != s->cluster) {
        return block_fail(err, "Changing the cluster size is not supported");
    }
    if (bits != UINT64_C(1) << s->refcount_order) {
        return block_fail(err, "Changing refcount_bits is not supported: "
                          "convert the image");
    }
    return compression == (int)s->compression
           || block_fail(err, "Changing the compression type is not "
                         "supported");
}

bool qcow2_amend(BlockNode *n, Opt *opts, GError **err)
{
    static const char *const compats[] = { "0.10", "v2", "1.1", "v3", NULL };
    Qcow2 *s = qcow2_of(n);
    const char *file = s->backing_file, *format = s->backing_format;
    int compat = s->version == 2 ? 0 : 2;
    uint64_t size = n->length;
    Amend a = { .n = n, .lazy = qcow2_is_lazy(s) };

    if (!opt_get_enum(opts, "compat", compats, &compat, err)
        || !opt_get_bool(opts, "lazy_refcounts", &a.lazy, err)
        || !opt_get_size(opts, "size", &size, 1, err)
        || !opt_get_string(opts, "backing_file", &file, err)
        || !opt_get_string(opts, "backing_fmt", &format, err)
        || !check_same(s, opts, err)) {
        return false;
    }
    a.version = 2 + compat / 2;
    if (a.version < 3 && opt_has(opts, "compat")
        && !opt_has(opts, "lazy_refcounts")) {
        a.lazy = false;
    }
    if (a.version < 3 && a.lazy) {
        return block_fail(err, "Lazy refcounts only supported with "
                          "compatibility level 1.1 and above (use compat=1.1 "
                          "or greater)");
    }
    if (a.version < s->version && !check_downgrade(s, err)) {
        return false;
    }
    if (a.version != s->version || a.lazy != qcow2_is_lazy(s)) {
        int ret = block_ctx_run(n->ctx, amend_co, &a);

        ret = ret < 0 ? ret : a.ret;
        if (ret < 0) {
            return block_fail_errno(err, -ret, "Could not write the image");
        }
    }
    if ((opt_has(opts, "backing_file") || opt_has(opts, "backing_fmt"))
        && !qcow2_change_backing(n, file && *file ? file : NULL, format,
                                 err)) {
        return false;
    }
    return size == n->length || node_truncate(n, ALIGN_UP(size, 512),
                                              PREALLOC_OFF, err);
}
