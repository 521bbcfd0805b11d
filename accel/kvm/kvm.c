/*
 * KVM: the system, its capabilities, and the accelerator's table.
 *
 * Spec:  Linux, Documentation/virt/kvm/api.rst.
 * Locks: init before the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opts.h"
#include "loop/timer.h"

#define KVM_DEVICE "/dev/kvm"

/* Newer than the oldest headers that we are built with. */
enum { CAP_NOTIFY_VMEXIT = 219, NOTIFY_ENABLED = 1, NOTIFY_USER = 2 };

enum { API_VERSION = 12, TRIES = 100 };

/* Below the firmware, in no one's way: SDM 3C 25.3.1.4 wants three pages for
 * real mode without unrestricted guests, and one for an identity map. */
#define IDENTITY_MAP_GPA UINT64_C(0xfeffc000)
#define TSS_GPA          UINT64_C(0xfeffd000)

Kvm kvm = { .fd = -1, .vm_fd = -1 };

static AccelOps kvm_accel;

/* What -accel kvm,... sets. */
enum { SLOWDOWN_MAX = 1000, SLOWDOWN_SOFTWARE = 20 };

typedef struct KvmOptions {
    int irqchip;
    uint64_t ring_size, slowdown;
} KvmOptions;

static const char *const chip_names[] = { "on", "split", "off", NULL };

static const Property kvm_props[] = {
    PROP_ENUM(KvmOptions, irqchip, "kernel-irqchip", CHIPS_ON, chip_names,
              "whose interrupt controllers: all KVM's, local APICs only, none"),
    PROP_U64(KvmOptions, ring_size, "dirty-ring-size", 0,
             "entries of a vCPU's dirty ring; 0: bitmaps"),
    PROP_U64(KvmOptions, slowdown, "x-slowdown", 0,
             "host time for one unit of guest time; 0: as the host needs"),
    {}
};

/* --- requests --------------------------------------------------------------- */

static int host_ioctl(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg);
}

int (*kvm_ioctl)(int fd, unsigned long request, void *arg) = host_ioctl;

int kvm_do(int fd, unsigned long request, void *arg)
{
    int result = -EAGAIN;

    for (unsigned i = 0; i < TRIES; i++) {
        result = kvm_ioctl(fd, request, arg);
        if (result >= 0) {
            return result;
        }
        result = -errno;
        if (result != -EINTR && result != -EAGAIN) {
            break;
        }
    }
    return result;
}

int kvm_check(int cap)
{
    int n = kvm_do(kvm.vm_fd >= 0 ? kvm.vm_fd : kvm.fd, KVM_CHECK_EXTENSION,
                   (void *)(uintptr_t)cap);

    return MAX(n, 0);
}

bool kvm_enable(int fd, unsigned cap, uint64_t arg0, uint64_t arg1)
{
    struct kvm_enable_cap e = { .cap = cap, .args = { arg0, arg1 } };

    return kvm_do(fd, KVM_ENABLE_CAP, &e) == 0;
}

bool kvm_fail(GError **err, int result, const char *what)
{
    g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(-result),
                "KVM: %s: %s", what, g_strerror(-result));
    return false;
}

/* --- can it be used? ----------------------------------------------------------- */

static void no_access(GError **err)
{
    struct stat st;
    const struct group *group = NULL;

    if (stat(KVM_DEVICE, &st) == 0 && st.st_mode & S_IWGRP && st.st_gid) {
        group = getgrgid(st.st_gid);
    }
    if (group) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_ACCES,
                    "no permission to use " KVM_DEVICE ": join the group "
                    "'%s' (adduser $USER %s, then log in again)",
                    group->gr_name, group->gr_name);
    } else {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_ACCES,
                    "no permission to use " KVM_DEVICE ": its owner must "
                    "allow it (mode %04o)",
                    (unsigned)(st.st_mode & 07777));
    }
}

bool kvm_open(int *fd, GError **err)
{
    int version;

    *fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (*fd < 0) {
        switch (errno) {
        case ENOENT:
        case ENXIO:
        case ENODEV:
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                        "there is no usable " KVM_DEVICE ": load kvm_intel or "
                        "kvm_amd, and enable virtualization in the firmware "
                        "(in a VM: nested virtualization)");
            break;
        case EACCES:
        case EPERM:
            no_access(err);
            break;
        case EBUSY:
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                        KVM_DEVICE " is busy: another hypervisor uses the "
                        "processor's virtualization; stop it first");
            break;
        default:
            g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(errno),
                        "cannot open " KVM_DEVICE ": %s", g_strerror(errno));
        }
        return false;
    }
    version = kvm_do(*fd, KVM_GET_API_VERSION, NULL);
    if (version != API_VERSION) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    KVM_DEVICE " speaks version %d; 12 is wanted (any Linux "
                    "since 2.6.22)", version);
        close(*fd);
        *fd = -1;
        return false;
    }
    return true;
}

static bool kvm_available(GError **err)
{
    int fd;

    if (!kvm_open(&fd, err)) {
        return false;
    }
    close(fd);
    return true;
}

/* --- a VM ------------------------------------------------------------------------ */

static bool create_vm(GError **err)
{
    int result = kvm_do(kvm.fd, KVM_CREATE_VM, NULL);

    if (result < 0) {
        if (result == -EBUSY || result == -EIO) {
            g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                        "KVM cannot make a VM: another hypervisor uses the "
                        "processor's virtualization; stop it first");
            return false;
        }
        return kvm_fail(err, result, "cannot make a VM");
    }
    kvm.vm_fd = result;
    return true;
}

static bool need(GError **err, int cap, const char *name)
{
    if (kvm_check(cap)) {
        return true;
    }
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSYS,
                "this kernel's KVM lacks %s: a newer kernel is needed, or "
                "-accel tcg", name);
    return false;
}

static bool read_caps(GError **err)
{
    int result;

    if (!need(err, KVM_CAP_USER_MEMORY, "user memory slots")
        || !need(err, KVM_CAP_IMMEDIATE_EXIT, "immediate exit")
        || !need(err, KVM_CAP_VCPU_EVENTS, "vCPU events")
        || !need(err, KVM_CAP_XSAVE, "XSAVE")
        || !need(err, KVM_CAP_DEBUGREGS, "debug registers")
        || !need(err, KVM_CAP_MP_STATE, "MP state")
        || !need(err, KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "memory slots that "
                 "go away")) {
        return false;
    }
    result = kvm_do(kvm.fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (result < (int)sizeof(struct kvm_run)) {
        return kvm_fail(err, result < 0 ? result : -EINVAL,
                        "no shared area of vCPUs");
    }
    kvm.run_bytes = result;
    kvm.xsave_bytes = MAX(kvm_check(KVM_CAP_XSAVE2),
                          (int)sizeof(struct kvm_xsave));
    kvm.n_slots_max = kvm_check(KVM_CAP_NR_MEMSLOTS);
    kvm.n_slots_max = kvm.n_slots_max ? kvm.n_slots_max : 32;
    kvm.readonly_mem = kvm_check(KVM_CAP_READONLY_MEM);
    kvm.xcrs = kvm_check(KVM_CAP_XCRS);
    kvm.smm = kvm_check(KVM_CAP_X86_SMM);
    kvm.mce = kvm_check(KVM_CAP_MCE);
    kvm.sync_regs = (kvm_check(KVM_CAP_SYNC_REGS)
                     & KVM_SYNC_X86_VALID_FIELDS) == KVM_SYNC_X86_VALID_FIELDS;
    return true;
}

/* Optional things that make life better where they exist. */
static void enable_caps(void)
{
    kvm.exit_on_failure =
        kvm_check(KVM_CAP_EXIT_ON_EMULATION_FAILURE)
        && kvm_enable(kvm.vm_fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, 0);
    kvm.exception_payload =
        kvm_check(KVM_CAP_EXCEPTION_PAYLOAD)
        && kvm_enable(kvm.vm_fd, KVM_CAP_EXCEPTION_PAYLOAD, 1, 0);
    kvm.triple_fault_event =
        kvm_check(KVM_CAP_X86_TRIPLE_FAULT_EVENT)
        && kvm_enable(kvm.vm_fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, 0);
    /* Who finds out how to hold up a processor does not hold up the host. */
    if (kvm_check(CAP_NOTIFY_VMEXIT)) {
        kvm_enable(kvm.vm_fd, CAP_NOTIFY_VMEXIT, NOTIFY_ENABLED | NOTIFY_USER,
                   0);
    }
    /* MSRs that KVM does not have may be in the model all the same. */
    kvm.user_msrs =
        kvm_check(KVM_CAP_X86_USER_SPACE_MSR) & KVM_MSR_EXIT_REASON_UNKNOWN
        && kvm_enable(kvm.vm_fd, KVM_CAP_X86_USER_SPACE_MSR,
                      KVM_MSR_EXIT_REASON_UNKNOWN, 0);
    if (kvm_apic_in_kernel() && kvm_check(KVM_CAP_X2APIC_API)) {
        kvm_enable(kvm.vm_fd, KVM_CAP_X2APIC_API,
                   KVM_X2APIC_API_USE_32BIT_IDS
                   | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, 0);
    }
}

static bool enable_ring(uint64_t entries, GError **err)
{
    uint64_t bytes = entries * sizeof(struct kvm_dirty_gfn);
    int max = kvm_check(KVM_CAP_DIRTY_LOG_RING_ACQ_REL);

    if (!entries) {
        return true;
    }
    if (entries & (entries - 1) || entries < 1024 || bytes > (uint64_t)max) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "-accel kvm,dirty-ring-size=%" PRIu64 ": a power of two "
                    "from 1024 to %u is wanted", entries,
                    (unsigned)(max / sizeof(struct kvm_dirty_gfn)));
        return false;
    }
    /* There each store of the guest's kernel is an entry, and so many are made
     * between two looks at the ring that it overflows: then neither its reader
     * nor its writer finds a way back. */
    if (kvm_is_software()) {
        g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                    "-accel kvm,dirty-ring-size=%" PRIu64 ": this host's KVM "
                    "interprets guests' kernels and loses entries of rings: "
                    "leave it out", entries);
        return false;
    }
    if (!kvm_enable(kvm.vm_fd, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, bytes, 0)) {
        return kvm_fail(err, -errno, "dirty ring");
    }
    kvm.ring_bytes = bytes;
    return true;
}

/* --- time: kvmclock stands still while the machine is stopped ------------------ */

static struct kvm_clock_data stopped_clock;
static bool clock_stopped;

static void run_state_changed(void *opaque, RunState now)
{
    struct kvm_clock_data data;

    if (now != RUN_STATE_RUNNING) {
        kvm_flush_posted();
        clock_stopped = clock_stopped
            || kvm_vm(KVM_GET_CLOCK, &stopped_clock) == 0;
        return;
    }
    if (!clock_stopped) {
        return;                 /* the first start */
    }
    clock_stopped = false;
    data = (struct kvm_clock_data) { .clock = stopped_clock.clock };
    kvm_vm(KVM_SET_CLOCK, &data);
    for (unsigned i = 0; i < machine()->cpus->len; i++) {
        X86Cpu *cpu = g_ptr_array_index(machine()->cpus, i);

        /* Guests that watch for lost time forgive this one; those without
         * kvmclock are told EINVAL. */
        kvm_do(kvm_cpu(cpu)->fd, KVM_KVMCLOCK_CTRL, NULL);
        kvm_cpu(cpu)->dirty |= PART_TSC;
    }
}

static void system_reset(void *opaque)
{
    for (unsigned i = 0; i < machine()->cpus->len; i++) {
        kvm_regs_reset(kvm_cpu(g_ptr_array_index(machine()->cpus, i)));
    }
}

static uint64_t kvm_tsc_hz(void)
{
    uint64_t khz = __atomic_load_n(&kvm.tsc_khz, __ATOMIC_RELAXED);

    return (khz ? khz * 1000 : NS_PER_SEC) * kvm.slowdown;
}

/* --- the accelerator --------------------------------------------------------------- */

static bool kvm_init(Machine *m, Opt *options, GError **err)
{
    KvmOptions o = { 0 };
    uint64_t identity = IDENTITY_MAP_GPA;

    if (!kvm_open(&kvm.fd, err) || !kvm_cpuid_init(err)) {
        return false;
    }
    o.irqchip = kvm_is_software() ? CHIPS_OFF : CHIPS_ON;
    if (options
        && (!opt_get_enum(options, "kernel-irqchip", chip_names, &o.irqchip,
                          err)
            || !opt_get_uint(options, "x-slowdown", &o.slowdown,
                             SLOWDOWN_MAX, err)
            || !opt_get_uint(options, "dirty-ring-size", &o.ring_size,
                             1 << 20, err)
            || !opt_all_read(options, "-accel kvm", NULL, err))) {
        return false;
    }
    kvm.chips = o.irqchip;
    if (!create_vm(err) || !read_caps(err)) {
        return false;
    }
    kvm.slowdown = o.slowdown;
    if (!kvm.slowdown) {
        kvm.slowdown = kvm_is_software() && kvm.chips == CHIPS_OFF
                       ? SLOWDOWN_SOFTWARE : 1;
    }
    clock_set_slowdown(kvm.slowdown);
    kvm_accel.apic_in_kernel = kvm_apic_in_kernel();
    kvm_accel.slow_kernel = kvm_is_software();
    kvm_vm(KVM_SET_IDENTITY_MAP_ADDR, &identity);
    kvm_vm(KVM_SET_TSS_ADDR, (void *)TSS_GPA);
    enable_caps();
    if (!enable_ring(o.ring_size, err) || !kvm_irqchip_init(err)) {
        return false;
    }
    kvm_memory_init();
    machine_add_state_hook(run_state_changed, NULL);
    machine_add_reset(system_reset, NULL);
    return true;
}

static void kvm_print_info(GString *out)
{
    g_string_append(out, "kvm support: enabled\n");
    kvm_print_chips(out);
    kvm_print_slots(out);
    for (unsigned i = 0; i < machine()->cpus->len; i++) {
        KvmCpu *k = kvm_cpu(g_ptr_array_index(machine()->cpus, i));

        g_string_append_printf(out, "CPU %u exits:", i);
        for (unsigned n = 0; n < N_EXIT_REASONS; n++) {
            if (k->n_exits[n]) {
                g_string_append_printf(out, " %s %" PRIu64, kvm_exit_name(n),
                                       k->n_exits[n]);
            }
        }
        g_string_append_c(out, '\n');
    }
    kvm_print_rescues(out);
}

static AccelOps kvm_accel = {
    .name = "kvm", .doc = "the host's processor, by /dev/kvm",
    .props = kvm_props, .available = kvm_available,
    .preferable = kvm_probe, .init = kvm_init, .cpu_init = kvm_cpu_init,
    .cpu_free = kvm_cpu_free, .run = kvm_cpu_run, .kick = kvm_cpu_kick,
    .put_state = kvm_cpu_put_state, .get_state = kvm_cpu_get_state,
    .features = kvm_features, .tsc_hz = kvm_tsc_hz,
    .host_cpuid = kvm_host_cpuid, .print_info = kvm_print_info,
    .apic_load = kvm_apic_load, .apic_store = kvm_apic_store,
    .set_debug = kvm_set_debug,
};
ACCEL_TYPE(kvm_accel)
