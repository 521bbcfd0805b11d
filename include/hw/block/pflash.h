/*
 * cfi.pflash01: a NOR flash chip; device_region(dev, 0) is all of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_BLOCK_PFLASH_H
#define HW_BLOCK_PFLASH_H

#include "core/device.h"

#define PFLASH "cfi.pflash01"

/* What the array of a realized chip holds now.  Machine lock. */
const uint8_t *pflash_bytes(Device *dev, uint64_t *size_bytes);

#endif
