/*
 * Model-specific registers that belong to the emulator, CPUID, time stamps,
 * XCR0, PKRU, random numbers.
 *
 * Spec:   Intel SDM volume 2; volume 4.
 * Models: all other MSRs are src/cpu/msr.c's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/stack.h"
#include "cpu/features.h"

#include <sys/random.h>

enum {
    MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
};
#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_SFMASK         0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

TEMPLATE void set_pair(Env *env, uint64_t v)
{
    env->s.gpr[R_RAX] = (uint32_t)v;
    env->s.gpr[R_RDX] = v >> 32;
}

TEMPLATE uint64_t get_pair(const Env *env)
{
    return env->s.gpr[R_RDX] << 32 | (uint32_t)env->s.gpr[R_RAX];
}

/* --- MSRs ----------------------------------------------------------------- */

/* One that is only storage here, or NULL. */
static uint64_t *plain_msr(Env *env, uint32_t msr, bool *address)
{
    X86State *s = &env->s;

    *address = true;
    switch (msr) {
    case MSR_FS_BASE:
        return &s->seg[SEG_FS].base;
    case MSR_GS_BASE:
        return &s->seg[SEG_GS].base;
    case MSR_KERNEL_GS_BASE:
        return &s->kernel_gs_base;
    case MSR_LSTAR:
        return &s->lstar;
    case MSR_CSTAR:
        return &s->cstar;
    case MSR_SYSENTER_ESP:
        return &s->sysenter_esp;
    case MSR_SYSENTER_EIP:
        return &s->sysenter_eip;
    case MSR_SYSENTER_CS:
        *address = false;
        return &s->sysenter_cs;
    case MSR_STAR:
        *address = false;
        return &s->star;
    case MSR_SFMASK:
        *address = false;
        return &s->sfmask;
    }
    return NULL;
}

/* The MSRs of long mode are there when it is. */
static bool exists(const Env *env, uint32_t msr)
{
    return msr < MSR_EFER || cpu_has(env->cpu, FEAT_LM);
}

static const Insn *rdmsr(Env *env, const Insn *insn)
{
    uint32_t msr = env->s.gpr[R_RCX];
    uint64_t v, *plain;
    bool address;

    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    plain = plain_msr(env, msr, &address);
    if (plain) {
        if (!exists(env, msr)) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        v = *plain;
    } else if (msr == MSR_EFER) {
        v = env->s.efer;
    } else if (!cpu_rdmsr(env->cpu, msr, &v)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    set_pair(env, v);
    return insn + 1;
}

static const Insn *wrmsr(Env *env, const Insn *insn)
{
    uint32_t msr = env->s.gpr[R_RCX];
    uint64_t v = get_pair(env), *plain;
    bool address;

    env_serialize();
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    plain = plain_msr(env, msr, &address);
    if (plain) {
        if (!exists(env, msr) || (address && !env_base_canonical(env, v))) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        if (msr == MSR_SFMASK) {
            v = (uint32_t)v;
        }
        *plain = v;
        return insn + 1;
    }
    if (msr == MSR_EFER) {
        if (!env_set_efer(env, v)) {
            return insn_fault(env, insn);
        }
    } else if (!cpu_wrmsr(env->cpu, msr, v)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    } else if (msr == 0x1b) {   /* IA32_APIC_BASE */
        tlb_flush(env, true);   /* its page is not RAM */
    }
    return insn_exit(env, insn);
}

/* --- time, identification ------------------------------------------------- */

static bool tsc_denied(const Env *env)
{
    return (env->s.cr4 & CR4_TSD) && env->cpl;
}

static const Insn *rdtsc(Env *env, const Insn *insn)
{
    if (tsc_denied(env)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    set_pair(env, cpu_read_tsc(env->cpu));
    return insn + 1;
}

static const Insn *rdtscp(Env *env, const Insn *insn)
{
    if (tsc_denied(env)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    set_pair(env, cpu_read_tsc(env->cpu));
    env->s.gpr[R_RCX] = (uint32_t)env->s.tsc_aux;
    return insn + 1;
}

static const Insn *rdpid(Env *env, const Insn *insn)
{
    env->s.gpr[insn->rm] = (uint32_t)env->s.tsc_aux;
    return insn + 1;
}

/* CPUID leaf 0Ah tells of no counters; AMD's four are always there, and stand
 * still. */
static const Insn *rdpmc(Env *env, const Insn *insn)
{
    unsigned n_counters = env_is_amd(env) ? 4 : 0;

    if ((env->cpl && !(env->s.cr4 & CR4_PCE))
        || (uint32_t)env->s.gpr[R_RCX] >= n_counters) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    set_pair(env, 0);
    return insn + 1;
}

static const Insn *cpuid(Env *env, const Insn *insn)
{
    uint32_t r[4];

    env_serialize();
    cpu_cpuid(env->cpu, env->s.gpr[R_RAX], env->s.gpr[R_RCX], r);
    env->s.gpr[R_RAX] = r[0];
    env->s.gpr[R_RBX] = r[1];
    env->s.gpr[R_RCX] = r[2];
    env->s.gpr[R_RDX] = r[3];
    return insn + 1;
}

/* CF tells of success; the other arithmetic flags are cleared. */
static const Insn *rdrand(Env *env, const Insn *insn)
{
    uint64_t v = 0;
    bool ok = getrandom(&v, sizeof(v), GRND_NONBLOCK) == sizeof(v);

    reg_set(env, insn->rm, insn->size * 8, v);
    cc_set(env, ok ? FL_CF : 0);
    return insn + 1;
}

/* --- XCR0, PKRU ----------------------------------------------------------- */

static const Insn *xgetbv(Env *env, const Insn *insn)
{
    uint32_t n = env->s.gpr[R_RCX];

    if (!(env->s.cr4 & CR4_OSXSAVE)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (n > 1 || (n == 1 && !cpu_has(env->cpu, FEAT_XGETBV1))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    set_pair(env, n == 1 ? env->s.xcr0 & xsave_in_use(env) : env->s.xcr0);
    return insn + 1;
}

static const Insn *xsetbv(Env *env, const Insn *insn)
{
    uint64_t v = get_pair(env);

    if (!(env->s.cr4 & CR4_OSXSAVE)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if (env->cpl || (uint32_t)env->s.gpr[R_RCX] != 0
        || (v & ~cpu_xcr0_supported(env->cpu)) || !(v & XCR0_X87)
        || ((v & XCR0_AVX) && !(v & XCR0_SSE))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.xcr0 = v;
    return insn_exit(env, insn);
}

static const Insn *rdpkru(Env *env, const Insn *insn)
{
    if (!(env->s.cr4 & CR4_PKE)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if ((uint32_t)env->s.gpr[R_RCX]) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    set_pair(env, env->s.pkru);
    return insn + 1;
}

static const Insn *wrpkru(Env *env, const Insn *insn)
{
    if (!(env->s.cr4 & CR4_PKE)) {
        return insn_raise(env, insn, EXC_UD);
    }
    if ((uint32_t)env->s.gpr[R_RCX] || (uint32_t)env->s.gpr[R_RDX]) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    tlb_new_pkru(env, env->s.gpr[R_RAX]);
    return insn_exit(env, insn);
}

const HandlerRow interp_msr[] = {
    { OP_RDMSR, ALL(rdmsr), {}, {} },
    { OP_WRMSR, ALL(wrmsr), {}, {} },
    { OP_RDTSC, ALL(rdtsc), {}, {} },
    { OP_RDTSCP, ALL(rdtscp), {}, {} },
    { OP_RDPID_RM, ALL(rdpid), {}, {} },
    { OP_RDPMC, ALL(rdpmc), {}, {} },
    { OP_CPUID, ALL(cpuid), {}, {} },
    { OP_RDRAND_RM, ALL(rdrand), {}, {} },
    { OP_RDSEED_RM, ALL(rdrand), {}, {} },
    { OP_XGETBV, ALL(xgetbv), {}, {} },
    { OP_XSETBV, ALL(xsetbv), {}, {} },
    { OP_RDPKRU, ALL(rdpkru), {}, {} },
    { OP_WRPKRU, ALL(wrpkru), {}, {} },
    {}
};
