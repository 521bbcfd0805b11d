/*
 * Stands in for src/chardev until that is there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "chardev/chardev.h"

#define WEAK __attribute__((weak))

WEAK bool chr_attach(CharFrontend *fe, Chardev *chr, GError **err)
{
    return true;
}

WEAK void chr_detach(CharFrontend *fe) {}
WEAK void chr_accept_input(CharFrontend *fe) {}
WEAK void chr_set_break(CharFrontend *fe, bool on) {}

WEAK size_t chr_write(CharFrontend *fe, const uint8_t *buf, size_t len)
{
    return len;
}

WEAK void chr_wait_writable(CharFrontend *fe, void (*fn)(void *), void *opaque)
{
}

WEAK void chr_set_serial_params(CharFrontend *fe, unsigned baud, char parity,
                                unsigned data_bits, unsigned stop_bits)
{
}
