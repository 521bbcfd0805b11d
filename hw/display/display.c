/*
 * Adapters that can be looked at, and pictures as PPM and PNG files.
 *
 * Spec:   netpbm, ppm(5); PNG, by libpng where it is there.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/display/display.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/opts.h"
#include "mem/doorbell.h"
#include "config.h"
#ifdef RHEA_PNG
#include <png.h>
#endif

typedef struct {
    const DisplayOps *ops;
    void *opaque;
} Adapter;

static GArray *adapters;        /* of Adapter */

void display_add(const DisplayOps *ops, void *opaque)
{
    Adapter a = { ops, opaque };

    if (!adapters) {
        adapters = g_array_new(FALSE, FALSE, sizeof(Adapter));
    }
    g_array_append_val(adapters, a);
}

void display_remove(void *opaque)
{
    for (unsigned i = 0; adapters && i < adapters->len; i++) {
        if (g_array_index(adapters, Adapter, i).opaque == opaque) {
            g_array_remove_index(adapters, i);
            return;
        }
    }
}

static Adapter *first(void)
{
    if (posted_flush) {
        posted_flush();
    }
    return adapters && adapters->len ? &g_array_index(adapters, Adapter, 0)
                                     : NULL;
}

bool display_picture(DisplayImage *image)
{
    Adapter *a = first();

    if (a) {
        a->ops->picture(a->opaque, image);
    }
    return a;
}

char *display_text(void)
{
    Adapter *a = first();

    return a ? a->ops->text(a->opaque) : NULL;
}

/* --- files --------------------------------------------------------------------------- */

/* Rows of red, green, blue. */
static uint8_t *to_bytes(const DisplayImage *image)
{
    size_t n = (size_t)image->width * image->height;
    uint8_t *bytes = g_malloc(MAX(3 * n, 1)), *at = bytes;

    for (size_t i = 0; i < n; i++) {
        *at++ = image->pixels[i] >> 16;
        *at++ = image->pixels[i] >> 8;
        *at++ = image->pixels[i];
    }
    return bytes;
}

static bool write_ppm(FILE *f, const DisplayImage *image,
                      const uint8_t *bytes)
{
    size_t n = (size_t)3 * image->width * image->height;

    return fprintf(f, "P6\n%u %u\n255\n", image->width, image->height) > 0
           && fwrite(bytes, 1, n, f) == n;
}

#ifdef RHEA_PNG
static bool write_png(FILE *f, const DisplayImage *image,
                      const uint8_t *bytes)
{
    png_image png = {
        .version = PNG_IMAGE_VERSION, .width = image->width,
        .height = image->height, .format = PNG_FORMAT_RGB,
    };

    return png_image_write_to_stdio(&png, f, 0, bytes, 0, NULL);
}
#else
static bool write_png(FILE *f, const DisplayImage *image,
                      const uint8_t *bytes)
{
    errno = ENOTSUP;            /* built without libpng */
    return false;
}
#endif

static bool fail(GError **err, const char *path)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "could not write the picture to '%s': %s", path,
                g_strerror(errno ? errno : EIO));
    return false;
}

bool display_dump(const char *path, const char *format, GError **err)
{
    g_autofree uint8_t *bytes = NULL;
    DisplayImage image = { 0 };
    bool png, ok;
    FILE *f;

    png = format ? !strcmp(format, "png") : g_str_has_suffix(path, ".png");
    if (format && !png && strcmp(format, "ppm")) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "format '%s' is not known; accepted: ppm, png", format);
        return false;
    }
    if (!display_picture(&image)) {
        g_set_error_literal(err, OPT_ERROR, OPT_ERROR_INVALID,
                            "there is no display adapter to take a picture "
                            "of");
        return false;
    }
    bytes = to_bytes(&image);
    g_free(image.pixels);
    errno = 0;
    f = fopen(path, "wbe");
    if (!f) {
        return fail(err, path);
    }
    ok = png ? write_png(f, &image, bytes) : write_ppm(f, &image, bytes);
    ok &= fclose(f) == 0;
    return ok || fail(err, path);
}
