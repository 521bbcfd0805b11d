/*
 * qcow2: zeroes and discards, as entries where whole clusters are meant.
 *
 * Locks:  `lock` is taken as in io.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

/* The lock is held.  Whole clusters of one L2 table get entries of zero. */
static int zero_clusters(Qcow2 *s, uint64_t at, uint64_t n, bool unmap)
{
    uint64_t index;
    Table *t;
    int ret = qcow2_l2_for_write(s, at, &t, &index);

    for (uint64_t i = 0; !ret && i < n; i++) {
        uint64_t old = qcow2_l2_entry(t, index + i), now = ENTRY_ZERO;

        if (old & ENTRY_ZERO && !(old & ENTRY_COMPRESSED)
            && (!unmap || !(old & ENTRY_OFFSET))) {
            continue;
        }
        if (s->version < 3) {
            now = 0;
        } else if (!unmap && !(old & ENTRY_COMPRESSED)) {
            now |= old & (ENTRY_OFFSET | ENTRY_COPIED);
        }
        ret = qcow2_set_entries(s, t, index + i, 1, now, 0, unmap);
    }
    return ret;
}

/* Zeroes as data, for part of a cluster or where no entry says zero. */
static int write_plain_zeroes(BlockNode *n, uint64_t at, uint64_t bytes)
{
    size_t len = MIN(bytes, MiB);
    uint8_t *zeroes = block_alloc(len);
    int ret = zeroes ? 0 : -ENOMEM;

    if (zeroes) {
        memset(zeroes, 0, len);
    }
    while (!ret && bytes) {
        struct iovec v = { zeroes, MIN(bytes, len) };

        ret = qcow2_write(n, at, v.iov_len, iov_all(&v, 1), 0);
        at += v.iov_len;
        bytes -= v.iov_len;
    }
    block_free(zeroes);
    return ret;
}

/* The next run of clusters in one table: [*at, + *run) of [at, end). */
static uint64_t table_run(const Qcow2 *s, uint64_t at, uint64_t end)
{
    uint64_t covered = BIT64(s->cluster_bits + s->l2_bits);

    return MIN(end - at, covered - (at & (covered - 1)));
}

/* One step of write_zeroes: how much it did is in *done. */
static int zero_step(BlockNode *n, uint64_t at, uint64_t end, unsigned flags,
                     uint64_t *done)
{
    Qcow2 *s = qcow2_of(n);
    uint64_t in_cluster = qcow2_in_cluster(s, at);
    uint64_t whole = end == n->length ? end : ALIGN_DOWN(end, s->cluster);
    int ret;

    if (in_cluster || at >= whole) {    /* a part of a cluster */
        *done = MIN(end - at, s->cluster - in_cluster);
        ret = qcow2_lock_range(s, at, *done);
        if (ret < 0) {
            return ret;
        }
        ret = qcow2_is_zero_range(s, at, *done);
        co_mutex_unlock(&s->lock);
        return ret < 0 ? ret : ret > 0 ? 0
               : flags & BLOCK_NO_FALLBACK ? -ENOTSUP
               : write_plain_zeroes(n, at, *done);
    }
    *done = table_run(s, at, whole);
    if (s->version < 3 && n->backing) {
        *done = MIN(*done, MiB);
        return flags & BLOCK_NO_FALLBACK ? -ENOTSUP
               : write_plain_zeroes(n, at, *done);
    }
    ret = qcow2_lock_range(s, at, *done);
    if (ret < 0) {
        return ret;
    }
    ret = n->backing ? 0 : qcow2_is_zero_range(s, at, *done);
    if (!ret) {
        ret = zero_clusters(s, at, qcow2_clusters(s, *done),
                            flags & BLOCK_MAY_UNMAP);
    }
    co_mutex_unlock(&s->lock);
    return MIN(ret, 0);
}

int qcow2_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                       unsigned flags)
{
    uint64_t end = at + bytes, done;

    for (; at < end; at += done) {
        int ret = zero_step(n, at, end, flags, &done);

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* Whole clusters alone; what is in none stays so. */
int qcow2_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    Qcow2 *s = qcow2_of(n);
    uint64_t end = at + bytes;

    end = end == n->length ? end : ALIGN_DOWN(end, s->cluster);
    at = ALIGN_UP(at, s->cluster);
    if (s->version < 3 && n->backing) {
        return 0;               /* the backing file would show again */
    }
    while (at < end) {
        uint64_t run = table_run(s, at, end);
        Mapping m;
        int ret = qcow2_lock_range(s, at, run);

        if (ret < 0) {
            return ret;
        }
        ret = qcow2_lookup(s, at, run, &m);
        if (!ret && (m.kind == MAP_DATA || m.kind == MAP_PACKED
                     || (m.kind == MAP_ZERO && m.at))) {
            ret = zero_clusters(s, at, qcow2_clusters(s, m.bytes), true);
        }
        co_mutex_unlock(&s->lock);
        if (ret < 0) {
            return ret;
        }
        at += m.bytes;
    }
    return 0;
}
