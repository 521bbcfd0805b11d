/*
 * Character devices: the list of them, and the way of bytes between front and
 * back end.
 *
 * Invariants:
 *   - a back end never blocks but in wait(), which chr_write_all() bounds;
 *   - input the front end has no room for stays with the host, but for what a
 *     dying peer left (`pending`, at most CHR_PENDING_MAX);
 *   - log files get exactly the bytes that the back end took.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev-private.h"

#include "core/prop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define WRITE_ALL_MS 2000       /* without progress */

unsigned char chr_escape = 0x01;
void (*chr_mux_quit)(void);
void (*chr_mux_save)(void);
void (*chr_mux_break)(void);

static GPtrArray *all;          /* in order of making */

bool chr_error(GError **err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (err) {
        g_autofree char *text = g_strdup_vprintf(fmt, ap);

        g_set_error_literal(err, OPT_ERROR, OPT_ERROR_INVALID, text);
    }
    va_end(ap);
    return false;
}

/* --- null ---------------------------------------------------------------- */

static bool null_open(Chardev *chr, Opt *dict, GError **err)
{
    return true;
}

static void null_close(Chardev *chr)
{
}

static size_t null_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return len;
}

const CharBackend chr_null = {
    .name = "null", .size = sizeof(Chardev),
    .open = null_open, .close = null_close, .write = null_write,
};

/* --- output -------------------------------------------------------------- */

/* The log is the user's file: a full disk must not stop the guest. */
static void write_log(Chardev *chr, const uint8_t *buf, size_t len)
{
    while (chr->log_fd >= 0 && len) {
        ssize_t n = write(chr->log_fd, buf, len);

        if (n > 0) {
            buf += n;
            len -= n;
        } else if (n == 0 || errno != EINTR) {
            return;
        }
    }
}

size_t chr_backend_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    size_t n = chr->ops->write(chr, buf, len);

    write_log(chr, buf, n);
    return n;
}

size_t chr_write(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    return fe->chr && len ? chr_backend_write(fe->chr, buf, len) : len;
}

void chr_write_all(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    while (fe->chr && len) {
        size_t n = chr_backend_write(fe->chr, buf, len);

        buf += n;
        len -= n;
        if (len && n == 0 && !(fe->chr->ops->wait
                               && fe->chr->ops->wait(fe->chr, WRITE_ALL_MS))) {
            return;
        }
    }
}

void chr_wait_writable(CharFrontend *fe, void (*fn)(void *opaque),
                       void *opaque)
{
    fe->writable = fn;
    fe->writable_opaque = opaque;
    if (!fn || !fe->chr) {
        return;
    }
    if (fe->chr->ops->want_writable) {
        fe->chr->ops->want_writable(fe->chr);
    } else {
        timer_mod(&fe->chr->kick, 0);
    }
}

static void fe_writable(CharFrontend *fe)
{
    void (*fn)(void *opaque) = fe->writable;

    if (fn) {
        fe->writable = NULL;
        fn(fe->writable_opaque);
    }
}

void chr_writable(Chardev *chr)
{
    if (chr->fe) {
        fe_writable(chr->fe);
    }
}

static void kicked(void *opaque)
{
    chr_writable(opaque);
}

/* --- input --------------------------------------------------------------- */

size_t chr_can_input(Chardev *chr)
{
    size_t room = chr->fe ? chr->fe->can_read(chr->fe->opaque) : 0;

    return room > chr->pending->len ? room - chr->pending->len : 0;
}

/* Hand over what is pending, in pieces the front end has room for. */
static void deliver(Chardev *chr)
{
    if (chr->delivering) {      /* read() called chr_accept_input() */
        return;
    }
    chr->delivering = true;
    while (chr->fe && chr->pending->len) {
        uint8_t buf[256];
        size_t n = chr->fe->can_read(chr->fe->opaque);

        n = MIN(MIN(n, chr->pending->len), sizeof(buf));
        if (n == 0) {
            break;
        }
        memcpy(buf, chr->pending->data, n);
        g_byte_array_remove_range(chr->pending, 0, n);
        chr->fe->read(chr->fe->opaque, buf, n);
    }
    chr->delivering = false;
}

void chr_input(Chardev *chr, const uint8_t *buf, size_t len)
{
    size_t room = CHR_PENDING_MAX - MIN(chr->pending->len, CHR_PENDING_MAX);

    g_byte_array_append(chr->pending, buf, MIN(len, room));
    deliver(chr);
}

void chr_accept_input(CharFrontend *fe)
{
    Chardev *chr = fe->chr;

    if (!chr) {
        return;
    }
    if (chr->ops->fe_accept_input) {
        chr->ops->fe_accept_input(chr, fe);
        return;
    }
    deliver(chr);
    if (chr->ops->accept_input && !chr->pending->len) {
        chr->ops->accept_input(chr);
    }
}

/* --- the peer ------------------------------------------------------------ */

void chr_event(Chardev *chr, CharEvent ev)
{
    if (chr->fe && chr->fe->event) {
        chr->fe->event(chr->fe->opaque, ev);
    }
}

void chr_send_break(Chardev *chr)
{
    if (chr->ops->send_break) {
        chr->ops->send_break(chr);
    } else {
        chr_event(chr, CHR_BREAK);
    }
}

void chr_set_opened(Chardev *chr, bool opened)
{
    if (chr->opened == opened) {
        return;
    }
    chr->opened = opened;
    chr_event(chr, opened ? CHR_OPENED : CHR_CLOSED);
    if (!opened) {
        chr_writable(chr);      /* nobody is to wait for a peer that left */
    }
}

bool chr_connected(CharFrontend *fe)
{
    return fe->chr && fe->chr->opened;
}

void chr_set_break(CharFrontend *fe, bool on)
{
    if (fe->chr && fe->chr->ops->set_break) {
        fe->chr->ops->set_break(fe->chr, on);
    }
}

void chr_set_serial_params(CharFrontend *fe, unsigned baud, char parity,
                           unsigned data_bits, unsigned stop_bits)
{
    if (fe->chr && fe->chr->ops->set_params) {
        fe->chr->ops->set_params(fe->chr, baud, parity, data_bits, stop_bits);
    }
}

bool chr_attach(CharFrontend *fe, Chardev *chr, GError **err)
{
    fe->chr = NULL;
    fe->writable = NULL;
    if (!chr) {
        return true;
    }
    if (chr->ops->attach) {
        if (!chr->ops->attach(chr, fe)) {
            return chr_error(err, "chardev '%s' has no room for another user",
                             chr->id);
        }
        fe->chr = chr;
        chr_accept_input(fe);
        return true;
    }
    if (chr->fe) {
        return chr_error(err, "chardev '%s' is already in use (give it mux=on "
                         "to share it)", chr->id);
    }
    fe->chr = chr;
    chr->fe = fe;
    if (chr->opened && fe->event) {
        fe->event(fe->opaque, CHR_OPENED);
    }
    chr_accept_input(fe);
    return true;
}

void chr_detach(CharFrontend *fe)
{
    Chardev *chr = fe->chr;

    if (!chr) {
        return;
    }
    fe->chr = NULL;
    fe->writable = NULL;
    if (chr->ops->detach) {
        chr->ops->detach(chr, fe);
    } else {
        chr->fe = NULL;
    }
}

/* --- making -------------------------------------------------------------- */

static const CharBackend *const backends[] = {
    &chr_null, &chr_stdio, &chr_file, &chr_pipe, &chr_pty, &chr_socket,
    &chr_udp, &chr_ringbuf, &chr_tty,
};

/* What else each may be called; the second name is QEMU's older one. */
static const char *const aliases[][2] = {
    { "memory", "ringbuf" },
    { "tty", "serial" },
    { "parallel", "serial" },
    { "parport", "serial" },
};

const char *const *chr_backend_names(void)
{
    static const char *const names[] = {
        "file", "memory", "null", "parallel", "pipe", "pty", "ringbuf",
        "serial", "socket", "stdio", "udp", NULL,
    };

    return names;
}

static const CharBackend *find_backend(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (g_str_equal(name, aliases[i][0])) {
            name = aliases[i][1];
            break;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        if (g_str_equal(name, backends[i]->name)) {
            return backends[i];
        }
    }
    return NULL;
}

Chardev *chr_find(const char *id)
{
    for (unsigned i = 0; all && i < all->len; i++) {
        Chardev *chr = all->pdata[i];

        if (g_str_equal(chr->id, id)) {
            return chr;
        }
    }
    return NULL;
}

const char *chr_id(const Chardev *chr)
{
    return chr->id;
}

bool chr_is_mux(const Chardev *chr)
{
    return chr->ops == &chr_mux;
}

static bool open_log(Chardev *chr, Opt *dict, GError **err)
{
    const char *path = NULL;
    bool append = false;

    if (!opt_get_string(dict, "logfile", &path, err)
        || !opt_get_bool(dict, "logappend", &append, err)) {
        return false;
    }
    if (!path) {
        return true;
    }
    chr->log_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY
                       | (append ? O_APPEND : O_TRUNC), 0666);
    return chr->log_fd >= 0
           || chr_error(err, "chardev '%s': could not open logfile '%s': %s",
                        chr->id, path, g_strerror(errno));
}

static void destroy(Chardev *chr)
{
    timer_del(&chr->kick);
    if (chr->log_fd >= 0) {
        close(chr->log_fd);
    }
    g_byte_array_unref(chr->pending);
    g_free(chr->where);
    g_free(chr->id);
    g_free(chr);
}

/* A peer that leaves is an event, not a signal. */
static void ignore_sigpipe(void)
{
    struct sigaction sa;

    if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL) {
        sa.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &sa, NULL);
    }
}

static bool read_all_keys(Chardev *chr, Opt *dict, GError **err)
{
    g_autofree char *what = g_strdup_printf("chardev '%s' (%s)", chr->id,
                                            chr->ops->name);
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (const char *const *k = chr->ops->keys; k && *k; k++) {
        g_ptr_array_add(known, (char *)*k);
    }
    g_ptr_array_add(known, (char *)"mux");
    g_ptr_array_add(known, (char *)"logfile");
    g_ptr_array_add(known, (char *)"logappend");
    g_ptr_array_add(known, NULL);
    return opt_all_read(dict, what, (const char *const *)known->pdata, err);
}

Chardev *chr_make(const CharBackend *ops, const char *id, Opt *dict,
                  GError **err)
{
    static unsigned n_anonymous;
    Chardev *chr;

    if (id && chr_find(id)) {
        chr_error(err, "there is already a chardev with id '%s'", id);
        return NULL;
    }
    ignore_sigpipe();
    chr = g_malloc0(ops->size);
    chr->ops = ops;
    chr->id = id ? g_strdup(id) : g_strdup_printf("#chr%u", n_anonymous++);
    chr->log_fd = -1;
    chr->pending = g_byte_array_new();
    timer_init(&chr->kick, loop_main(), CLK_HOST, kicked, chr);
    chr->opened = true;
    if (!open_log(chr, dict, err) || !ops->open(chr, dict, err)) {
        destroy(chr);
        return NULL;
    }
    if (!read_all_keys(chr, dict, err)) {
        ops->close(chr);
        destroy(chr);
        return NULL;
    }
    if (!chr->where) {
        chr->where = g_strdup(ops->name);
    }
    if (!all) {
        all = g_ptr_array_new();
    }
    g_ptr_array_add(all, chr);
    return chr;
}

Chardev *chr_new(Opt *dict, GError **err)
{
    const char *name = NULL, *id = NULL;
    const CharBackend *ops;
    bool mux = false;
    g_autofree char *base_id = NULL;
    Chardev *base;

    if (!opt_get_string(dict, "backend", &name, err)
        || !opt_get_string(dict, "id", &id, err)
        || !opt_get_bool(dict, "mux", &mux, err)) {
        return NULL;
    }
    if (!name) {
        chr_error(err, "chardev '%s': no backend given", id ? id : "");
        return NULL;
    }
    ops = find_backend(name);
    if (!ops) {
        const char *near = nearest_name(name, chr_backend_names());

        chr_error(err, "chardev '%s': unknown backend '%s'%s%s%s",
                  id ? id : "", name, near ? " (did you mean '" : "",
                  near ? near : "", near ? "'?)" : "");
        return NULL;
    }
    if (!mux) {
        return chr_make(ops, id, dict, err);
    }
    base_id = id ? g_strconcat(id, "-base", NULL) : NULL;
    base = chr_make(ops, base_id, dict, err);
    return base ? chr_mux_new(id, base, err) : NULL;
}

void chr_free(Chardev *chr)
{
    if (!chr) {
        return;
    }
    if (chr->fe) {
        chr_detach(chr->fe);
    }
    chr->ops->close(chr);
    g_ptr_array_remove(all, chr);
    destroy(chr);
}

void chr_print(GString *out)
{
    for (unsigned i = 0; all && i < all->len; i++) {
        Chardev *chr = all->pdata[i];

        g_string_append_printf(out, "%s: filename=%s%s\n", chr->id,
                               chr->opened ? "" : "disconnected:",
                               chr->where);
    }
}

void chr_shutdown(void)
{
    while (all && all->len) {   /* a mux frees its base, which is older */
        chr_free(all->pdata[all->len - 1]);
    }
    g_clear_pointer(&all, g_ptr_array_unref);
    chr_restore_terminal();
}

static const char *id_of(Chardev *chr)
{
    return chr->id;
}

__attribute__((constructor)) static void give_core_its_hooks(void)
{
    prop_find_chardev = chr_find;
    prop_chardev_id = id_of;
}
