/*
 * Windows into scatter lists; see base/iov.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/iov.h"

#include <string.h>

#include "base/bits.h"

IoVec iov_slice(IoVec w, size_t skip)
{
    while (w.n && skip >= w.v->iov_len - w.at) {
        skip -= w.v->iov_len - w.at;
        w = (IoVec) { w.v + 1, w.n - 1, 0 };
    }
    w.at += skip;
    return w;
}

size_t iov_bytes(IoVec w)
{
    size_t sum = 0;

    for (unsigned i = 0; i < w.n; i++) {
        sum += w.v[i].iov_len;
    }
    return sum - w.at;
}

/* The next piece of at most `len` bytes; the window moves behind it. */
static size_t next(IoVec *w, size_t len, uint8_t **at)
{
    while (w->n && w->v->iov_len == w->at) {
        *w = (IoVec) { w->v + 1, w->n - 1, 0 };
    }
    if (!w->n) {
        return 0;
    }
    len = MIN(len, w->v->iov_len - w->at);
    *at = (uint8_t *)w->v->iov_base + w->at;
    w->at += len;
    return len;
}

size_t iov_get(IoVec w, void *buf, size_t len)
{
    size_t done = 0, n;
    uint8_t *at;

    while (done < len && (n = next(&w, len - done, &at))) {
        memcpy((uint8_t *)buf + done, at, n);
        done += n;
    }
    return done;
}

size_t iov_put(IoVec w, const void *buf, size_t len)
{
    size_t done = 0, n;
    uint8_t *at;

    while (done < len && (n = next(&w, len - done, &at))) {
        memcpy(at, (const uint8_t *)buf + done, n);
        done += n;
    }
    return done;
}

size_t iov_fill(IoVec w, int byte, size_t len)
{
    size_t done = 0, n;
    uint8_t *at;

    while (done < len && (n = next(&w, len - done, &at))) {
        memset(at, byte, n);
        done += n;
    }
    return done;
}

bool mem_is_zero(const void *buf, size_t len)
{
    const uint8_t *p = buf;

    /* The first bytes by hand, the rest by comparing it with itself. */
    for (size_t i = 0; i < 16; i++) {
        if (i == len) {
            return true;
        }
        if (p[i]) {
            return false;
        }
    }
    return !memcmp(p, p + 16, len - 16);
}

bool iov_is_zero(IoVec w, size_t len)
{
    size_t n;
    uint8_t *at;

    for (; len && (n = next(&w, len, &at)); len -= n) {
        if (!mem_is_zero(at, n)) {
            return false;
        }
    }
    return true;
}

bool iov_is_aligned(IoVec w, size_t len, size_t align)
{
    size_t n;
    uint8_t *at;

    for (; len && (n = next(&w, len, &at)); len -= n) {
        if (((uintptr_t)at | n) & (align - 1)) {
            return false;
        }
    }
    return true;
}

unsigned iov_take(IoVec w, size_t len, struct iovec *out, unsigned max,
                  size_t *got)
{
    unsigned i = 0;
    size_t n;
    uint8_t *at;

    *got = 0;
    for (; i < max && len && (n = next(&w, len, &at)); i++, len -= n) {
        out[i] = (struct iovec) { at, n };
        *got += n;
    }
    return i;
}
