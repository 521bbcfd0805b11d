/*
 * The option ROM with which a PC BIOS starts -kernel: it fetches setup code,
 * command line, kernel and initrd from fw_cfg and jumps to the real-mode
 * entry.  hw/boot/linux-rom.c gives it to SeaBIOS.
 *
 * Spec:  Plug and Play BIOS 1.0A, 3.2 (expansion headers, boot entry vector);
 *        Linux Documentation/arch/x86/boot.rst, "Running the kernel"; QEMU,
 *        docs/specs/fw_cfg.rst.
 *
 * fw_cfg's DMA reaches all of memory, so nothing here leaves real mode.  SS:0
 * is the descriptor, SS:20h what a number is read to; the BIOS's own stack may
 * be anywhere, so it is not used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
    .set STACK_SEG, 0x5000
    .set STACK_TOP, 0x1000
    .set NUMBER, 0x20
    .set DMA_PORT, 0x514            # high half, big-endian; the low half starts
    .set DMA_READ_SELECT, 0x0a
    .set KERNEL_ADDR, 0x07
    .set KERNEL_SIZE, 0x08
    .set KERNEL_DATA, 0x11
    .set INITRD_ADDR, 0x0a
    .set INITRD_SIZE, 0x0b
    .set INITRD_DATA, 0x12
    .set CMDLINE_ADDR, 0x13
    .set CMDLINE_SIZE, 0x14
    .set CMDLINE_DATA, 0x15
    .set SETUP_ADDR, 0x16
    .set SETUP_SIZE, 0x17
    .set SETUP_DATA, 0x18
    .set SETUP_ENTRY_PARAS, 0x20    # 200h bytes
    .set SETUP_STACK, 0xfff0

    .section .rodata
    .globl linux_rom, linux_rom_end
    .balign 16
    .code16
linux_rom:
    .byte 0x55, 0xaa
    .byte 1                         # units of 512 bytes
    xor %ax, %ax                    # initialization: nothing to do
    lret
    .org linux_rom + 0x1a
    .word pnp - linux_rom
    .balign 16
pnp:
    .ascii "$PnP"
    .byte 1, 2                      # revision, units of 16 bytes
    .word 0                         # no other header
    .byte 0, 0                      # checksum: by linux-rom.c
    .long 0
    .word 0, product - linux_rom
    .byte 0, 0, 0, 0
    .word 0, 0, boot - linux_rom    # boot entry vector
    .word 0, 0
product:
    .asciz "Kernel of -kernel"

boot:
    cli
    cld
    mov $STACK_SEG, %ax
    mov %ax, %ss
    mov $STACK_TOP, %sp
    mov $SETUP_ADDR, %bx
    mov $SETUP_SIZE, %si
    mov $SETUP_DATA, %bp
    call part
    mov $CMDLINE_ADDR, %bx
    mov $CMDLINE_SIZE, %si
    mov $CMDLINE_DATA, %bp
    call part
    mov $KERNEL_ADDR, %bx
    mov $KERNEL_SIZE, %si
    mov $KERNEL_DATA, %bp
    call part
    mov $INITRD_ADDR, %bx
    mov $INITRD_SIZE, %si
    mov $INITRD_DATA, %bp
    call part

    mov $SETUP_ADDR, %bx
    call number
    shr $4, %eax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $SETUP_STACK, %sp
    add $SETUP_ENTRY_PARAS, %ax
    push %ax
    push $0
    lret

/* Fetch what is described by the items BX (address), SI (size), BP (data). */
part:
    call number
    mov %eax, %edi
    mov %si, %bx
    call number
    mov %eax, %ecx
    mov %bp, %bx
    jecxz 1f                        # there is no initrd
    jmp dma
1:  ret

/* EAX: the number in item BX. */
number:
    push %edi
    mov $(STACK_SEG << 4) + NUMBER, %edi
    mov $4, %ecx
    call dma
    mov %ss:NUMBER, %eax
    pop %edi
    ret

/* ECX bytes of item BX to physical address EDI. */
dma:
    movzwl %bx, %eax
    shl $16, %eax
    or $DMA_READ_SELECT, %eax
    bswap %eax
    mov %eax, %ss:0
    bswap %ecx
    mov %ecx, %ss:4
    movl $0, %ss:8
    bswap %edi
    mov %edi, %ss:12
    xor %eax, %eax
    mov $DMA_PORT, %dx
    outl %eax, %dx
    mov $(STACK_SEG << 4), %eax
    bswap %eax
    add $4, %dx
    outl %eax, %dx
1:  mov %ss:0, %eax                 # zero when it is done
    test %eax, %eax
    jz 2f
    cmp $0x01000000, %eax           # an error: the next boot device
    jne 1b
    int $0x18
2:  ret
    .org linux_rom + 511
    .byte 0                         # checksum: by linux-rom.c
linux_rom_end:
    .section .note.GNU-stack, "", @progbits
