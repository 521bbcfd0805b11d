/*
 * The differential tester: see diff.h.
 *
 *   RHEA_DIFF_CASES     how many cases; RHEA_DIFF_SECONDS: how long instead
 *   RHEA_DIFF_SEED      others than usual
 *   RHEA_DIFF_CASE      one only
 *   RHEA_DIFF_ACCEL     what would follow -accel tcg, ("jit=off")
 *   RHEA_DIFF_FAILURES  how many to show
 *   RHEA_DIFF_TABLE     print the coverage of all rows
 *   RHEA_DIFF_ANY_HOST  also on a processor on which it was never measured
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "diff.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "accel/tcg/interp/host.h"
#include "accel/tcg/jit/jit.h"
#include "../unit/tcg/guest.h"

static bool have_native;
static const char *no_native = "";
static uint64_t n_cases, n_insns, n_ended, n_void, n_failed, n_vector[32];
static uint64_t op_failed[N_OPS];
static unsigned max_shown = 8;

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *v = g_getenv(name);

    return v ? strtoull(v, NULL, 0) : otherwise;
}

/* Count the rows whose instructions surely ran to their end. */
static void count_rows(const DiffCase *c, const DiffResult *r)
{
    uint64_t stop = r->s.rip - slot_address(c->slot);

    if (c->branches || c->in.rflags & FL_TF) {
        return;
    }
    if (r->s.vector == V_END) {
        stop = c->at[c->n];
    }
    for (unsigned i = 0; i < c->n && c->at[i] <= stop; i++) {
        /* A fault tells something of the instruction too. */
        gen_row_hits[c->insn[i].row]++;
        n_insns++;
    }
}

/* Single branches: they ran if the case did. */
static void count_single(const DiffCase *c)
{
    if (c->n == 1 && c->branches) {
        gen_row_hits[c->insn[0].row]++;
        n_insns++;
    }
}

/* The operation at which it went wrong, as a guess for the summary. */
static void count_failure(const DiffCase *c)
{
    Insn insn;

    for (unsigned i = 0; i < c->n; i++) {
        insn_decode(&insn, c->insn[i].bytes, 15, gen_mode_bits(c->mode), NULL);
        op_failed[insn.op]++;
    }
}

static void failed(const DiffCase *c, const char *why)
{
    n_failed++;
    g_test_fail();
    if (c->n == 1) {
        Insn insn;

        insn_decode(&insn, c->insn[0].bytes, 15, gen_mode_bits(c->mode), NULL);
        if (op_failed[insn.op] > 1) {   /* shown already */
            count_failure(c);
            return;
        }
        count_failure(c);
    }
    if (max_shown) {
        max_shown--;
        shrink_report(c, why);
    }
}

static void batch(uint64_t seed, unsigned n)
{
    static DiffCase cases[N_SLOTS];
    static DiffResult interp[N_SLOTS], jit[N_SLOTS], native[N_SLOTS];
    const DiffCase *all[N_SLOTS];
    unsigned k = 0;

    for (unsigned i = 0; i < n; i++) {
        gen_case(&cases[i], (seed & ~(uint64_t)(N_SLOTS - 1)) | i, i);
        all[i] = &cases[i];
    }
    guest_side_code(all, n);
    for (unsigned i = 0; i < n; i++) {
        guest_side_run(&cases[i], false, &interp[k]);
        if (compare_void(&interp[k])) {
            n_void++;
            continue;
        }
        all[k++] = &cases[i];
    }
    n = k;
    if (have_native) {
        native_begin(all, n);
    }
    if (jit_enabled) {
        for (unsigned i = 0; i < n; i++) {
            guest_side_run(all[i], true, &jit[i]);
        }
    }
    if (have_native) {
        native_wait(native);
    }
    for (unsigned i = 0; i < n; i++) {
        const DiffCase *c = all[i];
        char *why = NULL;

        if (have_native && compare_void(&native[i])) {
            n_void++;
            continue;
        }
        n_cases++;
        if (interp[i].s.vector == V_END) {
            n_ended++;
        } else if (interp[i].s.vector < 32) {
            n_vector[interp[i].s.vector]++;
        }
        if (have_native) {
            why = compare_results(c, &native[i], &interp[i], "native",
                                  "interp");
        }
        if (!why && jit_enabled) {
            why = compare_results(c, &interp[i], &jit[i], "interp", "jit   ");
        }
        if (why) {
            failed(c, why);
            g_free(why);
        } else {
            count_rows(c, &interp[i]);
            count_single(c);
        }
    }
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Of this process and, as near as can be told before it ends, the child. */
static double processor_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec
           + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6
           + native_seconds();
}

static void summary(double seconds)
{
    g_autoptr(GString) s = g_string_new(NULL);

    for (unsigned i = 0; i < 32; i++) {
        if (n_vector[i]) {
            g_string_append_printf(s, " %u: %" PRIu64, i, n_vector[i]);
        }
    }
    g_print("# %" PRIu64 " cases in %.1f s (%.2f million a minute; %" PRIu64
            " instructions, %.2f million a minute of each processor), %"
            PRIu64 " ran to their end, exceptions%s; %" PRIu64 " tell nothing, %"
            PRIu64 " failed; native %s, jit %s\n", n_cases, seconds,
            n_cases / seconds * 60 / 1e6, n_insns,
            n_insns / processor_seconds() * 60 / 1e6, n_ended, s->str, n_void, n_failed,
            have_native ? "yes" : no_native, jit_enabled ? "yes" : "no");
    for (unsigned op = 0; op < N_OPS; op++) {
        if (op_failed[op] > 1) {
            g_print("# %s: in %" PRIu64 " failures\n", insn_op_name(op),
                    op_failed[op]);
        }
    }
}

static void run_all(X86Cpu *cpu, void *unused)
{
    uint64_t one = number("RHEA_DIFF_CASE", 0);
    uint64_t want = number("RHEA_DIFF_CASES", 200000);
    uint64_t seconds = number("RHEA_DIFF_SECONDS", 0);
    uint64_t seed = number("RHEA_DIFF_SEED", 1);
    int64_t start = g_get_monotonic_time(), now = start;

    gen_init(cpu_feature_words(cpu), host_is_measured());
    guest_side_init();
    shrink_init(have_native, jit_enabled);
    if (one) {
        static DiffCase c;
        g_autofree char *why = NULL;

        gen_case(&c, one, one % N_SLOTS);
        why = shrink_try(&c);
        if (why) {
            failed(&c, why);
        }
        return;
    }
    for (uint64_t i = 0; seconds ? now - start < (int64_t)seconds * 1000000
                                 : n_cases < want; i++) {
        batch(mix((seed << 32) + i), N_SLOTS);
        now = g_get_monotonic_time();
    }
    summary((now - start) / 1e6);
}

/* Other processors differ in what manuals leave open, and nobody has looked
 * yet how: there it is a tool, not a test. */
static bool skip_here(void)
{
    bool skip = !host_is_measured() && !g_getenv("RHEA_DIFF_ANY_HOST");

    if (skip) {
        g_test_skip("never measured on this processor; RHEA_DIFF_ANY_HOST=1 "
                    "runs it");
    }
    return skip;
}

static void test_random(void)
{
    if (skip_here()) {
        return;
    }
    cpu_run_work(guest_cpu(0), run_all, NULL);
}

/* --- coverage -------------------------------------------------------------------- */

/* The rarest row comes once in some 30000 cases. */
enum { COVERING_CASES = 200000 };

static void test_coverage(void)
{
    bool table = g_getenv("RHEA_DIFF_TABLE");
    unsigned n_hit = 0, n_missed = 0, n_none = 0;

    if (skip_here()) {
        return;
    }
    if (g_getenv("RHEA_DIFF_CASE") || !have_native) {
        g_test_skip("not all ran");
        return;
    }
    for (unsigned r = 1; r < decode_n_rows; r++) {
        unsigned op = decode_rows[r].op;
        const char *why = gen_not_ours(op);

        if (op == OP_UD) {
            continue;
        }
        if (table) {
            g_print("# %4u %-24s %10" PRIu64 " %s\n", r, insn_op_name(op),
                    gen_row_hits[r], why ? why : !gen_row_seeds[r]
                    ? "not in these modes, or not on this host" : "");
        }
        if (gen_row_hits[r]) {
            n_hit++;
        } else if (why || !gen_row_seeds[r]) {
            n_none++;
        } else {
            n_missed++;
            g_print("# row %u, %s, never ran\n", r, insn_op_name(op));
        }
    }
    g_print("# rows of the decoder's table: %u ran, %u missed, %u tested "
            "elsewhere or not on this host\n", n_hit, n_missed, n_none);
    if (n_cases < COVERING_CASES) {
        g_test_skip("too few cases to have all rows");
    } else {
        g_assert_cmpuint(n_missed, ==, 0);
    }
}

int main(int argc, char **argv)
{
    const char *accel = g_getenv("RHEA_DIFF_ACCEL");
    int status;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    have_native = native_start(&no_native);
    max_shown = number("RHEA_DIFF_FAILURES", 8);
    g_setenv("RHEA_TEST_ACCEL", accel ? accel : "jit=on", true);
    guest_init(1);
    if (have_native || jit_enabled) {
        g_test_add_func("/diff/random", test_random);
        g_test_add_func("/diff/coverage", test_coverage);
    }
    status = g_test_run();
    guest_free();
    native_stop();
    return status;
}
