/*
 * Scalars as text: booleans, numbers, sizes; and the nearest of some names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool parse_bool(const char *s, bool *out)
{
    static const char *const yes[] = { "on", "yes", "true", "y" };
    static const char *const no[] = { "off", "no", "false", "n" };

    for (unsigned i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (strcmp(s, yes[i]) == 0) {
            *out = true;
            return true;
        }
        if (strcmp(s, no[i]) == 0) {
            *out = false;
            return true;
        }
    }
    return false;
}

bool parse_uint(const char *s, uint64_t *out)
{
    char *end;
    uint64_t val;

    if (!g_ascii_isdigit(*s)) {
        return false;           /* strtoull takes blanks and signs */
    }
    errno = 0;
    val = strtoull(s, &end, 0);
    if (errno || *end) {
        return false;
    }
    *out = val;
    return true;
}

bool parse_int(const char *s, int64_t *out)
{
    bool negative = *s == '-';
    uint64_t u;

    if (!parse_uint(s + (negative || *s == '+'), &u)
        || u > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = negative ? -u : u;
    return true;
}

/* Bytes in one of `suffix`; 0 when it is none. */
static uint64_t size_unit(char suffix)
{
    static const char suffixes[] = "bkmgtpe";
    const char *at;

    if (!suffix) {
        return 0;
    }
    at = strchr(suffixes, g_ascii_tolower(suffix));
    return at ? UINT64_C(1) << (10 * (at - suffixes)) : 0;
}

bool parse_size(const char *s, uint64_t unit, uint64_t *out)
{
    char *end;
    uint64_t whole, frac_bytes = 0;
    const char *frac = NULL;
    bool hex;

    if (!g_ascii_isdigit(*s)) {
        return false;
    }
    hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
    errno = 0;
    whole = strtoull(s, &end, hex ? 16 : 10);
    if (errno || (hex && end == s + 1)) {
        return false;
    }
    if (*end == '.' && !hex) {
        frac = end;
        end++;
        if (!g_ascii_isdigit(*end)) {
            return false;
        }
        while (g_ascii_isdigit(*end)) {
            end++;
        }
    }
    if (*end) {
        unit = size_unit(*end);
        if (!unit || end[1]) {
            return false;
        }
    }
    if (frac) {
        /* 52 bits of fraction are plenty; a byte has no parts. */
        g_autofree char *digits = g_strndup(frac, MIN(end - frac, 20));

        frac_bytes = g_ascii_strtod(digits, NULL) * unit;
        if (unit == 1 && strspn(frac + 1, "0") != (size_t)(end - frac - 1)) {
            return false;
        }
    }
    if (__builtin_mul_overflow(whole, unit, &whole)
        || __builtin_add_overflow(whole, frac_bytes, &whole)) {
        return false;
    }
    *out = whole;
    return true;
}

/* --- the nearest name ---------------------------------------------------- */

enum { NAME_MAX_LEN = 63 };

/* Names are compared as people mistype them: case, '_' and '-' are alike. */
static char fold(char c)
{
    return c == '_' ? '-' : g_ascii_tolower(c);
}

/* Insertions, deletions, substitutions and swaps of neighbours. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_MAX_LEN + 1];
    unsigned la = strlen(a), lb = strlen(b);

    for (unsigned j = 0; j <= lb; j++) {
        rows[0][j] = j;
    }
    for (unsigned i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);

            row[j] = MIN(MIN(above[j], row[j - 1]) + 1,
                         above[j - 1] + !same);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2])
                && fold(a[i - 2]) == fold(b[j - 1])) {
                row[j] = MIN(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[la % 3][lb];
}

const char *nearest_name(const char *s, const char *const *known)
{
    size_t len = strlen(s);
    const char *best = NULL, *longer = NULL;
    unsigned best_distance = MAX(1, len / 3) + 1;

    if (len == 0 || len > NAME_MAX_LEN) {
        return NULL;
    }
    for (unsigned i = 0; known[i]; i++) {
        size_t known_len = strlen(known[i]);
        unsigned distance;

        if (known_len > NAME_MAX_LEN) {
            continue;
        }
        distance = edit_distance(s, known[i]);
        if (distance < best_distance
            /* All of a two-letter name must not be wrong. */
            && distance < MAX(len, known_len)) {
            best_distance = distance;
            best = known[i];
        }
        /* "kern" for "kernel": the shortest that starts so. */
        if (len >= 3 && known_len > len
            && g_ascii_strncasecmp(known[i], s, len) == 0
            && (!longer || known_len < strlen(longer))) {
            longer = known[i];
        }
    }
    return best ? best : longer;
}
