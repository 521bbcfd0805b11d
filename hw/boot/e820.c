/*
 * Memory maps in the form of INT 15h, AX=E820h.
 *
 * Spec:  ACPI 6.4, section 15.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

static E820Entry *at(const GArray *e820, unsigned i)
{
    return &g_array_index((GArray *)e820, E820Entry, i);
}

static uint64_t end_of(const E820Entry *e)
{
    return e->start + e->len;
}

/* Append, or lengthen the last entry. */
static void append(GArray *e820, uint64_t start, uint64_t len, uint32_t type)
{
    E820Entry *last = e820->len ? at(e820, e820->len - 1) : NULL;

    if (!len) {
        return;
    }
    if (last && last->type == type && end_of(last) == start) {
        last->len += len;
    } else {
        E820Entry e = { start, len, type };

        g_array_append_val(e820, e);
    }
}

GArray *e820_from_map(Machine *m)
{
    const FlatView *view = as_view(&as_memory);
    GArray *e820 = g_array_new(FALSE, FALSE, sizeof(E820Entry));

    for (unsigned i = 0; i < view->n_ranges; i++) {
        const FlatRange *f = &view->ranges[i];
        uint64_t start = f->start, end = f->start + f->size_bytes;

        if (f->region != &m->ram) {
            continue;
        }
        /* Shadow RAM is not the guest's to use, open or not. */
        append(e820, start, MIN(end, 0xa0000) - MIN(start, 0xa0000), E820_RAM);
        start = MAX(start, MiB);
        append(e820, start, MAX(end, MiB) - start, E820_RAM);
    }
    return e820;
}

void e820_set(GArray *e820, uint64_t start, uint64_t len, E820Type type)
{
    GArray *old = g_array_copy(e820);
    uint64_t end = start + len;
    bool done = false;

    g_array_set_size(e820, 0);
    for (unsigned i = 0; i < old->len; i++) {
        const E820Entry *e = at(old, i);

        if (end_of(e) <= start) {
            append(e820, e->start, e->len, e->type);
            continue;
        }
        if (e->start < start) {
            append(e820, e->start, start - e->start, e->type);
        }
        if (!done) {
            append(e820, start, len, type);
            done = true;
        }
        if (end_of(e) > end) {
            uint64_t from = MAX(e->start, end);

            append(e820, from, end_of(e) - from, e->type);
        }
    }
    if (!done) {
        append(e820, start, len, type);
    }
    g_array_unref(old);
}

bool e820_is_ram(const GArray *e820, uint64_t start, uint64_t len)
{
    for (unsigned i = 0; i < e820->len; i++) {
        const E820Entry *e = at(e820, i);

        if (e->type == E820_RAM && start >= e->start && len <= e->len
            && start - e->start <= e->len - len) {
            return true;
        }
    }
    return false;
}

uint64_t e820_low_end(const GArray *e820)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < e820->len; i++) {
        const E820Entry *e = at(e820, i);

        if (e->type == E820_RAM && e->start < 4 * GiB) {
            end = MAX(end, MIN(end_of(e), 4 * GiB));
        }
    }
    return end;
}

uint64_t e820_high_end(const GArray *e820)
{
    uint64_t end = 4 * GiB;

    for (unsigned i = 0; i < e820->len; i++) {
        end = MAX(end, end_of(at(e820, i)));
    }
    return end;
}
