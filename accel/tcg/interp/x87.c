/*
 * x87: loads and stores, arithmetic, comparison, transcendental functions.
 *
 * Spec:   Intel SDM volume 1, chapter 8; volume 2.
 * Models: everything but what moves the whole environment, which is in
 *         x87-env.c.  The arithmetic is the host's, or soft/'s.  FOP, FIP, FCS, FDP and FDS
 *         are kept for every instruction that is not a control instruction, as
 *         processors before FDP_EXCPTN_ONLY and FOP compatibility did.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/x87-run.h"

/* --- ST(d) = ST(d) op something ------------------------------------------- */

enum { POP_NONE, POP_ONE, POP_TWO };

/* The result of an instruction whose operand was missing. */
static const Insn *underflow(Env *env, const Insn *insn, unsigned d, int pop)
{
    if (x87_stack_fault(env, false)) {
        x87_indefinite(x87_st(env, d));
        x87_mark_valid(env, d);
        if (pop) {
            x87_pop(env);
        }
    }
    NEXT(env, insn);
}

/* Two registers. */
#define ARITH_REG(NAME, op, mnem, dst, src, pop)                            \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(x87_empty(env, dst) || x87_empty(env, src))) {         \
            return underflow(env, insn, dst, pop);                          \
        }                                                                   \
        RUN_BINARY(op, mnem " %%st(1), %%st", dst, src);                    \
        if (likely(x87_merge(env, sw, FSW_C1)) && pop) {                    \
            x87_pop(env);                                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }

/* ST(0) and memory of `n` bytes. */
#define ARITH_MEM(NAME, op, kind, mnem, n)                                  \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        s = mem_rd(env, insn, n, false, slow);                              \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        x87_note_mem(env, insn);                                            \
        if (unlikely(x87_empty(env, 0))) {                                  \
            return underflow(env, insn, 0, POP_NONE);                       \
        }                                                                   \
        RUN_BINARY_MEM(op, kind, mnem);                                     \
        x87_merge(env, sw, FSW_C1);                                         \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

#define ARITH(X)                                \
    X(FADD, "add")                              \
    X(FMUL, "mul")                              \
    X(FSUB, "sub")                              \
    X(FSUBR, "subr")                            \
    X(FDIV, "div")                              \
    X(FDIVR, "divr")

#define X(NAME, mnem)                                                       \
    ARITH_REG(NAME##_ST0_STi, NAME, "f" mnem, 0, insn->rm, POP_NONE)        \
    ARITH_REG(NAME##_STi_ST0, NAME, "f" mnem, insn->rm, 0, POP_NONE)        \
    ARITH_REG(NAME##P_STi_ST0, NAME, "f" mnem, insn->rm, 0, POP_ONE)        \
    ARITH_MEM(NAME##_ST0_M32, NAME, F32, "f" mnem "s", 4)                   \
    ARITH_MEM(NAME##_ST0_M64, NAME, F64, "f" mnem "l", 8)                   \
    ARITH_MEM(NAME##_ST0_I16, NAME, I16, "fi" mnem "s", 2)                  \
    ARITH_MEM(NAME##_ST0_I32, NAME, I32, "fi" mnem "l", 4)
ARITH(X)
#undef X

/* --- comparison ----------------------------------------------------------- */

/* Pops happen with the quiet result of a masked exception too. */
static void pops(Env *env, int pop)
{
    if (pop >= POP_ONE) {
        x87_pop(env);
    }
    if (pop == POP_TWO) {
        x87_pop(env);
    }
}

static const Insn *compare_underflow(Env *env, const Insn *insn, int pop)
{
    env->s.fsw |= FSW_C3 | FSW_C2 | FSW_C0;
    if (x87_stack_fault(env, false)) {
        pops(env, pop);
    }
    NEXT(env, insn);
}

#define COMPARE_REG(NAME, mnem, i, pop)                                     \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(x87_empty(env, 0) || x87_empty(env, i))) {             \
            return compare_underflow(env, insn, pop);                       \
        }                                                                   \
        RUN_COMPARE(mnem, i);                                               \
        if (likely(x87_merge(env, sw, FSW_CC))) {                           \
            pops(env, pop);                                                 \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }

#define COMPARE_MEM(NAME, kind, mnem, n, pop)                               \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        s = mem_rd(env, insn, n, false, slow);                              \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        x87_note_mem(env, insn);                                            \
        if (unlikely(x87_empty(env, 0))) {                                  \
            return compare_underflow(env, insn, pop);                       \
        }                                                                   \
        RUN_COMPARE_MEM(kind, mnem);                                        \
        if (likely(x87_merge(env, sw, FSW_CC))) {                           \
            pops(env, pop);                                                 \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)

/* Results in EFLAGS. */
#define COMPARE_FLAGS(NAME, mnem, pop)                                      \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        bool z, p, c, ok;                                                   \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(x87_empty(env, 0) || x87_empty(env, insn->rm))) {      \
            ok = x87_stack_fault(env, false);                               \
            z = p = c = true;                                               \
        } else {                                                            \
            RUN_COMPARE_FLAGS(mnem, insn->rm);                              \
            ok = x87_merge(env, sw, 0);                                     \
        }                                                                   \
        cc_set(env, (z ? FL_ZF : 0) | (p ? FL_PF : 0) | (c ? FL_CF : 0));   \
        if (likely(ok)) {                                                   \
            pops(env, pop);                                                 \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }

#define COMPARE(X_REG, X_MEM, X_FLAGS)                          \
    X_REG(FCOM_ST0_STi, "fcom", insn->rm, POP_NONE)             \
    X_REG(FCOMP_ST0_STi, "fcom", insn->rm, POP_ONE)             \
    X_REG(FCOMPP, "fcom", 1, POP_TWO)                           \
    X_REG(FUCOM_ST0_STi, "fucom", insn->rm, POP_NONE)           \
    X_REG(FUCOMP_ST0_STi, "fucom", insn->rm, POP_ONE)           \
    X_REG(FUCOMPP, "fucom", 1, POP_TWO)                         \
    X_MEM(FCOM_ST0_M32, F32, "fcoms", 4, POP_NONE)              \
    X_MEM(FCOM_ST0_M64, F64, "fcoml", 8, POP_NONE)              \
    X_MEM(FCOM_ST0_I16, I16, "ficoms", 2, POP_NONE)             \
    X_MEM(FCOM_ST0_I32, I32, "ficoml", 4, POP_NONE)             \
    X_MEM(FCOMP_ST0_M32, F32, "fcoms", 4, POP_ONE)              \
    X_MEM(FCOMP_ST0_M64, F64, "fcoml", 8, POP_ONE)              \
    X_MEM(FCOMP_ST0_I16, I16, "ficoms", 2, POP_ONE)             \
    X_MEM(FCOMP_ST0_I32, I32, "ficoml", 4, POP_ONE)             \
    X_FLAGS(FCOMI_ST0_STi, "fcomi", POP_NONE)                   \
    X_FLAGS(FCOMIP_ST0_STi, "fcomi", POP_ONE)                   \
    X_FLAGS(FUCOMI_ST0_STi, "fucomi", POP_NONE)                 \
    X_FLAGS(FUCOMIP_ST0_STi, "fucomi", POP_ONE)
COMPARE(COMPARE_REG, COMPARE_MEM, COMPARE_FLAGS)

static const Insn *FXAM(Env *env, const Insn *insn)
{
    const X86Fp *r = x87_st(env, 0);
    unsigned exp = r->exp_sign & 0x7fff, cc;
    bool j = r->mant >> 63;

    NEED_X87(env, insn);
    x87_note(env, insn);
    if (x87_empty(env, 0)) {
        cc = FSW_C3 | FSW_C0;
    } else if (exp == 0) {
        cc = r->mant ? FSW_C3 | FSW_C2 : FSW_C3;    /* denormal, zero */
    } else if (!j) {
        cc = 0;                                     /* unsupported */
    } else if (exp == 0x7fff) {
        cc = r->mant << 1 ? FSW_C0 : FSW_C2 | FSW_C0;   /* NaN, infinity */
    } else {
        cc = FSW_C2;                                /* normal */
    }
    env->s.fsw = (env->s.fsw & ~FSW_CC) | cc
                 | (r->exp_sign & 0x8000 ? FSW_C1 : 0);
    NEXT(env, insn);
}

/* --- functions of ST(0), and of ST(0) and ST(1) --------------------------- */

#define UNARY_OPS(X)                                        \
    X(FSQRT, "fsqrt", FSW_C1)                               \
    X(FRNDINT, "frndint", FSW_C1)                           \
    X(F2XM1, "f2xm1", FSW_C1)                               \
    X(FSIN, "fsin", FSW_C1 | FSW_C2)                        \
    X(FCOS, "fcos", FSW_C1 | FSW_C2)

#define X(NAME, mnem, cc)                                                   \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(x87_empty(env, 0))) {                                  \
            env->s.fsw &= ~((cc) & FSW_C2);                                 \
            return underflow(env, insn, 0, POP_NONE);                       \
        }                                                                   \
        RUN_UNARY(NAME, mnem);                                              \
        x87_merge(env, sw, cc);                                             \
        NEXT(env, insn);                                                    \
    }
UNARY_OPS(X)
#undef X

/* The result goes to ST(0), ST(1) stays. */
#define BINARY_OPS(X)                                       \
    X(FSCALE, "fscale", FSW_C1)                             \
    X(FPREM, "fprem", FSW_CC)                               \
    X(FPREM1, "fprem1", FSW_CC)

#define X(NAME, mnem, cc)                                                   \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(x87_empty(env, 0) || x87_empty(env, 1))) {             \
            env->s.fsw &= ~((cc) & FSW_C2);                                 \
            return underflow(env, insn, 0, POP_NONE);                       \
        }                                                                   \
        RUN_BINARY(NAME, mnem, 0, 1);                                       \
        x87_merge(env, sw, x87_is_nan(x87_st(env, 0))                       \
                           || (sw & FSW_ES && sw & ~env->s.fcw & FSW_PRE)   \
                           ? (cc) & (FSW_C1 | FSW_C2) : (cc));              \
        NEXT(env, insn);                                                    \
    }
BINARY_OPS(X)
#undef X

/* The result goes to ST(1), ST(0) is popped: by the host too, unless an
 * exception stopped it. */
#define BINARY_POP_OPS(X)                                   \
    X(FYL2X, "fyl2x")                                       \
    X(FYL2XP1, "fyl2xp1")                                   \
    X(FPATAN, "fpatan")

#define X(NAME, mnem)                                                       \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        unsigned sw;                                                        \
        bool done;                                                          \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(x87_empty(env, 0) || x87_empty(env, 1))) {             \
            return underflow(env, insn, 1, POP_ONE);                        \
        }                                                                   \
        RUN_POP(NAME, mnem, done);                                          \
        x87_merge(env, sw, FSW_C1);                                         \
        if (likely(done)) {                                                 \
            x87_pop(env);                                                   \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
BINARY_POP_OPS(X)
#undef X

/*
 * ST(0) is replaced and another value pushed: FPTAN, FSINCOS, which do nothing
 * but set C2 when the operand is out of range, and FXTRACT.
 */
#define PUSH_OPS(X)                                         \
    X(FPTAN, "fptan", FSW_C1 | FSW_C2)                      \
    X(FSINCOS, "fsincos", FSW_C1 | FSW_C2)                  \
    X(FXTRACT, "fxtract", FSW_C1)

#define X(NAME, mnem, cc)                                                   \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        bool under = x87_empty(env, 0), done;                               \
        unsigned sw;                                                        \
                                                                            \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(under || !x87_empty(env, 7))) {                        \
            env->s.fsw &= ~(cc);                                            \
            if (x87_stack_fault(env, !under)) {                             \
                x87_indefinite(x87_st(env, 0));                             \
                x87_mark_valid(env, 0);                                     \
                x87_indefinite(x87_push(env));                              \
            }                                                               \
            NEXT(env, insn);                                                \
        }                                                                   \
        RUN_TWO(NAME, mnem, done);                                          \
        x87_merge(env, sw, cc);                                             \
        if (likely(done)) {                                                 \
            x87_push(env);                                                  \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }
PUSH_OPS(X)
#undef X

static const Insn *change_sign(Env *env, const Insn *insn, uint16_t and,
                               uint16_t xor)
{
    if (unlikely(x87_empty(env, 0))) {
        return underflow(env, insn, 0, POP_NONE);
    }
    x87_st(env, 0)->exp_sign = (x87_st(env, 0)->exp_sign & and) ^ xor;
    env->s.fsw &= ~FSW_C1;
    NEXT(env, insn);
}

static const Insn *FCHS(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    return change_sign(env, insn, 0xffff, 0x8000);
}

static const Insn *FABS(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    return change_sign(env, insn, 0x7fff, 0);
}

static const Insn *FTST(Env *env, const Insn *insn)
{
    unsigned sw;

    NEED_X87(env, insn);
    x87_note(env, insn);
    if (unlikely(x87_empty(env, 0))) {
        return compare_underflow(env, insn, POP_NONE);
    }
    RUN_TEST();
    x87_merge(env, sw, FSW_CC);
    NEXT(env, insn);
}

/* --- loads ---------------------------------------------------------------- */

/* Push where there is no room. */
static const Insn *overflow(Env *env, const Insn *insn)
{
    if (x87_stack_fault(env, true)) {
        x87_indefinite(x87_push(env));
    }
    NEXT(env, insn);
}

#define LOAD_OPS(X)                             \
    X(FLD_M32, F32, "flds", 4)                  \
    X(FLD_M64, F64, "fldl", 8)                  \
    X(FLD_M80, F80, "fldt", 10)                 \
    X(FILD_I16, I16, "filds", 2)                \
    X(FILD_I32, I32, "fildl", 4)                \
    X(FILD_I64, I64, "fildll", 8)               \
    X(FBLD_M80, BCD, "fbld", 10)

#define X(NAME, kind, mnem, n)                                                    \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        const void *s;                                                      \
        unsigned sw;                                                        \
        bool done;                                                          \
                                                                            \
        NEED_X87(env, insn);                                                \
        s = mem_rd(env, insn, n, false, slow);                              \
        if (unlikely(!s)) {                                                 \
            MISS(env, insn, slow);                                          \
        }                                                                   \
        x87_note_mem(env, insn);                                            \
        if (unlikely(!x87_empty(env, 7))) {                                 \
            return overflow(env, insn);                                     \
        }                                                                   \
        RUN_LOAD(kind, mnem, done);                                         \
        x87_merge(env, sw, FSW_C1);                                         \
        if (likely(done)) {                                                 \
            x87_push(env);                                                  \
        }                                                                   \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
LOAD_OPS(X)
#undef X

#define CONSTANT_OPS(X)                         \
    X(FLD1, "fld1")                             \
    X(FLDL2T, "fldl2t")                         \
    X(FLDL2E, "fldl2e")                         \
    X(FLDPI, "fldpi")                           \
    X(FLDLG2, "fldlg2")                         \
    X(FLDLN2, "fldln2")                         \
    X(FLDZ, "fldz")

#define X(NAME, mnem)                                                       \
    static const Insn *NAME(Env *env, const Insn *insn)                     \
    {                                                                       \
        NEED_X87(env, insn);                                                \
        x87_note(env, insn);                                                \
        if (unlikely(!x87_empty(env, 7))) {                                 \
            return overflow(env, insn);                                     \
        }                                                                   \
        RUN_CONSTANT(NAME, mnem);                                           \
        x87_push(env);                                                      \
        env->s.fsw &= ~FSW_C1;                                              \
        NEXT(env, insn);                                                    \
    }
CONSTANT_OPS(X)
#undef X

static const Insn *FLD_STi(Env *env, const Insn *insn)
{
    const X86Fp *s = x87_st(env, insn->rm);

    NEED_X87(env, insn);
    x87_note(env, insn);
    if (unlikely(x87_empty(env, insn->rm))) {
        if (x87_stack_fault(env, false)) {
            x87_indefinite(x87_push(env));
        }
        NEXT(env, insn);
    }
    if (unlikely(!x87_empty(env, 7))) {
        return overflow(env, insn);
    }
    *x87_push(env) = *s;
    env->s.fsw &= ~FSW_C1;
    NEXT(env, insn);
}

/* --- stores --------------------------------------------------------------- */

/* What an empty register is in memory. */
static const struct {
    uint8_t f32[4], f64[8], f80[10], i16[2], i32[4], i64[8], bcd[10];
} indefinite = {
    .f32 = { 0, 0, 0xc0, 0xff }, .f64 = { 0, 0, 0, 0, 0, 0, 0xf8, 0xff },
    .f80 = { 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff },
    .i16 = { 0, 0x80 }, .i32 = { 0, 0, 0, 0x80 },
    .i64 = { 0, 0, 0, 0, 0, 0, 0, 0x80 },
    .bcd = { 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff },
};

/* On Intel's an exception that stops the store comes before the operand's
 * fault, which then never happens. */
static bool store_ignores_fault(Env *env, bool stopped)
{
    if (stopped) {
        env->exc_vector = -1;
    }
    return stopped;
}

/* Of ten bytes Intel's write eight before they look at the others. */
static const Insn *store_faults(Env *env, const Insn *insn, const void *from,
                                unsigned n)
{
    uint64_t cr2 = env->exc_cr2;
    uint32_t error = env->exc_error;
    int32_t vector = env->exc_vector;
    void *p = n == 10 && vector == EXC_PF ? op_write(env, insn, 8) : NULL;

    if (p) {
        memcpy(p, from, 8);
        mem_written(env, p);
        exc_set(env, vector, true, error);
        env->exc_cr2 = cr2;
    }
    return insn_fault(env, insn);
}

/* Without a pop it is the same instruction: FST is FSTP on a copy. */
#define STORE_OPS(X)                            \
    X(FST_M32, F32, "fstps", f32, POP_NONE)     \
    X(FST_M64, F64, "fstpl", f64, POP_NONE)     \
    X(FSTP_M32, F32, "fstps", f32, POP_ONE)     \
    X(FSTP_M64, F64, "fstpl", f64, POP_ONE)     \
    X(FSTP_M80, F80, "fstpt", f80, POP_ONE)     \
    X(FIST_I16, I16, "fistps", i16, POP_NONE)   \
    X(FIST_I32, I32, "fistpl", i32, POP_NONE)   \
    X(FISTP_I16, I16, "fistps", i16, POP_ONE)   \
    X(FISTP_I32, I32, "fistpl", i32, POP_ONE)   \
    X(FISTP_I64, I64, "fistpll", i64, POP_ONE)  \
    X(FISTTP_I16, I16, "fisttps", i16, POP_ONE) \
    X(FISTTP_I32, I32, "fisttpl", i32, POP_ONE) \
    X(FISTTP_I64, I64, "fisttpll", i64, POP_ONE)\
    X(FBSTP_M80, BCD, "fbstp", bcd, POP_ONE)

#define X(NAME, as, mnem, kind, pop)                                        \
    TEMPLATE const Insn *NAME##_body(Env *env, const Insn *insn,            \
                                     InsnFn *slow)                          \
    {                                                                       \
        uint8_t nowhere[16];                                                \
        bool fault = false, done;                                           \
        unsigned sw;                                                        \
        void *p;                                                            \
                                                                            \
        NEED_X87(env, insn);                                                \
        p = mem_wr(env, insn, sizeof(indefinite.kind), false, slow);        \
        if (unlikely(!p)) {                                                 \
            if (slow || host_is_amd()) {                                    \
                MISS(env, insn, slow);                                      \
            }                                                               \
            p = nowhere;                                                    \
            fault = true;                                                   \
        }                                                                   \
        if (unlikely(x87_empty(env, 0))) {                                  \
            if (slow) {                                                     \
                return slow(env, insn);                                     \
            }                                                               \
            if (fault && !store_ignores_fault(env, !(env->s.fcw & MX_IE))) {\
                return store_faults(env, insn, indefinite.kind,             \
                                    sizeof(indefinite.kind));               \
            }                                                               \
            x87_note_mem(env, insn);                                        \
            if (x87_stack_fault(env, false)) {                              \
                memcpy(p, indefinite.kind, sizeof(indefinite.kind));        \
                mem_written(env, p);                                        \
                pops(env, pop);                                             \
            }                                                               \
            NEXT(env, insn);                                                \
        }                                                                   \
        RUN_STORE(as, mnem, done);                                          \
        if (fault && !store_ignores_fault(env, !done)) {                    \
            return store_faults(env, insn, p, sizeof(indefinite.kind));     \
        }                                                                   \
        x87_note_mem(env, insn);                                            \
        x87_merge(env, sw, FSW_C1);                                         \
        if (unlikely(!done)) {                                              \
            NEXT(env, insn);                                                \
        }                                                                   \
        stored(env, p, slow);                                               \
        pops(env, pop);                                                     \
        NEXT(env, insn);                                                    \
    }                                                                       \
    TWINS(NAME)
STORE_OPS(X)
#undef X

static const Insn *fst_sti(Env *env, const Insn *insn, int pop)
{
    if (unlikely(x87_empty(env, 0))) {
        /* D9 D8+i, "FSTPNCE", drops the register without complaint. */
        if ((insn->imm & 0x700) == 0x100) {
            env->s.fsw &= ~FSW_C1;
            x87_pop(env);
            NEXT(env, insn);
        }
        return underflow(env, insn, insn->rm, pop);
    }
    *x87_st(env, insn->rm) = *x87_st(env, 0);
    x87_mark_valid(env, insn->rm);
    env->s.fsw &= ~FSW_C1;
    pops(env, pop);
    NEXT(env, insn);
}

static const Insn *FST_STi(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    return fst_sti(env, insn, POP_NONE);
}

static const Insn *FSTP_STi(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    return fst_sti(env, insn, POP_ONE);
}

/* --- register moves ------------------------------------------------------- */

static const Insn *FXCH_ST0_STi(Env *env, const Insn *insn)
{
    X86Fp *a = x87_st(env, 0), *b = x87_st(env, insn->rm), t;

    NEED_X87(env, insn);
    x87_note(env, insn);
    if (unlikely(x87_empty(env, 0) || x87_empty(env, insn->rm))) {
        if (!x87_stack_fault(env, false)) {
            NEXT(env, insn);
        }
        if (x87_empty(env, 0)) {
            x87_indefinite(a);
            x87_mark_valid(env, 0);
        }
        if (x87_empty(env, insn->rm)) {
            x87_indefinite(b);
            x87_mark_valid(env, insn->rm);
        }
    } else {
        env->s.fsw &= ~FSW_C1;
    }
    t = *a;
    *a = *b;
    *b = t;
    NEXT(env, insn);
}

static const Insn *FCMOVCC_ST0_STi(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    if (unlikely(x87_empty(env, 0) || x87_empty(env, insn->rm))) {
        return underflow(env, insn, 0, POP_NONE);
    }
    if (cc_cond(env, insn->aux)) {
        *x87_st(env, 0) = *x87_st(env, insn->rm);
    }
    NEXT(env, insn);
}

static const Insn *FFREE_STi(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    env->s.ftw &= ~(1 << x87_phys(env, insn->rm));
    env->s.fsw &= ~FSW_C1;
    NEXT(env, insn);
}

static const Insn *FFREEP_STi(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    env->s.ftw &= ~(1 << x87_phys(env, insn->rm));
    env->s.fsw &= ~FSW_C1;
    x87_pop(env);
    NEXT(env, insn);
}

static const Insn *FDECSTP(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    x87_set_top(env, x87_top(env) - 1);
    env->s.fsw &= ~FSW_C1;
    NEXT(env, insn);
}

static const Insn *FINCSTP(Env *env, const Insn *insn)
{
    NEED_X87(env, insn);
    x87_note(env, insn);
    x87_set_top(env, x87_top(env) + 1);
    env->s.fsw &= ~FSW_C1;
    NEXT(env, insn);
}

/* Also what were FENI, FDISI and FSETPM (DB E0, E1, E4), which do not wait. */
static const Insn *FNOP(Env *env, const Insn *insn)
{
    if ((insn->imm & 0x700) == 0x300) {
        if (env->s.cr0 & (CR0_EM | CR0_TS)) {
            return insn_raise(env, insn, EXC_NM);
        }
        NEXT(env, insn);
    }
    NEED_X87(env, insn);
    x87_note(env, insn);
    NEXT(env, insn);
}

const HandlerRow fpu_x87[] = {
#define X(NAME, mnem)                           \
    ROW(NAME##_ST0_STi, NAME##_ST0_STi)         \
    ROW(NAME##_STi_ST0, NAME##_STi_ST0)         \
    ROW(NAME##P_STi_ST0, NAME##P_STi_ST0)       \
    ROW(NAME##_ST0_M32, NAME##_ST0_M32)         \
    ROW(NAME##_ST0_M64, NAME##_ST0_M64)         \
    ROW(NAME##_ST0_I16, NAME##_ST0_I16)         \
    ROW(NAME##_ST0_I32, NAME##_ST0_I32)
    ARITH(X)
#undef X
#define X(NAME, ...) ROW(NAME, NAME)
    COMPARE(X, X, X)
    UNARY_OPS(X)
    BINARY_OPS(X)
    BINARY_POP_OPS(X)
    PUSH_OPS(X)
    LOAD_OPS(X)
    CONSTANT_OPS(X)
    STORE_OPS(X)
    X(FXAM)
    X(FTST)
    X(FCHS)
    X(FABS)
    X(FLD_STi)
    X(FST_STi)
    X(FSTP_STi)
    X(FXCH_ST0_STi)
    X(FCMOVCC_ST0_STi)
    X(FFREE_STi)
    X(FFREEP_STi)
    X(FDECSTP)
    X(FINCSTP)
    X(FNOP)
#undef X
    {}
};
