/*
 * RDTSC and RDTSCP: one clock for all vCPUs that never goes back, through stops
 * of the machine too; what WRMSR does to it; CR4.TSD.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include "loop/timer.h"

enum {
    CODE = 0x10000, CODE_STEP = 0x1000, USER = 0x14000, HANDLER = 0x15000,
    GDT = 0x30000, IDT = 0x31000, TSS = 0x32004, TABLES = 0x100000,
    LOCK = 0x200000, LAST = 0x200040, WARPS = 0x200048, TURNS = 0x200050,
    N_CPUS = 2, ROUNDS = 6, LOOPS = 20000,
};

/* Under a lock: is the time what it was when the other looked, or later? */
#define LOOK(read)                                                          \
    "mov $20000, %ebx\n"                                                    \
    "1: mov $1, %eax\n xchg %eax, 0x200000\n test %eax, %eax\n jz 2f\n"     \
    "pause\n jmp 1b\n"                                                      \
    "2: " read "\n shl $32, %rdx\n or %rdx, %rax\n"                         \
    "cmp 0x200040, %rax\n jae 3f\n incl 0x200048\n"                         \
    "3: mov %rax, 0x200040\n incl 0x200050\n movl $0, 0x200000\n"           \
    "dec %ebx\n jnz 1b\n"
GUEST_CODE(look_plain, "64", LOOK("rdtsc") GUEST_EXIT);
GUEST_CODE(look_p, "64", LOOK("rdtscp") GUEST_EXIT);

static void *ram(uint64_t gpa)
{
    return guest_ram + gpa;
}

static void test_rising(void)
{
    uint64_t *last = ram(LAST);

    guest_reset();
    GUEST_LOAD(CODE, look_plain);
    GUEST_LOAD(CODE + CODE_STEP, look_p);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint64_t before = cpu_read_tsc(guest_cpu(0)), after;

        g_assert_cmpuint(before, >=, *last);
        for (unsigned i = 0; i < N_CPUS; i++) {
            guest_long(i, CODE + CODE_STEP * i, TABLES);
        }
        guest_run(N_CPUS);
        after = cpu_read_tsc(guest_cpu(1));
        g_assert_cmpuint(after, ==, clock_ns(CLK_VIRTUAL)
                                    + guest_cpu(1)->state->tsc_offset);
        g_assert_cmpuint(*last, >, before);
        g_assert_cmpuint(*last, <=, after);
        g_assert_cmpuint(*(uint32_t *)ram(WARPS), ==, 0);
        g_assert_cmpuint(*(uint32_t *)ram(TURNS), ==,
                         round * N_CPUS * LOOPS);
    }
}

/* IA32_TSC = RSI; then 2000 times: is it RSI or more, and less than RDI?  R8:
 * how often not, or RCX of RDTSCP is not IA32_TSC_AUX. */
GUEST_CODE(set_tsc, "64",
    "mov $0xc0000103, %ecx\n mov $0x1234567, %eax\n xor %edx, %edx\n wrmsr\n"
    "mov $0x10, %ecx\n mov %esi, %eax\n mov %rsi, %rdx\n shr $32, %rdx\n"
    "wrmsr\n xor %r8d, %r8d\n mov $2000, %ebx\n"
    "1: rdtscp\n shl $32, %rdx\n add %rdx, %rax\n"
    "cmp $0x1234567, %rcx\n je 2f\n inc %r8d\n"
    "2: cmp %rsi, %rax\n jae 3f\n inc %r8d\n"
    "3: cmp %rdi, %rax\n jb 4f\n inc %r8d\n"
    "4: mov %rax, %rsi\n"
    "mov $-1, %rax\n mov $-1, %rdx\n rdtsc\n shl $32, %rdx\n add %rdx, %rax\n"
    "cmp %rsi, %rax\n jae 5f\n inc %r8d\n"
    "5: dec %ebx\n jnz 1b\n" GUEST_EXIT);

static void test_written(void)
{
    X86State *s = guest_cpu(0)->state;

    for (unsigned i = 0; i < 3; i++) {
        guest_reset();
        GUEST_LOAD(CODE, set_tsc);
        guest_long(0, CODE, TABLES);
        s->gpr[R_RSI] = UINT64_C(0x12345fffffff0) << i;
        s->gpr[R_RDI] = s->gpr[R_RSI] + 3600 * NS_PER_SEC;
        guest_run(1);
        g_assert_cmpuint(s->gpr[R_R8], ==, 0);
        g_assert_cmphex(s->tsc_aux, ==, 0x1234567);
    }
}

/*
 * Level 0 sets CR4.TSD and clears it by turns (CR4 ^= RBP), reads the TSC there
 * and goes to level 3, which reads it and comes back by SYSCALL.  RDTSC and
 * RDTSCP are two and three bytes: the handler of #GP counts in R12 and skips as
 * R13 has it.
 */
GUEST_CODE(level0, "64",
    "mov $0x200, %ebx\n mov $4, %ebp\n"
    "1: mov %cr4, %rax\n xor %rbp, %rax\n mov %rax, %cr4\n rdtsc\n rdtscp\n"
    "mov $0x14000, %ecx\n mov $2, %r11d\n sysretq\n"
    ".globl level0_back\nlevel0_back: dec %ebx\n jnz 1b\n" GUEST_EXIT);
extern const uint8_t level0_back[];
GUEST_CODE(level3, "64",
    "mov $2, %r13d\n mov $0x1111, %eax\n rdtsc\n"
    "mov $3, %r13d\n rdtscp\n syscall\n");
GUEST_CODE(handler, "64",
    "inc %r12d\n add (%rsp), %r14\n add %r13, 8(%rsp)\n add $8, %rsp\n"
    "iretq\n");

static void test_denied(void)
{
    X86State *s = guest_cpu(0)->state;

    guest_reset();
    GUEST_LOAD(CODE, level0);
    GUEST_LOAD(USER, level3);
    GUEST_LOAD(HANDLER, handler);
    guest_long(0, CODE, TABLES);
    guest_tables(0, GDT, IDT);
    ((uint64_t *)ram(GDT))[5] = UINT64_C(0x00cff3000000ffff);
    ((uint64_t *)ram(GDT))[6] = UINT64_C(0x00affb000000ffff);
    s->gdtr.limit = 0x37;
    guest_gate(IDT, EXC_GP, HANDLER);
    s->tr = (X86Seg) { .selector = 0x38, .base = TSS, .limit = 0x67,
                       .attr = SEGA_P | 0xb };
    *(uint64_t *)ram(TSS + 4) = 0x8000;
    s->star = UINT64_C(0x0020000800000000);
    s->lstar = CODE + (level0_back - level0);
    s->sfmask = FL_IF;
    guest_run(1);
    g_assert_cmpuint(s->gpr[R_R12], ==, 0x200);     /* both, each 2nd turn */
    g_assert_cmpuint(s->gpr[R_R14], ==, 0);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(N_CPUS);
    g_test_add_func("/tcg/clock/rising", test_rising);
    g_test_add_func("/tcg/clock/written", test_written);
    g_test_add_func("/tcg/clock/denied", test_denied);
    status = g_test_run();
    guest_free();
    return status;
}
