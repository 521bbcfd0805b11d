/*
 * Far JMP, CALL and RET; IRET.
 *
 * Spec:   Intel SDM volume 2; volume 3A 5.8.
 * Models: direct transfers, call gates of 16, 32 and 64 bits with stack switch
 *         and parameters, task gates and TSSs, returns to outer levels and to
 *         virtual-8086 mode, in every mode.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/far.h"

#include "accel/tcg/interp/host.h"

/* --- common --------------------------------------------------------------- */

/* The new mode, CS and RIP are set: to the dispatcher. */
static const Insn *far_done(Env *env)
{
    env_update_mode(env);
    return NULL;
}

/* Is `rip` inside the code segment to be loaded? */
static bool rip_ok(Env *env, uint64_t cs, uint64_t rip)
{
    if (long_mode(env) && desc_l(cs)) {
        return mem_canonical(env, rip);
    }
    return rip <= desc_limit(cs);
}

/* What is popped into EIP of compatibility mode is cut before it is checked. */
static uint64_t rip_popped(Env *env, uint64_t cs, uint64_t rip)
{
    return long_mode(env) && desc_l(cs) ? rip : (uint32_t)rip;
}

/* So are 64-bit pointers to it, by Intel's. */
static uint64_t rip_cut(Env *env, uint64_t cs, uint64_t rip)
{
    return host_is_amd() ? rip : rip_popped(env, cs, rip);
}

static bool gp(Env *env, uint16_t selector)
{
    return exc_set(env, EXC_GP, true, selector & 0xfffc);
}

/* A present code segment, not L and D at once; #NP, #GP. */
static bool code_usable(Env *env, uint16_t selector, uint64_t cs)
{
    if (!desc_p(cs)) {
        return exc_set(env, EXC_NP, true, selector & 0xfffc);
    }
    if (long_mode(env) && desc_l(cs) && desc_db(cs)) {
        return gp(env, selector);
    }
    return true;
}

/* Real and virtual-8086 mode. */
static const Insn *far_real(Env *env, const Insn *insn, uint16_t selector,
                            uint64_t rip)
{
    if (rip > env->s.seg[SEG_CS].limit) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    seg_load_real(env, SEG_CS, selector);
    env->s.rip = rip;
    return far_done(env);
}

/* The pointer operand: immediate, or in memory. */
static bool far_pointer(Env *env, const Insn *insn, uint16_t *selector,
                        uint64_t *rip)
{
    unsigned bits = insn->size * 8;
    const char *p;

    if (!(insn->flags & INSN_MEM)) {
        *rip = (uint32_t)insn->imm;
        *selector = (uint64_t)insn->imm >> 32;
        return true;
    }
    p = op_read(env, insn, insn->size + 2);
    if (!p) {
        op_read(env, insn, insn->size);         /* its fault comes first */
        return false;
    }
    *rip = load(p, bits);
    *selector = load(p + insn->size, 16);
    return true;
}

/*
 * The call gate `gate`, read from `d`: its checks, and those of the code
 * segment behind it.  `is_jmp`: no change of level but to conforming code.
 */
static bool call_gate(Env *env, uint16_t selector, const Desc *d, bool is_jmp,
                      uint16_t *cs_selector, Desc *cs, uint64_t *rip)
{
    uint64_t gate = d->lo, high;
    unsigned dpl;

    if (desc_dpl(gate) < env->cpl || desc_dpl(gate) < (selector & 3)) {
        return gp(env, selector);
    }
    if (!desc_p(gate)) {
        return exc_set(env, EXC_NP, true, selector & 0xfffc);
    }
    *cs_selector = gate >> 16;
    *rip = gate & 0xffff;
    if (desc_type(gate) & 8) {
        *rip |= (gate >> 48) << 16;
    }
    if (long_mode(env)) {
        if (!desc_read_high(env, selector, d, EXC_GP, 0, &high)) {
            return false;
        }
        *rip |= high << 32;
    }
    if ((*cs_selector & 0xfffc) == 0) {
        return gp(env, 0);
    }
    if (!desc_read(env, *cs_selector, EXC_GP, 0, cs)) {
        return false;
    }
    dpl = desc_dpl(cs->lo);
    if (!desc_code(cs->lo) || dpl > env->cpl
        || (is_jmp && !desc_conforming(cs->lo) && dpl != env->cpl)) {
        return gp(env, *cs_selector);
    }
    if (long_mode(env) && (!desc_l(cs->lo) || desc_db(cs->lo))) {
        return gp(env, *cs_selector);
    }
    return code_usable(env, *cs_selector, cs->lo);
}

/* Direct far JMP and CALL: the rules for the segment named. */
static bool direct_code(Env *env, uint16_t selector, const Desc *cs)
{
    unsigned dpl = desc_dpl(cs->lo);

    if (desc_conforming(cs->lo) ? dpl > env->cpl
                                : (selector & 3) > env->cpl
                                  || dpl != env->cpl) {
        return gp(env, selector);
    }
    return code_usable(env, selector, cs->lo);
}

/* JMP or CALL to a TSS or task gate. */
static const Insn *to_task(Env *env, const Insn *insn, uint16_t selector,
                           const Desc *d, TaskReason why)
{
    uint64_t next = (uint32_t)insn_next_rip(env, insn);

    if (desc_dpl(d->lo) < env->cpl || desc_dpl(d->lo) < (selector & 3)) {
        return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
    }
    env->s.rip = insn_rip(env, insn);
    if (desc_type(d->lo) == SYS_TASK_GATE) {
        if (!desc_p(d->lo)) {
            return insn_raise_err(env, insn, EXC_NP, selector & 0xfffc);
        }
        task_gate(env, d->lo, why, 0, next, NULL);
    } else {
        task_switch(env, selector, why, 0, next, NULL);
    }
    /* On failure RIP is right for the task that is now running. */
    return far_done(env);
}

/* --- JMP ------------------------------------------------------------------ */

static const Insn *jmp_far(Env *env, const Insn *insn)
{
    uint16_t selector, cs_selector;
    uint64_t rip;
    Desc d, cs;

    if (!far_pointer(env, insn, &selector, &rip)) {
        return insn_fault(env, insn);
    }
    if (real_or_vm86(env)) {
        return far_real(env, insn, selector, rip);
    }
    if ((selector & 0xfffc) == 0) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!desc_read(env, selector, EXC_GP, 0, &d)) {
        return insn_fault(env, insn);
    }
    if (desc_code(d.lo)) {
        cs = d;
        cs_selector = selector;
        if (!direct_code(env, selector, &cs)) {
            return insn_fault(env, insn);
        }
    } else if (desc_s(d.lo)) {
        return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
    } else {
        switch (desc_type(d.lo)) {
        case SYS_CALL16:
            if (long_mode(env)) {
                return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
            }
            /* fall through */
        case SYS_CALL:
            if (!call_gate(env, selector, &d, true, &cs_selector, &cs, &rip)) {
                return insn_fault(env, insn);
            }
            break;
        case SYS_TASK_GATE:
        case SYS_TSS16:
        case SYS_TSS:
            if (!long_mode(env)) {
                return to_task(env, insn, selector, &d, TASK_JMP);
            }
            /* fall through */
        default:
            return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
        }
    }
    rip = rip_cut(env, cs.lo, rip);
    if (!rip_ok(env, cs.lo, rip)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!desc_set_accessed(env, &cs)) {
        return insn_fault(env, insn);
    }
    cs_set(env, cs_selector, cs.lo, env->cpl);
    env->s.rip = rip;
    return far_done(env);
}

/* --- CALL ----------------------------------------------------------------- */

static void present_stack(const Env *env, NewStack *st)
{
    const X86Seg *ss = &env->s.seg[SEG_SS];

    *st = (NewStack) {
        .sp = stack_pointer(env), .base = ss->base, .limit = ss->limit,
        .attr = ss->attr, .is64 = in_code64(env), .present = true,
    };
}

/* The return address on `st`, of the present CS. */
static bool push_return(Env *env, const Insn *insn, NewStack *st,
                        unsigned size)
{
    return new_stack_push(env, st, env->s.seg[SEG_CS].selector, size)
           && new_stack_push(env, st, insn_next_rip(env, insn), size);
}

/* Through a gate to an inner level, legacy modes. */
static const Insn *call_inner(Env *env, const Insn *insn, uint64_t gate,
                              uint16_t cs_selector, Desc *cs, uint64_t rip)
{
    unsigned cpl = desc_dpl(cs->lo), size = desc_type(gate) & 8 ? 4 : 2;
    unsigned n_params = gate >> 32 & 31;
    uint32_t params[31], sp;
    uint16_t ss;
    NewStack st;
    Desc ssd;

    if (!tss_stack(env, cpl, 0, &ss, &sp)) {
        return insn_fault(env, insn);
    }
    if ((ss & 0xfffc) == 0) {
        return insn_raise_err(env, insn, EXC_TS, 0);
    }
    if (!seg_check_ss(env, ss, cpl, EXC_TS, 0, &ssd)) {
        return insn_fault(env, insn);
    }
    if (!rip_ok(env, cs->lo, rip)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    for (unsigned i = 0; i < n_params; i++) {
        const void *p = stack_read(env, env->s.gpr[R_RSP] + i * size, size);

        if (!p) {
            return insn_fault(env, insn);
        }
        params[i] = load(p, size * 8);
    }
    st = (NewStack) {
        .sp = sp, .base = desc_base(ssd.lo), .limit = desc_limit(ssd.lo),
        .attr = desc_attr(ssd.lo), .error = ss & 0xfffc,
    };
    if (!new_stack_push(env, &st, env->s.seg[SEG_SS].selector, size)
        || !new_stack_push(env, &st, env->s.gpr[R_RSP], size)) {
        return insn_fault(env, insn);
    }
    for (unsigned i = n_params; i-- > 0;) {
        if (!new_stack_push(env, &st, params[i], size)) {
            return insn_fault(env, insn);
        }
    }
    if (!push_return(env, insn, &st, size) || !desc_set_accessed(env, cs)
        || !desc_set_accessed(env, &ssd)) {
        return insn_fault(env, insn);
    }
    seg_from_desc(&env->s.seg[SEG_SS], ss, ssd.lo);
    env->s.gpr[R_RSP] = st.attr & SEGA_DB
                            ? (uint32_t)st.sp
                            : (sp & 0xffff0000) | (uint16_t)st.sp;
    cs_set(env, cs_selector, cs->lo, cpl);
    env->s.rip = rip;
    return far_done(env);
}

static const Insn *call_inner64(Env *env, const Insn *insn,
                                uint16_t cs_selector, Desc *cs, uint64_t rip)
{
    unsigned cpl = desc_dpl(cs->lo);
    NewStack st = { .is64 = true };

    if (!tss_stack64(env, cpl, 0, 0, &st.sp)) {
        return insn_fault(env, insn);
    }
    if (!rip_ok(env, cs->lo, rip)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!new_stack_push(env, &st, env->s.seg[SEG_SS].selector, 8)
        || !new_stack_push(env, &st, env->s.gpr[R_RSP], 8)
        || !push_return(env, insn, &st, 8)
        || !desc_set_accessed(env, cs)) {
        return insn_fault(env, insn);
    }
    seg_load_null(env, SEG_SS, cpl);
    env->s.gpr[R_RSP] = st.sp;
    cs_set(env, cs_selector, cs->lo, cpl);
    env->s.rip = rip;
    return far_done(env);
}

static const Insn *call_far(Env *env, const Insn *insn)
{
    uint16_t selector, cs_selector;
    unsigned size = insn->size;
    uint64_t rip;
    NewStack st;
    Desc d, cs;

    if (!far_pointer(env, insn, &selector, &rip)) {
        return insn_fault(env, insn);
    }
    present_stack(env, &st);
    if (real_or_vm86(env)) {
        if (rip > env->s.seg[SEG_CS].limit) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        if (!push_return(env, insn, &st, size)) {
            return insn_fault(env, insn);
        }
        stack_set(env, st.sp);
        return far_real(env, insn, selector, rip);
    }
    if ((selector & 0xfffc) == 0) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!desc_read(env, selector, EXC_GP, 0, &d)) {
        return insn_fault(env, insn);
    }
    if (desc_code(d.lo)) {
        cs = d;
        cs_selector = selector;
        if (!direct_code(env, selector, &cs)) {
            return insn_fault(env, insn);
        }
    } else if (desc_s(d.lo)) {
        return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
    } else {
        switch (desc_type(d.lo)) {
        case SYS_CALL16:
            if (long_mode(env)) {
                return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
            }
            /* fall through */
        case SYS_CALL:
            if (!call_gate(env, selector, &d, false, &cs_selector, &cs,
                           &rip)) {
                return insn_fault(env, insn);
            }
            if (!desc_conforming(cs.lo) && desc_dpl(cs.lo) < env->cpl) {
                return long_mode(env)
                           ? call_inner64(env, insn, cs_selector, &cs, rip)
                           : call_inner(env, insn, d.lo, cs_selector, &cs,
                                        rip);
            }
            size = long_mode(env) ? 8 : desc_type(d.lo) & 8 ? 4 : 2;
            if (size == 8) {
                st.is64 = true;         /* pushed as 64-bit mode does */
                st.sp = env->s.gpr[R_RSP];
            }
            break;
        case SYS_TASK_GATE:
        case SYS_TSS16:
        case SYS_TSS:
            if (!long_mode(env)) {
                return to_task(env, insn, selector, &d, TASK_CALL);
            }
            /* fall through */
        default:
            return insn_raise_err(env, insn, EXC_GP, selector & 0xfffc);
        }
    }
    /* Intel's push as the new code would, and then look where they go. */
    if (!host_is_amd() && long_mode(env)) {
        st.is64 = desc_l(cs.lo);
        st.sp = st.is64 ? env->s.gpr[R_RSP] : st.sp;
    }
    rip = rip_cut(env, cs.lo, rip);
    if (host_is_amd() && !rip_ok(env, cs.lo, rip)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!push_return(env, insn, &st, size)) {
        return insn_fault(env, insn);
    }
    if (!rip_ok(env, cs.lo, rip)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!desc_set_accessed(env, &cs)) {
        return insn_fault(env, insn);
    }
    if (st.is64) {
        env->s.gpr[R_RSP] = st.sp;
    } else {
        stack_set(env, st.sp);
    }
    cs_set(env, cs_selector, cs.lo, env->cpl);
    env->s.rip = rip;
    return far_done(env);
}

/* --- returns -------------------------------------------------------------- */

/* `n` items of `size` bytes from the stack, the top first in `v`; not popped.
 * Intel's read the last one first, which CR2 shows. */
static bool peek(Env *env, unsigned size, unsigned first, unsigned n,
                 uint64_t *v)
{
    for (unsigned k = 0; k < n; k++) {
        unsigned i = host_is_amd() ? k : n - 1 - k;
        /* Of a slot with a selector only that: CS, SS. */
        bool selector = !host_is_amd() && (first + i == 1 || first + i == 4);
        unsigned bytes = selector ? 2 : size;
        const void *p = stack_read(env,
                                   env->s.gpr[R_RSP] + (first + i) * size,
                                   bytes);

        if (!p) {
            return false;
        }
        v[i] = load(p, bytes * 8);
    }
    return true;
}

/* The code segment returned to: RPL becomes the CPL. */
static bool return_code(Env *env, uint16_t selector, Desc *cs)
{
    unsigned rpl = selector & 3;

    if ((selector & 0xfffc) == 0) {
        return gp(env, 0);
    }
    if (!desc_read(env, selector, EXC_GP, 0, cs)) {
        return false;
    }
    if (!desc_code(cs->lo) || rpl < env->cpl
        || (desc_conforming(cs->lo) ? desc_dpl(cs->lo) > rpl
                                    : desc_dpl(cs->lo) != rpl)) {
        return gp(env, selector);
    }
    return code_usable(env, selector, cs->lo);
}

/*
 * The stack segment returned to.  It may be null when the code returned to is
 * 64-bit and not of level 3; *null then.
 */
static bool return_stack(Env *env, uint16_t selector, uint64_t cs,
                         unsigned rpl, Desc *ss, bool *null)
{
    *null = false;
    if ((selector & 0xfffc) == 0) {
        if (!long_mode(env) || !desc_l(cs) || rpl == 3
            || (selector & 3) != rpl) {
            return gp(env, 0);
        }
        *null = true;
        return true;
    }
    return seg_check_ss(env, selector, rpl, EXC_GP, 0, ss)
           && desc_set_accessed(env, ss);
}

static void set_return_stack(Env *env, uint16_t selector, const Desc *ss,
                             bool null, uint64_t cs, uint64_t sp)
{
    if (null) {
        seg_load_null(env, SEG_SS, selector);
    } else {
        seg_from_desc(&env->s.seg[SEG_SS], selector, ss->lo);
    }
    if (long_mode(env) && desc_l(cs)) {
        env->s.gpr[R_RSP] = sp;
    } else if (env->s.seg[SEG_SS].attr & SEGA_DB) {
        env->s.gpr[R_RSP] = (uint32_t)sp;
    } else {
        store(&env->s.gpr[R_RSP], 16, sp);
    }
}

static const Insn *ret_far(Env *env, const Insn *insn)
{
    unsigned size = insn->size, rpl;
    uint64_t v[2], st[2], imm = insn->op == OP_RETF_I ? (uint16_t)insn->imm
                                                       : 0;
    Desc cs, ss;
    bool null;

    if (!peek(env, size, 0, 2, v)) {
        return insn_fault(env, insn);
    }
    if (real_or_vm86(env)) {
        if (v[0] > env->s.seg[SEG_CS].limit) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        stack_set(env, env->s.gpr[R_RSP] + 2 * size + imm);
        return far_real(env, insn, v[1], v[0]);
    }
    if (!return_code(env, v[1], &cs)) {
        return insn_fault(env, insn);
    }
    v[0] = rip_popped(env, cs.lo, v[0]);
    rpl = v[1] & 3;
    if (rpl == env->cpl) {
        if (!rip_ok(env, cs.lo, v[0])) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        if (!desc_set_accessed(env, &cs)) {
            return insn_fault(env, insn);
        }
        stack_set(env, env->s.gpr[R_RSP] + 2 * size + imm);
    } else {
        for (unsigned i = 0; i < 2; i++) {
            const void *p = stack_read(env,
                                       env->s.gpr[R_RSP] + imm
                                           + (2 + i) * size, size);

            if (!p) {
                return insn_fault(env, insn);
            }
            st[i] = load(p, size * 8);
        }
        if (!return_stack(env, st[1], cs.lo, rpl, &ss, &null)) {
            return insn_fault(env, insn);
        }
        if (!rip_ok(env, cs.lo, v[0])) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        if (!desc_set_accessed(env, &cs)) {
            return insn_fault(env, insn);
        }
        set_return_stack(env, st[1], &ss, null, cs.lo, st[0] + imm);
        seg_drop_inner(env, rpl);
    }
    cs_set(env, v[1], cs.lo, rpl);
    env->s.rip = v[0];
    return far_done(env);
}

/* --- IRET ----------------------------------------------------------------- */

/* RFLAGS after IRET with `image` popped at the present CPL. */
static void iret_flags(Env *env, unsigned size, uint64_t image)
{
    uint64_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;
    unsigned iopl = (env->s.rflags & FL_IOPL) >> 12;

    if (env->cpl == 0 || (env->mode & DM_REAL)) {
        mask |= FL_IOPL | FL_IF;
    } else if (env->cpl <= iopl) {
        mask |= FL_IF;
    }
    if (size != 2) {
        mask |= FL_RF | FL_AC | FL_ID;
        if (env->cpl == 0 && !(env->mode & (DM_REAL | DM_VM86))) {
            mask |= FL_VIF | FL_VIP;
        }
    }
    env_set_rflags(env, (env_get_rflags(env) & ~mask) | (image & mask));
    if (size == 2) {
        env->s.rflags &= ~(uint64_t)FL_RF;
    }
}

static const Insn *iret_real(Env *env, const Insn *insn)
{
    unsigned size = insn->size;
    uint64_t v[3];

    if (!peek(env, size, 0, 3, v)) {
        return insn_fault(env, insn);
    }
    if (v[0] > env->s.seg[SEG_CS].limit) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    stack_set(env, env->s.gpr[R_RSP] + 3 * size);
    seg_load_real(env, SEG_CS, v[1]);
    env->s.rip = v[0];
    iret_flags(env, size, v[2]);
    return far_done(env);
}

static const Insn *iret_vm86(Env *env, const Insn *insn)
{
    uint64_t v[3], fl;

    if ((env->s.rflags & FL_IOPL) == FL_IOPL) {
        return iret_real(env, insn);
    }
    if (!(env->s.cr4 & CR4_VME) || insn->size != 2) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!peek(env, 2, 0, 3, v)) {
        return insn_fault(env, insn);
    }
    fl = v[2];
    if ((fl & FL_TF) || ((fl & FL_IF) && (env->s.rflags & FL_VIP))
        || v[0] > env->s.seg[SEG_CS].limit) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    stack_set(env, env->s.gpr[R_RSP] + 6);
    seg_load_real(env, SEG_CS, v[1]);
    env->s.rip = v[0];
    /* IF of the image is VIF; IOPL and IF stay. */
    iret_flags(env, 2, fl);
    env->s.rflags = (env->s.rflags & ~(uint64_t)FL_VIF)
                    | (fl & FL_IF ? FL_VIF : 0);
    return far_done(env);
}

/* To virtual-8086 mode: nine words, no descriptors. */
static const Insn *iret_to_vm86(Env *env, const Insn *insn, const uint64_t *v)
{
    static const uint8_t order[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    uint64_t w[6];

    if (!peek(env, 4, 3, 6, w)) {
        return insn_fault(env, insn);
    }
    if ((v[0] & 0xffffffff) > 0xffff) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env_set_rflags(env, (v[2] & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL
                                 | FL_NT | FL_RF | FL_AC | FL_VIF | FL_VIP
                                 | FL_ID)) | FL_VM);
    seg_load_real(env, SEG_CS, v[1]);
    seg_load_real(env, SEG_SS, w[1]);
    for (unsigned i = 0; i < 4; i++) {
        seg_load_real(env, order[i], w[2 + i]);
    }
    env->s.gpr[R_RSP] = (uint32_t)w[0];
    env->s.rip = v[0] & 0xffff;
    return far_done(env);
}

/* Back to the task that called this one. */
static const Insn *iret_task(Env *env, const Insn *insn)
{
    uint16_t link;

    if (!mem_sys_read(env, env->s.tr.base, &link, 2)) {
        return insn_fault(env, insn);
    }
    env->s.rip = insn_rip(env, insn);
    if (link & 4) {
        return insn_raise_err(env, insn, EXC_TS, link & 0xfffc);
    }
    task_switch(env, link, TASK_IRET, 0,
                (uint32_t)insn_next_rip(env, insn), NULL);
    return far_done(env);
}

static const Insn *iret_protected(Env *env, const Insn *insn)
{
    unsigned size = insn->size, rpl, cpl = env->cpl;
    bool from64 = in_code64(env), null = false, outer;
    uint64_t v[3], st[2];
    Desc cs, ss;

    if (env->s.rflags & FL_NT) {
        return long_mode(env) ? insn_raise_err(env, insn, EXC_GP, 0)
                              : iret_task(env, insn);
    }
    if (!peek(env, size, 0, 3, v)) {
        return insn_fault(env, insn);
    }
    if (size == 4 && (v[2] & FL_VM) && cpl == 0 && !long_mode(env)) {
        return iret_to_vm86(env, insn, v);
    }
    if (!return_code(env, v[1], &cs)) {
        return insn_fault(env, insn);
    }
    v[0] = rip_popped(env, cs.lo, v[0]);
    rpl = v[1] & 3;
    outer = rpl > cpl;
    if (outer || from64) {
        if (!peek(env, size, 3, 2, st)
            || !return_stack(env, st[1], cs.lo, rpl, &ss, &null)) {
            return insn_fault(env, insn);
        }
    }
    if (!rip_ok(env, cs.lo, v[0])) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!desc_set_accessed(env, &cs)) {
        return insn_fault(env, insn);
    }
    if (outer || from64) {
        set_return_stack(env, st[1], &ss, null, cs.lo, st[0]);
    } else {
        stack_set(env, env->s.gpr[R_RSP] + 3 * size);
    }
    cs_set(env, v[1], cs.lo, rpl);
    env->s.rip = v[0];
    iret_flags(env, size, v[2]);        /* by the old CPL */
    if (outer) {
        seg_drop_inner(env, rpl);
    }
    env_update_mode(env);
    return insn_jump_far(env, insn);
}

/* NMIs are let in again even when it faults. */
static const Insn *iret(Env *env, const Insn *insn)
{
    env_serialize();
    if (env->s.nmi_blocked) {
        cpu_merge_nmis(env->cpu);
        env->s.nmi_blocked = false;
    }
    if (env->mode & DM_REAL) {
        return iret_real(env, insn);
    } else if (env->mode & DM_VM86) {
        return iret_vm86(env, insn);
    } else {
        return iret_protected(env, insn);
    }
}

const HandlerRow interp_far[] = {
    { OP_JMPF_I, ALL(jmp_far), {}, {} },
    { OP_JMPF_M, {}, ALL(jmp_far), {} },
    { OP_CALLF_I, ALL(call_far), {}, {} },
    { OP_CALLF_M, {}, ALL(call_far), {} },
    { OP_RETF, ALL(ret_far), {}, {} },
    { OP_RETF_I, ALL(ret_far), {}, {} },
    { OP_IRET, ALL(iret), {}, {} },
    {}
};
