/*
 * The virtio console device with its ports, without a bus of its own.
 *
 *   chardev -- VserPort (virtserialport, virtconsole) -- bus -- VirtioSerial
 *
 * Port n has the queues 2n + 2 and 2n + 3, port 0 the queues 0 and 1; 2 and 3
 * are the control queues, which are there when more than one port may be.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_H
#define HW_VIRTIO_VIRTIO_SERIAL_H

#include "chardev/chardev.h"
#include "hw/virtio/virtio.h"

enum {
    VSER_MAX_PORTS = 31, VSER_IN_BYTES = 4096, VSER_CONTROL_BYTES = 8192,
};

typedef struct VserPort VserPort;

/* What the guest sees of a port, though the port itself may go; saved. */
typedef struct VserSlot {
    bool guest_open;
    uint32_t tx_at;             /* bytes of the next buffer that are out */
} VserSlot;

typedef struct VirtioSerial {
    Virtio *v;                  /* (C) */
    uint32_t max_ports;         /* properties */
    bool emergency_write;

    Bus bus;                    /* "virtio-serial-bus" */
    VserPort *ports[VSER_MAX_PORTS];
    VserSlot slots[VSER_MAX_PORTS];     /* saved */
    bool driver_ready;          /* saved */
    /* Messages that wait for a buffer, each behind its length; saved. */
    uint8_t *control;
    uint32_t control_bytes;
} VirtioSerial;

struct VserPort {
    Device dev;
    Chardev *chr;               /* properties */
    char *name;
    uint32_t nr;

    bool is_console;
    VirtioSerial *s;
    CharFrontend fe;
    VqElem *tx;                 /* being written */
    uint8_t *in;                /* for the guest; saved */
    uint32_t in_bytes;
};

extern const VirtioOps virtio_serial_ops;
extern const State virtio_serial_state;         /* of a VirtioSerial */
extern const BusType vser_bus_type;
extern const DeviceType vser_port_type;         /* abstract */

#define VIRTIO_SERIAL_PROPS(t, f)                                           \
    PROP_U32(t, f.max_ports, "max_ports", VSER_MAX_PORTS,                   \
             "ports there may be"),                                         \
    PROP_BOOL(t, f.emergency_write, "emergency-write", true,                \
              "a register that prints before there are queues")

/* Between device and ports: virtio-serial.c. */
bool vser_add_port(VirtioSerial *s, VserPort *port, GError **err);
void vser_remove_port(VserPort *port);
/* The host's end came or went. */
void vser_host_open(VserPort *port, bool open);
VirtQueue *vser_rx(const VserPort *port);
VirtQueue *vser_tx(const VserPort *port);
/* virtio-serial-port.c */
bool vser_port_host_open(VserPort *port);
void vser_port_transmit(VserPort *port);
void vser_port_receive(VserPort *port);
void vser_port_emergency(VserPort *port, uint8_t byte);
/* Hold nothing: `reset` also drops what was on its way. */
void vser_port_drain(VserPort *port, bool reset);

#endif
