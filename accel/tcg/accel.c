/*
 * The emulator as an accelerator: `-accel tcg`.
 *
 * Locks: cpu_init and cpu_free under the machine lock; run in the vCPU's
 * thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/host-features.h"
#include "accel/tcg/jit/jit.h"

#include "accel/tcg/interp/fpu.h"
#include "accel/tcg/lockstep.h"
#include "base/opts.h"
#include "loop/loop.h"

enum { THREAD_MULTI, THREAD_SINGLE };
static const char *const thread_names[] = { "multi", "single", NULL };

/* What -accel tcg,… sets. */
typedef struct TcgOptions {
    int thread;
    uint64_t tb_size_mib;
    bool jit;
    bool one_insn;
    bool split_wx;
    uint32_t threshold;
    bool ignore_msrs;
    bool perf_map, jit_dump, tlb_miss, no_chain, small_cache, lockstep;
    bool bare_host;
    TcgTest test;
    TcgHost host;
} TcgOptions;

static const Property tcg_props[] = {
    PROP_ENUM(TcgOptions, thread, "thread", THREAD_MULTI, thread_names,
              "a host thread for each vCPU (single: accepted, not obeyed)"),
    PROP_U64(TcgOptions, tb_size_mib, "tb-size", 0,
             "memory for translated code in MiB; 0: chosen by us"),
    PROP_BOOL(TcgOptions, jit, "jit", true, "translate hot code"),
    PROP_BOOL(TcgOptions, ignore_msrs, "ignore-msrs", false,
              "MSRs that do not exist read 0 and take writes, without #GP"),
    PROP_BOOL(TcgOptions, lockstep, "lockstep", false,
              "interpret and translate each block and compare; one vCPU"),
    PROP_BOOL(TcgOptions, one_insn, "one-insn-per-tb", false,
              "a block for each instruction"),
    PROP_BOOL(TcgOptions, split_wx, "split-wx", true,
              "accepted; code is never writable and executable at once"),
    PROP_BOOL(TcgOptions, jit_dump, "jit-dump", false,
              "jit: write /tmp/jit-PID.dump for perf inject --jit"),
    PROP_BOOL(TcgOptions, perf_map, "perf-map", false,
              "jit: write /tmp/perf-PID.map for perf"),
    PROP_U32(TcgOptions, threshold, "x-threshold", 32,
             "jit: runs of a block before it is translated"),
    PROP_BOOL(TcgOptions, tlb_miss, "x-tlb-miss", false,
              "jit: no access takes the fast path"),
    PROP_BOOL(TcgOptions, no_chain, "x-no-chain", false,
              "jit: no block jumps to another"),
    PROP_BOOL(TcgOptions, small_cache, "x-small-cache", false,
              "jit: so little memory for code that it is used up at once"),
    PROP_BOOL(TcgOptions, bare_host, "x-bare-host", false,
              "jit: as on a host whose processor it cannot use"),
    PROP_BOOL(TcgOptions, host.slow_pext, "x-slow-pext", false,
              "jit: as on a host whose PEXT is slow"),
    PROP_BOOL(TcgOptions, host.no_avx, "x-no-avx", false,
              "as on a host without AVX"),
    PROP_BOOL(TcgOptions, host.no_avx2, "x-no-avx2", false,
              "as on a host without AVX2, FMA and F16C"),
    PROP_BOOL(TcgOptions, test.few_entries, "x-tlb-four", false,
              "a TLB that remembers four pages"),
    PROP_U32(TcgOptions, test.flush_each, "x-flush-each", 0,
             "flush the TLB whenever so many blocks were looked up"),
    PROP_BOOL(TcgOptions, test.poll, "x-poll", false,
              "jit: every poll finds something to do"),
    {}
};

static GPtrArray *map_lost;     /* of RamBlock *, in this commit; machine lock */

static void map_del(MemListener *l, const FlatRange *f)
{
    if (f->ram && !g_ptr_array_find(map_lost, f->ram, NULL)) {
        g_ptr_array_add(map_lost, f->ram);
    }
}

static bool is_mapped(const FlatView *view, const RamBlock *rb)
{
    for (unsigned i = 0; i < view->n_ranges; i++) {
        if (view->ranges[i].ram == rb) {
            return true;
        }
    }
    return false;
}

static bool still_mapped(const RamBlock *rb)
{
    return is_mapped(as_view(&as_memory), rb)
           || (as_smm.root && is_mapped(as_view(&as_smm), rb));
}

static void map_commit(MemListener *l)
{
    tcg_map_changed();
    for (unsigned i = 0; i < map_lost->len; i++) {
        if (!still_mapped(g_ptr_array_index(map_lost, i))) {
            cache_drop_ram(g_ptr_array_index(map_lost, i));
        }
    }
    g_ptr_array_set_size(map_lost, 0);
}

static void code_written(MemListener *l, RamBlock *rb, uint64_t offset,
                         uint64_t len)
{
    cache_written_foreign(rb, offset, len);
}

static void dirty_cleared(MemListener *l, RamBlock *rb, uint64_t offset,
                          uint64_t len)
{
    DropRequest req = { .start = rb->host + offset, .len = len };

    tcg_request_drop(NULL, &req);
}

/* Every vCPU reads the gate again when it follows the map. */
static void tcg_set_a20(bool on)
{
    tcg_map_changed();
}

/* The same map with the RAM that only system management mode sees. */
static MemListener smm_listener = { .del = map_del, .commit = map_commit };

static MemListener listener = {
    .del = map_del, .commit = map_commit, .code_written = code_written,
    .dirty_cleared = dirty_cleared,
};

/* FERR# of an x87 exception with CR0.NE clear. */
static void set_ferr(Env *env, bool level)
{
    bool locked = machine_lock_held();

    if (!locked) {
        machine_lock();
    }
    if (machine_set_ferr) {
        machine_set_ferr(level);
    }
    if (!locked) {
        machine_unlock();
    }
}

static bool tcg_available(GError **err)
{
    return true;
}

static bool tcg_init(Machine *m, Opt *options, GError **err)
{
    TcgOptions o = { .jit = true, .split_wx = true, .threshold = 32 };
    uint64_t threshold = o.threshold, flush_each = 0, bytes;

    if (options
        && (!opt_get_enum(options, "thread", thread_names, &o.thread, err)
            || !opt_get_uint(options, "tb-size", &o.tb_size_mib, 16 * KiB,
                             err)
            || !opt_get_bool(options, "jit", &o.jit, err)
            || !opt_get_bool(options, "ignore-msrs", &o.ignore_msrs, err)
            || !opt_get_bool(options, "lockstep", &o.lockstep, err)
            || !opt_get_bool(options, "one-insn-per-tb", &o.one_insn, err)
            || !opt_get_bool(options, "split-wx", &o.split_wx, err)
            || !opt_get_bool(options, "jit-dump", &o.jit_dump, err)
            || !opt_get_bool(options, "perf-map", &o.perf_map, err)
            || !opt_get_uint(options, "x-threshold", &threshold, UINT32_MAX,
                             err)
            || !opt_get_bool(options, "x-tlb-miss", &o.tlb_miss, err)
            || !opt_get_bool(options, "x-no-chain", &o.no_chain, err)
            || !opt_get_bool(options, "x-small-cache", &o.small_cache, err)
            || !opt_get_bool(options, "x-bare-host", &o.bare_host, err)
            || !opt_get_bool(options, "x-slow-pext", &o.host.slow_pext, err)
            || !opt_get_bool(options, "x-no-avx", &o.host.no_avx, err)
            || !opt_get_bool(options, "x-no-avx2", &o.host.no_avx2, err)
            || !opt_get_bool(options, "x-tlb-four", &o.test.few_entries, err)
            || !opt_get_uint(options, "x-flush-each", &flush_each, UINT32_MAX,
                             err)
            || !opt_get_bool(options, "x-poll", &o.test.poll, err)
            || !opt_all_read(options, "accelerator 'tcg'", NULL, err))) {
        return false;
    }
    if (o.lockstep && m->topo.maxcpus > 1) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "accelerator 'tcg': lockstep=on needs -smp 1");
        return false;
    }
    interp_init();
    tcg_features_begin(o.host);
    tcg_ferr = set_ferr;
    tcg_one_insn = o.one_insn;
    cpu_ignore_msrs = o.ignore_msrs;
    tcg_test = o.test;
    tcg_test.flush_each = flush_each;
    /* Half for decoded blocks, half for code. */
    bytes = (o.tb_size_mib ? o.tb_size_mib * MiB : 128 * MiB) / 2;
    cache_init(bytes);
    if (o.jit || o.lockstep) {
        JitOptions jit = {
            .on = true,
            .max_bytes = o.small_cache ? 256 * KiB : MIN(bytes, 1 * GiB),
            .threshold = threshold, .tlb_miss = o.tlb_miss,
            .no_chain = o.no_chain || o.test.flush_each || o.lockstep,
            .perf_map = o.perf_map, .dump = o.jit_dump,
            .bare_host = o.bare_host,
        };

        if (jit_init(&jit) && o.lockstep) {
            lockstep_init();
        }
    }
    map_lost = g_ptr_array_new();
    as_add_listener(&as_memory, &listener);
    if (m->smm) {
        smm_root();
        as_add_listener(&as_smm, &smm_listener);
    }
    return true;
}

static bool tcg_cpu_init(X86Cpu *cpu, GError **err)
{
    Env *env = mmu_env_new();
    TcgCpu *t;

    if (!env) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
                    "out of memory for the TLB of CPU %u", cpu->index);
        return false;
    }
    t = g_new0(TcgCpu, 1);
    env->cpu = cpu;
    env->tcg = t;
    env->exc_vector = -1;
    env->df = 1;
    env->poll_mask = UINT32_MAX;
    env->s.exception = -1;
    env->jit_self = env;
    env->jit_index_mask = (uint64_t)(TLB_SIZE - 1) << 12;
    env->jit_page_mask = ~(PAGE_BYTES - 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(env->fp_off); i++) {
        env->fp_off[i] = 1;
    }
    t->env = env;
    t->cpu = cpu;
    mmu_init(t);
    cpu->state = &env->s;
    cpu->accel_data = env;
    jit_cpu_init(env);
    tcg_add_cpu(t);
    return true;
}

static void tcg_cpu_free(X86Cpu *cpu)
{
    Env *env = cpu->accel_data;
    TcgCpu *t = env->tcg;

    tcg_remove_cpu(t);
    for (unsigned i = 0; i < N_LOOSE; i++) {
        g_free(t->loose[i].block);
    }
    pcid_free(t);
    g_free(t);
    jit_cpu_free(env);
    mmu_env_free(env);
    cpu->state = NULL;
    cpu->accel_data = NULL;
}

/* The width of physical addresses and 1 GiB pages, as CPUID tells them. */
static void read_cpuid(Env *env)
{
    uint32_t r[4];

    cpu_cpuid(env->cpu, 0x80000008, 0, r);
    env->tcg->phys_bits = CLAMP(r[0] & 0xff, 32, 52);
    cpu_cpuid(env->cpu, 0x80000001, 0, r);
    env->tcg->has_1g = r[3] >> 26 & 1;
}

static void tcg_put_state(X86Cpu *cpu)
{
    Env *env = cpu->accel_data;

    read_cpuid(env);
    env_set_rflags(env, env->s.rflags);
    env->s.gpr[R_ZERO] = 0;
    env->exc_vector = -1;
    env->exit = 0;
    mmu_follow_map(env);
    tlb_flush(env, true);
    if (env->s.cr4 & CR4_PAE && !(env->s.efer & EFER_LMA)) {
        tlb_load_pdptes(env, env->s.cr3);
    }
    env_update_mode(env);
}

static void tcg_get_state(X86Cpu *cpu)
{
    Env *env = cpu->accel_data;

    env->s.rflags = env_get_rflags(env);
}

static void tcg_kick(X86Cpu *cpu)
{
    Env *env = cpu->accel_data;

    /* The run loop polls cpu->pending, compiled code this. */
    if (env) {
        jit_stop(env);
    }
}

static void tcg_print_jit(GString *out)
{
    uint64_t n_blocks, n_bytes;

    cache_stats(&n_blocks, &n_bytes);
    g_string_append_printf(out, "decoded:    %" PRIu64 " blocks in %" PRIu64
                           " KiB of %" PRIu64 "; %" PRIu64
                           " invalidated\n", n_blocks, n_bytes / KiB,
                           cache_limit() / KiB, cache_n_invalidated);
    if (jit_enabled) {
        JitStats js;

        jit_stats(&js);
        g_string_append_printf(out, "translated: %" PRIu64 " blocks in %"
                               PRIu64 " KiB of %" PRIu64 "; %" PRIu64
                               " ever, %" PRIu64 " invalidated, %" PRIu64
                               " links, %" PRIu64 " flushes\n", js.n_blocks,
                               js.n_bytes / KiB, js.max_bytes / KiB,
                               js.n_compiled, js.n_killed, js.n_links,
                               js.n_flushes);
        jit_print_calls(out);
    } else {
        g_string_append(out, "translated: nothing, code is interpreted\n");
    }
    if (tcg_lockstep) {
        LockstepStats ls;

        lockstep_stats(&ls);
        g_string_append_printf(out, "lockstep:   %" PRIu64 " blocks compared, "
                               "%" PRIu64 " interpreted only, %" PRIu64
                               " different\n", ls.n_compared,
                               ls.n_interpreted, ls.n_different);
    }
}

static const AccelOps tcg_accel = {
    .name = "tcg", .doc = "emulation, on any host", .props = tcg_props,
    .available = tcg_available, .init = tcg_init,
    .cpu_init = tcg_cpu_init, .cpu_free = tcg_cpu_free,
    .run = tcg_run, .kick = tcg_kick,
    .put_state = tcg_put_state, .get_state = tcg_get_state,
    .features = tcg_features, .set_a20 = tcg_set_a20, .smm = true,
    .mce = true,
    .print_jit = tcg_print_jit,
};
ACCEL_TYPE(tcg_accel)
