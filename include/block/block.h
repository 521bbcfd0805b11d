/*
 * The block layer: nodes that give and take bytes.
 *
 * A node is a driver on top of other nodes: `raw` or `qcow2` on `file`,
 * `throttle` on `qcow2`.  What a device holds is a BlockBackend
 * (block/backend.h) on top of the uppermost node; what a driver implements is
 * in block/driver.h.  docs/block.md tells it at length.
 *
 * Invariants:
 *  1. A node belongs to one BlockCtx, that is to one loop, with its children
 *     and its parents.
 *  2. Requests of a node overlap freely, unless one must read around what it
 *     writes: then those that overlap wait for each other.
 *  3. No request is in flight in a drained node, and none starts.
 *
 * Locks: "in its loop" means: under the machine lock for the main loop's
 *        nodes, in the loop's thread for an iothread's.  Everything here is
 *        called so, but for what says "any thread".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/co.h"
#include "base/iov.h"
#include "base/opts.h"
#include "loop/loop.h"

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
typedef struct BlockCtx BlockCtx;
typedef struct BlockBackend BlockBackend;

#define BLOCK_ERROR g_quark_from_static_string("block-error")
enum { BLOCK_ERROR_FAILED, BLOCK_ERROR_LOCKED, BLOCK_ERROR_FORMAT };

#define BLOCK_MAX_LENGTH   (INT64_MAX & ~UINT64_C(0xffff))
#define BLOCK_MAX_REQUEST  (UINT64_C(1) << 30)     /* bytes; callers split */

/* --- contexts: where completions arrive ------------------------------------------- */

/* First of all: the main loop's context. */
bool block_init(GError **err);
/* The context of `loop`, made at first use and freed by block_ctx_free(),
 * which the owner of an iothread calls before it frees the loop.  NULL with
 * errno when it cannot be made: the owner of an iothread has looked. */
BlockCtx *block_ctx(Loop *loop);
void block_ctx_free(Loop *loop);
Loop *block_ctx_loop(const BlockCtx *ctx);
/* Wait for at least one completion and run what waited for it. */
void block_ctx_poll(BlockCtx *ctx);
/* Any thread: enter `co`, which has yielded or is about to, in the loop. */
void block_ctx_wake(BlockCtx *ctx, Co *co);
/* Run fn(opaque) in a coroutine and poll until it has ended.  In the loop;
 * for an iothread's context from another thread as well.  -ENOMEM: the host
 * gives no memory for a stack, and nothing was run. */
int block_ctx_run(BlockCtx *ctx, CoFn *fn, void *opaque)
    __attribute__((warn_unused_result));
/* In a coroutine: fn(arg) in a worker thread, without any lock; its result. */
int block_ctx_in_thread(BlockCtx *ctx, int (*fn)(void *arg), void *arg);

/* --- opening ------------------------------------------------------------------------ */

/* What a parent does with a node, and what it lets others do. */
enum {
    BLOCK_PERM_READ = 1 << 0,           /* and expect it to hold still */
    BLOCK_PERM_WRITE = 1 << 1,
    BLOCK_PERM_WRITE_SAME = 1 << 2,     /* write what is there already */
    BLOCK_PERM_RESIZE = 1 << 3,
    BLOCK_PERM_ALL = 15,
};

/*
 * Open a tree of nodes as -blockdev describes it: "driver", "node-name",
 * "read-only", "auto-read-only", "discard", "detect-zeroes", "cache.direct",
 * "cache.no-flush", "force-share", and the driver's own, where a child is a
 * nested dict or the name of a node.  One reference.  Not in a coroutine.
 * Reads `opts`; fails naming the key that nobody knows.
 */
BlockNode *block_open(Opt *opts, GError **err);
/* As -drive file=: a path, "json:{...}" or "nbd:..."-like prefix, the format
 * probed when it is NULL.  `opts` (may be NULL) holds generic options. */
BlockNode *block_open_file(const char *filename, const char *format,
                           Opt *opts, GError **err);
/* The dict that block_open_file() opens; free it. */
Opt *block_file_opts(const char *filename, const char *format, Opt *opts,
                     GError **err);
BlockNode *node_ref(BlockNode *n);
void node_unref(BlockNode *n);
/* By node-name; NULL when there is none. */
BlockNode *node_find(const char *name);
/* In order of opening. */
void node_foreach(void (*fn)(BlockNode *, void *), void *opaque);
/* Close every named node that nobody else uses; at exit, after the backends. */
void node_close_all(void);

const char *node_name(const BlockNode *n);      /* never NULL */
const char *node_filename(const BlockNode *n);  /* for messages */
const BlockDriver *node_driver(const BlockNode *n);
const char *node_driver_name(const BlockNode *n);
BlockCtx *node_ctx(const BlockNode *n);
bool node_is_read_only(const BlockNode *n);
/* Children, or NULL: what `raw` and `qcow2` read, and what lies under it. */
BlockNode *node_file(const BlockNode *n);
BlockNode *node_backing(const BlockNode *n);
/* Guest-visible bytes. */
uint64_t node_length(const BlockNode *n);
/* Bytes that requests should be multiples of to avoid reading around them;
 * the smallest that the driver takes, a power of two. */
uint32_t node_alignment(const BlockNode *n);

/* --- using: `who` names the user in messages ------------------------------------------ */

/* Take `n` with these permissions; false naming the user in the way.  No
 * reference is taken. */
typedef struct BlockUse BlockUse;
BlockUse *node_use(BlockNode *n, const char *who, unsigned perm,
                   unsigned shared, GError **err);
bool node_use_change(BlockUse *use, unsigned perm, unsigned shared,
                     GError **err);
void node_unuse(BlockUse *use);

/* --- requests --------------------------------------------------------------------------- */

enum {
    BLOCK_FUA = 1 << 0,         /* on stable storage when it completes */
    BLOCK_MAY_UNMAP = 1 << 1,   /* write_zeroes: a hole will do */
    BLOCK_NO_FALLBACK = 1 << 2, /* write_zeroes: -ENOTSUP rather than slow */
    BLOCK_UNCHANGED = 1 << 3,   /* writes what is there: copy on read */
};

/*
 * In a coroutine these yield; outside of one they wait, running only what
 * the block layer runs.  0, or -errno.  `bytes` is at most BLOCK_MAX_REQUEST
 * but for discard and write_zeroes, which take any length.
 *
 * Reading past the end gives zeros; writing past it makes files grow, and is
 * -EIO elsewhere.  Any alignment will do: the node pads and copies.
 */
int node_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
              unsigned flags);
int node_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
               unsigned flags);
int node_read_buf(BlockNode *n, uint64_t at, void *buf, size_t len);
int node_write_buf(BlockNode *n, uint64_t at, const void *buf, size_t len);
int node_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                      unsigned flags);
/* A hint: success does not mean zeros. */
int node_discard(BlockNode *n, uint64_t at, uint64_t bytes);
/* What completed before this began is on stable storage when it returns 0. */
int node_flush(BlockNode *n);

typedef enum { PREALLOC_OFF, PREALLOC_METADATA, PREALLOC_FALLOC,
               PREALLOC_FULL } BlockPrealloc;
extern const char *const block_prealloc_names[];        /* NULL-terminated */
bool node_truncate(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                   GError **err);

enum {
    BLOCK_DATA = 1 << 0,        /* bytes are stored */
    BLOCK_ZERO = 1 << 1,        /* they read as zero */
    BLOCK_ALLOCATED = 1 << 2,   /* by this node, not by its backing */
    BLOCK_OFFSET = 1 << 3,      /* `map` in `file` is where they are */
    BLOCK_EOF = 1 << 4,         /* the run ends at the node's end */
    BLOCK_COMPRESSED = 1 << 5,
};
typedef struct BlockStatus {
    unsigned flags;
    uint64_t bytes;             /* the run from `at`: at least 1 */
    uint64_t map;
    BlockNode *file;
} BlockStatus;
/* Of a run from `at` of at most `bytes`; 0 or -errno.  node_status_above()
 * looks through backing nodes (NULL: all) down to and without `base`. */
int node_status(BlockNode *n, uint64_t at, uint64_t bytes, BlockStatus *st);
int node_status_above(BlockNode *n, BlockNode *base, uint64_t at,
                      uint64_t bytes, BlockStatus *st);

/* --- draining ----------------------------------------------------------------------------- */

/*
 * Nothing new starts in `n` from the backends above it, and what was in
 * flight is done when this returns.  Nests.  Not in a coroutine of the
 * node's own requests: it would wait for itself.
 */
void node_drain_begin(BlockNode *n);
void node_drain_end(BlockNode *n);
void block_drain_all_begin(void);
void block_drain_all_end(void);
/* Flush every node; the first error as -errno.  For `stop` and exit. */
int block_flush_all(void);

#endif
