/*
 * Operands and environment for the tests of the FPU's handlers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fpubench.h"

/* --- the environment of a handler ------------------------------------------- */

Env bench_env;
static TlbEntry test_tlb[TLB_SIZE];
bool bench_bounce;

bool bench_mapped(uint64_t gva, unsigned n)
{
    uint64_t base = (uintptr_t)native_data;

    return gva - base <= NATIVE_DATA_PAGES * NATIVE_PAGE - n;
}

static bool page_fault(Env *env, uint64_t gva, unsigned n, bool write)
{
    uint64_t page = ALIGN_DOWN(gva + n - 1, NATIVE_PAGE);

    env->exc_cr2 = bench_mapped(gva, 1) ? page : gva;
    return exc_set(env, EXC_PF, true, write ? 6 : 4);
}

const void *mem_read_slow(Env *env, uint64_t gva, unsigned size)
{
    if (!bench_mapped(gva, size)) {
        page_fault(env, gva, size, false);
        return NULL;
    }
    if (!bench_bounce) {
        return (const void *)gva;
    }
    return memcpy(env->bounce, (const void *)gva, size);
}

void *mem_write_slow(Env *env, uint64_t gva, unsigned size)
{
    if (!bench_mapped(gva, size)) {
        page_fault(env, gva, size, true);
        return NULL;
    }
    if (!bench_bounce) {
        return (void *)gva;
    }
    memset(env->bounce, 0xcc, sizeof(env->bounce));
    env->bounce_gva = gva;
    env->bounce_size = size;
    return env->bounce;
}

void *mem_rmw_slow(Env *env, uint64_t gva, unsigned size)
{
    void *p = mem_write_slow(env, gva, size);

    return p == env->bounce ? memcpy(p, (void *)gva, size) : p;
}

void mem_written_slow(Env *env)
{
    memcpy((void *)env->bounce_gva, env->bounce, env->bounce_size);
}

bool mem_probe_write(Env *env, uint64_t gva, unsigned len)
{
    return bench_mapped(gva, len) || page_fault(env, gva, len, true);
}

/* Segments are flat here; FS and GS have a base of 0. */
const void *op_read_seg(Env *env, const Insn *insn, unsigned size)
{
    return mem_read_slow(env, insn_offset(env, insn), size);
}

void *op_write_seg(Env *env, const Insn *insn, unsigned size)
{
    return mem_write_slow(env, insn_offset(env, insn), size);
}

bool seg_linear(Env *env, unsigned seg, uint64_t off, unsigned size,
                bool write, uint64_t *gva)
{
    *gva = off;
    return true;
}

bool cpu_has_interrupt(X86Cpu *cpu)
{
    return false;
}

bool cpu_has(const X86Cpu *cpu, unsigned feature)
{
    return true;
}

void tlb_flush(Env *env, bool global)
{
}

void tlb_new_pkru(Env *env, uint32_t pkru)
{
    env->s.pkru = pkru;
}

static const HandlerRow *row_of[N_OPS];
unsigned bench_runs[N_OPS];
unsigned bench_rounds = 1;

static void find_rows(void)
{
    for (unsigned i = 0; fpu_tables[i]; i++) {
        for (const HandlerRow *r = fpu_tables[i]; r->op; r++) {
            if (row_of[r->op]) {
                g_error("%s has two handlers", insn_op_name(r->op));
            }
            row_of[r->op] = r;
        }
    }
}

InsnFn *bench_handler(const Insn *insn)
{
    static const uint8_t column[33] = { [2] = 1, [4] = 2, [8] = 3, [32] = 1 };
    const HandlerRow *r = row_of[insn->op];
    InsnFn *const *fns = insn->flags & INSN_MEM ? r->mem : r->reg;
    InsnFn *fn = fns[column[insn->size]];

    return fn ? fn : fns[0];
}

static const Insn *stop(Env *env, const Insn *insn)
{
    env->s.rip = insn_rip(env, insn);
    return NULL;
}

void bench_map(bool on)
{
    for (unsigned i = 0; i < NATIVE_DATA_PAGES; i++) {
        uint64_t gva = (uintptr_t)native_data + i * NATIVE_PAGE;
        uint64_t tag = on ? -gva : -(gva ^ 2 * NATIVE_PAGE);

        test_tlb[(gva >> 12) & (TLB_SIZE - 1)] = (TlbEntry) {
            .nrpage = tag, .nwpage = tag,
        };
    }
}

int bench_run(X86State *s, const Insn *decoded)
{
    Env *env = &bench_env;
    Insn code[2] = { *decoded, { .fn = stop } };
    const Insn *at = code;

    code[0].fn = bench_handler(decoded);
    code[0].off = 0;
    code[1].off = decoded->len;
    if (!code[0].fn) {
        g_error("no handler for %s, size %u", insn_op_name(decoded->op),
                decoded->size);
    }
    env->s = *s;
    env->s.gpr[R_ZERO] = 0;
    env_set_rflags(env, s->rflags);
    env->rip_base = (uintptr_t)native_code;
    env->exc_vector = -1;
    while (at) {
        at = at->fn(env, at);
    }
    *s = env->s;
    s->rflags = env_get_rflags(env);
    return env->exc_vector;
}

static void env_setup(void)
{
    Env *env = &bench_env;

    env->tlb = test_tlb;
    env->mode = DM_CODE64 | DM_SS32 | DM_FLAT | DM_CPL3;
    env->cpl = 3;
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        test_tlb[i].nrpage = test_tlb[i].nwpage = -(uint64_t)(i ^ 2) << 12;
    }
}

void bench_fail(const Insn *insn, const uint8_t *code, const X86State *before,
                 const char *what)
{
    g_autoptr(GString) s = g_string_new(NULL);

    insn_print(insn, s);
    g_string_append_printf(s, "  [%s]\n  bytes", insn_op_name(insn->op));
    for (unsigned i = 0; i < insn->len; i++) {
        g_string_append_printf(s, " %02x", code[i]);
    }
    g_string_append_printf(s, "\n  before: mxcsr %04x fcw %04x fsw %04x ftw "
                           "%02x\n", before->mxcsr, before->fcw, before->fsw,
                           before->ftw);
    for (unsigned i = 0; i < 8; i++) {
        g_string_append_printf(s, "  fpr%u %04x.%016" PRIx64 "\n", i,
                               before->fpr[i].exp_sign, before->fpr[i].mant);
    }
    for (unsigned i = 0; i < 16; i++) {
        if (i == insn->reg || i == insn->rm || i == insn_vvvv(insn)) {
            g_string_append_printf(s, "  ymm%u", i);
            for (int q = 3; q >= 0; q--) {
                g_string_append_printf(s, " %016" PRIx64, before->vec[i].q[q]);
            }
            g_string_append_c(s, '\n');
        }
    }
    if (insn->flags & INSN_MEM) {
        uint64_t a = before->gpr[insn->base] + before->gpr[insn->index];

        g_string_append_printf(s, "  memory at %" PRIx64, a);
        for (unsigned i = 0; i < 32 && bench_mapped(a, 32); i++) {
            g_string_append_printf(s, " %02x", ((uint8_t *)a)[i]);
        }
        g_string_append_c(s, '\n');
    }
    g_print("# %s\n%s\n", s->str, what);
    g_test_fail();
}

bool bench_init(void)
{
    const char *seed = g_getenv("RHEA_TEST_SEED");
    const char *n = g_getenv("RHEA_TEST_ROUNDS");

    if (!native_init()) {
        g_test_skip("cannot run code natively here");
        return false;
    }
    bench_rounds = n ? MAX(atoi(n), 1) : 1;
    if (seed) {
        rnd_seed(strtoull(seed, NULL, 0));
    }
    find_rows();
    env_setup();
    return true;
}

const HandlerRow *bench_row(unsigned op)
{
    return row_of[op];
}
