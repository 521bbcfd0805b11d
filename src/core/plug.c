/*
 * A device from an option dict: what -device and device_add have in common.
 *
 * Locks: machine lock, once the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "core/device.h"

const BusType *device_type_bus(const DeviceType *t)
{
    while (t && !t->bus) {
        t = t->parent;
    }
    return t ? t->bus : NULL;
}

/* --- which type ---------------------------------------------------------- */

static bool may_add(const Type *t)
{
    return !t->abstract && !t->internal && type_is(t, &device_type);
}

static bool unknown_type(const char *name, GError **err)
{
    g_autoptr(GPtrArray) types = type_list(&device_type);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    for (unsigned i = 0; i < types->len; i++) {
        const Type *t = types->pdata[i];

        if (may_add(t)) {
            g_ptr_array_add(names, (gpointer)t->name);
            if (t->alias) {
                g_ptr_array_add(names, (gpointer)t->alias);
            }
        }
    }
    g_ptr_array_add(names, NULL);
    near = nearest_name(name, (const char *const *)names->pdata);
    return opt_fail(err, "'%s' is not a valid device model name%s%s%s", name,
                    near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
}

static const Type *find_type(Opt *dict, GError **err)
{
    const char *name = NULL;
    const Type *t;

    if (!opt_get_string(dict, "driver", &name, err)) {
        return NULL;
    }
    if (!name) {
        opt_fail(err, "parameter 'driver' is missing");
        return NULL;
    }
    t = type_find(name);
    if (!t || !type_is(t, &device_type)) {
        unknown_type(name, err);
        return NULL;
    }
    if (!may_add(t)) {
        opt_fail(err, "'%s' is part of the machine: it cannot be added", name);
        return NULL;
    }
    return t;
}

/* --- where --------------------------------------------------------------- */

static bool find_bus(const Type *t, Opt *dict, Bus **bus, GError **err)
{
    const BusType *wanted = device_type_bus(t);
    const char *name = NULL;

    *bus = NULL;
    if (!opt_get_string(dict, "bus", &name, err)) {
        return false;
    }
    if (!wanted) {
        return !name || opt_fail(err, "device '%s' plugs into no bus", t->name);
    }
    if (name) {
        *bus = bus_find(NULL, name);
        if (!*bus) {
            return opt_fail(err, "bus '%s' not found", name);
        }
        if ((*bus)->type != wanted) {
            return opt_fail(err,
                            "device '%s' cannot go on %s bus '%s'; it plugs "
                            "into a %s bus", t->name, (*bus)->type->name, name,
                            wanted->name);
        }
        return true;
    }
    *bus = bus_find(wanted, NULL);
    return *bus || opt_fail(err, "no '%s' bus found for device '%s'",
                            wanted->name, t->name);
}

/* An id names one object and is good in a path. */
static bool check_id(const char *id, GError **err)
{
    if (!g_ascii_isalpha(*id)
        || id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789-._")]) {
        return opt_fail(err, "parameter 'id' expects an identifier (letters, "
                    "digits, '-', '.', '_', starting with a letter), not '%s'",
                        id);
    }
    if (object_find(id)) {
        return opt_fail(err, "duplicate device ID '%s'", id);
    }
    return true;
}

Device *device_add(Opt *dict, GError **err)
{
    const Type *t = find_type(dict, err);
    const char *id = NULL;
    Device *dev;
    Bus *bus;

    if (!t || !opt_get_string(dict, "id", &id, err)
        || (id && !check_id(id, err)) || !find_bus(t, dict, &bus, err)) {
        return NULL;
    }
    dev = device_new(t);
    if (!prop_set_all(&dev->obj, dict, NULL, err)) {
        object_unref(&dev->obj);
        return NULL;
    }
    object_add_child(object_folder(id ? "peripheral" : "peripheral-anon"),
                     &dev->obj, id);
    if (!device_realize(dev, bus, err)) {
        object_unparent(&dev->obj);
        return NULL;
    }
    return dev;
}
