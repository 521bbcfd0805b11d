/*
 * What x87, MMX, SSE and AVX have in common: availability, aligned operands,
 * and SIMD exceptions.
 *
 * Spec:  Intel SDM volume 1, 11.5 (SIMD exceptions), 14 (AVX); volume 2, 2.8
 *        (exception classes); volume 3A, 2.5 (CR0.TS, EM, MP).
 * Locks: the SIGFPE handler is process-wide and installed once; everything else
 *        belongs to one vCPU's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"

#include <signal.h>
#include <ucontext.h>

void (*tcg_ferr)(Env *env, bool level);

const HandlerRow *const fpu_tables[] = {
    fpu_sse, fpu_sse_fp, fpu_sse_move, fpu_shuffle, fpu_mmx, fpu_x87,
    fpu_x87_env, fpu_xsave, fpu_avx, fpu_avx_move, fpu_strcmp, NULL
};

/* --- availability --------------------------------------------------------- */

const Insn *sse_unavailable(Env *env, const Insn *insn)
{
    bool ud = env->s.cr0 & CR0_EM || !(env->s.cr4 & CR4_OSFXSR);

    return insn_raise(env, insn, ud ? EXC_UD : EXC_NM);
}

const Insn *avx_unavailable(Env *env, const Insn *insn)
{
    bool nm = env->s.cr4 & CR4_OSXSAVE
              && (env->s.xcr0 & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX)
              && !(env->mode & (DM_REAL | DM_VM86));

    return insn_raise(env, insn, nm ? EXC_NM : EXC_UD);
}

bool x87_pending(Env *env, const Insn *insn)
{
    if (env->s.cr0 & CR0_NE) {
        insn_raise(env, insn, EXC_MF);
        return true;
    }
    /*
     * The processor would freeze here until the interrupt that FERR# causes.
     * If that cannot be taken it goes on, as if IGNNE# were asserted, rather
     * than hang.
     */
    if (tcg_ferr) {
        tcg_ferr(env, true);
        if (env->s.rflags & FL_IF && !env->s.interrupt_shadow
            && cpu_has_interrupt(env->cpu)) {
            env->s.rip = insn_rip(env, insn);
            return true;
        }
    }
    return false;
}

bool x87_blocked(Env *env, const Insn *insn, bool mmx)
{
    if (env->s.cr0 & (CR0_EM | CR0_TS)) {
        insn_raise(env, insn, mmx && env->s.cr0 & CR0_EM ? EXC_UD : EXC_NM);
        return true;
    }
    return x87_pending(env, insn);
}

/* --- operands ------------------------------------------------------------- */

/* Limits come before alignment, and alignment before the page. */
bool area_gva(Env *env, const Insn *insn, unsigned n, bool write,
              unsigned align, uint64_t *gva)
{
    *gva = insn_offset(env, insn);
    if (insn->ea & EA_SEG
        && !seg_linear(env, insn->seg, *gva, n, write, gva)) {
        return false;
    }
    if (!(*gva & (align - 1))) {
        return true;
    }
    /* Of FXSAVE and XSAVE an address that is not canonical comes first: it may
     * be #SS. */
    return (n > 32 && !mem_canonical(env, *gva))
           || exc_set(env, EXC_GP, true, 0);
}

const void *op_read_aligned(Env *env, const Insn *insn, unsigned size)
{
    uint64_t gva;

    return area_gva(env, insn, size, false, size, &gva)
           ? mem_read(env, gva, size) : NULL;
}

void *op_write_aligned(Env *env, const Insn *insn, unsigned size)
{
    uint64_t gva;

    return area_gva(env, insn, size, true, size, &gva)
           ? mem_write(env, gva, size) : NULL;
}

bool area_read(Env *env, uint64_t gva, void *buf, unsigned n)
{
    for (unsigned i = 0, part; i < n; i += part) {
        const void *p;

        part = MIN(n - i, 64);
        p = mem_read(env, gva + i, part);
        if (!p) {
            return false;
        }
        memcpy((uint8_t *)buf + i, p, part);
    }
    return true;
}

bool area_write(Env *env, uint64_t gva, const void *buf, unsigned n)
{
    if (!mem_probe_write(env, gva, n)) {
        return false;
    }
    for (unsigned i = 0, part; i < n; i += part) {
        void *p;

        part = MIN(n - i, 64);
        p = mem_write(env, gva + i, part);
        if (!p) {
            return false;
        }
        memcpy(p, (const uint8_t *)buf + i, part);
        mem_written(env, p);
    }
    return true;
}

bool mask_store(Env *env, const Insn *insn, uint64_t lo, uint64_t hi,
                unsigned mask, unsigned n)
{
    uint64_t off = env->s.gpr[R_RDI], gva, upper;

    off = insn->flags & INSN_A16 ? (uint16_t)off
          : insn->flags & INSN_A32 ? (uint32_t)off : off;
    gva = off;
    if (insn->ea & EA_SEG
        && !seg_linear(env, insn->seg, off, n, true, &gva)) {
        return false;
    }
    if (unlikely(env->mode & DM_AC) && env->cpl == 3 && gva & 7
        && mem_canonical(env, gva)) {
        return exc_set(env, EXC_AC, true, 0);
    }
    upper = insn->flags & INSN_A16 ? gva - off + (uint16_t)(off + 8)
            : insn->flags & INSN_A32 ? gva - off + (uint32_t)(off + 8)
            : gva + 8;
    if ((env->mode & DM_CODE_MASK) != DM_CODE64) {
        upper = (uint32_t)upper;
    }
    /* Intel's look at the upper half first. */
    if ((n == 16 && !host_is_amd() && !mem_probe_write(env, upper, 8))
        || !mem_probe_write(env, gva, 8)
        || (n == 16 && !mem_probe_write(env, upper, 8))) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p;

        if (!(mask >> i & 1)) {
            continue;
        }
        p = mem_write(env, i < 8 ? gva + i : upper + i - 8, 1);
        if (!p) {
            return false;
        }
        *p = i < 8 ? lo >> 8 * i : hi >> 8 * (i - 8);
        mem_written(env, p);
    }
    return true;
}

/* --- SIMD exceptions ------------------------------------------------------ */

const Insn *fp_trap(Env *env, const Insn *insn)
{
    return insn_raise(env, insn,
                      env->s.cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

#if HOST_UNITS
bool (*fp_other_code)(struct ucontext_t *uc);

/* Made by FP_ASM(): offsets from each word to the instruction that may fault
 * and to where execution goes on. */
typedef struct FpFixup {
    int32_t at, to;
} FpFixup;

extern const FpFixup __start_fp_fixups[], __stop_fp_fixups[];

static struct sigaction fp_other;       /* who handled SIGFPE before us */

static void fp_signal(int sig, siginfo_t *info, void *opaque)
{
    ucontext_t *uc = opaque;
    uintptr_t rip = uc->uc_mcontext.gregs[REG_RIP];

    if (fp_other_code && fp_other_code(uc)) {
        return;
    }
    for (const FpFixup *f = __start_fp_fixups; f < __stop_fp_fixups; f++) {
        if ((uintptr_t)&f->at + f->at == rip) {
            /* MXCSR in the frame has the flags; the code there stores it. */
            uc->uc_mcontext.gregs[REG_RIP] = (uintptr_t)&f->to + f->to;
            return;
        }
    }
    /* Not the guest's: as if we were not here. */
    if (fp_other.sa_flags & SA_SIGINFO) {
        fp_other.sa_sigaction(sig, info, opaque);
    } else {
        sigaction(SIGFPE, &fp_other, NULL);
    }
}

static gpointer fp_install(gpointer unused)
{
    struct sigaction sa = {
        .sa_sigaction = fp_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK,
    };

    sigemptyset(&sa.sa_mask);
    sigaction(SIGFPE, &sa, &fp_other);
    return NULL;
}

void fp_arm(void)
{
    static GOnce once = G_ONCE_INIT;
    static __thread bool armed;
    sigset_t fpe;

    if (likely(armed)) {
        return;
    }
    g_once(&once, fp_install, NULL);
    sigemptyset(&fpe);
    sigaddset(&fpe, SIGFPE);
    pthread_sigmask(SIG_UNBLOCK, &fpe, NULL);
    armed = true;
}
#endif
