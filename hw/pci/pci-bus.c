/*
 * PCI buses: slots, the way of INTx to the interrupt router, configuration by
 * bus and function number.
 *
 * Spec:  PCI Local Bus Specification 3.0, sections 2.2.6 (INTx), 3.2.2.3
 *        (configuration); PCI-to-PCI Bridge Architecture 1.2, 9.1 (swizzle).
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci/pci.h"
#include "pci-private.h"

/* --- slots --------------------------------------------------------------------- */

static bool slot_has_other(PciBus *bus, unsigned slot, unsigned func)
{
    for (unsigned f = 0; f < 8; f++) {
        if (f != func && bus->devs[PCI_DEVFN_OF(slot, f)]) {
            return true;
        }
    }
    return false;
}

/* A guest looks at function 0 first and at the others only if that says
 * "multifunction": refuse what it would never find. */
static bool check_functions(PciBus *bus, PciDevice *pci, unsigned devfn,
                            GError **err)
{
    unsigned slot = PCI_SLOT_OF(devfn), func = PCI_FUNC_OF(devfn);
    PciDevice *first = bus->devs[PCI_DEVFN_OF(slot, 0)];

    if (bus->devs[devfn]) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_EXIST,
                    "%s: addr=%02x.%x of bus '%s' is taken by %s",
                    pci->dev.obj.type->name, slot, func, bus->bus.name,
                    bus->devs[devfn]->dev.obj.type->name);
        return false;
    }
    if (func && first && !first->multifunction) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: addr=%02x.%x needs multifunction=on at %02x.0, "
                    "where %s is", pci->dev.obj.type->name, slot, func, slot,
                    first->dev.obj.type->name);
        return false;
    }
    if (!func && !pci->multifunction && slot_has_other(bus, slot, 0)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: addr=%02x.0 needs multifunction=on, because other "
                    "functions of the slot are there",
                    pci->dev.obj.type->name, slot);
        return false;
    }
    return true;
}

bool pci_bus_plug(PciDevice *pci, GError **err)
{
    PciBus *bus = pci_bus_of(pci);
    int devfn = pci->addr;

    if (devfn < 0) {
        for (devfn = 0; devfn < PCI_N_DEVFN; devfn += 8) {
            if (!bus->devs[devfn]
                && !slot_has_other(bus, PCI_SLOT_OF(devfn), 0)) {
                break;
            }
        }
        if (devfn == PCI_N_DEVFN) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
                        "%s: no free slot on bus '%s'",
                        pci->dev.obj.type->name, bus->bus.name);
            return false;
        }
    }
    if (devfn >= PCI_N_DEVFN) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: addr=0x%x is not a slot (0 to 1f) and function",
                    pci->dev.obj.type->name, devfn);
        return false;
    }
    if (!check_functions(bus, pci, devfn, err)) {
        return false;
    }
    pci->devfn = devfn;
    bus->devs[devfn] = pci;
    return true;
}

void pci_bus_unplug(PciDevice *pci)
{
    pci_bus_of(pci)->devs[pci->devfn] = NULL;
}

/* --- INTx ------------------------------------------------------------------------- */

void pci_bus_intx(PciDevice *pci, bool level)
{
    PciBus *bus = pci_bus_of(pci);
    unsigned devfn = pci->devfn;
    int pin = (pci->config[PCI_INTERRUPT_PIN] - 1) & 3, line;

    /* Each bridge on the way rotates the pins by the slot behind it. */
    while (bus->bridge) {
        pin = (pin + PCI_SLOT_OF(devfn)) & 3;
        devfn = bus->bridge->devfn;
        bus = pci_bus_of(bus->bridge);
    }
    line = bus->map_irq ? bus->map_irq(bus->irq_opaque, devfn, pin) & 3 : pin;
    bus->irq_count[line] += level ? 1 : -1;
    if (bus->set_irq && bus->irq_count[line] == (level ? 1 : 0)) {
        bus->set_irq(bus->irq_opaque, line, level);
    }
}

void pci_bus_set_irqs(PciBus *bus,
                      int (*map)(void *opaque, unsigned devfn, unsigned pin),
                      void (*set)(void *opaque, int line, int level),
                      void *opaque)
{
    bus->map_irq = map;
    bus->set_irq = set;
    bus->irq_opaque = opaque;
}

bool pci_bus_irq_level(const PciBus *bus, int line)
{
    return bus->irq_count[line & 3] != 0;
}

/* --- configuration ------------------------------------------------------------------- */

static PciDevice *find(PciBus *root, unsigned bus_nr, unsigned devfn)
{
    /* Buses behind bridges will be looked up here. */
    return bus_nr == 0 && devfn < PCI_N_DEVFN ? root->devs[devfn] : NULL;
}

uint32_t pci_bus_config_read(PciBus *root, unsigned bus_nr, unsigned devfn,
                             unsigned at, unsigned size)
{
    PciDevice *pci = find(root, bus_nr, devfn);

    return pci ? pci_config_read(pci, at, size) : size_mask(size);
}

void pci_bus_config_write(PciBus *root, unsigned bus_nr, unsigned devfn,
                          unsigned at, uint32_t val, unsigned size)
{
    PciDevice *pci = find(root, bus_nr, devfn);

    if (pci) {
        pci_config_write(pci, at, val, size);
    }
}

/* --- type ------------------------------------------------------------------------------- */

static void pci_bus_print(Bus *bus, Device *dev, GString *out)
{
    PciDevice *pci = pci_device_of(dev);

    g_string_append_printf(out, "class 0x%04x, addr %02x:%02x.%x, pci id "
                           "%04x:%04x (sub %04x:%04x)",
                           pci_get16(pci, PCI_CLASS_DEVICE), 0,
                           PCI_SLOT_OF(pci->devfn), PCI_FUNC_OF(pci->devfn),
                           pci_get16(pci, PCI_VENDOR_ID),
                           pci_get16(pci, PCI_DEVICE_ID),
                           pci_get16(pci, PCI_SUBSYSTEM_VENDOR_ID),
                           pci_get16(pci, PCI_SUBSYSTEM_ID));
    for (unsigned i = 0; i <= PCI_ROM; i++) {
        const PciBar *b = &pci->bars[i];

        if (b->region) {
            g_string_append_printf(out, "\nbar %u: %s at 0x%" PRIx64
                                   " [0x%" PRIx64 "]", i,
                                   b->kind & PCI_BAR_IO ? "i/o" : "mem",
                                   b->gpa, b->gpa + b->size_bytes - 1);
        }
    }
}

/* As IEEE 1275's PCI binding names nodes: SeaBIOS matches boot order by it. */
static char *pci_bus_fw_path(Bus *bus, Device *dev)
{
    static const struct { uint16_t class; const char *name; } names[] = {
        { 0x0100, "scsi" }, { 0x0101, "ide" }, { 0x0102, "fdc" },
        { 0x0106, "sata" }, { 0x0200, "ethernet" }, { 0x0300, "display" },
        { 0x0601, "isa" }, { 0x0604, "pci-bridge" }, { 0x0c03, "usb" },
    };
    PciDevice *pci = pci_device_of(dev);
    uint16_t class = pci_get16(pci, PCI_CLASS_DEVICE);
    unsigned slot = PCI_SLOT_OF(pci->devfn), func = PCI_FUNC_OF(pci->devfn);
    g_autofree char *name = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(names) && !name; i++) {
        if (names[i].class == class) {
            name = g_strdup(names[i].name);
        }
    }
    if (!name) {
        name = g_strdup_printf("pci%04x,%04x", pci_get16(pci, PCI_VENDOR_ID),
                               pci_get16(pci, PCI_DEVICE_ID));
    }
    return func ? g_strdup_printf("%s@%x,%x", name, slot, func)
                : g_strdup_printf("%s@%x", name, slot);
}

const BusType pci_bus_type = {
    .name = "PCI", .print = pci_bus_print, .fw_path = pci_bus_fw_path,
};

void pci_bus_init(PciBus *bus, Device *owner, const char *name, Region *mem,
                  Region *io)
{
    memset(bus, 0, sizeof(*bus));
    bus->mem = mem;
    bus->io = io;
    bus_init(&bus->bus, &pci_bus_type, owner, name);
}

void pci_bus_destroy(PciBus *bus)
{
    bus_destroy(&bus->bus);
}
