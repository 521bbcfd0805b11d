/*
 * The instructions of a turn, in order, and what registers are on the way.
 *
 * A loop that has others inside is known ahead when it is known how often
 * those turn: what their jumps back compare differs by a constant, or by what
 * it differs by now, which is then compared once before the turns (JumpGuess).
 * All their turns follow one another in the path, so that their jumps are
 * nothing, and addresses are constants from where the registers of the outer
 * loop are.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/ahead.h"

/* --- what is in registers ------------------------------------------ */

static Value constant(int64_t v)
{
    return v == (int32_t)v ? (Value) { MOVED, .reg = R_ZERO, .add = v }
                           : (Value) { ANY };
}

static Value low_of(Value v)
{
    if (v.what == MOVED && v.reg == R_ZERO) {
        return v.add < 0 ? (Value) { ANY } : v;
    }
    v.low |= v.what == MOVED;
    return v;
}

static Value moved_by(Value v, int64_t add, unsigned size)
{
    if (v.what != MOVED || (size == 8 ? v.low : size != 4)
        || v.add + add != (int32_t)(v.add + add)) {
        return (Value) { ANY };
    }
    v.add += add;
    return size == 4 ? low_of(v) : v;
}

static Value small(int64_t max)
{
    return max >= 0 && max < (int64_t)PAGE_BYTES
               ? (Value) { SMALL, .max = max } : (Value) { ANY };
}

/* What `n` writes to a register, if it is anything known; false: no idea. */
static bool result(const Insn *n, const Value *v, unsigned *to, Value *out)
{
    bool mem = n->flags & INSN_MEM;

    *to = n->rm;
    switch (n->op) {
    case OP_MOV_R_RM:
    case OP_MOV_RM_R:
        if (mem || n->size < 4) {
            return false;
        }
        *to = n->op == OP_MOV_R_RM ? n->reg : n->rm;
        *out = v[n->op == OP_MOV_R_RM ? n->rm : n->reg];
        if (n->size == 4) {
            *out = low_of(*out);
        }
        return true;
    case OP_LEA_R_M:
        *to = n->reg;
        if (n->size < 4 || n->ea || n->base >= R_ZERO || n->index < R_ZERO) {
            return false;
        }
        *out = moved_by(v[n->base], n->disp, n->size);
        return true;
    case OP_MOVZX8_R_RM:
        *to = n->reg;
        *out = small(255);
        return n->size >= 4;
    }
    if (mem || n->size < 4) {
        return false;
    }
    switch (n->op) {
    case OP_MOV_RM_I:
        *out = constant(n->size == 4 ? (uint32_t)n->imm : n->imm);
        return true;
    case OP_XOR_RM_R: case OP_XOR_R_RM: case OP_SUB_RM_R: case OP_SUB_R_RM:
        *out = constant(0);
        return n->reg == n->rm;
    case OP_ADD_RM_I: *out = moved_by(v[n->rm], n->imm, n->size); return true;
    case OP_SUB_RM_I: *out = moved_by(v[n->rm], -n->imm, n->size); return true;
    case OP_INC_RM: *out = moved_by(v[n->rm], 1, n->size); return true;
    case OP_DEC_RM: *out = moved_by(v[n->rm], -1, n->size); return true;
    case OP_AND_RM_I: *out = small(n->imm); return true;
    case OP_SHR_RM_I:
        *out = small((n->size == 4 ? UINT32_MAX : UINT64_MAX >> 1)
                     >> (n->imm & (8 * n->size - 1)));
        return n->size == 4;
    }
    return false;
}

void value_step(const Insn *n, Value *v)
{
    unsigned to;
    Value out;
    bool known = result(n, v, &to, &out);

    for (unsigned i = 0; i < 16; i++) {
        if (t_may_write(n, i)) {
            v[i] = (Value) { ANY };
        }
    }
    if (known) {
        v[to] = out;
    }
}

void value_start(Value *v)
{
    for (unsigned i = 0; i < N_VALUES; i++) {
        v[i] = (Value) { MOVED, .reg = i };
    }
}

/* --- jumps that are known ------------------------------------------- */

/* ZF says whether these are equal. */
typedef struct Equal {
    bool known;
    Value a, b;
} Equal;

/* What ZF is behind `n`, which has set it; v[]: behind it, too. */
static Equal equal_by(const Insn *n, const Value *v)
{
    Equal q = { .b = constant(0) };
    bool constants;

    if (n->flags & INSN_MEM || n->size < 4) {
        return q;
    }
    switch (n->op) {
    case OP_CMP_RM_R: case OP_CMP_R_RM:
        q.b = v[n->reg];
        break;
    case OP_CMP_RM_I:
        q.b = constant(n->imm);
        break;
    case OP_TEST_RM_R:
        if (n->reg != n->rm) {
            return q;
        }
        break;
    case OP_ADD_RM_I: case OP_SUB_RM_I: case OP_INC_RM: case OP_DEC_RM:
        break;
    default:
        return q;
    }
    q.a = v[n->rm];
    constants = q.a.reg == R_ZERO && q.b.reg == R_ZERO && q.a.add >= 0
                && q.b.add >= 0;
    q.known = q.a.what == MOVED && q.b.what == MOVED && !q.a.low && !q.b.low
              && (n->size == 8 || constants);
    return q;
}

/* Register `b` (R_ZERO: 0) less register `a` as they are now, which will be
 * compared.  False: too much to guess. */
static bool guess(Turns *t, const uint64_t *gpr, unsigned a, unsigned b,
                  int64_t *by)
{
    unsigned k = 0;

    while (k < t->n_guesses
           && !(t->guess[k].a == a && t->guess[k].b == b)) {
        k++;
    }
    *by = (b == R_ZERO ? 0 : gpr[b]) - gpr[a];
    if (k == TURN_GUESSES || *by != (int16_t)*by) {
        return false;
    }
    t->guess[k] = (TurnGuess) { .a = a, .b = b, .by = *by };
    t->n_guesses = MAX(t->n_guesses, k + 1);
    return true;
}

/* Is the jump taken?  False: not known. */
static bool decide(Ctx *c, Turns *t, const Insn *n, Equal q, bool *taken)
{
    int64_t by = 0;

    if (!q.known || (n->aux | 1) != 5) {        /* JE, JNE */
        return false;
    }
    if (q.a.reg == R_ZERO) {
        q = (Equal) { .a = q.b, .b = q.a };
    }
    if (q.a.reg != q.b.reg
        && !guess(t, c->gpr, q.a.reg, q.b.reg, &by)) {
        return false;
    }
    *taken = (q.a.add == q.b.add + by) == (n->aux == 4);
    return true;
}

/* --- the path --------------------------------------------------------- */

static bool jumps_to(const Insn *n, unsigned off, unsigned word)
{
    return n->op == OP_JCC_I && n->size == word
           && n->off + n->len + n->imm == off;
}

/* The instruction behind `first` that `n`, which is number `i`, jumps back
 * to; 0: none. */
static unsigned inner_top(const Ctx *c, unsigned first, unsigned i)
{
    const Insn *n = &c->b->insns[i];

    for (unsigned k = first + 1; n->op == OP_JCC_I && k <= i; k++) {
        if (jumps_to(n, c->b->insns[k].off, c->word)) {
            return k;
        }
    }
    return 0;
}

static bool has_end(const Ctx *c, unsigned first)
{
    for (unsigned i = first + 1; i < c->b->n_insns; i++) {
        if (jumps_to(&c->b->insns[i], c->b->insns[first].off, c->word)) {
            return true;
        }
    }
    return false;
}

/* What was guessed at the start of this turn is so at the next one's, too. */
static bool guesses_stay(const Turns *t, const Value *end)
{
    for (unsigned k = 0; k < t->n_guesses; k++) {
        const TurnGuess *g = &t->guess[k];
        const Value *a = &end[g->a], *b = &end[g->b];

        if (a->what != MOVED || b->what != MOVED || a->reg != g->a
            || b->reg != g->b || a->low || b->low || a->add != b->add) {
            return false;
        }
    }
    return true;
}

bool path_find(Ctx *c, Turns *t)
{
    const Block *b = c->b;
    Equal q = { 0 };
    Value v[N_VALUES];
    unsigned i = t->first, w, top;
    bool taken;

    t->n_path = t->n_guesses = 0;
    t->nest = false;
    if (!has_end(c, t->first)) {
        return false;
    }
    value_start(v);
    for (;; i++) {
        const Insn *n = &b->insns[i];

        if (i == b->n_insns || t->n_path == TURN_STEPS || !t_simple(n)) {
            return false;
        }
        if (i > t->first && jumps_to(n, b->insns[t->first].off, c->word)) {
            break;
        }
        t->path[t->n_path] = (TurnStep) { .insn = i };
        top = inner_top(c, t->first, i);
        value_step(n, v);
        if (top) {
            if (!decide(c, t, n, q, &taken)) {
                return false;
            }
            t->nest = t->path[t->n_path].known = true;
            if (taken) {
                i = top - 1;
            }
        }
        t->n_path++;
        t_needs_flags(n, &w);
        if (w) {
            q = equal_by(n, v);
        }
    }
    t->last = i;
    return guesses_stay(t, v);
}
