/*
 * Editing one line on a terminal.
 *
 *     C-a C-e C-b C-f arrows home end   move       M-b M-f   by words
 *     C-h DEL C-d delete                delete     C-w       word before
 *     C-k  to the end    C-u  the line  C-l  redraw
 *     C-p C-n up down    history        TAB  completion
 *
 * What is shown is brought up to date by the difference to what was: typing at
 * the end of the line sends just that character, which expect scripts like.
 *
 * Locks: its owner's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "readline.h"

#include <string.h>

struct Readline {
    const ReadlineOps *ops;
    void *opaque;
    const char *prompt;

    GString *line;
    size_t cursor;
    GString *shown;             /* what the terminal shows of the line */
    size_t shown_cursor;

    GPtrArray *history;
    unsigned history_at;        /* == history->len: the line being typed */
    char *typed;                /* that line, while browsing */

    enum { KEY_PLAIN, KEY_ESC, KEY_CSI, KEY_SS3 } state;
    unsigned csi_number;
    bool last_was_cr;
};

enum { CTRL_A = 1, CTRL_B, CTRL_C, CTRL_D, CTRL_E, CTRL_F, CTRL_H = 8, TAB,
       LF, CTRL_K, CTRL_L, CR, CTRL_N, CTRL_P = 16, CTRL_U = 21, CTRL_W = 23,
       ESC = 27, DEL = 127 };

static void print(Readline *rl, const char *text)
{
    rl->ops->print(rl->opaque, text);
}

/* --- showing ------------------------------------------------------------- */

static void move_left(Readline *rl, size_t n)
{
    if (n) {
        g_autofree char *seq = g_strdup_printf("\033[%zuD", n);

        print(rl, seq);
    }
}

/* Make the terminal show line and cursor, given what it shows now. */
static void update(Readline *rl)
{
    size_t same = 0;

    if (!g_string_equal(rl->line, rl->shown)) {
        while (same < rl->line->len && same < rl->shown->len
               && rl->line->str[same] == rl->shown->str[same]) {
            same++;
        }
        if (rl->shown_cursor < same) {      /* over what is right already */
            g_autofree char *skipped =
                g_strndup(rl->line->str + rl->shown_cursor,
                          same - rl->shown_cursor);

            print(rl, skipped);
        } else {
            move_left(rl, rl->shown_cursor - same);
        }
        print(rl, rl->line->str + same);
        if (rl->shown->len > rl->line->len) {
            print(rl, "\033[K");
        }
        g_string_assign(rl->shown, rl->line->str);
        rl->shown_cursor = rl->line->len;
    }
    if (rl->cursor < rl->shown_cursor) {
        move_left(rl, rl->shown_cursor - rl->cursor);
    } else if (rl->cursor > rl->shown_cursor) {
        g_autofree char *seq = g_strdup_printf("\033[%zuC",
                                               rl->cursor - rl->shown_cursor);

        print(rl, seq);
    }
    rl->shown_cursor = rl->cursor;
}

void readline_show(Readline *rl)
{
    print(rl, rl->prompt);
    g_string_truncate(rl->shown, 0);
    rl->shown_cursor = 0;
    update(rl);
}

/* --- history ------------------------------------------------------------- */

static void set_line(Readline *rl, const char *text)
{
    g_string_assign(rl->line, text);
    rl->cursor = rl->line->len;
}

static void history_go(Readline *rl, int by)
{
    unsigned to = rl->history_at + by;

    if ((by < 0 && rl->history_at == 0) || to > rl->history->len) {
        return;
    }
    if (rl->history_at == rl->history->len) {
        g_free(rl->typed);
        rl->typed = g_strdup(rl->line->str);
    }
    rl->history_at = to;
    set_line(rl, to == rl->history->len ? rl->typed : rl->history->pdata[to]);
}

static void history_add(Readline *rl, const char *line)
{
    GPtrArray *h = rl->history;

    if (*line && !(h->len && g_str_equal(h->pdata[h->len - 1], line))) {
        if (h->len == HISTORY_MAX) {
            g_ptr_array_remove_index(h, 0);
        }
        g_ptr_array_add(h, g_strdup(line));
    }
    rl->history_at = h->len;
}

const GPtrArray *readline_history(const Readline *rl)
{
    return rl->history;
}

/* --- completion ---------------------------------------------------------- */

static void insert(Readline *rl, const char *text, size_t n)
{
    if (rl->line->len + n <= LINE_MAX_BYTES) {
        g_string_insert_len(rl->line, rl->cursor, text, n);
        rl->cursor += n;
    }
}

static size_t common_prefix(const GPtrArray *names)
{
    const char *first = names->pdata[0];
    size_t n = strlen(first);

    for (unsigned i = 1; i < names->len; i++) {
        const char *other = names->pdata[i];

        for (size_t k = 0; k < n; k++) {
            if (first[k] != other[k]) {
                n = k;
            }
        }
    }
    return n;
}

static void list_names(Readline *rl, const GPtrArray *names)
{
    GString *text = g_string_new("\n");

    for (unsigned i = 0; i < names->len; i++) {
        g_string_append_printf(text, "%s%s", (const char *)names->pdata[i],
                               i + 1 < names->len ? " " : "\n");
    }
    print(rl, text->str);
    g_string_free(text, TRUE);
    readline_show(rl);
}

static void complete(Readline *rl)
{
    g_autofree char *before = g_strndup(rl->line->str, rl->cursor);
    g_autoptr(GPtrArray) names = rl->ops->complete(rl->opaque, before);
    const char *space = strrchr(before, ' ');
    size_t have = strlen(space ? space + 1 : before), n;

    if (!names->len) {
        return;
    }
    n = common_prefix(names);
    if (n > have) {
        insert(rl, (const char *)names->pdata[0] + have, n - have);
    } else if (names->len > 1) {
        list_names(rl, names);
    }
    if (names->len == 1) {
        insert(rl, " ", 1);
    }
}

/* --- keys ---------------------------------------------------------------- */

static void erase(Readline *rl, size_t from, size_t to)
{
    if (from < to) {
        g_string_erase(rl->line, from, to - from);
        rl->cursor = from;
    }
}

static size_t word_start(const Readline *rl)
{
    size_t i = rl->cursor;

    while (i > 0 && rl->line->str[i - 1] == ' ') {
        i--;
    }
    while (i > 0 && rl->line->str[i - 1] != ' ') {
        i--;
    }
    return i;
}

static size_t word_end(const Readline *rl)
{
    size_t i = rl->cursor;

    while (i < rl->line->len && rl->line->str[i] == ' ') {
        i++;
    }
    while (i < rl->line->len && rl->line->str[i] != ' ') {
        i++;
    }
    return i;
}

static void right(Readline *rl)
{
    rl->cursor += rl->cursor < rl->line->len;
}

static void left(Readline *rl)
{
    rl->cursor -= rl->cursor > 0;
}

static void delete_right(Readline *rl)
{
    if (rl->cursor < rl->line->len) {
        erase(rl, rl->cursor, rl->cursor + 1);
    }
}

static void enter(Readline *rl)
{
    g_autofree char *line = g_strdup(rl->line->str);

    rl->cursor = rl->line->len;
    update(rl);
    print(rl, "\n");
    set_line(rl, "");
    g_string_truncate(rl->shown, 0);
    rl->shown_cursor = 0;
    history_add(rl, line);
    rl->ops->line(rl->opaque, line);
}

static void plain_key(Readline *rl, uint8_t c)
{
    switch (c) {
    case CTRL_A:
        rl->cursor = 0;
        break;
    case CTRL_B:
        left(rl);
        break;
    case CTRL_D:
        delete_right(rl);
        break;
    case CTRL_E:
        rl->cursor = rl->line->len;
        break;
    case CTRL_F:
        right(rl);
        break;
    case CTRL_H: case DEL:
        erase(rl, rl->cursor ? rl->cursor - 1 : 0, rl->cursor);
        break;
    case TAB:
        complete(rl);
        break;
    case CTRL_K:
        g_string_truncate(rl->line, rl->cursor);
        break;
    case CTRL_L:
        print(rl, "\033[H\033[2J");
        readline_show(rl);
        break;
    case CTRL_N:
        history_go(rl, 1);
        break;
    case CTRL_P:
        history_go(rl, -1);
        break;
    case CTRL_C: case CTRL_U:
        set_line(rl, "");
        break;
    case CTRL_W:
        erase(rl, word_start(rl), rl->cursor);
        break;
    case ESC:
        rl->state = KEY_ESC;
        break;
    default:
        if (c >= ' ') {
            insert(rl, (const char *)&c, 1);
        }
        break;
    }
}

/* After ESC [ or ESC O, and the number of a VT220 key. */
static void special_key(Readline *rl, uint8_t c)
{
    switch (c == '~' ? rl->csi_number : c) {
    case 'A':
        history_go(rl, -1);
        break;
    case 'B':
        history_go(rl, 1);
        break;
    case 'C':
        right(rl);
        break;
    case 'D':
        left(rl);
        break;
    case 'H': case 1: case 7:
        rl->cursor = 0;
        break;
    case 'F': case 4: case 8:
        rl->cursor = rl->line->len;
        break;
    case 3:
        delete_right(rl);
        break;
    }
}

static void escape_key(Readline *rl, uint8_t c)
{
    switch (c) {
    case '[':
        rl->state = KEY_CSI;
        rl->csi_number = 0;
        return;
    case 'O':
        rl->state = KEY_SS3;
        return;
    case 'b':
        rl->cursor = word_start(rl);
        break;
    case 'f':
        rl->cursor = word_end(rl);
        break;
    }
    rl->state = KEY_PLAIN;
}

static void csi_key(Readline *rl, uint8_t c)
{
    if (c >= '0' && c <= '9') {
        rl->csi_number = MIN(rl->csi_number * 10 + c - '0', 1000);
    } else if (c != ';') {
        rl->state = KEY_PLAIN;
        special_key(rl, c);
    }
}

void readline_key(Readline *rl, uint8_t c)
{
    bool after_cr = rl->last_was_cr;

    rl->last_was_cr = false;
    switch (rl->state) {
    case KEY_ESC:
        escape_key(rl, c);
        break;
    case KEY_CSI:
        csi_key(rl, c);
        break;
    case KEY_SS3:
        rl->state = KEY_PLAIN;
        special_key(rl, c);
        break;
    default:
        if (c == LF && after_cr) {
            return;             /* CR LF is one return */
        }
        if (c == CR || c == LF) {
            rl->last_was_cr = c == CR;
            enter(rl);
            return;             /* the line may have closed the monitor */
        }
        plain_key(rl, c);
        break;
    }
    update(rl);
}

Readline *readline_new(const char *prompt, const ReadlineOps *ops,
                       void *opaque)
{
    Readline *rl = g_new0(Readline, 1);

    rl->prompt = prompt;
    rl->ops = ops;
    rl->opaque = opaque;
    rl->line = g_string_new(NULL);
    rl->shown = g_string_new(NULL);
    rl->history = g_ptr_array_new_with_free_func(g_free);
    return rl;
}

void readline_free(Readline *rl)
{
    g_string_free(rl->line, TRUE);
    g_string_free(rl->shown, TRUE);
    g_ptr_array_unref(rl->history);
    g_free(rl->typed);
    g_free(rl);
}
