/*
 * The machine's life: made, running, paused, reset, shut down.
 *
 * Requests (reset, shutdown, exit) may come from any thread and under any
 * lock; they are words that the main loop looks at.
 *
 * Locks: machine lock, but for the requests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core/machine.h"

#include "base/trace.h"
#include "loop/timer.h"

int (*irqchip_pic_inta)(void);
void (*machine_set_a20)(bool on);
void (*machine_raise_smi)(void);
void (*machine_raise_nmi)(void);
void (*machine_set_ferr)(bool level);
void (*machine_pause_cpus)(void);
void (*machine_resume_cpus)(void);
void (*machine_reset_cpus)(void);
void (*machine_stop_this_cpu)(void);

static Machine *the_machine;
static int exit_status;

/* --- types ------------------------------------------------------------------------- */

static GPtrArray *machine_types;

void machine_type_register(const MachineType *t)
{
    if (!machine_types) {
        machine_types = g_ptr_array_new();
    }
    g_ptr_array_add(machine_types, (gpointer)t);
}

const MachineType *machine_type_find(const char *name)
{
    for (unsigned i = 0; machine_types && i < machine_types->len; i++) {
        const MachineType *t = g_ptr_array_index(machine_types, i);

        if (!strcmp(t->name, name) || (t->alias && !strcmp(t->alias, name))) {
            return t;
        }
    }
    return NULL;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const MachineType *const *)a)->name,
                  (*(const MachineType *const *)b)->name);
}

GPtrArray *machine_type_list(void)
{
    GPtrArray *list = g_ptr_array_new();

    for (unsigned i = 0; machine_types && i < machine_types->len; i++) {
        g_ptr_array_add(list, g_ptr_array_index(machine_types, i));
    }
    g_ptr_array_sort(list, by_name);
    return list;
}

/* --- making ------------------------------------------------------------------------- */

Machine *machine(void)
{
    return the_machine;
}

const Property machine_common_props[] = {
    PROP_BOOL(Machine, acpi, "acpi", true, "describe the machine by ACPI"),
    PROP_BOOL(Machine, graphics, "graphics", true,
              "off: firmware uses the first serial line"),
    PROP_BOOL(Machine, hpet, "hpet", true, "an HPET"),
    PROP_BOOL(Machine, smm, "smm", true, "system management mode"),
    {}
};

static const Type common_type = {
    .name = "machine", .parent = &object_type, .size = sizeof(Machine),
    .abstract = true, .props = machine_common_props,
};

/* Each MachineType becomes the object type of its one instance. */
static Type instance_type;

Machine *machine_new(const MachineType *t)
{
    Machine *m;

    g_assert(!the_machine && t->size >= sizeof(Machine));
    instance_type = (Type) {
        .name = t->name, .doc = t->doc, .parent = &common_type,
        .size = t->size, .internal = true, .props = t->props,
    };
    m = container_of(object_new(&instance_type), Machine, obj);
    m->type = t;
    m->ram_bytes = t->default_ram_bytes;
    m->topo = (CpuTopology) { 1, 1, 1, 1, 1, 1 };
    m->cpu_model = t->default_cpu;
    m->autostart = true;
    m->graphics = true;
    m->serials = g_ptr_array_new();
    m->cpus = g_ptr_array_new();
    m->state = RUN_STATE_PRELAUNCH;
    the_machine = m;
    return m;
}

static void add_compat(const MachineType *t)
{
    for (const CompatProp *c = t->compat; c && c->type; c++) {
        prop_add_global(c->type, c->name, c->value, false);
    }
}

bool machine_init(Machine *m, GError **err)
{
    add_compat(m->type);
    if (m->ram_bytes
        && !region_init_ram(&m->ram, &m->obj, "pc.ram", m->ram_bytes, err)) {
        return false;
    }
    return m->type->init(m, err);
}

bool machine_done(Machine *m, GError **err)
{
    if (m->type->done && !m->type->done(m, err)) {
        return false;
    }
    machine_reset(m);
    return true;
}

/* --- run state ------------------------------------------------------------------------ */

const char *run_state_name(RunState s)
{
    static const char *const names[] = {
        [RUN_STATE_PRELAUNCH] = "prelaunch",
        [RUN_STATE_RUNNING] = "running",
        [RUN_STATE_PAUSED] = "paused",
        [RUN_STATE_SHUTDOWN] = "shutdown",
        [RUN_STATE_GUEST_PANICKED] = "guest-panicked",
        [RUN_STATE_INTERNAL_ERROR] = "internal-error",
        [RUN_STATE_DEBUG] = "debug",
        [RUN_STATE_IO_ERROR] = "io-error",
        [RUN_STATE_SUSPENDED] = "suspended",
    };

    return names[s];
}

typedef struct {
    RunStateFn *fn;
    void *opaque;
} StateHook;

static GArray *state_hooks;

void machine_add_state_hook(RunStateFn *fn, void *opaque)
{
    StateHook hook = { fn, opaque };

    if (!state_hooks) {
        state_hooks = g_array_new(FALSE, FALSE, sizeof(StateHook));
    }
    g_array_append_val(state_hooks, hook);
}

void machine_set_state(Machine *m, RunState s)
{
    if (m->state == s) {
        return;
    }
    trace("runstate-set", "%s -> %s", run_state_name(m->state),
          run_state_name(s));
    m->state = s;
    for (unsigned i = 0; state_hooks && i < state_hooks->len; i++) {
        StateHook *hook = &g_array_index(state_hooks, StateHook, i);

        hook->fn(hook->opaque, s);
    }
}

bool machine_running(const Machine *m)
{
    return m->state == RUN_STATE_RUNNING;
}

void machine_start(Machine *m)
{
    if (machine_running(m)) {
        return;
    }
    if (m->suspended) {
        if (m->state != RUN_STATE_SUSPENDED) {
            clock_start();
            machine_set_state(m, RUN_STATE_SUSPENDED);
        }
        return;
    }
    clock_start();
    machine_set_state(m, RUN_STATE_RUNNING);
    if (machine_resume_cpus) {
        machine_resume_cpus();
    }
}

void machine_stop(Machine *m, RunState why)
{
    if (machine_running(m)) {
        if (machine_pause_cpus) {
            machine_pause_cpus();
        }
        clock_stop();
    } else if (m->state == RUN_STATE_SUSPENDED) {
        clock_stop();
    }
    machine_set_state(m, why);
}

/* --- reset ----------------------------------------------------------------------------- */

typedef struct {
    ResetFn *fn;
    void *opaque;
} ResetHook;

static GArray *reset_hooks;

void machine_add_reset(ResetFn *fn, void *opaque)
{
    ResetHook hook = { fn, opaque };

    if (!reset_hooks) {
        reset_hooks = g_array_new(FALSE, FALSE, sizeof(ResetHook));
    }
    g_array_append_val(reset_hooks, hook);
}

static void remove_hook(GArray *hooks, ResetFn *fn, void *opaque)
{
    for (unsigned i = 0; hooks && i < hooks->len; i++) {
        ResetHook *hook = &g_array_index(hooks, ResetHook, i);

        if (hook->fn == fn && hook->opaque == opaque) {
            g_array_remove_index(hooks, i);
            return;
        }
    }
}

void machine_remove_reset(ResetFn *fn, void *opaque)
{
    remove_hook(reset_hooks, fn, opaque);
}

/* A device on a bus is reset by the bus's owner. */
static void reset_top(Device *dev, void *opaque)
{
    if (!dev->bus) {
        device_reset(dev);
    }
}

void machine_reset(Machine *m)
{
    trace("machine-reset", "%s", m->type->name);
    device_foreach(NULL, reset_top, NULL);
    if (machine_reset_cpus) {
        machine_reset_cpus();
    }
    for (unsigned i = 0; reset_hooks && i < reset_hooks->len; i++) {
        ResetHook *hook = &g_array_index(reset_hooks, ResetHook, i);

        hook->fn(hook->opaque);
    }
}

/* --- requests ---------------------------------------------------------------------------- */

static int requested_reset, requested_shutdown;     /* (A) a ShutdownCause */
static int requested_suspend;                       /* (A) bool */
static int requested_wakeup;                        /* (A) a WakeCause */
static int request_pending;                         /* (A) handler queued */

static void do_shutdown(Machine *m, ShutdownCause why)
{
    bool hold = m->no_shutdown && why != SHUTDOWN_HOST_QUIT
                && why != SHUTDOWN_HOST_SIGNAL;
    RunState then = RUN_STATE_SHUTDOWN;

    if (why == SHUTDOWN_GUEST_PANIC) {
        if (m->on_panic == PANIC_NONE) {
            return;
        }
        if (m->on_panic == PANIC_EXIT_FAILURE) {
            __atomic_store_n(&exit_status, 1, __ATOMIC_RELEASE);
        }
        hold |= m->on_panic == PANIC_PAUSE;
        then = RUN_STATE_GUEST_PANICKED;
    }
    machine_stop(m, then);
    if (!hold) {
        loop_main_quit();
    }
}

static void leave_suspend(Machine *m)
{
    m->suspended = false;
    if (m->state == RUN_STATE_SUSPENDED) {
        machine_set_state(m, RUN_STATE_RUNNING);
        if (machine_resume_cpus) {
            machine_resume_cpus();
        }
    }
}

static void do_reset(Machine *m, ShutdownCause why)
{
    bool running = machine_running(m);

    if (m->no_reboot && why != SHUTDOWN_HOST_RESET) {
        do_shutdown(m, why);
        return;
    }
    if (running && machine_pause_cpus) {
        machine_pause_cpus();
    }
    machine_reset(m);
    if (m->suspended) {
        leave_suspend(m);
    } else if (running && machine_resume_cpus) {
        machine_resume_cpus();
    }
}

static void do_suspend(Machine *m)
{
    if (!m->suspended) {
        m->suspended = true;
        if (machine_running(m)) {
            if (machine_pause_cpus) {
                machine_pause_cpus();
            }
            machine_set_state(m, RUN_STATE_SUSPENDED);
        }
    }
}

static void do_wakeup(Machine *m, WakeCause why)
{
    if (m->suspended) {
        m->waking = why;
        machine_reset(m);
        m->waking = WAKE_NONE;
        leave_suspend(m);
    }
}

static void serve_requests(void *opaque)
{
    Machine *m = machine();
    ShutdownCause shutdown, reset;
    WakeCause wakeup;
    bool suspend;

    __atomic_store_n(&request_pending, 0, __ATOMIC_SEQ_CST);
    shutdown = __atomic_exchange_n(&requested_shutdown, SHUTDOWN_NONE,
                                   __ATOMIC_ACQ_REL);
    reset = __atomic_exchange_n(&requested_reset, SHUTDOWN_NONE,
                                __ATOMIC_ACQ_REL);
    suspend = __atomic_exchange_n(&requested_suspend, 0, __ATOMIC_ACQ_REL);
    wakeup = __atomic_exchange_n(&requested_wakeup, WAKE_NONE,
                                 __ATOMIC_ACQ_REL);
    if (suspend) {
        do_suspend(m);
    }
    if (wakeup != WAKE_NONE) {
        do_wakeup(m, wakeup);
    }
    if (shutdown != SHUTDOWN_NONE) {
        do_shutdown(m, shutdown);
    } else if (reset != SHUTDOWN_NONE) {
        do_reset(m, reset);
    }
}

static void queue_requests(void)
{
    if (!__atomic_exchange_n(&request_pending, 1, __ATOMIC_SEQ_CST)) {
        loop_call(loop_main(), serve_requests, NULL);
    }
}

/* The vCPU that asks executes nothing more: on a PC what follows a reset or a
 * power-off is never seen.  A panic may be ignored, so it goes on. */
static void request(int *word, ShutdownCause why)
{
    int none = SHUTDOWN_NONE;

    if (why != SHUTDOWN_GUEST_PANIC && machine_stop_this_cpu) {
        machine_stop_this_cpu();
    }
    if (why == SHUTDOWN_HOST_QUIT || why == SHUTDOWN_HOST_SIGNAL) {
        /* Certain to end, which a guest's panic or power-off is not. */
        __atomic_store_n(word, (int)why, __ATOMIC_RELEASE);
    } else {
        /* The first cause is the one that counts. */
        __atomic_compare_exchange_n(word, &none, (int)why, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
    queue_requests();
}

void machine_request_reset(ShutdownCause why)
{
    request(&requested_reset, why);
}

void machine_request_shutdown(ShutdownCause why)
{
    request(&requested_shutdown, why);
}

void machine_request_suspend(void)
{
    __atomic_store_n(&requested_suspend, 1, __ATOMIC_RELEASE);
    if (machine_stop_this_cpu) {
        machine_stop_this_cpu();
    }
    queue_requests();
}

void machine_request_wakeup(WakeCause why)
{
    __atomic_store_n(&requested_wakeup, (int)why, __ATOMIC_RELEASE);
    queue_requests();
}

bool machine_suspended(void)
{
    return machine() && machine()->suspended;
}

WakeCause machine_waking(void)
{
    return machine() ? machine()->waking : WAKE_NONE;
}

void machine_request_exit(int status)
{
    static int requested;       /* (A) the first one counts */

    if (!__atomic_exchange_n(&requested, 1, __ATOMIC_ACQ_REL)) {
        __atomic_store_n(&exit_status, status, __ATOMIC_RELEASE);
    }
    request(&requested_shutdown, SHUTDOWN_HOST_QUIT);
}

int machine_exit_status(void)
{
    return __atomic_load_n(&exit_status, __ATOMIC_ACQUIRE);
}

/* --- power button --------------------------------------------------------------------------- */

static GArray *powerdown_hooks;

void machine_add_powerdown_hook(void (*fn)(void *opaque), void *opaque)
{
    ResetHook hook = { fn, opaque };

    if (!powerdown_hooks) {
        powerdown_hooks = g_array_new(FALSE, FALSE, sizeof(ResetHook));
    }
    g_array_append_val(powerdown_hooks, hook);
}

void machine_remove_powerdown_hook(void (*fn)(void *opaque), void *opaque)
{
    remove_hook(powerdown_hooks, fn, opaque);
}

void machine_powerdown(void)
{
    for (unsigned i = 0; powerdown_hooks && i < powerdown_hooks->len; i++) {
        ResetHook *hook = &g_array_index(powerdown_hooks, ResetHook, i);

        hook->fn(hook->opaque);
    }
}
