/*
 * Page walks: linear to physical, with every right checked.
 *
 * Spec:   Intel SDM volume 3A chapter 4.
 * Models: 32-bit paging with PSE and PSE-36, PAE, 4-level and 5-level paging,
 *         1 GiB pages, NX, WP, SMEP, SMAP, protection keys for user pages,
 *         reserved bits by the width of physical addresses.
 * Locks:  none; A and D bits are set by compare-and-exchange, so walks of
 *         several vCPUs may meet in one table.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"

#include "cpu/lapic.h"

enum {                          /* of a page-table entry */
    PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_U = 1 << 2, PTE_A = 1 << 5,
    PTE_D = 1 << 6, PTE_PS = 1 << 7, PTE_G = 1 << 8,
};
#define PTE_NX BIT64(63)
#define PTE_ADDR UINT64_C(0x000ffffffffff000)

enum {                          /* of a page fault's error code */
    PF_P = 1 << 0, PF_W = 1 << 1, PF_U = 1 << 2, PF_RSVD = 1 << 3,
    PF_I = 1 << 4, PF_PK = 1 << 5,
};

typedef struct Entry {
    uint64_t val;
    unsigned size;
    uint8_t *hva;               /* NULL: not in RAM that can be written */
} Entry;

const FlatRange *phys_page(TcgCpu *t, hwaddr gpa)
{
    PhysEntry *e = &t->phys[gpa >> 21 & (N_PHYS - 1)];
    const FlatRange *r = e->range;

    if (unlikely(e->tag != (gpa >> 21) + 1 || gpa < r->start
                 || gpa - r->start >= r->size_bytes)) {
        r = view_find(as_view(t->as), gpa);
        if (!r) {
            return NULL;
        }
        *e = (PhysEntry) { .tag = (gpa >> 21) + 1, .range = r };
    }
    if (!r->ram || r->start + r->size_bytes - gpa < PAGE_BYTES
        || gpa == t->apic_page) {
        return NULL;
    }
    return r;
}

static void entry_load(TcgCpu *t, hwaddr gpa, unsigned size, Entry *e)
{
    const FlatRange *r;

    gpa &= t->a20_mask;
    r = phys_page(t, PAGE_START(gpa));
    e->size = size;
    e->hva = NULL;
    e->val = 0;
    if (!r) {
        as_load(t->as, gpa, size, &e->val);
        return;
    }
    uint8_t *hva = r->ram->host + r->offset + (gpa - r->start);

    e->val = size == 8 ? *(volatile uint64_t *)hva : *(volatile uint32_t *)hva;
    if (!r->readonly) {
        e->hva = hva;
    }
}

/* The same at a known place. */
static void entry_load_host(uint8_t *hva, Entry *e)
{
    e->size = 8;
    e->hva = hva;
    e->val = *(volatile uint64_t *)hva;
}

/* Set bits in an entry; false: it has changed since it was read. */
static bool entry_set(Entry *e, uint64_t bits)
{
    bool same;

    if ((e->val & bits) == bits || !e->hva) {
        return true;
    }
    if (e->size == 8) {
        uint64_t old = e->val;

        same = __atomic_compare_exchange_n((uint64_t *)e->hva, &old,
                                           old | bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint32_t old = e->val;

        same = __atomic_compare_exchange_n((uint32_t *)e->hva, &old,
                                           old | (uint32_t)bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (same) {
        e->val |= bits;
        mmu_ram_written(e->hva, e->size);
    }
    return same;
}

static bool page_fault(Env *env, uint64_t gva, int acc, unsigned who,
                       uint32_t code)
{
    if (acc == ACC_PROBE) {
        return false;
    }
    if (acc == ACC_WRITE) {
        code |= PF_W;
    }
    if (who == MMU_USER) {
        code |= PF_U;
    }
    if (acc == ACC_EXEC
        && ((env->s.cr4 & CR4_PAE && env->s.efer & EFER_NXE)
            || env->s.cr4 & CR4_SMEP)) {
        code |= PF_I;
    }
    env->exc_cr2 = gva;
    return exc_set(env, EXC_PF, true, code);
}

/* What PKRU says to data accesses of a user page with this key. */
static void apply_key(const Env *env, unsigned who, unsigned key, Walk *w)
{
    bool deny_access = env->s.pkru >> (2 * key) & 1;
    bool deny_write = env->s.pkru >> (2 * key + 1) & 1;

    env->tcg->keys |= 1u << key;
    w->key_read = !deny_access;
    w->key_write = !deny_access
                   && !(deny_write
                        && (who == MMU_USER || env->s.cr0 & CR0_WP));
}

/* The rights of a whole walk against the access; 0, or the error code. */
static uint32_t check_rights(const Env *env, int acc, unsigned who,
                             const Walk *w)
{
    bool user = who == MMU_USER;
    uint32_t bad = 0;

    if (acc == ACC_EXEC) {
        if (w->no_exec || (user && !w->user)
            || (!user && w->user && env->s.cr4 & CR4_SMEP)) {
            bad = PF_P;
        }
        return bad;
    }
    if (user ? !w->user
        : w->user && env->s.cr4 & CR4_SMAP && who != MMU_SUPER_AC) {
        bad = PF_P;
    }
    if (acc == ACC_WRITE && !w->write && (user || env->s.cr0 & CR0_WP)) {
        bad = PF_P;
    }
    if (acc == ACC_WRITE ? !w->key_write : !w->key_read) {
        bad = PF_P | PF_PK;
    }
    return bad;
}

/* Rights are there: set A, and D for a write.  False: walk again. */
static bool finish(Entry *e, int acc, Walk *w)
{
    if (acc != ACC_PROBE
        && !entry_set(e, acc == ACC_WRITE ? PTE_A | PTE_D : PTE_A)) {
        return false;
    }
    w->dirty = e->val & PTE_D;
    /* Where D cannot be kept, a write must not walk for ever. */
    if (acc == ACC_WRITE) {
        w->dirty = true;
    }
    return true;
}

/* Two-level tables of 32-bit entries. */
static bool walk_32(Env *env, uint64_t gva, int acc, unsigned who, Walk *w)
{
    TcgCpu *t = env->tcg;
    Entry pde, pte, *leaf;
    uint32_t bad;

again:
    entry_load(t, (env->s.cr3 & 0xfffff000) + (gva >> 22 & 0x3ff) * 4, 4,
               &pde);
    if (!(pde.val & PTE_P)) {
        return page_fault(env, gva, acc, who, 0);
    }
    w->user = pde.val & PTE_U;
    w->write = pde.val & PTE_W;
    if (pde.val & PTE_PS && env->s.cr4 & CR4_PSE) {
        uint64_t high = bits_get(pde.val, 13, 8) << 32;

        if (pde.val & BIT(21) || high >> t->phys_bits) {
            return page_fault(env, gva, acc, who, PF_P | PF_RSVD);
        }
        w->shift = 22;
        w->gpa = high | (pde.val & 0xffc00000) | (gva & 0x3fffff);
        leaf = &pde;
    } else {
        if (acc != ACC_PROBE && !entry_set(&pde, PTE_A)) {
            goto again;
        }
        entry_load(t, (pde.val & 0xfffff000) + (gva >> 12 & 0x3ff) * 4, 4,
                   &pte);
        if (!(pte.val & PTE_P)) {
            return page_fault(env, gva, acc, who, 0);
        }
        w->user &= !!(pte.val & PTE_U);
        w->write &= !!(pte.val & PTE_W);
        w->shift = 12;
        w->gpa = (pte.val & 0xfffff000) | (gva & 0xfff);
        leaf = &pte;
    }
    bad = acc == ACC_PROBE ? 0 : check_rights(env, acc, who, w);
    if (bad) {
        return page_fault(env, gva, acc, who, bad);
    }
    w->global = leaf->val & PTE_G && env->s.cr4 & CR4_PGE;
    if (!finish(leaf, acc, w)) {
        goto again;
    }
    return true;
}

bool tlb_load_pdptes(Env *env, uint64_t cr3)
{
    TcgCpu *t = env->tcg;
    uint64_t val[4];

    for (unsigned i = 0; i < 4; i++) {
        Entry e;

        entry_load(t, (cr3 & 0xffffffe0) + 8 * i, 8, &e);
        if (e.val & PTE_P
            && e.val & (0x1e6 | ~UINT64_C(0) << t->phys_bits)) {
            return false;
        }
        val[i] = e.val;
    }
    memcpy(t->pdpte, val, sizeof(val));
    return true;
}

/* PAE's first level: four registers. */
static bool walk_pdpte(Env *env, uint64_t gva, int acc, unsigned who,
                       hwaddr *table)
{
    uint64_t val = env->tcg->pdpte[gva >> 30 & 3];

    if (!(val & PTE_P)) {
        return page_fault(env, gva, acc, who, 0);
    }
    *table = val & PTE_ADDR;
    return true;
}

/* --- paging-structure caches ---------------------------------------------- */

/* The cache's place for the table of `level`, 1 or 2. */
static WalkEntry *walk_slot(TcgCpu *t, uint64_t gva, unsigned level)
{
    return level == 1 ? &t->walk_pt[gva >> 21 & (WALK_PT - 1)]
                      : &t->walk_pd[gva >> 30 & (WALK_PD - 1)];
}

/* Start at the lowest table that is known; its level, or 0. */
static unsigned walk_resume(TcgCpu *t, uint64_t gva, Walk *w, uint8_t **host)
{
    for (unsigned level = 1; level <= 2; level++) {
        const WalkEntry *c = walk_slot(t, gva, level);

        if (c->gen == t->walk_gen && c->tag == gva >> (12 + 9 * level)) {
            w->user = c->user;
            w->write = c->write;
            w->no_exec = c->no_exec;
            *host = c->host;
            return level;
        }
    }
    return 0;
}

static void walk_remember(TcgCpu *t, uint64_t gva, unsigned level,
                          hwaddr table, const Walk *w)
{
    const FlatRange *r = phys_page(t, table & t->a20_mask);

    if (r && !r->readonly) {
        *walk_slot(t, gva, level) = (WalkEntry) {
            .tag = gva >> (12 + 9 * level), .gen = t->walk_gen,
            .user = w->user, .write = w->write, .no_exec = w->no_exec,
            .host = r->ram->host + r->offset
                    + ((table & t->a20_mask) - r->start),
        };
    }
}

/* Tables of 64-bit entries. */
static bool walk_64(Env *env, uint64_t gva, int acc, unsigned who, Walk *w)
{
    TcgCpu *t = env->tcg;
    bool lma = env->s.efer & EFER_LMA;
    /* Bits 62:52 are free in long mode only. */
    uint64_t reserved = ~UINT64_C(0) << t->phys_bits
                        & (lma ? BIT64(52) - 1 : ~PTE_NX);
    hwaddr table = env->s.cr3 & PTE_ADDR;
    uint8_t *host = NULL;
    unsigned level;
    bool up_user, up_write, up_nx;
    uint32_t bad;

    if (!(env->s.efer & EFER_NXE)) {
        reserved |= PTE_NX;
    }
    w->user = w->write = true;
    w->no_exec = false;
    level = walk_resume(t, gva, w, &host);
    if (!level) {
        if (!lma && !walk_pdpte(env, gva, acc, who, &table)) {
            return false;
        }
        level = !lma ? 2 : env->s.cr4 & CR4_LA57 ? 5 : 4;
        if (!lma && acc != ACC_PROBE) {
            walk_remember(t, gva, 2, table, w);
        }
    }
    for (;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        unsigned at = (gva >> shift & 0x1ff) * 8;
        uint64_t rsvd = reserved;
        bool is_leaf;
        Entry e;

        up_user = w->user;
        up_write = w->write;
        up_nx = w->no_exec;
again:
        if (host) {
            entry_load_host(host + at, &e);
        } else {
            entry_load(t, table + at, 8, &e);
        }
        if (!(e.val & PTE_P)) {
            return page_fault(env, gva, acc, who, 0);
        }
        is_leaf = level == 1
                  || (e.val & PTE_PS
                      && (level == 2 || (level == 3 && t->has_1g)));
        if (level >= 4 || (level == 3 && !t->has_1g)) {
            rsvd |= PTE_PS;
        } else if (is_leaf && level > 1) {
            rsvd |= (BIT64(shift) - 1) & ~(BIT64(13) - 1);
        }
        if (e.val & rsvd) {
            return page_fault(env, gva, acc, who, PF_P | PF_RSVD);
        }
        w->user = up_user && e.val & PTE_U;
        w->write = up_write && e.val & PTE_W;
        w->no_exec = up_nx || e.val & PTE_NX;
        if (!is_leaf) {
            if (acc != ACC_PROBE && !entry_set(&e, PTE_A)) {
                goto again;
            }
            table = e.val & PTE_ADDR;
            host = NULL;
            if (level <= 3 && acc != ACC_PROBE) {
                walk_remember(t, gva, level - 1, table, w);
            }
            continue;
        }
        w->shift = shift;
        w->gpa = (e.val & PTE_ADDR & ~(BIT64(shift) - 1))
                 | (gva & (BIT64(shift) - 1));
        w->global = e.val & PTE_G && env->s.cr4 & CR4_PGE;
        if (lma && env->s.cr4 & CR4_PKE && w->user) {
            apply_key(env, who, bits_get(e.val, 59, 4), w);
        }
        bad = acc == ACC_PROBE ? 0 : check_rights(env, acc, who, w);
        if (bad) {
            return page_fault(env, gva, acc, who, bad);
        }
        if (!finish(&e, acc, w)) {
            goto again;
        }
        return true;
    }
}

bool mmu_walk(Env *env, uint64_t gva, int acc, unsigned who, Walk *w)
{
    bool ok = true;

    w->key_read = w->key_write = true;
    w->no_exec = false;
    if (!(env->s.cr0 & CR0_PG)) {
        w->gpa = (uint32_t)gva;
        w->shift = 12;
        w->user = w->write = w->dirty = true;
        w->global = false;
    } else if (env->s.cr4 & CR4_PAE) {
        ok = walk_64(env, gva, acc, who, w);
    } else {
        ok = walk_32(env, gva, acc, who, w);
    }
    w->gpa &= env->tcg->a20_mask;
    return ok;
}

bool mmu_canonical(const Env *env, uint64_t gva)
{
    unsigned unused = env->s.cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

    return !(env->s.efer & EFER_LMA)
           || (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}
