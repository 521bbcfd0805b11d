/*
 * The run loop: events between instructions, finding blocks, chaining them,
 * and what vCPUs ask of one another.
 *
 * Spec:   Intel SDM volume 3A section 6.9 (priority among events), 6.8.3
 *         (shadows of STI and MOV SS), 17.3 (single step).
 * Locks:  the sync mutex guards `owner`, and each TcgCpu's `running` and
 *         `drops`.  A vCPU is at a safe point while it is not running: its
 *         TLBs may then be changed by the mutex's holder.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include "accel/tcg/lockstep.h"
#include "base/log-filter.h"
#include "base/log.h"
#include "base/qsbr.h"
#include "cpu/lapic.h"

enum {
    BUDGET = 32768,             /* instructions between safe points */
    DR6_BD = 1 << 13,
    DR6_BS = 1 << 14,
    MCG_STATUS_MCIP = 1 << 2,
};
#define INTERRUPTS ((uint32_t)(CPU_PEND_APIC | CPU_PEND_EXTINT))

static GMutex mutex;
static GCond changed;           /* `owner` or some `running` */
static GPtrArray *cpus;         /* of TcgCpu * */
static TcgCpu *owner;           /* of the exclusive section */

uint32_t tcg_map_gen;

/* --- vCPUs together ------------------------------------------------------- */

void tcg_add_cpu(TcgCpu *t)
{
    t->drops = g_array_new(FALSE, FALSE, sizeof(DropRequest));
    g_mutex_lock(&mutex);
    if (!cpus) {
        cpus = g_ptr_array_new();
    }
    g_ptr_array_add(cpus, t);
    g_mutex_unlock(&mutex);
}

void tcg_remove_cpu(TcgCpu *t)
{
    g_mutex_lock(&mutex);
    g_ptr_array_remove(cpus, t);
    g_mutex_unlock(&mutex);
    g_array_free(t->drops, TRUE);
}

void tcg_foreach_cpu(void (*fn)(TcgCpu *, void *), void *opaque)
{
    g_mutex_lock(&mutex);
    for (unsigned i = 0; cpus && i < cpus->len; i++) {
        fn(g_ptr_array_index(cpus, i), opaque);
    }
    g_mutex_unlock(&mutex);
}

static void ask_to_follow(TcgCpu *t, void *opaque)
{
    cpu_interrupt(t->cpu, CPU_PEND_TLB);
}

void tcg_map_changed(void)
{
    __atomic_add_fetch(&tcg_map_gen, 1, __ATOMIC_SEQ_CST);
    tcg_foreach_cpu(ask_to_follow, NULL);
}

unsigned tcg_request_drop(TcgCpu *self, const DropRequest *req)
{
    unsigned n_acks = 0;

    g_mutex_lock(&mutex);
    for (unsigned i = 0; cpus && i < cpus->len; i++) {
        TcgCpu *t = g_ptr_array_index(cpus, i);

        if (t == self) {
            continue;
        }
        if (t->running) {
            g_array_append_val(t->drops, *req);
            cpu_interrupt(t->cpu, CPU_PEND_TLB);
            n_acks++;
        } else {
            mmu_drop_writes(t, req);
        }
    }
    g_mutex_unlock(&mutex);
    return n_acks;
}

/* Call with the mutex, which is dropped meanwhile. */
static void serve_drops(TcgCpu *t)
{
    GArray *todo = t->drops;

    t->drops = g_array_new(FALSE, FALSE, sizeof(DropRequest));
    g_mutex_unlock(&mutex);
    for (unsigned i = 0; i < todo->len; i++) {
        const DropRequest *req = &g_array_index(todo, DropRequest, i);

        mmu_drop_writes(t, req);
        if (req->page) {
            cache_page_acked(req->page);
        }
    }
    g_array_free(todo, TRUE);
    g_mutex_lock(&mutex);
}

/* Between instructions: answer requests, wait out exclusive sections.  Returns
 * running, or, to `leave`, not. */
static void safe_point(TcgCpu *t, bool leave)
{
    g_mutex_lock(&mutex);
    for (;;) {
        if (t->drops->len) {
            serve_drops(t);
        } else if (leave) {
            t->running = false;
            g_cond_broadcast(&changed);
            break;
        } else if (owner && owner != t) {
            t->running = false;
            g_cond_broadcast(&changed);
            g_cond_wait(&changed, &mutex);
        } else {
            t->running = true;
            break;
        }
    }
    g_mutex_unlock(&mutex);
}

static bool others_running(const TcgCpu *self)
{
    for (unsigned i = 0; i < cpus->len; i++) {
        const TcgCpu *t = g_ptr_array_index(cpus, i);

        if (t != self && t->running) {
            return true;
        }
    }
    return false;
}

/*
 * Called inside an instruction that has done nothing yet.  Waiting for its turn
 * counts as a safe point, or two vCPUs would wait for each other.
 */
void tcg_exclusive_begin(Env *env)
{
    TcgCpu *t = env->tcg;
    bool running;

    if (env->exclusive) {
        return;
    }
    g_mutex_lock(&mutex);
    running = t->running;
    while (owner) {
        t->running = false;
        g_cond_broadcast(&changed);
        g_cond_wait(&changed, &mutex);
    }
    owner = t;
    t->running = running;
    for (unsigned i = 0; i < cpus->len; i++) {
        TcgCpu *o = g_ptr_array_index(cpus, i);

        if (o != t && o->running) {
            cpu_interrupt(o->cpu, CPU_PEND_TLB);
        }
    }
    while (others_running(t)) {
        g_cond_wait(&changed, &mutex);
    }
    g_mutex_unlock(&mutex);
    env->exclusive = true;
}

void tcg_exclusive_end(Env *env)
{
    env->exclusive = false;
    g_mutex_lock(&mutex);
    owner = NULL;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&mutex);
}

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

/* --- events --------------------------------------------------------------- */

static void log_exception(const Env *env)
{
    log_write("exception 0x%02x error %04x soft %u cpl %u "
              "ip %04x:%016" PRIx64 " sp %04x:%016" PRIx64 " cr2 %016" PRIx64
              "\n",
              env->exc_vector, env->exc_has_error ? env->exc_error : 0,
              env->exc_soft, env->cpl, env->s.seg[SEG_CS].selector,
              env->s.rip, env->s.seg[SEG_SS].selector, env->s.gpr[R_RSP],
              env->exc_vector == EXC_PF ? env->exc_cr2 : env->s.cr2);
}

static bool operand_canonical(Env *env, const Insn *insn)
{
    uint64_t gva = insn_offset(env, insn);

    if (insn->ea & EA_SEG) {
        gva += env->s.seg[insn->seg].base;
    }
    return mmu_canonical(env, gva) && mmu_canonical(env, gva + insn->size - 1);
}

/* A non-canonical address in the stack segment is #SS, not #GP: only the
 * instruction tells which segment it was. */
static void settle_canonical(Env *env)
{
    const Block *b = env->block;
    uint64_t off = env->s.rip - env->rip_base;

    env->exc_canonical = false;
    if (env->exc_vector != EXC_GP || !b) {
        return;
    }
    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *insn = &b->insns[i];

        if (insn->off != off) {
            continue;
        }
        switch (insn->op) {
        case OP_PUSH_RM: case OP_CALL_RM: case OP_CALLF_M:
            /* Either the operand, which is read first, or the stack. */
            if (insn->flags & INSN_MEM && insn->seg != SEG_SS
                && !operand_canonical(env, insn)) {
                return;
            }
            env->exc_vector = EXC_SS;
            return;
        case OP_POP_RM:
            if (insn->flags & INSN_MEM && insn->seg != SEG_SS
                && mmu_canonical(env, env->s.gpr[R_RSP])) {
                return;
            }
            /* fall through */
        case OP_PUSH_I: case OP_PUSH_SEG: case OP_PUSHF: case OP_POP_SEG:
        case OP_POPF: case OP_ENTER: case OP_LEAVE: case OP_CALL_I:
        case OP_RET: case OP_RET_I: case OP_RETF: case OP_RETF_I:
        case OP_IRET:
            env->exc_vector = EXC_SS;
            return;
        }
        if (insn->flags & INSN_MEM && insn->seg == SEG_SS) {
            env->exc_vector = EXC_SS;
        }
        return;
    }
}

static bool deliver_exception(Env *env)
{
    if (env->exc_canonical) {
        settle_canonical(env);
    }
    if (unlikely(log_mask & LOG_INT)
        || (unlikely(log_mask & LOG_MMU) && env->exc_vector == EXC_PF
            && env->exc_soft == EXC_SOFT_NONE)) {
        log_exception(env);
    }
    env->s.interrupt_shadow = 0;
    if (!env_deliver_exception(env)) {
        return false;
    }
    if (unlikely(env->watch_hit)) {
        /* Held back by MOV SS before INT n, or the frame was watched: before
         * the handler's first instruction.  Once: a watched stack of #DB
         * itself would go on for ever. */
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = env->watch_hit;
        if (!env_deliver_exception(env)) {
            return false;
        }
        env->watch_hit = 0;
    }
    env->exc_vector = -1;
    env_update_mode(env);
    return true;
}

/* INIT and SIPI change the state from outside. */
static void do_init_sipi(Env *env)
{
    env->s.rflags = env_get_rflags(env);
    cpu_do_init_sipi(env->cpu);
    env_set_rflags(env, env->s.rflags);
    env->exc_vector = -1;
    tlb_flush(env, true);
    env_update_mode(env);
}

typedef enum { GO_ON, AGAIN, LEAVE } Step;

/* LEAVE: triple fault. */
static Step take_interrupt(Env *env)
{
    X86Cpu *cpu = env->cpu;
    X86State *s = &env->s;
    int vector;

    if (!(s->rflags & FL_IF)) {
        /* Setting IF goes through here again; until then do not stop for
         * what cannot be taken. */
        env->poll_mask &= ~INTERRUPTS;
        return GO_ON;
    }
    if (s->interrupt_shadow) {
        return GO_ON;
    }
    if (!cpu_has_interrupt(cpu)) {
        /* Masked by priority or at LINT0.  The APIC sets its bit again when
         * that changes; clear it before the last look, or that is lost. */
        cpu_clear_pending(cpu, CPU_PEND_APIC);
        env->poll_mask &= ~(uint32_t)CPU_PEND_EXTINT;
        if (lapic_pending_vector(cpu->apic) >= 0) {
            cpu_interrupt(cpu, CPU_PEND_APIC);
        }
        return GO_ON;
    }
    vector = cpu_take_interrupt(cpu);
    if (vector < 0) {
        return AGAIN;
    }
    s->halted = false;
    log_debug(LOG_INT, "interrupt 0x%02x ip %016" PRIx64 "\n", vector,
              s->rip);
    if (!env_deliver_interrupt(env, vector)) {
        return LEAVE;
    }
    env_update_mode(env);
    return AGAIN;
}

/*
 * Act on cpu->pending before the instruction at RIP.  AGAIN: RIP or the
 * exception changed; LEAVE with *run.
 */
static Step handle_pending(Env *env, CpuRun *run)
{
    TcgCpu *t = env->tcg;
    X86Cpu *cpu = env->cpu;
    X86State *s = &env->s;
    uint32_t pending = cpu_pending(cpu);

    env->poll_mask = UINT32_MAX;
    if (pending & CPU_PEND_TLB) {
        cpu_clear_pending(cpu, CPU_PEND_TLB);
        safe_point(t, false);
        mmu_follow_map(env);
    }
    if (pending & (CPU_PEND_EXIT | CPU_PEND_WORK)) {
        *run = CPU_RUN_EXIT;
        return LEAVE;
    }
    if (s->smm) {
        /* INIT, like another SMI, waits for RSM. */
        env->poll_mask &= ~(uint32_t)(CPU_PEND_SMI | CPU_PEND_INIT);
        pending &= env->poll_mask;
    }
    if (pending & (CPU_PEND_INIT | CPU_PEND_SIPI)) {
        do_init_sipi(env);
        return AGAIN;
    }
    if (s->wait_sipi) {
        *run = CPU_RUN_HALT;
        return LEAVE;
    }
    if (pending & CPU_PEND_MCE) {
        cpu_clear_pending(cpu, CPU_PEND_MCE);
        s->halted = false;
        if (!(s->cr4 & CR4_MCE) || s->mcg_status & MCG_STATUS_MCIP) {
            *run = CPU_RUN_TRIPLE_FAULT;
            return LEAVE;
        }
        s->mcg_status = s->mcg_pending | MCG_STATUS_MCIP;
        exc_set(env, EXC_MC, false, 0);
        return AGAIN;
    }
    if (pending & CPU_PEND_SMI && !s->interrupt_shadow) {
        cpu_clear_pending(cpu, CPU_PEND_SMI);
        if (machine()->smm) {
            smm_enter(env);
        }
        return AGAIN;
    }
    if (pending & CPU_PEND_NMI) {
        if (!s->nmi_blocked && !s->interrupt_shadow) {
            if (cpu_take_nmi(cpu)) {
                s->halted = false;
                s->nmi_blocked = true;
                exc_set(env, EXC_NMI, false, 0);
            }
            return AGAIN;
        }
        if (s->nmi_blocked) {
            env->poll_mask &= ~(uint32_t)CPU_PEND_NMI;
        }
    }
    if (pending & INTERRUPTS) {
        switch (take_interrupt(env)) {
        case GO_ON:
            break;
        case AGAIN:
            return AGAIN;
        case LEAVE:
            *run = CPU_RUN_TRIPLE_FAULT;
            return LEAVE;
        }
    }
    if (s->halted) {
        *run = CPU_RUN_HALT;
        return LEAVE;
    }
    return GO_ON;
}

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

/* The traps due after an instruction that did not fault. */
static void raise_traps(Env *env, uint64_t rflags)
{
    uint64_t dr6 = env->watch_hit;

    if (env->s.interrupt_shadow == 2) {
        return;                 /* MOV SS: after the next instruction */
    }
    if (rflags & FL_TF && !env->no_step) {
        dr6 |= DR6_BS;
    }
    env->no_step = false;
    if (env->exc_vector >= 0 && env->exc_soft != EXC_SOFT_NONE
        && env->exc_soft != EXC_SOFT_ICEBP) {
        /* What MOV SS held back is due once the interrupt that this
         * instruction makes has been delivered. */
        return;
    }
    if (env->exc_vector == EXC_DB && env->exc_soft == EXC_SOFT_NONE
        && !(env->exc_dr6 & DR6_BD)) {
        env->exc_dr6 |= dr6;    /* an I/O breakpoint as well */
    } else if (env->exc_vector < 0 && dr6) {
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = dr6;
    }
    env->watch_hit = 0;
}

/* Is there an instruction breakpoint at RIP?  Then #DB is recorded. */
static bool at_breakpoint(Env *env)
{
    const TcgCpu *t = env->tcg;
    uint64_t gva = env->s.rip, dr6 = 0;

    if (!(env->mode & DM_CODE64)) {
        gva = (uint32_t)(gva + env->s.seg[SEG_CS].base);
    }
    for (unsigned i = 0; i < t->n_exec; i++) {
        if (gva >= t->exec[i].first && gva <= t->exec[i].last) {
            dr6 |= t->exec[i].dr6;
        }
    }
    if (!dr6) {
        return false;
    }
    exc_set(env, EXC_DB, false, 0);
    env->exc_dr6 = dr6;
    return true;
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
        && at_breakpoint(env)) {
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
        raise_traps(env, rflags);
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
            if (!deliver_exception(env)) {
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
            switch (handle_pending(env, &run)) {
            case GO_ON:
                break;
            case AGAIN:
                continue;
            case LEAVE:
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

    safe_point(env->tcg, false);
    quiesce(env);
    jit_clock_check(env);
    env_update_mode(env);
    run = run_loop(env);
    safe_point(env->tcg, true);
    return run;
}
