/*
 * Events between instructions: exceptions, traps, interrupts.
 *
 * Spec: Intel SDM volume 3A 6.9 (priority among events), 6.8.3 (shadows of STI
 *       and MOV SS), 17.3 (single step).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/events.h"

#include "base/log.h"
#include "cpu/lapic.h"

enum {
    DR6_BD = 1 << 13,
    DR6_BS = 1 << 14,
    MCG_STATUS_MCIP = 1 << 2,
};
#define INTERRUPTS ((uint32_t)(CPU_PEND_APIC | CPU_PEND_EXTINT))

static void log_exception(const Env *env)
{
    log_write("exception 0x%02x error %04x soft %u cpl %u "
              "ip %04x:%016" PRIx64 " sp %04x:%016" PRIx64 " cr2 %016" PRIx64
              "\n",
              env->exc_vector, env->exc_has_error ? env->exc_error : 0,
              env->exc_soft, env->cpl, env->s.seg[SEG_CS].selector,
              env->s.rip, env->s.seg[SEG_SS].selector, env->s.gpr[R_RSP],
              env->exc_vector == EXC_PF ? env->exc_cr2 : env->s.cr2);
}

static bool operand_canonical(Env *env, const Insn *insn)
{
    uint64_t gva = insn_offset(env, insn);

    if (insn->ea & EA_SEG) {
        gva += env->s.seg[insn->seg].base;
    }
    return mmu_canonical(env, gva) && mmu_canonical(env, gva + insn->size - 1);
}

/* A non-canonical address in the stack segment is #SS, not #GP: only the
 * instruction tells which segment it was. */
static void settle_canonical(Env *env)
{
    const Block *b = env->block;
    uint64_t off = env->s.rip - env->rip_base;

    env->exc_canonical = false;
    if (env->exc_vector != EXC_GP || !b) {
        return;
    }
    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *insn = &b->insns[i];

        if (insn->off != off) {
            continue;
        }
        switch (insn->op) {
        case OP_PUSH_RM: case OP_CALL_RM: case OP_CALLF_M:
            /* Either the operand, which is read first, or the stack. */
            if (insn->flags & INSN_MEM && insn->seg != SEG_SS
                && !operand_canonical(env, insn)) {
                return;
            }
            env->exc_vector = EXC_SS;
            return;
        case OP_POP_RM:
            if (insn->flags & INSN_MEM && insn->seg != SEG_SS
                && mmu_canonical(env, env->s.gpr[R_RSP])) {
                return;
            }
            /* fall through */
        case OP_PUSH_I: case OP_PUSH_SEG: case OP_PUSHF: case OP_POP_SEG:
        case OP_POPF: case OP_ENTER: case OP_LEAVE: case OP_CALL_I:
        case OP_RET: case OP_RET_I: case OP_RETF: case OP_RETF_I:
        case OP_IRET:
            env->exc_vector = EXC_SS;
            return;
        }
        if (insn->flags & INSN_MEM && insn->seg == SEG_SS) {
            env->exc_vector = EXC_SS;
        }
        return;
    }
}

bool event_deliver(Env *env)
{
    if (env->exc_canonical) {
        settle_canonical(env);
    }
    if (unlikely(log_mask & LOG_INT)
        || (unlikely(log_mask & LOG_MMU) && env->exc_vector == EXC_PF
            && env->exc_soft == EXC_SOFT_NONE)) {
        log_exception(env);
    }
    env->s.interrupt_shadow = 0;
    if (!env_deliver_exception(env)) {
        return false;
    }
    if (unlikely(env->watch_hit)) {
        /* Held back by MOV SS before INT n, or the frame was watched: before
         * the handler's first instruction.  Once: a watched stack of #DB
         * itself would go on for ever. */
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = env->watch_hit;
        if (!env_deliver_exception(env)) {
            return false;
        }
        env->watch_hit = 0;
    }
    env->exc_vector = -1;
    env_update_mode(env);
    return true;
}

/* INIT and SIPI change the state from outside. */
static void do_init_sipi(Env *env)
{
    env->s.rflags = env_get_rflags(env);
    cpu_do_init_sipi(env->cpu);
    env_set_rflags(env, env->s.rflags);
    env->exc_vector = -1;
    tlb_flush(env, true);
    env_update_mode(env);
}

/* EVENT_LEAVE: triple fault. */
static EventStep take_interrupt(Env *env)
{
    X86Cpu *cpu = env->cpu;
    X86State *s = &env->s;
    int vector;

    if (!(s->rflags & FL_IF)) {
        /* Setting IF goes through here again; until then do not stop for
         * what cannot be taken. */
        env->poll_mask &= ~INTERRUPTS;
        return EVENT_GO_ON;
    }
    if (s->interrupt_shadow) {
        return EVENT_GO_ON;
    }
    if (!cpu_has_interrupt(cpu)) {
        /* Masked by priority or at LINT0.  The APIC sets its bit again when
         * that changes; clear it before the last look, or that is lost. */
        cpu_clear_pending(cpu, CPU_PEND_APIC);
        env->poll_mask &= ~(uint32_t)CPU_PEND_EXTINT;
        if (lapic_pending_vector(cpu->apic) >= 0) {
            cpu_interrupt(cpu, CPU_PEND_APIC);
        }
        return EVENT_GO_ON;
    }
    vector = cpu_take_interrupt(cpu);
    if (vector < 0) {
        return EVENT_AGAIN;
    }
    s->halted = false;
    log_debug(LOG_INT, "interrupt 0x%02x ip %016" PRIx64 "\n", vector,
              s->rip);
    if (!env_deliver_interrupt(env, vector)) {
        return EVENT_LEAVE;
    }
    env_update_mode(env);
    return EVENT_AGAIN;
}

EventStep event_pending(Env *env, CpuRun *run)
{
    TcgCpu *t = env->tcg;
    X86Cpu *cpu = env->cpu;
    X86State *s = &env->s;
    uint32_t pending = cpu_pending(cpu);

    env->poll_mask = UINT32_MAX;
    if (pending & CPU_PEND_TLB) {
        cpu_clear_pending(cpu, CPU_PEND_TLB);
        tcg_safe_point(t, false);
        mmu_follow_map(env);
    }
    if (pending & (CPU_PEND_EXIT | CPU_PEND_WORK)) {
        *run = CPU_RUN_EXIT;
        return EVENT_LEAVE;
    }
    if (s->smm) {
        /* INIT, like another SMI, waits for RSM. */
        env->poll_mask &= ~(uint32_t)(CPU_PEND_SMI | CPU_PEND_INIT);
        pending &= env->poll_mask;
    }
    if (pending & (CPU_PEND_INIT | CPU_PEND_SIPI)) {
        do_init_sipi(env);
        return EVENT_AGAIN;
    }
    if (s->wait_sipi) {
        *run = CPU_RUN_HALT;
        return EVENT_LEAVE;
    }
    if (pending & CPU_PEND_MCE) {
        cpu_clear_pending(cpu, CPU_PEND_MCE);
        s->halted = false;
        if (!(s->cr4 & CR4_MCE) || s->mcg_status & MCG_STATUS_MCIP) {
            *run = CPU_RUN_TRIPLE_FAULT;
            return EVENT_LEAVE;
        }
        s->mcg_status = s->mcg_pending | MCG_STATUS_MCIP;
        exc_set(env, EXC_MC, false, 0);
        return EVENT_AGAIN;
    }
    if (pending & CPU_PEND_SMI && !s->interrupt_shadow) {
        cpu_clear_pending(cpu, CPU_PEND_SMI);
        if (machine()->smm) {
            smm_enter(env);
        }
        return EVENT_AGAIN;
    }
    if (pending & CPU_PEND_NMI) {
        if (!s->nmi_blocked && !s->interrupt_shadow) {
            if (cpu_take_nmi(cpu)) {
                s->halted = false;
                s->nmi_blocked = true;
                exc_set(env, EXC_NMI, false, 0);
            }
            return EVENT_AGAIN;
        }
        if (s->nmi_blocked) {
            env->poll_mask &= ~(uint32_t)CPU_PEND_NMI;
        }
    }
    if (pending & INTERRUPTS) {
        switch (take_interrupt(env)) {
        case EVENT_GO_ON:
            break;
        case EVENT_AGAIN:
            return EVENT_AGAIN;
        case EVENT_LEAVE:
            *run = CPU_RUN_TRIPLE_FAULT;
            return EVENT_LEAVE;
        }
    }
    if (s->halted) {
        *run = CPU_RUN_HALT;
        return EVENT_LEAVE;
    }
    return EVENT_GO_ON;
}

void event_traps(Env *env, uint64_t rflags)
{
    uint64_t dr6 = env->watch_hit;

    if (env->s.interrupt_shadow == 2) {
        return;                 /* MOV SS: after the next instruction */
    }
    if (rflags & FL_TF && !env->no_step) {
        dr6 |= DR6_BS;
    }
    env->no_step = false;
    if (env->exc_vector >= 0 && env->exc_soft != EXC_SOFT_NONE
        && env->exc_soft != EXC_SOFT_ICEBP) {
        /* What MOV SS held back is due once the interrupt that this
         * instruction makes has been delivered. */
        return;
    }
    if (env->exc_vector == EXC_DB && env->exc_soft == EXC_SOFT_NONE
        && !(env->exc_dr6 & DR6_BD)) {
        env->exc_dr6 |= dr6;    /* an I/O breakpoint as well */
    } else if (env->exc_vector < 0 && dr6) {
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = dr6;
    }
    env->watch_hit = 0;
}

bool event_breakpoint(Env *env)
{
    const TcgCpu *t = env->tcg;
    uint64_t gva = env->s.rip, dr6 = 0;

    if (!(env->mode & DM_CODE64)) {
        gva = (uint32_t)(gva + env->s.seg[SEG_CS].base);
    }
    for (unsigned i = 0; i < t->n_exec; i++) {
        if (gva >= t->exec[i].first && gva <= t->exec[i].last) {
            dr6 |= t->exec[i].dr6;
        }
    }
    if (!dr6) {
        return false;
    }
    exc_set(env, EXC_DB, false, 0);
    env->exc_dr6 = dr6;
    return true;
}
