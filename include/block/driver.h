/*
 * What a driver of the block layer implements.
 *
 *     static const BlockDriver twice = {
 *         .name = "twice", .state_bytes = sizeof(Twice),
 *         .open = twice_open, .read = twice_read, ...
 *     };                              and one row in src/block/drivers.c
 *
 * open() and close() run outside coroutines; the requests run in coroutines in
 * the node's loop and yield wherever they use a child, so several are under way
 * at once: state that must not change under a request's feet is guarded by a
 * CoMutex.  The core has done range checks, alignment to `alignment`, splitting
 * to `max_transfer`, read-only and detect-zeroes; length() is asked when it may
 * have changed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include "base/bits.h"
#include "block/block.h"

/* What tools do with image files (block/image.h).  Members may be NULL; those
 * that return -errno run in coroutines. */
struct BlockCheck;
struct BlockSnapshotOps;
struct BlockMeasure;
struct BlockBitmapCall;
typedef struct BlockImageOps {
    uint64_t (*cluster_bytes)(BlockNode *n);
    const char *(*backing_file)(BlockNode *n, bool format);
    bool (*is_dirty)(BlockNode *n);
    int (*check)(BlockNode *n, unsigned fix, struct BlockCheck *check);
    const struct BlockSnapshotOps *snapshots;
    int (*pack)(BlockNode *n, const uint8_t *plain, uint64_t bytes,
                uint8_t *packed);
    int (*write_packed)(BlockNode *n, uint64_t at, const uint8_t *packed,
                        uint64_t len);
    int (*make_empty)(BlockNode *n);
    bool (*change_backing)(BlockNode *n, const char *file,
                           const char *format, GError **err);
    bool (*change_bitmap)(BlockNode *n, const struct BlockBitmapCall *call,
                          GError **err);
    bool (*measure)(Opt *opts, BlockNode *from, struct BlockMeasure *m,
                    GError **err);
    bool (*amend)(BlockNode *n, Opt *opts, GError **err);
} BlockImageOps;

struct BlockDriver {
    const char *name;
    const char *doc;            /* one line, for -blockdev help */
    size_t state_bytes;         /* of `state`, zeroed before open() */
    bool protocol;              /* has no "file": reaches its bytes itself */
    bool filter;                /* shows its "file"'s bytes unchanged */
    bool has_backing;           /* clusters may come from a backing node */
    bool grows;                 /* writes past the end extend it */
    bool fua;                   /* write() honours BLOCK_FUA */

    /* 0 (foreign) to 100 (certain) for an image that begins so. */
    int (*probe)(const uint8_t *head, size_t len);
    /* Ask `opts` for its own keys, open children with node_open_child(), set
     * n->length, limits.  After false the core closes the children. */
    bool (*open)(BlockNode *n, Opt *opts, GError **err);
    void (*close)(BlockNode *n);        /* drained; children close after */
    /* Drop cached metadata and read it again: after somebody else wrote. */
    bool (*reopen)(BlockNode *n, bool read_only, GError **err);

    /* In coroutines; 0 or -errno.  NULL: passed to "file" by a filter, else
     * -ENOTSUP. */
    int (*read)(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                unsigned flags);
    int (*write)(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                 unsigned flags);
    int (*write_zeroes)(BlockNode *n, uint64_t at, uint64_t bytes,
                        unsigned flags);
    int (*discard)(BlockNode *n, uint64_t at, uint64_t bytes);
    /* Everything down to stable storage.  NULL: flushes the children. */
    int (*flush)(BlockNode *n);
    int (*truncate)(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                    GError **err);      /* sets n->length */
    int (*status)(BlockNode *n, uint64_t at, uint64_t bytes, BlockStatus *st);
    /* Ask again how long it is: host devices, files that others extend. */
    int (*refresh_length)(BlockNode *n);

    /* What all users together do and share; take locks.  Not in coroutines. */
    bool (*set_perm)(BlockNode *n, unsigned perm, unsigned shared,
                     GError **err);
    /* Leave the old context, enter n->ctx: event sources. Drained. */
    void (*detach_ctx)(BlockNode *n);
    void (*attach_ctx)(BlockNode *n);
    void (*drain_begin)(BlockNode *n);  /* let go of requests held back */
    void (*drain_end)(BlockNode *n);
    /* A parent tells what it is about to do ("l2_load"): for blkdebug. */
    void (*debug_event)(BlockNode *n, const char *event);

    /* Make a new image: "filename" or "file" (a node's name), "size" and its
     * own keys.  For protocols: an empty file. */
    bool (*create)(Opt *opts, GError **err);
    /* Append what `info` shows of this format; `json` members. */
    void (*info)(BlockNode *n, Opt *dict);
    const BlockImageOps *image;         /* for tools; NULL: a plain one */
};

typedef struct BlockRequest BlockRequest;

struct BlockNode {
    const BlockDriver *drv;     /* (C) */
    void *state;                /* (C) the driver's */
    char *name;
    char *filename;
    BlockCtx *ctx;
    BlockNode *file, *backing;  /* children with these names, referenced */
    GPtrArray *children;        /* of BlockUse *: all, in order */
    GPtrArray *users;           /* of BlockUse *: parents and backends */
    unsigned refs;
    bool user_named;            /* holds a reference for the user */

    bool read_only;
    bool force_share;
    bool no_flush;              /* cache.no-flush: flush does nothing */
    bool direct;                /* cache.direct */
    bool unmap;                 /* discard=unmap */
    enum { DETECT_OFF, DETECT_ON, DETECT_UNMAP } detect_zeroes;

    /* Set by the driver in open() and when they change. */
    uint64_t length;            /* bytes */
    uint32_t alignment;         /* of offsets and lengths; 1 or more */
    uint32_t memory_alignment;  /* of buffers */
    uint32_t max_transfer;      /* bytes; 0: no limit */
    uint32_t max_iov;           /* elements; 0: IOV_MAX */
    uint32_t zero_alignment;    /* preferred for write_zeroes and discard */

    unsigned perm, shared;      /* what all users together do and share */
    unsigned in_flight;         /* requests in this node */
    unsigned quiesced;          /* drains of it */
    BlockRequest *requests;     /* those that others may have to wait for */
    unsigned n_serialising;
    CoQueue flush_queue;
    bool flushing;
    uint64_t written, flushed;  /* generations of writes */
};

extern const BlockDriver *const block_drivers[];    /* NULL-terminated */
const BlockDriver *block_driver_find(const char *name);

/*
 * In open(): the child `name` from opts: a nested dict, a node's name, or (for
 * NULL with `optional`) none.  It becomes n->file or n->backing when it is
 * called so, and is closed with `n`.
 */
BlockNode *node_open_child(BlockNode *n, Opt *opts, const char *name,
                           bool optional, GError **err);
/* The same for a dict or string that the driver found by itself: a backing
 * file's name in a header.  Not taken. */
BlockNode *node_add_child(BlockNode *n, Opt *opts, const char *name,
                          GError **err);
void node_remove_child(BlockNode *n, BlockNode *child);

/* To a child: see debug_event(). */
static inline void node_debug_event(BlockNode *child, const char *event)
{
    if (child->drv->debug_event) {
        child->drv->debug_event(child, event);
    }
}

/* "cannot open 'disk.img': Permission denied"-like, with a hint; false. */
bool block_fail(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
bool block_fail_errno(GError **err, int error, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* A buffer for the node's requests: aligned, bounded; NULL: no memory. */
void *block_alloc(size_t bytes);
void block_free(void *buf);

#endif
