/*
 * Pages whose 64-bit code runs at one RIP: kernels, programs that are linked
 * to an address.  Their code has absolute addresses in it.
 *
 * A page is fixed by the first of its blocks that is compiled, when addresses
 * in it are sign-extended imm32.  All its code is compiled for that base, until
 * a vCPU is about to run some of it at another RIP: then all of it goes, and
 * what is compiled from there on serves any RIP, until the page has held no
 * block.  So code of one page is of one kind, and jumps inside it, which
 * do not look at RIP, are right.  Others look: run_compiled(), jit_jump_fill()
 * and known_place().
 *
 * Env.rip_base is right all the same, for all others.
 *
 * Locks: the cache mutex; jit_base_agrees() takes none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

static bool has_base(const Block *b)
{
    return b->page && (b->mode & DM_CODE_MASK) == DM_CODE64;
}

/* A block may go on in the next page, and its negative is an imm32 as well. */
static bool fits(uint64_t base)
{
    int64_t v = base;

    return v && v > INT32_MIN && v <= INT32_MAX - 2 * (int64_t)PAGE_BYTES;
}

bool jit_base_agrees(const Block *b, uint64_t base)
{
    uint64_t have;

    if (!has_base(b)) {
        return true;
    }
    have = __atomic_load_n(&b->page->jit_base, __ATOMIC_ACQUIRE);
    return have == JIT_BASE_ANY || have == base;
}

uint64_t jit_base_choose(const Block *b, uint64_t base)
{
    CodePage *p = b->page;

    if (!has_base(b)) {
        return JIT_BASE_ANY;
    }
    if (p->jit_base == JIT_BASE_NONE) {
        __atomic_store_n(&p->jit_base, fits(base) ? base : JIT_BASE_ANY,
                         __ATOMIC_RELEASE);
    } else if (p->jit_base != JIT_BASE_ANY && p->jit_base != base) {
        for (Block *o = p->blocks; o; o = o->page_next) {
            if (has_base(o)) {
                jit_block_killed(o);
            }
        }
        __atomic_store_n(&p->jit_base, JIT_BASE_ANY, __ATOMIC_RELEASE);
    }
    return p->jit_base;
}
