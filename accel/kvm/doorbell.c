/*
 * Doorbells by ioeventfd: a write that is one makes no exit to us.
 *
 * Posted writes by KVM's ring of coalesced ones, which is the VM's: they are
 * made after each run of any vCPU, before what ended it, and for whoever asks.
 *
 * Spec:  Documentation/virt/kvm/api.rst 4.59 (KVM_IOEVENTFD), 4.116
 *        (KVM_REGISTER_COALESCED_MMIO).
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/doorbell.h"

#include <unistd.h>

#include "base/trace.h"
#include "kvm.h"

/* --- posted writes ------------------------------------------------------------ */

static struct kvm_coalesced_mmio_ring *ring;    /* NULL: KVM has none */

static unsigned ring_entries(void)
{
    return (sysconf(_SC_PAGESIZE) - sizeof(*ring))
           / sizeof(struct kvm_coalesced_mmio);
}

/* Callbacks may flush again: an entry is taken before it is made. */
static void flush_locked(void)
{
    while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
        struct kvm_coalesced_mmio e = ring->coalesced_mmio[ring->first];

        __atomic_store_n(&ring->first, (ring->first + 1) % ring_entries(),
                         __ATOMIC_RELEASE);
        if (e.len <= sizeof(e.data)) {
            as_store(e.pio ? &as_io : &as_memory, e.phys_addr, e.len,
                     load_le(e.data, e.len));
        }
    }
}

void kvm_flush_posted(void)
{
    bool locked = machine_lock_held();

    if (likely(!ring || __atomic_load_n(&ring->first, __ATOMIC_RELAXED)
                        == __atomic_load_n(&ring->last, __ATOMIC_RELAXED))) {
        return;
    }
    if (!locked) {
        machine_lock();
    }
    flush_locked();
    if (!locked) {
        machine_unlock();
    }
}

void kvm_set_posted_ring(void *page)
{
    ring = page;
    posted_flush = page ? kvm_flush_posted : NULL;
}

static void set_posted(bool pio, hwaddr gpa, unsigned bytes, bool on)
{
    struct kvm_coalesced_mmio_zone zone = {
        .addr = gpa, .size = bytes, .pio = pio,
    };

    if (kvm_check(pio ? KVM_CAP_COALESCED_PIO : KVM_CAP_COALESCED_MMIO)) {
        kvm_vm(on ? KVM_REGISTER_COALESCED_MMIO
                  : KVM_UNREGISTER_COALESCED_MMIO, &zone);
    }
}

/* --- doorbells ---------------------------------------------------------------------- */

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
        if (d->posted) {
            set_posted(pio, gpa, d->size, on);
            continue;
        }
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
