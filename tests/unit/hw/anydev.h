/*
 * Any device type, realized where it belongs and played by bytes: what the
 * loop over all types and the fuzz target have in common.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_HW_ANYDEV_H
#define TESTS_UNIT_HW_ANYDEV_H

#include "core/device.h"

/* A PC's skeleton around the devices; once per process. */
void any_init(int *argc, char ***argv);

/* Every concrete type that can be had one at a time on that skeleton; those
 * left out are listed, with the reason, in anydev.c.  Free the array. */
GPtrArray *any_types(void);

/* Realized and reset, with what it needs; asserts that this works. */
Device *any_make(const Type *t);
/* And away with it. */
void any_delete(Device *dev);

/*
 * Bytes become accesses to the device's regions and configuration space, and
 * changes of its inputs; with `lives` also the passing of time, reset, and
 * save and load.  Inputs are low again afterwards.
 */
void any_play(Device *dev, const uint8_t *bytes, size_t n, bool lives);

/* All of the device's state. */
GByteArray *any_save(Device *dev);
bool any_load(Device *dev, const GByteArray *state);

#endif
