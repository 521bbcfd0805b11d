/*
 * Writing host instructions.
 *
 * An opcode is its bytes as a number (0x0FAF), with X_F3 or X_66 for a
 * mandatory prefix, X_REX to have a REX.  Memory is [base + index] + disp, or
 * at an offset of GS,
 * which points to the environment.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TCG_JIT_EMIT_H
#define TCG_JIT_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    H_AX, H_CX, H_DX, H_BX, H_SP, H_BP, H_SI, H_DI,
    H_8, H_9, H_10, H_11, H_12, H_13, H_14, H_15,
};
enum { X_REX = 1 << 27, X_F3 = 1 << 28, X_66 = 1 << 29, X_F2 = 1 << 30 };

typedef struct Emit {
    uint8_t *p;
    const int8_t *home;         /* of guest registers: jit_host_reg as a rule */
} Emit;

static inline void e8(Emit *e, unsigned v) { *e->p++ = v; }
static inline void e32(Emit *e, uint32_t v)
{
    memcpy(e->p, &v, 4);
    e->p += 4;
}
static inline void e64(Emit *e, uint64_t v)
{
    memcpy(e->p, &v, 8);
    e->p += 8;
}

static inline void e_rel32(uint8_t *at, const uint8_t *to)
{
    int32_t rel = to - (at + 4);

    memcpy(at, &rel, 4);
}

/* Prefixes, REX and opcode.  size 1 forces REX, so that SIL is not DH. */
static inline void e_op(Emit *e, unsigned size, uint32_t opc, unsigned reg,
                        unsigned index, unsigned base)
{
    unsigned rex = (size == 8 ? 8 : 0) | (reg >> 3 & 1) << 2
                   | (index >> 3 & 1) << 1 | (base >> 3 & 1);

    if (size == 2 || opc & X_66) {
        e8(e, 0x66);
    }
    if (opc & X_F3) {
        e8(e, 0xf3);
    }
    if (opc & X_F2) {
        e8(e, 0xf2);
    }
    if (rex || size == 1 || opc & X_REX) {
        e8(e, 0x40 | rex);
    }
    opc &= 0xffffff;
    if (opc > 0xffff) {
        e8(e, opc >> 16);
    }
    if (opc > 0xff) {
        e8(e, opc >> 8 & 0xff);
    }
    e8(e, opc & 0xff);
}

static inline void e_rr(Emit *e, unsigned size, uint32_t opc, unsigned reg,
                        unsigned rm)
{
    e_op(e, size, opc, reg, 0, rm);
    e8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* [base + index * 2^scale + disp]; index H_SP: none. */
static inline void e_modrm(Emit *e, unsigned reg, unsigned base,
                           unsigned index, unsigned scale, int32_t disp)
{
    unsigned mod = disp == 0 && (base & 7) != H_BP ? 0
                   : disp == (int8_t)disp ? 1 : 2;

    if (index == H_SP && (base & 7) != H_SP) {
        e8(e, mod << 6 | (reg & 7) << 3 | (base & 7));
    } else {
        e8(e, mod << 6 | (reg & 7) << 3 | 4);
        e8(e, scale << 6 | (index & 7) << 3 | (base & 7));
    }
    if (mod == 1) {
        e8(e, disp);
    } else if (mod == 2) {
        e32(e, disp);
    }
}

static inline void e_rm(Emit *e, unsigned size, uint32_t opc, unsigned reg,
                        unsigned base, unsigned index, unsigned scale,
                        int32_t disp)
{
    e_op(e, size, opc, reg, index == H_SP ? 0 : index, base);
    e_modrm(e, reg, base, index, scale, disp);
}

/* GS:[disp], GS:[index * 2^scale + disp]. */
static inline void e_gs(Emit *e, unsigned size, uint32_t opc, unsigned reg,
                        uint32_t disp)
{
    e8(e, 0x65);
    e_op(e, size, opc, reg, 0, 0);
    e8(e, (reg & 7) << 3 | 4);
    e8(e, 0x25);
    e32(e, disp);
}

static inline void e_gsx(Emit *e, unsigned size, uint32_t opc, unsigned reg,
                         unsigned index, unsigned scale, uint32_t disp)
{
    e8(e, 0x65);
    e_op(e, size, opc, reg, index, 0);
    e8(e, (reg & 7) << 3 | 4);
    e8(e, scale << 6 | (index & 7) << 3 | 5);
    e32(e, disp);
}

/* GS:[base + disp], which is shorter; no base that wants a SIB. */
static inline void e_gsb(Emit *e, unsigned size, uint32_t opc, unsigned reg,
                         unsigned base, uint32_t disp)
{
    e8(e, 0x65);
    e_op(e, size, opc, reg, 0, base);
    e8(e, 2 << 6 | (reg & 7) << 3 | (base & 7));
    e32(e, disp);
}

static inline void e_vex(Emit *e, unsigned map, unsigned pp, unsigned w,
                         unsigned opc, unsigned reg, unsigned vvvv,
                         unsigned rm)
{
    e8(e, 0xc4);
    e8(e, (~reg >> 3 & 1) << 7 | 1 << 6 | (~rm >> 3 & 1) << 5 | map);
    e8(e, w << 7 | (~vvvv & 15) << 3 | pp);
    e8(e, opc);
}

/* Prefix and opcode of a VEX instruction on [base + index] or on register
 * `base` (index 0); ModRM is to follow. */
static inline void e_vex_op(Emit *e, unsigned map, unsigned pp, unsigned w,
                            unsigned l, unsigned opc, unsigned reg,
                            unsigned vvvv, unsigned index, unsigned base)
{
    unsigned r = ~reg >> 3 & 1, x = ~index >> 3 & 1, b = ~base >> 3 & 1;

    if (map == 1 && !w && x && b) {
        e8(e, 0xc5);
        e8(e, r << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
    } else {
        e8(e, 0xc4);
        e8(e, r << 7 | x << 6 | b << 5 | map);
        e8(e, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
    }
    e8(e, opc);
}

/* dst = src's bits where GS:[disp] has ones, packed.  No flags. */
static inline void e_pext_gs(Emit *e, unsigned dst, unsigned src,
                             uint32_t disp)
{
    e8(e, 0x65);
    e_vex(e, 2, 2, 1, 0xf5, dst, src, 0);
    e8(e, (dst & 7) << 3 | 4);
    e8(e, 0x25);
    e32(e, disp);
}

/* Rotate right, no flags. */
static inline void e_rorx(Emit *e, unsigned dst, unsigned src, unsigned n)
{
    e_vex(e, 3, 3, 1, 0xf0, dst, 0, src);
    e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
    e8(e, n);
}

static inline void e_mov(Emit *e, unsigned size, unsigned dst, unsigned src)
{
    e_rr(e, size, size == 1 ? 0x88 : 0x89, src, dst);
}

/* As few instructions as may be. */
static inline void e_nops(Emit *e, unsigned n)
{
    static const uint8_t nops[8][8] = {
        { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 },
        { 0x0f, 0x1f, 0x40, 0x00 }, { 0x0f, 0x1f, 0x44, 0x00, 0x00 },
        { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
        { 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
        { 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
    };

    for (unsigned now; n; n -= now) {
        now = n < 8 ? n : 8;
        memcpy(e->p, nops[now - 1], now);
        e->p += now;
    }
}

static inline void e_mov_i64(Emit *e, unsigned dst, uint64_t v)
{
    if (v == (uint32_t)v) {
        e_op(e, 4, 0xb8 | (dst & 7), 0, 0, dst);
        e32(e, v);
    } else if (v == (uint64_t)(int32_t)v) {
        e_rr(e, 8, 0xc7, 0, dst);
        e32(e, v);
    } else {
        e_op(e, 8, 0xb8 | (dst & 7), 0, 0, dst);
        e64(e, v);
    }
}

#endif
