/*
 * A virtio driver in the test's process, for a device on the PC's skeleton. It
 * knows the legacy interface and the modern one, split and packed rings, and
 * leaves every byte of a ring to tests that want to lie.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_HW_VDRIVER_H
#define TESTS_UNIT_HW_VDRIVER_H

#include "hw/virtio/virtio-pci.h"
#include "pctest.h"

enum {
    VD_LEGACY_PORT = 0xc000, VD_MSIX_GPA = 0xfe000000,
    VD_MODERN_GPA = 0xfe010000,
    VD_RINGS = 0x100000, VD_RING_STEP = 0x10000,    /* where rings are */
    VD_DATA = 0x400000,                             /* and buffers may be */
};

typedef enum { VD_LEGACY, VD_MODERN, VD_PACKED, VD_N_MODES } VdMode;

typedef struct VdQueue {
    unsigned index, size;
    uint64_t desc, avail, used;     /* gpa */
    uint16_t next_desc;             /* free entry */
    uint16_t avail_idx, used_idx;
    bool avail_wrap, used_wrap;
    uint16_t chain[1024];           /* packed: entries of each id */
} VdQueue;

typedef struct VdBuf {
    uint64_t gpa;
    uint32_t bytes;
    bool write;                     /* by the device */
} VdBuf;

typedef struct VDriver {
    PcTest *pc;
    Device *dev;
    unsigned devfn;
    VdMode mode;
    uint64_t features;
    VdQueue q[8];
    unsigned n_msis, msi_count[16]; /* messages, by vector */
} VDriver;

/* The device `type` with `props`, its BARs mapped; not yet driven. */
VDriver *vd_new(PcTest *pc, const char *type, const char *props, VdMode mode);
void vd_free(VDriver *d);
/* Reset, negotiate what is offered of `wanted` (and what the mode needs), set
 * up `n_queues` of `size` entries (0: as offered), DRIVER_OK.  With `msix`
 * queue n has vector n + 1 and the configuration vector 0. */
void vd_start(VDriver *d, uint64_t wanted, unsigned n_queues, unsigned size,
              bool msix);
void vd_negotiate(VDriver *d, uint64_t wanted);
void vd_set_up_queue(VDriver *d, unsigned n, unsigned size, bool msix);
void vd_set_status(VDriver *d, uint8_t status);
uint8_t vd_status(VDriver *d);
uint64_t vd_offered(VDriver *d);
uint64_t vd_config(VDriver *d, unsigned at, unsigned size);
void vd_set_config(VDriver *d, unsigned at, unsigned size, uint64_t val);
uint8_t vd_isr(VDriver *d);
int vd_intx(VDriver *d);
/* The modern common configuration, whatever the mode. */
uint64_t vd_common(VDriver *d, unsigned at, unsigned size);
void vd_set_common(VDriver *d, unsigned at, unsigned size, uint64_t val);

/* Split rings, byte by byte. */
void vd_desc(VdQueue *q, unsigned i, uint64_t gpa, uint32_t bytes,
             uint16_t flags, uint16_t next);
void vd_make_avail(VdQueue *q, uint16_t head);

/* An element of `n` buffers; with `table` not 0 through an indirect table
 * there.  Its id. */
uint16_t vd_add(VDriver *d, unsigned queue, const VdBuf *bufs, unsigned n,
                uint64_t table);
void vd_kick(VDriver *d, unsigned queue);
/* One that the device has done with; false: none. */
bool vd_used(VDriver *d, unsigned queue, uint16_t *id, uint32_t *bytes);
/* The same, waiting for it. */
uint32_t vd_wait(VDriver *d, unsigned queue, uint16_t *id);
/* Let the loops run while `busy` says so, a second at most. */
void vd_run(void);

#endif
