/*
 * Parallel port with a printer behind it that writes to a character device.
 *
 * Spec:   IBM PC AT technical reference, "Printer adapter"; IEEE 1284-1994,
 *         compatibility mode.
 * Models: data, status and control, the strobe handshake, the acknowledge
 *         interrupt, reverse direction (nothing drives the lines: FFh).
 *         Left out: EPP and ECP.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "chardev/chardev.h"
#include "hw/isa/isa.h"

#define N_LPT     3
#define AUTOMATIC UINT32_MAX

enum { LPT_DATA, LPT_STATUS, LPT_CONTROL, LPT_N_REGS };

enum {                          /* status: the connector's levels */
    STATUS_UNUSED   = 0x07,
    STATUS_NERROR   = 0x08,
    STATUS_SELECT   = 0x10,     /* the printer is on line */
    STATUS_NACK     = 0x40,
    STATUS_NBUSY    = 0x80,

    CONTROL_STROBE  = 0x01,
    CONTROL_NINIT   = 0x04,
    CONTROL_SELECT  = 0x08,
    CONTROL_IRQ_EN  = 0x10,
    CONTROL_INPUT   = 0x20,
    CONTROL_BITS    = 0x3f,
    CONTROL_UNUSED  = 0xc0,
};

static const uint16_t lpt_port[N_LPT] = { 0x378, 0x278, 0x3bc };

typedef struct {
    IsaDevice isa;
    Region io;
    Irq line;
    uint32_t index, port, irq;  /* properties */
    Chardev *chr;               /* property */
    CharFrontend fe;

    uint8_t data, control;
    bool busy;                  /* the printer still holds `held` */
    uint8_t held;
} IsaParallel;

static const DeviceType isa_parallel_type;

static IsaParallel *parallel_of(Device *dev)
{
    return container_of(dev, IsaParallel, isa.dev);
}

/* --- printer ------------------------------------------------------------------ */

static void parallel_on_writable(void *opaque)
{
    IsaParallel *s = opaque;

    if (!s->busy) {
        return;
    }
    if (chr_write(&s->fe, &s->held, 1) != 1) {
        chr_wait_writable(&s->fe, parallel_on_writable, s);
        return;
    }
    s->busy = false;
    if (s->control & CONTROL_IRQ_EN) {
        irq_pulse(&s->line);    /* the end of ACK# */
    }
}

static void strobe(IsaParallel *s)
{
    if (s->busy) {
        return;                 /* a printer does not look then */
    }
    s->held = s->data;
    s->busy = true;
    parallel_on_writable(s);
}

/* --- registers ------------------------------------------------------------------ */

static uint64_t parallel_read(void *opaque, hwaddr reg, unsigned size)
{
    const IsaParallel *s = opaque;

    switch (reg) {
    case LPT_DATA:
        return s->control & CONTROL_INPUT ? 0xff : s->data;
    case LPT_STATUS:
        return STATUS_UNUSED | STATUS_NERROR | STATUS_SELECT | STATUS_NACK
               | (s->busy ? 0 : STATUS_NBUSY);
    default:
        return s->control | CONTROL_UNUSED;
    }
}

static void parallel_write(void *opaque, hwaddr reg, uint64_t val,
                           unsigned size)
{
    IsaParallel *s = opaque;
    uint8_t rising = val & ~s->control;

    trace("parallel-write", "reg %" PRIu64 " val 0x%02" PRIx64, reg, val);
    switch (reg) {
    case LPT_DATA:
        s->data = val;
        break;
    case LPT_CONTROL:
        s->control = val & CONTROL_BITS;
        if (!(val & CONTROL_NINIT)) {
            s->busy = false;    /* the printer is being reset */
        } else if (rising & CONTROL_STROBE) {
            strobe(s);
        }
        break;
    }
}

static const IoOps parallel_ops = {
    .read = parallel_read, .write = parallel_write,
    .size_min = 1, .size_max = 1,
};

/* --- device ---------------------------------------------------------------------- */

static size_t parallel_can_read(void *opaque)
{
    return 0;
}

static void parallel_receive(void *opaque, const uint8_t *buf, size_t len)
{
}

static void parallel_reset(Device *dev)
{
    IsaParallel *s = parallel_of(dev);

    s->data = 0xff;
    s->control = CONTROL_SELECT | CONTROL_NINIT;
    s->busy = false;
    s->held = 0;
}

static void parallel_update(Device *dev)
{
    parallel_on_writable(parallel_of(dev));
}

static unsigned free_index(IsaParallel *s)
{
    GPtrArray *others = s->isa.dev.bus->devices;
    uint32_t taken = 0;

    for (unsigned i = 0; i < others->len; i++) {
        Device *dev = g_ptr_array_index(others, i);

        if (dev->obj.type == &isa_parallel_type
            && parallel_of(dev)->index < N_LPT) {
            taken |= BIT(parallel_of(dev)->index);
        }
    }
    return __builtin_ctz(~taken);
}

static bool choose_resources(IsaParallel *s, GError **err)
{
    if (!s->chr) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "isa-parallel: property 'chardev' is missing");
        return false;
    }
    if (s->index == AUTOMATIC) {
        s->index = free_index(s);
    }
    if (s->index >= N_LPT || s->irq >= ISA_N_IRQS) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "isa-parallel: index %u is not 0 to %d, or irq %u not 0 "
                    "to %d", s->index, N_LPT - 1, s->irq, ISA_N_IRQS - 1);
        return false;
    }
    s->port = s->port == AUTOMATIC ? lpt_port[s->index] : s->port;
    return true;
}

static bool parallel_realize(Device *dev, GError **err)
{
    IsaParallel *s = parallel_of(dev);

    if (!choose_resources(s, err)
        || !isa_map_io(&s->isa, s->port, &s->io, &parallel_ops, s, "parallel",
                       LPT_N_REGS, err)) {
        return false;
    }
    s->fe = (CharFrontend) {
        .can_read = parallel_can_read, .read = parallel_receive, .opaque = s,
    };
    if (!chr_attach(&s->fe, s->chr, err)) {
        isa_unmap_io(&s->isa, &s->io);
        return false;
    }
    s->line = isa_irq(&s->isa, s->irq);
    parallel_reset(dev);
    return true;
}

static void parallel_unrealize(Device *dev)
{
    IsaParallel *s = parallel_of(dev);

    isa_irq_release(&s->isa, &s->line);
    chr_detach(&s->fe);
    isa_unmap_io(&s->isa, &s->io);
}

static const Property parallel_props[] = {
    PROP_U32(IsaParallel, index, "index", AUTOMATIC,
             "0 to 2 for LPT1 to LPT3; the next free one if not given"),
    PROP_U32(IsaParallel, port, "iobase", AUTOMATIC, "first port"),
    PROP_U32(IsaParallel, irq, "irq", 7, "interrupt line"),
    PROP_CHARDEV(IsaParallel, chr, "chardev", "id of the character device"),
    {}
};

static const State parallel_state = {
    .name = "isa-parallel", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(IsaParallel, data), STATE_U8(IsaParallel, control),
        STATE_BOOL(IsaParallel, busy), STATE_U8(IsaParallel, held), {}
    },
};

static const DeviceType isa_parallel_type = {
    .name = "isa-parallel", .doc = "parallel port with a printer",
    .parent = &isa_device_type, .size = sizeof(IsaParallel),
    .props = parallel_props, .state = &parallel_state,
    .realize = parallel_realize, .unrealize = parallel_unrealize,
    .reset = parallel_reset, .update = parallel_update,
};
DEVICE_TYPE(isa_parallel_type)
