/*
 * KVM: guest debugging, among instructions that KVM executes and such that are
 * rescued.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

#include <errno.h>

GUEST_CODE(code_steps, "64",
           "inc %rax\n"                        /* at 1000h */
           "lock cmpxchg16b (%rsi)\n"          /* 1003h */
           "out %al, $0xe9\n"                  /* 1008h */
           "mov %eax, 0x60000010\n"            /* 100ah */
           "mov 0x60000010, %ebx\n"            /* 1011h */
           "jmp 1f\n"                          /* 1018h */
           "1: paddq %xmm3, %xmm4\n"           /* 101ah */
           "xor %eax, %eax\n"                  /* 101eh */
           GUEST_EXIT);                        /* 1020h */

/* Five instructions end with TF set. */
GUEST_CODE(code_own_tf, "64",
           "lidt 0x6100\n"
           "lgdt 0x6110\n"
           "mov $0x7000, %rsp\n"
           "pushfq\n"
           "orl $0x100, (%rsp)\n"
           "popfq\n"
           "nop\n"
           "nop\n"
           "pushfq\n"
           "andl $0xfffffeff, (%rsp)\n"
           "popfq\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

GUEST_CODE(code_own_tf_handler, "64",
           "incq %r14\n"
           "iretq\n");

enum { INT3_AT = 0x1017 };      /* in the guest of set_up("int3") */

static void set_debug(CpuDebug want)
{
    X86Cpu *cpu = guest_cpu(0);
    g_autoptr(GError) err = NULL;

    cpu->accel->set_debug(cpu, &want, &err);
    g_assert_no_error(err);
}

static void assert_stopped(int why, uint64_t rip)
{
    g_assert_cmpint(guest_cpu(0)->debug_stop.why, ==, why);
    g_assert_cmphex(guest_cpu(0)->state->rip, ==, rip);
}

static void start_steps(void)
{
    guest_reset();
    guest_cpu(0)->state->gpr[R_RSI] = 0x5000;
    start_long(code_steps, code_steps_end);
}

static void finish_steps(void)
{
    set_debug((CpuDebug) { 0 });
    g_assert_cmphex(guest_run(1), ==, 0);
    g_assert_cmpuint(guest_log->len, ==, 1);
    g_assert_cmphex(guest_io_reg[4], ==, guest_cpu(0)->state->gpr[R_RBX]);
}

static void test_step(void)
{
    static const uint16_t at[] = {
        0x1003, 0x1008, 0x100a, 0x1011, 0x1018, 0x101a, 0x101e, 0x1020,
    };

    start_steps();
    for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
        set_debug((CpuDebug) { .step = true });
        run_to_state(RUN_STATE_DEBUG);
        assert_stopped(CPU_STOP_STEP, at[i]);
        g_assert_false(guest_cpu(0)->state->rflags & FL_TF);
        g_assert_cmpuint(guest_log->len, ==, at[i] >= 0x100a);
    }
    finish_steps();
}

static void test_break(void)
{
    start_steps();
    set_debug((CpuDebug) { .n_breaks = 2, .breaks = {
        { CPU_BREAK_EXEC, 0x1ffc, 1 }, { CPU_BREAK_EXEC, 0x1008, 1 },
    } });
    run_to_state(RUN_STATE_DEBUG);
    assert_stopped(CPU_STOP_BREAK, 0x1008);
    g_assert_cmpuint(guest_cpu(0)->debug_stop.n, ==, 1);
    /* Over it by a step, as debuggers do, and to the next. */
    set_debug((CpuDebug) { .step = true });
    run_to_state(RUN_STATE_DEBUG);
    assert_stopped(CPU_STOP_STEP, 0x100a);
    set_debug((CpuDebug) { .n_breaks = 1, .breaks = {
        { CPU_BREAK_EXEC, 0x101a, 1 },
    } });
    run_to_state(RUN_STATE_DEBUG);
    assert_stopped(CPU_STOP_BREAK, 0x101a);
    finish_steps();
}

/* A debugger's own INT3 in the place of an instruction. */
static void test_int3(void)
{
    uint8_t int3 = 0xcc, was;

    start_steps();
    as_read(&as_memory, 0x1008, &was, 1);
    as_write(&as_memory, 0x1008, &int3, 1);
    set_debug((CpuDebug) { .int3 = true });
    run_to_state(RUN_STATE_DEBUG);
    assert_stopped(CPU_STOP_INT3, 0x1008);
    as_write(&as_memory, 0x1008, &was, 1);
    finish_steps();
}

static void test_int3_of_guest(void)
{
    set_up("int3");
    set_debug((CpuDebug) { .int3 = true });
    run_to_state(RUN_STATE_DEBUG);
    assert_stopped(CPU_STOP_INT3, INT3_AT);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_R14], ==, 0);
    set_debug((CpuDebug) { .int3 = true, .deliver_int3 = true });
    g_assert_cmphex(guest_run(1), ==, 0);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_R14], ==, 1);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_R13], ==, INT3_AT + 1);
    set_debug((CpuDebug) { 0 });
}

static void test_own_tf(void)
{
    for (unsigned debugged = 0; debugged < 2; debugged++) {
        guest_reset();
        set_up_gate(EXC_DB);
        GUEST_LOAD(0x2000, code_own_tf_handler);
        start_long(code_own_tf, code_own_tf_end);
        set_debug((CpuDebug) { .n_breaks = debugged, .breaks = {
            { CPU_BREAK_EXEC, 0x1ffc, 1 },
        } });
        g_assert_cmphex(guest_run(1), ==, 0);
        g_assert_cmpuint(guest_cpu(0)->state->gpr[R_R14], ==, 5);
    }
    set_debug((CpuDebug) { 0 });
}

static void test_watch(void)
{
    const CpuDebug want = { .n_breaks = 1, .breaks = {
        { CPU_BREAK_WRITE, 0x60000010, 4 },
    } };
    X86Cpu *cpu = guest_cpu(0);
    g_autoptr(GError) err = NULL;

    start_steps();
    if (!cpu->accel->set_debug(cpu, &want, &err)) {
        g_assert_true(kvm.software);
        g_test_skip(err->message);
        return;
    }
    run_to_state(RUN_STATE_DEBUG);
    assert_stopped(CPU_STOP_BREAK, 0x1011);
    finish_steps();
}

static void test_refused(void)
{
    const CpuDebug step = { .step = true };
    const CpuDebug crooked = { .n_breaks = 1, .breaks = {
        { CPU_BREAK_WRITE, 0x5001, 4 },
    } };
    X86Cpu *cpu = guest_cpu(0);
    g_autoptr(GError) err = NULL;

    start_steps();
    g_assert_false(cpu->accel->set_debug(cpu, &crooked, &err));
    g_assert_nonnull(strstr(err->message, "4 bytes at 0x5001"));
    g_clear_error(&err);
    fail_next(KVM_SET_GUEST_DEBUG, EBADF, 1);
    g_assert_false(cpu->accel->set_debug(cpu, &step, &err));
    g_assert_nonnull(strstr(err->message, "cannot debug the guest"));
    fail_next(KVM_SET_GUEST_DEBUG, EAGAIN, 3);
    set_debug(step);
    fail_next(KVM_SET_GUEST_DEBUG, ENOMEM, 1);
    run_to_state(RUN_STATE_INTERNAL_ERROR);
    set_debug((CpuDebug) { 0 });
}

void add_debug_tests(void)
{
    g_test_add_func("/kvm/debug/step", test_step);
    g_test_add_func("/kvm/debug/break", test_break);
    g_test_add_func("/kvm/debug/int3", test_int3);
    g_test_add_func("/kvm/debug/int3-of-guest", test_int3_of_guest);
    g_test_add_func("/kvm/debug/own-tf", test_own_tf);
    g_test_add_func("/kvm/debug/watch", test_watch);
    g_test_add_func("/kvm/debug/refused", test_refused);
}
