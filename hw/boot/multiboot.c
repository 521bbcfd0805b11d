/*
 * Multiboot, version 1.
 *
 * Spec:   Multiboot Specification 0.6.96.
 * Models: ELF kernels and those that give their addresses in the header,
 *         modules, memory map, command lines.  A wish for a video mode is
 *         ignored; drives, APM and configuration tables are not given.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

enum { HEADER_MAGIC = 0x1badb002, LOADER_MAGIC = 0x2badb002,
       SEARCH_BYTES = 8192 };
enum {                          /* header flags; 0-15 must be understood */
    WANT_ALIGNED_MODULES = 1 << 0, WANT_MEMORY = 1 << 1, WANT_VIDEO = 1 << 2,
    HAS_ADDRESSES = 1 << 16,
};
enum {                          /* information flags */
    MBI_MEMORY = 1 << 0, MBI_BOOT_DEVICE = 1 << 1, MBI_CMDLINE = 1 << 2,
    MBI_MODULES = 1 << 3, MBI_MMAP = 1 << 6, MBI_LOADER_NAME = 1 << 9,
};

typedef struct {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
} Header;

typedef struct {
    uint32_t flags, mem_lower_kib, mem_upper_kib, boot_device, cmdline;
    uint32_t mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr, config_table, loader_name, apm_table;
} Info;

typedef struct {
    uint32_t start, end, string, reserved;
} Module;

typedef struct {
    uint32_t size;              /* of the rest */
    uint64_t start, len;
    uint32_t type;
} __attribute__((packed)) MmapEntry;

static bool fail(GError **err, int code, const char *why)
{
    g_set_error_literal(err, BOOT_ERROR, code, why);
    return false;
}

/* The header's offset in the first 8 KiB, or -1. */
static int find_header(const uint8_t *first, size_t len)
{
    for (size_t at = 0; at + 12 <= MIN(len, SEARCH_BYTES); at += 4) {
        if (load_le32(first + at) == HEADER_MAGIC
            && load_le32(first + at + 4) + load_le32(first + at + 8)
               + HEADER_MAGIC == 0) {
            return at;
        }
    }
    return -1;
}

bool multiboot_probe(const uint8_t *first, size_t len)
{
    return find_header(first, len) >= 0;
}

/* --- the kernel --------------------------------------------------------------------- */

/* By the addresses of the header: not ELF, or so it wants. */
static bool load_by_addresses(BootImage *img, BootFile *f, const Header *h,
                              uint64_t header_at, BootElf *out, GError **err)
{
    uint64_t skip = (uint64_t)h->header_addr - h->load_addr, at, len;

    if (h->header_addr < h->load_addr || skip > header_at) {
        return fail(err, BOOT_ERROR_FORMAT,
                    "the multiboot header's addresses contradict its place");
    }
    at = header_at - skip;
    len = h->load_end_addr ? (uint64_t)h->load_end_addr - h->load_addr
                           : f->size_bytes - at;
    if (h->load_end_addr && h->load_end_addr < h->load_addr) {
        return fail(err, BOOT_ERROR_FORMAT,
                    "the multiboot header's load_end_addr is below load_addr");
    }
    out->start = h->load_addr;
    out->end = h->load_addr + len;
    out->entry = h->entry_addr;
    if (!boot_add(img, "the kernel", h->load_addr, len, f, at, NULL, err)) {
        return false;
    }
    if (h->bss_end_addr > out->end) {
        uint64_t bss = h->bss_end_addr - out->end;

        if (!boot_add(img, "the kernel's zeros", out->end, bss, NULL, 0, NULL,
                      err)) {
            return false;
        }
        out->end = h->bss_end_addr;
    }
    return true;
}

static bool load_kernel(BootImage *img, BootFile *f, BootElf *out,
                        GError **err)
{
    g_autofree uint8_t *first = g_malloc0(SEARCH_BYTES + sizeof(Header));
    size_t n = MIN(f->size_bytes, SEARCH_BYTES + sizeof(Header));
    Header h;
    int at;

    if (!boot_file_read(f, 0, first, n)) {
        return fail(err, BOOT_ERROR_OPEN, "the file cannot be read");
    }
    at = find_header(first, n);
    if (at < 0) {
        return fail(err, BOOT_ERROR_FORMAT, "no multiboot header");
    }
    memcpy(&h, first + at, sizeof(h));
    if (h.flags & 0xffff & ~(WANT_ALIGNED_MODULES | WANT_MEMORY
                             | WANT_VIDEO)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "its multiboot header wants features 0x%x that version 1 "
                    "does not have", h.flags & 0xfff8);
        return false;
    }
    if (h.flags & HAS_ADDRESSES) {
        if (at + sizeof(h) > n) {
            return fail(err, BOOT_ERROR_FORMAT, "the file is truncated: it "
                        "ends in the multiboot header");
        }
        return load_by_addresses(img, f, &h, at, out, err);
    }
    if (!elf_probe(first, n)) {
        return fail(err, BOOT_ERROR_FORMAT, "a multiboot kernel that is not "
                    "ELF and does not say where it belongs");
    }
    if (!elf_load(img, f, out, err)) {
        return false;
    }
    return out->entry <= UINT32_MAX
           ? true : fail(err, BOOT_ERROR_FORMAT, "its entry is above 4 GiB");
}

/* --- modules ------------------------------------------------------------------------- */

/* "file args,file args": a doubled comma is one.  Appends to `out`. */
static void split_modules(const char *text, GPtrArray *out)
{
    GString *s = g_string_new(NULL);

    for (const char *p = text;; p++) {
        if (*p == ',' && p[1] == ',') {
            g_string_append_c(s, *p++);
        } else if (*p && *p != ',') {
            g_string_append_c(s, *p);
        } else {
            g_ptr_array_add(out, g_string_free(s, FALSE));
            if (!*p) {
                return;
            }
            s = g_string_new(NULL);
        }
    }
}

static bool add_module(BootImage *img, const char *text, uint64_t *next,
                       GArray *mods, GError **err)
{
    const char *name = text + strspn(text, " ");
    g_autofree char *path = g_strndup(name, strcspn(name, " "));
    BootFile *f = boot_file_open(path, err);
    Module m = { .string = boot_add_string(img, name) };

    if (!f) {
        g_prefix_error(err, "could not open module '%s': ", path);
        return false;
    }
    boot_add_file(img, f);
    *next = ALIGN_UP(*next, 4096);
    if (!boot_add(img, path, *next, f->size_bytes, f, 0, NULL, err)) {
        return false;
    }
    if (!m.string) {
        return fail(err, BOOT_ERROR_NO_ROOM,
                    "no room for the modules' command lines");
    }
    m.start = *next;
    m.end = *next += f->size_bytes;
    g_array_append_val(mods, m);
    return true;
}

static bool add_modules(BootImage *img, const char *text, uint64_t next,
                        Info *info, GError **err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) mods = g_array_new(FALSE, FALSE, sizeof(Module));

    if (!text || !*text) {
        return true;
    }
    split_modules(text, list);
    for (unsigned i = 0; i < list->len; i++) {
        if (!add_module(img, g_ptr_array_index(list, i), &next, mods, err)) {
            return false;
        }
    }
    info->mods_count = mods->len;
    info->mods_addr = boot_add_data(img, mods->data,
                                    mods->len * sizeof(Module));
    return info->mods_addr
           ? true : fail(err, BOOT_ERROR_NO_ROOM, "too many modules");
}

/* --- information ----------------------------------------------------------------------- */

static bool add_mmap(BootImage *img, Info *info, GError **err)
{
    unsigned n = img->e820->len;
    g_autofree MmapEntry *map = g_new0(MmapEntry, n);

    for (unsigned i = 0; i < n; i++) {
        const E820Entry *e = &g_array_index(img->e820, E820Entry, i);

        map[i] = (MmapEntry) { sizeof(MmapEntry) - 4, e->start, e->len,
                               e->type };
        if (e->type == E820_RAM && e->start == 0) {
            info->mem_lower_kib = e->len / KiB;
        } else if (e->type == E820_RAM && e->start == MiB) {
            info->mem_upper_kib = e->len / KiB;
        }
    }
    info->mmap_length = n * sizeof(*map);
    info->mmap_addr = boot_add_data(img, map, info->mmap_length);
    return info->mmap_addr
           ? true : fail(err, BOOT_ERROR_NO_ROOM, "no room for the map");
}

bool multiboot_load(BootImage *img, BootFile *kernel, const char *modules,
                    const char *cmdline, GError **err)
{
    Info info = {
        .flags = MBI_MEMORY | MBI_BOOT_DEVICE | MBI_CMDLINE | MBI_MODULES
                 | MBI_MMAP | MBI_LOADER_NAME,
        .boot_device = 0x8000ffff,      /* the first disk, no partition */
    };
    g_autofree char *whole = g_strdup_printf("%s %s", kernel->path, cmdline);
    BootElf elf;

    if (!load_kernel(img, kernel, &elf, err) || !boot_settle_low(img, err)) {
        return false;
    }
    info.cmdline = boot_add_string(img, whole);
    info.loader_name = boot_add_string(img, "qemu");
    if (!info.cmdline || !info.loader_name) {
        return fail(err, BOOT_ERROR_NO_ROOM,
                    "no room for the command line: 64K are the limit");
    }
    if (!add_modules(img, modules, elf.end, &info, err)
        || !add_mmap(img, &info, err)
        || !boot_add(img, "the multiboot information", img->info_gpa,
                     sizeof(info), NULL, 0, &info, err)) {
        return false;
    }
    img->mode = BOOT_ENTRY_PROT32;
    img->entry = elf.entry;
    img->rax = LOADER_MAGIC;
    img->rbx = img->info_gpa;
    return true;
}
