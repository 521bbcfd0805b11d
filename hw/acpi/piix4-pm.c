/*
 * PIIX4 power management: PCI function 3 of the south bridge.
 *
 * Spec:   Intel 82371AB (PIIX4) datasheet 290562-001, chapter 7 and section
 *         11; ACPI 6.4, section 4.8 for what the registers mean.
 * Models: PM1 event and control block, 24-bit timer, sleep types, power
 *         button, global lock doorbells, two GPE bytes at AFE0h (QEMU's place:
 *         the tables and other guests' habits name it), APM ports with the
 *         ACPI enable and disable commands, a reset SMBus host that has no
 *         slaves; suspend to RAM, from which the RTC's alarm and the button
 *         wake.  Not: throttling, device monitors and traps (registers hold
 *         what is written).
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/piix4-pm.h"

#include "base/log.h"
#include "base/trace.h"
#include "core/machine.h"
#include "hw/acpi/smbus-host.h"
#include "loop/timer.h"

enum {                          /* configuration registers */
    PMBA = 0x40, CNTA = 0x44, DEVACTB = 0x58, PMREGMISC = 0x80, SMBBA = 0x90,
    SMBHSTCFG = 0xd2, SMBREV = 0xd6,
};
enum {
    PMREGMISC_PMIOSE = 1 << 0,
    SMBHSTCFG_HST_EN = 1 << 0, SMBHSTCFG_INTRSEL = 7 << 1,
    SMBHSTCFG_IRQ9 = 4 << 1,
    DEVACTB_APMC_EN = 1 << 1,   /* of byte 3: bit 25 of the doubleword */
};

enum {                          /* ports from PMBA */
    PMSTS = 0x00, PMEN = 0x02, PMCNTRL = 0x04, PMTMR = 0x08, GPSTS = 0x0c,
    GPEN = 0x0e, PCNTRL = 0x10, PLVL2 = 0x14, PLVL3 = 0x15, GLBSTS = 0x18,
    DEVSTS = 0x1c, GLBEN = 0x20, GLBCTL = 0x28, DEVCTL = 0x2c, GPIREG = 0x30,
    GPOREG = 0x34, PM_BYTES = 0x40,
};
enum {                          /* PMSTS and PMEN */
    PM_TMROF = 1 << 0, PM_BM = 1 << 4, PM_GBL = 1 << 5, PM_PWRBTN = 1 << 8,
    PM_RTC = 1 << 10, PM_PWRBTNOR = 1 << 11, PM_WAK = 1 << 15,
    PM_STS_ALL = PM_TMROF | PM_BM | PM_GBL | PM_PWRBTN | PM_RTC | PM_PWRBTNOR
                 | PM_WAK,
    PM_EN_ALL = PM_TMROF | PM_GBL | PM_PWRBTN | PM_RTC,
};
enum {                          /* PMCNTRL */
    CNT_SCI_EN = 1 << 0, CNT_BM_RLD = 1 << 1, CNT_GBL_RLS = 1 << 2,
    CNT_SUS_TYP = 7 << 10, CNT_SUS_TYP_SHIFT = 10, CNT_SUS_EN = 1 << 13,
};
enum { GLBSTS_BIOS = 1 << 0, GLBCTL_BIOS_RLS = 1 << 1 };
enum { SUS_SOFT_OFF = 0, SUS_TO_RAM = 1 };

#define PMTMR_HZ 3579545

enum { APMC, APMS };

typedef struct Piix4Pm {
    PciDevice pci;
    uint32_t smb_io_base;       /* property: for machines without firmware */
    uint8_t disable_s3, disable_s4;     /* numbers, as libvirt sets them */
    uint8_t s4_val;
    bool smm_enabled;           /* property: an SMI# reaches the CPU */
    Irq sci, smi;               /* out */

    uint16_t pmsts, pmen, pmcntrl;
    uint16_t glbsts, glben;
    uint32_t pcntrl, devsts, glbctl, devctl, gporeg;
    uint8_t gpe_sts[2], gpe_en[2];
    uint8_t apmc, apms;
    int64_t overflow_ns;        /* when PMTMR's bit 23 toggles next */
    SmbusHost smb;

    Region pm_io, gpe_io, apm_io;
    bool pm_mapped;
    Timer overflow;
} Piix4Pm;

static Piix4Pm *pm_of(Device *dev)
{
    return container_of(dev, Piix4Pm, pci.dev);
}

/* --- timer and SCI ------------------------------------------------------------------ */

/* Ticks since the clock was 0: 2^63 ns hold 2^55 ticks. */
static int64_t ticks_at(int64_t ns)
{
    return (__int128)ns * PMTMR_HZ / NS_PER_SEC;
}

/* The first nanosecond at which the tick count is `ticks`. */
static int64_t ns_of(int64_t ticks)
{
    return ((__int128)ticks * NS_PER_SEC + PMTMR_HZ - 1) / PMTMR_HZ;
}

static void update(Piix4Pm *s)
{
    int64_t now = clock_ns(CLK_VIRTUAL);
    bool sci, gpe = false;

    if (now >= s->overflow_ns) {
        s->pmsts |= PM_TMROF;
        s->overflow_ns = ns_of((ticks_at(now) | 0x7fffff) + 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        gpe |= s->gpe_sts[i] & s->gpe_en[i];
    }
    sci = s->pmcntrl & CNT_SCI_EN && (gpe || s->pmsts & s->pmen & PM_EN_ALL);
    irq_set(&s->sci, sci);
    /* The overflow needs a timer only while someone waits for it. */
    if (s->pmen & PM_TMROF && !(s->pmsts & PM_TMROF)) {
        timer_mod(&s->overflow, s->overflow_ns);
    } else {
        timer_del(&s->overflow);
    }
}

static void overflow_fires(void *opaque)
{
    update(opaque);
}

static void set_status(Piix4Pm *s, uint16_t status)
{
    s->pmsts |= status;
    update(s);
}

static void power_button(void *opaque)
{
    if (machine_suspended()) {
        machine_request_wakeup(WAKE_BUTTON);
    } else {
        set_status(opaque, PM_PWRBTN);
    }
}

/* The RTC's alarm; whether it may wake is said before it sleeps. */
static void pm_input(void *dev, int n, int level)
{
    Piix4Pm *s = pm_of(dev);

    if (level) {
        set_status(s, PM_RTC);
        if (machine_suspended() && s->pmen & PM_RTC) {
            machine_request_wakeup(WAKE_RTC);
        }
    }
}

void piix4_pm_gpe(Device *dev, unsigned n)
{
    Piix4Pm *s = pm_of(dev);

    s->gpe_sts[n / 8 & 1] |= 1 << n % 8;
    update(s);
}

static void request_smi(Piix4Pm *s)
{
    if (s->smm_enabled) {
        irq_pulse(&s->smi);
    }
}

/* --- the PM block --------------------------------------------------------------------- */

static void enter_sleep(Piix4Pm *s)
{
    unsigned type = (s->pmcntrl & CNT_SUS_TYP) >> CNT_SUS_TYP_SHIFT;

    trace("piix4-pm-sleep", "type %u", type);
    if (type == SUS_SOFT_OFF) {
        machine_request_shutdown(SHUTDOWN_GUEST_SHUTDOWN);
    } else if (type == SUS_TO_RAM && !s->disable_s3) {
        machine_request_suspend();
    } else if (type == s->s4_val && !s->disable_s4) {
        /* Suspend to disk: the guest has saved itself; off it goes. */
        machine_request_shutdown(SHUTDOWN_GUEST_SHUTDOWN);
    } else {
        guest_error("PIIX4_PM", "sleep type %u is not offered", type);
    }
}

static void write_control(Piix4Pm *s, uint16_t val)
{
    s->pmcntrl = val & (CNT_SCI_EN | CNT_BM_RLD | CNT_SUS_TYP);
    if (val & CNT_GBL_RLS) {
        /* The guest waits for no one here, but firmware with an SMI handler
         * learns that the global lock is free. */
        s->glbsts |= GLBSTS_BIOS;
        request_smi(s);
    }
    if (val & CNT_SUS_EN) {
        enter_sleep(s);
    }
    update(s);
}

static uint16_t read_word(Piix4Pm *s, unsigned at)
{
    switch (at) {
    case PMSTS:
        update(s);
        return s->pmsts;
    case PMEN:
        return s->pmen;
    case PMCNTRL:
        return s->pmcntrl;
    case PCNTRL:
        return s->pcntrl;
    case PCNTRL + 2:
        return s->pcntrl >> 16;
    case GLBSTS:
        return s->glbsts;
    case DEVSTS:
        return s->devsts;
    case DEVSTS + 2:
        return s->devsts >> 16;
    case GLBEN:
        return s->glben;
    case GLBCTL:
        return s->glbctl;
    case GLBCTL + 2:
        return s->glbctl >> 16;
    case DEVCTL:
        return s->devctl;
    case DEVCTL + 2:
        return s->devctl >> 16;
    case GPOREG:
        return s->gporeg;
    case GPOREG + 2:
        return s->gporeg >> 16;
    }
    return 0;                   /* GPSTS, GPEN, PLVL2/3, GPIREG: idle */
}

static void write_word(Piix4Pm *s, unsigned at, uint16_t val)
{
    switch (at) {
    case PMSTS:
        update(s);              /* an overflow until now is cleared too */
        s->pmsts &= ~(val & PM_STS_ALL);
        break;
    case PMEN:
        s->pmen = val & PM_EN_ALL;
        break;
    case PMCNTRL:
        write_control(s, val);
        return;
    case PCNTRL:
        s->pcntrl = bits_set(s->pcntrl, 0, 16, val & 0x3e1e);
        break;
    case PCNTRL + 2:
        s->pcntrl = bits_set(s->pcntrl, 16, 16, val & 0x0003);
        break;
    case GLBSTS:
        s->glbsts &= ~val;
        break;
    case DEVSTS:
        s->devsts &= ~(uint32_t)val;
        break;
    case DEVSTS + 2:
        s->devsts &= ~((uint32_t)val << 16);
        break;
    case GLBEN:
        s->glben = val;
        break;
    case GLBCTL:
        s->glbctl = bits_set(s->glbctl, 0, 16, val & ~GLBCTL_BIOS_RLS);
        if (val & GLBCTL_BIOS_RLS) {
            s->pmsts |= PM_GBL;
        }
        break;
    case GLBCTL + 2:
        s->glbctl = bits_set(s->glbctl, 16, 16, val);
        break;
    case DEVCTL:
        s->devctl = bits_set(s->devctl, 0, 16, val);
        break;
    case DEVCTL + 2:
        s->devctl = bits_set(s->devctl, 16, 16, val);
        break;
    case GPOREG:
        s->gporeg = bits_set(s->gporeg, 0, 16, val);
        break;
    case GPOREG + 2:
        s->gporeg = bits_set(s->gporeg, 16, 16, val);
        break;
    }
    update(s);
}

static uint64_t pm_read(void *opaque, hwaddr at, unsigned size)
{
    Piix4Pm *s = opaque;
    uint32_t word;

    if (at >= PMTMR && at < PMTMR + 4) {
        uint32_t now = ticks_at(clock_ns(CLK_VIRTUAL)) & 0xffffff;

        return now >> 8 * (at - PMTMR);
    }
    word = read_word(s, at & ~1);
    if (size == 4) {
        word |= (uint32_t)read_word(s, at + 2) << 16;
    }
    trace("piix4-pm-read", "0x%" PRIx64 " size %u val 0x%x", at, size,
          word >> 8 * (at & 1));
    return word >> 8 * (at & 1);
}

/* Bytes of a word register that are not written must not change: status bits
 * are cleared by ones, so those get zeros, and the rest its old value. */
static void pm_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;

    trace("piix4-pm-write", "0x%" PRIx64 " size %u val 0x%" PRIx64, at, size,
          val);
    if (size == 1) {
        unsigned reg = at & ~1;
        bool status = reg == PMSTS || reg == GLBSTS || reg == DEVSTS
                      || reg == DEVSTS + 2;
        uint16_t old = status ? 0 : read_word(s, reg);

        write_word(s, reg, bits_set(old, 8 * (at & 1), 8, val));
        return;
    }
    write_word(s, at, val);
    if (size == 4) {
        write_word(s, at + 2, val >> 16);
    }
}

static const IoOps pm_ops = {
    .read = pm_read, .write = pm_write, .size_min = 1, .size_max = 4,
};

/* --- GPE block -------------------------------------------------------------------------- */

static uint64_t gpe_read(void *opaque, hwaddr at, unsigned size)
{
    Piix4Pm *s = opaque;

    return at < 2 ? s->gpe_sts[at] : s->gpe_en[at - 2];
}

static void gpe_write(void *opaque, hwaddr at, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;

    if (at < 2) {
        s->gpe_sts[at] &= ~val;
    } else {
        s->gpe_en[at - 2] = val;
    }
    update(s);
}

static const IoOps gpe_ops = {
    .read = gpe_read, .write = gpe_write, .size_min = 1, .size_max = 1,
};

/* --- APM ports ----------------------------------------------------------------------------- */

static uint64_t apm_read(void *opaque, hwaddr reg, unsigned size)
{
    Piix4Pm *s = opaque;

    return reg == APMC ? s->apmc : s->apms;
}

static void apm_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Piix4Pm *s = opaque;

    trace("apm-write", "reg %" PRIu64 " val 0x%02" PRIx64, reg, val);
    if (reg == APMS) {
        s->apms = val;
        return;
    }
    s->apmc = val;
    /* What a firmware's SMI handler would do; there need not be one. */
    if (val == PIIX4_ACPI_ENABLE) {
        s->pmcntrl |= CNT_SCI_EN;
    } else if (val == PIIX4_ACPI_DISABLE) {
        s->pmcntrl &= ~CNT_SCI_EN;
    }
    update(s);
    if (s->pci.config[DEVACTB + 3] & DEVACTB_APMC_EN) {
        request_smi(s);
    }
}

static const IoOps apm_ops = {
    .read = apm_read, .write = apm_write, .size_min = 1, .size_max = 1,
};

/* --- function 3 ------------------------------------------------------------------------------ */

static void map_ports(Piix4Pm *s)
{
    const uint8_t *c = s->pci.config;
    uint16_t pm = load_le16(c + PMBA) & 0xffc0;
    uint16_t smb = load_le16(c + SMBBA) & 0xfff0;
    bool on = c[PMREGMISC] & PMREGMISC_PMIOSE && pm;

    mem_begin();
    if (s->pm_mapped) {
        region_unmap(&s->pm_io);
    }
    if (on) {
        region_map(io_root(), pm, &s->pm_io, 1);
    }
    s->pm_mapped = on;
    smbus_host_map(&s->smb, c[SMBHSTCFG] & SMBHSTCFG_HST_EN ? smb : 0);
    mem_commit();
}

static void pm_config_written(PciDevice *pci, unsigned at, unsigned size)
{
    Piix4Pm *s = container_of(pci, Piix4Pm, pci);

    if (at >= PMBA && (at < PMBA + 4 || at + size > PMREGMISC)) {
        map_ports(s);
    }
}

static bool pm_realize(Device *dev, GError **err)
{
    Piix4Pm *s = pm_of(dev);
    PciDevice *pci = &s->pci;

    pci_set_ids(pci, 0x8086, 0x7113, 0x068000, 0x03);
    pci_set_interrupt_pin(pci, 1);
    store_le16(pci->wmask + PMBA, 0xffc0);
    memset(pci->wmask + CNTA, 0xff, 0x80 - CNTA);
    pci->wmask[PMREGMISC] = PMREGMISC_PMIOSE;
    store_le16(pci->wmask + SMBBA, 0xfff0);
    memset(pci->wmask + SMBHSTCFG, 0xff, 4);
    pci->wmask[SMBHSTCFG] = SMBHSTCFG_HST_EN | SMBHSTCFG_INTRSEL;
    pci->wmask[PCI_COMMAND] |= PCI_COMMAND_IO;
    pci->wmask[PCI_COMMAND] &= ~PCI_COMMAND_MASTER;
    pci->on_config_write = pm_config_written;

    timer_init(&s->overflow, dev->loop, CLK_VIRTUAL, overflow_fires, s);
    region_init_io(&s->pm_io, &dev->obj, "acpi-pm", &pm_ops, s, PM_BYTES);
    region_init_io(&s->gpe_io, &dev->obj, "acpi-gpe0", &gpe_ops, s,
                   PIIX4_GPE_BYTES);
    region_init_io(&s->apm_io, &dev->obj, "apm-io", &apm_ops, s, 2);
    mem_begin();
    region_map(io_root(), PIIX4_GPE_BASE, &s->gpe_io, 0);
    region_map(io_root(), PIIX4_APM_PORT, &s->apm_io, 0);
    smbus_host_init(&s->smb, dev);
    mem_commit();
    machine_add_powerdown_hook(power_button, s);
    return true;
}

static void pm_unrealize(Device *dev)
{
    Piix4Pm *s = pm_of(dev);

    machine_remove_powerdown_hook(power_button, s);
    timer_del(&s->overflow);
    irq_lower(&s->sci);
    mem_begin();
    region_destroy(&s->pm_io);
    region_destroy(&s->gpe_io);
    region_destroy(&s->apm_io);
    smbus_host_destroy(&s->smb);
    s->pm_mapped = false;
    mem_commit();
}

static void pm_reset(Device *dev)
{
    Piix4Pm *s = pm_of(dev);
    PciDevice *pci = &s->pci;

    pci_set16(pci, PCI_STATUS, PCI_STATUS_FAST_BACK
                               | PCI_STATUS_DEVSEL_MEDIUM);
    pci_set32(pci, PMBA, 1);
    /* A board without firmware asks for the SMBus by property. */
    pci_set32(pci, SMBBA, 1 | (s->smb_io_base & 0xfff0));
    pci->config[SMBHSTCFG] = SMBHSTCFG_IRQ9
                             | (s->smb_io_base ? SMBHSTCFG_HST_EN : 0);
    pci->config[SMBREV] = 0;
    /* Without SMM: tell firmware (SeaBIOS) that it has set SMIs up already,
     * or it waits for its own handler. */
    pci->config[DEVACTB + 3] = s->smm_enabled ? 0 : DEVACTB_APMC_EN;
    s->pmsts = machine_waking() == WAKE_RTC ? PM_WAK | PM_RTC
               : machine_waking() == WAKE_BUTTON ? PM_WAK | PM_PWRBTN
               : machine_waking() ? PM_WAK : 0;
    s->pmen = s->pmcntrl = s->glbsts = s->glben = 0;
    s->pcntrl = s->devsts = s->glbctl = s->devctl = 0;
    s->gporeg = 0x7fffbfff;
    memset(s->gpe_sts, 0, sizeof(s->gpe_sts));
    memset(s->gpe_en, 0, sizeof(s->gpe_en));
    s->apmc = s->apms = 0;
    s->overflow_ns = ns_of((ticks_at(clock_ns(CLK_VIRTUAL)) | 0x7fffff) + 1);
    smbus_host_reset(&s->smb);
    map_ports(s);
    update(s);
}

static void pm_update(Device *dev)
{
    map_ports(pm_of(dev));
    update(pm_of(dev));
}

void piix4_pm_info(Device *dev, Piix4PmInfo *info)
{
    Piix4Pm *s = pm_of(dev);

    *info = (Piix4PmInfo) {
        .s3 = !s->disable_s3, .s4 = !s->disable_s4, .s4_val = s->s4_val,
    };
}

static const Property pm_props[] = {
    PROP_U32(Piix4Pm, smb_io_base, "smb_io_base", 0,
             "SMBus host's ports from reset on, 0: as firmware says"),
    PROP_U8(Piix4Pm, disable_s3, "disable_s3", 0, "1: no suspend to RAM"),
    PROP_U8(Piix4Pm, disable_s4, "disable_s4", 0, "1: no suspend to disk"),
    PROP_U8(Piix4Pm, s4_val, "s4_val", 2, "sleep type of S4"),
    PROP_BOOL(Piix4Pm, smm_enabled, "smm-enabled", false,
              "SMI# reaches the processor"),
    {}
};

static const Output pm_outputs[] = {
    OUTPUT(Piix4Pm, sci, "sci"), OUTPUT(Piix4Pm, smi, "smi"), {}
};

static const State pm_state = {
    .name = "PIIX4_PM", .version = 1,
    .fields = (const StateField[]) {
        STATE_U16(Piix4Pm, pmsts), STATE_U16(Piix4Pm, pmen),
        STATE_U16(Piix4Pm, pmcntrl), STATE_U16(Piix4Pm, glbsts),
        STATE_U16(Piix4Pm, glben), STATE_U32(Piix4Pm, pcntrl),
        STATE_U32(Piix4Pm, devsts), STATE_U32(Piix4Pm, glbctl),
        STATE_U32(Piix4Pm, devctl), STATE_U32(Piix4Pm, gporeg),
        STATE_U8_ARRAY(Piix4Pm, gpe_sts), STATE_U8_ARRAY(Piix4Pm, gpe_en),
        STATE_U8(Piix4Pm, apmc), STATE_U8(Piix4Pm, apms),
        STATE_I64(Piix4Pm, overflow_ns),
        STATE_STRUCT(Piix4Pm, smb, &smbus_host_state), {}
    },
};

const DeviceType piix4_pm_type = {
    .name = "PIIX4_PM", .doc = "Intel 82371AB power management",
    .parent = &pci_device_type, .size = sizeof(Piix4Pm), .internal = true,
    .props = pm_props, .outputs = pm_outputs, .state = &pm_state,
    .input = pm_input, .n_inputs = 1,
    .realize = pm_realize, .unrealize = pm_unrealize, .reset = pm_reset,
    .update = pm_update,
};
DEVICE_TYPE(piix4_pm_type)
