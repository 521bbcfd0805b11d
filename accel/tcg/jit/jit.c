/*
 * The translator around compiled code: the code cache, entering and leaving,
 * links between blocks, invalidation.
 *
 * The code cache is one piece of memory, mapped twice: once to write, once to
 * execute.  Nothing is freed from it but all at once, with every other vCPU at
 * a safe point; code of a stale block stays, but its entries lead out and its
 * incoming links are undone.
 *
 * Locks: the cache mutex, but for entering, leaving and what hot.c has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include <asm/prctl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/tcg/jit/emit.h"
#include "accel/tcg/jit/jitdump.h"
#include "accel/tcg/jit/noflags.h"
#include "base/log.h"

enum {
    COMPILE_BYTES = 64 * KiB,   /* one block surely takes less */
    PLAIN_EXITS = 4,            /* interpreted before compiled */
    FULL_AGAIN_US = 1000000,
    PRESSURE_MAX = 1 << 14,     /* runs of a block */
};

JitSpace jit_space;
JitOptions jit_options;
bool jit_enabled;
void *jit_no_code;

static JitCode *codes;          /* of blocks that are not stale */
static JitStats stats;
static uint32_t pressure;        /* (A) added to the threshold */
uint32_t jit_generation;
JitFpMap *jit_fp_maps;
static FILE *perf_map;

/* --- the space ------------------------------------------------------------ */

void *jit_alloc(size_t n)
{
    jit_space.data -= ALIGN_UP(n, 16);
    return jit_space.data;
}

static bool has_room(void)
{
    return jit_space.code_end - jit_space.code >= COMPILE_BYTES
           && jit_space.data - jit_space.cold >= COMPILE_BYTES;
}

/* All of it is free. */
static void space_begin(void)
{
    JitSpace *s = &jit_space;
    /* A third, as measured over Debian's kernel and programs. */
    uint64_t hot = MAX(ALIGN_DOWN(s->size / 3, PAGE_BYTES), 2 * COMPILE_BYTES);

    s->code = s->rw;
    s->code_end = s->cold = s->rw + hot;
    s->data = s->rw + s->size;
    jit_make_thunks();
}

static void *executable(const uint8_t *rw)
{
    return jit_space.rx + (rw - jit_space.rw);
}

/* --- beginning ---------------------------------------------------------- */

static bool host_can(void)
{
    return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
           && __builtin_cpu_supports("lzcnt")
           && __builtin_cpu_supports("popcnt");
}

/*
 * One piece of shared memory at two addresses, by mremap() of length 0: no
 * memfd, which a host may forbid to execute, and to perf this is anonymous
 * memory, for which it reads the map of symbols.
 */
static bool map_twice(uint64_t size)
{
    void *rw, *rx;

    rw = mmap(NULL, size, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rw == MAP_FAILED) {
        return false;
    }
    rx = mremap(rw, 0, size, MREMAP_MAYMOVE);
    if (rx == MAP_FAILED || mprotect(rx, size, PROT_READ | PROT_EXEC) != 0) {
        return false;
    }
    jit_space.rw = rw;
    jit_space.rx = rx;
    return true;
}

bool jit_init(const JitOptions *o)
{
    uint64_t size = ALIGN_UP(MAX(o->max_bytes, 256 * KiB), PAGE_BYTES);

    if (o->bare_host || !host_can()) {
        warn("accelerator 'tcg': this host's processor lacks BMI2: code is "
             "interpreted");
        return false;
    }
    if (!map_twice(size) || !jit_slots_init()) {
        warn("accelerator 'tcg': the host gives no memory for code: code is "
             "interpreted");
        return false;
    }
    jit_options = *o;
    t_noflags_init();
    jit_space.size = size;
    space_begin();
    if (o->perf_map) {
        g_autofree char *name = g_strdup_printf("/tmp/perf-%d.map",
                                                (int)getpid());

        perf_map = fopen(name, "w");
    }
    jit_options.dump = o->dump && jitdump_open();
    jit_signals_init();
    jit_enabled = true;
    return true;
}

void jit_stats(JitStats *out)
{
    cache_lock();
    *out = stats;
    out->n_bytes = jit_space.size - (jit_space.data - jit_space.cold)
                   - (jit_space.code_end - jit_space.code);
    out->max_bytes = jit_space.size;
    cache_unlock();
}

static const Insn *run_cold(Env *env, const Insn *insn);

/* --- patching code that may be running ------------------------------------ */

static void patch_rel32(uint8_t *at, const uint8_t *to)
{
    int32_t rel = to - (at + 4);

    __atomic_store_n((int32_t *)at, rel, __ATOMIC_RELEASE);
}

/* Over an instruction of five bytes or more, at a multiple of 8: in one
 * store. */
static void patch_entry(uint8_t *at, const uint8_t *to)
{
    uint8_t bytes[8];
    uint64_t word;

    memcpy(bytes, at, 8);
    bytes[0] = 0xe9;
    e_rel32(bytes + 1, bytes + 5 + (to - (at + 5)));
    memcpy(&word, bytes, 8);
    __atomic_store_n((uint64_t *)at, word, __ATOMIC_RELEASE);
}

static void unlink_all(JitCode *jc)
{
    for (JitEdge *e = jc->in; e; e = e->next_in) {
        patch_rel32(e->patch, e->stub);
        e->linked = false;
    }
    jc->in = NULL;
}

void jit_block_killed(Block *b)
{
    JitCode *jc = b->jit;
    Block *found;

    if (!jc) {
        return;
    }
    found = jc->found;
    unlink_all(jc);
    jit_near_killed(found);
    patch_entry(jc->far_r, jit_space.stale_r);
    patch_entry(jc->far_e, jit_space.bottom);
    for (const JitLanding *l = jc->landings; l; l = l->next) {
        patch_entry(l->patch, jit_space.bottom);
    }
    if (jc->prev) {
        jc->prev->next = jc->next;
    } else {
        codes = jc->next;
    }
    if (jc->next) {
        jc->next->prev = jc->prev;
    }
    stats.n_blocks--;
    stats.n_killed++;
    jc->block->jit = NULL;
    __atomic_store_n(&found->jit, NULL, __ATOMIC_RELAXED);
    /* Jump tables know the code yet, maybe until after a flush. */
    __atomic_store_n(&found->jit_code, jit_no_code, __ATOMIC_RELEASE);
    if (!found->stale) {        /* only what came behind it is gone */
        found->jit_runs = 0;
        if (b->stale && b->n_more) {
            __atomic_store_n(&found->jit_straight, true, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&found->insns[0].fn, run_cold, __ATOMIC_RELEASE);
    }
}

/* --- running -------------------------------------------------------------- */

static uint16_t raw_flags(const Env *env)
{
    return jit_raw_flags(cc_get(env));
}

static const uint8_t *entry_for(const JitEdge *x, const JitCode *jc)
{
    return !x->flags_live ? jc->entry_e
           : jc->entry_live && !(jc->live & ~x->live) ? jc->entry_live
           : jc->entry_r;
}

/* The code that edge `x` leads to, linked by the way; NULL: there is none. */
static void *follow(Env *env, JitEdge *x)
{
    const Block *from = x->block;
    Block *to;
    JitCode *jc;
    uint8_t *entry = NULL;

    cache_lock();
    to = from->stale ? NULL : cache_find_in_page(from->page, x->off,
                                                 from->mode);
    jc = to ? to->jit : NULL;
    /* Unsure: to be compared with memory each time. */
    if (jc && !block_unsure(to) && !jit_options.no_chain) {
        if (x->flags_gone && !jc->flags_dead) {
            /* What is there now wants them: `from` is to be compiled anew. */
            jit_block_killed((Block *)from);
        } else if (!x->linked) {        /* by a vCPU that came here as well */
            patch_rel32(x->patch, entry_for(x, jc));
            x->linked = true;
            x->next_in = jc->in;
            jc->in = x;
            stats.n_links++;
        }
        entry = jc->entry_e;
    }
    cache_unlock();
    return entry ? executable(entry) : NULL;
}

/* The code of the rest of a block without groups; NULL: interpret it. */
static void *follow_plain(JitEdge *x)
{
    const Block *b = x->block;
    uint8_t *code = NULL;

    if (++x->n_exits < PLAIN_EXITS) {   /* racing with others does no harm */
        return NULL;
    }
    cache_lock();
    if (!b->stale && b->jit && has_room()) {
        code = x->linked ? x->patch + 4 + *(int32_t *)x->patch
                         : jit_compile_plain(b->jit, x->insn);
        if (code && !x->linked) {
            x->linked = true;
            patch_rel32(x->patch, code);
        }
    }
    cache_unlock();
    return code ? executable(code) : NULL;
}

static void set_gs(Env *env)
{
    static __thread Env *present;

    if (present != env) {
        present = env;
        jit_signals_let();
        syscall(SYS_arch_prctl, ARCH_SET_GS, env);
    }
}

/* A slot misses too often: its block is compiled again, without. */
static void leave_slot(Env *env, const JitEdge *x)
{
    Block *b = (Block *)x->block;

    if (!jit_slot_thrashes(env, x->off)) {
        return;
    }
    cache_lock();
    if (!b->stale && b->jit) {
        jit_slot_give_up(b, x->insn);
        jit_block_killed(b);
    }
    cache_unlock();
}

static const Insn *run_code(Env *env, void *code)
{
    const Block *b = env->block;
    JitCode *jc = __atomic_load_n(&b->jit, __ATOMIC_RELAXED);
    JitEdge *x, fault;

    set_gs(env);
    jit_cpu(env)->counts.entered++;
    jit_set_key(env);
    if (jc && b->mode == env->mode && !block_unsure(b)
        && !jit_options.no_chain) {
        jit_jump_fill(env, env->rip_base + b->off, b, jc);
    }
    env->cc_raw = raw_flags(env);
    for (;;) {
        jit_returns_begin(env, jit_generation);
        x = jit_enter(env, code);
        jit_returns_end(env);
        if (!x) {
            jit_from_raw(env, env->cc_raw);
            return NULL;
        }
        if (unlikely(x->kind == EXIT_FAULT)) {
            jit_fault_edge(env, &fault);
            x = &fault;
        }
        if (x->kind == EXIT_SLOT) {
            leave_slot(env, x);
        }
        if (x->kind == EXIT_INTERP || x->kind == EXIT_SLOT
            || cpu_pending(env->cpu) & env->poll_mask
            || !(code = x->kind == EXIT_PLAIN ? follow_plain(x)
                                              : follow(env, x))) {
            break;
        }
    }
    b = x->block;
    jit_from_raw(env, env->cc_raw);
    env->block = b;
    if (x->kind != EXIT_EDGE) {
        env->jit_skip = x->insn == 0 && !b->is_longer;
        return &b->insns[x->insn];
    }
    return insn_jump(env, &b->insns[x->insn], env->rip_base + x->off);
}

static const Insn *run_sentinel(Env *env, const Insn *insn)
{
    return insn;
}

void *jit_transfer_cold(Env *env, const JitCode *jc, unsigned i)
{
    const Block *b = jc->block;
    Insn *copy = env->jit_insn;
    uint32_t generation = jit_generation;
    int32_t budget = env->budget;

    jit_cpu(env)->counts.handlers[b->insns[i].op]++;
    env->block = b;
    copy[0] = b->insns[i];
    copy[1].fn = run_sentinel;
    jit_from_raw(env, env->cc_raw);
    /* Negative after the charge: insn_jump() comes back. */
    env->budget = (int32_t)(INT32_MIN / 2 + block_charge(b, copy));
    if (jc->fns[i](env, copy) == &copy[1]) {
        env->s.rip = insn_next_rip(env, copy);
    }
    env->budget = budget;
    env->cc_raw = raw_flags(env);
    return jit_go_on(env, generation);
}

/* The block `b` is about to run: was it jumped to? */
static void note_jumped(Env *env, const Block *b)
{
    uint64_t from = jit_cpu(env)->jumped;
    Block *p;
    unsigned n;

    if (!from) {
        return;
    }
    jit_cpu(env)->jumped = 0;
    p = block_find(from, b->mode);
    if (p && p->page == b->page && b->page) {
        n = __atomic_load_n(&p->jit_n_to, __ATOMIC_RELAXED);
        __atomic_store_n(&p->jit_to[n % BLOCK_TARGETS], b->off,
                         __ATOMIC_RELAXED);
        n++;
        __atomic_store_n(&p->jit_n_to, n < 2 * BLOCK_TARGETS
                                       ? n : BLOCK_TARGETS,
                         __ATOMIC_RELAXED);
    }
}

/* The block is about to run where its page's code has not run before. */
static void leave_base(Env *env, const Block *b)
{
    cache_lock();
    if (!b->stale) {
        jit_base_choose(b, env->rip_base);
    }
    cache_unlock();
}

/* In the place of a compiled block's first handler. */
static const Insn *run_compiled(Env *env, const Insn *insn)
{
    const Block *b = env->block;
    /* In this order: what is compiled later is for us, or for any. */
    bool agrees = jit_base_agrees(b, env->rip_base);
    void *code = __atomic_load_n(&b->jit_code, __ATOMIC_ACQUIRE);

    note_jumped(env, b);
    if (unlikely(env->jit_off | env->jit_skip || code == jit_no_code
                 || !jit_cpu(env)->stacks)) {
        env->jit_skip = false;
        return b->jit_fn0(env, insn);
    }
    if (unlikely(!agrees)) {
        leave_base(env, b);
        return b->jit_fn0(env, insn);
    }
    return run_code(env, code);
}

/* --- compiling ------------------------------------------------------------ */

static void forget(TcgCpu *t, void *unused)
{
    jit_forget(t->env);
}

/*
 * More code is hot than there is room for when the cache fills again soon:
 * then what is compiled must run more often first, or compiling is all that
 * is done.  Under the mutex.
 */
static void feel_pressure(void)
{
    static int64_t last_us;
    int64_t now_us = g_get_monotonic_time();
    uint32_t p = pressure;

    if (last_us && now_us - last_us < FULL_AGAIN_US) {
        p = MIN(MAX(2 * p, 32), PRESSURE_MAX);
    } else {
        p /= 2;
    }
    last_us = now_us;
    __atomic_store_n(&pressure, p, __ATOMIC_RELAXED);
}

/* Forget all code.  Inside an instruction that has done nothing yet. */
static void flush(Env *env)
{
    tcg_exclusive_begin(env);
    cache_lock();
    if (has_room()) {           /* another vCPU came first */
        cache_unlock();
        tcg_exclusive_end(env);
        return;
    }
    for (JitCode *jc = codes; jc; jc = jc->next) {
        Block *b = jc->found;

        jc->block->jit = b->jit = NULL;
        __atomic_store_n(&b->jit_code, jit_no_code, __ATOMIC_RELEASE);
        b->jit_runs = 0;
        __atomic_store_n(&b->insns[0].fn, run_cold, __ATOMIC_RELEASE);
    }
    codes = NULL;
    jit_fp_maps = NULL;
    jit_near_flush();
    stats.n_blocks = 0;
    stats.n_flushes++;
    feel_pressure();
    space_begin();
    tcg_foreach_cpu(forget, NULL);
    __atomic_add_fetch(&jit_generation, 1, __ATOMIC_RELEASE);
    cache_unlock();
    tcg_exclusive_end(env);
}

static void log_code(const char *what, const uint8_t *code, unsigned n)
{
    log_write("%s host %p bytes %u\n", what, executable(code), n);
    for (unsigned i = 0; i < n; i += 32) {
        char hex[65];

        for (unsigned j = 0; j < 32 && i + j < n; j++) {
            snprintf(hex + 2 * j, 3, "%02x", code[i + j]);
        }
        log_write("%s\n", hex);
    }
}

static void note_compiled(Env *env, const Block *b, const JitCode *jc)
{
    uint64_t rip = env->rip_base + b->off;

    if (perf_map) {
        fprintf(perf_map, "%" PRIxPTR " %x guest_%" PRIx64 "\n"
                "%" PRIxPTR " %x guest_%" PRIx64 "_slow\n",
                (uintptr_t)executable(jc->code), jc->n_bytes, rip,
                (uintptr_t)executable(jc->cold), jc->n_cold, rip);
        fflush(perf_map);
    }
    if (jit_options.dump) {
        g_autofree char *name = g_strdup_printf("guest_%" PRIx64, rip);
        g_autofree char *slow = g_strconcat(name, "_slow", NULL);

        jitdump_code(name, jc->code, executable(jc->code), jc->n_bytes);
        jitdump_code(slow, jc->cold, executable(jc->cold), jc->n_cold);
    }
    if (unlikely(log_mask & LOG_OUT_ASM)) {
        log_write("OUT: 0x%016" PRIx64 " insns %u\n", rip, b->n_insns);
        log_code("code", jc->code, jc->n_bytes);
        log_code("slow", jc->cold, jc->n_cold);
    }
}

/* NULL: it has become stale, or cannot be compiled. */
static void *compile(Env *env, Block *b)
{
    uint64_t base = JIT_BASE_ANY;
    JitCode *jc = NULL;
    Block *x;

    cache_longer(env, b);
    cache_lock();
    if (!b->stale) {
        base = jit_base_choose(b, env->rip_base);
    }
    if (b->jit) {
        jc = b->jit;
    } else if (!b->stale && has_room()) {
        x = b->longer ? b->longer : b;
        jc = jit_compile(x, base, env->s.gpr);
        if (jc) {
            jc->found = b;
            x->jit = jc;
            jc->next = codes;
            if (codes) {
                codes->prev = jc;
            }
            codes = jc;
            __atomic_store_n(&b->jit, jc, __ATOMIC_RELEASE);
            stats.n_blocks++;
            stats.n_compiled++;
            note_compiled(env, x, jc);
            __atomic_store_n(&b->jit_code, executable(jc->entry_e),
                             __ATOMIC_RELEASE);
            __atomic_store_n(&b->insns[0].fn, run_compiled,
                             __ATOMIC_RELEASE);
        } else {
            __atomic_store_n(&b->insns[0].fn, b->jit_fn0, __ATOMIC_RELEASE);
        }
    }
    cache_unlock();
    return jc ? executable(jc->entry_e) : NULL;
}

/* In the place of the first handler until the block is worth compiling. */
static const Insn *run_cold(Env *env, const Insn *insn)
{
    Block *b = (Block *)env->block;
    uint32_t enough;
    void *code;

    note_jumped(env, b);
    enough = jit_options.threshold
             + __atomic_load_n(&pressure, __ATOMIC_RELAXED);
    if (b->jit_runs < enough || env->jit_off || !jit_cpu(env)->stacks) {
        if (enough - b->jit_runs <= JIT_SAMPLES) {
            jit_slots_sample(env, b);
        }
        __atomic_store_n(&b->jit_runs, b->jit_runs + 1, __ATOMIC_RELAXED);
        if (b->insns[b->n_insns - 1].op == OP_JMP_RM) {
            jit_cpu(env)->jumped = b->ram_addr;
        }
        return b->jit_fn0(env, insn);
    }
    if (!has_room()) {
        flush(env);
    }
    code = compile(env, b);
    return code ? run_code(env, code) : b->jit_fn0(env, insn);
}

void jit_block_new(Block *b)
{
    b->jit_fn0 = b->insns[0].fn;
    b->jit_code = jit_no_code;
    if (jit_enabled && jit_mode(b->mode)) {
        b->insns[0].fn = run_cold;
    }
}
