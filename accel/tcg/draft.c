/*
 * Decoding what becomes a block.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/draft.h"

#include "accel/tcg/decode/info.h"
#include "accel/tcg/jit/jit.h"
#include "base/log.h"

enum { SELDOM = 4 };            /* less often than one in so many times */

bool tcg_one_insn;

static const Insn *run_too_long(Env *env, const Insn *insn)
{
    return insn_raise_err(env, insn, EXC_GP, 0);
}

static bool one_insn(uint32_t mode)
{
    return tcg_one_insn || mode & (DM_TF | DM_SHADOW);
}

bool draft_insn(Env *env, Insn *insn, const uint8_t *p, unsigned n,
                unsigned off, uint32_t mode)
{
    memset(insn, 0, sizeof(*insn));
    switch (insn_decode(insn, p, n, mode, cpu_feature_words(env->cpu))) {
    case DECODE_MORE:
        return false;
    case DECODE_TOO_LONG:
        insn->len = MAX_INSN_BYTES;
        insn->flags |= INSN_END;
        insn->fn = run_too_long;
        break;
    case DECODE_UD:
        insn->flags |= INSN_END;
        /* fall through */
    case DECODE_OK:
        insn->fn = interp_handler(insn);
        break;
    }
    insn->off = off;
    return true;
}

/* Does what follows the draft's last instruction, a Jcc or a CALL, seem to run
 * often?  *next: the block there.  Without counts, what is behind a loop is
 * taken not to. */
static bool often(const Draft *d, const Block *shorter, const Block **next)
{
    unsigned off = shorter->off + d->len;
    const Insn *last = &d->insns[d->n - 1];

    if (off >= PAGE_BYTES || !draft_goes_on(last)) {
        return false;
    }
    *next = block_find(shorter->page->ram_addr + off, shorter->mode);
    if (!jit_options.threshold) {
        return last->op != OP_JCC_I || last->imm >= 0;
    }
    return *next && (*next)->jit_runs >= shorter->jit_runs / SELDOM;
}

/* The instruction that begins `here` bytes before the end of gva's page; the
 * draft has those. */
static bool over_the_end(Env *env, Draft *d, uint64_t gva, unsigned here,
                         uint32_t mode)
{
    uint64_t next = PAGE_START(gva) + PAGE_BYTES;
    const FetchEntry *f;

    if (here >= MAX_INSN_BYTES) {
        return false;
    }
    f = mmu_fetch_known(env, mode & DM_CODE64 ? next : (uint32_t)next);
    if (!f || !f->hva) {
        return false;
    }
    guest_copy(d->bytes + d->len + here, f->hva, MAX_INSN_BYTES - here);
    return draft_insn(env, &d->insns[d->n], d->bytes + d->len, MAX_INSN_BYTES,
                      PAGE_BYTES - here, mode);
}

void draft_make(Env *env, Draft *d, const uint8_t *hva, uint64_t gva,
                uint32_t mode, bool cross, const Block *shorter)
{
    unsigned off = PAGE_OFFSET(gva);
    unsigned max = one_insn(mode) ? 1 : BLOCK_MAX_INSNS;
    const Block *part = shorter;
    unsigned first = 0;         /* of `part` */

    d->n = d->len = 0;
    while (d->n < max && off + d->len < PAGE_BYTES) {
        unsigned at = off + d->len;
        unsigned left = MIN(MAX_INSN_BYTES, PAGE_BYTES - at);
        Insn *insn = &d->insns[d->n];

        guest_copy(d->bytes + d->len, hva + at, left);
        if (!draft_insn(env, insn, d->bytes + d->len, left, at, mode)
            && !(cross && over_the_end(env, d, gva, left, mode))) {
            break;
        }
        if (shorter) {
            d->samples[d->n] = part && d->n - first < part->n_insns
                ? jit_slots_seen(part, d->n - first, shorter->jit_n_samples)
                : 0;
        }
        d->n++;
        d->len += insn->len;
        if (!(insn->flags & INSN_END)) {
            continue;
        }
        if (!shorter || !often(d, shorter, &part)) {
            break;
        }
        first = d->n;
    }
}

/* --- logs ---------------------------------------------------------------- */

static void log_code(const Block *b, uint64_t gva)
{
    g_autoptr(GString) out = g_string_new(NULL);

    g_string_printf(out, "IN: 0x%016" PRIx64 " mode 0x%x\n", gva, b->mode);
    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *insn = &b->insns[i];
        const uint8_t *bytes = b->bytes + (insn->off - b->off);

        g_string_append_printf(out, "0x%016" PRIx64 ":  ",
                               gva - b->off + insn->off);
        for (unsigned j = 0; j < insn->len; j++) {
            g_string_append_printf(out, "%02x ", bytes[j]);
        }
        g_string_append_printf(out, "%*s", 3 * MAX(8 - insn->len, 0), "");
        insn_print(insn, out);
        g_string_append_c(out, '\n');
    }
    log_write("%s", out->str);
}

static void print_flags(GString *out, const char *what, unsigned flags)
{
    if (flags & IF_ARITH) {
        g_string_append_printf(out, " %s ", what);
        for (unsigned i = 0; i < 6; i++) {
            if (flags >> i & 1) {
                g_string_append_c(out, "cpazso"[i]);
            }
        }
    }
}

/* As handlers and templates see it: insn.h tells what fields mean. */
static void print_op(const Insn *insn, GString *out)
{
    InsnFlags f = insn_flags(insn);

    g_string_append_printf(out, " %03x %-16s size %u reg %u", insn->off,
                           insn_op_name(insn->op), insn->size, insn->reg);
    if (insn->flags & INSN_MEM) {
        g_string_append_printf(out, " mem seg %u base %u index %u << %u disp "
                               "%d ea 0x%x", insn->seg, insn->base,
                               insn->index, insn->scale, insn->disp,
                               insn->ea);
    } else {
        g_string_append_printf(out, " rm %u", insn->rm);
    }
    g_string_append_printf(out, " imm 0x%" PRIx64 " aux %u flags 0x%x",
                           (uint64_t)insn->imm, insn->aux, insn->flags);
    print_flags(out, "reads", f.read);
    print_flags(out, "sets", f.set);
    print_flags(out, "may set", f.may);
    print_flags(out, "spoils", f.undef);
    g_string_append_c(out, '\n');
}

static void log_ops(const Block *b, uint64_t gva)
{
    g_autoptr(GString) out = g_string_new(NULL);

    g_string_printf(out, "OP: 0x%016" PRIx64 " mode 0x%x\n", gva, b->mode);
    for (unsigned i = 0; i < b->n_insns; i++) {
        print_op(&b->insns[i], out);
    }
    log_write("%s", out->str);
}

void draft_log(const Block *b, uint64_t gva)
{
    if (log_mask & LOG_IN_ASM) {
        log_code(b, gva);
    }
    if (log_mask & LOG_OP) {
        log_ops(b, gva);
    }
}
