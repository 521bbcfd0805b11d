/*
 * The machine: what the command line asked for, the board that answers it,
 * its run state, reset and shutdown.
 *
 * Locks: machine lock, but for the requests, which any thread may make.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include "core/device.h"

typedef struct Machine Machine;
typedef struct MachineType MachineType;

typedef struct CpuTopology {
    unsigned cpus;              /* present at start, 1 to maxcpus */
    unsigned maxcpus;
    unsigned sockets, dies, cores, threads;     /* product is maxcpus */
} CpuTopology;

typedef struct CompatProp {
    const char *type, *name, *value;    /* type NULL ends a table */
} CompatProp;

struct MachineType {
    const char *name;           /* "pc-i440fx-10.0" */
    const char *alias;          /* "pc": accepted, resolves to this */
    const char *doc;
    unsigned max_cpus;
    uint64_t default_ram_bytes;
    const char *default_cpu;
    const CompatProp *compat;
    const Property *props;      /* of -machine, into the structure */
    size_t size;                /* of the structure that embeds Machine */
    bool (*init)(Machine *, GError **);         /* wire the board */
    /* All devices of the command line are there: build tables, load the
     * kernel.  May be NULL. */
    bool (*done)(Machine *, GError **);
    bool deprecated;
};

#define MACHINE_TYPE(t)                                             \
    __attribute__((constructor)) static void machine_add_##t(void)  \
    {                                                               \
        machine_type_register(&(t));                                \
    }
void machine_type_register(const MachineType *t);
const MachineType *machine_type_find(const char *name);
GPtrArray *machine_type_list(void);     /* sorted; free the array */

typedef enum {
    RUN_STATE_PRELAUNCH, RUN_STATE_RUNNING, RUN_STATE_PAUSED,
    RUN_STATE_SHUTDOWN, RUN_STATE_GUEST_PANICKED, RUN_STATE_INTERNAL_ERROR,
    RUN_STATE_DEBUG, RUN_STATE_IO_ERROR, RUN_STATE_SUSPENDED,
} RunState;
const char *run_state_name(RunState s);         /* QEMU's names */

typedef enum {
    SHUTDOWN_NONE, SHUTDOWN_HOST_QUIT, SHUTDOWN_HOST_SIGNAL,
    SHUTDOWN_GUEST_SHUTDOWN, SHUTDOWN_GUEST_RESET, SHUTDOWN_GUEST_PANIC,
    SHUTDOWN_TRIPLE_FAULT, SHUTDOWN_HOST_RESET, SHUTDOWN_ERROR,
} ShutdownCause;

/* What ended a suspend to RAM. */
typedef enum { WAKE_NONE, WAKE_RTC, WAKE_BUTTON, WAKE_OTHER } WakeCause;

/* -action panic=: what to do when the guest says that it panicked. */
typedef enum {
    PANIC_SHUTDOWN, PANIC_PAUSE, PANIC_EXIT_FAILURE, PANIC_NONE
} PanicAction;

struct Machine {
    Object obj;
    const MachineType *type;

    /* Set from the command line before init. */
    uint64_t ram_bytes;
    CpuTopology topo;
    const char *cpu_model;      /* -cpu, whole, or the type's default */
    char *kernel, *initrd, *append, *dtb, *firmware;
    char *name;                 /* -name */
    uint8_t uuid[16];           /* -uuid, as it is written; zero when not */
    char *boot_order;           /* -boot order=, as "cdn"; NULL: the board's */
    bool boot_menu;
    PanicAction on_panic;
    bool no_reboot, no_shutdown, no_defaults;
    bool autostart;             /* false with -S */
    GPtrArray *serials;         /* of Chardev *, NULL for "none" */
    bool graphics;              /* false with -nographic, -display none */
    bool acpi, hpet, smm;       /* common -machine switches, true by default */

    /* Made by the board. */
    Region ram;                 /* all of it; the board maps aliases */
    GPtrArray *cpus;            /* of X86Cpu *, in order of index */

    RunState state;
    bool suspended;             /* to RAM; what is paused meanwhile stays so */
    WakeCause waking;           /* during the reset that ends that */
};

/* The switches that every type has, into Machine. */
extern const Property machine_common_props[];

/* The one machine, or NULL before it is made. */
Machine *machine(void);
Machine *machine_new(const MachineType *t);
bool machine_init(Machine *m, GError **err);    /* RAM, board */
bool machine_done(Machine *m, GError **err);    /* then reset */

/* --- running ------------------------------------------------------------- */
void machine_start(Machine *m);                 /* cont */
void machine_stop(Machine *m, RunState why);    /* returns with vCPUs stopped */
bool machine_running(const Machine *m);
void machine_set_state(Machine *m, RunState s);
/* Called on each change, under the machine lock. */
typedef void RunStateFn(void *opaque, RunState now);
void machine_add_state_hook(RunStateFn *fn, void *opaque);
/* Set by src/cpu: stop and resume every vCPU. */
extern void (*machine_pause_cpus)(void);
extern void (*machine_resume_cpus)(void);

/*
 * Reset: devices in order, then vCPUs, then hooks registered below (the boot
 * loaders put the entry state in place).  To be called with vCPUs stopped;
 * everyone else requests.
 */
void machine_reset(Machine *m);
typedef void ResetFn(void *opaque);
void machine_add_reset(ResetFn *fn, void *opaque);  /* in order of adding */
void machine_remove_reset(ResetFn *fn, void *opaque);
/* CPUs are reset through this, after devices: set by src/cpu. */
extern void (*machine_reset_cpus)(void);

/* Any thread, any lock: acted on soon by the main loop.  A vCPU that asks
 * stops where it is, but for a panic. */
void machine_request_reset(ShutdownCause why);
void machine_request_shutdown(ShutdownCause why);
/* The exit status to leave with (isa-debug-exit); then a shutdown. */
void machine_request_exit(int status);
/*
 * Suspend to RAM.  A vCPU that asks runs nothing more; the others stop soon.
 * Clocks go on, and so do devices; a wake-up resets all but RAM, and whoever
 * stands for the firmware (or it, by CMOS 0Fh) finds where to resume.
 */
void machine_request_suspend(void);
void machine_request_wakeup(WakeCause why);
bool machine_suspended(void);
WakeCause machine_waking(void); /* WAKE_NONE but inside of that reset */
/* Set by src/cpu: the calling vCPU, if it is one, stops. */
extern void (*machine_stop_this_cpu)(void);
/* The guest asked to power off by ACPI or to be woken by the button. */
void machine_powerdown(void);                   /* press the power button */
void machine_add_powerdown_hook(void (*fn)(void *opaque), void *opaque);
void machine_remove_powerdown_hook(void (*fn)(void *opaque), void *opaque);

/* What main() returns once the loop has quit. */
int machine_exit_status(void);

/* --- wiring shared by boards and accelerators ---------------------------- */
/* The platform's 8259 pair, when it has one: an INTA cycle gives the vector.
 * Machine lock. */
extern int (*irqchip_pic_inta)(void);
/* A20 gate: called by 8042 and port 92h; set by src/cpu. */
extern void (*machine_set_a20)(bool on);
/* SMI to CPU 0 (APM, PIIX4); set by src/cpu. */
extern void (*machine_raise_smi)(void);
/* Deliver NMI to every CPU (`nmi`, port 61h errors); set by src/cpu. */
extern void (*machine_raise_nmi)(void);
/* FERR# of the processors, while CR0.NE is 0; set by the board's chip.  NULL:
 * not connected.  Machine lock. */
extern void (*machine_set_ferr)(bool level);
/* INIT to the boot CPU (port 92h bit 0, 8042 pulse): as system reset. */

#endif
