/*
 * qcow2 images with something wrong in them: refused with a line that says
 * what, or found out when it is met, told, and marked; repaired where that can
 * be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/driver.h"
#include "block/image.h"

static char *folder, *image, *second;

/* The image: clusters of 4 KiB: 0 header, 1 refcount table, 2 block, 3 L1,
 * then what write_data() takes: 4 data, 5 L2, 6 data. */
enum { CLUSTER = 4096, DISK_BYTES = 1 << 20, L1 = 3 * CLUSTER,
       BLOCK = 2 * CLUSTER, REFTABLE = CLUSTER, L2 = 5 * CLUSTER };

static BlockNode *open_with(const char *path, const char *more, GError **err)
{
    g_autofree char *text = g_strdup_printf(
        "qcow2,file.driver=file,file.filename=%s%s", path, more);
    g_autoptr(Opt) o = opt_parse_keyval(text, "driver", NULL, NULL);

    return block_open(o, err);
}

static BlockNode *open_image(const char *more)
{
    g_autoptr(GError) err = NULL;
    BlockNode *n = open_with(image, more, &err);

    g_assert_no_error(err);
    return n;
}

static void create(const char *path, const char *keys)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = opt_parse_keyval(keys, NULL, NULL, NULL);

    block_create(path, "qcow2", o, &err);
    g_assert_no_error(err);
}

static void write_data(void)
{
    uint8_t buf[CLUSTER];
    BlockNode *n = open_image("");

    memset(buf, 0x11, sizeof(buf));
    g_assert_cmpint(node_write_buf(n, 0, buf, CLUSTER), ==, 0);
    g_assert_cmpint(node_write_buf(n, 5 * CLUSTER, buf, CLUSTER), ==, 0);
    node_unref(n);
}

static void make_image(const char *more)
{
    g_autofree char *keys = g_strdup_printf("size=%u,cluster_size=%u%s",
                                            DISK_BYTES, CLUSTER, more);

    create(image, keys);
    write_data();
}

static void patch(uint64_t at, unsigned bytes, uint64_t val)
{
    uint8_t buf[8];
    int fd = open(image, O_RDWR);

    store_be64(buf, val << (64 - 8 * bytes));
    g_assert_cmpint(pwrite(fd, buf, bytes, at), ==, bytes);
    close(fd);
}

static uint64_t peek(uint64_t at)
{
    uint8_t buf[8];
    int fd = open(image, O_RDONLY);

    g_assert_cmpint(pread(fd, buf, 8, at), ==, 8);
    close(fd);
    return load_be64(buf);
}

/* --- refused at opening --------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t at;
    unsigned bytes;
    uint64_t val;
    const char *glob;
} bad_headers[] = {
    { "magic", 0, 4, 0, "*not in qcow2 format" },
    { "version 1", 4, 4, 1, "*Unsupported qcow2 version 1" },
    { "version 4", 4, 4, 4, "*Unsupported qcow2 version 4" },
    { "tiny clusters", 20, 4, 8, "*Unsupported cluster size: 2^8" },
    { "huge clusters", 20, 4, 22, "*Unsupported cluster size: 2^22" },
    { "AES", 32, 4, 1, "*encrypted (AES)*" },
    { "LUKS", 32, 4, 2, "*encrypted (LUKS)*" },
    { "disk larger than L1", 24, 8, UINT64_C(1) << 40,
      "*L1 table is too small" },
    { "impossible disk", 24, 8, ~UINT64_C(0), "*size too big" },
    { "huge L1", 36, 4, 0xffffffff, "*Active L1 table too large" },
    { "L1 not aligned", 40, 8, L1 + 8, "*Active L1 table offset invalid" },
    { "L1 behind the end", 40, 8, UINT64_C(1) << 40,
      "*Active L1 table is behind the end*" },
    { "L1 on the header", 40, 8, 0, "*L1 table overlaps the header" },
    { "L1 on the counts", 40, 8, REFTABLE,
      "*count table overlaps the active L1 table" },
    { "no counts", 56, 4, 0, "*does not contain a reference count table" },
    { "huge counts", 56, 4, 0xffff, "*count table*" },
    { "counts not aligned", 48, 8, REFTABLE + 512,
      "*Reference count table offset invalid" },
    { "counts behind the end", 48, 8, UINT64_C(1) << 50,
      "*Reference count table is behind the end*" },
    { "many snapshots", 60, 4, 0xffffff, "*Snapshot table too large" },
    { "snapshots nowhere", 60, 4, 1, "*Snapshot table offset invalid" },
    { "data file", 72, 8, 4, "*external data file*" },
    { "extended L2", 72, 8, 16, "*extended L2 entries*" },
    { "unknown feature", 72, 8, UINT64_C(1) << 40,
      "*Unknown incompatible feature: 10000000000" },
    { "compression bit alone", 72, 8, 8, "*bit must not be set" },
    { "compression alone", 104, 1, 1, "*bit must be set" },
    { "corrupt", 72, 8, 2, "*Image is corrupt; cannot be opened read/write" },
    { "wide counts", 96, 4, 7, "*count entry width too large*" },
    { "short header", 100, 4, 72, "*header too short" },
    { "long header", 100, 4, 8192, "*header exceeds cluster size" },
    { "long extension", 116, 4, 0xffffff, "*extension too large" },
};

static void test_headers(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_headers); i++) {
        g_autoptr(GError) err = NULL;

        make_image("");
        patch(bad_headers[i].at, bad_headers[i].bytes, bad_headers[i].val);
        g_assert_null(open_with(image, "", &err));
        g_assert_nonnull(err);
        if (!g_pattern_match_simple(bad_headers[i].glob, err->message)
            || strchr(err->message, '\n')
            || !strstr(err->message, "image.qcow2")) {
            g_error("%s: %s", bad_headers[i].name, err->message);
        }
    }
}

/* The image's own name for what we do not know. */
static void test_feature_name(void)
{
    g_autoptr(GError) err = NULL;

    make_image("");
    patch(72, 8, UINT64_C(1) << 13);
    patch(120, 2, 13);          /* the first row of its table of names */
    g_assert_null(open_with(image, "", &err));
    g_assert_true(g_str_has_suffix(err->message,
                                   "Unsupported qcow2 feature(s): dirty "
                                   "bit"));
}

static void test_truncated(void)
{
    static const unsigned lengths[] = { 0, 3, 71, 103, 511, 4096, 8191, 12288,
                                        16384, 20480 };

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GError) err = NULL;
        BlockNode *n;

        make_image("");
        g_assert_cmpint(truncate(image, lengths[i]), ==, 0);
        n = open_with(image, ",read-only=on", &err);
        g_assert_true(!n == !!err);
        if (n) {                /* the tables are there, the data is not */
            uint8_t byte;

            g_assert_cmpuint(lengths[i], >, L1);
            g_assert_cmpint(node_read_buf(n, 5 * CLUSTER, &byte, 1), ==,
                            -EIO);
            node_unref(n);
        }
    }
}

/* --- found when they are met ---------------------------------------------- */

typedef struct Damage {
    const char *name;
    uint64_t at;
    unsigned bytes;
    uint64_t val;
    bool reads;                 /* reading finds it; else writing does */
} Damage;

static const Damage damages[] = {
    { "L2 not aligned", L1, 8, 0x8000000000005200, true },
    { "L2 behind the end", L1, 8, 0x8000000100000000, true },
    { "data not aligned", L2, 8, 0x8000000000004200, true },
    { "data behind the end", L2, 8, 0x8000000100000000, true },
    { "packed behind the end", L2, 8, 0x4000000100000000, true },
    { "L2 on the header", L1, 8, 0x8000000000000000 + BLOCK,
      false },
    { "data on the header's tables", L2, 8, 0x8000000000000000 + L1,
      false },
    { "data on L2", L2, 8, 0x8000000000000000 + L2, false },
    { "data on counts", L2, 8, 0x8000000000000000 + BLOCK, false },
};

static void test_met(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        const Damage *d = &damages[i];
        uint8_t buf[CLUSTER] = { 1 };
        GError *err = NULL;
        BlockNode *n;
        int ret;

        make_image("");
        patch(d->at, d->bytes, d->val);
        n = open_image("");
        ret = node_read_buf(n, 0, buf, CLUSTER);
        if (d->reads) {
            g_assert_cmpint(ret, ==, -EIO);
        }
        ret = node_write_buf(n, 0, buf, CLUSTER);
        if (ret != -EIO) {
            g_error("%s: written: %d", d->name, ret);
        }
        /* From now on it is not written at all, and that is remembered. */
        g_assert_cmpint(node_write_buf(n, 9 * CLUSTER, buf, CLUSTER), ==,
                        -EIO);
        node_unref(n);
        g_assert_cmphex(peek(72), ==, 2);
        g_assert_null(open_with(image, "", &err));
        g_clear_error(&err);
        n = open_image(",read-only=on");
        node_unref(n);
    }
}

/* --- repaired ------------------------------------------------------------- */

/* `leaks`: -1 for some number. */
static void check_repair(const char *what, int64_t leaks, bool corrupt)
{
    BlockCheck k = { 0 };
    BlockNode *n = open_image(",x-check=on");
    uint8_t byte;

    g_assert_cmpint(node_check(n, 0, &k), ==, 0);
    if ((leaks >= 0 && k.leaks != (uint64_t)leaks)
        || !k.corruptions != !corrupt) {
        g_error("%s: %" PRIu64 " leaks, %" PRIu64 " errors", what, k.leaks,
                k.corruptions);
    }
    k = (BlockCheck) { 0 };
    g_assert_cmpint(node_check(n, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, &k), ==,
                    0);
    g_assert_cmpuint(k.corruptions, ==, k.corruptions_fixed);
    k = (BlockCheck) { 0 };
    g_assert_cmpint(node_check(n, 0, &k), ==, 0);
    if (k.leaks || k.corruptions || k.check_errors) {
        g_error("%s: not repaired", what);
    }
    node_unref(n);
    n = open_image("");
    g_assert_cmpint(node_read_buf(n, 5 * CLUSTER, &byte, 1), ==, 0);
    g_assert_cmphex(byte, ==, 0x11);
    node_unref(n);
}

static void test_repair(void)
{
    make_image("");
    check_repair("nothing", 0, false);
    patch(BLOCK + 2 * 4, 2, 3);         /* the first data's count */
    check_repair("a count too high", 1, true);  /* and COPIED is wrong */
    make_image("");
    patch(BLOCK + 2 * 6, 2, 0);
    check_repair("a count too low", 0, true);
    make_image("");
    patch(BLOCK + 2 * 100, 2, 1);
    g_assert_cmpint(truncate(image, 101 * CLUSTER), ==, 0);
    check_repair("a leak", 1, false);
    make_image("");
    patch(L2, 8, peek(L2) & ~(UINT64_C(1) << 63));
    check_repair("COPIED", 0, true);
    make_image("");
    patch(REFTABLE, 8, 0);
    check_repair("no block", -1, true);
    make_image("");
    patch(REFTABLE, 8, L2);
    check_repair("the block is an L2 table", -1, true);
    make_image("");
    patch(REFTABLE, 8, BLOCK + 512);
    check_repair("the block is not aligned", -1, true);
    make_image("");
    patch(72, 8, 2);
    patch(BLOCK + 2 * 6, 2, 0);
    check_repair("corrupt bit", 0, true);
}

/* What a killed writer leaves with lazy counts. */
static void test_dirty(void)
{
    BlockNode *n;
    BlockCheck k = { 0 };

    make_image(",lazy_refcounts=on");
    g_assert_cmphex(peek(72), ==, 0);           /* it was closed */
    for (unsigned i = 4; i < 7; i++) {
        patch(BLOCK + 2 * i, 2, 0);
    }
    patch(72, 8, 1);
    n = open_image(",read-only=on");
    g_assert_true(node_is_dirty(n));
    node_unref(n);
    n = open_image("");                         /* counts are made anew */
    g_assert_false(node_is_dirty(n));
    g_assert_cmpint(node_check(n, 0, &k), ==, 0);
    g_assert_cmpuint(k.corruptions + k.leaks, ==, 0);
    node_unref(n);
}

/* --- chains --------------------------------------------------------------- */

static void check_chain(const char *file, const char *format,
                        const char *glob)
{
    g_autofree char *keys = g_strdup_printf(
        "size=1M,backing_file=%s%s%s", file, format ? ",backing_fmt=" : "",
        format ? format : "");
    g_autoptr(GError) err = NULL;

    create(image, keys);
    g_assert_null(open_with(image, "", &err));
    if (!g_pattern_match_simple(glob, err->message)) {
        g_error("%s: %s", file, err->message);
    }
    /* Without it, the image itself is fine. */
    BlockNode *n = open_image(",backing=");

    node_unref(n);
}

static void test_chains(void)
{
    g_autofree char *keys = g_strdup_printf(
        "size=1M,backing_file=%s,backing_fmt=qcow2", image);

    check_chain("nosuch", "raw", "*backing file: *nosuch*No such file*");
    check_chain("image.qcow2", "qcow2", "*creates an infinite loop");
    check_chain("/dev/null", "raw", "*neither a regular file nor*");
    check_chain("x", "rwa", "*unknown block driver 'rwa'*");
    check_chain("nbd:x", "raw", "*unknown protocol 'nbd'*");
    check_chain("json:{'driver':'qcow2'}", NULL, "*'file' is missing*");
    create(second, keys);
    check_chain("second.qcow2", "qcow2", "*creates an infinite loop");
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("rhea-damage-XXXXXX", NULL);
    image = g_build_filename(folder, "image.qcow2", NULL);
    second = g_build_filename(folder, "second.qcow2", NULL);
    g_test_add_func("/qcow2/damage/headers", test_headers);
    g_test_add_func("/qcow2/damage/feature-name", test_feature_name);
    g_test_add_func("/qcow2/damage/truncated", test_truncated);
    g_test_add_func("/qcow2/damage/met", test_met);
    g_test_add_func("/qcow2/damage/repair", test_repair);
    g_test_add_func("/qcow2/damage/dirty", test_dirty);
    g_test_add_func("/qcow2/damage/chains", test_chains);
    ret = g_test_run();
    g_unlink(image);
    g_unlink(second);
    g_rmdir(folder);
    g_free(image);
    g_free(second);
    g_free(folder);
    return ret;
}
