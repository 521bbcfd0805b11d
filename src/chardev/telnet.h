/*
 * The telnet protocol, as far as a terminal program needs it of us.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHARDEV_TELNET_H
#define CHARDEV_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Telnet {
    enum { TELNET_DATA, TELNET_IAC, TELNET_OPTION, TELNET_SUB,
           TELNET_SUB_IAC, TELNET_CR } state;
} Telnet;

/* What to send first: character at a time, echo is ours, eight bits. */
const uint8_t *telnet_greeting(size_t *len);
/* Take the commands out of `n` bytes; how many bytes of data are left.
 * *got_break is set when the peer sent a break. */
size_t telnet_filter(Telnet *t, uint8_t *buf, size_t n, bool *got_break);

#endif
