/*
 * Regions: the tree from which address spaces are flattened.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/mem.h"

#include "private.h"

static void region_init(Region *r, Object *owner, const char *name,
                        RegionKind kind, uint64_t size_bytes)
{
    *r = (Region) {
        .name = g_strdup(name), .owner = owner, .kind = kind,
        .size_bytes = size_bytes, .enabled = true,
    };
}

void region_init_io(Region *r, Object *owner, const char *name,
                    const IoOps *ops, void *opaque, uint64_t size_bytes)
{
    region_init(r, owner, name, REGION_IO, size_bytes);
    r->ops = ops;
    r->opaque = opaque;
}

static bool region_init_block(Region *r, Object *owner, const char *name,
                              RegionKind kind, uint64_t size_bytes,
                              GError **err)
{
    RamBlock *rb = ram_new(name, size_bytes, kind == REGION_ROM, err);

    if (!rb) {
        return false;
    }
    region_init(r, owner, name, kind, size_bytes);
    r->ram = rb;
    return true;
}

bool region_init_ram(Region *r, Object *owner, const char *name,
                     uint64_t size_bytes, GError **err)
{
    return region_init_block(r, owner, name, REGION_RAM, size_bytes, err);
}

bool region_init_rom(Region *r, Object *owner, const char *name,
                     uint64_t size_bytes, GError **err)
{
    return region_init_block(r, owner, name, REGION_ROM, size_bytes, err);
}

void region_init_container(Region *r, Object *owner, const char *name,
                           uint64_t size_bytes)
{
    region_init(r, owner, name, REGION_CONTAINER, size_bytes);
    r->children = g_ptr_array_new();
}

void region_init_alias(Region *r, Object *owner, const char *name,
                       Region *target, hwaddr offset, uint64_t size_bytes)
{
    region_init(r, owner, name, REGION_ALIAS, size_bytes);
    r->alias = target;
    r->alias_offset = offset;
}

void region_destroy(Region *r)
{
    region_unmap(r);
    if (r->children) {
        while (r->children->len) {
            region_unmap(g_ptr_array_index(r->children, 0));
        }
        g_ptr_array_free(r->children, TRUE);
    }
    if (r->ram) {
        ram_unref(r->ram);
    }
    g_free((char *)r->name);
    *r = (Region) {};
}

void region_map(Region *parent, hwaddr at, Region *child, int priority)
{
    unsigned i;

    g_assert(parent->kind == REGION_CONTAINER && !child->parent);
    child->parent = parent;
    child->at = at;
    child->priority = priority;
    /* Highest priority first; among equals the latest comes first. */
    for (i = 0; i < parent->children->len; i++) {
        Region *other = g_ptr_array_index(parent->children, i);

        if (other->priority <= priority) {
            break;
        }
    }
    g_ptr_array_insert(parent->children, i, child);
    mem_changed();
}

void region_unmap(Region *child)
{
    if (child->parent) {
        g_ptr_array_remove(child->parent->children, child);
        child->parent = NULL;
        mem_changed();
    }
}

bool region_mapped(const Region *r)
{
    return r->parent != NULL;
}

void region_set_enabled(Region *r, bool enabled)
{
    if (r->enabled != enabled) {
        r->enabled = enabled;
        mem_changed();
    }
}

void region_move(Region *r, hwaddr at)
{
    if (r->at != at) {
        r->at = at;
        mem_changed();
    }
}

void region_set_alias_offset(Region *r, hwaddr offset)
{
    if (r->alias_offset != offset) {
        r->alias_offset = offset;
        mem_changed();
    }
}

void region_set_readonly(Region *r, bool readonly)
{
    if (r->readonly != readonly) {
        r->readonly = readonly;
        mem_changed();
    }
}
