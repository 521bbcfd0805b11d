/*
 * Interrupt lines.  An Irq is a small value: where a level goes.
 *
 * A device owns its outputs as members and says irq_set(&s->irq, level); the
 * board connects them.  A line left open does nothing.  Lines carry levels;
 * edge or level is the controller's business.
 *
 * Locks: machine lock, unless both ends say otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Irq {
    void (*set)(void *opaque, int n, int level);
    void *opaque;
    int n;
} Irq;

static inline void irq_set(const Irq *irq, int level)
{
    if (irq->set) {
        irq->set(irq->opaque, irq->n, level);
    }
}

static inline void irq_raise(const Irq *irq) { irq_set(irq, 1); }
static inline void irq_lower(const Irq *irq) { irq_set(irq, 0); }

static inline void irq_pulse(const Irq *irq)
{
    irq_set(irq, 1);
    irq_set(irq, 0);
}

/* A shared line: high while any of its (at most 32) inputs is. */
typedef struct IrqOr {
    Irq out;
    uint32_t levels;
} IrqOr;

/* Input `n` (0 to 31) of `or`. */
Irq irq_or_in(IrqOr *or, int n);

/*
 * Message-signalled interrupts: the 32-bit `data` written at `addr`
 * (0xfeexxxxx).  Any thread, no lock.  The interrupt controller that is
 * realized sets the receiver.
 */
void msi_send(uint64_t addr, uint32_t data);
void msi_set_receiver(void (*fn)(uint64_t addr, uint32_t data));

#endif
