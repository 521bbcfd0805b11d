/*
 * Port 92h: fast A20 gate and fast reset.
 *
 * Spec:   IBM PS/2 technical reference, "System Control Port A"; 82371SB.
 * Models: INIT (bit 0) and A20 (bit 1); the other bits are stored.  A20 is
 *         one gate with two knobs, this and the 8042's, and not the OR of
 *         two: a guest that knows only one of them can close it.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

#define PORT92 0x92

enum {
    SCPA_RESET = 0x01,          /* a rising bit resets the processor */
    SCPA_A20   = 0x02,
};

typedef struct {
    IsaDevice isa;
    Region io;

    uint8_t scpa;
} Port92;

static Port92 *port92_of(Device *dev)
{
    return container_of(dev, Port92, isa.dev);
}

/* The gate is shared: the bit shows it, whoever turned it last. */
static void port92_sync(void *opaque)
{
    Port92 *s = opaque;

    s->scpa = (s->scpa & ~SCPA_A20) | (isa_a20() ? SCPA_A20 : 0);
}

static uint64_t port92_read(void *opaque, hwaddr reg, unsigned size)
{
    Port92 *s = opaque;

    port92_sync(s);
    return s->scpa;
}

static void port92_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Port92 *s = opaque;
    uint8_t rising = val & ~s->scpa;

    trace("port92-write", "val 0x%02" PRIx64, val);
    s->scpa = val;
    isa_set_a20(s->scpa & SCPA_A20);
    if (rising & SCPA_RESET) {
        machine_request_reset(SHUTDOWN_GUEST_RESET);
    }
}

static const IoOps port92_ops = {
    .read = port92_read, .write = port92_write, .size_min = 1, .size_max = 1,
};

/* The address line is open at power-up: the processor starts at the top. */
static void port92_reset(Device *dev)
{
    Port92 *s = port92_of(dev);

    s->scpa = SCPA_A20;
    isa_set_a20(s->scpa & SCPA_A20);
}

static bool port92_realize(Device *dev, GError **err)
{
    Port92 *s = port92_of(dev);

    return isa_map_io(&s->isa, PORT92, &s->io, &port92_ops, s, "port92", 1,
                      err);
}

static void port92_unrealize(Device *dev)
{
    Port92 *s = port92_of(dev);

    isa_unmap_io(&s->isa, &s->io);
}

static void port92_update(Device *dev)
{
    isa_set_a20(port92_of(dev)->scpa & SCPA_A20);
}

static const State port92_state = {
    .name = "port92", .version = 1, .pre_save = port92_sync,
    .fields = (const StateField[]) { STATE_U8(Port92, scpa), {} },
};

static const DeviceType port92_type = {
    .name = "port92", .doc = "port 92h: A20 gate and fast reset",
    .parent = &isa_device_type, .size = sizeof(Port92), .internal = true,
    .state = &port92_state,
    .realize = port92_realize, .unrealize = port92_unrealize,
    .reset = port92_reset, .update = port92_update,
};
DEVICE_TYPE(port92_type)
