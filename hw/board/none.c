/*
 * The machine without anything: for probing what there is ("-M none -accel
 * help"), and for tests that bring their own devices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "core/machine.h"

static bool none_init(Machine *m, GError **err)
{
    if (m->kernel || m->firmware) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID, "machine 'none' has "
                    "nothing to boot: -kernel and -bios are not supported");
        return false;
    }
    if (m->ram_bytes) {
        region_map(mem_root(), 0, &m->ram, 0);
    }
    return true;
}

static const MachineType none_type = {
    .name = "none", .doc = "empty machine", .max_cpus = 1,
    .default_cpu = "max", .size = sizeof(Machine), .init = none_init,
};
MACHINE_TYPE(none_type)
