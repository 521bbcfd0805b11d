/*
 * qcow2: the header, its extensions, its feature bits.
 *
 * Spec:   the format's description, "Header", "Header extensions", "Feature
 *         name table", "Bitmaps extension".
 * Models: bitmaps are not kept up to date: the first write clears their
 *         autoclear bit, which makes them void, as the format wants it.
 *         Refused: encryption, external data files, extended L2 entries.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "base/log.h"
#include "qcow2.h"

enum { BITMAPS_BYTES = 24 };    /* of their extension */

/* Fields in file order; `at` is where the next one is. */
enum {
    AT_VERSION = 4, AT_BACKING = 8, AT_BACKING_BYTES = 16, AT_BITS = 20,
    AT_SIZE = 24, AT_CRYPT = 32, AT_L1_SIZE = 36, AT_L1 = 40,
    AT_REFTABLE = 48, AT_REFTABLE_CLUSTERS = 56, AT_N_SNAPSHOTS = 60,
    AT_SNAPSHOTS = 64, AT_INCOMPATIBLE = 72, AT_COMPATIBLE = 80,
    AT_AUTOCLEAR = 88, AT_REFCOUNT_ORDER = 96, AT_LENGTH = 100,
    AT_COMPRESSION = 104,
};

static const struct {
    uint8_t kind, bit;          /* 0: incompatible, 2: autoclear */
    const char *name;
} features[] = {
    { 0, 0, "dirty bit" },
    { 0, 1, "corrupt bit" },
    { 0, 2, "external data file" },
    { 0, 3, "compression type" },
    { 0, 4, "extended L2 entries" },
    { 1, 0, "lazy refcounts" },
    { 2, 0, "bitmaps" },
    { 2, 1, "raw external data" },
};
enum { FEATURE_BYTES = 48 };

/* --- reading -------------------------------------------------------------- */

static bool check_geometry(Qcow2 *s, const uint8_t *h, GError **err)
{
    uint32_t crypt = load_be32(h + AT_CRYPT);

    if (s->cluster_bits < QCOW2_MIN_CLUSTER_BITS
        || s->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
        return block_fail(err, "Unsupported cluster size: 2^%u",
                          s->cluster_bits);
    }
    if (s->header_bytes > BIT64(s->cluster_bits)) {
        return block_fail(err, "qcow2 header exceeds cluster size");
    }
    if (crypt) {
        return block_fail(err, "the image is encrypted (%s): not supported",
                          crypt == 1 ? "AES" : crypt == 2 ? "LUKS"
                          : "an unknown method");
    }
    if (s->refcount_order > 6) {
        return block_fail(err, "Reference count entry width too large; may "
                          "not exceed 64 bits");
    }
    return true;
}

static bool parse_v3(Qcow2 *s, const uint8_t *h, size_t len, GError **err)
{
    s->header_bytes = load_be32(h + AT_LENGTH);
    if (s->header_bytes < QCOW2_V3_HEADER_BYTES) {
        return block_fail(err, "qcow2 header too short");
    }
    s->incompatible = load_be64(h + AT_INCOMPATIBLE);
    s->compatible = load_be64(h + AT_COMPATIBLE);
    s->autoclear = load_be64(h + AT_AUTOCLEAR);
    s->refcount_order = load_be32(h + AT_REFCOUNT_ORDER);
    if (s->header_bytes > AT_COMPRESSION && len > AT_COMPRESSION) {
        s->compression = h[AT_COMPRESSION];
    }
    return true;
}

bool qcow2_parse_header(Qcow2 *s, const uint8_t *h, size_t len, GError **err)
{
    if (len < QCOW2_V2_HEADER_BYTES || load_be32(h) != QCOW2_MAGIC) {
        return block_fail(err, "Image is not in qcow2 format");
    }
    s->version = load_be32(h + AT_VERSION);
    if (s->version < 2 || s->version > 3) {
        return block_fail(err, "Unsupported qcow2 version %u", s->version);
    }
    s->header_bytes = QCOW2_V2_HEADER_BYTES;
    s->refcount_order = 4;
    if (s->version == 3
        && (len < QCOW2_V3_HEADER_BYTES || !parse_v3(s, h, len, err))) {
        return err && *err ? false
               : block_fail(err, "qcow2 header too short");
    }
    s->cluster_bits = load_be32(h + AT_BITS);
    if (!check_geometry(s, h, err)) {
        return false;
    }
    s->cluster = BIT64(s->cluster_bits);
    s->l2_bits = s->cluster_bits - 3;
    s->n->length = load_be64(h + AT_SIZE);
    s->l1_size = load_be32(h + AT_L1_SIZE);
    s->l1_offset = load_be64(h + AT_L1);
    s->reftable_offset = load_be64(h + AT_REFTABLE);
    s->reftable_clusters = load_be32(h + AT_REFTABLE_CLUSTERS);
    s->n_snapshots = load_be32(h + AT_N_SNAPSHOTS);
    s->snapshots_offset = load_be64(h + AT_SNAPSHOTS);
    s->backing_offset = load_be64(h + AT_BACKING);
    return true;
}

/* What the image itself calls the bits that are not known here. */
static char *unknown_features(uint64_t bits, const uint8_t *table, size_t len)
{
    GString *names = g_string_new(NULL);

    for (size_t i = 0; i + FEATURE_BYTES <= len; i += FEATURE_BYTES) {
        unsigned bit = table[i + 1];

        if (!table[i] && bit < 64 && bits & BIT64(bit)) {
            g_autofree char *name = g_strndup((const char *)table + i + 2,
                                              FEATURE_BYTES - 2);
            g_autofree char *shown = g_strescape(name, NULL);

            g_string_append_printf(names, "%s%s", names->len ? ", " : "",
                                   shown);
            bits &= ~BIT64(bit);
        }
    }
    if (bits) {
        g_string_append_printf(names, "%sUnknown incompatible feature: %"
                               PRIx64, names->len ? ", " : "", bits);
    }
    return g_string_free(names, FALSE);
}

static bool check_features(Qcow2 *s, const uint8_t *table, size_t len,
                           GError **err)
{
    uint64_t unknown = s->incompatible & ~(INCOMPAT_KNOWN | INCOMPAT_DATA_FILE
                                           | INCOMPAT_EXTENDED_L2);

    if (unknown) {
        g_autofree char *names = unknown_features(unknown, table, len);

        return block_fail(err, "Unsupported qcow2 feature(s): %s", names);
    }
    if (s->incompatible & INCOMPAT_DATA_FILE) {
        return block_fail(err, "Unsupported qcow2 feature(s): external data "
                          "file");
    }
    if (s->incompatible & INCOMPAT_EXTENDED_L2) {
        return block_fail(err, "Unsupported qcow2 feature(s): extended L2 "
                          "entries");
    }
    if (!!(s->incompatible & INCOMPAT_COMPRESSION) != !!s->compression) {
        return block_fail(err, "%s", s->compression
                          ? "Compression type incompatible feature bit must "
                            "be set"
                          : "Compression type incompatible feature bit must "
                            "not be set");
    }
    return qcow2_compression_known(s->compression)
           || block_fail(err, s->compression == COMPRESSION_ZSTD
                         ? "compression type zstd: this program was built "
                           "without libzstd"
                         : "unknown compression type %u", s->compression);
}

static bool parse_bitmaps(Qcow2 *s, const uint8_t *data, uint32_t len,
                          GError **err)
{
    if (!(s->autoclear & AUTOCLEAR_BITMAPS)) {
        return true;            /* void: somebody who knew them not wrote */
    }
    if (len != BITMAPS_BYTES) {
        return block_fail(err, "bitmaps_ext: Invalid extension length");
    }
    s->n_bitmaps = load_be32(data);
    s->bitmaps_bytes = load_be64(data + 8);
    s->bitmaps_at = load_be64(data + 16);
    if (!s->n_bitmaps || s->n_bitmaps > 65535
        || s->bitmaps_bytes > 64 * MiB || qcow2_in_cluster(s, s->bitmaps_at)
        || s->bitmaps_at > INT64_MAX) {
        return block_fail(err, "bitmaps_ext: the directory of bitmaps is not "
                          "possible");
    }
    return true;
}

/* One extension; those that are not rewritten from fields are kept. */
static bool take_extension(Qcow2 *s, uint32_t type, const uint8_t *data,
                           uint32_t len, GByteArray *kept, GError **err)
{
    static const uint8_t zeroes[8];

    switch (type) {
    case EXT_BACKING_FORMAT:
        if (len > 63) {
            return block_fail(err, "ERROR: ext_backing_format: len=%u too "
                              "large (>=64)", len);
        }
        g_free(s->backing_format);
        s->backing_format = g_strndup((const char *)data, len);
        return true;
    case EXT_FEATURE_NAMES:
    case EXT_DATA_FILE:
        return true;
    case EXT_CRYPTO:
        return block_fail(err, "CRYPTO header extension only expected with "
                          "LUKS encryption method");
    case EXT_BITMAPS:
        if (!parse_bitmaps(s, data, len, err)) {
            return false;
        }
        if (!s->n_bitmaps) {
            return true;
        }
        break;
    }
    uint8_t head[8] = { type >> 24, type >> 16, type >> 8, type,
                        len >> 24, len >> 16, len >> 8, len };

    g_byte_array_append(kept, head, sizeof(head));
    g_byte_array_append(kept, data, len);
    g_byte_array_append(kept, zeroes, -len & 7);
    return true;
}

static bool parse_backing_name(Qcow2 *s, const uint8_t *head, size_t len,
                               GError **err)
{
    uint32_t bytes = load_be32(head + AT_BACKING_BYTES);

    if (!s->backing_offset) {
        return true;
    }
    if (bytes > QCOW2_MAX_BACKING_BYTES || s->backing_offset > len
        || bytes > len - s->backing_offset) {
        return block_fail(err, "Backing file name too long");
    }
    s->backing_file = g_strndup((const char *)head + s->backing_offset,
                                bytes);
    return true;
}

/* `len` bytes: the first cluster, or less when the file is shorter. */
bool qcow2_parse_extensions(Qcow2 *s, const uint8_t *head, size_t len,
                            GError **err)
{
    g_autoptr(GByteArray) kept = g_byte_array_new();
    size_t at = s->header_bytes, end = len;
    const uint8_t *names = NULL;
    size_t names_bytes = 0;

    if (s->backing_offset && s->backing_offset < end) {
        end = s->backing_offset;
    }
    while (end >= 8 && at <= end - 8) {
        uint32_t type = load_be32(head + at), bytes = load_be32(head + at + 4);

        at += 8;
        if (type == EXT_END) {
            break;
        }
        if (bytes > end - at) {
            return block_fail(err, "Header extension too large");
        }
        if (type == EXT_FEATURE_NAMES) {
            names = head + at;
            names_bytes = bytes;
        }
        if (!take_extension(s, type, head + at, bytes, kept, err)) {
            return false;
        }
        at += ALIGN_UP((size_t)bytes, 8);
    }
    if (s->autoclear & AUTOCLEAR_BITMAPS && !s->n_bitmaps) {
        s->autoclear &= ~AUTOCLEAR_BITMAPS;     /* gone at the first write */
    }
    s->extensions_bytes = kept->len;
    s->extensions = g_memdup2(kept->data, kept->len);
    return check_features(s, names, names_bytes, err)
           && parse_backing_name(s, head, len, err);
}

void qcow2_set_bitmaps_extension(Qcow2 *s)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t ext[8 + BITMAPS_BYTES] = { 0 };

    for (size_t at = 0; at < s->extensions_bytes; ) {
        const uint8_t *e = s->extensions + at;
        size_t len = 8 + ALIGN_UP((size_t)load_be32(e + 4), 8);

        if (load_be32(e) != EXT_BITMAPS) {
            g_byte_array_append(out, e, len);
        }
        at += len;
    }
    if (s->n_bitmaps) {
        store_be32(ext, EXT_BITMAPS);
        store_be32(ext + 4, BITMAPS_BYTES);
        store_be32(ext + 8, s->n_bitmaps);
        store_be64(ext + 16, s->bitmaps_bytes);
        store_be64(ext + 24, s->bitmaps_at);
        g_byte_array_append(out, ext, sizeof(ext));
    }
    g_free(s->extensions);
    s->extensions_bytes = out->len;
    s->extensions = g_memdup2(out->data, out->len);
}

/* --- writing -------------------------------------------------------------- */

void qcow2_put_header(const Qcow2 *s, uint8_t *h)
{
    store_be32(h, QCOW2_MAGIC);
    store_be32(h + AT_VERSION, s->version);
    store_be64(h + AT_BACKING, s->backing_offset);
    store_be32(h + AT_BACKING_BYTES,
               s->backing_file ? strlen(s->backing_file) : 0);
    store_be32(h + AT_BITS, s->cluster_bits);
    store_be64(h + AT_SIZE, s->n->length);
    store_be32(h + AT_CRYPT, 0);
    store_be32(h + AT_L1_SIZE, s->l1_size);
    store_be64(h + AT_L1, s->l1_offset);
    store_be64(h + AT_REFTABLE, s->reftable_offset);
    store_be32(h + AT_REFTABLE_CLUSTERS, s->reftable_clusters);
    store_be32(h + AT_N_SNAPSHOTS, s->n_snapshots);
    store_be64(h + AT_SNAPSHOTS, s->snapshots_offset);
    if (s->version >= 3) {
        store_be64(h + AT_INCOMPATIBLE, s->incompatible);
        store_be64(h + AT_COMPATIBLE, s->compatible);
        store_be64(h + AT_AUTOCLEAR, s->autoclear);
        store_be32(h + AT_REFCOUNT_ORDER, s->refcount_order);
        store_be32(h + AT_LENGTH, s->header_bytes);
        if (s->header_bytes > AT_COMPRESSION) {
            h[AT_COMPRESSION] = s->compression;
        }
    }
}

/* The fixed fields are in one sector: the file has the old or the new ones. */
int qcow2_write_header(Qcow2 *s)
{
    uint8_t h[QCOW2_HEADER_BYTES] = { 0 };
    size_t len = s->version < 3 ? QCOW2_V2_HEADER_BYTES
                 : MIN(s->header_bytes, AT_COMPRESSION + 1);

    qcow2_put_header(s, h);
    return node_write_buf(s->n->file, 0, h, len);
}

static void put_extension(GByteArray *out, uint32_t type, const void *data,
                          uint32_t len)
{
    uint8_t head[8];
    static const uint8_t zeroes[8];

    store_be32(head, type);
    store_be32(head + 4, len);
    g_byte_array_append(out, head, sizeof(head));
    g_byte_array_append(out, data, len);
    g_byte_array_append(out, zeroes, -len & 7);
}

static void put_feature_names(GByteArray *out)
{
    uint8_t table[G_N_ELEMENTS(features) * FEATURE_BYTES] = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        uint8_t *row = table + i * FEATURE_BYTES;

        row[0] = features[i].kind;
        row[1] = features[i].bit;
        memcpy(row + 2, features[i].name, strlen(features[i].name));
    }
    put_extension(out, EXT_FEATURE_NAMES, table, sizeof(table));
}

static GByteArray *build_header(Qcow2 *s, bool names)
{
    GByteArray *out = g_byte_array_new();

    g_byte_array_set_size(out, s->header_bytes);
    memset(out->data, 0, out->len);
    if (s->backing_format) {
        put_extension(out, EXT_BACKING_FORMAT, s->backing_format,
                      strlen(s->backing_format));
    }
    if (names && s->version >= 3) {
        put_feature_names(out);
    }
    if (s->extensions_bytes) {
        g_byte_array_append(out, s->extensions, s->extensions_bytes);
    }
    put_extension(out, EXT_END, "", 0);
    s->backing_offset = 0;
    if (s->backing_file) {
        s->backing_offset = out->len;
        g_byte_array_append(out, (const uint8_t *)s->backing_file,
                            strlen(s->backing_file));
    }
    return out;
}

/* The names of features are left out where they leave no room. */
int qcow2_write_header_cluster(Qcow2 *s)
{
    g_autoptr(GByteArray) out = build_header(s, true);

    if (out->len > s->cluster) {
        g_byte_array_unref(out);
        out = build_header(s, false);
    }
    if (out->len > s->cluster) {
        return -ENOSPC;
    }
    qcow2_put_header(s, out->data);
    return node_write_buf(s->n->file, 0, out->data, out->len);
}

/* --- bits ----------------------------------------------------------------- */

bool qcow2_is_lazy(const Qcow2 *s)
{
    return s->compatible & COMPAT_LAZY_REFCOUNTS;
}

int qcow2_begin_writing(Qcow2 *s)
{
    uint64_t autoclear = s->autoclear, incompatible = s->incompatible;
    int ret = 0;

    if (s->incompatible & INCOMPAT_CORRUPT && !s->checking) {
        return -EIO;
    }
    if (s->began) {
        return 0;
    }
    s->autoclear = 0;
    if (qcow2_is_lazy(s)) {
        s->incompatible |= INCOMPAT_DIRTY;
    }
    if (s->version >= 3 && (autoclear || s->incompatible != incompatible)) {
        ret = qcow2_write_header(s);
        if (!ret) {
            ret = node_flush(s->n->file);
        }
    }
    if (ret < 0) {
        s->autoclear = autoclear;
        s->incompatible = incompatible;
        return ret;
    }
    s->n_bitmaps = 0;
    s->began = true;
    return 0;
}

int qcow2_corrupt(Qcow2 *s, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (s->checking || s->corrupt_told) {
        return -EIO;
    }
    s->corrupt_told = true;
    warn("'%s': the image is corrupt: %s; %s", node_filename(s->n), text,
         s->n->read_only ? "what cannot be read gives errors"
         : "it is not written any more");
    if (s->n->read_only) {
        return -EIO;
    }
    s->incompatible |= INCOMPAT_CORRUPT;
    if (s->version >= 3 && !qcow2_write_header(s)) {
        node_flush(s->n->file);
    }
    return -EIO;
}
