/*
 * Image files as files: what tools ask of a format; see block/image.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "block/image.h"
#include "ctx.h"
#include "node.h"

static const BlockImageOps *ops_of(BlockNode *n)
{
    static const BlockImageOps none;

    return n->drv->image ? n->drv->image : &none;
}

/* --- in coroutines and outside -------------------------------------------- */

typedef struct Call {
    BlockNode *n;
    enum { CHECK, CREATE, APPLY, REMOVE, LOAD, COMPRESSED, EMPTY } what;
    BlockCheck *check;
    const char *name;
    unsigned i;
    uint64_t at, bytes;
    const void *buf;
    int ret;
} Call;

int node_pack(BlockNode *n, const uint8_t *plain, uint64_t bytes,
              uint8_t *packed)
{
    return ops_of(n)->pack ? ops_of(n)->pack(n, plain, bytes, packed)
           : -ENOTSUP;
}

int node_write_packed(BlockNode *n, uint64_t at, const uint8_t *packed,
                      uint64_t len)
{
    int ret;

    if (n->read_only) {
        return -EPERM;
    }
    n->in_flight++;
    ret = ops_of(n)->write_packed(n, at, packed, len);
    n->written++;
    n->in_flight--;
    return ret;
}

static int write_compressed(const Call *c)
{
    uint8_t *packed = block_alloc(node_cluster_bytes(c->n));
    int len = packed ? node_pack(c->n, c->buf, c->bytes, packed) : -ENOMEM;
    int ret = len == -ENOSPC ? node_write_buf(c->n, c->at, c->buf, c->bytes)
              : len < 0 ? len : node_write_packed(c->n, c->at, packed, len);

    block_free(packed);
    return ret;
}

static int snapshot_call(const BlockSnapshotOps *s, const Call *c)
{
    if (!s) {
        return -ENOTSUP;
    }
    if (c->what != LOAD && c->n->read_only) {
        return -EROFS;
    }
    return c->what == CREATE ? s->create(c->n, c->name)
           : c->what == APPLY ? s->apply(c->n, c->i)
           : c->what == REMOVE ? s->remove(c->n, c->i)
           : s->load(c->n, c->i);
}

static void run_call(void *opaque)
{
    Call *c = opaque;
    const BlockImageOps *ops = ops_of(c->n);

    c->n->in_flight++;
    if (c->what == CHECK) {
        c->ret = ops->check ? ops->check(c->n, c->i, c->check) : -ENOTSUP;
    } else if (c->what == COMPRESSED) {
        c->ret = ops->pack ? write_compressed(c) : -ENOTSUP;
    } else if (c->what == EMPTY) {
        c->ret = ops->make_empty ? ops->make_empty(c->n) : -ENOTSUP;
    } else {
        c->ret = snapshot_call(ops->snapshots, c);
    }
    c->n->written++;
    c->n->in_flight--;
}

static int call(Call c)
{
    int ret = 0;

    if (co_self()) {
        run_call(&c);
    } else {
        ret = block_ctx_run(c.n->ctx, run_call, &c);
    }
    return ret < 0 ? ret : c.ret;
}

int node_check(BlockNode *n, unsigned fix, BlockCheck *check)
{
    return call((Call) { .n = n, .what = CHECK, .i = fix, .check = check });
}

int node_create_snapshot(BlockNode *n, const char *name)
{
    return call((Call) { .n = n, .what = CREATE, .name = name });
}

int node_apply_snapshot(BlockNode *n, unsigned i)
{
    return call((Call) { .n = n, .what = APPLY, .i = i });
}

int node_remove_snapshot(BlockNode *n, unsigned i)
{
    return call((Call) { .n = n, .what = REMOVE, .i = i });
}

int node_load_snapshot(BlockNode *n, unsigned i)
{
    return call((Call) { .n = n, .what = LOAD, .i = i });
}

int node_write_compressed(BlockNode *n, uint64_t at, const void *buf,
                          uint64_t bytes)
{
    return n->read_only ? -EPERM
           : at > n->length || bytes > n->length - at ? -EIO
           : call((Call) { .n = n, .what = COMPRESSED, .at = at,
                           .bytes = bytes, .buf = buf });
}

bool node_change_bitmap(BlockNode *n, const BlockBitmapCall *call,
                        GError **err)
{
    if (!ops_of(n)->change_bitmap) {
        return block_fail(err, "images of format %s have no bitmaps",
                          n->drv->name);
    }
    n->written++;               /* counts, which a flush has to write */
    return ops_of(n)->change_bitmap(n, call, err);
}

int node_make_empty(BlockNode *n)
{
    return n->read_only ? -EPERM : call((Call) { .n = n, .what = EMPTY });
}

/* --- asking --------------------------------------------------------------- */

unsigned node_n_snapshots(BlockNode *n)
{
    const BlockSnapshotOps *s = ops_of(n)->snapshots;

    return s ? s->count(n) : 0;
}

void node_get_snapshot(BlockNode *n, unsigned i, BlockSnapshot *out)
{
    ops_of(n)->snapshots->get(n, i, out);
}

int node_find_snapshot(BlockNode *n, const char *id_or_name)
{
    BlockSnapshot snap;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < node_n_snapshots(n); i++) {
            node_get_snapshot(n, i, &snap);
            if (!strcmp(pass ? snap.name : snap.id, id_or_name)) {
                return i;
            }
        }
    }
    return -1;
}

bool node_can_check(BlockNode *n)
{
    return ops_of(n)->check;
}

bool node_can_compress(BlockNode *n)
{
    return ops_of(n)->pack;
}

bool node_can_snapshot(BlockNode *n)
{
    return ops_of(n)->snapshots;
}

bool node_can_empty(BlockNode *n)
{
    return ops_of(n)->make_empty;
}

uint64_t node_cluster_bytes(BlockNode *n)
{
    return ops_of(n)->cluster_bytes ? ops_of(n)->cluster_bytes(n) : 0;
}

bool node_is_dirty(BlockNode *n)
{
    return ops_of(n)->is_dirty && ops_of(n)->is_dirty(n);
}

const char *node_backing_file(BlockNode *n)
{
    return ops_of(n)->backing_file ? ops_of(n)->backing_file(n, false) : NULL;
}

const char *node_backing_format(BlockNode *n)
{
    return ops_of(n)->backing_file ? ops_of(n)->backing_file(n, true) : NULL;
}

Opt *node_info(BlockNode *n)
{
    Opt *dict = opt_new_dict();

    if (n->drv->info) {
        n->drv->info(n, dict);
    }
    return dict;
}

/* --- changing ------------------------------------------------------------- */

bool node_change_backing(BlockNode *n, const char *file, const char *format,
                         GError **err)
{
    if (!ops_of(n)->change_backing) {
        return block_fail(err, "%s images have no backing file",
                          n->drv->name);
    }
    if (n->read_only) {
        return block_fail(err, "'%s' is read-only", node_filename(n));
    }
    return ops_of(n)->change_backing(n, file, format, err);
}

bool node_amend(BlockNode *n, Opt *opts, GError **err)
{
    if (!ops_of(n)->amend) {
        return block_fail(err, "Format driver '%s' does not support option "
                          "amendment", n->drv->name);
    }
    return ops_of(n)->amend(n, opts, err) && opt_all_read(opts, n->drv->name,
                                                          NULL, err);
}

bool node_reopen(BlockNode *n, bool read_only, GError **err)
{
    if (n->read_only == read_only) {
        return true;
    }
    if (!n->drv->reopen && !n->drv->filter) {
        return block_fail(err, "%s: '%s' cannot be opened for writing",
                          n->drv->name, node_filename(n));
    }
    if (n->file && !node_reopen(n->file, read_only, err)) {
        return false;
    }
    return n->drv->reopen ? n->drv->reopen(n, read_only, err)
           : ((n->read_only = read_only), true);
}

/* --- names ---------------------------------------------------------------- */

static bool has_protocol(const char *path)
{
    const char *colon = strchr(path, ':'), *slash = strchr(path, '/');

    return colon && colon > path && (!slash || colon < slash);
}

char *block_resolve_path(const char *from, const char *file)
{
    const char *slash;

    if (g_path_is_absolute(file) || has_protocol(file)) {
        return g_strdup(file);
    }
    slash = strrchr(from, '/');
    return slash ? g_strdup_printf("%.*s%s", (int)(slash - from + 1), from,
                                   file)
           : g_strdup(file);
}

/* --- making --------------------------------------------------------------- */

bool block_create(const char *filename, const char *format, Opt *opts,
                  GError **err)
{
    const BlockDriver *d = block_driver_find(format);
    g_autoptr(Opt) o = opt_copy(opts);

    if (!d || d->protocol) {
        return block_fail(err, "Unknown file format '%s'", format);
    }
    if (!d->create) {
        return block_fail(err, "Format driver '%s' does not support image "
                          "creation", format);
    }
    opt_put(o, "filename", opt_new_string(filename));
    return d->create(o, err) && opt_all_read(o, format, NULL, err);
}

bool block_measure(const char *format, Opt *opts, BlockNode *from,
                   BlockMeasure *m, GError **err)
{
    const BlockDriver *d = block_driver_find(format);

    if (!d || d->protocol) {
        return block_fail(err, "Unknown file format '%s'", format);
    }
    if (!d->image || !d->image->measure) {
        return block_fail(err, "Format driver '%s' does not support "
                          "measurement", format);
    }
    return d->image->measure(opts, from, m, err);
}
