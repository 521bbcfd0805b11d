/*
 * See runtime.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

#include <stdarg.h>

typedef struct Gate {
    uint64_t lo, hi;
} Gate;

typedef struct Tss {
    uint32_t reserved;
    uint64_t rsp[3], reserved2, ist[7], reserved3;
    uint16_t reserved4, io_base;
} __attribute__((packed)) Tss;

extern uint8_t stubs[], ap_start[], ap_end[];
extern uint64_t gdt_tss[];
extern volatile uint32_t n_started;

Handler *handlers[256];
volatile unsigned n_taken[256];
volatile uint64_t caught_rip, caught_error;
void *volatile recover[MAX_CPUS];
unsigned n_cpus = 1;

static Gate idt[256] __attribute__((aligned(16)));
static Tss tss[MAX_CPUS];
static uint8_t level0_stack[MAX_CPUS][8192] __attribute__((aligned(16)));
static uint32_t apic_id_of[MAX_CPUS];
static unsigned n_results, n_bad;

/* --- results ------------------------------------------------------------------- */

static void put(char c)
{
    outb(0x3f8, c);
}

static void put_number(uint64_t v, unsigned base)
{
    char text[24];
    unsigned n = 0;

    do {
        text[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n) {
        put(text[--n]);
    }
}

static void vprint(const char *f, va_list ap)
{
    for (; *f; f++) {
        bool is_long = false;

        if (*f != '%') {
            put(*f);
            continue;
        }
        if (*++f == 'l') {
            is_long = true;
            f++;
        }
        switch (*f) {
        case 'x':
        case 'u':
            put_number(is_long ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t),
                       *f == 'x' ? 16 : 10);
            break;
        case 'd': {
            int v = va_arg(ap, int);

            if (v < 0) {
                put('-');
            }
            put_number(v < 0 ? -(int64_t)v : v, 10);
            break;
        }
        case 's':
            for (const char *s = va_arg(ap, const char *); *s; s++) {
                put(*s);
            }
            break;
        default:
            put(*f);
        }
    }
}

void print(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vprint(format, ap);
    va_end(ap);
}

void check_(bool ok, const char *file, int line, const char *format, ...)
{
    va_list ap;

    print("%s %u - ", ok ? "ok" : "not ok", ++n_results);
    va_start(ap, format);
    vprint(format, ap);
    va_end(ap);
    print("\n");
    if (!ok) {
        n_bad++;
        print("# %s:%d\n", file, line);
    }
}

void skip(const char *what, const char *why)
{
    print("ok %u - %s # SKIP %s\n", ++n_results, what, why);
}

void finish(void);
void finish(void)
{
    print("1..%u\n", n_results);
    outl(0xf4, n_bad ? 1 : 0);
    for (;;) {
        asm volatile("cli\n hlt");
    }
}

/* --- exceptions ------------------------------------------------------------------ */

void set_gate(unsigned v, unsigned dpl, unsigned ist)
{
    uint64_t at = (uint64_t)stubs + v * 16;

    idt[v].lo = (at & 0xffff) | SEL_CODE << 16 | (uint64_t)ist << 32
                | (uint64_t)(0x8e00 | dpl << 13) << 32 | (at >> 16) << 48;
    idt[v].hi = at >> 32;
}

void dispatch(Frame *f);
void dispatch(Frame *f)
{
    unsigned cpu = cpu_number();

    n_taken[f->vector]++;
    if (handlers[f->vector]) {
        handlers[f->vector](f);
    } else if (f->vector < 32 && recover[cpu]) {
        caught_rip = f->rip;
        caught_error = f->error;
        f->r15 = f->vector;
        f->rip = (uint64_t)recover[cpu];
        recover[cpu] = NULL;
    } else if (f->vector >= 32) {
        apic_write(APIC_EOI, 0);
    } else {
        print("Bail out! vector %lu error 0x%lx at 0x%lx cr2 0x%lx\n",
              f->vector, f->error, f->rip, READ_CR(2));
        n_bad++;
        finish();
    }
}

/* --- user mode --------------------------------------------------------------------- */

enum { BACK = 0x80 };

extern uint64_t page_dirs[];
extern const char from_user[];
uint8_t user_stack[4096] __attribute__((aligned(16)));
uint64_t kernel_rsp;

asm(".globl in_user, from_user\n"
    "in_user:\n push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n"
    "push %r15\n mov %rsp, kernel_rsp(%rip)\n"
    "push $0x2b\n lea user_stack+4000(%rip), %rax\n push %rax\n"
    "push $0x3002\n push $0x33\n lea 1f(%rip), %rax\n push %rax\n iretq\n"
    "1: call *%rdi\n int $0x80\n"
    "from_user:\n mov kernel_rsp(%rip), %rsp\n mov $0x10, %ecx\n"
    "mov %ecx, %ss\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n"
    "pop %rbx\n ret\n");

static void on_back(Frame *f)
{
    f->rip = (uintptr_t)from_user;      /* RAX is the result */
    f->cs = SEL_CODE;
    f->ss = SEL_DATA;
    f->rsp = kernel_rsp;
    f->rflags = 2;
}

void user_init(void)
{
    handlers[BACK] = on_back;
    set_gate(BACK, 3, 0);
    for (unsigned i = 0; i < 8; i++) {
        page_dirs[i] |= 4;              /* 16 MiB */
    }
    WRITE_CR(3, READ_CR(3));
}

/* --- processors ------------------------------------------------------------------- */

static struct {
    void (*volatile fn)(void *);
    void *volatile arg;
} calls[MAX_CPUS];

/* The task register's selector tells: it needs no memory. */
unsigned cpu_number(void)
{
    uint16_t tr;

    asm volatile("str %0" : "=r"(tr));
    return tr ? (tr - SEL_TSS) / 16 : 0;
}

void cpu_start(unsigned cpu);
void cpu_start(unsigned cpu)
{
    struct {
        uint16_t limit;
        const void *base;
    } __attribute__((packed)) idtr = { sizeof(idt) - 1, idt };
    uint64_t at = (uint64_t)&tss[cpu];
    uint16_t selector = SEL_TSS + 16 * cpu;

    if (cpu == 0) {
        for (unsigned v = 0; v < 256; v++) {
            set_gate(v, 0, 0);
        }
    }
    tss[cpu].rsp[0] = (uint64_t)level0_stack[cpu + 0]
                      + sizeof(level0_stack[0]);
    tss[cpu].ist[0] = tss[cpu].rsp[0] - sizeof(level0_stack[0]) / 2;
    tss[cpu].io_base = sizeof(tss[0]);
    gdt_tss[2 * cpu] = (sizeof(tss[0]) - 1) | (at & 0xffffff) << 16
                       | UINT64_C(0x89) << 40 | (at >> 24 & 0xff) << 56;
    gdt_tss[2 * cpu + 1] = at >> 32;
    asm volatile("lidt %0\n ltr %1" : : "m"(idtr), "r"(selector));
    apic_write(APIC_SVR, 0x1ff);
    apic_id_of[cpu] = apic_read(APIC_ID) >> 24;
    asm volatile("mfence\n lock incl %0" : "+m"(n_cpus));
    n_cpus -= cpu == 0;
}

void ap_loop(void);
void ap_loop(void)
{
    unsigned cpu = cpu_number();

    asm volatile("cli");
    if (!calls[cpu].fn) {
        asm volatile("sti\n hlt");
        return;
    }
    calls[cpu].fn(calls[cpu].arg);
    calls[cpu].fn = NULL;
}

void start_cpus(void)
{
    uint8_t *to = (uint8_t *)0x8000;
    uint64_t start, last;
    unsigned seen = 0;

    for (uint8_t *p = ap_start; p < ap_end; p++) {
        *to++ = *p;
    }
    send_ipi(0, ICR_OTHERS | ICR_INIT | ICR_ASSERT);
    send_ipi(0, ICR_OTHERS | ICR_SIPI | 0x08);
    /* Whoever is there has come by the time that nobody new does. */
    for (start = last = rdtsc(); rdtsc() - last < 200000000;) {
        if (n_started != seen || n_cpus != n_started) {
            seen = n_started;
            last = rdtsc();
        }
        if (last - start > UINT64_C(20000000000)) {
            break;
        }
        pause();
    }
}

void on_cpu_async(unsigned cpu, void (*fn)(void *), void *arg)
{
    wait_cpu(cpu);
    calls[cpu].arg = arg;
    calls[cpu].fn = fn;
    send_ipi(apic_id_of[cpu], ICR_FIXED | ICR_ASSERT | 0xfc);
}

void wait_cpu(unsigned cpu)
{
    while (calls[cpu].fn) {
        pause();
    }
}

void on_cpu(unsigned cpu, void (*fn)(void *), void *arg)
{
    on_cpu_async(cpu, fn, arg);
    wait_cpu(cpu);
}

/* --- local APIC ---------------------------------------------------------------------- */

static bool is_x2apic(void)
{
    return rdmsr(0x1b) & 0x400;
}

uint32_t apic_read(unsigned reg)
{
    return is_x2apic() ? rdmsr(0x800 + reg / 16)
                       : *(volatile uint32_t *)(0xfee00000 + (uint64_t)reg);
}

void apic_write(unsigned reg, uint32_t v)
{
    if (is_x2apic()) {
        wrmsr(0x800 + reg / 16, v);
    } else {
        *(volatile uint32_t *)(0xfee00000 + (uint64_t)reg) = v;
    }
}

void send_ipi(uint32_t dest, uint32_t icr)
{
    if (is_x2apic()) {
        wrmsr(0x830, (uint64_t)dest << 32 | icr);
        return;
    }
    apic_write(APIC_ICR_HIGH, dest << 24);
    apic_write(APIC_ICR, icr);
}
