/*
 * Linux by its boot protocol: the 64-bit and 32-bit entries of a bzImage.
 *
 * Spec:   Documentation/arch/x86/boot.rst and zero-page.rst, protocol 2.00 to
 *         2.15.
 * Models: relocatable and fixed kernels loaded high, initrd, command line,
 *         memory map, ACPI pointer, random seed.  Not: zImage (loaded low),
 *         EFI handover.  The real-mode entry wants a BIOS: pc-bios/linux-rom.S.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include <sys/random.h>

#include "cpu/cpu.h"
#include "cpu/features.h"
#include "hw/nvram/fw_cfg.h"

enum {                          /* offsets in file and zero page alike */
    BP_EXT_MEM_K = 0x002, BP_ACPI_RSDP_ADDR = 0x070, BP_ALT_MEM_K = 0x1e0,
    BP_E820_ENTRIES = 0x1e8, BP_HEADER = 0x1f1, BP_SETUP_SECTS = 0x1f1,
    BP_SYSSIZE = 0x1f4, BP_VID_MODE = 0x1fa, BP_BOOT_FLAG = 0x1fe,
    BP_JUMP_LEN = 0x201, BP_MAGIC = 0x202, BP_VERSION = 0x206,
    BP_TYPE_OF_LOADER = 0x210, BP_LOADFLAGS = 0x211, BP_CODE32_START = 0x214,
    BP_RAMDISK_IMAGE = 0x218, BP_RAMDISK_SIZE = 0x21c,
    BP_HEAP_END_PTR = 0x224,
    BP_CMD_LINE_PTR = 0x228, BP_INITRD_ADDR_MAX = 0x22c,
    BP_KERNEL_ALIGNMENT = 0x230, BP_RELOCATABLE = 0x234,
    BP_XLOADFLAGS = 0x236, BP_CMDLINE_SIZE = 0x238, BP_PAYLOAD_OFFSET = 0x248,
    BP_PAYLOAD_LENGTH = 0x24c, BP_SETUP_DATA = 0x250,
    BP_PREF_ADDRESS = 0x258, BP_INIT_SIZE = 0x260, BP_HEADER_END = 0x290,
    BP_E820_TABLE = 0x2d0, BP_BYTES = 0x1000,
};
enum {
    LOADED_HIGH = 1 << 0, KASLR_FLAG = 1 << 1, CAN_USE_HEAP = 1 << 7, XLF_KERNEL_64 = 1 << 0,
    TYPE_OF_LOADER = 0xb0,      /* QEMU's number: guests know us by it */
    SETUP_RNG_SEED = 9, E820_MAX = 128,
    LOAD_HIGH_GPA = 0x100000, ENTRY64_OFFSET = 0x200,
};

typedef struct {
    uint8_t first[BP_HEADER_END];
    unsigned version;
    uint64_t kernel_at, kernel_bytes;   /* protected-mode part in the file */
    uint64_t load_gpa, init_bytes;
    bool long_mode;
} Linux;

bool linux_probe(const uint8_t *first, size_t len)
{
    return len >= BP_VERSION + 2 && !memcmp(first + BP_MAGIC, "HdrS", 4)
           && load_le16(first + BP_BOOT_FLAG) == 0xaa55;
}

/* iPXE and memdisk have no 32-bit code at all; before 2.04 much that called
 * itself a kernel was one of these, as GRUB's lnxboot.img is. */
bool linux_wants_bios(const uint8_t *first, size_t len)
{
    return len >= BP_HEADER_END && linux_probe(first, len)
           && first[BP_LOADFLAGS] & LOADED_HIGH
           && (load_le16(first + BP_VERSION) < 0x204
               || !load_le32(first + BP_CODE32_START));
}

static bool fail(GError **err, int code, const char *why)
{
    g_set_error_literal(err, BOOT_ERROR, code, why);
    return false;
}

static bool read_header(Linux *l, BootFile *kernel, GError **err)
{
    unsigned sects;
    uint64_t sys_bytes;

    if (!boot_file_read(kernel, 0, l->first, sizeof(l->first))) {
        return fail(err, BOOT_ERROR_FORMAT,
                    "the file is truncated: it ends inside the setup header");
    }
    l->version = load_le16(l->first + BP_VERSION);
    if (l->version < 0x200 || !(l->first[BP_LOADFLAGS] & LOADED_HIGH)) {
        return fail(err, BOOT_ERROR_FORMAT,
                    "a zImage, which loads below 640K; a bzImage is needed");
    }
    sects = l->first[BP_SETUP_SECTS] ? l->first[BP_SETUP_SECTS] : 4;
    l->kernel_at = (sects + 1) * 512;
    if (kernel->size_bytes <= l->kernel_at) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "the file is truncated: it has %" PRIu64 " bytes and the "
                    "kernel starts at %" PRIu64, kernel->size_bytes,
                    l->kernel_at);
        return false;
    }
    l->kernel_bytes = kernel->size_bytes - l->kernel_at;
    /* Before 2.04 the size had 16 bits, and lied. */
    if (l->version >= 0x204) {
        sys_bytes = (uint64_t)load_le32(l->first + BP_SYSSIZE) * 16;
        if (l->kernel_bytes + 15 < sys_bytes) {
            g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                        "the file is truncated: it has %" PRIu64 " bytes and "
                        "its header speaks of %" PRIu64, kernel->size_bytes,
                        l->kernel_at + sys_bytes);
            return false;
        }
        if (sys_bytes) {        /* what follows is a signature */
            l->kernel_bytes = MIN(l->kernel_bytes, sys_bytes);
        }
    }
    return true;
}

/* Where it goes, and how much memory it uses before it knows the map. */
static bool place_kernel(Linux *l, BootImage *img, GError **err)
{
    uint64_t pref = LOAD_HIGH_GPA;
    bool relocatable = l->version >= 0x205 && l->first[BP_RELOCATABLE];
    X86Cpu *cpu = boot_cpu(img);

    l->long_mode = l->version >= 0x20c
                   && load_le16(l->first + BP_XLOADFLAGS) & XLF_KERNEL_64
                   && cpu && cpu_has(cpu, FEAT_LM);
    l->init_bytes = l->kernel_bytes;
    if (l->version >= 0x20a) {
        pref = load_le64(l->first + BP_PREF_ADDRESS);
        l->init_bytes = MAX(l->init_bytes, load_le32(l->first + BP_INIT_SIZE));
    }
    l->load_gpa = relocatable ? pref : LOAD_HIGH_GPA;
    if (l->load_gpa < MiB || l->load_gpa > 2 * GiB) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "its header asks for address 0x%" PRIx64
                    ", not between 1M and 2G", l->load_gpa);
        return false;
    }
    if (!e820_is_ram(img->e820, l->load_gpa, l->init_bytes)) {
        uint64_t need = (l->load_gpa + l->init_bytes + MiB - 1) / MiB;

        g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                    "it needs %" PRIu64 "M of memory to start, and the guest "
                    "has %" PRIu64 "M", need, img->m->ram_bytes / MiB);
        return false;
    }
    return true;
}

static bool place_initrd(Linux *l, BootImage *img, BootFile *initrd,
                         uint8_t *bp, GError **err)
{
    uint64_t max = l->version >= 0x203
                   ? load_le32(l->first + BP_INITRD_ADDR_MAX) : 0x37ffffff;
    /* Clear of what the kernel will unpack itself into. */
    BootPiece hold = { .gpa = l->load_gpa, .len = l->init_bytes };
    uint64_t gpa;

    if (!initrd->size_bytes) {
        return true;
    }
    g_array_append_val(img->pieces, hold);
    gpa = boot_find_high(img, initrd->size_bytes, 4096,
                         MIN(max + 1, e820_low_end(img->e820)));
    g_array_set_size(img->pieces, img->pieces->len - 1);
    if (!gpa) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                    "initrd '%s' (%" PRIu64 "M) does not fit beside the "
                    "kernel in the guest's %" PRIu64 "M below 0x%" PRIx64,
                    initrd->path, initrd->size_bytes / MiB + 1,
                    img->m->ram_bytes / MiB, max);
        return false;
    }
    store_le32(bp + BP_RAMDISK_IMAGE, gpa);
    store_le32(bp + BP_RAMDISK_SIZE, initrd->size_bytes);
    return boot_add(img, "the initrd", gpa, initrd->size_bytes, initrd, 0,
                    NULL, err);
}

/* "vga=" is for the loader: the kernel takes its mode from the header. */
static void set_video_mode(uint8_t *bp, const char *cmdline)
{
    const char *at = strstr(cmdline, "vga=");
    unsigned mode;

    if (!at || (at > cmdline && at[-1] != ' ')) {
        return;
    }
    at += 4;
    if (g_str_has_prefix(at, "normal")) {
        mode = 0xffff;
    } else if (g_str_has_prefix(at, "ext")) {
        mode = 0xfffe;
    } else if (g_str_has_prefix(at, "ask")) {
        mode = 0xfffd;
    } else {
        mode = g_ascii_strtoull(at, NULL, 0);
    }
    store_le16(bp + BP_VID_MODE, mode);
}

static bool set_cmdline(Linux *l, BootImage *img, const char *cmdline,
                        uint8_t *bp, GError **err)
{
    uint64_t max = l->version >= 0x206
                   ? load_le32(l->first + BP_CMDLINE_SIZE) : 255;
    uint64_t gpa;

    max = MIN(max, BOOT_STRINGS_BYTES - 1);
    if (strlen(cmdline) > max) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                    "-append has %zu characters, this kernel takes at most %"
                    PRIu64, strlen(cmdline), max);
        return false;
    }
    gpa = boot_add_string(img, cmdline);
    if (!gpa) {
        return fail(err, BOOT_ERROR_NO_ROOM, "no room for the command line");
    }
    if (l->version >= 0x202) {
        store_le32(bp + BP_CMD_LINE_PTR, gpa);
    } else {
        store_le16(bp + 0x20, 0xa33f);  /* the way of 2.00 and 2.01 */
        store_le16(bp + 0x22, gpa - BOOT_INFO_GPA);
    }
    set_video_mode(bp, cmdline);
    return true;
}

/* Entropy for the guest before it has a device for it. */
static void add_seed(Linux *l, BootImage *img, uint8_t *bp)
{
    struct {
        uint64_t next;
        uint32_t type, len;
        uint8_t seed[32];
    } node = { 0, SETUP_RNG_SEED, sizeof(node.seed), { 0 } };

    if (l->version >= 0x209
        && getrandom(node.seed, sizeof(node.seed), GRND_NONBLOCK)
           == (ssize_t)sizeof(node.seed)) {
        store_le64(bp + BP_SETUP_DATA,
                   boot_add_data(img, &node, sizeof(node)));
    }
}

static void set_memory(BootImage *img, uint8_t *bp)
{
    uint64_t above_k = (e820_low_end(img->e820) - MiB) / KiB;
    unsigned n = MIN(img->e820->len, E820_MAX);

    store_le16(bp + BP_EXT_MEM_K, MIN(above_k, 0xfc00));
    store_le32(bp + BP_ALT_MEM_K, above_k);
    bp[BP_E820_ENTRIES] = n;
    memcpy(bp + BP_E820_TABLE, img->e820->data, n * sizeof(E820Entry));
}

/* The bzImage, which unpacks itself, or what is in it. */
static bool add_kernel(Linux *l, BootImage *img, BootFile *kernel,
                       GError **err)
{
    X86Cpu *cpu = boot_cpu(img);

    if (cpu && cpu->accel && cpu->accel->slow_kernel && l->long_mode
        && l->version >= 0x208
        && vmlinux_load(img, kernel, l->kernel_at
                        + load_le32(l->first + BP_PAYLOAD_OFFSET),
                        load_le32(l->first + BP_PAYLOAD_LENGTH), l->load_gpa,
                        l->init_bytes, &img->entry)) {
        return true;
    }
    img->entry = l->load_gpa + (l->long_mode ? ENTRY64_OFFSET : 0);
    return boot_add(img, "the kernel", l->load_gpa, l->kernel_bytes, kernel,
                    l->kernel_at, NULL, err);
}

bool linux_load(BootImage *img, BootFile *kernel, BootFile *initrd,
                const char *cmdline, GError **err)
{
    g_autofree uint8_t *bp = g_malloc0(BP_BYTES);
    unsigned header_end;
    Linux l = { .version = 0 };

    if (!read_header(&l, kernel, err) || !place_kernel(&l, img, err)) {
        return false;
    }
    /* The header's own length; the rest of the zero page starts as zeros. */
    header_end = MIN(BP_MAGIC + l.first[BP_JUMP_LEN], BP_HEADER_END);
    memcpy(bp + BP_HEADER, l.first + BP_HEADER, header_end - BP_HEADER);
    bp[BP_TYPE_OF_LOADER] = TYPE_OF_LOADER;
    bp[BP_LOADFLAGS] &= ~KASLR_FLAG;    /* its own note */
    store_le32(bp + BP_CODE32_START, l.load_gpa);
    store_le32(bp + BP_RAMDISK_IMAGE, 0);
    store_le32(bp + BP_RAMDISK_SIZE, 0);
    store_le64(bp + BP_SETUP_DATA, 0);
    if (l.version >= 0x20e) {
        store_le64(bp + BP_ACPI_RSDP_ADDR, img->rsdp_gpa);
    }

    if (!add_kernel(&l, img, kernel, err)) {
        return false;
    }
    if ((initrd && !place_initrd(&l, img, initrd, bp, err))
        || !set_cmdline(&l, img, cmdline, bp, err)) {
        return false;
    }
    add_seed(&l, img, bp);
    set_memory(img, bp);
    if (!boot_add(img, "the zero page", BOOT_INFO_GPA, BP_BYTES, NULL, 0, bp,
                  err)) {
        return false;
    }
    img->mode = l.long_mode ? BOOT_ENTRY_LONG64 : BOOT_ENTRY_PROT32;
    img->rsi = BOOT_INFO_GPA;
    return true;
}

/* --- through firmware --------------------------------------------------------------- */

/* Where the option ROM or OVMF is to put things: the usual places. */
enum { OFFER_SETUP_GPA = 0x10000, OFFER_CMDLINE_GPA = 0x20000,
       OFFER_TOP_BYTES = 0x30000 };

typedef struct {
    BootFile *file;
    uint64_t at;
} Part;

static bool read_part(void *opaque, uint64_t at, void *buf, size_t len)
{
    Part *p = opaque;

    return boot_file_read(p->file, p->at + at, buf, len);
}

static void offer_file(FwCfg *s, uint16_t addr_key, uint16_t size_key,
                       uint16_t data_key, uint32_t gpa, BootFile *f,
                       uint64_t at, uint64_t len)
{
    Part *p = g_new0(Part, 1);

    p->file = f;
    p->at = at;
    fw_cfg_add_u32(s, addr_key, gpa);
    fw_cfg_add_u32(s, size_key, len);
    fw_cfg_add_reader(s, data_key, len, read_part, p);
}

static bool offer_initrd(FwCfg *s, Linux *l, Machine *m, uint8_t *setup,
                         BootFile *initrd, GError **err)
{
    g_autoptr(GArray) e820 = e820_from_map(m);
    uint64_t top = e820_low_end(e820) - OFFER_TOP_BYTES;
    uint64_t max = l->version >= 0x203
                   ? load_le32(l->first + BP_INITRD_ADDR_MAX) : 0x37ffffff;
    uint64_t gpa;

    top = MIN(top, max);
    if (initrd->size_bytes + LOAD_HIGH_GPA + l->kernel_bytes > top) {
        return fail(err, BOOT_ERROR_NO_ROOM,
                    "the initrd does not fit in the guest's memory");
    }
    gpa = ALIGN_DOWN(top - initrd->size_bytes, 4096);
    store_le32(setup + BP_RAMDISK_IMAGE, gpa);
    store_le32(setup + BP_RAMDISK_SIZE, initrd->size_bytes);
    offer_file(s, FW_CFG_INITRD_ADDR, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA,
               gpa, initrd, 0, initrd->size_bytes);
    return true;
}

bool linux_offer(Machine *m, BootFile *kernel, BootFile *initrd,
                 const char *cmdline, GError **err)
{
    FwCfg *s = fw_cfg_find();
    g_autofree uint8_t *setup = NULL;
    Linux l = { .version = 0 };

    if (!s) {
        return true;
    }
    if (!boot_file_read(kernel, 0, l.first, sizeof(l.first))
        || !linux_probe(l.first, sizeof(l.first))) {
        return fail(err, BOOT_ERROR_FORMAT,
                    "firmware can start a Linux bzImage only");
    }
    if (!read_header(&l, kernel, err)) {
        return false;
    }
    setup = g_malloc(l.kernel_at);
    if (!boot_file_read(kernel, 0, setup, l.kernel_at)) {
        return fail(err, BOOT_ERROR_FORMAT, "the file is truncated");
    }
    setup[BP_TYPE_OF_LOADER] = TYPE_OF_LOADER;
    setup[BP_LOADFLAGS] |= CAN_USE_HEAP;
    store_le16(setup + BP_HEAP_END_PTR,
               OFFER_CMDLINE_GPA - OFFER_SETUP_GPA - 0x200);
    store_le32(setup + BP_CMD_LINE_PTR, OFFER_CMDLINE_GPA);
    set_video_mode(setup, cmdline);
    if (initrd && !offer_initrd(s, &l, m, setup, initrd, err)) {
        return false;
    }
    offer_file(s, FW_CFG_KERNEL_ADDR, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA,
               LOAD_HIGH_GPA, kernel, l.kernel_at, l.kernel_bytes);
    fw_cfg_add_u32(s, FW_CFG_CMDLINE_ADDR, OFFER_CMDLINE_GPA);
    fw_cfg_add_u32(s, FW_CFG_CMDLINE_SIZE, strlen(cmdline) + 1);
    fw_cfg_add_string(s, FW_CFG_CMDLINE_DATA, cmdline);
    fw_cfg_add_u32(s, FW_CFG_SETUP_ADDR, OFFER_SETUP_GPA);
    fw_cfg_add_u32(s, FW_CFG_SETUP_SIZE, l.kernel_at);
    fw_cfg_add_bytes(s, FW_CFG_SETUP_DATA, setup, l.kernel_at);
    return boot_add_linux_rom(s, err);
}
