/*
 * What the block layer's own files share about contexts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_CTX_H
#define BLOCK_CTX_H

#include "block/block.h"

/* Call fn(opaque) from the loop, outside any coroutine, later. Any thread. */
void block_ctx_call(BlockCtx *ctx, void (*fn)(void *opaque), void *opaque);
/* Now, in the loop (from this thread when it may), and wait for its end. */
void block_ctx_call_wait(BlockCtx *ctx, void (*fn)(void *opaque),
                         void *opaque);

/* In the loop: requests were started, hand them to the host now. */
void block_ctx_submit(BlockCtx *ctx);

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
