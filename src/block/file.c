/*
 * "file" and "host_device": bytes of the host.
 *
 * Opening, options, locks, and what a node does; how a request gets to the host
 * is in file-io.c.
 *
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "file.h"
#include "node.h"

/* --- requests ------------------------------------------------------------------------- */

static int file_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                     unsigned flags)
{
    FileRequest r = { n->state, FILE_READ, at, bytes, v, 0, 0 };

    return file_transfer(n, &r);
}

static int file_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                      unsigned flags)
{
    FileRequest r = { n->state, FILE_WRITE, at, bytes, v,
                  flags & BLOCK_FUA ? RWF_DSYNC : 0, 0 };

    return file_transfer(n, &r);
}

static int file_flush(BlockNode *n)
{
    File *f = n->state;
    int ret = f->failed_flush;

    if (!ret) {
        ret = file_flush_host(n);
    }
    if (ret && ret != -EINTR && !n->direct) {
        /* The kernel has dropped the dirty pages: that they seem to be
         * written now must not make the next flush a success. */
        f->failed_flush = ret;
    }
    return ret;
}

static int file_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    File *f = n->state;
    FileRequest r = { f, FILE_PUNCH, at, bytes };
    int ret = f->no_punch ? -ENOTSUP
              : file_in_thread(n, &r);

    f->no_punch |= ret == -ENOTSUP;
    return ret;
}

static int file_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                             unsigned flags)
{
    File *f = n->state;
    FileRequest r = { f, FILE_ZERO, at, bytes };
    int ret;

    /* A hole reads as zero, but it does not move the end of a file, and what
     * a device has discarded may read as anything. */
    if (flags & BLOCK_MAY_UNMAP && !f->device && !f->no_punch
        && at + bytes <= n->length) {
        r.what = FILE_PUNCH;
        ret = file_in_thread(n, &r);
        if (ret != -ENOTSUP) {
            return ret;
        }
        f->no_punch = true;
        r.what = FILE_ZERO;
    }
    if (f->no_zero) {
        return -ENOTSUP;
    }
    ret = file_in_thread(n, &r);
    f->no_zero = ret == -ENOTSUP;
    return ret;
}

static int file_truncate(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                         GError **err)
{
    File *f = n->state;
    FileRequest r = { f, FILE_RESIZE, 0, bytes, { 0 }, 0, prealloc };
    int ret;

    if (f->device) {
        block_fail(err, "'%s' is a device: its size is what it is",
                   n->filename);
        return -ENOTSUP;
    }
    if (prealloc == PREALLOC_METADATA) {
        block_fail(err, "preallocation=metadata is for formats that have "
                   "metadata; accepted: off, falloc, full");
        return -ENOTSUP;
    }
    ret = file_in_thread(n, &r);
    if (!ret) {
        n->length = bytes;
    }
    return ret;
}

/* Holes, as the file system tells of them. */
static int file_status(BlockNode *n, uint64_t at, uint64_t bytes,
                       BlockStatus *st)
{
    File *f = n->state;
    off_t data = lseek(f->fd, at, SEEK_DATA), hole;

    st->flags |= BLOCK_OFFSET;
    st->map = at;
    st->file = n;
    if (data < 0 && errno == ENXIO) {       /* a hole to the end */
        st->flags = (st->flags & ~BLOCK_DATA) | BLOCK_ZERO;
        return 0;
    }
    if (data < 0) {
        return 0;                           /* not known: all data */
    }
    if ((uint64_t)data > at) {
        st->flags = (st->flags & ~BLOCK_DATA) | BLOCK_ZERO;
        st->bytes = MIN(st->bytes, (uint64_t)data - at);
        return 0;
    }
    hole = lseek(f->fd, at, SEEK_HOLE);
    if (hole > 0 && (uint64_t)hole > at) {
        st->bytes = MIN(st->bytes, (uint64_t)hole - at);
    }
    return 0;
}

/* --- opening ----------------------------------------------------------------------------- */

static int get_length(File *f, uint64_t *bytes)
{
    struct stat st;

    if (f->device) {
        return ioctl(f->fd, BLKGETSIZE64, bytes) < 0 ? -errno : 0;
    }
    if (fstat(f->fd, &st) < 0) {
        return -errno;
    }
    *bytes = st.st_size;
    return 0;
}

static int file_refresh_length(BlockNode *n)
{
    return get_length(n->state, &n->length);
}

/* What O_DIRECT wants: ask, else try. */
static void find_alignment(BlockNode *n)
{
    File *f = n->state;
    void *buf;
    int sector;

    if (!n->direct) {
        return;
    }
    n->alignment = n->memory_alignment = 4096;
    if (f->device && ioctl(f->fd, BLKSSZGET, &sector) == 0) {
        n->alignment = n->memory_alignment = CLAMP(sector, 512, 4096);
        return;
    }
    buf = block_alloc(4096);
    if (buf && pread(f->fd, buf, 512, 0) >= 0) {
        n->alignment = 512;
        n->memory_alignment = 512;
        if (pread(f->fd, (char *)buf + 512, 512, 512) < 0) {
            n->memory_alignment = 4096;
        }
    }
    block_free(buf);
}

static bool check_kind(BlockNode *n, GError **err)
{
    File *f = n->state;
    struct stat st;

    if (fstat(f->fd, &st) < 0) {
        return block_fail_errno(err, errno, "could not open '%s'",
                                n->filename);
    }
    f->device = S_ISBLK(st.st_mode);
    if (S_ISDIR(st.st_mode)) {
        return block_fail(err, "could not open '%s': it is a directory",
                          n->filename);
    }
    if (!f->device && !S_ISREG(st.st_mode)) {
        return block_fail(err, "could not open '%s': neither a regular file "
                          "nor a block device", n->filename);
    }
    if (!f->device && n->drv == &block_driver_host_device) {
        return block_fail(err, "'%s' is not a block device; driver 'file' "
                          "is for files", n->filename);
    }
    return true;
}

static int try_open(BlockNode *n, int flags)
{
    int fd;

    do {
        fd = open(n->filename, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
                  | (n->direct ? O_DIRECT : 0));
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* O_NONBLOCK is for pipes that somebody took for images: open() returns and
 * check_kind() refuses them. */
static bool open_fd(BlockNode *n, bool auto_read_only, GError **err)
{
    File *f = n->state;
    int error;

    f->fd = try_open(n, n->read_only ? O_RDONLY : O_RDWR);
    if (f->fd < 0 && auto_read_only
        && (errno == EACCES || errno == EPERM || errno == EROFS)) {
        n->read_only = true;
        f->fd = try_open(n, O_RDONLY);
    }
    if (f->fd >= 0) {
        fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_NONBLOCK);
        return true;
    }
    error = errno;
    if (error == EINVAL && n->direct) {
        return block_fail(err, "could not open '%s': its file system does "
                          "not support cache=none (O_DIRECT)", n->filename);
    }
    if (!n->read_only && access(n->filename, R_OK) == 0
        && (error == EACCES || error == EPERM || error == EROFS)) {
        return block_fail(err, "could not open '%s': it may not be written; "
                          "write readonly=on (or -snapshot) if that will do",
                          n->filename);
    }
    return block_fail_errno(err, error, "could not open '%s'", n->filename);
}

static void file_close(BlockNode *n)
{
    File *f = n->state;

    if (f->fd >= 0) {
        close(f->fd);           /* and with it the locks */
        f->fd = -1;
    }
    file_lane_destroy(&f->lane);
}

static bool get_options(BlockNode *n, Opt *opts, int *locking, bool *auto_ro,
                        GError **err)
{
    static const char *const lockings[] = { "auto", "on", "off", NULL };
    static const char *const aios[] = { "threads", "native", "io_uring",
                                        NULL };
    const char *filename = NULL;
    int aio = 0;

    if (!opt_get_string(opts, "filename", &filename, err)
        || !opt_get_enum(opts, "locking", lockings, locking, err)
        || !opt_get_enum(opts, "aio", aios, &aio, err)
        || !opt_get_bool(opts, "auto-read-only", auto_ro, err)) {
        return false;
    }
    if (!filename || !*filename) {
        return block_fail(err, "the '%s' block driver requires a file name",
                          n->drv->name);
    }
    if (aio == 1 && !n->direct) {
        return block_fail(err, "aio=native was specified, but it requires "
                          "cache.direct=on, as cache=none sets it");
    }
    n->filename = g_strdup(filename);
    if (aio) {
        File *f = n->state;

        f->aio = aio == 1 ? &block_linux_aio : &block_io_uring;
        return f->aio->probe(n->ctx, err);
    }
    return true;
}

static bool file_open(BlockNode *n, Opt *opts, GError **err)
{
    File *f = n->state;
    int locking = 0, ret;
    bool auto_read_only = false;

    f->fd = -1;
    file_lane_init(&f->lane);
    if (!get_options(n, opts, &locking, &auto_read_only, err)
        || !open_fd(n, auto_read_only, err) || !check_kind(n, err)) {
        file_close(n);
        return false;
    }
    ret = get_length(f, &n->length);
    if (ret < 0) {
        block_fail_errno(err, -ret, "could not find out the size of '%s'",
                         n->filename);
        file_close(n);
        return false;
    }
    f->lock = (BlockLock) { .fd = f->fd, .enabled = locking != 2 };
    n->max_iov = FILE_MAX_IOV;
    find_alignment(n);
    file_find_ways(n);
    return true;
}

static bool file_set_perm(BlockNode *n, unsigned perm, unsigned shared,
                          GError **err)
{
    File *f = n->state;

    return block_lock_set(&f->lock, n->filename, perm, shared, err);
}

/* Another descriptor: the locks of the old one would be in its way, so they
 * are let go first. */
static bool file_reopen(BlockNode *n, bool read_only, GError **err)
{
    File *f = n->state;
    unsigned perm = f->lock.perm, shared = ~f->lock.unshared
                                           & BLOCK_PERM_ALL;
    int old = f->fd;

    n->read_only = read_only;
    if (!open_fd(n, false, err)) {
        f->fd = old;
        n->read_only = !read_only;
        return false;
    }
    close(old);
    f->lock = (BlockLock) { .fd = f->fd, .enabled = f->lock.enabled };
    perm = read_only ? perm & ~(BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE)
           : perm | BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE;
    return block_lock_set(&f->lock, n->filename, perm, shared, err);
}

static bool file_create(Opt *opts, GError **err)
{
    const char *filename = NULL;
    uint64_t bytes = 0;
    bool nocow = false;
    int fd;

    if (!opt_get_string(opts, "filename", &filename, err)
        || !opt_get_bool(opts, "nocow", &nocow, err)
        || !opt_get_size(opts, "size", &bytes, 1, err)) {
        return false;
    }
    if (!filename) {
        return block_fail(err, "parameter 'filename' is missing");
    }
    fd = open(filename, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return block_fail_errno(err, errno, "could not create '%s'",
                                filename);
    }
    if (nocow) {                /* for btrfs; others do not know it */
        int flags;

        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
            flags |= FS_NOCOW_FL;
            ioctl(fd, FS_IOC_SETFLAGS, &flags);
        }
    }
    /* Not before the locks say that nobody uses what was there. */
    BlockLock lock = { .fd = fd, .enabled = true };
    bool ok = block_lock_set(&lock, filename,
                             BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE,
                             BLOCK_PERM_READ, err);

    if (ok && (ftruncate(fd, 0) < 0 || ftruncate(fd, bytes) < 0)) {
        ok = block_fail_errno(err, errno, "could not resize '%s'", filename);
    }
    close(fd);
    return ok;
}

#define FILE_FUNCTIONS                                                      \
    .state_bytes = sizeof(File), .protocol = true, .fua = true,             \
    .open = file_open, .close = file_close, .reopen = file_reopen,          \
    .read = file_read,                                                      \
    .write = file_write, .write_zeroes = file_write_zeroes,                 \
    .discard = file_discard, .flush = file_flush,                           \
    .refresh_length = file_refresh_length, .set_perm = file_set_perm

const BlockDriver block_driver_file = {
    .name = "file", .doc = "a file (or a block device) of the host",
    .grows = true, .status = file_status, .truncate = file_truncate,
    .create = file_create, FILE_FUNCTIONS,
};

const BlockDriver block_driver_host_device = {
    .name = "host_device", .doc = "a block device of the host",
    .truncate = file_truncate, FILE_FUNCTIONS,
};
