/*
 * Guest memory as a debugger wants to see it: by linear address, without
 * faults and without touching A and D bits.
 *
 * Spec:  Intel SDM volume 3A, chapter 4 (paging).
 * Locks: the vCPU is stopped, or the caller is its thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#define PTE_P    UINT64_C(1)
#define PTE_PS   UINT64_C(0x80)
#define PTE_ADDR UINT64_C(0x000ffffffffff000)

AddressSpace *cpu_memory(const X86Cpu *cpu)
{
    return cpu->state->smm && as_smm.root ? &as_smm : &as_memory;
}

static bool load_entry(AddressSpace *as, hwaddr gpa, unsigned size,
                       uint64_t *entry)
{
    return as_load(as, gpa, size, entry) == MEM_OK && *entry & PTE_P;
}

/* Two levels of 10 bits, entries of 4 bytes. */
static bool walk_32(X86Cpu *cpu, uint32_t gva, hwaddr *gpa)
{
    const X86State *s = cpu->state;
    AddressSpace *as = cpu_memory(cpu);
    uint64_t e;

    if (!load_entry(as, (s->cr3 & 0xfffff000) + (gva >> 22) * 4, 4, &e)) {
        return false;
    }
    if (e & PTE_PS && s->cr4 & CR4_PSE) {
        /* PSE-36: bits 13 to 20 are address bits 32 to 39. */
        *gpa = (e & 0xffc00000) | (e & 0x1fe000) << 19 | (gva & 0x3fffff);
        return true;
    }
    if (!load_entry(as, (e & 0xfffff000) + (gva >> 12 & 0x3ff) * 4, 4,
                    &e)) {
        return false;
    }
    *gpa = (e & 0xfffff000) | (gva & 0xfff);
    return true;
}

/* `levels` of 9 bits (of three, the first has 2), entries of 8 bytes. */
static bool walk_64(X86Cpu *cpu, uint64_t gva, int levels, hwaddr *gpa)
{
    AddressSpace *as = cpu_memory(cpu);
    hwaddr table = cpu->state->cr3 & (levels == 3 ? 0xffffffe0 : PTE_ADDR);

    for (int level = levels; level > 0; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t mask = (UINT64_C(1) << shift) - 1;
        uint64_t index = gva >> shift & (level == 3 && levels == 3 ? 3 : 511);
        uint64_t e;

        if (!load_entry(as, table + index * 8, 8, &e)) {
            return false;
        }
        /* Large pages: 1 GiB only in long mode, 2 MiB. */
        if (level == 1 || (e & PTE_PS && level <= (levels == 3 ? 2 : 3))) {
            *gpa = (e & PTE_ADDR & ~mask) | (gva & mask);
            return true;
        }
        table = e & PTE_ADDR;
    }
    return false;
}

bool cpu_debug_translate(X86Cpu *cpu, uint64_t gva, hwaddr *gpa)
{
    const X86State *s = cpu->state;

    if (!(s->efer & EFER_LMA)) {
        gva = (uint32_t)gva;
    }
    if (!(s->cr0 & CR0_PG)) {
        *gpa = gva;
        return true;
    }
    if (s->efer & EFER_LMA) {
        return walk_64(cpu, gva, s->cr4 & CR4_LA57 ? 5 : 4, gpa);
    }
    return s->cr4 & CR4_PAE ? walk_64(cpu, gva, 3, gpa)
                            : walk_32(cpu, gva, gpa);
}

bool cpu_debug_read(X86Cpu *cpu, uint64_t gva, void *buf, size_t len)
{
    while (len) {
        size_t n = MIN(len, 0x1000 - (gva & 0xfff));
        hwaddr gpa;

        if (!cpu_debug_translate(cpu, gva, &gpa)
            || as_read(cpu_memory(cpu), gpa, buf, n) != MEM_OK) {
            return false;
        }
        gva += n;
        buf = (uint8_t *)buf + n;
        len -= n;
    }
    return true;
}
