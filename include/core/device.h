/*
 * Objects, devices and buses.
 *
 * A type is one const struct: DEVICE_TYPE(x) puts it on the list of types
 * before main().  Parents are pointers, so order does not matter.
 * Inheritance is embedding, two deep at most; `foo_of(dev)` is the one cast.
 *
 * Life of a device; the function on each edge:
 *
 *   new ------> created ----set*---> created ----realize---> realized
 *   device_new          prop_set             device_realize     |
 *                                                               | reset, run
 *   freed <---- created <------------------ unrealize ----------+
 *   object_unref                            device_unrealize
 *
 * Outputs are never saved: after all devices have loaded, the core calls each
 * type's `update`, which drives outputs from state.
 *
 * Locks: machine lock, for everything here, once the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include "base/bits.h"
#include "core/irq.h"
#include "core/prop.h"
#include "core/state.h"
#include "loop/loop.h"
#include "mem/mem.h"

typedef struct Type Type;
typedef struct Device Device;
typedef struct Bus Bus;
typedef struct BusType BusType;

/* --- objects ------------------------------------------------------------- */

struct Object {
    const Type *type;
    char *id;                   /* NULL when anonymous */
    Object *parent;
    GPtrArray *children;        /* owned references, NULL when none */
    unsigned refs;
};

typedef struct Output {
    const char *name;
    size_t offset;              /* of the first Irq in the device */
    unsigned n;                 /* how many Irqs follow one another */
} Output;
#define OUTPUT(type, field, nm) { (nm), offsetof(type, field), 1 }
#define OUTPUT_ARRAY(type, field, nm) \
    { (nm), offsetof(type, field), G_N_ELEMENTS(((type *)0)->field) }

struct Type {
    const char *name;
    const char *alias;          /* a second accepted name, or NULL */
    const char *doc;            /* one line, for -device help */
    const Type *parent;         /* NULL for object_type alone */
    size_t size;                /* of the whole structure */
    bool abstract;              /* cannot be made */
    bool internal;              /* the board's: refused by -device */

    const Property *props;      /* this type's own; parents' come too */
    void (*init)(Object *);     /* after defaults; parents' first */
    void (*finalize)(Object *); /* children's first */

    /* Devices only. */
    const BusType *bus;         /* the kind of bus it plugs into; inherited */
    const Output *outputs;
    const State *state;         /* this type's own; parents' come too */
    void (*input)(void *dev, int n, int level);
    unsigned n_inputs;
    bool (*realize)(Device *, GError **);
    void (*unrealize)(Device *);
    void (*reset)(Device *);
    void (*update)(Device *);   /* outputs from state, after a load */
    bool hotplug;               /* may come and go while the machine runs */
};
typedef Type DeviceType;

extern const Type object_type, device_type;

#define DEVICE_TYPE(t)                                          \
    __attribute__((constructor)) static void type_add_##t(void) \
    {                                                           \
        type_register(&(t));                                    \
    }
void type_register(const Type *t);
/* By name or alias; NULL when unknown. */
const Type *type_find(const char *name);
bool type_is(const Type *t, const Type *ancestor);
/* Every concrete type below `ancestor`, sorted by name; free the array. */
GPtrArray *type_list(const Type *ancestor);

/* A new object with one reference and default properties. */
Object *object_new(const Type *t);
Object *object_ref(Object *);
void object_unref(Object *);
/* Put `child` under `parent` by `id` (copied; NULL makes "type[n]"); the
 * parent takes over the caller's reference. */
void object_add_child(Object *parent, Object *child, const char *id);
void object_unparent(Object *child);
/* The tree's root, /machine, and the object at "/machine/…" or with an id. */
Object *object_root(void);
Object *object_find(const char *path_or_id);
char *object_path(const Object *);
/* The folder /machine/ID; made when absent. */
Object *object_folder(const char *id);

/* --- devices ------------------------------------------------------------- */

struct Device {
    Object obj;
    Bus *bus;                   /* where it is plugged, or NULL */
    Loop *loop;                 /* its fds, timers and calls; main by default */
    bool realized;
    bool hotplugged;
    GError *global_error;       /* a -global that did not fit: at realize */
    GPtrArray *regions;         /* of Region *: device_add_region() */
    GPtrArray *buses;           /* of Bus *: those it provides */
};

static inline Device *device_of(Object *obj)
{
    return container_of(obj, Device, obj);
}

/* Made, with properties at their defaults, compat and -global values. */
Device *device_new(const DeviceType *t);
/* Plug into `bus` (NULL: none) and realize; parents' realize first.  The
 * device is put under /machine/unattached when it has no parent yet. */
bool device_realize(Device *dev, Bus *bus, GError **err);
void device_unrealize(Device *dev);
/* Reset `dev` and everything on its buses, children first. */
void device_reset(Device *dev);
/* Drive outputs from loaded state. */
void device_update(Device *dev);
/* The state tables of its type and their parents, root first. */
void device_save(Device *dev, GByteArray *out);
bool device_load(Device *dev, const uint8_t **data, size_t *len,
                 GError **err);
/* Take `id`'s object out of the tree for good: unrealize and unref. */
void device_delete(Device *dev);
/* Every realized device below `root` (NULL: all), parents before children. */
void device_foreach(Object *root, void (*fn)(Device *, void *), void *opaque);

/*
 * What -device and device_add do: a device of `dict`'s "driver", named "id",
 * with the other keys as properties, plugged into the bus "bus" (else the
 * first that fits) and realized, under /machine/peripheral.
 */
Device *device_add(Opt *dict, GError **err);
/* The kind of bus a device of type `t` plugs into, or NULL. */
const BusType *device_type_bus(const DeviceType *t);

/* Input `n` (0 to n_inputs - 1) of `dev`, for a board to connect. */
Irq device_in(Device *dev, int n);
/* Connect output `name`[n] of `dev`. */
void device_connect(Device *dev, const char *name, unsigned n, Irq to);

/* In realize: a region that the board will map; board: the i-th of them. */
void device_add_region(Device *dev, Region *r);
Region *device_region(Device *dev, unsigned i);

/* --- buses --------------------------------------------------------------- */

struct BusType {
    const char *name;           /* "ISA", "PCI": as `-device X,help` shows */
    unsigned max_devices;       /* on one bus; 0: whatever its addresses allow */
    /* Lines of `info qtree` about a device on it; may be NULL. */
    void (*print)(Bus *, Device *, GString *);
    /* The device's path component for firmware ("pci@i0cf8"); may be NULL. */
    char *(*fw_path)(Bus *, Device *);
};

struct Bus {
    const BusType *type;
    char *name;                 /* "pci.0", "isa.0" */
    Device *owner;
    GPtrArray *devices;         /* of Device *, in order of plugging */
};

/* Embedded in its owner, which calls this in realize. */
void bus_init(Bus *bus, const BusType *type, Device *owner, const char *name);
void bus_destroy(Bus *bus);
/* By name, or the first of the type when `name` is NULL: the first with room
 * if there is one. */
Bus *bus_find(const BusType *type, const char *name);

/* `info qtree` */
void device_print_tree(GString *out);

#endif
