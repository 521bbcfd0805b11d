/*
 * Templates: bits of strings in memory, chosen by a register; double shifts by
 * CL.
 *
 * Spec: Intel SDM volume 2, BT, SHLD.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* to = v >> count, arithmetically.  No flags. */
static void sarx(Emit *e, unsigned size, unsigned to, unsigned v,
                 unsigned count)
{
    e_vex(e, 2, 2, size == 8, 0xf7, to, count, v);
    e8(e, 0xc0 | (to & 7) << 3 | (v & 7));
}

/*
 * The word that holds the bit is checked, and the host's instruction, given the
 * same index, finds it from the operand.  k: as in the opcode.
 */
static bool bit_in_memory(Ctx *c, unsigned k)
{
    const Insn *n = c->insn;
    unsigned size = n->size, index, ea;
    Access a = { .ea = H_DX, .size = size, .align = 1, .write = k != 4,
                 .slot = -1 };
    Emit *e = &c->e;

    if (size < 4 || c->word != 8 || n->ea & (EA_SEG | EA_A32 | EA_A16)) {
        return false;
    }
    t_offset_to(c, H_DX, true);
    index = t_src(c, n->reg, size, H_CX);
    e_mov_i64(e, H_AX, size == 8 ? 6 : 5);
    sarx(e, size, H_CX, index, H_AX);
    if (size == 4) {
        e_rr(e, 8, 0x63, H_CX, H_CX);               /* movsxd */
    }
    e_rm(e, 8, 0x8d, H_DX, H_DX, H_CX, size == 8 ? 3 : 2, 0);
    t_check_access(c, &a);
    ea = t_offset_to(c, H_DX, false);
    index = t_src(c, n->reg, size, H_CX);
    if (n->flags & INSN_LOCK) {
        e8(e, 0xf0);
    }
    e_rm(e, size, 0x0f83 | k << 3, index, H_AX, ea, 0, 0);
    return true;
}

static bool double_shift(Ctx *c, uint32_t opc)
{
    const Insn *n = c->insn;
    unsigned s, d;

    if (t_is_mem(c) || n->size == 2) {
        return false;
    }
    s = t_src(c, n->reg, n->size, H_DX);
    d = t_src(c, n->rm, n->size, H_AX);
    e_mov(&c->e, 4, H_CX, jit_host_reg[R_RCX]);
    e_rr(&c->e, n->size, opc, s, d);
    t_dst(c, n->rm, n->size, d);
    return true;
}

bool t_bit(Ctx *c)
{
    switch (c->insn->op) {
    case OP_BT_RM_R: return bit_in_memory(c, 4);
    case OP_BTS_RM_R: return bit_in_memory(c, 5);
    case OP_BTR_RM_R: return bit_in_memory(c, 6);
    case OP_BTC_RM_R: return bit_in_memory(c, 7);
    case OP_SHLD_RM_R_CL: return double_shift(c, 0x0fa5);
    case OP_SHRD_RM_R_CL: return double_shift(c, 0x0fad);
    }
    return false;
}
