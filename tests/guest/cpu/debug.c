/*
 * Debug exceptions where other things happen at the same time: shadows of STI
 * and MOV SS, INT1, general detect, HLT; in the kernel and in user mode.
 *
 * Spec: Intel SDM volume 3A 6.8.3, 6.9, 18.2, 18.3.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

#define DR6_FIXED UINT64_C(0xffff0ff0)
enum { DR6_B1 = 1 << 1, DR6_B2 = 1 << 2, DR6_BD = 1 << 13, DR6_BS = 1 << 14,
       FL_TF = 1 << 8, FL_RF = 1 << 16 };
enum { MAX_TAKEN = 10, TIMER = 0xee };

#define READ_DR(n) \
    ({ uint64_t v_; asm volatile("mov %%dr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_DR(n, v) asm volatile("mov %0, %%dr" #n : : "r"((uint64_t)(v)))

static volatile unsigned n;
static volatile uint64_t at[MAX_TAKEN], dr6[MAX_TAKEN];

static void on_debug(Frame *f)
{
    at[n] = f->rip;
    dr6[n] = READ_DR(6);
    if (dr6[n] & DR6_B2) {
        f->rflags |= FL_RF;
    }
    if (++n == MAX_TAKEN) {
        f->rflags &= ~(uint64_t)FL_TF;
        WRITE_DR(7, 0x400);
    }
}

/* --- single step ----------------------------------------------------------------- */

/* Each function sets TF, does something, clears it; what it returns is the
 * address where the first trap is expected. */
#define TF_ON  "pushf\n pop %rax\n or $0x100, %rax\n push %rax\n"
#define TF_OFF "and $~0x100, %rax\n push %rax\n popf\n"
#define STEPPED(name, text)                                                 \
    uint64_t name(void);                                                    \
    asm(".globl " #name "\n" #name ":\n push %rbx\n" text                   \
        "lea 1b(%rip), %rax\n pop %rbx\n ret\n")

STEPPED(plain, TF_ON "popf\n and $~0x100, %rax\n 1: push %rax\n popf\n");
STEPPED(slow, TF_ON "popf\n and $~0x100, %rax\n 1: push %rax\n"
        "xor %rax, %rax\n cpuid\n mov $0x3fd, %edx\n in %dx, %al\n popf\n");
STEPPED(after_sti, "cli\n" TF_ON "popf\n sti\n 1: " TF_OFF);
STEPPED(after_mov_ss, TF_ON "mov %ss, %ax\n popf\n mov %ax, %ss\n"
        "and $~0x100, %rax\n 1: push %rax\n popf\n");
STEPPED(int1_in_shadow, TF_ON "mov %ss, %ax\n popf\n mov %ax, %ss\n"
        ".byte 0xf1\n 1: .byte 0xf1\n" TF_OFF);
STEPPED(detect_in_shadow, "mov $0x2400, %ecx\n mov %rcx, %dr7\n"
        "xor %ecx, %ecx\n" TF_ON "mov %ss, %ax\n popf\n"
        "mov %ax, %ss\n 1: mov %rcx, %dr6\n" TF_OFF);
STEPPED(sti_hlt, TF_ON "popf\n sti\n 1: hlt\n" TF_OFF "cli\n");

/* Trap `i` is at `start` + `off`, with `bits` in DR6. */
typedef struct Trap {
    unsigned off;
    uint64_t bits;
} Trap;

static void expect(const char *what, const char *where, uint64_t start,
                   unsigned n_traps, const Trap *traps)
{
    unsigned bad = n != n_traps;

    for (unsigned i = 0; i < n_traps && !bad; i++) {
        if (at[i] != start + traps[i].off
            || dr6[i] != (DR6_FIXED | traps[i].bits)) {
            bad = i + 1;
        }
    }
    check(!bad, "%s, %s (%u traps, wrong at %u: %lx, DR6 %lx)", what, where, n,
          bad, bad ? at[bad - 1] - start : 0, bad ? dr6[bad - 1] : 0);
}

static void step(const char *what, uint64_t (*fn)(void), bool user,
                 unsigned n_traps, const Trap *traps)
{
    uint64_t start;

    n = 0;
    WRITE_DR(6, 0);
    start = fn();
    asm volatile("cli");
    expect(what, "kernel", start, n_traps, traps);
    if (user) {
        n = 0;
        WRITE_DR(6, 0);
        start = in_user(fn);
        expect(what, "user", start, n_traps, traps);
    }
}

static void on_timer(Frame *f)
{
    apic_write(APIC_EOI, 0);
}

static void test_steps(void)
{
    static const Trap three[] = { { 0, DR6_BS }, { 1, DR6_BS },
                                  { 2, DR6_BS } };
    static const Trap seven[] = {
        { 0, DR6_BS }, { 1, DR6_BS }, { 4, DR6_BS }, { 6, DR6_BS },
        { 11, DR6_BS }, { 12, DR6_BS }, { 13, DR6_BS },
    };
    static const Trap sti[] = { { 0, DR6_BS }, { 6, DR6_BS }, { 7, DR6_BS },
                                { 8, DR6_BS } };
    static const Trap int1[] = { { 0, 0 }, { 1, 0 }, { 7, DR6_BS },
                                 { 8, DR6_BS }, { 9, DR6_BS } };
    static const Trap detect[] = { { 0, DR6_BD }, { 3, DR6_BS },
                                   { 9, DR6_BS }, { 10, DR6_BS },
                                   { 11, DR6_BS } };
    static const Trap halt[] = { { 0, DR6_BS }, { 1, DR6_BS }, { 7, DR6_BS },
                                 { 8, DR6_BS }, { 9, DR6_BS } };

    step("steps", plain, true, 3, three);
    step("steps over CPUID and IN", slow, true, 7, seven);
    step("steps after STI", after_sti, true, 4, sti);
    step("no step in MOV SS's shadow", after_mov_ss, true, 3, three);
    step("INT1 in MOV SS's shadow", int1_in_shadow, true, 5, int1);
    step("general detect in MOV SS's shadow", detect_in_shadow, false, 5,
         detect);
    handlers[TIMER] = on_timer;
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_LVTT, TIMER);
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_INITIAL, 10000000);
    step("steps over STI, HLT", sti_hlt, false, 5, halt);
}

/* --- breakpoints -------------------------------------------------------------------- */

static volatile uint64_t value;
static volatile uint64_t bp_at;

static void on_breakpoint(Frame *f)
{
    bp_at = f->rip;
}

static void test_points(void)
{
    uint64_t here;

    n = 0;
    WRITE_DR(6, 0);
    asm volatile("lea 1f(%%rip), %0\n mov %0, %%dr2\n mov %1, %%dr7\n 1: nop"
                 : "=&r"(here) : "r"(UINT64_C(0x420)));
    check(n == 1 && at[0] == here && dr6[0] == (DR6_FIXED | DR6_B2),
          "a breakpoint, once with RF (%u, DR6 %lx)", n, dr6[0]);
    n = 0;
    WRITE_DR(6, DR6_BS | DR6_B1);
    asm volatile("lea 1f(%%rip), %0\n mov %0, %%dr2\n 1: nop" : "=&r"(here));
    check(n == 1 && at[0] == here && dr6[0] == (DR6_FIXED | DR6_BS | DR6_B2),
          "BS stays, B1 does not (DR6 %lx)", dr6[0]);
    n = 0;
    WRITE_DR(6, DR6_BS);
    WRITE_DR(1, (uintptr_t)&value);
    WRITE_DR(7, 0x00d0040a);
    asm volatile("movq $42, %1\n 1: lea 1b(%%rip), %0"
                 : "=r"(here), "=m"(value));
    check(n == 1 && at[0] == here && dr6[0] == (DR6_FIXED | DR6_BS | DR6_B1),
          "a data breakpoint leaves BS alone");
    n = 0;
    WRITE_DR(6, 0);
    asm volatile("movq $42, %1\n 1: lea 1b(%%rip), %0"
                 : "=r"(here), "=m"(value));
    check(n == 1 && at[0] == here && dr6[0] == (DR6_FIXED | DR6_B1),
          "nor does it set it");
    n = 0;
    WRITE_DR(6, 0);
    asm volatile(".byte 0xf1\n 1: lea 1b(%%rip), %0" : "=r"(here));
    check(n == 1 && at[0] == here && dr6[0] == DR6_FIXED, "INT1");
    WRITE_DR(7, 0x400);
}

/* What MOV SS puts off is put before what INT1, INT n and INT3 do. */
static void test_put_off(void)
{
    uint64_t here;

    value = SEL_DATA;
    WRITE_DR(6, 0);
    WRITE_DR(1, (uintptr_t)&value);
    WRITE_DR(7, 0x00f0040a);
    n = 0;
    asm volatile("mov %1, %%ss\n .byte 0x2e, 0x2e, 0xf1\n 1: lea 1b(%%rip), %0"
                 : "=r"(here) : "m"(value));
    check(n == 1 && at[0] == here, "MOV SS, watched; INT1: one #DB (%u)", n);
    n = 0;
    asm volatile("mov %1, %%ss\n int $1\n 1: lea 1b(%%rip), %0"
                 : "=r"(here) : "m"(value));
    check(n == 2 && at[1] == here, "MOV SS, watched; INT 1: two (%u)", n);
    n = 0;
    bp_at = 0;
    asm volatile("mov %1, %%ss\n"
                 ".byte 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e\n"
                 ".byte 0x2e, 0x2e, 0x2e, 0xcc\n 1: lea 1b(%%rip), %0"
                 : "=r"(here) : "m"(value));
    check(n == 1 && bp_at == here, "MOV SS, watched; INT3: #DB and #BP (%u)",
          n);
    WRITE_DR(7, 0x400);
}

/* --- all ------------------------------------------------------------------------------ */

int main(void)
{
    outb(0x21, 0xff);           /* the 8259s have nothing to say */
    outb(0xa1, 0xff);
    handlers[1] = on_debug;
    handlers[3] = on_breakpoint;
    set_gate(1, 3, 0);
    set_gate(3, 3, 0);
    user_init();
    test_steps();
    test_points();
    test_put_off();
    return 0;
}
