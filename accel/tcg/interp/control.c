/*
 * Control and debug registers, descriptor-table registers, TLB and cache
 * control.
 *
 * Spec:   Intel SDM volume 3A 2.5 (control registers), 4.10.4 (invalidation);
 *         volume 3B chapter 17 (debug registers); volume 2.
 * Models: every #GP for reserved bits and forbidden combinations, with the
 *         features of the CPU model.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/segment.h"
#include "accel/tcg/tcg.h"
#include "cpu/features.h"
#include "cpu/lapic.h"

/* --- control registers ---------------------------------------------------- */

static bool gp0(Env *env)
{
    return exc_set(env, EXC_GP, true, 0);
}

/* PAE paging: LMA has been settled already. */
static bool in_pae(const Env *env, uint64_t cr4)
{
    return (cr4 & CR4_PAE) && !(env->s.efer & EFER_LMA);
}

bool env_set_cr0(Env *env, uint64_t val)
{
    const uint64_t defined = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET
                             | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD
                             | CR0_PG;
    uint64_t old = env->s.cr0;

    if (val >> 32 || ((val & CR0_PG) && !(val & CR0_PE))
        || ((val & CR0_NW) && !(val & CR0_CD))) {
        return gp0(env);
    }
    val = (val & defined) | CR0_ET;
    if ((val & ~old & CR0_PG) && (env->s.efer & EFER_LME)) {
        unsigned tss = env->s.tr.attr & SEGA_TYPE;

        if (!(env->s.cr4 & CR4_PAE) || (env->s.seg[SEG_CS].attr & SEGA_L)
            || tss == SYS_TSS16 || tss == SYS_TSS16_BUSY) {
            return gp0(env);
        }
        env->s.efer |= EFER_LMA;
    } else if (old & ~val & CR0_PG) {
        if (in_code64(env) || (env->s.cr4 & CR4_PCIDE)) {
            return gp0(env);
        }
        env->s.efer &= ~(uint64_t)EFER_LMA;
    }
    if ((val & CR0_PG) && ((old ^ val) & (CR0_PG | CR0_CD | CR0_NW))
        && in_pae(env, env->s.cr4)
        && !tlb_load_pdptes(env, env->s.cr3)) {
        return gp0(env);
    }
    env->s.cr0 = val;
    env_update_mode(env);
    return true;
}

bool env_set_cr3(Env *env, uint64_t val)
{
    bool keep = false;

    if (env->s.efer & EFER_LMA) {
        if (env->s.cr4 & CR4_PCIDE) {
            keep = val >> 63;
            val &= ~(UINT64_C(1) << 63);
        }
        if (val >> env->tcg->phys_bits) {
            return gp0(env);
        }
    } else {
        val = (uint32_t)val;
        if ((env->s.cr0 & CR0_PG) && in_pae(env, env->s.cr4)
            && !tlb_load_pdptes(env, val)) {
            return gp0(env);
        }
    }
    env->s.cr3 = val;
    tlb_new_cr3(env, keep);
    return true;
}

static uint64_t cr4_bits(const X86Cpu *cpu)
{
    static const struct {
        uint16_t feature;
        uint32_t bit;
    } bits[] = {
        { FEAT_VME, CR4_VME | CR4_PVI }, { FEAT_TSC, CR4_TSD },
        { FEAT_DE, CR4_DE }, { FEAT_PSE, CR4_PSE }, { FEAT_PAE, CR4_PAE },
        { FEAT_MCE, CR4_MCE }, { FEAT_PGE, CR4_PGE },
        { FEAT_FXSR, CR4_OSFXSR }, { FEAT_SSE, CR4_OSXMMEXCPT },
        { FEAT_UMIP, CR4_UMIP }, { FEAT_LA57, CR4_LA57 },
        { FEAT_FSGSBASE, CR4_FSGSBASE }, { FEAT_PCID, CR4_PCIDE },
        { FEAT_XSAVE, CR4_OSXSAVE }, { FEAT_SMEP, CR4_SMEP },
        { FEAT_SMAP, CR4_SMAP }, { FEAT_PKU, CR4_PKE },
    };
    uint64_t valid = CR4_PCE;

    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
        if (cpu_has(cpu, bits[i].feature)) {
            valid |= bits[i].bit;
        }
    }
    return valid;
}

bool env_cr4_valid(const Env *env, uint64_t val)
{
    return !(val & ~cr4_bits(env->cpu));
}

bool env_set_cr4(Env *env, uint64_t val)
{
    uint64_t old = env->s.cr4, changed = old ^ val;

    if (!env_cr4_valid(env, val)) {
        return gp0(env);
    }
    if (env->s.efer & EFER_LMA) {
        if (!(val & CR4_PAE) || (changed & CR4_LA57)) {
            return gp0(env);
        }
    }
    if ((changed & val & CR4_PCIDE)
        && (!(env->s.efer & EFER_LMA) || (env->s.cr3 & 0xfff))) {
        return gp0(env);
    }
    if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
        && (env->s.cr0 & CR0_PG) && in_pae(env, val)
        && !tlb_load_pdptes(env, env->s.cr3)) {
        return gp0(env);
    }
    env->s.cr4 = val;
    if (changed & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_SMEP | CR4_PCIDE
                   | CR4_LA57)) {
        tlb_flush(env, true);
    }
    env_update_mode(env);
    return true;
}

bool env_efer_valid(const Env *env, uint64_t val)
{
    const X86Cpu *cpu = env->cpu;
    uint64_t valid = 0;

    valid |= cpu_has(cpu, FEAT_SYSCALL) ? EFER_SCE : 0;
    valid |= cpu_has(cpu, FEAT_LM) ? EFER_LME | EFER_LMA : 0;
    valid |= cpu_has(cpu, FEAT_NX) ? EFER_NXE : 0;
    valid |= cpu_has(cpu, FEAT_FXSR_OPT) ? EFER_FFXSR : 0;
    return !(val & ~valid);
}

bool env_set_efer(Env *env, uint64_t val)
{
    uint64_t old = env->s.efer;

    if (!env_efer_valid(env, val)) {
        return gp0(env);
    }
    if (((old ^ val) & EFER_LME) && (env->s.cr0 & CR0_PG)) {
        return gp0(env);
    }
    env->s.efer = (val & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
    env_update_mode(env);
    return true;
}

static const Insn *mov_from_cr(Env *env, const Insn *insn)
{
    uint64_t v;

    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    switch (insn->reg) {
    case 0:
        v = env->s.cr0;
        break;
    case 2:
        v = env->s.cr2;
        break;
    case 3:
        v = env->s.cr3;
        break;
    case 4:
        v = env->s.cr4;
        break;
    case 8:
        v = lapic_get_tpr(env->cpu->apic) >> 4;
        break;
    default:
        return insn_raise(env, insn, EXC_UD);
    }
    reg_set(env, insn->rm, in_code64(env) ? 64 : 32, v);
    return insn + 1;
}

static const Insn *mov_to_cr(Env *env, const Insn *insn)
{
    uint64_t v = reg_get(env, insn->rm, in_code64(env) ? 64 : 32);
    bool ok = true;

    env_serialize();
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    switch (insn->reg) {
    case 0:
        ok = env_set_cr0(env, v);
        break;
    case 2:
        env->s.cr2 = v;
        break;
    case 3:
        ok = env_set_cr3(env, v);
        break;
    case 4:
        ok = env_set_cr4(env, v);
        break;
    case 8:
        if (v > 15) {
            ok = gp0(env);
        } else {
            lapic_set_tpr(env->cpu->apic, v << 4);
        }
        break;
    default:
        return insn_raise(env, insn, EXC_UD);
    }
    return ok ? insn_exit(env, insn) : insn_fault(env, insn);
}

static const Insn *clts(Env *env, const Insn *insn)
{
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    env->s.cr0 &= ~(uint64_t)CR0_TS;
    return insn_exit(env, insn);
}

/* PE can be set by LMSW, not cleared. */
static const Insn *lmsw(Env *env, const Insn *insn)
{
    uint64_t v;

    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (insn->flags & INSN_MEM) {
        const void *p = op_read(env, insn, 2);

        if (!p) {
            return insn_fault(env, insn);
        }
        v = load(p, 16);
    } else {
        v = env->s.gpr[insn->rm];
    }
    v = (env->s.cr0 & ~UINT64_C(0xe)) | (v & 0xf);
    return env_set_cr0(env, v) ? insn_exit(env, insn) : insn_fault(env, insn);
}

/* CR4.UMIP keeps these from programs. */
static bool umip_denied(const Env *env)
{
    return (env->s.cr4 & CR4_UMIP) && env->cpl;
}

static const Insn *smsw(Env *env, const Insn *insn)
{
    if (umip_denied(env)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    if (insn->flags & INSN_MEM) {
        void *p = op_write(env, insn, 2);

        if (!p) {
            return insn_fault(env, insn);
        }
        store(p, 16, env->s.cr0);
        mem_written(env, p);
    } else {
        reg_set(env, insn->rm, insn->size * 8, env->s.cr0);
    }
    return insn + 1;
}

/* --- debug registers ------------------------------------------------------ */

enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13 };
#define DR6_ONES  UINT64_C(0xffff0ff0)
#define DR6_MASK  UINT64_C(0x0000e00f)
#define DR7_ONES  UINT64_C(0x00000400)
#define DR7_MASK  UINT64_C(0xffff23ff)

/* The register's number, or -1 with an exception recorded. */
static int debug_register(Env *env, unsigned n)
{
    if (env->cpl && n <= 7) {
        exc_set(env, EXC_GP, true, 0);
        return -1;
    }
    if (n == 4 || n == 5) {
        if (env->s.cr4 & CR4_DE) {
            exc_set(env, EXC_UD, false, 0);
            return -1;
        }
        n += 2;
    }
    if (n > 7) {
        exc_set(env, EXC_UD, false, 0);
        return -1;
    }
    if (env->s.dr[7] & DR7_GD) {
        exc_set(env, EXC_DB, false, 0);
        env->exc_dr6 = DR6_BD;
        return -1;
    }
    return n;
}

static const Insn *mov_from_dr(Env *env, const Insn *insn)
{
    int n = debug_register(env, insn->reg);
    uint64_t v;

    if (n < 0) {
        return insn_fault(env, insn);
    }
    v = env->s.dr[n];
    if (n == 6) {
        v |= DR6_ONES;
    } else if (n == 7) {
        v |= DR7_ONES;
    }
    reg_set(env, insn->rm, in_code64(env) ? 64 : 32, v);
    return insn + 1;
}

static const Insn *mov_to_dr(Env *env, const Insn *insn)
{
    int n = debug_register(env, insn->reg);
    uint64_t v = reg_get(env, insn->rm, in_code64(env) ? 64 : 32);

    env_serialize();
    if (n < 0) {
        return insn_fault(env, insn);
    }
    if (n >= 6) {
        if (v >> 32) {
            return insn_raise_err(env, insn, EXC_GP, 0);
        }
        v = n == 6 ? (v & DR6_MASK) | DR6_ONES : (v & DR7_MASK) | DR7_ONES;
    }
    env->s.dr[n] = v;
    env_update_mode(env);
    return insn_exit(env, insn);
}

/* --- GDTR, IDTR ----------------------------------------------------------- */

static const Insn *load_table(Env *env, const Insn *insn, X86Table *t)
{
    const char *p;
    uint64_t base;

    env_serialize();
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    p = op_read(env, insn, in_code64(env) ? 10 : 6);
    if (!p) {
        return insn_fault(env, insn);
    }
    base = load(p + 2, in_code64(env) ? 64 : 32);
    if (!in_code64(env) && insn->size == 2) {
        base &= 0xffffff;
    }
    if (!env_base_canonical(env, base)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    t->limit = load(p, 16);
    t->base = base;
    return insn + 1;
}

/* All processors since the 386 store 32 bits of base, whatever the manual says
 * of 16-bit operands. */
static const Insn *store_table(Env *env, const Insn *insn, const X86Table *t)
{
    char *p;

    if (umip_denied(env)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    p = op_write(env, insn, in_code64(env) ? 10 : 6);
    if (!p) {
        return insn_fault(env, insn);
    }
    store(p, 16, t->limit);
    store(p + 2, in_code64(env) ? 64 : 32, t->base);
    mem_written(env, p);
    return insn + 1;
}

static const Insn *lgdt(Env *env, const Insn *insn)
{
    return load_table(env, insn, &env->s.gdtr);
}
static const Insn *lidt(Env *env, const Insn *insn)
{
    return load_table(env, insn, &env->s.idtr);
}
static const Insn *sgdt(Env *env, const Insn *insn)
{
    return store_table(env, insn, &env->s.gdtr);
}
static const Insn *sidt(Env *env, const Insn *insn)
{
    return store_table(env, insn, &env->s.idtr);
}

/* --- TLB ------------------------------------------------------------------ */

static const Insn *invlpg(Env *env, const Insn *insn)
{
    uint64_t gva = insn_offset(env, insn);

    env_serialize();
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    /* No check of limits: the address is only looked up. */
    if (insn->ea & EA_SEG) {
        gva += env->s.seg[insn->seg].base;
    }
    if (!in_code64(env)) {
        gva = (uint32_t)gva;
    }
    if (mem_canonical(env, gva)) {
        tlb_flush_page(env, gva);
    }
    return insn_exit(env, insn);
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL_GLOBAL, INVPCID_ALL };

static const Insn *invpcid(Env *env, const Insn *insn)
{
    uint64_t type = reg_get(env, insn->reg, in_code64(env) ? 64 : 32);
    uint64_t pcid, gva;
    const char *p;

    env_serialize();
    if (env->cpl || (env->mode & DM_VM86)) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    p = op_read(env, insn, 16);
    if (!p) {
        return insn_fault(env, insn);
    }
    pcid = load(p, 64);
    gva = load(p + 8, 64);
    if (type > INVPCID_ALL || pcid >> 12
        || (type <= INVPCID_CONTEXT && pcid && !(env->s.cr4 & CR4_PCIDE))
        || (type == INVPCID_ADDRESS && !env_base_canonical(env, gva))) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    switch (type) {
    case INVPCID_ADDRESS:
        if (!(env->s.cr4 & CR4_PCIDE) || pcid == (env->s.cr3 & 0xfff)) {
            tlb_flush_page(env, gva);
            break;
        }
        /* fall through */
    case INVPCID_CONTEXT:
        tlb_flush_pcid(env, pcid, false);
        break;
    case INVPCID_ALL_GLOBAL:
        tlb_flush(env, true);
        break;
    default:
        tlb_flush(env, false);
        break;
    }
    return insn_exit(env, insn);
}

/* --- caches --------------------------------------------------------------- */

static const Insn *wbinvd(Env *env, const Insn *insn)
{
    env_serialize();
    if (env->cpl) {
        return insn_raise_err(env, insn, EXC_GP, 0);
    }
    return insn + 1;
}

/* Faults as a load does. */
static const Insn *clflush(Env *env, const Insn *insn)
{
    if (!op_read(env, insn, 1)) {
        return insn_fault(env, insn);
    }
    return insn + 1;
}

static const Insn *nothing(Env *env, const Insn *insn)
{
    NEXT(env, insn);
}

static const Insn *fence(Env *env, const Insn *insn)
{
    env_serialize();
    NEXT(env, insn);
}

const HandlerRow interp_control[] = {
    { OP_MOV_RM_CR, ALL(mov_from_cr), {}, {} },
    { OP_MOV_CR_RM, ALL(mov_to_cr), {}, {} },
    { OP_MOV_RM_DR, ALL(mov_from_dr), {}, {} },
    { OP_MOV_DR_RM, ALL(mov_to_dr), {}, {} },
    { OP_CLTS, ALL(clts), {}, {} },
    { OP_LMSW_RM, ALL(lmsw), ALL(lmsw), {} },
    { OP_SMSW_RM, ALL(smsw), ALL(smsw), {} },
    { OP_LGDT_M, {}, ALL(lgdt), {} },
    { OP_LIDT_M, {}, ALL(lidt), {} },
    { OP_SGDT_M, {}, ALL(sgdt), {} },
    { OP_SIDT_M, {}, ALL(sidt), {} },
    { OP_INVLPG_M, {}, ALL(invlpg), {} },
    { OP_INVPCID_R_M, {}, ALL(invpcid), {} },
    { OP_INVD, ALL(wbinvd), {}, {} },
    { OP_WBINVD, ALL(wbinvd), {}, {} },
    { OP_WBNOINVD, ALL(wbinvd), {}, {} },
    { OP_CLFLUSH_M, {}, ALL(clflush), {} },
    { OP_CLFLUSHOPT_M, {}, ALL(clflush), {} },
    { OP_CLWB_M, {}, ALL(clflush), {} },
    { OP_CLDEMOTE_M, {}, ALL(nothing), {} },
    { OP_PREFETCH_M, {}, ALL(nothing), {} },
    { OP_PREFETCHW_M, {}, ALL(nothing), {} },
    { OP_LFENCE, ALL(nothing), {}, {} },
    { OP_SFENCE, ALL(fence), {}, {} },
    { OP_MFENCE, ALL(fence), {}, {} },
    { OP_SERIALIZE, ALL(fence), {}, {} },
    {}
};
