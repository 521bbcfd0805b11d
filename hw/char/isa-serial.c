/*
 * A 16550A on the ISA bus: COM1 to COM4.
 *
 * Spec:   IBM PC AT technical reference; addresses as every BIOS has them.
 * Models: the shell; the chip is uart.c.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "hw/char/uart.h"
#include "hw/isa/isa.h"

#define N_COM     4
#define AUTOMATIC UINT32_MAX

static const struct {
    uint16_t port;
    uint8_t irq;
} com[N_COM] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };

typedef struct {
    IsaDevice isa;
    Region io;
    uint32_t index, port, irq;  /* properties */

    Uart uart;
} IsaSerial;

static const DeviceType isa_serial_type;

static IsaSerial *isa_serial_of(Device *dev)
{
    return container_of(dev, IsaSerial, isa.dev);
}

/* The first COM port that no other card on the bus has taken. */
static unsigned free_index(IsaSerial *s)
{
    GPtrArray *others = s->isa.dev.bus->devices;
    uint32_t taken = 0;

    for (unsigned i = 0; i < others->len; i++) {
        Device *dev = g_ptr_array_index(others, i);

        if (dev->obj.type == &isa_serial_type
            && isa_serial_of(dev)->index < N_COM) {
            taken |= BIT(isa_serial_of(dev)->index);
        }
    }
    return __builtin_ctz(~taken);
}

static bool isa_serial_realize(Device *dev, GError **err)
{
    IsaSerial *s = isa_serial_of(dev);

    if (s->index == AUTOMATIC) {
        s->index = free_index(s);
        if (s->index >= N_COM) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                        "isa-serial: all %d ports are in use", N_COM);
            return false;
        }
    }
    if (s->index >= N_COM) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "isa-serial: index %u is not 0 to %d", s->index,
                    N_COM - 1);
        return false;
    }
    s->port = s->port == AUTOMATIC ? com[s->index].port : s->port;
    s->irq = s->irq == AUTOMATIC ? com[s->index].irq : s->irq;
    if (s->irq >= ISA_N_IRQS) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "isa-serial: irq %u is not 0 to %d", s->irq,
                    ISA_N_IRQS - 1);
        return false;
    }
    if (!isa_map_io(&s->isa, s->port, &s->io, &uart_ops, &s->uart, "serial",
                    UART_N_REGS, err)) {
        return false;
    }
    s->uart.irq = isa_irq(&s->isa, s->irq);
    if (!uart_realize(&s->uart, dev, err)) {
        isa_irq_release(&s->isa, &s->uart.irq);
        isa_unmap_io(&s->isa, &s->io);
        return false;
    }
    return true;
}

static void isa_serial_unrealize(Device *dev)
{
    IsaSerial *s = isa_serial_of(dev);

    uart_unrealize(&s->uart);
    isa_irq_release(&s->isa, &s->uart.irq);
    isa_unmap_io(&s->isa, &s->io);
}

static void isa_serial_reset(Device *dev)
{
    uart_reset(&isa_serial_of(dev)->uart);
}

static void isa_serial_update(Device *dev)
{
    uart_update(&isa_serial_of(dev)->uart);
}

static const Property isa_serial_props[] = {
    PROP_U32(IsaSerial, index, "index", AUTOMATIC,
             "0 to 3 for COM1 to COM4; the next free one if not given"),
    PROP_U32(IsaSerial, port, "iobase", AUTOMATIC, "first port"),
    PROP_U32(IsaSerial, irq, "irq", AUTOMATIC, "interrupt line"),
    UART_PROPS(IsaSerial, uart),
    {}
};

static const State isa_serial_state = {
    .name = "isa-serial", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(IsaSerial, uart, &uart_state), {}
    },
};

static const DeviceType isa_serial_type = {
    .name = "isa-serial", .doc = "serial port: 16550A on ISA",
    .parent = &isa_device_type, .size = sizeof(IsaSerial),
    .props = isa_serial_props, .state = &isa_serial_state,
    .realize = isa_serial_realize, .unrealize = isa_serial_unrealize,
    .reset = isa_serial_reset, .update = isa_serial_update,
};
DEVICE_TYPE(isa_serial_type)
