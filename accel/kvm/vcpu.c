/*
 * KVM: a vCPU's life, what it is given on its way in, and running it.
 *
 * Attention: whoever sets a bit of cpu->pending then sets immediate_exit, and
 * sends a signal if the thread is in KVM_RUN.  The thread clears
 * immediate_exit, then reads `pending`, then says that it is in KVM_RUN: in
 * every order one of the two sees the other.
 *
 * An exit for I/O is not over until KVM has run again: it then stores what was
 * read and moves RIP.  Before anybody looks at the state, it runs with
 * immediate_exit set.
 *
 * Spec:  Documentation/virt/kvm/api.rst, section 5 (kvm_run).
 * Locks: the vCPU's thread; none held in KVM_RUN.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/qsbr.h"
#include "base/trace.h"

enum { FINISH_TRIES = 64 };

static int kick_signal(void)
{
    return SIGRTMIN + 1;
}

static void on_kick(int sig)
{
}

/* --- life --------------------------------------------------------------------------- */

static void catch_kicks(void)
{
    static bool done;
    struct sigaction action = { .sa_handler = on_kick };

    if (!done) {
        done = true;
        sigaction(kick_signal(), &action, NULL);
    }
}

static bool map_run(KvmCpu *k, GError **err)
{
    long page = sysconf(_SC_PAGESIZE);
    int at;

    k->run = mmap(NULL, kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                  k->fd, 0);
    if (k->run == MAP_FAILED) {
        k->run = NULL;
        return kvm_fail(err, -errno, "cannot map a vCPU");
    }
    at = kvm_check(KVM_CAP_COALESCED_MMIO);
    if (at && k->cpu->is_bsp) {
        kvm_set_posted_ring((char *)k->run + at * page);
    }
    if (kvm.ring_bytes) {
        k->ring = mmap(NULL, kvm.ring_bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED, k->fd, KVM_DIRTY_LOG_PAGE_OFFSET * page);
        if (k->ring == MAP_FAILED) {
            k->ring = NULL;
            return kvm_fail(err, -errno, "cannot map a dirty ring");
        }
    }
    return true;
}

static void setup_mce(KvmCpu *k)
{
    uint64_t cap = UINT64_C(1) << 8 | UINT64_C(1) << 24 | MCE_N_BANKS;

    if (kvm.mce) {
        kvm.mce = kvm_do(k->fd, KVM_X86_SETUP_MCE, &cap) >= 0;
    }
}

bool kvm_cpu_init(X86Cpu *cpu, GError **err)
{
    KvmCpu *k = g_new0(KvmCpu, 1);
    int khz;

    catch_kicks();
    k->cpu = cpu;
    cpu->accel_data = k;
    cpu->state = k->own_state = g_aligned_alloc0(1, sizeof(X86State), 64);
    cpu->state->exception = -1;
    k->fd = kvm_vm(KVM_CREATE_VCPU, (void *)(uintptr_t)cpu->apic_id);
    if (k->fd < 0) {
        int result = k->fd;
        g_autofree char *what = g_strdup_printf("cannot make CPU %u",
                                                cpu->index);

        k->fd = -1;
        kvm_fail(err, result, what);
    } else if (map_run(k, err)) {
        khz = kvm_do(k->fd, KVM_GET_TSC_KHZ, NULL);
        if (khz > 0) {
            __atomic_store_n(&kvm.tsc_khz, khz, __ATOMIC_RELAXED);
        }
        setup_mce(k);
        if (kvm_cpuid_set(k, err) && kvm_regs_init(k, err)) {
            return true;
        }
    }
    kvm_cpu_free(cpu);
    return false;
}

void kvm_cpu_free(X86Cpu *cpu)
{
    KvmCpu *k = kvm_cpu(cpu);

    kvm_rescue_free(k);
    kvm_regs_free(k);
    if (k->ring) {
        munmap(k->ring, kvm.ring_bytes);
    }
    if (k->run) {
        if (cpu->is_bsp) {
            kvm_set_posted_ring(NULL);
        }
        munmap(k->run, kvm.run_bytes);
    }
    if (k->fd >= 0) {
        close(k->fd);
    }
    g_aligned_free(k->own_state);
    g_free(k);
    cpu->state = NULL;
    cpu->accel_data = NULL;
}

void kvm_cpu_kick(X86Cpu *cpu)
{
    KvmCpu *k = kvm_cpu(cpu);

    if (!k || !k->run) {
        return;
    }
    __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&k->in_run, __ATOMIC_SEQ_CST)) {
        pthread_kill(k->thread, kick_signal());
    }
}

/* --- state ---------------------------------------------------------------------------- */

void kvm_cpu_put_state(X86Cpu *cpu)
{
    kvm_cpu(cpu)->dirty = PART_ALL;
}

void kvm_cpu_get_state(X86Cpu *cpu)
{
    if (!kvm_get(kvm_cpu(cpu), PART_ALL)) {
        warn("KVM: the state of CPU %u cannot be read", cpu->index);
    }
}

void kvm_regs_load(X86Cpu *cpu)
{
    kvm_get(kvm_cpu(cpu), PART_REGS);
}

void kvm_regs_store(X86Cpu *cpu)
{
    kvm_cpu(cpu)->dirty |= PART_REGS;
}

void kvm_apic_load(X86Cpu *cpu)
{
    KvmCpu *k = kvm_cpu(cpu);

    if (k) {
        kvm_get(k, PART_LAPIC);
    }
}

void kvm_apic_store(X86Cpu *cpu)
{
    KvmCpu *k = kvm_cpu(cpu);

    if (k) {
        k->dirty |= PART_LAPIC;
    }
}

/* --- events on the way in ---------------------------------------------------------------------- */

/* Events that are about to be written would undo a request to KVM made before:
 * what comes joins them. */
static bool join_events(KvmCpu *k)
{
    return k->dirty & PART_EVENTS;
}

static void inject_nmi(KvmCpu *k)
{
    cpu_take_nmi(k->cpu);
    k->cpu->state->halted = false;
    if (join_events(k)) {
        k->events.nmi.pending = 1;
    } else {
        kvm_do(k->fd, KVM_NMI, NULL);
    }
}

static void inject_smi(KvmCpu *k)
{
    cpu_clear_pending(k->cpu, CPU_PEND_SMI);
    if (!kvm.smm) {
        return;
    }
    if (join_events(k)) {
        k->events.smi.pending = 1;
    } else {
        kvm_do(k->fd, KVM_SMI, NULL);
    }
}

/* Would the processor take an interrupt in the state that is to be written? */
static bool may_join(KvmCpu *k)
{
    const struct kvm_vcpu_events *e = &k->events;
    const X86State *s = k->cpu->state;

    return kvm_get(k, PART_STEP) && s->rflags & FL_IF && !s->interrupt_shadow
           && !e->interrupt.injected && !e->nmi.injected
           && !e->exception.injected && !e->exception.pending;
}

static bool give_interrupt(KvmCpu *k, int vector)
{
    struct kvm_interrupt irq = { .irq = vector };

    k->given_vector = vector;
    if (join_events(k)) {
        k->events.interrupt.injected = 1;
        k->events.interrupt.nr = vector;
        k->events.interrupt.soft = 0;
        k->dirty |= PART_SREGS; /* which also tell what is injected */
        return true;
    }
    return kvm_do(k->fd, KVM_INTERRUPT, &irq) >= 0;
}

/* One that its priority holds back is let in by an access to the APIC, which
 * comes here.  Its bit must not stay: what then sets it does not kick. */
static bool has_interrupt(X86Cpu *cpu)
{
    if (cpu_has_interrupt(cpu)) {
        return true;
    }
    cpu_clear_pending(cpu, CPU_PEND_APIC);
    if (lapic_pending_vector(cpu->apic) < 0) {
        return false;
    }
    cpu_interrupt(cpu, CPU_PEND_APIC);
    return true;
}

/* The 8259's, or without KVM's local APIC any, as soon as KVM takes it. */
static void inject_interrupt(KvmCpu *k)
{
    X86Cpu *cpu = k->cpu;
    struct kvm_run *run = k->run;

    run->request_interrupt_window = 0;
    if (!has_interrupt(cpu)) {
        return;
    }
    if (join_events(k) ? may_join(k) : run->ready_for_interrupt_injection) {
        int vector = cpu_take_interrupt(cpu);

        if (vector >= 0 && give_interrupt(k, vector)) {
            cpu->state->halted = false;
            run->ready_for_interrupt_injection = 0;
        }
    }
    run->request_interrupt_window = cpu_has_interrupt(cpu);
}

/* Without KVM's local APIC HLT and waiting for SIPI are ours.  False: wait. */
static bool may_run(KvmCpu *k)
{
    X86Cpu *cpu = k->cpu;
    X86State *s = cpu->state;

    if (cpu_pending(cpu) & (CPU_PEND_INIT | CPU_PEND_SIPI)) {
        kvm_get(k, PART_ALL);
        cpu_do_init_sipi(cpu);
    }
    if (s->halted && s->rflags & FL_IF && cpu_has_interrupt(cpu)) {
        s->halted = false;
    }
    return !s->halted && !s->wait_sipi;
}

static bool inject(KvmCpu *k)
{
    uint32_t pending = cpu_pending(k->cpu);

    if (pending & CPU_PEND_NMI) {
        inject_nmi(k);
    }
    if (pending & (CPU_PEND_SMI | CPU_PEND_MCE)) {
        inject_smi(k);
        cpu_clear_pending(k->cpu, CPU_PEND_MCE);
    }
    if (kvm.chips == CHIPS_ON) {
        return true;
    }
    if (kvm.chips == CHIPS_OFF && !may_run(k)) {
        return false;
    }
    inject_interrupt(k);
    if (kvm.chips == CHIPS_OFF) {
        k->run->cr8 = lapic_get_tpr(k->cpu->apic) >> 4;
    }
    return true;
}

/* What the guest did to registers of our local APIC that KVM handles. */
static void after_run(KvmCpu *k)
{
    Lapic *apic = k->cpu->apic;

    if (kvm.chips != CHIPS_OFF) {
        return;
    }
    if (k->run->cr8 != lapic_get_tpr(apic) >> 4) {
        lapic_set_tpr(apic, k->run->cr8 << 4);
    }
    if (k->run->apic_base != lapic_base_msr(apic)) {
        lapic_wrmsr(apic, 0x1b, k->run->apic_base);
    }
}

/* --- running -------------------------------------------------------------------------------------- */

/* A slot that changes is gone for a moment: a vCPU that then delivers an
 * interrupt finds no IDT.  So all of them are out of KVM meanwhile. */
static struct {
    GMutex lock;
    GCond cond;                 /* one is out; the gate is open */
    unsigned n_closed;          /* (A) by how many */
} gate;

static void gate_pass(KvmCpu *k)
{
    for (;;) {
        __atomic_store_n(&k->in_run, true, __ATOMIC_SEQ_CST);
        if (likely(!__atomic_load_n(&gate.n_closed, __ATOMIC_SEQ_CST))) {
            return;
        }
        g_mutex_lock(&gate.lock);
        __atomic_store_n(&k->in_run, false, __ATOMIC_SEQ_CST);
        g_cond_broadcast(&gate.cond);
        while (gate.n_closed) {
            g_cond_wait(&gate.cond, &gate.lock);
        }
        g_mutex_unlock(&gate.lock);
    }
}

static void gate_leave(KvmCpu *k)
{
    __atomic_store_n(&k->in_run, false, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&gate.n_closed, __ATOMIC_SEQ_CST))) {
        g_mutex_lock(&gate.lock);
        g_cond_broadcast(&gate.cond);
        g_mutex_unlock(&gate.lock);
    }
}

void kvm_close_gate(void)
{
    GPtrArray *cpus = machine()->cpus;

    g_mutex_lock(&gate.lock);
    __atomic_store_n(&gate.n_closed, gate.n_closed + 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; cpus && i < cpus->len; i++) {
        KvmCpu *k = kvm_cpu(g_ptr_array_index(cpus, i));

        if (k && k->run) {
            kvm_cpu_kick(k->cpu);
            while (__atomic_load_n(&k->in_run, __ATOMIC_SEQ_CST)) {
                g_cond_wait(&gate.cond, &gate.lock);
            }
        }
    }
    g_mutex_unlock(&gate.lock);
}

void kvm_open_gate(void)
{
    g_mutex_lock(&gate.lock);
    __atomic_store_n(&gate.n_closed, gate.n_closed - 1, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&gate.cond);
    g_mutex_unlock(&gate.lock);
}

/* 0, or -errno. */
static int enter(KvmCpu *k)
{
    int result;

    k->valid = 0;
    k->io_pending = false;
    qsbr_offline();
    gate_pass(k);
    result = kvm_ioctl(k->fd, KVM_RUN, NULL) < 0 ? -errno : 0;
    gate_leave(k);
    qsbr_online();
    if (k->run->kvm_dirty_regs) {
        kvm_put_was_late(k);
    }
    after_run(k);
    kvm_flush_posted();
    return result;
}

/* Let KVM end the access of the last exit, without running the guest. */
static CpuRun finish_io(KvmCpu *k)
{
    for (unsigned i = 0; k->io_pending && i < FINISH_TRIES; i++) {
        /* What a port's callback wrote, before the instruction ends. */
        if (k->dirty & PART_REGS && !kvm_put(k, PART_REGS)) {
            return kvm_stop_with(k->cpu, "its registers are refused: %s",
                                 g_strerror(errno));
        }
        __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (enter(k) == 0) {
            CpuRun why = kvm_handle_exit(k);

            if (why != CPU_RUN_EXIT) {
                return why;
            }
        }
    }
    return CPU_RUN_EXIT;
}

static CpuRun run_failed(KvmCpu *k, int result)
{
    X86Cpu *cpu = k->cpu;

    switch (result) {
    case -EINTR:
        kvm_strings_look(k);
        return CPU_RUN_EXIT;
    case -EAGAIN:               /* was woken from waiting for SIPI */
        return CPU_RUN_EXIT;
    case -EFAULT:
        return kvm_stop_with(cpu, "the guest touched memory that the host does "
                             "not give (a file shorter than the guest's "
                             "memory, or a host out of memory)");
    case -ENOMEM:
        return kvm_stop_with(cpu, "the host is out of memory");
    default:
        return kvm_stop_with(cpu, "KVM_RUN: %s", g_strerror(-result));
    }
}

/* KVM forgets a step over what it had to leave for. */
static CpuRun step_over_access(KvmCpu *k)
{
    CpuRun why = finish_io(k);

    return why == CPU_RUN_EXIT ? kvm_debug_stop(k, CPU_STOP_STEP, 0) : why;
}

/* An access to a device was served: more may follow. */
static CpuRun go_ahead(KvmCpu *k)
{
    CpuRun why = CPU_RUN_EXIT;

    if (kvm_may_go_ahead(k)) {
        why = finish_io(k);
        if (why == CPU_RUN_EXIT) {
            why = kvm_go_ahead(k);
        }
    }
    return why;
}

CpuRun kvm_cpu_run(X86Cpu *cpu)
{
    KvmCpu *k = kvm_cpu(cpu);
    CpuRun why = CPU_RUN_EXIT;

    k->thread = pthread_self();
    while (why == CPU_RUN_EXIT) {
        int result;

        __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (!k->n_shutdowns) {
            k->given_vector = -1;
        }
        if (cpu_pending(cpu) & (CPU_PEND_EXIT | CPU_PEND_WORK)) {
            return finish_io(k);
        }
        if (!inject(k)) {
            return CPU_RUN_HALT;
        }
        if (k->run->request_interrupt_window && kvm_may_go_to_window(k)) {
            why = finish_io(k);
            why = why == CPU_RUN_EXIT ? kvm_go_to_window(k) : why;
            continue;
        }
        if (k->dirty && !kvm_put(k, k->dirty)) {
            return kvm_stop_with(cpu, "its state is refused: %s",
                                 g_strerror(errno));
        }
        if (unlikely(k->debugging || k->strings.changed)
            && !kvm_debug_enter(k)) {
            return kvm_stop_with(cpu, "it cannot be debugged any more: %s",
                                 g_strerror(errno));
        }
        result = enter(k);
        why = result < 0 ? run_failed(k, result) : kvm_handle_exit(k);
        if (why == CPU_RUN_EXIT && k->io_pending && k->debug.step) {
            why = step_over_access(k);
        } else if (why == CPU_RUN_EXIT && result == 0
                   && (k->run->exit_reason == KVM_EXIT_IO
                       || k->run->exit_reason == KVM_EXIT_MMIO)) {
            why = go_ahead(k);
        }
    }
    if (why == CPU_RUN_TRIPLE_FAULT) {
        kvm_get(k, PART_ALL & ~PART_TSC);
    }
    return why;
}
