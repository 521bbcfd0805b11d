/*
 * The code that all blocks share: entering, leaving, calling the interpreter.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* --- thunks ------------------------------------------------------------ */

static void spill(Emit *e, bool load)
{
    for (unsigned i = 0; i < 16; i++) {
        if (jit_host_reg[i] >= 0) {
            e_gs(e, 8, load ? 0x8b : 0x89, jit_host_reg[i], GPR(i));
        }
    }
}

/* The same of what a C function may overwrite. */
static void spill_for_c(Emit *e, bool load)
{
    static const uint8_t clobbered[] = { H_SI, H_DI, H_8, H_9, H_10, H_11 };

    for (unsigned i = 0; i < 16; i++) {
        int h = jit_host_reg[i];

        if (h >= 0 && memchr(clobbered, h, sizeof(clobbered))) {
            e_gs(e, 8, load ? 0x8b : 0x89, h, GPR(i));
        }
    }
}

/* fn(env, RAX: the JitCode, RCX: which instruction) on the stack of C, with the
 * guest's registers in Env; then RAX is tested. */
static void call_with_place(Emit *e, uintptr_t fn)
{
    spill(e, false);
    e_gs(e, 8, 0x89, H_SP, JOFF(sp));
    e_gs(e, 8, 0x8b, H_SP, JOFF(c_sp));
    e_gs(e, 8, 0x8b, H_DI, OFF(jit_self));
    e_mov(e, 8, H_SI, H_AX);
    e_mov(e, 4, H_DX, H_CX);
    e_mov_i64(e, H_AX, fn);
    e_rr(e, 4, 0xff, 2, H_AX);
    e_rr(e, 8, 0x85, H_AX, H_AX);
}

void jit_make_thunks(void)
{
    static const uint8_t saved[] = { H_BX, H_BP, H_12, H_13, H_14, H_15 };
    Emit em = { jit_space.code }, *e = &em;
    uint8_t *restore, *go_on, *jnz, *jne;

    /* At the very start: jit_enter(code). */
    for (unsigned i = 0; i < G_N_ELEMENTS(saved); i++) {
        e_op(e, 4, 0x50 | (saved[i] & 7), 0, 0, saved[i]);
    }
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, -8);
    e_gs(e, 8, 0x89, H_SP, JOFF(c_sp));
    e_mov(e, 8, H_AX, H_DI);
    spill(e, true);
    e_gs(e, 8, 0x8b, H_SP, JOFF(sp));
    e_rr(e, 4, 0xff, 4, H_AX);

    t_align8(e);
    jit_space.leave_null = e->p;
    e_rr(e, 4, 0x31, H_AX, H_AX);
    jit_space.leave = e->p;
    e_gs(e, 8, 0x89, H_SP, JOFF(sp));
    e_gs(e, 8, 0x8b, H_SP, JOFF(c_sp));
    spill(e, false);
    restore = e->p;
    e_rm(e, 8, 0x8d, H_SP, H_SP, H_SP, 0, 8);
    for (unsigned i = G_N_ELEMENTS(saved); i--;) {
        e_op(e, 4, 0x58 | (saved[i] & 7), 0, 0, saved[i]);
    }
    e8(e, 0xc3);

    /* RAX: the JitCode, RCX: which instruction. */
    t_align8(e);
    jit_space.fallback = e->p;
    call_with_place(e, (uintptr_t)jit_fallback);
    e8(e, 0x75);
    jnz = e->p;
    e8(e, 0);
    spill(e, true);
    e_gs(e, 8, 0x8b, H_SP, JOFF(sp));
    e8(e, 0xc3);
    *jnz = e->p - (jnz + 1);
    e_rr(e, 8, 0x83, 7, H_AX);                      /* cmp rax, 1 */
    e8(e, 1);
    e8(e, 0x0f);                                    /* jne */
    e8(e, 0x85);
    jne = e->p;
    e->p += 4;
    e_rr(e, 4, 0x31, H_AX, H_AX);
    e8(e, 0xe9);
    e_rel32(e->p, restore);
    e->p += 4;

    /* RAX: the JitCode, RCX: which instruction; jumped to. */
    t_align8(e);
    jit_space.transfer = e->p;
    call_with_place(e, (uintptr_t)jit_transfer);
    go_on = e->p;
    e8(e, 0x0f);                                    /* jz */
    e8(e, 0x84);
    e_rel32(e->p, restore);
    e->p += 4;
    e_rel32(jne, e->p);
    spill(e, true);
    e_gs(e, 8, 0x8b, H_SP, JOFF(sp));
    e_gs(e, 8, 0x8b, H_DX, OFF(s.rip));
    e_rr(e, 4, 0xff, 4, H_AX);

    /* RAX: the table, RCX: the offset in the page; jumped to. */
    t_align8(e);
    jit_space.near_miss = e->p;
    e_gs(e, 8, 0x8b, H_DX, OFF(rip_base));
    e_rr(e, 8, 0x01, H_CX, H_DX);
    e_gs(e, 8, 0x89, H_DX, OFF(s.rip));
    call_with_place(e, (uintptr_t)jit_near);
    e8(e, 0xe9);
    e_rel32(e->p, go_on);
    e->p += 4;

    /* RDX: a RIP.  RAX: is it in the jump table now?  Clobbers RCX and flags;
     * C keeps the other registers itself. */
    t_align8(e);
    jit_space.lookup = e->p;
    spill_for_c(e, false);
    e_gs(e, 8, 0x89, H_DX, JOFF(target));
    e_gs(e, 8, 0x89, H_SP, JOFF(sp));
    e_gs(e, 8, 0x8b, H_SP, JOFF(c_sp));
    e_gs(e, 8, 0x8b, H_DI, OFF(jit_self));
    e_mov(e, 8, H_SI, H_DX);
    e_mov_i64(e, H_AX, (uintptr_t)jit_lookup);
    e_rr(e, 4, 0xff, 2, H_AX);
    spill_for_c(e, true);
    e_gs(e, 8, 0x8b, H_SP, JOFF(sp));
    e_gs(e, 8, 0x8b, H_DX, JOFF(target));
    e8(e, 0xc3);

    /* A jump to a stale block with flags in RFLAGS; the same in cc_raw, a RET
     * that comes back to one, and one that no call expects: return.c. */
    t_align8(e);
    jit_space.stale_r = e->p;
    t_save_flags(e);
    jit_space.bottom = e->p;
    jit_no_code = e->p - jit_space.rw + jit_space.rx;
    e_gs(e, 8, 0x89, H_DX, OFF(s.rip));
    e8(e, 0xe9);
    e_rel32(e->p, jit_space.leave_null);
    e->p += 4;
    t_align8(e);
    jit_space.code = e->p;
}
