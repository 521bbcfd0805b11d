/*
 * The virtio entropy device, without a bus.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTIO_RNG_H
#define HW_VIRTIO_VIRTIO_RNG_H

#include "hw/virtio/rng.h"
#include "hw/virtio/virtio.h"

typedef struct VirtioRng {
    Virtio *v;                  /* (C) */
    RngBackend *rng;            /* properties */
    uint64_t max_bytes;
    uint32_t period_ms;

    uint64_t left_bytes;        /* of this period; saved */
    Timer period;               /* saved */
} VirtioRng;

extern const VirtioOps virtio_rng_ops;
extern const State virtio_rng_state;            /* of a VirtioRng */

#define VIRTIO_RNG_PROPS(t, f)                                              \
    PROP_LINK(t, f.rng, "rng", &rng_backend_type_ptr,                       \
              "where the bytes come from; the kernel by default"),          \
    PROP_U64(t, f.max_bytes, "max-bytes", INT64_MAX,                        \
             "most bytes in a period"),                                     \
    PROP_U32(t, f.period_ms, "period", 65536, "that period in ms")

#endif
