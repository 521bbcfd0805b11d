/*
 * KVM: memory slots, the dirty log, doorbells.
 *
 * Each range of RAM in the flat view is a slot; what does not fill whole pages
 * stays out and is served by exits.  Logging is switched on for a slot when a
 * client of the log first looks at it, since until then all of its pages are
 * dirty for that client anyhow.
 *
 * Spec:  Documentation/virt/kvm/api.rst: 4.35 (slots), 4.8 (bitmaps), 8.29
 *        (rings).
 * Locks: `mutex` for the table; the memory map's changes come under the
 *        machine lock, with no vCPU in KVM, looks at the dirty log from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>

#include "base/log.h"
#include "base/trace.h"
#include "cpu/regs.h"

#define PAGE_BYTES UINT64_C(4096)

typedef struct Slot {
    struct kvm_userspace_memory_region region;  /* size 0: free */
    RamBlock *ram;
    uint64_t ram_offset;
    uint64_t *bitmap;           /* of KVM_GET_DIRTY_LOG, when it logs */
} Slot;

static GMutex mutex;
static GArray *slots;           /* of Slot; the index is KVM's number */
static bool map_changes;        /* machine lock: the gate is closed for it */

/* --- the table ------------------------------------------------------------------ */

static Slot *slot_at(unsigned i)
{
    return &g_array_index(slots, Slot, i);
}

static Slot *slot_new(void)
{
    unsigned i = 0;

    while (i < slots->len && slot_at(i)->region.memory_size) {
        i++;
    }
    if (i >= kvm.n_slots_max) {
        return NULL;
    }
    if (i == slots->len) {
        g_array_set_size(slots, i + 1);
    }
    *slot_at(i) = (Slot) { .region = { .slot = i } };
    return slot_at(i);
}

static int slot_tell(const Slot *s)
{
    struct kvm_userspace_memory_region r = s->region;

    trace("kvm-slot", "%u gpa 0x%llx size 0x%llx flags 0x%x", r.slot,
          r.guest_phys_addr, r.memory_size, r.flags);
    return kvm_vm(KVM_SET_USER_MEMORY_REGION, &r);
}

static void slot_remove(Slot *s)
{
    struct kvm_userspace_memory_region r = s->region;
    int result;

    r.memory_size = 0;
    result = kvm_vm(KVM_SET_USER_MEMORY_REGION, &r);
    if (result < 0) {
        warn("KVM: cannot take away memory at 0x%llx: %s",
             r.guest_phys_addr, g_strerror(-result));
    }
}

/* --- dirty log -------------------------------------------------------------------- */

static void mark(const Slot *s, uint64_t page)
{
    if (page < s->region.memory_size / PAGE_BYTES) {
        ram_mark_dirty(s->ram, s->ram_offset + page * PAGE_BYTES, PAGE_BYTES);
    }
}

/* Move what KVM has noted since the last time into the log. */
static void slot_collect(Slot *s)
{
    struct kvm_dirty_log log = { .slot = s->region.slot };
    uint64_t n_words = (s->region.memory_size / PAGE_BYTES + 63) / 64;

    if (kvm.ring_bytes || !s->bitmap) {
        return;
    }
    memset(s->bitmap, 0, n_words * 8);
    log.dirty_bitmap = s->bitmap;
    if (kvm_vm(KVM_GET_DIRTY_LOG, &log) < 0) {
        ram_mark_dirty(s->ram, s->ram_offset, s->region.memory_size);
        return;
    }
    for (uint64_t w = 0; w < n_words; w++) {
        for (uint64_t bits = s->bitmap[w]; bits; bits &= bits - 1) {
            mark(s, w * 64 + __builtin_ctzll(bits));
        }
    }
}

static void slot_start_log(Slot *s)
{
    uint64_t n_words = (s->region.memory_size / PAGE_BYTES + 63) / 64;

    s->region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
    if (slot_tell(s) < 0) {
        s->region.flags &= ~KVM_MEM_LOG_DIRTY_PAGES;
        warn("KVM: no dirty log for memory at 0x%llx",
             s->region.guest_phys_addr);
        return;
    }
    s->bitmap = g_new0(uint64_t, n_words);
}

static void reap_ring(KvmCpu *k)
{
    uint32_t n = kvm.ring_bytes / sizeof(struct kvm_dirty_gfn);

    for (;;) {
        struct kvm_dirty_gfn *e = &k->ring[k->ring_next & (n - 1)];

        if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE)
            != KVM_DIRTY_GFN_F_DIRTY) {
            return;
        }
        if (e->slot < slots->len && slot_at(e->slot)->region.memory_size) {
            mark(slot_at(e->slot), e->offset);
        }
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        k->ring_next++;
    }
}

static void reap_rings_locked(void)
{
    GPtrArray *cpus = machine()->cpus;

    for (unsigned i = 0; i < cpus->len; i++) {
        KvmCpu *k = kvm_cpu(g_ptr_array_index(cpus, i));

        if (k && k->ring) {
            reap_ring(k);
        }
    }
    kvm_vm(KVM_RESET_DIRTY_RINGS, NULL);
}

void kvm_reap_rings(void)
{
    g_mutex_lock(&mutex);
    reap_rings_locked();
    g_mutex_unlock(&mutex);
}

static void dirty_sync(MemListener *l, RamBlock *rb, uint64_t offset,
                       uint64_t len)
{
    g_mutex_lock(&mutex);
    if (kvm.ring_bytes) {
        reap_rings_locked();
    }
    for (unsigned i = 0; i < slots->len; i++) {
        Slot *s = slot_at(i);

        if (!s->region.memory_size || s->ram != rb
            || offset >= s->ram_offset + s->region.memory_size
            || offset + len <= s->ram_offset
            || s->region.flags & KVM_MEM_READONLY) {
            continue;
        }
        if (s->region.flags & KVM_MEM_LOG_DIRTY_PAGES) {
            slot_collect(s);
        } else {
            slot_start_log(s);
        }
    }
    g_mutex_unlock(&mutex);
}

/* --- following the map --------------------------------------------------------------- */

/* The whole pages of `f`; false when there are none. */
static bool whole_pages(const FlatRange *f, hwaddr *gpa, uint64_t *offset,
                        uint64_t *bytes)
{
    hwaddr start = ALIGN_UP(f->start, PAGE_BYTES);
    hwaddr end = ALIGN_DOWN(f->start + f->size_bytes, PAGE_BYTES);

    if (!f->ram || start >= end
        || (f->offset + (start - f->start)) % PAGE_BYTES) {
        return false;
    }
    *gpa = start;
    *offset = f->offset + (start - f->start);
    *bytes = end - start;
    return true;
}

/* From the first difference to the commit no vCPU runs. */
static void map_begin(void)
{
    if (!map_changes) {
        map_changes = true;
        kvm_close_gate();
    }
}

static void map_add(MemListener *l, const FlatRange *f)
{
    uint64_t gpa, offset, bytes;
    int result;
    Slot *s;

    /* Without read-only slots ROM is served by exits: slow, but right. */
    if (!whole_pages(f, &gpa, &offset, &bytes)
        || (f->readonly && !kvm.readonly_mem)) {
        return;
    }
    map_begin();
    g_mutex_lock(&mutex);
    s = slot_new();
    if (s) {
        s->region.guest_phys_addr = gpa;
        s->region.memory_size = bytes;
        s->region.userspace_addr = (uintptr_t)f->ram->host + offset;
        s->region.flags = f->readonly ? KVM_MEM_READONLY : 0;
        s->ram = f->ram;
        s->ram_offset = offset;
        result = slot_tell(s);
        if (result < 0) {
            s->region.memory_size = 0;
            warn("KVM: no memory slot for %s at 0x%" PRIx64 " (%s): it will "
                 "be very slow", f->region->name, gpa, g_strerror(-result));
        }
    } else {
        warn("KVM: out of memory slots: %s at 0x%" PRIx64 " will be very slow",
             f->region->name, gpa);
    }
    g_mutex_unlock(&mutex);
}

static void map_del(MemListener *l, const FlatRange *f)
{
    uint64_t gpa, offset, bytes;

    if (!whole_pages(f, &gpa, &offset, &bytes)) {
        return;
    }
    map_begin();
    g_mutex_lock(&mutex);
    if (kvm.ring_bytes) {
        reap_rings_locked();
    }
    for (unsigned i = 0; i < slots->len; i++) {
        Slot *s = slot_at(i);

        if (s->region.memory_size && s->region.guest_phys_addr == gpa) {
            slot_collect(s);
            slot_remove(s);
            g_free(s->bitmap);
            *s = (Slot) { .region = { .slot = i } };
        }
    }
    g_mutex_unlock(&mutex);
}

static void map_commit(MemListener *l)
{
    if (map_changes) {
        map_changes = false;
        kvm_open_gate();
    }
}

static MemListener listener = {
    .add = map_add, .del = map_del, .commit = map_commit,
    .dirty_sync = dirty_sync,
};

void kvm_memory_init(void)
{
    slots = g_array_new(FALSE, TRUE, sizeof(Slot));
    as_add_listener(&as_memory, &listener);
    map_commit(&listener);      /* of what was there before */
    kvm_doorbells_init();
    cpu_regs_load = kvm_regs_load;
    cpu_regs_store = kvm_regs_store;
}

void kvm_forget_translations(hwaddr gpa)
{
    kvm_close_gate();
    g_mutex_lock(&mutex);
    for (unsigned i = 0; i < slots->len; i++) {
        Slot *s = slot_at(i);

        if (gpa - s->region.guest_phys_addr < s->region.memory_size) {
            slot_collect(s);
            slot_remove(s);
            if (slot_tell(s) < 0) {
                warn("KVM: memory at 0x%llx did not come back",
                     s->region.guest_phys_addr);
                s->region.memory_size = 0;
            }
        }
    }
    g_mutex_unlock(&mutex);
    kvm_open_gate();
}

void kvm_print_slots(GString *out)
{
    g_mutex_lock(&mutex);
    for (unsigned i = 0; i < slots->len; i++) {
        const Slot *s = slot_at(i);

        if (s->region.memory_size) {
            g_string_append_printf(out, "slot %u: %012llx-%012llx %s%s %s\n",
                                   i, s->region.guest_phys_addr,
                                   s->region.guest_phys_addr
                                   + s->region.memory_size - 1,
                                   s->region.flags & KVM_MEM_READONLY
                                   ? "rom" : "ram",
                                   s->region.flags & KVM_MEM_LOG_DIRTY_PAGES
                                   ? " logged" : "", s->ram->name);
        }
    }
    g_mutex_unlock(&mutex);
}

/* --- doorbells ------------------------------------------------------------------------ */

bool kvm_ioeventfd(bool pio, hwaddr gpa, unsigned size, bool match,
                   uint64_t data, int fd, bool assign)
{
    struct kvm_ioeventfd e = {
        .datamatch = data, .addr = gpa, .len = size, .fd = fd,
        .flags = (pio ? KVM_IOEVENTFD_FLAG_PIO : 0)
                 | (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0)
                 | (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    return kvm_check(KVM_CAP_IOEVENTFD) && kvm_vm(KVM_IOEVENTFD, &e) == 0;
}
