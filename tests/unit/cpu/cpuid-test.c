/*
 * -cpu texts, models, CPUID leaves, MSRs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fake-accel.h"

#include "../../../src/cpu/models.h"

static Machine *m;

static X86Cpu *with_model(const char *text)
{
    X86Cpu *cpu = g_ptr_array_index(m->cpus, 0);
    CpuModel *model = cpu_model_new(text, &fake_accel, NULL);

    g_assert_nonnull(model);
    cpu_model_free(cpu->model);
    cpu->model = model;
    cpu_reset_state(cpu, false);
    return cpu;
}

static void refused(const char *text, const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(cpu_model_new(text, &fake_accel, &err));
    g_assert_cmpstr(err->message, ==, message);
}

static void test_text(void)
{
    X86Cpu *cpu = with_model("qemu64,+avx2,-sse2,pcid=on,x2apic=off");

    g_assert_true(cpu_has(cpu, FEAT_AVX2));
    g_assert_false(cpu_has(cpu, FEAT_SSE2));
    g_assert_true(cpu_has(cpu, FEAT_PCID));
    g_assert_false(cpu_has(cpu, FEAT_X2APIC));
    cpu = with_model("max,-avx512f,sse4_1=off,vendor=AuthenticAMD");
    g_assert_false(cpu_has(cpu, FEAT_AVX512F));
    g_assert_false(cpu_has(cpu, FEAT_SSE4_1));
    with_model("host");
    with_model("Haswell-v4");
    g_assert_true(cpu_has(with_model("Nehalem-IBRS"), FEAT_SPEC_CTRL));
    g_assert_false(cpu_has(with_model("Nehalem"), FEAT_SPEC_CTRL));
    g_assert_true(cpu_has(with_model("Nehalem-v2"), FEAT_SPEC_CTRL));
    cpu = with_model("Skylake-Server-noTSX-IBRS");
    g_assert_false(cpu_has(cpu, FEAT_RTM));
    g_assert_true(cpu_has(cpu, FEAT_SPEC_CTRL));
    g_assert_true(cpu_has(with_model("Broadwell-v1"), FEAT_RTM));
    g_assert_false(cpu_has(with_model("Broadwell-v4"), FEAT_RTM));
    g_assert_true(cpu_has(with_model("EPYC-v2"), FEAT_IBPB));
    with_model("Opteron_G5");
    with_model("Dhyana-v1");
    refused("haswel", "unable to find CPU model 'haswel'; did you mean "
            "'Haswell'?");
    refused("max,+avx3", "-cpu max,+avx3: unknown feature 'avx3'; did you "
            "mean 'avx'?");
    refused("max,avx2=maybe", "-cpu max,avx2=maybe: feature 'avx2' cannot be "
            "'maybe': on or off is wanted");
}

static void test_all_models(void)
{
    uint32_t r[4];

    for (const ModelRow *row = cpu_model_rows; row->name; row++) {
        X86Cpu *cpu = with_model(row->name);
        unsigned family, model;

        cpu_cpuid(cpu, 0, 0, r);
        g_assert_cmphex(r[0], ==, row->level);
        if (row->level == 0) {
            continue;
        }
        cpu_cpuid(cpu, 1, 0, r);
        family = (r[0] >> 8 & 0xf) + ((r[0] >> 8 & 0xf) == 0xf
                                      ? r[0] >> 20 & 0xff : 0);
        model = (r[0] >> 4 & 0xf) | (r[0] >> 12 & 0xf0);
        g_assert_cmpuint(family, ==, row->family);
        g_assert_cmpuint(model, ==, row->model);
        g_assert_cmphex(cpu->state->gpr[R_RDX], ==, r[0]);
        /* The brand string is ended. */
        if (row->xlevel >= 0x80000004) {
            cpu_cpuid(cpu, 0x80000004, 0, r);
            g_assert_cmphex(r[3] >> 24, ==, 0);
        }
    }
}

/* Programs that go by the model rather than by features would take features
 * for granted that an emulated "max" has not. */
static void test_max_is_nobody(void)
{
    const ModelRow *max = cpu_model_rows;

    while (strcmp(max->name, "max") != 0) {
        max++;
    }
    for (const ModelRow *row = cpu_model_rows; row->name; row++) {
        g_assert_true(row == max || row->family != max->family
                      || row->model != max->model);
    }
}

static void test_dynamic(void)
{
    X86Cpu *cpu = with_model("max");
    uint32_t r[4];

    cpu_cpuid(cpu, 1, 0, r);
    g_assert_false(r[2] & BIT(27));
    cpu->state->cr4 |= CR4_OSXSAVE;
    cpu_cpuid(cpu, 1, 0, r);
    g_assert_true(r[2] & BIT(27));
    g_assert_true(r[2] & BIT(31));
    g_assert_true(r[3] & BIT(9));
    g_assert_true(cpu_wrmsr(cpu, 0x1b, 0xfee00000));
    cpu_cpuid(cpu, 1, 0, r);
    g_assert_false(r[3] & BIT(9));
    machine_reset(m);
    /* XSAVE sizes follow XCR0. */
    cpu->state->xcr0 = 3;
    cpu_cpuid(cpu, 0xd, 0, r);
    g_assert_cmpuint(r[1], ==, 576);
    cpu->state->xcr0 = 7;
    cpu_cpuid(cpu, 0xd, 0, r);
    g_assert_cmpuint(r[1], ==, 832);
    /* Beyond the last leaf: the last one's answer. */
    cpu = with_model("pentium3");
    cpu_cpuid(cpu, 0x20, 0, r);
    g_assert_cmphex(r[0], ==, 0);
    cpu = with_model("max,hypervisor=off");
    cpu_cpuid(cpu, 0x40000000, 0, r);
    g_assert_cmphex(r[0], ==, 0);
}

static void test_topology(void)
{
    const CpuTopology t = { 12, 12, 2, 1, 3, 2 };

    /* 3 cores take two bits, 2 threads one. */
    g_assert_cmpuint(cpu_topology_apic_id(&t, 0), ==, 0);
    g_assert_cmpuint(cpu_topology_apic_id(&t, 1), ==, 1);
    g_assert_cmpuint(cpu_topology_apic_id(&t, 5), ==, 5);
    g_assert_cmpuint(cpu_topology_apic_id(&t, 6), ==, 8);
    g_assert_cmpuint(cpu_topology_apic_id(&t, 11), ==, 13);
}

static void test_msrs(void)
{
    X86Cpu *cpu = with_model("max");
    uint64_t v;

    g_assert_true(cpu_wrmsr(cpu, 0x277, UINT64_C(0x0007040600070406)));
    g_assert_false(cpu_wrmsr(cpu, 0x277, 2));           /* no such type */
    g_assert_true(cpu_rdmsr(cpu, 0x277, &v));
    g_assert_cmphex(v, ==, UINT64_C(0x0007040600070406));
    g_assert_true(cpu_wrmsr(cpu, 0x250, UINT64_C(0x0606060606060606)));
    g_assert_false(cpu_wrmsr(cpu, 0x250, 7));
    g_assert_false(cpu_wrmsr(cpu, 0x2ff, 0x1000));
    g_assert_false(cpu_wrmsr(cpu, 0x201, 1));
    g_assert_false(cpu_rdmsr(cpu, 0x12345, &v));
    g_assert_false(cpu_wrmsr(cpu, 0x12345, 0));
    /* TSC_ADJUST follows the TSC. */
    g_assert_true(cpu_wrmsr(cpu, 0x3b, 0));
    v = cpu_read_tsc(cpu);
    g_assert_true(cpu_wrmsr(cpu, 0x3b, 1000000));
    g_assert_cmpuint(cpu_read_tsc(cpu) - v, >=, 1000000);
    g_assert_true(cpu_wrmsr(cpu, 0x10, 0));
    g_assert_true(cpu_rdmsr(cpu, 0x3b, &v));
    g_assert_cmpint((int64_t)v, <=, 1000000);
    /* Machine check banks: status may only be cleared. */
    g_assert_true(cpu_wrmsr(cpu, 0x401, 0));
    g_assert_false(cpu_wrmsr(cpu, 0x401, 1));
    g_assert_false(cpu_wrmsr(cpu, 0x400, 1));
}

/* MSRs come with their features, and with a switch all are there. */
static void test_msr_features(void)
{
    X86Cpu *cpu = with_model("486");
    uint64_t val = 1;

    g_assert_false(cpu_rdmsr(cpu, 0xfe, &val));         /* MTRRs */
    g_assert_false(cpu_rdmsr(cpu, 0x200, &val));
    g_assert_false(cpu_wrmsr(cpu, 0x277, 0));           /* PAT */
    g_assert_false(cpu_rdmsr(cpu, 0x179, &val));        /* MCA */
    cpu = with_model("max");
    g_assert_true(cpu_wrmsr(cpu, 0x200, 6));
    g_assert_false(cpu_wrmsr(cpu, 0x200, BIT64(45)));   /* beyond 40 bits */
    g_assert_false(cpu_wrmsr(cpu, 0x200, 2));           /* no such type */
    g_assert_false(cpu_wrmsr(cpu, 0x3a, 0x100));
    g_assert_true(cpu_wrmsr(cpu, 0x3a, 1));
    g_assert_false(cpu_wrmsr(cpu, 0x3a, 1));            /* locked */
    g_assert_true(cpu_wrmsr(cpu, 0xe7, 0));             /* MPERF counts on */
    g_assert_true(cpu_rdmsr(cpu, 0xe7, &val));
    g_assert_cmpuint(val, <, UINT64_C(1) << 62);
    g_assert_false(cpu_rdmsr(cpu, 0x9e, &val));         /* SMBASE: in SMM */
    cpu->state->smm = true;
    g_assert_true(cpu_rdmsr(cpu, 0x9e, &val));
    g_assert_cmphex(val, ==, 0x30000);
    cpu->state->smm = false;
    g_assert_false(cpu_rdmsr(cpu, 0x12345, &val));
    cpu_ignore_msrs = true;
    val = 5;
    g_assert_true(cpu_rdmsr(cpu, 0x12345, &val));
    g_assert_cmphex(val, ==, 0);
    g_assert_true(cpu_wrmsr(cpu, 0x12345, 1));
    g_assert_false(cpu_wrmsr(cpu, 0x277, 2));           /* a wrong value */
    cpu_ignore_msrs = false;
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    m = fake_machine_new(1);
    g_test_add_func("/cpuid/text", test_text);
    g_test_add_func("/cpuid/models", test_all_models);
    g_test_add_func("/cpuid/max", test_max_is_nobody);
    g_test_add_func("/cpuid/dynamic", test_dynamic);
    g_test_add_func("/cpuid/topology", test_topology);
    g_test_add_func("/cpuid/msrs", test_msrs);
    g_test_add_func("/cpuid/msr-features", test_msr_features);
    status = g_test_run();
    machine_unlock();
    cpus_destroy(m);
    return status;
}
