/*
 * The emulator's environment of one vCPU, and what handlers use.
 *
 * Rules for handlers (interp/):
 *
 *  1. Commit registers, flags and memory only after the last possible fault.
 *  2. A fault: the helper that found it has filled env->exc_*; the handler
 *     says `return insn_fault(env, insn);`.  No longjmp anywhere.
 *  3. Otherwise end with `NEXT(env, insn);`, or for a transfer of control
 *     `return insn_jump(env, insn, rip);`, or, after changing anything that
 *     the dispatcher or the decode mode depends on (CR0, CS, IF, …),
 *     `return insn_exit(env, insn);` which goes on at the next instruction
 *     through the dispatcher.
 *  4. Never take the address of a local and pass it on in a hot handler: it
 *     stops GCC from making the tail call.
 *  5. Integer handlers are built without vector registers and call no libc,
 *     so that the translator may call them with guest vectors live.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_ENV_H
#define TCG_ENV_H

#include "accel/tcg/insn.h"
#include "cpu/cpu.h"

/*
 * One entry of the software TLB.  An access of N bytes at `gva` hits when
 * gva + nrpage + N - 1 <= 4095 (unsigned): page and crossing in one compare.
 * An empty tag names a page that no address reaching the entry can be in or
 * run into: index ^ 2.
 */
typedef struct TlbEntry {
    uint64_t nrpage;            /* minus the page's gva, for reads */
    uint64_t nwpage;            /* same, for writes: clear of code, dirty */
    uint64_t addend;            /* hva = gva + addend */
    uint64_t aux;               /* physical page | TLBE_* */
} TlbEntry;

enum { TLB_BITS = 14, TLB_SIZE = 1 << TLB_BITS };
enum { ACC_READ, ACC_WRITE, ACC_EXEC };

struct Env {
    X86State s;                 /* must be first */

    /*
     * Arithmetic flags, lazily.
     *   ZF = cc_res == 0
     *   SF = bit 63 of cc_res ^ bit 0 of cc_aux
     *   PF = even parity of the low byte of cc_res ^ bit 1 of cc_aux
     *   AF = bit 3 of cc_aux
     *   CF = bit 63 of cc_aux;  OF = bit 63 ^ bit 62 of cc_aux
     * cc_res is the result sign-extended to 64 bits; cc_aux holds the vector
     * of carries out of each bit, moved so that the top two of the operand
     * size are bits 63 and 62, with bit 3 kept.
     */
    uint64_t cc_res, cc_aux;
    int64_t df;                 /* +1 or -1; DF of s.rflags is stale */

    TlbEntry *tlb;              /* table of the present CPL and alignment mode */
    uint64_t rip_base;          /* RIP of offset 0 of the running block's page */
    X86Cpu *cpu;
    const struct Block *block;  /* running */
    uint64_t jump_tag;          /* generation and mode: see insn_jump() */
    uint64_t jump_base;         /* added to RIP there: CS.base << 32, or 0 in
                                 * 64-bit mode */
    int32_t budget;             /* instructions to the next safe point */
    uint32_t poll_mask;         /* CPU_PEND_* that may stop us now */
    uint32_t mode;              /* DM_*, kept by env_update_mode() */
    uint8_t cpl;                /* kept by env_update_mode() */

    /* A pending exception, set by whoever finds it. */
    int32_t exc_vector;         /* -1: none */
    uint32_t exc_error;
    bool exc_has_error;
    uint8_t exc_soft;           /* EXC_SOFT_*: how it was raised */
    uint64_t exc_cr2;           /* #PF */
    uint64_t exc_dr6;           /* #DB: bits to set */
    uint8_t exc_soft_len;       /* soft: length, to push the next RIP */
    bool exc_canonical;         /* not canonical: the dispatcher makes #SS of
                                 * #GP for the stack segment */

    int32_t exit;               /* a CpuRun + 1 to leave run() with, 0: none */
    uint8_t bounce[64] __attribute__((aligned(64)));   /* see mem_read() */
    uint64_t bounce_gva;
    uint64_t ea;                /* scratch of handlers: a linear address */
    uint8_t bounce_size;
    bool exclusive;             /* this vCPU holds the exclusive section */
    bool locked_code;           /* mem_lock() gave RAM that holds code */
    uint8_t n_pauses;           /* PAUSEs run, to yield now and then */
    uint8_t watch_hit;          /* data breakpoints of this instruction: DR6 */
    bool in_rep;                /* a REP has stopped between iterations */
    bool no_step;               /* SYSCALL has cleared TF: no trap after it */

    struct TcgCpu *tcg;         /* mmu.c, cache.c, run.c: TLBs, jump cache */

    /* The translator's; compiled code reaches these through GS. */
    struct Env *jit_self;
    struct JumpEntry *jit_jump; /* the jump cache */
    uint64_t jit_index_mask;    /* of a linear address: index of the TLB */
    uint64_t jit_page_mask;
    uint32_t fp_off[3];         /* 0: live in host registers; jit/fp.h */
    uint32_t fp_live;           /* the same as bits */
    uint32_t x87_note;          /* the last x87 instruction, X87_NOTE_* */
    uint32_t x87_seg;           /* of its operand + 1; 0: s.fds has it */
    uint32_t jit_fault_flags;
    uint64_t x87_base;          /* its page */
    uint8_t *jit_fault_code;    /* where SIGFPE came */
    uint64_t jit_tmp;
    uint64_t jit_go;            /* (A) 0: leave at the next poll; or 4096,
                                 * which near.c compares with */
    uint64_t jit_past;          /* (A) 0 with it, or above any address */
    uint16_t cc_raw;            /* in compiled code: OF | LAHF << 8 */
    bool jit_off;               /* interpret, for this run */
    bool jit_skip;              /* interpret this block once */
    Insn jit_insn[2];           /* one to be interpreted, and its end */
};

enum { EXC_SOFT_NONE, EXC_SOFT_INT, EXC_SOFT_INT3, EXC_SOFT_INTO, EXC_SOFT_ICEBP };

/* --- leaving a handler ---------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) \
    || !defined(__OPTIMIZE__) || !defined(__x86_64__)
#define NEXT(env, insn) return (insn) + 1       /* no tail calls: loop */
#else
#define NEXT(env, insn) return (insn)[1].fn((env), (insn) + 1)
#endif

/* RIP of an instruction, and of the one after it, as the guest sees them. */
static inline uint64_t insn_rip(const Env *env, const Insn *insn)
{
    return env->rip_base + insn->off;
}

static inline uint64_t insn_next_rip(const Env *env, const Insn *insn)
{
    return env->rip_base + insn->off + insn->len;
}

/* The exception is in env->exc_*: RIP is this instruction's. */
static inline const Insn *insn_fault(Env *env, const Insn *insn)
{
    env->s.rip = insn_rip(env, insn);
    return NULL;
}

/* Done, and the dispatcher must look at the world again. */
static inline const Insn *insn_exit(Env *env, const Insn *insn)
{
    env->s.rip = insn_next_rip(env, insn);
    return NULL;
}

/*
 * What serializing instructions, IN and OUT have beside their own effect: no
 * later load is done before the stores that came earlier are seen by all.
 * SDM 3A 9.2.5, 9.3.
 */
static inline void env_serialize(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * Go on at `rip` (already truncated and checked against limits and canonical
 * form): the first instruction of its block if it is known and nothing is
 * pending, else NULL.  run.c.
 */
const Insn *insn_jump(Env *env, const Insn *insn, uint64_t rip);
/* The same after a change of mode, with s.rip and env_update_mode() done. */
const Insn *insn_jump_far(Env *env, const Insn *insn);

/* Record an exception; returns insn_fault(). */
static inline const Insn *insn_raise(Env *env, const Insn *insn, int vector)
{
    env->exc_vector = vector;
    env->exc_has_error = false;
    env->exc_soft = EXC_SOFT_NONE;
    return insn_fault(env, insn);
}

static inline const Insn *insn_raise_err(Env *env, const Insn *insn,
                                         int vector, uint32_t error)
{
    env->exc_vector = vector;
    env->exc_error = error;
    env->exc_has_error = true;
    env->exc_soft = EXC_SOFT_NONE;
    return insn_fault(env, insn);
}

/* Same for helpers that return success: fills exc_*, returns false. */
static inline bool exc_set(Env *env, int vector, bool has_error,
                           uint32_t error)
{
    env->exc_vector = vector;
    env->exc_has_error = has_error;
    env->exc_error = error;
    env->exc_soft = EXC_SOFT_NONE;
    return false;
}

/* --- memory by linear address; mmu.c -------------------------------------- */

/*
 * A host pointer at which `size` (1 to 64) bytes of `gva` can be read, or NULL
 * with the exception recorded.  It points to RAM, or to env->bounce where the
 * bytes of I/O or of two pages have been gathered.  Good until the next call.
 */
const void *mem_read_slow(Env *env, uint64_t gva, unsigned size);
static inline const void *mem_read(Env *env, uint64_t gva, unsigned size)
{
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nrpage + (size - 1) <= 4095)) {
        return (const void *)(gva + e->addend);
    }
    return mem_read_slow(env, gva, size);
}

/*
 * A host pointer to write `size` bytes to, or NULL.  After storing there, call
 * mem_written(): it carries the bounce buffer on to I/O or the two pages, marks
 * dirty and drops translated code.  mem_rmw(): the same, and the present bytes
 * can be read there first.
 */
void *mem_write_slow(Env *env, uint64_t gva, unsigned size);
void *mem_rmw_slow(Env *env, uint64_t gva, unsigned size);
void mem_written_slow(Env *env);
static inline void *mem_write(Env *env, uint64_t gva, unsigned size)
{
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nwpage + (size - 1) <= 4095)) {
        return (void *)(gva + e->addend);
    }
    return mem_write_slow(env, gva, size);
}

static inline void *mem_rmw(Env *env, uint64_t gva, unsigned size)
{
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nwpage + (size - 1) <= 4095)) {
        return (void *)(gva + e->addend);
    }
    return mem_rmw_slow(env, gva, size);
}

static inline void mem_written(Env *env, const void *p)
{
    if (unlikely(p == env->bounce)) {
        mem_written_slow(env);
    }
}

/*
 * For LOCKed operations: either RAM on which a host-atomic operation of `size`
 * is right, or the bounce buffer with every other vCPU stopped (a locked access
 * over two pages, or to I/O); mem_locked_done() ends both.
 */
void *mem_lock_slow(Env *env, uint64_t gva, unsigned size);
static inline void *mem_lock(Env *env, uint64_t gva, unsigned size)
{
    const TlbEntry *e = &env->tlb[(gva >> 12) & (TLB_SIZE - 1)];

    if (likely(gva + e->nwpage + (size - 1) <= 4095)) {
        return (void *)(gva + e->addend);
    }
    return mem_lock_slow(env, gva, size);
}
void mem_locked_done_slow(Env *env, const void *p);
static inline void mem_locked_done(Env *env, const void *p)
{
    if (unlikely(p == env->bounce || env->locked_code)) {
        mem_locked_done_slow(env, p);
    }
}

/* Both pages of a write are checked before anything is stored: for pushes of
 * several words and FXSAVE.  False with the exception recorded. */
bool mem_probe_write(Env *env, uint64_t gva, unsigned len);

/*
 * Implicit supervisor accesses, whatever the CPL (descriptor tables, TSS, IDT):
 * EFLAGS.AC does not lift SMAP for them (SDM 3A 4.6.1), and they are never
 * checked for alignment.  False with the exception recorded.
 */
bool mem_sys_read(Env *env, uint64_t gva, void *buf, unsigned size);
bool mem_sys_write(Env *env, uint64_t gva, const void *buf, unsigned size);

/* --- memory operands ------------------------------------------------------ */

/* Is what an MSR, a descriptor-table register or a system descriptor is to hold
 * canonical?  The width that the processor has counts, not the one that CR4
 * enables, and so do all modes. */
bool env_base_canonical(const Env *env, uint64_t base);
/* The model's vendor, for what processors of the two do differently. */
bool env_is_amd(const Env *env);

/* Is the address in canonical form, 48 bits or 57 with LA57? */
static inline bool mem_canonical(const Env *env, uint64_t gva)
{
    unsigned n = env->s.cr4 & CR4_LA57 ? 7 : 16;

    return (uint64_t)((int64_t)(gva << n) >> n) == gva;
}

/* The offset of the memory operand in its segment. */
static inline uint64_t insn_offset(const Env *env, const Insn *insn)
{
    uint64_t off = env->s.gpr[insn->base]
                   + (env->s.gpr[insn->index] << insn->scale)
                   + (int64_t)insn->disp;

    if (unlikely(insn->ea & (EA_A32 | EA_A16 | EA_RIP))) {
        if (insn->ea & EA_RIP) {
            off += insn_next_rip(env, insn);    /* gpr[base] is R_ZERO */
        }
        if (insn->ea & EA_A32) {
            off = (uint32_t)off;
        } else if (insn->ea & EA_A16) {
            off = (uint16_t)off;
        }
    }
    return off;
}

/*
 * The linear address of `size` bytes at `off` in segment `seg`, after the
 * checks of its type and limit (write: may it be written).  False with #GP or
 * #SS recorded.  interp/segment.c.
 */
bool seg_linear(Env *env, unsigned seg, uint64_t off, unsigned size,
                bool write, uint64_t *gva);

/* The same for an instruction's operand, in env->bounce_gva's place: returns
 * a pointer as mem_read() and friends do.  NULL: `return insn_fault()`. */
const void *op_read_seg(Env *env, const Insn *insn, unsigned size);
void *op_write_seg(Env *env, const Insn *insn, unsigned size);
void *op_rmw_seg(Env *env, const Insn *insn, unsigned size);
void *op_lock_seg(Env *env, const Insn *insn, unsigned size);

static inline const void *op_read(Env *env, const Insn *insn, unsigned size)
{
    if (unlikely(insn->ea & EA_SEG)) {
        return op_read_seg(env, insn, size);
    }
    return mem_read(env, insn_offset(env, insn), size);
}
static inline void *op_write(Env *env, const Insn *insn, unsigned size)
{
    if (unlikely(insn->ea & EA_SEG)) {
        return op_write_seg(env, insn, size);
    }
    return mem_write(env, insn_offset(env, insn), size);
}
static inline void *op_rmw(Env *env, const Insn *insn, unsigned size)
{
    if (unlikely(insn->ea & EA_SEG)) {
        return op_rmw_seg(env, insn, size);
    }
    return mem_rmw(env, insn_offset(env, insn), size);
}
static inline void *op_lock(Env *env, const Insn *insn, unsigned size)
{
    if (unlikely(insn->ea & EA_SEG)) {
        return op_lock_seg(env, insn, size);
    }
    return mem_lock(env, insn_offset(env, insn), size);
}

/* --- flags ---------------------------------------------------------------- */

#define CC_CF (UINT64_C(1) << 63)

static inline bool cc_zf(const Env *e) { return e->cc_res == 0; }
static inline bool cc_cf(const Env *e) { return e->cc_aux >> 63; }
static inline bool cc_sf(const Env *e)
{
    return (e->cc_res >> 63) ^ (e->cc_aux & 1);
}
static inline bool cc_of(const Env *e)
{
    return ((e->cc_aux >> 63) ^ (e->cc_aux >> 62)) & 1;
}
static inline bool cc_af(const Env *e) { return (e->cc_aux >> 3) & 1; }
static inline bool cc_pf(const Env *e)
{
    return !__builtin_parity((uint8_t)e->cc_res) ^ ((e->cc_aux >> 1) & 1);
}

/* The six flags in RFLAGS' places. */
static inline uint32_t cc_get(const Env *e)
{
    return (cc_cf(e) ? FL_CF : 0) | (cc_pf(e) ? FL_PF : 0)
           | (cc_af(e) ? FL_AF : 0) | (cc_zf(e) ? FL_ZF : 0)
           | (cc_sf(e) ? FL_SF : 0) | (cc_of(e) ? FL_OF : 0);
}

/* Set all six from RFLAGS' places. */
static inline void cc_set(Env *e, uint32_t fl)
{
    uint64_t cf = fl & FL_CF ? 1 : 0, of = fl & FL_OF ? 1 : 0;

    /* Non-zero with even parity and a clear sign, or zero (even parity). */
    e->cc_res = fl & FL_ZF ? 0 : 3;
    e->cc_aux = cf << 63 | (cf ^ of) << 62 | (fl & FL_AF ? 8 : 0)
                | (fl & FL_PF ? 0 : 2) | (fl & FL_SF ? 1 : 0);
}

/* Whole RFLAGS as PUSHF sees it, and back (no checks of privilege). */
static inline uint64_t env_get_rflags(const Env *e)
{
    return (e->s.rflags & ~(uint64_t)(FL_ARITH | FL_DF)) | cc_get(e) | 2
           | (e->df < 0 ? FL_DF : 0);
}

static inline void env_set_rflags(Env *e, uint64_t fl)
{
    cc_set(e, fl);
    e->df = fl & FL_DF ? -1 : 1;
    e->s.rflags = fl | 2;
}

/* --- services of the core to handlers ------------------------------------- */

/* Recompute `mode`, `cpl` and `tlb` from segments, CR0, EFER, RFLAGS; after
 * any change of them.  run.c */
void env_update_mode(Env *env);
/* TLB flushes; mmu.c.  `global`: also global pages.  INVLPG: one page.  A
 * change of the bits of CR0, CR4 and EFER that paging depends on is noticed by
 * env_update_mode(). */
void tlb_flush(Env *env, bool global);
/* Set PKRU; drops what was entered under another value that mattered. */
void tlb_new_pkru(Env *env, uint32_t pkru);
void tlb_flush_page(Env *env, uint64_t gva);
void tlb_flush_pcid(Env *env, uint16_t pcid, bool global);
/* After s.cr3 was set by MOV to CR3 or a task switch: `keep` is bit 63 of the
 * operand with CR4.PCIDE, which allows entries of the new PCID to survive. */
void tlb_new_cr3(Env *env, bool keep);
/* With PAE outside long mode: load the four PDPTEs from `cr3`, as MOV to CR3
 * does, and MOV to CR0 and CR4 after some changes (SDM 3A 4.4.1).  False, and
 * nothing loaded, when one has a reserved bit set: #GP is the caller's. */
bool tlb_load_pdptes(Env *env, uint64_t cr3);
/* Should a long instruction (REP, between iterations) stop here and let the
 * dispatcher look?  It then ends with `return insn_fault(env, insn)` without
 * an exception, to be resumed.  With DM_TF, or after a data breakpoint: after
 * each iteration. */
static inline bool env_poll(const Env *env)
{
    return (__atomic_load_n(&env->cpu->pending, __ATOMIC_RELAXED)
            & env->poll_mask) || env->mode & DM_TF || env->watch_hit;
}
/* MOV to CR0/3/4, with every side effect; false with #GP recorded.
 * interp/control.c */
bool env_set_cr0(Env *env, uint64_t val);
bool env_set_cr3(Env *env, uint64_t val);
bool env_set_cr4(Env *env, uint64_t val);
bool env_set_efer(Env *env, uint64_t val);
/* Has the processor all the bits that are set in `val`? */
bool env_cr4_valid(const Env *env, uint64_t val);
bool env_efer_valid(const Env *env, uint64_t val);
/* XGETBV with ECX = 1: the XSAVE components not in their initial state.
 * interp/xsave.c */
uint64_t xsave_in_use(Env *env);
/* Deliver env->exc_* (turning into #DF or a triple fault as needed), or an
 * external interrupt; RIP and all state end up at the handler.  False: triple
 * fault.  interp/exception.c */
bool env_deliver_exception(Env *env);
bool env_deliver_interrupt(Env *env, int vector);
/* Port I/O with the permission bitmap already checked; ioport.c */
uint64_t env_io_read(Env *env, uint16_t port, unsigned size);
void env_io_write(Env *env, uint16_t port, unsigned size, uint64_t val);

/* Handler tables.  A row gives, for one op, the handler by operand size
 * (8, 16, 32, 64 bits; vectors: 128, 256) and by register or memory form.
 * Ops without sizes use column 0 for all.  Each file of interp/ exports rows
 * that end with op 0; interp_init() joins them (rows of the same op add up); an empty place
 * raises #UD, and a test lists those. */
typedef struct HandlerRow {
    uint16_t op;
    InsnFn *reg[4];
    InsnFn *mem[4];
    InsnFn *lock[4];            /* memory, with LOCK; empty: #UD */
    InsnFn *const *cond[4];     /* register form: 16 handlers, one for each
                                 * condition in `aux`; NULL: reg[] serves all */
} HandlerRow;

/* The handler of a decoded instruction; never NULL.  interp/table.c */
InsnFn *interp_handler(const Insn *insn);
void interp_init(void);

#endif
