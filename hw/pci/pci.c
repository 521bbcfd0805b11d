/*
 * PCI functions: configuration space, BARs, INTx, bus mastering.
 *
 * Spec:   PCI Local Bus Specification 3.0, chapter 6 (header type 0).
 * Models: header with its write masks, I/O and 32/64-bit memory BARs, ROM BAR,
 *         capabilities, INTx disable and status.  Not: parity, SERR#,
 *         BIST, timing registers (they hold what is written).
 * Locks:  machine lock; DMA and MSI from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci/pci.h"
#include "pci-private.h"
#include "hw/boot/boot.h"

#include "base/trace.h"

#define UNMAPPED UINT64_MAX

static unsigned bar_offset(unsigned bar)
{
    return bar == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * bar;
}

/* --- what a device says of itself --------------------------------------------- */

void pci_set_ids(PciDevice *pci, uint16_t vendor, uint16_t device,
                 uint32_t class_code, uint8_t revision)
{
    pci_set16(pci, PCI_VENDOR_ID, vendor);
    pci_set16(pci, PCI_DEVICE_ID, device);
    pci_set32(pci, PCI_CLASS_REVISION, class_code << 8 | revision);
}

void pci_set_subsystem(PciDevice *pci, uint16_t vendor, uint16_t device)
{
    pci_set16(pci, PCI_SUBSYSTEM_VENDOR_ID, vendor);
    pci_set16(pci, PCI_SUBSYSTEM_ID, device);
}

void pci_set_interrupt_pin(PciDevice *pci, unsigned pin)
{
    pci->config[PCI_INTERRUPT_PIN] = pin;
}

void pci_register_bar(PciDevice *pci, unsigned bar, unsigned kind, Region *r)
{
    PciBar *b = &pci->bars[bar];
    uint64_t size = r->size_bytes;
    unsigned at = bar_offset(bar);

    g_assert(bar <= PCI_ROM && !b->region);
    g_assert(size >= (kind & PCI_BAR_IO ? 4 : 16) && !(size & (size - 1)));

    *b = (PciBar) { .region = r, .size_bytes = size, .kind = kind,
                    .gpa = UNMAPPED };
    /* Address bits below the size read zero: that is how it is sized. */
    pci_set32(pci, at, bar == PCI_ROM ? 0 : kind);
    store_le32(pci->wmask + at, ~(size - 1));
    if (bar == PCI_ROM) {
        pci->wmask[at] |= PCI_ROM_ADDRESS_ENABLE;
    } else if (kind & PCI_BAR_MEM64 && !(kind & PCI_BAR_IO)) {
        g_assert(bar < PCI_N_BARS - 1);
        pci_set32(pci, at + 4, 0);
        store_le32(pci->wmask + at + 4, ~(size - 1) >> 32);
    }
    /* Decode can be switched only where there is something to decode. */
    pci->wmask[PCI_COMMAND] |= kind & PCI_BAR_IO ? PCI_COMMAND_IO
                                                 : PCI_COMMAND_MEMORY;
}

unsigned pci_add_capability(PciDevice *pci, uint8_t id, unsigned len)
{
    unsigned at = pci->cap_end;

    if (at + len > PCI_CONFIG_BYTES) {
        return 0;
    }
    pci->cap_end = ALIGN_UP(at + len, 4);
    pci->config[at + PCI_CAP_LIST_ID] = id;
    pci->config[at + PCI_CAP_LIST_NEXT] = pci->config[PCI_CAPABILITY_LIST];
    pci->config[PCI_CAPABILITY_LIST] = at;
    pci->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    return at;
}

unsigned pci_find_capability(const PciDevice *pci, uint8_t id)
{
    unsigned at = pci->config[PCI_CAPABILITY_LIST] & ~3u;

    /* The list is ours, made above, and ends: at most 48 can fit. */
    for (int i = 0; at && i < 48; i++) {
        if (pci->config[at + PCI_CAP_LIST_ID] == id) {
            return at;
        }
        at = pci->config[at + PCI_CAP_LIST_NEXT] & ~3u;
    }
    return 0;
}

bool pci_load_rom(PciDevice *pci, const char *deflt, GError **err)
{
    const char *path = pci->romfile ? pci->romfile : deflt;
    g_autofree char *found = NULL;
    g_autofree char *data = NULL;
    uint64_t size = 2 * KiB;
    gsize len;

    if (!path || !*path || !pci->rom_bar || pci->bars[PCI_ROM].region) {
        return true;
    }
    found = boot_find_data(path);
    if (!g_file_get_contents(found ? found : path, &data, &len, err)) {
        g_prefix_error(err, "romfile=%s: ", path);
        return false;
    }
    if (len < 3 || len > 16 * MiB) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "romfile=%s: %" G_GSIZE_FORMAT " bytes is not the size of "
                    "an option ROM (3 bytes to 16M)", path, len);
        return false;
    }
    while (size < len) {
        size *= 2;
    }
    if (!region_init_rom(&pci->rom, &pci->dev.obj, "rom", size, err)) {
        return false;
    }
    memcpy(pci->rom.ram->host, data, len);
    pci_register_bar(pci, PCI_ROM, PCI_BAR_MEM32, &pci->rom);
    return true;
}

/* --- BARs on the map ------------------------------------------------------------- */

/* Where BAR `bar` decodes now, or UNMAPPED. */
static hwaddr bar_address(const PciDevice *pci, unsigned bar)
{
    const PciBar *b = &pci->bars[bar];
    uint16_t command = pci_get16(pci, PCI_COMMAND);
    unsigned at = bar_offset(bar);
    uint64_t limit = UINT32_MAX, base;

    if (b->kind & PCI_BAR_IO) {
        base = pci_get32(pci, at) & ~(b->size_bytes - 1);
        /* 64 KiB of ports; and nothing at 0, where BARs are after reset and
         * the DMA controller is. */
        if (!(command & PCI_COMMAND_IO) || !base
            || base + b->size_bytes > 64 * KiB) {
            return UNMAPPED;
        }
        return base;
    }
    if (!(command & PCI_COMMAND_MEMORY)) {
        return UNMAPPED;
    }
    if (bar == PCI_ROM
        && !(pci->config[PCI_ROM_ADDRESS] & PCI_ROM_ADDRESS_ENABLE)) {
        return UNMAPPED;
    }
    base = pci_get32(pci, at);
    if (b->kind & PCI_BAR_MEM64) {
        base |= (uint64_t)pci_get32(pci, at + 4) << 32;
        limit = UINT64_MAX;
    }
    base &= ~(b->size_bytes - 1);
    /* A guest that sizes a BAR with decode left on writes all ones: the top
     * of the range holds the local APICs or the firmware, so never map it. */
    if (!base || base + (b->size_bytes - 1) < base
        || base + (b->size_bytes - 1) >= limit) {
        return UNMAPPED;
    }
    return base;
}

void pci_update_mappings(PciDevice *pci)
{
    PciBus *bus;

    if (!pci->dev.bus) {
        return;
    }
    bus = pci_bus_of(pci);
    mem_begin();
    for (unsigned i = 0; i <= PCI_ROM; i++) {
        PciBar *b = &pci->bars[i];
        hwaddr gpa;

        if (!b->region || (gpa = bar_address(pci, i)) == b->gpa) {
            continue;
        }
        trace("pci-bar-map", "%s bar %u 0x%" PRIx64 " -> 0x%" PRIx64,
              pci->dev.obj.type->name, i, b->gpa, gpa);
        if (b->gpa != UNMAPPED) {
            region_unmap(b->region);
        }
        b->gpa = gpa;
        if (gpa != UNMAPPED) {
            region_map(b->kind & PCI_BAR_IO ? bus->io : bus->mem, gpa,
                       b->region, 1);
        }
        if (pci->on_bar_moved) {
            pci->on_bar_moved(pci, i);
        }
    }
    mem_commit();
}

static void unmap_all(PciDevice *pci)
{
    for (unsigned i = 0; i <= PCI_ROM; i++) {
        if (pci->bars[i].region && pci->bars[i].gpa != UNMAPPED) {
            region_unmap(pci->bars[i].region);
            pci->bars[i].gpa = UNMAPPED;
        }
    }
}

/* --- INTx -------------------------------------------------------------------------- */

static void intx_update(PciDevice *pci)
{
    bool drive = pci->intx_level
                 && !(pci_get16(pci, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);

    /* The status bit shows the request, masked or not. */
    if (pci->intx_level) {
        pci->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    } else {
        pci->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
    }
    if (drive != pci->intx_driven) {
        pci->intx_driven = drive;
        pci_bus_intx(pci, drive);
    }
}

void pci_set_irq(PciDevice *pci, int level)
{
    if (!pci->config[PCI_INTERRUPT_PIN]) {
        return;
    }
    pci->intx_level = level;
    intx_update(pci);
}

/* --- configuration accesses ---------------------------------------------------------- */

static bool overlaps(unsigned at, unsigned size, unsigned reg, unsigned len)
{
    return at < reg + len && reg < at + size;
}

uint32_t pci_config_read(PciDevice *pci, unsigned at, unsigned size)
{
    uint32_t val;

    if (at + size > pci->config_bytes) {
        return size_mask(size);
    }
    if (pci->on_config_read) {
        pci->on_config_read(pci, at, size);
    }
    val = load_le(pci->config + at, size);
    trace("pci-config-read", "%s %02x.%x reg 0x%x size %u val 0x%x",
          pci->dev.obj.type->name, PCI_SLOT_OF(pci->devfn),
          PCI_FUNC_OF(pci->devfn), at, size, val);
    return val;
}

/* Everything that follows from COMMAND. */
static void command_changed(PciDevice *pci)
{
    __atomic_store_n(&pci->bus_master,
                     (pci->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0,
                     __ATOMIC_RELEASE);
    msix_fds_update(pci, 0, pci->msix.n);
    intx_update(pci);
}

void pci_config_write(PciDevice *pci, unsigned at, uint32_t val,
                      unsigned size)
{
    if (at + size > pci->config_bytes) {
        return;
    }
    trace("pci-config-write", "%s %02x.%x reg 0x%x size %u val 0x%x",
          pci->dev.obj.type->name, PCI_SLOT_OF(pci->devfn),
          PCI_FUNC_OF(pci->devfn), at, size, val);
    for (unsigned i = 0; i < size; i++) {
        uint8_t b = val >> 8 * i, w = pci->wmask[at + i];
        uint8_t now = (pci->config[at + i] & ~w) | (b & w);

        pci->config[at + i] = now & ~(b & pci->w1cmask[at + i]);
    }
    if (overlaps(at, size, PCI_COMMAND, 2)) {
        command_changed(pci);
    }
    if (overlaps(at, size, PCI_COMMAND, 2)
        || overlaps(at, size, PCI_BASE_ADDRESS_0, 4 * PCI_N_BARS)
        || overlaps(at, size, PCI_ROM_ADDRESS, 4)) {
        pci_update_mappings(pci);
    }
    if (pci->msi_cap) {
        msi_config_written(pci, at, size);
    }
    if (pci->msix_cap) {
        msix_config_written(pci, at, size);
    }
    if (pci->on_config_write) {
        pci->on_config_write(pci, at, size);
    }
}

/* --- DMA --------------------------------------------------------------------------------- */

static bool may_master(PciDevice *pci)
{
    return __atomic_load_n(&pci->bus_master, __ATOMIC_ACQUIRE);
}

MemResult pci_dma_read(PciDevice *pci, hwaddr gpa, void *buf, size_t len)
{
    if (!may_master(pci)) {
        memset(buf, 0xff, len);
        return MEM_DECODE_ERROR;
    }
    return as_read(&as_memory, gpa, buf, len);
}

MemResult pci_dma_write(PciDevice *pci, hwaddr gpa, const void *buf,
                        size_t len)
{
    return may_master(pci) ? as_write(&as_memory, gpa, buf, len)
                           : MEM_DECODE_ERROR;
}

void *pci_dma_map(PciDevice *pci, hwaddr gpa, uint64_t *len, bool write)
{
    return may_master(pci) ? as_map(&as_memory, gpa, len, write) : NULL;
}

void pci_dma_unmap(PciDevice *pci, void *hva, uint64_t len, bool write,
                   uint64_t written)
{
    as_unmap(&as_memory, hva, len, write, written);
}

/* --- life ---------------------------------------------------------------------------------- */

static void set_default_masks(PciDevice *pci)
{
    store_le16(pci->wmask + PCI_COMMAND,
               PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR
               | PCI_COMMAND_INTX_DISABLE);
    store_le16(pci->w1cmask + PCI_STATUS,
               PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT
               | PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT
               | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY);
    pci->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    pci->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

static void pci_device_unrealize(Device *dev)
{
    PciDevice *pci = pci_device_of(dev);

    pci->intx_level = false;
    intx_update(pci);
    mem_begin();
    unmap_all(pci);
    msix_free(pci);
    if (pci->bars[PCI_ROM].region == &pci->rom) {
        region_destroy(&pci->rom);
    }
    mem_commit();
    pci_bus_unplug(pci);
    memset(pci->bars, 0, sizeof(pci->bars));
    g_clear_pointer(&pci->config, g_free);
    pci->wmask = pci->w1cmask = NULL;
    pci->msi_cap = pci->msix_cap = 0;
}

static bool pci_device_realize(Device *dev, GError **err)
{
    PciDevice *pci = pci_device_of(dev);
    unsigned n = PCI_CONFIG_BYTES;

    if (!pci_bus_plug(pci, err)) {
        return false;
    }
    pci->config_bytes = n;
    pci->config = g_malloc0(3 * n);
    pci->wmask = pci->config + n;
    pci->w1cmask = pci->config + 2 * n;
    pci->cap_end = 0x40;
    for (unsigned i = 0; i <= PCI_ROM; i++) {
        pci->bars[i] = (PciBar) { .gpa = UNMAPPED };
    }
    set_default_masks(pci);
    pci_set_subsystem(pci, PCI_SUBSYSTEM_VENDOR, PCI_SUBSYSTEM_DEVICE);
    if (pci->multifunction) {
        pci->config[PCI_HEADER_TYPE] |= 0x80;
    }
    if (!pci_load_rom(pci, NULL, err)) {        /* the user's, for any device */
        pci_device_unrealize(dev);
        return false;
    }
    return true;
}

/* RST#: writable bits go to zero; the device's own reset follows and sets
 * those that start otherwise. */
static void pci_device_reset(Device *dev)
{
    PciDevice *pci = pci_device_of(dev);

    pci->intx_level = false;
    intx_update(pci);
    for (unsigned i = 0; i < pci->config_bytes; i++) {
        pci->config[i] &= ~(pci->wmask[i] | pci->w1cmask[i]);
    }
    memcpy(pci->header, pci->config, sizeof(pci->header));
    msix_reset(pci);
    command_changed(pci);
    pci_update_mappings(pci);
}

static void pci_device_update(Device *dev)
{
    PciDevice *pci = pci_device_of(dev);

    msix_fds_update(pci, 0, pci->msix.n);
    intx_update(pci);
}

static bool pci_post_load(void *opaque, int version, GError **err)
{
    PciDevice *pci = opaque;

    /* The stream must be of the same device: what the guest cannot write in
     * its header (ids, class, kinds of BARs) agrees.  Command and status
     * have bits that the device itself moves. */
    for (unsigned i = 0; i < sizeof(pci->header); i++) {
        if (((pci->config[i] ^ pci->header[i])
             & ~(pci->wmask[i] | pci->w1cmask[i])) && i / 4 != 1) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "%s: configuration byte 0x%02x is 0x%02x in the "
                        "stream and 0x%02x here", pci->dev.obj.type->name, i,
                        pci->config[i], pci->header[i]);
            return false;
        }
    }
    pci->intx_level = pci->config[PCI_STATUS] & PCI_STATUS_INTERRUPT;
    command_changed(pci);
    pci_update_mappings(pci);
    return true;
}

static bool has_msix(void *opaque)
{
    return ((PciDevice *)opaque)->msix.n != 0;
}

static const Property pci_device_props[] = {
    PROP_PCI_ADDR(PciDevice, addr, "addr",
                  "slot and function, as 05.1; the next free slot when unset"),
    PROP_BOOL(PciDevice, multifunction, "multifunction", false,
              "other functions share this slot"),
    PROP_STRING(PciDevice, romfile, "romfile", NULL, "option ROM image"),
    PROP_BOOL(PciDevice, rom_bar, "rombar", true,
              "show the option ROM in a BAR"),
    {}
};

static const State msix_subsection = {
    .name = "pci-msix", .version = 1, .needed = has_msix,
    .fields = (const StateField[]) {
        { .name = "table", .kind = STATE_KIND_BLOCK,
          .offset = offsetof(PciDevice, msix.table),
          .count_offset = offsetof(PciDevice, msix.table_bytes), },
        { .name = "pba", .kind = STATE_KIND_BLOCK,
          .offset = offsetof(PciDevice, msix.pba),
          .count_offset = offsetof(PciDevice, msix.pba_bytes), },
        {}
    },
};

static const State pci_device_state = {
    .name = "pci-device", .version = 1, .post_load = pci_post_load,
    .fields = (const StateField[]) {
        { .name = "config", .kind = STATE_KIND_BLOCK,
          .offset = offsetof(PciDevice, config),
          .count_offset = offsetof(PciDevice, config_bytes), },
        {}
    },
    .subsections = (const State *const []) { &msix_subsection, NULL },
};

const DeviceType pci_device_type = {
    .name = "pci-device", .doc = "a function on a PCI bus",
    .parent = &device_type, .size = sizeof(PciDevice), .abstract = true,
    .bus = &pci_bus_type, .props = pci_device_props,
    .state = &pci_device_state, .realize = pci_device_realize,
    .unrealize = pci_device_unrealize, .reset = pci_device_reset,
    .update = pci_device_update,
};
DEVICE_TYPE(pci_device_type)
