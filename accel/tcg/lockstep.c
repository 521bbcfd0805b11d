/*
 * -accel tcg,lockstep=on: each block runs twice, and its outcomes are compared.
 *
 * First the interpreter runs it, with a TLB in which nothing hits, so that
 * every store comes by lockstep_store(), which keeps what was there.  Then
 * memory and registers are put back, the translated code of the same block
 * runs, alone and with everything that chains blocks taken away, and registers,
 * flags, the exception and all the bytes stored must be the same.  The first
 * difference is printed, with the block and the state before it, and the
 * machine stops.
 *
 * What cannot be done twice is interpreted only: accesses to devices, blocks
 * that rewrite themselves, and operations on the system's state.
 *
 * Locks: none.  One vCPU; its thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/lockstep.h"

#include <stdio.h>

#include "accel/tcg/decode/info.h"
#include "accel/tcg/interp/int.h"
#include "accel/tcg/jit/jit.h"
#include "base/log.h"

/* A piece of RAM about to be stored to. */
typedef struct Store {
    uint8_t *hva;
    unsigned len;
    uint8_t old[64], new[64];
} Store;

/* What comparable blocks change of the environment: the state up to the MSRs,
 * and how they ended. */
enum { STATE_BYTES = offsetof(X86State, star) };

typedef struct Outcome {
    union {
        uint8_t bytes[STATE_BYTES];
        X86State s;             /* of which the rest is not there */
    };
    uint64_t cc_res, cc_aux, cr2, dr6, df;
    uint32_t vector, error, exit;
    uint8_t soft, soft_len, shadow, watch_hit;
    bool has_error, canonical, in_rep, no_step;
} Outcome;

bool tcg_lockstep;
void (*lockstep_store_hook)(Env *env, uint8_t *hva, unsigned len);

static GArray *stores;
static bool tainted;            /* a device was there */
static bool once_only[N_OPS];
static LockstepStats stats;

/* --- what may not be done twice ------------------------------------------- */

void lockstep_init(void)
{
    static const HandlerRow *const rows[] = {
        interp_segment, interp_far, interp_control, interp_msr,
        interp_system, interp_io, interp_hypercall,
    };
    static const uint16_t harmless[] = {
        OP_PREFETCH_M, OP_PREFETCHW_M, OP_LFENCE, OP_MFENCE, OP_SFENCE,
        OP_CLFLUSH_M, OP_CLFLUSHOPT_M, OP_CLWB_M, OP_CLDEMOTE_M, OP_SMSW_RM,
        OP_SGDT_M, OP_SIDT_M, OP_SLDT_RM, OP_STR_RM, OP_MOV_RM_SEG,
        OP_LAR_R_RM, OP_LSL_R_RM, OP_VERR_RM, OP_VERW_RM, OP_CPUID,
        OP_XGETBV, OP_RDPID_RM, OP_RDPKRU, OP_PAUSE, OP_CLI, OP_STI,
        OP_RDFSBASE_RM, OP_RDGSBASE_RM, OP_WRFSBASE_RM, OP_WRGSBASE_RM,
        OP_BOUND_R_M, OP_INT1, OP_INT3, OP_INTO, OP_INT_I,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (const HandlerRow *r = rows[i]; r->op; r++) {
            once_only[r->op] = true;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(harmless); i++) {
        once_only[harmless[i]] = false;
    }
    stores = g_array_new(FALSE, FALSE, sizeof(Store));
    tcg_lockstep = true;
}

static bool comparable(const Block *b)
{
    if (!b->page || (b->mode & (DM_TF | DM_SHADOW))) {
        return false;
    }
    for (unsigned i = 0; i < b->n_insns; i++) {
        if (once_only[b->insns[i].op]) {
            return false;
        }
    }
    return true;
}

/* --- stores --------------------------------------------------------------- */

static void note_store(Env *env, uint8_t *hva, unsigned len)
{
    Store st = { .hva = hva, .len = len };

    if (!hva) {
        tainted = true;
        return;
    }
    guest_copy(st.old, hva, len);
    g_array_append_val(stores, st);
}

static void undo_stores(void)
{
    for (unsigned i = 0; i < stores->len; i++) {
        Store *st = &g_array_index(stores, Store, i);

        guest_copy(st->new, st->hva, st->len);
    }
    for (unsigned i = stores->len; i--;) {
        const Store *st = &g_array_index(stores, Store, i);

        guest_copy(st->hva, st->old, st->len);
    }
}

/* --- states --------------------------------------------------------------- */

static void outcome_get(Env *env, Outcome *o)
{
    bool raised = env->exc_vector >= 0;

    env->s.gpr[R_PC] = 0;               /* scratch */
    memcpy(o->bytes, &env->s, STATE_BYTES);
    o->cc_res = env->cc_res;
    o->cc_aux = env->cc_aux;
    o->df = env->df;
    o->vector = env->exc_vector;
    o->has_error = raised && env->exc_has_error;
    o->error = o->has_error ? env->exc_error : 0;
    o->soft = raised ? env->exc_soft : 0;
    o->soft_len = raised && env->exc_soft ? env->exc_soft_len : 0;
    o->cr2 = env->exc_vector == EXC_PF ? env->exc_cr2 : 0;
    o->dr6 = env->exc_vector == EXC_DB ? env->exc_dr6 : 0;
    o->canonical = env->exc_canonical;
    o->exit = env->exit;
    o->shadow = env->s.interrupt_shadow;
    o->watch_hit = env->watch_hit;
    o->in_rep = env->in_rep;
    o->no_step = env->no_step;
}

static void outcome_put(Env *env, const Outcome *o)
{
    memcpy(&env->s, o->bytes, STATE_BYTES);
    env->cc_res = o->cc_res;
    env->cc_aux = o->cc_aux;
    env->df = o->df;
    env->exc_vector = o->vector;
    env->exc_canonical = o->canonical;
    env->exit = o->exit;
    env->s.interrupt_shadow = o->shadow;
    env->watch_hit = o->watch_hit;
    env->in_rep = o->in_rep;
    env->no_step = o->no_step;
}

static uint32_t flags_of(const Outcome *o)
{
    static Env e;

    e.cc_res = o->cc_res;
    e.cc_aux = o->cc_aux;
    return cc_get(&e);
}

static uint32_t unpack_flags(unsigned f)
{
    return (f & IF_CF ? FL_CF : 0) | (f & IF_PF ? FL_PF : 0)
           | (f & IF_AF ? FL_AF : 0) | (f & IF_ZF ? FL_ZF : 0)
           | (f & IF_SF ? FL_SF : 0) | (f & IF_OF ? FL_OF : 0);
}

/* Flags that the manual leaves undefined wherever the block may have been
 * left. */
static uint32_t undefined_flags(const Block *b)
{
    unsigned undef = 0, any = 0;

    for (unsigned i = 0; i < b->n_insns; i++) {
        InsnFlags f = insn_flags(&b->insns[i]);

        undef = (undef & ~f.set) | f.undef;
        any |= undef;
    }
    return unpack_flags(any);
}

/* --- telling -------------------------------------------------------------- */

static const struct { const char *name; unsigned off, size, n; } fields[] = {
#define F(field, count) { #field, offsetof(X86State, field),                \
                          sizeof(((X86State *)NULL)->field) / (count), count }
    F(gpr, N_GPR + 2), F(rip, 1), F(rflags, 1), F(seg, N_SEG), F(ldtr, 1),
    F(tr, 1), F(cr0, 1), F(cr2, 1), F(cr3, 1), F(cr4, 1), F(efer, 1),
    F(fpr, 8), F(fcw, 1), F(fsw, 1), F(ftw, 1), F(fop, 1), F(fcs, 1),
    F(fds, 1), F(fip, 1), F(fdp, 1), F(mxcsr, 1), F(pkru, 1), F(vec, 16),
#undef F
};

static void print_bytes(GString *out, const void *p, unsigned n)
{
    for (unsigned i = n; i--;) {        /* as a number */
        g_string_append_printf(out, "%02x", ((const uint8_t *)p)[i]);
    }
}

static void diff_state(const Outcome *want, const Outcome *got, GString *out)
{
    unsigned before = out->len;

    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        for (unsigned k = 0; k < fields[i].n; k++) {
            unsigned off = fields[i].off + k * fields[i].size;
            const char *a = (const char *)&want->s + off;
            const char *b = (const char *)&got->s + off;

            if (memcmp(a, b, fields[i].size)) {
                g_string_append_printf(out, "  %s[%u]: interpreted ",
                                       fields[i].name, k);
                print_bytes(out, a, fields[i].size);
                g_string_append(out, ", translated ");
                print_bytes(out, b, fields[i].size);
                g_string_append_c(out, '\n');
            }
        }
    }
    if (memcmp(want->bytes, got->bytes, STATE_BYTES) && out->len == before) {
        g_string_append(out, "  some other part of the state\n");
    }
}

static void diff_number(const char *name, uint64_t want, uint64_t got,
                        GString *out)
{
    if (want != got) {
        g_string_append_printf(out, "  %s: interpreted %" PRIx64
                               ", translated %" PRIx64 "\n", name, want, got);
    }
}

static bool store_differs(const Store *st)
{
    return !guest_equal(st->hva, st->new, st->len);
}

static void diff_store(const Store *st, GString *out)
{
    uint8_t now[64];
    uint64_t off = 0;

    guest_copy(now, st->hva, st->len);
    ram_from_host(st->hva, &off);
    g_string_append_printf(out, "  %u bytes of RAM at %" PRIx64
                           ": interpreted ", st->len, off);
    print_bytes(out, st->new, st->len);
    g_string_append(out, ", translated ");
    print_bytes(out, now, st->len);
    g_string_append(out, ", before ");
    print_bytes(out, st->old, st->len);
    g_string_append_c(out, '\n');
}

/* What differs, a line each; NULL: nothing does. */
static GString *differences(const Block *b, const Outcome *want,
                            const Outcome *got)
{
    uint32_t a = flags_of(want), c = flags_of(got);
    bool bad = false;
    GString *out;

    if (unlikely(a != c)) {
        uint32_t mask = ~undefined_flags(b);

        a &= mask;
        c &= mask;
        bad = a != c;
    }
    for (unsigned i = 0; i < stores->len && !bad; i++) {
        bad = store_differs(&g_array_index(stores, Store, i));
    }
    if (likely(!bad && !memcmp(want->bytes, got->bytes, STATE_BYTES)
               && !memcmp(&want->cr2, &got->cr2,
                          sizeof(*want) - offsetof(Outcome, cr2)))) {
        return NULL;
    }
    out = g_string_new(NULL);
    diff_state(want, got, out);
    diff_number("flags", a, c, out);
    diff_number("DF", want->df, got->df, out);
    diff_number("exception", want->vector, got->vector, out);
    diff_number("error code", want->error, got->error, out);
    diff_number("CR2 to be", want->cr2, got->cr2, out);
    diff_number("DR6 to be", want->dr6, got->dr6, out);
    diff_number("soft", want->soft, got->soft, out);
    diff_number("not canonical", want->canonical, got->canonical, out);
    diff_number("exit", want->exit, got->exit, out);
    diff_number("shadow", want->shadow, got->shadow, out);
    diff_number("inside REP", want->in_rep, got->in_rep, out);
    diff_number("breakpoints hit", want->watch_hit, got->watch_hit, out);
    for (unsigned i = 0; i < stores->len; i++) {
        const Store *st = &g_array_index(stores, Store, i);

        if (store_differs(st)) {
            diff_store(st, out);
        }
    }
    return out;
}

static void report(Env *env, const Block *b, const Outcome *before,
                   const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint64_t rip = before->s.rip;

    g_string_printf(out, "lockstep: block %" PRIu64 " at %016" PRIx64
                    ", mode 0x%x, differs:\n%sthe block:\n",
                    stats.n_compared, rip, b->mode, text);
    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *n = &b->insns[i];

        g_string_append_printf(out, "  %016" PRIx64 "  ",
                               rip - b->off + n->off);
        for (unsigned j = 0; j < n->len; j++) {
            g_string_append_printf(out, "%02x ", b->bytes[n->off - b->off + j]);
        }
        g_string_append_printf(out, "%*s", 3 * MAX(8 - n->len, 0), "");
        insn_print(n, out);
        g_string_append_c(out, '\n');
    }
    g_string_append_printf(out, "before it (flags %03x):\n",
                           flags_of(before));
    memcpy(&env->s, before->bytes, STATE_BYTES);
    cpu_print_registers(env->cpu, out);
    fputs(out->str, stderr);
    log_debug(LOG_EXEC, "%s", out->str);
}

/* --- running -------------------------------------------------------------- */

/* From instruction `first` on, where RIP is. */
static void run_once(Env *env, const Block *b, unsigned first, bool interpret)
{
    const Insn *insn = &b->insns[first];

    env->block = b;
    env->rip_base = env->s.rip - insn->off;
    env->budget = 0;            /* leave at the end of the block */
    env->poll_mask = 0;         /* no interrupt inside of REP in one run only */
    env->jit_off = interpret;
    env->jit_skip = false;
    do {
        insn = __atomic_load_n(&insn->fn, __ATOMIC_RELAXED)(env, insn);
    } while (insn);
}

/*
 * Translated code goes back to the dispatcher behind an instruction that it
 * found out not to be for it (WAIT, when x87 may not be used).  Then the rest of
 * the block is interpreted.
 */
static void finish_block(Env *env, const Block *b, const Outcome *before,
                         const Outcome *want)
{
    uint64_t off = env->s.rip - before->s.rip + b->off;

    if (env->exc_vector >= 0 || env->exit
        || (want->vector == (uint32_t)-1 && env->s.rip == want->s.rip)) {
        return;
    }
    for (unsigned i = 1; i < b->n_insns; i++) {
        if (b->insns[i].off == off) {
            run_once(env, b, i, true);
            return;
        }
    }
}

void lockstep_run(Env *env, const Block *found)
{
    const Block *b = cache_longer(env, (Block *)found);
    g_autoptr(GString) out = NULL;
    uint64_t jump_tag = env->jump_tag;
    static Outcome before, want, got;

    b = b ? b : found;
    if (!comparable(b)) {
        run_once(env, b, 0, true);
        stats.n_interpreted++;
        return;
    }
    outcome_get(env, &before);
    g_array_set_size(stores, 0);
    tainted = false;
    lockstep_store_hook = note_store;
    env->tlb = tlb_none;
    run_once(env, b, 0, true);
    lockstep_store_hook = NULL;
    mmu_update_mode(env);
    if (tainted || env->exclusive || env->exit || env->jump_tag != jump_tag
        || __atomic_load_n(&b->stale, __ATOMIC_ACQUIRE)) {
        stats.n_interpreted++;
        return;
    }
    outcome_get(env, &want);
    undo_stores();
    outcome_put(env, &before);
    /* No jump table, no returns: the block leaves at its end. */
    jit_stop(env);
    jit_cpu(env)->returns[0].tag = jit_cpu(env)->returns[1].tag = 0;
    run_once(env, found, 0, false);
    finish_block(env, b, &before, &want);
    outcome_get(env, &got);
    stats.n_compared++;
    out = differences(b, &want, &got);
    if (unlikely(out)) {
        stats.n_different++;
        report(env, b, &before, out->str);
        env->exit = CPU_RUN_ERROR + 1;
    }
}

void lockstep_stats(LockstepStats *out)
{
    *out = stats;
}
