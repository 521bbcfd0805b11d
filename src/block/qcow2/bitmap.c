/*
 * qcow2: bitmaps of what has changed, for backup programs.
 *
 * They are kept and changed here, not kept up to date: the first write by the
 * guest makes them void (header.c).  A change makes new tables and a new
 * directory; when those are on stable storage the header comes to point there,
 * and then what they replace is given back.
 *
 * Spec:   the format's description, "Bitmaps".
 * Locks:  `lock` is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "qcow2.h"

enum {
    ENTRY_BYTES = 24, MAX_NAME_BYTES = 1023, MAX_BITMAPS = 65535,
    MIN_BITS = 9, MAX_BITS = 31, TYPE_DIRTY = 1,
};
enum { FLAG_IN_USE = 1, FLAG_AUTO = 2, FLAG_EXTRA_COMPATIBLE = 4 };
#define TABLE_ONES BIT64(0)     /* no cluster: all bits are set */
#define MAX_DATA_BYTES (512 * MiB)
#define MAX_DIRECTORY_BYTES (64 * MiB)

typedef struct Bitmap {
    uint64_t table_at;
    uint32_t entries, flags;
    uint8_t type, bits;         /* log2 of the granularity */
    char *name;
    uint8_t *extra;
    uint32_t extra_bytes;
} Bitmap;

typedef struct Change {
    Qcow2 *s;
    GPtrArray *list;            /* of Bitmap * */
    GArray *fresh, *old;        /* of FreeRange: clusters taken, replaced */
} Change;

static void free_bitmap(gpointer opaque)
{
    Bitmap *b = opaque;

    g_free(b->name);
    g_free(b->extra);
    g_free(b);
}

/* --- sizes and places ----------------------------------------------------- */

static uint64_t data_bytes(const Qcow2 *s, unsigned bits)
{
    uint64_t n = (s->n->length >> bits)
                 + ((s->n->length & (BIT64(bits) - 1)) != 0);

    return (n + 7) / 8;
}

static uint64_t n_entries(const Qcow2 *s, unsigned bits)
{
    return qcow2_clusters(s, data_bytes(s, bits));
}

/* What is replaced is given back: it must not be what the disk stands on. */
static bool may_lie_at(Qcow2 *s, uint64_t at, uint64_t bytes)
{
    return !qcow2_in_cluster(s, at) && at < s->n->file->length
           && !qcow2_is_metadata(s, at, MAX(bytes, 1));
}

/* --- the directory -------------------------------------------------------- */

static bool bad_directory(GError **err, const char *what)
{
    return block_fail(err, "the directory of bitmaps is damaged: %s", what);
}

static bool parse_entry(Qcow2 *s, const uint8_t *e, uint64_t left,
                        uint64_t *len, Bitmap *b, GError **err)
{
    uint16_t name_bytes;

    if (left < ENTRY_BYTES) {
        return bad_directory(err, "it ends within an entry");
    }
    name_bytes = load_be16(e + 18);
    b->extra_bytes = load_be32(e + 20);
    *len = ENTRY_BYTES + (uint64_t)b->extra_bytes + name_bytes;
    if (*len > left || !name_bytes || name_bytes > MAX_NAME_BYTES) {
        return bad_directory(err, "an entry is longer than it may be");
    }
    b->table_at = load_be64(e);
    b->entries = load_be32(e + 8);
    b->flags = load_be32(e + 12);
    b->type = e[16];
    b->bits = e[17];
    if (qcow2_in_cluster(s, b->table_at) || b->type != TYPE_DIRTY
        || b->bits < MIN_BITS || b->bits > MAX_BITS
        || b->flags & ~(FLAG_IN_USE | FLAG_AUTO | FLAG_EXTRA_COMPATIBLE)
        || (b->extra_bytes && !(b->flags & FLAG_EXTRA_COMPATIBLE))) {
        return bad_directory(err, "an entry is not of a kind known here");
    }
    b->extra = g_memdup2(e + ENTRY_BYTES, b->extra_bytes);
    b->name = g_strndup((const char *)e + ENTRY_BYTES + b->extra_bytes,
                        name_bytes);
    return true;
}

/* Into c->list. */
static bool read_directory(Qcow2 *s, GPtrArray *list, GError **err)
{
    uint8_t *dir;
    uint64_t at = 0;
    bool ok = true;
    int ret;

    if (!s->n_bitmaps) {
        return true;
    }
    if (!may_lie_at(s, s->bitmaps_at, s->bitmaps_bytes)) {
        return bad_directory(err, "it is not in a place of its own");
    }
    dir = block_alloc(s->bitmaps_bytes);
    ret = dir ? node_read_buf(s->n->file, s->bitmaps_at, dir,
                              s->bitmaps_bytes) : -ENOMEM;
    if (ret < 0) {
        ok = block_fail_errno(err, -ret, "the directory of bitmaps cannot be "
                              "read");
    }
    for (uint32_t i = 0; ok && i < s->n_bitmaps; i++) {
        Bitmap *b = g_new0(Bitmap, 1);
        uint64_t len = 0;

        g_ptr_array_add(list, b);
        ok = parse_entry(s, dir + at, s->bitmaps_bytes - at, &len, b, err);
        if (ok) {
            at = MIN(at + ALIGN_UP(len, 8), s->bitmaps_bytes);
        }
    }
    block_free(dir);
    return ok;
}

static void put_entry(GByteArray *out, const Bitmap *b)
{
    static const uint8_t zeroes[8];
    uint8_t e[ENTRY_BYTES];

    store_be64(e, b->table_at);
    store_be32(e + 8, b->entries);
    store_be32(e + 12, b->flags);
    e[16] = b->type;
    e[17] = b->bits;
    store_be16(e + 18, strlen(b->name));
    store_be32(e + 20, b->extra_bytes);
    g_byte_array_append(out, e, sizeof(e));
    g_byte_array_append(out, b->extra, b->extra_bytes);
    g_byte_array_append(out, (const uint8_t *)b->name, strlen(b->name));
    g_byte_array_append(out, zeroes, -out->len & 7);
}

static Bitmap *find(GPtrArray *list, const char *name)
{
    for (unsigned i = 0; i < list->len; i++) {
        Bitmap *b = g_ptr_array_index(list, i);

        if (!strcmp(b->name, name)) {
            return b;
        }
    }
    return NULL;
}

/* --- clusters taken and given back ---------------------------------------- */

/* New clusters with these bytes. */
static int store(Change *c, const uint8_t *data, uint64_t bytes, uint64_t *at)
{
    Qcow2 *s = c->s;
    int ret = qcow2_alloc_run(s, qcow2_clusters(s, bytes), at);

    if (!ret) {
        g_array_append_val(c->fresh, ((FreeRange) { *at, bytes, false }));
        ret = node_write_buf(s->n->file, *at, data, bytes);
    }
    return ret;
}

static void replace(Change *c, uint64_t at, uint64_t bytes)
{
    if (bytes) {
        g_array_append_val(c->old, ((FreeRange) { at, bytes, false }));
    }
}

static int give_back(Change *c, const GArray *ranges)
{
    int ret = 0;

    for (unsigned i = 0; !ret && i < ranges->len; i++) {
        const FreeRange *r = &g_array_index(ranges, FreeRange, i);

        ret = qcow2_change_refcounts(c->s, r->at, r->bytes, -1);
    }
    return ret;
}

/* --- bits ----------------------------------------------------------------- */

static int read_table(Qcow2 *s, const Bitmap *b, uint64_t **table)
{
    int ret;

    if (b->entries != n_entries(s, b->bits)
        || !may_lie_at(s, b->table_at, (uint64_t)b->entries * 8)) {
        return -EIO;
    }
    *table = g_try_new(uint64_t, MAX(b->entries, 1));
    if (!*table) {
        return -ENOMEM;
    }
    ret = node_read_buf(s->n->file, b->table_at, *table,
                        (size_t)b->entries * 8);
    for (uint32_t i = 0; i < b->entries; i++) {
        uint64_t entry = GUINT64_FROM_BE((*table)[i]);

        (*table)[i] = entry;
        if (!ret && entry & ENTRY_OFFSET
            && !may_lie_at(s, entry & ENTRY_OFFSET, s->cluster)) {
            ret = -EIO;
        }
    }
    if (ret < 0) {
        g_clear_pointer(table, g_free);
    }
    return ret;
}

/* All of them, in whole clusters. */
static int read_bits(Qcow2 *s, const Bitmap *b, uint8_t **out)
{
    g_autofree uint64_t *table = NULL;
    int ret = data_bytes(s, b->bits) > MAX_DATA_BYTES ? -EFBIG
              : read_table(s, b, &table);

    if (ret < 0) {
        return ret;
    }
    *out = g_try_malloc0(MAX((uint64_t)b->entries << s->cluster_bits, 1));
    if (!*out) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; !ret && i < b->entries; i++) {
        uint8_t *to = *out + ((uint64_t)i << s->cluster_bits);

        if (table[i] & ENTRY_OFFSET) {
            ret = node_read_buf(s->n->file, table[i] & ENTRY_OFFSET, to,
                                s->cluster);
        } else if (table[i] & TABLE_ONES) {
            memset(to, 0xff, s->cluster);
        }
    }
    if (ret < 0) {
        g_clear_pointer(out, g_free);
    }
    return ret;
}

/* What the bitmap's table holds now is replaced. */
static int leave_table(Change *c, const Bitmap *b)
{
    g_autofree uint64_t *table = NULL;
    int ret = read_table(c->s, b, &table);

    for (uint32_t i = 0; !ret && i < b->entries; i++) {
        if (table[i] & ENTRY_OFFSET) {
            replace(c, table[i] & ENTRY_OFFSET, c->s->cluster);
        }
    }
    if (!ret) {
        replace(c, b->table_at, (uint64_t)b->entries * 8);
    }
    return ret;
}

/* A new table; `bits` are whole clusters, NULL: none is set. */
static int write_bits(Change *c, Bitmap *b, const uint8_t *bits)
{
    Qcow2 *s = c->s;
    uint64_t n = n_entries(s, b->bits);
    g_autofree uint64_t *table = g_try_new0(uint64_t, MAX(n, 1));
    int ret = table ? 0 : -ENOMEM;

    for (uint64_t i = 0; bits && !ret && i < n; i++) {
        const uint8_t *from = bits + (i << s->cluster_bits);
        uint64_t at;

        if (!mem_is_zero(from, s->cluster)) {
            ret = store(c, from, s->cluster, &at);
            table[i] = GUINT64_TO_BE(at);
        }
    }
    if (!ret) {
        ret = store(c, (const uint8_t *)table, MAX(n, 1) * 8, &b->table_at);
        b->entries = n;
    }
    return ret;
}

static void set_range(uint8_t *bits, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        bits[i / 8] |= 1 << i % 8;
    }
}

/* Each bit of `from` is a range of the disk, whatever it is in `to`. */
static void merge_bits(const Qcow2 *s, uint8_t *to, unsigned to_bits,
                       const uint8_t *from, unsigned from_bits)
{
    uint64_t bytes = data_bytes(s, from_bits), length = s->n->length;

    for (uint64_t i = 0; i < bytes; i++) {
        if (to_bits == from_bits) {
            to[i] |= from[i];
            continue;
        }
        for (unsigned bit = 0; from[i] && bit < 8; bit++) {
            uint64_t at = (i * 8 + bit) << from_bits;

            if (from[i] >> bit & 1 && at < length) {
                uint64_t end = MIN(at + BIT64(from_bits), length);

                set_range(to, at >> to_bits, ((end - 1) >> to_bits) + 1);
            }
        }
    }
}

/* --- what is asked -------------------------------------------------------- */

static bool add(Change *c, const BlockBitmapCall *call, GError **err)
{
    Qcow2 *s = c->s;
    uint64_t granularity = call->granularity ? call->granularity
                           : CLAMP(s->cluster, 4096, 65536);
    Bitmap *b;
    int ret;

    if (granularity & (granularity - 1) || granularity < BIT64(MIN_BITS)) {
        return block_fail(err, "Granularity must be power of 2 and at least "
                          "%u", 1u << MIN_BITS);
    }
    if (granularity > BIT64(MAX_BITS)) {
        return block_fail(err, "Granularity must be at most 2 GiB");
    }
    if (!*call->name || strlen(call->name) > MAX_NAME_BYTES) {
        return block_fail(err, "Bitmap names have 1 to %d bytes",
                          MAX_NAME_BYTES);
    }
    if (find(c->list, call->name)) {
        return block_fail(err, "Bitmap already exists: %s", call->name);
    }
    if (s->version < 3) {
        return block_fail(err, "images with compat=0.10 have no bitmaps");
    }
    if (c->list->len >= MAX_BITMAPS) {
        return block_fail(err, "there are %d bitmaps, and no more are "
                          "possible", MAX_BITMAPS);
    }
    b = g_new0(Bitmap, 1);
    b->bits = __builtin_ctzll(granularity);
    b->type = TYPE_DIRTY;
    b->flags = FLAG_AUTO;
    b->name = g_strdup(call->name);
    g_ptr_array_add(c->list, b);
    if (data_bytes(s, b->bits) > MAX_DATA_BYTES) {
        return block_fail(err, "a granularity of %" PRIu64 " makes a bitmap of "
                          "over 512 MiB", granularity);
    }
    ret = write_bits(c, b, NULL);
    return !ret || block_fail_errno(err, -ret, "it cannot be written");
}

static bool merge(Change *c, Bitmap *b, Qcow2 *from, const Bitmap *source,
                  GError **err)
{
    g_autofree uint8_t *to = NULL, *bits = NULL;
    int ret;

    if (from->n->length != c->s->n->length) {
        return block_fail(err, "Bitmaps are of different sizes (destination "
                          "size is %" PRIu64 ", source size is %" PRIu64
                          ") and can't be merged",
                          c->s->n->length, from->n->length);
    }
    ret = read_bits(c->s, b, &to);
    ret = ret ? ret : read_bits(from, source, &bits);
    if (!ret) {
        merge_bits(c->s, to, b->bits, bits, source->bits);
        ret = leave_table(c, b);
    }
    ret = ret ? ret : write_bits(c, b, to);
    return !ret || block_fail_errno(err, -ret, "the bits cannot be moved");
}

static bool clear(Change *c, Bitmap *b, GError **err)
{
    int ret = leave_table(c, b);

    ret = ret ? ret : write_bits(c, b, NULL);
    return !ret || block_fail_errno(err, -ret, "it cannot be written");
}

/* The bitmap of that name, usable. */
static Bitmap *need(GPtrArray *list, const char *name, bool usable,
                    GError **err)
{
    Bitmap *b = find(list, name);

    if (!b) {
        block_fail(err, "Dirty bitmap '%s' not found", name);
    } else if (usable && b->flags & FLAG_IN_USE) {
        block_fail(err, "Bitmap '%s' is inconsistent and cannot be used: "
                   "somebody did not close the image", name);
        b = NULL;
    }
    return b;
}

static bool merge_call(Change *c, Bitmap *b, const BlockBitmapCall *call,
                       GError **err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(free_bitmap);
    Qcow2 *from = call->from ? qcow2_of(call->from) : c->s;
    Bitmap *source;

    if (call->from && call->from->drv != c->s->n->drv) {
        return block_fail(err, "Dirty bitmap '%s' not found", call->source);
    }
    source = read_directory(from, list, err)
             ? need(list, call->source, true, err) : NULL;
    return source && merge(c, b, from, source, err);
}

static bool change(Change *c, const BlockBitmapCall *call, GError **err)
{
    Bitmap *b;
    int ret;

    if (call->op == BITMAP_ADD) {
        return add(c, call, err);
    }
    b = need(c->list, call->name, call->op != BITMAP_REMOVE, err);
    if (!b) {
        return false;
    }
    switch (call->op) {
    case BITMAP_REMOVE:
        ret = leave_table(c, b);
        g_ptr_array_remove(c->list, b);
        return !ret || block_fail_errno(err, -ret, "its table cannot be read");
    case BITMAP_CLEAR:
        return clear(c, b, err);
    case BITMAP_ENABLE:
        b->flags |= FLAG_AUTO;
        return true;
    case BITMAP_DISABLE:
        b->flags &= ~FLAG_AUTO;
        return true;
    default:
        return merge_call(c, b, call, err);
    }
}

/* --- making it so --------------------------------------------------------- */

static int point_header_at(Qcow2 *s, uint64_t at, uint64_t bytes, uint32_t n)
{
    uint64_t was_at = s->bitmaps_at, was_bytes = s->bitmaps_bytes;
    uint64_t autoclear = s->autoclear;
    uint32_t was_n = s->n_bitmaps;
    int ret;

    s->bitmaps_at = at;
    s->bitmaps_bytes = bytes;
    s->n_bitmaps = n;
    s->autoclear = n ? autoclear | AUTOCLEAR_BITMAPS
                   : autoclear & ~AUTOCLEAR_BITMAPS;
    qcow2_set_bitmaps_extension(s);
    ret = qcow2_write_header_cluster(s);
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    if (ret < 0) {
        s->bitmaps_at = was_at;
        s->bitmaps_bytes = was_bytes;
        s->n_bitmaps = was_n;
        s->autoclear = autoclear;
        qcow2_set_bitmaps_extension(s);
        return ret;
    }
    s->began = false;           /* the next write makes them void */
    return 0;
}

static int write_directory(Change *c)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Qcow2 *s = c->s;
    uint64_t at = 0;
    int ret = 0;

    for (unsigned i = 0; i < c->list->len; i++) {
        put_entry(out, g_ptr_array_index(c->list, i));
    }
    if (out->len > MAX_DIRECTORY_BYTES) {
        return -EFBIG;
    }
    replace(c, s->bitmaps_at, s->n_bitmaps ? s->bitmaps_bytes : 0);
    if (out->len) {
        ret = store(c, out->data, out->len, &at);
    }
    if (!ret) {
        ret = qcow2_write_blocks(s);
    }
    if (!ret) {
        ret = node_flush(s->n->file);
    }
    return ret ? ret : point_header_at(s, at, out->len, c->list->len);
}

typedef struct Run {
    BlockNode *n;
    const BlockBitmapCall *call;
    GError **err;
    bool ok;
} Run;

static void run(void *opaque)
{
    Run *r = opaque;
    Change c = {
        .s = qcow2_of(r->n),
        .list = g_ptr_array_new_with_free_func(free_bitmap),
        .fresh = g_array_new(FALSE, FALSE, sizeof(FreeRange)),
        .old = g_array_new(FALSE, FALSE, sizeof(FreeRange)),
    };
    int ret = 0;

    co_mutex_lock(&c.s->lock);
    r->ok = read_directory(c.s, c.list, r->err)
            && change(&c, r->call, r->err);
    if (r->ok) {
        ret = write_directory(&c);
    }
    /* What fails here leaks; and of a header that could not be written nobody
     * knows where it points. */
    if (!ret) {
        give_back(&c, r->ok ? c.old : c.fresh);
    } else {
        r->ok = block_fail_errno(r->err, -ret, "the directory of bitmaps "
                                 "cannot be written");
    }
    co_mutex_unlock(&c.s->lock);
    g_ptr_array_unref(c.list);
    g_array_unref(c.fresh);
    g_array_unref(c.old);
}

bool qcow2_change_bitmap(BlockNode *n, const BlockBitmapCall *call,
                         GError **err)
{
    Run r = { .n = n, .call = call, .err = err };
    int ret = block_ctx_run(n->ctx, run, &r);

    return ret < 0 ? block_fail_errno(err, -ret, "the directory of bitmaps "
                                      "cannot be changed") : r.ok;
}

Opt *qcow2_list_bitmaps(BlockNode *n)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(free_bitmap);
    Qcow2 *s = qcow2_of(n);
    Opt *out;

    if (!s->n_bitmaps || !read_directory(s, list, NULL)) {
        return NULL;
    }
    out = opt_new_list();
    for (unsigned i = 0; i < list->len; i++) {
        const Bitmap *b = g_ptr_array_index(list, i);
        Opt *one = opt_new_dict(), *flags = opt_new_list();

        if (b->flags & FLAG_IN_USE) {
            opt_append(flags, opt_new_string("in-use"));
        }
        if (b->flags & FLAG_AUTO) {
            opt_append(flags, opt_new_string("auto"));
        }
        opt_put(one, "flags", flags);
        opt_put(one, "name", opt_new_string(b->name));
        opt_put(one, "granularity", opt_new_uint(BIT64(b->bits)));
        opt_append(out, one);
    }
    return out;
}
