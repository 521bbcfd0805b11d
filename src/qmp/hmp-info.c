/*
 * What `info` shows of the machine; the subjects that need processors are
 * registered by src/cli.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hmp-private.h"

#include "base/trace.h"
#include "config.h"
#include "core/irqchip.h"
#include "core/machine.h"
#include "mem/mem.h"

static void put_string(Hmp *mon, GString *text)
{
    hmp_puts(mon, text->str);
    g_string_free(text, TRUE);
}

static void info_version(Hmp *mon, unsigned argc, char **argv)
{
    hmp_puts(mon, RHEA_QEMU_VERSION " (Rhea " RHEA_VERSION ")\n");
}

static void info_status(Hmp *mon, unsigned argc, char **argv)
{
    Machine *m = machine();
    RunState state = m ? m->state : RUN_STATE_PRELAUNCH;

    hmp_printf(mon, "VM status: %s",
               state == RUN_STATE_RUNNING ? "running" : "paused");
    if (state != RUN_STATE_RUNNING && state != RUN_STATE_PAUSED) {
        hmp_printf(mon, " (%s)", run_state_name(state));
    }
    hmp_puts(mon, "\n");
}

static void info_name(Hmp *mon, unsigned argc, char **argv)
{
    if (machine() && machine()->name) {
        hmp_printf(mon, "%s\n", machine()->name);
    }
}

static void info_chardev(Hmp *mon, unsigned argc, char **argv)
{
    GString *text = g_string_new(NULL);

    chr_print(text);
    put_string(mon, text);
}

static void info_history(Hmp *mon, unsigned argc, char **argv)
{
    const GPtrArray *history = hmp_history(mon);

    for (unsigned i = 0; history && i < history->len; i++) {
        hmp_printf(mon, "%u: '%s'\n", i, (const char *)history->pdata[i]);
    }
}

static void info_mtree(Hmp *mon, unsigned argc, char **argv)
{
    GString *text = g_string_new(NULL);
    bool flat = false;

    for (unsigned i = 1; i < argc; i++) {
        if (strspn(argv[i], "-fdoD") != strlen(argv[i])) {
            hmp_printf(mon, "info mtree: '%s': -f is accepted\n", argv[i]);
            g_string_free(text, TRUE);
            return;
        }
        flat |= strchr(argv[i], 'f') != NULL;
    }
    mem_print(text, flat);
    put_string(mon, text);
}

static void info_qtree(Hmp *mon, unsigned argc, char **argv)
{
    GString *text = g_string_new(NULL);

    device_print_tree(text);
    put_string(mon, text);
}

static void info_pic(Hmp *mon, unsigned argc, char **argv)
{
    GString *text = g_string_new(NULL);

    irqchip_print(text);
    put_string(mon, text);
}

static void info_trace_events(Hmp *mon, unsigned argc, char **argv)
{
    g_autoptr(GPtrArray) events = trace_events();

    for (unsigned i = 0; i < events->len; i++) {
        const TraceEvent *ev = events->pdata[i];

        if (argc == 1 || g_pattern_match_simple(argv[1], ev->name)) {
            hmp_printf(mon, "%s : state %d\n", ev->name,
                       __atomic_load_n(&ev->on, __ATOMIC_RELAXED));
        }
    }
}

static const HmpCommand infos[] = {
    { "version", "", "the version", 0, 0, info_version },
    { "status", "", "is the guest running", 0, 0, info_status },
    { "name", "", "the guest's name (-name)", 0, 0, info_name },
    { "chardev", "", "character devices and their peers", 0, 0,
      info_chardev },
    { "history", "", "the lines typed before", 0, 0, info_history },
    { "mtree", "[-f]", "the memory tree, or the flat view", 0, 4,
      info_mtree },
    { "qtree", "", "the devices", 0, 1, info_qtree },
    { "pic", "", "the interrupt controllers", 0, 0, info_pic },
    { "trace-events", "[name]", "trace events and which are on", 0, 1,
      info_trace_events },
};

void hmp_register_infos(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(infos); i++) {
        hmp_register_info(&infos[i]);
    }
}
