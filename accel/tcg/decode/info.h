/*
 * What is true of an operation whatever its encoding: flags, memory, operands.
 * The translator and the tests go by it.  Made from opcodes.def.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_DECODE_INFO_H
#define TCG_DECODE_INFO_H

#include "accel/tcg/insn.h"

/* Arithmetic flags and DF, packed. */
enum {
    IF_CF = 1 << 0, IF_PF = 1 << 1, IF_AF = 1 << 2, IF_ZF = 1 << 3,
    IF_SF = 1 << 4, IF_OF = 1 << 5, IF_DF = 1 << 6,
    IF_ARITH = 0x3f,
};

/* What is done to a memory rm; MEM_ADDR: only its address is used. */
enum { MEM_NONE, MEM_LOAD, MEM_STORE, MEM_RMW, MEM_ADDR };

enum {                          /* InsnInfo.mem_size, when not a number */
    MS_SIZE = 0,                /* Insn.size */
    MS_HALF = 0x8000, MS_QUARTER, MS_EIGHTH,    /* of Insn.size */
    MS_Z,                       /* Insn.size, but at most 4 */
    MS_DDUP,                    /* 8 bytes of 128 bits, 32 of 256 */
    MS_FAR,                     /* far pointer: size + 2 */
    MS_DTR,                     /* limit and base of a table: 6, 10 */
    MS_TWICE,                   /* BOUND: two of Insn.size */
    MS_ENV,                     /* x87 environment or, FNSAVE, all of it */
};

enum {                          /* InsnInfo.emit: how the translator makes it */
    EMIT_COPY,                  /* same bytes, other registers and address */
    EMIT_SPECIAL,               /* a template of its own */
    EMIT_FALLBACK,              /* call the interpreter's handler */
};

enum {                          /* InsnInfo.implicit: memory besides rm */
    IS_PUSH = 1 << 0, IS_POP = 1 << 1,
    IS_STRING = 1 << 2,         /* through rSI, rDI, rBX or rAX */
    IS_BITMEM = 1 << 3,         /* BT rm,r: rm is the start of a bit string */
};

/* Operands: kind, and width where it is not Insn.size. */
enum {
    OPD_NONE, OPD_REG, OPD_RM, OPD_VREG,        /* general: reg, rm, vvvv */
    OPD_XREG, OPD_XRM, OPD_XV, OPD_XIS4,        /* vector */
    OPD_PREG, OPD_PRM, OPD_ST0, OPD_ST,         /* MMX, x87 */
    OPD_SEG, OPD_CR, OPD_DR, OPD_CL, OPD_DX,
    OPD_IMM, OPD_REL, OPD_FAR, OPD_MOFFS,
    OPD_KIND = 0x1f,
    W_1 = 1 << 5, W_2 = 2 << 5, W_4 = 3 << 5, W_8 = 4 << 5, W_10 = 5 << 5,
    W_16 = 6 << 5, W_Z = 7 << 5, OPD_WIDTH = 7 << 5,
};

typedef struct InsnInfo {
    uint8_t flags_read;
    uint8_t flags_set;          /* surely written */
    uint8_t flags_may;          /* written unless a count is 0 */
    uint8_t flags_undef;        /* undefined afterwards (may: if written) */
    uint8_t mem;                /* MEM_* */
    uint16_t mem_size;          /* bytes or MS_* */
    uint8_t align;              /* of rm: 0 any, AL_SIZE its size, or bytes */
    uint8_t emit;               /* EMIT_* */
    uint8_t implicit;           /* IS_* */
    uint8_t opnd[4];
} InsnInfo;

enum { AL_SIZE = 1 };

const InsnInfo *insn_info(unsigned op);

/* The opcode of an operation: of its first encoding, where it has several. */
enum { ENC_VEX = 1 << 0,
       ENC_WY = 1 << 1,             /* W is set when Insn.size is 8 */
       ENC_W1 = 1 << 2,
       ENC_NO_EXT = 0xff };

typedef struct InsnEnc {
    uint8_t map;                    /* 0, 1 0F, 2 0F 38, 3 0F 3A */
    uint8_t pfx;                    /* 0 none, 1 66, 2 F3, 3 F2 */
    uint8_t opcode;
    uint8_t ext;                    /* in ModRM.reg */
    uint8_t flags;
} InsnEnc;

const InsnEnc *insn_enc(unsigned op);

/* The flags of one instruction, where it tells more than its operation: the
 * condition, a constant shift count, a missing REP. */
typedef struct InsnFlags {
    uint8_t read, set, may, undef;
} InsnFlags;

InsnFlags insn_flags(const Insn *insn);

/* Bytes of the memory operand (of its mask's full span, for gathers one
 * element's vector); 0 when rm is a register. */
unsigned insn_mem_size(const Insn *insn);

/* Append the instruction in Intel's syntax.  Addresses of branches are shown
 * relative to the next instruction. */
void insn_print(const Insn *insn, GString *to);

#endif
