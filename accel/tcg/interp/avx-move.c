/*
 * AVX moves between registers, memory and general registers; masked moves and
 * gathers.
 *
 * Spec:   Intel SDM volume 2.
 * Models: bits of a vector destination above the operand size become zero.
 *         Masked-out elements are not accessed.  A gather that faults has
 *         loaded and unmasked the elements before the faulting one, lowest
 *         first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/interp/soft/soft.h"

#define D(env, insn) (&(env)->s.vec[(insn)->reg])
#define S(env, insn) (&(env)->s.vec[(insn)->rm])
#define V(env, insn) (&(env)->s.vec[insn_vvvv(insn)])

/* --- whole registers ------------------------------------------------------ */

TEMPLATE void copy(void *to, const void *from, unsigned n)
{
#if HOST_UNITS
    if (n == 32) {
        asm volatile("vmovdqu (%[s]), %%ymm0\n\tvmovdqu %%ymm0, (%[d])\n\t"
                     "vzeroupper"
                     : : [d] "r"(to), [s] "r"(from) : "xmm0", "memory");
    } else {
        asm volatile("movdqu (%[s]), %%xmm0\n\tmovdqu %%xmm0, (%[d])"
                     : : [d] "r"(to), [s] "r"(from) : "xmm0", "memory");
    }
#else
    memmove(to, from, n);
#endif
}

TEMPLATE const Insn *vload(Env *env, const Insn *insn, unsigned n,
                           bool aligned, InsnFn *slow)
{
    const void *s;

    NEED_AVX(env, insn);
    s = xm_rd(env, insn, n, aligned, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    copy(D(env, insn), s, n);
    if (n == 16) {
        vec_zero_upper(D(env, insn));
    }
    NEXT(env, insn);
}

TEMPLATE const Insn *vstore(Env *env, const Insn *insn, unsigned n,
                            bool aligned, InsnFn *slow)
{
    void *p;

    NEED_AVX(env, insn);
    if (!(insn->flags & INSN_MEM)) {
        copy(S(env, insn), D(env, insn), n);
        if (n == 16) {
            vec_zero_upper(S(env, insn));
        }
        NEXT(env, insn);
    }
    p = mem_wr(env, insn, n, aligned, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    copy(p, D(env, insn), n);
    stored(env, p, slow);
    NEXT(env, insn);
}

DEFINE_MEM(load_aligned, vload, 16, true)
DEFINE_MEM(load_aligned_256, vload, 32, true)
DEFINE_MEM(load_unaligned, vload, 16, false)
DEFINE_MEM(load_unaligned_256, vload, 32, false)
DEFINE_MEM(store_aligned, vstore, 16, true)
DEFINE_MEM(store_aligned_256, vstore, 32, true)
DEFINE_MEM(store_unaligned, vstore, 16, false)
DEFINE_MEM(store_unaligned_256, vstore, 32, false)

/* --- parts ---------------------------------------------------------------- */

/* reg = the two halves, and zero. */
TEMPLATE void set_halves(X86Vec *d, uint64_t lo, uint64_t hi)
{
    d->q[0] = lo;
    d->q[1] = hi;
    vec_zero_upper(d);
}

#define REG_MOVE(name, lo, hi)                                              \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        NEED_AVX(env, insn);                                                \
        set_halves(D(env, insn), lo, hi);                                   \
        NEXT(env, insn);                                                    \
    }
REG_MOVE(movss_reg, bits_set(V(env, insn)->q[0], 0, 32, S(env, insn)->d[0]),
         V(env, insn)->q[1])
REG_MOVE(movsd_reg, S(env, insn)->q[0], V(env, insn)->q[1])
REG_MOVE(movhlps, S(env, insn)->q[1], V(env, insn)->q[1])
REG_MOVE(movlhps, V(env, insn)->q[0], S(env, insn)->q[0])
REG_MOVE(movq_reg, S(env, insn)->q[0], 0)
REG_MOVE(from_gpr_32, (uint32_t)env->s.gpr[insn->rm], 0)
REG_MOVE(from_gpr_64, env->s.gpr[insn->rm], 0)

static const Insn *movq_reg_back(Env *env, const Insn *insn)
{
    NEED_AVX(env, insn);
    set_halves(S(env, insn), D(env, insn)->q[0], 0);
    NEXT(env, insn);
}

/* What is loaded goes to the low or the high half; what else there is comes
 * from vvvv or is zero. */
enum { LOW_ZERO, LOW, HIGH };

TEMPLATE const Insn *load_part(Env *env, const Insn *insn, unsigned bits,
                               int where, InsnFn *slow)
{
    const X86Vec *v = V(env, insn);
    const void *s;

    NEED_AVX(env, insn);
    s = mem_rd(env, insn, bits / 8, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }
    if (where == HIGH) {
        set_halves(D(env, insn), v->q[0], load(s, bits));
    } else {
        set_halves(D(env, insn), load(s, bits), where == LOW ? v->q[1] : 0);
    }
    NEXT(env, insn);
}
DEFINE_MEM(load4, load_part, 32, LOW_ZERO)
DEFINE_MEM(load8, load_part, 64, LOW_ZERO)
DEFINE_MEM(load_low, load_part, 64, LOW)
DEFINE_MEM(load_high, load_part, 64, HIGH)

TEMPLATE const Insn *store_part(Env *env, const Insn *insn, unsigned bits,
                                unsigned from, InsnFn *slow)
{
    void *p;

    NEED_AVX(env, insn);
    p = mem_wr(env, insn, bits / 8, false, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, bits, D(env, insn)->q[from]);
    stored(env, p, slow);
    NEXT(env, insn);
}
DEFINE_MEM(store4, store_part, 32, 0)
DEFINE_MEM(store8, store_part, 64, 0)
DEFINE_MEM(store_high, store_part, 64, 1)

TEMPLATE const Insn *to_gpr(Env *env, const Insn *insn, unsigned bits)
{
    NEED_AVX(env, insn);
    reg_set(env, insn->rm, bits, D(env, insn)->q[0]);
    NEXT(env, insn);
}
DEFINE_REG(to_gpr_32, to_gpr, 32)
DEFINE_REG(to_gpr_64, to_gpr, 64)

TEMPLATE const Insn *movddup(Env *env, const Insn *insn, unsigned n,
                             InsnFn *slow)
{
    const uint64_t *s;

    NEED_AVX(env, insn);
    s = xm_rd(env, insn, n, false, slow);
    if (unlikely(!s)) {
        MISS(env, insn, slow);
    }

    uint64_t lo = load(s, 64), hi = n == 32 ? load(s + 2, 64) : 0;

    set_halves(D(env, insn), lo, lo);
    D(env, insn)->q[2] = D(env, insn)->q[3] = hi;
    NEXT(env, insn);
}
DEFINE_MEM(VMOVDDUP, movddup, 8)
DEFINE_MEM(VMOVDDUP_256, movddup, 32)

/* One lane of rm or memory out of reg. */
TEMPLATE const Insn *VEXTRACTF128_body(Env *env, const Insn *insn,
                                       InsnFn *slow)
{
    unsigned q = (insn->imm & 1) * 2;
    uint64_t lo = D(env, insn)->q[q], hi = D(env, insn)->q[q + 1];
    uint64_t *p;

    NEED_AVX(env, insn);
    if (!(insn->flags & INSN_MEM)) {
        set_halves(S(env, insn), lo, hi);
        NEXT(env, insn);
    }
    p = mem_wr(env, insn, 16, false, slow);
    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    store(p, 64, lo);
    store(p + 1, 64, hi);
    stored(env, p, slow);
    NEXT(env, insn);
}
TWINS(VEXTRACTF128)

#if HOST_UNITS
#define SIGNS(r, s, text, n, size)                                          \
    asm("vmovdqa %1, %%ymm0\n\t" text ", %0\n\tvzeroupper"                  \
        : "=r"(r) : "m"(*(s)) : "xmm0")
#else
#define SIGNS(r, s, text, n, size) ((r) = soft_signs(s, n, size))
#endif

#define MASK(name, text, n, size)                                           \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        uint32_t r;                                                         \
                                                                            \
        NEED_AVX(env, insn);                                                \
        SIGNS(r, S(env, insn), text, n, size);                              \
        env->s.gpr[insn->reg] = r;                                          \
        NEXT(env, insn);                                                    \
    }
MASK(VMOVMSKPS, "vmovmskps %%xmm0", 16, 4)
MASK(VMOVMSKPS_256, "vmovmskps %%ymm0", 32, 4)
MASK(VMOVMSKPD, "vmovmskpd %%xmm0", 16, 8)
MASK(VMOVMSKPD_256, "vmovmskpd %%ymm0", 32, 8)
MASK(VPMOVMSKB, "vpmovmskb %%xmm0", 16, 1)
MASK(VPMOVMSKB_256, "vpmovmskb %%ymm0", 32, 1)

/* In 32-bit code the upper eight registers do not exist and stay. */
TEMPLATE const Insn *vzero(Env *env, const Insn *insn, bool all)
{
    unsigned n = (env->mode & DM_CODE_MASK) == DM_CODE64 ? 16 : 8;

    NEED_AVX(env, insn);
    for (unsigned i = 0; i < n; i++) {
        if (all) {
            env->s.vec[i].q[0] = env->s.vec[i].q[1] = 0;
        }
        vec_zero_upper(&env->s.vec[i]);
    }
    NEXT(env, insn);
}
DEFINE_REG(VZEROUPPER, vzero, false)
DEFINE_REG(VZEROALL, vzero, true)

/* --- half precision ------------------------------------------------------- */

#if HOST_UNITS
#define PH_CASE(i, reg)                                                     \
    case i:                                                                 \
        asm volatile(FP_ASM("vmovdqa (%[s]), %%" reg "0\n\t",               \
                            "vcvtps2ph $" #i ", %%" reg "0, %%xmm0",        \
                            "vmovq %%xmm0, %[lo]\n\t"                       \
                            "vpextrq $1, %%xmm0, %[hi]\n\t")                \
                     : [bad] "+r"(bad), [mx] "+m"(env->s.mxcsr),            \
                       [lo] "+r"(lo), [hi] "+r"(hi)                         \
                     : [s] "r"(D(env, insn)) : "xmm0");                     \
        break;
#define RUN_PH(n, reg)                                                      \
    do {                                                                    \
        switch (insn->imm & 7) {                                            \
        PH_CASE(0, reg) PH_CASE(1, reg) PH_CASE(2, reg) PH_CASE(3, reg)     \
        PH_CASE(4, reg) PH_CASE(5, reg) PH_CASE(6, reg) PH_CASE(7, reg)     \
        }                                                                   \
        asm volatile("vzeroupper");                                         \
    } while (0)
#else
#define RUN_PH(n, reg)                                                      \
    do {                                                                    \
        X86Vec r = { 0 };                                                   \
                                                                            \
        bad = !soft_cvtps2ph(&env->s.mxcsr, &r, D(env, insn), insn->imm,    \
                             2 * (n));                                      \
        lo = r.q[0];                                                        \
        hi = r.q[1];                                                        \
    } while (0)
#endif
/* A memory destination is written last, because the conversion may trap; before
 * it is probed, so as not to fault once MXCSR has changed, but on Intel's, which
 * do that. */
#define CVTPS2PH(NAME, n, reg)                                              \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        uint64_t lo = 0, hi = 0, *p;                                        \
        unsigned bad = 1, odd;                                              \
                                                                            \
        NEED_AVX(env, insn);                                                \
        if (insn->flags & INSN_MEM && host_is_amd()                         \
            && (!area_gva(env, insn, n, true, 1, &env->ea)                  \
                || !mem_probe_write(env, env->ea, n))) {                    \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        FP_ENTER(env, insn, slow, odd);                                     \
        RUN_PH(n, reg);                                                     \
        fp_leave(odd);                                                      \
        if (unlikely(bad)) {                                                \
            return fp_trap(env, insn);                                      \
        }                                                                   \
        if (!(insn->flags & INSN_MEM)) {                                    \
            set_halves(S(env, insn), lo, hi);                               \
            NEXT(env, insn);                                                \
        }                                                                   \
        p = area_gva(env, insn, n, true, 1, &env->ea)                       \
            ? mem_write(env, env->ea, n) : NULL;                            \
        if (unlikely(!p)) {                                                 \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        store(p, 64, lo);                                                   \
        if (n == 16) {                                                      \
            store(p + 1, 64, hi);                                           \
        }                                                                   \
        mem_written(env, p);                                                \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
CVTPS2PH(VCVTPS2PH, 8, "xmm")
CVTPS2PH(VCVTPS2PH_256, 16, "ymm")

/* --- masked moves --------------------------------------------------------- */

/* The linear address of an element at `off` bytes from the operand. */
static bool element_gva(Env *env, const Insn *insn, uint64_t base,
                        unsigned off, unsigned bytes, bool write,
                        uint64_t *gva)
{
    uint64_t at = base;

    if (insn->ea & EA_A32) {
        at = (uint32_t)at;
    } else if (insn->ea & EA_A16) {
        at = (uint16_t)at;
    }
    /* Only the operand's address wraps, not its elements'. */
    at += off;
    *gva = at;
    return !(insn->ea & EA_SEG)
           || seg_linear(env, insn->seg, at, bytes, write, gva);
}

static bool masked(const X86Vec *mask, unsigned bytes, unsigned i)
{
    return bytes == 4 ? mask->d[i] >> 31 : mask->q[i] >> 63;
}

/* An element: these know no #AC, so then byte by byte. */
static bool element_read(Env *env, uint64_t gva, void *to, unsigned bytes)
{
    unsigned step = unlikely(env->mode & DM_AC) ? 1 : bytes;
    uint8_t whole[8];

    for (unsigned i = 0; i < bytes; i += step) {
        const void *p = mem_read(env, gva + i, step);

        if (!p) {
            return false;
        }
        memcpy(whole + i, p, step);
    }
    memcpy(to, whole, bytes);
    return true;
}

static bool element_write(Env *env, uint64_t gva, const void *from,
                          unsigned bytes)
{
    unsigned step = unlikely(env->mode & DM_AC) ? 1 : bytes;

    for (unsigned i = 0; i < bytes; i += step) {
        void *p = mem_write(env, gva + i, step);

        if (!p) {
            return false;
        }
        memcpy(p, (const uint8_t *)from + i, step);
        mem_written(env, p);
    }
    return true;
}

static bool masked_load(Env *env, const Insn *insn, unsigned bytes)
{
    const X86Vec *mask = V(env, insn);
    uint64_t base = insn_offset(env, insn), gva;
    X86Vec r = { 0 };

    for (unsigned i = 0; i < insn->size / bytes; i++) {
        if (!masked(mask, bytes, i)) {
            continue;
        }
        if (!element_gva(env, insn, base, i * bytes, bytes, false, &gva)
            || !element_read(env, gva, r.b + i * bytes, bytes)) {
            return false;
        }
    }
    *D(env, insn) = r;
    return true;
}

/* First all that may fault, then the stores. */
static bool masked_store(Env *env, const Insn *insn, unsigned bytes)
{
    const X86Vec *mask = V(env, insn), *s = D(env, insn);
    uint64_t base = insn_offset(env, insn), gva;

    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < insn->size / bytes; i++) {
            if (!masked(mask, bytes, i)) {
                continue;
            }
            if (!element_gva(env, insn, base, i * bytes, bytes, true, &gva)) {
                return false;
            }
            if (pass == 0) {
                if (!mem_probe_write(env, gva, bytes)) {
                    return false;
                }
                continue;
            }
            if (!element_write(env, gva, s->b + i * bytes, bytes)) {
                return false;
            }
        }
    }
    return true;
}

#define MASKED(NAME, fn, bytes)                                             \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        NEED_AVX(env, insn);                                                \
        if (!fn(env, insn, bytes)) {                                        \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
MASKED(masked_load_4, masked_load, 4)
MASKED(masked_load_8, masked_load, 8)
MASKED(masked_store_4, masked_store, 4)
MASKED(masked_store_8, masked_store, 8)

/* --- gathers -------------------------------------------------------------- */

/* A trap that is due for elements already loaded comes instead of the fault,
 * and the rest later: SDM, VGATHER. */
static bool gather_fault(Env *env, bool any)
{
    if (any && env->mode & DM_TF) {
        env->exc_vector = -1;
        env->in_rep = true;     /* pushes RF */
    }
    return false;
}

/* `index_bytes` and `bytes`: of an index and of an element. */
static bool gather(Env *env, const Insn *insn, unsigned index_bytes,
                   unsigned bytes)
{
    X86Vec *d = D(env, insn), *mask = V(env, insn);
    const X86Vec *index = &env->s.vec[insn->index];
    unsigned n = insn->size / MAX(index_bytes, bytes);
    bool any = false;

    /* What a fault leaves: with AMD's the masks of what was not reached are as
     * they were, with Intel's they are extended, and the upper halves are
     * clear: the mask's always, the destination's after one element. */
    if (!host_is_amd()) {
        for (unsigned i = 0; i < insn->size / bytes; i++) {
            memset(mask->b + i * bytes, masked(mask, bytes, i) ? 0xff : 0,
                   bytes);
        }
        if (insn->size == 16) {
            memset(mask->b + 16, 0, 16);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        int64_t off = index_bytes == 4 ? (int32_t)index->d[i]
                                       : (int64_t)index->q[i];
        uint64_t base = env->s.gpr[insn->base] + (int64_t)insn->disp, gva;

        if (!masked(mask, bytes, i)) {
            memset(mask->b + i * bytes, 0, bytes);
            continue;
        }
        base += (uint64_t)off << insn->scale;
        if (!element_gva(env, insn, base, 0, bytes, false, &gva)) {
            return gather_fault(env, any);
        }
        if (!element_read(env, gva, d->b + i * bytes, bytes)) {
            return gather_fault(env, any);
        }
        any = true;
        memset(mask->b + i * bytes, 0, bytes);
        if (insn->size == 16 && !host_is_amd()) {
            memset(d->b + 16, 0, 16);
        }
    }
    /* What lies above the elements is cleared in both. */
    memset(d->b + n * bytes, 0, 32 - n * bytes);
    memset(mask->b, 0, 32);
    return true;
}

#define GATHER(NAME, index_bytes, bytes)                                    \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        NEED_AVX(env, insn);                                                \
        if (!gather(env, insn, index_bytes, bytes)) {                       \
            return insn_fault(env, insn);                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
GATHER(gather_dd, 4, 4)
GATHER(gather_dq, 4, 8)
GATHER(gather_qd, 8, 4)
GATHER(gather_qq, 8, 8)

#define ROW_VEC(op, name) \
    { OP_##op, VECS(name, name##_256), VECS(name, name##_256), {} },

const HandlerRow fpu_avx_move[] = {
    ROW_VEC(VMOVUPS_X_XM, load_unaligned)
    ROW_VEC(VMOVUPS_XM_X, store_unaligned)
    ROW_VEC(VMOVUPD_X_XM, load_unaligned)
    ROW_VEC(VMOVUPD_XM_X, store_unaligned)
    ROW_VEC(VMOVDQU_X_XM, load_unaligned)
    ROW_VEC(VMOVDQU_XM_X, store_unaligned)
    ROW_VEC(VLDDQU_X_M, load_unaligned)
    ROW_VEC(VMOVAPS_X_XM, load_aligned)
    ROW_VEC(VMOVAPS_XM_X, store_aligned)
    ROW_VEC(VMOVAPD_X_XM, load_aligned)
    ROW_VEC(VMOVAPD_XM_X, store_aligned)
    ROW_VEC(VMOVDQA_X_XM, load_aligned)
    ROW_VEC(VMOVDQA_XM_X, store_aligned)
    ROW_VEC(VMOVNTDQA_X_M, load_aligned)
    ROW_VEC(VMOVNTPS_M_X, store_aligned)
    ROW_VEC(VMOVNTPD_M_X, store_aligned)
    ROW_VEC(VMOVNTDQ_M_X, store_aligned)
    ROW(VMOVSS_X_X_X, movss_reg)
    ROW(VMOVSS_X_M, load4)
    ROW(VMOVSS_M_X, store4)
    ROW(VMOVSD_X_X_X, movsd_reg)
    ROW(VMOVSD_X_M, load8)
    ROW(VMOVSD_M_X, store8)
    ROW(VMOVLPS_X_X_M, load_low)
    ROW(VMOVLPS_M_X, store8)
    ROW(VMOVLPD_X_X_M, load_low)
    ROW(VMOVLPD_M_X, store8)
    ROW(VMOVHPS_X_X_M, load_high)
    ROW(VMOVHPS_M_X, store_high)
    ROW(VMOVHPD_X_X_M, load_high)
    ROW(VMOVHPD_M_X, store_high)
    ROW(VMOVHLPS_X_X_X, movhlps)
    ROW(VMOVLHPS_X_X_X, movlhps)
    { OP_VMOVD_X_RM, WIDTHS(from_gpr_32, from_gpr_64), WIDTHS(load4, load8),
      {} },
    { OP_VMOVD_RM_X, WIDTHS(to_gpr_32, to_gpr_64), WIDTHS(store4, store8),
      {} },
    { OP_VMOVQ_X_XM, { movq_reg }, { load8 }, {} },
    { OP_VMOVQ_XM_X, { movq_reg_back }, { store8 }, {} },
    { OP_VMOVDDUP_X_XM, VECS(VMOVDDUP, VMOVDDUP_256),
      VECS(VMOVDDUP, VMOVDDUP_256), {} },
    ROW(VEXTRACTF128_XM_X_I, VEXTRACTF128)
    ROW(VEXTRACTI128_XM_X_I, VEXTRACTF128)
    ROW_VEC(VMOVMSKPS_R_X, VMOVMSKPS)
    ROW_VEC(VMOVMSKPD_R_X, VMOVMSKPD)
    ROW_VEC(VPMOVMSKB_R_X, VPMOVMSKB)
    ROW(VZEROUPPER, VZEROUPPER)
    ROW(VZEROALL, VZEROALL)
    ROW_VEC(VCVTPS2PH_XM_X_I, VCVTPS2PH)
    ROW(VMASKMOVPS_X_X_M, masked_load_4)
    ROW(VMASKMOVPS_M_X_X, masked_store_4)
    ROW(VMASKMOVPD_X_X_M, masked_load_8)
    ROW(VMASKMOVPD_M_X_X, masked_store_8)
    ROW(VPMASKMOVD_X_X_M, masked_load_4)
    ROW(VPMASKMOVD_M_X_X, masked_store_4)
    ROW(VPMASKMOVQ_X_X_M, masked_load_8)
    ROW(VPMASKMOVQ_M_X_X, masked_store_8)
    ROW(VPGATHERDD_X_M_X, gather_dd)
    ROW(VPGATHERDQ_X_M_X, gather_dq)
    ROW(VPGATHERQD_X_M_X, gather_qd)
    ROW(VPGATHERQQ_X_M_X, gather_qq)
    ROW(VGATHERDPS_X_M_X, gather_dd)
    ROW(VGATHERDPD_X_M_X, gather_dq)
    ROW(VGATHERQPS_X_M_X, gather_qd)
    ROW(VGATHERQPD_X_M_X, gather_qq)
    {}
};
