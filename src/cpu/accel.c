/*
 * Accelerators: the list, and the choice.
 *
 * Locks: before the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include "base/log.h"
#include "base/opts.h"

#define DEFAULT_ORDER "kvm:tcg"

static GPtrArray *accels;
static const AccelOps *chosen;

void accel_register(const AccelOps *ops)
{
    if (!accels) {
        accels = g_ptr_array_new();
    }
    g_ptr_array_add(accels, (gpointer)ops);
}

const AccelOps *accel_find(const char *name)
{
    for (unsigned i = 0; accels && i < accels->len; i++) {
        const AccelOps *ops = g_ptr_array_index(accels, i);

        if (!strcmp(ops->name, name)) {
            return ops;
        }
    }
    return NULL;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const AccelOps *const *)a)->name,
                  (*(const AccelOps *const *)b)->name);
}

GPtrArray *accel_list(void)
{
    GPtrArray *list = g_ptr_array_new();

    for (unsigned i = 0; accels && i < accels->len; i++) {
        g_ptr_array_add(list, g_ptr_array_index(accels, i));
    }
    g_ptr_array_sort(list, by_name);
    return list;
}

const AccelOps *accel(void)
{
    return chosen;
}

/* QEMU's other accelerators: not here, but no reason to fail when they are
 * one choice of several. */
static bool is_elsewhere(const char *name)
{
    static const char *const names[] = {
        "kvm", "qtest", "xen", "hax", "hvf", "nvmm", "whpx", "mshv", NULL
    };

    return g_strv_contains(names, name);
}

static bool unknown_accel(const char *name, GError **err)
{
    g_autoptr(GPtrArray) list = accel_list();
    g_autoptr(GString) all = g_string_new(NULL);

    for (unsigned i = 0; i < list->len; i++) {
        const AccelOps *ops = g_ptr_array_index(list, i);

        g_string_append_printf(all, "%s%s", i ? ", " : "", ops->name);
    }
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "invalid accelerator '%s': one of %s is wanted", name,
                all->str);
    return false;
}

static bool try_accel(Machine *m, const char *name, Opt *options,
                      GError **err)
{
    const AccelOps *ops = accel_find(name);
    Opt *own = options ? opt_get(options, name) : NULL;

    if (!ops) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "accelerator '%s' is "
                    "not implemented yet", name);
        return false;
    }
    chosen = ops;
    if ((ops->available && !ops->available(err))
        || (ops->init && !ops->init(m, own, err))) {
        chosen = NULL;
        return false;
    }
    return true;
}

bool accel_select(Machine *m, const char *names, Opt *options, GError **err)
{
    bool by_default = !names;
    g_auto(GStrv) list = g_strsplit(names ? names : DEFAULT_ORDER, ":", -1);
    g_autoptr(GError) why = NULL;

    for (unsigned i = 0; list[i]; i++) {
        const AccelOps *ops = accel_find(list[i]);
        g_autoptr(GError) one = NULL;

        if (!ops && by_default) {
            continue;           /* not built in */
        }
        if (!ops && !is_elsewhere(list[i])) {
            return unknown_accel(list[i], err);
        }
        if (!list[i + 1] && !why) {
            return try_accel(m, list[i], options, err);
        }
        if (list[i + 1] && ops && ops->preferable
            && !ops->preferable(&one)) {
            g_clear_error(&why);
            why = g_steal_pointer(&one);
            continue;
        }
        if (try_accel(m, list[i], options, &one)) {
            if (why) {
                info("accel=%s: %s", list[i], why->message);
            }
            return true;
        }
        g_clear_error(&why);
        why = g_steal_pointer(&one);
    }
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}
