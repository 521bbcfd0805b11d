/*
 * Shared lines and message-signalled interrupts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/irq.h"

#include <stddef.h>

#include "core/msi-fd.h"

static void or_set(void *opaque, int n, int level)
{
    IrqOr *or = opaque;

    if (level) {
        or->levels |= UINT32_C(1) << n;
    } else {
        or->levels &= ~(UINT32_C(1) << n);
    }
    irq_set(&or->out, or->levels != 0);
}

Irq irq_or_in(IrqOr *or, int n)
{
    return (Irq) { .set = or_set, .opaque = or, .n = n & 31 };
}

const MsiFdOps *msi_fd_ops;

static void (*msi_receiver)(uint64_t addr, uint32_t data);

void msi_set_receiver(void (*fn)(uint64_t addr, uint32_t data))
{
    __atomic_store_n(&msi_receiver, fn, __ATOMIC_RELEASE);
}

void msi_send(uint64_t addr, uint32_t data)
{
    void (*fn)(uint64_t, uint32_t) = __atomic_load_n(&msi_receiver,
                                                     __ATOMIC_ACQUIRE);

    if (fn) {
        fn(addr, data);
    }
}
