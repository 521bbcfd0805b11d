/*
 * Doorbells by ioeventfd: a write that is one makes no exit to us.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/doorbell.h"

#include "base/trace.h"
#include "kvm.h"

static void set(const FlatRange *f, bool pio, bool on)
{
    unsigned n;
    const Doorbell *d = doorbell_of(f->region, &n);

    for (; n; n--, d++) {
        hwaddr gpa = f->start + (d->offset - f->offset);

        if (d->offset < f->offset
            || d->offset + d->size > f->offset + f->size_bytes) {
            continue;
        }
        trace("kvm-doorbell", "%s 0x%" PRIx64 " %s", pio ? "port" : "gpa",
              gpa, on ? "on" : "off");
        /* Where KVM has no room or cannot, the write exits as before. */
        kvm_ioeventfd(pio, gpa, d->size, d->match, d->data, d->fd(d->opaque),
                      on);
    }
}

static void memory_add(MemListener *l, const FlatRange *f)
{
    set(f, false, true);
}

static void memory_del(MemListener *l, const FlatRange *f)
{
    set(f, false, false);
}

static void port_add(MemListener *l, const FlatRange *f)
{
    set(f, true, true);
}

static void port_del(MemListener *l, const FlatRange *f)
{
    set(f, true, false);
}

void kvm_doorbells_init(void)
{
    static MemListener memory = { .add = memory_add, .del = memory_del };
    static MemListener ports = { .add = port_add, .del = port_del };

    as_add_listener(&as_memory, &memory);
    as_add_listener(&as_io, &ports);
}
