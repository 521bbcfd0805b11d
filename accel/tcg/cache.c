/*
 * Decoded blocks, shared by all vCPUs.
 *
 * A block is up to 64 instructions of one page of RAM, keyed by the RAM's own
 * address (so aliases share it and changes of the memory map leave it alone)
 * and the decode mode.  Looking up takes no lock; making and invalidating take
 * the cache mutex.
 *
 * Against stores (invariants 2 and 3 of tcg.h):
 *   - who stores to a page with code stores first, then reads the page's map of
 *     lines; who makes a block sets its lines first, then compares the bytes
 *     it decoded with memory.  Both are read-modify-writes of the same word,
 *     so one of them sees the other;
 *   - stores through write tags that are older than the page's first block are
 *     caught by comparing all its blocks once the tags are gone.
 *
 * An instruction that crosses a page ends its block, which belongs to its first
 * page; what lies in the second is compared at each use.  One that lies outside
 * RAM, or crosses a page in code that is not flat, has no shared block: each
 * vCPU keeps a few of those and compares all their bytes.
 *
 * Locks: cache mutex for everything but lookups.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include "accel/tcg/draft.h"
#include "accel/tcg/part.h"
#include "base/log-filter.h"
#include "base/log.h"
#include "base/qsbr.h"

enum {
    PAGE_HASH_BITS = 13,
    IDLE_WRITES_MAX = 16,       /* a page without blocks is given up then */
    CROSS_MISSES_MAX = 64,      /* of a page; then no block leaves it */
};

static GMutex mutex;
Block *cache_blocks[1 << BLOCK_HASH_BITS];              /* (A) */
static CodePage *pages[1 << PAGE_HASH_BITS];            /* (A) */
static GQueue page_fifo = G_QUEUE_INIT;                 /* oldest first */
static uint64_t n_blocks, n_bytes, max_bytes = 32 * MiB;

uint64_t cache_n_invalidated;
uint32_t cache_n_published;

/* --- tables --------------------------------------------------------------- */

static CodePage **page_slot(uint64_t ram_addr)
{
    return &pages[((ram_addr >> 12) * UINT64_C(0x9e3779b97f4a7c15))
                  >> (64 - PAGE_HASH_BITS)];
}

static CodePage *page_find(uint64_t ram_addr)
{
    CodePage *p = __atomic_load_n(page_slot(ram_addr), __ATOMIC_ACQUIRE);

    while (p && p->ram_addr != ram_addr) {
        p = __atomic_load_n(&p->hash_next, __ATOMIC_ACQUIRE);
    }
    return p;
}

static size_t block_bytes(unsigned n_insns, unsigned len)
{
    return sizeof(Block) + (n_insns + 1) * sizeof(Insn)
           + n_insns * sizeof(uint32_t) + len;
}

/* --- instructions of our own ---------------------------------------------- */

/* Past the last instruction of a block that did not jump. */
static const Insn *run_end(Env *env, const Insn *insn)
{
    uint64_t rip = insn_next_rip(env, insn);

    env->budget++;              /* this was none */
    return insn_jump(env, insn, env->mode & DM_CODE64 ? rip : (uint32_t)rip);
}

/* In the place of every instruction of a stale block. */
static const Insn *run_stale(Env *env, const Insn *insn)
{
    env->s.rip = insn_rip(env, insn);
    return NULL;
}

/* The end after `last`: its off and len give the next RIP. */
static void make_end(Insn *end, const Insn *last)
{
    *end = (Insn) { .fn = run_end, .off = last->off, .len = last->len };
}

/* --- invalidation; all under the mutex ------------------------------------ */

static void block_unhash(Block *b)
{
    Block **at = &cache_blocks[block_hash(b->ram_addr, b->mode)];

    while (*at != b) {
        at = &(*at)->hash_next;
    }
    __atomic_store_n(at, b->hash_next, __ATOMIC_RELEASE);
}

/* `b` has been taken off its page's list. */
static void block_kill(Block *b)
{
    if (!b->is_longer) {
        block_unhash(b);
        if (b->longer) {
            b->longer->shorter = NULL;
        }
    } else if (b->shorter) {
        b->shorter->longer = NULL;
    }
    __atomic_store_n(&b->stale, true, __ATOMIC_RELEASE);
    b->jit_fn0 = run_stale;
    for (unsigned i = 0; i < b->n_insns; i++) {
        __atomic_store_n(&b->insns[i].fn, run_stale, __ATOMIC_RELEASE);
    }
    for (Block *o = b->page->blocks; o; o = o->page_next) {
        for (unsigned i = 0; i < 2; i++) {
            if (o->link[i] == b) {
                __atomic_store_n(&o->link[i], NULL, __ATOMIC_RELEASE);
            }
        }
    }
    jit_block_killed(b);
    n_blocks--;
    n_bytes -= block_bytes(b->n_insns, b->len + b->n_tail
                                       + parts_bytes(b->more, b->n_more));
    __atomic_add_fetch(&cache_n_invalidated, 1, __ATOMIC_RELEASE);
    qsbr_defer(g_free, b);
}

/* Drop the page's blocks that overlap [start, end), or no longer agree. */
static void page_invalidate(CodePage *p, unsigned start, unsigned end,
                            bool compare)
{
    uint64_t lines = 0;
    Block **at = &p->blocks;

    while (*at) {
        Block *b = *at;

        if (compare ? !block_agrees(b)
            : block_touches(b, start, end)) {
            *at = b->page_next;
            block_kill(b);
        } else {
            lines |= line_mask(b->off, b->len)
                     | parts_mask(b->more, b->n_more);
            at = &b->page_next;
        }
    }
    __atomic_store_n(&p->lines, lines, __ATOMIC_SEQ_CST);
    if (!p->blocks) {
        __atomic_store_n(&p->jit_base, JIT_BASE_NONE, __ATOMIC_RELEASE);
    }
}

/* The page holds no code any more: stores may go straight to it again. */
static void page_release(CodePage *p)
{
    CodePage **at = page_slot(p->ram_addr);

    page_invalidate(p, 0, PAGE_BYTES, false);
    while (*at != p) {
        at = &(*at)->hash_next;
    }
    __atomic_store_n(at, p->hash_next, __ATOMIC_RELEASE);
    g_queue_unlink(&page_fifo, &p->fifo);
    __atomic_or_fetch(ram_dirty_byte(p->rb, p->rb_offset), DIRTY_CODE,
                      __ATOMIC_SEQ_CST);
    p->dead = true;
    if (!p->n_acks) {
        qsbr_defer(g_free, p);
    }
}

static void page_written(CodePage *p, unsigned offset, unsigned len)
{
    if (p->dead) {
        return;
    }
    /* Others' barriers are dummy writes. */
    if (__atomic_load_n(&p->lines, __ATOMIC_RELAXED) & line_mask(offset, len)) {
        page_invalidate(p, offset, offset + len, false);
    } else if (!p->blocks && ++p->n_idle_writes > IDLE_WRITES_MAX) {
        page_release(p);
    }
}

void cache_written(RamBlock *rb, uint64_t offset, uint64_t len)
{
    while (len) {
        unsigned at = PAGE_OFFSET(offset);
        unsigned n = MIN(len, PAGE_BYTES - at);
        CodePage *p = page_find(rb->ram_addr + offset - at);

        if (p) {
            uint64_t lines = __atomic_fetch_or(&p->lines, 0,
                                               __ATOMIC_SEQ_CST);

            if (!lines || lines & line_mask(at, n)) {
                g_mutex_lock(&mutex);
                page_written(p, at, n);
                g_mutex_unlock(&mutex);
            }
        }
        offset += n;
        len -= n;
    }
}

void cache_written_foreign(RamBlock *rb, uint64_t offset, uint64_t len)
{
    g_mutex_lock(&mutex);
    while (len) {
        unsigned at = PAGE_OFFSET(offset);
        unsigned n = MIN(len, PAGE_BYTES - at);
        CodePage *p = page_find(rb->ram_addr + offset - at);

        if (p) {
            /* The full barrier of invariant 2, between stores and lines. */
            __atomic_fetch_or(&p->lines, 0, __ATOMIC_SEQ_CST);
            page_written(p, at, n);
        }
        offset += n;
        len -= n;
    }
    g_mutex_unlock(&mutex);
}

void cache_page_acked(CodePage *p)
{
    g_mutex_lock(&mutex);
    if (p->n_acks == 1 && !p->dead) {
        page_invalidate(p, 0, 0, true);
    }
    if (!__atomic_sub_fetch(&p->n_acks, 1, __ATOMIC_RELEASE) && p->dead) {
        qsbr_defer(g_free, p);
    }
    g_mutex_unlock(&mutex);
}

bool block_agrees(const Block *b)
{
    return guest_equal(b->page->hva + b->off, b->bytes, b->len)
           && parts_agree(b->page->hva, b->more, b->n_more,
                          b->bytes + b->len);
}

/* --- making --------------------------------------------------------------- */

/* The page's record, made if need be; under the mutex, by a vCPU that is at a
 * safe point itself. */
static CodePage *page_get(TcgCpu *t, const FetchEntry *f)
{
    CodePage *p = page_find(f->rb->ram_addr + f->rb_offset), **slot;

    if (p) {
        return p;
    }
    p = g_new0(CodePage, 1);
    p->rb = f->rb;
    p->rb_offset = f->rb_offset;
    p->ram_addr = f->rb->ram_addr + f->rb_offset;
    p->hva = f->hva;
    p->fifo.data = p;
    g_queue_push_tail_link(&page_fifo, &p->fifo);

    /* From here on nobody gets a new write tag; then the old ones go. */
    __atomic_and_fetch(ram_dirty_byte(p->rb, p->rb_offset), ~DIRTY_CODE,
                       __ATOMIC_SEQ_CST);
    DropRequest req = { .start = p->hva, .len = PAGE_BYTES, .page = p };
    mmu_drop_writes(t, &req);
    p->n_acks = tcg_request_drop(t, &req);

    slot = page_slot(p->ram_addr);
    p->hash_next = *slot;
    __atomic_store_n(slot, p, __ATOMIC_RELEASE);
    return p;
}

static void evict(const CodePage *spare)
{
    GList *oldest;

    while (n_bytes > max_bytes && (oldest = page_fifo.head)) {
        CodePage *p = oldest->data;

        if (p == spare) {
            if (page_fifo.length == 1) {
                return;
            }
            g_queue_unlink(&page_fifo, &p->fifo);
            g_queue_push_tail_link(&page_fifo, &p->fifo);
            continue;
        }
        page_release(p);
    }
}

static void block_hash_in(Block *b)
{
    Block **slot = &cache_blocks[block_hash(b->ram_addr, b->mode)];

    b->hash_next = *slot;
    __atomic_store_n(slot, b, __ATOMIC_RELEASE);
}

static bool gave_up_crossing(const CodePage *p)
{
    return __atomic_load_n(&p->n_cross_misses, __ATOMIC_RELAXED)
           >= CROSS_MISSES_MAX;
}

/* How much of a draft is in the page that it begins in. */
static unsigned in_page(const Draft *d, unsigned off)
{
    return MIN(d->len, PAGE_BYTES - off);
}

/* The next page's bytes are others than the block's: it goes, so that it will be
 * decoded anew. */
static void cross_missed(const Block *b)
{
    CodePage *p = b->page;

    g_mutex_lock(&mutex);
    if (!b->stale) {
        __atomic_add_fetch(&p->n_cross_misses, 1, __ATOMIC_RELAXED);
        page_invalidate(p, PAGE_BYTES - 1, PAGE_BYTES, false);
    }
    g_mutex_unlock(&mutex);
}

/* In the place of the handler of an instruction that crosses the page. */
static const Insn *run_cross(Env *env, const Insn *insn)
{
    const Block *b = env->block;
    uint64_t next = env->rip_base + PAGE_BYTES;
    const FetchEntry *f = mmu_fetch(env, b->mode & DM_CODE64
                                         ? next : (uint32_t)next);

    if (!f) {
        return insn_fault(env, insn);
    }
    if (!f->hva || !guest_equal(f->hva, b->bytes + b->len, b->n_tail)) {
        cross_missed(b);
        env->s.rip = insn_rip(env, insn);
        return NULL;
    }
    return b->cross_fn(env, insn);
}

static Block *block_new(const Draft *d, CodePage *p, unsigned off,
                        uint32_t mode)
{
    Block *b = g_malloc(block_bytes(d->n, d->n_bytes));
    Insn *last = &b->insns[d->n - 1];

    *b = (Block) {
        .link_off = { UINT32_MAX, UINT32_MAX },
        .n_insns = d->n, .off = off, .len = in_page(d, off),
        .n_tail = d->len - in_page(d, off),
        .ram_addr = p->ram_addr + off, .mode = mode, .page = p,
        .n_more = d->n_more,
    };
    memcpy(b->more, d->more, d->n_more * sizeof(*b->more));
    b->jit_samples = memset(&b->insns[d->n + 1], 0,
                            d->n * sizeof(uint32_t));
    b->bytes = (uint8_t *)&b->jit_samples[d->n];
    memcpy(b->insns, d->insns, d->n * sizeof(Insn));
    make_end(&b->insns[d->n], last);
    memcpy(b->bytes, d->bytes, d->n_bytes);
    if (b->n_tail) {
        b->cross_fn = last->fn;
        last->fn = run_cross;
    }
    b->page_next = p->blocks;
    p->blocks = b;
    p->n_idle_writes = 0;
    n_blocks++;
    n_bytes += block_bytes(d->n, d->n_bytes);
    return b;
}

static void block_published(void)
{
    __atomic_add_fetch(&cache_n_published, 1, __ATOMIC_RELEASE);
}

/* May a block of this mode leave its page?  With the limit of CS far. */
static bool may_cross(uint32_t mode)
{
    return mode & (DM_CODE64 | DM_FLAT);
}

/* NULL: the first instruction leaves the page, or memory will not hold still. */
static Block *block_make(Env *env, const FetchEntry *f, uint64_t gva,
                         uint32_t mode)
{
    unsigned off = PAGE_OFFSET(gva);
    Block *b = NULL;
    Draft d;

    for (unsigned tries = 0; tries < 4 && !b; tries++) {
        CodePage *p;

        p = page_find(f->rb->ram_addr + f->rb_offset);
        draft_make(env, &d, f->hva, gva, mode,
                   may_cross(mode) && !(p && gave_up_crossing(p)), NULL);
        if (!d.n) {
            return NULL;
        }
        g_mutex_lock(&mutex);
        b = block_find(f->rb->ram_addr + f->rb_offset + off, mode);
        /* After a change of the map this RAM may be on its way out, and
         * cache_drop_ram() have been called already: make nothing of it. */
        if (!b && env->tcg->map_gen
                  == __atomic_load_n(&tcg_map_gen, __ATOMIC_SEQ_CST)) {
            p = page_get(env->tcg, f);
            __atomic_fetch_or(&p->lines, line_mask(off, in_page(&d, off)),
                              __ATOMIC_SEQ_CST);
            if (guest_equal(f->hva + off, d.bytes, in_page(&d, off))) {
                b = block_new(&d, p, off, mode);
                jit_block_new(b);
                block_published();
                block_hash_in(b);
                evict(p);
            }
        }
        g_mutex_unlock(&mutex);
    }
    if (b && unlikely(log_mask & (LOG_IN_ASM | LOG_OP))
        && log_filter_has(gva)) {
        draft_log(b, gva);
    }
    return b;
}

/*
 * Nobody finds the longer form but through `b`, so a line of what follows `b`
 * in memory may be stored to without harm to `b` itself.
 */
Block *cache_longer(Env *env, Block *b)
{
    const Insn *last = &b->insns[b->n_insns - 1];
    CodePage *p = b->page;
    Block *x;
    Draft d;

    if (tcg_one_insn || !p || block_unsure(b)
        || (last->flags & INSN_END && !draft_goes_on(last)
            && !draft_follows(last))) {
        return NULL;
    }
    draft_make(env, &d, p->hva, env->rip_base + b->off, b->mode,
               may_cross(b->mode) && !gave_up_crossing(p), b);
    if (d.n <= b->n_insns) {
        return NULL;
    }
    g_mutex_lock(&mutex);
    x = b->longer;
    if (!x && !b->stale) {
        __atomic_fetch_or(&p->lines, line_mask(b->off, in_page(&d, b->off))
                                     | parts_mask(d.more, d.n_more),
                          __ATOMIC_SEQ_CST);
        if (guest_equal(p->hva + b->off, d.bytes, in_page(&d, b->off))
            && parts_agree(p->hva, d.more, d.n_more, d.bytes + d.len)) {
            x = block_new(&d, p, b->off, b->mode);
            memcpy(x->jit_samples, d.samples, d.n * sizeof(uint32_t));
            x->jit_n_samples = b->jit_n_samples;
            x->jit_n_near = b->jit_n_near;
            x->jit_fn0 = x->insns[0].fn;
            x->is_longer = true;
            x->shorter = b;
            b->longer = x;
            block_published();
            evict(p);
        }
    }
    g_mutex_unlock(&mutex);
    return x;
}

/* --- loose instructions --------------------------------------------------- */

static void fetch_bytes(const FetchEntry *f, unsigned off, uint8_t *to,
                        unsigned n)
{
    if (f->hva) {
        guest_copy(to, f->hva + off, n);
    } else {
        as_read(&as_memory, f->gpa + off, to, n);
    }
}

static const Block *loose_get(Env *env, const FetchEntry *f, uint64_t gva,
                              uint32_t mode)
{
    LooseInsn *l = &env->tcg->loose[gva % N_LOOSE];
    unsigned off = PAGE_OFFSET(gva);
    unsigned here = MIN(MAX_INSN_BYTES, PAGE_BYTES - off);
    bool known = l->block && l->gva == gva && l->mode == mode;
    uint8_t bytes[MAX_INSN_BYTES];
    unsigned n = here;
    Insn insn;

    fetch_bytes(f, off, bytes, here);
    if (known ? l->n_bytes > here
        : !draft_insn(env, &insn, bytes, here, off, mode)) {
        uint64_t next = PAGE_START(gva) + PAGE_BYTES;

        f = mmu_fetch(env, mode & DM_CODE64 ? next : (uint32_t)next);
        if (!f) {
            return NULL;
        }
        fetch_bytes(f, 0, bytes + here, MAX_INSN_BYTES - here);
        n = MAX_INSN_BYTES;
        known = known && !memcmp(bytes, l->bytes, l->n_bytes);
        if (!known) {
            draft_insn(env, &insn, bytes, n, off, mode);
        }
    } else if (known && memcmp(bytes, l->bytes, l->n_bytes)) {
        /* What is there now may be longer or shorter: start afresh. */
        l->gva = ~gva;
        return loose_get(env, f, gva, mode);
    }
    if (known) {
        return l->block;
    }
    if (!l->block) {
        l->block = g_malloc0(block_bytes(1, 0));
    }
    *l->block = (Block) {
        .link_off = { UINT32_MAX, UINT32_MAX },
        .n_insns = 1, .off = off, .len = insn.len, .mode = mode,
    };
    l->block->insns[0] = insn;
    make_end(&l->block->insns[1], &insn);
    l->gva = gva;
    l->mode = mode;
    l->n_bytes = insn.len;
    memcpy(l->bytes, bytes, insn.len);
    return l->block;
}

/* Is what loose_get() has for this an instruction over the page's end?  It
 * compares; what a draft could begin with is not decoded each time. */
static bool crosses(const TcgCpu *t, uint64_t gva, uint32_t mode)
{
    const LooseInsn *l = &t->loose[gva % N_LOOSE];

    return l->block && l->gva == gva && l->mode == mode
           && PAGE_OFFSET(gva) + l->n_bytes > PAGE_BYTES;
}

/* --- lookup --------------------------------------------------------------- */

const Block *cache_get(Env *env, const FetchEntry *f, uint64_t gva,
                       uint32_t mode)
{
    unsigned off = PAGE_OFFSET(gva);
    Block *b;

    env->tcg->n_lookups++;
    if (f->hva) {
        b = block_find(f->rb->ram_addr + f->rb_offset + off, mode);
        if (b && unlikely(block_unsure(b)) && !block_agrees(b)) {
            g_mutex_lock(&mutex);
            if (!b->page->dead) {
                page_invalidate(b->page, off, off + 1, false);
            }
            g_mutex_unlock(&mutex);
            b = NULL;
        }
        if (!b && (may_cross(mode) || !crosses(env->tcg, gva, mode))) {
            b = block_make(env, f, gva, mode);
        }
        if (b) {
            return b;
        }
    }
    return loose_get(env, f, gva, mode);
}

void cache_link(const Block *from_const, const Block *to)
{
    Block *from = (Block *)from_const;

    if (!from->page || from->page != to->page || from->mode != to->mode
        || log_mask & LOG_NOCHAIN || tcg_test.flush_each) {
        return;
    }
    g_mutex_lock(&mutex);
    for (unsigned i = 0; i < 2 && !from->stale && !to->stale; i++) {
        if (from->link_off[i] == UINT32_MAX || from->link_off[i] == to->off) {
            __atomic_store_n(&from->link[i], (Block *)to, __ATOMIC_RELEASE);
            __atomic_store_n(&from->link_off[i], to->off, __ATOMIC_RELEASE);
            break;
        }
    }
    g_mutex_unlock(&mutex);
}

void cache_drop_ram(const RamBlock *rb)
{
    GList *next;

    g_mutex_lock(&mutex);
    for (GList *at = page_fifo.head; at; at = next) {
        CodePage *p = at->data;

        next = at->next;
        if (p->rb == rb) {
            page_release(p);
        }
    }
    g_mutex_unlock(&mutex);
}

Block *cache_find_in_page(const CodePage *page, unsigned off, uint32_t mode)
{
    return block_find(page->ram_addr + off, mode);
}

void cache_lock(void)
{
    g_mutex_lock(&mutex);
}

void cache_unlock(void)
{
    g_mutex_unlock(&mutex);
}

void cache_stats(uint64_t *blocks_out, uint64_t *bytes_out)
{
    g_mutex_lock(&mutex);
    *blocks_out = n_blocks;
    *bytes_out = n_bytes;
    g_mutex_unlock(&mutex);
}

uint64_t cache_limit(void)
{
    return max_bytes;
}

void cache_init(uint64_t limit_bytes)
{
    max_bytes = limit_bytes;
}

void cache_exit(void)
{
    g_mutex_lock(&mutex);
    while (page_fifo.head) {
        page_release(page_fifo.head->data);
    }
    g_mutex_unlock(&mutex);
}
