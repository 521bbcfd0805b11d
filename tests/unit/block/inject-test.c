/*
 * The host fails: every system call of a run, one after the other, with EIO,
 * with ENOSPC, or half done.
 *
 * What a request said it has done is there; what failed may be there or not;
 * nothing else has changed; an image with metadata is not corrupt.  Once the
 * host has lost what it should have made safe, what was flushed before is there
 * when the image is opened again.  A call that did half of its work is gone on
 * with, and nobody notices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/driver.h"
#include "block/image.h"

enum {
    SECTOR = 512, N_SECTORS = 4096, N_OPS = 60, MAX_CALLS = 3000,
    HALF = -1,                  /* not an error: half of what was asked */
};

static char *path;

/* --- the host ------------------------------------------------------------------------- */

typedef enum { CALL_READ, CALL_WRITE, CALL_SYNC, CALL_SPACE, CALL_SIZE }
    CallKind;

static struct {
    int n_calls, fail_at;       /* the first is 1; 0: none fails */
    int error;
    bool failed;
    CallKind kind;              /* of the one that did */
    int n_fail;                 /* it was that one */
} host;

/* Does this call fail? */
static bool fails(CallKind kind)
{
    /* From worker threads, but one at a time: requests wait for each other. */
    bool now = __atomic_add_fetch(&host.n_calls, 1, __ATOMIC_SEQ_CST)
               == host.fail_at;

    if (now) {
        host.failed = true;
        host.n_fail = host.fail_at;
        host.kind = kind;
        errno = host.error;
    }
    return now;
}

/* One byte less than all, and one element. */
static int halve(struct iovec *out, const struct iovec *v)
{
    *out = *v;
    out->iov_len = MAX(out->iov_len / 2, 1);
    return 1;
}

ssize_t __real_preadv64v2(int fd, const struct iovec *v, int n, off_t at,
                          int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *v, int n, off_t at,
                          int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *v, int n, off_t at,
                          int flags)
{
    struct iovec half;

    if (flags & RWF_NOWAIT) {   /* a try that a thread makes good: no call */
        errno = EAGAIN;
        return -1;
    }
    if (fails(CALL_READ)) {
        return host.error != HALF ? -1
               : __real_preadv64v2(fd, &half, halve(&half, v), at, flags);
    }
    return __real_preadv64v2(fd, v, n, at, flags);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *v, int n, off_t at,
                           int flags)
{
    struct iovec half;

    if (flags & RWF_NOWAIT) {   /* as ext4 has it */
        errno = EOPNOTSUPP;
        return -1;
    }
    if (fails(CALL_WRITE)) {
        return host.error != HALF ? -1
               : __real_pwritev64v2(fd, &half, halve(&half, v), at, flags);
    }
    return __real_pwritev64v2(fd, v, n, at, flags);
}

/* Nobody pulls the plug: a success needs no disk. */
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return fails(CALL_SYNC) && host.error != HALF ? -1 : 0;
}

int __real_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len)
{
    return fails(CALL_SPACE) && host.error != HALF ? -1
           : __real_fallocate64(fd, mode, at, len);
}

int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len)
{
    return fails(CALL_SIZE) && host.error != HALF ? -1
           : __real_ftruncate64(fd, len);
}

/* --- what may be in a sector --------------------------------------------------------- */

/* The last version that is certain, and those that were tried after it: 0 is
 * zeroes. */
typedef struct Sector {
    uint8_t sure;
    uint64_t tried;             /* a bit a version, from 1 on; bit 0: zeroes */
    uint8_t flushed;            /* the same when a flush last succeeded, */
    uint64_t since;             /* and those tried since */
} Sector;

static Sector sectors[N_SECTORS];
static bool only_flushed;       /* what may be: no more is promised */

static void fill_sector(uint8_t *p, uint32_t sector, uint8_t version)
{
    memset(p, version, SECTOR);
    if (version) {
        store_le32(p, sector);
    }
}

static bool may_be(uint32_t sector, const uint8_t *p)
{
    const Sector *s = &sectors[sector];
    uint8_t want[SECTOR];

    for (unsigned version = 0; version <= N_OPS; version++) {
        if (only_flushed
            ? version == s->flushed || s->since >> version & 1
            : version == s->sure || s->tried >> version & 1) {
            fill_sector(want, sector, version);
            if (!memcmp(want, p, SECTOR)) {
                return true;
            }
        }
    }
    return false;
}

static void note(uint32_t first, uint32_t n, uint8_t version, int ret)
{
    for (uint32_t i = first; i < first + n; i++) {
        sectors[i].since |= BIT64(version);
        if (ret < 0) {
            sectors[i].tried |= BIT64(version);
        } else {
            sectors[i].sure = version;
            sectors[i].tried = 0;
        }
    }
}

static void note_flush(int ret)
{
    for (uint32_t i = 0; i < N_SECTORS && !ret; i++) {
        sectors[i].flushed = sectors[i].sure;
        sectors[i].since = sectors[i].tried;
    }
}

/* --- the run --------------------------------------------------------------------------- */

static unsigned n_errors;       /* told to the guest */

static int told(int ret)
{
    n_errors += ret < 0;
    return ret;
}

static void check_run(BlockNode *n, uint32_t first, uint32_t count)
{
    g_autofree uint8_t *buf = g_malloc(count * SECTOR);

    if (told(node_read_buf(n, first * SECTOR, buf, count * SECTOR)) == 0) {
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *p = buf + i * SECTOR;
            const Sector *s = &sectors[first + i];

            if (!may_be(first + i, p)) {
                g_error("call %d (kind %d) fails with %d: sector %u begins "
                        "%02x%02x%02x%02x, then %02x, and version %u is sure, "
                        "0x%" PRIx64 " were tried", host.n_fail,
                        host.kind, host.error, first + i, p[0], p[1], p[2],
                        p[3], p[4], s->sure, s->tried);
            }
        }
    }
}

/* The same each time. */
static void run(BlockNode *n)
{
    g_autofree uint8_t *buf = g_malloc(300 * SECTOR);
    uint32_t x = 1;

    for (unsigned op = 1; op <= N_OPS; op++) {
        uint32_t first, count;

        x = x * 1664525 + 1013904223;
        count = (x >> 8) % (op % 3 ? 16 : 300) + 1;
        first = (x >> 16) % (N_SECTORS - count);
        switch (op % 10) {
        case 3:
            note(first, count, 0, told(node_write_zeroes(
                n, first * SECTOR, count * SECTOR, BLOCK_MAY_UNMAP)));
            break;
        case 5:
            check_run(n, first, count);
            break;
        case 7:
            note_flush(told(node_flush(n)));
            break;
        default:
            for (uint32_t i = 0; i < count; i++) {
                fill_sector(buf + i * SECTOR, first + i, op);
            }
            note(first, count, op, told(node_write_buf(
                n, first * SECTOR, buf, count * SECTOR)));
        }
    }
    note_flush(told(node_flush(n)));
}

/* Bitmaps come and go, beside data that stays. */
static void run_bitmaps(BlockNode *n)
{
    static const BlockBitmapCall calls[] = {
        { .op = BITMAP_ADD, .name = "fine", .granularity = 512 },
        { .op = BITMAP_ADD, .name = "coarse" },
        { .op = BITMAP_MERGE, .name = "fine", .source = "coarse" },
        { .op = BITMAP_DISABLE, .name = "coarse" },
        { .op = BITMAP_CLEAR, .name = "fine" },
        { .op = BITMAP_REMOVE, .name = "coarse" },
        { .op = BITMAP_REMOVE, .name = "fine" },
    };
    uint8_t buf[16 * SECTOR];

    for (uint32_t i = 0; i < 16; i++) {
        fill_sector(buf + i * SECTOR, i, 1);
    }
    note(0, 16, 1, told(node_write_buf(n, 0, buf, sizeof(buf))));
    note_flush(told(node_flush(n)));
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autoptr(GError) err = NULL;

        told(node_change_bitmap(n, &calls[i], &err) ? 0 : -EIO);
    }
    note_flush(told(node_flush(n)));
}

typedef struct Format {
    const char *name, *driver, *create;
    bool checked;
    void (*run)(BlockNode *n);
} Format;

static const Format formats[] = {
    { "raw", "raw", "size=2M", false, run },
    { "qcow2", "qcow2", "size=2M,cluster_size=4096", true, run },
    { "qcow2-lazy", "qcow2", "size=2M,cluster_size=4096,lazy_refcounts=on",
      true, run },
    { "qcow2-bitmaps", "qcow2", "size=2M,cluster_size=512", true,
      run_bitmaps },
};

static BlockNode *open_image(const Format *f, GError **err)
{
    g_autofree char *line = g_strdup_printf(
        "driver=%s,discard=unmap,file.driver=file,file.filename=%s",
        f->driver, path);
    g_autoptr(Opt) opts = opt_parse_keyval(line, NULL, NULL, NULL);

    return block_open(opts, err);
}

static void create(const Format *f)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *line = g_strdup_printf("filename=%s,%s", path, f->create);
    g_autoptr(Opt) opts = opt_parse_keyval(line, NULL, NULL, NULL);

    g_unlink(path);
    block_driver_find(f->driver)->create(opts, &err);
    g_assert_no_error(err);
}

static void ask_qemu_img(const Format *f)
{
    g_autofree char *tool = g_find_program_in_path("qemu-img");
    const char *argv[] = { tool, "check", "-q", "-f", f->driver, path,
                           strstr(f->create, "lazy") ? "-r" : NULL, "all",
                           NULL };
    g_autofree char *out = NULL;
    g_autofree char *say = NULL;
    int status;

    if (tool && f->checked) {
        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                                   G_SPAWN_DEFAULT, NULL, NULL, &out, &say,
                                   &status, NULL));
        g_assert_true(WIFEXITED(status));
        g_assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
    }
}

/* With the n-th call failing; false: there are not so many. */
static bool run_once(const Format *f, int error, int n)
{
    g_autoptr(GError) err = NULL;
    BlockNode *node;

    create(f);
    memset(sectors, 0, sizeof(sectors));
    n_errors = 0;
    host.n_calls = 0;
    host.fail_at = n;
    host.error = error;
    host.failed = false;
    node = open_image(f, &err);
    if (!node) {                /* it could not even be looked at */
        g_assert_nonnull(err);
        g_assert_true(host.failed && error != HALF);
        g_clear_error(&err);
    } else {
        f->run(node);
        if (error == HALF) {
            g_assert_cmpuint(n_errors, ==, 0);
        } else if (host.failed && host.kind <= CALL_SYNC) {
            g_assert_cmpuint(n_errors, >, 0);       /* somebody was told */
        }
        if (host.failed && error == EIO && host.kind == CALL_SYNC) {
            g_assert_cmpint(node_flush(node), <, 0);        /* for good */
        }
        node_unref(node);
    }
    host.fail_at = 0;
    only_flushed = host.failed && host.kind == CALL_SYNC;
    ask_qemu_img(f);
    node = open_image(f, &err);
    g_assert_no_error(err);
    n_errors = 0;
    check_run(node, 0, N_SECTORS);
    g_assert_cmpuint(n_errors, ==, 0);
    node_unref(node);
    only_flushed = false;
    return host.failed;
}

static void test_format(gconstpointer opaque)
{
    static const int errors[] = { EIO, ENOSPC, HALF };
    const Format *f = opaque;
    int n = 0;

    if (!block_driver_find(f->driver)) {
        g_test_skip("there is no such driver");
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
        /* Every call with EIO; where there are many, some with the others. */
        int step = f->checked && errors[i] != EIO && !g_test_slow() ? 4 : 1;

        for (n = 1; run_once(f, errors[i], n); n += step) {
            g_assert_cmpint(n, <, MAX_CALLS);
        }
    }
    g_test_message("%s: %d calls", f->name, n - 1);
    g_assert_cmpint(n, >, 20);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-inject-XXXXXX", NULL);
    int ret;

    g_test_init(&argc, &argv, NULL);
    path = g_build_filename(dir, "image", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *name = g_strdup_printf("/inject/%s", formats[i].name);

        g_test_add_data_func(name, &formats[i], test_format);
    }
    ret = g_test_run();
    g_rmdir(dir);
    g_free(path);
    return ret;
}
