/*
 * Coprocessor errors as a PC reports them while CR0.NE is 0: FERR#, IRQ 13 and
 * IGNNE#.
 *
 * Spec:   Intel 82371SB (PIIX3) datasheet 290550-002, 2.5.8 (port F0h); SDM
 *         volume 1, appendix D.2.1 (the MS-DOS compatible sub-mode).
 * Models: FERR# raises line 13; a write to port F0h lowers it and asserts
 *         IGNNE# until FERR# is gone.  The lines of all processors are one.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

enum { FERR_PORT = 0xf0, FERR_IRQ = 13 };

typedef struct IsaFerr {
    IsaDevice isa;
    Irq irq;
    Region io;

    bool ferr, ignne;
} IsaFerr;

static IsaFerr *the_one;        /* whom processors tell */

static IsaFerr *ferr_of(Device *dev)
{
    return container_of(dev, IsaFerr, isa.dev);
}

static void ferr_update(Device *dev)
{
    IsaFerr *s = ferr_of(dev);

    irq_set(&s->irq, s->ferr && !s->ignne);
}

static void set_ferr(bool level)
{
    IsaFerr *s = the_one;

    if (level != s->ferr) {
        trace("ferr", "%d", level);
    }
    s->ferr = level;
    s->ignne &= level;
    ferr_update(&s->isa.dev);
}

static void ferr_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    IsaFerr *s = opaque;

    s->ignne = s->ferr;
    ferr_update(&s->isa.dev);
}

static const IoOps ferr_ops = {
    .write = ferr_write, .size_min = 1, .size_max = 1,
};

static void ferr_reset(Device *dev)
{
    IsaFerr *s = ferr_of(dev);

    s->ferr = s->ignne = false;
    ferr_update(dev);
}

static bool ferr_realize(Device *dev, GError **err)
{
    IsaFerr *s = ferr_of(dev);

    if (!isa_map_io(&s->isa, FERR_PORT, &s->io, &ferr_ops, s, "ferr", 1,
                    err)) {
        return false;
    }
    s->irq = isa_irq(&s->isa, FERR_IRQ);
    the_one = s;
    machine_set_ferr = set_ferr;
    return true;
}

static void ferr_unrealize(Device *dev)
{
    IsaFerr *s = ferr_of(dev);

    if (the_one == s) {
        the_one = NULL;
        machine_set_ferr = NULL;
    }
    isa_irq_release(&s->isa, &s->irq);
    isa_unmap_io(&s->isa, &s->io);
}

static const State ferr_state = {
    .name = "isa-ferr", .version = 1,
    .fields = (const StateField[]) {
        STATE_BOOL(IsaFerr, ferr), STATE_BOOL(IsaFerr, ignne), {}
    },
};

static const DeviceType ferr_type = {
    .name = "isa-ferr", .doc = "coprocessor errors: FERR#, IRQ 13, port F0h",
    .parent = &isa_device_type, .size = sizeof(IsaFerr), .internal = true,
    .state = &ferr_state, .realize = ferr_realize,
    .unrealize = ferr_unrealize, .reset = ferr_reset, .update = ferr_update,
};
DEVICE_TYPE(ferr_type)
