/*
 * One x87 instruction on the host's unit, or in soft/.
 *
 * Each macro sets `sw`, the status word that the instruction leaves, and takes
 * its operands from the guest's stack.  A result that an unmasked exception
 * stopped is not seen.  `done`: it was delivered, with what is pushed or popped.
 * By its mnemonic FUCOM does not mind quiet NaNs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_X87_RUN_H
#define TCG_INTERP_X87_RUN_H

#include "accel/tcg/interp/soft/soft.h"
#include "accel/tcg/interp/x87.h"

#if HOST_UNITS
/* The destination is the host's ST(0), so that an unmasked exception leaves the
 * same value to be stored back. */
#define RUN_BINARY(op, mnem, dst, src)                                      \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %2\n\tfldt %1\n\tfldcw %3\n\t" mnem "\n\tfnstsw %0" \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, dst)), "m"(*x87_st(env, src)),      \
                       "m"(env->s.fcw));                                    \
        x87_end(sw_);                                                       \
        asm volatile("fstpt %0\n\tfstp %%st(0)" : "=m"(*x87_st(env, dst))); \
        sw = sw_;                                                           \
    } while (0)
#define RUN_BINARY_MEM(op, kind, mnem)                                      \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %1\n\tfldcw %3\n\t" mnem " (%2)\n\tfnstsw %0"    \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "r"(s), "m"(env->s.fcw),       \
                       "m"(*(const uint64_t *)s));                          \
        x87_end(sw_);                                                       \
        asm volatile("fstpt %0" : "=m"(*x87_st(env, 0)));                   \
        sw = sw_;                                                           \
    } while (0)
#define RUN_COMPARE(mnem, i)                                                \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %2\n\tfldt %1\n\tfldcw %3\n\t"                   \
                     mnem " %%st(1)\n\tfnstsw %0"                           \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "m"(*x87_st(env, i)),          \
                       "m"(env->s.fcw));                                    \
        x87_end(sw_);                                                       \
        asm volatile("fstp %st(0)\n\tfstp %st(0)");                         \
        sw = sw_;                                                           \
    } while (0)
#define RUN_COMPARE_MEM(kind, mnem)                                         \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %1\n\tfldcw %3\n\t" mnem " (%2)\n\tfnstsw %0"    \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "r"(s), "m"(env->s.fcw),       \
                       "m"(*(const uint64_t *)s));                          \
        x87_end(sw_);                                                       \
        asm volatile("fstp %st(0)");                                        \
        sw = sw_;                                                           \
    } while (0)
#define RUN_COMPARE_FLAGS(mnem, i)                                          \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %5\n\tfldt %4\n\tfldcw %6\n\t"                   \
                     mnem " %%st(1), %%st\n\tfnstsw %0"                     \
                     : "=a"(sw_), "=@ccz"(z), "=@ccp"(p), "=@ccc"(c)        \
                     : "m"(*x87_st(env, 0)), "m"(*x87_st(env, i)),          \
                       "m"(env->s.fcw));                                    \
        x87_end(sw_);                                                       \
        asm volatile("fstp %st(0)\n\tfstp %st(0)");                         \
        sw = sw_;                                                           \
    } while (0)
#define RUN_TEST()                                                          \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %1\n\tfldcw %2\n\tftst\n\tfnstsw %0"             \
                     : "=a"(sw_) : "m"(*x87_st(env, 0)), "m"(env->s.fcw));  \
        x87_end(sw_);                                                       \
        asm volatile("fstp %st(0)");                                        \
        sw = sw_;                                                           \
    } while (0)
#define RUN_UNARY(op, mnem)                                                 \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %1\n\tfldcw %2\n\t" mnem "\n\tfnstsw %0"         \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "m"(env->s.fcw));              \
        x87_end(sw_);                                                       \
        asm volatile("fstpt %0" : "=m"(*x87_st(env, 0)));                   \
        sw = sw_;                                                           \
    } while (0)
#define RUN_POP(op, mnem, done)                                             \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %2\n\tfldt %1\n\tfldcw %3\n\t"                   \
                     mnem "\n\tfnstsw %0"                                   \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "m"(*x87_st(env, 1)),          \
                       "m"(env->s.fcw));                                    \
        x87_end(sw_);                                                       \
        sw = sw_;                                                           \
        done = HOST_DEPTH(sw) == 1;                                         \
        if (likely(done)) {                                                 \
            asm volatile("fstpt %0" : "=m"(*x87_st(env, 1)));               \
        } else {                                                            \
            asm volatile("fstp %st(0)\n\tfstp %st(0)");                     \
        }                                                                   \
    } while (0)
#define RUN_TWO(op, mnem, done)                                             \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %1\n\tfldcw %2\n\t" mnem "\n\tfnstsw %0"         \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "m"(env->s.fcw));              \
        x87_end(sw_);                                                       \
        sw = sw_;                                                           \
        done = HOST_DEPTH(sw) == 2;                                         \
        if (likely(done)) {                                                 \
            asm volatile("fstpt %0\n\tfstpt %1"                             \
                         : "=m"(*x87_st(env, 7)), "=m"(*x87_st(env, 0)));   \
        } else {                                                            \
            asm volatile("fstp %st(0)");                                    \
        }                                                                   \
    } while (0)
#define RUN_LOAD(kind, mnem, done)                                          \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldcw %2\n\t" mnem " (%1)\n\tfnstsw %0"               \
                     : "=a"(sw_) : "r"(s), "m"(env->s.fcw)                  \
                     : "memory");                                           \
        x87_end(sw_);                                                       \
        sw = sw_;                                                           \
        done = HOST_DEPTH(sw) != 0;                                         \
        if (likely(done)) {                                                 \
            asm volatile("fstpt %0" : "=m"(*x87_st(env, 7)));               \
        }                                                                   \
    } while (0)
#define RUN_CONSTANT(op, mnem)                                              \
    do {                                                                    \
        x87_begin(env);                                                     \
        asm volatile("fldcw %1\n\t" mnem "\n\tfstpt %0"                     \
                     : "=m"(*x87_st(env, 7)) : "m"(env->s.fcw));            \
        x87_end(0);                                                         \
    } while (0)
/* The host's instruction pops exactly when it stores. */
#define RUN_STORE(kind, mnem, done)                                         \
    do {                                                                    \
        uint16_t sw_;                                                       \
                                                                            \
        x87_begin(env);                                                     \
        asm volatile("fldt %1\n\tfldcw %3\n\t" mnem " (%2)\n\tfnstsw %0"    \
                     : "=a"(sw_)                                            \
                     : "m"(*x87_st(env, 0)), "r"(p), "m"(env->s.fcw)        \
                     : "memory");                                           \
        x87_end(sw_);                                                       \
        sw = sw_;                                                           \
        done = HOST_DEPTH(sw) == 0;                                         \
        if (unlikely(!done)) {                                              \
            asm volatile("fstp %st(0)");                                    \
        }                                                                   \
    } while (0)

#else
#define RUN_BINARY(op, mnem, dst, src)                                      \
    (sw = soft_x87_binary(env->s.fcw, SOFT_##op, x87_st(env, dst),          \
                          x87_st(env, dst), x87_st(env, src)))
#define RUN_BINARY_MEM(op, kind, mnem)                                      \
    (sw = soft_x87_binary_mem(env->s.fcw, SOFT_##op, x87_st(env, 0),        \
                              x87_st(env, 0), SOFT_##kind, s))
#define RUN_COMPARE(mnem, i)                                                \
    (sw = soft_x87_compare(env->s.fcw, x87_st(env, 0), x87_st(env, i),      \
                           (mnem)[1] != 'u'))
#define RUN_COMPARE_MEM(kind, mnem) \
    (sw = soft_x87_compare_mem(env->s.fcw, x87_st(env, 0), SOFT_##kind, s))
#define RUN_COMPARE_FLAGS(mnem, i)                                          \
    do {                                                                    \
        RUN_COMPARE(mnem, i);                                               \
        z = sw & FSW_C3;                                                    \
        p = sw & FSW_C2;                                                    \
        c = sw & FSW_C0;                                                    \
    } while (0)
#define RUN_TEST()                                                          \
    do {                                                                    \
        X86Fp zero = { 0 };                                                 \
                                                                            \
        sw = soft_x87_compare(env->s.fcw, x87_st(env, 0), &zero, true);     \
    } while (0)
#define RUN_UNARY(op, mnem)                                                 \
    (sw = soft_x87_unary(env->s.fcw, SOFT_##op, x87_st(env, 0),             \
                         x87_st(env, 0)))
#define DONE(done, call) (sw = (call), (done) = !(sw & SOFT_STOPPED))
#define RUN_POP(op, mnem, done)                                             \
    DONE(done, soft_x87_binary(env->s.fcw, SOFT_##op, x87_st(env, 1),       \
                               x87_st(env, 0), x87_st(env, 1)))
#define RUN_TWO(op, mnem, done)                                             \
    DONE(done, soft_x87_two(env->s.fcw, SOFT_##op, x87_st(env, 0),          \
                            x87_st(env, 7), x87_st(env, 0)))
#define RUN_LOAD(kind, mnem, done)                                          \
    DONE(done, soft_x87_load(env->s.fcw, x87_st(env, 7), SOFT_##kind, s))
#define RUN_CONSTANT(op, mnem) \
    soft_x87_constant(env->s.fcw, SOFT_##op, x87_st(env, 7))
#define RUN_STORE(kind, mnem, done)                                         \
    DONE(done, soft_x87_store(env->s.fcw, p, x87_st(env, 0), SOFT_##kind,   \
                              !strncmp(mnem, "fistt", 5)))
#endif

#endif
