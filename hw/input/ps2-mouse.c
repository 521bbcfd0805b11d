/*
 * PS/2 mouse; with the knocks that Microsoft introduced also one with a wheel
 * (IntelliMouse) or five buttons (IntelliMouse Explorer).
 *
 * Spec:   IBM PS/2 technical reference, "Auxiliary Device"; Microsoft,
 *         "Building PS/2 wheel mice".
 * Models: all commands, stream, remote and wrap mode, sample rates, scaling.
 *         The resolution is stored: movement comes in counts already.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "hw/input/i8042.h"
#include "ps2.h"

enum {
    MOUSE_CMD_SCALING_1    = 0xe6,
    MOUSE_CMD_SCALING_2    = 0xe7,
    MOUSE_CMD_RESOLUTION   = 0xe8,
    MOUSE_CMD_STATUS       = 0xe9,
    MOUSE_CMD_STREAM       = 0xea,
    MOUSE_CMD_READ_DATA    = 0xeb,
    MOUSE_CMD_RESET_WRAP   = 0xec,
    MOUSE_CMD_SET_WRAP     = 0xee,
    MOUSE_CMD_REMOTE       = 0xf0,
    MOUSE_CMD_SAMPLE_RATE  = 0xf3,

    STATUS_RIGHT     = 0x01,
    STATUS_MIDDLE    = 0x02,
    STATUS_LEFT      = 0x04,
    STATUS_SCALING_2 = 0x10,
    STATUS_REPORTING = 0x20,
    STATUS_REMOTE    = 0x40,

    PACKET_BUTTONS   = 0x07,
    PACKET_ONE       = 0x08,    /* always set */
    PACKET_X_SIGN    = 0x10,
    PACKET_Y_SIGN    = 0x20,

    ID_WHEEL = 3, ID_EXPLORER = 4,
    MOVE_MAX = 255, WHEEL_MAX = 7,
    /* More than this is not kept for a guest that does not read. */
    BACKLOG_MAX = 4096,
};

/* --- packets -------------------------------------------------------------- */

static bool moved(const Ps2Mouse *s)
{
    return s->changed || s->dx || s->dy || (s->dz && s->id);
}

/* Take from *v what a packet can carry. */
static int take(int32_t *v, int max)
{
    int n = CLAMP(*v, -max, max);

    *v -= n;
    return n;
}

/* Scaling 2:1, in stream mode only. */
static int scale(const Ps2Mouse *s, int v)
{
    static const uint8_t small[] = { 0, 1, 1, 3, 6, 9 };
    unsigned n = ABS(v);

    if (!s->scaling || s->remote) {
        return v;
    }
    n = n < G_N_ELEMENTS(small) ? small[n] : MIN(2 * n, MOVE_MAX);
    return v < 0 ? -(int)n : (int)n;
}

static unsigned make_packet(Ps2Mouse *s, uint8_t packet[4])
{
    int dx = scale(s, take(&s->dx, MOVE_MAX));
    int dy = scale(s, take(&s->dy, MOVE_MAX));
    int dz = take(&s->dz, WHEEL_MAX);

    s->changed = false;
    packet[0] = PACKET_ONE | (s->buttons & PACKET_BUTTONS)
                | (dx < 0 ? PACKET_X_SIGN : 0) | (dy < 0 ? PACKET_Y_SIGN : 0);
    packet[1] = dx;
    packet[2] = dy;
    switch (s->id) {
    case ID_WHEEL:
        packet[3] = dz;
        return 4;
    case ID_EXPLORER:
        packet[3] = (dz & 0x0f) | (s->buttons & PS2_BUTTON_SIDE ? 0x10 : 0)
                    | (s->buttons & PS2_BUTTON_EXTRA ? 0x20 : 0);
        return 4;
    default:
        return 3;
    }
}

/* Stream mode: one packet a sample, when the last one has been taken. */
static void stream(Ps2Mouse *s)
{
    uint8_t packet[4];

    if (!s->reporting || s->remote || s->wrap || !moved(s)
        || s->port.events.n || timer_pending(&s->next_packet)) {
        return;
    }
    unsigned n = make_packet(s, packet);

    ps2_queue_put(&s->port.events, packet, n);
    timer_mod(&s->next_packet, clock_ns(CLK_VIRTUAL)
                               + NS_PER_SEC / MAX(s->rate, 1));
    s->port.wake(s->port.opaque);
}

static void mouse_on_sample(void *opaque)
{
    stream(opaque);
}

void ps2_mouse_drained(Ps2Mouse *s)
{
    stream(s);
}

void ps2_mouse_input(Ps2Mouse *s, int dx, int dy, int dz, uint8_t buttons)
{
    trace("ps2-mouse", "dx %d dy %d dz %d buttons 0x%x", dx, dy, dz, buttons);
    if (!s->reporting && !s->remote) {
        dx = dy = dz = 0;       /* nobody will ask for it */
    }
    s->dx = CLAMP((int64_t)s->dx + dx, -BACKLOG_MAX, BACKLOG_MAX);
    s->dy = CLAMP((int64_t)s->dy + dy, -BACKLOG_MAX, BACKLOG_MAX);
    s->dz = CLAMP((int64_t)s->dz + dz, -BACKLOG_MAX, BACKLOG_MAX);
    s->changed |= buttons != s->buttons;
    s->buttons = buttons;
    stream(s);
}

/* --- commands ---------------------------------------------------------------- */

static void set_defaults(Ps2Mouse *s)
{
    s->reporting = s->remote = s->wrap = s->scaling = false;
    s->resolution = 2;
    s->rate = 100;
    s->port.command = 0;
    s->changed = false;
    s->dx = s->dy = s->dz = 0;
}

/* Set rate 200, 100, 80: a wheel; 200, 200, 80: five buttons. */
static void set_rate(Ps2Mouse *s, uint8_t rate)
{
    if (rate == 80 && s->knock[0] == 200) {
        if (s->knock[1] == 100) {
            s->id = ID_WHEEL;
        } else if (s->knock[1] == 200) {
            s->id = ID_EXPLORER;
        }
    }
    s->knock[0] = s->knock[1];
    s->knock[1] = rate;
    s->rate = rate;
}

static bool valid_rate(uint8_t rate)
{
    static const uint8_t rates[] = { 10, 20, 40, 60, 80, 100, 200 };

    return memchr(rates, rate, sizeof(rates)) != NULL;
}

static void write_parameter(Ps2Mouse *s, uint8_t command, uint8_t val)
{
    bool good = command == MOUSE_CMD_SAMPLE_RATE ? valid_rate(val) : val < 4;

    if (!good) {
        ps2_answer(&s->port, PS2_RESEND);
        return;
    }
    if (command == MOUSE_CMD_SAMPLE_RATE) {
        set_rate(s, val);
    } else {
        s->resolution = val;
    }
    ps2_answer(&s->port, PS2_ACK);
}

static void answer_status(Ps2Mouse *s)
{
    ps2_answer(&s->port,
               (s->buttons & PS2_BUTTON_RIGHT ? STATUS_RIGHT : 0)
               | (s->buttons & PS2_BUTTON_MIDDLE ? STATUS_MIDDLE : 0)
               | (s->buttons & PS2_BUTTON_LEFT ? STATUS_LEFT : 0)
               | (s->scaling ? STATUS_SCALING_2 : 0)
               | (s->reporting ? STATUS_REPORTING : 0)
               | (s->remote ? STATUS_REMOTE : 0));
    ps2_answer(&s->port, s->resolution);
    ps2_answer(&s->port, s->rate);
}

static void answer_packet(Ps2Mouse *s)
{
    uint8_t packet[4];
    unsigned n = make_packet(s, packet);

    for (unsigned i = 0; i < n; i++) {
        ps2_answer(&s->port, packet[i]);
    }
}

/* Commands that are acknowledged first.  False: unknown. */
static bool write_command(Ps2Mouse *s, uint8_t val)
{
    switch (val) {
    case MOUSE_CMD_SCALING_1:
    case MOUSE_CMD_SCALING_2:
        s->scaling = val == MOUSE_CMD_SCALING_2;
        break;
    case MOUSE_CMD_RESOLUTION:
    case MOUSE_CMD_SAMPLE_RATE:
        s->port.command = val;
        break;
    case MOUSE_CMD_STREAM:
    case MOUSE_CMD_REMOTE:
        s->remote = val == MOUSE_CMD_REMOTE;
        break;
    case MOUSE_CMD_SET_WRAP:
    case MOUSE_CMD_RESET_WRAP:
        s->wrap = val == MOUSE_CMD_SET_WRAP;
        break;
    case PS2_CMD_ENABLE:
    case PS2_CMD_DISABLE:
        s->reporting = val == PS2_CMD_ENABLE;
        break;
    case PS2_CMD_SET_DEFAULTS:
        set_defaults(s);
        break;
    case PS2_CMD_RESET:
        ps2_mouse_power_on(s);
        break;
    case MOUSE_CMD_STATUS:
    case MOUSE_CMD_READ_DATA:
    case PS2_CMD_GET_ID:
        break;
    default:
        return false;
    }
    return true;
}

void ps2_mouse_write(Ps2Mouse *s, uint8_t val)
{
    uint8_t command = s->port.command;

    trace("ps2-mouse-write", "val 0x%02x", val);
    s->port.command = 0;
    s->port.answers.n = 0;
    s->port.events.n = 0;       /* half a packet would confuse the guest */
    if (s->wrap && val != PS2_CMD_RESET && val != MOUSE_CMD_RESET_WRAP) {
        ps2_answer(&s->port, val);
        return;
    }
    if (command) {
        write_parameter(s, command, val);
        return;
    }
    if (val == PS2_CMD_RESEND) {
        ps2_answer(&s->port, s->port.last);
        return;
    }
    if (!write_command(s, val)) {
        ps2_answer(&s->port, PS2_RESEND);
        return;
    }
    ps2_answer(&s->port, PS2_ACK);
    switch (val) {
    case MOUSE_CMD_STATUS:
        answer_status(s);
        break;
    case MOUSE_CMD_READ_DATA:
        answer_packet(s);
        break;
    case PS2_CMD_GET_ID:
        ps2_answer(&s->port, s->id);
        break;
    case PS2_CMD_RESET:
        ps2_answer(&s->port, PS2_BAT_OK);
        ps2_answer(&s->port, s->id);
        break;
    case PS2_CMD_ENABLE:
        stream(s);
        break;
    }
}

/* --- life ---------------------------------------------------------------------- */

void ps2_mouse_power_on(Ps2Mouse *s)
{
    s->port.answers = (Ps2Queue) {};
    s->port.events = (Ps2Queue) {};
    s->port.last = 0;
    s->buttons = 0;
    s->id = 0;
    s->knock[0] = s->knock[1] = 0;
    timer_del(&s->next_packet);
    set_defaults(s);
}

void ps2_mouse_init(Ps2Mouse *s, Loop *loop)
{
    timer_init(&s->next_packet, loop, CLK_VIRTUAL, mouse_on_sample, s);
}

void ps2_mouse_destroy(Ps2Mouse *s)
{
    timer_del(&s->next_packet);
}

static bool mouse_post_load(void *opaque, int version, GError **err)
{
    Ps2Mouse *s = opaque;

    s->dx = CLAMP(s->dx, -BACKLOG_MAX, BACKLOG_MAX);
    s->dy = CLAMP(s->dy, -BACKLOG_MAX, BACKLOG_MAX);
    s->dz = CLAMP(s->dz, -BACKLOG_MAX, BACKLOG_MAX);
    return true;
}

const State ps2_mouse_state = {
    .name = "ps2-mouse", .version = 1, .post_load = mouse_post_load,
    .fields = (const StateField[]) {
        STATE_STRUCT(Ps2Mouse, port, &ps2_port_state),
        STATE_BOOL(Ps2Mouse, reporting), STATE_BOOL(Ps2Mouse, remote),
        STATE_BOOL(Ps2Mouse, wrap), STATE_BOOL(Ps2Mouse, scaling),
        STATE_U8(Ps2Mouse, resolution), STATE_U8(Ps2Mouse, rate),
        STATE_U8(Ps2Mouse, id), STATE_U8_ARRAY(Ps2Mouse, knock),
        STATE_U8(Ps2Mouse, buttons), STATE_BOOL(Ps2Mouse, changed),
        STATE_I32(Ps2Mouse, dx), STATE_I32(Ps2Mouse, dy),
        STATE_I32(Ps2Mouse, dz), STATE_TIMER(Ps2Mouse, next_packet), {}
    },
};
