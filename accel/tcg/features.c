/*
 * What the emulator can give a guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"

#include "cpu/features.h"

#include <cpuid.h>

static const uint16_t supported[] = {
    FEAT_FPU, FEAT_VME, FEAT_DE, FEAT_PSE, FEAT_TSC, FEAT_MSR, FEAT_PAE,
    FEAT_MCE,
    FEAT_CX8, FEAT_APIC, FEAT_SEP, FEAT_MTRR, FEAT_PGE, FEAT_MCA, FEAT_CMOV,
    FEAT_PAT, FEAT_PSE36, FEAT_CLFLUSH, FEAT_MMX, FEAT_FXSR, FEAT_SSE,
    FEAT_SSE2, FEAT_SSE3, FEAT_CX16, FEAT_X2APIC, FEAT_HYPERVISOR,
    FEAT_SYSCALL, FEAT_NX, FEAT_LM, FEAT_LAHF_LM,
    FEAT_TSC_DEADLINE, FEAT_TSC_ADJUST, FEAT_INVTSC, FEAT_ARAT,
    /* A guest does not speculate here: these let kernels know. */
    FEAT_SPEC_CTRL, FEAT_STIBP, FEAT_SSBD, FEAT_ARCH_CAPABILITIES,
    FEAT_MD_CLEAR, FEAT_FLUSH_L1D, FEAT_INTEL_PSFD, FEAT_IPRED_CTRL,
    FEAT_RRSBA_CTRL, FEAT_DDPD_U, FEAT_BHI_CTRL, FEAT_MCDT_NO,
};

/* Run by the same instruction of the host, so it must have it. */
static const uint16_t on_host[] = {
    FEAT_SSSE3, FEAT_SSE4_1, FEAT_SSE4_2, FEAT_AES, FEAT_PCLMULQDQ,
    FEAT_SHA_NI,
};

static bool host_has(unsigned feature)
{
    unsigned a, b, c, d;

    switch (feature / 32) {
    case FW_1_ECX:
        return __get_cpuid(1, &a, &b, &c, &d) && c >> feature % 32 & 1;
    case FW_7_0_EBX:
        return __get_cpuid_count(7, 0, &a, &b, &c, &d)
               && b >> feature % 32 & 1;
    default:
        return false;
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
