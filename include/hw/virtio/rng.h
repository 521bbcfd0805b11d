/*
 * Sources of random bytes: -object rng-builtin, rng-random.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_RNG_H
#define HW_VIRTIO_RNG_H

#include "core/user-object.h"

typedef struct RngBackend RngBackend;
struct RngBackend {
    Object obj;
    char *filename;             /* property of rng-random */
    int fd;                     /* -1: the kernel's own */
    bool ended;                 /* the file has no more */
    GSource *watch;
    void (*ready)(void *opaque);
    void *opaque;
};

extern const Type rng_backend_type;             /* abstract */
extern const Type *const rng_backend_type_ptr;  /* for PROP_LINK */

/* At most `len` bytes (NULL: from the kernel); 0 when there are none now. */
size_t rng_read(RngBackend *rng, void *buf, size_t len);
/* Call fn(opaque) once there may be some again; NULL cancels. */
void rng_wait(RngBackend *rng, void (*fn)(void *opaque), void *opaque);

#endif
