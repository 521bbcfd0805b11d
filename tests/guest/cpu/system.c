/*
 * Instructions of the system that other tests have no use for: SYSENTER and
 * SYSEXIT, RDPID, RDRAND, MOVDIR64B, bases of FS and GS, hypercalls.
 *
 * Spec: Intel SDM volume 2; volume 3A 5.8.7.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

enum { GP = 13, UD = 6 };
enum { MSR_TSC_AUX = 0xc0000103, SYSENTER_CS = 0x174, SYSENTER_ESP, SYSENTER_EIP };
enum { CR4_FSGSBASE = 1 << 16, FL_IF = 1 << 9 };

static bool feature(uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t r[4];

    cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}

/* --- SYSENTER ------------------------------------------------------------------- */

struct {
    uint64_t cs, ss, rsp, rflags;
} entered;

/* In user mode: down and up again; CS and SS thereafter. */
uint64_t down_and_up(void);
extern const char sysenter_entry[];
asm(".globl down_and_up, sysenter_entry\n"
    "down_and_up:\n lea 1f(%rip), %rdx\n mov %rsp, %rcx\n sysenter\n"
    "1: mov %ss, %eax\n shl $16, %eax\n mov %cs, %ax\n ret\n"
    "sysenter_entry:\n xor %eax, %eax\n mov %cs, %eax\n"
    "mov %rax, entered(%rip)\n mov %ss, %eax\n mov %rax, entered+8(%rip)\n"
    "mov %rsp, entered+16(%rip)\n pushf\n pop entered+24(%rip)\n"
    "rex.w sysexit\n");


static void sysenter(void)
{
    static uint64_t stack[64];
    uint64_t got;

    wrmsr(SYSENTER_CS, SEL_CODE);
    wrmsr(SYSENTER_ESP, (uintptr_t)&stack[60]);
    wrmsr(SYSENTER_EIP, (uintptr_t)sysenter_entry);
    got = in_user(down_and_up);
    check(entered.cs == SEL_CODE && entered.ss == SEL_CODE + 8,
          "SYSENTER: CS %lx SS %lx", entered.cs, entered.ss);
    check(entered.rsp == (uintptr_t)&stack[60], "SYSENTER: RSP");
    check(!(entered.rflags & FL_IF), "SYSENTER: IF is clear");
    check((got & 0xffff) == ((SEL_CODE + 32) | 3)
          && (got >> 16) == ((SEL_CODE + 40) | 3),
          "SYSEXIT of 64 bits: CS and SS %lx", got);
    wrmsr(SYSENTER_CS, 0);
    check(TRY("sysenter") == GP, "SYSENTER with CS 0");
    check(TRY("sysexitl", "c"(0), "d"(0)) == GP, "SYSEXIT with CS 0");
    wrmsr(SYSENTER_CS, SEL_CODE);
    check(TRY("rex.w sysexit", "c"(0), "d"(UINT64_C(1) << 47)) == GP,
          "SYSEXIT to no address");
}

/* --- the others -------------------------------------------------------------------- */

static void identity(void)
{
    uint64_t v = -1;

    if (feature(7, 2, 22)) {
        wrmsr(MSR_TSC_AUX, 0x12345678);
        asm volatile("rdpid %0" : "=r"(v));
        check(v == 0x12345678, "RDPID: %lx", v);
    } else {
        check(TRY("rdpid %%rax", "a"(0)) == UD, "no RDPID");
    }
}

static void randomness(void)
{
    uint64_t bits = 0, any = 0;
    unsigned same = 0, n = 0;

    if (!feature(1, 2, 30)) {
        check(TRY("rdrand %%rax", "a"(0)) == UD, "no RDRAND");
        return;
    }
    for (unsigned i = 0; i < 64; i++) {
        uint64_t v;
        bool ok;

        asm volatile("rdrand %0" : "=r"(v), "=@ccc"(ok));
        if (ok) {
            same += n && v == bits;
            any |= v;
            bits = v;
            n++;
        }
    }
    check(n > 0 && same == 0 && any == UINT64_MAX,
          "RDRAND: %u numbers, %u twice", n, same);
}

static void direct_stores(void)
{
    static uint64_t from[9], to[8] __attribute__((aligned(64)));
    bool same = true;

    if (!feature(7, 2, 28)) {
        check(TRY(".byte 0x66, 0x0f, 0x38, 0xf8, 0x03", "a"(to), "b"(from))
              == UD, "no MOVDIR64B");
        return;
    }
    for (unsigned i = 0; i < 9; i++) {
        from[i] = 0x0101010101010101 * (i + 1);
    }
    asm volatile("movdir64b (%1), %0" : : "r"(to), "r"(from + 1) : "memory");
    for (unsigned i = 0; i < 8; i++) {
        same &= to[i] == from[i + 1];
    }
    check(same, "MOVDIR64B");
    check(TRY("movdir64b (%%rbx), %%rax", "a"(to + 1), "b"(from)) == GP,
          "MOVDIR64B wants 64 bytes aligned");
}

static void bases(void)
{
    uint64_t cr4 = READ_CR(4), old, v = 0;
    uint32_t half = -1;

    if (!feature(7, 1, 0)) {
        check(TRY("rdfsbase %%rax", "a"(0)) == UD, "no RDFSBASE");
        return;
    }
    check(TRY("rdgsbase %%rax", "a"(0)) == UD, "RDGSBASE without CR4.FSGSBASE");
    WRITE_CR(4, cr4 | CR4_FSGSBASE);
    old = rdmsr(0xc0000101);
    asm volatile("wrgsbase %0" : : "r"(UINT64_C(0xffff812345678000)));
    asm volatile("rdgsbase %0\n rdgsbase %k1" : "=r"(v), "=r"(half));
    check(v == 0xffff812345678000 && half == 0x45678000, "RDGSBASE");
    asm volatile("wrfsbase %k0" : : "r"(UINT64_C(0xffff812345678000)));
    check(rdmsr(0xc0000100) == 0x45678000, "WRFSBASE of 32 bits");
    check(TRY("wrfsbase %%rax", "a"(UINT64_C(1) << 47)) == GP,
          "WRFSBASE of no address");
    wrmsr(0xc0000101, old);
    WRITE_CR(4, cr4);
}

/* XGETBV of 1: which components are not in their initial state. */
static void in_use(void)
{
    uint64_t cr4 = READ_CR(4);
    uint32_t r[4], a, d, x0, used;

    cpuid(0xd, 1, r);
    if (!feature(1, 2, 26) || !(r[0] >> 2 & 1)) {
        return;
    }
    WRITE_CR(4, cr4 | 1 << 18);
    asm volatile("xgetbv" : "=a"(x0), "=d"(d) : "c"(0));
    asm volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
    asm volatile("fninit\n fldz\n xgetbv" : "=a"(used), "=d"(d) : "c"(1));
    asm volatile("fninit\n xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    check((used & 1) && !((used | a) & ~3u), "XGETBV of 1: %x, then %x", used,
          a);
    check(TRY("xgetbv", "c"(2)) == GP, "XGETBV of 2");
    asm volatile("xsetbv" : : "a"(x0), "d"(0), "c"(0));
    WRITE_CR(4, cr4);
}

/* SEND_IPI, of Linux' interface. */
static void hypercall(void)
{
    int64_t n = 10;

    if (!feature(1, 2, 31)) {
        return;
    }
    asm volatile("sti");
    asm volatile("vmcall" : "+a"(n) : "b"(3l), "c"(0l), "d"(0l), "S"(0xf1l)
                 : "memory");
    asm volatile("nop\n cli");
    /* Hardware's KVM has it too; a host without says that it does not know. */
    if (n == -1000) {
        skip("SEND_IPI", "this hypervisor has none");
        return;
    }
    check(n == n_cpus && n_taken[0xf1] >= 1, "SEND_IPI: %ld", n);
}

int main(void)
{
    outb(0x21, 0xff);           /* the 8259s have nothing to say */
    outb(0xa1, 0xff);
    user_init();
    sysenter();
    identity();
    randomness();
    direct_stores();
    bases();
    in_use();
    start_cpus();
    hypercall();
    return 0;
}
