/*
 * ACPI tables from the realized machine.
 *
 * Spec:  ACPI 6.4, section 5.2 (tables); IA-PC HPET 1.0a; Microsoft WAET.
 * Locks: machine lock.
 *
 * One file holds all tables, another the RSDP; the loader script places them,
 * turns offsets into addresses and makes the checksums.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/acpi.h"
#include "hw/acpi/user-tables.h"

#include <assert.h>

#include "cpu/cpu.h"
#include "hw/boot/boot.h"
#include "hw/pci/i440fx.h"

enum { HEADER_BYTES = 36, HEADER_LENGTH = 4, HEADER_CHECKSUM = 9,
       HEADER_OEM_ID = 10 };

typedef struct {
    const AcpiMachine *a;
    BiosLoader *loader;
    GByteArray *out;            /* ACPI_TABLES_FILE */
    GArray *listed;             /* offsets for RSDT and XSDT */
} Builder;

static void put8(GByteArray *out, uint8_t v)
{
    g_byte_array_append(out, &v, 1);
}

static void put16(GByteArray *out, uint16_t v)
{
    v = GUINT16_TO_LE(v);
    g_byte_array_append(out, (uint8_t *)&v, 2);
}

static void put32(GByteArray *out, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    g_byte_array_append(out, (uint8_t *)&v, 4);
}

static void put64(GByteArray *out, uint64_t v)
{
    v = GUINT64_TO_LE(v);
    g_byte_array_append(out, (uint8_t *)&v, 8);
}

static void put_zeros(GByteArray *out, unsigned n)
{
    while (n--) {
        put8(out, 0);
    }
}

/* Generic address structure. */
static void put_gas(GByteArray *out, unsigned space, unsigned bits,
                    unsigned access, uint64_t addr)
{
    put8(out, space);
    put8(out, bits);
    put8(out, 0);
    put8(out, access);          /* 1 byte, 2 word, 3 doubleword */
    put64(out, addr);
}

/* --- one table -------------------------------------------------------------------- */

static uint32_t table_place(Builder *b)
{
    while (b->out->len % 16) {
        put8(b->out, 0);
    }
    return b->out->len;
}

/* The standard header; its offset.  The ids are those of QEMU's machines, by
 * which guests recognise them. */
static uint32_t table_begin(Builder *b, const char *signature,
                            unsigned revision)
{
    uint32_t at = table_place(b);

    g_byte_array_append(b->out, (const uint8_t *)signature, 4);
    put32(b->out, 0);
    put8(b->out, revision);
    put8(b->out, 0);
    g_byte_array_append(b->out, (const uint8_t *)"BOCHS BXPC    ", 14);
    put32(b->out, 1);
    g_byte_array_append(b->out, (const uint8_t *)"BXPC", 4);
    put32(b->out, 1);
    return at;
}

static uint32_t table_end(Builder *b, uint32_t at, bool listed)
{
    uint32_t len = b->out->len - at;

    store_le32(b->out->data + at + HEADER_LENGTH, len);
    bios_loader_checksum(b->loader, ACPI_TABLES_FILE, at + HEADER_CHECKSUM, at,
                         len);
    if (listed) {
        g_array_append_val(b->listed, at);
    }
    return at;
}

/* The tables that a SLIC, if there is one, wants to be of the same OEM. */
static void take_oem_ids(Builder *b, uint32_t at)
{
    const uint8_t *ids = acpi_user_oem_ids();

    if (ids) {
        memcpy(b->out->data + at + HEADER_OEM_ID, ids, ACPI_OEM_IDS_BYTES);
    }
}

/* A pointer of `size` bytes, here, to offset `to` of the tables. */
static void put_pointer(Builder *b, unsigned size, uint32_t to)
{
    uint32_t at = b->out->len;

    if (size == 8) {
        put64(b->out, to);
    } else {
        put32(b->out, to);
    }
    bios_loader_pointer(b->loader, ACPI_TABLES_FILE, at, size,
                        ACPI_TABLES_FILE);
}

/* --- FACS, DSDT, FADT ------------------------------------------------------------------ */

static uint32_t build_facs(Builder *b)
{
    uint32_t at;

    while (b->out->len % 64) {
        put8(b->out, 0);
    }
    at = b->out->len;
    g_byte_array_append(b->out, (const uint8_t *)"FACS", 4);
    put32(b->out, 64);
    put_zeros(b->out, 64 - 8);
    return at;
}

static uint32_t build_dsdt(Builder *b)
{
    /* Revision 2: integers have 64 bits. */
    uint32_t at = table_begin(b, "DSDT", 2);

    aml_emit(acpi_dsdt(b->a), b->out);
    return table_end(b, at, false);
}

static void build_fadt(Builder *b, uint32_t facs, uint32_t dsdt)
{
    enum {
        BOOT_LEGACY_DEVICES = 1 << 0, BOOT_8042 = 1 << 1,
        WBINVD = 1 << 0, PROC_C1 = 1 << 2, SLP_BUTTON = 1 << 5,
        RTC_S4 = 1 << 7, RESET_REG_SUP = 1 << 10, USE_PLATFORM_CLOCK = 1 << 15,
        IO = 1,
    };
    uint32_t at = table_begin(b, "FACP", 3);

    take_oem_ids(b, at);
    GByteArray *o = b->out;

    put_pointer(b, 4, facs);
    put_pointer(b, 4, dsdt);
    put8(o, 1);                                 /* the model: reserved since 2.0 */
    put8(o, 0);                                 /* profile: unspecified */
    put16(o, 9);                                /* SCI */
    put32(o, PIIX4_APM_PORT);
    put8(o, PIIX4_ACPI_ENABLE);
    put8(o, PIIX4_ACPI_DISABLE);
    put16(o, 0);                                /* S4BIOS_REQ, PSTATE_CNT */
    put32(o, PIIX4_PM_BASE);                    /* PM1a_EVT, PM1b */
    put32(o, 0);
    put32(o, PIIX4_PM_BASE + 4);                /* PM1a_CNT, PM1b, PM2 */
    put32(o, 0);
    put32(o, 0);
    put32(o, PIIX4_PM_BASE + 8);                /* PM_TMR */
    put32(o, PIIX4_GPE_BASE);
    put32(o, 0);
    put8(o, 4);                                 /* PM1_EVT_LEN, */
    put8(o, 2);                                 /* PM1_CNT, */
    put8(o, 0);                                 /* PM2_CNT, */
    put8(o, 4);                                 /* PM_TMR, */
    put8(o, PIIX4_GPE_BYTES);                   /* GPE0, */
    put8(o, 0);                                 /* GPE1 */
    put16(o, 0);                                /* GPE1_BASE, CST_CNT */
    put16(o, 0xfff);                            /* no C2, no C3 */
    put16(o, 0xfff);
    put32(o, 0);                                /* FLUSH_SIZE, STRIDE */
    put32(o, 0);                                /* DUTY_*, DAY_, MON_ALRM */
    put8(o, b->a->rtc ? 0x32 : 0);              /* CENTURY in CMOS */
    put16(o, BOOT_LEGACY_DEVICES | (b->a->i8042 ? BOOT_8042 : 0));
    put8(o, 0);
    put32(o, WBINVD | PROC_C1 | SLP_BUTTON | RTC_S4 | RESET_REG_SUP
             | USE_PLATFORM_CLOCK);
    put_gas(o, IO, 8, 1, 0xcf9);
    put8(o, 0x0f);
    put_zeros(o, 3);
    put64(o, 0);                                /* X_FIRMWARE_CTRL: as above */
    put_pointer(b, 8, dsdt);
    put_gas(o, IO, 32, 2, PIIX4_PM_BASE);
    put_gas(o, 0, 0, 0, 0);
    put_gas(o, IO, 16, 2, PIIX4_PM_BASE + 4);
    put_gas(o, 0, 0, 0, 0);
    put_gas(o, 0, 0, 0, 0);
    put_gas(o, IO, 32, 3, PIIX4_PM_BASE + 8);
    put_gas(o, IO, 8 * PIIX4_GPE_BYTES, 1, PIIX4_GPE_BASE);
    put_gas(o, 0, 0, 0, 0);
    table_end(b, at, true);
}

/* --- MADT ------------------------------------------------------------------------------------ */

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4,
       MADT_X2APIC = 9, MADT_X2APIC_NMI = 10 };
enum { INTI_CONFORMS = 0, INTI_LEVEL_HIGH = 0xd };

static void put_cpu(Builder *b, uint32_t uid)
{
    const CpuTopology *topo = &b->a->m->topo;
    uint32_t apic_id = cpu_topology_apic_id(topo, uid);
    uint32_t enabled = uid < topo->cpus;

    if (apic_id < 255) {
        put8(b->out, MADT_LAPIC);
        put8(b->out, 8);
        put8(b->out, uid);
        put8(b->out, apic_id);
        put32(b->out, enabled);
    } else {
        put8(b->out, MADT_X2APIC);
        put8(b->out, 16);
        put16(b->out, 0);
        put32(b->out, apic_id);
        put32(b->out, enabled);
        put32(b->out, uid);
    }
}

static void put_override(Builder *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    put8(b->out, MADT_OVERRIDE);
    put8(b->out, 10);
    put8(b->out, 0);            /* ISA */
    put8(b->out, irq);
    put32(b->out, gsi);
    put16(b->out, flags);
}

static void build_madt(Builder *b)
{
    uint32_t at = table_begin(b, "APIC", 3);
    bool wide = false;

    put32(b->out, 0xfee00000);
    put32(b->out, 1);           /* there are 8259s too */
    for (unsigned i = 0; i < b->a->m->topo.maxcpus; i++) {
        wide |= cpu_topology_apic_id(&b->a->m->topo, i) >= 255;
        put_cpu(b, i);
    }
    if (b->a->ioapic) {
        put8(b->out, MADT_IOAPIC);
        put8(b->out, 12);
        put8(b->out, 0);
        put8(b->out, 0);
        put32(b->out, 0xfec00000);
        put32(b->out, 0);       /* first GSI */
        put_override(b, 0, 2, INTI_CONFORMS);
        /* The SCI and the lines that PIRQs may use. */
        put_override(b, 5, 5, INTI_LEVEL_HIGH);
        put_override(b, 9, 9, INTI_LEVEL_HIGH);
        put_override(b, 10, 10, INTI_LEVEL_HIGH);
        put_override(b, 11, 11, INTI_LEVEL_HIGH);
    }
    put8(b->out, MADT_LAPIC_NMI);
    put8(b->out, 6);
    put8(b->out, 0xff);         /* LINT1 of every processor */
    put16(b->out, INTI_CONFORMS);
    put8(b->out, 1);
    if (wide) {
        put8(b->out, MADT_X2APIC_NMI);
        put8(b->out, 12);
        put16(b->out, INTI_CONFORMS);
        put32(b->out, UINT32_MAX);
        put8(b->out, 1);
        put_zeros(b->out, 3);
    }
    table_end(b, at, true);
}

/* --- HPET, WAET, RSDT, XSDT, RSDP ---------------------------------------------------------------- */

static void build_hpet(Builder *b)
{
    uint32_t at = table_begin(b, "HPET", 1);
    uint64_t id = 0;

    /* Revision, number of timers and vendor, as the chip itself has them. */
    as_load(&as_memory, 0xfed00000, 4, &id);
    put32(b->out, id);
    put_gas(b->out, 0, 0, 0, 0xfed00000);
    put8(b->out, 0);            /* the first */
    put16(b->out, 0);           /* least ticks in periodic mode */
    put8(b->out, 0);
    table_end(b, at, true);
}

/* Windows: the PM timer needs to be read only once. */
static void build_waet(Builder *b)
{
    uint32_t at = table_begin(b, "WAET", 1);

    put32(b->out, 2);
    table_end(b, at, true);
}

/* What -acpitable gave. */
static void add_user_tables(Builder *b)
{
    const GPtrArray *tables = acpi_user_tables();

    for (unsigned i = 0; tables && i < tables->len; i++) {
        const GByteArray *t = tables->pdata[i];
        uint32_t at = table_place(b);

        g_byte_array_append(b->out, t->data, t->len);
        b->out->data[at + HEADER_CHECKSUM] = 0;
        table_end(b, at, true);
    }
}

static uint32_t build_root_table(Builder *b, const char *signature,
                                 unsigned size)
{
    uint32_t at = table_begin(b, signature, 1);

    take_oem_ids(b, at);
    for (unsigned i = 0; i < b->listed->len; i++) {
        put_pointer(b, size, g_array_index(b->listed, uint32_t, i));
    }
    return table_end(b, at, false);
}

static void build_rsdp(Builder *b, uint32_t rsdt, uint32_t xsdt)
{
    GByteArray *o = g_byte_array_new();

    g_byte_array_append(o, (const uint8_t *)"RSD PTR ", 8);
    put8(o, 0);
    g_byte_array_append(o, (const uint8_t *)"BOCHS ", 6);
    put8(o, 2);
    put32(o, rsdt);
    put32(o, 36);
    put64(o, xsdt);
    put32(o, 0);
    bios_loader_allocate(b->loader, ACPI_RSDP_FILE, o, 16, BIOS_ZONE_FSEG);
    bios_loader_pointer(b->loader, ACPI_RSDP_FILE, 16, 4, ACPI_TABLES_FILE);
    bios_loader_pointer(b->loader, ACPI_RSDP_FILE, 24, 8, ACPI_TABLES_FILE);
    bios_loader_checksum(b->loader, ACPI_RSDP_FILE, 8, 0, 20);
    bios_loader_checksum(b->loader, ACPI_RSDP_FILE, 32, 0, 36);
}

/* --- the machine --------------------------------------------------------------------------------- */

static void look_at(Device *dev, void *opaque)
{
    AcpiMachine *a = opaque;
    const char *name = dev->obj.type->name;
    const struct { const char *name; Device **place; } one[] = {
        { "PIIX4_PM", &a->pm }, { "hpet", &a->hpet },
        { "ioapic", &a->ioapic }, { "fw_cfg_io", &a->fw_cfg },
        { "pvpanic", &a->pvpanic }, { "mc146818rtc", &a->rtc },
        { "i8042", &a->i8042 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(one); i++) {
        if (!strcmp(one[i].name, name)) {
            *one[i].place = dev;
        }
    }
    if (!strcmp(name, "isa-serial") || !strcmp(name, "isa-parallel")) {
        g_ptr_array_add(a->isa, dev);
    }
}

static void find_windows(AcpiMachine *a)
{
    g_autoptr(GArray) e820 = e820_from_map(a->m);
    Device *host = a->pci->bus.owner;

    a->hole32_start = MAX(e820_low_end(e820), 16 * MiB);
    a->hole64_start = ALIGN_UP(e820_high_end(e820), GiB);
    if (host->obj.type == &i440fx_host_type) {
        a->hole64_bytes = i440fx_hole64_bytes(host);
    }
}

BiosLoader *acpi_build(Machine *m)
{
    AcpiMachine a = { .m = m, .isa = g_ptr_array_new() };
    Bus *bus = bus_find(&pci_bus_type, NULL);
    Builder b = { .a = &a };
    uint32_t facs, dsdt, rsdt, xsdt;

    a.pci = bus ? container_of(bus, PciBus, bus) : NULL;
    device_foreach(NULL, look_at, &a);
    if (m->acpi && a.pm && a.pci) {
        find_windows(&a);
        b.loader = bios_loader_new();
        b.out = g_byte_array_new();
        b.listed = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        bios_loader_allocate(b.loader, ACPI_TABLES_FILE, b.out, 64,
                             BIOS_ZONE_HIGH);
        facs = build_facs(&b);
        assert(facs == ACPI_FACS_AT);
        dsdt = build_dsdt(&b);
        build_fadt(&b, facs, dsdt);
        build_madt(&b);
        if (a.hpet) {
            build_hpet(&b);
        }
        build_waet(&b);
        add_user_tables(&b);
        rsdt = build_root_table(&b, "RSDT", 4);
        xsdt = build_root_table(&b, "XSDT", 8);
        build_rsdp(&b, rsdt, xsdt);
        g_array_unref(b.listed);
    }
    g_ptr_array_unref(a.isa);
    return b.loader;
}
