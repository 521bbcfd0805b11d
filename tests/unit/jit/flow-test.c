/*
 * Transfers of control, translated and interpreted: an interpreter's dispatch
 * inside a page and out of it, with flags that are alive across it, functions
 * called directly and through registers and memory, and code that is rewritten;
 * pages that run at one address, and at several.
 *
 * RHEA_TEST_ACCEL adds options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../tcg/guest.h"

#include "accel/tcg/jit/jit.h"
#include "tests/common/rnd.h"

enum {
    CODE = 0x10000, PAGE_TABLES = 0x100000, STACK = 0x2e0000,
    PROGRAM = 0x310000, N_BYTECODES = 20000,
};

/* To the handler of the next byte: the address from memory, or from a register
 * with the flags as they are. */
#define GO      "movzbl (%rsi), %eax\n inc %rsi\n jmp *0x300000(,%rax,8)\n"
#define GO_KEEP "movzbl (%rsi), %eax\n lea 1(%rsi), %rsi\n"                 \
                "mov 0x300000(,%rax,8), %r11\n jmp *%r11\n"
#define HANDLER(n) "lea 1" #n "f(%rip), %rax\n"                             \
                   "mov %rax, 0x300000 + 8 * " #n "\n"

GUEST_CODE(dispatcher, "64",
    HANDLER(0) HANDLER(1) HANDLER(2) HANDLER(3) HANDLER(4) HANDLER(5)
    HANDLER(6) HANDLER(7) HANDLER(8)
    "lea 20f(%rip), %r15\n lea 21f(%rip), %r12\n"
    "mov %r12, 0x300100\n mov $0x310000, %esi\n xor %ebx, %ebx\n" GO
    "10: add $0x51234567, %ebx\n" GO_KEEP
    "11: adc $3, %rbx\n" GO_KEEP
    "12: push %rbx\n mov %ebx, %edi\n push %rcx\n xor %ecx, %ecx\n"
    "push %r15\n cmp %edi, %ebx\n lea 1(%rbx,%rcx,2), %r14d\n"
    "pop %r10\n setne %ah\n pop %rcx\n mov %rsp, %r9\n pop %rdx\n"
    "lea (%r14,%rdx), %rbx\n sub %r9, %rbx\n sub %r10, %r15\n"
    "add %r10, %r15\n" GO
    "14: add $0x71234567, %ecx\n lea 3(%rdi), %rdi\n call 22f\n"
    "jmp 24f\n 23: call *%r15\n adc $0, %ebx\n call *%r12\n call *0x300100\n" GO
    "15: incb 16f+2(%rip)\n xorb $0x10, 22f(%rip)\n"
    "xorb $0x10, 24f(%rip)\n" GO_KEEP
    "16: add $7, %bl\n" GO_KEEP
    "17: sub %ebx, %ecx\n mov $0x300000, %r10d\n call *0x100(%r10)\n"
    "xor %r11d, %r11d\n sete %r11b\n add %r11, %rbx\n add $1, %r14\n"
    "adc %r14, %rbx\n" GO
    "18: mov %rsp, %rdx\n" GUEST_EXIT
    "20: bt $3, %ebx\n ret\n"
    /* ADD or ADC: who comes here need not bring flags, or must. */
    "22: add %ebx, %edi\n ret\n"
    "24: add %edi, %ecx\n jmp 23b\n"
    /* What is pushed lies in two pages: never without a slow path. */
    "21: push %rbx\n push 0x300ffc\n push %rdi\n mov 24(%rsp), %rdi\n"
    "xor %edi, %ebx\n pop %rdi\n pop %rdx\n add %rdx, %rbx\n pop %rdx\n"
    "add %rdx, %rbx\n ret\n"
    ".balign 4096\n"
    "13: rol $5, %rbx\n" GO_KEEP);

/* Where the same code is seen: two that are sign-extended, one that is not. */
static const uint64_t aliases[] = {
    0, UINT64_C(0xffffffff80000000), UINT64_C(0xffffff8000000000),
};

/*
 * RBX gathers RIPs: pushed by CALLs to the same page, to the next one and through
 * a register, RIP-relative, of indirect jumps.  Each 32 turns it all goes on
 * at another of the addresses in R8, R9, R10.
 */
GUEST_CODE(wanderer, "64",
    "1: call 5f\n lea 2f(%rip), %rdx\n call *%rdx\n call 6f\n"
    "add 7f(%rip), %rbx\n lea 0x7fffffff(%rip), %rdx\n add %rdx, %rbx\n"
    "lea 3f(%rip), %rdx\n jmp *%rdx\n"
    "2: xor (%rsp), %rbx\n ret\n"
    "3: add %rdx, %rbx\n rol $3, %rbx\n dec %ecx\n jz 4f\n"
    "test $31, %ecx\n jnz 1b\n"
    "mov %r8, %rax\n mov %r9, %r8\n mov %r10, %r9\n mov %rax, %r10\n"
    "lea 1b(%rip), %rdx\n movzwl %dx, %edx\n add %r8, %rdx\n"
    "test $64, %ecx\n jz 8f\n push %rdx\n ret\n 8: jmp *%rdx\n"
    "4: " GUEST_EXIT
    "5: add (%rsp), %rbx\n ret\n"
    "7: .quad 0x123456789abcdef\n"
    ".balign 4096\n 6: add (%rsp), %rbx\n xor %rsp, %rbx\n ret\n");

static const uint8_t compared[] = {
    R_RBX, R_RCX, R_RDX, R_RDI, R_R9, R_R10, R_R14, R_R15,
};

static void run_machine(uint32_t threshold, const uint8_t *ops, uint64_t alias,
                        uint64_t *gpr)
{
    guest_reset();
    memcpy(guest_ram + PROGRAM, ops, N_BYTECODES);
    GUEST_LOAD(CODE, dispatcher);
    guest_long(0, alias + CODE, PAGE_TABLES);
    guest_env(0)->s.gpr[R_RSP] = STACK;
    jit_options.threshold = threshold;
    g_assert_cmphex(guest_run(1), ==, guest_env(0)->s.gpr[R_RAX] & 0xff);
    memcpy(gpr, guest_env(0)->s.gpr, 16 * sizeof(*gpr));
}

static void test_dispatch(void)
{
    static uint8_t ops[N_BYTECODES];
    uint64_t want[16], got[16];

    for (unsigned k = 0; k < 12; k++) {
        unsigned period = 2 + below(12);
        uint64_t alias = aliases[k % G_N_ELEMENTS(aliases)];

        /* The one that rewrites another comes seldom, or often.  Blocks follow
         * jumps that nearly always lead to the same place. */
        for (unsigned i = 0; i < N_BYTECODES - 1; i++) {
            if (k >= 4 && i >= period && below(16)) {
                ops[i] = ops[i - period];
                continue;
            }
            ops[i] = below(8);
            if (ops[i] == 5 && k % 4 < 3 && below(20)) {
                ops[i] = 6;
            }
        }
        ops[N_BYTECODES - 1] = 8;
        run_machine(UINT32_MAX, ops, alias, want);
        run_machine(k >= 4 ? 40 : k & 1 ? 5 : 0, ops, alias, got);
        for (unsigned i = 0; i < G_N_ELEMENTS(compared); i++) {
            g_assert_cmphex(got[compared[i]], ==, want[compared[i]]);
        }
        g_assert_cmphex(got[R_RDX], ==, STACK);
    }
}

/* On `n` vCPUs at once, each beginning at another alias. */
static void wander(unsigned n, uint32_t threshold, uint64_t rbx[])
{
    const unsigned n_at = G_N_ELEMENTS(aliases);

    guest_reset();
    GUEST_LOAD(CODE, wanderer);
    jit_options.threshold = threshold;
    for (unsigned i = 0; i < n; i++) {
        uint64_t *gpr = guest_env(i)->s.gpr;

        guest_long(i, aliases[i % n_at] + CODE, PAGE_TABLES);
        gpr[R_RSP] = STACK - 0x1000 * i;
        gpr[R_RBX] = 0;
        gpr[R_RCX] = 5000;
        gpr[R_R8] = aliases[i % n_at];
        gpr[R_R9] = aliases[(i + 1) % n_at];
        gpr[R_R10] = aliases[(i + 2) % n_at];
        for (unsigned r = R_R8; r <= R_R10; r++) {
            gpr[r] += CODE & ~0xffff;
        }
    }
    guest_run(n);
    for (unsigned i = 0; i < n; i++) {
        rbx[i] = guest_env(i)->s.gpr[R_RBX];
    }
}

/* Code of a page that ran at one address only runs at others. */
static void test_aliases(void)
{
    static const uint32_t thresholds[] = { 0, 3, 32, 100 };
    uint64_t want[2], got[2];

    for (unsigned n = 1; n <= 2; n++) {
        wander(n, UINT32_MAX, want);
        for (unsigned k = 0; k < G_N_ELEMENTS(thresholds); k++) {
            for (unsigned again = 0; again < 5; again++) {
                wander(n, thresholds[k], got);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_cmphex(got[i], ==, want[i]);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    if (guest_init_jit(2)) {
        g_test_add_func("/jit/dispatch", test_dispatch);
        g_test_add_func("/jit/aliases", test_aliases);
    }
    status = g_test_run();
    guest_free();
    return status;
}
