/*
 * CPUID: the leaves as a guest reads them.
 *
 * Spec:   Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E.
 * Models: leaves 0-7, 0xA-0xB, 0xD, 0x15, 0x16, 0x1F, the hypervisor's, and
 *         0x80000000 to 0x8000001E.
 * Locks:  none: a model is constant.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include "cpu/features.h"
#include "cpu/lapic.h"
#include "models.h"

static const char *vendor_text(const CpuModel *m)
{
    if (m->vendor) {
        return m->vendor;
    }
    return m->row->vendor == VENDOR_AMD ? "AuthenticAMD"
           : m->row->vendor == VENDOR_HYGON ? "HygonGenuine" : "GenuineIntel";
}

static bool is_amd(const CpuModel *m)
{
    return !strcmp(vendor_text(m), "AuthenticAMD")
           || !strcmp(vendor_text(m), "HygonGenuine");
}

static void leaf_vendor(const CpuModel *m, uint32_t max, uint32_t r[4])
{
    const char *v = vendor_text(m);

    r[0] = max;
    r[1] = load_le32(v);
    r[3] = load_le32(v + 4);
    r[2] = load_le32(v + 8);
}

static uint32_t signature(const CpuModel *m)
{
    unsigned family = MIN(m->family, 0xfu), ext = m->family - family;

    return m->stepping | (m->model & 0xf) << 4 | family << 8
           | (uint32_t)(m->model >> 4) << 16 | ext << 20;
}

static unsigned log2_up(unsigned n)
{
    return n > 1 ? g_bit_storage(n - 1) : 0;
}

static const CpuTopology *topo(void)
{
    static const CpuTopology one = { 1, 1, 1, 1, 1, 1 };

    return machine() ? &machine()->topo : &one;
}

static unsigned per_socket(void)
{
    return topo()->dies * topo()->cores * topo()->threads;
}

static void leaf_1(X86Cpu *cpu, uint32_t r[4])
{
    const CpuModel *m = cpu->model;
    const X86State *s = cpu->state;

    r[0] = signature(m);
    r[1] = cpu->apic_id << 24 | per_socket() << 16 | 8 << 8;
    r[2] = m->words[FW_1_ECX] & ~(BIT(27) | BIT(31));
    r[3] = m->words[FW_1_EDX];
    if (m->hypervisor) {
        r[2] |= BIT(31);
    }
    if (s->cr4 & CR4_OSXSAVE) {
        r[2] |= BIT(27);
    }
    if (cpu->apic && !lapic_enabled(cpu->apic)) {
        r[3] &= ~BIT(9);
    }
    if (per_socket() > 1) {
        r[3] |= BIT(28);
    }
}

typedef struct {
    uint32_t size_bytes, ways, sets;
    uint8_t type, level;        /* 1 data, 2 instruction, 3 unified */
    bool shared;                /* by a socket, else by a core */
} Cache;

static const Cache caches[] = {
    { 32 * 1024, 8, 64, 1, 1, false },
    { 32 * 1024, 8, 64, 2, 1, false },
    { 2 * 1024 * 1024, 16, 2048, 3, 2, false },
    { 16 * 1024 * 1024, 16, 16384, 3, 3, true },
};

/* Leaf 4 (Intel) and 0x8000001D (AMD) have the same shape. */
static void leaf_cache(uint32_t subleaf, bool intel, uint32_t r[4])
{
    const Cache *c;
    unsigned sharing;

    if (subleaf >= G_N_ELEMENTS(caches)) {
        return;
    }
    c = &caches[subleaf];
    sharing = c->shared ? 1u << log2_up(per_socket())
                        : 1u << log2_up(topo()->threads);
    r[0] = c->type | c->level << 5 | 1 << 8 | (sharing - 1) << 14;
    if (intel) {
        r[0] |= ((1u << log2_up(topo()->cores * topo()->dies)) - 1) << 26;
    }
    r[1] = 63 | (c->ways - 1) << 22;
    r[2] = c->sets - 1;
    r[3] = c->level == 3 ? 2 : 1;
}

static void leaf_topology(X86Cpu *cpu, uint32_t subleaf, uint32_t r[4])
{
    unsigned smt = log2_up(topo()->threads);
    unsigned core = log2_up(topo()->cores) + log2_up(topo()->dies);

    r[2] = subleaf & 0xff;
    r[3] = cpu->apic_id;
    if (subleaf == 0) {
        r[0] = smt;
        r[1] = topo()->threads;
        r[2] |= 1 << 8;
    } else if (subleaf == 1) {
        r[0] = smt + core;
        r[1] = per_socket();
        r[2] |= 2 << 8;
    }
}

/* Extended state components: SDM 1, 13.1; standard offsets as Intel's. */
typedef struct {
    unsigned bit, size_bytes, offset;
    bool supervisor;
} XComponent;

static const XComponent xcomponents[] = {
    { 2, 256, 576, false },     /* AVX: upper halves of YMM */
    { 5, 64, 1088, false },     /* AVX-512: mask registers */
    { 6, 512, 1152, false },    /* upper halves of ZMM0 to ZMM15 */
    { 7, 1024, 1664, false },   /* ZMM16 to ZMM31 */
    { 9, 8, 2688, false },      /* PKRU */
};

uint64_t cpu_xcr0_supported(const X86Cpu *cpu)
{
    uint64_t mask = 0;

    if (cpu_has(cpu, FEAT_XSAVE)) {
        mask = XCR0_X87 | XCR0_SSE;
        mask |= cpu_has(cpu, FEAT_AVX) ? XCR0_AVX : 0;
        mask |= cpu_has(cpu, FEAT_AVX512F) ? XCR0_AVX512 : 0;
        mask |= cpu_has(cpu, FEAT_PKU) ? XCR0_PKRU : 0;
    }
    return mask;
}

static uint32_t xsave_bytes(uint64_t mask, bool compact)
{
    uint32_t end = 576;

    for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
        const XComponent *c = &xcomponents[i];

        if (mask & BIT64(c->bit)) {
            end = compact ? end + c->size_bytes : c->offset + c->size_bytes;
        }
    }
    return end;
}

static void leaf_xsave(X86Cpu *cpu, uint32_t subleaf, uint32_t r[4])
{
    uint64_t mask = cpu_xcr0_supported(cpu);

    if (!mask) {
        return;
    }
    if (subleaf == 0) {
        r[0] = mask;
        r[3] = mask >> 32;
        r[1] = xsave_bytes(cpu->state->xcr0, false);
        r[2] = xsave_bytes(mask, false);
    } else if (subleaf == 1) {
        r[0] = cpu->model->words[FW_D_1_EAX];
        if (r[0] & 2) {
            r[1] = xsave_bytes(cpu->state->xcr0 | cpu->state->ia32_xss, true);
        }
    } else {
        for (unsigned i = 0; i < G_N_ELEMENTS(xcomponents); i++) {
            if (subleaf == xcomponents[i].bit && (mask & BIT64(subleaf))) {
                r[0] = xcomponents[i].size_bytes;
                r[1] = xcomponents[i].offset;
                r[2] = xcomponents[i].supervisor;
            }
        }
    }
}

static void leaf_hypervisor(const CpuModel *m, uint32_t leaf, uint32_t r[4])
{
    const char *sign = !strcmp(m->accel->name, "kvm") ? "KVMKVMKVM\0\0\0"
                                                      : "TCGTCGTCGTCG";

    switch (leaf) {
    case 0x40000000:
        r[0] = 0x40000010;
        r[1] = load_le32(sign);
        r[2] = load_le32(sign + 4);
        r[3] = load_le32(sign + 8);
        break;
    case 0x40000001:
        r[0] = m->words[FW_KVM_EAX];
        break;
    case 0x40000010:            /* frequencies in kHz: TSC and APIC bus */
        r[0] = cpu_tsc_hz() / 1000;
        r[1] = 1000000;
        break;
    }
}

static void leaf_brand(const CpuModel *m, uint32_t leaf, uint32_t r[4])
{
    char text[48] = { 0 };

    strncpy(text, m->model_id, sizeof(text) - 1);
    for (unsigned i = 0; i < 4; i++) {
        r[i] = load_le32(text + (leaf - 0x80000002) * 16 + i * 4);
    }
}

static void leaf_extended(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf,
                          uint32_t r[4])
{
    const CpuModel *m = cpu->model;
    /* What an AMD processor repeats from leaf 1 EDX in 0x80000001 EDX. */
    const uint32_t repeated = 0x0183f3ff;

    switch (leaf) {
    case 0x80000000:
        leaf_vendor(m, m->xlevel, r);
        break;
    case 0x80000001:
        r[0] = signature(m);
        r[2] = m->words[FW_80000001_ECX];
        r[3] = m->words[FW_80000001_EDX];
        if (is_amd(m)) {
            r[3] |= m->words[FW_1_EDX] & repeated;
            r[2] |= per_socket() > 1 ? BIT(1) : 0;
        }
        break;
    case 0x80000002 ... 0x80000004:
        leaf_brand(m, leaf, r);
        break;
    case 0x80000005:
        if (is_amd(m)) {
            r[0] = 0x01ff01ff;
            r[1] = 0x01ff01ff;
            r[2] = r[3] = 32u << 24 | 8 << 16 | 1 << 8 | 64;
        }
        break;
    case 0x80000006:
        r[2] = 2048u << 16 | 8 << 12 | 1 << 8 | 64;
        if (is_amd(m)) {
            r[1] = 0x42004200;
            r[3] = 32u << 18 | 8 << 12 | 1 << 8 | 64;
        }
        break;
    case 0x80000007:
        r[3] = m->words[FW_80000007_EDX];
        break;
    case 0x80000008:
        r[0] = m->phys_bits | (cpu_has(cpu, FEAT_LA57) ? 57 : 48) << 8;
        if (!cpu_has(cpu, FEAT_LM)) {
            r[0] = (cpu_has(cpu, FEAT_PSE36) ? 36 : 32) | 32 << 8;
        }
        r[1] = m->words[FW_80000008_EBX];
        if (per_socket() > 1) {
            r[2] = log2_up(per_socket()) << 12 | (per_socket() - 1);
        }
        break;
    case 0x8000001d:
        if (cpu_has(cpu, FEAT_TOPOEXT)) {
            leaf_cache(subleaf, false, r);
        }
        break;
    case 0x8000001e:
        if (cpu_has(cpu, FEAT_TOPOEXT)) {
            r[0] = cpu->apic_id;
            r[1] = cpu->apic_id / topo()->threads | (topo()->threads - 1) << 8;
        }
        break;
    }
}

void cpu_cpuid(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    memset(r, 0, 4 * sizeof(r[0]));
    if (leaf >= 0x40000000 && leaf < 0x40000100) {
        if (m->hypervisor) {
            leaf_hypervisor(m, leaf, r);
        }
        return;
    }
    if (leaf & 0x80000000) {
        if (leaf <= m->xlevel) {
            leaf_extended(cpu, leaf, subleaf, r);
            return;
        }
        leaf = m->level;        /* beyond the end: the last basic leaf */
    }
    if (leaf > m->level) {
        leaf = m->level;
    }
    switch (leaf) {
    case 0:
        leaf_vendor(m, m->level, r);
        break;
    case 1:
        leaf_1(cpu, r);
        break;
    case 2:
        if (!is_amd(m)) {
            r[0] = 0x00feff01;  /* see leaf 4; TLBs in leaf 0x18 */
        }
        break;
    case 4:
        if (!is_amd(m)) {
            leaf_cache(subleaf, true, r);
        }
        break;
    case 5:
        if (cpu_has(cpu, FEAT_MONITOR)) {
            r[0] = r[1] = 64;
            r[2] = 3;
        }
        break;
    case 6:
        r[0] = m->words[FW_6_EAX];
        break;
    case 7:
        if (subleaf == 0) {
            r[0] = m->words[FW_7_2_EDX] ? 2 : m->words[FW_7_1_EAX] ? 1 : 0;
            r[1] = m->words[FW_7_0_EBX];
            r[2] = m->words[FW_7_0_ECX] & ~BIT(4);
            r[3] = m->words[FW_7_0_EDX];
            r[2] |= cpu->state->cr4 & CR4_PKE ? BIT(4) : 0;
        } else if (subleaf == 1) {
            r[0] = m->words[FW_7_1_EAX];
        } else if (subleaf == 2) {
            r[3] = m->words[FW_7_2_EDX];
        }
        break;
    case 0xb:
    case 0x1f:
        leaf_topology(cpu, subleaf, r);
        break;
    case 0xd:
        leaf_xsave(cpu, subleaf, r);
        break;
    case 0x15:
        if (!is_amd(m) && cpu_tsc_hz() <= UINT32_MAX) {
            r[0] = r[1] = 1;    /* TSC over crystal */
            r[2] = cpu_tsc_hz();
        }
        break;
    case 0x16:
        r[0] = r[1] = MIN(cpu_tsc_hz() / 1000000, UINT16_MAX);
        r[2] = 100;
        break;
    }
}
