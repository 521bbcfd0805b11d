/*
 * A window into a scatter list: what a request's bytes are, by value.
 *
 * The list and the memory stay the caller's; a window is three words and is
 * cut by iov_slice() without copying.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BASE_IOV_H
#define BASE_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct IoVec {
    const struct iovec *v;      /* not owned */
    unsigned n;
    size_t at;                  /* the window starts so many bytes into v[0] */
} IoVec;

/* All of `n` elements; a window's bytes are counted by the request. */
static inline IoVec iov_all(const struct iovec *v, unsigned n)
{
    return (IoVec) { v, n, 0 };
}

/* The window from `skip` bytes on, which must be within it. */
IoVec iov_slice(IoVec w, size_t skip);
size_t iov_bytes(IoVec w);
/* Copy `len` bytes out of or into the window; fewer when it is shorter.
 * Returns what was copied. */
size_t iov_get(IoVec w, void *buf, size_t len);
size_t iov_put(IoVec w, const void *buf, size_t len);
size_t iov_fill(IoVec w, int byte, size_t len);
/* Are the first `len` bytes zero? */
bool iov_is_zero(IoVec w, size_t len);
bool mem_is_zero(const void *buf, size_t len);
/* Every element's address and length a multiple of `align`, in `len` bytes? */
bool iov_is_aligned(IoVec w, size_t len, size_t align);
/* At most `max` elements for the first `len` bytes in `out`; *got is how many
 * bytes they hold, the count of elements is returned. */
unsigned iov_take(IoVec w, size_t len, struct iovec *out, unsigned max,
                  size_t *got);

#endif
