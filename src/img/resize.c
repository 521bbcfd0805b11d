/*
 * rhea-img resize: a longer or a shorter disk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

static int resize(BlockNode *n, int sign, uint64_t bytes, BlockPrealloc pre,
                  bool shrink, bool quiet)
{
    uint64_t now = node_length(n), want = bytes;
    g_autoptr(GError) err = NULL;

    if (sign > 0) {
        want = now + bytes;
    } else if (sign < 0) {
        want = now > bytes ? now - bytes : 0;
    }
    if (!want || want > BLOCK_MAX_LENGTH) {
        return img_error("New image size must be positive");
    }
    want = ALIGN_UP(want, 512);
    if (want < now && pre) {
        return img_error("Preallocation can only be used for growing images");
    }
    if (want < now && !shrink) {
        img_error("Use the --shrink option to perform a shrink operation.");
        warn("Shrinking an image will delete all data beyond the shrunken "
             "image's end. Before performing such an operation, make sure "
             "there is no important data there.");
        return 1;
    }
    if (!node_truncate(n, want, pre, &err)) {
        return img_error("%s", err->message);
    }
    if (!quiet) {
        printf("Image resized.\n");
    }
    return 0;
}

/* "-1M" is no option: the last word is the size, whatever it begins with. */
int img_resize(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "preallocation", required_argument, 0, OPT_PREALLOCATION },
        { "shrink", no_argument, 0, OPT_SHRINK },
        { 0 }
    };
    ImgOpen how = { .write = true };
    bool quiet = false, shrink = false;
    int sign = 0, pre = 0, c, status;
    const char *size;
    uint64_t bytes;
    BlockNode *n;

    if (argc < 3) {
        return img_usage("Not enough arguments");
    }
    size = argv[--argc];
    while ((c = img_getopt(argc, argv, "f:q", words)) != -1) {
        switch (c) {
        case 'q':
            quiet = true;
            break;
        case OPT_SHRINK:
            shrink = true;
            break;
        case OPT_PREALLOCATION:
            for (pre = 0; block_prealloc_names[pre]; pre++) {
                if (!strcmp(block_prealloc_names[pre], optarg)) {
                    break;
                }
            }
            if (!block_prealloc_names[pre]) {
                return img_error("Invalid preallocation mode '%s'", optarg);
            }
            break;
        default:
            if (!img_common_option(c, &how)) {
                return 1;
            }
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting image file name and size");
    }
    sign = *size == '+' ? 1 : *size == '-' ? -1 : 0;
    if (!parse_size(size + (sign != 0), 1, &bytes)) {
        return img_error("Parameter 'size' expects a non-negative number "
                         "below 2^64 (with k, M, G, T, P or E), not '%s'",
                         size);
    }
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    status = resize(n, sign, bytes, pre, shrink, quiet);
    node_unref(n);
    return status;
}
