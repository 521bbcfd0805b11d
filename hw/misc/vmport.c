/*
 * vmport: the port by which guests talk to VMware's hypervisors.
 *
 * Spec:   Kato, "VMware Backdoor I/O Port"; Linux, arch/x86/kernel/cpu/vmware.c
 *         and asm/vmware.h.  IN EAX, DX of 32 bits with EAX = 564D5868h and CX
 *         the command; answers are in EAX to EDX.
 * Models: version, UUID, size of memory, time of day, rates of TSC and APIC
 *         timer, legacy mode of x2APIC; every other command gives EAX = -1 and
 *         changes no register.  Not: the mouse, the channel (5659h).
 * Locks:  machine lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "base/trace.h"
#include "core/machine.h"
#include "cpu/regs.h"
#include "hw/isa/isa.h"

enum { VMPORT = 0x5658 };
#define MAGIC 0x564d5868u

enum {
    CMD_VERSION = 0x0a, CMD_UUID = 0x13, CMD_MEMORY = 0x14, CMD_TIME = 0x17,
    CMD_HZ = 0x2d, CMD_TIME_FULL = 0x2e, CMD_CPU_INFO = 0x44,
};
enum { VERSION = 6, PRODUCT_SERVER = 2 };
#define NO_COMMAND 0xffffffffu
#define APIC_TIMER_HZ 1000000000u       /* src/cpu/lapic.c counts ns */

typedef struct {
    IsaDevice isa;
    Region io;
} Vmport;

/* EAX; EBX to EDX at once. */
static uint32_t answer(uint64_t *gpr, uint32_t a, uint32_t b, uint32_t c,
                       uint32_t d)
{
    gpr[R_RBX] = b;
    gpr[R_RCX] = c;
    gpr[R_RDX] = d;
    return a;
}

static uint32_t command(uint64_t *gpr)
{
    const Machine *m = machine();
    int64_t us = g_get_real_time();
    uint32_t c = gpr[R_RCX], d = gpr[R_RDX];

    switch ((uint16_t)gpr[R_RCX]) {
    case CMD_VERSION:
        return answer(gpr, VERSION, MAGIC, PRODUCT_SERVER, d);
    case CMD_UUID:
        return answer(gpr, load_le32(m->uuid), load_le32(m->uuid + 4),
                      load_le32(m->uuid + 8), load_le32(m->uuid + 12));
    case CMD_MEMORY:
        return answer(gpr, m->ram_bytes / MiB, MAGIC, c, d);
    case CMD_TIME:              /* lag allowed: none; UTC */
        return answer(gpr, us / G_USEC_PER_SEC, us % G_USEC_PER_SEC, 0, 0);
    case CMD_TIME_FULL:
        return answer(gpr, MAGIC, us % G_USEC_PER_SEC, 0,
                      us / G_USEC_PER_SEC);
    case CMD_HZ:
        return answer(gpr, cpu_tsc_hz(), cpu_tsc_hz() >> 32, APIC_TIMER_HZ, d);
    case CMD_CPU_INFO:          /* bit 3: x2APIC without remapping will do */
        return answer(gpr, BIT(3), (uint32_t)gpr[R_RBX], c, d);
    default:
        return NO_COMMAND;
    }
}

static uint64_t vmport_read(void *opaque, hwaddr reg, unsigned size)
{
    X86Cpu *cpu = reg == 0 && size == 4 ? cpu_regs_here() : NULL;
    uint32_t val;

    if (!cpu || (uint32_t)cpu->state->gpr[R_RAX] != MAGIC) {
        return NO_COMMAND;
    }
    val = command(cpu->state->gpr);
    trace("vmport", "eax 0x%x ebx 0x%x", val,
          (uint32_t)cpu->state->gpr[R_RBX]);
    /* KVM may have ended the IN when it takes our registers. */
    cpu->state->gpr[R_RAX] = val;
    cpu_regs_changed(cpu);
    return val;
}

static void vmport_write(void *opaque, hwaddr reg, uint64_t val, unsigned size)
{
}

static const IoOps vmport_ops = {
    .read = vmport_read, .write = vmport_write, .size_min = 1, .size_max = 4,
    .unaligned = true,
};

static bool vmport_realize(Device *dev, GError **err)
{
    Vmport *s = container_of(dev, Vmport, isa.dev);

    return isa_map_io(&s->isa, VMPORT, &s->io, &vmport_ops, s, "vmport", 4,
                      err);
}

static void vmport_unrealize(Device *dev)
{
    Vmport *s = container_of(dev, Vmport, isa.dev);

    isa_unmap_io(&s->isa, &s->io);
}

static const DeviceType vmport_type = {
    .name = "vmport", .doc = "VMware's port for guests",
    .parent = &isa_device_type, .size = sizeof(Vmport), .internal = true,
    .realize = vmport_realize, .unrealize = vmport_unrealize,
};
DEVICE_TYPE(vmport_type)
