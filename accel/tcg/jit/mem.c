/*
 * Guest memory: the check of a slot (slot.c) or of the TLB in line.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/noflags.h"

/* --- memory ------------------------------------------------------------ */

void t_slow_site(Ctx *c)
{
    g_assert(c->n_sites < MAX_SITES);   /* whatever the guest's code is */
    c->site[c->n_sites++] = c->e.p;
    c->site_save = !c->in_e;
    c->site_replay = t_replay_now(c);
    e32(&c->e, 0);
}

void t_jcc_slow(Ctx *c, unsigned cond)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x80 | cond);
    t_slow_site(c);
}

/*
 * Are there enough checks before the flags are overwritten that it pays to
 * save them once and let the checks have them?
 */
static bool saving_pays(const Ctx *c)
{
    unsigned n = 0;

    for (unsigned i = c->i; i < c->b->n_insns; i++) {
        const Insn *insn = &c->b->insns[i];
        InsnFlags f = insn_flags(insn);

        if (f.read & IF_ARITH) {
            break;
        }
        n += insn->flags & INSN_MEM && insn->op != OP_LEA_R_M
             && !t_grouped_later(c, i);
        if (((f.set | f.undef) & IF_ARITH) == IF_ARITH
            && !(f.may & IF_ARITH)) {
            return n >= 2;
        }
    }
    return n >= 3;
}

/*
 * Flags that are in RFLAGS could be had again, but whoever ends the block saves
 * them: then it is done at once, and what set them need not run again.
 */
static bool saved_anyway(const Ctx *c)
{
    for (unsigned i = c->i; c->in_r && i < c->b->n_insns; i++) {
        const Insn *n = &c->b->insns[i];
        InsnFlags f = insn_flags(n);

        if (n->op == OP_JMP_RM && i + 1 < c->b->n_insns) {
            continue;
        }
        switch (n->op) {
        case OP_CALL_I:
            return !t_unwanted_at(c, n->off + n->len + n->imm);
        case OP_JMP_RM: case OP_CALL_RM: case OP_RET:
        case OP_RET_I:
            return true;
        }
        if ((f.read | f.set | f.may | f.undef) & IF_ARITH) {
            return false;
        }
    }
    return false;
}

static uint32_t tag_of(const Ctx *c, const Access *a)
{
    return c->tlb + (a->write ? offsetof(TlbEntry, nwpage)
                              : offsetof(TlbEntry, nrpage));
}

/*
 * RCX is the address's first byte less the page of a tag: the access is in that
 * page, or the slow path is taken.  Clobbers RFLAGS.  With an alignment, `size`
 * is a multiple of it.
 */
static void compare_offset(Ctx *c, const Access *a)
{
    Emit *e = &c->e;

    if (a->size > a->align || a->align == 1) {
        e_rr(e, 8, 0x81, 7, H_CX);                  /* cmp rcx, imm32 */
        e32(e, PAGE_BYTES - a->size);
        t_jcc_slow(c, 7);
    }
    if (a->align > 1) {
        e_rr(e, 8, 0xf7, 0, H_CX);                  /* test rcx, imm32 */
        e32(e, -4096 | (a->align - 1));
        t_jcc_slow(c, 5);
    }
}

/*
 * RCX is the tag of a slot: its page may be the one after the address's, so the
 * first byte must be in it too.  `natural`: an access that is no multiple of
 * its size may take the slow path.
 */
static void compare_slot(Ctx *c, const Access *a, bool clobber)
{
    Emit *e = &c->e;
    unsigned align = a->natural && !clobber ? a->size : a->align;
    unsigned last = a->size - align;

    if (!clobber && last) {
        t_both_in_page(c, a, align, last);
        return;
    }
    if (a->table) {
        e_rm(e, 8, 0x8d, H_CX, a->table, a->ea, c->b->insns[c->i].scale,
             a->disp);
    } else {
        e_rm(e, 8, 0x8d, H_CX, H_CX, a->ea, 0, a->disp);
    }
    if (!clobber) {
        t_in_page(c, align, true);
        return;
    }
    compare_offset(c, a);
}

/* The TLB has the access, or the slow path is taken.  RAX: see from_tlb(). */
static void check_tlb(Ctx *c, const Access *a, bool clobber)
{
    Emit *e = &c->e;
    unsigned ea = a->ea;

    if (clobber) {
        if (a->disp) {
            e_rm(e, 8, 0x8d, H_CX, ea, H_SP, 0, a->disp);
        } else {
            e_mov(e, 8, H_CX, ea);
        }
        e_rorx(e, H_AX, H_CX, 7);
        e8(e, 0x25);                                /* and eax, imm32 */
        e32(e, (TLB_SIZE - 1) << 5);
        e_gsb(e, 8, 0x03, H_CX, H_AX, tag_of(c, a));
        compare_offset(c, a);
        return;
    }
    if (a->disp) {
        e_rm(e, 8, 0x8d, H_AX, ea, H_SP, 0, a->disp);
        ea = H_AX;
    }
    t_tlb_index(c, ea);
    e_gsx(e, 8, 0x8b, H_CX, H_AX, 2, tag_of(c, a));
    /* The last byte, or that of the last aligned piece: the entry is the
     * first's, and no other page's matches it. */
    e_rm(e, 8, 0x8d, H_CX, H_CX, a->ea, 0, a->disp + a->size - a->align);
    t_in_page(c, a->align, false);
}
G_STATIC_ASSERT(sizeof(TlbEntry) == 32);

/* A field of the entry that check_tlb() has found. */
static void from_tlb(Ctx *c, unsigned to, uint32_t field, bool clobber)
{
    if (clobber) {
        e_gsb(&c->e, 8, 0x8b, to, H_AX, field);
    } else {
        e_gsx(&c->e, 8, 0x8b, to, H_AX, 2, field);
    }
}

void t_slot_miss(Ctx *c, Stub *s)
{
    Emit *e = &c->e;
    Access *a = &s->access;
    Stub *slow = &c->stubs[s->slow];

    c->n_sites = 0;
    if (s->have) {
        unsigned n;

        e_gs(e, 8, 0x8b, H_CX, t_slot_at(a->slot) + offsetof(JitSlot, tag2));
        compare_slot(c, a, s->clobber);
        n = c->n_sites;
        e_gs(e, 8, 0x8b, H_AX, t_slot_at(a->slot) + offsetof(JitSlot, addend2));
        e8(e, 0xe9);
        e_rel32(e->p, s->have);
        e->p += 4;
        while (n--) {
            e_rel32(c->site[n], e->p);
        }
        c->n_sites = 0;
    }
    if (a->table) {
        t_table_miss_begin(c, s, a);
    }
    check_tlb(c, a, s->clobber);
    g_assert(slow->n_sites + c->n_sites <= MAX_SITES);
    for (unsigned i = 0; i < c->n_sites; i++) {
        slow->site[slow->n_sites++] = c->site[i];
    }
    if (s->often >= 0) {
        uint32_t left = JOFF(slot_misses) + 4 * a->slot;

        e_gs(e, 4, 0x8b, H_CX, left);
        e_rm(e, 4, 0x8d, H_CX, H_CX, H_SP, 0, -1);
        e_gs(e, 4, 0x89, H_CX, left);
        e8(e, 0xe3);                                /* jrcxz over the jump */
        e8(e, 2);
        e8(e, 0xeb);
        e8(e, 5);
        e8(e, 0xe9);
        t_stub_site(c, &c->stubs[s->often]);
    }
    for (unsigned i = 0; i < 16; i += 8) {          /* to tag2, addend2 */
        e_gs(e, 8, 0x8b, H_CX, t_slot_at(a->slot) + i);
        e_gs(e, 8, 0x89, H_CX, t_slot_at(a->slot) + offsetof(JitSlot, tag2) + i);
    }
    from_tlb(c, H_CX, tag_of(c, a), s->clobber);
    e_gs(e, 8, 0x89, H_CX, t_slot_at(a->slot) + offsetof(JitSlot, tag));
    from_tlb(c, H_CX, c->tlb + offsetof(TlbEntry, addend), s->clobber);
    e_gs(e, 8, 0x89, H_CX, t_slot_at(a->slot) + offsetof(JitSlot, addend));
    e_gs(e, 1, 0xc6, 0, JOFF(slots_used) + a->slot / JIT_SLOTS_PIECE);
    e8(e, 1);
    if (a->table) {
        t_table_miss_end(c, s);
    }
    e8(e, 0xe9);
    e_rel32(e->p, s->back);
    e->p += 4;
}

/* By the access's slot, whose miss is out of the way. */
static void check_slot(Ctx *c, const Access *a, bool clobber)
{
    Emit *e = &c->e;
    unsigned sites = c->n_sites;
    Stub *s;

    if (!a->table) {
        e_gs(e, 8, 0x8b, H_CX, t_slot_at(a->slot) + offsetof(JitSlot, tag));
    }
    compare_slot(c, a, clobber);
    s = t_add_stub(c);
    s->miss = true;
    s->access = *a;
    s->clobber = clobber;
    s->often = -1;
    for (unsigned i = sites; i < c->n_sites; i++) {
        s->site[s->n_sites++] = c->site[i];
    }
    s->back = e->p;
    c->n_sites = sites;
    c->n_misses++;
    if (!a->no_addend) {
        e_gs(e, 8, 0x8b, H_AX, t_slot_at(a->slot) + offsetof(JitSlot, addend));
    }
    s->have = a->group ? NULL : e->p;
    if (a->may_exit && a->slot % JIT_SLOTS >= JIT_SLOTS_STACK) {
        s->often = c->n_stubs;      /* behind this one, whose site it is */
        t_add_exit(c, EXIT_SLOT, a->slot);
    }
}

/* A check comes.  May it clobber RFLAGS? */
static bool begin_check(Ctx *c)
{
    Emit *e = &c->e;
    bool clobber;

    c->rax_group = NULL;
    if (!c->keep_r && !c->in_e
        && (c->replay.op ? saved_anyway(c) : saving_pays(c))) {
        t_save_flags(e);
        c->in_e = true;
    }
    if (jit_options.tlb_miss) {
        e8(e, 0xe9);
        t_slow_site(c);
    }
    clobber = !c->keep_r && (c->in_e || c->replay.op);
    if (clobber) {
        c->in_r = false;
    }
    return clobber;
}

void t_check_access(Ctx *c, const Access *a)
{
    bool clobber = begin_check(c);

    if (a->slot >= 0) {
        check_slot(c, a, clobber);
    } else {
        check_tlb(c, a, clobber);
        from_tlb(c, H_AX, c->tlb + offsetof(TlbEntry, addend), clobber);
    }
}

int t_choose_slot(Ctx *c, bool stack, bool write)
{
    Loop *l = &c->loop;
    int slot;

    if (jit_options.tlb_miss || c->no_slot) {
        return -1;
    }
    if (l->top && l->n_slots < G_N_ELEMENTS(l->slots)) {
        slot = l->slots[l->n_slots++];
        if (slot < 0 || (slot & 1) == write) {
            return slot;
        }
    }
    slot = jit_slot_choose(c->b, c->i, c->who, stack, write);
    if (l->wanted && !l->top && l->n_slots < G_N_ELEMENTS(l->slots)) {
        l->slots[l->n_slots++] = slot;
    }
    return slot;
}

/* This instruction's access goes where its slot says. */
static void note_site(Ctx *c)
{
    c->mem_site = true;
    c->mem_flags = !c->in_e;
    c->mem_replay = t_replay_now(c);
    c->mem_sp_off = c->sp_off;
}

/*
 * Is the address a constant, and the access in one page?  The template must use
 * it as an index only.  Code of fixed pages: fixed.c.
 */
static bool known_address(const Ctx *c, unsigned size, int64_t *at)
{
    const Insn *n = c->insn;

    if (c->word != 8 || c->no_slot || n->op >= OP_FADD_ST0_M32
        || !t_simple(n) || n->flags & INSN_LOCK) {
        return false;
    }
    if (n->ea == EA_RIP && c->fixed) {
        *at = t_fixed_rip(c, (int64_t)n->off + n->len + n->disp);
    } else if (!n->ea && n->base >= R_ZERO && n->index >= R_ZERO) {
        *at = n->disp;
    } else {
        return false;
    }
    return *at == (int32_t)*at && *at >= INT32_MIN + (int)PAGE_BYTES
           && PAGE_OFFSET(*at) + size <= PAGE_BYTES;
}

/* Its entry of the TLB, which is known too, has it, or the slow path is taken.
 * The host address is then [RAX] + c->disp. */
static unsigned known_operand(Ctx *c, int64_t at, bool write)
{
    int32_t page = PAGE_START(at);
    uint32_t entry = (at >> 12 & (TLB_SIZE - 1)) * sizeof(TlbEntry);
    uint32_t tag = entry + tag_of(c, &(Access) { .write = write });

    if (begin_check(c)) {
        e_gs(&c->e, 8, 0x81, 7, tag);               /* cmp qword, imm32 */
        e32(&c->e, -page);
        t_jcc_slow(c, 5);
    } else {
        e_gs(&c->e, 8, 0x8b, H_CX, tag);
        e_rm(&c->e, 8, 0x8d, H_CX, H_CX, H_SP, 0, page);
        t_jrcxz_or_slow(c);
    }
    e_gs(&c->e, 8, 0x8b, H_AX, c->tlb + entry + offsetof(TlbEntry, addend));
    c->disp = at;
    return H_SP;
}

unsigned t_operand_aligned(Ctx *c, unsigned size, unsigned align, bool write)
{
    Access a = { .size = size, .align = align, .write = write, .slot = -1 };
    const Insn *n = c->insn;
    const Group *g = t_grouped(c);
    int64_t at;

    if (c->turns.on) {
        a.ea = t_turns_operand(c);
        note_site(c);
        return a.ea;
    }
    c->disp = 0;
    c->mem_base = H_AX;
    c->mem_scale = 0;
    if (t_in_table(c)) {
        a.ea = t_table_operand(c, size);
        note_site(c);
        return a.ea;
    }
    if (align == 1 && known_address(c, size, &at)) {
        return known_operand(c, at, write);
    }
    if (g && !c->no_slot) {
        a.ea = t_address_disp(c, &c->disp);
        t_group_addend(c, g);
        note_site(c);
        return a.ea;
    }
    a.slot = t_choose_slot(c, t_operand_base(c, n) == R_RSP, write);
    if (c->no_slot) {
        a.ea = t_address(c);
        t_check_access(c, &a);
        return a.ea;
    }
    a.natural = size <= 32 && !(size & (size - 1))
                && jit_slot_aligned(c->b, c->i);
    a.ea = t_address_disp(c, &c->disp);
    a.disp = c->disp;
    a.may_exit = true;
    t_check_access(c, &a);
    if (a.slot >= 0) {
        note_site(c);
    }
    return a.ea;
}

unsigned t_operand(Ctx *c, unsigned size, bool write)
{
    return t_operand_aligned(c, size, 1, write);
}

void t_check_stack(Ctx *c, unsigned ea, int32_t disp, unsigned size,
                   bool write)
{
    Access a = { .ea = ea, .disp = disp, .size = size, .align = 1, .write = write,
                 .natural = true, .slot = -1 };
    const Group *g = t_grouped_stack(c);

    c->disp = 0;
    c->mem_base = H_AX;
    c->mem_scale = 0;
    if (g) {
        t_group_addend(c, g);
    } else {
        a.slot = t_choose_slot(c, true, write);
        t_check_access(c, &a);
    }
    note_site(c);
}

void t_mem_insn(Ctx *c, unsigned size, uint32_t opc, unsigned reg, unsigned ea)
{
    e_rm(&c->e, size, opc, reg, c->mem_base, ea, c->mem_scale, c->disp);
}

void t_mem_op(Ctx *c, unsigned size, uint32_t opc, unsigned reg, unsigned ea)
{
    if (c->insn->flags & INSN_LOCK) {
        e8(&c->e, 0xf0);
    }
    t_mem_insn(c, size, opc, reg, ea);
}
