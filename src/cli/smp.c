/*
 * -smp: how many processors, and how they sit in sockets, dies and cores.
 *
 * What is left out is worked out as QEMU does: with nothing given, one; with
 * some given, threads and sockets count as 1 and cores take the rest (machine
 * versions up to 6.1: cores count as 1 and sockets take the rest).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

enum { SMP_MAX = 1 << 16 };     /* of any one number: products stay exact */

typedef struct {
    uint64_t cpus, maxcpus, sockets, dies, cores, threads;
} Smp;

/* Levels that exist in QEMU's grammar, not in our machines. */
static bool check_ones(Opt *smp, GError **err)
{
    static const char *const levels[] = {
        "drawers", "books", "clusters", "modules"
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
        uint64_t n = 1;

        if (!opt_get_uint(smp, levels[i], &n, SMP_MAX, err)) {
            return false;
        }
        if (n != 1) {
            return options_fail(err, "%s > 1 not supported by this machine's "
                                "CPU topology", levels[i]);
        }
    }
    return true;
}

static bool read_numbers(Opt *smp, Smp *s, GError **err)
{
    static const struct { const char *key; size_t offset; } keys[] = {
        { "cpus", offsetof(Smp, cpus) },
        { "maxcpus", offsetof(Smp, maxcpus) },
        { "sockets", offsetof(Smp, sockets) },
        { "dies", offsetof(Smp, dies) },
        { "cores", offsetof(Smp, cores) },
        { "threads", offsetof(Smp, threads) },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        uint64_t *n = (uint64_t *)((char *)s + keys[i].offset);

        if (!opt_has(smp, keys[i].key)) {
            continue;
        }
        if (!opt_get_uint(smp, keys[i].key, n, SMP_MAX, err)) {
            return false;
        }
        if (*n == 0) {
            return options_fail(err, "Invalid CPU topology: CPU topology "
                                "parameters must be greater than zero: '%s'",
                                keys[i].key);
        }
    }
    return true;
}

static void fill_in(Smp *s, bool old)
{
    s->dies = MAX(s->dies, 1);
    if (!s->cpus && !s->maxcpus) {
        s->sockets = MAX(s->sockets, 1);
        s->cores = MAX(s->cores, 1);
        s->threads = MAX(s->threads, 1);
    } else {
        s->maxcpus = s->maxcpus ? s->maxcpus : s->cpus;
        if (old && !s->sockets) {
            s->cores = MAX(s->cores, 1);
            s->threads = MAX(s->threads, 1);
            s->sockets = s->maxcpus / (s->dies * s->cores * s->threads);
        } else if (!s->cores) {
            s->sockets = MAX(s->sockets, 1);
            s->threads = MAX(s->threads, 1);
            s->cores = s->maxcpus / (s->sockets * s->dies * s->threads);
        } else if (!s->sockets) {
            s->threads = MAX(s->threads, 1);
            s->sockets = s->maxcpus / (s->dies * s->cores * s->threads);
        }
        if (!s->threads) {
            s->threads = s->maxcpus / (s->sockets * s->dies * s->cores);
        }
    }
}

bool smp_resolve(Opt *smp, bool old, CpuTopology *topo, GError **err)
{
    static const char *const known[] = {
        "cpus", "maxcpus", "sockets", "dies", "clusters", "modules", "cores",
        "threads", NULL
    };
    Smp s = { 0 };
    uint64_t total;
    g_autofree char *product = NULL;

    if (!read_numbers(smp, &s, err) || !check_ones(smp, err)
        || !opt_all_read(smp, "-smp", known, err)) {
        return false;
    }
    fill_in(&s, old);
    total = s.sockets * s.dies * s.cores * s.threads;
    s.maxcpus = s.maxcpus ? s.maxcpus : total;
    s.cpus = s.cpus ? s.cpus : s.maxcpus;
    product = g_strdup_printf("sockets (%" PRIu64 ") * dies (%" PRIu64 ") * "
                              "cores (%" PRIu64 ") * threads (%" PRIu64 ")",
                              s.sockets, s.dies, s.cores, s.threads);
    if (total != s.maxcpus) {
        return options_fail(err, "Invalid CPU topology: product of the "
                            "hierarchy must match maxcpus: %s != maxcpus "
                            "(%" PRIu64 ")", product, s.maxcpus);
    }
    if (s.maxcpus < s.cpus) {
        return options_fail(err, "Invalid CPU topology: maxcpus must be equal "
                            "to or greater than smp: %s == maxcpus (%" PRIu64
                            ") < smp_cpus (%" PRIu64 ")", product, s.maxcpus,
                            s.cpus);
    }
    if (s.maxcpus > SMP_MAX) {
        return options_fail(err, "Invalid CPU topology: %s is too many",
                            product);
    }
    *topo = (CpuTopology) {
        .cpus = s.cpus, .maxcpus = s.maxcpus, .sockets = s.sockets,
        .dies = s.dies, .cores = s.cores, .threads = s.threads,
    };
    return true;
}
