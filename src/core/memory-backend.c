/*
 * Memory backends: see core/memory-backend.h.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/memory-backend.h"

#include "base/opts.h"

static MemoryBackend *backend_of(Object *obj)
{
    return container_of(obj, MemoryBackend, obj);
}

static bool fail(GError **err, const char *why)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "%s", why);
    return false;
}

static bool backend_complete(Object *obj, GError **err)
{
    MemoryBackend *s = backend_of(obj);

    if (!s->size_bytes) {
        return fail(err, "property 'size' is missing: the bytes of memory");
    }
    if (s->size_bytes & 8191 || s->size_bytes > INT64_MAX) {
        return fail(err, "property 'size' expects a multiple of 8192");
    }
    if (s->hugetlb) {
        return fail(err, "hugetlb=on: not implemented yet; transparent huge "
                    "pages are used as they are");
    }
    if (s->reserve) {
        return fail(err, "reserve=on: not implemented yet; prealloc=on takes "
                    "the memory at once");
    }
    return true;
}

static const Property backend_props[] = {
    PROP_SIZE(MemoryBackend, size_bytes, "size", 0, "bytes"),
    PROP_BOOL(MemoryBackend, merge, "merge", true,
              "the host may share equal pages"),
    PROP_BOOL(MemoryBackend, dump, "dump", true,
              "it is in our core dumps"),
    PROP_BOOL(MemoryBackend, prealloc, "prealloc", false,
              "take it all at the start"),
    PROP_BOOL(MemoryBackend, reserve, "reserve", false,
              "reserve swap space: refused"),
    PROP_BOOL(MemoryBackend, ramblock_id,
              "x-use-canonical-path-for-ramblock-id", false,
              "as older machines named it: no effect"),
    {}
};

const Type memory_backend_type = {
    .name = "memory-backend", .doc = "the machine's memory",
    .parent = &user_object_type, .size = sizeof(MemoryBackend),
    .abstract = true, .props = backend_props,
};

static const Property ram_props[] = {
    PROP_BOOL(MemoryBackend, share, "share", false,
              "from a memfd, so that others could map it"),
    {}
};

static const Property memfd_props[] = {
    PROP_BOOL(MemoryBackend, share, "share", true,
              "others could map it"),
    PROP_BOOL(MemoryBackend, seal, "seal", true, "no effect"),
    PROP_BOOL(MemoryBackend, hugetlb, "hugetlb", false,
              "from the host's huge pages: refused"),
    {}
};

#define BACKEND_TYPE(c_name, user_name, what, own_props)                    \
    static const UserObjectType c_name = {                                  \
        .type = {                                                           \
            .name = user_name, .doc = what, .parent = &memory_backend_type, \
            .size = sizeof(MemoryBackend), .props = own_props,              \
        },                                                                  \
        .complete = backend_complete,                                       \
    };                                                                      \
    USER_OBJECT_TYPE(c_name)

BACKEND_TYPE(ram_type, "memory-backend-ram", "memory of this process",
             ram_props)
BACKEND_TYPE(memfd_type, "memory-backend-memfd", "memory of a memfd",
             memfd_props)
