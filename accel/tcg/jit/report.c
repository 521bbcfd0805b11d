/*
 * What compiled code has called: counts, for `info jit`.
 *
 * Locks: each vCPU counts on its own; who asks reads what is there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include <stdlib.h>

enum { N_SHOWN = 12 };

static JitCounts total;         /* under the machine lock, as `info` is */

static void add(uint64_t *to, const uint64_t *from)
{
    *to += __atomic_load_n(from, __ATOMIC_RELAXED);
}

static void add_cpu(TcgCpu *t, void *unused)
{
    const JitCounts *n = &jit_cpu(t->env)->counts;

    add(&total.entered, &n->entered);
    add(&total.lookups, &n->lookups);
    add(&total.transfers, &n->transfers);
    add(&total.faults, &n->faults);
    for (unsigned i = 0; i < N_OPS; i++) {
        add(&total.handlers[i], &n->handlers[i]);
    }
}

static int by_count(const void *a, const void *b)
{
    uint64_t x = total.handlers[*(const uint16_t *)a];
    uint64_t y = total.handlers[*(const uint16_t *)b];

    return x < y ? 1 : x > y ? -1 : 0;
}

void jit_print_calls(GString *out)
{
    uint16_t order[N_OPS];
    uint64_t n = 0;

    memset(&total, 0, sizeof(total));
    tcg_foreach_cpu(add_cpu, NULL);
    for (unsigned i = 0; i < N_OPS; i++) {
        order[i] = i;
        n += total.handlers[i];
    }
    qsort(order, N_OPS, sizeof(order[0]), by_count);
    g_string_append_printf(out, "calls:      %" PRIu64 " entered, %" PRIu64
                           " lookups, %" PRIu64 " transfers, %" PRIu64
                           " page faults, %" PRIu64 " handlers\n",
                           total.entered, total.lookups, total.transfers,
                           total.faults, n);
    for (unsigned i = 0; i < N_SHOWN && total.handlers[order[i]]; i++) {
        g_string_append_printf(out, "  %-20s %" PRIu64 "\n",
                               insn_op_name(order[i]),
                               total.handlers[order[i]]);
    }
}
