/*
 * BlockBackend: what a device holds, and what -drive makes.
 *
 * It has a medium (a node) or none, the policy on errors, the cache mode as
 * the guest may switch it, and counts its requests so that it can be drained.
 *
 *     static void done(void *opaque, int ret) { ... }     in the loop
 *     blk_read(s->blk, at, bytes, iov, n, done, req);
 *
 * Buffers and the iovec array stay the caller's and stay as they are until
 * done() has been called, which happens once for each request, never before
 * the call that started it has returned.  Requests are completed in any order.
 *
 * Locks: in the node's loop (block/block.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_BACKEND_H
#define BLOCK_BACKEND_H

#include "block/block.h"

/* ret: 0 or -errno. */
typedef void BlkDone(void *opaque, int ret);

/* --- making and finding ------------------------------------------------------------ */

/* With one reference; `name` may be NULL.  A named one can be found. */
BlockBackend *blk_new(const char *name, Loop *loop);
BlockBackend *blk_ref(BlockBackend *blk);
void blk_unref(BlockBackend *blk);
/* A -drive's id, or NULL. */
BlockBackend *blk_find(const char *name);
void blk_foreach(void (*fn)(BlockBackend *, void *), void *opaque);
/* What `drive=` names: a -drive's backend, or a new one on the -blockdev of
 * that name.  One reference; `err` says what there is. */
BlockBackend *blk_for_device(const char *name, GError **err);
const char *blk_name(const BlockBackend *blk);          /* "" when it has none */
/* For messages: name, else node name, else "drive". */
const char *blk_label(const BlockBackend *blk);

/* Put a medium in (takes no reference over), take it out. */
bool blk_insert(BlockBackend *blk, BlockNode *n, GError **err);
void blk_eject(BlockBackend *blk);
BlockNode *blk_node(const BlockBackend *blk);           /* NULL: no medium */
bool blk_is_inserted(const BlockBackend *blk);
bool blk_is_read_only(const BlockBackend *blk);
/* Bytes; 0 without a medium. */
uint64_t blk_length(const BlockBackend *blk);
uint32_t blk_alignment(const BlockBackend *blk);

/* Grow or shrink the medium; the device is told. */
bool blk_resize(BlockBackend *blk, uint64_t bytes, GError **err);
/* Write what the medium itself holds into its backing node, and forget it
 * there when the format can. */
bool blk_commit(BlockBackend *blk, GError **err);
/* It is not found by its name any more. */
void blk_forget_name(BlockBackend *blk);

/* --- devices ------------------------------------------------------------------------- */

/* What a device wants to know; members may be NULL.  In the loop. */
typedef struct BlkDevOps {
    const char *name;           /* of the device, for messages */
    /* The medium was put in or taken out. */
    void (*medium_changed)(void *dev, bool inserted);
    void (*resized)(void *dev);
    /* The user asks a locked tray to open. */
    void (*eject_request)(void *dev, bool force);
    bool (*is_tray_locked)(void *dev);
    bool (*is_tray_open)(void *dev);
    /* Stop handing in requests; blk_*() queues those that come all the same. */
    void (*drain_begin)(void *dev);
    void (*drain_end)(void *dev);
} BlkDevOps;

/*
 * The device takes the backend: one device at a time.  `write` asks for the
 * right to write (refused on a read-only medium, naming it), `share_write`
 * lets other users write as well (share-rw=on).
 */
bool blk_attach(BlockBackend *blk, const BlkDevOps *ops, void *dev,
                bool write, bool share_write, GError **err);
void blk_detach(BlockBackend *blk);
bool blk_is_attached(const BlockBackend *blk);
bool blk_has_tray(const BlockBackend *blk);
bool blk_is_tray_open(const BlockBackend *blk);
bool blk_is_tray_locked(const BlockBackend *blk);
void blk_request_eject(BlockBackend *blk, bool force);
/* Move the backend and its nodes to another loop, drained. */
bool blk_set_loop(BlockBackend *blk, Loop *loop, GError **err);
Loop *blk_loop(const BlockBackend *blk);

/* --- requests ------------------------------------------------------------------------- */

/* Outside the medium: -EIO; none there: -ENOMEDIUM; read-only: -EPERM.  With
 * the write cache off, writes are on stable storage when they complete. */
void blk_read(BlockBackend *blk, uint64_t at, uint64_t bytes,
              const struct iovec *iov, unsigned n_iov, BlkDone *done,
              void *opaque);
void blk_write(BlockBackend *blk, uint64_t at, uint64_t bytes,
               const struct iovec *iov, unsigned n_iov, unsigned flags,
               BlkDone *done, void *opaque);
void blk_write_zeroes(BlockBackend *blk, uint64_t at, uint64_t bytes,
                      unsigned flags, BlkDone *done, void *opaque);
void blk_discard(BlockBackend *blk, uint64_t at, uint64_t bytes,
                 BlkDone *done, void *opaque);
void blk_flush(BlockBackend *blk, BlkDone *done, void *opaque);

/*
 * Requests that are started between these two go to the host together, and
 * those that need not wait for it complete before blk_batch_end() returns:
 * the loop is not woken for them.  `outer` is what begin() gave.
 */
BlockCtx *blk_batch_begin(BlockBackend *blk);
void blk_batch_end(BlockBackend *blk, BlockCtx *outer);

/* The same, waiting (as node_read() does). */
int blk_read_buf(BlockBackend *blk, uint64_t at, void *buf, size_t len);
int blk_write_buf(BlockBackend *blk, uint64_t at, const void *buf,
                  size_t len);
int blk_flush_wait(BlockBackend *blk);

/* Wait until none is in flight; their done() have been called. */
void blk_drain(BlockBackend *blk);
/* Queue new ones from here on, as well. */
void blk_drain_begin(BlockBackend *blk);
void blk_drain_end(BlockBackend *blk);
unsigned blk_in_flight(const BlockBackend *blk);

/* --- policy ------------------------------------------------------------------------------ */

typedef enum {
    BLK_ON_ERROR_AUTO, BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE,
    BLK_ON_ERROR_ENOSPC, BLK_ON_ERROR_STOP,
} BlkOnError;
extern const char *const blk_on_error_names[];  /* NULL-terminated */
void blk_set_on_error(BlockBackend *blk, BlkOnError read, BlkOnError write);
BlkOnError blk_on_error(const BlockBackend *blk, bool is_read);

/*
 * What to do about a request that failed:
 *   REPORT  tell the guest
 *   IGNORE  tell it that all is well
 *   STOP    keep the request; the machine has been asked to stop, and the
 *           device starts it again when the machine runs again
 */
typedef enum { BLK_REPORT, BLK_IGNORE, BLK_STOP } BlkAction;
BlkAction blk_error(BlockBackend *blk, bool is_read, int error);
/* Set by whoever knows the machine; called by blk_error() for STOP. */
extern void (*blk_stop_machine)(BlockBackend *blk, bool is_read, int error);
/* Told of every error with what was decided: events. */
extern void (*blk_error_event)(BlockBackend *blk, bool is_read, int error,
                               BlkAction action);

/* Keep to a group's limits (NULL: to none). */
struct ThrottleGroup;
void blk_set_throttle(BlockBackend *blk, struct ThrottleGroup *g);
struct ThrottleGroup *blk_throttle(const BlockBackend *blk);

/* The guest's view of the write cache; -drive cache= sets it at first. */
bool blk_write_cache(const BlockBackend *blk);
void blk_set_write_cache(BlockBackend *blk, bool on);

/* What -drive said about the disk, for the device it is given to. */
typedef struct BlkDriveInfo {
    int interface;              /* index in block_if_names */
    int bus, unit;
    bool cdrom;                 /* media=cdrom */
    bool auto_device;           /* the board is to make the device */
    bool claimed;               /* it was */
} BlkDriveInfo;
enum { BLOCK_IF_DEFAULT, BLOCK_IF_NONE, BLOCK_IF_IDE, BLOCK_IF_VIRTIO,
       BLOCK_IF_SCSI, BLOCK_IF_FLOPPY, BLOCK_IF_PFLASH, BLOCK_IF_SD,
       BLOCK_IF_MTD };
BlkDriveInfo *blk_drive_info(BlockBackend *blk);

/* --- counting ----------------------------------------------------------------------------- */

typedef struct BlkStats {
    uint64_t n_reads, n_writes, n_flushes, n_discards;
    uint64_t read_bytes, written_bytes;
    uint64_t n_failed;
    uint64_t read_ns, write_ns, flush_ns;       /* from request to answer */
    int64_t last_ns;            /* of CLK_HOST: the last answer; 0: none */
} BlkStats;
const BlkStats *blk_stats(const BlockBackend *blk);

#endif
