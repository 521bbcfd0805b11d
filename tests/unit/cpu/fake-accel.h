/*
 * An accelerator whose vCPUs only wait, with every feature, for unit tests of
 * what surrounds a processor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FAKE_ACCEL_H
#define FAKE_ACCEL_H

#include "cpu/cpu.h"
#include "cpu/features.h"
#include "cpu/lapic.h"

static bool fake_cpu_init(X86Cpu *cpu, GError **err)
{
    cpu->state = g_aligned_alloc0(1, sizeof(X86State), 64);
    return true;
}

static void fake_cpu_free(X86Cpu *cpu)
{
    g_aligned_free(cpu->state);
}

static void fake_features(uint32_t *words)
{
    memset(words, 0xff, N_FEATURE_WORDS * sizeof(*words));
}

static const AccelOps fake_accel = {
    .name = "fake", .doc = "vCPUs that only wait", .cpu_init = fake_cpu_init,
    .cpu_free = fake_cpu_free, .features = fake_features, .no_cpus = true,
};
ACCEL_TYPE(fake_accel)

static bool fake_board_init(Machine *m, GError **err)
{
    return cpus_create(m, err);
}

static const MachineType fake_machine = {
    .name = "fake", .doc = "vCPUs and nothing else", .max_cpus = 255,
    .default_cpu = "max", .size = sizeof(Machine), .init = fake_board_init,
};

/* A machine of `n` vCPUs; the caller holds the machine lock. */
static Machine *fake_machine_new(unsigned n)
{
    Machine *m = machine_new(&fake_machine);

    m->topo = (CpuTopology) { n, n, n, 1, 1, 1 };
    g_assert_true(accel_select(m, "fake", NULL, NULL));
    g_assert_true(machine_init(m, NULL));
    g_assert_true(machine_done(m, NULL));
    return m;
}

#endif
