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

static BootImage *booted;

static void boot_reset(void *opaque)
{
    BootImage *img = opaque;

    boot_platform_setup(img->m);
    if (!boot_image_write(img)) {
        machine_request_shutdown(SHUTDOWN_ERROR);
        return;
    }
    boot_enter(img);
}

static bool load_any(BootImage *img, BootFile *kernel, BootFile *initrd,
                     const char *cmdline, GError **err)
{
    uint8_t first[8192] = { 0 };
    size_t n = MIN(sizeof(first), kernel->size_bytes);

    if (!boot_file_read(kernel, 0, first, n)) {
        g_set_error_literal(err, BOOT_ERROR, BOOT_ERROR_OPEN,
                            "the file cannot be read");
        return false;
    }
    if (linux_probe(first, n)) {
        return linux_load(img, kernel, initrd, cmdline, err);
    }
    g_set_error_literal(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                        "neither a Linux bzImage, nor a PVH or multiboot "
                        "kernel");
    return false;
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

/* The files stay open for as long as the machine lives. */
static bool open_files(Machine *m, BootImage *img, BootFile **kernel,
                       BootFile **initrd, GError **err)
{
    *initrd = NULL;
    *kernel = boot_file_open(m->kernel, err);
    if (!*kernel) {
        g_prefix_error(err, "could not open kernel '%s': ", m->kernel);
        return false;
    }
    boot_add_file(img, *kernel);
    if (m->initrd) {
        *initrd = boot_file_open(m->initrd, err);
        if (!*initrd) {
            g_prefix_error(err, "could not open initrd '%s': ", m->initrd);
            return false;
        }
        boot_add_file(img, *initrd);
    }
    return true;
}

static bool load_kernel(Machine *m, GError **err)
{
    g_autoptr(BootImage) img = boot_image_new(m);
    const char *cmdline = m->append ? m->append : "";
    BootFile *kernel, *initrd;
    bool ok;

    if (!open_files(m, img, &kernel, &initrd, err)) {
        return false;
    }
    if (m->firmware) {
        ok = linux_offer(m, kernel, initrd, cmdline, err);
    } else {
        reserve_low_areas(img);
        ok = boot_add_acpi(img, err) && boot_add_smbios(img, err)
             && load_any(img, kernel, initrd, cmdline, err);
    }
    if (!ok) {
        g_prefix_error(err, "could not load kernel '%s': ", m->kernel);
        return false;
    }
    booted = g_steal_pointer(&img);
    if (!m->firmware) {
        machine_add_reset(boot_reset, booted);
    }
    return true;
}

/* Without a kernel or firmware of the user's: what a PC has. */
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
    if (!m->kernel && (m->initrd || m->append)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_OPEN,
                    "%s is of use only with -kernel",
                    m->initrd ? "-initrd" : "-append");
        return false;
    }
    if (m->firmware
        ? !boot_load_firmware(m, memory, m->firmware, err)
        : !m->kernel && !load_default_firmware(m, memory, err)) {
        return false;
    }
    return boot_fill_fw_cfg(m, err) && (!m->kernel || load_kernel(m, err));
}
