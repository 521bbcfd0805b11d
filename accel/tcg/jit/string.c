/*
 * Templates: MOVS and STOS upwards in 64-bit code, with and without REP.
 *
 * A repetition that stays in one page of each operand is one of the host's on
 * host pointers; RSI and RDI are there already.  The rest is the handler's.
 *
 * Spec: Intel SDM volume 2, REP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

#define COUNT ((unsigned)jit_host_reg[R_RCX])

static unsigned log2_of(unsigned size)
{
    return __builtin_ctz(size);
}

/* RAX, or `to`: where the TLB's entry for the address is. */
static void entry_of(Ctx *c, unsigned to, unsigned ea)
{
    e_rorx(&c->e, to, ea, 7);
    e_rr(&c->e, 4, 0x81, 4, to);                    /* and to, imm32 */
    e32(&c->e, (TLB_SIZE - 1) << 5);
}

static void addend_of(Ctx *c, unsigned to, unsigned entry)
{
    e_gsx(&c->e, 8, 0x8b, to, entry, 0, c->tlb + offsetof(TlbEntry, addend));
}

/*
 * `bytes` at `ea`, or as many as RDX says (up to a page), hit the TLB, or the
 * slow path is taken.  RAX: the entry.  Uses RCX.
 */
static void check(Ctx *c, unsigned ea, unsigned bytes, bool write)
{
    Emit *e = &c->e;

    entry_of(c, H_AX, ea);
    e_gsx(e, 8, 0x8b, H_CX, H_AX, 0,
          c->tlb + (write ? offsetof(TlbEntry, nwpage)
                          : offsetof(TlbEntry, nrpage)));
    e_rm(e, 8, 0x8d, H_CX, H_CX, ea, 0, bytes ? (int)bytes - 1 : 0);
    if (!bytes) {
        e_rm(e, 8, 0x8d, H_CX, H_CX, H_DX, 0, -1);
    }
    e_rr(e, 8, 0x81, 7, H_CX);                      /* cmp rcx, imm32 */
    e32(e, PAGE_BYTES - 1);
    t_jcc_slow(c, 7);
}

static void host_string(Ctx *c, bool movs)
{
    unsigned size = c->insn->size;

    e8(&c->e, 0xf3);
    e_op(&c->e, size == 1 ? 4 : size, (movs ? 0xa4 : 0xaa) | (size > 1), 0, 0,
         0);
}

static void repeat(Ctx *c, bool movs)
{
    unsigned size = c->insn->size;
    Emit *e = &c->e;
    uint8_t *none;

    e_rr(e, 8, 0x81, 7, COUNT);                     /* cmp count, imm32 */
    e32(e, PAGE_BYTES / size);
    t_jcc_slow(c, 7);
    e_mov(e, 4, H_DX, COUNT);
    e_rr(e, 4, 0x85, H_DX, H_DX);
    e8(e, 0x0f);                                    /* jz */
    e8(e, 0x84);
    none = e->p;
    e32(e, 0);
    if (size > 1) {
        e_rr(e, 4, 0xc1, 4, H_DX);                  /* shl edx, imm8 */
        e8(e, log2_of(size));
    }
    check(c, H_DI, 0, true);
    if (movs) {
        check(c, H_SI, 0, false);
        addend_of(c, H_AX, H_AX);
        entry_of(c, H_DX, H_DI);
        addend_of(c, H_DX, H_DX);
        e_rr(e, 8, 0x01, H_AX, H_SI);
    } else {
        addend_of(c, H_DX, H_AX);
        e_mov(e, 8, H_AX, jit_host_reg[R_RAX]);
    }
    e_rr(e, 8, 0x01, H_DX, H_DI);
    e_mov(e, 4, H_CX, COUNT);
    host_string(c, movs);
    if (movs) {
        e_rr(e, 8, 0x29, H_AX, H_SI);
    }
    e_rr(e, 8, 0x29, H_DX, H_DI);
    e_mov(e, 4, COUNT, H_CX);                       /* 0 */
    e_rel32(none, e->p);
}

static void once(Ctx *c, bool movs)
{
    unsigned size = c->insn->size, from = jit_host_reg[R_RAX];
    Emit *e = &c->e;

    if (movs) {
        check(c, H_SI, size, false);
        addend_of(c, H_AX, H_AX);
        from = H_DX;
        e_rm(e, size, t_sized(0x8a, size), from, H_AX, H_SI, 0, 0);
    }
    check(c, H_DI, size, true);
    addend_of(c, H_AX, H_AX);
    e_rm(e, size, t_sized(0x88, size), from, H_AX, H_DI, 0, 0);
    if (movs) {
        e_rm(e, 8, 0x8d, H_SI, H_SI, H_SP, 0, size);
    }
    e_rm(e, 8, 0x8d, H_DI, H_DI, H_SP, 0, size);
}

bool t_string(Ctx *c)
{
    const Insn *n = c->insn;
    bool movs = n->op == OP_MOVS;

    if ((!movs && n->op != OP_STOS) || c->word != 8 || n->ea & EA_SEG
        || n->flags & (INSN_A16 | INSN_A32) || jit_options.tlb_miss) {
        return false;
    }
    t_clobber(c);
    e_gs(&c->e, 8, 0x83, 7, OFF(df));               /* cmp qword, 0 */
    e8(&c->e, 0);
    t_jcc_slow(c, 12);
    if (n->flags & (INSN_REP | INSN_REPNE)) {
        repeat(c, movs);
    } else {
        once(c, movs);
    }
    return true;
}
G_STATIC_ASSERT(sizeof(TlbEntry) == 32);
