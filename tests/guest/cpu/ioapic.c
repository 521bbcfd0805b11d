/*
 * I/O APIC, local APIC, lines: interrupts come before the next instruction, in
 * the order of their priority, as often as the lines say.
 *
 * Spec: Intel 82093AA; SDM volume 3A chapter 11.  The lines are pc-testdev's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

enum { LINE = 14, LINE2 = 15, LEVEL = 1 << 15, MASKED = 1 << 16,
       REMOTE_IRR = 1 << 14, LOGICAL = 1 << 11 };

static uint32_t io_read(unsigned reg)
{
    *(volatile uint32_t *)0xfec00000 = reg;
    return *(volatile uint32_t *)0xfec00010;
}

static void io_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)0xfec00000 = reg;
    *(volatile uint32_t *)0xfec00010 = v;
}

static void redirect(unsigned line, uint32_t lo, uint32_t dest)
{
    io_write(0x10 + 2 * line, MASKED);
    io_write(0x11 + 2 * line, dest << 24);
    io_write(0x10 + 2 * line, lo);
}

static void set_line(unsigned line, bool level)
{
    outb(0x2000 + line, level);
}

static void pulse(unsigned line)
{
    set_line(line, 1);
    set_line(line, 0);
}

static void lower_and_eoi(Frame *f)
{
    set_line(LINE, 0);
    apic_write(APIC_EOI, 0);
}

static bool tmr(unsigned v)
{
    return apic_read(APIC_TMR + v / 32 * 16) >> (v & 31) & 1;
}

static unsigned order[4], n_order;

static void note_order(Frame *f)
{
    order[n_order++ & 3] = f->vector;
    apic_write(APIC_EOI, 0);
}

static void registers(void)
{
    uint32_t version = io_read(1), id = io_read(0);

    io_write(1, ~version);
    check(io_read(1) == version, "IOAPICVER is read-only");
    io_write(0, ~id);
    check((io_read(0) ^ id) == 0x0f000000, "IOAPICID has bits 27 to 24");
    check(io_read(2) == io_read(0), "IOAPICARB follows the id");
    io_write(2, 0);
    check(io_read(2) == io_read(0), "IOAPICARB is read-only");
    io_write(0, id);
}

static void edges(void)
{
    asm volatile("sti");
    redirect(LINE, 0x71, 0);
    pulse(LINE);
    check(n_taken[0x71] == 1, "an edge is taken before the next instruction");
    asm volatile("cli");
    handlers[0x72] = handlers[0x83] = note_order;
    redirect(LINE, 0x72, 0);
    redirect(LINE2, 0x83, 0);
    pulse(LINE);
    pulse(LINE2);
    sti_nop_cli();
    check(n_order == 2 && order[0] == 0x83 && order[1] == 0x72,
          "of two that wait the higher vector comes first");
    redirect(LINE, 0x73 | MASKED, 0);
    pulse(LINE);
    redirect(LINE, 0x73, 0);
    sti_nop_cli();
    check(n_taken[0x73] == 0, "an edge at a masked pin is lost");
    pulse(LINE);
    pulse(LINE);
    sti_nop_cli();
    check(n_taken[0x73] == 1, "two edges before the first is taken are one");
    redirect(LINE2, MASKED, 0);
}

static void eoi_only(Frame *f)
{
    apic_write(APIC_EOI, 0);
}

static void again_then_lower(Frame *f)
{
    if (n_taken[0x76] == 2) {
        set_line(LINE, 0);
    }
    apic_write(APIC_EOI, 0);
}

static void mask_and_eoi(Frame *f)
{
    io_write(0x10 + 2 * LINE, 0x77 | LEVEL | MASKED);
    apic_write(APIC_EOI, 0);
}

static void levels(void)
{
    handlers[0x74] = lower_and_eoi;
    redirect(LINE, 0x74 | LEVEL, 0);
    asm volatile("sti");
    set_line(LINE, 1);
    check(n_taken[0x74] == 1, "a level is taken before the next instruction");
    set_line(LINE, 1);
    set_line(LINE, 1);
    check(n_taken[0x74] == 3, "and again for each time that it rises");
    check(!(io_read(0x10 + 2 * LINE) & REMOTE_IRR),
          "remote IRR is clear after EOI");
    asm volatile("cli");
    handlers[0x75] = eoi_only;
    redirect(LINE, 0x75 | LEVEL, 0);
    set_line(LINE, 1);
    check(io_read(0x10 + 2 * LINE) & REMOTE_IRR, "remote IRR waits for EOI");
    set_line(LINE, 0);
    sti_nop_cli();
    check(n_taken[0x75] == 1, "a level that is gone at EOI comes once");
    handlers[0x76] = again_then_lower;
    redirect(LINE, 0x76 | LEVEL, 0);
    set_line(LINE, 1);
    asm volatile("sti\n nop");
    check(n_taken[0x76] == 2, "a level that stays comes again");
    handlers[0x77] = mask_and_eoi;
    redirect(LINE, 0x77 | LEVEL, 0);
    set_line(LINE, 1);
    check(n_taken[0x77] == 1, "masked in its handler it does not");
    io_write(0x10 + 2 * LINE, 0x77 | LEVEL);
    pulse(LINE2);               /* a write to memory may be posted */
    check(n_taken[0x77] == 2, "until the mask is taken away");
    set_line(LINE, 0);
    asm volatile("cli");
}

static void trigger_modes(void)
{
    static const bool is_level[] = { false, true, true, false };

    for (unsigned i = 0; i < 4; i++) {
        handlers[0x78] = lower_and_eoi;
        redirect(LINE, 0x78 | (is_level[i] ? LEVEL : 0), 0);
        set_line(LINE, 1);
        check(tmr(0x78) == is_level[i], "TMR tells a%s",
              is_level[i] ? " level" : "n edge");
        sti_nop_cli();
        set_line(LINE, 0);
    }
}

static void tpr(void)
{
    apic_write(APIC_TPR, 0x70);
    redirect(LINE, 0x79, 0);
    redirect(LINE2, 0x81, 0);
    asm volatile("sti");
    pulse(LINE);
    pulse(LINE2);
    check(n_taken[0x79] == 0 && n_taken[0x81] == 1,
          "TPR holds its class back, not the next");
    check(READ_CR(8) == 7, "CR8 is TPR's class");
    WRITE_CR(8, 6);
    check(n_taken[0x79] == 1, "a lower CR8 lets it in at once");
    asm volatile("cli");
    WRITE_CR(8, 0);
}

static volatile unsigned n_on[MAX_CPUS];

static void count_cpu(Frame *f)
{
    asm volatile("lock incl %0" : "+m"(n_on[cpu_number()]));
    set_line(LINE, 0);
    apic_write(APIC_EOI, 0);
}

static void other_cpus(void)
{
    if (n_cpus < 2) {
        skip("destinations", "one processor");
        return;
    }
    handlers[0x7a] = count_cpu;
    redirect(LINE, 0x7a | LEVEL, 1);
    set_line(LINE, 1);
    while (!n_on[1]) {
        pause();
    }
    check(n_on[0] == 0 && n_on[1] == 1, "physical destination");
    while (io_read(0x10 + 2 * LINE) & REMOTE_IRR) {
        pause();
    }
    check(true, "the other processor's EOI is heard");
}

int main(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    registers();
    edges();
    levels();
    trigger_modes();
    tpr();
    start_cpus();
    other_cpus();
    return 0;
}
