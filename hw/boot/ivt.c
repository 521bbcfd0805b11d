/*
 * A BIOS that is not there: the interrupt vectors of a direct boot.
 *
 * Xen and other multiboot kernels go back to real mode to ask for disks, video
 * modes and power management.  They ask in vain, and are told so as a BIOS
 * tells it: CF set, AH=86h, "function not supported".  Equipment and memory
 * size come from the BIOS data area; hardware interrupts are acknowledged; who
 * jumps to the reset vector resets the machine.
 *
 * Spec:  IBM PS/2 and PC BIOS Interface Technical Reference, section 2.
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

/* Offsets in the code below, which is at BOOT_BIOS_GPA. */
enum { IGNORE = 0x0f, MASTER_IRQ = 0x10, SLAVE_IRQ = 0x20, EQUIPMENT = 0x30,
       MEMORY_SIZE = 0x40, UNSUPPORTED = 0x50, RESET = 0xf0 };

enum { INT_EQUIPMENT = 0x11, INT_MEMORY_SIZE = 0x12 };

static const uint8_t code[256] = {
    [IGNORE] = 0xcf,                    /* iret */
    [MASTER_IRQ] = 0x50,                /* push ax */
        0xb0, 0x20,                     /* mov al, 20h  (EOI) */
        0xe6, 0x20,                     /* out 20h, al */
        0x58,                           /* pop ax */
        0xcf,                           /* iret */
    [SLAVE_IRQ] = 0x50,                 /* push ax */
        0xb0, 0x20,                     /* mov al, 20h */
        0xe6, 0xa0,                     /* out a0h, al */
        0xe6, 0x20,                     /* out 20h, al */
        0x58,                           /* pop ax */
        0xcf,                           /* iret */
    [EQUIPMENT] = 0x1e,                 /* push ds */
        0x6a, 0x40, 0x1f,               /* push 40h; pop ds */
        0xa1, 0x10, 0x00,               /* mov ax, [10h] */
        0x1f,                           /* pop ds */
        0xcf,                           /* iret */
    [MEMORY_SIZE] = 0x1e,               /* push ds */
        0x6a, 0x40, 0x1f,               /* push 40h; pop ds */
        0xa1, 0x13, 0x00,               /* mov ax, [13h] */
        0x1f,                           /* pop ds */
        0xcf,                           /* iret */
    [UNSUPPORTED] = 0x55,               /* push bp */
        0x89, 0xe5,                     /* mov bp, sp */
        0x80, 0x4e, 0x06, 0x01,         /* or byte [bp+6], 1  (the caller's CF) */
        0x5d,                           /* pop bp */
        0xb4, 0x86,                     /* mov ah, 86h */
        0xcf,                           /* iret */
    [RESET] = 0xb0, 0xfe,               /* mov al, feh */
        0xe6, 0x64,                     /* out 64h, al  (the 8042's reset line) */
        0xf4,                           /* hlt */
        0xeb, 0xfd,                     /* jmp $-1 */
};

static unsigned handler_of(unsigned vector)
{
    return vector < 8 ? IGNORE
           : vector < 0x10 ? MASTER_IRQ
           : vector >= 0x70 && vector < 0x78 ? SLAVE_IRQ
           : vector == INT_EQUIPMENT ? EQUIPMENT
           : vector == INT_MEMORY_SIZE ? MEMORY_SIZE : UNSUPPORTED;
}

void boot_write_ivt(void)
{
    uint16_t ivt[256][2];

    for (unsigned i = 0; i < 256; i++) {
        ivt[i][0] = (BOOT_BIOS_GPA & 0xffff) + handler_of(i);
        ivt[i][1] = 0xf000;
    }
    as_write(&as_memory, 0, ivt, sizeof(ivt));
    as_write(&as_memory, BOOT_BIOS_GPA, code, sizeof(code));
}
