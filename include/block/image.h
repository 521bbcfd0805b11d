/*
 * Image files as files: checks, snapshots within, compressed writes, another
 * backing file.  For tools; a running machine uses block/block.h.
 *
 * Functions here may be called in coroutines and outside; -ENOTSUP says that
 * the format has no such thing.
 *
 * Locks: in the node's loop; nobody else uses the node.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_IMAGE_H
#define BLOCK_IMAGE_H

#include "block/block.h"

/* --- looking for damage --------------------------------------------------- */

enum { BLOCK_FIX_LEAKS = 1, BLOCK_FIX_ERRORS = 2 };
typedef struct BlockCheck {
    uint64_t corruptions, leaks, check_errors;
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t image_end;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters,
             compressed_clusters;
    GString *log;               /* what was found, line by line; may be NULL */
} BlockCheck;
/* 0 or -errno: it could not be finished. */
int node_check(BlockNode *n, unsigned fix, BlockCheck *check);

/* --- snapshots ------------------------------------------------------------ */

typedef struct BlockSnapshot {
    const char *id, *name;      /* good until the next change */
    uint64_t vm_state_bytes, vm_clock_ns, disk_bytes;
    uint64_t icount;            /* UINT64_MAX: not known */
    uint32_t date_s, date_ns;
} BlockSnapshot;
typedef struct BlockSnapshotOps {
    unsigned (*count)(BlockNode *n);
    void (*get)(BlockNode *n, unsigned i, BlockSnapshot *out);
    int (*create)(BlockNode *n, const char *name);
    int (*apply)(BlockNode *n, unsigned i);
    int (*remove)(BlockNode *n, unsigned i);
    /* Show snapshot i's disk instead, read-only, until the node is closed. */
    int (*load)(BlockNode *n, unsigned i);
} BlockSnapshotOps;
unsigned node_n_snapshots(BlockNode *n);
void node_get_snapshot(BlockNode *n, unsigned i, BlockSnapshot *out);
/* By id, else by name; -1: there is none. */
int node_find_snapshot(BlockNode *n, const char *id_or_name);
int node_create_snapshot(BlockNode *n, const char *name);
int node_apply_snapshot(BlockNode *n, unsigned i);
int node_remove_snapshot(BlockNode *n, unsigned i);
int node_load_snapshot(BlockNode *n, unsigned i);

/* --- bitmaps of what has changed ------------------------------------------ */

typedef struct BlockBitmapCall {
    enum { BITMAP_ADD, BITMAP_REMOVE, BITMAP_CLEAR, BITMAP_ENABLE,
           BITMAP_DISABLE, BITMAP_MERGE } op;
    const char *name;
    uint64_t granularity;       /* ADD: bytes a bit; 0: the format chooses */
    BlockNode *from;            /* MERGE: `source` in this image; NULL: in the */
    const char *source;         /* same */
} BlockBitmapCall;
/* Outside coroutines. */
bool node_change_bitmap(BlockNode *n, const BlockBitmapCall *call,
                        GError **err);

/* --- the rest ------------------------------------------------------------- */

/*
 * Compressed writes, in two steps, so that many are packed at once and written
 * in order.  In coroutines: a cluster (or what there is of the disk's last) is
 * packed to at most a cluster's bytes: their number, or -ENOSPC when it does
 * not get smaller and is to be written plainly.
 */
int node_pack(BlockNode *n, const uint8_t *plain, uint64_t bytes,
              uint8_t *packed);
int node_write_packed(BlockNode *n, uint64_t at, const uint8_t *packed,
                      uint64_t len);
/* Both, also outside coroutines. */
int node_write_compressed(BlockNode *n, uint64_t at, const void *buf,
                          uint64_t bytes);
/* Bytes of a cluster; 0: the format has none. */
uint64_t node_cluster_bytes(BlockNode *n);
/* Does the format have checks, compression, snapshots, make_empty? */
bool node_can_check(BlockNode *n);
bool node_can_compress(BlockNode *n);
bool node_can_snapshot(BlockNode *n);
bool node_can_empty(BlockNode *n);
/* Somebody did not close it: counts are to be made anew. */
bool node_is_dirty(BlockNode *n);
/* Forget all data: the backing node shows through. */
int node_make_empty(BlockNode *n);
/* What the header says from now on; NULL: no backing file. */
bool node_change_backing(BlockNode *n, const char *file, const char *format,
                         GError **err);
/* Options of creation, changed afterwards. */
bool node_amend(BlockNode *n, Opt *opts, GError **err);
/* As the header has it; NULL: none. */
const char *node_backing_file(BlockNode *n);
const char *node_backing_format(BlockNode *n);
/* `file` as seen from the image `from`; g_free(). */
char *block_resolve_path(const char *from, const char *file);
/* Open what is there read-only for writing, or the other way round. */
bool node_reopen(BlockNode *n, bool read_only, GError **err);

/* A new image.  `opts` (not taken) has the format's options; "size" among
 * them. */
bool block_create(const char *filename, const char *format, Opt *opts,
                  GError **err);

typedef struct BlockMeasure {
    uint64_t required, fully_allocated;
} BlockMeasure;
/* How large an image of `format` would be; `from` may be NULL. */
bool block_measure(const char *format, Opt *opts, BlockNode *from,
                   BlockMeasure *m, GError **err);

/* The driver's own members for `info`, a dict; "corrupt", "compat", ... */
Opt *node_info(BlockNode *n);

#endif
