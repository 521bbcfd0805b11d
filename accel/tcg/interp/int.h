/*
 * What the integer handlers are made from.
 *
 * A handler is written once as an always-inline template with the operand
 * width and the operation as constants; macros make the functions.
 *
 * Memory forms exist twice.  The fast one holds only the TLB hit; everything
 * else (a miss, I/O, a page crossing, a segment with a base) is a tail call to
 * the slow one, the same template with calls in it.  So the fast one needs no
 * stack frame: a call that returns into it would cost it the saving and
 * restoring of registers on every execution.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_INT_H
#define TCG_INTERP_INT_H

#include "accel/tcg/env.h"
#include "accel/tcg/interp/host.h"

#define TEMPLATE static inline __attribute__((always_inline))
#define SLOW     static __attribute__((noinline, cold))

/* --- guest memory at a host pointer: one access, any alignment ------------ */

typedef volatile uint8_t MemU8 __attribute__((may_alias));
typedef volatile uint16_t MemU16 __attribute__((aligned(1), may_alias));
typedef volatile uint32_t MemU32 __attribute__((aligned(1), may_alias));
typedef volatile uint64_t MemU64 __attribute__((aligned(1), may_alias));

TEMPLATE uint64_t load(const void *p, unsigned bits)
{
    switch (bits) {
    case 8:
        return *(const MemU8 *)p;
    case 16:
        return *(const MemU16 *)p;
    case 32:
        return *(const MemU32 *)p;
    default:
        return *(const MemU64 *)p;
    }
}

TEMPLATE void store(void *p, unsigned bits, uint64_t v)
{
    switch (bits) {
    case 8:
        *(MemU8 *)p = v;
        break;
    case 16:
        *(MemU16 *)p = v;
        break;
    case 32:
        *(MemU32 *)p = v;
        break;
    default:
        *(MemU64 *)p = v;
        break;
    }
}

/* --- registers ------------------------------------------------------------ */

TEMPLATE uint64_t reg_get(const Env *env, unsigned n, unsigned bits)
{
    switch (bits) {
    case 8:
        return *((const uint8_t *)env->s.gpr + n);
    case 16:
        return (uint16_t)env->s.gpr[n];
    case 32:
        return (uint32_t)env->s.gpr[n];
    default:
        return env->s.gpr[n];
    }
}

/* As instructions write: 32 bits clear the upper half, 8 and 16 keep it. */
TEMPLATE void reg_set(Env *env, unsigned n, unsigned bits, uint64_t v)
{
    switch (bits) {
    case 8:
        *((uint8_t *)env->s.gpr + n) = v;
        break;
    case 16:
        store(&env->s.gpr[n], 16, v);
        break;
    case 32:
        env->s.gpr[n] = (uint32_t)v;
        break;
    default:
        env->s.gpr[n] = v;
        break;
    }
}

/* An accumulator or another fixed register, in the byte numbering too. */
#define BYTE_REG(r) ((r) * 8)
TEMPLATE uint64_t acc_get(const Env *env, unsigned r, unsigned bits)
{
    return reg_get(env, bits == 8 ? BYTE_REG(r) : r, bits);
}
TEMPLATE void acc_set(Env *env, unsigned r, unsigned bits, uint64_t v)
{
    reg_set(env, bits == 8 ? BYTE_REG(r) : r, bits, v);
}

/* --- widths --------------------------------------------------------------- */

TEMPLATE uint64_t sext(uint64_t v, unsigned bits)
{
    return (uint64_t)((int64_t)(v << (64 - bits)) >> (64 - bits));
}
TEMPLATE uint64_t zext(uint64_t v, unsigned bits)
{
    return v << (64 - bits) >> (64 - bits);
}

/* --- flags ---------------------------------------------------------------- */

/* `cv`: the carries, or borrows, out of each bit. */
TEMPLATE void cc_arith(Env *env, unsigned bits, uint64_t r, uint64_t cv)
{
    env->cc_res = sext(r, bits);
    env->cc_aux = bits == 64 ? cv & ~UINT64_C(7)
                             : cv << (64 - bits) | (cv & 8);
}

TEMPLATE void cc_logic(Env *env, unsigned bits, uint64_t r)
{
    env->cc_res = sext(r, bits);
    env->cc_aux = 0;
}

/* SZP from the result, CF and OF (0 or 1) as given, AF clear. */
TEMPLATE void cc_result(Env *env, unsigned bits, uint64_t r, unsigned cf,
                        unsigned of)
{
    env->cc_res = sext(r, bits);
    env->cc_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
}

/* Only CF, the rest stays. */
TEMPLATE void cc_put_cf(Env *env, unsigned cf)
{
    uint64_t of = (env->cc_aux >> 63 ^ env->cc_aux >> 62) & 1;

    env->cc_aux = (env->cc_aux & ~(UINT64_C(3) << 62))
                  | (uint64_t)cf << 63 | ((uint64_t)cf ^ of) << 62;
}

/* Only CF and OF. */
TEMPLATE void cc_put_cf_of(Env *env, unsigned cf, unsigned of)
{
    env->cc_aux = (env->cc_aux & ~(UINT64_C(3) << 62))
                  | (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
}

/* A condition, 0 to 15 as in Jcc's opcode. */
TEMPLATE bool cc_cond(const Env *env, unsigned cond)
{
    bool v;

    switch (cond >> 1) {
    case 0:
        v = cc_of(env);
        break;
    case 1:
        v = cc_cf(env);
        break;
    case 2:
        v = cc_zf(env);
        break;
    case 3:
        v = cc_cf(env) | cc_zf(env);
        break;
    case 4:
        v = cc_sf(env);
        break;
    case 5:
        v = cc_pf(env);
        break;
    case 6:
        v = cc_sf(env) ^ cc_of(env);
        break;
    default:
        v = (cc_sf(env) ^ cc_of(env)) | cc_zf(env);
        break;
    }
    return v ^ (cond & 1);
}

/* --- memory operands ------------------------------------------------------ */

/*
 * The operand's host pointer: with `slow` the TLB hit only, NULL otherwise;
 * without it (in the slow twin) whatever it takes, NULL for a fault.
 */
TEMPLATE const void *rd(Env *env, const Insn *insn, unsigned bits,
                        InsnFn *slow)
{
    if (!slow) {
        return op_read(env, insn, bits / 8);
    }
    if (unlikely(insn->ea & EA_SEG)) {
        return NULL;
    }

    uint64_t gva = insn_offset(env, insn);
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nrpage + (bits / 8 - 1) <= 4095)) {
        return (const void *)(gva + e->addend);
    }
    return NULL;
}

TEMPLATE void *wr_fast(Env *env, const Insn *insn, unsigned bits)
{
    if (unlikely(insn->ea & EA_SEG)) {
        return NULL;
    }

    uint64_t gva = insn_offset(env, insn);
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nwpage + (bits / 8 - 1) <= 4095)) {
        return (void *)(gva + e->addend);
    }
    return NULL;
}

TEMPLATE void *wr(Env *env, const Insn *insn, unsigned bits, InsnFn *slow)
{
    return slow ? wr_fast(env, insn, bits) : op_write(env, insn, bits / 8);
}

TEMPLATE void *rmw(Env *env, const Insn *insn, unsigned bits, InsnFn *slow)
{
    return slow ? wr_fast(env, insn, bits) : op_rmw(env, insn, bits / 8);
}

TEMPLATE void *locked(Env *env, const Insn *insn, unsigned bits, InsnFn *slow)
{
    return slow ? wr_fast(env, insn, bits) : op_lock(env, insn, bits / 8);
}

/* After a store through wr() or rmw(). */
TEMPLATE void stored(Env *env, const void *p, InsnFn *slow)
{
    if (!slow) {
        mem_written(env, p);
    }
}

TEMPLATE void unlock(Env *env, const void *p, InsnFn *slow)
{
    if (!slow) {
        mem_locked_done(env, p);
    }
}

/* What to do with a NULL from these.  Returns. */
#define MISS(env, insn, slow) \
    return (slow) ? (slow)((env), (insn)) : insn_fault((env), (insn))

/* Fast and slow twin of a template called `body` with constants. */
#define DEFINE_MEM(name, body, ...)                                         \
    SLOW const Insn *name##_slow(Env *env, const Insn *insn)                \
    {                                                                       \
        return body(env, insn, __VA_ARGS__, NULL);                          \
    }                                                                       \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        return body(env, insn, __VA_ARGS__, name##_slow);                   \
    }

#define DEFINE_REG(name, body, ...)                                         \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        return body(env, insn, __VA_ARGS__);                                \
    }

/* The same for widths 8 to 64: name_8 and so on; SIZES(name) lists them. */
#define DEFINE_MEM_SIZES(name, body, ...)                                   \
    DEFINE_MEM(name##_8, body, 8, __VA_ARGS__)                              \
    DEFINE_MEM(name##_16, body, 16, __VA_ARGS__)                            \
    DEFINE_MEM(name##_32, body, 32, __VA_ARGS__)                            \
    DEFINE_MEM(name##_64, body, 64, __VA_ARGS__)
#define DEFINE_REG_SIZES(name, body, ...)                                   \
    DEFINE_REG(name##_8, body, 8, __VA_ARGS__)                              \
    DEFINE_REG(name##_16, body, 16, __VA_ARGS__)                            \
    DEFINE_REG(name##_32, body, 32, __VA_ARGS__)                            \
    DEFINE_REG(name##_64, body, 64, __VA_ARGS__)
#define DEFINE_MEM_WIDE(name, body, ...)                                    \
    DEFINE_MEM(name##_16, body, 16, __VA_ARGS__)                            \
    DEFINE_MEM(name##_32, body, 32, __VA_ARGS__)                            \
    DEFINE_MEM(name##_64, body, 64, __VA_ARGS__)
#define DEFINE_REG_WIDE(name, body, ...)                                    \
    DEFINE_REG(name##_16, body, 16, __VA_ARGS__)                            \
    DEFINE_REG(name##_32, body, 32, __VA_ARGS__)                            \
    DEFINE_REG(name##_64, body, 64, __VA_ARGS__)
#define SIZES(name) { name##_8, name##_16, name##_32, name##_64 }
#define WIDE(name)  { NULL, name##_16, name##_32, name##_64 }
#define ALL(name)   { name, name, name, name }

/* Functions for each condition: name_0 to name_f. */
#define FOR_CONDITIONS(X, ...)                                              \
    X(0, __VA_ARGS__) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) \
    X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__) \
    X(8, __VA_ARGS__) X(9, __VA_ARGS__) X(a, __VA_ARGS__) X(b, __VA_ARGS__) \
    X(c, __VA_ARGS__) X(d, __VA_ARGS__) X(e, __VA_ARGS__) X(f, __VA_ARGS__)
#define CONDITION_NAMES(name)                                               \
    { name##_0, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, \
      name##_7, name##_8, name##_9, name##_a, name##_b, name##_c, name##_d, \
      name##_e, name##_f }

/* The tables of the folder's files; each ends with a row of op 0. */
extern const HandlerRow interp_arith[], interp_mul[], interp_shift[],
    interp_bits[], interp_move[], interp_stack[], interp_locked[],
    interp_branch[], interp_string[], interp_segment[], interp_far[],
    interp_control[], interp_msr[], interp_system[], interp_io[],
    interp_hypercall[], interp_smm[];
/* Those of fpu.c and its like, ended by NULL. */
extern const HandlerRow *const fpu_tables[];

#endif
