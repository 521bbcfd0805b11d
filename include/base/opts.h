/*
 * The option tree: what command lines, config files, JSON objects and the
 * control protocol all become before anything reads them.
 *
 * A node is a scalar, a list or a dictionary (in the order written).  Scalars
 * from a command line are strings; those from JSON keep their type.  The
 * typed getters accept both, so a reader never asks where a value came from.
 *
 * A reader takes keys with opt_get_*(), which marks them read; opt_all_read()
 * then names the first key that nobody wanted, for one clear error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_OPTS_H
#define BASE_OPTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    OPT_NULL, OPT_STRING, OPT_BOOL, OPT_INT, OPT_UINT, OPT_DOUBLE, OPT_LIST,
    OPT_DICT
} OptKind;

typedef struct Opt Opt;

/* All option errors; messages are complete, in user's words. */
#define OPT_ERROR opt_error_quark()
GQuark opt_error_quark(void);
enum { OPT_ERROR_INVALID };
/* Set one; false. */
bool opt_fail(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* --- building; nodes are owned by the dict or list they are put into ----- */
Opt *opt_new_dict(void);
Opt *opt_new_list(void);
Opt *opt_new_string(const char *s);
Opt *opt_new_bool(bool b);
Opt *opt_new_int(int64_t i);
Opt *opt_new_uint(uint64_t u);
Opt *opt_new_double(double d);
Opt *opt_new_null(void);
void opt_put(Opt *dict, const char *key, Opt *value);   /* replaces */
void opt_append(Opt *list, Opt *value);
void opt_remove(Opt *dict, const char *key);
Opt *opt_copy(const Opt *node);
void opt_free(Opt *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Opt, opt_free)

/* --- walking ------------------------------------------------------------- */
OptKind opt_kind(const Opt *node);
unsigned opt_len(const Opt *node);                      /* list, dict */
Opt *opt_at(const Opt *node, unsigned i);               /* list, dict */
const char *opt_key_at(const Opt *dict, unsigned i);
/* The value of `key`, or NULL; marks it read. */
Opt *opt_get(Opt *dict, const char *key);
/* The same two without marking. */
Opt *opt_peek(const Opt *dict, const char *key);
bool opt_has(const Opt *dict, const char *key);
const char *opt_string(const Opt *scalar);              /* OPT_STRING only */
/* A scalar as a string in a form the parsers below accept; g_free(). */
char *opt_to_string(const Opt *scalar);

/*
 * Typed access: *out keeps its value (the default) when the key is absent.
 * False with `err` when the value is not of that kind: the message names key
 * and value and says what is accepted.
 */
bool opt_get_string(Opt *dict, const char *key, const char **out, GError **);
bool opt_get_bool(Opt *dict, const char *key, bool *out, GError **);
bool opt_get_uint(Opt *dict, const char *key, uint64_t *out, uint64_t max,
                  GError **);
bool opt_get_int(Opt *dict, const char *key, int64_t *out, GError **);
/* Bytes: "512", "4k", "2G"; a bare number is in units of `unit` bytes. */
bool opt_get_size(Opt *dict, const char *key, uint64_t *out, uint64_t unit,
                  GError **);
/* One of the NULL-terminated `names`; *out is its index. */
bool opt_get_enum(Opt *dict, const char *key, const char *const *names,
                  int *out, GError **);
/* Fails naming the first key of `dict` that no getter asked for, with the
 * nearest of the NULL-terminated `known` (NULL: of the keys that getters did
 * ask for, so ask for all before); `what` names the
 * option, as "-serial" or "device 'e1000'". */
bool opt_all_read(Opt *dict, const char *what, const char *const *known,
                  GError **);

/* --- scalars, also used by properties ------------------------------------ */
bool parse_bool(const char *s, bool *out);      /* on off yes no true false y n */
bool parse_uint(const char *s, uint64_t *out);  /* decimal, 0x hex, 0 octal */
bool parse_int(const char *s, int64_t *out);
bool parse_size(const char *s, uint64_t unit, uint64_t *out);
/* The member of `known` closest to `s`, or NULL when none is near. */
const char *nearest_name(const char *s, const char *const *known);

/* --- text to tree -------------------------------------------------------- */
/*
 * QEMU's keyval grammar: key=val,key=val; ",," is a comma; dotted keys make
 * nested dicts ("file.filename=x") and lists ("foo.0=a"); a bare word is
 * `implied`=word when it comes first and `implied` is not NULL, else word=on,
 * and "noword" is word=off ("nodelay" alone is itself); a whole argument that
 * starts with '{' is JSON.  The words "help" and "?" set *help, unless `help`
 * is NULL.  Returns a dict.
 */
Opt *opt_parse_keyval(const char *text, const char *implied, bool *help,
                      GError **err);
/* Strict JSON but for single-quoted strings, which are accepted. */
Opt *opt_parse_json(const char *text, gssize len, GError **err);
/* Append `node` as JSON. */
void opt_to_json(const Opt *node, GString *out);

#endif
