/*
 * Kernel loaders: the input is a kernel file, given to each of them; and a
 * script of the table loader.  Nothing they accept may lie outside of RAM, run
 * over itself, or read behind the end of the file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "fuzz.h"
#include "hw/acpi/bios-loader.h"
#include "hw/boot/boot.h"

#define RAM_BYTES (48 * MiB)

static const MachineType fuzz_machine = {
    .name = "loader-fuzz", .doc = "for the loaders", .max_cpus = 1,
    .size = sizeof(Machine),
};

static Machine *the_machine(void)
{
    static Machine *m;
    static Region low;

    if (!m) {
        machine_lock();
        m = machine_new(&fuzz_machine);
        m->ram_bytes = RAM_BYTES;
        if (!region_init_ram(&m->ram, &m->obj, "ram", RAM_BYTES, NULL)) {
            abort();
        }
        region_init_alias(&low, &m->obj, "low", &m->ram, 0, RAM_BYTES);
        region_map(mem_root(), 0, &low, 0);
    }
    return m;
}

static void check_pieces(const BootImage *img)
{
    for (unsigned i = 0; i < img->pieces->len; i++) {
        const BootPiece *p = &g_array_index(img->pieces, BootPiece, i);

        if (p->gpa > RAM_BYTES || p->len > RAM_BYTES - p->gpa
            || (p->file && (p->file_at > p->file->size_bytes
                            || p->len > p->file->size_bytes - p->file_at))) {
            abort();
        }
        for (unsigned j = 0; j < i; j++) {
            const BootPiece *q = &g_array_index(img->pieces, BootPiece, j);

            if (p->gpa < q->gpa + q->len && q->gpa < p->gpa + p->len) {
                abort();
            }
        }
    }
}

typedef bool Loader(BootImage *img, BootFile *kernel, BootFile *initrd,
                    const char *cmdline, GError **err);

static bool load_multiboot(BootImage *img, BootFile *kernel, BootFile *initrd,
                           const char *cmdline, GError **err)
{
    return multiboot_load(img, kernel, NULL, cmdline, err);
}

static void try_loader(Loader *load, const uint8_t *data, size_t size)
{
    static const uint8_t initrd_bytes[5000];
    g_autoptr(BootImage) img = boot_image_new(the_machine());
    BootFile *kernel = boot_file_from_memory("kernel", data, size);
    BootFile *initrd = boot_file_from_memory("initrd", initrd_bytes,
                                             sizeof(initrd_bytes));
    g_autoptr(GError) err = NULL;

    boot_add_file(img, kernel);
    boot_add_file(img, initrd);
    if (!boot_file_unpack(kernel, MiB, &err)) {
        if (!err || !*err->message) {
            abort();
        }
        return;
    }
    e820_set(img->e820, BOOT_EBDA_GPA, 0xa0000 - BOOT_EBDA_GPA,
             E820_RESERVED);
    if (load(img, kernel, initrd, "console=ttyS0", &err)) {
        check_pieces(img);
        if (size < 65536 && img->pieces->len && !boot_image_write(img)) {
            abort();
        }
    } else if (!err || !*err->message) {
        abort();                /* refused without a reason */
    }
}

static uint64_t place(void *opaque, const char *name, uint64_t bytes,
                      uint32_t align, BiosZone zone)
{
    return ALIGN_UP(UINT64_C(0xe0000), align);
}

static void try_script(const uint8_t *data, size_t size)
{
    g_autoptr(BiosLoader) l = bios_loader_new();

    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = { "a", "etc/acpi/tables",
                                             "etc/acpi/rsdp" };

        bios_loader_allocate(l, names[i],
                             g_byte_array_append(g_byte_array_new(),
                                                 data, MIN(size, 100 * i)),
                             16, BIOS_ZONE_HIGH);
    }
    bios_loader_run(l, data, size, place, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_loader(linux_load, data, size);
    try_loader(pvh_load, data, size);
    try_loader(load_multiboot, data, size);
    try_script(data, size);
    return 0;
}
