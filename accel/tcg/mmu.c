/*
 * Guest memory by linear address: what a handler's access does when it misses
 * the softTLB.
 *
 * A miss walks the tables, enters the translation and, for RAM, answers with a
 * pointer to it.  What cannot be one pointer (I/O, two pages, a store to a page
 * that holds decoded code or to ROM) goes through env->bounce: bytes are
 * gathered there before and carried out after the handler, both pages having
 * been checked first.
 *
 * Locks: none of its own.  Callbacks of devices take the machine lock; a vCPU
 * that holds the exclusive section may do so too, for nothing waits for a vCPU
 * under the machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"
#include "accel/tcg/interp/host.h"

#include "cpu/lapic.h"

enum { ACC_RMW = ACC_PROBE + 1 };       /* of resolve(): a write that reads */

/* --- guest RAM ------------------------------------------------------------ */

/* Aligned pieces must be single accesses: other vCPUs look. */
void guest_copy(void *to, const void *from, unsigned len)
{
    switch (len) {
    case 1:
        *(volatile uint8_t *)to = *(const volatile uint8_t *)from;
        return;
    case 2:
        *(volatile uint16_t *)to = *(const volatile uint16_t *)from;
        return;
    case 4:
        *(volatile uint32_t *)to = *(const volatile uint32_t *)from;
        return;
    case 8:
        *(volatile uint64_t *)to = *(const volatile uint64_t *)from;
        return;
    }
    while (len >= 8) {
        *(volatile uint64_t *)to = *(const volatile uint64_t *)from;
        to = (char *)to + 8;
        from = (const char *)from + 8;
        len -= 8;
    }
    while (len--) {
        *(volatile uint8_t *)to = *(const volatile uint8_t *)from;
        to = (char *)to + 1;
        from = (const char *)from + 1;
    }
}

bool guest_equal(const void *guest, const void *copy, unsigned len)
{
    const volatile uint8_t *g = guest;
    const uint8_t *c = copy;

    for (; len >= 8; len -= 8, g += 8, c += 8) {
        if (*(const volatile uint64_t *)g != *(const uint64_t *)c) {
            return false;
        }
    }
    for (; len; len--, g++, c++) {
        if (*g != *c) {
            return false;
        }
    }
    return true;
}

static void mark_dirty(RamBlock *rb, uint64_t offset)
{
    uint8_t *byte = ram_dirty_byte(rb, offset);
    const uint8_t bits = DIRTY_VGA | DIRTY_MIGRATION;

    if ((__atomic_load_n(byte, __ATOMIC_RELAXED) & bits) != bits) {
        __atomic_or_fetch(byte, bits, __ATOMIC_RELEASE);
    }
}

void mmu_mark_dirty(uint8_t *hva)
{
    uint64_t offset;
    RamBlock *rb = ram_from_host(hva, &offset);

    if (rb) {
        mark_dirty(rb, offset);
    }
}

void mmu_ram_written(uint8_t *hva, unsigned len)
{
    uint64_t offset;
    RamBlock *rb = ram_from_host(hva, &offset);

    if (rb) {
        mark_dirty(rb, offset);
        if (!(__atomic_load_n(ram_dirty_byte(rb, offset), __ATOMIC_ACQUIRE)
              & DIRTY_CODE)) {
            cache_written(rb, offset, len);
        }
    }
}

/* --- I/O ------------------------------------------------------------------ */

/* The local APIC's page, in its vCPU's thread and without the machine lock. */
static void lapic_load(Lapic *apic, hwaddr gpa, uint8_t *buf, unsigned len)
{
    for (unsigned i = 0; i < len;) {
        unsigned off = (PAGE_OFFSET(gpa) + i) & ~3u;
        unsigned skip = (gpa + i) & 3, n = MIN(4 - skip, len - i);
        uint32_t val = lapic_mmio_read(apic, off) >> (8 * skip);

        for (unsigned j = 0; j < n; j++) {
            buf[i + j] = val >> (8 * j);
        }
        i += n;
    }
}

/* Only aligned dwords are defined; Linux and Windows use nothing else. */
static void lapic_store(Lapic *apic, hwaddr gpa, const uint8_t *buf,
                        unsigned len)
{
    for (unsigned i = 0; !(gpa & 3) && i + 4 <= len; i += 4) {
        lapic_mmio_write(apic, PAGE_OFFSET(gpa) + i,
                         load_le(buf + i, 4));
    }
}

static unsigned io_piece(unsigned len)
{
    return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

static void io_load(TcgCpu *t, hwaddr gpa, uint8_t *buf, unsigned len)
{
    if (PAGE_START(gpa) == lapic_base_gpa(t->cpu->apic)) {
        lapic_load(t->cpu->apic, gpa, buf, len);
        return;
    }
    while (len) {
        unsigned n = io_piece(len);
        uint64_t val;

        as_load(t->as, gpa, n, &val);
        store_le(buf, n, val);
        gpa += n;
        buf += n;
        len -= n;
    }
}

static void io_store(TcgCpu *t, hwaddr gpa, const uint8_t *buf, unsigned len)
{
    if (PAGE_START(gpa) == lapic_base_gpa(t->cpu->apic)) {
        lapic_store(t->cpu->apic, gpa, buf, len);
        return;
    }
    while (len) {
        unsigned n = io_piece(len);

        as_store(t->as, gpa, n, load_le(buf, n));
        gpa += n;
        buf += n;
        len -= n;
    }
}

/* --- filling the TLB ------------------------------------------------------ */

static bool not_canonical(Env *env)
{
    env->exc_canonical = true;
    return exc_set(env, EXC_GP, true, 0);
}

/* May a page be stored to directly?  Marks it dirty for doing so. */
static bool direct_write(RamBlock *rb, uint64_t offset)
{
    if (!(__atomic_load_n(ram_dirty_byte(rb, offset), __ATOMIC_ACQUIRE)
          & DIRTY_CODE)) {
        return false;
    }
    mark_dirty(rb, offset);
    return true;
}

/* Every access to such a page must come through here. */
static bool page_watched(const TcgCpu *t, uint64_t page)
{
    for (unsigned i = 0; i < t->n_watch; i++) {
        if (PAGE_START(t->watch[i].first) == page) {
            return true;
        }
    }
    return false;
}

/* Note which data breakpoints the access hits; the trap comes after the
 * instruction. */
static void watch(Env *env, uint64_t gva, unsigned size, int acc)
{
    const TcgCpu *t = env->tcg;

    for (unsigned i = 0; i < t->n_watch; i++) {
        const Breakpoint *b = &t->watch[i];

        if (gva <= b->last && gva + size - 1 >= b->first
            && (acc != ACC_READ || b->on_read)) {
            env->watch_hit |= b->dr6;
        }
    }
}

static TlbEntry *fill(Env *env, unsigned who, uint64_t gva, int acc)
{
    TcgCpu *t = env->tcg;
    uint64_t page = PAGE_START(gva), aux;
    const FlatRange *r;
    bool can_write;
    Walk w;

    if (!mmu_canonical(env, gva)) {
        not_canonical(env);
        return NULL;
    }
    if (!mmu_walk(env, gva, acc, who, &w)) {
        return NULL;
    }
    aux = PAGE_START(w.gpa) | (w.global ? TLBE_GLOBAL : 0)
          | (w.shift == 30 ? TLBE_HUGE : w.shift > 12 ? TLBE_LARGE : 0);
    can_write = w.dirty && w.key_write
                && (w.write || (who != MMU_USER && !(env->s.cr0 & CR0_WP)));
    if (can_write) {
        aux |= TLBE_W;
    }
    r = phys_page(t, PAGE_START(w.gpa));
    if (!r || unlikely(t->n_watch && page_watched(t, page))) {
        return tlb_enter(t, who, page, NULL, false, aux);
    }
    uint64_t offset = r->offset + (PAGE_START(w.gpa) - r->start);
    bool direct = false;

    if (PAGE_OFFSET(offset)) {          /* a page of two pages' dirty bytes */
        return tlb_enter(t, who, page, NULL, false, aux);
    }
    if (r->readonly) {
        aux |= TLBE_ROM;
    } else if (can_write) {
        direct = direct_write(r->ram, offset);
        aux |= direct ? 0 : TLBE_CODE;
    }
    return tlb_enter(t, who, page, r->ram->host + offset, direct, aux);
}

/* The entry for an access that stays in its page; NULL with an exception. */
static inline TlbEntry *lookup(Env *env, unsigned who, uint64_t gva, int acc)
{
    uint64_t page = PAGE_START(gva);
    TlbEntry *e = &env->tcg->tlb[who]->e[page >> 12 & (TLB_SIZE - 1)];

    if (e->aux & TLBE_VALID
        && (e->aux & TLBE_SLOW ? e->addend == page : e->nrpage == -page)
        && (acc == ACC_READ || e->aux & TLBE_W)) {
        if (unlikely(e->aux & TLBE_CODE && acc != ACC_READ)) {
            uint64_t offset;
            RamBlock *rb = ram_from_host((void *)(page + e->addend), &offset);

            if (rb && direct_write(rb, offset)) {
                e->aux &= ~(uint64_t)TLBE_CODE;
                e->nwpage = -page;
            }
        }
        return e;
    }
    return fill(env, who, gva, acc == ACC_READ ? ACC_READ : ACC_WRITE);
}

/* --- accesses of handlers ------------------------------------------------- */

static void add_part(TcgCpu *t, const TlbEntry *e, uint64_t gva, unsigned len)
{
    BouncePart *p = &t->part[t->n_parts++];

    p->gpa = PAGE_START(e->aux) | PAGE_OFFSET(gva);
    p->hva = e->aux & TLBE_SLOW ? NULL : (uint8_t *)(gva + e->addend);
    p->readonly = e->aux & TLBE_ROM;
    p->len = len;
}

static void note_parts(Env *env, int acc)
{
    TcgCpu *t = env->tcg;

    for (unsigned i = 0; i < t->n_parts; i++) {
        BouncePart *p = &t->part[i];

        if (!p->hva || p->readonly) {
            lockstep_store_hook(env, NULL, p->len);
        } else if (acc != ACC_READ) {
            lockstep_store_hook(env, p->hva, p->len);
        }
    }
}

static void gather(Env *env)
{
    TcgCpu *t = env->tcg;
    uint8_t *at = env->bounce;

    for (unsigned i = 0; i < t->n_parts; at += t->part[i].len, i++) {
        BouncePart *p = &t->part[i];

        if (p->hva) {
            guest_copy(at, p->hva, p->len);
        } else {
            io_load(t, p->gpa, at, p->len);
        }
    }
    mmu_follow_map(env);
}

/* Linear addresses are 32 bits wide outside long mode. */
static inline uint64_t clip(const Env *env, uint64_t gva)
{
    return env->s.efer & EFER_LMA ? gva : (uint32_t)gva;
}

/* Where a compatibility-mode access runs over 4G it wraps. */
static inline uint64_t next_page(const Env *env, uint64_t gva)
{
    uint64_t next = PAGE_START(gva) + PAGE_BYTES;

    return env->mode & DM_CODE64 ? next : (uint32_t)next;
}

/*
 * #AC comes before #PF on Intel's, after it on AMD's; always after #GP for an
 * address that is not canonical.  `mapped`: after the page walk.  Far pointers
 * are aligned by their offset, numbers of 80 bits by 64.
 */
static bool misaligned(Env *env, uint64_t gva, unsigned size, bool mapped)
{
    unsigned align = size == 6 ? 4 : size == 10 ? 8 : size;

    if (mapped != host_is_amd() || align > 8 || align & (align - 1)
        || !(gva & (align - 1)) || !mmu_canonical(env, gva)) {
        return false;
    }
    exc_set(env, EXC_AC, true, 0);
    return true;
}

/*
 * RAM to access directly, or the bounce buffer with its parts noted (and, but
 * for ACC_WRITE, filled), or NULL with an exception.
 */
static void *resolve(Env *env, uint64_t gva, unsigned size, int acc)
{
    TcgCpu *t = env->tcg;
    unsigned who = t->who, first;
    TlbEntry *e, *e2 = NULL;

    gva = clip(env, gva);
    first = MIN(size, PAGE_BYTES - PAGE_OFFSET(gva));
    if (unlikely(first < size) && !mmu_canonical(env, next_page(env, gva))) {
        not_canonical(env);     /* before the first page is looked at */
        return NULL;
    }
    if (unlikely(t->check_alignment) && misaligned(env, gva, size, false)) {
        return NULL;
    }
    e = lookup(env, who, gva, acc);
    if (!e) {
        return NULL;
    }
    if (unlikely(first < size)) {
        e2 = lookup(env, who, next_page(env, gva), acc);
        if (!e2) {
            return NULL;
        }
    }
    if (unlikely(t->check_alignment) && misaligned(env, gva, size, true)) {
        return NULL;
    }
    if (unlikely(t->n_watch)) {
        watch(env, gva, size, acc);
    }
    if (likely(!e2) && !(e->aux & TLBE_SLOW)
        && (acc == ACC_READ || e->nwpage == e->nrpage)) {
        if (unlikely(lockstep_store_hook) && acc != ACC_READ) {
            lockstep_store_hook(env, (uint8_t *)(gva + e->addend), size);
        }
        return (void *)(gva + e->addend);
    }
    t->n_parts = 0;
    add_part(t, e, gva, first);
    if (e2) {
        add_part(t, e2, next_page(env, gva), size - first);
    }
    if (unlikely(lockstep_store_hook)) {
        note_parts(env, acc);
    }
    env->bounce_gva = gva;
    env->bounce_size = size;
    if (acc != ACC_WRITE) {
        gather(env);
    }
    return env->bounce;
}

const void *mem_read_slow(Env *env, uint64_t gva, unsigned size)
{
    return resolve(env, gva, size, ACC_READ);
}

void *mem_write_slow(Env *env, uint64_t gva, unsigned size)
{
    return resolve(env, gva, size, ACC_WRITE);
}

void *mem_rmw_slow(Env *env, uint64_t gva, unsigned size)
{
    return resolve(env, gva, size, ACC_RMW);
}

void mem_written_slow(Env *env)
{
    TcgCpu *t = env->tcg;
    const uint8_t *at = env->bounce;

    for (unsigned i = 0; i < t->n_parts; at += t->part[i].len, i++) {
        BouncePart *p = &t->part[i];

        if (p->hva && !p->readonly) {
            guest_copy(p->hva, at, p->len);
            mmu_ram_written(p->hva, p->len);
        } else {
            io_store(t, p->gpa, at, p->len);
        }
    }
    t->n_parts = 0;
    mmu_follow_map(env);
}

void *mem_lock_slow(Env *env, uint64_t gva, unsigned size)
{
    TcgCpu *t = env->tcg;
    TlbEntry *e;
    void *p;

    gva = clip(env, gva);
    if (unlikely(t->check_alignment) && misaligned(env, gva, size, false)) {
        return NULL;
    }
    if (PAGE_OFFSET(gva) + size <= PAGE_BYTES) {
        e = lookup(env, t->who, gva, ACC_RMW);
        if (!e || (unlikely(t->check_alignment)
                   && misaligned(env, gva, size, true))) {
            return NULL;
        }
        if (!(e->aux & (TLBE_SLOW | TLBE_ROM))) {
            if (e->nwpage != e->nrpage) {
                env->locked_code = true;
                t->lock_size = size;
            }
            if (unlikely(lockstep_store_hook)) {
                lockstep_store_hook(env, (uint8_t *)(gva + e->addend), size);
            }
            return (void *)(gva + e->addend);
        }
    }
    tcg_exclusive_begin(env);
    p = resolve(env, gva, size, ACC_RMW);
    if (!p) {
        tcg_exclusive_end(env);
    }
    return p;
}

void mem_locked_done_slow(Env *env, const void *p)
{
    if (env->locked_code) {
        env->locked_code = false;
        mmu_ram_written((uint8_t *)p, env->tcg->lock_size);
    } else {
        mem_written_slow(env);
    }
    if (env->exclusive) {
        tcg_exclusive_end(env);
    }
}

bool mem_probe_write(Env *env, uint64_t gva, unsigned len)
{
    uint64_t at = clip(env, gva);

    for (unsigned left = len; left;) {
        unsigned n = MIN(left, PAGE_BYTES - PAGE_OFFSET(at));

        if (!lookup(env, env->tcg->who, at, ACC_WRITE)) {
            return false;
        }
        left -= n;
        at = next_page(env, at);
    }
    return true;
}

/* --- implicit supervisor accesses ----------------------------------------- */

/* Long mode's tables are at 64-bit addresses whatever CS.L says. */
static uint64_t sys_next_page(const Env *env, uint64_t gva)
{
    return clip(env, PAGE_START(gva) + PAGE_BYTES);
}

bool mem_sys_probe(Env *env, uint64_t gva, bool write)
{
    return lookup(env, MMU_SUPER, gva, write ? ACC_WRITE : ACC_READ);
}

bool mem_sys_read(Env *env, uint64_t gva, void *buf, unsigned size)
{
    uint8_t *to = buf;

    gva = clip(env, gva);
    while (size) {
        unsigned n = MIN(size, PAGE_BYTES - PAGE_OFFSET(gva));
        TlbEntry *e = lookup(env, MMU_SUPER, gva, ACC_READ);

        if (!e) {
            return false;
        }
        if (e->aux & TLBE_SLOW) {
            io_load(env->tcg, PAGE_START(e->aux) | PAGE_OFFSET(gva), to, n);
        } else {
            guest_copy(to, (void *)(gva + e->addend), n);
        }
        to += n;
        size -= n;
        gva = sys_next_page(env, gva);
    }
    return true;
}

bool mem_sys_write(Env *env, uint64_t gva, const void *buf, unsigned size)
{
    const uint8_t *from = buf;

    gva = clip(env, gva);
    for (uint64_t at = gva, left = size; left;) {
        unsigned n = MIN(left, PAGE_BYTES - PAGE_OFFSET(at));

        if (!lookup(env, MMU_SUPER, at, ACC_WRITE)) {
            return false;
        }
        left -= n;
        at = sys_next_page(env, at);
    }
    while (size) {
        unsigned n = MIN(size, PAGE_BYTES - PAGE_OFFSET(gva));
        TlbEntry *e = lookup(env, MMU_SUPER, gva, ACC_WRITE);

        if (!e) {
            return false;       /* another vCPU unmapped it meanwhile */
        }
        if (e->aux & (TLBE_SLOW | TLBE_ROM)) {
            io_store(env->tcg, PAGE_START(e->aux) | PAGE_OFFSET(gva), from, n);
        } else {
            guest_copy((void *)(gva + e->addend), from, n);
            if (e->nwpage != e->nrpage) {
                mmu_ram_written((uint8_t *)(gva + e->addend), n);
            }
        }
        from += n;
        size -= n;
        gva = sys_next_page(env, gva);
    }
    return true;
}

/* --- instruction fetch ---------------------------------------------------- */

const FetchEntry *mmu_fetch(Env *env, uint64_t gva)
{
    TcgCpu *t = env->tcg;
    uint64_t page = PAGE_START(gva);
    bool user = env->cpl == 3;
    FetchBank *bank = &t->fetch[user];
    FetchEntry *f = &bank->e[page >> 12 & (FETCH_SIZE - 1)];
    const FlatRange *r;
    Walk w;

    if (likely(f->page == page && f->gen == bank->gen)) {
        return f;
    }
    if (!mmu_canonical(env, gva)) {
        exc_set(env, EXC_GP, true, 0);
        return NULL;
    }
    if (!mmu_walk(env, gva, ACC_EXEC, user ? MMU_USER : MMU_SUPER, &w)) {
        return NULL;
    }
    f->page = page;
    f->gen = bank->gen;
    f->gpa = PAGE_START(w.gpa);
    f->hva = NULL;
    r = phys_page(t, f->gpa);
    if (r) {
        f->rb = r->ram;
        f->rb_offset = r->offset + (f->gpa - r->start);
        if (!PAGE_OFFSET(f->rb_offset)) {
            f->hva = f->rb->host + f->rb_offset;
        }
    }
    bank->filter[page >> 18 & 63] |= BIT64(page >> 12 & 63);
    bank->tops[tlb_top(page) / 64] |= BIT64(tlb_top(page) % 64);
    bank->local |= !w.global;
    bank->global |= w.global;
    if (w.shift > 12) {
        tlb_note_large(t, page, w.shift);
    }
    return f;
}

bool mmu_probe(Env *env, uint64_t gva, hwaddr *gpa)
{
    Walk w;

    mmu_follow_map(env);
    gva = clip(env, gva);
    if (!mmu_canonical(env, gva)
        || !mmu_walk(env, gva, ACC_PROBE, MMU_SUPER, &w)) {
        return false;
    }
    *gpa = w.gpa;
    return true;
}
