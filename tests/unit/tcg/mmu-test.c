/*
 * Paging and the softTLB, by calling them as handlers do.
 *
 * Spec: Intel SDM volume 3A chapter 4; error codes: 4.7.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include "accel/tcg/interp/host.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX BIT64(63)
enum { E_P = 1, E_W = 2, E_U = 4, E_RSVD = 8, E_I = 16, E_PK = 32 };

#define ROOT  0x100000          /* top table; others follow */
#define DATA  0x200000
#define VA    UINT64_C(0x7f1234567000)

static Env *env;
static X86State *s;
static uint64_t next_table;

/* --- building tables --------------------------------------------------------- */

static uint64_t *entry64(uint64_t table, uint64_t gva, unsigned level)
{
    return (uint64_t *)(guest_ram + table)
           + (gva >> (12 + 9 * (level - 1)) & 511);
}

/* The leaf's place for `gva` at `level`, tables made on the way. */
static uint64_t *leaf64(uint64_t gva, unsigned top, unsigned level)
{
    uint64_t table = ROOT;

    for (unsigned l = top; l > level; l--) {
        uint64_t *e = entry64(table, gva, l);

        if (!(*e & P)) {
            *e = next_table | P | W | U;
            next_table += 4096;
        }
        table = *e & 0xfffff000;
    }
    return entry64(table, gva, level);
}

static uint64_t *map(uint64_t gva, uint64_t val)
{
    uint64_t *e = leaf64(gva, 4, 1);

    *e = val;
    return e;
}

static void set_cpl(unsigned cpl)
{
    s->seg[SEG_SS].attr = (s->seg[SEG_SS].attr & ~SEGA_DPL)
                          | cpl << SEGA_DPL_SHIFT;
    s->seg[SEG_CS].attr = (s->seg[SEG_CS].attr & ~SEGA_DPL)
                          | cpl << SEGA_DPL_SHIFT;
    env_update_mode(env);
}

static void setup(void)
{
    guest_reset();
    env = guest_env(0);
    s = &env->s;
    guest_long(0, 0, ROOT);
    memset(guest_ram + ROOT, 0, 0x10000);
    next_table = ROOT + 0x1000;
    s->cr3 = ROOT;
    env->tcg->has_1g = true;
    tlb_flush(env, true);
    set_cpl(0);
    env->exc_vector = -1;
}

/* 32-bit modes: without PAE tables are at ROOT too. */
static void setup_32(bool pae)
{
    setup();
    guest_protected(0, 0);
    s->efer = EFER_NXE;
    s->cr4 = pae ? CR4_PAE : CR4_PSE;
    s->cr0 |= CR0_PG;
    next_table = ROOT + 0x1000;
    env_update_mode(env);
}

/* --- accesses --------------------------------------------------------------------- */

static bool rd32(uint64_t gva, uint32_t *val)
{
    const void *p = mem_read(env, gva, 4);

    if (p) {
        memcpy(val, p, 4);
    }
    return p;
}

static bool wr32(uint64_t gva, uint32_t val)
{
    void *p = mem_write(env, gva, 4);

    if (p) {
        memcpy(p, &val, 4);
        mem_written(env, p);
    }
    return p;
}

static uint32_t get(uint64_t gva)
{
    uint32_t v = 0;

    g_assert_true(rd32(gva, &v));
    g_assert_cmpint(env->exc_vector, ==, -1);
    return v;
}

static void put(uint64_t gva, uint32_t val)
{
    g_assert_true(wr32(gva, val));
    g_assert_cmpint(env->exc_vector, ==, -1);
}

static void expect_pf(bool faulted, uint64_t gva, uint32_t code)
{
    g_assert_true(faulted);
    g_assert_cmpint(env->exc_vector, ==, EXC_PF);
    g_assert_true(env->exc_has_error);
    g_assert_cmphex(env->exc_error, ==, code);
    g_assert_cmphex(env->exc_cr2, ==, gva);
    env->exc_vector = -1;
}

static void pf_read(uint64_t gva, uint32_t code)
{
    expect_pf(!mem_read(env, gva, 4), gva, code);
}

static void pf_write(uint64_t gva, uint32_t code)
{
    expect_pf(!mem_write(env, gva, 4), gva, code);
}

static void pf_exec(uint64_t gva, uint32_t code)
{
    expect_pf(!mmu_fetch(env, gva), gva, code);
}

static void ok_exec(uint64_t gva)
{
    g_assert_nonnull(mmu_fetch(env, gva));
}

/* --- long mode ----------------------------------------------------------------------- */

static void test_walk(void)
{
    uint64_t *pte;

    setup();
    memset(guest_ram + DATA, 0x5a, 4096);
    pf_read(VA, 0);
    pte = map(VA, DATA | P | W);
    g_assert_cmphex(get(VA + 8), ==, 0x5a5a5a5a);
    g_assert_cmphex(*pte, ==, DATA | P | W | A);
    g_assert_cmphex(*leaf64(VA, 4, 2) & A, ==, A);
    g_assert_cmphex(*leaf64(VA, 4, 4) & A, ==, A);
    put(VA + 8, 0x12345678);
    g_assert_cmphex(*pte, ==, DATA | P | W | A | D);
    g_assert_cmphex(get(VA + 8), ==, 0x12345678);
    g_assert_cmphex(*(uint32_t *)(guest_ram + DATA + 8), ==, 0x12345678);
    /* What was entered stays until it is flushed. */
    *pte = (DATA + 0x1000) | P | W;
    g_assert_cmphex(get(VA + 8), ==, 0x12345678);
    tlb_flush_page(env, VA + 0x123);
    g_assert_cmphex(get(VA + 8), ==, 0);
    *pte = 0;
    tlb_new_cr3(env, false);
    pf_read(VA, 0);
    pf_write(VA, E_W);
    pf_exec(VA, E_I);
}

static void test_rights(void)
{
    uint64_t *pte;

    setup();
    pte = map(VA, DATA | P);
    get(VA);
    pf_write(VA, E_P | E_W);
    s->cr0 &= ~CR0_WP;
    env_update_mode(env);
    put(VA, 1);
    g_assert_cmphex(*pte & D, ==, D);
    s->cr0 |= CR0_WP;
    env_update_mode(env);
    pf_write(VA, E_P | E_W);

    set_cpl(3);
    pf_read(VA, E_P | E_U);
    pf_write(VA, E_P | E_W | E_U);
    pf_exec(VA, E_P | E_U | E_I);
    *pte |= U;
    get(VA);
    ok_exec(VA);
    pf_write(VA, E_P | E_W | E_U);
    *pte |= W;
    put(VA, 2);
    /* One level up takes it all back. */
    *leaf64(VA, 4, 2) &= ~(uint64_t)W;
    tlb_flush(env, true);
    get(VA);
    pf_write(VA, E_P | E_W | E_U);
    *leaf64(VA, 4, 3) &= ~(uint64_t)U;
    tlb_flush(env, true);
    pf_read(VA, E_P | E_U);
    set_cpl(0);
    get(VA);

    *leaf64(VA, 4, 3) |= U | NX;
    tlb_flush(env, true);
    pf_exec(VA, E_P | E_I);
    s->efer &= ~(uint64_t)EFER_NXE;
    env_update_mode(env);
    pf_exec(VA, E_P | E_RSVD);          /* no I bit without NXE or SMEP */
    pf_read(VA, E_P | E_RSVD);
}

static void test_smep_smap(void)
{
    setup();
    map(VA, DATA | P | W | U);
    s->cr4 |= CR4_SMEP | CR4_SMAP;
    env_update_mode(env);
    pf_exec(VA, E_P | E_I);
    pf_read(VA, E_P);
    pf_write(VA, E_P | E_W);
    s->rflags |= FL_AC;
    env_update_mode(env);
    put(VA, 3);
    g_assert_cmphex(get(VA), ==, 3);
    /* AC does not help implicit accesses. */
    uint8_t b[8];
    expect_pf(!mem_sys_read(env, VA, b, 8), VA, E_P);
    s->rflags &= ~(uint64_t)FL_AC;
    env_update_mode(env);
    pf_read(VA, E_P);
    set_cpl(3);
    g_assert_cmphex(get(VA), ==, 3);
    ok_exec(VA);
}

static void test_keys(void)
{
    uint64_t *pte;

    setup();
    s->cr4 |= CR4_PKE;
    env_update_mode(env);
    pte = map(VA, DATA | P | W | U | UINT64_C(5) << 59);
    map(VA + 4096, DATA | P | W | UINT64_C(5) << 59);
    s->pkru = 1u << 10;                 /* access disabled for key 5 */
    pf_read(VA, E_P | E_PK);
    ok_exec(VA);
    get(VA + 4096);                     /* a supervisor page: no key */
    set_cpl(3);
    pf_read(VA, E_P | E_U | E_PK);
    s->pkru = 2u << 10;                 /* writes disabled */
    tlb_flush(env, true);
    get(VA);
    pf_write(VA, E_P | E_W | E_U | E_PK);
    set_cpl(0);
    pf_write(VA, E_P | E_W | E_PK);
    s->cr0 &= ~CR0_WP;
    env_update_mode(env);
    put(VA, 1);
    g_assert_cmphex(*pte & D, ==, D);
}

/* A TLB of four entries forgets, and that is right. */
static void no_fill_since(uint64_t n)
{
    if (!tcg_test.few_entries) {
        g_assert_cmpuint(env->tcg->n_fills, ==, n);
    }
}

/* PKRU drops what it changes for, and nothing else. */
static void test_new_pkru(void)
{
    uint64_t fills;

    setup();
    s->cr4 |= CR4_PKE;
    env_update_mode(env);
    map(VA, DATA | P | W | U | UINT64_C(5) << 59);
    map(VA + 4096, DATA | P | W | U);
    set_cpl(3);
    tlb_new_pkru(env, 0);
    put(VA, 1);
    put(VA + 4096, 2);
    fills = env->tcg->n_fills;
    tlb_new_pkru(env, 0xf << 12 | 3 << 2);      /* keys 6, 7 and 1 */
    put(VA, 3);
    no_fill_since(fills);
    tlb_new_pkru(env, 2 << 10);
    get(VA);
    pf_write(VA, E_P | E_W | E_U | E_PK);
    tlb_new_pkru(env, 3 << 10);
    pf_read(VA, E_P | E_U | E_PK);
    tlb_new_pkru(env, 0);
    put(VA, 4);
    tlb_new_pkru(env, 1);
    pf_read(VA + 4096, E_P | E_U | E_PK);
    tlb_new_pkru(env, 0);
}

static void test_reserved(void)
{
    uint64_t bad = BIT64(env->tcg->phys_bits);

    setup();
    map(VA, DATA | P | W | bad);
    pf_read(VA, E_P | E_RSVD);
    map(VA, DATA | P | W | BIT64(52) | BIT64(62));
    get(VA);                            /* these are the system's */
    *leaf64(VA, 4, 4) |= PS;
    tlb_flush(env, true);
    pf_read(VA, E_P | E_RSVD);
    *leaf64(VA, 4, 4) &= ~(uint64_t)PS;
    *leaf64(VA, 4, 2) = DATA | P | PS | BIT64(13);
    pf_write(VA, E_P | E_W | E_RSVD);
    *leaf64(VA, 4, 2) = DATA | P | PS;
    get(VA);
    tlb_flush(env, true);
    *leaf64(VA, 4, 3) = P | PS | BIT64(29);
    pf_read(VA, E_P | E_RSVD);
    *leaf64(VA, 4, 3) = P | W | PS;
    env->tcg->has_1g = false;
    pf_read(VA, E_P | E_RSVD);
    env->tcg->has_1g = true;
    g_assert_cmphex(mmu_probe(env, VA, &bad), ==, true);
    g_assert_cmphex(bad, ==, VA & 0x3fffffff);
}

static void test_large_pages(void)
{
    uint64_t *pde, *pdpte, va = UINT64_C(0xffff888000000000);

    setup();
    pde = leaf64(va, 4, 2);
    *pde = DATA | P | W | PS | G;
    *(uint32_t *)(guest_ram + DATA) = 1;
    *(uint32_t *)(guest_ram + DATA + 0x5000) = 2;
    g_assert_cmphex(get(va), ==, 1);
    g_assert_cmphex(get(va + 0x5000), ==, 2);
    put(va + 0x5004, 3);
    g_assert_cmphex(*pde, ==, DATA | P | W | PS | G | A | D);
    /* Global: survives CR3, not INVLPG of any address in it. */
    *pde = (DATA + 0x200000) | P | W | PS | G;
    tlb_new_cr3(env, false);
    g_assert_cmphex(get(va), ==, 1);
    tlb_flush_page(env, va + 0x1ff000);
    g_assert_cmphex(get(va), ==, 0);
    g_assert_cmphex(get(va + 0x5000), ==, 0);

    va += 1 * GiB;
    pdpte = leaf64(va, 4, 3);
    *pdpte = P | W | PS;
    g_assert_cmphex(get(va + DATA), ==, 1);
    *pdpte = 0;
    g_assert_cmphex(get(va + DATA), ==, 1);
    tlb_flush_page(env, va);
    pf_read(va + DATA, 0);
    /* Many small ones at random: the filters never forget. */
    for (unsigned i = 0; i < 64; i++) {
        *leaf64(va + 1 * GiB + i * 2 * MiB, 4, 2) = DATA | P | PS;
    }
    for (unsigned i = 0; i < 64; i++) {
        get(va + 1 * GiB + i * 2 * MiB + 0x3000);
    }
    for (unsigned i = 0; i < 64; i++) {
        uint64_t at = va + 1 * GiB + i * 2 * MiB;

        *leaf64(at, 4, 2) = 0;
        tlb_flush_page(env, at + 0x100000);
        pf_read(at + 0x3000, 0);
        if (i < 63) {
            get(at + 2 * MiB + 0x3000);
        }
    }
}

static void test_la57(void)
{
    uint64_t va = UINT64_C(0x00f3456789abc000);

    setup();
    g_assert_false(mem_read(env, va, 4));
    g_assert_cmpint(env->exc_vector, ==, EXC_GP);
    env->exc_vector = -1;
    s->cr4 |= CR4_LA57;
    env_update_mode(env);
    *leaf64(va, 5, 1) = DATA | P | W;
    put(va, 0x57);
    g_assert_cmphex(*(uint32_t *)(guest_ram + DATA), ==, 0x57);
}

static void test_canonical(void)
{
    setup();
    env->exc_canonical = false;
    g_assert_null(mem_write(env, UINT64_C(0x800000000000), 4));
    g_assert_cmpint(env->exc_vector, ==, EXC_GP);
    g_assert_cmphex(env->exc_error, ==, 0);
    g_assert_true(env->exc_canonical);
    env->exc_vector = -1;
    g_assert_null(mmu_fetch(env, UINT64_C(0xffff7fffffffffff)));
    g_assert_cmpint(env->exc_vector, ==, EXC_GP);
    env->exc_vector = -1;
    /* The last bytes before the hole: the second page is what is wrong. */
    map(UINT64_C(0x7ffffffff000), DATA | P | W);
    get(UINT64_C(0x7ffffffffffc));
    g_assert_null(mem_read(env, UINT64_C(0x7ffffffffffe), 4));
    g_assert_cmpint(env->exc_vector, ==, EXC_GP);
    env->exc_vector = -1;
    /* From the top of the address space to its bottom. */
    map(UINT64_C(0xfffffffffffff000), DATA | P | W);
    map(0, (DATA + 0x1000) | P | W);
    get(0);
    put(UINT64_C(0xfffffffffffffffe), 0xaabbccdd);
    g_assert_cmphex(*(uint16_t *)(guest_ram + DATA + 4094), ==, 0xccdd);
    g_assert_cmphex(*(uint16_t *)(guest_ram + DATA + 4096), ==, 0xaabb);
}

/* --- 32-bit paging ---------------------------------------------------------------------- */

static void test_32(void)
{
    uint32_t *pd, *pt;

    setup_32(false);
    pd = (uint32_t *)(guest_ram + ROOT);
    pt = (uint32_t *)(guest_ram + ROOT + 0x1000);
    pf_read(0x12345678, 0);
    pf_exec(0x12345678, 0);
    pd[0x12345678 >> 22] = (ROOT + 0x1000) | P | W | U;
    pf_write(0x12345678, E_W);
    pt[0x12345678 >> 12 & 0x3ff] = DATA | P | W;
    put(0x12345678, 7);
    g_assert_cmphex(pt[0x12345678 >> 12 & 0x3ff], ==, DATA | P | W | A | D);
    g_assert_cmphex(pd[0x12345678 >> 22], ==, (ROOT + 0x1000) | P | W | U | A);
    /* 4M pages, and PSE-36's upper address bits. */
    pd[4] = 0x400000 | P | W | PS;
    put(0x1012340, 9);
    g_assert_cmphex(*(uint32_t *)(guest_ram + 0x412340), ==, 9);
    pd[5] = 0x400000 | P | PS | BIT(21);
    pf_read(0x1412340, E_P | E_RSVD);
    pd[6] = 1 << 13 | P | PS;           /* 4 GiB: nothing is there */
    g_assert_cmphex(get(0x1800000), ==, 0xffffffff);
    /* PSE off: PS means nothing. */
    s->cr4 = 0;
    env_update_mode(env);
    pd[4] = (ROOT + 0x2000) | P | W | PS;
    pf_read(0x1012340, 0);
    /* Wrapping at 4 GiB. */
    pd[1023] = (ROOT + 0x1000) | P | W;
    pt[1023] = DATA | P | W;
    pd[0] = (ROOT + 0x1000) | P | W;
    pt[0] = (DATA + 0x1000) | P | W;
    put(0xfffffffe, 0x11223344);
    g_assert_cmphex(*(uint16_t *)(guest_ram + DATA + 4094), ==, 0x3344);
    g_assert_cmphex(*(uint16_t *)(guest_ram + DATA + 4096), ==, 0x1122);
}

static void test_pae(void)
{
    uint64_t *pdpt, *pd, *pt;

    setup_32(true);
    pdpt = (uint64_t *)(guest_ram + ROOT + 0x20);
    s->cr3 = ROOT + 0x20;
    g_assert_true(tlb_load_pdptes(env, s->cr3));
    pd = (uint64_t *)(guest_ram + ROOT + 0x1000);
    pt = (uint64_t *)(guest_ram + ROOT + 0x2000);
    pf_read(0xc0100000, 0);
    pdpt[3] = (ROOT + 0x1000) | P | W;
    g_assert_false(tlb_load_pdptes(env, s->cr3));
    pf_read(0xc0100000, 0);
    pdpt[3] = (ROOT + 0x1000) | P;
    pf_read(0xc0100000, 0);             /* they are registers */
    g_assert_true(tlb_load_pdptes(env, s->cr3));
    pf_read(0xc0100000, 0);
    pd[0] = (ROOT + 0x2000) | P | W | U;
    pt[0x100] = DATA | P | W | NX;
    put(0xc0100000, 5);
    pf_exec(0xc0100000, E_P | E_I);
    g_assert_cmphex(pdpt[3], ==, (ROOT + 0x1000) | P);
    g_assert_cmphex(pt[0x100], ==, DATA | P | W | NX | A | D);
    pt[0x101] = DATA | P | BIT64(52);
    pf_read(0xc0101000, E_P | E_RSVD);
    pd[1] = 0x400000 | P | W | PS;
    put(0xc0201234, 6);
    g_assert_cmphex(*(uint32_t *)(guest_ram + 0x401234), ==, 6);
}

/* --- what is not plain RAM ----------------------------------------------------------------- */

static void test_crossing(void)
{
    uint64_t *second, v;
    void *p;

    setup();
    map(VA, DATA | P | W);
    second = map(VA + 4096, 0);
    *(uint32_t *)(guest_ram + DATA + 4092) = 0x44332211;
    pf_read(VA + 4096, 0);
    expect_pf(!mem_read(env, VA + 4094, 4), VA + 4096, 0);
    expect_pf(!mem_write(env, VA + 4094, 4), VA + 4096, E_W);
    /* Both are checked before anything is stored. */
    *second = (DATA + 0x8000) | P;
    expect_pf(!mem_rmw(env, VA + 4094, 4), VA + 4096, E_P | E_W);
    g_assert_false(mem_probe_write(env, VA + 4000, 200));
    env->exc_vector = -1;
    g_assert_cmphex(get(VA + 4092), ==, 0x44332211);
    *second = (DATA + 0x8000) | P | W;
    g_assert_true(mem_probe_write(env, VA + 4000, 200));
    p = mem_rmw(env, VA + 4093, 8);
    g_assert_nonnull(p);
    memcpy(&v, p, 8);
    g_assert_cmphex(v, ==, 0x443322);
    v += UINT64_C(0x0102030400000000);
    memcpy(p, &v, 8);
    mem_written(env, p);
    g_assert_cmphex(guest_ram[DATA + 0x8003], ==, 2);
    p = mem_lock(env, VA + 4093, 8);
    g_assert_true(p == env->bounce && env->exclusive);
    memset(p, 0xee, 8);
    mem_locked_done(env, p);
    g_assert_false(env->exclusive);
    g_assert_cmphex(guest_ram[DATA + 4095], ==, 0xee);
    g_assert_cmphex(guest_ram[DATA + 0x8004], ==, 0xee);
    /* Every size at every place near the end. */
    for (unsigned size = 1; size <= 64; size *= 2) {
        for (unsigned at = 4096 - 70; at < 4100; at++) {
            uint8_t want[64];

            for (unsigned i = 0; i < size; i++) {
                uint64_t where = at + i < 4096 ? DATA + at + i
                                 : DATA + 0x8000 + at + i - 4096;

                want[i] = guest_ram[where] = size + at * 7 + i;
            }
            p = (void *)mem_read(env, VA + at, size);
            g_assert_nonnull(p);
            g_assert_cmpmem(p, size, want, size);
        }
    }
}

static void test_io(void)
{
    uint64_t *pte;
    void *p;

    setup();
    pte = map(VA, GUEST_IO | P | W);
    guest_io_reg[4] = 0xcafe;
    g_assert_cmphex(get(VA + 16), ==, 0xcafe);
    g_assert_cmphex(*pte & (A | D), ==, A);
    put(VA + 20, 0xbeef);
    g_assert_cmphex(guest_io_reg[5], ==, 0xbeef);
    g_assert_cmphex(*pte & (A | D), ==, A | D);
    g_assert_cmpuint(guest_n_io, ==, 2);
    put(VA + 20, 0xbeee);
    g_assert_cmpuint(guest_n_io, ==, 3);
    p = mem_rmw(env, VA + 20, 4);
    *(uint32_t *)p += 1;
    mem_written(env, p);
    g_assert_cmphex(guest_io_reg[5], ==, 0xbeef);
    p = mem_lock(env, VA + 20, 4);
    g_assert_true(env->exclusive);
    *(uint32_t *)p += 1;
    mem_locked_done(env, p);
    g_assert_cmphex(guest_io_reg[5], ==, 0xbef0);
    /* From RAM into I/O. */
    map(VA - 4096, DATA | P | W);
    guest_io_reg[0] = 0x99887766;
    *(uint32_t *)(guest_ram + DATA + 4092) = 0x55443322;
    g_assert_cmphex(*(uint64_t *)mem_read(env, VA - 4, 8), ==,
                    UINT64_C(0x9988776655443322));

    map(VA + 4096, GUEST_ROM | P | W);
    guest_rom.ram->host[0] = 0x42;
    g_assert_cmphex(get(VA + 4096), ==, 0x42);
    put(VA + 4096, 0x77);
    g_assert_cmphex(get(VA + 4096), ==, 0x42);
    p = mem_lock(env, VA + 4096, 4);
    *(uint32_t *)p = 1;
    mem_locked_done(env, p);
    g_assert_cmphex(get(VA + 4096), ==, 0x42);
    map(VA + 0x2000, 0x70000000 | P | W);
    g_assert_cmphex(get(VA + 0x2000), ==, 0xffffffff);
    put(VA + 0x2000, 1);
    map(VA + 0x3000, 0xfee00000 | P | W);
    g_assert_cmphex(get(VA + 0x3030) & 0xff, ==, 0x14);
    put(VA + 0x3080, 0x20);
    g_assert_cmphex(lapic_get_tpr(env->cpu->apic), ==, 0x20);
}

static void test_dirty(void)
{
    RamBlock *rb = guest_machine->ram.ram;

    setup();
    map(VA, DATA | P | W);
    ram_test_clear_dirty(rb, DATA, 4096, DIRTY_VGA);
    get(VA);
    g_assert_false(ram_test_clear_dirty(rb, DATA, 4096, DIRTY_VGA));
    put(VA, 1);
    g_assert_true(ram_test_clear_dirty(rb, DATA, 4096, DIRTY_VGA));
    /* What held a write tag counts as written once more, then no longer. */
    ram_test_clear_dirty(rb, DATA, 4096, DIRTY_VGA);
    g_assert_false(ram_test_clear_dirty(rb, DATA, 4096, DIRTY_VGA));
    put(VA, 2);
    g_assert_true(ram_test_clear_dirty(rb, DATA, 4096, DIRTY_VGA));
    /* Walking marks the tables' pages. */
    ram_test_clear_dirty(rb, ROOT, 0x10000, DIRTY_MIGRATION);
    tlb_flush(env, true);
    *leaf64(VA, 4, 1) &= ~(uint64_t)A;
    get(VA);
    g_assert_true(ram_test_clear_dirty(rb, ROOT, 0x10000, DIRTY_MIGRATION));
}

static void test_alignment(void)
{
    setup();
    map(VA, DATA | P | W | U);
    s->cr0 |= CR0_AM;
    s->rflags |= FL_AC;
    set_cpl(0);
    get(VA + 1);
    set_cpl(3);
    get(VA + 4);
    g_assert_null(mem_read(env, VA + 2, 4));
    g_assert_cmpint(env->exc_vector, ==, EXC_AC);
    g_assert_cmphex(env->exc_error, ==, 0);
    env->exc_vector = -1;
    g_assert_null(mem_write(env, VA + 3, 2));
    env->exc_vector = -1;
    g_assert_nonnull(mem_write(env, VA + 3, 1));
    /* Not there comes before not aligned on AMD's, after it on Intel's. */
    g_assert_null(mem_read(env, VA + 4097, 2));
    g_assert_cmpint(env->exc_vector, ==, host_is_amd() ? EXC_PF : EXC_AC);
    env->exc_vector = -1;
    s->rflags &= ~(uint64_t)FL_AC;
    env_update_mode(env);
    get(VA + 1);
}

static void test_a20(void)
{
    setup();
    s->cr0 &= ~CR0_PG;
    s->efer = 0;
    env_update_mode(env);
    put(0x300010, 0x33);
    put(0x200010, 0x22);
    machine_set_a20(false);
    mmu_follow_map(env);
    g_assert_cmphex(get(0x300010), ==, 0x22);
    put(0x300010, 0x44);
    machine_set_a20(true);
    mmu_follow_map(env);
    g_assert_cmphex(get(0x300010), ==, 0x33);
    g_assert_cmphex(get(0x200010), ==, 0x44);
}

/* Entries of the two ends of the table, and their neighbours. */
static void test_empty_tags(void)
{
    setup();
    s->cr0 &= ~CR0_PG;
    s->efer = 0;
    s->cr4 = 0;
    env_update_mode(env);
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        for (uint64_t high = 0; high < 4; high++) {
            uint64_t page = (uint64_t)i << 12 | high << 24
                            | (high == 3 ? UINT64_C(0xffffffff00000000) : 0);
            const TlbEntry *e = &env->tlb[i];

            for (unsigned size = 1; size <= 64; size *= 2) {
                g_assert_true(page + e->nrpage + size - 1 > 4095);
                g_assert_true(page + 4095 + e->nrpage + size - 1 > 4095);
                g_assert_true(page + 4095 + e->nwpage + size - 1 > 4095);
            }
        }
        if (i % 2) {
            env->tlb[i].aux = 0;
        }
    }
}

/* --- process-context identifiers: SDM 4.10.1, 4.10.4.1 ------------------------------- */

enum { ROOT2 = 0x180000 };

/* VA in the second address space. */
static uint64_t *map_second(uint64_t val)
{
    uint64_t table = ROOT2;

    for (unsigned level = 4; level > 1; level--) {
        *entry64(table, VA, level) = (table + 0x1000) | P | W | U;
        table += 0x1000;
    }
    *entry64(table, VA, 1) = val;
    return entry64(table, VA, 1);
}

static void switch_to(uint64_t root, unsigned pcid, bool keep)
{
    g_assert_true(env_set_cr3(env, root | pcid | (uint64_t)keep << 63));
    g_assert_cmphex(s->cr3, ==, root | pcid);
}

static void test_pcid(void)
{
    uint64_t *one, *two, fills;

    setup();
    memset(guest_ram + ROOT2, 0, 0x4000);
    one = map(VA, DATA | P | W | U);
    two = map_second((DATA + 0x1000) | P | W | U);
    *map(VA + 0x1000, 0) = (DATA + 0x4000) | P | W | U | G;
    store_le32(guest_ram + DATA, 0x11);
    store_le32(guest_ram + DATA + 0x1000, 0x22);
    store_le32(guest_ram + DATA + 0x2000, 0x33);
    store_le32(guest_ram + DATA + 0x4000, 0x44);
    g_assert_true(env_set_cr4(env, s->cr4 | CR4_PCIDE | CR4_PGE));
    switch_to(ROOT, 1, false);
    g_assert_cmphex(get(VA), ==, 0x11);
    g_assert_cmphex(get(VA + 0x1000), ==, 0x44);
    put(VA, 0x12);
    /* Another space: nothing of the first is seen, but what is global. */
    switch_to(ROOT2, 2, false);
    g_assert_cmphex(get(VA), ==, 0x22);
    g_assert_cmphex(get(VA + 0x1000), ==, 0x44);
    put(VA, 0x23);
    /* Back without a walk, and it may be written. */
    switch_to(ROOT, 1, true);
    fills = env->tcg->n_fills;
    g_assert_cmphex(get(VA), ==, 0x12);
    put(VA, 0x13);
    no_fill_since(fills);
    switch_to(ROOT2, 2, true);
    g_assert_cmphex(get(VA), ==, 0x23);
    no_fill_since(fills);
    /* Bit 63 clear: the new one's are gone, the old one's not. */
    *one = (DATA + 0x2000) | P | W | U;
    switch_to(ROOT, 1, false);
    g_assert_cmphex(get(VA), ==, 0x33);
    switch_to(ROOT2, 2, true);
    fills = env->tcg->n_fills;
    g_assert_cmphex(get(VA), ==, 0x23);
    no_fill_since(fills);
    /* INVPCID of one that is not present. */
    *one = DATA | P | W | U;
    tlb_flush_pcid(env, 1, false);
    switch_to(ROOT, 1, true);
    g_assert_cmphex(get(VA), ==, 0x13);
    /* Of all, and with the global ones: by CR4.PGE. */
    *two = DATA | P | W | U;
    tlb_flush(env, false);
    switch_to(ROOT2, 2, true);
    g_assert_cmphex(get(VA), ==, 0x13);
    *two = (DATA + 0x1000) | P | W | U;
    switch_to(ROOT, 1, true);
    g_assert_true(env_set_cr4(env, s->cr4 & ~(uint64_t)CR4_PGE));
    switch_to(ROOT2, 2, true);
    g_assert_cmphex(get(VA), ==, 0x23);
    /* More spaces than are kept: the oldest is walked again. */
    for (unsigned pcid = 3; pcid < 20; pcid++) {
        switch_to(ROOT, pcid, true);
        g_assert_cmphex(get(VA), ==, 0x13);
    }
    switch_to(ROOT2, 2, true);
    g_assert_cmphex(get(VA), ==, 0x23);
}

/* Where instructions of VA come from. */
static hwaddr fetched(void)
{
    const FetchEntry *f = mmu_fetch(env, VA);

    g_assert_nonnull(f);
    return f->gpa;
}

/* What instruction fetch knows of a space, and jumps between its blocks. */
static void test_pcid_fetch(void)
{
    uint64_t *one, tag1, tag2, kernel;

    setup();
    memset(guest_ram + ROOT2, 0, 0x4000);
    one = map(VA, DATA | P | W | U);
    map_second((DATA + 0x1000) | P | W | U);
    map(UINT64_C(0xffffffff81000000), DATA | P | W | G);
    g_assert_true(env_set_cr4(env, s->cr4 | CR4_PCIDE | CR4_PGE));
    ok_exec(UINT64_C(0xffffffff81000000));
    kernel = env->jump_tag;
    set_cpl(3);
    switch_to(ROOT, 1, false);
    g_assert_cmphex(fetched(), ==, DATA);
    tag1 = env->jump_tag;
    switch_to(ROOT2, 2, false);
    g_assert_cmphex(fetched(), ==, DATA + 0x1000);
    tag2 = env->jump_tag;
    g_assert_cmphex(tag1, !=, tag2);
    /* Back, with the jumps. */
    switch_to(ROOT, 1, true);
    g_assert_cmphex(fetched(), ==, DATA);
    g_assert_cmphex(env->jump_tag, ==, tag1);
    switch_to(ROOT2, 2, true);
    g_assert_cmphex(fetched(), ==, DATA + 0x1000);
    g_assert_cmphex(env->jump_tag, ==, tag2);
    /* INVLPG here leaves the other, whose tag is never used for anything else. */
    tlb_flush_page(env, VA);
    g_assert_cmphex(fetched(), ==, DATA + 0x1000);
    g_assert_cmphex(env->jump_tag, !=, tag1);
    g_assert_cmphex(env->jump_tag, !=, tag2);
    switch_to(ROOT, 1, true);
    g_assert_cmphex(fetched(), ==, DATA);
    g_assert_cmphex(env->jump_tag, ==, tag1);
    *one = (DATA + 0x2000) | P | W | U;
    tlb_flush_page(env, VA);
    g_assert_cmphex(fetched(), ==, DATA + 0x2000);
    g_assert_cmphex(env->jump_tag, !=, tag1);
    tag1 = env->jump_tag;
    /* INVPCID from outside. */
    *one = (DATA + 0x3000) | P | W | U;
    switch_to(ROOT2, 2, true);
    tlb_flush_pcid(env, 1, false);
    switch_to(ROOT, 1, true);
    g_assert_cmphex(fetched(), ==, DATA + 0x3000);
    g_assert_cmphex(env->jump_tag, !=, tag1);
    /* Blocks were invalidated meanwhile: the translations hold, no jump does. */
    tag1 = env->jump_tag;
    switch_to(ROOT2, 2, true);
    tcg_forget_blocks(env->tcg, env->tcg->n_invalidated);
    switch_to(ROOT, 1, true);
    g_assert_cmphex(fetched(), ==, DATA + 0x3000);
    g_assert_cmphex(env->jump_tag, !=, tag1);
    /* All spaces at once. */
    switch_to(ROOT2, 2, true);
    *one = DATA | P | W | U;
    tlb_flush(env, false);
    switch_to(ROOT, 1, true);
    g_assert_cmphex(fetched(), ==, DATA);
    /* Global pages of the other privilege were not in question: only the
     * blocks that were forgotten changed its tag. */
    *one = (DATA + 0x1000) | P | W | U | G;
    tlb_flush_page(env, VA);
    g_assert_cmphex(fetched(), ==, DATA + 0x1000);
    /* What rests on a global page is not kept: INVLPG elsewhere drops it. */
    map(VA + 0x1000, DATA | P | W | U);
    ok_exec(VA + 0x1000);
    tag1 = env->jump_tag;
    switch_to(ROOT2, 2, true);
    tlb_flush_page(env, VA);
    *one = DATA | P | W | U;
    switch_to(ROOT, 1, true);
    g_assert_cmphex(fetched(), ==, DATA);
    g_assert_cmphex(env->jump_tag, !=, tag1);
    set_cpl(0);
    g_assert_cmphex(env->jump_tag >> 32, ==, (kernel >> 32) + 1);
}

/* A write tag that waits in another PCID's store goes as those in use do. */
static void test_pcid_dirty(void)
{
    DropRequest req = { .start = guest_ram + DATA, .len = 4096 };
    uint64_t offset, fills;
    RamBlock *rb = ram_from_host(guest_ram + DATA, &offset);

    setup();
    map(VA, DATA | P | W | U);
    g_assert_true(env_set_cr4(env, s->cr4 | CR4_PCIDE));
    switch_to(ROOT, 1, false);
    put(VA, 1);
    switch_to(ROOT, 2, false);
    ram_test_clear_dirty(rb, offset, 4096, DIRTY_VGA);
    tcg_request_drop(NULL, &req);
    switch_to(ROOT, 1, true);
    ram_test_clear_dirty(rb, offset, 4096, DIRTY_VGA);
    fills = env->tcg->n_fills;
    put(VA, 2);
    g_assert_cmpuint(env->tcg->n_fills, ==, fills + 1);
    g_assert_true(ram_test_clear_dirty(rb, offset, 4096, DIRTY_VGA));
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(1);
    setup();
    g_test_add_func("/tcg/mmu/walk", test_walk);
    g_test_add_func("/tcg/mmu/rights", test_rights);
    g_test_add_func("/tcg/mmu/smep-smap", test_smep_smap);
    g_test_add_func("/tcg/mmu/keys", test_keys);
    g_test_add_func("/tcg/mmu/new-pkru", test_new_pkru);
    g_test_add_func("/tcg/mmu/reserved", test_reserved);
    g_test_add_func("/tcg/mmu/large-pages", test_large_pages);
    g_test_add_func("/tcg/mmu/la57", test_la57);
    g_test_add_func("/tcg/mmu/canonical", test_canonical);
    g_test_add_func("/tcg/mmu/32-bit", test_32);
    g_test_add_func("/tcg/mmu/pae", test_pae);
    g_test_add_func("/tcg/mmu/crossing", test_crossing);
    g_test_add_func("/tcg/mmu/io", test_io);
    g_test_add_func("/tcg/mmu/dirty", test_dirty);
    g_test_add_func("/tcg/mmu/alignment", test_alignment);
    g_test_add_func("/tcg/mmu/a20", test_a20);
    g_test_add_func("/tcg/mmu/pcid", test_pcid);
    g_test_add_func("/tcg/mmu/pcid-fetch", test_pcid_fetch);
    g_test_add_func("/tcg/mmu/pcid-dirty", test_pcid_dirty);
    g_test_add_func("/tcg/mmu/empty-tags", test_empty_tags);
    status = g_test_run();
    guest_free();
    return status;
}
