/*
 * The architectural state of one x86 processor, as an accelerator keeps it.
 *
 * The accelerator allocates it: the emulator as the head of its environment,
 * KVM as a copy that it reads and writes through.  A vCPU's thread owns it
 * while the vCPU runs (V); anyone else stops the vCPU first.
 *
 * Spec: Intel SDM volumes 1 and 3; names are the SDM's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_STATE_H
#define CPU_STATE_H

#include "base/bits.h"

enum {
    R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI,
    R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15, N_GPR
};

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, N_SEG };

/* RFLAGS */
enum {
    FL_CF = 1 << 0, FL_PF = 1 << 2, FL_AF = 1 << 4, FL_ZF = 1 << 6,
    FL_SF = 1 << 7, FL_TF = 1 << 8, FL_IF = 1 << 9, FL_DF = 1 << 10,
    FL_OF = 1 << 11, FL_IOPL = 3 << 12, FL_NT = 1 << 14, FL_RF = 1 << 16,
    FL_VM = 1 << 17, FL_AC = 1 << 18, FL_VIF = 1 << 19, FL_VIP = 1 << 20,
    FL_ID = 1 << 21,
    FL_ARITH = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF,
};

/* CR0, CR4, EFER, XCR0 */
enum {
    CR0_PE = 1 << 0, CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3,
    CR0_ET = 1 << 4, CR0_NE = 1 << 5, CR0_WP = 1 << 16, CR0_AM = 1 << 18,
    CR0_NW = 1 << 29, CR0_CD = 1 << 30,
};
#define CR0_PG UINT32_C(0x80000000)
enum {
    CR4_VME = 1 << 0, CR4_PVI = 1 << 1, CR4_TSD = 1 << 2, CR4_DE = 1 << 3,
    CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_MCE = 1 << 6, CR4_PGE = 1 << 7,
    CR4_PCE = 1 << 8, CR4_OSFXSR = 1 << 9, CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11, CR4_LA57 = 1 << 12, CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17, CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21, CR4_PKE = 1 << 22,
};
enum {
    EFER_SCE = 1 << 0, EFER_LME = 1 << 8, EFER_LMA = 1 << 10,
    EFER_NXE = 1 << 11, EFER_SVME = 1 << 12, EFER_LMSLE = 1 << 13,
    EFER_FFXSR = 1 << 14,
};
enum {
    XCR0_X87 = 1 << 0, XCR0_SSE = 1 << 1, XCR0_AVX = 1 << 2,
    XCR0_OPMASK = 1 << 5, XCR0_ZMM_HI256 = 1 << 6, XCR0_HI16_ZMM = 1 << 7,
    XCR0_AVX512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM,
    XCR0_PKRU = 1 << 9,
};

/* Exception vectors */
enum {
    EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5,
    EXC_UD = 6, EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11,
    EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16, EXC_AC = 17,
    EXC_MC = 18, EXC_XM = 19,
};

/*
 * A segment register with its hidden part.  `attr` holds bits 40 to 55 of the
 * descriptor (type, S, DPL, P, AVL, L, D/B, G) in its low 16 bits, limit bits
 * 48-51 zero; `limit` is in bytes, G applied.
 */
typedef struct X86Seg {
    uint16_t selector;
    uint16_t attr;
    uint32_t limit;
    uint64_t base;
} X86Seg;

enum {                          /* of attr */
    SEGA_TYPE = 0xf, SEGA_A = 1, SEGA_W = 2, SEGA_R = 2, SEGA_E = 4,
    SEGA_C = 4, SEGA_CODE = 8, SEGA_S = 1 << 4, SEGA_DPL = 3 << 5,
    SEGA_DPL_SHIFT = 5, SEGA_P = 1 << 7, SEGA_AVL = 1 << 12, SEGA_L = 1 << 13,
    SEGA_DB = 1 << 14, SEGA_G = 1 << 15,
    SEGA_NULL = 1 << 8,         /* ours: loaded with a null selector */
};

typedef struct X86Table {
    uint64_t base;
    uint16_t limit;
} X86Table;

typedef union X86Vec {          /* one YMM register */
    uint8_t b[32];
    uint16_t w[16];
    uint32_t d[8];
    uint64_t q[4];
} __attribute__((aligned(32))) X86Vec;

typedef union X86Fp {           /* one x87 register: 80 bits, or MMX in low 64 */
    uint8_t b[16];
    uint64_t q[2];
    struct {
        uint64_t mant;
        uint16_t exp_sign;
    };
} __attribute__((aligned(16))) X86Fp;

enum { MTRR_N_VAR = 8, MCE_N_BANKS = 10 };

typedef struct X86State {
    /* General.  gpr[16] is always 0 and gpr[17] is the emulator's: see
     * accel/tcg/insn.h; KVM ignores both. */
    uint64_t gpr[N_GPR + 2];
    uint64_t rip;
    /* All of RFLAGS when synchronised.  While the emulator runs, the
     * arithmetic flags live elsewhere. */
    uint64_t rflags;

    X86Seg seg[N_SEG], ldtr, tr;
    X86Table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t dr[8];             /* 4 and 5 unused */

    /* x87 and vectors.  fpr[i] is physical register i; ST(j) is
     * fpr[(top + j) & 7]; top is bits 11-13 of fsw. */
    X86Fp fpr[8];
    uint16_t fcw, fsw;
    uint8_t ftw;                /* abridged: bit i set: fpr[i] is not empty */
    uint16_t fop, fcs, fds;
    uint64_t fip, fdp;
    uint32_t mxcsr;
    uint32_t pkru;
    X86Vec vec[16];

    /* MSRs */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_adjust, tsc_offset;    /* guest TSC = clock + offset */
    uint64_t pat, misc_enable, ia32_xss, feature_control, spec_ctrl;
    uint64_t mtrr_def_type, mtrr_fixed[11];
    uint64_t mtrr_base[MTRR_N_VAR], mtrr_mask[MTRR_N_VAR];
    uint64_t aperf_offset, mperf_offset;    /* from the TSC */
    uint64_t mcg_pending;       /* MCG_STATUS of the #MC under way */
    uint64_t mcg_status, mcg_ctl, mce_bank[MCE_N_BANKS][4];
    uint64_t smbase, smi_count, debugctl, platform_info, misc_features, microcode_rev;
    uint64_t kvm_system_time, kvm_wall_clock;

    /* Events */
    int32_t exception;          /* being delivered, for #DF; -1 none */
    uint8_t interrupt_shadow;   /* 1 STI, 2 MOV SS */
    bool nmi_blocked;
    bool smm;                   /* in system management mode */
    bool smm_nmi_blocked;       /* nmi_blocked as it was before */
    bool halted;                /* HLT */
    bool wait_sipi;             /* after INIT */

    /* AVX-512 as XSAVE stores it.  Only KVM's guests have it: the emulator
     * carries it and has no instructions for it. */
    uint64_t opmask[8];
    uint64_t zmm_hi256[16 * 4]; /* bits 256 to 511 of ZMM0 to ZMM15 */
    uint64_t hi16_zmm[16 * 8];  /* ZMM16 to ZMM31 */
} X86State;

static inline unsigned x86_cpl(const X86State *s)
{
    /* In real mode SS.DPL is 0 and in virtual-8086 mode 3: loaders of SS keep
     * it so, because SS.DPL, not CS.RPL, is the CPL (SDM 3A 5.5). */
    return (s->seg[SEG_SS].attr & SEGA_DPL) >> SEGA_DPL_SHIFT;
}

#endif
