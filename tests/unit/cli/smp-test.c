/*
 * -smp: what is left out, what is refused.  Expected values were taken from
 * QEMU's own answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

typedef struct {
    const char *smp;
    bool old;
    /* cpus, maxcpus, sockets, dies, cores, threads; or the message. */
    unsigned n[6];
    const char *error;
} Case;

static void test_smp(void)
{
    static const Case cases[] = {
        { "", false, { 1, 1, 1, 1, 1, 1 } },
        { "1", false, { 1, 1, 1, 1, 1, 1 } },
        { "4", false, { 4, 4, 1, 1, 4, 1 } },
        { "4", true, { 4, 4, 4, 1, 1, 1 } },
        { "cpus=4", false, { 4, 4, 1, 1, 4, 1 } },
        { "4,sockets=2", false, { 4, 4, 2, 1, 2, 1 } },
        { "4,sockets=2", true, { 4, 4, 2, 1, 2, 1 } },
        { "4,cores=2", false, { 4, 4, 2, 1, 2, 1 } },
        { "4,threads=2", false, { 4, 4, 1, 1, 2, 2 } },
        { "4,threads=2", true, { 4, 4, 2, 1, 1, 2 } },
        { "4,sockets=1,cores=2", false, { 4, 4, 1, 1, 2, 2 } },
        { "8,sockets=1,cores=4,threads=2", false, { 8, 8, 1, 1, 4, 2 } },
        { "sockets=2,cores=2,threads=2", false, { 8, 8, 2, 1, 2, 2 } },
        { "2,maxcpus=4", false, { 2, 4, 1, 1, 4, 1 } },
        { "maxcpus=4", false, { 4, 4, 1, 1, 4, 1 } },
        { "8,dies=2", false, { 8, 8, 1, 2, 4, 1 } },
        { "8,dies=2,cores=2,threads=2,sockets=1", false,
          { 8, 8, 1, 2, 2, 2 } },
        { "4,clusters=1,modules=1,books=1,drawers=1", false,
          { 4, 4, 1, 1, 4, 1 } },
        { "0x10", false, { 16, 16, 1, 1, 16, 1 } },
        { "4,cores=3", false, { 0 }, "Invalid CPU topology: product of the "
          "hierarchy must match maxcpus: sockets (1) * dies (1) * cores (3) "
          "* threads (1) != maxcpus (4)" },
        { "4,maxcpus=2", false, { 0 }, "Invalid CPU topology: maxcpus must be "
          "equal to or greater than smp: sockets (1) * dies (1) * cores (2) * "
          "threads (1) == maxcpus (2) < smp_cpus (4)" },
        { "4,sockets=1,cores=2,threads=1", false, { 0 }, "Invalid CPU "
          "topology: product of the hierarchy must match maxcpus: sockets (1) "
          "* dies (1) * cores (2) * threads (1) != maxcpus (4)" },
        { "0", false, { 0 }, "Invalid CPU topology: CPU topology parameters "
          "must be greater than zero: 'cpus'" },
        { "4,threads=0", false, { 0 }, "Invalid CPU topology: CPU topology "
          "parameters must be greater than zero: 'threads'" },
        { "4,clusters=2", false, { 0 }, "clusters > 1 not supported by this "
          "machine's CPU topology" },
        { "foo", false, { 0 }, "parameter 'cpus' expects a number from 0 to "
          "65536, not 'foo'" },
        { "-1", false, { 0 }, "parameter 'cpus' expects a number from 0 to "
          "65536, not '-1'" },
        { "4,core=2", false, { 0 }, "-smp: unknown parameter 'core'; did you "
          "mean 'cores'?" },
        { "65536,sockets=65536,cores=65536,threads=65536,dies=65536", false,
          { 0 }, "Invalid CPU topology: product of the hierarchy must match "
          "maxcpus: sockets (65536) * dies (65536) * cores (65536) * threads "
          "(65536) != maxcpus (65536)" },
        { "sockets=65536,cores=65536", false, { 0 }, "Invalid CPU topology: "
          "sockets (65536) * dies (1) * cores (65536) * threads (1) is too "
          "many" },
        { "4,sockets=8", false, { 0 }, "Invalid CPU topology: product of the "
          "hierarchy must match maxcpus: sockets (8) * dies (1) * cores (0) * "
          "threads (1) != maxcpus (4)" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        g_autoptr(GError) err = NULL;
        g_autoptr(Opt) smp = opt_parse_keyval(c->smp, "cpus", NULL, NULL);
        CpuTopology t = { 0 };

        g_test_message("%s", c->smp);
        g_assert_cmpint(smp_resolve(smp, c->old, &t, &err), ==, !c->error);
        g_assert_cmpstr(err ? err->message : NULL, ==, c->error);
        g_assert_cmpuint(t.cpus, ==, c->n[0]);
        g_assert_cmpuint(t.maxcpus, ==, c->n[1]);
        g_assert_cmpuint(t.sockets, ==, c->n[2]);
        g_assert_cmpuint(t.dies, ==, c->n[3]);
        g_assert_cmpuint(t.cores, ==, c->n[4]);
        g_assert_cmpuint(t.threads, ==, c->n[5]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/smp/rules", test_smp);
    return g_test_run();
}
