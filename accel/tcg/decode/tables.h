/*
 * The decoder's tables, as gen.py writes them.  Internal to decode/.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_DECODE_TABLES_H
#define TCG_DECODE_TABLES_H

#include "accel/tcg/decode/info.h"
#include "cpu/features.h"
#include "cpu/state.h"

/* A row holds when none of its conditions fails; else `alt` is next. */
enum {
    C_NO64 = 1 << 0, C_O64 = 1 << 1, C_PROT = 1 << 2,
    C_W0 = 1 << 3, C_W1 = 1 << 4,       /* REX.W */
    C_L0 = 1 << 5, C_L1 = 1 << 6,       /* VEX.L */
    C_NOB = 1 << 7,                     /* REX.B clear */
    C_A64 = 1 << 8,                     /* address size 64 */
    C_AVX = 1 << 9,                     /* besides `feat` */
};

enum {
    A_MODRM = 1 << 0, A_VEX = 1 << 1,
    A_VVVV = 1 << 2,                    /* used; otherwise it must be 1111 */
    A_LOCK = 1 << 3, A_END = 1 << 4,
    A_STRING = 1 << 5, A_CMPSTR = 1 << 6,
    A_IMPLICIT = 1 << 7,                /* seg of implicit memory */
    A_ES = 1 << 8,                      /* which is ES */
    A_NOMOD = 1 << 9,                   /* rm is a register whatever mod is */
    A_SWAP = 1 << 10,
};

/* Operand size. */
enum {
    SZ_0, SZ_B, SZ_W, SZ_D, SZ_2, SZ_4, SZ_8, SZ_10, SZ_16, SZ_X,
    SZ_V, SZ_Z, SZ_Y, SZ_D64, SZ_F64, SZ_T, SZ_N, SZ_VL, N_SZ
};

enum {                          /* Insn.reg */
    RK_NONE, RK_ZERO = RK_NONE, RK_GPR, RK_GPR8, RK_LOW3, RK_SEG, RK_SEGW,
    RK_CR, RK_DR, RK_VVVV, RK_AUX
};
enum {                          /* Insn.rm */
    MK_NONE, MK_ZERO = MK_NONE, MK_GPR, MK_GPR8, MK_LOW3, MK_OPC, MK_OPC8,
    MK_MOFFS, MK_VSIB
};
enum {                          /* Insn.imm */
    IM_NONE, IM_SB, IM_UB, IM_UW, IM_Z, IM_V, IM_ONE, IM_ENTER, IM_FAR,
    IM_IS4, IM_MOFFS, IM_FOP
};

typedef struct DecodeRow {
    uint16_t op, alt;
    uint16_t feat;              /* FEAT_* + 1 */
    uint16_t cond, attr;
    uint8_t size, imm, reg, rm, aux;
} DecodeRow;

/*
 * decode_cells: [map 0-3][prefix][opcode], then the VEX maps
 * [map 1-3][W][prefix][opcode]; prefix 0 none, 1 66, 2 F3, 3 F2.  A cell is a
 * row, or DECODE_GROUP | number of a group by (mod == 3) << 3 | reg, whose
 * places are rows or DECODE_GROUP | number of a group by rm.  Row 0 is OP_UD.
 */
enum { DECODE_GROUP = 0x8000, DECODE_VEX = 4096 };

extern const uint16_t decode_cells[];
extern const uint16_t decode_groups[][16];
extern const uint16_t decode_rm_groups[][8];
extern const DecodeRow decode_rows[];
extern const unsigned decode_n_rows;
extern const InsnInfo decode_infos[];
extern const InsnEnc decode_encs[];

/* insn_decode(), telling which row it came to; for the tests. */
DecodeResult insn_decode_row(Insn *out, const uint8_t *p, unsigned n,
                             unsigned mode, const uint32_t *feat,
                             unsigned *row_no);

#endif
