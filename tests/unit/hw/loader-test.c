/*
 * Kernel loaders: placements, memory maps, what is refused and how.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <elf.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "hw/boot/boot.h"
#include "pctest.h"

static PcTest *t;

static void test_e820(void)
{
    g_autoptr(GArray) map = e820_from_map(t->m);
    E820Entry *e = (E820Entry *)map->data;

    g_assert_cmpuint(map->len, ==, 2);
    g_assert_cmphex(e[0].start, ==, 0);
    g_assert_cmphex(e[0].len, ==, 0xa0000);
    g_assert_cmphex(e[1].start, ==, 0x100000);
    g_assert_cmphex(e[1].len, ==, 127 * MiB);
    g_assert_true(e820_is_ram(map, 0x100000, 127 * MiB));
    g_assert_false(e820_is_ram(map, 0x100000, 127 * MiB + 1));

    e820_set(map, 0x9fc00, 0x400, E820_RESERVED);
    e820_set(map, 0xe0000, 0x20000, E820_RESERVED);
    e820_set(map, 0x7f00000, 0x10000, E820_ACPI);
    e = (E820Entry *)map->data;
    g_assert_cmpuint(map->len, ==, 6);
    g_assert_cmphex(e[0].len, ==, 0x9fc00);
    g_assert_cmphex(e[1].start, ==, 0x9fc00);
    g_assert_cmpuint(e[1].type, ==, E820_RESERVED);
    g_assert_cmphex(e[2].start, ==, 0xe0000);
    g_assert_cmphex(e[3].start, ==, 0x100000);
    g_assert_cmphex(e[3].len, ==, 0x7e00000);
    g_assert_cmpuint(e[4].type, ==, E820_ACPI);
    g_assert_cmphex(e[5].start, ==, 0x7f10000);
    g_assert_cmphex(e820_low_end(map), ==, 128 * MiB);
}

/* A bzImage of `kernel_bytes` of 'K', as a recent 64-bit kernel describes
 * itself. */
static uint8_t *make_bzimage(size_t kernel_bytes, size_t *len)
{
    size_t setup = 3 * 512;
    uint8_t *f = g_malloc0(setup + kernel_bytes);

    f[0x1f1] = 2;
    store_le32(f + 0x1f4, kernel_bytes / 16);
    store_le16(f + 0x1fe, 0xaa55);
    f[0x201] = 0x6a;
    memcpy(f + 0x202, "HdrS", 4);
    store_le16(f + 0x206, 0x20f);
    f[0x211] = 1;
    store_le32(f + 0x214, 0x100000);
    store_le32(f + 0x22c, 0x7fffffff);
    store_le32(f + 0x230, 0x200000);
    f[0x234] = 1;
    store_le16(f + 0x236, 0x3f);
    store_le32(f + 0x238, 2047);
    store_le64(f + 0x258, 0x1000000);
    store_le32(f + 0x260, 0x2000000);
    memset(f + setup, 'K', kernel_bytes);
    *len = setup + kernel_bytes;
    return f;
}

static void test_bzimage(void)
{
    size_t len;
    g_autofree uint8_t *k = make_bzimage(0x10000, &len);
    g_autofree uint8_t *rd = g_malloc(10000);
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, len);
    BootFile *initrd = boot_file_from_memory("i", rd, 10000);
    char text[32];
    uint64_t gpa;
    GError *err = NULL;

    memset(rd, 'I', 10000);
    boot_add_file(img, kernel);
    boot_add_file(img, initrd);
    g_assert_true(linux_probe(k, len));
    linux_load(img, kernel, initrd, "console=ttyS0 vga=0x317", &err);
    g_assert_no_error(err);
    /* Without CPUs the 64-bit entry is not taken. */
    g_assert_cmpint(img->mode, ==, BOOT_ENTRY_PROT32);
    g_assert_cmphex(img->entry, ==, 0x1000000);
    g_assert_true(boot_image_write(img));
    g_assert_cmphex(pc_load(0x1000000, 4), ==, 0x4b4b4b4b);
    g_assert_cmphex(pc_load(img->rsi + 0x1fe, 2), ==, 0xaa55);
    g_assert_cmphex(pc_load(img->rsi + 0x210, 1), ==, 0xb0);
    g_assert_cmphex(pc_load(img->rsi + 0x1fa, 2), ==, 0x317);
    gpa = pc_load(img->rsi + 0x218, 4);
    g_assert_cmphex(gpa, ==, ALIGN_DOWN(128 * MiB - 10000, 4096));
    g_assert_cmpuint(pc_load(img->rsi + 0x21c, 4), ==, 10000);
    g_assert_cmphex(pc_load(gpa + 9996, 4), ==, 0x49494949);
    as_read(&as_memory, pc_load(img->rsi + 0x228, 4), text, sizeof(text));
    g_assert_cmpstr(text, ==, "console=ttyS0 vga=0x317");
    g_assert_cmpuint(pc_load(img->rsi + 0x1e8, 1), ==, 2);
    g_assert_cmphex(pc_load(img->rsi + 0x2d0 + 20, 8), ==, 0x100000);
    /* Random seed: type 9, 32 bytes. */
    gpa = pc_load(img->rsi + 0x250, 8);
    g_assert_cmpuint(pc_load(gpa + 8, 4), ==, 9);
    g_assert_cmpuint(pc_load(gpa + 12, 4), ==, 32);
}

static void refuse(const uint8_t *k, size_t len, const char *cmdline,
                   size_t initrd_bytes, const char *part)
{
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, len);
    BootFile *initrd = boot_file_from_memory("i", k, initrd_bytes);
    GError *err = NULL;

    boot_add_file(img, kernel);
    boot_add_file(img, initrd);
    g_assert_false(linux_load(img, kernel, initrd, cmdline, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\"", err->message, part);
    }
    g_error_free(err);
}

static void test_bzimage_refused(void)
{
    size_t len;
    g_autofree uint8_t *k = make_bzimage(0x10000, &len);
    g_autofree char *text = g_strnfill(2048, 'x');

    refuse(k, 0x210, "", 0, "truncated");
    refuse(k, 3 * 512, "", 0, "truncated");
    refuse(k, len - 100, "", 0, "truncated");
    refuse(k, len, text, 0, "-append has 2048");
    refuse(k, len, "", 100 * MiB, "does not fit");
    store_le32(k + 0x260, 0x10000000);
    refuse(k, len, "", 0, "needs 272M");
    store_le64(k + 0x258, 0x1000);
    refuse(k, len, "", 0, "0x1000");
    k[0x211] = 0;
    refuse(k, len, "", 0, "zImage");
}

static void test_wants_bios(void)
{
    size_t len;
    g_autofree uint8_t *k = make_bzimage(0x10000, &len);

    g_assert_false(linux_wants_bios(k, len));
    g_assert_false(linux_wants_bios(k, 0x200));
    store_le16(k + 0x206, 0x203);
    g_assert_true(linux_wants_bios(k, len));    /* GRUB's lnxboot.img */
    store_le16(k + 0x206, 0x207);
    store_le32(k + 0x214, 0);
    g_assert_true(linux_wants_bios(k, len));    /* ipxe.lkrn */
    k[0x211] = 0;
    g_assert_false(linux_wants_bios(k, len));   /* a zImage: refused */
}

/* --- ELF, PVH -------------------------------------------------------------------------- */

enum { ELF_PHDR_AT = 64, ELF_NOTE_AT = 192, ELF_DATA_AT = 256,
       ELF_BYTES = 512 };

/* A 64-bit kernel at 1 MiB: 256 bytes of 'E', then zeros; entry note. */
static uint8_t *make_elf(void)
{
    uint8_t *f = g_malloc0(ELF_BYTES);
    Elf64_Ehdr *h = (Elf64_Ehdr *)f;
    Elf64_Phdr *p = (Elf64_Phdr *)(f + ELF_PHDR_AT);

    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_machine = EM_X86_64;
    h->e_entry = 0x100000;
    h->e_phoff = ELF_PHDR_AT;
    h->e_phentsize = sizeof(Elf64_Phdr);
    h->e_phnum = 2;
    p[0] = (Elf64_Phdr) { .p_type = PT_LOAD, .p_offset = ELF_DATA_AT,
                          .p_paddr = 0x100000, .p_filesz = 256,
                          .p_memsz = 0x3000 };
    p[1] = (Elf64_Phdr) { .p_type = PT_NOTE, .p_offset = ELF_NOTE_AT,
                          .p_filesz = 20 };
    store_le32(f + ELF_NOTE_AT, 4);
    store_le32(f + ELF_NOTE_AT + 4, 4);
    store_le32(f + ELF_NOTE_AT + 8, 18);
    memcpy(f + ELF_NOTE_AT + 12, "Xen", 4);
    store_le32(f + ELF_NOTE_AT + 16, 0x100080);
    memset(f + ELF_DATA_AT, 'E', 256);
    return f;
}

static void test_pvh(void)
{
    g_autofree uint8_t *k = make_elf();
    static const uint8_t rd[5000] = { 'I' };
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, ELF_BYTES);
    BootFile *initrd = boot_file_from_memory("i", rd, sizeof(rd));
    GError *err = NULL;
    uint64_t info, mod, map;
    char text[8];

    boot_add_file(img, kernel);
    boot_add_file(img, initrd);
    img->rsdp_gpa = 0xf0000;
    pc_store(0x100100, 8, ~UINT64_C(0));        /* of the last boot */
    pc_store(0x102ff8, 8, ~UINT64_C(0));
    pvh_load(img, kernel, initrd, "a=b", &err);
    g_assert_no_error(err);
    g_assert_cmpint(img->mode, ==, BOOT_ENTRY_PROT32);
    g_assert_cmphex(img->entry, ==, 0x100080);
    g_assert_true(boot_image_write(img));
    g_assert_cmphex(pc_load(0x1000fc, 4), ==, 0x45454545);
    g_assert_cmphex(pc_load(0x100100, 8), ==, 0);
    g_assert_cmphex(pc_load(0x102ff8, 8), ==, 0);

    info = img->rbx;
    g_assert_cmphex(pc_load(info, 4), ==, 0x336ec578);
    g_assert_cmphex(pc_load(info + 4, 4), ==, 1);
    g_assert_cmphex(pc_load(info + 12, 4), ==, 1);
    g_assert_cmphex(pc_load(info + 32, 8), ==, 0xf0000);
    as_read(&as_memory, pc_load(info + 24, 8), text, sizeof(text));
    g_assert_cmpstr(text, ==, "a=b");
    mod = pc_load(info + 16, 8);
    g_assert_cmpuint(pc_load(mod + 8, 8), ==, sizeof(rd));
    g_assert_cmphex(pc_load(pc_load(mod, 8), 1), ==, 'I');
    map = pc_load(info + 40, 8);
    g_assert_cmpuint(pc_load(info + 48, 4), ==, 2);
    g_assert_cmphex(pc_load(map + 24, 8), ==, 0x100000);
    g_assert_cmphex(pc_load(map + 32, 8), ==, 127 * MiB);
    g_assert_cmphex(pc_load(map + 40, 4), ==, 1);
}

/* An entry that is named by its virtual address. */
static void test_elf_entry(void)
{
    g_autofree uint8_t *k = make_elf();
    Elf64_Ehdr *h = (Elf64_Ehdr *)k;
    Elf64_Phdr *p = (Elf64_Phdr *)(k + ELF_PHDR_AT);
    static const uint64_t cases[][2] = {        /* named, wanted */
        { 0xc0100040, 0x100040 }, { 0x100040, 0x100040 },
        { 0xc0103000, 0xc0103000 },
    };

    p->p_vaddr = 0xc0100000;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(BootImage) img = boot_image_new(t->m);
        BootFile *kernel = boot_file_from_memory("k", k, ELF_BYTES);
        GError *err = NULL;
        BootElf elf;

        boot_add_file(img, kernel);
        h->e_entry = cases[i][0];
        elf_load(img, kernel, &elf, &err);
        g_assert_no_error(err);
        g_assert_cmphex(elf.entry, ==, cases[i][1]);
    }
}

static void refuse_elf(const uint8_t *k, size_t len, const char *part)
{
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, len);
    GError *err = NULL;

    boot_add_file(img, kernel);
    g_assert_false(pvh_load(img, kernel, NULL, "", &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\"", err->message, part);
    }
    g_error_free(err);
}

static void test_elf_refused(void)
{
    g_autofree uint8_t *k = make_elf();
    Elf64_Ehdr *h = (Elf64_Ehdr *)k;
    Elf64_Phdr *p = (Elf64_Phdr *)(k + ELF_PHDR_AT);

    refuse_elf(k, 10, "truncated");
    refuse_elf(k, 63, "truncated");
    refuse_elf(k, 100, "program headers");
    refuse_elf(k, 400, "truncated");
    k[ELF_NOTE_AT + 8] = 17;
    refuse_elf(k, ELF_BYTES, "PVH");
    k[ELF_NOTE_AT + 8] = 18;
    store_le32(k + ELF_NOTE_AT, UINT32_MAX);    /* a name without an end */
    refuse_elf(k, ELF_BYTES, "PVH");
    store_le32(k + ELF_NOTE_AT, 4);
    p[0].p_paddr = 0xa0000;
    refuse_elf(k, ELF_BYTES, "does not fit");
    p[0].p_paddr = UINT64_MAX - 100;
    refuse_elf(k, ELF_BYTES, "does not fit");
    p[0].p_paddr = 0x100000;
    p[0].p_memsz = 100;
    refuse_elf(k, ELF_BYTES, "more bytes in the file");
    p[0].p_memsz = 1 * GiB;
    refuse_elf(k, ELF_BYTES, "does not fit");
    p[0].p_memsz = 0x3000;
    p[1] = p[0];
    refuse_elf(k, ELF_BYTES, "runs over");
    h->e_phnum = 0;
    refuse_elf(k, ELF_BYTES, "program headers");
    h->e_machine = EM_AARCH64;
    refuse_elf(k, ELF_BYTES, "not for x86");
    h->e_ident[EI_DATA] = ELFDATA2MSB;
    refuse_elf(k, ELF_BYTES, "not for x86");
}

/* --- multiboot ------------------------------------------------------------------------- */

enum { MB_HEADER_AT = 16, MB_BYTES = 128 };

/* By addresses: 1 MiB, with zeros up to 1000h, its entry at 30h. */
static uint8_t *make_multiboot(uint32_t flags)
{
    uint8_t *f = g_malloc0(MB_BYTES);
    uint8_t *h = f + MB_HEADER_AT;

    memset(f + 48, 'M', MB_BYTES - 48);
    store_le32(h, 0x1badb002);
    store_le32(h + 4, flags);
    store_le32(h + 8, -(0x1badb002 + flags));
    store_le32(h + 12, 0x100000 + MB_HEADER_AT);
    store_le32(h + 16, 0x100000);
    store_le32(h + 20, 0x100000 + MB_BYTES);
    store_le32(h + 24, 0x101000);
    store_le32(h + 28, 0x100030);
    return f;
}

static char *temp_file(const char *text)
{
    char *path = g_build_filename(g_get_tmp_dir(), "loader-test-XXXXXX",
                                  NULL);
    int fd = g_mkstemp(path);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void check_string(uint64_t gpa, const char *want)
{
    char text[200];

    as_read(&as_memory, gpa, text, sizeof(text));
    text[sizeof(text) - 1] = '\0';
    g_assert_cmpstr(text, ==, want);
}

static void test_multiboot(void)
{
    g_autofree uint8_t *k = make_multiboot(1 << 16 | 3);
    g_autofree char *one = temp_file("first"), *two = temp_file("second!");
    g_autofree char *list = g_strdup_printf("%s a=1,,2,%s", one, two);
    g_autofree char *first = g_strdup_printf("%s a=1,2", one);
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, MB_BYTES);
    GError *err = NULL;
    uint64_t info, mods, map;

    boot_add_file(img, kernel);
    g_assert_true(multiboot_probe(k, MB_BYTES));
    multiboot_load(img, kernel, list, "x y", &err);
    g_assert_no_error(err);
    g_assert_true(boot_image_write(img));
    g_assert_cmphex(img->entry, ==, 0x100030);
    g_assert_cmphex(img->rax, ==, 0x2badb002);
    g_assert_cmphex(pc_load(0x100030, 4), ==, 0x4d4d4d4d);
    info = img->rbx;
    g_assert_cmphex(pc_load(info, 4), ==, 0x24f);
    g_assert_cmpuint(pc_load(info + 4, 4), ==, 640);
    g_assert_cmpuint(pc_load(info + 8, 4), ==, 127 * 1024);
    check_string(pc_load(info + 16, 4), "k x y");
    g_assert_cmpuint(pc_load(info + 20, 4), ==, 2);
    mods = pc_load(info + 24, 4);
    g_assert_cmphex(pc_load(mods, 4), ==, 0x101000);
    g_assert_cmphex(pc_load(mods + 4, 4), ==, 0x101005);
    check_string(pc_load(mods + 8, 4), first);
    g_assert_cmphex(pc_load(mods + 16, 4), ==, 0x102000);
    g_assert_cmphex(pc_load(0x102000, 4), ==, load_le32("seco"));
    check_string(pc_load(mods + 24, 4), two);
    g_assert_cmpuint(pc_load(info + 44, 4), ==, 2 * 24);
    map = pc_load(info + 48, 4);
    g_assert_cmpuint(pc_load(map, 4), ==, 20);
    g_assert_cmphex(pc_load(map + 24 + 4, 8), ==, 0x100000);
    check_string(pc_load(info + 64, 4), "qemu");
    g_unlink(one);
    g_unlink(two);
}

/* A kernel that wants to be where our information goes: GRUB does. */
static void test_multiboot_low(void)
{
    g_autofree uint8_t *k = make_multiboot(1 << 16 | 3);
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, MB_BYTES);
    GError *err = NULL;

    store_le32(k + MB_HEADER_AT + 12, 0x9000 + MB_HEADER_AT);
    store_le32(k + MB_HEADER_AT + 16, 0x9000);
    store_le32(k + MB_HEADER_AT + 20, 0x9000 + MB_BYTES);
    store_le32(k + MB_HEADER_AT + 24, 0x21758);
    store_le32(k + MB_HEADER_AT + 28, 0x9030);
    boot_add_file(img, kernel);
    multiboot_load(img, kernel, NULL, "low", &err);
    g_assert_no_error(err);
    g_assert_true(boot_image_write(img));
    g_assert_cmphex(img->entry, ==, 0x9030);
    g_assert_cmphex(pc_load(0x9030, 4), ==, 0x4d4d4d4d);
    g_assert_cmphex(img->gdt_gpa, ==, 0x22000);
    g_assert_cmphex(img->rbx, ==, 0x23000);
    check_string(pc_load(img->rbx + 16, 4), "k low");

    /* All of low memory: then above it. */
    g_clear_pointer(&img, boot_image_free);
    img = boot_image_new(t->m);
    kernel = boot_file_from_memory("k", k, MB_BYTES);
    boot_add_file(img, kernel);
    store_le32(k + MB_HEADER_AT + 24, 0xa0000);
    multiboot_load(img, kernel, NULL, "low", &err);
    g_assert_no_error(err);
    g_assert_cmphex(img->rbx, >, MiB);
    g_assert_true(boot_image_write(img));
    check_string(pc_load(img->rbx + 16, 4), "k low");
}

static void refuse_multiboot(uint8_t *k, size_t len, const char *modules,
                             const char *part)
{
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", k, len);
    GError *err = NULL;

    boot_add_file(img, kernel);
    g_assert_false(multiboot_load(img, kernel, modules, "", &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\"", err->message, part);
    }
    g_error_free(err);
    g_free(k);
}

static void test_multiboot_refused(void)
{
    uint8_t *k;

    refuse_multiboot(make_multiboot(1 << 16), 40, NULL, "truncated");
    refuse_multiboot(make_multiboot(1 << 16), 100, NULL, "truncated");
    refuse_multiboot(make_multiboot(0), MB_BYTES, NULL, "not ELF");
    refuse_multiboot(make_multiboot(1 << 16 | 8), MB_BYTES, NULL, "0x8");
    refuse_multiboot(make_multiboot(1 << 16), MB_BYTES, "/no/such module",
                     "could not open module '/no/such'");
    k = make_multiboot(1 << 16);
    store_le32(k + MB_HEADER_AT + 12, 0x200000);
    refuse_multiboot(k, MB_BYTES, NULL, "contradict");
    k = make_multiboot(1 << 16);
    store_le32(k + MB_HEADER_AT + 20, 0x1000);
    refuse_multiboot(k, MB_BYTES, NULL, "load_end_addr");
    k = make_multiboot(1 << 16);
    store_le32(k + MB_HEADER_AT + 24, 0xf0000000);
    refuse_multiboot(k, MB_BYTES, NULL, "does not fit");
    k = make_multiboot(1 << 16);
    k[MB_HEADER_AT + 8]++;
    refuse_multiboot(k, MB_BYTES, NULL, "no multiboot header");
}

/* --- all of it ---------------------------------------------------------------------------- */

static void refuse_boot(const char *kernel, const char *part)
{
    GError *err = NULL;

    t->m->kernel = (char *)kernel;
    g_assert_false(boot_load(t->m, i440fx_pci_memory(t->host), &err));
    if (!strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\"", err->message, part);
    }
    g_error_free(err);
    t->m->kernel = NULL;
}

static void test_boot_refused(void)
{
    g_autofree char *foreign = temp_file("#!/bin/sh\n");
    g_autofree char *empty = temp_file("");
    GError *err = NULL;

    refuse_boot("/no/such/kernel", "could not open kernel '/no/such/kernel': "
                                   "No such file");
    refuse_boot("/tmp", "not a regular file");
    refuse_boot(foreign, "neither a Linux bzImage");
    refuse_boot(empty, "neither a Linux bzImage");
    t->m->append = (char *)"x";
    g_assert_false(boot_load(t->m, i440fx_pci_memory(t->host), &err));
    g_assert_nonnull(strstr(err->message, "-append"));
    g_error_free(err);
    t->m->append = NULL;
    g_unlink(foreign);
    g_unlink(empty);
}

/* From the file to memory, again after a reset, with its tables. */
static void test_boot(void)
{
    size_t len;
    g_autofree uint8_t *k = make_bzimage(0x1000, &len);
    g_autofree char *path = temp_file("");
    GError *err = NULL;

    g_assert_true(g_file_set_contents(path, (char *)k, len, NULL));
    t->m->kernel = path;
    t->m->append = (char *)"quiet";
    boot_load(t->m, i440fx_pci_memory(t->host), &err);
    g_assert_no_error(err);
    t->m->kernel = t->m->append = NULL;
    for (int i = 0; i < 2; i++) {
        machine_reset(t->m);
        g_assert_cmphex(pc_load(0x1000000, 4), ==, 0x4b4b4b4b);
        g_assert_cmphex(pc_load(0xf0000, 8), ==, load_le64("RSD PTR "));
        g_assert_cmphex(pc_load(BOOT_INFO_GPA + 0x70, 8), ==, 0xf0000);
        g_assert_cmphex(pc_load(0xf0030, 4), ==, load_le32("_SM_"));
        /* Tables are reserved, and the platform is set up. */
        g_assert_cmpuint(pc_load(BOOT_INFO_GPA + 0x1e8, 1), ==, 4);
        g_assert_cmphex(pc_conf_read(t, PCI_DEVFN_OF(1, 0), 0x60, 4), ==,
                        0x0b0b0a0a);
        g_assert_cmphex(pc_in(0x604, 2), ==, 0);
        g_assert_cmphex(pc_load(0x40e, 2), ==, 0x9fc0);
        /* INT 15h leads to code in the F segment that ends in IRET. */
        g_assert_cmphex(pc_load(4 * 0x15 + 2, 2), ==, 0xf000);
        g_assert_cmphex(pc_load(0xf0000 + pc_load(4 * 0x15, 2) + 8, 3), ==,
                        0xcf86b4);
        pc_store(0x1000000, 4, 0);
        pc_store(0xf0000, 8, 0);
    }
    /* The file shrinks: the next reset says so and ends the machine. */
    g_assert_cmpint(truncate(path, 0), ==, 0);
    machine_reset(t->m);
    g_assert_true(pc_was_shut_down(t));
    g_unlink(path);
}

static void test_firmware(void)
{
    g_autofree char *bad = temp_file("short");
    g_autofree char *path = temp_file("");
    g_autofree uint8_t *rom = g_malloc0(256 * KiB);
    GError *err = NULL;

    g_assert_false(boot_load_firmware(t->m, i440fx_pci_memory(t->host),
                                      "no-such-bios.bin", &err));
    g_assert_nonnull(strstr(err->message, "no-such-bios.bin"));
    g_clear_error(&err);
    g_assert_false(boot_load_firmware(t->m, i440fx_pci_memory(t->host), bad,
                                      &err));
    g_assert_nonnull(strstr(err->message, "multiple of 64K"));
    g_clear_error(&err);

    memcpy(rom, "low ", 4);
    memcpy(rom + 128 * KiB, "isa ", 4);
    memcpy(rom + 256 * KiB - 16, "rst ", 4);
    g_assert_true(g_file_set_contents(path, (char *)rom, 256 * KiB, NULL));
    boot_load_firmware(t->m, i440fx_pci_memory(t->host), path, &err);
    g_assert_no_error(err);
    device_reset(t->host);
    g_assert_cmphex(pc_load(0xfffffff0, 4), ==, load_le32("rst "));
    g_assert_cmphex(pc_load(0xfffc0000, 4), ==, load_le32("low "));
    g_assert_cmphex(pc_load(0xffff0, 4), ==, load_le32("rst "));
    g_assert_cmphex(pc_load(0xe0000, 4), ==, load_le32("isa "));
    pc_store(0xe0000, 4, 0);
    pc_store(0xfffc0000, 4, 0);
    g_assert_cmphex(pc_load(0xe0000, 4), ==, load_le32("isa "));
    g_assert_cmphex(pc_load(0xfffc0000, 4), ==, load_le32("low "));
    g_unlink(bad);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    t = pc_test_init(&argc, &argv, 128 * MiB);
    pc_add_pci(t, "PIIX4_PM", "01.3", NULL);

    g_test_add_func("/loader/e820", test_e820);
    g_test_add_func("/loader/bzimage", test_bzimage);
    g_test_add_func("/loader/bzimage-refused", test_bzimage_refused);
    g_test_add_func("/loader/wants-bios", test_wants_bios);
    g_test_add_func("/loader/pvh", test_pvh);
    g_test_add_func("/loader/elf-entry", test_elf_entry);
    g_test_add_func("/loader/elf-refused", test_elf_refused);
    g_test_add_func("/loader/multiboot", test_multiboot);
    g_test_add_func("/loader/multiboot-low", test_multiboot_low);
    g_test_add_func("/loader/multiboot-refused", test_multiboot_refused);
    g_test_add_func("/loader/boot-refused", test_boot_refused);
    g_test_add_func("/loader/boot", test_boot);
    g_test_add_func("/loader/firmware", test_firmware);
    return g_test_run();
}
