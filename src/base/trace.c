/*
 * Trace events: finding, switching and printing them.
 *
 * The linker gathers a pointer to each event in the section "rhea_trace"; in
 * a program without events the section's symbols do not exist, hence weak.
 *
 * Locks: the output file is changed under file_lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

extern TraceEvent *const trace_first[]
    __asm__("__start_rhea_trace") __attribute__((weak));
extern TraceEvent *const trace_end[]
    __asm__("__stop_rhea_trace") __attribute__((weak));

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *trace_file;        /* NULL: where the debug log goes */

void trace_write(const TraceEvent *ev, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    pthread_mutex_lock(&file_lock);
    if (trace_file) {
        fprintf(trace_file, "%s\n", text);
    } else {
        log_line(text);
    }
    pthread_mutex_unlock(&file_lock);
}

/* Events are spelt with dashes; scripts written for QEMU use underscores. */
static char *spell(const char *name)
{
    return g_strdelimit(g_strdup(name), "_", '-');
}

bool trace_enable(const char *glob, bool on)
{
    g_autofree char *pattern = spell(glob);
    bool found = false;

    for (TraceEvent *const *ev = trace_first; ev < trace_end; ev++) {
        g_autofree char *name = spell((*ev)->name);

        if (g_pattern_match_simple(pattern, name)) {
            __atomic_store_n(&(*ev)->on, on, __ATOMIC_RELAXED);
            found = true;
        }
    }
    return found;
}

static int compare_events(gconstpointer a, gconstpointer b)
{
    return strcmp((*(TraceEvent *const *)a)->name,
                  (*(TraceEvent *const *)b)->name);
}

GPtrArray *trace_events(void)
{
    GPtrArray *all = g_ptr_array_new();

    for (TraceEvent *const *ev = trace_first; ev < trace_end; ev++) {
        g_ptr_array_add(all, *ev);
    }
    g_ptr_array_sort(all, compare_events);
    for (unsigned i = 1; i < all->len;) {
        if (compare_events(&all->pdata[i - 1], &all->pdata[i]) == 0) {
            g_ptr_array_remove_index(all, i);   /* one event, two places */
        } else {
            i++;
        }
    }
    return all;
}

void trace_list(void)
{
    g_autoptr(GPtrArray) all = trace_events();

    for (unsigned i = 0; i < all->len; i++) {
        const TraceEvent *ev = all->pdata[i];

        printf("%s\n", ev->name);
    }
}

bool trace_enable_from_file(const char *path, GError **err)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, err)) {
        g_prefix_error(err, "-trace: events file: ");
        return false;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *glob = g_strstrip(*line);
        bool on = *glob != '-';

        if (*glob == '\0' || *glob == '#') {
            continue;
        }
        if (!trace_enable(on ? glob : glob + 1, on)) {
            warn("no trace event matches '%s' in '%s'", glob, path);
        }
    }
    return true;
}

bool trace_set_file(const char *path, GError **err)
{
    FILE *f = fopen(path, "we"), *old;

    if (!f) {
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "-trace: could not open '%s': %s", path,
                    g_strerror(errno));
        return false;
    }
    setlinebuf(f);
    pthread_mutex_lock(&file_lock);
    old = trace_file;
    trace_file = f;
    pthread_mutex_unlock(&file_lock);
    if (old) {
        fclose(old);
    }
    return true;
}
