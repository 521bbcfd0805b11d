/*
 * RDTSC and RDTSCP: the guest's TSC from the host's, along the vCPU's copy of a
 * piece of the line that it follows (cpu/tsc.h).
 *
 * Spec: Intel SDM volume 2, RDTSC, RDTSCP; volume 3B 17.17.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

#include "loop/timer.h"

void jit_clock_check(Env *env)
{
    TscPiece *p = &jit_cpu(env)->tsc;

    if (p->epoch != clock_epoch()) {
        p->span = 0;
    }
}

const Insn *jit_run_rdtsc(Env *env, const Insn *insn)
{
    jit_cpu(env)->tsc = cpu_tsc_piece();
    return interp_handler(insn)(env, insn);
}

/* Guest EDX:EAX = RAX. */
static void set_pair(Ctx *c)
{
    Emit *e = &c->e;

    e_mov(e, 4, jit_host_reg[R_RAX], H_AX);
    e_rr(e, 8, 0xc1, 5, H_AX);                      /* shr rax, 32 */
    e8(e, 32);
    e_mov(e, 4, jit_host_reg[R_RDX], H_AX);
}

bool t_clock(Ctx *c)
{
    Emit *e = &c->e;
    bool p = c->insn->op == OP_RDTSCP;

    if ((c->insn->op != OP_RDTSC && !p) || t_crosses(c->b, c->i)) {
        return false;
    }
    c->jc->fns[c->i] = jit_run_rdtsc;
    t_clobber(c);
    e_gs(e, 4, 0xf7, 0, OFF(s.cr4));                /* test dword, imm32 */
    e32(e, CR4_TSD);
    t_jcc_slow(c, 5);
    if (p) {                                        /* lfence */
        e8(e, 0x0f);
        e8(e, 0xae);
        e8(e, 0xe8);
    }
    e8(e, 0x0f);                                    /* rdtsc */
    e8(e, 0x31);
    e_rr(e, 8, 0xc1, 4, H_DX);                      /* shl rdx, 32 */
    e8(e, 32);
    e_rr(e, 8, 0x09, H_DX, H_AX);
    e_gs(e, 8, 0x2b, H_AX, JOFF(tsc.base));
    e_gs(e, 8, 0x3b, H_AX, JOFF(tsc.span));
    t_jcc_slow(c, 3);                               /* not below */
    e_gs(e, 8, 0x0faf, H_AX, JOFF(tsc.mult));
    e_rr(e, 8, 0xc1, 5, H_AX);
    e8(e, 32);
    e_gs(e, 8, 0x03, H_AX, JOFF(tsc.ticks));
    e_gs(e, 8, 0x03, H_AX, OFF(s.tsc_offset));
    set_pair(c);
    if (p) {
        e_gs(e, 4, 0x8b, jit_host_reg[R_RCX], OFF(s.tsc_aux));
    }
    return true;
}
