/*
 * The short forms of -serial, -monitor and their like, turned into the options
 * that -chardev takes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev-private.h"

static Opt *new_backend(const char *name)
{
    Opt *dict = opt_new_dict();

    opt_put(dict, "backend", opt_new_string(name));
    return dict;
}

/* "file:" and "pipe:" take the rest as it is, commas and all. */
static Opt *from_path(const char *backend, const char *path)
{
    Opt *dict = new_backend(backend);

    opt_put(dict, "path", opt_new_string(path));
    return dict;
}

static Opt *from_keyval(const char *backend, const char *text,
                        const char *implied, GError **err)
{
    Opt *dict = opt_parse_keyval(text, implied, NULL, err);

    if (dict) {
        opt_put(dict, "backend", opt_new_string(backend));
    }
    return dict;
}

/* "host:port", ":port", "[v6]:port" into `dict`. */
static bool put_host_port(Opt *dict, const char *text, const char *host_key,
                          const char *port_key, GError **err)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = NULL;
    size_t len;

    if (!colon || !colon[1]) {
        return chr_error(err, "'%s': host:port is accepted", text);
    }
    len = colon - text;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        host = g_strndup(text + 1, len - 2);
    } else {
        host = g_strndup(text, len);
    }
    opt_put(dict, host_key, opt_new_string(host));
    opt_put(dict, port_key, opt_new_string(colon + 1));
    return true;
}

/* "host:port,server=on,…" */
static Opt *from_tcp(const char *text, bool telnet, GError **err)
{
    const char *comma = strchr(text, ',');
    g_autofree char *where = comma ? g_strndup(text, comma - text)
                                   : g_strdup(text);
    Opt *dict = comma ? from_keyval("socket", comma + 1, NULL, err)
                      : new_backend("socket");

    if (!dict) {
        return NULL;
    }
    if (!put_host_port(dict, where, "host", "port", err)) {
        opt_free(dict);
        return NULL;
    }
    if (telnet) {
        opt_put(dict, "telnet", opt_new_bool(true));
    }
    return dict;
}

static Opt *unknown(const char *text, GError **err)
{
    chr_error(err, "'%s': accepted are none, null, stdio, mon:DEVICE, "
              "chardev:ID, file:PATH, pipe:PATH, pty, unix:PATH[,server=on], "
              "tcp:HOST:PORT[,server=on], telnet:HOST:PORT, "
              "udp:HOST:PORT[@LOCAL:PORT], ringbuf, vc and /dev/PATH", text);
    return NULL;
}

/* "host:port[@localaddr:localport]" */
static Opt *from_udp(const char *text, GError **err)
{
    g_auto(GStrv) ends = g_strsplit(text, "@", 2);
    Opt *dict = new_backend("udp");

    if (!*text || !put_host_port(dict, ends[0], "host", "port", err)
        || (ends[1] && !put_host_port(dict, ends[1], "localaddr", "localport",
                                      err))) {
        opt_free(dict);
        return *text ? NULL : unknown("udp:", err);
    }
    return dict;
}

static bool starts(const char *text, const char *with, const char **rest)
{
    if (!g_str_has_prefix(text, with)) {
        return false;
    }
    *rest = text + strlen(with);
    return true;
}

/* A whole word, or one with ":" or "," and more. */
static bool is_word(const char *text, const char *word)
{
    const char *rest;

    return starts(text, word, &rest) && (!*rest || *rest == ':');
}

static Opt *parse(const char *text, GError **err)
{
    const char *rest;

    if (is_word(text, "null") || is_word(text, "vc")) {
        return new_backend("null");     /* a "vc" shows with a display */
    }
    if (g_str_equal(text, "stdio") || starts(text, "stdio,", &rest)) {
        return from_keyval("stdio", text[5] ? text + 6 : "", NULL, err);
    }
    if (g_str_equal(text, "pty")) {
        return new_backend("pty");
    }
    if (starts(text, "pty:", &rest)) {
        return from_path("pty", rest);
    }
    if (starts(text, "file:", &rest)) {
        return from_path("file", rest);
    }
    if (starts(text, "pipe:", &rest)) {
        return from_path("pipe", rest);
    }
    if (starts(text, "unix:", &rest)) {
        return from_keyval("socket", rest, "path", err);
    }
    if (starts(text, "tcp:", &rest)) {
        return from_tcp(rest, false, err);
    }
    if (starts(text, "telnet:", &rest)) {
        return from_tcp(rest, true, err);
    }
    if (starts(text, "udp:", &rest)) {
        return from_udp(rest, err);
    }
    if (g_str_equal(text, "ringbuf") || g_str_equal(text, "memory")) {
        return new_backend("ringbuf");
    }
    if (g_str_has_prefix(text, "/dev/")) {
        return from_path("serial", text);
    }
    return unknown(text, err);
}

bool chr_new_from_short(const char *text, const char *id, Chardev **chr,
                        GError **err)
{
    g_autoptr(Opt) dict = NULL;
    const char *rest;
    bool mon = starts(text, "mon:", &rest);

    *chr = NULL;
    text = mon ? rest : text;
    if (g_str_equal(text, "none")) {
        return true;
    }
    if (starts(text, "chardev:", &rest)) {
        *chr = chr_find(rest);
        return *chr || chr_error(err, "there is no chardev '%s'", rest);
    }
    dict = parse(text, err);
    if (!dict) {
        return false;
    }
    if (id) {
        opt_put(dict, "id", opt_new_string(id));
    }
    if (mon) {
        opt_put(dict, "mux", opt_new_bool(true));
        if (g_str_has_prefix(text, "stdio") && !opt_has(dict, "signal")) {
            opt_put(dict, "signal", opt_new_bool(false));   /* C-c: guest's */
        }
    }
    *chr = chr_new(dict, err);
    return *chr;
}
