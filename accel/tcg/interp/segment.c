/*
 * Segments: the address of an operand, descriptors, loading of segment
 * registers.
 *
 * Spec:   Intel SDM volume 3A chapters 3.4, 3.5, 5.3 to 5.7.
 * Models: limits of expand-up and expand-down segments at every width; a
 *         flat 4 GiB segment wraps.  In 64-bit mode only the bases of FS and GS
 *         count.  The types of segments do not matter in real mode.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/segment.h"

#include "cpu/features.h"

/* --- addresses ------------------------------------------------------------ */

bool env_base_canonical(const Env *env, uint64_t base)
{
    unsigned unused = cpu_has(env->cpu, FEAT_LA57) ? 64 - 57 : 64 - 48;

    return (uint64_t)((int64_t)(base << unused) >> unused) == base;
}

bool seg_check(const Env *env, unsigned seg, uint64_t off, uint64_t len,
               bool write, uint64_t *gva)
{
    const X86Seg *s = &env->s.seg[seg];
    uint64_t last = off + len - 1;

    if (in_code64(env)) {
        *gva = seg >= SEG_FS ? s->base + off : off;
        return mem_canonical(env, *gva)
               && mem_canonical(env, *gva + len - 1);
    }
    if (!(env->mode & (DM_REAL | DM_VM86))) {
        if ((s->attr & (SEGA_NULL | SEGA_P)) != SEGA_P) {
            return false;
        }
        if (write ? (s->attr & (SEGA_CODE | SEGA_W)) != SEGA_W
                  : (s->attr & (SEGA_CODE | SEGA_R)) == SEGA_CODE) {
            return false;
        }
    }
    *gva = (uint32_t)(s->base + off);
    if ((s->attr & (SEGA_CODE | SEGA_E)) == SEGA_E
        && !(env->mode & DM_VM86)) {
        return off > s->limit
               && last <= (s->attr & SEGA_DB ? UINT32_MAX : UINT16_MAX);
    }
    /* Beyond 4 GiB a segment with a base does not wrap on Intel's. */
    return last <= s->limit
           || (s->limit == UINT32_MAX && (!s->base || host_is_amd()));
}

bool seg_linear(Env *env, unsigned seg, uint64_t off, unsigned size,
                bool write, uint64_t *gva)
{
    if (likely(seg_check(env, seg, off, size, write, gva))) {
        return true;
    }
    return exc_set(env, seg == SEG_SS ? EXC_SS : EXC_GP, true, 0);
}

const void *op_read_seg(Env *env, const Insn *insn, unsigned size)
{
    if (!seg_linear(env, insn->seg, insn_offset(env, insn), size, false,
                    &env->ea)) {
        return NULL;
    }
    return mem_read(env, env->ea, size);
}

void *op_write_seg(Env *env, const Insn *insn, unsigned size)
{
    if (!seg_linear(env, insn->seg, insn_offset(env, insn), size, true,
                    &env->ea)) {
        return NULL;
    }
    return mem_write(env, env->ea, size);
}

void *op_rmw_seg(Env *env, const Insn *insn, unsigned size)
{
    if (!seg_linear(env, insn->seg, insn_offset(env, insn), size, true,
                    &env->ea)) {
        return NULL;
    }
    return mem_rmw(env, env->ea, size);
}

void *op_lock_seg(Env *env, const Insn *insn, unsigned size)
{
    if (!seg_linear(env, insn->seg, insn_offset(env, insn), size, true,
                    &env->ea)) {
        return NULL;
    }
    return mem_lock(env, env->ea, size);
}

/* --- descriptors ---------------------------------------------------------- */

bool desc_read(Env *env, uint16_t selector, int vector, unsigned ext,
               Desc *out)
{
    uint64_t base = env->s.gdtr.base;
    uint32_t limit = env->s.gdtr.limit;

    if (selector & 4) {
        const X86Seg *l = &env->s.ldtr;

        if ((l->attr & (SEGA_NULL | SEGA_P)) != SEGA_P) {
            return exc_set(env, vector, true, (selector & 0xfffc) | ext);
        }
        base = l->base;
        limit = l->limit;
    }
    if ((selector | 7u) > limit) {
        return exc_set(env, vector, true, (selector & 0xfffc) | ext);
    }
    out->at = base + (selector & 0xfff8);
    return mem_sys_read(env, out->at, &out->lo, 8);
}

bool desc_read_high(Env *env, uint16_t selector, const Desc *d, int vector,
                    unsigned ext, uint64_t *high)
{
    uint64_t base = selector & 4 ? env->s.ldtr.base : env->s.gdtr.base;
    uint32_t limit = selector & 4 ? env->s.ldtr.limit : env->s.gdtr.limit;

    if (d->at - base + 15 > limit) {
        return exc_set(env, vector, true, (selector & 0xfffc) | ext);
    }
    if (!mem_sys_read(env, d->at + 8, high, 8)) {
        return false;
    }
    if (*high >> 40 & 0x1f) {
        return exc_set(env, vector, true, (selector & 0xfffc) | ext);
    }
    return true;
}

bool desc_set_accessed(Env *env, Desc *d)
{
    uint8_t type;

    if (d->lo >> 40 & 1) {
        return true;
    }
    d->lo |= UINT64_C(1) << 40;
    type = d->lo >> 40;
    return mem_sys_write(env, d->at + 5, &type, 1);
}

bool desc_set_busy(Env *env, const Desc *d, bool busy)
{
    uint8_t type;

    if (!mem_sys_read(env, d->at + 5, &type, 1)) {
        return false;
    }
    type = busy ? type | 2 : type & ~2;
    return mem_sys_write(env, d->at + 5, &type, 1);
}

/* --- loading -------------------------------------------------------------- */

void seg_load_real(Env *env, unsigned seg, uint16_t selector)
{
    X86Seg *s = &env->s.seg[seg];

    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (env->s.rflags & FL_VM) {
        s->limit = 0xffff;
        s->attr = SEGA_P | SEGA_DPL | SEGA_S | SEGA_W | SEGA_A;
    } else if (seg == SEG_CS || (s->attr & (SEGA_NULL | SEGA_P)) != SEGA_P) {
        if (s->attr & SEGA_NULL) {
            s->limit = 0xffff;
        }
        s->attr = SEGA_P | SEGA_S | SEGA_W | SEGA_A;
    }
}

void seg_load_null(Env *env, unsigned seg, uint16_t selector)
{
    X86Seg *s = &env->s.seg[seg];

    s->selector = selector;
    s->attr = SEGA_NULL | (seg == SEG_SS ? (selector & 3) << SEGA_DPL_SHIFT
                                         : 0);
    s->base = 0;
    s->limit = 0;
}

bool seg_check_ss(Env *env, uint16_t selector, unsigned cpl, int vector,
                  unsigned ext, Desc *d)
{
    uint32_t error = (selector & 0xfffc) | ext;

    if (!desc_read(env, selector, vector, ext, d)) {
        return false;
    }
    if ((selector & 3) != cpl || desc_dpl(d->lo) != cpl
        || !desc_writable(d->lo)) {
        return exc_set(env, vector, true, error);
    }
    if (!desc_p(d->lo)) {
        return exc_set(env, EXC_SS, true, error);
    }
    return true;
}

bool seg_load(Env *env, unsigned seg, uint16_t selector)
{
    unsigned cpl = env->cpl, rpl = selector & 3;
    uint32_t error = selector & 0xfffc;
    Desc d;

    if (env->mode & (DM_REAL | DM_VM86)) {
        seg_load_real(env, seg, selector);
        return true;
    }
    if (error == 0) {
        if (seg == SEG_SS && (!in_code64(env) || cpl == 3 || rpl != cpl)) {
            return exc_set(env, EXC_GP, true, 0);
        }
        seg_load_null(env, seg, selector);
        return true;
    }
    if (seg == SEG_SS) {
        if (!seg_check_ss(env, selector, cpl, EXC_GP, 0, &d)) {
            return false;
        }
    } else {
        if (!desc_read(env, selector, EXC_GP, 0, &d)) {
            return false;
        }
        if (!desc_s(d.lo) || (desc_type(d.lo) & 10) == 8) {
            return exc_set(env, EXC_GP, true, error);
        }
        if ((desc_type(d.lo) & 12) != 12
            && (rpl > desc_dpl(d.lo) || cpl > desc_dpl(d.lo))) {
            return exc_set(env, EXC_GP, true, error);
        }
        if (!desc_p(d.lo)) {
            return exc_set(env, EXC_NP, true, error);
        }
    }
    if (!desc_set_accessed(env, &d)) {
        return false;
    }
    seg_from_desc(&env->s.seg[seg], selector, d.lo);
    return true;
}

void seg_drop_inner(Env *env, unsigned cpl)
{
    static const uint8_t regs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        X86Seg *s = &env->s.seg[regs[i]];

        if (s->attr & SEGA_NULL) {
            s->selector = 0;            /* 1, 2 and 3 do not outlive it */
            continue;
        }
        if ((s->attr & (SEGA_CODE | SEGA_C)) != (SEGA_CODE | SEGA_C)
            && (s->attr & SEGA_DPL) >> SEGA_DPL_SHIFT < cpl) {
            /* Base and limit stay, as processors do: programs are known to
             * find FS's and GS's there. */
            s->selector = 0;
            s->attr = SEGA_NULL;
        }
    }
}

bool ldt_load(Env *env, uint16_t selector, int vector, unsigned ext)
{
    uint32_t error = (selector & 0xfffc) | ext;
    X86Seg *l = &env->s.ldtr;
    uint64_t high = 0;
    Desc d;

    if ((selector & 0xfffc) == 0) {
        l->selector = selector;
        l->attr = SEGA_NULL;
        l->base = 0;
        l->limit = 0;
        return true;
    }
    if (selector & 4) {
        return exc_set(env, vector, true, error);
    }
    if (!desc_read(env, selector, vector, ext, &d)) {
        return false;
    }
    if (desc_s(d.lo) || desc_type(d.lo) != SYS_LDT) {
        return exc_set(env, vector, true, error);
    }
    if (!desc_p(d.lo)) {
        return exc_set(env, vector == EXC_TS ? EXC_TS : EXC_NP, true, error);
    }
    if (env->s.efer & EFER_LMA) {
        if (!desc_read_high(env, selector, &d, vector, ext, &high)) {
            return false;
        }
        high <<= 32;
        if (!env_base_canonical(env, high | desc_base(d.lo))) {
            return exc_set(env, vector, true, error);
        }
    }
    seg_from_desc(l, selector, d.lo);
    l->base |= high;
    return true;
}

/* --- MOV, PUSH, POP, L?S -------------------------------------------------- */

/* After a load of `seg`.  MOV and POP of SS hold interrupts off for one
 * instruction, LSS does not need to. */
static const Insn *seg_loaded(Env *env, const Insn *insn, unsigned seg)
{
    uint32_t old = env->mode;

    if (seg == SEG_SS && insn->op != OP_LFP_R_M) {
        env->s.interrupt_shadow = 2;
        env_update_mode(env);
        return insn_exit(env, insn);
    }
    if (!in_code64(env) && seg <= SEG_DS) {
        env_update_mode(env);
        if (env->mode != old) {
            return insn_exit(env, insn);
        }
    }
    NEXT(env, insn);
}

static const Insn *mov_seg_r(Env *env, const Insn *insn)
{
    if (!seg_load(env, insn->reg, env->s.gpr[insn->rm])) {
        return insn_fault(env, insn);
    }
    return seg_loaded(env, insn, insn->reg);
}

static const Insn *mov_seg_m(Env *env, const Insn *insn)
{
    const void *p = op_read(env, insn, 2);

    if (!p || !seg_load(env, insn->reg, load(p, 16))) {
        return insn_fault(env, insn);
    }
    return seg_loaded(env, insn, insn->reg);
}

TEMPLATE const Insn *mov_from_seg(Env *env, const Insn *insn, unsigned bits,
                                  int unused)
{
    reg_set(env, insn->rm, bits, env->s.seg[insn->reg].selector);
    NEXT(env, insn);
}
DEFINE_REG_WIDE(mov_r_seg, mov_from_seg, 0)

static const Insn *mov_m_seg(Env *env, const Insn *insn)
{
    void *p = op_write(env, insn, 2);

    if (!p) {
        return insn_fault(env, insn);
    }
    store(p, 16, env->s.seg[insn->reg].selector);
    mem_written(env, p);
    NEXT(env, insn);
}

TEMPLATE const Insn *pop_seg(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    /* AMD's read the slot whole, Intel's only the selector. */
    const void *p = host_is_amd() ? pop_slot(env, bits, true)
                                  : stack_read(env, env->s.gpr[R_RSP], 2);
    uint64_t sp = env->s.gpr[R_RSP] + bits / 8, mask = stack_mask(env);

    if (!p || !seg_load(env, insn->reg, load(p, 16))) {
        return insn_fault(env, insn);
    }
    /* The stack pointer is as wide as the stack was when it was read. */
    if (mask == UINT16_MAX) {
        store(&env->s.gpr[R_RSP], 16, sp);
    } else {
        env->s.gpr[R_RSP] = sp & mask;
    }
    return seg_loaded(env, insn, insn->reg);
}
DEFINE_REG_WIDE(pop_seg, pop_seg, 0)

/* LES, LDS, LSS, LFS, LGS: the segment register is in aux. */
TEMPLATE const Insn *load_far(Env *env, const Insn *insn, unsigned bits,
                              int unused)
{
    const char *p;
    uint64_t off;

    if (unlikely(env->mode & DM_AC) && bits == 16) {
        /* Aligned as words are, not as four bytes. */
        Insn selector = *insn;
        char both[4];

        selector.disp += 2;
        p = op_read(env, insn, 2);
        if (!p) {
            return insn_fault(env, insn);
        }
        memcpy(both, p, 2);
        p = op_read(env, &selector, 2);
        if (!p) {
            return insn_fault(env, insn);
        }
        memcpy(both + 2, p, 2);
        if (!seg_load(env, insn->aux, load(both + 2, 16))) {
            return insn_fault(env, insn);
        }
        reg_set(env, insn->reg, bits, load(both, 16));
        return seg_loaded(env, insn, insn->aux);
    }
    p = op_read(env, insn, bits / 8 + 2);
    if (!p) {
        /* The offset is read before the selector: its fault comes first. */
        op_read(env, insn, bits / 8);
        return insn_fault(env, insn);
    }
    off = load(p, bits);
    if (!seg_load(env, insn->aux, load(p + bits / 8, 16))) {
        return insn_fault(env, insn);
    }
    reg_set(env, insn->reg, bits, off);
    return seg_loaded(env, insn, insn->aux);
}
DEFINE_REG_WIDE(lfp, load_far, 0)

/* --- LAR, LSL, VERR, VERW, ARPL ------------------------------------------- */

TEMPLATE void put_zf(Env *env, bool zf)
{
    cc_set(env, (cc_get(env) & ~FL_ZF) | (zf ? FL_ZF : 0));
}

enum { LOOK_LAR, LOOK_LSL, LOOK_VERR, LOOK_VERW };

/* 1: visible, *d is it; 0: not; -1: a fault was recorded. */
static int look(Env *env, uint16_t selector, int what, uint64_t *out)
{
    /* Types of system descriptors that LAR and LSL accept. */
    static const uint16_t lar_types = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
                                      | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12;
    static const uint16_t lar_types_long = 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12;
    static const uint16_t gates = 1 << 4 | 1 << 5 | 1 << 12;
    unsigned rpl = selector & 3, type;
    bool conforming;
    Desc d;

    if ((selector & 0xfffc) == 0) {
        return 0;
    }
    if (!desc_read(env, selector, -2, 0, &d)) {
        if (env->exc_vector != -2) {
            return -1;
        }
        env->exc_vector = -1;
        return 0;
    }
    type = desc_type(d.lo);
    conforming = desc_code(d.lo) && desc_conforming(d.lo);
    if (what == LOOK_VERR || what == LOOK_VERW) {
        if (!desc_s(d.lo)) {
            return 0;
        }
        if (what == LOOK_VERW ? (type & 10) != 2 : (type & 10) == 8) {
            return 0;
        }
    } else if (!desc_s(d.lo)) {
        uint16_t ok = env->s.efer & EFER_LMA ? lar_types_long : lar_types;

        if (what == LOOK_LSL) {
            ok &= ~gates;
        }
        if (!(ok >> type & 1)) {
            return 0;
        }
    }
    if (!conforming && (env->cpl > desc_dpl(d.lo) || rpl > desc_dpl(d.lo))) {
        return 0;
    }
    *out = d.lo;
    return 1;
}

/* The selector operand: a register, or two bytes of memory. */
TEMPLATE bool selector_operand(Env *env, const Insn *insn, uint16_t *selector)
{
    if (insn->flags & INSN_MEM) {
        const void *p = op_read(env, insn, 2);

        if (!p) {
            return false;
        }
        *selector = load(p, 16);
    } else {
        *selector = env->s.gpr[insn->rm];
    }
    return true;
}

static const Insn *look_up(Env *env, const Insn *insn, int what)
{
    uint16_t selector;
    uint64_t d = 0;
    int seen;

    if (env->mode & (DM_REAL | DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (!selector_operand(env, insn, &selector)) {
        return insn_fault(env, insn);
    }
    seen = look(env, selector, what, &d);
    if (seen < 0) {
        return insn_fault(env, insn);
    }
    if (seen && (what == LOOK_LAR || what == LOOK_LSL)) {
        uint64_t v = what == LOOK_LAR ? d >> 32 & 0xffff00 : desc_limit(d);

        reg_set(env, insn->reg, insn->size * 8, v);
    }
    put_zf(env, seen);
    return insn + 1;
}

static const Insn *lar(Env *env, const Insn *insn)
{
    return look_up(env, insn, LOOK_LAR);
}
static const Insn *lsl(Env *env, const Insn *insn)
{
    return look_up(env, insn, LOOK_LSL);
}
static const Insn *verr(Env *env, const Insn *insn)
{
    return look_up(env, insn, LOOK_VERR);
}
static const Insn *verw(Env *env, const Insn *insn)
{
    return look_up(env, insn, LOOK_VERW);
}

/* Memory is written, and must be writable, only when the RPL changes. */
static const Insn *arpl(Env *env, const Insn *insn)
{
    unsigned rpl = env->s.gpr[insn->reg] & 3;
    uint16_t v;

    if (env->mode & (DM_REAL | DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (!selector_operand(env, insn, &v)) {
        return insn_fault(env, insn);
    }
    if ((v & 3) < rpl) {
        v = (v & ~3) | rpl;
        if (insn->flags & INSN_MEM) {
            void *p = op_write(env, insn, 2);

            if (!p) {
                return insn_fault(env, insn);
            }
            store(p, 16, v);
            mem_written(env, p);
        } else {
            reg_set(env, insn->rm, 16, v);
        }
        put_zf(env, true);
    } else {
        put_zf(env, false);
    }
    return insn + 1;
}

/* --- LDTR, TR ------------------------------------------------------------- */

static const Insn *lldt(Env *env, const Insn *insn)
{
    uint16_t selector;

    env_serialize();
    if (env->mode & (DM_REAL | DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!selector_operand(env, insn, &selector)
        || !ldt_load(env, selector, EXC_GP, 0)) {
        return insn_fault(env, insn);
    }
    return insn + 1;
}

static const Insn *ltr(Env *env, const Insn *insn)
{
    uint64_t high = 0;
    uint16_t selector;
    uint32_t error;
    unsigned type;
    bool long_mode = env->s.efer & EFER_LMA;
    Desc d;

    env_serialize();
    if (env->mode & (DM_REAL | DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!selector_operand(env, insn, &selector)) {
        return insn_fault(env, insn);
    }
    error = selector & 0xfffc;
    if (error == 0 || (selector & 4)) {
        return insn_raise_err(env, insn, EXC_GP, error);
    }
    if (!desc_read(env, selector, EXC_GP, 0, &d)) {
        return insn_fault(env, insn);
    }
    type = desc_type(d.lo);
    if (desc_s(d.lo)
        || (type != SYS_TSS && (long_mode || type != SYS_TSS16))) {
        return insn_raise_err(env, insn, EXC_GP, error);
    }
    if (!desc_p(d.lo)) {
        return insn_raise_err(env, insn, EXC_NP, error);
    }
    if (long_mode) {
        if (!desc_read_high(env, selector, &d, EXC_GP, 0, &high)) {
            return insn_fault(env, insn);
        }
        high <<= 32;
        if (!env_base_canonical(env, high | desc_base(d.lo))) {
            return insn_raise_err(env, insn, EXC_GP, error);
        }
    }
    if (!desc_set_busy(env, &d, true)) {
        return insn_fault(env, insn);
    }
    seg_from_desc(&env->s.tr, selector, d.lo);
    env->s.tr.base |= high;
    env->s.tr.attr |= 2;
    return insn + 1;
}

/* SLDT, STR: a register is as wide as the operand, memory has 16 bits. */
static const Insn *store_selector(Env *env, const Insn *insn,
                                  uint16_t selector)
{
    if (env->mode & (DM_REAL | DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if ((env->s.cr4 & CR4_UMIP) && env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (insn->flags & INSN_MEM) {
        void *p = op_write(env, insn, 2);

        if (!p) {
            return insn_fault(env, insn);
        }
        store(p, 16, selector);
        mem_written(env, p);
    } else {
        reg_set(env, insn->rm, insn->size * 8, selector);
    }
    return insn + 1;
}

static const Insn *sldt(Env *env, const Insn *insn)
{
    return store_selector(env, insn, env->s.ldtr.selector);
}
static const Insn *str(Env *env, const Insn *insn)
{
    return store_selector(env, insn, env->s.tr.selector);
}

const HandlerRow interp_segment[] = {
    { OP_MOV_SEG_RM, ALL(mov_seg_r), ALL(mov_seg_m), {} },
    { OP_MOV_RM_SEG, WIDE(mov_r_seg), ALL(mov_m_seg), {} },
    { OP_POP_SEG, WIDE(pop_seg), {}, {} },
    { OP_LFP_R_M, {}, WIDE(lfp), {} },
    { OP_LAR_R_RM, ALL(lar), ALL(lar), {} },
    { OP_LSL_R_RM, ALL(lsl), ALL(lsl), {} },
    { OP_VERR_RM, ALL(verr), ALL(verr), {} },
    { OP_VERW_RM, ALL(verw), ALL(verw), {} },
    { OP_ARPL_RM_R, ALL(arpl), ALL(arpl), {} },
    { OP_LLDT_RM, ALL(lldt), ALL(lldt), {} },
    { OP_LTR_RM, ALL(ltr), ALL(ltr), {} },
    { OP_SLDT_RM, ALL(sldt), ALL(sldt), {} },
    { OP_STR_RM, ALL(str), ALL(str), {} },
    {}
};
