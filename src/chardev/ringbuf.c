/*
 * Back end "ringbuf": keeps the last bytes written in memory, for the control
 * protocol to read.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev-private.h"

#define RING_DEFAULT    (64 * KiB)
#define RING_MAX        GiB

typedef struct Ringbuf {
    Chardev chr;
    uint8_t *data;
    size_t size;                /* a power of two */
    uint64_t produced, consumed;        /* bytes since the beginning */
} Ringbuf;

static Ringbuf *ring_of(Chardev *chr)
{
    return container_of(chr, Ringbuf, chr);
}

static bool ring_open(Chardev *chr, Opt *dict, GError **err)
{
    Ringbuf *s = ring_of(chr);
    uint64_t size = RING_DEFAULT;

    if (!opt_get_size(dict, "size", &size, 1, err)) {
        return false;
    }
    if (size == 0 || size > RING_MAX || (size & (size - 1))) {
        return chr_error(err, "chardev '%s': size=%" PRIu64 ": a power of two "
                         "up to 1G is accepted", chr->id, size);
    }
    s->size = size;
    s->data = g_try_malloc(size);
    return s->data || chr_error(err, "chardev '%s': no memory for size=%"
                                PRIu64, chr->id, size);
}

static void ring_close(Chardev *chr)
{
    g_free(ring_of(chr)->data);
}

static size_t ring_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    Ringbuf *s = ring_of(chr);

    for (size_t i = 0; i < len; i++) {
        s->data[s->produced++ & (s->size - 1)] = buf[i];
    }
    if (s->produced - s->consumed > s->size) {
        s->consumed = s->produced - s->size;    /* the oldest are lost */
    }
    return len;
}

GByteArray *chr_ringbuf_take(Chardev *chr, size_t max)
{
    GByteArray *out;
    Ringbuf *s;

    if (chr->ops != &chr_ringbuf) {
        return NULL;
    }
    s = ring_of(chr);
    out = g_byte_array_new();
    while (s->consumed < s->produced && out->len < max) {
        g_byte_array_append(out, &s->data[s->consumed++ & (s->size - 1)], 1);
    }
    return out;
}

static const char *const ring_keys[] = { "size", NULL };

const CharBackend chr_ringbuf = {
    .name = "ringbuf", .keys = ring_keys, .size = sizeof(Ringbuf),
    .open = ring_open, .close = ring_close, .write = ring_write,
};
