/*
 * Page faults of 64-bit code to a handler at level 0, and IRET from there, as
 * they usually are: what env_deliver_exception() and IRET's handler
 * do, and of env_update_mode() what can have changed.  Anything else, faults on
 * the way above all, is theirs: nothing has been done then.
 *
 * Built without vector registers and sanitizers: the guest's vectors stay live.
 *
 * Spec: Intel SDM volume 3A 6.12, 6.14; volume 2, IRET.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/segment.h"
#include "accel/tcg/jit/level.h"
#include "base/log.h"

enum {
    FRAME_WORDS = 5,            /* RIP, CS, RFLAGS, RSP, SS */
    IRET_FLAGS = FL_ARITH | FL_DF | FL_IOPL | FL_IF | FL_RF | FL_AC | FL_ID,
    CODE_BITS = SEGA_P | SEGA_S | SEGA_CODE | SEGA_C | SEGA_A | SEGA_L
                | SEGA_DB | SEGA_DPL,
    CODE_WANT = SEGA_P | SEGA_S | SEGA_CODE | SEGA_A | SEGA_L,
    DATA_BITS = SEGA_P | SEGA_S | SEGA_CODE | SEGA_W | SEGA_A | SEGA_DPL,
    DATA_WANT = SEGA_P | SEGA_S | SEGA_W | SEGA_A,
};

/* --- memory --------------------------------------------------------------- */

static const TlbEntry *super_table(const Env *env)
{
    return env->tcg->tlb[MMU_SUPER]->e;
}

/*
 * The TLB gets the page, if it can have it, as the slow way would do next; what
 * is raised instead, that will raise again.  Not with vectors live.
 */
static bool filled(Env *env, const TlbEntry *table, uint64_t gva, bool write)
{
    int vector = env->exc_vector;
    uint32_t error = env->exc_error;
    uint64_t cr2 = env->exc_cr2;
    bool ok;

    if (env->fp_live || table != super_table(env)) {
        return false;
    }
    ok = mem_sys_probe(env, gva, write);
    env->exc_vector = vector;
    env->exc_error = error;
    env->exc_cr2 = cr2;
    return ok;
}

static bool hits(uint64_t tag, uint64_t gva, unsigned size)
{
    return gva + tag + (size - 1) <= 4095;
}

/* NULL: not all of it is in one page of RAM that the TLB has. */
static const volatile uint64_t *readable(Env *env, const TlbEntry *table,
                                         uint64_t gva, unsigned size)
{
    const TlbEntry *e = &table[gva >> 12 & (TLB_SIZE - 1)];

    if (!hits(e->nrpage, gva, size)
        && !(filled(env, table, gva, false) && hits(e->nrpage, gva, size))) {
        return NULL;
    }
    return (const volatile uint64_t *)(gva + e->addend);
}

/* The same to write to: nobody has to know that. */
static volatile uint64_t *writable(Env *env, const TlbEntry *table,
                                   uint64_t gva, unsigned size)
{
    const TlbEntry *e = &table[gva >> 12 & (TLB_SIZE - 1)];

    if (!hits(e->nwpage, gva, size)
        && !(filled(env, table, gva, true) && hits(e->nwpage, gva, size))) {
        return NULL;
    }
    return (volatile uint64_t *)(gva + e->addend);
}

/* A descriptor of the GDT that is not null. */
static bool descriptor(Env *env, uint16_t selector, uint64_t *d)
{
    const volatile uint64_t *p;

    if (!(selector & 0xfffc) || selector & 4
        || (selector | 7u) > env->s.gdtr.limit) {
        return false;
    }
    p = readable(env, super_table(env),
                 env->s.gdtr.base + (selector & 0xfff8), 8);
    if (!p) {
        return false;
    }
    *d = *p;
    return true;
}

static bool code_at_level(uint64_t d, unsigned cpl)
{
    return (desc_attr(d) & CODE_BITS) == (CODE_WANT | cpl << SEGA_DPL_SHIFT);
}

static bool data_at_level(uint64_t d, unsigned cpl)
{
    return (desc_attr(d) & DATA_BITS) == (DATA_WANT | cpl << SEGA_DPL_SHIFT);
}

static void set_null_ss(Env *env)
{
    env->s.seg[SEG_SS] = (X86Seg) { .attr = SEGA_NULL };
}

static bool watched(const Env *env)
{
    return env->tcg->n_watch | env->tcg->n_exec | env->watch_hit;
}

/* --- IRET ----------------------------------------------------------------- */

/* May all data segments stay as they are at level 3? */
static bool segments_stay(const Env *env)
{
    static const uint8_t regs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        const X86Seg *seg = &env->s.seg[regs[i]];

        if (seg->attr & SEGA_NULL ? seg->selector
                                  : (seg->attr & SEGA_DPL) != SEGA_DPL) {
            return false;
        }
    }
    return true;
}

bool jit_iret(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    const volatile uint64_t *frame;
    uint64_t v[FRAME_WORDS], code, data = 0;
    unsigned cpl;
    uint16_t cs, ss;

    if (insn->size != 8 || env->cpl || s->rflags & FL_NT || s->nmi_blocked
        || watched(env)) {
        return false;
    }
    frame = readable(env, env->tlb, s->gpr[R_RSP], sizeof(v));
    if (!frame) {
        return false;
    }
    for (unsigned i = 0; i < FRAME_WORDS; i++) {
        v[i] = frame[i];
    }
    cs = v[1];
    ss = v[4];
    cpl = cs & 3;
    if (cpl != 0 && cpl != 3) {
        return false;
    }
    if (v[2] & (FL_TF | FL_NT | FL_VIF | FL_VIP | (cpl ? FL_AC : 0))
        || !descriptor(env, cs, &code) || !code_at_level(code, cpl)
        || !mem_canonical(env, v[0])) {
        return false;
    }
    if ((ss || cpl)
        && ((ss & 3) != cpl || !descriptor(env, ss, &data)
            || !data_at_level(data, cpl))) {
        return false;
    }
    if (cpl && !segments_stay(env)) {
        return false;
    }
    env_serialize();
    if (ss) {
        seg_from_desc(&s->seg[SEG_SS], ss, data);
    } else {
        set_null_ss(env);
    }
    seg_from_desc(&s->seg[SEG_CS], cs, code);
    s->gpr[R_RSP] = v[3];
    s->rip = v[0];
    level_flags_set(env, v[2] & IRET_FLAGS);
    level_set(env, cpl);
    return true;
}

/* --- page faults ---------------------------------------------------------- */

typedef struct Gate {
    uint64_t rip, code;         /* the descriptor */
    uint16_t selector;
    uint8_t type, ist;
} Gate;

/* To 64-bit code of level 0. */
static bool gate_read(Env *env, unsigned vector, Gate *g)
{
    const volatile uint64_t *p;
    uint64_t lo, hi;

    if (vector * 16 + 15 > env->s.idtr.limit) {
        return false;
    }
    p = readable(env, super_table(env), env->s.idtr.base + vector * 16, 16);
    if (!p) {
        return false;
    }
    lo = p[0];
    hi = p[1];
    *g = (Gate) {
        .rip = (lo & 0xffff) | lo >> 48 << 16 | hi << 32,
        .selector = lo >> 16, .type = desc_type(lo), .ist = lo >> 32 & 7,
    };
    return !desc_s(lo) && desc_p(lo)
           && (g->type == SYS_INT || g->type == SYS_TRAP)
           && descriptor(env, g->selector, &g->code)
           && code_at_level(g->code, 0) && mem_canonical(env, g->rip);
}

/* RSP0 or an IST of the TSS. */
static bool stack_of_tss(Env *env, unsigned ist, uint64_t *sp)
{
    uint32_t at = ist ? 28 + ist * 8 : 4;
    const volatile uint64_t *p;

    if (at + 7 > env->s.tr.limit) {
        return false;
    }
    p = readable(env, super_table(env), env->s.tr.base + at, 8);
    if (!p) {
        return false;
    }
    *sp = *p;
    return true;
}

bool jit_page_fault(Env *env)
{
    X86State *s = &env->s;
    unsigned vector = env->exc_vector;
    bool inner = env->cpl;
    volatile uint64_t *frame;
    uint64_t sp = s->gpr[R_RSP];
    Gate g;

    if (vector != EXC_PF || env->exc_soft != EXC_SOFT_NONE
        || (env->mode & DM_CODE_MASK) != DM_CODE64 || env->exit
        || env->exclusive || env->locked_code || watched(env)
        || log_mask & (LOG_INT | LOG_MMU) || !gate_read(env, vector, &g)
        || ((inner || g.ist) && !stack_of_tss(env, g.ist, &sp))) {
        return false;
    }
    sp = (sp & ~UINT64_C(15)) - 8 * (FRAME_WORDS + 1);
    /* A stack of the same level is written to as the code there does it. */
    frame = writable(env, inner ? super_table(env) : env->tlb, sp,
                     8 * (FRAME_WORDS + 1));
    if (!frame) {
        return false;
    }
    frame[5] = s->seg[SEG_SS].selector;
    frame[4] = s->gpr[R_RSP];
    frame[3] = level_flags_get(env) | FL_RF;
    frame[2] = s->seg[SEG_CS].selector;
    frame[1] = s->rip;
    frame[0] = env->exc_error;
    if (inner) {
        set_null_ss(env);
    }
    seg_from_desc(&s->seg[SEG_CS], g.selector & 0xfffc, g.code);
    s->cr2 = env->exc_cr2;
    s->gpr[R_RSP] = sp;
    s->rip = g.rip;
    s->rflags &= ~(uint64_t)(FL_TF | FL_NT | FL_RF | FL_VM
                             | (g.type & 1 ? 0 : FL_IF));
    s->interrupt_shadow = 0;
    env->exc_vector = -1;
    env->in_rep = false;
    level_set(env, 0);
    return true;
}
