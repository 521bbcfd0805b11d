/*
 * -readconfig: QEMU's ini grammar.
 *
 *     # comment
 *     [device "net0"]
 *       driver = "e1000"
 *
 * Each group is applied like the option of its name, with "id" from the
 * heading.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

/* Groups that are not named like their option. */
static const struct { const char *group, *option; } renamed[] = {
    { "memory", "m" }, { "smp-opts", "smp" }, { "boot-opts", "boot" },
};

static const OptionRow *row_of_group(const char *group)
{
    const OptionRow *row;

    for (unsigned i = 0; i < G_N_ELEMENTS(renamed); i++) {
        if (strcmp(group, renamed[i].group) == 0) {
            group = renamed[i].option;
        }
    }
    row = option_row_find(group);
    if (row && (row->kind == OPTION_MERGE || row->kind == OPTION_ADD_DICT
                || row->kind == OPTION_NOT_YET
                || strcmp(row->name, "global") == 0)) {
        return row;
    }
    return NULL;
}

typedef struct {
    Options *o;
    const char *path;
    unsigned line;
    const OptionRow *row;       /* of the open group */
    Opt *dict;
    unsigned group_line;
} Config;

static bool close_group(Config *c, GError **err)
{
    g_autofree char *where = NULL;
    Opt *dict = g_steal_pointer(&c->dict);

    if (!dict) {
        return true;
    }
    where = g_strdup_printf("%s:%u", c->path, c->group_line);
    if (c->row->kind == OPTION_CALL) {
        /* -global: "driver", "property" and "value" are its long form. */
        static const OptionRow global = {
            .name = "global", .kind = OPTION_ADD_DICT, .path = "global"
        };

        return options_apply_dict(c->o, &global, dict, where, err);
    }
    return options_apply_dict(c->o, c->row, dict, where, err);
}

/* [group] or [group "id"] */
static bool open_group(Config *c, char *s, GError **err)
{
    char *end = strchr(s, ']');
    char *quote = strchr(s, '"');
    const char *id = NULL;

    if (!end || end[1]) {
        return options_fail(err, "']' expected at the end of the line");
    }
    *end = 0;
    if (quote) {
        char *close = strchr(quote + 1, '"');

        if (!close || close[1]) {
            return options_fail(err, "the group's id must be in quotes");
        }
        *quote = *close = 0;
        id = quote + 1;
    }
    g_strstrip(s + 1);
    c->row = row_of_group(s + 1);
    if (!c->row) {
        return options_fail(err, "there is no option group '%s'", s + 1);
    }
    if (c->row->kind == OPTION_NOT_YET) {
        return options_fail(err, "[%s]: not implemented yet", s + 1);
    }
    c->dict = opt_new_dict();
    c->group_line = c->line;
    if (id) {
        opt_put(c->dict, "id", opt_new_string(id));
    }
    return true;
}

static void put_value(Config *c, const char *key, const char *val)
{
    Opt *list = opt_peek(c->dict, key);

    if (!c->row->repeats || !g_strv_contains(c->row->repeats, key)) {
        opt_put(c->dict, key, opt_new_string(val));
        return;
    }
    if (!list) {
        list = opt_new_list();
        opt_put(c->dict, key, list);
    }
    opt_append(list, opt_new_string(val));
}

/* key = "value" */
static bool read_pair(Config *c, char *s, GError **err)
{
    char *eq = strchr(s, '=');
    char *val;
    size_t len;

    if (!c->dict) {
        return options_fail(err, "no group defined");
    }
    if (!eq) {
        return options_fail(err, "parse error: key = \"value\" expected");
    }
    *eq = 0;
    g_strstrip(s);
    val = g_strstrip(eq + 1);
    len = strlen(val);
    if (!*s || len < 2 || val[0] != '"' || val[len - 1] != '"') {
        return options_fail(err, "parse error: key = \"value\" expected");
    }
    val[len - 1] = 0;
    put_value(c, s, val + 1);
    return true;
}

static bool read_line(Config *c, char *s, GError **err)
{
    g_strstrip(s);
    if (!*s || *s == '#') {
        return true;
    }
    if (*s == '[') {
        return close_group(c, err) && open_group(c, s, err);
    }
    return read_pair(c, s, err);
}

bool readconfig_text(Options *o, const char *path, const char *text,
                     GError **err)
{
    Config c = { .o = o, .path = path };
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    bool ok = true;

    for (unsigned i = 0; ok && lines[i]; i++) {
        c.line = i + 1;
        ok = read_line(&c, lines[i], err);
    }
    ok = ok && close_group(&c, err);
    if (!ok) {
        g_prefix_error(err, "%s:%u: ", path, c.line);
    }
    opt_free(c.dict);
    return ok;
}

bool readconfig_file(Options *o, const char *path, GError **err)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;

    if (!g_file_get_contents(path, &text, NULL, &why)) {
        return options_fail(err, "Could not open '%s': %s", path,
                            why->message);
    }
    return readconfig_text(o, path, text, err);
}
