/*
 * The human monitor: tables of commands, and the terminals they are typed at.
 *
 * Output is collected in `out` and written as the host takes it.  On a mux it
 * is held back while another user has the keyboard, and so are banner and
 * prompt, which the main loop shows, not the event: between a monitor's
 * attaching and its serial port's the keyboard changes hands.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hmp-private.h"

#include "base/log.h"
#include "config.h"
#include "loop/timer.h"

#define OUT_MAX     (4 * MiB)   /* what a stuck terminal may cost us */
#define OUT_BUSY    (64 * KiB)  /* above, no more commands are read */
#define PROMPT      "(qemu) "

struct Hmp {
    CharFrontend fe;
    Readline *rl;               /* NULL for hmp_run() */
    GString *out;
    bool cut;                   /* output was dropped */
    unsigned cpu_index;

    bool focused;               /* on a mux: has the keyboard */
    bool want_banner, want_prompt, leaving;
    Timer show;
};

static GPtrArray *commands, *info_commands, *monitors;

/* --- tables -------------------------------------------------------------- */

/* Is `name` one of "real|alias|alias"? */
static bool is_named(const HmpCommand *cmd, const char *name)
{
    g_auto(GStrv) names = g_strsplit(cmd->name, "|", -1);

    return g_strv_contains((const char *const *)names, name);
}

const HmpCommand *hmp_find(const GPtrArray *table, const char *name)
{
    for (unsigned i = 0; i < table->len; i++) {
        if (is_named(table->pdata[i], name)) {
            return table->pdata[i];
        }
    }
    return NULL;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const HmpCommand *const *)a)->name,
                  (*(const HmpCommand *const *)b)->name);
}

static void add(GPtrArray *table, const HmpCommand *cmd)
{
    for (unsigned i = 0; i < table->len; i++) {
        if (g_str_equal(((const HmpCommand *)table->pdata[i])->name,
                        cmd->name)) {
            table->pdata[i] = (void *)cmd;
            return;
        }
    }
    g_ptr_array_add(table, (void *)cmd);
    g_ptr_array_sort(table, by_name);
}

static void make_tables(void)
{
    if (!commands) {
        commands = g_ptr_array_new();
        info_commands = g_ptr_array_new();
        hmp_register_basics();
        hmp_register_infos();
        hmp_register_memory();
    }
}

GPtrArray *hmp_commands(void)
{
    make_tables();
    return commands;
}

GPtrArray *hmp_info_commands(void)
{
    make_tables();
    return info_commands;
}

void hmp_register(const HmpCommand *cmd)
{
    add(hmp_commands(), cmd);
}

void hmp_register_info(const HmpCommand *cmd)
{
    add(hmp_info_commands(), cmd);
}

/* --- output -------------------------------------------------------------- */

static void flush(Hmp *mon);

static void writable(void *opaque)
{
    Hmp *mon = opaque;

    flush(mon);
    if (mon->out->len < OUT_BUSY) {
        chr_accept_input(&mon->fe);
    }
}

static void flush(Hmp *mon)
{
    size_t n;

    if (!mon->rl || !mon->focused || !mon->out->len) {
        return;
    }
    n = chr_write(&mon->fe, (const uint8_t *)mon->out->str, mon->out->len);
    g_string_erase(mon->out, 0, n);
    if (mon->out->len) {
        chr_wait_writable(&mon->fe, writable, mon);
    } else {
        mon->cut = false;
    }
}

void hmp_puts(Hmp *mon, const char *text)
{
    if (mon->cut) {
        return;
    }
    if (mon->out->len + strlen(text) > OUT_MAX) {
        g_string_append(mon->out, "\r\n(output cut)\r\n");
        mon->cut = true;
        return;
    }
    for (const char *c = text; *c; c++) {
        if (*c == '\n' && mon->rl) {
            g_string_append_c(mon->out, '\r');
        }
        g_string_append_c(mon->out, *c);
    }
}

void hmp_printf(Hmp *mon, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    hmp_puts(mon, text);
}

/* --- running a line ------------------------------------------------------ */

unsigned hmp_cpu_index(const Hmp *mon)
{
    return mon->cpu_index;
}

void hmp_set_cpu_index(Hmp *mon, unsigned index)
{
    mon->cpu_index = index;
}

const GPtrArray *hmp_history(const Hmp *mon)
{
    return mon->rl ? readline_history(mon->rl) : NULL;
}

void hmp_leave(Hmp *mon)
{
    mon->leaving = true;
}

char *hmp_join(unsigned argc, char **argv, unsigned first)
{
    return first < argc ? g_strjoinv(" ", argv + first) : g_strdup("");
}

/* One word from *s, unquoted: "a b" and \" as in C. */
static char *next_word(const char **s)
{
    GString *word = g_string_new(NULL);
    bool quoted = false;

    for (; **s && (quoted || !g_ascii_isspace(**s)); ++*s) {
        if (**s == '"') {
            quoted = !quoted;
        } else if (**s == '\\' && quoted && (*s)[1]) {
            g_string_append_c(word, *++*s);
        } else {
            g_string_append_c(word, **s);
        }
    }
    return g_string_free(word, FALSE);
}

/* Words, NULL-terminated; "x/4xw 0" gives "x", "/4xw", "0". */
static GPtrArray *split(const char *line)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

    while (g_ascii_isspace(*line)) {
        line++;
    }
    if (*line) {
        size_t n = strcspn(line, " \t/");

        n += n == 0;
        g_ptr_array_add(argv, g_strndup(line, n));
        line += n;
    }
    while (*line) {
        if (g_ascii_isspace(*line)) {
            line++;
        } else {
            g_ptr_array_add(argv, next_word(&line));
        }
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

void hmp_call(Hmp *mon, const char *before, const HmpCommand *cmd,
              unsigned argc, char **argv)
{
    if (argc - 1 < cmd->n_min || argc - 1 > cmd->n_max) {
        hmp_printf(mon, "%s%s: %s arguments; accepted: %s%s %s\n", before,
                   argv[0], argc - 1 < cmd->n_min ? "too few" : "too many",
                   before, argv[0], cmd->args);
        return;
    }
    cmd->fn(mon, argc, argv);
}

static void run(Hmp *mon, const char *line)
{
    g_autoptr(GPtrArray) argv = split(line);
    const HmpCommand *cmd;

    if (argv->len == 1 || ((char *)argv->pdata[0])[0] == '#') {
        return;
    }
    cmd = hmp_find(hmp_commands(), argv->pdata[0]);
    if (!cmd) {
        hmp_printf(mon, "unknown command: '%s'\n", (char *)argv->pdata[0]);
        return;
    }
    hmp_call(mon, "", cmd, argv->len - 1, (char **)argv->pdata);
}

void hmp_run(const char *line, int cpu_index, GString *out)
{
    Hmp mon = { .out = out, .cpu_index = MAX(cpu_index, 0) };

    run(&mon, line);
}

/* --- the terminal -------------------------------------------------------- */

static void rl_print(void *opaque, const char *text)
{
    hmp_puts(opaque, text);
}

static void rl_line(void *opaque, const char *line)
{
    Hmp *mon = opaque;

    run(mon, line);
    if (!mon->leaving && mon->focused) {
        readline_show(mon->rl);
    }
}

static void add_matches(GPtrArray *found, const GPtrArray *table,
                        const char *prefix)
{
    for (unsigned i = 0; i < table->len; i++) {
        const HmpCommand *cmd = table->pdata[i];
        g_auto(GStrv) names = g_strsplit(cmd->name, "|", -1);

        for (char **name = names; *name; name++) {
            if (g_str_has_prefix(*name, prefix)) {
                g_ptr_array_add(found, g_strdup(*name));
            }
        }
    }
}

static GPtrArray *rl_complete(void *opaque, const char *before)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    const char *last = strrchr(before, ' ');

    if (!last) {
        add_matches(found, hmp_commands(), before);
    } else if (g_str_has_prefix(before, "info ")
               || g_str_has_prefix(before, "help info ")) {
        add_matches(found, hmp_info_commands(), last + 1);
    } else if (g_str_has_prefix(before, "help ")
               || g_str_has_prefix(before, "? ")) {
        add_matches(found, hmp_commands(), last + 1);
    }
    return found;
}

static const ReadlineOps rl_ops = { rl_print, rl_line, rl_complete };

/* Show what is due, now that it is clear who has the keyboard. */
static void show(void *opaque)
{
    Hmp *mon = opaque;

    if (!mon->focused || !chr_connected(&mon->fe)) {
        return;
    }
    if (mon->want_banner) {
        hmp_puts(mon, "QEMU " RHEA_QEMU_VERSION " monitor - type 'help' for "
                 "more information\n");
    } else if (mon->want_prompt) {
        hmp_puts(mon, "\n");
    }
    if (mon->want_banner || mon->want_prompt) {
        readline_show(mon->rl);
    }
    mon->want_banner = mon->want_prompt = false;
    flush(mon);
}

static size_t hmp_can_read(void *opaque)
{
    Hmp *mon = opaque;

    return mon->out->len < OUT_BUSY && !mon->leaving ? 1024 : 0;
}

static void hmp_read(void *opaque, const uint8_t *buf, size_t len)
{
    Hmp *mon = opaque;

    show(mon);
    for (size_t i = 0; i < len && !mon->leaving; i++) {
        readline_key(mon->rl, buf[i]);
    }
    flush(mon);
}

static void hmp_event(void *opaque, CharEvent ev)
{
    Hmp *mon = opaque;

    switch (ev) {
    case CHR_OPENED:
        mon->want_banner = true;
        break;
    case CHR_CLOSED:
        g_string_truncate(mon->out, 0);
        mon->cut = false;
        break;
    case CHR_MUX_IN:
        mon->focused = mon->want_prompt = true;
        break;
    case CHR_MUX_OUT:
        if (!mon->want_banner && !mon->want_prompt) {
            hmp_puts(mon, "\n");
            flush(mon);
        }
        mon->focused = mon->want_prompt = false;
        break;
    case CHR_BREAK:
        break;
    }
    timer_mod(&mon->show, 0);
}

Hmp *hmp_new(Chardev *chr, GError **err)
{
    Hmp *mon = g_new0(Hmp, 1);

    make_tables();
    mon->out = g_string_new(NULL);
    mon->rl = readline_new(PROMPT, &rl_ops, mon);
    mon->focused = !chr_is_mux(chr);
    mon->fe = (CharFrontend){
        .can_read = hmp_can_read, .read = hmp_read, .event = hmp_event,
        .opaque = mon, .keeps_back = true,
    };
    timer_init(&mon->show, loop_main(), CLK_HOST, show, mon);
    if (!monitors) {
        monitors = g_ptr_array_new();
    }
    g_ptr_array_add(monitors, mon);
    if (!chr_attach(&mon->fe, chr, err)) {
        hmp_free(mon);
        return NULL;
    }
    return mon;
}

void hmp_free(Hmp *mon)
{
    g_ptr_array_remove(monitors, mon);
    timer_del(&mon->show);
    chr_detach(&mon->fe);
    readline_free(mon->rl);
    g_string_free(mon->out, TRUE);
    g_free(mon);
}

void hmp_flush_all(void)
{
    for (unsigned i = 0; monitors && i < monitors->len; i++) {
        Hmp *mon = monitors->pdata[i];

        if (mon->focused) {
            chr_write_all(&mon->fe, (const uint8_t *)mon->out->str,
                          mon->out->len);
            g_string_truncate(mon->out, 0);
        }
    }
}
