/*
 * Addends of groups in homes of guest registers.
 *
 * Where accesses of several groups take turns, each would load its group's
 * addend into RAX.  As long as the group lives it can stay in the home of a
 * guest register that no instruction names meanwhile, whose value waits in
 * JitCpu.borrowed.  Each way out gives such homes back before anything else;
 * so does a slow path, which lends them again when it comes back.  A signal's
 * handler knows of them (JitFpSite).
 *
 * Groups are few instructions long but where a block follows indirect jumps, or
 * falls through many Jcc: a home costs a store and two loads, and a load with
 * each way out, so it takes some accesses until it pays.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

#include "accel/tcg/draft.h"

enum { PAYS = 4 };              /* loads that it saves */

/* Not RAX, RCX, RDX, which instructions use that do not name them. */
static const uint8_t lendable[] = {
    R_RBX, R_RBP, R_R12, R_R13, R_R9, R_R8, R_RDI, R_RSI,
};

void t_give_back(Emit *e, const Borrowed *b)
{
    for (unsigned k = 0; k < b->n; k++) {
        t_home_kept(e, b->r[k].guest, true);
    }
}

void t_fill_homes(Emit *e, const Borrowed *b)
{
    for (unsigned k = 0; k < b->n; k++) {
        unsigned home = jit_host_reg[b->r[k].guest];

        e_gs(e, 8, 0x8b, home, b->r[k].from);
        if (b->r[k].base < R_ZERO) {
            e_rm(e, 8, 0x8d, home, home, jit_host_reg[b->r[k].base], 0, 0);
        }
    }
}

void t_lend(Emit *e, const Borrowed *b)
{
    for (unsigned k = 0; k < b->n; k++) {
        t_home_kept(e, b->r[k].guest, false);
    }
    t_fill_homes(e, b);
}

unsigned t_borrowed(const Borrowed *b)
{
    unsigned m = 0;

    for (unsigned k = 0; k < b->n; k++) {
        m |= 1u << b->r[k].guest;
    }
    return m;
}

void t_homes_back(Ctx *c)
{
    t_give_back(&c->e, &c->borrowed);
    c->borrowed.n = 0;
}

void t_homes_due(Ctx *c)
{
    Borrowed *b = &c->borrowed;
    unsigned n = 0;

    for (unsigned k = 0; k < b->n; k++) {
        unsigned r = b->r[k].guest;

        if (c->i < b->r[k].until) {
            b->r[n++] = b->r[k];
            continue;
        }
        t_home_kept(&c->e, r, true);
        for (unsigned i = 0; i < JIT_GROUPS; i++) {
            if (c->group[i].home == jit_host_reg[r]) {
                c->group[i].home = -1;
            }
        }
    }
    b->n = n;
}

bool t_goes_through(const Block *b, unsigned i)
{
    const Insn *n = &b->insns[i];

    return !(n->flags & INSN_END) || n->op == OP_JCC_I
           || (draft_follows(n) && i + 1 < b->n_insns);
}

static bool is_access(const Ctx *c, const Insn *n, unsigned base)
{
    switch (n->op) {
    case OP_PUSH_RM: case OP_PUSH_I: case OP_POP_RM:
        if (base == R_RSP) {
            return true;
        }
    }
    return t_operand_base(c, n) == (int)base && n->op != OP_LEA_R_M;
}

/* Loads of the addend that a home would save, up to instruction `end`, which
 * may come before the group's. */
static unsigned saves(const Ctx *c, const Group *g, unsigned *end)
{
    bool in_rax = true;
    unsigned n = 0, i;

    *end = c->i;
    for (i = c->i; i < g->end && t_goes_through(c->b, i); i++) {
        const Insn *insn = &c->b->insns[i];

        if (is_access(c, insn, g->base)) {
            n += !in_rax;
            in_rax = true;
            *end = i + 1;
        } else if (insn->flags & INSN_MEM && insn->op != OP_LEA_R_M) {
            in_rax = false;
        }
    }
    return n;
}

/* Guest registers whose homes are not to be lent up to instruction `end`. */
static unsigned names(const Ctx *c, unsigned end)
{
    unsigned m = t_borrowed(&c->borrowed);
    bool high;

    for (unsigned i = c->i; i < end; i++) {
        m |= t_named(&c->b->insns[i], &high);
    }
    /* What would set the flags again, if they come from before this. */
    if (c->replay.op) {
        m |= 1u << c->replay.a;
        m |= c->replay.b < R_ZERO ? 1u << c->replay.b : 0;
    }
    return m;
}

bool t_homes_free(const Ctx *c, unsigned end, unsigned n)
{
    unsigned m = names(c, end);

    for (unsigned k = 0; k < G_N_ELEMENTS(lendable); k++) {
        n -= n && !(m >> lendable[k] & 1);
    }
    return !n;
}

/* A home is lent to what is put there next. */
static unsigned take_home(Ctx *c, unsigned end, uint32_t from, unsigned base)
{
    Borrowed *b = &c->borrowed;
    unsigned m = names(c, end), k = 0;

    while (m >> lendable[k] & 1) {
        k++;
    }
    b->r[b->n].guest = lendable[k];
    b->r[b->n].until = end;
    b->r[b->n].base = base;
    b->r[b->n++].from = from;
    t_home_kept(&c->e, lendable[k], false);
    return jit_host_reg[lendable[k]];
}

unsigned t_lend_home(Ctx *c, unsigned end, uint32_t from, unsigned base)
{
    unsigned home = take_home(c, end, from, base);

    e_gs(&c->e, 8, 0x8b, home, from);
    if (base < R_ZERO) {
        e_rm(&c->e, 8, 0x8d, home, home, jit_host_reg[base], 0, 0);
    }
    return home;
}

void t_addend_home(Ctx *c, Group *g)
{
    unsigned end;

    if (saves(c, g, &end) >= PAYS && t_homes_free(c, end, 1)) {
        g->home = take_home(c, end, g->addend, R_ZERO);
        e_mov(&c->e, 8, g->home, H_AX);
    }
}
