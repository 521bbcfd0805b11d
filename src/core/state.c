/*
 * State tables: save, load, dump.
 *
 * A section is its name (a length byte and the bytes), its version (32 bits),
 * the fields in table order, then each subsection that is needed behind a 1
 * byte, and a 0 byte.  Numbers are big-endian.
 *
 * Locks: whatever protects the device; nothing of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/state.h"

#include "base/bits.h"
#include "loop/timer.h"

#define STATE_ERROR g_quark_from_static_string("state-error")

/* --- save -------------------------------------------------------------------------- */

static void put_be(GByteArray *out, uint64_t v, unsigned size)
{
    uint8_t buf[8];

    store_be64(buf, v);
    g_byte_array_append(out, buf + 8 - size, size);
}

static void save_section(const State *st, void *dev, GByteArray *out);

static void save_field(const StateField *f, void *dev, GByteArray *out)
{
    uint8_t *at = (uint8_t *)dev + f->offset;

    switch (f->kind) {
    case STATE_KIND_UINT:
        for (unsigned i = 0; i < f->n; i++) {
            put_be(out, load_le(at + i * f->size, f->size), f->size);
        }
        break;
    case STATE_KIND_BOOL:
        put_be(out, *(bool *)at, 1);
        break;
    case STATE_KIND_TIMER:
        put_be(out, timer_expire_ns((Timer *)at), 8);
        break;
    case STATE_KIND_STRUCT:
        for (unsigned i = 0; i < f->n; i++) {
            save_section(f->sub, at + i * f->size, out);
        }
        break;
    case STATE_KIND_BYTES:
        g_byte_array_append(out, at, f->size);
        break;
    case STATE_KIND_BUFFER:
    case STATE_KIND_BLOCK: {
        uint32_t used = *(uint32_t *)((char *)dev + f->count_offset);

        put_be(out, used, 4);
        g_byte_array_append(out, *(uint8_t **)at, used);
        break;
    }
    }
}

static void save_section(const State *st, void *dev, GByteArray *out)
{
    if (st->pre_save) {
        st->pre_save(dev);
    }
    put_be(out, strlen(st->name), 1);
    g_byte_array_append(out, (const uint8_t *)st->name, strlen(st->name));
    put_be(out, st->version, 4);
    for (const StateField *f = st->fields; f && f->name; f++) {
        save_field(f, dev, out);
    }
    for (const State *const *sub = st->subsections; sub && *sub; sub++) {
        if (!(*sub)->needed || (*sub)->needed(dev)) {
            put_be(out, 1, 1);
            save_section(*sub, dev, out);
        }
    }
    put_be(out, 0, 1);
}

void state_save(const State *st, void *dev, GByteArray *out)
{
    save_section(st, dev, out);
}

/* --- load --------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at;
    size_t left;
    GError **err;
} In;

static bool refuse(In *in, const State *st, const char *why)
{
    if (in->err && !*in->err) {
        g_set_error(in->err, STATE_ERROR, 0, "state of '%s': %s", st->name,
                    why);
    }
    return false;
}

static bool get_bytes(In *in, const State *st, void *to, size_t n)
{
    if (in->left < n) {
        return refuse(in, st, "the stream ends too soon");
    }
    memcpy(to, in->at, n);
    in->at += n;
    in->left -= n;
    return true;
}

static bool get_be(In *in, const State *st, uint64_t *v, unsigned size)
{
    uint8_t buf[8] = { 0 };

    if (!get_bytes(in, st, buf + 8 - size, size)) {
        return false;
    }
    *v = load_be64(buf);
    return true;
}

static bool load_section(In *in, const State *st, void *dev);

static bool load_field(In *in, const State *st, const StateField *f, void *dev)
{
    uint8_t *at = (uint8_t *)dev + f->offset;
    uint64_t v;

    switch (f->kind) {
    case STATE_KIND_UINT:
        for (unsigned i = 0; i < f->n; i++) {
            if (!get_be(in, st, &v, f->size)) {
                return false;
            }
            store_le(at + i * f->size, f->size, v);
        }
        return true;
    case STATE_KIND_BOOL:
        if (!get_be(in, st, &v, 1)) {
            return false;
        }
        *(bool *)at = v != 0;
        return true;
    case STATE_KIND_TIMER:
        if (!get_be(in, st, &v, 8)) {
            return false;
        }
        if ((int64_t)v == INT64_MAX) {
            timer_del((Timer *)at);
        } else {
            timer_mod((Timer *)at, (int64_t)v);
        }
        return true;
    case STATE_KIND_STRUCT:
        for (unsigned i = 0; i < f->n; i++) {
            if (!load_section(in, f->sub, at + i * f->size)) {
                return false;
            }
        }
        return true;
    case STATE_KIND_BYTES:
        return get_bytes(in, st, at, f->size);
    case STATE_KIND_BUFFER:
        if (!get_be(in, st, &v, 4)) {
            return false;
        }
        if (v > f->max) {
            return refuse(in, st, "a buffer is larger than it can be");
        }
        *(uint32_t *)((char *)dev + f->count_offset) = v;
        return get_bytes(in, st, *(uint8_t **)at, v);
    case STATE_KIND_BLOCK:
        if (!get_be(in, st, &v, 4)) {
            return false;
        }
        if (v != *(uint32_t *)((char *)dev + f->count_offset)) {
            return refuse(in, st, "a block is not of this device's size");
        }
        return get_bytes(in, st, *(uint8_t **)at, v);
    }
    return false;
}

static bool load_header(In *in, const State *st, char name[256],
                        uint64_t *version)
{
    uint64_t len;

    if (!get_be(in, st, &len, 1) || !get_bytes(in, st, name, len)
        || !get_be(in, st, version, 4)) {
        return false;
    }
    name[len] = '\0';
    return true;
}

static bool load_body(In *in, const State *st, void *dev, uint64_t version)
{
    uint64_t more;
    char name[256];

    if (version > (uint64_t)st->version
        || version < (uint64_t)st->min_version) {
        return refuse(in, st, "a version that this build does not know");
    }
    for (const StateField *f = st->fields; f && f->name; f++) {
        if (!load_field(in, st, f, dev)) {
            return false;
        }
    }
    for (;;) {
        const State *const *sub = st->subsections;

        if (!get_be(in, st, &more, 1)) {
            return false;
        }
        if (!more) {
            break;
        }
        if (!load_header(in, st, name, &version)) {
            return false;
        }
        while (sub && *sub && strcmp((*sub)->name, name)) {
            sub++;
        }
        if (!sub || !*sub) {
            return refuse(in, st, "an unknown subsection");
        }
        if (!load_body(in, *sub, dev, version)) {
            return false;
        }
    }
    return !st->post_load || st->post_load(dev, version, in->err)
           || refuse(in, st, "the values contradict each other");
}

static bool load_section(In *in, const State *st, void *dev)
{
    char name[256];
    uint64_t version;

    if (!load_header(in, st, name, &version)) {
        return false;
    }
    if (strcmp(name, st->name)) {
        return refuse(in, st, "another device's state");
    }
    return load_body(in, st, dev, version);
}

bool state_load(const State *st, void *dev, const uint8_t **data, size_t *len,
                GError **err)
{
    g_autoptr(GError) local = NULL;
    In in = { *data, *len, &local };

    if (!load_section(&in, st, dev)) {
        g_propagate_error(err, g_steal_pointer(&local));
        return false;
    }
    *data = in.at;
    *len = in.left;
    return true;
}

/* --- dump ----------------------------------------------------------------------------- */

static void dump(const State *st, void *dev, const char *prefix, GString *out);

static void dump_field(const StateField *f, void *dev, const char *prefix,
                       GString *out)
{
    uint8_t *at = (uint8_t *)dev + f->offset;

    switch (f->kind) {
    case STATE_KIND_UINT:
        g_string_append_printf(out, "%s.%s:", prefix, f->name);
        for (unsigned i = 0; i < f->n; i++) {
            g_string_append_printf(out, " 0x%" PRIx64,
                                   load_le(at + i * f->size, f->size));
        }
        g_string_append_c(out, '\n');
        break;
    case STATE_KIND_BOOL:
        g_string_append_printf(out, "%s.%s: %s\n", prefix, f->name,
                               *(bool *)at ? "true" : "false");
        break;
    case STATE_KIND_TIMER:
        g_string_append_printf(out, "%s.%s: %" PRIi64 " ns\n", prefix, f->name,
                               timer_expire_ns((Timer *)at));
        break;
    case STATE_KIND_STRUCT:
        for (unsigned i = 0; i < f->n; i++) {
            g_autofree char *name = g_strdup_printf("%s.%s[%u]", prefix,
                                                    f->name, i);

            dump(f->sub, at + i * f->size, name, out);
        }
        break;
    case STATE_KIND_BYTES:
    case STATE_KIND_BUFFER:
    case STATE_KIND_BLOCK:
        g_string_append_printf(out, "%s.%s: bytes\n", prefix, f->name);
        break;
    }
}

static void dump(const State *st, void *dev, const char *prefix, GString *out)
{
    for (const StateField *f = st->fields; f && f->name; f++) {
        dump_field(f, dev, prefix, out);
    }
    for (const State *const *sub = st->subsections; sub && *sub; sub++) {
        if (!(*sub)->needed || (*sub)->needed(dev)) {
            dump(*sub, dev, prefix, out);
        }
    }
}

void state_dump(const State *st, void *dev, GString *out)
{
    dump(st, dev, st->name, out);
}
