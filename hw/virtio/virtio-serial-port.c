/*
 * Ports of a virtio console device: "virtserialport", "virtconsole".
 *
 * What the guest writes goes out as fast as the chardev takes it: a buffer
 * that is not out is kept, and the guest waits for it.  What the host sends
 * is taken only when the guest has opened the port and has buffers.
 *
 * Spec:  virtio 1.2, section 5.3.6.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-serial.h"

#include "base/iov.h"
#include "base/opts.h"

static VserPort *port_of(Device *dev)
{
    return container_of(dev, VserPort, dev);
}

static VserSlot *slot(const VserPort *port)
{
    return &port->s->slots[port->nr];
}

/* A console is there whether somebody looks at it or not. */
bool vser_port_host_open(VserPort *port)
{
    return port->is_console || chr_connected(&port->fe);
}

/* --- from the guest ------------------------------------------------------------------- */

static void on_writable(void *opaque)
{
    vser_port_transmit(opaque);
}

/* The rest of port->tx; false: the chardev takes no more for now. */
static bool write_out(VserPort *port)
{
    VqElem *e = port->tx;
    size_t at = 0;

    for (unsigned i = 0; i < e->n_out; i++) {
        const struct iovec *v = &e->iov[i];
        uint32_t done = slot(port)->tx_at;

        if (done < at + v->iov_len) {
            size_t skip = done - at, n = v->iov_len - skip;
            size_t got = chr_write(&port->fe, (uint8_t *)v->iov_base + skip,
                                   n);

            slot(port)->tx_at += got;
            if (got < n) {
                return false;
            }
        }
        at += v->iov_len;
    }
    return true;
}

void vser_port_transmit(VserPort *port)
{
    VirtQueue *vq = vser_tx(port);
    unsigned left = vq->size;
    bool some = false;

    while (left-- && !port->s->v->paused
           && (port->tx || (port->tx = vq_pop(vq, sizeof(VqElem))))) {
        if (vser_port_host_open(port) && !write_out(port)) {
            chr_wait_writable(&port->fe, on_writable, port);
            break;
        }
        slot(port)->tx_at = 0;
        vq_push(g_steal_pointer(&port->tx), 0);
        some = true;
    }
    if (some) {
        vq_notify(vq);
    }
    if (!port->tx && !port->s->v->paused && !vq_is_empty(vq)) {
        vq->again = true;
        virtio_run_again(port->s->v);
    }
}

void vser_port_emergency(VserPort *port, uint8_t byte)
{
    chr_write_all(&port->fe, &byte, 1);
}

/* --- to the guest ------------------------------------------------------------------------- */

static void fill_buffers(VserPort *port)
{
    VirtQueue *vq = vser_rx(port);
    uint32_t at = 0;
    VqElem *e;

    while (at < port->in_bytes && (e = vq_pop(vq, sizeof(*e)))) {
        size_t n = iov_put(iov_all(e->iov + e->n_out, e->n_in),
                           port->in + at, port->in_bytes - at);

        at += n;
        vq_push(e, n);
    }
    if (at) {
        port->in_bytes -= at;
        memmove(port->in, port->in + at, port->in_bytes);
        vq_notify(vq);
    }
}

static size_t can_read(void *opaque)
{
    VserPort *port = opaque;

    return slot(port)->guest_open && !port->s->v->paused
           && !vq_is_empty(vser_rx(port)) ? VSER_IN_BYTES - port->in_bytes
           : 0;
}

static void read_chr(void *opaque, const uint8_t *buf, size_t len)
{
    VserPort *port = opaque;

    len = MIN(len, VSER_IN_BYTES - port->in_bytes);
    memcpy(port->in + port->in_bytes, buf, len);
    port->in_bytes += len;
    fill_buffers(port);
}

void vser_port_receive(VserPort *port)
{
    if (!port->s->v->paused) {
        fill_buffers(port);
        chr_accept_input(&port->fe);
    }
}

static void on_event(void *opaque, CharEvent ev)
{
    VserPort *port = opaque;

    if (!port->is_console && (ev == CHR_OPENED || ev == CHR_CLOSED)) {
        vser_host_open(port, ev == CHR_OPENED);
    }
    if (ev == CHR_CLOSED) {
        vser_port_transmit(port);       /* what was held is nobody's now */
    }
}

/* --- life ------------------------------------------------------------------------------------ */

void vser_port_drain(VserPort *port, bool reset)
{
    chr_wait_writable(&port->fe, NULL, NULL);
    if (port->tx && reset) {
        vq_drop(g_steal_pointer(&port->tx));
    } else if (port->tx) {
        vq_unpop(g_steal_pointer(&port->tx));
    }
    if (reset) {
        slot(port)->tx_at = 0;
        port->in_bytes = 0;
    }
}

static bool port_realize(Device *dev, GError **err)
{
    VserPort *port = port_of(dev);
    VirtioSerial *s = container_of(dev->bus, VirtioSerial, bus);

    port->is_console = g_str_equal(dev->obj.type->name, "virtconsole");
    port->fe.can_read = can_read;
    port->fe.read = read_chr;
    port->fe.event = on_event;
    port->fe.opaque = port;
    if (!vser_add_port(s, port, err)) {
        return false;
    }
    port->in = g_malloc0(VSER_IN_BYTES);
    if (!chr_attach(&port->fe, port->chr, err)) {
        vser_remove_port(port);
        g_clear_pointer(&port->in, g_free);
        return false;
    }
    return true;
}

static void port_unrealize(Device *dev)
{
    VserPort *port = port_of(dev);

    vser_remove_port(port);
    chr_detach(&port->fe);
    g_clear_pointer(&port->in, g_free);
}

static const Property port_props[] = {
    PROP_CHARDEV(VserPort, chr, "chardev", "the other end"),
    PROP_STRING(VserPort, name, "name", NULL,
                "as the guest finds it: /dev/virtio-ports/NAME"),
    PROP_U32(VserPort, nr, "nr", UINT32_MAX,
             "its number; by default the first that is free"),
    {}
};

static const State port_state = {
    .name = "virtserialport", .version = 1,
    .fields = (const StateField[]) {
        { .name = "in", .kind = STATE_KIND_BUFFER,
          .offset = offsetof(VserPort, in),
          .count_offset = offsetof(VserPort, in_bytes),
          .max = VSER_IN_BYTES },
        {}
    },
};

const DeviceType vser_port_type = {
    .name = "virtio-serial-port", .doc = "a port of a virtio console device",
    .parent = &device_type, .size = sizeof(VserPort), .abstract = true,
    .bus = &vser_bus_type, .props = port_props, .state = &port_state,
    .realize = port_realize, .unrealize = port_unrealize,
};
DEVICE_TYPE(vser_port_type)

static const DeviceType virtserialport_type = {
    .name = "virtserialport", .doc = "a channel between host and guest",
    .parent = &vser_port_type, .size = sizeof(VserPort),
};
DEVICE_TYPE(virtserialport_type)

static const DeviceType virtconsole_type = {
    .name = "virtconsole", .doc = "a console: hvc0, hvc1, ...",
    .parent = &vser_port_type, .size = sizeof(VserPort),
};
DEVICE_TYPE(virtconsole_type)
