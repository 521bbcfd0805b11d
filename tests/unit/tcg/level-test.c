/*
 * SYSCALL and SYSRET there and back with all kinds of flags: what level 0 finds
 * in RCX, R11 and RFLAGS, and level 3 in RFLAGS.  Bases of FS and GS, control
 * registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum {
    CODE = 0x10000, KERNEL = 0x11000, TABLES = 0x100000, PATTERNS = 0x200000,
    N_PATTERNS = 512, ROUNDS = 3,
    SFMASK = FL_TF | FL_IF | FL_DF | FL_AC,
    ARITH = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF,
    LEVEL3_FLAGS = 0x3c7fd7,
};

/* From level 0 to 1: at level 3.  Each pattern is loaded, and what came back is
 * mixed into R13. */
GUEST_CODE(user, "64",
    "lea 1f(%rip), %rcx\n mov $0x2, %r11d\n sysretq\n"
    "1: mov $3, %r15d\n"
    "2: mov $0x200000, %esi\n mov $512, %r14d\n"
    "3: pushq (%rsi)\n popfq\n syscall\n"
    "4: pushfq\n pop %rax\n rol $7, %r13\n xor %rax, %r13\n"
    "add $8, %rsi\n dec %r14d\n jnz 3b\n dec %r15d\n jnz 2b\n"
    "lea 4b(%rip), %rdx\n mov $1, %edi\n syscall\n");
/* RDI: it is over. */
GUEST_CODE(kernel, "64",
    "test %edi, %edi\n jnz 1f\n"
    "pushfq\n pop %rax\n rol $7, %r13\n xor %rax, %r13\n"
    "rol $7, %r13\n xor %r11, %r13\n"
    "rol $7, %r13\n xor %rcx, %r13\n xor $0x8d5, %r11\n sysretq\n"
    "1: " GUEST_EXIT);

static uint64_t mix(uint64_t sum, uint64_t v)
{
    return (sum << 7 | sum >> 57) ^ v;
}

/* Bits of `n` spread over the flags that level 3 may set. */
static uint64_t pattern(unsigned n)
{
    static const uint32_t bit[9] = {
        FL_CF, FL_PF, FL_AF, FL_ZF, FL_SF, FL_OF, FL_DF, FL_AC, FL_ID,
    };
    uint64_t fl = 2;

    for (unsigned i = 0; i < G_N_ELEMENTS(bit); i++) {
        fl |= n >> i & 1 ? bit[i] : 0;
    }
    return fl;
}

static void prepare(void)
{
    X86State *s = guest_cpu(0)->state;

    guest_reset();
    GUEST_LOAD(CODE, user);
    GUEST_LOAD(KERNEL, kernel);
    for (unsigned i = 0; i < N_PATTERNS; i++) {
        ((uint64_t *)(guest_ram + PATTERNS))[i] = pattern(i);
    }
    guest_long(0, CODE, TABLES);
    s->star = UINT64_C(0x0018000800000000);
    s->lstar = KERNEL;
    s->sfmask = SFMASK;
}

static void test_flags(void)
{
    X86State *s = guest_cpu(0)->state;
    uint64_t sum = 0, next;

    prepare();
    guest_run(1);
    next = s->gpr[R_RDX];
    for (unsigned i = 0; i < ROUNDS * N_PATTERNS; i++) {
        uint64_t fl = pattern(i % N_PATTERNS);

        /* TEST is what level 0 did last. */
        sum = mix(sum, (fl & ~(uint64_t)(SFMASK | ARITH)) | FL_ZF | FL_PF);
        sum = mix(sum, fl);
        sum = mix(sum, next);
        sum = mix(sum, (fl ^ ARITH) & LEVEL3_FLAGS);
    }
    g_assert_cmphex(s->gpr[R_R13], ==, sum);
    g_assert_cmphex(s->seg[SEG_CS].selector, ==, 8);
    g_assert_cmphex(s->seg[SEG_SS].selector, ==, 16);
    g_assert_cmpuint(x86_cpl(s), ==, 0);
}

/* Each pattern to FS's and GS's bases and CR2 and back, by registers with and
 * without a home in the host, whole and by half, and 8 bytes through FS. */
#define MIX(reg) "rol $7, %r13\n xor %" reg ", %r13\n"
GUEST_CODE(bases, "64",
    "mov $3, %r8d\n"
    "1: mov $0x200000, %esi\n mov $512, %r9d\n"
    "2: mov (%rsi), %rax\n wrfsbase %rax\n rdfsbase %r14\n" MIX("r14")
    "mov (%rsi), %r10\n wrgsbase %r10\n rdgsbase %rbx\n" MIX("rbx")
    "stc\n wrgsbase %r10d\n sbb %rdx, %rdx\n mov $-1, %r15\n"
    "rdgsbase %r15d\n" MIX("r15") MIX("rdx") "rdgsbase %r15\n" MIX("r15")
    "mov %rax, %cr2\n mov %cr2, %r11\n" MIX("r11")
    "mov %cr2, %rcx\n" MIX("rcx") "mov %cr0, %r14\n" MIX("r14")
    "mov %cr3, %rdi\n" MIX("rdi") "mov %cr4, %r11\n" MIX("r11")
    "wrfsbase %rsi\n mov %fs:0, %rdi\n" MIX("rdi")
    "add $8, %rsi\n dec %r9d\n jnz 2b\n dec %r8d\n jnz 1b\n" GUEST_EXIT);

static void test_bases(void)
{
    X86State *s = guest_cpu(0)->state;
    uint64_t *v = (uint64_t *)(guest_ram + PATTERNS), sum = 0, r = 1;

    prepare();
    GUEST_LOAD(CODE, bases);
    s->cr4 |= CR4_FSGSBASE;
    guest_cpu(0)->accel->put_state(guest_cpu(0));
    for (unsigned i = 0; i < N_PATTERNS; i++) {
        r = r * UINT64_C(6364136223846793005) + 1442695040888963407;
        v[i] = (int64_t)r >> 16;
    }
    guest_run(1);
    for (unsigned i = 0; i < ROUNDS * N_PATTERNS; i++) {
        uint64_t x = v[i % N_PATTERNS];
        uint64_t want[] = {
            x, x, (uint32_t)x, ~UINT64_C(0), (uint32_t)x, x, x, s->cr0,
            s->cr3, s->cr4, x,
        };

        for (unsigned k = 0; k < G_N_ELEMENTS(want); k++) {
            sum = mix(sum, want[k]);
        }
    }
    g_assert_cmphex(s->gpr[R_R13], ==, sum);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    g_test_add_func("/tcg/level/flags", test_flags);
    g_test_add_func("/tcg/level/bases", test_bases);
    status = g_test_run();
    guest_free();
    return status;
}
