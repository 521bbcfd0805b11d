/*
 * A decoded block to host code.
 *
 * Guest registers live in host registers (jit_host_reg) or in the environment,
 * which GS points to.  RAX, RCX and RDX are scratch: an address is in RDX or
 * in the guest register that holds it, a TLB's addend in RAX, a value in RCX.
 *
 * Arithmetic flags are in RFLAGS (in_r), in env->cc_raw (in_e), or both.  The
 * check of an access leaves RFLAGS alone while they hold the only copy.  Every
 * place that may leave saves them first, so flags are precise at each fault.
 *
 * The fast path of an instruction is a template.  Where it does not do, and
 * for instructions without one, jit_fallback() runs the interpreter's handler.
 * What may transfer control and has no template is left to the interpreter.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include "accel/tcg/decode/info.h"
#include "accel/tcg/jit/emit.h"

const int8_t jit_host_reg[16] = {
    [R_RAX] = H_10, [R_RCX] = H_11, [R_RDX] = H_14, [R_RBX] = H_BX,
    [R_RSP] = H_15, [R_RBP] = H_BP, [R_RSI] = H_SI, [R_RDI] = H_DI,
    [R_R8] = H_8, [R_R9] = H_9, [R_R10] = -1, [R_R11] = -1,
    [R_R12] = H_12, [R_R13] = H_13, [R_R14] = -1, [R_R15] = -1,
};

#define OFF(field) ((uint32_t)offsetof(Env, field))
#define GPR(n) ((uint32_t)(offsetof(Env, s.gpr) + 8 * (n)))
#define SP ((unsigned)jit_host_reg[R_RSP])

enum { MAX_STUBS = 4 * BLOCK_MAX_INSNS + 8, MAX_SITES = 6 };

/* Code out of the way: a slow path, or an exit. */
typedef struct Stub {
    uint8_t *site[MAX_SITES];   /* rel32 that lead here */
    unsigned n_sites;
    uint8_t *back;              /* where a slow path goes on */
    JitEdge *edge;              /* exit; NULL: slow path or exit at RDX */
    unsigned insn;
    bool exit_rdx;
    bool save, reload;          /* flags */
} Stub;

typedef struct Ctx {
    Emit e;
    Block *b;
    JitCode *jc;
    const Insn *insn;
    unsigned i;
    uint32_t tlb;               /* offset of the table from GS */
    bool in_r, in_e;
    bool keep_r;                /* the instruction needs flags in RFLAGS */
    bool done;                  /* control does not go on after this one */
    uint8_t *site[MAX_SITES];   /* of this instruction's slow path */
    unsigned n_sites;
    bool site_save;
    bool slow_exits;            /* its slow path is the interpreter */
    Stub stubs[MAX_STUBS];
    unsigned n_stubs;
} Ctx;

/* --- flags --------------------------------------------------------------------- */

static void emit_save_flags(Emit *e)
{
    e_rr(e, 1, 0x0f90, 0, H_AX);                    /* seto al */
    e8(e, 0x9f);                                    /* lahf */
    e_gs(e, 2, 0x89, H_AX, OFF(cc_raw));
}

static void emit_load_flags(Emit *e)
{
    e_gs(e, 4, 0x0fb7, H_AX, OFF(cc_raw));
    e8(e, 0x04);                                    /* add al, 7fh: OF */
    e8(e, 0x7f);
    e8(e, 0x9e);                                    /* sahf */
}

static void need_r(Ctx *c)
{
    if (!c->in_r) {
        emit_load_flags(&c->e);
        c->in_r = true;
    }
}

/* RFLAGS are about to be overwritten by something of ours.  Uses RAX. */
static void clobber(Ctx *c)
{
    if (!c->in_e) {
        emit_save_flags(&c->e);
        c->in_e = true;
    }
    c->in_r = false;
}

/* --- registers ------------------------------------------------------------------- */

static bool is_high(unsigned n, unsigned size)
{
    return size == 1 && n & 1;
}

static int home(unsigned n, unsigned size)
{
    return jit_host_reg[size == 1 ? n >> 3 : n];
}

/* The operand in a host register: its home, or `scratch`. */
static unsigned src(Ctx *c, unsigned n, unsigned size, unsigned scratch)
{
    int h = home(n, size);

    if (h < 0) {
        e_gs(&c->e, 8, 0x8b, scratch, GPR(size == 1 ? n >> 3 : n));
        return scratch;
    }
    if (is_high(n, size)) {
        e_rorx(&c->e, scratch, h, 8);
        return scratch;
    }
    return h;
}

/* The same in `scratch` itself. */
static void src_copy(Ctx *c, unsigned n, unsigned size, unsigned scratch)
{
    unsigned h = src(c, n, size, scratch);

    if (h != scratch) {
        e_mov(&c->e, size < 4 ? 4 : size, scratch, h);
    }
}

/* Where to put a result: its home, or `scratch`; then call dst(). */
static unsigned out(Ctx *c, unsigned n, unsigned size, unsigned scratch)
{
    int h = home(n, size);

    return h < 0 || is_high(n, size) ? scratch : (unsigned)h;
}

/* The result is in `from`.  No flags. */
static void dst(Ctx *c, unsigned n, unsigned size, unsigned from)
{
    int h = home(n, size);

    if (h < 0) {
        if (size == 4) {
            e_mov(&c->e, 4, H_CX, from);
            from = H_CX;
        }
        e_gs(&c->e, size == 4 ? 8 : size, size == 1 ? 0x88 : 0x89, from,
             GPR(size == 1 ? n >> 3 : n));
    } else if (is_high(n, size)) {
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

/* --- addresses --------------------------------------------------------------------- */

/* The offset of the memory operand, in a guest register's home or `to`. */
static unsigned offset_to(Ctx *c, unsigned to, bool must)
{
    const Insn *n = c->insn;
    unsigned size = n->ea & EA_A32 ? 4 : 8;
    unsigned base, index;

    if (n->ea & EA_RIP) {
        e_gs(&c->e, 8, 0x8b, to, OFF(rip_base));
        e_rm(&c->e, size, 0x8d, to, to, H_SP, 0,
             n->off + n->len + n->disp);
        return to;
    }
    if (n->base >= R_ZERO && n->index >= R_ZERO) {
        e_mov_i64(&c->e, to, size == 4 ? (uint64_t)(uint32_t)n->disp
                                       : (uint64_t)(int64_t)n->disp);
        return to;
    }
    if (n->index >= R_ZERO) {
        base = src(c, n->base, 8, to);
        if (!n->disp && size == 8 && !must) {
            return base;
        }
        e_rm(&c->e, size, 0x8d, to, base, H_SP, 0, n->disp);
        return to;
    }
    index = src(c, n->index, 8, H_CX);
    if (n->base >= R_ZERO) {
        /* No base: disp32 and a scaled index. */
        e_op(&c->e, size, 0x8d, to, index, 0);
        e8(&c->e, (to & 7) << 3 | 4);
        e8(&c->e, n->scale << 6 | (index & 7) << 3 | 5);
        e32(&c->e, n->disp);
        return to;
    }
    base = src(c, n->base, 8, to);
    e_rm(&c->e, size, 0x8d, to, base, index, n->scale, n->disp);
    return to;
}

/* The linear address of the memory operand. */
static unsigned address(Ctx *c)
{
    unsigned r = offset_to(c, H_DX, false);

    if (c->insn->ea & EA_SEG) {
        e_gs(&c->e, 8, 0x8b, H_AX,
             OFF(s.seg) + c->insn->seg * sizeof(X86Seg)
             + offsetof(X86Seg, base));
        e_rm(&c->e, 8, 0x8d, H_DX, H_AX, r, 0, 0);
        r = H_DX;
    }
    return r;
}

/* --- memory ------------------------------------------------------------------------- */

static void slow_site(Ctx *c)
{
    c->site[c->n_sites++] = c->e.p;
    c->site_save = !c->in_e;
    e32(&c->e, 0);
}

static void jcc_slow(Ctx *c, unsigned cond)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | cond);
    slow_site(c);
}

/*
 * `size` bytes at the address in `ea` hit the TLB, or the slow path is taken.
 * The host address is then [RAX + ea].  Uses RCX.
 */
static void check(Ctx *c, unsigned ea, unsigned size, bool write)
{
    Emit *e = &c->e;
    uint32_t tag = c->tlb + (write ? offsetof(TlbEntry, nwpage)
                                   : offsetof(TlbEntry, nrpage));
    uint32_t addend = c->tlb + offsetof(TlbEntry, addend);

    if (jit_options.tlb_miss) {
        e8(e, 0xe9);
        slow_site(c);
    }
    if (c->keep_r || !c->in_e) {
        e_pext_gs(e, H_AX, ea, OFF(jit_index_mask));
        e_op(e, 4, 0x8d, H_AX, H_AX, 0);            /* lea eax, [rax*8] */
        e8(e, H_AX << 3 | 4);
        e8(e, 3 << 6 | H_AX << 3 | 5);
        e32(e, 0);
        e_gsx(e, 8, 0x8b, H_CX, H_AX, 2, tag);
        e_rm(e, 8, 0x8d, H_CX, H_CX, ea, 0, size - 1);
        e_pext_gs(e, H_CX, H_CX, OFF(jit_page_mask));
        e8(e, 0xe3);                                /* jrcxz over the jump */
        e8(e, 5);
        e8(e, 0xe9);
        slow_site(c);
        e_gsx(e, 8, 0x8b, H_AX, H_AX, 2, addend);
    } else {
        c->in_r = false;
        e_rorx(e, H_AX, ea, 7);
        e8(e, 0x25);                                /* and eax, imm32 */
        e32(e, (TLB_SIZE - 1) << 5);
        e_gsx(e, 8, 0x8b, H_CX, H_AX, 0, tag);
        e_rm(e, 8, 0x8d, H_CX, H_CX, ea, 0, size - 1);
        e_rr(e, 8, 0x81, 7, H_CX);                  /* cmp rcx, 4095 */
        e32(e, 4095);
        jcc_slow(c, 7);
        e_gsx(e, 8, 0x8b, H_AX, H_AX, 0, addend);
    }
}
G_STATIC_ASSERT(sizeof(TlbEntry) == 32);

/* An operation on the operand of the last check(). */
static void mem_op(Ctx *c, unsigned size, uint32_t opc, unsigned reg,
                   unsigned ea)
{
    if (c->insn->flags & INSN_LOCK) {
        e8(&c->e, 0xf0);
    }
    e_rm(&c->e, size, opc, reg, H_AX, ea, 0, 0);
}

static bool is_mem(const Ctx *c)
{
    return c->insn->flags & INSN_MEM;
}

/* --- arithmetic ------------------------------------------------------------------------ */

static uint32_t sized(uint32_t opc, unsigned size)
{
    return opc | (size > 1);
}

/* rm op= reg; or, without `write`, compare. */
static void op_rm_r(Ctx *c, uint32_t opc, bool write)
{
    const Insn *n = c->insn;

    opc = sized(opc, n->size);
    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, n->size, write);
        mem_op(c, n->size, opc, src(c, n->reg, n->size, H_CX), ea);
    } else {
        unsigned s = src(c, n->reg, n->size, H_CX);
        unsigned d = src(c, n->rm, n->size, H_AX);

        e_rr(&c->e, n->size, opc, s, d);
        if (write) {
            dst(c, n->rm, n->size, d);
        }
    }
}

/* reg op= rm. */
static void op_r_rm(Ctx *c, uint32_t opc, bool write)
{
    const Insn *n = c->insn;
    unsigned d;

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, n->size, false);
        d = src(c, n->reg, n->size, H_CX);
        e_rm(&c->e, n->size, opc, d, H_AX, ea, 0, 0);
    } else {
        unsigned s = src(c, n->rm, n->size, H_CX);

        d = src(c, n->reg, n->size, H_AX);
        e_rr(&c->e, n->size, opc, d, s);
    }
    if (write) {
        dst(c, n->reg, n->size, d);
    }
}

static void imm(Ctx *c, unsigned size, int64_t v)
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

/* rm with an opcode extension and `imm_size` bytes of immediate. */
static void op_rm_x(Ctx *c, uint32_t opc, unsigned ext, bool write,
                    unsigned imm_size)
{
    const Insn *n = c->insn;

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, n->size, write);
        mem_op(c, n->size, opc, ext, ea);
        if (imm_size) {
            imm(c, imm_size, n->imm);
        }
    } else {
        unsigned d = src(c, n->rm, n->size, H_AX);

        e_rr(&c->e, n->size, opc, ext, d);
        if (imm_size) {
            imm(c, imm_size, n->imm);
        }
        if (write) {
            dst(c, n->rm, n->size, d);
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
    uint32_t opc = sized(0xd2, n->size);
    unsigned ea = 0, d;

    if (is_mem(c)) {
        ea = address(c);
        check(c, ea, n->size, true);
        e_mov(&c->e, 4, H_CX, jit_host_reg[R_RCX]);
        mem_op(c, n->size, opc, k, ea);
    } else {
        d = src(c, n->rm, n->size, H_AX);
        e_mov(&c->e, 4, H_CX, jit_host_reg[R_RCX]);
        e_rr(&c->e, n->size, opc, k, d);
        dst(c, n->rm, n->size, d);
    }
}

/* The rm operand in a register, RCX if it has to be loaded. */
static unsigned rm_value(Ctx *c)
{
    const Insn *n = c->insn;

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, n->size, false);
        e_rm(&c->e, n->size, sized(0x8a, n->size), H_CX, H_AX, ea, 0, 0);
        return H_CX;
    }
    return src(c, n->rm, n->size, H_CX);
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
    unsigned size = c->insn->size, s = rm_value(c);

    e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
    e_rr(&c->e, size, sized(0xf6, size), ext, s);
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
    clobber(c);
    s = rm_value(c);
    if (is_signed) {
        /* Not 0, not -1, and RDX only RAX's sign. */
        e_rm(&c->e, size, 0x8d, H_AX, s, H_SP, 0, 1);
        e_rr(&c->e, size, 0x83, 7, H_AX);
        e8(&c->e, 1);
        jcc_slow(c, 6);
        e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
        e_op(&c->e, size, 0x99, 0, 0, 0);
        e_rr(&c->e, size, 0x39, rdx, H_DX);
        jcc_slow(c, 5);
        e_rr(&c->e, size, 0xf7, 7, s);
    } else {
        e_rr(&c->e, size, 0x39, s, rdx);            /* cmp rdx, s */
        jcc_slow(c, 3);
        e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
        e_mov(&c->e, 8, H_DX, rdx);
        e_rr(&c->e, size, 0xf7, 6, s);
    }
    put_dx_ax(c, size);
    return true;
}

/* --- moves ----------------------------------------------------------------------------- */

static void mov_rm_i(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned d;

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, n->size, true);
        mem_op(c, n->size, sized(0xc6, n->size), 0, ea);
        imm(c, n->size, n->imm);
        return;
    }
    d = out(c, n->rm, n->size, H_AX);
    if (n->size >= 4) {
        e_mov_i64(&c->e, d, n->size == 4 ? (uint32_t)n->imm
                                         : (uint64_t)n->imm);
    } else {
        e_rr(&c->e, n->size, sized(0xc6, n->size), 0, d);
        imm(c, n->size, n->imm);
    }
    dst(c, n->rm, n->size, d);
}

static void mov_r_rm(Ctx *c, bool to_rm)
{
    const Insn *n = c->insn;
    unsigned to = to_rm ? n->rm : n->reg, from = to_rm ? n->reg : n->rm;

    if (!is_mem(c)) {
        dst(c, to, n->size, src(c, from, n->size, H_CX));
        /* A 32-bit move to itself clears the upper half. */
        if (n->size == 4 && to == from) {
            unsigned d = src(c, to, 4, H_CX);

            e_mov(&c->e, 4, d, d);
            dst(c, to, 4, d);
        }
        return;
    }
    unsigned ea = address(c);

    check(c, ea, n->size, to_rm);
    if (to_rm) {
        mem_op(c, n->size, sized(0x88, n->size),
               src(c, from, n->size, H_CX), ea);
    } else {
        unsigned d = out(c, to, n->size, H_CX);

        e_rm(&c->e, n->size, sized(0x8a, n->size), d, H_AX, ea, 0, 0);
        dst(c, to, n->size, d);
    }
}

/* MOVZX, MOVSX: `from` bytes. */
static void mov_ext(Ctx *c, uint32_t opc, unsigned from)
{
    const Insn *n = c->insn;
    unsigned d = out(c, n->reg, n->size, H_CX);

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, from, false);
        e_rm(&c->e, n->size, opc, d, H_AX, ea, 0, 0);
    } else {
        unsigned s = src(c, n->rm, from, H_CX);

        e_rr(&c->e, n->size, opc | (from == 1 ? X_REX : 0), d, s);
    }
    dst(c, n->reg, n->size, d);
}

static void lea(Ctx *c)
{
    const Insn *n = c->insn;
    int h = home(n->reg, 8);

    if (n->size == 8 && h >= 0 && n->base != n->reg && n->index != n->reg) {
        unsigned r = offset_to(c, h, true);

        if (r != (unsigned)h) {
            e_mov(&c->e, 8, h, r);
        }
        return;
    }
    dst(c, n->reg, n->size, offset_to(c, H_DX, true));
}

static void cmov(Ctx *c)
{
    op_r_rm(c, 0x0f40 | c->insn->aux, true);
}

static void setcc(Ctx *c)
{
    const Insn *n = c->insn;

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, 1, true);
        e_rm(&c->e, 1, 0x0f90 | n->aux, 0, H_AX, ea, 0, 0);
    } else {
        unsigned d = out(c, n->rm, 1, H_AX);

        e_rr(&c->e, 1, 0x0f90 | n->aux, 0, d);
        dst(c, n->rm, 1, d);
    }
}

static void xchg(Ctx *c)
{
    const Insn *n = c->insn;

    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, n->size, true);
        src_copy(c, n->reg, n->size, H_CX);
        e_rm(&c->e, n->size, sized(0x86, n->size), H_CX, H_AX, ea, 0, 0);
        dst(c, n->reg, n->size, H_CX);
    } else {
        src_copy(c, n->reg, n->size, H_CX);
        src_copy(c, n->rm, n->size, H_DX);
        dst(c, n->rm, n->size, H_CX);
        dst(c, n->reg, n->size, H_DX);
    }
}

static bool xadd(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned ea;

    if (!is_mem(c)) {
        return false;
    }
    ea = address(c);
    check(c, ea, n->size, true);
    src_copy(c, n->reg, n->size, H_CX);
    mem_op(c, n->size, sized(0x0fc0, n->size), H_CX, ea);
    dst(c, n->reg, n->size, H_CX);
    return true;
}

static bool cmpxchg(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned ea, s;

    if (!is_mem(c)) {
        return false;
    }
    ea = address(c);
    check(c, ea, n->size, true);
    e_rm(&c->e, 8, 0x8d, H_DX, H_AX, ea, 0, 0);
    s = src(c, n->reg, n->size, H_CX);
    e_mov(&c->e, 8, H_AX, jit_host_reg[R_RAX]);
    if (n->flags & INSN_LOCK) {
        e8(&c->e, 0xf0);
    }
    e_rm(&c->e, n->size, sized(0x0fb0, n->size), s, H_DX, H_SP, 0, 0);
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
    d = src(c, n->rm, n->size, H_AX);
    e_op(&c->e, n->size, 0x0fc8 | (d & 7), 0, 0, d);
    dst(c, n->rm, n->size, d);
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

/* --- stack ------------------------------------------------------------------------------ */

/* Check the slot below SP: its address is in RDX. */
static void push_check(Ctx *c)
{
    e_rm(&c->e, 8, 0x8d, H_DX, SP, H_SP, 0, -8);
    check(c, H_DX, 8, true);
}

static bool push_rm(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned s;

    if (n->size != 8) {
        return false;
    }
    if (is_mem(c)) {
        rm_value(c);
        e_gs(&c->e, 8, 0x89, H_CX, OFF(jit_tmp));
        push_check(c);
        e_gs(&c->e, 8, 0x8b, H_CX, OFF(jit_tmp));
        s = H_CX;
    } else {
        push_check(c);
        s = src(c, n->rm, 8, H_CX);
    }
    e_rm(&c->e, 8, 0x89, s, H_AX, H_DX, 0, 0);
    e_mov(&c->e, 8, SP, H_DX);
    return true;
}

static bool push_i(Ctx *c)
{
    if (c->insn->size != 8) {
        return false;
    }
    push_check(c);
    e_rm(&c->e, 8, 0xc7, 0, H_AX, H_DX, 0, 0);
    e32(&c->e, c->insn->imm);
    e_mov(&c->e, 8, SP, H_DX);
    return true;
}

static bool pop_rm(Ctx *c)
{
    const Insn *n = c->insn;
    unsigned d;

    if (n->size != 8 || is_mem(c)) {
        return false;
    }
    check(c, SP, 8, false);
    d = out(c, n->rm, 8, H_CX);
    e_rm(&c->e, 8, 0x8b, d, H_AX, SP, 0, 0);
    if (n->rm != R_RSP) {
        e_rm(&c->e, 8, 0x8d, SP, SP, H_SP, 0, 8);
    }
    dst(c, n->rm, 8, d);
    return true;
}

static bool leave(Ctx *c)
{
    unsigned bp = jit_host_reg[R_RBP];

    if (c->insn->size != 8) {
        return false;
    }
    check(c, bp, 8, false);
    e_rm(&c->e, 8, 0x8b, H_CX, H_AX, bp, 0, 0);
    e_rm(&c->e, 8, 0x8d, SP, bp, H_SP, 0, 8);
    e_mov(&c->e, 8, bp, H_CX);
    return true;
}

/* --- leaving ------------------------------------------------------------------------------ */

static Stub *add_stub(Ctx *c)
{
    Stub *s = &c->stubs[c->n_stubs++];

    *s = (Stub) { .insn = c->i, .save = !c->in_e };
    return s;
}

static Stub *add_exit(Ctx *c, unsigned kind, unsigned off)
{
    Stub *s = add_stub(c);

    s->edge = jit_alloc(sizeof(JitEdge));
    *s->edge = (JitEdge) {
        .block = c->b, .kind = kind, .insn = c->i, .off = off,
        .flags_live = c->in_r,
    };
    return s;
}

static void stub_site(Ctx *c, Stub *s)
{
    s->site[s->n_sites++] = c->e.p;
    e32(&c->e, 0);
}

/* Let the rel32 after `n` bytes of opcode be aligned, to be patched at once. */
static void align_rel32(Ctx *c, unsigned n)
{
    static const uint8_t nops[4][3] = {
        {}, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 },
    };
    unsigned pad = -((uintptr_t)c->e.p + n) & 3;

    memcpy(c->e.p, nops[pad], pad);
    c->e.p += pad;
}

/* To another block of this page; poll: this may close a loop. */
static void go_in_page(Ctx *c, unsigned off, bool poll)
{
    Stub *s = add_exit(c, EXIT_EDGE, off);

    if (poll) {
        uint8_t *rel8;

        e_gs(&c->e, 4, 0x8b, H_CX, OFF(jit_go));
        e8(&c->e, 0xe3);
        rel8 = c->e.p;
        e8(&c->e, 0);
        align_rel32(c, 1);
        e8(&c->e, 0xe9);
        s->edge->patch = c->e.p;
        stub_site(c, s);
        *rel8 = c->e.p - (rel8 + 1);
        e8(&c->e, 0xe9);
        stub_site(c, s);
    } else {
        align_rel32(c, 1);
        e8(&c->e, 0xe9);
        s->edge->patch = c->e.p;
        stub_site(c, s);
    }
}

static void stub_jcc(Ctx *c, Stub *s, unsigned cond)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | cond);
    stub_site(c, s);
}

/*
 * To the RIP in RDX through the jump cache; a miss goes to `miss`, which the
 * caller has made after clobber().  Before the jump SP moves by `pop`.
 */
static void go_indirect(Ctx *c, Stub *miss, int pop)
{
    Emit *e = &c->e;

    e_gs(e, 4, 0x83, 7, OFF(jit_go));               /* cmp dword, 0 */
    e8(e, 0);
    stub_jcc(c, miss, 4);
    e_mov(e, 8, H_AX, H_DX);
    e_rr(e, 8, 0xc1, 5, H_AX);
    e8(e, JUMP_BITS);
    e_rr(e, 4, 0x31, H_DX, H_AX);
    e8(e, 0x25);
    e32(e, JUMP_SIZE - 1);
    e_rr(e, 4, 0xc1, 4, H_AX);
    e8(e, 5);
    e_gs(e, 8, 0x03, H_AX, OFF(jit_jump));
    e_rm(e, 8, 0x3b, H_DX, H_AX, H_SP, 0, offsetof(JumpEntry, rip));
    stub_jcc(c, miss, 5);
    e_gs(e, 8, 0x8b, H_CX, OFF(jump_tag));
    e_rm(e, 8, 0x3b, H_CX, H_AX, H_SP, 0, offsetof(JumpEntry, tag));
    stub_jcc(c, miss, 5);
    e_mov(e, 8, H_CX, H_DX);
    e_rr(e, 8, 0x81, 4, H_CX);
    e32(e, -4096);
    e_gs(e, 8, 0x89, H_CX, OFF(rip_base));
    if (pop) {
        e_rm(e, 8, 0x8d, SP, SP, H_SP, 0, pop);
    }
    e_rm(e, 8, 0x8b, H_AX, H_AX, H_SP, 0, offsetof(JumpEntry, block));
    e_rm(e, 8, 0xff, 4, H_AX, H_SP, 0, offsetof(Block, jit_code));
}
G_STATIC_ASSERT(sizeof(JumpEntry) == 32);

/* RDX = RIP of `off` of the page, which may be outside of it. */
static void rip_to(Ctx *c, unsigned to, int32_t off)
{
    e_gs(&c->e, 8, 0x8b, to, OFF(rip_base));
    e_rm(&c->e, 8, 0x8d, to, to, H_SP, 0, off);
}

static Stub *miss_interp(Ctx *c)
{
    return add_exit(c, EXIT_INTERP, 0);
}

static Stub *miss_rdx(Ctx *c)
{
    Stub *s = add_stub(c);

    s->exit_rdx = true;
    return s;
}

/* A relative target; `committed`: the instruction has had its effects. */
static void go_rel(Ctx *c, int64_t off, bool committed)
{
    if (off >= 0 && off < (int64_t)PAGE_BYTES) {
        go_in_page(c, off, off <= c->insn->off);
        return;
    }
    clobber(c);
    rip_to(c, H_DX, off);
    go_indirect(c, committed ? miss_rdx(c) : miss_interp(c), 0);
}

static int64_t rel_off(const Insn *n)
{
    return n->off + n->len + n->imm;
}

static bool rel_fits(const Insn *n)
{
    return n->size == 8 && rel_off(n) == (int32_t)rel_off(n);
}

static bool jcc(Ctx *c)
{
    const Insn *n = c->insn;
    int64_t off = rel_off(n);
    bool in_r = c->in_r, in_e = c->in_e;
    uint8_t *rel32;

    if (!rel_fits(n)) {
        return false;
    }
    if (off > n->off && off < (int64_t)PAGE_BYTES) {
        Stub *s = add_exit(c, EXIT_EDGE, off);

        align_rel32(c, 2);
        e8(&c->e, 0x0f);
        e8(&c->e, 0x80 | n->aux);
        s->edge->patch = c->e.p;
        stub_site(c, s);
        return true;
    }
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | (n->aux ^ 1));
    rel32 = c->e.p;
    e32(&c->e, 0);
    go_rel(c, off, false);
    e_rel32(rel32, c->e.p);
    c->in_r = in_r;
    c->in_e = in_e;
    return true;
}

static bool jmp_i(Ctx *c)
{
    if (!rel_fits(c->insn)) {
        return false;
    }
    c->done = true;
    go_rel(c, rel_off(c->insn), false);
    return true;
}

static bool jmp_rm(Ctx *c)
{
    const Insn *n = c->insn;

    if (n->size != 8) {
        return false;
    }
    c->done = true;
    if (is_mem(c)) {
        unsigned ea = address(c);

        check(c, ea, 8, false);
        e_rm(&c->e, 8, 0x8b, H_DX, H_AX, ea, 0, 0);
    } else {
        src_copy(c, n->rm, 8, H_DX);
    }
    clobber(c);
    go_indirect(c, miss_interp(c), 0);
    return true;
}

/* Push the return address: its slot has been checked. */
static void push_return(Ctx *c)
{
    rip_to(c, H_CX, c->insn->off + c->insn->len);
    e_rm(&c->e, 8, 0x89, H_CX, H_AX, H_DX, 0, 0);
    e_mov(&c->e, 8, SP, H_DX);
}

static bool call_i(Ctx *c)
{
    if (!rel_fits(c->insn)) {
        return false;
    }
    c->done = true;
    push_check(c);
    push_return(c);
    go_rel(c, rel_off(c->insn), true);
    return true;
}

static bool call_rm(Ctx *c)
{
    if (c->insn->size != 8) {
        return false;
    }
    c->done = true;
    clobber(c);
    e_mov(&c->e, 8, H_CX, rm_value(c));
    e_gs(&c->e, 8, 0x89, H_CX, OFF(jit_tmp));
    e_mov(&c->e, 8, H_AX, H_CX);                    /* canonical? */
    e_rr(&c->e, 8, 0xc1, 4, H_AX);
    e8(&c->e, 16);
    e_rr(&c->e, 8, 0xc1, 7, H_AX);
    e8(&c->e, 16);
    e_rr(&c->e, 8, 0x39, H_CX, H_AX);
    jcc_slow(c, 5);
    push_check(c);
    push_return(c);
    e_gs(&c->e, 8, 0x8b, H_DX, OFF(jit_tmp));
    go_indirect(c, miss_rdx(c), 0);
    return true;
}

static bool ret(Ctx *c, unsigned more)
{
    if (c->insn->size != 8) {
        return false;
    }
    c->done = true;
    check(c, SP, 8, false);
    e_rm(&c->e, 8, 0x8b, H_DX, H_AX, SP, 0, 0);
    clobber(c);
    go_indirect(c, miss_interp(c), 8 + more);
    return true;
}

/* --- one instruction ------------------------------------------------------------------------- */

#define ALU(NAME, k)                                                        \
    case OP_##NAME##_RM_R: op_rm_r(c, (k) * 8, (k) != 7); return true;      \
    case OP_##NAME##_R_RM:                                                  \
        op_r_rm(c, sized((k) * 8 + 2, n->size), (k) != 7); return true;     \
    case OP_##NAME##_RM_I: alu_rm_i(c, k); return true
#define SHIFT(NAME, k)                                                      \
    case OP_##NAME##_RM_I:                                                  \
        op_rm_x(c, sized(0xc0, n->size), k, true, 1); return true;          \
    case OP_##NAME##_RM_CL: shift_cl(c, k); return true
#define BITS(NAME, k)                                                        \
    case OP_##NAME##_RM_I:                                                  \
        op_rm_x(c, 0x0fba, k, (k) != 4, 1); return true;                    \
    case OP_##NAME##_RM_R:                                                  \
        if (is_mem(c)) {                                                    \
            return false;                                                   \
        }                                                                   \
        op_rm_r(c, 0x0f83 | (k) << 3, (k) != 4); return true

/* False: no template for this form. */
static bool template(Ctx *c)
{
    const Insn *n = c->insn;

    if (is_mem(c) && n->ea & EA_A16) {
        return false;
    }
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
    SHIFT(SHL, 4);
    SHIFT(SHR, 5);
    SHIFT(SAR, 7);
    BITS(BT, 4);
    BITS(BTS, 5);
    BITS(BTR, 6);
    BITS(BTC, 7);
    case OP_TEST_RM_R: op_rm_r(c, 0x84, false); return true;
    case OP_TEST_RM_I:
        op_rm_x(c, sized(0xf6, n->size), 0, false, n->size); return true;
    case OP_NOT_RM: op_rm_x(c, sized(0xf6, n->size), 2, true, 0); return true;
    case OP_NEG_RM: op_rm_x(c, sized(0xf6, n->size), 3, true, 0); return true;
    case OP_INC_RM: op_rm_x(c, sized(0xfe, n->size), 0, true, 0); return true;
    case OP_DEC_RM: op_rm_x(c, sized(0xfe, n->size), 1, true, 0); return true;
    case OP_IMUL_R_RM: op_r_rm(c, 0x0faf, true); return true;
    case OP_IMUL_R_RM_I: {
        unsigned d = out(c, n->reg, n->size, H_CX), s;

        s = rm_value(c);
        e_rr(&c->e, n->size, 0x69, d, s);
        imm(c, n->size, n->imm);
        dst(c, n->reg, n->size, d);
        return true;
    }
    case OP_MUL_RM: mul(c, 4); return true;
    case OP_IMUL_RM: mul(c, 5); return true;
    case OP_DIV_RM: return divide(c, false);
    case OP_IDIV_RM: return divide(c, true);
    case OP_BSF_R_RM: op_r_rm(c, 0x0fbc, true); return true;
    case OP_BSR_R_RM: op_r_rm(c, 0x0fbd, true); return true;
    case OP_TZCNT_R_RM: op_r_rm(c, 0x0fbc | X_F3, true); return true;
    case OP_LZCNT_R_RM: op_r_rm(c, 0x0fbd | X_F3, true); return true;
    case OP_POPCNT_R_RM: op_r_rm(c, 0x0fb8 | X_F3, true); return true;
    case OP_SHLD_RM_R_I:
    case OP_SHRD_RM_R_I:
        if (is_mem(c) || n->size == 2) {
            return false;
        } else {
            unsigned s = src(c, n->reg, n->size, H_CX);
            unsigned d = src(c, n->rm, n->size, H_AX);

            e_rr(&c->e, n->size, n->op == OP_SHLD_RM_R_I ? 0x0fa4 : 0x0fac,
                 s, d);
            e8(&c->e, n->imm);
            dst(c, n->rm, n->size, d);
            return true;
        }

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
    case OP_CMOVCC_R_RM: cmov(c); return true;
    case OP_SETCC_RM: setcc(c); return true;
    case OP_XCHG_RM_R: xchg(c); return true;
    case OP_XADD_RM_R: return xadd(c);
    case OP_CMPXCHG_RM_R: return cmpxchg(c);
    case OP_BSWAP_RM: return bswap(c);
    case OP_CBW: cbw(c); return true;
    case OP_CWD: cwd(c); return true;
    case OP_CLC: e8(&c->e, 0xf8); return true;
    case OP_STC: e8(&c->e, 0xf9); return true;
    case OP_CMC: e8(&c->e, 0xf5); return true;
    case OP_NOP: case OP_PREFETCH_M: case OP_PREFETCHW_M: return true;

    case OP_PUSH_RM: return push_rm(c);
    case OP_PUSH_I: return push_i(c);
    case OP_POP_RM: return pop_rm(c);
    case OP_LEAVE: return leave(c);

    case OP_JCC_I: return jcc(c);
    case OP_JMP_I: c->slow_exits = true; return jmp_i(c);
    case OP_JMP_RM: c->slow_exits = true; return jmp_rm(c);
    case OP_CALL_I: c->slow_exits = true; return call_i(c);
    case OP_CALL_RM: c->slow_exits = true; return call_rm(c);
    case OP_RET: c->slow_exits = true; return ret(c, 0);
    case OP_RET_I: c->slow_exits = true; return ret(c, (uint16_t)n->imm);
    }
    return false;
}

/* Only the interpreter can run it, in its block. */
static bool leaves_block(const Insn *n)
{
    switch (n->op) {
    case OP_JCC_I: case OP_JMP_I: case OP_JMP_RM: case OP_CALL_I:
    case OP_CALL_RM: case OP_RET: case OP_RET_I: case OP_LOOP_I:
    case OP_LOOPE_I: case OP_LOOPNE_I: case OP_JCXZ_I:
        return true;
    }
    return n->flags & INSN_END;
}

/* False: not even the first instruction can be compiled. */
static bool one(Ctx *c)
{
    const Insn *n = c->insn;
    InsnFlags f = insn_flags(n);
    unsigned w = (f.set | f.may | f.undef) & IF_ARITH;
    bool need = f.read & IF_ARITH
                || (w && (f.may & IF_ARITH
                          || ((f.set | f.undef) & IF_ARITH) != IF_ARITH));
    uint8_t *start = c->e.p;
    unsigned n_stubs = c->n_stubs;
    bool in_r = c->in_r, in_e = c->in_e;

    c->n_sites = 0;
    c->keep_r = need;
    c->slow_exits = false;
    if (need) {
        need_r(c);
    }
    if (template(c)) {
        if (w && !c->done) {
            c->in_r = true;
            c->in_e = false;
        }
        if (c->n_sites) {
            Stub *s = c->slow_exits ? add_exit(c, EXIT_INTERP, 0)
                                    : add_stub(c);

            memcpy(s->site, c->site, sizeof(s->site));
            s->n_sites = c->n_sites;
            s->save = c->site_save;
            s->reload = c->in_r;
            s->back = c->e.p;
        }
        return true;
    }
    c->e.p = start;
    c->n_stubs = n_stubs;
    c->in_r = in_r;
    c->in_e = in_e;
    c->done = false;
    if (leaves_block(n)) {
        if (c->i == 0) {
            return false;
        }
        e8(&c->e, 0xe9);
        stub_site(c, add_exit(c, EXIT_INTERP, 0));
        c->done = true;
        return true;
    }
    if (!c->in_e) {
        emit_save_flags(&c->e);
    }
    c->in_e = true;
    c->in_r = false;
    e_mov_i64(&c->e, H_AX, (uintptr_t)c->jc);
    e_mov_i64(&c->e, H_CX, c->i);
    e8(&c->e, 0xe8);
    e_rel32(c->e.p, jit_space.fallback);
    c->e.p += 4;
    return true;
}

/* --- a block --------------------------------------------------------------------------------------- */

static void emit_stub(Ctx *c, const Stub *s)
{
    Emit *e = &c->e;

    for (unsigned i = 0; i < s->n_sites; i++) {
        e_rel32(s->site[i], e->p);
    }
    if (s->edge) {
        s->edge->stub = e->p;
    }
    if (s->save) {
        emit_save_flags(e);
    }
    if (s->exit_rdx) {
        e_gs(e, 8, 0x89, H_DX, OFF(s.rip));
        e8(e, 0xe9);
        e_rel32(e->p, jit_space.leave_null);
        e->p += 4;
    } else if (s->edge) {
        e_mov_i64(e, H_AX, (uintptr_t)s->edge);
        e8(e, 0xe9);
        e_rel32(e->p, jit_space.leave);
        e->p += 4;
    } else {
        e_mov_i64(e, H_AX, (uintptr_t)c->jc);
        e_mov_i64(e, H_CX, s->insn);
        e8(e, 0xe8);
        e_rel32(e->p, jit_space.fallback);
        e->p += 4;
        if (s->reload) {
            emit_load_flags(e);
        }
        e8(e, 0xe9);
        e_rel32(e->p, s->back);
        e->p += 4;
    }
}

static void align8(Emit *e)
{
    while ((uintptr_t)e->p & 7) {
        e8(e, 0x90);
    }
}

/* A place where a jump can be put in one store. */
static uint8_t *entry_nop(Emit *e)
{
    static const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
    uint8_t *at = e->p;

    memcpy(at, nop5, sizeof(nop5));
    e->p += sizeof(nop5);
    return at;
}

/* Are the flags on entry overwritten before anything can look? */
static bool flags_dead(const Block *b)
{
    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *n = &b->insns[i];
        InsnFlags f = insn_flags(n);

        if (f.read & IF_ARITH || f.may & IF_ARITH
            || (n->flags & INSN_MEM && n->op != OP_LEA_R_M)) {
            return false;
        }
        switch (n->op) {        /* what surely has a template */
        case OP_MOV_RM_R: case OP_MOV_R_RM: case OP_MOV_RM_I: case OP_LEA_R_M:
        case OP_MOVZX8_R_RM: case OP_MOVZX16_R_RM: case OP_MOVSX8_R_RM:
        case OP_MOVSX16_R_RM: case OP_NOT_RM: case OP_NOP:
            break;
        case OP_ADD_RM_R: case OP_ADD_R_RM: case OP_ADD_RM_I:
        case OP_SUB_RM_R: case OP_SUB_R_RM: case OP_SUB_RM_I:
        case OP_CMP_RM_R: case OP_CMP_R_RM: case OP_CMP_RM_I:
        case OP_AND_RM_R: case OP_AND_R_RM: case OP_AND_RM_I:
        case OP_OR_RM_R: case OP_OR_R_RM: case OP_OR_RM_I:
        case OP_XOR_RM_R: case OP_XOR_R_RM: case OP_XOR_RM_I:
        case OP_TEST_RM_R: case OP_TEST_RM_I: case OP_NEG_RM:
            return true;
        default:
            return false;
        }
    }
    return false;
}

/* Code that leaves at the block's start. */
static uint8_t *emit_stale(Ctx *c, bool save)
{
    Emit *e = &c->e;
    uint8_t *at = e->p;

    if (save) {
        emit_save_flags(e);
    }
    rip_to(c, H_DX, c->b->off);
    e_gs(e, 8, 0x89, H_DX, OFF(s.rip));
    e8(e, 0xe9);
    e_rel32(e->p, jit_space.leave_null);
    e->p += 4;
    return at;
}

JitCode *jit_compile(Block *b)
{
    static Ctx ctx;             /* under the cache mutex */
    Ctx *c = &ctx;
    JitCode *jc;
    uint8_t *start = jit_space.code, *data = jit_space.data;
    unsigned who = b->mode & DM_CPL3 ? MMU_USER
                   : b->mode & DM_AC ? MMU_SUPER_AC : MMU_SUPER;

    if ((b->mode & DM_CODE_MASK) != DM_CODE64
        || b->mode & (DM_TF | DM_SHADOW)
        || (b->mode & DM_CPL3 && b->mode & DM_AC)) {
        return NULL;
    }
    c->e.p = start;
    c->b = b;
    c->n_stubs = 0;
    c->tlb = tcg_tlb_offset(who);
    c->jc = jc = jit_alloc(sizeof(JitCode) + b->n_insns * sizeof(InsnFn *));
    memset(jc, 0, sizeof(*jc));
    jc->block = b;
    for (unsigned i = 0; i < b->n_insns; i++) {
        jc->fns[i] = i ? b->insns[i].fn : b->jit_fn0;
    }

    align8(&c->e);
    if (flags_dead(b)) {
        jc->entry_e = jc->entry_r = entry_nop(&c->e);
    } else {
        jc->entry_e = entry_nop(&c->e);
        emit_load_flags(&c->e);
        align8(&c->e);
        jc->entry_r = entry_nop(&c->e);
    }
    c->in_r = true;
    c->in_e = false;
    c->done = false;
    for (c->i = 0; c->i < b->n_insns && !c->done; c->i++) {
        c->insn = &b->insns[c->i];
        if (!one(c)) {
            jit_space.data = data;
            return NULL;
        }
    }
    if (!c->done) {
        c->i--;
        go_rel(c, c->insn->off + c->insn->len, true);
    }
    for (unsigned i = 0; i < c->n_stubs; i++) {
        emit_stub(c, &c->stubs[i]);
    }
    jc->stale_r = emit_stale(c, true);
    jc->stale_e = emit_stale(c, false);
    jc->n_bytes = c->e.p - start;
    jit_space.code = c->e.p;
    return jc;
}

/* --- thunks ------------------------------------------------------------------------------------------ */

static void spill(Emit *e, bool load)
{
    for (unsigned i = 0; i < 16; i++) {
        if (jit_host_reg[i] >= 0) {
            e_gs(e, 8, load ? 0x8b : 0x89, jit_host_reg[i], GPR(i));
        }
    }
}

void jit_make_thunks(void)
{
    static const uint8_t saved[] = { H_BX, H_BP, H_12, H_13, H_14, H_15 };
    Emit em = { jit_space.code }, *e = &em;
    uint8_t *restore, *jnz;

    /* At the very start: jit_enter(code). */
    for (unsigned i = 0; i < G_N_ELEMENTS(saved); i++) {
        e_op(e, 4, 0x50 | (saved[i] & 7), 0, 0, saved[i]);
    }
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, -8);
    e_mov(e, 8, H_AX, H_DI);
    spill(e, true);
    e_rr(e, 4, 0xff, 4, H_AX);

    align8(e);
    jit_space.leave_null = e->p;
    e_rr(e, 4, 0x31, H_AX, H_AX);
    jit_space.leave = e->p;
    spill(e, false);
    restore = e->p;
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, 8);
    for (unsigned i = G_N_ELEMENTS(saved); i--;) {
        e_op(e, 4, 0x58 | (saved[i] & 7), 0, 0, saved[i]);
    }
    e8(e, 0xc3);

    /* RAX: the JitCode, RCX: which instruction. */
    align8(e);
    jit_space.fallback = e->p;
    spill(e, false);
    e_gs(e, 8, 0x8b, H_DI, OFF(jit_self));
    e_mov(e, 8, H_SI, H_AX);
    e_mov(e, 4, H_DX, H_CX);
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, -8);
    e_mov_i64(e, H_AX, (uintptr_t)jit_fallback);
    e_rr(e, 4, 0xff, 2, H_AX);
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, 8);
    e_rr(e, 8, 0x85, H_AX, H_AX);
    e8(e, 0x75);
    jnz = e->p;
    e8(e, 0);
    spill(e, true);
    e8(e, 0xc3);
    *jnz = e->p - (jnz + 1);
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, 8);       /* the return address */
    e_rr(e, 4, 0x31, H_AX, H_AX);
    e8(e, 0xe9);
    e_rel32(e->p, restore);
    e->p += 4;
    align8(e);
    jit_no_code = e->p - jit_space.rw + jit_space.rx;
    e_gs(e, 8, 0x89, H_DX, OFF(s.rip));
    e8(e, 0xe9);
    e_rel32(e->p, jit_space.leave_null);
    e->p += 4;
    align8(e);
    jit_space.code = e->p;
}
