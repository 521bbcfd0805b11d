/*
 * i440FX: host bridge and memory controller of the "pc" machine.
 *
 * Spec:   Intel 82441FX (PMC) datasheet, 290549-001, chapter 3.
 * Models: configuration mechanism 1, PAM shadowing (read and write enable
 *         apart), SMRAM with its lock (D_CLS is stored), DRAM row boundaries, turbo reset
 *         control.  Not: timing, ECC and error registers, which hold what is
 *         written; the fixed DRAM hole (FDHC) of 512K-640K and 15M-16M.
 * Locks:  machine lock.
 *
 * The map below 1 MiB, from the top down.  Everything that is not RAM for a
 * given access falls through to PCI, where the firmware's ROM is:
 *
 *   priority 1   pam[13], smram    this bridge's windows
 *   priority 0   RAM, IOAPIC, ...  the board's
 *   priority -1  pci memory        all 2^64 bytes of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci/i440fx.h"
#include "hw/pci/pci-host.h"

#include "base/log.h"
#include "base/trace.h"
#include "core/machine.h"

enum {                          /* configuration registers */
    PMCCFG = 0x50, DETURBO = 0x52, DBC = 0x53, AXC = 0x54, DRT = 0x55,
    DRAMC = 0x57, DRAMT = 0x58, PAM0 = 0x59, PAM6 = 0x5f, DRB0 = 0x60,
    FDHC = 0x68, MTT = 0x70, CLT = 0x71, SMRAM = 0x72, ERRCMD = 0x90,
    ERRSTS = 0x91, TRC = 0x93,
};

enum {
    PAM_RE = 1 << 0, PAM_WE = 1 << 1,           /* of each nibble */
    SMRAM_G_SMRAME = 1 << 3, SMRAM_D_LCK = 1 << 4, SMRAM_D_CLS = 1 << 5,
    SMRAM_D_OPEN = 1 << 6, SMRAM_C_BASE_SEG = 2,
    TRC_RESET = 1 << 2,
};

enum { N_PAM = 13 };

typedef struct Pmc {            /* function 00.0 */
    PciDevice pci;
    struct I440fxHost *host;
} Pmc;

/*
 * One shadowed stretch.  Of the three windows one is mapped, chosen by the two
 * enable bits: `ram` for both and (read-only) for read alone, `pci` for none,
 * `split` for write alone.
 */
typedef struct Pam {
    struct I440fxHost *host;
    uint32_t base, size_bytes;
    Region ram, pci, split;
    Region *mapped;
} Pam;

typedef struct I440fxHost {
    Device dev;
    uint64_t pci_hole64_bytes;  /* property; ACPI's _CRS */
    Region *ram;
    PciBus bus;
    PciConf1 conf;
    Region pci_mem;
    AddressSpace pci_as, ram_as;
    Pam pam[N_PAM];
    uint8_t pam_regs[PAM6 - PAM0 + 1];  /* as they were last looked at */
    Region smram;               /* A0000h: PCI's, over the RAM below it */
    Region smm_ram;             /* A0000h in system management mode: RAM */
    Region hole;                /* PCI below 1 MiB where nothing answers */
    Pmc *pmc;
} I440fxHost;

static I440fxHost *host_of(Device *dev)
{
    return container_of(dev, I440fxHost, dev);
}

static Pmc *pmc_of(PciDevice *pci)
{
    return container_of(pci, Pmc, pci);
}

/* --- PAM ----------------------------------------------------------------------- */

/* Write enabled, read not: the way a BIOS copies itself into its shadow. */
static uint64_t split_read(void *opaque, hwaddr at, unsigned size)
{
    Pam *p = opaque;
    uint64_t val = size_mask(size);

    as_load(&p->host->pci_as, p->base + at, size, &val);
    return val;
}

static void split_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    Pam *p = opaque;

    as_store(&p->host->ram_as, p->base + at, size, val);
}

static const IoOps split_ops = {
    .read = split_read, .write = split_write, .size_min = 1, .size_max = 8,
};

static void pam_update(I440fxHost *s)
{
    memcpy(s->pam_regs, s->pmc->pci.config + PAM0, sizeof(s->pam_regs));
    mem_begin();
    for (unsigned i = 0; i < N_PAM && s->ram; i++) {
        Pam *p = &s->pam[i];
        /* PAM0 has F0000h alone, in its high nibble; then two to a byte. */
        unsigned nibble = i + 1;
        unsigned bits = s->pmc->pci.config[PAM0 + nibble / 2]
                        >> (nibble & 1 ? 4 : 0) & (PAM_RE | PAM_WE);
        Region *want = bits & PAM_RE ? &p->ram
                       : bits & PAM_WE ? &p->split : &p->pci;

        if (bits & PAM_RE) {
            region_set_readonly(&p->ram, !(bits & PAM_WE));
        }
        if (want != p->mapped) {
            trace("i440fx-pam", "0x%05x: 0x%x", p->base, bits);
            if (p->mapped) {
                region_unmap(p->mapped);
            }
            region_map(mem_root(), p->base, want, 1);
            p->mapped = want;
        }
    }
    mem_commit();
}

static void pam_init(I440fxHost *s)
{
    for (unsigned i = 0; i < N_PAM; i++) {
        Pam *p = &s->pam[i];

        p->host = s;
        p->base = i ? 0xc0000 + (i - 1) * 0x4000 : 0xf0000;
        p->size_bytes = i ? 0x4000 : 0x10000;
        region_init_alias(&p->ram, &s->dev.obj, "pam-ram", s->ram, p->base,
                          p->size_bytes);
        region_init_alias(&p->pci, &s->dev.obj, "pam-pci", &s->pci_mem,
                          p->base, p->size_bytes);
        region_init_io(&p->split, &s->dev.obj, "pam-split", &split_ops, p,
                       p->size_bytes);
    }
}

/* An alias of PCI memory lets RAM show through where PCI has nothing; so there
 * is something: nothing. */
static const IoOps hole_ops = { .lockless = true };

/* --- SMRAM ----------------------------------------------------------------------- */

/* Outside SMM the 128K are PCI's (the VGA's) unless opened. */
static void smram_update(I440fxHost *s)
{
    uint8_t r = s->pmc->pci.config[SMRAM];
    bool open = r & SMRAM_G_SMRAME && r & SMRAM_D_OPEN;

    if (s->ram) {
        mem_begin();
        region_set_enabled(&s->smram, !open);
        region_set_enabled(&s->smm_ram, r & SMRAM_G_SMRAME);
        mem_commit();
    }
}

static void smram_written(Pmc *pmc)
{
    uint8_t *r = &pmc->pci.config[SMRAM];

    /* D_LCK makes the register read-only and closes the space for good. */
    if (*r & SMRAM_D_LCK) {
        *r &= ~SMRAM_D_OPEN;
        pmc->pci.wmask[SMRAM] = SMRAM_D_CLS;
    }
    *r = (*r & ~7) | SMRAM_C_BASE_SEG;
    if (*r & SMRAM_D_OPEN && *r & SMRAM_D_CLS) {
        guest_error("i440FX", "SMRAM: D_OPEN and D_CLS are both set");
    }
    smram_update(pmc->host);
}

/* --- function 00.0 ------------------------------------------------------------------ */

static void pmc_written(PciDevice *pci, unsigned at, unsigned size)
{
    Pmc *pmc = pmc_of(pci);

    if (at <= PAM6 && at + size > PAM0) {
        pam_update(pmc->host);
    }
    if (at <= SMRAM && at + size > SMRAM) {
        smram_written(pmc);
    }
    if (at <= TRC && at + size > TRC && pci->config[TRC] & TRC_RESET) {
        machine_request_reset(SHUTDOWN_GUEST_RESET);
    }
}

/* Row boundaries in units of 8 MiB: eight rows that hold up to 1 GiB. */
static void set_row_boundaries(Pmc *pmc)
{
    uint64_t units = pmc->host->ram ? pmc->host->ram->size_bytes / (8 * MiB)
                                    : 0;

    for (unsigned i = 0; i < 8; i++) {
        pmc->pci.config[DRB0 + i] = MIN(units, (i + 1) * 16);
    }
}

static bool pmc_realize(Device *dev, GError **err)
{
    PciDevice *pci = pci_device_of(dev);
    static const uint8_t writable[] = {
        PMCCFG, PMCCFG + 1, DETURBO, DBC, AXC, DRT, DRT + 1, DRAMC, DRAMT,
        DRB0, DRB0 + 1, DRB0 + 2, DRB0 + 3, DRB0 + 4, DRB0 + 5, DRB0 + 6,
        DRB0 + 7, FDHC, MTT, CLT, ERRCMD,
    };

    pci_set_ids(pci, 0x8086, 0x1237, 0x060000, 0x02);
    for (unsigned i = 0; i < G_N_ELEMENTS(writable); i++) {
        pci->wmask[writable[i]] = 0xff;
    }
    pci->wmask[PAM0] = 0x30;
    memset(pci->wmask + PAM0 + 1, 0x33, PAM6 - PAM0);
    pci->wmask[TRC] = 0x0f;
    pci->w1cmask[ERRSTS] = 0x11;
    /* The bridge always answers memory and is always a master. */
    pci->wmask[PCI_COMMAND] &= ~PCI_COMMAND_MASTER;
    pci->on_config_write = pmc_written;
    return true;
}

static void pmc_reset(Device *dev)
{
    PciDevice *pci = pci_device_of(dev);
    Pmc *pmc = pmc_of(pci);

    pci_set16(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set16(pci, PCI_STATUS, PCI_STATUS_FAST_BACK
                               | PCI_STATUS_DEVSEL_MEDIUM);
    pci->config[DBC] = 0x83;
    pci->config[DRT] = 0x10;
    pci->config[DRAMC] = 0x01;
    pci->config[MTT] = 0x10;
    pci->config[SMRAM] = SMRAM_C_BASE_SEG;
    pci->wmask[SMRAM] = SMRAM_G_SMRAME | SMRAM_D_LCK | SMRAM_D_CLS
                        | SMRAM_D_OPEN;
    set_row_boundaries(pmc);
    if (machine_waking()) {
        /* Firmware resumes in its shadow, which is RAM that was kept. */
        memcpy(pci->config + PAM0, pmc->host->pam_regs,
               sizeof(pmc->host->pam_regs));
    }
    pam_update(pmc->host);
    smram_update(pmc->host);
}

static bool pmc_post_load(void *opaque, int version, GError **err)
{
    Pmc *pmc = opaque;

    pam_update(pmc->host);
    smram_written(pmc);
    return true;
}

static const State pmc_state = {
    .name = "i440fx", .version = 1, .post_load = pmc_post_load,
    .fields = (const StateField[]) { {} },
};

static const DeviceType pmc_type = {
    .name = "i440FX", .doc = "Intel 82441FX memory controller",
    .parent = &pci_device_type, .size = sizeof(Pmc), .internal = true,
    .state = &pmc_state, .realize = pmc_realize, .reset = pmc_reset,
};
DEVICE_TYPE(pmc_type)

/* --- the host bridge ------------------------------------------------------------------ */

void i440fx_set_ram(Device *host, Region *ram)
{
    host_of(host)->ram = ram;
}

PciBus *i440fx_bus(Device *host)
{
    return &host_of(host)->bus;
}

Region *i440fx_pci_memory(Device *host)
{
    return &host_of(host)->pci_mem;
}

uint64_t i440fx_hole64_bytes(Device *host)
{
    return host_of(host)->pci_hole64_bytes;
}

static void host_unrealize(Device *dev)
{
    I440fxHost *s = host_of(dev);

    s->pmc = NULL;              /* went with the bus */
    mem_begin();
    for (unsigned i = 0; i < N_PAM && s->ram; i++) {
        region_destroy(&s->pam[i].ram);
        region_destroy(&s->pam[i].pci);
        region_destroy(&s->pam[i].split);
        s->pam[i].mapped = NULL;
    }
    if (s->ram) {
        region_destroy(&s->smram);
        region_destroy(&s->smm_ram);
        region_destroy(&s->hole);
        as_destroy(&s->ram_as);
    }
    as_destroy(&s->pci_as);
    pci_conf1_destroy(&s->conf);
    pci_bus_destroy(&s->bus);
    region_destroy(&s->pci_mem);
    mem_commit();
}

static bool host_realize(Device *dev, GError **err)
{
    I440fxHost *s = host_of(dev);
    Machine *m = machine();

    if (!s->ram && m && m->ram.size_bytes) {
        s->ram = &m->ram;
    }
    mem_begin();
    region_init_container(&s->pci_mem, &dev->obj, "pci", UINT64_MAX);
    region_map(mem_root(), 0, &s->pci_mem, -1);
    as_init(&s->pci_as, &s->pci_mem, "pci");
    pci_bus_init(&s->bus, dev, "pci.0", &s->pci_mem, io_root());
    pci_conf1_init(&s->conf, dev, &s->bus, io_root());
    if (s->ram) {
        as_init(&s->ram_as, s->ram, "i440fx-ram");
        pam_init(s);
        region_init_io(&s->hole, &dev->obj, "pci-hole", &hole_ops, s,
                       0x60000);
        region_map(&s->pci_mem, 0xa0000, &s->hole, -1000);
        region_init_alias(&s->smram, &dev->obj, "smram-window", &s->pci_mem,
                          0xa0000, 0x20000);
        region_map(mem_root(), 0xa0000, &s->smram, 1);
        region_init_alias(&s->smm_ram, &dev->obj, "smram", s->ram, 0xa0000,
                          0x20000);
        if (m && m->smm) {
            region_map(smm_root(), 0xa0000, &s->smm_ram, 1);
        }
    }
    mem_commit();

    s->pmc = pmc_of(pci_device_of(device_new(&pmc_type)));
    s->pmc->host = s;
    s->pmc->pci.addr = 0;
    object_add_child(&dev->obj, &s->pmc->pci.dev.obj, "pmc");
    if (!device_realize(&s->pmc->pci.dev, &s->bus.bus, err)) {
        object_unparent(&s->pmc->pci.dev.obj);
        host_unrealize(dev);
        return false;
    }
    pmc_reset(&s->pmc->pci.dev);
    return true;
}

static void host_reset(Device *dev)
{
    host_of(dev)->conf.addr = 0;
}

static const Property host_props[] = {
    PROP_SIZE(I440fxHost, pci_hole64_bytes, "pci-hole64-size", 2 * GiB,
              "room for 64-bit BARs above RAM"),
    {}
};

static const State host_state = {
    .name = "i440FX-pcihost", .version = 1,
    .fields = (const StateField[]) { STATE_U32(I440fxHost, conf.addr), {} },
};

const DeviceType i440fx_host_type = {
    .name = "i440FX-pcihost", .doc = "i440FX host bridge and PCI root bus",
    .parent = &device_type, .size = sizeof(I440fxHost), .internal = true,
    .props = host_props, .state = &host_state, .realize = host_realize,
    .unrealize = host_unrealize, .reset = host_reset,
};
DEVICE_TYPE(i440fx_host_type)
