/*
 * Requests to nodes: ranges, alignment, order, zeroes, flushes.
 *
 * A node with alignment 1 has nothing to wait for.  With more, a write that
 * must read around its ends is "serialising": it waits for all that overlap
 * its blocks, and those that come later and overlap wait for it.
 *
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "block/driver.h"
#include "ctx.h"
#include "node.h"

#define BOUNCE_BYTES MiB        /* at most copied at once */
#define ZEROES_BYTES MiB        /* at most written as zeroes at once */

/* --- buffers ---------------------------------------------------------------------- */

void *block_alloc(size_t bytes)
{
    void *at = NULL;

    return posix_memalign(&at, 4096, MAX(bytes, 1)) ? NULL : at;
}

void block_free(void *buf)
{
    free(buf);
}

/* --- overlap ------------------------------------------------------------------------ */

struct BlockRequest {
    uint64_t at, end;           /* whole blocks */
    bool serialising;
    Co *co;
    CoQueue waiters;
    BlockRequest *next;
};

static bool must_wait(const BlockRequest *a, const BlockRequest *b)
{
    return a != b && a->at < b->end && b->at < a->end
           && (a->serialising || b->serialising);
}

/* Note the write and wait for those before it that it may not overtake: the
 * list is newest first, so those behind it in the list. */
static void track(BlockNode *n, BlockRequest *r, uint64_t at, uint64_t bytes,
                  bool serialising)
{
    *r = (BlockRequest) {
        .at = ALIGN_DOWN(at, n->alignment),
        .end = ALIGN_UP(at + bytes, n->alignment),
        .serialising = serialising, .co = co_self(), .next = n->requests,
    };
    n->requests = r;
    for (BlockRequest *o = r->next; o; ) {
        if (must_wait(r, o)) {
            co_queue_wait(&o->waiters);
            o = r->next;        /* it is gone; others may be as well */
        } else {
            o = o->next;
        }
    }
}

static void untrack(BlockNode *n, BlockRequest *r)
{
    BlockRequest **at = &n->requests;

    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    co_queue_wake_all(&r->waiters);
}

/* --- outside coroutines ---------------------------------------------------------------- */

typedef struct Call {
    enum { CALL_READ, CALL_WRITE, CALL_ZEROES, CALL_DISCARD, CALL_FLUSH,
           CALL_TRUNCATE, CALL_STATUS } what;
    BlockNode *n, *base;
    uint64_t at, bytes;
    IoVec v;
    unsigned flags;
    BlockPrealloc prealloc;
    BlockStatus *st;
    GError **err;
    int ret;
} Call;

static void run_call(void *opaque)
{
    Call *c = opaque;

    switch (c->what) {
    case CALL_READ:
        c->ret = node_read(c->n, c->at, c->bytes, c->v, c->flags);
        break;
    case CALL_WRITE:
        c->ret = node_write(c->n, c->at, c->bytes, c->v, c->flags);
        break;
    case CALL_ZEROES:
        c->ret = node_write_zeroes(c->n, c->at, c->bytes, c->flags);
        break;
    case CALL_DISCARD:
        c->ret = node_discard(c->n, c->at, c->bytes);
        break;
    case CALL_FLUSH:
        c->ret = node_flush(c->n);
        break;
    case CALL_TRUNCATE:
        c->ret = node_truncate(c->n, c->bytes, c->prealloc, c->err) ? 0 : -1;
        break;
    case CALL_STATUS:
        c->ret = node_status_above(c->n, c->base, c->at, c->bytes, c->st);
        break;
    }
}

static int call(Call *c)
{
    int ret = block_ctx_run(c->n->ctx, run_call, c);

    if (ret < 0 && c->what == CALL_TRUNCATE) {
        block_fail_errno(c->err, -ret, "the image cannot be resized");
    }
    return ret < 0 ? ret : c->ret;
}

static void begin(BlockNode *n)
{
    n->in_flight++;
}

static int end(BlockNode *n, int ret)
{
    n->in_flight--;
    return ret;
}

/* --- reading ------------------------------------------------------------------------------ */

static int drv_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                    unsigned flags)
{
    uint64_t most = n->max_transfer ? n->max_transfer : BLOCK_MAX_REQUEST;

    while (bytes) {
        uint64_t len = MIN(bytes, most);
        int ret = n->drv->read ? n->drv->read(n, at, len, v, flags)
                  : n->drv->filter ? node_read(n->file, at, len, v, flags)
                  : -ENOTSUP;

        if (ret < 0) {
            return ret;
        }
        bytes -= len;
        at += len;
        if (bytes) {
            v = iov_slice(v, len);
        }
    }
    return 0;
}

static bool is_aligned(const BlockNode *n, uint64_t at, uint64_t bytes,
                       IoVec v)
{
    return !((at | bytes) & (n->alignment - 1))
           && (n->memory_alignment <= 1
               || iov_is_aligned(v, bytes, n->memory_alignment));
}

/* Through a buffer of whole blocks. */
static int read_bounced(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                        unsigned flags)
{
    uint64_t room = MIN(ALIGN_UP(bytes, n->alignment) + n->alignment,
                        MAX(BOUNCE_BYTES, 2 * n->alignment));
    uint8_t *buf = block_alloc(room);
    int ret = buf ? 0 : -ENOMEM;

    while (!ret && bytes) {
        uint64_t start = ALIGN_DOWN(at, n->alignment);
        uint64_t len = MIN(bytes, room - (at - start));
        struct iovec whole = {
            buf, ALIGN_UP(at + len, n->alignment) - start
        };

        ret = drv_read(n, start, whole.iov_len, iov_all(&whole, 1), flags);
        if (!ret) {
            iov_put(v, buf + (at - start), len);
            at += len;
            bytes -= len;
            if (bytes) {
                v = iov_slice(v, len);
            }
        }
    }
    block_free(buf);
    return ret;
}

int node_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
              unsigned flags)
{
    uint64_t there;
    int ret = 0;

    if (!co_self()) {
        Call c = { .what = CALL_READ, .n = n, .at = at, .bytes = bytes,
                   .v = v, .flags = flags };

        return call(&c);
    }
    if (bytes > BLOCK_MAX_REQUEST || at > BLOCK_MAX_LENGTH) {
        return -EINVAL;
    }
    begin(n);
    there = at < n->length ? MIN(bytes, n->length - at) : 0;
    if (there) {
        ret = is_aligned(n, at, there, v) ? drv_read(n, at, there, v, flags)
              : read_bounced(n, at, there, v, flags);
    }
    if (!ret && there < bytes) {
        iov_fill(iov_slice(v, there), 0, bytes - there);
    }
    return end(n, ret);
}

int node_read_buf(BlockNode *n, uint64_t at, void *buf, size_t len)
{
    struct iovec v = { buf, len };

    return node_read(n, at, len, iov_all(&v, 1), 0);
}

/* --- writing ------------------------------------------------------------------------------- */

static int drv_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                     unsigned flags)
{
    uint64_t most = n->max_transfer ? n->max_transfer : BLOCK_MAX_REQUEST;
    unsigned pass = n->drv->fua || (!n->drv->write && n->drv->filter)
                    ? flags : flags & ~BLOCK_FUA;

    while (bytes) {
        uint64_t len = MIN(bytes, most);
        int ret = n->drv->write ? n->drv->write(n, at, len, v, pass)
                  : n->drv->filter ? node_write(n->file, at, len, v, pass)
                  : -ENOTSUP;

        if (ret < 0) {
            return ret;
        }
        bytes -= len;
        at += len;
        if (n->drv->grows) {
            n->length = MAX(n->length, at);
        }
        if (bytes) {
            v = iov_slice(v, len);
        }
    }
    return 0;
}

/* Whole blocks, with what lies around the bytes read first. */
static int write_bounced(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                         unsigned flags)
{
    uint64_t room = MIN(ALIGN_UP(bytes, n->alignment) + n->alignment,
                        MAX(BOUNCE_BYTES, 2 * n->alignment));
    uint32_t block = n->alignment;
    uint8_t *buf = block_alloc(room);
    int ret = buf ? 0 : -ENOMEM;

    while (!ret && bytes) {
        uint64_t start = ALIGN_DOWN(at, block);
        uint64_t len = MIN(bytes, room - (at - start));
        uint64_t last = at + len;
        struct iovec whole = { buf, ALIGN_UP(last, block) - start };

        if (start < at) {
            ret = node_read_buf(n, start, buf, block);
        }
        if (!ret && last & (block - 1)
            && (start == at || last - start > block)) {
            uint64_t tail = ALIGN_DOWN(last, block);

            ret = node_read_buf(n, tail, buf + (tail - start), block);
        }
        if (!ret) {
            iov_get(v, buf + (at - start), len);
            ret = drv_write(n, start, whole.iov_len, iov_all(&whole, 1),
                            flags);
        }
        if (!ret) {
            at = last;
            bytes -= len;
            if (bytes) {
                v = iov_slice(v, len);
            }
        }
    }
    block_free(buf);
    return ret;
}

/* Is it allowed, and is it within? */
static int check_write(const BlockNode *n, uint64_t at, uint64_t bytes)
{
    if (n->read_only) {
        return -EPERM;
    }
    if (bytes > BLOCK_MAX_LENGTH || at > BLOCK_MAX_LENGTH - bytes) {
        return -EFBIG;
    }
    return !n->drv->grows && at + bytes > n->length ? -EIO : 0;
}

/* A write has been done: nobody has flushed it. */
static int wrote(BlockNode *n, int ret, unsigned flags)
{
    n->written++;
    if (!ret && flags & BLOCK_FUA && !n->drv->fua
        && (n->drv->write || !n->drv->filter)) {
        ret = node_flush(n);
    }
    return ret;
}

int node_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
               unsigned flags)
{
    BlockRequest r;
    bool aligned, tracked;
    int ret;

    if (!co_self()) {
        Call c = { .what = CALL_WRITE, .n = n, .at = at, .bytes = bytes,
                   .v = v, .flags = flags };

        return call(&c);
    }
    ret = bytes > BLOCK_MAX_REQUEST ? -EINVAL : check_write(n, at, bytes);
    if (ret < 0 || !bytes) {
        return ret;
    }
    if (n->detect_zeroes != DETECT_OFF && iov_is_zero(v, bytes)) {
        return node_write_zeroes(n, at, bytes, flags
                                 | (n->detect_zeroes == DETECT_UNMAP
                                    ? BLOCK_MAY_UNMAP : 0));
    }
    begin(n);
    aligned = !((at | bytes) & (n->alignment - 1));
    tracked = n->alignment > 1;
    if (tracked) {
        track(n, &r, at, bytes, !aligned);
    }
    ret = aligned && is_aligned(n, at, bytes, v)
          ? drv_write(n, at, bytes, v, flags)
          : write_bounced(n, at, bytes, v, flags);
    if (tracked) {
        untrack(n, &r);
    }
    return end(n, wrote(n, ret, flags));
}

int node_write_buf(BlockNode *n, uint64_t at, const void *buf, size_t len)
{
    struct iovec v = { (void *)buf, len };

    return node_write(n, at, len, iov_all(&v, 1), 0);
}

/* --- zeroes and discards ------------------------------------------------------------------- */

/* The same zeroes over and over. */
static int write_plain_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                              unsigned flags)
{
    size_t len = MIN(ZEROES_BYTES, ALIGN_UP(bytes, n->alignment));
    uint8_t *zeroes = block_alloc(len);
    struct iovec v = { zeroes, len };
    int ret = zeroes ? 0 : -ENOMEM;

    if (zeroes) {
        memset(zeroes, 0, len);
    }
    while (!ret && bytes) {
        uint64_t now = MIN(bytes, len);

        ret = !((at | now) & (n->alignment - 1))
              ? drv_write(n, at, now, iov_all(&v, 1), flags)
              : write_bounced(n, at, now, iov_all(&v, 1), flags);
        at += now;
        bytes -= now;
    }
    block_free(zeroes);
    return ret;
}

static int drv_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                      unsigned flags)
{
    int ret = -ENOTSUP;

    flags &= ~BLOCK_FUA;
    if (!(flags & BLOCK_MAY_UNMAP) || !n->unmap) {
        flags &= ~BLOCK_MAY_UNMAP;
    }
    if (n->drv->write_zeroes) {
        ret = n->drv->write_zeroes(n, at, bytes, flags);
    } else if (n->drv->filter && !n->drv->write) {
        ret = node_write_zeroes(n->file, at, bytes, flags);
    }
    return ret;
}

/* [at, at + bytes): blocks by the driver, the ends as bytes. */
static int zero_range(BlockNode *n, uint64_t at, uint64_t bytes,
                      unsigned flags)
{
    uint64_t first = ALIGN_UP(at, n->alignment);
    uint64_t last = ALIGN_DOWN(at + bytes, n->alignment);
    int ret = -ENOTSUP;

    if (first < last) {
        ret = drv_zeroes(n, first, last - first, flags);
        if (!ret && n->drv->grows) {
            n->length = MAX(n->length, last);
        }
    }
    if (ret != -ENOTSUP) {
        if (!ret && at < first) {
            ret = write_plain_zeroes(n, at, first - at, 0);
        }
        if (!ret && last < at + bytes) {
            ret = write_plain_zeroes(n, last, at + bytes - last, 0);
        }
        return ret;
    }
    return flags & BLOCK_NO_FALLBACK ? ret
           : write_plain_zeroes(n, at, bytes, 0);
}

int node_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                      unsigned flags)
{
    BlockRequest r;
    bool tracked;
    int ret;

    if (!co_self()) {
        Call c = { .what = CALL_ZEROES, .n = n, .at = at, .bytes = bytes,
                   .flags = flags };

        return call(&c);
    }
    ret = check_write(n, at, bytes);
    if (ret < 0 || !bytes) {
        return ret;
    }
    begin(n);
    tracked = n->alignment > 1;
    if (tracked) {
        track(n, &r, at, bytes, (at | bytes) & (n->alignment - 1));
    }
    ret = zero_range(n, at, bytes, flags);
    if (tracked) {
        untrack(n, &r);
    }
    n->written++;
    if (!ret && flags & BLOCK_FUA) {
        ret = node_flush(n);
    }
    return end(n, ret);
}

int node_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    BlockRequest r;
    bool tracked;
    int ret;

    if (!co_self()) {
        Call c = { .what = CALL_DISCARD, .n = n, .at = at, .bytes = bytes };

        return call(&c);
    }
    if (n->read_only) {
        return -EPERM;
    }
    if (at > n->length || bytes > n->length - at) {
        return -EIO;
    }
    if (!n->unmap) {
        return 0;
    }
    bytes = ALIGN_DOWN(at + bytes, n->alignment);   /* the blocks within */
    at = ALIGN_UP(at, n->alignment);
    if (bytes <= at) {
        return 0;
    }
    bytes -= at;
    begin(n);
    tracked = n->alignment > 1;
    if (tracked) {
        track(n, &r, at, bytes, false);
    }
    ret = n->drv->discard ? n->drv->discard(n, at, bytes)
          : n->drv->filter ? node_discard(n->file, at, bytes) : 0;
    if (tracked) {
        untrack(n, &r);
    }
    n->written++;
    return end(n, ret == -ENOTSUP ? 0 : ret);
}

/* --- flushing -------------------------------------------------------------------------------- */

static int flush_children(BlockNode *n)
{
    int ret = 0;

    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *use = g_ptr_array_index(n->children, i);
        int one = node_flush(use->node);

        ret = ret ? ret : one;
    }
    return ret;
}

int node_flush(BlockNode *n)
{
    uint64_t want;
    int ret = 0;

    if (!co_self()) {
        Call c = { .what = CALL_FLUSH, .n = n };

        return call(&c);
    }
    /* Formats write out what they hold; their file then leaves it there. */
    if (n->read_only || (n->no_flush && !n->drv->has_backing)) {
        return 0;
    }
    begin(n);
    want = n->written;
    while (n->flushing) {
        co_queue_wait(&n->flush_queue);
    }
    if (n->flushed < want) {    /* else one that began later has ended */
        uint64_t now = n->written;

        n->flushing = true;
        ret = n->drv->flush ? n->drv->flush(n) : flush_children(n);
        if (!ret) {
            n->flushed = now;
        }
        n->flushing = false;
        co_queue_wake_all(&n->flush_queue);
    }
    return end(n, ret);
}

/* --- length and status ------------------------------------------------------------------------- */

const char *const block_prealloc_names[] = {
    "off", "metadata", "falloc", "full", NULL
};

bool node_truncate(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                   GError **err)
{
    bool ok;

    if (!co_self()) {
        Call c = { .what = CALL_TRUNCATE, .n = n, .bytes = bytes,
                   .prealloc = prealloc, .err = err };

        return call(&c) == 0;
    }
    if (n->read_only) {
        return block_fail(err, "'%s' is read-only", node_filename(n));
    }
    if (bytes > BLOCK_MAX_LENGTH) {
        return block_fail(err, "%" PRIu64 " bytes are too many; at most "
                          "%" PRIu64 " are possible", bytes,
                          (uint64_t)BLOCK_MAX_LENGTH);
    }
    begin(n);
    if (n->drv->truncate) {
        int ret = n->drv->truncate(n, bytes, prealloc, err);

        ok = ret == 0;
        if (!ok && err && !*err) {
            block_fail_errno(err, -ret, "cannot resize '%s'",
                             node_filename(n));
        }
    } else if (n->drv->filter) {
        ok = node_truncate(n->file, bytes, prealloc, err);
        if (ok) {
            n->length = n->file->length;
        }
    } else {
        ok = block_fail(err, "%s images cannot be resized", n->drv->name);
    }
    n->written++;
    end(n, 0);
    return ok;
}

int node_status(BlockNode *n, uint64_t at, uint64_t bytes, BlockStatus *st)
{
    int ret = 0;

    if (!co_self()) {
        Call c = { .what = CALL_STATUS, .n = n, .base = n->backing,
                   .at = at, .bytes = bytes, .st = st };

        return call(&c);
    }
    if (at >= n->length || !bytes) {
        *st = (BlockStatus) { .flags = BLOCK_ZERO | BLOCK_EOF,
                              .bytes = MAX(bytes, 1) };
        return 0;
    }
    bytes = MIN(bytes, n->length - at);
    *st = (BlockStatus) { .flags = BLOCK_DATA | BLOCK_ALLOCATED,
                          .bytes = bytes };
    begin(n);
    if (n->drv->status) {
        ret = n->drv->status(n, at, bytes, st);
        st->bytes = CLAMP(st->bytes, 1, bytes);
    } else if (n->drv->filter) {
        ret = node_status(n->file, at, bytes, st);
        st->bytes = MIN(st->bytes, bytes);
        if (st->flags & BLOCK_EOF && at + st->bytes > n->file->length) {
            st->flags &= ~BLOCK_EOF;
        }
    }
    if (at + st->bytes == n->length) {
        st->flags |= BLOCK_EOF;
    }
    return end(n, ret);
}

int node_status_above(BlockNode *n, BlockNode *base, uint64_t at,
                      uint64_t bytes, BlockStatus *st)
{
    uint64_t end_of_top = n->length;

    if (!co_self()) {
        Call c = { .what = CALL_STATUS, .n = n, .base = base, .at = at,
                   .bytes = bytes, .st = st };

        return call(&c);
    }
    for (;; ) {
        BlockNode *below = n->backing;
        int ret = node_status(n, at, bytes, st);

        if (ret < 0 || st->flags & BLOCK_ALLOCATED) {
            return ret;
        }
        bytes = MIN(bytes, st->bytes);
        while (n->drv->filter && n->file && !below) {
            n = n->file;
            below = n->backing;
        }
        if (!below || below == base) {
            if (at + st->bytes != end_of_top) {
                st->flags &= ~BLOCK_EOF;
            }
            if (!below) {
                st->flags |= BLOCK_ZERO;
            }
            return 0;
        }
        n = below;
        if (at >= n->length) {  /* a short backing file: zeroes behind it */
            *st = (BlockStatus) { .flags = BLOCK_ZERO, .bytes = bytes };
            if (at + bytes == end_of_top) {
                st->flags |= BLOCK_EOF;
            }
            return 0;
        }
    }
}
