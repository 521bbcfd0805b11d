/*
 * i440FX (PAM, SMRAM), PIIX3 (routing, reset), PIIX4 (power management).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "pctest.h"

#include "hw/acpi/piix4-pm.h"

enum { PMC = 0, ISA = PCI_DEVFN_OF(1, 0), PM = PCI_DEVFN_OF(1, 3),
       TOY = PCI_DEVFN_OF(3, 0), TOY4 = PCI_DEVFN_OF(4, 0) };

static PcTest *t;
static Device *pm, *toy, *toy4;
static int sci;
static Region rom;

/* A device with an interrupt and nothing else. */
static bool toy_realize(Device *dev, GError **err)
{
    pci_set_interrupt_pin(pci_device_of(dev), 1);
    return true;
}

static const DeviceType toy_type = {
    .name = "toy-pci", .doc = "for tests", .parent = &pci_device_type,
    .size = sizeof(PciDevice), .realize = toy_realize,
};
DEVICE_TYPE(toy_type)

/* What is written and what is read: storage, and bits that are not there. */
typedef struct {
    uint8_t at, reset, after_ff, after_00;
} Row;

static void check_rows(unsigned devfn, const Row *rows, unsigned n)
{
    machine_reset(t->m);
    for (unsigned i = 0; i < n; i++) {
        const Row *r = &rows[i];

        g_assert_cmphex(pc_conf_read(t, devfn, r->at, 1), ==, r->reset);
        pc_conf_write(t, devfn, r->at, 0xff, 1);
        g_assert_cmphex(pc_conf_read(t, devfn, r->at, 1), ==, r->after_ff);
        pc_conf_write(t, devfn, r->at, 0, 1);
        g_assert_cmphex(pc_conf_read(t, devfn, r->at, 1), ==, r->after_00);
    }
    machine_reset(t->m);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(pc_conf_read(t, devfn, rows[i].at, 1), ==,
                        rows[i].reset);
    }
}

/* --- i440FX ------------------------------------------------------------------------- */

static void pam(unsigned reg, uint8_t val)
{
    pc_conf_write(t, PMC, reg, val, 1);
}

static void test_pam(void)
{
    device_reset(t->host);
    /* Reset: PCI, where the "firmware" is. */
    g_assert_cmphex(pc_load(0xf0000, 1), ==, 0xb1);
    g_assert_cmphex(pc_load(0xc0000, 1), ==, 0xff);
    pc_store(0xc0000, 1, 0x11);
    g_assert_cmphex(pc_load(0xc0000, 1), ==, 0xff);

    /* Write enable alone: reads see the ROM, writes fill the shadow. */
    pam(0x59, 0x20);
    for (unsigned i = 0; i < 16; i++) {
        pc_store(0xf0000 + i, 1, pc_load(0xf0000 + i, 1) + 1);
    }
    g_assert_cmphex(pc_load(0xf0000, 1), ==, 0xb1);
    /* Read enable alone: the copy, write-protected. */
    pam(0x59, 0x10);
    g_assert_cmphex(pc_load(0xf0000, 1), ==, 0xb2);
    pc_store(0xf0000, 1, 0);
    g_assert_cmphex(pc_load(0xf0000, 1), ==, 0xb2);
    pam(0x59, 0x30);
    pc_store(0xf0000, 1, 0x77);
    g_assert_cmphex(pc_load(0xf0000, 1), ==, 0x77);
    pam(0x59, 0xff);
    g_assert_cmphex(pc_conf_read(t, PMC, 0x59, 1), ==, 0x30);
    pam(0x59, 0x00);
    g_assert_cmphex(pc_load(0xf0000, 1), ==, 0xb1);
}

static void test_pam_segments(void)
{
    device_reset(t->host);
    for (unsigned i = 0; i < 12; i++) {
        unsigned reg = 0x5a + i / 2;
        uint32_t base = 0xc0000 + i * 0x4000;

        pam(reg, i & 1 ? 0x30 : 0x03);
        pc_store(base, 1, i + 1);
        pc_store(base + 0x3fff, 1, i + 101);
        g_assert_cmphex(pc_load(base, 1), ==, i + 1);
        g_assert_cmphex(pc_load(base + 0x3fff, 1), ==, i + 101);
        pc_store(base + 0x4000, 1, 0);  /* the next one is not ours */
        pam(reg, 0);
        g_assert_cmphex(pc_load(base, 1), !=, i + 1);
    }
    pam(0x5a, 0x33);
    g_assert_cmphex(pc_load(0xc0000, 1), ==, 1);
    g_assert_cmphex(pc_load(0xc4000, 1), ==, 2);
    pc_reload(&t->pci->devs[0]->dev);
    g_assert_cmphex(pc_load(0xc0000, 1), ==, 1);
    device_reset(t->host);
    g_assert_cmphex(pc_load(0xc0000, 1), ==, 0xff);
}

/* The byte at A0000h as system management mode sees it. */
static uint8_t in_smm(void)
{
    uint64_t val = 0;

    as_load(&as_smm, 0xa0000, 1, &val);
    return val;
}

static void test_smram(void)
{
    device_reset(t->host);
    g_assert_cmphex(pc_conf_read(t, PMC, 0x72, 1), ==, 0x02);
    g_assert_cmphex(pc_load(0xa0000, 1), ==, 0xff);
    pc_conf_write(t, PMC, 0x72, 0x48, 1);       /* enabled and open */
    pc_store(0xa0000, 1, 0x5a);
    g_assert_cmphex(pc_load(0xa0000, 1), ==, 0x5a);
    g_assert_cmphex(pc_conf_read(t, PMC, 0x72, 1), ==, 0x4a);
    pc_conf_write(t, PMC, 0x72, 0x58, 1);       /* locked: closes */
    g_assert_cmphex(pc_conf_read(t, PMC, 0x72, 1), ==, 0x1a);
    g_assert_cmphex(pc_load(0xa0000, 1), ==, 0xff);
    g_assert_cmphex(in_smm(), ==, 0x5a);
    pc_conf_write(t, PMC, 0x72, 0x48, 1);
    g_assert_cmphex(pc_conf_read(t, PMC, 0x72, 1), ==, 0x1a);
    pc_reload(&t->pci->devs[0]->dev);
    pc_conf_write(t, PMC, 0x72, 0x48, 1);
    g_assert_cmphex(pc_conf_read(t, PMC, 0x72, 1), ==, 0x1a);
    device_reset(t->host);
    pc_conf_write(t, PMC, 0x72, 0x48, 1);
    g_assert_cmphex(pc_load(0xa0000, 1), ==, 0x5a);
    device_reset(t->host);
    g_assert_cmphex(in_smm(), ==, 0xff);        /* not enabled */
}

static void test_pmc_registers(void)
{
    device_reset(t->host);
    g_assert_cmphex(pc_conf_read(t, PMC, PCI_COMMAND, 2), ==, 0x0006);
    g_assert_cmphex(pc_conf_read(t, PMC, PCI_STATUS, 2), ==, 0x0280);
    g_assert_cmphex(pc_conf_read(t, PMC, PCI_CLASS_REVISION, 4), ==,
                    0x06000002);
    static const Row rows[] = {
        { 0x04, 0x06, 0x46, 0x06 }, { 0x50, 0x00, 0xff, 0x00 },
        { 0x52, 0x00, 0xff, 0x00 }, { 0x53, 0x83, 0xff, 0x00 },
        { 0x54, 0x00, 0xff, 0x00 }, { 0x55, 0x10, 0xff, 0x00 },
        { 0x57, 0x01, 0xff, 0x00 }, { 0x58, 0x00, 0xff, 0x00 },
        { 0x59, 0x00, 0x30, 0x00 }, { 0x5a, 0x00, 0x33, 0x00 },
        { 0x5f, 0x00, 0x33, 0x00 }, { 0x68, 0x00, 0xff, 0x00 },
        { 0x70, 0x10, 0xff, 0x00 }, { 0x71, 0x00, 0xff, 0x00 },
        { 0x72, 0x02, 0x3a, 0x1a }, { 0x90, 0x00, 0xff, 0x00 },
        { 0x91, 0x00, 0x00, 0x00 },
    };

    check_rows(PMC, rows, G_N_ELEMENTS(rows));
    /* 64 MiB: 8 units in every row boundary. */
    g_assert_cmphex(pc_conf_read(t, PMC, 0x60, 4), ==, 0x08080808);
    pc_conf_write(t, PMC, 0x93, 0x04, 1);
    g_assert_true(pc_was_reset(t));
}

/* --- PIIX3 -------------------------------------------------------------------------------- */

static void test_routing(void)
{
    PciDevice *a = pci_device_of(toy), *b = pci_device_of(toy4);

    machine_reset(t->m);
    g_assert_cmphex(pc_conf_read(t, ISA, 0x60, 4), ==, 0x80808080);
    pci_set_irq(a, 1);                          /* slot 3 INTA#: PIRQC */
    pci_set_irq(b, 1);                          /* slot 4 INTA#: PIRQD */
    for (int i = 0; i < 16; i++) {
        g_assert_cmpint(t->isa_level[i], ==, 0);
    }
    pc_conf_write(t, ISA, 0x62, 11, 1);
    g_assert_cmpint(t->isa_level[11], ==, 1);
    /* Two PIRQs on one line: high while either is. */
    pc_conf_write(t, ISA, 0x63, 11, 1);
    pci_set_irq(a, 0);
    g_assert_cmpint(t->isa_level[11], ==, 1);
    pci_set_irq(b, 0);
    g_assert_cmpint(t->isa_level[11], ==, 0);
    /* Rerouted while high; reserved lines get nothing. */
    pci_set_irq(a, 1);
    pc_conf_write(t, ISA, 0x62, 5, 1);
    g_assert_cmpint(t->isa_level[11], ==, 0);
    g_assert_cmpint(t->isa_level[5], ==, 1);
    pc_conf_write(t, ISA, 0x62, 8, 1);
    g_assert_cmpint(t->isa_level[5], ==, 0);
    g_assert_cmpint(t->isa_level[8], ==, 0);
    pc_conf_write(t, ISA, 0x62, 10, 1);
    g_assert_cmpint(t->isa_level[10], ==, 1);
    pc_reload(t->piix3);
    g_assert_cmpint(t->isa_level[10], ==, 1);
    pc_conf_write(t, ISA, 0x62, 0x8a, 1);
    g_assert_cmpint(t->isa_level[10], ==, 0);
    machine_reset(t->m);
    g_assert_cmphex(pc_conf_read(t, ISA, 0x62, 1), ==, 0x80);
}

static void test_reset_control(void)
{
    machine_reset(t->m);
    pc_out(0xcf9, 1, 0x02);
    g_assert_cmphex(pc_in(0xcf9, 1), ==, 0x02);
    g_assert_false(pc_was_reset(t));
    pc_out(0xcf9, 1, 0x06);
    g_assert_true(pc_was_reset(t));
    g_assert_cmphex(pc_in(0xcf9, 1), ==, 0);
}

static void test_piix3_registers(void)
{
    static const Row rows[] = {
        { 0x04, 0x07, 0x47, 0x07 }, { 0x06, 0x00, 0x00, 0x00 },
        { 0x07, 0x02, 0x02, 0x02 }, { 0x0e, 0x80, 0x80, 0x80 },
        { 0x4c, 0x4d, 0x7f, 0x00 }, { 0x4e, 0x03, 0xff, 0x00 },
        { 0x4f, 0x00, 0x0f, 0x00 }, { 0x60, 0x80, 0x8f, 0x00 },
        { 0x61, 0x80, 0x8f, 0x00 }, { 0x62, 0x80, 0x8f, 0x00 },
        { 0x63, 0x80, 0x8f, 0x00 }, { 0x69, 0x02, 0xff, 0x00 },
        { 0x6a, 0x00, 0x80, 0x00 }, { 0x6b, 0x00, 0xff, 0x00 },
        { 0x70, 0x80, 0xef, 0x00 }, { 0x71, 0x80, 0xef, 0x00 },
        { 0x76, 0x04, 0x8f, 0x00 }, { 0x77, 0x04, 0x8f, 0x00 },
        { 0x78, 0x02, 0xff, 0x00 }, { 0x79, 0x00, 0xff, 0x00 },
        { 0x80, 0x00, 0x7f, 0x00 }, { 0x82, 0x00, 0x0f, 0x00 },
        { 0xa0, 0x08, 0x1f, 0x00 }, { 0xa2, 0x00, 0xff, 0x00 },
        { 0xa4, 0x00, 0xff, 0x00 }, { 0xa7, 0x00, 0xe0, 0x00 },
        { 0xa8, 0x0f, 0xff, 0x00 }, { 0xaa, 0x00, 0xff, 0x00 },
        { 0xac, 0x00, 0xff, 0x00 }, { 0xae, 0x00, 0xff, 0x00 },
        { 0x3c, 0x00, 0x00, 0x00 }, { 0x40, 0x00, 0x00, 0x00 },
    };

    check_rows(ISA, rows, G_N_ELEMENTS(rows));
}

static void test_apic_base(void)
{
    static const IoOps nothing = { .read = NULL };
    Region ioapic;

    machine_reset(t->m);
    region_init_io(&ioapic, NULL, "ioapic", &nothing, NULL, 4096);
    region_map(mem_root(), 0xfec00000, &ioapic, 0);
    piix3_set_ioapic(t->piix3, &ioapic);
    pc_conf_write(t, ISA, 0x80, 0x3f, 1);
    g_assert_cmphex(ioapic.at, ==, 0xfec0fc00);
    pc_conf_write(t, ISA, 0x80, 0x05, 1);
    g_assert_cmphex(ioapic.at, ==, 0xfec01400);
    pc_reload(t->piix3);
    g_assert_cmphex(ioapic.at, ==, 0xfec01400);
    machine_reset(t->m);
    g_assert_cmphex(ioapic.at, ==, 0xfec00000);
    piix3_set_ioapic(t->piix3, NULL);
    region_destroy(&ioapic);
}

/* --- FERR# -------------------------------------------------------------------------------- */

/* Line 13 until the handler writes port F0h, and again at the next error. */
static void test_ferr(void)
{
    Device *dev = device_new(type_find("isa-ferr"));
    GError *err = NULL;

    g_assert_true(device_realize(dev, &t->isa->bus, &err));
    device_reset(dev);
    machine_set_ferr(true);
    g_assert_cmpint(t->isa_level[13], ==, 1);
    pc_out(0xf0, 1, 0);
    g_assert_cmpint(t->isa_level[13], ==, 0);
    machine_set_ferr(true);                     /* IGNNE# is asserted */
    g_assert_cmpint(t->isa_level[13], ==, 0);
    machine_set_ferr(false);
    machine_set_ferr(true);
    g_assert_cmpint(t->isa_level[13], ==, 1);
    pc_reload(dev);
    g_assert_cmpint(t->isa_level[13], ==, 1);
    device_reset(dev);
    g_assert_cmpint(t->isa_level[13], ==, 0);
}

/* --- PIIX4 -------------------------------------------------------------------------------- */

static void pm_setup(void)
{
    machine_reset(t->m);
    pc_conf_write(t, PM, 0x40, 0x601, 4);
    pc_conf_write(t, PM, 0x80, 1, 1);
}

static void test_pm_config(void)
{
    machine_reset(t->m);
    g_assert_cmphex(pc_conf_read(t, PM, 0, 4), ==, 0x71138086);
    g_assert_cmphex(pc_conf_read(t, PM, PCI_INTERRUPT_PIN, 1), ==, 1);
    g_assert_cmphex(pc_conf_read(t, PM, 0x40, 4), ==, 1);
    pc_conf_write(t, PM, 0x40, 0xffffffff, 4);
    g_assert_cmphex(pc_conf_read(t, PM, 0x40, 4), ==, 0xffc1);
    pc_conf_write(t, PM, 0x40, 0x601, 4);
    g_assert_cmphex(pc_in(0x604, 2), ==, 0xffff);
    pc_conf_write(t, PM, 0x80, 1, 1);
    g_assert_cmphex(pc_in(0x604, 2), ==, 0);
    pc_conf_write(t, PM, 0x40, 0xb001, 4);
    g_assert_cmphex(pc_in(0x604, 2), ==, 0xffff);
    g_assert_cmphex(pc_in(0xb004, 2), ==, 0);
}

static void test_pm_timer(void)
{
    uint32_t before, after;

    pm_setup();
    before = pc_in(0x608, 4);
    clock_test_advance(NS_PER_SEC);
    after = pc_in(0x608, 4);
    g_assert_cmpuint((after - before) & 0xffffff, ==, 3579545);
    g_assert_cmphex(pc_in(0x60a, 1), ==, after >> 16 & 0xff);
    pc_out(0x608, 4, 0x1234);                   /* read-only */
    g_assert_cmpuint(pc_in(0x608, 4), ==, after);
}

/* Bit 23 toggles every 2^23 ticks: 2.34 s. */
static void test_pm_overflow(void)
{
    pm_setup();
    pc_out(0x600, 2, 0xffff);
    while (!(pc_in(0x600, 2) & 1)) {            /* without enable: seen */
        clock_test_advance(NS_PER_MS);
    }
    g_assert_cmpint(sci, ==, 0);
    pc_out(0x600, 2, 1);
    g_assert_cmphex(pc_in(0x600, 2), ==, 0);
    pc_out(0x602, 2, 0x0001);
    pc_out(0x604, 2, 0x0001);                   /* SCI_EN */
    clock_test_advance(2340 * NS_PER_MS);
    g_assert_cmpint(sci, ==, 0);
    clock_test_advance(5 * NS_PER_MS);
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(pc_in(0x600, 2), ==, 1);
    pc_reload(pm);
    g_assert_cmpint(sci, ==, 1);
    pc_out(0x600, 2, 1);
    g_assert_cmpint(sci, ==, 0);
    clock_test_advance(2345 * NS_PER_MS);
    g_assert_cmpint(sci, ==, 1);
    pc_out(0x602, 2, 0);
    g_assert_cmpint(sci, ==, 0);
}

static void test_power_button(void)
{
    pm_setup();
    pc_out(0x602, 2, 0x0100);
    machine_powerdown();
    g_assert_cmphex(pc_in(0x600, 2), ==, 0x0100);
    g_assert_cmpint(sci, ==, 0);
    /* ACPI enabled by the APM port, and disabled. */
    pc_out(0xb2, 1, 0xf1);
    g_assert_cmphex(pc_in(0x604, 2), ==, 1);
    g_assert_cmpint(sci, ==, 1);
    pc_out(0xb2, 1, 0xf0);
    g_assert_cmpint(sci, ==, 0);
    pc_out(0xb2, 1, 0xf1);
    /* Byte writes clear only their byte. */
    pc_out(0x600, 1, 0xff);
    g_assert_cmpint(sci, ==, 1);
    pc_out(0x601, 1, 0x01);
    g_assert_cmpint(sci, ==, 0);
    pc_out(0xb3, 1, 0x5a);
    g_assert_cmphex(pc_in(0xb2, 2), ==, 0x5af1);
}

static void test_soft_off(void)
{
    pm_setup();
    pc_out(0x604, 2, 5 << 10 | 1 << 13);        /* a type not offered */
    g_assert_false(pc_was_shut_down(t));
    pc_out(0x604, 2, 0 << 10);
    g_assert_false(pc_was_shut_down(t));
    pc_out(0x604, 2, 0 << 10 | 1 << 13);
    g_assert_true(pc_was_shut_down(t));
    g_assert_cmphex(pc_in(0x604, 2) & 0x2000, ==, 0);
    pc_out(0x605, 1, 2 << 2 | 1 << 5);          /* S4, by its byte */
    g_assert_true(pc_was_shut_down(t));
}

static void serve(void)
{
    pc_was_reset(t);
}

/* RAM and shadowing stay, the rest is reset, and PMSTS says what woke it. */
static void test_suspend(void)
{
    static const struct { WakeCause why; uint16_t status; } rows[] = {
        { WAKE_RTC, 0x8400 }, { WAKE_BUTTON, 0x8100 }, { WAKE_OTHER, 0x8000 },
    };

    Irq alarm = device_in(pm, 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        pm_setup();
        machine_start(t->m);
        pc_out(0x602, 2, 0x0400);
        pc_out(0xb2, 1, 0xf1);
        pc_out(0x604, 2, 1 << 10 | 1 << 13);
        serve();
        g_assert_true(machine_suspended());
        g_assert_cmpint(t->m->state, ==, RUN_STATE_SUSPENDED);
        /* Paused meanwhile, it still sleeps. */
        machine_stop(t->m, RUN_STATE_PAUSED);
        machine_start(t->m);
        g_assert_cmpint(t->m->state, ==, RUN_STATE_SUSPENDED);
        if (rows[i].why == WAKE_RTC) {
            irq_pulse(&alarm);
        } else if (rows[i].why == WAKE_BUTTON) {
            machine_powerdown();
        } else {
            machine_request_wakeup(WAKE_OTHER);
        }
        serve();
        g_assert_false(machine_suspended());
        g_assert_true(machine_running(t->m));
        g_assert_cmphex(pc_conf_read(t, PM, 0x80, 1), ==, 0);
        pc_conf_write(t, PM, 0x40, 0x601, 4);
        pc_conf_write(t, PM, 0x80, 1, 1);
        g_assert_cmphex(pc_in(0x600, 2), ==, rows[i].status);
        g_assert_cmphex(pc_in(0x604, 2), ==, 0);
        machine_stop(t->m, RUN_STATE_PRELAUNCH);
    }
    /* An alarm that may not wake; a reset does, from the start. */
    pm_setup();
    machine_start(t->m);
    pc_out(0x604, 2, 1 << 10 | 1 << 13);
    serve();
    irq_pulse(&alarm);
    serve();
    g_assert_true(machine_suspended());
    machine_request_reset(SHUTDOWN_HOST_RESET);
    serve();
    g_assert_true(machine_running(t->m));
    g_assert_cmpint(machine_waking(), ==, WAKE_NONE);
    machine_stop(t->m, RUN_STATE_PRELAUNCH);
}

static void test_gpe(void)
{
    pm_setup();
    pc_out(0x604, 2, 1);
    piix4_pm_gpe(pm, 9);
    g_assert_cmphex(pc_in(0xafe0, 4), ==, 0x00000200);
    g_assert_cmpint(sci, ==, 0);
    pc_out(0xafe3, 1, 0x02);
    g_assert_cmpint(sci, ==, 1);
    pc_out(0xafe1, 1, 0x02);
    g_assert_cmpint(sci, ==, 0);
}

static void test_global_lock(void)
{
    pm_setup();
    pc_out(0x604, 2, 4);                        /* GBL_RLS rings the BIOS */
    g_assert_cmphex(pc_in(0x618, 2), ==, 1);
    g_assert_cmphex(pc_in(0x604, 2), ==, 0);
    pc_out(0x618, 2, 1);
    g_assert_cmphex(pc_in(0x618, 2), ==, 0);
    pc_out(0x628, 4, 2);                        /* BIOS_RLS rings the OS */
    g_assert_cmphex(pc_in(0x600, 2), ==, 0x20);
    g_assert_cmphex(pc_in(0x628, 4), ==, 0);
}

/* Registers of the PM block that are storage, or idle. */
static void test_pm_block(void)
{
    static const struct { uint16_t at; uint32_t ones; } rows[] = {
        { 0x0c, 0 }, { 0x10, 0x00033e1e }, { 0x14, 0 }, { 0x1c, 0 },
        { 0x20, 0x0000ffff }, { 0x28, 0xfffffffd }, { 0x2c, 0xffffffff },
        { 0x30, 0 }, { 0x34, 0xffffffff },
    };

    pm_setup();
    g_assert_cmphex(pc_in(0x634, 4), ==, 0x7fffbfff);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        pc_out(0x600 + rows[i].at, 4, 0xffffffff);
        g_assert_cmphex(pc_in(0x600 + rows[i].at, 4), ==, rows[i].ones);
        pc_out(0x600 + rows[i].at, 4, 0);
        g_assert_cmphex(pc_in(0x600 + rows[i].at, 4), ==, 0);
    }
}

static void count_smi(void *opaque, int n, int level)
{
    *(int *)opaque += level;
}

static void set_sci(void *opaque, int n, int level)
{
    sci = level;
}

static void make_pm(const char *props)
{
    if (pm) {
        device_delete(pm);
    }
    pm = pc_add_pci(t, "PIIX4_PM", "01.3", props);
    device_connect(pm, "sci", 0, (Irq) { set_sci, NULL, 0 });
}

static void test_apm(void)
{
    int smi = 0;

    /* Without SMM: said to be set up, but nothing is requested. */
    device_connect(pm, "smi", 0, (Irq) { count_smi, &smi, 0 });
    machine_reset(t->m);
    g_assert_cmphex(pc_conf_read(t, PM, 0x5b, 1), ==, 0x02);
    pc_out(0xb2, 1, 0x12);
    g_assert_cmpint(smi, ==, 0);

    make_pm("smm-enabled=on");
    device_connect(pm, "smi", 0, (Irq) { count_smi, &smi, 0 });
    g_assert_cmphex(pc_conf_read(t, PM, 0x5b, 1), ==, 0);
    pc_out(0xb2, 1, 0x12);
    g_assert_cmpint(smi, ==, 0);
    pc_conf_write(t, PM, 0x5b, 0x02, 1);
    pc_out(0xb2, 1, 0x12);
    g_assert_cmpint(smi, ==, 1);
    g_assert_cmphex(pc_in(0xb2, 1), ==, 0x12);
    pc_out(0xb2, 1, 0xf1);
    g_assert_cmpint(smi, ==, 2);
    make_pm(NULL);
}

/* Ports from reset on, for boards whose firmware does not place them. */
static void test_smb_io_base(void)
{
    make_pm("smb_io_base=0xb100");
    machine_reset(t->m);
    g_assert_cmphex(pc_in(0xb100, 1), ==, 0);
    g_assert_cmphex(pc_conf_read(t, PM, 0x90, 4), ==, 0xb101);
    make_pm(NULL);
    g_assert_cmphex(pc_in(0xb100, 1), ==, 0xff);
}

static void test_smbus_registers(void)
{
    static const struct { uint8_t at, ones; } rows[] = {
        { 1, 0x00 }, { 2, 0x1d }, { 3, 0xff }, { 4, 0xff }, { 5, 0xff },
        { 6, 0xff }, { 8, 0x0f }, { 9, 0x00 }, { 10, 0xff }, { 11, 0xff },
        { 12, 0x00 }, { 13, 0x00 },
    };

    machine_reset(t->m);
    pc_conf_write(t, PM, 0x90, 0x701, 4);
    pc_conf_write(t, PM, 0xd2, 0x09, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        pc_out(0x700 + rows[i].at, 1, 0xff);
        g_assert_cmphex(pc_in(0x700 + rows[i].at, 1), ==, rows[i].ones);
        pc_out(0x700 + rows[i].at, 1, 0);
        g_assert_cmphex(pc_in(0x700 + rows[i].at, 1), ==, 0);
    }
    g_assert_cmphex(pc_in(0x700, 1), ==, 0x10);     /* killed: FAILED */
    pc_reload(pm);
    g_assert_cmphex(pc_in(0x700, 1), ==, 0x10);
    pc_out(0x700, 1, 0x10);
    g_assert_cmphex(pc_in(0x700, 1), ==, 0);
}

static void test_smbus(void)
{
    machine_reset(t->m);
    pc_conf_write(t, PM, 0x90, 0x701, 4);
    g_assert_cmphex(pc_in(0x700, 1), ==, 0xff);
    pc_conf_write(t, PM, 0xd2, 0x09, 1);
    g_assert_cmphex(pc_in(0x700, 1), ==, 0);
    pc_out(0x704, 1, 0xa1);
    pc_out(0x702, 1, 0x48);                     /* read byte data */
    g_assert_cmphex(pc_in(0x700, 1), ==, 0x04);
    pc_out(0x700, 1, 0x1e);
    g_assert_cmphex(pc_in(0x700, 1), ==, 0);
    /* The block buffer wraps and is rewound by reading HSTCNT. */
    pc_in(0x702, 1);
    for (int i = 0; i < 40; i++) {
        pc_out(0x707, 1, i);
    }
    pc_in(0x702, 1);
    g_assert_cmphex(pc_in(0x707, 1), ==, 32);
    g_assert_cmphex(pc_in(0x707, 1), ==, 33);
}

int main(int argc, char **argv)
{
    GError *err = NULL;

    t = pc_test_init(&argc, &argv, 64 * MiB);
    make_pm(NULL);
    toy = pc_add_pci(t, "toy-pci", "3.0", NULL);
    toy4 = pc_add_pci(t, "toy-pci", "4.0", NULL);
    region_init_rom(&rom, NULL, "bios", 64 * KiB, &err);
    g_assert_no_error(err);
    memset(rom.ram->host, 0xb1, 64 * KiB);
    region_map(i440fx_pci_memory(t->host), 0xf0000, &rom, 0);

    g_test_add_func("/i440fx/pam", test_pam);
    g_test_add_func("/i440fx/pam-segments", test_pam_segments);
    g_test_add_func("/i440fx/smram", test_smram);
    g_test_add_func("/i440fx/registers", test_pmc_registers);
    g_test_add_func("/piix3/routing", test_routing);
    g_test_add_func("/piix3/reset-control", test_reset_control);
    g_test_add_func("/piix3/registers", test_piix3_registers);
    g_test_add_func("/piix3/apic-base", test_apic_base);
    g_test_add_func("/piix3/ferr", test_ferr);
    g_test_add_func("/piix4/config", test_pm_config);
    g_test_add_func("/piix4/timer", test_pm_timer);
    g_test_add_func("/piix4/overflow", test_pm_overflow);
    g_test_add_func("/piix4/power-button", test_power_button);
    g_test_add_func("/piix4/soft-off", test_soft_off);
    g_test_add_func("/piix4/suspend", test_suspend);
    g_test_add_func("/piix4/gpe", test_gpe);
    g_test_add_func("/piix4/global-lock", test_global_lock);
    g_test_add_func("/piix4/block", test_pm_block);
    g_test_add_func("/piix4/apm", test_apm);
    g_test_add_func("/piix4/smbus", test_smbus);
    g_test_add_func("/piix4/smbus-registers", test_smbus_registers);
    g_test_add_func("/piix4/smb-io-base", test_smb_io_base);
    return g_test_run();
}
