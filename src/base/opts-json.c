/*
 * JSON text into an option tree.
 *
 * Spec:   RFC 8259; besides, strings may stand in single quotes, as QMP
 *         clients send them.  Integers keep all of int64_t and uint64_t;
 *         larger ones become doubles.
 * Models: duplicate keys: the last counts.  No NUL in strings.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 512 };

typedef struct {
    const char *start, *at, *end;
    unsigned depth;
    GError **err;
} Reader;

static Opt *read_value(Reader *r);

static void *fail(Reader *r, const char *what)
{
    g_set_error(r->err, OPT_ERROR, OPT_ERROR_INVALID,
                "JSON: %s at character %zu", what, r->at - r->start + 1);
    return NULL;
}

static int peek(const Reader *r)
{
    return r->at < r->end ? (unsigned char)*r->at : -1;
}

static void skip_blanks(Reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) {
        r->at++;
    }
}

/* --- strings ------------------------------------------------------------- */

static bool read_hex4(Reader *r, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(r);
        int digit = c < 0 ? -1 : g_ascii_xdigit_value(c);

        if (digit < 0) {
            fail(r, "\\u needs four hexadecimal digits");
            return false;
        }
        *out = *out << 4 | digit;
        r->at++;
    }
    return true;
}

static bool read_unicode(Reader *r, GString *s)
{
    unsigned c, low;

    if (!read_hex4(r, &c)) {
        return false;
    }
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u') {
            fail(r, "half of a surrogate pair");
            return false;
        }
        r->at += 2;
        if (!read_hex4(r, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            fail(r, "half of a surrogate pair");
            return false;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if ((c >= 0xdc00 && c < 0xe000) || c == 0) {
        fail(r, c ? "half of a surrogate pair" : "NUL in a string");
        return false;
    }
    g_string_append_unichar(s, c);
    return true;
}

static bool read_escape(Reader *r, GString *s)
{
    static const char from[] = "\"'\\/bfnrt", to[] = "\"'\\/\b\f\n\r\t";
    int c = peek(r);
    const char *at;

    if (c <= 0) {
        fail(r, "unterminated string");
        return false;
    }
    r->at++;
    if (c == 'u') {
        return read_unicode(r, s);
    }
    at = strchr(from, c);
    if (!at) {
        r->at--;
        fail(r, "unknown escape in a string");
        return false;
    }
    g_string_append_c(s, to[at - from]);
    return true;
}

static char *read_string(Reader *r)
{
    g_autoptr(GString) s = g_string_new(NULL);
    char quote = *r->at++;

    for (;;) {
        int c = peek(r);

        if (c < 0) {
            return fail(r, "unterminated string");
        }
        if (c < 0x20) {
            return fail(r, "control character in a string");
        }
        r->at++;
        if (c == quote) {
            break;
        }
        if (c != '\\') {
            g_string_append_c(s, c);
        } else if (!read_escape(r, s)) {
            return NULL;
        }
    }
    if (!g_utf8_validate(s->str, s->len, NULL)) {
        return fail(r, "a string is not UTF-8 before this");
    }
    return g_string_free(g_steal_pointer(&s), FALSE);
}

/* --- numbers and words --------------------------------------------------- */

static Opt *read_number(Reader *r)
{
    const char *start = r->at;
    g_autofree char *text = NULL;
    bool whole = true;
    size_t digits;
    double d;

#define SKIP_DIGITS(r) \
    for (digits = 0; peek(r) >= '0' && peek(r) <= '9'; (r)->at++, digits++)
    if (peek(r) == '-') {
        r->at++;
    }
    if (peek(r) == '0') {
        r->at++;
        if (g_ascii_isdigit(peek(r))) {
            return fail(r, "a number must not start with 0");
        }
    } else {
        SKIP_DIGITS(r);
        if (!digits) {
            return fail(r, "a digit is missing");
        }
    }
    if (peek(r) == '.') {
        whole = false;
        r->at++;
        SKIP_DIGITS(r);
        if (!digits) {
            return fail(r, "a digit is missing");
        }
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        whole = false;
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') {
            r->at++;
        }
        SKIP_DIGITS(r);
        if (!digits) {
            return fail(r, "a digit is missing");
        }
    }
#undef SKIP_DIGITS
    text = g_strndup(start, r->at - start);
    if (whole) {
        int64_t i;
        uint64_t u;

        errno = 0;
        i = strtoll(text, NULL, 10);
        if (!errno) {
            return opt_new_int(i);
        }
        errno = 0;
        u = strtoull(text, NULL, 10);
        if (!errno && *text != '-') {
            return opt_new_uint(u);
        }
    }
    d = g_ascii_strtod(text, NULL);
    if (!isfinite(d)) {
        return fail(r, "a number is too large before this");
    }
    return opt_new_double(d);
}

static Opt *read_word(Reader *r)
{
    size_t left = r->end - r->at;

    if (left >= 4 && memcmp(r->at, "true", 4) == 0) {
        r->at += 4;
        return opt_new_bool(true);
    }
    if (left >= 5 && memcmp(r->at, "false", 5) == 0) {
        r->at += 5;
        return opt_new_bool(false);
    }
    if (left >= 4 && memcmp(r->at, "null", 4) == 0) {
        r->at += 4;
        return opt_new_null();
    }
    return fail(r, left ? "unexpected text" : "unexpected end");
}

/* --- lists and objects --------------------------------------------------- */

static Opt *read_list(Reader *r)
{
    g_autoptr(Opt) list = opt_new_list();

    r->at++;
    skip_blanks(r);
    if (peek(r) == ']') {
        r->at++;
        return g_steal_pointer(&list);
    }
    for (;;) {
        Opt *item = read_value(r);

        if (!item) {
            return NULL;
        }
        opt_append(list, item);
        skip_blanks(r);
        if (peek(r) == ']') {
            r->at++;
            return g_steal_pointer(&list);
        }
        if (peek(r) != ',') {
            return fail(r, "',' or ']' expected");
        }
        r->at++;
    }
}

static Opt *read_dict(Reader *r)
{
    g_autoptr(Opt) dict = opt_new_dict();

    r->at++;
    skip_blanks(r);
    if (peek(r) == '}') {
        r->at++;
        return g_steal_pointer(&dict);
    }
    for (;;) {
        g_autofree char *key = NULL;
        Opt *val;

        skip_blanks(r);
        if (peek(r) != '"' && peek(r) != '\'') {
            return fail(r, "a key in quotes expected");
        }
        key = read_string(r);
        if (!key) {
            return NULL;
        }
        skip_blanks(r);
        if (peek(r) != ':') {
            return fail(r, "':' expected");
        }
        r->at++;
        val = read_value(r);
        if (!val) {
            return NULL;
        }
        opt_put(dict, key, val);
        skip_blanks(r);
        if (peek(r) == '}') {
            r->at++;
            return g_steal_pointer(&dict);
        }
        if (peek(r) != ',') {
            return fail(r, "',' or '}' expected");
        }
        r->at++;
    }
}

static Opt *read_value(Reader *r)
{
    Opt *val;

    if (++r->depth > DEPTH_MAX) {
        return fail(r, "nested too deeply");
    }
    skip_blanks(r);
    switch (peek(r)) {
    case '{':
        val = read_dict(r);
        break;
    case '[':
        val = read_list(r);
        break;
    case '"':
    case '\'': {
        g_autofree char *s = read_string(r);

        val = s ? opt_new_string(s) : NULL;
        break;
    }
    case '-':
    case '0' ... '9':
        val = read_number(r);
        break;
    default:
        val = read_word(r);
    }
    r->depth--;
    return val;
}

Opt *opt_parse_json(const char *text, gssize len, GError **err)
{
    Reader r = { text, text, text + (len < 0 ? strlen(text) : (size_t)len),
                 0, err };
    g_autoptr(Opt) val = read_value(&r);

    if (!val) {
        return NULL;
    }
    skip_blanks(&r);
    if (r.at != r.end) {
        return fail(&r, "unexpected text");
    }
    return g_steal_pointer(&val);
}
