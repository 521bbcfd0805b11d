/*
 * Templates: arithmetic, logic, shifts, bits.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- arithmetic -------------------------------------------------------- */

/* XOR and SUB of a register without a home and itself. */
static bool zero_in_env(Ctx *c, uint32_t opc)
{
    const Insn *n = c->insn;

    if ((opc != 0x28 && opc != 0x30) || n->reg != n->rm || n->size < 4
        || !t_in_env(c, n->rm, n->size)) {
        return false;
    }
    e_rr(&c->e, 4, opc | 1, H_CX, H_CX);
    e_gs(&c->e, 8, 0x89, H_CX, t_gpr(n->rm, n->size));
    c->rax_keep = true;
    return true;
}

/* The same of registers one of which is in memory: an operand as any other,
 * but not of BT and its like, to which that is a string of bits. */
static bool op_in_env(Ctx *c, uint32_t opc, bool write)
{
    const Insn *n = c->insn;
    unsigned size = n->size;

    if (opc > 0xff) {
        return false;
    }
    if (t_in_env(c, n->rm, size) && !(write && size == 4)) {
        e_gs(&c->e, size, t_sized(opc, size), t_src(c, n->reg, size, H_CX),
             t_gpr(n->rm, size));
    } else if (t_in_env(c, n->reg, size) && t_home(&c->e, n->rm, size) >= 0
               && !t_is_high(n->rm, size)) {
        /* TEST has only one form, and needs no other. */
        e_gs(&c->e, size, t_sized(opc == 0x84 ? opc : opc + 2, size),
             t_home(&c->e, n->rm, size), t_gpr(n->reg, size));
    } else {
        return false;
    }
    c->rax_keep = true;
    return true;
}

/* rm op= reg; or, without `write`, compare. */
static void op_rm_r(Ctx *c, uint32_t opc, bool write)
{
    const Insn *n = c->insn;
    uint32_t any_size = opc;

    opc = t_sized(opc, n->size);
    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, write);

        t_mem_op(c, n->size, opc, t_src(c, n->reg, n->size, H_CX), ea);
    } else if (!zero_in_env(c, any_size) && !op_in_env(c, any_size, write)) {
        unsigned s = t_src(c, n->reg, n->size, H_CX);
        unsigned d = t_src(c, n->rm, n->size, H_AX);

        c->rax_keep = d != H_AX;
        e_rr(&c->e, n->size, opc, s, d);
        if (write) {
            t_dst(c, n->rm, n->size, d);
        }
    }
}

/* reg op= rm. */
static void op_r_rm(Ctx *c, uint32_t opc, bool write)
{
    const Insn *n = c->insn;
    unsigned d;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, false);

        d = t_src(c, n->reg, n->size, H_CX);
        t_mem_insn(c, n->size, opc, d, ea);
    } else {
        bool in_env = t_in_env(c, n->rm, n->size);
        unsigned s = in_env ? 0 : t_src(c, n->rm, n->size, H_CX);

        d = t_src(c, n->reg, n->size, H_AX);
        c->rax_keep = d != H_AX;
        if (in_env) {
            e_gs(&c->e, n->size, opc, d, t_gpr(n->rm, n->size));
        } else {
            e_rr(&c->e, n->size, opc, d, s);
        }
    }
    if (write) {
        t_dst(c, n->reg, n->size, d);
    }
}

/* BSF, BSR: with a source of 0 the destination stays, also its upper half. */
static void bit_scan(Ctx *c, uint32_t opc)
{
    const Insn *n = c->insn;
    unsigned whole = n->size == 4 ? 8 : n->size, d;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, false);

        d = t_src(c, n->reg, whole, H_CX);
        t_mem_insn(c, n->size, opc, d, ea);
    } else {
        unsigned s = t_src(c, n->rm, n->size, H_CX);

        d = t_src(c, n->reg, whole, H_AX);
        e_rr(&c->e, n->size, opc, d, s);
    }
    t_dst(c, n->reg, whole, d);
}

/* rm with an opcode extension and `imm_size` bytes of immediate. */
static void op_rm_x(Ctx *c, uint32_t opc, unsigned ext, bool write,
                    unsigned imm_size)
{
    const Insn *n = c->insn;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, write);

        t_mem_op(c, n->size, opc, ext, ea);
        if (imm_size) {
            t_imm(c, imm_size, n->imm);
        }
    } else if (t_in_env(c, n->rm, n->size) && !(write && n->size == 4)
               && t_sized(opc, 2) != 0xc1) {
        /* But no shifts: OF, where it is undefined, is not what it is for a
         * register. */
        c->rax_keep = true;
        e_gs(&c->e, n->size, opc, ext, t_gpr(n->rm, n->size));
        if (imm_size) {
            t_imm(c, imm_size, n->imm);
        }
    } else {
        unsigned d = t_src(c, n->rm, n->size, H_AX);

        c->rax_keep = d != H_AX;
        e_rr(&c->e, n->size, opc, ext, d);
        if (imm_size) {
            t_imm(c, imm_size, n->imm);
        }
        if (write) {
            t_dst(c, n->rm, n->size, d);
        }
    }
}

static void alu_rm_i(Ctx *c, unsigned k)
{
    const Insn *n = c->insn;

    if (n->size == 1) {
        op_rm_x(c, 0x80, k, k != 7, 1);
    } else if (n->imm == (int8_t)n->imm) {
        op_rm_x(c, 0x83, k, k != 7, 1);
    } else {
        op_rm_x(c, 0x81, k, k != 7, n->size);
    }
}

static void shift_cl(Ctx *c, unsigned k)
{
    const Insn *n = c->insn;
    uint32_t opc = t_sized(0xd2, n->size);
    unsigned ea = 0, d;

    if (t_is_mem(c)) {
        ea = t_operand(c, n->size, true);
        e_mov(&c->e, 4, H_CX, jit_host_reg[R_RCX]);
        t_mem_op(c, n->size, opc, k, ea);
    } else {
        d = t_src(c, n->rm, n->size, H_AX);
        e_mov(&c->e, 4, H_CX, jit_host_reg[R_RCX]);
        e_rr(&c->e, n->size, opc, k, d);
        t_dst(c, n->rm, n->size, d);
    }
}

/* RDX:RAX, or AX, from the host's registers to the guest's. */
static void put_dx_ax(Ctx *c, unsigned size)
{
    e_mov(&c->e, size == 1 ? 2 : size, jit_host_reg[R_RAX], H_AX);
    if (size > 1) {
        e_mov(&c->e, size, jit_host_reg[R_RDX], H_DX);
    }
}

static void mul(Ctx *c, unsigned ext)
{
    unsigned size = c->insn->size, s = t_rm_value(c);

    e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
    e_rr(&c->e, size, t_sized(0xf6, size), ext, s);
    put_dx_ax(c, size);
}

/* The slow path raises #DE, and divides what is not surely in range. */
static bool divide(Ctx *c, bool is_signed)
{
    unsigned size = c->insn->size, s;
    unsigned rdx = jit_host_reg[R_RDX];

    if (size < 4) {
        return false;
    }
    t_clobber(c);
    s = t_rm_value(c);
    if (is_signed) {
        /* Not 0, not -1, and RDX only RAX's sign. */
        e_rm(&c->e, size, 0x8d, H_AX, s, H_SP, 0, 1);
        e_rr(&c->e, size, 0x83, 7, H_AX);
        e8(&c->e, 1);
        t_jcc_slow(c, 6);
        e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
        e_op(&c->e, size, 0x99, 0, 0, 0);
        e_rr(&c->e, size, 0x39, rdx, H_DX);
        t_jcc_slow(c, 5);
        e_rr(&c->e, size, 0xf7, 7, s);
    } else {
        e_rr(&c->e, size, 0x39, s, rdx);            /* cmp rdx, s */
        t_jcc_slow(c, 3);
        e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
        e_mov(&c->e, 8, H_DX, rdx);
        e_rr(&c->e, size, 0xf7, 6, s);
    }
    put_dx_ax(c, size);
    return true;
}

/* --- which ------------------------------------------------------------- */

#define ALU(NAME, k)                                                        \
    case OP_##NAME##_RM_R: op_rm_r(c, (k) * 8, (k) != 7); return true;      \
    case OP_##NAME##_R_RM:                                                  \
        op_r_rm(c, t_sized((k) * 8 + 2, n->size), (k) != 7); return true;     \
    case OP_##NAME##_RM_I: alu_rm_i(c, k); return true
#define SHIFT(NAME, k)                                                      \
    case OP_##NAME##_RM_I:                                                  \
        op_rm_x(c, t_sized(0xc0, n->size), k, true, 1); return true;          \
    case OP_##NAME##_RM_CL: shift_cl(c, k); return true
#define BITS(NAME, k)                                                        \
    case OP_##NAME##_RM_I:                                                  \
        op_rm_x(c, 0x0fba, k, (k) != 4, 1); return true;                    \
    case OP_##NAME##_RM_R:                                                  \
        if (t_is_mem(c)) {                                                    \
            return false;                                                   \
        }                                                                   \
        op_rm_r(c, 0x0f83 | (k) << 3, (k) != 4); return true

bool t_alu(Ctx *c)
{
    const Insn *n = c->insn;

    switch (n->op) {
    ALU(ADD, 0);
    ALU(OR, 1);
    ALU(ADC, 2);
    ALU(SBB, 3);
    ALU(AND, 4);
    ALU(SUB, 5);
    ALU(XOR, 6);
    ALU(CMP, 7);
    SHIFT(ROL, 0);
    SHIFT(ROR, 1);
    SHIFT(RCL, 2);
    SHIFT(RCR, 3);
    SHIFT(SHL, 4);
    SHIFT(SHR, 5);
    SHIFT(SAR, 7);
    BITS(BT, 4);
    BITS(BTS, 5);
    BITS(BTR, 6);
    BITS(BTC, 7);
    case OP_TEST_RM_R: op_rm_r(c, 0x84, false); return true;
    case OP_TEST_RM_I:
        op_rm_x(c, t_sized(0xf6, n->size), 0, false, n->size); return true;
    case OP_NOT_RM: op_rm_x(c, t_sized(0xf6, n->size), 2, true, 0); return true;
    case OP_NEG_RM: op_rm_x(c, t_sized(0xf6, n->size), 3, true, 0); return true;
    case OP_INC_RM: op_rm_x(c, t_sized(0xfe, n->size), 0, true, 0); return true;
    case OP_DEC_RM: op_rm_x(c, t_sized(0xfe, n->size), 1, true, 0); return true;
    case OP_IMUL_R_RM: op_r_rm(c, 0x0faf, true); return true;
    case OP_IMUL_R_RM_I: {
        unsigned d = t_out(c, n->reg, n->size, H_CX), s;

        s = t_rm_value(c);
        e_rr(&c->e, n->size, 0x69, d, s);
        t_imm(c, n->size, n->imm);
        t_dst(c, n->reg, n->size, d);
        return true;
    }
    case OP_MUL_RM: mul(c, 4); return true;
    case OP_IMUL_RM: mul(c, 5); return true;
    case OP_DIV_RM: return divide(c, false);
    case OP_IDIV_RM: return divide(c, true);
    case OP_BSF_R_RM: bit_scan(c, 0x0fbc); return true;
    case OP_BSR_R_RM: bit_scan(c, 0x0fbd); return true;
    case OP_TZCNT_R_RM: op_r_rm(c, 0x0fbc | X_F3, true); return true;
    case OP_LZCNT_R_RM: op_r_rm(c, 0x0fbd | X_F3, true); return true;
    case OP_POPCNT_R_RM: op_r_rm(c, 0x0fb8 | X_F3, true); return true;
    case OP_SHLD_RM_R_I:
    case OP_SHRD_RM_R_I:
        if (t_is_mem(c) || n->size == 2) {
            return false;
        } else {
            unsigned s = t_src(c, n->reg, n->size, H_CX);
            unsigned d = t_src(c, n->rm, n->size, H_AX);

            e_rr(&c->e, n->size, n->op == OP_SHLD_RM_R_I ? 0x0fa4 : 0x0fac,
                 s, d);
            e8(&c->e, n->imm);
            t_dst(c, n->rm, n->size, d);
            return true;
        }
    case OP_CMOVCC_R_RM:
        op_r_rm(c, 0x0f40 | n->aux, true); return true;
    case OP_CLC: e8(&c->e, 0xf8); return true;
    case OP_STC: e8(&c->e, 0xf9); return true;
    case OP_CMC: e8(&c->e, 0xf5); return true;
    }
    return false;
}
