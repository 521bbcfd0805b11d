/*
 * "qcow2": opening, closing, and the list of what the driver can do.
 *
 * Models: versions 2 and 3, all cluster sizes and widths of counts, compressed
 *         clusters (zlib, zstd), zero clusters, backing files, lazy refcounts,
 *         internal snapshots.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "base/log.h"
#include "qcow2.h"

enum { MAX_CHAIN = 200 };       /* images on top of one another */

static int qcow2_probe(const uint8_t *head, size_t len)
{
    return len >= 8 && load_be32(head) == QCOW2_MAGIC
           && load_be32(head + 4) >= 2 ? 100 : 0;
}

/* --- options -------------------------------------------------------------- */

typedef struct Options {
    int lazy;                   /* -1: as the image says */
    uint64_t l2_bytes, block_bytes;
    bool no_backing;
} Options;

static bool get_options(BlockNode *n, Opt *o, Options *out, GError **err)
{
    static const char *const checks[] = {
        "none", "constant", "cached", "all", NULL
    };
    uint64_t total = 0, interval = 0, entry = 0;
    bool lazy = false, pass = true, other = false, snapshot = true;
    int check = 0;

    *out = (Options) { .lazy = -1 };
    if (opt_has(o, "lazy-refcounts")) {
        if (!opt_get_bool(o, "lazy-refcounts", &lazy, err)) {
            return false;
        }
        out->lazy = lazy;
    }
    if (!opt_get_size(o, "cache-size", &total, 1, err)
        || !opt_get_size(o, "l2-cache-size", &out->l2_bytes, 1, err)
        || !opt_get_size(o, "refcount-cache-size", &out->block_bytes, 1, err)
        || !opt_get_size(o, "l2-cache-entry-size", &entry, 1, err)
        || !opt_get_uint(o, "cache-clean-interval", &interval, UINT32_MAX,
                         err)
        || !opt_get_enum(o, "overlap-check", checks, &check, err)
        || !opt_get_bool(o, "pass-discard-request", &pass, err)
        || !opt_get_bool(o, "pass-discard-snapshot", &snapshot, err)
        || !opt_get_bool(o, "pass-discard-other", &other, err)) {
        return false;
    }
    if (total && out->l2_bytes && out->block_bytes) {
        return block_fail(err, "cache-size, l2-cache-size and "
                          "refcount-cache-size may not be set at the same "
                          "time");
    }
    if (total && MAX(out->l2_bytes, out->block_bytes) > total) {
        return block_fail(err, "l2-cache-size and refcount-cache-size may "
                          "not exceed cache-size");
    }
    if (total && out->block_bytes) {
        out->l2_bytes = total - out->block_bytes;
    } else if (total) {
        out->l2_bytes = out->l2_bytes ? out->l2_bytes : total - total / 5;
        out->block_bytes = total - out->l2_bytes;
    }
    qcow2_of(n)->pass_discards = pass;
    return true;
}

/* What the whole disk needs, but at most 32 MiB; counts: a sixteenth. */
static void init_caches(Qcow2 *s, const Options *o)
{
    uint64_t need = qcow2_l1_needed(s, s->n->length);
    uint64_t l2 = (o->l2_bytes ? o->l2_bytes : 32 * MiB) >> s->cluster_bits;
    uint64_t blocks = (o->block_bytes ? o->block_bytes : 2 * MiB)
                      >> s->cluster_bits;

    /* All of them in one write-back, so one more than there are. */
    l2 = MIN(l2, need + 4);
    qcow2_cache_init(&s->l2, MIN(l2, 1 << 17));
    qcow2_cache_init(&s->blocks, MIN(blocks, 1 << 17));
}

/* --- tables at opening ---------------------------------------------------- */

static bool read_entries(Qcow2 *s, uint64_t offset, uint64_t n,
                         const char *what, uint64_t **out, GError **err)
{
    uint64_t length = s->n->file->length;
    int ret;

    if (qcow2_in_cluster(s, offset)) {
        return block_fail(err, "%s offset invalid", what);
    }
    if (n && (offset > length || n * 8 > ALIGN_UP(length - offset,
                                                  s->cluster))) {
        return block_fail(err, "%s is behind the end of the file: is the "
                          "image truncated?", what);
    }
    *out = g_try_new0(uint64_t, MAX(n, 1));
    if (!*out) {
        return block_fail(err, "no memory for the %s", what);
    }
    ret = node_read_buf(s->n->file, offset, *out, n * 8);
    if (ret < 0) {
        return block_fail_errno(err, -ret, "Could not read %s", what);
    }
    for (uint64_t i = 0; i < n; i++) {
        (*out)[i] = GUINT64_FROM_BE((*out)[i]);
    }
    return true;
}

/* The places that the header names, one on top of the other? */
static bool check_places(const Qcow2 *s, GError **err)
{
    const struct { const char *what; uint64_t at, bytes; } places[] = {
        { "header", 0, s->cluster },
        { "active L1 table", s->l1_offset, (uint64_t)s->l1_size * 8 },
        { "reference count table", s->reftable_offset,
          (uint64_t)s->reftable_clusters << s->cluster_bits },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        for (unsigned j = 0; j < i; j++) {
            if (places[i].bytes && places[j].bytes
                && places[i].at < places[j].at + places[j].bytes
                && places[j].at < places[i].at + places[i].bytes) {
                return block_fail(err, "the %s overlaps the %s",
                                  places[i].what, places[j].what);
            }
        }
    }
    return true;
}

static bool read_tables(Qcow2 *s, GError **err)
{
    uint64_t need = qcow2_l1_needed(s, s->n->length);
    uint64_t entries;

    if (s->n->length > BLOCK_MAX_LENGTH) {
        return block_fail(err, "Image size too big");
    }
    if ((uint64_t)s->l1_size * 8 > QCOW2_MAX_L1_BYTES) {
        return block_fail(err, "Active L1 table too large");
    }
    if (s->l1_size < need) {
        return block_fail(err, "L1 table is too small");
    }
    if (!s->reftable_clusters && !s->checking) {
        return block_fail(err, "Image does not contain a reference count "
                          "table");
    }
    entries = (uint64_t)s->reftable_clusters << s->cluster_bits >> 3;
    if (entries * 8 > QCOW2_MAX_REFTABLE_BYTES) {
        return block_fail(err, "Image does not contain a reference count "
                          "table of a possible size: it has %u clusters",
                          s->reftable_clusters);
    }
    if (!check_places(s, err)) {
        return false;
    }
    if (!read_entries(s, s->reftable_offset, entries, "Reference count table",
                      &s->reftable, err)
        || !read_entries(s, s->l1_offset, s->l1_size, "Active L1 table",
                         &s->l1, err)) {
        return false;
    }
    s->reftable_size = entries;
    for (uint64_t i = 0; i < entries; i++) {
        if (s->reftable[i] & REFTABLE_OFFSET) {
            qcow2_add_metadata(s, s->reftable[i] & REFTABLE_OFFSET,
                               TABLE_BLOCK);
        }
    }
    for (uint32_t i = 0; i < s->l1_size; i++) {
        if (s->l1[i] & ENTRY_OFFSET) {
            qcow2_add_metadata(s, s->l1[i] & ENTRY_OFFSET, TABLE_L2);
        }
    }
    return true;
}

static bool read_header(Qcow2 *s, GError **err)
{
    uint8_t head[QCOW2_HEADER_BYTES] = { 0 };
    g_autofree uint8_t *cluster = NULL;
    uint64_t length = s->n->file->length;
    uint32_t n_snapshots;
    int ret = node_read_buf(s->n->file, 0, head, sizeof(head));

    if (ret < 0) {
        return block_fail_errno(err, -ret, "Could not read qcow2 header");
    }
    if (!qcow2_parse_header(s, head, MIN(sizeof(head), length), err)) {
        return false;
    }
    cluster = g_malloc(s->cluster);
    ret = node_read_buf(s->n->file, 0, cluster, s->cluster);
    if (ret < 0) {
        return block_fail_errno(err, -ret, "Could not read qcow2 header");
    }
    if (s->header_bytes > MIN(s->cluster, length)) {
        return block_fail(err, "qcow2 header is longer than the file");
    }
    n_snapshots = s->n_snapshots;
    s->n_snapshots = 0;
    return qcow2_parse_extensions(s, cluster, MIN(s->cluster, length), err)
           && read_tables(s, err)
           && qcow2_read_snapshots(s, n_snapshots, err);
}

/* --- the backing file ----------------------------------------------------- */

/* Images that are being opened, the uppermost first: who comes again closes a
 * ring.  Under the machine lock. */
static GPtrArray *opening;

static bool open_named_backing(BlockNode *n, Qcow2 *s, GError **err)
{
    g_autofree char *path = block_resolve_path(node_filename(n->file),
                                               s->backing_file);
    g_autofree char *real = realpath(path, NULL);
    g_autofree char *own = realpath(node_filename(n->file), NULL);
    g_autoptr(Opt) o = NULL;
    bool ring = false, ok;

    opening = opening ? opening : g_ptr_array_new();
    g_ptr_array_add(opening, own ? own : (char *)"");
    for (unsigned i = 0; real && i < opening->len; i++) {
        ring |= !strcmp(real, g_ptr_array_index(opening, i));
    }
    if (ring) {
        ok = block_fail(err, "Backing file '%s' creates an infinite loop",
                        path);
    } else if (opening->len > MAX_CHAIN) {
        ok = block_fail(err, "more than %d images on top of one another",
                        MAX_CHAIN);
    } else {
        o = block_file_opts(path, s->backing_format, NULL, err);
        ok = o && node_add_child(n, o, "backing", err);
    }
    g_ptr_array_set_size(opening, opening->len - 1);
    if (!ok && !ring) {
        g_prefix_error(err, "Could not open backing file: ");
    }
    return ok;
}

static bool open_backing(BlockNode *n, Opt *opts, GError **err)
{
    Qcow2 *s = n->state;
    Opt *val = opt_get(opts, "backing");

    if (val) {
        if (opt_kind(val) == OPT_NULL
            || (opt_kind(val) == OPT_STRING && !*opt_string(val))) {
            return true;
        }
        if (opt_kind(val) == OPT_DICT && !opt_has(val, "driver")
            && s->backing_file) {
            return block_fail(err, "parameter 'backing' needs "
                              "'backing.driver'");
        }
        return node_add_child(n, val, "backing", err) != NULL;
    }
    return !s->backing_file || open_named_backing(n, s, err);
}

/* --- opening and closing -------------------------------------------------- */

static void free_state(Qcow2 *s)
{
    qcow2_free_snapshots(s);
    if (s->l2.by_offset) {
        qcow2_cache_free(&s->l2);
        qcow2_cache_free(&s->blocks);
    }
    g_clear_pointer(&s->metadata, g_hash_table_unref);
    g_clear_pointer(&s->frees, g_array_unref);
    g_clear_pointer(&s->l1, g_free);
    g_clear_pointer(&s->reftable, g_free);
    g_clear_pointer(&s->backing_file, g_free);
    g_clear_pointer(&s->backing_format, g_free);
    g_clear_pointer(&s->extensions, g_free);
    block_free(s->z_data);
    s->z_data = NULL;
}

static int make_sound(BlockNode *n)
{
    BlockCheck check = { 0 };
    int ret = node_check(n, BLOCK_FIX_LEAKS | BLOCK_FIX_ERRORS, &check);

    return ret < 0 ? ret
           : check.corruptions != check.corruptions_fixed
             || check.check_errors ? -EIO : 0;
}

/* An image that somebody did not close, or found broken. */
static bool check_bits(Qcow2 *s, GError **err)
{
    BlockNode *n = s->n;

    if (n->read_only || s->checking) {
        return true;
    }
    if (s->incompatible & INCOMPAT_CORRUPT) {
        return block_fail(err, "qcow2: Image is corrupt; cannot be opened "
                          "read/write");
    }
    if (s->incompatible & INCOMPAT_DIRTY) {
        int ret = make_sound(n);

        if (ret < 0) {
            return block_fail_errno(err, -ret, "Could not repair dirty "
                                    "image");
        }
    }
    return true;
}

static bool qcow2_open(BlockNode *n, Opt *opts, GError **err)
{
    Qcow2 *s = n->state;
    Options o;

    s->n = n;
    s->metadata = g_hash_table_new(NULL, NULL);
    s->frees = g_array_new(FALSE, FALSE, sizeof(FreeRange));
    if (!get_options(n, opts, &o, err)
        || !opt_get_bool(opts, "x-check", &s->checking, err)
        || !node_open_child(n, opts, "file", false, err)
        || !read_header(s, err) || !open_backing(n, opts, err)) {
        goto fail;
    }
    init_caches(s, &o);
    if (o.lazy >= 0) {
        if (o.lazy && s->version < 3) {
            block_fail(err, "Lazy refcounts require a qcow image with at "
                       "least qemu 1.1 compatibility level");
            goto fail;
        }
        s->compatible = (s->compatible & ~COMPAT_LAZY_REFCOUNTS)
                        | (o.lazy ? COMPAT_LAZY_REFCOUNTS : 0);
    }
    s->high_water = n->file->length;
    n->zero_alignment = s->cluster;
    if (!check_bits(s, err)) {
        goto fail;
    }
    return true;
fail:
    if (err && *err && n->file) {
        g_autofree char *was = g_strdup((*err)->message);

        if (!strstr(was, node_filename(n->file))) {
            g_prefix_error(err, "'%s': ", node_filename(n->file));
        }
    }
    free_state(s);
    return false;
}

static void warn_unclean(BlockNode *n, int ret)
{
    warn("'%s': could not be closed in order: %s", node_filename(n),
         g_strerror(-ret));
}

/* node_unref() has flushed: what is left is the dirty bit. */
static void close_co(void *opaque)
{
    BlockNode *n = opaque;
    Qcow2 *s = n->state;
    int ret;

    co_mutex_lock(&s->lock);
    ret = qcow2_sync(s);
    if (!ret && s->began && s->incompatible & INCOMPAT_DIRTY) {
        ret = qcow2_write_blocks(s);
        if (!ret) {
            ret = node_flush(n->file);
        }
        if (!ret) {
            s->incompatible &= ~INCOMPAT_DIRTY;
            ret = qcow2_write_header(s);
        }
        if (!ret) {
            ret = node_flush(n->file);
        }
    }
    if (ret < 0) {
        warn_unclean(n, ret);
    }
    co_mutex_unlock(&s->lock);
}

static void qcow2_close(BlockNode *n)
{
    if (!n->read_only && n->file) {
        int ret = block_ctx_run(n->ctx, close_co, n);

        if (ret < 0) {
            warn_unclean(n, ret);
        }
    }
    free_state(n->state);
}

static int qcow2_flush(BlockNode *n)
{
    Qcow2 *s = qcow2_of(n);
    int ret;

    co_mutex_lock(&s->lock);
    ret = qcow2_sync(s);
    co_mutex_unlock(&s->lock);
    return ret;
}

static void qcow2_info(BlockNode *n, Opt *dict)
{
    Qcow2 *s = qcow2_of(n);
    Opt *bitmaps = qcow2_list_bitmaps(n);

    opt_put(dict, "compat", opt_new_string(s->version < 3 ? "0.10" : "1.1"));
    opt_put(dict, "compression-type",
            opt_new_string(s->compression ? "zstd" : "zlib"));
    if (s->version >= 3) {
        opt_put(dict, "lazy-refcounts", opt_new_bool(qcow2_is_lazy(s)));
    }
    if (bitmaps) {
        opt_put(dict, "bitmaps", bitmaps);
    }
    opt_put(dict, "refcount-bits", opt_new_int(1 << s->refcount_order));
    if (s->version >= 3) {
        opt_put(dict, "corrupt",
                opt_new_bool(s->incompatible & INCOMPAT_CORRUPT));
        opt_put(dict, "extended-l2", opt_new_bool(false));
    }
}

/* For the tool that commits: the file below is open already. */
static bool qcow2_reopen(BlockNode *n, bool read_only, GError **err)
{
    n->read_only = read_only;
    return check_bits(n->state, err);
}

static uint64_t cluster_bytes(BlockNode *n)
{
    return qcow2_of(n)->cluster;
}

static const char *backing_file(BlockNode *n, bool format)
{
    return format ? qcow2_of(n)->backing_format : qcow2_of(n)->backing_file;
}

static bool is_dirty(BlockNode *n)
{
    return qcow2_of(n)->incompatible & INCOMPAT_DIRTY;
}

const BlockImageOps qcow2_image_ops = {
    .cluster_bytes = cluster_bytes, .backing_file = backing_file,
    .is_dirty = is_dirty, .check = qcow2_check,
    .snapshots = &qcow2_snapshot_ops,
    .pack = qcow2_pack_cluster, .write_packed = qcow2_write_packed,
    .make_empty = qcow2_make_empty, .change_backing = qcow2_change_backing,
    .change_bitmap = qcow2_change_bitmap, .measure = qcow2_measure,
    .amend = qcow2_amend,
};

const BlockDriver block_driver_qcow2 = {
    .name = "qcow2", .doc = "QEMU's image format, versions 2 and 3",
    .state_bytes = sizeof(Qcow2), .has_backing = true,
    .probe = qcow2_probe, .open = qcow2_open, .close = qcow2_close,
    .read = qcow2_read, .write = qcow2_write,
    .write_zeroes = qcow2_write_zeroes, .discard = qcow2_discard,
    .flush = qcow2_flush, .status = qcow2_status, .info = qcow2_info,
    .truncate = qcow2_truncate, .reopen = qcow2_reopen,
    .create = qcow2_create,
    .image = &qcow2_image_ops,
};
