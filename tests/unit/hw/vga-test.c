/*
 * The standard VGA: registers, planes, chain-4, text, VBE, pictures.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib/gstdio.h>

#include "hw/display/display.h"
#include "hw/pci/pci.h"
#include "pctest.h"

enum { WINDOW = 0xa0000, TEXT = 0xb8000, LFB = 0xfd000000, MMIO = 0xfebf0000 };
#define VGA_DEVFN PCI_DEVFN_OF(2, 0)

static PcTest *pc;
static Device *vga;

static void set(uint16_t port, uint8_t index, uint8_t val)
{
    pc_out(port, 1, index);
    pc_out(port + 1, 1, val);
}

static uint8_t get(uint16_t port, uint8_t index)
{
    pc_out(port, 1, index);
    return pc_in(port + 1, 1);
}

static void set_attr(uint8_t index, uint8_t val)
{
    pc_in(0x3da, 1);
    pc_out(0x3c0, 1, index);
    pc_out(0x3c0, 1, val);
    pc_out(0x3c0, 1, 0x20);
}

static void set_color(uint8_t index, uint8_t r, uint8_t g, uint8_t b)
{
    pc_out(0x3c8, 1, index);
    pc_out(0x3c9, 1, r);
    pc_out(0x3c9, 1, g);
    pc_out(0x3c9, 1, b);
}

static void vbe(uint16_t index, uint16_t val)
{
    pc_out(0x1ce, 2, index);
    pc_out(0x1cf, 2, val);
}

static uint16_t vbe_get(uint16_t index)
{
    pc_out(0x1ce, 2, index);
    return pc_in(0x1cf, 2);
}

static uint32_t pixel(unsigned x, unsigned y, unsigned *width,
                      unsigned *height)
{
    DisplayImage im = { 0 };
    uint32_t val;

    g_assert_true(display_picture(&im));
    g_assert_cmpuint(x, <, im.width);
    g_assert_cmpuint(y, <, im.height);
    val = im.pixels[y * im.width + x];
    if (width) {
        *width = im.width;
        *height = im.height;
    }
    g_free(im.pixels);
    return val;
}

static void reset(void)
{
    device_reset(vga);
    pc_conf_write(pc, VGA_DEVFN, 0x10, LFB, 4);
    pc_conf_write(pc, VGA_DEVFN, 0x18, MMIO, 4);
    pc_conf_write(pc, VGA_DEVFN, PCI_COMMAND, 3, 2);
    pc_out(0x3c2, 1, 0x67);     /* ports at 3Dxh */
}

/* --- planes ---------------------------------------------------------------------------- */

static void planar(void)
{
    reset();
    set(0x3c4, 2, 15);
    set(0x3c4, 4, 6);           /* sequential, no chain */
    set(0x3ce, 5, 0);
    set(0x3ce, 6, 5);           /* graphics, 64 KiB at A0000h */
    set(0x3ce, 8, 0xff);
}

static uint8_t plane(uint32_t at, unsigned n)
{
    set(0x3ce, 4, n);
    return pc_load(WINDOW + at, 1);
}

static void test_write_modes(void)
{
    planar();
    set(0x3c4, 2, 5);           /* planes 0 and 2 */
    pc_store(WINDOW + 9, 1, 0xa5);
    g_assert_cmphex(plane(9, 0), ==, 0xa5);
    g_assert_cmphex(plane(9, 1), ==, 0);
    g_assert_cmphex(plane(9, 2), ==, 0xa5);
    set(0x3c4, 2, 15);
    set(0x3ce, 5, 2);           /* mode 2: a colour, through the mask */
    set(0x3ce, 8, 0x0f);
    pc_load(WINDOW + 9, 1);
    pc_store(WINDOW + 9, 1, 0x02);
    g_assert_cmphex(plane(9, 0), ==, 0xa0);
    g_assert_cmphex(plane(9, 1), ==, 0x0f);
    set(0x3ce, 5, 1);           /* mode 1: the latches */
    pc_load(WINDOW + 9, 1);
    pc_store(WINDOW + 20, 1, 0);
    g_assert_cmphex(plane(20, 0), ==, 0xa0);
    g_assert_cmphex(plane(20, 1), ==, 0x0f);
    set(0x3ce, 5, 3);           /* mode 3: set/reset where the data is */
    set(0x3ce, 8, 0xff);
    set(0x3ce, 0, 4);
    pc_load(WINDOW + 20, 1);
    pc_store(WINDOW + 20, 1, 0xf0);
    g_assert_cmphex(plane(20, 0), ==, 0x00);
    g_assert_cmphex(plane(20, 1), ==, 0x0f);
    g_assert_cmphex(plane(20, 2), ==, 0xf0);
}

static void test_functions(void)
{
    planar();
    pc_store(WINDOW, 1, 0x33);
    set(0x3ce, 3, 0x18);        /* XOR with the latches */
    pc_load(WINDOW, 1);
    pc_store(WINDOW, 1, 0x0f);
    g_assert_cmphex(plane(0, 3), ==, 0x3c);
    set(0x3ce, 3, 0x02);        /* turned by two */
    pc_store(WINDOW, 1, 0x81);
    g_assert_cmphex(plane(0, 3), ==, 0x60);
    set(0x3ce, 1, 1);           /* plane 0 from set/reset */
    set(0x3ce, 0, 1);
    pc_store(WINDOW, 1, 0);
    g_assert_cmphex(plane(0, 0), ==, 0xff);
    g_assert_cmphex(plane(0, 1), ==, 0);
}

static void test_compare(void)
{
    planar();
    set(0x3ce, 5, 2);
    pc_store(WINDOW, 1, 9);
    set(0x3ce, 8, 0xf0);
    pc_load(WINDOW, 1);
    pc_store(WINDOW, 1, 6);     /* four pixels 6, four 9 */
    set(0x3ce, 5, 8);
    set(0x3ce, 2, 6);
    set(0x3ce, 7, 15);
    g_assert_cmphex(pc_load(WINDOW, 1), ==, 0xf0);
    set(0x3ce, 7, 0);           /* all alike when nothing matters */
    g_assert_cmphex(pc_load(WINDOW, 1), ==, 0xff);
}

static void test_window(void)
{
    planar();
    pc_store(WINDOW, 1, 0x11);
    set(0x3ce, 6, 0x0d);        /* B8000h */
    g_assert_cmphex(pc_load(WINDOW, 1), ==, 0xff);
    g_assert_cmphex(pc_load(TEXT, 1), ==, 0x11);
    set(0x3ce, 6, 0x09);        /* B0000h */
    g_assert_cmphex(pc_load(TEXT, 1), ==, 0xff);
    g_assert_cmphex(pc_load(0xb0000, 1), ==, 0x11);
}

/* --- registers ---------------------------------------------------------------------------- */

static void test_registers(void)
{
    reset();
    set(0x3d4, 0x11, 0x80);     /* protect 0 to 7 */
    set(0x3d4, 1, 0x55);
    set(0x3d4, 7, 0xff);
    g_assert_cmphex(get(0x3d4, 1), ==, 0);
    g_assert_cmphex(get(0x3d4, 7), ==, 0x10);
    set_color(7, 1, 2, 3);
    pc_out(0x3c7, 1, 7);
    g_assert_cmphex(pc_in(0x3c9, 1), ==, 1);
    g_assert_cmphex(pc_in(0x3c9, 1), ==, 2);
    g_assert_cmphex(pc_in(0x3c9, 1), ==, 3);
    pc_out(0x3c2, 1, 0x66);     /* the ports move to 3Bxh */
    g_assert_cmphex(pc_in(0x3d4, 1), ==, 0xff);
    g_assert_cmphex(pc_in(0x3b4, 1), ==, 7);
    g_assert_cmphex(pc_load(MMIO + 0x40c, 1), ==, 0x66);
}

static void test_retrace(void)
{
    unsigned seen = 0;

    reset();
    for (unsigned i = 0; i < 2000; i++) {
        seen |= pc_in(0x3da, 1) & 8 ? 2 : 1;
        clock_test_advance(NS_PER_SEC / 60 / 100);
    }
    g_assert_cmpuint(seen, ==, 3);
}

/* --- what is shown -------------------------------------------------------------------------- */

static void text_mode(void)
{
    reset();
    set(0x3c4, 1, 1);           /* 8 dots */
    set(0x3c4, 2, 3);
    set(0x3c4, 4, 2);
    set(0x3ce, 5, 0x10);        /* odd/even */
    set(0x3ce, 6, 0x0e);
    set(0x3d4, 1, 79);
    set(0x3d4, 0x12, 399 & 0xff);
    set(0x3d4, 7, 0x02);
    set(0x3d4, 9, 15);
    set(0x3d4, 0x0a, 0x20);     /* no cursor */
    set(0x3d4, 0x13, 40);
    for (unsigned i = 0; i < 16; i++) {
        set_attr(i, i);
        set_color(i, 4 * i, 63, 0);
    }
}

static void test_text(void)
{
    unsigned w, h;

    text_mode();
    pc_store(TEXT + 2 * 80 + 4, 2, 0x1e41);
    pc_store(TEXT + 2 * 80 + 6, 2, 0x1ee4);
    g_autofree char *text = display_text();

    g_assert_nonnull(strstr(text, "\n  A\316\243\n"));  /* 437's E4h: Sigma */
    /* A font whose 'A' is a line at the left. */
    set(0x3c4, 2, 4);
    set(0x3c4, 4, 6);
    set(0x3ce, 5, 0);
    set(0x3ce, 6, 4);
    set(0x3ce, 8, 0xff);
    for (unsigned i = 0; i < 16; i++) {
        pc_store(WINDOW + 'A' * 32 + i, 1, 0x80);
    }
    set(0x3ce, 5, 0x10);
    set(0x3ce, 6, 0x0e);
    g_assert_cmphex(pixel(16, 20, &w, &h), ==, 0xe3ff00);       /* 14 */
    g_assert_cmphex(pixel(17, 20, NULL, NULL), ==, 0x10ff00);   /* 1 */
    g_assert_cmpuint(w, ==, 640);
    g_assert_cmpuint(h, ==, 400);
}

static void test_mode_13h(void)
{
    unsigned w, h;

    reset();
    set(0x3c4, 2, 15);
    set(0x3c4, 4, 0x0e);
    set(0x3ce, 5, 0x40);
    set(0x3ce, 6, 5);
    set(0x3d4, 1, 79);
    set(0x3d4, 0x12, 399 & 0xff);
    set(0x3d4, 7, 0x02);
    set(0x3d4, 9, 1);
    set(0x3d4, 0x13, 40);
    set(0x3d4, 0x17, 0xa3);
    set_color(200, 63, 0, 32);
    pc_store(WINDOW + 5 * 320 + 77, 1, 200);
    g_assert_cmphex(pixel(77, 5, &w, &h), ==, 0xff0082);
    g_assert_cmpuint(w, ==, 320);
    g_assert_cmpuint(h, ==, 200);
    g_assert_null(display_text());
}

static void test_vbe(void)
{
    unsigned w, h;

    reset();
    g_assert_cmphex(vbe_get(0), ==, 0xb0c5);
    g_assert_cmpuint(vbe_get(10), ==, 256);     /* of 64 KiB */
    vbe(1, 640);
    vbe(2, 480);
    vbe(3, 32);
    vbe(4, 0x41);
    g_assert_cmpuint(vbe_get(6), ==, 640);
    g_assert_cmpuint(vbe_get(7), ==, 16 * MiB / (640 * 4));
    pc_store(LFB + (3 * 640 + 5) * 4, 4, 0x123456);
    g_assert_cmphex(pixel(5, 3, &w, &h), ==, 0x123456);
    g_assert_cmpuint(w, ==, 640);
    g_assert_cmpuint(h, ==, 480);
    vbe(9, 3);                  /* scrolled up */
    g_assert_cmphex(pixel(5, 0, NULL, NULL), ==, 0x123456);
    vbe(5, 1);                  /* bank 1 in the window */
    pc_store(WINDOW, 1, 0x77);
    g_assert_cmphex(pc_load(LFB + 65536, 1), ==, 0x77);
    g_assert_cmphex(pc_load(MMIO + 0x502, 2), ==, 640);
    vbe(4, 0);
    vbe(3, 16);
    vbe(4, 0x41);
    g_assert_cmphex(pc_load(LFB + (3 * 640 + 5) * 4, 4), ==, 0); /* cleared */
    pc_store(LFB, 2, 0xf81f);
    g_assert_cmphex(pixel(0, 0, NULL, NULL), ==, 0xf800f8);
}

/* Sizes that do not fit are made to. */
static void test_vbe_bounds(void)
{
    unsigned w, h;

    reset();
    vbe(1, 65535);
    vbe(2, 65535);
    vbe(3, 32);
    vbe(4, 0x41);
    vbe(6, 65535);
    vbe(8, 65535);
    vbe(9, 65535);
    vbe(5, 65535);
    pc_store(WINDOW + 0xffff, 1, 1);
    pixel(0, 0, &w, &h);
    g_assert_cmpuint(w, <=, 2560);
    g_assert_cmpuint(h, <=, 1600);
    vbe(4, 0);
    vbe(1, 0);
    vbe(2, 0);
    vbe(4, 0x41);
    pixel(0, 0, &w, &h);
    g_assert_cmpuint(w, ==, 8);
}

static void test_files(void)
{
    g_autofree char *dir = g_dir_make_tmp("rhea-vga-XXXXXX", NULL);
    g_autofree char *ppm = g_build_filename(dir, "a.ppm", NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *data = NULL;
    gsize len;

    test_mode_13h();
    g_assert_true(display_dump(ppm, NULL, &err));
    g_assert_true(g_file_get_contents(ppm, &data, &len, NULL));
    g_assert_true(g_str_has_prefix(data, "P6\n320 200\n255\n"));
    g_assert_cmpuint(len, ==, 15 + 320 * 200 * 3);
    g_assert_cmpmem(data + 15 + (5 * 320 + 77) * 3, 3, "\xff\x00\x82", 3);
    g_unlink(ppm);
    g_assert_false(display_dump("/nowhere/a.ppm", NULL, &err));
    g_clear_error(&err);
    g_assert_false(display_dump(ppm, "gif", &err));
    g_assert_nonnull(strstr(err->message, "accepted: ppm, png"));
    g_rmdir(dir);
}

int main(int argc, char **argv)
{
    pc = pc_test_init(&argc, &argv, 16 * MiB);
    vga = pc_add_pci(pc, "VGA", "2.0", NULL);
    g_test_add_func("/vga/write-modes", test_write_modes);
    g_test_add_func("/vga/functions", test_functions);
    g_test_add_func("/vga/compare", test_compare);
    g_test_add_func("/vga/window", test_window);
    g_test_add_func("/vga/registers", test_registers);
    g_test_add_func("/vga/retrace", test_retrace);
    g_test_add_func("/vga/text", test_text);
    g_test_add_func("/vga/mode-13h", test_mode_13h);
    g_test_add_func("/vga/vbe", test_vbe);
    g_test_add_func("/vga/vbe-bounds", test_vbe_bounds);
    g_test_add_func("/vga/files", test_files);
    return g_test_run();
}
