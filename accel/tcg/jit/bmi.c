/*
 * Templates: BMI1 and BMI2, ADX, MOVBE, CRC32, BT of memory, CMPXCHG8B and
 * CMPXCHG16B.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

#include <cpuid.h>

/* --- BMI: the guest's instruction with its operands put in place ---------- */

typedef struct Bmi {
    unsigned reg, vvvv;         /* host registers, or an opcode extension */
    int imm;                    /* -1: none */
} Bmi;

/* On the memory operand that t_operand() has found, or on register `rm`. */
static void write_bmi(Ctx *c, const Bmi *f, unsigned rm)
{
    const InsnEnc *enc = insn_enc(c->insn->op);
    unsigned w = c->insn->size == 8;

    if (t_is_mem(c)) {
        e_vex_op(&c->e, enc->map, enc->pfx, w, 0, enc->opcode, f->reg,
                 f->vvvv, rm, c->mem_base);
        e_modrm(&c->e, f->reg, c->mem_base, rm, 0, c->disp);
    } else {
        e_vex_op(&c->e, enc->map, enc->pfx, w, 0, enc->opcode, f->reg,
                 f->vvvv, 0, rm);
        e8(&c->e, 0xc0 | (f->reg & 7) << 3 | (rm & 7));
    }
    if (f->imm >= 0) {
        e8(&c->e, f->imm);
    }
}

/* The rm operand for write_bmi(); RAX if it has to be loaded. */
static unsigned bmi_rm(Ctx *c)
{
    const Insn *n = c->insn;

    return t_is_mem(c) ? t_operand(c, n->size, false)
                       : t_src(c, n->rm, n->size, H_AX);
}

/* reg = f(rm, vvvv), or without `vvvv` f(rm, imm). */
static bool bmi(Ctx *c, bool vvvv)
{
    const Insn *n = c->insn;
    Bmi f = { .imm = vvvv ? -1 : n->imm & 0xff };
    unsigned rm = bmi_rm(c);

    f.vvvv = vvvv ? t_src(c, insn_vvvv(n), n->size, H_CX) : 0;
    f.reg = t_out(c, n->reg, n->size, H_CX);
    write_bmi(c, &f, rm);
    t_dst(c, n->reg, n->size, f.reg);
    return true;
}

/* BLSI, BLSMSK, BLSR: the destination is encoded in VEX.vvvv. */
static bool bmi_low(Ctx *c)
{
    const Insn *n = c->insn;
    Bmi f = { .imm = -1, .reg = insn_enc(n->op)->ext };
    unsigned rm = bmi_rm(c);

    f.vvvv = t_out(c, n->reg, n->size, H_CX);
    write_bmi(c, &f, rm);
    t_dst(c, n->reg, n->size, f.vvvv);
    return true;
}

/* The high half goes to reg, which wins, the low one to vvvv. */
static bool mulx(Ctx *c)
{
    const Insn *n = c->insn;
    Bmi f = { .imm = -1 };
    unsigned rm = bmi_rm(c);

    if (t_is_mem(c)) {
        t_mem_insn(c, n->size, 0x8b, H_AX, rm);
        rm = H_AX;
    }
    e_mov(&c->e, n->size, H_DX, jit_host_reg[R_RDX]);
    f.reg = t_out(c, n->reg, n->size, H_AX);
    f.vvvv = t_out(c, insn_vvvv(n), n->size, H_CX);
    e_vex_op(&c->e, 2, 3, n->size == 8, 0, 0xf6, f.reg, f.vvvv, 0, rm);
    e8(&c->e, 0xc0 | (f.reg & 7) << 3 | (rm & 7));
    t_dst(c, insn_vvvv(n), n->size, f.vvvv);
    t_dst(c, n->reg, n->size, f.reg);
    return true;
}

/* --- the others ----------------------------------------------------------- */

static bool host_has(unsigned leaf, unsigned reg, unsigned bit)
{
    unsigned r[4];

    return __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3])
           && r[reg] >> bit & 1;
}

/* ADCX, ADOX. */
static bool adx(Ctx *c, uint32_t opc)
{
    const Insn *n = c->insn;
    unsigned d;

    if (!host_has(7, 1, 19)) {
        return false;
    }
    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, false);

        d = t_src(c, n->reg, n->size, H_CX);
        t_mem_insn(c, n->size, opc, d, ea);
    } else {
        unsigned s = t_src(c, n->rm, n->size, H_CX);

        d = t_src(c, n->reg, n->size, H_AX);
        e_rr(&c->e, n->size, opc, d, s);
    }
    t_dst(c, n->reg, n->size, d);
    return true;
}

static bool movbe(Ctx *c, bool store)
{
    const Insn *n = c->insn;
    unsigned ea, r;

    if (!host_has(1, 2, 22)) {
        return false;
    }
    ea = t_operand(c, n->size, store);
    if (store) {
        t_mem_insn(c, n->size, 0x0f38f1, t_src(c, n->reg, n->size, H_CX), ea);
    } else {
        r = t_out(c, n->reg, n->size, H_CX);
        t_mem_insn(c, n->size, 0x0f38f0, r, ea);
        t_dst(c, n->reg, n->size, r);
    }
    return true;
}

/* The size is the source's; the whole destination is written. */
static bool crc32(Ctx *c)
{
    const Insn *n = c->insn;
    uint32_t opc = X_F2 | t_sized(0x0f38f0, n->size);
    unsigned d;

    if (!host_has(1, 2, 20)) {
        return false;
    }
    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, false);

        d = t_src(c, n->reg, 8, H_CX);
        t_mem_insn(c, n->size, opc, d, ea);
    } else {
        unsigned s = t_src(c, n->rm, n->size, H_CX);

        d = t_src(c, n->reg, 8, H_AX);
        e_rr(&c->e, n->size, opc, d, s);
    }
    t_dst(c, n->reg, 8, d);
    return true;
}

/*
 * The address goes through RDI, for all scratch registers are operands.  RBX's
 * home is RBX.
 */
static bool cmpxchg_pair(Ctx *c, unsigned size)
{
    Emit *e = &c->e;
    unsigned ea, di = jit_host_reg[R_RDI];

    if (size == 16 && !host_has(1, 2, 13)) {
        return false;
    }
    c->no_slot = true;          /* nothing faults with another RDI */
    ea = t_operand_aligned(c, size, size == 16 ? 16 : 1, true);
    e_rm(e, 8, 0x8d, H_DX, H_AX, ea, 0, c->disp);
    e_gs(e, 8, 0x89, di, OFF(jit_tmp));
    e_mov(e, 8, di, H_DX);
    e_mov(e, 8, H_AX, jit_host_reg[R_RAX]);
    e_mov(e, 8, H_CX, jit_host_reg[R_RCX]);
    e_mov(e, 8, H_DX, jit_host_reg[R_RDX]);
    if (c->insn->flags & INSN_LOCK) {
        e8(e, 0xf0);
    }
    e_rm(e, size == 16 ? 8 : 4, 0x0fc7, 1, di, H_SP, 0, 0);
    e_gs(e, 8, 0x8b, di, OFF(jit_tmp));
    e_mov(e, 8, jit_host_reg[R_RAX], H_AX);
    e_mov(e, 8, jit_host_reg[R_RDX], H_DX);
    return true;
}

/* BT with a bit that may be anywhere around the operand. */
static bool bt_mem(Ctx *c)
{
    const Insn *n = c->insn;
    Emit *e = &c->e;
    Access a = { .ea = H_DX, .size = n->size, .align = 1, .slot = -1 };
    unsigned ea, s;

    if (!t_is_mem(c) || n->size < 4) {
        return false;
    }
    ea = t_address(c);
    s = t_src(c, n->reg, n->size, H_CX);
    e_rr(e, 8, n->size == 8 ? 0x8b : 0x63, H_CX, s);
    e_mov_i64(e, H_AX, n->size == 8 ? 6 : 5);
    e_vex_op(e, 2, 2, 1, 0, 0xf7, H_CX, H_AX, 0, H_CX);     /* sarx */
    e8(e, 0xc0 | H_CX << 3 | H_CX);
    e_rm(e, c->word, 0x8d, H_DX, ea, H_CX, n->size == 8 ? 3 : 2, 0);
    t_check_access(c, &a);
    e_rm(e, n->size, 0x8b, H_CX, H_AX, H_DX, 0, 0);
    e_rr(e, n->size, 0x0fa3, t_src(c, n->reg, n->size, H_AX), H_CX);
    return true;
}

bool t_bmi(Ctx *c)
{
    switch (c->insn->op) {
    case OP_ANDN_R_R_RM: case OP_BEXTR_R_RM_R: case OP_BZHI_R_RM_R:
    case OP_PDEP_R_R_RM: case OP_PEXT_R_R_RM: case OP_SARX_R_RM_R:
    case OP_SHLX_R_RM_R: case OP_SHRX_R_RM_R:
        return bmi(c, true);
    case OP_RORX_R_RM_I: return bmi(c, false);
    case OP_BLSI_R_RM: case OP_BLSMSK_R_RM: case OP_BLSR_R_RM:
        return bmi_low(c);
    case OP_MULX_R_R_RM: return mulx(c);
    case OP_ADCX_R_RM: return adx(c, 0x0f38f6 | X_66);
    case OP_ADOX_R_RM: return adx(c, 0x0f38f6 | X_F3);
    case OP_MOVBE_R_M: return movbe(c, false);
    case OP_MOVBE_M_R: return movbe(c, true);
    case OP_CRC32_R_RM: return crc32(c);
    case OP_BT_RM_R: return bt_mem(c);
    case OP_CMPXCHG8B_M: return cmpxchg_pair(c, 8);
    case OP_CMPXCHG16B_M: return cmpxchg_pair(c, 16);
    }
    return false;
}
