/*
 * The graph of nodes: opening, names, who uses what, draining.
 *
 * Locks: in the node's loop; the list of nodes by the machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "node.h"

#include <assert.h>
#include <errno.h>

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

/* --- who may do what ------------------------------------------------------------------ */

static const char *perm_name(unsigned perm)
{
    return perm & BLOCK_PERM_WRITE ? "write"
           : perm & BLOCK_PERM_RESIZE ? "resize"
           : perm & BLOCK_PERM_READ ? "read" : "write-unchanged";
}

static char *user_text(const BlockUse *u)
{
    return u->parent ? g_strdup_printf("node '%s' (as '%s')", u->parent->name,
                                       u->who) : g_strdup(u->who);
}

/* Does any other user mind what `u` is going to do? */
static bool check_use(const BlockNode *n, const BlockUse *u, unsigned perm,
                      unsigned shared, GError **err)
{
    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUse *o = g_ptr_array_index(n->users, i);
        unsigned clash = perm & ~o->shared;

        if (o == u) {
            continue;
        }
        clash = clash ? clash : o->perm & ~shared;
        if (clash) {
            g_autofree char *other = user_text(o);

            return block_fail(err, "'%s' is in use by %s, which excludes "
                              "another user's access (%s)",
                              node_filename(n), other, perm_name(clash));
        }
    }
    return true;
}

/* What `parent` needs of its child. */
static void child_perms(const BlockNode *parent, bool backing,
                        unsigned *perm, unsigned *shared)
{
    if (parent->drv->filter && !backing) {
        *perm = parent->perm;
        *shared = parent->shared;
        return;
    }
    *perm = BLOCK_PERM_READ;
    *shared = BLOCK_PERM_READ | BLOCK_PERM_WRITE_SAME;
    if (!backing && !parent->read_only) {
        *perm |= BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE;
    }
    if (parent->read_only) {
        *shared |= BLOCK_PERM_RESIZE;
    }
    if (parent->force_share) {
        *shared = BLOCK_PERM_ALL;
    }
}

static bool refresh_perms(BlockNode *n, GError **err);

static bool set_child_perms(BlockNode *n, GError **err)
{
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);
        unsigned perm, shared;

        child_perms(n, u->node == n->backing, &perm, &shared);
        if (!node_use_change(u, perm, shared, err)) {
            return false;
        }
    }
    return true;
}

/* The users changed: tell the driver and the children. */
static bool refresh_perms(BlockNode *n, GError **err)
{
    unsigned perm = 0, shared = BLOCK_PERM_ALL;

    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUse *u = g_ptr_array_index(n->users, i);

        perm |= u->perm;
        shared &= u->shared;
    }
    if (n->force_share) {
        shared = BLOCK_PERM_ALL;
    }
    if (n->drv->set_perm && !n->drv->set_perm(n, perm, shared, err)) {
        return false;
    }
    n->perm = perm;
    n->shared = shared;
    return set_child_perms(n, err);
}

bool node_use_change(BlockUse *u, unsigned perm, unsigned shared,
                     GError **err)
{
    unsigned old_perm = u->perm, old_shared = u->shared;

    if (perm & (BLOCK_PERM_WRITE | BLOCK_PERM_RESIZE)
        && u->node->read_only) {
        return block_fail(err, "'%s' is read-only",
                          node_filename(u->node));
    }
    if (!check_use(u->node, u, perm, shared, err)) {
        return false;
    }
    u->perm = perm;
    u->shared = shared;
    if (!refresh_perms(u->node, err)) {
        u->perm = old_perm;
        u->shared = old_shared;
        refresh_perms(u->node, NULL);   /* only ever lets go of something */
        return false;
    }
    return true;
}

BlockUse *node_use_full(BlockNode *n, const BlockUse *like, GError **err)
{
    BlockUse *u = g_new(BlockUse, 1);

    *u = *like;
    u->node = n;
    u->who = g_strdup(like->who);
    u->perm = 0;
    u->shared = BLOCK_PERM_ALL;
    g_ptr_array_add(n->users, u);
    for (unsigned i = 0; i < n->quiesced && u->drain_begin; i++) {
        u->drain_begin(u->opaque);
    }
    if (!node_use_change(u, like->perm, like->shared, err)) {
        node_unuse(u);
        return NULL;
    }
    return u;
}

BlockUse *node_use(BlockNode *n, const char *who, unsigned perm,
                   unsigned shared, GError **err)
{
    BlockUse like = { .who = (char *)who, .perm = perm, .shared = shared };

    return node_use_full(n, &like, err);
}

void node_unuse(BlockUse *u)
{
    BlockNode *n = u->node;

    for (unsigned i = 0; i < n->quiesced && u->drain_end; i++) {
        u->drain_end(u->opaque);
    }
    g_ptr_array_remove(n->users, u);
    refresh_perms(n, NULL);
    g_free(u->who);
    g_free(u);
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

static bool unknown_driver(const char *name, GError **err)
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
        unknown_driver(driver, err);
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
    child_perms(n, backing, &like.perm, &like.shared);
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

/* --- from a file name -------------------------------------------------------------------------- */

const BlockDriver *block_probe(const uint8_t *head, size_t len)
{
    const BlockDriver *best = &block_driver_raw;
    int best_score = 0;

    for (unsigned i = 0; block_drivers[i]; i++) {
        const BlockDriver *d = block_drivers[i];
        int score = d->probe ? d->probe(head, len) : 0;

        if (score > best_score) {
            best = d;
            best_score = score;
        }
    }
    return best;
}

static Opt *protocol_opts(const char *filename, GError **err);

/* "blkdebug:RULES:PATH"; the file of rules may be left out. */
static Opt *blkdebug_opts(const char *text, GError **err)
{
    const char *colon = strchr(text, ':');
    g_autofree char *rules = colon ? g_strndup(text, colon - text) : NULL;
    Opt *image, *o;

    if (!colon) {
        block_fail(err, "blkdebug requires both a file of rules, which may be "
                   "empty, and an image: blkdebug:[rules]:image");
        return NULL;
    }
    image = protocol_opts(colon + 1, err);
    if (!image) {
        return NULL;
    }
    o = opt_new_dict();
    opt_put(o, "driver", opt_new_string("blkdebug"));
    if (*rules) {
        opt_put(o, "config", opt_new_string(rules));
    }
    opt_put(o, "image", image);
    return o;
}

/* "file:PATH", "json:{...}", a device node, or a path. */
static Opt *protocol_opts(const char *filename, GError **err)
{
    Opt *o;

    if (g_str_has_prefix(filename, "blkdebug:")) {
        return blkdebug_opts(filename + strlen("blkdebug:"), err);
    }

    if (g_str_has_prefix(filename, "json:")) {
        return opt_parse_json(filename + 5, -1, err);
    }
    if (g_str_has_prefix(filename, "null-co://")
        || g_str_has_prefix(filename, "null-aio://")) {
        o = opt_new_dict();
        opt_put(o, "driver", opt_new_string(filename[5] == 'c' ? "null-co"
                                            : "null-aio"));
        return o;
    }
    if (g_str_has_prefix(filename, "file:")) {
        filename += 5;
    } else {
        const char *colon = strchr(filename, ':');
        const char *slash = strchr(filename, '/');

        /* "nbd:…" is a protocol, "./nbd:…" is a file. */
        if (colon && colon > filename && (!slash || colon < slash)) {
            block_fail(err, "unknown protocol '%.*s'; write './%s' for a file "
                       "of that name", (int)(colon - filename), filename,
                       filename);
            return NULL;
        }
    }
    if (!*filename) {
        block_fail(err, "the 'file' block driver requires a file name");
        return NULL;
    }
    o = opt_new_dict();
    opt_put(o, "driver", opt_new_string("file"));
    opt_put(o, "filename", opt_new_string(filename));
    return o;
}

/* Read its first bytes and say what it is. */
static const BlockDriver *probe_file(Opt *protocol, GError **err)
{
    uint8_t head[BLOCK_PROBE_BYTES] = { 0 };
    g_autoptr(Opt) o = opt_copy(protocol);
    const BlockDriver *found = NULL;
    BlockNode *n;
    size_t len;
    int ret;

    opt_put(o, "read-only", opt_new_bool(true));
    opt_put(o, "force-share", opt_new_bool(true));
    opt_remove(o, "node-name");
    opt_remove(o, "aio");       /* it may want a cache mode not known here */
    n = block_open(o, err);
    if (!n) {
        return NULL;
    }
    len = MIN(sizeof(head), n->length);
    ret = node_read_buf(n, 0, head, len);
    if (ret < 0) {
        block_fail_errno(err, -ret, "could not read the first sector of '%s' "
                         "to determine its format", node_filename(n));
    } else {
        found = block_probe(head, len);
        if (found == &block_driver_raw
            && !block_refuse_foreign(head, len, node_filename(n), err)) {
            found = NULL;
        }
    }
    node_unref(n);
    return found;
}

/* Keys of -drive that are the protocol's, as aio=. */
static void move_key(Opt *from, Opt *to, const char *key)
{
    Opt *val = opt_peek(from, key);

    if (val) {
        opt_put(to, key, opt_copy(val));
        opt_remove(from, key);
    }
}

/* file.KEY= beside a file's name: about it as well. */
static void move_file_parts(Opt *from, Opt *to)
{
    Opt *parts = opt_peek(from, "file");

    if (parts && opt_kind(parts) == OPT_DICT) {
        for (unsigned i = 0; i < opt_len(parts); i++) {
            opt_put(to, opt_key_at(parts, i), opt_copy(opt_at(parts, i)));
        }
        opt_remove(from, "file");
    }
}

Opt *block_file_opts(const char *filename, const char *format, Opt *opts,
                     GError **err)
{
    g_autoptr(Opt) protocol = protocol_opts(filename, err);
    g_autoptr(Opt) o = opts ? opt_copy(opts) : opt_new_dict();
    const BlockDriver *drv;
    const char *driver = NULL;

    if (!protocol || !opt_get_string(protocol, "driver", &driver, err)) {
        return NULL;
    }
    drv = driver ? block_driver_find(driver) : NULL;
    if (drv && !drv->protocol) {
        return g_steal_pointer(&protocol);      /* json: names the format */
    }
    move_key(o, protocol, "aio");
    move_key(o, protocol, "locking");
    move_file_parts(o, protocol);
    if (!format) {
        drv = probe_file(protocol, err);
        if (!drv) {
            return NULL;
        }
        format = drv->name;
        if (drv == &block_driver_raw) {
            opt_put(o, "probed", opt_new_bool(true));
        }
    } else if (!block_driver_find(format)
               || block_driver_find(format)->protocol) {
        unknown_driver(format, err);
        return NULL;
    }
    opt_put(o, "driver", opt_new_string(format));
    opt_put(o, "file", g_steal_pointer(&protocol));
    return g_steal_pointer(&o);
}

BlockNode *block_open_file(const char *filename, const char *format,
                           Opt *opts, GError **err)
{
    g_autoptr(Opt) o = block_file_opts(filename, format, opts, err);

    return o ? block_open(o, err) : NULL;
}

/* --- draining ------------------------------------------------------------------------------------ */

/* Above and below: whoever holds requests back lets go of them. */
static void tell_driver(BlockNode *n, bool begin)
{
    void (*tell)(BlockNode *) = begin ? n->drv->drain_begin
                                      : n->drv->drain_end;

    if (tell) {
        tell(n);
    }
}

static void tell_children(BlockNode *n, bool begin)
{
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);

        tell_driver(u->node, begin);
        tell_children(u->node, begin);
    }
}

static void quiesce(BlockNode *n)
{
    n->quiesced++;
    tell_driver(n, true);
    for (unsigned i = 0; i < n->users->len; i++) {
        BlockUse *u = g_ptr_array_index(n->users, i);

        if (u->parent) {
            quiesce(u->parent);
        } else if (u->drain_begin) {
            u->drain_begin(u->opaque);
        }
    }
}

static void unquiesce(BlockNode *n)
{
    assert(n->quiesced);
    n->quiesced--;
    tell_driver(n, false);
    for (unsigned i = 0; i < n->users->len; i++) {
        BlockUse *u = g_ptr_array_index(n->users, i);

        if (u->parent) {
            unquiesce(u->parent);
        } else if (u->drain_end) {
            u->drain_end(u->opaque);
        }
    }
}

static bool is_busy(const BlockNode *n)
{
    if (n->in_flight) {
        return true;
    }
    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUse *u = g_ptr_array_index(n->users, i);

        if (u->parent ? is_busy(u->parent) : u->busy && u->busy(u->opaque)) {
            return true;
        }
    }
    return false;
}

static void drain_begin(void *opaque)
{
    BlockNode *n = opaque;

    quiesce(n);
    tell_children(n, true);
    while (is_busy(n)) {
        block_ctx_poll(n->ctx);
    }
}

static void drain_end(void *opaque)
{
    tell_children(opaque, false);
    unquiesce(opaque);
}

void node_drain_begin(BlockNode *n)
{
    assert(!co_self());
    block_ctx_call_wait(n->ctx, drain_begin, n);
}

void node_drain_end(BlockNode *n)
{
    block_ctx_call_wait(n->ctx, drain_end, n);
}

static void begin_one(BlockNode *n, void *opaque)
{
    node_drain_begin(n);
}

static void end_one(BlockNode *n, void *opaque)
{
    node_drain_end(n);
}

void block_drain_all_begin(void)
{
    node_foreach(begin_one, NULL);
}

void block_drain_all_end(void)
{
    node_foreach(end_one, NULL);
}

static void flush_one(BlockNode *n, void *opaque)
{
    int ret = node_flush(n), *first = opaque;

    *first = *first ? *first : ret;
}

int block_flush_all(void)
{
    int ret = 0;

    node_foreach(flush_one, &ret);
    return ret;
}

/* Drained: nothing of it is under way in either loop. */
void node_set_ctx(BlockNode *n, BlockCtx *ctx)
{
    if (n->ctx == ctx) {
        return;
    }
    if (n->drv->detach_ctx) {
        n->drv->detach_ctx(n);
    }
    n->ctx = ctx;
    if (n->drv->attach_ctx) {
        n->drv->attach_ctx(n);
    }
    for (unsigned i = 0; i < n->children->len; i++) {
        BlockUse *u = g_ptr_array_index(n->children, i);

        node_set_ctx(u->node, ctx);
    }
}
