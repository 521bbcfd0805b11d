/*
 * Which way a request takes to the host: in the loop or by a thread, and who
 * goes on when a thread has done it.
 *
 * The test plays the host's file system: what kind it is, whether it knows
 * RWF_NOWAIT, and how long its calls sleep.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/backend.h"
#include "block/driver.h"

enum { PAGE = 4096, FILE_BYTES = 1024 * 1024, NFS = 0x6969 };

static char *path;

/* --- the host ------------------------------------------------------------------------- */

static struct {
    long kind;                  /* of file system */
    bool knows_nowait;
    bool would_wait;            /* what RWF_NOWAIT is told */
    unsigned sleep_us;          /* in each plain write */
    GMutex hold_flush;          /* a flush needs it */
    int n_here, n_threads;      /* (A) calls by the initial thread, by others */
} host;

int __real_fstatfs64(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs)
{
    int ret = __real_fstatfs64(fd, fs);

    fs->f_type = host.kind;
    return ret;
}

static void count(void)
{
    __atomic_add_fetch(gettid() == getpid() ? &host.n_here : &host.n_threads,
                       1, __ATOMIC_SEQ_CST);
}

/* False with errno: the kernel does not do it so. */
static bool takes(int flags)
{
    if (flags & RWF_NOWAIT && (!host.knows_nowait || host.would_wait)) {
        errno = host.knows_nowait ? EAGAIN : EOPNOTSUPP;
        return false;
    }
    count();
    return true;
}

ssize_t __real_preadv64v2(int fd, const struct iovec *v, int n, off_t at,
                          int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *v, int n, off_t at,
                          int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *v, int n, off_t at,
                          int flags)
{
    return takes(flags) ? __real_preadv64v2(fd, v, n, at, flags & ~RWF_NOWAIT)
                        : -1;
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags)
{
    if (!takes(flags)) {
        return -1;
    }
    if (host.sleep_us) {
        g_usleep(host.sleep_us);
    }
    return __real_pwritev64v2(fd, v, n, at, flags & ~RWF_NOWAIT);
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    g_mutex_lock(&host.hold_flush);
    g_mutex_unlock(&host.hold_flush);
    return 0;
}

/* --- requests ------------------------------------------------------------------------- */

static BlockNode *open_on(long kind, bool knows_nowait, const char *more)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = g_strdup_printf(
        "raw,file.driver=file,file.filename=%s%s", path, more);
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, NULL);
    BlockNode *n;

    host.kind = kind;
    host.knows_nowait = knows_nowait;
    host.would_wait = false;
    host.sleep_us = 0;
    n = block_open(o, &err);
    g_assert_no_error(err);
    return n;
}

/* Did the initial thread do it all? */
static bool was_here(int ret)
{
    bool here = host.n_here && !host.n_threads;

    g_assert_cmpint(ret, ==, 0);
    g_assert_cmpint(host.n_here + host.n_threads, >, 0);
    host.n_here = host.n_threads = 0;
    return here;
}

static bool write_here(BlockNode *n, uint64_t at, size_t len, unsigned flags)
{
    g_autofree uint8_t *buf = g_malloc0(len);
    struct iovec v = { buf, len };

    return was_here(node_write(n, at, len, iov_all(&v, 1), flags));
}

static bool read_here(BlockNode *n, uint64_t at, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);

    return was_here(node_read_buf(n, at, buf, len));
}

/* The first call finds out whether the file system knows RWF_NOWAIT. */
static void learn(BlockNode *n)
{
    write_here(n, 0, PAGE, 0);
    read_here(n, 0, PAGE);
}

static BlockBackend *on_node(BlockNode *n)
{
    g_autoptr(GError) err = NULL;
    BlockBackend *blk = blk_new(NULL, loop_main());

    g_assert_true(blk_insert(blk, n, &err));
    g_assert_no_error(err);
    return blk;
}

/* --- the ways ------------------------------------------------------------------------- */

static void test_nowait(void)
{
    BlockNode *n = open_on(NFS, true, "");

    g_assert_true(write_here(n, PAGE, PAGE, 0));
    g_assert_true(read_here(n, PAGE, PAGE));
    host.would_wait = true;
    g_assert_false(write_here(n, PAGE, PAGE, 0));
    g_assert_false(read_here(n, PAGE, PAGE));
    node_unref(n);
}

static void test_watched(void)
{
    BlockNode *n = open_on(EXT4_SUPER_MAGIC, false, "");

    learn(n);
    g_assert_true(write_here(n, 4 * PAGE, 2 * PAGE, 0));
    g_assert_true(read_here(n, 1, 3));
    g_assert_false(write_here(n, 512, 512, 0));         /* half a page */
    g_assert_false(write_here(n, 0, PAGE + 512, 0));
    g_assert_false(write_here(n, 0, FILE_BYTES, 0));    /* much */
    g_assert_false(write_here(n, 0, PAGE, BLOCK_FUA));  /* to the disk */
    node_unref(n);
}

static void test_foreign(void)
{
    BlockNode *n = open_on(NFS, false, "");

    learn(n);
    g_assert_false(write_here(n, 0, PAGE, 0));
    g_assert_false(read_here(n, 0, PAGE));
    node_unref(n);
}

/* A write that sleeps sends the next ones away, and not for ever. */
static void test_slow(void)
{
    BlockNode *n = open_on(EXT4_SUPER_MAGIC, false, "");
    int64_t end_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    learn(n);
    host.sleep_us = 20 * 1000;
    g_assert_true(write_here(n, 0, PAGE, 0));
    host.sleep_us = 0;
    g_assert_false(write_here(n, 0, PAGE, 0));
    while (!write_here(n, 0, PAGE, 0)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(5000);
    }
    node_unref(n);
}

static void done(void *opaque, int ret)
{
    g_assert_cmpint(ret, ==, 0);
    *(bool *)opaque = true;
}

static void test_flushing(void)
{
    BlockNode *n = open_on(EXT4_SUPER_MAGIC, false, "");
    BlockBackend *blk = on_node(n);
    bool flushed = false;

    learn(n);
    g_mutex_lock(&host.hold_flush);
    blk_flush(blk, done, &flushed);
    g_assert_false(write_here(n, 0, PAGE, 0));
    g_assert_false(flushed);
    g_mutex_unlock(&host.hold_flush);
    blk_drain(blk);
    g_assert_true(flushed);
    g_assert_true(write_here(n, 0, PAGE, 0));
    blk_unref(blk);
    node_unref(n);
}

/* --- who goes on ---------------------------------------------------------------------- */

typedef struct Chain {
    BlockBackend *blk;
    int left, n_here, n_workers;
} Chain;

static void next_flush(void *opaque);

/* Under the machine lock, whoever calls: what the chain counts needs no more. */
static void flushed(void *opaque, int ret)
{
    Chain *c = opaque;

    g_assert_true(machine_lock_held());
    g_assert_cmpint(ret, ==, 0);
    if (gettid() == getpid()) {
        c->n_here++;
    } else {
        c->n_workers++;
    }
    if (--c->left) {
        loop_call(loop_main(), next_flush, c);
    } else {
        loop_main_quit();
    }
}

static void next_flush(void *opaque)
{
    Chain *c = opaque;
    uint8_t byte = 0;

    /* Something to flush, and time for this thread to let the lock go. */
    g_assert_cmpint(blk_write_buf(c->blk, 0, &byte, 1), ==, 0);
    blk_flush(c->blk, flushed, c);
}

static void test_finish(void)
{
    BlockNode *n = open_on(EXT4_SUPER_MAGIC, true, "");
    Chain c = { .blk = on_node(n), .left = 500 };

    loop_call(loop_main(), next_flush, &c);
    loop_main_run();
    g_test_message("%d by the main loop, %d by workers", c.n_here,
                   c.n_workers);
    g_assert_cmpint(c.n_here + c.n_workers, ==, 500);
    g_assert_cmpint(c.n_workers, >, 0);
    blk_unref(c.blk);
    node_unref(n);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-ways-XXXXXX", NULL);
    g_autofree char *zeroes = g_malloc0(FILE_BYTES);
    int ret;

    g_test_init(&argc, &argv, NULL);
    path = g_build_filename(dir, "image", NULL);
    g_assert_true(g_file_set_contents(path, zeroes, FILE_BYTES, NULL));
    g_test_add_func("/ways/nowait", test_nowait);
    g_test_add_func("/ways/watched", test_watched);
    g_test_add_func("/ways/foreign", test_foreign);
    g_test_add_func("/ways/slow", test_slow);
    g_test_add_func("/ways/flushing", test_flushing);
    g_test_add_func("/ways/finish", test_finish);
    ret = g_test_run();
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    return ret;
}
