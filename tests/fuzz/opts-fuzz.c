/*
 * The option parsers: any text must give a tree or an error; what is printed
 * as JSON must read back the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "base/opts.h"
#include "fuzz.h"

static void check_round_trip(const Opt *node)
{
    g_autoptr(GString) once = g_string_new(NULL);
    g_autoptr(GString) twice = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) again = NULL;

    opt_to_json(node, once);
    again = opt_parse_json(once->str, once->len, &err);
    if (!again) {
        abort();
    }
    opt_to_json(again, twice);
    if (!g_string_equal(once, twice)) {
        abort();
    }
}

static void check_getters(Opt *dict)
{
    static const char *const names[] = { "on", "off", "stdio", NULL };

    for (unsigned i = 0; i < opt_len(dict); i++) {
        g_autofree char *key = g_strdup(opt_key_at(dict, i));
        uint64_t u;
        int64_t n;
        bool b;
        int e;
        const char *s;

        opt_get_bool(dict, key, &b, NULL);
        opt_get_uint(dict, key, &u, 1000, NULL);
        opt_get_int(dict, key, &n, NULL);
        opt_get_size(dict, key, &u, 1 << 20, NULL);
        opt_get_enum(dict, key, names, &e, NULL);
        opt_get_string(dict, key, &s, NULL);
    }
    if (!opt_all_read(dict, "fuzz", names, NULL)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size);
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) json_err = NULL;
    g_autoptr(Opt) keyval = NULL;
    g_autoptr(Opt) json = NULL;
    bool help;

    keyval = opt_parse_keyval(text, "implied", &help, &err);
    if (!keyval != !!err) {
        abort();
    }
    if (keyval) {
        g_autoptr(Opt) copy = opt_copy(keyval);

        check_round_trip(keyval);
        check_getters(copy);
    }
    json = opt_parse_json(size ? (const char *)data : "", size, &json_err);
    if (!json != !!json_err) {
        abort();
    }
    if (json) {
        check_round_trip(json);
    }
    return 0;
}
