/*
 * The kernel proper inside a bzImage: unpacked here, for guests whose kernel
 * mode is slow.
 *
 * Spec:   Linux Documentation/arch/x86/boot.rst, payload_offset and "64-bit
 *         boot protocol".
 * Models: 64-bit kernels at the address they were linked for.
 *
 * A bzImage unpacks itself: some hundred million instructions, which take
 * minutes where the host's kernel interprets them.  What it then does besides -
 * choosing another address for the kernel - is left out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

bool vmlinux_load(BootImage *img, BootFile *kernel, uint64_t at, uint64_t len,
                  uint64_t gpa, uint64_t max_bytes, uint64_t *entry)
{
    g_autofree uint8_t *packed = NULL;
    unsigned n_pieces = img->pieces->len;
    BootFile *f;
    BootElf elf;

    if (!len || at > kernel->size_bytes || len > kernel->size_bytes - at) {
        return false;
    }
    packed = g_malloc(len);
    if (!boot_file_read(kernel, at, packed, len)) {
        return false;
    }
    f = boot_file_from_memory("vmlinux", packed, len);
    if (boot_file_unpack(f, img->m->ram_bytes, NULL) && f->unpacked
        && elf_load(img, f, &elf, NULL) && elf.is_64bit && elf.start == gpa
        && elf.end - elf.start <= max_bytes && elf.entry >= elf.start
        && elf.entry < elf.end) {
        boot_add_file(img, f);
        *entry = elf.entry;
        return true;
    }
    g_array_set_size(img->pieces, n_pieces);
    boot_file_free(f);
    return false;
}
