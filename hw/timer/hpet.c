/*
 * High precision event timer.
 *
 * Spec:   IA-PC HPET specification 1.0a.
 * Models: all registers, 3 to 32 comparators, all of which can be periodic,
 *         64 bits wide and deliver MSIs (with `msi`).  The counter runs at
 *         100 MHz.  Interrupts of one comparator closer than MIN_GAP_NS melt
 *         into one.
 *
 * Nothing ticks: a comparator's matches follow from the counter.  hpet_sync()
 * finds those that have passed since the last look; one host timer waits for
 * the next that makes an interrupt.
 *
 * In legacy mode comparators 0 and 1 take over IRQ 0 and 8: the 8254 and the
 * RTC are wired through here and cut off then.
 *
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "core/device.h"
#include "loop/timer.h"

#define TICK_NS      10
#define PERIOD_FS    (TICK_NS * UINT64_C(1000000))
#define MIN_GAP_NS   (20 * NS_PER_US)
#define MIN_TIMERS   3
#define MAX_TIMERS   32
#define N_ROUTES     32
#define HPET_BYTES   0x400

enum {                          /* registers */
    GCAP_ID   = 0x000,
    GEN_CONF  = 0x010,
    GINTR_STA = 0x020,
    MAIN_CNT  = 0x0f0,
    TIMERS    = 0x100,
    TIMER_BYTES = 0x20,
    TIM_CONF  = 0x00,           /* of each timer */
    TIM_COMP  = 0x08,
    TIM_FSB   = 0x10,
};

enum {
    GCAP_REV         = 0x01,
    GCAP_NUM_SHIFT   = 8,
    GCAP_SIZE_64     = 0x2000,
    GCAP_LEG_RT      = 0x8000,
    GCAP_VENDOR_SHIFT = 16,
    GCAP_PERIOD_SHIFT = 32,
    GCAP_VENDOR      = 0x8086,

    CONF_ENABLE      = 0x01,
    CONF_LEG_RT      = 0x02,
    CONF_BITS        = 0x03,

    TCONF_LEVEL      = 0x0002,
    TCONF_INT_ENB    = 0x0004,
    TCONF_PERIODIC   = 0x0008,
    TCONF_PER_CAP    = 0x0010,
    TCONF_SIZE_CAP   = 0x0020,
    TCONF_VAL_SET    = 0x0040,
    TCONF_32MODE     = 0x0100,
    TCONF_ROUTE_SHIFT = 9,
    TCONF_ROUTE_LEN  = 5,
    TCONF_FSB_EN     = 0x4000,
    TCONF_FSB_CAP    = 0x8000,
    TCONF_WRITABLE   = 0x014e,  /* without route and FSB_EN */
    TCONF_ROUTE_CAP_SHIFT = 32,
};

enum { IN_PIT, IN_RTC, N_INPUTS };
enum { LEGACY_PIT_IRQ = 0, LEGACY_RTC_IRQ = 8 };

typedef struct {
    uint32_t config;            /* the writable bits */
    uint64_t comp;
    uint64_t period;            /* what was last written to the comparator */
    uint64_t fsb;               /* address in the high half, data in the low */
    uint64_t checked;           /* counter up to which matches were found */
} HpetTimer;

typedef struct {
    Device dev;
    Region io;
    Irq irq[N_ROUTES];          /* out: 0 and 8 as ISA lines, others GSIs */
    Irq pit_off;                /* out: legacy mode, nobody hears the PIT */
    uint8_t n_timers;           /* properties */
    bool msi;
    uint32_t intcap;

    uint8_t conf;
    uint32_t sta;
    uint64_t base;              /* the counter at base_ns, or while halted */
    int64_t base_ns;
    HpetTimer timers[MAX_TIMERS];

    Timer next;
    uint32_t levels;            /* of the outputs */
    bool legacy;                /* level of pit_off */
    bool in[N_INPUTS];
} Hpet;

static Hpet *hpet_of(Device *dev)
{
    return container_of(dev, Hpet, dev);
}

/* --- counter --------------------------------------------------------------- */

static uint64_t counter(const Hpet *s)
{
    if (!(s->conf & CONF_ENABLE)) {
        return s->base;
    }
    return s->base + ((uint64_t)clock_ns(CLK_VIRTUAL) - s->base_ns) / TICK_NS;
}

static uint64_t mask_of(const HpetTimer *t)
{
    return t->config & TCONF_32MODE ? UINT32_MAX : UINT64_MAX;
}

/* How many ticks after the last one looked at do not match. */
static uint64_t before_match(const HpetTimer *t)
{
    return (t->comp - t->checked - 1) & mask_of(t);
}

/* --- lines ------------------------------------------------------------------ */

static unsigned route(const Hpet *s, unsigned n)
{
    if ((s->conf & CONF_LEG_RT) && n < 2) {
        return n == 0 ? LEGACY_PIT_IRQ : LEGACY_RTC_IRQ;
    }
    return bits_get(s->timers[n].config, TCONF_ROUTE_SHIFT, TCONF_ROUTE_LEN);
}

static void drive(Hpet *s)
{
    uint32_t levels = 0;

    for (unsigned n = 0; n < s->n_timers; n++) {
        const HpetTimer *t = &s->timers[n];

        if ((s->sta & BIT(n)) && (t->config & TCONF_INT_ENB)
            && (t->config & TCONF_LEVEL) && !(t->config & TCONF_FSB_EN)) {
            levels |= BIT(route(s, n));
        }
    }
    if (!(s->conf & CONF_LEG_RT)) {
        levels |= (s->in[IN_PIT] ? BIT(LEGACY_PIT_IRQ) : 0)
                  | (s->in[IN_RTC] ? BIT(LEGACY_RTC_IRQ) : 0);
    }
    for (uint32_t changed = levels ^ s->levels; changed;
         changed &= changed - 1) {
        unsigned line = __builtin_ctz(changed);

        irq_set(&s->irq[line], levels >> line & 1);
    }
    s->levels = levels;
    if (s->legacy != !!(s->conf & CONF_LEG_RT)) {
        s->legacy = !s->legacy;
        irq_set(&s->pit_off, s->legacy);
    }
}

static void interrupt(Hpet *s, unsigned n)
{
    const HpetTimer *t = &s->timers[n];

    if (t->config & TCONF_LEVEL) {
        s->sta |= BIT(n);       /* drive() does the rest */
        return;
    }
    if (!(t->config & TCONF_INT_ENB)) {
        return;
    }
    trace("hpet-interrupt", "timer %u", n);
    if (t->config & TCONF_FSB_EN) {
        msi_send(t->fsb >> 32, t->fsb);
    } else if (!(s->levels & BIT(route(s, n)))) {
        irq_pulse(&s->irq[route(s, n)]);
    }
}

/* --- matches ------------------------------------------------------------------ */

/* Find what has matched until now. */
static void hpet_sync(Hpet *s)
{
    uint64_t now = counter(s);

    if (!(s->conf & CONF_ENABLE)) {
        return;
    }
    for (unsigned n = 0; n < s->n_timers; n++) {
        HpetTimer *t = &s->timers[n];
        uint64_t passed = now - t->checked;
        uint64_t before = before_match(t);

        /* A new comparator is looked at from the tick before it. */
        if ((int64_t)passed <= 0 || before >= passed) {
            continue;
        }
        t->checked = now;
        if ((t->config & TCONF_PERIODIC) && t->period) {
            uint64_t times = (passed - before - 1) / t->period + 1;

            t->comp = (t->comp + times * t->period) & mask_of(t);
        }
        interrupt(s, n);
    }
    drive(s);
}

/* After hpet_sync(): wait for the next match that interrupts. */
static void arm(Hpet *s)
{
    int64_t now_ns = clock_ns(CLK_VIRTUAL);
    uint64_t now = counter(s);
    int64_t first = INT64_MAX;

    for (unsigned n = 0; n < s->n_timers; n++) {
        const HpetTimer *t = &s->timers[n];

        if (!(s->conf & CONF_ENABLE) || !(t->config & TCONF_INT_ENB)
            || ((t->config & TCONF_LEVEL) && (s->sta & BIT(n)))) {
            continue;           /* nothing to tell, or told already */
        }
        /* Whole ticks to wait, less one; all ones: the last one matched. */
        uint64_t wait = before_match(t) - (now - t->checked);

        if ((t->config & TCONF_PERIODIC) && t->period
            && t->period < MIN_GAP_NS / TICK_NS) {
            wait = MAX(wait, MIN_GAP_NS / TICK_NS);
        }
        if (wait < (uint64_t)(INT64_MAX - now_ns) / TICK_NS) {
            /* To the start of a tick of the counter. */
            int64_t ns = s->base_ns + (now - s->base + wait + 1) * TICK_NS;

            first = MIN(first, ns);
        }
    }
    timer_mod(&s->next, first);
}

static void hpet_on_match(void *opaque)
{
    hpet_sync(opaque);
    arm(opaque);
}

/* From now on `t` matches at or after the present tick. */
static void look_from_now(const Hpet *s, HpetTimer *t)
{
    t->checked = counter(s) - 1;
}

/* --- registers ------------------------------------------------------------------ */

static void write_conf(Hpet *s, uint8_t val)
{
    bool was_on = s->conf & CONF_ENABLE;
    uint64_t now = counter(s);

    s->conf = val & CONF_BITS;
    if (was_on != (bool)(s->conf & CONF_ENABLE)) {
        s->base = now;
        s->base_ns = clock_ns(CLK_VIRTUAL);
        for (unsigned n = 0; n < s->n_timers; n++) {
            look_from_now(s, &s->timers[n]);
        }
    }
    drive(s);
}

static void write_counter(Hpet *s, uint64_t val)
{
    s->base = val;
    s->base_ns = clock_ns(CLK_VIRTUAL);
    for (unsigned n = 0; n < s->n_timers; n++) {
        look_from_now(s, &s->timers[n]);
    }
}

static void write_timer_conf(Hpet *s, HpetTimer *t, uint32_t val)
{
    uint32_t to = bits_get(val, TCONF_ROUTE_SHIFT, TCONF_ROUTE_LEN);
    uint32_t keep = t->config;
    uint32_t now = val & (TCONF_WRITABLE | (s->msi ? TCONF_FSB_EN : 0));

    if (!(s->intcap & BIT(to))) {
        /* Not offered: what reads back does not match, as the spec has it. */
        to = bits_get(keep, TCONF_ROUTE_SHIFT, TCONF_ROUTE_LEN);
    }
    t->config = now | to << TCONF_ROUTE_SHIFT;
    if (!(t->config & TCONF_LEVEL)) {
        s->sta &= ~BIT(t - s->timers);
    }
    if ((t->config & ~keep) & TCONF_32MODE) {
        t->comp &= UINT32_MAX;
        t->period &= UINT32_MAX;
    }
    drive(s);
}

/* In periodic mode a write sets the period, and with VAL_SET also where the
 * next match is: Linux writes twice, others once. */
static void write_comp(Hpet *s, HpetTimer *t, uint64_t val)
{
    val &= mask_of(t);
    if (!(t->config & TCONF_PERIODIC) || (t->config & TCONF_VAL_SET)) {
        t->comp = val;
        look_from_now(s, t);
    }
    t->period = val;
    t->config &= ~TCONF_VAL_SET;
}

static uint64_t timer_conf(const Hpet *s, const HpetTimer *t)
{
    return t->config | TCONF_PER_CAP | TCONF_SIZE_CAP
           | (s->msi ? TCONF_FSB_CAP : 0)
           | (uint64_t)s->intcap << TCONF_ROUTE_CAP_SHIFT;
}

/* The 64-bit register at `reg`, which is aligned. */
static uint64_t get(const Hpet *s, hwaddr reg)
{
    unsigned n = (reg - TIMERS) / TIMER_BYTES;

    switch (reg) {
    case GCAP_ID:
        return GCAP_REV | (s->n_timers - 1) << GCAP_NUM_SHIFT | GCAP_SIZE_64
               | GCAP_LEG_RT | (uint64_t)GCAP_VENDOR << GCAP_VENDOR_SHIFT
               | PERIOD_FS << GCAP_PERIOD_SHIFT;
    case GEN_CONF:
        return s->conf;
    case GINTR_STA:
        return s->sta;
    case MAIN_CNT:
        return counter(s);
    }
    if (reg < TIMERS || n >= s->n_timers) {
        return 0;
    }
    switch (reg % TIMER_BYTES) {
    case TIM_CONF:
        return timer_conf(s, &s->timers[n]);
    case TIM_COMP:
        return s->timers[n].comp;
    case TIM_FSB:
        return s->timers[n].fsb;
    default:
        return 0;
    }
}

static void set(Hpet *s, hwaddr reg, uint64_t val, uint64_t written)
{
    unsigned n = (reg - TIMERS) / TIMER_BYTES;

    switch (reg) {
    case GEN_CONF:
        write_conf(s, val);
        return;
    case GINTR_STA:
        s->sta &= ~written;     /* ones clear */
        drive(s);
        return;
    case MAIN_CNT:
        write_counter(s, val);
        return;
    }
    if (reg < TIMERS || n >= s->n_timers) {
        return;
    }
    switch (reg % TIMER_BYTES) {
    case TIM_CONF:
        write_timer_conf(s, &s->timers[n], val);
        break;
    case TIM_COMP:
        write_comp(s, &s->timers[n], val);
        break;
    case TIM_FSB:
        s->timers[n].fsb = val;
        break;
    }
}

static uint64_t hpet_read(void *opaque, hwaddr reg, unsigned size)
{
    Hpet *s = opaque;
    uint64_t val;

    /* The counter is what everyone reads, all the time. */
    if ((reg & ~7) != MAIN_CNT) {
        hpet_sync(s);
    }
    val = get(s, reg & ~UINT64_C(7));
    return size == 8 ? val : (uint32_t)(val >> (reg & 4 ? 32 : 0));
}

static void hpet_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Hpet *s = opaque;
    unsigned shift = size == 4 && (reg & 4) ? 32 : 0;
    hwaddr at = reg & ~UINT64_C(7);
    uint64_t old;

    trace("hpet-write", "reg 0x%03" PRIx64 " val 0x%" PRIx64, reg, val);
    hpet_sync(s);
    /* Half a comparator is written into what was last written there. */
    old = at >= TIMERS && at % TIMER_BYTES == TIM_COMP
          && (at - TIMERS) / TIMER_BYTES < s->n_timers
          ? s->timers[(at - TIMERS) / TIMER_BYTES].period : get(s, at);
    set(s, at, size == 8 ? val : bits_set(old, shift, 32, val), val << shift);
    hpet_sync(s);               /* the present tick may be a match */
    arm(s);
}

static const IoOps hpet_ops = {
    .read = hpet_read, .write = hpet_write, .size_min = 4, .size_max = 8,
};

/* --- device ---------------------------------------------------------------------- */

static void hpet_input(void *opaque, int n, int level)
{
    Hpet *s = opaque;

    s->in[n] = level;
    drive(s);
}

static void hpet_reset(Device *dev)
{
    Hpet *s = hpet_of(dev);

    timer_del(&s->next);
    s->conf = 0;
    s->sta = 0;
    s->base = 0;
    s->base_ns = 0;
    for (unsigned n = 0; n < MAX_TIMERS; n++) {
        s->timers[n] = (HpetTimer) { .comp = UINT64_MAX };
    }
    drive(s);
}

static void hpet_update(Device *dev)
{
    Hpet *s = hpet_of(dev);

    hpet_sync(s);
    drive(s);
    arm(s);
}

static bool hpet_realize(Device *dev, GError **err)
{
    Hpet *s = hpet_of(dev);

    if (s->n_timers < MIN_TIMERS || s->n_timers > MAX_TIMERS) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "hpet: timers=%u is not %d to %d", s->n_timers,
                    MIN_TIMERS, MAX_TIMERS);
        return false;
    }
    region_init_io(&s->io, &dev->obj, "hpet", &hpet_ops, s,
                   MAX(HPET_BYTES, TIMERS + TIMER_BYTES * s->n_timers));
    device_add_region(dev, &s->io);
    timer_init(&s->next, dev->loop, CLK_VIRTUAL, hpet_on_match, s);
    hpet_reset(dev);
    return true;
}

static void hpet_unrealize(Device *dev)
{
    Hpet *s = hpet_of(dev);

    timer_del(&s->next);
    region_destroy(&s->io);
}

static const Property hpet_props[] = {
    PROP_U8(Hpet, n_timers, "timers", 3, "number of comparators, 3 to 32"),
    PROP_BOOL(Hpet, msi, "msi", false, "comparators can send MSIs"),
    PROP_U32(Hpet, intcap, "hpet-intcap", 0,
             "I/O APIC pins that comparators may use, a bit each"),
    {}
};

static const Output hpet_outputs[] = {
    OUTPUT_ARRAY(Hpet, irq, "irq"), OUTPUT(Hpet, pit_off, "pit-off"), {}
};

static const State hpet_timer_state = {
    .name = "hpet-timer", .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(HpetTimer, config), STATE_U64(HpetTimer, comp),
        STATE_U64(HpetTimer, period), STATE_U64(HpetTimer, fsb),
        STATE_U64(HpetTimer, checked), {}
    },
};

static const State hpet_state = {
    .name = "hpet", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(Hpet, conf), STATE_U32(Hpet, sta), STATE_U64(Hpet, base),
        STATE_I64(Hpet, base_ns),
        STATE_STRUCT_ARRAY(Hpet, timers, &hpet_timer_state), {}
    },
};

static const DeviceType hpet_type = {
    .name = "hpet", .doc = "high precision event timer",
    .parent = &device_type, .size = sizeof(Hpet), .internal = true,
    .props = hpet_props, .outputs = hpet_outputs, .state = &hpet_state,
    .input = hpet_input, .n_inputs = N_INPUTS,
    .realize = hpet_realize, .unrealize = hpet_unrealize,
    .reset = hpet_reset, .update = hpet_update,
};
DEVICE_TYPE(hpet_type)
