/*
 * cfi.pflash01 on an image: commands, locks, the query table, what is stored.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>

#include "block/drive.h"
#include "hw/block/pflash.h"
#include "pctest.h"

#define CHIP    UINT64_C(0xffe00000)
enum { CHIP_BYTES = 2 * MiB, BLOCK = 4096, READY = 0x80, LOCKED = 0x02,
       BAD_PROGRAM = 0x10, BAD_ERASE = 0x20 };

static Device *chip;
static char *file;

static uint8_t load(uint32_t at)
{
    return pc_load(CHIP + at, 1);
}

static void store(uint32_t at, uint8_t val)
{
    pc_store(CHIP + at, 1, val);
}

/* What the status register says after a command; back to the array. */
static uint8_t status(void)
{
    uint8_t val;

    store(0, 0x70);
    val = load(0);
    store(0, 0x50);
    store(0, 0xff);
    return val;
}

static uint8_t in_image(uint32_t at)
{
    g_autofree char *bytes = NULL;
    gsize n;

    g_assert_true(g_file_get_contents(file, &bytes, &n, NULL));
    g_assert_cmpuint(n, ==, CHIP_BYTES);
    return bytes[at];
}

static Device *make(const char *options, GError **err)
{
    g_autofree char *text = g_strdup_printf("if=none,id=flash,format=raw,"
                                            "file=%s%s", file, options);
    g_autoptr(Opt) dict = opt_parse_keyval(text, NULL, NULL, err);
    Device *dev = device_new(type_find(PFLASH));

    drive_new(dict, BLOCK_IF_IDE, false, err);
    g_assert_no_error(*err);
    prop_set(&dev->obj, "drive", "flash", err);
    if (!device_realize(dev, NULL, err)) {
        return NULL;
    }
    region_map(mem_root(), CHIP, device_region(dev, 0), 10);
    device_reset(dev);
    return dev;
}

static void take_out(void)
{
    region_unmap(device_region(chip, 0));
    device_delete(chip);
    blk_unref(blk_find("flash"));
}

/* --- tests -------------------------------------------------------------------------- */

static void test_program(void)
{
    g_assert_cmphex(load(0x1234), ==, 0xff);
    store(0x1234, 0x40);
    store(0x1234, 0xa5);
    g_assert_cmphex(load(0), ==, READY);        /* still the status */
    g_assert_cmphex(status(), ==, READY);
    g_assert_cmphex(load(0x1234), ==, 0xa5);
    store(0x1234, 0x10);
    store(0x1234, 0x5f);                        /* clears, never sets */
    g_assert_cmphex(status(), ==, READY);
    g_assert_cmphex(load(0x1234), ==, 0x05);
    g_assert_cmphex(in_image(0x1234), ==, 0x05);
    g_assert_cmphex(pc_load(CHIP + 0x1234, 4), ==, 0xffffff05);
}

static void test_erase(void)
{
    store(BLOCK, 0x40);
    store(BLOCK, 0);
    store(3 * BLOCK - 1, 0x40);
    store(3 * BLOCK - 1, 0);
    store(BLOCK + 77, 0x20);
    store(BLOCK + 77, 0xd0);
    g_assert_cmphex(status(), ==, READY);
    g_assert_cmphex(load(BLOCK), ==, 0xff);
    g_assert_cmphex(in_image(BLOCK), ==, 0xff);
    g_assert_cmphex(load(3 * BLOCK - 1), ==, 0);        /* another block */
    store(2 * BLOCK, 0x20);
    store(2 * BLOCK, 0x40);                             /* not confirmed */
    g_assert_cmphex(status(), ==, READY | BAD_PROGRAM | BAD_ERASE);
    g_assert_cmphex(load(3 * BLOCK - 1), ==, 0);
}

static void test_buffer(void)
{
    store(0x8000, 0xe8);
    g_assert_cmphex(load(0x8000) & READY, ==, READY);
    store(0x8000, 3);                           /* four bytes */
    for (unsigned i = 0; i < 4; i++) {
        store(0x8010 + i, 0x30 + i);
    }
    g_assert_cmphex(load(0x8010), !=, 0x30);
    store(0x8000, 0xd0);
    g_assert_cmphex(status(), ==, READY);
    g_assert_cmphex(pc_load(CHIP + 0x8010, 4), ==, 0x33323130);
    store(0x8000, 0xe8);
    store(0x8000, 32);                          /* more than it holds */
    g_assert_cmphex(status() & BAD_PROGRAM, ==, BAD_PROGRAM);
    store(0x8000, 0xe8);
    store(0x8000, 0);
    store(0x9000, 0);                           /* another block */
    g_assert_cmphex(status() & BAD_PROGRAM, ==, BAD_PROGRAM);
    g_assert_cmphex(load(0x9000), ==, 0xff);
}

static void test_locks(void)
{
    store(5 * BLOCK, 0x60);
    store(5 * BLOCK, 0x01);
    g_assert_cmphex(status(), ==, READY);
    store(0, 0x90);
    g_assert_cmphex(load(5 * BLOCK + 2), ==, 1);
    g_assert_cmphex(load(6 * BLOCK + 2), ==, 0);
    g_assert_cmphex(load(0), ==, 0x89);
    store(0, 0xff);
    store(5 * BLOCK + 9, 0x40);
    store(5 * BLOCK + 9, 0);
    g_assert_cmphex(status(), ==, READY | LOCKED | BAD_PROGRAM);
    g_assert_cmphex(load(5 * BLOCK + 9), ==, 0xff);
    store(5 * BLOCK, 0x20);
    store(5 * BLOCK, 0xd0);
    g_assert_cmphex(status(), ==, READY | LOCKED | BAD_ERASE);
    store(0, 0x60);
    store(0, 0xd0);                             /* all blocks */
    store(5 * BLOCK + 9, 0x40);
    store(5 * BLOCK + 9, 0);
    g_assert_cmphex(status(), ==, READY);
    g_assert_cmphex(load(5 * BLOCK + 9), ==, 0);
}

static void test_query(void)
{
    store(0x55, 0x98);
    g_assert_cmphex(load(0x10), ==, 'Q');
    g_assert_cmphex(load(0x11), ==, 'R');
    g_assert_cmphex(load(0x12), ==, 'Y');
    g_assert_cmphex(load(0x13), ==, 1);
    g_assert_cmphex(load(0x27), ==, 21);        /* 2 MiB */
    g_assert_cmphex(load(0x2d) + 1 + (load(0x2e) << 8), ==,
                    CHIP_BYTES / BLOCK);
    g_assert_cmphex((load(0x2f) | load(0x30) << 8) * 256, ==, BLOCK);
    store(0, 0xff);
    g_assert_cmphex(load(0x10), ==, 0xff);
}

/* OVMF's question: RAM gives back what is written, ROM what was there. */
static void test_probe(void)
{
    store(0x100, 0x50);
    store(0x100, 0x70);
    g_assert_cmphex(load(0x100), ==, 0);
    store(0x100, 0xff);
    g_assert_cmphex(load(0x100), ==, 0xff);
    store(0x100, 0x77);                         /* no command */
    g_assert_cmphex(load(0x100), ==, 0xff);
}

/* Put in again, writable and not. */
static void test_again(void)
{
    g_autoptr(GError) err = NULL;

    store(0x4321, 0x40);
    store(0x4321, 0x42);
    take_out();
    chip = make(",readonly=on", &err);
    g_assert_no_error(err);
    g_assert_cmphex(load(0x4321), ==, 0x42);
    store(0x4321, 0x40);
    store(0x4321, 0);
    g_assert_cmphex(load(0x4321), ==, 0x42);
    g_assert_cmphex(in_image(0x4321), ==, 0x42);
    take_out();
    chip = make("", &err);
    g_assert_no_error(err);
    g_assert_cmphex(load(0x4321), ==, 0x42);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *bytes = g_malloc(CHIP_BYTES);
    g_autofree char *dir = g_dir_make_tmp("pflash-XXXXXX", NULL);
    int ret;

    memset(bytes, 0xff, CHIP_BYTES);
    file = g_build_filename(dir, "flash.img", NULL);
    g_assert_true(g_file_set_contents(file, bytes, CHIP_BYTES, NULL));
    pc_test_init(&argc, &argv, 16 * MiB);
    chip = make("", &err);
    g_assert_no_error(err);
    g_test_add_func("/pflash/program", test_program);
    g_test_add_func("/pflash/erase", test_erase);
    g_test_add_func("/pflash/buffer", test_buffer);
    g_test_add_func("/pflash/locks", test_locks);
    g_test_add_func("/pflash/query", test_query);
    g_test_add_func("/pflash/probe", test_probe);
    g_test_add_func("/pflash/again", test_again);
    ret = g_test_run();
    g_unlink(file);
    g_rmdir(dir);
    return ret;
}
