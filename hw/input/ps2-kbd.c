/*
 * PS/2 keyboard, 102 keys and the multimedia ones.
 *
 * Spec:   IBM PS/2 technical reference, "Keyboards (101- and 102-Key)".
 * Models: all commands, scan code sets 1 to 3, typematic repeat, key types of
 *         set 3.  Left out: the shifts that a real keyboard puts around
 *         cursor keys while Num Lock is on, which systems filter out again.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "hw/input/i8042.h"
#include "i8042-tables.h"
#include "ps2.h"

enum {
    KBD_CMD_SET_LEDS   = 0xed,
    KBD_CMD_ECHO       = 0xee,
    KBD_CMD_SCAN_SET   = 0xf0,
    KBD_CMD_TYPEMATIC  = 0xf3,
    KBD_CMD_ALL_TYPEMATIC = 0xf7,       /* set 3 from here ... */
    KBD_CMD_ALL_MAKE_BREAK = 0xf8,
    KBD_CMD_ALL_MAKE   = 0xf9,
    KBD_CMD_ALL_BOTH   = 0xfa,
    KBD_CMD_KEY_TYPEMATIC = 0xfb,
    KBD_CMD_KEY_MAKE_BREAK = 0xfc,
    KBD_CMD_KEY_MAKE   = 0xfd,          /* ... to here */

    KBD_ID_1 = 0xab, KBD_ID_2 = 0x83,
    KBD_OVERRUN_SET1 = 0xff, KBD_OVERRUN = 0x00,

    TYPEMATIC_DEFAULT = 0x2b,           /* 10.9 a second after 500 ms */
    BREAK_PREFIX = 0xf0,
};

/* Bits of set3_types */
enum { KEY_TYPEMATIC = 1, KEY_BREAK = 2 };

enum { KEY_L_CTRL = 0x1d, KEY_R_CTRL = 0x9d, KEY_L_SHIFT = 0x2a,
       KEY_R_SHIFT = 0x36, KEY_L_ALT = 0x38, KEY_R_ALT = 0xb8 };

/* --- keys ------------------------------------------------------------------ */

static bool is_down(const Ps2Kbd *s, uint8_t key)
{
    return s->down[key / 8] & BIT(key % 8);
}

/* The code of `key` in sets 1 and 2, whatever stands before it. */
static uint8_t code_of(const Ps2Kbd *s, uint8_t key)
{
    return s->set == 1 ? key & 0x7f : i8042_untranslate(key & 0x7f);
}

static unsigned put_code(const Ps2Kbd *s, uint8_t *to, uint8_t prefix,
                         uint8_t code, bool down)
{
    unsigned n = 0;

    if (prefix) {
        to[n++] = prefix;
    }
    if (!down && s->set != 1) {
        to[n++] = BREAK_PREFIX;
    }
    to[n++] = !down && s->set == 1 ? code | 0x80 : code;
    return n;
}

/* Pause says everything at once and nothing when it is let go. */
static unsigned put_pause(const Ps2Kbd *s, uint8_t *to, bool down)
{
    bool ctrl = is_down(s, KEY_L_CTRL) || is_down(s, KEY_R_CTRL);
    uint8_t first = s->set == 1 ? 0x1d : 0x14;
    uint8_t second = s->set == 1 ? 0x45 : 0x77;
    unsigned n = 0;

    if (!down) {
        return 0;
    }
    if (ctrl) {                 /* Break */
        first = s->set == 1 ? 0x46 : 0x7e;
        n += put_code(s, to + n, 0xe0, first, true);
        n += put_code(s, to + n, 0xe0, first, false);
        return n;
    }
    n += put_code(s, to + n, 0xe1, first, true);
    n += put_code(s, to + n, 0, second, true);
    n += put_code(s, to + n, 0xe1, first, false);
    n += put_code(s, to + n, 0, second, false);
    return n;
}

/* Print Screen is SysRq with Alt, and comes with a shift of its own unless
 * Ctrl or Shift is held. */
static unsigned put_print(const Ps2Kbd *s, uint8_t *to, bool down)
{
    bool alt = is_down(s, KEY_L_ALT) || is_down(s, KEY_R_ALT);
    bool plain = !is_down(s, KEY_L_CTRL) && !is_down(s, KEY_R_CTRL)
                 && !is_down(s, KEY_L_SHIFT) && !is_down(s, KEY_R_SHIFT);
    uint8_t shift = s->set == 1 ? 0x2a : 0x12;
    uint8_t print = s->set == 1 ? 0x37 : 0x7c;
    unsigned n = 0;

    if (alt) {
        return put_code(s, to, 0, s->set == 1 ? 0x54 : 0x84, down);
    }
    if (plain && down) {
        n += put_code(s, to + n, 0xe0, shift, true);
    }
    n += put_code(s, to + n, 0xe0, print, down);
    if (plain && !down) {
        n += put_code(s, to + n, 0xe0, shift, false);
    }
    return n;
}

static unsigned put_set3(const Ps2Kbd *s, uint8_t *to, uint8_t key, bool down)
{
    uint8_t code = i8042_set3_code(key);

    if (!code || code >= PS2_N_SET3_CODES
        || (!down && !(s->set3_types[code] & KEY_BREAK))) {
        return 0;
    }
    return put_code(s, to, 0, code, down);
}

static void send_key(Ps2Kbd *s, uint8_t key, bool down)
{
    uint8_t lost = s->set == 1 ? KBD_OVERRUN_SET1 : KBD_OVERRUN;
    uint8_t bytes[8];
    unsigned n;

    if (s->set == 3) {
        n = put_set3(s, bytes, key, down);
    } else if (key == PS2_KEY_PAUSE) {
        n = put_pause(s, bytes, down);
    } else if (key == PS2_KEY_PRINT) {
        n = put_print(s, bytes, down);
    } else {
        n = put_code(s, bytes, key & 0x80 ? 0xe0 : 0, code_of(s, key), down);
    }
    if (n == 0) {
        return;
    }
    /* The last place is kept for the byte that says "keys were lost". */
    if (s->port.events.n + n < PS2_QUEUE_BYTES) {
        ps2_queue_put(&s->port.events, bytes, n);
    } else if (ps2_queue_tail(&s->port.events) != lost) {
        ps2_queue_put(&s->port.events, &lost, 1);
    }
    s->port.wake(s->port.opaque);
}

/* --- typematic --------------------------------------------------------------- */

static int64_t repeat_delay_ns(const Ps2Kbd *s)
{
    return (s->typematic >> 5 & 3) * 250 * NS_PER_MS + 250 * NS_PER_MS;
}

static int64_t repeat_period_ns(const Ps2Kbd *s)
{
    return (8 + (s->typematic & 7)) * (1 << (s->typematic >> 3 & 3))
           * 4170 * NS_PER_US;
}

static bool repeats(const Ps2Kbd *s, uint8_t key)
{
    uint8_t code = i8042_set3_code(key);

    if (s->set != 3) {
        return key != PS2_KEY_PAUSE;
    }
    return code < PS2_N_SET3_CODES && (s->set3_types[code] & KEY_TYPEMATIC);
}

static void kbd_on_repeat(void *opaque)
{
    Ps2Kbd *s = opaque;

    if (!s->scanning || !is_down(s, s->repeat_key)) {
        return;
    }
    /* A guest that does not listen gets no flood of the same key. */
    if (s->port.events.n == 0) {
        send_key(s, s->repeat_key, true);
    }
    timer_mod(&s->repeat, clock_ns(CLK_VIRTUAL) + repeat_period_ns(s));
}

void ps2_kbd_event(Ps2Kbd *s, uint8_t key, bool down)
{
    trace("ps2-key", "key 0x%02x down %d", key, down);
    if (is_down(s, key) == down) {
        return;                 /* the host repeats: we do that ourselves */
    }
    if (!down) {
        s->down[key / 8] &= ~BIT(key % 8);
        if (key == s->repeat_key) {
            timer_del(&s->repeat);
        }
        if (s->scanning) {
            send_key(s, key, false);
        }
        return;
    }
    if (s->scanning) {
        send_key(s, key, true);
    }
    s->down[key / 8] |= BIT(key % 8);
    s->repeat_key = key;
    if (repeats(s, key)) {
        timer_mod(&s->repeat, clock_ns(CLK_VIRTUAL) + repeat_delay_ns(s));
    } else {
        timer_del(&s->repeat);
    }
}

/* --- commands ----------------------------------------------------------------- */

static void set_defaults(Ps2Kbd *s)
{
    s->typematic = TYPEMATIC_DEFAULT;
    s->set = 2;
    i8042_set3_defaults(s->set3_types, PS2_N_SET3_CODES, KEY_TYPEMATIC,
                        KEY_BREAK);
    s->port.command = 0;
}

static void clear_events(Ps2Kbd *s)
{
    s->port.events.n = 0;
    timer_del(&s->repeat);
}

static void write_parameter(Ps2Kbd *s, uint8_t command, uint8_t val)
{
    switch (command) {
    case KBD_CMD_SET_LEDS:
        s->leds = val & 7;
        ps2_answer(&s->port, PS2_ACK);
        return;
    case KBD_CMD_TYPEMATIC:
        s->typematic = val & 0x7f;
        ps2_answer(&s->port, PS2_ACK);
        return;
    case KBD_CMD_SCAN_SET:
        if (val > 3) {
            ps2_answer(&s->port, PS2_RESEND);
            return;
        }
        ps2_answer(&s->port, PS2_ACK);
        if (val == 0) {
            ps2_answer(&s->port, s->set);
        } else {
            clear_events(s);
            s->set = val;
        }
        return;
    default:                    /* types of single keys, until a command */
        s->port.command = command;
        if (val < PS2_N_SET3_CODES) {
            s->set3_types[val] = command == KBD_CMD_KEY_TYPEMATIC
                                 ? KEY_TYPEMATIC
                                 : command == KBD_CMD_KEY_MAKE_BREAK
                                 ? KEY_BREAK : 0;
        }
        ps2_answer(&s->port, PS2_ACK);
        return;
    }
}

static void set_all_types(Ps2Kbd *s, uint8_t type)
{
    memset(s->set3_types, type, sizeof(s->set3_types));
}

static void write_command(Ps2Kbd *s, uint8_t val)
{
    switch (val) {
    case KBD_CMD_ECHO:
        ps2_answer(&s->port, KBD_CMD_ECHO);
        return;
    case PS2_CMD_RESEND:
        ps2_answer(&s->port, s->port.last);
        return;
    case KBD_CMD_SET_LEDS:
    case KBD_CMD_SCAN_SET:
    case KBD_CMD_TYPEMATIC:
        s->port.command = val;
        break;
    case KBD_CMD_KEY_TYPEMATIC:
    case KBD_CMD_KEY_MAKE_BREAK:
    case KBD_CMD_KEY_MAKE:
        s->port.command = val;
        clear_events(s);
        break;
    case PS2_CMD_GET_ID:
        ps2_answer(&s->port, PS2_ACK);
        ps2_answer(&s->port, KBD_ID_1);
        ps2_answer(&s->port, KBD_ID_2);
        return;
    case PS2_CMD_ENABLE:
        clear_events(s);
        s->scanning = true;
        break;
    case PS2_CMD_DISABLE:
        clear_events(s);
        set_defaults(s);
        s->scanning = false;
        break;
    case PS2_CMD_SET_DEFAULTS:
        clear_events(s);
        set_defaults(s);
        break;
    case KBD_CMD_ALL_TYPEMATIC:
        set_all_types(s, KEY_TYPEMATIC);
        break;
    case KBD_CMD_ALL_MAKE_BREAK:
        set_all_types(s, KEY_BREAK);
        break;
    case KBD_CMD_ALL_MAKE:
        set_all_types(s, 0);
        break;
    case KBD_CMD_ALL_BOTH:
        set_all_types(s, KEY_TYPEMATIC | KEY_BREAK);
        break;
    case PS2_CMD_RESET:
        ps2_kbd_power_on(s);
        ps2_answer(&s->port, PS2_ACK);
        ps2_answer(&s->port, PS2_BAT_OK);
        return;
    default:
        ps2_answer(&s->port, PS2_RESEND);
        return;
    }
    ps2_answer(&s->port, PS2_ACK);
}

/* A byte from the host.  What was being answered is given up. */
void ps2_kbd_write(Ps2Kbd *s, uint8_t val)
{
    uint8_t command = s->port.command;
    bool key_list = command >= KBD_CMD_KEY_TYPEMATIC
                    && command <= KBD_CMD_KEY_MAKE;

    trace("ps2-kbd-write", "val 0x%02x", val);
    s->port.command = 0;
    s->port.answers.n = 0;
    /* Parameters have bit 7 clear, or it is a new command: but codes of set 3
     * go up to 8Dh. */
    if (command && val < (key_list ? KBD_CMD_SET_LEDS : 0x80)) {
        write_parameter(s, command, val);
    } else {
        write_command(s, val);
    }
}

/* --- life ----------------------------------------------------------------------- */

void ps2_kbd_power_on(Ps2Kbd *s)
{
    s->port.answers = (Ps2Queue) {};
    s->port.events = (Ps2Queue) {};
    s->port.last = 0;
    s->repeat_key = 0;
    s->leds = 0;
    s->scanning = true;
    memset(s->down, 0, sizeof(s->down));
    timer_del(&s->repeat);
    set_defaults(s);
}

void ps2_kbd_init(Ps2Kbd *s, Loop *loop)
{
    timer_init(&s->repeat, loop, CLK_VIRTUAL, kbd_on_repeat, s);
}

void ps2_kbd_destroy(Ps2Kbd *s)
{
    timer_del(&s->repeat);
}

static bool kbd_post_load(void *opaque, int version, GError **err)
{
    const Ps2Kbd *s = opaque;

    return s->set >= 1 && s->set <= 3;
}

const State ps2_kbd_state = {
    .name = "ps2-kbd", .version = 1, .post_load = kbd_post_load,
    .fields = (const StateField[]) {
        STATE_STRUCT(Ps2Kbd, port, &ps2_port_state),
        STATE_BOOL(Ps2Kbd, scanning), STATE_U8(Ps2Kbd, leds),
        STATE_U8(Ps2Kbd, typematic), STATE_U8(Ps2Kbd, set),
        STATE_BYTES(Ps2Kbd, set3_types), STATE_BYTES(Ps2Kbd, down),
        STATE_U8(Ps2Kbd, repeat_key), STATE_TIMER(Ps2Kbd, repeat), {}
    },
};
