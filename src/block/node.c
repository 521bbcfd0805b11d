/*
 * The graph of nodes: names, opening, closing.
 *
 * Locks: in the node's loop; the list of nodes by the machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "node.h"

#include "ctx.h"

static GPtrArray *nodes;        /* of BlockNode *, in order of opening */

bool block_fail(GError **err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (err) {
        *err = g_error_new_valist(BLOCK_ERROR, BLOCK_ERROR_FAILED, fmt, ap);
    }
    va_end(ap);
    return false;
}

bool block_fail_errno(GError **err, int error, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return block_fail(err, "%s: %s", text, g_strerror(error));
}

/* --- looking ------------------------------------------------------------------------ */

BlockNode *node_find(const char *name)
{
    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        BlockNode *n = g_ptr_array_index(nodes, i);

        if (!strcmp(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

void node_foreach(void (*fn)(BlockNode *, void *), void *opaque)
{
    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        fn(g_ptr_array_index(nodes, i), opaque);
    }
}

const char *node_name(const BlockNode *n)
{
    return n->name;
}

const char *node_filename(const BlockNode *n)
{
    return n->filename ? n->filename
           : n->file ? node_filename(n->file) : n->name;
}

const BlockDriver *node_driver(const BlockNode *n)
{
    return n->drv;
}

const char *node_driver_name(const BlockNode *n)
{
    return n->drv->name;
}

BlockCtx *node_ctx(const BlockNode *n)
{
    return n->ctx;
}

bool node_is_read_only(const BlockNode *n)
{
    return n->read_only;
}

BlockNode *node_file(const BlockNode *n)
{
    return n->file;
}

BlockNode *node_backing(const BlockNode *n)
{
    return n->backing;
}

uint64_t node_length(const BlockNode *n)
{
    return n->length;
}

uint32_t node_alignment(const BlockNode *n)
{
    return n->alignment;
}

/* --- closing ----------------------------------------------------------------------------- */

static void close_children(BlockNode *n)
{
    n->file = n->backing = NULL;
    while (n->children->len) {
        BlockUse *u = g_ptr_array_index(n->children, n->children->len - 1);
        BlockNode *child = u->node;

        g_ptr_array_set_size(n->children, n->children->len - 1);
        node_unuse(u);
        node_unref(child);
    }
}

static void free_node(BlockNode *n)
{
    close_children(n);
    g_ptr_array_remove(nodes, n);
    g_ptr_array_unref(n->children);
    g_ptr_array_unref(n->users);
    g_free(n->state);
    g_free(n->name);
    g_free(n->filename);
    g_free(n);
}

BlockNode *node_ref(BlockNode *n)
{
    n->refs++;
    return n;
}

void node_unref(BlockNode *n)
{
    if (!n || --n->refs) {
        return;
    }
    n->refs = 1;                /* closing may make requests */
    node_drain_begin(n);
    node_flush(n);
    if (n->drv->close) {
        n->drv->close(n);
    }
    free_node(n);
}

void node_remove_child(BlockNode *n, BlockNode *child)
{
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);

        if (u->node == child) {
            g_ptr_array_remove_index(n->children, i);
            n->file = n->file == child ? NULL : n->file;
            n->backing = n->backing == child ? NULL : n->backing;
            node_unuse(u);
            node_unref(child);
            return;
        }
    }
}

static BlockNode *find_unused(void)
{
    for (unsigned i = nodes ? nodes->len : 0; i-- > 0; ) {
        BlockNode *n = g_ptr_array_index(nodes, i);

        if (n->user_named && n->refs == 1) {
            return n;
        }
    }
    return NULL;
}

void node_close_all(void)
{
    BlockNode *n;

    while ((n = find_unused())) {   /* closing it may leave others unused */
        node_unref(n);
    }
}

/* --- opening --------------------------------------------------------------------------------- */

bool block_unknown_driver(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    if (block_is_foreign_name(name)) {
        return block_fail(err, "images of format '%s' cannot be read here; "
                          "convert them: qemu-img convert -f %s -O qcow2",
                          name, name);
    }
    for (unsigned i = 0; block_drivers[i]; i++) {
        g_ptr_array_add(names, (gpointer)block_drivers[i]->name);
    }
    g_ptr_array_add(names, NULL);
    near = nearest_name(name, (const char *const *)names->pdata);
    if (near) {
        return block_fail(err, "unknown block driver '%s'; did you mean "
                          "'%s'?", name, near);
    }
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);

    return block_fail(err, "unknown block driver '%s'; there are: %s", name,
                      all);
}

static bool check_name(const char *name, GError **err)
{
    if (!g_ascii_isalpha(*name)
        || name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")]
        || strlen(name) > 31) {
        return block_fail(err, "parameter 'node-name' expects an identifier "
                          "of at most 31 letters, digits, '-', '.', '_', "
                          "starting with a letter, not '%s'", name);
    }
    return !node_find(name)
           || block_fail(err, "duplicate node name '%s'", name);
}

static char *make_name(void)
{
    static unsigned n;

    return g_strdup_printf("#block%03u", n++);
}

/* What all drivers have. */
static bool get_generic(BlockNode *n, Opt *opts, GError **err)
{
    static const char *const discards[] = {
        "ignore", "off", "unmap", "on", NULL
    };
    static const char *const detects[] = { "off", "on", "unmap", NULL };
    int discard = n->unmap ? 2 : 0, detect = n->detect_zeroes;
    const char *name = NULL;
    Opt *cache = opt_get(opts, "cache");

    if (cache && opt_kind(cache) != OPT_DICT) {
        return block_fail(err, "parameter 'cache' expects cache.direct=on|off "
                          "and cache.no-flush=on|off");
    }
    if (!opt_get_string(opts, "node-name", &name, err)
        || !opt_get_bool(opts, "read-only", &n->read_only, err)
        || !opt_get_bool(opts, "force-share", &n->force_share, err)
        || !opt_get_enum(opts, "discard", discards, &discard, err)
        || !opt_get_enum(opts, "detect-zeroes", detects, &detect, err)
        || (cache && (!opt_get_bool(cache, "direct", &n->direct, err)
                      || !opt_get_bool(cache, "no-flush", &n->no_flush, err)
                      || !opt_all_read(cache, "cache", NULL, err)))) {
        return false;
    }
    n->unmap = discard >= 2;
    n->detect_zeroes = detect;
    if (n->force_share && !n->read_only) {
        return block_fail(err, "force-share=on can be had with read-only=on "
                          "only");
    }
    if (detect == DETECT_UNMAP && !n->unmap) {
        return block_fail(err, "detect-zeroes=unmap needs discard=unmap");
    }
    if (name && !check_name(name, err)) {
        return false;
    }
    n->user_named = name != NULL;
    n->name = name ? g_strdup(name) : make_name();
    return true;
}

static bool open_driver(BlockNode *n, Opt *opts, GError **err)
{
    if (!n->drv->open(n, opts, err)) {
        return false;
    }
    /* "driver" is read already; ask for what a typo might have meant. */
    if (!opt_all_read(opts, n->drv->name, NULL, err)) {
        if (n->drv->close) {
            n->drv->close(n);
        }
        return false;
    }
    n->alignment = MAX(n->alignment, 1);
    n->memory_alignment = MAX(n->memory_alignment, 1);
    return true;
}

/* `parent`: whose defaults it takes over; may be NULL. */
static BlockNode *open_node(Opt *opts, const BlockNode *parent, bool backing,
                            GError **err)
{
    const char *driver = NULL;
    const BlockDriver *drv;
    BlockNode *n;

    if (!opt_get_string(opts, "driver", &driver, err)) {
        return NULL;
    }
    if (!driver) {
        block_fail(err, "parameter 'driver' is missing");
        return NULL;
    }
    drv = block_driver_find(driver);
    if (!drv) {
        block_unknown_driver(driver, err);
        return NULL;
    }
    n = g_new0(BlockNode, 1);
    n->drv = drv;
    n->refs = 1;
    n->shared = BLOCK_PERM_ALL;
    n->ctx = parent ? parent->ctx : block_ctx(loop_main());
    n->children = g_ptr_array_new();
    n->users = g_ptr_array_new();
    n->state = g_malloc0(MAX(drv->state_bytes, 1));
    if (parent) {
        n->read_only = backing || parent->read_only;
        n->force_share = n->read_only && parent->force_share;
        n->no_flush = parent->no_flush;
        n->direct = parent->direct;
        n->unmap = !parent->drv->filter || parent->unmap;
    }
    if (!nodes) {
        nodes = g_ptr_array_new();
    }
    if (!get_generic(n, opts, err)) {
        n->name = n->name ? n->name : make_name();
        n->user_named = false;
        free_node(n);
        return NULL;
    }
    g_ptr_array_add(nodes, n);
    if (!open_driver(n, opts, err)) {
        free_node(n);
        return NULL;
    }
    return n;
}

BlockNode *block_open(Opt *opts, GError **err)
{
    return open_node(opts, NULL, false, err);
}

BlockNode *node_add_child(BlockNode *n, Opt *opts, const char *name,
                          GError **err)
{
    BlockUse like = { .parent = n, .who = (char *)name };
    bool backing = !strcmp(name, "backing");
    BlockNode *child;
    BlockUse *u;

    if (opt_kind(opts) == OPT_DICT) {
        child = open_node(opts, n, backing, err);
    } else if (opt_kind(opts) == OPT_STRING) {
        child = node_find(opt_string(opts));
        if (child) {
            node_ref(child);
        } else {
            block_fail(err, "there is no node '%s' for '%s'",
                       opt_string(opts), name);
        }
    } else {
        child = NULL;
        block_fail(err, "parameter '%s' expects a block device or the name "
                   "of a node", name);
    }
    if (!child) {
        return NULL;
    }
    if (child->ctx != n->ctx) {
        block_fail(err, "node '%s' runs in another iothread", child->name);
        node_unref(child);
        return NULL;
    }
    node_child_perms(n, backing, &like.perm, &like.shared);
    u = node_use_full(child, &like, err);
    if (!u) {
        node_unref(child);
        return NULL;
    }
    g_ptr_array_add(n->children, u);
    if (backing) {
        n->backing = child;
    } else if (!strcmp(name, "file")) {
        n->file = child;
    }
    return child;
}

BlockNode *node_open_child(BlockNode *n, Opt *opts, const char *name,
                           bool optional, GError **err)
{
    Opt *val = opt_get(opts, name);

    if (!val || opt_kind(val) == OPT_NULL) {
        if (!optional) {
            block_fail(err, "parameter '%s' is missing: %s needs a node to "
                       "stand on", name, n->drv->name);
        }
        return NULL;
    }
    return node_add_child(n, val, name, err);
}
