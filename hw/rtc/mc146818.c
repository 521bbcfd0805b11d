/*
 * MC146818A real-time clock with 128 bytes of CMOS RAM, and the NMI mask of
 * its index port.
 *
 * Spec:   Motorola MC146818A datasheet (ADI856R2); century byte 32h: ACPI
 *         FADT; NMI mask: 82371SB (PIIX3), "RTCI".
 * Models: time, alarm, all three interrupts, SET, divider reset, 12 and 24
 *         hours, BCD and binary.  An update takes no time, at the end of the
 *         244 us that UIP announces it.  Left out: daylight saving (stored
 *         only), the square wave pin (SQWE: stored only), crystals other than
 *         32768 Hz (DV 000 and 001 count as 010).
 *
 * The clock is not ticked: registers follow from CLK_RTC when they are looked
 * at.  A timer runs only for an interrupt that is enabled and whose flag is
 * clear.  While the clock is stopped the registers are the truth; while it
 * runs, base_sec (guest time, as if UTC) began at base_ns of CLK_RTC.
 *
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "core/irqchip.h"
#include "hw/isa/isa.h"
#include "hw/rtc/mc146818.h"
#include "loop/timer.h"

#include <time.h>

#define RTC_PORT     0x70
#define RTC_HZ       32768
#define UIP_NS       (244 * NS_PER_US)
#define MAX_COALESCED 0x10000

enum { PORT_INDEX, PORT_DATA, N_PORTS };

enum {
    RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM,
    RTC_HOURS, RTC_HOURS_ALARM, RTC_DAY_OF_WEEK, RTC_DAY_OF_MONTH,
    RTC_MONTH, RTC_YEAR,
    RTC_REG_A, RTC_REG_B, RTC_REG_C, RTC_REG_D,
    RTC_CENTURY     = 0x32,
    RTC_PS2_CENTURY = 0x37,     /* where PS/2 firmware looks for it */
};

enum {
    INDEX_BITS    = 0x7f,
    INDEX_NMI_OFF = 0x80,

    HOURS_PM      = 0x80,       /* 12-hour mode */
    ALARM_ANY     = 0xc0,       /* both bits: every hour, minute, second */

    A_RS          = 0x0f,
    A_DV          = 0x70,
    A_DV_NORMAL   = 0x20,       /* the last of those that count */
    A_DV_RESET    = 0x60,       /* 11x */
    A_UIP         = 0x80,

    B_DSE         = 0x01,
    B_24H         = 0x02,
    B_DM          = 0x04,       /* binary */
    B_SQWE        = 0x08,
    B_UIE         = 0x10,
    B_AIE         = 0x20,
    B_PIE         = 0x40,
    B_SET         = 0x80,
    B_FORMAT      = B_24H | B_DM,

    C_UF          = 0x10,       /* where the enables are in B */
    C_AF          = 0x20,
    C_PF          = 0x40,
    C_IRQF        = 0x80,
    C_FLAGS       = C_UF | C_AF | C_PF,

    D_VRT         = 0x80,
};

enum { LOST_TICK_DISCARD, LOST_TICK_SLEW };
static const char *const lost_tick_names[] = { "discard", "slew", NULL };

typedef struct {
    IsaDevice isa;
    Region io;
    Irq irq;                    /* out: IRQ 8 */
    Irq alarm;                  /* out: the alarm's part of it, for wake-up */
    int32_t base_year;          /* property: the year of year register 0 */
    uint8_t irq_line;           /* property */
    int lost_tick_policy;       /* property */
    Timer periodic;             /* CLK_VIRTUAL: a stopped VM loses no ticks */
    Timer update;               /* CLK_RTC: update-ended and alarm */
    Timer slew;

    uint8_t index;
    bool nmi_off;
    uint8_t cmos[RTC_CMOS_BYTES];
    int64_t base_ns;
    int64_t base_sec;
    int64_t synced_sec;         /* the second that the registers show */
    int64_t checked_sec;        /* up to where UF and AF are accounted */
    int64_t checked_tick;       /* up to where PF is: of RTC_HZ */
    uint8_t weekday_offset;     /* what the guest calls a Sunday, 0 to 6 */
    uint32_t coalesced;         /* periodic interrupts that nobody took */
} Mc146818;

static Mc146818 *rtc_of(Device *dev)
{
    return container_of(dev, Mc146818, isa.dev);
}

/* --- number formats --------------------------------------------------------- */

static uint8_t to_reg(const Mc146818 *s, unsigned v)
{
    return s->cmos[RTC_REG_B] & B_DM ? v : v / 10 << 4 | v % 10;
}

static unsigned from_reg(const Mc146818 *s, uint8_t v)
{
    return s->cmos[RTC_REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t hours_to_reg(const Mc146818 *s, unsigned hour)
{
    if (s->cmos[RTC_REG_B] & B_24H) {
        return to_reg(s, hour);
    }
    return to_reg(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOURS_PM : 0);
}

static unsigned hours_from_reg(const Mc146818 *s, uint8_t v)
{
    if (s->cmos[RTC_REG_B] & B_24H) {
        return from_reg(s, v);
    }
    return from_reg(s, v & ~HOURS_PM) % 12 + (v & HOURS_PM ? 12 : 0);
}

/* --- time ----------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool divider_runs(const Mc146818 *s)
{
    return (s->cmos[RTC_REG_A] & A_DV) <= A_DV_NORMAL;
}

static bool clock_runs(const Mc146818 *s)
{
    return divider_runs(s) && !(s->cmos[RTC_REG_B] & B_SET);
}

static int64_t now_sec(const Mc146818 *s)
{
    return s->base_sec
           + floor_div(clock_ns(CLK_RTC) - s->base_ns, NS_PER_SEC);
}

static void sec_to_regs(Mc146818 *s, int64_t sec)
{
    time_t t = sec;
    struct tm tm;

    if (!gmtime_r(&t, &tm)) {
        return;                 /* a year that does not fit into an int */
    }
    int year = tm.tm_year + 1900;

    s->cmos[RTC_SECONDS] = to_reg(s, tm.tm_sec);
    s->cmos[RTC_MINUTES] = to_reg(s, tm.tm_min);
    s->cmos[RTC_HOURS] = hours_to_reg(s, tm.tm_hour);
    s->cmos[RTC_DAY_OF_WEEK] = to_reg(s, (tm.tm_wday + s->weekday_offset) % 7
                                         + 1);
    s->cmos[RTC_DAY_OF_MONTH] = to_reg(s, tm.tm_mday);
    s->cmos[RTC_MONTH] = to_reg(s, tm.tm_mon + 1);
    s->cmos[RTC_YEAR] = to_reg(s, ((year - s->base_year) % 100 + 100) % 100);
    s->cmos[RTC_CENTURY] = to_reg(s, (unsigned)year / 100 % 100);
}

static int64_t regs_to_sec(Mc146818 *s)
{
    unsigned century = from_reg(s, s->cmos[RTC_CENTURY]);
    unsigned year = from_reg(s, s->cmos[RTC_YEAR]);
    struct tm tm = {
        .tm_sec = from_reg(s, s->cmos[RTC_SECONDS]),
        .tm_min = from_reg(s, s->cmos[RTC_MINUTES]),
        .tm_hour = hours_from_reg(s, s->cmos[RTC_HOURS]),
        .tm_mday = from_reg(s, s->cmos[RTC_DAY_OF_MONTH]),
        .tm_mon = (int)from_reg(s, s->cmos[RTC_MONTH]) - 1,
        .tm_year = (int)(century * 100)
                   + (int)((s->base_year % 100 + 100 + year) % 100) - 1900,
    };
    int64_t sec = timegm(&tm);
    /* The day of the week is counted on its own: whatever the guest wrote. */
    unsigned day = from_reg(s, s->cmos[RTC_DAY_OF_WEEK]);

    s->weekday_offset = (day + 6 + 7 - tm.tm_wday) % 7;
    return sec;
}

/* Bring the time registers up to date. */
static void sync_regs(Mc146818 *s)
{
    int64_t sec = now_sec(s);

    if (clock_runs(s) && sec != s->synced_sec) {
        sec_to_regs(s, sec);
        s->synced_sec = sec;
    }
}

/* The registers were written, or start to count: time goes on from them.
 * The divider keeps its phase. */
static void adopt_regs(Mc146818 *s)
{
    int64_t whole = floor_div(clock_ns(CLK_RTC) - s->base_ns, NS_PER_SEC);

    s->base_ns += whole * NS_PER_SEC;
    s->base_sec = regs_to_sec(s);
    s->synced_sec = s->base_sec;
    s->checked_sec = s->base_sec;
}

static bool update_in_progress(const Mc146818 *s)
{
    int64_t ns = clock_ns(CLK_RTC) - s->base_ns;

    return clock_runs(s)
           && ns - floor_div(ns, NS_PER_SEC) * NS_PER_SEC
              >= NS_PER_SEC - UIP_NS;
}

/* --- alarm -------------------------------------------------------------------- */

/* An alarm register's number, -1 for any, -2 for one that never matches. */
static int alarm_field(const Mc146818 *s, unsigned reg, unsigned max)
{
    uint8_t v = s->cmos[reg];
    unsigned n = reg == RTC_HOURS_ALARM ? hours_from_reg(s, v)
                                        : from_reg(s, v);

    return (v & ALARM_ANY) == ALARM_ANY ? -1 : n <= max ? (int)n : -2;
}

/* The first second after `sec` that the alarm matches; INT64_MAX: none. */
static int64_t next_alarm(const Mc146818 *s, int64_t sec)
{
    int hour = alarm_field(s, RTC_HOURS_ALARM, 23);
    int minute = alarm_field(s, RTC_MINUTES_ALARM, 59);
    int second = alarm_field(s, RTC_SECONDS_ALARM, 59);
    int64_t at = sec + 1;

    if (hour == -2 || minute == -2 || second == -2) {
        return INT64_MAX;
    }
    /* At most 24 hours, then 60 minutes, then 60 seconds are passed over. */
    for (int i = 0; i < 24 + 60 + 60 + 3; i++) {
        int64_t of_day = at - floor_div(at, 86400) * 86400;

        if (hour >= 0 && of_day / 3600 != hour) {
            at += 3600 - of_day % 3600;
        } else if (minute >= 0 && of_day / 60 % 60 != minute) {
            at += 60 - of_day % 60;
        } else if (second >= 0 && of_day % 60 != second) {
            at++;
        } else {
            return at;
        }
    }
    return INT64_MAX;
}

/* --- interrupts ----------------------------------------------------------------- */

/* Ticks of RTC_HZ between periodic interrupts; 0: none. */
static int64_t period_ticks(const Mc146818 *s)
{
    unsigned rs = s->cmos[RTC_REG_A] & A_RS;

    if (rs == 0 || !divider_runs(s)) {
        return 0;
    }
    return 1 << ((rs <= 2 ? rs + 7 : rs) - 1);
}

static int64_t now_tick(void)
{
    return (__int128)clock_ns(CLK_VIRTUAL) * RTC_HZ / NS_PER_SEC;
}

static int64_t ns_of_tick(int64_t tick)
{
    return ((__int128)tick * NS_PER_SEC + RTC_HZ - 1) / RTC_HZ;
}

/* Set the flags of what has happened until now. */
static void account(Mc146818 *s)
{
    int64_t period = period_ticks(s);
    int64_t tick = now_tick(), sec = now_sec(s);

    if (period && tick / period > s->checked_tick / period) {
        s->cmos[RTC_REG_C] |= C_PF;
    }
    s->checked_tick = tick;
    if (clock_runs(s)) {
        if (sec > s->checked_sec) {
            s->cmos[RTC_REG_C] |= C_UF;
            if (next_alarm(s, s->checked_sec) <= sec) {
                s->cmos[RTC_REG_C] |= C_AF;
            }
        }
        s->checked_sec = sec;   /* also when the host's clock was set back */
    }
}

static int64_t ns_of_sec(const Mc146818 *s, int64_t sec)
{
    __int128 ns = (__int128)(sec - s->base_sec) * NS_PER_SEC + s->base_ns;

    return CLAMP(ns, INT64_MIN, INT64_MAX);
}

/* Drive the line; sleep until a flag that would change it may be set. */
static void drive(Mc146818 *s)
{
    uint8_t b = s->cmos[RTC_REG_B];
    uint8_t *c = &s->cmos[RTC_REG_C];
    int64_t period = period_ticks(s);
    int64_t sec = INT64_MAX;

    *c = (*c & C_FLAGS) | (*c & b & C_FLAGS ? C_IRQF : 0);
    irq_set(&s->irq, *c & C_IRQF ? 1 : 0);
    irq_set(&s->alarm, *c & b & C_AF ? 1 : 0);

    if ((b & B_PIE) && period
        && (!(*c & C_PF) || s->lost_tick_policy == LOST_TICK_SLEW)) {
        timer_mod(&s->periodic,
                  ns_of_tick((s->checked_tick / period + 1) * period));
    } else {
        timer_del(&s->periodic);
    }
    if (clock_runs(s) && (b & B_UIE) && !(*c & C_UF)) {
        sec = s->checked_sec + 1;
    }
    if (clock_runs(s) && (b & B_AIE) && !(*c & C_AF)) {
        sec = MIN(sec, next_alarm(s, s->checked_sec));
    }
    if (sec == INT64_MAX) {
        timer_del(&s->update);
    } else {
        timer_mod(&s->update, ns_of_sec(s, sec));
    }
}

static void rtc_on_periodic(void *opaque)
{
    Mc146818 *s = opaque;
    bool unread = s->cmos[RTC_REG_C] & C_PF;

    account(s);
    if (unread && s->lost_tick_policy == LOST_TICK_SLEW) {
        s->coalesced = MIN(s->coalesced + 1, MAX_COALESCED);
    }
    drive(s);
}

static void rtc_on_update(void *opaque)
{
    account(opaque);
    drive(opaque);
}

/* Hand one lost tick to a guest that has just read the last one: not at
 * once, since handlers read register C until it is clear. */
static void slew(Mc146818 *s)
{
    int64_t period = period_ticks(s);

    if (s->coalesced && period && (s->cmos[RTC_REG_B] & B_PIE)) {
        timer_mod(&s->slew, clock_ns(CLK_VIRTUAL) + ns_of_tick(period) / 4);
    } else {
        s->coalesced = 0;
        timer_del(&s->slew);
    }
}

static void rtc_on_slew(void *opaque)
{
    Mc146818 *s = opaque;

    account(s);
    if (s->coalesced && !(s->cmos[RTC_REG_C] & C_PF)) {
        s->coalesced--;
        s->cmos[RTC_REG_C] |= C_PF;
    }
    drive(s);
}

/* --- registers ------------------------------------------------------------------- */

static void write_reg_a(Mc146818 *s, uint8_t val)
{
    bool ran = divider_runs(s);
    int64_t old_period = period_ticks(s);

    sync_regs(s);
    s->cmos[RTC_REG_A] = val & ~A_UIP;
    if (!ran && divider_runs(s)) {
        /* The first update comes half a second after the divider starts. */
        s->base_ns = clock_ns(CLK_RTC) - NS_PER_SEC / 2;
        adopt_regs(s);
    }
    if (s->coalesced && old_period && period_ticks(s)) {
        /* The same lost time, in ticks of the new rate. */
        s->coalesced = MIN(s->coalesced * old_period / period_ticks(s),
                           MAX_COALESCED);
    }
}

static void write_reg_b(Mc146818 *s, uint8_t val)
{
    bool ran = clock_runs(s);
    uint8_t changed = s->cmos[RTC_REG_B] ^ val;

    sync_regs(s);
    if (val & B_SET) {
        val &= ~B_UIE;
    }
    s->cmos[RTC_REG_B] = val;
    /* What the registers hold is now read in the new format. */
    if (clock_runs(s) && (!ran || (changed & B_FORMAT))) {
        adopt_regs(s);
    }
}

static void rtc_write_data(Mc146818 *s, uint8_t val)
{
    unsigned reg = s->index == RTC_PS2_CENTURY ? RTC_CENTURY : s->index;

    trace("rtc-write", "reg 0x%02x val 0x%02x", reg, val);
    account(s);
    switch (reg) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_DAY_OF_WEEK:
    case RTC_DAY_OF_MONTH:
    case RTC_MONTH:
    case RTC_YEAR:
    case RTC_CENTURY:
        sync_regs(s);
        s->cmos[reg] = val;
        if (clock_runs(s)) {
            adopt_regs(s);
        }
        break;
    case RTC_REG_A:
        write_reg_a(s, val);
        break;
    case RTC_REG_B:
        write_reg_b(s, val);
        break;
    case RTC_REG_C:
    case RTC_REG_D:
        break;                  /* read-only */
    default:
        s->cmos[reg] = val;
        break;
    }
    drive(s);
}

static uint8_t rtc_read_data(Mc146818 *s)
{
    unsigned reg = s->index == RTC_PS2_CENTURY ? RTC_CENTURY : s->index;
    uint8_t val;

    sync_regs(s);
    switch (reg) {
    case RTC_REG_A:
        return s->cmos[reg] | (update_in_progress(s) ? A_UIP : 0);
    case RTC_REG_C:
        account(s);
        drive(s);               /* for IRQF */
        val = s->cmos[reg];
        s->cmos[reg] = 0;
        drive(s);
        if (val & C_PF) {
            slew(s);
        }
        return val;
    case RTC_REG_D:
        return D_VRT;
    default:
        return s->cmos[reg];
    }
}

static uint64_t rtc_read(void *opaque, hwaddr reg, unsigned size)
{
    return reg == PORT_DATA ? rtc_read_data(opaque) : 0xff;
}

static void rtc_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Mc146818 *s = opaque;

    if (reg == PORT_DATA) {
        rtc_write_data(s, val);
    } else {
        s->index = val & INDEX_BITS;
        nmi_masked = s->nmi_off = val & INDEX_NMI_OFF;
    }
}

static const IoOps rtc_ops = {
    .read = rtc_read, .write = rtc_write, .size_min = 1, .size_max = 1,
};

void rtc_cmos_set(Device *dev, unsigned index, uint8_t val)
{
    rtc_of(dev)->cmos[index % RTC_CMOS_BYTES] = val;
}

uint8_t rtc_cmos_get(Device *dev, unsigned index)
{
    Mc146818 *s = rtc_of(dev);

    sync_regs(s);
    return s->cmos[index % RTC_CMOS_BYTES];
}

/* --- device ------------------------------------------------------------------------ */

/* A new battery: the host's time and, as a BIOS would leave it, 1024 Hz, 24
 * hours, BCD. */
static void power_on(Mc146818 *s)
{
    memset(s->cmos, 0, sizeof(s->cmos));
    s->cmos[RTC_REG_A] = A_DV_NORMAL | 6;
    s->cmos[RTC_REG_B] = B_24H;
    s->base_sec = floor_div(clock_ns(CLK_RTC), NS_PER_SEC);
    s->base_ns = s->base_sec * NS_PER_SEC;
    s->checked_sec = s->base_sec;
    s->synced_sec = s->base_sec - 1;
    s->checked_tick = now_tick();
    s->weekday_offset = 0;
    sync_regs(s);
}

/* Registers reach the year 25755; sums with times must stay in 64 bits. */
static bool is_sane(const Mc146818 *s)
{
    const int64_t far = INT64_C(1) << 40;

    return s->base_sec > -far && s->base_sec < far
           && s->checked_sec > -2 * far && s->checked_sec < 2 * far
           && s->base_ns > INT64_MIN / 2 && s->base_ns < INT64_MAX / 2
           && s->checked_tick >= 0 && s->checked_tick < INT64_C(1) << 47
           && s->weekday_offset < 7 && s->index <= INDEX_BITS
           && s->coalesced <= MAX_COALESCED;
}

static bool rtc_post_load(void *opaque, int version, GError **err)
{
    return is_sane(opaque);
}

/* The RESET pin; time and RAM live on the battery, unless a stream that was
 * refused has left rubbish there. */
static void rtc_reset(Device *dev)
{
    Mc146818 *s = rtc_of(dev);

    if (!is_sane(s)) {
        power_on(s);
    }
    s->cmos[RTC_REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->cmos[RTC_REG_C] = 0;
    s->index = 0;
    s->coalesced = 0;
    nmi_masked = s->nmi_off = false;
    timer_del(&s->slew);
    account(s);
    s->cmos[RTC_REG_C] = 0;
    drive(s);
}

static void rtc_update(Device *dev)
{
    Mc146818 *s = rtc_of(dev);

    nmi_masked = s->nmi_off;
    drive(s);
    slew(s);
}

static bool rtc_realize(Device *dev, GError **err)
{
    Mc146818 *s = rtc_of(dev);

    if (s->irq_line >= ISA_N_IRQS) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "mc146818rtc: irq %u is not 0 to %d", s->irq_line,
                    ISA_N_IRQS - 1);
        return false;
    }
    if (!isa_map_io(&s->isa, RTC_PORT, &s->io, &rtc_ops, s, "rtc", N_PORTS,
                    err)) {
        return false;
    }
    if (!s->irq.set) {
        s->irq = isa_irq(&s->isa, s->irq_line);
    }
    timer_init(&s->periodic, dev->loop, CLK_VIRTUAL, rtc_on_periodic, s);
    timer_init(&s->update, dev->loop, CLK_RTC, rtc_on_update, s);
    timer_init(&s->slew, dev->loop, CLK_VIRTUAL, rtc_on_slew, s);
    power_on(s);
    rtc_reset(dev);
    return true;
}

static void rtc_unrealize(Device *dev)
{
    Mc146818 *s = rtc_of(dev);

    timer_del(&s->periodic);
    timer_del(&s->update);
    timer_del(&s->slew);
    isa_irq_release(&s->isa, &s->irq);
    isa_unmap_io(&s->isa, &s->io);
}

static const Property rtc_props[] = {
    PROP_I32(Mc146818, base_year, "base_year", 1980,
             "the year that the year register counts from"),
    PROP_U8(Mc146818, irq_line, "irq", 8, "interrupt line"),
    PROP_ENUM(Mc146818, lost_tick_policy, "lost_tick_policy",
              LOST_TICK_DISCARD, lost_tick_names,
              "what becomes of periodic interrupts that the guest missed"),
    {}
};

static const Output rtc_outputs[] = {
    OUTPUT(Mc146818, irq, "irq"), OUTPUT(Mc146818, alarm, "alarm"), {}
};

static const State rtc_state = {
    .name = "mc146818rtc", .version = 1, .post_load = rtc_post_load,
    .fields = (const StateField[]) {
        STATE_U8(Mc146818, index), STATE_BOOL(Mc146818, nmi_off),
        STATE_BYTES(Mc146818, cmos),
        STATE_I64(Mc146818, base_ns), STATE_I64(Mc146818, base_sec),
        STATE_I64(Mc146818, synced_sec), STATE_I64(Mc146818, checked_sec),
        STATE_I64(Mc146818, checked_tick),
        STATE_U8(Mc146818, weekday_offset), STATE_U32(Mc146818, coalesced),
        {}
    },
};

const DeviceType mc146818_type = {
    .name = "mc146818rtc", .doc = "MC146818 real-time clock and CMOS RAM",
    .parent = &isa_device_type, .size = sizeof(Mc146818), .internal = true,
    .props = rtc_props, .outputs = rtc_outputs, .state = &rtc_state,
    .realize = rtc_realize, .unrealize = rtc_unrealize,
    .reset = rtc_reset, .update = rtc_update,
};
DEVICE_TYPE(mc146818_type)
