/*
 * Local APICs: priorities, delivery, IPIs, timers, x2APIC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fake-accel.h"

#include "loop/timer.h"

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0,
       LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180,
       IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310, LVTT = 0x320,
       LINT0 = 0x350, LINT1 = 0x360, LVTERR = 0x370, TICR = 0x380,
       TCCR = 0x390, TDCR = 0x3e0, MASKED = 1 << 16 };

static Machine *m;

static Lapic *apic(unsigned i)
{
    return ((X86Cpu *)g_ptr_array_index(m->cpus, i))->apic;
}

static X86Cpu *cpu(unsigned i)
{
    return g_ptr_array_index(m->cpus, i);
}

static void setup(void)
{
    machine_reset(m);
    for (unsigned i = 0; i < m->cpus->len; i++) {
        lapic_mmio_write(apic(i), SVR, 0x1ff);
    }
}

static void finish(Lapic *a)
{
    lapic_mmio_write(a, EOI, 0);
}

static void test_registers(void)
{
    setup();
    g_assert_cmphex(lapic_mmio_read(apic(1), ID), ==, 1u << 24);
    g_assert_cmphex(lapic_mmio_read(apic(0), VERSION) & 0xff, ==, 0x14);
    g_assert_cmphex(lapic_mmio_read(apic(0), DFR), ==, 0xffffffff);
    lapic_mmio_write(apic(0), TPR, 0x35);
    g_assert_cmphex(lapic_mmio_read(apic(0), TPR), ==, 0x35);
    g_assert_cmphex(lapic_mmio_read(apic(0), PPR), ==, 0x35);
    /* Software disabled: every entry is masked. */
    lapic_mmio_write(apic(0), LVTT, 0x40);
    lapic_mmio_write(apic(0), SVR, 0xff);
    g_assert_cmphex(lapic_mmio_read(apic(0), LVTT), ==, 0x40 | MASKED);
    g_assert_cmphex(lapic_base_gpa(apic(0)), ==, 0xfee00000);
}

static void test_priority(void)
{
    Lapic *a = apic(0);

    setup();
    g_assert_true(apic_bus_deliver(0, false, APIC_DM_FIXED, 0x41, false));
    g_assert_true(apic_bus_deliver(0, false, APIC_DM_FIXED, 0x52, false));
    g_assert_true(cpu_pending(cpu(0)) & CPU_PEND_APIC);
    g_assert_cmphex(lapic_ack(a), ==, 0x52);
    g_assert_cmphex(lapic_mmio_read(a, PPR), ==, 0x50);
    g_assert_cmpint(lapic_pending_vector(a), ==, -1);
    apic_bus_deliver(0, false, APIC_DM_FIXED, 0x5f, false);
    g_assert_cmpint(lapic_pending_vector(a), ==, -1);
    apic_bus_deliver(0, false, APIC_DM_FIXED, 0x60, false);
    g_assert_cmphex(lapic_ack(a), ==, 0x60);
    finish(a);
    g_assert_cmpint(lapic_pending_vector(a), ==, -1);
    finish(a);
    g_assert_cmphex(lapic_ack(a), ==, 0x5f);
    finish(a);
    lapic_mmio_write(a, TPR, 0x40);
    g_assert_cmpint(lapic_pending_vector(a), ==, -1);
    cpu_clear_pending(cpu(0), CPU_PEND_APIC);
    lapic_set_tpr(a, 0x30);
    g_assert_true(cpu_pending(cpu(0)) & CPU_PEND_APIC);
    g_assert_cmphex(lapic_ack(a), ==, 0x41);
    finish(a);
}

static unsigned eoi_vector;

static void on_eoi(uint8_t vector)
{
    eoi_vector = vector;
}

static void test_level(void)
{
    Lapic *a = apic(0);

    setup();
    apic_bus_eoi = on_eoi;
    eoi_vector = 0;
    apic_bus_deliver(0, false, APIC_DM_FIXED, 0x61, false);
    lapic_ack(a);
    finish(a);
    g_assert_cmphex(eoi_vector, ==, 0);
    apic_bus_deliver(0, false, APIC_DM_FIXED, 0x61, true);
    g_assert_cmphex(lapic_mmio_read(a, TMR + 0x30), ==, 2);
    lapic_ack(a);
    finish(a);
    g_assert_cmphex(eoi_vector, ==, 0x61);
    /* Broadcast suppressed. */
    eoi_vector = 0;
    lapic_mmio_write(a, SVR, 0x11ff);
    apic_bus_deliver(0, false, APIC_DM_FIXED, 0x61, true);
    lapic_ack(a);
    finish(a);
    g_assert_cmphex(eoi_vector, ==, 0);
    apic_bus_eoi = NULL;
}

static unsigned receivers(uint8_t vector)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < m->cpus->len; i++) {
        if (lapic_pending_vector(apic(i)) == vector) {
            lapic_ack(apic(i));
            finish(apic(i));
            mask |= 1 << i;
        }
    }
    return mask;
}

static void test_destinations(void)
{
    setup();
    apic_bus_deliver(2, false, APIC_DM_FIXED, 0x70, false);
    g_assert_cmphex(receivers(0x70), ==, 4);
    apic_bus_deliver(0xff, false, APIC_DM_FIXED, 0x70, false);
    g_assert_cmphex(receivers(0x70), ==, 0xf);
    /* Flat logical. */
    for (unsigned i = 0; i < 4; i++) {
        lapic_mmio_write(apic(i), LDR, (1u << i) << 24);
    }
    apic_bus_deliver(0x5, true, APIC_DM_FIXED, 0x71, false);
    g_assert_cmphex(receivers(0x71), ==, 5);
    /* Cluster logical: cluster 2, members 0 and 1. */
    for (unsigned i = 0; i < 4; i++) {
        lapic_mmio_write(apic(i), DFR, 0x0fffffff);
        lapic_mmio_write(apic(i), LDR, ((i / 2 + 1) << 4 | 1 << (i % 2))
                                       << 24);
    }
    apic_bus_deliver(0x23, true, APIC_DM_FIXED, 0x72, false);
    g_assert_cmphex(receivers(0x72), ==, 0xc);
    /* Lowest priority takes one, the one least busy. */
    lapic_mmio_write(apic(0), TPR, 0x20);
    lapic_mmio_write(apic(2), TPR, 0x10);
    lapic_mmio_write(apic(3), TPR, 0x20);
    lapic_mmio_write(apic(1), TPR, 0x20);
    apic_bus_deliver(0xff, false, APIC_DM_LOWEST, 0x73, false);
    g_assert_cmphex(receivers(0x73), ==, 4);
    /* MSI. */
    msi_send(0xfee01000, 0x74);
    g_assert_cmphex(receivers(0x74), ==, 2);
}

static void ipi(unsigned from, uint32_t dest, uint32_t low)
{
    lapic_mmio_write(apic(from), ICR2, dest << 24);
    lapic_mmio_write(apic(from), ICR, low);
}

static void test_ipi(void)
{
    setup();
    ipi(0, 3, 0x80);
    g_assert_cmphex(receivers(0x80), ==, 8);
    ipi(1, 0, 1 << 18 | 0x80);
    g_assert_cmphex(receivers(0x80), ==, 2);
    ipi(1, 0, 2 << 18 | 0x80);
    g_assert_cmphex(receivers(0x80), ==, 0xf);
    ipi(1, 0, 3 << 18 | 0x80);
    g_assert_cmphex(receivers(0x80), ==, 0xd);
    ipi(0, 1, 4 << 8);
    g_assert_true(cpu_pending(cpu(1)) & CPU_PEND_NMI);
    ipi(0, 1, 1 << 15 | 1 << 14 | 5 << 8);
    g_assert_true(cpu_pending(cpu(1)) & CPU_PEND_INIT);
    ipi(0, 2, 1 << 15 | 5 << 8);            /* de-assert: nothing */
    g_assert_false(cpu_pending(cpu(2)) & CPU_PEND_INIT);
    ipi(0, 1, 6 << 8 | 0x9a);
    g_assert_cmphex(cpu(1)->sipi_vector, ==, 0x9a);
    cpu_do_init_sipi(cpu(1));
    g_assert_cmphex(cpu(1)->state->seg[SEG_CS].base, ==, 0x9a000);
    g_assert_cmphex(cpu(1)->state->seg[SEG_CS].selector, ==, 0x9a00);
    g_assert_false(cpu(1)->state->wait_sipi);
    /* A second SIPI is ignored. */
    ipi(0, 1, 6 << 8 | 0x10);
    cpu_do_init_sipi(cpu(1));
    g_assert_cmphex(cpu(1)->state->seg[SEG_CS].base, ==, 0x9a000);
    /* Vectors below 16 are errors, latched by a write of ESR. */
    lapic_mmio_write(apic(0), LVTERR, 0xe1);
    ipi(0, 1, 0x05);
    g_assert_cmphex(lapic_pending_vector(apic(0)), ==, 0xe1);
    g_assert_cmphex(lapic_mmio_read(apic(0), ESR), ==, 0);
    lapic_mmio_write(apic(0), ESR, 0);
    g_assert_cmphex(lapic_mmio_read(apic(0), ESR), ==, 0x20);
}

static void test_lint(void)
{
    setup();
    g_assert_true(lapic_accepts_extint(apic(0)));
    g_assert_false(lapic_accepts_extint(apic(1)));
    lapic_set_lint(apic(0), 0, 1);
    g_assert_true(cpu_pending(cpu(0)) & CPU_PEND_EXTINT);
    lapic_mmio_write(apic(0), LINT0, MASKED | 7 << 8);
    g_assert_false(cpu_pending(cpu(0)) & CPU_PEND_EXTINT);
    lapic_mmio_write(apic(0), LINT0, 7 << 8);
    g_assert_true(cpu_pending(cpu(0)) & CPU_PEND_EXTINT);
    lapic_set_lint(apic(0), 0, 0);
    g_assert_false(cpu_pending(cpu(0)) & CPU_PEND_EXTINT);
    /* Fixed mode: an edge becomes its vector. */
    lapic_mmio_write(apic(0), LINT0, 0x90);
    lapic_set_lint(apic(0), 0, 1);
    g_assert_cmphex(receivers(0x90), ==, 1);
    lapic_set_lint(apic(0), 1, 1);
    g_assert_true(cpu_pending(cpu(0)) & CPU_PEND_NMI);
    lapic_set_lint(apic(0), 0, 0);
}

/* The timers have a thread of their own: wait for what they do. */
static int wait_vector(Lapic *a)
{
    for (unsigned i = 0; i < 2000 && lapic_pending_vector(a) < 0; i++) {
        g_usleep(1000);
    }
    return lapic_pending_vector(a);
}

static void test_timer(void)
{
    Lapic *a = apic(0);
    uint64_t v;

    setup();
    clock_start();
    lapic_mmio_write(a, TDCR, 0xb);                 /* by 1 */
    lapic_mmio_write(a, LVTT, 0xa0);
    lapic_mmio_write(a, TICR, 1000000);
    g_assert_cmpuint(lapic_mmio_read(a, TCCR), <=, 1000000);
    g_assert_cmphex(wait_vector(a), ==, 0xa0);
    g_assert_cmphex(receivers(0xa0), ==, 1);
    g_assert_cmpuint(lapic_mmio_read(a, TCCR), ==, 0);
    /* Periodic. */
    lapic_mmio_write(a, LVTT, 1 << 17 | 0xa1);
    lapic_mmio_write(a, TICR, 1000000);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(wait_vector(a), ==, 0xa1);
        receivers(0xa1);
    }
    lapic_mmio_write(a, TICR, 0);
    receivers(0xa1);
    /* Deadline. */
    lapic_mmio_write(a, LVTT, 2 << 17 | 0xa2);
    g_assert_true(cpu_wrmsr(cpu(0), 0x6e0, cpu_read_tsc(cpu(0)) + 1000000));
    g_assert_true(cpu_rdmsr(cpu(0), 0x6e0, &v));
    g_assert_cmphex(wait_vector(a), ==, 0xa2);
    g_assert_true(cpu_rdmsr(cpu(0), 0x6e0, &v));
    g_assert_cmpuint(v, ==, 0);
    g_assert_cmpuint(lapic_mmio_read(a, TICR), ==, 0);
    receivers(0xa2);
    /* One that has passed fires at once. */
    g_assert_true(cpu_wrmsr(cpu(0), 0x6e0, cpu_read_tsc(cpu(0))));
    g_assert_cmphex(receivers(0xa2), ==, 1);
    g_assert_true(cpu_rdmsr(cpu(0), 0x6e0, &v));
    g_assert_cmpuint(v, ==, 0);
    clock_stop();
}

/* A change of mode neither restarts a count nor brings an ended one back. */
static void test_timer_modes(void)
{
    Lapic *a = apic(0);
    uint32_t half = 10000000;

    setup();
    clock_start();
    lapic_mmio_write(a, TDCR, 0xb);
    lapic_mmio_write(a, LVTT, 0xa3);
    lapic_mmio_write(a, TICR, 2 * half);
    while (lapic_mmio_read(a, TCCR) > half) {
        g_usleep(1000);
    }
    lapic_mmio_write(a, LVTT, 1 << 17 | 0xa3);
    g_assert_cmpuint(lapic_mmio_read(a, TCCR), <=, half);
    g_assert_cmphex(wait_vector(a), ==, 0xa3);
    receivers(0xa3);
    lapic_mmio_write(a, LVTT, 0xa3);
    g_assert_cmpuint(lapic_mmio_read(a, TCCR), >, 0);
    g_assert_cmphex(wait_vector(a), ==, 0xa3);
    receivers(0xa3);
    g_assert_cmpuint(lapic_mmio_read(a, TCCR), ==, 0);
    lapic_mmio_write(a, LVTT, 1 << 17 | 0xa3);
    g_usleep(1000);
    g_assert_cmpuint(lapic_mmio_read(a, TCCR), ==, 0);
    g_assert_cmpuint(lapic_mmio_read(a, TICR), ==, 2 * half);
    lapic_mmio_write(a, TICR, 0);
    receivers(0xa3);
    clock_stop();
}

static void test_base(void)
{
    X86Cpu *c = cpu(1);
    uint64_t v;

    setup();
    g_assert_true(cpu_rdmsr(c, 0x1b, &v));
    g_assert_false(cpu_wrmsr(c, 0x1b, v | 1));
    g_assert_false(cpu_wrmsr(c, 0x1b, v | BIT64(cpu_phys_bits(c))));
    g_assert_true(cpu_wrmsr(c, 0x1b, v ^ 0x100000));
    g_assert_cmphex(lapic_base_gpa(c->apic), ==, 0xfef00000);
    /* An id that was written is forgotten with the rest. */
    lapic_mmio_write(c->apic, ID, 0x7f000000);
    g_assert_cmphex(lapic_mmio_read(c->apic, ID), ==, 0x7f000000);
    g_assert_true(cpu_wrmsr(c, 0x1b, v & ~UINT64_C(0x800)));
    g_assert_true(cpu_wrmsr(c, 0x1b, v));
    g_assert_cmphex(lapic_mmio_read(c->apic, ID), ==, 0x01000000);
    g_assert_cmphex(lapic_mmio_read(c->apic, SVR), ==, 0xff);
}

/* One to take and one that is latched, not more. */
static void test_nmi(void)
{
    X86Cpu *c = cpu(2);

    setup();
    for (unsigned i = 0; i < 3; i++) {
        ipi(0, 2, 4 << 8);
    }
    g_assert_true(cpu_take_nmi(c));
    g_assert_true(cpu_pending(c) & CPU_PEND_NMI);
    ipi(0, 2, 4 << 8);          /* while the first is handled */
    cpu_merge_nmis(c);
    g_assert_true(cpu_take_nmi(c));
    g_assert_false(cpu_pending(c) & CPU_PEND_NMI);
    g_assert_false(cpu_take_nmi(c));
}

static void test_x2apic(void)
{
    X86Cpu *c = cpu(1);
    uint64_t v;

    setup();
    g_assert_false(cpu_rdmsr(c, 0x802, &v));
    g_assert_true(cpu_rdmsr(c, 0x1b, &v));
    g_assert_false(cpu_wrmsr(c, 0x1b, (v & ~0x800u) | 0x400));
    g_assert_true(cpu_wrmsr(c, 0x1b, v | 0x400));
    g_assert_cmphex(lapic_base_gpa(c->apic), ==, UINT64_MAX);
    g_assert_true(cpu_rdmsr(c, 0x802, &v));
    g_assert_cmphex(v, ==, 1);
    g_assert_true(cpu_rdmsr(c, 0x80d, &v));
    g_assert_cmphex(v, ==, 2);
    g_assert_false(cpu_rdmsr(c, 0x80e, &v));        /* no DFR */
    g_assert_false(cpu_wrmsr(c, 0x802, 5));         /* read-only */
    g_assert_false(cpu_wrmsr(c, 0x80b, 1));         /* EOI takes 0 */
    g_assert_true(cpu_wrmsr(c, 0x83f, 0xb0));       /* self IPI */
    g_assert_cmphex(lapic_ack(c->apic), ==, 0xb0);
    g_assert_true(cpu_wrmsr(c, 0x80b, 0));
    g_assert_true(cpu_wrmsr(c, 0x830, UINT64_C(3) << 32 | 0xb1));
    g_assert_cmphex(receivers(0xb1), ==, 8);
    /* Back to xAPIC only through disabled. */
    g_assert_true(cpu_rdmsr(c, 0x1b, &v));
    g_assert_false(cpu_wrmsr(c, 0x1b, v & ~0x400u));
    g_assert_true(cpu_wrmsr(c, 0x1b, v & ~0xc00u));
    g_assert_true(cpu_wrmsr(c, 0x1b, (v & ~0xc00u) | 0x800));
    g_assert_cmphex(lapic_base_gpa(c->apic), ==, 0xfee00000);
}

static void test_state(void)
{
    g_autoptr(GByteArray) one = g_byte_array_new(), two = g_byte_array_new();
    const uint8_t *data;
    size_t len;

    setup();
    apic_bus_deliver(0, false, APIC_DM_FIXED, 0xc1, true);
    lapic_mmio_write(apic(0), TPR, 0x20);
    state_save(&lapic_state, apic(0), one);
    lapic_reset(apic(0), false);
    data = one->data;
    len = one->len;
    g_assert_true(state_load(&lapic_state, apic(0), &data, &len, NULL));
    lapic_update(apic(0));
    state_save(&lapic_state, apic(0), two);
    g_assert_cmpmem(one->data, one->len, two->data, two->len);
    g_assert_cmphex(lapic_pending_vector(apic(0)), ==, 0xc1);
    /* A whole vCPU's state likewise. */
    g_byte_array_set_size(one, 0);
    g_byte_array_set_size(two, 0);
    memset(cpu(0)->state, 0x5a, sizeof(X86State) - 16);
    cpu(0)->state->smm = cpu(0)->state->nmi_blocked = true;
    cpu(0)->state->smm_nmi_blocked = true;
    cpu(0)->state->halted = cpu(0)->state->wait_sipi = true;
    state_save(cpu_state_table(), cpu(0)->state, one);
    cpu_reset_state(cpu(0), false);
    data = one->data;
    len = one->len;
    g_assert_true(state_load(cpu_state_table(), cpu(0)->state, &data, &len,
                             NULL));
    state_save(cpu_state_table(), cpu(0)->state, two);
    g_assert_cmpmem(one->data, one->len, two->data, two->len);
    cpu_reset_state(cpu(0), false);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    m = fake_machine_new(4);
    g_test_add_func("/lapic/registers", test_registers);
    g_test_add_func("/lapic/priority", test_priority);
    g_test_add_func("/lapic/level", test_level);
    g_test_add_func("/lapic/destinations", test_destinations);
    g_test_add_func("/lapic/ipi", test_ipi);
    g_test_add_func("/lapic/lint", test_lint);
    g_test_add_func("/lapic/timer", test_timer);
    g_test_add_func("/lapic/timer-modes", test_timer_modes);
    g_test_add_func("/lapic/base", test_base);
    g_test_add_func("/lapic/nmi", test_nmi);
    g_test_add_func("/lapic/x2apic", test_x2apic);
    g_test_add_func("/lapic/state", test_state);
    status = g_test_run();
    machine_unlock();
    cpus_destroy(m);
    return status;
}
