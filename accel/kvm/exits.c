/*
 * KVM: everything that ends a run, each served or reported; docs/kvm.md has
 * them in a table.
 *
 * Spec:  Documentation/virt/kvm/api.rst, section 5 (kvm_run).
 * Locks: the vCPU's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kvm.h"

#include "base/log.h"
#include "base/trace.h"

#define LAPIC_PAGE UINT64_C(0xfff)
#define HYPERCALL_NONE ((uint64_t)-1000)        /* -KVM_ENOSYS */

/* Newer than the oldest headers that we are built with. */
enum { EXIT_MEMORY_FAULT = 39 };
enum { SHUTDOWNS_DOUBTED = 2 };        /* in a row: see exit_shutdown() */
#ifndef KVM_EXIT_NOTIFY
enum { KVM_EXIT_NOTIFY = 37 };
#endif

/* --- what went wrong -------------------------------------------------------------------- */

const char *kvm_exit_name(unsigned reason)
{
    static const char *const names[N_EXIT_REASONS] = {
        [KVM_EXIT_UNKNOWN] = "unknown", [KVM_EXIT_EXCEPTION] = "exception",
        [KVM_EXIT_IO] = "io", [KVM_EXIT_HYPERCALL] = "hypercall",
        [KVM_EXIT_DEBUG] = "debug", [KVM_EXIT_HLT] = "hlt",
        [KVM_EXIT_MMIO] = "mmio", [KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window",
        [KVM_EXIT_SHUTDOWN] = "shutdown",
        [KVM_EXIT_FAIL_ENTRY] = "fail-entry", [KVM_EXIT_INTR] = "intr",
        [KVM_EXIT_SET_TPR] = "set-tpr", [KVM_EXIT_TPR_ACCESS] = "tpr-access",
        [KVM_EXIT_NMI] = "nmi", [KVM_EXIT_INTERNAL_ERROR] = "internal-error",
        [KVM_EXIT_SYSTEM_EVENT] = "system-event",
        [KVM_EXIT_IOAPIC_EOI] = "ioapic-eoi", [KVM_EXIT_HYPERV] = "hyperv",
        [KVM_EXIT_X86_RDMSR] = "rdmsr", [KVM_EXIT_X86_WRMSR] = "wrmsr",
        [KVM_EXIT_DIRTY_RING_FULL] = "dirty-ring-full",
        [KVM_EXIT_X86_BUS_LOCK] = "bus-lock", [KVM_EXIT_XEN] = "xen",
        [KVM_EXIT_NOTIFY] = "notify", [EXIT_MEMORY_FAULT] = "memory-fault",
    };

    return reason < N_EXIT_REASONS && names[reason] ? names[reason] : "other";
}

void kvm_report(X86Cpu *cpu, const char *what)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const X86State *s = cpu->state;
    uint64_t at;
    uint8_t b;

    kvm_get(kvm_cpu(cpu), PART_ALL & ~(PART_TSC | PART_LAPIC | PART_MP));
    cpu_print_registers(cpu, text);
    at = s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEGA_L
         ? s->rip : (uint32_t)(s->seg[SEG_CS].base + s->rip);
    g_string_append(text, "Code=");
    for (unsigned i = 0; i < 16 && cpu_debug_read(cpu, at + i, &b, 1); i++) {
        g_string_append_printf(text, "%02x ", b);
    }
    report_error("KVM: CPU %u: %s%s", cpu->index, what, text->str);
}

CpuRun kvm_stop_with(X86Cpu *cpu, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    kvm_report(cpu, what);
    return CPU_RUN_ERROR;
}

/* --- exits: I/O ---------------------------------------------------------------------------- */

static void exit_io(KvmCpu *k)
{
    const struct kvm_run *run = k->run;
    unsigned size = run->io.size;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t val;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            as_store(&as_io, run->io.port, size, load_le(data, size));
        } else {
            as_load(&as_io, run->io.port, size, &val);
            store_le(data, size, val);
        }
    }
    k->io_pending = true;
}

/* The page of our own local APIC: only aligned dwords mean something. */
static void lapic_access(Lapic *apic, const struct kvm_run *run,
                         uint8_t *data)
{
    unsigned reg = run->mmio.phys_addr & LAPIC_PAGE;

    if (run->mmio.is_write) {
        if (run->mmio.len == 4 && !(reg & 3)) {
            lapic_mmio_write(apic, reg, load_le32(data));
        }
        return;
    }
    store_le(data, run->mmio.len,
             lapic_mmio_read(apic, reg & ~3u) >> (8 * (reg & 3)));
}

static void exit_mmio(KvmCpu *k)
{
    struct kvm_run *run = k->run;
    hwaddr gpa = run->mmio.phys_addr;
    unsigned len = MIN(run->mmio.len, 8);
    uint64_t val;

    k->io_pending = true;
    if (!kvm_apic_in_kernel()
        && (gpa & ~LAPIC_PAGE) == lapic_base_gpa(k->cpu->apic)) {
        lapic_access(k->cpu->apic, run, run->mmio.data);
    } else if (len & (len - 1)) {
        if (run->mmio.is_write) {
            as_write(&as_memory, gpa, run->mmio.data, len);
        } else {
            as_read(&as_memory, gpa, run->mmio.data, len);
        }
    } else if (run->mmio.is_write) {
        as_store(&as_memory, gpa, len, load_le(run->mmio.data, len));
    } else {
        as_load(&as_memory, gpa, len, &val);
        store_le(run->mmio.data, len, val);
    }
}

static void exit_msr(KvmCpu *k, bool write)
{
    struct kvm_run *run = k->run;
    uint64_t val = 0;

    kvm_get(k, PART_SREGS);
    if (write) {
        run->msr.error = !cpu_wrmsr(k->cpu, run->msr.index, run->msr.data);
    } else {
        run->msr.error = !cpu_rdmsr(k->cpu, run->msr.index, &val);
        run->msr.data = val;
    }
    k->io_pending = true;
}

/* --- exits: the rest ------------------------------------------------------------------------- */

static const char *suberror_name(unsigned suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "exceptions while delivering one";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "an exit while delivering an event";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        return "an exit unknown to the kernel";
    default:
        return "of no known kind";
    }
}

static CpuRun internal_error(KvmCpu *k)
{
    const struct kvm_run *run = k->run;
    unsigned suberror = run->internal.suberror;

    if (suberror == KVM_INTERNAL_ERROR_EMULATION) {
        return kvm_rescue(k);
    }
    return kvm_stop_with(k->cpu, "internal error %u (%s), data %llx %llx %llx",
                         suberror, suberror_name(suberror),
                         run->internal.data[0], run->internal.data[1],
                         run->internal.data[2]);
}

static CpuRun system_event(KvmCpu *k)
{
    unsigned type = k->run->system_event.type;

    switch (type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        machine_request_shutdown(SHUTDOWN_GUEST_SHUTDOWN);
        return CPU_RUN_EXIT;
    case KVM_SYSTEM_EVENT_RESET:
        machine_request_reset(SHUTDOWN_GUEST_RESET);
        return CPU_RUN_EXIT;
    case KVM_SYSTEM_EVENT_CRASH:
        machine_request_shutdown(SHUTDOWN_GUEST_PANIC);
        return CPU_RUN_EXIT;
    default:
        return kvm_stop_with(k->cpu, "system event %u is none of a PC's",
                             type);
    }
}

/* An instruction or a delivery of events went on for longer than the window:
 * an interrupt may come now. */
static CpuRun exit_notify(KvmCpu *k)
{
    /* Flags are the first word of its part of kvm_run. */
    uint32_t flags;

    memcpy(&flags, &k->run->hw, sizeof(flags));
    if (flags & 1) {            /* KVM_NOTIFY_CONTEXT_INVALID */
        return kvm_stop_with(k->cpu, "the processor lost the guest's state "
                             "when it held up the host");
    }
    return CPU_RUN_EXIT;
}

/* Memory that must be private or shared and is not; we have no such. */
static CpuRun memory_fault(KvmCpu *k)
{
    uint64_t what[3];           /* flags, guest-physical address, bytes */

    memcpy(what, &k->run->hw, sizeof(what));
    return kvm_stop_with(k->cpu, "a fault at guest-physical 0x%" PRIx64 ", 0x%"
                         PRIx64 " bytes (flags 0x%" PRIx64 ")", what[1],
                         what[2], what[0]);
}

static void exit_hypercall(KvmCpu *k)
{
    k->run->hypercall.ret = HYPERCALL_NONE;
    k->io_pending = true;
}

static CpuRun exit_hlt(KvmCpu *k)
{
    X86State *s = k->cpu->state;

    s->halted = true;
    s->rflags = k->run->if_flag ? s->rflags | FL_IF
                                : s->rflags & ~(uint64_t)FL_IF;
    return CPU_RUN_HALT;
}

/*
 * A software KVM delivers events itself, and where that fails it speaks of a
 * triple fault: also when the host's kernel only had a page of the guest's away
 * for a moment, as was seen of idle processors.  A real one comes again.
 */
static CpuRun exit_shutdown(KvmCpu *k)
{
    struct kvm_vcpu_events *e = &k->events;

    if (!kvm.software || ++k->n_shutdowns > SHUTDOWNS_DOUBTED
        || !kvm_get(k, PART_STEP)) {
        return CPU_RUN_TRIPLE_FAULT;
    }
    trace("kvm-shutdown", "cpu %u rip 0x%" PRIx64 " exception %u/%u interrupt "
          "%u/%u given %d", k->cpu->index, k->cpu->state->rip,
          e->exception.injected, e->exception.nr, e->interrupt.injected,
          e->interrupt.nr, k->given_vector);
    if (k->given_vector >= 0 && !e->interrupt.injected
        && !e->exception.injected) {
        e->interrupt.injected = 1;
        e->interrupt.nr = k->given_vector;
        e->interrupt.soft = 0;
    }
    k->dirty |= PART_STEP;
    return CPU_RUN_EXIT;
}

CpuRun kvm_handle_exit(KvmCpu *k)
{
    const struct kvm_run *run = k->run;
    X86Cpu *cpu = k->cpu;
    unsigned reason = run->exit_reason;

    if (reason != KVM_EXIT_SHUTDOWN) {
        k->n_shutdowns = 0;
    }
    k->n_exits[MIN(reason, N_EXIT_REASONS - 1)]++;
    switch (reason) {
    case KVM_EXIT_IO:
        exit_io(k);
        return CPU_RUN_EXIT;
    case KVM_EXIT_MMIO:
        exit_mmio(k);
        return CPU_RUN_EXIT;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_NMI:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_TPR_ACCESS:
    case KVM_EXIT_X86_BUS_LOCK:
        return CPU_RUN_EXIT;
    case KVM_EXIT_HLT:
        return exit_hlt(k);
    case KVM_EXIT_SHUTDOWN:
        return exit_shutdown(k);
    case KVM_EXIT_INTERNAL_ERROR:
        return internal_error(k);
    case KVM_EXIT_IOAPIC_EOI:
        if (apic_bus_eoi) {
            apic_bus_eoi(run->eoi.vector);
        }
        return CPU_RUN_EXIT;
    case KVM_EXIT_X86_RDMSR:
        exit_msr(k, false);
        return CPU_RUN_EXIT;
    case KVM_EXIT_X86_WRMSR:
        exit_msr(k, true);
        return CPU_RUN_EXIT;
    case KVM_EXIT_HYPERCALL:
        exit_hypercall(k);
        return CPU_RUN_EXIT;
    case KVM_EXIT_SYSTEM_EVENT:
        return system_event(k);
    case KVM_EXIT_NOTIFY:
        return exit_notify(k);
    case EXIT_MEMORY_FAULT:
        return memory_fault(k);
    case KVM_EXIT_DEBUG:
        return kvm_debug_exit(k);
    case KVM_EXIT_DIRTY_RING_FULL:
        kvm_reap_rings();
        return CPU_RUN_EXIT;
    case KVM_EXIT_FAIL_ENTRY:
        return kvm_stop_with(cpu, "the processor refuses the guest's state "
                             "(hardware reason 0x%llx)",
                             run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_EXCEPTION:
        return kvm_stop_with(cpu, "exception %u escaped (error code 0x%x)",
                             run->ex.exception, run->ex.error_code);
    case KVM_EXIT_UNKNOWN:
        return kvm_stop_with(cpu, "unknown exit, hardware reason 0x%llx",
                             run->hw.hardware_exit_reason);
    default:
        return kvm_stop_with(cpu, "exit %u (%s) is none that was asked for",
                             reason, kvm_exit_name(reason));
    }
}
