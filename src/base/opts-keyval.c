/*
 * QEMU's keyval grammar into an option tree.
 *
 *     text  = [ first ] { "," param }
 *     first = value of the implied key, when it has no "="
 *     param = key "=" value | word | "no" word
 *     key   = name { "." name }       a name of digits is a list index
 *
 * In a value ",," stands for one comma.  The last of equal keys counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"

#include <string.h>

enum {
    DEPTH_MAX = 64,             /* dots in a key */
    NAME_LEN_MAX = 127,         /* between two dots */
};

static bool is_index(const char *name)
{
    return *name && name[strspn(name, "0123456789")] == 0;
}

/* Printable ASCII: a name from outside ends up in messages and JSON. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++) {
        if (!g_ascii_isgraph(name[i])) {
            return false;
        }
    }
    return len > 0 && len <= NAME_LEN_MAX;
}

static bool fail_key(GError **err, const char *key, const char *why)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "parameter '%.*s' %s",
                NAME_LEN_MAX, key, why);
    return false;
}

/* Put `val` (taken) at dotted `key` below `dict`. */
static bool put_dotted(Opt *dict, const char *key, Opt *val, GError **err)
{
    g_auto(GStrv) names = g_strsplit(key, ".", DEPTH_MAX + 1);
    unsigned n = g_strv_length(names);

    if (n > DEPTH_MAX) {
        opt_free(val);
        return fail_key(err, key, "is nested too deeply");
    }
    for (unsigned i = 0; i < n; i++) {
        if (!is_name(names[i])) {
            opt_free(val);
            return fail_key(err, key, "is not a valid name");
        }
    }
    for (unsigned i = 0; i + 1 < n; i++) {
        Opt *next = opt_peek(dict, names[i]);

        if (!next) {
            next = opt_new_dict();
            opt_put(dict, names[i], next);
        } else if (opt_kind(next) != OPT_DICT) {
            opt_free(val);
            return fail_key(err, key, "is given both with and without a "
                            "dotted part");
        }
        dict = next;
    }
    if (n) {
        Opt *old = opt_peek(dict, names[n - 1]);

        if (old && opt_kind(old) == OPT_DICT) {
            opt_free(val);
            return fail_key(err, key, "is given both with and without a "
                            "dotted part");
        }
        opt_put(dict, names[n - 1], val);
        return true;
    }
    opt_free(val);
    return fail_key(err, key, "is not a valid name");
}

/* The list that `dict`, whose keys are all indices, stands for. */
static Opt *list_of_dict(const Opt *dict, const char *name, GError **err)
{
    g_autoptr(Opt) list = opt_new_list();

    for (unsigned i = 0; i < opt_len(dict); i++) {
        char index[16];
        const Opt *item;

        g_snprintf(index, sizeof(index), "%u", i);
        item = opt_peek(dict, index);
        if (!item) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                        "parameter '%s.%s' is missing", name, index);
            return NULL;
        }
        opt_append(list, opt_copy(item));
    }
    return g_steal_pointer(&list);
}

/* Below `dict`: dicts whose keys are indices become lists. */
static bool make_lists(Opt *dict, GError **err)
{
    for (unsigned i = 0; i < opt_len(dict); i++) {
        Opt *child = opt_at(dict, i);
        const char *name = opt_key_at(dict, i);
        unsigned n_indices = 0;
        Opt *list;

        if (opt_kind(child) != OPT_DICT) {
            continue;
        }
        if (!make_lists(child, err)) {
            return false;
        }
        for (unsigned k = 0; k < opt_len(child); k++) {
            n_indices += is_index(opt_key_at(child, k));
        }
        if (n_indices == 0) {
            continue;
        }
        if (n_indices != opt_len(child)) {
            return fail_key(err, name, "is used both as a list and as names");
        }
        list = list_of_dict(child, name, err);
        if (!list) {
            return false;
        }
        {
            g_autofree char *key = g_strdup(name);  /* opt_put frees `name` */

            opt_put(dict, key, list);
        }
    }
    return true;
}

/* A value up to a lone comma or the end; *s moves behind it. */
static char *take_value(const char **s)
{
    GString *val = g_string_new(NULL);

    for (;;) {
        size_t n = strcspn(*s, ",");

        g_string_append_len(val, *s, n);
        *s += n;
        if ((*s)[0] != ',' || (*s)[1] != ',') {
            break;
        }
        g_string_append_c(val, ',');
        *s += 2;
    }
    return g_string_free(val, FALSE);
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "?") == 0;
}

/* "word" or "noword". */
static bool put_word(Opt *dict, const char *word, GError **err)
{
    /* The one option whose name begins so; sockets have it. */
    bool no = g_str_has_prefix(word, "no") && word[2]
        && strcmp(word, "nodelay") != 0;

    return put_dotted(dict, no ? word + 2 : word,
                      opt_new_string(no ? "off" : "on"), err);
}

Opt *opt_parse_keyval(const char *text, const char *implied, bool *help,
                      GError **err)
{
    g_autoptr(Opt) dict = NULL;
    const char *s = text;

    if (*s == '{') {
        dict = opt_parse_json(text, -1, err);
        return g_steal_pointer(&dict);
    }
    dict = opt_new_dict();
    while (*s) {
        size_t n = strcspn(s, "=,");
        bool first = s == text;

        if (s[n] == '=') {
            g_autofree char *key = g_strndup(s, n);
            g_autofree char *val = NULL;

            s += n + 1;
            val = take_value(&s);
            if (!put_dotted(dict, key, opt_new_string(val), err)) {
                return NULL;
            }
        } else {
            g_autofree char *word = NULL;

            if (first && implied) {
                word = take_value(&s);
            } else {
                word = g_strndup(s, n);
                s += n;
            }
            if (help && is_help(word)) {
                *help = true;
            } else if (first && implied) {
                opt_put(dict, implied, opt_new_string(word));
            } else if (!put_word(dict, word, err)) {
                return NULL;
            }
        }
        if (*s == ',') {
            s++;
        }
    }
    if (!make_lists(dict, err)) {
        return NULL;
    }
    return g_steal_pointer(&dict);
}
