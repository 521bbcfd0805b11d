/*
 * "overlay": what is written goes to a temporary file, for -snapshot.
 *
 * A bit for each block of 4 KiB says where its bytes are: in the file, at the
 * same offset, or still in the backing node.  The core fills blocks up that
 * are written in part (`alignment`), so a block is in one place.  The file has
 * no name and is gone with the process, so there is nothing to flush.
 *
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "block/drive.h"
#include "node.h"

enum { BLOCK_BYTES = 4096 };

typedef struct Overlay {
    uint64_t *map;              /* a bit a block: is it in the file? */
    uint64_t n_blocks;
} Overlay;

static bool is_ours(const Overlay *o, uint64_t block)
{
    return o->map[block / 64] >> (block % 64) & 1;
}

/* How many bytes from `at`, up to `bytes`, are in the same place; *ours says
 * which. */
static uint64_t run_at(const Overlay *o, uint64_t at, uint64_t bytes,
                       bool *ours)
{
    uint64_t block = at / BLOCK_BYTES, end = at + bytes, last = block + 1;

    *ours = is_ours(o, block);
    while (last * BLOCK_BYTES < end && is_ours(o, last) == *ours) {
        last++;
    }
    return MIN(last * BLOCK_BYTES, end) - at;
}

static void set_ours(Overlay *o, uint64_t at, uint64_t bytes)
{
    uint64_t last = MIN((at + bytes + BLOCK_BYTES - 1) / BLOCK_BYTES,
                        o->n_blocks);

    for (uint64_t b = at / BLOCK_BYTES; b < last; b++) {
        o->map[b / 64] |= BIT64(b % 64);
    }
}

static int overlay_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                        unsigned flags)
{
    while (bytes) {
        bool ours;
        uint64_t len = MIN(run_at(n->state, MIN(at, n->length - 1), bytes,
                                  &ours), bytes);
        int ret = node_read(ours ? n->file : n->backing, at, len, v, 0);

        if (ret < 0) {
            return ret;
        }
        at += len;
        bytes -= len;
        if (bytes) {
            v = iov_slice(v, len);
        }
    }
    return 0;
}

static int overlay_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                         unsigned flags)
{
    int ret = node_write(n->file, at, bytes, v, 0);

    if (!ret) {
        set_ours(n->state, at, bytes);
    }
    return ret;
}

static int overlay_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                                unsigned flags)
{
    int ret = node_write_zeroes(n->file, at, bytes, BLOCK_MAY_UNMAP);

    if (!ret) {
        set_ours(n->state, at, bytes);
    }
    return ret;
}

static int overlay_status(BlockNode *n, uint64_t at, uint64_t bytes,
                          BlockStatus *st)
{
    bool ours;

    st->bytes = run_at(n->state, at, bytes, &ours);
    st->flags = ours ? BLOCK_DATA | BLOCK_ALLOCATED : 0;
    return 0;
}

/* The bytes stay in the file until it is closed: nobody sees them. */
static int overlay_make_empty(BlockNode *n)
{
    Overlay *o = n->state;

    memset(o->map, 0, (o->n_blocks / 64 + 1) * sizeof(*o->map));
    return 0;
}

static const BlockImageOps overlay_image = {
    .make_empty = overlay_make_empty,
};

static int overlay_flush(BlockNode *n)
{
    return 0;
}

/* A file without a name, of `bytes`. */
static bool open_temporary(BlockNode *n, uint64_t bytes, GError **err)
{
    const char *dir = g_getenv("TMPDIR");
    g_autofree char *path = g_build_filename(dir && *dir ? dir : "/var/tmp",
                                             "rhea.XXXXXX", NULL);
    g_autoptr(Opt) opts = opt_new_dict();
    int fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0) {
        return block_fail_errno(err, errno, "could not create a temporary "
                                "file '%s'", path);
    }
    close(fd);
    opt_put(opts, "driver", opt_new_string("file"));
    opt_put(opts, "filename", opt_new_string(path));
    opt_put(opts, "locking", opt_new_string("off"));
    ok = node_add_child(n, opts, "file", err)
         && node_truncate(n->file, bytes, PREALLOC_OFF, err);
    unlink(path);
    return ok;
}

static bool overlay_open(BlockNode *n, Opt *opts, GError **err)
{
    Overlay *o = n->state;

    n->read_only = false;
    n->no_flush = true;
    n->direct = false;
    if (!node_open_child(n, opts, "backing", false, err)) {
        return false;
    }
    n->length = n->backing->length;
    n->alignment = BLOCK_BYTES;
    o->n_blocks = (n->length + BLOCK_BYTES - 1) / BLOCK_BYTES;
    o->map = g_try_new0(uint64_t, o->n_blocks / 64 + 1);
    if (!o->map) {
        return block_fail(err, "no memory for the map of '%s'",
                          node_filename(n->backing));
    }
    if (!open_temporary(n, n->length, err)) {
        g_clear_pointer(&o->map, g_free);
        return false;
    }
    n->filename = g_strdup(node_filename(n->backing));
    return true;
}

static void overlay_close(BlockNode *n)
{
    g_clear_pointer(&((Overlay *)n->state)->map, g_free);
}

const BlockDriver block_driver_overlay = {
    .name = "overlay", .doc = "writes to a temporary file above 'backing'",
    .state_bytes = sizeof(Overlay), .has_backing = true, .fua = true,
    .open = overlay_open, .close = overlay_close, .read = overlay_read,
    .write = overlay_write, .write_zeroes = overlay_write_zeroes,
    .status = overlay_status, .flush = overlay_flush,
    .image = &overlay_image,
};

BlockNode *block_open_overlay(BlockNode *base, GError **err)
{
    g_autoptr(Opt) opts = opt_new_dict();

    opt_put(opts, "driver", opt_new_string("overlay"));
    opt_put(opts, "backing", opt_new_string(node_name(base)));
    return block_open(opts, err);
}
