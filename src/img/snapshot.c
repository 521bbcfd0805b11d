/*
 * rhea-img snapshot: list, make, apply and delete snapshots within an image.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

/* Deleting goes by the name: "1" does not delete what has that id. */
static int find_by_name(BlockNode *n, const char *name)
{
    for (unsigned i = 0; i < node_n_snapshots(n); i++) {
        BlockSnapshot snap;

        node_get_snapshot(n, i, &snap);
        if (!strcmp(snap.name, name)) {
            return i;
        }
    }
    return -1;
}

static int do_action(BlockNode *n, int action, const char *name)
{
    int i, ret;

    switch (action) {
    case 'l':
        if (node_n_snapshots(n)) {
            img_print_snapshots(n, "");
        }
        return 0;
    case 'c':
        ret = node_create_snapshot(n, name);
        return ret < 0 ? img_error("Could not create snapshot '%s': %d (%s)",
                                   name, ret, g_strerror(-ret)) : 0;
    case 'a':
        i = node_find_snapshot(n, name);
        ret = i < 0 ? -ENOENT : node_apply_snapshot(n, i);
        return ret < 0 ? img_error("Could not apply snapshot '%s': Failed to "
                                   "load snapshot: %s", name,
                                   g_strerror(-ret)) : 0;
    default:
        i = find_by_name(n, name);
        if (i < 0) {
            return img_error("Could not delete snapshot '%s': snapshot not "
                             "found", name);
        }
        ret = node_remove_snapshot(n, i);
        return ret < 0 ? img_error("Could not delete snapshot '%s': %s", name,
                                   g_strerror(-ret)) : 0;
    }
}

int img_snapshot(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    ImgOpen how = { 0 };
    const char *name = NULL;
    int action = 0, c, status;
    BlockNode *n;

    while ((c = img_getopt(argc, argv, "la:c:d:qUf:", words)) != -1) {
        switch (c) {
        case 'l':
        case 'a':
        case 'c':
        case 'd':
            if (action) {
                return img_usage("Cannot mix '-l', '-a', '-c', '-d'");
            }
            action = c;
            name = optarg;
            break;
        case 'q':
            break;
        default:
            if (!img_common_option(c, &how)) {
                return 1;
            }
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    action = action ? action : 'l';
    how.write = action != 'l';
    how.no_backing = true;
    if (how.write && how.force_share) {
        return img_error("--force-share/-U conflicts with image options");
    }
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    status = do_action(n, action, name);
    node_unref(n);
    return status;
}
