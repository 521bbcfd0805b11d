/*
 * Virtio devices, whatever they do and whatever bus they are on.
 *
 *   virtio-blk  rng  serial        what it does:     VirtioOps
 *          \     |     /
 *            Virtio                status, features, queues
 *          /           \
 *   virtio-pci     virtio-mmio     how it is reached: VirtioBus
 *
 * A type is a shell with a device in it: VirtioBlkPci is a VirtioPci and a
 * VirtioBlk, and the shell's `v` points to both.
 *
 * The status register, as the driver drives it (virtio 1.2, section 3.1):
 *
 *   0 --ACKNOWLEDGE, DRIVER--> features --FEATURES_OK--> queues are set up
 *   ^  (virtio_set_status)                                     |DRIVER_OK
 *   |                                                          v
 *   +---- 0 is written: ops->stop(), all queues reset ---- started
 *         (virtio_reset)                                       |vq_pop() met
 *                                                              v nonsense
 *                                              NEEDS_RESET (virtio_broken)
 *
 * Legacy drivers have no FEATURES_OK and may kick before DRIVER_OK, which
 * starts the device as well.
 *
 * Locks: registers under the machine lock.  Queues and what the device does
 *        are in `loop`; when that is an iothread, whoever changes registers
 *        has the iothread do it and waits (virtio_in_loop()).  An iothread
 *        never takes the machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "core/device.h"
#include "hw/virtio/virtqueue.h"
#include "loop/timer.h"

enum { VIRTIO_MAX_QUEUES = 1024, VIRTIO_QUEUE_IMAGE_BYTES = 48 };

/* Not in the host's headers everywhere. */
#define VIRTIO_RING_RESET 40

typedef struct VirtioOps {
    const char *name;           /* "virtio-blk" */
    uint16_t id;                /* virtio 1.2, chapter 5 */
    uint16_t pci_id;            /* of the transitional function, 0: none */
    uint32_t pci_class;
    uint32_t config_bytes;

    /* Check properties, take back ends, virtio_add_queue(), set `offered`
     * and `loop`.  By the time of unrealize all is stopped. */
    bool (*realize)(Virtio *v, GError **err);
    void (*unrealize)(Virtio *v);
    /* Fill `config` / take what the driver wrote to [at, at + size). */
    void (*get_config)(Virtio *v, uint8_t *config);
    void (*set_config)(Virtio *v, const uint8_t *config, unsigned at,
                       unsigned size);
    /* In the loop: */
    void (*start)(Virtio *v);           /* the driver is there; may be NULL */
    /* There are buffers; at most a fair share of them is taken, and
     * vq->again set when there are more. */
    void (*kick)(Virtio *v, VirtQueue *vq);
    /* Complete what is in flight; may be NULL. */
    void (*drain)(Virtio *v);
    /* Drained and to be reset: drop what `vq` (NULL: all of them) still
     * holds; may be NULL. */
    void (*reset)(Virtio *v, VirtQueue *vq);
    /* The machine runs again; may be NULL. */
    void (*resume)(Virtio *v);
} VirtioOps;

typedef struct VirtioBus {
    /* Any thread: `vq` (NULL: the configuration) has news. */
    void (*notify)(Virtio *v, VirtQueue *vq);
    /* May the device read and write memory?  Any thread; NULL: always. */
    bool (*may_dma)(Virtio *v);
} VirtioBus;

struct Virtio {
    const VirtioOps *ops;       /* (C) from here: set by the shell's init */
    const VirtioBus *bus;
    Device *shell;
    void *dev;                  /* VirtioBlk, ... */

    /* Properties, in this order. */
    bool indirect_desc, event_idx, notify_on_empty, any_layout;
    bool iommu_platform, packed, queue_reset;

    Loop *loop;                 /* (C) after realize */
    uint64_t offered;           /* (C) feature bits */
    bool has_legacy;            /* (C) the bus shows the legacy interface */
    bool has_modern;            /* (C) and the modern one */
    unsigned n_queues;          /* (C) */
    unsigned n_vectors;         /* (C) that are of use; 0: one for each queue
                                 * and one for the configuration */
    VirtQueue **vqs;            /* (C) */

    /* Registers; saved. */
    uint8_t status;             /* (A) */
    uint8_t isr;                /* (A) */
    uint8_t generation;         /* (A) of the configuration */
    uint64_t features;          /* what the driver took */
    uint16_t config_vector;     /* (A) */
    uint16_t queue_sel;
    uint32_t offered_sel, features_sel;
    uint8_t *queue_image;       /* the queues, packed for saving */
    uint32_t queue_image_bytes; /* (C) */

    bool started, broken, paused;       /* (A) changed in the loop */
    const VringOps *ring;
    Timer again;                /* queues that were not done */
    struct iovec *scratch;      /* VQ_MAX_DESCS: the element being built */
    uint8_t *config;            /* as last read or written */
};

#define VIRTIO_PROPS(t, f)                                                  \
    PROP_BOOL(t, f.indirect_desc, "indirect_desc", true,                    \
              "tables of descriptors outside of the ring"),                 \
    PROP_BOOL(t, f.event_idx, "event_idx", true,                            \
              "interrupts and kicks at chosen indices only"),               \
    PROP_BOOL(t, f.notify_on_empty, "notify_on_empty", true,                \
              "legacy: interrupt when the ring has run empty"),             \
    PROP_BOOL(t, f.any_layout, "any_layout", true,                          \
              "legacy: buffers may be cut anywhere"),                       \
    PROP_BOOL(t, f.iommu_platform, "iommu_platform", false,                 \
              "the driver must translate addresses as the platform does"),  \
    PROP_BOOL(t, f.packed, "packed", false, "packed rings"),                \
    PROP_BOOL(t, f.queue_reset, "queue_reset", true,                        \
              "single queues can be reset")

extern const State virtio_state;        /* of a Virtio */

static inline bool virtio_has(const Virtio *v, unsigned bit)
{
    return v->features >> bit & 1;
}
static inline bool virtio_is_modern(const Virtio *v)
{
    return virtio_has(v, VIRTIO_F_VERSION_1);
}

/* --- for devices ---------------------------------------------------------------- */

/* In ops->realize: the next queue. */
VirtQueue *virtio_add_queue(Virtio *v, unsigned max_size);
VirtQueue *virtio_queue(Virtio *v, unsigned index);
/* What the driver reads in the configuration has changed; any thread. */
void virtio_config_changed(Virtio *v);
/* The driver broke the rules: nothing more is done until it resets. */
void virtio_broken(Virtio *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Go on with queues marked `again`, soon.  In the loop. */
void virtio_run_again(Virtio *v);
/* Complete what is in flight.  In the loop. */
void virtio_drain(Virtio *v);
/* Run fn(opaque) in the device's loop, and return when it has. */
void virtio_in_loop(Virtio *v, void (*fn)(void *opaque), void *opaque);

/* --- for buses -------------------------------------------------------------------- */

bool virtio_realize(Virtio *v, GError **err);
void virtio_unrealize(Virtio *v);
void virtio_reset(Virtio *v);
uint8_t virtio_status(const Virtio *v);
void virtio_set_status(Virtio *v, uint8_t status);
/* Of 32 feature bits: the offered ones; the driver's. */
uint32_t virtio_offered(const Virtio *v, bool legacy, uint32_t sel);
void virtio_set_features(Virtio *v, bool legacy, uint32_t sel, uint32_t bits);
uint32_t virtio_features(const Virtio *v, uint32_t sel);
/* The queue that queue_sel names, or NULL. */
VirtQueue *virtio_selected(Virtio *v);
void virtio_queue_set_size(Virtio *v, uint32_t size);
void virtio_queue_enable(Virtio *v);
/* By page number of a ring laid out as the legacy interface has it; 0 is off. */
void virtio_queue_set_pfn(Virtio *v, uint32_t pfn, uint32_t page_bytes,
                          uint32_t align);
/* VIRTIO_F_RING_RESET; waits until it is done. */
void virtio_queue_reset(Virtio *v, VirtQueue *vq);
/* For a doorbell: the eventfd that kicks this VirtQueue; -1 (errno): the host
 * has none to give. */
int virtio_kick_fd(void *vq);
/* Any thread. */
void virtio_kick(Virtio *v, unsigned index);
/* Configuration space; beyond its end reads are zero. */
uint64_t virtio_config_read(Virtio *v, uint64_t at, unsigned size);
void virtio_config_write(Virtio *v, uint64_t at, uint64_t val, unsigned size);
/* Read and clear the interrupt status. */
uint8_t virtio_take_isr(Virtio *v);

#endif
