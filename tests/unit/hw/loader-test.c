/*
 * Kernel loaders: placements, memory maps, what is refused and how.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"
#include "pctest.h"

static PcTest *t;

static void test_e820(void)
{
    g_autoptr(GArray) map = e820_from_map(t->m);
    E820Entry *e = (E820Entry *)map->data;

    g_assert_cmpuint(map->len, ==, 2);
    g_assert_cmphex(e[0].start, ==, 0);
    g_assert_cmphex(e[0].len, ==, 0xa0000);
    g_assert_cmphex(e[1].start, ==, 0x100000);
    g_assert_cmphex(e[1].len, ==, 127 * MiB);
    g_assert_true(e820_is_ram(map, 0x100000, 127 * MiB));
    g_assert_false(e820_is_ram(map, 0x100000, 127 * MiB + 1));

    e820_set(map, 0x9fc00, 0x400, E820_RESERVED);
    e820_set(map, 0xe0000, 0x20000, E820_RESERVED);
    e820_set(map, 0x7f00000, 0x10000, E820_ACPI);
    e = (E820Entry *)map->data;
    g_assert_cmpuint(map->len, ==, 6);
    g_assert_cmphex(e[0].len, ==, 0x9fc00);
    g_assert_cmphex(e[1].start, ==, 0x9fc00);
    g_assert_cmpuint(e[1].type, ==, E820_RESERVED);
    g_assert_cmphex(e[2].start, ==, 0xe0000);
    g_assert_cmphex(e[3].start, ==, 0x100000);
    g_assert_cmphex(e[3].len, ==, 0x7e00000);
    g_assert_cmpuint(e[4].type, ==, E820_ACPI);
    g_assert_cmphex(e[5].start, ==, 0x7f10000);
    g_assert_cmphex(e820_low_end(map), ==, 128 * MiB);
}

/* A bzImage of `kernel_bytes` of 'K', as a recent 64-bit kernel describes
 * itself. */
static uint8_t *make_bzimage(size_t kernel_bytes, size_t *len)
{
    size_t setup = 3 * 512;
    uint8_t *f = g_malloc0(setup + kernel_bytes);

    f[0x1f1] = 2;
    store_le32(f + 0x1f4, kernel_bytes / 16);
    store_le16(f + 0x1fe, 0xaa55);
    f[0x201] = 0x6a;
    memcpy(f + 0x202, "HdrS", 4);
    store_le16(f + 0x206, 0x20f);
    f[0x211] = 1;
    store_le32(f + 0x22c, 0x7fffffff);
    store_le32(f + 0x230, 0x200000);
    f[0x234] = 1;
    store_le16(f + 0x236, 0x3f);
    store_le32(f + 0x238, 2047);
    store_le64(f + 0x258, 0x1000000);
    store_le32(f + 0x260, 0x2000000);
    memset(f + setup, 'K', kernel_bytes);
    *len = setup + kernel_bytes;
    return f;
}

static void test_bzimage(void)
{
    size_t len;
    g_autofree uint8_t *k = make_bzimage(0x10000, &len);
    g_autofree uint8_t *rd = g_malloc(10000);
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, len);
    BootFile *initrd = boot_file_from_memory("i", rd, 10000);
    char text[32];
    uint64_t gpa;
    GError *err = NULL;

    memset(rd, 'I', 10000);
    boot_add_file(img, kernel);
    boot_add_file(img, initrd);
    g_assert_true(linux_probe(k, len));
    linux_load(img, kernel, initrd, "console=ttyS0 vga=0x317", &err);
    g_assert_no_error(err);
    /* Without CPUs the 64-bit entry is not taken. */
    g_assert_cmpint(img->mode, ==, BOOT_ENTRY_PROT32);
    g_assert_cmphex(img->entry, ==, 0x1000000);
    g_assert_true(boot_image_write(img));
    g_assert_cmphex(pc_load(0x1000000, 4), ==, 0x4b4b4b4b);
    g_assert_cmphex(pc_load(img->rsi + 0x1fe, 2), ==, 0xaa55);
    g_assert_cmphex(pc_load(img->rsi + 0x210, 1), ==, 0xb0);
    g_assert_cmphex(pc_load(img->rsi + 0x1fa, 2), ==, 0x317);
    gpa = pc_load(img->rsi + 0x218, 4);
    g_assert_cmphex(gpa, ==, ALIGN_DOWN(128 * MiB - 10000, 4096));
    g_assert_cmpuint(pc_load(img->rsi + 0x21c, 4), ==, 10000);
    g_assert_cmphex(pc_load(gpa + 9996, 4), ==, 0x49494949);
    as_read(&as_memory, pc_load(img->rsi + 0x228, 4), text, sizeof(text));
    g_assert_cmpstr(text, ==, "console=ttyS0 vga=0x317");
    g_assert_cmpuint(pc_load(img->rsi + 0x1e8, 1), ==, 2);
    g_assert_cmphex(pc_load(img->rsi + 0x2d0 + 20, 8), ==, 0x100000);
    /* Random seed: type 9, 32 bytes. */
    gpa = pc_load(img->rsi + 0x250, 8);
    g_assert_cmpuint(pc_load(gpa + 8, 4), ==, 9);
    g_assert_cmpuint(pc_load(gpa + 12, 4), ==, 32);
}

static void refuse(const uint8_t *k, size_t len, const char *cmdline,
                   size_t initrd_bytes, const char *part)
{
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, len);
    BootFile *initrd = boot_file_from_memory("i", k, initrd_bytes);
    GError *err = NULL;

    boot_add_file(img, kernel);
    boot_add_file(img, initrd);
    g_assert_false(linux_load(img, kernel, initrd, cmdline, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\"", err->message, part);
    }
    g_error_free(err);
}

static void test_bzimage_refused(void)
{
    size_t len;
    g_autofree uint8_t *k = make_bzimage(0x10000, &len);
    g_autofree char *text = g_strnfill(2048, 'x');

    refuse(k, 0x210, "", 0, "truncated");
    refuse(k, 3 * 512, "", 0, "truncated");
    refuse(k, len - 100, "", 0, "truncated");
    refuse(k, len, text, 0, "-append has 2048");
    refuse(k, len, "", 100 * MiB, "does not fit");
    store_le32(k + 0x260, 0x10000000);
    refuse(k, len, "", 0, "needs 272M");
    store_le64(k + 0x258, 0x1000);
    refuse(k, len, "", 0, "0x1000");
    k[0x211] = 0;
    refuse(k, len, "", 0, "zImage");
}

int main(int argc, char **argv)
{
    t = pc_test_init(&argc, &argv, 128 * MiB);

    g_test_add_func("/loader/e820", test_e820);
    g_test_add_func("/loader/bzimage", test_bzimage);
    g_test_add_func("/loader/bzimage-refused", test_bzimage_refused);
    return g_test_run();
}
