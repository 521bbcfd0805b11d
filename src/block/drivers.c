/*
 * The list of drivers: a new one is one row here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "node.h"

const BlockDriver *const block_drivers[] = {
    &block_driver_blkdebug,
    &block_driver_blklogwrites,
    &block_driver_file,
    &block_driver_host_device,
    &block_driver_null_co,
    &block_driver_null_aio,
    &block_driver_overlay,
    &block_driver_qcow2,
    &block_driver_raw,
    &block_driver_throttle,
    NULL
};

const BlockDriver *block_driver_find(const char *name)
{
    for (unsigned i = 0; block_drivers[i]; i++) {
        if (!strcmp(block_drivers[i]->name, name)) {
            return block_drivers[i];
        }
    }
    return NULL;
}
