/*
 * Access to address spaces: single accesses as a CPU makes them, copies, maps.
 *
 * Locks: none for RAM; the machine lock is taken for I/O callbacks unless the
 * caller holds it or the region is lockless.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/mem.h"

#include "loop/loop.h"
#include "private.h"

/* --- one region ------------------------------------------------------------- */

/* Take the machine lock for `r` if its callbacks want it; returns whether. */
static bool io_lock(const Region *r)
{
    const IoOps *ops = __atomic_load_n(&r->ops, __ATOMIC_ACQUIRE);

    if ((ops && ops->lockless) || machine_lock_held()) {
        return false;
    }
    machine_lock();
    return true;
}

/* How much of an access of `left` bytes at `offset` the chip takes at once. */
static unsigned piece_bytes(const IoOps *ops, hwaddr offset, unsigned left)
{
    unsigned max = ops->size_max ? ops->size_max : 8;
    unsigned n = 8;

    while (n > left || n > max || (!ops->unaligned && (offset & (n - 1)))) {
        n /= 2;
    }
    return n;
}

static uint64_t read_piece(Region *r, hwaddr offset, unsigned n)
{
    const IoOps *ops = r->ops;
    unsigned min = ops->size_min ? ops->size_min : 1;
    hwaddr at = offset;

    if (!ops->read) {
        return ~UINT64_C(0);
    }
    if (n >= min) {
        return ops->read(r->opaque, offset, n);
    }
    at = ALIGN_DOWN(offset, min);
    return ops->read(r->opaque, at, min) >> (8 * (offset - at));
}

static void write_piece(Region *r, hwaddr offset, unsigned n, uint64_t val)
{
    const IoOps *ops = r->ops;
    unsigned min = ops->size_min ? ops->size_min : 1;
    hwaddr at = offset;

    if (!ops->write) {
        return;
    }
    val &= size_mask(n);
    if (n < min) {
        at = ALIGN_DOWN(offset, min);
        val <<= 8 * (offset - at);
        n = min;
    }
    ops->write(r->opaque, at, val, n);
}

MemResult region_io_read(Region *r, hwaddr offset, unsigned size,
                         uint64_t *val)
{
    bool locked = io_lock(r);
    MemResult result = MEM_OK;

    *val = 0;
    if (r->ops) {
        for (unsigned done = 0; done < size;) {
            unsigned n = piece_bytes(r->ops, offset + done, size - done);

            *val |= (read_piece(r, offset + done, n) & size_mask(n))
                    << (8 * done);
            done += n;
        }
    } else {
        *val = size_mask(size);
        result = MEM_DECODE_ERROR;
    }
    if (locked) {
        machine_unlock();
    }
    return result;
}

MemResult region_io_write(Region *r, hwaddr offset, unsigned size,
                          uint64_t val)
{
    bool locked = io_lock(r);
    MemResult result = r->ops ? MEM_OK : MEM_DECODE_ERROR;

    /* The callback may unmap and destroy its own region: look each time. */
    for (unsigned done = 0; r->ops && done < size;) {
        unsigned n = piece_bytes(r->ops, offset + done, size - done);

        write_piece(r, offset + done, n, val >> (8 * done));
        done += n;
    }
    if (locked) {
        machine_unlock();
    }
    return result;
}

/* --- an address space --------------------------------------------------------- */

/* How many of `len` bytes from `gpa` one range, or one hole, covers. */
static uint64_t range_bytes(const FlatView *view, const FlatRange *f,
                            hwaddr gpa, uint64_t len)
{
    if (f) {
        return MIN(len, f->start + f->size_bytes - gpa);
    }
    for (unsigned i = 0; i < view->n_ranges; i++) {
        if (view->ranges[i].start > gpa) {
            return MIN(len, view->ranges[i].start - gpa);
        }
    }
    return len;
}

/* The largest power of two up to 8 that fits; devices see natural sizes. */
static unsigned io_bytes(hwaddr gpa, uint64_t len)
{
    unsigned n = 8;

    while (n > len || (gpa & (n - 1))) {
        n /= 2;
    }
    return n;
}

MemResult as_read(AddressSpace *as, hwaddr gpa, void *buf, size_t len)
{
    uint8_t *to = buf;
    MemResult result = MEM_OK;

    while (len) {
        /* Anew each time round: a callback may have changed the map. */
        const FlatView *view = as_view(as);
        const FlatRange *f = view_find(view, gpa);
        uint64_t n = range_bytes(view, f, gpa, len);
        MemResult one = MEM_OK;

        if (!f) {
            memset(to, 0xff, n);
            one = MEM_DECODE_ERROR;
        } else if (f->ram) {
            memcpy(to, f->ram->host + f->offset + (gpa - f->start), n);
        } else {
            uint64_t val;

            n = io_bytes(gpa, n);
            one = region_io_read(f->region, f->offset + (gpa - f->start), n,
                                 &val);
            store_le(to, n, val);
        }
        result = result == MEM_OK ? one : result;
        to += n;
        gpa += n;
        len -= n;
    }
    return result;
}

MemResult as_write(AddressSpace *as, hwaddr gpa, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    MemResult result = MEM_OK;

    while (len) {
        const FlatView *view = as_view(as);
        const FlatRange *f = view_find(view, gpa);
        uint64_t n = range_bytes(view, f, gpa, len);
        MemResult one = MEM_OK;

        if (!f) {
            one = MEM_DECODE_ERROR;
        } else if (f->ram && !f->readonly) {
            uint64_t off = f->offset + (gpa - f->start);

            memcpy(f->ram->host + off, from, n);
            ram_mark_dirty(f->ram, off, n);
        } else if (!f->ram || f->region->ops) {
            n = io_bytes(gpa, n);
            one = region_io_write(f->region, f->offset + (gpa - f->start), n,
                                  load_le(from, n));
        }
        result = result == MEM_OK ? one : result;
        from += n;
        gpa += n;
        len -= n;
    }
    return result;
}

/* The range that holds all of an access, or NULL. */
static const FlatRange *find_whole(AddressSpace *as, hwaddr gpa, unsigned size)
{
    const FlatRange *f = view_find(as_view(as), gpa);

    return f && f->start + f->size_bytes - gpa >= size ? f : NULL;
}

MemResult as_load(AddressSpace *as, hwaddr gpa, unsigned size, uint64_t *val)
{
    const FlatRange *f = find_whole(as, gpa, size);
    uint8_t buf[8];
    MemResult result;

    if (f && !f->ram) {
        return region_io_read(f->region, f->offset + (gpa - f->start), size,
                              val);
    }
    result = as_read(as, gpa, buf, size);
    *val = load_le(buf, size);
    return result;
}

MemResult as_store(AddressSpace *as, hwaddr gpa, unsigned size, uint64_t val)
{
    const FlatRange *f = find_whole(as, gpa, size);
    uint8_t buf[8];

    if (f && !f->ram) {
        return region_io_write(f->region, f->offset + (gpa - f->start), size,
                               val);
    }
    store_le(buf, size, val);
    return as_write(as, gpa, buf, size);
}

void *as_map(AddressSpace *as, hwaddr gpa, uint64_t *len, bool write)
{
    const FlatRange *f = view_find(as_view(as), gpa);

    if (!f || !f->ram || (write && f->readonly)) {
        *len = 0;
        return NULL;
    }
    *len = MIN(*len, f->start + f->size_bytes - gpa);
    ram_ref(f->ram);
    return f->ram->host + f->offset + (gpa - f->start);
}

void as_unmap(AddressSpace *as, void *hva, uint64_t len, bool write,
              uint64_t written)
{
    uint64_t offset;
    RamBlock *rb = ram_from_host(hva, &offset);

    g_assert(rb);
    if (write && written) {
        ram_mark_dirty(rb, offset, MIN(written, len));
    }
    ram_unref(rb);
}
