/*
 * argv into the option tree, driven by the table of table.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

Options *options_new(void)
{
    Options *o = g_new0(Options, 1);

    o->tree = opt_new_dict();
    o->where = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    o->probes = g_array_new(FALSE, FALSE, sizeof(Probe));
    return o;
}

void options_free(Options *o)
{
    if (o) {
        opt_free(o->tree);
        g_hash_table_destroy(o->where);
        g_array_free(o->probes, TRUE);
        g_free(o);
    }
}

bool options_fail(GError **err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (err) {
        *err = g_error_new_valist(OPT_ERROR, OPT_ERROR_INVALID, fmt, ap);
    }
    va_end(ap);
    return false;
}

bool options_at(const Options *o, const Opt *node, GError **err)
{
    const char *where = node ? g_hash_table_lookup(o->where, node) : NULL;

    if (where) {
        g_prefix_error(err, "%s: ", where);
    }
    return false;
}

/* --- places in the tree -------------------------------------------------- */

Opt *options_get(const Options *o, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    Opt *node = o->tree;

    for (unsigned i = 0; names[i]; i++) {
        if (!node || opt_kind(node) != OPT_DICT) {
            return NULL;
        }
        node = opt_get(node, names[i]);
    }
    return node;
}

const char *options_string(const Options *o, const char *path)
{
    const Opt *node = options_get(o, path);

    return node ? opt_string(node) : NULL;
}

bool options_flag(const Options *o, const char *path)
{
    const char *s = options_string(o, path);
    bool on = false;

    return s && parse_bool(s, &on) && on;
}

/* The dict that holds the last name of `path`, made as needed; NULL with err
 * when something else stands in the way ("-machine smp=4 -smp 4"). */
static Opt *parent_of(Options *o, const char *path, char **last, GError **err)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    Opt *node = o->tree;
    unsigned i;

    for (i = 0; names[i + 1]; i++) {
        Opt *next = opt_peek(node, names[i]);

        if (!next) {
            next = opt_new_dict();
            opt_put(node, names[i], next);
        } else if (opt_kind(next) != OPT_DICT) {
            options_fail(err, "'%s' was given as a plain value before",
                         names[i]);
            return NULL;
        }
        node = next;
    }
    *last = g_strdup(names[i]);
    return node;
}

static void note_where(Options *o, const Opt *node, const char *where)
{
    g_hash_table_insert(o->where, (gpointer)node, g_strdup(where));
}

static bool set_at(Options *o, const char *path, Opt *val, const char *where,
                   GError **err)
{
    g_autofree char *last = NULL;
    Opt *parent = parent_of(o, path, &last, err);

    if (!parent) {
        opt_free(val);
        return false;
    }
    opt_put(parent, last, val);
    note_where(o, val, where);
    return true;
}

static bool append_at(Options *o, const char *path, Opt *val,
                      const char *where, GError **err)
{
    g_autofree char *last = NULL;
    Opt *parent = parent_of(o, path, &last, err);
    Opt *list;

    if (!parent) {
        opt_free(val);
        return false;
    }
    list = opt_peek(parent, last);
    if (!list) {
        list = opt_new_list();
        opt_put(parent, last, list);
    }
    opt_append(list, val);
    note_where(o, val, where);
    return true;
}

/* `from` into `to`: dicts by their keys, all else replaces. */
static bool merge(Opt *to, const Opt *from, GError **err)
{
    for (unsigned i = 0; i < opt_len(from); i++) {
        const char *key = opt_key_at(from, i);
        const Opt *new = opt_at(from, i);
        Opt *old = opt_peek(to, key);
        bool both = old && opt_kind(old) == OPT_DICT
            && opt_kind(new) == OPT_DICT;

        if (both && !merge(old, new, err)) {
            return false;
        }
        if (!both && old
            && (opt_kind(old) == OPT_DICT) != (opt_kind(new) == OPT_DICT)) {
            return options_fail(err, "parameter '%s' is given both with and "
                                "without a dotted part", key);
        }
        if (!both) {
            opt_put(to, key, opt_copy(new));
        }
    }
    return true;
}

Opt *options_dict(const Options *o, const char *path)
{
    Opt *node = options_get(o, path);

    if (!node || opt_kind(node) != OPT_DICT) {
        g_autofree char *last = NULL;
        Opt *parent = parent_of((Options *)o, path, &last, NULL);

        g_assert(parent);
        node = opt_new_dict();
        opt_put(parent, last, node);
    }
    return node;
}

/* --- applying one option ------------------------------------------------- */

static void add_probe(Options *o, const OptionRow *row, Opt *dict)
{
    Probe probe = { row, dict };

    g_array_append_val(o->probes, probe);
}

bool options_apply_dict(Options *o, const OptionRow *row, Opt *dict,
                        const char *where, GError **err)
{
    g_autoptr(Opt) taken = dict;
    Opt *into;

    if (row->kind == OPTION_ADD_DICT) {
        return append_at(o, row->path, g_steal_pointer(&taken), where, err);
    }
    into = options_get(o, row->path);
    if (!into) {
        return set_at(o, row->path, g_steal_pointer(&taken), where, err);
    }
    if (opt_kind(into) != OPT_DICT) {
        return options_fail(err, "'%s' was given as a plain value before",
                            row->path);
    }
    note_where(o, into, where);
    return merge(into, dict, err);
}

/* "value=a,value=b" as "value.0=a,value.1=b", or with `part` instead of the
 * numbers. */
static char *add_part(const char *text, const char *key, const char *part_name)
{
    GString *out = g_string_new(NULL);
    size_t len = strlen(key);
    unsigned n = 0;

    while (*text) {
        if (!strncmp(text, key, len) && text[len] == '=') {
            if (part_name) {
                g_string_append_printf(out, "%s.%s", key, part_name);
            } else {
                g_string_append_printf(out, "%s.%u", key, n++);
            }
            text += len;
        }
        for (;; ) {             /* to a comma that is none of the value's */
            size_t part = strcspn(text, ",");

            part += text[part] && text[part + 1] == ',' ? 2 : 0;
            g_string_append_len(out, text, part);
            text += part;
            if (!*text || (*text == ',' && text[1] != ',')) {
                break;
            }
        }
        if (*text) {
            g_string_append_c(out, *text++);
        }
    }
    return g_string_free(out, FALSE);
}

static bool apply_keyval(Options *o, const OptionRow *row, const char *arg,
                         const char *where, GError **err)
{
    g_autofree char *text = g_strdup(arg);
    bool help = false;
    Opt *dict, *list;

    for (unsigned i = 0; row->repeats && row->repeats[i] && *arg != '{'; i++) {
        char *numbered = add_part(text, row->repeats[i], NULL);

        g_free(text);
        text = numbered;
    }
    if (row->file_has_parts && (g_str_has_prefix(text, "file.")
                                || strstr(text, ",file."))) {
        char *whole = add_part(text, "file", "filename");

        g_free(text);
        text = whole;
    }
    dict = opt_parse_keyval(text, row->implied, &help, err);
    if (!dict) {
        return false;
    }
    if (help) {
        /* Kept by the tree like the rest, for probe.c to look at. */
        if (!append_at(o, "probes", dict, where, err)) {
            return false;
        }
        list = options_get(o, "probes");
        add_probe(o, row, opt_at(list, opt_len(list) - 1));
        return true;
    }
    return options_apply_dict(o, row, dict, where, err);
}

static bool is_help(const char *arg)
{
    return strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0;
}

bool options_apply(Options *o, const OptionRow *row, const char *arg,
                   const char *where, GError **err)
{
    switch (row->kind) {
    case OPTION_SET:
        if (arg && is_help(arg) && row->value) {
            add_probe(o, row, NULL);
            return true;
        }
        return set_at(o, row->path, opt_new_string(arg ? arg : row->value),
                      where, err);
    case OPTION_ADD:
        return append_at(o, row->path, opt_new_string(arg), where, err);
    case OPTION_MERGE:
    case OPTION_ADD_DICT:
        return apply_keyval(o, row, arg, where, err);
    case OPTION_CALL:
        return row->fn(o, row, arg, err);
    case OPTION_ACCEPT:
        return true;
    case OPTION_NOT_YET:
        if (arg && is_help(arg)) {
            add_probe(o, row, NULL);
            return true;
        }
        return options_fail(err, "not implemented yet%s%s",
                            row->value ? "; " : "",
                            row->value ? row->value : "");
    case OPTION_REMOVED:
        return options_fail(err, "no longer an option; %s", row->value);
    }
    g_assert_not_reached();
}

/* --- argv ---------------------------------------------------------------- */

const OptionRow *option_row_find(const char *name)
{
    for (const OptionRow *row = option_rows; row->name; row++) {
        if (strcmp(row->name, name) == 0
            || (row->alias && strcmp(row->alias, name) == 0)) {
            return row;
        }
    }
    return NULL;
}

static bool unknown_option(const char *arg, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    for (const OptionRow *row = option_rows; row->name; row++) {
        if (row->kind != OPTION_REMOVED) {
            g_ptr_array_add(names, (char *)row->name);
            if (row->alias) {
                g_ptr_array_add(names, (char *)row->alias);
            }
        }
    }
    g_ptr_array_add(names, NULL);
    near = nearest_name(arg + strspn(arg, "-"),
                        (const char *const *)names->pdata);
    if (near) {
        return options_fail(err, "%s: invalid option; did you mean -%s?", arg,
                            near);
    }
    return options_fail(err, "%s: invalid option; see -help", arg);
}

bool options_parse(Options *o, int argc, char **argv, GError **err)
{
    for (int i = 1; i < argc && !o->done; i++) {
        const char *name = argv[i];
        const OptionRow *row;
        const char *arg = NULL;
        g_autofree char *where = NULL;

        if (name[0] != '-' || !name[1]) {
            /* A file name alone is the first disk. */
            if (!options_apply(o, option_row_find("hda"), name, name, err)) {
                g_prefix_error(err, "%s: ", name);
                return false;
            }
            continue;
        }
        row = option_row_find(name + (name[1] == '-' ? 2 : 1));
        if (!row) {
            return unknown_option(name, err);
        }
        if (row->has_arg) {
            if (i + 1 >= argc) {
                return options_fail(err, "%s: requires an argument", name);
            }
            arg = argv[++i];
        }
        where = arg ? g_strdup_printf("%s %s", name, arg) : g_strdup(name);
        if (!options_apply(o, row, arg, where, err)) {
            g_prefix_error(err, "%s: ", where);
            return false;
        }
    }
    return true;
}
