/*
 * What the handlers of x87, MMX, SSE and AVX share: availability, operands, and
 * running one host instruction under the guest's MXCSR.
 *
 * The host's own units do the arithmetic.  Rules:
 *
 *   - C code in a vCPU's thread runs with the host's default MXCSR (1F80h, but
 *     for sticky flags) and x87 control word (037Fh, stack empty).  A handler
 *     that loads the guest's puts the default back before it ends.
 *   - An SSE instruction runs with the guest's own masks.  If it faults, the
 *     SIGFPE handler of fpu.c goes on at the place the fixup table names, where
 *     MXCSR holds the flags exactly as the hardware set them; nothing has been
 *     stored.  Thus unmasked exceptions cost nothing until they happen.
 *   - x87 needs no signal: its exceptions wait for the next waiting
 *     instruction, and FNCLEX comes before that.  See x87.c.
 *
 * Spec: Intel SDM volume 1, chapters 8 to 14; volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INTERP_FPU_H
#define TCG_INTERP_FPU_H

#include "accel/tcg/interp/int.h"

/*
 * Whose units do it: the host's, or functions in C (soft/), on hosts that are
 * not x86-64 and in tests.
 */
#if defined(__x86_64__) && !defined(TCG_SOFT_UNITS)
#define HOST_UNITS 1
#else
#define HOST_UNITS 0
/* They take addresses of locals: no tail calls (rule 4 of env.h). */
#undef NEXT
#define NEXT(env, insn) return (insn) + 1
#endif

enum {                          /* MXCSR */
    MX_IE = 1 << 0, MX_DE = 1 << 1, MX_ZE = 1 << 2, MX_OE = 1 << 3,
    MX_UE = 1 << 4, MX_PE = 1 << 5, MX_FLAGS = 0x3f, MX_DAZ = 1 << 6,
    MX_MASKS = 0x1f80, MX_RC = 3 << 13, MX_FZ = 1 << 15,
    MX_VALID = 0xffff,          /* no misaligned-exception mask (AMD bit 17) */
    MX_DEFAULT = 0x1f80,
};

/*
 * FERR#: an unmasked x87 exception is waiting while CR0.NE = 0 (true), or has
 * been cleared (false).  The machine wires it to IRQ 13; may be NULL.
 */
extern void (*tcg_ferr)(Env *env, bool level);

/* --- availability --------------------------------------------------------- */

/* Raises #UD or #NM: some condition of sse_ok() or avx_ok() does not hold. */
const Insn *sse_unavailable(Env *env, const Insn *insn);
const Insn *avx_unavailable(Env *env, const Insn *insn);
/*
 * Not x87_ok(): true after raising #NM (MMX: #UD or #NM) or #MF, or after asking
 * for IRQ 13 when that can be taken now: return NULL.  False: execute.
 */
bool x87_blocked(Env *env, const Insn *insn, bool mmx);
bool x87_pending(Env *env, const Insn *insn);   /* FSW.ES is set */
/* The instruction faulted with a SIMD exception: #XM, or #UD. */
const Insn *fp_trap(Env *env, const Insn *insn);

static inline bool sse_ok(const Env *env)
{
    return likely(!(env->s.cr0 & (CR0_EM | CR0_TS))
                  && env->s.cr4 & CR4_OSFXSR);
}

static inline bool avx_ok(const Env *env)
{
    return likely(!(env->s.cr0 & CR0_TS) && env->s.cr4 & CR4_OSXSAVE
                  && (env->s.xcr0 & (XCR0_SSE | XCR0_AVX))
                     == (XCR0_SSE | XCR0_AVX)
                  && !(env->mode & (DM_REAL | DM_VM86)));
}

enum {                          /* status word; the flags are MXCSR's */
    FSW_SF = 1 << 6, FSW_ES = 1 << 7, FSW_C0 = 1 << 8, FSW_C1 = 1 << 9,
    FSW_C2 = 1 << 10, FSW_TOP = 7 << 11, FSW_C3 = 1 << 14, FSW_B = 1 << 15,
    FSW_CC = FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3,
};

/* For x87 and MMX alike: no #NM (or #UD), and no exception waiting. */
static inline bool x87_ok(const Env *env)
{
    return likely(!(env->s.cr0 & (CR0_EM | CR0_TS))
                  && !(env->s.fsw & FSW_ES));
}

#define NEED_SSE(env, insn)                     \
    do {                                        \
        if (!sse_ok(env)) {                     \
            return sse_unavailable(env, insn);  \
        }                                       \
    } while (0)
#define NEED_AVX(env, insn)                     \
    do {                                        \
        if (!avx_ok(env)) {                     \
            return avx_unavailable(env, insn);  \
        }                                       \
    } while (0)
#define NEED_X87(env, insn)                                     \
    do {                                                        \
        if (!x87_ok(env) && x87_blocked(env, insn, false)) {    \
            return NULL;                                        \
        }                                                       \
    } while (0)
#define NEED_MMX(env, insn)                                     \
    do {                                                        \
        if (!x87_ok(env) && x87_blocked(env, insn, true)) {     \
            return NULL;                                        \
        }                                                       \
    } while (0)

/* --- memory operands ------------------------------------------------------ */

/*
 * As in int.h there are two of each handler: with `slow`, the TLB hit only and
 * NULL otherwise, for MISS() to go on in the slow twin; without it whatever it
 * takes, NULL for a fault.
 */

/* As op_read() and op_write(), with #GP(0) unless the linear address is a
 * multiple of `size`. */
const void *op_read_aligned(Env *env, const Insn *insn, unsigned size);
void *op_write_aligned(Env *env, const Insn *insn, unsigned size);

TEMPLATE const void *mem_rd(Env *env, const Insn *insn, unsigned n,
                            bool aligned, InsnFn *slow)
{
    uint64_t gva;
    const TlbEntry *e;

    if (!slow) {
        return aligned ? op_read_aligned(env, insn, n)
                       : op_read(env, insn, n);
    }
    if (unlikely(insn->ea & EA_SEG)) {
        return NULL;
    }
    gva = insn_offset(env, insn);
    e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];
    if (aligned ? unlikely(gva + e->nrpage > 4095 || gva & (n - 1))
                : unlikely(gva + e->nrpage + (n - 1) > 4095)) {
        return NULL;
    }
    return (const void *)(gva + e->addend);
}

TEMPLATE void *mem_wr(Env *env, const Insn *insn, unsigned n, bool aligned,
                      InsnFn *slow)
{
    uint64_t gva;
    const TlbEntry *e;

    if (!slow) {
        return aligned ? op_write_aligned(env, insn, n)
                       : op_write(env, insn, n);
    }
    if (unlikely(insn->ea & EA_SEG)) {
        return NULL;
    }
    gva = insn_offset(env, insn);
    e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];
    if (aligned ? unlikely(gva + e->nwpage > 4095 || gva & (n - 1))
                : unlikely(gva + e->nwpage + (n - 1) > 4095)) {
        return NULL;
    }
    return (void *)(gva + e->addend);
}

/* The XM operand: a register, or `n` bytes of memory. */
TEMPLATE const void *xm_rd(Env *env, const Insn *insn, unsigned n,
                           bool aligned, InsnFn *slow)
{
    return insn->flags & INSN_MEM ? mem_rd(env, insn, n, aligned, slow)
                                  : &env->s.vec[insn->rm];
}

/* Defines `name` and its slow twin from the template name##_body; in C one is
 * enough, for the call is not what it costs. */
#if HOST_UNITS
#define TWINS(name)                                                         \
    SLOW const Insn *name##_slow(Env *env, const Insn *insn)                \
    {                                                                       \
        return name##_body(env, insn, NULL);                                \
    }                                                                       \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        return name##_body(env, insn, name##_slow);                         \
    }
#else
#define TWINS(name)                                                         \
    static const Insn *name(Env *env, const Insn *insn)                     \
    {                                                                       \
        return name##_body(env, insn, NULL);                                \
    }
#endif

/* A row of a table of handlers: one for all sizes, registers and memory. */
#define ROW(op, fn) { OP_##op, { fn }, { fn }, {} },

/* Columns: 32 and 64 bits of a general register; 128 and 256 of a vector. */
#define WIDTHS(a, b) { NULL, NULL, a, b }
#define VECS(a, b)   { a, b }

/* The tables; each ends with a row of op 0, the list with NULL. */
extern const HandlerRow *const fpu_tables[];
extern const HandlerRow fpu_sse[], fpu_sse_fp[], fpu_sse_move[],
    fpu_shuffle[], fpu_strcmp[], fpu_mmx[], fpu_x87[], fpu_x87_env[],
    fpu_xsave[], fpu_avx[], fpu_avx_move[];

/*
 * An operand of `n` bytes, up to a page: its linear address, a multiple of
 * `align`; and copies of it.  area_write() stores all or nothing.  False: the
 * exception is recorded.
 */
bool area_gva(Env *env, const Insn *insn, unsigned n, bool write,
              unsigned align, uint64_t *gva);
bool area_read(Env *env, uint64_t gva, void *buf, unsigned n);
bool area_write(Env *env, uint64_t gva, const void *buf, unsigned n);

/*
 * MASKMOVDQU and MASKMOVQ: store those of the `n` bytes of `lo` and `hi` that
 * `mask` selects at DS:rDI.  All of them must be writable, as processors want.
 */
bool mask_store(Env *env, const Insn *insn, uint64_t lo, uint64_t hi,
                unsigned mask, unsigned n);

static inline void vec_zero_upper(X86Vec *v)
{
    v->q[2] = v->q[3] = 0;
}

/* --- running a host instruction under the guest's MXCSR ------------------- */

#if HOST_UNITS
/* Catch SIGFPE in this thread; called when the guest has unmasked something. */
void fp_arm(void);
/* Asked about a SIGFPE first: true when it has taken care of it. */
struct ucontext_t;
extern bool (*fp_other_code)(struct ucontext_t *uc);

/*
 * Sets `odd`: non-zero when the guest's MXCSR is not the host's default.  With
 * something unmasked the slow twin goes on, so that this calls nothing.
 */
#define FP_ENTER(env, insn, slow, odd)                                      \
    do {                                                                    \
        (odd) = ((env)->s.mxcsr & (MX_MASKS | MX_RC | MX_FZ | MX_DAZ))      \
                ^ MX_DEFAULT;                                               \
        if (unlikely((odd) & MX_MASKS)) {                                   \
            if (slow) {                                                     \
                return (slow)((env), (insn));                               \
            }                                                               \
            fp_arm();                                                       \
        }                                                                   \
    } while (0)

static inline void fp_leave(unsigned odd)
{
    static const uint32_t mxcsr = MX_DEFAULT;

    if (unlikely(odd)) {
        asm volatile("ldmxcsr %0" : : "m"(mxcsr));
    }
}

/*
 * The frame of an asm statement whose instruction at label 1 may raise a SIMD
 * exception.  If it does, execution goes on at label 2 with %[bad] still 1 and
 * without what stands between, which is where the result is stored.
 */
#define FP_ASM(load, insn_text, store)                                      \
    "ldmxcsr %[mx]\n\t"                                                     \
    load                                                                    \
    "1: " insn_text "\n\t"                                                  \
    store                                                                   \
    "xor %[bad], %[bad]\n"                                                  \
    "2: stmxcsr %[mx]\n\t"                                                  \
    ".pushsection fp_fixups,\"a\"\n\t"                                      \
    ".balign 4\n\t"                                                         \
    ".long 1b - ., 2b - .\n\t"                                              \
    ".popsection"

/* Loads of the source (%[s], a pointer) into register 1, by size token. */
#define LD_2    "pxor %%xmm1, %%xmm1\n\tpinsrw $0, (%[s]), %%xmm1\n\t"
#define LD_4    "movd (%[s]), %%xmm1\n\t"
#define LD_8    "movq (%[s]), %%xmm1\n\t"
#define LD_16   "movdqu (%[s]), %%xmm1\n\t"

#else
/* Functions that look at MXCSR themselves. */
#define FP_ENTER(env, insn, slow, odd) ((odd) = 0)
#define fp_leave(odd) ((void)(odd))
#endif


#endif
