/*
 * The option tree: its nodes and the typed readers.
 *
 * A dict is an array of children in the order written, each with its key; a
 * dict that grows past a few entries gets a hash index, so that a hostile
 * JSON object costs no quadratic time.  A dict also remembers which keys its
 * readers asked for: those are the names that opt_all_read() suggests.
 *
 * Models: nothing of the text forms: opts-keyval.c, opts-json.c; scalars as
 *         text: opts-scalar.c.
 * Locks:  none: a tree belongs to one thread at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"

#include <inttypes.h>
#include <string.h>

enum { INDEX_FROM = 16 };       /* children, before a dict gets an index */

struct Opt {
    OptKind kind;
    bool read;                  /* some getter took it out of its dict */
    char *key;                  /* in a dict, else NULL */
    union {
        char *s;
        bool b;
        int64_t i;
        uint64_t u;
        double d;
        struct {
            GPtrArray *children;    /* of Opt *, owned */
            GHashTable *index;      /* dict: key -> Opt *, or NULL */
            GPtrArray *asked;       /* dict: of char *, or NULL */
        };
    };
};

GQuark opt_error_quark(void)
{
    return g_quark_from_static_string("rhea-opt-error");
}

bool opt_fail(GError **err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (err) {
        *err = g_error_new_valist(OPT_ERROR, OPT_ERROR_INVALID, fmt, ap);
    }
    va_end(ap);
    return false;
}

/* --- building ------------------------------------------------------------ */

static Opt *opt_new(OptKind kind)
{
    Opt *node = g_new0(Opt, 1);

    node->kind = kind;
    return node;
}

static Opt *opt_new_parent(OptKind kind)
{
    Opt *node = opt_new(kind);

    node->children = g_ptr_array_new_with_free_func((GDestroyNotify)opt_free);
    return node;
}

Opt *opt_new_dict(void)
{
    return opt_new_parent(OPT_DICT);
}

Opt *opt_new_list(void)
{
    return opt_new_parent(OPT_LIST);
}

Opt *opt_new_string(const char *s)
{
    Opt *node = opt_new(OPT_STRING);

    node->s = g_strdup(s);
    return node;
}

Opt *opt_new_bool(bool b)
{
    Opt *node = opt_new(OPT_BOOL);

    node->b = b;
    return node;
}

Opt *opt_new_int(int64_t i)
{
    Opt *node = opt_new(OPT_INT);

    node->i = i;
    return node;
}

Opt *opt_new_uint(uint64_t u)
{
    Opt *node = opt_new(OPT_UINT);

    node->u = u;
    return node;
}

Opt *opt_new_double(double d)
{
    Opt *node = opt_new(OPT_DOUBLE);

    node->d = d;
    return node;
}

Opt *opt_new_null(void)
{
    return opt_new(OPT_NULL);
}

void opt_free(Opt *node)
{
    if (!node) {
        return;
    }
    switch (node->kind) {
    case OPT_STRING:
        g_free(node->s);
        break;
    case OPT_LIST:
    case OPT_DICT:
        if (node->index) {
            g_hash_table_destroy(node->index);
        }
        if (node->asked) {
            g_ptr_array_free(node->asked, TRUE);
        }
        g_ptr_array_free(node->children, TRUE);
        break;
    default:
        break;
    }
    g_free(node->key);
    g_free(node);
}

static Opt *dict_find(const Opt *dict, const char *key)
{
    g_assert(dict->kind == OPT_DICT);
    if (dict->index) {
        return g_hash_table_lookup(dict->index, key);
    }
    for (unsigned i = 0; i < dict->children->len; i++) {
        Opt *child = dict->children->pdata[i];

        if (strcmp(child->key, key) == 0) {
            return child;
        }
    }
    return NULL;
}

static void dict_make_index(Opt *dict)
{
    dict->index = g_hash_table_new(g_str_hash, g_str_equal);
    for (unsigned i = 0; i < dict->children->len; i++) {
        Opt *child = dict->children->pdata[i];

        g_hash_table_insert(dict->index, child->key, child);
    }
}

void opt_put(Opt *dict, const char *key, Opt *value)
{
    Opt *old = dict_find(dict, key);

    g_assert(!value->key);
    value->key = g_strdup(key);
    if (old) {
        guint at = 0;

        g_ptr_array_find(dict->children, old, &at);
        dict->children->pdata[at] = value;
        if (dict->index) {
            g_hash_table_replace(dict->index, value->key, value);
        }
        opt_free(old);
        return;
    }
    g_ptr_array_add(dict->children, value);
    if (dict->index) {
        g_hash_table_insert(dict->index, value->key, value);
    } else if (dict->children->len > INDEX_FROM) {
        dict_make_index(dict);
    }
}

void opt_append(Opt *list, Opt *value)
{
    g_assert(list->kind == OPT_LIST);
    g_ptr_array_add(list->children, value);
}

void opt_remove(Opt *dict, const char *key)
{
    Opt *child = dict_find(dict, key);

    if (child) {
        if (dict->index) {
            g_hash_table_remove(dict->index, key);
        }
        g_ptr_array_remove(dict->children, child);
    }
}

Opt *opt_copy(const Opt *node)
{
    Opt *copy;

    switch (node->kind) {
    case OPT_STRING:
        return opt_new_string(node->s);
    case OPT_LIST:
        copy = opt_new_list();
        for (unsigned i = 0; i < node->children->len; i++) {
            opt_append(copy, opt_copy(node->children->pdata[i]));
        }
        return copy;
    case OPT_DICT:
        copy = opt_new_dict();
        for (unsigned i = 0; i < node->children->len; i++) {
            const Opt *child = node->children->pdata[i];

            opt_put(copy, child->key, opt_copy(child));
        }
        return copy;
    default:
        copy = g_memdup2(node, sizeof(*node));
        copy->key = NULL;
        copy->read = false;
        return copy;
    }
}

/* --- walking ------------------------------------------------------------- */

OptKind opt_kind(const Opt *node)
{
    return node->kind;
}

static bool is_parent(const Opt *node)
{
    return node->kind == OPT_LIST || node->kind == OPT_DICT;
}

unsigned opt_len(const Opt *node)
{
    return is_parent(node) ? node->children->len : 0;
}

Opt *opt_at(const Opt *node, unsigned i)
{
    return i < opt_len(node) ? node->children->pdata[i] : NULL;
}

const char *opt_key_at(const Opt *dict, unsigned i)
{
    const Opt *child = opt_at(dict, i);

    return child ? child->key : NULL;
}

static void dict_note_asked(Opt *dict, const char *key)
{
    if (!dict->asked) {
        dict->asked = g_ptr_array_new_with_free_func(g_free);
    }
    if (!g_ptr_array_find_with_equal_func(dict->asked, key, g_str_equal,
                                          NULL)) {
        g_ptr_array_add(dict->asked, g_strdup(key));
    }
}

Opt *opt_get(Opt *dict, const char *key)
{
    Opt *child = dict_find(dict, key);

    dict_note_asked(dict, key);
    if (child) {
        child->read = true;
    }
    return child;
}

Opt *opt_peek(const Opt *dict, const char *key)
{
    return dict_find(dict, key);
}

bool opt_has(const Opt *dict, const char *key)
{
    return dict_find(dict, key) != NULL;
}

const char *opt_string(const Opt *scalar)
{
    return scalar->kind == OPT_STRING ? scalar->s : NULL;
}

char *opt_to_string(const Opt *scalar)
{
    char buf[G_ASCII_DTOSTR_BUF_SIZE];

    switch (scalar->kind) {
    case OPT_STRING:
        return g_strdup(scalar->s);
    case OPT_BOOL:
        return g_strdup(scalar->b ? "on" : "off");
    case OPT_INT:
        return g_strdup_printf("%" PRId64, scalar->i);
    case OPT_UINT:
        return g_strdup_printf("%" PRIu64, scalar->u);
    case OPT_DOUBLE:
        return g_strdup(g_ascii_dtostr(buf, sizeof(buf), scalar->d));
    default:
        return g_strdup("");
    }
}

/* --- typed readers ------------------------------------------------------- */

/* The one wording of "not what I wanted". */
static bool bad_value(const char *key, const Opt *val, GError **err,
                      const char *expects)
{
    g_autofree char *text = NULL;

    if (is_parent(val)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "parameter '%s' expects %s, not %s", key, expects,
                    val->kind == OPT_LIST ? "a list" : "nested parameters");
        return false;
    }
    text = opt_to_string(val);
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "parameter '%s' expects %s, not '%s'", key, expects, text);
    return false;
}

bool opt_get_string(Opt *dict, const char *key, const char **out, GError **err)
{
    Opt *val = opt_get(dict, key);

    if (!val) {
        return true;
    }
    if (is_parent(val) || val->kind == OPT_NULL) {
        return bad_value(key, val, err, "a string");
    }
    if (val->kind != OPT_STRING) {
        /* Becomes a string for good: the caller keeps a pointer into it. */
        char *s = opt_to_string(val);

        val->kind = OPT_STRING;
        val->s = s;
    }
    *out = val->s;
    return true;
}

bool opt_get_bool(Opt *dict, const char *key, bool *out, GError **err)
{
    Opt *val = opt_get(dict, key);

    if (!val) {
        return true;
    }
    if (val->kind == OPT_BOOL) {
        *out = val->b;
        return true;
    }
    if (val->kind == OPT_STRING && parse_bool(val->s, out)) {
        return true;
    }
    return bad_value(key, val, err, "'on' or 'off'");
}

static bool to_uint(const Opt *val, uint64_t *out)
{
    switch (val->kind) {
    case OPT_UINT:
        *out = val->u;
        return true;
    case OPT_INT:
        *out = val->i;
        return val->i >= 0;
    case OPT_STRING:
        return parse_uint(val->s, out);
    default:
        return false;
    }
}

bool opt_get_uint(Opt *dict, const char *key, uint64_t *out, uint64_t max,
                  GError **err)
{
    Opt *val = opt_get(dict, key);
    g_autofree char *expects = NULL;
    uint64_t u;

    if (!val) {
        return true;
    }
    if (to_uint(val, &u) && u <= max) {
        *out = u;
        return true;
    }
    expects = max == UINT64_MAX
        ? g_strdup("a number")
        : g_strdup_printf("a number from 0 to %" PRIu64, max);
    return bad_value(key, val, err, expects);
}

bool opt_get_int(Opt *dict, const char *key, int64_t *out, GError **err)
{
    Opt *val = opt_get(dict, key);

    if (!val) {
        return true;
    }
    if (val->kind == OPT_INT) {
        *out = val->i;
        return true;
    }
    if (val->kind == OPT_UINT && val->u <= INT64_MAX) {
        *out = val->u;
        return true;
    }
    if (val->kind == OPT_STRING && parse_int(val->s, out)) {
        return true;
    }
    return bad_value(key, val, err, "a whole number");
}

bool opt_get_size(Opt *dict, const char *key, uint64_t *out, uint64_t unit,
                  GError **err)
{
    Opt *val = opt_get(dict, key);
    uint64_t size;

    if (!val) {
        return true;
    }
    if (val->kind == OPT_STRING) {
        if (parse_size(val->s, unit, out)) {
            return true;
        }
    } else if (to_uint(val, &size)
               && !__builtin_mul_overflow(size, unit, &size)) {
        *out = size;
        return true;
    }
    return bad_value(key, val, err,
                     "a size: a number and perhaps k, M, G, T, P or E");
}

bool opt_get_enum(Opt *dict, const char *key, const char *const *names,
                  int *out, GError **err)
{
    const char *s = NULL;
    g_autofree char *all = NULL;
    const char *near;

    if (!opt_get_string(dict, key, &s, err)) {
        return false;
    }
    if (!s) {
        return true;
    }
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], s) == 0) {
            *out = i;
            return true;
        }
    }
    near = nearest_name(s, names);
    all = g_strjoinv(", ", (char **)names);
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "parameter '%s' does not accept '%s'%s%s%s; accepted: %s",
                key, s, near ? " (did you mean '" : "", near ? near : "",
                near ? "'?)" : "", all);
    return false;
}

bool opt_all_read(Opt *dict, const char *what, const char *const *known,
                  GError **err)
{
    for (unsigned i = 0; i < dict->children->len; i++) {
        const Opt *child = dict->children->pdata[i];
        g_autofree const char **asked = NULL;
        const char *near;

        if (child->read) {
            continue;
        }
        if (!known) {
            unsigned n = dict->asked ? dict->asked->len : 0;

            asked = g_new0(const char *, n + 1);
            for (unsigned k = 0; k < n; k++) {
                asked[k] = dict->asked->pdata[k];
            }
        }
        near = nearest_name(child->key, known ? known : asked);
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "%s: unknown parameter '%s'%s%s%s", what, child->key,
                    near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
        return false;
    }
    return true;
}

/* --- writing JSON: beside the nodes, because it sees every kind ---------- */

static void json_string(const char *s, GString *out)
{
    g_string_append_c(out, '"');
    while (*s) {
        gunichar c = g_utf8_get_char_validated(s, -1);

        if (c == (gunichar)-1 || c == (gunichar)-2) {
            g_string_append(out, "\\ufffd");    /* not UTF-8: say so */
            s++;
            continue;
        }
        s = g_utf8_next_char(s);
        switch (c) {
        case '"':  g_string_append(out, "\\\""); break;
        case '\\': g_string_append(out, "\\\\"); break;
        case '\b': g_string_append(out, "\\b"); break;
        case '\f': g_string_append(out, "\\f"); break;
        case '\n': g_string_append(out, "\\n"); break;
        case '\r': g_string_append(out, "\\r"); break;
        case '\t': g_string_append(out, "\\t"); break;
        default:
            if (c >= 0x20 && c < 0x7f) {
                g_string_append_c(out, c);
            } else if (c < 0x10000) {
                g_string_append_printf(out, "\\u%04x", c);
            } else {
                c -= 0x10000;
                g_string_append_printf(out, "\\u%04x\\u%04x",
                                       0xd800 + (c >> 10),
                                       0xdc00 + (c & 0x3ff));
            }
        }
    }
    g_string_append_c(out, '"');
}

static void json_double(double d, GString *out)
{
    char buf[G_ASCII_DTOSTR_BUF_SIZE];

    /* JSON has no word for these. */
    if (d != d || d - d != 0) {
        g_string_append(out, "null");
        return;
    }
    g_ascii_dtostr(buf, sizeof(buf), d);
    g_string_append(out, buf);
    /* Stay a double when read again. */
    if (!strpbrk(buf, ".eE")) {
        g_string_append(out, ".0");
    }
}

void opt_to_json(const Opt *node, GString *out)
{
    switch (node->kind) {
    case OPT_NULL:
        g_string_append(out, "null");
        break;
    case OPT_STRING:
        json_string(node->s, out);
        break;
    case OPT_BOOL:
        g_string_append(out, node->b ? "true" : "false");
        break;
    case OPT_INT:
        g_string_append_printf(out, "%" PRId64, node->i);
        break;
    case OPT_UINT:
        g_string_append_printf(out, "%" PRIu64, node->u);
        break;
    case OPT_DOUBLE:
        json_double(node->d, out);
        break;
    case OPT_LIST:
    case OPT_DICT:
        g_string_append_c(out, node->kind == OPT_LIST ? '[' : '{');
        for (unsigned i = 0; i < node->children->len; i++) {
            const Opt *child = node->children->pdata[i];

            if (i) {
                g_string_append(out, ", ");
            }
            if (node->kind == OPT_DICT) {
                json_string(child->key, out);
                g_string_append(out, ": ");
            }
            opt_to_json(child, out);
        }
        g_string_append_c(out, node->kind == OPT_LIST ? ']' : '}');
        break;
    }
}
