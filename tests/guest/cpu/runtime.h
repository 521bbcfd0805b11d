/*
 * A test guest's own little world: results on COM1 as TAP, exceptions that can
 * be caught, interrupts that are counted, processors that can be called.
 *
 *     uint8_t vector = TRY("ud2");
 *     check(vector == 6, "ud2 raises #UD, not %u", vector);
 *
 * 64-bit mode, everything mapped on itself, interrupts off; no libc.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEL_CODE = 0x08, SEL_DATA = 0x10, SEL_USER32 = 0x23,
       SEL_USER_DATA = 0x2b, SEL_USER = 0x33, SEL_TSS = 0x38 };
enum { MAX_CPUS = 64 };

typedef struct Frame {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13,
        r14, r15, vector, error, rip, cs, rflags, rsp, ss;
} Frame;

/* --- results ------------------------------------------------------------------- */

/* printf's %u %x %lx %s %d. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define check(ok, ...) check_(ok, __FILE__, __LINE__, __VA_ARGS__)
void check_(bool ok, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void skip(const char *what, const char *why);
int main(void);                 /* the test; its value does not matter */

/* --- exceptions ------------------------------------------------------------------ */

typedef void Handler(Frame *f);
extern Handler *handlers[256];  /* before anything else; NULL: counted */
extern volatile unsigned n_taken[256];
/* Of the last exception that TRY() caught. */
extern volatile uint64_t caught_rip, caught_error;
extern void *volatile recover[MAX_CPUS];

/* Vector `v` through the stub, at level `dpl` and up, on stack `ist`. */
void set_gate(unsigned v, unsigned dpl, unsigned ist);

/* Run `code`, an instruction with inputs as in asm(); the vector that it raised,
 * or 0xff.  It may use memory, R12 and R13, and must leave RSP alone. */
#define TRY(code, ...)                                                      \
    ({                                                                      \
        uint64_t vector_ = 0xff;                                            \
        asm volatile("lea 1f(%%rip), %%r15\n mov %%r15, %[recover]\n"       \
                     code "\n mov $0xff, %%r15d\n 1: mov %%r15, %[vector]"  \
                     : [vector] "=m"(vector_),                              \
                       [recover] "=m"(recover[cpu_number()])                \
                     : __VA_ARGS__ : "r12", "r13", "r15", "memory", "cc");  \
        recover[cpu_number()] = NULL;                                       \
        (uint8_t)vector_;                                                   \
    })

/* --- user mode --------------------------------------------------------------------- */

/* Let CPL 3 into the guest's own pages; INT 80h leads back. */
void user_init(void);
/* Call fn at CPL 3 with IOPL 3, on a stack of its own; what it returned. */
uint64_t in_user(uint64_t (*fn)(void));

/* --- processors ------------------------------------------------------------------- */

extern unsigned n_cpus;
unsigned cpu_number(void);
/* Start all others; they wait in HLT with interrupts on. */
void start_cpus(void);
/* Run fn(arg) there and wait; or do not wait. */
void on_cpu(unsigned cpu, void (*fn)(void *), void *arg);
void on_cpu_async(unsigned cpu, void (*fn)(void *), void *arg);
void wait_cpu(unsigned cpu);

/* --- instructions ------------------------------------------------------------------ */

static inline void outb(uint16_t port, uint8_t v)
{
    asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;

    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;

    asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t rdmsr(uint32_t n)
{
    uint32_t a, d;

    asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(n));
    return a | (uint64_t)d << 32;
}
static inline void wrmsr(uint32_t n, uint64_t v)
{
    asm volatile("wrmsr" : : "c"(n), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                 : "memory");
}
static inline uint8_t try_wrmsr(uint32_t n, uint64_t v)
{
    return TRY("wrmsr", "c"(n), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}
static inline uint8_t try_rdmsr(uint32_t n)
{
    return TRY("mov %%rax, %%r12\n mov %%rdx, %%r13\n rdmsr\n"
               "mov %%r12, %%rax\n mov %%r13, %%rdx", "c"(n));
}
static inline uint64_t rdtsc(void)
{
    uint32_t a, d;

    asm volatile("rdtsc" : "=a"(a), "=d"(d));
    return a | (uint64_t)d << 32;
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                 : "a"(leaf), "c"(sub));
}
static inline void pause(void)
{
    asm volatile("pause" : : : "memory");
}
static inline void sti_nop_cli(void)
{
    asm volatile("sti\n nop\n cli" : : : "memory");
}
#define READ_CR(n) \
    ({ uint64_t v_; asm volatile("mov %%cr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_CR(n, v) \
    asm volatile("mov %0, %%cr" #n : : "r"((uint64_t)(v)) : "memory")
static inline void invlpg(uint64_t gva)
{
    asm volatile("invlpg (%0)" : : "r"(gva) : "memory");
}

/* --- local APIC ---------------------------------------------------------------------- */

enum {
    APIC_ID = 0x20, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
    APIC_LDR = 0xd0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
    APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310,
    APIC_LVTT = 0x320, APIC_INITIAL = 0x380, APIC_CURRENT = 0x390,
    APIC_DIVIDE = 0x3e0,
};
enum { ICR_FIXED = 0 << 8, ICR_NMI = 4 << 8, ICR_INIT = 5 << 8,
       ICR_SIPI = 6 << 8, ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14,
       ICR_SELF = 1 << 18, ICR_ALL = 2 << 18, ICR_OTHERS = 3 << 18 };

uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t v);
void send_ipi(uint32_t dest, uint32_t icr);

#endif
