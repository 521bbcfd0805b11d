/*
 * The boot CPU's state at a kernel's entry.
 *
 * Spec:   Linux Documentation/arch/x86/boot.rst, "32-bit boot protocol" and
 *         "64-bit boot protocol"; Xen docs/misc/pvh; Multiboot 0.6.96, 3.2;
 *         ACPI 6.4, 5.2.10 (the waking vector) and 16.3.
 * Locks:  machine lock, vCPUs stopped.
 *
 * One GDT serves all protocols: 10h code, 18h data, both flat.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/boot/boot.h"

#include "cpu/cpu.h"

enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20 };

enum {
    FLAT_CODE = SEGA_P | SEGA_S | SEGA_CODE | SEGA_R | SEGA_A | SEGA_G,
    FLAT_DATA = SEGA_P | SEGA_S | SEGA_W | SEGA_A | SEGA_DB | SEGA_G,
    TSS_BUSY = SEGA_P | 0xb,
};

enum { PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_PS = 1 << 7 };

/* A descriptor with base 0 and a limit of 4 GiB. */
static uint64_t flat(uint16_t attr)
{
    return UINT64_C(0x000f00000000ffff) | (uint64_t)attr << 40;
}

static void write_gdt(uint64_t gpa, uint16_t code_attr)
{
    uint64_t gdt[6] = { 0 };

    gdt[SEL_CODE / 8] = flat(code_attr);
    gdt[SEL_DATA / 8] = flat(FLAT_DATA);
    gdt[SEL_TSS / 8] = UINT64_C(0x67) | (uint64_t)TSS_BUSY << 40;
    as_write(&as_memory, gpa, gdt, sizeof(gdt));
}

/* The first 4 GiB onto themselves by pages of 2 MiB. */
static void write_pages(void)
{
    g_autofree uint64_t *t = g_new0(uint64_t, 6 * 512);
    uint64_t *pml4 = t, *pdpt = t + 512, *pd = t + 2 * 512;

    pml4[0] = (BOOT_PAGES_GPA + 0x1000) | PTE_P | PTE_W;
    for (unsigned i = 0; i < 4; i++) {
        pdpt[i] = (BOOT_PAGES_GPA + 0x2000 + i * 0x1000) | PTE_P | PTE_W;
    }
    for (uint64_t i = 0; i < 4 * 512; i++) {
        pd[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
    }
    as_write(&as_memory, BOOT_PAGES_GPA, t, 6 * 4096);
}

X86Cpu *boot_cpu(const BootImage *img)
{
    return img->m->cpus && img->m->cpus->len
           ? g_ptr_array_index(img->m->cpus, 0) : NULL;
}

void boot_enter(const BootImage *img)
{
    X86Cpu *cpu = boot_cpu(img);
    bool wide = img->mode == BOOT_ENTRY_LONG64;
    X86State *s = cpu ? cpu->state : NULL;
    uint16_t code = FLAT_CODE | (wide ? SEGA_L : SEGA_DB);

    if (img->mode == BOOT_ENTRY_NONE || !s) {
        return;
    }
    write_gdt(img->gdt_gpa, code);
    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[R_RAX] = img->rax;
    s->gpr[R_RBX] = img->rbx;
    s->gpr[R_RSI] = img->rsi;
    s->rip = img->entry;
    s->rflags = 2;

    s->gdtr = (X86Table) { .base = img->gdt_gpa, .limit = 6 * 8 - 1 };
    for (unsigned i = 0; i < N_SEG; i++) {
        s->seg[i] = (X86Seg) { .selector = SEL_DATA, .attr = FLAT_DATA,
                               .limit = UINT32_MAX };
    }
    s->seg[SEG_CS] = (X86Seg) { .selector = SEL_CODE, .attr = code,
                                .limit = UINT32_MAX };
    s->tr = (X86Seg) { .selector = SEL_TSS, .attr = TSS_BUSY, .limit = 0x67 };
    s->ldtr = (X86Seg) { .attr = SEGA_P | 2 };
    /* Caches on, as firmware leaves them. */
    s->cr0 = CR0_PE | CR0_ET;
    if (wide) {
        write_pages();
        s->cr4 = CR4_PAE;
        s->cr3 = BOOT_PAGES_GPA;
        s->efer = EFER_LME | EFER_LMA;
        s->cr0 |= CR0_PG;
    }
    s->halted = false;
    if (cpu->accel && cpu->accel->put_state) {
        cpu->accel->put_state(cpu);
    }
}

enum { FACS_WAKING_VECTOR = 12 };

bool boot_resume(const BootImage *img)
{
    X86Cpu *cpu = boot_cpu(img);
    X86Seg *cs;
    uint8_t raw[4];
    uint32_t vector;

    if (!cpu || !img->facs_gpa
        || as_read(&as_memory, img->facs_gpa + FACS_WAKING_VECTOR, raw,
                   sizeof(raw)) != MEM_OK) {
        return false;
    }
    vector = load_le32(raw);
    if (!vector || vector >= MiB) {
        return false;           /* real mode does not reach it */
    }
    cs = &cpu->state->seg[SEG_CS];
    cs->selector = vector >> 4;
    cs->base = vector & ~15u;
    cpu->state->rip = vector & 15;
    if (cpu->accel && cpu->accel->put_state) {
        cpu->accel->put_state(cpu);
    }
    return true;
}
