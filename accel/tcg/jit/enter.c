/*
 * Ways into turns without checks, and out of them: checks, addends, borrowed
 * homes.  See turns.c.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/ahead.h"

/* --- checks ------------------------------------------------------------ */

/* What the last check has as its ways to the slow path: see stubs_to(). */
static void fail_to_next(Ctx *c)
{
    Stub *s = t_add_stub(c);

    memcpy(s->site, c->site, sizeof(s->site));
    s->n_sites = c->n_sites;
    s->save = false;
    s->jump = true;
    t_misses_to(c, s);
}

/* The address of the group's first access less its displacement: in the
 * register that is returned. */
static unsigned group_address(Ctx *c, const TurnGroup *g)
{
    unsigned ea = H_DX, x;

    if (g->base == R_PC) {
        t_rip_to(c, H_DX, 0);
    } else if (g->base == R_ZERO) {
        e_mov_i64(&c->e, H_DX, 0);
    } else {
        ea = t_src(c, g->base, 8, H_DX);
    }
    if (g->index < R_ZERO) {
        x = t_src(c, g->index, 8, H_CX);
        if (g->low) {
            e_rr(&c->e, 8, 0x81, 7, x);
            e32(&c->e, INT32_MAX);
            t_jcc_slow(c, 7);
        }
        e_rm(&c->e, 8, 0x8d, H_DX, ea, x, g->scale, 0);
        ea = H_DX;
    }
    return ea;
}

static uint32_t slot_addend(int slot)
{
    return t_slot_at(slot) + offsetof(JitSlot, addend);
}

/*
 * JitCpu.turn_bound: which index is the first of the second page; elements must
 * not straddle.  Neither slot may be an empty one, since an access through
 * that would find no flags to go back to.
 */
static void check_apart(Ctx *c, const TurnGroup *g, const Access *a, int32_t lo)
{
    Emit *e = &c->e;

    for (unsigned k = 0; k < 2; k++) {
        e_gs(e, 8, 0x8b, H_CX, t_slot_at(k ? g->slot2 : g->slot)
                               + offsetof(JitSlot, tag));
        e_rr(e, 8, 0x01, H_CX, H_CX);               /* nothing but bit 63? */
        t_jcc_slow(c, 4);
    }
    e_rm(e, 4, 0x8d, H_CX, a->ea, H_SP, 0, lo);
    e_rr(e, 4, 0xf7, 3, H_CX);                      /* neg ecx */
    e_rr(e, 4, 0x81, 4, H_CX);                      /* and: to the page's end */
    e32(e, PAGE_BYTES - 1);
    if (g->scale) {
        e_rr(e, 4, 0xf7, 0, H_CX);                  /* test */
        e32(e, (1 << g->scale) - 1);
        t_jcc_slow(c, 5);
        e_rr(e, 4, 0xc1, 5, H_CX);                  /* shr */
        e8(e, g->scale);
    }
    e_gs(e, 4, 0x89, H_CX, JOFF(turn_bound) + 4 * (g - c->turns.group));
}

void turns_check_guesses(Ctx *c, const Turns *t)
{
    Emit *e = &c->e;

    for (unsigned k = 0; k < t->n_guesses; k++) {
        const TurnGuess *g = &t->guess[k];
        unsigned a = t_src(c, g->a, 8, H_CX);

        c->n_sites = c->n_misses = 0;
        if (g->b == R_ZERO) {
            e_rr(e, 8, 0x81, 7, a);                 /* cmp */
            e32(e, -g->by);
        } else {
            e_rm(e, 8, 0x8d, H_CX, a, H_SP, 0, g->by);
            a = t_src(c, g->b, 8, H_DX);
            e_rr(e, 8, 0x39, a, H_CX);              /* cmp */
        }
        t_jcc_slow(c, 5);
        fail_to_next(c);
    }
}

void turns_check_group(Ctx *c, const TurnGroup *g, unsigned turns, Access *a)
{
    int64_t move = g->by * (int64_t)(turns - 1);
    int64_t lo = g->lo + MIN(move, 0), hi = g->hi + MAX(move, 0);

    if (g->align) {             /* whole pieces, which lie in the same page */
        lo -= (lo - g->aligned) & (g->align - 1);
        hi += (g->aligned - hi) & (g->align - 1);
    }
    *a = (Access) { .align = MAX(g->align, 1), .write = g->write,
                    .disp = lo, .size = hi - lo, .slot = g->slot,
                    .group = true, .no_addend = true };
    c->n_sites = c->n_misses = 0;
    a->ea = group_address(c, g);
    if (g->slot2 < 0) {
        t_check_access(c, a);
        fail_to_next(c);
        return;
    }
    /* Its first and its last byte, in pages that lie together, or apart. */
    a->size = 1;
    t_check_access(c, a);
    fail_to_next(c);
    c->n_sites = c->n_misses = 0;
    a->disp = hi - 1;
    a->slot = g->slot2;
    t_check_access(c, a);
    if (c->turns.apart && g->choose) {
        check_apart(c, g, a, lo);
    } else {
        e_gs(&c->e, 8, 0x8b, H_CX, slot_addend(g->slot));
        e_gs(&c->e, 8, 0x3b, H_CX, slot_addend(g->slot2));
        t_jcc_slow(c, 5);
    }
    fail_to_next(c);
}

void turns_bound(Ctx *c, const TurnGroup *g, const Access *a)
{
    Emit *e = &c->e;
    uint64_t by = ABS(g->by);
    unsigned shift = by ? 64 - __builtin_clzll(by) - !(by & (by - 1)) : 0;

    if (!by) {
        return;
    }
    e_gs(e, 8, 0x8b, H_CX, t_slot_at(a->slot) + offsetof(JitSlot, tag));
    e_rm(e, 8, 0x8d, H_CX, H_CX, a->ea, 0, a->disp);
    if (g->by > 0) {            /* RCX is an offset in the page */
        e_rr(e, 4, 0xf7, 3, H_CX);                  /* neg ecx */
        e_rr(e, 4, 0x81, 0, H_CX);
        e32(e, PAGE_BYTES - a->size);
    }
    e_rr(e, 4, 0xc1, 5, H_CX);                      /* shr ecx, imm8 */
    e8(e, shift);
    e_rm(e, 4, 0x8d, H_CX, H_CX, H_SP, 0, 1);
    e_gs(e, 4, 0x3b, H_CX, JOFF(turns));
    e_gs(e, 4, 0x0f43, H_CX, JOFF(turns));          /* cmovae */
    e_gs(e, 4, 0x89, H_CX, JOFF(turns));
}

/* --- registers --------------------------------------------------------- */

void turns_load(Ctx *c, const Turns *t)
{
    Emit *e = &c->e;

    for (unsigned r = 0; r < 16; r++) {
        if (t->borrowed >> r & 1) {
            t_home_kept(e, r, false);
        }
    }
    for (unsigned r = 0; r < 16; r++) {
        if (t->guests >> r & 1) {
            e_gs(e, 8, 0x8b, t->home[r], GPR(r));
        }
    }
    for (unsigned k = 0; k < t->n_groups; k++) {
        const TurnGroup *g = &t->group[k];

        e_gs(e, 8, 0x8b, g->reg, slot_addend(g->slot));
        if (g->form == TURN_OFFSET) {
            e_rm(e, 8, 0x8d, g->reg, g->reg, t->home[g->index],
                 g->scale, 0);
        } else if (g->base == R_PC) {
            t_rip_to(c, t->counter, 0);
            e_rm(e, 8, 0x8d, g->reg, g->reg, t->counter, 0, 0);
        } else if (g->form == TURN_INDEX || g->form == TURN_STILL) {
            e_rm(e, 8, 0x8d, g->reg, g->reg, t->home[g->base], 0, 0);
            if (t->apart && g->choose) {
                e_gs(e, 8, 0x8b, g->reg2, slot_addend(g->slot2));
                e_rm(e, 8, 0x8d, g->reg2, g->reg2, t->home[g->base], 0, 0);
                e_gs(e, 4, 0x8b, g->bound, JOFF(turn_bound) + 4 * k);
            }
        }
    }
}

void turns_give_back(Ctx *c, const Turns *t)
{
    for (unsigned r = 0; r < 16; r++) {
        if (t->changed >> r & 1) {
            e_gs(&c->e, 8, 0x89, t->home[r], GPR(r));
        }
    }
    for (unsigned r = 0; r < 16; r++) {
        if (t->borrowed >> r & 1) {
            t_home_kept(&c->e, r, true);
        }
    }
}
