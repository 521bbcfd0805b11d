/*
 * Devices and buses: the edges of a device's life.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/device.h"

#include "base/log.h"

static void device_finalize(Object *obj)
{
    g_clear_error(&device_of(obj)->global_error);
}

const Type device_type = {
    .name = "device", .doc = "any device", .parent = &object_type,
    .size = sizeof(Device), .abstract = true, .finalize = device_finalize,
};

/* --- life ------------------------------------------------------------------------ */

Device *device_new(const DeviceType *t)
{
    Device *dev = device_of(object_new(t));

    dev->loop = loop_main();
    prop_apply_globals(&dev->obj, &dev->global_error);
    return dev;
}

Object *object_folder(const char *id)
{
    Object *root = object_root();

    for (unsigned i = 0; root->children && i < root->children->len; i++) {
        Object *child = g_ptr_array_index(root->children, i);

        if (!strcmp(child->id, id)) {
            return child;
        }
    }
    Object *made = object_new(type_find("container"));

    object_add_child(root, made, id);
    return made;
}

/* Run `realize` from the root type down; undo what was done on failure. */
static bool realize_from_root(Device *dev, const Type *t, GError **err)
{
    if (t->parent && !realize_from_root(dev, t->parent, err)) {
        return false;
    }
    if (t->realize && !t->realize(dev, err)) {
        for (const Type *up = t->parent; up; up = up->parent) {
            if (up->unrealize) {
                up->unrealize(dev);
            }
        }
        return false;
    }
    return true;
}

static void leave_bus(Device *dev)
{
    if (dev->bus) {
        g_ptr_array_remove(dev->bus->devices, dev);
        dev->bus = NULL;
    }
}

bool device_realize(Device *dev, Bus *bus, GError **err)
{
    bool parented = dev->obj.parent != NULL;

    g_assert(!dev->realized);
    if (dev->global_error) {
        g_propagate_error(err, g_steal_pointer(&dev->global_error));
        return false;
    }
    if (!parented) {
        object_add_child(object_folder("unattached"), object_ref(&dev->obj), NULL);
        dev->obj.refs--;
    }
    dev->bus = bus;
    if (bus) {
        g_ptr_array_add(bus->devices, dev);
    }
    if (!realize_from_root(dev, dev->obj.type, err)) {
        leave_bus(dev);
        if (!parented) {
            object_ref(&dev->obj);
            object_unparent(&dev->obj);
        }
        return false;
    }
    dev->realized = true;
    return true;
}

void device_unrealize(Device *dev)
{
    if (!dev->realized) {
        return;
    }
    for (unsigned i = 0; dev->buses && i < dev->buses->len; i++) {
        Bus *bus = g_ptr_array_index(dev->buses, i);

        while (bus->devices->len) {
            device_delete(g_ptr_array_index(bus->devices,
                                            bus->devices->len - 1));
        }
    }
    dev->realized = false;
    for (const Type *t = dev->obj.type; t; t = t->parent) {
        if (t->unrealize) {
            t->unrealize(dev);
        }
    }
    leave_bus(dev);
    g_clear_pointer(&dev->regions, g_ptr_array_unref);
    g_clear_pointer(&dev->buses, g_ptr_array_unref);
}

void device_delete(Device *dev)
{
    device_unrealize(dev);
    object_unparent(&dev->obj);
}

static void reset_from_root(Device *dev, const Type *t)
{
    if (t->parent) {
        reset_from_root(dev, t->parent);
    }
    if (t->reset) {
        t->reset(dev);
    }
}

void device_reset(Device *dev)
{
    for (unsigned i = 0; dev->buses && i < dev->buses->len; i++) {
        Bus *bus = g_ptr_array_index(dev->buses, i);

        for (unsigned j = 0; j < bus->devices->len; j++) {
            device_reset(g_ptr_array_index(bus->devices, j));
        }
    }
    reset_from_root(dev, dev->obj.type);
}

void device_update(Device *dev)
{
    for (const Type *t = dev->obj.type; t; t = t->parent) {
        if (t->update) {
            t->update(dev);
        }
    }
}

static void save_from_root(Device *dev, const Type *t, GByteArray *out)
{
    if (t->parent) {
        save_from_root(dev, t->parent, out);
    }
    if (t->state) {
        state_save(t->state, dev, out);
    }
}

void device_save(Device *dev, GByteArray *out)
{
    save_from_root(dev, dev->obj.type, out);
}

static bool load_from_root(Device *dev, const Type *t, const uint8_t **data,
                           size_t *len, GError **err)
{
    return (!t->parent || load_from_root(dev, t->parent, data, len, err))
           && (!t->state || state_load(t->state, dev, data, len, err));
}

bool device_load(Device *dev, const uint8_t **data, size_t *len, GError **err)
{
    return load_from_root(dev, dev->obj.type, data, len, err);
}

void device_foreach(Object *root, void (*fn)(Device *, void *), void *opaque)
{
    root = root ? root : object_root();
    if (type_is(root->type, &device_type) && device_of(root)->realized) {
        fn(device_of(root), opaque);
    }
    for (unsigned i = 0; root->children && i < root->children->len; i++) {
        device_foreach(g_ptr_array_index(root->children, i), fn, opaque);
    }
}

/* --- lines and regions ------------------------------------------------------------ */

Irq device_in(Device *dev, int n)
{
    const Type *t = dev->obj.type;

    while (t && !t->input) {
        t = t->parent;
    }
    g_assert(t && n >= 0 && (unsigned)n < t->n_inputs);
    return (Irq) { .set = t->input, .opaque = dev, .n = n };
}

void device_connect(Device *dev, const char *name, unsigned n, Irq to)
{
    for (const Type *t = dev->obj.type; t; t = t->parent) {
        for (const Output *out = t->outputs; out && out->name; out++) {
            if (!strcmp(out->name, name)) {
                g_assert(n < out->n);
                ((Irq *)((char *)dev + out->offset))[n] = to;
                return;
            }
        }
    }
    g_error("device '%s' has no output '%s'", dev->obj.type->name, name);
}

void device_add_region(Device *dev, Region *r)
{
    if (!dev->regions) {
        dev->regions = g_ptr_array_new();
    }
    g_ptr_array_add(dev->regions, r);
}

Region *device_region(Device *dev, unsigned i)
{
    g_assert(dev->regions && i < dev->regions->len);
    return g_ptr_array_index(dev->regions, i);
}

/* --- buses --------------------------------------------------------------------------- */

static GPtrArray *all_buses;

void bus_init(Bus *bus, const BusType *type, Device *owner, const char *name)
{
    *bus = (Bus) {
        .type = type, .owner = owner, .name = g_strdup(name),
        .devices = g_ptr_array_new(),
    };
    if (owner) {
        if (!owner->buses) {
            owner->buses = g_ptr_array_new();
        }
        g_ptr_array_add(owner->buses, bus);
    }
    if (!all_buses) {
        all_buses = g_ptr_array_new();
    }
    g_ptr_array_add(all_buses, bus);
}

void bus_destroy(Bus *bus)
{
    if (bus->owner && bus->owner->buses) {
        g_ptr_array_remove(bus->owner->buses, bus);
    }
    g_ptr_array_remove(all_buses, bus);
    g_ptr_array_unref(bus->devices);
    g_free(bus->name);
    *bus = (Bus) {};
}

static bool is_full(const Bus *bus)
{
    return bus->type->max_devices
           && bus->devices->len >= bus->type->max_devices;
}

Bus *bus_find(const BusType *type, const char *name)
{
    Bus *full = NULL;

    for (unsigned i = 0; all_buses && i < all_buses->len; i++) {
        Bus *bus = g_ptr_array_index(all_buses, i);

        if ((!type || bus->type == type)
            && (!name || !strcmp(bus->name, name))) {
            if (name || !is_full(bus)) {
                return bus;
            }
            full = full ? full : bus;
        }
    }
    return full;
}

/* --- info qtree -------------------------------------------------------------------- */

typedef struct {
    Device *dev;
    GString *out;
    int indent;
} PrintCtx;

static void print_prop(const Property *p, void *opaque)
{
    PrintCtx *ctx = opaque;
    g_autofree char *val = prop_get(&ctx->dev->obj, p->name);

    g_string_append_printf(ctx->out, "%*s%s = %s\n", ctx->indent, "", p->name,
                           val ? val : "");
}

/* What its bus has to say, each line indented. */
static void print_place(Device *dev, int indent, GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;

    if (!dev->bus || !dev->bus->type->print) {
        return;
    }
    dev->bus->type->print(dev->bus, dev, text);
    lines = g_strsplit(text->str, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        if (*lines[i]) {
            g_string_append_printf(out, "%*s%s\n", indent, "", lines[i]);
        }
    }
}

static void print_device(Device *dev, int indent, GString *out)
{
    PrintCtx ctx = { dev, out, indent + 2 };
    const char *id = dev->obj.id && !strchr(dev->obj.id, '[') ? dev->obj.id
                                                             : "";

    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "",
                           dev->obj.type->name, id);
    prop_foreach(dev->obj.type, print_prop, &ctx);
    print_place(dev, indent + 2, out);
    for (unsigned i = 0; dev->buses && i < dev->buses->len; i++) {
        Bus *bus = g_ptr_array_index(dev->buses, i);

        g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", indent + 2, "",
                               bus->name, indent + 4, "", bus->type->name);
        for (unsigned j = 0; j < bus->devices->len; j++) {
            print_device(g_ptr_array_index(bus->devices, j), indent + 4, out);
        }
    }
}

static void print_if_top(Device *dev, void *out)
{
    if (!dev->bus) {
        print_device(dev, 2, out);
    }
}

void device_print_tree(GString *out)
{
    g_string_append(out, "bus: main-system-bus\n  type System\n");
    device_foreach(NULL, print_if_top, out);
}
