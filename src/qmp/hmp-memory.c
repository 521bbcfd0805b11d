/*
 * print, x, xp, i and o: numbers, memory and ports in GDB's formats,
 * /<count><format><size>.
 *
 * Locks: machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hmp-private.h"

#include "mem/mem.h"

#define COUNT_MAX 65536

bool (*hmp_read_virtual)(unsigned cpu, uint64_t gva, void *buf, size_t len);
void (*hmp_disassemble)(unsigned cpu, uint64_t addr, unsigned n,
                        bool physical, GString *out);

typedef struct Format {
    unsigned count;
    char letter;                /* x d u o c i */
    unsigned size_bytes;
} Format;

static unsigned size_of(char c)
{
    switch (c) {
    case 'b':
        return 1;
    case 'h':
        return 2;
    case 'w':
        return 4;
    case 'g':
        return 8;
    default:
        return 0;
    }
}

/* "/4xw" over the defaults in *f; false, having said why, when it is wrong. */
static bool parse_format(Hmp *mon, const char *text, Format *f)
{
    const char *c = text + 1;
    char *end;

    if (g_ascii_isdigit(*c)) {
        f->count = MIN(g_ascii_strtoull(c, &end, 10), COUNT_MAX);
        c = end;
    }
    for (; *c; c++) {
        if (strchr("xduoci", *c)) {
            f->letter = *c;
        } else if (size_of(*c)) {
            f->size_bytes = size_of(*c);
        } else {
            hmp_printf(mon, "invalid format '%s': /COUNT, one of x d u o c i, "
                       "one of b h w g are accepted\n", text);
            return false;
        }
    }
    return true;
}

static void print_value(Hmp *mon, const Format *f, uint64_t val)
{
    int64_t sign = (int64_t)(val << (64 - 8 * f->size_bytes))
                   >> (64 - 8 * f->size_bytes);

    switch (f->letter) {
    case 'd':
        hmp_printf(mon, "%" PRId64, sign);
        break;
    case 'u':
        hmp_printf(mon, "%" PRIu64, val);
        break;
    case 'o':
        hmp_printf(mon, "0%" PRIo64, val);
        break;
    case 'c':
        if (val >= ' ' && val < 127) {
            hmp_printf(mon, "'%s%c'", val == '\'' || val == '\\' ? "\\" : "",
                       (int)val);
        } else {
            hmp_printf(mon, "'\\x%02x'", (unsigned)(val & 0xff));
        }
        break;
    default:
        hmp_printf(mon, "0x%0*" PRIx64, (int)(2 * f->size_bytes), val);
        break;
    }
}

/* Format, if there is one, and the expression after it. */
static bool parse_args(Hmp *mon, unsigned argc, char **argv, Format *f,
                       uint64_t *val)
{
    unsigned first = argc > 1 && argv[1][0] == '/' ? 2 : 1;
    g_autofree char *text = hmp_join(argc, argv, first);

    return (first == 1 || parse_format(mon, argv[1], f))
           && hmp_eval(mon, text, val);
}

static void cmd_print(Hmp *mon, unsigned argc, char **argv)
{
    Format f = { 1, 'd', 8 };
    uint64_t val;

    if (parse_args(mon, argc, argv, &f, &val)) {
        if (f.letter == 'x' || f.letter == 'i') {
            hmp_printf(mon, "0x%" PRIx64, val);
        } else {
            print_value(mon, &f, f.letter == 'c' ? val & 0xff : val);
        }
        hmp_puts(mon, "\n");
    }
}

static bool read_memory(Hmp *mon, bool physical, uint64_t addr, void *buf,
                        size_t len)
{
    if (physical) {
        return as_read(&as_memory, addr, buf, len) == MEM_OK;
    }
    return hmp_read_virtual && hmp_read_virtual(hmp_cpu_index(mon), addr, buf, len);
}

static void dump(Hmp *mon, const Format *f, uint64_t addr, bool physical)
{
    unsigned per_line = f->size_bytes == 1 ? 8 : 16 / f->size_bytes;

    for (unsigned i = 0; i < f->count; i++, addr += f->size_bytes) {
        uint8_t raw[8];

        if (i % per_line == 0) {
            hmp_printf(mon, "%s%016" PRIx64 ":", i ? "\n" : "", addr);
        }
        if (!read_memory(mon, physical, addr, raw, f->size_bytes)) {
            hmp_puts(mon, " Cannot access memory");
            break;
        }
        hmp_puts(mon, " ");
        print_value(mon, f, load_le(raw, f->size_bytes));
    }
    hmp_puts(mon, "\n");
}

static void examine(Hmp *mon, unsigned argc, char **argv, bool physical)
{
    Format f = { 1, 'x', 4 };
    uint64_t addr;

    if (!parse_args(mon, argc, argv, &f, &addr)) {
        return;
    }
    if (f.letter == 'c') {
        f.size_bytes = 1;
    }
    if (f.letter != 'i') {
        dump(mon, &f, addr, physical);
    } else if (hmp_disassemble) {
        GString *out = g_string_new(NULL);

        hmp_disassemble(hmp_cpu_index(mon), addr, f.count, physical, out);
        hmp_puts(mon, out->str);
        g_string_free(out, TRUE);
    } else {
        hmp_puts(mon, "Error: no disassembler in this build\n");
    }
}

static void cmd_x(Hmp *mon, unsigned argc, char **argv)
{
    examine(mon, argc, argv, false);
}

static void cmd_xp(Hmp *mon, unsigned argc, char **argv)
{
    examine(mon, argc, argv, true);
}

/* A port, in /b, /h or (the rest) /w; false, having said why, when it is none. */
static bool parse_port(Hmp *mon, char **argv, Format *f, unsigned *at,
                       uint64_t *port)
{
    *f = (Format) { 1, 'x', 1 };
    *at = argv[1][0] == '/' ? 2 : 1;
    if (*at == 2 && !parse_format(mon, argv[1], f)) {
        return false;
    }
    f->size_bytes = MIN(f->size_bytes, 4);
    if (!argv[*at] || !hmp_eval(mon, argv[*at], port)) {
        return false;
    }
    *port &= 0xffff;
    return true;
}

static void cmd_in(Hmp *mon, unsigned argc, char **argv)
{
    Format f;
    uint64_t port, val;
    unsigned at;

    if (parse_port(mon, argv, &f, &at, &port)) {
        as_load(&as_io, port, f.size_bytes, &val);
        hmp_printf(mon, "port%c[0x%04x] = ",
                   f.size_bytes == 1 ? 'b' : f.size_bytes == 2 ? 'w' : 'l',
                   (unsigned)port);
        print_value(mon, &f, val);
        hmp_puts(mon, "\n");
    }
}

static void cmd_out(Hmp *mon, unsigned argc, char **argv)
{
    Format f;
    uint64_t port, val;
    unsigned at;

    if (!parse_port(mon, argv, &f, &at, &port)) {
        return;
    }
    if (at + 1 >= argc) {
        hmp_puts(mon, "too few arguments; accepted: o /fmt port value\n");
    } else if (hmp_eval(mon, argv[at + 1], &val)) {
        as_store(&as_io, port, f.size_bytes, val);
    }
}

static const HmpCommand memory[] = {
    { "i", "/fmt port", "read an I/O port", 1, 2, cmd_in },
    { "o", "/fmt port value", "write to an I/O port", 2, 3, cmd_out },
    { "print|p", "/fmt expr", "print an expression ($rip etc. are registers)",
      1, HMP_MANY, cmd_print },
    { "x", "/fmt addr", "show memory as the CPU sees it", 1, HMP_MANY, cmd_x },
    { "xp", "/fmt addr", "show physical memory", 1, HMP_MANY, cmd_xp },
};

void hmp_register_memory(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(memory); i++) {
        hmp_register(&memory[i]);
    }
}
