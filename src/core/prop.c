/*
 * Properties: set, get, describe; global values.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/prop.h"

#include "base/log.h"
#include "base/opts.h"
#include "core/device.h"

Chardev *(*prop_find_chardev)(const char *id);
const char *(*prop_chardev_id)(Chardev *chr);
BlockBackend *(*prop_get_drive)(const char *id, GError **err);
const char *(*prop_drive_id)(BlockBackend *blk);
void (*prop_put_drive)(BlockBackend *blk);

/* --- tables ---------------------------------------------------------------------- */

const Property *prop_find(const Type *t, const char *name)
{
    for (; t; t = t->parent) {
        for (const Property *p = t->props; p && p->name; p++) {
            if (!strcmp(p->name, name)) {
                return p;
            }
        }
    }
    return NULL;
}

void prop_foreach(const Type *t, void (*fn)(const Property *, void *),
                  void *opaque)
{
    for (; t; t = t->parent) {
        for (const Property *p = t->props; p && p->name; p++) {
            fn(p, opaque);
        }
    }
}

static const char *kind_text(const Property *p)
{
    switch (p->kind) {
    case PROP_KIND_BOOL:     return "bool";
    case PROP_KIND_U8:       return "uint8";
    case PROP_KIND_U16:      return "uint16";
    case PROP_KIND_U32:      return "uint32";
    case PROP_KIND_U64:      return "uint64";
    case PROP_KIND_I32:      return "int32";
    case PROP_KIND_I64:      return "int64";
    case PROP_KIND_SIZE:     return "size";
    case PROP_KIND_STRING:
    case PROP_KIND_MAC:
    case PROP_KIND_PCI_ADDR:
    case PROP_KIND_CHARDEV:
    case PROP_KIND_DRIVE:
    case PROP_KIND_CUSTOM:   return "str";
    case PROP_KIND_ENUM:     return "enum";
    case PROP_KIND_LINK:     return "link";
    }
    return "?";
}

char *prop_describe(const Property *p)
{
    GString *s = g_string_new(NULL);

    if (p->kind == PROP_KIND_ENUM) {
        for (unsigned i = 0; p->names[i]; i++) {
            g_string_append_printf(s, "%s%s", i ? "/" : "<", p->names[i]);
        }
        g_string_append_c(s, '>');
    } else if (p->kind == PROP_KIND_LINK) {
        g_string_append_printf(s, "link<%s>", (*p->link)->name);
    } else {
        g_string_append_printf(s, "<%s>", kind_text(p));
    }
    g_string_append_printf(s, " - %s", p->doc ? p->doc : "");
    switch (p->kind) {
    case PROP_KIND_BOOL:
        g_string_append_printf(s, " (default: %s)", p->def.u ? "on" : "off");
        break;
    case PROP_KIND_U8: case PROP_KIND_U16: case PROP_KIND_U32:
    case PROP_KIND_U64: case PROP_KIND_SIZE:
        g_string_append_printf(s, " (default: %" PRIu64 ")", p->def.u);
        break;
    case PROP_KIND_I32: case PROP_KIND_I64:
        g_string_append_printf(s, " (default: %" PRIi64 ")", p->def.i);
        break;
    case PROP_KIND_ENUM:
        g_string_append_printf(s, " (default: %s)", p->names[p->def.i]);
        break;
    case PROP_KIND_STRING:
        if (p->def.s) {
            g_string_append_printf(s, " (default: \"%s\")", p->def.s);
        }
        break;
    default:
        break;
    }
    return g_string_free(s, FALSE);
}

/* --- values ------------------------------------------------------------------------ */

static void *field(Object *obj, const Property *p)
{
    return (char *)obj + p->offset;
}

static unsigned uint_bytes(PropKind kind)
{
    switch (kind) {
    case PROP_KIND_U8:  return 1;
    case PROP_KIND_U16: return 2;
    case PROP_KIND_U32: return 4;
    default:            return 8;
    }
}

static void set_default(const Property *p, void *obj)
{
    void *at = field(obj, p);

    switch (p->kind) {
    case PROP_KIND_BOOL:
        *(bool *)at = p->def.u;
        break;
    case PROP_KIND_U8: case PROP_KIND_U16: case PROP_KIND_U32:
    case PROP_KIND_U64: case PROP_KIND_SIZE:
        store_le(at, uint_bytes(p->kind), p->def.u);
        break;
    case PROP_KIND_I32: case PROP_KIND_PCI_ADDR:
        *(int32_t *)at = p->def.i;
        break;
    case PROP_KIND_I64:
        *(int64_t *)at = p->def.i;
        break;
    case PROP_KIND_STRING:
        *(char **)at = g_strdup(p->def.s);
        break;
    case PROP_KIND_ENUM:
        *(int *)at = p->def.i;
        break;
    case PROP_KIND_MAC: case PROP_KIND_CHARDEV: case PROP_KIND_DRIVE:
    case PROP_KIND_LINK: case PROP_KIND_CUSTOM:
        break;
    }
}

void prop_set_defaults(Object *obj)
{
    prop_foreach(obj->type, set_default, obj);
}

static void free_value(const Property *p, void *obj)
{
    if (p->kind == PROP_KIND_STRING) {
        g_clear_pointer((char **)field(obj, p), g_free);
    }
    if (p->kind == PROP_KIND_DRIVE && *(BlockBackend **)field(obj, p)) {
        prop_put_drive(*(BlockBackend **)field(obj, p));
        *(BlockBackend **)field(obj, p) = NULL;
    }
}

void prop_free_values(Object *obj)
{
    prop_foreach(obj->type, free_value, obj);
}

static bool bad_value(Object *obj, const Property *p, const char *val,
                      const char *wanted, GError **err)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "property '%s.%s' cannot be '%s': %s", obj->type->name,
                p->name, val, wanted);
    return false;
}

static bool set_uint(Object *obj, const Property *p, const char *val,
                     GError **err)
{
    unsigned size = uint_bytes(p->kind);
    uint64_t max = p->max ? p->max : size_mask(size), v;
    bool ok = p->kind == PROP_KIND_SIZE ? parse_size(val, 1, &v)
                                        : parse_uint(val, &v);

    if (!ok || v > max) {
        g_autofree char *wanted = g_strdup_printf(
            "a %s from 0 to %" PRIu64 " is wanted",
            p->kind == PROP_KIND_SIZE ? "size" : "number", max);

        return bad_value(obj, p, val, wanted, err);
    }
    store_le(field(obj, p), size, v);
    return true;
}

static bool set_enum(Object *obj, const Property *p, const char *val,
                     GError **err)
{
    for (int i = 0; p->names[i]; i++) {
        if (!strcmp(p->names[i], val)) {
            *(int *)field(obj, p) = i;
            return true;
        }
    }
    g_autofree char *all = g_strjoinv(", ", (char **)p->names);
    g_autofree char *wanted = g_strdup_printf("one of %s is wanted", all);

    return bad_value(obj, p, val, wanted, err);
}

static bool set_mac(Object *obj, const Property *p, const char *val,
                    GError **err)
{
    uint8_t mac[6];

    for (unsigned i = 0; i < 6; i++) {
        const char *at = val + 3 * i;

        if (strlen(val) != 17 || !g_ascii_isxdigit(at[0])
            || !g_ascii_isxdigit(at[1])
            || (i < 5 && at[2] != ':' && at[2] != '-')) {
            return bad_value(obj, p, val,
                             "an address like 52:54:00:12:34:56 is wanted",
                             err);
        }
        mac[i] = g_ascii_xdigit_value(at[0]) << 4
                 | g_ascii_xdigit_value(at[1]);
    }
    memcpy(field(obj, p), mac, sizeof(mac));
    return true;
}

/* "slot", "slot.function": hexadecimal, as QEMU takes them. */
static bool set_pci_addr(Object *obj, const Property *p, const char *val,
                         GError **err)
{
    char *end;
    guint64 slot = g_ascii_strtoull(val, &end, 16), function = 0;
    bool ok = end != val && slot < 32;

    if (ok && *end == '.') {
        const char *digits = end + 1;

        function = g_ascii_strtoull(digits, &end, 16);
        ok = end != digits && function < 8;
    }
    if (!ok || *end) {
        return bad_value(obj, p, val,
                         "slot or slot.function in hexadecimal is wanted, "
                         "up to 1f.7", err);
    }
    *(int32_t *)field(obj, p) = slot << 3 | function;
    return true;
}

static bool set_int(Object *obj, const Property *p, const char *val,
                    GError **err)
{
    int64_t v;

    if (!parse_int(val, &v)
        || (p->kind == PROP_KIND_I32 && (v < INT32_MIN || v > INT32_MAX))) {
        return bad_value(obj, p, val, "a number is wanted", err);
    }
    if (p->kind == PROP_KIND_I32) {
        *(int32_t *)field(obj, p) = v;
    } else {
        *(int64_t *)field(obj, p) = v;
    }
    return true;
}

static bool set_link(Object *obj, const Property *p, const char *val,
                     GError **err)
{
    Object *to = object_find(val);

    if (!to || !type_is(to->type, *p->link)) {
        g_autofree char *wanted = g_strdup_printf(
            "the id of an object of type %s is wanted", (*p->link)->name);

        return bad_value(obj, p, val, wanted, err);
    }
    *(Object **)field(obj, p) = to;
    return true;
}

static bool set_chardev(Object *obj, const Property *p, const char *val,
                        GError **err)
{
    Chardev *chr = prop_find_chardev ? prop_find_chardev(val) : NULL;

    if (!chr) {
        return bad_value(obj, p, val, "there is no chardev of that id", err);
    }
    *(Chardev **)field(obj, p) = chr;
    return true;
}

static bool set_drive(Object *obj, const Property *p, const char *val,
                      GError **err)
{
    BlockBackend **at = field(obj, p), *blk;

    if (!prop_get_drive) {
        return bad_value(obj, p, val, "there are no drives", err);
    }
    blk = prop_get_drive(val, err);
    if (!blk) {
        g_prefix_error(err, "property '%s.%s': ", obj->type->name, p->name);
        return false;
    }
    if (*at) {
        prop_put_drive(*at);
    }
    *at = blk;
    return true;
}

static bool set_value(Object *obj, const Property *p, const char *val,
                      GError **err)
{
    switch (p->kind) {
    case PROP_KIND_BOOL:
        if (!parse_bool(val, field(obj, p))) {
            return bad_value(obj, p, val, "on or off is wanted", err);
        }
        return true;
    case PROP_KIND_U8: case PROP_KIND_U16: case PROP_KIND_U32:
    case PROP_KIND_U64: case PROP_KIND_SIZE:
        return set_uint(obj, p, val, err);
    case PROP_KIND_I32: case PROP_KIND_I64:
        return set_int(obj, p, val, err);
    case PROP_KIND_STRING:
        g_free(*(char **)field(obj, p));
        *(char **)field(obj, p) = g_strdup(val);
        return true;
    case PROP_KIND_ENUM:
        return set_enum(obj, p, val, err);
    case PROP_KIND_MAC:
        return set_mac(obj, p, val, err);
    case PROP_KIND_PCI_ADDR:
        return set_pci_addr(obj, p, val, err);
    case PROP_KIND_CHARDEV:
        return set_chardev(obj, p, val, err);
    case PROP_KIND_DRIVE:
        return set_drive(obj, p, val, err);
    case PROP_KIND_LINK:
        return set_link(obj, p, val, err);
    case PROP_KIND_CUSTOM:
        return p->set(obj, val, err);
    }
    return false;
}

static void add_name(const Property *p, void *names)
{
    g_ptr_array_add(names, (gpointer)p->name);
}

static bool unknown_prop(Object *obj, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    prop_foreach(obj->type, add_name, names);
    g_ptr_array_add(names, NULL);
    near = nearest_name(name, (const char *const *)names->pdata);
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "device '%s' has no property '%s'%s%s%s", obj->type->name,
                name, near ? "; did you mean '" : "", near ? near : "",
                near ? "'?" : "");
    return false;
}

bool prop_set(Object *obj, const char *name, const char *val, GError **err)
{
    const Property *p = prop_find(obj->type, name);

    if (!p) {
        return unknown_prop(obj, name, err);
    }
    if (!p->runtime && type_is(obj->type, &device_type)
        && device_of(obj)->realized) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property '%s.%s' cannot be changed after the device has "
                    "been realized", obj->type->name, name);
        return false;
    }
    return set_value(obj, p, val, err);
}

bool prop_set_opt(Object *obj, const char *name, Opt *val, GError **err)
{
    g_autofree char *text = NULL;

    if (opt_kind(val) == OPT_DICT || opt_kind(val) == OPT_LIST) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property '%s.%s' takes a single value", obj->type->name,
                    name);
        return false;
    }
    text = opt_to_string(val);
    return prop_set(obj, name, text, err);
}

bool prop_set_all(Object *obj, Opt *dict, const char *const *skip,
                  GError **err)
{
    static const char *const always[] = { "driver", "qom-type", "id", "bus",
                                          NULL };

    for (unsigned i = 0; i < opt_len(dict); i++) {
        const char *key = opt_key_at(dict, i);

        if (g_strv_contains(always, key)
            || (skip && g_strv_contains(skip, key))) {
            continue;
        }
        if (!prop_set_opt(obj, key, opt_get(dict, key), err)) {
            return false;
        }
    }
    return true;
}

char *prop_get(Object *obj, const char *name)
{
    const Property *p = prop_find(obj->type, name);
    void *at;

    if (!p) {
        return NULL;
    }
    at = field(obj, p);
    switch (p->kind) {
    case PROP_KIND_BOOL:
        return g_strdup(*(bool *)at ? "true" : "false");
    case PROP_KIND_U8: case PROP_KIND_U16: case PROP_KIND_U32:
    case PROP_KIND_U64: case PROP_KIND_SIZE: {
        uint64_t v = load_le(at, uint_bytes(p->kind));

        return g_strdup_printf("%" PRIu64 " (0x%" PRIx64 ")", v, v);
    }
    case PROP_KIND_I32:
        return g_strdup_printf("%" PRIi32, *(int32_t *)at);
    case PROP_KIND_I64:
        return g_strdup_printf("%" PRIi64, *(int64_t *)at);
    case PROP_KIND_STRING:
        return g_strdup_printf("\"%s\"", *(char **)at ? *(char **)at : "");
    case PROP_KIND_ENUM:
        return g_strdup_printf("\"%s\"", p->names[*(int *)at]);
    case PROP_KIND_MAC: {
        const uint8_t *m = at;

        return g_strdup_printf("\"%02x:%02x:%02x:%02x:%02x:%02x\"", m[0], m[1],
                               m[2], m[3], m[4], m[5]);
    }
    case PROP_KIND_PCI_ADDR: {
        int32_t devfn = *(int32_t *)at;

        return devfn < 0 ? g_strdup("\"\"")
                         : g_strdup_printf("%02x.%x", devfn >> 3, devfn & 7);
    }
    case PROP_KIND_CHARDEV:
        return g_strdup_printf("\"%s\"", *(Chardev **)at && prop_chardev_id
                               ? prop_chardev_id(*(Chardev **)at) : "");
    case PROP_KIND_DRIVE:
        return g_strdup_printf("\"%s\"", *(BlockBackend **)at
                               ? prop_drive_id(*(BlockBackend **)at) : "");
    case PROP_KIND_LINK: {
        Object *to = *(Object **)at;

        return to ? object_path(to) : g_strdup("\"\"");
    }
    case PROP_KIND_CUSTOM:
        return p->get ? p->get(obj) : g_strdup("");
    }
    return NULL;
}

/* --- globals --------------------------------------------------------------------------- */

typedef struct {
    char *type, *name, *value;
    bool from_user, used;
} Global;

static GPtrArray *globals;      /* of Global *; the later one wins */

void prop_add_global(const char *type, const char *name, const char *val,
                     bool from_user)
{
    Global *g = g_new0(Global, 1);

    *g = (Global) { g_strdup(type), g_strdup(name), g_strdup(val), from_user,
                    false };
    if (!globals) {
        globals = g_ptr_array_new();
    }
    g_ptr_array_add(globals, g);
}

static bool is_named(const Type *t, const char *name)
{
    for (; t; t = t->parent) {
        if (!strcmp(t->name, name) || (t->alias && !strcmp(t->alias, name))) {
            return true;
        }
    }
    return false;
}

bool prop_apply_globals(Object *obj, GError **err)
{
    for (unsigned i = 0; globals && i < globals->len; i++) {
        Global *g = g_ptr_array_index(globals, i);

        if (!is_named(obj->type, g->type)) {
            continue;
        }
        g->used = true;
        /* A compat row may name what this descendant has not. */
        if ((g->from_user || prop_find(obj->type, g->name))
            && !prop_set(obj, g->name, g->value, err)) {
            return false;
        }
    }
    return true;
}

void prop_warn_unused_globals(void)
{
    for (unsigned i = 0; globals && i < globals->len; i++) {
        const Global *g = g_ptr_array_index(globals, i);

        if (g->from_user && !g->used) {
            warn("global %s.%s has invalid class name or was not "
                 "used", g->type, g->name);
        }
    }
}
