/*
 * KVM: string instructions of a guest's kernel, where the host interprets it.
 *
 * There REP STOSB takes a round of the host's interpreter for each byte: a
 * page that a kernel clears so costs a millisecond.  Where the vCPU is found in
 * such an instruction more than once, it stops from then on, by a breakpoint
 * that the guest does not see, and the instruction is executed here.
 *
 * The guest's own debug registers and a debugger's breakpoints go first: while
 * there are any, there are none of ours.
 *
 * Locks: the vCPU's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include "accel/tcg/single.h"
#include "base/trace.h"

enum {
    LONG_ROUNDS = 128,          /* left to do, when it is worth a stop */
    SEEN_OFTEN = 2,
    JUDGED_AFTER = 64,          /* stops, then the rounds of each must average */
    WORTH_ROUNDS = 48,
    IDLE_LOOKS = 16,            /* without a stop in between */
    DR7_ENABLED = 0xff,
};

/* REP or REPNE, REX.W or none, MOVS or STOS. */
static bool is_string(const uint8_t *code)
{
    unsigned at = 1;

    if (code[0] != 0xf3 && code[0] != 0xf2) {
        return false;
    }
    at += (code[1] & 0xf0) == 0x40;
    return (code[at] & 0xfe) == 0xa4 || (code[at] & 0xfe) == 0xaa;
}

/* The place of `rip` among those that may become sites. */
static StringSite *candidate(KvmStrings *all, uint64_t rip)
{
    StringSite *c = &all->seen[rip % G_N_ELEMENTS(all->seen)];

    if (c->rip != rip) {
        *c = (StringSite) { .rip = rip };
    }
    return c;
}

static void add_site(KvmCpu *k, uint64_t rip)
{
    KvmStrings *all = &k->strings;
    unsigned n = all->debug.n_breaks;

    if (n < CPU_N_BREAKS) {
        trace("kvm-string", "site 0x%" PRIx64, rip);
        all->debug.breaks[n] = (struct CpuBreak) { CPU_BREAK_EXEC, rip, 1 };
        all->site[n] = (StringSite) { .rip = rip };
        all->debug.n_breaks++;
        all->changed = true;
    }
}

static void drop_site(KvmCpu *k, unsigned i)
{
    KvmStrings *all = &k->strings;
    unsigned last = --all->debug.n_breaks;

    trace("kvm-string", "no site 0x%" PRIx64, all->site[i].rip);
    candidate(all, all->site[i].rip)->n = INT32_MIN;    /* not soon again */
    all->debug.breaks[i] = all->debug.breaks[last];
    all->site[i] = all->site[last];
    all->changed = true;
}

/* Breakpoints cost each instruction a little: away with them while nothing
 * stops.  What is seen again comes back at once. */
static void rest(KvmStrings *all)
{
    all->n_idle = all->n_run == all->n_run_before ? all->n_idle + 1 : 0;
    all->n_run_before = all->n_run;
    if (all->n_idle < IDLE_LOOKS || !all->debug.n_breaks) {
        return;
    }
    for (unsigned i = 0; i < all->debug.n_breaks; i++) {
        candidate(all, all->site[i].rip)->n = SEEN_OFTEN - 1;
    }
    all->debug.n_breaks = 0;
    all->changed = true;
}

void kvm_strings_look(KvmCpu *k)
{
    KvmStrings *all = &k->strings;
    X86State *s = k->cpu->state;
    uint8_t code[4];
    StringSite *c;

    if (!kvm.software || k->debugging || !kvm_get(k, PART_STEP)
        || x86_cpl(s) == 3 || !(s->efer & EFER_LMA)
        || !(s->seg[SEG_CS].attr & SEGA_L)) {
        return;
    }
    if (all->debug.n_breaks && kvm_get(k, PART_DEBUG)
        && s->dr[7] & DR7_ENABLED) {
        all->debug.n_breaks = 0;
        all->changed = true;
        return;
    }
    rest(all);
    if (s->gpr[R_RCX] < LONG_ROUNDS
        || !cpu_debug_read(k->cpu, s->rip, code, sizeof(code))
        || !is_string(code)) {
        return;
    }
    c = candidate(all, s->rip);
    if (++c->n == SEEN_OFTEN) {
        add_site(k, s->rip);
    }
}

/* Is `gva` in a table of pages, as far as one can see? */
static bool in_table(TcgSingle *t, uint64_t gva, hwaddr *gpa)
{
    uint8_t *hva;

    return tcg_single_look(t, gva, gpa, &hva) && hva
           && kvm_like_table((uint8_t *)((uintptr_t)hva
                                         & ~(uintptr_t)0xfff));
}

/* What of it stores to the page at RDI; one round at least, which may end in
 * the next page. */
static uint64_t rounds_in_page(const X86State *s, unsigned size)
{
    unsigned off = s->gpr[R_RDI] & 0xfff;
    uint64_t n = s->rflags & FL_DF ? off / size + 1 : (4096 - off) / size;

    return MIN(MAX(n, 1), s->gpr[R_RCX]);
}

/* So many rounds of the instruction that was decoded; the rest is left to do. */
static CpuRun some_rounds(KvmCpu *k, const Insn *insn, uint64_t n)
{
    X86State *s = k->cpu->state;
    uint64_t rip = s->rip, rest = s->gpr[R_RCX] - n;
    uint64_t gva[2] = { s->gpr[R_RDI], s->gpr[R_RDI] + insn->size - 1 };
    hwaddr gpa[2];
    bool table[2];
    CpuRun why;

    for (unsigned i = 0; i < 2; i++) {
        table[i] = in_table(k->single, gva[i], &gpa[i]);
    }
    s->gpr[R_RCX] = n;
    why = kvm_execute_here(k, insn);
    if (!s->gpr[R_RCX] && rest) {
        s->rip = rip;           /* all of these are done */
    }
    s->gpr[R_RCX] += rest;      /* and as much of a fault's */
    for (unsigned i = 0; i < 2; i++) {
        if (table[i]) {
            kvm_forget_translations(gpa[i]);
        }
    }
    return why;
}

/* The instruction at which it stopped, up to its end or to an event. */
static CpuRun run_string(KvmCpu *k, StringSite *site)
{
    X86State *s = k->cpu->state;
    uint64_t rip = s->rip;
    CpuRun why = CPU_RUN_EXIT;
    const Insn *insn;

    site->n++;
    site->rounds += MIN(s->gpr[R_RCX], LONG_ROUNDS);
    do {
        if (tcg_single_decode(k->single, &insn) != SINGLE_DONE || !insn
            || (insn->op != OP_MOVS && insn->op != OP_STOS)
            || !(s->seg[SEG_CS].attr & SEGA_L)) {
            site->rounds = 0;   /* another program's code by now */
            site->n = JUDGED_AFTER;
            break;
        }
        /* With TF each round is an instruction of its own. */
        why = some_rounds(k, insn, s->rflags & FL_TF ? s->gpr[R_RCX]
                                   : rounds_in_page(s, insn->size));
        k->strings.n_run++;
    } while (why == CPU_RUN_EXIT && s->rip == rip && !cpu_pending(k->cpu));
    return why;
}

CpuRun kvm_strings_stop(KvmCpu *k)
{
    KvmStrings *all = &k->strings;
    CpuRun why;
    unsigned i;

    if (!kvm_single(k) || !kvm_get(k, PART_STEP)) {
        return CPU_RUN_EXIT;
    }
    for (i = 0; i < all->debug.n_breaks
                && all->site[i].rip != k->cpu->state->rip; i++) {
    }
    if (i == all->debug.n_breaks) {
        return CPU_RUN_EXIT;
    }
    why = run_string(k, &all->site[i]);
    if (all->site[i].n >= JUDGED_AFTER) {
        if (all->site[i].rounds < JUDGED_AFTER * WORTH_ROUNDS) {
            drop_site(k, i);
        } else {
            all->site[i].n = all->site[i].rounds = 0;
        }
    }
    return why;
}
