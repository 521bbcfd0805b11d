/*
 * Which way a request takes to the host: in the loop or by a thread, and who
 * goes on when a thread has done it.
 *
 * The test plays the host's file system: what kind it is, whether it knows
 * RWF_NOWAIT, how long its calls sleep, and who is in them at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <sys/mman.h>
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
    bool no_dsync;              /* RWF_DSYNC is not known, */
    int n_syncs;                /* (A) and fdatasync() called so often */
    bool sync_fails;
    bool no_stacks;             /* no memory for coroutines */
    unsigned sleep_us;          /* in each plain write */
    off_t fail_at;              /* a write there gets EIO; 0: none */
    GMutex hold_flush;          /* a flush needs it */
    GMutex lock;
    GCond cond;
    int n_writers, most_writers;        /* in plain writes at once */
    int want_writers;           /* each waits for so many */
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
    if (flags & RWF_DSYNC && host.no_dsync) {
        errno = EOPNOTSUPP;
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

static void writer_comes(void)
{
    gint64 end_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    g_mutex_lock(&host.lock);
    host.n_writers++;
    host.most_writers = MAX(host.most_writers, host.n_writers);
    g_cond_broadcast(&host.cond);
    while (host.most_writers < host.want_writers
           && g_cond_wait_until(&host.cond, &host.lock, end_us)) {
    }
    g_mutex_unlock(&host.lock);
}

static void writer_goes(void)
{
    g_mutex_lock(&host.lock);
    host.n_writers--;
    g_mutex_unlock(&host.lock);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags)
{
    ssize_t ret;

    if (!takes(flags)) {
        return -1;
    }
    if (host.fail_at && at == host.fail_at) {
        errno = EIO;
        return -1;
    }
    if (host.sleep_us) {
        g_usleep(host.sleep_us);
    }
    writer_comes();
    ret = __real_pwritev64v2(fd, v, n, at, flags & ~(RWF_NOWAIT | RWF_DSYNC));
    writer_goes();
    return ret;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    g_mutex_lock(&host.hold_flush);
    g_mutex_unlock(&host.hold_flush);
    __atomic_add_fetch(&host.n_syncs, 1, __ATOMIC_SEQ_CST);
    if (host.sync_fails) {
        errno = EIO;
        return -1;
    }
    return 0;
}

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd,
                    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
                    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    if (host.no_stacks) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(at, len, prot, flags, fd, offset);
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

/* A host that cannot write through writes and then syncs. */
static void test_no_dsync(void)
{
    BlockNode *n = open_on(EXT4_SUPER_MAGIC, false, "");
    uint8_t buf[512] = { 0x5a }, got[512] = { 0 };
    struct iovec v = { buf, sizeof(buf) };

    host.n_syncs = 0;
    g_assert_cmpint(node_write(n, 512, 512, iov_all(&v, 1), BLOCK_FUA), ==, 0);
    g_assert_cmpint(host.n_syncs, ==, 0);
    host.no_dsync = true;
    buf[0] = 0xa5;
    g_assert_cmpint(node_write(n, 512, 512, iov_all(&v, 1), BLOCK_FUA), ==, 0);
    g_assert_cmpint(host.n_syncs, ==, 1);
    g_assert_cmpint(node_read_buf(n, 512, got, sizeof(got)), ==, 0);
    g_assert_cmpmem(got, sizeof(got), buf, sizeof(buf));
    host.sync_fails = true;
    g_assert_cmpint(node_write(n, 512, 512, iov_all(&v, 1), BLOCK_FUA), ==,
                    -EIO);
    host.no_dsync = host.sync_fails = false;
    host.n_here = host.n_threads = 0;
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

static void keep_ret(void *opaque, int ret)
{
    *(int *)opaque = ret;
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

/* --- taking turns --------------------------------------------------------------------- */

enum { N_WRITES = 16, HALF = PAGE / 2 };

/* The most writes that were at work at once, of N_WRITES half pages. */
static int writers_at_once(BlockNode *n, int want)
{
    g_autofree uint8_t *buf = g_malloc(N_WRITES * HALF);
    g_autofree uint8_t *back = g_malloc(N_WRITES * HALF);
    BlockBackend *blk = on_node(n);
    bool written[N_WRITES] = { false };
    struct iovec v[N_WRITES];

    host.most_writers = 0;
    host.want_writers = want;
    for (unsigned i = 0; i < N_WRITES; i++) {
        v[i] = (struct iovec) { buf + i * HALF, HALF };
        memset(v[i].iov_base, i + want, HALF);
        blk_write(blk, i * HALF, HALF, &v[i], 1, 0, done, &written[i]);
    }
    blk_drain(blk);
    for (unsigned i = 0; i < N_WRITES; i++) {
        g_assert_true(written[i]);
    }
    g_assert_cmpint(blk_read_buf(blk, 0, back, N_WRITES * HALF), ==, 0);
    g_assert_cmpmem(back, N_WRITES * HALF, buf, N_WRITES * HALF);
    host.want_writers = 0;
    blk_unref(blk);
    node_unref(n);
    return host.most_writers;
}

static void test_turns(void)
{
    g_assert_cmpint(writers_at_once(open_on(EXT4_SUPER_MAGIC, false, ""), 1),
                    ==, 1);
    /* Where writers need not wait for each other they do not. */
    g_assert_cmpint(writers_at_once(open_on(NFS, false, ""), 2), >=, 2);
}

static void test_turn_fails(void)
{
    BlockNode *n = open_on(EXT4_SUPER_MAGIC, false, "");
    BlockBackend *blk = on_node(n);
    uint8_t buf[HALF] = { 0 };
    struct iovec v = { buf, sizeof(buf) };
    int rets[3] = { 1, 1, 1 };

    host.fail_at = HALF;
    for (unsigned i = 0; i < G_N_ELEMENTS(rets); i++) {
        blk_write(blk, i * HALF, HALF, &v, 1, 0, keep_ret, &rets[i]);
    }
    blk_drain(blk);
    host.fail_at = 0;
    g_assert_cmpint(rets[0], ==, 0);
    g_assert_cmpint(rets[1], ==, -EIO);
    g_assert_cmpint(rets[2], ==, 0);
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

/* --- without memory for coroutines ---------------------------------------------------- */

static void sleep_once(void *opaque)
{
    g_ptr_array_add(opaque, co_self());
    co_yield();
}

static void test_no_stacks(void)
{
    g_autoptr(GPtrArray) sleepers = g_ptr_array_new();
    BlockNode *n = open_on(NFS, false, "");
    BlockBackend *blk = on_node(n);
    uint8_t byte = 0x5a;
    struct iovec v = { &byte, 1 };
    int ret = 1;

    host.no_stacks = true;
    while (co_start(sleep_once, sleepers)) {    /* those there are */
        g_assert_cmpuint(sleepers->len, <, 10000);
    }
    g_assert_cmpint(blk_write_buf(blk, 0, &byte, 1), ==, -ENOMEM);
    g_assert_cmpint(node_write(n, 0, 1, iov_all(&v, 1), 0), ==, -ENOMEM);
    blk_write(blk, 0, 1, &v, 1, 0, keep_ret, &ret);
    blk_drain(blk);
    g_assert_cmpint(ret, ==, -ENOMEM);
    for (unsigned i = 0; i < sleepers->len; i++) {
        co_enter(g_ptr_array_index(sleepers, i));
    }
    g_assert_cmpint(blk_write_buf(blk, 0, &byte, 1), ==, 0);
    host.no_stacks = false;
    host.n_here = host.n_threads = 0;
    blk_unref(blk);
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
    g_test_add_func("/ways/no-dsync", test_no_dsync);
    g_test_add_func("/ways/foreign", test_foreign);
    g_test_add_func("/ways/slow", test_slow);
    g_test_add_func("/ways/flushing", test_flushing);
    g_test_add_func("/ways/turns", test_turns);
    g_test_add_func("/ways/turn-fails", test_turn_fails);
    g_test_add_func("/ways/finish", test_finish);
    g_test_add_func("/ways/no-stacks", test_no_stacks);
    ret = g_test_run();
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    return ret;
}
