/*
 * The option tree: text forms, typed readers, errors.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"

/* Keyval text in, JSON text or the error's message out. */
static char *keyval(const char *text, const char *implied)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(text, implied, NULL, &err);
    GString *out = g_string_new(NULL);

    if (!dict) {
        g_string_append(out, err->message);
    } else {
        opt_to_json(dict, out);
    }
    return g_string_free(out, FALSE);
}

static char *json(const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) node = opt_parse_json(text, -1, &err);
    GString *out = g_string_new(NULL);

    if (!node) {
        g_string_append(out, err->message);
    } else {
        opt_to_json(node, out);
    }
    return g_string_free(out, FALSE);
}

typedef struct { const char *in, *implied, *out; } Case;

static void test_keyval(void)
{
    static const Case cases[] = {
        { "", NULL, "{}" },
        { "a=1", NULL, "{\"a\": \"1\"}" },
        { "a=1,b=2,a=3", NULL, "{\"a\": \"3\", \"b\": \"2\"}" },
        { "a=1,,2,,,,3", NULL, "{\"a\": \"1,2,,3\"}" },
        { "a=,b=", NULL, "{\"a\": \"\", \"b\": \"\"}" },
        { "a=x=y", NULL, "{\"a\": \"x=y\"}" },
        { "a=1,", NULL, "{\"a\": \"1\"}" },
        { "e1000,id=n", "driver", "{\"driver\": \"e1000\", \"id\": \"n\"}" },
        { "a,,b,c=d", "file", "{\"file\": \"a,b\", \"c\": \"d\"}" },
        { "id=n,e1000", "driver", "{\"id\": \"n\", \"e1000\": \"on\"}" },
        { "server,nowait,nodelay", NULL,
          "{\"server\": \"on\", \"wait\": \"off\", \"nodelay\": \"on\"}" },
        { "socket,server,nowait", "backend",
          "{\"backend\": \"socket\", \"server\": \"on\", "
          "\"wait\": \"off\"}" },
        { "nographic", "implied", "{\"implied\": \"nographic\"}" },
        { "file.driver=raw,file.filename=x", NULL,
          "{\"file\": {\"driver\": \"raw\", \"filename\": \"x\"}}" },
        { "a.0=x,a.1=y", NULL, "{\"a\": [\"x\", \"y\"]}" },
        { "a.1=y,a.0=x,b.c.0.d=z", NULL,
          "{\"a\": [\"x\", \"y\"], \"b\": {\"c\": [{\"d\": \"z\"}]}}" },
        { "{\"driver\": \"e1000\", \"n\": 1}", "driver",
          "{\"driver\": \"e1000\", \"n\": 1}" },
        { "help", NULL, "{\"help\": \"on\"}" },
        /* wrong */
        { "a.1=y", NULL, "parameter 'a.0' is missing" },
        { "a.0=y,a.b=x", NULL,
          "parameter 'a' is used both as a list and as names" },
        { "a=1,a.b=2", NULL, "parameter 'a.b' is given both with and without "
          "a dotted part" },
        { "a.b=1,a=2", NULL, "parameter 'a' is given both with and without "
          "a dotted part" },
        { "=x", NULL, "parameter '' is not a valid name" },
        { "a b=x", NULL, "parameter 'a b' is not a valid name" },
        { "a..b=x", NULL, "parameter 'a..b' is not a valid name" },
        { "a=1,,b,=2", NULL, "parameter '' is not a valid name" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *out = keyval(cases[i].in, cases[i].implied);

        g_assert_cmpstr(out, ==, cases[i].out);
    }
}

static void test_keyval_depth(void)
{
    g_autoptr(GString) s = g_string_new("a");
    g_autofree char *out = NULL;

    for (int i = 0; i < 100000; i++) {
        g_string_append(s, ".a");
    }
    g_string_append(s, "=1");
    out = keyval(s->str, NULL);
    g_assert_true(g_str_has_suffix(out, "is nested too deeply"));
}

static void test_help(void)
{
    static const struct { const char *text; bool help; } cases[] = {
        { "help", true }, { "?", true }, { "e1000,help", true },
        { "e1000,?", true }, { "e1000,id=help", false }, { "help=on", false },
        { "helpme", false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool help = false;
        g_autoptr(Opt) dict = opt_parse_keyval(cases[i].text, "driver", &help,
                                               NULL);

        g_assert_nonnull(dict);
        g_assert_cmpint(help, ==, cases[i].help);
    }
}

static void test_json(void)
{
    static const struct { const char *in, *out; } cases[] = {
        { " null ", "null" },
        { "[]", "[]" }, { "{}", "{}" },
        { "[1,-2,0,-0]", "[1, -2, 0, 0]" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "9223372036854775808", "9223372036854775808" },
        { "18446744073709551615", "18446744073709551615" },
        { "18446744073709551616", "1.8446744073709552e+19" },
        { "1.5", "1.5" }, { "1e3", "1000.0" }, { "-1E-2", "-0.01" },
        { "'it\\'s \"q\"'", "\"it's \\\"q\\\"\"" },
        { "\"\\u00e9\\ud83d\\ude00\\n\"", "\"\\u00e9\\ud83d\\ude00\\n\"" },
        { "\"\xc3\xa9\"", "\"\\u00e9\"" },
        { "{'a': {\"b\": [true, false]}}",
          "{\"a\": {\"b\": [true, false]}}" },
        { "{\"a\": 1, \"a\": 2}", "{\"a\": 2}" },
        /* wrong */
        { "", "JSON: unexpected end at character 1" },
        { "{", "JSON: a key in quotes expected at character 2" },
        { "{a: 1}", "JSON: a key in quotes expected at character 2" },
        { "{\"a\" 1}", "JSON: ':' expected at character 6" },
        { "[1,]", "JSON: unexpected text at character 4" },
        { "[1 2]", "JSON: ',' or ']' expected at character 4" },
        { "01", "JSON: a number must not start with 0 at character 2" },
        { "-", "JSON: a digit is missing at character 2" },
        { "1.", "JSON: a digit is missing at character 3" },
        { "1e", "JSON: a digit is missing at character 3" },
        { "1 x", "JSON: unexpected text at character 3" },
        { "tru", "JSON: unexpected text at character 1" },
        { "\"abc", "JSON: unterminated string at character 5" },
        { "\"\\q\"", "JSON: unknown escape in a string at character 3" },
        { "\"\\ud800\"", "JSON: half of a surrogate pair at character 8" },
        { "\"\\udc00\"", "JSON: half of a surrogate pair at character 8" },
        { "\"\\u0000\"", "JSON: NUL in a string at character 8" },
        { "\"\n\"", "JSON: control character in a string at character 2" },
        { "\"\xff\"", "JSON: a string is not UTF-8 before this at "
          "character 4" },
        { "1e999", "JSON: a number is too large before this at "
          "character 6" },
    };
    g_autofree char *deep = g_strnfill(100000, '[');
    g_autofree char *out_deep = json(deep);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *out = json(cases[i].in);

        g_assert_cmpstr(out, ==, cases[i].out);
    }
    g_assert_true(g_str_has_prefix(out_deep, "JSON: nested too deeply"));
}

static void test_json_bytes(void)
{
    static const char nul[] = "[1\0,2]";
    g_autoptr(GError) err = NULL;

    /* `len` counts, not the NUL. */
    g_assert_null(opt_parse_json(nul, sizeof(nul) - 1, &err));
    g_assert_error(err, OPT_ERROR, OPT_ERROR_INVALID);
}

static void test_tree(void)
{
    g_autoptr(Opt) dict = opt_new_dict();
    g_autoptr(Opt) copy = NULL;
    g_autoptr(GString) a = g_string_new(NULL);
    g_autoptr(GString) b = g_string_new(NULL);
    char key[16];

    /* Past the size where the index starts; replace and remove in it. */
    for (int i = 0; i < 100; i++) {
        g_snprintf(key, sizeof(key), "k%d", i);
        opt_put(dict, key, opt_new_int(i));
    }
    opt_put(dict, "k50", opt_new_string("new"));
    opt_remove(dict, "k51");
    opt_remove(dict, "no such");
    g_assert_cmpuint(opt_len(dict), ==, 99);
    g_assert_cmpstr(opt_string(opt_peek(dict, "k50")), ==, "new");
    g_assert_cmpstr(opt_key_at(dict, 50), ==, "k50");
    g_assert_false(opt_has(dict, "k51"));
    g_assert_true(opt_has(dict, "k99"));
    g_assert_null(opt_at(dict, 99));
    copy = opt_copy(dict);
    opt_to_json(dict, a);
    opt_to_json(copy, b);
    g_assert_cmpstr(a->str, ==, b->str);
}

#define ASSERT_MESSAGE(err, text) do {                          \
        g_assert_error(err, OPT_ERROR, OPT_ERROR_INVALID);      \
        g_assert_cmpstr((err)->message, ==, text);              \
        g_clear_error(&err);                                    \
    } while (0)

static void test_getters(void)
{
    static const char *const modes[] = { "utc", "localtime", NULL };
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) d = opt_parse_json(
        "{\"b\": true, \"bs\": \"off\", \"bx\": \"maybe\", \"u\": 7,"
        " \"us\": \"0x10\", \"big\": 18446744073709551615, \"neg\": -1,"
        " \"size\": \"2G\", \"mib\": \"512\", \"mode\": \"localtime\","
        " \"badmode\": \"utd\", \"list\": [], \"f\": 1.5}", -1, NULL);
    bool b = false;
    uint64_t u = 42;
    int64_t i = 42;
    const char *s = "default";
    int e = 7;

    g_assert_true(opt_get_bool(d, "absent", &b, &err));
    g_assert_true(opt_get_string(d, "absent", &s, &err));
    g_assert_cmpstr(s, ==, "default");
    g_assert_true(opt_get_bool(d, "b", &b, &err));
    g_assert_true(b);
    g_assert_true(opt_get_bool(d, "bs", &b, &err));
    g_assert_false(b);
    g_assert_false(opt_get_bool(d, "bx", &b, &err));
    ASSERT_MESSAGE(err, "parameter 'bx' expects 'on' or 'off', not 'maybe'");

    g_assert_true(opt_get_uint(d, "u", &u, 10, &err));
    g_assert_cmpuint(u, ==, 7);
    g_assert_true(opt_get_uint(d, "us", &u, 16, &err));
    g_assert_cmpuint(u, ==, 16);
    g_assert_false(opt_get_uint(d, "us", &u, 15, &err));
    ASSERT_MESSAGE(err,
                   "parameter 'us' expects a number from 0 to 15, not '0x10'");
    g_assert_true(opt_get_uint(d, "big", &u, UINT64_MAX, &err));
    g_assert_cmpuint(u, ==, UINT64_MAX);
    g_assert_false(opt_get_int(d, "big", &i, &err));
    g_clear_error(&err);
    g_assert_false(opt_get_uint(d, "neg", &u, UINT64_MAX, &err));
    ASSERT_MESSAGE(err, "parameter 'neg' expects a number, not '-1'");
    g_assert_true(opt_get_int(d, "neg", &i, &err));
    g_assert_cmpint(i, ==, -1);
    g_assert_false(opt_get_uint(d, "list", &u, 1, &err));
    ASSERT_MESSAGE(err,
                   "parameter 'list' expects a number from 0 to 1, "
                   "not a list");

    g_assert_true(opt_get_size(d, "size", &u, 1, &err));
    g_assert_cmpuint(u, ==, UINT64_C(2) << 30);
    g_assert_true(opt_get_size(d, "mib", &u, 1 << 20, &err));
    g_assert_cmpuint(u, ==, UINT64_C(512) << 20);
    g_assert_false(opt_get_size(d, "bx", &u, 1, &err));
    g_clear_error(&err);

    g_assert_true(opt_get_enum(d, "absent", modes, &e, &err));
    g_assert_cmpint(e, ==, 7);
    g_assert_true(opt_get_enum(d, "mode", modes, &e, &err));
    g_assert_cmpint(e, ==, 1);
    g_assert_false(opt_get_enum(d, "badmode", modes, &e, &err));
    ASSERT_MESSAGE(err, "parameter 'badmode' does not accept 'utd' "
                   "(did you mean 'utc'?); accepted: utc, localtime");

    /* Numbers read as strings. */
    g_assert_true(opt_get_string(d, "u", &s, &err));
    g_assert_cmpstr(s, ==, "7");
    g_assert_true(opt_get_string(d, "f", &s, &err));
    g_assert_cmpstr(s, ==, "1.5");
    g_assert_no_error(err);
}

static void test_all_read(void)
{
    static const char *const known[] = { "server", "wait", NULL };
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) d = opt_parse_keyval("wait=on,sever=off", NULL, NULL, NULL);
    bool b;

    g_assert_true(opt_get_bool(d, "wait", &b, &err));
    g_assert_false(opt_all_read(d, "-chardev", known, &err));
    ASSERT_MESSAGE(err, "-chardev: unknown parameter 'sever'; "
                   "did you mean 'server'?");
    /* Without a list: the names that readers asked for. */
    opt_get(d, "severe");
    g_assert_false(opt_all_read(d, "-chardev", NULL, &err));
    ASSERT_MESSAGE(err, "-chardev: unknown parameter 'sever'; "
                   "did you mean 'severe'?");
    opt_get(d, "sever");
    g_assert_true(opt_all_read(d, "-chardev", known, &err));
}

static void test_scalars(void)
{
    static const struct { const char *s; bool ok; uint64_t val; } uints[] = {
        { "0", true, 0 }, { "123", true, 123 }, { "0x1F", true, 31 },
        { "010", true, 8 }, { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 }, { "", false, 0 },
        { "-1", false, 0 }, { "+1", false, 0 }, { " 1", false, 0 },
        { "1 ", false, 0 }, { "08", false, 0 }, { "0x", false, 0 },
    }, sizes[] = {
        { "0", true, 0 }, { "512", true, UINT64_C(512) << 20 },
        { "512M", true, UINT64_C(512) << 20 }, { "1k", true, 1024 },
        { "7b", true, 7 }, { "2G", true, UINT64_C(2) << 30 },
        { "1.5G", true, UINT64_C(3) << 29 }, { "0x10", true, 16 << 20 },
        { "0x10k", true, 16384 }, { "1T", true, UINT64_C(1) << 40 },
        { "3P", true, UINT64_C(3) << 50 }, { "15E", true,
          UINT64_C(15) << 60 }, { "16E", false, 0 }, { "0.5k", true, 512 },
        { "1.b", false, 0 }, { "1.5b", false, 0 }, { "1.0b", true, 1 },
        { "", false, 0 }, { "M", false, 0 }, { "-1", false, 0 },
        { "1MB", false, 0 }, { "1x", false, 0 }, { "0x", false, 0 },
        { "99999999999999999999", false, 0 },
    };
    static const struct { const char *s; bool ok; int64_t val; } ints[] = {
        { "-1", true, -1 }, { "+1", true, 1 }, { "0x10", true, 16 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 }, { "--1", false, 0 },
        { "-", false, 0 },
    };
    bool b;

    for (unsigned i = 0; i < G_N_ELEMENTS(uints); i++) {
        uint64_t v = 0;

        g_assert_cmpint(parse_uint(uints[i].s, &v), ==, uints[i].ok);
        g_assert_cmpuint(v, ==, uints[i].val);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t v = 0;

        g_assert_cmpint(parse_size(sizes[i].s, 1 << 20, &v), ==, sizes[i].ok);
        g_assert_cmpuint(v, ==, sizes[i].val);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(ints); i++) {
        int64_t v = 0;

        g_assert_cmpint(parse_int(ints[i].s, &v), ==, ints[i].ok);
        g_assert_cmpint(v, ==, ints[i].val);
    }
    g_assert_true(parse_bool("yes", &b) && b);
    g_assert_true(parse_bool("n", &b) && !b);
    g_assert_false(parse_bool("1", &b));
}

static void test_nearest(void)
{
    static const char *const names[] = {
        "kernel", "initrd", "append", "smp", "m", "e1000", "isa-serial",
        "display", "debugcon", NULL
    };
    static const struct { const char *s, *near; } cases[] = {
        { "kernal", "kernel" }, { "kern", "kernel" }, { "KERNEL", "kernel" },
        { "intird", "initrd" }, { "spm", "smp" }, { "isa_serial",
          "isa-serial" }, { "e100", "e1000" }, { "x", NULL },
        { "zzzzzzz", NULL }, { "", NULL }, { "dispaly", "display" },
        { "debugcom", "debugcon" },
    };
    g_autofree char *monster = g_strnfill(5000, 'a');

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpstr(nearest_name(cases[i].s, names), ==, cases[i].near);
    }
    g_assert_null(nearest_name(monster, names));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/opts/keyval", test_keyval);
    g_test_add_func("/opts/keyval-depth", test_keyval_depth);
    g_test_add_func("/opts/help", test_help);
    g_test_add_func("/opts/json", test_json);
    g_test_add_func("/opts/json-bytes", test_json_bytes);
    g_test_add_func("/opts/tree", test_tree);
    g_test_add_func("/opts/getters", test_getters);
    g_test_add_func("/opts/all-read", test_all_read);
    g_test_add_func("/opts/scalars", test_scalars);
    g_test_add_func("/opts/nearest", test_nearest);
    return g_test_run();
}
