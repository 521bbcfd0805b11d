/*
 * Types and objects.
 *
 * Locks: machine lock; types register before main().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/device.h"

#include "base/qsbr.h"

static GPtrArray *types;        /* of const Type * */

const Type object_type = {
    .name = "object", .doc = "anything", .size = sizeof(Object),
    .abstract = true,
};

/* --- types -------------------------------------------------------------------- */

void type_register(const Type *t)
{
    if (!types) {
        types = g_ptr_array_new();
    }
    g_ptr_array_add(types, (gpointer)t);
}

const Type *type_find(const char *name)
{
    for (unsigned i = 0; types && i < types->len; i++) {
        const Type *t = g_ptr_array_index(types, i);

        if (!strcmp(t->name, name) || (t->alias && !strcmp(t->alias, name))) {
            return t;
        }
    }
    return NULL;
}

bool type_is(const Type *t, const Type *ancestor)
{
    while (t && t != ancestor) {
        t = t->parent;
    }
    return t != NULL;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const Type *const *)a)->name,
                  (*(const Type *const *)b)->name);
}

GPtrArray *type_list(const Type *ancestor)
{
    GPtrArray *list = g_ptr_array_new();

    for (unsigned i = 0; types && i < types->len; i++) {
        const Type *t = g_ptr_array_index(types, i);

        if (!t->abstract && type_is(t, ancestor)) {
            g_ptr_array_add(list, (gpointer)t);
        }
    }
    g_ptr_array_sort(list, by_name);
    return list;
}

/* --- objects ------------------------------------------------------------------- */

static void init_from_root(Object *obj, const Type *t)
{
    if (t->parent) {
        init_from_root(obj, t->parent);
    }
    if (t->init) {
        t->init(obj);
    }
}

Object *object_new(const Type *t)
{
    Object *obj;

    g_assert(!t->abstract && t->size >= sizeof(Object));
    /* Vector state and cache lines inside want more than malloc's 16 bytes. */
    obj = g_aligned_alloc0(1, ALIGN_UP(t->size, 64), 64);
    obj->type = t;
    obj->refs = 1;
    prop_set_defaults(obj);
    init_from_root(obj, t);
    return obj;
}

Object *object_ref(Object *obj)
{
    obj->refs++;
    return obj;
}

void object_unref(Object *obj)
{
    if (!obj || --obj->refs) {
        return;
    }
    while (obj->children && obj->children->len) {
        object_unparent(g_ptr_array_index(obj->children,
                                          obj->children->len - 1));
    }
    for (const Type *t = obj->type; t; t = t->parent) {
        if (t->finalize) {
            t->finalize(obj);
        }
    }
    prop_free_values(obj);
    g_clear_pointer(&obj->children, g_ptr_array_unref);
    g_free(obj->id);
    /* A vCPU may still be on its way into one of its regions. */
    qsbr_defer(g_aligned_free, obj);
}

static Object *child_by_id(Object *parent, const char *id, size_t len)
{
    for (unsigned i = 0; parent->children && i < parent->children->len; i++) {
        Object *child = g_ptr_array_index(parent->children, i);

        if (strlen(child->id) == len && !strncmp(child->id, id, len)) {
            return child;
        }
    }
    return NULL;
}

void object_add_child(Object *parent, Object *child, const char *id)
{
    g_assert(!child->parent);
    g_free(child->id);
    child->id = g_strdup(id);
    for (unsigned n = 0; !child->id; n++) {
        g_autofree char *name = g_strdup_printf("%s[%u]", child->type->name,
                                                n);

        if (!child_by_id(parent, name, strlen(name))) {
            child->id = g_steal_pointer(&name);
        }
    }
    if (!parent->children) {
        parent->children = g_ptr_array_new();
    }
    g_ptr_array_add(parent->children, child);
    child->parent = parent;
}

void object_unparent(Object *child)
{
    if (child->parent) {
        g_ptr_array_remove(child->parent->children, child);
        child->parent = NULL;
        object_unref(child);
    }
}

static const Type container_type = {
    .name = "container", .doc = "a folder of objects",
    .parent = &object_type, .size = sizeof(Object), .internal = true,
};
DEVICE_TYPE(container_type)

Object *object_root(void)
{
    static Object *root;

    if (!root) {
        root = object_new(&container_type);
        root->id = g_strdup("machine");
    }
    return root;
}

static Object *find_below(Object *obj, const char *id)
{
    for (unsigned i = 0; obj->children && i < obj->children->len; i++) {
        Object *child = g_ptr_array_index(obj->children, i);
        Object *found = !strcmp(child->id, id) ? child : find_below(child, id);

        if (found) {
            return found;
        }
    }
    return NULL;
}

Object *object_find(const char *path)
{
    Object *obj = object_root();

    if (*path != '/') {
        return find_below(obj, path);
    }
    g_auto(GStrv) parts = g_strsplit(path + 1, "/", -1);

    if (!parts[0] || strcmp(parts[0], obj->id)) {
        return NULL;
    }
    for (unsigned i = 1; obj && parts[i]; i++) {
        obj = child_by_id(obj, parts[i], strlen(parts[i]));
    }
    return obj;
}

char *object_path(const Object *obj)
{
    if (!obj->parent) {
        return g_strdup_printf("/%s", obj->id ? obj->id : obj->type->name);
    }
    g_autofree char *above = object_path(obj->parent);

    return g_strdup_printf("%s/%s", above, obj->id);
}
