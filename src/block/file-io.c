/*
 * How the requests of "file" and "host_device" reach the host.
 *
 * With aio=threads a request is a system call in a worker thread.  What takes
 * less time than to wake a thread is called in the loop: what the page cache
 * has, or takes.  The kernel says with RWF_NOWAIT when a call would wait, but
 * not on every file system.  Where the ones that store on this host do not say
 * (ext4 for writes, tmpfs), calls are watched: one that has slept is paid for
 * with AWAY times as long in which threads do all, so that the loop cannot
 * lose more than a thirtieth of its time.  Elsewhere (NFS, FUSE) a call may
 * sleep for ever: there it is threads or RWF_NOWAIT.
 *
 * Locks: in the node's loop; the workers touch the request and the descriptor
 *        alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/trace.h"
#include "file.h"
#include "loop/timer.h"

enum {
    AT_ONCE_BYTES = 128 * 1024, /* more is worth a thread */
    PAGE_BYTES = 4096,
    SLOW_NS = 200 * 1000, AWAY = 32,
};

/* --- in a worker thread ------------------------------------------------------------- */

/* Kernels before 4.7 and sandboxes do not know the flag. */
static bool no_dsync(const FileRequest *r, int error)
{
    return r->rw_flags & RWF_DSYNC && (error == EOPNOTSUPP || error == ENOSYS);
}

int file_do_rw(FileRequest *r)
{
    g_autofree struct iovec *list = NULL;
    struct iovec few[16];
    bool sync = false;
    unsigned room = G_N_ELEMENTS(few);
    struct iovec *v = few;

    if (r->v.n > room) {
        room = MIN(r->v.n, FILE_MAX_IOV);
        v = list = g_new(struct iovec, room);
    }
    while (r->bytes) {
        size_t len;
        unsigned n = iov_take(r->v, r->bytes, v, room, &len);
        ssize_t done = r->what == FILE_READ
                       ? preadv2(r->f->fd, v, n, r->at, r->rw_flags)
                       : pwritev2(r->f->fd, v, n, r->at, r->rw_flags);

        if (done < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (no_dsync(r, errno)) {
                r->rw_flags &= ~RWF_DSYNC;
                sync = true;
                continue;
            }
            return -errno;
        }
        if (!done) {
            if (r->what == FILE_WRITE) {
                return -ENOSPC;
            }
            iov_fill(r->v, 0, r->bytes);    /* the end of the file */
            return 0;
        }
        r->at += done;
        r->bytes -= done;
        if (r->bytes) {
            r->v = iov_slice(r->v, done);
        }
    }
    return sync && fdatasync(r->f->fd) < 0 ? -errno : 0;
}

static int do_fallocate(FileRequest *r, int mode)
{
    int ret;

    do {
        ret = fallocate(r->f->fd, mode, r->at, r->bytes);
    } while (ret < 0 && errno == EINTR);
    return ret < 0 ? (errno == EOPNOTSUPP || errno == ENOSYS
                      || errno == ENODEV ? -ENOTSUP : -errno) : 0;
}

static int do_device_range(FileRequest *r, unsigned long op)
{
    uint64_t range[2] = { r->at, r->bytes };

    return ioctl(r->f->fd, op, range) < 0
           ? (errno == ENOTTY || errno == EOPNOTSUPP ? -ENOTSUP : -errno) : 0;
}

/* Zeroes to the new end, for prealloc=full. */
static int do_fill(FileRequest *r, uint64_t from, uint64_t to)
{
    static const uint8_t zeroes[64 * 1024];

    while (from < to) {
        ssize_t n = pwrite(r->f->fd, zeroes, MIN(sizeof(zeroes), to - from),
                           from);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        from += MAX(n, 0);
    }
    return 0;
}

static int do_resize(FileRequest *r)
{
    struct stat st;
    int ret = 0;

    if (fstat(r->f->fd, &st) < 0) {
        return -errno;
    }
    if (r->prealloc == PREALLOC_FALLOC && (uint64_t)st.st_size < r->bytes) {
        ret = -posix_fallocate(r->f->fd, st.st_size, r->bytes - st.st_size);
    } else if (r->prealloc == PREALLOC_FULL) {
        ret = do_fill(r, st.st_size, r->bytes);
    }
    if (!ret && ftruncate(r->f->fd, r->bytes) < 0) {
        ret = -errno;
    }
    if (ret && ftruncate(r->f->fd, st.st_size) < 0) {
        return ret;             /* and it is longer now: harmless */
    }
    return ret;
}

static int do_request(void *arg)
{
    FileRequest *r = arg;

    switch (r->what) {
    case FILE_READ:
    case FILE_WRITE:
        return file_do_rw(r);
    case FILE_FLUSH:
        return fdatasync(r->f->fd) < 0 ? -errno : 0;
    case FILE_ZERO:
        return r->f->device ? do_device_range(r, BLKZEROOUT)
               : do_fallocate(r, FALLOC_FL_ZERO_RANGE);
    case FILE_PUNCH:
        return r->f->device ? do_device_range(r, BLKDISCARD)
               : do_fallocate(r, FALLOC_FL_PUNCH_HOLE
                              | FALLOC_FL_KEEP_SIZE);
    case FILE_RESIZE:
        return do_resize(r);
    }
    return -EINVAL;
}

/* --- by a queue of the kernel's ------------------------------------------------------------ */

static int queued_rw(BlockNode *n, FileRequest *r)
{
    const BlockAio *aio = r->f->aio;
    g_autofree struct iovec *list = NULL;
    struct iovec few[16], *v = few;
    unsigned room = G_N_ELEMENTS(few);

    if (r->v.n > room) {
        room = MIN(r->v.n, FILE_MAX_IOV);
        v = list = g_new(struct iovec, room);
    }
    while (r->bytes) {
        size_t len;
        unsigned n_v = iov_take(r->v, r->bytes, v, room, &len);
        int done = aio->rw(n->ctx, r->f->fd, r->what == FILE_WRITE, v, n_v, r->at,
                           r->rw_flags);

        if (done == -EINTR || done == -EAGAIN) {
            continue;
        }
        if (done < 0) {
            return no_dsync(r, -done) ? file_in_thread(n, r) : done;
        }
        if (!done) {
            if (r->what == FILE_WRITE) {
                return -ENOSPC;
            }
            iov_fill(r->v, 0, r->bytes);
            return 0;
        }
        r->at += done;
        r->bytes -= done;
        if (r->bytes) {
            r->v = iov_slice(r->v, done);
        }
    }
    return 0;
}

/* --- at once -------------------------------------------------------------------------- */

static long n_sleeps(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_nvcsw : 0;
}

static ssize_t call_at_once(const FileRequest *r, const struct iovec *v,
                            unsigned n, int flags)
{
    return r->what == FILE_READ
           ? preadv2(r->f->fd, v, n, r->at, flags)
           : pwritev2(r->f->fd, v, n, r->at, flags);
}

/* A thread that only lost its processor has not waited for the file. */
static ssize_t call_watched(const FileRequest *r, const struct iovec *v,
                            unsigned n)
{
    int64_t start_ns = clock_ns(CLK_HOST), took_ns;
    long slept;
    ssize_t done;

    if (start_ns < r->f->watch_from_ns) {
        errno = EAGAIN;
        return -1;
    }
    slept = n_sleeps();
    done = call_at_once(r, v, n, 0);
    took_ns = clock_ns(CLK_HOST) - start_ns;
    if (took_ns > SLOW_NS && n_sleeps() != slept) {
        int error = errno;

        r->f->watch_from_ns = start_ns + AWAY * took_ns;
        trace("block-file-slow", "%s at %" PRIu64 " slept %" PRId64 " ns",
              r->what == FILE_READ ? "read" : "write", r->at, took_ns);
        errno = error;
    }
    return done;
}

/* Part of a page that is not in the cache is read from the disk first; a flush
 * on its way makes writers wait for it, as those do that have their turn. */
static bool may_be_at_once(const FileRequest *r, FileAtOnce how)
{
    return how != FILE_NEVER && r->bytes <= AT_ONCE_BYTES && !r->rw_flags
           && (r->what == FILE_READ
               || (!((r->at | r->bytes) & (PAGE_BYTES - 1))
                   && !r->f->n_flushes && !r->f->lane.busy));
}

/* True: *ret is the result; else the request is what is left. */
static bool do_at_once(FileRequest *r, int *ret)
{
    FileAtOnce *how = &r->f->at_once[r->what == FILE_WRITE];
    struct iovec v[16];
    size_t len;
    unsigned n;
    ssize_t done;

    if (!may_be_at_once(r, *how)) {
        return false;
    }
    n = iov_take(r->v, r->bytes, v, G_N_ELEMENTS(v), &len);
    done = *how == FILE_WATCH ? call_watched(r, v, n)
           : call_at_once(r, v, n, RWF_NOWAIT);
    if (done < 0) {
        if (errno == EOPNOTSUPP && *how == FILE_ASK) {
            *how = r->f->local ? FILE_WATCH : FILE_NEVER;
        }
        *ret = -errno;
        return errno != EAGAIN && errno != EINTR && errno != EOPNOTSUPP;
    }
    r->at += done;
    r->bytes -= done;
    if (r->bytes && done) {
        r->v = iov_slice(r->v, done);
    }
    *ret = 0;
    return !r->bytes;
}

/* --- what the driver calls ---------------------------------------------------------------- */

int file_in_thread(BlockNode *n, FileRequest *r)
{
    return block_ctx_in_thread(n->ctx, do_request, r);
}

/* Much is worth a thread of its own: others need not wait for its end. */
static bool takes_turns(const BlockNode *n, const FileRequest *r)
{
    return r->what == FILE_WRITE && r->f->local && !n->direct && !r->rw_flags
           && r->bytes <= AT_ONCE_BYTES;
}

int file_transfer(BlockNode *n, FileRequest *r)
{
    int ret;

    if (r->f->aio) {
        return queued_rw(n, r);
    }
    return do_at_once(r, &ret) ? ret
           : takes_turns(n, r) ? file_write_in_turn(n, r)
           : file_in_thread(n, r);
}

int file_flush_host(BlockNode *n)
{
    File *f = n->state;
    FileRequest r = { f, FILE_FLUSH };
    int ret;

    f->n_flushes++;
    ret = f->aio && f->aio->flush ? f->aio->flush(n->ctx, f->fd)
          : file_in_thread(n, &r);
    f->n_flushes--;
    return ret;
}

static bool is_local(const File *f)
{
    struct statfs fs;

    if (f->device || fstatfs(f->fd, &fs) < 0) {
        return false;
    }
    switch (fs.f_type) {
    case EXT4_SUPER_MAGIC: case XFS_SUPER_MAGIC: case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC: case TMPFS_MAGIC: case OVERLAYFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

void file_find_ways(BlockNode *n)
{
    File *f = n->state;

    f->local = is_local(f);
    f->at_once[0] = f->at_once[1] = n->direct ? FILE_NEVER : FILE_ASK;
}
