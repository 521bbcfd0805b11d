/*
 * 16550A UART: a core that knows no bus.  Its shells are isa-serial and the
 * PCI serial cards: they map uart_ops over eight addresses and connect `irq`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_CHAR_UART_H
#define HW_CHAR_UART_H

#include "chardev/chardev.h"
#include "core/device.h"
#include "loop/timer.h"

#define UART_N_REGS      8
#define UART_FIFO_BYTES  16
/* What the transmitter holds while the host takes nothing.  A guest sees a
 * FIFO of 16 that does not drain; one that gives up waiting and writes all
 * the same (Linux does after 10 ms) loses nothing. */
#define UART_TX_BYTES    1024

typedef struct Uart {
    Irq irq;                    /* out: INTR */
    Chardev *chr;               /* property */
    uint32_t baudbase;          /* property: baud rate with divisor 1 */
    bool pacing;                /* property: send at the baud rate */
    CharFrontend fe;

    uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
    uint8_t lsr;                /* error bits; the others are derived */
    uint8_t msr;
    bool thre_pending;          /* THRE interrupt not acknowledged */
    bool timeout_pending;       /* character timeout */
    uint8_t rx[UART_FIFO_BYTES];
    uint8_t rx_errors[UART_FIFO_BYTES];     /* LSR bits of each */
    uint8_t rx_head, rx_n;
    uint8_t tx[UART_TX_BYTES];
    uint16_t tx_head, tx_n;
    uint8_t tsr;                /* transmit shift register */
    bool tsr_full;
    Timer rx_timeout;
    Timer tx_done;              /* pacing: TSR is empty again */
} Uart;

extern const IoOps uart_ops;    /* opaque: Uart * */
extern const State uart_state;

/* Wire it to its chardev; the shell has set `irq`. */
bool uart_realize(Uart *s, Device *owner, GError **err);
void uart_unrealize(Uart *s);
void uart_reset(Uart *s);
/* Outputs from state. */
void uart_update(Uart *s);

/* The properties that every shell has; `f` is its Uart. */
#define UART_PROPS(t, f)                                                    \
    PROP_CHARDEV(t, f.chr, "chardev", "id of the character device"),        \
    PROP_U32(t, f.baudbase, "baudbase", 115200, "baud rate of divisor 1"),  \
    PROP_BOOL(t, f.pacing, "pacing", false,                                 \
              "send no faster than the baud rate the guest has set")

#endif
