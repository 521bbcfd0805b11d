/*
 * rhea-img check: is the image sound, and if not, make it so.
 *
 * Exit status: 0 sound, 1 not checked, 2 corrupt, 3 leaks, 63 the format has
 * no checks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "img.h"

static Opt *check_dict(const BlockCheck *k, const char *filename,
                       const char *format)
{
    const struct { const char *key; uint64_t val; } rows[] = {
        { "image-end-offset", k->image_end },
        { "corruptions", k->corruptions }, { "leaks", k->leaks },
        { "corruptions-fixed", k->corruptions_fixed },
        { "leaks-fixed", k->leaks_fixed },
        { "total-clusters", k->total_clusters },
        { "allocated-clusters", k->allocated_clusters },
        { "fragmented-clusters", k->fragmented_clusters },
        { "compressed-clusters", k->compressed_clusters },
    };
    Opt *o = opt_new_dict();

    opt_put(o, "filename", opt_new_string(filename));
    opt_put(o, "format", opt_new_string(format));
    opt_put(o, "check-errors", opt_new_uint(k->check_errors));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].val) {
            opt_put(o, rows[i].key, opt_new_uint(rows[i].val));
        }
    }
    return o;
}

static void print_check(const BlockCheck *k)
{
    if (!(k->corruptions || k->leaks || k->check_errors)) {
        printf("No errors were found on the image.\n");
    }
    if (k->corruptions) {
        printf("\n%" PRIu64 " errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may "
               "corrupt it.\n", k->corruptions);
    }
    if (k->leaks) {
        printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n",
               k->leaks);
    }
    if (k->check_errors) {
        printf("\n%" PRIu64 " internal errors have occurred during the "
               "check.\n", k->check_errors);
    }
    if (k->total_clusters && k->allocated_clusters) {
        printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% "
               "fragmented, %0.2f%% compressed clusters\n",
               k->allocated_clusters, k->total_clusters,
               k->allocated_clusters * 100.0 / k->total_clusters,
               k->fragmented_clusters * 100.0 / k->allocated_clusters,
               k->compressed_clusters * 100.0 / k->allocated_clusters);
    }
    if (k->image_end) {
        printf("Image end offset: %" PRIu64 "\n", k->image_end);
    }
}

static int run_check(BlockNode *n, unsigned fix, BlockCheck *k)
{
    int ret;

    *k = (BlockCheck) { .log = g_string_new(NULL) };
    ret = node_check(n, fix, k);
    fflush(stdout);
    fprintf(stderr, "%s", k->log->str);
    g_string_free(k->log, TRUE);
    return ret;
}

static int check_image(BlockNode *n, const char *name, unsigned fix,
                       bool json, bool quiet)
{
    BlockCheck k;
    int ret = run_check(n, fix, &k);

    if (ret < 0) {
        img_error("Check failed: %s", g_strerror(-ret));
        return 1;
    }
    if (k.corruptions_fixed || k.leaks_fixed) {
        uint64_t corruptions = k.corruptions_fixed, leaks = k.leaks_fixed;

        if (!json && !quiet) {
            printf("The following inconsistencies were found and repaired:\n"
                   "\n    %" PRIu64 " leaked clusters\n    %" PRIu64
                   " corruptions\n\nDouble checking the fixed image now...\n",
                   leaks, corruptions);
        }
        ret = run_check(n, 0, &k);
        if (ret < 0) {
            img_error("Check failed: %s", g_strerror(-ret));
            return 1;
        }
        k.corruptions_fixed = corruptions;
        k.leaks_fixed = leaks;
    }
    if (json && !quiet) {
        g_autoptr(Opt) o = check_dict(&k, name, node_driver_name(n));

        img_print_json(o);
    } else if (!quiet) {
        print_check(&k);
    }
    return k.check_errors ? 1 : k.corruptions ? 2 : k.leaks ? 3 : 0;
}

int img_check(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "format", required_argument, 0, 'f' },
        { "repair", required_argument, 0, 'r' },
        { "output", required_argument, 0, OPT_OUTPUT },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    ImgOpen how = { .no_backing = true, .check = true };
    const char *output = NULL;
    bool json, quiet = false;
    unsigned fix = 0;
    BlockNode *n;
    int c, status;

    while ((c = img_getopt(argc, argv, "f:r:T:qU", words)) != -1) {
        switch (c) {
        case 'r':
            if (strcmp(optarg, "leaks") && strcmp(optarg, "all")) {
                return img_usage("Unknown option value for -r (expecting "
                                 "'leaks' or 'all'): %s", optarg);
            }
            fix = BLOCK_FIX_LEAKS | (*optarg == 'a' ? BLOCK_FIX_ERRORS : 0);
            break;
        case 'T':
            how.cache = optarg;
            break;
        case 'q':
            quiet = true;
            break;
        case OPT_OUTPUT:
            output = optarg;
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
    if (!img_is_json(output, &json) || !img_check_cache(how.cache, true)) {
        return 1;
    }
    how.write = fix != 0;
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    if (!node_can_check(n)) {
        img_error("This image format does not support checks");
        status = 63;
    } else {
        status = check_image(n, argv[optind], fix, json, quiet);
    }
    node_unref(n);
    return status;
}
