/*
 * Does a guest that does nothing but loop answer its timer?  Loops of all kinds
 * that would never end: the interrupt of a TSC deadline leads out of them.  How
 * late it came is printed; the best of some must be early, for on a busy host
 * a processor may stand still at any time.
 *
 * Spec: Intel SDM volume 3A 11.5.4.1 (TSC deadline), volume 2B REP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "runtime.h"

enum { DEADLINE_MSR = 0x6e0, VECTOR = 0xb0, TURNS = 9, BOUND_US = 50000 };
/* 512 GiB that are the same 2 MiB of RAM again and again. */
#define ALIAS (UINT64_C(1) << 39)
#define ALIAS_BYTES (UINT64_C(1) << 39)
#define ALIAS_PHYS 0x2000000

extern uint64_t page_root[512];
static uint64_t alias_pdpt[512] __attribute__((aligned(4096)));
static uint64_t alias_dir[512] __attribute__((aligned(4096)));

static uint64_t table[512], deadline, late, per_us;
static volatile uint64_t resume_rip, resume_rsp;
static Frame seen;

static void leave(Frame *f)
{
    late = rdtsc() - deadline;
    seen = *f;
    f->rip = resume_rip;
    f->rsp = resume_rsp;
    f->rflags &= ~UINT64_C(0x600);      /* DF, and IF for what comes now */
    apic_write(APIC_EOI, 0);
}

static void again(Frame *f)
{
    f->rflags |= 0x200;
}

/* A loop: RSI and RDI point to `table`, RDX to the alias, RCX is -1. */
#define LOOP(fn, code)                                                      \
    static void fn(void)                                                    \
    {                                                                       \
        uint64_t all_ones = UINT64_MAX, alias = ALIAS, *at = table;         \
                                                                            \
        asm volatile("mov %%rsp, %0\n lea 9f(%%rip), %%rax\n"               \
                     "mov %%rax, %1\n mov %%rsi, %%rdi\n"                   \
                     "sti\n" code "\n 9: cli"                               \
                     : "=m"(resume_rsp), "=m"(resume_rip), "+c"(all_ones),  \
                       "+d"(alias), "+S"(at)                                \
                     : : "rax", "rbx", "rdi", "r8", "r9", "r10", "r11",     \
                         "r12", "r13", "r14", "r15", "memory", "cc");       \
    }
LOOP(to_itself, "1: jmp 1b")
LOOP(counting, "1: dec %%rcx\n jnz 1b")
LOOP(loop_insn, "1: loop 1b")
LOOP(inner, "1: mov $1000, %%ebx\n 2: dec %%ebx\n jnz 2b\n jmp 1b")
LOOP(calls, "1: call 2f\n jmp 1b\n 2: ret")
LOOP(indirect, "lea 1f(%%rip), %%rbx\n 1: jmp *%%rbx")
LOOP(cross_page, "jmp 1f\n .skip 5000, 0x90\n 2: jmp 1f\n"
                 ".skip 5000, 0x90\n 1: jmp 2b")
LOOP(bounded_index, "1: inc %%ecx\n and $511, %%ecx\n add (%%rsi,%%rcx,8), "
                    "%%rax\n jmp 1b")
LOOP(walk, "1: add (%%rdx), %%rax\n add $8, %%rdx\n dec %%rcx\n jnz 1b")
LOOP(walk_stores, "1: mov %%rax, (%%rdx)\n add $64, %%rdx\n dec %%rcx\n "
                  "jnz 1b")
LOOP(floats, "1: addps (%%rsi), %%xmm0\n mulsd %%xmm1, %%xmm2\n "
             "dec %%rcx\n jnz 1b")
LOOP(x87, "fninit\n fld1\n 1: fadd %%st(0)\n dec %%rcx\n jnz 1b")
LOOP(locked, "1: lock incq (%%rsi)\n jmp 1b")
LOOP(pauses, "1: pause\n jmp 1b")
LOOP(halts, "1: hlt\n jmp 1b")
LOOP(cpuids, "1: xor %%eax, %%eax\n cpuid\n jmp 1b")
LOOP(ports, "1: in $0x80, %%al\n jmp 1b")
LOOP(traps, "1: ud2\n jmp 1b")
LOOP(windows, "1: sti\n nop\n cli\n jmp 1b")
LOOP(popf_windows, "pushfq\n pop %%rax\n mov %%rax, %%rbx\n "
                   "and $~0x200, %%rbx\n 1: push %%rax\n popfq\n "
                   "push %%rbx\n popfq\n jmp 1b")
LOOP(rewritten, "1: movb $0x90, 2f(%%rip)\n 2: nop\n jmp 1b")
LOOP(flushes, "1: invlpg (%%rsi)\n mov %%cr3, %%rax\n mov %%rax, %%cr3\n "
              "jmp 1b")
LOOP(rep_movsb, "mov %%rdx, %%rsi\n mov %%rdx, %%rdi\n add $0x100000, "
                "%%rdi\n mov %%rdx, %%rcx\n shr %%rcx\n rep movsb")
LOOP(rep_movsb_down, "std\n lea (%%rdx,%%rdx), %%rsi\n dec %%rsi\n mov %%rsi, "
                     "%%rdi\n mov %%rdx, %%rcx\n rep movsb")
LOOP(rep_stosq, "mov %%rdx, %%rdi\n mov %%rdx, %%rcx\n shr $3, %%rcx\n "
                "rep stosq")
LOOP(rep_lodsb, "mov %%rdx, %%rsi\n mov %%rdx, %%rcx\n rep lodsb")
LOOP(repe_cmpsb, "mov %%rdx, %%rsi\n mov %%rdx, %%rdi\n mov %%rdx, %%rcx\n "
                 "cmp %%eax, %%eax\n repe cmpsb")
LOOP(repne_scasb, "mov %%rdx, %%rdi\n mov %%rdx, %%rcx\n mov $0xa5, %%al\n "
                  "repne scasb")

static const struct {
    const char *name;
    void (*fn)(void);
} loops[] = {
    { "a jump to itself", to_itself },
    { "a counter", counting },
    { "LOOP", loop_insn },
    { "loop in a loop", inner },
    { "CALL and RET", calls },
    { "indirect jumps", indirect },
    { "jumps to other pages", cross_page },
    { "a bounded index", bounded_index },
    { "loads through 512 GiB", walk },
    { "stores through 512 GiB", walk_stores },
    { "vectors", floats },
    { "x87", x87 },
    { "LOCK INC", locked },
    { "PAUSE", pauses },
    { "HLT", halts },
    { "CPUID", cpuids },
    { "IN", ports },
    { "an exception again and again", traps },
    { "STI, NOP, CLI", windows },
    { "POPF with and without IF", popf_windows },
    { "code that rewrites itself", rewritten },
    { "INVLPG and MOV CR3", flushes },
    { "REP MOVSB", rep_movsb },
    { "REP MOVSB downwards", rep_movsb_down },
    { "REP STOSQ", rep_stosq },
    { "REP LODSB", rep_lodsb },
    { "REPE CMPSB", repe_cmpsb },
    { "REPNE SCASB", repne_scasb },
};

/* TSC ticks of a microsecond: the PIT's channel 2 counts 10 ms. */
static uint64_t tsc_per_us(void)
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < 3; i++) {
        uint64_t start;

        outb(0x61, 1);
        outb(0x43, 0xb0);
        outb(0x42, 11932 & 0xff);
        start = rdtsc();
        outb(0x42, 11932 >> 8);
        while (!(inb(0x61) & 0x20)) {
        }
        start = rdtsc() - start;
        best = start < best ? start : best;
    }
    return best / 10000;
}

static void map_alias(void)
{
    for (unsigned i = 0; i < 512; i++) {
        alias_dir[i] = ALIAS_PHYS | 0xe3;
        alias_pdpt[i] = (uint64_t)alias_dir | 7;
    }
    page_root[1] = (uint64_t)alias_pdpt | 7;
    for (unsigned i = 0; i < 0x200000; i += 8) {
        *(uint64_t *)(ALIAS_PHYS + (uint64_t)i) = 0;
    }
}

static void arm(void)
{
    deadline = rdtsc() + 300 * per_us;
    wrmsr(DEADLINE_MSR, deadline);
}

/* Has a string instruction that was interrupted done just what it says? */
static void check_strings(void)
{
    arm();
    rep_movsb();
    check(seen.rsi - ALIAS == ALIAS_BYTES / 2 - seen.rcx
          && seen.rdi == seen.rsi + 0x100000 && seen.rcx
          && seen.rcx < ALIAS_BYTES / 2, "REP MOVSB's registers in between");
    arm();
    rep_stosq();
    check(seen.rdi - ALIAS == ALIAS_BYTES - 8 * seen.rcx && seen.rcx,
          "REP STOSQ's registers in between");
    arm();
    repne_scasb();
    check(seen.rdi - ALIAS == ALIAS_BYTES - seen.rcx && seen.rcx,
          "REPNE SCASB's registers in between");
}

int main(void)
{
    uint32_t r[4];

    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    cpuid(1, 0, r);
    if (!(r[2] >> 24 & 1)) {
        skip("latency", "no TSC deadline in CPUID");
        return 0;
    }
    map_alias();
    per_us = tsc_per_us();
    handlers[VECTOR] = leave;
    handlers[6] = again;
    apic_write(APIC_LVTT, 2 << 17 | VECTOR);
    for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        uint64_t best = UINT64_MAX, worst = 0;

        for (unsigned n = 0; n < TURNS; n++) {
            arm();
            loops[i].fn();
            best = late < best ? late : best;
            worst = late > worst ? late : worst;
        }
        check(best / per_us < BOUND_US, "%s: %u to %u us late",
              loops[i].name, (unsigned)(best / per_us),
              (unsigned)(worst / per_us));
    }
    check_strings();
    return 0;
}
