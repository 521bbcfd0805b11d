/*
 * Messages on stderr and the debug log of -d and -D.
 *
 * A line is formatted whole and written by one call, so that lines of several
 * threads never mingle.
 *
 * Locks: the debug log's file is changed under file_lock; everything else is
 *        atomic.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/log.h"
#include "base/bits.h"
#include "base/opts.h"
#include "base/trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define RATE_WINDOW_US  G_USEC_PER_SEC
#define RATE_LINES      5

uint32_t log_mask;

bool log_timestamps;

static char program_name[64] = "rhea";
static char *guest_name;        /* before messages, or NULL */
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *log_file;          /* NULL: stderr */

typedef struct LogItem {
    const char *name;
    uint32_t mask;
    const char *doc;
} LogItem;

/* QEMU's names; the last ones are accepted and have nothing to show here. */
static const LogItem log_items[] = {
    { "out_asm", LOG_OUT_ASM, "host code generated for each block" },
    { "in_asm", LOG_IN_ASM, "guest code of each block as it is decoded" },
    { "op", LOG_OP, "decoded operations of each block" },
    { "int", LOG_INT, "exceptions and interrupts as they are delivered" },
    { "exec", LOG_EXEC, "each block before it runs" },
    { "cpu", LOG_CPU, "CPU registers before each block" },
    { "mmu", LOG_MMU, "page walks that fault" },
    { "cpu_reset", LOG_CPU_RESET, "CPU registers at reset and triple fault" },
    { "unimp", LOG_UNIMP, "use of what is not implemented" },
    { "guest_errors", LOG_GUEST_ERROR,
      "invalid operations by the guest, rate limited" },
    { "nochain", LOG_NOCHAIN, "blocks are never chained (slow, exact -d exec)" },
    { "page", LOG_PAGE, "accepted; user-mode emulation only" },
    { "strace", LOG_STRACE, "accepted; user-mode emulation only" },
    { "op_opt", 0, "accepted; shows nothing" },
    { "op_ind", 0, "accepted; shows nothing" },
    { "fpu", 0, "accepted; shows nothing" },
    { "pcall", 0, "accepted; shows nothing" },
    { "plugin", 0, "accepted; shows nothing" },
    { "tid", 0, "accepted; shows nothing" },
    { "vpu", 0, "accepted; shows nothing" },
};

void log_set_program(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');

    g_strlcpy(program_name, slash ? slash + 1 : argv0, sizeof(program_name));
}

const char *log_program(void)
{
    return program_name;
}

void log_set_guest_name(const char *name)
{
    g_free(guest_name);
    guest_name = g_strdup(name);
}

/* "2024-12-31T23:59:59.123456Z ", as QEMU writes it, or "". */
static char *timestamp(void)
{
    g_autoptr(GDateTime) now = NULL;
    g_autofree char *text = NULL;

    if (!log_timestamps) {
        return g_strdup("");
    }
    now = g_date_time_new_now_utc();
    text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%06dZ ", text,
                           g_date_time_get_microsecond(now));
}

static void message(const char *kind, const char *fmt, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    g_autofree char *stamp = timestamp();
    g_autofree char *line =
        g_strdup_printf("%s%s%s%s: %s%s\n", stamp,
                        guest_name ? guest_name : "", guest_name ? " " : "",
                        program_name, kind, text);

    fputs(line, stderr);
}

void warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    message("warning: ", fmt, ap);
    va_end(ap);
}

void info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    message("info: ", fmt, ap);
    va_end(ap);
}

void report_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    message("", fmt, ap);
    va_end(ap);
}

void log_line(const char *text)
{
    size_t len = strlen(text);
    const char *end = len && text[len - 1] == '\n' ? "" : "\n";

    pthread_mutex_lock(&file_lock);
    fprintf(log_file ? log_file : stderr, "%s%s", text, end);
    pthread_mutex_unlock(&file_lock);
}

void log_write(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    log_line(text);
}

char *log_items_help(void)
{
    GString *text = g_string_new("Log items (comma separated):\n");

    for (size_t i = 0; i < G_N_ELEMENTS(log_items); i++) {
        g_string_append_printf(text, "%-15s %s\n", log_items[i].name,
                               log_items[i].doc);
    }
    g_string_append_printf(text, "%-15s %s\n", "trace:PATTERN",
                           "trace events that match PATTERN");
    g_string_append_printf(text, "%-15s %s\n", "all",
                           "every item but trace events");
    return g_string_free(text, FALSE);
}

static void print_items(void)
{
    g_autofree char *text = log_items_help();

    fputs(text, stdout);
}

static const LogItem *find_item(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(log_items); i++) {
        if (g_str_equal(log_items[i].name, name)) {
            return &log_items[i];
        }
    }
    return NULL;
}

static uint32_t all_items(void)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(log_items); i++) {
        mask |= log_items[i].mask;
    }
    return mask & ~LOG_NOCHAIN;         /* that one is no log */
}

/* One item of -d into *mask. */
static bool add_item(const char *name, uint32_t *mask, GError **err)
{
    const LogItem *item = find_item(name);
    const char *names[G_N_ELEMENTS(log_items) + 1];
    const char *near;

    for (size_t i = 0; i < G_N_ELEMENTS(log_items); i++) {
        names[i] = log_items[i].name;
    }
    names[G_N_ELEMENTS(log_items)] = NULL;
    if (item) {
        *mask |= item->mask;
        return true;
    }
    if (g_str_equal(name, "all")) {
        *mask |= all_items();
        return true;
    }
    if (g_str_has_prefix(name, "trace:")) {
        if (!trace_enable(name + strlen("trace:"), true)) {
            warn("no trace event matches '%s'", name + strlen("trace:"));
        }
        return true;
    }
    near = nearest_name(name, names);
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                "-d: unknown log item '%s'%s%s%s ('-d help' lists them)",
                name, near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
    return false;
}

bool log_set_items(const char *items, bool *helped, GError **err)
{
    g_auto(GStrv) names = g_strsplit(items, ",", -1);
    uint32_t mask = 0;

    *helped = false;
    for (char **name = names; *name; name++) {
        if (g_str_equal(*name, "help") || g_str_equal(*name, "?")) {
            print_items();
            *helped = true;
            return true;
        }
        if (**name && !g_str_equal(*name, "none")
            && !add_item(*name, &mask, err)) {
            return false;
        }
    }
    __atomic_store_n(&log_mask, mask, __ATOMIC_RELAXED);
    return true;
}

/* `path` with its "%d", at most one and nothing else after '%', replaced. */
static char *expand_path(const char *path, GError **err)
{
    const char *pct = strchr(path, '%');

    if (!pct) {
        return g_strdup(path);
    }
    if (pct[1] != 'd' || strchr(pct + 1, '%')) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-D: bad file name '%s': only one %%d is accepted after %%",
                    path);
        return NULL;
    }
    return g_strdup_printf("%.*s%d%s", (int)(pct - path), path, (int)getpid(),
                           pct + 2);
}

bool log_set_file(const char *path, GError **err)
{
    g_autofree char *name = expand_path(path, err);
    FILE *f, *old;

    if (!name) {
        return false;
    }
    f = fopen(name, "we");
    if (!f) {
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "-D: could not open '%s': %s", name, g_strerror(errno));
        return false;
    }
    setlinebuf(f);              /* complete to the last line when we die */
    pthread_mutex_lock(&file_lock);
    old = log_file;
    log_file = f;
    pthread_mutex_unlock(&file_lock);
    if (old) {
        fclose(old);
    }
    return true;
}

bool log_ratelimit(int64_t *window_us, int64_t *count)
{
    int64_t now_us = g_get_monotonic_time();
    int64_t start_us = __atomic_load_n(window_us, __ATOMIC_RELAXED);

    if (start_us == 0 || now_us - start_us >= RATE_WINDOW_US) {
        /* Two threads may both open the window: a line more, no harm. */
        __atomic_store_n(window_us, now_us, __ATOMIC_RELAXED);
        __atomic_store_n(count, 0, __ATOMIC_RELAXED);
    }
    return __atomic_fetch_add(count, 1, __ATOMIC_RELAXED) < RATE_LINES;
}

void log_guest_error(const char *who, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    log_write("%s: guest error: %s", who, text);
}
