/*
 * The ISA bus: ports, 16 interrupt lines, 8 DMA channels.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ISA_ISA_H
#define HW_ISA_ISA_H

#include "core/device.h"

typedef struct IsaBus {
    Bus bus;
    Irq irqs[16];               /* where the board sends each line */
} IsaBus;

typedef struct IsaDevice {
    Device dev;
} IsaDevice;

extern const BusType isa_bus_type;
extern const DeviceType isa_device_type;    /* abstract */

/* `owner` is the bridge; the bus takes `irqs` from the board later. */
void isa_bus_init(IsaBus *bus, Device *owner, const char *name);
static inline IsaBus *isa_bus_of(const IsaDevice *isa)
{
    return container_of(isa->dev.bus, IsaBus, bus);
}

/* In realize: map `len` ports from `port`; `r` is embedded in the device and
 * destroyed by isa_unmap_io() in unrealize.  Fails when out of range. */
bool isa_map_io(IsaDevice *isa, uint16_t port, Region *r, const IoOps *ops,
                void *opaque, const char *name, unsigned len, GError **err);
void isa_unmap_io(IsaDevice *isa, Region *r);
/* The bus's line `irq` (0 to 15), for an output of the device. */
Irq isa_irq(IsaDevice *isa, unsigned irq);

#endif
