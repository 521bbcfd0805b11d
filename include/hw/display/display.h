/*
 * What a display adapter shows, for whoever wants to look: pictures and text.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_DISPLAY_DISPLAY_H
#define HW_DISPLAY_DISPLAY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct DisplayImage {
    unsigned width, height;
    uint32_t *pixels;           /* 0x00RRGGBB, no padding; g_free() */
} DisplayImage;

typedef struct DisplayOps {
    /* The picture as it is now; pixels are the caller's. */
    void (*picture)(void *opaque, DisplayImage *image);
    /* What a text mode shows, in UTF-8, or NULL in a graphics mode. */
    char *(*text)(void *opaque);
} DisplayOps;

/* Adapters come and go in realize and unrealize; the first is the console. */
void display_add(const DisplayOps *ops, void *opaque);
void display_remove(void *opaque);
/* False when there is none. */
bool display_picture(DisplayImage *image);
char *display_text(void);

/* Write the picture to a file; `format` is "ppm" or "png", NULL is by the
 * name's end, else ppm. */
bool display_dump(const char *path, const char *format, GError **err);

#endif
