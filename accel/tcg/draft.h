/*
 * Blocks in the making: draft.c decodes, cache.c makes blocks of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_DRAFT_H
#define TCG_DRAFT_H

#include "accel/tcg/tcg.h"

enum { MAX_INSN_BYTES = 15 };

/* A block in the making. */
typedef struct Draft {
    Insn insns[BLOCK_MAX_INSNS];
    unsigned n;
    unsigned len;               /* of the first part; and behind the page */
    unsigned n_more, n_bytes;   /* other parts; all of them */
    BlockPart more[BLOCK_PARTS - 1];
    uint8_t bytes[BLOCK_MAX_INSNS * MAX_INSN_BYTES + MAX_INSN_BYTES];
    uint32_t samples[BLOCK_MAX_INSNS];  /* longer forms: Block.jit_samples */
} Draft;

/* Decode `n` bytes at `p` as one instruction at page offset `off`.  False: it
 * does not end there. */
bool draft_insn(Env *env, Insn *insn, const uint8_t *p, unsigned n,
                unsigned off, uint32_t mode);
/* May a block's longer form have more behind it? */
static inline bool draft_goes_on(const Insn *insn)
{
    return insn->op == OP_JCC_I || insn->op == OP_CALL_I
           || insn->op == OP_CALL_RM;
}
/* Or elsewhere in its page? */
static inline bool draft_follows(const Insn *insn)
{
    return insn->op == OP_JMP_I || insn->op == OP_JMP_RM;
}
/*
 * Decode from `gva`, whose page is at `hva`; n stays 0 when the first instruction
 * leaves the page.  `cross`: unless what follows it is known.  With `shorter`, a
 * block from there, go on behind what draft_goes_on(), and where draft_follows()
 * leads to, as long as what is there seems to run often.
 */
void draft_make(Env *env, Draft *d, const uint8_t *hva, uint64_t gva,
                uint32_t mode, bool cross, const Block *shorter);

/* -d in_asm, op. */
void draft_log(const Block *b, uint64_t gva);

#endif
