/*
 * "memory-backend-ram" and "memory-backend-memfd": how the machine's RAM is to
 * be had from the host.  The RAM itself is the machine's.
 *
 *     -object memory-backend-memfd,id=m,size=1G -machine memory-backend=m
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_MEMORY_BACKEND_H
#define CORE_MEMORY_BACKEND_H

#include "core/user-object.h"

typedef struct MemoryBackend {
    Object obj;
    uint64_t size_bytes;        /* properties */
    bool share, merge, dump, prealloc, reserve, seal, hugetlb, ramblock_id;
} MemoryBackend;

extern const Type memory_backend_type;  /* abstract */

#endif
