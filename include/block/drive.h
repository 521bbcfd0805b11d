/*
 * -drive, and what boards make of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVE_H
#define BLOCK_DRIVE_H

#include "block/backend.h"

extern const char *const block_if_names[];      /* by BLOCK_IF_*; NULL-ended */

/*
 * A backend as -drive describes it, known by its id (or one made from where it
 * goes: "ide0-hd1"); one reference.  `opts` is read and not changed.
 */
BlockBackend *drive_new(Opt *opts, int default_interface, bool snapshot,
                        GError **err);
/* The drive that goes there, or NULL. */
BlockBackend *drive_find(int interface, int bus, int unit);

/* What is written goes to a temporary file and is gone at the end; `base` is
 * only read.  A new reference. */
BlockNode *block_open_overlay(BlockNode *base, GError **err);

#endif
