/*
 * Properties: one table serves -device, -global, `-device X,help`, the control
 * protocol and the manual.
 *
 *     static const Property uart_props[] = {
 *         PROP_U32(Uart, clock_hz, "baudbase", 1843200, "input clock in Hz"),
 *         {}
 *     };
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_PROP_H
#define CORE_PROP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Object Object;
typedef struct Type Type;
typedef struct Chardev Chardev;
typedef struct BlockBackend BlockBackend;
typedef struct Opt Opt;

typedef enum {
    PROP_KIND_BOOL, PROP_KIND_U8, PROP_KIND_U16, PROP_KIND_U32, PROP_KIND_U64,
    PROP_KIND_I32, PROP_KIND_I64, PROP_KIND_SIZE, PROP_KIND_STRING,
    PROP_KIND_ENUM,             /* int field; `names` */
    PROP_KIND_MAC,              /* uint8_t[6] */
    PROP_KIND_PCI_ADDR,         /* int32_t devfn, -1: any; "5", "5.1", "0x5" */
    PROP_KIND_CHARDEV,          /* Chardev *, by id */
    PROP_KIND_DRIVE,            /* BlockBackend *, by id; owned */
    PROP_KIND_LINK,             /* Object *, by id; of type `link` */
    PROP_KIND_CUSTOM,           /* `get` and `set` */
} PropKind;

typedef struct Property {
    const char *name;           /* NULL ends a table */
    const char *doc;
    PropKind kind;
    size_t offset;
    union {
        uint64_t u;
        int64_t i;
        const char *s;
    } def;
    uint64_t max;               /* u8..size: largest value, 0 means no limit */
    const char *const *names;   /* enum */
    const Type *const *link;    /* link: address of the type wanted */
    bool (*set)(Object *, const char *val, GError **);  /* custom */
    char *(*get)(Object *);
    bool runtime;               /* may be set after realize */
} Property;

/* The compiler checks that the field has the kind's type. */
#define PROP_CHECK(type, field, ctype) \
    (offsetof(type, field) + 0 * sizeof(&((type *)0)->field == (ctype *)0))

#define PROP_BOOL(t, f, n, d, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_BOOL, .offset = PROP_CHECK(t, f, bool), .def.u = (d) }
#define PROP_UINT_(t, f, n, d, docstr, k, c) { .name = (n), .doc = (docstr), \
    .kind = (k), .offset = PROP_CHECK(t, f, c), .def.u = (d) }
#define PROP_U8(t, f, n, d, docstr) \
    PROP_UINT_(t, f, n, d, docstr, PROP_KIND_U8, uint8_t)
#define PROP_U16(t, f, n, d, docstr) \
    PROP_UINT_(t, f, n, d, docstr, PROP_KIND_U16, uint16_t)
#define PROP_U32(t, f, n, d, docstr) \
    PROP_UINT_(t, f, n, d, docstr, PROP_KIND_U32, uint32_t)
#define PROP_U64(t, f, n, d, docstr) \
    PROP_UINT_(t, f, n, d, docstr, PROP_KIND_U64, uint64_t)
#define PROP_SIZE(t, f, n, d, docstr) \
    PROP_UINT_(t, f, n, d, docstr, PROP_KIND_SIZE, uint64_t)
#define PROP_I32(t, f, n, d, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_I32, .offset = PROP_CHECK(t, f, int32_t), .def.i = (d) }
#define PROP_I64(t, f, n, d, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_I64, .offset = PROP_CHECK(t, f, int64_t), .def.i = (d) }
#define PROP_STRING(t, f, n, d, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_STRING, .offset = PROP_CHECK(t, f, char *), .def.s = (d) }
#define PROP_ENUM(t, f, n, d, nms, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_ENUM, .offset = PROP_CHECK(t, f, int), .def.i = (d), \
    .names = (nms) }
#define PROP_PCI_ADDR(t, f, n, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_PCI_ADDR, .offset = PROP_CHECK(t, f, int32_t), \
    .def.i = -1 }
#define PROP_CHARDEV(t, f, n, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_CHARDEV, .offset = PROP_CHECK(t, f, Chardev *) }
#define PROP_DRIVE(t, f, n, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_DRIVE, .offset = PROP_CHECK(t, f, BlockBackend *) }
#define PROP_LINK(t, f, n, typ, docstr) { .name = (n), .doc = (docstr), \
    .kind = PROP_KIND_LINK, .offset = offsetof(t, f), .link = (typ) }
#define PROP_CUSTOM(n, setter, getter, docstr) { .name = (n), \
    .doc = (docstr), .kind = PROP_KIND_CUSTOM, .set = (setter), \
    .get = (getter) }

/*
 * Set property `name` from text or from an option node.  Fails, naming the
 * nearest known property, when there is none such, when the value is not of
 * its kind, or when the object is a realized device and it is not `runtime`.
 */
bool prop_set(Object *obj, const char *name, const char *val, GError **err);
bool prop_set_opt(Object *obj, const char *name, Opt *val, GError **err);
/* Every key of `dict` but "driver", "id", "bus", "addr2" style keys listed in
 * `skip` (NULL-terminated, may be NULL). */
bool prop_set_all(Object *obj, Opt *dict, const char *const *skip,
                  GError **err);
/* The value as text; g_free().  NULL when there is no such property. */
char *prop_get(Object *obj, const char *name);
const Property *prop_find(const Type *t, const char *name);
/* Call fn for each property of `t`, its own first, then its parents'. */
void prop_foreach(const Type *t, void (*fn)(const Property *, void *),
                  void *opaque);
/* "on/off", "uint32", "size", … and the default, as `-device X,help` shows. */
char *prop_describe(const Property *p);

/* Used by object_new() and object_unref(). */
void prop_set_defaults(Object *obj);
void prop_free_values(Object *obj);

/* Values from -global driver.prop=val and machine versions' compat tables,
 * applied to each new object of that type or a descendant. */
void prop_add_global(const char *type, const char *name, const char *val,
                     bool from_user);
bool prop_apply_globals(Object *obj, GError **err);
/* Warn about each -global that named no device of this run. */
void prop_warn_unused_globals(void);

/* Set by src/chardev, so that core need not know it. */
extern Chardev *(*prop_find_chardev)(const char *id);
extern const char *(*prop_chardev_id)(Chardev *chr);
/* By hw/block: a reference, or NULL with `err`; its name; give it back. */
extern BlockBackend *(*prop_get_drive)(const char *id, GError **err);
extern const char *(*prop_drive_id)(BlockBackend *blk);
extern void (*prop_put_drive)(BlockBackend *blk);

#endif
