/*
 * Walks the opcode space with the prefixes and ModRM bytes that matter.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "encodings.h"

/* Bytes after the ModRM: every kind of field shows its sign. */
static const uint8_t tail[15] = {
    0x8c, 0x92, 0x83, 0x74, 0xa5, 0x16, 0xf7, 0x38, 0x59, 0xea, 0x1b, 0x5c,
};

static const struct { uint8_t n, b[3]; } prefixes[] = {
    { 0, {} }, { 1, { 0x66 } }, { 1, { 0xf3 } }, { 1, { 0xf2 } },
    { 2, { 0x66, 0xf3 } }, { 2, { 0xf2, 0x66 } }, { 2, { 0xf3, 0xf2 } },
    { 1, { 0x67 } }, { 1, { 0x64 } }, { 2, { 0x65, 0x3e } }, { 1, { 0x2e } },
    { 1, { 0xf0 } }, { 2, { 0xf0, 0xf2 } }, { 2, { 0x66, 0xf0 } },
    { 1, { 0x40 } }, { 1, { 0x41 } }, { 1, { 0x44 } }, { 1, { 0x47 } },
    { 1, { 0x48 } }, { 2, { 0x66, 0x48 } }, { 2, { 0xf3, 0x49 } },
    { 2, { 0xf2, 0x4c } }, { 2, { 0x4f, 0x66 } }, { 2, { 0x67, 0x4b } },
    { 3, { 0x67, 0x66, 0x42 } },
};

static void with_modrm(uint8_t *buf, unsigned at, TestMode mode, bool all,
                       EncodingFn *fn)
{
    for (unsigned m = 0; m < 256; m++) {
        unsigned rm = m & 7;

        /* Without special meaning of their own: once is enough. */
        if (!all && m < 0xc0 && (rm == 1 || rm == 2 || rm == 7)) {
            continue;
        }
        if (!all && m >= 0xc0 && rm != 0 && rm != 6) {
            continue;
        }
        buf[at] = m;
        memcpy(buf + at + 1, tail, 14);
        buf[at + 1] ^= m * 0x35;
        fn(buf, at + 14, mode);
    }
}

void encodings_legacy(TestMode mode, EncodingFn *fn)
{
    uint8_t buf[40];

    for (unsigned x = 0; x < G_N_ELEMENTS(prefixes); x++) {
        unsigned n = prefixes[x].n;

        /* Elsewhere a REX is INC or DEC. */
        if (mode != MODE_64 && n && (prefixes[x].b[n - 1] & 0xf0) == 0x40) {
            continue;
        }
        memcpy(buf, prefixes[x].b, 3);
        for (unsigned map = 0; map < 4; map++) {
            unsigned at = n;

            if (map) {
                buf[at++] = 0x0f;
            }
            if (map > 1) {
                buf[at++] = map == 2 ? 0x38 : 0x3a;
            }
            for (unsigned op = 0; op < 256; op++) {
                buf[at] = op;
                with_modrm(buf, at + 1, mode,
                           n == 0 && (op >= 0xd8 || map == 1) && mode < 2, fn);
            }
        }
    }
}

void encodings_vex(TestMode mode, EncodingFn *fn)
{
    static const uint8_t vvvv[] = { 0x78, 0x50, 0x10 };
    uint8_t buf[40];

    for (unsigned op = 0; op < 256; op++) {
        for (unsigned last = 0; last < 256; last++) {
            if ((last & 0x78) != vvvv[0] && (last & 0x78) != vvvv[1]
                && (last & 0x78) != vvvv[2]) {
                continue;
            }
            for (unsigned map = 0; map < 5; map++) {
                buf[0] = 0xc4;
                buf[1] = 0xe0 ^ map ^ (op & 0x20 ? 0x20 : 0)
                         ^ (mode == MODE_64 && last & 1 ? 0xc0 : 0);
                buf[2] = last;
                buf[3] = op;
                with_modrm(buf, 4, mode, false, fn);
            }
            buf[0] = 0xc5;
            buf[1] = last;
            buf[2] = op;
            with_modrm(buf, 3, mode, false, fn);
        }
    }
    /* Prefixes that VEX does not go with, and that it does. */
    for (unsigned x = 0; x < G_N_ELEMENTS(prefixes); x++) {
        unsigned n = prefixes[x].n;

        memcpy(buf, prefixes[x].b, 3);
        memcpy(buf + n, (uint8_t[]) { 0xc5, 0xf8, 0x58 }, 3);
        with_modrm(buf, n + 3, mode, true, fn);
    }
}
