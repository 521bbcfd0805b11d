/*
 * Start of a test guest: multiboot to 64-bit mode, processors that wait for
 * SIPI, a stub for each vector.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
        .section .header, "a"
        .balign 4
        .long   0x1badb002, 0, -0x1badb002

STACK_BYTES = 16384
N_CPUS = 64

        .text
        .code32
        .globl  _start
_start: mov     $stacks + STACK_BYTES, %esp
        call    enter_long
        ljmp    $0x08, $start64

/* PAE, NX, SSE; paging with the tables below, which map 4 GiB on themselves. */
enter_long:
        lgdt    gdtr
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %ss
        mov     %cr4, %eax
        or      $0x620, %eax
        mov     %eax, %cr4
        mov     $page_root, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x900, %eax
        wrmsr
        mov     $0x80010033, %eax
        mov     %eax, %cr0
        ret

        .code64
start64:
        xor     %edi, %edi
        call    cpu_start
        call    main
        mov     %eax, %edi
        call    finish

/* An application processor: real mode at 8000h, its number from a counter. */
        .code16
        .globl  ap_start, ap_end
ap_start:
        cli
        lgdtl   %cs:ap_gdtr - ap_start
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $0x18, $ap32
ap_gdtr:
        .word   gdt_end - gdt - 1
        .long   gdt
ap_end:

        .code32
ap32:   mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %ss
        mov     $1, %ebx
        lock xadd %ebx, n_started
        mov     %ebx, %esp
        inc     %esp
        imul    $STACK_BYTES, %esp
        add     $stacks, %esp
        push    %ebx
        call    enter_long
        pop     %ebx
        ljmp    $0x08, $ap64
        .code64
ap64:   mov     %ebx, %edi
        call    cpu_start
1:      call    ap_loop
        jmp     1b

/* Vector n: pushes an error code if the processor did not, and n. */
        .balign 16
        .globl  stubs
stubs:
        .set    n, 0
        .rept   256
        .balign 16
        .if     n != 8 && n != 10 && n != 11 && n != 12 && n != 13 && n != 14 \
                && n != 17 && n != 21
        push    $0
        .endif
        push    $n
        jmp     common
        .set    n, n + 1
        .endr

common: push    %r15
        push    %r14
        push    %r13
        push    %r12
        push    %r11
        push    %r10
        push    %r9
        push    %r8
        push    %rdi
        push    %rsi
        push    %rbp
        push    %rbx
        push    %rdx
        push    %rcx
        push    %rax
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbp
        and     $-16, %rsp
        call    dispatch
        mov     %rbp, %rsp
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rbx
        pop     %rbp
        pop     %rsi
        pop     %rdi
        pop     %r8
        pop     %r9
        pop     %r10
        pop     %r11
        pop     %r12
        pop     %r13
        pop     %r14
        pop     %r15
        add     $16, %rsp
        .globl  stub_iret
stub_iret:
        iretq

        .data
        .balign 8
        .globl  n_started
n_started: .long 1
        .balign 16
        .globl  gdt, gdt_tss
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* 08h code, 64 bits */
        .quad   0x00cf93000000ffff      /* 10h data */
        .quad   0x00cf9b000000ffff      /* 18h code, 32 bits */
        .quad   0x00cffb000000ffff      /* 23h user code, 32 bits */
        .quad   0x00cff3000000ffff      /* 2bh user data */
        .quad   0x00affb000000ffff      /* 33h user code, 64 bits */
gdt_tss:
        .fill   2 * N_CPUS, 8, 0        /* 38h, 16 bytes for each processor */
gdt_end:
        .globl  gdtr
gdtr:   .word   gdt_end - gdt - 1
        .quad   gdt

        .balign 4096
        .globl  page_root, page_dirs
page_root:
        .quad   page_pdpt + 7
        .fill   511, 8, 0
page_pdpt:
        .set    n, 0
        .rept   4
        .quad   page_dirs + n * 4096 + 7
        .set    n, n + 1
        .endr
        .fill   508, 8, 0
page_dirs:
        .set    n, 0
        .rept   2048
        .quad   n * 0x200000 + 0xe3
        .set    n, n + 1
        .endr

        .bss
        .balign 4096
stacks: .skip   STACK_BYTES * (N_CPUS + 1)

        .section .note.GNU-stack, "", @progbits
