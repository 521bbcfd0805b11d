/*
 * Templates: transfers of control, and how a block leaves.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- leaving ----------------------------------------------------------- */

Stub *t_add_stub(Ctx *c)
{
    Stub *s = &c->stubs[c->n_stubs++];

    *s = (Stub) { .insn = c->i, .save = !c->in_e,
                  .replay = t_replay_now(c), .sp_off = c->sp_off,
                  .borrowed = c->borrowed };
    return s;
}

void t_misses_to(Ctx *c, const Stub *s)
{
    for (Stub *m = c->stubs + c->n_stubs; c->n_misses; ) {
        if ((--m)->miss) {
            m->slow = s - c->stubs;
            c->n_misses--;
        }
    }
}

Stub *t_add_exit(Ctx *c, unsigned kind, unsigned off)
{
    Stub *s = t_add_stub(c);

    s->edge = jit_alloc(sizeof(JitEdge));
    *s->edge = (JitEdge) {
        .block = c->b, .kind = kind, .insn = c->i, .off = off,
        .flags_live = c->in_r, .flags_gone = !c->in_r && !c->in_e,
        .live = c->live,
    };
    return s;
}

void t_stub_site(Ctx *c, Stub *s)
{
    s->site[s->n_sites++] = c->e.p;
    e32(&c->e, 0);
}

/* Let the rel32 after `n` bytes of opcode lie in eight bytes that are aligned,
 * to be patched at once. */
static void align_rel32(Ctx *c, unsigned n)
{
    unsigned at = ((uintptr_t)c->e.p + n) & 7;

    e_nops(&c->e, at > 4 ? 8 - at : 0);
}

/* Flags are to be where other blocks expect them. */
void t_settle(Ctx *c)
{
    if (!c->in_r && !c->in_e) {
        t_need_r(c);
    }
    c->replay.op = REPLAY_NONE;
}

void t_flags_to_env(Ctx *c)
{
    if (!c->in_e) {
        JitReplay q = t_replay_now(c);

        t_save_from(&c->e, &q);
        c->rax_group = NULL;
    }
    c->in_e = true;
    c->in_r = false;
}

/* To another block of this page; poll: this may close a loop. */
static void go_in_page(Ctx *c, unsigned off, bool poll)
{
    Stub *s;

    if (poll && (!c->in_r || ((c->in_e || c->replay.op)
                              && t_unwanted_at(c, off)))) {
        c->in_r = false;        /* the poll may have RFLAGS */
        t_go_linked(c, t_add_exit(c, EXIT_EDGE, off));
        return;
    }
    s = t_add_exit(c, EXIT_EDGE, off);
    if (poll) {
        uint8_t *rel8;

        e_gs(&c->e, 4, 0x8b, H_CX, OFF(jit_go));
        e8(&c->e, 0xe3);
        rel8 = c->e.p;
        e8(&c->e, 0);
        align_rel32(c, 1);
        e8(&c->e, 0xe9);
        s->edge->patch = c->e.p;
        t_stub_site(c, s);
        *rel8 = c->e.p - (rel8 + 1);
        e8(&c->e, 0xe9);
        t_stub_site(c, s);
    } else {
        align_rel32(c, 1);
        e8(&c->e, 0xe9);
        s->edge->patch = c->e.p;
        t_stub_site(c, s);
    }
}

static void stub_jcc(Ctx *c, Stub *s, unsigned cond)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | cond);
    t_stub_site(c, s);
}

/* Jcc to where the exit's edge will be linked to, the exit at first; or to the
 * stub, which gives homes back before it jumps there. */
static void jcc_linked(Ctx *c, Stub *s, unsigned cond)
{
    if (!c->borrowed.n) {
        align_rel32(c, 2);
        s->edge->patch = c->e.p + 2;
    }
    stub_jcc(c, s, cond);
}

uint8_t *t_over_begin(Ctx *c, unsigned opc)
{
    e8(&c->e, opc);
    e8(&c->e, 0);
    return c->e.p;
}

void t_over_end(Ctx *c, uint8_t *from)
{
    ptrdiff_t n = c->e.p - from;

    g_assert(n <= INT8_MAX);
    from[-1] = n;
}

static void jmp_stub(Ctx *c, Stub *s)
{
    e8(&c->e, 0xe9);
    t_stub_site(c, s);
}

void t_go_linked(Ctx *c, Stub *s)
{
    e_gs(&c->e, 8, 0x3b, H_SP, OFF(jit_past));      /* one operation */
    jcc_linked(c, s, 2);                            /* jb */
    jmp_stub(c, s);
}

/*
 * RAX * 8 = where the jump table has the RIP in RDX.  Clobbers RFLAGS.  Nothing
 * is needed when that RIP, then `*rip`, is known now.
 */
static void jump_index(Ctx *c, const uint64_t *rip)
{
    if (rip) {
        return;
    }
    c->rax_group = NULL;
    e_mov(&c->e, 4, H_AX, H_DX);
    e8(&c->e, 0x25);                                /* and eax, imm32 */
    e32(&c->e, (JIT_JUMPS - 1) << 2);
}
G_STATIC_ASSERT(sizeof(JitJump) == 4 * 8);

/* An instruction on a field of that entry. */
static void on_jump(Ctx *c, unsigned size, uint32_t opc, unsigned reg,
                    size_t field, const uint64_t *rip)
{
    uint32_t at = JOFF(jumps) + field;

    if (rip) {
        e_gs(&c->e, size, opc, reg,
             at + (*rip >> 2 & (JIT_JUMPS - 1)) * sizeof(JitJump));
    } else {
        e_gsx(&c->e, size, opc, reg, H_AX, 3, at);
    }
}

/*
 * Find the code of the RIP in RDX, and `*rip` if that is known now: see return.c.
 * A miss, and who has to stop, goes to `miss`.  Uses RAX as jump_index(), RCX,
 * and RFLAGS, which t_clobber() must have been told before there was `miss`.
 */
static void find_code(Ctx *c, Stub *miss, const uint64_t *rip)
{
    Emit *e = &c->e;

    if (!jit_options.no_chain) {
        miss->again = e->p;
    }
    jump_index(c, rip);
    on_jump(c, 8, 0x8b, H_CX, offsetof(JitJump, key), rip);
    e_rr(e, 8, 0x01, H_DX, H_CX);
    e_gs(e, 8, 0x03, H_CX, JOFF(key) + c->who * sizeof(uint64_t));
    stub_jcc(c, miss, 5);
}

enum { ENTER_BYTES = 8 };       /* of enter_code() */

/* jmp or call (ext 4, 2) what find_code() has found. */
static void enter_code(Ctx *c, unsigned ext, const uint64_t *rip)
{
    on_jump(c, 4, 0xff, ext, c->in_r ? offsetof(JitJump, r)
                                     : offsetof(JitJump, e), rip);
}

void t_go_indirect(Ctx *c, Stub *miss, int pop, const uint64_t *rip)
{
    find_code(c, miss, rip);
    t_settle(c);
    if (pop) {
        e_rm(&c->e, c->word, 0x8d, SP, SP, H_SP, 0, c->sp_off + pop);
        c->sp_off = 0;
    }
    enter_code(c, 4, rip);
}

Stub *t_miss_interp(Ctx *c)
{
    return t_add_exit(c, EXIT_INTERP, 0);
}

static Stub *miss_rdx(Ctx *c)
{
    Stub *s = t_add_stub(c);

    s->exit_rdx = true;
    return s;
}

/* Could a jump to `off` of the page close a loop?  One of several blocks, too:
 * a jump that is none leads from a block to one that begins behind it. */
static bool backward(const Ctx *c, int64_t off)
{
    return off <= c->insn->off || off <= c->b->off;
}

bool t_unwanted_at(const Ctx *c, int64_t off)
{
    const Block *b = NULL;

    if (c->b->page && off >= 0 && off < (int64_t)PAGE_BYTES
        && !jit_options.no_chain) {
        b = block_find(c->b->page->ram_addr + off, c->b->mode);
    }
    return b && t_flags_dead(b, 0);
}

void t_go_rel(Ctx *c, int64_t off, bool committed)
{
    uint64_t rip = t_fixed_rip(c, off);

    if (off >= 0 && off < (int64_t)PAGE_BYTES) {
        if (!t_unwanted_at(c, off)) {
            t_settle(c);
        }
        go_in_page(c, off, backward(c, off));
        return;
    }
    t_clobber(c);
    t_rip_to(c, H_DX, off);
    t_go_indirect(c, committed ? miss_rdx(c) : t_miss_interp(c), 0,
                  c->fixed ? &rip : NULL);
}

static int64_t rel_off(const Insn *n)
{
    return n->off + n->len + n->imm;
}

static bool rel_fits(const Ctx *c)
{
    const Insn *n = c->insn;

    return n->size == c->word && rel_off(n) == (int32_t)rel_off(n);
}

/*
 * Taken: to the start of this block, where the flags are where they are now.
 * Clobbers RFLAGS.  False: nothing was emitted.
 */
static bool go_loop(Ctx *c)
{
    Loop *l = &c->loop;
    Stub *s;

    if (!l->wanted || !c->replay.op || l->n == G_N_ELEMENTS(l->edge)) {
        return false;
    }
    if (!l->n) {
        l->replay = c->replay;
        l->live = c->live;
    } else if (memcmp(&l->replay, &c->replay, sizeof(l->replay))
               || l->live & ~c->live) {
        return false;
    }
    c->in_r = false;
    s = t_add_exit(c, EXIT_EDGE, c->b->off);
    l->edge[l->n++] = s->edge;
    if (l->again) {
        JitReplay q = c->replay;

        e_gs(&c->e, 4, 0x83, 5, JOFF(turn_retry));  /* sub dword, 1 */
        e8(&c->e, 1);
        jcc_linked(c, s, 15);                       /* jg */
        t_save_from(&c->e, &q);
        t_turns_again(c, c->b->off, l->again);
        c->replay = q;
    } else {
        t_go_linked(c, s);
    }
    return true;
}

static bool jcc(Ctx *c)
{
    const Insn *n = c->insn;
    int64_t off = rel_off(n);
    bool in_r = c->in_r, in_e = c->in_e;
    JitReplay replay = c->replay;
    Borrowed borrowed = c->borrowed;
    uint8_t *rel32;

    if (!rel_fits(c)) {
        return false;
    }
    if (off < (int64_t)PAGE_BYTES && !backward(c, off)) {
        Stub *s = t_add_exit(c, EXIT_EDGE, off);

        jcc_linked(c, s, n->aux);
        c->replay = n->aux == 5 ? t_replay_equal(replay) : replay;
        c->rax_keep = true;
        return true;
    }
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | (n->aux ^ 1));
    rel32 = c->e.p;
    e32(&c->e, 0);
    t_homes_back(c);
    if (off != c->b->off || in_e || !go_loop(c)) {
        t_go_rel(c, off, false);
    }
    e_rel32(rel32, c->e.p);
    c->borrowed = borrowed;
    c->in_r = in_r;
    c->in_e = in_e;
    c->replay = n->aux == 5 ? t_replay_equal(replay) : replay;      /* JNE */
    return true;
}

static bool jmp_i(Ctx *c)
{
    if (!rel_fits(c)) {
        return false;
    }
    if (t_follows(c)) {
        c->rax_keep = true;
        return true;
    }
    t_settle(c);
    c->done = true;
    t_go_rel(c, rel_off(c->insn), false);
    return true;
}

/* --- CALL and RET: return.c tells what is on the host's stack ---------- */

/* Let an instruction of `n` bytes end at a multiple of 8. */
static void align_end(Ctx *c, unsigned n)
{
    e_nops(&c->e, -((uintptr_t)c->e.p + n) & 7);
}

/*
 * RET comes here with RIP in RDX and flags in cc_raw.  Before the end of the
 * block this is a place to be patched when the block becomes stale.
 */
static void land(Ctx *c, unsigned next, bool more)
{
    c->in_r = false;
    c->in_e = true;
    c->replay.op = REPLAY_NONE;
    c->live = c->x87_seg = 0;
    t_groups_end(c);
    if (more) {
        JitLanding *l = jit_alloc(sizeof(*l));

        *l = (JitLanding) { .next = c->landings, .patch = c->e.p };
        c->landings = l;
    }
    t_set_base(c, next);        /* at a multiple of 8 if to be patched */
    if (!more) {
        go_in_page(c, next, false);
    }
}

enum { IN_TMP = -1 };           /* where a target is: not in a register */

/*
 * To `off` from rip_base, which is the immediate from what has been pushed.  If
 * its code is not known, the push is undone and the CALL interpreted, which may
 * fault yet.
 */
static void call_other_page(Ctx *c, bool predict, bool more, int64_t off)
{
    uint64_t fixed = t_fixed_rip(c, off), *rip = c->fixed ? &fixed : NULL;
    Stub *miss;

    if (rip) {
        e_mov_i64(&c->e, H_DX, fixed);
    } else {
        e_rm(&c->e, c->word, 0x8d, H_DX, H_CX, H_SP, 0, c->insn->imm);
    }
    miss = t_miss_interp(c);
    miss->sp_off = c->word;
    find_code(c, miss, rip);
    t_settle(c);
    if (more) {
        align_end(c, ENTER_BYTES);
    }
    enter_code(c, predict ? 2 : 4, rip);
}

/*
 * The return address, for the guest and for the host's stack.  In RCX, where it
 * is not fixed.  A call rel32 that comes then ends at a multiple of 8, by
 * prefixes that mean nothing to a move rather than NOPs.
 */
static void push_return(Ctx *c, unsigned next, bool predict, bool then_rel32)
{
    unsigned n = c->fixed ? 12 : 8;
    int32_t at = JIT_RETURN_RIP - 8;

    if (c->fixed) {
        t_push_imm(c, t_fixed_rip(c, next));
    } else {
        t_rip_to(c, H_CX, next);
        t_push_word(c);
    }
    t_sp_settle(c);
    if (then_rel32) {
        unsigned pad = -((uintptr_t)c->e.p + n + 5) & 7;
        unsigned prefixes = MIN(pad, 15 - n);

        e_nops(&c->e, pad - prefixes);
        memset(c->e.p, 0x2e, prefixes);             /* cs */
        c->e.p += prefixes;
    }
    if (predict && c->fixed) {
        e_rm(&c->e, 8, 0xc7, 0, H_SP, H_SP, 0, at);
        e32(&c->e, t_fixed_rip(c, next));
    } else if (predict) {
        e_rm(&c->e, 8, 0x89, H_CX, H_SP, H_SP, 0, at);
    }
}

/*
 * A call with its slot checked: to `off` of this page, to another page if there
 * is no register `target` that has the RIP, or to that, which find_code()
 * knows.
 */
static void call_with_return(Ctx *c, bool in_page, const int *target,
                             int64_t off)
{
    Emit *e = &c->e;
    unsigned next = c->insn->off + c->insn->len;
    bool predict = next < PAGE_BYTES;
    bool more = predict && c->i + 1 < c->b->n_insns;
    bool settle;

    c->done = !more;
    if (predict) {
        e_rr(e, 4, 0xf7, 0, H_SP);                  /* test esp, ffffh */
        e32(e, 0xffff);
        stub_jcc(c, t_miss_interp(c), 4);
    }
    settle = in_page && !t_unwanted_at(c, off);
    push_return(c, next, predict, in_page && more
                                  && (c->in_r || c->in_e || !settle));
    if (in_page) {
        Stub *edge;

        if (settle) {
            t_settle(c);
        }
        edge = t_add_exit(c, EXIT_EDGE, off);

        if (more) {
            align_end(c, 5);    /* which aligns rel32 too */
        } else {
            align_rel32(c, 1);
        }
        e8(e, predict ? 0xe8 : 0xe9);
        edge->edge->patch = e->p;
        t_stub_site(c, edge);
    } else if (!target) {
        call_other_page(c, predict, more, off);
    } else {
        if (*target == IN_TMP) {
            e_gs(e, 8, 0x8b, H_DX, OFF(jit_tmp));
        } else {
            e_mov(e, c->word, H_DX, *target);
        }
        jump_index(c, NULL);
        t_settle(c);
        if (more) {
            align_end(c, ENTER_BYTES);
        }
        enter_code(c, predict ? 2 : 4, NULL);
    }
    if (predict) {
        land(c, next, more);
    }
}

static bool call_i(Ctx *c)
{
    int64_t off = rel_off(c->insn);
    bool in_page = off >= 0 && off < (int64_t)PAGE_BYTES;

    if (!rel_fits(c)) {
        return false;
    }
    if (!t_unwanted_at(c, off)) {
        t_settle(c);
    }
    t_clobber(c);
    t_push_check(c);
    call_with_return(c, in_page, NULL, off);
    return true;
}

static bool call_rm(Ctx *c)
{
    int target;

    if (c->insn->size != c->word) {
        return false;
    }
    t_clobber(c);
    target = t_rm_value(c);
    e_mov(&c->e, c->word, H_DX, target);
    find_code(c, t_miss_interp(c), NULL);
    if (target == H_CX || target == (int)SP) {
        e_gs(&c->e, 8, 0x89, H_DX, OFF(jit_tmp));
        target = IN_TMP;
    }
    t_push_check(c);
    call_with_return(c, false, &target, 0);
    return true;
}

/* Is the return address in RDX that on top of the host's stack? */
static void compare_return(Ctx *c)
{
    e_rm(&c->e, 8, 0x3b, H_DX, H_SP, H_SP, 0, JIT_RETURN_RIP);
}

static bool ret(Ctx *c, unsigned more)
{
    Emit *e = &c->e;
    uint8_t *to_miss, *bottom, *hit, *hot;
    unsigned sp;

    if (c->insn->size != c->word) {
        return false;
    }
    c->done = true;
    if (!t_grouped_stack(c)) {
        t_flags_to_env(c);
    }
    sp = t_stack_top(c);
    t_check_stack(c, sp, 0, c->word, false);
    e_rm(e, c->word, 0x8b, H_DX, H_AX, sp, 0, c->sp_off);
    t_flags_to_env(c);
    compare_return(c);
    e8(e, 0x0f);                                    /* jne */
    e8(e, 0x85);
    to_miss = e->p;
    e32(e, 0);
    hit = e->p;
    e_rm(e, c->word, 0x8d, SP, SP, H_SP, 0, c->sp_off + c->word + more);
    e8(e, 0xc3);

    /* Out of the way: somebody has returned without us, try the one below. */
    hot = e->p;
    e->p = jit_space.cold;
    e_rel32(to_miss, e->p);
    e_gs(e, 8, 0x8b, H_CX, JOFF(neg_bottom));
    e_rr(e, 8, 0x01, H_SP, H_CX);
    bottom = t_over_begin(c, JE8);
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, 8);
    compare_return(c);
    e8(e, 0x0f);                                    /* je */
    e8(e, 0x84);
    e_rel32(e->p, hit);
    e->p += 4;
    t_over_end(c, bottom);
    t_go_indirect(c, t_miss_interp(c), c->word + more, NULL);
    jit_space.cold = e->p;
    e->p = hot;
    return true;
}

/* --- which ------------------------------------------------------------- */

bool t_flow(Ctx *c)
{
    const Insn *n = c->insn;

    switch (n->op) {
    case OP_JCC_I: return jcc(c);
    case OP_JMP_I: c->slow_exits = true; return jmp_i(c);
    case OP_JMP_RM: c->slow_exits = true; return t_jmp_rm(c);
    case OP_CALL_I: c->slow_exits = true; return call_i(c);
    case OP_CALL_RM: c->slow_exits = true; return call_rm(c);
    case OP_RET: c->slow_exits = true; return ret(c, 0);
    case OP_RET_I: c->slow_exits = true; return ret(c, (uint16_t)n->imm);
    }
    return false;
}
