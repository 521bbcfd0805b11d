/*
 * What the block layer's own files share about contexts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_CTX_H
#define BLOCK_CTX_H

#include "block/block.h"
#include "loop/timer.h"

/* Call fn(opaque) from the loop, outside any coroutine, later. Any thread. */
void block_ctx_call(BlockCtx *ctx, void (*fn)(void *opaque), void *opaque);
/* Now, in the loop (from this thread when it may), and wait for its end. */
void block_ctx_call_wait(BlockCtx *ctx, void (*fn)(void *opaque),
                         void *opaque);

/* From a worker thread: enter `co`, which has yielded or is about to, here if
 * this thread may do the loop's work now, else by block_ctx_wake(). */
void block_ctx_finish(BlockCtx *ctx, Co *co);

/*
 * A timer of the context's loop that also runs under block_ctx_poll(), where
 * the loop itself does not: what waits for it may be what is polled for.
 */
typedef struct BlockTimer BlockTimer;
struct BlockTimer {
    Timer timer;
    BlockCtx *ctx;
    void (*fn)(void *opaque);   /* in the loop, outside coroutines */
    void *opaque;
    BlockTimer *next;
};
void block_timer_init(BlockTimer *t, BlockCtx *ctx, ClockId clock,
                      void (*fn)(void *opaque), void *opaque);
/* It is stopped, or the caller is in its loop. */
void block_timer_destroy(BlockTimer *t);
/* Any thread. */
void block_timer_set(BlockTimer *t, int64_t expire_ns);
void block_timer_stop(BlockTimer *t);

/* In the loop: requests were started, hand them to the host now. */
void block_ctx_submit(BlockCtx *ctx);
/* See blk_batch_begin(). */
BlockCtx *block_ctx_batch_begin(BlockCtx *ctx);
void block_ctx_batch_end(BlockCtx *ctx, BlockCtx *outer);

/*
 * A way to do host I/O without threads: io_uring, libaio.  Its completions
 * make the context's eventfd readable; reap() then enters who waited, and says
 * whether there was any.  submit() hands over what was queued.
 */
typedef struct BlockEngine BlockEngine;
struct BlockEngine {
    const void *kind;
    bool (*reap)(BlockEngine *e);
    void (*submit)(BlockEngine *e);
    void (*free)(BlockEngine *e);
    BlockEngine *next;
};
/* What a file does with one: in coroutines, bytes done or -errno. */
typedef struct BlockAio {
    bool (*probe)(BlockCtx *ctx, GError **err);         /* can it be had? */
    int (*rw)(BlockCtx *ctx, int fd, bool write, const struct iovec *v,
              unsigned n, uint64_t at, int rw_flags);
    int (*flush)(BlockCtx *ctx, int fd);        /* NULL: by a thread */
} BlockAio;
extern const BlockAio block_io_uring, block_linux_aio;

int block_ctx_event_fd(const BlockCtx *ctx);
BlockEngine **block_ctx_engines(BlockCtx *ctx);

#endif
