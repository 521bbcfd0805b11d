/*
 * Scan codes between the sets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_INPUT_I8042_TABLES_H
#define HW_INPUT_I8042_TABLES_H

#include <stdint.h>

/* A byte of set 2 as the controller gives it in translated mode. */
uint8_t i8042_translate(uint8_t set2);
/* The code of set 2 that becomes `set1`. */
uint8_t i8042_untranslate(uint8_t set1);
/* The code of set 3 of a key (see hw/input/i8042.h); 0: it has none. */
uint8_t i8042_set3_code(uint8_t key);
/* Types of the keys of set 3 at power-on: `types`[code]. */
void i8042_set3_defaults(uint8_t *types, unsigned n, uint8_t typematic,
                         uint8_t make_break);

#endif
