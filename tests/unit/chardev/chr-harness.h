/*
 * A front end that remembers, for chardev tests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHR_HARNESS_H
#define CHR_HARNESS_H

#include "chardev/chardev.h"
#include "loop/timer.h"

typedef struct Front {
    CharFrontend fe;
    size_t room;                /* what can_read() says */
    GString *got;
    int n_opened, n_closed, n_breaks, n_in, n_out, n_writable;
} Front;

static size_t front_can_read(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void front_read(void *opaque, const uint8_t *buf, size_t len)
{
    Front *f = opaque;

    g_assert_cmpuint(len, <=, f->room);
    f->room -= len;
    g_string_append_len(f->got, (const char *)buf, len);
}

static void front_event(void *opaque, CharEvent ev)
{
    Front *f = opaque;

    switch (ev) {
    case CHR_OPENED:
        f->n_opened++;
        break;
    case CHR_CLOSED:
        f->n_closed++;
        break;
    case CHR_BREAK:
        f->n_breaks++;
        break;
    case CHR_MUX_IN:
        f->n_in++;
        break;
    case CHR_MUX_OUT:
        f->n_out++;
        break;
    }
}

static inline void front_writable(void *opaque)
{
    ((Front *)opaque)->n_writable++;
}

static inline void front_init(Front *f, Chardev *chr)
{
    g_autoptr(GError) err = NULL;

    *f = (Front){
        .fe = { front_can_read, front_read, front_event, f },
        .room = SIZE_MAX / 2, .got = g_string_new(NULL),
    };
    chr_attach(&f->fe, chr, &err);
    g_assert_no_error(err);
}

static inline void front_free(Front *f)
{
    chr_detach(&f->fe);
    g_string_free(f->got, TRUE);
}

/* Run the main loop until `cond`, for at most ten seconds. */
#define RUN_UNTIL(cond)                                                 \
    do {                                                                \
        int64_t end_ = clock_ns(CLK_HOST) + 10 * NS_PER_SEC;            \
        while (!(cond)) {                                               \
            g_assert_cmpint(clock_ns(CLK_HOST), <, end_);               \
            if (!loop_iterate(loop_main(), false)) {                    \
                g_usleep(500);                                          \
            }                                                           \
        }                                                               \
    } while (0)

static inline void run_pending(void)
{
    while (loop_iterate(loop_main(), false)) {
    }
}

static inline Chardev *new_chr(const char *keyval)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(keyval, "backend", NULL, &err);
    Chardev *chr;

    g_assert_no_error(err);
    chr = chr_new(dict, &err);
    g_assert_no_error(err);
    return chr;
}

/* Making `keyval` fails with a message that contains `why`. */
static inline void new_fails(const char *keyval, const char *why)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) dict = opt_parse_keyval(keyval, "backend", NULL, &err);

    g_assert_no_error(err);
    g_assert_null(chr_new(dict, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, why)) {
        g_error("'%s': '%s' is not in '%s'", keyval, why, err->message);
    }
}

static inline size_t put(Front *f, const char *text)
{
    return chr_write(&f->fe, (const uint8_t *)text, strlen(text));
}

#endif
