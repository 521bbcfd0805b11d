/*
 * Packed kernels: files as distributions ship them, and what a bzImage has in
 * it (vmlinux.c).
 *
 * Spec:   RFC 1952 (gzip); Documentation/lz4_Frame_format.md of lz4, "Legacy
 *         frame"; The .xz File Format 1.1; RFC 8878 (Zstandard).
 * Models: gzip of one or more members.  LZ4's legacy frame, which Linux uses,
 *         xz and Zstandard, where their libraries are.  What follows is
 *         padding.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include <zlib.h>

#include "config.h"

#ifdef RHEA_LZ4
#include <lz4.h>
#endif
#ifdef RHEA_LZMA
#include <lzma.h>
#endif
#ifdef RHEA_ZSTD
#include <zstd.h>
#endif

enum { IN_BYTES = 64 * 1024, GZIP_WINDOW = 15 + 16,
       LZ4_MAGIC = 0x184c2102, LZ4_BLOCK_BYTES = 8 << 20,
       XZ_MEMORY_BYTES = 256 << 20, ZSTD_WINDOW_LOG_MAX = 28 };

typedef struct {
    const char *by;             /* who packed it, for messages */
    BootFile *f;
    uint64_t at;                /* in the file: read up to here */
    uint8_t in[IN_BYTES];
    GByteArray *out;
    uint64_t max_bytes;
} Unpack;

static bool fail(Unpack *u, GError **err, const char *why)
{
    g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT, "packed by %s, and %s",
                u->by, why);
    return false;
}

/* The next bytes of the file to `in`: how many; 0 with an error. */
static size_t refill(Unpack *u, GError **err)
{
    uint64_t n = MIN(u->f->size_bytes - u->at, IN_BYTES);

    if (!n) {
        fail(u, err, "the file is truncated");
    } else if (!boot_file_read(u->f, u->at, u->in, n)) {
        fail(u, err, "the file cannot be read");
        n = 0;
    }
    u->at += n;
    return n;
}

static bool append(Unpack *u, const void *data, size_t len, GError **err)
{
    if (len > u->max_bytes - u->out->len) {
        return fail(u, err, "what it holds does not fit in the guest's "
                            "memory");
    }
    g_byte_array_append(u->out, data, len);
    return true;
}

/* --- what gzip, xz and Zstandard have in common --------------------------------------------- */

/* Input of a decompressor and room for its output, both moved on by it. */
typedef struct {
    const uint8_t *in;
    size_t in_left;
    uint8_t *out;
    size_t out_left;
    bool end;                   /* out: of what was packed */
} Step;

/* NULL, or what is wrong. */
typedef const char *StepFn(Unpack *u, void *z, Step *s);

static const char damaged[] = "it is damaged";

static bool unpack_steps(Unpack *u, StepFn *fn, void *z, GError **err)
{
    uint8_t chunk[IN_BYTES];
    Step s = { .in_left = 0 };

    while (!s.end) {
        const char *why;

        if (!s.in_left) {
            s.in = u->in;
            s.in_left = refill(u, err);
            if (!s.in_left) {
                return false;
            }
        }
        s.out = chunk;
        s.out_left = sizeof(chunk);
        why = fn(u, z, &s);
        if (why) {
            return fail(u, err, why);
        }
        if (!append(u, chunk, sizeof(chunk) - s.out_left, err)) {
            return false;
        }
    }
    return true;
}

/* --- gzip ----------------------------------------------------------------------------------- */

/* Does another member follow?  The rest of the file may be padding. */
static bool next_member(Unpack *u, z_stream *z, Step *s)
{
    uint8_t magic[2];
    uint64_t at = u->at - s->in_left;

    if (!boot_file_read(u->f, at, magic, 2) || magic[0] != 0x1f
        || magic[1] != 0x8b) {
        return false;
    }
    u->at = at;
    s->in_left = 0;
    return inflateReset(z) == Z_OK;
}

static const char *step_gzip(Unpack *u, void *opaque, Step *s)
{
    z_stream *z = opaque;
    int rc;

    z->next_in = (uint8_t *)s->in;
    z->avail_in = s->in_left;
    z->next_out = s->out;
    z->avail_out = s->out_left;
    rc = inflate(z, Z_NO_FLUSH);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
        return damaged;
    }
    s->in = z->next_in;
    s->in_left = z->avail_in;
    s->out_left = z->avail_out;
    s->end = rc == Z_STREAM_END && !next_member(u, z, s);
    return NULL;
}

static bool unpack_gzip(Unpack *u, GError **err)
{
    z_stream z = { .avail_in = 0 };
    bool ok;

    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK) {
        return fail(u, err, "there is no memory to unpack it");
    }
    ok = unpack_steps(u, step_gzip, &z, err);
    inflateEnd(&z);
    return ok;
}

/* --- LZ4, the legacy frame -------------------------------------------------------------------- */

#ifdef RHEA_LZ4
/* Blocks of 8 MiB, each after its packed length.  There is no end mark: a
 * length that does not fit what is left is what a packer wrote behind. */
static bool unpack_lz4(Unpack *u, GError **err)
{
    g_autofree char *in = g_malloc(LZ4_COMPRESSBOUND(LZ4_BLOCK_BYTES));
    g_autofree char *block = g_malloc(LZ4_BLOCK_BYTES);
    uint8_t word[4];

    for (u->at = 4; boot_file_read(u->f, u->at, word, 4);) {
        uint32_t len = load_le32(word);
        int n;

        u->at += 4;
        if (len == LZ4_MAGIC) {
            continue;
        }
        if (u->at == u->f->size_bytes || !len) {
            break;
        }
        if (len > LZ4_COMPRESSBOUND(LZ4_BLOCK_BYTES)) {
            return fail(u, err, damaged);
        }
        if (!boot_file_read(u->f, u->at, in, len)) {
            return fail(u, err, "the file is truncated");
        }
        u->at += len;
        n = LZ4_decompress_safe(in, block, len, LZ4_BLOCK_BYTES);
        if (n < 0) {
            return fail(u, err, damaged);
        }
        if (!append(u, block, n, err)) {
            return false;
        }
    }
    return u->out->len || fail(u, err, "the file is truncated");
}
#endif

/* --- xz --------------------------------------------------------------------------------------- */

#ifdef RHEA_LZMA
static const char *step_xz(Unpack *u, void *opaque, Step *s)
{
    lzma_stream *z = opaque;
    lzma_ret rc;

    z->next_in = s->in;
    z->avail_in = s->in_left;
    z->next_out = s->out;
    z->avail_out = s->out_left;
    rc = lzma_code(z, LZMA_RUN);
    if (rc != LZMA_OK && rc != LZMA_STREAM_END && rc != LZMA_BUF_ERROR) {
        return rc == LZMA_MEMLIMIT_ERROR
               ? "unpacking it takes more than 256M of memory" : damaged;
    }
    s->in = z->next_in;
    s->in_left = z->avail_in;
    s->out_left = z->avail_out;
    s->end = rc == LZMA_STREAM_END;
    return NULL;
}

static bool unpack_xz(Unpack *u, GError **err)
{
    lzma_stream z = LZMA_STREAM_INIT;
    bool ok;

    if (lzma_stream_decoder(&z, XZ_MEMORY_BYTES, 0) != LZMA_OK) {
        return fail(u, err, "there is no memory to unpack it");
    }
    ok = unpack_steps(u, step_xz, &z, err);
    lzma_end(&z);
    return ok;
}
#endif

/* --- Zstandard -------------------------------------------------------------------------------- */

#ifdef RHEA_ZSTD
static const char *step_zstd(Unpack *u, void *z, Step *s)
{
    ZSTD_inBuffer in = { .src = s->in, .size = s->in_left };
    ZSTD_outBuffer out = { .dst = s->out, .size = s->out_left };
    size_t rc = ZSTD_decompressStream(z, &out, &in);

    if (ZSTD_isError(rc)) {
        return damaged;
    }
    s->in += in.pos;
    s->in_left -= in.pos;
    s->out_left -= out.pos;
    s->end = !rc;               /* of the frame */
    return NULL;
}

static bool unpack_zstd(Unpack *u, GError **err)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    bool ok;

    if (!z) {
        return fail(u, err, "there is no memory to unpack it");
    }
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    ok = unpack_steps(u, step_zstd, z, err);
    ZSTD_freeDStream(z);
    return ok;
}
#endif

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *by;
    uint8_t magic[6], len;
    bool (*unpack)(Unpack *u, GError **err);
} formats[] = {
    { "gzip", { 0x1f, 0x8b, Z_DEFLATED }, 3, unpack_gzip },
#ifdef RHEA_LZ4
    { "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, unpack_lz4 },
#endif
#ifdef RHEA_LZMA
    { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, unpack_xz },
#endif
#ifdef RHEA_ZSTD
    { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, unpack_zstd },
#endif
};

bool boot_file_unpack(BootFile *f, uint64_t max_bytes, GError **err)
{
    uint8_t magic[6] = { 0 };
    unsigned i;
    g_autofree Unpack *u = NULL;

    boot_file_read(f, 0, magic, MIN(sizeof(magic), f->size_bytes));
    for (i = 0; i < G_N_ELEMENTS(formats)
                && memcmp(magic, formats[i].magic, formats[i].len); i++) {
    }
    if (i == G_N_ELEMENTS(formats)) {
        return true;
    }
    u = g_new(Unpack, 1);
    u->by = formats[i].by;
    u->f = f;
    u->at = 0;
    u->max_bytes = MIN(max_bytes, GiB);         /* a GByteArray's length */
    u->out = g_byte_array_new();
    if (!formats[i].unpack(u, err)) {
        g_byte_array_unref(u->out);
        return false;
    }
    f->size_bytes = u->out->len;
    f->unpacked = g_byte_array_free(u->out, FALSE);
    f->data = f->unpacked;
    return true;
}
