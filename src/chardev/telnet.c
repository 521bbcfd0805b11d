/*
 * The telnet protocol.
 *
 * Spec:   RFC 854, 856 (binary), 857 (echo), 858 (suppress go ahead).
 * Models: our own offers; the peer's answers and subnegotiations are read
 *         over, BREAK is passed on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "telnet.h"

enum {
    BINARY = 0, ECHO = 1, SUPPRESS_GO_AHEAD = 3,
    SE = 240, BREAK = 243, SB = 250, WILL = 251, WONT = 252, DO = 253,
    DONT = 254, IAC = 255,
};

const uint8_t *telnet_greeting(size_t *len)
{
    static const uint8_t greeting[] = {
        IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD,
        IAC, WILL, BINARY, IAC, DO, BINARY,
    };

    *len = sizeof(greeting);
    return greeting;
}

/* After IAC; true when the byte is data. */
static bool command(Telnet *t, uint8_t c, bool *got_break)
{
    t->state = TELNET_DATA;
    switch (c) {
    case IAC:
        return true;            /* doubled: the byte itself */
    case SB:
        t->state = TELNET_SUB;
        break;
    case WILL: case WONT: case DO: case DONT:
        t->state = TELNET_OPTION;
        break;
    case BREAK:
        *got_break = true;
        break;
    }
    return false;
}

/* Is `c` data? */
static bool step(Telnet *t, uint8_t c, bool *got_break)
{
    switch (t->state) {
    case TELNET_IAC:
        return command(t, c, got_break);
    case TELNET_OPTION:
        t->state = TELNET_DATA;
        return false;
    case TELNET_SUB:
        t->state = c == IAC ? TELNET_SUB_IAC : TELNET_SUB;
        return false;
    case TELNET_SUB_IAC:
        t->state = c == SE ? TELNET_DATA : TELNET_SUB;
        return false;
    case TELNET_CR:             /* CR NUL and CR LF are one key: return */
        t->state = TELNET_DATA;
        if (c == 0 || c == '\n') {
            return false;
        }
        break;
    default:
        break;
    }
    if (c == IAC) {
        t->state = TELNET_IAC;
        return false;
    }
    if (c == '\r') {
        t->state = TELNET_CR;
    }
    return true;
}

size_t telnet_filter(Telnet *t, uint8_t *buf, size_t n, bool *got_break)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++) {
        if (step(t, buf[i], got_break)) {
            buf[left++] = buf[i];
        }
    }
    return left;
}
