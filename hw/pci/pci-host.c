/*
 * Configuration mechanism 1.
 *
 * Spec:  PCI Local Bus Specification 3.0, section 3.2.2.3.2.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci/pci-host.h"

#define CONF_PORT 0xcf8

enum { CONFADD_ENABLE = 31, RCR_OFFSET = 1 };

static uint64_t addr_read(void *opaque, hwaddr at, unsigned size)
{
    PciConf1 *c = opaque;
    PciBus *bus = c->bus;

    if (size == 4) {
        return c->addr;
    }
    /* Narrower accesses pass through to the other devices on the bus: of
     * those only the reset control register is there. */
    if (at == RCR_OFFSET && size == 1 && bus->cf9_read) {
        return bus->cf9_read(bus->cf9_opaque);
    }
    return size_mask(size);
}

static void addr_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    PciConf1 *c = opaque;
    PciBus *bus = c->bus;

    if (size == 4) {
        c->addr = val & 0x80fffffc;
    } else if (at == RCR_OFFSET && size == 1 && bus->cf9_write) {
        bus->cf9_write(bus->cf9_opaque, val);
    }
}

static const IoOps addr_ops = {
    .read = addr_read, .write = addr_write, .size_min = 1, .size_max = 4,
};

static uint64_t data_read(void *opaque, hwaddr at, unsigned size)
{
    PciConf1 *c = opaque;

    if (!(c->addr & BIT(CONFADD_ENABLE))) {
        return size_mask(size);
    }
    return pci_bus_config_read(c->bus, c->addr >> 16 & 0xff,
                               c->addr >> 8 & 0xff, (c->addr & 0xfc) + at,
                               size);
}

static void data_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    PciConf1 *c = opaque;

    if (c->addr & BIT(CONFADD_ENABLE)) {
        pci_bus_config_write(c->bus, c->addr >> 16 & 0xff,
                             c->addr >> 8 & 0xff, (c->addr & 0xfc) + at, val,
                             size);
    }
}

static const IoOps data_ops = {
    .read = data_read, .write = data_write, .size_min = 1, .size_max = 4,
};

void pci_conf1_init(PciConf1 *c, Device *owner, PciBus *bus, Region *io)
{
    c->bus = bus;
    c->addr = 0;
    region_init_io(&c->addr_io, &owner->obj, "pci-conf-idx", &addr_ops, c, 4);
    region_init_io(&c->data_io, &owner->obj, "pci-conf-data", &data_ops, c, 4);
    /* Above BARs: the bridge takes its ports before they reach the bus. */
    region_map(io, CONF_PORT, &c->addr_io, 2);
    region_map(io, CONF_PORT + 4, &c->data_io, 2);
}

void pci_conf1_destroy(PciConf1 *c)
{
    region_destroy(&c->addr_io);
    region_destroy(&c->data_io);
}
