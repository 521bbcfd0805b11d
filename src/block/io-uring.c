/*
 * Host I/O by io_uring: a ring for each context.
 *
 * Coroutines put entries into the ring and wait; the context hands them to the
 * kernel together, once everything that was ready has run.
 *
 * Spec:  io_uring(7).
 * Locks: in the context's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "block/driver.h"
#include "config.h"
#include "ctx.h"

#ifdef RHEA_IO_URING
#include <liburing.h>

enum { ENTRIES = 256 };

typedef struct Ring {
    BlockEngine engine;
    struct io_uring uring;
} Ring;

typedef struct Op {             /* on the stack of the coroutine that waits */
    Co *co;
    int ret;
} Op;

static const int kind;          /* its address tells rings from the rest */

static bool reap(BlockEngine *e)
{
    Ring *r = container_of(e, Ring, engine);
    struct io_uring_cqe *cqe;
    bool any = false;

    while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        Op *op = io_uring_cqe_get_data(cqe);

        op->ret = cqe->res;
        io_uring_cqe_seen(&r->uring, cqe);
        any = true;
        co_enter(op->co);
    }
    return any;
}

static void submit(BlockEngine *e)
{
    Ring *r = container_of(e, Ring, engine);
    int ret = 0;

    /* -EBUSY and -EAGAIN: what is there goes on at the next completion, and
     * there is one, for the kernel is full of ours. */
    while (io_uring_sq_ready(&r->uring)
           && ((ret = io_uring_submit(&r->uring)) >= 0 || ret == -EINTR)) {
    }
}

static void free_ring(BlockEngine *e)
{
    Ring *r = container_of(e, Ring, engine);

    io_uring_queue_exit(&r->uring);
    g_free(r);
}

/* The context's ring, made at first use; NULL with *ret. */
static Ring *get_ring(BlockCtx *ctx, int *ret)
{
    BlockEngine **list = block_ctx_engines(ctx);
    Ring *r;

    for (BlockEngine *e = *list; e; e = e->next) {
        if (e->kind == &kind) {
            return container_of(e, Ring, engine);
        }
    }
    r = g_new0(Ring, 1);
    *ret = io_uring_queue_init(ENTRIES, &r->uring, 0);
    if (*ret == 0) {
        *ret = io_uring_register_eventfd(&r->uring, block_ctx_event_fd(ctx));
        if (*ret < 0) {
            io_uring_queue_exit(&r->uring);
        }
    }
    if (*ret < 0) {
        g_free(r);
        return NULL;
    }
    r->engine = (BlockEngine) { &kind, reap, submit, free_ring, *list };
    *list = &r->engine;
    return r;
}

static struct io_uring_sqe *get_entry(BlockCtx *ctx, int *ret)
{
    Ring *r = get_ring(ctx, ret);
    struct io_uring_sqe *sqe = r ? io_uring_get_sqe(&r->uring) : NULL;

    if (r && !sqe) {            /* full: make room */
        submit(&r->engine);
        sqe = io_uring_get_sqe(&r->uring);
        *ret = -EAGAIN;
    }
    return sqe;
}

static int wait_for(struct io_uring_sqe *sqe)
{
    Op op = { co_self(), 0 };

    io_uring_sqe_set_data(sqe, &op);
    co_yield();
    return op.ret;
}

static int uring_rw(BlockCtx *ctx, int fd, bool write, const struct iovec *v,
                    unsigned n, uint64_t at, int rw_flags)
{
    int ret = 0;
    struct io_uring_sqe *sqe = get_entry(ctx, &ret);

    if (!sqe) {
        return ret;
    }
    if (write) {
        io_uring_prep_writev2(sqe, fd, v, n, at, rw_flags);
    } else {
        io_uring_prep_readv2(sqe, fd, v, n, at, rw_flags);
    }
    return wait_for(sqe);
}

static int uring_flush(BlockCtx *ctx, int fd)
{
    int ret = 0;
    struct io_uring_sqe *sqe = get_entry(ctx, &ret);

    if (!sqe) {
        return ret;
    }
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    return wait_for(sqe);
}

static bool uring_probe(BlockCtx *ctx, GError **err)
{
    int ret = 0;

    return get_ring(ctx, &ret)
           || block_fail_errno(err, -ret, "aio=io_uring cannot be had on this "
                               "host; accepted: threads, native");
}

const BlockAio block_io_uring = {
    .probe = uring_probe, .rw = uring_rw, .flush = uring_flush,
};

#else

static bool uring_probe(BlockCtx *ctx, GError **err)
{
    return block_fail(err, "aio=io_uring: this program was built without "
                      "liburing; accepted: threads");
}

const BlockAio block_io_uring = { .probe = uring_probe };

#endif
