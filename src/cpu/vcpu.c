/*
 * vCPU threads: running, halted, stopped; work and interrupts for them.
 *
 * A thread sleeps on `wake` in two cases: stopped, and halted with nothing to
 * do.  Before it sleeps it sets `thread_idle` and then looks at `pending`
 * once more; whoever sets a bit looks at `thread_idle` afterwards.  Both sides
 * are sequentially consistent, so one of them sees the other.
 *
 * Locks: `mutex` of each vCPU, innermost; see include/cpu/cpu.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cpu/cpu.h"

#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/qsbr.h"
#include "base/trace.h"
#include "cpu/lapic.h"
#include "cpu/regs.h"

typedef struct CpuWork {
    void (*fn)(X86Cpu *, void *);
    void *opaque;
    bool *done;                 /* with `mutex`; NULL: nobody waits */
} CpuWork;

static _Thread_local X86Cpu *current;

void (*cpu_regs_load)(X86Cpu *cpu), (*cpu_regs_store)(X86Cpu *cpu);

X86Cpu *cpu_current(void)
{
    return current;
}

X86Cpu *cpu_by_index(unsigned index)
{
    Machine *m = machine();

    return m && index < m->cpus->len ? g_ptr_array_index(m->cpus, index)
                                     : NULL;
}

X86Cpu *cpu_by_apic_id(uint32_t apic_id)
{
    Machine *m = machine();

    for (unsigned i = 0; m && i < m->cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(m->cpus, i);

        if (cpu->apic_id == apic_id) {
            return cpu;
        }
    }
    return NULL;
}

/* --- attention ------------------------------------------------------------ */

static void wake(X86Cpu *cpu)
{
    if (__atomic_load_n(&cpu->thread_idle, __ATOMIC_SEQ_CST)) {
        g_mutex_lock(&cpu->mutex);
        g_cond_broadcast(&cpu->wake);
        g_mutex_unlock(&cpu->mutex);
    } else if (cpu->accel->kick && cpu != current) {
        cpu->accel->kick(cpu);
    }
}

void cpu_interrupt(X86Cpu *cpu, uint32_t bits)
{
    uint32_t old = __atomic_fetch_or(&cpu->pending, bits, __ATOMIC_SEQ_CST);

    if ((old & bits) != bits
        || __atomic_load_n(&cpu->thread_idle, __ATOMIC_SEQ_CST)) {
        wake(cpu);
    }
}

void cpu_nmi(X86Cpu *cpu)
{
    uint8_t n = __atomic_load_n(&cpu->n_nmis, __ATOMIC_RELAXED);

    while (n < 2
           && !__atomic_compare_exchange_n(&cpu->n_nmis, &n, n + 1, false,
                                           __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED)) {
    }
    cpu_interrupt(cpu, CPU_PEND_NMI);
}

bool cpu_take_nmi(X86Cpu *cpu)
{
    uint8_t n;

    /* Cleared before the count: who counts later sets it again. */
    cpu_clear_pending(cpu, CPU_PEND_NMI);
    n = __atomic_load_n(&cpu->n_nmis, __ATOMIC_SEQ_CST);
    while (n && !__atomic_compare_exchange_n(&cpu->n_nmis, &n, n - 1, false,
                                             __ATOMIC_SEQ_CST,
                                             __ATOMIC_RELAXED)) {
    }
    if (n > 1) {
        cpu_interrupt(cpu, CPU_PEND_NMI);
    }
    return n;
}

void cpu_merge_nmis(X86Cpu *cpu)
{
    uint8_t two = 2;

    __atomic_compare_exchange_n(&cpu->n_nmis, &two, 1, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static void queue_work(X86Cpu *cpu, void (*fn)(X86Cpu *, void *), void *opaque,
                       bool *done)
{
    CpuWork *w = g_new(CpuWork, 1);

    *w = (CpuWork) { fn, opaque, done };
    g_mutex_lock(&cpu->mutex);
    g_queue_push_tail(&cpu->work, w);
    g_mutex_unlock(&cpu->mutex);
    cpu_interrupt(cpu, CPU_PEND_WORK);
}

void cpu_queue_work(X86Cpu *cpu, void (*fn)(X86Cpu *, void *), void *opaque)
{
    queue_work(cpu, fn, opaque, NULL);
}

void cpu_run_work(X86Cpu *cpu, void (*fn)(X86Cpu *, void *), void *opaque)
{
    bool done = false;

    if (cpu == current || !cpu->thread) {
        fn(cpu, opaque);
        return;
    }
    queue_work(cpu, fn, opaque, &done);
    g_mutex_lock(&cpu->mutex);
    while (!done) {
        g_cond_wait(&cpu->wake, &cpu->mutex);
    }
    g_mutex_unlock(&cpu->mutex);
}

/* Called and returns with `mutex`, which it drops around each item. */
static void run_queued_work(X86Cpu *cpu)
{
    CpuWork *w;

    cpu_clear_pending(cpu, CPU_PEND_WORK);
    while ((w = g_queue_pop_head(&cpu->work))) {
        g_mutex_unlock(&cpu->mutex);
        w->fn(cpu, w->opaque);
        g_mutex_lock(&cpu->mutex);
        if (w->done) {
            *w->done = true;
            g_cond_broadcast(&cpu->wake);
        }
        g_free(w);
    }
}

/* --- the thread ----------------------------------------------------------- */

/* Is there a reason to leave HLT or wait-for-SIPI? */
static bool has_event(X86Cpu *cpu)
{
    uint32_t pending = __atomic_load_n(&cpu->pending, __ATOMIC_SEQ_CST);
    const X86State *s = cpu->state;

    if (pending & (CPU_PEND_EXIT | CPU_PEND_WORK | CPU_PEND_TLB)) {
        return true;
    }
    if ((pending & CPU_PEND_INIT) && !s->smm) {
        return true;
    }
    if (s->wait_sipi) {
        return pending & CPU_PEND_SIPI;
    }
    if ((pending & CPU_PEND_MCE)
        || ((pending & CPU_PEND_SMI) && !s->smm)) {
        return true;
    }
    if ((pending & CPU_PEND_NMI) && !s->nmi_blocked) {
        return true;
    }
    return (s->rflags & FL_IF) && cpu_has_interrupt(cpu);
}

/* Sleep until `wake`; called and returns with `mutex`. */
static void sleep_until_woken(X86Cpu *cpu)
{
    qsbr_offline();
    g_cond_wait(&cpu->wake, &cpu->mutex);
    qsbr_online();
}

static void wait_while_stopped(X86Cpu *cpu)
{
    while (cpu->stop_request && !cpu->unplug) {
        run_queued_work(cpu);
        if (!cpu->stopped) {
            cpu->stopped = true;
            g_cond_broadcast(&cpu->wake);
        }
        __atomic_store_n(&cpu->thread_idle, true, __ATOMIC_SEQ_CST);
        if (g_queue_is_empty(&cpu->work)) {
            sleep_until_woken(cpu);
        }
        __atomic_store_n(&cpu->thread_idle, false, __ATOMIC_SEQ_CST);
    }
    cpu->stopped = false;
}

static void wait_while_halted(X86Cpu *cpu)
{
    const X86State *s = cpu->state;

    __atomic_store_n(&cpu->thread_idle, true, __ATOMIC_SEQ_CST);
    while ((s->halted || s->wait_sipi) && !cpu->stop_request && !cpu->unplug
           && g_queue_is_empty(&cpu->work) && !has_event(cpu)) {
        sleep_until_woken(cpu);
    }
    __atomic_store_n(&cpu->thread_idle, false, __ATOMIC_SEQ_CST);
}

static void stop_machine(void *opaque)
{
    if (machine_running(machine())) {
        machine_stop(machine(), GPOINTER_TO_INT(opaque));
    }
}

/* Stop this vCPU by itself, before the main loop stops the others. */
static void stop_self(X86Cpu *cpu)
{
    g_mutex_lock(&cpu->mutex);
    cpu->stop_request = true;
    g_mutex_unlock(&cpu->mutex);
}

static void handle_run_result(X86Cpu *cpu, CpuRun why)
{
    switch (why) {
    case CPU_RUN_EXIT:
    case CPU_RUN_HALT:
        break;
    case CPU_RUN_TRIPLE_FAULT:
        trace("cpu-triple-fault", "cpu %u", cpu->index);
        if (log_mask & LOG_CPU_RESET) {
            g_autoptr(GString) out = g_string_new(NULL);

            cpu_print_registers(cpu, out);
            log_write("triple fault\n%s", out->str);
        }
        stop_self(cpu);
        machine_request_reset(SHUTDOWN_TRIPLE_FAULT);
        break;
    case CPU_RUN_DEBUG:
        stop_self(cpu);
        loop_call(loop_main(), stop_machine,
                  GINT_TO_POINTER(RUN_STATE_DEBUG));
        break;
    case CPU_RUN_ERROR:
        stop_self(cpu);
        loop_call(loop_main(), stop_machine,
                  GINT_TO_POINTER(RUN_STATE_INTERNAL_ERROR));
        break;
    }
}

static gpointer vcpu_thread(gpointer opaque)
{
    X86Cpu *cpu = opaque;

    current = cpu;
    cpu->thread_id = gettid();
    qsbr_register();
    g_mutex_lock(&cpu->mutex);
    while (!cpu->unplug) {
        cpu_clear_pending(cpu, CPU_PEND_EXIT);
        run_queued_work(cpu);
        wait_while_stopped(cpu);
        if (cpu->accel->no_cpus) {
            cpu->stop_request = true;
            continue;
        }
        if (!cpu->accel->apic_in_kernel
            && (cpu->state->halted || cpu->state->wait_sipi)) {
            wait_while_halted(cpu);
        }
        if (cpu->unplug || cpu->stop_request
            || !g_queue_is_empty(&cpu->work)) {
            continue;
        }
        g_mutex_unlock(&cpu->mutex);
        handle_run_result(cpu, cpu->accel->run(cpu));
        qsbr_quiescent();
        g_mutex_lock(&cpu->mutex);
    }
    cpu->stopped = true;
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->mutex);
    qsbr_unregister();
    return NULL;
}

/* --- all of them ---------------------------------------------------------- */

static void request_stop(X86Cpu *cpu, bool stop)
{
    g_mutex_lock(&cpu->mutex);
    cpu->stop_request = stop;
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->mutex);
    if (stop) {
        cpu_interrupt(cpu, CPU_PEND_EXIT);
    }
}

/* The machine lock is dropped while waiting: a vCPU may be on its way into a
 * device. */
static void pause_cpus(void)
{
    GPtrArray *cpus = machine()->cpus;
    bool locked = machine_lock_held();

    for (unsigned i = 0; i < cpus->len; i++) {
        request_stop(g_ptr_array_index(cpus, i), true);
    }
    if (locked) {
        machine_unlock();
    }
    for (unsigned i = 0; i < cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(cpus, i);

        g_mutex_lock(&cpu->mutex);
        while (!cpu->stopped && cpu->thread && cpu != current) {
            g_cond_wait(&cpu->wake, &cpu->mutex);
        }
        g_mutex_unlock(&cpu->mutex);
    }
    if (locked) {
        machine_lock();
    }
    for (unsigned i = 0; i < cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(cpus, i);

        if (cpu->accel->get_state) {
            cpu->accel->get_state(cpu);
        }
    }
}

static void stop_this_cpu(void)
{
    if (current) {
        request_stop(current, true);
    }
}

static void resume_cpus(void)
{
    GPtrArray *cpus = machine()->cpus;

    for (unsigned i = 0; i < cpus->len; i++) {
        request_stop(g_ptr_array_index(cpus, i), false);
    }
}

static void reset_cpu(X86Cpu *cpu, void *opaque)
{
    if (log_on(LOG_CPU_RESET)) {
        g_autoptr(GString) out = g_string_new(NULL);

        cpu_print_registers(cpu, out);
        log_write("CPU Reset (CPU %u)\n%s", cpu->index, out->str);
    }
    __atomic_store_n(&cpu->pending, 0, __ATOMIC_RELEASE);
    lapic_reset(cpu->apic, false);
    cpu_reset_state(cpu, false);
    if (cpu->accel->put_state) {
        cpu->accel->put_state(cpu);
    }
}

static void reset_cpus(void)
{
    GPtrArray *cpus = machine()->cpus;

    for (unsigned i = 0; i < cpus->len; i++) {
        reset_cpu(g_ptr_array_index(cpus, i), NULL);
    }
}

/* --- A20, SMI, NMI -------------------------------------------------------- */

static bool a20 = true;         /* (A) */

bool cpu_a20(void)
{
    return __atomic_load_n(&a20, __ATOMIC_RELAXED);
}

static void set_a20(bool on)
{
    if (cpu_a20() != on) {
        __atomic_store_n(&a20, on, __ATOMIC_SEQ_CST);
        if (accel() && accel()->set_a20) {
            accel()->set_a20(on);
        }
    }
}

static void raise_smi(void)
{
    X86Cpu *cpu = cpu_by_index(0);

    if (cpu) {
        cpu_interrupt(cpu, CPU_PEND_SMI);
    }
}

static void raise_nmi(void)
{
    GPtrArray *cpus = machine()->cpus;

    for (unsigned i = 0; i < cpus->len; i++) {
        lapic_set_lint(((X86Cpu *)g_ptr_array_index(cpus, i))->apic, 1, 1);
    }
}

/* --- making --------------------------------------------------------------- */

static void cpu_device_init(Object *obj)
{
    X86Cpu *cpu = container_of(obj, X86Cpu, dev.obj);

    g_mutex_init(&cpu->mutex);
    g_cond_init(&cpu->wake);
    g_queue_init(&cpu->work);
    cpu->stop_request = true;
}

static void cpu_device_finalize(Object *obj)
{
    X86Cpu *cpu = container_of(obj, X86Cpu, dev.obj);

    g_mutex_clear(&cpu->mutex);
    g_cond_clear(&cpu->wake);
}

const DeviceType x86_cpu_type = {
    .name = "x86_64-cpu", .doc = "an x86 processor", .parent = &device_type,
    .size = sizeof(X86Cpu), .internal = true, .init = cpu_device_init,
    .finalize = cpu_device_finalize,
};
DEVICE_TYPE(x86_cpu_type)

/* APIC ids leave room for each level of the topology: SDM 3A 9.9.1. */
uint32_t cpu_topology_apic_id(const CpuTopology *t, unsigned index)
{
    unsigned thread_bits = g_bit_storage(t->threads - 1);
    unsigned core_bits = g_bit_storage(t->cores - 1);
    unsigned die_bits = g_bit_storage(t->dies - 1);
    unsigned thread = index % t->threads;
    unsigned core = index / t->threads % t->cores;
    unsigned die = index / (t->threads * t->cores) % t->dies;
    unsigned socket = index / (t->threads * t->cores * t->dies);

    thread_bits = t->threads > 1 ? thread_bits : 0;
    core_bits = t->cores > 1 ? core_bits : 0;
    die_bits = t->dies > 1 ? die_bits : 0;
    return socket << (thread_bits + core_bits + die_bits)
           | die << (thread_bits + core_bits) | core << thread_bits | thread;
}

X86Cpu *cpu_create(Machine *m, unsigned index, GError **err)
{
    Device *dev = device_new(&x86_cpu_type);
    X86Cpu *cpu = container_of(dev, X86Cpu, dev);
    g_autofree char *name = g_strdup_printf("CPU %u/%s", index,
                                            accel()->name);

    cpu->index = index;
    cpu->apic_id = cpu_topology_apic_id(&m->topo, index);
    cpu->is_bsp = index == 0;
    cpu->accel = accel();
    cpu->model = cpu_model_new(m->cpu_model, accel(), err);
    if (!cpu->model || !cpu->accel->cpu_init(cpu, err)
        || !device_realize(dev, NULL, err)) {
        object_unref(&dev->obj);
        return NULL;
    }
    cpu->apic = lapic_new(cpu);
    g_ptr_array_add(m->cpus, cpu);
    cpu_reset_state(cpu, false);
    cpu->thread = g_thread_new(name, vcpu_thread, cpu);
    return cpu;
}

bool cpus_create(Machine *m, GError **err)
{
    machine_pause_cpus = pause_cpus;
    machine_resume_cpus = resume_cpus;
    machine_stop_this_cpu = stop_this_cpu;
    machine_reset_cpus = reset_cpus;
    machine_set_a20 = set_a20;
    machine_raise_smi = raise_smi;
    machine_raise_nmi = raise_nmi;
    for (unsigned i = 0; i < m->topo.cpus; i++) {
        if (!cpu_create(m, i, err)) {
            return false;
        }
    }
    return true;
}

void cpus_destroy(Machine *m)
{
    for (unsigned i = 0; i < m->cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(m->cpus, i);

        g_mutex_lock(&cpu->mutex);
        cpu->unplug = true;
        g_cond_broadcast(&cpu->wake);
        g_mutex_unlock(&cpu->mutex);
        cpu_interrupt(cpu, CPU_PEND_EXIT);
    }
    for (unsigned i = 0; i < m->cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(m->cpus, i);

        g_thread_join(cpu->thread);
        lapic_free(cpu->apic);
        cpu->accel->cpu_free(cpu);
        cpu_model_free(cpu->model);
        object_unparent(&cpu->dev.obj);
    }
    g_ptr_array_set_size(m->cpus, 0);
}

/* --- interrupts, as an accelerator asks for them -------------------------- */

bool cpu_has_interrupt(X86Cpu *cpu)
{
    uint32_t pending = cpu_pending(cpu);

    if (pending & CPU_PEND_APIC) {
        if (lapic_pending_vector(cpu->apic) >= 0) {
            return true;
        }
    }
    return (pending & CPU_PEND_EXTINT) && lapic_accepts_extint(cpu->apic);
}

int cpu_take_interrupt(X86Cpu *cpu)
{
    int vector = -1;

    /* Clear first: what arrives meanwhile sets it again. */
    if (cpu_pending(cpu) & CPU_PEND_APIC) {
        cpu_clear_pending(cpu, CPU_PEND_APIC);
        vector = lapic_ack(cpu->apic);
        if (vector >= 0) {
            if (lapic_pending_vector(cpu->apic) >= 0) {
                cpu_interrupt(cpu, CPU_PEND_APIC);
            }
            return vector;
        }
    }
    if ((cpu_pending(cpu) & CPU_PEND_EXTINT)
        && lapic_accepts_extint(cpu->apic) && irqchip_pic_inta) {
        bool locked = machine_lock_held();

        if (!locked) {
            machine_lock();
        }
        /* The line may have fallen before we got the lock. */
        if (cpu_pending(cpu) & CPU_PEND_EXTINT) {
            vector = irqchip_pic_inta();
        }
        if (!locked) {
            machine_unlock();
        }
    }
    return vector;
}

static void do_init(X86Cpu *cpu)
{
    lapic_reset(cpu->apic, true);
    cpu_reset_state(cpu, true);
    cpu->state->wait_sipi = !cpu->is_bsp;
    cpu->state->halted = false;
    if (cpu->accel->put_state) {
        cpu->accel->put_state(cpu);
    }
}

void cpu_do_init_sipi(X86Cpu *cpu)
{
    uint32_t pending = cpu_pending(cpu);

    if (pending & CPU_PEND_INIT) {
        cpu_clear_pending(cpu, CPU_PEND_INIT | CPU_PEND_NMI | CPU_PEND_SMI);
        __atomic_store_n(&cpu->n_nmis, 0, __ATOMIC_SEQ_CST);
        do_init(cpu);
    }
    if (pending & CPU_PEND_SIPI) {
        cpu_clear_pending(cpu, CPU_PEND_SIPI);
        if (cpu->state->wait_sipi) {
            uint8_t page = __atomic_load_n(&cpu->sipi_vector,
                                           __ATOMIC_ACQUIRE);
            X86Seg *cs = &cpu->state->seg[SEG_CS];

            cs->selector = page << 8;
            cs->base = page << 12;
            cpu->state->rip = 0;
            cpu->state->wait_sipi = false;
            if (cpu->accel->put_state) {
                cpu->accel->put_state(cpu);
            }
        }
    }
}
