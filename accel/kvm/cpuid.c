/*
 * KVM: CPUID, what it can give, and what a vCPU is told.
 *
 * The model decides (src/cpu/cpuid.c), cut down to what KVM offers; XSAVE
 * components lie where the host has them.  What X86State cannot carry from one
 * machine to another (AMX, shadow stacks, performance counters) is not
 * offered.
 *
 * Spec:  Documentation/virt/kvm/api.rst 4.20, 4.46; x86/cpuid.rst.
 * Locks: init before the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <cpuid.h>

enum { N_ENTRIES_MAX = 256 };

static const struct {
    uint32_t leaf, subleaf;
    uint8_t reg;                /* 0 EAX to 3 EDX */
    uint32_t keep;              /* bits that we can carry */
} words[N_FEATURE_WORDS] = {
    [FW_1_EDX] = { 1, 0, 3, UINT32_MAX },
    [FW_1_ECX] = { 1, 0, 2, ~(BIT(3) | BIT(15)) },      /* MONITOR, PDCM */
    [FW_7_0_EBX] = { 7, 0, 1, ~BIT(14) },               /* MPX */
    [FW_7_0_ECX] = { 7, 0, 2, ~(BIT(7) | BIT(23)) },    /* shadow stacks, KL */
    [FW_7_0_EDX] = { 7, 0, 3,                           /* LBR, IBT, AMX */
                     ~(BIT(19) | BIT(20) | BIT(22) | BIT(24) | BIT(25)) },
    [FW_7_1_EAX] = { 7, 1, 0, ~BIT(21) },               /* AMX-FP16 */
    [FW_7_2_EDX] = { 7, 2, 3, UINT32_MAX },
    [FW_80000001_EDX] = { 0x80000001, 0, 3, UINT32_MAX },
    [FW_80000001_ECX] = { 0x80000001, 0, 2, ~BIT(2) },  /* SVM */
    [FW_80000007_EDX] = { 0x80000007, 0, 3, UINT32_MAX },
    [FW_80000008_EBX] = { 0x80000008, 0, 1, UINT32_MAX },
    [FW_D_1_EAX] = { 0xd, 1, 0, ~BIT(4) },
    [FW_6_EAX] = { 6, 0, 0, UINT32_MAX },
    [FW_KVM_EAX] = { 0x40000001, 0, 0, UINT32_MAX },
};

/* The host's answers; KVM's own leaves may carry another name, so they are
 * found by number. */
const struct kvm_cpuid_entry2 *kvm_cpuid_find(uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; kvm.cpuid && i < kvm.cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &kvm.cpuid->entries[i];

        if (e->function == leaf
            && (e->index == subleaf
                || (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)
                    && subleaf == 0))) {
            return e;
        }
    }
    return NULL;
}

/*
 * Software KVMs execute CPUID as it comes: the guest sees the host's features,
 * though KVM offers next to none.  What the interpreter may do must then follow
 * the host too.  Every processor with hardware virtualization that KVM still
 * supports and that has XSAVE offers it.
 */
bool kvm_is_software(void)
{
    return kvm.software;
}

static bool is_software(void)
{
    const struct kvm_cpuid_entry2 *e = kvm_cpuid_find(1, 0);
    uint32_t r[4];

    kvm_host_cpuid(1, 0, r);
    return e && r[2] & BIT(26) && !(e->ecx & BIT(26));
}

static void host_features(uint32_t *to)
{
    for (unsigned i = 0; i < N_FEATURE_WORDS; i++) {
        uint32_t r[4];

        if (i != FW_KVM_EAX) {
            kvm_host_cpuid(words[i].leaf, words[i].subleaf, r);
            to[i] |= r[words[i].reg] & words[i].keep;
        }
    }
}

void kvm_features(uint32_t *to)
{
    for (unsigned i = 0; i < N_FEATURE_WORDS; i++) {
        const struct kvm_cpuid_entry2 *e = kvm_cpuid_find(words[i].leaf,
                                                          words[i].subleaf);

        if (e) {
            const uint32_t r[4] = { e->eax, e->ebx, e->ecx, e->edx };

            to[i] = r[words[i].reg] & words[i].keep;
        }
    }
    if (kvm_is_software()) {
        host_features(to);
    }
    to[FW_1_ECX] |= BIT(FEAT_HYPERVISOR % 32);
    if (kvm_apic_in_kernel()) {
        to[FW_1_ECX] |= BIT(FEAT_X2APIC % 32);
        if (kvm_check(KVM_CAP_TSC_DEADLINE_TIMER)) {
            to[FW_1_ECX] |= BIT(FEAT_TSC_DEADLINE % 32);
        }
    } else {
        /* These need KVM's local APIC. */
        to[FW_1_ECX] &= ~(BIT(FEAT_X2APIC % 32) | BIT(FEAT_TSC_DEADLINE % 32));
        to[FW_KVM_EAX] &= ~(BIT(FEAT_KVM_PV_EOI % 32)
                            | BIT(FEAT_KVM_PV_IPI % 32)
                            | BIT(FEAT_KVM_PV_UNHALT % 32)
                            | BIT(FEAT_KVM_ASYNCPF % 32));
    }
    if (kvm.slowdown > 1) {     /* it goes by the host's clock */
        to[FW_KVM_EAX] &= ~(BIT(FEAT_KVMCLOCK % 32)
                            | BIT(FEAT_KVMCLOCK2 % 32)
                            | BIT(FEAT_KVMCLOCK_STABLE_BIT % 32)
                            | BIT(FEAT_KVM_STEAL_TIME % 32));
    }
    to[FW_6_EAX] |= BIT(FEAT_ARAT % 32);
}

void kvm_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
}

bool kvm_cpuid_init(GError **err)
{
    struct kvm_msr_list ask = { .nmsrs = 0 }, *list;
    int result;

    if (kvm.cpuid) {
        return true;
    }
    kvm.cpuid = g_malloc0(sizeof(*kvm.cpuid)
                          + N_ENTRIES_MAX * sizeof(kvm.cpuid->entries[0]));
    kvm.cpuid->nent = N_ENTRIES_MAX;
    result = kvm_do(kvm.fd, KVM_GET_SUPPORTED_CPUID, kvm.cpuid);
    if (result < 0) {
        return kvm_fail(err, result, "cannot ask for CPUID");
    }
    kvm.software = is_software();
    kvm_do(kvm.fd, KVM_GET_MSR_INDEX_LIST, &ask);       /* E2BIG: the number */
    list = g_malloc0(sizeof(*list) + ask.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = ask.nmsrs;
    if (kvm_do(kvm.fd, KVM_GET_MSR_INDEX_LIST, list) == 0) {
        kvm.n_msrs = list->nmsrs;
        kvm.msrs = g_memdup2(list->indices,
                             list->nmsrs * sizeof(list->indices[0]));
    }
    g_free(list);
    return true;
}

/* --- one vCPU ----------------------------------------------------------------------- */

static bool add(struct kvm_cpuid2 *c, X86Cpu *cpu, uint32_t leaf,
                uint32_t subleaf, bool indexed)
{
    struct kvm_cpuid_entry2 *e = &c->entries[c->nent];
    uint32_t r[4];

    if (c->nent == N_ENTRIES_MAX) {
        return false;
    }
    cpu_cpuid(cpu, leaf, subleaf, r);
    *e = (struct kvm_cpuid_entry2) {
        .function = leaf, .index = subleaf,
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r[0], .ebx = r[1], .ecx = r[2], .edx = r[3],
    };
    c->nent++;
    return true;
}

/* Where the host has component `n` of XSAVE; as CPUID leaf 0Dh. */
bool kvm_xsave_component(unsigned n, uint32_t r[4])
{
    const struct kvm_cpuid_entry2 *e = kvm_cpuid_find(0xd, n);

    if (e) {
        const uint32_t found[] = { e->eax, e->ebx, e->ecx, e->edx };

        memcpy(r, found, sizeof(found));
    } else if (kvm_is_software()) {
        kvm_host_cpuid(0xd, n, r);
    } else {
        return false;
    }
    return r[0];
}

/* Leaf 0Dh: sizes and places are the host's. */
static void add_xsave(struct kvm_cpuid2 *c, X86Cpu *cpu)
{
    uint64_t mask = cpu_xcr0_supported(cpu);
    struct kvm_cpuid_entry2 *first = &c->entries[c->nent];
    uint32_t r[4];

    add(c, cpu, 0xd, 0, true);
    add(c, cpu, 0xd, 1, true);
    first->ecx = mask ? 576 : 0;
    for (unsigned i = 2; i < 64; i++) {
        if (mask & BIT64(i) && kvm_xsave_component(i, r)) {
            add(c, cpu, 0xd, i, true);
            c->entries[c->nent - 1].eax = r[0];
            c->entries[c->nent - 1].ebx = r[1];
            c->entries[c->nent - 1].ecx = r[2];
            first->ecx = MAX(first->ecx, r[0] + r[1]);
        }
    }
}

/* Leaves 4 and 8000001Dh, 0Bh and 1Fh end with one that says so. */
static void add_list(struct kvm_cpuid2 *c, X86Cpu *cpu, uint32_t leaf)
{
    for (unsigned i = 0; i < 8; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[c->nent];
        bool levels = leaf == 0xb || leaf == 0x1f;

        if (!add(c, cpu, leaf, i, true)
            || (levels ? !(e->ecx & 0xff00) : !(e->eax & 0x1f))) {
            break;
        }
    }
}

static void add_range(struct kvm_cpuid2 *c, X86Cpu *cpu, uint32_t first)
{
    uint32_t r[4];

    cpu_cpuid(cpu, first, 0, r);
    if (first && r[0] < first) {
        return;                 /* answered as an unknown leaf */
    }
    for (uint32_t leaf = first; leaf <= r[0] && leaf - first < 0x40; leaf++) {
        switch (leaf) {
        case 4: case 0xb: case 0x1f: case 0x8000001d:
            add_list(c, cpu, leaf);
            break;
        case 7:
            for (unsigned i = 0; i < 3; i++) {
                add(c, cpu, leaf, i, true);
            }
            break;
        case 0xd:
            add_xsave(c, cpu);
            break;
        default:
            add(c, cpu, leaf, 0, false);
        }
    }
}

/* Of what the interpreter may do on such a host, KVM gets to hear only what it
 * offers itself: it would refuse CR4.PCIDE, but show the guest PCID. */
static void cut_to_offered(struct kvm_cpuid2 *c)
{
    const uint32_t ours[] = {
        FEAT_HYPERVISOR, FEAT_X2APIC, FEAT_TSC_DEADLINE, FEAT_ARAT,
    };

    for (unsigned i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];
        const struct kvm_cpuid_entry2 *host = kvm_cpuid_find(e->function,
                                                             e->index);

        for (unsigned w = 0; w < N_FEATURE_WORDS; w++) {
            __u32 *r[4] = { &e->eax, &e->ebx, &e->ecx, &e->edx };
            uint32_t offered = 0;

            if (words[w].leaf != e->function || words[w].subleaf != e->index) {
                continue;
            }
            if (host) {
                const uint32_t h[4] = { host->eax, host->ebx, host->ecx,
                                        host->edx };

                offered = h[words[w].reg];
            }
            for (unsigned j = 0; j < G_N_ELEMENTS(ours); j++) {
                if (ours[j] / 32 == w) {
                    offered |= BIT(ours[j] % 32);
                }
            }
            *r[words[w].reg] &= offered;
        }
    }
}

/*
 * A guest that finds XSAVE and AVX-512 in a software KVM's CPUID would use them
 * in its kernel: neither the host's interpreter nor ours has AVX-512 there.
 * Kernels do without XSAVE where there is no leaf to describe it.
 */
static void hide_xsave(struct kvm_cpuid2 *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->nent; i++) {
        if (c->entries[i].function < 0xd) {
            c->entries[n++] = c->entries[i];
        }
    }
    c->nent = n;
    if (n) {
        c->entries[0].eax = MIN(c->entries[0].eax, 0xc);
    }
}

bool kvm_cpuid_set(KvmCpu *k, GError **err)
{
    g_autofree struct kvm_cpuid2 *c =
        g_malloc0(sizeof(*c) + N_ENTRIES_MAX * sizeof(c->entries[0]));
    int result;

    add_range(c, k->cpu, 0);
    if (kvm_is_software()) {
        hide_xsave(c);
    }
    add_range(c, k->cpu, 0x40000000);       /* nothing with hypervisor=off */
    add_range(c, k->cpu, 0x80000000);
    if (kvm_is_software()) {
        cut_to_offered(c);
    }
    result = kvm_do(k->fd, KVM_SET_CPUID2, c);
    return result >= 0 || kvm_fail(err, result, "CPUID refused");
}
