/*
 * Guest memory: the check of the TLB in line.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- memory ------------------------------------------------------------ */

void t_slow_site(Ctx *c)
{
    c->site[c->n_sites++] = c->e.p;
    c->site_save = !c->in_e;
    e32(&c->e, 0);
}

void t_jcc_slow(Ctx *c, unsigned cond)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | cond);
    t_slow_site(c);
}

/*
 * Are there enough checks before the flags are overwritten that it pays to
 * save them once and let the checks have them?
 */
static bool saving_pays(const Ctx *c)
{
    unsigned n = 0;

    for (unsigned i = c->i; i < c->b->n_insns; i++) {
        const Insn *insn = &c->b->insns[i];
        InsnFlags f = insn_flags(insn);

        if (f.read & IF_ARITH) {
            break;
        }
        n += insn->flags & INSN_MEM && insn->op != OP_LEA_R_M
             && i >= c->group_end;
        if (((f.set | f.undef) & IF_ARITH) == IF_ARITH
            && !(f.may & IF_ARITH)) {
            return n >= 2;
        }
    }
    return n >= 3;
}

/*
 * With an alignment, `size` is a multiple of it.  Then the access cannot cross
 * a page but between such pieces, and the low bits must be right besides.
 */
void t_check_aligned(Ctx *c, unsigned ea, unsigned size, unsigned align,
                     bool write)
{
    Emit *e = &c->e;
    uint32_t tag = c->tlb + (write ? offsetof(TlbEntry, nwpage)
                                   : offsetof(TlbEntry, nrpage));
    uint32_t addend = c->tlb + offsetof(TlbEntry, addend);
    uint32_t mask = align == 1 ? OFF(jit_page_mask)
                    : OFF(jit_align_mask) + (align == 32 ? 8 : 0);
    unsigned last = size - align;

    c->rax_group = false;
    if (!c->keep_r && !c->in_e && saving_pays(c)) {
        t_save_flags(e);
        c->in_e = true;
    }
    if (jit_options.tlb_miss) {
        e8(e, 0xe9);
        t_slow_site(c);
    }
    if (c->keep_r || !c->in_e) {
        e_pext_gs(e, H_AX, ea, OFF(jit_index_mask));
        e_op(e, 4, 0x8d, H_AX, H_AX, 0);            /* lea eax, [rax*8] */
        e8(e, H_AX << 3 | 4);
        e8(e, 3 << 6 | H_AX << 3 | 5);
        e32(e, 0);
        e_gsx(e, 8, 0x8b, H_CX, H_AX, 2, tag);
        e_rm(e, 8, 0x8d, H_CX, H_CX, ea, 0, last);
        e_pext_gs(e, H_CX, H_CX, mask);
        e8(e, 0xe3);                                /* jrcxz over the jump */
        e8(e, 5);
        e8(e, 0xe9);
        t_slow_site(c);
        e_gsx(e, 8, 0x8b, H_AX, H_AX, 2, addend);
    } else {
        c->in_r = false;
        e_rorx(e, H_AX, ea, 7);
        e8(e, 0x25);                                /* and eax, imm32 */
        e32(e, (TLB_SIZE - 1) << 5);
        e_gsx(e, 8, 0x8b, H_CX, H_AX, 0, tag);
        e_rm(e, 8, 0x8d, H_CX, H_CX, ea, 0, last);
        if (align == 1) {
            e_rr(e, 8, 0x81, 7, H_CX);              /* cmp rcx, 4095 */
            e32(e, 4095);
            t_jcc_slow(c, 7);
        } else {
            e_rr(e, 8, 0xf7, 0, H_CX);              /* test rcx, imm32 */
            e32(e, -4096 | (align - 1));
            t_jcc_slow(c, 5);
        }
        e_gsx(e, 8, 0x8b, H_AX, H_AX, 0, addend);
    }
}
G_STATIC_ASSERT(sizeof(TlbEntry) == 32);

void t_check(Ctx *c, unsigned ea, unsigned size, bool write)
{
    if (t_grouped(c)) {
        t_group_addend(c);
    } else {
        t_check_aligned(c, ea, size, 1, write);
    }
}

void t_check_stack(Ctx *c, unsigned ea, unsigned size, bool write)
{
    if (t_grouped_stack(c)) {
        t_group_addend(c);
    } else {
        t_check_aligned(c, ea, size, 1, write);
    }
}

void t_mem_op(Ctx *c, unsigned size, uint32_t opc, unsigned reg,
                   unsigned ea)
{
    if (c->insn->flags & INSN_LOCK) {
        e8(&c->e, 0xf0);
    }
    e_rm(&c->e, size, opc, reg, H_AX, ea, 0, 0);
}
