/*
 * qcow2: packing and unpacking of compressed clusters, in worker threads.
 *
 * Spec:  zlib clusters are raw deflate streams with a window of 4 KiB at the
 *        writer; zstd clusters are one frame.  What follows the data in its
 *        last sector is not ours: unpacking ends when the cluster is full.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <zlib.h>

#include "config.h"
#include "qcow2.h"

#ifdef RHEA_ZSTD
#include <zstd.h>
#endif

typedef struct Pack {
    unsigned kind;
    const uint8_t *in;
    size_t in_bytes;
    uint8_t *out;
    size_t out_bytes;
} Pack;

bool qcow2_compression_known(unsigned kind)
{
#ifdef RHEA_ZSTD
    return kind <= COMPRESSION_ZSTD;
#else
    return kind == COMPRESSION_ZLIB;
#endif
}

static int inflate_cluster(Pack *p)
{
    z_stream z = {
        .next_in = (Bytef *)p->in, .avail_in = p->in_bytes,
        .next_out = p->out, .avail_out = p->out_bytes,
    };
    int ret;

    if (inflateInit2(&z, -15) != Z_OK) {
        return -ENOMEM;
    }
    /* Z_BUF_ERROR: the output is full, and bytes of a neighbour follow. */
    ret = inflate(&z, Z_FINISH);
    ret = (ret == Z_STREAM_END || ret == Z_BUF_ERROR) && !z.avail_out
          ? 0 : -EIO;
    inflateEnd(&z);
    return ret;
}

static int deflate_cluster(Pack *p)
{
    z_stream z = {
        .next_in = (Bytef *)p->in, .avail_in = p->in_bytes,
        .next_out = p->out, .avail_out = p->out_bytes,
    };
    int ret;

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    ret = deflate(&z, Z_FINISH);
    ret = ret == Z_STREAM_END ? (int)(p->out_bytes - z.avail_out)
          : ret == Z_OK || ret == Z_BUF_ERROR ? -ENOSPC : -EIO;
    deflateEnd(&z);
    return ret;
}

#ifdef RHEA_ZSTD
static int zstd_unpack(Pack *p)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    ZSTD_inBuffer in = { p->in, p->in_bytes, 0 };
    ZSTD_outBuffer out = { p->out, p->out_bytes, 0 };
    int ret = z ? 0 : -ENOMEM;

    while (!ret && out.pos < out.size) {
        size_t in_was = in.pos, out_was = out.pos;
        size_t left = ZSTD_decompressStream(z, &out, &in);

        if (ZSTD_isError(left) || (out.pos < out.size && !left)
            || (in.pos == in_was && out.pos == out_was)) {
            ret = -EIO;         /* bad, or too short */
        }
    }
    ZSTD_freeDCtx(z);
    return ret;
}

static int zstd_pack(Pack *p)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_inBuffer in = { p->in, p->in_bytes, 0 };
    ZSTD_outBuffer out = { p->out, p->out_bytes, 0 };
    size_t left;

    if (!z) {
        return -ENOMEM;
    }
    ZSTD_CCtx_setPledgedSrcSize(z, p->in_bytes);
    left = ZSTD_compressStream2(z, &out, &in, ZSTD_e_end);
    ZSTD_freeCCtx(z);
    return ZSTD_isError(left) ? -EIO : left ? -ENOSPC : (int)out.pos;
}
#endif

static int unpack(void *arg)
{
    Pack *p = arg;

#ifdef RHEA_ZSTD
    if (p->kind == COMPRESSION_ZSTD) {
        return zstd_unpack(p);
    }
#endif
    return inflate_cluster(p);
}

static int pack(void *arg)
{
    Pack *p = arg;

#ifdef RHEA_ZSTD
    if (p->kind == COMPRESSION_ZSTD) {
        return zstd_pack(p);
    }
#endif
    return deflate_cluster(p);
}

int qcow2_unpack(BlockCtx *ctx, unsigned kind, const uint8_t *in,
                 size_t in_bytes, uint8_t *out, size_t out_bytes)
{
    Pack p = { kind, in, in_bytes, out, out_bytes };

    return block_ctx_in_thread(ctx, unpack, &p);
}

int qcow2_pack(BlockCtx *ctx, unsigned kind, const uint8_t *in,
               size_t in_bytes, uint8_t *out, size_t out_bytes)
{
    Pack p = { kind, in, in_bytes, out, out_bytes };

    return block_ctx_in_thread(ctx, pack, &p);
}
