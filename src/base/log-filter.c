/*
 * Ranges of addresses for the logs of code.
 *
 * Locks: none; set before the guest runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/log-filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct LogRange {
    uint64_t first, last;
} LogRange;

static GArray *ranges;          /* of LogRange */

static bool number(const char **s, uint64_t *v)
{
    char *end;

    errno = 0;
    *v = strtoull(*s, &end, 0);
    if (end == *s || errno || !g_ascii_isdigit(**s)) {
        return false;
    }
    *s = end;
    return true;
}

static bool parse(const char *s, LogRange *r)
{
    uint64_t a, b;
    char how;

    if (!number(&s, &a)) {
        return false;
    }
    how = *s;
    if (strchr("+-", how) && how) {
        s++;
    } else if (strncmp(s, "..", 2) == 0) {
        s += 2;
    } else {
        return false;
    }
    if (!number(&s, &b) || *s) {
        return false;
    }
    switch (how) {
    case '+':
        *r = (LogRange) { a, a + (b - 1) };
        break;
    case '-':
        *r = (LogRange) { a - (b - 1), a };
        break;
    default:
        *r = (LogRange) { a, b };
        return a <= b;
    }
    return b && r->first <= r->last;
}

bool log_filter_set(const char *list, GError **err)
{
    g_auto(GStrv) words = g_strsplit(list, ",", -1);
    GArray *made = g_array_new(FALSE, FALSE, sizeof(LogRange));

    for (char **w = words; *w; w++) {
        LogRange r;

        if (!parse(*w, &r)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "-dfilter: '%s' is not a range: START+LENGTH, "
                        "START-LENGTH or START..END", *w);
            g_array_unref(made);
            return false;
        }
        g_array_append_val(made, r);
    }
    if (ranges) {
        g_array_unref(ranges);
    }
    ranges = made;
    return true;
}

bool log_filter_has(uint64_t gva)
{
    for (unsigned i = 0; ranges && i < ranges->len; i++) {
        const LogRange *r = &g_array_index(ranges, LogRange, i);

        if (gva >= r->first && gva <= r->last) {
            return true;
        }
    }
    return !ranges || !ranges->len;
}
