/*
 * System management mode: entry by SMI, and RSM.
 *
 * Spec:   Intel SDM volume 3C chapter 32; AMD APM volume 2 section 10.2, whose
 *         state-save map processors with long mode have here (firmware knows
 *         it by the revision 20064h); the others have Intel's of 32 bits,
 *         20000h.  The hidden parts of segments in the latter are where the
 *         Pentium keeps them.
 * Models: SMBASE relocation and auto-HALT restart.  I/O instruction restart is
 *         not offered: bit 16 of the revision is clear.  In SMM A20 is open,
 *         and INIT, NMI and further SMIs wait.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/segment.h"
#include "accel/tcg/tcg.h"
#include "base/log.h"
#include "cpu/features.h"

enum {
    MAP_OFFSET = 0xfe00,        /* from SMBASE; the map ends at FFFFh */
    MAP_BYTES = 0x200,
    ENTRY_OFFSET = 0x8000,
    REVISION_32 = 0x20000, REVISION_64 = 0x20064,
};

/* Offsets in the map, that is from SMBASE + FE00h. */
enum {                          /* AMD64 */
    M64_SEG = 0x000, M64_GDTR = 0x060, M64_LDTR = 0x070, M64_IDTR = 0x080,
    M64_TR = 0x090, M64_IO_RESTART = 0x0c8, M64_HALT_RESTART = 0x0c9,
    M64_EFER = 0x0d0, M_REVISION = 0x0fc, M64_SMBASE = 0x100,
    M64_CR4 = 0x148, M64_CR3 = 0x150, M64_CR0 = 0x158, M64_DR7 = 0x160,
    M64_DR6 = 0x168, M64_RFLAGS = 0x170, M64_RIP = 0x178, M64_GPR = 0x180,
};
enum {                          /* of each segment */
    M64_SELECTOR = 0, M64_ATTR = 2, M64_LIMIT = 4, M64_BASE = 8,
};
enum {                          /* 32 bits */
    M32_SMBASE = 0x0f8, M32_HALT_RESTART = 0x102, M32_CR4 = 0x114,
    M32_FS = 0x12c, M32_GDTR = 0x170, M32_LDTR = 0x178, M32_IDTR = 0x154,
    M32_TR = 0x15c, M32_ES = 0x184, M32_SELECTOR = 0x1a8,
    M32_LDTR_SELECTOR = 0x1c0, M32_TR_SELECTOR = 0x1c4, M32_DR7 = 0x1c8,
    M32_DR6 = 0x1cc, M32_GPR = 0x1d0, M32_EIP = 0x1f0, M32_EFLAGS = 0x1f4,
    M32_CR3 = 0x1f8, M32_CR0 = 0x1fc,
};

/* What of `attr` is in memory: bits 40 to 55 of a descriptor, and ours for a
 * null selector. */
enum { ATTR_SAVED = 0xf0ff | SEGA_NULL };

static bool has_long_mode(const Env *env)
{
    return cpu_has(env->cpu, FEAT_LM);
}

/* --- saving --------------------------------------------------------------- */

static void save_seg_64(uint8_t *to, const X86Seg *seg)
{
    store_le16(to + M64_SELECTOR, seg->selector);
    store_le16(to + M64_ATTR, seg->attr & ATTR_SAVED);
    store_le32(to + M64_LIMIT, seg->limit);
    store_le64(to + M64_BASE, seg->base);
}

static void save_64(const X86State *s, uint8_t *map)
{
    for (unsigned i = 0; i < N_SEG; i++) {
        save_seg_64(map + M64_SEG + 16 * i, &s->seg[i]);
    }
    save_seg_64(map + M64_LDTR, &s->ldtr);
    save_seg_64(map + M64_TR, &s->tr);
    store_le32(map + M64_GDTR + M64_LIMIT, s->gdtr.limit);
    store_le64(map + M64_GDTR + M64_BASE, s->gdtr.base);
    store_le32(map + M64_IDTR + M64_LIMIT, s->idtr.limit);
    store_le64(map + M64_IDTR + M64_BASE, s->idtr.base);
    map[M64_IO_RESTART] = 0;
    map[M64_HALT_RESTART] = s->halted;
    store_le64(map + M64_EFER, s->efer);
    store_le32(map + M_REVISION, REVISION_64);
    store_le32(map + M64_SMBASE, s->smbase);
    store_le64(map + M64_CR4, s->cr4);
    store_le64(map + M64_CR3, s->cr3);
    store_le64(map + M64_CR0, s->cr0);
    store_le64(map + M64_DR7, s->dr[7]);
    store_le64(map + M64_DR6, s->dr[6]);
    store_le64(map + M64_RFLAGS, s->rflags);
    store_le64(map + M64_RIP, s->rip);
    /* From R15 up to RAX. */
    for (unsigned i = 0; i < N_GPR; i++) {
        store_le64(map + M64_GPR + 8 * (N_GPR - 1 - i), s->gpr[i]);
    }
}

static void save_seg_32(uint8_t *to, const X86Seg *seg)
{
    store_le32(to, seg->attr & ATTR_SAVED);
    store_le32(to + 4, seg->limit);
    store_le32(to + 8, seg->base);
}

static unsigned seg_place_32(unsigned i)
{
    return i < 3 ? M32_ES + 12 * i : M32_FS + 12 * (i - 3);
}

static void save_32(const X86State *s, uint8_t *map)
{
    for (unsigned i = 0; i < N_SEG; i++) {
        store_le32(map + M32_SELECTOR + 4 * i, s->seg[i].selector);
        save_seg_32(map + seg_place_32(i), &s->seg[i]);
    }
    store_le32(map + M32_LDTR_SELECTOR, s->ldtr.selector);
    save_seg_32(map + M32_LDTR, &s->ldtr);
    store_le32(map + M32_TR_SELECTOR, s->tr.selector);
    save_seg_32(map + M32_TR, &s->tr);
    store_le32(map + M32_GDTR, s->gdtr.limit);
    store_le32(map + M32_GDTR + 4, s->gdtr.base);
    store_le32(map + M32_IDTR, s->idtr.limit);
    store_le32(map + M32_IDTR + 4, s->idtr.base);
    store_le16(map + M32_HALT_RESTART, s->halted);
    store_le32(map + M_REVISION, REVISION_32);
    store_le32(map + M32_SMBASE, s->smbase);
    store_le32(map + M32_CR4, s->cr4);
    store_le32(map + M32_CR3, s->cr3);
    store_le32(map + M32_CR0, s->cr0);
    store_le32(map + M32_DR7, s->dr[7]);
    store_le32(map + M32_DR6, s->dr[6]);
    store_le32(map + M32_EFLAGS, s->rflags);
    store_le32(map + M32_EIP, s->rip);
    for (unsigned i = 0; i < 8; i++) {
        store_le32(map + M32_GPR + 4 * i, s->gpr[i]);
    }
}

/* SDM table 32-4. */
static void set_entry_state(X86State *s)
{
    s->efer = 0;
    s->cr0 &= ~(uint64_t)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    s->cr4 = 0;
    s->dr[7] = 0x400;
    s->rip = ENTRY_OFFSET;
    for (unsigned i = 0; i < N_SEG; i++) {
        s->seg[i] = (X86Seg) {
            .limit = UINT32_MAX,
            .attr = SEGA_P | SEGA_S | SEGA_W | SEGA_A | SEGA_G,
        };
    }
    s->seg[SEG_CS].selector = s->smbase >> 4;
    s->seg[SEG_CS].base = s->smbase;
    s->halted = false;
    s->interrupt_shadow = 0;
}

void smm_enter(Env *env)
{
    X86State *s = &env->s;
    uint8_t map[MAP_BYTES];
    hwaddr at = s->smbase + MAP_OFFSET;

    log_debug(LOG_INT, "SMI ip %04x:%016" PRIx64 " smbase %08" PRIx64 "\n",
              s->seg[SEG_CS].selector, s->rip, s->smbase);
    s->rflags = env_get_rflags(env);
    s->smm = true;
    s->smm_nmi_blocked = s->nmi_blocked;
    s->nmi_blocked = true;
    s->smi_count++;
    mmu_follow_map(env);
    /* Bytes that the map does not define stay as they are. */
    as_read(env->tcg->as, at, map, sizeof(map));
    if (has_long_mode(env)) {
        save_64(s, map);
    } else {
        save_32(s, map);
    }
    as_write(env->tcg->as, at, map, sizeof(map));
    set_entry_state(s);
    env_set_rflags(env, 0);
    env->in_rep = false;
    env_update_mode(env);
}

/* --- resuming ------------------------------------------------------------- */

static void load_seg_64(const uint8_t *from, X86Seg *seg)
{
    *seg = (X86Seg) {
        .selector = load_le16(from + M64_SELECTOR),
        .attr = load_le16(from + M64_ATTR) & ATTR_SAVED,
        .limit = load_le32(from + M64_LIMIT),
        .base = load_le64(from + M64_BASE),
    };
}

static void load_64(X86State *s, const uint8_t *map)
{
    for (unsigned i = 0; i < N_SEG; i++) {
        load_seg_64(map + M64_SEG + 16 * i, &s->seg[i]);
    }
    load_seg_64(map + M64_LDTR, &s->ldtr);
    load_seg_64(map + M64_TR, &s->tr);
    s->gdtr.limit = load_le32(map + M64_GDTR + M64_LIMIT);
    s->gdtr.base = load_le64(map + M64_GDTR + M64_BASE);
    s->idtr.limit = load_le32(map + M64_IDTR + M64_LIMIT);
    s->idtr.base = load_le64(map + M64_IDTR + M64_BASE);
    s->halted = map[M64_HALT_RESTART] & 1;
    s->efer = load_le64(map + M64_EFER);
    if (load_le32(map + M_REVISION) & 1 << 17) {
        s->smbase = load_le32(map + M64_SMBASE);
    }
    s->cr4 = load_le64(map + M64_CR4);
    s->cr3 = load_le64(map + M64_CR3);
    s->cr0 = load_le64(map + M64_CR0);
    s->dr[7] = load_le64(map + M64_DR7);
    s->dr[6] = load_le64(map + M64_DR6);
    s->rflags = load_le64(map + M64_RFLAGS);
    s->rip = load_le64(map + M64_RIP);
    for (unsigned i = 0; i < N_GPR; i++) {
        s->gpr[i] = load_le64(map + M64_GPR + 8 * (N_GPR - 1 - i));
    }
}

static void load_seg_32(const uint8_t *from, uint16_t selector, X86Seg *seg)
{
    *seg = (X86Seg) {
        .selector = selector, .attr = load_le32(from) & ATTR_SAVED,
        .limit = load_le32(from + 4), .base = load_le32(from + 8),
    };
}

static void load_32(X86State *s, const uint8_t *map)
{
    for (unsigned i = 0; i < N_SEG; i++) {
        load_seg_32(map + seg_place_32(i),
                    load_le16(map + M32_SELECTOR + 4 * i), &s->seg[i]);
    }
    load_seg_32(map + M32_LDTR, load_le16(map + M32_LDTR_SELECTOR), &s->ldtr);
    load_seg_32(map + M32_TR, load_le16(map + M32_TR_SELECTOR), &s->tr);
    s->gdtr.limit = load_le32(map + M32_GDTR);
    s->gdtr.base = load_le32(map + M32_GDTR + 4);
    s->idtr.limit = load_le32(map + M32_IDTR);
    s->idtr.base = load_le32(map + M32_IDTR + 4);
    s->halted = load_le16(map + M32_HALT_RESTART) & 1;
    if (load_le32(map + M_REVISION) & 1 << 17) {
        s->smbase = load_le32(map + M32_SMBASE);
    }
    s->cr4 = load_le32(map + M32_CR4);
    s->cr3 = load_le32(map + M32_CR3);
    s->cr0 = load_le32(map + M32_CR0);
    s->dr[7] = load_le32(map + M32_DR7);
    s->dr[6] = load_le32(map + M32_DR6);
    s->rflags = load_le32(map + M32_EFLAGS);
    s->rip = load_le32(map + M32_EIP);
    for (unsigned i = 0; i < 8; i++) {
        s->gpr[i] = load_le32(map + M32_GPR + 4 * i);
    }
}

/* Registers that no instruction could have loaded shut the processor down. */
static bool state_valid(const Env *env)
{
    const X86State *s = &env->s;
    bool lma = s->efer & EFER_LMA, paging = s->cr0 & CR0_PG;

    return !(s->cr0 >> 32)
           && (!paging || s->cr0 & CR0_PE)
           && (!(s->cr0 & CR0_NW) || s->cr0 & CR0_CD)
           && env_cr4_valid(env, s->cr4)
           && env_efer_valid(env, s->efer)
           && lma == (s->efer & EFER_LME && paging)
           && (!lma || s->cr4 & CR4_PAE)
           && (!(s->cr4 & CR4_PCIDE) || lma)
           && !(s->dr[7] >> 32) && !(s->dr[6] >> 32)
           && !(s->cr3 >> env->tcg->phys_bits);
}

/* What handlers rely on, whatever was in memory. */
static void make_consistent(X86State *s)
{
    X86Seg *ss = &s->seg[SEG_SS];

    s->rflags &= FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF
                 | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID;
    s->cr0 |= CR0_ET;
    s->dr[6] = (s->dr[6] & 0xe00f) | 0xffff0ff0;
    s->dr[7] = (s->dr[7] & 0xffff23ff) | 0x400;
    if (!(s->cr0 & CR0_PE)) {
        s->rflags &= ~(uint64_t)FL_VM;
        ss->attr &= ~SEGA_DPL;
    } else if (s->rflags & FL_VM) {
        ss->attr |= SEGA_DPL;
    }
}

static const Insn *rsm(Env *env, const Insn *insn)
{
    X86State *s = &env->s;
    uint8_t map[MAP_BYTES];
    bool valid;

    env_serialize();
    if (!s->smm) {
        return insn_raise(env, insn, EXC_UD);
    }
    as_read(env->tcg->as, s->smbase + MAP_OFFSET, map, sizeof(map));
    if (has_long_mode(env)) {
        load_64(s, map);
    } else {
        load_32(s, map);
    }
    valid = state_valid(env);
    make_consistent(s);
    s->smm = false;
    s->nmi_blocked = s->smm_nmi_blocked;
    s->smm_nmi_blocked = false;
    mmu_follow_map(env);
    if (!valid
        || (s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA)
            && !tlb_load_pdptes(env, s->cr3))) {
        log_debug(LOG_INT | LOG_GUEST_ERROR,
                  "RSM to an impossible state: shutdown\n");
        s->cr0 &= ~(uint64_t)CR0_PG;    /* something to look at */
        s->cr4 = s->efer = 0;
        env->exit = CPU_RUN_TRIPLE_FAULT + 1;
    }
    env_set_rflags(env, s->rflags);
    tlb_flush(env, true);
    env_update_mode(env);
    log_debug(LOG_INT, "RSM ip %04x:%016" PRIx64 "\n",
              s->seg[SEG_CS].selector, s->rip);
    return NULL;
}

const HandlerRow interp_smm[] = {
    { OP_RSM, ALL(rsm), {}, {} },
    {}
};
