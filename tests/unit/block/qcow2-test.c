/*
 * qcow2 against a plain buffer: random requests, flushes, reopening, snapshots,
 * for each cluster size and each width of counts; the image is sound at the
 * end, in our own eyes and in those of qemu-img where that is installed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/driver.h"
#include "block/image.h"

static char *folder, *image, *base;

enum { DISK_BYTES = 3 * 1024 * 1024 + 512 };

typedef struct Model {
    BlockNode *n;
    uint8_t *now;
    uint8_t *saved;             /* a snapshot's bytes, or NULL */
    char *options;              /* more keys at opening */
    unsigned max_bytes;
    bool packs, counts_shared;
    bool narrow;                /* counts of less than 16 bits */
} Model;

static BlockNode *open_image(const char *path, const char *more)
{
    g_autofree char *text = g_strdup_printf(
        "qcow2,discard=unmap,cache.no-flush=on,file.driver=file,"
        "file.filename=%s%s", path,
        more ? more : "");
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, &err);
    BlockNode *n;

    g_assert_no_error(err);
    n = block_open(o, &err);
    g_assert_no_error(err);
    return n;
}

static void create(const char *path, const char *keys)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(keys, NULL, NULL, &err);

    g_assert_no_error(err);
    block_create(path, "qcow2", o, &err);
    g_assert_no_error(err);
}

static bool have_qemu_img(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-img");

    return path != NULL;
}

/* Our check and, where there is one, the other's. */
static void check_sound(const char *path, uint64_t leaks_allowed)
{
    BlockNode *n = open_image(path, ",read-only=on");
    BlockCheck k = { .log = g_string_new(NULL) };

    g_assert_cmpint(node_check(n, 0, &k), ==, 0);
    if (k.corruptions || k.check_errors || k.leaks > leaks_allowed) {
        g_error("%s", k.log->str);
    }
    g_string_free(k.log, TRUE);
    node_unref(n);
    if (have_qemu_img()) {
        g_autofree char *line = g_strdup_printf("qemu-img check -q '%s'",
                                                path);
        int status = 0;

        g_assert_true(g_spawn_command_line_sync(line, NULL, NULL, &status,
                                                NULL));
        g_assert_true(!status
                      || (leaks_allowed && WEXITSTATUS(status) == 3));
    }
}

/* --- one step of the model ------------------------------------------------ */

static void pick(const Model *m, size_t *at, size_t *len)
{
    *at = g_test_rand_int_range(0, DISK_BYTES);
    *len = g_test_rand_int_range(1, m->max_bytes);
    if (g_test_rand_int_range(0, 3) == 0) {     /* whole clusters, often */
        uint64_t c = node_cluster_bytes(m->n);

        *at = ALIGN_DOWN(*at, c);
        *len = ALIGN_UP(*len, c);
    }
    *len = MIN(*len, DISK_BYTES - *at);
}

static void compare_range(Model *m, size_t at, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);

    g_assert_cmpint(node_read_buf(m->n, at, buf, len), ==, 0);
    for (size_t i = 0; i < len; i++) {
        if (buf[i] != m->now[at + i]) {
            g_error("byte %zu: %02x, wanted %02x (%zu bytes at %zu)", at + i,
                    buf[i], m->now[at + i], len, at);
        }
    }
}

static void write_some(Model *m, size_t at, size_t len)
{
    uint8_t seed = g_test_rand_int();

    for (size_t i = 0; i < len; i++) {
        m->now[at + i] = seed + i / 7 + (i & 1 ? i >> 8 : 0);
    }
    g_assert_cmpint(node_write_buf(m->n, at, m->now + at, len), ==, 0);
}

static void write_packed(Model *m)
{
    uint64_t c = node_cluster_bytes(m->n);
    size_t at = ALIGN_DOWN((uint64_t)g_test_rand_int_range(0, DISK_BYTES), c);
    size_t len = MIN(c, DISK_BYTES - at);

    for (size_t i = 0; i < len; i++) {
        m->now[at + i] = i / 100 + at / 1000;
    }
    g_assert_cmpint(node_write_compressed(m->n, at, m->now + at, len), ==,
                    0);
}

static void discard_some(Model *m, size_t at, size_t len)
{
    uint64_t c = node_cluster_bytes(m->n);
    size_t first = ALIGN_UP((uint64_t)at, c);
    size_t last = at + len == DISK_BYTES ? at + len
                  : ALIGN_DOWN((uint64_t)at + len, c);

    g_assert_cmpint(node_discard(m->n, at, len), ==, 0);
    if (first < last) {         /* either as before or zeroes: ask */
        g_assert_cmpint(node_read_buf(m->n, first, m->now + first,
                                      last - first), ==, 0);
    }
}

static void reopen(Model *m)
{
    node_unref(m->n);
    m->n = open_image(image, m->options);
}

static void snapshot_step(Model *m)
{
    if (!m->counts_shared) {
        return;
    }
    if (!m->saved) {
        int ret = node_create_snapshot(m->n, "one");

        if (ret == -ERANGE && m->narrow) {
            return;             /* counts are full: nothing has changed */
        }
        g_assert_cmpint(ret, ==, 0);
        m->saved = g_memdup2(m->now, DISK_BYTES);
        return;
    }
    if (g_test_rand_bit()) {
        int ret = node_apply_snapshot(m->n, 0);

        if (ret != -ERANGE || !m->narrow) {
            g_assert_cmpint(ret, ==, 0);
            memcpy(m->now, m->saved, DISK_BYTES);
        }
        compare_range(m, 0, DISK_BYTES);
        return;
    }
    g_assert_cmpint(node_remove_snapshot(m->n, 0), ==, 0);
    g_clear_pointer(&m->saved, g_free);
}

static void step(Model *m)
{
    size_t at, len;

    pick(m, &at, &len);
    switch (g_test_rand_int_range(0, 40)) {
    case 0 ... 15:
        write_some(m, at, len);
        break;
    case 16 ... 20:
        memset(m->now + at, 0, len);
        g_assert_cmpint(node_write_zeroes(m->n, at, len, g_test_rand_bit()
                                          ? BLOCK_MAY_UNMAP : 0), ==, 0);
        break;
    case 21 ... 24:
        discard_some(m, at, len);
        break;
    case 25 ... 27:
        if (m->packs) {
            write_packed(m);
        }
        break;
    case 28 ... 29:
        g_assert_cmpint(node_flush(m->n), ==, 0);
        break;
    case 30:
        snapshot_step(m);
        break;
    case 31:
        reopen(m);
        break;
    default:
        compare_range(m, at, len);
    }
}

static void run_model(const char *keys, const char *options, unsigned steps,
                      bool packs, bool shared)
{
    Model m = {
        .now = g_malloc0(DISK_BYTES), .packs = packs,
        .options = (char *)options, .max_bytes = 200000,
        .counts_shared = shared, .narrow = strstr(keys, "refcount_bits"),
    };
    g_autofree char *all = g_strdup_printf("size=%u%s", DISK_BYTES, keys);

    create(image, all);
    m.n = open_image(image, options);
    if (strstr(keys, "backing_file")) {
        g_assert_cmpint(node_read_buf(m.n, 0, m.now, DISK_BYTES), ==, 0);
    }
    for (unsigned i = 0; i < steps; i++) {
        step(&m);
    }
    compare_range(&m, 0, DISK_BYTES);
    reopen(&m);
    compare_range(&m, 0, DISK_BYTES);
    node_unref(m.n);
    check_sound(image, 0);
    g_free(m.now);
    g_free(m.saved);
}

/* --- the cases ------------------------------------------------------------ */

static void test_cluster_sizes(void)
{
    for (unsigned bits = 9; bits <= 21; bits++) {
        g_autofree char *keys = g_strdup_printf(",cluster_size=%u",
                                                1u << bits);

        run_model(keys, NULL, bits < 11 ? 150 : 250, true, true);
    }
}

static void test_refcount_bits(void)
{
    for (unsigned order = 0; order <= 6; order++) {
        g_autofree char *keys = g_strdup_printf(
            ",cluster_size=4096,refcount_bits=%u", 1u << order);

        run_model(keys, NULL, 250, true, order > 0);
    }
}

static void test_version_2(void)
{
    run_model(",compat=0.10,cluster_size=4096", NULL, 250, true, true);
}

static void test_small_caches(void)
{
    run_model(",cluster_size=512", ",l2-cache-size=1,refcount-cache-size=1",
              150, true, true);
}

static void test_lazy(void)
{
    run_model(",cluster_size=4096,lazy_refcounts=on", NULL, 250, true, true);
}

static void test_zstd(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval("size=1M,compression_type=zstd", NULL,
                                        NULL, NULL);

    if (!block_create(image, "qcow2", o, &err)) {
        g_test_skip(err->message);
        return;
    }
    run_model(",compression_type=zstd", NULL, 250, true, true);
}

/* Two images with a file below that is shorter than they are. */
static void test_backing(void)
{
    g_autofree char *keys = g_strdup_printf(
        ",cluster_size=4096,backing_file=%s,backing_fmt=qcow2", base);
    BlockNode *n;
    uint8_t buf[1000];

    create(base, "size=2000000,cluster_size=65536");
    n = open_image(base, NULL);
    for (unsigned i = 0; i < 300; i++) {
        memset(buf, i, sizeof(buf));
        g_assert_cmpint(node_write_buf(n, i * 6000, buf, 1000), ==, 0);
    }
    node_unref(n);
    run_model(keys, NULL, 300, true, true);
    keys = (g_free(keys), g_strdup_printf(
        ",compat=0.10,backing_file=%s,backing_fmt=qcow2", base));
    run_model(keys, NULL, 300, true, true);
}

static void test_preallocated(void)
{
    run_model(",cluster_size=4096,preallocation=metadata", NULL, 200, true,
              true);
    run_model(",preallocation=falloc", NULL, 200, true, true);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("rhea-qcow2-XXXXXX", NULL);
    image = g_build_filename(folder, "image.qcow2", NULL);
    base = g_build_filename(folder, "base.qcow2", NULL);
    g_test_add_func("/qcow2/cluster-sizes", test_cluster_sizes);
    g_test_add_func("/qcow2/refcount-bits", test_refcount_bits);
    g_test_add_func("/qcow2/version-2", test_version_2);
    g_test_add_func("/qcow2/small-caches", test_small_caches);
    g_test_add_func("/qcow2/lazy", test_lazy);
    g_test_add_func("/qcow2/zstd", test_zstd);
    g_test_add_func("/qcow2/backing", test_backing);
    g_test_add_func("/qcow2/preallocated", test_preallocated);
    ret = g_test_run();
    g_unlink(image);
    g_unlink(base);
    g_rmdir(folder);
    g_free(image);
    g_free(base);
    g_free(folder);
    return ret;
}
