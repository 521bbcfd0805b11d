/*
 * Translations of address spaces that are not the present one: what CR4.PCIDE
 * lets survive a load of CR3.
 *
 * The softTLB holds the present PCID's entries only, so that no hit has a tag
 * to compare.  A load of CR3 moves those that are not global to a store of their
 * PCID and brings back, if bit 63 allows it, what the new one left.  Moving an
 * entry is a few loads and stores; a fill is a walk.
 *
 * Spec:  Intel SDM volume 3A 4.10.1, 4.10.4.1.
 * Locks: see invariant 1 in tcg.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"

enum { N_SPACES = 8, SPACE_ENTRIES = 512 };

typedef struct SavedEntry {
    TlbEntry e;
    uint16_t index;
    uint8_t who;
} SavedEntry;

typedef struct SavedSpace {
    bool used;
    uint16_t pcid;
    uint32_t since;             /* the one saved longest ago makes room */
    SavedBank bank[2];
    unsigned n;
    SavedEntry e[SPACE_ENTRIES];
} SavedSpace;

struct PcidStore {
    uint32_t clock;
    SavedSpace space[N_SPACES];
};

static SavedSpace *find(PcidStore *store, uint16_t pcid)
{
    for (unsigned i = 0; i < N_SPACES; i++) {
        if (store->space[i].used && store->space[i].pcid == pcid) {
            return &store->space[i];
        }
    }
    return NULL;
}

static SavedSpace *make_room(PcidStore *store, uint16_t pcid)
{
    SavedSpace *oldest = find(store, pcid);

    for (unsigned i = 0; i < N_SPACES && !oldest; i++) {
        if (!store->space[i].used) {
            oldest = &store->space[i];
        }
    }
    if (!oldest) {
        oldest = &store->space[0];
        for (unsigned i = 1; i < N_SPACES; i++) {
            if ((int32_t)(store->space[i].since - oldest->since) < 0) {
                oldest = &store->space[i];
            }
        }
    }
    return oldest;
}

void pcid_save(TcgCpu *t, uint16_t pcid)
{
    SavedSpace *space;

    if (!t->pcids) {
        t->pcids = g_new0(PcidStore, 1);
    }
    space = make_room(t->pcids, pcid);
    space->used = true;
    space->pcid = pcid;
    space->since = ++t->pcids->clock;
    space->n = 0;
    for (unsigned i = 0; i < 2; i++) {
        tlb_save_bank(t, i, &space->bank[i]);
    }
    for (unsigned who = 0; who < N_MMU; who++) {
        const Tlb *tlb = t->tlb[who];

        for (unsigned n = 0; n < tlb->n_journal[0]; n++) {
            unsigned i = tlb->journal[0][n];
            const TlbEntry *e = &tlb->e[i];

            if ((e->aux & (TLBE_VALID | TLBE_GLOBAL)) != TLBE_VALID) {
                continue;
            }
            if (space->n == SPACE_ENTRIES) {
                return;         /* the rest is filled again */
            }
            space->e[space->n++] = (SavedEntry) {
                .e = *e, .index = i, .who = who,
            };
        }
    }
}

void pcid_restore(TcgCpu *t, uint16_t pcid)
{
    SavedSpace *space = t->pcids ? find(t->pcids, pcid) : NULL;

    for (unsigned n = 0; space && n < space->n; n++) {
        const SavedEntry *saved = &space->e[n];

        tlb_put_back(t, saved->who, saved->index, &saved->e);
    }
    if (space) {
        for (unsigned i = 0; i < 2; i++) {
            tlb_put_back_bank(t, i, &space->bank[i]);
        }
        space->used = false;
    }
}

void pcid_forget(TcgCpu *t, uint16_t pcid)
{
    SavedSpace *space = t->pcids ? find(t->pcids, pcid) : NULL;

    if (space) {
        space->used = false;
    }
}

void pcid_forget_all(TcgCpu *t)
{
    for (unsigned i = 0; t->pcids && i < N_SPACES; i++) {
        t->pcids->space[i].used = false;
    }
}

void pcid_foreach(TcgCpu *t, void (*fn)(TlbEntry *e, unsigned index,
                                        const void *opaque),
                  const void *opaque)
{
    for (unsigned i = 0; t->pcids && i < N_SPACES; i++) {
        SavedSpace *space = &t->pcids->space[i];

        for (unsigned n = 0; space->used && n < space->n; n++) {
            fn(&space->e[n].e, space->e[n].index, opaque);
        }
    }
}

void pcid_free(TcgCpu *t)
{
    g_free(t->pcids);
    t->pcids = NULL;
}
