/*
 * ISA DMA, as a device sees it: a channel is a request line and a window on
 * memory that the guest has programmed.
 *
 *     attach: say what to call when the channel may move bytes
 *     request(on): there is something to move -> ready(), now or later
 *     in ready(): transfer() as often as needed, then request(off)
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ISA_I8257_H
#define HW_ISA_I8257_H

#include "core/device.h"

extern const DeviceType i8257_type;         /* "i8257": both controllers */

typedef void IsaDmaReadyFn(void *opaque);

/* `channel` is 0 to 3 (bytes) or 5 to 7 (words); NULL `ready` detaches. */
void isa_dma_attach(Device *dma, unsigned channel, IsaDmaReadyFn *ready,
                    void *opaque);
/* DREQ.  Calls ready() at once when the channel is enabled and unmasked, else
 * when the guest has made it so. */
void isa_dma_request(Device *dma, unsigned channel, bool on);
/*
 * Move at most `len` bytes between `buf` and memory, in the direction that
 * the guest has programmed (into `buf` when it reads memory).  How many were
 * moved: fewer at the terminal count, which sets *tc, and none while the
 * channel is masked.  Channels 5 to 7 move whole words.
 */
unsigned isa_dma_transfer(Device *dma, unsigned channel, void *buf,
                          unsigned len, bool *tc);

#endif
