/*
 * What firmware leaves behind, for kernels that are entered without one.
 *
 * Everything goes through the registers that a guest's firmware would write,
 * so nothing here knows the inside of a device, and a kernel cannot tell.
 *
 * Locks: machine lock, vCPUs stopped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "base/log.h"
#include "cpu/cpu.h"
#include "cpu/features.h"
#include "cpu/lapic.h"
#include "hw/acpi/piix4-pm.h"
#include "hw/pci/pci.h"

enum {                          /* where BARs go */
    BAR_IO_BASE = 0xc000, BAR_IO_END = 0x10000,
    BAR_MEM_MIN = 0xe0000000, BAR_MEM_END = 0xfec00000,
};

static const uint8_t pirq_line[4] = { 10, 10, 11, 11 };

static void outb(uint16_t port, uint8_t val)
{
    as_store(&as_io, port, 1, val);
}

/* --- chip set ----------------------------------------------------------------------- */

/* RAM behind E0000h-FFFFFh, where the tables go. */
static void open_shadow_ram(PciDevice *pmc)
{
    pci_config_write(pmc, 0x59, 0x30, 1);
    pci_config_write(pmc, 0x5e, 0x33, 1);
    pci_config_write(pmc, 0x5f, 0x33, 1);
}

static void route_pirqs(PciDevice *isa)
{
    uint16_t level = 0;

    for (int i = 0; i < 4; i++) {
        pci_config_write(isa, 0x60 + i, pirq_line[i], 1);
        level |= BIT(pirq_line[i]);
    }
    outb(0x4d0, level & 0xff);  /* ELCR: PCI lines are levels */
    outb(0x4d1, level >> 8);
}

/* Both channels answer at their ports, as slowly as they like. */
static void enable_ide(PciDevice *ide)
{
    pci_config_write(ide, 0x40, 0x80008000, 4);
}

static void set_pm_ports(PciDevice *pm)
{
    pci_config_write(pm, 0x40, PIIX4_PM_BASE | 1, 4);
    pci_config_write(pm, 0x80, 0x01, 1);
    pci_config_write(pm, 0x90, PIIX4_SMB_BASE | 1, 4);
    pci_config_write(pm, 0xd2, 0x09, 1);        /* enabled, IRQ 9 */
    pci_config_write(pm, PCI_INTERRUPT_LINE, 9, 1);
}

/* --- BARs ----------------------------------------------------------------------------- */

typedef struct {
    PciDevice *pci;
    unsigned bar;
    uint64_t size_bytes;
} Want;

static int by_size(gconstpointer a, gconstpointer b)
{
    uint64_t x = ((const Want *)a)->size_bytes;
    uint64_t y = ((const Want *)b)->size_bytes;

    return x > y ? -1 : x < y;
}

/* `size` bytes, which is a power of two, from the window; 0 when it is full. */
static uint64_t take(uint64_t *next, uint64_t end, uint64_t size)
{
    uint64_t at = ALIGN_UP(*next, size);

    if (at < *next || at + size > end || at + size < at) {
        return 0;
    }
    *next = at + size;
    return at;
}

static void assign_bars(PciBus *bus, const GArray *e820)
{
    g_autoptr(GArray) wants = g_array_new(FALSE, FALSE, sizeof(Want));
    uint64_t io = BAR_IO_BASE;
    uint64_t mem = MAX(BAR_MEM_MIN, e820_low_end(e820));
    uint64_t high = ALIGN_UP(e820_high_end(e820), GiB);

    for (unsigned devfn = 0; devfn < PCI_N_DEVFN; devfn++) {
        PciDevice *pci = bus->devs[devfn];

        for (unsigned i = 0; pci && i < PCI_N_BARS; i++) {
            if (pci->bars[i].region) {
                Want w = { pci, i, pci->bars[i].size_bytes };

                g_array_append_val(wants, w);
            }
        }
    }
    /* Largest first, so that alignment wastes nothing. */
    g_array_sort(wants, by_size);
    for (unsigned i = 0; i < wants->len; i++) {
        Want *w = &g_array_index(wants, Want, i);
        const PciBar *b = &w->pci->bars[w->bar];
        unsigned at = PCI_BASE_ADDRESS_0 + 4 * w->bar;
        bool wide = !(b->kind & PCI_BAR_IO) && b->kind & PCI_BAR_MEM64;
        uint64_t gpa = b->kind & PCI_BAR_IO
                       ? take(&io, BAR_IO_END, MAX(w->size_bytes, 16))
                       : take(&mem, BAR_MEM_END, w->size_bytes);

        if (!gpa && wide) {
            gpa = take(&high, UINT64_C(1) << 39, w->size_bytes);
        }
        if (!gpa) {
            info("no room for BAR %u of %s; the guest may find some", w->bar,
                 w->pci->dev.obj.type->name);
            continue;
        }
        pci_config_write(w->pci, at, gpa, 4);
        if (wide) {
            pci_config_write(w->pci, at + 4, gpa >> 32, 4);
        }
    }
}

static void enable_functions(PciBus *bus)
{
    for (unsigned devfn = 0; devfn < PCI_N_DEVFN; devfn++) {
        PciDevice *pci = bus->devs[devfn];
        uint16_t command;
        unsigned pin;

        if (!pci) {
            continue;
        }
        command = pci_config_read(pci, PCI_COMMAND, 2);
        pci_config_write(pci, PCI_COMMAND,
                         command | PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
        pin = pci->config[PCI_INTERRUPT_PIN];
        if (pin && bus->map_irq && !pci->config[PCI_INTERRUPT_LINE]) {
            int line = bus->map_irq(bus->irq_opaque, devfn, pin - 1) & 3;

            pci_config_write(pci, PCI_INTERRUPT_LINE, pirq_line[line], 1);
        }
    }
}

static void setup_pci(PciBus *bus, const GArray *e820)
{
    for (unsigned devfn = 0; devfn < PCI_N_DEVFN; devfn++) {
        PciDevice *pci = bus->devs[devfn];

        switch (pci ? pci_get32(pci, PCI_VENDOR_ID) : 0) {
        case 0x12378086:
            open_shadow_ram(pci);
            break;
        case 0x70008086:
            route_pirqs(pci);
            break;
        case 0x70108086:
            enable_ide(pci);
            break;
        case 0x71138086:
            set_pm_ports(pci);
            break;
        }
    }
    assign_bars(bus, e820);
    enable_functions(bus);
}

/* --- processors -------------------------------------------------------------------------- */

enum { MTRR_UC = 0, MTRR_WP = 5, MTRR_WB = 6, MTRR_FE = 1 << 10,
       MTRR_E = 1 << 11 };
#define ALL_BYTES  UINT64_C(0x0101010101010101)
#define MTRR_VALID (UINT64_C(1) << 11)

/* Write-back, but for the VGA window and the hole below 4 GiB.  The same on
 * every CPU, or Linux complains. */
static void set_mtrrs(X86Cpu *cpu, uint64_t hole)
{
    X86State *s = cpu->state;
    uint32_t r[4];
    uint64_t phys_mask;

    if (!s || !cpu_has(cpu, FEAT_MTRR)) {
        return;
    }
    cpu_cpuid(cpu, 0x80000000, 0, r);
    if (r[0] >= 0x80000008) {
        cpu_cpuid(cpu, 0x80000008, 0, r);
    } else {
        r[0] = 36;
    }
    phys_mask = (UINT64_C(1) << MIN(r[0] & 0xff, 52)) - 1;

    s->mtrr_fixed[0] = s->mtrr_fixed[1] = MTRR_WB * ALL_BYTES;
    s->mtrr_fixed[2] = MTRR_UC;
    for (unsigned i = 3; i < 11; i++) {
        s->mtrr_fixed[i] = MTRR_WP * ALL_BYTES;
    }
    s->mtrr_base[0] = hole | MTRR_UC;
    s->mtrr_mask[0] = (~(4 * GiB - hole - 1) & phys_mask) | MTRR_VALID;
    s->mtrr_def_type = MTRR_E | MTRR_FE | MTRR_WB;
    if (cpu->accel && cpu->accel->put_state) {
        cpu->accel->put_state(cpu);
    }
}

/* Virtual wire: the 8259's INTR reaches the boot CPU until the kernel has set
 * up the IOAPIC (SDM 3A, MultiProcessor Specification 3.6.2.2). */
static void set_virtual_wire(X86Cpu *cpu)
{
    if (cpu->apic) {
        lapic_mmio_write(cpu->apic, 0xf0, 0x1ff);       /* on; spurious ff */
        lapic_mmio_write(cpu->apic, 0x350, 0x700);      /* LINT0: ExtINT */
        lapic_mmio_write(cpu->apic, 0x360, 0x400);      /* LINT1: NMI */
    }
}

static void setup_cpus(Machine *m, const GArray *e820)
{
    uint64_t low = e820_low_end(e820);
    uint64_t hole = low <= 2 * GiB ? 0x80000000 : low <= 3 * GiB ? 0xc0000000
                                                                : 0xe0000000;

    for (unsigned i = 0; m->cpus && i < m->cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(m->cpus, i);

        set_mtrrs(cpu, hole);
        if (!i) {
            set_virtual_wire(cpu);
        }
    }
}

/* --- all of it ------------------------------------------------------------------------------ */

enum { EQUIPMENT_FPU = 1 << 1, EQUIPMENT_MOUSE = 1 << 2 };

static void set_bios_data_area(void)
{
    as_store(&as_memory, 0x40e, 2, BOOT_EBDA_GPA >> 4);
    as_store(&as_memory, 0x410, 2, EQUIPMENT_FPU | EQUIPMENT_MOUSE);
    as_store(&as_memory, 0x413, 2, BOOT_EBDA_GPA / KiB);
}

void boot_platform_setup(Machine *m)
{
    g_autoptr(GArray) e820 = e820_from_map(m);
    Bus *bus = bus_find(&pci_bus_type, NULL);

    mem_begin();
    if (bus) {
        setup_pci(container_of(bus, PciBus, bus), e820);
    }
    mem_commit();
    setup_cpus(m, e820);
    if (!machine_waking()) {
        boot_write_ivt();
        set_bios_data_area();
    }
}
