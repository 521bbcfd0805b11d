/*
 * Objects that the user makes: -object TYPE,id=ID,prop=val.
 *
 * A type of them is a UserObjectType whose first member is the Type:
 *
 *     static const UserObjectType io_type = {
 *         .type = { .name = "iothread", .parent = &user_object_type, ... },
 *         .complete = io_complete,
 *     };
 *     USER_OBJECT_TYPE(io_type)
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_USER_OBJECT_H
#define CORE_USER_OBJECT_H

#include "core/device.h"

typedef struct UserObjectType {
    Type type;
    /* Bring what the user wrote into the form of properties.  May be NULL. */
    bool (*prepare)(Opt *dict, GError **err);
    /* The properties and the id are set: begin to work.  May be NULL; its opposite is
     * type.finalize, which comes after a failure as well. */
    bool (*complete)(Object *obj, GError **err);
} UserObjectType;

extern const Type user_object_type;     /* abstract */

#define USER_OBJECT_TYPE(t)                                             \
    __attribute__((constructor)) static void user_type_add_##t(void)    \
    {                                                                   \
        type_register(&(t).type);                                       \
    }

/* What -object and object-add do with "qom-type", "id" and the properties;
 * the object is found by its id, under /machine/objects. */
Object *user_object_add(Opt *dict, GError **err);

#endif
