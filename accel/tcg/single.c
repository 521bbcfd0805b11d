/*
 * The interpreter for others: see single.h.
 *
 * Locks: the vCPU's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/single.h"

#include <stdlib.h>

#include "accel/tcg/tcg.h"
#include "cpu/features.h"

enum { MAX_INSN_BYTES = 15, DR6_BS = 1 << 14 };

struct TcgSingle {
    Env *env;
    TcgCpu tcg;
    Block *block;               /* of one instruction and an end */
    uint64_t gva;
    bool fault;                 /* at the fetch: execute delivers it */
};

TcgSingle *tcg_single_new(X86Cpu *cpu)
{
    static gsize once;
    TcgSingle *t = calloc(1, sizeof(*t));
    Env *env = mmu_env_new();

    if (g_once_init_enter(&once)) {
        interp_init();
        g_once_init_leave(&once, 1);
    }
    if (!t || !env) {
        free(t);
        mmu_env_free(env);
        return NULL;
    }
    t->env = env;
    t->block = calloc(1, sizeof(Block) + 2 * sizeof(Insn));
    t->tcg.env = env;
    t->tcg.cpu = cpu;
    env->cpu = cpu;
    env->tcg = &t->tcg;
    env->exc_vector = -1;
    env->df = 1;
    env->poll_mask = UINT32_MAX;
    tcg_add_cpu(&t->tcg);
    mmu_init(&t->tcg);
    if (!t->block) {
        tcg_single_free(t);
        return NULL;
    }
    return t;
}

void tcg_single_free(TcgSingle *t)
{
    tcg_remove_cpu(&t->tcg);
    free(t->block);
    mmu_env_free(t->env);
    free(t);
}

X86State *tcg_single_state(TcgSingle *t)
{
    return &t->env->s;
}

/* Past the instruction: stop. */
static const Insn *run_end(Env *env, const Insn *insn)
{
    uint64_t rip = insn_next_rip(env, insn);

    env->s.rip = env->mode & DM_CODE64 ? rip : (uint32_t)rip;
    return NULL;
}

/* Everything may have changed since the last time. */
static void start(Env *env)
{
    TcgCpu *t = env->tcg;
    uint32_t r[4];

    if (!t->phys_bits) {
        cpu_cpuid(env->cpu, 0x80000008, 0, r);
        t->phys_bits = CLAMP(r[0] & 0xff, 32, 52);
        t->has_1g = cpu_has(env->cpu, FEAT_PDPE1GB);
    }
    env_set_rflags(env, env->s.rflags);
    env->s.gpr[R_ZERO] = 0;
    env->exc_vector = -1;
    env->exc_canonical = false;
    env->exit = 0;
    mmu_follow_map(env);
    tlb_flush(env, true);
    tlb_load_pdptes(env, env->s.cr3);
    env_update_mode(env);
}

/* Copy up to the end of the page; 0: no memory there, or a fault. */
static unsigned fetch(TcgSingle *t, uint64_t gva, uint8_t *to, unsigned n,
                      SingleResult *result)
{
    const FetchEntry *f = mmu_fetch(t->env, gva);

    *result = SINGLE_DONE;
    if (!f) {
        t->fault = true;
        return 0;
    }
    if (!f->hva) {
        *result = SINGLE_FETCH;
        return 0;
    }
    n = MIN(n, PAGE_BYTES - PAGE_OFFSET(gva));
    guest_copy(to, f->hva + PAGE_OFFSET(gva), n);
    return n;
}

SingleResult tcg_single_decode(TcgSingle *t, const Insn **out)
{
    Env *env = t->env;
    Block *b = t->block;
    Insn *insn = &b->insns[0];
    uint8_t bytes[MAX_INSN_BYTES];
    SingleResult result;
    DecodeResult how;
    unsigned n, more;

    *out = NULL;
    start(env);
    t->fault = false;
    t->gva = env->mode & DM_CODE64 ? env->s.rip
             : (uint32_t)(env->s.seg[SEG_CS].base + env->s.rip);
    n = fetch(t, t->gva, bytes, sizeof(bytes), &result);
    if (!n) {
        return result;
    }
    memset(b, 0, sizeof(*b) + 2 * sizeof(Insn));
    /* All features: a processor executes what it has, whatever CPUID says,
     * and there are hosts on which the guest sees another CPUID than ours. */
    how = insn_decode(insn, bytes, n, env->mode, NULL);
    if (how == DECODE_MORE && n < sizeof(bytes)) {
        more = fetch(t, t->gva + n, bytes + n, sizeof(bytes) - n, &result);
        if (!more) {
            return result;
        }
        memset(insn, 0, sizeof(*insn));
        how = insn_decode(insn, bytes, n + more, env->mode, NULL);
    }
    if (how == DECODE_MORE || how == DECODE_TOO_LONG) {
        exc_set(env, EXC_GP, true, 0);
        t->fault = true;
        return SINGLE_DONE;
    }
    insn->fn = interp_handler(insn);
    insn->off = PAGE_OFFSET(t->gva);
    b->insns[1] = (Insn) { .fn = run_end, .off = insn->off, .len = insn->len };
    b->link_off[0] = b->link_off[1] = UINT32_MAX;
    b->n_insns = 1;
    b->off = insn->off;
    b->len = insn->len;
    b->mode = env->mode;
    env->block = b;
    env->rip_base = env->s.rip - b->off;
    *out = insn;
    return SINGLE_DONE;
}

bool tcg_single_look(TcgSingle *t, uint64_t gva, hwaddr *gpa, uint8_t **hva)
{
    const FlatRange *r;

    if (!mmu_probe(t->env, gva, gpa)) {
        return false;
    }
    r = view_find(as_view(&as_memory), *gpa);
    *hva = r && r->ram ? r->ram->host + r->offset + (*gpa - r->start) : NULL;
    return true;
}

bool tcg_single_operand(TcgSingle *t, hwaddr *gpa, uint8_t **hva)
{
    const Insn *insn = &t->block->insns[0];
    Env *env = t->env;
    uint64_t gva;

    if (t->fault || !(insn->flags & INSN_MEM)) {
        return false;
    }
    gva = insn_offset(env, insn);
    if (insn->ea & EA_SEG) {
        gva += env->s.seg[insn->seg].base;
    }
    if (!(env->s.efer & EFER_LMA)) {
        gva = (uint32_t)gva;
    }
    return tcg_single_look(t, gva, gpa, hva);
}

static void execute(TcgSingle *t)
{
    Env *env = t->env;
    bool trap = env->s.rflags & FL_TF;
    const Insn *insn = t->block->insns;

    env->s.rflags &= ~(uint64_t)FL_RF;
    env->s.interrupt_shadow = 0;
    env->budget = 0;            /* nothing is chained to it */
    do {
        insn = insn->fn(env, insn);
    } while (insn);
    if (env->exclusive) {
        tcg_exclusive_end(env);
    }
    env->locked_code = false;
    if (trap && env->exc_vector < 0 && env->s.interrupt_shadow != 2) {
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = DR6_BS;
    }
}

SingleResult tcg_single_execute(TcgSingle *t)
{
    Env *env = t->env;

    if (!t->fault) {
        execute(t);
    }
    /* Delivering one exception may raise another, and so on to #DF. */
    if (env->exc_vector >= 0) {
        env->s.interrupt_shadow = 0;
        if (!env_deliver_exception(env)) {
            return SINGLE_TRIPLE_FAULT;
        }
        env->exc_vector = -1;
    }
    if (env->exit) {
        env->s.halted |= env->exit - 1 == CPU_RUN_HALT;
        if (env->exit - 1 == CPU_RUN_TRIPLE_FAULT) {
            return SINGLE_TRIPLE_FAULT;
        }
    }
    env->s.rflags = env_get_rflags(env);
    return SINGLE_DONE;
}
