/*
 * "blklogwrites": the bytes of its file, with a log of everything that changes
 * them, for replays: what would be left of it after a loss of power?
 *
 *     -blockdev blklogwrites,node-name=d,file=n,log=l
 *
 * A write is logged when it has completed, before the guest is told.  A flush
 * covers what had completed when it began: what completes while it is under
 * way is logged behind it.
 *
 * Spec:  Linux, Documentation/admin-guide/device-mapper/log-writes.rst and its
 *        tools: a superblock, then for each entry a sector and its data.
 * Locks: in the node's loop; `lock` orders the log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "node.h"

#define MAGIC UINT64_C(0x6a736677736872)
enum {
    VERSION = 1,
    LOG_FLUSH = 1, LOG_FUA = 2, LOG_DISCARD = 4,        /* flags */
    SUPER_BYTES = 28, ENTRY_BYTES = 32, MAX_SECTOR_BYTES = 1 << 23,
    ZEROES_BYTES = 64 * 1024,
};

typedef struct LogWrites {
    BlockNode *log;
    uint32_t sector_bytes;
    uint64_t n_entries;
    uint64_t next;              /* sector of the log */
    CoMutex lock;
    bool failed;                /* the log is not complete: no more of it */
} LogWrites;

/* --- the log ------------------------------------------------------------------------- */

static int write_super(LogWrites *s)
{
    g_autofree uint8_t *buf = g_malloc0(s->sector_bytes);

    store_le64(buf, MAGIC);
    store_le64(buf + 8, VERSION);
    store_le64(buf + 16, s->n_entries);
    store_le32(buf + 24, s->sector_bytes);
    return node_write_buf(s->log, 0, buf, s->sector_bytes);
}

static int write_entry(LogWrites *s, uint64_t at, uint64_t bytes,
                       uint64_t flags)
{
    g_autofree uint8_t *buf = g_malloc0(s->sector_bytes);

    store_le64(buf, at / s->sector_bytes);
    store_le64(buf + 8, bytes / s->sector_bytes);
    store_le64(buf + 16, flags);
    return node_write_buf(s->log, s->next * s->sector_bytes, buf,
                          s->sector_bytes);
}

/* `v` of no elements: zeroes. */
static int write_data(LogWrites *s, uint64_t bytes, IoVec v)
{
    uint64_t at = (s->next + 1) * s->sector_bytes;

    return v.n ? node_write(s->log, at, bytes, v, 0)
           : node_write_zeroes(s->log, at, bytes, 0);
}

/* Under the lock.  A log that cannot be written makes the request fail: a
 * replay would miss it. */
static int append(LogWrites *s, uint64_t at, uint64_t bytes, IoVec v,
                  uint64_t flags)
{
    bool has_data = bytes && !(flags & LOG_DISCARD);
    int ret = s->failed ? -EIO : write_entry(s, at, bytes, flags);

    if (!ret && has_data) {
        ret = write_data(s, bytes, v);
    }
    if (ret) {
        s->failed = true;
        return ret;
    }
    s->next += 1 + (has_data ? bytes / s->sector_bytes : 0);
    s->n_entries++;
    return 0;
}

static int note(LogWrites *s, int ret, uint64_t at, uint64_t bytes, IoVec v,
                uint64_t flags)
{
    if (!ret) {
        co_mutex_lock(&s->lock);
        ret = append(s, at, bytes, v, flags);
        co_mutex_unlock(&s->lock);
    }
    return ret;
}

/* --- requests ------------------------------------------------------------------------- */

static int log_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                     unsigned flags)
{
    int ret = node_write(n->file, at, bytes, v, flags);

    return note(n->state, ret, at, bytes, v, flags & BLOCK_FUA ? LOG_FUA : 0);
}

static int log_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                            unsigned flags)
{
    int ret = node_write_zeroes(n->file, at, bytes, flags);

    return note(n->state, ret, at, bytes, (IoVec) { 0 }, 0);
}

static int log_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    int ret = 0;

    if (at < n->file->length) {
        ret = node_discard(n->file, at, MIN(bytes, n->file->length - at));
    }
    return note(n->state, ret, at, bytes, (IoVec) { 0 }, LOG_DISCARD);
}

static int log_flush(BlockNode *n)
{
    LogWrites *s = n->state;
    int ret;

    co_mutex_lock(&s->lock);
    ret = node_flush(n->file);
    ret = ret ? ret : append(s, 0, 0, (IoVec) { 0 }, LOG_FLUSH);
    ret = ret ? ret : write_super(s);
    ret = ret ? ret : node_flush(s->log);
    co_mutex_unlock(&s->lock);
    return ret;
}

/* --- life ------------------------------------------------------------------------------ */

/* log-append=on: go on behind what is there. */
static bool find_end(LogWrites *s, GError **err)
{
    uint8_t buf[SUPER_BYTES];
    int ret = node_read_buf(s->log, 0, buf, sizeof(buf));
    uint64_t n;

    if (ret < 0) {
        return block_fail_errno(err, -ret, "cannot read the log");
    }
    if (load_le64(buf) != MAGIC || load_le64(buf + 8) != VERSION
        || load_le32(buf + 24) != s->sector_bytes) {
        return block_fail(err, "log-append=on: '%s' is no log of version 1 "
                          "with sectors of %u bytes", node_filename(s->log),
                          s->sector_bytes);
    }
    n = load_le64(buf + 16);
    for (s->n_entries = 0; s->n_entries < n; s->n_entries++) {
        uint64_t at = s->next * s->sector_bytes, sectors;

        if (at >= s->log->length
            || node_read_buf(s->log, at, buf, sizeof(buf)) < 0) {
            return block_fail(err, "log-append=on: '%s' ends before its last "
                              "entry", node_filename(s->log));
        }
        sectors = load_le64(buf + 16) & LOG_DISCARD ? 0 : load_le64(buf + 8);
        if (sectors > BLOCK_MAX_LENGTH / s->sector_bytes) {
            return block_fail(err, "log-append=on: '%s' is damaged",
                              node_filename(s->log));
        }
        s->next += 1 + sectors;
    }
    return true;
}

static bool log_open(BlockNode *n, Opt *opts, GError **err)
{
    LogWrites *s = n->state;
    uint64_t sector = 512, interval = 4096;
    bool append_to = false;
    int ret = 0;

    if (!opt_get_size(opts, "log-sector-size", &sector, 1, err)
        || !opt_get_bool(opts, "log-append", &append_to, err)
        || !opt_get_uint(opts, "log-super-update-interval", &interval,
                         UINT64_MAX, err)
        || !node_open_child(n, opts, "file", false, err)) {
        return false;
    }
    if (sector < 512 || sector & (sector - 1) || sector > MAX_SECTOR_BYTES) {
        return block_fail(err, "parameter 'log-sector-size' expects a power "
                          "of two from 512 to 8M");
    }
    s->log = node_open_child(n, opts, "log", false, err);
    if (!s->log) {
        return false;
    }
    s->sector_bytes = sector;
    s->next = 1;
    if (append_to ? !find_end(s, err) : (ret = write_super(s)) < 0) {
        return !ret ? false
               : block_fail_errno(err, -ret, "cannot write the log '%s'",
                                  node_filename(s->log));
    }
    /* A file's last sector may be a part: what is logged is whole. */
    n->length = n->file->length;
    n->alignment = MAX(s->sector_bytes, n->file->alignment);
    n->memory_alignment = n->file->memory_alignment;
    return true;
}

/* Drained; the children are flushed by their own closing. */
static void log_close(BlockNode *n)
{
    LogWrites *s = n->state;

    if (s->log && !s->failed) {
        write_super(s);
    }
}

uint64_t blklogwrites_entries(const BlockNode *n)
{
    return ((const LogWrites *)n->state)->n_entries;
}

const BlockDriver block_driver_blklogwrites = {
    .name = "blklogwrites", .doc = "a log of all writes, to be replayed",
    .state_bytes = sizeof(LogWrites), .filter = true, .grows = true,
    .fua = true, .open = log_open, .close = log_close, .write = log_write,
    .write_zeroes = log_write_zeroes, .discard = log_discard,
    .flush = log_flush,
};
