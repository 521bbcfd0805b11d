/*
 * x87: the guest's instruction on the host's stack.
 *
 * Everything but what moves the environment.  An unmasked exception waits for
 * the next waiting instruction, on the host as in the guest: it raises SIGFPE,
 * and the interpreter runs that instruction (jit.c).
 *
 * The host's instruction pointer is of no use; the guest's is kept as a note of
 * the last instruction (fp.h), which jit_fp_save() turns into FIP and FOP.  A
 * run of instructions between registers leaves one note.
 *
 * Spec: Intel SDM volume 1, chapter 8; volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* Leaves no trace in FIP. */
static bool is_control(unsigned op)
{
    return op >= OP_FWAIT && op <= OP_FRSTOR_M;
}

static bool is_x87(unsigned op)
{
    return op >= OP_FADD_ST0_M32 && op <= OP_FRSTOR_M;
}

/* Is the next instruction a waiting one that cannot leave but by SIGFPE?  Then
 * only its own note counts, or jit.c finds this one. */
static bool next_notes(const Ctx *c)
{
    const Insn *next = c->insn + 1;

    return c->i + 1 < c->b->n_insns && c->insn->op != OP_FNOP
           && is_x87(next->op)
           && !is_control(next->op) && !(next->flags & INSN_MEM)
           && next->op != OP_FNOP;
}

void t_x87_base(Ctx *c)
{
    if (!(c->live & FP_BASED)) {
        e_gs(&c->e, 8, 0x8b, H_CX, OFF(rip_base));
        e_gs(&c->e, 8, 0x89, H_CX, OFF(x87_base));
        c->live |= FP_BASED;
    }
}

static void note(Ctx *c, unsigned ea)
{
    const Insn *n = c->insn;
    uint32_t v = X87_NOTE_VALID | n->off
                 | (n->imm & 0x7ff) << X87_NOTE_FOP_SHIFT;

    t_x87_base(c);
    if (t_is_mem(c)) {
        if (c->disp) {
            e_rm(&c->e, 8, 0x8d, H_CX, ea, H_SP, 0, c->disp);
            ea = H_CX;
        }
        e_gs(&c->e, 8, 0x89, ea, OFF(s.fdp));
        if (c->x87_seg != n->seg + 1) {
            c->x87_seg = n->seg + 1;
            e_gs(&c->e, 4, 0xc7, 0, OFF(x87_seg));
            e32(&c->e, c->x87_seg);
        }
    }
    if (!next_notes(c)) {
        e_gs(&c->e, 4, 0xc7, 0, OFF(x87_note));
        e32(&c->e, v);
    }
}

bool t_x87(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned opc = 0xd8 | (n->imm >> 8 & 7), ea = 0;

    if (!is_x87(n->op) || n->ea & EA_SEG) {
        return false;
    }
    switch (n->op) {
    case OP_FNCLEX: case OP_FNINIT:     /* FERR# */
    case OP_FLDENV_M: case OP_FNSTENV_M: case OP_FNSAVE_M: case OP_FRSTOR_M:
        return false;
    case OP_FNOP:
        if ((n->imm & 0x700) == 0x300) {
            return false;
        }
    }
    if (!t_live(c, FP_X87)) {
        return false;
    }
    switch (n->op) {
    case OP_FWAIT:
        e8(&c->e, 0x9b);
        t_fp_site(c);
        return true;
    case OP_FNSTSW_AX:
        e8(&c->e, 0xdf);
        e8(&c->e, 0xe0);
        t_dst(c, R_RAX, 2, H_AX);
        return true;
    }
    if (t_is_mem(c)) {
        ea = t_operand(c, insn_mem_size(n),
                       insn_info(n->op)->mem == MEM_STORE);
        t_mem_insn(c, 4, opc, n->imm >> 3 & 7, ea);
    } else {
        e8(&c->e, opc);
        e8(&c->e, n->imm & 0xff);
    }
    t_fp_site(c);
    c->rax_keep = true;
    if (!is_control(n->op)) {
        note(c, ea);
    }
    return true;
}
