/*
 * The ISA bus: ports, 16 interrupt lines, 8 DMA channels.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ISA_ISA_H
#define HW_ISA_ISA_H

#include "core/device.h"

#define ISA_N_IRQS 16

typedef struct IsaBus {
    Bus bus;
    Irq irqs[ISA_N_IRQS];       /* where the board sends each line */

    IrqOr lines[ISA_N_IRQS];    /* what isa_irq() hands out inputs of */
    uint32_t taken[ISA_N_IRQS]; /* which of those inputs are in use */
} IsaBus;

typedef struct IsaDevice {
    Device dev;
} IsaDevice;

extern const BusType isa_bus_type;
extern const DeviceType isa_device_type;    /* abstract */

/* `owner` is the bridge; the board fills in `irqs` when it likes. */
void isa_bus_init(IsaBus *bus, Device *owner, const char *name);
static inline IsaBus *isa_bus_of(const IsaDevice *isa)
{
    return container_of(isa->dev.bus, IsaBus, bus);
}

/* In realize: map `len` ports from `port`; `r` is embedded in the device and
 * destroyed by isa_unmap_io() in unrealize.  Fails when out of range. */
bool isa_map_io(IsaDevice *isa, uint32_t port, Region *r, const IoOps *ops,
                void *opaque, const char *name, unsigned len, GError **err);
void isa_unmap_io(IsaDevice *isa, Region *r);

/* A driver of the bus's line `irq` (0 to 15): COM1 and COM3 share one, so the
 * line is high while any of its drivers is.  Given back in unrealize; an Irq
 * that was never one of the bus's is left alone. */
Irq isa_irq(IsaDevice *isa, unsigned irq);
void isa_irq_release(IsaDevice *isa, Irq *irq);
/* The same for something that is no ISA device: a PCI interrupt router. */
Irq isa_bus_irq(IsaBus *bus, unsigned irq);

/* The A20 gate: one gate, which the 8042 and port 92h both turn and read. */
void isa_set_a20(bool on);
bool isa_a20(void);

#endif
