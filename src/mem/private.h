/*
 * What the files of src/mem share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SRC_MEM_PRIVATE_H
#define SRC_MEM_PRIVATE_H

#include "mem/mem.h"

/* Flatten `root`; the caller owns the view. */
FlatView *view_new(Region *root);
void view_free(gpointer view);

/* Some region of the tree changed: rebuild at the outermost commit. */
void mem_changed(void);

RamBlock *ram_new(const char *name, uint64_t size_bytes, bool readonly,
                  GError **err);
void ram_ref(RamBlock *rb);
void ram_unref(RamBlock *rb);

#endif
