/*
 * Model-specific registers that do not depend on the accelerator.
 *
 * EFER, the segment bases, SYSCALL and SYSENTER belong to whoever executes
 * instructions; what is here is storage with rules.
 *
 * Spec:  Intel SDM volume 4; AMD APM volume 2, appendix A.
 * Locks: the vCPU's own thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include "base/log.h"
#include "cpu/features.h"
#include "cpu/lapic.h"
#include "kvmclock.h"

enum {
    MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b,
    MSR_EBL_CR_POWERON = 0x2a, MSR_SMI_COUNT = 0x34,
    MSR_FEATURE_CONTROL = 0x3a, MSR_TSC_ADJUST = 0x3b, MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49, MSR_BIOS_UPDT_TRIG = 0x79, MSR_BIOS_SIGN_ID = 0x8b,
    MSR_SMBASE = 0x9e, MSR_MPERF = 0xe7, MSR_APERF = 0xe8, MSR_MTRRCAP = 0xfe,
    MSR_ARCH_CAPABILITIES = 0x10a, MSR_FLUSH_CMD = 0x10b,
    MSR_MISC_FEATURES_ENABLES = 0x140,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a, MSR_MCG_CTL = 0x17b,
    MSR_PERF_STATUS = 0x198, MSR_PERF_CTL = 0x199,
    MSR_THERM_STATUS = 0x19c, MSR_MISC_ENABLE = 0x1a0,
    MSR_ENERGY_PERF_BIAS = 0x1b0, MSR_DEBUGCTL = 0x1d9,
    MSR_LASTBRANCHFROM = 0x1db, MSR_LASTINTTO = 0x1de,
    MSR_MTRR_PHYSBASE0 = 0x200, MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K_80000 = 0x258, MSR_MTRR_FIX16K_A0000 = 0x259,
    MSR_MTRR_FIX4K_C0000 = 0x268, MSR_MTRR_FIX4K_F8000 = 0x26f,
    MSR_PAT = 0x277, MSR_MTRR_DEF_TYPE = 0x2ff, MSR_MC0_CTL = 0x400,
    MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC_FIRST = 0x800,
    MSR_X2APIC_LAST = 0x8ff, MSR_XSS = 0xda0,
};
#define MSR_TSC_AUX        0xc0000103
#define MSR_K7_EVNTSEL0    0xc0010000
#define MSR_K7_PERFCTR3    0xc0010007
#define MSR_K8_SYSCFG      0xc0010010
#define MSR_K8_HWCR        0xc0010015
#define MSR_K8_TOP_MEM     0xc001001a
#define MSR_K8_TOP_MEM2    0xc001001d
#define MSR_K8_INT_PENDING 0xc0010055
#define MSR_AMD_PATCH      0xc001008b
#define MSR_AMD_OSVW_LEN   0xc0010140
#define MSR_AMD_OSVW       0xc0010141
#define MSR_AMD_DE_CFG     0xc0011029

/*
 * IA32_ARCH_CAPABILITIES: immune to Meltdown, L1TF, SSB, MDS, page-size-change
 * machine checks, TAA, the three of MMIO stale data, BHI, PBRSB, GDS, RFDS and
 * ITS, and IBRS protects for good.  With them a kernel leaves page-table
 * isolation and retpolines out, which would only slow an emulated processor.
 */
#define ARCH_CAPABILITIES                                                   \
    (BIT64(0) | BIT64(1) | BIT64(3) | BIT64(4) | BIT64(5) | BIT64(6)        \
     | BIT64(8) | BIT64(13) | BIT64(14) | BIT64(15) | BIT64(20) | BIT64(24) \
     | BIT64(26) | BIT64(27) | BIT64(62))

#define MCG_CAP (UINT64_C(1) << 8 | UINT64_C(1) << 24 | MCE_N_BANKS)
#define MTRRCAP (MTRR_N_VAR | 1 << 8 | 1 << 10)

/* Memory types that exist: UC WC WT WP WB, and UC- in the PAT. */
static bool type_valid(uint8_t type, bool pat)
{
    return type <= 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool types_valid(uint64_t val, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!type_valid(val >> (8 * i), pat)) {
            return false;
        }
    }
    return true;
}

static uint64_t *mtrr_fixed(X86State *s, uint32_t msr)
{
    switch (msr) {
    case MSR_MTRR_FIX64K:
        return &s->mtrr_fixed[0];
    case MSR_MTRR_FIX16K_80000:
    case MSR_MTRR_FIX16K_A0000:
        return &s->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K_80000];
    case MSR_MTRR_FIX4K_C0000 ... MSR_MTRR_FIX4K_F8000:
        return &s->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K_C0000];
    }
    return NULL;
}

static uint64_t *mtrr_variable(X86State *s, uint32_t msr)
{
    unsigned i = (msr - MSR_MTRR_PHYSBASE0) / 2;

    return (msr & 1) ? &s->mtrr_mask[i] : &s->mtrr_base[i];
}

static uint64_t *mce_register(X86State *s, uint32_t msr)
{
    return &s->mce_bank[(msr - MSR_MC0_CTL) / 4][(msr - MSR_MC0_CTL) % 4];
}

static bool is_apic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE
           || (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

/* Does the model have the feature that this MSR is part of? */
static bool msr_exists(const X86Cpu *cpu, uint32_t msr)
{
    switch (msr) {
    case MSR_MTRRCAP: case MSR_MTRR_DEF_TYPE: case MSR_MTRR_FIX64K:
    case MSR_MTRR_FIX16K_80000 ... MSR_MTRR_FIX16K_A0000:
    case MSR_MTRR_FIX4K_C0000 ... MSR_MTRR_FIX4K_F8000:
    case MSR_MTRR_PHYSBASE0 ... MSR_MTRR_PHYSBASE0 + 2 * MTRR_N_VAR - 1:
        return cpu_has(cpu, FEAT_MTRR);
    case MSR_PAT:
        return cpu_has(cpu, FEAT_PAT);
    case MSR_MCG_CAP: case MSR_MCG_STATUS: case MSR_MCG_CTL:
    case MSR_MC0_CTL ... MSR_MC0_CTL + 4 * MCE_N_BANKS - 1:
        return cpu_has(cpu, FEAT_MCA);
    case MSR_TSC_ADJUST:
        return cpu_has(cpu, FEAT_TSC_ADJUST);
    case MSR_TSC_AUX:
        return cpu_has(cpu, FEAT_RDTSCP) || cpu_has(cpu, FEAT_RDPID);
    case MSR_TSC_DEADLINE:
        return cpu_has(cpu, FEAT_TSC_DEADLINE);
    case MSR_SPEC_CTRL:
        return cpu_has(cpu, FEAT_SPEC_CTRL);
    case MSR_ARCH_CAPABILITIES:
        return cpu_has(cpu, FEAT_ARCH_CAPABILITIES);
    case MSR_XSS:
        return cpu_has(cpu, FEAT_XSAVES);
    }
    return true;
}

static bool read_msr(X86Cpu *cpu, uint32_t msr, uint64_t *val)
{
    X86State *s = cpu->state;

    *val = 0;
    if (!msr_exists(cpu, msr)) {
        return false;
    }
    if (is_apic_msr(msr)) {
        return lapic_rdmsr(cpu->apic, msr, val);
    }
    if (kvmclock_has(cpu, msr)) {
        *val = kvmclock_rdmsr(cpu, msr);
        return true;
    }
    switch (msr) {
    case MSR_TSC:
        *val = cpu_read_tsc(cpu);
        return true;
    case MSR_TSC_ADJUST:
        *val = s->tsc_adjust;
        return true;
    case MSR_TSC_AUX:
        *val = s->tsc_aux;
        return true;
    case MSR_SMI_COUNT:
        *val = (uint32_t)s->smi_count;
        return true;
    case MSR_FEATURE_CONTROL:
        *val = s->feature_control;
        return true;
    case MSR_SPEC_CTRL:
        *val = s->spec_ctrl;
        return true;
    case MSR_ARCH_CAPABILITIES:
        *val = ARCH_CAPABILITIES;
        return true;
    case MSR_BIOS_SIGN_ID:
        *val = s->microcode_rev ? s->microcode_rev : UINT64_C(1) << 32;
        return true;
    case MSR_AMD_PATCH:
        *val = 0x01000065;
        return true;
    case MSR_SMBASE:
        *val = s->smbase;
        return s->smm;
    case MSR_MPERF:
        *val = cpu_read_tsc(cpu) + s->mperf_offset;
        return true;
    case MSR_APERF:
        *val = cpu_read_tsc(cpu) + s->aperf_offset;
        return true;
    case MSR_MTRRCAP:
        *val = MTRRCAP;
        return true;
    case MSR_PLATFORM_INFO:
        *val = s->platform_info | (cpu_tsc_hz() / 100000000) << 8;
        return true;
    case MSR_MISC_FEATURES_ENABLES:
        *val = s->misc_features;
        return true;
    case MSR_MISC_ENABLE:
        *val = s->misc_enable;
        return true;
    case MSR_DEBUGCTL:
        *val = s->debugctl;
        return true;
    case MSR_MCG_CAP:
        *val = MCG_CAP;
        return true;
    case MSR_MCG_STATUS:
        *val = s->mcg_status;
        return true;
    case MSR_MCG_CTL:
        *val = s->mcg_ctl;
        return true;
    case MSR_MTRR_PHYSBASE0 ... MSR_MTRR_PHYSBASE0 + 2 * MTRR_N_VAR - 1:
        *val = *mtrr_variable(s, msr);
        return true;
    case MSR_PAT:
        *val = s->pat;
        return true;
    case MSR_MTRR_DEF_TYPE:
        *val = s->mtrr_def_type;
        return true;
    case MSR_MC0_CTL ... MSR_MC0_CTL + 4 * MCE_N_BANKS - 1:
        *val = *mce_register(s, msr);
        return true;
    case MSR_XSS:
        *val = s->ia32_xss;
        return true;
    case MSR_PERF_STATUS:
        *val = 1000 | UINT64_C(4) << 40;
        return true;
    case MSR_PLATFORM_ID: case MSR_PERF_CTL: case MSR_THERM_STATUS:
    case MSR_ENERGY_PERF_BIAS: case MSR_BIOS_UPDT_TRIG:
    case MSR_EBL_CR_POWERON:
    case MSR_LASTBRANCHFROM ... MSR_LASTINTTO:
    case MSR_K7_EVNTSEL0 ... MSR_K7_PERFCTR3:
    case MSR_K8_SYSCFG: case MSR_K8_HWCR:
    case MSR_K8_TOP_MEM: case MSR_K8_TOP_MEM2: case MSR_K8_INT_PENDING:
    case MSR_AMD_OSVW_LEN: case MSR_AMD_OSVW: case MSR_AMD_DE_CFG:
        return true;
    }
    if (mtrr_fixed(s, msr)) {
        *val = *mtrr_fixed(s, msr);
        return true;
    }
    return false;
}

static bool write_variable_mtrr(X86Cpu *cpu, uint32_t msr, uint64_t val)
{
    X86State *s = cpu->state;
    uint64_t reserved = ~UINT64_C(0) << cpu_phys_bits(cpu) | (msr & 1 ? 0x7ff : 0xf00);

    if ((val & reserved) || (!(msr & 1) && !type_valid(val & 0xff, false))) {
        return false;
    }
    *mtrr_variable(s, msr) = val;
    return true;
}

static bool write_msr(X86Cpu *cpu, uint32_t msr, uint64_t val)
{
    X86State *s = cpu->state;

    if (!msr_exists(cpu, msr)) {
        return false;
    }
    if (is_apic_msr(msr)) {
        return lapic_wrmsr(cpu->apic, msr, val);
    }
    if (kvmclock_has(cpu, msr)) {
        return kvmclock_wrmsr(cpu, msr, val);
    }
    switch (msr) {
    case MSR_TSC: {
        uint64_t old = s->tsc_offset;

        /* TSC_ADJUST follows a write of the TSC: SDM 3B 18.17.3. */
        cpu_write_tsc(cpu, val);
        s->tsc_adjust += s->tsc_offset - old;
        kvmclock_tsc_changed(cpu);
        return true;
    }
    case MSR_TSC_ADJUST:
        s->tsc_offset += val - s->tsc_adjust;
        s->tsc_adjust = val;
        kvmclock_tsc_changed(cpu);
        return true;
    case MSR_TSC_AUX:
        if (val >> 32) {
            return false;
        }
        s->tsc_aux = val;
        return true;
    case MSR_FEATURE_CONTROL:
        /* Locked; or what only VMX and local machine checks need. */
        if (s->feature_control & 1 || val & ~UINT64_C(0x100007)) {
            return false;
        }
        s->feature_control = val;
        return true;
    case MSR_SPEC_CTRL:
        if (val & ~UINT64_C(0x5ff)) {
            return false;
        }
        s->spec_ctrl = val;
        return true;
    case MSR_PRED_CMD:
        return (cpu_has(cpu, FEAT_SPEC_CTRL) || cpu_has(cpu, FEAT_IBPB))
               && val <= 1;
    case MSR_FLUSH_CMD:
        return cpu_has(cpu, FEAT_FLUSH_L1D) && val <= 1;
    case MSR_BIOS_SIGN_ID:
        s->microcode_rev = val;
        return true;
    case MSR_SMBASE:
        return false;
    case MSR_MISC_FEATURES_ENABLES:
        return !val;
    case MSR_MISC_ENABLE:
        s->misc_enable = val;
        return true;
    case MSR_DEBUGCTL:
        if (val & ~UINT64_C(0xffff)) {
            return false;
        }
        s->debugctl = val & 3;
        return true;
    case MSR_MCG_STATUS:
        s->mcg_status = val;
        return true;
    case MSR_MCG_CTL:
        if (val != 0 && val != ~UINT64_C(0)) {
            return false;
        }
        s->mcg_ctl = val;
        return true;
    case MSR_MTRR_PHYSBASE0 ... MSR_MTRR_PHYSBASE0 + 2 * MTRR_N_VAR - 1:
        return write_variable_mtrr(cpu, msr, val);
    case MSR_PAT:
        if (!types_valid(val, true)) {
            return false;
        }
        s->pat = val;
        return true;
    case MSR_MTRR_DEF_TYPE:
        if ((val & ~UINT64_C(0xcff)) || !type_valid(val & 0xff, false)) {
            return false;
        }
        s->mtrr_def_type = val;
        return true;
    case MSR_MC0_CTL ... MSR_MC0_CTL + 4 * MCE_N_BANKS - 1:
        /* CTL is all or nothing; STATUS may only be cleared. */
        if ((msr & 3) == 0 && val != 0 && val != ~UINT64_C(0)) {
            return false;
        }
        if ((msr & 3) == 1 && val != 0) {
            return false;
        }
        *mce_register(s, msr) = val;
        return true;
    case MSR_XSS:
        return val == 0;
    case MSR_MPERF:
        s->mperf_offset = val - cpu_read_tsc(cpu);
        return true;
    case MSR_APERF:
        s->aperf_offset = val - cpu_read_tsc(cpu);
        return true;
    case MSR_EBL_CR_POWERON:
    case MSR_PERF_CTL: case MSR_THERM_STATUS: case MSR_ENERGY_PERF_BIAS:
    case MSR_BIOS_UPDT_TRIG:
    case MSR_K7_EVNTSEL0 ... MSR_K7_PERFCTR3:
    case MSR_K8_SYSCFG: case MSR_K8_HWCR:
    case MSR_K8_INT_PENDING: case MSR_AMD_OSVW_LEN: case MSR_AMD_OSVW:
    case MSR_AMD_DE_CFG:
        return true;
    }
    if (mtrr_fixed(s, msr)) {
        if (!types_valid(val, false)) {
            return false;
        }
        *mtrr_fixed(s, msr) = val;
        return true;
    }
    return false;
}

/* --- those that do not exist ---------------------------------------------- */

bool cpu_ignore_msrs;

/* One line for each, whoever touches it first. */
static void note_unknown(const X86Cpu *cpu, const char *what, uint32_t msr,
                         uint64_t val)
{
    enum { N_NOTED = 64 };
    static uint32_t noted[N_NOTED];     /* (A) */
    uint32_t *place = &noted[msr % N_NOTED];

    if (log_on(LOG_UNIMP | LOG_GUEST_ERROR)
        && __atomic_exchange_n(place, msr, __ATOMIC_RELAXED) != msr) {
        log_write("cpu %u: %s 0x%" PRIx32 " (0x%" PRIx64 "): %s", cpu->index,
                  what, msr, val, cpu_ignore_msrs ? "ignored" : "#GP");
    }
}

bool cpu_rdmsr(X86Cpu *cpu, uint32_t msr, uint64_t *val)
{
    if (read_msr(cpu, msr, val)) {
        return true;
    }
    note_unknown(cpu, "rdmsr", msr, 0);
    *val = 0;
    return cpu_ignore_msrs;
}

bool cpu_wrmsr(X86Cpu *cpu, uint32_t msr, uint64_t val)
{
    uint64_t old;

    if (write_msr(cpu, msr, val)) {
        return true;
    }
    note_unknown(cpu, "wrmsr", msr, val);
    /* A wrong value for one that exists is still #GP. */
    return cpu_ignore_msrs && !read_msr(cpu, msr, &old);
}
