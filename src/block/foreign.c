/*
 * Images of formats that others read: known, and refused by name.
 *
 * Taken for raw, they would show a guest their headers, and be overwritten.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "node.h"

typedef struct Foreign {
    const char *format;         /* qemu-img's name; NULL: not an image */
    const char *what;
    unsigned at, len;
    const char *magic;
} Foreign;

static const Foreign foreign[] = {
    { "vmdk", "a VMDK image", 0, 4, "KDMV" },
    { "vmdk", "a VMDK image", 0, 4, "COWD" },
    { "vmdk", "a VMDK image's description", 0, 21, "# Disk DescriptorFile" },
    { "vdi", "a VDI image", 0x40, 4, "\x7f\x10\xda\xbe" },
    { "vhdx", "a VHDX image", 0, 8, "vhdxfile" },
    { "vpc", "a VHD image", 0, 8, "conectix" },
    { "qcow", "a qcow image of version 1", 0, 8, "QFI\xfb\0\0\0\1" },
    { "qed", "a QED image", 0, 4, "QED\0" },
    { "luks", "encrypted (LUKS)", 0, 6, "LUKS\xba\xbe" },
    { "parallels", "a Parallels image", 0, 16, "WithoutFreeSpace" },
    { "parallels", "a Parallels image", 0, 16, "WithouFreSpacExt" },
    { "bochs", "a Bochs image", 0, 22, "Bochs Virtual HD Image" },
    { NULL, "packed by gzip", 0, 3, "\x1f\x8b\x08" },
    { NULL, "packed by xz", 0, 6, "\xfd" "7zXZ\0" },
    { NULL, "packed by zstd", 0, 4, "\x28\xb5\x2f\xfd" },
};

static const Foreign *find(const uint8_t *head, size_t len)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(foreign); i++) {
        const Foreign *f = &foreign[i];

        if (f->at + f->len <= len
            && !memcmp(head + f->at, f->magic, f->len)) {
            return f;
        }
    }
    return NULL;
}

bool block_is_foreign(const uint8_t *head, size_t len)
{
    return find(head, len);
}

bool block_refuse_foreign(const uint8_t *head, size_t len,
                          const char *filename, GError **err)
{
    const Foreign *f = find(head, len);

    if (!f) {
        return true;
    }
    return f->format
           ? block_fail(err, "'%s' is %s, which cannot be read here; convert "
                        "it: qemu-img convert -f %s -O qcow2 (format=raw "
                        "shows the file's bytes as they are)", filename,
                        f->what, f->format)
           : block_fail(err, "'%s' is %s; unpack it first (format=raw shows "
                        "the file's bytes as they are)", filename, f->what);
}

bool block_is_foreign_name(const char *format)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(foreign); i++) {
        if (!g_strcmp0(foreign[i].format, format)) {
            return true;
        }
    }
    return false;
}
