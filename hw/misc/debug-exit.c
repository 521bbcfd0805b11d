/*
 * isa-debug-exit: a write ends the VM with a status that tests choose.
 *
 * Spec:   none; kvm-unit-tests and many kernels' test suites rely on it: the
 *         value v becomes exit status (v << 1) | 1.
 * Models: all of it.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

typedef struct {
    IsaDevice isa;
    Region io;
    uint32_t port, n_ports;     /* properties */
} DebugExit;

static DebugExit *debug_exit_of(Device *dev)
{
    return container_of(dev, DebugExit, isa.dev);
}

static uint64_t debug_exit_read(void *opaque, hwaddr reg, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, hwaddr reg, uint64_t val,
                             unsigned size)
{
    trace("debug-exit", "val 0x%" PRIx64, val);
    machine_request_exit((val << 1 | 1) & 0xff);
}

static const IoOps debug_exit_ops = {
    .read = debug_exit_read, .write = debug_exit_write,
    .size_min = 1, .size_max = 4, .unaligned = true,
};

static bool debug_exit_realize(Device *dev, GError **err)
{
    DebugExit *s = debug_exit_of(dev);

    return isa_map_io(&s->isa, s->port, &s->io, &debug_exit_ops, s,
                      "isa-debug-exit", s->n_ports, err);
}

static void debug_exit_unrealize(Device *dev)
{
    DebugExit *s = debug_exit_of(dev);

    isa_unmap_io(&s->isa, &s->io);
}

static const Property debug_exit_props[] = {
    PROP_U32(DebugExit, port, "iobase", 0x501, "first port"),
    PROP_U32(DebugExit, n_ports, "iosize", 2, "how many ports"),
    {}
};

static const DeviceType debug_exit_type = {
    .name = "isa-debug-exit", .doc = "a write to it ends the VM with a status",
    .parent = &isa_device_type, .size = sizeof(DebugExit),
    .props = debug_exit_props,
    .realize = debug_exit_realize, .unrealize = debug_exit_unrealize,
};
DEVICE_TYPE(debug_exit_type)
