/*
 * Indirect jumps inside a page: switch statements, computed gotos.
 *
 * Such a jump needs no jump table: as long as its own page is what is executed,
 * so are the page's other blocks, just as for direct jumps.  A page that has
 * one gets a table with a place for each of its bytes: where the block's code
 * is entered with flags in cc_raw, or a thunk that comes to jit_near().  A
 * block that becomes stale is taken out of its page's table.
 *
 * The compare with which the jump finds that its target is in the page is the
 * poll: env->jit_go is the size of a page, or 0.
 *
 * Locks: the cache mutex; compiled code reads tables without.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

struct JitNear {
    void *code[PAGE_BYTES];
    JitNear *next;
    uint64_t ram_addr;          /* of the page */
    uint32_t mode;
};

enum {
    BUCKETS = 64,
    SHARE = 8,                  /* of the code cache, at most, is tables */
    ROOM_BYTES = 64 * KiB,      /* is left to the block that is compiled */
};

static JitNear *tables[BUCKETS];        /* writable view */
static uint64_t n_bytes;

static JitNear **bucket(uint64_t ram_addr)
{
    return &tables[ram_addr / PAGE_BYTES % BUCKETS];
}

static void *executable(const void *rw)
{
    return jit_space.rx + ((const uint8_t *)rw - jit_space.rw);
}

static JitNear *find(uint64_t ram_addr, uint32_t mode)
{
    JitNear *t = *bucket(ram_addr);

    while (t && (t->ram_addr != PAGE_START(ram_addr) || t->mode != mode)) {
        t = t->next;
    }
    return t;
}

void jit_near_flush(void)
{
    memset(tables, 0, sizeof(tables));
    n_bytes = 0;
}

/* Has the interpreter seen such a jump of the page stay in it?  It need not have
 * linked each of them. */
static bool seen(const Block *b)
{
    for (const Block *p = b->page->blocks; p; p = p->page_next) {
        if (p->mode == b->mode && p->insns[p->n_insns - 1].op == OP_JMP_RM
            && __atomic_load_n(&p->link[0], __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

JitNear *jit_near_table(const Block *b)
{
    JitNear *t;

    if (jit_options.no_chain || !b->page) {
        return NULL;
    }
    t = find(b->ram_addr, b->mode);
    if (!t && n_bytes + sizeof(*t) <= jit_space.size / SHARE && seen(b)
        && jit_space.data - jit_space.cold
           >= ROOM_BYTES + (ptrdiff_t)sizeof(*t)) {
        JitNear **first = bucket(b->ram_addr);

        t = jit_alloc(sizeof(*t));
        n_bytes += sizeof(*t);
        t->ram_addr = PAGE_START(b->ram_addr);
        t->mode = b->mode;
        for (unsigned i = 0; i < PAGE_BYTES; i++) {
            t->code[i] = executable(jit_space.near_miss);
        }
        t->next = *first;
        *first = t;
    }
    return t;
}

void jit_near_killed(const Block *b)
{
    JitNear *t = find(b->ram_addr, b->mode);

    if (t) {
        __atomic_store_n(&t->code[b->off], executable(jit_space.near_miss),
                         __ATOMIC_RELEASE);
    }
}

void *jit_near_cold(const void *table, unsigned off)
{
    JitNear *t = (JitNear *)(jit_space.rw
                             + ((const uint8_t *)table - jit_space.rx));
    const Block *b;
    void *code = NULL;

    cache_lock();
    b = block_find(t->ram_addr + off, t->mode);
    if (b && !b->stale && b->jit && !block_unsure(b)) {
        code = executable(b->jit->entry_e);
        __atomic_store_n(&t->code[off], code, __ATOMIC_RELEASE);
    }
    cache_unlock();
    return code;
}
