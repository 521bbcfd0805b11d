/*
 * KVM: model-specific registers.  Those that X86State has go there; all others
 * that KVM names and lets us write stay in KvmCpu and go back with them.
 *
 * Spec:  Documentation/virt/kvm/api.rst 4.18, 4.19; msr.rst (KVM's own).
 * Locks: the vCPU's thread, or whoever stopped it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm.h"

#include "base/trace.h"

enum {
    MSR_TSC = 0x10, MSR_KVM_WALL_CLOCK_OLD = 0x11,
    MSR_KVM_SYSTEM_TIME_OLD = 0x12, MSR_TSC_ADJUST = 0x3b,
    MSR_MTRR_BASE0 = 0x200, MSR_MC0_CTL = 0x400,
    MSR_HYPERV_FIRST = 0x40000000, MSR_HYPERV_LAST = 0x400001ff,
};

#define ROW(msr, field) { msr, offsetof(X86State, field) }
static const struct {
    uint32_t msr;
    uint16_t offset;            /* of a uint64_t in X86State */
} rows[] = {
    ROW(0x174, sysenter_cs), ROW(0x175, sysenter_esp),
    ROW(0x176, sysenter_eip), ROW(0xc0000081, star), ROW(0xc0000082, lstar),
    ROW(0xc0000083, cstar), ROW(0xc0000084, sfmask),
    ROW(0xc0000102, kernel_gs_base), ROW(0xc0000103, tsc_aux),
    ROW(MSR_TSC_ADJUST, tsc_adjust), ROW(0x277, pat),
    ROW(0x1a0, misc_enable), ROW(0xda0, ia32_xss),
    ROW(0x3a, feature_control), ROW(0x48, spec_ctrl), ROW(0x1d9, debugctl),
    ROW(0x17a, mcg_status), ROW(0x17b, mcg_ctl), ROW(0x9e, smbase),
    ROW(0x140, misc_features), ROW(0x34, smi_count),
    ROW(0x4b564d00, kvm_wall_clock), ROW(0x4b564d01, kvm_system_time),
    ROW(0x2ff, mtrr_def_type),
    ROW(0x250, mtrr_fixed[0]), ROW(0x258, mtrr_fixed[1]),
    ROW(0x259, mtrr_fixed[2]), ROW(0x268, mtrr_fixed[3]),
    ROW(0x269, mtrr_fixed[4]), ROW(0x26a, mtrr_fixed[5]),
    ROW(0x26b, mtrr_fixed[6]), ROW(0x26c, mtrr_fixed[7]),
    ROW(0x26d, mtrr_fixed[8]), ROW(0x26e, mtrr_fixed[9]),
    ROW(0x26f, mtrr_fixed[10]),
};
#undef ROW

enum { N_ROWS = G_N_ELEMENTS(rows),
       N_MSRS_MAX = N_ROWS + 2 * MTRR_N_VAR + 4 * MCE_N_BANKS + N_EXTRA_MSRS
                    + 4 };

static uint64_t *field(X86State *s, unsigned row)
{
    return (uint64_t *)((char *)s + rows[row].offset);
}

bool kvm_read_msrs(KvmCpu *k, const uint32_t *index, uint64_t *val,
                   unsigned n)
{
    g_assert(n <= N_MSRS_MAX);
    k->msr_buf->nmsrs = n;
    for (unsigned i = 0; i < n; i++) {
        k->msr_buf->entries[i] = (struct kvm_msr_entry) { .index = index[i] };
    }
    if (kvm_do(k->fd, KVM_GET_MSRS, k->msr_buf) != (int)n) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        val[i] = k->msr_buf->entries[i].data;
    }
    return true;
}

/* Which MSRs this kernel lets us read, found out on the first vCPU. */
static bool row_ok[N_ROWS];
static bool mtrr_ok, mce_ok, probed;
/* Those that only KVM knows and lets us write, and what they begin with. */
static uint32_t extras[N_EXTRA_MSRS];
static uint64_t extras_reset[N_EXTRA_MSRS];
static unsigned n_extras;

/* Not state, or somebody else's: counters that run, what rows and ranges have,
 * Hyper-V's, which no guest is offered. */
static bool is_carried_elsewhere(uint32_t msr)
{
    for (unsigned i = 0; i < N_ROWS; i++) {
        if (rows[i].msr == msr) {
            return true;
        }
    }
    return msr == MSR_TSC || msr == MSR_TSC_DEADLINE
           || msr == MSR_KVM_WALL_CLOCK_OLD || msr == MSR_KVM_SYSTEM_TIME_OLD
           || msr - MSR_MTRR_BASE0 < 2 * MTRR_N_VAR
           || msr - MSR_MC0_CTL < 4 * MCE_N_BANKS
           || (msr >= MSR_HYPERV_FIRST && msr <= MSR_HYPERV_LAST);
}

bool kvm_get_msr(KvmCpu *k, uint32_t msr, uint64_t *val)
{
    return kvm_read_msrs(k, &msr, val, 1);
}

bool kvm_set_msr(KvmCpu *k, uint32_t msr, uint64_t val)
{
    k->msr_buf->nmsrs = 1;
    k->msr_buf->entries[0] = (struct kvm_msr_entry) { .index = msr,
                                                      .data = val };
    return kvm_do(k->fd, KVM_SET_MSRS, k->msr_buf) == 1;
}

static void probe_msrs(KvmCpu *k)
{
    uint64_t val;

    if (probed) {
        return;
    }
    probed = true;
    for (unsigned i = 0; i < N_ROWS; i++) {
        row_ok[i] = kvm_get_msr(k, rows[i].msr, &val);
    }
    mtrr_ok = kvm_get_msr(k, MSR_MTRR_BASE0, &val);
    mce_ok = kvm.mce && kvm_get_msr(k, MSR_MC0_CTL, &val);
    for (unsigned i = 0; i < kvm.n_msrs && n_extras < N_EXTRA_MSRS; i++) {
        if (!is_carried_elsewhere(kvm.msrs[i])
            && kvm_get_msr(k, kvm.msrs[i], &val)
            && kvm_set_msr(k, kvm.msrs[i], val)) {
            extras[n_extras] = kvm.msrs[i];
            extras_reset[n_extras++] = val;
        }
    }
}

static void add_msr(KvmCpu *k, uint32_t msr, uint64_t val)
{
    k->msr_buf->entries[k->msr_buf->nmsrs++] =
        (struct kvm_msr_entry) { .index = msr, .data = val };
}

/* Everything but TSC and deadline, in the order in which take_msrs() reads. */
static void list_msrs(KvmCpu *k)
{
    X86State *s = k->cpu->state;

    k->msr_buf->nmsrs = 0;
    for (unsigned i = 0; i < N_ROWS; i++) {
        if (row_ok[i]) {
            add_msr(k, rows[i].msr, *field(s, i));
        }
    }
    for (unsigned i = 0; mtrr_ok && i < MTRR_N_VAR; i++) {
        add_msr(k, MSR_MTRR_BASE0 + 2 * i, s->mtrr_base[i]);
        add_msr(k, MSR_MTRR_BASE0 + 2 * i + 1, s->mtrr_mask[i]);
    }
    for (unsigned i = 0; mce_ok && i < MCE_N_BANKS * 4; i++) {
        add_msr(k, MSR_MC0_CTL + i, s->mce_bank[i / 4][i % 4]);
    }
    for (unsigned i = 0; i < n_extras; i++) {
        add_msr(k, extras[i], k->extra[i]);
    }
}

static void take_msrs(KvmCpu *k)
{
    const struct kvm_msr_entry *e = k->msr_buf->entries;
    X86State *s = k->cpu->state;

    for (unsigned i = 0; i < N_ROWS; i++) {
        if (row_ok[i]) {
            *field(s, i) = (e++)->data;
        }
    }
    for (unsigned i = 0; mtrr_ok && i < MTRR_N_VAR; i++) {
        s->mtrr_base[i] = (e++)->data;
        s->mtrr_mask[i] = (e++)->data;
    }
    for (unsigned i = 0; mce_ok && i < MCE_N_BANKS * 4; i++) {
        s->mce_bank[i / 4][i % 4] = (e++)->data;
    }
    for (unsigned i = 0; i < n_extras; i++) {
        k->extra[i] = (e++)->data;
    }
}

bool kvm_get_msrs(KvmCpu *k)
{
    unsigned n;

    list_msrs(k);
    n = k->msr_buf->nmsrs;
    if (kvm_do(k->fd, KVM_GET_MSRS, k->msr_buf) != (int)n) {
        return false;
    }
    take_msrs(k);
    return true;
}

/* A refused MSR stops the batch: say which, and go on behind it. */
bool kvm_put_msrs(KvmCpu *k)
{
    static bool told;
    unsigned n, done = 0;

    list_msrs(k);
    n = k->msr_buf->nmsrs;
    while (done < n) {
        int result = kvm_do(k->fd, KVM_SET_MSRS, k->msr_buf);

        if (result < 0) {
            return false;
        }
        done += result;
        if (done < n) {
            if (!told) {
                trace("kvm-msr-refused", "msr 0x%x",
                      k->msr_buf->entries[result].index);
                told = true;
            }
            done++;
            memmove(k->msr_buf->entries,
                    k->msr_buf->entries + result + 1,
                    (n - done) * sizeof(k->msr_buf->entries[0]));
            k->msr_buf->nmsrs = n - done;
        }
    }
    return true;
}

bool kvm_get_tsc(KvmCpu *k)
{
    uint64_t val;

    if (!kvm_get_msr(k, MSR_TSC, &val)) {
        return false;
    }
    cpu_write_tsc(k->cpu, val);
    return true;
}

bool kvm_put_tsc(KvmCpu *k)
{
    return kvm_set_msr(k, MSR_TSC, cpu_read_tsc(k->cpu));
}

void kvm_msrs_reset(KvmCpu *k)
{
    memcpy(k->extra, extras_reset, sizeof(k->extra));
}

void kvm_msrs_init(KvmCpu *k)
{
    k->msr_buf = g_malloc0(sizeof(struct kvm_msrs)
                           + N_MSRS_MAX * sizeof(struct kvm_msr_entry));
    probe_msrs(k);
    kvm_msrs_reset(k);
}

void kvm_msrs_free(KvmCpu *k)
{
    g_free(k->msr_buf);
}
