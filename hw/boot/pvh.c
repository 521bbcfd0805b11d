/*
 * PVH: the 32-bit entry that Xen gave to ELF kernels, Linux (CONFIG_PVH) and
 * others.
 *
 * Spec:   Xen, docs/misc/pvh and public/arch-x86/hvm/start_info.h, version 1.
 * Models: memory map, command line, one module (the initrd), RSDP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#define START_MAGIC 0x336ec578

typedef struct {
    uint32_t magic, version, flags, n_modules;
    uint64_t modules, cmdline, rsdp, memmap;
    uint32_t n_memmap, reserved;
} StartInfo;

typedef struct {
    uint64_t gpa, len, cmdline, reserved;
} Module;

typedef struct {
    uint64_t start, len;
    uint32_t type, reserved;
} MemmapEntry;

static bool no_room(GError **err, const char *what)
{
    g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM, "no room for %s", what);
    return false;
}

static bool add_initrd(BootImage *img, BootFile *initrd, StartInfo *info,
                       GError **err)
{
    Module mod = { .len = initrd->size_bytes };

    mod.gpa = boot_find_high(img, mod.len, 4096, 4 * GiB);
    if (!mod.gpa) {
        return no_room(err, "the initrd beside the kernel");
    }
    if (!boot_add(img, "the initrd", mod.gpa, mod.len, initrd, 0, NULL, err)) {
        return false;
    }
    info->n_modules = 1;
    info->modules = boot_add_data(img, &mod, sizeof(mod));
    return info->modules ? true : no_room(err, "the list of modules");
}

static bool add_memmap(BootImage *img, StartInfo *info, GError **err)
{
    unsigned n = img->e820->len;
    g_autofree MemmapEntry *map = g_new0(MemmapEntry, n);

    for (unsigned i = 0; i < n; i++) {
        const E820Entry *e = &g_array_index(img->e820, E820Entry, i);

        map[i] = (MemmapEntry) { e->start, e->len, e->type, 0 };
    }
    info->n_memmap = n;
    info->memmap = boot_add_data(img, map, n * sizeof(*map));
    return info->memmap ? true : no_room(err, "the memory map");
}

bool pvh_load(BootImage *img, BootFile *kernel, BootFile *initrd,
              const char *cmdline, GError **err)
{
    StartInfo info = { .magic = START_MAGIC, .version = 1,
                       .rsdp = img->rsdp_gpa };
    BootElf elf;

    if (!elf_load(img, kernel, &elf, err)) {
        return false;
    }
    if (!elf.pvh_entry || elf.pvh_entry > UINT32_MAX) {
        g_set_error_literal(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                            "an ELF file with neither a PVH entry (a kernel "
                            "with CONFIG_PVH has one) nor a multiboot header");
        return false;
    }
    if (!boot_settle_low(img, err)) {
        return false;
    }
    info.cmdline = boot_add_string(img, cmdline);
    if (!info.cmdline) {
        return no_room(err, "the command line: 64K are the limit");
    }
    if ((initrd && initrd->size_bytes
         && !add_initrd(img, initrd, &info, err))
        || !add_memmap(img, &info, err)
        || !boot_add(img, "the start information", img->info_gpa,
                     sizeof(info), NULL, 0, &info, err)) {
        return false;
    }
    img->mode = BOOT_ENTRY_PROT32;
    img->entry = elf.pvh_entry;
    img->rbx = img->info_gpa;
    return true;
}
