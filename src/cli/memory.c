/*
 * The machine's memory by the command line: -m, -mem-prealloc, and what
 * -machine memory-backend= names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <inttypes.h>

#include "base/log.h"
#include "core/memory-backend.h"

static bool set_size(Options *o, Machine *m, GError **err)
{
    Opt *mem = options_dict(o, "machine.memory");
    uint64_t size = 0, slots = 0, max = 0;

    if (!opt_get_size(mem, "size", &size, 1 << 20, err)
        || !opt_get_uint(mem, "slots", &slots, 256, err)
        || !opt_get_size(mem, "maxmem", &max, 1 << 20, err)
        || !opt_get_size(mem, "max-size", &max, 1 << 20, err)
        || !opt_all_read(mem, "-m", NULL, err)) {
        return options_at(o, mem, err);
    }
    if (size) {
        /* Whole pages, and then some, as QEMU rounds. */
        if (size > INT64_MAX) {
            options_fail(err, "that is too much memory");
            return options_at(o, mem, err);
        }
        m->ram_bytes = (size + 8191) & ~UINT64_C(8191);
    }
    if (slots && !max) {
        options_fail(err, "slots specified but no max-size");
        return options_at(o, mem, err);
    }
    if (max && max < m->ram_bytes) {
        options_fail(err, "invalid value of maxmem: maximum memory size (0x%"
                     PRIx64 ") must be at least the initial memory size (0x%"
                     PRIx64 ")", max, m->ram_bytes);
        return options_at(o, mem, err);
    }
    if (max > m->ram_bytes) {
        warn("memory hot-plug is not implemented: slots= and maxmem= have no "
             "effect");
    }
    return true;
}

/* The object is asked for its size when -m says none. */
static bool take_backend(Options *o, Machine *m, const char *id, GError **err)
{
    Object *obj = object_find(id);
    const MemoryBackend *b;

    if (!obj || !type_is(obj->type, &memory_backend_type)) {
        return options_fail(err, "-machine memory-backend=%s: there is no "
                            "-object memory-backend-ram or -memfd of that id",
                            id);
    }
    b = container_of(obj, MemoryBackend, obj);
    if (!opt_has(options_dict(o, "machine.memory"), "size")) {
        m->ram_bytes = b->size_bytes;
    }
    if (m->ram_bytes != b->size_bytes) {
        return options_fail(err, "-machine memory-backend=%s: it has %" PRIu64
                            " bytes, and the machine %" PRIu64, id,
                            b->size_bytes, m->ram_bytes);
    }
    ram_policy = (RamPolicy) {
        .merge = b->merge, .dump = b->dump, .shared = b->share,
        .prealloc = b->prealloc || options_flag(o, "mem-prealloc"),
    };
    return true;
}

bool memory_setup(Options *o, Machine *m, GError **err)
{
    Opt *dict = options_dict(o, "machine");
    const char *backend = NULL;

    if (!set_size(o, m, err)) {
        return false;
    }
    ram_policy.prealloc = options_flag(o, "mem-prealloc");
    if (!opt_get_bool(dict, "mem-merge", &ram_policy.merge, err)
        || !opt_get_bool(dict, "dump-guest-core", &ram_policy.dump, err)
        || !opt_get_string(dict, "memory-backend", &backend, err)) {
        return options_at(o, dict, err);
    }
    return !backend || take_backend(o, m, backend, err);
}

void memory_settled(void)
{
    ram_policy.shared = ram_policy.prealloc = false;
}
