/*
 * One check of the TLB for several accesses.
 *
 * Accesses of a block with the same base, which moves by constants only, runs
 * of pushes and pops above all, are checked as one access from the lowest to
 * the highest byte, for writing if one of them writes.  What is checked is
 * only whether all of them would hit: if not, nothing has happened yet, and
 * the rest of the block runs in a second translation that checks each access,
 * or in the interpreter (EXIT_PLAIN).  So faults come where they belong.
 *
 * Several groups may go on at the same time.  A group's addend stays in its
 * slot, or in JitCpu.group_addend, and maybe in a home (addend.c).  It is good
 * until the group's last access, since a call of the interpreter that changes
 * the TLB (other than by filling it) does not come back into the block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

#include "accel/tcg/decode/info.h"
#include "accel/tcg/draft.h"

enum { MAX_SPAN = 512 };

/* --- what instructions do to a base ------------------------------------ */

int t_operand_base(const Ctx *c, const Insn *n)
{
    unsigned ea = c->word == 8 ? 0 : EA_A32;

    return n->flags & INSN_MEM && n->ea == ea
           && n->base < R_ZERO && n->index >= R_ZERO ? n->base : -1;
}

typedef enum { ENDS, READS, WRITES_RM, WRITES_REG } Kind;

/* x87 and vector instructions that vec.c and x87.c have templates for. */
static Kind fp_kind(const Insn *n)
{
    const InsnInfo *info = insn_info(n->op);
    Kind k = ENDS;

    if (info->emit != EMIT_COPY || info->implicit) {
        return ENDS;
    }
    /* Of the others XADD, XCHG and MULX write two registers. */
    if (n->op < OP_FADD_ST0_M32) {
        return ENDS;
    }
    switch (n->op) {
    case OP_PCMPESTRI_X_XM_I: case OP_PCMPISTRI_X_XM_I:
    case OP_VPCMPESTRI_X_XM_I: case OP_VPCMPISTRI_X_XM_I:
        return ENDS;            /* write RCX */
    }
    if (n->op < OP_FNCLEX) {
        return READS;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(info->opnd); i++) {
        switch (info->opnd[i] & OPD_KIND) {
        case OPD_REG:
            return WRITES_REG;
        case OPD_RM:
            if (i == 0) {
                return WRITES_RM;
            }
            break;
        case OPD_XREG: case OPD_XRM: case OPD_PREG: case OPD_PRM:
            k = READS;
            break;
        }
    }
    return k;
}

/* Instructions that write no register but the one they name, RSP apart. */
static Kind kind(const Insn *n)
{
    switch (n->op) {
    case OP_PUSH_RM: case OP_PUSH_I: case OP_JCC_I: case OP_NOP:
    case OP_CMP_RM_R: case OP_CMP_R_RM: case OP_CMP_RM_I:
    case OP_TEST_RM_R: case OP_TEST_RM_I: case OP_BT_RM_I:
    case OP_JMP_I: case OP_JMP_RM:      /* that the block follows */
        return READS;
    case OP_MOV_RM_R: case OP_MOV_RM_I: case OP_SETCC_RM: case OP_POP_RM:
    case OP_ADD_RM_R: case OP_ADD_RM_I: case OP_OR_RM_R: case OP_OR_RM_I:
    case OP_ADC_RM_R: case OP_ADC_RM_I: case OP_SBB_RM_R: case OP_SBB_RM_I:
    case OP_AND_RM_R: case OP_AND_RM_I: case OP_SUB_RM_R: case OP_SUB_RM_I:
    case OP_XOR_RM_R: case OP_XOR_RM_I: case OP_INC_RM: case OP_DEC_RM:
    case OP_NEG_RM: case OP_NOT_RM: case OP_SHL_RM_I: case OP_SHR_RM_I:
    case OP_SAR_RM_I: case OP_ROL_RM_I: case OP_ROR_RM_I:
    case OP_BTS_RM_I: case OP_BTR_RM_I: case OP_BSWAP_RM:
        return WRITES_RM;
    case OP_MOV_R_RM: case OP_MOVZX8_R_RM: case OP_MOVZX16_R_RM:
    case OP_MOVSX8_R_RM: case OP_MOVSX16_R_RM: case OP_MOVSX32_R_RM:
    case OP_LEA_R_M: case OP_CMOVCC_R_RM: case OP_ADD_R_RM: case OP_OR_R_RM:
    case OP_ADC_R_RM: case OP_SBB_R_RM: case OP_AND_R_RM: case OP_SUB_R_RM:
    case OP_XOR_R_RM: case OP_IMUL_R_RM: case OP_IMUL_R_RM_I:
    case OP_BSF_R_RM: case OP_BSR_R_RM: case OP_TZCNT_R_RM:
    case OP_LZCNT_R_RM: case OP_POPCNT_R_RM: case OP_ANDN_R_R_RM:
    case OP_BEXTR_R_RM_R: case OP_BZHI_R_RM_R: case OP_PDEP_R_R_RM:
    case OP_PEXT_R_R_RM: case OP_SARX_R_RM_R: case OP_SHLX_R_RM_R:
    case OP_SHRX_R_RM_R: case OP_RORX_R_RM_I: case OP_BLSI_R_RM:
    case OP_BLSMSK_R_RM: case OP_BLSR_R_RM: case OP_ADCX_R_RM:
    case OP_ADOX_R_RM: case OP_MOVBE_R_M: case OP_CRC32_R_RM:
        return WRITES_REG;
    case OP_MOVBE_M_R:
        return READS;
    case OP_FNSTSW_AX: case OP_EMMS: case OP_LDMXCSR_M:
        return ENDS;
    }
    return fp_kind(n);
}

static bool writes(const Insn *n, Kind k, unsigned base)
{
    unsigned reg = k == WRITES_RM ? n->rm : n->reg;
    unsigned width = insn_info(n->op)->opnd[0] & OPD_WIDTH;

    if (k == READS || (k == WRITES_RM && n->flags & INSN_MEM)) {
        return false;
    }
    /* Registers of bytes are numbered by eights.  Where operands differ in
     * width (CRC32), Insn.size is not what is written. */
    return ((width ? width == W_1 : n->size == 1) ? reg >> 3 : reg) == base;
}

bool t_simple(const Insn *n)
{
    return n->op != OP_PUSH_RM && n->op != OP_PUSH_I && n->op != OP_POP_RM
           && !draft_follows(n) && kind(n) != ENDS;
}

bool t_may_write(const Insn *n, unsigned reg)
{
    Kind k = kind(n);

    switch (n->op) {
    case OP_CALL_I:
        return reg == R_RSP;
    case OP_PUSH_RM: case OP_PUSH_I: case OP_POP_RM:
        if (reg == R_RSP) {
            return true;
        }
    }
    return k == ENDS || writes(n, k, reg);
}

/* Does what writes the base move it by a constant, which is then added to
 * *delta? */
static bool moves_base(const Ctx *c, const Insn *n, unsigned base,
                       int64_t *delta)
{
    if (n->size != c->word) {
        return false;
    }
    if (n->op == OP_LEA_R_M && t_operand_base(c, n) == (int)base) {
        *delta += n->disp;
        return true;
    }
    if (n->op == OP_ADD_RM_I || n->op == OP_SUB_RM_I) {
        *delta += n->op == OP_ADD_RM_I ? n->imm : -n->imm;
        return true;
    }
    return false;
}

/* --- accesses ---------------------------------------------------------- */

typedef struct Span {
    int64_t lo, hi;             /* from the base as it is at the start */
    unsigned n;
    bool write;
    unsigned align;             /* what must be a multiple of this, if not 0: */
    int64_t aligned;
} Span;

/* False: that would be too much. */
static bool span_add(Span *s, int64_t at, unsigned size, bool write)
{
    int64_t lo = s->n ? MIN(s->lo, at) : at;
    int64_t hi = s->n ? MAX(s->hi, at + size) : at + size;

    if (hi - lo > MAX_SPAN || lo != (int32_t)lo) {
        return false;
    }
    s->lo = lo;
    s->hi = hi;
    s->n++;
    s->write |= write;
    return true;
}

/* Will an access at `at` be a multiple of `align` when the others are? */
static bool span_align(Span *s, int64_t at, unsigned align)
{
    if (s->align && (at - s->aligned) & (MIN(align, s->align) - 1)) {
        return false;
    }
    if (align > s->align) {
        s->align = align;
        s->aligned = at;
    }
    return true;
}

/* The memory operand.  False: that would be too much. */
static bool span_operand(Span *s, const Insn *n, int64_t at, bool write)
{
    unsigned size = insn_mem_size(n), align = insn_info(n->op)->align;

    align = align == AL_SIZE ? size : align;
    return (align < 16 || span_align(s, at, align))
           && span_add(s, at, size, write);
}

/* Add the accesses of `n` with `base`, which has moved by *delta: all of them, or
 * none.  False: none of the next instruction. */
static bool add_insn(const Ctx *c, Span *s, const Insn *n, unsigned base,
                     int64_t *delta)
{
    unsigned mem = insn_info(n->op)->mem;
    Kind k = kind(n);
    int word = c->word;
    bool stack = base == R_RSP && n->size == c->word;
    const Span before = *s;

    switch (n->op) {
    case OP_CALL_I: case OP_CALL_RM:
        if (stack && !(n->flags & INSN_MEM)) {
            span_add(s, *delta - word, word, true);
        }
        return false;
    case OP_RET: case OP_RET_I:
        if (stack) {
            span_add(s, *delta, word, false);
        }
        return false;
    }
    if (k == ENDS || n->flags & INSN_LOCK) {
        return false;
    }
    if (t_operand_base(c, n) == (int)base && n->op != OP_POP_RM
        && (mem == MEM_LOAD || mem == MEM_STORE || mem == MEM_RMW)
        && !span_operand(s, n, *delta + n->disp, mem != MEM_LOAD)) {
        *s = before;
        return false;
    }
    switch (n->op) {
    case OP_PUSH_RM: case OP_PUSH_I:
        if (base != R_RSP) {
            return true;
        }
        if (!stack || !span_add(s, *delta - word, word, true)) {
            *s = before;        /* also what it would push from */
            return false;
        }
        *delta -= word;
        return true;
    case OP_POP_RM:
        if (base != R_RSP) {
            return n->flags & INSN_MEM || n->rm != base;
        }
        if (!stack || n->flags & INSN_MEM || n->rm == R_RSP
            || !span_add(s, *delta, word, false)) {
            return false;
        }
        *delta += word;
        return true;
    }
    return !writes(n, k, base) || moves_base(c, n, base, delta);
}

/* The base of the first access of `n`; -1: none. */
static int first_base(const Ctx *c, const Insn *n)
{
    switch (n->op) {
    case OP_PUSH_RM:
        return n->flags & INSN_MEM ? t_operand_base(c, n) : R_RSP;
    case OP_PUSH_I: case OP_POP_RM: case OP_CALL_I: case OP_RET:
    case OP_RET_I:
        return R_RSP;
    }
    return kind(n) == ENDS ? -1 : t_operand_base(c, n);
}

/* --- groups ------------------------------------------------------------ */

static const Group *present_group(const Ctx *c, unsigned i, int base)
{
    for (unsigned k = 0; k < JIT_GROUPS; k++) {
        if (i < c->group[k].end && (int)c->group[k].base == base) {
            return &c->group[k];
        }
    }
    return NULL;
}

/* For a new group; NULL: there are enough, or one of that base. */
static Group *group_for(Ctx *c, int base)
{
    Group *g = NULL;

    if (present_group(c, c->i, base)) {
        return NULL;
    }
    for (unsigned k = 0; k < JIT_GROUPS; k++) {
        if (c->i >= c->group[k].end) {
            g = &c->group[k];
        }
    }
    return g;
}

void t_group_begin(Ctx *c)
{
    const Block *b = c->b;
    int base = first_base(c, c->insn);
    unsigned end = c->i, i;
    int64_t delta = 0;
    Span s = { 0 };
    Access a;
    bool more = true;
    Stub *stub;
    Group *g;

    if (c->plain || base < 0 || !(g = group_for(c, base))) {
        return;
    }
    for (i = c->i; i < b->n_insns && more; i++) {
        unsigned n = s.n;

        more = add_insn(c, &s, &b->insns[i], base, &delta);
        if (s.n != n) {
            end = i + 1;
        }
    }
    if (s.n < 2) {
        return;
    }
    if (s.align) {              /* whole pieces, which lie in the same page */
        s.lo -= (s.lo - s.aligned) & (s.align - 1);
        s.hi += (s.aligned - s.hi) & (s.align - 1);
    }
    a = (Access) {
        .ea = t_src(c, base, 8, H_DX), .disp = s.lo, .size = s.hi - s.lo,
        .align = MAX(s.align, 1), .write = s.write, .group = true,
        .may_exit = true,
    };
    c->no_slot = false;
    a.slot = t_choose_slot(c, base == R_RSP, s.write);
    if (c->word == 4) {
        e_rm(&c->e, c->word, 0x8d, H_DX, a.ea, H_SP, 0, a.disp);
        a.ea = H_DX;
        a.disp = 0;
    }
    c->n_sites = c->n_misses = 0;
    c->keep_r = false;
    t_check_access(c, &a);
    stub = t_add_exit(c, EXIT_PLAIN, 0);
    memcpy(stub->site, c->site, sizeof(stub->site));
    stub->n_sites = c->n_sites;
    stub->save = c->site_save;
    stub->replay = c->site_replay;
    t_misses_to(c, stub);
    if (a.slot < 0) {
        g->addend = JOFF(group_addend) + 8 * (g - c->group);
        e_gs(&c->e, 8, 0x89, H_AX, g->addend);
    } else {
        g->addend = t_slot_at(a.slot) + offsetof(JitSlot, addend);
    }
    g->base = base;
    g->end = end;
    g->home = -1;
    c->rax_group = g;
    t_addend_home(c, g);
}

const Group *t_grouped(const Ctx *c)
{
    int base = t_operand_base(c, c->insn);

    return base < 0 || c->insn->flags & INSN_LOCK
           ? NULL : present_group(c, c->i, base);
}

bool t_grouped_later(const Ctx *c, unsigned i)
{
    int base = t_operand_base(c, &c->b->insns[i]);

    return base >= 0 && present_group(c, i, base);
}

const Group *t_grouped_stack(const Ctx *c)
{
    return present_group(c, c->i, R_RSP);
}

void t_groups_end(Ctx *c)
{
    memset(c->group, 0, sizeof(c->group));
    c->table.end = 0;
    c->rax_group = NULL;
    c->borrowed.n = 0;
}

/*
 * In a run of pushes and pops RSP is written once, at its end: until then it is
 * its home and c->sp_off.  Nothing in between leaves or looks at it but by
 * t_grouped() and t_grouped_stack(); ways out and empty slots add that.
 */
bool t_sp_waits(const Ctx *c)
{
    const Insn *n = c->insn;
    const unsigned named[] = { n->reg, n->rm, n->base, n->index };

    if (c->word != 8 || !t_grouped_stack(c)) {
        return false;
    }
    switch (n->op) {
    case OP_PUSH_I: case OP_CALL_I: case OP_RET: case OP_RET_I:
        return n->size == 8;
    case OP_PUSH_RM: case OP_POP_RM: case OP_CALL_RM:
        return n->size == 8 && !(n->flags & INSN_MEM) && n->rm != R_RSP;
    case OP_MOV_RM_R: case OP_MOV_R_RM: case OP_MOV_RM_I: case OP_LEA_R_M:
    case OP_MOVZX8_R_RM: case OP_MOVZX16_R_RM: case OP_MOVSX8_R_RM:
    case OP_MOVSX16_R_RM: case OP_CMP_RM_R: case OP_CMP_R_RM:
    case OP_CMP_RM_I: case OP_TEST_RM_R: case OP_TEST_RM_I:
    case OP_ADD_RM_R: case OP_ADD_R_RM: case OP_ADD_RM_I: case OP_SUB_RM_R:
    case OP_SUB_R_RM: case OP_SUB_RM_I: case OP_AND_RM_R: case OP_AND_R_RM:
    case OP_AND_RM_I: case OP_OR_RM_R: case OP_OR_R_RM: case OP_OR_RM_I:
    case OP_XOR_RM_R: case OP_XOR_R_RM: case OP_XOR_RM_I:
        break;
    default:
        return false;
    }
    /* Registers of bytes are numbered by eights. */
    for (unsigned i = 0; i < G_N_ELEMENTS(named); i++) {
        if (named[i] == R_RSP || named[i] >> 3 == R_RSP) {
            return false;
        }
    }
    return !(n->flags & INSN_MEM) || n->op == OP_LEA_R_M;
}

void t_sp_settle(Ctx *c)
{
    if (c->sp_off) {
        e_rm(&c->e, 8, 0x8d, SP, SP, H_SP, 0, c->sp_off);
        c->sp_off = 0;
    }
}

void t_group_addend(Ctx *c, const Group *g)
{
    if (g->home >= 0) {
        c->mem_base = g->home;
    } else if (c->rax_group != g) {
        e_gs(&c->e, 8, 0x8b, H_AX, g->addend);
        c->rax_group = g;
    }
}
