/*
 * Register dumps, and the state table of a vCPU.
 *
 * Locks: the vCPU is stopped, or the caller is its thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

static bool in_code64(const X86State *s)
{
    return s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEGA_L;
}

static const uint8_t print_order[N_GPR] = {
    R_RAX, R_RBX, R_RCX, R_RDX, R_RSI, R_RDI, R_RBP, R_RSP,
    R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15,
};

static void print_gprs(const X86State *s, GString *out)
{
    static const char *const names[N_GPR] = {
        "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
        "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15",
    };

    for (unsigned i = 0; i < (in_code64(s) ? N_GPR : 8); i++) {
        unsigned n = print_order[i];
        char end = i % 4 == 3 ? '\n' : ' ';

        if (in_code64(s)) {
            g_string_append_printf(out, "%s=%016" PRIx64 "%c", names[n],
                                   s->gpr[n], end);
        } else {
            g_string_append_printf(out, "E%s=%08x%c", names[n] + 1,
                                   (uint32_t)s->gpr[n], end);
        }
    }
}

static void print_flags(const X86State *s, GString *out)
{
    static const struct {
        uint32_t bit;
        char name;
    } flags[] = {
        { FL_DF, 'D' }, { FL_OF, 'O' }, { FL_SF, 'S' }, { FL_ZF, 'Z' },
        { FL_AF, 'A' }, { FL_PF, 'P' }, { FL_CF, 'C' },
    };

    if (in_code64(s)) {
        g_string_append_printf(out, "RIP=%016" PRIx64 " RFL=%08x [", s->rip,
                               (uint32_t)s->rflags);
    } else {
        g_string_append_printf(out, "EIP=%08x EFL=%08x [", (uint32_t)s->rip,
                               (uint32_t)s->rflags);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_string_append_c(out, s->rflags & flags[i].bit ? flags[i].name
                                                       : '-');
    }
    g_string_append_printf(out, "] CPL=%u II=%d A20=%d SMM=%d HLT=%d\n",
                           x86_cpl(s), s->interrupt_shadow != 0, cpu_a20(),
                           s->smm, s->halted);
}

/* What QEMU's dump says after the numbers. */
static void print_rights(const X86State *s, const X86Seg *seg, GString *out)
{
    static const char *const system[2][16] = {
        { "Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16",
          "TaskGate", "IntGate16", "TrapGate16", "Reserved", "TSS32-avl",
          "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32",
          "TrapGate32" },
        { "<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved",
          "Reserved", "Reserved", "Reserved", "TSS64-avl", "Reserved",
          "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64" },
    };
    unsigned a = seg->attr;

    if (!(s->cr0 & CR0_PE) || !(a & SEGA_P)) {
        return;
    }
    g_string_append_printf(out, " DPL=%u ", (a & SEGA_DPL) >> SEGA_DPL_SHIFT);
    if (!(a & SEGA_S)) {
        g_string_append(out, system[!!(s->efer & EFER_LMA)][a & SEGA_TYPE]);
    } else if (a & SEGA_CODE) {
        g_string_append_printf(out, "%s [%c%c%c]", a & SEGA_L ? "CS64"
                               : a & SEGA_DB ? "CS32" : "CS16",
                               a & SEGA_C ? 'C' : '-', a & SEGA_R ? 'R' : '-',
                               a & SEGA_A ? 'A' : '-');
    } else {
        g_string_append_printf(out, "%s [%c%c%c]",
                               a & SEGA_DB || in_code64(s) ? "DS  " : "DS16",
                               a & SEGA_E ? 'E' : '-', a & SEGA_W ? 'W' : '-',
                               a & SEGA_A ? 'A' : '-');
    }
}

static void print_segment(const X86State *s, const char *name,
                          const X86Seg *seg, GString *out)
{
    uint32_t flags = (uint32_t)(seg->attr & 0xf0ff) << 8;

    if (s->efer & EFER_LMA) {
        g_string_append_printf(out, "%-3s=%04x %016" PRIx64 " %08x %08x",
                               name, seg->selector, seg->base, seg->limit,
                               flags);
    } else {
        g_string_append_printf(out, "%-3s=%04x %08x %08x %08x", name,
                               seg->selector, (uint32_t)seg->base, seg->limit,
                               flags);
    }
    print_rights(s, seg, out);
    g_string_append_c(out, '\n');
}

static void print_control(const X86State *s, GString *out)
{
    bool lma = s->efer & EFER_LMA;

    if (lma) {
        g_string_append_printf(out, "GDT=     %016" PRIx64 " %08x\n"
                               "IDT=     %016" PRIx64 " %08x\n",
                               s->gdtr.base, s->gdtr.limit, s->idtr.base,
                               s->idtr.limit);
        g_string_append_printf(out, "CR0=%08x CR2=%016" PRIx64 " CR3=%016"
                               PRIx64 " CR4=%08x\n", (uint32_t)s->cr0,
                               s->cr2, s->cr3, (uint32_t)s->cr4);
    } else {
        g_string_append_printf(out, "GDT=     %08x %08x\n"
                               "IDT=     %08x %08x\n",
                               (uint32_t)s->gdtr.base, s->gdtr.limit,
                               (uint32_t)s->idtr.base, s->idtr.limit);
        g_string_append_printf(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n",
                               (uint32_t)s->cr0, (uint32_t)s->cr2,
                               (uint32_t)s->cr3, (uint32_t)s->cr4);
    }
    for (unsigned i = 0; i < 4; i++) {
        g_string_append_printf(out, "DR%u=%0*" PRIx64 "%c", i, lma ? 16 : 8,
                               s->dr[i], i == 3 ? '\n' : ' ');
    }
    g_string_append_printf(out, "DR6=%0*" PRIx64 " DR7=%0*" PRIx64 "\n",
                           lma ? 16 : 8, s->dr[6], lma ? 16 : 8, s->dr[7]);
    g_string_append_printf(out, "EFER=%016" PRIx64 "\n", s->efer);
}

static void print_fpu(const X86State *s, GString *out)
{
    g_string_append_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x "
                           "MXCSR=%08x\n", s->fcw, s->fsw, s->fsw >> 11 & 7,
                           (uint8_t)~s->ftw, s->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        g_string_append_printf(out, "FPR%u=%016" PRIx64 " %04x%c", i,
                               s->fpr[i].mant, s->fpr[i].exp_sign,
                               i % 2 ? '\n' : ' ');
    }
    for (unsigned i = 0; i < (in_code64(s) ? 16 : 8); i++) {
        g_string_append_printf(out, "XMM%02u=%016" PRIx64 "%016" PRIx64 "%c",
                               i, s->vec[i].q[1], s->vec[i].q[0],
                               i % 2 ? '\n' : ' ');
    }
}

void cpu_print_registers(X86Cpu *cpu, GString *out)
{
    static const char *const segs[N_SEG] = { "ES", "CS", "SS", "DS", "FS",
                                             "GS" };
    const X86State *s = cpu->state;

    g_string_append_printf(out, "\nCPU#%u\n", cpu->index);
    print_gprs(s, out);
    print_flags(s, out);
    for (unsigned i = 0; i < N_SEG; i++) {
        print_segment(s, segs[i], &s->seg[i], out);
    }
    print_segment(s, "LDT", &s->ldtr, out);
    print_segment(s, "TR", &s->tr, out);
    print_control(s, out);
    print_fpu(s, out);
}

/* --- state table ---------------------------------------------------------- */

static const State seg_state = {
    .name = "segment", .version = 1,
    .fields = (const StateField[]) {
        STATE_U16(X86Seg, selector), STATE_U16(X86Seg, attr),
        STATE_U32(X86Seg, limit), STATE_U64(X86Seg, base), {}
    },
};

static const State table_state = {
    .name = "table", .version = 1,
    .fields = (const StateField[]) {
        STATE_U64(X86Table, base), STATE_U16(X86Table, limit), {}
    },
};

static const State fp_state = {
    .name = "fpr", .version = 1,
    .fields = (const StateField[]) {
        STATE_U64(X86Fp, mant), STATE_U16(X86Fp, exp_sign), {}
    },
};

static const State vec_state = {
    .name = "vec", .version = 1,
    .fields = (const StateField[]) { STATE_U64_ARRAY(X86Vec, q), {} },
};

static const State bank_state = {
    .name = "mce-bank", .version = 1,
    .fields = (const StateField[]) {
        { .name = "bank", .kind = STATE_KIND_UINT, .size = 8, .n = 4 }, {}
    },
};

static const State x86_state = {
    .name = "cpu", .version = 1,
    .fields = (const StateField[]) {
        STATE_U64_ARRAY(X86State, gpr), STATE_U64(X86State, rip),
        STATE_U64(X86State, rflags),
        STATE_STRUCT_ARRAY(X86State, seg, &seg_state),
        STATE_STRUCT(X86State, ldtr, &seg_state),
        STATE_STRUCT(X86State, tr, &seg_state),
        STATE_STRUCT(X86State, gdtr, &table_state),
        STATE_STRUCT(X86State, idtr, &table_state),
        STATE_U64(X86State, cr0), STATE_U64(X86State, cr2),
        STATE_U64(X86State, cr3), STATE_U64(X86State, cr4),
        STATE_U64(X86State, efer), STATE_U64(X86State, xcr0),
        STATE_U64_ARRAY(X86State, dr),
        STATE_STRUCT_ARRAY(X86State, fpr, &fp_state),
        STATE_U16(X86State, fcw), STATE_U16(X86State, fsw),
        STATE_U8(X86State, ftw), STATE_U16(X86State, fop),
        STATE_U16(X86State, fcs), STATE_U16(X86State, fds),
        STATE_U64(X86State, fip), STATE_U64(X86State, fdp),
        STATE_U32(X86State, mxcsr), STATE_U32(X86State, pkru),
        STATE_STRUCT_ARRAY(X86State, vec, &vec_state),
        STATE_U64(X86State, star), STATE_U64(X86State, lstar),
        STATE_U64(X86State, cstar), STATE_U64(X86State, sfmask),
        STATE_U64(X86State, kernel_gs_base), STATE_U64(X86State, tsc_aux),
        STATE_U64(X86State, sysenter_cs), STATE_U64(X86State, sysenter_esp),
        STATE_U64(X86State, sysenter_eip), STATE_U64(X86State, tsc_adjust),
        STATE_U64(X86State, tsc_offset), STATE_U64(X86State, pat),
        STATE_U64(X86State, misc_enable), STATE_U64(X86State, ia32_xss),
        STATE_U64(X86State, feature_control), STATE_U64(X86State, spec_ctrl),
        STATE_U64(X86State, mtrr_def_type),
        STATE_U64_ARRAY(X86State, mtrr_fixed),
        STATE_U64_ARRAY(X86State, mtrr_base),
        STATE_U64_ARRAY(X86State, mtrr_mask),
        STATE_U64(X86State, aperf_offset), STATE_U64(X86State, mperf_offset),
        STATE_U64(X86State, mcg_pending), STATE_U64(X86State, mcg_status), STATE_U64(X86State, mcg_ctl),
        STATE_STRUCT_ARRAY(X86State, mce_bank, &bank_state),
        STATE_U64(X86State, smbase), STATE_U64(X86State, smi_count),
        STATE_U64(X86State, debugctl),
        STATE_U64(X86State, platform_info),
        STATE_U64(X86State, misc_features),
        STATE_U64(X86State, kvm_system_time),
        STATE_U64(X86State, kvm_wall_clock),
        STATE_U64(X86State, microcode_rev), STATE_I32(X86State, exception),
        STATE_U8(X86State, interrupt_shadow),
        STATE_BOOL(X86State, nmi_blocked), STATE_BOOL(X86State, smm),
        STATE_BOOL(X86State, smm_nmi_blocked),
        STATE_BOOL(X86State, halted), STATE_BOOL(X86State, wait_sipi),
        STATE_U64_ARRAY(X86State, opmask),
        STATE_U64_ARRAY(X86State, zmm_hi256),
        STATE_U64_ARRAY(X86State, hi16_zmm), {}
    },
};

const State *cpu_state_table(void)
{
    return &x86_state;
}
