/*
 * qcow2: new images, and how large they would be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

typedef struct Create {
    const char *filename;
    uint64_t size, cluster, refcount_bits;
    unsigned version, compression;
    int prealloc;
    bool lazy;
    const char *backing_file, *backing_format;
} Create;

/* --- options -------------------------------------------------------------- */

static bool get_compat(Opt *o, Create *c, GError **err)
{
    static const char *const names[] = {
        "0.10", "v2", "1.1", "v3", NULL
    };
    const char *name = "1.1";

    if (!opt_get_string(o, "compat", &name, err)) {
        return false;
    }
    for (unsigned i = 0; names[i]; i++) {
        if (!strcmp(names[i], name)) {
            c->version = 2 + i / 2;
            return true;
        }
    }
    return block_fail(err, "Invalid parameter '%s' for 'compat'; accepted: "
                      "0.10 (or v2), 1.1 (or v3)", name);
}

static bool refuse_features(Opt *o, GError **err)
{
    const char *data_file = NULL, *encrypt = NULL;
    bool extended = false, encryption = false, raw = false;

    if (!opt_get_bool(o, "extended_l2", &extended, err)
        || !opt_get_bool(o, "encryption", &encryption, err)
        || !opt_get_bool(o, "data_file_raw", &raw, err)
        || !opt_get_string(o, "data_file", &data_file, err)) {
        return false;
    }
    if (opt_has(o, "encrypt")) {
        encrypt = "encrypt";
    }
    return !(extended || encryption || encrypt || data_file || raw)
           || block_fail(err, "%s: not supported", extended ? "extended_l2=on"
                         : data_file || raw ? "data_file" : "encryption");
}

static bool check_version(const Create *c, GError **err)
{
    if (c->version >= 3) {
        return true;
    }
    if (c->lazy) {
        return block_fail(err, "Lazy refcounts only supported with "
                          "compatibility level 1.1 and above (use version=v3 "
                          "or greater)");
    }
    if (c->refcount_bits != 16) {
        return block_fail(err, "Different refcount widths than 16 bits "
                          "require compatibility level 1.1 or above (use "
                          "version=v3 or greater)");
    }
    return !c->compression
           || block_fail(err, "Non-zlib compression type is only supported "
                         "with compatibility level 1.1 and above (use "
                         "version=v3 or greater)");
}

static bool get_create(Opt *o, Create *c, GError **err)
{
    static const char *const compressions[] = { "zlib", "zstd", NULL };
    int compression = 0;
    bool nocow;

    *c = (Create) { .cluster = 65536, .refcount_bits = 16 };
    if (!opt_get_string(o, "filename", &c->filename, err)
        || !opt_get_size(o, "size", &c->size, 1, err)
        || !opt_get_size(o, "cluster_size", &c->cluster, 1, err)
        || !opt_get_uint(o, "refcount_bits", &c->refcount_bits, UINT32_MAX,
                         err)
        || !opt_get_enum(o, "compression_type", compressions, &compression,
                         err)
        || !opt_get_enum(o, "preallocation", block_prealloc_names,
                         &c->prealloc, err)
        || !opt_get_bool(o, "lazy_refcounts", &c->lazy, err)
        || !opt_get_bool(o, "nocow", &nocow, err)
        || !opt_get_string(o, "backing_file", &c->backing_file, err)
        || !opt_get_string(o, "backing_fmt", &c->backing_format, err)
        || !get_compat(o, c, err) || !refuse_features(o, err)) {
        return false;
    }
    c->compression = compression;
    c->size = ALIGN_UP(c->size, 512);
    if (c->cluster < BIT64(QCOW2_MIN_CLUSTER_BITS)
        || c->cluster > BIT64(QCOW2_MAX_CLUSTER_BITS)
        || c->cluster & (c->cluster - 1)) {
        return block_fail(err, "Cluster size must be a power of two between "
                          "512 and 2048k");
    }
    if (!c->refcount_bits || c->refcount_bits > 64
        || c->refcount_bits & (c->refcount_bits - 1)) {
        return block_fail(err, "Refcount width must be a power of two and "
                          "may not exceed 64 bits");
    }
    if (!qcow2_compression_known(c->compression)) {
        return block_fail(err, "compression_type=zstd: this program was "
                          "built without libzstd");
    }
    if (c->backing_file && strlen(c->backing_file) > QCOW2_MAX_BACKING_BYTES) {
        return block_fail(err, "the name of the backing file is longer than "
                          "%d bytes", QCOW2_MAX_BACKING_BYTES);
    }
    if (c->backing_file && c->prealloc) {
        return block_fail(err, "Backing file and preallocation can only be "
                          "used at the same time if extended_l2 is enabled");
    }
    return check_version(c, err);
}

/* --- how large ------------------------------------------------------------ */

/* Blocks and table for `n` clusters and for themselves; in clusters. */
static uint64_t count_clusters(const Create *c, uint64_t n, uint64_t *blocks,
                               uint64_t *table)
{
    uint64_t per_block = c->cluster * 8 / c->refcount_bits;
    uint64_t per_table = c->cluster / 8, last;

    *blocks = *table = 0;
    do {
        last = n + *blocks + *table;
        *blocks = (last + per_block - 1) / per_block;
        *table = (*blocks + per_table - 1) / per_table;
    } while (n + *blocks + *table != last);
    return *blocks + *table;
}

/* All tables of a disk of `size` that is wholly allocated; in bytes. */
static uint64_t metadata_bytes(const Create *c, uint64_t size)
{
    uint64_t data = size / c->cluster + (size % c->cluster != 0);
    uint64_t per_table = c->cluster / 8;
    uint64_t l2 = (data + per_table - 1) / per_table;
    uint64_t l1 = (l2 + per_table - 1) / per_table, blocks, table;
    uint64_t n = 1 + l2 + l1;

    n += count_clusters(c, n + data, &blocks, &table);
    return n * c->cluster;
}

/* Clusters of `from` that hold data. */
static int count_data(const Create *c, BlockNode *from, uint64_t *bytes)
{
    *bytes = 0;
    for (uint64_t at = 0; at < from->length; ) {
        BlockStatus st;
        uint64_t end;
        int ret = node_status_above(from, NULL, at, from->length - at, &st);

        if (ret < 0) {
            return ret;
        }
        end = at + st.bytes;
        if (st.flags & BLOCK_DATA && !(st.flags & BLOCK_ZERO)) {
            end = ALIGN_UP(end, c->cluster);
            *bytes += end - ALIGN_DOWN(at, c->cluster);
            at = end;
        } else {                /* its first part may be counted already */
            at = end < from->length ? end : from->length;
        }
    }
    return 0;
}

bool qcow2_measure(Opt *opts, BlockNode *from, BlockMeasure *m, GError **err)
{
    uint64_t data = 0, aligned, meta;
    Create c;

    if (!get_create(opts, &c, err)) {
        return false;
    }
    if (from) {
        int ret;

        c.size = ALIGN_UP(from->length, 512);
        ret = count_data(&c, from, &data);
        if (ret < 0) {
            return block_fail_errno(err, -ret, "Unable to get block status");
        }
    }
    if (c.prealloc >= PREALLOC_FALLOC) {
        data = ALIGN_UP(c.size, c.cluster);
    }
    aligned = ALIGN_UP(c.size, c.cluster);
    meta = metadata_bytes(&c, c.size);
    m->fully_allocated = meta + aligned;
    m->required = meta + data;
    return true;
}

/* --- making --------------------------------------------------------------- */

/* Header, refcount table, blocks, L1 table: one after the other. */
static int write_layout(const Create *c, Qcow2 *s)
{
    uint64_t l1 = qcow2_clusters(s, (uint64_t)s->l1_size * 8);
    uint64_t blocks, table, total, at;
    uint64_t per_block = c->cluster * 8 / c->refcount_bits;
    uint8_t *buf = block_alloc(c->cluster);
    int ret = buf ? 0 : -ENOMEM;

    total = 1 + l1 + count_clusters(c, 1 + l1, &blocks, &table);
    s->reftable_offset = s->cluster;
    s->reftable_clusters = table;
    s->l1_offset = s->l1_size ? (1 + table + blocks) << s->cluster_bits : 0;
    /* What nobody writes below reads as zero. */
    if (!ret) {
        ret = node_write_zeroes(s->n->file, 0, total << s->cluster_bits,
                                BLOCK_MAY_UNMAP);
    }
    for (uint64_t b = 0; !ret && b < blocks; b++) {
        memset(buf, 0, c->cluster);
        for (uint64_t i = b * per_block; i < MIN(total, (b + 1) * per_block);
             i++) {
            qcow2_store_count(buf, s->refcount_order, i - b * per_block, 1);
        }
        at = (1 + table + b) << s->cluster_bits;
        ret = node_write_buf(s->n->file, at, buf, c->cluster);
    }
    for (uint64_t t = 0; !ret && t < table; t++) {
        uint64_t per_table = c->cluster / 8;

        memset(buf, 0, c->cluster);
        for (uint64_t i = 0; i < per_table && t * per_table + i < blocks;
             i++) {
            store_be64(buf + i * 8, (1 + table + t * per_table + i)
                       << s->cluster_bits);
        }
        ret = node_write_buf(s->n->file, (1 + t) << s->cluster_bits, buf,
                             c->cluster);
    }
    block_free(buf);
    return ret ? ret : qcow2_write_header_cluster(s);
}

static BlockNode *open_file(const char *filename, GError **err)
{
    g_autoptr(Opt) o = block_file_opts(filename, "raw", NULL, err);

    return o ? block_open(opt_get(o, "file"), err) : NULL;
}

static bool make_image(const Create *c, GError **err)
{
    BlockNode *file = open_file(c->filename, err);
    BlockNode n = { .file = file, .length = c->size };
    Qcow2 s = {
        .n = &n, .version = c->version, .cluster = c->cluster,
        .cluster_bits = __builtin_ctzll(c->cluster),
        .refcount_order = __builtin_ctzll(c->refcount_bits),
        .compression = c->compression,
        .header_bytes = c->version < 3 ? QCOW2_V2_HEADER_BYTES
                        : QCOW2_HEADER_BYTES,
        .incompatible = c->compression ? INCOMPAT_COMPRESSION : 0,
        .compatible = c->lazy ? COMPAT_LAZY_REFCOUNTS : 0,
        .backing_file = (char *)c->backing_file,
        .backing_format = (char *)c->backing_format,
    };
    uint64_t l1;
    int ret;

    if (!file) {
        return false;
    }
    s.l2_bits = s.cluster_bits - 3;
    l1 = c->size > BLOCK_MAX_LENGTH ? UINT64_MAX
         : qcow2_l1_needed(&s, c->size);
    if (l1 > QCOW2_MAX_L1_BYTES / 8) {
        node_unref(file);
        return block_fail(err, "The image size is too large for file format "
                          "'qcow2' (try using a larger cluster size)");
    }
    s.l1_size = l1;
    ret = write_layout(c, &s);
    node_unref(file);
    return !ret || block_fail_errno(err, -ret, "Could not write '%s'",
                                    c->filename);
}

static bool preallocate(const Create *c, GError **err)
{
    g_autoptr(Opt) o = block_file_opts(c->filename, "qcow2", NULL, err);
    BlockNode *n;
    bool ok = true;

    if (!o) {
        return false;
    }
    opt_put(o, "backing", opt_new_null());
    n = block_open(o, err);
    if (!n) {
        return false;
    }
    if (c->prealloc >= PREALLOC_FALLOC) {
        uint64_t all = metadata_bytes(c, c->size)
                       + ALIGN_UP(c->size, c->cluster);

        /* An empty file again, so that all of it is allocated. */
        ok = node_truncate(n->file, MAX(all, n->file->length), c->prealloc,
                           err);
    }
    if (ok) {
        int ret = qcow2_preallocate_all(n);

        ok = !ret || block_fail_errno(err, -ret, "Could not preallocate");
    }
    node_unref(n);
    return ok;
}

bool qcow2_create(Opt *opts, GError **err)
{
    g_autoptr(Opt) file = opt_new_dict();
    Create c;

    if (!get_create(opts, &c, err)) {
        return false;
    }
    if (!c.filename) {
        return block_fail(err, "parameter 'filename' is missing");
    }
    opt_put(file, "filename", opt_new_string(c.filename));
    if (opt_has(opts, "nocow")) {
        opt_put(file, "nocow", opt_copy(opt_peek(opts, "nocow")));
    }
    return block_driver_file.create(file, err) && make_image(&c, err)
           && (!c.prealloc || preallocate(&c, err));
}
