/*
 * KVM: flat guests, rescues beside the emulator; other files test the rest.
 *
 * `--with PROPERTY=VALUE,...` is what would follow -accel kvm; `--emulator
 * CASE` runs one guest on the emulator and prints its state, for the other side
 * to compare.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm-test.h"

#include <stdio.h>
#include <unistd.h>

static const char *self;

/* --- guests -------------------------------------------------------------------- */

/* "ok" by string OUT, three bytes by string IN, single ones. */
GUEST_CODE(code_io, "16",
           "mov $0x100, %si\n"
           "mov $0xe9, %dx\n"
           "movw $0x6b6f, (%si)\n"
           "mov $2, %cx\n"
           "cld\n"
           "rep outsb\n"
           "mov $0x92, %dx\n"
           "mov $0x300, %di\n"
           "mov $3, %cx\n"
           "rep insb\n"
           "in $0x92, %al\n"
           "out %al, $0xf4\n"
           "0: jmp 0b\n");

GUEST_CODE(code_mmio, "32",
           "movl $0x12345678, 0x60000010\n"
           "mov 0x60000010, %eax\n"
           "mov %eax, %ebx\n"
           "shr $24, %eax\n"
           GUEST_EXIT);

/* Access after access, to ports and registers, as drivers do. */
GUEST_CODE(code_accesses, "32",
           "xor %esi, %esi\n"
           "mov $500, %ecx\n"
           "0: in $0x92, %al\n"
           "out %al, $0xe9\n"
           "mov %ecx, 0x60000010\n"
           "add 0x60000010, %esi\n"
           "push %esi\n"
           "pop %edi\n"
           "dec %ecx\n"
           "jnz 0b\n"
           "mov %ecx, 0x5000\n"                /* none for a while */
           "mov $200, %ecx\n"
           "1: loop 1b\n"
           "mov %esi, %eax\n"
           "shr $8, %eax\n"
           GUEST_EXIT);

/* What software KVMs cannot do, and a few things around it. */
GUEST_CODE(code_cmpxchg16b, "64",
           "mov $0x5000, %rdi\n"
           "movq $0x1111, (%rdi)\n"
           "movq $0x2222, 8(%rdi)\n"
           "mov $0x1111, %rax\n mov $0x2222, %rdx\n"
           "mov $0x3333, %rbx\n mov $0x4444, %rcx\n"
           "lock cmpxchg16b (%rdi)\n"
           "setz %r8b\n"
           "lock cmpxchg16b (%rdi)\n"           /* fails: loads */
           "setz %r9b\n"
           "mov (%rdi), %r10\n mov 8(%rdi), %r11\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

GUEST_CODE(code_int3, "64",
           "lidt 0x6100\n"
           "lgdt 0x6110\n"
           "mov $0x7000, %rsp\n"
           "int3\n"
           "mov $0x77, %r12\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

/* Timer interrupts into a loop of instructions that may need a rescue; each
 * must reach its handler, or no other ever comes. */
GUEST_CODE(code_ticks, "64",
           "lidt 0x6100\n"
           "lgdt 0x6110\n"
           "mov $0x7000, %rsp\n"
           "mov $0xfee00000, %rdi\n"
           "movl $0x1ff, 0xf0(%rdi)\n"
           "movl $0, 0x80(%rdi)\n"
           "movl $0x20040, 0x320(%rdi)\n"      /* periodic, vector 40h */
           "movl $0xb, 0x3e0(%rdi)\n"
           "movl $250000, 0x380(%rdi)\n"
           "mov $0x5000, %rsi\n"
           "xor %r14d, %r14d\n"
           "sti\n"
           "0: lock cmpxchg16b (%rsi)\n"
           "cmp $40, %r14\n"
           "jb 0b\n"
           "cli\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

GUEST_CODE(code_ticks_handler, "64",
           "incq %r14\n"
           "movl $0, 0xb0(%rdi)\n"
           "iretq\n");

/* To itself, kept out for ECX rounds of a loop: when is it let in? */
GUEST_CODE(code_window, "64",
           "lidt 0x6100\n"
           "lgdt 0x6110\n"
           "mov $0x7000, %rsp\n"
           "mov $0xfee00000, %rdi\n"
           "movl $0x1ff, 0xf0(%rdi)\n"
           "movl $0, 0x80(%rdi)\n"
           "mov %ecx, %esi\n"
           "mov $20, %ebp\n"
           "0: xor %r8d, %r8d\n"
           "movl $0x40040, 0x300(%rdi)\n"
           "mov %esi, %ecx\n"
           "1: loop 1b\n"
           "inc %r8\n"
           "sti\n"
           "nop\n"
           "inc %r8\n"
           "2: cli\n"                  /* late is better than never */
           "sti\n"
           "nop\n"
           "mov $20, %eax\n"
           "sub %ebp, %eax\n"
           "cmp %r14d, %eax\n"
           "jae 2b\n"
           "cli\n"
           "dec %ebp\n"
           "jnz 0b\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

GUEST_CODE(code_window_handler, "64",
           "incq %r14\n"
           "add %r8, %r15\n"
           "movl $0, 0xb0(%rdi)\n"
           "iretq\n");

/* To user mode and back, four times.  The #PF handler is there for KVMs whose
 * SYSCALL needs finishing. */
GUEST_CODE(code_user, "64",
           "lgdt 0x6110\n"
           "lidt 0x6100\n"
           "mov $0x30, %ax\n"
           "ltr %ax\n"
           "mov $0xc0000081, %ecx\n"           /* STAR */
           "xor %eax, %eax\n"
           "mov $0x00180008, %edx\n"
           "wrmsr\n"
           "inc %ecx\n"                        /* LSTAR */
           "mov $0x2000, %eax\n"
           "xor %edx, %edx\n"
           "wrmsr\n"
           "mov $0xc0000084, %ecx\n"           /* SFMASK */
           "mov $0x200, %eax\n"
           "wrmsr\n"
           "xor %r14d, %r14d\n"
           "mov $0x400000, %ecx\n"
           "mov $2, %r11d\n"
           "sysretq\n");

GUEST_CODE(code_user_fault, "64",
           "clac\n"
           "mov $1, %al\n"
           GUEST_EXIT);

GUEST_CODE(code_user_syscall, "64",
           "inc %r12\n"
           "syscall\n"
           "ud2\n");

GUEST_CODE(code_user_handler, "64",
           "mov %cs, %r13d\n"
           "inc %r14\n"
           "mov $0x5000, %esi\n"
           "lock cmpxchg16b (%rsi)\n"
           "mov $0x400000, %ecx\n"
           "cmp $4, %r14\n"
           "je 1f\n"
           "sysretq\n"
           "1: xor %eax, %eax\n"
           GUEST_EXIT);

/* At 0x2000: the handler. */
GUEST_CODE(code_int3_handler, "64",
           "mov (%rsp), %r13\n"
           "incq %r14\n"
           "iretq\n");

GUEST_CODE(code_fpu, "64",
           "fninit\n"
           "fld1\n fldpi\n fadd %st, %st(1)\n"
           "mov $0x123456789abcdef, %rax\n"
           "movq %rax, %xmm3\n"
           "pxor %xmm4, %xmm4\n"
           "paddq %xmm3, %xmm4\n paddq %xmm3, %xmm4\n"
           "movq %xmm4, %rbx\n"
           "movups %xmm4, 0x5010\n"
           "fstpt 0x5000\n"
           "xor %eax, %eax\n"
           GUEST_EXIT);

/* INIT and SIPI to all others, which begin at 0x3000; then nothing. */
GUEST_CODE(code_wake, "32",
           "movl $0x000c4500, 0xfee00300\n"
           "movl $0x000c4603, 0xfee00300\n"
           "0: jmp 0b\n");

GUEST_CODE(code_woken, "16",
           "mov %cs, %ax\n"
           "shr $8, %ax\n"
           GUEST_EXIT);

void start_long(const uint8_t *code, const uint8_t *end)
{
    guest_load(0x1000, code, end);
    guest_cpu(0)->state->gpr[R_RDX] = 0;        /* the model's signature */
    guest_long(0, 0x1000, 0x100000);
}

void set_up_gate(unsigned vector)
{
    uint64_t gate[2] = { 0x2000 | UINT64_C(8) << 16 | UINT64_C(0x8e00) << 32,
                         0 };
    uint64_t gdt[3] = { 0, UINT64_C(0x00af9b000000ffff),
                        UINT64_C(0x00cf93000000ffff) };
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = { 0xfff, 0x8000 }, gdtr = { 23, 0x6200 };

    as_write(&as_memory, 0x8000 + vector * 16, gate, sizeof(gate));
    as_write(&as_memory, 0x6100, &idtr, sizeof(idtr));
    as_write(&as_memory, 0x6110, &gdtr, sizeof(gdtr));
    as_write(&as_memory, 0x6200, gdt, sizeof(gdt));
}

void map_apic_page(void)
{
    const uint64_t tables = 0x100000;
    uint64_t pd = (tables + 0x5000) | 7, apic = UINT64_C(0xfee00000) | 0x9f;

    as_write(&as_memory, tables + 0x1000 + 3 * 8, &pd, 8);
    as_write(&as_memory, tables + 0x5000 + (0xfee00000u >> 21 & 511) * 8,
             &apic, 8);
}

static void set_up_int3(void)
{
    set_up_gate(3);
    GUEST_LOAD(0x2000, code_int3_handler);
    start_long(code_int3, code_int3_end);
}

void set_up(const char *name)
{
    guest_reset();
    if (!strcmp(name, "cmpxchg16b")) {
        start_long(code_cmpxchg16b, code_cmpxchg16b_end);
    } else if (!strcmp(name, "int3")) {
        set_up_int3();
    } else {
        start_long(code_fpu, code_fpu_end);
    }
}

/* The whole state and memory below 64 KiB: all that these guests touch.  Time
 * is not theirs, and processors differ in when they note opcodes. */
static char *outcome(void)
{
    X86State *s = guest_cpu(0)->state;
    GString *out = g_string_new(NULL);
    g_autofree char *sum = g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, guest_ram, 0x10000);

    s->tsc_offset = 0;
    s->fop = 0;
    state_dump(cpu_state_table(), s, out);
    g_string_append_printf(out, "memory %s\n", sum);
    return g_string_free(out, FALSE);
}

/* --- tests ------------------------------------------------------------------------ */

static void test_io(void)
{
    guest_reset();
    GUEST_LOAD(0x1000, code_io);
    guest_real(0, 0, 0x1000);
    g_assert_cmphex(guest_run(1), ==, 0x92);
    g_assert_cmpstr(guest_log->str, ==, "ok");
    g_assert_cmphex(load_le32(guest_ram + 0x300), ==, 0x929292);
}

void run_mmio(void)
{
    guest_reset();
    GUEST_LOAD(0x1000, code_mmio);
    guest_protected(0, 0x1000);
    g_assert_cmphex(guest_run(1), ==, 0x12);
    g_assert_cmphex(guest_io_reg[4], ==, 0x12345678);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RBX], ==, 0x12345678);
}

/* Each one is made, wherever it is executed; where the way out and back is slow
 * few of them take it. */
static void test_accesses(void)
{
    KvmCpu *k = kvm_cpu(guest_cpu(0));
    uint64_t n_exits, n_ahead = k->n_ahead;

    guest_reset();
    n_exits = k->n_exits[KVM_EXIT_IO] + k->n_exits[KVM_EXIT_MMIO];
    GUEST_LOAD(0x1000, code_accesses);
    guest_protected(0, 0x1000);
    guest_cpu(0)->state->gpr[R_RSP] = 0x7000;
    g_assert_cmphex(guest_run(1), ==, (500 * 501 / 2) >> 8 & 0xff);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RSI], ==, 500 * 501 / 2);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RDI], ==, 500 * 501 / 2);
    g_assert_cmphex(guest_io_reg[4], ==, 1);
    g_assert_cmpuint(guest_log->len, ==, 500);
    n_exits = k->n_exits[KVM_EXIT_IO] + k->n_exits[KVM_EXIT_MMIO] - n_exits;
    n_ahead = k->n_ahead - n_ahead;
    if (kvm.software && !kvm_apic_in_kernel()) {
        g_assert_cmpuint(n_exits, <, 200);
        g_assert_cmpuint(n_ahead, >, 1000);
    } else {
        g_assert_cmpuint(n_exits, ==, 2001);
        g_assert_cmpuint(n_ahead, ==, 0);
    }
}

static void test_second_cpu(void)
{
    guest_reset();
    GUEST_LOAD(0x1000, code_wake);
    GUEST_LOAD(0x3000, code_woken);
    guest_protected(0, 0x1000);
    g_assert_cmphex(guest_run(1), ==, 0x03);
    g_assert_false(guest_cpu(1)->state->wait_sipi);
    g_assert_cmphex(guest_cpu(1)->state->seg[SEG_CS].base, ==, 0x3000);
}

static void test_user(void)
{
    static const uint64_t gdt[8] = {
        0, UINT64_C(0x00af9b000000ffff), UINT64_C(0x00cf93000000ffff), 0,
        UINT64_C(0x00cff3000000ffff), UINT64_C(0x00affb000000ffff),
        UINT64_C(0x0000890063000067), 0,                /* TSS at 0x6300 */
    };
    const uint64_t gate[2] = { 0x2800 | 8 << 16 | UINT64_C(0x8e00) << 32, 0 };
    const uint64_t rsp0 = 0x7000, supervisor = 0x83;
    const uint64_t tables = 0x100000;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = { sizeof(gdt) - 1, 0x6200 },
                              idtr = { 0xfff, 0x8000 };
    const X86State *s;

    guest_reset();
    GUEST_LOAD(0x2000, code_user_handler);
    GUEST_LOAD(0x2800, code_user_fault);
    GUEST_LOAD(0x400000, code_user_syscall);
    start_long(code_user, code_user_end);
    as_write(&as_memory, tables + 0x2000, &supervisor, 8);
    as_write(&as_memory, 0x6100, &idtr, sizeof(idtr));
    as_write(&as_memory, 0x6110, &gdtr, sizeof(gdtr));
    as_write(&as_memory, 0x6200, gdt, sizeof(gdt));
    as_write(&as_memory, 0x6304, &rsp0, sizeof(rsp0));
    as_write(&as_memory, 0x8000 + 14 * 16, gate, sizeof(gate));
    g_assert_cmphex(guest_run(1), ==, 0);
    s = guest_cpu(0)->state;
    g_assert_cmpuint(s->gpr[R_R12], ==, 4);
    g_assert_cmpuint(s->gpr[R_R14], ==, 4);
    g_assert_cmphex(s->gpr[R_R13], ==, 0x08);
}

static void test_ticks(void)
{
    guest_reset();
    set_up_gate(0x40);
    GUEST_LOAD(0x2000, code_ticks_handler);
    start_long(code_ticks, code_ticks_end);
    map_apic_page();
    g_assert_cmphex(guest_run(1), ==, 0);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_R14], >=, 40);
}

/* Once each, whoever executes what keeps them out; and at once, unless the
 * host's interpreter is to see to it. */
static void test_window(void)
{
    static const unsigned rounds[] = { 1, 20, 1000 };

    for (unsigned i = 0; i < G_N_ELEMENTS(rounds); i++) {
        const X86State *s;

        guest_reset();
        set_up_gate(0x40);
        GUEST_LOAD(0x2000, code_window_handler);
        guest_cpu(0)->state->gpr[R_RCX] = rounds[i];
        kvm_cpu(guest_cpu(0))->window_wait = 0;
        start_long(code_window, code_window_end);
        map_apic_page();
        g_assert_cmphex(guest_run(1), ==, 0);
        s = guest_cpu(0)->state;
        g_assert_cmpuint(s->gpr[R_R14], ==, 20);
        if (!kvm.software) {
            g_assert_cmpuint(s->gpr[R_R15], ==, 20);
        } else if (!kvm_apic_in_kernel() && rounds[i] < 100) {
            /* All but those at which something else was to be done. */
            g_assert_cmpuint(s->gpr[R_R15], <, 30);
        }
    }
}

/* The same guest on the emulator, in a process of its own. */
static void test_as_emulator(gconstpointer opaque)
{
    const char *name = opaque;
    const char *argv[] = { self, "--emulator", name, NULL };
    g_autofree char *theirs = NULL, *ours = NULL;
    g_autoptr(GError) err = NULL;
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL,
                               &theirs, NULL, &status, &err));
    g_assert_cmpint(status, ==, 0);
    set_up(name);
    g_assert_cmphex(guest_run(1), ==, 0);
    ours = outcome();
    g_assert_cmpstr(ours, ==, theirs);
}

/* --- main ---------------------------------------------------------------------------------- */

static int run_emulator(const char *name)
{
    g_autofree char *text = NULL;

    guest_init(1);
    set_up(name);
    guest_run(1);
    text = outcome();
    fputs(text, stdout);
    guest_free();
    return 0;
}

static int skip(const char *why)
{
    printf("TAP version 13\n1..0 # SKIP %s\n", why);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "cmpxchg16b", "int3", "fpu" };
    g_autoptr(GError) err = NULL;
    g_autoptr(Opt) options = opt_new_dict();
    const char *with = "";
    Opt *own;
    int result;

    self = argv[0];
    if (argc == 3 && !strcmp(argv[1], "--emulator")) {
        return run_emulator(argv[2]);
    }
    if (!kvm_open(&kvm.fd, &err) || !kvm_cpuid_init(&err)) {
        return skip(err->message);
    }
    close(kvm.fd);
    if (argc >= 3 && !strcmp(argv[1], "--with")) {
        with = argv[2];
        argv[2] = argv[0];
        argv += 2;
        argc -= 2;
    }
    if (kvm_is_software() && strstr(with, "dirty-ring")) {
        return skip("rings overflow where KVM interprets kernels");
    }
    g_test_init(&argc, &argv, NULL);
    own = opt_parse_keyval(with, NULL, NULL, &err);
    g_assert_no_error(err);
    opt_put(options, "kvm", own);
    guest_init_accel(2, "kvm", options);
    g_test_add_func("/kvm/io", test_io);
    g_test_add_func("/kvm/mmio", run_mmio);
    g_test_add_func("/kvm/accesses", test_accesses);
    g_test_add_func("/kvm/second-cpu", test_second_cpu);
    g_test_add_func("/kvm/ticks", test_ticks);
    g_test_add_func("/kvm/window", test_window);
    g_test_add_func("/kvm/user", test_user);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strdup_printf("/kvm/as-emulator/%s",
                                                names[i]);

        g_test_add_data_func(path, names[i], test_as_emulator);
    }
    add_state_tests();
    add_debug_tests();
    add_exit_tests();
    add_failure_tests();
    add_string_tests();
    add_vm_tests();
    result = g_test_run();
    guest_free();
    return result;
}
