/*
 * rhea-img: what is printed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <math.h>
#include <time.h>

#include "img.h"

/* --- sizes ---------------------------------------------------------------- */

/* Three digits of the unit that keeps the number below 1000. */
char *img_size_text(uint64_t bytes)
{
    static const char *const units[] = {
        "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"
    };
    int exponent;
    unsigned unit;

    frexp(bytes / (1000.0 / 1024.0), &exponent);
    unit = bytes ? (exponent - 1) / 10 : 0;
    return g_strdup_printf("%0.3g %sB", (double)bytes / BIT64(unit * 10),
                           units[unit]);
}

/* --- JSON ----------------------------------------------------------------- */

/* qemu-img's order of members, which some read by eye and some by diff. */
static const char *const order[] = {
    "backing-filename-format",
    "image-end-offset", "total-clusters", "corruptions-fixed", "corruptions",
    "check-errors", "leaks-fixed", "leaks", "fragmented-clusters",
    "compressed-clusters", "allocated-clusters",
    "snapshots", "icount", "vm-clock-nsec", "flags", "name", "date-sec", "date-nsec",
    "vm-clock-sec", "id", "vm-state-size",
    "compat", "compression-type", "lazy-refcounts",
    "bitmaps", "required", "fully-allocated",
    "virtual-size", "filename", "cluster-size", "format", "actual-size",
    "format-specific", "full-backing-filename", "backing-filename",
    "dirty-flag",
    "type", "data",
    "refcount-bits", "corrupt", "extended-l2",
};

static unsigned rank(const char *key)
{
    unsigned i = 0;

    while (i < G_N_ELEMENTS(order) && strcmp(order[i], key)) {
        i++;
    }
    return i;
}

static void print_node(const Opt *node, unsigned depth);

static void print_dict(const Opt *dict, unsigned depth)
{
    unsigned n = opt_len(dict);
    g_autofree unsigned *by_rank = g_new(unsigned, n + 1);

    for (unsigned i = 0; i < n; i++) {
        unsigned at = i;

        while (at && rank(opt_key_at(dict, by_rank[at - 1]))
               > rank(opt_key_at(dict, i))) {
            by_rank[at] = by_rank[at - 1];
            at--;
        }
        by_rank[at] = i;
    }
    printf("{\n");
    for (unsigned i = 0; i < n; i++) {
        printf("%*s\"%s\": ", 4 * (depth + 1), "",
               opt_key_at(dict, by_rank[i]));
        print_node(opt_at(dict, by_rank[i]), depth + 1);
        printf("%s\n", i + 1 < n ? "," : "");
    }
    printf("%*s}", 4 * depth, "");
}

static void print_node(const Opt *node, unsigned depth)
{
    unsigned n;

    switch (opt_kind(node)) {
    case OPT_DICT:
        print_dict(node, depth);
        return;
    case OPT_LIST:
        n = opt_len(node);
        printf("[\n");
        for (unsigned i = 0; i < n; i++) {
            printf("%*s", 4 * (depth + 1), "");
            print_node(opt_at(node, i), depth + 1);
            printf("%s\n", i + 1 < n ? "," : "");
        }
        printf("%*s]", 4 * depth, "");
        return;
    default: {
        g_autoptr(GString) text = g_string_new(NULL);

        opt_to_json(node, text);
        printf("%s", text->str);
    }
    }
}

void img_print_json(const Opt *node)
{
    print_node(node, 0);
    printf("\n");
}

/* --- snapshots ------------------------------------------------------------ */

void img_print_snapshots(BlockNode *n, const char *indent)
{
    unsigned count = node_n_snapshots(n);

    printf("%sSnapshot list:\n", indent);
    printf("%s%-10s%-17s%8s%20s%13s%11s\n", indent, "ID", "TAG", "VM SIZE",
           "DATE", "VM CLOCK", "ICOUNT");
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *size = NULL, *clock = NULL, *icount = NULL;
        char date[32];
        BlockSnapshot snap;
        struct tm tm;
        time_t at;
        uint64_t s;

        node_get_snapshot(n, i, &snap);
        at = snap.date_s;
        localtime_r(&at, &tm);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        s = snap.vm_clock_ns / NS_PER_SEC;
        clock = g_strdup_printf("%02u:%02u:%02u.%03u", (unsigned)(s / 3600),
                                (unsigned)(s / 60 % 60), (unsigned)(s % 60),
                                (unsigned)(snap.vm_clock_ns / 1000000 % 1000));
        icount = snap.icount == UINT64_MAX ? g_strdup("")
                 : g_strdup_printf("%" PRIu64, snap.icount);
        size = img_size_text(snap.vm_state_bytes);
        printf("%s%-9s %-16s %8s%20s%13s%11s\n", indent, snap.id, snap.name,
               size, date, clock, icount);
    }
}

/* --- progress ------------------------------------------------------------- */

static bool progress_shown;
static double progress_last;

static void show_progress(void)
{
    printf("    (%3.2f/100%%)\r", progress_last);
    fflush(stdout);
}

void img_progress_start(bool shown)
{
    progress_shown = shown;
    progress_last = 0;
    if (shown) {
        show_progress();
    }
}

/* Every percent is news. */
void img_progress(double percent)
{
    if (progress_shown && (percent >= progress_last + 1 || percent >= 100)) {
        progress_last = MIN(percent, 100);
        show_progress();
    }
}

void img_progress_end(void)
{
    if (progress_shown) {
        progress_last = 100;
        show_progress();
        printf("\n");
    }
}
