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

static void drop_line(char *text, const char *start)
{
    char *at = strstr(text, start), *end = at ? strchr(at, '\n') : NULL;

    if (end) {
        memmove(at, end + 1, strlen(end));
    }
}

static char *dump_state(X86Cpu *cpu)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char *text;

    state_dump(cpu_state_table(), cpu->state, out);
    text = g_string_free(g_steal_pointer(&out), FALSE);
    drop_line(text, "cpu.tsc_offset");          /* time passes */
    drop_line(text, "tsc_offset");
    return text;
}

/* What is written comes back, byte for byte. */
static void test_state(void)
{
    X86Cpu *cpu = guest_cpu(0);
    KvmCpu *k = kvm_cpu(cpu);
    X86State *s = cpu->state;
    g_autofree char *before = NULL, *after = NULL;

    guest_reset();
    guest_long(0, 0x1000, 0x100000);
    s = cpu->state;
    for (unsigned i = 0; i < N_GPR; i++) {
        s->gpr[i] = UINT64_C(0x0101010101010101) * (i + 1);
    }
    s->rflags = 0x8d7;
    s->cr2 = 0x1234000;
    s->dr[0] = 0x1000;
    s->dr[1] = 0x2000;
    s->dr[2] = 0x3000;
    s->dr[3] = 0x4000;
    s->fcw = 0x27f;
    s->fsw = 3 << 11;
    s->ftw = 0x81;
    s->mxcsr = 0x1fa0;
    for (unsigned i = 0; i < 8; i++) {
        s->fpr[i].mant = UINT64_C(0x8000000000000000) | i;
        s->fpr[i].exp_sign = 0x3fff + i;
    }
    for (unsigned i = 0; i < 16; i++) {
        s->vec[i].q[0] = i;
        s->vec[i].q[1] = ~(uint64_t)i;
    }
    s->star = UINT64_C(0x0023001000000000);
    s->lstar = 0xffffffff81000000;
    s->cstar = 0xffffffff81001000;
    s->sfmask = 0x47700;
    s->kernel_gs_base = 0xffff888000000000;
    s->sysenter_cs = 0x10;
    s->sysenter_esp = 0xffffffff81002000;
    s->sysenter_eip = 0xffffffff81003000;
    s->interrupt_shadow = 0;
    cpu->accel->put_state(cpu);
    before = dump_state(cpu);
    g_assert_true(kvm_put(k, PART_ALL));
    k->valid = 0;
    memset(s->gpr, 0, sizeof(s->gpr));
    memset(s->vec, 0, sizeof(s->vec));
    s->lstar = s->dr[2] = 0;
    g_assert_true(kvm_get(k, PART_ALL));
    after = dump_state(cpu);
    g_assert_cmpstr(before, ==, after);
}

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

void add_state_tests(void)
{
    g_test_add_func("/kvm/msrs", test_msrs);
    g_test_add_func("/kvm/state", test_state);
}
