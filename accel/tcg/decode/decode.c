/*
 * The instruction decoder: bytes to Insn.
 *
 * Spec: Intel SDM volume 2 (325383), chapter 2 and appendix A.
 * Models: an Intel processor up to AVX2, FMA, AES, SHA, BMI; docs/decoder.md.
 * Locks: none; pure.
 *
 * One pass: prefixes, opcode, row, ModRM, immediate.  The row comes from a
 * direct lookup (tables.h), its conditions are one AND with what the present
 * mode and prefixes fail.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/tables.h"

enum {                          /* classes of prefix bytes */
    P_NONE, P_66, P_67, P_LOCK, P_F3, P_F2, P_REX, P_SEG
};

static const uint8_t prefix_class[256] = {
    [0x66] = P_66, [0x67] = P_67, [0xf0] = P_LOCK, [0xf3] = P_F3,
    [0xf2] = P_F2, [0x40 ... 0x4f] = P_REX,
    [0x26] = P_SEG + SEG_ES, [0x2e] = P_SEG + SEG_CS, [0x36] = P_SEG + SEG_SS,
    [0x3e] = P_SEG + SEG_DS, [0x64] = P_SEG + SEG_FS, [0x65] = P_SEG + SEG_GS,
};

/* By code size << 2 | 66 << 1 | W. */
#define ALL(n) { n, n, n, n, n, n, n, n, n, n, n, n }
static const uint8_t size_table[N_SZ][12] = {
    [SZ_B] = ALL(1), [SZ_W] = ALL(2), [SZ_D] = ALL(4), [SZ_2] = ALL(2),
    [SZ_4] = ALL(4), [SZ_8] = ALL(8), [SZ_10] = ALL(10), [SZ_16] = ALL(16),
    [SZ_X] = ALL(16), [SZ_VL] = ALL(16),
    [SZ_V]   = { 2, 2, 4, 4, 4, 4, 2, 2, 4, 8, 2, 8 },
    [SZ_Z]   = { 2, 2, 4, 4, 4, 4, 2, 2, 4, 4, 2, 4 },
    [SZ_Y]   = { 4, 4, 4, 4, 4, 4, 4, 4, 4, 8, 4, 8 },
    [SZ_D64] = { 2, 2, 4, 4, 4, 4, 2, 2, 8, 8, 2, 8 },
    [SZ_F64] = { 2, 2, 4, 4, 4, 4, 2, 2, 8, 8, 8, 8 },
    [SZ_T]   = { 2, 2, 4, 4, 4, 4, 2, 2, 8, 8, 8, 8 },
    [SZ_N]   = { 4, 4, 4, 4, 4, 4, 4, 4, 8, 8, 8, 8 },
};
#undef ALL

/* Base and index of 16-bit addresses. */
static const uint8_t ea16[8][2] = {
    { R_RBX, R_RSI }, { R_RBX, R_RDI }, { R_RBP, R_RSI }, { R_RBP, R_RDI },
    { R_RSI, R_ZERO }, { R_RDI, R_ZERO }, { R_RBP, R_ZERO }, { R_RBX, R_ZERO },
};

/* The byte's place in the register file. */
static inline unsigned byte_reg(unsigned n, bool rex)
{
    return rex || n < 4 ? n * 8 : (n - 4) * 8 + 1;
}

static inline bool has(const uint32_t *feat, unsigned feature)
{
    return !feat || feat_has(feat, feature);
}

/* There are `k` bytes more, or go to `incomplete`. */
#define NEED(k)                                                             \
    do {                                                                    \
        if (unlikely((size_t)(end - at) < (size_t)(k))) {                   \
            goto incomplete;                                                \
        }                                                                   \
    } while (0)

static inline DecodeResult decode(Insn *out, const uint8_t *p, unsigned n,
                                  unsigned mode, const uint32_t *feat,
                                  unsigned *row_no)
{
    const uint8_t *at = p, *end = p + (n < 15 ? n : 15);
    const unsigned code = mode & DM_CODE_MASK;
    const bool code64 = code == DM_CODE64;
    unsigned b, cls, rex = 0, p66 = 0, p67 = 0, rep = 0, lock = 0;
    unsigned segment = N_SEG, cell, modrm = 0, vvvv = 0, vex = 0, vex_l = 0;
    unsigned w, r, x, bb, asize, size, flags, ea, fails, v;
    unsigned reg, rm = 0, base = R_ZERO, index = R_ZERO, scale = 0;
    unsigned seg = 0, aux;
    int32_t disp = 0;
    int64_t imm = 0;
    bool mem = false;
    const DecodeRow *row;

    memset(out, 0, sizeof(*out));

    /* Prefixes.  A REX counts only right before the opcode. */
    for (;;) {
        NEED(1);
        b = *at++;
        cls = prefix_class[b];
        if (likely(cls == P_NONE)) {
            break;
        }
        if (cls == P_REX) {
            if (!code64) {
                break;
            }
            rex = b;
            continue;
        }
        rex = 0;
        switch (cls) {
        case P_66: p66 = 1; break;
        case P_67: p67 = 1; break;
        case P_LOCK: lock = 1; break;
        case P_F3: rep = 2; break;
        case P_F2: rep = 3; break;
        default:
            /* 64-bit mode knows FS and GS only. */
            if (!code64 || cls >= P_SEG + SEG_FS) {
                segment = cls - P_SEG;
            }
        }
    }
    w = rex >> 3 & 1;

    /* Opcode map. */
    if (b == 0x0f) {
        NEED(1);
        b = *at++;
        cell = 1;
        if (b == 0x38 || b == 0x3a) {
            cell = b == 0x38 ? 2 : 3;
            NEED(1);
            b = *at++;
        }
        cell = (cell * 4 + (rep ? rep : p66)) * 256 + b;
    } else if (unlikely((b & ~1u) == 0xc4)) {
        NEED(1);
        if (!code64 && *at < 0xc0) {
            cell = b;                           /* LES, LDS */
        } else {
            unsigned map = 1, last;

            if (p66 || rep || lock || rex || mode & (DM_REAL | DM_VM86)) {
                goto undefined;
            }
            NEED(b == 0xc4 ? 3 : 2);
            /* As REX, whose bits are not inverted. */
            rex = (~*at & 0x80) >> 5;
            if (b == 0xc4) {
                rex |= (~*at & 0x60) >> 5;
                map = *at & 0x1f;
                at++;
            }
            last = *at++;
            w = b == 0xc4 ? last >> 7 : 0;
            vvvv = ~last >> 3 & 15;
            vex_l = last >> 2 & 1;
            vex = 1;
            if (map < 1 || map > 3) {
                goto undefined;
            }
            b = *at++;
            cell = DECODE_VEX + (((map - 1) * 2 + w) * 4 + (last & 3)) * 256
                   + b;
            p66 = 0;
            if (!code64) {
                rex = w = 0;
            }
        }
    } else {
        cell = (rep ? rep : p66) * 256 + b;
    }
    r = rex << 1 & 8;
    x = rex << 2 & 8;
    bb = rex << 3 & 8;

    /* The row. */
    v = decode_cells[cell];
    if (v & DECODE_GROUP) {
        NEED(1);
        modrm = *at;
        v = decode_groups[v & ~DECODE_GROUP][(modrm >= 0xc0) << 3
                                             | (modrm >> 3 & 7)];
        if (v & DECODE_GROUP) {
            v = decode_rm_groups[v & ~DECODE_GROUP][modrm & 7];
        }
    }
    asize = code64 ? 8 >> p67 : (code == DM_CODE32) ^ p67 ? 4 : 2;
    fails = (code64 ? C_NO64 : C_O64)
            | (mode & (DM_REAL | DM_VM86) ? C_PROT : 0)
            | (w ? C_W0 : C_W1) | (vex_l ? C_L0 : C_L1)
            | (bb ? C_NOB : 0) | (asize == 8 ? 0 : C_A64);
    row = &decode_rows[v];
    while (unlikely(row->cond | row->feat)) {
        if (!(row->cond & fails)
            && (!row->feat || has(feat, row->feat - 1))
            && (!(row->cond & C_AVX) || has(feat, FEAT_AVX))) {
            break;
        }
        row = &decode_rows[row->alt];
    }
    *row_no = row - decode_rows;
    if (unlikely(row->op == OP_UD && !(row->attr & A_MODRM))) {
        goto undefined;
    }

    size = size_table[row->size][code << 2 | p66 << 1 | w];
    if (row->size == SZ_VL) {
        size <<= vex_l;
    }
    flags = (rex && !vex ? INSN_REX : 0) | (row->attr & A_END ? INSN_END : 0)
            | (asize == 4 ? INSN_A32 : asize == 2 ? INSN_A16 : 0);
    ea = asize == 4 ? EA_A32 : asize == 2 ? EA_A16 : 0;

    /* ModRM, SIB, displacement. */
    if (row->attr & A_MODRM) {
        NEED(1);
        modrm = *at++;
        rm = modrm & 7;
        mem = modrm < 0xc0 && !(row->attr & A_NOMOD);
    }
    if (!mem) {
        switch (row->rm) {
        case MK_GPR: rm |= bb; break;
        case MK_GPR8: rm = byte_reg(rm | bb, rex); break;
        case MK_OPC: rm = (b & 7) | bb; break;
        case MK_OPC8: rm = byte_reg((b & 7) | bb, rex); break;
        }
    } else if (asize == 2) {
        seg = (rm & 6) == 2 || (rm == 6 && modrm >= 0x40) ? SEG_SS : SEG_DS;
        if (row->rm == MK_VSIB) {
            goto undefined;
        }
        if (modrm < 0x40 && rm == 6) {
            NEED(2);
            disp = (int16_t)load_le16(at);
            at += 2;
        } else {
            base = ea16[rm][0];
            index = ea16[rm][1];
            if (modrm >= 0x80) {
                NEED(2);
                disp = (int16_t)load_le16(at);
                at += 2;
            } else if (modrm >= 0x40) {
                NEED(1);
                disp = (int8_t)*at++;
            }
        }
        rm = 0;
    } else {
        unsigned disp_size = modrm >= 0x80 ? 4 : modrm >> 6;

        seg = SEG_DS;
        base = rm | bb;
        if (rm == 4) {
            unsigned sib;

            NEED(1);
            sib = *at++;
            scale = sib >> 6;
            index = (sib >> 3 & 7) | x;
            if (index == 4 && row->rm != MK_VSIB) {
                index = R_ZERO;
                scale = 0;
            }
            rm = sib & 7;
            base = rm | bb;
            if (rm == 5 && modrm < 0x40) {
                base = R_ZERO;
                disp_size = 4;
            }
        } else if (row->rm == MK_VSIB) {
            goto undefined;
        } else if (rm == 5 && modrm < 0x40) {
            base = R_ZERO;
            disp_size = 4;
            ea |= code64 ? EA_RIP : 0;
        }
        if (base == R_RSP || base == R_RBP) {
            seg = SEG_SS;
        }
        NEED(disp_size);
        if (disp_size == 4) {
            disp = (int32_t)load_le32(at);
        } else if (disp_size) {
            disp = (int8_t)*at;
        }
        at += disp_size;
        rm = 0;
    }

    /* The other register. */
    switch (row->reg) {
    case RK_GPR: reg = (modrm >> 3 & 7) | r; break;
    case RK_GPR8: reg = byte_reg((modrm >> 3 & 7) | r, rex); break;
    case RK_LOW3: reg = modrm >> 3 & 7; break;
    case RK_VVVV: reg = vvvv & (code64 ? 15 : 7); break;
    case RK_AUX: reg = row->aux; break;
    case RK_SEG:
    case RK_SEGW:
        reg = modrm >> 3 & 7;
        if (reg >= N_SEG || (row->reg == RK_SEGW && reg == SEG_CS)) {
            goto undefined;
        }
        break;
    case RK_CR:
        reg = (modrm >> 3 & 7) | r;
        if (!(0x11d >> reg & 1)) {
            goto undefined;
        }
        break;
    case RK_DR:
        reg = modrm >> 3 & 7;
        if (r) {
            goto undefined;
        }
        break;
    default:
        reg = 0;
    }

    /* Immediate. */
    switch (row->imm) {
    case IM_NONE:
        break;
    case IM_SB:
        NEED(1);
        imm = (int8_t)*at++;
        break;
    case IM_UB:
        NEED(1);
        imm = *at++;
        break;
    case IM_IS4:
        NEED(1);
        imm = *at++ >> 4 & (code64 ? 15 : 7);
        break;
    case IM_V:
        if (size == 8) {
            NEED(8);
            imm = (int64_t)load_le64(at);
            at += 8;
            break;
        }
        /* fallthrough */
    case IM_Z:
        if (size == 2) {
            NEED(2);
            imm = (int16_t)load_le16(at);
            at += 2;
        } else {
            NEED(4);
            imm = (int32_t)load_le32(at);
            at += 4;
        }
        break;
    case IM_UW:
        NEED(2);
        imm = load_le16(at);
        at += 2;
        break;
    case IM_ENTER:
        NEED(3);
        imm = load_le16(at) | at[2] << 16;
        at += 3;
        break;
    case IM_FAR:
        NEED(size + 2);
        imm = size == 2 ? load_le16(at) : load_le32(at);
        at += size;
        imm |= (int64_t)load_le16(at) << 32;
        at += 2;
        break;
    case IM_MOFFS:
        NEED(asize);
        mem = asize != 8;
        seg = SEG_DS;
        if (asize == 8) {
            imm = (int64_t)load_le64(at);
        } else {
            disp = asize == 2 ? (int16_t)load_le16(at)
                              : (int32_t)load_le32(at);
        }
        at += asize;
        break;
    case IM_ONE:
        imm = 1;
        break;
    case IM_FOP:
        imm = (b & 7) << 8 | modrm;
        break;
    }

    /* What is left to be wrong with it. */
    if (unlikely(lock) && !(mem && row->attr & A_LOCK)) {
        goto undefined;
    }
    aux = row->aux;
    if (vex) {
        /* Outside 64-bit mode the top bit is ignored, but not when unused. */
        if (!(row->attr & A_VVVV) && vvvv) {
            goto undefined;
        }
        vvvv &= code64 ? 15 : 7;
        if (row->rm == MK_VSIB
            && (reg == index || reg == vvvv || index == vvvv)) {
            goto undefined;
        }
        imm |= (int64_t)((uint64_t)vvvv << 60);
        aux = w | vex_l << 1;
    }
    if (unlikely(row->op == OP_UD)) {
        goto undefined;
    }

    if (mem || row->attr & A_IMPLICIT || row->imm == IM_MOFFS) {
        if (row->attr & A_ES) {
            seg = SEG_ES;
        } else if (segment != N_SEG) {
            seg = segment;
        } else if (row->attr & A_IMPLICIT) {
            seg = SEG_DS;
        }
        /* CS is never writable, however flat. */
        if (seg >= SEG_FS
            || (!code64 && (seg == SEG_CS || !(mode & DM_FLAT)))) {
            ea |= EA_SEG;
        }
        if (mem) {
            flags |= INSN_MEM | (lock ? INSN_LOCK : 0);
        } else if (rep && row->attr & (A_STRING | A_CMPSTR)) {
            flags |= rep == 3 && row->attr & A_CMPSTR ? INSN_REPNE : INSN_REP;
        }
    } else {
        ea = 0;
    }
    if (unlikely(row->attr & A_SWAP)) {
        unsigned t = reg;

        reg = rm;
        rm = t;
    }

    out->imm = imm;
    out->disp = disp;
    out->op = row->op;
    out->len = at - p;
    out->size = size;
    out->flags = flags;
    out->ea = ea;
    out->scale = scale;
    out->stack = code64 ? STACK_64 : !(mode & DM_SS32) ? STACK_SEG16
                 : mode & DM_FLAT ? STACK_32 : STACK_SEG32;
    out->seg = seg;
    out->aux = aux;
    out->base = base;
    out->index = index;
    out->reg = reg;
    out->rm = rm;
    return DECODE_OK;

undefined:
    out->op = OP_UD;
    out->len = at - p;
    out->flags = INSN_END;
    out->base = out->index = R_ZERO;
    return DECODE_UD;

incomplete:
    out->op = OP_UD;
    out->flags = INSN_END;
    return n < 15 ? DECODE_MORE : DECODE_TOO_LONG;
}

DecodeResult insn_decode(Insn *out, const uint8_t *p, unsigned n,
                         unsigned mode, const uint32_t *feat)
{
    unsigned row;

    return decode(out, p, n, mode, feat, &row);
}

DecodeResult insn_decode_row(Insn *out, const uint8_t *p, unsigned n,
                             unsigned mode, const uint32_t *feat,
                             unsigned *row_no)
{
    *row_no = 0;
    return decode(out, p, n, mode, feat, row_no);
}
