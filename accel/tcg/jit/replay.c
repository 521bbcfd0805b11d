/*
 * Arithmetic flags once more.
 *
 * A check of an access is shorter if it may have the flags.  When what set
 * them can be run again at the places that need them, ways out as a rule, they
 * need not be saved: CMP and TEST of registers and immediates; ADD and SUB,
 * whose first operand is known from the result; logic, after which TEST of the
 * result gives the same.  That holds until one of the registers changes.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- what to run again --------------------------------------------------- */

/* A guest register that an instruction of ours can name. */
static bool usable(const Ctx *c, unsigned n, unsigned size)
{
    return !t_is_high(n, size) && t_home(&c->e, n, size) >= 0;
}

static unsigned number(unsigned n, unsigned size)
{
    return size == 1 ? n >> 3 : n;
}

enum { IMM = 255 };             /* in place of a register's number */

static JitReplay make(const Ctx *c, unsigned op, unsigned a, unsigned b)
{
    const Insn *n = c->insn;
    JitReplay q = { .op = op, .size = n->size, .b = R_ZERO };
    bool changes = op == REPLAY_ADD || op == REPLAY_SUB;

    if (!usable(c, a, n->size) || (b != IMM && !usable(c, b, n->size))
        || (changes && (n->size < 4 || a == b))
        || (b == IMM && (n->imm != (int32_t)n->imm
                         || n->imm == INT32_MIN))) {
        return (JitReplay) { 0 };
    }
    q.a = number(a, n->size);
    if (b == IMM) {
        q.imm = n->imm;
    } else {
        q.b = number(b, n->size);
    }
    return q;
}

JitReplay t_replay_of(const Ctx *c)
{
    const Insn *n = c->insn;
    bool mem = n->flags & INSN_MEM;

    switch (n->op) {
    case OP_AND_R_RM: case OP_OR_R_RM: case OP_XOR_R_RM:
        return make(c, REPLAY_TEST, n->reg, n->reg);
    }
    if (mem) {
        return (JitReplay) { 0 };
    }
    switch (n->op) {
    case OP_CMP_RM_R: return make(c, REPLAY_CMP, n->rm, n->reg);
    case OP_CMP_R_RM: return make(c, REPLAY_CMP, n->reg, n->rm);
    case OP_CMP_RM_I: return make(c, REPLAY_CMP, n->rm, IMM);
    case OP_TEST_RM_R: return make(c, REPLAY_TEST, n->rm, n->reg);
    case OP_TEST_RM_I: return make(c, REPLAY_TEST, n->rm, IMM);
    case OP_ADD_RM_R: return make(c, REPLAY_ADD, n->rm, n->reg);
    case OP_ADD_R_RM: return make(c, REPLAY_ADD, n->reg, n->rm);
    case OP_ADD_RM_I: return make(c, REPLAY_ADD, n->rm, IMM);
    case OP_SUB_RM_R: return make(c, REPLAY_SUB, n->rm, n->reg);
    case OP_SUB_R_RM: return make(c, REPLAY_SUB, n->reg, n->rm);
    case OP_SUB_RM_I: return make(c, REPLAY_SUB, n->rm, IMM);
    case OP_AND_RM_R: case OP_OR_RM_R: case OP_XOR_RM_R:
    case OP_AND_RM_I: case OP_OR_RM_I: case OP_XOR_RM_I:
        return make(c, REPLAY_TEST, n->rm, n->rm);
    }
    return (JitReplay) { 0 };
}

void t_replay_check(Ctx *c, bool sets_all)
{
    const JitReplay *q = &c->replay;

    if (!q->op || sets_all
        || !(t_may_write(c->insn, q->a)
             || (q->b != R_ZERO && t_may_write(c->insn, q->b)))) {
        return;
    }
    t_settle(c);
}

/* --- running it ----------------------------------------------------------- */

void t_replay(Emit *e, const JitReplay *q)
{
    unsigned a = e->home[q->a], size = q->size;
    bool imm = q->b == R_ZERO;
    unsigned b = imm ? 0 : e->home[q->b];
    unsigned k = q->op == REPLAY_ADD ? 0 : 7;       /* ADD, CMP */

    if (q->op == REPLAY_ADD || q->op == REPLAY_SUB) {
        /* The first operand as it was. */
        if (imm) {
            e_rm(e, size, 0x8d, H_CX, a, H_SP, 0, k ? q->imm : -q->imm);
        } else {
            e_mov(e, size, H_CX, a);
            e_rr(e, size, k ? 0x01 : 0x29, b, H_CX);
        }
        a = H_CX;
    }
    if (q->op == REPLAY_TEST) {
        if (imm) {
            e_rr(e, size, t_sized(0xf6, size), 0, a);
        } else {
            e_rr(e, size, t_sized(0x84, size), b, a);
        }
    } else if (imm) {
        e_rr(e, size, t_sized(0x80, size), k, a);
    } else {
        e_rr(e, size, t_sized(k * 8, size), b, a);
    }
    if (imm) {
        if (size == 2) {
            e8(e, q->imm);
            e8(e, q->imm >> 8);
        } else if (size == 1) {
            e8(e, q->imm);
        } else {
            e32(e, q->imm);
        }
    }
}

#define RUN(insn, type, x, y)                                               \
    ({                                                                      \
        uint16_t raw_;                                                      \
        type x_ = (x), y_ = (y);                                            \
        asm(insn " %2, %1\n\tlahf\n\tseto %%al"                            \
            : "=&a"(raw_), "+r"(x_) : "r"(y_) : "cc");                      \
        raw_;                                                               \
    })
#define RUN_SIZED(insn, size, a, b)                                         \
    ((size) == 1 ? RUN(insn "b", uint8_t, a, b)                             \
     : (size) == 2 ? RUN(insn "w", uint16_t, a, b)                          \
     : (size) == 4 ? RUN(insn "l", uint32_t, a, b)                          \
     : RUN(insn "q", uint64_t, a, b))

uint16_t jit_replay(const Env *env, const JitReplay *q)
{
    uint64_t a = env->s.gpr[q->a];
    uint64_t b = q->b == R_ZERO ? (uint64_t)(int64_t)q->imm
                                : env->s.gpr[q->b];

    switch (q->op) {
    case REPLAY_TEST: return RUN_SIZED("test", q->size, a, b);
    case REPLAY_ADD: return RUN_SIZED("add", q->size, a - b, b);
    case REPLAY_SUB: return RUN_SIZED("sub", q->size, a + b, b);
    default: return RUN_SIZED("cmp", q->size, a, b);
    }
}
