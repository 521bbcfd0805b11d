/*
 * Operations that are atomic for other processors: the LOCKed forms, XCHG with
 * memory, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.
 *
 * Spec:   Intel SDM volume 2; volume 3A 9.1.
 * Models: the host's own atomic operations on the guest's memory.  The
 *         operand may be misaligned inside its page; over two pages, or on
 *         I/O, mem_lock() stops the other vCPUs.  On hosts that are not x86-64
 *         they are stopped for misaligned operands and CMPXCHG16B (vcpus.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/alu.h"

/* --- atomic steps at a host pointer --------------------------------------- */

/* Can the host not do it in one step, so that the others stand still? */
TEMPLATE bool alone(const void *p, unsigned bits)
{
#ifdef __x86_64__
    return false;
#else
    return (uintptr_t)p & (bits / 8 - 1);
#endif
}

#define FETCH(name, builtin, op)                                            \
    TEMPLATE uint64_t name(void *p, unsigned bits, uint64_t v)              \
    {                                                                       \
        if (alone(p, bits)) {                                               \
            uint64_t old = load(p, bits);                                   \
                                                                            \
            store(p, bits, op);                                             \
            return old;                                                     \
        }                                                                   \
        switch (bits) {                                                     \
        case 8:                                                             \
            return builtin((uint8_t *)p, (uint8_t)v, __ATOMIC_SEQ_CST);     \
        case 16:                                                            \
            return builtin((uint16_t *)p, (uint16_t)v, __ATOMIC_SEQ_CST);   \
        case 32:                                                            \
            return builtin((uint32_t *)p, (uint32_t)v, __ATOMIC_SEQ_CST);   \
        default:                                                            \
            return builtin((uint64_t *)p, v, __ATOMIC_SEQ_CST);             \
        }                                                                   \
    }
FETCH(fetch_add, __atomic_fetch_add, old + v)
FETCH(exchange, __atomic_exchange_n, v)

/* The value found; it was `old` if the exchange took place. */
TEMPLATE uint64_t compare_exchange(void *p, unsigned bits, uint64_t old,
                                   uint64_t v)
{
#ifdef __x86_64__
    switch (bits) {
    case 8:
        __asm__ volatile("lock cmpxchgb %b2, %1" : "+a"(old),
                         "+m"(*(uint8_t *)p) : "q"(v) : "cc", "memory");
        break;
    case 16:
        __asm__ volatile("lock cmpxchgw %w2, %1" : "+a"(old),
                         "+m"(*(MemU16 *)p) : "r"(v) : "cc", "memory");
        break;
    case 32:
        __asm__ volatile("lock cmpxchgl %k2, %1" : "+a"(old),
                         "+m"(*(MemU32 *)p) : "r"(v) : "cc", "memory");
        break;
    default:
        __asm__ volatile("lock cmpxchgq %2, %1" : "+a"(old),
                         "+m"(*(MemU64 *)p) : "r"(v) : "cc", "memory");
        break;
    }
    return zext(old, bits);
#else
    uint8_t v8 = old;
    uint16_t v16 = old;
    uint32_t v32 = old;

    if (alone(p, bits)) {
        uint64_t found = load(p, bits);

        if (found == old) {
            store(p, bits, v);
        }
        return found;
    }
    switch (bits) {
    case 8:
        __atomic_compare_exchange_n((uint8_t *)p, &v8, (uint8_t)v, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return v8;
    case 16:
        __atomic_compare_exchange_n((uint16_t *)p, &v16, (uint16_t)v, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return v16;
    case 32:
        __atomic_compare_exchange_n((uint32_t *)p, &v32, (uint32_t)v, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return v32;
    default:
        __atomic_compare_exchange_n((uint64_t *)p, &old, v, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return old;
    }
#endif
}

/* --- LOCK op -------------------------------------------------------------- */

/*
 * ADD and SUB have a host operation that returns the old value; the others
 * compute and exchange until nothing came between.  Flags are made from the
 * value that was replaced, once.
 */
TEMPLATE void lock_alu(Env *env, void *p, unsigned bits, int op, uint64_t b)
{
    uint64_t a, found, r, res = env->cc_res, aux = env->cc_aux;

    switch (op) {
    case ALU_ADD:
        alu2(env, op, bits, fetch_add(p, bits, b), b);
        return;
    case ALU_SUB:
        alu2(env, op, bits, fetch_add(p, bits, -b), b);
        return;
    case ALU_INC:
        alu1(env, op, bits, fetch_add(p, bits, 1));
        return;
    case ALU_DEC:
        alu1(env, op, bits, fetch_add(p, bits, UINT64_MAX));
        return;
    default:
        break;
    }
    found = load(p, bits);
    do {
        a = found;
        env->cc_res = res;      /* ADC, SBB read CF anew */
        env->cc_aux = aux;
        r = op == ALU_NEG || op == ALU_NOT ? alu1(env, op, bits, a)
                                           : alu2(env, op, bits, a, b);
        found = compare_exchange(p, bits, a, r);
    } while (unlikely(found != a));
}

TEMPLATE const Insn *lock_m(Env *env, const Insn *insn, unsigned bits, int op,
                            bool imm, InsnFn *slow)
{
    void *p = locked(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    lock_alu(env, p, bits, op, imm ? zext(insn->imm, bits)
                                   : reg_get(env, insn->reg, bits));
    unlock(env, p, slow);
    NEXT(env, insn);
}

TEMPLATE const Insn *lock_one(Env *env, const Insn *insn, unsigned bits,
                              int op, InsnFn *slow)
{
    void *p = locked(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    lock_alu(env, p, bits, op, 0);
    unlock(env, p, slow);
    NEXT(env, insn);
}

#define DEFINE_LOCK(name, op)                                               \
    DEFINE_MEM_SIZES(name##_l_r, lock_m, op, false)                         \
    DEFINE_MEM_SIZES(name##_l_i, lock_m, op, true)
DEFINE_LOCK(add, ALU_ADD)
DEFINE_LOCK(or, ALU_OR)
DEFINE_LOCK(adc, ALU_ADC)
DEFINE_LOCK(sbb, ALU_SBB)
DEFINE_LOCK(and, ALU_AND)
DEFINE_LOCK(sub, ALU_SUB)
DEFINE_LOCK(xor, ALU_XOR)
DEFINE_MEM_SIZES(inc_l, lock_one, ALU_INC)
DEFINE_MEM_SIZES(dec_l, lock_one, ALU_DEC)
DEFINE_MEM_SIZES(neg_l, lock_one, ALU_NEG)
DEFINE_MEM_SIZES(not_l, lock_one, ALU_NOT)

/* --- XCHG, XADD ----------------------------------------------------------- */

TEMPLATE const Insn *xchg_rr(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    uint64_t a = reg_get(env, insn->rm, bits);

    reg_set(env, insn->rm, bits, reg_get(env, insn->reg, bits));
    reg_set(env, insn->reg, bits, a);
    NEXT(env, insn);
}

TEMPLATE const Insn *xchg_mr(Env *env, const Insn *insn, unsigned bits,
                             int unused, InsnFn *slow)
{
    void *p = locked(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    reg_set(env, insn->reg, bits,
            exchange(p, bits, reg_get(env, insn->reg, bits)));
    unlock(env, p, slow);
    NEXT(env, insn);
}

DEFINE_REG_SIZES(xchg_r, xchg_rr, 0)
DEFINE_MEM_SIZES(xchg_m, xchg_mr, 0)

TEMPLATE const Insn *xadd_rr(Env *env, const Insn *insn, unsigned bits,
                             int unused)
{
    uint64_t a = reg_get(env, insn->rm, bits);
    uint64_t r = alu2(env, ALU_ADD, bits, a, reg_get(env, insn->reg, bits));

    reg_set(env, insn->reg, bits, a);
    reg_set(env, insn->rm, bits, r);    /* last: XADD r,r doubles */
    NEXT(env, insn);
}

TEMPLATE const Insn *xadd_mr(Env *env, const Insn *insn, unsigned bits,
                             bool lock, InsnFn *slow)
{
    uint64_t a, b = reg_get(env, insn->reg, bits);
    void *p = lock ? locked(env, insn, bits, slow)
                   : rmw(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    if (lock) {
        a = fetch_add(p, bits, b);
        alu2(env, ALU_ADD, bits, a, b);
        unlock(env, p, slow);
    } else {
        a = load(p, bits);
        store(p, bits, alu2(env, ALU_ADD, bits, a, b));
        stored(env, p, slow);
    }
    reg_set(env, insn->reg, bits, a);
    NEXT(env, insn);
}

DEFINE_REG_SIZES(xadd_r, xadd_rr, 0)
DEFINE_MEM_SIZES(xadd_m, xadd_mr, false)
DEFINE_MEM_SIZES(xadd_l, xadd_mr, true)

/* --- CMPXCHG -------------------------------------------------------------- */

/* Of 32 bits: a register not written keeps its upper half. */
TEMPLATE const Insn *cmpxchg_rr(Env *env, const Insn *insn, unsigned bits,
                                int unused)
{
    uint64_t acc = acc_get(env, R_RAX, bits);
    uint64_t dst = reg_get(env, insn->rm, bits);

    alu2(env, ALU_CMP, bits, acc, dst);
    if (acc == dst) {
        reg_set(env, insn->rm, bits, reg_get(env, insn->reg, bits));
    } else {
        acc_set(env, R_RAX, bits, dst);
    }
    NEXT(env, insn);
}

/* The destination is written in either case, with what it had at the least. */
TEMPLATE const Insn *cmpxchg_mr(Env *env, const Insn *insn, unsigned bits,
                                bool lock, InsnFn *slow)
{
    uint64_t acc = acc_get(env, R_RAX, bits), dst;
    void *p = lock ? locked(env, insn, bits, slow)
                   : rmw(env, insn, bits, slow);

    if (unlikely(!p)) {
        MISS(env, insn, slow);
    }
    if (lock) {
        dst = compare_exchange(p, bits, acc, reg_get(env, insn->reg, bits));
        unlock(env, p, slow);
    } else {
        dst = load(p, bits);
        store(p, bits, dst == acc ? reg_get(env, insn->reg, bits) : dst);
        stored(env, p, slow);
    }
    alu2(env, ALU_CMP, bits, acc, dst);
    if (acc != dst) {
        acc_set(env, R_RAX, bits, dst);
    }
    NEXT(env, insn);
}

DEFINE_REG_SIZES(cmpxchg_r, cmpxchg_rr, 0)
DEFINE_MEM_SIZES(cmpxchg_m, cmpxchg_mr, false)
DEFINE_MEM_SIZES(cmpxchg_l, cmpxchg_mr, true)

/* Only ZF changes. */
TEMPLATE void put_zf(Env *env, bool zf)
{
    cc_set(env, (cc_get(env) & ~FL_ZF) | (zf ? FL_ZF : 0));
}

static const Insn *cmpxchg8b(Env *env, const Insn *insn)
{
    uint64_t old = env->s.gpr[R_RDX] << 32 | (uint32_t)env->s.gpr[R_RAX];
    uint64_t v = env->s.gpr[R_RCX] << 32 | (uint32_t)env->s.gpr[R_RBX];
    uint64_t found;
    void *p = op_lock(env, insn, 8);

    if (!p) {
        return insn_fault(env, insn);
    }
    found = compare_exchange(p, 64, old, v);
    mem_locked_done(env, p);
    if (found != old) {
        env->s.gpr[R_RAX] = (uint32_t)found;
        env->s.gpr[R_RDX] = found >> 32;
    }
    put_zf(env, found == old);
    NEXT(env, insn);
}

static const Insn *cmpxchg16b(Env *env, const Insn *insn)
{
    uint64_t lo = env->s.gpr[R_RAX], hi = env->s.gpr[R_RDX];
    uint64_t off = insn_offset(env, insn);
    bool equal;
    void *p;

    /* #GP for a misaligned operand comes before its page faults. */
    if (insn->ea & EA_SEG) {
        if (!seg_linear(env, insn->seg, off, 16, true, &env->ea)) {
            return insn_fault(env, insn);
        }
        off = env->ea;
    }
    if (off & 15) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    p = mem_lock(env, off, 16);
    if (!p) {
        return insn_fault(env, insn);
    }
#ifdef __x86_64__
    __asm__ volatile("lock cmpxchg16b %1\n\tsete %b0"
                     : "=q"(equal), "+m"(*(volatile char (*)[16])p),
                       "+a"(lo), "+d"(hi)
                     : "b"(env->s.gpr[R_RBX]), "c"(env->s.gpr[R_RCX])
                     : "cc", "memory");
#else
    /* The others stand still: vcpus.c. */
    uint64_t *q = p;

    equal = q[0] == lo && q[1] == hi;
    lo = q[0];
    hi = q[1];
    if (equal) {
        q[0] = env->s.gpr[R_RBX];
        q[1] = env->s.gpr[R_RCX];
    }
#endif
    mem_locked_done(env, p);
    if (!equal) {
        env->s.gpr[R_RAX] = lo;
        env->s.gpr[R_RDX] = hi;
    }
    put_zf(env, equal);
    NEXT(env, insn);
}

/* Rows of the LOCKed forms alone: interp_init() merges rows of the same op. */
#define ROW_LOCK(OP, name)                                                  \
    { OP_##OP##_RM_R, {}, {}, SIZES(name##_l_r) },                          \
    { OP_##OP##_RM_I, {}, {}, SIZES(name##_l_i) },

const HandlerRow interp_locked[] = {
    ROW_LOCK(ADD, add)
    ROW_LOCK(OR, or)
    ROW_LOCK(ADC, adc)
    ROW_LOCK(SBB, sbb)
    ROW_LOCK(AND, and)
    ROW_LOCK(SUB, sub)
    ROW_LOCK(XOR, xor)
    { OP_INC_RM, {}, {}, SIZES(inc_l) },
    { OP_DEC_RM, {}, {}, SIZES(dec_l) },
    { OP_NEG_RM, {}, {}, SIZES(neg_l) },
    { OP_NOT_RM, {}, {}, SIZES(not_l) },
    { OP_XCHG_RM_R, SIZES(xchg_r), SIZES(xchg_m), SIZES(xchg_m) },
    { OP_XADD_RM_R, SIZES(xadd_r), SIZES(xadd_m), SIZES(xadd_l) },
    { OP_CMPXCHG_RM_R, SIZES(cmpxchg_r), SIZES(cmpxchg_m),
      SIZES(cmpxchg_l) },
    { OP_CMPXCHG8B_M, {}, ALL(cmpxchg8b), ALL(cmpxchg8b) },
    { OP_CMPXCHG16B_M, {}, ALL(cmpxchg16b), ALL(cmpxchg16b) },
    {}
};
