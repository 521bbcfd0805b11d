/*
 * What PS/2 keyboard and mouse have in common: queues, resend.
 *
 * Spec:   IBM PS/2 technical reference, "Keyboard and Auxiliary Device
 *         Controller".
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ps2.h"

bool ps2_queue_put(Ps2Queue *q, const uint8_t *bytes, unsigned n)
{
    if (n > PS2_QUEUE_BYTES - (unsigned)q->n) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        q->data[(q->head + q->n++) % PS2_QUEUE_BYTES] = bytes[i];
    }
    return true;
}

uint8_t ps2_queue_get(Ps2Queue *q)
{
    uint8_t byte = q->data[q->head];

    q->head = (q->head + 1) % PS2_QUEUE_BYTES;
    q->n--;
    return byte;
}

uint8_t ps2_queue_tail(const Ps2Queue *q)
{
    return q->data[(q->head + q->n + PS2_QUEUE_BYTES - 1) % PS2_QUEUE_BYTES];
}

void ps2_answer(Ps2Port *p, uint8_t byte)
{
    ps2_queue_put(&p->answers, &byte, 1);
    p->wake(p->opaque);
}

bool ps2_port_get(Ps2Port *p, uint8_t *byte, bool *event)
{
    *event = p->answers.n == 0;
    if (*event && p->events.n == 0) {
        return false;
    }
    *byte = ps2_queue_get(*event ? &p->events : &p->answers);
    if (*byte != PS2_RESEND) {
        p->last = *byte;
    }
    return true;
}

static bool queue_post_load(void *opaque, int version, GError **err)
{
    const Ps2Queue *q = opaque;

    return q->head < PS2_QUEUE_BYTES && q->n <= PS2_QUEUE_BYTES;
}

const State ps2_queue_state = {
    .name = "ps2-queue", .version = 1, .post_load = queue_post_load,
    .fields = (const StateField[]) {
        STATE_BYTES(Ps2Queue, data), STATE_U8(Ps2Queue, head),
        STATE_U8(Ps2Queue, n), {}
    },
};

const State ps2_port_state = {
    .name = "ps2-port", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(Ps2Port, answers, &ps2_queue_state),
        STATE_STRUCT(Ps2Port, events, &ps2_queue_state),
        STATE_U8(Ps2Port, last), STATE_U8(Ps2Port, command), {}
    },
};
