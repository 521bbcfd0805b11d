/*
 * VGA registers, the window at A0000h, and Bochs' VBE registers.
 *
 * Spec:   IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem";
 *         Bochs' VBE_DISPI interface, version 5.
 * Models: sequencer, graphics and CRT controllers, attributes, DAC, planes with
 *         all write and read modes, chain-4, odd/even.  Retrace bits follow
 *         the clock; there is no interrupt.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vga.h"

#include "base/opts.h"
#include "loop/timer.h"

enum {
    PORT_AR = 0x3c0, PORT_AR_READ, PORT_MISC, PORT_SEQ = 0x3c4,
    PORT_SEQ_DATA, PORT_DAC_MASK, PORT_DAC_READ, PORT_DAC_WRITE,
    PORT_DAC_DATA, PORT_FEATURE, PORT_MISC_READ = 0x3cc, PORT_GR = 0x3ce,
    PORT_GR_DATA, PORT_CR = 0x3d4, PORT_CR_DATA, PORT_STATUS = 0x3da,
};
enum { MISC_COLOR = 1 << 0 };
enum { STATUS_BLANK = 1 << 0, STATUS_RETRACE = 1 << 3 };

/* --- ports -------------------------------------------------------------------------- */

/* 60 lines of 525 are retrace, a fifth of each line is blank. */
static uint8_t status(void)
{
    int64_t ns = clock_ns(CLK_VIRTUAL) % (NS_PER_SEC / 60);
    int64_t line_ns = NS_PER_SEC / 60 / 525;
    uint8_t val = 0;

    if (ns / line_ns >= 480) {
        val |= STATUS_BLANK | (ns / line_ns < 490 ? 0 : STATUS_RETRACE);
    }
    if (ns % line_ns >= line_ns * 4 / 5) {
        val |= STATUS_BLANK;
    }
    return val;
}

static void dac_write(Vga *s, uint8_t val)
{
    s->dac_new[s->dac_at++] = val;
    if (s->dac_at == 3) {
        memcpy(s->dac + 3 * s->dac_write++, s->dac_new, 3);
        s->dac_at = 0;
    }
}

static uint8_t dac_read(Vga *s)
{
    uint8_t val = s->dac[3 * s->dac_read + s->dac_at++];

    if (s->dac_at == 3) {
        s->dac_read++;
        s->dac_at = 0;
    }
    return val;
}

/* The bits that are there. */
static const uint8_t ar_masks[AR_N] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};
static const uint8_t seq_masks[SEQ_N] = {
    0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff,
};
static const uint8_t gr_masks[GR_N] = {
    0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff,
};

static void ar_write(Vga *s, uint8_t val)
{
    unsigned i = s->ar_index & 31;

    if (!s->ar_data) {
        s->ar_index = val & 0x3f;
    } else if (i < AR_N && (i >= 16 || !(s->ar_index & 0x20))) {
        s->ar[i] = val & ar_masks[i];
    }
    s->ar_data = !s->ar_data;
}

static void cr_write(Vga *s, uint8_t val)
{
    unsigned i = s->cr_index & (CR_N - 1);

    if (s->cr[CR_V_RETRACE_END] & 0x80 && i <= CR_OVERFLOW) {
        if (i == CR_OVERFLOW) { /* but for the line compare bit */
            s->cr[i] = (s->cr[i] & ~0x10) | (val & 0x10);
        }
        return;
    }
    s->cr[i] = val;
}

/* 3B0h-3BFh or 3D0h-3DFh: whichever MISC has not chosen does not answer. */
static bool answers(const Vga *s, uint16_t port)
{
    return port < 0x3c0 ? !(s->misc & MISC_COLOR)
           : port < 0x3d0 || s->misc & MISC_COLOR;
}

static uint16_t as_color(uint16_t port)
{
    return port < 0x3c0 ? port + 0x20 : port;
}

uint8_t vga_port_read(Vga *s, uint16_t port)
{
    if (!answers(s, port)) {
        return 0xff;
    }
    switch (as_color(port)) {
    case PORT_AR:
        return s->ar_data ? 0 : s->ar_index;
    case PORT_AR_READ:
        return (s->ar_index & 31) < AR_N ? s->ar[s->ar_index & 31] : 0;
    case PORT_MISC:             /* input status 0 */
        return 0;
    case PORT_SEQ:
        return s->seq_index;
    case PORT_SEQ_DATA:
        return s->seq[s->seq_index];
    case PORT_DAC_MASK:
        return s->dac_mask;
    case PORT_DAC_READ:
        return s->dac_state;
    case PORT_DAC_WRITE:
        return s->dac_write;
    case PORT_DAC_DATA:
        return dac_read(s);
    case PORT_FEATURE:
        return s->feature;
    case PORT_MISC_READ:
        return s->misc;
    case PORT_GR:
        return s->gr_index;
    case PORT_GR_DATA:
        return s->gr[s->gr_index];
    case PORT_CR:
        return s->cr_index;
    case PORT_CR_DATA:
        return s->cr[s->cr_index & (CR_N - 1)];
    case PORT_STATUS:
        s->ar_data = false;
        return status();
    default:
        return 0;
    }
}

void vga_port_write(Vga *s, uint16_t port, uint8_t val)
{
    if (!answers(s, port)) {
        return;
    }
    switch (as_color(port)) {
    case PORT_AR:
        ar_write(s, val);
        break;
    case PORT_MISC:
        s->misc = val & ~0x10;
        break;
    case PORT_SEQ:
        s->seq_index = val & (SEQ_N - 1);
        break;
    case PORT_SEQ_DATA:
        s->seq[s->seq_index] = val & seq_masks[s->seq_index];
        break;
    case PORT_DAC_MASK:
        s->dac_mask = val;
        break;
    case PORT_DAC_READ:
        s->dac_read = val;
        s->dac_at = 0;
        s->dac_state = 3;
        break;
    case PORT_DAC_WRITE:
        s->dac_write = val;
        s->dac_at = 0;
        s->dac_state = 0;
        break;
    case PORT_DAC_DATA:
        dac_write(s, val);
        break;
    case PORT_GR:
        s->gr_index = val & (GR_N - 1);
        break;
    case PORT_GR_DATA:
        s->gr[s->gr_index] = val & gr_masks[s->gr_index];
        break;
    case PORT_CR:
        s->cr_index = val;
        break;
    case PORT_CR_DATA:
        cr_write(s, val);
        break;
    case PORT_STATUS:
        s->feature = val & 0x10;
        break;
    }
}

/* --- the window ------------------------------------------------------------------------ */

/* An address of the window in the map that GR_MISC chose, or UINT32_MAX. */
static uint32_t map(const Vga *s, uint32_t at)
{
    switch (s->gr[GR_MISC] >> 2 & 3) {
    case 0:
        return at;
    case 1:
        return at < 0x10000 ? at + ((uint32_t)s->vbe[VBE_BANK] << 16)
               : UINT32_MAX;
    case 2:
        return at >= 0x10000 && at < 0x18000 ? at - 0x10000 : UINT32_MAX;
    default:
        return at >= 0x18000 ? at - 0x18000 : UINT32_MAX;
    }
}

static uint32_t spread(uint8_t planes)
{
    return (planes & 1 ? 0xff : 0) | (planes & 2 ? 0xff00 : 0)
           | (planes & 4 ? 0xff0000 : 0) | (planes & 8 ? 0xff000000 : 0);
}

static bool is_chained(const Vga *s)
{
    return s->seq[SEQ_MODE] & SEQ_MODE_CHAIN4;
}

static bool is_odd_even(const Vga *s)
{
    return s->gr[GR_MODE] & GR_MODE_ODD_EVEN;
}

/* Where an odd/even access goes: the low bit chooses the plane of a pair. */
static uint32_t odd_even(const Vga *s, uint32_t at, unsigned *plane)
{
    *plane = (s->gr[GR_READ_MAP] & 2) | (at & 1);
    return (at >> 1) * 4 + *plane;
}

uint8_t vga_window_read(Vga *s, uint32_t at)
{
    uint32_t mask = s->mem_bytes - 1, a = map(s, at), differ;
    unsigned plane;

    if (a == UINT32_MAX) {
        return 0xff;
    }
    if (is_chained(s)) {
        return s->mem[a & mask];
    }
    if (is_odd_even(s)) {
        return s->mem[odd_even(s, a, &plane) & mask];
    }
    s->latch = load_le32(s->mem + (4 * a & mask));
    if (!(s->gr[GR_MODE] & GR_MODE_READ)) {
        return s->latch >> 8 * s->gr[GR_READ_MAP];
    }
    differ = (s->latch ^ spread(s->gr[GR_COMPARE]))
             & spread(s->gr[GR_DONT_CARE]);
    differ |= differ >> 16;
    return ~(differ | differ >> 8);
}

/* GR_ROTATE's function of what is written and the latches. */
static uint32_t combine(const Vga *s, uint32_t val)
{
    switch (s->gr[GR_ROTATE] >> 3 & 3) {
    case 1:
        return val & s->latch;
    case 2:
        return val | s->latch;
    case 3:
        return val ^ s->latch;
    default:
        return val;
    }
}

static uint8_t rotate(const Vga *s, uint8_t val)
{
    unsigned n = s->gr[GR_ROTATE] & 7;

    return val >> n | val << (8 - n);
}

static uint32_t planar_value(const Vga *s, uint8_t val)
{
    uint32_t bits = s->gr[GR_MASK] * 0x01010101u;
    uint32_t set = spread(s->gr[GR_SET_RESET]);
    uint32_t enable = spread(s->gr[GR_ENABLE]), v;

    switch (s->gr[GR_MODE] & 3) {
    case 0:
        v = rotate(s, val) * 0x01010101u;
        v = combine(s, (v & ~enable) | (set & enable));
        break;
    case 1:
        return s->latch;
    case 2:
        v = combine(s, spread(val));
        break;
    default:
        bits &= rotate(s, val) * 0x01010101u;
        v = combine(s, set);
        break;
    }
    return (v & bits) | (s->latch & ~bits);
}

void vga_window_write(Vga *s, uint32_t at, uint8_t val)
{
    uint32_t mask = s->mem_bytes - 1, a = map(s, at), planes, old;
    unsigned plane;

    if (a == UINT32_MAX) {
        return;
    }
    if (is_chained(s) || is_odd_even(s)) {
        if (is_chained(s)) {
            plane = a & 3;
        } else {
            a = odd_even(s, a, &plane);
        }
        if (s->seq[SEQ_MAP_MASK] & BIT(plane)) {
            s->mem[a & mask] = val;
            ram_mark_dirty(s->vram.ram, a & mask, 1);
        }
        return;
    }
    a = 4 * a & mask;
    planes = spread(s->seq[SEQ_MAP_MASK]);
    old = load_le32(s->mem + a);
    store_le32(s->mem + a, (old & ~planes) | (planar_value(s, val) & planes));
    ram_mark_dirty(s->vram.ram, a, 4);
}

/* --- Bochs' VBE --------------------------------------------------------------------------- */

uint32_t vga_vbe_line_bytes(const Vga *s)
{
    unsigned bits = s->vbe[VBE_BPP] == 15 ? 16 : s->vbe[VBE_BPP];

    return s->vbe[VBE_VIRT_X] * bits / 8;
}

uint16_t vga_vbe_read(Vga *s)
{
    if (s->vbe_index >= VBE_N) {
        return 0;
    }
    if (s->vbe[VBE_ENABLE] & VBE_GET_CAPS) {
        switch (s->vbe_index) {
        case VBE_XRES:
            return VBE_MAX_X;
        case VBE_YRES:
            return VBE_MAX_Y;
        case VBE_BPP:
            return 32;
        }
    }
    return s->vbe[s->vbe_index];
}

/* The virtual screen: at least the visible one, at most what memory holds. */
static void settle_virtual(Vga *s)
{
    uint32_t line, lines;

    s->vbe[VBE_XRES] = CLAMP(s->vbe[VBE_XRES] & ~7, 8, VBE_MAX_X);
    s->vbe[VBE_YRES] = CLAMP(s->vbe[VBE_YRES], 1, VBE_MAX_Y);
    s->vbe[VBE_VIRT_X] = CLAMP(s->vbe[VBE_VIRT_X], s->vbe[VBE_XRES], 8192);
    line = vga_vbe_line_bytes(s);
    lines = s->mem_bytes / MAX(line, 1);
    if (lines < s->vbe[VBE_YRES]) {
        s->vbe[VBE_VIRT_X] = s->vbe[VBE_XRES];
        line = vga_vbe_line_bytes(s);
        lines = s->mem_bytes / MAX(line, 1);
        s->vbe[VBE_YRES] = MIN(s->vbe[VBE_YRES], lines);
    }
    s->vbe[VBE_VIRT_Y] = MIN(lines, UINT16_MAX);
}

static void vbe_enable(Vga *s, uint16_t val)
{
    bool was = vga_vbe_on(s);

    s->vbe[VBE_ENABLE] = val;
    s->vbe[VBE_BANK] = 0;
    if (!(val & VBE_ENABLED)) {
        return;
    }
    if (!was) {
        s->vbe[VBE_VIRT_X] = s->vbe[VBE_XRES];
        s->vbe[VBE_X_OFFSET] = s->vbe[VBE_Y_OFFSET] = 0;
    }
    settle_virtual(s);
    if (!was && !(val & VBE_KEEP_MEMORY)) {
        memset(s->mem, 0, s->mem_bytes);
        ram_mark_dirty(s->vram.ram, 0, s->mem_bytes);
    }
    /* The banked window is a plain one, in graphics. */
    s->gr[GR_MISC] = (s->gr[GR_MISC] & ~0x0c) | 0x04 | GR_MISC_GRAPHICS;
    s->seq[SEQ_MAP_MASK] = 15;
    if (s->vbe[VBE_BPP] != 4) {
        s->seq[SEQ_MODE] |= SEQ_MODE_CHAIN4;
    }
}

void vga_vbe_write(Vga *s, uint16_t val)
{
    switch (s->vbe_index) {
    case VBE_ID:
        if (val >= 0xb0c0 && val <= 0xb0c5) {
            s->vbe[VBE_ID] = val;
        }
        break;
    case VBE_XRES:
    case VBE_YRES:
        if (!vga_vbe_on(s)) {
            s->vbe[s->vbe_index] = val;
        }
        break;
    case VBE_BPP:
        if (!vga_vbe_on(s)) {
            val = val ? val : 8;
            s->vbe[VBE_BPP] = val == 4 || val == 8 || val == 15 || val == 16
                              || val == 24 || val == 32 ? val
                              : s->vbe[VBE_BPP];
        }
        break;
    case VBE_ENABLE:
        vbe_enable(s, val);
        break;
    case VBE_BANK:
        s->vbe[VBE_BANK] = MIN(val, (s->mem_bytes >> 16) - 1);
        break;
    case VBE_VIRT_X:
        s->vbe[VBE_VIRT_X] = val;
        if (vga_vbe_on(s)) {
            settle_virtual(s);
        }
        break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        s->vbe[s->vbe_index] = val;
        break;
    }
}

/* --- life ------------------------------------------------------------------------------------ */

bool vga_init(Vga *s, Object *owner, uint32_t mem_bytes, GError **err)
{
    if (!region_init_ram(&s->vram, owner, "vga.vram", mem_bytes, err)) {
        return false;
    }
    s->mem = s->vram.ram->host;
    s->mem_bytes = mem_bytes;
    s->fresh = true;
    return true;
}

void vga_destroy(Vga *s)
{
    region_destroy(&s->vram);
}

void vga_reset(Vga *s)
{
    s->misc = s->feature = 0;
    s->seq_index = s->gr_index = s->cr_index = s->ar_index = 0;
    memset(s->seq, 0, sizeof(s->seq));
    memset(s->gr, 0, sizeof(s->gr));
    memset(s->cr, 0, sizeof(s->cr));
    memset(s->ar, 0, sizeof(s->ar));
    s->ar_data = false;
    s->dac_mask = 0xff;
    s->dac_read = s->dac_write = s->dac_at = s->dac_state = 0;
    memset(s->dac, 0, sizeof(s->dac));
    memset(s->dac_new, 0, sizeof(s->dac_new));
    s->latch = 0;
    memset(s->vbe, 0, sizeof(s->vbe));
    s->vbe[VBE_ID] = 0xb0c5;
    s->vbe[VBE_BPP] = 8;
    s->vbe[VBE_MEMORY] = s->mem_bytes >> 16;
    s->vbe_index = 0;
    if (!s->fresh) {            /* pages that nobody touches cost nothing */
        memset(s->mem, 0, s->mem_bytes);
        ram_mark_dirty(s->vram.ram, 0, s->mem_bytes);
    }
    s->fresh = false;
}

static void keep_bits(uint8_t *regs, const uint8_t *masks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        regs[i] &= masks[i];
    }
}

static bool vga_post_load(void *dev, int version, GError **err)
{
    Vga *s = dev;

    s->seq_index &= SEQ_N - 1;
    s->gr_index &= GR_N - 1;
    keep_bits(s->seq, seq_masks, SEQ_N);
    keep_bits(s->gr, gr_masks, GR_N);
    keep_bits(s->ar, ar_masks, AR_N);
    if (s->dac_at > 2 || s->vbe[VBE_BANK] >= s->mem_bytes >> 16
        || s->vbe[VBE_MEMORY] != s->mem_bytes >> 16) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "vga: not a state that it can be in");
        return false;
    }
    if (vga_vbe_on(s)) {
        settle_virtual(s);
    }
    return true;
}

const State vga_state = {
    .name = "vga", .version = 1, .post_load = vga_post_load,
    .fields = (const StateField[]) {
        STATE_U8(Vga, misc), STATE_U8(Vga, feature), STATE_U8(Vga, seq_index),
        STATE_U8_ARRAY(Vga, seq), STATE_U8(Vga, gr_index),
        STATE_U8_ARRAY(Vga, gr), STATE_U8(Vga, cr_index),
        STATE_U8_ARRAY(Vga, cr), STATE_U8(Vga, ar_index),
        STATE_U8_ARRAY(Vga, ar), STATE_BOOL(Vga, ar_data),
        STATE_U8(Vga, dac_mask), STATE_U8(Vga, dac_read),
        STATE_U8(Vga, dac_write), STATE_U8(Vga, dac_at),
        STATE_U8(Vga, dac_state), STATE_U8_ARRAY(Vga, dac),
        STATE_U8_ARRAY(Vga, dac_new), STATE_U32(Vga, latch),
        STATE_U16(Vga, vbe_index), STATE_U16_ARRAY(Vga, vbe), {}
    },
};
