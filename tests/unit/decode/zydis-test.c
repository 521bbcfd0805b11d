/*
 * The decoder against Zydis: the whole opcode space with the prefixes and
 * ModRM bytes that matter, then random bytes; and every row of the table must
 * have been reached.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "compare.h"

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
    insn_decode_row(&i, p, n, compare_dm(mode), NULL, &row);
    key = g_strdup_printf("%d %s %s", mode, insn_op_name(i.op), diff);
    if (!g_hash_table_add(seen, g_strdup(key)) || g_hash_table_size(seen) > 400) {
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

/* Bytes after the ModRM: every kind of field shows its sign. */
static const uint8_t tail[15] = {
    0x8c, 0x92, 0x83, 0x74, 0xa5, 0x16, 0xf7, 0x38, 0x59, 0xea, 0x1b, 0x5c,
};

static const struct { uint8_t n, b[3]; } prefixes[] = {
    { 0, {} }, { 1, { 0x66 } }, { 1, { 0xf3 } }, { 1, { 0xf2 } },
    { 2, { 0x66, 0xf3 } }, { 2, { 0xf2, 0x66 } }, { 2, { 0xf3, 0xf2 } },
    { 1, { 0x67 } }, { 1, { 0x64 } }, { 2, { 0x65, 0x3e } }, { 1, { 0x2e } },
    { 1, { 0xf0 } }, { 2, { 0xf0, 0xf2 } }, { 2, { 0x66, 0xf0 } },
    { 1, { 0x40 } }, { 1, { 0x41 } }, { 1, { 0x44 } }, { 1, { 0x47 } },
    { 1, { 0x48 } }, { 2, { 0x66, 0x48 } }, { 2, { 0xf3, 0x49 } },
    { 2, { 0xf2, 0x4c } }, { 2, { 0x4f, 0x66 } }, { 2, { 0x67, 0x4b } },
    { 3, { 0x67, 0x66, 0x42 } },
};

static void with_modrm(uint8_t *buf, unsigned at, TestMode mode, bool all)
{
    for (unsigned m = 0; m < 256; m++) {
        unsigned rm = m & 7;

        /* Without special meaning of their own: once is enough. */
        if (!all && m < 0xc0 && (rm == 1 || rm == 2 || rm == 7)) {
            continue;
        }
        if (!all && m >= 0xc0 && rm != 0 && rm != 6) {
            continue;
        }
        buf[at] = m;
        memcpy(buf + at + 1, tail, 14);
        buf[at + 1] ^= m * 0x35;
        check(buf, at + 14, mode);
    }
}

static void test_legacy(gconstpointer arg)
{
    TestMode mode = GPOINTER_TO_INT(arg);
    uint8_t buf[40];

    for (unsigned x = 0; x < G_N_ELEMENTS(prefixes); x++) {
        unsigned n = prefixes[x].n;

        memcpy(buf, prefixes[x].b, 3);
        for (unsigned map = 0; map < 4; map++) {
            unsigned at = n;

            if (map) {
                buf[at++] = 0x0f;
            }
            if (map > 1) {
                buf[at++] = map == 2 ? 0x38 : 0x3a;
            }
            for (unsigned op = 0; op < 256; op++) {
                buf[at] = op;
                with_modrm(buf, at + 1, mode,
                           n == 0 && (op >= 0xd8 || map == 1) && mode < 2);
            }
        }
    }
    g_assert_cmpuint(n_different, ==, 0);
}

static void test_vex(gconstpointer arg)
{
    TestMode mode = GPOINTER_TO_INT(arg);
    static const uint8_t vvvv[] = { 0x78, 0x50, 0x10 };
    uint8_t buf[40];

    for (unsigned op = 0; op < 256; op++) {
        for (unsigned last = 0; last < 256; last++) {
            if ((last & 0x78) != vvvv[0] && (last & 0x78) != vvvv[1]
                && (last & 0x78) != vvvv[2]) {
                continue;
            }
            for (unsigned map = 0; map < 5; map++) {
                buf[0] = 0xc4;
                buf[1] = 0xe0 ^ map ^ (op & 0x20 ? 0x20 : 0)
                         ^ (mode == MODE_64 && last & 1 ? 0xc0 : 0);
                buf[2] = last;
                buf[3] = op;
                with_modrm(buf, 4, mode, false);
            }
            buf[0] = 0xc5;
            buf[1] = last;
            buf[2] = op;
            with_modrm(buf, 3, mode, false);
        }
    }
    /* Prefixes that VEX does not go with, and that it does. */
    for (unsigned x = 0; x < G_N_ELEMENTS(prefixes); x++) {
        unsigned n = prefixes[x].n;

        memcpy(buf, prefixes[x].b, 3);
        memcpy(buf + n, (uint8_t[]) { 0xc5, 0xf8, 0x58 }, 3);
        with_modrm(buf, n + 3, mode, true);
    }
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
