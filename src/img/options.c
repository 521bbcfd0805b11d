/*
 * rhea-img: options of image creation, "-o".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

typedef struct Option {
    const char *name, *type, *doc;
    const char *shown;          /* default, when it is shown; NULL: is not */
} Option;

/* In the order in which qemu-img shows them when it makes an image. */
static const Option qcow2_options[] = {
    { "cluster_size", "size", "qcow2 cluster size", "65536" },
    { "extended_l2", "bool (on/off)", "Extended L2 tables (only off)",
      "off" },
    { "preallocation", "str", "Preallocation mode (allowed values: off, "
      "metadata, falloc, full)", NULL },
    { "compression_type", "str", "Compression method used for image cluster "
      "compression", "zlib" },
    { "size", "size", "Virtual disk size", NULL },
    { "compat", "str", "Compatibility level (v2 [0.10] or v3 [1.1])", NULL },
    { "backing_file", "str", "File name of a base image", NULL },
    { "backing_fmt", "str", "Image format of the base image", NULL },
    { "lazy_refcounts", "bool (on/off)", "Postpone refcount updates", "off" },
    { "refcount_bits", "num", "Width of a reference count entry in bits",
      "16" },
    { "nocow", "bool (on/off)", "Turn off copy-on-write (valid only on "
      "btrfs)", NULL },
};

static const Option raw_options[] = {
    { "size", "size", "Virtual disk size", NULL },
    { "preallocation", "str", "Preallocation mode (allowed values: off, "
      "falloc, full)", NULL },
    { "nocow", "bool (on/off)", "Turn off copy-on-write (valid only on "
      "btrfs)", NULL },
};

static const Option *options_of(const char *format, unsigned *n)
{
    if (!strcmp(format, "qcow2")) {
        *n = G_N_ELEMENTS(qcow2_options);
        return qcow2_options;
    }
    *n = G_N_ELEMENTS(raw_options);
    return raw_options;
}

bool img_is_help(const char *list)
{
    return !strcmp(list, "help") || !strcmp(list, "?");
}

static int unknown_format(const char *format, const char *filename)
{
    return filename ? img_error("%s: Unknown file format '%s'", filename,
                                format)
           : img_error("Unknown file format '%s'", format);
}

static bool can_create(const char *format)
{
    const BlockDriver *d = block_driver_find(format);

    return d && !d->protocol && d->create;
}

int img_print_options(const char *format)
{
    unsigned n;
    const Option *list = options_of(format, &n);

    if (!can_create(format)) {
        return unknown_format(format, NULL);
    }
    printf("Supported %s options:\n", format);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *key = g_strdup_printf("%s=<%s>", list[i].name,
                                               list[i].type);

        printf("  %-22s - %s\n", key, list[i].doc);
    }
    return 0;
}

int img_check_options(const char *format, const char *filename, Opt *options,
                      bool may_size)
{
    unsigned n;
    const Option *list = options_of(format, &n);

    if (!can_create(format)) {
        return unknown_format(format, filename);
    }
    for (unsigned i = 0; i < opt_len(options); i++) {
        const char *key = opt_key_at(options, i);
        unsigned j = 0;

        while (j < n && strcmp(list[j].name, key)) {
            j++;
        }
        if (j == n) {
            return img_error("%s%sInvalid parameter '%s'",
                             filename ? filename : "", filename ? ": " : "",
                             key);
        }
    }
    return 0;
}

/* "4k" is 4096 and "yes" is on. */
static char *plain_value(const Option *o, const Opt *val)
{
    g_autofree char *text = opt_to_string(val);
    uint64_t bytes;
    bool on;

    if (!strcmp(o->type, "size") && parse_size(text, 1, &bytes)) {
        return g_strdup_printf("%" PRIu64, bytes);
    }
    if (o->type[0] == 'b' && parse_bool(text, &on)) {
        return g_strdup(on ? "on" : "off");
    }
    return g_steal_pointer(&text);
}

void img_print_formatting(const char *filename, const char *format,
                          Opt *options)
{
    unsigned n;
    const Option *list = options_of(format, &n);

    printf("Formatting '%s', fmt=%s", filename, format);
    for (unsigned i = 0; i < n; i++) {
        const Opt *val = opt_peek(options, list[i].name);
        g_autofree char *text = val ? plain_value(&list[i], val) : NULL;

        if (text || list[i].shown) {
            printf(" %s=%s", list[i].name, text ? text : list[i].shown);
        }
    }
    printf("\n");
    fflush(stdout);
}

int img_no_objects(const char *object)
{
    return img_error("--object %s: no objects are supported here", object);
}

bool img_common_option(int c, ImgOpen *how)
{
    switch (c) {
    case 'f':
        how->format = optarg;
        return true;
    case 'U':
        how->force_share = true;
        return true;
    case OPT_IMAGE_OPTS:
        how->image_opts = true;
        return true;
    case OPT_OBJECT:
        img_no_objects(optarg);
        return false;
    default:
        return false;
    }
}
