/*
 * "raw": the bytes of its file, or a window of them.
 *
 * An image that was only guessed to be raw stays one: its guest could write
 * another format's header to sector 0, with any host file as backing file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "base/log.h"
#include "block/image.h"
#include "node.h"

enum { SECTOR_BYTES = 512 };

typedef struct Raw {
    uint64_t offset, size;      /* the window; size 0: to the end */
    bool probed;
} Raw;

static int raw_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                    unsigned flags)
{
    node_debug_event(n->file, "read_aio");
    return node_read(n->file, at + ((Raw *)n->state)->offset, bytes, v,
                     flags);
}

/* Would the image be taken for something else after this write? */
static bool changes_format(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v)
{
    uint8_t head[BLOCK_PROBE_BYTES];
    uint64_t len = MIN(bytes, sizeof(head) - at);

    if (node_read_buf(n, 0, head, sizeof(head)) < 0) {
        return true;
    }
    iov_get(v, head + at, len);
    return block_probe(head, sizeof(head)) != &block_driver_raw
           || block_is_foreign(head, sizeof(head));
}

static int raw_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                     unsigned flags)
{
    Raw *r = n->state;

    if (r->probed && at < BLOCK_PROBE_BYTES
        && changes_format(n, at, bytes, v)) {
        warn("'%s': the guest's write to its first sector is refused: the "
             "image would be taken for another format; write format=raw",
             node_filename(n));
        return -EPERM;
    }
    node_debug_event(n->file, "write_aio");
    return node_write(n->file, at + r->offset, bytes, v, flags);
}

static int raw_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                            unsigned flags)
{
    return node_write_zeroes(n->file, at + ((Raw *)n->state)->offset, bytes,
                             flags);
}

static int raw_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    uint64_t start = at + ((Raw *)n->state)->offset;

    if (start >= n->file->length) {
        return 0;
    }
    return node_discard(n->file, start, MIN(bytes, n->file->length - start));
}

static int raw_status(BlockNode *n, uint64_t at, uint64_t bytes,
                      BlockStatus *st)
{
    Raw *r = n->state;
    int ret = node_status(n->file, at + r->offset, bytes, st);

    st->flags = (st->flags & ~BLOCK_EOF) | BLOCK_ALLOCATED;
    return ret;
}

/* Disks have whole sectors; behind the file's last byte are zeroes. */
static void set_length(BlockNode *n)
{
    Raw *r = n->state;
    uint64_t file = n->file->length;

    n->length = r->size ? r->size
                : ALIGN_UP(file - MIN(file, r->offset), SECTOR_BYTES);
}

static int raw_truncate(BlockNode *n, uint64_t bytes, BlockPrealloc prealloc,
                        GError **err)
{
    Raw *r = n->state;

    if (r->size) {
        block_fail(err, "a raw image with a fixed size cannot be resized");
        return -ENOTSUP;
    }
    if (!node_truncate(n->file, bytes + r->offset, prealloc, err)) {
        return -EIO;
    }
    set_length(n);
    return 0;
}

static int raw_refresh_length(BlockNode *n)
{
    int ret = n->file->drv->refresh_length
              ? n->file->drv->refresh_length(n->file) : 0;

    set_length(n);
    return ret;
}

static bool raw_open(BlockNode *n, Opt *opts, GError **err)
{
    Raw *r = n->state;

    if (!opt_get_size(opts, "offset", &r->offset, 1, err)
        || !opt_get_size(opts, "size", &r->size, 1, err)
        || !opt_get_bool(opts, "probed", &r->probed, err)
        || !node_open_child(n, opts, "file", false, err)) {
        return false;
    }
    if (r->offset > n->file->length
        || r->size > n->file->length - r->offset) {
        return block_fail(err, "the window (offset %" PRIu64 ", size "
                          "%" PRIu64 ") is not within '%s', which has "
                          "%" PRIu64 " bytes", r->offset, r->size,
                          node_filename(n), n->file->length);
    }
    if (r->size % SECTOR_BYTES) {
        return block_fail(err, "parameter 'size' expects a multiple of %d",
                          SECTOR_BYTES);
    }
    if (r->offset & (n->file->alignment - 1)) {
        return block_fail(err, "parameter 'offset' expects a multiple of %u "
                          "with this cache mode", n->file->alignment);
    }
    n->alignment = n->file->alignment;
    n->memory_alignment = n->file->memory_alignment;
    set_length(n);
    if (r->probed && !n->read_only) {
        warn("the format of '%s' was not given and taken for raw: writes to "
             "its first sector that would change that are refused; write "
             "format=raw to allow them", node_filename(n));
    }
    return true;
}

static bool raw_create(Opt *opts, GError **err)
{
    g_autoptr(Opt) own = NULL, file = NULL;
    uint64_t bytes = 0;
    int prealloc = 0;
    BlockNode *n;
    bool ok;

    /* Sectors are whole; the file gets its length, and room, at the end. */
    if (!opt_get_size(opts, "size", &bytes, 1, err)
        || !opt_get_enum(opts, "preallocation", block_prealloc_names,
                         &prealloc, err)) {
        return false;
    }
    own = opt_copy(opts);
    opt_put(own, "size", opt_new_uint(0));
    opt_get(opts, "filename");
    opt_get(opts, "nocow");
    if (!block_driver_file.create(own, err)) {
        return false;
    }
    file = opt_new_dict();
    opt_put(file, "driver", opt_new_string("file"));
    opt_put(file, "filename", opt_copy(opt_peek(opts, "filename")));
    n = block_open(file, err);
    if (!n) {
        return false;
    }
    ok = node_truncate(n, ALIGN_UP(bytes, SECTOR_BYTES), prealloc, err);
    node_unref(n);
    return ok;
}

static bool raw_measure(Opt *opts, BlockNode *from, BlockMeasure *m,
                        GError **err)
{
    uint64_t bytes = 0;
    int prealloc = 0;

    if (!opt_get_size(opts, "size", &bytes, 1, err)
        || !opt_get_enum(opts, "preallocation", block_prealloc_names,
                         &prealloc, err)) {
        return false;
    }
    bytes = from ? from->length : ALIGN_UP(bytes, SECTOR_BYTES);
    *m = (BlockMeasure) { bytes, bytes };
    return true;
}

static const BlockImageOps raw_image_ops = { .measure = raw_measure };

const BlockDriver block_driver_raw = {
    .name = "raw", .doc = "the bytes of its file as they are",
    .state_bytes = sizeof(Raw), .filter = true, .fua = true,
    .open = raw_open, .read = raw_read, .write = raw_write,
    .write_zeroes = raw_write_zeroes, .discard = raw_discard,
    .truncate = raw_truncate, .status = raw_status,
    .refresh_length = raw_refresh_length, .create = raw_create,
    .image = &raw_image_ops,
};
