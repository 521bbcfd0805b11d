/*
 * Which loops are known ahead: see turns.c.
 *
 * A loop inside a block, from an instruction to the first Jcc that goes back
 * to it, whose accesses move by a constant with each turn, or not at all, or
 * have a bounded index.  For each instruction is found what registers are in
 * terms of those at the start of the turn.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

enum {
    MAX_STEP = 256,             /* bytes that a register moves in a turn */
    FIRST_TURNS = 8,
    SHORT = 16,                 /* instructions: some turns in a row */
};

/* --- what is in registers ------------------------------------------ */

/* ANY: nothing is known.  MOVED: `reg` at the start of the turn, and `add`;
 * `low`: 32 bits of that.  SMALL: 0 to `max`. */
typedef struct Value {
    enum { ANY, MOVED, SMALL } what;
    uint8_t reg;
    bool low;
    int64_t add;
    uint32_t max;
} Value;

static Value low_of(Value v)
{
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

static void step(const Insn *n, Value *v)
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

static void turn_start(Value *v)
{
    for (unsigned i = 0; i < 16; i++) {
        v[i] = (Value) { MOVED, .reg = i };
    }
}

/* --- accesses ------------------------------------------------------ */

/* How `reg` moves with each turn; false: not by a constant. */
static bool stride(const Turns *t, unsigned reg, const Value *end, int64_t *by)
{
    const Value *v = &end[reg];

    if (v->what != MOVED || v->reg != reg || v->add > MAX_STEP
        || v->add < -MAX_STEP) {
        return false;
    }
    *by = v->add;
    return true;
}

/* An index of 32 bits must not pass their end. */
static bool index_low(TurnGroup *g, const Value *v, const Value *end)
{
    if (v->low || end[v->reg].low) {
        if (v->add < 0 || v->add > INT16_MAX || end[v->reg].add < 0) {
            return false;
        }
        g->low = true;
    }
    return true;
}

/*
 * What the memory operand of `n` is as a group of its own, from `at` on and
 * `reach` bytes further than its size.  False: it is not known ahead.
 */
static bool describe(Turns *t, const Insn *n, const Value *v, const Value *end,
                     TurnGroup *g, int64_t *at, int64_t *reach,
                     int32_t *disp)
{
    int64_t by_index = 0;
    const Value *b, *x;

    *g = (TurnGroup) { .form = TURN_BASE, .base = R_ZERO, .index = R_ZERO };
    *reach = 0;
    *at = *disp = n->disp;
    if (n->ea & ~EA_RIP || (n->base >= R_ZERO && n->index < R_ZERO)) {
        return false;
    }
    if (n->base >= R_ZERO) {
        g->form = TURN_FIXED;
        if (n->ea & EA_RIP) {
            g->base = R_PC;
            *at += n->off + n->len;
        }
    } else {
        b = &v[n->base];
        if (b->what != MOVED || b->low || end[b->reg].low
            || !stride(t, b->reg, end, &g->by)) {
            return false;
        }
        g->base = b->reg;
        *at += b->add;
    }
    if (n->index < R_ZERO) {
        x = &v[n->index];
        g->scale = n->scale;
        if (x->what == SMALL) {
            if (g->by) {
                return false;
            }
            g->form = TURN_INDEX;
            *reach = (int64_t)x->max << n->scale;
        } else if (x->what == MOVED && stride(t, x->reg, end, &by_index)
                   && index_low(g, x, end)) {
            g->index = x->reg;
            g->form = !g->by ? TURN_INDEX : by_index ? TURN_BOTH : TURN_OFFSET;
            g->by += by_index * (1 << n->scale);
            *at += x->add * (1 << n->scale);
            if (g->form == TURN_OFFSET) {
                *disp += x->add * (1 << n->scale);
            }
        } else {
            return false;
        }
    }
    if (g->form == TURN_FIXED || g->form == TURN_INDEX) {
        /* The base is in the addend. */
        *disp = g->form == TURN_FIXED ? *at : n->disp + v[n->base].add;
    }
    return *at == (int32_t)*at && g->by <= MAX_STEP && g->by >= -MAX_STEP;
}

static bool same_group(const TurnGroup *a, const TurnGroup *b)
{
    return a->form == b->form && a->base == b->base && a->index == b->index
           && a->scale == b->scale && a->by == b->by && a->low == b->low;
}

/* Add the memory operand of instruction `i`.  False: not known ahead. */
static bool add_access(Turns *t, const Block *b, unsigned i, const Value *v,
                       const Value *end)
{
    const Insn *n = &b->insns[i];
    const InsnInfo *info = insn_info(n->op);
    unsigned size = insn_mem_size(n), k = 0;
    unsigned align = info->align == AL_SIZE ? size : info->align;
    bool write = info->mem != MEM_LOAD;
    int64_t at, reach;
    TurnGroup g, *to;

    if (!describe(t, n, v, end, &g, &at, &reach, &t->disp[i])) {
        return false;
    }
    while (k < t->n_groups && !same_group(&t->group[k], &g)) {
        k++;
    }
    if (k == TURN_GROUPS) {
        return false;
    }
    to = &t->group[k];
    if (k == t->n_groups) {
        *to = g;
        to->insn = i;
        to->lo = at;
        to->hi = at;
        t->n_groups++;
    }
    if (align >= 16) {
        if (g.by & (align - 1) || reach
            || (to->align && (at - to->aligned)
                             & (MIN(align, to->align) - 1))) {
            return false;
        }
        if (align > to->align) {
            to->align = align;
            to->aligned = at;
        }
    }
    to->lo = MIN(to->lo, at);
    to->hi = MAX(to->hi, at + reach + size);
    to->write |= write;
    to->wide |= reach > 0;
    t->of_insn[i] = k;
    return to->hi - to->lo <= (int)PAGE_BYTES / 2;
}

/* --- which loops ----------------------------------------------------- */

static bool is_access(const Insn *n)
{
    unsigned mem = insn_info(n->op)->mem;

    return n->flags & INSN_MEM
           && (mem == MEM_LOAD || mem == MEM_STORE || mem == MEM_RMW);
}

unsigned t_named(const Insn *n, bool *high)
{
    const InsnInfo *info = insn_info(n->op);
    unsigned m = 0;

    *high = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        unsigned kind = info->opnd[i] & OPD_KIND;
        unsigned width = info->opnd[i] & OPD_WIDTH;
        unsigned r = kind == OPD_REG ? n->reg : n->rm;
        bool byte = width ? width == W_1 : n->size == 1;

        if (kind == OPD_REG || (kind == OPD_RM && !(n->flags & INSN_MEM))) {
            m |= 1u << (byte ? r >> 3 : r);
            *high |= byte && r & 1;
        } else if (kind == OPD_VREG) {
            m |= 1u << insn_vvvv(n);
        }
    }
    if (n->flags & INSN_MEM) {
        m |= (n->base < R_ZERO ? 1u << n->base : 0)
             | (n->index < R_ZERO ? 1u << n->index : 0);
    }
    return m;
}

enum { USES_AX = 1 << H_AX, USES_CX = 1 << H_CX, USES_DX = 1 << H_DX,
       USES_ALL = USES_AX | USES_CX | USES_DX };

/* Scratch registers that its template may use. */
static unsigned uses(const Turns *t, unsigned i, const Insn *n)
{
    bool high;
    unsigned m = 0;

    t_named(n, &high);
    if (high) {
        return USES_ALL;
    }
    if (n->op == OP_LEA_R_M) {
        m |= USES_DX | USES_CX;
    } else if (n->op == OP_IMUL_R_RM_I) {
        m |= USES_CX;
    }
    if (is_access(n) && t->group[t->of_insn[i]].form == TURN_BOTH) {
        m |= USES_DX;
    }
    return m;
}

/* May it raise SIGFPE? */
static bool may_trap(const Ctx *c, const Insn *n)
{
    static const char *const quiet[] = {
        "MOV", "P", "LDDQU", "AND", "OR", "XOR", "SHUF", "UNPCK",
    };
    const char *name = insn_op_name(n->op);

    if (!t_fp_need((Ctx *)c, n)) {
        return false;
    }
    name += *name == 'V';
    for (unsigned i = 0; i < G_N_ELEMENTS(quiet); i++) {
        if (!strncmp(name, quiet[i], strlen(quiet[i]))) {
            return false;
        }
    }
    return true;
}

static bool jumps_to(const Insn *n, unsigned off, unsigned word)
{
    return n->op == OP_JCC_I && n->size == word
           && n->off + n->len + n->imm == off;
}

/* The jump back to instruction `first`, with no other loop inside; 0: none. */
static unsigned find_end(const Ctx *c, unsigned first)
{
    const Block *b = c->b;

    for (unsigned i = first + 1; i < b->n_insns; i++) {
        const Insn *n = &b->insns[i];

        if (jumps_to(n, b->insns[first].off, c->word)) {
            return i;
        }
        if (n->op == OP_JCC_I) {
            for (unsigned k = first + 1; k <= i; k++) {
                if (jumps_to(n, b->insns[k].off, c->word)) {
                    return 0;
                }
            }
        }
    }
    return 0;
}

/* Do all of them have templates for here?  And must flags be kept from turn to
 * turn, since something may look at them before they are set? */
static bool look_at_insns(Ctx *c, Turns *t)
{
    bool set = false;

    t->need = 0;
    for (unsigned i = t->first; i <= t->last; i++) {
        const Insn *n = &c->b->insns[i];
        InsnFlags f = insn_flags(n);
        unsigned w = (f.set | f.may | f.undef) & IF_ARITH;
        bool all = ((f.set | f.undef) & IF_ARITH) == IF_ARITH
                   && !(f.may & IF_ARITH);

        if (!t_simple(n) || n->flags & INSN_LOCK || t_crosses(c->b, i)
            || (is_access(n) && n->ea & ~EA_RIP)) {
            return false;
        }
        t->need |= t_fp_need(c, n);
        if (!set && (f.read & IF_ARITH || (w && !all) || may_trap(c, n))) {
            t->keeps_flags = true;
        }
        set |= w && all;
    }
    return !(t->need & FP_X87);
}

/*
 * A host register for each group, the counter and those guest registers that
 * have no home: scratch registers that no template needs, then homes of guest
 * registers that the loop does not name.  False: there are not enough.
 */
static bool take_registers(Turns *t, const Block *b)
{
    unsigned used = 0, all = 0, n = 0, n_homes = 0;
    uint8_t pool[3 * TURN_GROUPS + 2], scratch[] = { H_CX, H_DX, H_AX };
    unsigned need = 1 + t->n_groups;
    bool high;

    if (t->apart) {
        need += 1 + 2 * t->n_choices;
    }
    for (unsigned i = t->first; i <= t->last; i++) {
        used |= uses(t, i, &b->insns[i]);
        all |= t_named(&b->insns[i], &high);
    }
    if (t->keeps_flags && used & USES_CX) {
        return false;           /* JRCXZ */
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(scratch); k++) {
        if (!(used >> scratch[k] & 1)) {
            pool[n++] = scratch[k];
        }
    }
    memcpy(t->home, jit_host_reg, sizeof(t->home));
    t->borrowed = t->guests = 0;
    for (unsigned r = 0; r < 16; r++) {
        if (all >> r & 1 && jit_host_reg[r] < 0) {
            t->guests |= 1u << r;
        }
    }
    /* In order: jit.c gives them back so. */
    for (unsigned r = 0, g = t->guests; r < 16 && (g || n < need);
         r++) {
        if (all >> r & 1 || r == R_RSP || jit_host_reg[r] < 0) {
            continue;
        }
        t->borrowed |= 1u << r;
        n_homes++;
        if (g) {
            t->home[__builtin_ctz(g)] = jit_host_reg[r];
            g &= g - 1;
        } else {
            pool[n++] = jit_host_reg[r];
        }
    }
    if (n < need
        || n_homes < (unsigned)__builtin_popcount(t->guests)) {
        return false;
    }
    t->counter = pool[0];
    n = 1;
    for (unsigned k = 0; k < t->n_groups; k++) {
        TurnGroup *g = &t->group[k];

        g->reg = pool[n++];
        if (t->apart && g->choose) {
            g->reg2 = pool[n++];
            g->bound = pool[n++];
        }
    }
    t->chosen = pool[n];
    return true;
}

static void choose_turns(Turns *t, const Block *b)
{
    t->turns = TURNS_MAX;
    t->copies = t->last - t->first <= SHORT ? TURN_COPIES : 1;
    for (unsigned k = 0; k < t->n_groups; k++) {
        if (t->group[k].by) {
            t->turns = FIRST_TURNS;
        }
    }
    for (unsigned i = t->first; i < t->last; i++) {
        if (b->insns[i].op == OP_JCC_I) {
            t->copies = 1;
        }
    }
}

/* Does nothing look at the flags before they are overwritten, from instruction
 * `i` on? */
static bool flags_free(const Ctx *c, const Turns *t, unsigned i)
{
    for (; i <= t->last; i++) {
        const Insn *n = &c->b->insns[i];
        InsnFlags f = insn_flags(n);
        unsigned w = (f.set | f.may | f.undef) & IF_ARITH;
        bool all = ((f.set | f.undef) & IF_ARITH) == IF_ARITH
                   && !(f.may & IF_ARITH);

        if (f.read & IF_ARITH || (w && !all) || may_trap(c, n)) {
            return false;
        }
        if (w) {
            return true;
        }
    }
    return false;
}

/* Groups of a bounded index into a table of elements that none straddles two
 * pages: each access can tell by the index in which of them it is. */
static void find_choices(const Ctx *c, Turns *t)
{
    t->n_choices = 0;
    for (unsigned k = 0; k < t->n_groups; k++) {
        TurnGroup *g = &t->group[k];
        unsigned size = 1u << g->scale;

        g->choose = g->wide && g->slot2 >= 0;
        for (unsigned i = t->first; i <= t->last; i++) {
            const Insn *n = &c->b->insns[i];

            if (is_access(n) && t->of_insn[i] == k
                && (insn_mem_size(n) > size || t->disp[i] != t->disp[g->insn]
                    || n->ea & EA_RIP || !flags_free(c, t, i))) {
                g->choose = false;
            }
        }
        t->n_choices += g->choose;
    }
}

/* Both translations of a block use the same. */
static int turn_slot(Ctx *c, const TurnGroup *g, unsigned k)
{
    int16_t *slot = &c->turns.slots[c->turns.first][k];

    if (!*slot) {
        *slot = jit_slot_choose(c->b, g->insn, c->who, false, g->write);
    }
    return *slot;
}

bool t_turns_known(Ctx *c, bool keep_flags, bool apart)
{
    Turns *t = &c->turns;
    const Block *b = c->b;
    Value v[16], end[16];

    t->first = c->i;
    t->last = find_end(c, c->i);
    t->keeps_flags = keep_flags;
    t->apart = apart;
    if (!t->last || !look_at_insns(c, t)) {
        return false;
    }
    turn_start(end);
    for (unsigned i = t->first; i <= t->last; i++) {
        step(&b->insns[i], end);
    }
    turn_start(v);
    t->n_groups = 0;
    for (unsigned i = t->first; i <= t->last; i++) {
        const Insn *n = &b->insns[i];

        if (is_access(n) && !add_access(t, b, i, v, end)) {
            return false;
        }
        step(n, v);
    }
    for (unsigned k = 0; k < t->n_groups; k++) {
        TurnGroup *g = &t->group[k];

        g->slot = turn_slot(c, g, 2 * k);
        g->slot2 = g->wide ? turn_slot(c, g, 2 * k + 1) : -1;
        if (g->slot < 0) {
            return false;
        }
    }
    find_choices(c, t);
    if (!t->n_groups || (apart && !t->n_choices) || !take_registers(t, b)) {
        return false;
    }
    choose_turns(t, b);
    return true;
}
