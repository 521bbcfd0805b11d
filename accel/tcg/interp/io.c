/*
 * IN and OUT, I/O permission, I/O breakpoints.
 *
 * Spec: Intel SDM volume 1 chapter 19; volume 3A 18.2.4.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/interp/io.h"

bool io_allowed(Env *env, uint16_t port, unsigned size)
{
    const X86Seg *tr = &env->s.tr;
    unsigned iopl = (env->s.rflags & FL_IOPL) >> 12;
    uint16_t base, bits;

    if ((env->mode & DM_REAL)
        || (!(env->mode & DM_VM86) && env->cpl <= iopl)) {
        return true;
    }
    /* A 32- or 64-bit TSS whose bitmap covers the port, with one byte more:
     * two are always read. */
    if (!(tr->attr & SEGA_P) || !(tr->attr & 8) || tr->limit < 0x67
        || (tr->attr & SEGA_NULL)) {
        return exc_set(env, EXC_GP, true, 0);
    }
    if (!mem_sys_read(env, tr->base + 0x66, &base, 2)) {
        return false;
    }
    if ((uint32_t)base + port / 8 + 1 > tr->limit) {
        return exc_set(env, EXC_GP, true, 0);
    }
    if (!mem_sys_read(env, tr->base + base + port / 8, &bits, 2)) {
        return false;
    }
    if (bits >> (port & 7) & ((1u << size) - 1)) {
        return exc_set(env, EXC_GP, true, 0);
    }
    return true;
}

bool io_breakpoint_at(Env *env, uint16_t port, unsigned size)
{
    static const uint8_t mask_of_len[4] = { 0, 1, 7, 3 };
    uint64_t dr7 = env->s.dr[7], hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned len = dr7 >> (18 + 4 * i) & 3;
        uint64_t first = env->s.dr[i] & ~(uint64_t)mask_of_len[len];

        if ((dr7 >> 2 * i & 3) && (dr7 >> (16 + 4 * i) & 3) == 2
            && port <= first + mask_of_len[len] && port + size > first) {
            hit |= 1u << i;
        }
    }
    if (!hit) {
        return false;
    }
    exc_set(env, EXC_DB, false, 0);
    env->exc_dr6 = hit;
    return true;
}

TEMPLATE bool io_hit(Env *env, uint16_t port, unsigned size)
{
    return unlikely(env->s.cr4 & CR4_DE) && (env->s.dr[7] & 0xff)
           && io_breakpoint_at(env, port, size);
}

/* Devices may do anything: interrupts, resets, a new memory map. */
TEMPLATE const Insn *in(Env *env, const Insn *insn, unsigned bits, bool dx)
{
    uint16_t port = dx ? (uint16_t)env->s.gpr[R_RDX] : (uint8_t)insn->imm;

    if (!io_allowed(env, port, bits / 8)) {
        return insn_fault(env, insn);
    }
    acc_set(env, R_RAX, bits, env_io_read(env, port, bits / 8));
    io_hit(env, port, bits / 8);
    return insn_exit(env, insn);
}

TEMPLATE const Insn *out(Env *env, const Insn *insn, unsigned bits, bool dx)
{
    uint16_t port = dx ? (uint16_t)env->s.gpr[R_RDX] : (uint8_t)insn->imm;

    if (!io_allowed(env, port, bits / 8)) {
        return insn_fault(env, insn);
    }
    env_io_write(env, port, bits / 8, acc_get(env, R_RAX, bits));
    io_hit(env, port, bits / 8);
    return insn_exit(env, insn);
}

DEFINE_REG(in_i_8, in, 8, false)
DEFINE_REG(in_i_16, in, 16, false)
DEFINE_REG(in_i_32, in, 32, false)
DEFINE_REG(in_dx_8, in, 8, true)
DEFINE_REG(in_dx_16, in, 16, true)
DEFINE_REG(in_dx_32, in, 32, true)
DEFINE_REG(out_i_8, out, 8, false)
DEFINE_REG(out_i_16, out, 16, false)
DEFINE_REG(out_i_32, out, 32, false)
DEFINE_REG(out_dx_8, out, 8, true)
DEFINE_REG(out_dx_16, out, 16, true)
DEFINE_REG(out_dx_32, out, 32, true)

const HandlerRow interp_io[] = {
    { OP_IN_R_I, { in_i_8, in_i_16, in_i_32, in_i_32 }, {}, {} },
    { OP_IN_R_DX, { in_dx_8, in_dx_16, in_dx_32, in_dx_32 }, {}, {} },
    { OP_OUT_I_R, { out_i_8, out_i_16, out_i_32, out_i_32 }, {}, {} },
    { OP_OUT_DX_R, { out_dx_8, out_dx_16, out_dx_32, out_dx_32 }, {}, {} },
    {}
};
