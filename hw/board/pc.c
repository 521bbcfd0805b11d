/*
 * The PC with an i440FX and a PIIX: machine types "pc" and "pc-i440fx-*".
 *
 *   CPUs --- local APICs --- I/O APIC <--+-- 16 ISA lines, SCI on 9
 *                 LINT0 <--- 8259 pair <-+
 *   i440FX --- pci.0 --+-- 00.0 host bridge
 *                      +-- 01.0 PIIX3 --- isa.0: 8254, RTC, 8042, UARTs, ...
 *                      +-- 01.1 PIIX3 IDE --- ide.0, ide.1: drives
 *                      +-- 01.3 PIIX4 power management
 *
 * Memory: RAM from 0, split below 4 GiB to leave the PCI hole; A0000h-FFFFFh is
 * shared out by the i440FX.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/log.h"
#include "block/drive.h"
#include "chardev/chardev.h"
#include "core/irqchip.h"
#include "core/machine.h"
#include "cpu/lapic.h"
#include "hw/acpi/piix4-pm.h"
#include "hw/acpi/smbios.h"
#include "hw/block/pflash.h"
#include "hw/board/pc.h"
#include "hw/boot/boot.h"
#include "hw/ide/piix-ide.h"
#include "hw/intc/ioapic.h"
#include "hw/isa/isa.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/piix3.h"

/* Where RAM below 4 GiB ends: 3.5 GiB, or 3 GiB when there is more above, so
 * that 32-bit BARs have room. */
#define LOW_RAM_MAX_BYTES  (UINT64_C(0xe0000000))
#define LOW_RAM_SPLIT_BYTES (3 * GiB)
#define HPET_GPA 0xfed00000
#define FLASH_MAX_BYTES (8 * MiB)       /* below 4 GiB; the APICs are next */
enum { KERNEL_DIRECT, KERNEL_BY_FIRMWARE };   /* kernel-boot= */
#define MAX_CPUS 255            /* xAPIC ids; more need x2APIC and remapping */

enum { SCI_IRQ = 9 };
enum { VMPORT_AUTO, VMPORT_ON, VMPORT_OFF };

/* --- interrupts ------------------------------------------------------------------- */

/* ISA line n goes to the 8259 and to the I/O APIC; line 0, the timer, arrives
 * there on pin 2, as the MADT tells. */
static void isa_line(void *opaque, int n, int level)
{
    PcMachine *pc = opaque;

    irq_set(&pc->pic_in[n], level);
    irq_set(&pc->ioapic_in[n == 0 ? 2 : n], level);
}

/* INTR of the master 8259 reaches the boot CPU through its LINT0. */
static void pic_intr(void *opaque, int n, int level)
{
    X86Cpu *cpu = cpu_by_index(0);

    if (cpu && cpu->apic) {
        lapic_set_lint(cpu->apic, 0, level);
    }
}

static void smi_line(void *opaque, int n, int level)
{
    if (level && machine_raise_smi) {
        machine_raise_smi();
    }
}

/* --- memory ------------------------------------------------------------------------ */

static void map_ram(PcMachine *pc)
{
    Machine *m = &pc->m;
    uint64_t low = m->ram_bytes >= LOW_RAM_MAX_BYTES ? LOW_RAM_SPLIT_BYTES
                                                     : m->ram_bytes;

    region_init_alias(&pc->ram_low, &m->obj, "ram-below-4g", &m->ram, 0, low);
    region_map(mem_root(), 0, &pc->ram_low, 0);
    if (m->ram_bytes > low) {
        region_init_alias(&pc->ram_high, &m->obj, "ram-above-4g", &m->ram, low,
                          m->ram_bytes - low);
        region_map(mem_root(), 4 * GiB, &pc->ram_high, 0);
    }
}

/* --- devices ------------------------------------------------------------------------ */

/* Make a device of the board by its type's name, with properties "name=value"
 * up to a NULL. */
static Device *make(Bus *bus, const char *type, GError **err, ...)
{
    Device *dev = device_new(type_find(type));
    const char *name;
    va_list ap;

    va_start(ap, err);
    while ((name = va_arg(ap, const char *))) {
        const char *val = va_arg(ap, const char *);

        if (val && !prop_set(&dev->obj, name, val, err)) {
            va_end(ap);
            object_unref(&dev->obj);
            return NULL;
        }
    }
    va_end(ap);
    if (!device_realize(dev, bus, err)) {
        object_unref(&dev->obj);
        return NULL;
    }
    return dev;
}

static bool make_bridges(PcMachine *pc, GError **err)
{
    pc->host = make(NULL, "i440FX-pcihost", err, NULL);
    if (!pc->host) {
        return false;
    }
    pc->pci = i440fx_bus(pc->host);
    pc->piix3 = make(&pc->pci->bus, "PIIX3", err, "addr", "1.0",
                     "multifunction", "on", NULL);
    if (!pc->piix3) {
        return false;
    }
    pc->isa = piix3_isa_bus(pc->piix3);
    return true;
}

static bool make_interrupt_controllers(PcMachine *pc, GError **err)
{
    pc->pic = make(&pc->isa->bus, "isa-i8259", err, NULL);
    pc->ioapic = make(NULL, "ioapic", err, NULL);
    if (!pc->pic || !pc->ioapic) {
        return false;
    }
    region_map(mem_root(), IOAPIC_GPA, device_region(pc->ioapic, 0), 0);
    piix3_set_ioapic(pc->piix3, device_region(pc->ioapic, 0));
    device_connect(pc->pic, "intr", 0, (Irq) { pic_intr, pc, 0 });
    for (unsigned i = 0; i < ISA_N_IRQS; i++) {
        pc->pic_in[i] = device_in(pc->pic, i);
        pc->ioapic_in[i] = device_in(pc->ioapic, i);
        pc->isa->irqs[i] = (Irq) { isa_line, pc, i };
    }
    return true;
}

/* The HPET stands between PIT, RTC and their lines; its comparators may also
 * use I/O APIC pins that nothing else drives. */
static bool make_hpet(PcMachine *pc, GError **err)
{
    pc->hpet = make(NULL, "hpet", err, "hpet-intcap", "0xff0104", NULL);
    if (!pc->hpet) {
        return false;
    }
    region_map(mem_root(), HPET_GPA, device_region(pc->hpet, 0), 0);
    device_connect(pc->hpet, "irq", 0, isa_bus_irq(pc->isa, 0));
    device_connect(pc->hpet, "irq", 2, device_in(pc->ioapic, 2));
    device_connect(pc->hpet, "irq", 8, isa_bus_irq(pc->isa, 8));
    for (unsigned pin = ISA_N_IRQS; pin < IOAPIC_N_PINS; pin++) {
        device_connect(pc->hpet, "irq", pin, device_in(pc->ioapic, pin));
    }
    device_connect(pc->hpet, "pit-off", 0, device_in(pc->pit, 0));
    device_connect(pc->pit, "irq", 0, device_in(pc->hpet, 0));
    device_connect(pc->rtc, "irq", 0, device_in(pc->hpet, 1));
    return true;
}

static bool make_timers(PcMachine *pc, GError **err)
{
    Bus *isa = &pc->isa->bus;

    g_autofree char *pit_path = NULL;

    pc->pit = make(isa, "isa-pit", err, NULL);
    if (!pc->pit) {
        return false;
    }
    pit_path = object_path(&pc->pit->obj);
    if (!make(isa, "isa-pcspk", err, "pit", pit_path, NULL)) {
        return false;
    }
    pc->rtc = make(isa, "mc146818rtc", err, "base_year", "2000", NULL);
    if (!pc->rtc) {
        return false;
    }
    return !pc->m.hpet || make_hpet(pc, err);
}

static bool make_input(PcMachine *pc, GError **err)
{
    Bus *isa = &pc->isa->bus;

    return (!pc->i8042 || make(isa, "i8042", err, NULL))
           && make(isa, "port92", err, NULL)
           && make(isa, "i8257", err, NULL)
           && make(isa, "isa-ferr", err, NULL)
           && (pc->vmport == VMPORT_OFF || make(isa, "vmport", err, NULL));
}

static bool make_serials(PcMachine *pc, GError **err)
{
    for (unsigned i = 0; i < pc->m.serials->len && i < 4; i++) {
        Chardev *chr = g_ptr_array_index(pc->m.serials, i);
        g_autofree char *index = g_strdup_printf("%u", i);

        if (chr && !make(&pc->isa->bus, "isa-serial", err, "index", index,
                         "chardev", chr_id(chr), NULL)) {
            return false;
        }
    }
    return true;
}

/* Drives of -drive if=ide, -hda and so on. */
static bool make_drives(PcMachine *pc, GError **err)
{
    for (unsigned i = 0; i < 4; i++) {
        BlockBackend *blk = drive_find(BLOCK_IF_IDE, i / 2, i % 2);
        Bus *bus = &piix_ide_channel(pc->ide, i / 2)->bus;

        if (blk && !blk_is_attached(blk)
            && !make(bus, blk_drive_info(blk)->cdrom ? "ide-cd" : "ide-hd",
                     err, "unit", i % 2 ? "1" : "0", "drive", blk_name(blk),
                     NULL)) {
            g_prefix_error(err, "-drive if=ide,index=%u: ", i);
            return false;
        }
    }
    return true;
}

static bool make_ide(PcMachine *pc, GError **err)
{
    pc->ide = make(&pc->pci->bus, "piix3-ide", err, "addr", "1.1", NULL);
    if (!pc->ide) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        device_connect(pc->ide, "irq", i, isa_bus_irq(pc->isa, 14 + i));
    }
    return make_drives(pc, err);
}

static bool make_fw_cfg(PcMachine *pc, GError **err)
{
    Device *fw_cfg = make(NULL, "fw_cfg_io", err, NULL);

    if (!fw_cfg) {
        return false;
    }
    region_map(io_root(), FW_CFG_PORT, device_region(fw_cfg, 0), 0);
    return true;
}

/* -drive if=pflash,unit=N, or a -blockdev that -machine pflashN= names. */
static const char *flash_drive(PcMachine *pc, unsigned i)
{
    BlockBackend *blk = drive_find(BLOCK_IF_PFLASH, 0, i);

    return pc->flash_drive[i] ? pc->flash_drive[i]
           : blk ? blk_name(blk) : NULL;
}

/* The firmware's chip ends at 4 GiB, that of its variables lies below. */
static bool make_flash(PcMachine *pc, GError **err)
{
    uint64_t at = 4 * GiB;

    if (flash_drive(pc, 1) && !flash_drive(pc, 0)) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "flash 1 (%s) is there and flash 0, which has the "
                    "firmware, is not", flash_drive(pc, 1));
        return false;
    }
    for (unsigned i = 0; i < 2 && flash_drive(pc, i); i++) {
        Region *r;

        pc->flash[i] = make(NULL, PFLASH, err, "drive", flash_drive(pc, i),
                            NULL);
        if (!pc->flash[i]) {
            return false;
        }
        r = device_region(pc->flash[i], 0);
        if (4 * GiB - at + r->size_bytes > FLASH_MAX_BYTES) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                        "combined size of system firmware exceeds %" PRIu64
                        " bytes", (uint64_t)FLASH_MAX_BYTES);
            return false;
        }
        at -= r->size_bytes;
        region_map(i440fx_pci_memory(pc->host), at, r, 0);
    }
    boot_options.flash = pc->flash[0];
    return true;
}

static bool make_power_management(PcMachine *pc, GError **err)
{
    if (!pc->m.acpi) {
        return true;
    }
    pc->pm = make(&pc->pci->bus, "PIIX4_PM", err, "addr", "1.3",
                  "smm-enabled", pc->m.smm && accel()->smm ? "on" : "off",
                  NULL);
    if (!pc->pm) {
        return false;
    }
    device_connect(pc->pm, "sci", 0, isa_bus_irq(pc->isa, SCI_IRQ));
    device_connect(pc->pm, "smi", 0, (Irq) { smi_line, pc, 0 });
    device_connect(pc->rtc, "alarm", 0, device_in(pc->pm, 0));
    return true;
}

static bool pc_init(Machine *m, GError **err)
{
    PcMachine *pc = container_of(m, PcMachine, m);

    map_ram(pc);
    return cpus_create(m, err) && make_bridges(pc, err)
           && make_interrupt_controllers(pc, err) && make_timers(pc, err)
           && make_input(pc, err) && make_serials(pc, err)
           && make_ide(pc, err) && make_power_management(pc, err)
           && make_fw_cfg(pc, err) && make_flash(pc, err);
}

static bool pc_done(Machine *m, GError **err)
{
    PcMachine *pc = container_of(m, PcMachine, m);

    smbios_config.entry = pc->smbios_entry;
    boot_options.any_floppy = !pc->floppy_check;
    boot_options.by_firmware = pc->kernel_boot == KERNEL_BY_FIRMWARE;
    return boot_load(m, i440fx_pci_memory(pc->host), err);
}

/* --- types ------------------------------------------------------------------------------ */

static const char *const kernel_boots[] = { "direct", "firmware", NULL };

static const char *const auto_on_off[] = { "auto", "on", "off", NULL };

static const Property pc_props[] = {
    PROP_ENUM(PcMachine, smbios_entry, "smbios-entry-point-type",
              SMBIOS_ENTRY_AUTO, smbios_entry_names,
              "32: SMBIOS 2.8, 64: 3.0; auto: 2.8 while the tables fit"),
    PROP_ENUM(PcMachine, kernel_boot, "kernel-boot", KERNEL_DIRECT,
              kernel_boots, "who starts -kernel: we, or the firmware"),
    PROP_BOOL(PcMachine, i8042, "i8042", true, "PS/2 keyboard and mouse"),
    PROP_BOOL(PcMachine, floppy_check, "fd-bootchk", true,
              "a floppy's boot sector needs its signature"),
    PROP_ENUM(PcMachine, vmport, "vmport", VMPORT_AUTO, auto_on_off,
              "VMware's port for guests; auto: on"),
    PROP_STRING(PcMachine, flash_drive[0], "pflash0", NULL,
                "the -blockdev with the firmware's flash"),
    PROP_STRING(PcMachine, flash_drive[1], "pflash1", NULL,
                "the -blockdev with its variables"),
    {}
};

#define PC_TYPE(id, version, other_name)                                    \
    static const CompatProp pc_compat_##id[] = { {} };                      \
    static const MachineType pc_type_##id = {                               \
        .name = "pc-i440fx-" version, .alias = other_name,                  \
        .doc = "Standard PC (i440FX + PIIX, 1996)", .max_cpus = MAX_CPUS,   \
        .default_ram_bytes = 128 * MiB, .default_cpu = "qemu64",            \
        .compat = pc_compat_##id, .size = sizeof(PcMachine),                \
        .props = pc_props, .init = pc_init, .done = pc_done,                \
    };                                                                      \
    MACHINE_TYPE(pc_type_##id)

PC_TYPE(10_0, "10.0", "pc")
PC_TYPE(9_2, "9.2", NULL)
PC_TYPE(9_1, "9.1", NULL)
PC_TYPE(9_0, "9.0", NULL)
PC_TYPE(8_2, "8.2", NULL)
PC_TYPE(8_1, "8.1", NULL)
PC_TYPE(8_0, "8.0", NULL)
PC_TYPE(7_2, "7.2", NULL)
PC_TYPE(7_1, "7.1", NULL)
PC_TYPE(7_0, "7.0", NULL)
PC_TYPE(6_2, "6.2", NULL)
PC_TYPE(6_1, "6.1", NULL)
PC_TYPE(6_0, "6.0", NULL)
PC_TYPE(5_2, "5.2", NULL)
PC_TYPE(5_1, "5.1", NULL)
PC_TYPE(5_0, "5.0", NULL)
PC_TYPE(4_2, "4.2", NULL)
PC_TYPE(4_1, "4.1", NULL)
PC_TYPE(4_0, "4.0", NULL)
PC_TYPE(3_1, "3.1", NULL)
PC_TYPE(3_0, "3.0", NULL)
PC_TYPE(2_12, "2.12", NULL)
PC_TYPE(2_11, "2.11", NULL)
PC_TYPE(2_10, "2.10", NULL)
PC_TYPE(2_9, "2.9", NULL)
PC_TYPE(2_8, "2.8", NULL)
PC_TYPE(2_7, "2.7", NULL)
PC_TYPE(2_6, "2.6", NULL)
PC_TYPE(2_5, "2.5", NULL)
PC_TYPE(2_4, "2.4", NULL)
