/*
 * CPUID tells only what is implemented: whatever decodes with the features that
 * the emulator offers has a handler, for every operand size it can come with,
 * as register and memory, with LOCK and without.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/env.h"
#include "accel/tcg/tcg.h"
#include "encodings.h"

static uint32_t features[N_FEATURE_WORDS];
static GHashTable *seen;
static GString *missing;
static unsigned n_missing, n_forms;
static InsnFn *undefined;

/* #UD is what they do here: there is no SMM. */
static bool always_undefined(const Insn *i)
{
    return i->op == OP_RSM;
}

static void check(const uint8_t *p, unsigned n, TestMode mode)
{
    unsigned key;
    bool family;
    Insn i;

    if (insn_decode(&i, p, n, test_dm(mode), features) != DECODE_OK) {
        return;
    }
    family = i.op == OP_JCC_I || i.op == OP_SETCC_RM
             || i.op == OP_CMOVCC_R_RM || i.op == OP_FCMOVCC_ST0_STi;
    key = i.op | i.size << 12 | (family ? i.aux << 20 : 0)
          | (i.flags & (INSN_MEM | INSN_LOCK)) << 24;
    if (!g_hash_table_add(seen, GUINT_TO_POINTER(key + 1))) {
        return;
    }
    n_forms++;
    if (interp_handler(&i) == undefined && !always_undefined(&i)) {
        n_missing++;
        g_string_append_printf(missing, " %s/%u%s%s", insn_op_name(i.op),
                               i.size, i.flags & INSN_MEM ? "m" : "",
                               i.flags & INSN_LOCK ? "L" : "");
    }
}

static void check_all(void)
{
    seen = g_hash_table_new(NULL, NULL);
    missing = g_string_new(NULL);
    n_missing = n_forms = 0;
    for (unsigned m = 0; m < N_MODES; m++) {
        encodings_legacy(m, check);
        encodings_vex(m, check);
    }
    g_hash_table_destroy(seen);
}

static void test_offered(void)
{
    memset(features, 0, sizeof(features));
    tcg_features(features);
    check_all();
    if (n_missing) {
        g_test_message("of %u forms, %u without a handler:%s", n_forms,
                       n_missing, missing->str);
    }
    g_assert_cmpuint(n_missing, ==, 0);
    g_string_free(missing, TRUE);
}

/* To see what is left to do: --verbose. */
static void test_everything(void)
{
    memset(features, 0xff, sizeof(features));
    check_all();
    g_test_message("of all %u forms, %u without a handler", n_forms,
                   n_missing);
    if (g_test_verbose()) {
        g_test_message("they are:%s", missing->str);
    }
    g_string_free(missing, TRUE);
}

int main(int argc, char **argv)
{
    Insn ud = { .op = OP_UD };

    g_test_init(&argc, &argv, NULL);
    interp_init();
    undefined = interp_handler(&ud);
    g_test_add_func("/decode/handlers/offered", test_offered);
    g_test_add_func("/decode/handlers/everything", test_everything);
    return g_test_run();
}
