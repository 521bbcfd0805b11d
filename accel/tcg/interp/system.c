/*
 * Fast system calls, software interrupts, the interrupt flag, HLT and what
 * else concerns the whole processor.
 *
 * Spec:   Intel SDM volume 2; AMD APM volume 3 for SYSCALL outside 64-bit mode.
 * Models: SYSCALL and SYSRET in legacy and compatibility mode exist on AMD
 *         processors only, SYSENTER in long mode on Intel's (here on all).
 *         MWAIT waits for the line, an event, or about a millisecond.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/segment.h"
#include "accel/tcg/tcg.h"

#include <sched.h>

#include "cpu/features.h"
#include "loop/timer.h"

/* --- SYSCALL and its kin -------------------------------------------------- */

enum { FLAT_CODE = SEGA_G | SEGA_P | SEGA_S | SEGA_CODE | SEGA_R | SEGA_A,
       FLAT_DATA = SEGA_G | SEGA_P | SEGA_S | SEGA_DB | SEGA_W | SEGA_A };

/* CS and SS as these instructions make them, without reading descriptors. */
static void set_flat(Env *env, uint16_t cs, uint16_t ss, unsigned cpl,
                     bool is64)
{
    env->s.seg[SEG_CS] = (X86Seg) {
        .selector = cs, .limit = UINT32_MAX,
        .attr = FLAT_CODE | cpl << SEGA_DPL_SHIFT
                | (is64 ? SEGA_L : SEGA_DB),
    };
    env->s.seg[SEG_SS] = (X86Seg) {
        .selector = ss, .limit = UINT32_MAX,
        .attr = FLAT_DATA | cpl << SEGA_DPL_SHIFT,
    };
    env_update_mode(env);
}

bool env_is_amd(const Env *env)
{
    uint32_t r[4];

    cpu_cpuid(env->cpu, 0, 0, r);
    return r[1] != 0x756e6547;          /* not "Genu"ineIntel */
}

static const Insn *do_syscall(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint16_t cs = (s->star >> 32) & 0xfffc;
    uint64_t next = insn_next_rip(env, insn);
    bool stepped = s->rflags & FL_TF;

    if (!(s->efer & EFER_SCE) || (env->mode & DM_REAL)
        || (!in_code64(env) && !env_is_amd(env))) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (s->efer & EFER_LMA) {
        bool from64 = in_code64(env);

        s->gpr[R_RCX] = from64 ? next : (uint32_t)next;
        s->gpr[R_R11] = env_get_rflags(env) & ~(uint64_t)FL_RF;
        env_set_rflags(env, s->gpr[R_R11] & ~s->sfmask);
        set_flat(env, cs, cs + 8, 0, true);
        s->rip = from64 ? s->lstar : s->cstar;
    } else {
        s->gpr[R_RCX] = (uint32_t)next;
        s->rflags &= ~(uint64_t)(FL_IF | FL_VM | FL_RF);
        set_flat(env, cs, cs + 8, 0, false);
        s->rip = (uint32_t)s->star;
    }
    /* TF counts as it is afterwards. */
    env->no_step = stepped && !(s->rflags & FL_TF);
    return insn_jump_far(env, insn);
}

static const Insn *sysret(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint16_t cs = s->star >> 48;

    if (!(s->efer & EFER_SCE) || (env->mode & DM_REAL)
        || (!in_code64(env) && !env_is_amd(env))) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (env->cpl || (env->mode & DM_VM86)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (s->efer & EFER_LMA) {
        if (insn->size == 8 && !mem_canonical(env, s->gpr[R_RCX])) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        env_set_rflags(env, s->gpr[R_R11] & 0x3c7fd7);
        if (insn->size == 8) {
            set_flat(env, (cs + 16) | 3, (cs + 8) | 3, 3, true);
            s->rip = s->gpr[R_RCX];
        } else {
            set_flat(env, cs | 3, (cs + 8) | 3, 3, false);
            s->rip = (uint32_t)s->gpr[R_RCX];
        }
    } else {
        s->rflags |= FL_IF;
        set_flat(env, cs | 3, (cs + 8) | 3, 3, false);
        s->rip = (uint32_t)s->gpr[R_RCX];
    }
    if (s->rflags & FL_TF) {
        /* As if SYSCALL had just been executed. */
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = 1 << 14;
        return NULL;
    }
    return insn_jump_far(env, insn);
}

static const Insn *sysenter(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint16_t cs = s->sysenter_cs & 0xfffc;
    bool is64 = s->efer & EFER_LMA;

    if ((env->mode & DM_REAL) || cs == 0) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    s->rflags &= ~(uint64_t)(FL_VM | FL_IF | FL_RF);
    set_flat(env, cs, cs + 8, 0, is64);
    s->gpr[R_RSP] = is64 ? s->sysenter_esp : (uint32_t)s->sysenter_esp;
    s->rip = is64 ? s->sysenter_eip : (uint32_t)s->sysenter_eip;
    return insn_jump_far(env, insn);
}

static const Insn *sysexit(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint16_t cs = s->sysenter_cs & 0xfffc;
    bool is64 = insn->size == 8;

    if ((env->mode & (DM_REAL | DM_VM86)) || cs == 0 || env->cpl
        || (is64 && (!mem_canonical(env, s->gpr[R_RCX])
                     || !mem_canonical(env, s->gpr[R_RDX])))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (is64) {
        set_flat(env, (cs + 32) | 3, (cs + 40) | 3, 3, true);
        s->gpr[R_RSP] = s->gpr[R_RCX];
        s->rip = s->gpr[R_RDX];
    } else {
        set_flat(env, (cs + 16) | 3, (cs + 24) | 3, 3, false);
        s->gpr[R_RSP] = (uint32_t)s->gpr[R_RCX];
        s->rip = (uint32_t)s->gpr[R_RDX];
    }
    return insn_jump_far(env, insn);
}

static const Insn *swapgs(Env *env, const Insn *insn)
{
    uint64_t base = env->s.seg[SEG_GS].base;

    if (!in_code64(env)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.seg[SEG_GS].base = env->s.kernel_gs_base;
    env->s.kernel_gs_base = base;
    NEXT(env, insn);
}

TEMPLATE const Insn *rd_base(Env *env, const Insn *insn, unsigned bits,
                             unsigned seg)
{
    if (!in_code64(env) || !(env->s.cr4 & CR4_FSGSBASE)) {
        return insn_raise(env, insn, EXC_UD);
    }
    reg_set(env, insn->rm, bits, env->s.seg[seg].base);
    NEXT(env, insn);
}

TEMPLATE const Insn *wr_base(Env *env, const Insn *insn, unsigned bits,
                             unsigned seg)
{
    uint64_t v = reg_get(env, insn->rm, bits);

    if (!in_code64(env) || !(env->s.cr4 & CR4_FSGSBASE)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (!env_base_canonical(env, v)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.seg[seg].base = v;
    NEXT(env, insn);
}

DEFINE_REG_WIDE(rdfsbase, rd_base, SEG_FS)
DEFINE_REG_WIDE(rdgsbase, rd_base, SEG_GS)
DEFINE_REG_WIDE(wrfsbase, wr_base, SEG_FS)
DEFINE_REG_WIDE(wrgsbase, wr_base, SEG_GS)

/* --- software interrupts -------------------------------------------------- */

static const Insn *soft_interrupt(Env *env, const Insn *insn, int vector,
                                  uint8_t how)
{
    insn_raise(env, insn, vector);
    env->exc_soft = how;
    env->exc_soft_len = insn->len;
    return NULL;
}

static const Insn *int_i(Env *env, const Insn *insn)
{
    return soft_interrupt(env, insn, (uint8_t)insn->imm, EXC_SOFT_INT);
}
static const Insn *int3(Env *env, const Insn *insn)
{
    return soft_interrupt(env, insn, EXC_BP, EXC_SOFT_INT3);
}
static const Insn *int1(Env *env, const Insn *insn)
{
    return soft_interrupt(env, insn, EXC_DB, EXC_SOFT_ICEBP);
}
static const Insn *into(Env *env, const Insn *insn)
{
    if (cc_of(env)) {
        return soft_interrupt(env, insn, EXC_OF, EXC_SOFT_INTO);
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *bound(Env *env, const Insn *insn, unsigned bits,
                           int unused)
{
    int64_t v = (int64_t)sext(env->s.gpr[insn->reg], bits);
    const char *p;

    if (!host_is_amd()) {
        /* Intel's look at the upper bound only if the lower one holds. */
        p = op_read(env, insn, bits / 8);
        if (p && v < (int64_t)sext(load(p, bits), bits)) {
            return insn_raise(env, insn, EXC_BR);
        }
    }
    p = op_read(env, insn, bits / 4);
    if (!p) {
        return insn_fault(env, insn);
    }
    if (v < (int64_t)sext(load(p, bits), bits)
        || v > (int64_t)sext(load(p + bits / 8, bits), bits)) {
        return insn_raise(env, insn, EXC_BR);
    }
    NEXT(env, insn);
}
DEFINE_REG(bound_16, bound, 16, 0)
DEFINE_REG(bound_32, bound, 32, 0)

/* --- IF ------------------------------------------------------------------- */

/*
 * Whose flag do CLI and STI move?  FL_IF, FL_VIF for virtual interrupts (VME in
 * virtual-8086 mode, PVI at level 3), 0: #GP(0).
 */
static uint32_t which_if(const Env *env)
{
    unsigned iopl = (env->s.rflags & FL_IOPL) >> 12;

    if ((env->mode & DM_REAL) || env->cpl <= iopl) {
        return FL_IF;
    }
    if (env->mode & DM_VM86) {
        return env->s.cr4 & CR4_VME ? FL_VIF : 0;
    }
    return (env->s.cr4 & CR4_PVI) && env->cpl == 3 ? FL_VIF : 0;
}

static const Insn *cli(Env *env, const Insn *insn)
{
    uint32_t fl = which_if(env);

    if (!fl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.rflags &= ~(uint64_t)fl;
    NEXT(env, insn);
}

/* Interrupts stay off for one more instruction, if they were off. */
static const Insn *sti(Env *env, const Insn *insn)
{
    uint32_t fl = which_if(env);

    if (!fl || (fl == FL_VIF && (env->s.rflags & FL_VIP))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (env->s.rflags & fl) {
        NEXT(env, insn);
    }
    env->s.rflags |= fl;
    if (fl == FL_IF) {
        env->s.interrupt_shadow = 1;
    }
    return insn_exit(env, insn);
}

static const Insn *clac(Env *env, const Insn *insn)
{
    if (env->cpl || (env->mode & DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    env->s.rflags &= ~(uint64_t)FL_AC;
    env_update_mode(env);
    return insn_exit(env, insn);
}

static const Insn *stac(Env *env, const Insn *insn)
{
    if (env->cpl || (env->mode & DM_VM86)) {
        return insn_raise(env, insn, EXC_UD);
    }
    env->s.rflags |= FL_AC;
    env_update_mode(env);
    return insn_exit(env, insn);
}

/* --- waiting -------------------------------------------------------------- */

static const Insn *hlt(Env *env, const Insn *insn)
{
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.halted = true;
    return insn_exit(env, insn);
}

enum {
    ROUND_PAUSES = 64,          /* between two looks at the clock */
    ROUND_NS = 50 * 1000,       /* a round that took more was not one loop */
    LONG_ROUNDS = 8,
};

/* Who spins for long may be waiting for a vCPU that has no host core.  The
 * delays of a driver, some hundred nanoseconds here and there, are not that:
 * on a busy host each core given away would cost milliseconds. */
static void maybe_yield(void)
{
    static __thread int64_t last_ns;
    static __thread unsigned n_rounds;
    int64_t now_ns = clock_ns(CLK_HOST);

    n_rounds = now_ns - last_ns < ROUND_NS ? n_rounds + 1 : 0;
    last_ns = now_ns;
    if (n_rounds >= LONG_ROUNDS) {
        sched_yield();
    }
}

static const Insn *spin(Env *env, const Insn *insn)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
    if (++env->n_pauses % ROUND_PAUSES == 0) {
        maybe_yield();
    }
    NEXT(env, insn);
}

/* The address of MONITOR's operand, rAX in DS or as prefixes say. */
static bool monitor_address(Env *env, const Insn *insn, uint64_t *gva)
{
    uint64_t off = env->s.gpr[R_RAX];

    off = insn->flags & INSN_A16 ? (uint16_t)off
          : insn->flags & INSN_A32 ? (uint32_t)off : off;
    if (insn->ea & EA_SEG
        && !seg_linear(env, insn->seg, off, 1, false, &off)) {
        return false;
    }
    *gva = off;
    return true;
}

/*
 * Nobody tells of stores to a line, so MONITOR takes a copy and MWAIT looks
 * whether it still holds.
 */
static const Insn *monitor(Env *env, const Insn *insn)
{
    TcgCpu *t = env->tcg;
    const char *line;
    uint64_t gva;

    if (!cpu_has(env->cpu, FEAT_MONITOR) || env->cpl) {
        return insn_raise(env, insn, EXC_UD);
    }
    if ((uint32_t)env->s.gpr[R_RCX]) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (!monitor_address(env, insn, &gva) || !mem_read(env, gva, 1)) {
        return insn_fault(env, insn);
    }
    t->monitor_gva = gva & ~UINT64_C(63);
    line = mem_read(env, t->monitor_gva, 64);
    /* Only memory can be waited for. */
    t->monitor_armed = line && line != (char *)env->bounce;
    for (unsigned i = 0; i < 8 && t->monitor_armed; i++) {
        store(t->monitor_line + 8 * i, 64, load(line + 8 * i, 64));
    }
    return insn + 1;
}

static bool monitor_line_same(const TcgCpu *t, const char *line)
{
    for (unsigned i = 0; i < 8; i++) {
        if (load(line + 8 * i, 64) != load(t->monitor_line + 8 * i, 64)) {
            return false;
        }
    }
    return true;
}

/* Is there something for the vCPU to do?  ECX bit 0: interrupts wake it even
 * while IF is clear. */
static bool mwait_event(Env *env, bool masked_too)
{
    const uint32_t interrupts = CPU_PEND_APIC | CPU_PEND_EXTINT;
    uint32_t pending = cpu_pending(env->cpu);

    if (pending & env->poll_mask & ~interrupts) {
        return true;
    }
    return (env->s.rflags & FL_IF || masked_too) && pending & interrupts
           && cpu_has_interrupt(env->cpu);
}

enum {
    MWAIT_SPINS = 50,           /* looks before the first sleep */
    MWAIT_LOOKS = 70,           /* until it ends by itself, as it may */
    MWAIT_SLEEP_US = 50,
};

static const Insn *mwait(Env *env, const Insn *insn)
{
    TcgCpu *t = env->tcg;
    uint32_t ext = env->s.gpr[R_RCX];

    if (!cpu_has(env->cpu, FEAT_MONITOR) || env->cpl) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (ext & ~1u) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    for (unsigned i = 0; i < MWAIT_LOOKS && t->monitor_armed; i++) {
        const char *line = mem_read(env, t->monitor_gva, 64);

        if (!line || line == (char *)env->bounce
            || !monitor_line_same(t, line)
            || mwait_event(env, ext & 1)) {
            env->exc_vector = -1;       /* the line may be gone: no fault */
            break;
        }
        if (i < MWAIT_SPINS) {
            sched_yield();
        } else {
            g_usleep(MWAIT_SLEEP_US);
        }
    }
    t->monitor_armed = false;
    return insn_exit(env, insn);
}

/* --- the rest ------------------------------------------------------------- */

/* 64 bytes to ES:reg, which must be a multiple of 64. */
static const Insn *movdir64b(Env *env, const Insn *insn)
{
    uint64_t to = env->s.gpr[insn->reg], v[8];
    const char *p;
    char *q;

    to = insn->flags & INSN_A16 ? (uint16_t)to
         : insn->flags & INSN_A32 ? (uint32_t)to : to;
    p = op_read(env, insn, 64);
    if (!p) {
        return insn_fault(env, insn);
    }
    for (unsigned i = 0; i < 8; i++) {
        v[i] = load(p + 8 * i, 64);
    }
    if (!(env->mode & DM_FLAT)) {
        if (!seg_linear(env, SEG_ES, to, 64, true, &env->ea)) {
            return insn_fault(env, insn);
        }
        to = env->ea;
    }
    if (to & 63) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    q = mem_write(env, to, 64);
    if (!q) {
        return insn_fault(env, insn);
    }
    for (unsigned i = 0; i < 8; i++) {
        store(q + 8 * i, 64, v[i]);
    }
    mem_written(env, q);
    return insn + 1;
}

const HandlerRow interp_system[] = {
    { OP_SYSCALL, ALL(do_syscall), {}, {} },
    { OP_SYSRET, ALL(sysret), {}, {} },
    { OP_SYSENTER, ALL(sysenter), {}, {} },
    { OP_SYSEXIT, ALL(sysexit), {}, {} },
    { OP_SWAPGS, ALL(swapgs), {}, {} },
    { OP_RDFSBASE_RM, WIDE(rdfsbase), {}, {} },
    { OP_RDGSBASE_RM, WIDE(rdgsbase), {}, {} },
    { OP_WRFSBASE_RM, WIDE(wrfsbase), {}, {} },
    { OP_WRGSBASE_RM, WIDE(wrgsbase), {}, {} },
    { OP_INT_I, ALL(int_i), {}, {} },
    { OP_INT3, ALL(int3), {}, {} },
    { OP_INT1, ALL(int1), {}, {} },
    { OP_INTO, ALL(into), {}, {} },
    { OP_BOUND_R_M, {}, { NULL, bound_16, bound_32, NULL }, {} },
    { OP_CLI, ALL(cli), {}, {} },
    { OP_STI, ALL(sti), {}, {} },
    { OP_CLAC, ALL(clac), {}, {} },
    { OP_STAC, ALL(stac), {}, {} },
    { OP_HLT, ALL(hlt), {}, {} },
    { OP_PAUSE, ALL(spin), {}, {} },
    { OP_MONITOR, ALL(monitor), {}, {} },
    { OP_MWAIT, ALL(mwait), {}, {} },
    { OP_MOVDIR64B_R_M, {}, ALL(movdir64b), {} },
    {}
};
