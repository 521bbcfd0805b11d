/*
 * The SMBus host controller of PIIX4 (and, with other ids, of ICH).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_SMBUS_HOST_H
#define HW_ACPI_SMBUS_HOST_H

#include "core/device.h"

typedef struct SmbusHost {
    Region io;
    uint16_t base;              /* 0: not mapped */

    uint8_t status, slave_status, control, command, address, data0, data1;
    uint8_t slave_control, shadow_command;
    uint16_t slave_event, slave_data;
    uint8_t block[32], block_index;
} SmbusHost;

extern const State smbus_host_state;

void smbus_host_init(SmbusHost *s, Device *owner);
void smbus_host_destroy(SmbusHost *s);
/* At port `base`, or nowhere when 0. */
void smbus_host_map(SmbusHost *s, uint16_t base);
void smbus_host_reset(SmbusHost *s);

#endif
