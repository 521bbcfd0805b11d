/*
 * The decoder against Zydis: the whole opcode space with the prefixes and
 * ModRM bytes that matter, then random bytes; and every row of the table must
 * have been reached.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "compare.h"
#include "encodings.h"

static unsigned n_different, n_done;
static GHashTable *seen;

/* Report each kind of difference once. */
static void check(const uint8_t *p, unsigned n, TestMode mode)
{
    const char *diff = compare(p, n, mode);
    g_autoptr(GString) s = NULL;
    g_autofree char *key = NULL;
    unsigned row;
    Insn i;

    n_done++;
    if (G_LIKELY(!diff)) {
        return;
    }
    n_different++;
    insn_decode_row(&i, p, n, test_dm(mode), NULL, &row);
    key = g_strdup_printf("%d %s %s", mode, insn_op_name(i.op), diff);
    if (!g_hash_table_add(seen, g_strdup(key))
        || g_hash_table_size(seen) > 400) {
        return;
    }
    s = g_string_new(NULL);
    for (unsigned k = 0; k < n && k < 15; k++) {
        g_string_append_printf(s, "%02x ", p[k]);
    }
    g_string_append(s, "| ");
    insn_print(&i, s);
    g_test_message("mode %d %s: %s: %s", mode, insn_op_name(i.op), diff,
                   s->str);
}

static void test_legacy(gconstpointer arg)
{
    encodings_legacy(GPOINTER_TO_INT(arg), check);
    g_assert_cmpuint(n_different, ==, 0);
}

static void test_vex(gconstpointer arg)
{
    encodings_vex(GPOINTER_TO_INT(arg), check);
    g_assert_cmpuint(n_different, ==, 0);
}

/* xorshift64*: the seed is fixed, so that a failure repeats. */
static uint64_t next_random(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * UINT64_C(0x2545f4914f6cdd1d);
}

static void test_random(gconstpointer arg)
{
    TestMode mode = GPOINTER_TO_INT(arg);
    uint64_t seed = 20240229 + mode;
    uint64_t words[3];

    for (unsigned n = 0; n < 500000; n++) {
        const uint8_t *p = (const uint8_t *)words;
        uint64_t r = next_random(&seed);

        words[0] = next_random(&seed);
        words[1] = next_random(&seed);
        words[2] = next_random(&seed);
        /* Half of them after an escape, or they are rare. */
        if (r & 1) {
            ((uint8_t *)words)[0] = r & 2 ? 0x0f : r & 4 ? 0xc5 : 0xc4;
        }
        check(p, 1 + (r >> 8) % 20, mode);
    }
    g_assert_cmpuint(n_different, ==, 0);
}

static void test_rows(void)
{
    unsigned missing = 0;

    for (unsigned r = 1; r < decode_n_rows; r++) {
        if (!compare_row_hit[r] && decode_rows[r].op != OP_UD) {
            missing++;
            g_test_message("row %u, %s, never reached", r,
                           insn_op_name(decode_rows[r].op));
        }
    }
    g_assert_cmpuint(missing, ==, 0);
}

int main(int argc, char **argv)
{
    static const char *const names[N_MODES] = { "64", "32", "16", "real" };

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    compare_init();
    for (unsigned m = 0; m < N_MODES; m++) {
        g_autofree char *legacy = g_strdup_printf("/decode/legacy/%s",
                                                  names[m]);
        g_autofree char *vex = g_strdup_printf("/decode/vex/%s", names[m]);
        g_autofree char *rnd = g_strdup_printf("/decode/random/%s", names[m]);

        g_test_add_data_func(legacy, GINT_TO_POINTER(m), test_legacy);
        g_test_add_data_func(vex, GINT_TO_POINTER(m), test_vex);
        g_test_add_data_func(rnd, GINT_TO_POINTER(m), test_random);
    }
    g_test_add_func("/decode/rows/all", test_rows);
    return g_test_run();
}
