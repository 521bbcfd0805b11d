/*
 * Port I/O, its permissions having been checked.
 *
 * Locks: devices' callbacks take the machine lock unless they are lockless.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"

uint64_t env_io_read(Env *env, uint16_t port, unsigned size)
{
    uint64_t val;

    env_serialize();
    as_load(&as_io, port, size, &val);
    mmu_follow_map(env);
    return val;
}

void env_io_write(Env *env, uint16_t port, unsigned size, uint64_t val)
{
    env_serialize();
    as_store(&as_io, port, size, val & size_mask(size));
    /* PCI base addresses, PAM registers, the A20 gate: at once for us. */
    mmu_follow_map(env);
}
