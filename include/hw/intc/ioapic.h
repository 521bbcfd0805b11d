/*
 * The I/O APIC: its inputs are the GSIs, its region goes to FEC00000h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "core/device.h"

#define IOAPIC_GPA 0xfec00000

extern const DeviceType ioapic_type;        /* "ioapic" */

#endif
