/*
 * The multiplexer: several front ends on one back end, one of which has the
 * keyboard; C-a (or what -echr says) followed by a key is a command.
 *
 * Input is taken from the host even if the front end with the keyboard does
 * not read, so that C-a x always works; at most TYPE_AHEAD bytes, after which
 * the host waits: piped scripts lose nothing.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev-private.h"

#define TYPE_AHEAD  4096
#define USERS_MAX   16

typedef struct MuxUser {
    CharFrontend *fe;
    GByteArray *ahead;          /* typed, not read yet */
    bool delivering;
} MuxUser;

typedef struct Mux {
    Chardev chr;
    Chardev *base;              /* owned */
    CharFrontend base_fe;       /* our hold on it */
    MuxUser users[USERS_MAX];
    unsigned n_users;
    unsigned focus;             /* which has the keyboard */
    bool escaped;               /* the escape character came last */

    bool timestamps;
    int64_t started_ns;
    bool at_line_start;
    char stamp[32];             /* being written, from stamp_at on */
    size_t stamp_at;
} Mux;

static Mux *mux_of(Chardev *chr)
{
    return container_of(chr, Mux, chr);
}

static MuxUser *focused(Mux *m)
{
    return m->n_users ? &m->users[m->focus] : NULL;
}

static void tell(const MuxUser *u, CharEvent ev)
{
    if (u && u->fe->event) {
        u->fe->event(u->fe->opaque, ev);
    }
}

/* --- output -------------------------------------------------------------- */

static void say(Mux *m, const char *text)
{
    chr_write_all(&m->base_fe, (const uint8_t *)text, strlen(text));
}

/* What is left of the time stamp; false when the host takes no more now. */
static bool write_stamp(Mux *m)
{
    size_t len = strlen(m->stamp) - m->stamp_at;

    m->stamp_at += chr_write(&m->base_fe,
                             (const uint8_t *)m->stamp + m->stamp_at, len);
    return m->stamp[m->stamp_at] == '\0';
}

static void make_stamp(Mux *m)
{
    int64_t ms = (clock_ns(CLK_HOST) - m->started_ns) / NS_PER_MS;

    g_snprintf(m->stamp, sizeof(m->stamp), "[%02d:%02d:%02d.%03d] ",
               (int)(ms / 3600000), (int)(ms / 60000 % 60),
               (int)(ms / 1000 % 60), (int)(ms % 1000));
    m->stamp_at = 0;
}

/* Line by line, each with its stamp. */
static size_t write_stamped(Mux *m, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        const uint8_t *end = memchr(buf + done, '\n', len - done);
        size_t n = end ? (size_t)(end - buf) + 1 - done : len - done, taken;

        if (m->at_line_start && m->timestamps) {
            make_stamp(m);
            m->at_line_start = false;
        }
        if (!write_stamp(m)) {
            break;
        }
        taken = chr_write(&m->base_fe, buf + done, n);
        done += taken;
        m->at_line_start = taken == n && end;
        if (taken < n) {
            break;
        }
    }
    return done;
}

static size_t mux_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    Mux *m = mux_of(chr);

    if (!m->timestamps && m->stamp[m->stamp_at] == '\0') {
        return chr_write(&m->base_fe, buf, len);
    }
    return write_stamped(m, buf, len);
}

static void base_writable(void *opaque)
{
    Mux *m = opaque;

    for (unsigned i = 0; i < m->n_users; i++) {
        CharFrontend *fe = m->users[i].fe;
        void (*fn)(void *opaque) = fe->writable;

        if (fn) {
            fe->writable = NULL;
            fn(fe->writable_opaque);
        }
    }
}

static void mux_want_writable(Chardev *chr)
{
    chr_wait_writable(&mux_of(chr)->base_fe, base_writable, mux_of(chr));
}

static bool mux_wait(Chardev *chr, int ms)
{
    Chardev *base = mux_of(chr)->base;

    return base->ops->wait && base->ops->wait(base, ms);
}

/* --- commands ------------------------------------------------------------ */

static const char *escape_name(char *buf, size_t size)
{
    if (chr_escape >= 1 && chr_escape <= 26) {
        g_snprintf(buf, size, "C-%c", chr_escape - 1 + 'a');
    } else {
        g_snprintf(buf, size, "0x%02x", chr_escape);
    }
    return buf;
}

static void help(Mux *m)
{
    static const char *const keys[][2] = {
        { "h", "this list" },
        { "x", "quit the emulator" },
        { "s", "save disk changes to their files (with -snapshot)" },
        { "t", "time stamps on or off" },
        { "b", "send a break" },
        { "c", "next user of this terminal (console, monitor)" },
    };
    char esc[8];

    say(m, "\r\n");
    escape_name(esc, sizeof(esc));
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *line = g_strdup_printf("%s %-4s %s\r\n", esc,
                                                keys[i][0], keys[i][1]);

        say(m, line);
    }
    {
        g_autofree char *line =
            g_strdup_printf("%s %-4s send %s itself\r\n", esc, esc, esc);

        say(m, line);
    }
}

static void set_focus(Mux *m, unsigned i)
{
    if (m->n_users && m->focus < m->n_users && m->focus != i) {
        tell(&m->users[m->focus], CHR_MUX_OUT);
    }
    m->focus = i;
    tell(focused(m), CHR_MUX_IN);
}

static void quit(Mux *m)
{
    g_autofree char *bye = g_strdup_printf("%s: Terminated\r\n",
                                           log_program());

    say(m, bye);
    if (chr_mux_quit) {
        chr_mux_quit();
    }
}

static void mux_send_break(Chardev *chr)
{
    tell(focused(mux_of(chr)), CHR_BREAK);
    if (chr_mux_break) {
        chr_mux_break();
    }
}

static void command(Mux *m, uint8_t c)
{
    switch (c) {
    case 'h': case '?':
        help(m);
        break;
    case 'x':
        quit(m);
        break;
    case 's':
        if (chr_mux_save) {
            chr_mux_save();
        }
        break;
    case 't':
        m->timestamps = !m->timestamps;
        m->started_ns = clock_ns(CLK_HOST);
        break;
    case 'b':
        mux_send_break(&m->chr);
        break;
    case 'c':
        if (m->n_users > 1) {
            set_focus(m, (m->focus + 1) % m->n_users);
        }
        break;
    default:                    /* not a command: nothing */
        break;
    }
}

/* --- input --------------------------------------------------------------- */

static void deliver_to(MuxUser *u)
{
    if (u->delivering) {
        return;
    }
    u->delivering = true;
    while (u->fe && u->ahead->len) {
        uint8_t buf[64];
        size_t n = u->fe->can_read(u->fe->opaque);

        n = MIN(MIN(n, u->ahead->len), sizeof(buf));
        if (n == 0) {
            break;
        }
        memcpy(buf, u->ahead->data, n);
        g_byte_array_remove_range(u->ahead, 0, n);
        u->fe->read(u->fe->opaque, buf, n);
    }
    u->delivering = false;
}

static size_t mux_can_read(void *opaque)
{
    MuxUser *u = focused(opaque);

    return u ? TYPE_AHEAD - MIN(u->ahead->len, TYPE_AHEAD) : 0;
}

static void input_byte(Mux *m, uint8_t c)
{
    bool was_escaped = m->escaped;
    MuxUser *u = focused(m);

    m->escaped = false;
    if (c == chr_escape && chr_escape && !was_escaped) {
        m->escaped = true;
    } else if (was_escaped && c != chr_escape) {
        command(m, c);
    } else if (u) {
        g_byte_array_append(u->ahead, &c, 1);
    }
}

static void mux_read(void *opaque, const uint8_t *buf, size_t len)
{
    Mux *m = opaque;

    for (size_t i = 0; i < len; i++) {
        input_byte(m, buf[i]);
        if (focused(m)) {
            deliver_to(focused(m));
        }
    }
}

static void mux_event(void *opaque, CharEvent ev)
{
    Mux *m = opaque;

    m->chr.opened = m->base->opened;
    for (unsigned i = 0; i < m->n_users; i++) {
        if (ev != CHR_BREAK || i == m->focus) {
            tell(&m->users[i], ev);
        }
    }
}

static void mux_fe_accept_input(Chardev *chr, CharFrontend *fe)
{
    Mux *m = mux_of(chr);

    for (unsigned i = 0; i < m->n_users; i++) {
        if (m->users[i].fe == fe) {
            deliver_to(&m->users[i]);
        }
    }
    chr_accept_input(&m->base_fe);
}

/* --- users --------------------------------------------------------------- */

/* The last to come gets the keyboard, but for a monitor: with -nographic, the
 * serial port, whichever comes first. */
static bool mux_attach(Chardev *chr, CharFrontend *fe)
{
    Mux *m = mux_of(chr);

    if (m->n_users == USERS_MAX) {
        return false;
    }
    m->users[m->n_users++] = (MuxUser){
        .fe = fe, .ahead = g_byte_array_new(),
    };
    if (chr->opened) {
        tell(&m->users[m->n_users - 1], CHR_OPENED);
    }
    if (m->n_users == 1 || !fe->keeps_back) {
        set_focus(m, m->n_users - 1);
    } else {
        tell(&m->users[m->n_users - 1], CHR_MUX_OUT);
    }
    return true;
}

static void mux_detach(Chardev *chr, CharFrontend *fe)
{
    Mux *m = mux_of(chr);
    unsigned i = 0;
    bool had_focus;

    while (i < m->n_users && m->users[i].fe != fe) {
        i++;
    }
    if (i == m->n_users) {
        return;
    }
    had_focus = i == m->focus;
    g_byte_array_unref(m->users[i].ahead);
    m->n_users--;
    memmove(&m->users[i], &m->users[i + 1],
            (m->n_users - i) * sizeof(m->users[0]));
    if (m->focus > i || m->focus == m->n_users) {
        m->focus = m->focus ? m->focus - 1 : 0;
    }
    if (had_focus) {
        tell(focused(m), CHR_MUX_IN);
    }
}

/* --- making -------------------------------------------------------------- */

static bool mux_open(Chardev *chr, Opt *dict, GError **err)
{
    return true;
}

static void mux_close(Chardev *chr)
{
    Mux *m = mux_of(chr);

    while (m->n_users) {
        chr_detach(m->users[m->n_users - 1].fe);
    }
    chr_detach(&m->base_fe);
    chr_free(m->base);
}

static void mux_set_break(Chardev *chr, bool on)
{
    chr_set_break(&mux_of(chr)->base_fe, on);
}

static void mux_set_params(Chardev *chr, unsigned baud, char parity,
                           unsigned data_bits, unsigned stop_bits)
{
    chr_set_serial_params(&mux_of(chr)->base_fe, baud, parity, data_bits,
                          stop_bits);
}

const CharBackend chr_mux = {
    .name = "mux", .size = sizeof(Mux),
    .open = mux_open, .close = mux_close, .write = mux_write,
    .want_writable = mux_want_writable, .wait = mux_wait,
    .set_break = mux_set_break, .set_params = mux_set_params,
    .send_break = mux_send_break, .attach = mux_attach,
    .detach = mux_detach,
    .fe_accept_input = mux_fe_accept_input,
};

Chardev *chr_mux_new(const char *id, Chardev *base, GError **err)
{
    g_autoptr(Opt) none = opt_new_dict();
    Chardev *chr = chr_make(&chr_mux, id, none, err);
    Mux *m;

    if (!chr) {
        chr_free(base);
        return NULL;
    }
    m = mux_of(chr);
    m->base = base;
    m->at_line_start = true;
    m->base_fe = (CharFrontend){
        .can_read = mux_can_read, .read = mux_read, .event = mux_event,
        .opaque = m,
    };
    chr_attach(&m->base_fe, base, NULL);        /* nobody else knows it */
    chr->opened = base->opened;
    return chr;
}
