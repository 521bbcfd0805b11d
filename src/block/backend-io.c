/*
 * Backends: requests and drains.
 *
 * A request runs in a coroutine of its own; its end is told from the loop,
 * outside of coroutines, so that devices may do there what they like.
 *
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend-parts.h"

#include <assert.h>
#include <errno.h>

/* More than a device's queues hold: what is beyond waits its turn. */
enum { MAX_IN_FLIGHT = 1024 };

struct BlkReq {
    BlockBackend *blk;
    enum { REQ_READ, REQ_WRITE, REQ_ZEROES, REQ_DISCARD, REQ_FLUSH } what;
    uint64_t at, bytes;
    IoVec v;
    unsigned flags;
    BlkDone *done;
    void *opaque;
    int ret;
    int64_t start_ns;
    BlkReq *next;
};

/* --- requests ---------------------------------------------------------------------- */

static void start_waiting(BlockBackend *blk);

static void count_time(BlkStats *s, const BlkReq *r)
{
    int64_t now = clock_ns(CLK_HOST);
    uint64_t took = now - r->start_ns;

    s->last_ns = now;
    if (r->what == REQ_READ) {
        s->read_ns += took;
    } else if (r->what == REQ_FLUSH) {
        s->flush_ns += took;
    } else {
        s->write_ns += took;
    }
}

/* From the loop. */
static void complete(void *opaque)
{
    BlkReq *r = opaque;
    BlockBackend *blk = r->blk;

    blk->stats.n_failed += r->ret < 0;
    count_time(&blk->stats, r);
    r->done(r->opaque, r->ret);
    g_slice_free(BlkReq, r);
    blk->in_flight--;           /* after done(): a drain waits for that */
    start_waiting(blk);
}

static int check(const BlockBackend *blk, const BlkReq *r)
{
    if (!blk->node) {
        return -ENOMEDIUM;
    }
    if (r->what == REQ_FLUSH) {
        return 0;
    }
    if (r->what != REQ_READ && blk->node->read_only) {
        return -EPERM;
    }
    return r->at > blk->node->length
           || r->bytes > blk->node->length - r->at ? -EIO : 0;
}

static int perform(BlkReq *r)
{
    BlockBackend *blk = r->blk;
    BlockNode *n = blk->node;
    unsigned flags = r->flags | (blk->write_cache ? 0 : BLOCK_FUA);
    int ret = check(blk, r);

    if (ret < 0) {
        return ret;
    }
    switch (r->what) {
    case REQ_READ:
        blk->stats.n_reads++;
        blk->stats.read_bytes += r->bytes;
        return node_read(n, r->at, r->bytes, r->v, r->flags);
    case REQ_WRITE:
        blk->stats.n_writes++;
        blk->stats.written_bytes += r->bytes;
        return node_write(n, r->at, r->bytes, r->v, flags);
    case REQ_ZEROES:
        blk->stats.n_writes++;
        blk->stats.written_bytes += r->bytes;
        return node_write_zeroes(n, r->at, r->bytes, flags);
    case REQ_DISCARD:
        blk->stats.n_discards++;
        return node_discard(n, r->at, r->bytes);
    case REQ_FLUSH:
        blk->stats.n_flushes++;
        return node_flush(n);
    }
    return -EINVAL;
}

static void run_request(void *opaque)
{
    BlkReq *r = opaque;
    ThrottleMember *throttle = r->blk->throttle;

    if (throttle && r->what != REQ_FLUSH && !check(r->blk, r)) {
        throttle_wait(throttle, r->what != REQ_READ, r->bytes);
    }
    r->ret = perform(r);
    block_ctx_call(r->blk->ctx, complete, r);
}

static void start_waiting(BlockBackend *blk)
{
    while (blk->first && !blk->quiesced && blk->in_flight < MAX_IN_FLIGHT) {
        BlkReq *r = blk->first;

        blk->first = r->next;
        if (!blk->first) {
            blk->last = &blk->first;
        }
        blk->in_flight++;
        if (!co_start(run_request, r)) {
            r->ret = -ENOMEM;
            block_ctx_call(blk->ctx, complete, r);
        }
    }
}

static void submit(BlockBackend *blk, const BlkReq *like)
{
    BlkReq *r = g_slice_new(BlkReq);

    *r = *like;
    r->blk = blk;
    r->start_ns = clock_ns(CLK_HOST);
    r->next = NULL;
    *blk->last = r;
    blk->last = &r->next;
    start_waiting(blk);
    block_ctx_submit(blk->ctx);
}

void blk_read(BlockBackend *blk, uint64_t at, uint64_t bytes,
              const struct iovec *iov, unsigned n_iov, BlkDone *done,
              void *opaque)
{
    submit(blk, &(BlkReq) { .what = REQ_READ, .at = at, .bytes = bytes,
                            .v = iov_all(iov, n_iov), .done = done,
                            .opaque = opaque });
}

void blk_write(BlockBackend *blk, uint64_t at, uint64_t bytes,
               const struct iovec *iov, unsigned n_iov, unsigned flags,
               BlkDone *done, void *opaque)
{
    submit(blk, &(BlkReq) { .what = REQ_WRITE, .at = at, .bytes = bytes,
                            .v = iov_all(iov, n_iov), .flags = flags,
                            .done = done, .opaque = opaque });
}

void blk_write_zeroes(BlockBackend *blk, uint64_t at, uint64_t bytes,
                      unsigned flags, BlkDone *done, void *opaque)
{
    submit(blk, &(BlkReq) { .what = REQ_ZEROES, .at = at, .bytes = bytes,
                            .flags = flags, .done = done, .opaque = opaque });
}

void blk_discard(BlockBackend *blk, uint64_t at, uint64_t bytes,
                 BlkDone *done, void *opaque)
{
    submit(blk, &(BlkReq) { .what = REQ_DISCARD, .at = at, .bytes = bytes,
                            .done = done, .opaque = opaque });
}

void blk_flush(BlockBackend *blk, BlkDone *done, void *opaque)
{
    submit(blk, &(BlkReq) { .what = REQ_FLUSH, .done = done,
                            .opaque = opaque });
}

BlockCtx *blk_batch_begin(BlockBackend *blk)
{
    return block_ctx_batch_begin(blk->ctx);
}

void blk_batch_end(BlockBackend *blk, BlockCtx *outer)
{
    block_ctx_batch_end(blk->ctx, outer);
}

int blk_read_buf(BlockBackend *blk, uint64_t at, void *buf, size_t len)
{
    BlkReq r = { .what = REQ_READ, .at = at, .bytes = len };
    int ret = check(blk, &r);

    return ret ? ret : node_read_buf(blk->node, at, buf, len);
}

int blk_write_buf(BlockBackend *blk, uint64_t at, const void *buf,
                  size_t len)
{
    struct iovec v = { (void *)buf, len };
    BlkReq r = { .what = REQ_WRITE, .at = at, .bytes = len };
    int ret = check(blk, &r);

    return ret ? ret : node_write(blk->node, at, len, iov_all(&v, 1),
                                  blk->write_cache ? 0 : BLOCK_FUA);
}

int blk_flush_wait(BlockBackend *blk)
{
    return blk->node ? node_flush(blk->node) : -ENOMEDIUM;
}

/* --- draining ------------------------------------------------------------------------------- */

void blk_quiesce(void *opaque)
{
    BlockBackend *blk = opaque;

    if (blk->quiesced++) {
        return;
    }
    if (blk->ops && blk->ops->drain_begin) {
        blk->ops->drain_begin(blk->dev);
    }
    if (blk->throttle) {
        throttle_release_begin(blk->throttle);
    }
}

void blk_unquiesce(void *opaque)
{
    BlockBackend *blk = opaque;

    assert(blk->quiesced);
    if (--blk->quiesced) {
        return;
    }
    if (blk->throttle) {
        throttle_release_end(blk->throttle);
    }
    if (blk->ops && blk->ops->drain_end) {
        blk->ops->drain_end(blk->dev);
    }
    start_waiting(blk);
    block_ctx_submit(blk->ctx);
}

bool blk_is_busy(void *opaque)
{
    return ((BlockBackend *)opaque)->in_flight;
}

static void wait_idle(void *opaque)
{
    BlockBackend *blk = opaque;

    while (blk->in_flight) {
        block_ctx_poll(blk->ctx);
    }
}

void blk_drain_begin(BlockBackend *blk)
{
    if (blk->node) {
        node_drain_begin(blk->node);    /* quiesces this one, as its user */
    } else {
        blk_quiesce(blk);
        block_ctx_call_wait(blk->ctx, wait_idle, blk);
    }
}

void blk_drain_end(BlockBackend *blk)
{
    if (blk->node) {
        node_drain_end(blk->node);
    } else {
        blk_unquiesce(blk);
    }
}

void blk_drain(BlockBackend *blk)
{
    blk_drain_begin(blk);
    blk_drain_end(blk);
}

void blk_set_throttle(BlockBackend *blk, ThrottleGroup *g)
{
    blk_drain_begin(blk);
    if (blk->throttle) {
        throttle_release_end(blk->throttle);
        throttle_member_free(blk->throttle);
    }
    blk->throttle = g ? throttle_member_new(g, blk->ctx) : NULL;
    if (g) {
        throttle_release_begin(blk->throttle);  /* as the drain has it */
    }
    blk_drain_end(blk);
}

ThrottleGroup *blk_throttle(const BlockBackend *blk)
{
    return blk->throttle ? throttle_member_group(blk->throttle) : NULL;
}

unsigned blk_in_flight(const BlockBackend *blk)
{
    return blk->in_flight;
}
