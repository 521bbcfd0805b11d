/*
 * Arithmetic flags once more.
 *
 * A check of an access is shorter if it may have the flags.  When what set
 * them can be run again at the places that need them, ways out as a rule, they
 * need not be saved: CMP and TEST of registers and immediates; ADD and SUB,
 * whose first operand is known from the result; logic, after which TEST of the
 * result gives the same.  That holds until one of the registers changes.
 * Behind a JNE that falls through, CMP and SUB have found zero, as a comparison
 * of anything with itself does.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- what to run again --------------------------------------------------- */

static unsigned number(unsigned n, unsigned size)
{
    return size == 1 ? n >> 3 : n;
}

enum { IMM = 255 };             /* in place of a register's number */

static JitReplay make(const Insn *n, unsigned op, unsigned a, unsigned b)
{
    JitReplay q = { .op = op, .size = n->size, .b = R_ZERO };
    bool changes = op == REPLAY_ADD || op == REPLAY_SUB;

    if (t_is_high(a, n->size) || (b != IMM && t_is_high(b, n->size))
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
        return make(n, REPLAY_TEST, n->reg, n->reg);
    }
    if (mem) {
        return (JitReplay) { 0 };
    }
    switch (n->op) {
    case OP_CMP_RM_R: return make(n, REPLAY_CMP, n->rm, n->reg);
    case OP_CMP_R_RM: return make(n, REPLAY_CMP, n->reg, n->rm);
    case OP_CMP_RM_I: return make(n, REPLAY_CMP, n->rm, IMM);
    case OP_TEST_RM_R: return make(n, REPLAY_TEST, n->rm, n->reg);
    case OP_TEST_RM_I: return make(n, REPLAY_TEST, n->rm, IMM);
    case OP_ADD_RM_R: return make(n, REPLAY_ADD, n->rm, n->reg);
    case OP_ADD_R_RM: return make(n, REPLAY_ADD, n->reg, n->rm);
    case OP_ADD_RM_I: return make(n, REPLAY_ADD, n->rm, IMM);
    case OP_SUB_RM_R: return make(n, REPLAY_SUB, n->rm, n->reg);
    case OP_SUB_R_RM: return make(n, REPLAY_SUB, n->reg, n->rm);
    case OP_SUB_RM_I: return make(n, REPLAY_SUB, n->rm, IMM);
    case OP_AND_RM_R: case OP_OR_RM_R: case OP_XOR_RM_R:
    case OP_AND_RM_I: case OP_OR_RM_I: case OP_XOR_RM_I:
        return make(n, REPLAY_TEST, n->rm, n->rm);
    }
    return (JitReplay) { 0 };
}

JitReplay t_replay_equal(JitReplay q)
{
    return q.op == REPLAY_CMP || q.op == REPLAY_SUB
        ? (JitReplay) { .op = REPLAY_CMP, .size = 4, .a = R_RSP, .b = R_RSP }
        : q;
}

void t_replay_check(Ctx *c, bool sets_all)
{
    const JitReplay *q = &c->replay;

    if (!q->op || sets_all || t_replay_stays(q)
        || !(t_may_write(c->insn, q->a)
             || (q->b != R_ZERO && t_may_write(c->insn, q->b)))) {
        return;
    }
    t_settle(c);
}

/* --- running it ----------------------------------------------------------- */

/* An instruction on host register `a` and the second operand; `k`: ADD, CMP or
 * others by number, TEST. */
enum { K_TEST = -1 };

static void on_b(Emit *e, const JitReplay *q, int k, unsigned a)
{
    unsigned size = q->size;
    int b = q->b == R_ZERO ? 0 : e->home[q->b];

    if (q->b != R_ZERO && b < 0) {
        e_gs(e, size, t_sized(k == K_TEST ? 0x84 : k * 8 + 2, size), a,
             GPR(q->b));
    } else if (q->b != R_ZERO) {
        e_rr(e, size, t_sized(k == K_TEST ? 0x84 : k * 8, size), b, a);
    } else {
        e_rr(e, size, t_sized(k == K_TEST ? 0xf6 : 0x80, size),
             k == K_TEST ? 0 : k, a);
        if (size < 4) {
            e8(e, q->imm);
            if (size == 2) {
                e8(e, q->imm >> 8);
            }
        } else {
            e32(e, q->imm);
        }
    }
}

void t_replay(Emit *e, const JitReplay *q)
{
    int a = e->home[q->a];
    bool add = q->op == REPLAY_ADD, sub = q->op == REPLAY_SUB;

    if (a < 0) {
        e_gs(e, 8, 0x8b, H_CX, GPR(q->a));
        a = H_CX;
    }
    if (add || sub) {           /* the first operand as it was */
        if (q->b == R_ZERO) {
            e_rm(e, q->size, 0x8d, H_CX, a, H_SP, 0, add ? -q->imm : q->imm);
        } else {
            if (a != H_CX) {
                e_mov(e, q->size, H_CX, a);
            }
            on_b(e, q, add ? 5 : 0, H_CX);          /* SUB, ADD */
        }
        a = H_CX;
    }
    on_b(e, q, q->op == REPLAY_TEST ? K_TEST : add ? 0 : 7, a);
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
