/*
 * Guest instructions a second of the interpreter, by kind of code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../unit/tcg/guest.h"

#include <stdio.h>
#include <time.h>

enum { CODE = 0x10000, TABLES = 0x100000 };

/* Stop at once: what the guest does until it is stopped would count. */
#define BENCH_EXIT "out %al, $0xf4\n0: hlt\n jmp 0b\n"

/* Processor time, for the host may have other work. */
static double now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

GUEST_CODE(k_alu, "64",
    "mov $20000000, %ecx\n"
    "1: add %rcx, %rax\n xor %rax, %rbx\n lea 3(%rbx,%rax,2), %rdx\n"
    "dec %ecx\n jnz 1b\n" BENCH_EXIT);

GUEST_CODE(k_sieve, "64",
    "mov $60, %r8d\n"
    "0: mov $0x200000, %edi\n mov $0x10000, %ecx\n mov $1, %al\n rep stosb\n"
    "mov $2, %esi\n"
    "1: cmpb $0, 0x200000(%rsi)\n je 3f\n"
    "lea (%rsi,%rsi), %edx\n"
    "2: cmp $0x10000, %edx\n jae 3f\n movb $0, 0x200000(%rdx)\n"
    "add %esi, %edx\n jmp 2b\n"
    "3: inc %esi\n cmp $0x10000, %esi\n jb 1b\n"
    "dec %r8d\n jnz 0b\n" BENCH_EXIT);

GUEST_CODE(k_crc, "64",
    "xor %eax, %eax\n mov $10000000, %ecx\n mov $0x300000, %edi\n"
    "1: movzbl (%rdi), %edx\n xor %al, %dl\n movzbl %dl, %edx\n shr $8, %eax\n"
    "xor 0x200000(,%rdx,4), %eax\n inc %rdi\n and $0x30ffff, %edi\n"
    "dec %ecx\n jnz 1b\n" BENCH_EXIT);

GUEST_CODE(k_fib, "64",
    "mov $30, %edi\n call 1f\n" BENCH_EXIT
    "1: cmp $2, %edi\n jb 2f\n push %rdi\n dec %edi\n call 1b\n"
    "mov (%rsp), %edi\n mov %rax, (%rsp)\n sub $2, %edi\n call 1b\n"
    "pop %rdx\n add %rdx, %rax\n ret\n"
    "2: mov %edi, %eax\n ret\n");

/* A computed goto over eight little routines in a 4 KiB program. */
GUEST_CODE(k_goto, "64",
    "mov $6000000, %ecx\n mov $0x200000, %esi\n mov %rsi, %rdi\n"
    "lea 9f(%rip), %r8\n"
    "mov $4095, %edx\n mov $12345, %eax\n"
    "1: imul $1103515245, %eax, %eax\n add $12345, %eax\n mov %eax, %ebx\n"
    "shr $16, %ebx\n and $7, %bl\n mov %bl, (%rdi,%rdx)\n dec %edx\n jns 1b\n"
    "xor %edx, %edx\n"
    ".macro dispatch\n movzbl (%rsi,%rdx), %ebx\n inc %edx\n and $4095, %edx\n"
    "dec %ecx\n jz 8f\n shl $6, %ebx\n add %r8, %rbx\n jmp *%rbx\n .endm\n"
    "dispatch\n"
    ".balign 64\n9:\n"
    "add %rdx, %rax\n dispatch\n .balign 64\n"
    "sub %rdx, %rax\n dispatch\n .balign 64\n"
    "xor %rdx, %rax\n dispatch\n .balign 64\n"
    "lea (%rax,%rdx), %rax\n dispatch\n .balign 64\n"
    "or %rdx, %rax\n dispatch\n .balign 64\n"
    "rol $3, %rax\n dispatch\n .balign 64\n"
    "not %rax\n dispatch\n .balign 64\n"
    "neg %rax\n dispatch\n .balign 64\n"
    "8:\n" BENCH_EXIT);

GUEST_CODE(k_chase, "64",
    /* A cycle through 1024 pages, 4 nodes a page. */
    "mov $0x400000, %edi\n mov $0, %ecx\n"
    "1: lea 2347(%rcx), %edx\n and $4095, %edx\n"
    "mov %ecx, %eax\n shl $10, %eax\n mov %edx, %ebx\n shl $10, %ebx\n"
    "add %edi, %ebx\n mov %rbx, (%rdi,%rax)\n mov %edx, %ecx\n test %ecx, %ecx\n"
    "jnz 1b\n"
    "mov $10000000, %ecx\n mov %rdi, %rax\n"
    "2: mov (%rax), %rax\n dec %ecx\n jnz 2b\n" BENCH_EXIT);

/* More pages than the TLB has entries: each load is a walk. */
GUEST_CODE(k_tlb, "64",
    "mov $400, %ecx\n"
    "1: mov $0x200000, %esi\n mov $0x40200000, %edi\n mov $3072, %edx\n"
    "2: mov (%rsi), %eax\n mov (%rdi), %eax\n add $4096, %esi\n"
    "add $4096, %edi\n dec %edx\n jnz 2b\n dec %ecx\n jnz 1b\n" BENCH_EXIT);

/* Load of CR3, two calls, two loads. */
GUEST_CODE(k_cr3, "64",
    "mov $500000, %ecx\n mov %cr3, %rbx\n"
    "1: mov %rbx, %cr3\n call 2f\n call 2f\n mov 0x200000, %eax\n"
    "mov 0x300000, %eax\n dec %ecx\n jnz 1b\n" BENCH_EXIT
    "2: ret\n");

GUEST_CODE(k_movsb, "64",
    "mov $20000, %r8d\n"
    "1: mov $0x200000, %esi\n mov $0x280000, %edi\n mov $0x10000, %ecx\n"
    "rep movsb\n dec %r8d\n jnz 1b\n" BENCH_EXIT);

/* System calls that do nothing: SYSCALL, SWAPGS twice, SYSRET. */
GUEST_CODE(k_syscall, "64",
    "mov $0xc0000081, %ecx\n xor %eax, %eax\n mov $0x00130008, %edx\n wrmsr\n"
    "mov $0xc0000082, %ecx\n lea 5f(%rip), %eax\n xor %edx, %edx\n wrmsr\n"
    "mov $0xc0000084, %ecx\n mov $0x200, %eax\n wrmsr\n"
    "mov $1000000, %ebx\n lea 1f(%rip), %ecx\n mov $0x3002, %r11d\n sysretq\n"
    "1: syscall\n dec %ebx\n jnz 1b\n" GUEST_EXIT
    "5: swapgs\n swapgs\n sysretq\n");

/* y = a x + y over 16 KiB, four floats at a time. */
GUEST_CODE(k_saxpy, "64",
    "mov $10000, %r8d\n xorps %xmm1, %xmm1\n"
    "1: mov $0x200000, %edx\n mov $0x204000, %eax\n mov $0x208000, %ecx\n"
    "2: movaps (%rdx), %xmm0\n add $16, %rax\n add $16, %rdx\n"
    "mulps %xmm1, %xmm0\n addps -16(%rax), %xmm0\n"
    "movaps %xmm0, -16(%rax)\n cmp %rax, %rcx\n jne 2b\n"
    "dec %r8d\n jnz 1b\n" BENCH_EXIT);

/* The distance of two of n-body's bodies. */
GUEST_CODE(k_nbody, "64",
    "mov $5000000, %r9d\n mov $0x200000, %eax\n mov $0x200040, %ebp\n"
    "mov $0x200080, %r8d\n"
    "1: xor %edi, %edi\n xorps %xmm1, %xmm1\n"
    "2: movsd (%rax,%rdi,1), %xmm0\n subsd (%rbp,%rdi,1), %xmm0\n"
    "movsd %xmm0, (%r8,%rdi,1)\n mulsd %xmm0, %xmm0\n add $8, %rdi\n"
    "addsd %xmm0, %xmm1\n cmp $24, %rdi\n jne 2b\n"
    "dec %r9d\n jnz 1b\n" BENCH_EXIT);

GUEST_CODE(k_x87, "64",
    "fninit\n mov $1000, %edx\n fldz\n fldz\n fld1\n"
    "1: mov $1, %eax\n"
    "2: mov %eax, -0x18(%rsp)\n fildl -0x18(%rsp)\n add $1, %eax\n"
    "fdivr %st(1), %st\n fld %st(0)\n fmul %st(1), %st\n"
    "fmul %st(1), %st\n fsubrp %st, %st(1)\n faddp %st, %st(3)\n"
    "cmp $0x2711, %eax\n jne 2b\n"
    "dec %edx\n jnz 1b\n" BENCH_EXIT);

static const struct {
    const char *name;
    const uint8_t *code, *end;
    uint64_t bytes;             /* moved, in place of instructions */
} kernels[] = {
    { "alu", k_alu, k_alu_end },
    { "sieve", k_sieve, k_sieve_end },
    { "crc", k_crc, k_crc_end },
    { "fib", k_fib, k_fib_end },
    { "goto", k_goto, k_goto_end },
    { "chase", k_chase, k_chase_end },
    { "syscall", k_syscall, k_syscall_end },
    { "tlb", k_tlb, k_tlb_end },
    { "cr3", k_cr3, k_cr3_end },
    { "saxpy", k_saxpy, k_saxpy_end },
    { "nbody", k_nbody, k_nbody_end },
    { "x87", k_x87, k_x87_end },
    { "movsb", k_movsb, k_movsb_end, UINT64_C(20000) * 65536 },
};

int main(int argc, char **argv)
{
    guest_init(1);
    for (unsigned i = 0; i < G_N_ELEMENTS(kernels); i++) {
        uint64_t n;
        double us;

        if (argc > 1 && strcmp(argv[1], kernels[i].name)) {
            continue;
        }
        guest_reset();
        guest_load(CODE, kernels[i].code, kernels[i].end);
        guest_long(0, CODE, TABLES);
        n = guest_insns();
        us = now_us();
        guest_run(1);
        us = now_us() - us;
        n = guest_insns() - n;
        if (kernels[i].bytes) {
            printf("%-7s %7.0f MB/s\n", kernels[i].name,
                   kernels[i].bytes / us);
        } else {
            printf("%-7s %7.1f M/s  (%" PRIu64 " instructions in %.0f ms)\n",
                   kernels[i].name, n / us, n, us / 1000);
        }
        fflush(stdout);
    }
    guest_free();
    return 0;
}
