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
 * Short loops inside are part of a turn, all of them one after another, when it
 * is known or can be guessed how often they turn (path.c).
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
#include "accel/tcg/jit/ahead.h"

enum {
    RETRY = 4,                  /* turns until the next try, about; */
    RETRY_GUESS = 32,           /* a guess that was wrong will be again */
    SPARE_STUBS = 3 * BLOCK_MAX_INSNS,  /* for what comes after */
    SPARE_SITES = 4 * BLOCK_MAX_INSNS,
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

/* Those since stub `from` go on here. */
static void stubs_to(Ctx *c, unsigned from, uint8_t *to)
{
    for (unsigned k = from; k < c->n_stubs; k++) {
        if (c->stubs[k].jump && !c->stubs[k].back) {
            c->stubs[k].back = to;
        }
    }
}

/* --- the turns ----------------------------------------------------------- */

unsigned t_turns_operand(Ctx *c)
{
    const Insn *n = c->insn;
    const TurnStep *s = &c->turns.path[c->turns.at];
    const TurnGroup *g = &c->turns.group[s->group];
    unsigned x;

    c->mem_base = g->reg;
    c->mem_scale = 0;
    c->disp = s->disp;
    if (c->turns.nest) {
        return s->via == R_ZERO ? H_SP : (unsigned)c->turns.home[s->via];
    }
    switch (g->form) {
    case TURN_FIXED: case TURN_STILL:
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

    turns_give_back(c, &c->turns);
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

    if (need && !c->in_r && c->replay.op != REPLAY_CMP) {
        return false;
    }
    if (need) {
        t_need_r(c);
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

static void set_dword(Ctx *c, uint32_t at, unsigned n)
{
    e_gs(&c->e, 4, 0xc7, 0, at);
    e32(&c->e, n);
}

/* A comparison whose flags only a jump wants that is known: should anyone else
 * look, it can be done then. */
static bool may_wait(const Ctx *c, const Turns *t)
{
    return !t->keeps_flags && t->at + 1 < t->n_path
           && t->path[t->at + 1].known
           && t_replay_of(c).op == REPLAY_CMP;
}

/* A jump that is known: JNE that falls through has found what is equal. */
static void after_known(Ctx *c, const Turns *t)
{
    if (c->insn->aux == 5 && t->at + 1 < t->n_path
        && t->path[t->at + 1].insn == c->i + 1) {
        c->replay = t_replay_equal(c->replay);
    }
}

/* One turn, without the jump. */
static bool one_turn(Ctx *c, Turns *t)
{
    c->in_r = t->keeps_flags;
    c->in_e = !t->keeps_flags && !t->entry.op;
    c->replay = t->keeps_flags ? (JitReplay) { 0 } : t->entry;
    for (t->at = 0; t->at < t->n_path; t->at++) {
        c->i = t->path[t->at].insn;
        c->insn = &c->b->insns[c->i];
        if (t->path[t->at].known) {
            after_known(c, t);
        } else if (may_wait(c, t)) {
            c->in_r = c->in_e = false;
            c->replay = t_replay_of(c);
        } else if (!one(c)) {
            return false;
        }
    }
    c->i = t->last;
    return c->in_r && (t->keeps_flags || c->replay.op);
}

/* What leaves the turns comes here. */
static void leave_turns(Ctx *c, Turns *t)
{
    while (t->n_late) {
        e_rel32(t->late[--t->n_late], c->e.p);
    }
    turns_give_back(c, t);
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
    turns_give_back(c, t);
    t->to_more = jmp_ahead(c);
    t->n_late = n_out;
    if (t->n_choices || t->nest) {      /* there is another translation */
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
    turns_load(c, t);
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
    set_dword(c, JOFF(turns), TURNS_MAX);
    turns_check_guesses(c, t);
    for (unsigned k = 0; k < t->n_groups; k++) {
        turns_check_group(c, &t->group[k], 1, &a);
        turns_bound(c, &t->group[k], &a);
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

    turns_check_guesses(c, t);
    for (unsigned k = 0; k < t->n_groups; k++) {
        turns_check_group(c, &t->group[k], t->turns, &a);
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
    const JitReplay any = { .op = REPLAY_CMP, .size = 4, .a = R_RSP,
                            .b = R_RSP };

    if (c->turn_edges.n + 3 > TURN_EDGES
        || !t_turns_known(c, keep_flags, apart)
        || c->n_stubs + 2 * t->n_path + SPARE_STUBS > MAX_STUBS
        || c->n_fp_sites + 2 * t->copies * t->n_path + SPARE_SITES
           > G_N_ELEMENTS(c->fp_sites)) {
        return false;
    }
    t->entry = in_e ? (JitReplay) { 0 }
               : t_flags_dead(c->b, i) ? any
               : t->keeps_flags || t_replay_stays(&entry) ? entry
               : (JitReplay) { 0 };
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
    if (t->nest) {
        c->nest_join = t->join[--t->n_joins];
        c->nest_last = t->last;
        c->n_nests++;
    }
    if (c->i == 0) {
        c->loop.again = again;
        set_dword(c, JOFF(turn_retry), t->n_guesses ? RETRY_GUESS : RETRY);
    }
}

void t_turns_end(Ctx *c)
{
    Turns *t = &c->turns;
    uint8_t *over = NULL;

    if (c->nest_join && c->i == c->nest_last) {
        t->join[t->n_joins++] = c->nest_join;
        t->last = c->nest_last;
        c->nest_join = NULL;
    }
    if ((!t->n_joins && !t->n_late) || c->i != t->last) {
        return;
    }
    t_homes_back(c);
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
