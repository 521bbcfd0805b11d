/*
 * What every device type must do, whatever it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "anydev.h"
#include "mem/mem.h"

#define PLAY_BYTES 20000

/* Types whose state a reset is meant to leave alone. */
static const char *const keeps_state[] = {
    "mc146818rtc",              /* lives on a battery */
};

static bool keeps(const Type *t)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(keeps_state); i++) {
        if (!strcmp(t->name, keeps_state[i])) {
            return true;
        }
    }
    return false;
}

static void play(Device *dev, uint32_t seed, size_t n, bool lives)
{
    g_autoptr(GRand) rnd = g_rand_new_with_seed(seed);
    g_autofree uint8_t *bytes = g_malloc(n);

    for (size_t i = 0; i < n; i++) {
        bytes[i] = g_rand_int(rnd);
    }
    any_play(dev, bytes, n, lives);
}

static void check_prop(const Property *p, void *opaque)
{
    const Type *t = opaque;
    g_autofree char *text = prop_describe(p);

    if (!p->doc || !*p->doc) {
        g_error("%s.%s has no doc", t->name, p->name);
    }
    g_assert_nonnull(text);
    g_assert_null(strchr(p->doc, '\n'));
}

static void test_documented(gconstpointer data)
{
    const Type *t = data;

    g_assert_nonnull(t->doc);
    g_assert_cmpuint(strlen(t->doc), <, 70);
    prop_foreach(t, check_prop, (void *)t);
}

static char *memory_map(void)
{
    GString *out = g_string_new(NULL);

    mem_print(out, false);
    return g_string_free(out, false);
}

/* Made, not realized; realized twice; nothing is left in the map. */
static void test_life(gconstpointer data)
{
    const Type *t = data;
    g_autofree char *before = memory_map();

    object_unref(&device_new(t)->obj);
    for (int i = 0; i < 2; i++) {
        Device *dev = any_make(t);

        play(dev, i, 500, false);
        any_delete(dev);

        g_autofree char *after = memory_map();

        g_assert_cmpstr(before, ==, after);
    }
}

static void test_reset(gconstpointer data)
{
    const Type *t = data;
    Device *dev = any_make(t);
    g_autoptr(GByteArray) fresh = any_save(dev);

    play(dev, 1, PLAY_BYTES, false);
    device_reset(dev);

    g_autoptr(GByteArray) after = any_save(dev);

    if (!keeps(t)) {
        g_assert_cmpmem(fresh->data, fresh->len, after->data, after->len);
    }
    any_delete(dev);
}

/* Into itself, and into another of its kind. */
static void test_save_load(gconstpointer data)
{
    Device *dev = any_make(data);

    play(dev, 2, PLAY_BYTES, true);

    g_autoptr(GByteArray) saved = any_save(dev);

    device_reset(dev);
    g_assert_true(any_load(dev, saved));

    g_autoptr(GByteArray) again = any_save(dev);

    g_assert_cmpmem(saved->data, saved->len, again->data, again->len);
    any_delete(dev);
    dev = any_make(data);
    g_assert_true(any_load(dev, saved));

    g_autoptr(GByteArray) other = any_save(dev);

    g_assert_cmpmem(saved->data, saved->len, other->data, other->len);
    play(dev, 3, 1000, true);
    any_delete(dev);
}

/* Whatever a stream holds, the device refuses it or works with it. */
static void test_load_garbage(gconstpointer data)
{
    g_autoptr(GRand) rnd = g_rand_new_with_seed(4);
    Device *dev = any_make(data);
    unsigned n_accepted = 0;

    play(dev, 5, 2000, true);

    g_autoptr(GByteArray) good = any_save(dev);

    for (int i = 0; i < 200 && good->len; i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();

        g_byte_array_append(bad, good->data, good->len);
        for (int n = g_rand_int_range(rnd, 1, 4); n > 0; n--) {
            bad->data[g_rand_int_range(rnd, 0, bad->len)] = g_rand_int(rnd);
        }
        g_byte_array_set_size(bad, i % 10 ? bad->len
                              : (guint)g_rand_int_range(rnd, 0, bad->len));
        n_accepted += any_load(dev, bad);
        play(dev, i, 300, true);
    }
    g_test_message("%u of 200 accepted", n_accepted);
    any_delete(dev);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc fn;
    } tests[] = {
        { "documented", test_documented }, { "life", test_life },
        { "reset", test_reset }, { "save-load", test_save_load },
        { "load-garbage", test_load_garbage },
    };

    any_init(&argc, &argv);

    g_autoptr(GPtrArray) types = any_types();

    for (unsigned i = 0; i < types->len; i++) {
        const Type *t = types->pdata[i];

        for (unsigned j = 0; j < G_N_ELEMENTS(tests); j++) {
            g_autofree char *path = g_strdup_printf("/all-types/%s/%s",
                                                    t->name, tests[j].name);

            g_test_add_data_func(path, t, tests[j].fn);
        }
    }
    return g_test_run();
}
