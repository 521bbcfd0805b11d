/*
 * A decoded block to host code.
 *
 * Guest registers live in host registers (jit_host_reg) or in the environment,
 * which GS points to.  RAX, RCX and RDX are scratch: an address is in RDX or
 * in the guest register that holds it, a TLB's addend in RAX, a value in RCX.
 *
 * Arithmetic flags are in RFLAGS (in_r), in env->cc_raw (in_e), or both.  The
 * check of an access leaves RFLAGS alone while they hold the only copy.  Every
 * place that may leave saves them first, so flags are precise at each fault.
 *
 * The fast path of an instruction is a template.  Where it does not do, and
 * for instructions without one, jit_fallback() runs the interpreter's handler.
 * What may transfer control and has no template is left to the interpreter.
 *
 * x87 and vector registers are loaded by the first instruction of a block that
 * uses them, unless they are live already (fp.h).
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- one instruction --------------------------------------------------- */

/* False: no template for this form. */
static bool template(Ctx *c)
{
    const Insn *n = c->insn;

    if (t_is_mem(c) && (n->ea & EA_A16
                        || (c->word == 4 && (!(n->ea & EA_A32)
                                             || (n->ea & EA_SEG
                                                 && c->keep_r))))) {
        return false;
    }
    return t_move(c) || t_alu(c) || t_flow(c) || t_system(c)
           || t_bmi(c) || t_bit(c) || t_clock(c) || t_string(c)
           || t_vec(c) || t_x87(c);
}

/* Only the interpreter can run it, in its block. */
static bool leaves_block(const Insn *n)
{
    switch (n->op) {
    case OP_JCC_I: case OP_JMP_I: case OP_JMP_RM: case OP_CALL_I:
    case OP_CALL_RM: case OP_RET: case OP_RET_I: case OP_LOOP_I:
    case OP_LOOPE_I: case OP_LOOPNE_I: case OP_JCXZ_I:
        return true;
    }
    return n->flags & INSN_END;
}

/* For jit_fallback(). */
static uint32_t no_flags(const Insn *n)
{
    InsnFlags f = insn_flags(n);

    return (f.read | f.set | f.may | f.undef) & IF_ARITH ? 0 : JIT_NO_FLAGS;
}

void t_add_site(Ctx *c, bool flags_live, JitReplay replay)
{
    c->fp_sites[c->n_fp_sites++] = (JitFpSite) {
        .end = c->e.p - c->start, .insn = c->i, .flags_live = flags_live,
        .replay = replay,
        .borrowed = c->turns.on ? c->turns.borrowed
                                : t_borrowed(&c->borrowed),
        .guests = c->turns.on ? c->turns.guests : 0,
        .sp_off = c->mem_site ? c->mem_sp_off : 0,
    };
}

void t_fp_site(Ctx *c)
{
    t_add_site(c, !c->in_e, t_replay_now(c));
}

bool t_needs_flags(const Insn *n, unsigned *writes)
{
    InsnFlags f = insn_flags(n);

    *writes = (f.set | f.may | f.undef) & IF_ARITH;
    return f.read & IF_ARITH
           || (*writes && (f.may & IF_ARITH
                           || ((f.set | f.undef) & IF_ARITH) != IF_ARITH));
}

/* False: not even the first instruction can be compiled. */
static bool one(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned w;
    bool need = t_needs_flags(n, &w);
    uint8_t *start, live = c->live;
    unsigned n_stubs;
    bool in_r, in_e;
    JitReplay replay;

    if (t_crosses(c->b, c->i)) {
        t_cross_check(c);
    }
    t_group_begin(c);
    t_table_begin(c);
    t_replay_check(c, w && !need);
    start = c->e.p;
    n_stubs = c->n_stubs;
    in_r = c->in_r;
    in_e = c->in_e;
    replay = c->replay;
    c->n_sites = c->n_misses = 0;
    c->mem_site = c->no_slot = false;
    c->rax_keep = false;
    c->keep_r = need;
    c->slow_exits = false;
    if (need) {
        t_need_r(c);
    }
    if (template(c)) {
        if (!c->rax_keep || c->n_sites || c->n_misses) {
            c->rax_group = NULL;
        }
        if (c->mem_site) {
            t_add_site(c, c->mem_flags, c->mem_replay);
        }
        if (w && !c->done) {
            c->in_r = true;
            c->in_e = false;
            c->replay = need ? (JitReplay) { 0 } : t_replay_of(c);
        }
        if (c->n_sites || c->n_misses) {
            Stub *s;

            if (!c->slow_exits) {
                t_sp_settle(c); /* the handler, which comes back behind this,
                                 * has moved RSP itself */
            }
            s = c->slow_exits ? t_add_exit(c, EXIT_INTERP, 0) : t_add_stub(c);
            memcpy(s->site, c->site, sizeof(s->site));
            s->n_sites = c->n_sites;
            s->save = c->site_save;
            s->replay = c->site_replay;
            s->reload = c->in_r;
            s->live = c->live;
            s->back = c->e.p;
            t_misses_to(c, s);
        }
        return true;
    }
    c->e.p = start;
    c->live = live;
    c->n_stubs = n_stubs;
    c->in_r = in_r;
    c->in_e = in_e;
    c->replay = replay;
    c->done = false;
    c->rax_group = NULL;
    if (n->flags & INSN_END && !jit_options.no_chain) {
        if (!c->in_e) {
            t_save_from(&c->e, &(JitReplay[]) { t_replay_now(c) }[0]);
        }
        e_mov_i64(&c->e, H_AX, (uintptr_t)c->jc);
        e_mov_i64(&c->e, H_CX, c->i);
        e8(&c->e, 0xe9);
        e_rel32(c->e.p, jit_space.transfer);
        c->e.p += 4;
        c->done = true;
        return true;
    }
    if (leaves_block(n)) {
        if (c->i == 0) {
            return false;
        }
        e8(&c->e, 0xe9);
        t_stub_site(c, t_add_exit(c, EXIT_INTERP, 0));
        c->done = true;
        return true;
    }
    if (!c->in_e) {
        t_save_from(&c->e, &(JitReplay[]) { t_replay_now(c) }[0]);
    }
    c->in_e = true;
    c->in_r = false;
    c->replay.op = REPLAY_NONE;
    t_give_back(&c->e, &c->borrowed);
    e_mov_i64(&c->e, H_AX, (uintptr_t)c->jc);
    e_mov_i64(&c->e, H_CX, c->i | no_flags(n));
    e8(&c->e, 0xe8);
    e_rel32(c->e.p, jit_space.fallback);
    c->e.p += 4;
    t_lend(&c->e, &c->borrowed);
    c->live = c->x87_seg = 0;
    return true;
}

/* --- a block ----------------------------------------------------------- */

/* To what the edge will be linked to; at first to what comes behind it. */
static void jmp_linked(Emit *e, JitEdge *edge)
{
    e_nops(e, (3 - (uintptr_t)e->p) & 7);
    e8(e, 0xe9);
    edge->patch = e->p;
    e32(e, 0);
}

static void emit_stub(Ctx *c, Stub *s)
{
    Emit *e = &c->e;

    for (unsigned i = 0; i < s->n_sites; i++) {
        e_rel32(s->site[i], e->p);
    }
    if (s->miss) {
        t_slot_miss(c, s);
        return;
    }
    if (s->jump) {
        e8(e, 0xe9);
        e_rel32(e->p, s->back);
        e->p += 4;
        return;
    }
    t_give_back(e, &s->borrowed);
    if (s->edge && s->edge->kind == EXIT_EDGE && s->borrowed.n) {
        jmp_linked(e, s->edge);
    }
    if (s->edge) {
        s->edge->stub = e->p;
    }
    if (s->save) {
        t_save_from(e, &s->replay);
    }
    if (s->again) {
        uint8_t *over;

        e8(e, 0xe8);
        e_rel32(e->p, jit_space.lookup);
        e->p += 4;
        e_rr(e, 4, 0x85, H_AX, H_AX);
        e8(e, 0x74);                                /* jz over */
        over = e->p;
        e8(e, 0);
        if (s->reload) {
            t_load_flags(e);
        }
        e8(e, 0xe9);
        e_rel32(e->p, s->again);
        e->p += 4;
        *over = e->p - (over + 1);
    }
    if (s->sp_off && (s->exit_rdx || s->edge)) {
        e_rm(e, c->word, 0x8d, SP, SP, H_SP, 0, s->sp_off);
    }
    if (s->exit_rdx) {
        e_gs(e, 8, 0x89, H_DX, OFF(s.rip));
        e8(e, 0xe9);
        e_rel32(e->p, jit_space.leave_null);
        e->p += 4;
    } else if (s->edge) {
        if (s->edge->kind == EXIT_PLAIN) {
            jmp_linked(e, s->edge);
        }
        e_mov_i64(e, H_AX, (uintptr_t)s->edge);
        e8(e, 0xe9);
        e_rel32(e->p, jit_space.leave);
        e->p += 4;
    } else {
        e_mov_i64(e, H_AX, (uintptr_t)c->jc);
        e_mov_i64(e, H_CX, s->insn | (s->live & ~FP_BASED) << 8
                           | (s->load_fp ? JIT_LOAD_FP : 0)
                           | no_flags(&c->b->insns[s->insn]));
        e8(e, 0xe8);
        e_rel32(e->p, jit_space.fallback);
        e->p += 4;
        t_lend(e, &s->borrowed);
        if (s->reload) {
            t_load_flags(e);
        }
        e8(e, 0xe9);
        e_rel32(e->p, s->back);
        e->p += 4;
    }
}

bool t_flags_dead(const Block *b, unsigned first)
{
    for (unsigned i = first; i < b->n_insns; i++) {
        const Insn *n = &b->insns[i];
        InsnFlags f = insn_flags(n);

        if (f.read & IF_ARITH || f.may & IF_ARITH || t_crosses(b, i)
            || (n->flags & INSN_MEM && n->op != OP_LEA_R_M)) {
            return false;
        }
        switch (n->op) {        /* what surely has a template */
        case OP_MOV_RM_R: case OP_MOV_R_RM: case OP_MOV_RM_I: case OP_LEA_R_M:
        case OP_MOVZX8_R_RM: case OP_MOVZX16_R_RM: case OP_MOVSX8_R_RM:
        case OP_MOVSX16_R_RM: case OP_NOT_RM: case OP_NOP:
            break;
        case OP_ADD_RM_R: case OP_ADD_R_RM: case OP_ADD_RM_I:
        case OP_SUB_RM_R: case OP_SUB_R_RM: case OP_SUB_RM_I:
        case OP_CMP_RM_R: case OP_CMP_R_RM: case OP_CMP_RM_I:
        case OP_AND_RM_R: case OP_AND_R_RM: case OP_AND_RM_I:
        case OP_OR_RM_R: case OP_OR_R_RM: case OP_OR_RM_I:
        case OP_XOR_RM_R: case OP_XOR_R_RM: case OP_XOR_RM_I:
        case OP_TEST_RM_R: case OP_TEST_RM_I: case OP_NEG_RM:
            return true;
        default:
            return false;
        }
    }
    return false;
}

static bool is_stack(const Insn *n)
{
    switch (n->op) {
    case OP_PUSH_RM: case OP_PUSH_I: case OP_POP_RM: case OP_CALL_I:
    case OP_CALL_RM: case OP_RET: case OP_RET_I: case OP_LEAVE:
        return true;
    }
    return false;
}

/*
 * Does the block rather begin with flags in cc_raw?  It does when it would put
 * them there soon: before several checks, or to end where nobody knows who comes
 * next.  A run of pushes is one check.
 */
static bool better_saved(const Block *b)
{
    const Insn *last = &b->insns[b->n_insns - 1];
    bool jumps = last->op == OP_JMP_RM;
    bool stack = false;
    unsigned n = 0;

    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *insn = &b->insns[i];
        InsnFlags f = insn_flags(insn);

        if ((f.read | f.may) & IF_ARITH) {
            return n >= 3;
        }
        n += is_stack(insn) ? !stack
                            : insn->flags & INSN_MEM && insn->op != OP_LEA_R_M;
        stack = is_stack(insn);
        if (((f.set | f.undef) & IF_ARITH) == IF_ARITH) {
            return n >= (jumps ? 1 : 2);
        }
        if (insn->op == OP_CALL_I || insn->op == OP_CALL_RM) {
            return true;
        }
    }
    return n >= 2 || jumps || is_stack(last);
}

/*
 * From anywhere, with RIP in RDX.  It begins with an instruction of at least
 * five bytes at a multiple of 8, over which one store can put a jump.
 */
static uint8_t *far_entry(Ctx *c)
{
    uint8_t *at;

    t_align8(&c->e);
    at = c->e.p;
    t_set_base(c, c->b->off);
    return at;
}

static Ctx the_ctx;             /* under the cache mutex */

static Ctx *begin(Block *b, JitCode *jc, bool plain)
{
    Ctx *c = &the_ctx;
    unsigned who = b->mode & DM_CPL3 ? MMU_USER
                   : b->mode & DM_AC ? MMU_SUPER_AC : MMU_SUPER;

    c->e.p = c->start = jit_space.code;
    c->e.home = jit_host_reg;
    c->b = b;
    c->jc = jc;
    c->n_stubs = c->n_fp_sites = c->n_astray = 0;
    c->landings = jc->landings;
    c->live = 0;
    c->x87_seg = 0;
    c->who = who;
    c->tlb = tcg_tlb_offset(who);
    c->word = (b->mode & DM_CODE_MASK) == DM_CODE64 ? 8 : 4;
    c->fixed = jc->base != JIT_BASE_ANY;
    c->base = jc->base;
    c->plain = plain;
    c->loop = (Loop) {
        .wanted = !plain && !jit_options.no_chain
                  && b->n_insns <= LOOP_MAX_INSNS,
    };
    memset(&c->turns, 0, sizeof(c->turns));
    c->turn_edges.n = c->n_nests = 0;
    c->nest_join = NULL;
    c->mem_base = H_AX;
    c->mem_scale = 0;
    t_groups_end(c);
    c->sp_off = 0;
    c->replay.op = REPLAY_NONE;
    return c;
}

/* For jit.c to find the instruction of a signal. */
static void add_fp_map(const Ctx *c)
{
    JitFpMap *m;

    if (!c->n_fp_sites) {
        return;
    }
    m = jit_alloc(sizeof(*m) + c->n_fp_sites * sizeof(JitFpSite));
    m->block = c->b;
    m->start = c->start;
    m->n = c->n_fp_sites;
    memcpy(m->site, c->fp_sites, c->n_fp_sites * sizeof(JitFpSite));
    m->next = jit_fp_maps;
    jit_fp_maps = m;
}

/* The instructions from `first` on.  False: the first one cannot be
 * compiled. */
static bool body(Ctx *c, unsigned first)
{
    const Block *b = c->b;

    c->done = false;
    for (c->i = first; c->i < b->n_insns && !c->done; c->i++) {
        c->insn = &b->insns[c->i];
        if (!t_sp_waits(c)) {
            t_sp_settle(c);
        }
        t_homes_due(c);
        t_turns_begin(c);
        if (!one(c)) {
            return false;
        }
        t_turns_end(c);
    }
    if (!c->done) {
        t_sp_settle(c);
        t_homes_due(c);
        c->i--;
        t_go_rel(c, c->insn->off + c->insn->len, true);
    }
    return true;
}

/* Out of the way. */
static void emit_stubs(Ctx *c)
{
    uint8_t *hot = c->e.p;

    c->e.p = jit_space.cold;
    for (unsigned i = 0; i < c->n_stubs; i++) {
        emit_stub(c, &c->stubs[i]);
    }
    jit_space.cold = c->e.p;
    c->e.p = hot;
}

/* The same, with their stubs. */
static bool insns(Ctx *c, unsigned first)
{
    Loop *l = &c->loop;

    if (!body(c, first)) {
        return false;
    }
    if (l->n) {                 /* all turns but the first */
        l->top = c->e.p;
        l->n_slots = 0;
        c->in_r = c->in_e = false;
        c->replay = l->replay;
        c->live = l->live;
        c->x87_seg = 0;
        t_groups_end(c);
        body(c, 0);
    }
    t_astray(c);
    emit_stubs(c);
    add_fp_map(c);
    return true;
}

uint8_t *jit_compile_plain(JitCode *jc, unsigned insn)
{
    Ctx *c = begin(jc->block, jc, true);
    uint8_t *start;

    t_align8(&c->e);
    start = c->e.p;
    c->in_r = false;
    c->in_e = true;
    if (!insns(c, insn)) {
        return NULL;
    }
    jc->landings = c->landings;
    jit_space.code = c->e.p;
    return start;
}

/*
 * What the block surely needs live is loaded at its start, and who comes from
 * where it is live enters behind that: loops above all.
 */
static unsigned live_need(Ctx *c)
{
    const Block *b = c->b;
    unsigned need = 0;

    for (unsigned i = 0; i < b->n_insns && !leaves_block(&b->insns[i]); i++) {
        need |= t_fp_need(c, &b->insns[i]);
    }
    return need;
}

static void live_entry(Ctx *c, unsigned need)
{
    c->i = 0;
    t_live(c, need);
    if (need & FP_X87) {
        t_x87_base(c);
    }
    c->jc->entry_live = c->e.p;
    c->jc->live = c->live;
}

/*
 * The ways in, for a body that has flags in RFLAGS or does not want them.
 * Far ones differ even then: who finds the block stale leaves with its flags.
 */
static void entries(Ctx *c, bool dead)
{
    JitCode *jc = c->jc;
    uint8_t *rel32;

    jc->far_r = far_entry(c);
    e8(&c->e, 0xe9);
    rel32 = c->e.p;
    e32(&c->e, 0);
    jc->far_e = far_entry(c);
    jc->entry_e = c->e.p;
    if (!dead) {
        t_load_flags(&c->e);
    }
    e_rel32(rel32, c->e.p);
    jc->entry_r = c->e.p;
}

/* The same for one that has them in cc_raw. */
static void entries_saved(Ctx *c)
{
    JitCode *jc = c->jc;
    uint8_t *rel32;

    jc->far_r = far_entry(c);
    jc->entry_r = c->e.p;
    t_save_flags(&c->e);
    e8(&c->e, 0xe9);
    rel32 = c->e.p;
    e32(&c->e, 0);
    jc->far_e = far_entry(c);
    e_rel32(rel32, c->e.p);
    jc->entry_e = c->e.p;
}

/* A jump inside the block, undone with those from other blocks. */
static void link_own(JitCode *jc, JitEdge *edge, const uint8_t *to)
{
    e_rel32(edge->patch, to);
    edge->linked = true;
    edge->next_in = jc->in;
    jc->in = edge;
}

JitCode *jit_compile(Block *b, uint64_t base, const uint64_t *gpr)
{
    Ctx *c;
    JitCode *jc;
    uint8_t *start = jit_space.code, *cold = jit_space.cold;
    uint8_t *data = jit_space.data;
    unsigned need;
    bool dead;

    if (!jit_mode(b->mode) || (b->mode & DM_CPL3 && b->mode & DM_AC)) {
        return NULL;
    }
    jc = jit_alloc(sizeof(JitCode) + b->n_insns * sizeof(InsnFn *));
    memset(jc, 0, sizeof(*jc));
    jc->block = b;
    jc->base = base;
    c = begin(b, jc, false);
    c->gpr = gpr;
    for (unsigned i = 0; i < b->n_insns; i++) {
        jc->fns[i] = t_crosses(b, i) ? b->cross_fn
                     : i ? b->insns[i].fn : b->jit_fn0;
    }

    need = live_need(c);
    dead = t_flags_dead(b, 0);
    jc->flags_dead = dead;
    c->in_e = !dead && !need && better_saved(b);
    c->in_r = !c->in_e;
    if (c->in_e) {
        entries_saved(c);
    } else {
        entries(c, dead);
    }
    if (need) {
        live_entry(c, need);
    }
    if (!insns(c, 0)) {
        jit_space.cold = cold;
        jit_space.data = data;
        return NULL;
    }
    for (unsigned i = 0; i < c->loop.n; i++) {
        link_own(jc, c->loop.edge[i], c->loop.top);
    }
    for (unsigned i = 0; i < c->turn_edges.n; i++) {
        link_own(jc, c->turn_edges.edge[i], c->turn_edges.to[i]);
    }
    jc->landings = c->landings;
    jc->n_bytes = c->e.p - start;
    jc->code = start;
    jc->cold = cold;
    jc->n_cold = jit_space.cold - cold;
    jit_space.code = c->e.p;
    return jc;
}
