/*
 * Delivery of exceptions and interrupts.
 *
 * Spec:   Intel SDM volume 3A chapter 6; volume 3B 21.2, 21.3 (virtual-8086
 *         mode), 21.1.4 (real mode).
 * Models: vector tables of real mode, the virtual-mode extensions' redirection,
 *         interrupt, trap and task gates of 16, 32 and 64 bits, stack switches,
 *         IST, the escalation to #DF and shutdown.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/far.h"

typedef struct Event {
    int vector;
    bool has_error;
    bool soft;                  /* INT n, INT3, INTO: gate's DPL counts */
    bool int_n;                 /* INT n */
    bool ext;                   /* EXT of error codes */
    bool fault;                 /* RF goes into the pushed flags */
    uint32_t error;
    uint64_t rip;               /* to push */
} Event;

enum { DR6_BD = 1 << 13 };
enum { FL_CLEARED = FL_TF | FL_NT | FL_RF | FL_VM };

/* --- stacks --------------------------------------------------------------- */

bool new_stack_push(Env *env, NewStack *st, uint64_t v, unsigned size)
{
    uint64_t sp = st->sp - size, gva;

    if (st->is64) {
        if (!mem_canonical(env, sp)) {
            return exc_set(env, EXC_SS, true, st->error);
        }
        gva = sp;
    } else {
        sp &= st->attr & SEGA_DB ? UINT32_MAX : UINT16_MAX;
        if (st->attr & SEGA_E && !(st->attr & SEGA_CODE)) {
            if (sp <= st->limit
                || sp + size - 1 > (st->attr & SEGA_DB ? UINT32_MAX
                                                       : UINT16_MAX)) {
                return exc_set(env, EXC_SS, true, st->error);
            }
        } else if (sp + size - 1 > st->limit && st->limit != UINT32_MAX) {
            return exc_set(env, EXC_SS, true, st->error);
        }
        gva = (uint32_t)(st->base + sp);
    }
    if (st->present) {
        void *p = mem_write(env, gva, size);

        if (!p) {
            return false;
        }
        store(p, size == 2 ? 16 : size == 4 ? 32 : 64, v);
        mem_written(env, p);
    } else if (!mem_sys_write(env, gva, &v, size)) {
        return false;
    }
    st->sp = sp;
    return true;
}

bool tss_stack(Env *env, unsigned cpl, unsigned ext, uint16_t *ss,
               uint32_t *sp)
{
    const X86Seg *tr = &env->s.tr;
    uint32_t error = (tr->selector & 0xfffc) | ext;
    uint16_t sp16;
    uint32_t at;

    if (tr->attr & 8) {
        at = 4 + cpl * 8;
        if (at + 7 > tr->limit) {
            return exc_set(env, EXC_TS, true, error);
        }
        return mem_sys_read(env, tr->base + at, sp, 4)
               && mem_sys_read(env, tr->base + at + 4, ss, 2);
    }
    at = 2 + cpl * 4;
    if (at + 3 > tr->limit) {
        return exc_set(env, EXC_TS, true, error);
    }
    if (!mem_sys_read(env, tr->base + at, &sp16, 2)
        || !mem_sys_read(env, tr->base + at + 2, ss, 2)) {
        return false;
    }
    *sp = sp16;
    return true;
}

bool tss_stack64(Env *env, unsigned cpl, unsigned ist, unsigned ext,
                 uint64_t *rsp)
{
    const X86Seg *tr = &env->s.tr;
    uint32_t at = ist ? 28 + ist * 8 : 4 + cpl * 8;

    if (at + 7 > tr->limit) {
        return exc_set(env, EXC_TS, true, (tr->selector & 0xfffc) | ext);
    }
    if (!mem_sys_read(env, tr->base + at, rsp, 8)) {
        return false;
    }
    if (!mem_canonical(env, *rsp)) {
        return exc_set(env, EXC_SS, true, ext);
    }
    return true;
}

/* The present stack, at the present level. */
static void same_stack(const Env *env, NewStack *st)
{
    const X86Seg *ss = &env->s.seg[SEG_SS];

    st->sp = stack_pointer(env);
    st->base = ss->base;
    st->limit = ss->limit;
    st->attr = ss->attr;
    st->is64 = in_code64(env);
    st->present = true;            /* by the TLB of the present level */
    st->error = 0;
}

/* --- real mode, and virtual-8086 mode without leaving it ------------------ */

static uint64_t pushed_flags(const Env *env, const Event *ev)
{
    return env_get_rflags(env) | (ev->fault ? FL_RF : 0);
}

/* Push FLAGS, CS and IP and go through a table of 16:16 pointers at `table`. */
static bool deliver_vector(Env *env, const Event *ev, uint64_t table,
                           uint16_t flags, uint32_t clear)
{
    uint32_t target;
    NewStack st;

    if (!mem_sys_read(env, table + (unsigned)ev->vector * 4, &target, 4)) {
        return false;
    }
    same_stack(env, &st);
    if (!new_stack_push(env, &st, flags, 2)
        || !new_stack_push(env, &st, env->s.seg[SEG_CS].selector, 2)
        || !new_stack_push(env, &st, ev->rip, 2)) {
        return false;
    }
    if ((target & 0xffff) > env->s.seg[SEG_CS].limit) {
        return exc_set(env, EXC_GP, true, 0);
    }
    stack_set(env, st.sp);
    seg_load_real(env, SEG_CS, target >> 16);
    env->s.rip = target & 0xffff;
    env->s.rflags &= ~(uint64_t)clear;
    return true;
}

static bool deliver_real(Env *env, const Event *ev)
{
    if ((unsigned)ev->vector * 4 + 3 > env->s.idtr.limit) {
        return exc_set(env, EXC_GP, true, (unsigned)ev->vector * 8 + 2);
    }
    return deliver_vector(env, ev, env->s.idtr.base,
                          (uint16_t)pushed_flags(env, ev),
                          FL_IF | FL_TF | FL_AC | FL_RF);
}

/*
 * INT n in virtual-8086 mode with VME: 1 if the redirection bitmap, the 32
 * bytes below the I/O bitmap, sends it to the 8086 program's own table; 0 if
 * not; -1 with an exception recorded.
 */
static int vme_redirected(Env *env, int vector)
{
    const X86Seg *tr = &env->s.tr;
    uint16_t io_base;
    uint8_t byte;
    uint32_t at;

    if (!(tr->attr & 8) || tr->limit < 0x67) {
        exc_set(env, EXC_GP, true, 0);
        return -1;
    }
    if (!mem_sys_read(env, tr->base + 0x66, &io_base, 2)) {
        return -1;
    }
    at = io_base - 32u + (unsigned)vector / 8;
    if (io_base < 32 || at > tr->limit) {
        exc_set(env, EXC_GP, true, 0);
        return -1;
    }
    if (!mem_sys_read(env, tr->base + at, &byte, 1)) {
        return -1;
    }
    return !(byte >> (vector & 7) & 1);
}

static bool deliver_vme(Env *env, const Event *ev)
{
    uint16_t flags = pushed_flags(env, ev);

    if ((env->s.rflags & FL_IOPL) == FL_IOPL) {
        return deliver_vector(env, ev, 0, flags, FL_IF | FL_TF | FL_RF);
    }
    flags = (flags & ~FL_IF) | FL_IOPL
            | (env->s.rflags & FL_VIF ? FL_IF : 0);
    return deliver_vector(env, ev, 0, flags, FL_VIF | FL_TF | FL_RF);
}

/* --- protected mode ------------------------------------------------------- */

/* Push the frame of an interrupt, `size` bytes an item. */
static bool push_frame(Env *env, const Event *ev, NewStack *st, unsigned size,
                       bool with_stack)
{
    uint64_t flags = pushed_flags(env, ev), sp = env->s.gpr[R_RSP];

    if (!in_code64(env)) {
        sp = (uint32_t)sp;
    }
    if (env->mode & DM_VM86) {
        static const uint8_t order[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };

        for (unsigned i = 0; i < 4; i++) {
            if (!new_stack_push(env, st, env->s.seg[order[i]].selector,
                                size)) {
                return false;
            }
        }
    }
    if (with_stack
        && (!new_stack_push(env, st, env->s.seg[SEG_SS].selector, size)
            || !new_stack_push(env, st, sp, size))) {
        return false;
    }
    return new_stack_push(env, st, flags, size)
           && new_stack_push(env, st, env->s.seg[SEG_CS].selector, size)
           && new_stack_push(env, st, ev->rip, size)
           && (!ev->has_error || new_stack_push(env, st, ev->error, size));
}

/* The gate's code segment: readable checks common to all sizes. */
static bool gate_code(Env *env, uint16_t selector, unsigned ext, Desc *cs)
{
    uint32_t error = (selector & 0xfffc) | ext;

    if ((selector & 0xfffc) == 0) {
        return exc_set(env, EXC_GP, true, ext);
    }
    if (!desc_read(env, selector, EXC_GP, ext, cs)) {
        return false;
    }
    if (!desc_code(cs->lo) || desc_dpl(cs->lo) > env->cpl) {
        return exc_set(env, EXC_GP, true, error);
    }
    if (!desc_p(cs->lo)) {
        return exc_set(env, EXC_NP, true, error);
    }
    return true;
}

static void flags_after_gate(Env *env, unsigned type)
{
    env->s.rflags &= ~(uint64_t)(FL_CLEARED | (type & 1 ? 0 : FL_IF));
}

static bool deliver_protected(Env *env, const Event *ev)
{
    uint32_t gate_error = (unsigned)ev->vector * 8 + 2 + ev->ext;
    unsigned type, size, new_cpl, ext = ev->ext;
    bool inner;
    uint32_t target, sp = 0;
    uint16_t selector, ss = 0;
    uint64_t gate;
    NewStack st;
    Desc cs, ssd;

    if ((unsigned)ev->vector * 8 + 7 > env->s.idtr.limit) {
        return exc_set(env, EXC_GP, true, gate_error);
    }
    if (!mem_sys_read(env, env->s.idtr.base + (unsigned)ev->vector * 8, &gate,
                      8)) {
        return false;
    }
    type = desc_type(gate);
    if (desc_s(gate) || (type != SYS_TASK_GATE && (type & 6) != 6)) {
        return exc_set(env, EXC_GP, true, gate_error);
    }
    if (ev->soft && desc_dpl(gate) < env->cpl) {
        return exc_set(env, EXC_GP, true, gate_error);
    }
    if (!desc_p(gate)) {
        return exc_set(env, EXC_NP, true, gate_error);
    }
    if (type == SYS_TASK_GATE) {
        /* The image is the one in the old task's TSS. */
        env->s.rflags |= ev->fault ? FL_RF : 0;
        return task_gate(env, gate, TASK_INT, ext, ev->rip,
                         ev->has_error ? &ev->error : NULL);
    }
    selector = gate >> 16;
    target = gate & 0xffff;
    if (type & 8) {
        target |= (gate >> 48) << 16;
    }
    size = type & 8 ? 4 : 2;
    if (!gate_code(env, selector, ext, &cs)) {
        return false;
    }
    inner = !desc_conforming(cs.lo) && desc_dpl(cs.lo) < env->cpl;
    new_cpl = inner ? desc_dpl(cs.lo) : env->cpl;
    if ((env->mode & DM_VM86) && (!inner || new_cpl != 0)) {
        return exc_set(env, EXC_GP, true, (selector & 0xfffc) | ext);
    }
    if (inner) {
        if (!tss_stack(env, new_cpl, ext, &ss, &sp)) {
            return false;
        }
        if ((ss & 0xfffc) == 0) {
            return exc_set(env, EXC_TS, true, ext);
        }
        if (!seg_check_ss(env, ss, new_cpl, EXC_TS, ext, &ssd)) {
            return false;
        }
        st = (NewStack) {
            .sp = sp, .base = desc_base(ssd.lo), .limit = desc_limit(ssd.lo),
            .attr = desc_attr(ssd.lo), .error = (ss & 0xfffc) | ext,
        };
    } else {
        same_stack(env, &st);
        st.error = ext;
    }
    if (target > desc_limit(cs.lo)) {
        return exc_set(env, EXC_GP, true, ext);
    }
    if (!push_frame(env, ev, &st, size, inner)
        || !desc_set_accessed(env, &cs)
        || (inner && !desc_set_accessed(env, &ssd))) {
        return false;
    }

    /* Nothing can fail from here. */
    if (env->mode & DM_VM86) {
        seg_load_null(env, SEG_ES, 0);
        seg_load_null(env, SEG_DS, 0);
        seg_load_null(env, SEG_FS, 0);
        seg_load_null(env, SEG_GS, 0);
    }
    if (inner) {
        seg_from_desc(&env->s.seg[SEG_SS], ss, ssd.lo);
        if (st.attr & SEGA_DB) {
            env->s.gpr[R_RSP] = (uint32_t)st.sp;
        } else {
            reg_set(env, R_RSP, 32, sp);
            store(&env->s.gpr[R_RSP], 16, st.sp);
        }
    } else {
        stack_set(env, st.sp);
    }
    cs_set(env, selector, cs.lo, new_cpl);
    env->s.rip = target;
    flags_after_gate(env, type);
    return true;
}

static bool deliver_long(Env *env, const Event *ev)
{
    uint32_t gate_error = (unsigned)ev->vector * 8 + 2 + ev->ext;
    unsigned type, new_cpl, ist, ext = ev->ext;
    uint64_t gate[2], target;
    uint16_t selector;
    NewStack st;
    bool inner;
    Desc cs;

    if ((unsigned)ev->vector * 16 + 15 > env->s.idtr.limit) {
        return exc_set(env, EXC_GP, true, gate_error);
    }
    if (!mem_sys_read(env, env->s.idtr.base + (unsigned)ev->vector * 16, gate,
                      16)) {
        return false;
    }
    type = desc_type(gate[0]);
    if (desc_s(gate[0]) || (type != SYS_INT && type != SYS_TRAP)) {
        return exc_set(env, EXC_GP, true, gate_error);
    }
    if (ev->soft && desc_dpl(gate[0]) < env->cpl) {
        return exc_set(env, EXC_GP, true, gate_error);
    }
    if (!desc_p(gate[0])) {
        return exc_set(env, EXC_NP, true, gate_error);
    }
    selector = gate[0] >> 16;
    target = (gate[0] & 0xffff) | (gate[0] >> 48) << 16 | gate[1] << 32;
    ist = gate[0] >> 32 & 7;
    if (!gate_code(env, selector, ext, &cs)) {
        return false;
    }
    if (!desc_l(cs.lo) || desc_db(cs.lo)) {
        return exc_set(env, EXC_GP, true, (selector & 0xfffc) | ext);
    }
    inner = !desc_conforming(cs.lo) && desc_dpl(cs.lo) < env->cpl;
    new_cpl = inner ? desc_dpl(cs.lo) : env->cpl;
    st = (NewStack) { .is64 = true, .error = ext };
    if (inner || ist) {
        if (!tss_stack64(env, new_cpl, ist, ext, &st.sp)) {
            return false;
        }
    } else {
        st.sp = env->s.gpr[R_RSP];
    }
    st.present = !inner;
    st.sp &= ~UINT64_C(15);
    if (!mem_canonical(env, target)) {
        return exc_set(env, EXC_GP, true, ext);
    }
    if (!push_frame(env, ev, &st, 8, true) || !desc_set_accessed(env, &cs)) {
        return false;
    }
    if (inner) {
        seg_load_null(env, SEG_SS, new_cpl);
    }
    env->s.gpr[R_RSP] = st.sp;
    cs_set(env, selector, cs.lo, new_cpl);
    env->s.rip = target;
    flags_after_gate(env, type);
    return true;
}

static bool deliver(Env *env, const Event *ev)
{
    if (env->mode & DM_REAL) {
        return deliver_real(env, ev);
    }
    if (env->s.efer & EFER_LMA) {
        return deliver_long(env, ev);
    }
    if ((env->mode & DM_VM86) && ev->int_n) {
        int redirected = 0;

        if (env->s.cr4 & CR4_VME) {
            redirected = vme_redirected(env, ev->vector);
        }
        if (redirected < 0) {
            return false;
        }
        if (redirected) {
            return deliver_vme(env, ev);
        }
        if ((env->s.rflags & FL_IOPL) != FL_IOPL) {
            return exc_set(env, EXC_GP, true, 0);
        }
    }
    return deliver_protected(env, ev);
}

/* --- which exception it becomes ------------------------------------------- */

enum { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static unsigned class_of(int vector)
{
    switch (vector) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP:
        return CONTRIBUTORY;
    case EXC_PF:
        return PAGE_FAULT;
    default:
        return BENIGN;
    }
}

/* Side effects of raising it, before it is delivered. */
static void raised(Env *env, int vector, bool soft)
{
    if (soft) {
        return;
    }
    if (vector == EXC_PF) {
        env->s.cr2 = env->exc_cr2;
    } else if (vector == EXC_DB) {
        /* B0 to B3 tell of this exception alone; DR7.GD lets the handler in. */
        env->s.dr[6] = (env->s.dr[6] & ~UINT64_C(15)) | env->exc_dr6;
        env->s.dr[7] &= ~UINT64_C(0x2000);
        env->exc_dr6 = 0;
    }
}

/* Deliver `ev`, and what comes of trying.  False: shutdown. */
static bool deliver_all(Env *env, Event *ev, unsigned class)
{
    for (;;) {
        unsigned class2;
        int vector;

        env->s.exception = ev->vector;
        env->exc_vector = -1;
        if (deliver(env, ev)) {
            break;
        }
        vector = env->exc_vector;
        raised(env, vector, false);
        class2 = class_of(vector);
        if (class == DOUBLE_FAULT && class2 != BENIGN) {
            env->s.exception = -1;
            env->exc_vector = -1;
            return false;
        }
        if ((class == CONTRIBUTORY && class2 == CONTRIBUTORY)
            || (class == PAGE_FAULT && class2 != BENIGN)) {
            vector = EXC_DF;
            env->exc_has_error = true;
            env->exc_error = 0;
        }
        /* A task switch on the way may have changed what RIP is. */
        *ev = (Event) {
            .vector = vector, .has_error = env->exc_has_error,
            .error = env->exc_error, .ext = true, .fault = vector != EXC_DB,
            .rip = env->s.rip,
        };
        class = vector == EXC_DF ? DOUBLE_FAULT : class_of(vector);
    }
    env->s.exception = -1;
    env->s.interrupt_shadow = 0;
    env->exc_vector = -1;
    env->in_rep = false;
    env_update_mode(env);
    return true;
}

/* Does RF go into the image?  Not for traps, nor for code breakpoints, whose
 * handler must set it; #DB of general detect is an ordinary fault. */
static bool is_fault(const Env *env)
{
    switch (env->exc_vector) {
    case EXC_DB:
        return env->in_rep || (env->exc_dr6 & DR6_BD);
    case EXC_NMI:
        return env->in_rep;
    default:
        return true;
    }
}

bool env_deliver_exception(Env *env)
{
    unsigned how = env->exc_soft;
    bool soft = how == EXC_SOFT_INT || how == EXC_SOFT_INT3
                || how == EXC_SOFT_INTO;
    Event ev = {
        .vector = env->exc_vector,
        .has_error = env->exc_has_error && how == EXC_SOFT_NONE,
        .error = env->exc_error,
        .soft = soft,
        .int_n = how == EXC_SOFT_INT,
        .ext = !soft,
        .fault = how == EXC_SOFT_NONE && is_fault(env),
        .rip = env->s.rip,
    };

    env->exc_soft = EXC_SOFT_NONE;
    if (how != EXC_SOFT_NONE) {
        ev.rip += env->exc_soft_len;
        if (!in_code64(env)) {
            ev.rip = (uint32_t)ev.rip;
        }
    }
    raised(env, ev.vector, how != EXC_SOFT_NONE);
    return deliver_all(env, &ev, soft ? BENIGN : ev.vector == EXC_DF
                                 ? DOUBLE_FAULT : class_of(ev.vector));
}

bool env_deliver_interrupt(Env *env, int vector)
{
    /* Between iterations of a REP RF is set in the image: SDM 3B 17.3.1.1. */
    Event ev = { .vector = vector, .ext = true, .fault = env->in_rep,
                 .rip = env->s.rip };

    /* An interrupt of any vector is benign: SDM table 6-4. */
    env->exc_soft = EXC_SOFT_NONE;
    return deliver_all(env, &ev, BENIGN);
}
