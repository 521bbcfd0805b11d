/*
 * 8042 keyboard and mouse controller at ports 60h and 64h, with the A20 gate
 * and the processor's reset.
 *
 * Spec:   IBM PS/2 technical reference, "Keyboard and Auxiliary Device
 *         Controller"; Intel 8242 datasheet (order 290415).
 * Models: all commands but the password (there is none) and the diagnostic
 *         dump.  Bytes pass at once, except that one scan code or movement
 *         byte follows another by THROTTLE_NS: some handlers read port 60h
 *         twice.
 *
 * A byte goes: device queue -> (translation) -> output buffer -> guest.  The
 * output buffer holds one byte; while it is full, nothing moves, and the
 * interrupt line of where the byte came from is high.
 *
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/log.h"
#include "base/opts.h"
#include "base/trace.h"
#include "core/machine.h"
#include "hw/input/i8042.h"
#include "hw/isa/isa.h"
#include "i8042-tables.h"
#include "ps2.h"

#define PORT_DATA    0x60
#define PORT_COMMAND 0x64
#define THROTTLE_NS  (500 * NS_PER_US)
#define N_RAM        32

enum {                          /* status register */
    STATUS_OBF    = 0x01,       /* output buffer full */
    STATUS_SYS    = 0x04,
    STATUS_CMD    = 0x08,       /* the last write was to port 64h */
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX    = 0x20,       /* and its byte is the mouse's */
};

enum {                          /* command byte: RAM byte 0 */
    CTR_KBD_INT   = 0x01,
    CTR_AUX_INT   = 0x02,
    CTR_SYS       = 0x04,
    CTR_KBD_OFF   = 0x10,
    CTR_AUX_OFF   = 0x20,
    CTR_XLATE     = 0x40,
};

enum {                          /* output port */
    OUT_NOT_RESET = 0x01,
    OUT_A20       = 0x02,
    OUT_KBD_OBF   = 0x10,
    OUT_AUX_OBF   = 0x20,
    OUT_IDLE      = 0xcc,       /* clocks and data of both lines */
};

enum {
    CMD_READ_RAM      = 0x20,   /* to 3Fh */
    CMD_WRITE_RAM     = 0x60,   /* to 7Fh */
    CMD_PASSWORD      = 0xa4,   /* is one installed? */
    CMD_LOAD_PASSWORD = 0xa5,
    CMD_AUX_OFF       = 0xa7,
    CMD_AUX_ON        = 0xa8,
    CMD_TEST_AUX      = 0xa9,
    CMD_SELF_TEST     = 0xaa,
    CMD_TEST_KBD      = 0xab,
    CMD_KBD_OFF       = 0xad,
    CMD_KBD_ON        = 0xae,
    CMD_VERSION       = 0xaf,
    CMD_READ_INPUT    = 0xc0,
    CMD_READ_OUTPUT   = 0xd0,
    CMD_WRITE_OUTPUT  = 0xd1,
    CMD_WRITE_KBD_OBF = 0xd2,
    CMD_WRITE_AUX_OBF = 0xd3,
    CMD_WRITE_AUX     = 0xd4,
    CMD_A20_OFF       = 0xdd,
    CMD_A20_ON        = 0xdf,
    CMD_READ_TEST     = 0xe0,
    CMD_PULSE         = 0xf0,   /* to FFh: bits that are 0 are pulsed low */

    NO_PASSWORD       = 0xf1,
    SELF_TEST_OK      = 0x55,
    LINE_TEST_OK      = 0x00,
    INPUT_UNLOCKED    = 0x80,
    TEST_CLOCKS_HIGH  = 0x03,
    BREAK_PREFIX      = 0xf0,
};

enum { FROM_CONTROLLER, FROM_KBD, FROM_AUX };

typedef struct {
    IsaDevice isa;
    Region data_io, command_io;
    Irq kbd_irq, aux_irq;       /* out: IRQ 1, IRQ 12 */
    uint8_t kbd_line, aux_line; /* properties */
    bool throttle;              /* property */

    uint8_t ram[N_RAM];         /* the first is the command byte */
    uint8_t command;            /* whose parameter comes next, or 0 */
    bool status_cmd, sys;
    uint8_t obf_data;           /* stays when it has been read */
    bool obf;
    uint8_t obf_from;
    bool xlate_break;           /* translation has seen a break prefix */
    Ps2Queue replies;           /* the controller's own */
    Ps2Kbd kbd;
    Ps2Mouse mouse;
    Timer next_event;           /* pending: events wait */
} I8042;

static I8042 *i8042_of(Device *dev)
{
    return container_of(dev, I8042, isa.dev);
}

/* --- output buffer ---------------------------------------------------------- */

static void drive(I8042 *s)
{
    bool aux = s->obf_from == FROM_AUX;

    irq_set(&s->kbd_irq, s->obf && !aux && (s->ram[0] & CTR_KBD_INT));
    irq_set(&s->aux_irq, s->obf && aux && (s->ram[0] & CTR_AUX_INT));
}

static void put_obf(I8042 *s, uint8_t byte, uint8_t from)
{
    s->obf_data = byte;
    s->obf = true;
    s->obf_from = from;
}

/* One byte from the keyboard, in the set that the guest wants.  False: a
 * break prefix, which translation joins to the next byte. */
static bool translate(I8042 *s, uint8_t *byte)
{
    if (!(s->ram[0] & CTR_XLATE)) {
        s->xlate_break = false;
        return true;
    }
    if (*byte == BREAK_PREFIX) {
        s->xlate_break = true;
        return false;
    }
    *byte = i8042_translate(*byte) | (s->xlate_break ? 0x80 : 0);
    s->xlate_break = false;
    return true;
}

/* May the device speak?  Events wait for their turn; answers do not. */
static bool may_take(const I8042 *s, const Ps2Port *p)
{
    return p->answers.n || (p->events.n && !timer_pending(&s->next_event));
}

static void event_taken(I8042 *s)
{
    if (s->throttle) {
        timer_mod(&s->next_event, clock_ns(CLK_VIRTUAL) + THROTTLE_NS);
    }
}

static void refill(I8042 *s)
{
    uint8_t byte;
    bool event;

    if (!s->obf && s->replies.n) {
        put_obf(s, ps2_queue_get(&s->replies), FROM_CONTROLLER);
    }
    while (!s->obf && !(s->ram[0] & CTR_KBD_OFF)
           && may_take(s, &s->kbd.port)) {
        ps2_port_get(&s->kbd.port, &byte, &event);
        if (translate(s, &byte)) {
            put_obf(s, byte, FROM_KBD);
            if (event) {
                event_taken(s);
            }
        }
    }
    if (!s->obf && !(s->ram[0] & CTR_AUX_OFF)
        && may_take(s, &s->mouse.port)) {
        ps2_port_get(&s->mouse.port, &byte, &event);
        put_obf(s, byte, FROM_AUX);
        if (event) {
            event_taken(s);
        }
        ps2_mouse_drained(&s->mouse);
    }
    drive(s);
}

static void i8042_wake(void *opaque)
{
    refill(opaque);
}

static void reply(I8042 *s, uint8_t byte)
{
    ps2_queue_put(&s->replies, &byte, 1);
}

/* --- output port -------------------------------------------------------------- */

static uint8_t read_output_port(const I8042 *s)
{
    return OUT_IDLE | OUT_NOT_RESET | (isa_a20() ? OUT_A20 : 0)
           | (s->obf && s->obf_from != FROM_AUX ? OUT_KBD_OBF : 0)
           | (s->obf && s->obf_from == FROM_AUX ? OUT_AUX_OBF : 0);
}

static void write_output_port(I8042 *s, uint8_t val)
{
    isa_set_a20(val & OUT_A20);
    if (!(val & OUT_NOT_RESET)) {
        machine_request_reset(SHUTDOWN_GUEST_RESET);
    }
}

/* --- registers ---------------------------------------------------------------- */

static void write_ram(I8042 *s, unsigned at, uint8_t val)
{
    s->ram[at] = val;
    if (at == 0) {
        s->sys = val & CTR_SYS;
    }
}

static void write_command(I8042 *s, uint8_t val)
{
    s->command = 0;
    if (val >= CMD_PULSE) {
        if (!(val & OUT_NOT_RESET)) {
            machine_request_reset(SHUTDOWN_GUEST_RESET);
        }
        return;
    }
    if (val >= CMD_READ_RAM && val < CMD_READ_RAM + N_RAM) {
        reply(s, s->ram[val - CMD_READ_RAM]);
        return;
    }
    if (val >= CMD_WRITE_RAM && val < CMD_WRITE_RAM + N_RAM) {
        s->command = val;
        return;
    }
    switch (val) {
    case CMD_PASSWORD:
        reply(s, NO_PASSWORD);
        break;
    case CMD_AUX_OFF:
        s->ram[0] |= CTR_AUX_OFF;
        break;
    case CMD_AUX_ON:
        s->ram[0] &= ~CTR_AUX_OFF;
        break;
    case CMD_KBD_OFF:
        s->ram[0] |= CTR_KBD_OFF;
        break;
    case CMD_KBD_ON:
        s->ram[0] &= ~CTR_KBD_OFF;
        break;
    case CMD_TEST_AUX:
    case CMD_TEST_KBD:
        reply(s, LINE_TEST_OK);
        break;
    case CMD_SELF_TEST:
        s->sys = true;
        s->ram[0] |= CTR_SYS;
        reply(s, SELF_TEST_OK);
        break;
    case CMD_VERSION:
        reply(s, 0);
        break;
    case CMD_READ_INPUT:
        reply(s, INPUT_UNLOCKED);
        break;
    case CMD_READ_OUTPUT:
        reply(s, read_output_port(s));
        break;
    case CMD_READ_TEST:
        reply(s, TEST_CLOCKS_HIGH);
        break;
    case CMD_A20_OFF:
    case CMD_A20_ON:
        isa_set_a20(val == CMD_A20_ON);
        break;
    case CMD_LOAD_PASSWORD:
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_OBF:
    case CMD_WRITE_AUX_OBF:
    case CMD_WRITE_AUX:
        s->command = val;
        break;
    default:
        guest_error("i8042", "unknown command 0x%02x", val);
        break;
    }
}

static void write_data(I8042 *s, uint8_t val)
{
    uint8_t command = s->command;

    s->command = 0;
    switch (command) {
    case 0:
        /* Speaking to the keyboard switches its line on. */
        s->ram[0] &= ~CTR_KBD_OFF;
        s->xlate_break = false;
        ps2_kbd_write(&s->kbd, val);
        break;
    case CMD_LOAD_PASSWORD:
        if (val) {
            s->command = command;       /* a 0 ends it */
        }
        break;
    case CMD_WRITE_OUTPUT:
        write_output_port(s, val);
        break;
    case CMD_WRITE_KBD_OBF:
        put_obf(s, val, FROM_KBD);
        break;
    case CMD_WRITE_AUX_OBF:
        put_obf(s, val, FROM_AUX);
        break;
    case CMD_WRITE_AUX:
        s->ram[0] &= ~CTR_AUX_OFF;
        ps2_mouse_write(&s->mouse, val);
        break;
    default:
        write_ram(s, command % N_RAM, val);
        break;
    }
}

static uint64_t data_read(void *opaque, hwaddr reg, unsigned size)
{
    I8042 *s = opaque;
    uint8_t val = s->obf_data;

    s->obf = false;
    drive(s);                   /* each byte gives an edge */
    refill(s);
    return val;
}

static void data_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    I8042 *s = opaque;

    trace("i8042-data", "val 0x%02" PRIx64 " for command 0x%02x", val,
          s->command);
    s->status_cmd = false;
    write_data(s, val);
    refill(s);
}

static uint64_t command_read(void *opaque, hwaddr reg, unsigned size)
{
    const I8042 *s = opaque;

    return STATUS_UNLOCKED | (s->obf ? STATUS_OBF : 0)
           | (s->obf && s->obf_from == FROM_AUX ? STATUS_AUX : 0)
           | (s->sys ? STATUS_SYS : 0) | (s->status_cmd ? STATUS_CMD : 0);
}

static void command_write(void *opaque, hwaddr reg, uint64_t val,
                          unsigned size)
{
    I8042 *s = opaque;

    trace("i8042-command", "val 0x%02" PRIx64, val);
    s->status_cmd = true;
    write_command(s, val);
    refill(s);
}

static const IoOps data_ops = {
    .read = data_read, .write = data_write, .size_min = 1, .size_max = 1,
};

static const IoOps command_ops = {
    .read = command_read, .write = command_write, .size_min = 1, .size_max = 1,
};

/* --- the user's side ------------------------------------------------------------ */

void ps2_kbd_key(Device *dev, uint8_t key, bool down)
{
    ps2_kbd_event(&i8042_of(dev)->kbd, key, down);
}

uint8_t ps2_kbd_leds(Device *dev)
{
    return i8042_of(dev)->kbd.leds;
}

void ps2_mouse_event(Device *dev, int dx, int dy, int dz, uint8_t buttons)
{
    ps2_mouse_input(&i8042_of(dev)->mouse, dx, dy, dz, buttons);
}

/* --- device ------------------------------------------------------------------------ */

/* What firmware leaves: interrupts on, scan codes translated; but SYS still
 * tells a BIOS that this is a cold start. */
static void i8042_reset(Device *dev)
{
    I8042 *s = i8042_of(dev);

    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = CTR_KBD_INT | CTR_AUX_INT | CTR_XLATE;
    s->command = 0;
    s->status_cmd = true;
    s->sys = false;
    s->obf = s->xlate_break = false;
    s->obf_data = 0;
    s->obf_from = FROM_CONTROLLER;
    s->replies = (Ps2Queue) {};
    timer_del(&s->next_event);
    ps2_kbd_power_on(&s->kbd);
    ps2_mouse_power_on(&s->mouse);
    isa_set_a20(true);
    drive(s);
}

static void i8042_update(Device *dev)
{
    refill(i8042_of(dev));
}

static bool i8042_realize(Device *dev, GError **err)
{
    I8042 *s = i8042_of(dev);

    if (s->kbd_line >= ISA_N_IRQS || s->aux_line >= ISA_N_IRQS) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "i8042: kbd-irq %u or mouse-irq %u is not 0 to %d",
                    s->kbd_line, s->aux_line, ISA_N_IRQS - 1);
        return false;
    }
    isa_map_io(&s->isa, PORT_DATA, &s->data_io, &data_ops, s, "i8042-data", 1,
               NULL);
    isa_map_io(&s->isa, PORT_COMMAND, &s->command_io, &command_ops, s,
               "i8042-cmd", 1, NULL);
    if (!s->kbd_irq.set) {
        s->kbd_irq = isa_irq(&s->isa, s->kbd_line);
    }
    if (!s->aux_irq.set) {
        s->aux_irq = isa_irq(&s->isa, s->aux_line);
    }
    timer_init(&s->next_event, dev->loop, CLK_VIRTUAL, i8042_wake, s);
    ps2_kbd_init(&s->kbd, dev->loop);
    ps2_mouse_init(&s->mouse, dev->loop);
    s->kbd.port.wake = s->mouse.port.wake = i8042_wake;
    s->kbd.port.opaque = s->mouse.port.opaque = s;
    i8042_reset(dev);
    return true;
}

static void i8042_unrealize(Device *dev)
{
    I8042 *s = i8042_of(dev);

    timer_del(&s->next_event);
    ps2_kbd_destroy(&s->kbd);
    ps2_mouse_destroy(&s->mouse);
    isa_irq_release(&s->isa, &s->kbd_irq);
    isa_irq_release(&s->isa, &s->aux_irq);
    isa_unmap_io(&s->isa, &s->command_io);
    isa_unmap_io(&s->isa, &s->data_io);
}

static const Property i8042_props[] = {
    PROP_U8(I8042, kbd_line, "kbd-irq", 1, "the keyboard's interrupt line"),
    PROP_U8(I8042, aux_line, "mouse-irq", 12, "the mouse's interrupt line"),
    PROP_BOOL(I8042, throttle, "kbd-throttle", true,
              "half a millisecond between events, for handlers that read "
              "port 60h twice"),
    {}
};

static const Output i8042_outputs[] = {
    OUTPUT(I8042, kbd_irq, "kbd-irq"), OUTPUT(I8042, aux_irq, "mouse-irq"), {}
};

static bool i8042_post_load(void *opaque, int version, GError **err)
{
    const I8042 *s = opaque;
    uint8_t c = s->command;

    return s->obf_from <= FROM_AUX
           && (c == 0 || (c >= CMD_WRITE_RAM && c < CMD_WRITE_RAM + N_RAM)
               || c == CMD_LOAD_PASSWORD
               || (c >= CMD_WRITE_OUTPUT && c <= CMD_WRITE_AUX));
}

static const State i8042_state = {
    .name = "i8042", .version = 1, .post_load = i8042_post_load,
    .fields = (const StateField[]) {
        STATE_BYTES(I8042, ram), STATE_U8(I8042, command),
        STATE_BOOL(I8042, status_cmd), STATE_BOOL(I8042, sys),
        STATE_U8(I8042, obf_data), STATE_BOOL(I8042, obf),
        STATE_U8(I8042, obf_from), STATE_BOOL(I8042, xlate_break),
        STATE_STRUCT(I8042, replies, &ps2_queue_state),
        STATE_STRUCT(I8042, kbd, &ps2_kbd_state),
        STATE_STRUCT(I8042, mouse, &ps2_mouse_state),
        STATE_TIMER(I8042, next_event), {}
    },
};

const DeviceType i8042_type = {
    .name = "i8042", .doc = "PS/2 keyboard and mouse",
    .parent = &isa_device_type, .size = sizeof(I8042),
    .props = i8042_props, .outputs = i8042_outputs, .state = &i8042_state,
    .realize = i8042_realize, .unrealize = i8042_unrealize,
    .reset = i8042_reset, .update = i8042_update,
};
DEVICE_TYPE(i8042_type)
