/*
 * Checks of addresses that leave RFLAGS alone: by PEXT and JRCXZ; where PEXT
 * is slow by shifts that do not set flags.
 *
 * AMD's processors before family 19h run PEXT as microcode, some hundred cycles
 * for a mask of many bits.
 *
 * Spec: Intel SDM volume 2, PEXT, RORX, SHLX/SHRX, JRCXZ.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/noflags.h"

#include <cpuid.h>

#include "accel/tcg/host-features.h"
#include "base/log.h"

enum { HYGON_EBX = 0x6f677948 };        /* "Hygo" of HygonGenuine */

static bool slow_pext;

static bool host_slow_pext(void)
{
    unsigned a, b, c, d, family;

    if (!__get_cpuid(0, &a, &b, &c, &d)
        || (b != signature_AMD_ebx && b != HYGON_EBX)
        || !__get_cpuid(1, &a, &b, &c, &d)) {
        return false;
    }
    family = (a >> 8 & 15) + (a >> 20 & 255);
    return family < 0x19;
}

void t_noflags_init(void)
{
    slow_pext = tcg_host.slow_pext || host_slow_pext();
    if (slow_pext) {
        warn("accelerator 'tcg': this host's processor has a slow PEXT: "
             "translated code goes without it");
    }
}

/* Shifts by a register, no flags: SHLX, SHRX. */
static void e_shx(Emit *e, unsigned prefix, unsigned dst, unsigned src,
                  unsigned n)
{
    e_vex(e, 2, prefix, 1, 0xf7, dst, n, src);
    e8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
}

static void e_shlx(Emit *e, unsigned dst, unsigned src, unsigned n)
{
    e_shx(e, 1, dst, src, n);
}

static void e_shrx(Emit *e, unsigned dst, unsigned src, unsigned n)
{
    e_shx(e, 3, dst, src, n);
}

static uint32_t mask_of(unsigned align)
{
    return align == 1 ? OFF(jit_page_mask)
                      : JOFF(align_mask) + 8 * __builtin_ctz(align);
}

void t_jrcxz_or_slow(Ctx *c)
{
    e8(&c->e, 0xe3);                                /* jrcxz over the jump */
    e8(&c->e, 5);
    e8(&c->e, 0xe9);
    t_slow_site(c);
}

/*
 * JECXZ of bits 12 to 43, then of those above 32 and what is below `align`: RCX
 * rotated so that they are the low ones.
 */
static void rotate_twice(Ctx *c, unsigned n_low)
{
    Emit *e = &c->e;
    uint8_t *slow;

    e_rorx(e, H_CX, H_CX, 12);
    e8(e, 0x67);                                    /* jecxz over the jump */
    e8(e, 0xe3);
    e8(e, 5);
    slow = e->p;
    e8(e, 0xe9);
    t_slow_site(c);
    e_rorx(e, H_CX, H_CX, 20 + n_low);
    e8(e, 0x67);                                    /* jecxz over this */
    e8(e, 0xe3);
    e8(e, 2);
    e8(e, 0xeb);
    e8(e, slow - (e->p + 1));
}

/* The same by one jump: what may be anything is shifted out.  Uses RAX. */
static void shift_out(Ctx *c, unsigned n_low)
{
    Emit *e = &c->e;

    if (n_low) {
        e_rorx(e, H_CX, H_CX, n_low);
    }
    e_mov_i64(e, H_AX, 12 - n_low);
    e_shrx(e, H_CX, H_CX, H_AX);
    t_jrcxz_or_slow(c);
}

void t_in_page(Ctx *c, unsigned align, bool rax_free)
{
    if (!slow_pext) {
        e_pext_gs(&c->e, H_CX, H_CX, mask_of(align));
        t_jrcxz_or_slow(c);
    } else if (rax_free) {
        shift_out(c, __builtin_ctz(align));
    } else {
        rotate_twice(c, __builtin_ctz(align));
    }
}

void t_both_in_page(Ctx *c, const Access *a, unsigned align, unsigned last)
{
    Emit *e = &c->e;

    e_rm(e, 8, 0x8d, H_AX, H_CX, a->ea, 0, a->disp + last);
    if (slow_pext) {
        e_rm(e, 8, 0x8d, H_CX, H_CX, a->ea, 0, a->disp);
        t_in_page(c, align, false);
        e_mov(e, 8, H_CX, H_AX);
        t_in_page(c, align, true);
        return;
    }
    e_pext_gs(e, H_AX, H_AX, mask_of(align));
    e_rm(e, 8, 0x8d, H_CX, H_CX, a->ea, 0, a->disp);
    e_pext_gs(e, H_CX, H_CX, mask_of(align));
    e_rm(e, 8, 0x8d, H_CX, H_CX, H_AX, 0, 0);
    t_jrcxz_or_slow(c);
}

void t_tlb_index(Ctx *c, unsigned ea)
{
    Emit *e = &c->e;

    if (slow_pext) {
        e_mov_i64(e, H_CX, 64 - 12 - TLB_BITS);
        e_shlx(e, H_AX, ea, H_CX);
        e_mov_i64(e, H_CX, 64 - TLB_BITS);
        e_shrx(e, H_AX, H_AX, H_CX);
    } else {
        e_pext_gs(e, H_AX, ea, OFF(jit_index_mask));
    }
    e_op(e, 4, 0x8d, H_AX, H_AX, 0);                /* lea eax, [rax*8] */
    e8(e, H_AX << 3 | 4);
    e8(e, 3 << 6 | H_AX << 3 | 5);
    e32(e, 0);
}
