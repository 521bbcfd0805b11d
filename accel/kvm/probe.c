/*
 * KVM: is it the processor that executes a guest's kernel, or the host's
 * kernel, instruction by instruction?
 *
 * Some hosts' /dev/kvm is software: it runs a guest's user mode natively and
 * interprets its kernel mode at a few million instructions a second, leaving
 * out some.  There the emulator is the better choice.  A VM with one page of
 * code tells: 16-byte compare and exchange, a breakpoint, a loop.
 *
 * Locks: before the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "accel/kvm/kvm.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/trace.h"

enum {
    RAM_BYTES = 0x8000,
    CODE = 0x1000, STACK = 0x2000, IDT = 0x2000, DATA = 0x3000,
    PML4 = 0x4000, PDPT = 0x5000, PD = 0x6000, GDT = 0x7000,
    PORT = 0x80,
    LOOPS = 200,
    SLOW_US = 60,               /* for them: hardware needs less than one */
    TRIES = 3,
};

/* Each part ends with an OUT of its number. */
static const uint8_t code[] = {
    0xf0, 0x48, 0x0f, 0xc7, 0x0f,               /* lock cmpxchg16b (%rdi) */
    0xb0, 0x01, 0xe6, PORT,                     /* mov $1, %al; out */
    0xcc,                                       /* int3, to the next line */
    0xb0, 0x02, 0xe6, PORT,
    /* 14: */
    0xb9, LOOPS, 0x00, 0x00, 0x00,              /* mov $LOOPS, %ecx */
    0xff, 0xc9, 0x75, 0xfc,                     /* 1: dec %ecx; jnz 1b */
    0xb0, 0x03, 0xe6, PORT,
    0xeb, 0xef,                                 /* again */
};

typedef struct Scratch {
    int fd, vm, vcpu;
    uint8_t *ram;
    struct kvm_run *run;
    size_t run_bytes;
} Scratch;

static bool scratch_open(Scratch *p)
{
    struct kvm_userspace_memory_region r = { .memory_size = RAM_BYTES };

    *p = (Scratch) { .fd = -1, .vm = -1, .vcpu = -1, .ram = MAP_FAILED,
                     .run = MAP_FAILED };
    if (!kvm_open(&p->fd, NULL)) {
        return false;
    }
    p->vm = kvm_do(p->fd, KVM_CREATE_VM, NULL);
    p->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p->vm < 0 || p->ram == MAP_FAILED) {
        return false;
    }
    r.userspace_addr = (uintptr_t)p->ram;
    kvm_do(p->vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)0xfeffd000);
    p->run_bytes = MAX(kvm_do(p->fd, KVM_GET_VCPU_MMAP_SIZE, NULL), 0);
    p->vcpu = kvm_do(p->vm, KVM_CREATE_VCPU, NULL);
    if (p->vcpu < 0 || kvm_do(p->vm, KVM_SET_USER_MEMORY_REGION, &r) < 0) {
        return false;
    }
    p->run = mmap(NULL, p->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                  p->vcpu, 0);
    return p->run != MAP_FAILED;
}

static void scratch_close(Scratch *p)
{
    if (p->run != MAP_FAILED) {
        munmap(p->run, p->run_bytes);
    }
    if (p->ram != MAP_FAILED) {
        munmap(p->ram, RAM_BYTES);
    }
    for (unsigned i = 0; i < 3; i++) {
        int fd = i == 0 ? p->vcpu : i == 1 ? p->vm : p->fd;

        if (fd >= 0) {
            close(fd);
        }
    }
}

static void write_memory(uint8_t *ram)
{
    const uint64_t handler = CODE + 10;         /* behind int3 */

    memcpy(ram + CODE, code, sizeof(code));
    store_le64(ram + PML4, PDPT | 3);
    store_le64(ram + PDPT, PD | 3);
    store_le64(ram + PD, 0x83);                 /* 2 MiB onto themselves */
    store_le64(ram + GDT + 8, UINT64_C(0x00af9b000000ffff));
    store_le64(ram + GDT + 16, UINT64_C(0x00cf93000000ffff));
    store_le64(ram + IDT + 3 * 16,
               (handler & 0xffff) | 8 << 16 | UINT64_C(0x8e00) << 32);
}

static bool set_state(Scratch *p)
{
    struct kvm_segment cs = {
        .selector = 8, .limit = UINT32_MAX, .type = 11, .s = 1, .present = 1,
        .l = 1, .g = 1,
    }, ds = {
        .selector = 16, .limit = UINT32_MAX, .type = 3, .s = 1, .present = 1,
        .db = 1, .g = 1,
    };
    struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rsp = STACK,
                             .rdi = DATA };
    struct kvm_sregs s;
    struct kvm_cpuid2 *cpuid;
    bool ok;

    cpuid = g_malloc0(sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
    cpuid->nent = 256;
    ok = kvm_do(p->fd, KVM_GET_SUPPORTED_CPUID, cpuid) >= 0
         && kvm_do(p->vcpu, KVM_SET_CPUID2, cpuid) >= 0
         && kvm_do(p->vcpu, KVM_GET_SREGS, &s) >= 0;
    g_free(cpuid);
    s.cs = cs;
    s.ds = s.es = s.ss = s.fs = s.gs = ds;
    s.gdt.base = GDT;
    s.gdt.limit = 23;
    s.idt.base = IDT;
    s.idt.limit = 0x3ff;
    s.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s.cr3 = PML4;
    s.cr4 = CR4_PAE;
    s.efer = EFER_LME | EFER_LMA;
    return ok && kvm_do(p->vcpu, KVM_SET_SREGS, &s) >= 0
           && kvm_do(p->vcpu, KVM_SET_REGS, &regs) >= 0;
}

/* Run to the next OUT: its value, or -1. */
static int step(Scratch *p)
{
    if (kvm_do(p->vcpu, KVM_RUN, NULL) < 0
        || p->run->exit_reason != KVM_EXIT_IO
        || p->run->io.port != PORT) {
        return -1;
    }
    return *((uint8_t *)p->run + p->run->io.data_offset);
}

static bool slow(GError **err, const char *why)
{
    g_set_error(err, OPT_ERROR, OPT_ERROR_INVALID,
                "this host's /dev/kvm %s; -accel kvm uses it all the same",
                why);
    return false;
}

static bool look(Scratch *p, GError **err)
{
    int64_t best = INT64_MAX;

    write_memory(p->ram);
    if (!set_state(p)) {
        return slow(err, "does not run a test program");
    }
    if (step(p) != 1) {
        return slow(err, "cannot execute cmpxchg16b in a kernel: it is "
                    "software, not the processor");
    }
    if (step(p) != 2) {
        return slow(err, "cannot execute int3 in a kernel: it is software, "
                    "not the processor");
    }
    for (unsigned i = 0; i < TRIES && best >= SLOW_US; i++) {
        int64_t start = g_get_monotonic_time();

        if (step(p) != 3) {
            return slow(err, "does not run a test program");
        }
        best = MIN(best, g_get_monotonic_time() - start);
    }
    trace("kvm-probe", "%d loops in %" PRId64 " us", LOOPS, best);
    return best < SLOW_US
           || slow(err, "interprets a kernel's code: it is software, not the "
                   "processor");
}

bool kvm_probe(GError **err)
{
    Scratch p;
    bool ok;

    if (!kvm_open(&p.fd, err)) {
        return false;
    }
    close(p.fd);
    ok = scratch_open(&p) ? look(&p, err)
                          : slow(err, "cannot make a VM");
    scratch_close(&p);
    return ok;
}
