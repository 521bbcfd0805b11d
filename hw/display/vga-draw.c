/*
 * What a VGA shows: text, planes, 256 colours, VBE modes; and its text as text.
 *
 * Models: no panning by pixels, no split screen.
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vga.h"

/* --- colours ------------------------------------------------------------------------- */

static uint32_t dac_color(const Vga *s, uint8_t i)
{
    const uint8_t *c = s->dac + 3 * (i & s->dac_mask);
    bool wide = s->vbe[VBE_ENABLE] & VBE_8BIT_DAC && vga_vbe_on(s);
    uint32_t rgb = 0;

    for (unsigned n = 0; n < 3; n++) {
        uint8_t v = wide ? c[n] : (c[n] & 63) << 2 | (c[n] & 63) >> 4;

        rgb = rgb << 8 | v;
    }
    return rgb;
}

/* One of 16 through the attribute controller. */
static uint32_t attr_color(const Vga *s, unsigned i)
{
    uint8_t v = s->ar[i & 15];

    if (s->ar[AR_MODE] & 0x80) {
        v = (s->ar[AR_COLOR] & 15) << 4 | (v & 15);
    } else {
        v = (s->ar[AR_COLOR] & 12) << 4 | (v & 63);
    }
    return dac_color(s, v);
}

/* --- geometry ---------------------------------------------------------------------------- */

static uint8_t peek(const Vga *s, uint32_t at)
{
    return s->mem[at & (s->mem_bytes - 1)];
}

static uint32_t start_address(const Vga *s)
{
    return (s->cr[CR_START_HIGH] << 8 | s->cr[CR_START_LOW]) * 4;
}

static unsigned scan_lines(const Vga *s)
{
    return (s->cr[CR_V_END] | (s->cr[CR_OVERFLOW] & 0x02) << 7
            | (s->cr[CR_OVERFLOW] & 0x40) << 3) + 1;
}

typedef struct TextMode {
    unsigned columns, rows, cell_width, cell_height;
    uint32_t start, line_bytes;
} TextMode;

static bool is_text(const Vga *s)
{
    return !vga_vbe_on(s) && !(s->gr[GR_MISC] & GR_MISC_GRAPHICS);
}

static TextMode text_mode(const Vga *s)
{
    TextMode t = {
        .columns = s->cr[CR_H_END] + 1,
        .cell_width = s->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT ? 8 : 9,
        .cell_height = (s->cr[CR_MAX_SCAN] & 31) + 1,
        .start = start_address(s), .line_bytes = s->cr[CR_OFFSET] * 8,
    };

    t.rows = scan_lines(s) / t.cell_height;
    return t;
}

/* --- text -------------------------------------------------------------------------------------- */

/* Font A and B: blocks of 8 KiB in plane 2. */
static uint32_t font_base(const Vga *s, bool b)
{
    uint8_t v = s->seq[SEQ_FONT];
    unsigned n = b ? (v & 3) << 1 | (v >> 4 & 1)
                 : (v >> 2 & 3) << 1 | (v >> 5 & 1);

    return n * 8192;
}

static void draw_cell(const Vga *s, const TextMode *t, DisplayImage *im,
                      unsigned x, unsigned y, bool cursor)
{
    uint32_t at = t->start + y * t->line_bytes + 4 * x;
    uint8_t ch = peek(s, at), attr = peek(s, at + 1);
    bool blink = s->ar[AR_MODE] & 8;
    uint32_t fg = attr_color(s, attr & 15);
    uint32_t bg = attr_color(s, attr >> 4 & (blink ? 7 : 15));
    uint32_t font = font_base(s, attr & 8) + ch * 32;
    unsigned from = s->cr[CR_CURSOR_START] & 31;
    unsigned to = s->cr[CR_CURSOR_END] & 31;

    for (unsigned line = 0; line < t->cell_height; line++) {
        uint32_t *out = im->pixels
            + (size_t)(y * t->cell_height + line) * im->width
            + x * t->cell_width;
        uint8_t bits = peek(s, 4 * (font + line) + 2);
        bool full = cursor && line >= from && line <= to;

        for (unsigned i = 0; i < t->cell_width; i++) {
            /* The ninth column repeats the eighth of line graphics. */
            bool on = i < 8 ? bits >> (7 - i) & 1
                      : s->ar[AR_MODE] & 4 && ch >= 0xc0 && ch <= 0xdf
                        && bits & 1;

            out[i] = on || full ? fg : bg;
        }
    }
}

static void draw_text(const Vga *s, DisplayImage *im)
{
    TextMode t = text_mode(s);
    bool shown = !(s->cr[CR_CURSOR_START] & 0x20);
    uint32_t cursor = (s->cr[CR_CURSOR_HIGH] << 8 | s->cr[CR_CURSOR_LOW]) * 4;

    im->width = t.columns * t.cell_width;
    im->height = t.rows * t.cell_height;
    im->pixels = g_new0(uint32_t, (size_t)im->width * im->height + 1);
    for (unsigned y = 0; y < t.rows; y++) {
        for (unsigned x = 0; x < t.columns; x++) {
            uint32_t at = t.start + y * t.line_bytes + 4 * x;

            draw_cell(s, &t, im, x, y, shown && at == cursor);
        }
    }
}

/* Code page 437, what is not ASCII. */
static const uint16_t low_437[32] = {
    0x20, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8,
    0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4,
    0x2195, 0x203c, 0xb6, 0xa7, 0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192,
    0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t high_437[129] = {
    0x2302, 0xc7, 0xfc, 0xe9, 0xe2, 0xe4, 0xe0, 0xe5, 0xe7, 0xea, 0xeb, 0xe8,
    0xef, 0xee, 0xec, 0xc4, 0xc5, 0xc9, 0xe6, 0xc6, 0xf4, 0xf6, 0xf2, 0xfb,
    0xf9, 0xff, 0xd6, 0xdc, 0xa2, 0xa3, 0xa5, 0x20a7, 0x192, 0xe1, 0xed, 0xf3,
    0xfa, 0xf1, 0xd1, 0xaa, 0xba, 0xbf, 0x2310, 0xac, 0xbd, 0xbc, 0xa1, 0xab,
    0xbb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556,
    0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514,
    0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554,
    0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565,
    0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588,
    0x2584, 0x258c, 0x2590, 0x2580, 0x3b1, 0xdf, 0x393, 0x3c0, 0x3a3, 0x3c3,
    0xb5, 0x3c4, 0x3a6, 0x398, 0x3a9, 0x3b4, 0x221e, 0x3c6, 0x3b5, 0x2229,
    0x2261, 0xb1, 0x2265, 0x2264, 0x2320, 0x2321, 0xf7, 0x2248, 0xb0, 0x2219,
    0xb7, 0x221a, 0x207f, 0xb2, 0x25a0, 0xa0,
};

static gunichar to_unicode(uint8_t ch)
{
    return ch < 32 ? low_437[ch] : ch < 127 ? ch : high_437[ch - 127];
}

char *vga_text(void *opaque)
{
    const Vga *s = opaque;
    TextMode t = text_mode(s);
    GString *text;

    if (!is_text(s)) {
        return NULL;
    }
    text = g_string_new(NULL);
    for (unsigned y = 0; y < t.rows; y++) {
        gsize begin = text->len;

        for (unsigned x = 0; x < t.columns; x++) {
            uint32_t at = t.start + y * t.line_bytes + 4 * x;

            g_string_append_unichar(text, to_unicode(peek(s, at)));
        }
        while (text->len > begin && text->str[text->len - 1] == ' ') {
            g_string_truncate(text, text->len - 1);
        }
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

/* --- graphics --------------------------------------------------------------------------------------- */

/* A pixel of the legacy modes, `x` in the line that starts at `line`. */
static uint32_t pixel_at(const Vga *s, uint32_t line, unsigned x)
{
    uint32_t planes;
    unsigned bit, v = 0;

    switch (s->gr[GR_MODE] >> 5 & 3) {
    case 0:
        planes = load_le32(s->mem + ((line + x / 8 * 4)
                                     & (s->mem_bytes - 1) & ~3u));
        bit = 7 - x % 8;
        for (unsigned p = 0; p < 4; p++) {
            v |= (planes >> (8 * p + bit) & 1) << p;
        }
        return attr_color(s, v & s->ar[AR_PLANES]);
    case 1:                     /* two bits a pixel, pairs of planes */
        v = peek(s, line + x / 8 * 4 + (x / 4 & 1));
        return attr_color(s, v >> (6 - 2 * (x & 3)) & 3);
    default:
        return dac_color(s, peek(s, line + x));
    }
}

static void draw_legacy(const Vga *s, DisplayImage *im)
{
    bool wide = s->gr[GR_MODE] & 0x40;          /* 256 colours */
    unsigned each = (s->cr[CR_MAX_SCAN] & 31) + 1;
    unsigned skip = ~s->cr[CR_MODE] & 3;        /* CGA's banks */
    uint32_t start = start_address(s), line_bytes = s->cr[CR_OFFSET] * 8;

    if (s->cr[CR_MAX_SCAN] & 0x80) {
        each *= 2;
    }
    if (skip) {                 /* the scan line itself is an address bit */
        each = s->cr[CR_MAX_SCAN] & 0x80 ? 2 : 1;
    }
    im->width = (s->cr[CR_H_END] + 1) * (wide ? 4 : 8);
    im->height = scan_lines(s) / each;
    im->pixels = g_new0(uint32_t, (size_t)im->width * im->height + 1);
    for (unsigned y = 0; y < im->height; y++) {
        uint32_t row = skip & 1 ? y / 2 : y;
        uint32_t line = start + row * line_bytes;

        if (skip & 1 && y & 1) {
            line |= 1 << 15;    /* 8 KiB of two planes */
        }
        for (unsigned x = 0; x < im->width; x++) {
            im->pixels[(size_t)y * im->width + x] = pixel_at(s, line, x);
        }
    }
}

static uint32_t vbe_pixel(const Vga *s, uint32_t line, unsigned x)
{
    uint32_t mask = s->mem_bytes - 1, v;

    switch (s->vbe[VBE_BPP]) {
    case 4:
        return pixel_at(s, line, x);
    case 8:
        return dac_color(s, s->mem[(line + x) & mask]);
    case 15:
        v = load_le16(s->mem + ((line + 2 * x) & mask & ~1u));
        return (v & 0x7c00) << 9 | (v & 0x3e0) << 6 | (v & 0x1f) << 3;
    case 16:
        v = load_le16(s->mem + ((line + 2 * x) & mask & ~1u));
        return (v & 0xf800) << 8 | (v & 0x7e0) << 5 | (v & 0x1f) << 3;
    case 24:
        return peek(s, line + 3 * x) | peek(s, line + 3 * x + 1) << 8
               | peek(s, line + 3 * x + 2) << 16;
    default:
        return load_le32(s->mem + ((line + 4 * x) & mask & ~3u)) & 0xffffff;
    }
}

static void draw_vbe(const Vga *s, DisplayImage *im)
{
    uint32_t line_bytes = vga_vbe_line_bytes(s);
    uint32_t x0 = s->vbe[VBE_X_OFFSET], y0 = s->vbe[VBE_Y_OFFSET];

    if (s->vbe[VBE_BPP] == 4) {
        line_bytes = s->vbe[VBE_VIRT_X] / 8 * 4;
    }
    im->width = s->vbe[VBE_XRES];
    im->height = s->vbe[VBE_YRES];
    im->pixels = g_new0(uint32_t, (size_t)im->width * im->height + 1);
    for (unsigned y = 0; y < im->height; y++) {
        for (unsigned x = 0; x < im->width; x++) {
            im->pixels[(size_t)y * im->width + x] =
                vbe_pixel(s, (y0 + y) * line_bytes, x0 + x);
        }
    }
}

void vga_picture(void *opaque, DisplayImage *im)
{
    const Vga *s = opaque;

    if (vga_vbe_on(s)) {
        draw_vbe(s, im);
    } else if (is_text(s)) {
        draw_text(s, im);
    } else {
        draw_legacy(s, im);
    }
}
