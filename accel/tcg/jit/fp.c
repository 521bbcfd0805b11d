/*
 * Guest x87 and vector state: into the host's registers and back.
 *
 * Built without vector registers: the guest's may be live here.
 *
 * Spec: Intel SDM volume 1, 13.4 (XSAVE area), 8.1 (x87 environment).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/fp.h"

#include "accel/tcg/host-features.h"
#include "accel/tcg/interp/fpu.h"

enum { HAS_KNOWN = 1 << 7 };

static unsigned host;           /* FP_* | HAS_KNOWN */

unsigned jit_fp_host(void)
{
    if (!host) {
        host = HAS_KNOWN | FP_SSE;
        if (__builtin_cpu_supports("avx") && !tcg_host.no_avx) {
            /* The kernel has enabled XSAVE. */
            host |= FP_AVX | FP_X87;
        }
    }
    return host;
}

static unsigned usable(const Env *env)
{
    unsigned can = 0;

    if (sse_ok(env)) {
        can |= FP_SSE;
    }
    if (avx_ok(env)) {
        can |= FP_AVX;
    }
    if (!(env->s.cr0 & (CR0_EM | CR0_TS))) {
        can |= FP_X87;
    }
    return can & jit_fp_host();
}

/* --- vectors ----------------------------------------------------------- */

#define ALL_16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10)   \
                  X(11) X(12) X(13) X(14) X(15)
#define LOAD_X(i)  "movups " #i "*32(%0), %%xmm" #i "\n\t"
#define LOAD_Y(i)  "vmovups " #i "*32(%0), %%ymm" #i "\n\t"
#define SAVE_X(i)  "movups %%xmm" #i ", " #i "*32(%0)\n\t"
#define SAVE_Y(i)  "vmovups %%ymm" #i ", " #i "*32(%0)\n\t"

/*
 * With clear upper halves only the lower ones are loaded.  Otherwise the host
 * would take the upper halves for used, and each legacy SSE instruction would
 * wait for its destination's old value.
 */
static bool has_upper(const Env *env)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < 16; i++) {
        any |= env->s.vec[i].q[2] | env->s.vec[i].q[3];
    }
    return any;
}

static void vec_load(const Env *env)
{
    asm volatile("ldmxcsr %0" : : "m"(env->s.mxcsr));
    if (jit_fp_host() & FP_AVX && has_upper(env)) {
        asm volatile(ALL_16(LOAD_Y) : : "r"(env->s.vec) : "memory");
    } else {
        asm volatile(ALL_16(LOAD_X) : : "r"(env->s.vec) : "memory");
    }
}

static void vec_save(Env *env)
{
    static const uint32_t mxcsr = MX_DEFAULT;

    if (jit_fp_host() & FP_AVX) {
        asm volatile(ALL_16(SAVE_Y) "vzeroupper"
                     : : "r"(env->s.vec) : "memory");
    } else {
        asm volatile(ALL_16(SAVE_X) : : "r"(env->s.vec) : "memory");
    }
    asm volatile("stmxcsr %0" : "=m"(env->s.mxcsr));
    if ((env->s.mxcsr ^ MX_DEFAULT) & ~MX_FLAGS) {
        asm volatile("ldmxcsr %0" : : "m"(mxcsr));
    }
}

/* --- x87 --------------------------------------------------------------- */

/* What XSAVE has of x87. */
typedef struct X87Area {
    uint16_t fcw, fsw;
    uint8_t ftw, zero;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint64_t st[8][2];
    uint64_t vec[44];           /* not touched */
    uint64_t header[8];
} __attribute__((aligned(64))) X87Area;

G_STATIC_ASSERT(sizeof(X87Area) == 576);

static void x87_load(const Env *env)
{
    X87Area a;
    unsigned top = env->s.fsw >> 11 & 7;

    a.fcw = env->s.fcw;
    a.fsw = env->s.fsw;
    a.ftw = env->s.ftw;
    a.zero = 0;
    a.fop = 0;
    a.fip = a.fdp = 0;
    for (unsigned i = 0; i < 8; i++) {
        const X86Fp *r = &env->s.fpr[(top + i) & 7];

        a.st[i][0] = r->mant;
        a.st[i][1] = r->exp_sign;
    }
    for (unsigned i = 1; i < 8; i++) {
        a.header[i] = 0;
    }
    a.header[0] = 1;
    asm volatile("xrstor64 %0" : : "m"(a), "a"(1), "d"(0));
}

static void x87_save(Env *env)
{
    X87Area a;
    unsigned top;

    for (unsigned i = 0; i < 8; i++) {
        a.header[i] = 0;
    }
    asm volatile("xsave64 %0\n\tfninit" : "+m"(a) : "a"(1), "d"(0));
    env->s.fcw = a.fcw;
    env->s.fsw = a.fsw;
    env->s.ftw = a.ftw;
    top = a.fsw >> 11 & 7;
    for (unsigned i = 0; i < 8; i++) {
        X86Fp *r = &env->s.fpr[(top + i) & 7];

        r->mant = a.st[i][0];
        r->exp_sign = a.st[i][1];
    }
    if (env->x87_note) {
        uint32_t note = env->x87_note;

        env->s.fop = note >> X87_NOTE_FOP_SHIFT & 0x7ff;
        env->s.fip = env->x87_base + (note & ((1 << X87_NOTE_OFF_BITS) - 1));
        env->s.fcs = env->s.seg[SEG_CS].selector;
        env->x87_note = 0;
    }
    if (env->x87_seg) {
        env->s.fds = env->s.seg[env->x87_seg - 1].selector;
        env->x87_seg = 0;
    }
}

/* --- both -------------------------------------------------------------- */

bool jit_fp_load(Env *env, unsigned need)
{
    unsigned can = usable(env);

    if (need & ~can) {
        return false;
    }
    if (!env->fp_live) {
        fp_arm();               /* while no registers are the guest's yet */
    }
    if (need & (FP_SSE | FP_AVX)
        && !(env->fp_live & (FP_SSE | FP_AVX))) {
        vec_load(env);
        env->fp_live |= can & (FP_SSE | FP_AVX);
    }
    if (need & ~env->fp_live & FP_X87) {
        x87_load(env);
        env->fp_live |= FP_X87;
    }
    for (unsigned i = 0; i < FP_KINDS; i++) {
        env->fp_off[i] = !(env->fp_live >> i & 1);
    }
    return true;
}

void jit_fp_save(Env *env)
{
    if (env->fp_live & (FP_SSE | FP_AVX)) {
        vec_save(env);
    }
    if (env->fp_live & FP_X87) {
        x87_save(env);
    }
    env->fp_live = 0;
    for (unsigned i = 0; i < FP_KINDS; i++) {
        env->fp_off[i] = 1;
    }
}
