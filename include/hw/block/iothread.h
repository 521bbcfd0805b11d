/*
 * "iothread": a thread with a loop, to which disks can be given.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_BLOCK_IOTHREAD_H
#define HW_BLOCK_IOTHREAD_H

#include "core/device.h"

/* For PROP_LINK. */
extern const Type *const iothread_type_ptr;

Loop *iothread_loop(Object *iothread);

#endif
