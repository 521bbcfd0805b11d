/*
 * KVM: guest debugging.
 *
 * KVM steps by RFLAGS.TF and stops at addresses by the processor's debug
 * registers, and hides both from the guest's state.  Which TF is its own it
 * knows by the RIP at the time of the request, so the registers are written
 * first.  Where an instruction is executed here (rescue.c), so is its step.
 *
 * A #DB that is none of the debugger's goes to the guest.
 *
 * Spec:  Documentation/virt/kvm/api.rst 4.87 (KVM_SET_GUEST_DEBUG); Intel SDM
 *        volume 3B 18.2 (debug registers).
 * Locks: the vCPU's thread, or whoever stopped it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm.h"

#include <errno.h>

#include "base/trace.h"

enum {
    DR6_BREAKS = 0xf, DR6_BS = 1 << 14,
    DR7_GE = 1 << 9, DR7_FIXED = 1 << 10,
};

static uint64_t dr7_of(const CpuDebug *d)
{
    /* By kind, and by bytes: SDM 18.2.4. */
    static const uint8_t rw[] = { 0, 1, 3 };
    static const uint8_t len[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
    uint64_t dr7 = DR7_GE | DR7_FIXED;

    for (unsigned i = 0; i < d->n_breaks; i++) {
        uint64_t control = rw[d->breaks[i].kind]
                           | len[d->breaks[i].bytes] << 2;

        dr7 |= 2 << 2 * i | control << (16 + 4 * i);
    }
    return dr7;
}

static int tell(KvmCpu *k, uint32_t more)
{
    /* A debugger's, or our own: see strings.c. */
    const CpuDebug *d = k->debugging ? &k->debug : &k->strings.debug;
    struct kvm_guest_debug g = { .control = more };

    k->strings.changed = false;
    if (k->debugging || d->n_breaks) {
        g.control |= KVM_GUESTDBG_ENABLE
                     | (d->step ? KVM_GUESTDBG_SINGLESTEP : 0)
                     | (d->int3 ? KVM_GUESTDBG_USE_SW_BP : 0)
                     | (d->n_breaks ? KVM_GUESTDBG_USE_HW_BP : 0);
    }
    if (d->n_breaks) {
        for (unsigned i = 0; i < d->n_breaks; i++) {
            g.arch.debugreg[i] = d->breaks[i].gva;
        }
        g.arch.debugreg[7] = dr7_of(d);
    }
    return kvm_do(k->fd, KVM_SET_GUEST_DEBUG, &g);
}

static bool check(const CpuDebug *d, GError **err)
{
    if (!kvm_check(KVM_CAP_SET_GUEST_DEBUG)) {
        return kvm_fail(err, -ENOSYS, "this kernel cannot debug guests");
    }
    for (unsigned i = 0; i < d->n_breaks; i++) {
        unsigned bytes = d->breaks[i].bytes;

        if (!bytes || bytes > 8 || bytes & (bytes - 1)
            || d->breaks[i].gva & (bytes - 1)) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "KVM: cannot watch %u bytes at 0x%" PRIx64 ": 1, 2, 4 "
                        "or 8 of them, aligned, are wanted", bytes,
                        d->breaks[i].gva);
            return false;
        }
        /* Their interpreters look at addresses of code alone. */
        if (kvm.software && d->breaks[i].kind != CPU_BREAK_EXEC) {
            return kvm_fail(err, -ENOTSUP, "this host's KVM interprets the "
                            "guest's kernel and cannot watch data");
        }
    }
    return true;
}

bool kvm_set_debug(X86Cpu *cpu, const CpuDebug *want, GError **err)
{
    KvmCpu *k = kvm_cpu(cpu);
    CpuDebug old = k->debug;
    bool was_debugging = k->debugging;
    int result;

    g_assert(want->n_breaks <= CPU_N_BREAKS);
    if (!check(want, err)) {
        return false;
    }
    k->debug = *want;
    k->debugging = want->step || want->int3 || want->n_breaks;
    result = tell(k, 0);
    if (result < 0) {
        k->debug = old;
        k->debugging = was_debugging;
        return kvm_fail(err, result, "cannot debug the guest");
    }
    k->pass_int3 = want->deliver_int3 && k->stopped_in_rescue;
    return true;
}

bool kvm_debug_enter(KvmCpu *k)
{
    bool inject = k->debug.deliver_int3 && !k->stopped_in_rescue;
    int result;

    k->debug.deliver_int3 = false;
    result = tell(k, inject ? KVM_GUESTDBG_INJECT_BP : 0);
    errno = -result;
    return result >= 0;
}

CpuRun kvm_debug_stop(KvmCpu *k, int why, unsigned n)
{
    trace("kvm-debug-stop", "cpu %u why %d n %u", k->cpu->index, why, n);
    k->cpu->debug_stop = (CpuDebugStop) { .why = why, .n = n };
    return CPU_RUN_DEBUG;
}

/* By the guest's own TF, debug registers or INT1. */
static CpuRun give_to_guest(KvmCpu *k, uint64_t dr6)
{
    if (!kvm_get(k, PART_EVENTS | PART_DEBUG)) {
        kvm_report(k->cpu, "a debug exception of the guest's, on a state that "
                   "KVM does not give");
        return CPU_RUN_ERROR;
    }
    k->cpu->state->dr[6] = dr6;
    k->events.exception.injected = 1;
    k->events.exception.pending = 0;
    k->events.exception.nr = EXC_DB;
    k->events.exception.has_error_code = 0;
    k->dirty |= PART_EVENTS | PART_DEBUG;
    return CPU_RUN_EXIT;
}

CpuRun kvm_debug_exit(KvmCpu *k)
{
    const struct kvm_debug_exit_arch *a = &k->run->debug.arch;
    unsigned hit = a->dr6 & DR6_BREAKS;

    k->stopped_in_rescue = false;
    if (hit && !k->debugging) {
        return kvm_strings_stop(k);
    }
    if (a->exception == EXC_BP) {
        return kvm_debug_stop(k, CPU_STOP_INT3, 0);
    }
    if (hit && (unsigned)__builtin_ctz(hit) < k->debug.n_breaks) {
        return kvm_debug_stop(k, CPU_STOP_BREAK, __builtin_ctz(hit));
    }
    if (a->dr6 & DR6_BS && k->debug.step) {
        return kvm_debug_stop(k, CPU_STOP_STEP, 0);
    }
    return give_to_guest(k, a->dr6);
}
