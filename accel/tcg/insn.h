/*
 * The decoded instruction: what the decoder makes, the interpreter runs, the
 * translator compiles and the tests compare.
 *
 * Operands are normalised, so that one handler serves many encodings:
 *
 *   - every operand is `reg` (ModRM.reg, or the fixed register), `rm` (a
 *     register when !mem, else memory) or `imm`;
 *   - a register in the opcode byte or implied (PUSH r, INC r, ADD eAX,imm,
 *     XCHG eAX,r, MOV r,imm) becomes `rm` with !mem;
 *   - an implied immediate (SHL r/m,1) becomes `imm`; a shift by CL is an op of
 *     its own (…_RM_CL);
 *   - immediates and displacements are sign-extended to 64 bits (zero-extended
 *     where the SDM says so: ports, INT, ENTER, shift counts, bit numbers, AAM,
 *     shuffle controls, RET imm16);
 *   - MOV with a moffs is MOV_R_RM or MOV_RM_R without base and index; only a
 *     64-bit offset is an op of its own (…_MOFFS), with the offset in `imm`.
 *
 * Names: OP_<MNEMONIC>_<FORM>, destination first.  Integer forms: RM_R, R_RM,
 * RM_I, RM, R_RM_I, R_M, RM_CL, I, and none at all (OP_CPUID).  Vector forms:
 * X_XM, XM_X, X_XM_I, R_XM, X_RM, P_PM (MMX), …  X, R, P: `reg`; XM, RM, PM, M:
 * `rm`; a second X or R that is not the rm: insn_vvvv(); a fourth: register
 * number in (uint8_t)imm.  So VADDPS_X_X_XM is reg, vvvv, rm and
 * VMASKMOVPS_M_X_X is rm, vvvv, reg.  X_X, R_X, R_P, X_X_X end in `rm`.  Where
 * VEX encodes the destination in vvvv (BLSR, VPSLLW_X_X_I) it is moved to
 * `reg`, so that such an op reads reg, rm, imm.
 *
 * Families are one op with a parameter in `aux`: the condition of JCC_I,
 * SETCC_RM, CMOVCC_R_RM and FCMOVCC_ST0_STi (B 2, E 4, BE 6, U 10, their
 * inverses + 1); the segment that LFP_R_M loads; the hint of PREFETCH_M.
 *
 * `size` by kind of op:
 *   - integer: operand size; MOVZX8/16, MOVSX8/16/32: of the destination (the
 *     name tells the source's); CRC32: of the source; near branches, CALL, RET,
 *     JCXZ, LOOP: what RIP is truncated to; far ones, IRET, PUSHF, ENTER,
 *     SGDT: operand size; strings, IN, OUT: of the element;
 *   - x87: of the memory operand, 0 when it has none;
 *   - MMX 8, SSE 16, VEX 16 or 32, also for scalars and for memory operands
 *     narrower than that (insn_mem_size());
 *   - with a general register whose width matters (MOVD, CVTSI2SS, CVTSS2SI,
 *     PINSRD, PEXTRD, MOVNTI, RDFSBASE): 4 or 8.
 *
 * Memory addressed implicitly has seg and EA_SEG, but no base: strings and XLAT
 * and MASKMOV: `seg` is the overridable one (STOS, SCAS, INS: ES), and EA_SEG
 * clear means that ES needs no base either.  INSN_A16/A32 tell which rSI, rDI,
 * rBX, rCX count.  Pushes and pops: `stack`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_INSN_H
#define TCG_INSN_H

#include "base/bits.h"

typedef struct Env Env;
typedef struct Insn Insn;

/*
 * A handler executes `insn` and returns the one to run next: insn + 1, the
 * first of another block, or NULL to go back to the dispatcher, with
 * env->s.rip set.  See env.h for the rules.
 */
typedef const Insn *InsnFn(Env *env, const Insn *insn);

enum {                          /* Insn.ea: how the address is formed */
    EA_SEG  = 1 << 0,           /* add the base of `seg`, check its limit */
    EA_A32  = 1 << 1,           /* wrap the offset at 32 bits */
    EA_A16  = 1 << 2,           /* wrap the offset at 16 bits */
    EA_RIP  = 1 << 3,           /* RIP-relative: to the next instruction */
};

enum {                          /* Insn.flags */
    INSN_MEM   = 1 << 0,        /* rm is memory */
    INSN_LOCK  = 1 << 1,
    INSN_REP   = 1 << 2,        /* strings: REP; CMPS, SCAS: REPE (F3) */
    INSN_REPNE = 1 << 3,        /* CMPS, SCAS: REPNE (F2) */
    INSN_A32   = 1 << 4,        /* address size 32, set in every insn */
    INSN_A16   = 1 << 5,        /* address size 16; neither: 64 */
    INSN_REX   = 1 << 6,        /* any REX: SPL rather than AH (for logs) */
    INSN_END   = 1 << 7,        /* ends a block */
};

enum {                          /* Insn.stack: how pushes and pops address */
    STACK_64,                   /* RSP, no base */
    STACK_32,                   /* ESP, SS is flat (DM_FLAT) */
    STACK_SEG32,                /* ESP, base and limit of SS */
    STACK_SEG16,                /* SP, base and limit of SS */
};

enum { R_ZERO = 16, R_PC = 17 };    /* see gpr[] in cpu/state.h */

/*
 * 32 bytes.  Registers are numbers 0-15, but a register operand of size 1 is
 * the byte's offset in the register file (AL 0, CL 8, AH 1, CH 9, SPL 32 ...),
 * so that *(uint8_t *)((char *)env->s.gpr + insn->rm) is the operand.
 */
struct Insn {
    InsnFn *fn;
    int64_t imm;                /* immediate; branch displacement; moffs;
                                 * far pointer offset | selector << 32;
                                 * ENTER: size | level << 16; x87: FOP;
                                 * VEX: vvvv in the top four bits */
    int32_t disp;               /* ModRM displacement */
    uint16_t op;                /* OP_* */
    uint16_t off : 12;          /* of the first byte in its (linear) page */
    uint16_t len : 4;           /* 1 to 15 */
    uint8_t size;               /* bytes; see above */
    uint8_t flags;              /* INSN_* */
    uint8_t ea : 4;             /* EA_* */
    uint8_t scale : 2;
    uint8_t stack : 2;          /* STACK_*, from the mode, in every insn */
    uint8_t seg : 4;            /* SEG_* of the memory operand (also for
                                 * #GP or #SS when EA_SEG is clear) */
    uint8_t aux : 4;            /* condition code; VEX W | L << 1 */
    uint8_t base, index;        /* 0-15, R_ZERO when absent, R_PC */
    uint8_t reg, rm;
};
G_STATIC_ASSERT(sizeof(Insn) == 32 || sizeof(Insn) == 40);

/*
 * VEX.vvvv.  Base and index are taken when rm is memory, so it is kept in the
 * top of imm; the low byte is the imm8 or the fourth register.
 */
static inline unsigned insn_vvvv(const Insn *i)
{
    return (uint64_t)i->imm >> 60;
}

/* What decoding depends on: part of a block's key. */
enum {
    DM_CODE16 = 0, DM_CODE32 = 1, DM_CODE64 = 2, DM_CODE_MASK = 3,
    DM_SS32   = 1 << 2,         /* SS.B: stack pointer is ESP (64-bit: RSP) */
    DM_FLAT   = 1 << 3,         /* CS DS ES SS: base 0, limit 4G-1, usable:
                                 * EA_SEG is left out (64-bit: always set) */
    DM_VM86   = 1 << 4,
    DM_REAL   = 1 << 5,         /* CR0.PE = 0 */
    /* The rest does not change decoding but keeps blocks apart. */
    DM_TF     = 1 << 6,         /* one instruction a block */
    DM_SHADOW = 1 << 7,         /* the first instruction is in a shadow */
    DM_A20    = 1 << 8,
    DM_CPL3   = 1 << 9,
    DM_AC     = 1 << 10,        /* CPL 0-2: AC lifts SMAP; CPL 3: #AC is on */
};

typedef enum {
    DECODE_OK,
    DECODE_MORE,                /* ran out of bytes before the end */
    DECODE_UD,                  /* undefined: op is OP_UD, len is valid */
    DECODE_TOO_LONG,            /* over 15 bytes: #GP(0) */
} DecodeResult;

/*
 * Decode one instruction from `n` bytes at `p`, in decode mode `mode` (DM_*),
 * with the features of `feat` (FEAT_* words of cpu/features.h; NULL: all).
 * Fills everything but `fn` and `off`.  Pure; any thread.
 */
DecodeResult insn_decode(Insn *out, const uint8_t *p, unsigned n,
                         unsigned mode, const uint32_t *feat);

/* The OP_* numbers; ops.def has one OP(name) a line. */
enum {
#define OP(name, ...) OP_##name,
#include "accel/tcg/decode/ops.def"
#undef OP
    N_OPS
};

const char *insn_op_name(unsigned op);

#endif
