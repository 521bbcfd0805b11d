/*
 * rhea-img: images by name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <sys/stat.h>

#include "img.h"

static const struct {
    const char *name;
    bool direct, no_flush, fua;
} caches[] = {
    { "writeback", false, false, false },
    { "none", true, false, false },
    { "off", true, false, false },
    { "directsync", true, false, true },
    { "writethrough", false, false, true },
    { "unsafe", false, true, false },
};

static int find_cache(const char *name)
{
    for (unsigned i = 0; name && i < G_N_ELEMENTS(caches); i++) {
        if (!strcmp(caches[i].name, name)) {
            return i;
        }
    }
    return name ? -1 : 0;
}

bool img_check_cache(const char *cache, bool source)
{
    if (find_cache(cache) < 0) {
        img_error("Invalid %scache option: %s", source ? "source " : "",
                  cache);
        return false;
    }
    return true;
}

unsigned img_write_flags(const char *cache)
{
    return caches[find_cache(cache)].fua ? BLOCK_FUA : 0;
}

/* "--image-opts": a whole tree of options. */
static Opt *parse_image_opts(const char *name, GError **err)
{
    g_autoptr(Opt) o = opt_parse_keyval(name, "file", NULL, err);
    g_autoptr(GString) json = NULL;
    Opt *file;

    if (!o || opt_has(o, "driver")) {
        return g_steal_pointer(&o);
    }
    file = opt_peek(o, "file");
    if (!file) {
        block_fail(err, "parameter 'driver' is missing");
        return NULL;
    }
    json = g_string_new(opt_kind(file) == OPT_DICT ? "json:" : NULL);
    if (opt_kind(file) == OPT_DICT) {
        opt_to_json(file, json);
    } else {
        g_string_append(json, opt_string(file));
    }
    opt_remove(o, "file");
    return block_file_opts(json->str, NULL, o, err);
}

static Opt *make_opts(const char *name, const ImgOpen *how, GError **err)
{
    int cache = find_cache(how->cache);
    const BlockDriver *drv = NULL;
    const char *driver = NULL;
    Opt *o = how->image_opts ? parse_image_opts(name, err)
             : block_file_opts(name, how->format, NULL, err);

    if (!o) {
        return NULL;
    }
    opt_get_string(o, "driver", &driver, NULL);
    drv = driver ? block_driver_find(driver) : NULL;
    opt_put(o, "read-only", opt_new_bool(!how->write));
    if (how->force_share) {
        opt_put(o, "force-share", opt_new_bool(true));
    }
    if (how->unmap) {
        opt_put(o, "discard", opt_new_string("unmap"));
    }
    if (how->aio) {
        Opt *file = opt_get(o, "file");

        opt_put(file && opt_kind(file) == OPT_DICT ? file : o, "aio",
                opt_new_string(how->aio));
    }
    if (how->no_backing && drv && drv->has_backing && !opt_has(o, "backing")) {
        opt_put(o, "backing", opt_new_null());
    }
    if (how->check && drv && drv->image && drv->image->check) {
        opt_put(o, "x-check", opt_new_bool(true));
    }
    if (cache > 0 && !opt_has(o, "cache")) {
        Opt *dict = opt_new_dict();

        opt_put(dict, "direct", opt_new_bool(caches[cache].direct));
        opt_put(dict, "no-flush", opt_new_bool(caches[cache].no_flush));
        opt_put(o, "cache", dict);
    }
    opt_remove(o, "probed");    /* a user who converts knows what he does */
    return o;
}

BlockNode *img_open(const char *name, const ImgOpen *how)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) o = NULL;
    BlockNode *n = NULL;

    if (how->format && !how->image_opts
        && (!block_driver_find(how->format)
            || block_driver_find(how->format)->protocol)) {
        img_error("Could not open '%s': Unknown driver '%s'", name,
                  how->format);
        return NULL;
    }
    o = make_opts(name, how, &err);
    n = o ? block_open(o, &err) : NULL;
    if (!n && !how->quiet) {
        if (err->message[0] == 'c' && strstr(err->message, name)) {
            err->message[0] = 'C';
        }
        img_error("Could not open '%s': %s", name, err->message);
    }
    return n;
}

BlockNode *img_find_in_chain(BlockNode *top, const char *filename)
{
    for (BlockNode *n = top; n; ) {
        BlockNode *up = n;

        while (n->drv->filter && n->file && !n->backing) {
            n = n->file;
        }
        n = n->backing;
        if (n) {
            g_autofree char *path = block_resolve_path(node_filename(up),
                                                       filename);
            g_autofree char *real = realpath(path, NULL);
            g_autofree char *here = realpath(node_filename(n), NULL);

            if (!strcmp(node_filename(n), filename)
                || (node_backing_file(up)
                    && !strcmp(node_backing_file(up), filename))
                || (real && here && !strcmp(real, here))) {
                return n;
            }
        }
    }
    return NULL;
}

int64_t img_disk_bytes(BlockNode *n)
{
    struct stat st;

    while (n->file) {
        n = n->file;
    }
    return stat(node_filename(n), &st) < 0 ? -1 : (int64_t)st.st_blocks * 512;
}

void img_run(CoFn *fn, void *opaque)
{
    int ret = block_ctx_run(block_ctx(loop_main()), fn, opaque);

    if (ret < 0) {              /* of the first stack there is: no more use */
        img_error("%s", g_strerror(-ret));
        exit(1);
    }
}
