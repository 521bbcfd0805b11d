/*
 * The decoder: any bytes, in any mode and with any features, give a result
 * that is in range, does not depend on what follows the instruction and can be
 * printed.  The first byte of the input chooses the mode, the second the
 * features; the rest is decoded as a stream.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "accel/tcg/decode/info.h"
#include "cpu/features.h"
#include "fuzz.h"

static const unsigned modes[8] = {
    DM_CODE64 | DM_SS32 | DM_FLAT, DM_CODE32 | DM_SS32 | DM_FLAT,
    DM_CODE32 | DM_SS32, DM_CODE32, DM_CODE16 | DM_REAL,
    DM_CODE16 | DM_VM86, DM_CODE16, DM_CODE16 | DM_SS32 | DM_FLAT,
};

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static void check_ranges(const Insn *i)
{
    const InsnInfo *info = insn_info(i->op);

    require(i->op != OP_UD && i->op < N_OPS);
    require(i->base <= R_ZERO && i->index <= R_ZERO && i->seg < 6);
    require(!(i->flags & INSN_LOCK) || i->flags & INSN_MEM);
    require(insn_mem_size(i) <= 512);
    for (unsigned n = 0; n < 4 && info->opnd[n]; n++) {
        bool byte = !(info->opnd[n] & OPD_WIDTH) && i->size == 1;

        switch (info->opnd[n] & OPD_KIND) {
        case OPD_REG: require(i->reg < (byte ? 128 : 16)); break;
        case OPD_RM: require(i->rm < 128); break;
        case OPD_XREG: require(i->reg < 16); break;
        case OPD_XRM: require(i->rm < 16); break;
        case OPD_PREG: require(i->reg < 8); break;
        case OPD_PRM: case OPD_ST: require(i->rm < 8); break;
        case OPD_XIS4: require((uint8_t)i->imm < 16); break;
        case OPD_SEG: require(i->reg < 6); break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t feat[N_FEATURE_WORDS];
    g_autoptr(GString) text = g_string_new(NULL);
    unsigned mode;

    if (size < 2) {
        return 0;
    }
    mode = modes[data[0] & 7];
    for (unsigned w = 0; w < N_FEATURE_WORDS; w++) {
        feat[w] = data[1] & 1 ? UINT32_MAX : data[1] * UINT32_C(0x9e3779b1) * w;
    }
    data += 2;
    size -= 2;
    while (size) {
        Insn i, again;
        DecodeResult r = insn_decode(&i, data, MIN(size, 40), mode, feat);

        if (r == DECODE_MORE || r == DECODE_TOO_LONG) {
            require(r == DECODE_MORE ? size < 15 : size >= 15);
            require(i.op == OP_UD);
            break;
        }
        require(i.len >= 1 && i.len <= size);
        insn_print(&i, text);
        g_string_truncate(text, 0);
        if (r == DECODE_OK) {
            check_ranges(&i);
            require(insn_decode(&again, data, i.len, mode, feat) == r
                    && memcmp(&i, &again, sizeof(i)) == 0);
            require(insn_decode(&again, data, i.len - 1, mode, feat)
                    == DECODE_MORE);
        } else {
            require(r == DECODE_UD && i.op == OP_UD);
        }
        data += i.len;
        size -= i.len;
    }
    return 0;
}
