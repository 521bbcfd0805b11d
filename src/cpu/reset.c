/*
 * Processor state after power-up and INIT.
 *
 * Spec: Intel SDM volume 3A, table 10-1 ("IA-32 and Intel 64 Processor States
 *       Following Power-up, Reset, or INIT").
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#define PAT_RESET UINT64_C(0x0007040600070406)

enum {
    REAL_CODE = SEGA_P | SEGA_S | SEGA_CODE | SEGA_R | SEGA_A,
    REAL_DATA = SEGA_P | SEGA_S | SEGA_W | SEGA_A,
};

/* What INIT leaves alone: x87 and vectors, MSRs, CD and NW of CR0. */
static void reset_power_up_only(X86State *s)
{
    memset(s->fpr, 0, sizeof(s->fpr));
    memset(s->vec, 0, sizeof(s->vec));
    memset(s->opmask, 0, sizeof(s->opmask));
    memset(s->zmm_hi256, 0, sizeof(s->zmm_hi256));
    memset(s->hi16_zmm, 0, sizeof(s->hi16_zmm));
    s->fcw = 0x40;
    s->fsw = 0;
    s->ftw = 0xff;              /* tags: valid (zero) after reset */
    s->fop = s->fcs = s->fds = 0;
    s->fip = s->fdp = 0;
    s->mxcsr = 0x1f80;
    s->pkru = 0;
    s->xcr0 = XCR0_X87;
    s->cr0 = CR0_CD | CR0_NW;

    s->star = s->lstar = s->cstar = s->sfmask = 0;
    s->kernel_gs_base = s->tsc_aux = 0;
    s->sysenter_cs = s->sysenter_esp = s->sysenter_eip = 0;
    s->tsc_adjust = 0;
    s->pat = PAT_RESET;
    s->misc_enable = 1;         /* fast strings */
    s->ia32_xss = s->feature_control = s->spec_ctrl = 0;
    s->mtrr_def_type = 0;
    memset(s->mtrr_fixed, 0, sizeof(s->mtrr_fixed));
    memset(s->mtrr_base, 0, sizeof(s->mtrr_base));
    memset(s->mtrr_mask, 0, sizeof(s->mtrr_mask));
    s->mcg_status = s->mcg_pending = 0;
    s->aperf_offset = s->mperf_offset = 0;
    s->mcg_ctl = ~UINT64_C(0);
    memset(s->mce_bank, 0, sizeof(s->mce_bank));
    for (unsigned i = 0; i < MCE_N_BANKS; i++) {
        s->mce_bank[i][0] = ~UINT64_C(0);
    }
    s->smbase = 0x30000;
    s->debugctl = 0;
    s->kvm_system_time = s->kvm_wall_clock = 0;
    s->smi_count = 0;
    s->smm = s->smm_nmi_blocked = false;
}

void cpu_reset_state(X86Cpu *cpu, bool init_only)
{
    X86State *s = cpu->state;
    uint32_t r[4];

    if (!init_only) {
        reset_power_up_only(s);
        cpu_write_tsc(cpu, 0);
    }
    memset(s->gpr, 0, sizeof(s->gpr));
    cpu_cpuid(cpu, 1, 0, r);
    s->gpr[R_RDX] = r[0];       /* family, model, stepping */
    s->rip = 0xfff0;
    s->rflags = 2;
    for (unsigned i = 0; i < N_SEG; i++) {
        s->seg[i] = (X86Seg) { .limit = 0xffff, .attr = REAL_DATA };
    }
    s->seg[SEG_CS] = (X86Seg) {
        .selector = 0xf000, .base = 0xffff0000, .limit = 0xffff,
        .attr = REAL_CODE,
    };
    s->ldtr = (X86Seg) { .limit = 0xffff, .attr = SEGA_P | 2 };
    s->tr = (X86Seg) { .limit = 0xffff, .attr = SEGA_P | 0xb };
    s->gdtr = s->idtr = (X86Table) { .limit = 0xffff };
    s->cr0 = (s->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    s->cr2 = s->cr3 = s->cr4 = s->efer = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->exception = -1;
    s->interrupt_shadow = 0;
    s->nmi_blocked = false;
    s->halted = false;
    s->wait_sipi = !cpu->is_bsp;
}
