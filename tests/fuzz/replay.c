/*
 * Drives a fuzz target without libFuzzer: each file (or each file of each
 * folder) named on the command line, then `-runs=N` mutations of them, the
 * same on every run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static GPtrArray *inputs;       /* of GByteArray * */

static void add_file(const char *path)
{
    g_autoptr(GError) err = NULL;
    char *data;
    gsize len;

    if (!g_file_get_contents(path, &data, &len, &err)) {
        fprintf(stderr, "replay: %s\n", err->message);
        exit(1);
    }
    g_ptr_array_add(inputs, g_byte_array_new_take((guint8 *)data, len));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_path(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    if (!dir) {
        add_file(path);
        return;
    }
    while ((name = g_dir_read_name(dir))) {
        g_ptr_array_add(names, g_build_filename(path, name, NULL));
    }
    g_ptr_array_sort(names, by_name);
    for (unsigned i = 0; i < names->len; i++) {
        add_file(names->pdata[i]);
    }
}

/* A part of one input put into another, a few bytes changed. */
static GByteArray *mutate(GRand *rnd)
{
    const GByteArray *a = inputs->pdata[g_rand_int_range(rnd, 0, inputs->len)];
    const GByteArray *b = inputs->pdata[g_rand_int_range(rnd, 0, inputs->len)];
    GByteArray *out = g_byte_array_new();
    guint cut = g_rand_int_range(rnd, 0, a->len + 1);
    guint from = g_rand_int_range(rnd, 0, b->len + 1);
    guint n = g_rand_int_range(rnd, 0, b->len - from + 1);

    g_byte_array_append(out, a->data, cut);
    g_byte_array_append(out, b->data + from, n);
    if (g_rand_boolean(rnd)) {
        g_byte_array_append(out, a->data + cut, a->len - cut);
    }
    for (int i = g_rand_int_range(rnd, 0, 4); i > 0 && out->len; i--) {
        guint8 *byte = &out->data[g_rand_int_range(rnd, 0, out->len)];

        if (g_rand_boolean(rnd)) {
            *byte ^= 1 << g_rand_int_range(rnd, 0, 8);
        } else {
            *byte = g_rand_int(rnd);
        }
    }
    return out;
}

int main(int argc, char **argv)
{
    g_autoptr(GRand) rnd = g_rand_new_with_seed(1);
    long runs = 0;

    inputs = g_ptr_array_new_with_free_func((GDestroyNotify)
                                            g_byte_array_unref);
    for (int i = 1; i < argc; i++) {
        if (g_str_has_prefix(argv[i], "-runs=")) {
            runs = atol(argv[i] + 6);
        } else {
            add_path(argv[i]);
        }
    }
    for (unsigned i = 0; i < inputs->len; i++) {
        const GByteArray *in = inputs->pdata[i];

        LLVMFuzzerTestOneInput(in->data, in->len);
    }
    for (long i = 0; i < runs && inputs->len; i++) {
        GByteArray *in = mutate(rnd);

        LLVMFuzzerTestOneInput(in->data, in->len);
        g_byte_array_unref(in);
    }
    g_ptr_array_unref(inputs);
    return 0;
}
