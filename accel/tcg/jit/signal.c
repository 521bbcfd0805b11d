/*
 * Signals that compiled code raises: SIGFPE of an unmasked floating-point
 * exception, SIGSEGV of an access through an empty slot.  The handler only
 * redirects to the way out; the interpreter then runs the instruction.
 *
 * Locks: the cache mutex, for the map of code to instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include <signal.h>
#include <ucontext.h>

#include "accel/tcg/interp/fpu.h"

static const JitEdge at_fault = { .kind = EXIT_FAULT };

/*
 * Code has done an unmasked floating-point exception, or an access through an
 * empty slot: it leaves at once, with all registers as they are.
 */
static bool signal_in_code(ucontext_t *uc)
{
    greg_t *r = uc->uc_mcontext.gregs;
    uint8_t *rip = (uint8_t *)r[REG_RIP];
    Env *env;

    if (rip < jit_space.rx || rip >= jit_space.rx + jit_space.size) {
        return false;
    }
    asm volatile("mov %%gs:%c1, %0"
                 : "=r"(env) : "i"(offsetof(Env, jit_self)));
    env->jit_fault_code = rip;
    env->jit_fault_flags = r[REG_EFL];
    r[REG_RAX] = (greg_t)&at_fault;
    r[REG_RIP] = (greg_t)(jit_space.rx + (jit_space.leave - jit_space.rw));
    return true;
}

static struct sigaction other_segv;

static void on_segv(int sig, siginfo_t *info, void *opaque)
{
    if (jit_slots_guard(info->si_addr) && signal_in_code(opaque)) {
        return;
    }
    /* A bug: as if we were not here. */
    if (other_segv.sa_flags & SA_SIGINFO) {
        other_segv.sa_sigaction(sig, info, opaque);
    } else {
        sigaction(SIGSEGV, &other_segv, NULL);
    }
}

void jit_signals_init(void)
{
    struct sigaction sa = {
        .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK,
    };

    fp_other_code = signal_in_code;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGSEGV, &sa, &other_segv);
}

void jit_signals_let(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Homes of registers that turns.c has used for something else. */
static void give_back(Env *env, unsigned borrowed, unsigned guests)
{
    for (; borrowed; borrowed &= borrowed - 1) {
        unsigned r = __builtin_ctz(borrowed);

        if (guests) {
            env->s.gpr[__builtin_ctz(guests)] = env->s.gpr[r];
            guests &= guests - 1;
        }
        env->s.gpr[r] = jit_cpu(env)->borrowed[r];
    }
}

void jit_fault_edge(Env *env, JitEdge *to)
{
    const uint8_t *at = jit_space.rw + (env->jit_fault_code - jit_space.rx);
    const JitFpMap *m;
    unsigned i = 0;

    cache_lock();
    for (m = jit_fp_maps; m; m = m->next) {
        if (at >= m->start && at < m->start + m->site[m->n - 1].end) {
            break;
        }
    }
    cache_unlock();
    g_assert(m);
    while (at >= m->start + m->site[i].end) {
        i++;
    }
    give_back(env, m->site[i].borrowed, m->site[i].guests);
    if (m->site[i].flags_live) {
        const JitReplay *q = &m->site[i].replay;

        env->cc_raw = q->op ? jit_replay(env, q)
                            : jit_raw_flags(env->jit_fault_flags);
    }
    env->s.gpr[R_RSP] += m->site[i].sp_off;
    *to = (JitEdge) { .kind = EXIT_INTERP, .block = m->block,
                      .insn = m->site[i].insn };
    if (to->insn) {             /* x87.c may have saved this note */
        const Insn *last = &m->block->insns[to->insn - 1];

        if (last->op >= OP_FADD_ST0_M32 && last->op < OP_FNOP) {
            env->s.fop = last->imm & 0x7ff;
            env->s.fip = env->rip_base + last->off;
            env->s.fcs = env->s.seg[SEG_CS].selector;
        }
    }
}
