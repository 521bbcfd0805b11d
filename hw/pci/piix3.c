/*
 * PIIX3: PCI-to-ISA bridge with the PCI interrupt router.
 *
 * Spec:   Intel 82371FB/82371SB (PIIX/PIIX3) datasheet, 290550-002, function 0.
 * Models: PIRQ routing, reset control (CF9h), APICBASE; the DMA, X-bus and SMI
 *         registers hold what is written.  ELCR is the i8259's.  IDE is
 *         function 1, USB function 2, power management PIIX4's function 3.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci/piix3.h"

#include "base/trace.h"
#include "core/machine.h"

enum {                          /* configuration registers */
    IORT = 0x4c, XBCS = 0x4e, PIRQRCA = 0x60, TOM = 0x69, MSTAT = 0x6a,
    MBIRQ0 = 0x70, MBDMA0 = 0x76, PCSC = 0x78, APICBASE = 0x80, DLC = 0x82,
    SMICNTL = 0xa0, SMIEN = 0xa2, SEE = 0xa4, FTMR = 0xa8, SMIREQ = 0xaa,
    CTLTMR = 0xac, CTHTMR = 0xae,
};

enum {
    PIRQRC_OFF = 1 << 7,
    RCR_SRST = 1 << 1, RCR_RCPU = 1 << 2,
};

typedef struct Piix3 {
    PciDevice pci;
    IsaBus isa;
    Irq line[16];               /* the router's share of each ISA line */
    Region *ioapic;

    uint8_t rcr;

    uint16_t high;              /* lines it drives now */
} Piix3;

static Piix3 *piix3_of(Device *dev)
{
    return container_of(dev, Piix3, pci.dev);
}

/* --- interrupt router ------------------------------------------------------------ */

/* The ISA line of PIRQ `pirq`, or -1.  0-2, 8 and 13 are reserved: the timer,
 * the cascade, the RTC and the FPU are not to be shared. */
static int route(const Piix3 *s, int pirq)
{
    uint8_t r = s->pci.config[PIRQRCA + pirq];

    return r & PIRQRC_OFF || !(0xdef8 >> (r & 15) & 1) ? -1 : r & 15;
}

static void drive_pirqs(Piix3 *s)
{
    PciBus *bus = pci_bus_of(&s->pci);
    uint16_t high = 0;

    for (int pirq = 0; pirq < 4; pirq++) {
        int line = route(s, pirq);

        if (line >= 0 && pci_bus_irq_level(bus, pirq)) {
            high |= BIT(line);
        }
    }
    for (int i = 0; i < 16; i++) {
        if ((high ^ s->high) & BIT(i)) {
            trace("piix3-pirq", "ISA line %d level %d", i, high >> i & 1);
            irq_set(&s->line[i], high >> i & 1);
        }
    }
    s->high = high;
}

/* The board wires INTA# of slot 1 to PIRQA, of slot 2 to PIRQB, and so on. */
static int map_irq(void *opaque, unsigned devfn, unsigned pin)
{
    return (PCI_SLOT_OF(devfn) + pin - 1) & 3;
}

static void set_pirq(void *opaque, int pirq, int level)
{
    drive_pirqs(opaque);
}

/* --- reset control ------------------------------------------------------------------- */

static uint8_t rcr_read(void *opaque)
{
    return ((Piix3 *)opaque)->rcr;
}

static void rcr_write(void *opaque, uint8_t val)
{
    Piix3 *s = opaque;

    /* RCPU acts on its rising edge; hard and soft reset are one to us. */
    if (val & RCR_RCPU && !(s->rcr & RCR_RCPU)) {
        trace("piix3-reset", "0x%02x", val);
        machine_request_reset(SHUTDOWN_GUEST_RESET);
    }
    s->rcr = val & (RCR_SRST | RCR_RCPU);
}

/* --- function 0 ------------------------------------------------------------------------ */

static void move_ioapic(Piix3 *s)
{
    uint8_t r = s->pci.config[APICBASE];

    if (s->ioapic && region_mapped(s->ioapic)) {
        region_move(s->ioapic, 0xfec00000 | (r >> 2 & 15) << 12
                               | (r & 3) << 10);
    }
}

static void piix3_written(PciDevice *pci, unsigned at, unsigned size)
{
    Piix3 *s = container_of(pci, Piix3, pci);

    if (at < PIRQRCA + 4 && at + size > PIRQRCA) {
        drive_pirqs(s);
    }
    if (at <= APICBASE && at + size > APICBASE) {
        move_ioapic(s);
    }
}

IsaBus *piix3_isa_bus(Device *piix3)
{
    return &piix3_of(piix3)->isa;
}

void piix3_set_ioapic(Device *piix3, Region *ioapic)
{
    piix3_of(piix3)->ioapic = ioapic;
}

static bool piix3_realize(Device *dev, GError **err)
{
    Piix3 *s = piix3_of(dev);
    PciDevice *pci = &s->pci;
    PciBus *bus = pci_bus_of(pci);
    static const struct { uint8_t at, mask; } writable[] = {
        { IORT, 0x7f }, { XBCS, 0xff }, { XBCS + 1, 0x0f },
        { PIRQRCA, 0x8f }, { PIRQRCA + 1, 0x8f }, { PIRQRCA + 2, 0x8f },
        { PIRQRCA + 3, 0x8f }, { TOM, 0xff }, { MSTAT, 0x80 },
        { MSTAT + 1, 0xff }, { MBIRQ0, 0xef }, { MBIRQ0 + 1, 0xef },
        { MBDMA0, 0x8f }, { MBDMA0 + 1, 0x8f }, { PCSC, 0xff },
        { PCSC + 1, 0xff }, { APICBASE, 0x7f }, { DLC, 0x0f },
        { SMICNTL, 0x1f }, { SMIEN, 0xff }, { SMIEN + 1, 0x01 },
        { SEE, 0xff }, { SEE + 1, 0xff }, { SEE + 3, 0xe0 }, { FTMR, 0xff },
        { SMIREQ, 0xff }, { SMIREQ + 1, 0x01 }, { CTLTMR, 0xff },
        { CTHTMR, 0xff },
    };

    pci_set_ids(pci, 0x8086, 0x7000, 0x060100, 0x00);
    pci->config[PCI_HEADER_TYPE] |= 0x80;   /* IDE and PM share the slot */
    pci->multifunction = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(writable); i++) {
        pci->wmask[writable[i].at] = writable[i].mask;
    }
    pci->wmask[PCI_COMMAND] &= ~PCI_COMMAND_MASTER;
    pci->wmask[PCI_INTERRUPT_LINE] = 0;
    pci->on_config_write = piix3_written;

    isa_bus_init(&s->isa, dev, "isa.0");
    for (int i = 0; i < 16; i++) {
        s->line[i] = isa_bus_irq(&s->isa, i);
    }
    pci_bus_set_irqs(bus, map_irq, set_pirq, s);
    bus->cf9_read = rcr_read;
    bus->cf9_write = rcr_write;
    bus->cf9_opaque = s;
    return true;
}

static void piix3_unrealize(Device *dev)
{
    Piix3 *s = piix3_of(dev);
    PciBus *bus = pci_bus_of(&s->pci);

    pci_bus_set_irqs(bus, NULL, NULL, NULL);
    bus->cf9_read = NULL;
    bus->cf9_write = NULL;
    bus_destroy(&s->isa.bus);
}

static void piix3_reset(Device *dev)
{
    Piix3 *s = piix3_of(dev);
    PciDevice *pci = &s->pci;

    pci_set16(pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY
                                | PCI_COMMAND_MASTER);
    pci_set16(pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM);
    pci->config[IORT] = 0x4d;
    pci->config[XBCS] = 0x03;
    memset(pci->config + PIRQRCA, PIRQRC_OFF, 4);
    pci->config[TOM] = 0x02;
    pci->config[MBIRQ0] = pci->config[MBIRQ0 + 1] = 0x80;
    pci->config[MBDMA0] = pci->config[MBDMA0 + 1] = 0x04;
    pci->config[PCSC] = 0x02;
    pci->config[SMICNTL] = 0x08;
    pci->config[FTMR] = 0x0f;
    s->rcr = 0;
    drive_pirqs(s);
    move_ioapic(s);
}

static void piix3_update(Device *dev)
{
    Piix3 *s = piix3_of(dev);

    drive_pirqs(s);
    move_ioapic(s);
}

static const State piix3_state = {
    .name = "PIIX3", .version = 1,
    .fields = (const StateField[]) { STATE_U8(Piix3, rcr), {} },
};

const DeviceType piix3_type = {
    .name = "PIIX3", .doc = "Intel 82371SB PCI-to-ISA bridge",
    .parent = &pci_device_type, .size = sizeof(Piix3), .internal = true,
    .state = &piix3_state, .realize = piix3_realize,
    .unrealize = piix3_unrealize, .reset = piix3_reset,
    .update = piix3_update,
};
DEVICE_TYPE(piix3_type)
