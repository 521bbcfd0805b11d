/*
 * Booting without firmware: kernels entered as their boot protocols say.
 *
 * A loader reads a file, decides where everything goes and notes it in a
 * BootImage: pieces of guest memory and the state in which the boot CPU
 * starts.  At each reset, after the CPUs', the image is put in place: the
 * platform is set up as firmware would have left it, the pieces are written,
 * the boot CPU gets its entry state.
 *
 *      boot_load() -> linux/pvh/multiboot_load() -> BootImage
 *      reset       -> boot_platform_setup(), pieces, entry state
 *
 * Low memory, for all protocols:
 *
 *      00000  interrupt vectors: there is no BIOS, and it says so
 *      00400  BIOS data area (three words)
 *      01000  GDT
 *      02000  page tables: identity, 4 GiB, 6 pages
 *      08000  boot_params, hvm_start_info or multiboot information
 *      0a000  setup_data, memory maps
 *      10000  command lines and strings, 64 KiB
 *
 * An ELF kernel may want to be there itself: then GDT, information, data and
 * strings go together to another place (boot_settle_low()).
 *
 *      9fc00  EBDA: reserved
 *      e0000  ACPI and SMBIOS tables, when they fit: reserved
 *      f0000  RSDP and SMBIOS entry point: reserved
 *      fff00  what the interrupt vectors lead to
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_BOOT_BOOT_H
#define HW_BOOT_BOOT_H

#include "core/machine.h"

#define BOOT_ERROR g_quark_from_static_string("boot-error")
enum { BOOT_ERROR_OPEN, BOOT_ERROR_FORMAT, BOOT_ERROR_NO_ROOM };

enum {
    BOOT_GDT_GPA = 0x1000, BOOT_PAGES_GPA = 0x2000, BOOT_INFO_GPA = 0x8000,
    BOOT_DATA_GPA = 0xa000, BOOT_DATA_BYTES = 0x6000,
    BOOT_STRINGS_GPA = 0x10000, BOOT_STRINGS_BYTES = 0x10000,
    BOOT_LOW_END = BOOT_STRINGS_GPA + BOOT_STRINGS_BYTES,
    BOOT_EBDA_GPA = 0x9fc00, BOOT_TABLES_GPA = 0xe0000,
    BOOT_FSEG_GPA = 0xf0000, BOOT_BIOS_GPA = 0xfff00,
    BOOT_TABLES_END = 0x100000,
};

/* --- the board's whole interface ------------------------------------------- */

/*
 * In the board's done(), all devices realized.  What starts:
 *
 *   -kernel                 the kernel, entered directly
 *   -bios, with or without  the firmware, from the reset vector; fw_cfg offers
 *   -kernel                 it the kernel
 *   neither                 the default firmware, when there is one
 *   kernel-boot=firmware    the same, and fw_cfg offers it the kernel
 *
 * A kernel that is lost without a BIOS gets the default firmware, too.
 *
 * Firmware is mapped in `memory`, which lies behind RAM: to end at 4 GiB, and
 * its last 128K below 1 MiB.
 */
bool boot_load(Machine *m, Region *memory, GError **err);

/* -boot's other parts; set before boot_load(). */
typedef struct BootOptions {
    char *once;                 /* order of the first boot, or NULL */
    bool strict;                /* nothing but what has a bootindex */
    bool any_floppy;            /* boot it without a signature, too */
    int64_t splash_ms;          /* how long the menu waits; -1: not said */
    int64_t reboot_ms;          /* try again after; -1: not said */
    bool by_firmware;           /* -machine kernel-boot=firmware */
    Device *flash;              /* the board's: it has the firmware, or NULL */
    bool kernel_first;          /* boot_load()'s: firmware starts -kernel */
} BootOptions;
extern BootOptions boot_options;

/* --- memory maps ------------------------------------------------------------- */

typedef enum {
    E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4,
} E820Type;

typedef struct E820Entry {
    uint64_t start, len;
    uint32_t type;
} __attribute__((packed)) E820Entry;    /* as guests see it */

/* The machine's RAM as it is mapped now, sorted, without [A0000h, 1 MiB);
 * free with g_array_unref(). */
GArray *e820_from_map(Machine *m);
/* Give [start, start + len) another type, splitting RAM around it. */
void e820_set(GArray *e820, uint64_t start, uint64_t len, E820Type type);
/* Is all of it one entry of RAM? */
bool e820_is_ram(const GArray *e820, uint64_t start, uint64_t len);
/* End of the RAM that starts at 1 MiB; of RAM above 4 GiB, or 4 GiB. */
uint64_t e820_low_end(const GArray *e820);
uint64_t e820_high_end(const GArray *e820);

/* --- files -------------------------------------------------------------------- */

typedef struct BootFile {
    char *path;
    int fd;                     /* -1: in memory */
    const uint8_t *data;        /* not owned */
    uint8_t *unpacked;          /* owned: what `data` is of a packed file */
    uint64_t size_bytes;
} BootFile;

BootFile *boot_file_open(const char *path, GError **err);
/* For tests; `data` must live as long. */
BootFile *boot_file_from_memory(const char *name, const void *data,
                                size_t len);
/* A file that was packed (gzip; LZ4, xz, Zstandard where their libraries are)
 * becomes what it holds, up to `max_bytes`; any other stays as it is.
 * hw/boot/unpack.c */
bool boot_file_unpack(BootFile *f, uint64_t max_bytes, GError **err);
void boot_file_free(BootFile *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootFile, boot_file_free)
/* All `len` bytes from `at`, or false. */
bool boot_file_read(BootFile *f, uint64_t at, void *buf, size_t len);

/* --- images -------------------------------------------------------------------- */

typedef struct BootPiece {
    uint64_t gpa, len;
    BootFile *file;             /* or NULL; owned by the image */
    uint64_t file_at;
    uint8_t *data;              /* owned; NULL with no file: zeros */
} BootPiece;

typedef enum {
    BOOT_ENTRY_NONE, BOOT_ENTRY_PROT32, BOOT_ENTRY_LONG64
} BootEntryMode;

typedef struct BootImage {
    Machine *m;
    GArray *e820;
    GArray *pieces;             /* of BootPiece */
    GPtrArray *files;           /* of BootFile * */
    uint64_t gdt_gpa, info_gpa; /* BOOT_GDT_GPA, BOOT_INFO_GPA or elsewhere */
    uint64_t strings_end;       /* next free byte of the strings */
    uint64_t data_end;          /* next free byte of the data */
    uint64_t tables_end;        /* next free byte at BOOT_TABLES_GPA */
    uint64_t fseg_end;          /* next free byte at BOOT_FSEG_GPA */
    uint64_t rsdp_gpa;          /* 0: no ACPI tables */
    uint64_t facs_gpa;          /* likewise */

    BootEntryMode mode;
    uint64_t entry;
    uint64_t rax, rbx, rsi;
} BootImage;

BootImage *boot_image_new(Machine *m);
void boot_image_free(BootImage *img);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootImage, boot_image_free)

/* The image takes the file over. */
void boot_add_file(BootImage *img, BootFile *f);
/*
 * Note a piece: `len` bytes of `file` from `file_at`, or of `data` (copied), or
 * zeros.  False when it is not all RAM or runs over another piece; `what`
 * names it in the message.
 */
bool boot_add(BootImage *img, const char *what, uint64_t gpa, uint64_t len,
              BootFile *file, uint64_t file_at, const void *data,
              GError **err);
/* The highest `align`ed place for `len` bytes below `limit`, in RAM from 1 MiB
 * and clear of every piece; 0 when there is none. */
uint64_t boot_find_high(const BootImage *img, uint64_t len, uint64_t align,
                        uint64_t limit);
/* ACPI and SMBIOS tables: what guests search for goes to `fseg`, the rest below
 * it or, when that is full, to the top of RAM (and the map says so).  The
 * address, or 0. */
uint64_t boot_place_table(BootImage *img, uint64_t len, uint32_t align,
                          bool fseg);
void boot_add_table(BootImage *img, uint64_t gpa, const void *data,
                    size_t len);
/* Once a kernel that says where it belongs is noted, and before anything of
 * ours: where the low areas are.  False when there is no room for them. */
bool boot_settle_low(BootImage *img, GError **err);
/* Copy to the low areas; the address, or 0 when the area is full. */
uint64_t boot_add_string(BootImage *img, const char *s);
uint64_t boot_add_data(BootImage *img, const void *data, size_t len);

/* Build and place them; false when there is no room.  hw/boot/tables.c */
bool boot_add_acpi(BootImage *img, GError **err);
bool boot_add_smbios(BootImage *img, GError **err);

/* Tell fw_cfg, when there is one, about the machine.  fw-cfg-items.c */
bool boot_fill_fw_cfg(Machine *m, GError **err);
/* The order of booting among it.  bootorder.c */
struct FwCfg;
bool boot_fill_order(Machine *m, struct FwCfg *s, GError **err);
/* And in the RTC's CMOS RAM.  hw/boot/cmos.c */
void boot_fill_cmos(Machine *m);
void boot_tell_resume(void);
/* At the reset that ends a suspend, without firmware: on at the waking vector
 * that the guest left in the FACS.  False: it left none.  entry.c */
bool boot_resume(const BootImage *img);

/* Loaders; each fails with "reason" only.  `first` is the file's start. */
bool linux_probe(const uint8_t *first, size_t len);
bool linux_load(BootImage *img, BootFile *kernel, BootFile *initrd,
                const char *cmdline, GError **err);
/* Has it no other entry than the real-mode one, which wants a BIOS? */
bool linux_wants_bios(const uint8_t *first, size_t len);
/* What starts an offered kernel below SeaBIOS.  linux-rom.c */
#define BOOT_LINUX_ROM "linux.rom"
bool boot_add_linux_rom(struct FwCfg *s, GError **err);

/* -option-rom; option-rom.c. */
typedef struct BootOptionRom {
    char *file;                 /* "genroms/NAME" */
    char *data;
    size_t len;
    int64_t bootindex;          /* -1: none */
} BootOptionRom;
bool boot_add_option_rom(Opt *dict, GError **err);
const GPtrArray *boot_option_roms(void);        /* NULL: none */
bool boot_fill_option_roms(struct FwCfg *s, GError **err);

/* ELF: segments noted as pieces. */
typedef struct BootElf {
    bool is_64bit;
    uint64_t entry, pvh_entry;  /* pvh_entry 0: no note */
    uint64_t start, end;        /* in guest memory */
} BootElf;
bool elf_probe(const uint8_t *first, size_t len);
bool elf_load(BootImage *img, BootFile *f, BootElf *elf, GError **err);
/*
 * The kernel packed in a bzImage, `len` bytes from `at` of the file: noted as
 * pieces when it is a 64-bit one that belongs at `gpa` and needs no more than
 * `max_bytes` there; the entry of the 64-bit boot protocol to *entry.  False,
 * and nothing noted, when it is not or cannot be unpacked here.
 * hw/boot/vmlinux.c
 */
bool vmlinux_load(BootImage *img, BootFile *kernel, uint64_t at, uint64_t len,
                  uint64_t gpa, uint64_t max_bytes, uint64_t *entry);
bool pvh_load(BootImage *img, BootFile *kernel, BootFile *initrd,
              const char *cmdline, GError **err);
/* `modules` is -initrd's text: "file args,file args". */
bool multiboot_probe(const uint8_t *first, size_t len);
bool multiboot_load(BootImage *img, BootFile *kernel, const char *modules,
                    const char *cmdline, GError **err);
/* Offer it to firmware through fw_cfg; the files must stay.  A machine without
 * fw_cfg has nobody to offer it to. */
bool linux_offer(Machine *m, BootFile *kernel, BootFile *initrd,
                 const char *cmdline, GError **err);

/* hw/boot/firmware.c: `name` is a path, or is looked for in the data folders. */
bool boot_load_firmware(Machine *m, Region *memory, const char *name,
                        GError **err);
/* The firmware is in flash: what of it is seen below 1 MiB. */
bool boot_shadow_flash(Machine *m, Region *memory, Device *flash,
                       GError **err);
/* -L: look there first. */
void boot_add_data_folder(const char *path);
/* A data file's path, or NULL; g_free(). */
char *boot_find_data(const char *name);

/* --- stages of a reset ------------------------------------------------------------ */

/* What firmware leaves behind: PAM, PIRQs, ACPI ports, BARs, MTRRs, virtual
 * wire, BIOS data area.  hw/boot/platform.c */
void boot_platform_setup(Machine *m);
/* Interrupt vectors without a BIOS behind them.  hw/boot/ivt.c */
void boot_write_ivt(void);
/* Write the pieces; false, having reported it, when a file changed. */
bool boot_image_write(const BootImage *img);
/* The first CPU, or NULL: a machine may have none.  hw/boot/entry.c */
struct X86Cpu *boot_cpu(const BootImage *img);
/* The entry state of the boot CPU.  hw/boot/entry.c */
void boot_enter(const BootImage *img);

#endif
