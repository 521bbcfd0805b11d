/*
 * The table loader's script: built, and run.
 *
 * Spec:  QEMU's and SeaBIOS' "linker/loader" protocol: little-endian commands
 *        of 128 bytes: a 32-bit code, then fields as below, then zeros.
 * Locks: none, pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/bios-loader.h"

enum { CMD_ALLOCATE = 1, CMD_ADD_POINTER = 2, CMD_ADD_CHECKSUM = 3,
       CMD_WRITE_POINTER = 4 };
enum { CMD_BYTES = 128, NAME = 4, ALLOC_ALIGN = 60, ALLOC_ZONE = 64,
       POINTER_SRC = 60, POINTER_AT = 116, POINTER_SIZE = 120,
       SUM_AT = 60, SUM_START = 64, SUM_LEN = 68 };

static void file_free(gpointer p)
{
    BiosFile *f = p;

    g_free(f->name);
    g_byte_array_unref(f->data);
    g_free(f);
}

BiosLoader *bios_loader_new(void)
{
    BiosLoader *l = g_new0(BiosLoader, 1);

    l->script = g_byte_array_new();
    l->files = g_ptr_array_new_with_free_func(file_free);
    return l;
}

void bios_loader_free(BiosLoader *l)
{
    if (l) {
        g_byte_array_unref(l->script);
        g_ptr_array_unref(l->files);
        g_free(l);
    }
}

BiosFile *bios_loader_file(const BiosLoader *l, const char *name)
{
    for (unsigned i = 0; i < l->files->len; i++) {
        BiosFile *f = g_ptr_array_index(l->files, i);

        if (!strcmp(f->name, name)) {
            return f;
        }
    }
    return NULL;
}

/* --- building ----------------------------------------------------------------------- */

static uint8_t *command(BiosLoader *l, uint32_t code, const char *name)
{
    unsigned at = l->script->len;
    uint8_t *c;

    g_assert(strlen(name) < BIOS_FILE_NAME_BYTES);
    g_byte_array_set_size(l->script, at + CMD_BYTES);
    c = l->script->data + at;
    memset(c, 0, CMD_BYTES);
    store_le32(c, code);
    memcpy(c + NAME, name, strlen(name));
    return c;
}

void bios_loader_allocate(BiosLoader *l, const char *name, GByteArray *data,
                          uint32_t align, BiosZone zone)
{
    BiosFile *f = g_new0(BiosFile, 1);
    uint8_t *c = command(l, CMD_ALLOCATE, name);

    store_le32(c + ALLOC_ALIGN, align);
    c[ALLOC_ZONE] = zone;
    f->name = g_strdup(name);
    f->data = data;
    g_ptr_array_add(l->files, f);
}

void bios_loader_pointer(BiosLoader *l, const char *dest, uint32_t at,
                         unsigned size, const char *src)
{
    uint8_t *c = command(l, CMD_ADD_POINTER, dest);

    memcpy(c + POINTER_SRC, src, strlen(src));
    store_le32(c + POINTER_AT, at);
    c[POINTER_SIZE] = size;
}

void bios_loader_checksum(BiosLoader *l, const char *name, uint32_t at,
                          uint32_t start, uint32_t len)
{
    uint8_t *c = command(l, CMD_ADD_CHECKSUM, name);

    store_le32(c + SUM_AT, at);
    store_le32(c + SUM_START, start);
    store_le32(c + SUM_LEN, len);
}

/* --- running -------------------------------------------------------------------------- */

static bool refuse(GError **err, const char *why)
{
    g_set_error(err, g_quark_from_static_string("bios-loader-error"), 0,
                "table loader: %s", why);
    return false;
}

static BiosFile *file_at(BiosLoader *l, const uint8_t *name)
{
    char text[BIOS_FILE_NAME_BYTES + 1] = { 0 };

    memcpy(text, name, BIOS_FILE_NAME_BYTES);
    return bios_loader_file(l, text);
}

static bool add_pointer(BiosLoader *l, const uint8_t *c, GError **err)
{
    BiosFile *dest = file_at(l, c + NAME), *src = file_at(l, c + POINTER_SRC);
    uint32_t at = load_le32(c + POINTER_AT);
    unsigned size = c[POINTER_SIZE];

    if (!dest || !src || !src->gpa || (size != 1 && size != 2 && size != 4
                                       && size != 8)
        || at > dest->data->len || size > dest->data->len - at) {
        return refuse(err, "a pointer outside of the files");
    }
    store_le(dest->data->data + at, size,
             load_le(dest->data->data + at, size) + src->gpa);
    return true;
}

static bool add_checksum(BiosLoader *l, const uint8_t *c, GError **err)
{
    BiosFile *f = file_at(l, c + NAME);
    uint32_t at = load_le32(c + SUM_AT), start = load_le32(c + SUM_START);
    uint32_t len = load_le32(c + SUM_LEN);
    uint8_t sum = 0;

    if (!f || at >= f->data->len || start > f->data->len
        || len > f->data->len - start) {
        return refuse(err, "a checksum outside of the files");
    }
    for (uint32_t i = 0; i < len; i++) {
        sum += f->data->data[start + i];
    }
    f->data->data[at] -= sum;
    return true;
}

bool bios_loader_run(BiosLoader *l, const uint8_t *script, size_t len,
                     uint64_t (*place)(void *opaque, const char *name,
                                       uint64_t bytes, uint32_t align,
                                       BiosZone zone),
                     void *opaque, GError **err)
{
    for (; len >= CMD_BYTES; script += CMD_BYTES, len -= CMD_BYTES) {
        BiosFile *f = file_at(l, script + NAME);
        uint32_t align = load_le32(script + ALLOC_ALIGN);

        switch (load_le32(script)) {
        case CMD_ALLOCATE:
            if (!f || !align || align & (align - 1)) {
                return refuse(err, "an unknown file or alignment");
            }
            f->gpa = place(opaque, f->name, f->data->len, align,
                           script[ALLOC_ZONE]);
            if (!f->gpa) {
                return refuse(err, "no room for the tables");
            }
            break;
        case CMD_ADD_POINTER:
            if (!add_pointer(l, script, err)) {
                return false;
            }
            break;
        case CMD_ADD_CHECKSUM:
            if (!add_checksum(l, script, err)) {
                return false;
            }
            break;
        case CMD_WRITE_POINTER: /* tells a device; none asks for it here */
            break;
        default:
            return refuse(err, "an unknown command");
        }
    }
    return len == 0 || refuse(err, "a command is cut off");
}
