/*
 * State tables: one table per type gives save, load, a readable dump and the
 * round-trip tests.
 *
 *     static const State apm_state = {
 *         .name = "apm", .version = 1,
 *         .fields = (const StateField[]) {
 *             STATE_U8(Apm, apmc), STATE_U8(Apm, apms), {}
 *         },
 *     };
 *
 * The stream: for each section its name, version and fields, big-endian, in
 * table order; subsections follow, each only when its needed() says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct State State;

typedef enum {
    STATE_KIND_UINT,            /* `size` bytes each, `n` of them */
    STATE_KIND_BOOL,
    STATE_KIND_TIMER,           /* expiry in ns, INT64_MAX when not pending */
    STATE_KIND_STRUCT,          /* `n` of `size` bytes, table `sub` */
    STATE_KIND_BYTES,           /* `size` raw bytes */
    STATE_KIND_BUFFER,          /* uint8_t * with `count_offset` (uint32_t)
                                 * bytes used of at most `max` */
    STATE_KIND_BLOCK,           /* the same, of a size fixed at realize */
} StateKind;

typedef struct StateField {
    const char *name;           /* NULL ends a table */
    StateKind kind;
    size_t offset;
    size_t size;
    unsigned n;
    const State *sub;
    size_t count_offset;
    size_t max;
} StateField;

struct State {
    const char *name;
    int version, min_version;
    const StateField *fields;
    const State *const *subsections;    /* NULL-terminated */
    bool (*needed)(void *dev);          /* subsections */
    void (*pre_save)(void *dev);
    /* Validate what came from outside; false refuses the stream. */
    bool (*post_load)(void *dev, int version, GError **err);
};

#define STATE_CHECK(type, field, ctype) \
    (offsetof(type, field) + 0 * sizeof(&((type *)0)->field == (ctype *)0))
#define STATE_UINT_(t, f, c) { .name = #f, .kind = STATE_KIND_UINT, \
    .offset = STATE_CHECK(t, f, c), .size = sizeof(c), .n = 1 }
#define STATE_U8(t, f)   STATE_UINT_(t, f, uint8_t)
#define STATE_U16(t, f)  STATE_UINT_(t, f, uint16_t)
#define STATE_U32(t, f)  STATE_UINT_(t, f, uint32_t)
#define STATE_U64(t, f)  STATE_UINT_(t, f, uint64_t)
#define STATE_I32(t, f)  STATE_UINT_(t, f, int32_t)
#define STATE_I64(t, f)  STATE_UINT_(t, f, int64_t)
#define STATE_BOOL(t, f) { .name = #f, .kind = STATE_KIND_BOOL, \
    .offset = STATE_CHECK(t, f, bool), .size = 1, .n = 1 }
#define STATE_ARRAY_(t, f, c) { .name = #f, .kind = STATE_KIND_UINT, \
    .offset = offsetof(t, f) \
        + 0 * sizeof(&((t *)0)->f[0] == (c *)0), \
    .size = sizeof(c), .n = G_N_ELEMENTS(((t *)0)->f) }
#define STATE_U8_ARRAY(t, f)  STATE_ARRAY_(t, f, uint8_t)
#define STATE_U16_ARRAY(t, f) STATE_ARRAY_(t, f, uint16_t)
#define STATE_U32_ARRAY(t, f) STATE_ARRAY_(t, f, uint32_t)
#define STATE_U64_ARRAY(t, f) STATE_ARRAY_(t, f, uint64_t)
#define STATE_BYTES(t, f) { .name = #f, .kind = STATE_KIND_BYTES, \
    .offset = offsetof(t, f), .size = sizeof(((t *)0)->f), .n = 1 }
#define STATE_TIMER(t, f) { .name = #f, .kind = STATE_KIND_TIMER, \
    .offset = offsetof(t, f), .n = 1 }
#define STATE_STRUCT(t, f, table) { .name = #f, .kind = STATE_KIND_STRUCT, \
    .offset = offsetof(t, f), .size = sizeof(((t *)0)->f), .n = 1, \
    .sub = (table) }
#define STATE_STRUCT_ARRAY(t, f, table) { .name = #f, \
    .kind = STATE_KIND_STRUCT, .offset = offsetof(t, f), \
    .size = sizeof(((t *)0)->f[0]), .n = G_N_ELEMENTS(((t *)0)->f), \
    .sub = (table) }

/* Append `dev`'s state by `st` to `out`. */
void state_save(const State *st, void *dev, GByteArray *out);
/* Load from *data, advancing it and *len.  False with `err` when the bytes
 * are short, foreign or refused; `dev` is then half loaded: reset it. */
bool state_load(const State *st, void *dev, const uint8_t **data, size_t *len,
                GError **err);
/* "name.field: value" lines. */
void state_dump(const State *st, void *dev, GString *out);

#endif
