/*
 * PS/2 devices, as the controller sees them: bytes in, bytes out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include "core/device.h"
#include "loop/timer.h"

enum {                          /* bytes that both kinds of device know */
    PS2_CMD_SET_DEFAULTS = 0xf6,
    PS2_CMD_DISABLE = 0xf5, PS2_CMD_ENABLE = 0xf4, PS2_CMD_GET_ID = 0xf2,
    PS2_CMD_RESEND = 0xfe, PS2_CMD_RESET = 0xff,
    PS2_ACK = 0xfa, PS2_BAT_OK = 0xaa, PS2_RESEND = 0xfe,
};

#define PS2_QUEUE_BYTES 16

typedef struct Ps2Queue {
    uint8_t data[PS2_QUEUE_BYTES];
    uint8_t head, n;
} Ps2Queue;
extern const State ps2_queue_state;

/* All of `bytes` or, when they do not fit, none. */
bool ps2_queue_put(Ps2Queue *q, const uint8_t *bytes, unsigned n);
uint8_t ps2_queue_get(Ps2Queue *q);     /* of a queue that is not empty */
uint8_t ps2_queue_tail(const Ps2Queue *q);      /* put last */

/* What both devices have: answers to commands go before events. */
typedef struct Ps2Port {
    void (*wake)(void *opaque); /* there is something to take */
    void *opaque;

    Ps2Queue answers, events;
    uint8_t last;               /* byte sent, for "resend" */
    uint8_t command;            /* that waits for its parameter, or 0 */
} Ps2Port;
extern const State ps2_port_state;

void ps2_answer(Ps2Port *p, uint8_t byte);
/* Take a byte; *event tells whether it is no answer.  False: none. */
bool ps2_port_get(Ps2Port *p, uint8_t *byte, bool *event);

#define PS2_N_SET3_CODES 0x90

typedef struct Ps2Kbd {
    Ps2Port port;

    bool scanning;
    uint8_t leds;
    uint8_t typematic;          /* rate and delay byte */
    uint8_t set;                /* scan code set: 1 to 3 */
    uint8_t set3_types[PS2_N_SET3_CODES];
    uint8_t down[32];           /* which keys are held: a bit each */
    uint8_t repeat_key;         /* the last one pressed */
    Timer repeat;
} Ps2Kbd;
extern const State ps2_kbd_state;

void ps2_kbd_init(Ps2Kbd *s, Loop *loop);
void ps2_kbd_destroy(Ps2Kbd *s);
void ps2_kbd_power_on(Ps2Kbd *s);
void ps2_kbd_write(Ps2Kbd *s, uint8_t val);
void ps2_kbd_event(Ps2Kbd *s, uint8_t key, bool down);

typedef struct Ps2Mouse {
    Ps2Port port;

    bool reporting, remote, wrap, scaling;
    uint8_t resolution, rate;
    uint8_t id;                 /* 0, 3 (wheel) or 4 (five buttons) */
    uint8_t knock[2];           /* the last two sample rates */
    uint8_t buttons;
    bool changed;               /* buttons, since the last packet */
    int32_t dx, dy, dz;         /* not reported yet */
    Timer next_packet;          /* pending: the sample is not over */
} Ps2Mouse;
extern const State ps2_mouse_state;

void ps2_mouse_init(Ps2Mouse *s, Loop *loop);
void ps2_mouse_destroy(Ps2Mouse *s);
void ps2_mouse_power_on(Ps2Mouse *s);
void ps2_mouse_write(Ps2Mouse *s, uint8_t val);
void ps2_mouse_input(Ps2Mouse *s, int dx, int dy, int dz, uint8_t buttons);
/* The controller has taken a byte: there may be room for a packet. */
void ps2_mouse_drained(Ps2Mouse *s);

#endif
