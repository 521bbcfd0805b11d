/*
 * What is known of a decoded instruction besides its fields.
 *
 * Spec: Intel SDM volume 2 (325383); volume 1, appendix A (flags).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/tables.h"

const InsnInfo *insn_info(unsigned op)
{
    return &decode_infos[op < N_OPS ? op : OP_UD];
}

const InsnEnc *insn_enc(unsigned op)
{
    return &decode_encs[op < N_OPS ? op : OP_UD];
}

unsigned insn_mem_size(const Insn *insn)
{
    unsigned ms = insn_info(insn->op)->mem_size;

    if (!(insn->flags & INSN_MEM)) {
        return 0;
    }
    switch (ms) {
    case MS_SIZE: return insn->size;
    case MS_HALF: return insn->size / 2;
    case MS_QUARTER: return insn->size / 4;
    case MS_EIGHTH: return insn->size / 8;
    case MS_Z: return insn->size == 2 ? 2 : 4;
    case MS_DDUP: return insn->size == 32 ? 32 : 8;
    case MS_DTR: return insn->size == 8 ? 10 : 6;
    case MS_FAR: return insn->size + 2;
    case MS_TWICE: return insn->size * 2;
    case MS_ENV:
        return (insn->size == 2 ? 14 : 28)
               + (insn->op == OP_FNSAVE_M || insn->op == OP_FRSTOR_M ? 80 : 0);
    default: return ms;
    }
}

/* The count of a shift by a constant, as the processor masks it; RCL and RCR
 * of bytes and words go on to take it modulo their width + 1. */
static unsigned shift_count(const Insn *insn)
{
    return insn->imm & (insn->size == 8 ? 63 : 31);
}

InsnFlags insn_flags(const Insn *insn)
{
    /* By condition code / 2. */
    static const uint8_t cond[8] = {
        IF_OF, IF_CF, IF_ZF, IF_CF | IF_ZF, IF_SF, IF_PF, IF_SF | IF_OF,
        IF_ZF | IF_SF | IF_OF,
    };
    const InsnInfo *info = insn_info(insn->op);
    InsnFlags f = { info->flags_read, info->flags_set, info->flags_may,
                    info->flags_undef };
    bool surely = false;

    switch (insn->op) {
    case OP_JCC_I: case OP_SETCC_RM: case OP_CMOVCC_R_RM:
    case OP_FCMOVCC_ST0_STi:
        f.read = cond[insn->aux >> 1];
        break;
    case OP_ROL_RM_I: case OP_ROR_RM_I: case OP_SHL_RM_I: case OP_SHR_RM_I:
    case OP_SAR_RM_I: case OP_SHLD_RM_R_I: case OP_SHRD_RM_R_I:
        if (shift_count(insn) == 0) {
            f.may = f.undef = 0;
        }
        surely = shift_count(insn) != 0;
        break;
    case OP_CMPS: case OP_SCAS:
        surely = !(insn->flags & (INSN_REP | INSN_REPNE));
        break;
    }
    if (surely) {
        f.set |= f.may & ~f.undef;
        f.may = 0;
    }
    return f;
}
