/*
 * Devices: the first byte chooses a type, the others are accesses, inputs,
 * time, resets and reloads (see tests/unit/hw/anydev.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/hw/anydev.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static GPtrArray *types;

    if (!types) {
        static char name[] = "device-fuzz";
        char *args[] = { name, NULL }, **argv = args;
        int argc = 1;

        any_init(&argc, &argv);
        types = any_types();
    }
    if (size < 2) {
        return 0;
    }
    Device *dev = any_make(types->pdata[data[0] % types->len]);

    any_play(dev, data + 1, MIN(size - 1, 4096), true);
    any_delete(dev);
    return 0;
}
