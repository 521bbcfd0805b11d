/*
 * Several vCPUs: locked operations, exclusive sections, TLB shootdowns by the
 * guest's own interrupts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { CODE = 0x10000, CODE_1 = 0x20000, IDT = 0x30000, GDT = 0x31000,
       TABLES = 0x100000, DATA = 0x200000 };

/* Count to RCX with LOCK at RDI, then leave. */
GUEST_CODE(lock_inc, "64",
    "1: lock incq (%rdi)\n dec %ecx\n jnz 1b\n" GUEST_EXIT);
GUEST_CODE(lock_cmpxchg, "64",
    "1: mov (%rdi), %rax\n"
    "2: lea 1(%rax), %rdx\n lock cmpxchg %rdx, (%rdi)\n jne 2b\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);
GUEST_CODE(lock_xadd, "64",
    "1: mov $1, %eax\n lock xadd %rax, (%rdi)\n dec %ecx\n jnz 1b\n"
    GUEST_EXIT);

static void count(const uint8_t *code, const uint8_t *end, uint64_t gva,
                  unsigned n)
{
    for (unsigned i = 0; i < 2; i++) {
        guest_load(CODE + 0x1040 * i, code, end);
        guest_long(i, CODE + 0x1040 * i, TABLES);
        guest_cpu(i)->state->gpr[R_RDI] = gva;
        guest_cpu(i)->state->gpr[R_RCX] = n;
    }
    guest_run(2);
}

static void count_in_ram(uint64_t gva, unsigned n)
{
    uint64_t v;

    guest_reset();
    count(lock_inc, lock_inc_end, gva, n);
    as_read(&as_memory, gva, &v, 8);
    g_assert_cmpuint(v, ==, 2 * n);
    count(lock_cmpxchg, lock_cmpxchg_end, gva, n);
    as_read(&as_memory, gva, &v, 8);
    g_assert_cmpuint(v, ==, 4 * n);
    count(lock_xadd, lock_xadd_end, gva, n);
    as_read(&as_memory, gva, &v, 8);
    g_assert_cmpuint(v, ==, 6 * n);
}

static void test_lock(void)
{
    count_in_ram(DATA, 100000);
    count_in_ram(DATA + 60, 1000);              /* two lines: slow on hosts */
}

static void test_lock_page(void)
{
    count_in_ram(DATA + 4093, 2000);            /* two pages */
    count_in_ram(CODE + 0x800, 20000);          /* a page of code */
    count_in_ram(CODE + 0xffd, 2000);           /* two of them */
}

static void test_lock_io(void)
{
    guest_reset();
    count(lock_inc, lock_inc_end, GUEST_IO, 1000);
    g_assert_cmpuint(guest_io_reg[0], ==, 2000);
}

/*
 * CPU 0 moves a page among 16 frames, telling CPU 1 by an IPI each time; frame
 * i holds i.  After the acknowledgement CPU 1 must never read an older frame.
 * RBX of CPU 1 counts what was wrong.
 */
GUEST_CODE(mover, "64",
    "mov $0xfee00000, %r8d\n mov $1, %ecx\n"
    "1: mov %ecx, %eax\n and $15, %eax\n shl $12, %eax\n"
    "add $0x400003, %eax\n mov %rax, (%rdi)\n invlpg (%rsi)\n"
    "movl $0x01000000, 0x310(%r8)\n movl $0x40, 0x300(%r8)\n"
    "2: pause\n cmp %ecx, 0x200000\n jne 2b\n"
    /* Ours too. */
    "mov (%rsi), %eax\n mov %ecx, %edx\n and $15, %edx\n cmp %edx, %eax\n"
    "je 3f\n inc %ebx\n"
    "3: inc %ecx\n cmp $300, %ecx\n jne 1b\n movl $1, 0x200040\n" GUEST_EXIT);
GUEST_CODE(reader, "64",
    "mov $0xfee00000, %r8d\n movl $0x1ff, 0xf0(%r8)\n sti\n"
    "1: mov 0x200000, %ecx\n mov (%rsi), %eax\n mov 0x200000, %edx\n"
    "cmp %ecx, %edx\n jne 2f\n"
    /* No shootdown in between: what we read is this turn's or, if CPU 0 has
     * written the next entry and our TLB dropped ours, the next one's. */
    "mov %ecx, %edx\n and $15, %edx\n cmp %edx, %eax\n je 2f\n"
    "inc %edx\n and $15, %edx\n cmp %edx, %eax\n je 2f\n inc %ebx\n"
    "2: cmpl $0, 0x200040\n je 1b\n" GUEST_EXIT);
GUEST_CODE(reader_isr, "64",
    "push %rax\n push %r8\n mov $0xfee00000, %r8d\n invlpg (%rsi)\n"
    "movl $0, 0xb0(%r8)\n lock incl 0x200000\n pop %r8\n pop %rax\n iretq\n");

static void test_shootdown(void)
{
    uint64_t *t = (uint64_t *)(guest_ram + TABLES);
    uint64_t handler = CODE_1 + 256;

    guest_reset();
    guest_load(CODE, mover, mover_end);
    guest_load(CODE_1, reader, reader_end);
    guest_load(handler, reader_isr, reader_isr_end);
    guest_long(0, CODE, TABLES);
    guest_long(1, CODE_1, TABLES);
    /* The page at 3 GiB through a table of its own; the APIC at 4 GiB - 20M. */
    t[512 + 3] = (TABLES + 0x8000) | 7;
    t[0x8000 / 8] = (TABLES + 0x9000) | 7;
    t[0x8000 / 8 + (0xfee00000 >> 21 & 511)] = 0xfee00000 | 0x83;
    t[0x9000 / 8] = 0x400003;
    for (unsigned i = 0; i < 16; i++) {
        *(uint32_t *)(guest_ram + 0x400000 + 4096 * i) = i;
    }
    guest_gate(IDT, 0x40, handler);
    for (unsigned i = 0; i < 2; i++) {
        X86State *s = guest_cpu(i)->state;

        guest_tables(i, GDT, IDT);
        s->gpr[R_RSI] = 0xc0000000;
        s->gpr[R_RDI] = TABLES + 0x9000;
        lapic_mmio_write(guest_cpu(i)->apic, 0xf0, 0x1ff);
    }
    guest_run(2);
    g_assert_cmpuint(guest_cpu(0)->state->gpr[R_RBX], ==, 0);
    g_assert_cmpuint(guest_cpu(1)->state->gpr[R_RBX], ==, 0);
}

/* Both CPUs walk the same tables and set A and D while the test clears them:
 * no other bit may ever change. */
GUEST_CODE(toucher, "64",
    "1: mov %cr3, %rax\n mov %rax, %cr3\n"
    "incl (%rsi)\n mov 4096(%rsi), %eax\n"
    "dec %ecx\n jnz 1b\n" GUEST_EXIT);

static void test_accessed_dirty(void)
{
    uint64_t *t = (uint64_t *)(guest_ram + TABLES);

    guest_reset();
    for (unsigned i = 0; i < 2; i++) {
        guest_load(CODE + 0x1000 * i, toucher, toucher_end);
        guest_long(i, CODE + 0x1000 * i, TABLES);
        guest_cpu(i)->state->gpr[R_RSI] = 0xc0000000;
        guest_cpu(i)->state->gpr[R_RCX] = 20000;
    }
    t[512 + 3] = (TABLES + 0x8000) | 7;
    t[0x8000 / 8] = (TABLES + 0x9000) | 7;
    t[0x9000 / 8] = 0x400000 | 3;
    t[0x9000 / 8 + 1] = 0x401000 | 3;
    guest_run(2);
    g_assert_cmphex(t[0x9000 / 8], ==, 0x400000 | 0x63);
    g_assert_cmphex(t[0x9000 / 8 + 1], ==, 0x401000 | 0x23);
    g_assert_cmphex(t[512 + 3], ==, (TABLES + 0x8000) | 0x27);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    guest_init(2);
    g_test_add_func("/tcg/smp/lock", test_lock);
    g_test_add_func("/tcg/smp/lock-page", test_lock_page);
    g_test_add_func("/tcg/smp/lock-io", test_lock_io);
    g_test_add_func("/tcg/smp/shootdown", test_shootdown);
    g_test_add_func("/tcg/smp/accessed-dirty", test_accessed_dirty);
    status = g_test_run();
    guest_free();
    return status;
}
