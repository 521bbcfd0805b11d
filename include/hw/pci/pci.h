/*
 * PCI: functions, buses, configuration space, BARs and interrupts.
 *
 * A device embeds PciDevice and in its realize says what it is and has:
 *
 *     pci_set_ids(&s->pci, 0x1af4, 0x1005, PCI_CLASS_OTHERS, 0);
 *     region_init_io(&s->regs, &dev->obj, "rng", &rng_ops, s, 64);
 *     pci_register_bar(&s->pci, 0, PCI_BAR_IO, &s->regs);
 *     pci_set_interrupt_pin(&s->pci, 1);
 *     msix_init_bar(&s->pci, 4, 1, err)
 *
 * Everything the guest then does to the header (moving BARs, switching decode,
 * masking INTx, programming MSI) is done here.
 *
 * Invariants:
 *  1. config[] bits outside wmask and w1cmask change only by the device.
 *  2. A BAR's region is mapped exactly when COMMAND allows it and the address
 *     is one it can decode; bars[i].gpa is UINT64_MAX otherwise.
 *  3. The bus's line count includes a function exactly when `intx_driven`.
 *
 * Locks: machine lock; but pci_dma_*(), msi_notify() and msix_notify() may be
 * called by any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include <linux/pci_regs.h>

#include "core/device.h"

typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

enum {
    PCI_N_DEVFN = 256, PCI_N_PINS = 4, PCI_N_BARS = 6,
    PCI_ROM = 6,                /* the expansion ROM's place in bars[] */
    PCI_CONFIG_BYTES = 256, PCIE_CONFIG_BYTES = 4096,
};

#define PCI_DEVFN_OF(slot, func) ((slot) << 3 | (func))
#define PCI_SLOT_OF(devfn)       ((devfn) >> 3 & 31)
#define PCI_FUNC_OF(devfn)       ((devfn) & 7)

#define PCI_SUBSYSTEM_VENDOR 0x1af4     /* given to every function that does */
#define PCI_SUBSYSTEM_DEVICE 0x1100     /* not say otherwise, as in QEMU */

/* --- functions ------------------------------------------------------------- */

typedef enum {
    PCI_BAR_IO = PCI_BASE_ADDRESS_SPACE_IO,
    PCI_BAR_MEM32 = 0,
    PCI_BAR_MEM64 = PCI_BASE_ADDRESS_MEM_TYPE_64,
    PCI_BAR_PREFETCH = PCI_BASE_ADDRESS_MEM_PREFETCH,   /* or'ed in */
} PciBarKind;

typedef struct PciBar {
    Region *region;             /* (C) NULL: not there */
    uint64_t size_bytes;        /* (C) power of two */
    uint8_t kind;               /* (C) PciBarKind bits */
    hwaddr gpa;                 /* where it is mapped, or UINT64_MAX */
} PciBar;

typedef struct MsixFd MsixFd;

/* MSI-X state; `n` is 0 when there is none.  msix.c */
typedef struct Msix {
    unsigned n;                 /* (C) vectors */
    Region bar, table_io, pba_io;
    uint32_t table_bytes, pba_bytes;    /* (C) */
    uint8_t *table;             /* (A) 16 bytes a vector, in host words */
    uint8_t *pba;               /* (A) a bit a vector, in host words */
    MsixFd *fds;                /* (A) of each vector; NULL: none.  msix-fd.c */
} Msix;

struct PciDevice {
    Device dev;
    int32_t addr;               /* property: devfn, -1: the next free slot */
    bool multifunction;         /* property */
    bool rom_bar;               /* property: map romfile in the ROM BAR */
    char *romfile;              /* property */

    uint8_t devfn;              /* (C) */
    uint32_t config_bytes;      /* (C) 256, or 4096 behind PCI Express */
    uint8_t *config;            /* as the guest reads it */
    uint8_t *wmask;             /* (C) bits that the guest writes */
    uint8_t *w1cmask;           /* (C) bits that writing 1 clears */
    PciBar bars[PCI_N_BARS + 1];
    Region rom;

    /* Configuration accesses the device wants to see, or NULL.  `read` is
     * called before and `write` after the default has been applied. */
    void (*on_config_read)(PciDevice *, unsigned at, unsigned size);
    void (*on_config_write)(PciDevice *, unsigned at, unsigned size);
    /* Instead of the defaults: bridges and chip sets with side doors. */
    void (*on_bar_moved)(PciDevice *, unsigned bar);

    bool bus_master;            /* (A) COMMAND.MASTER, for other threads */
    bool intx_level;            /* what the device asked for */
    bool intx_driven;           /* what the bus sees */
    uint8_t header[64];         /* as reset left it: loads are checked by it */
    unsigned cap_end;           /* (C) next free byte for a capability */
    uint8_t msi_cap, msix_cap;  /* (C) offset, 0: none */
    Msix msix;
};

extern const DeviceType pci_device_type;    /* abstract */

/* The function of `dev`, whose type must descend from pci_device_type. */
static inline PciDevice *pci_device_of(Device *dev)
{
    return container_of(dev, PciDevice, dev);
}

/* In realize.  `class_code` is 24 bits: class, subclass, interface. */
void pci_set_ids(PciDevice *pci, uint16_t vendor, uint16_t device,
                 uint32_t class_code, uint8_t revision);
void pci_set_subsystem(PciDevice *pci, uint16_t vendor, uint16_t device);
/* 1 to 4 for INTA# to INTD#. */
void pci_set_interrupt_pin(PciDevice *pci, unsigned pin);
/* The region's size must be a power of two, at least 4 (I/O) or 16. */
void pci_register_bar(PciDevice *pci, unsigned bar, unsigned kind, Region *r);
/* The expansion ROM from `romfile` (or `deflt`, when the user named none; may
 * be NULL); nothing to do is success. */
bool pci_load_rom(PciDevice *pci, const char *deflt, GError **err);
/* A capability of `len` bytes, zero but for id and link, read-only until the
 * caller opens wmask; its offset, or 0 when config space is full. */
unsigned pci_add_capability(PciDevice *pci, uint8_t id, unsigned len);
unsigned pci_find_capability(const PciDevice *pci, uint8_t id);

/* Registers by the device itself: no masks, no side effects. */
static inline uint16_t pci_get16(const PciDevice *pci, unsigned at)
{
    return load_le16(pci->config + at);
}
static inline uint32_t pci_get32(const PciDevice *pci, unsigned at)
{
    return load_le32(pci->config + at);
}
static inline void pci_set16(PciDevice *pci, unsigned at, uint16_t val)
{
    store_le16(pci->config + at, val);
}
static inline void pci_set32(PciDevice *pci, unsigned at, uint32_t val)
{
    store_le32(pci->config + at, val);
}

/* An access by the guest (or by boot code in its stead): `size` is 1, 2 or 4,
 * and the access stays within an aligned doubleword. */
uint32_t pci_config_read(PciDevice *pci, unsigned at, unsigned size);
void pci_config_write(PciDevice *pci, unsigned at, uint32_t val,
                      unsigned size);

/* Drive the function's INTx line, as a level. */
void pci_set_irq(PciDevice *pci, int level);
/* Map, move and unmap BARs as COMMAND and the BARs say; after a device
 * changed them by itself. */
void pci_update_mappings(PciDevice *pci);

/* --- DMA; any thread --------------------------------------------------------- */

/* MEM_DECODE_ERROR, touching nothing (reads give FF), while the guest has not
 * made the function a bus master. */
MemResult pci_dma_read(PciDevice *pci, hwaddr gpa, void *buf, size_t len);
MemResult pci_dma_write(PciDevice *pci, hwaddr gpa, const void *buf,
                        size_t len);
/* As as_map() and as_unmap(); NULL also when not a bus master. */
void *pci_dma_map(PciDevice *pci, hwaddr gpa, uint64_t *len, bool write);
void pci_dma_unmap(PciDevice *pci, void *hva, uint64_t len, bool write,
                   uint64_t written);

/* --- MSI and MSI-X: msi.c, msix.c ---------------------------------------------- */

/* `n_vectors` is 1, 2, 4, 8, 16 or 32.  False when config space is full. */
bool msi_init(PciDevice *pci, unsigned n_vectors, bool addr64, bool maskable);
bool msi_enabled(const PciDevice *pci);
/* Any thread.  Vectors beyond those the guest enabled fold into them. */
void msi_notify(PciDevice *pci, unsigned vector);
void msi_config_written(PciDevice *pci, unsigned at, unsigned size);

/* Table and pending bits in `region`, a container that is BAR `bar`, at these
 * offsets, both 8-aligned. */
bool msix_init(PciDevice *pci, unsigned n_vectors, Region *region,
               unsigned bar, uint32_t table_at, uint32_t pba_at,
               GError **err);
/* With a 32-bit memory BAR of their own. */
bool msix_init_bar(PciDevice *pci, unsigned n_vectors, unsigned bar,
                   GError **err);
bool msix_enabled(const PciDevice *pci);
unsigned msix_n_vectors(const PciDevice *pci);
/* Any thread: send, or set the pending bit while masked. */
void msix_notify(PciDevice *pci, unsigned vector);
/* An eventfd to which anyone may write instead; it is the vector's from now on
 * until msix_free().  -1 (errno): the host gives none. */
int msix_eventfd(PciDevice *pci, unsigned vector);
void msix_config_written(PciDevice *pci, unsigned at, unsigned size);
void msix_reset(PciDevice *pci);
void msix_free(PciDevice *pci);

/* --- buses ------------------------------------------------------------------------ */

struct PciBus {
    Bus bus;
    PciDevice *devs[PCI_N_DEVFN];
    Region *mem, *io;           /* (C) where BARs are mapped */
    PciDevice *bridge;          /* (C) NULL: a root bus */

    /* Root buses: who takes INTx; see pci_bus_set_irqs(). */
    int (*map_irq)(void *opaque, unsigned devfn, unsigned pin);
    void (*set_irq)(void *opaque, int line, int level);
    void *irq_opaque;
    unsigned irq_count[PCI_N_PINS];     /* functions that hold each line */

    /* Port CF9h lies inside the 32-bit CF8h: the host bridge gives byte
     * accesses to it to whoever has the reset control register. */
    uint8_t (*cf9_read)(void *opaque);
    void (*cf9_write)(void *opaque, uint8_t val);
    void *cf9_opaque;
};

extern const BusType pci_bus_type;

static inline PciBus *pci_bus_of(const PciDevice *pci)
{
    return container_of(pci->dev.bus, PciBus, bus);
}

/* `owner` is the host bridge; BARs will be mapped in `mem` and `io`. */
void pci_bus_init(PciBus *bus, Device *owner, const char *name, Region *mem,
                  Region *io);
void pci_bus_destroy(PciBus *bus);
/*
 * The interrupt router takes the root bus's INTx: map() gives the line (0 to
 * 3) of a pin (0 to 3) of a function, set() is told each change of a line.
 */
void pci_bus_set_irqs(PciBus *bus,
                      int (*map)(void *opaque, unsigned devfn, unsigned pin),
                      void (*set)(void *opaque, int line, int level),
                      void *opaque);
/* Is `line` held by some function? */
bool pci_bus_irq_level(const PciBus *bus, int line);

/* Configuration by bus number and devfn: all ones where nobody answers. */
uint32_t pci_bus_config_read(PciBus *root, unsigned bus_nr, unsigned devfn,
                             unsigned at, unsigned size);
void pci_bus_config_write(PciBus *root, unsigned bus_nr, unsigned devfn,
                          unsigned at, uint32_t val, unsigned size);

#endif
