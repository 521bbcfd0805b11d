/*
 * "null-co" and "null-aio": a disk that forgets, for measuring what is above.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "ctx.h"
#include "node.h"

typedef struct Null {
    uint64_t latency_ns;
    bool read_zeroes;
} Null;

static int wait_in_thread(void *arg)
{
    g_usleep(*(uint64_t *)arg / NS_PER_US);
    return 0;
}

static int nothing(void *arg)
{
    return 0;
}

/* The time a request takes, and for null-aio the way through a thread. */
static int pass(BlockNode *n)
{
    Null *s = n->state;

    if (s->latency_ns) {
        return block_ctx_in_thread(n->ctx, wait_in_thread, &s->latency_ns);
    }
    return n->drv == &block_driver_null_aio
           ? block_ctx_in_thread(n->ctx, nothing, NULL) : 0;
}

static int null_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                     unsigned flags)
{
    if (((Null *)n->state)->read_zeroes) {
        iov_fill(v, 0, bytes);
    }
    return pass(n);
}

static int null_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                      unsigned flags)
{
    return pass(n);
}

static int null_range(BlockNode *n, uint64_t at, uint64_t bytes,
                      unsigned flags)
{
    return pass(n);
}

static int null_flush(BlockNode *n)
{
    return pass(n);
}

static int null_status(BlockNode *n, uint64_t at, uint64_t bytes,
                       BlockStatus *st)
{
    if (((Null *)n->state)->read_zeroes) {
        st->flags = BLOCK_ZERO | BLOCK_ALLOCATED;
    }
    return 0;
}

static bool null_open(BlockNode *n, Opt *opts, GError **err)
{
    Null *s = n->state;
    uint64_t size = GiB;

    s->read_zeroes = true;      /* host memory must not show in the guest */
    if (!opt_get_size(opts, "size", &size, 1, err)
        || !opt_get_uint(opts, "latency-ns", &s->latency_ns, 10 * NS_PER_SEC,
                         err)
        || !opt_get_bool(opts, "read-zeroes", &s->read_zeroes, err)) {
        return false;
    }
    if (size > BLOCK_MAX_LENGTH) {
        return block_fail(err, "parameter 'size' is too large");
    }
    n->length = size;
    n->filename = g_strdup_printf("%s://", n->drv->name);
    return true;
}

#define NULL_FUNCTIONS                                                      \
    .state_bytes = sizeof(Null), .protocol = true, .fua = true,             \
    .open = null_open, .read = null_read, .write = null_write,              \
    .write_zeroes = null_range, .flush = null_flush, .status = null_status

const BlockDriver block_driver_null_co = {
    .name = "null-co", .doc = "a disk that forgets what is written",
    NULL_FUNCTIONS,
};

const BlockDriver block_driver_null_aio = {
    .name = "null-aio", .doc = "the same, by way of a thread",
    NULL_FUNCTIONS,
};
