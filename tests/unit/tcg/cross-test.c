/*
 * Instructions that end in the next page: run there, written to, mapped
 * elsewhere, not mapped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum {
    CODE = 0x10000, TABLES = 0x100000, DATA = 0x200000,
    /* Two pages of their own, PAGES and what is mapped behind it. */
    VA = 0x600000, TABLE = 0x180000, PAGES = 0x300000,
    SECOND = 0x301000, OTHER = 0x302000, GDT = 0x8000, IDT = 0x9000,
    TURNS = 300,
};

static X86State *run64(uint64_t rip)
{
    guest_long(0, rip, TABLES);
    guest_run(1);
    return guest_cpu(0)->state;
}

/* Memory operands, flags carried along, branches, a call, vectors. */
GUEST_CODE(all_sorts, "64",
    "mov $0x200000, %esi\n mov $100, %ecx\n xor %ebx, %ebx\n"
    "pxor %xmm1, %xmm1\n"
    "1: movl $0x12345, 0x123(%rsi)\n add 0x123(%rsi), %rbx\n"
    "addl $0x1234567, 0x200(%rsi)\n adc $0, %rbx\n"
    "movabs $0x123456789abcdef, %rax\n lea 0x12345678(%rax, %rcx, 8), %rax\n"
    "add %rax, %rbx\n imul $0x1001, 0x200(%rsi), %edx\n add %rdx, %rbx\n"
    "bt $3, %ebx\n jc 2f\n add $77, %rbx\n"
    "2: call 4f\n movq %rbx, %xmm0\n paddq %xmm0, %xmm1\n"
    "movdqu %xmm1, 0x300(%rsi)\n xor 0x300(%rsi), %rbx\n push %rbx\n"
    "popq 0x400(%rsi)\n lock addq $1, 0x400(%rsi)\n"
    "add 0x400(%rsi), %rbx\n setc %al\n movzbl %al, %eax\n add %rax, %rbx\n"
    "dec %ecx\n jnz 1b\n"
    "3: " GUEST_EXIT
    "4: rol $7, %rbx\n ret\n");

/* At all places around a page's end the same comes out. */
static void test_places(void)
{
    unsigned len = all_sorts_end - all_sorts;
    uint64_t want = 0;

    for (unsigned before = 0; before <= len; before++) {
        uint64_t at = CODE + 0x2000 - before, rbx;

        guest_reset();
        GUEST_LOAD(at, all_sorts);
        rbx = run64(at)->gpr[R_RBX];
        want = before ? want : rbx;
        g_assert_cmphex(rbx, ==, want);
    }
}

/* It writes to the next instruction, wherever that crosses. */
GUEST_CODE(own_line, "64",
    "xor %ebx, %ebx\n mov $200, %ecx\n"
    "1: mov %ecx, 2f+1(%rip)\n"
    "2: mov $0, %eax\n add %eax, %ebx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_written(void)
{
    unsigned len = own_line_end - own_line;

    for (unsigned before = 0; before <= len; before++) {
        uint64_t at = CODE + 0x2000 - before;

        guest_reset();
        GUEST_LOAD(at, own_line);
        g_assert_cmpuint(run64(at)->gpr[R_RBX], ==, 200 * 201 / 2);
    }
}

static uint64_t *pte(unsigned i)
{
    return (uint64_t *)(guest_ram + TABLE) + i;
}

/* At VA + 0xffd: MOV EAX, imm32 with the upper half in the next page; RET. */
static void make_routine(void)
{
    static const uint8_t head[] = { 0xb8, 0x34, 0x12 };

    guest_reset();
    memcpy(guest_ram + PAGES + 0xffd, head, 3);
    memcpy(guest_ram + SECOND, "\x01\x00\xc3", 3);
    memcpy(guest_ram + OTHER, "\x02\x00\xc3", 3);
    pte(0)[0] = PAGES | 7;
    pte(1)[0] = SECOND | 7;
}

static uint64_t run_routine(void)
{
    X86State *s = guest_cpu(0)->state;

    guest_long(0, CODE, TABLES);
    ((uint64_t *)(guest_ram + TABLES + 0x2000))[VA >> 21] = TABLE | 7;
    guest_run(1);
    return s->gpr[R_RBX];
}

/* The next page changes with each turn, often enough that no block will have
 * more than its own page. */
GUEST_CODE(remap, "64",
    "xor %ebx, %ebx\n mov $300, %ecx\n"
    "mov $0x301007, %esi\n mov $0x302007, %edi\n"
    "1: mov %rsi, 0x180008\n xchg %esi, %edi\n invlpg 0x601000\n"
    "mov $0x600ffd, %edx\n call *%rdx\n add %rax, %rbx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_remapped(void)
{
    make_routine();
    GUEST_LOAD(CODE, remap);
    g_assert_cmpuint(run_routine(), ==, TURNS / 2 * (0x11234 + 0x21234));
}

/* The same page, now and then another: its block is made again. */
GUEST_CODE(seldom, "64",
    "xor %ebx, %ebx\n mov $300, %ecx\n"
    "mov $0x301007, %esi\n mov $0x302007, %edi\n"
    "1: test $63, %cl\n jnz 2f\n"
    "mov %rsi, 0x180008\n xchg %esi, %edi\n invlpg 0x601000\n"
    "2: mov $0x600ffd, %edx\n call *%rdx\n add %rax, %rbx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_seldom(void)
{
    uint64_t sum = 0;

    for (unsigned i = TURNS; i; i--) {
        sum += i <= 192 && (i - 1) / 64 % 2 == 0 ? 0x21234 : 0x11234;
    }
    make_routine();
    GUEST_LOAD(CODE, seldom);
    g_assert_cmpuint(run_routine(), ==, sum);
}

/* It is gone with each turn; the handler adds up CR2 and RIP and maps it. */
GUEST_CODE(missing, "64",
    "xor %ebx, %ebx\n xor %r8d, %r8d\n xor %r9d, %r9d\n mov $300, %ecx\n"
    "1: movq $0, 0x180008\n invlpg 0x601000\n"
    "mov $0x600ffd, %edx\n call *%rdx\n add %rax, %rbx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);
GUEST_CODE(map_it, "64",
    "mov %cr2, %rax\n add %rax, %r8\n add 8(%rsp), %r9\n"
    "movq $0x301007, 0x180008\n add $8, %rsp\n iretq\n");

static void test_missing(void)
{
    X86State *s;

    make_routine();
    GUEST_LOAD(CODE, missing);
    GUEST_LOAD(CODE + 0x400, map_it);
    guest_tables(0, GDT, IDT);
    guest_gate(IDT, EXC_PF, CODE + 0x400);
    g_assert_cmpuint(run_routine(), ==, TURNS * 0x11234);
    s = guest_cpu(0)->state;
    g_assert_cmpuint(s->gpr[R_R8], ==, TURNS * UINT64_C(0x601000));
    g_assert_cmpuint(s->gpr[R_R9], ==, TURNS * UINT64_C(0x600ffd));
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    g_test_add_func("/tcg/cross/places", test_places);
    g_test_add_func("/tcg/cross/written", test_written);
    g_test_add_func("/tcg/cross/remapped", test_remapped);
    g_test_add_func("/tcg/cross/seldom", test_seldom);
    g_test_add_func("/tcg/cross/missing", test_missing);
    status = g_test_run();
    guest_free();
    return status;
}
