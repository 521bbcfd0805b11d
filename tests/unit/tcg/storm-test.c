/*
 * Storms: four vCPUs that do to one another what goes wrong only sometimes.
 * LOCKed operations of all kinds on one operand, TLB shootdowns against
 * writers, code changed under those who run it, INIT and SIPI at any moment.
 *
 * Each runs a moment; with `-m slow`, half a minute.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { N_CPUS = 4 };
enum { CODE = 0x10000, CODE_STEP = 0x1000, ISR = 0x18000, ISR_STEP = 0x100,
       IDT = 0x30000, GDT = 0x31000, FUNCTION = 0x40003, FUNCTION_2 = 0x40100,
       REAL_PAGE = 0x90, STARTED = 0x800, TABLES = 0x100000, DATA = 0x200000, STOP = 0x200040,
       FLAG = 0x200080, FRAME = 0x500000, PTE = TABLES + 0x9000,
       IPI = 0x40 };
#define WINDOW UINT64_C(0xc0000000)     /* the page whose entry is at PTE */

enum { SLOW_FACTOR = 5, SLOW_SECONDS = 30 };

/* One run of the guest must end in time on a busy host, too. */
static unsigned turns(unsigned n)
{
    return g_test_slow() ? SLOW_FACTOR * n : n;
}

/* Long mode with an interrupt table, and the APIC mapped and on. */
static void set_up(unsigned i, const uint8_t *code, const uint8_t *end)
{
    uint64_t *t = (uint64_t *)(guest_ram + TABLES);

    guest_load(CODE + CODE_STEP * i, code, end);
    guest_long(i, CODE + CODE_STEP * i, TABLES);
    guest_tables(i, GDT, IDT);
    t[512 + 3] = (TABLES + 0x8000) | 7;
    t[0x8000 / 8] = PTE | 7;
    t[0x8000 / 8 + (0xfee00000 >> 21 & 511)] = 0xfee00000 | 0x83;
    lapic_mmio_write(guest_cpu(i)->apic, 0xf0, 0x1ff);
}

static void set_isr(unsigned vector, unsigned n, const uint8_t *code,
                    const uint8_t *end)
{
    guest_load(ISR + ISR_STEP * n, code, end);
    guest_gate(IDT, vector, ISR + ISR_STEP * n);
}

static uint64_t load(uint64_t gpa)
{
    uint64_t v;

    as_read(&as_memory, gpa, &v, 8);
    return v;
}

/* --- locks ----------------------------------------------------------------------- */

/* Count to ECX at RDI, each in another way. */
GUEST_CODE(storm_inc, "64", "1: lock incq (%rdi)\n dec %ecx\n jnz 1b\n"
           GUEST_EXIT);
GUEST_CODE(storm_xadd, "64", "1: mov $1, %eax\n lock xadd %rax, (%rdi)\n"
           "dec %ecx\n jnz 1b\n" GUEST_EXIT);
GUEST_CODE(storm_cmpxchg, "64", "1: mov (%rdi), %rax\n 2: lea 1(%rax), %rdx\n"
           "lock cmpxchg %rdx, (%rdi)\n jne 2b\n dec %ecx\n jnz 1b\n"
           GUEST_EXIT);
GUEST_CODE(storm_sub, "64", "1: lock subq $-1, (%rdi)\n dec %ecx\n jnz 1b\n"
           GUEST_EXIT);
/* A plain counter at +64 under a lock at RDI. */
GUEST_CODE(storm_xchg_lock, "64", "1: mov $1, %eax\n 2: xchg %eax, (%rdi)\n"
           "test %eax, %eax\n jz 3f\n pause\n jmp 2b\n"
           "3: incq 64(%rdi)\n movl $0, (%rdi)\n dec %ecx\n jnz 1b\n"
           GUEST_EXIT);
GUEST_CODE(storm_bts_lock, "64", "1: lock btsl $0, (%rdi)\n jnc 3f\n pause\n"
           "jmp 1b\n 3: incq 64(%rdi)\n lock btrl $0, (%rdi)\n dec %ecx\n"
           "jnz 1b\n" GUEST_EXIT);
/* Two counters that always go together. */
GUEST_CODE(storm_cmpxchg16b, "64", "mov %ecx, %r9d\n"
           "1: mov (%rdi), %rax\n mov 8(%rdi), %rdx\n"
           "2: lea 1(%rax), %rbx\n lea 1(%rdx), %rcx\n"
           "lock cmpxchg16b (%rdi)\n jne 2b\n dec %r9d\n jnz 1b\n" GUEST_EXIT);

typedef struct {
    const uint8_t *code, *end;
} Code;
#define C(name) { storm_##name, storm_##name##_end }

static void count(const Code *codes, uint64_t gva, unsigned n)
{
    for (unsigned i = 0; i < N_CPUS; i++) {
        set_up(i, codes[i].code, codes[i].end);
        guest_cpu(i)->state->gpr[R_RDI] = gva;
        guest_cpu(i)->state->gpr[R_RCX] = n;
    }
    guest_run(N_CPUS);
}

static void test_locks(void)
{
    static const Code kinds[N_CPUS] = { C(inc), C(xadd), C(cmpxchg), C(sub) };
    static const struct {
        uint64_t gva;
        unsigned share;         /* how much slower it is */
    } sites[] = {
        { DATA, 1 }, { DATA + 60, 20 }, { DATA + 4093, 50 },
        { CODE + 0x800, 4 },    /* beside code that runs */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(sites); i++) {
        unsigned n = turns(20000) / sites[i].share;

        guest_reset();
        count(kinds, sites[i].gva, n);
        g_assert_cmpuint(load(sites[i].gva), ==, UINT64_C(4) * n);
    }
}

static void test_spin_locks(void)
{
    static const Code kinds[N_CPUS] = { C(xchg_lock), C(bts_lock),
                                        C(xchg_lock), C(bts_lock) };
    unsigned n = turns(1000);

    guest_reset();
    count(kinds, DATA, n);
    g_assert_cmpuint(load(DATA), ==, 0);
    g_assert_cmpuint(load(DATA + 64), ==, UINT64_C(4) * n);
}

static void test_cmpxchg16b(void)
{
    static const Code kinds[N_CPUS] = { C(cmpxchg16b), C(cmpxchg16b),
                                        C(cmpxchg16b), C(cmpxchg16b) };
    unsigned n = turns(5000);

    guest_reset();
    count(kinds, DATA, n);
    g_assert_cmpuint(load(DATA), ==, UINT64_C(4) * n);
    g_assert_cmpuint(load(DATA + 8), ==, UINT64_C(4) * n);
}

/* --- shootdowns -------------------------------------------------------------------- */

/*
 * CPU 0 keeps the page in WINDOW; the others write to it all the time, and go
 * on where they may not.  A turn:
 *
 *    entry: writable, clean; let them write
 *    D taken away, shot down: who writes now must set D again; v1
 *    entry: read-only, the old one kept; shot down; v2
 *        v2 is not v1  =>  the old entry has D
 *    wait; nothing may be written any more
 *    entry: none, shot down; still nothing
 *
 * EBX: what was wrong.  DATA counts acknowledgements.
 */
#define SHOOT "movl $0xc4040, 0x300(%r8)\n add $3, %r9d\n invlpg (%rsi)\n"  \
    "7: pause\n cmp %r9d, (%r10)\n jne 7b\n"
#define WAIT "mov $300, %edx\n 8: pause\n dec %edx\n jnz 8b\n"
GUEST_CODE(storm_keeper, "64",
    "mov $0xfee00000, %r8d\n mov $0x200000, %r10d\n xor %r9d, %r9d\n"
    "1: movq $0x500003, (%rdi)\n" WAIT
    "lock andq $~0x60, (%rdi)\n" SHOOT "mov (%r11), %r12\n" WAIT
    "mov $0x500001, %eax\n xchg %rax, (%rdi)\n" SHOOT "mov (%r11), %r13\n"
    "cmp %r12, %r13\n je 2f\n test $0x40, %al\n jnz 2f\n or $1, %ebx\n"
    "2: " WAIT "cmp %r13, (%r11)\n je 3f\n or $2, %ebx\n"
    "3: testb $0x40, (%rdi)\n jz 4f\n or $4, %ebx\n"
    "4: movq $0, (%rdi)\n" SHOOT WAIT
    "cmp %r13, (%r11)\n je 5f\n or $8, %ebx\n"
    "5: dec %ecx\n jnz 1b\n movl $1, 0x200040\n" GUEST_EXIT);
/* Four bytes in each: the fault handler steps over them. */
GUEST_CODE(storm_writer, "64",
    "sti\n 1: lock incq (%rsi)\n .byte 0x48, 0xff, 0x46, 0x00\n"
    "cmpl $0, 0x200040\n je 1b\n" GUEST_EXIT);
GUEST_CODE(storm_fault, "64", "add $8, %rsp\n addq $4, (%rsp)\n iretq\n");
GUEST_CODE(storm_ack, "64",
    "push %r8\n mov $0xfee00000, %r8d\n invlpg (%rsi)\n"
    "movl $0, 0xb0(%r8)\n lock incl 0x200000\n pop %r8\n iretq\n");

static void test_shootdowns(void)
{
    guest_reset();
    set_up(0, storm_keeper, storm_keeper_end);
    for (unsigned i = 1; i < N_CPUS; i++) {
        set_up(i, storm_writer, storm_writer_end);
    }
    set_isr(14, 0, storm_fault, storm_fault_end);
    set_isr(IPI, 1, storm_ack, storm_ack_end);
    for (unsigned i = 0; i < N_CPUS; i++) {
        guest_cpu(i)->state->gpr[R_RSI] = WINDOW;
    }
    guest_cpu(0)->state->gpr[R_RDI] = PTE;
    guest_cpu(0)->state->gpr[R_R11] = FRAME;
    guest_cpu(0)->state->gpr[R_RCX] = turns(20);
    guest_run(N_CPUS);
    g_assert_cmphex(guest_cpu(0)->state->gpr[R_RBX], ==, 0);
    /* They did write. */
    g_assert_cmpuint(load(FRAME), >, 0);
}

/* --- code ---------------------------------------------------------------------------- */

/*
 * FUNCTION loads a number that only grows, and that is never smaller than what
 * FLAG said before the serializing instruction.  R10: where the writer writes
 * it.  EBX: what was wrong.
 */
GUEST_CODE(storm_grow, "64",
    "mov $1, %eax\n 1: mov %eax, (%r10)\n mov %eax, 0x200080\n inc %eax\n"
    "cmp %ecx, %eax\n jne 1b\n movl $1, 0x200040\n" GUEST_EXIT);
GUEST_CODE(storm_caller, "64",
    "xor %r8d, %r8d\n xor %r14d, %r14d\n"
    "1: mov 0x200080, %r9d\n xor %eax, %eax\n xor %ecx, %ecx\n cpuid\n"
    "call *%r10\n cmp %r9d, %eax\n jae 2f\n or $1, %r14d\n"
    "2: cmp %r8d, %eax\n jae 3f\n or $2, %r14d\n"
    "3: mov %eax, %r8d\n"
    /* Some rounds without stopping for anything. */
    "mov $20, %edx\n 4: call *%r10\n cmp %r8d, %eax\n jae 5f\n"
    "or $4, %r14d\n 5: mov %eax, %r8d\n dec %edx\n jnz 4b\n"
    "cmpl $0, 0x200040\n je 1b\n" GUEST_EXIT);
/* mov $0, %eax; ret */
GUEST_CODE(storm_function, "64", ".byte 0xb8\n .long 0\n ret\n");

static void start_callers(unsigned from)
{
    guest_load(FUNCTION, storm_function, storm_function_end);
    for (unsigned i = from; i < N_CPUS; i++) {
        set_up(i, storm_caller, storm_caller_end);
        guest_cpu(i)->state->gpr[R_R10] = FUNCTION;
    }
}

static void check_callers(unsigned from)
{
    for (unsigned i = from; i < N_CPUS; i++) {
        g_assert_cmphex(guest_cpu(i)->state->gpr[R_R14], ==, 0);
    }
}

static void grow_by_cpu(uint64_t gva)
{
    guest_reset();
    set_up(0, storm_grow, storm_grow_end);
    guest_cpu(0)->state->gpr[R_R10] = gva;
    guest_cpu(0)->state->gpr[R_RCX] = turns(3000);
    start_callers(1);
    guest_run(N_CPUS);
    check_callers(1);
}

static void test_code_by_cpu(void)
{
    grow_by_cpu(FUNCTION + 1);
}

static void test_code_by_alias(void)
{
    grow_by_cpu(GUEST_ALIAS + FUNCTION + 1);
}

static void *device(void *opaque)
{
    uint32_t n = turns(2000), one = 1;

    for (uint32_t i = 1; i < n; i++) {
        as_write(&as_memory, FUNCTION + 1, &i, 4);
        as_write(&as_memory, FLAG, &i, 4);
    }
    as_write(&as_memory, STOP, &one, 4);
    return NULL;
}

static void test_code_by_device(void)
{
    GThread *thread;

    guest_reset();
    start_callers(0);
    thread = g_thread_new("device", device, NULL);
    guest_run(N_CPUS);
    g_thread_join(thread);
    check_callers(0);
}

/*
 * As Linux patches: a breakpoint, everybody told, the rest, everybody told, the
 * first byte.  FUNCTION is "mov $11111111h, %eax" or a jump to one that loads
 * 22222222h; the breakpoint's handler returns 33333333h.
 */
#define SYNC "movl $0xc4040, 0x300(%r8)\n add $3, %r9d\n"                   \
    "7: pause\n cmp %r9d, 0x200000\n jne 7b\n"
GUEST_CODE(storm_patcher, "64",
    "mov $0xfee00000, %r8d\n xor %r9d, %r9d\n"
    "1: movb $0xcc, (%r10)\n" SYNC "movl $0xf8, 1(%r10)\n" SYNC
    "movb $0xe9, (%r10)\n" SYNC
    "movb $0xcc, (%r10)\n" SYNC "movl $0x11111111, 1(%r10)\n" SYNC
    "movb $0xb8, (%r10)\n" SYNC
    "dec %ecx\n jnz 1b\n movl $1, 0x200040\n" GUEST_EXIT);
GUEST_CODE(storm_patched, "64",
    "sti\n 1: call *%r10\n cmp $0x11111111, %eax\n je 2f\n"
    "cmp $0x22222222, %eax\n je 3f\n cmp $0x33333333, %eax\n je 4f\n"
    "or $1, %r14d\n jmp 5f\n"
    "2: inc %r11\n jmp 5f\n 3: inc %r12\n jmp 5f\n 4: inc %r13\n"
    "5: cmpl $0, 0x200040\n je 1b\n" GUEST_EXIT);
GUEST_CODE(storm_first, "64", "mov $0x11111111, %eax\n ret\n");
GUEST_CODE(storm_second, "64", "mov $0x22222222, %eax\n ret\n");
GUEST_CODE(storm_breakpoint, "64",
    "mov $0x33333333, %eax\n addq $4, (%rsp)\n iretq\n");
GUEST_CODE(storm_told, "64",
    "push %rax\n push %rbx\n push %rcx\n push %rdx\n xor %eax, %eax\n cpuid\n"
    "mov $0xfee00000, %eax\n movl $0, 0xb0(%rax)\n lock incl 0x200000\n"
    "pop %rdx\n pop %rcx\n pop %rbx\n pop %rax\n iretq\n");

static void test_patching(void)
{
    guest_reset();
    set_up(0, storm_patcher, storm_patcher_end);
    for (unsigned i = 1; i < N_CPUS; i++) {
        set_up(i, storm_patched, storm_patched_end);
    }
    GUEST_LOAD(FUNCTION, storm_first);
    GUEST_LOAD(FUNCTION_2, storm_second);
    g_assert_cmphex(FUNCTION + 5 + 0xf8, ==, FUNCTION_2);
    set_isr(3, 0, storm_breakpoint, storm_breakpoint_end);
    set_isr(IPI, 1, storm_told, storm_told_end);
    for (unsigned i = 0; i < N_CPUS; i++) {
        guest_cpu(i)->state->gpr[R_R10] = FUNCTION;
    }
    guest_cpu(0)->state->gpr[R_RCX] = turns(10);
    guest_run(N_CPUS);
    check_callers(1);
    for (unsigned i = 1; i < N_CPUS; i++) {
        const uint64_t *gpr = guest_cpu(i)->state->gpr;

        g_assert_cmpuint(gpr[R_R11] + gpr[R_R12] + gpr[R_R13], >, 0);
    }
}

/* --- INIT and SIPI -------------------------------------------------------------------- */

/* CPU 0 starts the others again and again, wherever they are by then. */
GUEST_CODE(storm_starter, "64",
    "mov $0xfee00000, %r8d\n xor %r9d, %r9d\n mov $1, %r10d\n"
    "1: mov $3, %edx\n"
    "2: mov %edx, %eax\n shl $24, %eax\n mov %eax, 0x310(%r8)\n"
    "movl $0x4500, 0x300(%r8)\n mov %eax, 0x310(%r8)\n"
    "lea (%r10, %rdx), %eax\n and $3, %eax\n add $0x4690, %eax\n"
    "mov %eax, 0x300(%r8)\n dec %edx\n jnz 2b\n add $3, %r9d\n"
    "3: pause\n cmp %r9d, 0x800\n jne 3b\n"
    "inc %r10d\n dec %ecx\n jnz 1b\n" GUEST_EXIT);
/* Real mode, DS 0: say so at STARTED, and be busy. */
GUEST_CODE(storm_halt, "16", "lock incl %ds:0x800\n 1: hlt\n jmp 1b\n");
GUEST_CODE(storm_loop, "16", "lock incl %ds:0x800\n 1: jmp 1b\n");
GUEST_CODE(storm_split, "16",
    "lock incl %ds:0x800\n 1: lock incl %ds:0x1ffe\n jmp 1b\n");
GUEST_CODE(storm_port, "16",
    "lock incl %ds:0x800\n 1: out %al, $0x80\n jmp 1b\n");

static void test_init_sipi(void)
{
    static const Code kinds[4] = { C(halt), C(loop), C(split), C(port) };
    unsigned n = turns(100);

    guest_reset();
    set_up(0, storm_starter, storm_starter_end);
    for (unsigned i = 0; i < 4; i++) {
        guest_load((REAL_PAGE + i) << 12, kinds[i].code, kinds[i].end);
    }
    guest_cpu(0)->state->gpr[R_RCX] = n;
    guest_run(1);
    g_assert_cmpuint((uint32_t)load(STARTED), ==, 3 * n);
}

static const struct {
    const char *path;
    void (*run)(void);
} storms[] = {
    { "/tcg/storm/locks", test_locks },
    { "/tcg/storm/spin-locks", test_spin_locks },
    { "/tcg/storm/cmpxchg16b", test_cmpxchg16b },
    { "/tcg/storm/shootdowns", test_shootdowns },
    { "/tcg/storm/code-by-cpu", test_code_by_cpu },
    { "/tcg/storm/code-by-alias", test_code_by_alias },
    { "/tcg/storm/code-by-device", test_code_by_device },
    { "/tcg/storm/patching", test_patching },
    { "/tcg/storm/init-sipi", test_init_sipi },
};

static void test_storm(const void *opaque)
{
    unsigned i = GPOINTER_TO_UINT(opaque);
    int64_t until = g_get_monotonic_time()
                    + SLOW_SECONDS * G_TIME_SPAN_SECOND;

    do {
        storms[i].run();
    } while (g_test_slow() && g_get_monotonic_time() < until);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(N_CPUS);
    for (unsigned i = 0; i < G_N_ELEMENTS(storms); i++) {
        g_test_add_data_func(storms[i].path, GUINT_TO_POINTER(i), test_storm);
    }
    status = g_test_run();
    guest_free();
    return status;
}
