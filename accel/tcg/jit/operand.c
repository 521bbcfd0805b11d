/*
 * Operands: where flags are, registers, addresses.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- flags ------------------------------------------------------------- */

void t_save_flags(Emit *e)
{
    e_rr(e, 1, 0x0f90, 0, H_AX);                    /* seto al */
    e8(e, 0x9f);                                    /* lahf */
    e_gs(e, 2, 0x89, H_AX, OFF(cc_raw));
}

void t_load_flags(Emit *e)
{
    e_gs(e, 4, 0x0fb7, H_AX, OFF(cc_raw));
    e8(e, 0x04);                                    /* add al, 7fh: OF */
    e8(e, 0x7f);
    e8(e, 0x9e);                                    /* sahf */
}

void t_save_from(Emit *e, const JitReplay *q)
{
    if (q->op) {
        t_replay(e, q);
    }
    t_save_flags(e);
}

void t_need_r(Ctx *c)
{
    if (!c->in_r) {
        if (c->in_e) {
            t_load_flags(&c->e);
            c->rax_group = NULL;
        } else {
            t_replay(&c->e, &c->replay);
        }
        c->in_r = true;
    }
}

void t_clobber(Ctx *c)
{
    if (!c->in_e && (c->keep_r || !c->replay.op)) {
        t_save_from(&c->e, &(JitReplay) { 0 });
        c->rax_group = NULL;
        c->in_e = true;
    }
    c->in_r = false;
}

/* --- registers --------------------------------------------------------- */

const int8_t jit_host_reg[16] = {
    [R_RAX] = H_10, [R_RCX] = H_11, [R_RDX] = H_14, [R_RBX] = H_BX,
    [R_RSP] = H_15, [R_RBP] = H_BP, [R_RSI] = H_SI, [R_RDI] = H_DI,
    [R_R8] = H_8, [R_R9] = H_9, [R_R10] = -1, [R_R11] = -1,
    [R_R12] = H_12, [R_R13] = H_13, [R_R14] = -1, [R_R15] = -1,
};

unsigned t_src(Ctx *c, unsigned n, unsigned size, unsigned scratch)
{
    int h = t_home(&c->e, n, size);

    if (h < 0) {
        e_gs(&c->e, 8, 0x8b, scratch, t_gpr(n, size));
        return scratch;
    }
    if (t_is_high(n, size)) {
        e_rorx(&c->e, scratch, h, 8);
        return scratch;
    }
    return h;
}

void t_src_copy(Ctx *c, unsigned n, unsigned size, unsigned scratch)
{
    unsigned h = t_src(c, n, size, scratch);

    if (h != scratch) {
        e_mov(&c->e, size < 4 ? 4 : size, scratch, h);
    }
}

unsigned t_out(Ctx *c, unsigned n, unsigned size, unsigned scratch)
{
    int h = t_home(&c->e, n, size);

    return h < 0 || t_is_high(n, size) ? scratch : (unsigned)h;
}

void t_dst(Ctx *c, unsigned n, unsigned size, unsigned from)
{
    int h = t_home(&c->e, n, size);

    if (h < 0) {
        if (size == 4) {
            e_mov(&c->e, 4, H_CX, from);
            from = H_CX;
        }
        e_gs(&c->e, size == 4 ? 8 : size, size == 1 ? 0x88 : 0x89, from,
             t_gpr(n, size));
    } else if (t_is_high(n, size)) {
        if ((unsigned)h == from) {
            e_mov(&c->e, 4, H_CX, from);
            from = H_CX;
        }
        e_rorx(&c->e, h, h, 8);
        e_mov(&c->e, 1, h, from);
        e_rorx(&c->e, h, h, 56);
    } else if ((unsigned)h != from) {
        e_mov(&c->e, size, h, from);
    }
}

/* --- addresses --------------------------------------------------------- */

unsigned t_offset_to(Ctx *c, unsigned to, bool must)
{
    const Insn *n = c->insn;
    unsigned size = n->ea & EA_A32 ? 4 : 8;
    unsigned base, index;

    if (n->ea & EA_RIP) {
        t_rip_to(c, to, (int64_t)n->off + n->len + n->disp);
        if (size == 4) {
            e_mov(&c->e, 4, to, to);
        }
        return to;
    }
    if (n->base >= R_ZERO && n->index >= R_ZERO) {
        e_mov_i64(&c->e, to, size == 4 ? (uint64_t)(uint32_t)n->disp
                                       : (uint64_t)(int64_t)n->disp);
        return to;
    }
    if (n->index >= R_ZERO) {
        base = t_src(c, n->base, 8, to);
        if (!n->disp && size == 8 && !must) {
            return base;
        }
        e_rm(&c->e, size, 0x8d, to, base, H_SP, 0, n->disp);
        return to;
    }
    index = t_src(c, n->index, 8, H_CX);
    if (n->base >= R_ZERO) {
        /* No base: disp32 and a scaled index. */
        e_op(&c->e, size, 0x8d, to, index, 0);
        e8(&c->e, (to & 7) << 3 | 4);
        e8(&c->e, n->scale << 6 | (index & 7) << 3 | 5);
        e32(&c->e, n->disp);
        return to;
    }
    base = t_src(c, n->base, 8, to);
    e_rm(&c->e, size, 0x8d, to, base, index, n->scale, n->disp);
    return to;
}

/* The segment has no limit and can be written, and offset `r` is not where an
 * access could pass its end, or the slow path is taken. */
static void whole_segment(Ctx *c, unsigned r)
{
    uint32_t seg = OFF(s.seg) + c->insn->seg * sizeof(X86Seg);

    t_clobber(c);
    e_gs(&c->e, 4, 0x0fb7, H_AX, seg + offsetof(X86Seg, attr));
    e8(&c->e, 0x25);                                /* and eax, imm32 */
    e32(&c->e, SEGA_NULL | SEGA_CODE | SEGA_E | SEGA_W);
    e_rr(&c->e, 4, 0x83, 7, H_AX);
    e8(&c->e, SEGA_W);
    t_jcc_slow(c, 5);
    e_gs(&c->e, 4, 0x83, 7, seg + offsetof(X86Seg, limit));
    e8(&c->e, -1);
    t_jcc_slow(c, 5);
    e_rr(&c->e, 4, 0x83, 7, r);
    e8(&c->e, -64);
    t_jcc_slow(c, 7);
}

unsigned t_address(Ctx *c)
{
    unsigned r = t_offset_to(c, H_DX, false);

    if (c->insn->ea & EA_SEG) {
        if (c->word == 4) {
            whole_segment(c, r);
        }
        e_gs(&c->e, 8, 0x8b, H_AX,
             OFF(s.seg) + c->insn->seg * sizeof(X86Seg)
             + offsetof(X86Seg, base));
        e_rm(&c->e, c->word, 0x8d, H_DX, H_AX, r, 0, 0);
        r = H_DX;
    }
    return r;
}

unsigned t_address_disp(Ctx *c, int32_t *disp)
{
    const Insn *n = c->insn;
    unsigned r;

    if (n->ea & (EA_SEG | EA_A32) || n->index < R_ZERO
        || (n->base >= R_ZERO && !(n->ea & EA_RIP))
        || n->disp > INT32_MAX - 2 * (int)PAGE_BYTES) {
        return t_address(c);
    }
    if (n->ea & EA_RIP) {
        t_rip_to(c, H_DX, 0);
        r = H_DX;
        *disp += n->off + n->len;
    } else {
        r = t_src(c, n->base, 8, H_DX);
    }
    *disp += n->disp;
    return r;
}

/* --- operands ---------------------------------------------------------- */

void t_imm(Ctx *c, unsigned size, int64_t v)
{
    if (size == 1) {
        e8(&c->e, v);
    } else if (size == 2) {
        e8(&c->e, v);
        e8(&c->e, v >> 8);
    } else {
        e32(&c->e, v);
    }
}

unsigned t_rm_value(Ctx *c)
{
    const Insn *n = c->insn;

    if (t_is_mem(c)) {
        unsigned ea = t_operand(c, n->size, false);

        t_mem_insn(c, n->size, t_sized(0x8a, n->size), H_CX, ea);
        return H_CX;
    }
    return t_src(c, n->rm, n->size, H_CX);
}

void t_rip_to(Ctx *c, unsigned to, int64_t off)
{
    int32_t off32 = off;

    if (c->fixed) {
        e_mov_i64(&c->e, to, t_fixed_rip(c, off));
        return;
    }
    e_gs(&c->e, 8, 0x8b, to, OFF(rip_base));
    if (off != off32) {         /* from the page's end, by nearly 2 GiB */
        e_rm(&c->e, c->word, 0x8d, to, to, H_SP, 0, INT32_MAX);
        off32 = off - INT32_MAX;
    }
    if (off32) {
        e_rm(&c->e, c->word, 0x8d, to, to, H_SP, 0, off32);
    }
}

void t_set_base(Ctx *c, unsigned off)
{
    if (c->fixed) {
        e_gs(&c->e, 8, 0xc7, 0, OFF(rip_base));
        e32(&c->e, c->base);
        return;
    }
    e_op(&c->e, 8, 0x8d, H_CX, 0, H_DX);            /* lea rcx, [rdx+disp32] */
    e8(&c->e, 2 << 6 | H_CX << 3 | H_DX);
    e32(&c->e, -off);
    e_gs(&c->e, 8, 0x89, H_CX, OFF(rip_base));
}
