/*
 * rhea-img info: what an image is, and what it stands on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "img.h"

/* A snapshot as JSON has it. */
static Opt *snapshot_dict(const BlockSnapshot *snap)
{
    Opt *o = opt_new_dict();

    if (snap->icount != UINT64_MAX) {
        opt_put(o, "icount", opt_new_uint(snap->icount));
    }
    opt_put(o, "vm-clock-nsec", opt_new_uint(snap->vm_clock_ns % NS_PER_SEC));
    opt_put(o, "name", opt_new_string(snap->name));
    opt_put(o, "date-sec", opt_new_uint(snap->date_s));
    opt_put(o, "date-nsec", opt_new_uint(snap->date_ns));
    opt_put(o, "vm-clock-sec", opt_new_uint(snap->vm_clock_ns / NS_PER_SEC));
    opt_put(o, "id", opt_new_string(snap->id));
    opt_put(o, "vm-state-size", opt_new_uint(snap->vm_state_bytes));
    return o;
}

static Opt *snapshots_list(BlockNode *n)
{
    Opt *list = opt_new_list();

    for (unsigned i = 0; i < node_n_snapshots(n); i++) {
        BlockSnapshot snap;

        node_get_snapshot(n, i, &snap);
        opt_append(list, snapshot_dict(&snap));
    }
    return list;
}

static Opt *info_dict(BlockNode *n, const char *filename)
{
    Opt *o = opt_new_dict(), *own = node_info(n);
    const char *backing = node_backing_file(n);
    int64_t disk = img_disk_bytes(n);

    opt_put(o, "virtual-size", opt_new_uint(node_length(n)));
    opt_put(o, "filename", opt_new_string(filename));
    opt_put(o, "format", opt_new_string(node_driver_name(n)));
    opt_put(o, "dirty-flag", opt_new_bool(node_is_dirty(n)));
    if (disk >= 0) {
        opt_put(o, "actual-size", opt_new_int(disk));
    }
    if (node_cluster_bytes(n)) {
        opt_put(o, "cluster-size", opt_new_uint(node_cluster_bytes(n)));
    }
    if (node_n_snapshots(n)) {
        opt_put(o, "snapshots", snapshots_list(n));
    }
    if (backing) {
        g_autofree char *full = block_resolve_path(filename, backing);

        opt_put(o, "backing-filename", opt_new_string(backing));
        opt_put(o, "full-backing-filename", opt_new_string(full));
        if (node_backing_format(n)) {
            opt_put(o, "backing-filename-format",
                    opt_new_string(node_backing_format(n)));
        }
    }
    if (opt_len(own)) {
        Opt *specific = opt_new_dict();

        opt_put(specific, "type", opt_new_string(node_driver_name(n)));
        opt_put(specific, "data", own);
        opt_put(o, "format-specific", specific);
    } else {
        opt_free(own);
    }
    return o;
}

/* "lazy-refcounts" is "lazy refcounts" to people; lists are numbered. */
static void print_members(const Opt *node, unsigned indent)
{
    bool list = opt_kind(node) == OPT_LIST;

    for (unsigned i = 0; i < opt_len(node); i++) {
        g_autofree char *key = list ? g_strdup_printf("[%u]", i)
                               : g_strdup(opt_key_at(node, i));
        const Opt *val = opt_at(node, i);
        g_autoptr(GString) text = g_string_new(NULL);

        g_strdelimit(key, "-", ' ');
        printf("%*s%s:", indent, "", key);
        if (opt_kind(val) == OPT_LIST || opt_kind(val) == OPT_DICT) {
            printf("\n");
            print_members(val, indent + 4);
            continue;
        }
        if (opt_kind(val) == OPT_STRING) {
            g_string_append(text, opt_string(val));
        } else {
            opt_to_json(val, text);
        }
        printf(" %s\n", text->str);
    }
}

static void print_specific(BlockNode *n)
{
    g_autoptr(Opt) own = node_info(n);

    if (opt_len(own)) {
        printf("Format specific information:\n");
    }
    print_members(own, 4);
}

static void print_info(BlockNode *n, const char *filename)
{
    g_autofree char *size = img_size_text(node_length(n));
    g_autofree char *disk = NULL;
    int64_t bytes = img_disk_bytes(n);
    const char *backing = node_backing_file(n);

    disk = bytes < 0 ? g_strdup("unavailable") : img_size_text(bytes);
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64
           " bytes)\ndisk size: %s\n", filename, node_driver_name(n), size,
           node_length(n), disk);
    if (node_cluster_bytes(n)) {
        printf("cluster_size: %" PRIu64 "\n", node_cluster_bytes(n));
    }
    if (node_is_dirty(n)) {
        printf("cleanly shut down: no\n");
    }
    if (backing) {
        g_autofree char *full = block_resolve_path(filename, backing);

        printf("backing file: %s", backing);
        if (strcmp(full, backing)) {
            printf(" (actual path: %s)", full);
        }
        printf("\n");
        if (node_backing_format(n)) {
            printf("backing file format: %s\n", node_backing_format(n));
        }
    }
    if (node_n_snapshots(n)) {
        img_print_snapshots(n, "");
    }
    print_specific(n);
}

typedef struct Info {
    ImgOpen how;
    bool json, chain;
    Opt *list;
    GHashTable *seen;           /* file names of the chain */
    bool first;
} Info;

/* One image; *next is the one below, to be freed. */
static int show_one(Info *i, const char *name, char **next, char **format)
{
    BlockNode *n;
    const char *backing;

    if (!g_hash_table_add(i->seen, g_strdup(name))) {
        return img_error("Backing file '%s' creates an infinite loop.", name);
    }
    n = img_open(name, &i->how);
    if (!n) {
        return 1;
    }
    if (i->json) {
        opt_append(i->list, info_dict(n, i->how.image_opts
                                      ? node_filename(n) : name));
    } else {
        printf("%s", i->first ? "" : "\n");
        print_info(n, i->how.image_opts ? node_filename(n) : name);
    }
    i->first = false;
    backing = node_backing_file(n);
    if (i->chain && backing) {
        *next = block_resolve_path(node_filename(n), backing);
        *format = g_strdup(node_backing_format(n));
    }
    node_unref(n);
    return 0;
}

static int show_all(Info *i, const char *filename)
{
    g_autofree char *name = g_strdup(filename), *format = NULL;

    while (name) {
        char *next = NULL, *next_format = NULL;
        int status = show_one(i, name, &next, &next_format);

        g_free(name);
        g_free(format);
        name = next;
        format = next_format;
        i->how.format = format;
        i->how.image_opts = false;
        if (status) {
            return status;
        }
    }
    if (i->json) {
        img_print_json(i->chain ? i->list : opt_at(i->list, 0));
    }
    return 0;
}

int img_info(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "format", required_argument, 0, 'f' },
        { "output", required_argument, 0, OPT_OUTPUT },
        { "backing-chain", no_argument, 0, OPT_BACKING_CHAIN },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    Info i = { .how.no_backing = true, .first = true };
    const char *output = NULL;
    int c, status;

    while ((c = img_getopt(argc, argv, "f:U", words)) != -1) {
        switch (c) {
        case OPT_OUTPUT:
            output = optarg;
            break;
        case OPT_BACKING_CHAIN:
            i.chain = true;
            break;
        default:
            if (!img_common_option(c, &i.how)) {
                return 1;
            }
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    if (!img_is_json(output, &i.json)) {
        return 1;
    }
    i.list = opt_new_list();
    i.seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    status = show_all(&i, argv[optind]);
    opt_free(i.list);
    g_hash_table_unref(i.seen);
    return status;
}
