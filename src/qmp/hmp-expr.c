/*
 * Expressions in monitor commands.
 *
 *     sum    = product { ("+" | "-") product }
 *     product= logic { ("*" | "/" | "%") logic }
 *     logic  = unary { ("&" | "|" | "^") unary }
 *     unary  = ("+" | "-" | "~") unary | "(" sum ")" | number | 'c' | $register
 *
 * The bit operators bind closest, as in QEMU's monitor.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hmp-private.h"

#define NESTING_MAX 64

bool (*hmp_read_register)(unsigned cpu, const char *name, uint64_t *val);

typedef struct Expr {
    Hmp *mon;
    const char *at;
    unsigned nesting;
    char *problem;              /* the first one */
} Expr;

static uint64_t sum(Expr *e);

static uint64_t G_GNUC_PRINTF(2, 3) fail(Expr *e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!e->problem) {
        e->problem = g_strdup_vprintf(fmt, ap);
    }
    va_end(ap);
    return 0;
}

static char peek(Expr *e)
{
    while (g_ascii_isspace(*e->at)) {
        e->at++;
    }
    return *e->at;
}

static uint64_t number(Expr *e)
{
    char *end;
    uint64_t val = g_ascii_strtoull(e->at, &end, 0);

    if (end == e->at) {
        return fail(e, "'%s' is no number", e->at);
    }
    e->at = end;
    return val;
}

static uint64_t character(Expr *e)
{
    uint8_t c = e->at[1];

    if (!c || e->at[2] != '\'') {
        return fail(e, "'%s': a character and a quote are expected", e->at);
    }
    e->at += 3;
    return c;
}

static uint64_t cpu_register(Expr *e)
{
    size_t n = 0;
    g_autofree char *name = NULL;
    uint64_t val = 0;

    for (e->at++; g_ascii_isalnum(e->at[n]) || e->at[n] == '_'
                  || e->at[n] == '.'; n++) {
    }
    name = g_strndup(e->at, n);
    e->at += n;
    if (!hmp_read_register
        || !hmp_read_register(hmp_cpu_index(e->mon), name, &val)) {
        return fail(e, "there is no register '%s'", name);
    }
    return val;
}

static uint64_t unary(Expr *e)
{
    uint64_t val;

    if (++e->nesting > NESTING_MAX) {
        return fail(e, "too many levels");
    }
    switch (peek(e)) {
    case '+':
        e->at++;
        val = unary(e);
        break;
    case '-':
        e->at++;
        val = -unary(e);
        break;
    case '~':
        e->at++;
        val = ~unary(e);
        break;
    case '(':
        e->at++;
        val = sum(e);
        if (peek(e) != ')') {
            return fail(e, "')' is missing");
        }
        e->at++;
        break;
    case '\'':
        val = character(e);
        break;
    case '$':
        val = cpu_register(e);
        break;
    default:
        val = number(e);
        break;
    }
    e->nesting--;
    return val;
}

static uint64_t logic(Expr *e)
{
    uint64_t val = unary(e);

    for (char op; !e->problem && (op = peek(e)) && strchr("&|^", op);) {
        uint64_t right;

        e->at++;
        right = unary(e);
        val = op == '&' ? val & right : op == '|' ? val | right : val ^ right;
    }
    return val;
}

static uint64_t product(Expr *e)
{
    uint64_t val = logic(e);

    for (char op; !e->problem && (op = peek(e)) && strchr("*/%", op);) {
        uint64_t right;

        e->at++;
        right = logic(e);
        if (op == '*') {
            val *= right;
        } else if (right == 0) {
            return fail(e, "division by zero");
        } else {
            val = op == '/' ? val / right : val % right;
        }
    }
    return val;
}

static uint64_t sum(Expr *e)
{
    uint64_t val = product(e);

    for (char op; !e->problem && (op = peek(e)) && strchr("+-", op);) {
        e->at++;
        val = op == '+' ? val + product(e) : val - product(e);
    }
    return val;
}

bool hmp_eval(Hmp *mon, const char *text, uint64_t *val)
{
    Expr e = { .mon = mon, .at = text };

    *val = sum(&e);
    if (!e.problem && peek(&e)) {
        fail(&e, "unexpected '%s'", e.at);
    }
    if (e.problem) {
        hmp_printf(mon, "invalid expression '%s': %s\n", text, e.problem);
        g_free(e.problem);
        return false;
    }
    return true;
}
