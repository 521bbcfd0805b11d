/*
 * Templates: moves, exchanges, the stack.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- moves ------------------------------------------------------------- */

static void mov_rm_i(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned d;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, true);

        t_mem_op(c, n->size, t_sized(0xc6, n->size), 0, ea);
        t_imm(c, n->size, n->imm);
        return;
    }
    d = t_out(c, n->rm, n->size, H_AX);
    if (n->size >= 4) {
        e_mov_i64(&c->e, d, n->size == 4 ? (uint32_t)n->imm
                                         : (uint64_t)n->imm);
    } else {
        e_rr(&c->e, n->size, t_sized(0xc6, n->size), 0, d);
        t_imm(c, n->size, n->imm);
    }
    t_dst(c, n->rm, n->size, d);
}

static void mov_r_rm(Ctx *c, bool to_rm)
{
    const Insn *n = c->insn;
    unsigned to = to_rm ? n->rm : n->reg, from = to_rm ? n->reg : n->rm;

    c->rax_keep = !(n->ea & EA_SEG);
    if (!t_is_mem(c)) {
        t_dst(c, to, n->size, t_src(c, from, n->size, H_CX));
        /* A 32-bit move to itself clears the upper half. */
        if (n->size == 4 && to == from) {
            unsigned d = t_src(c, to, 4, H_CX);

            e_mov(&c->e, 4, d, d);
            t_dst(c, to, 4, d);
        }
        return;
    }
    unsigned ea = t_operand(c, n->size, to_rm);

    if (to_rm) {
        t_mem_op(c, n->size, t_sized(0x88, n->size),
               t_src(c, from, n->size, H_CX), ea);
    } else {
        unsigned d = t_out(c, to, n->size, H_CX);

        t_mem_insn(c, n->size, t_sized(0x8a, n->size), d, ea);
        t_dst(c, to, n->size, d);
    }
}

/* MOVZX, MOVSX: `from` bytes. */
static void mov_ext(Ctx *c, uint32_t opc, unsigned from)
{
    const Insn *n = c->insn;
    unsigned d = t_out(c, n->reg, n->size, H_CX);

    c->rax_keep = !(n->ea & EA_SEG);
    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, from, false);

        t_mem_insn(c, n->size, opc, d, ea);
    } else if (t_in_env(c, n->rm, from)) {
        e_gs(&c->e, n->size, opc, d, t_gpr(n->rm, from));
    } else {
        unsigned s = t_src(c, n->rm, from, H_CX);

        e_rr(&c->e, n->size, opc | (from == 1 ? X_REX : 0), d, s);
    }
    t_dst(c, n->reg, n->size, d);
}

static void lea(Ctx *c)
{
    const Insn *n = c->insn;
    int h = t_home(&c->e, n->reg, 8);

    c->rax_keep = true;
    if (n->size >= 4 && h >= 0 && n->base < R_ZERO
        && t_home(&c->e, n->base, 8) >= 0
        && (n->index >= R_ZERO || t_home(&c->e, n->index, 8) >= 0)) {
        e_rm(&c->e, n->ea & EA_A32 ? 4 : n->size, 0x8d, h,
             t_home(&c->e, n->base, 8), n->index >= R_ZERO ? H_SP
             : (unsigned)t_home(&c->e, n->index, 8),
             n->index >= R_ZERO ? 0 : n->scale, n->disp);
        return;
    }
    if (n->size == 8 && h >= 0 && n->base != n->reg && n->index != n->reg) {
        unsigned r = t_offset_to(c, h, true);

        if (r != (unsigned)h) {
            e_mov(&c->e, 8, h, r);
        }
        return;
    }
    t_dst(c, n->reg, n->size, t_offset_to(c, H_DX, true));
}

static void setcc(Ctx *c)
{
    const Insn *n = c->insn;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, 1, true);

        t_mem_insn(c, 1, 0x0f90 | n->aux, 0, ea);
    } else {
        unsigned d = t_out(c, n->rm, 1, H_AX);

        e_rr(&c->e, 1, 0x0f90 | n->aux, 0, d);
        t_dst(c, n->rm, 1, d);
    }
}

static void xchg(Ctx *c)
{
    const Insn *n = c->insn;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, true);

        t_src_copy(c, n->reg, n->size, H_CX);
        t_mem_insn(c, n->size, t_sized(0x86, n->size), H_CX, ea);
        t_dst(c, n->reg, n->size, H_CX);
    } else {
        t_src_copy(c, n->reg, n->size, H_CX);
        t_src_copy(c, n->rm, n->size, H_DX);
        t_dst(c, n->rm, n->size, H_CX);
        t_dst(c, n->reg, n->size, H_DX);
    }
}

static bool xadd(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned ea;

    if (!t_is_mem(c)) {
        return false;
    }
    ea = t_operand(c, n->size, true);
    t_src_copy(c, n->reg, n->size, H_CX);
    t_mem_op(c, n->size, t_sized(0x0fc0, n->size), H_CX, ea);
    t_dst(c, n->reg, n->size, H_CX);
    return true;
}

static bool cmpxchg(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned ea, s;

    if (!t_is_mem(c)) {
        return false;
    }
    ea = t_operand(c, n->size, true);
    e_rm(&c->e, 8, 0x8d, H_DX, H_AX, ea, 0, c->disp);
    s = t_src(c, n->reg, n->size, H_CX);
    e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
    if (n->flags & INSN_LOCK) {
        e8(&c->e, 0xf0);
    }
    e_rm(&c->e, n->size, t_sized(0x0fb0, n->size), s, H_DX, H_SP, 0, 0);
    e_mov(&c->e, 8, jit_host_reg[R_RAX], H_AX);
    return true;
}

static bool bswap(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned d;

    if (n->size < 4) {
        return false;
    }
    d = t_src(c, n->rm, n->size, H_AX);
    e_op(&c->e, n->size, 0x0fc8 | (d & 7), 0, 0, d);
    t_dst(c, n->rm, n->size, d);
    return true;
}

static void cbw(Ctx *c)
{
    unsigned a = jit_host_reg[R_RAX], size = c->insn->size;

    e_rr(&c->e, size, size == 2 ? 0x0fbe | X_REX : size == 4 ? 0x0fbf : 0x63,
         a, a);
}

static void cwd(Ctx *c)
{
    unsigned size = c->insn->size;

    e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
    e_op(&c->e, size, 0x99, 0, 0, 0);
    e_mov(&c->e, size, jit_host_reg[R_RDX], H_DX);
}

/* --- stack ------------------------------------------------------------- */

unsigned t_stack_top(Ctx *c)
{
    if (c->word == 8) {
        return SP;
    }
    e_mov(&c->e, 4, H_DX, SP);
    return H_DX;
}

void t_push_check(Ctx *c)
{
    if (c->word == 8) {
        t_check_stack(c, SP, -8, 8, true);
        return;
    }
    e_rm(&c->e, 4, 0x8d, H_DX, SP, H_SP, 0, -4);
    t_check_stack(c, H_DX, 0, 4, true);
}

/* Where t_push_check() has looked: an instruction on that slot, and then the
 * new RSP. */
static void push_slot(Ctx *c, uint32_t opc, unsigned reg, int32_t imm)
{
    bool wide = c->word == 8, grouped = wide && t_grouped_stack(c);
    int off = grouped ? c->sp_off -= 8 : -8;

    if (wide) {
        e_rm(&c->e, 8, opc, reg, c->mem_base, SP, 0, off);
    } else {
        e_rm(&c->e, 4, opc, reg, c->mem_base, H_DX, 0, 0);
    }
    if (opc == 0xc7) {
        e32(&c->e, imm);
    }
    if (!wide) {
        e_mov(&c->e, 8, SP, H_DX);
    } else if (!grouped) {
        e_rm(&c->e, 8, 0x8d, SP, SP, H_SP, 0, -8);
    }
}

void t_push_word(Ctx *c)
{
    push_slot(c, 0x89, H_CX, 0);
}

void t_push_imm(Ctx *c, int32_t v)
{
    push_slot(c, 0xc7, 0, v);
}

static bool push_rm(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned s, word = c->word;

    if (n->size != word) {
        return false;
    }
    if (t_is_mem(c)) {
        t_rm_value(c);
        e_gs(&c->e, 8, 0x89, H_CX, OFF(jit_tmp));
        t_push_check(c);
        e_gs(&c->e, 8, 0x8b, H_CX, OFF(jit_tmp));
        s = H_CX;
    } else {
        t_push_check(c);
        c->rax_keep = true;
        s = t_src(c, n->rm, word, H_CX);
    }
    push_slot(c, 0x89, s, 0);
    return true;
}

static bool push_i(Ctx *c)
{
    if (c->insn->size != c->word) {
        return false;
    }
    t_push_check(c);
    c->rax_keep = true;
    t_push_imm(c, c->insn->imm);
    return true;
}

static bool pop_rm(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned d, sp, word = c->word;

    if (n->size != word || t_is_mem(c)) {
        return false;
    }
    sp = t_stack_top(c);
    t_check_stack(c, sp, 0, word, false);
    c->rax_keep = true;
    d = t_out(c, n->rm, word, H_CX);
    e_rm(&c->e, word, 0x8b, d, c->mem_base, sp, 0, c->sp_off);
    if (word == 8 && t_grouped_stack(c)) {
        c->sp_off += 8;
    } else if (n->rm != R_RSP) {
        e_rm(&c->e, word, 0x8d, SP, SP, H_SP, 0, word);
    }
    t_dst(c, n->rm, word, d);
    return true;
}

static bool leave(Ctx *c)
{
    unsigned bp = jit_host_reg[R_RBP], at = bp, word = c->word;

    if (c->insn->size != word) {
        return false;
    }
    if (word == 4) {
        at = H_DX;
        e_mov(&c->e, 4, at, bp);
    }
    t_check_stack(c, at, 0, word, false);
    e_rm(&c->e, word, 0x8b, H_CX, H_AX, at, 0, 0);
    e_rm(&c->e, word, 0x8d, SP, bp, H_SP, 0, word);
    e_mov(&c->e, word, bp, H_CX);
    return true;
}

/* --- which ------------------------------------------------------------- */

bool t_move(Ctx *c)
{
    const Insn *n = c->insn;

    switch (n->op) {
    case OP_MOV_RM_R: mov_r_rm(c, true); return true;
    case OP_MOV_R_RM: mov_r_rm(c, false); return true;
    case OP_MOV_RM_I: mov_rm_i(c); return true;
    case OP_MOVZX8_R_RM: mov_ext(c, 0x0fb6, 1); return true;
    case OP_MOVZX16_R_RM: mov_ext(c, 0x0fb7, 2); return true;
    case OP_MOVSX8_R_RM: mov_ext(c, 0x0fbe, 1); return true;
    case OP_MOVSX16_R_RM: mov_ext(c, 0x0fbf, 2); return true;
    case OP_MOVSX32_R_RM:
        if (n->size == 2) {
            return false;
        }
        mov_ext(c, 0x63, 4);
        return true;
    case OP_LEA_R_M: lea(c); return true;
    case OP_SETCC_RM: setcc(c); return true;
    case OP_XCHG_RM_R: xchg(c); return true;
    case OP_XADD_RM_R: return xadd(c);
    case OP_CMPXCHG_RM_R: return cmpxchg(c);
    case OP_BSWAP_RM: return bswap(c);
    case OP_CBW: cbw(c); return true;
    case OP_CWD: cwd(c); return true;
    case OP_NOP: case OP_PREFETCH_M: case OP_PREFETCHW_M: return true;
    case OP_PUSH_RM: return push_rm(c);
    case OP_PUSH_I: return push_i(c);
    case OP_POP_RM: return pop_rm(c);
    case OP_LEAVE: return leave(c);
    }
    return false;
}
