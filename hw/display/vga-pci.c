/*
 * "VGA": the standard adapter of QEMU's and Bochs' PCs.
 *
 * Spec:   QEMU, docs/specs/standard-vga.rst: BAR 0 is memory, BAR 2 holds the
 *         VGA ports from 400h, the VBE registers from 500h.
 * Models: legacy ports, window and VBE ports at 1CEh, 1CFh; the option ROM is
 *         SeaBIOS' vgabios-stdvga.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "hw/boot/boot.h"
#include "hw/pci/pci.h"
#include "mem/doorbell.h"
#include "vga.h"

enum { MMIO_BYTES = 4096, MMIO_PORTS = 0x400, MMIO_VBE = 0x500,
       MMIO_EXT = 0x600 };
enum { WINDOW_GPA = 0xa0000, WINDOW_BYTES = 0x20000 };

typedef struct VgaPci {
    PciDevice pci;
    Vga vga;
    uint32_t vgamem_mb;

    Region window, ports, mono, vbe, mmio;
} VgaPci;

static VgaPci *vga_of(Device *dev)
{
    return container_of(dev, VgaPci, pci.dev);
}

/* --- accesses -------------------------------------------------------------------------- */

static uint64_t window_read(void *opaque, hwaddr at, unsigned size)
{
    return vga_window_read(opaque, at);
}

static void window_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    vga_window_write(opaque, at, val);
}

static const IoOps window_ops = {
    .read = window_read, .write = window_write, .size_min = 1, .size_max = 1,
};

static uint64_t ports_read(void *opaque, hwaddr at, unsigned size)
{
    return vga_port_read(opaque, 0x3c0 + at);
}

static void ports_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    vga_port_write(opaque, 0x3c0 + at, val);
}

static const IoOps ports_ops = {
    .read = ports_read, .write = ports_write, .size_min = 1, .size_max = 1,
};

static uint64_t mono_read(void *opaque, hwaddr at, unsigned size)
{
    return vga_port_read(opaque, 0x3b0 + at);
}

static void mono_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    vga_port_write(opaque, 0x3b0 + at, val);
}

static const IoOps mono_ops = {
    .read = mono_read, .write = mono_write, .size_min = 1, .size_max = 1,
};

/* Words at 1CEh (index) and, unaligned as they are, 1CFh; 1D0h as well. */
static uint64_t vbe_read(void *opaque, hwaddr at, unsigned size)
{
    Vga *s = opaque;

    return at ? vga_vbe_read(s) : s->vbe_index;
}

static void vbe_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    Vga *s = opaque;

    if (at) {
        vga_vbe_write(s, val);
    } else {
        s->vbe_index = val;
    }
}

static const IoOps vbe_ops = {
    .read = vbe_read, .write = vbe_write, .size_min = 2, .size_max = 2,
    .unaligned = true,
};

/* BAR 2 */
static uint64_t mmio_read(void *opaque, hwaddr at, unsigned size)
{
    Vga *s = opaque;
    uint64_t val = 0;

    if (at >= MMIO_VBE && at < MMIO_VBE + 2 * VBE_N) {
        uint16_t was = s->vbe_index;

        s->vbe_index = (at - MMIO_VBE) / 2;
        val = vga_vbe_read(s) >> (at & 1 ? 8 : 0);
        s->vbe_index = was;
        return val;
    }
    for (unsigned i = 0; i < size; i++) {
        hwaddr port = at + i - MMIO_PORTS;
        uint8_t b = at + i >= MMIO_PORTS && port < 32
                    ? vga_port_read(s, 0x3c0 + port) : 0;

        val |= (uint64_t)b << 8 * i;
    }
    return val;
}

static void mmio_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    Vga *s = opaque;

    if (at >= MMIO_VBE && at < MMIO_VBE + 2 * VBE_N) {
        uint16_t was = s->vbe_index;

        if (size == 2 && !(at & 1)) {
            s->vbe_index = (at - MMIO_VBE) / 2;
            vga_vbe_write(s, val);
            s->vbe_index = was;
        }
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        hwaddr port = at + i - MMIO_PORTS;

        if (at + i >= MMIO_PORTS && port < 32) {
            vga_port_write(s, 0x3c0 + port, val >> 8 * i);
        }
    }
}

static const IoOps mmio_ops = {
    .read = mmio_read, .write = mmio_write, .size_min = 1, .size_max = 2,
};

/* --- the function ------------------------------------------------------------------------- */

static const DisplayOps display_ops = {
    .picture = vga_picture, .text = vga_text,
};

static bool vga_realize(Device *dev, GError **err)
{
    VgaPci *s = vga_of(dev);
    PciDevice *pci = &s->pci;
    PciBus *bus = pci_bus_of(pci);
    g_autofree char *rom = boot_find_data("vgabios-stdvga.bin");
    uint32_t mb = s->vgamem_mb;

    if (mb < 1 || mb > 256 || mb & (mb - 1)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'vgamem_mb' cannot be %u: a power of two from 1 "
                    "to 256 is wanted", mb);
        return false;
    }
    pci_set_ids(pci, 0x1234, 0x1111, 0x030000, 2);
    /* Its ports are in no BAR: SeaBIOS takes a VGA for one when it can be
     * given both. */
    pci->wmask[PCI_COMMAND] |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
    if (!vga_init(&s->vga, &dev->obj, mb * MiB, err)) {
        return false;
    }
    if (!pci_load_rom(pci, rom, err)) {
        vga_destroy(&s->vga);
        return false;
    }
    region_init_io(&s->window, &dev->obj, "vga-window", &window_ops, &s->vga,
                   WINDOW_BYTES);
    region_init_io(&s->mono, &dev->obj, "vga-mono", &mono_ops, &s->vga, 16);
    region_init_io(&s->ports, &dev->obj, "vga-ports", &ports_ops, &s->vga,
                   32);
    region_init_io(&s->vbe, &dev->obj, "vga-vbe", &vbe_ops, &s->vga, 4);
    region_init_io(&s->mmio, &dev->obj, "vga-mmio", &mmio_ops, &s->vga,
                   MMIO_BYTES);
    /* What is written is seen when somebody looks. */
    doorbell_add(&s->window, &(Doorbell) { .size = WINDOW_BYTES,
                                           .posted = true });
    pci_register_bar(pci, 0, PCI_BAR_MEM32 | PCI_BAR_PREFETCH, &s->vga.vram);
    pci_register_bar(pci, 2, PCI_BAR_MEM32, &s->mmio);
    mem_begin();
    region_map(bus->mem, WINDOW_GPA, &s->window, 1);
    region_map(bus->io, 0x3b0, &s->mono, 0);
    region_map(bus->io, 0x3c0, &s->ports, 0);
    region_map(bus->io, 0x1ce, &s->vbe, 0);
    mem_commit();
    display_add(&display_ops, &s->vga);
    return true;
}

static void vga_unrealize(Device *dev)
{
    VgaPci *s = vga_of(dev);

    display_remove(&s->vga);
    region_destroy(&s->window);
    doorbell_remove_all(&s->window);
    region_destroy(&s->mono);
    region_destroy(&s->ports);
    region_destroy(&s->vbe);
    region_destroy(&s->mmio);
    vga_destroy(&s->vga);
}

static void vga_pci_reset(Device *dev)
{
    vga_reset(&vga_of(dev)->vga);
}

static const Property vga_props[] = {
    PROP_U32(VgaPci, vgamem_mb, "vgamem_mb", 16, "video memory in MiB"),
    {}
};

static const State vga_pci_state = {
    .name = "vga_pci", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(VgaPci, vga, &vga_state), {}
    },
};

static const DeviceType vga_pci_type = {
    .name = "VGA", .doc = "standard VGA with Bochs' VBE modes",
    .parent = &pci_device_type, .size = sizeof(VgaPci), .props = vga_props,
    .state = &vga_pci_state, .realize = vga_realize,
    .unrealize = vga_unrealize, .reset = vga_pci_reset,
};
DEVICE_TYPE(vga_pci_type)
