/*
 * rhea-img bitmap: bitmaps of what has changed, within an image.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

enum { MAX_ACTIONS = 64 };

typedef struct Action {
    int option;
    const char *source;         /* --merge */
} Action;

typedef struct Bitmap {
    ImgOpen how;
    const char *from, *from_format;
    uint64_t granularity;
    Action actions[MAX_ACTIONS];
    unsigned n_actions;
    bool adds, merges;
} Bitmap;

static const struct option bitmap_words[] = {
    { "help", no_argument, 0, 'h' },
    { "object", required_argument, 0, OPT_OBJECT },
    { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
    { "add", no_argument, 0, OPT_ADD },
    { "remove", no_argument, 0, OPT_REMOVE },
    { "clear", no_argument, 0, OPT_CLEAR },
    { "enable", no_argument, 0, OPT_ENABLE },
    { "disable", no_argument, 0, OPT_DISABLE },
    { "merge", required_argument, 0, OPT_MERGE },
    { "source-file", required_argument, 0, 'b' },
    { "source-format", required_argument, 0, 'F' },
    { "granularity", required_argument, 0, 'g' },
    { 0 }
};

static const struct {
    int option, op;
    const char *name;
} operations[] = {
    { OPT_ADD, BITMAP_ADD, "add" }, { OPT_REMOVE, BITMAP_REMOVE, "remove" },
    { OPT_CLEAR, BITMAP_CLEAR, "clear" },
    { OPT_ENABLE, BITMAP_ENABLE, "enable" },
    { OPT_DISABLE, BITMAP_DISABLE, "disable" },
    { OPT_MERGE, BITMAP_MERGE, "merge" },
};

static int perform(const Bitmap *k, const Action *a, BlockNode *n,
                   const char *name, BlockNode *from)
{
    g_autoptr(GError) err = NULL;
    unsigned i = 0;

    while (operations[i].option != a->option) {
        i++;
    }
    BlockBitmapCall call = {
        .op = operations[i].op, .name = name, .granularity = k->granularity,
        .from = from, .source = a->source,
    };

    return node_change_bitmap(n, &call, &err) ? 0
           : img_error("Operation %s on bitmap %s failed: %s",
                       operations[i].name, name, err->message);
}

static int run(const Bitmap *k, const char *filename, const char *name)
{
    ImgOpen source = { .format = k->from_format, .no_backing = true };
    BlockNode *n = img_open(filename, &k->how);
    BlockNode *from = n && k->from ? img_open(k->from, &source) : NULL;
    int status = !n || (k->from && !from);

    for (unsigned i = 0; !status && i < k->n_actions; i++) {
        status = perform(k, &k->actions[i], n, name, from);
    }
    node_unref(from);
    node_unref(n);
    return status;
}

/* False: the command fails, and why has been said. */
static bool take_option(Bitmap *k, int c)
{
    switch (c) {
    case 'b':
        k->from = optarg;
        return true;
    case 'F':
        k->from_format = optarg;
        return true;
    case 'g':
        return img_parse_size(optarg, "granularity", &k->granularity);
    case OPT_ADD:
    case OPT_REMOVE:
    case OPT_CLEAR:
    case OPT_ENABLE:
    case OPT_DISABLE:
    case OPT_MERGE:
        if (k->n_actions == MAX_ACTIONS) {
            img_error("at most %d operations at once", MAX_ACTIONS);
            return false;
        }
        k->actions[k->n_actions++] = (Action) { c, optarg };
        k->adds |= c == OPT_ADD;
        k->merges |= c == OPT_MERGE;
        return true;
    default:
        return img_common_option(c, &k->how);
    }
}

int img_bitmap(int argc, char **argv)
{
    Bitmap k = { .how = { .write = true, .no_backing = true } };
    int c;

    while ((c = img_getopt(argc, argv, "b:f:F:g:", bitmap_words)) != -1) {
        if (!take_option(&k, c)) {
            return 1;
        }
    }
    if (optind != argc - 2) {
        return img_error("Expecting filename and bitmap name");
    }
    if (!k.n_actions) {
        return img_error("Need at least one of --add, --remove, --clear, "
                         "--enable, --disable, or --merge");
    }
    if (k.granularity && !k.adds) {
        return img_error("granularity only supported with --add");
    }
    if (k.from && !k.merges) {
        return img_error("Merge bitmap source file only supported with "
                         "--merge");
    }
    if (k.from_format && !k.from) {
        return img_error("-F only supported with -b");
    }
    return run(&k, argv[optind], argv[optind + 1]);
}
