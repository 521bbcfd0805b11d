/*
 * Host I/O by Linux AIO (aio=native): for files opened with O_DIRECT.
 *
 * Spec:  io_submit(2), io_getevents(2).
 * Locks: in the context's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "block/driver.h"
#include "config.h"
#include "ctx.h"

#ifdef RHEA_LIBAIO
#include <libaio.h>

enum { EVENTS = 256, BATCH = 64 };

typedef struct Op Op;
struct Op {                     /* on the stack of the coroutine that waits */
    struct iocb iocb;
    Co *co;
    int ret;
    Op *next;
};

typedef struct Aio {
    BlockEngine engine;
    io_context_t io;
    Op *first, **last;          /* not handed over yet */
    unsigned in_kernel;
} Aio;

static const int kind;

static bool reap(BlockEngine *e)
{
    Aio *a = container_of(e, Aio, engine);
    struct io_event events[BATCH];
    bool any = false;
    int n;

    while (a->in_kernel
           && (n = io_getevents(a->io, 0, BATCH, events, NULL)) > 0) {
        a->in_kernel -= n;
        for (int i = 0; i < n; i++) {
            Op *op = container_of(events[i].obj, Op, iocb);

            op->ret = (long)events[i].res;
            any = true;
            co_enter(op->co);
        }
    }
    return any;
}

static void drop_first(Aio *a)
{
    a->first = a->first->next;
    if (!a->first) {
        a->last = &a->first;
    }
}

static void submit(BlockEngine *e)
{
    Aio *a = container_of(e, Aio, engine);

    while (a->first && a->in_kernel < EVENTS) {
        struct iocb *list[BATCH];
        unsigned room = MIN(BATCH, EVENTS - a->in_kernel), n = 0;
        int done;

        for (Op *op = a->first; op && n < room; op = op->next) {
            list[n++] = &op->iocb;
        }
        done = io_submit(a->io, n, list);
        if (done > 0) {
            a->in_kernel += done;
            while (done--) {
                drop_first(a);
            }
        } else if (done == -EAGAIN && a->in_kernel) {
            return;             /* again when one has come back */
        } else if (done != -EINTR) {
            Op *op = a->first;  /* this one the kernel does not take */

            drop_first(a);
            op->ret = done ? done : -EIO;
            co_enter(op->co);
        }
    }
}

static void free_aio(BlockEngine *e)
{
    Aio *a = container_of(e, Aio, engine);

    io_destroy(a->io);
    g_free(a);
}

static Aio *get_aio(BlockCtx *ctx, int *ret)
{
    BlockEngine **list = block_ctx_engines(ctx);
    Aio *a;

    for (BlockEngine *e = *list; e; e = e->next) {
        if (e->kind == &kind) {
            return container_of(e, Aio, engine);
        }
    }
    a = g_new0(Aio, 1);
    *ret = io_setup(EVENTS, &a->io);
    if (*ret < 0) {
        g_free(a);
        return NULL;
    }
    a->last = &a->first;
    a->engine = (BlockEngine) { &kind, reap, submit, free_aio, *list };
    *list = &a->engine;
    return a;
}

static int aio_rw(BlockCtx *ctx, int fd, bool write, const struct iovec *v,
                  unsigned n, uint64_t at, int rw_flags)
{
    int ret = 0;
    Aio *a = get_aio(ctx, &ret);
    Op op = { .co = co_self() };

    if (!a) {
        return ret;
    }
    if (write) {
        io_prep_pwritev(&op.iocb, fd, v, n, at);
    } else {
        io_prep_preadv(&op.iocb, fd, v, n, at);
    }
    op.iocb.aio_rw_flags = rw_flags;
    io_set_eventfd(&op.iocb, block_ctx_event_fd(ctx));
    *a->last = &op;
    a->last = &op.next;
    co_yield();
    return op.ret;
}

static bool aio_probe(BlockCtx *ctx, GError **err)
{
    int ret = 0;

    return get_aio(ctx, &ret)
           || block_fail_errno(err, -ret, "aio=native cannot be had on this "
                               "host; accepted: threads, io_uring");
}

const BlockAio block_linux_aio = { .probe = aio_probe, .rw = aio_rw };

#else

static bool aio_probe(BlockCtx *ctx, GError **err)
{
    return block_fail(err, "aio=native: this program was built without "
                      "libaio; accepted: threads");
}

const BlockAio block_linux_aio = { .probe = aio_probe };

#endif
