/*
 * rhea-img map: which file of a chain holds what, and where.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

typedef struct Extent {
    uint64_t start, length;
    unsigned depth, flags;      /* BLOCK_* */
    uint64_t offset;
    BlockNode *node;            /* whose it is */
} Extent;

/* The run at `at`: the uppermost image that has something to say. */
static int get_extent(BlockNode *top, uint64_t at, uint64_t bytes, Extent *e)
{
    BlockNode *n = top;

    *e = (Extent) { .start = at, .node = top };
    for (;;) {
        BlockStatus st;
        BlockNode *below = n->backing;
        int ret = node_status(n, at, bytes, &st);

        if (ret < 0) {
            return ret;
        }
        bytes = MIN(bytes, st.bytes);
        e->flags = st.flags & (BLOCK_DATA | BLOCK_ZERO | BLOCK_ALLOCATED
                               | BLOCK_OFFSET);
        e->offset = st.flags & BLOCK_OFFSET ? st.map : 0;
        e->node = n;
        if (st.flags & BLOCK_ALLOCATED || !below) {
            e->flags |= st.flags & BLOCK_ALLOCATED ? 0 : BLOCK_ZERO;
            break;
        }
        n = below;
        e->depth++;
        if (at >= node_length(n)) {     /* zeroes behind a short image */
            e->flags = BLOCK_ZERO | BLOCK_ALLOCATED;
            e->node = n;
            break;
        }
    }
    e->length = bytes;
    return 0;
}

static bool goes_on(const Extent *a, const Extent *b)
{
    return a->depth == b->depth && a->flags == b->flags && a->node == b->node
           && (!(a->flags & BLOCK_OFFSET)
               || a->offset + a->length == b->offset);
}

static const char *yes(unsigned flags, unsigned bit)
{
    return flags & bit ? "true" : "false";
}

/* false: people cannot be told where that is. */
static bool print_extent(const Extent *e, bool json, bool last)
{
    if (json) {
        printf("{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
               ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s",
               e->start, e->length, e->depth, yes(e->flags, BLOCK_ALLOCATED),
               yes(e->flags, BLOCK_ZERO), yes(e->flags, BLOCK_DATA));
        if (e->flags & BLOCK_OFFSET) {
            printf(", \"offset\": %" PRIu64, e->offset);
        }
        printf("}%s", last ? "]\n" : ",\n");
        return true;
    }
    if (!(e->flags & BLOCK_DATA)) {
        return true;
    }
    if (!(e->flags & BLOCK_OFFSET)) {
        return false;
    }
    if (!(e->flags & BLOCK_ZERO)) {
        printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", e->start,
               e->length, e->offset, node_filename(e->node));
    }
    return true;
}

static int map(BlockNode *n, uint64_t at, uint64_t end, bool json)
{
    Extent now = { 0 }, next;
    bool ok = true;

    printf("%s", json ? "[" : "Offset          Length          Mapped to"
           "       File\n");
    while (ok && at < end) {
        int ret = get_extent(n, at, end - at, &next);

        if (ret < 0) {
            return img_error("Failed to read image metadata: %s",
                             g_strerror(-ret));
        }
        at += next.length;
        if (!now.length) {
            now = next;
        } else if (goes_on(&now, &next)) {
            now.length += next.length;
        } else {
            ok = print_extent(&now, json, false);
            now = next;
        }
    }
    if (ok && now.length) {
        ok = print_extent(&now, json, true);
    } else if (json) {
        printf("]\n");
    }
    return ok ? 0 : img_error("File contains external, encrypted or "
                              "compressed clusters.");
}

int img_map(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "format", required_argument, 0, 'f' },
        { "output", required_argument, 0, OPT_OUTPUT },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { "start-offset", required_argument, 0, 's' },
        { "max-length", required_argument, 0, 'l' },
        { 0 }
    };
    uint64_t start = 0, most = UINT64_MAX, end;
    const char *output = NULL;
    ImgOpen how = { 0 };
    BlockNode *n;
    bool json;
    int c, status;

    while ((c = img_getopt(argc, argv, "f:s:l:U", words)) != -1) {
        switch (c) {
        case 's':
            if (!img_parse_size(optarg, "start offset", &start)) {
                return 1;
            }
            break;
        case 'l':
            if (!img_parse_size(optarg, "max length", &most)) {
                return 1;
            }
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
    if (!img_is_json(output, &json)) {
        return 1;
    }
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    end = node_length(n);
    start = MIN(start, end);
    end = most < end - start ? start + most : end;
    status = map(n, start, end, json);
    node_unref(n);
    return status;
}
