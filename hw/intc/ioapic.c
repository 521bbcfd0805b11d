/*
 * 82093AA I/O APIC: 24 pins, each with an entry that says what message to
 * send to the local APICs.
 *
 * Spec:   Intel 82093AA datasheet (order 290566-001); for version 20h, with
 *         its EOI register, the I/O APIC of the ICH (ICH9 datasheet 13.5).
 * Models: all registers.  Messages arrive at once, so delivery status always
 *         reads idle; pin polarity is stored only: lines carry "asserted".
 * Locks:  its own mutex, a leaf but for delivery: EOI broadcasts come from
 *         vCPU threads, which hold no lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "core/irqchip.h"
#include "cpu/lapic.h"
#include "hw/intc/ioapic.h"

#define IOAPIC_BYTES 0x1000

/* Memory-mapped registers */
enum {
    IOREGSEL = 0x00,
    IOWIN    = 0x10,
    IOEOI    = 0x40,            /* version 20h: ends a vector by hand */
};

/* Registers behind IOREGSEL and IOWIN */
enum {
    IOAPICID    = 0x00,
    IOAPICVER   = 0x01,
    IOAPICARB   = 0x02,
    IOREDTBL    = 0x10,         /* two words for each pin */
    IOREDTBL_END = IOREDTBL + 2 * IOAPIC_N_PINS,
};

enum {
    ID_BITS           = 0x0f000000,
    VER_ENTRIES_SHIFT = 16,

    REDIR_VECTOR      = 0xff,
    REDIR_MODE_SHIFT  = 8,      /* APIC_DM_* */
    REDIR_MODE_LEN    = 3,
    REDIR_LOGICAL     = BIT(11),
    REDIR_PENDING     = BIT(12),        /* delivery status: read-only */
    REDIR_REMOTE_IRR  = BIT(14),        /* read-only */
    REDIR_LEVEL       = BIT(15),
    REDIR_MASKED      = BIT(16),
    REDIR_READ_ONLY   = REDIR_PENDING | REDIR_REMOTE_IRR,
    REDIR_DEST_SHIFT  = 56,
};
#define REDIR_WRITABLE (UINT64_C(0xff) << REDIR_DEST_SHIFT | 0x1afff)

typedef struct {
    Device dev;
    Region io;
    uint8_t version;            /* property: 0x11 or 0x20 */
    GMutex mutex;

    IoapicState chip;           /* under mutex */
} Ioapic;

/* Who hears EOI broadcasts; changes before vCPUs run. */
static GPtrArray *ioapics;

static Ioapic *ioapic_of(Device *dev)
{
    return container_of(dev, Ioapic, dev);
}

/* An accelerator may own the chip; then this is a copy of theirs. */
static bool owned(void)
{
    return irqchip_owner && irqchip_owner->ioapic;
}

static void fetch(Ioapic *s)
{
    if (owned()) {
        irqchip_owner->get_ioapic(&s->chip);
    }
}

/* Registers changed: who owns the chip, or tells it of EOIs, must know. */
static void changed(Ioapic *s)
{
    if (owned()) {
        irqchip_owner->put_ioapic(&s->chip);
    } else if (irqchip_owner && irqchip_owner->ioapic_changed) {
        irqchip_owner->ioapic_changed(&s->chip);
    }
}

/* --- delivery ---------------------------------------------------------------- */

/* Send pin `n`'s message.  True when some local APIC took it. */
static bool deliver(Ioapic *s, int n)
{
    uint64_t e = s->chip.redir[n];
    unsigned mode = bits_get(e, REDIR_MODE_SHIFT, REDIR_MODE_LEN);

    trace("ioapic-deliver", "pin %d entry 0x%016" PRIx64, n, e);
    return apic_bus_deliver(e >> REDIR_DEST_SHIFT, e & REDIR_LOGICAL, mode,
                            e & REDIR_VECTOR, e & REDIR_LEVEL);
}

/* Level pins: once asserted, one message until it is acknowledged. */
static void service_level(Ioapic *s, int n)
{
    uint64_t *e = &s->chip.redir[n];
    unsigned mode = bits_get(*e, REDIR_MODE_SHIFT, REDIR_MODE_LEN);

    if (owned() || !(s->chip.lines & BIT(n)) || !(*e & REDIR_LEVEL)
        || (*e & (REDIR_MASKED | REDIR_REMOTE_IRR))) {
        return;
    }
    /* Only these two modes are answered by an EOI. */
    if (deliver(s, n) && (mode == APIC_DM_FIXED || mode == APIC_DM_LOWEST)) {
        *e |= REDIR_REMOTE_IRR;
    }
}

/* vCPU threads, without the machine lock. */
static void ioapic_eoi(Ioapic *s, uint8_t vector)
{
    g_mutex_lock(&s->mutex);
    fetch(s);
    for (int n = 0; n < IOAPIC_N_PINS; n++) {
        uint64_t *e = &s->chip.redir[n];

        if ((*e & REDIR_VECTOR) == vector && (*e & REDIR_LEVEL)
            && (*e & REDIR_REMOTE_IRR)) {
            *e &= ~(uint64_t)REDIR_REMOTE_IRR;
            service_level(s, n);
        }
    }
    if (owned()) {
        changed(s);
    }
    g_mutex_unlock(&s->mutex);
}

static void ioapic_eoi_broadcast(uint8_t vector)
{
    for (unsigned i = 0; i < ioapics->len; i++) {
        ioapic_eoi(g_ptr_array_index(ioapics, i), vector);
    }
}

static void ioapic_input(void *opaque, int n, int level)
{
    Ioapic *s = opaque;
    bool rising;

    if (owned()) {
        /* Lines 0 to 15 come in through the 8259. */
        if (n >= 16) {
            irqchip_owner->set_line(n, level);
        }
        return;
    }
    g_mutex_lock(&s->mutex);
    rising = level && !(s->chip.lines & BIT(n));
    s->chip.lines = level ? s->chip.lines | BIT(n) : s->chip.lines & ~BIT(n);
    if (s->chip.redir[n] & REDIR_LEVEL) {
        service_level(s, n);
    } else if (rising && !(s->chip.redir[n] & REDIR_MASKED)) {
        /* Edges at a masked pin are lost: 82093AA, 3.2.4. */
        deliver(s, n);
    }
    g_mutex_unlock(&s->mutex);
}

/* --- registers ---------------------------------------------------------------- */

static void write_redir(Ioapic *s, unsigned reg, uint32_t val)
{
    int n = (reg - IOREDTBL) / 2;
    unsigned at = reg & 1 ? 32 : 0;
    uint64_t *e = &s->chip.redir[n];
    uint64_t now = bits_set(*e, at, 32, val) & REDIR_WRITABLE;

    now |= *e & REDIR_READ_ONLY;
    if (!(now & REDIR_LEVEL)) {
        /* How Linux clears a stuck remote IRR where there is no IOEOI. */
        now &= ~(uint64_t)REDIR_REMOTE_IRR;
    }
    *e = now;
    service_level(s, n);
}

static uint32_t ioapic_get(const Ioapic *s, unsigned reg)
{
    switch (reg) {
    case IOAPICID:
    case IOAPICARB:             /* loaded from the id; nothing arbitrates */
        return s->chip.id;
    case IOAPICVER:
        return (IOAPIC_N_PINS - 1) << VER_ENTRIES_SHIFT | s->version;
    }
    if (reg >= IOREDTBL && reg < IOREDTBL_END) {
        return s->chip.redir[(reg - IOREDTBL) / 2] >> (reg & 1 ? 32 : 0);
    }
    return 0;
}

static void ioapic_set(Ioapic *s, unsigned reg, uint32_t val)
{
    if (reg == IOAPICID) {
        s->chip.id = val & ID_BITS;
    } else if (reg >= IOREDTBL && reg < IOREDTBL_END) {
        write_redir(s, reg, val);
    }
}

static uint64_t ioapic_read(void *opaque, hwaddr reg, unsigned size)
{
    Ioapic *s = opaque;
    uint32_t val = 0;

    g_mutex_lock(&s->mutex);
    fetch(s);
    switch (reg) {
    case IOREGSEL:
        val = s->chip.ioregsel;
        break;
    case IOWIN:
        val = ioapic_get(s, s->chip.ioregsel);
        break;
    }
    g_mutex_unlock(&s->mutex);
    return val;
}

static void ioapic_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Ioapic *s = opaque;

    trace("ioapic-write", "reg 0x%" PRIx64 " val 0x%" PRIx64, reg, val);
    if (reg == IOEOI && s->version >= 0x20) {
        ioapic_eoi(s, val);
        return;
    }
    g_mutex_lock(&s->mutex);
    fetch(s);
    switch (reg) {
    case IOREGSEL:
        s->chip.ioregsel = val;
        break;
    case IOWIN:
        ioapic_set(s, s->chip.ioregsel, val);
        break;
    }
    if (owned() || reg == IOWIN) {
        changed(s);
    }
    g_mutex_unlock(&s->mutex);
}

static const IoOps ioapic_ops = {
    .read = ioapic_read, .write = ioapic_write,
    .size_min = 4, .size_max = 4, .lockless = true,
};

/* --- device -------------------------------------------------------------------- */

static void ioapic_print(void *opaque, GString *out)
{
    static const char *const modes[] = {
        "fixed ", "lowest", "SMI   ", "...   ", "NMI   ", "INIT  ", "...   ",
        "ExtINT",
    };
    Ioapic *s = opaque;

    g_mutex_lock(&s->mutex);
    fetch(s);
    g_string_append_printf(out, "ioapic0: ver=0x%x id=0x%02x sel=0x%02x\n",
                           s->version, s->chip.id >> 24, s->chip.ioregsel);
    for (int n = 0; n < IOAPIC_N_PINS; n++) {
        uint64_t e = s->chip.redir[n];

        g_string_append_printf(out, "  pin %-2d 0x%016" PRIx64 " dest=0x%02x "
                               "vec=%-3u %s %s %s%s%s\n", n, e,
                               (unsigned)(e >> REDIR_DEST_SHIFT),
                               (unsigned)(e & REDIR_VECTOR),
                               modes[bits_get(e, REDIR_MODE_SHIFT,
                                              REDIR_MODE_LEN)],
                               e & REDIR_LOGICAL ? "logical " : "physical",
                               e & REDIR_LEVEL ? "level" : "edge ",
                               e & REDIR_MASKED ? " masked" : "",
                               e & REDIR_REMOTE_IRR ? " remote-irr" : "");
    }
    g_string_append_printf(out, "  lines    0x%06x\n", s->chip.lines);
    g_mutex_unlock(&s->mutex);
}

static void ioapic_reset(Device *dev)
{
    Ioapic *s = ioapic_of(dev);

    g_mutex_lock(&s->mutex);
    s->chip.id = 0;
    s->chip.ioregsel = 0;
    for (int n = 0; n < IOAPIC_N_PINS; n++) {
        s->chip.redir[n] = REDIR_MASKED;
    }
    changed(s);
    g_mutex_unlock(&s->mutex);
}

static void ioapic_pre_save(void *dev)
{
    fetch(ioapic_of(dev));
}

static void ioapic_update(Device *dev)
{
    changed(ioapic_of(dev));
}

static bool ioapic_realize(Device *dev, GError **err)
{
    Ioapic *s = ioapic_of(dev);

    if (s->version != 0x11 && s->version != 0x20) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "ioapic: version 0x%x is unknown: use 0x11 or 0x20",
                    s->version);
        return false;
    }
    g_mutex_init(&s->mutex);
    region_init_io(&s->io, &dev->obj, "ioapic", &ioapic_ops, s, IOAPIC_BYTES);
    device_add_region(dev, &s->io);
    if (!ioapics) {
        ioapics = g_ptr_array_new();
    }
    g_ptr_array_add(ioapics, s);
    apic_bus_eoi = ioapic_eoi_broadcast;
    irqchip_add_print(ioapic_print, s);
    ioapic_reset(dev);
    return true;
}

static void ioapic_unrealize(Device *dev)
{
    Ioapic *s = ioapic_of(dev);

    irqchip_remove_print(ioapic_print, s);
    g_ptr_array_remove(ioapics, s);
    if (ioapics->len == 0) {
        apic_bus_eoi = NULL;
        g_clear_pointer(&ioapics, g_ptr_array_unref);
    }
    region_destroy(&s->io);
    g_mutex_clear(&s->mutex);
}

static const Property ioapic_props[] = {
    PROP_U8(Ioapic, version, "version", 0x20,
            "0x11, or 0x20 with an EOI register"),
    {}
};

static const State ioapic_dev_state = {
    .name = "ioapic-device", .version = 1, .pre_save = ioapic_pre_save,
    .fields = (const StateField[]) {
        STATE_STRUCT(Ioapic, chip, &ioapic_state), {}
    },
};

const DeviceType ioapic_type = {
    .name = "ioapic", .doc = "82093AA I/O APIC",
    .parent = &device_type, .size = sizeof(Ioapic), .internal = true,
    .props = ioapic_props, .state = &ioapic_dev_state,
    .input = ioapic_input, .n_inputs = IOAPIC_N_PINS,
    .realize = ioapic_realize, .unrealize = ioapic_unrealize,
    .reset = ioapic_reset, .update = ioapic_update,
};
DEVICE_TYPE(ioapic_type)
