/*
 * Hardware task switches.
 *
 * Spec:   Intel SDM volume 3A chapter 8, figure 8-2 and tables 8-1, 8-2.
 * Models: 16- and 32-bit TSSs in every combination.  Faults before the new
 *         state is loaded belong to the old task, later ones to the new task.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/far.h"

enum {                          /* 32-bit TSS */
    T32_LINK = 0x00, T32_CR3 = 0x1c, T32_EIP = 0x20, T32_EFLAGS = 0x24,
    T32_EAX = 0x28, T32_ES = 0x48, T32_LDT = 0x60, T32_T = 0x64,
    T32_MIN_LIMIT = 0x67,
};
enum {                          /* 16-bit TSS */
    T16_LINK = 0x00, T16_IP = 0x0e, T16_FLAGS = 0x10, T16_AX = 0x12,
    T16_ES = 0x22, T16_LDT = 0x2a, T16_MIN_LIMIT = 0x2b,
};

/* What is loaded from a TSS. */
typedef struct TaskState {
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t sel[N_SEG], ldt;
    bool trap;
} TaskState;

static bool rd16(Env *env, uint64_t at, uint16_t *v)
{
    return mem_sys_read(env, at, v, 2);
}

static bool rd32(Env *env, uint64_t at, uint32_t *v)
{
    return mem_sys_read(env, at, v, 4);
}

static bool wr16(Env *env, uint64_t at, uint16_t v)
{
    return mem_sys_write(env, at, &v, 2);
}

static bool wr32(Env *env, uint64_t at, uint32_t v)
{
    return mem_sys_write(env, at, &v, 4);
}

/* Segment registers lie in the order of their numbers: ES CS SS DS FS GS. */
static bool read_tss32(Env *env, uint64_t at, TaskState *t)
{
    uint16_t trap;

    t->cr3 = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (!rd32(env, at + T32_EAX + 4 * i, &t->gpr[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < N_SEG; i++) {
        if (!rd16(env, at + T32_ES + 4 * i, &t->sel[i])) {
            return false;
        }
    }
    if (!rd32(env, at + T32_CR3, &t->cr3) || !rd32(env, at + T32_EIP, &t->eip)
        || !rd32(env, at + T32_EFLAGS, &t->eflags)
        || !rd16(env, at + T32_LDT, &t->ldt)
        || !rd16(env, at + T32_T, &trap)) {
        return false;
    }
    t->trap = trap & 1;
    return true;
}

static bool read_tss16(Env *env, uint64_t at, TaskState *t)
{
    uint16_t v;

    for (unsigned i = 0; i < 8; i++) {
        if (!rd16(env, at + T16_AX + 2 * i, &v)) {
            return false;
        }
        t->gpr[i] = v;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!rd16(env, at + T16_ES + 2 * i, &t->sel[i])) {
            return false;
        }
    }
    t->sel[SEG_FS] = t->sel[SEG_GS] = 0;
    t->trap = false;
    t->cr3 = 0;
    if (!rd16(env, at + T16_IP, &v)) {
        return false;
    }
    t->eip = v;
    if (!rd16(env, at + T16_FLAGS, &v)) {
        return false;
    }
    t->eflags = v;
    return rd16(env, at + T16_LDT, &t->ldt);
}

/* The dynamic fields of the running task into its TSS. */
static bool save_state(Env *env, uint32_t eip, uint32_t eflags)
{
    const X86Seg *tr = &env->s.tr;
    uint64_t at = tr->base;

    if (tr->attr & 8) {
        if (!wr32(env, at + T32_EIP, eip)
            || !wr32(env, at + T32_EFLAGS, eflags)) {
            return false;
        }
        for (unsigned i = 0; i < 8; i++) {
            if (!wr32(env, at + T32_EAX + 4 * i, env->s.gpr[i])) {
                return false;
            }
        }
        for (unsigned i = 0; i < N_SEG; i++) {
            if (!wr16(env, at + T32_ES + 4 * i, env->s.seg[i].selector)) {
                return false;
            }
        }
        return true;
    }
    if (!wr16(env, at + T16_IP, eip) || !wr16(env, at + T16_FLAGS, eflags)) {
        return false;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (!wr16(env, at + T16_AX + 2 * i, env->s.gpr[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!wr16(env, at + T16_ES + 2 * i, env->s.seg[i].selector)) {
            return false;
        }
    }
    return true;
}

/* Are all bytes from `at` there and writable?  So that saving cannot fail in
 * the middle. */
static bool probe(Env *env, uint64_t at, uint32_t len)
{
    uint8_t byte;

    return mem_sys_read(env, at, &byte, 1) && mem_sys_write(env, at, &byte, 1)
           && mem_sys_read(env, at + len - 1, &byte, 1)
           && mem_sys_write(env, at + len - 1, &byte, 1);
}

/* --- the new task's segments ---------------------------------------------- */

static bool ts(Env *env, uint16_t selector, unsigned ext)
{
    return exc_set(env, EXC_TS, true, (selector & 0xfffc) | ext);
}

static bool load_cs(Env *env, uint16_t selector, unsigned ext)
{
    unsigned rpl = selector & 3;
    Desc d;

    if ((selector & 0xfffc) == 0) {
        return ts(env, 0, ext);
    }
    if (!desc_read(env, selector, EXC_TS, ext, &d)) {
        return false;
    }
    if (!desc_code(d.lo)
        || (desc_conforming(d.lo) ? desc_dpl(d.lo) > rpl
                                  : desc_dpl(d.lo) != rpl)) {
        return ts(env, selector, ext);
    }
    if (!desc_p(d.lo)) {
        return exc_set(env, EXC_NP, true, (selector & 0xfffc) | ext);
    }
    if (!desc_set_accessed(env, &d)) {
        return false;
    }
    seg_from_desc(&env->s.seg[SEG_CS], selector, d.lo);
    return true;
}

static bool load_ss(Env *env, uint16_t selector, unsigned cpl, unsigned ext)
{
    Desc d;

    if ((selector & 0xfffc) == 0) {
        return ts(env, 0, ext);
    }
    if (!seg_check_ss(env, selector, cpl, EXC_TS, ext, &d)
        || !desc_set_accessed(env, &d)) {
        return false;
    }
    seg_from_desc(&env->s.seg[SEG_SS], selector, d.lo);
    return true;
}

static bool load_data(Env *env, unsigned seg, uint16_t selector, unsigned cpl,
                      unsigned ext)
{
    unsigned rpl = selector & 3;
    Desc d;

    if ((selector & 0xfffc) == 0) {
        return true;            /* is null already */
    }
    if (!desc_read(env, selector, EXC_TS, ext, &d)) {
        return false;
    }
    if (!desc_s(d.lo) || (desc_type(d.lo) & 10) == 8
        || ((desc_type(d.lo) & 12) != 12
            && (rpl > desc_dpl(d.lo) || cpl > desc_dpl(d.lo)))) {
        return ts(env, selector, ext);
    }
    if (!desc_p(d.lo)) {
        return exc_set(env, EXC_NP, true, (selector & 0xfffc) | ext);
    }
    if (!desc_set_accessed(env, &d)) {
        return false;
    }
    seg_from_desc(&env->s.seg[seg], selector, d.lo);
    return true;
}

/* Everything that can fail in the new task's context. */
static bool load_segments(Env *env, const TaskState *t, unsigned ext)
{
    static const uint8_t data[] = { SEG_DS, SEG_ES, SEG_FS, SEG_GS };
    unsigned cpl = t->sel[SEG_CS] & 3;

    if (!ldt_load(env, t->ldt, EXC_TS, ext)) {
        return false;
    }
    if (t->eflags & FL_VM) {
        for (unsigned i = 0; i < N_SEG; i++) {
            seg_load_real(env, i, t->sel[i]);
        }
        env_update_mode(env);
    } else {
        if (!load_cs(env, t->sel[SEG_CS], ext)
            || !load_ss(env, t->sel[SEG_SS], cpl, ext)) {
            return false;
        }
        env_update_mode(env);
        for (unsigned i = 0; i < 4; i++) {
            if (!load_data(env, data[i], t->sel[data[i]], cpl, ext)) {
                return false;
            }
        }
    }
    if (env->s.rip > env->s.seg[SEG_CS].limit) {
        return exc_set(env, EXC_GP, true, ext);
    }
    return true;
}

/* --- the switch ----------------------------------------------------------- */

/* The new task's registers; its segments have their selectors and are null. */
static void load_registers(Env *env, const TaskState *t, bool is32)
{
    env_set_rflags(env, t->eflags);
    env->s.rip = t->eip;
    for (unsigned i = 0; i < 8; i++) {
        if (is32) {
            env->s.gpr[i] = t->gpr[i];
        } else {
            /* The upper halves are not part of a 16-bit task. */
            reg_set(env, i, 16, t->gpr[i]);
        }
    }
    for (unsigned i = 0; i < N_SEG; i++) {
        seg_load_null(env, i, t->sel[i]);
    }
    /* The level is that of the new CS even while SS is not loaded. */
    env->s.seg[SEG_SS].attr = SEGA_NULL
                              | (t->eflags & FL_VM ? 3 : t->sel[SEG_CS] & 3)
                                    << SEGA_DPL_SHIFT;
    env->s.ldtr = (X86Seg) { .selector = t->ldt, .attr = SEGA_NULL };
}

bool task_switch(Env *env, uint16_t selector, TaskReason why, unsigned ext,
                 uint64_t rip, const uint32_t *error)
{
    uint32_t sel_error = (selector & 0xfffc) | ext;
    bool back = why == TASK_IRET, nest = why == TASK_CALL || why == TASK_INT;
    X86Seg old_tr = env->s.tr;
    uint32_t old_flags;
    TaskState t;
    unsigned type;
    uint32_t base;
    bool is32;
    Desc d;

    /* The descriptor: available, or for IRET busy. */
    if ((selector & 4) || (selector & 0xfffc) == 0) {
        return exc_set(env, back ? EXC_TS : EXC_GP, true, sel_error);
    }
    if (!desc_read(env, selector, back ? EXC_TS : EXC_GP, ext, &d)) {
        return false;
    }
    type = desc_type(d.lo);
    if (desc_s(d.lo)
        || (back ? type != SYS_TSS16_BUSY && type != SYS_TSS_BUSY
                 : type != SYS_TSS16 && type != SYS_TSS)) {
        return exc_set(env, back ? EXC_TS : EXC_GP, true, sel_error);
    }
    if (!desc_p(d.lo)) {
        return exc_set(env, EXC_NP, true, sel_error);
    }
    is32 = type & 8;
    base = desc_base(d.lo);
    if (desc_limit(d.lo) < (is32 ? T32_MIN_LIMIT : T16_MIN_LIMIT)) {
        return exc_set(env, EXC_TS, true, sel_error);
    }

    /* Both TSSs are there: page faults come before anything is changed. */
    if (!probe(env, old_tr.base, (old_tr.attr & 8 ? T32_MIN_LIMIT
                                                  : T16_MIN_LIMIT) + 1)
        || !(is32 ? read_tss32(env, base, &t) : read_tss16(env, base, &t))
        || (nest && !probe(env, base, 2))) {
        return false;
    }

    old_flags = env_get_rflags(env);
    if (back) {
        old_flags &= ~FL_NT;
    }
    if (!save_state(env, rip, old_flags)) {
        return false;
    }
    if (!nest) {
        Desc od = { .at = env->s.gdtr.base + (old_tr.selector & 0xfff8) };

        if (!desc_set_busy(env, &od, false)) {
            return false;
        }
    }
    if (nest) {
        if (!wr16(env, base, old_tr.selector)) {
            return false;
        }
        t.eflags |= FL_NT;
    }
    if (!back && !desc_set_busy(env, &d, true)) {
        return false;
    }

    /* The new task. */
    seg_from_desc(&env->s.tr, selector, d.lo);
    env->s.tr.attr |= 2;
    env->s.cr0 |= CR0_TS;
    if (is32 && (env->s.cr0 & CR0_PG)) {
        env->s.cr3 = t.cr3;
        if (env->s.cr4 & CR4_PAE) {
            tlb_load_pdptes(env, t.cr3);
        }
        tlb_new_cr3(env, false);
    }
    t.eflags &= FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF
                | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID;
    load_registers(env, &t, is32);
    env->s.dr[7] &= ~UINT64_C(0x55);    /* local breakpoints */
    env_update_mode(env);
    if (!load_segments(env, &t, ext)) {
        env_update_mode(env);
        return false;
    }
    env_update_mode(env);

    if (error) {
        void *p = stack_write(env, env->s.gpr[R_RSP] - (is32 ? 4 : 2),
                              is32 ? 4 : 2);

        if (!p) {
            return false;
        }
        store(p, is32 ? 32 : 16, *error);
        mem_written(env, p);
        stack_set(env, env->s.gpr[R_RSP] - (is32 ? 4 : 2));
    }
    if (t.trap) {
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = 1 << 15;         /* BT: after the switch */
        return false;
    }
    return true;
}

bool task_gate(Env *env, uint64_t gate, TaskReason why, unsigned ext,
               uint64_t rip, const uint32_t *error)
{
    uint16_t selector = gate >> 16;

    return task_switch(env, selector, why, ext, rip, error);
}
