/*
 * What a user interface says to the PS/2 keyboard and mouse.
 *
 * A key is its scan code of set 1, with 80h added when an E0h prefix goes
 * before it: 1Eh is A, 1Ch Enter, 9Ch the keypad's Enter.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "core/device.h"

enum {                          /* keys that a prefix alone does not tell */
    PS2_KEY_PRINT = 0xb7,
    PS2_KEY_PAUSE = 0xc6,
};

enum {
    PS2_BUTTON_LEFT = 1 << 0, PS2_BUTTON_RIGHT = 1 << 1,
    PS2_BUTTON_MIDDLE = 1 << 2, PS2_BUTTON_SIDE = 1 << 3,
    PS2_BUTTON_EXTRA = 1 << 4,
};

extern const DeviceType i8042_type;         /* "i8042" */

/* The keyboard repeats a key that is held down, as the guest has set it. */
void ps2_kbd_key(Device *i8042, uint8_t key, bool down);
/* Bit 0: Scroll Lock, 1: Num Lock, 2: Caps Lock. */
uint8_t ps2_kbd_leds(Device *i8042);
/* Movement in counts, y upwards; wheel, positive is towards the user. */
void ps2_mouse_event(Device *i8042, int dx, int dy, int dz, uint8_t buttons);

#endif
