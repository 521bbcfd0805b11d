/*
 * rhea-img commit, rebase and dd: data between the images of a chain.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

enum { BUFFER_BYTES = 2 << 20 };

/* --- commit --------------------------------------------------------------- */

typedef struct Commit {
    BlockNode *top, *base;
    bool empty;                 /* the top afterwards */
    ThrottleMember *limit;      /* or NULL */
    int ret;
} Commit;

/* What is above the base goes into it, and is on the disk when this ends. */
static int copy_down(Commit *c)
{
    uint8_t *buf = block_alloc(BUFFER_BYTES);
    uint64_t total = c->top->length;
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t at = 0; !ret && at < total; ) {
        BlockStatus st;

        ret = node_status_above(c->top, c->base, at, total - at, &st);
        if (ret < 0) {
            break;
        }
        if (!(st.flags & BLOCK_ALLOCATED)) {
            at += st.bytes;
        } else if (st.flags & BLOCK_ZERO) {
            ret = node_write_zeroes(c->base, at, st.bytes, BLOCK_MAY_UNMAP);
            at += st.bytes;
        } else {
            uint64_t len = MIN(st.bytes, BUFFER_BYTES);

            ret = node_read_buf(c->top, at, buf, len);
            img_rate_wait(c->limit, len);
            if (!ret) {
                ret = node_write_buf(c->base, at, buf, len);
            }
            at += len;
        }
        img_progress(100.0 * at / total);
    }
    block_free(buf);
    return ret ? ret : node_flush(c->base);
}

static void run_commit(void *opaque)
{
    Commit *c = opaque;

    c->ret = copy_down(c);
    if (!c->ret && c->empty) {
        c->ret = node_make_empty(c->top);
        if (!c->ret) {
            c->ret = node_flush(c->top);
        }
    }
}

static int commit(BlockNode *top, const char *name, const char *base_name,
                  bool drop, bool progress, bool quiet, uint64_t rate)
{
    Commit c = { .top = top };
    g_autoptr(GError) err = NULL;

    if (!node_backing(top) && base_name) {
        return img_error("Did not find '%s' in the backing chain of '%s'",
                         base_name, name);
    }
    if (!node_backing(top)) {
        return img_error("Image does not have a backing file");
    }
    c.base = base_name ? img_find_in_chain(top, base_name)
             : node_backing(top);
    if (!c.base) {
        return img_error("Did not find '%s' in the backing chain of '%s'",
                         base_name, name);
    }
    /* With a base further down, what is between is of no use afterwards. */
    c.empty = !drop && !base_name && node_can_empty(top);
    if (!node_reopen(c.base, false, &err)
        || (c.base->length < top->length
            && !node_truncate(c.base, top->length, PREALLOC_OFF, &err))) {
        return img_error("Could not commit to '%s': %s",
                         node_filename(c.base), err->message);
    }
    img_progress_start(progress && !quiet);
    c.limit = img_rate_start(rate, c.base);
    img_run(run_commit, &c);
    throttle_member_free(c.limit);
    if (c.ret < 0) {
        return img_error("Could not commit to '%s': %s",
                         node_filename(c.base), g_strerror(-c.ret));
    }
    img_progress_end();
    if (!quiet) {
        printf("Image committed.\n");
    }
    return 0;
}

int img_commit(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { 0 }
    };
    bool drop = false, progress = false, quiet = false;
    ImgOpen how = { .write = true, .unmap = true };
    const char *base = NULL;
    uint64_t rate = 0;
    BlockNode *n;
    int c, status;

    while ((c = img_getopt(argc, argv, "f:b:dpqt:r:", words)) != -1) {
        switch (c) {
        case 'b':
            base = optarg;
            drop = true;
            break;
        case 'd':
            drop = true;
            break;
        case 'p':
            progress = true;
            break;
        case 'q':
            quiet = true;
            break;
        case 't':
            how.cache = optarg;
            break;
        case 'r':
            if (!img_parse_rate(optarg, &rate)) {
                return 1;
            }
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
    if (!img_check_cache(how.cache, false)) {
        return 1;
    }
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    status = commit(n, argv[optind], base, drop, progress, quiet, rate);
    node_unref(n);
    return status;
}

/* --- rebase --------------------------------------------------------------- */

typedef struct Rebase {
    BlockNode *top, *old, *fresh;       /* either may be NULL */
    uint8_t *a, *b;
    int ret;
} Rebase;

static int read_below(BlockNode *n, uint64_t at, uint8_t *buf, uint64_t len)
{
    if (!n) {
        memset(buf, 0, len);
        return 0;
    }
    return node_read_buf(n, at, buf, len);      /* zeroes behind its end */
}

/* Runs of the buffer that the new backing file has not: into the top. */
static int keep_differences(Rebase *r, uint64_t at, uint64_t len)
{
    uint64_t step = MAX(node_cluster_bytes(r->top), 512);
    int ret = 0;

    for (uint64_t done = 0; !ret && done < len; ) {
        uint64_t n = MIN(step - ((at + done) & (step - 1)), len - done);

        if (memcmp(r->a + done, r->b + done, n)) {
            ret = mem_is_zero(r->a + done, n)
                  ? node_write_zeroes(r->top, at + done, n, 0)
                  : node_write_buf(r->top, at + done, r->a + done, n);
        }
        done += n;
    }
    return ret;
}

static void run_rebase(void *opaque)
{
    Rebase *r = opaque;
    uint64_t total = r->top->length;

    r->a = block_alloc(BUFFER_BYTES);
    r->b = block_alloc(BUFFER_BYTES);
    r->ret = r->a && r->b ? 0 : -ENOMEM;
    for (uint64_t at = 0; !r->ret && at < total; ) {
        BlockStatus st;
        uint64_t len;

        r->ret = node_status(r->top, at, total - at, &st);
        if (r->ret < 0) {
            break;
        }
        len = MIN(st.bytes, BUFFER_BYTES);
        if (st.flags & BLOCK_ALLOCATED) {
            len = st.bytes;
        } else {
            r->ret = read_below(r->old, at, r->a, len);
            if (!r->ret) {
                r->ret = read_below(r->fresh, at, r->b, len);
            }
            if (!r->ret) {
                r->ret = keep_differences(r, at, len);
            }
        }
        at += len;
        img_progress(100.0 * at / total);
    }
    block_free(r->a);
    block_free(r->b);
    if (!r->ret) {
        r->ret = node_flush(r->top);
    }
}

static BlockNode *open_new_backing(BlockNode *top, const char *file,
                                   const char *format, const char *cache)
{
    g_autofree char *path = block_resolve_path(node_filename(top), file);
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = block_file_opts(path, format, NULL, &err);
    BlockNode *n;

    if (o) {
        opt_put(o, "read-only", opt_new_bool(true));
    }
    n = o ? block_open(o, &err) : NULL;
    if (!n) {
        img_error("Could not open new backing file '%s': %s", file,
                  err->message);
    }
    return n;
}

static int rebase(BlockNode *top, const char *file, const char *format,
                  const char *cache, bool unsafe, bool progress)
{
    Rebase r = { .top = top, .old = node_backing(top) };
    g_autoptr(GError) err = NULL;

    if (!unsafe) {
        if (file) {
            r.fresh = open_new_backing(top, file, format, cache);
            if (!r.fresh) {
                return 1;
            }
        }
        img_progress_start(progress);
        img_run(run_rebase, &r);
        node_unref(r.fresh);
        if (r.ret < 0) {
            return img_error("error while rebasing '%s': %s",
                             node_filename(top), g_strerror(-r.ret));
        }
    } else {
        img_progress_start(progress);
    }
    if (!node_change_backing(top, file, format, &err)) {
        return img_error("Could not change the backing file to '%s': %s",
                         file ? file : "", err->message);
    }
    img_progress_end();
    return 0;
}

int img_rebase(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    const char *file = NULL, *format = NULL, *cache = NULL;
    bool unsafe = false, progress = false, quiet = false;
    ImgOpen how = { .write = true };
    BlockNode *n;
    int c, status;

    while ((c = img_getopt(argc, argv, "f:F:b:upt:T:qU", words)) != -1) {
        switch (c) {
        case 'F':
            format = optarg;
            break;
        case 'b':
            file = optarg;
            break;
        case 'u':
            unsafe = true;
            break;
        case 'p':
            progress = true;
            break;
        case 't':
            how.cache = optarg;
            break;
        case 'T':
            cache = optarg;
            break;
        case 'q':
            quiet = true;
            break;
        case 'U':
            break;              /* the image itself is written */
        default:
            if (!img_common_option(c, &how)) {
                return 1;
            }
        }
    }
    if (optind != argc - 1) {
        return img_usage("Expecting one image file name");
    }
    if (!unsafe && !file) {
        return img_usage("Must specify backing file (-b) or use unsafe mode "
                         "(-u)");
    }
    if (!img_check_cache(how.cache, false) || !img_check_cache(cache, true)) {
        return 1;
    }
    how.no_backing = unsafe;
    n = img_open(argv[optind], &how);
    if (!n) {
        return 1;
    }
    file = file && *file ? file : NULL;
    if (file && !format && !unsafe) {
        g_autoptr(GError) err = NULL;
        g_autofree char *path = block_resolve_path(node_filename(n), file);
        g_autoptr(Opt) o = block_file_opts(path, NULL, NULL, &err);

        if (o && opt_get_string(o, "driver", &format, NULL)) {
            format = g_intern_string(format);
        }
    }
    status = rebase(n, file, format, cache, unsafe, progress && !quiet);
    node_unref(n);
    return status;
}

/* --- dd ------------------------------------------------------------------- */

typedef struct Dd {
    const char *in, *out;
    uint64_t bs, count, skip;
    BlockNode *from, *to;
    uint64_t start, total;
    int ret;
} Dd;

static void run_dd(void *opaque)
{
    Dd *d = opaque;
    uint64_t step = MIN(d->bs, BUFFER_BYTES);
    uint8_t *buf = block_alloc(step);

    d->ret = buf ? 0 : -ENOMEM;
    for (uint64_t at = 0; !d->ret && at < d->total; at += step) {
        uint64_t len = MIN(step, d->total - at);

        d->ret = node_read_buf(d->from, d->start + at, buf, len);
        if (!d->ret) {
            d->ret = node_write_buf(d->to, at, buf, len);
        }
    }
    block_free(buf);
    if (!d->ret) {
        d->ret = node_flush(d->to);
    }
}

/* "if=x": which operand, and its value. */
static bool take_operand(Dd *d, const char *word)
{
    const struct { const char *key; uint64_t *size; const char **text; }
    rows[] = {
        { "if=", NULL, &d->in }, { "of=", NULL, &d->out },
        { "bs=", &d->bs, NULL }, { "count=", &d->count, NULL },
        { "skip=", &d->skip, NULL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!g_str_has_prefix(word, rows[i].key)) {
            continue;
        }
        word += strlen(rows[i].key);
        if (rows[i].text) {
            *rows[i].text = word;
            return true;
        }
        if (!parse_size(word, 1, rows[i].size)) {
            img_error("invalid number: '%s'", word);
            return false;
        }
        if (rows[i].size == &d->bs && (!d->bs || d->bs > INT32_MAX)) {
            img_error("Invalid bs specified. Must be between 1 and "
                      "2147483647.");
            return false;
        }
        return true;
    }
    img_error("unrecognized operand '%s'", word);
    return false;
}

static int dd(Dd *d, const ImgOpen *how, const char *out_format)
{
    g_autoptr(Opt) options = opt_new_dict();
    g_autoptr(GError) err = NULL;
    ImgOpen to = { .format = out_format, .write = true };
    uint64_t length;

    if (img_check_options(out_format, NULL, options, true)) {
        return 1;
    }
    d->from = img_open(d->in, how);
    if (!d->from) {
        return 1;
    }
    length = node_length(d->from);
    d->start = d->skip > length / d->bs ? length : d->skip * d->bs;
    d->total = length - d->start;
    if (d->count <= d->total / d->bs) {
        d->total = d->count * d->bs;
    }
    opt_put(options, "size", opt_new_uint(d->total));
    if (!block_create(d->out, out_format, options, &err)) {
        return img_error("%s: error while creating output image of type '%s': "
                         "%s", d->out, out_format, err->message);
    }
    d->to = img_open(d->out, &to);
    if (!d->to) {
        return 1;
    }
    img_run(run_dd, d);
    return d->ret < 0 ? img_error("error while copying: %s",
                                  g_strerror(-d->ret)) : 0;
}

int img_dd(int argc, char **argv)
{
    static const struct option words[] = {
        { "help", no_argument, 0, 'h' },
        { "object", required_argument, 0, OPT_OBJECT },
        { "image-opts", no_argument, 0, OPT_IMAGE_OPTS },
        { "force-share", no_argument, 0, 'U' },
        { 0 }
    };
    Dd d = { .bs = 512, .count = UINT64_MAX };
    const char *out_format = "raw";
    ImgOpen how = { 0 };
    int c, status;

    while ((c = img_getopt(argc, argv, "f:O:U", words)) != -1) {
        switch (c) {
        case 'O':
            out_format = optarg;
            break;
        default:
            if (!img_common_option(c, &how)) {
                return 1;
            }
        }
    }
    for (; optind < argc; optind++) {
        if (!take_operand(&d, argv[optind])) {
            return 1;
        }
    }
    if (!d.in || !d.out) {
        return img_error("Must specify both input and output files");
    }
    status = dd(&d, &how, out_format);
    node_unref(d.from);
    node_unref(d.to);
    return status;
}
