/*
 * KVM as an accelerator.  Private to accel/kvm; docs/kvm.md tells the story.
 *
 * Invariants:
 *
 *  1. A vCPU's file descriptor and KvmCpu are touched by its thread, or by
 *     whoever stopped it.
 *  2. KvmCpu.dirty names the parts of cpu->state that are newer than KVM's:
 *     they are written before KVM runs again.  All other parts of cpu->state
 *     are stale unless KvmCpu.valid names them.
 *  3. Slots and routes change under the machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>

#include "core/irqchip.h"
#include "cpu/cpu.h"
#include "cpu/features.h"
#include "cpu/lapic.h"

typedef enum { CHIPS_ON, CHIPS_SPLIT, CHIPS_OFF } KvmChips;

typedef struct Kvm {
    int fd, vm_fd;              /* -1: closed */
    KvmChips chips;             /* (C) which interrupt chips are KVM's */
    bool pit;                   /* (C) and the 8254 */
    size_t run_bytes;           /* (C) of a vCPU's shared area */
    size_t xsave_bytes;         /* (C) of KVM_GET_XSAVE2; 4096 without */
    uint32_t ring_bytes;        /* (C) dirty ring of a vCPU; 0: bitmaps */
    uint64_t tsc_khz;           /* (A) of the first vCPU */
    unsigned slowdown;          /* (C) host ns for one of CLK_VIRTUAL */
    unsigned n_slots_max;
    bool software;              /* (C) see kvm_is_software() */
    bool readonly_mem, xcrs, exit_on_failure, exception_payload, smm, mce,
         sync_regs, user_msrs, triple_fault_event;
    struct kvm_cpuid2 *cpuid;   /* KVM_GET_SUPPORTED_CPUID */
    uint32_t *msrs;             /* KVM_GET_MSR_INDEX_LIST */
    unsigned n_msrs;
} Kvm;

extern Kvm kvm;

/* Parts of a vCPU's state, as KVM transfers them. */
enum {
    PART_REGS   = 1 << 0,       /* general registers, RIP, RFLAGS */
    PART_SREGS  = 1 << 1,       /* segments, tables, CR, EFER, APIC base */
    PART_EVENTS = 1 << 2,
    PART_FPU    = 1 << 3,       /* XSAVE area and XCR0 */
    PART_MSRS   = 1 << 4,
    PART_DEBUG  = 1 << 5,
    PART_MP     = 1 << 6,       /* halted, waiting for SIPI */
    PART_LAPIC  = 1 << 7,
    PART_TSC    = 1 << 8,       /* written only when time was set or stopped */
    PART_ALL    = (1 << 9) - 1,
    PART_STEP   = PART_REGS | PART_SREGS | PART_EVENTS,
};

enum { MSR_TSC_DEADLINE = 0x6e0 };
enum { N_EXTRA_MSRS = 128, N_EXIT_REASONS = 48, N_HABITS = 64 };

/* An instruction that KVM could not execute, by place. */
typedef struct RescueSite {
    uint64_t rip;
    uint16_t op;
    uint64_t n;
} RescueSite;

/* A string instruction of the kernel's: where, and what it was seen doing. */
typedef struct StringSite {
    uint64_t rip;
    int32_t n;
    uint32_t rounds;            /* of all together, each counted up to a bound */
} StringSite;

typedef struct KvmStrings {
    CpuDebug debug;             /* a breakpoint for each site */
    StringSite site[CPU_N_BREAKS];
    StringSite seen[16];        /* by RIP: these may become sites */
    bool changed;               /* KVM must be told of the breakpoints */
    uint64_t n_run, n_run_before;
    unsigned n_idle;            /* looks since the last stop */
} KvmStrings;

typedef struct KvmCpu {
    X86Cpu *cpu;
    int fd;
    struct kvm_run *run;
    struct kvm_dirty_gfn *ring; /* NULL: bitmaps */
    uint32_t ring_next;
    pthread_t thread;
    bool in_run;                /* (A) kick must send a signal */
    bool io_pending;            /* KVM ends the last exit's access on entry */
    unsigned dirty, valid;      /* PART_* */

    uint64_t kernel_apic_base;  /* as last read; 0: never */
    uint64_t kernel_cr8;
    struct kvm_vcpu_events events;  /* as last read: what X86State has not */
    uint8_t *xsave;             /* likewise: components we do not model */
    struct kvm_msrs *msr_buf;
    uint64_t extra[N_EXTRA_MSRS];   /* MSRs that only KVM knows */

    void *single;               /* the interpreter's side: rescue.c */
    X86State *own_state;        /* what cpu->state was before that */
    GHashTable *sites;          /* RescueSite by RIP */
    uint64_t n_rescues;
    uint64_t n_syscalls;        /* that KVM did by half */
    int given_vector;           /* that went into this run; -1: none */
    unsigned n_shutdowns;       /* in a row */
    unsigned n_stuck;           /* rescues in a row that ended where they began */
    uint64_t last_good_rip;
    CpuDebug debug;             /* what a debugger wants */
    bool debugging;             /* anything at all */
    KvmStrings strings;         /* strings.c */
    bool pass_int3;             /* the next INT3 that comes here is executed */
    bool stopped_in_rescue;     /* where a debugger's INT3 was seen */
    int8_t ahead[N_HABITS];     /* negative: accesses until the next try */
    int8_t *habit;              /* of the last exit's access */
    uint64_t n_ahead;           /* instructions between accesses */
    unsigned window_wait;       /* runs before kvm_go_to_window() is tried */
    uint64_t n_exits[N_EXIT_REASONS];
} KvmCpu;

static inline KvmCpu *kvm_cpu(X86Cpu *cpu)
{
    return cpu->accel_data;
}

static inline bool kvm_apic_in_kernel(void)
{
    return kvm.chips != CHIPS_OFF;
}

/* --- kvm.c: the system ---------------------------------------------------- */

/* The seam for tests: every request to KVM goes through it.  As ioctl(). */
extern int (*kvm_ioctl)(int fd, unsigned long request, void *arg);
/* The result, or -errno; EINTR and EAGAIN are tried again, a few times. */
int kvm_do(int fd, unsigned long request, void *arg);
static inline int kvm_vm(unsigned long request, void *arg)
{
    return kvm_do(kvm.vm_fd, request, arg);
}
int kvm_check(int cap);         /* of the VM: 0 when there is none */
bool kvm_enable(int fd, unsigned cap, uint64_t arg0, uint64_t arg1);
/* Can /dev/kvm be used?  Opens it as *fd.  False with the remedy. */
bool kvm_open(int *fd, GError **err);
bool kvm_fail(GError **err, int result, const char *what);

/* --- probe.c ---------------------------------------------------------------- */

/* Does this KVM execute kernel code, rather than interpret it? */
bool kvm_probe(GError **err);

/* --- vm.c: memory and what hangs on addresses ------------------------------- */

void kvm_memory_init(void);
/* The slot that holds `gpa` is taken away and given back: KVM then has no
 * translation that was made from its pages. */
void kvm_forget_translations(hwaddr gpa);
/* Enter the pages of dirty rings into the log; all vCPUs, any thread. */
void kvm_reap_rings(void);
/* Doorbells: a write of `data` (if match) to [gpa, gpa + size) signals fd. */
bool kvm_ioeventfd(bool pio, hwaddr gpa, unsigned size, bool match,
                   uint64_t data, int fd, bool assign);
void kvm_print_slots(GString *out);

/* --- doorbell.c: regions' doorbells as eventfds -------------------------------- */

void kvm_doorbells_init(void);
/* Where KVM collects posted writes; NULL: nowhere. */
void kvm_set_posted_ring(void *page);
/* Make those that it has collected.  Any thread. */
void kvm_flush_posted(void);

/* --- irqchip.c ---------------------------------------------------------------- */

bool kvm_irqchip_init(GError **err);
/* GSIs for MSIs: a route to a message, -1 when they are used up. */
int kvm_msi_route_new(uint64_t addr, uint32_t data);
bool kvm_msi_route_set(int gsi, uint64_t addr, uint32_t data);
void kvm_msi_route_free(int gsi);
/* `fd` raises `gsi`; `resample` (-1: none) is signalled at the EOI, where the
 * IOAPIC is KVM's. */
bool kvm_irqfd(int fd, int resample, int gsi, bool assign);
void kvm_msi(uint64_t addr, uint32_t data);
void kvm_print_chips(GString *out);

/* --- vcpu.c ------------------------------------------------------------------- */

bool kvm_cpu_init(X86Cpu *cpu, GError **err);
void kvm_cpu_free(X86Cpu *cpu);
CpuRun kvm_cpu_run(X86Cpu *cpu);
void kvm_cpu_kick(X86Cpu *cpu);
void kvm_cpu_put_state(X86Cpu *cpu);
void kvm_cpu_get_state(X86Cpu *cpu);
void kvm_regs_load(X86Cpu *cpu);
void kvm_regs_store(X86Cpu *cpu);
void kvm_apic_load(X86Cpu *cpu);
void kvm_apic_store(X86Cpu *cpu);

/* --- exits.c ------------------------------------------------------------------ */

/* Serve the exit in k->run.  CPU_RUN_EXIT: done, go on. */
CpuRun kvm_handle_exit(KvmCpu *k);
/* Say what went wrong with registers and code bytes. */
void kvm_report(X86Cpu *cpu, const char *what);
/* No vCPU is in KVM_RUN from the one to the other: memory slots may change.
 * Any thread but a vCPU's that is; from several at once, too. */
void kvm_close_gate(void);
void kvm_open_gate(void);
/* The same, and CPU_RUN_ERROR. */
CpuRun kvm_stop_with(X86Cpu *cpu, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
const char *kvm_exit_name(unsigned reason);

/* --- debug.c: guest debugging --------------------------------------------------- */

bool kvm_set_debug(X86Cpu *cpu, const CpuDebug *want, GError **err);
/* Tell KVM what to stop at, with the registers in KVM, before it runs: while
 * `debugging`, and once when `strings` changed. */
bool kvm_debug_enter(KvmCpu *k);
/* KVM_EXIT_DEBUG. */
CpuRun kvm_debug_exit(KvmCpu *k);
/* Stop, for `why`. */
CpuRun kvm_debug_stop(KvmCpu *k, int why, unsigned n);

/* --- regs.c: PART_* between cpu->state and KVM ---------------------------------- */

bool kvm_regs_init(KvmCpu *k, GError **err);
void kvm_regs_free(KvmCpu *k);
/* Read the parts that are neither valid nor dirty. */
bool kvm_get(KvmCpu *k, unsigned parts);
/* Write those of `parts` that are dirty. */
bool kvm_put(KvmCpu *k, unsigned parts);
/* KVM_RUN came back before it took in what was to go with it. */
void kvm_put_was_late(KvmCpu *k);
/* A system reset: what only KVM knows goes back to its reset value. */
void kvm_regs_reset(KvmCpu *k);

/* --- msrs.c --------------------------------------------------------------------- */

void kvm_msrs_init(KvmCpu *k);
void kvm_msrs_free(KvmCpu *k);
void kvm_msrs_reset(KvmCpu *k);
/* All but the TSC and its deadline, which are parts of their own. */
bool kvm_get_msrs(KvmCpu *k);
bool kvm_put_msrs(KvmCpu *k);
bool kvm_get_tsc(KvmCpu *k);
bool kvm_put_tsc(KvmCpu *k);
/* `n` MSRs as KVM has them now; one; and one to be written. */
bool kvm_read_msrs(KvmCpu *k, const uint32_t *index, uint64_t *val,
                   unsigned n);
bool kvm_get_msr(KvmCpu *k, uint32_t msr, uint64_t *val);
bool kvm_set_msr(KvmCpu *k, uint32_t msr, uint64_t val);

/* --- cpuid.c ---------------------------------------------------------------------- */

bool kvm_cpuid_init(GError **err);
/* Is it the host's kernel that executes a guest's, not the processor? */
bool kvm_is_software(void);
void kvm_features(uint32_t *words);
void kvm_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4]);
/* Where the host keeps component `n` of XSAVE, as CPUID leaf 0Dh; false: nowhere. */
bool kvm_xsave_component(unsigned n, uint32_t r[4]);
bool kvm_cpuid_set(KvmCpu *k, GError **err);
const struct kvm_cpuid_entry2 *kvm_cpuid_find(uint32_t leaf, uint32_t subleaf);

/* --- rescue.c ----------------------------------------------------------------------- */

/* KVM cannot execute the instruction at RIP: do it here.  CPU_RUN_EXIT: done,
 * go on. */
CpuRun kvm_rescue(KvmCpu *k);
/* After an exit for an access to a device: is it worth going on here? */
bool kvm_may_go_ahead(KvmCpu *k);
/* Then, with the access ended: go on as long as more of them follow. */
CpuRun kvm_go_ahead(KvmCpu *k);
/* An interrupt waits: is it worth going on here until the guest lets it in? */
bool kvm_may_go_to_window(KvmCpu *k);
/* Then, with the last access ended. */
CpuRun kvm_go_to_window(KvmCpu *k);
/* One instruction, decoded by kvm_single() with PART_STEP read. */
struct Insn;
CpuRun kvm_execute_here(KvmCpu *k, const struct Insn *insn);
/* The interpreter on this vCPU's state; NULL: no memory. */
struct TcgSingle *kvm_single(KvmCpu *k);
/* Does the page look like a page table in use? */
bool kvm_like_table(const uint8_t *page);
void kvm_rescue_free(KvmCpu *k);
void kvm_print_rescues(GString *out);

/* --- strings.c ---------------------------------------------------------------------- */

/* The vCPU was kicked: what is it at? */
void kvm_strings_look(KvmCpu *k);
/* It stopped at a breakpoint that is no debugger's. */
CpuRun kvm_strings_stop(KvmCpu *k);

#endif
