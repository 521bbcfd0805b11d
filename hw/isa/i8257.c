/*
 * The PC's two 8237A DMA controllers and their page registers.
 *
 * Spec:   Intel 8237A datasheet (order 231466-005); page registers: IBM PC AT
 *         technical reference, 82371SB (PIIX3) section 2.5.
 * Models: channels 0-3 (bytes) and 5-7 (words), all modes, autoinitialise,
 *         decrement, software requests, memory-to-memory on channels 0 and 1.
 *         A device on the bus moves its bytes by isa_dma_transfer(); nothing
 *         is lost to timing, so compressed timing and priorities are stored
 *         only.  A software request on a channel of a device moves no data:
 *         it counts down, as a verify does.
 *         Page registers that no channel uses keep what is written: port 80h
 *         takes POST codes (`-trace post-code`).
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "hw/isa/i8257.h"
#include "hw/isa/isa.h"
#include "mem/doorbell.h"

#define N_CHANNELS 4            /* of each controller */
#define N_PAGES    16

enum { DMA1_PORT = 0x00, DMA2_PORT = 0xc0, PAGE_PORT = 0x80 };
enum { POST_PAGE = 0x0 };       /* port 80h */
enum { CHANNEL_CASCADE = 4 };

enum {                          /* registers behind address and count */
    REG_COMMAND = 8,            /* read: status */
    REG_REQUEST,
    REG_SINGLE_MASK,
    REG_MODE,
    REG_CLEAR_FLIP_FLOP,
    REG_MASTER_CLEAR,           /* read: temporary register */
    REG_CLEAR_MASK,
    REG_ALL_MASK,
    N_REGS
};

enum {
    COMMAND_MEM_TO_MEM = 0x01,
    COMMAND_HOLD_CH0   = 0x02,  /* the source address stays */
    COMMAND_OFF        = 0x04,

    SELECT_CHANNEL     = 0x03,  /* request, mask and mode registers */
    SELECT_SET         = 0x04,  /* request and mask */

    MODE_TYPE          = 0x0c,
    MODE_WRITE         = 0x04,  /* to memory */
    MODE_READ          = 0x08,
    MODE_AUTOINIT      = 0x10,
    MODE_DECREMENT     = 0x20,
    MODE_KIND          = 0xc0,
    MODE_CASCADE       = 0xc0,
};

typedef struct {
    uint16_t base_addr, base_count;
    uint16_t addr, count;
    uint8_t mode;
} DmaChannel;

typedef struct {
    DmaChannel ch[N_CHANNELS];
    uint8_t command;
    uint8_t tc;                 /* status: terminal counts, until read */
    uint8_t soft_request;
    uint8_t mask;
    uint8_t temp;
    bool flip_flop;             /* the high byte is next */
} Dma;

typedef struct {
    IsaDevice isa;
    Region io[2], page_io;
    struct {
        IsaDmaReadyFn *ready;
        void *opaque;
        bool dreq;              /* the device's to say again after a load */
    } users[2 * N_CHANNELS];

    Dma dma[2];
    uint8_t pages[N_PAGES];
} I8257;

static I8257 *i8257_of(Device *dev)
{
    return container_of(dev, I8257, isa.dev);
}

/* --- addresses ---------------------------------------------------------------- */

/* Which page register belongs to a channel: wired as on the AT's board. */
static uint8_t page_of(const I8257 *s, unsigned channel)
{
    static const uint8_t page[2 * N_CHANNELS] = {
        0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa,
    };

    return s->pages[page[channel]];
}

static hwaddr gpa_of(const I8257 *s, unsigned channel, uint16_t addr)
{
    uint8_t page = page_of(s, channel);

    return channel < N_CHANNELS ? page << 16 | addr
                                : (page & 0xfe) << 16 | addr << 1;
}

/* One unit is done: a byte, or a word on 5 to 7.  True at the terminal
 * count. */
static bool step(Dma *d, unsigned n)
{
    DmaChannel *c = &d->ch[n];

    c->addr += c->mode & MODE_DECREMENT ? -1 : 1;
    if (c->count-- != 0) {
        return false;
    }
    d->tc |= BIT(n);
    d->soft_request &= ~BIT(n);
    if (c->mode & MODE_AUTOINIT) {
        c->addr = c->base_addr;
        c->count = c->base_count;
    } else {
        d->mask |= BIT(n);
    }
    return true;
}

/* --- devices' side -------------------------------------------------------------- */

static bool enabled(const I8257 *s, unsigned channel)
{
    const Dma *d = &s->dma[channel / N_CHANNELS];

    /* The first controller reaches the bus through the second's channel 4. */
    if (channel < N_CHANNELS
        && ((s->dma[1].command & COMMAND_OFF) || (s->dma[1].mask & 1)
            || (s->dma[1].ch[0].mode & MODE_KIND) != MODE_CASCADE)) {
        return false;
    }
    return !(d->command & COMMAND_OFF) && !(d->mask & BIT(channel % N_CHANNELS));
}

static void run(I8257 *s)
{
    for (unsigned i = 0; i < 2 * N_CHANNELS; i++) {
        if (s->users[i].dreq && s->users[i].ready && enabled(s, i)) {
            s->users[i].ready(s->users[i].opaque);
        }
    }
}

void isa_dma_attach(Device *dma, unsigned channel, IsaDmaReadyFn *ready,
                    void *opaque)
{
    I8257 *s = i8257_of(dma);

    s->users[channel].ready = ready;
    s->users[channel].opaque = opaque;
    s->users[channel].dreq = false;
}

void isa_dma_request(Device *dma, unsigned channel, bool on)
{
    I8257 *s = i8257_of(dma);

    s->users[channel].dreq = on;
    if (on && s->users[channel].ready && enabled(s, channel)) {
        s->users[channel].ready(s->users[channel].opaque);
    }
}

unsigned isa_dma_transfer(Device *dma, unsigned channel, void *buf,
                          unsigned len, bool *tc)
{
    I8257 *s = i8257_of(dma);
    unsigned unit = channel < N_CHANNELS ? 1 : 2, n = channel % N_CHANNELS;
    Dma *d = &s->dma[channel / N_CHANNELS];
    DmaChannel *c = &d->ch[n];
    uint8_t *at = buf;
    unsigned done = 0;

    *tc = false;
    while (done + unit <= len && enabled(s, channel) && !*tc) {
        hwaddr gpa = gpa_of(s, channel, c->addr);

        if ((c->mode & MODE_TYPE) == MODE_READ) {
            as_read(&as_memory, gpa, at + done, unit);
        } else if ((c->mode & MODE_TYPE) == MODE_WRITE) {
            as_write(&as_memory, gpa, at + done, unit);
        }
        done += unit;
        *tc = step(d, n);
    }
    return done;
}

/* --- software requests ------------------------------------------------------------ */

/* Channel 0 reads, channel 1 writes and counts. */
static void move_memory(I8257 *s, Dma *d)
{
    bool hold = d->command & COMMAND_HOLD_CH0;
    bool tc = false;

    while (!tc) {
        uint16_t from = d->ch[0].addr;

        as_read(&as_memory, gpa_of(s, 0, from), &d->temp, 1);
        as_write(&as_memory, gpa_of(s, 1, d->ch[1].addr), &d->temp, 1);
        step(d, 0);
        if (hold) {
            d->ch[0].addr = from;
        }
        tc = step(d, 1);        /* after at most 65536 bytes */
    }
    d->soft_request &= ~1;
}

static void run_soft_requests(I8257 *s, unsigned which)
{
    Dma *d = &s->dma[which];

    if (d->command & COMMAND_OFF) {
        return;
    }
    if (which == 0 && (d->command & COMMAND_MEM_TO_MEM)
        && (d->soft_request & 1)) {
        move_memory(s, d);
    }
    for (unsigned n = 0; n < N_CHANNELS; n++) {
        /* They cannot be masked: 8237A, "Request Register". */
        while ((d->soft_request & BIT(n))
               && (d->ch[n].mode & MODE_KIND) != MODE_CASCADE) {
            step(d, n);
        }
    }
}

/* --- registers --------------------------------------------------------------------- */

static void put_byte(uint16_t *reg, bool high, uint8_t val)
{
    *reg = high ? (*reg & 0x00ff) | val << 8 : (*reg & 0xff00) | val;
}

static void write_channel(Dma *d, unsigned reg, uint8_t val)
{
    DmaChannel *c = &d->ch[reg / 2];

    if (reg & 1) {
        put_byte(&c->base_count, d->flip_flop, val);
        c->count = c->base_count;
    } else {
        put_byte(&c->base_addr, d->flip_flop, val);
        c->addr = c->base_addr;
    }
    d->flip_flop = !d->flip_flop;
}

static uint8_t read_channel(Dma *d, unsigned reg)
{
    const DmaChannel *c = &d->ch[reg / 2];
    uint16_t val = reg & 1 ? c->count : c->addr;

    d->flip_flop = !d->flip_flop;
    return d->flip_flop ? val : val >> 8;
}

static void master_clear(Dma *d)
{
    d->command = d->tc = d->soft_request = d->temp = 0;
    d->flip_flop = false;
    d->mask = BIT(N_CHANNELS) - 1;
}

static void dma_write(I8257 *s, unsigned which, unsigned reg, uint8_t val)
{
    Dma *d = &s->dma[which];
    uint8_t bit = BIT(val & SELECT_CHANNEL);

    trace("dma-write", "controller %u reg %u val 0x%02x", which, reg, val);
    if (reg < REG_COMMAND) {
        write_channel(d, reg, val);
        return;
    }
    switch (reg) {
    case REG_COMMAND:
        d->command = val;
        break;
    case REG_REQUEST:
        d->soft_request = val & SELECT_SET ? d->soft_request | bit
                                           : d->soft_request & ~bit;
        break;
    case REG_SINGLE_MASK:
        d->mask = val & SELECT_SET ? d->mask | bit : d->mask & ~bit;
        break;
    case REG_MODE:
        d->ch[val & SELECT_CHANNEL].mode = val & ~SELECT_CHANNEL;
        break;
    case REG_CLEAR_FLIP_FLOP:
        d->flip_flop = false;
        break;
    case REG_MASTER_CLEAR:
        master_clear(d);
        break;
    case REG_CLEAR_MASK:
        d->mask = 0;
        break;
    case REG_ALL_MASK:
        d->mask = val & (BIT(N_CHANNELS) - 1);
        break;
    }
    run_soft_requests(s, which);
    run(s);
}

static uint8_t dma_read(I8257 *s, unsigned which, unsigned reg)
{
    Dma *d = &s->dma[which];
    uint8_t val = 0;

    if (reg < REG_COMMAND) {
        return read_channel(d, reg);
    }
    switch (reg) {
    case REG_COMMAND:
        val = d->tc | d->soft_request << 4;
        for (unsigned n = 0; n < N_CHANNELS; n++) {
            val |= s->users[which * N_CHANNELS + n].dreq ? BIT(4 + n) : 0;
        }
        d->tc = 0;
        return val;
    case REG_MASTER_CLEAR:
        return d->temp;
    case REG_ALL_MASK:          /* not in the datasheet, but in chip sets */
        return d->mask;
    default:
        return 0xff;
    }
}

static uint64_t dma1_read(void *opaque, hwaddr reg, unsigned size)
{
    return dma_read(opaque, 0, reg);
}

static void dma1_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    dma_write(opaque, 0, reg, val);
}

/* The second one ignores A0: it sits on the word lines. */
static uint64_t dma2_read(void *opaque, hwaddr reg, unsigned size)
{
    return dma_read(opaque, 1, reg / 2);
}

static void dma2_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    dma_write(opaque, 1, reg / 2, val);
}

static uint64_t page_read(void *opaque, hwaddr reg, unsigned size)
{
    I8257 *s = opaque;

    return s->pages[reg];
}

static void page_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    I8257 *s = opaque;

    if (reg == POST_PAGE) {
        trace("post-code", "0x%02" PRIx64, val);
    }
    s->pages[reg] = val;
}

static const IoOps dma_ops[2] = {
    { .read = dma1_read, .write = dma1_write, .size_min = 1, .size_max = 1 },
    { .read = dma2_read, .write = dma2_write, .size_min = 1, .size_max = 1 },
};

static const IoOps page_ops = {
    .read = page_read, .write = page_write, .size_min = 1, .size_max = 1,
};

/* --- device -------------------------------------------------------------------------- */

static void i8257_reset(Device *dev)
{
    I8257 *s = i8257_of(dev);

    for (int i = 0; i < 2; i++) {
        s->dma[i] = (Dma) {};
        master_clear(&s->dma[i]);
    }
    memset(s->pages, 0, sizeof(s->pages));
}

static bool i8257_realize(Device *dev, GError **err)
{
    I8257 *s = i8257_of(dev);

    isa_map_io(&s->isa, DMA1_PORT, &s->io[0], &dma_ops[0], s, "dma1", N_REGS,
               NULL);
    isa_map_io(&s->isa, DMA2_PORT, &s->io[1], &dma_ops[1], s, "dma2",
               2 * N_REGS, NULL);
    /* The first one is no channel's: POST codes, and delays by writing. */
    doorbell_add(&s->page_io, &(Doorbell) { .size = 1, .posted = true });
    isa_map_io(&s->isa, PAGE_PORT, &s->page_io, &page_ops, s, "dma-page",
               N_PAGES, NULL);
    i8257_reset(dev);
    return true;
}

static void i8257_unrealize(Device *dev)
{
    I8257 *s = i8257_of(dev);

    isa_unmap_io(&s->isa, &s->page_io);
    doorbell_remove_all(&s->page_io);
    isa_unmap_io(&s->isa, &s->io[1]);
    isa_unmap_io(&s->isa, &s->io[0]);
}

static const State channel_state = {
    .name = "i8257-channel", .version = 1,
    .fields = (const StateField[]) {
        STATE_U16(DmaChannel, base_addr), STATE_U16(DmaChannel, base_count),
        STATE_U16(DmaChannel, addr), STATE_U16(DmaChannel, count),
        STATE_U8(DmaChannel, mode), {}
    },
};

static const State dma_state = {
    .name = "i8257-controller", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT_ARRAY(Dma, ch, &channel_state), STATE_U8(Dma, command),
        STATE_U8(Dma, tc), STATE_U8(Dma, soft_request), STATE_U8(Dma, mask),
        STATE_U8(Dma, temp), STATE_BOOL(Dma, flip_flop), {}
    },
};

static const State i8257_state = {
    .name = "i8257", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT_ARRAY(I8257, dma, &dma_state),
        STATE_BYTES(I8257, pages), {}
    },
};

const DeviceType i8257_type = {
    .name = "i8257", .doc = "8237A DMA controllers and page registers",
    .parent = &isa_device_type, .size = sizeof(I8257), .internal = true,
    .state = &i8257_state,
    .realize = i8257_realize, .unrealize = i8257_unrealize,
    .reset = i8257_reset,
};
DEVICE_TYPE(i8257_type)
