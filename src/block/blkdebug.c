/*
 * "blkdebug": the bytes of its image, with errors where a test wants them.
 *
 *     -drive file=blkdebug:rules.ini:disk.img
 *     -blockdev blkdebug,node-name=d,image=n,inject-error.0.event=write_aio,
 *               inject-error.0.errno=28,inject-error.0.once=on
 *
 * A rule waits for an event in a state (0: in any).  inject-error then makes
 * the next request of its kind, at its sector, fail; once, or until another
 * event's rules take its place.  set-state changes the state, which is 1 at
 * first.  The event "none" has happened when the node opens.  Others come from
 * the format above (read_aio, l2_load, ...) and from requests themselves
 * (pwritev, pwritev_done, flush_to_os, flush_to_disk).
 *
 * Spec:  QEMU, docs/devel/testing/blkdebug.rst; QAPI's BlockdevOptionsBlkdebug.
 * Locks: in the node's loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctx.h"
#include "node.h"

enum { SECTOR_BYTES = 512, MAX_STATE = 1 << 20, MAX_ERRNO = 4095 };

static const char *const events[] = {
    "none", "l1_update", "l1_grow.alloc_table", "l1_grow.write_table",
    "l1_grow.activate_table", "l2_load", "l2_update", "l2_update_compressed",
    "l2_alloc.cow_read", "l2_alloc.write", "read_aio", "read_backing_aio",
    "read_compressed", "write_aio", "write_compressed", "vmstate_load",
    "vmstate_save", "cow_read", "cow_write", "reftable_load", "reftable_grow",
    "reftable_update", "refblock_load", "refblock_update",
    "refblock_update_part", "refblock_alloc", "refblock_alloc.hookup",
    "refblock_alloc.write", "refblock_alloc.write_blocks",
    "refblock_alloc.write_table", "refblock_alloc.switch_table",
    "cluster_alloc", "cluster_alloc_bytes", "cluster_free", "flush_to_os",
    "flush_to_disk", "pwritev_rmw.head", "pwritev_rmw.after_head",
    "pwritev_rmw.tail", "pwritev_rmw.after_tail", "pwritev", "pwritev_zero",
    "pwritev_done", "empty_image_prepare", "l1_shrink_write_table",
    "l1_shrink_free_l2_clusters", "cor_write", "cluster_alloc_space", NULL
};

/* What a rule's error is for; 0 stands for all that is given. */
static const char *const iotypes[] = {
    "read", "write", "write-zeroes", "discard", "flush", "block-status", NULL
};
typedef enum {
    IO_READ, IO_WRITE, IO_ZEROES, IO_DISCARD, IO_FLUSH, IO_STATUS
} IoType;

typedef struct Rule {
    int event;
    uint64_t state;             /* 0: any */
    bool sets_state;
    uint64_t new_state;

    uint64_t error;
    int64_t sector;             /* -1: any */
    int iotype;                 /* -1: all but block-status */
    bool once, immediately;
    bool active, spent;
} Rule;

typedef struct Debug {
    GArray *rules;              /* of Rule */
    uint64_t state;
} Debug;

/* --- events -------------------------------------------------------------------------- */

static void happen(Debug *d, int event)
{
    uint64_t state = d->state, next = state;
    bool replaced = false;

    for (unsigned i = 0; i < d->rules->len; i++) {
        Rule *r = &g_array_index(d->rules, Rule, i);

        if (r->event != event || r->spent || (r->state && r->state != state)) {
            continue;
        }
        if (r->sets_state) {
            next = r->new_state;
            continue;
        }
        for (unsigned k = 0; !replaced && k < d->rules->len; k++) {
            g_array_index(d->rules, Rule, k).active = false;
        }
        replaced = true;
        r->active = true;
    }
    d->state = next;
}

static int event_of(const char *name)
{
    for (unsigned i = 0; events[i]; i++) {
        if (!strcmp(events[i], name)) {
            return i;
        }
    }
    return -1;
}

static void debug_event(BlockNode *n, const char *event)
{
    int which = event_of(event);

    if (which >= 0) {
        happen(n->state, which);
    }
}

static bool is_hit(const Rule *r, IoType type, uint64_t at, uint64_t bytes)
{
    uint64_t start = (uint64_t)r->sector * SECTOR_BYTES;

    return r->active && !r->spent
           && (r->iotype < 0 ? type != IO_STATUS : r->iotype == (int)type)
           && (r->sector < 0 || (start + SECTOR_BYTES > at
                                 && start < at + bytes));
}

/* An error for this request, or 0. */
static int inject(BlockNode *n, IoType type, uint64_t at, uint64_t bytes)
{
    Debug *d = n->state;

    for (unsigned i = 0; i < d->rules->len; i++) {
        Rule *r = &g_array_index(d->rules, Rule, i);

        if (is_hit(r, type, at, bytes)) {
            int error = r->error;

            r->spent = r->once;
            if (!r->immediately) {      /* as the host would: later */
                block_ctx_wake(n->ctx, co_self());
                co_yield();
            }
            return -error;
        }
    }
    return 0;
}

/* --- requests ---------------------------------------------------------------------------- */

static int debug_read(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                      unsigned flags)
{
    int ret = inject(n, IO_READ, at, bytes);

    return ret ? ret : node_read(n->file, at, bytes, v, flags);
}

static int debug_write(BlockNode *n, uint64_t at, uint64_t bytes, IoVec v,
                       unsigned flags)
{
    int ret;

    debug_event(n, "pwritev");
    ret = inject(n, IO_WRITE, at, bytes);
    ret = ret ? ret : node_write(n->file, at, bytes, v, flags);
    debug_event(n, "pwritev_done");
    return ret;
}

static int debug_write_zeroes(BlockNode *n, uint64_t at, uint64_t bytes,
                              unsigned flags)
{
    int ret;

    debug_event(n, "pwritev_zero");
    ret = inject(n, IO_ZEROES, at, bytes);
    ret = ret ? ret : node_write_zeroes(n->file, at, bytes, flags);
    debug_event(n, "pwritev_done");
    return ret;
}

static int debug_discard(BlockNode *n, uint64_t at, uint64_t bytes)
{
    int ret = inject(n, IO_DISCARD, at, bytes);

    return ret ? ret : at >= n->file->length ? 0
           : node_discard(n->file, at, MIN(bytes, n->file->length - at));
}

static int debug_flush(BlockNode *n)
{
    int ret;

    debug_event(n, "flush_to_os");
    debug_event(n, "flush_to_disk");
    ret = inject(n, IO_FLUSH, 0, UINT64_MAX);
    return ret ? ret : node_flush(n->file);
}

static int debug_status(BlockNode *n, uint64_t at, uint64_t bytes,
                        BlockStatus *st)
{
    int ret = inject(n, IO_STATUS, at, bytes);

    return ret ? ret : node_status(n->file, at, bytes, st);
}

/* --- options ------------------------------------------------------------------------------ */

static bool get_event(Opt *dict, Rule *r, GError **err)
{
    if (!opt_has(dict, "event")) {
        return block_fail(err, "parameter 'event' is missing");
    }
    return opt_get_enum(dict, "event", events, &r->event, err)
           && opt_get_uint(dict, "state", &r->state, MAX_STATE, err);
}

static bool get_error_rule(Opt *dict, Rule *r, GError **err)
{
    r->error = EIO;
    r->sector = r->iotype = -1;
    return get_event(dict, r, err)
           && opt_get_uint(dict, "errno", &r->error, MAX_ERRNO, err)
           && opt_get_int(dict, "sector", &r->sector, err)
           && opt_get_enum(dict, "iotype", iotypes, &r->iotype, err)
           && opt_get_bool(dict, "once", &r->once, err)
           && opt_get_bool(dict, "immediately", &r->immediately, err)
           && opt_all_read(dict, "inject-error", NULL, err)
           && ((r->sector >= -1 && r->sector <= INT64_MAX / SECTOR_BYTES)
               || block_fail(err, "parameter 'sector' is out of range"));
}

static bool get_state_rule(Opt *dict, Rule *r, GError **err)
{
    const char *key = opt_has(dict, "new-state") ? "new-state" : "new_state";

    r->sets_state = true;
    if (!opt_has(dict, key)) {
        return block_fail(err, "parameter 'new_state' is missing");
    }
    return get_event(dict, r, err)
           && opt_get_uint(dict, key, &r->new_state, MAX_STATE, err)
           && opt_all_read(dict, "set-state", NULL, err);
}

typedef bool GetRule(Opt *dict, Rule *r, GError **err);

static GetRule *rule_kind(const char *name)
{
    return !strcmp(name, "inject-error") ? get_error_rule
           : !strcmp(name, "set-state") ? get_state_rule : NULL;
}

static bool add_rule(Debug *d, GetRule *get, Opt *dict, GError **err)
{
    Rule r = { 0 };

    if (opt_kind(dict) != OPT_DICT) {
        return block_fail(err, "a rule has event= and other parts");
    }
    if (!get(dict, &r, err)) {
        return false;
    }
    g_array_append_val(d->rules, r);
    return true;
}

static bool add_list(Debug *d, Opt *opts, const char *kind, GError **err)
{
    Opt *list = opt_get(opts, kind);

    if (list && opt_kind(list) != OPT_LIST) {
        return block_fail(err, "parameter '%s' expects a list: %s.0.event=",
                          kind, kind);
    }
    for (unsigned i = 0; list && i < opt_len(list); i++) {
        if (!add_rule(d, rule_kind(kind), opt_at(list, i), err)) {
            g_prefix_error(err, "%s.%u: ", kind, i);
            return false;
        }
    }
    return true;
}

/* [inject-error] or [set-state], and key = "value" below it. */
static bool add_section(Debug *d, const char *kind, Opt *dict, GError **err)
{
    return !dict || !opt_len(dict) || add_rule(d, rule_kind(kind), dict, err);
}

static bool read_line(Debug *d, char *s, char **kind, Opt **dict, GError **err)
{
    size_t len = strlen(s);
    char *eq = strchr(s, '=');

    if (!*s || *s == '#') {
        return true;
    }
    if (*s == '[' && s[len - 1] == ']') {
        bool ok = add_section(d, *kind ? *kind : "", *dict, err);

        g_free(*kind);
        opt_free(*dict);
        *dict = opt_new_dict();
        *kind = g_strndup(s + 1, len - 2);
        return ok && (rule_kind(*kind)
                      || block_fail(err, "unknown section [%s]; accepted: "
                                    "inject-error, set-state", *kind));
    }
    if (!eq || !*kind) {
        return block_fail(err, "a section, or key = \"value\" below one, is "
                          "expected, not '%s'", s);
    }
    *eq = '\0';
    g_strstrip(eq + 1);
    len = strlen(eq + 1);
    if (len >= 2 && eq[1] == '"' && eq[len] == '"') {
        eq[len] = '\0';
        eq++;
    }
    opt_put(*dict, g_strstrip(s), opt_new_string(eq + 1));
    return true;
}

static bool read_config(Debug *d, const char *path, GError **err)
{
    g_autofree char *text = NULL;
    g_autofree char *kind = NULL;
    g_auto(GStrv) lines = NULL;
    Opt *dict = NULL;
    bool ok = true;

    if (!g_file_get_contents(path, &text, NULL, err)) {
        return false;
    }
    lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i] && ok; i++) {
        ok = read_line(d, g_strstrip(lines[i]), &kind, &dict, err);
    }
    ok = ok && add_section(d, kind ? kind : "", dict, err);
    opt_free(dict);
    if (!ok) {
        g_prefix_error(err, "'%s': ", path);
    }
    return ok;
}

static bool get_limits(BlockNode *n, Opt *opts, GError **err)
{
    uint64_t align = n->file->alignment, most = 0;

    if (!opt_get_size(opts, "align", &align, 1, err)
        || !opt_get_size(opts, "max-transfer", &most, 1, err)) {
        return false;
    }
    if (!align || align & (align - 1) || align > 64 * KiB
        || align < n->file->alignment) {
        return block_fail(err, "parameter 'align' expects a power of two from "
                          "%u to 65536", n->file->alignment);
    }
    if (most % align || most > BLOCK_MAX_REQUEST) {
        return block_fail(err, "parameter 'max-transfer' expects a multiple "
                          "of align=, up to 1G");
    }
    n->alignment = align;
    n->max_transfer = most;
    n->memory_alignment = n->file->memory_alignment;
    return true;
}

static void debug_close(BlockNode *n)
{
    g_clear_pointer(&((Debug *)n->state)->rules, g_array_unref);
}

static bool debug_open(BlockNode *n, Opt *opts, GError **err)
{
    Debug *d = n->state;
    const char *config = NULL;

    d->state = 1;
    d->rules = g_array_new(FALSE, FALSE, sizeof(Rule));
    n->file = node_open_child(n, opts, "image", false, err);
    if (!n->file || !opt_get_string(opts, "config", &config, err)
        || (config && !read_config(d, config, err))
        || !add_list(d, opts, "inject-error", err)
        || !add_list(d, opts, "set-state", err)
        || !get_limits(n, opts, err)) {
        debug_close(n);
        return false;
    }
    n->length = n->file->length;
    happen(d, 0);
    return true;
}

const BlockDriver block_driver_blkdebug = {
    .name = "blkdebug", .doc = "errors where a test wants them",
    .state_bytes = sizeof(Debug), .protocol = true, .filter = true,
    .grows = true, .fua = true, .open = debug_open, .close = debug_close,
    .read = debug_read, .write = debug_write,
    .write_zeroes = debug_write_zeroes, .discard = debug_discard,
    .flush = debug_flush, .status = debug_status, .debug_event = debug_event,
};
