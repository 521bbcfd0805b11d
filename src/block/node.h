/*
 * What the block layer's own files share about nodes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_NODE_H
#define BLOCK_NODE_H

#include "block/driver.h"

/* Somebody uses a node: another node, or a backend or a job. */
struct BlockUse {
    BlockNode *node;            /* what is used; referenced by parents */
    BlockNode *parent;          /* NULL: not a node */
    char *who;                  /* the child's name, or the user's */
    unsigned perm, shared;

    /* Users that are no nodes and send requests. */
    void (*drain_begin)(void *opaque);
    void (*drain_end)(void *opaque);
    bool (*busy)(void *opaque);
    void *opaque;
};

/* As node_use(), with its drain functions. */
BlockUse *node_use_full(BlockNode *n, const BlockUse *like, GError **err);

/* What `parent` needs of its child, which may be its backing file. */
void node_child_perms(const BlockNode *parent, bool backing, unsigned *perm,
                      unsigned *shared);

/* False, with a message that names near ones. */
bool block_unknown_driver(const char *name, GError **err);

/* Move a whole tree, drained. */
void node_set_ctx(BlockNode *n, BlockCtx *ctx);

/* lock.c: let go of, or take, bytes of the image that say what we do and what
 * others may not do; QEMU reads the same bytes. */
typedef struct BlockLock {
    int fd;
    bool enabled;
    unsigned perm, unshared;    /* what is held */
} BlockLock;
bool block_lock_set(BlockLock *l, const char *filename, unsigned perm,
                    unsigned shared, GError **err);

/* Entries in the log of a "blklogwrites" node: for tests. */
uint64_t blklogwrites_entries(const BlockNode *n);

/* The format of an image that begins with these bytes. */
const BlockDriver *block_probe(const uint8_t *head, size_t len);
enum { BLOCK_PROBE_BYTES = 2048 };
/* Of a format that is known and not read; false with a message naming it. */
bool block_is_foreign(const uint8_t *head, size_t len);
bool block_refuse_foreign(const uint8_t *head, size_t len,
                          const char *filename, GError **err);
bool block_is_foreign_name(const char *format);

extern const BlockDriver block_driver_file, block_driver_host_device,
    block_driver_raw, block_driver_null_co, block_driver_null_aio,
    block_driver_overlay, block_driver_qcow2, block_driver_blkdebug,
    block_driver_blklogwrites, block_driver_throttle;

#endif
