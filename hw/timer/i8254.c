/*
 * 8254 programmable interval timer: ticks of IRQ 0, DRAM refresh, speaker.
 *
 * Spec:   Intel 8254 datasheet (order 231164-005).
 * Models: all modes, BCD, latches, read-back and gates, to the tick of the
 *         1.193182 MHz clock.  A count is loaded one tick after it was
 *         written; ticks count from the virtual clock's zero.
 *         Left out: rising edges of channel 0 closer than PIT_MIN_GAP_TICKS
 *         melt into one, which no interrupt controller could tell apart.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "core/irqchip.h"
#include "hw/isa/isa.h"
#include "hw/timer/i8254.h"
#include "loop/timer.h"

#define PIT_PORT          0x40
#define PIT_MIN_GAP_TICKS 24    /* 20 us: what a guest can ask of the host */

enum { PIT_CONTROL = PIT_N_CHANNELS, PIT_N_REGS };

enum {
    CTL_BCD        = 0x01,
    CTL_MODE_SHIFT = 1,
    CTL_RW_SHIFT   = 4,         /* 0: counter latch command */
    CTL_SC_SHIFT   = 6,         /* counter; 3: read-back command */
    SC_READ_BACK   = 3,

    READ_BACK_NO_STATUS = 0x10,
    READ_BACK_NO_COUNT  = 0x20,

    STATUS_NULL    = 0x40,
    STATUS_OUT     = 0x80,
};

enum { RW_LATCH, RW_LSB, RW_MSB, RW_LSB_MSB };

typedef struct {
    IsaDevice isa;
    Region io;
    Irq irq;                    /* out: OUT of channel 0 */

    PitState pit;
    Timer timer;                /* the next edge of channel 0's OUT */

    int64_t rise_at;            /* channel 0's next rising edge, not told yet */
    bool unheard;               /* input 0: nobody listens to `irq` */
} I8254;

static I8254 *pit_of(Device *dev)
{
    return container_of(dev, I8254, isa.dev);
}

/* --- time --------------------------------------------------------------- */

static int64_t ticks_of_ns(int64_t ns)
{
    return (__int128)ns * PIT_HZ / NS_PER_SEC;
}

/* The first nanosecond at which ticks_of_ns() gives `ticks`. */
static int64_t ns_of_ticks(int64_t ticks)
{
    return ((__int128)ticks * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static int64_t now_ticks(void)
{
    return ticks_of_ns(clock_ns(CLK_VIRTUAL));
}

/* --- one channel -------------------------------------------------------- */

/* Does a low GATE stop the count?  In modes 1 and 5 it only triggers. */
static bool gate_holds(const PitChannel *c)
{
    return c->mode != 1 && c->mode != 5;
}

static bool counting(const PitChannel *c)
{
    return c->started && (c->gate || !gate_holds(c));
}

/* Ticks since the count was loaded; negative: in the tick before that. */
static int64_t elapsed(const PitChannel *c, int64_t t)
{
    return counting(c) ? t - c->start : c->paused;
}

static void freeze(PitChannel *c, int64_t t)
{
    c->paused = MAX(elapsed(c, t), 0);
}

/* How long a cycle of mode 3 is high: the odd tick goes to this half. */
static int64_t high_half(uint32_t count)
{
    return (count + 1) / 2;
}

/* Let a count that has waited for its time take over. */
static void channel_sync(PitChannel *c, int64_t t)
{
    if (!c->null_count || t < c->switch_at) {
        return;
    }
    int64_t phase = 0;

    /* In mode 3 a new count may begin with the low half. */
    if (c->mode == 3 && c->started
        && (c->switch_at - c->start) % c->count != 0) {
        phase = high_half(c->next_count);
    }
    c->count = c->next_count;
    c->start = c->switch_at - phase;
    c->paused = 0;
    c->started = true;
    c->null_count = false;
}

/* When a count written at `t` is to be loaded. */
static int64_t load_time(const PitChannel *c, int64_t t)
{
    int64_t e = elapsed(c, t);

    switch (c->mode) {
    case 1:
    case 5:
        return INT64_MAX;       /* by the next trigger */
    case 2:
    case 3:
        if (!c->started || e < 0) {
            return t + 1;
        }
        if (!c->gate) {
            return INT64_MAX;
        }
        if (c->mode == 3 && e % c->count < high_half(c->count)) {
            return t - e % c->count + high_half(c->count);
        }
        return t - e % c->count + c->count;
    default:
        return t + 1;
    }
}

static bool channel_out(const PitChannel *c, int64_t t)
{
    int64_t e = elapsed(c, t);

    if (!c->started || e < 0) {
        return c->mode != 0;
    }
    switch (c->mode) {
    case 0:
    case 1:
        return e >= c->count;
    case 2:
        return !c->gate || e % c->count != c->count - 1;
    case 3:
        return !c->gate || e % c->count < high_half(c->count);
    default:
        return e != c->count;   /* the strobe: low for one tick */
    }
}

/* The first tick after `t` at which OUT may change; INT64_MAX: none. */
static int64_t channel_next_edge(const PitChannel *c, int64_t t)
{
    int64_t at = INT64_MAX;
    int64_t e = t - c->start;

    if (counting(c)) {
        int64_t cycle = c->start + (e < 0 ? 0 : e - e % c->count);

        switch (c->mode) {
        case 0:
        case 1:
            at = e < c->count ? c->start + c->count : INT64_MAX;
            break;
        case 2:
            at = cycle + c->count;      /* where its low tick ends */
            break;
        case 3:
            at = cycle + (t < cycle + high_half(c->count)
                          ? high_half(c->count) : c->count);
            break;
        default:
            at = e <= c->count ? c->start + c->count + 1 : INT64_MAX;
            break;
        }
    }
    return c->null_count ? MIN(at, c->switch_at) : at;
}

/* The first tick after `t` at which OUT rises, as far as is known. */
static int64_t channel_next_rise(const PitChannel *c, int64_t t)
{
    int64_t at = channel_next_edge(c, t);
    bool load = c->null_count && at == c->switch_at;

    if (!counting(c) || at == INT64_MAX) {
        return INT64_MAX;
    }
    if (c->mode == 3 && channel_out(c, t)) {
        return load ? INT64_MAX : at + c->count / 2;
    }
    /* Modes 2 and 3 load a new count where a cycle ends, others anywhere. */
    return load && c->mode != 2 && c->mode != 3 ? INT64_MAX : at;
}

static unsigned from_bcd4(uint16_t v)
{
    return (v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10
           + (v & 15);
}

static uint16_t to_bcd4(unsigned v)
{
    return (v / 1000 % 10) << 12 | (v / 100 % 10) << 8 | (v / 10 % 10) << 4
           | v % 10;
}

/* The counting element as a read sees it. */
static uint16_t channel_value(const PitChannel *c, int64_t t)
{
    int64_t e = MAX(elapsed(c, t), 0);
    int64_t modulus = c->bcd ? 10000 : 0x10000;
    int64_t n = c->count, v, pos;

    switch (c->mode) {
    case 2:
        v = n - e % n;
        break;
    case 3:                     /* by twos, each half from an even number */
        pos = e % n;
        pos -= pos >= high_half(n) ? high_half(n) : 0;
        v = (n & ~1) - 2 * pos;
        break;
    default:
        v = ((n - e) % modulus + modulus) % modulus;
        break;
    }
    return c->bcd ? to_bcd4(v % modulus) : v;
}

static void channel_latch_count(PitChannel *c, int64_t t)
{
    if (c->latch_left == 0) {   /* a second latch command is ignored */
        c->latch = channel_value(c, t);
        c->latch_left = c->rw == RW_LSB_MSB ? 2 : 1;
    }
}

static void channel_latch_status(PitChannel *c, int64_t t)
{
    if (!c->status_latched) {
        c->status = (channel_out(c, t) ? STATUS_OUT : 0)
                    | (c->null_count ? STATUS_NULL : 0)
                    | c->rw << CTL_RW_SHIFT | c->mode << CTL_MODE_SHIFT
                    | (c->bcd ? CTL_BCD : 0);
        c->status_latched = true;
    }
}

static void channel_set_mode(PitChannel *c, uint8_t control, int64_t t)
{
    unsigned mode = control >> CTL_MODE_SHIFT & 7;

    freeze(c, t);
    c->mode = mode > 5 ? mode - 4 : mode;       /* modes 2 and 3: X10, X11 */
    c->rw = control >> CTL_RW_SHIFT & 3;
    c->bcd = control & CTL_BCD;
    c->started = false;
    c->null_count = true;
    c->switch_at = INT64_MAX;
    c->latch_left = 0;
    c->status_latched = false;
    c->read_msb = false;
    c->write_msb = false;
}

static void channel_set_count(PitChannel *c, uint16_t val, int64_t t)
{
    unsigned count = c->bcd ? from_bcd4(val) : val;

    c->next_count = count ? count : c->bcd ? 10000 : 0x10000;
    if (!c->null_count || c->switch_at == INT64_MAX) {
        c->switch_at = load_time(c, t);
    }
    c->null_count = true;
}

static void channel_write(PitChannel *c, uint8_t val, int64_t t)
{
    switch (c->rw) {
    case RW_LSB:
        channel_set_count(c, val, t);
        break;
    case RW_MSB:
        channel_set_count(c, val << 8, t);
        break;
    default:
        if (c->write_msb) {
            channel_set_count(c, val << 8 | c->write_lsb, t);
        } else {
            c->write_lsb = val;
            if (c->mode == 0) {
                /* The first byte stops the count and lowers OUT. */
                freeze(c, t);
                c->started = false;
                c->null_count = true;
                c->switch_at = INT64_MAX;
            }
        }
        c->write_msb = !c->write_msb;
        break;
    }
}

static uint8_t channel_read(PitChannel *c, int64_t t)
{
    uint16_t val = channel_value(c, t);
    bool msb = c->rw == RW_MSB;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latch_left) {
        val = c->latch;
        msb |= c->rw == RW_LSB_MSB && c->latch_left == 1;
        c->latch_left--;
    } else if (c->rw == RW_LSB_MSB) {
        msb = c->read_msb;
        c->read_msb = !c->read_msb;
    }
    return msb ? val >> 8 : val;
}

static void channel_set_gate(PitChannel *c, bool gate, int64_t t)
{
    if (c->gate == gate) {
        return;
    }
    if (!gate) {
        freeze(c, t);
        c->gate = false;
        if (c->started && (c->mode == 2 || c->mode == 3)) {
            c->switch_at = INT64_MAX;   /* the rising edge will load it */
        }
        return;
    }
    c->gate = true;
    switch (c->mode) {
    case 0:
    case 4:
        c->start = t - c->paused;
        return;
    case 2:
    case 3:
        if (!c->started) {
            return;             /* no count yet, or one is being loaded */
        }
        break;
    }
    /* A trigger: the count register is loaded with the next tick.  A one-shot
     * that is running does not rise in between. */
    bool running = c->mode == 1 && c->started && !channel_out(c, t);

    c->count = c->next_count;
    c->start = running ? t : t + 1;
    c->started = true;
    c->null_count = false;
}

/* --- a chip of the accelerator's ------------------------------------------ */

static bool owned(void)
{
    return irqchip_owner && irqchip_owner->pit;
}

/* Then what we hold is a copy of theirs. */
static void pit_fetch(I8254 *s)
{
    if (owned()) {
        irqchip_owner->get_pit(&s->pit);
    }
}

/* --- channel 0's interrupt ---------------------------------------------- */

static void tell_rise(I8254 *s, int64_t t)
{
    if (s->rise_at <= t) {
        s->rise_at = INT64_MAX;
        irq_lower(&s->irq);
        irq_raise(&s->irq);
    }
}

/* Before a channel is looked at or changes: let counts take over, and tell the
 * line what happened until `t`.  That may be long ago: a whole one-shot fits
 * between its load and a host that comes late. */
static void pit_sync(I8254 *s, int64_t t)
{
    PitChannel *c = &s->pit.ch[0];

    if (c->null_count && c->switch_at <= t) {
        int64_t at = c->switch_at;

        tell_rise(s, at);
        channel_sync(c, at);
        s->rise_at = channel_next_rise(c, at);
    }
    tell_rise(s, t);
    for (int i = 1; i < PIT_N_CHANNELS; i++) {
        channel_sync(&s->pit.ch[i], t);
    }
}

/* Channel 0 may have changed: drive the line, wait for the next edge. */
static void pit_drive(I8254 *s, int64_t t)
{
    const PitChannel *c = &s->pit.ch[0];
    int64_t next = channel_next_edge(c, t);

    if (owned()) {
        irqchip_owner->put_pit(&s->pit);
        return;
    }
    irq_set(&s->irq, channel_out(c, t));
    s->rise_at = channel_next_rise(c, t);
    if (next == INT64_MAX || s->unheard) {
        timer_del(&s->timer);
        return;
    }
    if ((c->mode == 2 || c->mode == 3) && c->count < PIT_MIN_GAP_TICKS) {
        next = MAX(next, t + PIT_MIN_GAP_TICKS);
    }
    timer_mod(&s->timer, ns_of_ticks(next));
}

static void pit_tick(void *opaque)
{
    I8254 *s = opaque;
    int64_t t = now_ticks();

    pit_sync(s, t);
    pit_drive(s, t);
}

/* --- registers ---------------------------------------------------------- */

static void pit_control(I8254 *s, uint8_t val, int64_t t)
{
    unsigned sc = val >> CTL_SC_SHIFT;

    if (sc == SC_READ_BACK) {
        for (int i = 0; i < PIT_N_CHANNELS; i++) {
            if (!(val & BIT(i + 1))) {
                continue;
            }
            if (!(val & READ_BACK_NO_COUNT)) {
                channel_latch_count(&s->pit.ch[i], t);
            }
            if (!(val & READ_BACK_NO_STATUS)) {
                channel_latch_status(&s->pit.ch[i], t);
            }
        }
    } else if ((val >> CTL_RW_SHIFT & 3) == RW_LATCH) {
        channel_latch_count(&s->pit.ch[sc], t);
    } else {
        channel_set_mode(&s->pit.ch[sc], val, t);
    }
}

static void pit_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    I8254 *s = opaque;
    int64_t t = now_ticks();

    trace("pit-write", "reg %" PRIu64 " val 0x%02" PRIx64, reg, val);
    pit_sync(s, t);
    if (reg == PIT_CONTROL) {
        pit_control(s, val, t);
    } else {
        channel_write(&s->pit.ch[reg], val, t);
    }
    pit_drive(s, t);
}

static uint64_t pit_read(void *opaque, hwaddr reg, unsigned size)
{
    I8254 *s = opaque;
    int64_t t = now_ticks();

    if (reg == PIT_CONTROL) {
        return 0xff;            /* write-only: nothing drives the bus */
    }
    pit_fetch(s);
    pit_sync(s, t);
    return channel_read(&s->pit.ch[reg], t);
}

static const IoOps pit_ops = {
    .read = pit_read, .write = pit_write, .size_min = 1, .size_max = 1,
};

/* --- port 61h ----------------------------------------------------------- */

void pit_set_gate(Device *dev, unsigned channel, bool gate)
{
    I8254 *s = pit_of(dev);
    int64_t t = now_ticks();

    pit_sync(s, t);
    channel_set_gate(&s->pit.ch[channel], gate, t);
    pit_drive(s, t);
}

bool pit_gate(Device *dev, unsigned channel)
{
    return pit_of(dev)->pit.ch[channel].gate;
}

bool pit_out(Device *dev, unsigned channel)
{
    I8254 *s = pit_of(dev);
    int64_t t = now_ticks();

    pit_sync(s, t);
    return channel_out(&s->pit.ch[channel], t);
}

uint64_t pit_cycles(Device *dev, unsigned channel)
{
    I8254 *s = pit_of(dev);
    const PitChannel *c = &s->pit.ch[channel];
    int64_t t = now_ticks();

    pit_sync(s, t);
    return MAX(elapsed(c, t), 0) / c->count;
}

unsigned pit_frequency_hz(Device *dev, unsigned channel)
{
    I8254 *s = pit_of(dev);
    const PitChannel *c = &s->pit.ch[channel];

    pit_sync(s, now_ticks());
    return c->mode == 3 && counting(c) ? PIT_HZ / c->count : 0;
}

/* --- device ------------------------------------------------------------- */

/* The HPET has taken over: an idle guest need not wake the host for ticks that
 * go nowhere.  Channel 0 counts on. */
static void pit_input(void *opaque, int n, int level)
{
    I8254 *s = opaque;
    int64_t t = now_ticks();

    s->unheard = level;
    pit_sync(s, t);
    pit_drive(s, t);
}

/* The datasheet leaves power-up undefined.  A kernel that is started without
 * firmware may count on what every BIOS leaves behind: the 18.2 Hz tick and
 * refresh requests every 15 us. */
static void power_on(I8254 *s, int64_t t)
{
    for (int i = 0; i < PIT_N_CHANNELS; i++) {
        s->pit.ch[i] = (PitChannel) {
            .mode = i == 1 ? 2 : 3, .rw = RW_LSB_MSB, .gate = i != 2,
            .count = i == 1 ? 18 : 0x10000,
            .next_count = i == 1 ? 18 : 0x10000,
            .started = true, .start = t, .switch_at = INT64_MAX,
        };
    }
}

static void pit_reset(Device *dev)
{
    I8254 *s = pit_of(dev);
    int64_t t = now_ticks();

    power_on(s, t);
    pit_drive(s, t);
}

static void pit_update(Device *dev)
{
    pit_drive(pit_of(dev), now_ticks());
}

static bool pit_realize(Device *dev, GError **err)
{
    I8254 *s = pit_of(dev);

    if (!isa_map_io(&s->isa, PIT_PORT, &s->io, &pit_ops, s, "pit",
                    PIT_N_REGS, err)) {
        return false;
    }
    if (!s->irq.set) {
        s->irq = isa_irq(&s->isa, 0);
    }
    timer_init(&s->timer, dev->loop, CLK_VIRTUAL, pit_tick, s);
    s->rise_at = INT64_MAX;
    power_on(s, now_ticks());   /* quietly: a board may connect `irq` yet */
    return true;
}

static void pit_unrealize(Device *dev)
{
    I8254 *s = pit_of(dev);

    timer_del(&s->timer);
    isa_irq_release(&s->isa, &s->irq);
    isa_unmap_io(&s->isa, &s->io);
}

static const Output pit_outputs[] = { OUTPUT(I8254, irq, "irq"), {} };

static void pit_pre_save(void *dev)
{
    pit_fetch(pit_of(dev));
}

static const State i8254_state = {
    .name = "isa-pit", .version = 1, .pre_save = pit_pre_save,
    .fields = (const StateField[]) {
        STATE_STRUCT(I8254, pit, &pit_state), {}
    },
};

const DeviceType pit_type = {
    .name = "isa-pit", .doc = "8254 programmable interval timer",
    .parent = &isa_device_type, .size = sizeof(I8254), .internal = true,
    .outputs = pit_outputs, .state = &i8254_state,
    .input = pit_input, .n_inputs = 1,
    .realize = pit_realize, .unrealize = pit_unrealize,
    .reset = pit_reset, .update = pit_update,
};
DEVICE_TYPE(pit_type)
