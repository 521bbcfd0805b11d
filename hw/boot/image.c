/*
 * Boot images: files, pieces of guest memory, putting them in place.
 *
 * Files stay open and are read straight into guest memory at each reset: an
 * initrd of any size costs one copy and no memory of ours.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/trace.h"

/* --- files ------------------------------------------------------------------------ */

BootFile *boot_file_open(const char *path, GError **err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    BootFile *f;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_OPEN, "%s",
                    g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_OPEN, "not a regular file");
        close(fd);
        return NULL;
    }
    f = g_new0(BootFile, 1);
    f->path = g_strdup(path);
    f->fd = fd;
    f->size_bytes = st.st_size;
    return f;
}

BootFile *boot_file_from_memory(const char *name, const void *data,
                                size_t len)
{
    BootFile *f = g_new0(BootFile, 1);

    f->path = g_strdup(name);
    f->fd = -1;
    f->data = data;
    f->size_bytes = len;
    return f;
}

void boot_file_free(BootFile *f)
{
    if (f) {
        if (f->fd >= 0) {
            close(f->fd);
        }
        g_free(f->path);
        g_free(f->unpacked);
        g_free(f);
    }
}

bool boot_file_read(BootFile *f, uint64_t at, void *buf, size_t len)
{
    if (at > f->size_bytes || len > f->size_bytes - at) {
        return false;
    }
    if (f->data) {
        if (len) {
            memcpy(buf, f->data + at, len);
        }
        return true;
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(f->fd, (uint8_t *)buf + done, len - done, at + done);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        done += MAX(n, 0);
    }
    return true;
}

/* --- images -------------------------------------------------------------------------- */

static void piece_clear(gpointer p)
{
    g_free(((BootPiece *)p)->data);
}

/* Information, data and strings, in this order from `gpa`. */
static void place_low(BootImage *img, uint64_t gdt_gpa, uint64_t gpa)
{
    img->gdt_gpa = gdt_gpa;
    img->info_gpa = gpa;
    img->data_end = gpa + BOOT_DATA_GPA - BOOT_INFO_GPA;
    img->strings_end = gpa + BOOT_STRINGS_GPA - BOOT_INFO_GPA;
}

BootImage *boot_image_new(Machine *m)
{
    BootImage *img = g_new0(BootImage, 1);

    img->m = m;
    img->e820 = e820_from_map(m);
    img->pieces = g_array_new(FALSE, FALSE, sizeof(BootPiece));
    g_array_set_clear_func(img->pieces, piece_clear);
    img->files = g_ptr_array_new_with_free_func(
        (GDestroyNotify)boot_file_free);
    place_low(img, BOOT_GDT_GPA, BOOT_INFO_GPA);
    img->tables_end = BOOT_TABLES_GPA;
    img->fseg_end = BOOT_FSEG_GPA;
    return img;
}

void boot_image_free(BootImage *img)
{
    if (img) {
        g_array_unref(img->e820);
        g_array_unref(img->pieces);
        g_ptr_array_unref(img->files);
        g_free(img);
    }
}

void boot_add_file(BootImage *img, BootFile *f)
{
    g_ptr_array_add(img->files, f);
}

/* A piece that [gpa, gpa + len) overlaps, or NULL. */
static const BootPiece *overlapped(const BootImage *img, uint64_t gpa,
                                   uint64_t len)
{
    for (unsigned i = 0; i < img->pieces->len; i++) {
        const BootPiece *p = &g_array_index(img->pieces, BootPiece, i);

        if (gpa < p->gpa + p->len && p->gpa < gpa + len) {
            return p;
        }
    }
    return NULL;
}

bool boot_add(BootImage *img, const char *what, uint64_t gpa, uint64_t len,
              BootFile *file, uint64_t file_at, const void *data,
              GError **err)
{
    BootPiece p = { .gpa = gpa, .len = len, .file = file, .file_at = file_at };

    if (!len) {
        return true;
    }
    if (gpa + len < gpa || !e820_is_ram(img->e820, gpa, len)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                    "%s (%" PRIu64 " bytes at 0x%" PRIx64 ") does not fit in "
                    "the guest's memory", what, len, gpa);
        return false;
    }
    if (overlapped(img, gpa, len)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                    "%s (%" PRIu64 " bytes at 0x%" PRIx64 ") runs over "
                    "something loaded before", what, len, gpa);
        return false;
    }
    if (file && (file_at > file->size_bytes
                 || len > file->size_bytes - file_at)) {
        g_set_error(err, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "the file is truncated: %s ends at byte %" PRIu64
                    " of %" PRIu64, what, file_at + len, file->size_bytes);
        return false;
    }
    if (data) {
        p.data = g_memdup2(data, len);
    }
    g_array_append_val(img->pieces, p);
    return true;
}

uint64_t boot_find_high(const BootImage *img, uint64_t len, uint64_t align,
                        uint64_t limit)
{
    uint64_t best = 0;

    for (unsigned i = 0; i < img->e820->len; i++) {
        const E820Entry *e = &g_array_index(img->e820, E820Entry, i);
        uint64_t end = MIN(e->start + e->len, limit);

        if (e->type != E820_RAM || e->start < MiB) {
            continue;
        }
        /* Each round ends or moves below one more piece. */
        while (end > e->start && len <= end - e->start) {
            uint64_t gpa = ALIGN_DOWN(end - len, align);
            const BootPiece *p;

            if (gpa < e->start) {
                break;
            }
            p = overlapped(img, gpa, len);
            if (!p) {
                best = MAX(best, gpa);
                break;
            }
            end = p->gpa;
        }
    }
    return best;
}

/* The lowest page from which `len` bytes of RAM below 640K are clear; 0: none. */
static uint64_t find_low(const BootImage *img, uint64_t len)
{
    uint64_t gpa = BOOT_INFO_GPA;
    const BootPiece *p;

    /* Each round steps over one more piece. */
    while ((p = overlapped(img, gpa, len))) {
        gpa = ALIGN_UP(p->gpa + p->len, 4096);
        if (gpa >= 0xa0000) {
            return 0;
        }
    }
    return e820_is_ram(img->e820, gpa, len) ? gpa : 0;
}

bool boot_settle_low(BootImage *img, GError **err)
{
    uint64_t bytes = BOOT_LOW_END - BOOT_INFO_GPA, gpa;

    if (!overlapped(img, BOOT_GDT_GPA, BOOT_LOW_END - BOOT_GDT_GPA)) {
        return true;
    }
    gpa = find_low(img, bytes + 4096);
    gpa = gpa ? gpa : boot_find_high(img, bytes + 4096, 4096, 4 * GiB);
    if (!gpa) {
        g_set_error_literal(err, BOOT_ERROR, BOOT_ERROR_NO_ROOM,
                            "no room for the boot information beside it");
        return false;
    }
    place_low(img, gpa, gpa + 4096);
    return true;
}

static uint64_t add_low(BootImage *img, uint64_t *end, uint64_t limit,
                        const void *data, size_t len)
{
    uint64_t gpa = *end;

    if (len > limit - gpa
        || !boot_add(img, "boot data", gpa, len, NULL, 0, data, NULL)) {
        return 0;
    }
    *end = ALIGN_UP(gpa + len, 16);
    return gpa;
}

uint64_t boot_add_string(BootImage *img, const char *s)
{
    return add_low(img, &img->strings_end,
                   img->info_gpa + BOOT_LOW_END - BOOT_INFO_GPA, s,
                   strlen(s) + 1);
}

uint64_t boot_add_data(BootImage *img, const void *data, size_t len)
{
    return add_low(img, &img->data_end,
                   img->info_gpa + BOOT_STRINGS_GPA - BOOT_INFO_GPA, data,
                   len);
}

uint64_t boot_place_table(BootImage *img, uint64_t len, uint32_t align,
                          bool fseg)
{
    uint64_t *next = fseg ? &img->fseg_end : &img->tables_end;
    uint64_t limit = fseg ? BOOT_BIOS_GPA : BOOT_FSEG_GPA;
    uint64_t gpa = ALIGN_UP(*next, align);

    if (gpa <= limit && len <= limit - gpa) {
        *next = gpa + len;
        return gpa;
    }
    gpa = fseg ? 0 : boot_find_high(img, len, MAX(align, 4096), 4 * GiB);
    if (gpa) {
        e820_set(img->e820, gpa, ALIGN_UP(len, 4096), E820_ACPI);
    }
    return gpa;
}

void boot_add_table(BootImage *img, uint64_t gpa, const void *data,
                    size_t len)
{
    BootPiece p = { .gpa = gpa, .len = len, .data = g_memdup2(data, len) };

    g_array_append_val(img->pieces, p);
}

/* --- putting it in place --------------------------------------------------------------- */

static bool write_from_file(const BootPiece *p)
{
    for (uint64_t done = 0; done < p->len;) {
        uint64_t n = p->len - done;
        void *hva = as_map(&as_memory, p->gpa + done, &n, true);
        bool ok;

        if (!hva) {
            return false;
        }
        ok = boot_file_read(p->file, p->file_at + done, hva, n);
        as_unmap(&as_memory, hva, n, true, n);
        if (!ok) {
            report_error("could not read '%s': it changed since it was "
                         "loaded", p->file->path);
            return false;
        }
        done += n;
    }
    return true;
}

static bool write_zeros(const BootPiece *p)
{
    for (uint64_t done = 0; done < p->len;) {
        uint64_t n = p->len - done;
        void *hva = as_map(&as_memory, p->gpa + done, &n, true);

        if (!hva) {
            return false;
        }
        memset(hva, 0, n);
        as_unmap(&as_memory, hva, n, true, n);
        done += n;
    }
    return true;
}

bool boot_image_write(const BootImage *img)
{
    for (unsigned i = 0; i < img->pieces->len; i++) {
        const BootPiece *p = &g_array_index(img->pieces, BootPiece, i);

        trace("boot-piece", "0x%" PRIx64 " len %" PRIu64, p->gpa, p->len);
        if (p->file ? !write_from_file(p)
            : p->data ? as_write(&as_memory, p->gpa, p->data, p->len) != MEM_OK
            : !write_zeros(p)) {
            return false;
        }
    }
    return true;
}
