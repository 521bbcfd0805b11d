/*
 * Kernels that gzip packed, as distributions ship multiboot kernels.
 *
 * Spec:   RFC 1952.
 * Models: one or more members; what follows the last one is padding.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include <zlib.h>

enum { IN_BYTES = 64 * 1024, GZIP_WINDOW = 15 + 16 };

typedef struct {
    BootFile *f;
    uint64_t at;                /* in the file: read up to here */
    z_stream z;
    uint8_t in[IN_BYTES];
    GByteArray *out;
    uint64_t max_bytes;
} Unpack;

static bool fail(GError **err, const char *why)
{
    g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT, "packed by gzip, and %s",
                why);
    return false;
}

static bool refill(Unpack *u, GError **err)
{
    uint64_t n = MIN(u->f->size_bytes - u->at, IN_BYTES);

    if (!n) {
        return fail(err, "the file is truncated");
    }
    if (!boot_file_read(u->f, u->at, u->in, n)) {
        return fail(err, "the file cannot be read");
    }
    u->at += n;
    u->z.next_in = u->in;
    u->z.avail_in = n;
    return true;
}

/* Does another member follow?  The rest of the file may be padding. */
static bool next_member(Unpack *u)
{
    uint8_t magic[2];
    uint64_t at = u->at - u->z.avail_in;

    if (!boot_file_read(u->f, at, magic, 2) || magic[0] != 0x1f
        || magic[1] != 0x8b) {
        return false;
    }
    u->at = at;
    u->z.avail_in = 0;
    return inflateReset(&u->z) == Z_OK;
}

static bool inflate_all(Unpack *u, GError **err)
{
    uint8_t chunk[IN_BYTES];

    for (;;) {
        int rc;

        if (!u->z.avail_in && !refill(u, err)) {
            return false;
        }
        u->z.next_out = chunk;
        u->z.avail_out = sizeof(chunk);
        rc = inflate(&u->z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            return fail(err, "it is damaged");
        }
        if (u->out->len + (sizeof(chunk) - u->z.avail_out) > u->max_bytes) {
            return fail(err, "what it holds does not fit in the guest's "
                             "memory");
        }
        g_byte_array_append(u->out, chunk, sizeof(chunk) - u->z.avail_out);
        if (rc == Z_STREAM_END && !next_member(u)) {
            return true;
        }
    }
}

bool boot_file_unpack(BootFile *f, uint64_t max_bytes, GError **err)
{
    g_autofree Unpack *u = NULL;
    uint8_t magic[3];
    bool ok;

    if (!boot_file_read(f, 0, magic, sizeof(magic)) || magic[0] != 0x1f
        || magic[1] != 0x8b || magic[2] != Z_DEFLATED) {
        return true;
    }
    u = g_new0(Unpack, 1);
    u->f = f;
    u->max_bytes = MIN(max_bytes, GiB);         /* a GByteArray's length */
    if (inflateInit2(&u->z, GZIP_WINDOW) != Z_OK) {
        return fail(err, "there is no memory to unpack it");
    }
    u->out = g_byte_array_new();
    ok = inflate_all(u, err);
    inflateEnd(&u->z);
    if (ok) {
        f->size_bytes = u->out->len;
        f->unpacked = g_byte_array_free(u->out, FALSE);
        f->data = f->unpacked;
    } else {
        g_byte_array_unref(u->out);
    }
    return ok;
}
