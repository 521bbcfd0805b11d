/*
 * Where compiled code goes without knowing the way: the jump table, and the
 * stack of returns.
 *
 * The jump table.  Code for a RIP holds under one jump_tag: a generation of
 * the translations that instruction fetch knows, and the mode.  Each tag gets
 * a key, a multiple of 2 << 48, and an entry holds -(RIP + key).  RIP has 48
 * bits, so sums of different pairs differ, by no odd multiple of 1 << 48
 * either: compiled code adds RIP and the present key, to which whoever wants it
 * to leave adds 1 << 48 (JIT_STOP), and has hit when the sum is 0.
 *
 * The stack of returns.  Compiled code's RSP is no C stack.  A CALL writes its
 * return RIP beside the entry that it then makes by calling, so that the host
 * predicts the return; RET compares, and returns to where the CALL goes on, with flags in cc_raw: saving
 * them costs less than compares that leave them alone, there and in what comes
 * then, and those were a branch taken each.  What is on
 * it is good under one jump_tag and generation of the code cache, else it is
 * emptied; each privilege has its own, so that user code's outlives a SYSCALL.
 * At the bottom lies a RIP of -1, at which nothing has ever been called.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/jit.h"

#include <sys/mman.h>

enum {
    HEADROOM_BYTES = 64 * KiB,  /* for signal handlers, */
    RIPS_BYTES = 2 * JIT_RETURN_BYTES,  /* above the stack, and some more */
};

/* --- the stack of returns ---------------------------------------------- */

void jit_cpu_init(Env *env)
{
    size_t n = JIT_RETURN_BYTES
               + 2 * (HEADROOM_BYTES + JIT_RETURN_BYTES + RIPS_BYTES);
    uint64_t at;
    JitCpu *j = jit_cpu(env);
    void *p;

    if (!jit_enabled) {
        return;
    }
    p = mmap(NULL, n, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return;
    }
    j->stacks = p;
    j->stacks_bytes = n;
    at = ALIGN_UP((uintptr_t)p, JIT_RETURN_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        JitReturns *r = &j->returns[i];
        uint64_t *bottom;

        at += HEADROOM_BYTES + JIT_RETURN_BYTES;
        r->bottom = at - 64;
        bottom = (uint64_t *)r->bottom;
        bottom[0] = (uintptr_t)(jit_space.bottom - jit_space.rw
                                + jit_space.rx);
        bottom[JIT_RETURN_RIP / 8] = UINT64_MAX;
        at += RIPS_BYTES;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(j->align_mask); i++) {
        j->align_mask[i] = -(uint64_t)PAGE_BYTES | ((1 << i) - 1);
    }
    jit_slots_new(env);
}

void jit_cpu_free(Env *env)
{
    JitCpu *j = jit_cpu(env);

    if (j->stacks) {
        munmap(j->stacks, j->stacks_bytes);
    }
}

/* --- the jump table ---------------------------------------------------- */

void jit_jumps_clear(JitCpu *j)
{
    for (unsigned i = 0; i < JIT_JUMPS; i++) {
        if (j->jumps[i].key) {  /* most have never been touched */
            j->jumps[i].key = 0;
        }
    }
    memset(j->key_tags, 0, sizeof(j->key_tags));
    memset(j->tag, 0, sizeof(j->tag));
    j->n_keys = 0;
}

void jit_forget(Env *env)
{
    JitCpu *j = jit_cpu(env);

    jit_jumps_clear(j);
    for (unsigned i = 0; i < JIT_JUMPS; i++) {
        if (j->jumps[i].place) {
            j->jumps[i].place = 0;
        }
    }
    for (unsigned i = 0; i < JIT_PLACES; i++) {
        if (j->places[i].place) {
            j->places[i].place = 0;
        }
    }
    j->returns[0].tag = j->returns[1].tag = 0;
}
