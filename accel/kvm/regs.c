/*
 * KVM: a vCPU's state, between X86State and KVM's structures.
 *
 * What X86State does not hold (events half delivered, some MSRs) stays in
 * KvmCpu as it was last read, and goes back with the rest.
 *
 * Spec:  Documentation/virt/kvm/api.rst, section 4; Intel SDM volume 1 10.5
 *        and 13.4 (FXSAVE and XSAVE areas).
 * Locks: the vCPU's thread, or whoever stopped it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>

#include "base/log.h"
#include "base/trace.h"

/* --- general, segments ------------------------------------------------------------ */

static void get_regs(X86State *s, const struct kvm_regs *r)
{
    const __u64 from[N_GPR] = {
        r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
        r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
    };

    for (unsigned i = 0; i < N_GPR; i++) {
        s->gpr[i] = from[i];
    }
    s->rip = r->rip;
    s->rflags = r->rflags;
}

static void put_regs(const X86State *s, struct kvm_regs *r)
{
    *r = (struct kvm_regs) {
        .rax = s->gpr[R_RAX], .rcx = s->gpr[R_RCX], .rdx = s->gpr[R_RDX],
        .rbx = s->gpr[R_RBX], .rsp = s->gpr[R_RSP], .rbp = s->gpr[R_RBP],
        .rsi = s->gpr[R_RSI], .rdi = s->gpr[R_RDI], .r8 = s->gpr[R_R8],
        .r9 = s->gpr[R_R9], .r10 = s->gpr[R_R10], .r11 = s->gpr[R_R11],
        .r12 = s->gpr[R_R12], .r13 = s->gpr[R_R13], .r14 = s->gpr[R_R14],
        .r15 = s->gpr[R_R15], .rip = s->rip, .rflags = s->rflags,
    };
}

static X86Seg seg_from_kvm(const struct kvm_segment *k, bool stack)
{
    X86Seg seg = {
        .selector = k->selector, .base = k->base, .limit = k->limit,
        .attr = k->type | (k->s ? SEGA_S : 0) | k->dpl << SEGA_DPL_SHIFT
                | (k->present ? SEGA_P : 0) | (k->avl ? SEGA_AVL : 0)
                | (k->l ? SEGA_L : 0) | (k->db ? SEGA_DB : 0)
                | (k->g ? SEGA_G : 0),
    };

    if (k->unusable) {
        /* SS.DPL is the CPL, whatever else is there. */
        seg.attr = SEGA_NULL | (stack ? k->dpl << SEGA_DPL_SHIFT : 0);
    }
    return seg;
}

static struct kvm_segment seg_to_kvm(const X86Seg *seg)
{
    uint16_t a = seg->attr;

    return (struct kvm_segment) {
        .selector = seg->selector, .base = seg->base, .limit = seg->limit,
        .type = a & SEGA_TYPE, .s = !!(a & SEGA_S),
        .dpl = (a & SEGA_DPL) >> SEGA_DPL_SHIFT, .present = !!(a & SEGA_P),
        .avl = !!(a & SEGA_AVL), .l = !!(a & SEGA_L), .db = !!(a & SEGA_DB),
        .g = !!(a & SEGA_G), .unusable = a & SEGA_NULL || !(a & SEGA_P),
    };
}

static void get_sregs(KvmCpu *k, const struct kvm_sregs *r)
{
    X86State *s = k->cpu->state;

    s->seg[SEG_ES] = seg_from_kvm(&r->es, false);
    s->seg[SEG_CS] = seg_from_kvm(&r->cs, false);
    s->seg[SEG_SS] = seg_from_kvm(&r->ss, true);
    s->seg[SEG_DS] = seg_from_kvm(&r->ds, false);
    s->seg[SEG_FS] = seg_from_kvm(&r->fs, false);
    s->seg[SEG_GS] = seg_from_kvm(&r->gs, false);
    s->ldtr = seg_from_kvm(&r->ldt, false);
    s->tr = seg_from_kvm(&r->tr, false);
    s->gdtr = (X86Table) { r->gdt.base, r->gdt.limit };
    s->idtr = (X86Table) { r->idt.base, r->idt.limit };
    s->cr0 = r->cr0;
    s->cr2 = r->cr2;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
    k->kernel_apic_base = r->apic_base;
    k->kernel_cr8 = r->cr8;
}

static void put_sregs(KvmCpu *k, struct kvm_sregs *r)
{
    const X86State *s = k->cpu->state;

    *r = (struct kvm_sregs) {
        .es = seg_to_kvm(&s->seg[SEG_ES]), .cs = seg_to_kvm(&s->seg[SEG_CS]),
        .ss = seg_to_kvm(&s->seg[SEG_SS]), .ds = seg_to_kvm(&s->seg[SEG_DS]),
        .fs = seg_to_kvm(&s->seg[SEG_FS]), .gs = seg_to_kvm(&s->seg[SEG_GS]),
        .ldt = seg_to_kvm(&s->ldtr), .tr = seg_to_kvm(&s->tr),
        .gdt = { .base = s->gdtr.base, .limit = s->gdtr.limit },
        .idt = { .base = s->idtr.base, .limit = s->idtr.limit },
        .cr0 = s->cr0, .cr2 = s->cr2, .cr3 = s->cr3, .cr4 = s->cr4,
        .efer = s->efer, .cr8 = lapic_get_tpr(k->cpu->apic) >> 4,
        .apic_base = lapic_base_msr(k->cpu->apic),
    };
    /* Lapic is a copy that nobody refreshed: what KVM has stays. */
    if (kvm_apic_in_kernel() && k->kernel_apic_base
        && !(k->dirty & PART_LAPIC)) {
        r->cr8 = k->kernel_cr8;
        r->apic_base = k->kernel_apic_base;
    }
    if (k->events.interrupt.injected) {
        unsigned v = k->events.interrupt.nr;

        r->interrupt_bitmap[v / 64] |= BIT64(v % 64);
    }
}

/* --- events --------------------------------------------------------------------------- */

static void get_events(KvmCpu *k)
{
    X86State *s = k->cpu->state;

    s->interrupt_shadow =
        k->events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? 2
        : k->events.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? 1 : 0;
    s->nmi_blocked = k->events.nmi.masked;
    s->smm = k->events.smi.smm;
    s->smm_nmi_blocked = k->events.smi.smm_inside_nmi;
}

static void put_events(KvmCpu *k, struct kvm_vcpu_events *e)
{
    const X86State *s = k->cpu->state;

    *e = k->events;
    e->interrupt.shadow = s->interrupt_shadow == 2 ? KVM_X86_SHADOW_INT_MOV_SS
                          : s->interrupt_shadow ? KVM_X86_SHADOW_INT_STI : 0;
    e->nmi.masked = s->nmi_blocked;
    e->smi.smm = s->smm && kvm.smm;
    e->smi.smm_inside_nmi = s->smm_nmi_blocked && kvm.smm;
    /* NMIs that came to KVM's local APIC since are not to be forgotten. */
    e->flags = KVM_VCPUEVENT_VALID_SHADOW
               | (e->nmi.pending || !kvm_apic_in_kernel()
                  ? KVM_VCPUEVENT_VALID_NMI_PENDING : 0)
               | (kvm.smm ? KVM_VCPUEVENT_VALID_SMM : 0)
               | (kvm.exception_payload ? KVM_VCPUEVENT_VALID_PAYLOAD : 0)
               | (kvm.triple_fault_event ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT
                                         : 0);
}

/* --- FPU --------------------------------------------------------------------------------- */

enum {                          /* offsets in the XSAVE area */
    XS_FCW = 0, XS_FSW = 2, XS_FTW = 4, XS_FOP = 6, XS_FIP = 8, XS_FDP = 16,
    XS_MXCSR = 24, XS_MXCSR_MASK = 28, XS_ST = 32, XS_XMM = 160,
    XS_BV = 512,
};

enum { XCR0_N_CARRIED = 10 };   /* components up to PKRU, number 9 */

/* Where the host keeps each component: CPUID leaf 0Dh. */
static unsigned component_at[XCR0_N_CARRIED];  /* 0: nowhere */

/* Once: CPUID costs a rescue dear where the host is itself a guest. */
static void find_components(void)
{
    uint32_t r[4];

    for (unsigned n = 2; n < XCR0_N_CARRIED; n++) {
        component_at[n] = kvm_xsave_component(n, r)
                          && r[1] + r[0] <= kvm.xsave_bytes ? r[1] : 0;
    }
}

static unsigned component_offset(unsigned n)
{
    return component_at[n];
}

/* Components that X86State keeps as XSAVE stores them. */
static const struct {
    unsigned bit;
    size_t at, bytes;           /* in X86State */
} as_stored[] = {
    { 5, offsetof(X86State, opmask), sizeof(((X86State *)0)->opmask) },
    { 6, offsetof(X86State, zmm_hi256), sizeof(((X86State *)0)->zmm_hi256) },
    { 7, offsetof(X86State, hi16_zmm), sizeof(((X86State *)0)->hi16_zmm) },
};

static void get_xsave(KvmCpu *k)
{
    X86State *s = k->cpu->state;
    const uint8_t *x = k->xsave;
    uint64_t bv = load_le64(x + XS_BV);
    unsigned top, avx = component_offset(2), pkru = component_offset(9);

    s->fcw = load_le16(x + XS_FCW);
    s->fsw = load_le16(x + XS_FSW);
    s->ftw = x[XS_FTW];
    s->fop = load_le16(x + XS_FOP);
    s->fip = load_le64(x + XS_FIP);
    s->fdp = load_le64(x + XS_FDP);
    s->mxcsr = load_le32(x + XS_MXCSR);
    top = s->fsw >> 11 & 7;
    for (unsigned i = 0; i < 8; i++) {
        X86Fp *fp = &s->fpr[(top + i) & 7];

        fp->q[1] = 0;
        fp->mant = load_le64(x + XS_ST + 16 * i);
        fp->exp_sign = load_le16(x + XS_ST + 16 * i + 8);
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(s->vec[i].b, x + XS_XMM + 16 * i, 16);
        if (avx && bv & XCR0_AVX) {
            memcpy(s->vec[i].b + 16, x + avx + 16 * i, 16);
        } else {
            memset(s->vec[i].b + 16, 0, 16);
        }
    }
    s->pkru = pkru && bv & XCR0_PKRU ? load_le32(x + pkru) : 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(as_stored); i++) {
        unsigned from = component_offset(as_stored[i].bit);
        uint8_t *to = (uint8_t *)s + as_stored[i].at;

        if (from && bv & BIT64(as_stored[i].bit)) {
            memcpy(to, x + from, as_stored[i].bytes);
        } else {
            memset(to, 0, as_stored[i].bytes);
        }
    }
}

static void put_xsave(KvmCpu *k)
{
    const X86State *s = k->cpu->state;
    uint8_t *x = k->xsave;
    uint64_t bv = load_le64(x + XS_BV) | XCR0_X87 | XCR0_SSE;
    unsigned top = s->fsw >> 11 & 7;
    unsigned avx = component_offset(2), pkru = component_offset(9);

    store_le16(x + XS_FCW, s->fcw);
    store_le16(x + XS_FSW, s->fsw);
    x[XS_FTW] = s->ftw;
    store_le16(x + XS_FOP, s->fop);
    store_le64(x + XS_FIP, s->fip);
    store_le64(x + XS_FDP, s->fdp);
    store_le32(x + XS_MXCSR, s->mxcsr & 0xffff);
    for (unsigned i = 0; i < 8; i++) {
        const X86Fp *fp = &s->fpr[(top + i) & 7];

        memset(x + XS_ST + 16 * i, 0, 16);
        store_le64(x + XS_ST + 16 * i, fp->mant);
        store_le16(x + XS_ST + 16 * i + 8, fp->exp_sign);
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(x + XS_XMM + 16 * i, s->vec[i].b, 16);
        if (avx && s->xcr0 & XCR0_AVX) {
            memcpy(x + avx + 16 * i, s->vec[i].b + 16, 16);
            bv |= XCR0_AVX;
        }
    }
    if (pkru && s->xcr0 & XCR0_PKRU) {
        store_le32(x + pkru, s->pkru);
        bv |= XCR0_PKRU;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(as_stored); i++) {
        unsigned to = component_offset(as_stored[i].bit);

        if (to && s->xcr0 & BIT64(as_stored[i].bit)) {
            memcpy(x + to, (const uint8_t *)s + as_stored[i].at,
                   as_stored[i].bytes);
            bv |= BIT64(as_stored[i].bit);
        }
    }
    store_le64(x + XS_BV, bv);
}

static bool get_fpu(KvmCpu *k)
{
    bool wide = kvm.xsave_bytes > sizeof(struct kvm_xsave);
    struct kvm_xcrs xcrs;

    if (kvm_do(k->fd, wide ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, k->xsave) < 0) {
        return false;
    }
    k->cpu->state->xcr0 = XCR0_X87;
    if (kvm.xcrs && kvm_do(k->fd, KVM_GET_XCRS, &xcrs) == 0 && xcrs.nr_xcrs) {
        k->cpu->state->xcr0 = xcrs.xcrs[0].value;
    }
    get_xsave(k);
    return true;
}

static bool put_fpu(KvmCpu *k)
{
    struct kvm_xcrs xcrs = {
        .nr_xcrs = 1, .xcrs = { { .value = k->cpu->state->xcr0 } },
    };

    put_xsave(k);
    if (kvm.xcrs && kvm_do(k->fd, KVM_SET_XCRS, &xcrs) < 0) {
        return false;
    }
    return kvm_do(k->fd, KVM_SET_XSAVE, k->xsave) >= 0;
}

/* --- debug registers, run state, local APIC ---------------------------------------------- */

static bool get_debug(KvmCpu *k)
{
    X86State *s = k->cpu->state;
    struct kvm_debugregs d;

    if (kvm_do(k->fd, KVM_GET_DEBUGREGS, &d) < 0) {
        return false;
    }
    memcpy(s->dr, d.db, sizeof(d.db));
    s->dr[6] = d.dr6;
    s->dr[7] = d.dr7;
    return true;
}

static bool put_debug(KvmCpu *k)
{
    const X86State *s = k->cpu->state;
    struct kvm_debugregs d = { .dr6 = s->dr[6], .dr7 = s->dr[7] };

    memcpy(d.db, s->dr, sizeof(d.db));
    return kvm_do(k->fd, KVM_SET_DEBUGREGS, &d) >= 0;
}

static bool get_mp(KvmCpu *k)
{
    X86State *s = k->cpu->state;
    struct kvm_mp_state mp;

    if (!kvm_apic_in_kernel()) {
        return true;            /* ours: halted and wait_sipi are right */
    }
    if (kvm_do(k->fd, KVM_GET_MP_STATE, &mp) < 0) {
        return false;
    }
    s->halted = mp.mp_state == KVM_MP_STATE_HALTED;
    s->wait_sipi = mp.mp_state == KVM_MP_STATE_UNINITIALIZED
                   || mp.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    return true;
}

static bool put_mp(KvmCpu *k)
{
    const X86State *s = k->cpu->state;
    struct kvm_mp_state mp = {
        .mp_state = s->wait_sipi ? KVM_MP_STATE_INIT_RECEIVED
                    : s->halted ? KVM_MP_STATE_HALTED
                    : KVM_MP_STATE_RUNNABLE,
    };

    return !kvm_apic_in_kernel()
           || kvm_do(k->fd, KVM_SET_MP_STATE, &mp) >= 0;
}

static bool get_lapic(KvmCpu *k)
{
    struct kvm_lapic_state l;
    struct kvm_sregs r;
    uint64_t deadline = 0;

    if (!kvm_apic_in_kernel()) {
        return true;
    }
    if (kvm_do(k->fd, KVM_GET_LAPIC, &l) < 0
        || kvm_do(k->fd, KVM_GET_SREGS, &r) < 0) {
        return false;
    }
    kvm_get_msr(k, MSR_TSC_DEADLINE, &deadline);
    lapic_set_page(k->cpu->apic, (const uint8_t *)l.regs, r.apic_base,
                   deadline);
    return true;
}

static bool put_lapic(KvmCpu *k)
{
    struct kvm_lapic_state l = { { 0 } };

    if (!kvm_apic_in_kernel()) {
        return true;
    }
    lapic_get_page(k->cpu->apic, (uint8_t *)l.regs);
    if (kvm_do(k->fd, KVM_SET_LAPIC, &l) < 0) {
        return false;
    }
    /* Where it exists. */
    kvm_set_msr(k, MSR_TSC_DEADLINE, lapic_tsc_deadline(k->cpu->apic));
    return true;
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool get_step(KvmCpu *k, unsigned parts)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;

    if (parts & PART_REGS) {
        if (kvm_do(k->fd, KVM_GET_REGS, &regs) < 0) {
            return false;
        }
        get_regs(k->cpu->state, &regs);
    }
    if (parts & PART_SREGS) {
        if (kvm_do(k->fd, KVM_GET_SREGS, &sregs) < 0) {
            return false;
        }
        get_sregs(k, &sregs);
    }
    if (parts & PART_EVENTS) {
        if (kvm_do(k->fd, KVM_GET_VCPU_EVENTS, &k->events) < 0) {
            return false;
        }
        get_events(k);
    }
    return true;
}

bool kvm_get(KvmCpu *k, unsigned parts)
{
    parts &= ~(k->valid | k->dirty);
    if (!get_step(k, parts)
        || (parts & PART_FPU && !get_fpu(k))
        || (parts & PART_MSRS && !kvm_get_msrs(k))
        || (parts & PART_DEBUG && !get_debug(k))
        || (parts & PART_MP && !get_mp(k))
        || (parts & PART_LAPIC && !get_lapic(k))
        || (parts & PART_TSC && !kvm_get_tsc(k))) {
        return false;
    }
    k->valid |= parts;
    return true;
}

/*
 * After a rescue: with the next KVM_RUN, without requests of their own, where
 * that works.  Not for a whole state: a vCPU that waits for SIPI takes in
 * nothing before it has come, and then it would undo what SIPI did.
 */
static bool put_step(KvmCpu *k, unsigned parts, bool with_run)
{
    struct kvm_sync_regs *sync = &k->run->s.regs;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;

    if (with_run) {
        if (parts & PART_REGS) {
            put_regs(k->cpu->state, &sync->regs);
            k->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
        }
        if (parts & PART_SREGS) {
            put_sregs(k, &sync->sregs);
            k->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
        }
        if (parts & PART_EVENTS) {
            put_events(k, &sync->events);
            k->run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
        }
        return true;
    }
    put_regs(k->cpu->state, &regs);
    put_sregs(k, &sregs);
    put_events(k, &events);
    return (!(parts & PART_SREGS)
            || kvm_do(k->fd, KVM_SET_SREGS, &sregs) >= 0)
           && (!(parts & PART_REGS)
               || kvm_do(k->fd, KVM_SET_REGS, &regs) >= 0)
           && (!(parts & PART_EVENTS)
               || kvm_do(k->fd, KVM_SET_VCPU_EVENTS, &events) >= 0);
}

void kvm_put_was_late(KvmCpu *k)
{
    uint64_t left = k->run->kvm_dirty_regs;

    k->dirty |= (left & KVM_SYNC_X86_REGS ? PART_REGS : 0)
                | (left & KVM_SYNC_X86_SREGS ? PART_SREGS : 0)
                | (left & KVM_SYNC_X86_EVENTS ? PART_EVENTS : 0);
    k->run->kvm_dirty_regs = 0;
}

bool kvm_put(KvmCpu *k, unsigned parts)
{
    bool with_run = kvm.sync_regs && !(k->dirty & (PART_MP | PART_LAPIC))
                    && !k->debugging;

    parts &= k->dirty;
    /* APIC mode and EFER first: what MSRs may hold depends on them. */
    if (parts & PART_SREGS && parts & (PART_MSRS | PART_LAPIC)) {
        struct kvm_sregs sregs;

        put_sregs(k, &sregs);
        if (kvm_do(k->fd, KVM_SET_SREGS, &sregs) < 0) {
            return false;
        }
        k->dirty &= ~PART_SREGS;
        parts &= ~PART_SREGS;
    }
    if ((parts & PART_MP && !put_mp(k))
        || (parts & PART_TSC && !kvm_put_tsc(k))
        || (parts & PART_MSRS && !kvm_put_msrs(k))
        || (parts & PART_FPU && !put_fpu(k))
        || (parts & PART_DEBUG && !put_debug(k))
        || (parts & PART_LAPIC && !put_lapic(k))
        || !put_step(k, parts, with_run)) {
        return false;
    }
    k->dirty &= ~parts;
    k->valid |= parts;
    return true;
}

void kvm_regs_reset(KvmCpu *k)
{
    kvm_msrs_reset(k);
    memset(&k->events, 0, sizeof(k->events));
    memset(k->xsave, 0, kvm.xsave_bytes);
}

bool kvm_regs_init(KvmCpu *k, GError **err)
{
    k->xsave = g_aligned_alloc0(1, kvm.xsave_bytes, 64);
    kvm_msrs_init(k);
    find_components();
    return true;
}

void kvm_regs_free(KvmCpu *k)
{
    kvm_msrs_free(k);
    g_aligned_free(k->xsave);
}
