/*
 * Turns of a loop without checks.
 *
 * Before a loop that is known ahead (ahead.c) each group of its accesses is
 * checked once for as many turns as are to come, and those run with neither
 * checks nor polls.  A counter ends them; then comes the poll, and the next
 * check.  First comes a short check for a few turns, as most loops are short;
 * when those are over, or it fails, one that finds how many turns stay in all
 * pages.  When that fails too, nothing has happened, and the loop goes on as it
 * does without this.
 *
 * Nothing in between can change what was checked: a vCPU's TLB is its own, what
 * others want of it waits for its next poll, and code pages have no write tag.
 *
 * Addends are in scratch registers that the loop leaves alone, or in homes of
 * guest registers that it does not name, which are kept in JitCpu.borrowed
 * meanwhile and put back on every way out.
 *
 * Flags on entry are in cc_raw, and good there until the loop has set others:
 * an access through an empty slot (slot.c) ends the very first turn.  Where
 * anything else may look before, flags stay in RFLAGS all the time.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

enum {
    RETRY = 4,                  /* turns until the next try, about */
    SPARE_STUBS = 3 * BLOCK_MAX_INSNS,  /* for what comes after */
};

/* --- before the loop --------------------------------------------------- */

static uint8_t *jcc_ahead(Ctx *c, unsigned cond)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | cond);
    c->e.p += 4;
    return c->e.p - 4;
}

static uint8_t *jmp_ahead(Ctx *c)
{
    e8(&c->e, 0xe9);
    c->e.p += 4;
    return c->e.p - 4;
}

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

/* Those since stub `from` go on here. */
static void stubs_to(Ctx *c, unsigned from, uint8_t *to)
{
    for (unsigned k = from; k < c->n_stubs; k++) {
        if (c->stubs[k].jump && !c->stubs[k].back) {
            c->stubs[k].back = to;
        }
    }
}

/* The address of the group's first access less its displacement: in the register
 * that is returned. */
static unsigned group_address(Ctx *c, const TurnGroup *g)
{
    unsigned ea = H_DX, x;

    if (g->base == R_PC) {
        e_gs(&c->e, 8, 0x8b, H_DX, OFF(rip_base));
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
    return JOFF(slots) + slot * sizeof(JitSlot) + offsetof(JitSlot, addend);
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
        e_gs(e, 8, 0x8b, H_CX, JOFF(slots) + offsetof(JitSlot, tag)
                               + (k ? g->slot2 : g->slot) * sizeof(JitSlot));
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

/*
 * All accesses of the group, in this many turns, hit its slot.  The address is
 * then [a->ea] + a->disp.
 */
static void check_group(Ctx *c, const TurnGroup *g, unsigned turns, Access *a)
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

/* As many turns as the group stays in its page, if fewer than so far. */
static void bound_turns(Ctx *c, const TurnGroup *g, const Access *a)
{
    Emit *e = &c->e;
    uint64_t by = ABS(g->by);
    unsigned shift = by ? 64 - __builtin_clzll(by) - !(by & (by - 1)) : 0;

    if (!by) {
        return;
    }
    e_gs(e, 8, 0x8b, H_CX, JOFF(slots) + a->slot * sizeof(JitSlot)
                           + offsetof(JitSlot, tag));
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

/* Addends, and what does not move with them.  No flags. */
static void load_groups(Ctx *c, const Turns *t)
{
    Emit *e = &c->e;

    for (unsigned r = 0; r < 16; r++) {
        if (t->borrowed >> r & 1) {
            e_gs(e, 8, 0x89, jit_host_reg[r], JOFF(borrowed) + 8 * r);
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
            e_gs(e, 8, 0x8b, t->counter, OFF(rip_base));
            e_rm(e, 8, 0x8d, g->reg, g->reg, t->counter, 0, 0);
        } else if (g->form == TURN_INDEX) {
            e_rm(e, 8, 0x8d, g->reg, g->reg, t->home[g->base], 0, 0);
            if (t->apart && g->choose) {
                e_gs(e, 8, 0x8b, g->reg2, slot_addend(g->slot2));
                e_rm(e, 8, 0x8d, g->reg2, g->reg2, t->home[g->base], 0, 0);
                e_gs(e, 4, 0x8b, g->bound, JOFF(turn_bound) + 4 * k);
            }
        }
    }
}

static void give_back(Ctx *c, const Turns *t)
{
    for (unsigned r = 0; r < 16; r++) {
        if (t->guests >> r & 1) {
            e_gs(&c->e, 8, 0x89, t->home[r], GPR(r));
        }
    }
    for (unsigned r = 0; r < 16; r++) {
        if (t->borrowed >> r & 1) {
            e_gs(&c->e, 8, 0x8b, jit_host_reg[r], JOFF(borrowed) + 8 * r);
        }
    }
}

/* --- the turns ----------------------------------------------------------- */

unsigned t_turns_operand(Ctx *c)
{
    const Insn *n = c->insn;
    const TurnGroup *g = &c->turns.group[c->turns.of_insn[c->i]];
    unsigned x;

    c->mem_base = g->reg;
    c->mem_scale = 0;
    c->disp = c->turns.disp[c->i];
    switch (g->form) {
    case TURN_FIXED:
        return H_SP;
    case TURN_INDEX:
        c->mem_scale = n->scale;
        x = t_src(c, n->index, 8, H_CX);
        if (c->turns.apart && g->choose) {
            c->mem_base = c->turns.chosen;
            e_rr(&c->e, 4, 0x39, g->bound, x);      /* cmp x, bound */
            e_mov(&c->e, 8, c->mem_base, g->reg2);
            e_rr(&c->e, 8, 0x0f42, c->mem_base, g->reg);    /* cmovb */
        }
        return x;
    case TURN_BOTH:
        c->disp = 0;
        return t_offset_to(c, H_DX, true);
    default:
        return t_src(c, n->base, 8, H_DX);
    }
}

/* A jump out of the loop, or over the rest of this turn. */
static void side_exit(Ctx *c)
{
    const Insn *n = c->insn;
    JitReplay replay = c->replay;
    uint8_t *over = jcc_ahead(c, n->aux ^ 1);

    give_back(c, &c->turns);
    c->replay.op = REPLAY_NONE; /* it may name what has been given back */
    t_go_rel(c, n->off + n->len + n->imm, false);
    e_rel32(over, c->e.p);
    c->in_r = true;
    c->in_e = false;
    c->replay = replay;
}

/* One instruction; false: it cannot be done here after all. */
static bool one(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned w;
    bool need = t_needs_flags(n, &w);
    int64_t to = n->off + n->len + n->imm;

    if (need && !c->in_r) {
        return false;
    }
    if (n->op == OP_JCC_I) {
        if (n->size != c->word || to != (int32_t)to) {
            return false;
        }
        side_exit(c);
        return true;
    }
    t_replay_check(c, w && !need);
    c->n_sites = c->n_misses = 0;
    c->mem_site = c->no_slot = c->slow_exits = false;
    c->keep_r = need;
    c->mem_base = H_AX;
    c->mem_scale = 0;
    if (!(t_move(c) || t_alu(c) || t_vec(c)) || c->n_sites || c->n_misses) {
        return false;
    }
    if (c->mem_site) {
        t_add_site(c, c->mem_flags, c->mem_replay);
    }
    if (w) {
        c->in_r = true;
        c->in_e = false;
        c->replay = need ? (JitReplay) { 0 } : t_replay_of(c);
    }
    return true;
}

/* A poll, and then to `to`, which is where instruction `off` is checked for;
 * flags are in cc_raw.  Unlinked when the block dies. */
void t_turns_again(Ctx *c, unsigned off, uint8_t *to)
{
    TurnEdges *edges = &c->turn_edges;
    Stub *s;

    c->in_r = false;
    c->in_e = true;
    c->replay.op = REPLAY_NONE;
    s = t_add_exit(c, EXIT_EDGE, off);
    t_go_linked(c, s);
    edges->edge[edges->n] = s->edge;
    edges->to[edges->n++] = to;
}

static void set_turns(Ctx *c, unsigned n)
{
    e_gs(&c->e, 4, 0xc7, 0, JOFF(turns));
    e32(&c->e, n);
}

/* One turn, without the jump. */
static bool one_turn(Ctx *c, const Turns *t)
{
    c->in_r = t->keeps_flags;
    c->in_e = !t->keeps_flags && !t->entry.op;
    c->replay = t->keeps_flags ? (JitReplay) { 0 } : t->entry;
    for (c->i = t->first; c->i < t->last; c->i++) {
        c->insn = &c->b->insns[c->i];
        if (!one(c)) {
            return false;
        }
    }
    return c->in_r && (t->keeps_flags || c->replay.op);
}

/* What leaves the turns comes here. */
static void leave_turns(Ctx *c, Turns *t)
{
    while (t->n_late) {
        e_rel32(t->late[--t->n_late], c->e.p);
    }
    give_back(c, t);
}

/*
 * The turns, and what comes after the last of them.  Where flags are kept,
 * nothing that changes them comes between turns.
 */
static bool emit_turns(Ctx *c, Turns *t)
{
    Emit *e = &c->e;
    unsigned cond = c->b->insns[t->last].aux;
    uint8_t **out = t->late;
    unsigned n_out = 0;

    e_nops(e, -(uintptr_t)e->p & 15);
    for (unsigned k = 0; k < t->copies; k++) {
        if (k) {
            out[n_out++] = jcc_ahead(c, cond ^ 1);
        }
        t->copy[k] = e->p;
        if (!one_turn(c, t)) {
            return false;
        }
    }
    c->i = t->first;
    if (t->keeps_flags) {
        e_rm(e, 4, 0x8d, H_CX, H_CX, H_SP, 0, -(int)t->copies);
        e8(e, 0xe3);                                /* jrcxz over */
        e8(e, 11);
        e_rel32(jcc_ahead(c, cond), t->copy[0]);
        out[n_out++] = jmp_ahead(c);
        out[n_out++] = jcc_ahead(c, cond ^ 1);
        t_save_flags(e);
    } else {
        out[n_out++] = jcc_ahead(c, cond ^ 1);
        e_rr(e, 4, 0x83, 5, t->counter);            /* sub counter, n */
        e8(e, t->copies);
        e_rel32(jcc_ahead(c, 5), t->copy[0]);
        t_save_from(e, &c->replay);
    }
    give_back(c, t);
    t->to_more = jmp_ahead(c);
    t->n_late = n_out;
    if (t->n_choices) {         /* there is a second translation */
        leave_turns(c, t);
        t->join[t->n_joins++] = jmp_ahead(c);
    }
    return true;
}

/* Into the turns: as many as JitCpu.turns, or, the first time, t->turns. */
static void enter_turns(Ctx *c, const Turns *t, bool few)
{
    if (few && t->keeps_flags && t->entry.op) {
        t_replay(&c->e, &t->entry);
    } else if (t->keeps_flags) {
        t_load_flags(&c->e);
    }
    load_groups(c, t);
    if (few) {
        e_mov_i64(&c->e, t->counter, t->turns);
    } else {
        e_gs(&c->e, 4, 0x8b, t->counter, JOFF(turns));
    }
}

/* As many turns as JitCpu.turns, if it is a multiple of the copies and `odd`
 * more: what they lack of the next multiple is left out of the first. */
static void enter_odd(Ctx *c, const Turns *t, unsigned odd)
{
    Emit *e = &c->e;
    uint8_t *next;

    e_gs(e, 4, 0x8b, H_CX, JOFF(turns));
    e_rr(e, 4, 0x83, 4, H_CX);                      /* and ecx, imm8 */
    e8(e, t->copies - 1);
    e_rr(e, 4, 0x83, 7, H_CX);                      /* cmp ecx, imm8 */
    e8(e, odd);
    next = jcc_ahead(c, 5);
    e_gs(e, 4, 0x83, 0, JOFF(turns));               /* add dword, imm8 */
    e8(e, t->copies - odd);
    enter_turns(c, t, false);
    e_rel32(jmp_ahead(c), t->copy[t->copies - odd]);
    e_rel32(next, e->p);
}

/* After a poll, as many turns as hit everywhere. */
static void emit_more(Ctx *c, Turns *t, unsigned few_stubs)
{
    Emit *e = &c->e;
    unsigned edge = c->turn_edges.n;
    Access a;

    e_rel32(t->to_more, e->p);
    t_turns_again(c, c->b->insns[t->first].off, NULL);
    c->keep_r = false;
    stubs_to(c, few_stubs, e->p);
    if (t->entry.op) {
        t_save_from(e, &t->entry);
    }
    t->more = c->turn_edges.to[edge] = e->p;
    set_turns(c, TURNS_MAX);
    for (unsigned k = 0; k < t->n_groups; k++) {
        check_group(c, &t->group[k], 1, &a);
        bound_turns(c, &t->group[k], &a);
    }
    for (unsigned k = 1; k < t->copies; k++) {
        enter_odd(c, t, k);
    }
    enter_turns(c, t, false);
    e_rel32(jmp_ahead(c), t->copy[0]);
}

/* All of it: a few turns that hit everywhere, else as many as do. */
static bool emit_loop(Ctx *c, Turns *t)
{
    unsigned stubs = c->n_stubs;
    bool ok;
    Access a;

    for (unsigned k = 0; k < t->n_groups; k++) {
        check_group(c, &t->group[k], t->turns, &a);
    }
    enter_turns(c, t, true);
    t->on = true;
    c->e.home = t->home;
    ok = emit_turns(c, t);
    t->on = false;
    c->e.home = jit_host_reg;
    if (ok) {
        emit_more(c, t, stubs);
    }
    return ok;
}

/*
 * False: nothing was emitted.  `entry`: what gives the flags that are on entry;
 * where there is none, or they are wanted there, they are saved in cc_raw.
 */
static bool try_loop(Ctx *c, bool keep_flags, bool apart, JitReplay entry)
{
    Turns *t = &c->turns;
    unsigned i = c->i, n_stubs = c->n_stubs, n_fp_sites = c->n_fp_sites;
    unsigned n_edges = c->turn_edges.n;
    uint8_t *start = c->e.p, live = c->live;
    const Insn *insn = c->insn;
    bool in_r = c->in_r, in_e = c->in_e, ok;

    if (c->n_stubs + SPARE_STUBS > MAX_STUBS
        || c->turn_edges.n + 3 > TURN_EDGES
        || !t_turns_known(c, keep_flags, apart)) {
        return false;
    }
    t->entry = !in_e && (t->keeps_flags || t_replay_stays(&entry))
               ? entry : (JitReplay) { 0 };
    if (!in_e && !t->entry.op) {
        t_save_from(&c->e, in_r ? &t->entry : &entry);
        c->in_e = true;
    }
    c->in_r = false;
    c->replay = t->entry;
    ok = t_live(c, t->need) && emit_loop(c, t);
    c->i = i;
    c->insn = insn;
    c->in_e = true;
    c->in_r = false;
    c->replay.op = REPLAY_NONE;
    c->n_sites = c->n_misses = 0;
    c->mem_site = false;
    c->mem_base = H_AX;
    c->mem_scale = 0;
    if (!ok) {
        c->e.p = start;
        c->in_r = in_r;
        c->in_e = in_e;
        c->replay = entry;
        c->live = live;
        c->n_stubs = n_stubs;
        c->n_fp_sites = n_fp_sites;
        c->turn_edges.n = n_edges;
        return false;
    }
    stubs_to(c, n_stubs, c->e.p);
    return true;
}

void t_turns_begin(Ctx *c)
{
    Turns *t = &c->turns;
    bool keep_flags = false;
    JitReplay entry = c->replay;
    uint8_t *again;

    if (c->plain || jit_options.no_chain || jit_options.tlb_miss
        || c->word != 8 || t->n_joins || t->n_late || (c->i == 0 && c->loop.top)
        || (!t_turns_known(c, false, false)
            && !t_turns_known(c, true, false))) {
        return;
    }
    t_sp_settle(c);
    t_homes_back(c);
    t_groups_end(c);
    c->keep_r = false;
    if (!try_loop(c, false, false, entry)) {
        keep_flags = true;
        if (!try_loop(c, true, false, entry)) {
            return;
        }
    }
    again = t->more;
    if (t->n_choices) {
        try_loop(c, keep_flags, true, (JitReplay) { 0 });
    }
    if (c->i == 0) {
        c->loop.again = again;
        set_turns(c, RETRY);
    }
}

void t_turns_end(Ctx *c)
{
    Turns *t = &c->turns;
    uint8_t *over = NULL;

    if ((!t->n_joins && !t->n_late) || c->i != t->last) {
        return;
    }
    if (c->in_e || t->n_late) {
        over = jmp_ahead(c);
    }
    if (t->n_late) {
        leave_turns(c, t);
    }
    while (t->n_joins) {
        e_rel32(t->join[--t->n_joins], c->e.p);
    }
    if (c->in_e) {
        t_save_flags(&c->e);
    }
    if (over) {
        e_rel32(over, c->e.p);
    }
    t_groups_end(c);
}
