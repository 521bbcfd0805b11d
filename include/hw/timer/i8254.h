/*
 * What port 61h needs from the 8254: the gate and output of channel 2 and the
 * refresh requests of channel 1.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "core/device.h"

extern const DeviceType pit_type;           /* "isa-pit" */

void pit_set_gate(Device *pit, unsigned channel, bool gate);
bool pit_gate(Device *pit, unsigned channel);
bool pit_out(Device *pit, unsigned channel);
/* How many cycles channel `channel` has completed: the refresh counter. */
uint64_t pit_cycles(Device *pit, unsigned channel);
/* For sound: the square wave's frequency in Hz, 0 when there is none. */
unsigned pit_frequency_hz(Device *pit, unsigned channel);

#endif
