/*
 * What the emulator can give a guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/tcg.h"

#include "cpu/features.h"

static const uint16_t supported[] = {
    FEAT_FPU, FEAT_VME, FEAT_DE, FEAT_PSE, FEAT_TSC, FEAT_MSR, FEAT_PAE, FEAT_MCE,
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

void tcg_features(uint32_t *words)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(supported); i++) {
        words[supported[i] / 32] |= UINT32_C(1) << (supported[i] % 32);
    }
}
