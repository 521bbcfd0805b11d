/*
 * The ISA bus.
 *
 * Spec:   ISA has no standard; IEEE P996 draft, and the PIIX3 datasheet.
 * Models: port decoding and shared interrupt lines.  Real ISA lines cannot be
 *         shared by edge-triggered cards; here a line is the OR of its
 *         drivers, which is what a guest with COM1 and COM3 hopes for.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

#define ISA_N_PORTS 0x10000

static void isa_line_set(void *opaque, int n, int level)
{
    IsaBus *bus = opaque;

    irq_set(&bus->irqs[n], level);
}

void isa_bus_init(IsaBus *bus, Device *owner, const char *name)
{
    bus_init(&bus->bus, &isa_bus_type, owner, name);
    for (int i = 0; i < ISA_N_IRQS; i++) {
        bus->lines[i] = (IrqOr) { .out = { isa_line_set, bus, i } };
        bus->taken[i] = 0;
    }
}

Irq isa_bus_irq(IsaBus *bus, unsigned irq)
{
    if (irq >= ISA_N_IRQS || bus->taken[irq] == UINT32_MAX) {
        return (Irq) {};
    }
    int n = __builtin_ctz(~bus->taken[irq]);

    bus->taken[irq] |= BIT(n);
    return irq_or_in(&bus->lines[irq], n);
}

Irq isa_irq(IsaDevice *isa, unsigned irq)
{
    return isa_bus_irq(isa_bus_of(isa), irq);
}

void isa_irq_release(IsaDevice *isa, Irq *irq)
{
    IsaBus *bus = isa_bus_of(isa);

    for (int i = 0; i < ISA_N_IRQS; i++) {
        if (irq->opaque == &bus->lines[i]) {
            irq_lower(irq);
            bus->taken[i] &= ~BIT(irq->n);
            *irq = (Irq) {};
        }
    }
}

bool isa_map_io(IsaDevice *isa, uint32_t port, Region *r, const IoOps *ops,
                void *opaque, const char *name, unsigned len, GError **err)
{
    if (port >= ISA_N_PORTS || len == 0 || len > ISA_N_PORTS - port) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "%s: %u ports from 0x%x do not fit below 0x%x",
                    name, len, port, ISA_N_PORTS);
        return false;
    }
    region_init_io(r, &isa->dev.obj, name, ops, opaque, len);
    region_map(io_root(), port, r, 0);
    return true;
}

void isa_unmap_io(IsaDevice *isa, Region *r)
{
    region_destroy(r);
}

/* --- A20 gate ------------------------------------------------------------ */

static bool a20 = true;

void isa_set_a20(bool on)
{
    a20 = on;
    if (machine_set_a20) {
        machine_set_a20(on);
    }
}

bool isa_a20(void)
{
    return a20;
}

const BusType isa_bus_type = { .name = "ISA" };

const DeviceType isa_device_type = {
    .name = "isa-device", .doc = "anything on an ISA bus",
    .parent = &device_type, .size = sizeof(IsaDevice), .abstract = true,
    .bus = &isa_bus_type,
};
DEVICE_TYPE(isa_device_type)
