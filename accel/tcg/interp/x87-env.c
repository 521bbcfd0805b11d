/*
 * x87: control and status words, and the environment in memory.
 *
 * Spec:   Intel SDM volume 1, 8.1.10 (formats of the environment); volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/x87.h"

enum { FCW_VALID = 0x1f3f, FCW_ONE = 0x40 };    /* bits kept, and always set */

/* The non-waiting instructions mind CR0 but no pending exception. */
#define NEED_X87_NOWAIT(env, insn)                              \
    do {                                                        \
        if (unlikely((env)->s.cr0 & (CR0_EM | CR0_TS))) {       \
            return insn_raise((env), (insn), EXC_NM);           \
        }                                                       \
    } while (0)

#if HOST_UNITS
__thread unsigned x87_left;
#endif

void x87_set_fcw(Env *env, uint16_t fcw)
{
    env->s.fcw = (fcw & FCW_VALID) | FCW_ONE;
    x87_update_es(env);
}

void x87_set_fsw(Env *env, uint16_t fsw)
{
    env->s.fsw = fsw;
    x87_update_es(env);
}

/* An exception is no longer pending: FERR# goes. */
static void ferr_clear(Env *env)
{
    if (tcg_ferr && !(env->s.cr0 & CR0_NE)) {
        tcg_ferr(env, false);
    }
}

void x87_init(Env *env)
{
    env->s.fcw = FCW_DEFAULT;
    env->s.fsw = 0;
    env->s.ftw = 0;
    env->s.fop = env->s.fcs = env->s.fds = 0;
    env->s.fip = env->s.fdp = 0;
}

/* The full tag word, two bits for each physical register. */
static uint16_t tag_word(const Env *env)
{
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const X86Fp *r = &env->s.fpr[i];
        unsigned exp = r->exp_sign & 0x7fff, tag = 0;

        if (!(env->s.ftw >> i & 1)) {
            tag = 3;
        } else if (exp == 0 && r->mant == 0) {
            tag = 1;
        } else if (exp == 0 || exp == 0x7fff || !(r->mant >> 63)) {
            tag = 2;
        }
        tags |= tag << 2 * i;
    }
    return tags;
}

static void set_tag_word(Env *env, uint16_t tags)
{
    env->s.ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((tags >> 2 * i & 3) != 3) {
            env->s.ftw |= 1 << i;
        }
    }
}

/* --- words ---------------------------------------------------------------- */

static const Insn *FWAIT(Env *env, const Insn *insn)
{
    if ((env->s.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
        return insn_raise(env, insn, EXC_NM);
    }
    if (env->s.fsw & FSW_ES && x87_pending(env, insn)) {
        return NULL;
    }
    NEXT(env, insn);
}

static const Insn *FNCLEX(Env *env, const Insn *insn)
{
    NEED_X87_NOWAIT(env, insn);
    env->s.fsw &= ~(FCW_MASKS | FSW_SF | FSW_ES | FSW_B);
    ferr_clear(env);
    NEXT(env, insn);
}

static const Insn *FNINIT(Env *env, const Insn *insn)
{
    NEED_X87_NOWAIT(env, insn);
    x87_init(env);
    ferr_clear(env);
    NEXT(env, insn);
}

TEMPLATE const Insn *FLDCW_M_body(Env *env, const Insn *insn, InsnFn *slow)
{
    const void *s;

    NEED_X87(env, insn);
    s = mem_rd(env, insn, 2, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    env->s.fcw = (load(s, 16) & FCW_VALID) | FCW_ONE;
    x87_update_es(env);
    NEXT(env, insn);
}
TWINS(FLDCW_M)

TEMPLATE const Insn *store_word(Env *env, const Insn *insn, bool status,
                                InsnFn *slow)
{
    void *p;

    NEED_X87_NOWAIT(env, insn);
    p = mem_wr(env, insn, 2, false, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, 16, status ? env->s.fsw : env->s.fcw);
    stored(env, p, slow);
    NEXT(env, insn);
}
DEFINE_MEM(FNSTCW_M, store_word, false)
DEFINE_MEM(FNSTSW_M, store_word, true)

static const Insn *FNSTSW_AX(Env *env, const Insn *insn)
{
    NEED_X87_NOWAIT(env, insn);
    reg_set(env, R_RAX, 16, env->s.fsw);
    NEXT(env, insn);
}

/* --- environment ---------------------------------------------------------- */

enum { ENV_16 = 14, ENV_32 = 28 };

static bool real_format(const Env *env)
{
    return env->mode & (DM_REAL | DM_VM86);
}

static unsigned env_pack(const Env *env, uint8_t *b, bool wide)
{
    const X86State *s = &env->s;
    unsigned step = wide ? 4 : 2;
    uint32_t ones = wide ? 0xffff0000 : 0;
    uint32_t ip = s->fip, dp = s->fdp;
    uint32_t w[7] = { s->fcw | ones, s->fsw | ones, tag_word(env) | ones };

    if (!real_format(env)) {
        w[3] = ip;
        w[4] = s->fcs | (wide ? (uint32_t)s->fop << 16 : 0);
        w[5] = dp;
        w[6] = s->fds | ones;
    } else {
        /* Linear addresses: 20 bits, or 32, the upper 16 from bit 12. */
        ip += (uint32_t)s->fcs << 4;
        dp += (uint32_t)s->fds << 4;
        w[3] = (ip & 0xffff) | ones;
        w[4] = (ip >> 16 << 12) | s->fop;
        w[5] = (dp & 0xffff) | ones;
        w[6] = dp >> 16 << 12;
        if (wide) {
            w[4] &= 0x0fffffff;
            w[6] &= 0x0fffffff;
        }
    }
    for (unsigned i = 0; i < 7; i++) {
        store_le(b + i * step, step, w[i]);
    }
    return 7 * step;
}

static unsigned env_unpack(Env *env, const uint8_t *b, bool wide)
{
    X86State *s = &env->s;
    unsigned step = wide ? 4 : 2;
    uint32_t w[7];

    for (unsigned i = 0; i < 7; i++) {
        w[i] = load_le(b + i * step, step);
    }
    x87_set_fcw(env, w[0]);
    x87_set_fsw(env, w[1]);
    set_tag_word(env, w[2]);
    if (!real_format(env)) {
        s->fip = w[3];
        s->fcs = w[4];
        s->fop = wide ? w[4] >> 16 & 0x7ff : 0;
        s->fdp = w[5];
        s->fds = w[6];
    } else {
        s->fip = (w[3] & 0xffff) | (w[4] >> 12 & 0xffff) << 16;
        s->fop = w[4] & 0x7ff;
        s->fdp = (w[5] & 0xffff) | (w[6] >> 12 & 0xffff) << 16;
        s->fcs = s->fds = 0;
    }
    return 7 * step;
}

/* The environment is made of words or double words. */
static bool env_aligned(Env *env, uint64_t gva, bool wide)
{
    if (likely(!(env->mode & DM_AC)) || env->cpl != 3
        || !(gva & (wide ? 3 : 1)) || !mem_canonical(env, gva)) {
        return true;
    }
    return exc_set(env, EXC_AC, true, 0);
}

static bool store_env(Env *env, const Insn *insn, bool save)
{
    uint8_t b[ENV_32 + 80];
    bool wide = insn->size != 2;
    unsigned n = env_pack(env, b, wide);
    uint64_t gva;

    for (unsigned i = 0; save && i < 8; i++) {
        memcpy(b + n, x87_st(env, i), 10);
        n += 10;
    }
    return area_gva(env, insn, n, true, 1, &gva)
           && env_aligned(env, gva, wide)
           && area_write(env, gva, b, n);
}

static bool load_env(Env *env, const Insn *insn, bool restore)
{
    uint8_t b[ENV_32 + 80];
    bool wide = insn->size != 2;
    unsigned n = (wide ? ENV_32 : ENV_16) + (restore ? 80 : 0);
    uint64_t gva;

    if (!area_gva(env, insn, n, false, 1, &gva)
        || !env_aligned(env, gva, wide)
        || !area_read(env, gva, b, n)) {
        return false;
    }
    n = env_unpack(env, b, wide);
    for (unsigned i = 0; restore && i < 8; i++) {
        memcpy(x87_st(env, i), b + n, 10);
        n += 10;
    }
    return true;
}

static const Insn *FNSTENV_M(Env *env, const Insn *insn)
{
    NEED_X87_NOWAIT(env, insn);
    if (!store_env(env, insn, false)) {
        return insn_fault(env, insn);
    }
    x87_set_fcw(env, env->s.fcw | FCW_MASKS);
    ferr_clear(env);
    NEXT(env, insn);
}

static const Insn *FNSAVE_M(Env *env, const Insn *insn)
{
    NEED_X87_NOWAIT(env, insn);
    if (!store_env(env, insn, true)) {
        return insn_fault(env, insn);
    }
    x87_init(env);
    ferr_clear(env);
    NEXT(env, insn);
}

static const Insn *FLDENV_M(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    if (!load_env(env, insn, false)) {
        return insn_fault(env, insn);
    }
    NEXT(env, insn);
}

static const Insn *FRSTOR_M(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    if (!load_env(env, insn, true)) {
        return insn_fault(env, insn);
    }
    NEXT(env, insn);
}

const HandlerRow fpu_x87_env[] = {
#define X(NAME) ROW(NAME, NAME)
    X(FWAIT)
    X(FNCLEX)
    X(FNINIT)
    X(FLDCW_M)
    X(FNSTCW_M)
    X(FNSTSW_M)
    X(FNSTSW_AX)
    X(FLDENV_M)
    X(FNSTENV_M)
    X(FNSAVE_M)
    X(FRSTOR_M)
#undef X
    {}
};
