/*
 * The PC's pair of 8259A interrupt controllers: master at 20h, slave at A0h
 * on the master's input 2, edge/level control at 4D0h.
 *
 * Spec:   Intel 8259A datasheet (order 231468-003); ELCR: 82371SB (PIIX3),
 *         section 2.5.
 * Models: everything in 8086 mode.  The MCS-80 call sequence (ICW4 bit 0
 *         clear, ICW1 bits 5-7 and 2) and buffered mode are stored nowhere
 *         and act like 8086 mode, as in a PC nothing else can be wired.
 *         An edge stays latched when its line falls before INTA, as in the
 *         chipset cells that follow the 8259A: a pulse is never lost.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/opts.h"
#include "base/trace.h"
#include "core/irqchip.h"
#include "core/machine.h"
#include "hw/isa/isa.h"

enum { MASTER, SLAVE, N_PICS };
enum { CASCADE_IR = 2 };        /* where the slave's INT goes */

enum {
    ICW1_IC4    = 0x01,         /* ICW4 will come */
    ICW1_SNGL   = 0x02,
    ICW1_LTIM   = 0x08,
    ICW1_SELECT = 0x10,         /* tells ICW1 from OCW2 and OCW3 */

    ICW2_BASE   = 0xf8,
    ICW3_ID     = 0x07,         /* in a slave */

    ICW4_AEOI   = 0x02,
    ICW4_SFNM   = 0x10,

    OCW_SELECT  = 0x08,         /* tells OCW3 from OCW2 */
    OCW2_LEVEL  = 0x07,
    OCW3_RIS    = 0x01,
    OCW3_RR     = 0x02,
    OCW3_POLL   = 0x04,
    OCW3_SMM    = 0x20,
    OCW3_ESMM   = 0x40,

    POLL_IRQ    = 0x80,
    SPURIOUS_IR = 7,
};

/* OCW2's R, SL and EOI bits */
enum {
    OCW2_ROTATE_AEOI_CLEAR, OCW2_EOI, OCW2_NOP, OCW2_EOI_SPECIFIC,
    OCW2_ROTATE_AEOI_SET, OCW2_ROTATE_EOI, OCW2_SET_PRIORITY,
    OCW2_ROTATE_EOI_SPECIFIC,
};

/* Inputs that ELCR can make level-triggered: not 0, 1, 2, 8 and 13. */
static const uint8_t elcr_mask[N_PICS] = { 0xf8, 0xde };

typedef struct {
    IsaDevice isa;
    Region io[N_PICS], elcr_io;
    Irq intr;                   /* out: to the processor's INTR */

    PicState pic[N_PICS];
} I8259;

static I8259 *the_pair;         /* what irqchip_pic_inta acknowledges */

static I8259 *i8259_of(Device *dev)
{
    return container_of(dev, I8259, isa.dev);
}

/* --- priorities ------------------------------------------------------------ */

static uint8_t level_inputs(const PicState *p)
{
    return p->ltim ? 0xff : p->elcr;
}

/* How far input `ir` is from the top: 0 wins, 7 is `lowest`. */
static unsigned priority(const PicState *p, unsigned ir)
{
    return (ir - p->lowest - 1) & 7;
}

/* The input in `set` with the highest priority, or -1. */
static int highest(const PicState *p, uint8_t set)
{
    if (!set) {
        return -1;
    }
    /* Rotate so that the top input is bit 0. */
    unsigned top = (p->lowest + 1) & 7;
    uint8_t turned = (set >> top) | (set << (8 - top));

    return (__builtin_ctz(turned) + top) & 7;
}

/* The input that asks for an interrupt now, or -1. */
static int request(const I8259 *s, int which)
{
    const PicState *p = &s->pic[which];
    int ir = highest(p, p->irr & ~p->imr);
    uint8_t in_service = p->isr;

    if (ir < 0) {
        return -1;
    }
    if (p->special_mask) {
        in_service &= ~p->imr;
    }
    if (p->sfnm && which == MASTER) {
        /* A slave in service may ask again, for a higher input of its own. */
        in_service &= ~p->icw3;
    }
    int busy = highest(p, in_service);

    return busy < 0 || priority(p, ir) < priority(p, busy) ? ir : -1;
}

/* --- outputs ---------------------------------------------------------------- */

static void pic_set_ir(PicState *p, unsigned ir, bool level)
{
    uint8_t bit = BIT(ir);
    bool rising = level && !(p->lines & bit);

    p->lines = level ? p->lines | bit : p->lines & ~bit;
    if (level_inputs(p) & bit) {
        p->irr = level ? p->irr | bit : p->irr & ~bit;
    } else if (rising) {
        p->irr |= bit;
    }
}

/* Unlike an ISA pulse, a slave's withdrawn request leaves the master: no
 * spurious IRQ 15 for each input that a guest masks in time. */
static void set_cascade(I8259 *s, bool level)
{
    PicState *p = &s->pic[MASTER];

    pic_set_ir(p, CASCADE_IR, level);
    if (!level) {
        p->irr &= ~BIT(CASCADE_IR);
    }
}

/* An accelerator may own the chips; then this is a copy of theirs. */
static bool owned(void)
{
    return irqchip_owner && irqchip_owner->pic;
}

static void i8259_fetch(I8259 *s)
{
    if (owned()) {
        irqchip_owner->get_pic(s->pic);
    }
}

static void i8259_drive(I8259 *s)
{
    if (owned()) {
        irqchip_owner->put_pic(s->pic);
        return;
    }
    set_cascade(s, request(s, SLAVE) >= 0);
    irq_set(&s->intr, request(s, MASTER) >= 0);
}

/* --- acknowledge and end of interrupt ---------------------------------------- */

static void pic_ack(PicState *p, unsigned ir)
{
    if (!(level_inputs(p) & BIT(ir))) {
        p->irr &= ~BIT(ir);
    }
    if (!p->auto_eoi) {
        p->isr |= BIT(ir);
    } else if (p->rotate_on_auto_eoi) {
        p->lowest = ir;
    }
}

/* The vector that `which` puts on the bus at INTA. */
static int pic_vector(I8259 *s, int which)
{
    PicState *p = &s->pic[which];
    int ir = request(s, which);

    if (ir < 0) {
        ir = SPURIOUS_IR;       /* the request went away: no ISR bit */
    } else {
        pic_ack(p, ir);
        /* The slave drives the bus if the master says that one is there and
         * names it as it calls itself. */
        if (which == MASTER && ir == CASCADE_IR && !p->single
            && (p->icw3 & BIT(CASCADE_IR))
            && (s->pic[SLAVE].icw3 & ICW3_ID) == CASCADE_IR) {
            return pic_vector(s, SLAVE);
        }
    }
    return p->icw2 | ir;
}

static int i8259_inta(void)
{
    I8259 *s = the_pair;

    if (!s) {
        return -1;
    }
    int vector = pic_vector(s, MASTER);

    trace("pic-inta", "vector 0x%02x", vector);
    /* The slave's INT falls during INTA, so that its next request is an edge
     * for the master. */
    set_cascade(s, false);
    i8259_drive(s);
    return vector;
}

static void pic_eoi(PicState *p, int ir, bool rotate)
{
    if (ir >= 0) {
        p->isr &= ~BIT(ir);
        if (rotate) {
            p->lowest = ir;
        }
    }
}

/* In special mask mode, masked inputs are no candidates for a plain EOI. */
static int eoi_candidate(const PicState *p)
{
    return highest(p, p->special_mask ? p->isr & ~p->imr : p->isr);
}

/* --- registers -------------------------------------------------------------- */

static void pic_write_icw1(PicState *p, uint8_t icw1)
{
    /* Edges must come anew; level inputs still see their lines. */
    p->ltim = icw1 & ICW1_LTIM;
    p->irr = p->lines & level_inputs(p);
    p->imr = 0;
    p->isr = 0;
    p->lowest = 7;
    p->special_mask = false;
    p->read_isr = false;
    p->poll = false;
    p->rotate_on_auto_eoi = false;
    p->auto_eoi = false;
    p->sfnm = false;
    p->single = icw1 & ICW1_SNGL;
    p->expect_icw4 = icw1 & ICW1_IC4;
    p->init_state = 2;
}

static void pic_write_ocw2(PicState *p, uint8_t ocw2)
{
    int ir = ocw2 & OCW2_LEVEL;

    switch (ocw2 >> 5) {
    case OCW2_ROTATE_AEOI_CLEAR:
        p->rotate_on_auto_eoi = false;
        break;
    case OCW2_ROTATE_AEOI_SET:
        p->rotate_on_auto_eoi = true;
        break;
    case OCW2_EOI:
        pic_eoi(p, eoi_candidate(p), false);
        break;
    case OCW2_ROTATE_EOI:
        pic_eoi(p, eoi_candidate(p), true);
        break;
    case OCW2_EOI_SPECIFIC:
        pic_eoi(p, ir, false);
        break;
    case OCW2_ROTATE_EOI_SPECIFIC:
        pic_eoi(p, ir, true);
        break;
    case OCW2_SET_PRIORITY:
        p->lowest = ir;
        break;
    case OCW2_NOP:
        break;
    }
}

static void pic_write_ocw3(PicState *p, uint8_t ocw3)
{
    if (ocw3 & OCW3_ESMM) {
        p->special_mask = ocw3 & OCW3_SMM;
    }
    if (ocw3 & OCW3_POLL) {
        p->poll = true;
    } else if (ocw3 & OCW3_RR) {
        p->read_isr = ocw3 & OCW3_RIS;
    }
}

static void pic_write_data(PicState *p, uint8_t val)
{
    switch (p->init_state) {
    case 0:
        p->imr = val;           /* OCW1 */
        return;
    case 2:
        p->icw2 = val & ICW2_BASE;
        p->init_state = !p->single ? 3 : p->expect_icw4 ? 4 : 0;
        return;
    case 3:
        p->icw3 = val;
        p->init_state = p->expect_icw4 ? 4 : 0;
        return;
    case 4:
        p->auto_eoi = val & ICW4_AEOI;
        p->sfnm = val & ICW4_SFNM;
        p->init_state = 0;
        return;
    }
}

static void pic_write(I8259 *s, int which, hwaddr reg, uint8_t val)
{
    PicState *p = &s->pic[which];

    trace("pic-write", "chip %d reg %" PRIu64 " val 0x%02x", which, reg, val);
    i8259_fetch(s);
    if (reg) {
        pic_write_data(p, val);
    } else if (val & ICW1_SELECT) {
        pic_write_icw1(p, val);
    } else if (val & OCW_SELECT) {
        pic_write_ocw3(p, val);
    } else {
        pic_write_ocw2(p, val);
    }
    i8259_drive(s);
}

static uint8_t pic_read(I8259 *s, int which, hwaddr reg)
{
    PicState *p = &s->pic[which];

    i8259_fetch(s);
    if (p->poll) {
        /* A poll is an INTA cycle of this chip alone; either port will do. */
        int ir = request(s, which);

        p->poll = false;
        if (ir < 0) {
            return 0;
        }
        pic_ack(p, ir);
        i8259_drive(s);
        return POLL_IRQ | ir;
    }
    return reg ? p->imr : p->read_isr ? p->isr : p->irr;
}

static uint64_t master_read(void *opaque, hwaddr reg, unsigned size)
{
    return pic_read(opaque, MASTER, reg);
}

static void master_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    pic_write(opaque, MASTER, reg, val);
}

static uint64_t slave_read(void *opaque, hwaddr reg, unsigned size)
{
    return pic_read(opaque, SLAVE, reg);
}

static void slave_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    pic_write(opaque, SLAVE, reg, val);
}

static uint64_t elcr_read(void *opaque, hwaddr reg, unsigned size)
{
    I8259 *s = opaque;

    i8259_fetch(s);
    return s->pic[reg].elcr;
}

static void elcr_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    I8259 *s = opaque;
    PicState *p = &s->pic[reg];

    i8259_fetch(s);
    p->elcr = val & elcr_mask[reg];
    /* A level input's IRR bit is its line. */
    p->irr = (p->irr & ~level_inputs(p)) | (p->lines & level_inputs(p));
    i8259_drive(s);
}

static const IoOps pic_ops[N_PICS] = {
    { .read = master_read, .write = master_write,
      .size_min = 1, .size_max = 1 },
    { .read = slave_read, .write = slave_write, .size_min = 1, .size_max = 1 },
};

static const IoOps elcr_ops = {
    .read = elcr_read, .write = elcr_write, .size_min = 1, .size_max = 1,
};

/* --- device ------------------------------------------------------------------ */

static void i8259_input(void *opaque, int n, int level)
{
    I8259 *s = opaque;
    PicState *p = &s->pic[n / 8];
    uint8_t old_irr = p->irr;

    if (n == CASCADE_IR) {
        return;                 /* the slave's own */
    }
    if (owned()) {
        irqchip_owner->set_line(n, level);
        return;
    }
    pic_set_ir(p, n & 7, level);
    if (p->irr != old_irr) {
        trace("pic-set-irq", "irq %d level %d", n, level);
        i8259_drive(s);
    }
}

static void i8259_print(void *opaque, GString *out)
{
    I8259 *s = opaque;

    i8259_fetch(s);
    for (int i = 0; i < N_PICS; i++) {
        const PicState *p = &s->pic[i];

        g_string_append_printf(out, "pic%d: irr=%02x imr=%02x isr=%02x "
                               "hprio=%d irq_base=%02x rr_sel=%d elcr=%02x "
                               "fnm=%d\n", i, p->irr, p->imr, p->isr,
                               (p->lowest + 1) & 7, p->icw2, p->read_isr,
                               p->elcr, p->sfnm);
    }
}

/* The datasheet states no power-up condition; ours has nothing masked. */
static void i8259_reset(Device *dev)
{
    I8259 *s = i8259_of(dev);

    for (int i = 0; i < N_PICS; i++) {
        s->pic[i] = (PicState) {
            .lines = s->pic[i].lines, .lowest = 7,
            .icw3 = i == MASTER ? BIT(CASCADE_IR) : CASCADE_IR,
        };
    }
    s->pic[MASTER].lines &= ~BIT(CASCADE_IR);
    if (owned()) {
        irqchip_owner->put_pic(s->pic);
    }
    irq_lower(&s->intr);
}

static void i8259_pre_save(void *dev)
{
    i8259_fetch(i8259_of(dev));
}

static void i8259_update(Device *dev)
{
    i8259_drive(i8259_of(dev));
}

static bool i8259_realize(Device *dev, GError **err)
{
    I8259 *s = i8259_of(dev);

    if (the_pair) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "the machine has an 8259 pair already");
        return false;
    }
    isa_map_io(&s->isa, 0x20, &s->io[MASTER], &pic_ops[MASTER], s, "pic",
               2, NULL);
    isa_map_io(&s->isa, 0xa0, &s->io[SLAVE], &pic_ops[SLAVE], s, "pic",
               2, NULL);
    isa_map_io(&s->isa, 0x4d0, &s->elcr_io, &elcr_ops, s, "elcr", 2, NULL);
    the_pair = s;
    irqchip_pic_inta = i8259_inta;
    irqchip_add_print(i8259_print, s);
    i8259_reset(dev);
    return true;
}

static void i8259_unrealize(Device *dev)
{
    I8259 *s = i8259_of(dev);

    irqchip_remove_print(i8259_print, s);
    irqchip_pic_inta = NULL;
    the_pair = NULL;
    isa_unmap_io(&s->isa, &s->elcr_io);
    isa_unmap_io(&s->isa, &s->io[SLAVE]);
    isa_unmap_io(&s->isa, &s->io[MASTER]);
}

static const Output i8259_outputs[] = { OUTPUT(I8259, intr, "intr"), {} };

static const State i8259_state = {
    .name = "i8259-pair", .version = 1, .pre_save = i8259_pre_save,
    .fields = (const StateField[]) {
        STATE_STRUCT_ARRAY(I8259, pic, &pic_state), {}
    },
};

static const DeviceType i8259_type = {
    .name = "isa-i8259", .doc = "8259A interrupt controllers, master and slave",
    .parent = &isa_device_type, .size = sizeof(I8259), .internal = true,
    .outputs = i8259_outputs, .state = &i8259_state,
    .input = i8259_input, .n_inputs = 16,
    .realize = i8259_realize, .unrealize = i8259_unrealize,
    .reset = i8259_reset, .update = i8259_update,
};
DEVICE_TYPE(i8259_type)
