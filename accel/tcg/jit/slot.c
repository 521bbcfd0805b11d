/*
 * Slots: an access tries first what it has found in the TLB before.
 *
 * A slot holds the tag and the addend of a TLB entry, and those it held before:
 * a table that lies in two pages does not ask the TLB.  Its place is a constant
 * in the code, so that the addend is known before the address is: the check is
 * off the path from address to data, and costs less besides.  It pays for
 * accesses that stay in a page for a while.  Those are found by looking, as
 * long as a block is interpreted, where its operands would be each time it
 * starts: what is in the registers then need not be what the instruction will
 * use, but as a rule stays in its page when that does.  All accesses to the
 * stack share a slot.
 *
 * Slots are few, so they are for loops: a block that takes its time to come
 * again finds its slots taken by others, and a miss costs more than the slot
 * can save.  Such blocks, which are most, ask the TLB.
 *
 * Whatever drops an entry of the TLB forgets all slots that were used.  An
 * empty slot names a page that no access can have: one in the middle of the
 * addresses that are not canonical.  Should the guest try just that one, it
 * hits, ends in memory that nobody may touch, and the handler of SIGSEGV leaves
 * to interpret that instruction (jit.c), which raises #GP.
 *
 * Locks: slots are their vCPU's; samples are atomic; the rest is under the
 * cache mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/decode/info.h"
#include "accel/tcg/jit/jit.h"

#include <sys/mman.h>

#define NOWHERE (UINT64_C(1) << 63)
/* In the place of a sample: no slot; two pages, and never in one of them. */
#define GIVEN_UP (~UINT32_C(0) << 2 * COUNT_BITS)

enum {
    GUARD_BYTES = 64 * KiB,
    FIRST = JIT_SLOTS_STACK,    /* even ones are for reading, odd ones for
                                 * writing */
    COUNT_BITS = 5, COUNT_MASK = (1 << COUNT_BITS) - 1,
    PAGE_BITS = 11, PAGE_MASK = (1 << PAGE_BITS) - 1,
    NEAR_TSC = 4096,            /* some hundred interpreted instructions */
    MISS_TSC = 512,             /* misses that come faster cost too much */
    GIVEN_UP_MAX = 4,           /* of a block; then all of it */
};

G_STATIC_ASSERT(JIT_SAMPLES <= (unsigned)COUNT_MASK);

static uint8_t *guard;          /* GUARD_BYTES that cannot be accessed */
static unsigned next_slot;

/* --- empty slots --------------------------------------------------------- */

bool jit_slots_init(void)
{
    guard = mmap(NULL, GUARD_BYTES, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return guard != MAP_FAILED;
}

bool jit_slots_guard(const void *hva)
{
    return (uintptr_t)hva - (uintptr_t)guard < GUARD_BYTES;
}

static void clear_piece(JitCpu *j, unsigned piece)
{
    JitSlot *s = &j->slots[piece * JIT_SLOTS_PIECE];

    for (unsigned i = 0; i < JIT_SLOTS_PIECE; i++) {
        s[i].tag = s[i].tag2 = -NOWHERE;
        s[i].addend = s[i].addend2 = (uintptr_t)guard + GUARD_BYTES / 2
                                     - NOWHERE;
    }
}

void jit_slots_new(Env *env)
{
    JitCpu *j = jit_cpu(env);

    for (unsigned i = 0; i < JIT_SLOT_PIECES; i++) {
        clear_piece(j, i);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(j->slot_misses); i++) {
        j->slot_misses[i] = JIT_SLOT_MISSES;
    }
}

void jit_slots_clear(Env *env)
{
    JitCpu *j = jit_cpu(env);

    for (unsigned i = 0; i < G_N_ELEMENTS(j->slots_used); i++) {
        for (uint64_t used = j->slots_used[i]; used; used &= used - 1) {
            clear_piece(j, 8 * i + __builtin_ctzll(used) / 8);
        }
        j->slots_used[i] = 0;
    }
}

/* --- which accesses ------------------------------------------------------- */

/* Is it soon after the last time?  By the clock, since code that is compiled
 * already counts nothing. */
static void note_near(Block *b)
{
    uint64_t now = __builtin_ia32_rdtsc();

    if (now - __atomic_load_n(&b->jit_last_tsc, __ATOMIC_RELAXED)
        < NEAR_TSC) {
        __atomic_store_n(&b->jit_n_near, MIN(b->jit_n_near + 1, JIT_SAMPLES),
                         __ATOMIC_RELAXED);
    }
    __atomic_store_n(&b->jit_last_tsc, now, __ATOMIC_RELAXED);
}

void jit_slots_sample(Env *env, Block *b)
{
    for (unsigned i = 0; i < b->n_insns; i++) {
        const Insn *n = &b->insns[i];
        uint32_t page, last, other, old, same, aligned;
        uint64_t off;

        if (!(n->flags & INSN_MEM)) {
            continue;
        }
        /* Low bits of the last two pages, and two counts below. */
        off = insn_offset(env, n);
        page = off >> 12 & PAGE_MASK;
        old = __atomic_load_n(&b->jit_samples[i], __ATOMIC_RELAXED);
        if (old == GIVEN_UP) {
            continue;
        }
        last = old >> 2 * COUNT_BITS & PAGE_MASK;
        other = old >> (2 * COUNT_BITS + PAGE_BITS);
        same = (old & COUNT_MASK) + (page == last || page == other);
        aligned = (old >> COUNT_BITS & COUNT_MASK)
                  + !(off & (insn_mem_size(n) - 1));
        if (page != last) {
            other = last;
        }
        old = other << (2 * COUNT_BITS + PAGE_BITS) | page << 2 * COUNT_BITS
              | MIN(aligned, JIT_SAMPLES) << COUNT_BITS
              | MIN(same, JIT_SAMPLES);
        __atomic_store_n(&b->jit_samples[i], old, __ATOMIC_RELAXED);
    }
    note_near(b);
    __atomic_store_n(&b->jit_n_samples, MIN(b->jit_n_samples + 1, JIT_SAMPLES),
                     __ATOMIC_RELAXED);
}

bool jit_again_soon(const Block *b)
{
    unsigned taken = __atomic_load_n(&b->jit_n_samples, __ATOMIC_RELAXED);
    unsigned n = __atomic_load_n(&b->jit_n_near, __ATOMIC_RELAXED);

    return taken < JIT_SAMPLES / 2 ? b->off & 16 : n >= taken / 2;
}

uint32_t jit_slots_seen(const Block *b, unsigned i, unsigned taken)
{
    uint32_t seen = __atomic_load_n(&b->jit_samples[i], __ATOMIC_RELAXED);
    unsigned more = MAX(taken, b->jit_n_samples) - b->jit_n_samples;

    return seen == GIVEN_UP ? seen :
           (seen & ~((1 << 2 * COUNT_BITS) - 1))
           | MIN((seen >> COUNT_BITS & COUNT_MASK) + more, JIT_SAMPLES)
             << COUNT_BITS
           | MIN((seen & COUNT_MASK) + more, JIT_SAMPLES);
}

/* Has it been in the same page nearly always, or in one of two? */
static bool stays(const Block *b, unsigned i)
{
    const Insn *n = &b->insns[i];
    unsigned taken = __atomic_load_n(&b->jit_n_samples, __ATOMIC_RELAXED);
    unsigned seen = __atomic_load_n(&b->jit_samples[i], __ATOMIC_RELAXED);
    unsigned same = seen & COUNT_MASK;

    if (seen == GIVEN_UP) {
        return false;
    }
    if (n->ea & EA_RIP || (n->base >= R_ZERO && n->index >= R_ZERO)) {
        return true;
    }
    /* Not known (x-threshold=0): some of each. */
    return taken < JIT_SAMPLES / 2 ? (n->off ^ n->off >> 2) & 3
                               : same >= taken - taken / 4;
}

bool jit_slot_one_page(const Block *b, unsigned i)
{
    unsigned seen = __atomic_load_n(&b->jit_samples[i], __ATOMIC_RELAXED);

    return jit_again_soon(b) && stays(b, i)
           && !(seen >> (2 * COUNT_BITS + PAGE_BITS));
}

bool jit_slot_aligned(const Block *b, unsigned i)
{
    unsigned taken = __atomic_load_n(&b->jit_n_samples, __ATOMIC_RELAXED);
    unsigned n = __atomic_load_n(&b->jit_samples[i], __ATOMIC_RELAXED)
                 >> COUNT_BITS & COUNT_MASK;

    return taken < JIT_SAMPLES / 2 ? b->insns[i].off & 4
                                   : n >= taken - taken / 4;
}

/* --- slots that miss too often ------------------------------------------- */

bool jit_slot_thrashes(Env *env, unsigned slot)
{
    JitCpu *j = jit_cpu(env);
    uint64_t now = __builtin_ia32_rdtsc(), since = now - j->slot_tsc[slot];

    j->slot_tsc[slot] = now;
    j->slot_misses[slot] = JIT_SLOT_MISSES;
    return since < JIT_SLOT_MISSES * MISS_TSC;
}

void jit_slot_give_up(Block *b, unsigned i)
{
    unsigned n = 0;

    for (unsigned k = 0; k < b->n_insns; k++) {
        n += __atomic_load_n(&b->jit_samples[k], __ATOMIC_RELAXED) == GIVEN_UP;
    }
    for (unsigned k = 0; k < b->n_insns; k++) {
        if (k == i || n >= GIVEN_UP_MAX) {
            __atomic_store_n(&b->jit_samples[k], GIVEN_UP, __ATOMIC_RELAXED);
        }
    }
    if (b->shorter) {           /* longer forms are made more than once */
        for (unsigned k = 0; k < MIN(b->n_insns, b->shorter->n_insns); k++) {
            if (b->jit_samples[k] == GIVEN_UP) {
                __atomic_store_n(&b->shorter->jit_samples[k], GIVEN_UP,
                                 __ATOMIC_RELAXED);
            }
        }
    }
}

int jit_slot_choose(const Block *b, unsigned i, unsigned who, bool stack,
                    bool write)
{
    int first = who * JIT_SLOTS;

    if (stack) {
        return first + (write ? 1 : 0);
    }
    if (!jit_again_soon(b) || !stays(b, i)) {
        return -1;
    }
    next_slot = (next_slot + 2) % (JIT_SLOTS - FIRST);
    return first + FIRST + next_slot + write;
}
