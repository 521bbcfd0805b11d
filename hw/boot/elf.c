/*
 * ELF kernels: segments to guest memory, and the note with the PVH entry.
 *
 * Spec:   System V ABI, chapter 4 and 5; Xen, public/elfnote.h.
 * Models: ELF32 and ELF64 for x86, loaded at their physical addresses.
 *
 * Everything in the file is checked against the file before it is used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include <elf.h>

enum { MAX_SEGMENTS = 128, MAX_NOTE_BYTES = 65536, NOTE_PHYS32_ENTRY = 18 };

/* One program header, of either class. */
typedef struct {
    uint32_t type;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
} Segment;

static bool fail(GError **err, const char *why)
{
    g_set_error_literal(err, BOOT_ERROR, BOOT_ERROR_FORMAT, why);
    return false;
}

bool elf_probe(const uint8_t *first, size_t len)
{
    return len >= EI_NIDENT && !memcmp(first, ELFMAG, SELFMAG);
}

static bool read_header(BootFile *f, BootElf *elf, uint64_t *phoff,
                        unsigned *phnum, GError **err)
{
    union {
        uint8_t ident[EI_NIDENT];
        Elf32_Ehdr e32;
        Elf64_Ehdr e64;
    } h;
    unsigned phentsize, machine;
    size_t want;

    if (!boot_file_read(f, 0, h.ident, EI_NIDENT)) {
        return fail(err, "the file is truncated: no ELF header");
    }
    elf->is_64bit = h.ident[EI_CLASS] == ELFCLASS64;
    if (h.ident[EI_DATA] != ELFDATA2LSB
        || (!elf->is_64bit && h.ident[EI_CLASS] != ELFCLASS32)) {
        return fail(err, "an ELF file, but not for x86");
    }
    want = elf->is_64bit ? sizeof(h.e64) : sizeof(h.e32);
    if (!boot_file_read(f, 0, &h, want)) {
        return fail(err, "the file is truncated: it ends in the ELF header");
    }
    machine = elf->is_64bit ? h.e64.e_machine : h.e32.e_machine;
    phentsize = elf->is_64bit ? h.e64.e_phentsize : h.e32.e_phentsize;
    elf->entry = elf->is_64bit ? h.e64.e_entry : h.e32.e_entry;
    *phoff = elf->is_64bit ? h.e64.e_phoff : h.e32.e_phoff;
    *phnum = elf->is_64bit ? h.e64.e_phnum : h.e32.e_phnum;
    if (machine != EM_386 && machine != EM_X86_64) {
        return fail(err, "an ELF file, but not for x86");
    }
    if (*phnum == 0 || *phnum > MAX_SEGMENTS
        || phentsize != (elf->is_64bit ? sizeof(Elf64_Phdr)
                                       : sizeof(Elf32_Phdr))) {
        return fail(err, "an ELF file without usable program headers; an "
                         "object file?");
    }
    return true;
}

static bool read_segment(BootFile *f, const BootElf *elf, uint64_t at,
                         Segment *s)
{
    if (elf->is_64bit) {
        Elf64_Phdr p;

        if (!boot_file_read(f, at, &p, sizeof(p))) {
            return false;
        }
        *s = (Segment) { p.p_type, p.p_offset, p.p_vaddr, p.p_paddr,
                         p.p_filesz, p.p_memsz, p.p_align };
    } else {
        Elf32_Phdr p;

        if (!boot_file_read(f, at, &p, sizeof(p))) {
            return false;
        }
        *s = (Segment) { p.p_type, p.p_offset, p.p_vaddr, p.p_paddr,
                         p.p_filesz, p.p_memsz, p.p_align };
    }
    return true;
}

/* The entry may be named as the kernel will see it, as GNU Mach's is; one that
 * is a physical address of some segment is meant so. */
static void translate_entry(BootElf *elf, const Segment *s, uint64_t named)
{
    if (named - s->paddr < s->memsz) {
        elf->entry = named;
    } else if (elf->entry == named && named - s->vaddr < s->memsz) {
        elf->entry = named - s->vaddr + s->paddr;
    }
}

static bool load_segment(BootImage *img, BootFile *f, BootElf *elf,
                         const Segment *s, GError **err)
{
    if (s->filesz > s->memsz) {
        return fail(err, "a segment has more bytes in the file than in "
                         "memory");
    }
    if (!boot_add(img, "a segment", s->paddr, s->filesz, f, s->offset, NULL,
                  err)
        || !boot_add(img, "a segment's zeros", s->paddr + s->filesz,
                     s->memsz - s->filesz, NULL, 0, NULL, err)) {
        return false;
    }
    if (s->memsz) {
        elf->start = MIN(elf->start, s->paddr);
        elf->end = MAX(elf->end, s->paddr + s->memsz);
    }
    return true;
}

/* Name, description and type, each padded; the entry is in a note of Xen's. */
static void look_for_entry(BootFile *f, const Segment *s, BootElf *elf)
{
    uint64_t pad = s->align == 8 ? 8 : 4, at = 0;
    g_autofree uint8_t *notes = NULL;

    if (s->filesz > MAX_NOTE_BYTES || s->filesz < 12) {
        return;
    }
    notes = g_malloc(s->filesz);
    if (!boot_file_read(f, s->offset, notes, s->filesz)) {
        return;
    }
    while (s->filesz - at >= 12) {
        uint32_t name_len = load_le32(notes + at);
        uint32_t desc_len = load_le32(notes + at + 4);
        uint32_t type = load_le32(notes + at + 8);
        uint64_t desc = at + 12 + ALIGN_UP((uint64_t)name_len, pad);
        uint64_t next = desc + ALIGN_UP((uint64_t)desc_len, pad);

        if (desc + desc_len > s->filesz) {
            return;
        }
        if (type == NOTE_PHYS32_ENTRY && name_len == 4
            && !memcmp(notes + at + 12, "Xen", 4)
            && (desc_len == 4 || desc_len == 8)) {
            elf->pvh_entry = load_le(notes + desc, desc_len);
            return;
        }
        if (next > s->filesz) {
            return;
        }
        at = next;
    }
}

bool elf_load(BootImage *img, BootFile *f, BootElf *elf, GError **err)
{
    uint64_t phoff, named_entry;
    unsigned phnum;

    *elf = (BootElf) { .start = UINT64_MAX };
    if (!read_header(f, elf, &phoff, &phnum, err)) {
        return false;
    }
    named_entry = elf->entry;
    for (unsigned i = 0; i < phnum; i++) {
        uint64_t at = phoff + i * (elf->is_64bit ? sizeof(Elf64_Phdr)
                                                 : sizeof(Elf32_Phdr));
        Segment s;

        if (at < phoff || !read_segment(f, elf, at, &s)) {
            return fail(err, "the file is truncated: it ends in the program "
                             "headers");
        }
        if (s.type == PT_LOAD && !load_segment(img, f, elf, &s, err)) {
            return false;
        }
        if (s.type == PT_LOAD) {
            translate_entry(elf, &s, named_entry);
        }
        if (s.type == PT_NOTE && !elf->pvh_entry) {
            look_for_entry(f, &s, elf);
        }
    }
    return elf->end ? true : fail(err, "an ELF file with nothing to load");
}
