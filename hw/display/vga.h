/*
 * The VGA core, which knows no bus.
 *
 * Video memory is kept as the CPU sees it in chain-4 modes: byte n of plane p is
 * at 4 * n + p.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_DISPLAY_VGA_H
#define HW_DISPLAY_VGA_H

#include "core/device.h"
#include "hw/display/display.h"

enum {                          /* sequencer */
    SEQ_CLOCKING = 1, SEQ_MAP_MASK, SEQ_FONT, SEQ_MODE, SEQ_N = 8,
};
enum { SEQ_CLOCKING_8DOT = 1 << 0, SEQ_CLOCKING_OFF = 1 << 5,
       SEQ_MODE_SEQUENTIAL = 1 << 2, SEQ_MODE_CHAIN4 = 1 << 3 };
enum {                          /* graphics controller */
    GR_SET_RESET, GR_ENABLE, GR_COMPARE, GR_ROTATE, GR_READ_MAP, GR_MODE,
    GR_MISC, GR_DONT_CARE, GR_MASK, GR_N = 16,
};
enum { GR_MODE_READ = 1 << 3, GR_MODE_ODD_EVEN = 1 << 4,
       GR_MISC_GRAPHICS = 1 << 0 };
enum {                          /* CRT controller */
    CR_H_END = 1, CR_OVERFLOW = 7, CR_MAX_SCAN = 9, CR_CURSOR_START = 10,
    CR_CURSOR_END, CR_START_HIGH, CR_START_LOW, CR_CURSOR_HIGH,
    CR_CURSOR_LOW, CR_V_RETRACE_END = 17, CR_V_END, CR_OFFSET,
    CR_MODE = 23, CR_LINE_COMPARE, CR_N = 32,
};
enum { AR_MODE = 16, AR_OVERSCAN, AR_PLANES, AR_PAN, AR_COLOR, AR_N = 21 };
enum {                          /* Bochs' extension */
    VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_X,
    VBE_VIRT_Y, VBE_X_OFFSET, VBE_Y_OFFSET, VBE_MEMORY, VBE_N,
};
enum { VBE_ENABLED = 1 << 0, VBE_GET_CAPS = 1 << 1, VBE_8BIT_DAC = 1 << 5,
       VBE_LFB = 1 << 6, VBE_KEEP_MEMORY = 1 << 7 };
enum { VBE_MAX_X = 2560, VBE_MAX_Y = 1600 };

typedef struct Vga {
    Region vram;                /* RAM */
    uint8_t *mem;               /* (C) its host memory */
    uint32_t mem_bytes;         /* (C) power of two */

    uint8_t misc, feature;
    uint8_t seq_index, seq[SEQ_N];
    uint8_t gr_index, gr[GR_N];
    uint8_t cr_index, cr[CR_N];
    uint8_t ar_index, ar[AR_N];
    bool ar_data;               /* the next write to 3C0h is data */
    uint8_t dac_mask, dac_read, dac_write, dac_at, dac_state;
    uint8_t dac[768], dac_new[3];
    uint32_t latch;             /* the four planes' */
    uint16_t vbe_index, vbe[VBE_N];

    bool fresh;                 /* memory is zero, as the host gave it */
} Vga;

bool vga_init(Vga *s, Object *owner, uint32_t mem_bytes, GError **err);
void vga_destroy(Vga *s);
void vga_reset(Vga *s);
extern const State vga_state;

uint8_t vga_port_read(Vga *s, uint16_t port);           /* 3B0h to 3DFh */
void vga_port_write(Vga *s, uint16_t port, uint8_t val);
uint8_t vga_window_read(Vga *s, uint32_t at);           /* from A0000h */
void vga_window_write(Vga *s, uint32_t at, uint8_t val);
uint16_t vga_vbe_read(Vga *s);
void vga_vbe_write(Vga *s, uint16_t val);

void vga_picture(void *vga, DisplayImage *image);
char *vga_text(void *vga);

static inline bool vga_vbe_on(const Vga *s)
{
    return s->vbe[VBE_ENABLE] & VBE_ENABLED;
}
/* Bytes of a line of the virtual screen. */
uint32_t vga_vbe_line_bytes(const Vga *s);

#endif
