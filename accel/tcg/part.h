/*
 * Parts of a page that a block is made of.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_PART_H
#define TCG_PART_H

#include "accel/tcg/tcg.h"

/* The lines that [offset, offset + len) of a page touches. */
static inline uint64_t line_mask(unsigned offset, unsigned len)
{
    unsigned first = offset / LINE_BYTES;
    unsigned last = (offset + len - 1) / LINE_BYTES;

    return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (63 - last));
}

static inline bool part_touches(unsigned off, unsigned len, unsigned start,
                                unsigned end)
{
    return off < end && off + len > start;
}

/* Does the block overlap [start, end) of its page? */
static inline bool block_touches(const Block *b, unsigned start, unsigned end)
{
    bool yes = part_touches(b->off, b->len, start, end);

    for (unsigned i = 0; i < b->n_more; i++) {
        yes |= part_touches(b->more[i].off, b->more[i].len, start, end);
    }
    return yes;
}

static inline uint64_t parts_mask(const BlockPart *p, unsigned n)
{
    uint64_t lines = 0;

    while (n--) {
        lines |= line_mask(p[n].off, p[n].len);
    }
    return lines;
}

/* Are `bytes` what the parts of a page hold? */
static inline bool parts_agree(const uint8_t *hva, const BlockPart *p,
                               unsigned n, const uint8_t *bytes)
{
    for (unsigned i = 0; i < n; bytes += p[i++].len) {
        if (!guest_equal(hva + p[i].off, bytes, p[i].len)) {
            return false;
        }
    }
    return true;
}

static inline unsigned parts_bytes(const BlockPart *p, unsigned n)
{
    unsigned bytes = 0;

    while (n--) {
        bytes += p[n].len;
    }
    return bytes;
}

#endif
