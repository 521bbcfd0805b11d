/*
 * Doorbells: registers where a write is all that matters, so that an
 * accelerator may tell the device by an eventfd instead of by a callback.
 *
 * Posted writes: a stretch of registers or memory where nothing happens at the
 * moment of a write, so that an accelerator may hold writes back until the vCPU
 * does something else that is seen outside, and then make them all at once.
 *
 * A device that declares one answers writes by its callback all the same: the
 * emulator, and an accelerator that cannot, know nothing of doorbells.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MEM_DOORBELL_H
#define MEM_DOORBELL_H

#include "mem/mem.h"

typedef struct Doorbell {
    hwaddr offset;              /* in its region */
    unsigned size;              /* of the write; posted: of the stretch */
    bool posted;                /* may be held back; all below is unset */
    bool match;                 /* only when it writes `data` */
    uint64_t data;
    /* The eventfd, made when first asked for; it stays the same. */
    int (*fd)(void *opaque);
    void *opaque;
} Doorbell;

/* Before `r` is mapped. */
void doorbell_add(Region *r, const Doorbell *d);
/* All of them, once it is not mapped any more. */
void doorbell_remove_all(Region *r);
/* The region's, NULL when it has none. */
const Doorbell *doorbell_of(const Region *r, unsigned *n);

/* An accelerator's that holds writes back: makes those that are there.  NULL:
 * there is none. */
extern void (*posted_flush)(void);

#endif
