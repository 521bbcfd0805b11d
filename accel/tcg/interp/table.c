/*
 * The handler of each operation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/int.h"

typedef struct Entry {
    InsnFn *reg[4], *mem[4], *lock[4];
    InsnFn *const *cond[4];
} Entry;

static Entry table[N_OPS];

static const Insn *undefined(Env *env, const Insn *insn)
{
    return insn_raise(env, insn, EXC_UD);
}

static void add_rows(const HandlerRow *rows)
{
    for (const HandlerRow *r = rows; r->op; r++) {
        Entry *e = &table[r->op];

        for (unsigned i = 0; i < 4; i++) {
            e->reg[i] = r->reg[i] ? r->reg[i] : e->reg[i];
            e->mem[i] = r->mem[i] ? r->mem[i] : e->mem[i];
            e->lock[i] = r->lock[i] ? r->lock[i] : e->lock[i];
            e->cond[i] = r->cond[i] ? r->cond[i] : e->cond[i];
        }
    }
}

void interp_init(void)
{
    static const HandlerRow *const rows[] = {
        interp_arith, interp_mul, interp_shift, interp_bits, interp_move,
        interp_stack, interp_locked, interp_branch, interp_string,
        interp_segment, interp_far, interp_control, interp_msr,
        interp_system, interp_io, interp_hypercall, interp_smm,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        add_rows(rows[i]);
    }
    for (unsigned i = 0; fpu_tables[i]; i++) {
        add_rows(fpu_tables[i]);
    }
}

InsnFn *interp_handler(const Insn *insn)
{
    static const uint8_t column_of_size[33] = {
        [2] = 1, [4] = 2, [8] = 3, [32] = 1,
    };
    unsigned col = insn->size <= 32 ? column_of_size[insn->size] : 0;
    const Entry *e;
    InsnFn *const *fns;

    if (insn->op >= N_OPS) {
        return undefined;
    }
    e = &table[insn->op];
    if (insn->flags & INSN_LOCK) {
        fns = insn->flags & INSN_MEM ? e->lock : NULL;
    } else if (insn->flags & INSN_MEM) {
        fns = e->mem;
    } else {
        if (e->cond[col]) {
            return e->cond[col][insn->aux];
        }
        fns = e->reg;
    }
    if (!fns) {
        return undefined;
    }
    /* Operations without sizes fill the first column only. */
    return fns[col] ? fns[col] : fns[0] ? fns[0] : undefined;
}
