/*
 * rhea-img create: new images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

typedef struct Create {
    const char *filename, *format, *backing, *backing_format;
    bool quiet, unsafe;
    Opt *options;
} Create;

/* The backing file is there; its size is the default.  -u: nobody looks. */
static int look_at_backing(Create *c)
{
    g_autofree char *path = NULL;
    const char *file = NULL, *format = NULL;
    ImgOpen how = { .force_share = true, .no_backing = false };
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = NULL;
    BlockNode *n;

    opt_get_string(c->options, "backing_file", &file, NULL);
    opt_get_string(c->options, "backing_fmt", &format, NULL);
    if (!file || !*file) {
        return 0;
    }
    if (!block_driver_find(c->format)->has_backing) {
        return img_error("%s: Backing file not supported for file format "
                         "'%s'", c->filename, c->format);
    }
    if (!format && !c->unsafe) {
        return img_error("%s: Backing file specified without backing format "
                         "(write -F)", c->filename);
    }
    if (c->unsafe) {
        return 0;
    }
    if (!block_driver_find(format)) {
        return img_error("%s: Unknown driver '%s'; could not open backing "
                         "image", c->filename, format);
    }
    path = block_resolve_path(c->filename, file);
    o = block_file_opts(path, format, NULL, &err);
    if (o) {
        opt_put(o, "read-only", opt_new_bool(true));
        opt_put(o, "force-share", opt_new_bool(how.force_share));
    }
    n = o ? block_open(o, &err) : NULL;
    if (!n) {
        return img_error("%s: Could not open backing image: %s", c->filename,
                         err->message);
    }
    if (!opt_has(c->options, "size")) {
        opt_put(c->options, "size", opt_new_uint(node_length(n)));
    }
    node_unref(n);
    return 0;
}

static int create_image(Create *c)
{
    g_autoptr(GError) err = NULL;
    int status = img_check_options(c->format, c->filename, c->options, true);

    if (status) {
        return status;
    }
    if (c->backing) {
        opt_put(c->options, "backing_file", opt_new_string(c->backing));
    }
    if (c->backing_format) {
        opt_put(c->options, "backing_fmt", opt_new_string(c->backing_format));
    }
    status = look_at_backing(c);
    if (status) {
        return status;
    }
    if (!opt_has(c->options, "size")) {
        return img_error("%s: Image creation needs a size parameter",
                         c->filename);
    }
    if (!c->quiet) {
        img_print_formatting(c->filename, c->format, c->options);
    }
    if (!block_create(c->filename, c->format, c->options, &err)) {
        if (g_str_has_prefix(err->message, "could")) {
            err->message[0] = 'C';
        }
        return img_error("%s: %s", c->filename, err->message);
    }
    return 0;
}

static bool take_size(Create *c, const char *text)
{
    uint64_t bytes;

    if (!img_parse_size(text, "image size", &bytes)) {
        return false;
    }
    opt_put(c->options, "size", opt_new_uint(bytes));
    return true;
}

int img_create(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { 0 }
    };
    g_autoptr(Opt) options = opt_new_dict();
    Create k = { .format = "raw", .options = options };
    bool help = false;
    int c;

    while ((c = img_getopt(argc, argv, "F:b:f:o:qu", words)) != -1) {
        switch (c) {
        case 'F':
            k.backing_format = optarg;
            break;
        case 'b':
            k.backing = optarg;
            break;
        case 'f':
            k.format = optarg;
            break;
        case 'o':
            if (img_is_help(optarg)) {
                help = true;
            } else if (!img_add_options(options, optarg)) {
                return 1;
            }
            break;
        case 'q':
            k.quiet = true;
            break;
        case 'u':
            k.unsafe = true;
            break;
        case OPT_OBJECT:
            return img_no_objects(optarg);
        default:
            return 1;
        }
    }
    k.filename = optind < argc ? argv[optind++] : NULL;
    if (help) {
        return img_print_options(k.format);
    }
    if (!k.filename) {
        return img_usage("Expecting image file name");
    }
    if (optind < argc && !take_size(&k, argv[optind++])) {
        return 1;
    }
    if (optind < argc) {
        return img_usage("Unexpected argument: %s", argv[optind]);
    }
    return create_image(&k);
}
