/*
 * Which loops are known ahead: see turns.c.
 *
 * A loop inside a block, from an instruction to the first Jcc that goes back
 * to it, with all turns of loops inside (path.c), whose accesses move by a
 * constant with each turn, or not at all, or have a bounded index.  For each
 * instruction is found what registers are in terms of those at the start of the
 * turn.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/ahead.h"

enum {
    MAX_STEP = 256,             /* bytes that a register moves in a turn */
    FIRST_TURNS = 8,
    SHORT = 16,                 /* instructions: some turns in a row */
};

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
        if (b->what != MOVED || b->reg == R_ZERO || b->low || end[b->reg].low
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
        } else if (x->what == MOVED && x->reg != R_ZERO
                   && stride(t, x->reg, end, &by_index)
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

/* A register that is now a constant more than the group's base at the start of
 * the turn; R_ZERO: none. */
static unsigned through(const Value *v, unsigned base, unsigned rather)
{
    const Value *r = &v[rather];

    for (unsigned i = 0; r->what != MOVED || r->reg != base || r->low; i++) {
        if (i == 16) {
            return R_ZERO;
        }
        r = &v[i];
    }
    return r - v;
}

/* The same as describe() in a nest: a constant from one register. */
static bool describe_step(Turns *t, const Insn *n, const Value *v,
                          const Value *end, TurnGroup *g, int64_t *at,
                          TurnStep *s)
{
    unsigned base = R_ZERO, part[] = { n->base, n->index };

    *g = (TurnGroup) { .form = TURN_FIXED, .base = R_ZERO, .index = R_ZERO };
    *at = n->disp;
    if (n->ea & ~EA_RIP) {
        return false;
    }
    if (n->ea & EA_RIP) {
        base = R_PC;
        *at += n->off + n->len;
    }
    for (unsigned k = 0; k < 2; k++) {
        unsigned scale = k ? n->scale : 0;
        const Value *r;

        if (part[k] >= R_ZERO) {
            continue;
        }
        r = &v[part[k]];
        if (r->what != MOVED || r->low
            || (r->reg != R_ZERO && (base != R_ZERO || scale))) {
            return false;
        }
        *at += r->add * (1 << scale);
        base = r->reg == R_ZERO ? base : r->reg;
    }
    g->base = base;
    s->via = R_ZERO;
    if (base < R_ZERO) {
        if (end[base].low || !stride(t, base, end, &g->by)) {
            return false;
        }
        g->form = TURN_STILL;
    }
    if (g->by) {
        g->form = TURN_BASE;
        s->via = through(v, base, n->base < R_ZERO ? n->base : n->index);
        if (s->via == R_ZERO) {
            return false;
        }
    }
    s->disp = *at - v[s->via].add;
    return *at == (int32_t)*at && s->disp == *at - v[s->via].add;
}

static bool same_group(const TurnGroup *a, const TurnGroup *b)
{
    return a->form == b->form && a->base == b->base && a->index == b->index
           && a->scale == b->scale && a->by == b->by && a->low == b->low;
}

/* Add the memory operand of `n`, a step of the turn.  False: not known. */
static bool add_access(Turns *t, const Insn *n, TurnStep *s, const Value *v,
                       const Value *end)
{
    const InsnInfo *info = insn_info(n->op);
    unsigned size = insn_mem_size(n), k = 0;
    unsigned align = info->align == AL_SIZE ? size : info->align;
    bool write = info->mem != MEM_LOAD;
    int64_t at, reach = 0;
    TurnGroup g, *to;

    if (!(t->nest ? describe_step(t, n, v, end, &g, &at, s)
          : describe(t, n, v, end, &g, &at, &reach, &s->disp))) {
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
        to->insn = s->insn;
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
    s->group = k;
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
static unsigned uses(const Turns *t, const TurnStep *s, const Insn *n)
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
    if (is_access(n) && t->group[s->group].form == TURN_BOTH) {
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

static bool changes(const Turns *t, const Block *b, unsigned reg)
{
    for (unsigned i = t->first; i <= t->last; i++) {
        if (t_may_write(&b->insns[i], reg)) {
            return true;
        }
    }
    return false;
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
    for (unsigned i = 0; i < t->n_path; i++) {
        const Insn *insn = &b->insns[t->path[i].insn];

        used |= uses(t, &t->path[i], insn);
        all |= t_named(insn, &high);
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
    t->borrowed = t->guests = t->changed = 0;
    for (unsigned r = 0; r < 16; r++) {
        if (all >> r & 1 && jit_host_reg[r] < 0) {
            t->guests |= 1u << r;
            t->changed |= changes(t, b, r) << r;
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
    t->copies = !t->nest && t->n_path <= SHORT ? TURN_COPIES : 1;
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
        for (unsigned i = 0; i < t->n_path; i++) {
            const TurnStep *s = &t->path[i];
            const Insn *n = &c->b->insns[s->insn];

            if (is_access(n) && s->group == k
                && (insn_mem_size(n) > size
                    || s->disp != t->path[g->insn - t->first].disp
                    || n->ea & EA_RIP || !flags_free(c, t, s->insn))) {
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
    Value v[N_VALUES], end[N_VALUES];

    t->first = c->i;
    t->keeps_flags = keep_flags;
    t->apart = apart;
    if (!path_find(c, t)
        || (t->nest && (c->nest_join || c->n_nests == TURN_NESTS))
        || !look_at_insns(c, t)) {
        return false;
    }
    value_start(end);
    for (unsigned i = 0; i < t->n_path; i++) {
        value_step(&b->insns[t->path[i].insn], end);
    }
    value_start(v);
    t->n_groups = 0;
    for (unsigned i = 0; i < t->n_path; i++) {
        const Insn *n = &b->insns[t->path[i].insn];

        if (is_access(n) && !add_access(t, n, &t->path[i], v, end)) {
            return false;
        }
        value_step(n, v);
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
