/*
 * From what a user writes as a file to the options of nodes; the format of what
 * is there.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "node.h"

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
        block_unknown_driver(format, err);
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
