/*
 * Code that is written while it runs: by itself, through an alias, by another
 * vCPU, by a device.  Each guest counts or adds up what the new code did.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { CODE = 0x10000, TABLES = 0x100000, DATA = 0x200000 };

static uint64_t run64(unsigned n_cpus)
{
    for (unsigned i = 0; i < n_cpus; i++) {
        guest_long(i, CODE + 0x8000 * i, TABLES);
    }
    guest_run(n_cpus);
    return guest_cpu(0)->state->gpr[R_RBX];
}

/* The very next instruction, in the same block. */
GUEST_CODE(own_line, "64",
    "xor %ebx, %ebx\n mov $1000, %ecx\n"
    "1: mov %cl, 2f+1(%rip)\n"
    "2: mov $0, %al\n movzbl %al, %eax\n add %eax, %ebx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static uint64_t low_bytes(unsigned n)
{
    uint64_t sum = 0;

    for (unsigned i = 1; i <= n; i++) {
        sum += i & 0xff;
    }
    return sum;
}

static void test_own_line(void)
{
    guest_reset();
    GUEST_LOAD(CODE, own_line);
    g_assert_cmpuint(run64(1), ==, low_bytes(1000));
}

/* A routine elsewhere: same page, next page, through an alias mapping. */
GUEST_CODE(routine, "64",
    "xor %ebx, %ebx\n mov $1000, %ecx\n"
    "1: mov %cl, (%rsi)\n call *%rdi\n movzbl %al, %eax\n add %eax, %ebx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static const uint8_t mov_ret[] = { 0xb0, 0, 0xc3 };     /* mov $0, %al; ret */

static void run_routine(uint64_t at, uint64_t write_at)
{
    guest_reset();
    GUEST_LOAD(CODE, routine);
    as_write(&as_memory, at, mov_ret, 3);
    guest_cpu(0)->state->gpr[R_RDI] = at;
    guest_cpu(0)->state->gpr[R_RSI] = write_at + 1;
    g_assert_cmpuint(run64(1), ==, low_bytes(1000));
}

static void test_routine(void)
{
    run_routine(CODE + 0x400, CODE + 0x400);
    run_routine(CODE + 0x1000, CODE + 0x1000);
    run_routine(CODE + 0x1000, GUEST_ALIAS + CODE + 0x1000);
    run_routine(CODE + 0x400, GUEST_ALIAS + CODE + 0x400);
    run_routine(GUEST_ALIAS + CODE + 0x400, CODE + 0x400);
    /* The immediate is the next page's first byte. */
    run_routine(CODE + 0x1fff, CODE + 0x1fff);
    run_routine(CODE + 0x1fff, GUEST_ALIAS + CODE + 0x1fff);
}

/* A routine that now and then writes to where it will return to. */
GUEST_CODE(caller, "64",
    "xor %ebx, %ebx\n mov $20000, %ecx\n"
    "1: call 3f\n"
    "2: mov $0, %al\n movzbl %al, %eax\n test %ecx, %ecx\n jz 4f\n"
    "add %eax, %ebx\n dec %ecx\n jmp 1b\n"
    "3: test $127, %cl\n jnz 5f\n mov %ch, 2b+1(%rip)\n 5: ret\n"
    "4: " GUEST_EXIT);

static void test_caller(void)
{
    uint64_t sum = 0;
    uint8_t last = 0;

    for (unsigned i = 20000; i; i--) {
        last = i & 127 ? last : i >> 8;
        sum += last;
    }
    guest_reset();
    GUEST_LOAD(CODE, caller);
    g_assert_cmpuint(run64(1), ==, sum);
}

/* Data beside code: stores to clean lines invalidate nothing. */
GUEST_CODE(neighbour, "64",
    "mov $100000, %ecx\n"
    "1: mov %ecx, 2f(%rip)\n add 2f(%rip), %rbx\n lock incl 2f+8(%rip)\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT
    ".fill 64, 1, 0xcc\n 2: .quad 0, 0\n");

static void test_neighbour(void)
{
    uint64_t before;

    guest_reset();
    GUEST_LOAD(CODE, neighbour);
    before = cache_n_invalidated;
    g_assert_cmpuint(run64(1), ==, UINT64_C(100000) * 100001 / 2);
    g_assert_cmpuint(cache_n_invalidated - before, <=, 2);
}

/* The same line holds a lock word and code. */
GUEST_CODE(lock_own, "64",
    "xor %ebx, %ebx\n mov $1000, %ecx\n"
    "1: lock incb 2f+1(%rip)\n"
    "2: mov $0, %al\n movzbl %al, %eax\n add %eax, %ebx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_lock_own(void)
{
    guest_reset();
    GUEST_LOAD(CODE, lock_own);
    g_assert_cmpuint(run64(1), ==, low_bytes(1000));
}

/* REP STOSB over the code that follows: it becomes INC EBX (ff c3). */
GUEST_CODE(rep, "64",
    "xor %ebx, %ebx\n lea 2f(%rip), %rdi\n mov $10, %ecx\n mov $0xc3ff, %eax\n"
    "rep stosw\n"
    "2: .fill 20, 1, 0x90\n" GUEST_EXIT);

static void test_rep(void)
{
    guest_reset();
    GUEST_LOAD(CODE, rep);
    g_assert_cmpuint(run64(1), ==, 10);
}

/* A store that crosses into the page of code. */
GUEST_CODE(crossing, "64",
    "xor %ebx, %ebx\n mov $1000, %ecx\n"
    "1: mov %ecx, %eax\n shl $24, %eax\n or $0xb0b0b0, %eax\n"
    "bswap %eax\n"              /* c, b0, b0, b0 from the top down */
    "movzbl %cl, %edx\n shl $24, %edx\n or $0x00b00000, %edx\n"
    "mov %edx, (%rsi)\n call *%rdi\n movzbl %al, %eax\n add %eax, %ebx\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_crossing(void)
{
    /* Opcode at the end of a page's last dword but one byte ... */
    guest_reset();
    GUEST_LOAD(CODE, crossing);
    memcpy(guest_ram + CODE + 0x2000, mov_ret, 3);
    guest_cpu(0)->state->gpr[R_RDI] = CODE + 0x2000;
    guest_cpu(0)->state->gpr[R_RSI] = CODE + 0x2000 - 2;
    g_assert_cmpuint(run64(1), ==, low_bytes(1000));
}

/* --- two vCPUs ---------------------------------------------------------------- */

/* CPU 1 writes the immediate and then the turn; CPU 0 waits and calls. */
GUEST_CODE(cross_runner, "64",
    "xor %ebx, %ebx\n mov $1, %ecx\n"
    "1: pause\n cmp %ecx, 0x200000\n jne 1b\n call *%rdi\n movzbl %al, %eax\n"
    "add %eax, %ebx\n mov %ecx, 0x200040\n add %rbp, %rdi\n inc %ecx\n"
    "cmp $501, %ecx\n jne 1b\n" GUEST_EXIT);
GUEST_CODE(cross_writer, "64",
    "mov $1, %ecx\n"
    "1: movw $0x00b0, (%rdi)\n movb $0xc3, 2(%rdi)\n mov %cl, 1(%rdi)\n"
    "mov %ecx, 0x200000\n"
    "2: pause\n cmp %ecx, 0x200040\n jne 2b\n add %rbp, %rdi\n inc %ecx\n"
    "cmp $501, %ecx\n jne 1b\n" GUEST_EXIT);

static void run_cross(uint64_t at, uint64_t write_at, uint64_t step)
{
    guest_reset();
    GUEST_LOAD(CODE, cross_runner);
    GUEST_LOAD(CODE + 0x8000, cross_writer);
    guest_cpu(0)->state->gpr[R_RDI] = at;
    guest_cpu(0)->state->gpr[R_RBP] = step;
    guest_cpu(1)->state->gpr[R_RDI] = write_at;
    guest_cpu(1)->state->gpr[R_RBP] = step;
    g_assert_cmpuint(run64(2), ==, low_bytes(500));
}

static void test_cross(void)
{
    run_cross(DATA + 0x1000, DATA + 0x1000, 0);
    run_cross(CODE + 0x800, CODE + 0x800, 0);       /* the runner's page */
    run_cross(CODE + 0x8800, CODE + 0x8800, 0);     /* the writer's */
    run_cross(DATA + 0x1000, GUEST_ALIAS + DATA + 0x1000, 0);
    /* A page that has held no code before, each time: write tags are old. */
    run_cross(DATA + 0x1000, DATA + 0x1000, 0x1000);
    run_cross(DATA + 0x1fff, DATA + 0x1fff, 0x1000);
    run_cross(DATA + 0x1000, DATA + 0x1000, 0x40);
}

/* --- a device ---------------------------------------------------------------------- */

GUEST_CODE(dma, "64",
    "xor %ebx, %ebx\n mov $1, %ecx\n"
    "1: call 2f\n cmp %cl, %al\n jne 1b\n mov %ecx, 0x200000\n inc %ecx\n"
    "cmp $100, %ecx\n jne 1b\n" GUEST_EXIT
    ".fill 64, 1, 0xcc\n 2: mov $0, %al\n ret\n");

static gpointer dma_thread(gpointer opaque)
{
    uint64_t at = GPOINTER_TO_SIZE(opaque);

    for (unsigned i = 1; i < 100; i++) {
        uint8_t b = i;

        as_write(&as_memory, at, &b, 1);
        while (*(volatile uint32_t *)(guest_ram + DATA) != i) {
            g_usleep(10);
        }
    }
    return NULL;
}

static void test_dma(void)
{
    GThread *thread;

    guest_reset();
    GUEST_LOAD(CODE, dma);
    thread = g_thread_new("dma", dma_thread,
                          GSIZE_TO_POINTER(CODE + (dma_end - dma) - 2));
    run64(1);
    g_thread_join(thread);
}

/* --- memory stays bounded ------------------------------------------------------------ */

/* 2000 routines of 256 bytes, each called; three rounds. */
GUEST_CODE(many, "64",
    "mov $3, %r8d\n"
    "1: mov $0x200000, %edi\n mov $2000, %ecx\n"
    "2: call *%rdi\n add $256, %edi\n dec %ecx\n jnz 2b\n"
    "dec %r8d\n jnz 1b\n" GUEST_EXIT);

static void test_bounded(void)
{
    uint64_t n_blocks, n_bytes;

    guest_reset();
    cache_init(128 * KiB);
    GUEST_LOAD(CODE, many);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t *p = guest_ram + DATA + 256 * i;

        for (unsigned j = 0; j < 100; j += 2) {
            p[j] = 0xff;                /* inc %ebx */
            p[j + 1] = 0xc3;
        }
        p[100] = 0xc3;
    }
    g_assert_cmpuint(run64(1), ==, 3 * 2000 * 50);
    cache_stats(&n_blocks, &n_bytes);
    g_assert_cmpuint(n_bytes, <=, 128 * KiB);
    g_assert_cmpuint(n_blocks, >, 10);
    cache_init(32 * MiB);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(2);
    g_test_add_func("/tcg/smc/own-line", test_own_line);
    g_test_add_func("/tcg/smc/routine", test_routine);
    g_test_add_func("/tcg/smc/caller", test_caller);
    g_test_add_func("/tcg/smc/neighbour", test_neighbour);
    g_test_add_func("/tcg/smc/lock", test_lock_own);
    g_test_add_func("/tcg/smc/rep", test_rep);
    g_test_add_func("/tcg/smc/crossing", test_crossing);
    g_test_add_func("/tcg/smc/other-cpu", test_cross);
    g_test_add_func("/tcg/smc/dma", test_dma);
    g_test_add_func("/tcg/smc/bounded", test_bounded);
    status = g_test_run();
    guest_free();
    return status;
}
