/*
 * Packed kernels: files, and the kernel in a bzImage.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <elf.h>
#include <zlib.h>

#include "config.h"
#include "hw/boot/boot.h"
#include "pctest.h"

#ifdef RHEA_LZ4
#include <lz4.h>
#endif
#ifdef RHEA_LZMA
#include <lzma.h>
#endif
#ifdef RHEA_ZSTD
#include <zstd.h>
#endif

enum { WANT_BYTES = 300000, PART_BYTES = 200000, ROOM_BYTES = 1 << 20 };

static PcTest *t;

/* Packs the one part, and appends it to `out`. */
typedef void Pack(GByteArray *out, const void *data, size_t len);

static void pack_gzip(GByteArray *out, const void *data, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(ROOM_BYTES);
    z_stream z = { .next_in = (uint8_t *)data, .avail_in = len,
                   .next_out = buf, .avail_out = ROOM_BYTES };

    g_assert_cmpint(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8,
                                 Z_DEFAULT_STRATEGY), ==, Z_OK);
    g_assert_cmpint(deflate(&z, Z_FINISH), ==, Z_STREAM_END);
    g_byte_array_append(out, buf, ROOM_BYTES - z.avail_out);
    deflateEnd(&z);
}

#ifdef RHEA_LZ4
/* As `lz4 -l` does; the packer of kernels appends the length. */
static void pack_lz4(GByteArray *out, const void *data, size_t len)
{
    g_autofree char *buf = g_malloc(ROOM_BYTES);
    uint8_t head[8] = { 0x02, 0x21, 0x4c, 0x18 };
    int n = LZ4_compress_default(data, buf, len, ROOM_BYTES);

    g_assert_cmpint(n, >, 0);
    store_le32(head + 4, n);
    g_byte_array_append(out, head, sizeof(head));
    g_byte_array_append(out, (uint8_t *)buf, n);
}
#endif

#ifdef RHEA_LZMA
static void pack_xz(GByteArray *out, const void *data, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(ROOM_BYTES);
    size_t n = 0;

    g_assert_cmpint(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, data,
                                            len, buf, &n, ROOM_BYTES), ==,
                    LZMA_OK);
    g_byte_array_append(out, buf, n);
}
#endif

#ifdef RHEA_ZSTD
static void pack_zstd(GByteArray *out, const void *data, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(ROOM_BYTES);
    size_t n = ZSTD_compress(buf, ROOM_BYTES, data, len, 1);

    g_assert_false(ZSTD_isError(n));
    g_byte_array_append(out, buf, n);
}
#endif

static const struct {
    const char *by;
    Pack *pack;
    bool parts;                 /* what follows a part may be another */
} packers[] = {
    { "gzip", pack_gzip, true },
#ifdef RHEA_LZ4
    { "lz4", pack_lz4, true },
#endif
#ifdef RHEA_LZMA
    { "xz", pack_xz, false },
#endif
#ifdef RHEA_ZSTD
    { "zstd", pack_zstd, false },
#endif
};

static uint8_t *make_bytes(void)
{
    uint8_t *want = g_malloc(WANT_BYTES);
    uint32_t x = 1;

    for (unsigned i = 0; i < WANT_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        want[i] = i & 0x1000 ? i >> 12 : x >> 24;
    }
    return want;
}

static void refuse(const uint8_t *data, size_t len, uint64_t max,
                   const char *by, const char *part)
{
    g_autofree uint8_t *copy = g_memdup2(data, len);    /* its end is exact */
    g_autoptr(BootFile) f = boot_file_from_memory("k", copy, len);
    g_autofree char *start = g_strdup_printf("packed by %s, and ", by);
    GError *err = NULL;

    g_assert_false(boot_file_unpack(f, max, &err));
    if (!g_str_has_prefix(err->message, start)
        || !strstr(err->message, part)) {
        g_error("\"%s\" does not say \"%s\" of %s", err->message, part, by);
    }
    g_error_free(err);
}

static void test_formats(void)
{
    g_autofree uint8_t *want = make_bytes();

    for (unsigned i = 0; i < G_N_ELEMENTS(packers); i++) {
        g_autoptr(GByteArray) packed = g_byte_array_new();
        g_autofree uint8_t *got = g_malloc(WANT_BYTES);
        size_t first = packers[i].parts ? PART_BYTES : WANT_BYTES;
        g_autoptr(BootFile) f = NULL;
        GError *err = NULL;

        packers[i].pack(packed, want, first);
        if (first < WANT_BYTES) {
            packers[i].pack(packed, want + first, WANT_BYTES - first);
        }
        g_byte_array_append(packed, (const uint8_t *)"\0\0\4\0", 4);
        f = boot_file_from_memory("k", packed->data, packed->len);
        g_assert_true(boot_file_unpack(f, WANT_BYTES, &err));
        g_assert_no_error(err);
        g_assert_cmpuint(f->size_bytes, ==, WANT_BYTES);
        g_assert_true(boot_file_read(f, 0, got, WANT_BYTES));
        g_assert_false(boot_file_read(f, 1, got, WANT_BYTES));
        g_assert_true(!memcmp(want, got, WANT_BYTES));

        refuse(packed->data, packed->len, WANT_BYTES - 1, packers[i].by,
               "does not fit");
        refuse(packed->data, 100, WANT_BYTES, packers[i].by, "truncated");
        refuse(packed->data, 6, WANT_BYTES, packers[i].by, "truncated");
        /* Whatever is wrong with it: no crash, and not more than asked. */
        for (unsigned k = 6; k < packed->len; k += packed->len / 50) {
            g_autoptr(BootFile) bad = boot_file_from_memory("k", packed->data,
                                                            packed->len);

            packed->data[k] ^= 0x5a;
            if (boot_file_unpack(bad, WANT_BYTES, NULL)) {
                g_assert_cmpuint(bad->size_bytes, <=, MAX(WANT_BYTES,
                                                          packed->len));
            }
            packed->data[k] ^= 0x5a;
        }
    }
}

static void test_plain(void)
{
    g_autofree uint8_t *want = make_bytes();
    g_autoptr(BootFile) f = boot_file_from_memory("k", want, WANT_BYTES);
    g_autoptr(BootFile) tiny = boot_file_from_memory("k", want, 1);

    g_assert_true(boot_file_unpack(f, 1, NULL));
    g_assert_cmpuint(f->size_bytes, ==, WANT_BYTES);
    g_assert_true(boot_file_unpack(tiny, 1, NULL));
    g_assert_cmpuint(tiny->size_bytes, ==, 1);
}

/* --- the kernel in a bzImage ---------------------------------------------------------------- */

enum { VM_GPA = 0x1000000, VM_TEXT = 5000, VM_BSS = 3000, VM_AT = 1000 };

static GByteArray *make_vmlinux(unsigned class, uint64_t gpa, uint64_t entry)
{
    g_autofree uint8_t *f = g_malloc0(VM_AT + VM_TEXT);
    GByteArray *packed = g_byte_array_new();
    Elf64_Ehdr h = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, class,
                                  ELFDATA2LSB, EV_CURRENT },
                     .e_type = ET_EXEC, .e_machine = EM_X86_64,
                     .e_entry = entry, .e_phoff = sizeof(h), .e_phnum = 1,
                     .e_phentsize = sizeof(Elf64_Phdr) };
    Elf64_Phdr p = { .p_type = PT_LOAD, .p_offset = VM_AT, .p_paddr = gpa,
                     .p_vaddr = UINT64_C(0xffffffff80000000) + gpa,
                     .p_filesz = VM_TEXT, .p_memsz = VM_TEXT + VM_BSS };

    memcpy(f, &h, sizeof(h));
    memcpy(f + sizeof(h), &p, sizeof(p));
    memset(f + VM_AT, 'V', VM_TEXT);
    pack_gzip(packed, f, VM_AT + VM_TEXT);
    return packed;
}

static bool load(const GByteArray *packed, uint64_t len, uint64_t max_bytes)
{
    g_autoptr(BootImage) img = boot_image_new(t->m);
    BootFile *kernel = boot_file_from_memory("k", packed->data, packed->len);
    uint64_t entry = 0;

    boot_add_file(img, kernel);
    if (!vmlinux_load(img, kernel, 0, len, VM_GPA, max_bytes, &entry)) {
        g_assert_cmpuint(img->pieces->len, ==, 0);
        return false;
    }
    g_assert_cmphex(entry, ==, VM_GPA + 0x10);
    g_assert_true(boot_image_write(img));
    g_assert_cmphex(pc_load(VM_GPA, 4), ==, 0x56565656);
    g_assert_cmphex(pc_load(VM_GPA + VM_TEXT - 4, 8), ==, 0x56565656);
    return true;
}

static void test_vmlinux(void)
{
    static const struct {
        unsigned class;
        uint64_t gpa, entry;
        bool ok;
    } cases[] = {
        { ELFCLASS64, VM_GPA, VM_GPA + 0x10, true },
        { ELFCLASS64, VM_GPA + 0x200000, VM_GPA + 0x200010, false },
        { ELFCLASS64, VM_GPA, VM_GPA - 1, false },
        { ELFCLASS64, UINT64_C(1) << 62, VM_GPA, false },
        { ELFCLASS32, VM_GPA, VM_GPA + 0x10, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) k = make_vmlinux(cases[i].class, cases[i].gpa,
                                               cases[i].entry);

        g_assert_cmpint(load(k, k->len, VM_TEXT + VM_BSS), ==, cases[i].ok);
        g_assert_false(load(k, k->len, VM_TEXT + VM_BSS - 1));
        g_assert_false(load(k, k->len + 1, MiB));
        g_assert_false(load(k, k->len / 2, MiB));
        g_assert_false(load(k, 0, MiB));
    }
}

int main(int argc, char **argv)
{
    t = pc_test_init(&argc, &argv, 128 * MiB);
    g_test_add_func("/unpack/formats", test_formats);
    g_test_add_func("/unpack/plain", test_plain);
    g_test_add_func("/unpack/vmlinux", test_vmlinux);
    return g_test_run();
}
