/*
 * rhea-img measure: how large a new image would be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

typedef struct Measure {
    ImgOpen how;
    const char *format, *snapshot;
    Opt *options;
    bool json;
} Measure;

static int print(const Measure *k, const BlockMeasure *m, bool bitmaps)
{
    g_autoptr(Opt) o = NULL;

    if (!k->json) {
        printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64
               "\n%s", m->required, m->fully_allocated,
               bitmaps ? "bitmaps size: 0\n" : "");
        return 0;
    }
    o = opt_new_dict();
    opt_put(o, "required", opt_new_uint(m->required));
    opt_put(o, "fully-allocated", opt_new_uint(m->fully_allocated));
    if (bitmaps) {
        opt_put(o, "bitmaps", opt_new_int(0));
    }
    img_print_json(o);
    return 0;
}

static int measure(Measure *k, const char *filename)
{
    BlockNode *from = NULL;
    g_autoptr(GError) err = NULL;
    BlockMeasure m;
    bool ok;

    if (filename) {
        from = img_open(filename, &k->how);
        if (!from) {
            return 1;
        }
    }
    if (k->snapshot) {
        int i = node_find_snapshot(from, k->snapshot);

        if (i < 0 || node_load_snapshot(from, i) < 0) {
            node_unref(from);
            return img_error("Failed to load snapshot: Can't find snapshot");
        }
    }
    ok = block_measure(k->format, k->options, from, &m, &err);
    if (ok) {
        bool bitmaps = from && node_can_snapshot(from)
                       && !strcmp(k->format, "qcow2");

        print(k, &m, bitmaps);
    } else {
        img_error("%s", err->message);
    }
    node_unref(from);
    return !ok;
}

int img_measure(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "output", required_argument, 0, OPT_OUTPUT },
        { "size", required_argument, 0, OPT_SIZE },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    g_autoptr(Opt) options = opt_new_dict();
    Measure k = { .format = "raw", .options = options };
    const char *output = NULL, *size = NULL, *filename;
    uint64_t bytes;
    int c;

    while ((c = img_getopt(argc, argv, "f:l:o:O:U", words)) != -1) {
        switch (c) {
        case 'l':
            k.snapshot = optarg;
            break;
        case 'o':
            if (!img_add_options(options, optarg)) {
                return 1;
            }
            break;
        case 'O':
            k.format = optarg;
            break;
        case OPT_OUTPUT:
            output = optarg;
            break;
        case OPT_SIZE:
            size = optarg;
            break;
        default:
            if (!img_common_option(c, &k.how)) {
                return 1;
            }
        }
    }
    if (!img_is_json(output, &k.json)) {
        return 1;
    }
    filename = optind < argc ? argv[optind++] : NULL;
    if (optind < argc) {
        return img_error("At most one filename argument is allowed.");
    }
    if (filename && size) {
        return img_error("--size N cannot be used together with a filename.");
    }
    if (!filename && !size) {
        return img_error("Either --size N or one filename must be "
                         "specified.");
    }
    if (!filename && (k.snapshot || k.how.image_opts || k.how.format)) {
        return img_error("--image-opts, -f, and -l can only be used with a "
                         "filename argument.");
    }
    if (size) {
        if (!img_parse_size(size, "image size", &bytes)) {
            return 1;
        }
        opt_put(options, "size", opt_new_uint(bytes));
    }
    if (!block_driver_find(k.format)) {
        return img_error("Unknown file format '%s'", k.format);
    }
    if (img_check_options(k.format, NULL, options, true)) {
        return 1;
    }
    return measure(&k, filename);
}
