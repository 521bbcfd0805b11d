/*
 * What compiled code calls and returns to, with guest vectors live.
 *
 * Built without vector registers and sanitizers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/fp.h"
#include "accel/tcg/jit/jit.h"

#include "base/log.h"

JitEdge *jit_enter(Env *env, void *code)
{
    JitEdge *(*enter)(void *) = (JitEdge *(*)(void *))jit_space.rx;
    JitEdge *x = enter(code);

    jit_fp_sync(env);
    return x;
}

static void *executable(const uint8_t *rw)
{
    return jit_space.rx + (rw - jit_space.rw);
}

static JitPlace *place_slot(JitCpu *cpu, uint64_t place)
{
    return &cpu->places[place * UINT64_C(0x9e3779b97f4a7c15)
                        >> (64 - JIT_PLACE_BITS)];
}

bool jit_jump_fill(Env *env, uint64_t rip, const Block *b, const JitCode *jc)
{
    uint64_t key = -(rip + jit_key(env));
    JitJump *j = jit_jump(env, rip);
    void *r = executable(jc->far_r);
    JitPlace *p;

    if (jc->base != JIT_BASE_ANY && jc->base + b->off != rip) {
        return false;
    }
    if (j->r == r && j->key == key) {
        return true;
    }
    j->key = key;
    j->r = r;
    j->e = executable(jc->far_e);
    j->place = jit_place(b->ram_addr, b->mode);
    p = place_slot(jit_cpu(env), j->place);
    p->place = j->place;
    p->base = jc->base;
    p->r = jc->far_r - jit_space.rw;
    p->e = jc->far_e - jit_space.rw;
    return true;
}

/*
 * What is there of this place, be it from another address space.  Code of a
 * block that is gone leads out, and what comes in its stead is filled in before
 * it runs.
 */
static bool known_place(Env *env, uint64_t rip, uint64_t place)
{
    uint64_t key = -(rip + jit_key(env));
    JitJump *j = jit_jump(env, rip);
    const JitPlace *p;

    /* An entry of another address space has its RIP in the key. */
    if (j->place != place || (-j->key ^ rip) << 16) {
        p = place_slot(jit_cpu(env), place);
        if (p->place != place || (p->base != JIT_BASE_ANY
                                  && p->base != PAGE_START(rip))) {
            return false;
        }
        j->r = jit_space.rx + p->r;
        j->e = jit_space.rx + p->e;
        j->place = place;
    }
    j->key = key;
    return true;
}

/* Where instructions at `rip` come from; NULL: the dispatcher shall look, and
 * fault if need be. */
static const FetchEntry *fetch_quietly(Env *env, uint64_t rip)
{
    const FetchBank *bank = &env->tcg->fetch[env->cpl == 3];
    const FetchEntry *f = &bank->e[rip >> 12 & (FETCH_SIZE - 1)];

    if (f->page != PAGE_START(rip) || f->gen != bank->gen) {
        f = env->fp_live ? NULL : mmu_fetch(env, rip);
        env->exc_vector = -1;
    }
    return f && f->hva ? f : NULL;
}

uint64_t jit_lookup(Env *env, uint64_t rip)
{
    const FetchEntry *f;
    const JitCode *jc;
    const Block *b;
    uint64_t ram_addr;

    jit_cpu(env)->counts.lookups++;
    if (!__atomic_load_n(&env->jit_go, __ATOMIC_RELAXED)) {
        return 0;
    }
    f = fetch_quietly(env, rip);
    if (!f) {
        return 0;
    }
    ram_addr = f->rb->ram_addr + f->rb_offset + PAGE_OFFSET(rip);
    if (known_place(env, rip, jit_place(ram_addr, env->mode))) {
        return 1;
    }
    b = block_find(ram_addr, env->mode);
    if (!b || __atomic_load_n(&b->stale, __ATOMIC_ACQUIRE)
        || block_unsure(b)) {
        return 0;
    }
    jc = __atomic_load_n(&b->jit, __ATOMIC_ACQUIRE);
    if (!jc) {
        return 0;
    }
    return jit_jump_fill(env, rip, b, jc);
}

void *jit_code_at(Env *env, uint64_t rip)
{
    const JitJump *j = jit_jump(env, rip);

    return j->key == -(rip + jit_key(env)) || jit_lookup(env, rip)
               ? j->e : NULL;
}

/* --- at another level ---------------------------------------------------- */

void jit_returns_begin(Env *env, uint32_t generation)
{
    JitCpu *j = jit_cpu(env);
    JitReturns *r = &j->returns[env->cpl == 3];

    if (r->tag != env->jump_tag || r->generation != generation) {
        r->sp = r->bottom;
        r->tag = env->jump_tag;
        r->generation = generation;
    }
    j->sp = r->sp;
    j->neg_bottom = -r->bottom;
    j->present = r;
}

void jit_returns_end(Env *env)
{
    const JitCpu *j = jit_cpu(env);
    JitReturns *r = j->present;

    /* Full, or past the bottom: start afresh. */
    if (!(j->sp & (JIT_RETURN_BYTES - 1)) || j->sp > r->bottom) {
        r->sp = r->bottom;
    } else {
        r->sp = j->sp;
    }
}

/* The present key, and JIT_STOP as it is. */
static void use_key(Env *env, uint64_t key)
{
    JitCpu *j = jit_cpu(env);
    unsigned who = env->tcg->who;
    uint64_t change = jit_key(env) ^ key;

    if (change) {
        __atomic_xor_fetch(&j->key[who], change, __ATOMIC_RELAXED);
    }
    j->tag[who] = env->jump_tag;
}

void jit_set_key(Env *env)
{
    JitCpu *j = jit_cpu(env);
    unsigned i;

    if (j->tag[env->tcg->who] == env->jump_tag) {
        return;                 /* from another level of one address space */
    }
    for (i = 0; i < JIT_TAGS; i++) {
        if (j->key_tags[i] == env->jump_tag) {
            use_key(env, j->keys_of_tags[i]);
            return;
        }
    }
    if (j->n_keys == JIT_KEYS_MAX) {
        jit_fp_sync(env);
        jit_jumps_clear(j);
    }
    i = j->n_keys++ % JIT_TAGS;
    j->key_tags[i] = env->jump_tag;
    j->keys_of_tags[i] = (uint64_t)j->n_keys << 49;
    use_key(env, j->keys_of_tags[i]);
}

/* Has the dispatcher nothing to do before the instruction at RIP but to find
 * its code? */
static bool may_go_on(const Env *env, uint32_t generation)
{
    const TcgCpu *t = env->tcg;

    return env->exc_vector < 0 && !env->exit && !cpu_pending(env->cpu)
           && !env->s.halted && !env->s.wait_sipi
           && !env->s.interrupt_shadow && !env->exclusive
           && !env->locked_code && !(t->n_watch | t->n_exec)
           && !env->watch_hit && jit_mode(env->mode)
           && !(env->s.cr4 & CR4_LA57)
           && !(log_mask & (LOG_EXEC | LOG_CPU | LOG_NOCHAIN))
           && __atomic_load_n(&env->jit_go, __ATOMIC_RELAXED)
           && __atomic_load_n(&jit_generation, __ATOMIC_ACQUIRE)
              == generation;
}

void *jit_go_on(Env *env, uint32_t generation)
{
    if (!may_go_on(env, generation)) {
        return NULL;
    }
    jit_returns_end(env);
    jit_set_key(env);
    jit_returns_begin(env, generation);
    env->poll_mask = UINT32_MAX;
    env->s.rflags &= ~(uint64_t)FL_RF;
    return jit_code_at(env, env->s.rip);
}

void *jit_transfer(Env *env, const JitCode *jc, unsigned i)
{
    jit_cpu(env)->counts.transfers++;
    if (jit_syscall(env, &jc->block->insns[i])) {
        return jit_go_on(env, jit_generation);
    }
    jit_fp_sync(env);
    return jit_transfer_cold(env, jc, i);
}

void *jit_near(Env *env, const void *table, unsigned off)
{
    jit_fp_sync(env);
    return jit_near_cold(table, off);
}

/* --- instructions without a template -------------------------------------- */

static uint16_t raw_flags(const Env *env)
{
    return jit_raw_flags(cc_get(env));
}

static const Insn *run_sentinel(Env *env, const Insn *insn)
{
    return insn;
}

/* Compiled code does not go on behind its call. */
static uint64_t leave(Env *env)
{
    jit_cpu(env)->sp += 8;      /* the return address */
    return 1;
}

static uint64_t after_fault(Env *env, uint32_t generation)
{
    void *code = NULL;

    leave(env);
    if (__atomic_load_n(&env->jit_go, __ATOMIC_RELAXED)
        && !jit_options.no_chain && jit_page_fault(env)) {
        jit_cpu(env)->counts.faults++;
        code = jit_go_on(env, generation);
    }
    return code ? (uintptr_t)code : 1;
}

uint64_t jit_fallback(Env *env, const JitCode *jc, uint32_t what)
{
    const Block *b = jc->block;
    unsigned i = what & 0xff, need = what >> 8 & 0xff;
    Insn *copy = env->jit_insn;
    uint32_t gen = jit_generation;
    uint64_t tag = env->jump_tag;
    uint32_t n_drops = env->tcg->n_drops;
    const Insn *next;

    if (what & JIT_LOAD_FP && jit_fp_load(env, need)) {
        return 0;
    }
    jit_fp_sync(env);
    jit_cpu(env)->counts.handlers[b->insns[i].op]++;
    env->block = b;
    copy[0] = b->insns[i];
    copy[1].fn = run_sentinel;
    if (what & JIT_NO_FLAGS) {  /* cc_raw stays what holds, whatever comes */
        next = jc->fns[i](env, copy);
    } else {
        jit_from_raw(env, env->cc_raw);
        next = jc->fns[i](env, copy);
        env->cc_raw = raw_flags(env);
    }
    if (next != &copy[1]) {
        return after_fault(env, gen);
    }
    if (unlikely(__atomic_load_n(&b->stale, __ATOMIC_ACQUIRE)
                 || __atomic_load_n(&jit_generation, __ATOMIC_ACQUIRE) != gen
                 || env->jump_tag != tag || env->tcg->n_drops != n_drops
                 || env->mode != b->mode || what & JIT_LOAD_FP
                 || (need && !jit_fp_load(env, need)))) {
        env->s.rip = insn_next_rip(env, copy);
        return leave(env);
    }
    if (cpu_pending(env->cpu) & env->poll_mask) {
        jit_stop(env);
    }
    return 0;
}
