/*
 * qcow2: requests.
 *
 * A request goes through its range piece by piece: look up under the lock,
 * move data without it.  Clusters that have a place of their own are written
 * there; others get one, with what lies around the bytes copied, and come into
 * the L2 table when their data is written.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

enum {
    MAX_ALLOC_BYTES = 8 << 20,          /* of one piece */
    MAX_FREES = 4096,                   /* then they are applied */
};
#define MAX_FREED_BYTES (256 * MiB)

static void leave_cluster(Qcow2 *s)
{
    if (!--s->n_in_place) {
        co_queue_wake_all(&s->in_place_done);
    }
}

/* --- reading -------------------------------------------------------------- */

static int unpack_cluster(Qcow2 *s, uint64_t entry, uint8_t *out)
{
    uint64_t at, bytes = qcow2_packed_range(s, entry, &at);
    uint8_t *in;
    int ret;

    if (at >= s->n->file->length) {
        return qcow2_corrupt(s, "compressed data at %#" PRIx64 " is behind "
                             "the end of the file", at);
    }
    in = block_alloc(bytes);
    if (!in) {
        return -ENOMEM;
    }
    ret = node_read_buf(s->n->file, at, in, bytes);
    if (!ret) {
        ret = qcow2_unpack(s->n->ctx, s->compression, in, bytes, out,
                           s->cluster);
    }
    block_free(in);
    return ret;
}

/* The cluster unpacked last is kept: readers come with small pieces. */
static int read_packed(Qcow2 *s, const Mapping *m, uint64_t at, uint64_t bytes,
                       IoVec v)
{
    uint8_t *buf;
    int ret;

    if (s->z_entry == m->entry) {
        iov_put(v, s->z_data + qcow2_in_cluster(s, at), bytes);
        return 0;
    }
    buf = block_alloc(s->cluster);
    if (!buf) {
        return -ENOMEM;
    }
    ret = unpack_cluster(s, m->entry, buf);
    if (ret < 0) {
        block_free(buf);
        return ret;
    }
    iov_put(v, buf + qcow2_in_cluster(s, at), bytes);
    block_free(s->z_data);
    s->z_data = buf;
    s->z_entry = m->entry;
    return 0;
}

int qcow2_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
               unsigned flags)
{
    Qcow2 *s = qcow2_of(n);

    while (bytes) {
        Mapping m;
        int ret;

        co_mutex_lock(&s->lock);
        ret = qcow2_lookup(s, at, bytes, &m);
        s->n_in_place++;        /* its clusters are not given away now */
        co_mutex_unlock(&s->lock);
        if (!ret && m.kind == MAP_DATA) {
            ret = node_read(n->file, m.at, m.bytes, v, 0);
        } else if (!ret && m.kind == MAP_PACKED) {
            ret = read_packed(s, &m, at, m.bytes, v);
        } else if (!ret && m.kind == MAP_NONE && n->backing) {
            ret = node_read(n->backing, at, m.bytes, v, 0);
        } else if (!ret) {
            iov_fill(v, 0, m.bytes);
        }
        leave_cluster(s);
        if (ret < 0) {
            return ret;
        }
        at += m.bytes;
        bytes -= m.bytes;
        if (bytes) {
            v = iov_slice(v, m.bytes);
        }
    }
    return 0;
}

int qcow2_status(BlockNode *n, uint64_t at, uint64_t bytes, BlockStatus *st)
{
    static const unsigned flags[] = {
        [MAP_NONE] = 0, [MAP_ZERO] = BLOCK_ZERO | BLOCK_ALLOCATED,
        [MAP_DATA] = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_OFFSET,
        [MAP_PACKED] = BLOCK_DATA | BLOCK_ALLOCATED | BLOCK_COMPRESSED,
    };
    Qcow2 *s = qcow2_of(n);
    Mapping m;
    int ret;

    co_mutex_lock(&s->lock);
    ret = qcow2_lookup(s, at, bytes, &m);
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        return ret;
    }
    st->flags = flags[m.kind];
    st->bytes = m.bytes;
    if (m.kind == MAP_ZERO && m.at) {
        st->flags |= BLOCK_OFFSET;
        m.at += qcow2_in_cluster(s, at);
    }
    if (st->flags & BLOCK_OFFSET) {
        st->map = m.at;
        st->file = n->file;
    }
    return 0;
}

/* --- allocations that are under way --------------------------------------- */

static bool is_allocating(const Qcow2 *s, uint64_t first, uint64_t end)
{
    for (const Alloc *a = s->allocs; a; a = a->next) {
        if (a->first < end && first < a->end) {
            return true;
        }
    }
    return false;
}

int qcow2_lock_range(Qcow2 *s, uint64_t at, uint64_t bytes)
{
    uint64_t first = at >> s->cluster_bits;
    uint64_t end = qcow2_clusters(s, at + bytes);
    int ret;

    co_mutex_lock(&s->lock);
    while (is_allocating(s, first, end)) {
        co_mutex_unlock(&s->lock);      /* others may run: look again */
        if (is_allocating(s, first, end)) {
            co_queue_wait(&s->alloc_done);
        }
        co_mutex_lock(&s->lock);
    }
    ret = qcow2_begin_writing(s);
    if (!ret && (s->frees->len > MAX_FREES
                 || s->freed_bytes > MAX_FREED_BYTES)) {
        ret = qcow2_sync(s);
    }
    if (ret < 0) {
        co_mutex_unlock(&s->lock);
    }
    return ret;
}

static void begin_alloc(Qcow2 *s, Alloc *a, uint64_t at, uint64_t n)
{
    a->first = at >> s->cluster_bits;
    a->end = a->first + n;
    a->next = s->allocs;
    s->allocs = a;
}

/* Releases the lock. */
static void end_alloc(Qcow2 *s, Alloc *a)
{
    Alloc **link = &s->allocs;

    while (*link != a) {
        link = &(*link)->next;
    }
    *link = a->next;
    co_mutex_unlock(&s->lock);
    co_queue_wake_all(&s->alloc_done);
}

/* --- writing -------------------------------------------------------------- */

int qcow2_is_zero_range(Qcow2 *s, uint64_t at, uint64_t bytes)
{
    while (bytes) {
        Mapping m;
        int ret = qcow2_lookup(s, at, bytes, &m);

        if (ret < 0) {
            return ret;
        }
        if (m.kind != MAP_ZERO
            && !(m.kind == MAP_NONE
                 && (!s->n->backing || at >= s->n->backing->length))) {
            return 0;
        }
        at += m.bytes;
        bytes -= m.bytes;
    }
    return 1;
}

/* Behind everything that was ever in it, the file reads as zeroes. */
static bool end_is_zero(BlockNode *file)
{
    while (file->drv->filter && file->file) {
        file = file->file;
    }
    return file->drv->grows;
}

/* A piece that gets clusters: where, and what is around it. */
typedef struct Piece {
    uint64_t at, bytes;         /* of the guest */
    uint64_t host, n;           /* clusters for it */
    bool reused;                /* they were there: preallocated zeroes */
    uint64_t head, tail;        /* bytes to be copied before and after */
} Piece;

/* How many clusters from `at` on need a place; a run of preallocated zero
 * clusters is one of its own. */
static int plan_piece(Qcow2 *s, Piece *p, const Mapping *m)
{
    uint64_t head = qcow2_in_cluster(s, p->at);
    uint64_t most = qcow2_clusters(s, head + MIN(p->bytes, MAX_ALLOC_BYTES));
    uint64_t left = BIT64(s->l2_bits)
                    - ((p->at >> s->cluster_bits) & (BIT64(s->l2_bits) - 1));
    uint64_t start = p->at - head;

    p->reused = m->kind == MAP_ZERO && m->at && m->entry & ENTRY_COPIED;
    p->host = p->reused ? m->at : 0;
    most = MIN(most, left);
    for (p->n = 1; p->n < most; p->n++) {
        Mapping next;
        int ret = qcow2_lookup(s, start + (p->n << s->cluster_bits), 1,
                               &next);
        bool keeps = next.kind == MAP_ZERO && next.at
                     && next.entry & ENTRY_COPIED;

        if (ret < 0) {
            return ret;
        }
        if (next.writable || keeps != p->reused
            || (keeps && next.at != p->host + (p->n << s->cluster_bits))) {
            break;
        }
    }
    return 0;
}

static int give_clusters(Qcow2 *s, Piece *p)
{
    uint64_t water = s->high_water, head = qcow2_in_cluster(s, p->at);
    uint64_t start = p->at - head, end, disk_end;
    bool fresh;
    int ret = 0;

    if (!p->reused) {
        ret = qcow2_alloc(s, p->n, &p->host, &p->n);
    } else if (qcow2_is_metadata(s, p->host, p->n << s->cluster_bits)) {
        ret = qcow2_corrupt(s, "data of the guest at %#" PRIx64 " would "
                            "overwrite tables", p->host);
    }
    if (ret < 0) {
        return ret;
    }
    end = start + (p->n << s->cluster_bits);
    p->bytes = MIN(p->bytes, end - p->at);
    p->head = head;
    p->tail = end - p->at - p->bytes;
    fresh = !p->reused && p->host >= water && end_is_zero(s->n->file);
    disk_end = MAX(s->n->length, p->at + p->bytes);
    if (fresh) {
        ret = qcow2_is_zero_range(s, start, head);
        p->head = ret > 0 ? 0 : p->head;
        if (ret >= 0 && p->tail) {
            uint64_t last = p->at + p->bytes;

            ret = last < disk_end
                  ? qcow2_is_zero_range(s, last, MIN(disk_end, end) - last)
                  : 1;
            p->tail = ret > 0 ? 0 : p->tail;
        }
    }
    if (ret < 0) {              /* `fresh`: nothing points there */
        qcow2_change_refcounts(s, p->host, p->n << s->cluster_bits, -1);
        return ret;
    }
    return 0;
}

/* A device is full where a file would have grown. */
static int write_host(BlockNode *file, uint64_t at, uint64_t bytes, IoVec v)
{
    int ret = node_write(file, at, bytes, v, 0);

    return ret == -EIO && at + bytes > file->length ? -ENOSPC : ret;
}

static int read_plain(Qcow2 *s, uint64_t at, uint64_t bytes, void *buf)
{
    struct iovec v = { buf, bytes };

    return bytes ? qcow2_read(s->n, at, bytes, iov_all(&v, 1), 0) : 0;
}

/* What is before the piece to `head`, what is behind it to `tail`; zeroes
 * behind the disk's end. */
static int read_around(Qcow2 *s, const Piece *p, uint8_t *head, uint8_t *tail)
{
    uint64_t start = p->at - p->head, end = p->at + p->bytes;
    uint64_t there = end < s->n->length
                     ? MIN(p->tail, s->n->length - end) : 0;
    int ret;

    memset(tail + there, 0, p->tail - there);
    if (there && tail == head + p->head + p->bytes) {
        return read_plain(s, start, end + there - start, head);
    }
    ret = read_plain(s, start, p->head, head);
    return ret ? ret : read_plain(s, end, there, tail);
}

/* The piece's bytes with what is around them, in one write.  When they are few
 * they are read with the rest: one request to the file below, not two. */
static int write_piece(Qcow2 *s, const Piece *p, IoVec v)
{
    uint64_t around = p->head + p->tail;
    uint64_t gap = p->head && p->tail && p->bytes <= around ? p->bytes : 0;
    g_autofree struct iovec *all = NULL;
    uint8_t *buf, *tail;
    unsigned n = 0;
    size_t got;
    int ret;

    if (!around) {
        return write_host(s->n->file, p->host + qcow2_in_cluster(s, p->at),
                          p->bytes, v);
    }
    buf = block_alloc(around + gap);
    if (!buf) {
        return -ENOMEM;
    }
    tail = buf + p->head + gap;
    ret = read_around(s, p, buf, tail);
    if (!ret) {
        all = g_new(struct iovec, v.n + 2);
        if (p->head) {
            all[n++] = (struct iovec) { buf, p->head };
        }
        n += iov_take(v, p->bytes, all + n, v.n, &got);
        if (p->tail) {
            all[n++] = (struct iovec) { tail, p->tail };
        }
        ret = write_host(s->n->file, p->host + qcow2_in_cluster(s, p->at)
                         - p->head, p->head + p->bytes + p->tail,
                         iov_all(all, n));
    }
    block_free(buf);
    return ret;
}

/* The lock is held, and released.  p->bytes becomes what was written. */
static int write_new(Qcow2 *s, Piece *p, const Mapping *m, IoVec v)
{
    uint64_t index;
    Alloc a;
    Table *t;
    int ret = plan_piece(s, p, m);

    if (!ret) {
        ret = give_clusters(s, p);
    }
    if (ret < 0) {
        co_mutex_unlock(&s->lock);
        return ret;
    }
    begin_alloc(s, &a, p->at, p->n);
    co_mutex_unlock(&s->lock);

    ret = write_piece(s, p, v);

    co_mutex_lock(&s->lock);
    if (!ret) {
        ret = qcow2_l2_for_write(s, p->at, &t, &index);
    }
    if (!ret) {
        s->barrier = true;
        ret = qcow2_set_entries(s, t, index, p->n, p->host | ENTRY_COPIED,
                                s->cluster, false);
    } else if (!p->reused) {    /* nothing points there */
        qcow2_change_refcounts(s, p->host, p->n << s->cluster_bits, -1);
    }
    end_alloc(s, &a);
    return ret;
}

/* The lock is held, and released. */
static int write_in_place(Qcow2 *s, const Mapping *m, IoVec v)
{
    int ret;

    if (qcow2_is_metadata(s, m->at, m->bytes)) {
        ret = qcow2_corrupt(s, "data of the guest at %#" PRIx64 " would "
                            "overwrite tables", m->at);
        co_mutex_unlock(&s->lock);
        return ret;
    }
    s->n_in_place++;
    co_mutex_unlock(&s->lock);
    ret = node_write(s->n->file, m->at, m->bytes, v, 0);
    leave_cluster(s);
    return ret;
}

int qcow2_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                unsigned flags)
{
    Qcow2 *s = qcow2_of(n);

    while (bytes) {
        Piece p = { .at = at, .bytes = bytes };
        Mapping m;
        int ret = qcow2_lock_range(s, at, bytes);

        if (ret < 0) {
            return ret;
        }
        ret = qcow2_lookup(s, at, bytes, &m);
        if (ret < 0) {
            co_mutex_unlock(&s->lock);
            return ret;
        }
        if (m.writable) {
            p.bytes = m.bytes;
            ret = write_in_place(s, &m, v);
        } else {
            ret = write_new(s, &p, &m, v);
        }
        if (ret < 0) {
            return ret;
        }
        at += p.bytes;
        bytes -= p.bytes;
        if (bytes) {
            v = iov_slice(v, p.bytes);
        }
    }
    return 0;
}

/* --- compressed ----------------------------------------------------------- */

/* The lock is held, and released.  Bytes get a place and an entry. */
static int store_packed(Qcow2 *s, uint64_t at, const uint8_t *packed,
                        uint64_t len)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t host, sectors, index;
    Alloc a;
    Table *t;
    int ret = qcow2_alloc_packed(s, len, &host);

    if (!ret && host + len > BIT64(MIN(x, 56))) {
        qcow2_change_refcounts(s, host, len, -1);
        ret = -EFBIG;
    }
    if (ret < 0) {
        co_mutex_unlock(&s->lock);
        return ret;
    }
    begin_alloc(s, &a, at, 1);
    co_mutex_unlock(&s->lock);

    ret = node_write_buf(s->n->file, host, packed, len);

    co_mutex_lock(&s->lock);
    if (!ret) {
        ret = qcow2_l2_for_write(s, at, &t, &index);
    }
    if (!ret) {
        sectors = ((host + len - 1) >> 9) - (host >> 9);
        s->barrier = true;
        ret = qcow2_set_entries(s, t, index, 1, host | sectors << x
                                | ENTRY_COMPRESSED, 0, false);
    } else {
        qcow2_change_refcounts(s, host, len, -1);
    }
    end_alloc(s, &a);
    return ret;
}

int qcow2_pack_cluster(BlockNode *n, const uint8_t *plain, uint64_t bytes,
                       uint8_t *packed)
{
    Qcow2 *s = qcow2_of(n);
    uint8_t *whole = NULL;
    int len;

    if (bytes > s->cluster) {
        return -EINVAL;
    }
    if (bytes < s->cluster) {           /* the disk's end */
        whole = block_alloc(s->cluster);
        if (!whole) {
            return -ENOMEM;
        }
        memcpy(whole, plain, bytes);
        memset(whole + bytes, 0, s->cluster - bytes);
    }
    len = qcow2_pack(n->ctx, s->compression, whole ? whole : plain,
                     s->cluster, packed, s->cluster - 1);
    block_free(whole);
    return len;
}

int qcow2_write_packed(BlockNode *n, uint64_t at, const uint8_t *packed,
                       uint64_t len)
{
    Qcow2 *s = qcow2_of(n);
    int ret;

    if (qcow2_in_cluster(s, at) || at >= n->length || !len
        || len >= s->cluster) {
        return -EINVAL;
    }
    ret = qcow2_lock_range(s, at, s->cluster);
    return ret ? ret : store_packed(s, at, packed, len);
}
