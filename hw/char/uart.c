/*
 * 16550A UART core.
 *
 * Spec:   National Semiconductor PC16550D datasheet (TL/C/8652, June 1995).
 * Models: all registers, FIFOs, interrupts, loopback.  Bytes leave as fast as
 *         the back end takes them unless `pacing`; FIFO DMA mode (RXRDY,
 *         TXRDY pins) is stored only; framing and parity errors do not occur
 *         on a wire without noise.  Modem inputs are a peer that is ready.
 *         OUT2 does not gate the interrupt: on cards that is outside the
 *         chip, and guests written for other emulators leave it clear.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "hw/char/uart.h"

enum {
    RBR_THR_DLL,                /* RBR read, THR write, DLL with DLAB */
    IER_DLM,
    IIR_FCR,
    LCR,
    MCR,
    LSR,
    MSR,
    SCR,
};

enum {
    IER_RDA  = 0x01,            /* received data available, and timeout */
    IER_THRE = 0x02,
    IER_RLS  = 0x04,            /* receiver line status */
    IER_MS   = 0x08,
    IER_BITS = 0x0f,

    IIR_NONE = 0x01,
    IIR_MS   = 0x00,            /* in order of priority, lowest first */
    IIR_THRE = 0x02,
    IIR_RDA  = 0x04,
    IIR_CTI  = 0x0c,
    IIR_RLS  = 0x06,
    IIR_FIFO = 0xc0,

    FCR_ENABLE   = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,
    FCR_STORED   = 0xc9,        /* trigger, DMA mode, enable */

    LCR_WLS  = 0x03,            /* data bits less 5 */
    LCR_STB  = 0x04,
    LCR_PEN  = 0x08,
    LCR_EPS  = 0x10,
    LCR_SP   = 0x20,
    LCR_SB   = 0x40,
    LCR_DLAB = 0x80,

    MCR_DTR  = 0x01,
    MCR_RTS  = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    MCR_BITS = 0x1f,

    LSR_DR   = 0x01,
    LSR_OE   = 0x02,
    LSR_PE   = 0x04,
    LSR_FE   = 0x08,
    LSR_BI   = 0x10,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80,
    LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI,

    MSR_DCTS = 0x01,
    MSR_DDSR = 0x02,
    MSR_TERI = 0x04,
    MSR_DDCD = 0x08,
    MSR_DELTAS = 0x0f,
    MSR_CTS  = 0x10,
    MSR_DSR  = 0x20,
    MSR_RI   = 0x40,
    MSR_DCD  = 0x80,
    MSR_LINES = 0xf0,
    MSR_PEER_READY = MSR_CTS | MSR_DSR | MSR_DCD,
};

static bool fifo_on(const Uart *s)
{
    return s->fcr & FCR_ENABLE;
}

/* --- line parameters ------------------------------------------------------ */

static unsigned divisor(const Uart *s)
{
    unsigned d = s->dlm << 8 | s->dll;

    return d ? d : 1;           /* zero stops a real one; keep time finite */
}

/* Twice the bits of a character: 5 data bits have 1.5 stop bits. */
static unsigned half_bits(const Uart *s)
{
    unsigned data = 5 + (s->lcr & LCR_WLS);
    unsigned stop = !(s->lcr & LCR_STB) ? 2 : data == 5 ? 3 : 4;

    return 2 * (1 + data + (s->lcr & LCR_PEN ? 1 : 0)) + stop;
}

static int64_t character_ns(const Uart *s)
{
    return half_bits(s) * NS_PER_SEC / 2 * divisor(s) / MAX(s->baudbase, 1);
}

static void tell_params(Uart *s)
{
    char parity = !(s->lcr & LCR_PEN) ? 'N'
                  : s->lcr & LCR_SP ? (s->lcr & LCR_EPS ? 'S' : 'M')
                  : s->lcr & LCR_EPS ? 'E' : 'O';

    chr_set_serial_params(&s->fe, s->baudbase / divisor(s), parity,
                          5 + (s->lcr & LCR_WLS), s->lcr & LCR_STB ? 2 : 1);
}

/* --- interrupts ----------------------------------------------------------- */

static unsigned rx_trigger(const Uart *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };

    return fifo_on(s) ? levels[s->fcr >> 6] : 1;
}

static uint8_t interrupt_id(const Uart *s)
{
    if ((s->ier & IER_RLS) && (s->lsr & LSR_ERRORS)) {
        return IIR_RLS;
    }
    if ((s->ier & IER_RDA) && s->rx_n >= rx_trigger(s)) {
        return IIR_RDA;
    }
    if ((s->ier & IER_RDA) && s->timeout_pending) {
        return IIR_CTI;
    }
    if ((s->ier & IER_THRE) && s->thre_pending) {
        return IIR_THRE;
    }
    if ((s->ier & IER_MS) && (s->msr & MSR_DELTAS)) {
        return IIR_MS;
    }
    return IIR_NONE;
}

static void update(Uart *s)
{
    irq_set(&s->irq, interrupt_id(s) != IIR_NONE);
}

/* --- receiver ------------------------------------------------------------- */

static void arm_timeout(Uart *s)
{
    s->timeout_pending = false;
    if (fifo_on(s) && s->rx_n) {
        timer_mod(&s->rx_timeout,
                  clock_ns(CLK_VIRTUAL) + 4 * character_ns(s));
    } else {
        timer_del(&s->rx_timeout);
    }
}

static void uart_on_rx_timeout(void *opaque)
{
    Uart *s = opaque;

    s->timeout_pending = s->rx_n > 0;
    update(s);
}

/* A character comes in, with LSR bits of its own. */
static void receive(Uart *s, uint8_t byte, uint8_t errors)
{
    unsigned depth = fifo_on(s) ? UART_FIFO_BYTES : 1;

    if (s->rx_n >= depth) {
        s->lsr |= LSR_OE;
        if (fifo_on(s)) {
            return;             /* the FIFO is kept, the character lost */
        }
        s->rx_n = 0;
    }
    unsigned at = (s->rx_head + s->rx_n) % UART_FIFO_BYTES;

    s->rx[at] = byte;
    s->rx_errors[at] = errors;
    if (s->rx_n++ == 0) {
        s->lsr |= errors;       /* told when it is the next to be read */
    }
    arm_timeout(s);
}

static uint8_t read_rbr(Uart *s)
{
    uint8_t byte = s->rx[s->rx_head];

    if (s->rx_n == 0) {
        return byte;            /* the last one again */
    }
    if (s->rx_n > 1) {
        s->rx_errors[s->rx_head] = 0;
        s->rx_head = (s->rx_head + 1) % UART_FIFO_BYTES;
        s->lsr |= s->rx_errors[s->rx_head];
    }
    s->rx_n--;
    arm_timeout(s);
    update(s);
    chr_accept_input(&s->fe);
    return byte;
}

static void clear_rx(Uart *s)
{
    s->rx_n = 0;
    arm_timeout(s);
}

static size_t uart_can_receive(void *opaque)
{
    Uart *s = opaque;

    if (s->mcr & MCR_LOOP) {
        return 0;               /* the input pin is disconnected: later */
    }
    return fifo_on(s) ? UART_FIFO_BYTES - s->rx_n : s->rx_n == 0;
}

static void uart_receive(void *opaque, const uint8_t *buf, size_t len)
{
    Uart *s = opaque;

    for (size_t i = 0; i < len; i++) {
        receive(s, buf[i], 0);
    }
    update(s);
}

static void uart_event(void *opaque, CharEvent ev)
{
    Uart *s = opaque;

    if (ev == CHR_BREAK && !(s->mcr & MCR_LOOP)) {
        receive(s, 0, LSR_BI);
        update(s);
    }
}

/* --- transmitter ---------------------------------------------------------- */

static bool tx_idle(const Uart *s)
{
    return !s->tx_n && !s->tsr_full && !timer_pending(&s->tx_done);
}

static void uart_on_writable(void *opaque);

/* Move bytes from THR through TSR to the line, as far as that takes them. */
static void transmit(Uart *s)
{
    while (!timer_pending(&s->tx_done)) {
        if (!s->tsr_full) {
            if (s->tx_n == 0) {
                break;
            }
            s->tsr = s->tx[s->tx_head];
            s->tsr_full = true;
            s->tx_head = (s->tx_head + 1) % UART_TX_BYTES;
            if (--s->tx_n == 0) {
                s->thre_pending = true;
            }
        }
        if (s->mcr & MCR_LOOP) {
            receive(s, s->tsr, 0);
        } else if (chr_write(&s->fe, &s->tsr, 1) != 1) {
            chr_wait_writable(&s->fe, uart_on_writable, s);
            break;
        }
        s->tsr_full = false;
        if (s->pacing) {
            timer_mod(&s->tx_done,
                      clock_ns(CLK_VIRTUAL) + character_ns(s));
        }
    }
    update(s);
}

static void uart_on_writable(void *opaque)
{
    transmit(opaque);
}

static void uart_on_tx_done(void *opaque)
{
    transmit(opaque);
}

static void write_thr(Uart *s, uint8_t byte)
{
    if (s->tx_n < UART_TX_BYTES) {
        s->tx[(s->tx_head + s->tx_n) % UART_TX_BYTES] = byte;
        s->tx_n++;
    }
    s->thre_pending = false;
    update(s);                  /* the line falls, if only for a moment */
    transmit(s);
}

static void clear_tx(Uart *s)
{
    if (s->tx_n) {
        s->tx_n = 0;
        s->thre_pending = true;
    }
}

/* --- modem ---------------------------------------------------------------- */

static uint8_t modem_lines(const Uart *s)
{
    if (!(s->mcr & MCR_LOOP)) {
        return MSR_PEER_READY;
    }
    return (s->mcr & MCR_RTS ? MSR_CTS : 0)
           | (s->mcr & MCR_DTR ? MSR_DSR : 0)
           | (s->mcr & MCR_OUT1 ? MSR_RI : 0)
           | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void update_modem(Uart *s)
{
    uint8_t now = modem_lines(s);
    uint8_t changed = (s->msr ^ now) & MSR_LINES;

    s->msr |= (changed & MSR_CTS ? MSR_DCTS : 0)
              | (changed & MSR_DSR ? MSR_DDSR : 0)
              | (changed & MSR_RI & ~now ? MSR_TERI : 0)
              | (changed & MSR_DCD ? MSR_DDCD : 0);
    s->msr = (s->msr & MSR_DELTAS) | now;
}

/* --- registers ------------------------------------------------------------ */

static void write_ier(Uart *s, uint8_t val)
{
    bool asks = (val & IER_THRE) && !(s->ier & IER_THRE);

    s->ier = val & IER_BITS;
    if (asks && s->tx_n == 0) {
        s->thre_pending = true; /* enabling it is itself a reason */
    }
}

static void write_fcr(Uart *s, uint8_t val)
{
    if ((val ^ s->fcr) & FCR_ENABLE) {
        val |= FCR_CLEAR_RX | FCR_CLEAR_TX;
    } else if (!(val & FCR_ENABLE)) {
        return;                 /* other bits count only with this one */
    }
    s->fcr = val & FCR_ENABLE ? val & FCR_STORED : 0;
    if (val & FCR_CLEAR_RX) {
        clear_rx(s);
    }
    if (val & FCR_CLEAR_TX) {
        clear_tx(s);
    }
    update(s);
    chr_accept_input(&s->fe);
}

static void write_lcr(Uart *s, uint8_t val)
{
    uint8_t changed = s->lcr ^ val;

    s->lcr = val;
    if (changed & LCR_SB) {
        chr_set_break(&s->fe, val & LCR_SB);
    }
    if (changed & ~(LCR_SB | LCR_DLAB)) {
        tell_params(s);
    }
}

static void write_mcr(Uart *s, uint8_t val)
{
    uint8_t changed = s->mcr ^ val;

    s->mcr = val & MCR_BITS;
    update_modem(s);
    if (changed & MCR_LOOP) {
        chr_accept_input(&s->fe);
    }
}

static uint8_t read_lsr(Uart *s)
{
    uint8_t val = s->lsr | (s->rx_n ? LSR_DR : 0)
                  | (s->tx_n == 0 ? LSR_THRE : 0)
                  | (tx_idle(s) ? LSR_TEMT : 0);

    for (unsigned i = 0; fifo_on(s) && i < s->rx_n; i++) {
        if (s->rx_errors[(s->rx_head + i) % UART_FIFO_BYTES]) {
            val |= LSR_FIFO_ERROR;
        }
    }
    s->lsr = 0;
    s->rx_errors[s->rx_head] = 0;
    return val;
}

static uint8_t read_iir(Uart *s)
{
    uint8_t id = interrupt_id(s);

    if (id == IIR_THRE) {
        s->thre_pending = false;
    }
    return id | (fifo_on(s) ? IIR_FIFO : 0);
}

static uint64_t uart_read(void *opaque, hwaddr reg, unsigned size)
{
    Uart *s = opaque;
    uint8_t val = 0;

    switch (reg) {
    case RBR_THR_DLL:
        val = s->lcr & LCR_DLAB ? s->dll : read_rbr(s);
        break;
    case IER_DLM:
        val = s->lcr & LCR_DLAB ? s->dlm : s->ier;
        break;
    case IIR_FCR:
        val = read_iir(s);
        break;
    case LCR:
        val = s->lcr;
        break;
    case MCR:
        val = s->mcr;
        break;
    case LSR:
        val = read_lsr(s);
        break;
    case MSR:
        val = s->msr;
        s->msr &= ~MSR_DELTAS;
        break;
    case SCR:
        val = s->scr;
        break;
    }
    update(s);
    return val;
}

static void uart_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
    Uart *s = opaque;

    trace("uart-write", "reg %" PRIu64 " val 0x%02" PRIx64, reg, val);
    switch (reg) {
    case RBR_THR_DLL:
        if (s->lcr & LCR_DLAB) {
            s->dll = val;
            tell_params(s);
        } else {
            write_thr(s, val);
        }
        break;
    case IER_DLM:
        if (s->lcr & LCR_DLAB) {
            s->dlm = val;
            tell_params(s);
        } else {
            write_ier(s, val);
        }
        break;
    case IIR_FCR:
        write_fcr(s, val);
        break;
    case LCR:
        write_lcr(s, val);
        break;
    case MCR:
        write_mcr(s, val);
        break;
    case LSR:                   /* for the factory's tests only */
    case MSR:
        break;
    case SCR:
        s->scr = val;
        break;
    }
    update(s);
}

const IoOps uart_ops = {
    .read = uart_read, .write = uart_write, .size_min = 1, .size_max = 1,
};

/* --- life ----------------------------------------------------------------- */

/* Table 1 of the datasheet; divisor and scratch, which a reset spares, get
 * the values that firmware would leave: 9600 baud. */
void uart_reset(Uart *s)
{
    timer_del(&s->rx_timeout);
    timer_del(&s->tx_done);
    chr_wait_writable(&s->fe, NULL, NULL);
    s->ier = s->fcr = s->lcr = s->mcr = s->scr = s->lsr = 0;
    s->dll = 12;
    s->dlm = 0;
    s->msr = MSR_PEER_READY;
    s->thre_pending = s->timeout_pending = s->tsr_full = false;
    s->rx_head = s->rx_n = s->tsr = 0;
    s->tx_head = s->tx_n = 0;
    memset(s->rx, 0, sizeof(s->rx));
    memset(s->rx_errors, 0, sizeof(s->rx_errors));
    memset(s->tx, 0, sizeof(s->tx));
    chr_set_break(&s->fe, false);
    tell_params(s);
    update(s);
    chr_accept_input(&s->fe);
}

void uart_update(Uart *s)
{
    tell_params(s);
    chr_set_break(&s->fe, s->lcr & LCR_SB);
    chr_accept_input(&s->fe);
    transmit(s);
}

bool uart_realize(Uart *s, Device *owner, GError **err)
{
    timer_init(&s->rx_timeout, owner->loop, CLK_VIRTUAL, uart_on_rx_timeout,
               s);
    timer_init(&s->tx_done, owner->loop, CLK_VIRTUAL, uart_on_tx_done, s);
    s->fe = (CharFrontend) {
        .can_read = uart_can_receive, .read = uart_receive,
        .event = uart_event, .opaque = s,
    };
    if (!chr_attach(&s->fe, s->chr, err)) {
        return false;
    }
    uart_reset(s);
    return true;
}

void uart_unrealize(Uart *s)
{
    timer_del(&s->rx_timeout);
    timer_del(&s->tx_done);
    chr_detach(&s->fe);
}

static bool uart_post_load(void *opaque, int version, GError **err)
{
    const Uart *s = opaque;

    return s->rx_head < UART_FIFO_BYTES && s->rx_n <= UART_FIFO_BYTES
           && s->tx_head < UART_TX_BYTES && s->tx_n <= UART_TX_BYTES;
}

const State uart_state = {
    .name = "serial", .version = 1, .post_load = uart_post_load,
    .fields = (const StateField[]) {
        STATE_U8(Uart, ier), STATE_U8(Uart, fcr), STATE_U8(Uart, lcr),
        STATE_U8(Uart, mcr), STATE_U8(Uart, scr), STATE_U8(Uart, dll),
        STATE_U8(Uart, dlm), STATE_U8(Uart, lsr), STATE_U8(Uart, msr),
        STATE_BOOL(Uart, thre_pending), STATE_BOOL(Uart, timeout_pending),
        STATE_U8_ARRAY(Uart, rx), STATE_U8_ARRAY(Uart, rx_errors),
        STATE_U8(Uart, rx_head), STATE_U8(Uart, rx_n),
        STATE_BYTES(Uart, tx), STATE_U16(Uart, tx_head),
        STATE_U16(Uart, tx_n), STATE_U8(Uart, tsr),
        STATE_BOOL(Uart, tsr_full), STATE_TIMER(Uart, rx_timeout),
        STATE_TIMER(Uart, tx_done),
        {}
    },
};
