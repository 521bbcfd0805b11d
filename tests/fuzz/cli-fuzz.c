/*
 * The command line: each line of the input is an argument; what follows a
 * lone "%%" is a config file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "fuzz.h"

/* Options that print, or read a file that only this host has. */
static bool leave_out(const char *arg)
{
    static const char *const names[] = {
        "help", "h", "version", "readconfig", NULL
    };

    return g_strv_contains(names, arg + strspn(arg, "-"));
}

static void use(Options *o)
{
    CpuTopology topo;
    g_autoptr(GString) text = g_string_new(NULL);

    if (smp_resolve(options_dict(o, "machine.smp"), false, &topo, NULL)
        && (topo.cpus > topo.maxcpus || !topo.cpus
            || (uint64_t)topo.sockets * topo.dies * topo.cores * topo.threads
               != topo.maxcpus)) {
        abort();
    }
    options_flag(o, "nographic");
    opt_to_json(o->tree, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size);
    char *config = strstr(text, "\n%%\n");
    g_autoptr(Options) o = options_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_auto(GStrv) lines = NULL;

    if (config) {
        *config = 0;
        config += strlen("\n%%\n");
    }
    lines = g_strsplit(text, "\n", 64);
    g_ptr_array_add(args, (char *)"rhea");
    for (unsigned i = 0; lines[i]; i++) {
        if (!leave_out(lines[i])) {
            g_ptr_array_add(args, lines[i]);
        }
    }
    g_ptr_array_add(args, NULL);
    if (options_parse(o, args->len - 1, (char **)args->pdata, &err)
        && (!config || readconfig_text(o, "f", config, &err))) {
        use(o);
    } else if (!err) {
        abort();
    }
    return 0;
}
