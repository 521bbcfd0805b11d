/*
 * pvpanic: the port by which a guest kernel says that it has panicked.
 *
 * Spec:   QEMU docs/specs/pvpanic; Linux drivers/misc/pvpanic.
 * Models: panicked and shutdown.  Crash-loaded (a crash kernel takes over) is
 *         noted in the trace only.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/log.h"
#include "base/trace.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

enum {
    PVPANIC_PANICKED     = 0x01,
    PVPANIC_CRASH_LOADED = 0x02,
    PVPANIC_SHUTDOWN     = 0x04,
    PVPANIC_ALL          = 0x07,
};

typedef struct {
    IsaDevice isa;
    Region io;
    uint16_t port;              /* property */
    uint8_t events;             /* property: what the guest may say */
} PvPanic;

static PvPanic *pvpanic_of(Device *dev)
{
    return container_of(dev, PvPanic, isa.dev);
}

static uint64_t pvpanic_read(void *opaque, hwaddr reg, unsigned size)
{
    PvPanic *s = opaque;

    return s->events;
}

static void pvpanic_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    trace("pvpanic-write", "val 0x%02" PRIx64, val);
    if (val & ~PVPANIC_ALL) {
        guest_error("pvpanic", "unknown event 0x%02" PRIx64, val);
    }
    if (val & PVPANIC_PANICKED) {
        machine_request_shutdown(SHUTDOWN_GUEST_PANIC);
    } else if (val & PVPANIC_SHUTDOWN) {
        machine_request_shutdown(SHUTDOWN_GUEST_SHUTDOWN);
    }
}

static const IoOps pvpanic_ops = {
    .read = pvpanic_read, .write = pvpanic_write, .size_min = 1, .size_max = 1,
};

static bool pvpanic_realize(Device *dev, GError **err)
{
    PvPanic *s = pvpanic_of(dev);

    return isa_map_io(&s->isa, s->port, &s->io, &pvpanic_ops, s, "pvpanic", 1,
                      err);
}

static void pvpanic_unrealize(Device *dev)
{
    PvPanic *s = pvpanic_of(dev);

    isa_unmap_io(&s->isa, &s->io);
}

static const Property pvpanic_props[] = {
    PROP_U16(PvPanic, port, "ioport", 0x505, "port"),
    PROP_U8(PvPanic, events, "events", PVPANIC_ALL,
            "events offered to the guest: 1 panicked, 2 crash loaded, "
            "4 shutdown"),
    {}
};

static const DeviceType pvpanic_type = {
    .name = "pvpanic", .doc = "tells when the guest's kernel panics",
    .parent = &isa_device_type, .size = sizeof(PvPanic),
    .props = pvpanic_props,
    .realize = pvpanic_realize, .unrealize = pvpanic_unrealize,
};
DEVICE_TYPE(pvpanic_type)
