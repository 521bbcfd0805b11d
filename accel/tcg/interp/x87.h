/*
 * The x87 stack, its status, and running one host x87 instruction.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_X87_H
#define TCG_INTERP_X87_H

#include "accel/tcg/interp/fpu.h"

enum { FCW_MASKS = 0x3f, FCW_DEFAULT = 0x37f,
       FSW_PRE = MX_IE | MX_DE | MX_ZE };

/* --- the stack ------------------------------------------------------------ */

static inline unsigned x87_top(const Env *env)
{
    return env->s.fsw >> 11 & 7;
}

static inline void x87_set_top(Env *env, unsigned top)
{
    env->s.fsw = (env->s.fsw & ~FSW_TOP) | (top & 7) << 11;
}

/* Physical number of ST(i). */
static inline unsigned x87_phys(const Env *env, unsigned i)
{
    return (x87_top(env) + i) & 7;
}

static inline X86Fp *x87_st(Env *env, unsigned i)
{
    return &env->s.fpr[x87_phys(env, i)];
}

static inline bool x87_empty(const Env *env, unsigned i)
{
    return !(env->s.ftw >> x87_phys(env, i) & 1);
}

static inline void x87_mark_valid(Env *env, unsigned i)
{
    env->s.ftw |= 1 << x87_phys(env, i);
}

static inline void x87_pop(Env *env)
{
    env->s.ftw &= ~(1 << x87_top(env));
    x87_set_top(env, x87_top(env) + 1);
}

/* Make a new ST(0) and return it; its content is up to the caller. */
static inline X86Fp *x87_push(Env *env)
{
    x87_set_top(env, x87_top(env) - 1);
    x87_mark_valid(env, 0);
    return x87_st(env, 0);
}

static inline void x87_indefinite(X86Fp *r)
{
    r->mant = UINT64_C(0xc000000000000000);
    r->exp_sign = 0xffff;
}

static inline bool x87_is_nan(const X86Fp *r)
{
    return (r->exp_sign & 0x7fff) == 0x7fff && r->mant << 1;
}

/* --- status --------------------------------------------------------------- */

/* ES and B follow from flags and masks. */
static inline void x87_update_es(Env *env)
{
    env->s.fsw &= ~(FSW_ES | FSW_B);
    if (env->s.fsw & ~env->s.fcw & FCW_MASKS) {
        env->s.fsw |= FSW_ES | FSW_B;
    }
}

/* Stack fault.  True: masked, go on with the indefinite value. */
static inline bool x87_stack_fault(Env *env, bool overflow)
{
    env->s.fsw = (env->s.fsw & ~FSW_C1) | MX_IE | FSW_SF
                 | (overflow ? FSW_C1 : 0);
    x87_update_es(env);
    return env->s.fcw & MX_IE;
}

/*
 * Take over the host's status word after an instruction: the exceptions, and
 * the condition codes in `cc`.  False: an unmasked exception found before
 * computing; no result is delivered, nothing is popped or pushed.
 */
static inline bool x87_merge(Env *env, unsigned sw, unsigned cc)
{
    env->s.fsw = (env->s.fsw & ~cc)
                 | (sw & (FCW_MASKS | FSW_ES | FSW_B | cc));
    return likely(!(sw & FSW_ES)) || !(sw & ~env->s.fcw & FSW_PRE);
}

/* Set the words, with what follows from them; x87-env.c. */
void x87_set_fcw(Env *env, uint16_t fcw);
void x87_set_fsw(Env *env, uint16_t fsw);
void x87_init(Env *env);        /* FNINIT */

/* An instruction that is not a control instruction leaves its address... */
static inline void x87_note(Env *env, const Insn *insn)
{
    env->s.fop = insn->imm & 0x7ff;
    env->s.fip = insn_rip(env, insn);
    env->s.fcs = env->s.seg[SEG_CS].selector;
}

/* ...and that of its memory operand. */
static inline void x87_note_mem(Env *env, const Insn *insn)
{
    x87_note(env, insn);
    env->s.fdp = insn_offset(env, insn);
    env->s.fds = env->s.seg[insn->seg].selector;
}

#if HOST_UNITS
/* --- running on the host ------------------------------------------------------
 *
 * An instruction runs with the guest's control word on an otherwise empty host
 * stack:
 *
 *      x87_begin(env);
 *      asm volatile("fldt …; fldcw %cw; insn; fnstsw %ax" : "=a"(sw) …);
 *      x87_end(sw);
 *      asm volatile("fstpt …");
 *
 * The host delivers results with the guest's masks; what is unmasked would trap
 * at the next waiting instruction, and x87_end() removes that.  Nothing else in
 * a vCPU's thread uses x87: no `long double` in code of ours.
 *
 * Flags that earlier instructions left on the host do no harm if the guest has
 * them too; clearing them, or even asking for them, is slow.
 */
extern __thread unsigned x87_left       /* flags set on the host, at most */
    __attribute__((tls_model("local-exec")));

static inline void x87_begin(const Env *env)
{
    if (unlikely((x87_left & ~env->s.fsw) | (~env->s.fcw & FCW_MASKS))) {
        asm volatile("fnclex");
        x87_left = 0;
    }
}

static inline void x87_end(unsigned sw)
{
    static const uint16_t fcw = FCW_DEFAULT;

    x87_left |= sw & FCW_MASKS;
    if (unlikely(sw & FSW_ES)) {
        asm volatile("fnclex");
        x87_left = 0;
    }
    asm volatile("fldcw %0" : : "m"(fcw));
}

/* How many registers are in use on the host: tells whether the instruction
 * delivered what it pushes or pops. */
#define HOST_DEPTH(sw) (-((sw) >> 11) & 7)
#endif

#endif
