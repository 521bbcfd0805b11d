/*
 * SSE, AVX and MMX: the guest's instruction with its operands put in place.
 *
 * Guest XMM/YMM and MMX registers are the host's of the same number, so that
 * only general registers and the address change.  What the instruction does,
 * with every exception flag and upper half, is the processor's business.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- live registers ---------------------------------------------------- */

bool t_live(Ctx *c, unsigned need)
{
    unsigned missing = need & ~c->live;
    Stub *s;

    if (need & ~jit_fp_host()) {
        return false;
    }
    if (!missing) {
        return true;
    }
    c->rax_group = NULL;
    s = t_add_stub(c);
    for (unsigned i = 0; i < FP_KINDS; i++) {
        if (missing >> i & 1) {
            e_gs(&c->e, 4, 0x8b, H_CX, OFF(fp_off) + 4 * i);
            e8(&c->e, 0xe3);                        /* jrcxz over the jump */
            e8(&c->e, 5);
            e8(&c->e, 0xe9);
            t_stub_site(c, s);
        }
    }
    c->live |= need;
    s->load_fp = true;
    s->live = c->live;
    s->reload = c->in_r;
    s->back = c->e.p;
    return true;
}

/* --- one instruction --------------------------------------------------- */

/* What the operands say. */
typedef struct Form {
    unsigned need;              /* FP_* */
    unsigned reg, vvvv, rm;     /* rm: unless it is memory */
    int imm;                    /* -1: none */
    int gpr_out;                /* guest register that is written, or -1 */
    bool gpr_in_rm;
} Form;

static void write_op(Ctx *c, const InsnEnc *enc, const Form *f, unsigned w,
                     unsigned index, unsigned base)
{
    static const uint32_t pfx[] = { 0, X_66, X_F3, X_F2 };
    static const uint32_t map[] = { 0, 0x0f00, 0x0f3800, 0x0f3a00 };

    if (enc->flags & ENC_VEX) {
        e_vex_op(&c->e, enc->map, enc->pfx, w, c->insn->size == 32,
                 enc->opcode, f->reg, f->vvvv, index, base);
    } else {
        e_op(&c->e, w ? 8 : 4, pfx[enc->pfx] | map[enc->map] | enc->opcode,
             f->reg, index, base);
    }
}

/* The instruction on [base + index], or on f->rm. */
static void write_insn(Ctx *c, const Form *f, unsigned base, unsigned index)
{
    const InsnEnc *enc = insn_enc(c->insn->op);
    /* What ignores W gets the guest's, for VPCMPESTRI does not. */
    unsigned w = enc->flags & ENC_WY ? c->insn->size == 8
                 : enc->flags & ENC_VEX
                 ? enc->flags & ENC_W1 || c->insn->aux & 1 : 0;

    if (t_is_mem(c)) {
        write_op(c, enc, f, w, index == H_SP ? 0 : index, base);
        e_modrm(&c->e, f->reg, base, index, c->mem_scale, c->disp);
    } else {
        write_op(c, enc, f, w, 0, f->rm);
        e8(&c->e, 0xc0 | (f->reg & 7) << 3 | (f->rm & 7));
    }
    if (f->imm >= 0) {
        e8(&c->e, f->imm);
    }
}

/* False: nothing for here. */
static bool read_form(Ctx *c, Form *f)
{
    const Insn *n = c->insn;
    const InsnInfo *info = insn_info(n->op);
    const InsnEnc *enc = insn_enc(n->op);
    bool has_ext = enc->ext != ENC_NO_EXT;

    *f = (Form) { .imm = -1, .gpr_out = -1, .reg = has_ext ? enc->ext : 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        switch (info->opnd[i] & OPD_KIND) {
        case OPD_XREG:
            f->need |= enc->flags & ENC_VEX ? FP_AVX : FP_SSE;
            if (has_ext) {
                f->vvvv = n->reg;
            } else {
                f->reg = n->reg;
            }
            break;
        case OPD_XRM:
            f->need |= enc->flags & ENC_VEX ? FP_AVX : FP_SSE;
            f->rm = n->rm;
            break;
        case OPD_XV:
            f->vvvv = insn_vvvv(n);
            break;
        case OPD_XIS4:
            f->imm = (n->imm & 15) << 4;
            break;
        case OPD_PREG:
            f->need |= FP_X87;
            f->reg = n->reg;
            break;
        case OPD_PRM:
            f->need |= FP_X87;
            f->rm = n->rm;
            break;
        case OPD_REG:
            f->gpr_out = n->reg;
            break;
        case OPD_RM:
            if (i == 0 && !t_is_mem(c)) {
                f->gpr_out = n->rm;
            }
            f->gpr_in_rm = !t_is_mem(c);
            break;
        case OPD_IMM:
            f->imm = n->imm & 0xff;
            break;
        case OPD_NONE:
            break;
        default:
            return false;
        }
    }
    return f->need;
}

static bool copy(Ctx *c)
{
    const Insn *n = c->insn;
    const InsnInfo *info = insn_info(n->op);
    Form f;
    unsigned ea = 0;

    if (info->emit != EMIT_COPY || info->implicit || !read_form(c, &f)
        || !t_live(c, f.need)) {
        return false;
    }
    if (t_is_mem(c)) {
        unsigned size = insn_mem_size(n);
        unsigned align = info->align == AL_SIZE ? size : info->align;

        ea = t_operand_aligned(c, size, align >= 16 ? align : 1,
                               info->mem == MEM_STORE
                               || info->mem == MEM_RMW);
    }
    c->rax_keep = true;
    if (f.gpr_out >= 0) {
        unsigned d = t_out(c, f.gpr_out, 8, H_CX);

        if (f.gpr_in_rm) {
            f.rm = d;
        } else {
            f.reg = d;
        }
        write_insn(c, &f, c->mem_base, ea);
        t_fp_site(c);
        t_dst(c, f.gpr_out, 8, d);
        return true;
    }
    if (f.gpr_in_rm) {
        f.rm = t_src(c, n->rm, 8, H_CX);
    }
    write_insn(c, &f, c->mem_base, ea);
    t_fp_site(c);
    return true;
}

/* What must be live for `n`; 0 as well if it has no template. */
unsigned t_fp_need(Ctx *c, const Insn *n)
{
    const Insn *present = c->insn;
    const InsnInfo *info = insn_info(n->op);
    Form f = { 0 };

    if (n->op >= OP_FADD_ST0_M32 && n->op <= OP_FWAIT) {
        f.need = n->ea & EA_SEG ? 0 : FP_X87;
    } else if (info->emit == EMIT_COPY && !info->implicit) {
        c->insn = n;
        f.need = read_form(c, &f) ? f.need : 0;
        c->insn = present;
    }
    return f.need & ~jit_fp_host() ? 0 : f.need;
}

/* --- the others -------------------------------------------------------- */

/* Lengths in RAX and RDX, index in RCX. */
static bool compare_strings(Ctx *c)
{
    const Insn *n = c->insn;
    bool lengths = n->op == OP_PCMPESTRI_X_XM_I
                   || n->op == OP_PCMPESTRM_X_XM_I
                   || n->op == OP_VPCMPESTRI_X_XM_I
                   || n->op == OP_VPCMPESTRM_X_XM_I;
    bool index = n->op == OP_PCMPESTRI_X_XM_I || n->op == OP_PCMPISTRI_X_XM_I
                 || n->op == OP_VPCMPESTRI_X_XM_I
                 || n->op == OP_VPCMPISTRI_X_XM_I;
    Form f;

    /* VEX.W chooses the width of the lengths in 64-bit mode only. */
    if ((c->b->mode & DM_CODE_MASK) != DM_CODE64 || !read_form(c, &f)
        || !t_live(c, f.need)) {
        return false;
    }
    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, 16, false);

        e_rm(&c->e, 8, 0x8d, H_CX, H_AX, ea, 0, c->disp);
        c->disp = 0;
    }
    if (lengths) {
        e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
        e_mov(&c->e, 8, H_DX, jit_host_reg[R_RDX]);
    }
    write_insn(c, &f, H_CX, H_SP);
    if (index) {
        t_dst(c, R_RCX, 8, H_CX);
    }
    return true;
}

/* Reserved bits are the handler's. */
static bool ldmxcsr(Ctx *c)
{
    unsigned ea;

    if (!t_live(c, FP_SSE)) {
        return false;
    }
    ea = t_operand(c, 4, false);
    t_mem_insn(c, 4, 0x8b, H_CX, ea);
    e_gs(&c->e, 4, 0x89, H_CX, OFF(jit_tmp));
    e_rorx(&c->e, H_CX, H_CX, 16);
    e_rr(&c->e, 4, 0x0fb7, H_CX, H_CX);             /* movzx ecx, cx */
    e8(&c->e, 0xe3);                                /* jrcxz over the jump */
    e8(&c->e, 5);
    e8(&c->e, 0xe9);
    t_slow_site(c);
    e_gs(&c->e, 4, 0x0fae, 2, OFF(jit_tmp));
    return true;
}

static bool stmxcsr(Ctx *c)
{
    unsigned ea;

    if (!t_live(c, FP_SSE)) {
        return false;
    }
    ea = t_operand(c, 4, true);
    t_mem_insn(c, 4, 0x0fae, 3, ea);
    return true;
}

/* VZEROUPPER and VZEROALL have all sixteen registers in 64-bit mode only. */
static bool vzero(Ctx *c, unsigned l)
{
    if ((c->b->mode & DM_CODE_MASK) != DM_CODE64 || !t_live(c, FP_AVX)) {
        return false;
    }
    e_vex_op(&c->e, 1, 0, 0, l, 0x77, 0, 0, 0, 0);
    return true;
}

bool t_vec(Ctx *c)
{
    switch (c->insn->op) {
    case OP_PCMPESTRI_X_XM_I: case OP_PCMPESTRM_X_XM_I:
    case OP_PCMPISTRI_X_XM_I: case OP_PCMPISTRM_X_XM_I:
    case OP_VPCMPESTRI_X_XM_I: case OP_VPCMPESTRM_X_XM_I:
    case OP_VPCMPISTRI_X_XM_I: case OP_VPCMPISTRM_X_XM_I:
        return compare_strings(c);
    case OP_LDMXCSR_M:
        return ldmxcsr(c);
    case OP_STMXCSR_M:
        return stmxcsr(c);
    case OP_VZEROUPPER:
        return vzero(c, 0);
    case OP_VZEROALL:
        return vzero(c, 1);
    case OP_EMMS:
        if (!t_live(c, FP_X87)) {
            return false;
        }
        e_op(&c->e, 4, 0x0f77, 0, 0, 0);
        t_fp_site(c);
        return true;
    case OP_SFENCE: case OP_MFENCE: case OP_LFENCE:
        e_op(&c->e, 4, 0x0fae, 0, 0, 0);
        e8(&c->e, c->insn->op == OP_SFENCE ? 0xf8
                  : c->insn->op == OP_MFENCE ? 0xf0 : 0xe8);
        return true;
    }
    return copy(c);
}
