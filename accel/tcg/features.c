/*
 * What the emulator can give a guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/host-features.h"

#include "accel/tcg/tcg.h"
#include "base/log.h"
#include "cpu/features.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

static const uint16_t supported[] = {
    FEAT_FPU, FEAT_VME, FEAT_DE, FEAT_PSE, FEAT_TSC, FEAT_MSR, FEAT_PAE,
    FEAT_MCE, FEAT_CX8, FEAT_APIC, FEAT_SEP, FEAT_MTRR, FEAT_PGE, FEAT_MCA,
    FEAT_CMOV, FEAT_PAT, FEAT_PSE36, FEAT_CLFLUSH, FEAT_MMX, FEAT_FXSR,
    FEAT_SSE, FEAT_SSE2, FEAT_SSE3, FEAT_MONITOR, FEAT_CX16, FEAT_PCID, FEAT_X2APIC,
    FEAT_MOVBE, FEAT_POPCNT, FEAT_TSC_DEADLINE, FEAT_XSAVE, FEAT_RDRAND,
    FEAT_HYPERVISOR,
    FEAT_FSGSBASE, FEAT_TSC_ADJUST, FEAT_BMI1, FEAT_SMEP, FEAT_BMI2,
    FEAT_ERMS, FEAT_INVPCID, FEAT_RDSEED, FEAT_ADX, FEAT_SMAP,
    FEAT_CLFLUSHOPT, FEAT_CLWB, FEAT_UMIP, FEAT_PKU, FEAT_RDPID,
    FEAT_CLDEMOTE, FEAT_MOVDIRI, FEAT_MOVDIR64B, FEAT_FSRM, FEAT_SERIALIZE,
    FEAT_SYSCALL, FEAT_NX, FEAT_PDPE1GB, FEAT_RDTSCP, FEAT_LM, FEAT_LAHF_LM,
    FEAT_ABM, FEAT__3DNOWPREFETCH, FEAT_INVTSC, FEAT_WBNOINVD,
    FEAT_XSAVEOPT, FEAT_XSAVEC, FEAT_XGETBV1, FEAT_XSAVES, FEAT_ARAT,
    /* A guest does not speculate here: these let kernels know. */
    FEAT_SPEC_CTRL, FEAT_STIBP, FEAT_SSBD, FEAT_ARCH_CAPABILITIES,
    FEAT_MD_CLEAR, FEAT_FLUSH_L1D, FEAT_INTEL_PSFD, FEAT_IPRED_CTRL,
    FEAT_RRSBA_CTRL, FEAT_DDPD_U, FEAT_BHI_CTRL, FEAT_MCDT_NO,
};

/* On x86-64 run by the same instruction of the host, so it must have it. */
static const uint16_t on_host[] = {
    FEAT_SSSE3, FEAT_SSE4_1, FEAT_SSE4_2, FEAT_AES, FEAT_PCLMULQDQ,
    FEAT_SHA_NI, FEAT_AVX, FEAT_AVX2, FEAT_FMA, FEAT_F16C,
};

TcgHost tcg_host;

static bool host_has(unsigned feature)
{
    bool vex = feature == FEAT_AVX2 || feature == FEAT_FMA
               || feature == FEAT_F16C;

    if ((tcg_host.no_avx && (vex || feature == FEAT_AVX))
        || (tcg_host.no_avx2 && vex)) {
        return false;
    }
#ifdef __x86_64__
    unsigned a, b, c, d;

    /* Without the host kernel's support for YMM there is no AVX. */
    if ((vex || feature == FEAT_AVX) && !__builtin_cpu_supports("avx")) {
        return false;
    }
    switch (feature / 32) {
    case FW_1_ECX:
        return __get_cpuid(1, &a, &b, &c, &d) && c >> feature % 32 & 1;
    case FW_7_0_EBX:
        return __get_cpuid_count(7, 0, &a, &b, &c, &d)
               && b >> feature % 32 & 1;
    default:
        return false;
    }
#else
    return true;                /* interp/soft */
#endif
}

void tcg_features_begin(TcgHost host)
{
    tcg_host = host;
    if (!host_has(FEAT_AVX2)) {
        warn("accelerator 'tcg': this host's processor lacks %s, and so do "
             "guests'", host_has(FEAT_AVX) ? "AVX2" : "AVX");
    }
}

void tcg_features(uint32_t *words)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(supported); i++) {
        words[supported[i] / 32] |= UINT32_C(1) << (supported[i] % 32);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(on_host); i++) {
        if (host_has(on_host[i])) {
            words[on_host[i] / 32] |= UINT32_C(1) << (on_host[i] % 32);
        }
    }
}
