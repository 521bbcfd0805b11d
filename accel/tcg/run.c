/*
 * The run loop: finding blocks, running them, chaining them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include "accel/tcg/events.h"
#include "accel/tcg/lockstep.h"
#include "base/log-filter.h"
#include "base/log.h"
#include "base/qsbr.h"

enum { BUDGET = 32768 };        /* instructions between safe points */

/* --- modes ---------------------------------------------------------------- */

/* `type` and `mask`: what it must be besides. */
static bool seg_is_flat(const X86Seg *seg, unsigned mask, unsigned type)
{
    return seg->base == 0 && seg->limit == UINT32_MAX
           && !(seg->attr & SEGA_NULL) && (seg->attr & mask) == type;
}

static bool code_is_flat(const X86Seg *seg)
{
    return seg_is_flat(seg, SEGA_CODE | SEGA_R, SEGA_CODE | SEGA_R);
}

/* Expand-down means that the limit is a lower bound; what is read-only, as a
 * code segment is, refuses writes. */
static bool data_is_flat(const X86Seg *seg)
{
    return seg_is_flat(seg, SEGA_CODE | SEGA_E | SEGA_W, SEGA_W);
}

static uint32_t decode_mode(const X86State *s)
{
    const X86Seg *seg = s->seg;
    uint32_t mode = s->rflags & FL_TF ? DM_TF : 0;
    bool user = x86_cpl(s) == 3;

    if (s->rflags & FL_AC
        && (user ? s->cr0 & CR0_AM : s->cr4 & CR4_SMAP)) {
        mode |= DM_AC;
    }

    if (!(s->cr0 & CR0_PE)) {
        mode |= DM_REAL;
    } else if (s->rflags & FL_VM) {
        return mode | DM_VM86 | DM_CPL3 | DM_CODE16;
    } else if (s->efer & EFER_LMA && seg[SEG_CS].attr & SEGA_L) {
        mode |= DM_CODE64 | DM_FLAT | DM_SS32;
        return x86_cpl(s) == 3 ? mode | DM_CPL3 : mode;
    }
    mode |= seg[SEG_CS].attr & SEGA_DB ? DM_CODE32 : DM_CODE16;
    if (seg[SEG_SS].attr & SEGA_DB) {
        mode |= DM_SS32;
    }
    if (x86_cpl(s) == 3) {
        mode |= DM_CPL3;
    }
    if (code_is_flat(&seg[SEG_CS]) && data_is_flat(&seg[SEG_DS])
        && data_is_flat(&seg[SEG_ES]) && data_is_flat(&seg[SEG_SS])) {
        mode |= DM_FLAT;
    }
    return mode;
}

void env_update_mode(Env *env)
{
    env->mode = decode_mode(&env->s);
    env->cpl = env->s.cr0 & CR0_PE ? x86_cpl(&env->s) : 0;
    if (env->s.rflags & FL_VM) {
        env->cpl = 3;
    }
    mmu_update_mode(env);
}

/* --- chaining ------------------------------------------------------------- */

/* Start a block: by a tail call where NEXT() makes them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) \
    || !defined(__OPTIMIZE__) || !defined(__x86_64__)
#define START(env, b) return (b)->insns
#else
#define START(env, b) return (b)->insns[0].fn((env), (b)->insns)
#endif

static inline unsigned jump_hash(uint64_t rip)
{
    return (rip ^ rip >> JUMP_BITS) & (JUMP_SIZE - 1);
}

static inline bool must_look(const Env *env)
{
    return __atomic_load_n(&env->cpu->pending, __ATOMIC_RELAXED)
           & env->poll_mask;
}

const Insn *insn_jump(Env *env, const Insn *insn, uint64_t rip)
{
    const Block *b = env->block, *to = NULL;
    uint64_t off = rip - env->rip_base;
    const JumpEntry *j;

    env->budget -= block_charge(b, insn);
    if (unlikely(must_look(env) || env->budget < 0)) {
        env->s.rip = rip;
        return NULL;
    }
    /* A slot's offset is set once and for all, so whatever the slot holds when
     * we read it is a block at that offset. */
    if (off == __atomic_load_n(&b->link_off[0], __ATOMIC_RELAXED)) {
        to = __atomic_load_n(&b->link[0], __ATOMIC_ACQUIRE);
    } else if (off == __atomic_load_n(&b->link_off[1], __ATOMIC_RELAXED)) {
        to = __atomic_load_n(&b->link[1], __ATOMIC_ACQUIRE);
    }
    if (likely(to)) {
        env->block = to;
        START(env, to);
    }
    j = &env->tcg->jump[jump_hash(rip)];
    if (likely(j->rip == rip + env->jump_base && j->tag == env->jump_tag)) {
        to = j->block;
        env->block = to;
        env->rip_base = rip - to->off;
        START(env, to);
    }
    env->tcg->link_from = b;
    env->s.rip = rip;
    return NULL;
}

const Insn *insn_jump_far(Env *env, const Insn *insn)
{
    uint64_t rip = env->s.rip;
    const JumpEntry *j;

    env->budget -= block_charge(env->block, insn);
    /* IF may have been set: then even what was not to stop us counts. */
    if (cpu_pending(env->cpu) || env->budget < 0 || env->mode & DM_TF
        || !(env->mode & DM_FLAT)) {
        return NULL;
    }
    env->poll_mask = UINT32_MAX;
    j = &env->tcg->jump[jump_hash(rip)];
    if (likely(j->rip == rip + env->jump_base && j->tag == env->jump_tag)) {
        const Block *to = j->block;

        env->s.rflags &= ~(uint64_t)FL_RF;
        env->block = to;
        env->rip_base = rip - to->off;
        START(env, to);
    }
    return NULL;
}

/* --- finding the block at RIP --------------------------------------------- */

/* The first instruction alone, in code that the limit of CS may cut. */
static const Block *find_limited(Env *env, const FetchEntry *f, uint64_t gva,
                                 uint32_t mode)
{
    const Block *b = cache_get(env, f, gva, mode | DM_SHADOW);

    if (b && env->s.rip + b->len - 1 > env->s.seg[SEG_CS].limit) {
        exc_set(env, EXC_GP, true, 0);
        return NULL;
    }
    return b;
}

/* The entry is from before a flush: is its block still the right one? */
static bool jump_entry_holds(const Env *env, const JumpEntry *j,
                             const FetchEntry *f, uint32_t mode)
{
    return j->rip == env->s.rip + env->jump_base && (uint32_t)j->tag == mode
           && j->n_invalidated == (uint32_t)env->tcg->n_invalidated
           && f->hva
           && j->ram_page == (f->rb->ram_addr + f->rb_offset) >> 12
           && !block_unsure(j->block)
           && !__atomic_load_n(&j->block->stale, __ATOMIC_ACQUIRE);
}

/* NULL: an exception has been recorded.  *single: leave after the block. */
static const Block *find_block(Env *env, uint32_t mode, bool *single)
{
    TcgCpu *t = env->tcg;
    uint64_t rip = env->s.rip, gva = rip;
    JumpEntry *j = &t->jump[jump_hash(rip)];
    const Block *from = t->link_from, *b;
    const FetchEntry *f;

    t->link_from = NULL;
    if (!(mode & DM_CODE64)) {
        const X86Seg *cs = &env->s.seg[SEG_CS];

        if (rip > cs->limit) {
            exc_set(env, EXC_GP, true, 0);
            return NULL;
        }
        gva = (uint32_t)(cs->base + rip);
        /* Does the limit fall into this page?  (Real mode's 64K end with a
         * page when the base is one's.) */
        if (unlikely(rip - PAGE_OFFSET(gva) + PAGE_BYTES - 1 > cs->limit)) {
            *single = true;
            f = mmu_fetch(env, gva);
            return f ? find_limited(env, f, gva, mode) : NULL;
        }
    }
    if (j->rip == rip + env->jump_base && j->tag == env->jump_tag
        && mode == env->mode
        && !__atomic_load_n(&j->block->stale, __ATOMIC_ACQUIRE)) {
        b = j->block;
    } else {
        f = mmu_fetch(env, gva);
        if (!f) {
            return NULL;
        }
        if (jump_entry_holds(env, j, f, mode)) {
            b = j->block;
        } else {
            b = cache_get(env, f, gva, mode);
            if (!b || !b->page || block_unsure(b) || mode != env->mode) {
                return b;
            }
        }
        *j = (JumpEntry) {
            .rip = rip + env->jump_base, .tag = env->jump_tag, .block = b,
            .n_invalidated = t->n_invalidated, .ram_page = b->ram_addr >> 12,
        };
    }
    if (from && rip - env->rip_base == b->off) {
        cache_link(from, b);
    }
    return b;
}

/* --- running -------------------------------------------------------------- */

static void log_state(Env *env, const Block *b)
{
    log_debug(LOG_EXEC, "exec %u: %016" PRIx64 " mode 0x%x insns %u\n",
              env->cpu->index, env->s.rip, env->mode, b->n_insns);
    if (log_mask & LOG_CPU) {
        GString *out = g_string_new(NULL);

        env->s.rflags = env_get_rflags(env);
        cpu_print_registers(env->cpu, out);
        log_write("%s", out->str);
        g_string_free(out, TRUE);
    }
}

/* After MOV SS Intel's processors pass over code breakpoints, AMD's do not:
 * SDM 3A 6.8.3. */
static bool code_db_blocked(const Env *env)
{
    return env->s.interrupt_shadow == 2 && !env_is_amd(env);
}

#ifdef __x86_64__
static inline const Insn *run_insn(Env *env, const Insn *insn)
{
    (void)__atomic_load_n(&cache_n_published, __ATOMIC_ACQUIRE);
    /* Another vCPU may be invalidating the block. */
    return __atomic_load_n(&insn->fn, __ATOMIC_RELAXED)(env, insn);
}
#else

/*
 * Where memory is ordered more weakly than a guest expects (TSO), and atomic
 * operations want aligned operands of at most 8 bytes: handlers make no tail
 * calls, so that each instruction begins here, after a barrier, and those that
 * the host has no atomic operation for run with the other vCPUs stopped.
 */
static bool wants_others_stopped(const Env *env, const Insn *insn)
{
    uint64_t gva;

    if (!(insn->flags & INSN_MEM)
        || !(insn->flags & INSN_LOCK || insn->op == OP_XCHG_RM_R)) {
        return false;
    }
    gva = insn_offset(env, insn);
    if (insn->ea & EA_SEG) {
        gva += env->s.seg[insn->seg].base;
    }
    return insn->op == OP_CMPXCHG16B_M
           || gva & ((insn->op == OP_CMPXCHG8B_M ? 8 : insn->size) - 1);
}

static const Insn *run_insn(Env *env, const Insn *insn)
{
    InsnFn *fn = __atomic_load_n(&insn->fn, __ATOMIC_RELAXED);

    __atomic_thread_fence(__ATOMIC_ACQ_REL);
    if (unlikely(wants_others_stopped(env, insn))) {
        tcg_exclusive_begin(env);
    }
    insn = fn(env, insn);
    if (unlikely(env->exclusive)) {
        tcg_exclusive_end(env);
    }
    return insn;
}
#endif

/* Run from RIP until something ends the chain of blocks. */
static void run_blocks(Env *env)
{
    X86State *s = &env->s;
    uint64_t rflags = s->rflags;
    bool armed = env->tcg->n_watch | env->tcg->n_exec;
    bool alone = s->interrupt_shadow || armed;  /* one instruction */
    bool traps = rflags & FL_TF || armed;
    bool single = alone || traps
                  || log_mask & (LOG_EXEC | LOG_CPU | LOG_NOCHAIN);
    uint32_t mode = env->mode | (alone ? DM_SHADOW : 0);
    const Block *b;
    const Insn *insn;
    int32_t budget;

    if (unlikely(armed) && !(rflags & FL_RF) && !code_db_blocked(env)
        && event_breakpoint(env)) {
        return;
    }
    s->rflags &= ~(uint64_t)FL_RF;
    b = find_block(env, mode, &single);
    if (unlikely(!b)) {
        return;
    }
    if (unlikely(log_mask & (LOG_EXEC | LOG_CPU))
        && log_filter_has(s->rip)) {
        log_state(env, b);
    }
    s->interrupt_shadow = 0;
    env->block = b;
    env->rip_base = s->rip - b->off;
    env->budget = budget = single ? 0 : BUDGET;
    /* 57-bit addresses have no room for the keys of the jump table. */
    env->jit_off = single || s->cr4 & CR4_LA57;
    env->jit_skip = false;
    if (unlikely(tcg_lockstep) && !single) {
        budget = 0;
        lockstep_run(env, b);
    } else {
        insn = b->insns;
        do {
            insn = run_insn(env, insn);
        } while (insn);
    }
    env->cpu->n_insns += budget - env->budget;
    if (unlikely(env->exclusive)) {
        tcg_exclusive_end(env);
    }
    env->locked_code = false;
    if (unlikely(traps)) {
        event_traps(env, rflags);
    }
}

/* No pointer to a block is held: let old ones be freed, and forget those. */
static void quiesce(Env *env)
{
    TcgCpu *t = env->tcg;
    uint64_t n;

    t->link_from = NULL;
    env->block = NULL;
    qsbr_quiescent();
    /* Blocks counted after this cannot be freed before the next time. */
    n = __atomic_load_n(&cache_n_invalidated, __ATOMIC_ACQUIRE);
    if (unlikely(t->n_invalidated != n)) {
        tcg_forget_blocks(t, n);
    }
    /* The same for RAM that the map has lost. */
    mmu_follow_map(env);
}

static CpuRun triple_fault(Env *env)
{
    env->exc_vector = -1;
    if (log_mask & (LOG_INT | LOG_CPU_RESET)) {
        GString *out = g_string_new("triple fault\n");

        env->s.rflags = env_get_rflags(env);
        cpu_print_registers(env->cpu, out);
        log_write("%s", out->str);
        g_string_free(out, TRUE);
    }
    return CPU_RUN_TRIPLE_FAULT;
}

static CpuRun run_loop(Env *env)
{
    X86Cpu *cpu = env->cpu;
    X86State *s = &env->s;

    for (unsigned rounds = 1;; rounds++) {
        CpuRun run;

        if (env->exc_vector >= 0) {
            /* The trap of a step over HLT or MWAIT wakes from it. */
            s->halted = false;
            if (env->exit == CPU_RUN_HALT + 1) {
                env->exit = 0;
            }
            if (!event_deliver(env)) {
                return triple_fault(env);
            }
        }
        if (unlikely(env->exit)) {
            run = env->exit - 1;
            env->exit = 0;
            if (run != CPU_RUN_HALT) {
                return run;
            }
            s->halted = true;
        }
        if (!__atomic_load_n(&env->jit_go, __ATOMIC_RELAXED)) {
            if (tcg_test.poll) {
                jit_stop(env);
            } else {
                jit_resume(env);
            }
            quiesce(env);
        }
        /* What could not be taken with IF clear counts again: STI came here
         * with nothing pending, and what comes next must stop us. */
        env->poll_mask = UINT32_MAX;
        if (cpu_pending(cpu) || s->halted || s->wait_sipi) {
            switch (event_pending(env, &run)) {
            case EVENT_GO_ON:
                break;
            case EVENT_AGAIN:
                continue;
            case EVENT_LEAVE:
                return run == CPU_RUN_TRIPLE_FAULT ? triple_fault(env) : run;
            }
        }
        if (env->budget < 0 || !(rounds & 63)) {
            quiesce(env);
        }
        if (unlikely(tcg_test.flush_each)
            && rounds % tcg_test.flush_each == 0) {
            tlb_flush(env, true);
        }
        run_blocks(env);
    }
}

CpuRun tcg_run(X86Cpu *cpu)
{
    Env *env = cpu->accel_data;
    CpuRun run;

    tcg_safe_point(env->tcg, false);
    quiesce(env);
    jit_clock_check(env);
    env_update_mode(env);
    run = run_loop(env);
    tcg_safe_point(env->tcg, true);
    return run;
}
