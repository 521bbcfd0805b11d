/*
 * The block layer from both ends: coroutines, nodes, backends, drains, locks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/backend.h"
#include "block/drive.h"
#include "block/driver.h"

static char *image;             /* 1 MiB, byte i of it is pattern(i) */
enum { IMAGE_BYTES = 1024 * 1024 };

static uint8_t pattern(size_t i)
{
    return i * 7 + (i >> 9) * 13 + 1;
}

static void make_image(void)
{
    g_autofree uint8_t *bytes = g_malloc(IMAGE_BYTES);
    GError *err = NULL;

    for (size_t i = 0; i < IMAGE_BYTES; i++) {
        bytes[i] = pattern(i);
    }
    g_file_set_contents(image, (char *)bytes, IMAGE_BYTES, &err);
    g_assert_no_error(err);
}

static BlockNode *open_text(const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, &err);
    BlockNode *n;

    g_assert_no_error(err);
    n = block_open(o, &err);
    g_assert_no_error(err);
    return n;
}

static BlockNode *open_raw(const char *more)
{
    g_autofree char *text = g_strdup_printf(
        "raw,file.driver=file,file.filename=%s%s", image, more);

    return open_text(text);
}

static void check_fails(const char *text, const char *glob)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, NULL);

    g_assert_null(block_open(o, &err));
    g_assert_nonnull(err);
    if (!g_pattern_match_simple(glob, err->message)) {
        g_error("%s: %s", text, err->message);
    }
}

/* --- coroutines ---------------------------------------------------------------------- */

static GString *story;

static void tell_twice(void *opaque)
{
    g_string_append_printf(story, "%s1 ", (char *)opaque);
    co_yield();
    g_string_append_printf(story, "%s2 ", (char *)opaque);
}

static Co *sleeper;

static void sleep_once(void *opaque)
{
    sleeper = co_self();
    tell_twice(opaque);
}

static void test_co(void)
{
    story = g_string_new(NULL);
    g_assert_null(co_self());
    g_assert_true(co_start(sleep_once, "a"));
    g_string_append(story, "main ");
    co_enter(sleeper);
    g_assert_null(co_self());
    g_assert_cmpstr(story->str, ==, "a1 main a2 ");
    g_string_free(story, TRUE);
}

static CoMutex mutex;
static CoRwLock rw;
static CoQueue gate;

static void critical(void *opaque)
{
    co_mutex_lock(&mutex);
    g_string_append_printf(story, "+%s", (char *)opaque);
    co_queue_wait(&gate);
    g_string_append_printf(story, "-%s", (char *)opaque);
    co_mutex_unlock(&mutex);
}

static void test_co_mutex(void)
{
    story = g_string_new(NULL);
    g_assert_true(co_start(critical, "a"));
    g_assert_true(co_start(critical, "b"));
    g_assert_true(co_start(critical, "c"));
    while (co_queue_wake(&gate)) {
    }
    g_assert_cmpstr(story->str, ==, "+a-a+b-b+c-c");
    g_assert_false(mutex.locked);
    g_string_free(story, TRUE);
}

static void reader(void *opaque)
{
    co_rw_read(&rw);
    g_string_append(story, "r");
    co_queue_wait(&gate);
    co_rw_unlock(&rw);
}

static void writer(void *opaque)
{
    co_rw_write(&rw);
    g_string_append(story, "W");
    co_queue_wait(&gate);
    g_string_append(story, "w");
    co_rw_unlock(&rw);
}

static void test_co_rw(void)
{
    story = g_string_new(NULL);
    g_assert_true(co_start(reader, NULL));
    g_assert_true(co_start(reader, NULL));
    g_assert_true(co_start(writer, NULL));
    g_assert_true(co_start(reader, NULL));     /* behind the writer */
    g_assert_cmpstr(story->str, ==, "rr");
    while (co_queue_wake(&gate)) {
    }
    g_assert_cmpstr(story->str, ==, "rrWwr");
    g_string_free(story, TRUE);
}

/* --- windows ------------------------------------------------------------------------- */

static void test_iov(void)
{
    char a[] = "abc", b[] = "", c[] = "defgh", out[9] = "";
    struct iovec v[] = { { a, 3 }, { b, 0 }, { c, 5 } }, got[4];
    IoVec w = iov_all(v, 3);
    size_t bytes;

    g_assert_cmpuint(iov_bytes(w), ==, 8);
    g_assert_cmpuint(iov_get(iov_slice(w, 2), out, 8), ==, 6);
    g_assert_cmpstr(out, ==, "cdefgh");
    g_assert_cmpuint(iov_take(iov_slice(w, 1), 4, got, 4, &bytes), ==, 2);
    g_assert_cmpuint(bytes, ==, 4);
    g_assert_cmpuint(iov_put(iov_slice(w, 3), "12", 2), ==, 2);
    g_assert_cmpstr(c, ==, "12fgh");
    g_assert_false(iov_is_zero(w, 8));
    iov_fill(w, 0, 8);
    g_assert_true(iov_is_zero(w, 8));
}

/* --- nodes ----------------------------------------------------------------------------- */

static void check_bytes(BlockNode *n, uint64_t at, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);

    g_assert_cmpint(node_read_buf(n, at, buf, len), ==, 0);
    for (size_t i = 0; i < len; i++) {
        if (buf[i] != (at + i < IMAGE_BYTES ? pattern(at + i) : 0)) {
            g_error("byte %zu of %zu at %" PRIu64, i, len, at);
        }
    }
}

static void test_read(void)
{
    BlockNode *n = open_raw("");

    g_assert_cmpuint(node_length(n), ==, IMAGE_BYTES);
    check_bytes(n, 0, 512);
    check_bytes(n, 12345, 70000);
    check_bytes(n, IMAGE_BYTES - 100, 300);     /* zeroes behind the end */
    node_unref(n);
}

static void test_write(void)
{
    BlockNode *n = open_raw("");
    uint8_t buf[1000];

    memset(buf, 0xaa, sizeof(buf));
    g_assert_cmpint(node_write_buf(n, 777, buf, 1000), ==, 0);
    g_assert_cmpint(node_flush(n), ==, 0);
    check_bytes(n, 0, 777);
    check_bytes(n, 1777, 5000);
    g_assert_cmpint(node_read_buf(n, 777, buf, 1), ==, 0);
    g_assert_cmphex(buf[0], ==, 0xaa);
    g_assert_cmpint(node_write_zeroes(n, 100, 9000, 0), ==, 0);
    memset(buf, 1, sizeof(buf));
    g_assert_cmpint(node_read_buf(n, 8100, buf, 1000), ==, 0);
    g_assert_true(mem_is_zero(buf, 1000));
    check_bytes(n, 9100, 100);
    g_assert_cmpint(node_write_buf(n, IMAGE_BYTES - 10, buf, 20), ==, -EIO);
    node_unref(n);
    make_image();
}

/* Odd requests to a node that takes 4 KiB blocks only: O_DIRECT, where the
 * file system has it; the overlay is another such node. */
static void test_unaligned(void)
{
    BlockNode *base = open_raw(",read-only=on"), *n;
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *model = g_malloc(IMAGE_BYTES);
    g_autofree uint8_t *now = g_malloc(IMAGE_BYTES);

    n = block_open_overlay(base, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(node_alignment(n), ==, 4096);
    for (size_t i = 0; i < IMAGE_BYTES; i++) {
        model[i] = pattern(i);
    }
    for (unsigned i = 0; i < 300; i++) {
        size_t at = g_test_rand_int_range(0, IMAGE_BYTES);
        size_t len = g_test_rand_int_range(1, 20000);
        int byte = g_test_rand_int_range(0, 256);

        len = MIN(len, IMAGE_BYTES - at);
        memset(model + at, byte, len);
        if (byte < 20) {
            memset(model + at, 0, len);
            g_assert_cmpint(node_write_zeroes(n, at, len, 0), ==, 0);
        } else {
            g_assert_cmpint(node_write_buf(n, at, model + at, len), ==, 0);
        }
    }
    for (size_t at = 0; at < IMAGE_BYTES; at += 1000) {
        g_assert_cmpint(node_read_buf(n, at, now + at,
                                      MIN(1000, IMAGE_BYTES - at)), ==, 0);
    }
    g_assert_cmpmem(now, IMAGE_BYTES, model, IMAGE_BYTES);
    check_bytes(base, 0, IMAGE_BYTES);          /* untouched */
    node_unref(n);
    node_unref(base);
}

/* Many at once whose blocks overlap: no byte of one may undo another's. */
typedef struct Slice {
    BlockNode *n;
    unsigned i;
    unsigned *left;
} Slice;

static void write_slice(void *opaque)
{
    Slice *s = opaque;
    uint8_t buf[100];

    memset(buf, s->i + 1, sizeof(buf));
    g_assert_cmpint(node_write_buf(s->n, 100 * s->i, buf, 100), ==, 0);
    --*s->left;
}

static void test_overlapping_blocks(void)
{
    BlockNode *base = open_raw(",read-only=on");
    BlockNode *n = block_open_overlay(base, NULL);
    Slice s[200];
    unsigned left = G_N_ELEMENTS(s);
    uint8_t buf[100];

    for (unsigned i = 0; i < G_N_ELEMENTS(s); i++) {
        s[i] = (Slice) { n, i, &left };
        g_assert_true(co_start(write_slice, &s[i]));
    }
    while (left) {
        block_ctx_poll(node_ctx(n));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(s); i++) {
        g_assert_cmpint(node_read_buf(n, 100 * i, buf, 100), ==, 0);
        for (unsigned j = 0; j < 100; j++) {
            g_assert_cmphex(buf[j], ==, i + 1);
        }
    }
    node_unref(n);
    node_unref(base);
}

/* Each way of host I/O: slices at once, past the end, flushed. */
static void check_aio(const char *how)
{
    g_autofree char *text = g_strdup_printf(
        "raw,cache.direct=%s,file.driver=file,file.filename=%s,file.aio=%s",
        g_str_equal(how, "native") ? "on" : "off", image, how);
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *n = block_open(o, &err);
    Slice s[300];
    unsigned left = G_N_ELEMENTS(s);
    uint8_t buf[100];

    if (!n) {                   /* the host, or its file system, has it not */
        g_test_skip(err->message);
        return;
    }
    check_bytes(n, 0, IMAGE_BYTES);
    for (unsigned i = 0; i < G_N_ELEMENTS(s); i++) {
        s[i] = (Slice) { n, i, &left };
        g_assert_true(co_start(write_slice, &s[i]));
    }
    while (left) {
        block_ctx_poll(node_ctx(n));
    }
    g_assert_cmpint(node_flush(n), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(s); i++) {
        g_assert_cmpint(node_read_buf(n, 100 * i, buf, 100), ==, 0);
        g_assert_cmphex(buf[0] ^ (i + 1), ==, (i + 1) & ~0xffu);
        g_assert_cmphex(buf[99], ==, buf[0]);
    }
    check_bytes(n, 30000, IMAGE_BYTES - 30000);
    node_unref(n);
    make_image();
}

static void test_threads(void)
{
    check_aio("threads");
}

static void test_io_uring(void)
{
    check_aio("io_uring");
}

static void test_native(void)
{
    check_aio("native");
}

/* The format is found out whatever host I/O will be used. */
static void test_probe_native(void)
{
    g_autoptr(Opt) o = opt_parse_keyval("aio=native,cache.direct=on,"
                                        "read-only=on", NULL, NULL, NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *n = block_open_file(image, NULL, o, &err);

    if (!n) {                   /* not for the reason of a wrong option */
        g_assert_null(strstr(err->message, "requires cache.direct"));
        g_test_skip(err->message);
        return;
    }
    g_assert_cmpstr(node_driver_name(n), ==, "raw");
    node_unref(n);
}

static void test_status(void)
{
    g_autofree char *sparse = g_strconcat(image, ".sparse", NULL);
    g_autofree char *text = g_strdup_printf(
        "raw,file.driver=file,file.filename=%s", sparse);
    int fd = open(sparse, O_CREAT | O_RDWR | O_TRUNC, 0600);
    BlockStatus st;
    BlockNode *n;

    g_assert_cmpint(ftruncate(fd, IMAGE_BYTES), ==, 0);
    g_assert_cmpint(pwrite(fd, text, 10, 512 * 1024), ==, 10);
    close(fd);
    n = open_text(text);
    g_assert_cmpint(node_status(n, 0, IMAGE_BYTES, &st), ==, 0);
    g_assert_cmphex(st.flags & (BLOCK_ZERO | BLOCK_DATA), ==, BLOCK_ZERO);
    g_assert_cmpuint(st.bytes, ==, 512 * 1024);
    g_assert_cmpint(node_status(n, 512 * 1024, IMAGE_BYTES, &st), ==, 0);
    g_assert_cmphex(st.flags & BLOCK_DATA, ==, BLOCK_DATA);
    node_unref(n);
    g_unlink(sparse);
}

static void test_resize(void)
{
    BlockNode *n = open_raw("");
    g_autoptr(GError) err = NULL;

    node_truncate(n, 2 * IMAGE_BYTES, PREALLOC_FALLOC, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(node_length(n), ==, 2 * IMAGE_BYTES);
    check_bytes(n, 0, IMAGE_BYTES + 5000);
    g_assert_false(node_truncate(n, IMAGE_BYTES, PREALLOC_METADATA, &err));
    g_assert_nonnull(err);
    node_unref(n);
    make_image();
}

/* --- options ------------------------------------------------------------------------------ */

static void test_mistakes(void)
{
    static const char *const table[][2] = {
        { "rwa", "*unknown block driver 'rwa'; did you mean 'raw'?" },
        { "node-name=x", "parameter 'driver' is missing" },
        { "raw", "parameter 'file' is missing*" },
        { "raw,file=nope", "there is no node 'nope' for 'file'" },
        { "file", "the 'file' block driver requires a file name" },
        { "file,filename=/nowhere/x",
          "could not open '/nowhere/x': No such file or directory" },
        { "file,filename=/", "could not open '/': *irectory" },
        { "file,filename=/dev/null",
          "could not open '/dev/null': neither a regular file nor a block "
          "device" },
        { "null-co,sise=1", "*'sise'*did you mean 'size'*" },
        { "null-co,node-name=1", "*expects an identifier*not '1'" },
        { "null-co,detect-zeroes=unmap",
          "detect-zeroes=unmap needs discard=unmap" },
        { "null-co,force-share=on", "force-share=on can be had with*" },
        { "null-co,cache=none", "parameter 'cache' expects cache.direct*" },
        { "null-co,discard=maybe", "*'discard'*'maybe'*" },
        { "raw,file.driver=null-co,offset=2G", "the window*is not within*" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        check_fails(table[i][0], table[i][1]);
    }
}

/* --- backends -------------------------------------------------------------------------------- */

typedef struct Seen {
    unsigned n;
    int ret;
} Seen;

static void on_done(void *opaque, int ret)
{
    Seen *s = opaque;

    g_assert_null(co_self());
    s->n++;
    s->ret = ret;
}

static const BlkDevOps test_dev = { .name = "test-disk" };

static BlockBackend *open_backend(void)
{
    g_autoptr(GError) err = NULL;
    BlockNode *n = open_raw("");
    BlockBackend *blk = blk_new("disk", loop_main());

    g_assert_true(blk_insert(blk, n, &err));
    node_unref(n);
    g_assert_true(blk_attach(blk, &test_dev, NULL, true, false, &err));
    g_assert_no_error(err);
    return blk;
}

static void close_backend(BlockBackend *blk)
{
    blk_detach(blk);
    blk_unref(blk);
}

static void test_backend(void)
{
    BlockBackend *blk = open_backend();
    uint8_t buf[4096];
    struct iovec v = { buf, sizeof(buf) };
    Seen s = { 0 };

    blk_read(blk, 512, 4096, &v, 1, on_done, &s);
    g_assert_cmpuint(s.n, ==, 0);       /* never before it has returned */
    blk_drain(blk);
    g_assert_cmpuint(s.n, ==, 1);
    g_assert_cmpint(s.ret, ==, 0);
    g_assert_cmphex(buf[5], ==, pattern(517));
    blk_read(blk, IMAGE_BYTES - 512, 4096, &v, 1, on_done, &s);
    blk_drain(blk);
    g_assert_cmpint(s.ret, ==, -EIO);
    blk_flush(blk, on_done, &s);
    blk_drain(blk);
    g_assert_cmpint(s.ret, ==, 0);
    close_backend(blk);
}

static void test_drain_holds_back(void)
{
    BlockBackend *blk = open_backend();
    uint8_t buf[512];
    struct iovec v = { buf, sizeof(buf) };
    Seen s = { 0 };

    blk_drain_begin(blk);
    blk_read(blk, 0, 512, &v, 1, on_done, &s);
    for (unsigned i = 0; i < 10; i++) {
        while (loop_iterate(loop_main(), false)) {
        }
        g_usleep(1000);
    }
    g_assert_cmpuint(s.n, ==, 0);
    blk_drain_end(blk);
    blk_drain(blk);
    g_assert_cmpuint(s.n, ==, 1);
    close_backend(blk);
}

static void test_eject(void)
{
    BlockBackend *blk = open_backend();
    uint8_t buf[512];
    struct iovec v = { buf, sizeof(buf) };
    Seen s = { 0 };

    blk_read(blk, 0, 512, &v, 1, on_done, &s);
    blk_eject(blk);
    g_assert_cmpuint(s.n, ==, 1);
    g_assert_cmpint(s.ret, ==, 0);
    blk_read(blk, 0, 512, &v, 1, on_done, &s);
    blk_drain(blk);
    g_assert_cmpint(s.ret, ==, -ENOMEDIUM);
    close_backend(blk);
}

/* Another loop with a thread of its own takes the whole tree. */
typedef struct There {
    BlockBackend *blk;
    struct iovec v;
    Seen seen;
    unsigned left;
    GMutex lock;
    GCond cond;
} There;

static void read_there(void *opaque);

static void done_there(void *opaque, int ret)
{
    There *t = opaque;

    g_assert_cmpint(ret, ==, 0);
    g_assert_true(loop_is_current(blk_loop(t->blk)));
    if (--t->left) {
        read_there(t);
        return;
    }
    g_mutex_lock(&t->lock);
    t->seen.n = 1;
    g_cond_signal(&t->cond);
    g_mutex_unlock(&t->lock);
}

static void read_there(void *opaque)
{
    There *t = opaque;

    blk_read(t->blk, 512 * (t->left % 100), 512, &t->v, 1, done_there, t);
}

static void test_iothread(void)
{
    Loop *loop = loop_new_thread("io-test");
    BlockBackend *blk = open_backend();
    g_autoptr(GError) err = NULL;
    uint8_t buf[512];
    There t = { .blk = blk, .v = { buf, 512 }, .left = 500 };

    g_assert_true(blk_set_loop(blk, loop, &err));
    g_mutex_init(&t.lock);
    g_cond_init(&t.cond);
    loop_call(loop, read_there, &t);
    g_mutex_lock(&t.lock);
    while (!t.seen.n) {
        g_cond_wait(&t.cond, &t.lock);
    }
    g_mutex_unlock(&t.lock);
    check_bytes(blk_node(blk), 0, 4096);        /* waits for the other one */
    g_assert_true(blk_set_loop(blk, loop_main(), &err));
    check_bytes(blk_node(blk), 0, 4096);
    close_backend(blk);
    block_ctx_free(loop);
    loop_free(loop);
}

/* --- permissions and locks --------------------------------------------------------------------- */

static void test_users(void)
{
    BlockBackend *blk = open_backend();
    g_autoptr(GError) err = NULL;
    BlockUse *use;

    g_assert_false(blk_attach(blk, &test_dev, NULL, true, false, &err));
    g_assert_cmpstr(err->message, ==, "drive 'disk' is already in use by "
                    "device 'test-disk'");
    g_clear_error(&err);
    use = node_use(blk_node(blk), "job", BLOCK_PERM_WRITE, BLOCK_PERM_ALL,
                   &err);
    g_assert_null(use);
    g_assert_nonnull(strstr(err->message, "device 'test-disk'"));
    close_backend(blk);
}

/* Another process that writes has it: it is named. */
static void test_lock(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *pid_text = NULL;
    int up[2], down[2];
    char c;
    BlockNode *n;
    pid_t pid;

    g_assert_cmpint(pipe(up) | pipe(down), ==, 0);
    pid = fork();
    if (!pid) {
        BlockBackend *blk = open_backend();

        close(down[1]);
        if (write(up[1], "x", 1) == 1 && read(down[0], &c, 1) >= 0) {
            close_backend(blk);
        }
        _exit(0);
    }
    close(down[0]);
    g_assert_cmpint(read(up[0], &c, 1), ==, 1);
    n = open_raw("");
    g_assert_null(node_use(n, "me", BLOCK_PERM_WRITE, BLOCK_PERM_READ, &err));
    pid_text = g_strdup_printf("process %d (", pid);
    g_assert_nonnull(strstr(err->message, pid_text));
    g_assert_nonnull(strstr(err->message, "node-test"));
    g_assert_cmpint(err->code, ==, BLOCK_ERROR_LOCKED);
    node_unref(n);
    close(down[1]);
    waitpid(pid, NULL, 0);
    close(up[0]);
    close(up[1]);
    n = open_raw("");
    BlockUse *use = node_use(n, "me", BLOCK_PERM_WRITE, BLOCK_PERM_READ,
                             NULL);
    g_assert_nonnull(use);
    node_unuse(use);
    node_unref(n);
}

static void test_probed_raw(void)
{
    g_autoptr(GError) err = NULL;
    BlockNode *n = block_open_file(image, NULL, NULL, &err);

    g_assert_no_error(err);
    g_assert_cmpstr(node_driver_name(n), ==, "raw");
    check_bytes(n, 0, 4096);
    node_unref(n);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-block-XXXXXX", NULL);
    int ret;

    g_test_init(&argc, &argv, NULL);
    image = g_build_filename(dir, "disk.img", NULL);
    make_image();
    /* First: it forks, and the thread sanitizer loses count of coroutines. */
    g_test_add_func("/lock/other-process", test_lock);
    g_test_add_func("/co/order", test_co);
    g_test_add_func("/co/mutex", test_co_mutex);
    g_test_add_func("/co/rw", test_co_rw);
    g_test_add_func("/iov", test_iov);
    g_test_add_func("/node/read", test_read);
    g_test_add_func("/node/write", test_write);
    g_test_add_func("/node/unaligned", test_unaligned);
    g_test_add_func("/node/overlapping-blocks", test_overlapping_blocks);
    g_test_add_func("/node/aio-threads", test_threads);
    g_test_add_func("/node/aio-io-uring", test_io_uring);
    g_test_add_func("/node/aio-native", test_native);
    g_test_add_func("/node/aio-probe-native", test_probe_native);
    g_test_add_func("/node/status", test_status);
    g_test_add_func("/node/resize", test_resize);
    g_test_add_func("/node/mistakes", test_mistakes);
    g_test_add_func("/node/users", test_users);
    g_test_add_func("/node/probed", test_probed_raw);
    g_test_add_func("/backend/requests", test_backend);
    g_test_add_func("/backend/drain", test_drain_holds_back);
    g_test_add_func("/backend/eject", test_eject);
    g_test_add_func("/backend/iothread", test_iothread);
    ret = g_test_run();
    g_unlink(image);
    g_rmdir(dir);
    g_free(image);
    return ret;
}
