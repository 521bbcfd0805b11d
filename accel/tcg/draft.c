/*
 * Decoding what becomes a block.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/draft.h"

#include "accel/tcg/jit/jit.h"

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

void draft_make(Env *env, Draft *d, const uint8_t *hva, unsigned off,
                uint32_t mode, const Block *shorter)
{
    unsigned max = one_insn(mode) ? 1 : BLOCK_MAX_INSNS;
    const Block *part = shorter;
    unsigned first = 0;         /* of `part` */

    d->n = d->len = 0;
    while (d->n < max && off + d->len < PAGE_BYTES) {
        unsigned at = off + d->len;
        unsigned left = MIN(MAX_INSN_BYTES, PAGE_BYTES - at);
        Insn *insn = &d->insns[d->n];

        guest_copy(d->bytes + d->len, hva + at, left);
        if (!draft_insn(env, insn, d->bytes + d->len, left, at, mode)) {
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
