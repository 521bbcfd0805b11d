/*
 * isa-debugcon: a port whose bytes go straight to a character device, as
 * Bochs introduced it for firmware's messages.
 *
 * Spec:   none: a write is a byte; a read gives E9h, which says "I am here".
 * Models: all of it.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "chardev/chardev.h"
#include "hw/isa/isa.h"

typedef struct {
    IsaDevice isa;
    Region io;
    Chardev *chr;               /* properties */
    uint32_t port, readback;
    CharFrontend fe;
} DebugCon;

static DebugCon *debugcon_of(Device *dev)
{
    return container_of(dev, DebugCon, isa.dev);
}

static uint64_t debugcon_read(void *opaque, hwaddr reg, unsigned size)
{
    DebugCon *s = opaque;

    return s->readback;
}

static void debugcon_write(void *opaque, hwaddr reg, uint64_t val,
                           unsigned size)
{
    DebugCon *s = opaque;
    uint8_t byte = val;

    /* There is no status to poll: nothing but waiting keeps every byte. */
    chr_write_all(&s->fe, &byte, 1);
}

static const IoOps debugcon_ops = {
    .read = debugcon_read, .write = debugcon_write,
    .size_min = 1, .size_max = 1,
};

static size_t debugcon_can_read(void *opaque)
{
    return 0;
}

static void debugcon_receive(void *opaque, const uint8_t *buf, size_t len)
{
}

static bool debugcon_realize(Device *dev, GError **err)
{
    DebugCon *s = debugcon_of(dev);

    if (!s->chr) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "isa-debugcon: property 'chardev' is missing");
        return false;
    }
    if (!isa_map_io(&s->isa, s->port, &s->io, &debugcon_ops, s,
                    "isa-debugcon", 1, err)) {
        return false;
    }
    s->fe = (CharFrontend) {
        .can_read = debugcon_can_read, .read = debugcon_receive, .opaque = s,
    };
    if (!chr_attach(&s->fe, s->chr, err)) {
        isa_unmap_io(&s->isa, &s->io);
        return false;
    }
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    DebugCon *s = debugcon_of(dev);

    chr_detach(&s->fe);
    isa_unmap_io(&s->isa, &s->io);
}

static const Property debugcon_props[] = {
    PROP_U32(DebugCon, port, "iobase", 0xe9, "port"),
    PROP_CHARDEV(DebugCon, chr, "chardev", "id of the character device"),
    PROP_U32(DebugCon, readback, "readback", 0xe9, "what a read gives"),
    {}
};

static const DeviceType debugcon_type = {
    .name = "isa-debugcon", .doc = "debug console at port E9h",
    .parent = &isa_device_type, .size = sizeof(DebugCon),
    .props = debugcon_props,
    .realize = debugcon_realize, .unrealize = debugcon_unrealize,
};
DEVICE_TYPE(debugcon_type)
