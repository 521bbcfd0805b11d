/*
 * ACPI machine language: terms to bytes.
 *
 * Spec:  ACPI 6.4, chapter 20 (AML encoding), section 6.4 (resources).
 * Locks: none, pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi/aml.h"

typedef enum {
    PLAIN,                      /* bytes as they are */
    SIZED,                      /* opcode, PkgLength, body */
    PACKAGE,                    /* and the number of elements in body[0] */
    RESOURCES,                  /* a buffer: length, descriptors, end tag */
} AmlKind;

struct Aml {
    AmlKind kind;
    uint8_t op[2];
    unsigned n_op;
    GByteArray *body;
};

static Aml *term(AmlKind kind, unsigned op)
{
    Aml *a = g_new0(Aml, 1);

    a->kind = kind;
    a->body = g_byte_array_new();
    if (op > 0xff) {
        a->op[a->n_op++] = op >> 8;
    }
    if (op) {
        a->op[a->n_op++] = op;
    }
    return a;
}

void aml_free(Aml *a)
{
    if (a) {
        g_byte_array_unref(a->body);
        g_free(a);
    }
}

static void put8(GByteArray *out, uint8_t v)
{
    g_byte_array_append(out, &v, 1);
}

static void put_le(GByteArray *out, uint64_t v, unsigned size)
{
    uint8_t buf[8];

    store_le64(buf, v);
    g_byte_array_append(out, buf, size);
}

/* --- lengths, integers, names ---------------------------------------------------- */

/* PkgLength: one byte up to 63, else a count of bytes, low nibble first. */
static void put_length(GByteArray *out, uint32_t len)
{
    unsigned more;

    if (len < 1 << 6) {
        put8(out, len);
        return;
    }
    more = len < 1 << 12 ? 1 : len < 1 << 20 ? 2 : 3;
    g_assert(len < 1 << 28);
    put8(out, more << 6 | (len & 15));
    put_le(out, len >> 4, more);
}

/* The same with the length field itself counted. */
static void put_pkg_length(GByteArray *out, uint32_t len)
{
    put_length(out, len + (len + 1 < 1 << 6 ? 1 : len + 2 < 1 << 12 ? 2
                           : len + 3 < 1 << 20 ? 3 : 4));
}

static void put_int(GByteArray *out, uint64_t v)
{
    if (v <= 1) {
        put8(out, v);           /* ZeroOp, OneOp */
    } else if (v == UINT64_MAX) {
        put8(out, 0xff);        /* OnesOp */
    } else if (v <= UINT8_MAX) {
        put8(out, 0x0a);
        put8(out, v);
    } else if (v <= UINT16_MAX) {
        put8(out, 0x0b);
        put_le(out, v, 2);
    } else if (v <= UINT32_MAX) {
        put8(out, 0x0c);
        put_le(out, v, 4);
    } else {
        put8(out, 0x0e);
        put_le(out, v, 8);
    }
}

/* A segment is four characters, padded with '_'. */
static const char *put_segment(GByteArray *out, const char *s)
{
    unsigned n = 0;

    for (; *s && *s != '.'; s++, n++) {
        g_assert(n < 4 && (g_ascii_isupper(*s) || g_ascii_isdigit(*s)
                           || *s == '_'));
        put8(out, *s);
    }
    while (n++ < 4) {
        put8(out, '_');
    }
    return *s ? s + 1 : s;
}

static void put_name(GByteArray *out, const char *s)
{
    unsigned n = 1;

    for (; *s == '\\' || *s == '^'; s++) {
        put8(out, *s);
    }
    if (!*s) {
        put8(out, 0);           /* NullName */
        return;
    }
    for (const char *p = s; *p; p++) {
        n += *p == '.';
    }
    if (n == 2) {
        put8(out, 0x2e);
    } else if (n > 2) {
        put8(out, 0x2f);
        put8(out, n);
    }
    while (*s) {
        s = put_segment(out, s);
    }
}

/* --- composition --------------------------------------------------------------------- */

void aml_emit(Aml *a, GByteArray *out)
{
    if (a->kind == RESOURCES) {
        GByteArray *size = g_byte_array_new();

        put8(a->body, 0x79);    /* end tag, */
        put8(a->body, 0);       /* with a checksum that is not used */
        put_int(size, a->body->len);
        g_byte_array_prepend(a->body, size->data, size->len);
        g_byte_array_unref(size);
    }
    g_byte_array_append(out, a->op, a->n_op);
    if (a->kind != PLAIN) {
        put_pkg_length(out, a->body->len);
    }
    g_byte_array_append(out, a->body->data, a->body->len);
    aml_free(a);
}

Aml *aml_add(Aml *parent, Aml *child)
{
    if (parent->kind == PACKAGE) {
        g_assert(parent->body->data[0] < 255);
        parent->body->data[0]++;
    }
    aml_emit(child, parent->body);
    return parent;
}

static Aml *named(AmlKind kind, unsigned op, const char *name)
{
    Aml *a = term(kind, op);

    put_name(a->body, name);
    return a;
}

Aml *aml_list(void)
{
    return term(PLAIN, 0);
}

Aml *aml_scope(const char *path)
{
    return named(SIZED, 0x10, path);
}

Aml *aml_device(const char *name)
{
    return named(SIZED, 0x5b82, name);
}

Aml *aml_method(const char *name, unsigned n_args, bool serialized)
{
    Aml *a = named(SIZED, 0x14, name);

    put8(a->body, n_args | (serialized ? 8 : 0));
    return a;
}

Aml *aml_if(Aml *predicate)
{
    return aml_add(term(SIZED, 0xa0), predicate);
}

Aml *aml_else(void)
{
    return term(SIZED, 0xa1);
}

Aml *aml_package(void)
{
    Aml *a = term(PACKAGE, 0x12);

    put8(a->body, 0);
    return a;
}

Aml *aml_resources(void)
{
    return term(RESOURCES, 0x11);
}

/* --- data and names ----------------------------------------------------------------------- */

Aml *aml_name(const char *name, Aml *value)
{
    return aml_add(named(PLAIN, 0x08, name), value);
}

Aml *aml_ref(const char *path)
{
    return named(PLAIN, 0, path);
}

Aml *aml_int(uint64_t v)
{
    Aml *a = term(PLAIN, 0);

    put_int(a->body, v);
    return a;
}

Aml *aml_string(const char *s)
{
    Aml *a = term(PLAIN, 0x0d);

    g_byte_array_append(a->body, (const uint8_t *)s, strlen(s) + 1);
    return a;
}

Aml *aml_buffer(const void *data, size_t len)
{
    Aml *a = term(SIZED, 0x11);

    put_int(a->body, len);
    g_byte_array_append(a->body, data, len);
    return a;
}

Aml *aml_eisaid(const char *id)
{
    /* Three letters of 5 bits and four digits of 4, most significant first. */
    uint32_t v = (id[0] & 31u) << 26 | (id[1] & 31u) << 21
                 | (id[2] & 31u) << 16 | strtoul(id + 3, NULL, 16);
    Aml *a = term(PLAIN, 0x0c);

    g_assert(strlen(id) == 7);
    put_le(a->body, GUINT32_SWAP_LE_BE(v), 4);
    return a;
}

Aml *aml_local(unsigned n)
{
    return term(PLAIN, 0x60 + n);
}

Aml *aml_arg(unsigned n)
{
    return term(PLAIN, 0x68 + n);
}

Aml *aml_opregion(const char *name, AmlSpace space, uint64_t at, uint64_t len)
{
    Aml *a = named(PLAIN, 0x5b80, name);

    put8(a->body, space);
    put_int(a->body, at);
    put_int(a->body, len);
    return a;
}

Aml *aml_field(const char *region, unsigned access_bytes, bool locked)
{
    Aml *a = named(SIZED, 0x5b81, region);

    put8(a->body, (access_bytes == 4 ? 3 : access_bytes) | locked << 4);
    return a;
}

Aml *aml_field_unit(const char *name, unsigned bits)
{
    Aml *a = term(PLAIN, 0);

    if (name) {
        put_segment(a->body, name);
    } else {
        put8(a->body, 0);
    }
    put_length(a->body, bits);
    return a;
}

/* --- statements and expressions --------------------------------------------------------------- */

static Aml *with(unsigned op, Aml *a, Aml *b)
{
    Aml *t = aml_add(term(PLAIN, op), a);

    return b ? aml_add(t, b) : t;
}

/* Operators with a target: the value is enough for us. */
static Aml *without_target(Aml *t)
{
    put8(t->body, 0);
    return t;
}

Aml *aml_return(Aml *value)
{
    return with(0xa4, value, NULL);
}

Aml *aml_store(Aml *value, Aml *target)
{
    return with(0x70, value, target);
}

Aml *aml_and(Aml *a, Aml *b)
{
    return without_target(with(0x7b, a, b));
}

Aml *aml_or(Aml *a, Aml *b)
{
    return without_target(with(0x7d, a, b));
}

Aml *aml_equal(Aml *a, Aml *b)
{
    return with(0x93, a, b);
}

Aml *aml_index(Aml *buffer, Aml *at)
{
    return without_target(with(0x88, buffer, at));
}

Aml *aml_deref(Aml *reference)
{
    return with(0x83, reference, NULL);
}

Aml *aml_notify(Aml *object, Aml *value)
{
    return with(0x86, object, value);
}

/* --- resource descriptors ------------------------------------------------------------------------ */

Aml *aml_io(uint16_t min, uint16_t max, uint8_t align, uint8_t len)
{
    Aml *a = term(PLAIN, 0x47);

    put8(a->body, 1);           /* decodes 16 bits */
    put_le(a->body, min, 2);
    put_le(a->body, max, 2);
    put8(a->body, align);
    put8(a->body, len);
    return a;
}

Aml *aml_irq(unsigned irq)
{
    Aml *a = term(PLAIN, 0x22);

    put_le(a->body, 1 << irq, 2);
    return a;
}

Aml *aml_dma(unsigned channel)
{
    Aml *a = term(PLAIN, 0x2a);

    put8(a->body, 1 << channel);
    put8(a->body, 0);           /* compatible, 8 bits, no bus master */
    return a;
}

Aml *aml_memory32(uint32_t base, uint32_t len, bool writable)
{
    Aml *a = term(PLAIN, 0x86);

    put_le(a->body, 9, 2);
    put8(a->body, writable);
    put_le(a->body, base, 4);
    put_le(a->body, len, 4);
    return a;
}

Aml *aml_interrupts(const uint32_t *gsi, unsigned n)
{
    Aml *a = term(PLAIN, 0x89);

    put_le(a->body, 2 + 4 * n, 2);
    put8(a->body, 0x09);        /* consumer, level, high, shared */
    put8(a->body, n);
    for (unsigned i = 0; i < n; i++) {
        put_le(a->body, gsi[i], 4);
    }
    return a;
}

enum { RANGE_MEMORY = 0, RANGE_IO = 1, RANGE_BUS = 2 };

/* A producer's window with both ends fixed, decoded positively. */
static Aml *range(unsigned tag, unsigned width, unsigned type, unsigned flags,
                  uint64_t first, uint64_t last)
{
    Aml *a = term(PLAIN, tag);

    put_le(a->body, 3 + 5 * width, 2);
    put8(a->body, type);
    put8(a->body, 0x0c);
    put8(a->body, flags);
    put_le(a->body, 0, width);                  /* granularity */
    put_le(a->body, first, width);
    put_le(a->body, last, width);
    put_le(a->body, 0, width);                  /* translation */
    put_le(a->body, last - first + 1, width);
    return a;
}

Aml *aml_bus_range(uint16_t first, uint16_t last)
{
    return range(0x88, 2, RANGE_BUS, 0, first, last);
}

Aml *aml_io_range(uint16_t first, uint16_t last)
{
    return range(0x88, 2, RANGE_IO, 3, first, last);
}

Aml *aml_memory_range(uint64_t first, uint64_t last, bool cacheable)
{
    unsigned flags = 1 | cacheable << 1;        /* read-write */

    return last <= UINT32_MAX
           ? range(0x87, 4, RANGE_MEMORY, flags, first, last)
           : range(0x8a, 8, RANGE_MEMORY, flags, first, last);
}
