/*
 * The tables of the softTLB: entering, dropping, flushing.
 *
 * A flush costs in proportion to what was filled: each table journals the
 * indices of its entries, global ones apart, since Linux' kernel half survives
 * every change of CR3.  Entries are 4 KiB even inside larger pages; filters by
 * 2 MiB and 1 GiB remember where such pieces may be, for INVLPG.
 *
 * Locks: see invariant 1 in tcg.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include <sys/mman.h>

#include "cpu/lapic.h"

/* For a vCPU that must check alignment: nothing ever hits. */
TlbEntry tlb_none[TLB_SIZE];

/* The tag that no address reaching entry `i` can match, see env.h. */
static uint64_t empty_tag(unsigned i)
{
    return -((uint64_t)(i ^ 2) << 12);
}

static void entry_clear(TlbEntry *e, unsigned i)
{
    e->nrpage = e->nwpage = empty_tag(i);
    e->aux = 0;
}

/*
 * Zeroed memory is nearly an empty table: a tag of 0 names page 0, which only
 * addresses of entry 0 are in and only those of the last entry can run into.
 * So a new table costs no memory.
 */
static void table_init(TlbEntry *e)
{
    entry_clear(&e[0], 0);
    entry_clear(&e[TLB_SIZE - 1], TLB_SIZE - 1);
}

/* --- entries -------------------------------------------------------------- */

static void journal_note(Tlb *tlb, unsigned i, bool global)
{
    uint64_t *word = &tlb->noted[global][i / 64];
    uint64_t bit = BIT64(i % 64);

    if (!(*word & bit)) {
        *word |= bit;
        tlb->journal[global][tlb->n_journal[global]++] = i;
    }
}

static void filter_add(uint64_t *filter, uint64_t key)
{
    filter[key / 64 % 16] |= BIT64(key % 64);
}

static bool filter_has(const uint64_t *filter, uint64_t key)
{
    return filter[key / 64 % 16] & BIT64(key % 64);
}

static void top_add(uint64_t *tops, uint64_t gva)
{
    tops[tlb_top(gva) / 64] |= BIT64(tlb_top(gva) % 64);
}

static bool top_has(const uint64_t *tops, uint64_t gva)
{
    return tops[tlb_top(gva) / 64] & BIT64(tlb_top(gva) % 64);
}

void tlb_note_large(TcgCpu *t, uint64_t page, unsigned shift)
{
    if (shift == 30) {
        filter_add(t->huge, page >> 30);
    } else {
        filter_add(t->large, page >> 21);
        top_add(t->large_tops, page);
    }
}

TcgTest tcg_test;

/* x-tlb-four: as entry `i` comes, the oldest of four goes.  Not the one before
 * it, which may be the first half of the access. */
static void crowd_out(TcgCpu *t, unsigned who, unsigned i)
{
    uint32_t key = who << 16 | (i + 1), *slot;

    for (unsigned n = 0; n < FEW_ENTRIES; n++) {
        if (t->few[n] == key) {
            return;
        }
    }
    slot = &t->few[t->few_next++ % FEW_ENTRIES];
    if (*slot == key - 1) {
        slot = &t->few[t->few_next++ % FEW_ENTRIES];
    }
    if (*slot) {
        unsigned old = (*slot & 0xffff) - 1;

        entry_clear(&t->tlb[*slot >> 16]->e[old], old);
    }
    *slot = key;
}

TlbEntry *tlb_enter(TcgCpu *t, unsigned who, uint64_t page, uint8_t *hva,
                    bool direct_write, uint64_t aux)
{
    unsigned i = page >> 12 & (TLB_SIZE - 1);
    TlbEntry *e = &t->tlb[who]->e[i];

    if (hva) {
        e->nrpage = -page;
        e->addend = (uintptr_t)hva - page;
        e->nwpage = direct_write ? -page : empty_tag(i);
    } else {
        e->nrpage = e->nwpage = empty_tag(i);
        e->addend = page;
        aux |= TLBE_SLOW;
    }
    e->aux = aux | TLBE_VALID;
    journal_note(t->tlb[who], i, aux & TLBE_GLOBAL);
    if (aux & (TLBE_LARGE | TLBE_HUGE)) {
        tlb_note_large(t, page, aux & TLBE_HUGE ? 30 : 21);
    }
    t->n_fills++;
    if (unlikely(tcg_test.few_entries)) {
        crowd_out(t, who, i);
    }
    return e;
}

/* The page an entry is for. */
static uint64_t entry_page(const TlbEntry *e)
{
    return e->aux & TLBE_SLOW ? e->addend : -e->nrpage;
}

/* --- flushes -------------------------------------------------------------- */

static void set_jump_tag(Env *env)
{
    const FetchBank *bank = &env->tcg->fetch[env->cpl == 3];

    env->jump_tag = (uint64_t)bank->jump_gen << 32 | env->mode;
}

/* A new generation.  0 marks what was never filled; after a wrap nothing old
 * may match. */
static void new_jump_gen(TcgCpu *t, FetchBank *bank)
{
    if (++bank->last_jump_gen == 0) {
        memset(t->jump, 0, sizeof(t->jump));
        t->jump_epoch++;
        bank->last_jump_gen = 1;
    }
    bank->jump_gen = bank->last_jump_gen;
}

/* What the jump cache rests on besides translations has changed. */
static void new_jump_gens(TcgCpu *t)
{
    t->jump_epoch++;
    new_jump_gen(t, &t->fetch[0]);
    new_jump_gen(t, &t->fetch[1]);
}

static void flush_fetch(TcgCpu *t, FetchBank *bank)
{
    if (++bank->last_gen == 0) {
        memset(bank->e, 0, sizeof(bank->e));
        pcid_forget_all(t);
        bank->last_gen = 1;
    }
    bank->gen = bank->last_gen;
    bank->local = bank->global = false;
    memset(bank->filter, 0, sizeof(bank->filter));
    memset(bank->tops, 0, sizeof(bank->tops));
    new_jump_gen(t, bank);
}

void tlb_save_bank(TcgCpu *t, unsigned user, SavedBank *to)
{
    const FetchBank *bank = &t->fetch[user];

    to->valid = bank->local && !bank->global;
    if (to->valid) {
        to->gen = bank->gen;
        to->jump_gen = bank->jump_gen;
        to->epoch = t->jump_epoch;
        memcpy(to->filter, bank->filter, sizeof(to->filter));
        memcpy(to->tops, bank->tops, sizeof(to->tops));
    }
}

void tlb_put_back_bank(TcgCpu *t, unsigned user, const SavedBank *from)
{
    FetchBank *bank = &t->fetch[user];

    if (!from->valid) {
        return;
    }
    bank->gen = from->gen;
    bank->local = true;
    bank->global = false;
    memcpy(bank->filter, from->filter, sizeof(bank->filter));
    memcpy(bank->tops, from->tops, sizeof(bank->tops));
    if (from->epoch == t->jump_epoch) {
        bank->jump_gen = from->jump_gen;
    } else {
        new_jump_gen(t, bank);
    }
}

static void new_walk_gen(TcgCpu *t)
{
    if (++t->walk_gen == 0) {
        memset(t->walk_pt, 0, sizeof(t->walk_pt));
        memset(t->walk_pd, 0, sizeof(t->walk_pd));
        t->walk_gen = 1;
    }
}

void tcg_forget_blocks(TcgCpu *t, uint64_t n)
{
    if (n >> 32 != t->n_invalidated >> 32) {
        memset(t->jump, 0, sizeof(t->jump));    /* they hold the low half */
    }
    t->n_invalidated = n;
    new_jump_gens(t);
    set_jump_tag(t->env);
}

static void flush_journal(Tlb *tlb, bool global)
{
    for (unsigned n = 0; n < tlb->n_journal[global]; n++) {
        unsigned i = tlb->journal[global][n];

        tlb->noted[global][i / 64] = 0;
        if (!(tlb->e[i].aux & TLBE_GLOBAL) == !global) {
            entry_clear(&tlb->e[i], i);
        }
    }
    tlb->n_journal[global] = 0;
}

/* Without what pcid.c holds. */
static void flush_present(Env *env, bool global)
{
    TcgCpu *t = env->tcg;

    t->n_drops++;
    jit_slots_clear(env);
    for (unsigned who = 0; who < N_MMU; who++) {
        flush_journal(t->tlb[who], false);
        if (global) {
            flush_journal(t->tlb[who], true);
        }
    }
    new_walk_gen(t);
    if (global) {
        t->apic_page = t->cpu->apic ? lapic_base_gpa(t->cpu->apic)
                                    : UINT64_MAX;
        memset(t->large, 0, sizeof(t->large));
        memset(t->large_tops, 0, sizeof(t->large_tops));
        memset(t->huge, 0, sizeof(t->huge));
    }
    for (unsigned i = 0; i < 2; i++) {
        if (global || t->fetch[i].local) {
            flush_fetch(t, &t->fetch[i]);
        }
    }
    set_jump_tag(env);
}

void tlb_flush(Env *env, bool global)
{
    TcgCpu *t = env->tcg;

    flush_present(env, global);
    pcid_forget_all(t);
    t->keys = global ? 0 : t->keys;
    t->pcid = env->s.cr4 & CR4_PCIDE ? env->s.cr3 & 0xfff : 0;
}

void tlb_new_pkru(Env *env, uint32_t pkru)
{
    uint32_t changed = env->s.pkru ^ pkru, keys = env->tcg->keys;

    env->s.pkru = pkru;
    for (; changed; changed &= changed - 1) {
        if (keys >> __builtin_ctz(changed) / 2 & 1) {
            tlb_flush(env, true);
            return;
        }
    }
}

void tlb_flush_pcid(Env *env, uint16_t pcid, bool global)
{
    TcgCpu *t = env->tcg;

    if (global) {
        tlb_flush(env, true);
    } else if (pcid == t->pcid) {
        flush_present(env, false);
    } else {
        pcid_forget(t, pcid);
    }
}

void tlb_new_cr3(Env *env, bool keep)
{
    TcgCpu *t = env->tcg;
    uint16_t pcid = env->s.cr3 & 0xfff;

    if (!(env->s.cr4 & CR4_PCIDE)) {
        tlb_flush(env, false);
        return;
    }
    if (pcid == t->pcid && keep) {
        new_walk_gen(t);
        return;
    }
    if (pcid != t->pcid) {
        pcid_save(t, t->pcid);
    }
    flush_present(env, false);
    if (keep) {
        pcid_restore(t, pcid);
        set_jump_tag(env);
    } else {
        pcid_forget(t, pcid);
    }
    t->pcid = pcid;
}

void tlb_put_back(TcgCpu *t, unsigned who, unsigned index, const TlbEntry *e)
{
    Tlb *tlb = t->tlb[who];

    if (!(tlb->e[index].aux & TLBE_VALID) && !tcg_test.few_entries) {
        tlb->e[index] = *e;
        journal_note(tlb, index, false);
    }
}

/* Drop entries that are pieces of a large page around `gva`. */
static void flush_pieces(TcgCpu *t, uint64_t gva, unsigned shift, uint64_t kind)
{
    for (unsigned who = 0; who < N_MMU; who++) {
        Tlb *tlb = t->tlb[who];

        for (unsigned g = 0; g < 2; g++) {
            for (unsigned n = 0; n < tlb->n_journal[g]; n++) {
                unsigned i = tlb->journal[g][n];
                TlbEntry *e = &tlb->e[i];

                if (e->aux & kind && (entry_page(e) ^ gva) >> shift == 0) {
                    entry_clear(e, i);
                }
            }
        }
    }
    flush_fetch(t, &t->fetch[0]);
    flush_fetch(t, &t->fetch[1]);
    set_jump_tag(t->env);
}

void tlb_flush_page(Env *env, uint64_t gva)
{
    TcgCpu *t = env->tcg;
    uint64_t page = PAGE_START(gva);
    unsigned i = page >> 12 & (TLB_SIZE - 1);

    t->n_drops++;
    jit_slots_clear(env);
    new_walk_gen(t);
    for (unsigned who = 0; who < N_MMU; who++) {
        TlbEntry *e = &t->tlb[who]->e[i];

        if (e->aux & TLBE_VALID && entry_page(e) == page) {
            entry_clear(e, i);
        }
    }
    /* A 4M page is two stretches of 2M; a piece of one may be anywhere. */
    if (top_has(t->large_tops, gva)
        && (filter_has(t->large, gva >> 21)
            || filter_has(t->large, gva >> 21 ^ 1))) {
        flush_pieces(t, gva, env->s.cr4 & CR4_PAE ? 21 : 22, TLBE_LARGE);
    }
    if (filter_has(t->huge, gva >> 30)) {
        flush_pieces(t, gva, 30, TLBE_HUGE);
    }
    for (i = 0; i < 2; i++) {
        if (t->fetch[i].filter[page >> 18 & 63] & BIT64(page >> 12 & 63)
            && top_has(t->fetch[i].tops, page)) {
            flush_fetch(t, &t->fetch[i]);
            set_jump_tag(env);
        }
    }
}

static void drop_write(TlbEntry *e, unsigned i, const void *opaque)
{
    const DropRequest *req = opaque;
    uint8_t *hva = (uint8_t *)(e->addend - e->nrpage);

    if (!(e->aux & TLBE_VALID) || e->aux & TLBE_SLOW
        || e->nwpage != e->nrpage
        || (uint64_t)(hva - req->start) >= req->len) {
        return;
    }
    /* Walk again at the next store: D is set, so this costs no more than a
     * fill. */
    e->nwpage = empty_tag(i);
    e->aux &= ~(uint64_t)TLBE_W;
    if (!req->page) {
        /* It may have been written since the log was cleared. */
        mmu_mark_dirty(hva);
    }
}

void mmu_drop_writes(TcgCpu *t, const DropRequest *req)
{
    t->n_drops++;
    jit_slots_clear(t->env);
    pcid_foreach(t, drop_write, req);
    for (unsigned who = 0; who < N_MMU; who++) {
        Tlb *tlb = t->tlb[who];

        for (unsigned g = 0; g < 2; g++) {
            for (unsigned n = 0; n < tlb->n_journal[g]; n++) {
                unsigned i = tlb->journal[g][n];

                drop_write(&tlb->e[i], i, req);
            }
        }
    }
}

/* --- modes ---------------------------------------------------------------- */

void mmu_follow_map(Env *env)
{
    TcgCpu *t = env->tcg;
    uint32_t gen = __atomic_load_n(&tcg_map_gen, __ATOMIC_ACQUIRE);
    /* The handler of an SMI sees all of memory. */
    uint64_t a20 = cpu_a20() || env->s.smm ? ~UINT64_C(0) : ~BIT64(20);
    AddressSpace *as = env->s.smm && as_smm.root ? &as_smm : &as_memory;

    if (unlikely(gen != t->map_gen || a20 != t->a20_mask || as != t->as)) {
        t->map_gen = gen;
        t->a20_mask = a20;
        t->as = as;
        memset(t->phys, 0, sizeof(t->phys));
        tlb_flush(env, true);
    }
}

void mmu_update_mode(Env *env)
{
    TcgCpu *t = env->tcg;
    const X86State *s = &env->s;
    uint64_t paging = (s->cr0 & (CR0_PG | CR0_WP))
                      | (s->efer & (EFER_LMA | EFER_NXE))
                      | (s->cr4 & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57
                                   | CR4_PCIDE | CR4_SMEP | CR4_SMAP
                                   | CR4_PKE)) << 32;

    if (unlikely(paging != t->paging)) {
        t->paging = paging;
        tlb_flush(env, true);
    }
    t->who = env->cpl == 3 ? MMU_USER
             : s->cr4 & CR4_SMAP && s->rflags & FL_AC ? MMU_SUPER_AC
             : MMU_SUPER;
    t->check_alignment = env->cpl == 3 && s->cr0 & CR0_AM
                         && s->rflags & FL_AC;
    if (unlikely(s->dr[7] != t->dr[4] || (s->dr[7] & 0xff
                                          && memcmp(s->dr, t->dr, 32)))) {
        mmu_update_breakpoints(env);
    }
    env->tlb = t->check_alignment ? tlb_none : t->tlb[t->who]->e;
    if (!(env->mode & DM_CODE64)
        && unlikely(s->seg[SEG_CS].limit != t->cs_limit)) {
        t->cs_limit = s->seg[SEG_CS].limit;
        new_jump_gens(t);
    }
    env->jump_base = env->mode & DM_CODE64 ? 0 : s->seg[SEG_CS].base << 32;
    set_jump_tag(env);
}

/* DR7: per breakpoint two enable bits from bit 0, kind and length from 16. */
void mmu_update_breakpoints(Env *env)
{
    static const uint8_t mask_of_len[4] = { 0, 1, 7, 3 };
    TcgCpu *t = env->tcg;
    const uint64_t *dr = env->s.dr;
    bool had_watch = t->n_watch;

    memcpy(t->dr, dr, 4 * sizeof(*dr));
    t->dr[4] = dr[7];
    t->n_watch = t->n_exec = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = dr[7] >> (16 + 4 * i) & 3;
        uint64_t mask = mask_of_len[dr[7] >> (18 + 4 * i) & 3];
        Breakpoint b = {
            .first = dr[i] & ~mask, .last = dr[i] | mask,
            .dr6 = 1 << i, .on_read = kind == 3,
        };

        if (!(dr[7] >> (2 * i) & 3)) {
            continue;
        }
        if (kind == 0) {
            t->exec[t->n_exec++] = b;
        } else if (kind != 2) {         /* 2: I/O, see interp/io.c */
            t->watch[t->n_watch++] = b;
        }
    }
    if (had_watch || t->n_watch) {
        tlb_flush(env, true);
    }
}

/* Env, its TLBs and the translator's part are one mapping, so that compiled code
 * reaches the tables at fixed distances; what is not touched costs no memory. */
Env *mmu_env_new(void)
{
    void *p = mmap(NULL, jit_cpu_offset() + jit_cpu_bytes(),
                   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

void mmu_env_free(Env *env)
{
    if (env) {
        munmap(env, jit_cpu_offset() + jit_cpu_bytes());
    }
}

void mmu_init(TcgCpu *t)
{
    table_init(tlb_none);
    for (unsigned who = 0; who < N_MMU; who++) {
        t->tlb[who] = (Tlb *)((char *)t->env + tcg_tlb_offset(who));
        table_init(t->tlb[who]->e);
    }
    for (unsigned i = 0; i < 2; i++) {
        FetchBank *bank = &t->fetch[i];

        bank->gen = bank->jump_gen = bank->last_gen = bank->last_jump_gen = 1;
    }
    t->walk_gen = 1;
    t->apic_page = UINT64_MAX;
    t->a20_mask = ~UINT64_C(0);
    t->as = &as_memory;
}
