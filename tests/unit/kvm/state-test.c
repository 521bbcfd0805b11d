/*
 * KVM: the state there and back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

/* One that the model has and KVM has not, one that nobody has. */
GUEST_CODE(code_msrs, "64",
           "lidt 0x6100\n"
           "lgdt 0x6110\n"
           "mov $0x7000, %rsp\n"
           "mov $0x1b0, %ecx\n"
           "mov $-1, %rax\n"
           "rdmsr\n"
           "mov %rax, %r8\n"
           "mov $0x12345, %ecx\n"
           "rdmsr\n"
           "wrmsr\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

GUEST_CODE(code_msrs_handler, "64",
           "incq %r14\n"
           "pop %r13\n"
           "addq $2, (%rsp)\n"
           "iretq\n");

static void test_msrs(void)
{
    KvmCpu *k = kvm_cpu(guest_cpu(0));
    uint64_t n = k->n_exits[KVM_EXIT_X86_RDMSR];

    guest_reset();
    set_up_gate(EXC_GP);
    GUEST_LOAD(0x2000, code_msrs_handler);
    start_long(code_msrs, code_msrs_end);
    g_assert_cmphex(guest_run(1), ==, 0);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_R14], ==,
                     kvm.user_msrs ? 2 : 3);
    if (kvm.user_msrs) {
        g_assert_cmphex(guest_cpu(0)->state->gpr[R_R8], ==, 0);
        g_assert_cmpuint(k->n_exits[KVM_EXIT_X86_RDMSR], ==, n + 2);
    }
}

/* --- byte for byte ------------------------------------------------------------------ */

enum { JUNK = 0x5a };

/* MSRs that a KVM may not have: then their place in X86State is ours alone. */
static const struct {
    uint32_t msr;
    size_t offset;
} optional[] = {
    { 0x48, offsetof(X86State, spec_ctrl) },
    { 0x9e, offsetof(X86State, smbase) },
    { 0xda0, offsetof(X86State, ia32_xss) },
    { 0xc0000103, offsetof(X86State, tsc_aux) },
};

static char *dump_state(X86Cpu *cpu)
{
    GString *out = g_string_new(NULL);

    state_dump(cpu_state_table(), cpu->state, out);
    return g_string_free(out, FALSE);
}

/* Every field that KVM models has a value of its own. */
static void fill(X86Cpu *cpu)
{
    X86State *s = cpu->state;

    for (unsigned i = 0; i < N_GPR; i++) {
        s->gpr[i] = UINT64_C(0x0101010101010101) * (i + 1);
    }
    s->rflags = 0x8d7;
    s->seg[SEG_FS].base = UINT64_C(0x00007f1234567000);
    s->seg[SEG_GS].base = UINT64_C(0xffff888001234000);
    s->seg[SEG_ES] = (X86Seg) { .attr = SEGA_NULL };
    s->ldtr = (X86Seg) { 0x28, SEGA_P | 2, 0x7f, 0x6800 };
    s->tr = (X86Seg) { 0x30, SEGA_P | 0xb, 0x67, 0x6900 };
    s->gdtr = (X86Table) { 0x6200, 0x3f };
    s->idtr = (X86Table) { 0x8000, 0xfff };
    s->cr2 = 0x1234000;
    s->xcr0 = kvm.xcrs ? cpu_xcr0_supported(cpu) | XCR0_X87 : XCR0_X87;
    for (unsigned i = 0; i < 4; i++) {
        s->dr[i] = 0x1000 * (i + 1);
    }
    s->dr[6] = 0xffff0ff2;
    s->dr[7] = 0x402;
    s->fcw = 0x27f;
    s->fsw = 3 << 11;
    s->ftw = 0x81;
    s->fop = 0x123;
    s->fip = 0x12345678;
    s->fdp = 0x23456789;
    s->mxcsr = 0x1fa0;
    for (unsigned i = 0; i < 8; i++) {
        s->fpr[i].mant = UINT64_C(0x8000000000000000) | i;
        s->fpr[i].exp_sign = 0x3fff + i;
    }
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned q = 0; q < (s->xcr0 & XCR0_AVX ? 4 : 2); q++) {
            s->vec[i].q[q] = i + (UINT64_C(0x1111111100000000) << q);
        }
    }
    s->pkru = s->xcr0 & XCR0_PKRU ? 0x55555554 : 0;
    if (s->xcr0 & XCR0_OPMASK) {
        memset(s->opmask, 0x11, sizeof(s->opmask));
        memset(s->zmm_hi256, 0x22, sizeof(s->zmm_hi256));
        memset(s->hi16_zmm, 0x33, sizeof(s->hi16_zmm));
    }
    s->star = UINT64_C(0x0023001000000000);
    s->lstar = UINT64_C(0xffffffff81000000);
    s->cstar = UINT64_C(0xffffffff81001000);
    s->sfmask = 0x47700;
    s->kernel_gs_base = UINT64_C(0xffff888000000000);
    s->sysenter_cs = 0x10;
    s->sysenter_esp = UINT64_C(0xffffffff81002000);
    s->sysenter_eip = UINT64_C(0xffffffff81003000);
    s->tsc_aux = 3;
    s->tsc_adjust = cpu_has(cpu, FEAT_TSC_ADJUST) ? 0x1000 : 0;
    s->pat = UINT64_C(0x0007010600070106);
    /* Only where KVM has something that it controls. */
    s->feature_control = kvm_set_msr(kvm_cpu(cpu), 0x3a, 1);
    s->mtrr_def_type = 0xc06;
    for (unsigned i = 0; i < 11; i++) {
        s->mtrr_fixed[i] = i & 1 ? UINT64_C(0x0606060606060606)
                                 : UINT64_C(0x0505050505050505);
    }
    for (unsigned i = 0; i < MTRR_N_VAR; i++) {
        s->mtrr_base[i] = i << 20 | 6;
        s->mtrr_mask[i] = UINT64_C(0xffff00000) | 0x800;
    }
    s->mcg_status = 4;
    for (unsigned i = 0; i < MCE_N_BANKS; i++) {
        s->mce_bank[i][1] = UINT64_C(0x8000000000000000) | i;
        s->mce_bank[i][2] = 0x1000 * i;
        s->mce_bank[i][3] = 0x80 + i;
    }
    s->smi_count = 7;
    s->kvm_system_time = 0x9001;
    s->kvm_wall_clock = 0x9100;
    s->nmi_blocked = true;
    s->interrupt_shadow = 1;
}

/* What is ours alone; all the rest must come from KVM. */
static void keep_ours(X86Cpu *cpu, const X86State *old)
{
    X86State *s = cpu->state;
    uint64_t val;

    memcpy(s->gpr + N_GPR, old->gpr + N_GPR, sizeof(s->gpr[0]) * 2);
    s->dr[4] = old->dr[4];
    s->dr[5] = old->dr[5];
    s->fcs = old->fcs;          /* KVM's area has 64-bit pointers */
    s->fds = old->fds;
    s->aperf_offset = old->aperf_offset;
    s->mperf_offset = old->mperf_offset;
    s->mcg_pending = old->mcg_pending;
    s->platform_info = old->platform_info;
    s->microcode_rev = old->microcode_rev;
    s->exception = old->exception;
    if (!kvm_apic_in_kernel()) {
        s->halted = old->halted;
        s->wait_sipi = old->wait_sipi;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(optional); i++) {
        if (!kvm_get_msr(kvm_cpu(cpu), optional[i].msr, &val)) {
            memcpy((char *)s + optional[i].offset,
                   (const char *)old + optional[i].offset, sizeof(val));
        }
    }
}

static void test_state(void)
{
    X86Cpu *cpu = guest_cpu(0);
    KvmCpu *k = kvm_cpu(cpu);
    g_autofree char *before = NULL, *after = NULL;
    X86State old;

    guest_reset();
    guest_long(0, 0x1000, 0x100000);
    fill(cpu);
    cpu->accel->put_state(cpu);
    old = *cpu->state;
    before = dump_state(cpu);
    g_assert_true(kvm_put(k, PART_ALL));
    k->valid = 0;
    memset(cpu->state, JUNK, sizeof(X86State));
    keep_ours(cpu, &old);
    g_assert_true(kvm_get(k, PART_ALL));
    /* Time passes; and a KVM of software gives its guests the host's TSC. */
    g_assert_true(kvm.software
                  || llabs((int64_t)(cpu->state->tsc_offset
                                     - old.tsc_offset))
                     < 10 * (int64_t)cpu_tsc_hz());
    cpu->state->tsc_offset = old.tsc_offset;
    after = dump_state(cpu);
    g_assert_cmpstr(before, ==, after);
}

void add_state_tests(void)
{
    g_test_add_func("/kvm/msrs", test_msrs);
    g_test_add_func("/kvm/state", test_state);
}
