/*
 * Templates: indirect jumps, and those that a block follows: cache_longer().
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* To the RIP in RCX, less rip_base, if that is in this page and nobody wants us
 * to leave: see near.c.  Flags are in cc_raw. */
static void go_near(Ctx *c, JitNear *table)
{
    Emit *e = &c->e;
    uint8_t *over;

    e_gs(e, c->word, 0x3b, H_CX, OFF(jit_go));
    over = t_over_begin(c, JAE8);
    e_op(e, 8, 0x8d, H_AX, 0, 0);                   /* lea rax, [rip+rel32] */
    e8(e, H_AX << 3 | 5);
    e_rel32(e->p, (uint8_t *)table);
    e->p += 4;
    e_rm(e, 4, 0xff, 4, H_AX, H_CX, 3, 0);
    t_over_end(c, over);
}

/* Where the target is: it is in RDX if it comes from memory. */
static unsigned target(Ctx *c)
{
    return t_is_mem(c) ? H_DX : t_src(c, c->insn->rm, c->word, H_CX);
}

/* RCX = the target less rip_base. */
static void near_offset(Ctx *c)
{
    unsigned to = target(c);

    if (c->fixed) {
        e_rm(&c->e, 8, 0x8d, H_CX, to, H_SP, 0, -(int64_t)c->base);
        return;
    }
    if (to != H_CX) {
        e_mov(&c->e, c->word, H_CX, to);
    }
    e_gs(&c->e, c->word, 0x2b, H_CX, OFF(rip_base));
}

/* The block goes on where the jump has led as a rule. */
static void guard(Ctx *c)
{
    unsigned to = target(c), off = c->insn[1].off;

    if (c->fixed) {
        e_rr(&c->e, 8, 0x81, 7, to);                /* cmp target, imm32 */
        e32(&c->e, t_fixed_rip(c, off));
    } else {
        e_rm(&c->e, c->word, 0x8d, H_CX, to, H_SP, 0, -(int)off);
        e_gs(&c->e, c->word, 0x3b, H_CX, OFF(rip_base));
    }
    e8(&c->e, 0x0f);
    e8(&c->e, 0x85);                                /* jne */
    c->astray[c->n_astray++] = (Astray) {
        .site = c->e.p, .i = c->i, .in_e = c->in_e, .replay = c->replay,
        .live = c->live, .borrowed = c->borrowed,
    };
    e32(&c->e, 0);
    c->rax_keep = true;
}

void t_astray(Ctx *c)
{
    JitNear *table = c->n_astray ? jit_near_table(c->b) : NULL;

    c->sp_off = 0;
    t_groups_end(c);
    for (unsigned k = 0; k < c->n_astray; k++) {
        const Astray *a = &c->astray[k];

        e_rel32(a->site, c->e.p);
        t_give_back(&c->e, &a->borrowed);
        c->i = a->i;
        c->insn = &c->b->insns[a->i];
        c->in_r = false;
        c->in_e = a->in_e;
        c->replay = a->replay;
        c->live = a->live;
        t_flags_to_env(c);
        if (table) {
            near_offset(c);
            go_near(c, table);
        }
        if (!t_is_mem(c)) {
            t_src_copy(c, c->insn->rm, c->word, H_DX);
        }
        t_go_indirect(c, t_miss_interp(c), 0, NULL);
    }
}

bool t_jmp_rm(Ctx *c)
{
    const Insn *n = c->insn;
    JitNear *table;

    if (n->size != c->word) {
        return false;
    }
    if (t_follows(c)) {
        t_clobber(c);
        if (t_is_mem(c)) {
            t_mem_insn(c, c->word, 0x8b, H_DX, t_operand(c, c->word, false));
        }
        guard(c);
        return true;
    }
    c->done = true;
    t_settle(c);
    t_clobber(c);
    /* A target in a place that RIP names is in a table of addresses
     * elsewhere. */
    table = c->in_e && !(n->ea & EA_RIP) ? jit_near_table(c->b) : NULL;
    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, c->word, false);

        t_mem_insn(c, c->word, 0x8b, H_DX, ea);
        if (table) {
            near_offset(c);
            go_near(c, table);
        }
    } else {
        if (table) {
            near_offset(c);
            go_near(c, table);
        }
        t_src_copy(c, n->rm, c->word, H_DX);
    }
    t_go_indirect(c, t_miss_interp(c), 0, NULL);
    return true;
}
