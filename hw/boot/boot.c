/*
 * boot_load(): from -kernel, -initrd, -append and -bios to a machine that
 * starts.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "base/log.h"

#define DEFAULT_FIRMWARE "bios-256k.bin"

enum { PROBE_BYTES = 8192 };    /* a multiboot header is in these */

static BootImage *booted;

static void boot_reset(void *opaque)
{
    BootImage *img = opaque;

    boot_platform_setup(img->m);
    if (machine_waking() && boot_resume(img)) {
        return;
    }
    if (!boot_image_write(img)) {
        machine_request_shutdown(SHUTDOWN_ERROR);
        return;
    }
    boot_enter(img);
}

static BootFile *open_file(BootImage *img, const char *what, const char *path,
                           GError **err)
{
    BootFile *f = boot_file_open(path, err);

    if (f) {
        boot_add_file(img, f);  /* open for as long as the image lives */
    } else {
        g_prefix_error(err, "could not open %s '%s': ", what, path);
    }
    return f;
}

typedef enum { KIND_LINUX, KIND_MULTIBOOT, KIND_ELF, KIND_FOREIGN } Kind;

static Kind kind_of(BootFile *kernel)
{
    g_autofree uint8_t *first = g_malloc0(PROBE_BYTES);
    size_t n = MIN(PROBE_BYTES, kernel->size_bytes);

    if (!boot_file_read(kernel, 0, first, n)) {
        return KIND_FOREIGN;
    }
    return linux_probe(first, n) ? KIND_LINUX
           : multiboot_probe(first, n) ? KIND_MULTIBOOT
           : elf_probe(first, n) ? KIND_ELF : KIND_FOREIGN;
}

/* Firmware tables and reserved areas are settled before the kernel sees the
 * map. */
static void reserve_low_areas(BootImage *img)
{
    e820_set(img->e820, BOOT_EBDA_GPA, 0xa0000 - BOOT_EBDA_GPA,
             E820_RESERVED);
    e820_set(img->e820, BOOT_TABLES_GPA, BOOT_TABLES_END - BOOT_TABLES_GPA,
             E820_RESERVED);
}

static bool load_by_kind(BootImage *img, Kind kind, BootFile *kernel,
                         BootFile *initrd, bool by_firmware, GError **err)
{
    Machine *m = img->m;
    const char *cmdline = m->append ? m->append : "";

    if (by_firmware) {
        return linux_offer(m, kernel, initrd, cmdline, err);
    }
    reserve_low_areas(img);
    if (!boot_add_acpi(img, err) || !boot_add_smbios(img, err)) {
        return false;
    }
    switch (kind) {
    case KIND_LINUX:
        return linux_load(img, kernel, initrd, cmdline, err);
    case KIND_MULTIBOOT:
        return multiboot_load(img, kernel, m->initrd, cmdline, err);
    case KIND_ELF:
        return pvh_load(img, kernel, initrd, cmdline, err);
    case KIND_FOREIGN:
        break;
    }
    g_set_error_literal(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                        "neither a Linux bzImage nor a PVH or multiboot "
                        "kernel");
    return false;
}

static bool load_kernel(Machine *m, bool by_firmware, GError **err)
{
    g_autoptr(BootImage) img = boot_image_new(m);
    BootFile *kernel = open_file(img, "kernel", m->kernel, err);
    BootFile *initrd = NULL;
    Kind kind;

    if (!kernel) {
        return false;
    }
    if (!boot_file_unpack(kernel, m->ram_bytes, err)) {
        g_prefix_error(err, "could not load kernel '%s': ", m->kernel);
        return false;
    }
    kind = kind_of(kernel);
    /* Of modules there may be many: multiboot opens them. */
    if (m->initrd && kind != KIND_MULTIBOOT && kind != KIND_FOREIGN) {
        initrd = open_file(img, "initrd", m->initrd, err);
        if (!initrd) {
            return false;
        }
    }
    if (!load_by_kind(img, kind, kernel, initrd, by_firmware, err)) {
        g_prefix_error(err, "could not load kernel '%s': ", m->kernel);
        return false;
    }
    booted = g_steal_pointer(&img);
    if (!by_firmware) {
        machine_add_reset(boot_reset, booted);
    }
    return true;
}

/* Only a kernel that can be read is asked; load_kernel() says what is wrong
 * with another one. */
static bool kernel_wants_bios(Machine *m)
{
    g_autoptr(BootFile) f = m->kernel ? boot_file_open(m->kernel, NULL) : NULL;
    uint8_t first[1024];

    return f && boot_file_read(f, 0, first, sizeof(first))
           && linux_wants_bios(first, sizeof(first));
}

/* Without a firmware of the user's: what a PC has. */
static bool load_default_firmware(Machine *m, Region *memory, GError **err)
{
    g_autofree char *path = boot_find_data(DEFAULT_FIRMWARE);

    if (!path) {
        warn("no kernel, and no firmware '%s' is installed (Debian's package "
             "seabios): the guest has nothing to start", DEFAULT_FIRMWARE);
        return true;
    }
    return boot_load_firmware(m, memory, path, err);
}

bool boot_load(Machine *m, Region *memory, GError **err)
{
    bool by_firmware = false;   /* it starts the kernel */

    if (!m->kernel && (m->initrd || m->append)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_OPEN,
                    "%s is of use only with -kernel",
                    m->initrd ? "-initrd" : "-append");
        return false;
    }
    if (m->firmware && boot_options.flash) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_OPEN,
                    "-bios '%s' and a flash chip both have the firmware; one "
                    "of them is wanted", m->firmware);
        return false;
    }
    if (boot_options.flash) {
        if (!boot_shadow_flash(m, memory, boot_options.flash, err)) {
            return false;
        }
        by_firmware = m->kernel;
    } else if (m->firmware) {
        if (!boot_load_firmware(m, memory, m->firmware, err)) {
            return false;
        }
        by_firmware = m->kernel;
    } else if (!m->kernel) {
        if (!load_default_firmware(m, memory, err)) {
            return false;
        }
    } else if (boot_options.by_firmware || kernel_wants_bios(m)) {
        if (!boot_load_firmware(m, memory, DEFAULT_FIRMWARE, err)) {
            g_prefix_error(err, boot_options.by_firmware
                           ? "kernel-boot=firmware for '%s' "
                             "(Debian's package seabios has one): "
                           : "kernel '%s' can start below a BIOS only "
                             "(Debian's package seabios has one): ",
                           m->kernel);
            return false;
        }
        by_firmware = true;
    }
    boot_options.kernel_first = by_firmware;
    boot_fill_cmos(m);
    boot_tell_resume();
    return boot_fill_fw_cfg(m, err)
           && (!m->kernel || load_kernel(m, by_firmware, err));
}
