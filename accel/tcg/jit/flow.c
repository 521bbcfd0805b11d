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

    *s = (Stub) { .insn = c->i, .save = !c->in_e };
    return s;
}

Stub *t_add_exit(Ctx *c, unsigned kind, unsigned off)
{
    Stub *s = t_add_stub(c);

    s->edge = jit_alloc(sizeof(JitEdge));
    *s->edge = (JitEdge) {
        .block = c->b, .kind = kind, .insn = c->i, .off = off,
        .flags_live = c->in_r,
    };
    return s;
}

void t_stub_site(Ctx *c, Stub *s)
{
    s->site[s->n_sites++] = c->e.p;
    e32(&c->e, 0);
}

/* Let the rel32 after `n` bytes of opcode be aligned, to be patched at once. */
static void align_rel32(Ctx *c, unsigned n)
{
    static const uint8_t nops[4][3] = {
        {}, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 },
    };
    unsigned pad = -((uintptr_t)c->e.p + n) & 3;

    memcpy(c->e.p, nops[pad], pad);
    c->e.p += pad;
}

/* To another block of this page; poll: this may close a loop. */
static void go_in_page(Ctx *c, unsigned off, bool poll)
{
    Stub *s = t_add_exit(c, EXIT_EDGE, off);

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

/*
 * To the RIP in RDX through the jump cache; a miss goes to `miss`, which the
 * caller has made after t_clobber().  Before the jump SP moves by `pop`.
 */
static void go_indirect(Ctx *c, Stub *miss, int pop)
{
    Emit *e = &c->e;

    e_gs(e, 4, 0x83, 7, OFF(jit_go));               /* cmp dword, 0 */
    e8(e, 0);
    stub_jcc(c, miss, 4);
    e_mov(e, 8, H_AX, H_DX);
    e_rr(e, 8, 0xc1, 5, H_AX);
    e8(e, JUMP_BITS);
    e_rr(e, 4, 0x31, H_DX, H_AX);
    e8(e, 0x25);
    e32(e, JUMP_SIZE - 1);
    e_rr(e, 4, 0xc1, 4, H_AX);
    e8(e, 5);
    e_gs(e, 8, 0x03, H_AX, OFF(jit_jump));
    e_rm(e, 8, 0x3b, H_DX, H_AX, H_SP, 0, offsetof(JumpEntry, rip));
    stub_jcc(c, miss, 5);
    e_gs(e, 8, 0x8b, H_CX, OFF(jump_tag));
    e_rm(e, 8, 0x3b, H_CX, H_AX, H_SP, 0, offsetof(JumpEntry, tag));
    stub_jcc(c, miss, 5);
    e_mov(e, 8, H_CX, H_DX);
    e_rr(e, 8, 0x81, 4, H_CX);
    e32(e, -4096);
    e_gs(e, 8, 0x89, H_CX, OFF(rip_base));
    if (pop) {
        e_rm(e, 8, 0x8d, SP, SP, H_SP, 0, pop);
    }
    e_rm(e, 8, 0x8b, H_AX, H_AX, H_SP, 0, offsetof(JumpEntry, block));
    e_rm(e, 8, 0xff, 4, H_AX, H_SP, 0, offsetof(Block, jit_code));
}
G_STATIC_ASSERT(sizeof(JumpEntry) == 32);

static Stub *miss_interp(Ctx *c)
{
    return t_add_exit(c, EXIT_INTERP, 0);
}

static Stub *miss_rdx(Ctx *c)
{
    Stub *s = t_add_stub(c);

    s->exit_rdx = true;
    return s;
}

void t_go_rel(Ctx *c, int64_t off, bool committed)
{
    if (off >= 0 && off < (int64_t)PAGE_BYTES) {
        go_in_page(c, off, off <= c->insn->off);
        return;
    }
    t_clobber(c);
    t_rip_to(c, H_DX, off);
    go_indirect(c, committed ? miss_rdx(c) : miss_interp(c), 0);
}

static int64_t rel_off(const Insn *n)
{
    return n->off + n->len + n->imm;
}

static bool rel_fits(const Insn *n)
{
    return n->size == 8 && rel_off(n) == (int32_t)rel_off(n);
}

static bool jcc(Ctx *c)
{
    const Insn *n = c->insn;
    int64_t off = rel_off(n);
    bool in_r = c->in_r, in_e = c->in_e;
    uint8_t *rel32;

    if (!rel_fits(n)) {
        return false;
    }
    if (off > n->off && off < (int64_t)PAGE_BYTES) {
        Stub *s = t_add_exit(c, EXIT_EDGE, off);

        align_rel32(c, 2);
        e8(&c->e, 0x0f);
        e8(&c->e, 0x80 | n->aux);
        s->edge->patch = c->e.p;
        t_stub_site(c, s);
        return true;
    }
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | (n->aux ^ 1));
    rel32 = c->e.p;
    e32(&c->e, 0);
    t_go_rel(c, off, false);
    e_rel32(rel32, c->e.p);
    c->in_r = in_r;
    c->in_e = in_e;
    return true;
}

static bool jmp_i(Ctx *c)
{
    if (!rel_fits(c->insn)) {
        return false;
    }
    c->done = true;
    t_go_rel(c, rel_off(c->insn), false);
    return true;
}

static bool jmp_rm(Ctx *c)
{
    const Insn *n = c->insn;

    if (n->size != 8) {
        return false;
    }
    c->done = true;
    if (t_is_mem(c)) {
        unsigned ea = t_address(c);

        t_check(c, ea, 8, false);
        e_rm(&c->e, 8, 0x8b, H_DX, H_AX, ea, 0, 0);
    } else {
        t_src_copy(c, n->rm, 8, H_DX);
    }
    t_clobber(c);
    go_indirect(c, miss_interp(c), 0);
    return true;
}

/* Push the return address: its slot has been checked. */
static void push_return(Ctx *c)
{
    t_rip_to(c, H_CX, c->insn->off + c->insn->len);
    e_rm(&c->e, 8, 0x89, H_CX, H_AX, H_DX, 0, 0);
    e_mov(&c->e, 8, SP, H_DX);
}

static bool call_i(Ctx *c)
{
    if (!rel_fits(c->insn)) {
        return false;
    }
    c->done = true;
    t_push_check(c);
    push_return(c);
    t_go_rel(c, rel_off(c->insn), true);
    return true;
}

static bool call_rm(Ctx *c)
{
    if (c->insn->size != 8) {
        return false;
    }
    c->done = true;
    t_clobber(c);
    e_mov(&c->e, 8, H_CX, t_rm_value(c));
    e_gs(&c->e, 8, 0x89, H_CX, OFF(jit_tmp));
    e_mov(&c->e, 8, H_AX, H_CX);                    /* canonical? */
    e_rr(&c->e, 8, 0xc1, 4, H_AX);
    e8(&c->e, 16);
    e_rr(&c->e, 8, 0xc1, 7, H_AX);
    e8(&c->e, 16);
    e_rr(&c->e, 8, 0x39, H_CX, H_AX);
    t_jcc_slow(c, 5);
    t_push_check(c);
    push_return(c);
    e_gs(&c->e, 8, 0x8b, H_DX, OFF(jit_tmp));
    go_indirect(c, miss_rdx(c), 0);
    return true;
}

static bool ret(Ctx *c, unsigned more)
{
    if (c->insn->size != 8) {
        return false;
    }
    c->done = true;
    t_check(c, SP, 8, false);
    e_rm(&c->e, 8, 0x8b, H_DX, H_AX, SP, 0, 0);
    t_clobber(c);
    go_indirect(c, miss_interp(c), 8 + more);
    return true;
}

/* --- which ------------------------------------------------------------- */

bool t_flow(Ctx *c)
{
    const Insn *n = c->insn;

    switch (n->op) {
    case OP_JCC_I: return jcc(c);
    case OP_JMP_I: c->slow_exits = true; return jmp_i(c);
    case OP_JMP_RM: c->slow_exits = true; return jmp_rm(c);
    case OP_CALL_I: c->slow_exits = true; return call_i(c);
    case OP_CALL_RM: c->slow_exits = true; return call_rm(c);
    case OP_RET: c->slow_exits = true; return ret(c, 0);
    case OP_RET_I: c->slow_exits = true; return ret(c, (uint16_t)n->imm);
    }
    return false;
}
