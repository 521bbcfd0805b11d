/*
 * "help" and "?" as values: lists of machines, devices, properties, …
 *
 * The answers go to stdout in QEMU's layout, because launchers parse them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "block/driver.h"
#include "base/trace.h"
#include "chardev/chardev.h"
#include "core/user-object.h"
#include "cpu/cpu.h"

/* --- properties ---------------------------------------------------------- */

static void add_prop(const Property *p, void *list)
{
    g_ptr_array_add(list, (gpointer)p);
}

static int by_prop_name(const void *a, const void *b)
{
    return strcmp((*(const Property *const *)a)->name,
                  (*(const Property *const *)b)->name);
}

/* "  name=<kind>          - doc (default: x)" */
static void print_prop(const Property *p)
{
    g_autofree char *text = prop_describe(p);
    char *dash = strstr(text, " - ");
    g_autofree char *left = NULL;

    if (dash) {
        *dash = 0;
    }
    left = g_strdup_printf("%s=%s", p->name, text);
    if (dash) {
        printf("  %-22s - %s\n", left, dash + 3);
    } else {
        printf("  %s\n", left);
    }
}

static void print_props(const char *name, GPtrArray *props)
{
    if (!props->len) {
        printf("There are no options for %s.\n", name);
        return;
    }
    g_ptr_array_sort(props, by_prop_name);
    printf("%s options:\n", name);
    for (unsigned i = 0; i < props->len; i++) {
        print_prop(props->pdata[i]);
    }
}

static void print_type_props(const Type *t)
{
    g_autoptr(GPtrArray) props = g_ptr_array_new();

    prop_foreach(t, add_prop, props);
    print_props(t->name, props);
}

/* --- one answer an option ------------------------------------------------ */

static const char *dict_string(Opt *dict, const char *key)
{
    Opt *val = dict ? opt_peek(dict, key) : NULL;

    return val ? opt_string(val) : NULL;
}

/* "pc-i440fx-10.0" before "pc-i440fx-9.2": families by name, the newest of
 * each first. */
static int by_family(const void *a, const void *b)
{
    const char *na = (*(const MachineType *const *)a)->name;
    const char *nb = (*(const MachineType *const *)b)->name;
    const char *va = strrchr(na, '-'), *vb = strrchr(nb, '-');

    if (!va || !vb || va - na != vb - nb || strncmp(na, nb, va - na) != 0) {
        return strcmp(na, nb);
    }
    return strverscmp(nb, na);
}

static bool list_machines(Opt *dict)
{
    const char *name = dict_string(dict, "type");
    g_autoptr(GPtrArray) list = machine_type_list();

    if (name) {
        const MachineType *t = machine_type_find(name);
        g_autoptr(GPtrArray) props = g_ptr_array_new();
        g_autofree char *title = NULL;

        if (!t) {
            report_error("unsupported machine type '%s'; -machine help lists "
                         "them", name);
            return false;
        }
        title = g_strdup_printf("%s-machine", t->name);
        for (const Property *p = t->props; p && p->name; p++) {
            g_ptr_array_add(props, (gpointer)p);
        }
        for (const Property *p = machine_common_props; p->name; p++) {
            g_ptr_array_add(props, (gpointer)p);
        }
        print_props(title, props);
        return true;
    }
    g_ptr_array_sort(list, by_family);
    printf("Supported machines are:\n");
    for (unsigned i = 0; i < list->len; i++) {
        const MachineType *t = list->pdata[i];

        if (t->alias) {
            printf("%-20s %s (alias of %s)\n", t->alias, t->doc, t->name);
        }
        printf("%-20s %s%s%s\n", t->name, t->doc,
               t->alias && strcmp(t->alias, "pc") == 0 ? " (default)" : "",
               t->deprecated ? " (deprecated)" : "");
    }
    return true;
}

static bool list_accels(Opt *dict)
{
    const char *name = dict_string(dict, "accel");
    g_autoptr(GPtrArray) list = accel_list();

    if (name) {
        const AccelOps *ops = accel_find(name);
        g_autoptr(GPtrArray) props = g_ptr_array_new();

        if (!ops) {
            report_error("invalid accelerator '%s'; -accel help lists them",
                         name);
            return false;
        }
        for (const Property *p = ops->props; p && p->name; p++) {
            g_ptr_array_add(props, (gpointer)p);
        }
        print_props(name, props);
        return true;
    }
    printf("Accelerators supported in QEMU binary:\n");
    for (unsigned i = 0; i < list->len; i++) {
        printf("%s\n", ((const AccelOps *)list->pdata[i])->name);
    }
    return true;
}

static bool list_cpus(Opt *dict)
{
    cpu_model_list();
    return true;
}

static void list_types(const Type *below)
{
    g_autoptr(GPtrArray) list = type_list(below);

    for (unsigned i = 0; i < list->len; i++) {
        const Type *t = list->pdata[i];
        const BusType *bus = device_type_bus(t);

        if (t->internal || type_is(t, &x86_cpu_type)) {
            continue;
        }
        printf("name \"%s\"", t->name);
        if (bus) {
            printf(", bus %s", bus->name);
        }
        if (t->alias) {
            printf(", alias \"%s\"", t->alias);
        }
        if (t->doc) {
            printf(", desc \"%s\"", t->doc);
        }
        putchar('\n');
    }
}

static bool list_devices(Opt *dict)
{
    const char *name = dict_string(dict, "driver");
    const Type *t;

    if (!name) {
        list_types(&device_type);
        return true;
    }
    t = type_find(name);
    if (!t || t->abstract || !type_is(t, &device_type)) {
        report_error("Device '%s' not found", name);
        return false;
    }
    print_type_props(t);
    return true;
}

static bool list_chardevs(Opt *dict)
{
    const char *const *names = chr_backend_names();

    printf("Available chardev backend types: \n");
    for (unsigned i = 0; names[i]; i++) {
        printf("  %s\n", names[i]);
    }
    return true;
}

static bool list_objects(Opt *dict)
{
    g_autoptr(GPtrArray) types = type_list(&user_object_type);
    const char *name = dict_string(dict, "qom-type");
    const Type *t = name ? type_find(name) : NULL;

    if (name && (!t || !type_is(t, &user_object_type))) {
        report_error("there is no object type '%s'", name);
        return false;
    }
    if (t) {
        print_type_props(t);
        return true;
    }
    printf("List of user creatable objects:\n");
    for (unsigned i = 0; i < types->len; i++) {
        printf("  %s\n", ((const Type *)types->pdata[i])->name);
    }
    return true;
}

static bool list_log_items(Opt *dict)
{
    bool helped;

    return log_set_items("help", &helped, NULL);
}

static bool list_traces(Opt *dict)
{
    trace_list();
    return true;
}

static bool list_displays(Opt *dict)
{
    printf("Available display backend types:\nnone\n");
    return true;
}

static bool list_vgas(Opt *dict)
{
    printf("%-20s %s\n", "none", "no graphic card");
    printf("%-20s %s\n", "std", "standard VGA (default)");
    return true;
}

static bool list_netdevs(Opt *dict)
{
    printf("Available netdev backend types:\n");
    return true;
}

static bool list_blockdevs(Opt *dict)
{
    printf("Block drivers:\n");
    for (unsigned i = 0; block_drivers[i]; i++) {
        printf("  %-14s %s\n", block_drivers[i]->name,
               block_drivers[i]->doc);
    }
    return true;
}

static bool list_boot(Opt *dict)
{
    printf("boot options:\n  menu=<bool>\n  once=<str>\n  order=<str>\n");
    return true;
}

static const struct {
    const char *option;
    bool (*list)(Opt *dict);
} answers[] = {
    { "machine", list_machines }, { "accel", list_accels },
    { "cpu", list_cpus }, { "device", list_devices },
    { "chardev", list_chardevs }, { "object", list_objects },
    { "d", list_log_items }, { "trace", list_traces },
    { "display", list_displays }, { "vga", list_vgas },
    { "netdev", list_netdevs }, { "net", list_netdevs },
    { "nic", list_netdevs }, { "boot", list_boot },
    { "blockdev", list_blockdevs }, { "drive", list_blockdevs },
};

bool probe_answer(Options *o, int *status)
{
    const Probe *probe;

    if (!o->probes->len) {
        return false;
    }
    probe = &g_array_index(o->probes, Probe, 0);
    *status = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++) {
        if (strcmp(answers[i].option, probe->row->name) == 0) {
            *status = !answers[i].list(probe->dict);
            return true;
        }
    }
    if (probe->row->kind == OPTION_NOT_YET) {
        report_error("-%s: not implemented yet", probe->row->name);
    } else {
        report_error("-%s: there is no list of its values; see -help",
                     probe->row->name);
    }
    return true;
}
