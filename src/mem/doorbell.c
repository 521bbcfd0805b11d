/*
 * Doorbells of regions, in a table beside them: few regions have any.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mem/doorbell.h"

#include <glib.h>

void (*posted_flush)(void);

static GHashTable *table;       /* const Region * -> GArray of Doorbell */

static void free_list(gpointer list)
{
    g_array_unref(list);
}

void doorbell_add(Region *r, const Doorbell *d)
{
    GArray *list;

    g_assert(!region_mapped(r));
    if (!table) {
        table = g_hash_table_new_full(NULL, NULL, NULL, free_list);
    }
    list = g_hash_table_lookup(table, r);
    if (!list) {
        list = g_array_new(FALSE, FALSE, sizeof(Doorbell));
        g_hash_table_insert(table, r, list);
    }
    g_array_append_vals(list, d, 1);
}

void doorbell_remove_all(Region *r)
{
    if (table) {
        g_hash_table_remove(table, r);
    }
}

const Doorbell *doorbell_of(const Region *r, unsigned *n)
{
    GArray *list = table ? g_hash_table_lookup(table, r) : NULL;

    *n = list ? list->len : 0;
    return list ? (const Doorbell *)list->data : NULL;
}
