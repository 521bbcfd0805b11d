/*
 * Templates: what kernels do all the time with flags that are no arithmetic
 * ones and with segment bases, in 64-bit code at level 0; DF, selectors, PKRU,
 * what control registers hold.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* At level 0, or the slow path is taken.  Flags are in cc_raw then. */
static bool at_level_0(Ctx *c)
{
    if (c->b->mode & DM_CPL3) {
        return false;
    }
    t_clobber(c);
    e_gs(&c->e, 1, 0x80, 7, OFF(cpl));              /* cmp byte, 0 */
    e8(&c->e, 0);
    t_jcc_slow(c, 5);
    return true;
}

static bool cli(Ctx *c)
{
    if (!at_level_0(c)) {
        return false;
    }
    e_gs(&c->e, 4, 0x81, 4, OFF(s.rflags));
    e32(&c->e, ~(uint32_t)FL_IF);
    return true;
}

/*
 * With nothing pending.  What comes after this is delivered after the next
 * instruction at the earliest: that is in the same block, and whoever leaves
 * before it leaves for the interpreter to run it.
 */
static bool sti(Ctx *c)
{
    Emit *e = &c->e;

    if (c->i + 1 >= c->b->n_insns || !at_level_0(c)) {
        return false;
    }
    c->slow_exits = true;
    e_gs(e, 8, 0x8b, H_AX, OFF(cpu));
    e_rm(e, 4, 0x83, 7, H_AX, H_SP, 0, offsetof(X86Cpu, pending));
    e8(e, 0);
    t_jcc_slow(c, 5);
    e_gs(e, 4, 0x81, 1, OFF(s.rflags));
    e32(e, FL_IF);
    e_gs(e, 4, 0xc7, 0, OFF(poll_mask));
    e32(e, UINT32_MAX);
    return true;
}

static bool swapgs(Ctx *c)
{
    uint32_t base = OFF(s.seg) + SEG_GS * sizeof(X86Seg)
                    + offsetof(X86Seg, base);

    if (!at_level_0(c)) {
        return false;
    }
    e_gs(&c->e, 8, 0x8b, H_AX, base);
    e_gs(&c->e, 8, 0x8b, H_CX, OFF(s.kernel_gs_base));
    e_gs(&c->e, 8, 0x89, H_CX, base);
    e_gs(&c->e, 8, 0x89, H_AX, OFF(s.kernel_gs_base));
    return true;
}

/* The image of RFLAGS is made of s.rflags, cc_raw and the sign of df. */
static bool pushf(Ctx *c)
{
    Emit *e = &c->e;

    if (c->insn->size != 8) {
        return false;
    }
    t_clobber(c);
    e_gs(e, 4, 0x0fb7, H_CX, OFF(cc_raw));
    e_mov(e, 4, H_DX, H_CX);
    e_rr(e, 4, 0xc1, 5, H_DX);                      /* shr edx, 8 */
    e8(e, 8);
    e_rr(e, 4, 0x83, 4, H_CX);                      /* OF */
    e8(e, 1);
    e_rr(e, 4, 0xc1, 4, H_CX);
    e8(e, 11);
    e_rr(e, 4, 0x09, H_DX, H_CX);
    e_gs(e, 4, 0x8b, H_DX, OFF(df) + 4);
    e_rr(e, 4, 0x81, 4, H_DX);
    e32(e, FL_DF);
    e_rr(e, 4, 0x09, H_DX, H_CX);
    e_gs(e, 4, 0x8b, H_DX, OFF(s.rflags));
    e_rr(e, 4, 0x81, 4, H_DX);
    e32(e, ~(uint32_t)(FL_ARITH | FL_DF | FL_RF | FL_VM));
    e_rr(e, 4, 0x09, H_DX, H_CX);
    e_gs(e, 8, 0x89, H_CX, OFF(jit_tmp));
    t_push_check(c);
    e_gs(e, 8, 0x8b, H_CX, OFF(jit_tmp));
    t_push_word(c);
    return true;
}

static bool set_df(Ctx *c, int df)
{
    e_gs(&c->e, 8, 0xc7, 0, OFF(df));
    e32(&c->e, df);
    return true;
}

static bool mov_r_seg(Ctx *c)
{
    const Insn *n = c->insn;

    if (t_is_mem(c)) {
        return false;
    }
    e_gs(&c->e, 4, 0x0fb7, H_CX,
         OFF(s.seg) + n->reg * sizeof(X86Seg) + offsetof(X86Seg, selector));
    t_dst(c, n->rm, n->size, H_CX);
    return true;
}

static bool rdpkru(Ctx *c)
{
    Emit *e = &c->e;

    t_clobber(c);
    e_gs(e, 4, 0xf7, 0, OFF(s.cr4));                /* test dword, imm32 */
    e32(e, CR4_PKE);
    t_jcc_slow(c, 4);
    e_rr(e, 4, 0x85, jit_host_reg[R_RCX], jit_host_reg[R_RCX]);
    t_jcc_slow(c, 5);
    e_gs(e, 4, 0x8b, jit_host_reg[R_RAX], OFF(s.pkru));
    e_rr(e, 4, 0x31, jit_host_reg[R_RDX], jit_host_reg[R_RDX]);
    return true;
}

static bool mov_rm_cr(Ctx *c)
{
    uint32_t at;

    switch (c->insn->reg) {
    case 0: at = OFF(s.cr0); break;
    case 2: at = OFF(s.cr2); break;
    case 3: at = OFF(s.cr3); break;
    case 4: at = OFF(s.cr4); break;
    default: return false;
    }
    if (!at_level_0(c)) {
        return false;
    }
    e_gs(&c->e, 8, 0x8b, H_CX, at);
    t_dst(c, c->insn->rm, c->word, H_CX);
    return true;
}

/* RDFSBASE and its like; a base that is canonical with 57 bits only is for the
 * handler, which knows the processor. */
static bool segment_base(Ctx *c, unsigned seg, bool write)
{
    Emit *e = &c->e;
    const Insn *n = c->insn;
    uint32_t at = OFF(s.seg) + seg * sizeof(X86Seg) + offsetof(X86Seg, base);

    if (c->word != 8) {
        return false;
    }
    t_clobber(c);
    e_gs(e, 4, 0xf7, 0, OFF(s.cr4));                /* test dword, imm32 */
    e32(e, CR4_FSGSBASE);
    t_jcc_slow(c, 4);
    if (write) {
        e_mov(e, n->size, H_CX, t_src(c, n->rm, n->size, H_CX));
        e_mov(e, 8, H_DX, H_CX);
        e_rr(e, 8, 0xc1, 7, H_DX);                  /* sar rdx, 47 */
        e8(e, 47);
        e_rr(e, 8, 0x83, 0, H_DX);                  /* 0 or 1, if canonical */
        e8(e, 1);
        e_rr(e, 8, 0x83, 7, H_DX);
        e8(e, 1);
        t_jcc_slow(c, 7);
        e_gs(e, 8, 0x89, H_CX, at);
    } else {
        e_gs(e, 8, 0x8b, H_CX, at);
        t_dst(c, n->rm, n->size, H_CX);
    }
    return true;
}

bool t_system(Ctx *c)
{
    switch (c->insn->op) {
    case OP_CLI: return cli(c);
    case OP_STI: return sti(c);
    case OP_SWAPGS: return swapgs(c);
    case OP_PUSHF: return pushf(c);
    case OP_CLD: return set_df(c, 1);
    case OP_STD: return set_df(c, -1);
    case OP_MOV_RM_SEG: return mov_r_seg(c);
    case OP_RDPKRU: return rdpkru(c);
    case OP_MOV_RM_CR: return mov_rm_cr(c);
    case OP_RDFSBASE_RM: return segment_base(c, SEG_FS, false);
    case OP_RDGSBASE_RM: return segment_base(c, SEG_GS, false);
    case OP_WRFSBASE_RM: return segment_base(c, SEG_FS, true);
    case OP_WRGSBASE_RM: return segment_base(c, SEG_GS, true);
    }
    return false;
}
