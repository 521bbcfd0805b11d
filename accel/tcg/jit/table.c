/*
 * Tables: accesses of a block with one base, which stays, and any index.
 *
 * An interpreter's table of handlers is looked up once a handler, and a block
 * that follows its jumps has ten of those.  They share a slot (slot.c), whose
 * tag and addend stay in two homes that are lent (addend.c), the base added to
 * both: the check is LEA, compare and jump, and needs no memory.  A miss fills
 * the slot from the TLB and then the homes.
 *
 * For reading only, and for tables that have been seen in one page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

enum { PAYS = 4 };              /* accesses that share the slot */

/* Is it one that a table of base `base` may have? */
static bool looks_up(const Ctx *c, unsigned i, unsigned base)
{
    const Insn *n = &c->b->insns[i];

    switch (n->op) {            /* by t_mem_insn(), and only that */
    case OP_MOV_R_RM: case OP_MOVZX8_R_RM: case OP_MOVZX16_R_RM:
    case OP_MOVSX8_R_RM: case OP_MOVSX16_R_RM: case OP_MOVSX32_R_RM:
    case OP_ADD_R_RM: case OP_SUB_R_RM: case OP_XOR_R_RM: case OP_AND_R_RM:
    case OP_OR_R_RM: case OP_CMP_R_RM:
        break;
    case OP_JMP_RM:
        if (i + 1 < c->b->n_insns) {
            break;
        }
        return false;
    default:
        return false;
    }
    return n->flags & INSN_MEM && !n->ea && n->base == base
           && n->index < R_ZERO && jit_slot_aligned(c->b, i)
           && jit_slot_one_page(c->b, i);
}

void t_table_begin(Ctx *c)
{
    const Insn *n = c->insn;
    Table *t = &c->table;
    unsigned n_uses = 0, base = n->base, end = c->i;
    uint32_t at;

    if (c->plain || c->word != 8 || jit_options.tlb_miss || c->i < t->end
        || !(n->flags & INSN_MEM) || base >= R_ZERO
        || jit_host_reg[base] < 0 || !looks_up(c, c->i, base)) {
        return;
    }
    for (unsigned i = c->i; t_goes_through(c->b, i)
                            && !t_may_write(&c->b->insns[i], base); i++) {
        if (looks_up(c, i, base)) {
            n_uses++;
            end = i + 1;
        }
        if (i + 1 == c->b->n_insns) {
            break;
        }
    }
    if (n_uses < PAYS || !t_homes_free(c, end, 2)) {
        return;
    }
    c->no_slot = false;
    t->slot = t_choose_slot(c, false, false);
    if (t->slot < 0) {
        return;
    }
    at = t_slot_at(t->slot);
    t->tag = t_lend_home(c, end, at + offsetof(JitSlot, tag), base);
    t->addend = t_lend_home(c, end, at + offsetof(JitSlot, addend), base);
    t->base = base;
    t->end = end;
}

bool t_in_table(const Ctx *c)
{
    return c->i < c->table.end && c->table.base == c->insn->base
           && looks_up(c, c->i, c->table.base);
}

unsigned t_table_operand(Ctx *c, unsigned size)
{
    const Insn *n = c->insn;
    const Table *t = &c->table;
    Access a = {
        .ea = t_src(c, n->index, 8, H_DX), .disp = n->disp, .size = size,
        .align = 1, .natural = true, .slot = t->slot, .table = t->tag,
        .no_addend = true, .group = true, .may_exit = true,
    };

    t_check_access(c, &a);
    c->mem_base = t->addend;
    c->mem_scale = n->scale;
    c->disp = n->disp;
    return a.ea;
}

void t_table_miss_begin(Ctx *c, const Stub *s, Access *a)
{
    const Insn *n = &c->b->insns[s->insn];

    e_rm(&c->e, 8, 0x8d, H_DX, jit_host_reg[n->base], a->ea, n->scale, 0);
    a->ea = H_DX;
}

void t_table_miss_end(Ctx *c, const Stub *s)
{
    const Insn *n = &c->b->insns[s->insn];

    if (jit_host_reg[n->index] < 0) {
        e_gs(&c->e, 8, 0x8b, H_DX, GPR(n->index));
    }
    t_fill_homes(&c->e, &s->borrowed);
}
