/*
 * vCPUs: their threads, their requests, and the interface of accelerators.
 *
 *      cpu_create        thread starts      machine_start
 *   -----------------> stopped ----------------------------> running
 *                         ^      machine_stop, debug, reset     |
 *                         +-------------------------------------+
 *
 * A vCPU's thread runs accel->run() without any lock and takes the machine
 * lock only inside device callbacks.  Everything that wants a vCPU's attention
 * sets a bit in `pending` and kicks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "core/machine.h"
#include "cpu/state.h"

typedef struct X86Cpu X86Cpu;
typedef struct Lapic Lapic;
typedef struct AccelOps AccelOps;
typedef struct CpuModel CpuModel;

/* --- guest debugging -------------------------------------------------------- */

typedef enum { CPU_BREAK_EXEC, CPU_BREAK_WRITE, CPU_BREAK_ACCESS } CpuBreakKind;

enum { CPU_N_BREAKS = 4 };      /* as many as there are debug registers */

/* What a debugger wants of a vCPU.  The guest does not see it. */
typedef struct CpuDebug {
    bool step;                  /* stop after one instruction */
    bool int3;                  /* stop at INT3, before it is executed */
    bool deliver_int3;          /* but that at which it is: it is the guest's */
    unsigned n_breaks;
    struct CpuBreak {
        CpuBreakKind kind;
        uint64_t gva;
        uint8_t bytes;          /* 1, 2, 4 or 8; CPU_BREAK_EXEC: 1 */
    } breaks[CPU_N_BREAKS];
} CpuDebug;

/* What ended accel->run() with CPU_RUN_DEBUG. */
typedef struct CpuDebugStop {
    enum { CPU_STOP_STEP, CPU_STOP_INT3, CPU_STOP_BREAK } why;
    unsigned n;                 /* CPU_STOP_BREAK: which of the breaks */
} CpuDebugStop;

/* Bits of X86Cpu.pending.  The emulator polls the word for non-zero. */
enum {
    CPU_PEND_EXIT   = 1 << 0,   /* leave accel->run(): stop, quit, reset */
    CPU_PEND_APIC   = 1 << 1,   /* the local APIC may have an interrupt */
    CPU_PEND_EXTINT = 1 << 2,   /* INTR line of the 8259 through LINT0 is high */
    CPU_PEND_NMI    = 1 << 3,
    CPU_PEND_SMI    = 1 << 4,
    CPU_PEND_INIT   = 1 << 5,
    CPU_PEND_SIPI   = 1 << 6,   /* vector in sipi_vector */
    CPU_PEND_WORK   = 1 << 7,   /* work queued by cpu_queue_work() */
    CPU_PEND_MCE    = 1 << 8,
    CPU_PEND_TLB    = 1 << 9,   /* the emulator's own: see accel/tcg */
};

struct X86Cpu {
    Device dev;
    unsigned index;             /* (C) */
    uint32_t apic_id;           /* (C) */
    const AccelOps *accel;      /* (C) */
    CpuModel *model;            /* (C) CPUID as the guest sees it */
    Lapic *apic;                /* (C) */
    X86State *state;            /* (V) allocated by the accelerator */
    void *accel_data;           /* (V) */

    uint32_t pending;           /* (A) CPU_PEND_*; release on set */
    uint8_t sipi_vector;        /* (A) written before CPU_PEND_SIPI */
    uint8_t n_nmis;             /* (A) see cpu_nmi() */
    bool is_bsp;

    /* Thread control, under `mutex`. */
    GThread *thread;
    int thread_id;              /* the host's; written by the thread */
    GMutex mutex;
    GCond wake;                 /* vCPU waits: stopped or halted */
    bool stop_request;
    bool stopped;
    bool unplug;
    bool thread_idle;           /* in a host wait: kick must wake it */
    GQueue work;                /* of CpuWork */
    bool in_run;                /* (A) between accel->run() and its return */

    CpuDebugStop debug_stop;    /* (V) the last one */
    uint64_t n_insns;           /* (V) guest instructions run, when counted */
};

extern const DeviceType x86_cpu_type;   /* abstract root of "…-x86_64-cpu" */

/* Make `n`th vCPU of `m` with the machine's -cpu; thread started, stopped. */
X86Cpu *cpu_create(Machine *m, unsigned index, GError **err);
/* The vCPU whose thread this is, or NULL. */
X86Cpu *cpu_current(void);
X86Cpu *cpu_by_index(unsigned index);
X86Cpu *cpu_by_apic_id(uint32_t apic_id);
/* The A20 gate: false masks address bit 20.  Any thread. */
bool cpu_a20(void);
/* Create topo.cpus of them; used by boards. */
bool cpus_create(Machine *m, GError **err);
/* End their threads and free them (shutdown).  Without the machine lock. */
void cpus_destroy(Machine *m);
/* The APIC id of the `index`th possible vCPU, present or not. */
uint32_t cpu_topology_apic_id(const CpuTopology *t, unsigned index);

/* Set pending bits and make the vCPU look at them.  Any thread, no lock. */
void cpu_interrupt(X86Cpu *cpu, uint32_t bits);
static inline void cpu_clear_pending(X86Cpu *cpu, uint32_t bits)
{
    __atomic_and_fetch(&cpu->pending, ~bits, __ATOMIC_ACQ_REL);
}
static inline uint32_t cpu_pending(const X86Cpu *cpu)
{
    return __atomic_load_n(&cpu->pending, __ATOMIC_ACQUIRE);
}

/*
 * An NMI.  Any thread, no lock.  A processor that has taken none yet holds two:
 * the one that it is about to take and the one that it latches meanwhile.
 * cpu_take_nmi(): between instructions, take one if there is one; CPU_PEND_NMI
 * stays set while another waits.  cpu_merge_nmis(): NMIs are about to be let in again, and of
 * those that came since only one was latched.
 */
void cpu_nmi(X86Cpu *cpu);
bool cpu_take_nmi(X86Cpu *cpu);
void cpu_merge_nmis(X86Cpu *cpu);

/* Run fn(cpu, opaque) in the vCPU's thread, between instructions (also while
 * it is stopped).  queue: soon; run: before returning.  `run` must be called
 * without the machine lock unless the vCPU is stopped or is the caller. */
void cpu_queue_work(X86Cpu *cpu, void (*fn)(X86Cpu *, void *), void *opaque);
void cpu_run_work(X86Cpu *cpu, void (*fn)(X86Cpu *, void *), void *opaque);

/* Processor reset (power-up or INIT) into `cpu->state`: SDM table 9-1. */
void cpu_reset_state(X86Cpu *cpu, bool init_only);
/* A register dump in the style of `info registers`. */
void cpu_print_registers(X86Cpu *cpu, GString *out);
const State *cpu_state_table(void);
/* Physical memory as it sees it now: in system management mode more. */
AddressSpace *cpu_memory(const X86Cpu *cpu);
/* `info tlb`, `info mem`: its page tables.  The vCPU is stopped. */
void cpu_print_tlb(X86Cpu *cpu, GString *out);
void cpu_print_mem(X86Cpu *cpu, GString *out);

/* A machine check, as a bank would log it. */
typedef struct CpuMce {
    uint64_t bank, status, mcg_status, addr, misc;
} CpuMce;
typedef enum {
    CPU_MCE_RAISED,             /* #MC, or shutdown, is on its way */
    CPU_MCE_SILENT,             /* logged: corrected, or not enabled */
    CPU_MCE_NO_BANK, CPU_MCE_INVALID,   /* VAL is clear */
} CpuMceResult;
/* The vCPU is stopped. */
CpuMceResult cpu_inject_mce(X86Cpu *cpu, const CpuMce *event);
/* Memory as the vCPU sees it, for debuggers: no faults, no A or D bits.  The
 * vCPU is stopped.  False when it is not mapped. */
bool cpu_debug_translate(X86Cpu *cpu, uint64_t gva, hwaddr *gpa);
bool cpu_debug_read(X86Cpu *cpu, uint64_t gva, void *buf, size_t len);

/* --- what an accelerator asks for between instructions -------------------- */

/* Would an external interrupt be delivered if IF were set?  No lock. */
bool cpu_has_interrupt(X86Cpu *cpu);
/* Acknowledge it: the vector, or -1 when it went away.  Takes the machine
 * lock for an 8259. */
int cpu_take_interrupt(X86Cpu *cpu);
/* Act on INIT and SIPI in cpu->pending; called by accel->run() when it sees
 * them.  Clears them. */
void cpu_do_init_sipi(X86Cpu *cpu);

/* MSRs that are the same under every emulating accelerator.  False: #GP. */
bool cpu_rdmsr(X86Cpu *cpu, uint32_t msr, uint64_t *val);
bool cpu_wrmsr(X86Cpu *cpu, uint32_t msr, uint64_t val);
/* Those that do not exist read 0 and take writes. */
extern bool cpu_ignore_msrs;
/* Guest TSC now, and its rate. */
uint64_t cpu_read_tsc(X86Cpu *cpu);
uint64_t cpu_tsc_hz(void);
void cpu_write_tsc(X86Cpu *cpu, uint64_t val);

/* --- CPUID and models (src/cpu/cpuid.c) ------------------------------------ */

/* -cpu text ("max,+avx2,-rdrand") resolved against what `accel` offers;
 * warns once for each feature asked for and not available, fails naming an
 * unknown model or feature and the nearest known. */
CpuModel *cpu_model_new(const char *text, const AccelOps *accel, GError **err);
void cpu_model_free(CpuModel *model);
void cpu_model_list(void);                  /* -cpu help */
/* CPUID as `cpu` answers it now (OSXSAVE, APIC id, XSAVE sizes, …). */
void cpu_cpuid(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t r[4]);
/* Does the model have this feature?  FEAT_* of cpu/features.h. */
bool cpu_has(const X86Cpu *cpu, unsigned feature);
/* The width of physical addresses. */
unsigned cpu_phys_bits(const X86Cpu *cpu);
/* All of them: N_FEATURE_WORDS words, constant. */
const uint32_t *cpu_feature_words(const X86Cpu *cpu);
/* The bits that XCR0 may have. */
uint64_t cpu_xcr0_supported(const X86Cpu *cpu);

/* --- accelerators ----------------------------------------------------------- */

typedef enum {
    CPU_RUN_EXIT,               /* CPU_PEND_EXIT or work: look at requests */
    CPU_RUN_HALT,               /* state->halted: wait for an interrupt */
    CPU_RUN_TRIPLE_FAULT,
    CPU_RUN_DEBUG,              /* guest debugging: breakpoint reached */
    CPU_RUN_ERROR,              /* reported already; the machine stops */
} CpuRun;

struct AccelOps {
    const char *name;           /* "tcg", "kvm", "qtest" */
    const char *doc;
    const Property *props;      /* of -accel; into the structure below */
    /* Can it be used here?  False with the reason and the remedy. */
    bool (*available)(GError **err);
    /* `options`: its own properties as given, or NULL. */
    bool (*init)(Machine *m, Opt *options, GError **err);
    bool (*cpu_init)(X86Cpu *cpu, GError **err);    /* allocates state */
    void (*cpu_free)(X86Cpu *cpu);
    /* vCPU thread: run until there is something for the caller. */
    CpuRun (*run)(X86Cpu *cpu);
    /* Make run() notice `pending` soon; any thread. */
    void (*kick)(X86Cpu *cpu);
    /* cpu->state was changed from outside; or is about to be read. */
    void (*put_state)(X86Cpu *cpu);
    void (*get_state)(X86Cpu *cpu);
    /* Features it can give a guest, FEAT_* words; see cpu/features.h. */
    void (*features)(uint32_t *words);
    /* The A20 gate moved (machine lock); NULL when nothing is needed. */
    void (*set_a20)(bool on);
    /* It could be used; is it worth choosing while there is another?  False
     * with the reason.  NULL: yes. */
    bool (*preferable)(GError **err);
    /* The rate of the guest's TSC; NULL: 1 GHz, see src/cpu/tsc.c. */
    uint64_t (*tsc_hz)(void);
    /* The processor that guest code runs on, for -cpu host and max; NULL: none
     * in particular. */
    void (*host_cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t r[4]);
    /* `info kvm`, `info jit`. */
    void (*print_info)(GString *out);
    void (*print_jit)(GString *out);
    /* Local APICs are the accelerator's: it waits in HLT, takes IPIs and runs
     * their timers, and cpu->apic only holds a copy.  load and store bring
     * that copy and the accelerator's into agreement, in the vCPU's thread. */
    bool apic_in_kernel;
    void (*apic_load)(X86Cpu *cpu);
    void (*apic_store)(X86Cpu *cpu);
    /* The guest's kernel mode runs at a hundredth of its user mode's speed:
     * what can be done for the kernel should be. */
    bool slow_kernel;
    /* From the next run() on; the vCPU is stopped.  All zero: nothing.  False
     * with the reason; NULL: it does not do that. */
    bool (*set_debug)(X86Cpu *cpu, const CpuDebug *want, GError **err);
    bool no_cpus;               /* qtest: vCPU threads only wait */
    bool smm;                   /* SMIs are delivered: see mem.h, as_smm */
    bool mce;                   /* CPU_PEND_MCE is */
};

#define ACCEL_TYPE(ops)                                             \
    __attribute__((constructor)) static void accel_add_##ops(void)  \
    {                                                               \
        accel_register(&(ops));                                     \
    }
void accel_register(const AccelOps *ops);
const AccelOps *accel_find(const char *name);
GPtrArray *accel_list(void);
/* The one in use. */
const AccelOps *accel(void);
/* Choose from "kvm:tcg" (NULL: the default order) and initialise it.  The
 * choice, when there was one, is told in one line on stderr.  `options` (may
 * be NULL) holds for each accelerator's name the dict of its properties. */
bool accel_select(Machine *m, const char *names, Opt *options, GError **err);

#endif
