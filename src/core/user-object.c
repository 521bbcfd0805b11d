/*
 * Objects that the user makes.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/user-object.h"

#include "base/opts.h"

const Type user_object_type = {
    .name = "user-object", .doc = "an object that -object makes",
    .parent = &object_type, .size = sizeof(Object), .abstract = true,
};

static const Type *find_type(Opt *dict, GError **err)
{
    const char *name = NULL;
    const Type *t;

    if (!opt_get_string(dict, "qom-type", &name, err)) {
        return NULL;
    }
    t = name ? type_find(name) : NULL;
    if (!t || t->abstract || !type_is(t, &user_object_type)) {
        opt_fail(err, "there is no object type '%s'; -object help lists them",
                 name ? name : "");
        return NULL;
    }
    return t;
}

Object *user_object_add(Opt *dict, GError **err)
{
    const Type *t = find_type(dict, err);
    const char *id = NULL;
    const UserObjectType *ut;
    Object *obj;

    if (!t || !opt_get_string(dict, "id", &id, err)) {
        return NULL;
    }
    if (!id || !*id) {
        opt_fail(err, "parameter 'id' is missing: it is how devices name it");
        return NULL;
    }
    if (object_find(id)) {
        opt_fail(err, "duplicate id '%s': there is an object of that name", id);
        return NULL;
    }
    obj = object_new(t);
    ut = container_of(t, UserObjectType, type);
    object_add_child(object_folder("objects"), obj, id);
    if ((ut->prepare && !ut->prepare(dict, err))
        || !prop_set_all(obj, dict, NULL, err)
        || (ut->complete && !ut->complete(obj, err))) {
        object_unparent(obj);   /* the last reference */
        return NULL;
    }
    return obj;
}
