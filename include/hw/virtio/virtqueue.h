/*
 * Virtqueues: the rings in guest memory through which a virtio device gets
 * buffers and gives them back.
 *
 *     while ((r = vq_pop(vq, sizeof(*r)))) {      VqElem first in *r
 *         ... r->elem.iov ...
 *         vq_push(&r->elem, bytes_written);       frees it
 *     }
 *     vq_notify(vq);
 *
 * Invariants:
 *  1. Nothing that the guest wrote is read twice: descriptors are copied, the
 *     buffers they name are mapped once.
 *  2. Whatever a ring holds, the work for one element is bounded by
 *     VQ_MAX_DESCS; a ring that makes no sense breaks the device
 *     (DEVICE_NEEDS_RESET), and vq_pop() then gives NULL until the reset.
 *  3. An element belongs to whoever popped it until it is pushed or dropped;
 *     `in_use` counts them.
 *
 * Locks: the device's loop (Virtio.loop): under the machine lock for the main
 *        loop, in its thread for an iothread's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTQUEUE_H
#define HW_VIRTIO_VIRTQUEUE_H

#include <sys/uio.h>

#include "base/bits.h"
#include "loop/loop.h"
#include "mem/mem.h"

typedef struct Virtio Virtio;
typedef struct VirtQueue VirtQueue;

enum {
    VQ_MAX_SIZE = 1024,         /* entries of a ring */
    VQ_MAX_DESCS = 1024,        /* in one element, and pieces it maps to */
    VQ_NO_VECTOR = 0xffff,
};

typedef struct VqElem {
    VirtQueue *vq;
    uint32_t token;             /* its place in the ring: vq_pop_again() */
    uint16_t id;                /* what the guest calls it */
    uint16_t n_descs;           /* packed: entries it takes in the ring */
    unsigned n_out, n_in;       /* pieces the device reads, writes */
    uint32_t out_bytes, in_bytes;
    struct iovec *iov;          /* n_out, then n_in */
} VqElem;

/* A part of a ring, in host memory. */
typedef struct VqMap {
    uint8_t *hva;
    RamBlock *ram;
    uint64_t offset, bytes;
} VqMap;

struct VirtQueue {
    Virtio *v;                  /* (C) */
    unsigned index;             /* (C) */
    uint16_t max_size;          /* (C) */

    /* Registers: written under the machine lock while the queue is off. */
    uint16_t size;
    uint16_t vector;            /* (A) */
    bool enabled;               /* (A) the guest handed it over */
    uint64_t desc_gpa, avail_gpa, used_gpa;

    /* Run-time; saved. */
    uint16_t last_avail;        /* the next entry to take */
    uint16_t used_idx;          /* the next to fill */
    bool avail_wrap, used_wrap; /* packed */
    uint16_t signalled_used;    /* used_idx at the last interrupt */
    bool signalled_valid;
    bool wants_kicks;

    unsigned in_use;
    uint16_t shadow_avail;      /* of the guest's index, perhaps old */
    VqMap desc, avail, used;
    unsigned map_generation;    /* 0: not mapped */
    bool again;                 /* more work than one turn does */

    int kick_fd;                /* (A) eventfd, or -1: kicks call */
    GSource *watch;
    GSource *poller;            /* of an iothread's loop */
};

/* The next element, at the start of `size` zeroed bytes; NULL when there is
 * none.  g_free() is vq_push()'s and vq_drop()'s. */
void *vq_pop(VirtQueue *vq, size_t size);
/* The element that had this token when the state was saved; NULL when there
 * is no such thing any more. */
void *vq_pop_again(VirtQueue *vq, uint32_t token, size_t size);
/* Back to the guest, of whose buffers the first `bytes` were written. */
void vq_push(VqElem *e, uint32_t bytes);
/* Forget it: the queue is being reset. */
void vq_drop(VqElem *e);
/* Undo the last vq_pop(). */
void vq_unpop(VqElem *e);
/* Interrupt the guest if it wants that. */
void vq_notify(VirtQueue *vq);
/* Have the guest kick for each buffer, or not; true when there are some. */
bool vq_want_kicks(VirtQueue *vq, bool on);
/* For a loop that polls.  Is there an element that run_queue() would take? */
bool vq_has_work(VirtQueue *vq);
/* It is being looked at, or not any more: kicks are needed then. */
void vq_polled(VirtQueue *vq, bool on);
bool vq_is_empty(VirtQueue *vq);
/* Could it be used at all: enabled, mapped, not broken? */
bool vq_is_ready(VirtQueue *vq);

/* --- for virtio.c and the rings ------------------------------------------------ */

void vq_reset(VirtQueue *vq);
void vq_unmap(VirtQueue *vq);

/* vring-split.c, vring-packed.c */
typedef struct VringOps {
    /* Map desc, avail and used. */
    bool (*map)(VirtQueue *vq);
    bool (*is_empty)(VirtQueue *vq);
    /* Walk the next chain into v->scratch; false: none, or broken. */
    bool (*pop)(VirtQueue *vq, VqElem *e);
    bool (*pop_again)(VirtQueue *vq, uint32_t token, VqElem *e);
    void (*unpop)(VirtQueue *vq, const VqElem *e);
    void (*push)(VirtQueue *vq, const VqElem *e, uint32_t bytes);
    /* Is an interrupt due?  Remembers that it was given. */
    bool (*should_notify)(VirtQueue *vq);
    void (*want_kicks)(VirtQueue *vq, bool on);
} VringOps;
extern const VringOps vring_split, vring_packed;

/* Descriptors as both rings have them, in host order, copied. */
typedef struct VqDesc {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags;
    uint16_t next_or_id;
} VqDesc;
enum { VQ_DESC_NEXT = 1, VQ_DESC_WRITE = 2, VQ_DESC_INDIRECT = 4 };
/* One 16-byte entry of a split (next last) or packed ring (flags last). */
VqDesc vq_desc_split(const uint8_t *at);
VqDesc vq_desc_packed(const uint8_t *at);

bool vq_map(VirtQueue *vq, VqMap *m, uint64_t gpa, uint64_t bytes,
            unsigned align, const char *what);
void vq_map_dirty(const VqMap *m, uint64_t at, uint64_t bytes);
/* Map one descriptor's buffer into the scratch list; false: broken. */
bool vq_add_buffer(VirtQueue *vq, VqElem *e, const VqDesc *d);
/* A descriptor's table of descriptors; NULL: broken. */
uint8_t *vq_map_table(VirtQueue *vq, const VqDesc *d);
void vq_unmap_table(uint8_t *table);

static inline uint16_t vq_load16(const VqMap *m, uint64_t at)
{
    return __atomic_load_n((const uint16_t *)(m->hva + at), __ATOMIC_ACQUIRE);
}
static inline void vq_store16(const VqMap *m, uint64_t at, uint16_t val)
{
    __atomic_store_n((uint16_t *)(m->hva + at), val, __ATOMIC_RELEASE);
    vq_map_dirty(m, at, 2);
}

#endif
