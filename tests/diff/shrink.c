/*
 * A failing case made small, and shown.
 *
 * Whatever can be taken away without the failure going away is: instructions,
 * registers, flags, control words, memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "diff.h"

#include "cpu/state.h"
#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

static bool use_native, use_jit;

void shrink_init(bool native, bool jit)
{
    use_native = native;
    use_jit = jit;
}

char *shrink_try(DiffCase *c)
{
    static DiffResult interp, jit, native;
    const DiffCase *one = c;
    char *why = NULL;

    guest_side_code(&one, 1);
    guest_side_run(c, false, &interp);
    if (compare_void(&interp)) {
        return NULL;
    }
    if (use_native) {
        native_begin(&one, 1);
        native_wait(&native);
        if (compare_void(&native)) {
            return NULL;
        }
        why = compare_results(c, &native, &interp, "native", "interp");
    }
    if (!why && use_jit) {
        guest_side_run(c, true, &jit);
        why = compare_results(c, &interp, &jit, "interp", "jit   ");
    }
    return why;
}

/* Does `c` still fail?  It is kept if so, else put back. */
static bool keep(DiffCase *c, const DiffCase *old)
{
    g_autofree char *why = gen_assemble(c) ? shrink_try(c) : NULL;

    if (!why) {
        *c = *old;
    }
    return why;
}

static void drop_insn(DiffCase *c, unsigned i)
{
    memmove(&c->insn[i], &c->insn[i + 1], (c->n - i - 1) * sizeof(DiffInsn));
    c->n--;
    for (unsigned k = 0; k < c->n; k++) {
        if (c->insn[k].target > (int)i) {
            c->insn[k].target--;
        }
    }
    if (c->code_to > (int)i) {
        c->code_to--;
    }
    if (c->stack_to > (int)i) {
        c->stack_to--;
    }
}

static bool pass(DiffCase *c)
{
    bool progress = false;
    DiffCase old;

    for (unsigned i = c->n; i-- && c->n > 1;) {
        old = *c;
        drop_insn(c, i);
        progress |= keep(c, &old);
    }
#define TRY(change)                                                         \
    do {                                                                    \
        old = *c;                                                           \
        change;                                                             \
        if (memcmp(&old, c, sizeof(old))) {                                 \
            progress |= keep(c, &old);                                      \
        }                                                                   \
    } while (0)
    TRY(c->code_reg = -1);
    TRY(c->stack_to = -1);
    for (unsigned i = 0; i < 16; i++) {
        TRY(c->in.gpr[i] = 0);
        TRY(c->in.gpr[i] = (uint32_t)c->in.gpr[i]);
    }
    TRY(c->in.rflags &= ~(uint64_t)FL_ARITH);
    for (unsigned b = 0; b < 22; b++) {
        TRY(c->in.rflags &= ~(UINT64_C(1) << b) | FL_IF | 2);
    }
    TRY(c->in.fs_base = c->in.gs_base = 0);
    TRY(store_le16(c->in.xs, 0x37f));
    TRY(store_le16(c->in.xs + 2, 0));
    TRY(c->in.xs[4] = 0);
    TRY(store_le32(c->in.xs + 24, 0x1f80));
    TRY(memset(c->in.xs + XS_ST, 0, 128));
    TRY(memset(c->in.xs + XS_YMM, 0, 256));
    for (unsigned i = 0; i < 16; i++) {
        TRY(memset(c->in.xs + XS_XMM + 16 * i, 0, 16));
        TRY(memset(c->in.xs + XS_YMM + 16 * i, 0, 16));
        TRY(memset(c->in.xs + XS_ST + 16 * (i / 2), 0, 16));
    }
    for (unsigned step = RW_BYTES / 2; step >= 8; step /= 2) {
        TRY(c->mem_from = MIN(c->mem_from + step, c->mem_to));
        TRY(c->mem_to = MAX(c->mem_to - (int)step, c->mem_from));
    }
#undef TRY
    return progress;
}

/* --- showing ---------------------------------------------------------------------- */

static void print_insn(GString *s, const DiffCase *c, unsigned i)
{
    const uint8_t *p = c->code + c->at[i];
    uint32_t at = slot_address(c->slot) + c->at[i];
    Insn insn;

    g_string_append_printf(s, "  %08x ", at);
    for (unsigned k = 0; k < c->insn[i].len; k++) {
        g_string_append_printf(s, "%02x", p[k]);
    }
    g_string_append_printf(s, "%*s", 2 * (15 - c->insn[i].len) + 2, "");
#ifdef HAVE_ZYDIS
    ZydisDisassembledInstruction z;

    if (ZYAN_SUCCESS(ZydisDisassembleIntel(
            c->mode == MODE_64 ? ZYDIS_MACHINE_MODE_LONG_64
                               : ZYDIS_MACHINE_MODE_LONG_COMPAT_32, at, p,
            c->insn[i].len, &z))) {
        g_string_append_printf(s, "%-36s", z.text);
    }
#endif
    insn_decode(&insn, p, c->insn[i].len, gen_mode_bits(c->mode), NULL);
    g_string_append_printf(s, " [%s]\n", insn_op_name(insn.op));
}

static void print_state(GString *s, const DiffCase *c)
{
    const uint8_t *b = c->in.xs;

    for (unsigned i = 0; i < 16; i++) {
        if (c->in.gpr[i]) {
            g_string_append_printf(s, "  r%-2u %016" PRIx64 "\n", i,
                                   c->in.gpr[i]);
        }
    }
    g_string_append_printf(s, "  rflags %05x  fs %04x:%" PRIx64
                           "  gs %04x:%" PRIx64 "  ds %04x es %04x\n",
                           (unsigned)c->in.rflags, (unsigned)c->in.fs,
                           c->in.fs_base, (unsigned)c->in.gs, c->in.gs_base,
                           (unsigned)c->in.ds, (unsigned)c->in.es);
    g_string_append_printf(s, "  fcw %04x fsw %04x ftw %02x mxcsr %05x\n",
                           load_le16(b), load_le16(b + 2), b[4],
                           load_le32(b + 24));
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = b + XS_ST + 16 * i;

        if (load_le64(st) || load_le16(st + 8)) {
            g_string_append_printf(s, "  st%u %04x.%016" PRIx64 "\n", i,
                                   load_le16(st + 8), load_le64(st));
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t *x = b + XS_XMM + 16 * i, *y = b + XS_YMM + 16 * i;

        if (load_le64(x) | load_le64(x + 8) | load_le64(y)
            | load_le64(y + 8)) {
            g_string_append_printf(s, "  ymm%-2u %016" PRIx64 ".%016" PRIx64
                                   ".%016" PRIx64 ".%016" PRIx64 "\n", i,
                                   load_le64(y + 8), load_le64(y),
                                   load_le64(x + 8), load_le64(x));
        }
    }
}

void shrink_report(const DiffCase *orig, const char *why)
{
    g_autoptr(GString) s = g_string_new(NULL);
    g_autofree char *now = NULL;
    static DiffCase c;
    static uint8_t data[RW_BYTES];

    c = *orig;
    now = shrink_try(&c);
    if (!now) {
        g_string_append_printf(s, "not alone:\n%s", why);
    } else {
        for (unsigned i = 0; i < 4 && pass(&c); i++) {
        }
        g_free(now);
        now = shrink_try(&c);
    }
    g_string_append_printf(s, "case %#" PRIx64 ", %u-bit code\n", c.seed,
                           c.mode == MODE_64 ? 64 : 32);
    for (unsigned i = 0; i < c.n; i++) {
        print_insn(s, &c, i);
    }
    g_string_append(s, "before:\n");
    print_state(s, &c);
    gen_memory(&c, data);
    if (c.mem_to - c.mem_from <= 64) {
        for (unsigned i = c.mem_from & ~7u; i < c.mem_to; i += 8) {
            g_string_append_printf(s, "  [%08x] %016" PRIx64 "\n",
                                   DIFF_DATA + i, load_le64(data + i));
        }
    } else {
        g_string_append_printf(s, "  memory: %08x to %08x\n",
                               DIFF_DATA + c.mem_from, DIFF_DATA + c.mem_to);
    }
    g_string_append_printf(s, "after:\n%s", now ? now : why);
    g_string_append_printf(s, "again: RHEA_DIFF_CASE=%#" PRIx64
                           " build/tests/diff/diff-test\n", c.seed);
    for (char *p = s->str; p;) {
        char *end = strchr(p, '\n');

        g_print("# %.*s\n", end ? (int)(end - p) : (int)strlen(p), p);
        p = end && end[1] ? end + 1 : NULL;
    }
}
