/*
 * Virtio console device: the control queue and the ports' places.
 *
 * Spec:   virtio 1.2, section 5.3.
 * Models: VIRTIO_CONSOLE_F_MULTIPORT, VIRTIO_CONSOLE_F_EMERG_WRITE.  Not: the
 *         console's size.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/virtio/virtio-serial.h"

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#include "base/iov.h"
#include "base/log.h"
#include "base/opts.h"
#include "base/trace.h"

enum { QUEUE_SIZE = 128, CONTROL_SIZE = 32, CONTROL_RX = 2, CONTROL_TX = 3 };
enum { MESSAGE_BYTES = 8, MAX_MESSAGE_BYTES = 256 };

static VirtioSerial *serial_of(Virtio *v)
{
    return v->dev;
}

static bool has_control(const VirtioSerial *s)
{
    return virtio_has(s->v, VIRTIO_CONSOLE_F_MULTIPORT);
}

VirtQueue *vser_rx(const VserPort *port)
{
    return virtio_queue(port->s->v, port->nr ? 2 * port->nr + 2 : 0);
}

VirtQueue *vser_tx(const VserPort *port)
{
    return virtio_queue(port->s->v, port->nr ? 2 * port->nr + 3 : 1);
}

/* --- messages to the guest --------------------------------------------------------- */

/* As many as it has buffers for. */
static void send_waiting(VirtioSerial *s)
{
    VirtQueue *vq = virtio_queue(s->v, CONTROL_RX);
    uint32_t at = 0;

    while (vq && at < s->control_bytes) {
        uint32_t len = load_le16(s->control + at);
        VqElem *e = vq_pop(vq, sizeof(*e));

        if (!e) {
            break;
        }
        vq_push(e, iov_put(iov_all(e->iov + e->n_out, e->n_in),
                           s->control + at + 2, len));
        at += 2 + len;
    }
    if (at) {
        s->control_bytes -= at;
        memmove(s->control, s->control + at, s->control_bytes);
        vq_notify(vq);
    }
}

static void send_message(VirtioSerial *s, uint32_t nr, uint16_t event,
                         uint16_t value, const char *text)
{
    size_t extra = text ? strlen(text) + 1 : 0;
    uint8_t *to = s->control + s->control_bytes;

    trace("virtio-serial-send", "port %u event %u value %u", nr, event,
          value);
    if (!has_control(s) || !s->driver_ready) {
        return;
    }
    if (s->control_bytes + 2 + MESSAGE_BYTES + extra > VSER_CONTROL_BYTES) {
        guest_error("virtio-serial", "the driver gives no control buffers");
        return;
    }
    store_le16(to, MESSAGE_BYTES + extra);
    store_le32(to + 2, nr);
    store_le16(to + 6, event);
    store_le16(to + 8, value);
    if (extra) {
        memcpy(to + 2 + MESSAGE_BYTES, text, extra);
    }
    s->control_bytes += 2 + MESSAGE_BYTES + extra;
    send_waiting(s);
}

void vser_host_open(VserPort *port, bool open)
{
    send_message(port->s, port->nr, VIRTIO_CONSOLE_PORT_OPEN, open, NULL);
}

/* --- messages from the guest ---------------------------------------------------------- */

static void introduce(VirtioSerial *s, const VserPort *port)
{
    send_message(s, port->nr, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
}

static void describe(VirtioSerial *s, VserPort *port)
{
    if (port->is_console) {
        send_message(s, port->nr, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
    }
    if (port->name) {
        send_message(s, port->nr, VIRTIO_CONSOLE_PORT_NAME, 1, port->name);
    }
    if (vser_port_host_open(port)) {
        vser_host_open(port, true);
    }
}

static void take_message(VirtioSerial *s, const uint8_t *m)
{
    uint32_t nr = load_le32(m);
    uint16_t event = load_le16(m + 4), value = load_le16(m + 6);
    VserPort *port;

    trace("virtio-serial-receive", "port %u event %u value %u", nr, event,
          value);
    if (event == VIRTIO_CONSOLE_DEVICE_READY) {
        if (!value) {
            guest_error("virtio-serial", "the driver could not start");
            return;
        }
        s->driver_ready = true;
        for (unsigned i = 0; i < s->max_ports; i++) {
            if (s->ports[i]) {
                introduce(s, s->ports[i]);
            }
        }
        return;
    }
    port = nr < s->max_ports ? s->ports[nr] : NULL;
    if (!port) {
        guest_error("virtio-serial", "message %u for port %u", event, nr);
        return;
    }
    if (event == VIRTIO_CONSOLE_PORT_READY) {
        if (value) {
            describe(s, port);
        }
    } else if (event == VIRTIO_CONSOLE_PORT_OPEN) {
        s->slots[nr].guest_open = value;
        if (value) {
            vser_port_receive(port);
        } else {
            port->in_bytes = 0;
        }
    }
}

static void control_kick(VirtioSerial *s, VirtQueue *vq)
{
    unsigned left = vq->size;
    uint8_t m[MESSAGE_BYTES];
    VqElem *e;

    while (left-- && (e = vq_pop(vq, sizeof(*e)))) {
        size_t n = iov_get(iov_all(e->iov, e->n_out), m, sizeof(m));

        vq_push(e, 0);
        if (n == sizeof(m)) {
            take_message(s, m);
        }
    }
    vq_notify(vq);
    if (!vq_is_empty(vq)) {
        vq->again = true;
        virtio_run_again(s->v);
    }
}

/* --- the device -------------------------------------------------------------------------- */

static void kick(Virtio *v, VirtQueue *vq)
{
    VirtioSerial *s = serial_of(v);
    unsigned nr = vq->index < 2 ? 0 : vq->index / 2 - 1;

    if (vq->index == CONTROL_RX) {
        send_waiting(s);
    } else if (vq->index == CONTROL_TX) {
        control_kick(s, vq);
    } else if (s->ports[nr]) {
        if (vq->index & 1) {
            vser_port_transmit(s->ports[nr]);
        } else {
            vser_port_receive(s->ports[nr]);
        }
    } else if (vq->index & 1) {
        VqElem *e;

        /* Nobody is there to listen. */
        for (unsigned n = vq->size; n && (e = vq_pop(vq, sizeof(*e))); n--) {
            vq_push(e, 0);
        }
        vq_notify(vq);
    }
}

static void drain_ports(VirtioSerial *s, VirtQueue *vq, bool reset)
{
    for (unsigned i = 0; i < s->max_ports; i++) {
        VserPort *port = s->ports[i];

        if (port && (!vq || vq == vser_rx(port) || vq == vser_tx(port))) {
            vser_port_drain(port, reset);
        }
    }
}

static void drain(Virtio *v)
{
    drain_ports(serial_of(v), NULL, false);
}

/* A driver without a control queue cannot say that it has opened port 0. */
static void start(Virtio *v)
{
    VirtioSerial *s = serial_of(v);

    if (!has_control(s)) {
        s->slots[0].guest_open = true;
        if (s->ports[0]) {
            vser_port_receive(s->ports[0]);
        }
    }
}

static void reset(Virtio *v, VirtQueue *vq)
{
    VirtioSerial *s = serial_of(v);

    drain_ports(s, vq, true);
    if (!vq) {
        memset(s->slots, 0, sizeof(s->slots));
        s->driver_ready = false;
        s->control_bytes = 0;
    }
}

static void get_config(Virtio *v, uint8_t *c)
{
    memset(c, 0, sizeof(struct virtio_console_config));
    store_le32(c + offsetof(struct virtio_console_config, max_nr_ports),
               serial_of(v)->max_ports);
}

static void set_config(Virtio *v, const uint8_t *c, unsigned at,
                       unsigned size)
{
    VirtioSerial *s = serial_of(v);
    unsigned reg = offsetof(struct virtio_console_config, emerg_wr);

    if (s->emergency_write && at <= reg && reg < at + size && s->ports[0]) {
        vser_port_emergency(s->ports[0], c[reg]);
    }
}

static bool realize(Virtio *v, GError **err)
{
    VirtioSerial *s = serial_of(v);
    static unsigned n_made;
    g_autofree char *name = NULL;
    Object *obj = &v->shell->obj;

    s->v = v;
    if (!s->max_ports || s->max_ports > VSER_MAX_PORTS) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'max_ports' cannot be %u: 1 to %d is wanted",
                    s->max_ports, VSER_MAX_PORTS);
        return false;
    }
    v->offered |= (s->max_ports > 1 ? BIT64(VIRTIO_CONSOLE_F_MULTIPORT) : 0)
                  | (s->emergency_write ? BIT64(VIRTIO_CONSOLE_F_EMERG_WRITE)
                                        : 0);
    v->n_vectors = s->max_ports + 1;
    for (unsigned i = 0; i < 2 * s->max_ports + (s->max_ports > 1 ? 2 : 0);
         i++) {
        virtio_add_queue(v, i == CONTROL_RX || i == CONTROL_TX ? CONTROL_SIZE
                                                               : QUEUE_SIZE);
    }
    s->control = g_malloc0(VSER_CONTROL_BYTES);
    name = obj->id && !strchr(obj->id, '[')
           ? g_strdup_printf("%s.0", obj->id)
           : g_strdup_printf("virtio-serial-bus.%u", n_made++);
    bus_init(&s->bus, &vser_bus_type, v->shell, name);
    return true;
}

static void unrealize(Virtio *v)
{
    VirtioSerial *s = serial_of(v);

    bus_destroy(&s->bus);
    g_clear_pointer(&s->control, g_free);
}

const VirtioOps virtio_serial_ops = {
    .name = "virtio-serial", .id = VIRTIO_ID_CONSOLE, .pci_id = 0x1003,
    .pci_class = 0x078000,
    .config_bytes = sizeof(struct virtio_console_config),
    .realize = realize, .unrealize = unrealize, .get_config = get_config,
    .set_config = set_config, .start = start, .kick = kick, .drain = drain,
    .reset = reset,
};

/* --- ports -------------------------------------------------------------------------------------- */

const BusType vser_bus_type = { .name = "virtio-serial-bus" };

/* Number 0 is for consoles: drivers without a control queue expect one. */
static bool choose_number(VirtioSerial *s, VserPort *port, GError **err)
{
    if (port->nr != UINT32_MAX) {
        return true;
    }
    for (unsigned i = port->is_console ? 0 : 1; i < s->max_ports; i++) {
        if (!s->ports[i]) {
            port->nr = i;
            return true;
        }
    }
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "all ports of '%s' are in use: max_ports=%u", s->bus.name,
                s->max_ports);
    return false;
}

bool vser_add_port(VirtioSerial *s, VserPort *port, GError **err)
{
    if (!choose_number(s, port, err)) {
        return false;
    }
    if (port->nr >= s->max_ports) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'nr' cannot be %u: less than max_ports=%u is "
                    "wanted", port->nr, s->max_ports);
        return false;
    }
    if (!port->nr && !port->is_console) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'nr' cannot be 0: port 0 is for a virtconsole");
        return false;
    }
    for (unsigned i = 0; i < s->max_ports; i++) {
        if (s->ports[i] && (i == port->nr
                            || (port->name && s->ports[i]->name
                                && !strcmp(port->name, s->ports[i]->name)))) {
            g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                        "there is a port %s %s of '%s' already",
                        i == port->nr ? "of that number" : "named",
                        i == port->nr ? "" : port->name, s->bus.name);
            return false;
        }
    }
    if (port->name && strlen(port->name) > MAX_MESSAGE_BYTES - MESSAGE_BYTES) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "property 'name' is too long: at most %d letters",
                    MAX_MESSAGE_BYTES - MESSAGE_BYTES);
        return false;
    }
    port->s = s;
    s->ports[port->nr] = port;
    introduce(s, port);
    return true;
}

void vser_remove_port(VserPort *port)
{
    VirtioSerial *s = port->s;

    vser_port_drain(port, true);
    s->ports[port->nr] = NULL;
    s->slots[port->nr] = (VserSlot) { 0 };
    send_message(s, port->nr, VIRTIO_CONSOLE_PORT_REMOVE, 1, NULL);
}

/* --- state ----------------------------------------------------------------------------------------- */

static bool post_load(void *opaque, int version, GError **err)
{
    VirtioSerial *s = opaque;
    uint32_t at = 0;

    while (at + 2 <= s->control_bytes) {
        uint32_t len = load_le16(s->control + at);

        if (len < MESSAGE_BYTES || len > 2 * MAX_MESSAGE_BYTES) {
            break;
        }
        at += 2 + len;
    }
    if (at != s->control_bytes) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "virtio-serial: messages cut in the middle");
        return false;
    }
    return true;
}

static const State slot_state = {
    .name = "port", .version = 1,
    .fields = (const StateField[]) {
        STATE_BOOL(VserSlot, guest_open), STATE_U32(VserSlot, tx_at), {}
    },
};

const State virtio_serial_state = {
    .name = "virtio-serial", .version = 1, .post_load = post_load,
    .fields = (const StateField[]) {
        STATE_BOOL(VirtioSerial, driver_ready),
        STATE_STRUCT_ARRAY(VirtioSerial, slots, &slot_state),
        { .name = "control", .kind = STATE_KIND_BUFFER,
          .offset = offsetof(VirtioSerial, control),
          .count_offset = offsetof(VirtioSerial, control_bytes),
          .max = VSER_CONTROL_BYTES },
        {}
    },
};
