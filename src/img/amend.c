/*
 * rhea-img amend: options of an image, changed afterwards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

int img_amend(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force", no_argument, 0, OPT_FORCE },
        { 0 }
    };
    g_autoptr(Opt) options = opt_new_dict();
    g_autoptr(GError) err = NULL;
    ImgOpen how = { .write = true };
    bool progress = false, quiet = false, help = false, ok;
    BlockNode *n;
    int c;

    while ((c = img_getopt(argc, argv, "o:f:t:pq", words)) != -1) {
        switch (c) {
        case 'o':
            if (img_is_help(optarg)) {
                help = true;
            } else if (!img_add_options(options, optarg)) {
                return 1;
            }
            break;
        case 't':
            how.cache = optarg;
            break;
        case 'p':
            progress = true;
            break;
        case 'q':
            quiet = true;
            break;
        case OPT_FORCE:         /* about keys of encrypted images */
            break;
        default:
            if (!img_common_option(c, &how)) {
                return 1;
            }
        }
    }
    if (help) {
        return img_print_options(how.format ? how.format : "qcow2");
    }
    if (!opt_len(options)) {
        return img_usage("Must specify options (-o)");
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    if (!img_check_cache(how.cache, false)) {
        return 1;
    }
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    ok = !img_check_options(node_driver_name(n), NULL, options, true);
    if (ok) {
        img_progress_start(progress && !quiet);
        ok = node_amend(n, options, &err);
        if (ok) {
            img_progress_end();
        } else {
            img_error("%s", err->message);
        }
    }
    node_unref(n);
    return !ok;
}
