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
#include "accel/tcg/lockstep.h"
#include "base/log.h"

enum {
    SELDOM = 4,                 /* less often than one in so many times */
    ALWAYS = 1 << 16,           /* a chance */
};

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

/* Does what follows the draft's last instruction, a Jcc or a CALL, at `off`,
 * seem to run often?  *next: the block there.  Without counts, what is behind a
 * loop is taken not to. */
static bool often(const Draft *d, unsigned off, const Block *shorter,
                  const Block **next)
{
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

/* Where the indirect jump that ends `b` mostly leads to; the chance of that. */
static unsigned mostly(const Block *b, unsigned *chance)
{
    unsigned n = __atomic_load_n(&b->jit_n_to, __ATOMIC_RELAXED);
    unsigned best = 0, to = 0;

    for (unsigned i = 0; i < BLOCK_TARGETS; i++) {
        uint16_t x = __atomic_load_n(&b->jit_to[i], __ATOMIC_RELAXED);
        unsigned same = 0;

        for (unsigned k = i; k < BLOCK_TARGETS; k++) {
            same += x == __atomic_load_n(&b->jit_to[k], __ATOMIC_RELAXED);
        }
        if (same > best) {
            best = same;
            to = x;
        }
    }
    /* The first time round says nothing yet. */
    *chance = n & BLOCK_TARGETS ? best * ALWAYS / BLOCK_TARGETS : 0;
    return to;
}

/*
 * The block that the draft's last instruction, a JMP, mostly leads to; NULL: it
 * is not known, or seldom runs.  An interpreter's dispatch above all: a direct
 * JMP is followed only to where there is one.  `part`: the block that ends here.
 */
static const Block *follow(const Draft *d, const Block *shorter,
                           const Block *part, unsigned *chance)
{
    const Insn *last = &d->insns[d->n - 1];
    const Block *b;
    int64_t to = last->off + last->len + last->imm;
    unsigned one = ALWAYS;

    if (!part || d->n_more == BLOCK_PARTS - 1 || !draft_follows(last)
        || tcg_lockstep || !jit_again_soon(shorter)
        || __atomic_load_n(&shorter->jit_straight, __ATOMIC_RELAXED)) {
        return NULL;
    }
    if (last->op == OP_JMP_RM) {
        to = mostly(part, &one);
    }
    *chance = (uint64_t)*chance * one / ALWAYS;
    if (one < ALWAYS / 2 || *chance < ALWAYS / SELDOM || to < 0
        || to >= (int64_t)PAGE_BYTES || to == shorter->off) {
        return NULL;
    }
    for (unsigned i = 0; i < d->n_more; i++) {
        if (to == d->more[i].off) {
            return NULL;
        }
    }
    b = block_find(shorter->page->ram_addr + to, shorter->mode);
    return b && (last->op == OP_JMP_RM
                 || b->insns[b->n_insns - 1].op == OP_JMP_RM) ? b : NULL;
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
    guest_copy(d->bytes + d->n_bytes + here, f->hva, MAX_INSN_BYTES - here);
    return draft_insn(env, &d->insns[d->n], d->bytes + d->n_bytes,
                      MAX_INSN_BYTES,
                      PAGE_BYTES - here, mode);
}

void draft_make(Env *env, Draft *d, const uint8_t *hva, uint64_t gva,
                uint32_t mode, bool cross, const Block *shorter)
{
    unsigned at = PAGE_OFFSET(gva);
    unsigned max = one_insn(mode) ? 1 : BLOCK_MAX_INSNS;
    const Block *part = shorter, *to;
    unsigned first = 0;         /* of `part` */
    unsigned chance = ALWAYS;

    d->n = d->len = d->n_bytes = d->n_more = 0;
    while (d->n < max && at < PAGE_BYTES) {
        unsigned left = MIN(MAX_INSN_BYTES, PAGE_BYTES - at);
        Insn *insn = &d->insns[d->n];

        guest_copy(d->bytes + d->n_bytes, hva + at, left);
        if (!draft_insn(env, insn, d->bytes + d->n_bytes, left, at, mode)
            && (d->n_more || !cross
                || !over_the_end(env, d, gva, left, mode))) {
            break;
        }
        if (shorter) {
            d->samples[d->n] = part && d->n - first < part->n_insns
                ? jit_slots_seen(part, d->n - first, shorter->jit_n_samples)
                : 0;
        }
        d->n++;
        d->n_bytes += insn->len;
        at += insn->len;
        if (d->n_more) {
            d->more[d->n_more - 1].len += insn->len;
        } else {
            d->len += insn->len;
        }
        if (!(insn->flags & INSN_END)) {
            continue;
        }
        if (!shorter) {
            break;
        }
        if (!often(d, at, shorter, &part)) {
            to = follow(d, shorter, part, &chance);
            if (!to) {
                break;
            }
            at = to->off;
            d->more[d->n_more++] = (BlockPart) { .off = at };
            part = to;
        }
        first = d->n;
    }
    if (d->n_more && !d->more[d->n_more - 1].len) {
        d->n_more--;
    }
}

/* --- logs ---------------------------------------------------------------- */

static void log_code(const Block *b, uint64_t gva)
{
    g_autoptr(GString) out = g_string_new(NULL);
    const uint8_t *bytes = b->bytes;

    g_string_printf(out, "IN: 0x%016" PRIx64 " mode 0x%x\n", gva, b->mode);
    for (unsigned i = 0; i < b->n_insns; bytes += b->insns[i++].len) {
        const Insn *insn = &b->insns[i];

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
