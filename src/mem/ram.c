/*
 * RAM blocks and their dirty log.
 *
 * The table of blocks is an immutable array behind a pointer, replaced as a
 * whole when a block comes or goes, so that looking a host pointer up needs no
 * lock (QSBR).
 *
 * Locks: blocks come and go under the machine lock; the dirty log is atomic.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/mem.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/qsbr.h"
#include "private.h"

#define PAGE_BYTES 4096
#define HUGE_BYTES (2 * MiB)

RamPolicy ram_policy = { .merge = true, .dump = true };

typedef struct RamTable {
    unsigned n;
    RamBlock *block[];
} RamTable;

static RamTable *table;         /* (A) */
static GMutex table_mutex;      /* writers; readers are lock-free */
static uint64_t next_ram_addr;

/* A copy of the table with `add` added or `drop` left out; call with mutex. */
static void table_replace(RamBlock *add, RamBlock *drop)
{
    unsigned n = table ? table->n : 0;
    RamTable *old = table;
    RamTable *new = g_malloc0(sizeof(*new) + (n + 1) * sizeof(RamBlock *));

    for (unsigned i = 0; i < n; i++) {
        if (old->block[i] != drop) {
            new->block[new->n++] = old->block[i];
        }
    }
    if (add) {
        new->block[new->n++] = add;
    }
    __atomic_store_n(&table, new, __ATOMIC_RELEASE);
    if (old) {
        qsbr_defer(g_free, old);
    }
}

/*
 * Reserve and align so that huge pages can back the block from its first
 * byte; what is cut off at both ends goes back.
 */
static uint8_t *map_anonymous(uint64_t size_bytes)
{
    uint64_t span = size_bytes + HUGE_BYTES;
    uint8_t *raw, *start;

    if (size_bytes < HUGE_BYTES) {
        raw = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return raw == MAP_FAILED ? NULL : raw;
    }
    raw = mmap(NULL, span, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
        return NULL;
    }
    start = (uint8_t *)ALIGN_UP((uintptr_t)raw, HUGE_BYTES);
    if (start > raw) {
        munmap(raw, start - raw);
    }
    if (raw + span > start + size_bytes) {
        munmap(start + size_bytes, raw + span - (start + size_bytes));
    }
    madvise(start, size_bytes, MADV_HUGEPAGE);
    return start;
}

static uint8_t *map_memfd(const char *name, uint64_t size_bytes, int *fd)
{
    uint8_t *host;

    *fd = memfd_create(name, MFD_CLOEXEC);
    if (*fd < 0) {
        return NULL;
    }
    if (ftruncate(*fd, size_bytes) < 0) {
        close(*fd);
        return NULL;
    }
    host = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (host == MAP_FAILED) {
        close(*fd);
        return NULL;
    }
    return host;
}

RamBlock *ram_new(const char *name, uint64_t size_bytes, bool readonly,
                  GError **err)
{
    g_autofree RamBlock *rb = g_new0(RamBlock, 1);
    bool shared = ram_policy.shared && !readonly;

    size_bytes = ALIGN_UP(size_bytes, PAGE_BYTES);
    rb->fd = -1;
    rb->host = size_bytes == 0 ? NULL
               : shared ? map_memfd(name, size_bytes, &rb->fd)
               : map_anonymous(size_bytes);
    if (!rb->host) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
                    "cannot set up guest memory '%s' of %" PRIu64 " bytes: %s",
                    name, size_bytes, g_strerror(errno));
        return NULL;
    }
    if (ram_policy.merge && !shared && !readonly) {
        madvise(rb->host, size_bytes, MADV_MERGEABLE);
    }
    if (!ram_policy.dump) {
        madvise(rb->host, size_bytes, MADV_DONTDUMP);
    }
    if (ram_policy.prealloc && !readonly) {
        madvise(rb->host, size_bytes, MADV_POPULATE_WRITE);
    }
    rb->name = g_strdup(name);
    rb->size_bytes = size_bytes;
    rb->readonly = readonly;
    rb->refs = 1;
    rb->dirty = g_malloc(size_bytes / PAGE_BYTES);
    memset(rb->dirty, DIRTY_ALL, size_bytes / PAGE_BYTES);
    g_mutex_lock(&table_mutex);
    rb->ram_addr = next_ram_addr;
    next_ram_addr += size_bytes;
    table_replace(rb, NULL);
    g_mutex_unlock(&table_mutex);
    return g_steal_pointer(&rb);
}

void ram_ref(RamBlock *rb)
{
    __atomic_add_fetch(&rb->refs, 1, __ATOMIC_RELAXED);
}

static void ram_free(gpointer opaque)
{
    RamBlock *rb = opaque;

    munmap(rb->host, rb->size_bytes);
    if (rb->fd >= 0) {
        close(rb->fd);
    }
    g_free(rb->dirty);
    g_free(rb->name);
    g_free(rb);
}

void ram_unref(RamBlock *rb)
{
    if (__atomic_sub_fetch(&rb->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        g_mutex_lock(&table_mutex);
        table_replace(NULL, rb);
        g_mutex_unlock(&table_mutex);
        qsbr_defer(ram_free, rb);
    }
}

RamBlock *ram_from_host(const void *hva, uint64_t *offset)
{
    const RamTable *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; t && i < t->n; i++) {
        uint64_t off = (const uint8_t *)hva - t->block[i]->host;

        if (off < t->block[i]->size_bytes) {
            *offset = off;
            return t->block[i];
        }
    }
    return NULL;
}

void ram_foreach(void (*fn)(RamBlock *rb, void *opaque), void *opaque)
{
    const RamTable *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; t && i < t->n; i++) {
        fn(t->block[i], opaque);
    }
}

/* --- dirty log ---------------------------------------------------------------- */

uint8_t *ram_dirty_byte(RamBlock *rb, uint64_t offset)
{
    return &rb->dirty[offset / PAGE_BYTES];
}

static void tell_code_written(RamBlock *rb, uint64_t offset, uint64_t len)
{
    for (unsigned i = 0; i < as_memory.listeners->len; i++) {
        MemListener *l = g_ptr_array_index(as_memory.listeners, i);

        if (l->code_written) {
            l->code_written(l, rb, offset, len);
        }
    }
}

static void tell_dirty_cleared(RamBlock *rb, uint64_t offset, uint64_t len)
{
    for (unsigned i = 0; i < as_memory.listeners->len; i++) {
        MemListener *l = g_ptr_array_index(as_memory.listeners, i);

        if (l->dirty_cleared) {
            l->dirty_cleared(l, rb, offset, len);
        }
    }
}

void ram_mark_dirty(RamBlock *rb, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len;

    for (uint64_t at = offset; at < end;
         at = ALIGN_DOWN(at, PAGE_BYTES) + PAGE_BYTES) {
        uint8_t *byte = ram_dirty_byte(rb, at);
        /* A full barrier: whoever translates code clears its bit first and
         * reads the bytes afterwards. */
        uint8_t now = __atomic_fetch_or(byte, DIRTY_VGA | DIRTY_MIGRATION,
                                        __ATOMIC_SEQ_CST);

        if (!(now & DIRTY_CODE)) {
            uint64_t stop = MIN(end, ALIGN_DOWN(at, PAGE_BYTES) + PAGE_BYTES);

            tell_code_written(rb, at, stop - at);
        }
    }
}

static void sync_dirty(RamBlock *rb, uint64_t offset, uint64_t len)
{
    for (unsigned i = 0; i < as_memory.listeners->len; i++) {
        MemListener *l = g_ptr_array_index(as_memory.listeners, i);

        if (l->dirty_sync) {
            l->dirty_sync(l, rb, offset, len);
        }
    }
}

bool ram_test_clear_dirty(RamBlock *rb, uint64_t offset, uint64_t len,
                          DirtyClient client)
{
    uint64_t end = MIN(offset + len, rb->size_bytes);
    bool dirty = false;

    if (client != DIRTY_CODE) {
        sync_dirty(rb, offset, end > offset ? end - offset : 0);
    }
    for (uint64_t at = ALIGN_DOWN(offset, PAGE_BYTES); at < end;
         at += PAGE_BYTES) {
        uint8_t *byte = ram_dirty_byte(rb, at);

        if (__atomic_load_n(byte, __ATOMIC_RELAXED) & client) {
            __atomic_and_fetch(byte, ~client, __ATOMIC_ACQ_REL);
            dirty = true;
        }
    }
    if (dirty && client != DIRTY_CODE) {
        tell_dirty_cleared(rb, offset, len);
    }
    return dirty;
}
