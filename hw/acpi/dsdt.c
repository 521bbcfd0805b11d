/*
 * The DSDT of the i440FX/PIIX machine.
 *
 * Spec:  ACPI 6.4, chapters 6 (configuration), 7 (sleep), 8 (processors).
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/acpi.h"

enum { STA_PRESENT = 1, STA_ENABLED = 2, STA_SHOWN = 4, STA_WORKS = 8,
       STA_HIDDEN = STA_PRESENT | STA_ENABLED | STA_WORKS };

/* A device that is what its id and resources say. */
static Aml *simple(const char *name, Aml *hid, Aml *crs)
{
    Aml *dev = aml_device(name);

    aml_add(dev, aml_name("_HID", hid));
    return aml_add(dev, aml_name("_CRS", crs));
}

/* --- sleep states ------------------------------------------------------------------ */

static Aml *sleep_state(const char *name, unsigned type)
{
    Aml *p = aml_package();

    aml_add(p, aml_int(type));  /* PM1a_CNT */
    aml_add(p, aml_int(type));  /* PM1b_CNT */
    aml_add(p, aml_int(0));
    return aml_name(name, aml_add(p, aml_int(0)));
}

static void add_sleep_states(Aml *dsdt, const AcpiMachine *a)
{
    Piix4PmInfo pm;

    piix4_pm_info(a->pm, &pm);
    if (pm.s3) {
        aml_add(dsdt, sleep_state("_S3", 1));
    }
    if (pm.s4) {
        aml_add(dsdt, sleep_state("_S4", pm.s4_val));
    }
    aml_add(dsdt, sleep_state("_S5", 0));
}

/* --- interrupt links ----------------------------------------------------------------- */

static const char *const link_name[4] = { "LNKA", "LNKB", "LNKC", "LNKD" };
static const char *const pirq_name[4] = {
    "\\_SB.PCI0.ISA.PRQ0", "\\_SB.PCI0.ISA.PRQ1", "\\_SB.PCI0.ISA.PRQ2",
    "\\_SB.PCI0.ISA.PRQ3",
};

enum { PIRQ_OFF = 0x80, CRS_IRQ_OFFSET = 5 };

/* PIRQRC is shown and changed as an extended interrupt descriptor, whose number
 * begins at byte 5. */
static Aml *link_device(int i)
{
    static const uint32_t choices[] = { 5, 10, 11 }, none = 0;
    Aml *dev = aml_device(link_name[i]), *m, *crs = aml_resources(), *off;

    aml_add(dev, aml_name("_HID", aml_eisaid("PNP0C0F")));
    aml_add(dev, aml_name("_UID", aml_int(i)));
    aml_add(dev, aml_name("_PRS", aml_add(aml_resources(),
                          aml_interrupts(choices, G_N_ELEMENTS(choices)))));

    m = aml_method("_STA", 0, false);
    off = aml_if(aml_and(aml_ref(pirq_name[i]), aml_int(PIRQ_OFF)));
    aml_add(off, aml_return(aml_int(STA_PRESENT | STA_WORKS)));
    aml_add(m, off);
    aml_add(dev, aml_add(m, aml_return(aml_int(STA_HIDDEN))));

    m = aml_method("_DIS", 0, false);
    aml_add(m, aml_store(aml_or(aml_ref(pirq_name[i]), aml_int(PIRQ_OFF)),
                         aml_ref(pirq_name[i])));
    aml_add(dev, m);

    m = aml_method("_CRS", 0, false);
    aml_add(crs, aml_interrupts(&none, 1));
    aml_add(m, aml_store(crs, aml_local(0)));
    aml_add(m, aml_store(aml_and(aml_ref(pirq_name[i]), aml_int(15)),
                         aml_index(aml_local(0), aml_int(CRS_IRQ_OFFSET))));
    aml_add(dev, aml_add(m, aml_return(aml_local(0))));

    m = aml_method("_SRS", 1, false);
    aml_add(m, aml_store(aml_deref(aml_index(aml_arg(0),
                                             aml_int(CRS_IRQ_OFFSET))),
                         aml_ref(pirq_name[i])));
    return aml_add(dev, m);
}

/* Four pins of every slot.  Slot 1 INTA# is the SCI: a line of its own. */
static Aml *routing_table(void)
{
    Aml *prt = aml_package();

    for (unsigned i = 0; i < 32 * 4; i++) {
        unsigned slot = i / 4, pin = i % 4;
        Aml *row = aml_package();
        bool sci = slot == 1 && pin == 0;

        aml_add(row, aml_int(slot << 16 | 0xffff));
        aml_add(row, aml_int(pin));
        aml_add(row, sci ? aml_int(0)
                         : aml_ref(link_name[(slot + pin - 1) & 3]));
        aml_add(row, aml_int(sci ? 9 : 0));
        aml_add(prt, row);
    }
    return aml_name("_PRT", prt);
}

/* --- ISA devices -------------------------------------------------------------------- */

static uint64_t prop_number(Device *dev, const char *name, uint64_t deflt)
{
    g_autofree char *text = prop_get(&dev->obj, name);

    return text ? g_ascii_strtoull(text, NULL, 0) : deflt;
}

static Aml *io_and_irq(uint16_t port, uint8_t len, int irq)
{
    Aml *crs = aml_resources();

    aml_add(crs, aml_io(port, port, 1, len));
    return irq < 0 ? crs : aml_add(crs, aml_irq(irq));
}

static void add_i8042(Aml *isa)
{
    Aml *crs = aml_resources();

    aml_add(crs, aml_io(0x60, 0x60, 1, 1));
    aml_add(crs, aml_io(0x64, 0x64, 1, 1));
    aml_add(crs, aml_irq(1));
    aml_add(isa, simple("KBD", aml_eisaid("PNP0303"), crs));
    crs = aml_add(aml_resources(), aml_irq(12));
    aml_add(isa, simple("MOU", aml_eisaid("PNP0F13"), crs));
}

/* COM and LPT ports by the numbers that DOS gave them. */
static void add_port(Aml *isa, Device *dev)
{
    static const uint16_t com[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    static const uint16_t lpt[] = { 0x378, 0x278, 0x3bc };
    bool serial = !strcmp(dev->obj.type->name, "isa-serial");
    const uint16_t *bases = serial ? com : lpt;
    unsigned n = serial ? G_N_ELEMENTS(com) : G_N_ELEMENTS(lpt);
    uint64_t port = prop_number(dev, "iobase", 0);
    uint64_t irq = prop_number(dev, "irq", 4);

    for (unsigned i = 0; i < n; i++) {
        if (bases[i] == port) {
            char name[5] = { serial ? 'C' : 'L', serial ? 'O' : 'P',
                             serial ? 'M' : 'T', '1' + i };
            Aml *d = simple(name, aml_eisaid(serial ? "PNP0501" : "PNP0400"),
                            io_and_irq(port, 8, irq & 15));

            aml_add(isa, aml_add(d, aml_name("_UID", aml_int(i + 1))));
        }
    }
}

static Aml *isa_bridge(const AcpiMachine *a)
{
    Aml *isa = aml_device("ISA"), *field, *d;
    static const char *const unit[] = { "PRQ0", "PRQ1", "PRQ2", "PRQ3" };

    aml_add(isa, aml_name("_ADR", aml_int(0x00010000)));
    aml_add(isa, aml_opregion("P40C", AML_PCI_CONFIG, 0x60, 4));
    field = aml_field("P40C", 1, false);
    for (unsigned i = 0; i < 4; i++) {
        aml_add(field, aml_field_unit(unit[i], 8));
    }
    aml_add(isa, field);

    if (a->rtc) {
        aml_add(isa, simple("RTC", aml_eisaid("PNP0B00"),
                            io_and_irq(0x70, 8, 8)));
    }
    if (a->i8042) {
        add_i8042(isa);
    }
    for (unsigned i = 0; i < a->isa->len; i++) {
        add_port(isa, g_ptr_array_index(a->isa, i));
    }
    if (a->pvpanic) {
        uint16_t port = prop_number(a->pvpanic, "ioport", 0x505);

        d = simple("PEVT", aml_string("QEMU0001"), io_and_irq(port, 1, -1));
        aml_add(isa, aml_add(d, aml_name("_STA", aml_int(STA_HIDDEN))));
    }
    return isa;
}

/* --- the root bus ---------------------------------------------------------------------- */

/* Ports that belong to nobody's BARs. */
static Aml *reserved(const char *name, const char *uid, uint16_t port,
                     uint8_t len)
{
    Aml *d = simple(name, aml_eisaid("PNP0A06"), io_and_irq(port, len, -1));

    aml_add(d, aml_name("_UID", aml_string(uid)));
    return aml_add(d, aml_name("_STA", aml_int(STA_HIDDEN)));
}

static Aml *windows(const AcpiMachine *a)
{
    Aml *crs = aml_resources();

    aml_add(crs, aml_bus_range(0, 0xff));
    aml_add(crs, aml_io(0xcf8, 0xcf8, 1, 8));
    aml_add(crs, aml_io_range(0, 0xcf7));
    aml_add(crs, aml_io_range(0xd00, ACPI_PCI_HOTPLUG_PORT - 1));
    aml_add(crs, aml_io_range(ACPI_PCI_HOTPLUG_PORT + ACPI_PCI_HOTPLUG_BYTES,
                              ACPI_CPU_HOTPLUG_PORT - 1));
    aml_add(crs, aml_io_range(ACPI_CPU_HOTPLUG_PORT + ACPI_CPU_HOTPLUG_BYTES,
                              PIIX4_GPE_BASE - 1));
    aml_add(crs, aml_io_range(PIIX4_GPE_BASE + PIIX4_GPE_BYTES, 0xffff));
    aml_add(crs, aml_memory_range(0xa0000, 0xbffff, true));
    aml_add(crs, aml_memory_range(a->hole32_start, 0xfebfffff, false));
    if (a->hole64_bytes) {
        aml_add(crs, aml_memory_range(a->hole64_start, a->hole64_start
                                      + a->hole64_bytes - 1, true));
    }
    return crs;
}

static Aml *root_bus(const AcpiMachine *a)
{
    Aml *pci = simple("PCI0", aml_eisaid("PNP0A03"), windows(a));

    aml_add(pci, aml_name("_UID", aml_int(0)));
    aml_add(pci, routing_table());
    aml_add(pci, isa_bridge(a));
    aml_add(pci, reserved("GPE0", "GPE0 resources", PIIX4_GPE_BASE,
                          PIIX4_GPE_BYTES));
    aml_add(pci, reserved("PHPR", "PCI hot-plug resources",
                          ACPI_PCI_HOTPLUG_PORT, ACPI_PCI_HOTPLUG_BYTES));
    aml_add(pci, reserved("PRES", "CPU hot-plug resources",
                          ACPI_CPU_HOTPLUG_PORT, ACPI_CPU_HOTPLUG_BYTES));
    return pci;
}

/* --- system devices ----------------------------------------------------------------------- */

/* One object for each processor that may ever come; the MADT says which are
 * there. */
static void add_processors(Aml *sb, const AcpiMachine *a)
{
    for (unsigned i = 0; i < a->m->topo.maxcpus; i++) {
        char name[8];
        Aml *cpu;

        g_snprintf(name, sizeof(name), "C%03X", i & 0xfff);
        cpu = aml_device(name);
        aml_add(cpu, aml_name("_HID", aml_string("ACPI0007")));
        aml_add(cpu, aml_name("_UID", aml_int(i)));
        if (i >= a->m->topo.cpus) {
            aml_add(cpu, aml_name("_STA", aml_int(0)));
        }
        aml_add(sb, cpu);
    }
}

Aml *acpi_dsdt(const AcpiMachine *a)
{
    Aml *dsdt = aml_list(), *sb = aml_scope("\\_SB"), *d, *crs;

    aml_add(sb, root_bus(a));
    for (int i = 0; i < 4; i++) {
        aml_add(sb, link_device(i));
    }
    if (a->hpet) {
        crs = aml_add(aml_resources(), aml_memory32(0xfed00000, 0x400, false));
        aml_add(sb, simple("HPET", aml_eisaid("PNP0103"), crs));
    }
    if (a->fw_cfg) {
        d = simple("FWCF", aml_string("QEMU0002"), io_and_irq(0x510, 12, -1));
        aml_add(sb, aml_add(d, aml_name("_STA", aml_int(STA_HIDDEN))));
    }
    add_processors(sb, a);
    aml_add(dsdt, sb);
    add_sleep_states(dsdt, a);
    return dsdt;
}
