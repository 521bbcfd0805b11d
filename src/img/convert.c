/*
 * rhea-img convert: images into another image.
 *
 * Workers take pieces of the source in order: a run of zeroes, or data of at
 * most PIECE_BYTES.  They read (and pack) as they can and begin to write in
 * turn, so that the target's clusters follow one another; -W, and targets
 * without clusters, do without the turns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

enum { MAX_WORKERS = 16, PIECE_BYTES = 2 << 20 };

typedef enum { RUN_DATA, RUN_ZERO, RUN_SAME } RunKind;

typedef struct Source {
    BlockNode *n;
    uint64_t start;             /* in the target */
} Source;

typedef struct Convert {
    /* options */
    ImgOpen from, to;
    const char *out_format, *backing, *backing_format, *snapshot;
    Opt *options;
    uint64_t sparse_bytes;      /* 0: write all */
    uint64_t rate;              /* bytes a second; 0: no limit */
    unsigned n_workers;
    bool compress, progress, quiet, existing, any_order, target_opts;
    bool target_is_zero, salvage;

    Source *sources;
    unsigned n_sources;
    BlockNode *target;
    uint64_t total, cluster;
    bool zero_already, over_backing;
    unsigned write_flags;
    ThrottleMember *limit;      /* or NULL */

    /* the cursor */
    CoMutex lock;
    uint64_t next, run_end, sequence;
    RunKind run;

    /* turns */
    uint64_t turn;
    Co *waiting[MAX_WORKERS];

    unsigned n_running;
    Co *starter;
    int ret;
} Convert;

typedef struct Piece {
    Source *src;
    uint64_t at, bytes, sequence;
    RunKind kind;
} Piece;

static void fail(Convert *c, bool reading, uint64_t at, int ret)
{
    if (!c->ret) {
        c->ret = ret;
        img_error("error while %s at byte %" PRIu64 ": %s",
                  reading ? "reading" : "writing", at, g_strerror(-ret));
    }
}

/* --- pieces --------------------------------------------------------------- */

static Source *source_at(Convert *c, uint64_t at)
{
    unsigned i = 0;

    while (at >= c->sources[i].start + c->sources[i].n->length) {
        i++;
    }
    return &c->sources[i];
}

/* What is at the cursor, up to run_end. */
static int look(Convert *c)
{
    Source *src = source_at(c, c->next);
    uint64_t at = c->next - src->start;
    BlockNode *base = c->over_backing ? src->n->backing : NULL;
    BlockStatus st;
    int ret = node_status_above(src->n, base, at, src->n->length - at, &st);

    if (ret < 0) {
        if (!c->salvage) {
            return ret;
        }
        st = (BlockStatus) { .flags = BLOCK_DATA | BLOCK_ALLOCATED,
                             .bytes = MIN(65536, src->n->length - at) };
    }
    c->run_end = c->next + MIN(st.bytes, src->n->length - at);
    c->run = c->over_backing && !(st.flags & BLOCK_ALLOCATED) && base
             ? RUN_SAME
             : st.flags & BLOCK_ZERO ? RUN_ZERO : RUN_DATA;
    if (c->run == RUN_ZERO && !c->sparse_bytes) {
        c->run = RUN_DATA;
    }
    return 0;
}

/* Packed data has the shape of clusters: one at a time, or many of zeroes. */
static void shape_for_packing(Convert *c, Piece *p)
{
    uint64_t whole = ALIGN_DOWN(c->run_end - p->at, c->cluster);

    if (c->run_end == p->src->start + p->src->n->length
        && p->src == &c->sources[c->n_sources - 1]) {
        whole = c->run_end - p->at;
    }
    if (p->kind != RUN_DATA && whole) {
        p->bytes = whole;
        return;
    }
    p->kind = RUN_DATA;
    p->bytes = MIN(c->cluster, c->total - p->at);
}

/* The next thing to do; 0: there is none, or an error. */
static bool take_piece(Convert *c, Piece *p)
{
    co_mutex_lock(&c->lock);
    while (!c->ret && c->next < c->total) {
        int ret = c->next >= c->run_end ? look(c) : 0;

        if (ret < 0) {
            fail(c, true, c->next, ret);
            break;
        }
        *p = (Piece) { .src = source_at(c, c->next), .at = c->next,
                       .kind = c->run };
        p->bytes = c->run == RUN_DATA ? MIN(c->run_end - c->next, PIECE_BYTES)
                   : c->run_end - c->next;
        if (c->compress) {
            shape_for_packing(c, p);
        }
        c->next += p->bytes;
        if (p->kind == RUN_SAME
            || (p->kind == RUN_ZERO && c->zero_already)) {
            continue;           /* it is there already */
        }
        p->sequence = c->sequence++;
        co_mutex_unlock(&c->lock);
        return true;
    }
    co_mutex_unlock(&c->lock);
    return false;
}

/* --- turns ---------------------------------------------------------------- */

static void wait_turn(Convert *c, const Piece *p)
{
    if (!c->any_order && c->turn != p->sequence) {
        c->waiting[p->sequence % MAX_WORKERS] = co_self();
        co_yield();
    }
}

/* The next one goes on when this one waits for its write: after it. */
static void pass_turn(Convert *c)
{
    Co **next;

    if (c->any_order) {
        return;
    }
    c->turn++;
    next = &c->waiting[c->turn % MAX_WORKERS];
    if (*next) {
        block_ctx_wake(node_ctx(c->target), *next);
        *next = NULL;
    }
}

/* --- moving --------------------------------------------------------------- */

/* One piece may span sources when it is a packed cluster. */
static int read_piece(Convert *c, const Piece *p, uint8_t *buf)
{
    uint64_t at = p->at, left = p->bytes;

    while (left) {
        Source *src = source_at(c, at);
        uint64_t len = MIN(left, src->start + src->n->length - at);
        int ret = node_read_buf(src->n, at - src->start, buf, len);

        if (ret < 0 && c->salvage) {
            if (!c->quiet) {
                warn("error while reading at byte %" PRIu64 ": %s", at,
                     g_strerror(-ret));
            }
            memset(buf, 0, len);
        } else if (ret < 0) {
            return ret;
        }
        buf += len;
        at += len;
        left -= len;
    }
    return 0;
}

/* How far from `at` the buffer goes on being zero, or not being so. */
static uint64_t same_run(const Convert *c, const uint8_t *buf, uint64_t at,
                         uint64_t bytes, bool *zero)
{
    uint64_t step = c->sparse_bytes, end = at;

    do {
        uint64_t len = MIN(step - (end & (step - 1)), bytes - end);
        bool now = mem_is_zero(buf + end, len);

        if (end == at) {
            *zero = now;
        } else if (now != *zero) {
            break;
        }
        end += len;
    } while (end < bytes);
    return end - at;
}

static int write_piece(Convert *c, const Piece *p, const uint8_t *buf)
{
    uint64_t done = 0;

    while (done < p->bytes) {
        bool zero = false;
        uint64_t len = c->sparse_bytes
                       ? same_run(c, buf, done, p->bytes, &zero) : p->bytes;
        int ret = 0;

        if (!zero) {
            ret = node_write(c->target, p->at + done, len,
                             iov_all(&(struct iovec) {
                                 (uint8_t *)buf + done, len }, 1),
                             c->write_flags);
        } else if (!c->zero_already) {
            ret = node_write_zeroes(c->target, p->at + done, len,
                                    BLOCK_MAY_UNMAP | c->write_flags);
        }
        if (ret < 0) {
            return ret;
        }
        done += len;
    }
    return 0;
}

static int pack_piece(Convert *c, const Piece *p, const uint8_t *buf,
                      uint8_t *packed)
{
    if (c->sparse_bytes && c->zero_already && mem_is_zero(buf, p->bytes)) {
        return 0;
    }
    return node_pack(c->target, buf, p->bytes, packed);
}

static void do_piece(Convert *c, const Piece *p, uint8_t *buf)
{
    uint8_t *packed = buf + PIECE_BYTES;
    int ret = p->kind == RUN_DATA ? read_piece(c, p, buf) : 0, len = 0;

    if (ret < 0) {
        fail(c, true, p->at, ret);
    }
    if (!c->ret && c->compress && p->kind == RUN_DATA) {
        len = pack_piece(c, p, buf, packed);
    }
    wait_turn(c, p);
    pass_turn(c);
    if (!c->ret && p->kind == RUN_DATA) {
        img_rate_wait(c->limit, c->compress && len >= 0 ? (uint64_t)len
                                                        : p->bytes);
    }
    if (c->ret) {
        return;
    }
    if (p->kind == RUN_ZERO) {
        ret = node_write_zeroes(c->target, p->at, p->bytes,
                                BLOCK_MAY_UNMAP | c->write_flags);
    } else if (!c->compress || len == -ENOSPC) {
        ret = write_piece(c, p, buf);
    } else {
        ret = len > 0 ? node_write_packed(c->target, p->at, packed, len)
              : len;
    }
    if (ret < 0) {
        fail(c, false, p->at, ret);
    }
    img_progress(100.0 * p->at / MAX(c->total, 1));
}

static void worker(void *opaque)
{
    Convert *c = opaque;
    uint8_t *buf = block_alloc(2 * PIECE_BYTES);
    Piece p;

    while (buf && take_piece(c, &p)) {
        do_piece(c, &p, buf);
    }
    if (!buf) {
        fail(c, true, 0, -ENOMEM);
    }
    block_free(buf);
    if (!--c->n_running) {
        block_ctx_wake(node_ctx(c->target), c->starter);
    }
}

static void run_workers(void *opaque)
{
    Convert *c = opaque;

    c->starter = co_self();
    c->n_running = c->n_workers + 1;
    for (unsigned i = 0; i < c->n_workers; i++) {
        if (!co_start(worker, c)) {
            fail(c, true, 0, -ENOMEM);
            c->n_running--;
        }
    }
    if (--c->n_running) {
        co_yield();
    }
}

/* --- the target ----------------------------------------------------------- */

static int make_target(Convert *c, const char *name)
{
    g_autoptr(GError) err = NULL;
    const char *backing = NULL, *format = NULL;

    opt_put(c->options, "size", opt_new_uint(c->total));
    opt_get_string(c->options, "backing_file", &backing, NULL);
    opt_get_string(c->options, "backing_fmt", &format, NULL);
    if (backing && !format) {
        return img_error("Use of backing file requires explicit backing "
                         "format");
    }
    c->over_backing = backing != NULL;
    if (!block_create(name, c->out_format, c->options, &err)) {
        return img_error("%s: error while converting %s: %s", name,
                         c->out_format, err->message);
    }
    c->zero_already = !c->over_backing;
    return 0;
}

static bool drv_can_pack(const char *format)
{
    const BlockDriver *d = block_driver_find(format);

    return d->image && d->image->pack;
}

static int open_target(Convert *c, const char *name)
{
    ImgOpen how = c->to;

    how.write = how.unmap = true;
    how.format = c->target_opts ? NULL : c->out_format;
    how.image_opts = c->target_opts;
    c->target = img_open(name, &how);
    if (!c->target) {
        return 1;
    }
    if (c->existing && node_length(c->target) < c->total) {
        return img_error("output file is smaller than input file");
    }
    if (c->compress && !node_can_compress(c->target)) {
        return img_error("Compression not supported for this file format");
    }
    c->cluster = MAX(node_cluster_bytes(c->target), 512);
    if (c->existing) {
        c->zero_already = c->target_is_zero;
        c->over_backing = false;
    }
    if (!node_cluster_bytes(c->target)) {
        c->any_order = true;
    }
    c->write_flags = img_write_flags(c->to.cache);
    return 0;
}

/* --- the sources ---------------------------------------------------------- */

static int load_snapshot(Convert *c)
{
    const char *name = c->snapshot;
    BlockNode *n = c->sources[0].n;
    int i;

    if (c->n_sources > 1) {
        return img_error("No support for concatenating multiple snapshot");
    }
    if (g_str_has_prefix(name, "snapshot.name=")
        || g_str_has_prefix(name, "snapshot.id=")) {
        name = strchr(name, '=') + 1;
    }
    i = node_find_snapshot(n, name);
    if (i < 0 || node_load_snapshot(n, i) < 0) {
        return img_error("Failed to load snapshot: Can't find snapshot");
    }
    return 0;
}

static int open_sources(Convert *c, char **names, unsigned n)
{
    c->sources = g_new0(Source, n);
    for (unsigned i = 0; i < n; i++) {
        c->sources[i].n = img_open(names[i], &c->from);
        if (!c->sources[i].n) {
            return 1;
        }
        c->n_sources++;
    }
    if (c->snapshot && load_snapshot(c)) {
        return 1;
    }
    for (unsigned i = 0; i < n; i++) {
        c->sources[i].start = c->total;
        c->total += node_length(c->sources[i].n);
    }
    return 0;
}

/* --- all of it ------------------------------------------------------------ */

static int convert(Convert *c, char **names, unsigned n)
{
    const char *target = names[n - 1];
    int status = 0;

    if (!c->target_opts) {
        status = img_check_options(c->out_format, NULL, c->options, false);
        if (!status && c->compress && !drv_can_pack(c->out_format)) {
            status = img_error("Compression not supported for this file "
                               "format");
        }
    }
    if (!status) {
        status = open_sources(c, names, n - 1);
    }
    if (!status && c->backing) {
        opt_put(c->options, "backing_file", opt_new_string(c->backing));
    }
    if (!status && c->backing_format) {
        opt_put(c->options, "backing_fmt",
                opt_new_string(c->backing_format));
    }
    if (!status && !c->existing) {
        status = make_target(c, target);
    }
    if (!status) {
        status = open_target(c, target);
    }
    if (!status) {
        img_progress_start(c->progress);
        c->limit = img_rate_start(c->rate, c->target);
        img_run(run_workers, c);
        throttle_member_free(c->limit);
        if (!c->ret) {
            c->ret = node_flush(c->target);
            if (c->ret < 0) {
                img_error("error while flushing: %s", g_strerror(-c->ret));
            }
        }
        if (!c->ret) {
            img_progress_end();
        }
        status = c->ret != 0;
    }
    for (unsigned i = 0; i < c->n_sources; i++) {
        node_unref(c->sources[i].n);
    }
    node_unref(c->target);
    g_free(c->sources);
    return status;
}

static bool parse_sparse(const char *text, uint64_t *bytes)
{
    if (!parse_size(text, 1, bytes) || *bytes % 512 || *bytes > 16 * MiB) {
        img_error("Invalid buffer size for sparse output specified. Valid "
                  "sizes are multiples of 512 up to 16777216. Select 0 to "
                  "disable sparse detection (fully allocates output).");
        return false;
    }
    /* Powers of two: the next smaller one finds more, never less. */
    while (*bytes & (*bytes - 1)) {
        *bytes &= *bytes - 1;
    }
    return true;
}

static bool parse_workers(const char *text, unsigned *n)
{
    uint64_t val;

    if (!parse_uint(text, &val) || !val || val > MAX_WORKERS) {
        img_error("Invalid number of coroutines. Allowed number of coroutines "
                  "is between 1 and %d", MAX_WORKERS);
        return false;
    }
    *n = val;
    return true;
}

static const struct option convert_words[] = {
    { "help", no_argument, 0, 'h' },
    { "object", required_argument, 0, OPT_OBJECT },
    { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
    { "force-share", no_argument, 0, 'U' },
    { "target-image-opts", no_argument, 0, OPT_TARGET_IMAGE_OPTS },
    { "salvage", no_argument, 0, OPT_SALVAGE },
    { "target-is-zero", no_argument, 0, OPT_TARGET_IS_ZERO },
    { "bitmaps", no_argument, 0, OPT_BITMAPS },
    { "skip-broken-bitmaps", no_argument, 0, OPT_SKIP_BROKEN },
    { 0 }
};

/* -1: go on; else the exit status. */
static int take_option(Convert *k, int c)
{
    switch (c) {
    case 'f':
        k->from.format = optarg;
        return -1;
    case 'O':
        k->out_format = optarg;
        return -1;
    case 'B':
        k->backing = optarg;
        return -1;
    case 'F':
        k->backing_format = optarg;
        return -1;
    case 'c':
        k->compress = true;
        return -1;
    case 'o':
        return img_add_options(k->options, optarg) ? -1 : 1;
    case 'l':
    case 's':
        k->snapshot = optarg;
        return -1;
    case 'S':
        return parse_sparse(optarg, &k->sparse_bytes) ? -1 : 1;
    case 'p':
        k->progress = true;
        return -1;
    case 't':
        k->to.cache = optarg;
        return -1;
    case 'T':
        k->from.cache = optarg;
        return -1;
    case 'q':
        k->quiet = true;
        return -1;
    case 'n':
        k->existing = true;
        return -1;
    case 'm':
        return parse_workers(optarg, &k->n_workers) ? -1 : 1;
    case 'W':
        k->any_order = true;
        return -1;
    case 'C':                   /* the kernel copies where it can: a hint */
        return -1;
    case 'U':
        k->from.force_share = true;
        return -1;
    case OPT_SALVAGE:
        k->salvage = true;
        return -1;
    case OPT_TARGET_IS_ZERO:
        k->target_is_zero = true;
        return -1;
    case OPT_IMAGE_OPTS:
        k->from.image_opts = true;
        return -1;
    case OPT_TARGET_IMAGE_OPTS:
        k->target_opts = true;
        return -1;
    case OPT_BITMAPS:
    case OPT_SKIP_BROKEN:
        return img_error("--bitmaps: bitmaps are not copied");
    case 'r':
        return img_parse_rate(optarg, &k->rate) ? -1 : 1;
    case OPT_OBJECT:
        return img_no_objects(optarg);
    default:
        return 1;
    }
}

int img_convert(int argc, char **argv)
{
    g_autoptr(Opt) options = opt_new_dict();
    Convert k = {
        .out_format = "raw", .options = options, .sparse_bytes = 4096,
        .n_workers = 8, .to.cache = "unsafe",
    };
    int c, status = -1;
    bool help = false;

    while (status < 0 && (c = img_getopt(argc, argv,
                                         "f:O:B:F:co:l:s:S:pt:T:qnm:WCUr:",
                                         convert_words)) != -1) {
        if (c == 'o' && img_is_help(optarg)) {
            help = true;
        } else {
            status = take_option(&k, c);
        }
    }
    if (status >= 0) {
        return status;
    }
    if (help) {
        return img_print_options(k.out_format);
    }
    if (argc - optind < 1) {
        return img_error("Must specify image file name");
    }
    if (argc - optind < 2) {
        return img_error("Must specify image file name");
    }
    if (!img_check_cache(k.to.cache, false)
        || !img_check_cache(k.from.cache, true)) {
        return 1;
    }
    if (k.target_opts && !k.existing) {
        return img_error("--target-image-opts requires use of -n flag");
    }
    if (k.target_is_zero && !k.existing) {
        return img_error("--target-is-zero requires use of -n flag");
    }
    return convert(&k, argv + optind, argc - optind);
}
