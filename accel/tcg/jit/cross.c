/*
 * Instructions that end in the next page: are its bytes still those that were
 * decoded?
 *
 * The next page belongs to no block of this one: who stores to it, or maps
 * another there, kills nothing.  So where the page is now, which the TLB of
 * instruction fetches tells, is looked at each time, as the interpreter does;
 * when that is not known, or differs, its handler is asked.
 *
 * Spec: Intel SDM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/tcg/jit/template.h"

/* [RAX + RCX + disp]: an operand of `size` bytes. */
static void on_entry(Ctx *c, unsigned size, uint32_t opc, unsigned reg,
                     size_t disp)
{
    e_rm(&c->e, size, opc, reg, H_AX, H_CX, 0, (int32_t)disp);
}

static void jne_stub(Ctx *c, Stub *s)
{
    e8(&c->e, 0x0f);
    e8(&c->e, 0x85);
    t_stub_site(c, s);
}

/* The bytes at [RDX]. */
static void compare_bytes(Ctx *c, Stub *s, const uint8_t *want, unsigned n)
{
    Emit *e = &c->e;

    for (unsigned at = 0, size; at < n; at += size) {
        size = n - at >= 8 ? 8 : n - at >= 4 ? 4 : n - at >= 2 ? 2 : 1;
        if (size == 8) {
            uint64_t v;

            memcpy(&v, want + at, 8);
            e_mov_i64(e, H_CX, v);
            e_rm(e, 8, 0x39, H_CX, H_DX, H_SP, 0, at);
        } else {
            e_rm(e, size, t_sized(0x80, size), 7, H_DX, H_SP, 0, at);
            memcpy(e->p, want + at, size);
            e->p += size;
        }
        jne_stub(c, s);
    }
}

void t_cross_check(Ctx *c)
{
    const Block *b = c->b;
    size_t bank = offsetof(TcgCpu, fetch)
                  + (b->mode & DM_CPL3 ? sizeof(FetchBank) : 0);
    size_t entry = bank + offsetof(FetchBank, e);
    Emit *e = &c->e;
    Stub *s;

    c->keep_r = false;
    t_clobber(c);
    c->rax_group = NULL;
    s = t_add_exit(c, EXIT_INTERP, 0);

    t_rip_to(c, H_DX, PAGE_BYTES);
    e_gs(e, 8, 0x8b, H_AX, OFF(tcg));
    e_mov(e, 4, H_CX, H_DX);
    e_rr(e, 4, 0xc1, 5, H_CX);                      /* shr ecx, 12 */
    e8(e, 12);
    e_rr(e, 4, 0x81, 4, H_CX);                      /* and ecx, imm32 */
    e32(e, FETCH_SIZE - 1);
    e_rr(e, 4, 0x6b, H_CX, H_CX);                   /* imul ecx, ecx, imm8 */
    e8(e, sizeof(FetchEntry));
    on_entry(c, 8, 0x3b, H_DX, entry + offsetof(FetchEntry, page));
    jne_stub(c, s);
    e_rm(e, 4, 0x8b, H_DX, H_AX, H_SP, 0, bank + offsetof(FetchBank, gen));
    on_entry(c, 4, 0x3b, H_DX, entry + offsetof(FetchEntry, gen));
    jne_stub(c, s);
    on_entry(c, 8, 0x8b, H_DX, entry + offsetof(FetchEntry, hva));
    e_rr(e, 8, 0x85, H_DX, H_DX);
    e8(e, 0x0f);                                    /* jz */
    e8(e, 0x84);
    t_stub_site(c, s);
    compare_bytes(c, s, b->bytes + b->len, b->n_tail);
}
G_STATIC_ASSERT(sizeof(FetchEntry) <= INT8_MAX);
