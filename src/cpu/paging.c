/*
 * The page tables of a vCPU, whole: `info tlb` and `info mem`.
 *
 * Tables are the guest's and may form circles: the number of them that is
 * looked at is bounded.
 *
 * Spec:  Intel SDM volume 3A chapter 4.
 * Locks: the vCPU is stopped, or the caller is its thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

enum {
    PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_U = 1 << 2, PTE_PWT = 1 << 3,
    PTE_PCD = 1 << 4, PTE_A = 1 << 5, PTE_D = 1 << 6, PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
};
#define PTE_NX   BIT64(63)
#define PTE_ADDR UINT64_C(0x000ffffffffff000)

enum { MAX_TABLES = 1 << 16 };

typedef struct Walk Walk;
struct Walk {
    AddressSpace *as;
    GString *out;
    unsigned n_tables;
    unsigned entry_bytes;       /* 4 or 8 */
    unsigned levels;            /* 2 to 5 */
    unsigned address_bits;      /* 32, 48, 57 */
    bool pse;                   /* large pages of 32-bit paging */
    void (*leaf)(Walk *, uint64_t gva, uint64_t entry, unsigned shift,
                 unsigned rights);

    /* `info mem`: the range that is open. */
    uint64_t start, end;
    unsigned rights;
};

static uint64_t canonical(const Walk *w, uint64_t gva)
{
    unsigned unused = 64 - w->address_bits;

    return w->address_bits == 32 ? gva
                                 : (uint64_t)((int64_t)(gva << unused)
                                              >> unused);
}

static bool is_leaf(const Walk *w, unsigned level, uint64_t entry)
{
    if (level == 1) {
        return true;
    }
    return entry & PTE_PS
           && (w->entry_bytes == 4 ? w->pse
               : level == 2 || (level == 3 && w->levels > 3));
}

static void walk_table(Walk *w, hwaddr table, unsigned level, uint64_t gva,
                       unsigned rights)
{
    unsigned bits = w->entry_bytes == 4 ? 10 : 9;
    unsigned shift = 12 + bits * (level - 1);
    unsigned n = level == 3 && w->levels == 3 ? 4 : 1u << bits;
    uint8_t raw[4096];

    if (w->n_tables >= MAX_TABLES) {
        return;
    }
    w->n_tables++;
    as_read(w->as, table, raw, n * w->entry_bytes);
    for (unsigned i = 0; i < n; i++) {
        uint64_t e = load_le(raw + i * w->entry_bytes, w->entry_bytes);
        uint64_t at = gva | (uint64_t)i << shift;
        unsigned r = rights & e;

        if (!(e & PTE_P)) {
            continue;
        }
        if (n == 4) {
            r = rights;         /* PDPTEs have no rights */
        }
        if (is_leaf(w, level, e)) {
            w->leaf(w, canonical(w, at), e, shift, r & (PTE_U | PTE_W));
        } else {
            walk_table(w, e & (w->entry_bytes == 4 ? 0xfffff000 : PTE_ADDR),
                       level - 1, at, r);
        }
    }
}

/* False: there is no paging. */
static bool walk_all(X86Cpu *cpu, Walk *w)
{
    const X86State *s = cpu->state;
    hwaddr root = s->cr3 & 0xfffff000;

    w->as = cpu_memory(cpu);
    if (!(s->cr0 & CR0_PG)) {
        g_string_append(w->out, "PG disabled\n");
        return false;
    }
    if (!(s->cr4 & CR4_PAE)) {
        w->levels = 2;
    } else if (!(s->efer & EFER_LMA)) {
        w->levels = 3;
        root = s->cr3 & 0xffffffe0;
    } else {
        w->levels = s->cr4 & CR4_LA57 ? 5 : 4;
        root = s->cr3 & PTE_ADDR;
    }
    w->entry_bytes = w->levels == 2 ? 4 : 8;
    w->address_bits = w->levels == 5 ? 57 : w->levels == 4 ? 48 : 32;
    w->pse = s->cr4 & CR4_PSE;
    walk_table(w, root, w->levels, 0, PTE_U | PTE_W);
    return true;
}

static void finish(Walk *w)
{
    if (w->n_tables >= MAX_TABLES) {
        g_string_append(w->out, "(more tables than are looked at)\n");
    }
}

static void tlb_leaf(Walk *w, uint64_t gva, uint64_t e, unsigned shift,
                     unsigned rights)
{
    uint64_t gpa = e & (w->entry_bytes == 4 ? 0xfffff000 : PTE_ADDR)
                   & ~(BIT64(shift) - 1);

    if (w->entry_bytes == 4 && shift == 22) {
        gpa |= (e >> 13 & 0xff) << 32;          /* PSE-36 */
    }
    g_string_append_printf(
        w->out, "%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c\n", gva,
        gpa, w->entry_bytes == 8 && e & PTE_NX ? 'X' : '-',
        e & PTE_G ? 'G' : '-', shift > 12 ? 'P' : '-', e & PTE_D ? 'D' : '-',
        e & PTE_A ? 'A' : '-', e & PTE_PCD ? 'C' : '-',
        e & PTE_PWT ? 'T' : '-', e & PTE_U ? 'U' : '-', e & PTE_W ? 'W' : '-');
}

void cpu_print_tlb(X86Cpu *cpu, GString *out)
{
    Walk w = { .out = out, .leaf = tlb_leaf };

    if (walk_all(cpu, &w)) {
        finish(&w);
    }
}

static void end_range(Walk *w)
{
    if (w->end != w->start) {
        g_string_append_printf(w->out, "%016" PRIx64 "-%016" PRIx64 " %016"
                               PRIx64 " %cr%c\n", w->start, w->end,
                               w->end - w->start, w->rights & PTE_U ? 'u' : '-',
                               w->rights & PTE_W ? 'w' : '-');
    }
}

static void mem_leaf(Walk *w, uint64_t gva, uint64_t e, unsigned shift,
                     unsigned rights)
{
    if (gva != w->end || rights != w->rights || w->end == w->start) {
        end_range(w);
        w->start = gva;
        w->rights = rights;
    }
    w->end = gva + BIT64(shift);
}

void cpu_print_mem(X86Cpu *cpu, GString *out)
{
    Walk w = { .out = out, .leaf = mem_leaf };

    if (walk_all(cpu, &w)) {
        end_range(&w);
        finish(&w);
    }
}
