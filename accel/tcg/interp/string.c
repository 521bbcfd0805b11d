/*
 * String instructions: MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS, with REP.
 *
 * Spec:   Intel SDM volume 2, REP; volume 1 7.3.9.
 * Models: a repeated instruction goes page by page: while both operands hit
 *         the TLB and DF is 0, as many elements as fit in their pages are done
 *         at once on host pointers, MOVS and STOS by the host's own REP.
 *         Aliasing is kept, so overlapping moves come out exactly.  Anything
 *         else (DF=1, I/O, code, page crossings) is done one element at a
 *         time.  RCX, RSI and RDI are right after each chunk, so that faults
 *         and interrupts may come between.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/io.h"
#include "accel/tcg/interp/segment.h"

enum { STR_MOVS, STR_CMPS, STR_STOS, STR_LODS, STR_SCAS };

/* --- addresses ------------------------------------------------------------ */

TEMPLATE unsigned addr_bits(const Insn *insn)
{
    return insn->flags & INSN_A16 ? 16 : insn->flags & INSN_A32 ? 32 : 64;
}

TEMPLATE uint64_t addr_get(const Env *env, unsigned reg, unsigned abits)
{
    return abits == 16 ? (uint16_t)env->s.gpr[reg]
           : abits == 32 ? (uint32_t)env->s.gpr[reg] : env->s.gpr[reg];
}

TEMPLATE void addr_set(Env *env, unsigned reg, unsigned abits, uint64_t v)
{
    if (abits == 16) {
        store(&env->s.gpr[reg], 16, v);
    } else if (abits == 32) {
        env->s.gpr[reg] = (uint32_t)v;
    } else {
        env->s.gpr[reg] = v;
    }
}

/* ES cannot be overridden. */
TEMPLATE bool es_checked(const Env *env)
{
    return !(env->mode & DM_FLAT);
}

/* Linear address of one element, into env->ea; false with a fault recorded. */
static inline bool src_linear(Env *env, const Insn *insn, uint64_t off,
                              unsigned size)
{
    if (insn->ea & EA_SEG) {
        return seg_linear(env, insn->seg, off, size, false, &env->ea);
    }
    env->ea = off;
    return true;
}

static inline bool dst_linear(Env *env, uint64_t off, unsigned size,
                              bool write)
{
    if (es_checked(env)) {
        return seg_linear(env, SEG_ES, off, size, write, &env->ea);
    }
    env->ea = off;
    return true;
}

/* --- chunks --------------------------------------------------------------- */

/* How many of `n` elements from `off` on stay in one page, below the wrap of
 * the address size, and inside the TLB entry: 0 if the entry is not right. */
static inline uint64_t chunk(Env *env, uint64_t gva, uint64_t off,
                             unsigned abits, unsigned size, bool write,
                             uint64_t n)
{
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];
    uint64_t in_page = 4096 - (gva & 4095), to_wrap;

    if (gva + (write ? e->nwpage : e->nrpage) > 4095) {
        return 0;
    }
    n = MIN(n, in_page / size);
    if (abits < 64) {
        to_wrap = (UINT64_C(1) << abits) - off;
        n = MIN(n, to_wrap / size);
    }
    return n;
}

/* The linear address of a chunk through a segment, checked as a whole: false
 * when an element of it might fault, with nothing recorded. */
static inline bool chunk_linear(Env *env, bool checked, unsigned seg,
                                uint64_t off, uint64_t len, bool write)
{
    if (!checked) {
        env->ea = off;
        return true;
    }
    return seg_check(env, seg, off, len, write, &env->ea);
}

/* Host pointer of an address that hits. */
static inline void *hit_pointer(Env *env, uint64_t gva)
{
    return (void *)(gva + env->tlb[(gva >> 12) & (TLB_SIZE - 1)].addend);
}

static inline void host_movs(void *to, const void *from, uint64_t n,
                             unsigned bits)
{
#ifdef __x86_64__
    switch (bits) {
    case 8:
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)
                         : : "memory");
        break;
    case 16:
        __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n)
                         : : "memory");
        break;
    case 32:
        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n)
                         : : "memory");
        break;
    default:
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n)
                         : : "memory");
        break;
    }
#else
    for (uint64_t i = 0; i < n; i++) {
        store((char *)to + i * (bits / 8), bits,
              load((const char *)from + i * (bits / 8), bits));
    }
#endif
}

static inline void host_stos(void *to, uint64_t v, uint64_t n, unsigned bits)
{
#ifdef __x86_64__
    switch (bits) {
    case 8:
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(v) : "memory");
        break;
    case 16:
        __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(v) : "memory");
        break;
    case 32:
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory");
        break;
    default:
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(v) : "memory");
        break;
    }
#else
    for (uint64_t i = 0; i < n; i++) {
        store((char *)to + i * (bits / 8), bits, v);
    }
#endif
}

/* --- flags of a comparison ------------------------------------------------ */

TEMPLATE void cc_compare(Env *env, unsigned bits, uint64_t a, uint64_t b)
{
    uint64_t r = a - b;

    cc_arith(env, bits, r, (~a & b) | (~(a ^ b) & r));
}

/* --- one element ---------------------------------------------------------- */

TEMPLATE void advance(Env *env, int op, unsigned abits, unsigned bits,
                      int64_t n)
{
    int64_t by = env->df * n * (int64_t)(bits / 8);

    if (op == STR_MOVS || op == STR_CMPS || op == STR_LODS) {
        addr_set(env, R_RSI, abits, env->s.gpr[R_RSI] + (uint64_t)by);
    }
    if (op != STR_LODS) {
        addr_set(env, R_RDI, abits, env->s.gpr[R_RDI] + (uint64_t)by);
    }
}

/* False with a fault recorded, nothing changed. */
TEMPLATE bool element(Env *env, const Insn *insn, int op, unsigned bits,
                      unsigned abits)
{
    uint64_t si = addr_get(env, R_RSI, abits), di = addr_get(env, R_RDI, abits);
    unsigned size = bits / 8;
    uint64_t a = acc_get(env, R_RAX, bits), b;
    const void *p;
    void *q;

    b = 0;
    if (op == STR_CMPS || op == STR_SCAS) {
        if (!dst_linear(env, di, size, false)
            || !(p = mem_read(env, env->ea, size))) {
            return false;
        }
        b = load(p, bits);
    }
    if (op == STR_MOVS || op == STR_CMPS || op == STR_LODS) {
        if (!src_linear(env, insn, si, size)
            || !(p = mem_read(env, env->ea, size))) {
            return false;
        }
        a = load(p, bits);
    }
    switch (op) {
    case STR_MOVS:
    case STR_STOS:
        if (!dst_linear(env, di, size, true)
            || !(q = mem_write(env, env->ea, size))) {
            return false;
        }
        store(q, bits, a);
        mem_written(env, q);
        break;
    case STR_CMPS:
    case STR_SCAS:
        cc_compare(env, bits, a, b);
        break;
    default:
        acc_set(env, R_RAX, bits, a);
        break;
    }
    advance(env, op, abits, bits, 1);
    return true;
}

/* --- many elements -------------------------------------------------------- */

/*
 * As many of `n` elements as can be done at once: the number done, 0 if the
 * element path must be taken.  `rep_zf`: the ZF with which CMPS and SCAS go on.
 */
TEMPLATE uint64_t elements(Env *env, const Insn *insn, int op, unsigned bits,
                           unsigned abits, uint64_t n, bool rep_zf)
{
    bool use_si = op == STR_MOVS || op == STR_CMPS || op == STR_LODS;
    bool use_di = op != STR_LODS, write = op == STR_MOVS || op == STR_STOS;
    uint64_t si = 0, di = 0, sgva = 0, dgva = 0;
    unsigned size = bits / 8;
    uint64_t a, b, i;
    const char *p;
    char *q;

    if (env->df < 0 || (env->mode & DM_TF)) {
        return 0;
    }
    n = MIN(n, 4096);
    if (use_si) {
        si = addr_get(env, R_RSI, abits);
        if (!chunk_linear(env, insn->ea & EA_SEG, insn->seg, si, 1, false)) {
            return 0;
        }
        sgva = env->ea;
        n = chunk(env, sgva, si, abits, size, false, n);
        if (n == 0 || !chunk_linear(env, insn->ea & EA_SEG, insn->seg, si,
                                    n * size, false)) {
            return 0;
        }
    }
    if (use_di) {
        di = addr_get(env, R_RDI, abits);
        if (!chunk_linear(env, es_checked(env), SEG_ES, di, 1, write)) {
            return 0;
        }
        dgva = env->ea;
        n = chunk(env, dgva, di, abits, size, write, n);
        if (n == 0 || !chunk_linear(env, es_checked(env), SEG_ES, di,
                                    n * size, write)) {
            return 0;
        }
    }
    switch (op) {
    case STR_MOVS:
        host_movs(hit_pointer(env, dgva), hit_pointer(env, sgva), n, bits);
        break;
    case STR_STOS:
        host_stos(hit_pointer(env, dgva), env->s.gpr[R_RAX], n, bits);
        break;
    case STR_LODS:
        p = hit_pointer(env, sgva);
        acc_set(env, R_RAX, bits, load(p + (n - 1) * size, bits));
        break;
    default:
        p = op == STR_CMPS ? hit_pointer(env, sgva) : NULL;
        q = hit_pointer(env, dgva);
        a = acc_get(env, R_RAX, bits);
        b = 0;
        for (i = 0; i < n;) {
            if (op == STR_CMPS) {
                a = load(p + i * size, bits);
            }
            b = load(q + i * size, bits);
            i++;
            if ((a == b) != rep_zf) {
                break;
            }
        }
        n = i;
        cc_compare(env, bits, a, b);
        break;
    }
    advance(env, op, abits, bits, (int64_t)n);
    return n;
}

/* With 32-bit addresses the upper halves are cleared even if not one element is
 * done on Intel's: of RCX, and of what MOVS and STOS advance. */
TEMPLATE void repeat_begin(Env *env, int op, unsigned abits, uint64_t n)
{
    if (abits == 32 && !host_is_amd()) {
        env->s.gpr[R_RCX] = n;
        if (op == STR_MOVS) {
            env->s.gpr[R_RSI] = (uint32_t)env->s.gpr[R_RSI];
        }
        if (op == STR_MOVS || op == STR_STOS) {
            env->s.gpr[R_RDI] = (uint32_t)env->s.gpr[R_RDI];
        }
    }
}

/* A repetition that goes on later: Intel's give the flags of CMPS and SCAS back
 * meanwhile. */
static const Insn *repeat_stops(Env *env, const Insn *insn, bool compares,
                                uint64_t cc_res, uint64_t cc_aux)
{
    if (compares && !host_is_amd()) {
        env->cc_res = cc_res;
        env->cc_aux = cc_aux;
    }
    return insn_fault(env, insn);
}

TEMPLATE const Insn *repeat(Env *env, const Insn *insn, int op, unsigned bits,
                            unsigned abits)
{
    bool compares = op == STR_CMPS || op == STR_SCAS;
    bool rep_zf = !(insn->flags & INSN_REPNE);
    uint64_t n = addr_get(env, R_RCX, abits), done;
    uint64_t cc_res = env->cc_res, cc_aux = env->cc_aux;

    repeat_begin(env, op, abits, n);
    while (n) {
        done = elements(env, insn, op, bits, abits, n, rep_zf);
        if (done == 0) {
            if (!element(env, insn, op, bits, abits)) {
                env->in_rep = false;
                return repeat_stops(env, insn, compares, cc_res, cc_aux);
            }
            done = 1;
        }
        n -= done;
        addr_set(env, R_RCX, abits, n);
        if (compares && cc_zf(env) != rep_zf) {
            break;
        }
        if (n && unlikely(env_poll(env))) {
            env->in_rep = true;
            return repeat_stops(env, insn, compares, cc_res, cc_aux);
        }
    }
    env->in_rep = false;
    NEXT(env, insn);
}

TEMPLATE const Insn *string(Env *env, const Insn *insn, unsigned bits, int op)
{
    if (insn->flags & (INSN_REP | INSN_REPNE)) {
        switch (addr_bits(insn)) {
        case 16:
            return repeat(env, insn, op, bits, 16);
        case 32:
            return repeat(env, insn, op, bits, 32);
        default:
            return repeat(env, insn, op, bits, 64);
        }
    }
    if (!element(env, insn, op, bits, addr_bits(insn))) {
        return insn_fault(env, insn);
    }
    NEXT(env, insn);
}

DEFINE_REG_SIZES(movs, string, STR_MOVS)
DEFINE_REG_SIZES(cmps, string, STR_CMPS)
DEFINE_REG_SIZES(stos, string, STR_STOS)
DEFINE_REG_SIZES(lods, string, STR_LODS)
DEFINE_REG_SIZES(scas, string, STR_SCAS)

/* --- INS, OUTS ------------------------------------------------------------ */

/* The destination is found writable before the port is read. */
static bool ins_element(Env *env, const Insn *insn, unsigned bits,
                        unsigned abits)
{
    uint16_t port = env->s.gpr[R_RDX];
    void *p;

    if (!dst_linear(env, addr_get(env, R_RDI, abits), bits / 8, true)
        || !(p = mem_write(env, env->ea, bits / 8))) {
        return false;
    }
    store(p, bits, env_io_read(env, port, bits / 8));
    mem_written(env, p);
    advance(env, STR_STOS, abits, bits, 1);
    return true;
}

static bool outs_element(Env *env, const Insn *insn, unsigned bits,
                         unsigned abits)
{
    uint16_t port = env->s.gpr[R_RDX];
    const void *p;

    if (!src_linear(env, insn, addr_get(env, R_RSI, abits), bits / 8)
        || !(p = mem_read(env, env->ea, bits / 8))) {
        return false;
    }
    env_io_write(env, port, bits / 8, load(p, bits));
    advance(env, STR_LODS, abits, bits, 1);
    return true;
}

TEMPLATE const Insn *port_string(Env *env, const Insn *insn, unsigned bits,
                                 bool in)
{
    unsigned abits = addr_bits(insn);
    bool rep = insn->flags & (INSN_REP | INSN_REPNE);
    uint64_t n = rep ? addr_get(env, R_RCX, abits) : 1;

    /* Permission is checked even when nothing is to be done. */
    if (!io_allowed(env, env->s.gpr[R_RDX], bits / 8)) {
        return insn_fault(env, insn);
    }
    while (n) {
        if (!(in ? ins_element(env, insn, bits, abits)
                 : outs_element(env, insn, bits, abits))) {
            env->in_rep = false;
            return insn_fault(env, insn);
        }
        n--;
        if (rep) {
            addr_set(env, R_RCX, abits, n);
            if (n && unlikely(env_poll(env) || io_breakpoint(env, bits / 8))) {
                env->in_rep = true;
                return insn_fault(env, insn);
            }
        }
    }
    env->in_rep = false;
    io_breakpoint(env, bits / 8);
    return insn_exit(env, insn);
}

DEFINE_REG(ins_8, port_string, 8, true)
DEFINE_REG(ins_16, port_string, 16, true)
DEFINE_REG(ins_32, port_string, 32, true)
DEFINE_REG(outs_8, port_string, 8, false)
DEFINE_REG(outs_16, port_string, 16, false)
DEFINE_REG(outs_32, port_string, 32, false)

/* Decoders may call these memory forms or not. */
const HandlerRow interp_string[] = {
    { OP_MOVS, SIZES(movs), SIZES(movs), {} },
    { OP_CMPS, SIZES(cmps), SIZES(cmps), {} },
    { OP_STOS, SIZES(stos), SIZES(stos), {} },
    { OP_LODS, SIZES(lods), SIZES(lods), {} },
    { OP_SCAS, SIZES(scas), SIZES(scas), {} },
    { OP_INS, { ins_8, ins_16, ins_32, ins_32 },
      { ins_8, ins_16, ins_32, ins_32 }, {} },
    { OP_OUTS, { outs_8, outs_16, outs_32, outs_32 },
      { outs_8, outs_16, outs_32, outs_32 }, {} },
    {}
};
